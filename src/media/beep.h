/* beep.h - the beep that tells somebody that he is recorded: now, and again from time to time.
 *
 * While it sounds it is added to what goes to him, or takes its place where that is coded in a way that can't be added to; where nothing
 * goes to him it is all that he hears. The time between two goes by the worker's clock.
 *
 * Thread: worker.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/codec.h"

struct beep;
struct rtp_session;

/* The first sounds now. every_ms: from the begin of one to that of the next; 0: one alone. NULL without memory. */
struct beep *beep_new(struct rtp_session *s, uint32_t every_ms);
void beep_free(struct beep *b);               /* NULL: nothing, as below */
void beep_attach(struct beep *b);             /* its session is with a worker, */
void beep_detach(struct beep *b);             /* and leaves it */
bool beep_is_sounding(const struct beep *b);
/* Adds it to a payload that is about to be sent; false: the payload is to be held back. */
bool beep_add(struct beep *b, enum codec_id codec, uint8_t *payload, size_t len);
void beep_add_pcm(struct beep *b, int16_t *pcm, size_t nsamples, uint32_t rate_hz);
/* Each 20 ms while it sounds. */
void beep_tick(struct beep *b);

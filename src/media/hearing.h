/* hearing.h - what a stream is listened to for, besides digits: talk and silence, the tones of fax machines.
 *
 * SpanDSP finds the tones; it works at 8 kHz, other rates are brought down first.
 * Thread: one at a time for each.
 * Sources: ITU-T T.30 §4.1 (CNG: 1100 Hz, half a second in 3.5; CED: 2100 Hz, or the preamble of the first frame after it).
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "media/media.h"

struct hearing;

typedef void hearing_fn(enum stream_heard what, uint32_t lasted_ms, void *arg);

/* what: bits of enum stream_listen. NULL without memory. */
struct hearing *hearing_new(unsigned what);
void hearing_free(struct hearing *l);
unsigned hearing_what(const struct hearing *l);
/* How long talk or silence has lasted already when it is told of. */
#define HEARING_TALK_MS 60
#define HEARING_SILENCE_MS 100
/* The next 20 ms, at 8, 16 or 48 kHz; fn is told of what is heard in it. pcm NULL: nothing has come. */
void hearing_run(struct hearing *l, const int16_t *pcm, size_t n, uint32_t rate_hz, hearing_fn *fn, void *arg);

/* tap.h - one source of a call's recording: a worker puts in what comes, the writing thread takes out sound with its time.
 *
 * What comes are packets, as they come: a worker copies them into the tap's ring and never waits; what there is no room for is
 * counted, and silence in the recording. All else, order, decoding, resampling, is done where there is time. A mixer's sound goes the
 * same way.
 *
 * When something was said is known by when it came: of many packets, the one that was on its way for the shortest time tells,
 * so that two sources stay together however their packets come, and if their clocks run apart.
 *
 * Thread: tap_packet, tap_pcm, tap_reset, tap_finish: one worker at a time; tap_read and what follows: the writing thread. The tap
 * is gone when both have let go.
 * Audio: int16 linear, mono. Times: us of the workers' clock; positions: TAPE_HZ, from the recording's begin.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/codec.h"

#define TAP_HOLD_MS 1500       /* after so long it is known what was said: the tape waits for a second, packets vary */
#define TAP_RING 32768u        /* bytes of packets: seconds of most codecs */
#define TAP_RING_WIDE 262144u  /* the same of sound that isn't coded, at 48 kHz */

struct tap;

/* begin_us: the recording's, which positions are counted from. rate_hz: of the sound that is read. ring: a power of two. NULL without
 * memory. */
struct tap *tap_new(uint64_t begin_us, uint64_t now_us, uint32_t rate_hz, size_t ring);

/* ---- worker ---- */

void tap_packet(struct tap *t, uint64_t now_us, enum codec_id codec, uint32_t ts, const uint8_t *payload, size_t len);
/* Sound of our own that is said now: 10 or 20 ms at 8, 16 or 48 kHz. */
void tap_pcm(struct tap *t, uint64_t now_us, const int16_t *pcm, size_t nsamples, uint32_t rate_hz);
/* The source has changed: its timestamps have nothing to do with those before. */
void tap_reset(struct tap *t, uint64_t now_us);
/* The last call, exactly once. */
void tap_finish(struct tap *t, uint64_t now_us);

/* ---- writing thread ---- */

/* Takes what came before position until, and gives what is known by then, in order: at is the position of the first sample, in samples of
 * rate_hz from the recording's begin. Where nothing has been given after TAP_HOLD_MS nothing was said. is_end: nothing more is waited for. */
void tap_read(struct tap *t, int64_t until, bool is_end,
	      void (*on_sound)(void *arg, int64_t at, const int16_t *pcm, size_t n), void *arg);
/* The worker has finished it, and all has been read. */
bool tap_is_through(const struct tap *t);
bool tap_is_finished(const struct tap *t);
/* ms of sound that there was no room for. */
uint32_t tap_lost_ms(const struct tap *t);
void tap_free(struct tap *t);

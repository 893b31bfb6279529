/* inband.h - digits heard as tones, from callers whose device sends no telephone events.
 *
 * SpanDSP detects; it works at 8 kHz, other rates are brought down first.
 * Thread: one at a time for each detector.
 * Sources: ITU-T Q.24.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "media/dtmf.h"

struct inband;

struct inband *inband_new(uint32_t rate_hz); /* NULL without memory */
void inband_free(struct inband *d);
/* Looks at the next sound, at most 60 ms. Returns how many digits ended in it, at most max, in out. */
unsigned inband_run(struct inband *d, const int16_t *pcm, size_t nsamples, struct dtmf_digit *out, unsigned max);

/* inband.h - digits heard as tones, from callers whose device sends no telephone events.
 *
 * SpanDSP detects; it works at 8 kHz, other rates are brought down first. A digit is known some 40 ms after it has begun, and
 * as long after it has ended; its length is told within 15 ms.
 *
 * Thread: one at a time for each detector.
 * Sources: ITU-T Q.24.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/dtmf.h"

#define INBAND_LAG_MS 60      /* the sound of a digit that isn't known yet is not older */

struct inband;

struct inband *inband_new(uint32_t rate_hz); /* NULL without memory */
void inband_free(struct inband *d);
/* Looks at the next sound, at most 60 ms. Returns how many digits ended in it, at most max, in out. */
unsigned inband_run(struct inband *d, const int16_t *pcm, size_t nsamples, struct dtmf_digit *out, unsigned max);
/* A digit sounds, or did when the last of that sound was said. */
bool inband_is_open(const struct inband *d);

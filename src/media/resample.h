/* resample.h - one rate into another, for one stream of sound.
 *
 * speexdsp does it; this is the only module that touches it.
 * Audio: int16 linear, mono. Thread: one at a time for each resampler.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct resampler;

/* NULL without memory or for a rate of 0. */
struct resampler *resampler_new(uint32_t from_hz, uint32_t to_hz);
void resampler_free(struct resampler *r);
/* The first samples out belong to the first in: for files, where a delay would shift them. Live, it would make the first
 * frame a short one. Before the first run. */
void resampler_skip_start(struct resampler *r);
/* What was put in before is forgotten: for a sound that has nothing to do with it. */
void resampler_reset(struct resampler *r);
/* Takes all n samples of in. Returns the samples written, at most max; about n * to_hz / from_hz. */
size_t resampler_run(struct resampler *r, const int16_t *in, size_t n, int16_t *out, size_t max);

/* resample.c - speexdsp behind our types (see resample.h).
 */
#include "media/resample.h"

#include <speex/speex_resampler.h>
#include <stdlib.h>

#define QUALITY 3 /* speexdsp's for voice: -60 dB of aliasing, a third of the cost of its best */

struct resampler {
	SpeexResamplerState *st;
};

struct resampler *resampler_new(uint32_t from_hz, uint32_t to_hz)
{
	struct resampler *r;
	int err = 0;

	if (from_hz == 0 || to_hz == 0)
		return NULL;
	r = malloc(sizeof(*r));
	if (!r)
		return NULL;
	r->st = speex_resampler_init(1, from_hz, to_hz, QUALITY, &err);
	if (!r->st) {
		free(r);
		return NULL;
	}
	return r;
}

void resampler_free(struct resampler *r)
{
	if (!r)
		return;
	speex_resampler_destroy(r->st);
	free(r);
}

void resampler_skip_start(struct resampler *r)
{
	speex_resampler_skip_zeros(r->st);
}

void resampler_reset(struct resampler *r)
{
	speex_resampler_reset_mem(r->st);
}

size_t resampler_run(struct resampler *r, const int16_t *in, size_t n, int16_t *out, size_t max)
{
	size_t done = 0;

	while (n > 0 && done < max) {
		spx_uint32_t in_len = (spx_uint32_t)n, out_len = (spx_uint32_t)(max - done);

		if (speex_resampler_process_int(r->st, 0, in, &in_len, out + done, &out_len) != RESAMPLER_ERR_SUCCESS)
			break;
		if (in_len == 0 && out_len == 0)
			break;
		in += in_len;
		n -= in_len;
		done += out_len;
	}
	return done;
}

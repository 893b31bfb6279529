/* codec.c - the table of audio codecs, and SpanDSP's coders behind one pair of functions (see codec.h).
 *
 * G.711 keeps no state between samples, L16 (RFC 3551 §4.5.11: big-endian) is no coding at all; only G.722 remembers,
 * so each direction of each stream has its own coder.
 */
#include "media/codec.h"

#include <errno.h>
#include <spandsp.h>
#include <stdlib.h>
#include <strings.h>

static const struct codec codecs[CODEC_COUNT] = {
	[CODEC_NONE] = { CODEC_NONE, "", -1, 8000, 8000, 0 },
	[CODEC_PCMU] = { CODEC_PCMU, "PCMU", 0, 8000, 8000, 80 },
	[CODEC_PCMA] = { CODEC_PCMA, "PCMA", 8, 8000, 8000, 80 },
	[CODEC_G722] = { CODEC_G722, "G722", 9, 16000, 8000, 80 },
	[CODEC_L16] = { CODEC_L16, "L16", -1, 16000, 16000, 320 },
};

struct encoder {
	enum codec_id id;
	g722_encode_state_t *g722;
};

struct decoder {
	enum codec_id id;
	g722_decode_state_t *g722;
};

const struct codec *codec_get(enum codec_id id)
{
	return (unsigned)id < CODEC_COUNT ? &codecs[id] : &codecs[CODEC_NONE];
}

const struct codec *codec_find(const char *name, uint32_t clock_hz)
{
	for (int i = CODEC_NONE + 1; i < CODEC_COUNT; i++) {
		if (codecs[i].clock_hz == clock_hz && strcasecmp(codecs[i].name, name) == 0)
			return &codecs[i];
	}
	return NULL;
}

struct encoder *encoder_new(enum codec_id id)
{
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->id = id;
	if (id == CODEC_G722) {
		e->g722 = g722_encode_init(NULL, 64000, 0);
		if (!e->g722) {
			free(e);
			return NULL;
		}
	}
	return e;
}

struct decoder *decoder_new(enum codec_id id)
{
	struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->id = id;
	if (id == CODEC_G722) {
		d->g722 = g722_decode_init(NULL, 64000, 0);
		if (!d->g722) {
			free(d);
			return NULL;
		}
	}
	return d;
}

void encoder_free(struct encoder *e)
{
	if (!e)
		return;
	if (e->g722)
		g722_encode_free(e->g722);
	free(e);
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	if (d->g722)
		g722_decode_free(d->g722);
	free(d);
}

size_t encoder_run(struct encoder *e, const int16_t *pcm, size_t nsamples, uint8_t *out)
{
	switch (e->id) {
	case CODEC_PCMU:
		for (size_t i = 0; i < nsamples; i++)
			out[i] = linear_to_ulaw(pcm[i]);
		return nsamples;
	case CODEC_PCMA:
		for (size_t i = 0; i < nsamples; i++)
			out[i] = linear_to_alaw(pcm[i]);
		return nsamples;
	case CODEC_G722:
		return (size_t)g722_encode(e->g722, out, pcm, (int)(nsamples & ~(size_t)1));
	case CODEC_L16:
		for (size_t i = 0; i < nsamples; i++) {
			out[2 * i] = (uint8_t)((uint16_t)pcm[i] >> 8);
			out[2 * i + 1] = (uint8_t)pcm[i];
		}
		return 2 * nsamples;
	case CODEC_NONE:
	case CODEC_COUNT:
		break;
	}
	return 0;
}

ptrdiff_t decoder_run(struct decoder *d, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	const struct codec *c = codec_get(d->id);

	if (len == 0 || c->bytes_per_10ms == 0)
		return -EINVAL;
	/* 10 ms are bytes_per_10ms bytes and rate_hz / 100 samples. */
	if ((d->id == CODEC_L16 && len % 2 != 0) || len * (c->rate_hz / 100) / c->bytes_per_10ms > max)
		return -EINVAL;
	switch (d->id) {
	case CODEC_PCMU:
		for (size_t i = 0; i < len; i++)
			pcm[i] = ulaw_to_linear(in[i]);
		return (ptrdiff_t)len;
	case CODEC_PCMA:
		for (size_t i = 0; i < len; i++)
			pcm[i] = alaw_to_linear(in[i]);
		return (ptrdiff_t)len;
	case CODEC_G722:
		return g722_decode(d->g722, pcm, in, (int)len);
	case CODEC_L16:
		for (size_t i = 0; i < len / 2; i++)
			pcm[i] = (int16_t)(in[2 * i] << 8 | in[2 * i + 1]);
		return (ptrdiff_t)(len / 2);
	case CODEC_NONE:
	case CODEC_COUNT:
		break;
	}
	return -EINVAL;
}

/* codec_spandsp.c - SpanDSP's coders with a state: G.722, G.726, GSM full rate.
 */
#include "media/codec_int.h"

#include <errno.h>
#include <spandsp.h>
#include <spandsp/private/bitstream.h>
#include <spandsp/private/g722.h>
#include <spandsp/private/g726.h>
#include <spandsp/private/gsm0610.h>

/* ---- G.722 (RFC 3551 §4.5.2) ---- */

static void *g722_encoder_open(const struct codec *c, uint32_t rate_hz)
{
	(void)c, (void)rate_hz;
	return g722_encode_init(NULL, 64000, 0);
}

static void g722_encoder_close(void *st) { g722_encode_free(st); }

/* No state of SpanDSP's coders points to anything but its code. */
static void *g722_encoder_copy(const void *st, const struct codec *c)
{
	g722_encode_state_t *copy = g722_encoder_open(c, 0);

	if (copy)
		*copy = *(const g722_encode_state_t *)st;
	return copy;
}

static size_t g722_do_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	(void)c, (void)max;
	return (size_t)g722_encode(st, out, pcm, (int)(n & ~(size_t)1));
}

static void *g722_decoder_open(const struct codec *c, uint32_t rate_hz)
{
	(void)c, (void)rate_hz;
	return g722_decode_init(NULL, 64000, 0);
}

static void g722_decoder_close(void *st) { g722_decode_free(st); }

static ptrdiff_t g722_do_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	(void)c, (void)max;
	return g722_decode(st, pcm, in, (int)len);
}

const struct codec_kind codec_kind_g722 = {
	.encoder_open = g722_encoder_open, .encoder_close = g722_encoder_close, .encoder_copy = g722_encoder_copy, .encode = g722_do_encode,
	.decoder_open = g722_decoder_open, .decoder_close = g722_decoder_close, .decode = g722_do_decode,
};

/* ---- G.726: the same code, in the bit order of RFC 3551 §4.5.4 or of ITU-T I.366.2 annex E (RFC 3551 §4.5.4, last) ---- */

static void *g726_open(const struct codec *c, uint32_t rate_hz)
{
	/* Samples of 2 to 5 bits. */
	int bits = c->group_bytes * 8 / c->group_units;
	bool is_aal2 = c->id >= CODEC_AAL2_G726_16 && c->id <= CODEC_AAL2_G726_40;

	return g726_init(NULL, bits * (int)rate_hz, G726_ENCODING_LINEAR, is_aal2 ? G726_PACKING_LEFT : G726_PACKING_RIGHT);
}

static void g726_close(void *st) { g726_free(st); }

static void *g726_copy(const void *st, const struct codec *c)
{
	g726_state_t *copy = g726_open(c, c->rate_hz);

	if (copy)
		*copy = *(const g726_state_t *)st;
	return copy;
}

static size_t g726_do_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	(void)c, (void)max;
	return (size_t)g726_encode(st, out, pcm, (int)n);
}

static ptrdiff_t g726_do_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	(void)c, (void)max;
	return g726_decode(st, pcm, in, (int)len);
}

const struct codec_kind codec_kind_g726 = {
	.encoder_open = g726_open, .encoder_close = g726_close, .encoder_copy = g726_copy, .encode = g726_do_encode,
	.decoder_open = g726_open, .decoder_close = g726_close, .decode = g726_do_decode,
};

/* ---- GSM full rate (RFC 3551 §4.5.8) ---- */

#define GSM_FRAME_BYTES 33
#define GSM_FRAME_SAMPLES 160
#define GSM_SIGNATURE 0xd0 /* the first four bits of each frame */

static void *gsm_open(const struct codec *c, uint32_t rate_hz)
{
	(void)c, (void)rate_hz;
	return gsm0610_init(NULL, GSM0610_PACKING_VOIP);
}

static void gsm_close(void *st) { gsm0610_free(st); }

static void *gsm_copy(const void *st, const struct codec *c)
{
	gsm0610_state_t *copy = gsm_open(c, 0);

	if (copy)
		*copy = *(const gsm0610_state_t *)st;
	return copy;
}

static size_t gsm_do_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	(void)c, (void)max;
	return (size_t)gsm0610_encode(st, out, pcm, (int)(n / GSM_FRAME_SAMPLES * GSM_FRAME_SAMPLES));
}

static ptrdiff_t gsm_do_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	(void)c, (void)max;
	for (size_t i = 0; i < len; i += GSM_FRAME_BYTES)
		if ((in[i] & 0xf0) != GSM_SIGNATURE)
			return -EINVAL;
	return gsm0610_decode(st, pcm, in, (int)len);
}

const struct codec_kind codec_kind_gsm = {
	.encoder_open = gsm_open, .encoder_close = gsm_close, .encoder_copy = gsm_copy, .encode = gsm_do_encode,
	.decoder_open = gsm_open, .decoder_close = gsm_close, .decode = gsm_do_decode,
};

/* codec_g729.c - bcg729: G.729 with annexes A and B (RFC 3551 §4.5.6). Built by `make G729=1` alone, for bcg729's licence is the GPL.
 */
#include "media/codec_int.h"

#ifdef WITH_G729
#include <bcg729/decoder.h>
#include <bcg729/encoder.h>
#include <errno.h>

#define FRAME_BYTES 10
#define FRAME_SAMPLES 80
#define SID_BYTES 2           /* annex B: what the silence that follows sounds like */

static void *g729_encoder_open(const struct codec *c, uint32_t rate_hz)
{
	(void)c, (void)rate_hz;
	return initBcg729EncoderChannel(0);
}

static void g729_encoder_close(void *st) { closeBcg729EncoderChannel(st); }

static size_t g729_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	size_t len = 0;

	(void)c, (void)max;
	for (size_t i = 0; i + FRAME_SAMPLES <= n; i += FRAME_SAMPLES) {
		uint8_t bytes = 0;

		bcg729Encoder(st, pcm + i, out + len, &bytes);
		len += bytes;
	}
	return len;
}

static void *g729_decoder_open(const struct codec *c, uint32_t rate_hz)
{
	(void)c, (void)rate_hz;
	return initBcg729DecoderChannel();
}

static void g729_decoder_close(void *st) { closeBcg729DecoderChannel(st); }

/* A SID frame may be the last of a packet. */
static uint32_t g729_units(const uint8_t *in, size_t len)
{
	(void)in;
	if (len % FRAME_BYTES != 0 && len % FRAME_BYTES != SID_BYTES)
		return 0;
	return (uint32_t)((len + FRAME_BYTES - 1) / FRAME_BYTES * FRAME_SAMPLES);
}

static bool g729_is_dtx(const uint8_t *in, size_t len)
{
	(void)in;
	return len % FRAME_BYTES == SID_BYTES;
}

static ptrdiff_t g729_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	ptrdiff_t n = 0;

	(void)c, (void)max;
	for (size_t i = 0; i < len; i += FRAME_BYTES, n += FRAME_SAMPLES) {
		uint8_t bytes = (uint8_t)(len - i < FRAME_BYTES ? len - i : FRAME_BYTES);

		bcg729Decoder(st, in + i, bytes, 0, bytes == SID_BYTES, 0, pcm + n);
	}
	return n;
}

static size_t g729_conceal(void *st, const uint8_t *next, size_t len, int16_t *pcm, size_t nsamples)
{
	(void)next, (void)len;
	for (size_t i = 0; i + FRAME_SAMPLES <= nsamples; i += FRAME_SAMPLES)
		bcg729Decoder(st, NULL, 0, 1, 0, 0, pcm + i);
	return nsamples;
}

const struct codec_kind codec_kind_g729 = {
	.encoder_open = g729_encoder_open, .encoder_close = g729_encoder_close, .encode = g729_encode,
	.decoder_open = g729_decoder_open, .decoder_close = g729_decoder_close, .decode = g729_decode, .conceal = g729_conceal,
	.units = g729_units, .is_dtx = g729_is_dtx,
};
#else
typedef int codec_g729_is_not_built; /* ISO C has no empty translation unit */
#endif

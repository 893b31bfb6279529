/* codec_opus.c - libopus: Opus (RFC 6716) in RTP (RFC 7587).
 *
 * Both coders are mono: libopus folds what comes in stereo, and mono may be sent to whoever takes stereo. They work at the rate
 * of what is on the other side, so Opus needs no resampler.
 */
#include "media/codec_int.h"

#include <errno.h>
#include <opus/opus.h>
#include <stdlib.h>
#include <string.h>

#define COMPLEXITY 5          /* of 10: half of the CPU of 10, and no ear hears the difference in speech */
#define SOUND_BITRATE 40000
#define DTX_BYTES 2           /* no longer ones say that nothing is said (RFC 6716 §3.1: a table of contents and an empty frame) */
#define CLOCK_HZ 48000

/* What speech is good with at a rate, and what FEC adds to it. */
static opus_int32 speech_bitrate(uint32_t rate_hz)
{
	return rate_hz <= 8000 ? 18000 : rate_hz <= 16000 ? 28000 : 40000;
}

static opus_int32 bandwidth(uint32_t rate_hz)
{
	return rate_hz < 12000 ? OPUS_BANDWIDTH_NARROWBAND : rate_hz < 16000 ? OPUS_BANDWIDTH_MEDIUMBAND
	     : rate_hz < 24000 ? OPUS_BANDWIDTH_WIDEBAND : rate_hz < 48000 ? OPUS_BANDWIDTH_SUPERWIDEBAND
	     : OPUS_BANDWIDTH_FULLBAND;
}

struct sender {
	OpusEncoder *enc;
	bool is_pausing;      /* the last one sent said that nothing is said */
};

static void opus_encoder_close(void *st)
{
	struct sender *s = st;

	opus_encoder_destroy(s->enc);
	free(s);
}

static void *opus_encoder_open(const struct codec *c, uint32_t rate_hz)
{
	struct sender *s = calloc(1, sizeof(*s));
	OpusEncoder *enc;
	int err = OPUS_OK;

	(void)c;
	enc = s ? opus_encoder_create((opus_int32)rate_hz, 1, OPUS_APPLICATION_VOIP, &err) : NULL;
	if (!enc) {
		free(s);
		return NULL;
	}
	s->enc = enc;
	opus_encoder_ctl(enc, OPUS_SET_COMPLEXITY(COMPLEXITY));
	opus_encoder_ctl(enc, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
	opus_encoder_ctl(enc, OPUS_SET_BITRATE(speech_bitrate(rate_hz)));
	return s;
}

/* A state of libopus lies in one piece, which may be copied as it is (opus.h). */
static void *opus_encoder_copy(const void *st, const struct codec *c)
{
	const struct sender *from = st;
	opus_int32 rate_hz = 0;
	struct sender *s;

	opus_encoder_ctl(from->enc, OPUS_GET_SAMPLE_RATE(&rate_hz));
	s = opus_encoder_open(c, (uint32_t)rate_hz);
	if (!s)
		return NULL;
	memcpy(s->enc, from->enc, (size_t)opus_encoder_get_size(1));
	s->is_pausing = from->is_pausing;
	return s;
}

/* RFC 7587 §6.1: what the receiver wishes. FEC costs bits that are of use only where packets are missed. */
static void opus_tune(void *st, const struct opus_params *p, unsigned loss_percent)
{
	OpusEncoder *enc = ((struct sender *)st)->enc;
	uint32_t max_hz = p->max_rate_hz ? p->max_rate_hz : CLOCK_HZ;
	opus_int32 rate_hz = 0, bitrate;

	opus_encoder_ctl(enc, OPUS_GET_SAMPLE_RATE(&rate_hz));
	bitrate = speech_bitrate((uint32_t)rate_hz < max_hz ? (uint32_t)rate_hz : max_hz);
	if (p->max_bitrate && bitrate > (opus_int32)p->max_bitrate)
		bitrate = (opus_int32)p->max_bitrate;
	opus_encoder_ctl(enc, OPUS_SET_BITRATE(bitrate));
	opus_encoder_ctl(enc, OPUS_SET_MAX_BANDWIDTH(bandwidth(max_hz)));
	opus_encoder_ctl(enc, OPUS_SET_VBR(!p->cbr));
	opus_encoder_ctl(enc, OPUS_SET_DTX(p->dtx));
	opus_encoder_ctl(enc, OPUS_SET_INBAND_FEC(p->fec && loss_percent > 0));
	opus_encoder_ctl(enc, OPUS_SET_PACKET_LOSS_PERC((opus_int32)(loss_percent > 100 ? 100 : loss_percent)));
}

/* Without the model of a voice, which music has no use for: an eighth of the CPU. */
static void opus_for_sounds(void *st)
{
	OpusEncoder *enc = ((struct sender *)st)->enc;

	opus_encoder_ctl(enc, OPUS_SET_APPLICATION(OPUS_APPLICATION_AUDIO));
	opus_encoder_ctl(enc, OPUS_SET_SIGNAL(OPUS_SIGNAL_MUSIC));
	opus_encoder_ctl(enc, OPUS_SET_COMPLEXITY(0));
	opus_encoder_ctl(enc, OPUS_SET_BITRATE(SOUND_BITRATE));
}

/* The first packet of a pause goes out, so that what doesn't come isn't taken for lost; then only a sign of life now and then (RFC 7587
 * §3.1.3). */
static size_t opus_do_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	struct sender *s = st;
	opus_int32 len = opus_encode(s->enc, pcm, (int)n, out, (opus_int32)max);
	bool was_pausing = s->is_pausing;

	(void)c;
	s->is_pausing = len > 0 && len <= DTX_BYTES;
	return len <= 0 || (s->is_pausing && was_pausing) ? 0 : (size_t)len;
}

static void *opus_decoder_open(const struct codec *c, uint32_t rate_hz)
{
	int err = OPUS_OK;

	(void)c;
	return opus_decoder_create((opus_int32)rate_hz, 1, &err);
}

static void opus_decoder_close(void *st) { opus_decoder_destroy(st); }

static ptrdiff_t opus_do_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	int n = opus_decode(st, in, (opus_int32)len, pcm, (int)max, 0);

	(void)c;
	return n > 0 ? n : -EINVAL;
}

/* The packet behind a loss may hold a copy of the frame before it (RFC 6716 §2.1.7); libopus conceals what it hasn't. */
static size_t opus_conceal(void *st, const uint8_t *next, size_t len, int16_t *pcm, size_t nsamples)
{
	int n = opus_decode(st, next, (opus_int32)len, pcm, (int)nsamples, next != NULL);

	return n > 0 ? (size_t)n : 0;
}

static uint32_t opus_units(const uint8_t *in, size_t len)
{
	int n = opus_packet_get_nb_samples(in, (opus_int32)len, CLOCK_HZ);

	return n > 0 && n <= CLOCK_HZ / 1000 * CODEC_FRAME_MAX_MS ? (uint32_t)n : 0;
}

static bool opus_is_dtx(const uint8_t *in, size_t len)
{
	(void)in;
	return len <= DTX_BYTES;
}

const struct codec_kind codec_kind_opus = {
	.encoder_open = opus_encoder_open, .encoder_close = opus_encoder_close, .encoder_copy = opus_encoder_copy, .encode = opus_do_encode, .tune = opus_tune,
	.for_sounds = opus_for_sounds,
	.decoder_open = opus_decoder_open, .decoder_close = opus_decoder_close, .decode = opus_do_decode, .conceal = opus_conceal,
	.units = opus_units, .is_dtx = opus_is_dtx,
};

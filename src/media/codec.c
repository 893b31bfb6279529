/* codec.c - the table of audio codecs, and what is common to all of them (see codec.h).
 *
 * A codec is a row here: how it is named, how long its payloads last, and which kind of coder does it. G.711 and L16 keep no
 * state (but for L16 at 44.1 kHz, which is resampled) and are done in place; the others' coders are made for one direction of one stream.
 */
#include "media/codec_int.h"

#include <errno.h>
#include <spandsp.h>
#include <stdlib.h>
#include <strings.h>

#include "base/str.h"
#include "media/resample.h"

/* ---- without state: G.711 and L16 (RFC 3551 §4.5.14, §4.5.11) ---- */

static size_t ulaw_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	(void)st, (void)c, (void)max;
	for (size_t i = 0; i < n; i++)
		out[i] = linear_to_ulaw(pcm[i]);
	return n;
}

static ptrdiff_t ulaw_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	(void)st, (void)c, (void)max;
	for (size_t i = 0; i < len; i++)
		pcm[i] = ulaw_to_linear(in[i]);
	return (ptrdiff_t)len;
}

static size_t alaw_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	(void)st, (void)c, (void)max;
	for (size_t i = 0; i < n; i++)
		out[i] = linear_to_alaw(pcm[i]);
	return n;
}

static ptrdiff_t alaw_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	(void)st, (void)c, (void)max;
	for (size_t i = 0; i < len; i++)
		pcm[i] = alaw_to_linear(in[i]);
	return (ptrdiff_t)len;
}

/* Big-endian. */
static size_t l16_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	(void)st, (void)c, (void)max;
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = (uint8_t)((uint16_t)pcm[i] >> 8);
		out[2 * i + 1] = (uint8_t)pcm[i];
	}
	return 2 * n;
}

static ptrdiff_t l16_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	(void)st, (void)c, (void)max;
	for (size_t i = 0; i < len / 2; i++)
		pcm[i] = (int16_t)(in[2 * i] << 8 | in[2 * i + 1]);
	return (ptrdiff_t)(len / 2);
}

/* All but the wire knows 48 kHz in its place, which all else divides. 10 ms are 480 samples here and 441 there. */
static void *l16_44_encoder_open(const struct codec *c, uint32_t rate_hz)
{
	return resampler_new(rate_hz, c->clock_hz);
}

static void *l16_44_decoder_open(const struct codec *c, uint32_t rate_hz)
{
	return resampler_new(c->clock_hz, rate_hz);
}

static void l16_44_close(void *st)
{
	resampler_free(st);
}

static size_t l16_44_encode(void *st, const struct codec *c, const int16_t *pcm, size_t n, uint8_t *out, size_t max)
{
	const size_t frame = c->rate_hz / 100;
	int16_t buf[CODEC_UNCUT_MAX / 2];
	size_t len = 0;

	for (; n >= frame; n -= frame, pcm += frame)
		len += l16_encode(NULL, c, buf, resampler_run(st, pcm, frame, buf, c->clock_hz / 100), out + len, max - len);
	return len;
}

static ptrdiff_t l16_44_decode(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	int16_t buf[CODEC_UNCUT_MAX / 2];
	size_t n = (size_t)l16_decode(NULL, c, in, len < sizeof(buf) ? len : sizeof(buf), buf, ARRAY_LEN(buf));
	size_t room = n * c->rate_hz / c->clock_hz;

	return (ptrdiff_t)resampler_run(st, buf, n, pcm, room < max ? room : max);
}

static const struct codec_kind kind_l16_44 = {
	.encoder_open = l16_44_encoder_open, .encoder_close = l16_44_close, .encode = l16_44_encode,
	.decoder_open = l16_44_decoder_open, .decoder_close = l16_44_close, .decode = l16_44_decode,
};

static const struct codec_kind kind_ulaw = { .encode = ulaw_encode, .decode = ulaw_decode };
static const struct codec_kind kind_alaw = { .encode = alaw_encode, .decode = alaw_decode };
static const struct codec_kind kind_l16 = { .encode = l16_encode, .decode = l16_decode };

/* ---- the table ---- */

#ifdef WITH_G729
#define G729_NAME "G729"
#else
#define G729_NAME ""
#endif

/* Numbers from 96 on: any would do, these are what others like (Opus), or nobody does. */
static const struct codec codecs[CODEC_COUNT] = {
	[CODEC_NONE] = { CODEC_NONE, "", -1, 8000, 8000, 1, 10, 0, 0, false },
	[CODEC_PCMU] = { CODEC_PCMU, "PCMU", 0, 8000, 8000, 1, 10, 1, 1, false },
	[CODEC_PCMA] = { CODEC_PCMA, "PCMA", 8, 8000, 8000, 1, 10, 1, 1, false },
	[CODEC_G722] = { CODEC_G722, "G722", 9, 16000, 8000, 1, 10, 1, 1, false },
	[CODEC_L16] = { CODEC_L16, "L16", 113, 16000, 16000, 1, 10, 2, 1, false },
	[CODEC_L16_8] = { CODEC_L16_8, "L16", 112, 8000, 8000, 1, 10, 2, 1, false },
	[CODEC_L16_44] = { CODEC_L16_44, "L16", 11, 48000, 44100, 1, 10, 2, 1, false },
	[CODEC_L16_48] = { CODEC_L16_48, "L16", 114, 48000, 48000, 1, 10, 2, 1, false },
	[CODEC_OPUS] = { CODEC_OPUS, "opus", 111, 48000, 48000, 2, 20, 0, 0, true },
	[CODEC_GSM] = { CODEC_GSM, "GSM", 3, 8000, 8000, 1, 20, 33, 160, false },
	[CODEC_G726_16] = { CODEC_G726_16, "G726-16", 115, 8000, 8000, 1, 10, 1, 4, false },
	[CODEC_G726_24] = { CODEC_G726_24, "G726-24", 116, 8000, 8000, 1, 10, 3, 8, false },
	[CODEC_G726_32] = { CODEC_G726_32, "G726-32", 117, 8000, 8000, 1, 10, 1, 2, false },
	[CODEC_G726_40] = { CODEC_G726_40, "G726-40", 118, 8000, 8000, 1, 10, 5, 8, false },
	[CODEC_AAL2_G726_16] = { CODEC_AAL2_G726_16, "AAL2-G726-16", 119, 8000, 8000, 1, 10, 1, 4, false },
	[CODEC_AAL2_G726_24] = { CODEC_AAL2_G726_24, "AAL2-G726-24", 120, 8000, 8000, 1, 10, 3, 8, false },
	[CODEC_AAL2_G726_32] = { CODEC_AAL2_G726_32, "AAL2-G726-32", 121, 8000, 8000, 1, 10, 1, 2, false },
	[CODEC_AAL2_G726_40] = { CODEC_AAL2_G726_40, "AAL2-G726-40", 122, 8000, 8000, 1, 10, 5, 8, false },
	[CODEC_G729] = { CODEC_G729, G729_NAME, 18, 8000, 8000, 1, 10, 10, 80, false },
};

static const struct codec_kind *const kinds[CODEC_COUNT] = {
	[CODEC_PCMU] = &kind_ulaw, [CODEC_PCMA] = &kind_alaw, [CODEC_G722] = &codec_kind_g722,
	[CODEC_L16] = &kind_l16, [CODEC_L16_8] = &kind_l16, [CODEC_L16_44] = &kind_l16_44, [CODEC_L16_48] = &kind_l16,
	[CODEC_OPUS] = &codec_kind_opus, [CODEC_GSM] = &codec_kind_gsm,
	[CODEC_G726_16] = &codec_kind_g726, [CODEC_G726_24] = &codec_kind_g726,
	[CODEC_G726_32] = &codec_kind_g726, [CODEC_G726_40] = &codec_kind_g726,
	[CODEC_AAL2_G726_16] = &codec_kind_g726, [CODEC_AAL2_G726_24] = &codec_kind_g726,
	[CODEC_AAL2_G726_32] = &codec_kind_g726, [CODEC_AAL2_G726_40] = &codec_kind_g726,
#ifdef WITH_G729
	[CODEC_G729] = &codec_kind_g729,
#endif
};

const struct codec *codec_get(enum codec_id id)
{
	return (unsigned)id < CODEC_COUNT && kinds[id] ? &codecs[id] : &codecs[CODEC_NONE];
}

const struct codec *codec_find(const char *name, uint32_t clock_hz)
{
	for (int i = CODEC_NONE + 1; i < CODEC_COUNT; i++) {
		if (kinds[i] && (!clock_hz || codecs[i].clock_hz == clock_hz) && strcasecmp(codecs[i].name, name) == 0)
			return &codecs[i];
	}
	return NULL;
}

/* ---- lengths ---- */

uint32_t codec_units(const struct codec *c, const uint8_t *payload, size_t len)
{
	if (c->id == CODEC_NONE || len == 0)
		return 0;
	if (kinds[c->id]->units)
		return kinds[c->id]->units(payload, len);
	return len % c->group_bytes ? 0 : (uint32_t)(len / c->group_bytes * c->group_units);
}

size_t codec_bytes(const struct codec *c, uint32_t ms)
{
	if (!c->group_bytes)
		return CODEC_PAYLOAD_MAX;
	return (size_t)ms * c->clock_hz / 1000 / c->group_units * c->group_bytes;
}

uint32_t codec_fit_ptime(const struct codec *c, uint32_t ptime_ms)
{
	static const uint32_t opus_ms[] = { 60, 40, 20 };
	uint32_t ms = c->frame_ms;

	if (c->id == CODEC_OPUS) {
		for (size_t i = 0; i < sizeof(opus_ms) / sizeof(opus_ms[0]); i++)
			if (opus_ms[i] <= ptime_ms)
				return opus_ms[i];
		return 10;
	}
	while (ms + c->frame_ms <= ptime_ms && codec_bytes(c, ms + c->frame_ms) <= CODEC_PAYLOAD_MAX)
		ms += c->frame_ms;
	return ms;
}

uint32_t codec_rate(const struct codec *c, uint32_t other_hz)
{
	if (!c->any_rate)
		return c->rate_hz;
	return other_hz == 8000 || other_hz == 16000 || other_hz == 24000 ? other_hz : c->rate_hz;
}

/* ---- coders ---- */

struct encoder {
	const struct codec *codec;
	const struct codec_kind *kind;
	uint32_t rate_hz;
	void *state;
};

struct decoder {
	const struct codec *codec;
	const struct codec_kind *kind;
	uint32_t rate_hz;
	bool is_dtx;
	void *state;
};

struct encoder *encoder_new(enum codec_id id, uint32_t rate_hz)
{
	const struct codec *c = codec_get(id);
	struct encoder *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->codec = c;
	e->kind = kinds[c->id];
	e->rate_hz = c->any_rate ? rate_hz : c->rate_hz;
	if (e->kind && e->kind->encoder_open) {
		e->state = e->kind->encoder_open(c, e->rate_hz);
		if (!e->state) {
			free(e);
			return NULL;
		}
	}
	return e;
}

struct encoder *encoder_copy(const struct encoder *e)
{
	struct encoder *copy;

	if (!e->state || !e->kind->encoder_copy)
		return encoder_new(e->codec->id, e->rate_hz);
	copy = malloc(sizeof(*copy));
	if (!copy)
		return NULL;
	*copy = *e;
	copy->state = e->kind->encoder_copy(e->state, e->codec);
	if (!copy->state) {
		free(copy);
		return NULL;
	}
	return copy;
}

struct decoder *decoder_new(enum codec_id id, uint32_t rate_hz)
{
	const struct codec *c = codec_get(id);
	struct decoder *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->codec = c;
	d->kind = kinds[c->id];
	d->rate_hz = c->any_rate ? rate_hz : c->rate_hz;
	if (d->kind && d->kind->decoder_open) {
		d->state = d->kind->decoder_open(c, d->rate_hz);
		if (!d->state) {
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
	if (e->state)
		e->kind->encoder_close(e->state);
	free(e);
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	if (d->state)
		d->kind->decoder_close(d->state);
	free(d);
}

void encoder_for_sounds(struct encoder *e)
{
	if (e->kind && e->kind->for_sounds)
		e->kind->for_sounds(e->state);
}

void encoder_tune(struct encoder *e, const struct opus_params *p, unsigned loss_percent)
{
	if (e->kind && e->kind->tune)
		e->kind->tune(e->state, p, loss_percent);
}

size_t encoder_run(struct encoder *e, const int16_t *pcm, size_t nsamples, uint8_t *out, size_t max)
{
	const struct codec *c = e->codec;

	if (!e->kind || nsamples == 0)
		return 0;
	if (c->group_bytes && nsamples * c->clock_hz / e->rate_hz / c->group_units * c->group_bytes > max)
		return 0;
	return e->kind->encode(e->state, c, pcm, nsamples, out, max);
}

ptrdiff_t decoder_run(struct decoder *d, const uint8_t *in, size_t len, int16_t *pcm, size_t max)
{
	uint32_t units = codec_units(d->codec, in, len);

	if (units == 0 || (uint64_t)units * d->rate_hz / d->codec->clock_hz > max)
		return -EINVAL;
	d->is_dtx = d->kind->is_dtx && d->kind->is_dtx(in, len);
	return d->kind->decode(d->state, d->codec, in, len, pcm, max);
}

bool codec_conceals(const struct codec *c) { return kinds[c->id] && kinds[c->id]->conceal; }

size_t decoder_conceal(struct decoder *d, const uint8_t *next, size_t len, int16_t *pcm, size_t nsamples)
{
	return d->kind && d->kind->conceal ? d->kind->conceal(d->state, next, len, pcm, nsamples) : 0;
}

bool decoder_is_dtx(const struct decoder *d) { return d->is_dtx; }

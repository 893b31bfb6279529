/* outlet.c - packets of a mix (see outlet.h).
 */
#include "media/outlet.h"

#include <stdlib.h>
#include <string.h>

#include "media/limiter.h"

struct outlet {
	struct outlet_key key;
	const struct codec *codec;
	enum mixer_rate rate;
	struct limiter limiter;
	struct encoder *encoder;
	size_t n, want, size;    /* samples gathered, of a packet, and room for them */
	int16_t pcm[];
};

bool outlet_key_eq(const struct outlet_key *a, const struct outlet_key *b)
{
	const struct opus_params *x = &a->opus, *y = &b->opus;

	if (a->codec != b->codec || a->ptime_ms != b->ptime_ms || a->is_silent != b->is_silent)
		return false;
	return a->codec != CODEC_OPUS || (x->max_rate_hz == y->max_rate_hz && x->max_bitrate == y->max_bitrate && x->fec == y->fec &&
					  x->dtx == y->dtx && x->cbr == y->cbr);
}

enum mixer_rate outlet_rate(const struct outlet_key *key) { return mixer_rate_of(codec_get(key->codec)->rate_hz); }

static struct outlet *outlet_make(const struct outlet_key *key)
{
	enum mixer_rate rate = outlet_rate(key);
	size_t ms = mixer_rate_hz(rate) / 1000, size = ms * (key->ptime_ms + MIXER_FRAME_MS);
	struct outlet *o = calloc(1, sizeof(*o) + size * sizeof(o->pcm[0]));

	if (!o)
		return NULL;
	o->key = *key;
	o->codec = codec_get(key->codec);
	o->rate = rate;
	o->want = ms * key->ptime_ms;
	o->size = size;
	return o;
}

struct outlet *outlet_new(const struct outlet_key *key, uint32_t nframes)
{
	struct outlet *o = key->ptime_ms ? outlet_make(key) : NULL;

	if (!o)
		return NULL;
	o->encoder = encoder_new(key->codec, mixer_rate_hz(o->rate));
	if (!o->encoder) {
		outlet_free(o);
		return NULL;
	}
	encoder_tune(o->encoder, &key->opus, 0);
	o->n = (size_t)((uint64_t)nframes * MIXER_FRAME_MS % key->ptime_ms) * (mixer_rate_hz(o->rate) / 1000);
	return o;
}

struct outlet *outlet_copy(const struct outlet *from)
{
	struct outlet *o = outlet_make(&from->key);

	if (!o)
		return NULL;
	memcpy(o, from, sizeof(*o) + from->n * sizeof(o->pcm[0]));
	o->encoder = encoder_copy(from->encoder);
	if (!o->encoder) {
		outlet_free(o);
		return NULL;
	}
	return o;
}

void outlet_free(struct outlet *o)
{
	if (!o)
		return;
	encoder_free(o->encoder);
	free(o);
}

void outlet_tune(struct outlet *o, unsigned loss_percent)
{
	encoder_tune(o->encoder, &o->key.opus, loss_percent);
}

void outlet_put(struct outlet *o, const int32_t *sum, uint16_t gain)
{
	size_t n = mixer_samples(o->rate);
	int32_t louder[MIXER_SAMPLES_MAX];

	if (o->n + n > o->size)
		return;
	if (o->key.is_silent) {
		memset(o->pcm + o->n, 0, n * sizeof(o->pcm[0]));
		o->n += n;
		return;
	}
	for (size_t i = 0; i < n && gain != MIXER_GAIN_ONE; i++)
		louder[i] = (int32_t)((int64_t)sum[i] * gain / MIXER_GAIN_ONE);
	limiter_run(&o->limiter, gain == MIXER_GAIN_ONE ? sum : louder, o->pcm + o->n, n);
	o->n += n;
}

bool outlet_take(struct outlet *o, uint8_t *payload, size_t *len, uint32_t *units)
{
	if (o->n < o->want)
		return false;
	*len = encoder_run(o->encoder, o->pcm, o->want, payload, CODEC_PAYLOAD_MAX);
	*units = (uint32_t)(o->want * o->codec->clock_hz / mixer_rate_hz(o->rate));
	o->n -= o->want;
	memmove(o->pcm, o->pcm + o->want, o->n * sizeof(o->pcm[0]));
	return true;
}

/* Real speech in a conference of three. They speak at once, and each gets the sum of the other two, to which what comes out is compared; or, in
 * codecs of many kinds, which delay by fractions of a packet more or less, one after the other, and each gets both. Never himself.
 */
#include "tests/unit/media_bed.h"

#include "media/resample.h"
#include "tests/media/match.h"

#define SPEECH_MS 3000
#define RATE_HZ 16000          /* of the prompts */
#define NSPEECH (RATE_HZ / 1000 * SPEECH_MS)
#define SAMPLES_MAX (48 * (SPEECH_MS + 1000))
#define MEMBERS 3

/* Each says something else. */
static const struct { const char *file; double gain; } voices[MEMBERS] = {
	{ PROMPTS_DIR "/en/vm-options.wav", 0.5 }, { PROMPTS_DIR "/en/demo-echotest.wav", 0.5 }, { PROMPTS_DIR "/en/vm-intro.wav", 0.5 },
};

/* The way of the codec that loses most counts; voices of 8 kHz keep to themselves what they haven't. */
static const struct { enum codec_id codec[MEMBERS]; bool is_at_once; double segsnr_db, lsd_db; } rooms[] = {
	{ { CODEC_PCMU, CODEC_PCMU, CODEC_PCMU }, true, 20, 3 },
	{ { CODEC_PCMA, CODEC_G722, CODEC_L16_48 }, false, 18, 3 },
	{ { CODEC_PCMU, CODEC_OPUS, CODEC_G722 }, false, 6, 5 },
};

struct member {
	struct seen *e;
	struct peer *p;
	const struct codec *codec;
	struct encoder *encoder;
	size_t n;
	int16_t said[SAMPLES_MAX];
};

static int16_t speech[MEMBERS][NSPEECH], heard[SAMPLES_MAX], low[SAMPLES_MAX];
static float at_match[MEMBERS][SAMPLES_MAX], sum[SAMPLES_MAX], hay[SAMPLES_MAX];
static size_t nmatch;
static bool is_at_once;

static size_t at_rate(const int16_t *in, size_t n, uint32_t from_hz, uint32_t to_hz, int16_t *out)
{
	struct resampler *r;

	if (from_hz == to_hz) {
		memcpy(out, in, n * sizeof(*in));
		return n;
	}
	r = resampler_new(from_hz, to_hz);
	assert_non_null(r);
	resampler_skip_start(r);
	n = resampler_run(r, in, n, out, SAMPLES_MAX);
	resampler_free(r);
	return n;
}

static size_t to_match(const int16_t *in, size_t n, uint32_t rate_hz, float *out)
{
	n = at_rate(in, n, rate_hz, MATCH_RATE_HZ, low);
	for (size_t i = 0; i < n; i++)
		out[i] = (float)low[i] / 32768;
	return n;
}

static int speech_load(void **state)
{
	static int16_t all[RATE_HZ * 30];

	for (unsigned i = 0; i < MEMBERS; i++) {
		uint32_t rate_hz;

		assert_true(wav_read(voices[i].file, all, ARRAY_LEN(all), &rate_hz) >= NSPEECH);
		assert_int_equal(rate_hz, RATE_HZ);
		for (size_t k = 0; k < NSPEECH; k++)
			speech[i][k] = (int16_t)(all[k] * voices[i].gain);
		nmatch = to_match(speech[i], NSPEECH, RATE_HZ, at_match[i]);
	}
	return warm_up(state);
}

static struct member *member_new(struct bed *b, struct mix *mix, unsigned i, enum codec_id codec)
{
	struct member *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->codec = codec_get(codec);
	m->e = stream_make(b, NULL);
	m->p = peer_new(1, 1, 100 + i);
	m->encoder = encoder_new(codec, m->codec->rate_hz);
	assert_non_null(m->encoder);
	stream_setup(m->e->s, m->p->port, codec);
	stream_mix(m->e->s, mix, &(struct mix_member){ 0 });
	m->n = at_rate(speech[i], NSPEECH, RATE_HZ, m->codec->rate_hz, m->said);
	for (size_t k = 0; k < m->n && !is_at_once; k++) {
		if (k / (m->n / MEMBERS) != i)
			m->said[k] = 0;
	}
	return m;
}

static void member_free(struct bed *b, struct member *m)
{
	stream_end(b, m->e);
	peer_free(m->p);
	encoder_free(m->encoder);
	free(m);
}

/* As many packets as the agreed length makes of 20 ms. */
static unsigned say(struct member *m, size_t at)
{
	size_t frame = m->codec->rate_hz / 1000 * codec_fit_ptime(m->codec, 20), end = at + m->codec->rate_hz / 50;
	uint8_t payload[CODEC_PAYLOAD_MAX];
	unsigned n = 0;

	for (; at + frame <= m->n && at + frame <= end; at += frame, n++) {
		size_t len = encoder_run(m->encoder, m->said + at, frame, payload, sizeof(payload));

		peer_send_raw(m->p, stream_port(m->e->s), (uint8_t)m->codec->pt, false, m->p->ts, payload, len);
		m->p->ts += (uint32_t)(frame * m->codec->clock_hz / m->codec->rate_hz);
	}
	return n;
}

static void talk(struct bed *b, struct member *m[MEMBERS])
{
	for (unsigned f = 0; f < SPEECH_MS / 20; f++) {
		uint64_t before = bed_counters(b).packets_received;
		unsigned n = 0;

		for (unsigned i = 0; i < MEMBERS; i++)
			n += say(m[i], f * m[i]->codec->rate_hz / 50);
		wait_received(b, before + n);
		turn_for_ms(b, 20);
		for (unsigned i = 0; i < MEMBERS; i++)
			peer_receive(m[i]->p);
	}
	turn_for_ms(b, 200);
	WAIT_STILL(b, ({
		unsigned n = 0;

		for (unsigned i = 0; i < MEMBERS; i++) {
			peer_receive(m[i]->p);
			n += m[i]->p->n;
		}
		n == bed_counters(b).packets_sent;
	}));
}

static void find(const float *needle, size_t n, size_t nhay, struct match *out)
{
	const struct match_params p = { .needle = needle, .nneedle = n, .hay = hay, .nhay = nhay };

	assert_int_equal(match_find(&p, out), 0);
}

static void expect(const float *needle, size_t n, size_t nhay, const struct member *m, unsigned room)
{
	struct match got;

	find(needle, n, nhay, &got);
	if (got.corr < 0.85 || got.coverage < 0.95 || got.segsnr_db < rooms[room].segsnr_db || got.lsd_db > rooms[room].lsd_db ||
	    fabs(got.gain_db) > 1)
		fail_msg("room %u, in %s: corr %.3f, coverage %.2f, %.1f dB (at least %.1f), %.1f dB apart (at most %.1f), gain %.1f dB", room,
			 m->codec->name, got.corr, got.coverage, got.segsnr_db, rooms[room].segsnr_db, got.lsd_db, rooms[room].lsd_db, got.gain_db);
}

/* What he should hear, and what he shouldn't. */
static void check(const struct member *m, unsigned i, unsigned room)
{
	unsigned a = (i + 1) % MEMBERS, b = (i + 2) % MEMBERS;
	size_t n = peer_listen(m->p, 0, m->codec->id, heard, SAMPLES_MAX), nhay = to_match(heard, n, m->codec->rate_hz, hay);
	size_t part = nmatch / MEMBERS;
	struct match own;

	for (size_t k = 0; k < nmatch; k++)
		sum[k] = at_match[a][k] + at_match[b][k];
	if (is_at_once) {
		expect(sum, nmatch, nhay, m, room);
		find(at_match[i], nmatch, nhay, &own);
	} else {
		expect(at_match[a] + a * part, part, nhay, m, room);
		expect(at_match[b] + b * part, part, nhay, m, room);
		find(at_match[i] + i * part, part, nhay, &own);
	}
	if (own.coverage > 0.2)
		fail_msg("room %u, in %s: he hears himself, %.2f", room, m->codec->name, own.coverage);
}

static void test_mixing_three_hear_the_sum_of_the_others(void **state)
{
	const struct mix_params p = { 0 };
	const struct mix_handler none = { 0 };

	(void)state;
	for (unsigned r = 0; r < ARRAY_LEN(rooms); r++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct member *m[MEMBERS];
		struct mix *mix;

		is_at_once = rooms[r].is_at_once;
		assert_int_equal(mix_new(&mix, b->media, &p, &none, NULL), 0);
		for (unsigned i = 0; i < MEMBERS; i++)
			m[i] = member_new(b, mix, i, rooms[r].codec[i]);
		settle(b, m[0]->e->s);
		talk(b, m);
		for (unsigned i = 0; i < MEMBERS; i++) {
			assert_continuous(m[i]->p, 0);
			check(m[i], i, r);
		}
		mix_close(mix);
		for (unsigned i = 0; i < MEMBERS; i++)
			member_free(b, m[i]);
		bed_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_mixing_three_hear_the_sum_of_the_others) };

	return cmocka_run_group_tests(tests, speech_load, NULL);
}

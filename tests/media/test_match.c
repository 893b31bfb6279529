/* Does the measure measure? Made-up speech, spoilt in known ways, is found where it is and as good as it is. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/str.h"
#include "media/codec.h"
#include "tests/media/match.h"

#define SPEECH_S 8
#define SPEECH_N ((size_t)SPEECH_S * MATCH_RATE_HZ)
#define BEFORE ((size_t)MATCH_RATE_HZ * 7 / 5) /* 1400 ms of silence before what is recorded */

static double uniform(struct rng *r) { return rng_u32(r) / 4294967296.0; }

/* Syllables: pulses of a wandering pitch through three wandering resonances, or noise, with pauses between. */
static float *speech_make(uint64_t seed, size_t n)
{
	float *x = calloc(n, sizeof(*x));
	double y[3][2] = { { 0 } }, hz[3] = { 500, 1500, 2500 }, pitch = 120, phase = 0, loud = 0, want = 0;
	bool voiced = true;
	size_t left = 0;
	struct rng r;

	assert_non_null(x);
	rng_init_fixed(&r, seed);
	for (size_t i = 0; i < n; i++) {
		double drive, out = 0;

		if (left-- == 0) {
			left = (size_t)(MATCH_RATE_HZ * (0.06 + 0.15 * uniform(&r)));
			voiced = uniform(&r) < 0.75;
			want = uniform(&r) < 0.2 ? 0 : 0.3 + uniform(&r);
			pitch = 90 + 120 * uniform(&r);
			for (unsigned k = 0; k < 3; k++)
				hz[k] = 300 + 900 * k + 600 * uniform(&r);
		}
		loud += (want - loud) * 0.003;
		phase += pitch / MATCH_RATE_HZ;
		drive = voiced ? (phase >= 1 ? 8 : 0) : 2 * uniform(&r) - 1;
		phase -= phase >= 1 ? 1 : 0;
		for (unsigned k = 0; k < 3; k++) {
			double pole = exp(-M_PI * 90 / MATCH_RATE_HZ);
			double v = drive + 2 * pole * cos(2 * M_PI * hz[k] / MATCH_RATE_HZ) * y[k][0] - pole * pole * y[k][1];

			y[k][1] = y[k][0];
			y[k][0] = v;
			out += v / (k + 1.0);
		}
		x[i] = (float)(out * loud * 0.008);
	}
	return x;
}

static float *delayed(const float *x, size_t n, size_t before, size_t after)
{
	float *y = calloc(before + n + after, sizeof(*y));

	assert_non_null(y);
	memcpy(y + before, x, n * sizeof(*x));
	return y;
}

/* ---- ways to spoil it ---- */

static void through_codec(float *x, size_t n, enum codec_id id)
{
	struct encoder *e = encoder_new(id, codec_get(id)->rate_hz);
	struct decoder *d = decoder_new(id, codec_get(id)->rate_hz);

	for (size_t at = 0; at + 160 <= n; at += 160) {
		int16_t pcm[160];
		uint8_t coded[320];
		size_t len;

		for (unsigned i = 0; i < 160; i++)
			pcm[i] = (int16_t)lrintf(fmaxf(fminf(x[at + i], 1), -1) * 32767);
		len = encoder_run(e, pcm, 160, coded, sizeof(coded));
		assert_int_equal(decoder_run(d, coded, len, pcm, 160), 160);
		for (unsigned i = 0; i < 160; i++)
			x[at + i] = pcm[i] / 32768.0f;
	}
	encoder_free(e);
	decoder_free(d);
}

static void spoil_nothing(float *x, size_t n) { (void)x, (void)n; }
static void spoil_pcmu(float *x, size_t n) { through_codec(x, n, CODEC_PCMU); }
static void spoil_pcma(float *x, size_t n) { through_codec(x, n, CODEC_PCMA); }
static void spoil_g722(float *x, size_t n) { through_codec(x, n, CODEC_G722); }

static void spoil_loss(float *x, size_t n)
{
	struct rng r;

	rng_init_fixed(&r, 7);
	for (size_t at = 0; at + 160 <= n; at += 160) {
		if (rng_below(&r, 100) < 5)
			memset(x + at, 0, 160 * sizeof(*x));
	}
}

/* At 300 ppm, by linear interpolation. */
static void spoil_drift(float *x, size_t n)
{
	float *y = delayed(x, n, 0, 2);

	for (size_t i = 0; i < n; i++) {
		double at = (double)i * 1.0003;
		size_t k = (size_t)at;

		x[i] = k < n ? y[k] + (y[k + 1] - y[k]) * (float)(at - (double)k) : 0;
	}
	free(y);
}

/* A jitter buffer that adds 40 ms in the middle. */
static void spoil_jump(float *x, size_t n)
{
	size_t half = n / 2, jump = MATCH_RATE_HZ * 40 / 1000;

	memmove(x + half + jump, x + half, (n - half - jump) * sizeof(*x));
}

static void spoil_level(float *x, size_t n)
{
	for (size_t i = 0; i < n; i++)
		x[i] *= 0.25f;
}

static void spoil_noise(float *x, size_t n)
{
	struct rng r;

	rng_init_fixed(&r, 11);
	for (size_t i = 0; i < n; i++)
		x[i] += (float)(0.02 * (uniform(&r) - 0.5));
}

static void spoil_half(float *x, size_t n) { memset(x + n / 2, 0, (n - n / 2) * sizeof(*x)); }
static void spoil_silence(float *x, size_t n) { memset(x, 0, n * sizeof(*x)); }

static void spoil_backwards(float *x, size_t n)
{
	for (size_t i = 0; i < n / 2; i++) {
		float t = x[i];

		x[i] = x[n - 1 - i];
		x[n - 1 - i] = t;
	}
}

static void spoil_other(float *x, size_t n)
{
	float *y = speech_make(99, n);

	memcpy(x, y, n * sizeof(*x));
	free(y);
}

static const struct {
	const char *name;
	void (*spoil)(float *x, size_t n);
	double corr_min, corr_max, snr_min, lsd_max, gain_db, drift_ppm;
} vectors[] = {
	{ "unchanged", spoil_nothing, 0.999, 1.001, 34, 0.1, 0, 0 },
	{ "PCMU", spoil_pcmu, 0.99, 1.001, 25, 3, 0, 0 },
	{ "PCMA", spoil_pcma, 0.99, 1.001, 25, 3, 0, 0 },
	{ "G722", spoil_g722, 0.97, 1.001, 9, 5, 0, 0 },
	{ "5 % of packets lost", spoil_loss, 0.9, 0.995, 20, 8, 0, 0 },
	{ "300 ppm of drift", spoil_drift, 0.95, 1.001, 10, 5, 0, -300 },
	{ "a jump of 40 ms", spoil_jump, 0.93, 1.001, 25, 4, 0, 0 },
	{ "a quarter of the level", spoil_level, 0.999, 1.001, 34, 0.1, -12.04, 0 },
	{ "noise", spoil_noise, 0.9, 0.9999, 8, 12, 0, 0 },
	{ "half of it missing", spoil_half, 0.4, 0.6, -10, 99, -3, 0 },
	{ "silence", spoil_silence, 0, 0.1, -10, 99, -99, 0 },
	{ "backwards", spoil_backwards, 0, 0.3, -10, 99, 0, 0 },
	{ "another voice", spoil_other, 0, 0.3, -10, 99, 0, 0 },
};

static void test_match_spoilt_speech_gives_expected_figures(void **state)
{
	float *ref = speech_make(1, SPEECH_N);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		float *rec = delayed(ref, SPEECH_N, BEFORE, MATCH_RATE_HZ);
		struct match_params p = { .needle = ref, .nneedle = SPEECH_N, .hay = rec,
					  .nhay = BEFORE + SPEECH_N + MATCH_RATE_HZ };
		struct match m;

		vectors[i].spoil(rec + BEFORE, SPEECH_N);
		assert_int_equal(match_find(&p, &m), 0);
		print_message("%-24s offset=%.1f corr=%.3f coverage=%.2f segsnr=%.1f lsd=%.1f gain=%.1f drift=%.0f\n",
			      vectors[i].name, m.offset_ms, m.corr, m.coverage, m.segsnr_db, m.lsd_db, m.gain_db, m.drift_ppm);
		assert_true(m.corr >= vectors[i].corr_min && m.corr <= vectors[i].corr_max);
		assert_true(m.segsnr_db >= vectors[i].snr_min);
		assert_true(m.lsd_db <= vectors[i].lsd_max);
		if (m.corr >= 0.9) {
			assert_true(fabs(m.gain_db - vectors[i].gain_db) < 0.6);
			/* G.722's filters delay by 22 samples. */
			assert_true(fabs(m.offset_ms - BEFORE * 1000.0 / MATCH_RATE_HZ) < 3);
			if (vectors[i].spoil != spoil_jump) /* which looks like drift */
				assert_true(fabs(m.drift_ppm - vectors[i].drift_ppm) < 20);
		}
		free(rec);
	}
	free(ref);
}

static void test_match_music_stretch_found_across_the_seam(void **state)
{
	static const double begins_s[] = { 0, 3.3, 6.5 }; /* the last runs over the end */
	float *loop = speech_make(5, SPEECH_N), *twice = delayed(loop, SPEECH_N, 0, SPEECH_N);

	(void)state;
	memcpy(twice + SPEECH_N, loop, SPEECH_N * sizeof(*loop));
	for (size_t i = 0; i < ARRAY_LEN(begins_s); i++) {
		size_t at = (size_t)(begins_s[i] * MATCH_RATE_HZ), n = 4 * MATCH_RATE_HZ;
		struct match_params p = { .needle = twice + at, .nneedle = n, .hay = loop, .nhay = SPEECH_N,
					  .is_circular = true, .needle_is_recorded = true };
		struct match m;

		assert_int_equal(match_find(&p, &m), 0);
		assert_true(m.corr > 0.999);
		assert_true(fabs(fmod(m.offset_ms + 1, SPEECH_S * 1000.0) - 1 - begins_s[i] * 1000) < 0.2);
	}
	free(twice);
	free(loop);
}

static void test_match_nothing_to_compare_is_told(void **state)
{
	float *quiet = calloc(MATCH_RATE_HZ, sizeof(*quiet)), *loud = speech_make(1, MATCH_RATE_HZ);
	struct match_params p = { .needle = quiet, .nneedle = MATCH_RATE_HZ, .hay = loud, .nhay = MATCH_RATE_HZ };
	struct match m = { .nblocks = 1 };

	(void)state;
	assert_int_equal(match_find(&p, &m), 0);
	assert_int_equal(m.nblocks, 0);
	p.nneedle = 100;
	assert_int_equal(match_find(&p, &m), -EINVAL);
	p.nneedle = MATCH_RATE_HZ;
	p.nhay = 0;
	assert_int_equal(match_find(&p, &m), -EINVAL);
	free(quiet);
	free(loud);
}

static const struct { const char *name; double hz1, hz2; int ms; bool is_tone; } tones[] = {
	{ "shortest digit 1", 697, 1209, 80, true },
	{ "digit D", 941, 1633, 100, true },
	{ "ringback, North America", 440, 480, 2000, true },
	{ "ringback, Europe", 425, 0, 1000, true },
	{ "beep", 1000, 0, 200, true },
	{ "click", 1000, 0, 20, false },
	{ "none", 0, 0, 0, false },
};

static void test_match_tone_in_speech_is_noticed(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(tones); i++) {
		float *x = speech_make(3, 4 * MATCH_RATE_HZ);
		size_t at = MATCH_RATE_HZ, n = (size_t)tones[i].ms * MATCH_RATE_HZ / 1000;
		double at_ms = -1;
		int ms;

		for (size_t k = 0; k < n; k++)
			x[at + k] = (float)(0.1 * sin(2 * M_PI * tones[i].hz1 * (double)k / MATCH_RATE_HZ) +
					    (tones[i].hz2 > 0 ? 0.1 * sin(2 * M_PI * tones[i].hz2 * (double)k / MATCH_RATE_HZ) : 0));
		ms = match_longest_tone(x, 4 * MATCH_RATE_HZ, &at_ms);
		print_message("%-24s %d ms at %.0f\n", tones[i].name, ms, at_ms);
		assert_int_equal(ms > 0, tones[i].is_tone);
		if (tones[i].is_tone)
			assert_true(abs(ms - tones[i].ms) < 35 && fabs(at_ms - 1000) < 35);
		free(x);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_match_spoilt_speech_gives_expected_figures),
		cmocka_unit_test(test_match_music_stretch_found_across_the_seam),
		cmocka_unit_test(test_match_nothing_to_compare_is_told),
		cmocka_unit_test(test_match_tone_in_speech_is_noticed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

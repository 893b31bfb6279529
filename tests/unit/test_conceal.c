/* What is put in the place of lost sound: at each rate, like what would have been said. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/conceal.h"

/* A voice: a fundamental and its harmonics up to 3 kHz, the higher the softer. */
static void voice(int16_t *pcm, size_t n, size_t from, uint32_t rate_hz, double hz)
{
	for (size_t i = 0; i < n; i++) {
		double t = (double)(from + i) / rate_hz, v = 0;

		for (unsigned k = 1; k * hz < 3000; k++)
			v += sin(2 * M_PI * hz * k * t + k * k) / k;
		pcm[i] = (int16_t)(4000 * v);
	}
}

static double likeness(const int16_t *a, const int16_t *b, size_t n)
{
	double ab = 0, aa = 0, bb = 0;

	for (size_t i = 0; i < n; i++) {
		ab += (double)a[i] * b[i];
		aa += (double)a[i] * a[i];
		bb += (double)b[i] * b[i];
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

static const uint32_t rates[] = { 8000, 16000, 48000 };
#define FRAME_MAX 480

/* Voices from a deep man's to a child's: 20 ms are lost after a tenth of a second. */
static void test_conceal_goes_on_as_the_voice_would(void **state)
{
	static const double voices[] = { 85, 110, 147, 195 };

	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rates); r++)
		for (size_t v = 0; v < ARRAY_LEN(voices); v++) {
			struct conceal *c = conceal_new(rates[r]);
			size_t n = rates[r] / 100;
			int16_t made_up[2 * FRAME_MAX], said[2 * FRAME_MAX], pcm[FRAME_MAX];

			assert_non_null(c);
			for (size_t i = 0; i < 10; i++) {
				voice(pcm, n, i * n, rates[r], voices[v]);
				conceal_heard(c, pcm, n);
			}
			conceal_fill(c, made_up, n);
			conceal_fill(c, made_up + n, n);
			voice(said, 2 * n, 10 * n, rates[r], voices[v]);
			if (likeness(made_up, said, 2 * n) < 0.9)
				fail_msg("%u Hz, a voice of %.0f Hz: likeness %.2f", rates[r], voices[v], likeness(made_up, said, 2 * n));
			conceal_free(c);
		}
}

/* Neither where it begins nor where the voice is back is there a step that the voice itself has not. */
static void test_conceal_joins_without_a_click(void **state)
{
	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
		struct conceal *c = conceal_new(rates[r]);
		size_t n = rates[r] / 100;
		int16_t pcm[FRAME_MAX], last = 0;
		int step, own = 0, most = 0;

		assert_non_null(c);
		for (size_t i = 0; i < 40; i++) {
			bool is_lost = i % 10 == 9;

			voice(pcm, n, i * n, rates[r], 123);
			for (size_t k = 1; k < n; k++)
				own = abs(pcm[k] - pcm[k - 1]) > own ? abs(pcm[k] - pcm[k - 1]) : own;
			if (is_lost)
				conceal_fill(c, pcm, n);
			else
				conceal_heard(c, pcm, n);
			for (size_t k = 0; k < n; k++) {
				step = abs(pcm[k] - (k ? pcm[k - 1] : last));
				most = (i || k) && step > most ? step : most;
			}
			last = pcm[n - 1];
		}
		if (most > own * 3 / 2)
			fail_msg("%u Hz: a step of %d, the voice's own are up to %d", rates[r], most, own);
		conceal_free(c);
	}
}

static void test_conceal_fades_out_and_begins_anew(void **state)
{
	(void)state;
	for (size_t r = 0; r < ARRAY_LEN(rates); r++) {
		struct conceal *c = conceal_new(rates[r]);
		size_t n = rates[r] / 100;
		int16_t pcm[FRAME_MAX], said[FRAME_MAX];
		int64_t power = 0;

		assert_non_null(c);
		conceal_fill(c, pcm, n); /* of nothing, nothing */
		for (size_t k = 0; k < n; k++)
			assert_int_equal(pcm[k], 0);
		for (size_t i = 0; i < 10; i++) {
			voice(pcm, n, i * n, rates[r], 110);
			conceal_heard(c, pcm, n);
		}
		for (size_t i = 0; i < 7; i++)
			conceal_fill(c, pcm, n);
		for (size_t k = 0; k < n; k++)
			power += pcm[k] * pcm[k];
		assert_int_equal(power, 0);
		for (size_t i = 0; i < 10; i++) {
			voice(pcm, n, i * n, rates[r], 147);
			conceal_heard(c, pcm, n);
		}
		conceal_fill(c, pcm, n);
		voice(said, n, 10 * n, rates[r], 147);
		if (likeness(pcm, said, n) < 0.85)
			fail_msg("%u Hz: likeness %.2f", rates[r], likeness(pcm, said, n));
		conceal_free(c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conceal_goes_on_as_the_voice_would),
		cmocka_unit_test(test_conceal_joins_without_a_click),
		cmocka_unit_test(test_conceal_fades_out_and_begins_anew),
	};

	return cmocka_run_group_tests_name("conceal", tests, NULL, NULL);
}

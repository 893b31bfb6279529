/* The E-model: figures that the Recommendations themselves give. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/emodel.h"

static void assert_near(const char *what, double got, double want, double most)
{
	if (fabs(got - want) > most)
		fail_msg("%s: %.2f instead of %.2f", what, got, want);
}

/* G.107 §7.7: all parameters at their default values. */
static void test_emodel_defaults_are_93_2(void **state)
{
	struct emodel_input in = { .codec = CODEC_PCMU };

	(void)state;
	assert_near("R", emodel_r(&in), 93.2, 0.05);
	assert_int_equal(emodel_mos(CODEC_PCMU, emodel_r(&in)), 441);
}

/* G.107 table B.1, and the ends of its formula. */
static void test_emodel_mos_is_that_of_annex_b(void **state)
{
	static const struct { double r; double mos; } rows[] = {
		{ 100, 4.50 }, { 90, 4.34 }, { 80, 4.03 }, { 70, 3.60 }, { 60, 3.10 }, { 50, 2.58 }, { 0, 1 }, { -5, 1 }, { 3, 1 }, { 140, 4.5 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_near("MOS", emodel_mos(CODEC_PCMA, rows[i].r) / 100.0, rows[i].mos, 0.011);
}

/* Impairments measured in G.113 table I.2 for random loss; the formula keeps within 1.5 of them. */
static void test_emodel_loss_is_that_of_g113(void **state)
{
	static const struct { enum codec_id codec; double loss, ie; } rows[] = {
		{ CODEC_G729, 0, 11 }, { CODEC_G729, 0.01, 15 }, { CODEC_G729, 0.02, 19 }, { CODEC_G729, 0.04, 26 },
		{ CODEC_PCMU, 0, 0 }, { CODEC_PCMU, 0.01, 5 }, { CODEC_PCMU, 0.02, 7 }, { CODEC_PCMU, 0.03, 10 }, { CODEC_PCMU, 0.05, 15 },
		{ CODEC_GSM, 0, 20 }, { CODEC_G726_32, 0, 7 }, { CODEC_AAL2_G726_24, 0, 25 }, { CODEC_G726_16, 0, 50 }, { CODEC_G726_40, 0, 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct emodel_input in = { .codec = rows[i].codec, .loss = rows[i].loss };

		assert_near(codec_get(rows[i].codec)->name, 93.2 - emodel_r(&in), rows[i].ie, 1.5);
	}
}

/* What is lost together is worse than what is lost here and there; beyond twice random it isn't told how much worse. */
static void test_emodel_bursts_are_worse(void **state)
{
	struct emodel_input random = { .codec = CODEC_PCMU, .loss = 0.05 }, burst = random, worse = random, odd = random;

	(void)state;
	burst.burst = 2;
	worse.burst = 10;
	odd.burst = 0.5;
	assert_true(emodel_r(&burst) < emodel_r(&random) - 1);
	assert_near("10", emodel_r(&worse), emodel_r(&burst), 0.001);
	assert_near("0.5", emodel_r(&odd), emodel_r(&random), 0.001);
}

/* G.114: to 150 ms most users notice nothing, at 400 ms many are dissatisfied. G.107's Idd alone is 3 at 200 ms. */
static void test_emodel_delay_bends_at_the_known_place(void **state)
{
	struct emodel_input in = { .codec = CODEC_PCMU };
	double last = emodel_r(&in), at[5];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		in.delay_ms = 100.0 * (i + 1);
		at[i] = emodel_r(&in);
		assert_true(at[i] < last);
		last = at[i];
	}
	assert_true(at[0] > 90 && at[1] > 80 && at[1] < 90);
	assert_true(at[3] > 50 && at[3] < 70);
	/* 22 ms or a little, no cliff at 100 */
	in.delay_ms = 22;
	assert_true(emodel_r(&in) > 92);
	in.delay_ms = 100.001;
	assert_near("100", emodel_r(&in), at[0], 0.01);
}

static void test_emodel_wide_band_has_its_own_scale(void **state)
{
	struct emodel_input g722 = { .codec = CODEC_G722 }, opus = { .codec = CODEC_OPUS };

	(void)state;
	assert_near("G.722", emodel_r(&g722), 129 - 13, 0.2); /* Ro,WB - Ie,WB; G.113 appendix IV */
	assert_in_range(emodel_mos(CODEC_G722, emodel_r(&g722)), 430, 440);
	assert_in_range(emodel_mos(CODEC_OPUS, emodel_r(&opus)), 438, 450);
	opus.loss = 0.02;
	assert_in_range(emodel_mos(CODEC_OPUS, emodel_r(&opus)), 390, 430);
}

/* Nobody falls out of the scale. */
static void test_emodel_stays_within_its_range(void **state)
{
	(void)state;
	for (unsigned id = 0; id < CODEC_COUNT; id++)
		for (unsigned loss = 0; loss <= 110; loss += 10)
			for (unsigned delay = 0; delay <= 60000; delay += 997) {
				struct emodel_input in = { .codec = id, .loss = loss / 100.0 - 0.05, .delay_ms = delay - 10.0 };
				double r = emodel_r(&in);

				assert_true(r >= 0 && r <= 129);
				assert_in_range(emodel_mos(id, r), 100, 450);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_emodel_defaults_are_93_2),
		cmocka_unit_test(test_emodel_mos_is_that_of_annex_b),
		cmocka_unit_test(test_emodel_loss_is_that_of_g113),
		cmocka_unit_test(test_emodel_bursts_are_worse),
		cmocka_unit_test(test_emodel_delay_bends_at_the_known_place),
		cmocka_unit_test(test_emodel_wide_band_has_its_own_scale),
		cmocka_unit_test(test_emodel_stays_within_its_range),
	};

	return cmocka_run_group_tests_name("emodel", tests, NULL, NULL);
}

/* Cadences from text: what pbx.is_cadence() lets through and no more. tests/sql/tones.sql has the same rows. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/str.h"
#include "directory/cadence.h"

static void test_cadence_parse_reads_tones(void **state)
{
	static const struct { const char *text; struct dir_cadence expected; } rows[] = {
		{ "425", { 1, { { 425, 0, 10000, 0, false } } } },
		{ "350+440", { 1, { { 350, 440, 10000, 0, false } } } },
		{ "400*25", { 1, { { 400, 25, 10000, 0, true } } } },
		{ "425/500/500", { 1, { { 425, 0, 500, 500, false } } } },
		{ "400+450/400/200 400*17/400/2000", { 2, { { 400, 450, 400, 200, false }, { 400, 17, 400, 2000, true } } } },
		{ "950/330 1400/330 1800/330/1000", { 3, { { 950, 0, 330, 0, false }, { 1400, 0, 330, 0, false }, { 1800, 0, 330, 1000, false } } } },
		{ "425/1 425/1 425/1 425/1 425/1 425/1 425/1 425/65535/65535",
		  { 8, { { 425, 0, 1, 0, false }, { 425, 0, 1, 0, false }, { 425, 0, 1, 0, false }, { 425, 0, 1, 0, false }, { 425, 0, 1, 0, false },
			 { 425, 0, 1, 0, false }, { 425, 0, 1, 0, false }, { 425, 0, 65535, 65535, false } } } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dir_cadence c;

		assert_int_equal(cadence_parse(&c, rows[i].text), 0);
		assert_int_equal(c.n, rows[i].expected.n);
		for (unsigned k = 0; k < c.n; k++) {
			const struct tone *a = &c.tones[k], *b = &rows[i].expected.tones[k];

			assert_true(a->hz1 == b->hz1 && a->hz2 == b->hz2 && a->on_ms == b->on_ms && a->off_ms == b->off_ms &&
				    a->modulates == b->modulates);
		}
	}
}

static void test_cadence_parse_refuses_the_rest(void **state)
{
	static const char *const rows[] = {
		"", " ", "a", "0", "00", "000/500/500", "425/1 00/1", "425/", "425/0/500", "425/65536/1", "425/1/65536", "425+", "+425", "425/1/1/1", "425 425/1", "425/1 425", "425/1  425/1",
		"425/1 ", "425,425", "-425", "425/1 425/1 425/1 425/1 425/1 425/1 425/1 425/1 425/1",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dir_cadence c = { .n = 1 };

		if (cadence_parse(&c, rows[i]) != -EINVAL || c.n)
			fail_msg("'%s' is taken", rows[i]);
	}
}

static void test_cadence_find_knows_the_columns(void **state)
{
	(void)state;
	assert_int_equal(cadence_find("dial"), DIR_TONE_DIAL);
	assert_int_equal(cadence_find("special_information"), DIR_TONE_SPECIAL_INFORMATION);
	assert_int_equal(cadence_find("Dial"), -ENOENT);
	assert_int_equal(cadence_find(""), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cadence_parse_reads_tones),
		cmocka_unit_test(test_cadence_parse_refuses_the_rest),
		cmocka_unit_test(test_cadence_find_knows_the_columns),
	};

	return cmocka_run_group_tests_name("cadence", tests, NULL, NULL);
}

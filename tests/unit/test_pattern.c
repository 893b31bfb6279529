/* test_pattern.c - dialplan patterns: validity, matching, the order of specificity, and the trie against the plain functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "base/rng.h"
#include "plan/pattern.h"

static void test_pattern_validity(void **state)
{
	static const struct { const char *text; bool valid; } rows[] = {
		{ "1001", true }, { "*97", true }, { "sales.desk", true }, { "_10XX", true }, { "_**X.", true }, { "_[13-57]N", true },
		{ "_X!", true }, { "_+49.", true }, { "_.", true }, { "", false }, { "_", false }, { "_X.X", false }, { "_[", false },
		{ "_[]", false }, { "_[7-3]", false }, { "_[a]", false }, { "_a", false }, { "10 01", false }, { "10!", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(pattern_is_valid(str_from(rows[i].text), NULL), rows[i].valid);
}

static void test_pattern_matching(void **state)
{
	static const struct { const char *pattern, *number; bool matches; } rows[] = {
		{ "1001", "1001", true }, { "1001", "10011", false }, { "_10XX", "1099", true }, { "_10XX", "109", false },
		{ "_ZN", "12", true }, { "_ZN", "02", false }, { "_ZN", "11", false }, { "_[13-57]", "4", true }, { "_[13-57]", "2", false },
		{ "_9.", "9", false }, { "_9.", "91", true }, { "_9!", "9", true }, { "_9!", "9123", true }, { "_**X.", "**1001", true },
		{ "_**X.", "**1", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(pattern_match(str_from(rows[i].pattern), str_from(rows[i].number)), rows[i].matches);
}

/* Each before the next. */
static void test_pattern_order(void **state)
{
	static const char *const rows[] = { "_100[1-3]", "_100[2-4]", "_100N", "_100Z", "_100X", "_100.", "_100!", "_10X1", "_1X", "_1.", "_X", "_." };

	(void)state;
	for (size_t i = 0; i + 1 < ARRAY_LEN(rows); i++) {
		assert_true(pattern_compare(str_from(rows[i]), str_from(rows[i + 1])) < 0);
		assert_true(pattern_compare(str_from(rows[i + 1]), str_from(rows[i])) > 0);
	}
	assert_int_equal(pattern_compare(STR("_X"), STR("_[0-9]")), 0);
	assert_true(pattern_compare(STR("_9"), STR("_9!")) < 0);
}

static void random_pattern(struct rng *rng, char *out)
{
	static const char *const parts[] = { "0", "1", "2", "9", "*", "X", "Z", "N", "[1-3]", "[05]", "[2-9]" };
	unsigned n = 1 + rng_below(rng, 4);

	strcpy(out, "_");
	while (n--)
		strcat(out, parts[rng_below(rng, ARRAY_LEN(parts))]);
	if (rng_below(rng, 4) == 0)
		strcat(out, rng_below(rng, 2) ? "." : "!");
}

static void test_pattern_set_agrees_with_compare(void **state)
{
	enum { N = 300 };
	static char texts[N][64];
	struct pattern_set *set = pattern_set_new();
	struct rng rng;
	unsigned n = 0;

	(void)state;
	rng_init_fixed(&rng, 42);
	while (n < N) {
		random_pattern(&rng, texts[n]);
		if (pattern_set_add(set, str_from(texts[n]), texts[n]) == 0)
			n++;
	}
	assert_int_equal(pattern_set_add(set, str_from(texts[0]), texts[0]), -EEXIST);
	for (unsigned round = 0; round < 20000; round++) {
		char number[8];
		unsigned len = 1 + rng_below(&rng, 5);
		const char *best = NULL;

		for (unsigned i = 0; i < len; i++)
			number[i] = "0123456789*"[rng_below(&rng, 11)];
		for (unsigned i = 0; i < N; i++)
			if (texts[i][0] && pattern_match(str_from(texts[i]), (struct str){ number, len }) &&
			    (!best || pattern_compare(str_from(texts[i]), str_from(best)) < 0))
				best = texts[i];
		assert_ptr_equal(pattern_set_match(set, (struct str){ number, len }), best);
		if (round == 10000) /* the same with half of them gone */
			for (unsigned i = 0; i < N; i += 2) {
				assert_ptr_equal(pattern_set_remove(set, str_from(texts[i])), texts[i]);
				assert_null(pattern_set_remove(set, str_from(texts[i])));
				texts[i][0] = '\0';
			}
	}
	pattern_set_free(set, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern_validity), cmocka_unit_test(test_pattern_matching), cmocka_unit_test(test_pattern_order),
		cmocka_unit_test(test_pattern_set_agrees_with_compare),
	};

	return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}

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

static const char *own_text(const void *value)
{
	return value;
}

static unsigned nshed;

static void count_shed(void *value)
{
	assert_int_not_equal(((char *)value)[0], '\0');
	((char *)value)[0] = '\0';
	nshed++;
}

/* A few at a time: all of them, each once. */
static void shed_all(struct pattern_set *set, unsigned expected)
{
	nshed = 0;
	while (pattern_set_shed(set, 7, count_shed) == 7)
		;
	assert_int_equal(nshed, expected);
}

static void test_pattern_set_agrees_with_compare(void **state)
{
	enum { N = 300 };
	static char texts[N][64];
	struct pattern_set *set = pattern_set_new(own_text);
	struct rng rng;
	unsigned n = 0;

	(void)state;
	rng_init_fixed(&rng, 42);
	while (n < N) {
		random_pattern(&rng, texts[n]);
		if (pattern_set_add(set, texts[n]) == 0)
			n++;
	}
	assert_int_equal(pattern_set_add(set, texts[0]), -EEXIST);
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
	shed_all(set, N / 2);
}

/* Numbers as numbers, and in all the ways a pattern may say just one, among wildcards. */
static void random_number_or_pattern(struct rng *rng, char *out)
{
	static const char *const heads[] = { "", "_", "a", "" };
	const char *head = heads[rng_below(rng, ARRAY_LEN(heads))];

	strcpy(out, head);
	for (unsigned n = 1 + rng_below(rng, 5); n; n--)
		if (head[0] == '_' && rng_below(rng, 5) == 0)
			strcat(out, rng_below(rng, 2) ? "[2]" : "X");
		else
			strncat(out, &"0123*"[rng_below(rng, 5)], 1);
	if (head[0] == '_' && rng_below(rng, 30) == 0)
		strcat(out, rng_below(rng, 2) ? "." : "!");
}

static bool slow_begins(char texts[][64], unsigned n, struct str digits)
{
	for (unsigned i = 0; i < n; i++) {
		char head[64];
		size_t at = 0;

		/* Position by position; what is left over makes the number longer. */
		if (!texts[i][0])
			continue;
		strcpy(head, texts[i]);
		for (size_t k = head[0] == '_'; at < digits.n && head[k]; at++) {
			bool is_wild = head[0] == '_', has = false;

			if (is_wild && (head[k] == '.' || head[k] == '!'))
				return true;
			if (is_wild && head[k] == '[')
				k++;
			has = is_wild && head[k] == 'X' ? digits.p[at] >= '0' && digits.p[at] <= '9' : head[k] == digits.p[at];
			if (!has)
				break;
			k += head[k + 1] == ']' ? 2 : 1;
			if (at + 1 == digits.n && head[k])
				return true;
		}
		if (!digits.n)
			return true;
	}
	return false;
}

static void check_numbers(struct pattern_set *set, struct rng *rng, char texts[][64], unsigned n)
{
	for (unsigned round = 0; round < 4000; round++) {
		char number[8];
		struct str digits = { number, rng_below(rng, 6) };
		const char *best = NULL;

		for (size_t i = 0; i < digits.n; i++)
			number[i] = "0123*a"[rng_below(rng, i ? 5 : 6)];
		for (unsigned i = 0; i < n; i++)
			if (texts[i][0] && pattern_match(str_from(texts[i]), digits) && (!best || pattern_compare(str_from(texts[i]), str_from(best)) < 0))
				best = texts[i];
		assert_ptr_equal(pattern_set_match(set, digits), best);
		if (pattern_set_begins(set, digits) != slow_begins(texts, n, digits))
			fail_msg("begins one with '%.*s'? %d", STR_ARG(digits), slow_begins(texts, n, digits));
	}
}

static void test_pattern_set_numbers_and_patterns_alike(void **state)
{
	enum { N = 600 };
	static char texts[N][64], others[N][64];
	struct pattern_set *set = pattern_set_new(own_text);
	unsigned n = 0, left = N, tried = 0;
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	assert_false(pattern_set_begins(set, STR("")));
	assert_null(pattern_set_match(set, STR("")));
	while (n < N && tried++ < 100000) {
		unsigned same = 0;

		random_number_or_pattern(&rng, texts[n]);
		while (same < n && pattern_compare(str_from(texts[same]), str_from(texts[n])) != 0)
			same++;
		assert_int_equal(pattern_set_add(set, texts[n]), same < n ? -EEXIST : 0);
		assert_ptr_equal(pattern_set_get(set, str_from(texts[n])), texts[same]);
		n += same == n;
	}
	assert_int_equal(n, N);
	check_numbers(set, &rng, texts, N);
	for (unsigned i = 0; i < N; i += 3) { /* others of the same patterns */
		strcpy(others[i], texts[i]);
		assert_int_equal(pattern_set_replace(set, texts[i], others[i]), 0);
		assert_ptr_equal(pattern_set_get(set, str_from(texts[i])), others[i]);
		assert_int_equal(pattern_set_replace(set, others[i], texts[i]), 0);
	}
	check_numbers(set, &rng, texts, N);
	for (unsigned i = 0; i < N; i++)
		if (rng_below(&rng, 3)) {
			assert_ptr_equal(pattern_set_remove(set, str_from(texts[i])), texts[i]);
			assert_null(pattern_set_remove(set, str_from(texts[i])));
			texts[i][0] = '\0';
			left--;
		}
	check_numbers(set, &rng, texts, N);
	shed_all(set, left);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pattern_validity), cmocka_unit_test(test_pattern_matching), cmocka_unit_test(test_pattern_order),
		cmocka_unit_test(test_pattern_set_agrees_with_compare), cmocka_unit_test(test_pattern_set_numbers_and_patterns_alike),
	};

	return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}

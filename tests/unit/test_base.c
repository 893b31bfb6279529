/* test_base.c - slices, the bounded writer, randomness, log lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "base/dec.h"
#include "base/log.h"
#include "base/member.h"
#include "base/out.h"
#include "base/rng.h"

static void test_str_cut_walks_a_list(void **state)
{
	struct str rest = STR("a,,bc"), part;

	(void)state;
	part = str_cut(&rest, ',');
	assert_true(str_eqz(part, "a"));
	part = str_cut(&rest, ',');
	assert_true(str_empty(part) && part.p);
	part = str_cut(&rest, ',');
	assert_true(str_eqz(part, "bc"));
	assert_null(rest.p);
}

static void test_str_to_u32_bounds(void **state)
{
	static const struct { const char *in; uint32_t max; int err; uint32_t out; } rows[] = {
		{ "0", 10, 0, 0 }, { "10", 10, 0, 10 }, { "11", 10, -ERANGE, 0 }, { "", 10, -EINVAL, 0 },
		{ "-1", 10, -EINVAL, 0 }, { " 1", 10, -EINVAL, 0 }, { "4294967295", UINT32_MAX, 0, UINT32_MAX },
		{ "4294967296", UINT32_MAX, -ERANGE, 0 }, { "99999999999999999999999999", UINT32_MAX, -ERANGE, 0 },
		{ "18446744073709551617", UINT32_MAX, -ERANGE, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint32_t v = 0;

		assert_int_equal(str_to_u32(str_from(rows[i].in), rows[i].max, &v), rows[i].err);
		assert_int_equal(v, rows[i].out);
	}
}

static void test_str_trim_and_compare(void **state)
{
	(void)state;
	assert_true(str_eqz(str_trim(STR(" \t x y\r\n ")), "x y"));
	assert_true(str_empty(str_trim(STR(" \r\n"))));
	assert_true(str_ieq(STR("Call-ID"), STR("call-id")));
	assert_false(str_ieq(STR("a"), STR("ab")));
	assert_false(str_ieq(STR("@"), STR("`"))); /* only letters fold */
	assert_true(str_istarts(STR("SIPS:x"), STR("sips:")));
}

static void test_str_put_and_join_keep_their_bounds(void **state)
{
	char buf[6];

	(void)state;
	str_put(buf, sizeof(buf), "abcde");
	assert_string_equal(buf, "abcde");
	str_put(buf, sizeof(buf), "abcdefgh");
	assert_string_equal(buf, "abcde");
	str_put(buf, sizeof(buf), buf + 2);
	assert_string_equal(buf, "cde");
	str_put(buf, sizeof(buf), NULL);
	assert_string_equal(buf, "");
	assert_int_equal(str_join(buf, sizeof(buf), "ab", '/', STR("cd")), 5);
	assert_string_equal(buf, "ab/cd");
	assert_int_equal(str_join(buf, sizeof(buf), "", '/', STR_NULL), 1);
	assert_string_equal(buf, "/");
	assert_int_equal(str_join(buf, sizeof(buf), "ab", '/', STR("cde")), -ENOSPC);
}

static void test_out_prints_numbers_and_formats_at_the_edge(void **state)
{
	static const struct { int64_t v; const char *text; } v[] = {
		{ 0, "0" }, { -1, "-1" }, { INT64_MAX, "9223372036854775807" }, { INT64_MIN, "-9223372036854775808" },
	};
	char buf[32];
	struct out o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		out_init(&o, buf, sizeof(buf));
		out_i64(&o, v[i].v);
		assert_true(str_eqz(out_view(&o), v[i].text));
	}
	/* each number of digits, at both of its ends, with room and with just enough */
	for (uint64_t limit = 1; limit < UINT64_MAX / 10; limit *= 10)
		for (int d = -1; d < 2; d++) {
			char want[DEC_MAX + 1];
			int n = snprintf(want, sizeof(want), "%llu", (unsigned long long)(limit + (uint64_t)d));

			out_init(&o, buf, sizeof(buf));
			out_u64(&o, limit + (uint64_t)d);
			assert_true(out_ok(&o) && str_eqz(out_view(&o), want));
			out_init(&o, buf, (size_t)n);
			out_u64(&o, limit + (uint64_t)d);
			assert_true(out_ok(&o) && str_eqz(out_view(&o), want));
			out_init(&o, buf, (size_t)n - 1);
			out_u64(&o, limit + (uint64_t)d);
			assert_true(!out_ok(&o) && o.len == 0);
		}
	/* a NUL of printf's must fit behind what it writes, though the writer doesn't keep it */
	out_init(&o, buf, 5);
	out_fmt(&o, "%d", 1234);
	assert_true(out_ok(&o) && str_eqz(out_view(&o), "1234"));
	out_fmt(&o, "%d", 5);
	assert_false(out_ok(&o));
	assert_int_equal(o.len, 4);
	out_init_grow(&o, 5000);
	for (unsigned i = 0; i < 400; i++)
		out_fmt(&o, "%u,", 100000 + i); /* grows on the way */
	assert_true(out_ok(&o));
	assert_int_equal(o.len, 2800);
	assert_memory_equal(o.p + 2793, "100399,", 7);
	out_fini(&o);
}

/* RFC 8259 §7; bytes that are no UTF-8 (RFC 3629 §3) can't stay. */
static void test_member_text_is_escaped(void **state)
{
	static const struct { const char *text, *json; } rows[] = {
		{ "", "\"\"" },
		{ "plain", "\"plain\"" },
		{ "sip:1001@[2001:db8::1]:5062;transport=tcp", "\"sip:1001@[2001:db8::1]:5062;transport=tcp\"" },
		{ "a \"quoted\" and \\ one", "\"a \\\"quoted\\\" and \\\\ one\"" },
		{ "\t\x1f|\x7f", "\"\\u0009\\u001f|\x7f\"" },
		{ "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x93\x9e", "\"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x93\x9e\"" },
		{ "\xe9t\xe9 \xc3", "\"?t? ?\"" },
	};
	char buf[100];
	struct out o;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		out_init(&o, buf, sizeof(buf));
		member_print_text(&o, rows[i].text);
		if (!str_eqz(out_view(&o), rows[i].json))
			fail_msg("%s: %.*s", rows[i].text, STR_ARG(out_view(&o)));
	}
	out_init(&o, buf, sizeof(buf));
	member_str(&o, KEY("a"), NULL);
	member_str(&o, KEY("b"), "");
	member_int(&o, KEY("c"), -7);
	assert_true(str_eqz(out_view(&o), "\"a\":null,\"b\":null,\"c\":-7,"));
}

static void test_out_remembers_overflow(void **state)
{
	char buf[8];
	struct out o;

	(void)state;
	out_init(&o, buf, sizeof(buf));
	out_z(&o, "12345");
	out_z(&o, "6789"); /* dropped whole */
	assert_false(out_ok(&o));
	out_chr(&o, 'x');  /* nothing after an overflow */
	assert_int_equal(o.len, 5);
	out_reset(&o);
	out_u64(&o, 12345678);
	assert_true(out_ok(&o));
	assert_true(str_eqz(out_view(&o), "12345678"));
}

static void test_out_grows_to_its_limit(void **state)
{
	struct out o;

	(void)state;
	out_init_grow(&o, 1000);
	for (int i = 0; i < 100; i++)
		out_fmt(&o, "%09d", i);
	assert_true(out_ok(&o));
	assert_int_equal(o.len, 900);
	for (int i = 0; i < 20; i++)
		out_fmt(&o, "%09d", i);
	assert_false(out_ok(&o));
	out_fini(&o);
}

static void test_out_on_leaves_the_buffer_when_it_must(void **state)
{
	char buf[8];
	struct out o;

	(void)state;
	out_init_on(&o, buf, sizeof(buf), 20);
	out_z(&o, "12345678");
	assert_ptr_equal(out_view(&o).p, buf);
	out_chr(&o, '9');
	assert_ptr_not_equal(out_view(&o).p, buf);
	out_z(&o, "0123456789"); /* and grows there */
	assert_true(out_ok(&o) && str_eqz(out_view(&o), "1234567890123456789"));
	out_z(&o, "xx");
	assert_false(out_ok(&o));
	out_fini(&o);
	out_init_on(&o, buf, sizeof(buf), 4); /* the limit is less than the buffer */
	out_z(&o, "1234");
	assert_true(out_ok(&o));
	out_chr(&o, '5');
	assert_false(out_ok(&o));
	out_fini(&o);
}

static void test_rng_uuid_and_range(void **state)
{
	struct rng r;
	char uuid[37], token[100];
	unsigned seen[7] = { 0 };

	(void)state;
	rng_init(&r);
	rng_uuid(&r, uuid);
	assert_int_equal(strlen(uuid), 36);
	assert_int_equal(uuid[14], '4');
	for (size_t n = 0; n < sizeof(token); n++) { /* across the ends of words, and of the buffer of random bytes */
		rng_token(&r, token, n);
		assert_int_equal(strlen(token), n);
		assert_int_equal(strspn(token, "0123456789abcdefghijklmnopqrstuv"), n);
	}
	for (int i = 0; i < 7000; i++)
		seen[rng_below(&r, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 700, 1300);
}

static void test_log_keeps_one_line(void **state)
{
	char *text = NULL, huge[2000];
	size_t n = 0;
	struct log log = { .to = open_memstream(&text, &n), .level = LOG_INFO };

	(void)state;
	log_write(&log, LOG_DEBUG, "x", "not shown");
	log_write(&log, LOG_INFO, "sip", "a=%s", "evil\r\nforged line");
	fflush(log.to);
	assert_non_null(strstr(text, "info  sip: a=evil  forged line\n"));
	assert_null(strstr(text, "not shown"));
	assert_ptr_equal(strchr(text, '\n'), text + n - 1);
	memset(huge, 'x', sizeof(huge));
	log_text(&log, LOG_DEBUG, "x", STR("not shown"));
	log_text(&log, LOG_INFO, "sip", STR("b=\xc3\xa4\x7f\n."));
	log_text(&log, LOG_INFO, "sip", (struct str){ huge, sizeof(huge) });
	fclose(log.to);
	assert_non_null(strstr(text, "info  sip: b=\xc3\xa4  .\n"));
	assert_null(strstr(text, "not shown"));
	assert_int_equal(strlen(strstr(text, "xxx")), 1023 - strlen("2026-01-31 12:00:00.000 info  sip: ")); /* cut, and ended */
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_str_cut_walks_a_list),
		cmocka_unit_test(test_str_to_u32_bounds),
		cmocka_unit_test(test_str_trim_and_compare),
		cmocka_unit_test(test_str_put_and_join_keep_their_bounds),
		cmocka_unit_test(test_out_prints_numbers_and_formats_at_the_edge),
		cmocka_unit_test(test_out_remembers_overflow),
		cmocka_unit_test(test_member_text_is_escaped),
		cmocka_unit_test(test_out_grows_to_its_limit),
		cmocka_unit_test(test_out_on_leaves_the_buffer_when_it_must),
		cmocka_unit_test(test_rng_uuid_and_range),
		cmocka_unit_test(test_log_keeps_one_line),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}

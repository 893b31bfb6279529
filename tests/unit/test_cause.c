/* test_cause.c - status codes, Q.850 causes, Reason headers and results; and how many calls an extension has at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "call/call_int.h"

/* RFC 3398 §8.2.6.1 the other way round: what an ISUP peer would be told. */
static void test_cause_of_status_follows_rfc3398(void **state)
{
	static const struct { int status, cause; } rows[] = {
		{ 404, 1 }, { 486, 17 }, { 600, 17 }, { 480, 18 }, { 403, 21 }, { 603, 21 }, { 410, 22 }, { 484, 28 }, { 408, 102 }, { 504, 102 },
		{ 503, 41 }, { 488, 65 }, { 415, 79 }, { 487, 16 }, { 200, 16 }, { 0, 16 },
		{ 418, 31 }, { 599, 31 }, { 699, 31 }, /* normal, unspecified */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (cause_of_status(rows[i].status) != rows[i].cause)
			fail_msg("%d: %d, not %d", rows[i].status, cause_of_status(rows[i].status), rows[i].cause);
}

/* What the next step's condition sees, and what the caller is told if there is none. */
static void test_cause_result_of_status_and_back(void **state)
{
	static const struct { int status; enum app_result result; const char *name; int back; } rows[] = {
		{ 486, APP_BUSY, "busy", 486 }, { 600, APP_BUSY, "busy", 486 }, { 603, APP_DECLINED, "declined", 603 },
		{ 403, APP_DECLINED, "declined", 603 }, { 607, APP_DECLINED, "declined", 603 }, { 404, APP_INVALID, "invalid", 404 },
		{ 484, APP_INVALID, "invalid", 404 }, { 408, APP_NO_ANSWER, "no_answer", 480 }, { 487, APP_NO_ANSWER, "no_answer", 480 },
		{ 480, APP_UNAVAILABLE, "unavailable", 480 }, { 410, APP_UNAVAILABLE, "unavailable", 480 },
		{ 503, APP_CONGESTION, "congestion", 503 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(result_of_status(rows[i].status), rows[i].result);
		assert_string_equal(app_result_name(rows[i].result), rows[i].name);
		assert_int_equal(status_of_result(rows[i].result), rows[i].back);
	}
	/* Every result has a name and a final response that refuses. */
	for (unsigned r = 0; r < APP_RESULT_COUNT; r++) {
		assert_non_null(app_result_name(r));
		assert_in_range(status_of_result(r), 400, 699);
	}
	assert_string_equal(app_result_name(APP_RESULT_COUNT), "failed");
}

/* A final response of one dialog isn't that of the other: what speaks of the request itself stays there. */
static void test_cause_status_to_pass_speaks_of_the_call(void **state)
{
	static const struct { int status, phone, outside; } rows[] = {
		{ 486, 486, 486 }, { 404, 404, 404 }, { 488, 488, 488 }, { 500, 500, 500 }, { 503, 503, 503 }, { 600, 600, 600 },
		{ 603, 603, 603 }, { 401, 480, 502 }, { 407, 480, 502 }, { 405, 480, 502 }, { 415, 480, 502 }, { 420, 480, 502 },
		{ 423, 480, 502 }, { 481, 480, 502 }, { 487, 480, 502 }, { 491, 480, 502 }, { 505, 480, 502 }, { 302, 480, 480 },
		{ 0, 480, 480 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(status_to_pass(rows[i].status, false), rows[i].phone);
		assert_int_equal(status_to_pass(rows[i].status, true), rows[i].outside);
	}
}

/* RFC 3326 §2 */
static void test_cause_of_reason_finds_q850(void **state)
{
	static const struct { const char *value; int cause; } rows[] = {
		{ "Q.850;cause=16;text=\"Terminated\"", 16 }, { "q.850 ; text=\"x\" ; cause=17", 17 },
		{ "SIP ;cause=600 ;text=\"Busy Everywhere\"", 0 }, { "SIP;cause=200;text=\"a, b\", Q.850;cause=18", 18 },
		{ "SIP;cause=200;text=\"Call completed elsewhere\"", 0 }, { "Q.850;cause=128", 0 }, { "Q.850;cause=x", 0 }, { "Q.850", 0 },
		{ "", 0 }, { ",", 0 }, { "Q.850;cause=0", 0 }, { "Q.850;cause=127", 127 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (cause_of_reason(str_from(rows[i].value)) != rows[i].cause)
			fail_msg("%s: %d, not %d", rows[i].value, cause_of_reason(str_from(rows[i].value)), rows[i].cause);
}

static void test_usage_holds_the_limit_of_each(void **state)
{
	struct calls cs = { .usages = NULL };
	struct usage *a[3], *b, *other, *none;
	char long_name[200];

	(void)state;
	assert_true(usage_take(&cs, &a[0], "office", "1001", 2));
	assert_true(usage_take(&cs, &a[1], "office", "1001", 2));
	assert_false(usage_take(&cs, &a[2], "office", "1001", 2));
	/* Others are not concerned, nor those of the same name elsewhere. */
	assert_true(usage_take(&cs, &b, "office", "1002", 1));
	assert_true(usage_take(&cs, &other, "branch", "1001", 1));
	assert_false(usage_take(&cs, &none, "office", "1003", 0));
	usage_give(&cs, a[0]);
	assert_true(usage_take(&cs, &a[2], "office", "1001", 2));
	/* A limit that was lowered meanwhile ends nothing, and lets nobody in. */
	assert_false(usage_take(&cs, &none, "office", "1001", 1));
	assert_true(usage_take(&cs, &a[0], "office", "1001", UINT32_MAX));
	for (int i = 0; i < 3; i++)
		usage_give(&cs, a[i]);
	usage_give(&cs, b);
	usage_give(&cs, other);
	usage_give(&cs, NULL);
	assert_null(cs.usages);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	assert_false(usage_take(&cs, &none, "office", long_name, 5));
	assert_null(cs.usages);
}

static void test_cause_status_of_error_tells_lack_from_fault(void **state)
{
	static const struct { int err, status; } rows[] = {
		{ -EPROTO, 488 }, { -EADDRINUSE, 503 }, { -EMFILE, 503 }, { -ENOMEM, 503 }, { -EINVAL, 500 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(status_of_error(rows[i].err), rows[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cause_of_status_follows_rfc3398),
		cmocka_unit_test(test_cause_status_of_error_tells_lack_from_fault),
		cmocka_unit_test(test_cause_result_of_status_and_back),
		cmocka_unit_test(test_cause_status_to_pass_speaks_of_the_call),
		cmocka_unit_test(test_cause_of_reason_finds_q850), cmocka_unit_test(test_usage_holds_the_limit_of_each),
	};

	return cmocka_run_group_tests_name("cause", tests, NULL, NULL);
}

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
		{ 400, 41 }, { 401, 21 }, { 402, 21 }, { 405, 63 }, { 406, 79 }, { 407, 21 }, { 413, 127 }, { 414, 127 }, { 416, 127 },
		{ 420, 127 }, { 421, 127 }, { 423, 127 }, { 481, 41 }, { 482, 25 }, { 483, 25 }, { 485, 1 }, { 500, 41 }, { 501, 79 },
		{ 502, 38 }, { 505, 127 }, { 513, 127 }, { 604, 1 }, { 607, 21 }, { 608, 21 },
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
		{ 424, 424, 424 }, { 0, 480, 480 },
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
		{ "SIP;text=\"x, Q.850;cause=5\", Q.850;cause=18", 18 }, { "SIP;text=\"\\\", Q.850;cause=5\"", 0 },
		{ "Q.850;cause=17, Q.850;cause=18", 17 },
		{ "", 0 }, { ",", 0 }, { "Q.850;cause=0", 0 }, { "Q.850;cause=127", 127 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (cause_of_reason(str_from(rows[i].value)) != rows[i].cause)
			fail_msg("%s: %d, not %d", rows[i].value, cause_of_reason(str_from(rows[i].value)), rows[i].cause);
}

static const struct sip_msg *bye(const char *hdrs)
{
	static char text[4096];
	static struct sip_msg msg;
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "BYE sip:1@b SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
			 "To: <sip:1@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n%sContent-Length: 0\r\n\r\n", hdrs);

	assert_int_equal(sip_msg_parse(&msg, text, (size_t)n, &err), 0);
	return &msg;
}

/* RFC 3326 §2, RFC 9366: one value of each protocol, or more, in one header or in several. */
static void test_reason_take_keeps_all_whole_values(void **state)
{
	static const struct { const char *hdrs, *list; } rows[] = {
		{ "", "" }, { "Reason: Q.850;cause=16;text=\"Terminated\"\r\n", "Q.850;cause=16;text=\"Terminated\"" },
		{ "Reason: SIP;cause=600 , Q.850;cause=17\r\nReason: STIR;cause=436;text=\"a, b\"\r\n",
		  "SIP;cause=600, Q.850;cause=17, STIR;cause=436;text=\"a, b\"" },
		{ "Reason: ;cause=1, <sip:x>, Q.850;cause=3\r\n", "Q.850;cause=3" },
		{ "Reason: SIP;text=\"half\r\n", "" },
		{ "Reason: ,,\r\n", "" },
	};
	char buf[REASON_MAX], hdrs[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		reason_take(bye(rows[i].hdrs), buf);
		assert_string_equal(buf, rows[i].list);
	}
	/* Whatever doesn't fit is left out whole. */
	snprintf(hdrs, sizeof(hdrs), "Reason: SIP;cause=200;text=\"%0250d\", Q.850;cause=16\r\n", 0);
	reason_take(bye(hdrs), buf);
	assert_string_equal(buf, "Q.850;cause=16");
}

/* RFC 6432: a refusal has a Q.850 cause, the one that was given or RFC 3398's; a request says what there is to say. */
static void test_reason_print_adds_the_cause_of_a_refusal(void **state)
{
	static const struct { const char *reason; int status; const char *line; } rows[] = {
		{ NULL, 0, "" }, { "", 0, "" }, { NULL, 200, "" }, { NULL, 404, "Reason: Q.850;cause=1\r\n" },
		{ "", 486, "Reason: Q.850;cause=17\r\n" }, { "Q.850;cause=34", 486, "Reason: Q.850;cause=34\r\n" },
		{ "SIP;cause=486", 486, "Reason: SIP;cause=486, Q.850;cause=17\r\n" }, { "SIP;cause=200", 0, "Reason: SIP;cause=200\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char buf[REASON_MAX + 40];
		struct out o;

		out_init(&o, buf, sizeof(buf));
		reason_print(&o, rows[i].reason, rows[i].status);
		if (!str_eqz(out_view(&o), rows[i].line))
			fail_msg("row %zu: %.*s", i, STR_ARG(out_view(&o)));
	}
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
		cmocka_unit_test(test_reason_take_keeps_all_whole_values), cmocka_unit_test(test_reason_print_adds_the_cause_of_a_refusal),
		cmocka_unit_test(test_cause_of_reason_finds_q850), cmocka_unit_test(test_usage_holds_the_limit_of_each),
	};

	return cmocka_run_group_tests_name("cause", tests, NULL, NULL);
}

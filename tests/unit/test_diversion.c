/* test_diversion.c - chains of forwards, from and to Diversion (RFC 5806) and History-Info (RFC 7044), as RFC 7544 maps them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "call/diversion.h"

static struct sip_msg msg;

static const struct sip_msg *invite(const char *hdrs)
{
	static char text[16384];
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "INVITE sip:1@b SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
			 "To: <sip:1@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n", hdrs);

	if (sip_msg_parse(&msg, text, (size_t)n, &err) != 0)
		fail_msg("%s: %s", hdrs, err.reason);
	return &msg;
}

/* "1001/no-answer 1002/user-busy*2!", newest first; ! is hidden. */
static const char *describe(const struct diversion *d)
{
	static const char *const names[] = { "unknown", "busy", "no-answer", "unavailable", "unconditional", "time", "dnd", "deflection",
					     "follow-me", "out-of-service", "away" };
	static char buf[2048];
	size_t n = 0;

	buf[0] = '\0';
	for (; d; d = d->before) {
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s%s/%s", n ? " " : "", d->number, names[d->reason]);
		if (d->counter != 1)
			n += (size_t)snprintf(buf + n, sizeof(buf) - n, "*%u", d->counter);
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "%s", d->is_hidden ? "!" : "");
	}
	return buf;
}

static void test_diversion_take_reads_both(void **state)
{
	static const struct { const char *hdrs, *chain; unsigned count; } rows[] = {
		{ "", "", 0 },
		/* RFC 5806 §9.1 */
		{ "Diversion: <sip:+19195551002@f.com>;reason=unconditional\r\nDiversion: <sip:+19195551001@e.com>;reason=user-busy\r\n",
		  "+19195551002/unconditional +19195551001/busy", 2 },
		{ "Diversion: \"Bob\" <tel:+1-919>;reason=no-answer;counter=3;privacy=\"off\";screen=yes, <sip:a@b>;privacy=full;reason=away\r\n",
		  "+1919/no-answer*3! a/away!", 4 },
		{ "Diversion: <sip:anonymous@anonymous.invalid>;reason=deflection\r\n", "anonymous/deflection!", 1 },
		{ "Diversion: <sip:a@b>;reason=\"do-not-disturb\"\r\nDiversion: <\r\nDiversion: <sip:c@d>;reason=x;counter=x\r\n", "a/dnd c/unknown", 2 },
		/* RFC 7544 §4.3 in short: A was called, busy; B unconditional; C is who rings */
		{ "History-Info: <sip:A@x>;index=1, <sip:B@x;cause=486>;index=1.1;mp=1, <sip:C@x;cause=302>;index=1.1.1;mp=1.1\r\n",
		  "B/unconditional A/busy", 2 },
		{ "History-Info: <sip:A@x?Privacy=history>;index=1\r\nHistory-Info: <sip:B@x;cause=408>;index=1.1\r\n", "A/no-answer!", 1 },
		{ "History-Info: <sip:A@x?Reason=SIP%3Bcause%3D408&Privacy=id>;index=1, <sip:B@x;cause=408>;index=1.1\r\n", "A/no-answer!", 1 },
		{ "History-Info: <sip:A@x?Privacy=none>;index=1, <sip:B@x;cause=408>;index=1.1\r\n", "A/no-answer", 1 },
		{ "Privacy: id;history\r\nHistory-Info: <sip:A@x>;index=1, <sip:B@x;cause=408>;index=1.1, <sip:C@x;cause=302>;index=1.1.1\r\n",
		  "B/unconditional! A/no-answer!", 2 },
		{ "Privacy: id\r\nHistory-Info: <sip:A@x>;index=1, <sip:B@x;cause=408>;index=1.1\r\n", "A/no-answer", 1 },
		{ "History-Info: <sip:A@x>;index=1, <sip:A@10.0.0.1>;index=1.1;rc=1\r\n", "", 0 }, /* a registrar's, not a forward */
		{ "History-Info: <sip:A@x>;index=1, <sip:B@x;cause=487>;index=1.1\r\n", "A/deflection", 1 },
		/* both: RFC 7544 §3.4, a Diversion that a network puts in is what it means */
		{ "Diversion: <sip:D@x>;reason=user-busy\r\nHistory-Info: <sip:A@x>;index=1, <sip:B@x;cause=408>;index=1.1\r\n", "D/busy", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct diversion *list = NULL;
		const struct diversion *newest = diversion_take(&list, invite(rows[i].hdrs));

		if (strcmp(describe(newest), rows[i].chain))
			fail_msg("%s\nis %s", rows[i].hdrs, describe(newest));
		assert_int_equal(diversion_count(newest), rows[i].count);
		diversion_free_all(&list);
	}
}

static void test_diversion_take_counts_what_it_does_not_keep(void **state)
{
	char hdrs[8192] = "";
	struct diversion *list = NULL;
	const struct diversion *newest;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 60; i++)
		n += (size_t)snprintf(hdrs + n, sizeof(hdrs) - n, "Diversion: <sip:%d@x>;reason=away\r\n", i);
	newest = diversion_take(&list, invite(hdrs));
	assert_int_equal(diversion_count(newest), 60);
	assert_true(diversion_has(newest, "9"));
	assert_false(diversion_has(newest, "10"));
	diversion_free_all(&list);
	n = (size_t)snprintf(hdrs, sizeof(hdrs), "History-Info: <sip:x@x>;index=1");
	for (int i = 0; i < 60; i++)
		n += (size_t)snprintf(hdrs + n, sizeof(hdrs) - n, ", <sip:%d@x;cause=302>;index=1.1", i);
	snprintf(hdrs + n, sizeof(hdrs) - n, "\r\n");
	newest = diversion_take(&list, invite(hdrs));
	assert_int_equal(diversion_count(newest), 60);
	diversion_free_all(&list);
	assert_null(list);
}

static void test_diversion_reason_of_all_names(void **state)
{
	static const struct { const char *name; enum diversion_reason reason; } rows[] = {
		{ "always", DIVERSION_UNCONDITIONAL }, { "busy", DIVERSION_BUSY }, { "no_answer", DIVERSION_NO_ANSWER },
		{ "unavailable", DIVERSION_UNAVAILABLE }, { "diverted", DIVERSION_DEFLECTION }, { "Follow-Me", DIVERSION_FOLLOW_ME },
		{ "\"user-busy\"", DIVERSION_BUSY }, { "", DIVERSION_UNKNOWN }, { "\"", DIVERSION_UNKNOWN }, { "else", DIVERSION_UNKNOWN },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(diversion_reason_of(str_from(rows[i].name)), rows[i].reason);
}

static const char *outside(const struct diversion *d, void *arg)
{
	return d->is_extension ? arg : d->number;
}

static void test_diversion_print_by_privacy(void **state)
{
	struct diversion *list = NULL, *old, *newest;
	char buf[DIVERSION_HDRS_MAX];
	struct out o;

	(void)state;
	old = diversion_add(&list, NULL, "+431", DIVERSION_BUSY);
	newest = diversion_add(&list, old, "1002", DIVERSION_NO_ANSWER);
	newest->is_extension = true;
	old->is_hidden = true;
	out_init(&o, buf, sizeof(buf) - 1);
	diversion_print(&o, newest, &(struct diversion_print){ .target = "1003", .host = "h" });
	buf[o.len] = '\0';
	assert_string_equal(buf, "Diversion: <sip:1002@h>;reason=no-answer;counter=1;privacy=off\r\n"
		"Diversion: <sip:anonymous@anonymous.invalid>;reason=user-busy;counter=1;privacy=full\r\n"
		"History-Info: <sip:anonymous@anonymous.invalid>;index=1, <sip:1002@h;cause=486>;index=1.1;mp=1, "
		"<sip:1003@h;cause=408>;index=1.1.1;mp=1.1\r\n");
	out_reset(&o);
	diversion_print(&o, newest, &(struct diversion_print){ .target = "1003", .host = "h", .may_see = true, .number_of = outside, .arg = "+432" });
	buf[o.len] = '\0';
	assert_string_equal(buf, "Diversion: <sip:+432@h>;reason=no-answer;counter=1;privacy=off\r\n"
		"Diversion: <sip:+431@h>;reason=user-busy;counter=1;privacy=full\r\n"
		"History-Info: <sip:+431@h?Privacy=history>;index=1, <sip:+432@h;cause=486>;index=1.1;mp=1, "
		"<sip:1003@h;cause=408>;index=1.1.1;mp=1.1\r\n");
	out_reset(&o);
	diversion_print(&o, NULL, &(struct diversion_print){ .target = "1003", .host = "h" });
	assert_int_equal(o.len, 0);
	diversion_free_all(&list);
}

/* What is printed reads back as it was, from either header. */
static void test_diversion_print_reads_back(void **state)
{
	static const enum diversion_reason sent[] = { DIVERSION_BUSY, DIVERSION_UNCONDITIONAL, DIVERSION_NO_ANSWER, DIVERSION_DEFLECTION,
						      DIVERSION_UNAVAILABLE };
	struct diversion *list = NULL, *back = NULL;
	const struct diversion *newest = NULL;
	char buf[DIVERSION_HDRS_MAX], before[512];
	struct out o;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(sent); i++) {
		char number[8];

		snprintf(number, sizeof(number), "10%u;", i);
		newest = diversion_add(&list, newest, number, sent[i]);
		assert_non_null(newest);
	}
	snprintf(before, sizeof(before), "%s", describe(newest));
	out_init(&o, buf, sizeof(buf) - 1);
	diversion_print(&o, newest, &(struct diversion_print){ .target = "x", .host = "[::1]", .may_see = true });
	buf[o.len] = '\0';
	assert_true(out_ok(&o));
	assert_string_equal(describe(diversion_take(&back, invite(buf))), before);
	diversion_free_all(&back);
	assert_string_equal(describe(diversion_take(&back, invite(strstr(buf, "History-Info")))), before);
	diversion_free_all(&back);
	diversion_free_all(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_diversion_take_reads_both),
		cmocka_unit_test(test_diversion_take_counts_what_it_does_not_keep),
		cmocka_unit_test(test_diversion_reason_of_all_names),
		cmocka_unit_test(test_diversion_print_by_privacy),
		cmocka_unit_test(test_diversion_print_reads_back),
	};

	return cmocka_run_group_tests_name("diversion", tests, NULL, NULL);
}

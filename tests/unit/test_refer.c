/* test_refer.c - what Replaces and Refer-To say (RFC 3891 §6.1, RFC 3515 §2.1, RFC 5589). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "sip/refer.h"

static void test_refer_replaces_values_are_read(void **state)
{
	static const struct { const char *text, *call_id, *to_tag, *from_tag; bool is_early_only; } rows[] = {
		/* RFC 3891 §6.1 */
		{ "98732@sip.example.com;from-tag=r33th4x0r;to-tag=ff87ff", "98732@sip.example.com", "ff87ff", "r33th4x0r", false },
		{ "12adf2f34456gs5;to-tag=12345;from-tag=54321", "12adf2f34456gs5", "12345", "54321", false },
		{ "87134@171.161.34.23;to-tag=24796;from-tag=0", "87134@171.161.34.23", "24796", "0", false },
		{ "a@b;to-tag=1;early-only;from-tag=2", "a@b", "1", "2", true },
		{ "a@b ; TO-TAG=1 ; FROM-TAG=2", "a@b", "1", "2", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct replaces r;

		assert_int_equal(replaces_parse(&r, str_from(rows[i].text)), 0);
		assert_true(str_eqz(r.call_id, rows[i].call_id));
		assert_true(str_eqz(r.to_tag, rows[i].to_tag));
		assert_true(str_eqz(r.from_tag, rows[i].from_tag));
		assert_int_equal(r.is_early_only, rows[i].is_early_only);
	}
}

static void test_refer_malformed_replaces_is_refused(void **state)
{
	static const char *const rows[] = { "", ";to-tag=1;from-tag=2", "a@b", "a@b;to-tag=1", "a@b;from-tag=2", "a@b;to-tag=;from-tag=2",
					    "a@b;to-tag;from-tag=2" };
	struct replaces r;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(replaces_parse(&r, str_from(rows[i])) != 0);
}

static struct sip_msg m;

static int parse(const char *lines, struct refer_to *out, char *buf, size_t size)
{
	struct sip_msg_error err = { 0 };

	snprintf(buf, size, "REFER sip:b@example.com SIP/2.0\r\nVia: SIP/2.0/UDP a.example.com;branch=z9hG4bK1\r\nFrom: <sip:a@x>;tag=1\r\n"
		 "To: <sip:b@x>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REFER\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n", lines);
	assert_int_equal(sip_msg_parse(&m, buf, strlen(buf), &err), 0);
	return refer_to_parse(out, &m);
}

static void test_refer_to_values_are_read(void **state)
{
	static const struct { const char *lines, *user, *replaces; bool is_invite; } rows[] = {
		/* RFC 3515 §2.1 */
		{ "Refer-To: sip:alice@atlanta.example.com\r\n", "alice", "", true },
		{ "Refer-To: <sip:bob@biloxi.example.net?Accept-Contact=sip:bobsdesk.biloxi.example.net&Call-ID%3D55432%40alicepc>\r\n", "bob",
		  "", true },
		{ "Refer-To: <sip:dave@denver.example.org?Replaces=12345%40192.168.118.3%3Bto-tag%3D12345%3Bfrom-tag%3D5FFE-3994>\r\n", "dave",
		  "12345@192.168.118.3;to-tag=12345;from-tag=5FFE-3994", true },
		{ "Refer-To: <sip:carol@cleveland.example.org;method=SUBSCRIBE>\r\n", "carol", "", false },
		{ "r: <sip:1003@x;method=INVITE>\r\n", "1003", "", true },
		{ "Refer-To: \"C\" <sip:c@x?Require=replaces&replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2>\r\n", "c", "a@b;to-tag=1;from-tag=2", true },
	};
	char buf[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct refer_to to;

		assert_int_equal(parse(rows[i].lines, &to, buf, sizeof(buf)), 0);
		assert_true(str_eqz(to.uri.user, rows[i].user));
		assert_string_equal(to.replaces, rows[i].replaces);
		assert_int_equal(to.is_invite, rows[i].is_invite);
	}
}

static void test_refer_target_dialog_is_read_or_refused(void **state)
{
	static const struct { const char *lines; int err; const char *call_id, *ours, *theirs; } rows[] = {
		/* RFC 4538 §7 */
		{ "Target-Dialog: fa77as7dad8-sd98ajzz@host.example.com;local-tag=kkaz-;remote-tag=6544\r\n", 0,
		  "fa77as7dad8-sd98ajzz@host.example.com", "kkaz-", "6544" },
		{ "Target-Dialog: a@b ;remote-tag=2; local-tag=1;x\r\n", 0, "a@b", "1", "2" },
		{ "", -ENOENT, NULL, NULL, NULL },
		{ "Target-Dialog:\r\n", -EINVAL, NULL, NULL, NULL },
		{ "Target-Dialog: a@b;local-tag=1\r\n", -EINVAL, NULL, NULL, NULL },
		{ "Target-Dialog: a@b;local-tag=;remote-tag=2\r\n", -EINVAL, NULL, NULL, NULL },
		{ "Target-Dialog: ;local-tag=1;remote-tag=2\r\n", -EINVAL, NULL, NULL, NULL },
	};
	char buf[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct refer_to to;
		struct replaces which;

		parse(rows[i].lines, &to, buf, sizeof(buf));
		assert_int_equal(target_dialog_of(&which, &m), rows[i].err);
		if (rows[i].err)
			continue;
		assert_true(str_eqz(which.call_id, rows[i].call_id));
		assert_true(str_eqz(which.to_tag, rows[i].ours));
		assert_true(str_eqz(which.from_tag, rows[i].theirs));
	}
}

static void test_refer_to_that_is_missing_double_or_malformed_is_refused(void **state)
{
	static const char *const rows[] = { "", "Refer-To: <sip:a@x>\r\nRefer-To: <sip:b@x>\r\n", "Refer-To: <>\r\n",
					    "Refer-To: <sip:a@x?Replaces=%zz>\r\n", "Refer-To: <sip:a@x?Replaces=a%00b>\r\n" };
	struct refer_to to;
	char buf[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(parse(rows[i], &to, buf, sizeof(buf)) != 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refer_replaces_values_are_read),
		cmocka_unit_test(test_refer_malformed_replaces_is_refused),
		cmocka_unit_test(test_refer_to_values_are_read),
		cmocka_unit_test(test_refer_target_dialog_is_read_or_refused),
		cmocka_unit_test(test_refer_to_that_is_missing_double_or_malformed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_identity.c - who is believed, and who is told what: trust, privacy and headers in all their combinations (RFC 3323, 3325). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "call/identity.h"

static struct sip_msg msg;

static const struct sip_msg *request(const char *from, const char *hdrs)
{
	static char text[4096];
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "INVITE sip:1@b SIP/2.0\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: %s;tag=1\r\n"
			 "To: <sip:1@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n%sContent-Length: 0\r\n\r\n", from, hdrs);

	if (sip_msg_parse(&msg, text, (size_t)n, &err) != 0)
		fail_msg("%s: %s", hdrs, err.reason);
	return &msg;
}

static const struct sip_msg *response(const char *hdrs)
{
	static char text[4096];
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
			 "To: <sip:1@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n%sContent-Length: 0\r\n\r\n", hdrs);

	assert_int_equal(sip_msg_parse(&msg, text, (size_t)n, &err), 0);
	return &msg;
}

/* ---- Privacy ---- */

static void test_identity_privacy_of_reads_all_values(void **state)
{
	static const struct { const char *hdrs; unsigned bits; } rows[] = {
		{ "", 0 },
		{ "Privacy: id\r\n", PRIVACY_ID },                                              /* RFC 3325 §10.1 */
		{ "Privacy: header;user;critical\r\n", PRIVACY_HEADER | PRIVACY_USER | PRIVACY_CRITICAL }, /* RFC 3323 §4.2 */
		{ "Privacy: NONE\r\n", PRIVACY_NONE },
		{ "Privacy: session ; id\r\nPrivacy: history\r\n", PRIVACY_SESSION | PRIVACY_ID | PRIVACY_HISTORY },
		{ "Privacy: id,user\r\n", PRIVACY_ID | PRIVACY_USER },
		{ "Privacy: location;id\r\n", PRIVACY_UNKNOWN | PRIVACY_ID },
		{ "Privacy: ;;\r\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(privacy_of(request("<sip:0@b>", rows[i].hdrs)), rows[i].bits);
}

static void test_identity_is_hidden_unless_none_says_no(void **state)
{
	static const struct { unsigned privacy; bool is_hidden; } rows[] = {
		{ 0, false }, { PRIVACY_ID, true }, { PRIVACY_USER, true }, { PRIVACY_ID | PRIVACY_CRITICAL, true },
		{ PRIVACY_HEADER | PRIVACY_SESSION | PRIVACY_HISTORY, false }, { PRIVACY_NONE, false }, { PRIVACY_NONE | PRIVACY_ID, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(identity_is_hidden(&(struct identity){ .privacy = rows[i].privacy }), rows[i].is_hidden);
}

/* ---- what is believed ---- */

#define FROM "\"Mallory\" <sip:666@evil.example>"
#define ANON "\"Anonymous\" <sip:anonymous@anonymous.invalid>"
#define PAI "P-Asserted-Identity: \"Cullen Jennings\" <sip:fluffy@cisco.com>\r\n" /* RFC 3325 §10.1 */
#define PAI_TEL "P-Asserted-Identity: tel:+14085264000\r\n"
#define RPID "Remote-Party-ID: \"John\" <sip:+1408@x>;party=calling;privacy=off;screen=yes\r\n"

static void test_identity_of_trunk_by_trust(void **state)
{
	static const struct { const char *from, *hdrs; bool is_trusted, is_told; const char *number, *name; unsigned privacy; } rows[] = {
		/* not trusted: From alone */
		{ FROM, "", false, true, "666", "Mallory", 0 },
		{ FROM, PAI RPID, false, true, "666", "Mallory", 0 },
		{ FROM, PAI "Privacy: id\r\n", false, true, "666", "Mallory", PRIVACY_ID },
		{ ANON, PAI, false, false, "", "", 0 },
		{ "<tel:+1-201-555-0123>", "", false, true, "+12015550123", "", 0 }, /* RFC 3966 §6 */
		{ "<sip:evil.example>", "", false, false, "", "", 0 },
		/* trusted */
		{ FROM, "", true, true, "666", "Mallory", 0 },
		{ FROM, PAI, true, true, "fluffy", "Cullen Jennings", 0 },
		{ ANON, PAI PAI_TEL "Privacy: id\r\n", true, true, "+14085264000", "Cullen Jennings", PRIVACY_ID }, /* RFC 3325 §10.1 */
		{ ANON, PAI_TEL PAI, true, true, "+14085264000", "Cullen Jennings", PRIVACY_ID },
		{ ANON, PAI "Privacy: none\r\n", true, true, "fluffy", "Cullen Jennings", PRIVACY_NONE },
		{ FROM, "P-Asserted-Identity: <sip:a@b>, <tel:123>\r\n", true, true, "123", "", 0 },
		{ FROM, "P-Asserted-Identity: \"J \\\"R\\\" D\" <sip:%2B1@b;user=phone>\r\n", true, true, "+1", "J \"R\" D", 0 },
		{ FROM, "P-Asserted-Identity: <\r\n", true, true, "666", "Mallory", 0 },
		{ FROM, "P-Asserted-Identity: \"x\" <sip:+4%00b@x>\r\n", true, true, "666", "Mallory", 0 }, /* fuzz_hdr: what was before the escape */
		{ FROM, "P-Asserted-Identity: <sip:b>\r\n" RPID, true, true, "+1408", "John", 0 },
		{ FROM, RPID, true, true, "+1408", "John", 0 },
		{ FROM, PAI RPID, true, true, "fluffy", "Cullen Jennings", 0 },
		{ FROM, "Remote-Party-ID: <sip:9@x>;party=called, <sip:8@x>;privacy=full\r\n", true, true, "8", "", PRIVACY_ID },
		{ FROM, "P-Preferred-Identity: <sip:5@b>\r\n", true, true, "666", "Mallory", 0 },
		{ ANON, "", true, false, "", "", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct identity id;

		assert_int_equal(identity_of_trunk(&id, request(rows[i].from, rows[i].hdrs), rows[i].is_trusted), rows[i].is_told);
		assert_string_equal(id.number, rows[i].number);
		assert_string_equal(id.name, rows[i].name);
		assert_int_equal(id.privacy, rows[i].privacy);
	}
}

static void test_identity_of_trunk_who_answers(void **state)
{
	static const struct { const char *hdrs; bool is_trusted, is_told; const char *number; } rows[] = {
		{ PAI_TEL, true, true, "+14085264000" }, { PAI_TEL, false, false, "" }, { "", true, false, "" },
		{ "Remote-Party-ID: <sip:9@x>;party=called\r\n", true, true, "9" }, { RPID, true, false, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct identity id;

		assert_int_equal(identity_of_trunk(&id, response(rows[i].hdrs), rows[i].is_trusted), rows[i].is_told);
		assert_string_equal(id.number, rows[i].number);
	}
}

static void test_identity_preferred_only_of_the_allowed(void **state)
{
	static const char *const allowed[] = { "1001", "+43123400", NULL, "sales" };
	static const struct { const char *hdrs, *number; } rows[] = {
		{ "", NULL },
		{ "P-Preferred-Identity: <sip:+43123400@x>\r\n", "+43123400" },
		{ "P-Preferred-Identity: <tel:+43-1-234.00>\r\n", "+43123400" },
		{ "P-Preferred-Identity: <sip:1@x>, <sip:sales@x>\r\n", "sales" },
		{ "P-Preferred-Identity: <sip:1002@x>\r\n", NULL },
		{ "P-Preferred-Identity: <sip:x>\r\n", NULL },
		{ "P-Asserted-Identity: <sip:1001@x>\r\n", NULL },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = identity_preferred(request("<sip:0@b>", rows[i].hdrs), allowed, ARRAY_LEN(allowed));

		if (rows[i].number)
			assert_string_equal(got, rows[i].number);
		else
			assert_null(got);
	}
}

static void test_identity_name_of_is_clean_text(void **state)
{
	char buf[8];

	(void)state;
	identity_name_of(STR("a\\\"b\\\\c"), buf, sizeof(buf));
	assert_string_equal(buf, "a\"b\\c");
	identity_name_of(STR("a\t\r\nb\x7f"), buf, sizeof(buf));
	assert_string_equal(buf, "ab");
	identity_name_of(STR("123456\xc3\xa4 too long"), buf, sizeof(buf)); /* not half of an a with dots */
	assert_string_equal(buf, "123456");
	identity_name_of(STR("\\"), buf, sizeof(buf));
	assert_string_equal(buf, "\\");
}

/* ---- what is told ---- */

static void test_identity_print_by_trust_and_privacy(void **state)
{
	/* A phone, a provider that isn't trusted and its sister who wants to be asked, gateways of the trust domain. */
	static const struct identity_rules phone = { .has_asserted = true }, stranger = { 0 }, provider = { .has_preferred = true },
		inside = { .is_trusted = true, .has_asserted = true }, old = { .is_trusted = true, .has_rpid = true },
		silent = { .is_trusted = true };
#define A_PAI "P-Asserted-Identity: \"A \\\"B\\\"\" <sip:+1@h>\r\n"
#define A_PPI "P-Preferred-Identity: \"A \\\"B\\\"\" <sip:+1@h>\r\n"
#define A_RPID "Remote-Party-ID: \"A \\\"B\\\"\" <sip:+1@h>;party=calling;privacy="
	static const struct { const struct identity_rules *to; unsigned privacy; const char *text; } rows[] = {
		{ &phone, 0, A_PAI }, { &phone, PRIVACY_NONE, A_PAI }, { &phone, PRIVACY_ID, "" }, { &phone, PRIVACY_USER, "" },
		{ &phone, PRIVACY_HEADER, A_PAI }, { &phone, PRIVACY_NONE | PRIVACY_ID, A_PAI },
		{ &stranger, 0, "" }, { &stranger, PRIVACY_ID, "" }, { &stranger, PRIVACY_NONE, "" }, { &stranger, PRIVACY_CRITICAL, "" },
		{ &provider, 0, A_PPI }, { &provider, PRIVACY_ID, A_PPI "Privacy: id\r\n" },
		{ &inside, 0, A_PAI }, { &inside, PRIVACY_ID, A_PAI "Privacy: id\r\n" },
		{ &inside, PRIVACY_USER | PRIVACY_ID | PRIVACY_CRITICAL, A_PAI "Privacy: user;critical;id\r\n" },
		{ &inside, PRIVACY_NONE, A_PAI "Privacy: none\r\n" }, { &inside, PRIVACY_HEADER, A_PAI "Privacy: header\r\n" },
		{ &old, 0, A_RPID "off;screen=yes\r\n" }, { &old, PRIVACY_ID, A_RPID "full;screen=yes\r\nPrivacy: id\r\n" },
		{ &silent, 0, "" }, { &silent, PRIVACY_ID, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct identity id = { .number = "+1", .name = "A \"B\"", .privacy = rows[i].privacy };
		char buf[IDENTITY_HDRS_MAX];
		struct out o;

		out_init(&o, buf, sizeof(buf));
		identity_print(&o, &id, "h", rows[i].to, IDENTITY_CALLING);
		if (!str_eqz(out_view(&o), rows[i].text))
			fail_msg("row %zu: %.*s", i, STR_ARG(out_view(&o)));
	}
}

/* He was told of somebody else before: that must go from his display. */
static void test_identity_print_connected_shows_nobody_rather_than_nothing(void **state)
{
	static const struct identity_rules phone = { .has_asserted = true }, stranger = { 0 },
		inside = { .is_trusted = true, .has_asserted = true }, old = { .has_rpid = true };
#define NOBODY "\"Anonymous\" <" IDENTITY_ANONYMOUS_URI ">"
	static const struct { const struct identity_rules *to; const char *number; unsigned privacy; const char *text; } rows[] = {
		{ &phone, "+1", 0, A_PAI }, { &phone, "+1", PRIVACY_ID, "P-Asserted-Identity: " NOBODY "\r\n" },
		{ &phone, "", 0, "P-Asserted-Identity: " NOBODY "\r\n" },
		{ &inside, "+1", PRIVACY_ID, A_PAI "Privacy: id\r\n" }, { &stranger, "+1", PRIVACY_ID, "" }, { &stranger, "", 0, "" },
		{ &old, "+1", PRIVACY_ID, "Remote-Party-ID: " NOBODY ";party=calling;privacy=full;screen=yes\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct identity id = { .name = "A \"B\"", .privacy = rows[i].privacy };
		char buf[IDENTITY_HDRS_MAX];
		struct out o;

		str_put(id.number, sizeof(id.number), rows[i].number);
		out_init(&o, buf, sizeof(buf));
		identity_print_connected(&o, &id, "h", rows[i].to, IDENTITY_CALLING);
		if (!str_eqz(out_view(&o), rows[i].text))
			fail_msg("row %zu: %.*s", i, STR_ARG(out_view(&o)));
	}
}

static void test_identity_print_parses_back(void **state)
{
	static const struct identity_rules inside = { .is_trusted = true, .has_asserted = true };
	struct identity id = { .number = "a b;c@d", .name = "\"Q\" \\ Ænima" }, back;
	char buf[IDENTITY_HDRS_MAX];
	struct out o;

	(void)state;
	out_init(&o, buf, sizeof(buf) - 1);
	identity_print(&o, &id, "[::1]", &inside, IDENTITY_CALLED);
	buf[o.len] = '\0';
	assert_true(identity_of_trunk(&back, response(buf), true));
	assert_string_equal(back.number, id.number);
	assert_string_equal(back.name, id.name);
}

static void test_identity_print_longest_fits(void **state)
{
	static const struct identity_rules all = { true, true, true, true };
	struct identity id = { .privacy = 127 };
	char buf[IDENTITY_HDRS_MAX], host[48];
	struct out o;

	(void)state;
	memset(id.number, '%', sizeof(id.number) - 1);
	memset(id.name, '"', sizeof(id.name) - 1);
	memset(host, 'h', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	out_init(&o, buf, sizeof(buf));
	identity_print(&o, &id, host, &all, IDENTITY_CALLING);
	assert_true(out_ok(&o));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity_privacy_of_reads_all_values),
		cmocka_unit_test(test_identity_is_hidden_unless_none_says_no),
		cmocka_unit_test(test_identity_of_trunk_by_trust),
		cmocka_unit_test(test_identity_of_trunk_who_answers),
		cmocka_unit_test(test_identity_preferred_only_of_the_allowed),
		cmocka_unit_test(test_identity_name_of_is_clean_text),
		cmocka_unit_test(test_identity_print_by_trust_and_privacy),
		cmocka_unit_test(test_identity_print_connected_shows_nobody_rather_than_nothing),
		cmocka_unit_test(test_identity_print_parses_back),
		cmocka_unit_test(test_identity_print_longest_fits),
	};

	return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}

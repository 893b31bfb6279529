/* test_pass.c - which header passes between phones and trunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/out.h"
#include "call/pass.h"

static struct sip_msg msg;

static const struct sip_msg *parse(const char *first, const char *hdrs)
{
	static char text[65536];
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), "%s\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
			 "To: <sip:1@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContact: <sip:0@b>\r\n%sContent-Length: 0\r\n\r\n", first, hdrs);

	if (sip_msg_parse(&msg, text, (size_t)n, &err) != 0)
		fail_msg("%s: %s", hdrs, err.reason);
	return &msg;
}

static const struct dir_pass_header all_rows[] = { { "X-House", false } };
static const struct dir_pass_header own_rows[] = { { "X-In", false }, { "x-out", true }, { "Alert-Info", false }, { "Call-Info", true },
						   { "Via", true }, { "Authorization", true } };
static const struct dir_pass all = { ARRAY_LEN(all_rows), all_rows }, own = { ARRAY_LEN(own_rows), own_rows };
static const struct pass_side phone = { .all = &all }, plain = { 0 }, trunk = { .is_trunk = true },
	added = { .is_trunk = true, .all = &all, .own = &own };

#define REQUEST "INVITE sip:1@b SIP/2.0"
#define RESPONSE "SIP/2.0 200 OK"

static void test_pass_by_sides(void **state)
{
	static const struct { const char *first, *line; const struct pass_side *from, *to; bool is_private, passes; } rows[] = {
		{ REQUEST, "User-to-User: 56a390f3;encoding=hex", &plain, &plain, false, true },        /* RFC 7433 §5 */
		{ REQUEST, "User-to-User: 56a390f3;encoding=hex", &trunk, &plain, true, true },
		{ REQUEST, "User-to-User: 56a390f3;encoding=hex", &plain, &trunk, false, true },
		{ RESPONSE, "User-to-User: 56a390f3;encoding=hex", &trunk, &trunk, false, true },
		{ REQUEST, "Alert-Info: <http://x/ring.wav>", &plain, &plain, false, true },
		{ REQUEST, "Alert-Info: <http://x/ring.wav>", &trunk, &plain, false, false },
		{ REQUEST, "Alert-Info: <urn:alert:source:external>", &trunk, &plain, false, true },    /* RFC 7462 §3 */
		{ REQUEST, "Alert-Info: <urn:alert:x>, <http://x/ring.wav>", &trunk, &plain, false, false },
		{ REQUEST, "Alert-Info: <http://x/ring.wav>", &added, &plain, false, true },
		{ REQUEST, "Alert-Info: <http://x/ring.wav>", &plain, &trunk, false, false },
		{ RESPONSE, "Alert-Info: <urn:alert:service:call-waiting>", &plain, &plain, false, true },
		{ REQUEST, "Call-Info: <http://x/p.jpg>;purpose=icon", &plain, &plain, false, true },
		{ REQUEST, "Call-Info: <http://x/p.jpg>;purpose=icon", &plain, &plain, true, false },   /* RFC 3323 §5.3 */
		{ REQUEST, "Call-Info: <http://x/p.jpg>;purpose=icon", &trunk, &plain, false, false },
		{ REQUEST, "Call-Info: <http://x/p.jpg>;purpose=icon", &plain, &added, false, true },
		{ REQUEST, "Answer-Mode: Auto", &plain, &plain, false, true },                          /* RFC 5373 */
		{ REQUEST, "Answer-Mode: Auto", &trunk, &plain, false, false },
		{ REQUEST, "Subject: lunch", &trunk, &plain, false, true },
		{ REQUEST, "Subject: lunch", &plain, &trunk, true, false },
		{ RESPONSE, "Subject: lunch", &plain, &plain, false, false },
		{ RESPONSE, "P-Early-Media: sendrecv", &trunk, &plain, false, true },                   /* RFC 5009 */
		{ REQUEST, "P-Early-Media: supported", &plain, &trunk, false, true },
		{ REQUEST, "Geolocation: <sips:3sdefrhy2jj7@lis.example.com>", &plain, &trunk, false, true }, /* RFC 6442 §4.1 */
		{ REQUEST, "Accept-Contact: *;mobility=\"fixed\"", &trunk, &plain, false, true },
		{ REQUEST, "Priority: emergency", &plain, &trunk, true, true },
		/* the administrator's */
		{ REQUEST, "X-House: 1", &phone, &phone, false, true }, { REQUEST, "X-House: 1", &plain, &plain, false, false },
		{ REQUEST, "x-house: 1", &added, &plain, false, true }, { REQUEST, "X-House: 1", &phone, &added, false, false },
		{ REQUEST, "X-In: 1", &added, &plain, false, true }, { REQUEST, "X-In: 1", &trunk, &plain, false, false },
		{ REQUEST, "X-In: 1", &plain, &added, false, false },
		{ REQUEST, "X-Out: 1", &plain, &added, false, true }, { REQUEST, "X-Out: 1", &added, &plain, false, false },
		{ REQUEST, "X-Out: 1", &plain, &trunk, false, false }, { RESPONSE, "X-In: 1", &added, &plain, false, true },
		{ REQUEST, "X-Else: 1", &plain, &plain, false, false }, { REQUEST, "X-Else: 1", &added, &added, false, false },
		/* never, even if a row says so */
		{ REQUEST, "Authorization: Digest username=\"a\"", &plain, &added, false, false },
		{ REQUEST, "Identity: x", &plain, &plain, false, false }, { REQUEST, "P-Asserted-Identity: <sip:a@b>", &plain, &plain, false, false },
		{ REQUEST, "Session-ID: x", &plain, &plain, false, false }, { REQUEST, "Subject:", &plain, &plain, false, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char line[512], taken[1024], given[1024];
		struct out o;
		struct str lines;

		snprintf(line, sizeof(line), "%s\r\n", rows[i].line);
		out_init(&o, taken, sizeof(taken));
		pass_take(&o, parse(rows[i].first, line), rows[i].from);
		lines = out_view(&o);
		out_init(&o, given, sizeof(given));
		pass_give(&o, lines, rows[i].from->is_trunk, rows[i].to, rows[i].is_private);
		if (rows[i].passes ? !str_eqz(out_view(&o), line) : o.len > 0)
			fail_msg("row %zu, %s: \"%.*s\"", i, rows[i].line, STR_ARG(out_view(&o)));
	}
}

static void test_pass_take_names_in_full(void **state)
{
	char buf[256];
	struct out o;

	(void)state;
	out_init(&o, buf, sizeof(buf));
	pass_take(&o, parse(REQUEST, "s: lunch\r\nk: timer\r\nc: application/sdp\r\n"), &plain);
	assert_true(str_eqz(out_view(&o), "Subject: lunch\r\n"));
}

static void test_pass_take_is_bounded(void **state)
{
	static char hdrs[60000];
	static char value[PASS_VALUE_MAX + 2];
	size_t n = 0;
	struct out o;

	(void)state;
	memset(value, 'x', PASS_VALUE_MAX);
	n += (size_t)snprintf(hdrs, sizeof(hdrs), "Subject: %sx\r\n", value);
	for (int i = 0; i < 10; i++)
		n += (size_t)snprintf(hdrs + n, sizeof(hdrs) - n, "Subject: %s\r\n", value);
	for (int i = 0; i < 60; i++)
		n += (size_t)snprintf(hdrs + n, sizeof(hdrs) - n, "Priority: %d\r\n", i);
	out_init_grow(&o, PASS_MAX);
	pass_take(&o, parse(REQUEST, hdrs), &plain);
	assert_true(out_ok(&o));
	assert_true(o.len <= PASS_MAX);
	assert_null(memmem(o.p, o.len, "Priority: 30", 12)); /* 3 and 29 lines */
	assert_non_null(memmem(o.p, o.len, "Priority: 28", 12));
	out_fini(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_by_sides),
		cmocka_unit_test(test_pass_take_names_in_full),
		cmocka_unit_test(test_pass_take_is_bounded),
	};

	return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}

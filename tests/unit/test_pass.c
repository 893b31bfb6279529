/* test_pass.c - which header passes between phones and trunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/out.h"
#include "base/rng.h"
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

static const struct dir_pass_header all_rows[] = { { "X-House", false, NULL } };
static const struct dir_pass_header own_rows[] = { { "X-In", false, NULL }, { "x-out", true, NULL }, { "Alert-Info", false, NULL }, { "Call-Info", true, NULL },
						   { "Via", true, NULL }, { "Authorization", true, NULL } };
static const struct dir_pass all = { ARRAY_LEN(all_rows), all_rows }, own = { ARRAY_LEN(own_rows), own_rows };
static const struct pass_side referred = { .has_referrer = true };
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
		{ REQUEST, "Referred-By: <sip:1003@x>", &plain, &plain, true, true },                  /* RFC 3892 */
		{ REQUEST, "b: <sip:1003@x>", &plain, &referred, false, false },
		{ REQUEST, "Referred-By: <sip:1003@x>", &trunk, &plain, false, false },
		{ REQUEST, "Referred-By: <sip:1003@x>", &plain, &trunk, false, false },
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

/* Rows with a value: set in the INVITE, held back from whatever the other side says. */
static void test_pass_sets_and_holds_back(void **state)
{
	static const struct dir_pass_header of_all[] = { { "X-House", true, "ours" }, { "X-Both", true, "all" }, { "Subject", false, "" },
							 { "X-Free", true, "all" }, { "Route", true, "<sip:evil>" } };
	static const struct dir_pass_header of_own[] = { { "X-Both", true, "own" }, { "User-to-User", true, "" }, { "X-Free", true, NULL },
							 { "Alert-Info", false, "<urn:alert:source:external>" } };
	static const struct dir_pass all_set = { ARRAY_LEN(of_all), of_all }, own_set = { ARRAY_LEN(of_own), of_own };
	static const struct pass_side to = { .is_trunk = true, .all = &all_set, .own = &own_set };
	static const struct pass_side other = { .is_trunk = true, .all = &all_set }, inside = { .all = &all_set };
	static const char said[] = "X-House: theirs\r\nX-Both: theirs\r\nUser-to-User: 56;encoding=hex\r\nX-Free: theirs\r\nSubject: lunch\r\n"
				   "Alert-Info: <http://x/ring.wav>\r\nPriority: urgent\r\n";
	static const struct { const char *first; const struct pass_side *from, *to; const char *lines; } rows[] = {
		{ REQUEST, &inside, &to, "X-Free: theirs\r\nSubject: lunch\r\nPriority: urgent\r\nX-Both: own\r\nX-House: ours\r\n" },
		{ REQUEST, &inside, &other, "User-to-User: 56;encoding=hex\r\nSubject: lunch\r\nPriority: urgent\r\nX-House: ours\r\nX-Both: all\r\n"
					    "X-Free: all\r\n" },
		{ REQUEST, &to, &plain, "Alert-Info: <urn:alert:source:external>\r\nUser-to-User: 56;encoding=hex\r\nPriority: urgent\r\n" },
		{ REQUEST, &other, &plain, "User-to-User: 56;encoding=hex\r\nPriority: urgent\r\n" },
		{ RESPONSE, &to, &plain, "User-to-User: 56;encoding=hex\r\n" },  /* nothing is set in what isn't the INVITE */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[1024], taken[1024], given[1024];
		struct sip_msg *m;
		struct out o;
		struct str lines;

		m = (struct sip_msg *)parse(rows[i].first, said);
		m->to.tag = STR_NULL;
		snprintf(text, sizeof(text), "%s", rows[i].lines);
		out_init(&o, taken, sizeof(taken));
		pass_take(&o, m, rows[i].from);
		lines = out_view(&o);
		out_init(&o, given, sizeof(given));
		pass_give(&o, lines, rows[i].from->is_trunk, rows[i].to, false);
		pass_set(&o, rows[i].to);
		if (!str_eqz(out_view(&o), text))
			fail_msg("row %zu: \"%.*s\"", i, STR_ARG(out_view(&o)));
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

/* ---- parts ---- */

#define PART(id, more) "--b\r\nContent-Type: application/pidf+xml\r\nContent-ID: <" id ">\r\n" more "\r\n<presence/>\r\n"

static struct sip_msg *parse_body(const char *hdrs, const char *body)
{
	static char text[65536];
	struct sip_msg_error err;
	int n = snprintf(text, sizeof(text), REQUEST "\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
			 "To: <sip:1@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n%sContent-Type: multipart/mixed;boundary=b\r\nContent-Length: %zu\r\n\r\n%s",
			 hdrs, strlen(body), body);

	assert_int_equal(sip_msg_parse(&msg, text, (size_t)n, &err), 0);
	return &msg;
}

/* RFC 6442 §4.2: the part that Geolocation refers to goes with it, as it is; others don't. */
static void test_pass_parts_go_with_the_header_that_refers_to_them(void **state)
{
#define SDP "--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n"
	static const struct { const char *lines, *given, *body, *wants; } rows[] = {
		{ "Geolocation: <cid:a@x>\r\n", NULL, SDP PART("a@x", "") "--b--\r\n", "<a@x>" },
		{ "Geolocation: <cid:a@x>\r\n", NULL, SDP PART("a@x", "Content-Disposition: by-reference;handling=optional\r\n") PART("c@x", "") "--b--\r\n", "<a@x>" },
		{ "Geolocation: <sip:l@x>, <cid:c@x>;a=b\r\nCall-Info: <cid:d@x>;purpose=icon\r\n", NULL,
		  SDP PART("a@x", "") PART("c@x", "") PART("d@x", "") "--b--\r\n", "<c@x><d@x>" },
		{ "Geolocation: <cid:a%40x>\r\n", NULL, SDP PART("a@x", "") "--b--\r\n", "<a@x>" }, /* RFC 2392: escaped */
		{ "Geolocation: <cid:a@x>\r\n", "Subject: lunch\r\n", SDP PART("a@x", "") "--b--\r\n", "" }, /* the header doesn't pass */
		{ "Geolocation: <cid:b@x>\r\n", NULL, SDP PART("a@x", "") "--b--\r\n", "" },
		{ "Geolocation: <cid:a@x\r\n", NULL, SDP PART("a@x", "") "--b--\r\n", "" },
		{ "Subject: lunch\r\n", NULL, SDP PART("a@x", "") "--b--\r\n", "" },
		{ "Geolocation: <cid:a@x>\r\n", NULL, SDP PART("a@x", "") "--b", "<a@x>" }, /* no end, but that of the part */
		{ "Geolocation: <cid:a@x>\r\n", NULL, SDP PART("a@x", ""), "" },
		/* a description stays, whoever names it, and what may hide one */
		{ "Geolocation: <cid:s@x>\r\n", NULL, "--b\r\nContent-Type: Application/SDP\r\nContent-ID: <s@x>\r\n\r\nv=0\r\n--b--\r\n", "" },
		{ "Geolocation: <cid:s@x>\r\n", NULL, SDP "--b\r\nContent-Type: multipart/mixed\r\nContent-ID: <s@x>\r\n\r\n--c\r\n--b--\r\n", "" },
	};
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str lines = str_from(rows[i].lines), given = rows[i].given ? str_from(rows[i].given) : lines;
		struct pass_part *parts = pass_parts_take(parse_body(rows[i].lines, rows[i].body), lines);
		char ctype[PASS_TYPE_MAX] = "", ids[64] = "", text[4096];
		struct sip_part_iter it = { 0 };
		struct sip_msg_error err;
		struct sip_part p;
		struct out o;
		int n;

		out_init_grow(&o, 4096);
		if (pass_parts_give(&o, parts, given, STR("v=0\r\n"), &rng, ctype) != (rows[i].wants[0] != '\0'))
			fail_msg("row %zu: %.*s", i, STR_ARG(out_view(&o)));
		pass_parts_free(parts);
		if (o.len) {
			n = snprintf(text, sizeof(text), REQUEST "\r\nVia: SIP/2.0/UDP b;branch=z9hG4bK1\r\nFrom: <sip:0@b>;tag=1\r\n"
				     "To: <sip:1@b>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%.*s",
				     ctype, o.len, STR_ARG(out_view(&o)));
			assert_int_equal(sip_msg_parse(&msg, text, (size_t)n, &err), 0);
			assert_true(str_eqz(sip_msg_part(&msg, "application/sdp"), "v=0\r\n"));
			while (sip_part_next(&msg, &it, &p))
				if (p.id.n) {
					assert_true(str_eqz(p.content, "<presence/>"));
					assert_true(str_eqz(p.type, "application/pidf+xml"));
					snprintf(ids + strlen(ids), sizeof(ids) - strlen(ids), "<%.*s>", STR_ARG(p.id));
				}
		}
		assert_string_equal(ids, rows[i].wants);
		out_fini(&o);
	}
}

static void test_pass_parts_are_bounded(void **state)
{
	static char body[60000];
	struct pass_part *parts;
	struct rng rng;
	struct out o;
	char ctype[PASS_TYPE_MAX];
	size_t n = 0;

	(void)state;
	rng_init_fixed(&rng, 7);
	for (int i = 0; i < 8; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "--b\r\nContent-ID: <a>\r\n\r\n%05000d\r\n", i);
	snprintf(body + n, sizeof(body) - n, "--b--\r\n");
	parts = pass_parts_take(parse_body("", body), STR("Geolocation: <cid:a>\r\n"));
	out_init_grow(&o, 65536);
	assert_true(pass_parts_give(&o, parts, STR("Geolocation: <cid:a>\r\n"), STR("v=0\r\n"), &rng, ctype));
	assert_in_range(o.len, 3 * 5000, PASS_PARTS_MAX + 500);
	out_fini(&o);
	pass_parts_free(parts);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pass_by_sides),
		cmocka_unit_test(test_pass_sets_and_holds_back),
		cmocka_unit_test(test_pass_take_names_in_full),
		cmocka_unit_test(test_pass_take_is_bounded),
		cmocka_unit_test(test_pass_parts_go_with_the_header_that_refers_to_them),
		cmocka_unit_test(test_pass_parts_are_bounded),
	};

	return cmocka_run_group_tests_name("pass", tests, NULL, NULL);
}

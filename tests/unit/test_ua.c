/* test_ua.c - what the user agent answers by itself, and whom it hands the rest (RFC 3261 §8.2, §11, §12.2.2). */
#include "wire.h"

struct fixture {
	struct wire *w;
	struct sip_ua *ua;
	struct wire_end *end;
	unsigned handled;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->w = wire_new(1);
	f->end = wire_end(f->w, 'A');
	f->ua = f->end->ua;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	wire_free(f->w);
	free(f);
	return 0;
}

static void on_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fixture *f = arg;

	(void)m;
	f->handled++;
	strans_reply_simple(st, 200, NULL);
}

/* Sends a request from B and returns the status of the answer, 0 for none. */
static int ask(struct fixture *f, const char *method, const char *uri, const char *to_tag, const char *hdrs, const char *body)
{
	static unsigned n;
	char text[4096];
	const char *max_forwards = strstr(hdrs, "Max-Forwards") ? "" : "Max-Forwards: 70\r\n";

	n++;
	int len = snprintf(text, sizeof(text),
			   "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.2:5062;branch=z9hG4bKua%u\r\n"
			   "From: <sip:b@y>;tag=b\r\nTo: <sip:a@x>%s%s\r\nCall-ID: ua-%u\r\nCSeq: 7 %s\r\n%s%s"
			   "Content-Length: %zu\r\n\r\n%s",
			   method, uri, n, *to_tag ? ";tag=" : "", to_tag, n, method, max_forwards, hdrs, strlen(body), body);
	f->end->last[0] = '\0';
	wire_receive(f->end, &wire_end(f->w, 'B')->addr, SIP_UDP, text, (size_t)len);
	wire_settle(f->w);
	return strncmp(f->end->last, "SIP/2.0 ", 8) == 0 ? atoi(f->end->last + 8) : 0;
}

#define CONTACT "Contact: <sip:b@127.0.0.2:5062>\r\n"
#define MIXED "Content-Type: multipart/mixed;boundary=x\r\n"
#define SDP_PART "--x\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n"

static void test_ua_answers_by_rule(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *method, *to_tag, *hdrs, *body;
		int status;
		const char *line; /* in the answer */
	} rows[] = {
		/* §11.2 */
		{ "OPTIONS", "", "", "", 200, "\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, PRACK, UPDATE, SUBSCRIBE, REFER\r\n" },
		{ "OPTIONS", "", "", "", 200, "\r\nAccept: application/sdp, multipart/mixed, multipart/alternative, multipart/related\r\n" },
		{ "OPTIONS", "", "", "", 200, "\r\nSupported: timer, 100rel, 199, from-change, path\r\n" },
		{ "OPTIONS", "", "", "", 200, "\r\nAccept-Encoding: identity\r\nAccept-Language: *\r\n" },
		{ "OPTIONS", "", "", "", 200, "\r\nAllow-Events: dialog, presence\r\n" },                /* RFC 6665 §7.2 */
		{ "OPTIONS", "", "Accept: text/plain\r\n", "", 200, "" },                                 /* nothing is said in a body */
		{ "OPTIONS", "", "Max-Forwards: 0\r\n", "", 200, "" },
		/* §20.1, §21.4.7; RFC 4475 §3.3.15 */
		{ "INVITE", "", CONTACT "Accept: text/nobodyKnowsThis\r\n", "", 406, "" },
		{ "INVITE", "", CONTACT "Accept: \r\n", "", 406, "" },
		{ "INVITE", "", CONTACT "Accept: application/sdp;q=0.0, text/plain\r\n", "", 406, "" },
		{ "INVITE", "", CONTACT "Accept: text/plain\r\nAccept: multipart/mixed, Application/SDP;level=1;q=0.01\r\n", "", 200, "" },
		{ "INVITE", "", CONTACT "Accept: application/*\r\n", "", 200, "" },
		{ "INVITE", "", CONTACT "Accept: */*;q=0.5\r\n", "", 200, "" },
		/* §8.2.1 and RFC 3261 §21.5.2 */
		{ "MESSAGE", "", "", "", 405, "\r\nAllow: INVITE" },
		{ "PUBLISH", "", CONTACT, "", 405, "\r\nAllow: INVITE" },
		{ "FROBNICATE", "", "", "", 501, "\r\nAllow: INVITE" },
		/* §12.2.2 */
		{ "INVITE", "nobody", CONTACT, "", 481, "" },
		{ "BYE", "nobody", "", "", 481, "" },
		{ "OPTIONS", "nobody", "", "", 481, "" },
		{ "FROBNICATE", "nobody", "", "", 481, "" },
		{ "BYE", "", "", "", 481, "" },
		{ "UPDATE", "", "", "", 481, "" },
		{ "PRACK", "", "", "", 481, "" },
		{ "INFO", "", "", "", 481, "" },
		{ "NOTIFY", "", "", "", 481, "" },
		/* §8.2.2.3 */
		{ "INVITE", "", CONTACT "Require: path, foo\r\nRequire: Frob\r\n", "", 420, "\r\nUnsupported: foo, Frob\r\n" },
		{ "OPTIONS", "", "Require: frob\r\n", "", 420, "\r\nUnsupported: frob\r\n" },
		{ "OPTIONS", "", "Require: path\r\n", "", 200, "" },
		/* RFC 3891 §3 */
		{ "OPTIONS", "", "Replaces: a@b;to-tag=1;from-tag=2\r\n", "", 400, "SIP/2.0 400 Replaces Outside INVITE\r\n" },
		{ "REGISTER", "", "Replaces: a@b;to-tag=1;from-tag=2\r\n", "", 400, "" },
		{ "INVITE", "", CONTACT "Replaces: a@b;to-tag=1;from-tag=2\r\n", "", 200, "" },
		/* §16.3, RFC 7332 */
		{ "INVITE", "", CONTACT "Max-Forwards: 0\r\n", "", 483, "" },
		{ "SUBSCRIBE", "", CONTACT "Max-Forwards: 0\r\n", "", 200, "" },
		{ "REGISTER", "", "Max-Forwards: 0\r\n", "", 200, "" },
		{ "REGISTER", "strange", "", "", 200, "" },
		/* §8.1.1.8 */
		{ "INVITE", "", "", "", 400, "SIP/2.0 400 Missing Contact\r\n" },
		{ "SUBSCRIBE", "", "Contact: *\r\n", "", 400, "SIP/2.0 400 Missing Contact\r\n" },
		/* §8.2.3 */
		{ "INVITE", "", CONTACT "Content-Type: text/plain\r\n", "hello", 415, "\r\nAccept: application/sdp, multipart/mixed, multipart/alternative, multipart/related\r\n" },
		{ "INVITE", "", CONTACT "Content-Type: application/sdp\r\nContent-Encoding: gzip\r\n", "hello", 415,
		  "\r\nAccept-Encoding: identity\r\n" },
		{ "INVITE", "", CONTACT, "hello", 400, "SIP/2.0 400 Missing Content-Type\r\n" },
		{ "INVITE", "", CONTACT "Content-Type: text/plain\r\nContent-Disposition: x;handling=optional\r\n", "hello", 200, "" },
		{ "INVITE", "", CONTACT "c: Application/SDP\r\n", "v=0\r\n", 200, "" },
		{ "INVITE", "", CONTACT "Content-Type: multipart/mixed;boundary=x\r\n", "--x", 200, "" },
		{ "INVITE", "", CONTACT "Content-Type: multipart/mixed\r\n", "--x", 415, "\r\nAccept: application/sdp, " },
		/* RFC 3261 §20.11, RFC 5621 §8 */
		{ "INVITE", "", CONTACT "Content-Type: application/sdp\r\nContent-Disposition: early-session\r\n", "v=0\r\n", 415, "" },
		{ "INVITE", "", CONTACT "Content-Type: application/sdp\r\nContent-Disposition: session;handling=required\r\n", "v=0\r\n", 200, "" },
		{ "INVITE", "", CONTACT MIXED, SDP_PART "--x\r\nContent-Type: application/isup\r\nContent-Disposition: signal;handling=required\r\n\r\n1"
		  "\r\n--x--\r\n", 415, "\r\nAccept: application/sdp, " },
		{ "INVITE", "", CONTACT MIXED, SDP_PART "--x\r\nContent-Type: application/isup\r\nContent-Disposition: signal\r\n\r\n1\r\n--x--\r\n",
		  415, "" },
		{ "INVITE", "", CONTACT MIXED, SDP_PART "--x\r\nContent-Type: application/isup\r\nContent-Disposition: signal; Handling=OPTIONAL\r\n"
		  "\r\n1\r\n--x--\r\n", 200, "" },
		{ "INVITE", "", CONTACT MIXED, SDP_PART "--x\r\nContent-Type: application/pidf+xml\r\n\r\n<a/>\r\n--x--\r\n", 200, "" },
		/* RFC 5621 §9.1: what a header refers to is its business. */
		{ "INVITE", "", CONTACT "Geolocation: <cid:l@x>\r\n" MIXED, SDP_PART "--x\r\nContent-Type: application/pidf+xml\r\nContent-ID: <l@x>\r\n"
		  "Content-Disposition: by-reference;handling=\"required\"\r\n\r\n<a/>\r\n--x--\r\n", 200, "" },
		{ "INVITE", "", CONTACT "Geolocation: <cid:m@x>\r\n" MIXED, SDP_PART "--x\r\nContent-Type: application/pidf+xml\r\nContent-ID: <l@x>\r\n"
		  "Content-Disposition: by-reference;handling=required\r\n\r\n<a/>\r\n--x--\r\n", 415, "" },
		{ "INVITE", "", CONTACT "Geolocation: <cid:l@x>\r\n" MIXED, SDP_PART "--x\r\nContent-Type: application/pidf+xml\r\nContent-ID: <l@x>\r\n"
		  "Content-Disposition: render;handling=required\r\n\r\n<a/>\r\n--x--\r\n", 415, "" },
		{ "REFER", "", CONTACT "Content-Type: application/x\r\nContent-Disposition: x;handling=required\r\n", "1", 415, "\r\nAccept: \r\n" },
		{ "REFER", "", CONTACT "Content-Type: application/x\r\n", "1", 200, "" },
		{ "INVITE", "", CONTACT MIXED, "--x\r\nContent-Type: application/sdp\r\nContent-Encoding: gzip\r\nContent-Disposition: session\r\n\r\n1"
		  "\r\n--x--\r\n", 415, "" },
	};

	sip_ua_handle(f->ua, SIP_INVITE, on_request, f);
	sip_ua_handle(f->ua, SIP_REGISTER, on_request, f);
	sip_ua_handle(f->ua, SIP_SUBSCRIBE, on_request, f);
	sip_ua_handle(f->ua, SIP_REFER, on_request, f);
	assert_int_equal(sip_ua_support(f->ua, "path"), 0);
	sip_ua_allow_event(f->ua, "dialog");
	sip_ua_allow_event(f->ua, "presence");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int status = ask(f, rows[i].method, "sip:a@127.0.0.1", rows[i].to_tag, rows[i].hdrs, rows[i].body);
		if (status != rows[i].status)
			print_error("row %zu: %s answered %d, not %d\n", i, rows[i].method, status, rows[i].status);
		assert_int_equal(status, rows[i].status);
		if (!strstr(f->end->last, rows[i].line))
			fail_msg("row %zu: without \"%s\": %s", i, rows[i].line, f->end->last);
	}
	wire_run(f->w, 70000);
}

static void test_ua_unknown_scheme_416(void **state)
{
	struct fixture *f = *state;

	sip_ua_handle(f->ua, SIP_INVITE, on_request, f);
	assert_int_equal(ask(f, "INVITE", "mailto:a@x", "", CONTACT, ""), 416);
	assert_int_equal(ask(f, "INVITE", "tel:+123", "", CONTACT, ""), 200);
	assert_int_equal(ask(f, "INVITE", "sips:a@x", "", CONTACT, ""), 200);
	wire_run(f->w, 70000);
}

static void test_ua_handler_gets_its_method(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "MESSAGE", "sip:a@x", "", "", ""), 405);
	sip_ua_handle(f->ua, SIP_MESSAGE, on_request, f);
	assert_int_equal(ask(f, "MESSAGE", "sip:a@x", "", "", ""), 200);
	assert_int_equal(f->handled, 1);
	assert_non_null(strstr(sip_ua_allow(f->ua), ", MESSAGE"));
	sip_ua_handle(f->ua, SIP_OPTIONS, on_request, f);
	assert_int_equal(ask(f, "OPTIONS", "sip:a@x", "", "", ""), 200);
	assert_int_equal(f->handled, 1); /* nobody in particular asks */
	assert_int_equal(ask(f, "OPTIONS", "sip:a@x", "", "Authorization: Digest username=\"a\"\r\n", ""), 200);
	assert_int_equal(f->handled, 2);
	sip_ua_allow_in_dialog(f->ua, SIP_INFO);
	assert_non_null(strstr(sip_ua_allow(f->ua), ", INFO"));
	assert_int_equal(ask(f, "INFO", "sip:a@x", "", "", ""), 481);
	wire_run(f->w, 70000);
}

static enum sip_early on_early(const struct sip_msg *m, const struct sip_source *src, struct out *hdrs, void *arg)
{
	unsigned *n = arg;

	(void)src;
	++*n;
	out_z(hdrs, "WWW-Authenticate: Digest\r\n");
	if (sip_msg_has(m, SIP_HDR_AUTHORIZATION))
		return SIP_EARLY_KEEP;
	return m->method == SIP_REGISTER ? SIP_EARLY_REPLY : m->method == SIP_INVITE ? SIP_EARLY_DROP : SIP_EARLY_KEEP;
}

/* Who hasn't said who he is gets an answer, always the same one, and nothing is kept for it. */
static void test_ua_strangers_leave_nothing_behind(void **state)
{
	struct fixture *f = *state;
	const struct sip_stack_counters *n = sip_stack_counters(sip_ua_stack(f->ua));
	unsigned nasked = 0;

	sip_ua_handle(f->ua, SIP_INVITE, on_request, f);
	sip_ua_handle(f->ua, SIP_REGISTER, on_request, f);
	sip_ua_handle(f->ua, SIP_MESSAGE, on_request, f);
	sip_ua_on_early(f->ua, on_early, &nasked);
	assert_int_equal(ask(f, "REGISTER", "sip:a@127.0.0.1", "", "", ""), 401);
	assert_non_null(strstr(f->end->last, "\r\nWWW-Authenticate: Digest\r\n"));
	assert_int_equal(ask(f, "OPTIONS", "sip:a@127.0.0.1", "", "", ""), 200);
	assert_int_equal(ask(f, "BYE", "sip:a@127.0.0.1", "nobody", "", ""), 481);
	assert_int_equal(nasked, 1);
	assert_int_equal(n->strans_live, 0);
	assert_int_equal(n->early, 3);
	/* What has credentials, or will be refused for another reason, or isn't for strangers */
	assert_int_equal(ask(f, "REGISTER", "sip:a@127.0.0.1", "", "Authorization: Digest a=b\r\n", ""), 200);
	assert_int_equal(nasked, 2);
	assert_int_equal(ask(f, "REGISTER", "sip:a@127.0.0.1", "", "Require: frob\r\n", ""), 420);
	assert_int_equal(nasked, 2);
	assert_int_equal(ask(f, "MESSAGE", "sip:a@127.0.0.1", "", "", ""), 200);
	assert_int_equal(nasked, 3);
	assert_int_equal(n->strans_live, 3);
	wire_run(f->w, 70000);
}

static void test_ua_option_tags_have_a_limit(void **state)
{
	struct fixture *f = *state;

	int n = 0;

	while (n < 100 && sip_ua_support(f->ua, "x") == 0)
		n++;
	assert_in_range(n, 8, 16);
	assert_int_equal(sip_ua_support(f->ua, "x"), -ENOSPC);
}

static void test_ua_stray_ack_and_response_ignored(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ask(f, "ACK", "sip:a@x", "nobody", "", ""), 0);
	assert_int_equal(ask(f, "ACK", "sip:a@x", "", "", ""), 0);
	static const char ok[] = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKnone\r\n"
				 "From: <sip:a@x>;tag=nobody\r\nTo: <sip:b@y>;tag=z\r\nCall-ID: none\r\n"
				 "CSeq: 1 INVITE\r\nContact: <sip:b@127.0.0.2>\r\nContent-Length: 0\r\n\r\n";
	wire_receive(f->end, &wire_end(f->w, 'B')->addr, SIP_UDP, ok, sizeof(ok) - 1);
	wire_settle(f->w);
	assert_string_equal(f->end->last, "");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_ua_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(answers_by_rule),
		T(unknown_scheme_416),
		T(handler_gets_its_method),
		T(strangers_leave_nothing_behind),
		T(option_tags_have_a_limit),
		T(stray_ack_and_response_ignored),
	};

	return cmocka_run_group_tests_name("ua", tests, NULL, NULL);
}

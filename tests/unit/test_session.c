/* test_session.c - calls as ladders between two user agents in memory, over a wire that loses, holds and forks. */
#include <malloc.h>

#include "sip/digest.h"
#include "sip/stack_int.h"
#include "wire.h"

#define SDP "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
#define SDP_TYPE "application/sdp"

enum what { NOTHING, CLOSE, DETACH };

/* One end's owner of a session: writes down what it hears and does what it was told to. */
struct side {
	struct wire *w;
	char name;
	struct session *s;
	char events[1024];
	bool holds_ack;           /* doesn't ACK in on_answer */
	bool refuses_authorize, had_invite_at_ack;
	int reoffer_status;       /* 0: 200; -1: answers later */
	struct strans *reoffer;
	const char *do_at;        /* event at which to do it */
	enum what what;
	struct session_timing timing;
	bool refuses_short, raises_422;
	uint32_t answers_422;
	char body[256];           /* of the last message that had one */
	struct digest_server *digest; /* challenges INVITEs */
	char ha1[65];
};

static void did(struct side *sd, const char *event, int n)
{
	size_t len = strlen(sd->events);
	char text[64];

	snprintf(text, sizeof(text), n < 0 ? "%s" : "%s %d", event, n);
	snprintf(sd->events + len, sizeof(sd->events) - len, "%s%s", len ? ", " : "", text);
	if (!sd->do_at || strcmp(sd->do_at, event) || !sd->s)
		return;
	if (sd->what == CLOSE)
		session_close(sd->s, 0, NULL);
	if (sd->what == DETACH) {
		session_detach(sd->s, 0, NULL);
		sd->s = NULL;
	}
}

static void keep_body(struct side *sd, const struct sip_msg *m)
{
	if (m && m->body.n > 0)
		snprintf(sd->body, sizeof(sd->body), "%.*s", STR_ARG(m->body));
}

static void on_progress(struct session *s, const struct sip_msg *m, void *arg)
{
	(void)s;
	did(arg, "progress", m->status);
}

static void on_answer(struct session *s, const struct sip_msg *m, void *arg)
{
	struct side *sd = arg;

	keep_body(sd, m);
	if (!sd->holds_ack)
		assert_int_equal(session_ack(s, NULL, STR_NULL), 0);
	did(sd, "answer", -1);
}

static void on_ack(struct session *s, const struct sip_msg *m, void *arg)
{
	struct side *sd = arg;

	sd->had_invite_at_ack = session_invite_msg(s) != NULL;
	keep_body(sd, m);
	did(sd, "ack", -1);
}

static void on_reoffer(struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer, void *arg)
{
	struct side *sd = arg;
	bool with_body = has_offer || m->method == SIP_INVITE;

	keep_body(sd, m);
	if (sd->reoffer_status < 0)
		sd->reoffer = st;
	else
		session_reply_offer(s, st, sd->reoffer_status ? sd->reoffer_status : 200, NULL, SDP_TYPE,
				    with_body && !sd->reoffer_status ? STR(SDP) : STR_NULL);
	did(sd, has_offer ? "reoffer" : "refresh", -1);
}

static void on_reoffer_done(struct session *s, int status, const struct sip_msg *m, void *arg)
{
	(void)s;
	keep_body(arg, m);
	did(arg, "done", status);
}

static bool on_request(struct session *s, struct strans *st, const struct sip_msg *m, void *arg)
{
	(void)s;
	if (m->method != SIP_INFO)
		return false;
	strans_reply_simple(st, 200, NULL);
	did(arg, "info", -1);
	return true;
}

static void on_closed(struct session *s, enum session_end how, int status, const struct sip_msg *m, void *arg)
{
	static const char *const names[] = { "bye-received", "bye-sent", "cancelled", "rejected", "timeout", "failed" };
	struct side *sd = arg;

	(void)m;
	assert_ptr_equal(s, sd->s);
	assert_int_equal(session_state(s), SESSION_ST_TERMINATED);
	did(sd, names[how], status);
	sd->s = NULL;
}

static bool on_authorize(struct session *s, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct side *sd = arg;

	(void)s;
	(void)m;
	did(sd, "authorize", -1);
	if (sd->refuses_authorize)
		strans_reply_simple(st, 403, NULL);
	return !sd->refuses_authorize;
}

static void on_refresh(struct session *s, void *arg)
{
	did(arg, "timer", -1);
	assert_int_equal(session_reinvite(s, NULL, SDP_TYPE, STR(SDP)), 0);
}

static void on_prack(struct session *s, const struct sip_msg *m, void *arg)
{
	(void)s;
	keep_body(arg, m);
	did(arg, "prack", -1);
}

static int on_early_offer(struct session *s, const struct sip_msg *m, struct out *o, void *arg)
{
	(void)s;
	keep_body(arg, m);
	did(arg, "early-offer", -1);
	out_z(o, "v=0\r\n");
	return 0;
}

static const struct session_handler handler = {
	.on_prack = on_prack, .on_early_offer = on_early_offer,
	.on_refresh = on_refresh,
	.on_progress = on_progress, .on_answer = on_answer, .on_ack = on_ack, .on_reoffer = on_reoffer,
	.on_reoffer_done = on_reoffer_done, .on_request = on_request, .on_closed = on_closed,
	.on_authorize = on_authorize,
};

static bool challenge_passes(struct side *sd, struct strans *st, const struct sip_msg *m)
{
	struct digest_secret secret = { .ha1_md5 = sd->ha1 };
	struct sip_credentials c;
	char line[512], name[DIGEST_USER_MAX];
	struct out o;

	if (digest_find(sd->digest, m, SIP_HDR_AUTHORIZATION, STR("cord"), &c, name) &&
	    digest_check(sd->digest, m, &c, &secret, DIGEST_MD5, STR_NULL) == DIGEST_OK)
		return true;
	out_init(&o, line, sizeof(line) - 1);
	digest_challenge(sd->digest, &o, SIP_HDR_WWW_AUTHENTICATE, STR("cord"), DIGEST_MD5, false, STR_NULL);
	line[o.len] = '\0';
	strans_reply_simple(st, 401, line);
	return false;
}

static void on_invite(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct side *sd = arg;
	uint32_t min_s = sd->refuses_short ? session_min_expires(m, &sd->timing) : sd->answers_422;

	if (min_s) {
		char line[32];

		snprintf(line, sizeof(line), "Min-SE: %u\r\n", min_s);
		strans_reply_simple(st, 422, line);
		sd->answers_422 += sd->raises_422 ? 100 : 0;
		return;
	}
	if (sd->digest && !challenge_passes(sd, st, m))
		return;
	keep_body(sd, m);
	assert_int_equal(session_accept(&sd->s, wire_end(sd->w, sd->name)->ua, st, m, &handler, sd), 0);
	session_set_timing(sd->s, &sd->timing);
	did(sd, "invite", -1);
}

struct fixture {
	struct wire *w;
	struct side a, b, c;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct side *sides[] = { &f->a, &f->b, &f->c };

	f->w = wire_new(3);
	for (int i = 0; i < 3; i++) {
		*sides[i] = (struct side){ .w = f->w, .name = (char)('A' + i) };
		sip_ua_handle(f->w->ends[i].ua, SIP_INVITE, on_invite, sides[i]);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	digest_server_free(f->b.digest);
	wire_free(f->w);
	free(f);
	return 0;
}

static struct session_params params(struct fixture *f)
{
	return (struct session_params){
		.target = STR("sip:1002@127.0.0.2:5062"),
		.dest = wire_dest(f->w, 'B'),
		.from_display = STR("Ann \"A\""),
		.from_uri = STR("sip:1001@cord"),
		.to_uri = STR("sip:1002@cord"),
		.contact_user = STR("1001"),
		.ctype = SDP_TYPE,
		.body = STR(SDP),
	};
}

static void invite(struct fixture *f)
{
	struct session_params p = params(f);

	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
}

static void ring(struct fixture *f)
{
	assert_int_equal(session_progress(f->b.s, 180, NULL, NULL, STR_NULL), 0);
	wire_settle(f->w);
}

static void answer(struct fixture *f)
{
	assert_int_equal(session_answer(f->b.s, NULL, SDP_TYPE, STR(SDP)), 0);
	wire_settle(f->w);
}

/* A confirmed call whose transactions have all ended; nothing written down of it. */
static void establish(struct fixture *f)
{
	invite(f);
	ring(f);
	answer(f);
	wire_run(f->w, 70000);
	assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	assert_int_equal(session_state(f->b.s), SESSION_ST_CONFIRMED);
	f->w->ladder[0] = f->a.events[0] = f->b.events[0] = '\0';
}

#define assert_events(sd, text) do { assert_string_equal((sd)->events, (text)); (sd)->events[0] = '\0'; } while (0)

/* Everything is over: nobody remembers anything. */
static void assert_all_gone(struct fixture *f)
{
	wire_run(f->w, 70000);
	for (int i = 0; i < 3; i++) {
		struct sip_ua *ua = f->w->ends[i].ua;
		assert_int_equal(sip_ua_sessions(ua), 0);
		assert_int_equal(sip_stack_counters(sip_ua_stack(ua))->ctrans_live, 0);
		assert_int_equal(sip_stack_counters(sip_ua_stack(ua))->strans_live, 0);
	}
	assert_int_equal(timers_count(f->w->timers), 0);
}

/* A request inside to's session that the test writes itself, as the peer would. */
static void inject_of(struct fixture *f, struct side *to, struct str tag, const union sockaddr_any *from, const char *method,
		      uint32_t cseq, const char *hdrs, const char *body)
{
	static unsigned branch;
	char text[2048], peer[SOCKADDR_TEXT_MAX];
	struct session *s = to->s;

	sockaddr_print(from, peer);
	int n = snprintf(text, sizeof(text),
			 "%s sip:x@127.0.0.2 SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKinj%u;rport\r\n"
			 "From: <sip:1001@cord>;tag=%.*s\r\nTo: <sip:1002@cord>;tag=%.*s\r\nCall-ID: %.*s\r\n"
			 "CSeq: %u %s\r\nMax-Forwards: 70\r\n%s%sContent-Length: %zu\r\n\r\n%s",
			 method, peer, ++branch, STR_ARG(tag), STR_ARG(session_local_tag(s)),
			 STR_ARG(session_call_id(s)), cseq, method, hdrs,
			 *body ? "Content-Type: application/sdp\r\n" : "", strlen(body), body);
	wire_receive(wire_end(f->w, to->name), from, SIP_UDP, text, (size_t)n);
	wire_settle(f->w);
}

static void inject(struct fixture *f, struct side *to, const union sockaddr_any *from, const char *method, uint32_t cseq,
		   const char *hdrs, const char *body)
{
	inject_of(f, to, session_remote_tag(to->s), from, method, cseq, hdrs, body);
}

/* ---- the ordinary call ---- */

static void test_session_call_both_ends_hear_it(void **state)
{
	struct fixture *f = *state;
	char buf[256];

	invite(f);
	assert_events(&f->b, "invite");
	assert_int_equal(session_state(f->b.s), SESSION_ST_RECEIVED);
	ring(f);
	assert_int_equal(session_state(f->a.s), SESSION_ST_EARLY);
	answer(f);
	assert_events(&f->a, "progress 180, answer");
	assert_events(&f->b, "ack");
	assert_true(f->b.had_invite_at_ack);
	assert_null(session_invite_msg(f->b.s));
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 180 INVITE, B 200 INVITE, A ACK");
	assert_true(str_eq(session_local_tag(f->a.s), session_remote_tag(f->b.s)));
	assert_true(str_eq(session_remote_tag(f->a.s), session_local_tag(f->b.s)));
	assert_true(str_eq(session_call_id(f->a.s), session_call_id(f->b.s)));
	assert_string_equal(wire_header(f->w->ends[0].last, "From", buf, 20), "\"Ann \\\"A\\\"\" <sip:10");
	wire_run(f->w, 40000);
	session_close(f->b.s, 0, "Reason: Q.850;cause=16\r\n");
	assert_string_equal(f->b.events, ""); /* not from inside */
	wire_settle(f->w);
	assert_ladder(f->w, "B BYE, A 200 BYE");
	assert_string_equal(wire_header(f->w->ends[1].last, "Reason", buf, sizeof(buf)), "Q.850;cause=16");
	assert_events(&f->a, "bye-received 0");
	assert_events(&f->b, "bye-sent 0");
	assert_all_gone(f);
}

static void test_session_contact_names_us(void **state)
{
	struct fixture *f = *state;
	char buf[256];

	invite(f);
	assert_string_equal(wire_header(f->w->ends[0].last, "Contact", buf, sizeof(buf)), "<sip:1001@127.0.0.1:5061>");
	assert_non_null(strstr(wire_header(f->w->ends[0].last, "Allow", buf, sizeof(buf)), "UPDATE"));
	ring(f);
	assert_string_equal(wire_header(f->w->ends[1].last, "Contact", buf, sizeof(buf)), "<sip:1002@127.0.0.2:5062>");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rejected_tells_status(void **state)
{
	struct fixture *f = *state;

	invite(f);
	ring(f);
	assert_int_equal(session_reject(f->b.s, 486, NULL, NULL), 0);
	assert_int_equal(session_reject(f->b.s, 486, NULL, NULL), -EALREADY);
	assert_int_equal(session_answer(f->b.s, NULL, NULL, STR_NULL), -EALREADY);
	wire_settle(f->w);
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 180 INVITE, B 486 INVITE, A ACK");
	assert_events(&f->a, "progress 180, rejected 486");
	assert_events(&f->b, "invite, rejected 486");
	assert_all_gone(f);
}

static void test_session_close_unanswered_rejects_480(void **state)
{
	struct fixture *f = *state;

	invite(f);
	session_close(f->b.s, 0, NULL);
	session_close(f->b.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->a, "rejected 480");
	assert_events(&f->b, "invite, rejected 480");
	assert_all_gone(f);
}

static void test_session_late_offer_answer_in_ack(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.body = STR_NULL;
	f->a.holds_ack = true;
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_null(strstr(f->w->ends[0].last, "Content-Type"));
	answer(f);
	assert_string_equal(f->a.body, SDP);
	wire_run(f->w, 1600); /* the 2xx comes again and again, and nothing is said before there is an answer */
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 200 INVITE, B 200 INVITE, B 200 INVITE");
	assert_int_equal(session_ack(f->a.s, SDP_TYPE, STR("v=0\r\n")), 0);
	assert_int_equal(session_ack(f->a.s, SDP_TYPE, STR("v=0\r\n")), -EALREADY);
	wire_run(f->w, 5000);
	assert_ladder(f->w, "A ACK");
	assert_string_equal(f->b.body, "v=0\r\n");
	assert_events(&f->b, "invite, ack");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

/* ---- headers of the dialog ---- */

static void invite_with_hdrs(struct fixture *f)
{
	struct session_params p = params(f);

	p.dialog_hdrs = STR("X-Name: 1\r\n");
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	f->w->needs = "X-Name: 1\r\n";
	wire_flush(f->w);
	assert_int_equal(session_set_hdrs(f->b.s, STR("X-Name: 1\r\n")), 0);
	wire_settle(f->w);
}

static void test_session_dialog_hdrs_in_all_messages(void **state)
{
	struct fixture *f = *state;

	invite_with_hdrs(f);
	ring(f);
	answer(f);
	assert_int_equal(session_reinvite(f->b.s, NULL, SDP_TYPE, STR(SDP)), 0);
	wire_run(f->w, 1000);
	inject(f, &f->b, &f->w->ends[0].addr, "MESSAGE", 70, "", ""); /* 405 */
	inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 71, "Require: x\r\n", ""); /* 420 */
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 180 INVITE, B 200 INVITE, A ACK, B INVITE, A 200 INVITE, "
			    "B ACK, B 405 MESSAGE, B 420 UPDATE");
	session_close(f->b.s, 0, NULL);
	wire_settle(f->w);
	assert_ladder(f->w, "B BYE, A 200 BYE");
	assert_all_gone(f);
}

static void test_session_dialog_hdrs_change(void **state)
{
	struct fixture *f = *state;

	invite_with_hdrs(f);
	assert_int_equal(session_set_hdrs(f->b.s, STR("X-Name: 2\r\n")), 0);
	f->w->needs = "X-Name: 2\r\n";
	assert_int_equal(session_progress(f->b.s, 180, NULL, NULL, STR_NULL), 0);
	assert_int_equal(session_set_hdrs(f->a.s, STR("X-Name: 2\r\n")), 0);
	answer(f);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	assert_all_gone(f);
}

/* RFC 7989 §6: also in the CANCEL, its 200, the 487 and the ACK of that. */
static void test_session_session_id_when_cancelled(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.dialog_hdrs = STR("Session-ID: 11111111111111111111111111111111;remote=00000000000000000000000000000000\r\n");
	f->w->needs = "Session-ID: ";
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_flush(f->w);
	assert_int_equal(session_set_hdrs(f->b.s, STR("Session-ID: 2222\r\n")), 0);
	wire_settle(f->w);
	ring(f);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 180 INVITE, A CANCEL, B 200 CANCEL, B 487 INVITE, A ACK");
	assert_all_gone(f);
}

/* ---- cancel ---- */

static void test_session_cancel_ends_both(void **state)
{
	struct fixture *f = *state;

	invite(f);
	ring(f);
	session_close(f->a.s, 0, "Reason: SIP;cause=200\r\n");
	wire_settle(f->w);
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 180 INVITE, A CANCEL, B 200 CANCEL, B 487 INVITE, A ACK");
	assert_events(&f->a, "progress 180, cancelled 487");
	assert_events(&f->b, "invite, cancelled 487");
	assert_all_gone(f);
}

static void test_session_cancel_crosses_200_ack_and_bye(void **state)
{
	struct fixture *f = *state;

	invite(f);
	ring(f);
	wire_hold(f->w, 'B', "200 INVITE");
	answer(f);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->a, "progress 180, cancelled 487");
	wire_release(f->w);
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 180 INVITE, B 200 INVITE~, A CANCEL, B 200 CANCEL, A ACK, A BYE, "
			    "B 200 BYE");
	assert_events(&f->b, "invite, ack, bye-received 0");
	assert_events(&f->a, "");
	assert_all_gone(f);
}

static void test_session_cancel_crosses_200_lost_ack_sent_again(void **state)
{
	struct fixture *f = *state;

	invite(f);
	wire_hold(f->w, 'B', "200 INVITE");
	answer(f);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	f->w->ladder[0] = '\0';
	wire_lose(f->w, 'A', "ACK", 1);
	wire_lose(f->w, 'A', "BYE", 1);
	wire_release(f->w);
	assert_ladder(f->w, "A ACK!, A BYE!");
	wire_run(f->w, 1000); /* B's 200 and A's BYE are both due at 500 ms */
	assert_non_null(strstr(f->w->ladder, "B 200 INVITE"));
	assert_non_null(strstr(f->w->ladder, "B 200 BYE"));
	assert_events(&f->b, strstr(f->b.events, "ack") ? "invite, ack, bye-received 0" : "invite, bye-received 0");
	assert_all_gone(f);
}

/* A connection ends under a phone that rings: the caller knows at once, and the phone is called off by a new one. */
static void test_session_ringing_whose_connection_ends_is_cancelled(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.dest.proto = SIP_TCP;
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	ring(f);
	f->w->ladder[0] = '\0';
	ctrans_flow_closed(sip_ua_stack(f->w->ends[0].ua), 0);
	wire_settle(f->w);
	assert_ladder(f->w, "A CANCEL, B 200 CANCEL, B 487 INVITE, A ACK");
	assert_events(&f->a, "progress 180, failed 503");
	assert_events(&f->b, "invite, cancelled 487");
	assert_all_gone(f);
}

/* It answers all the same, for it didn't hear that, or couldn't be reached: ACK and BYE. */
static void test_session_ringing_whose_connection_ends_answers(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.dest.proto = SIP_TCP;
	for (int after_s = 0; after_s <= 20; after_s += 20) {
		assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
		wire_settle(f->w);
		ring(f);
		wire_lose(f->w, 'A', "CANCEL", 1);
		ctrans_flow_closed(sip_ua_stack(f->w->ends[0].ua), 0);
		wire_run(f->w, (uint64_t)after_s * 1000);
		assert_events(&f->a, "progress 180, failed 503");
		f->w->ladder[0] = '\0';
		answer(f);
		assert_ladder(f->w, "B 200 INVITE, A ACK, A BYE, B 200 BYE");
		assert_events(&f->b, "invite, ack, bye-received 0");
		assert_events(&f->a, "");
		assert_all_gone(f);
	}
}

/* Nobody answers any more: all is forgotten when nothing can come. */
static void test_session_ringing_whose_connection_ends_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.dest.proto = SIP_TCP;
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	ring(f);
	wire_lose(f->w, 'A', "CANCEL", 1);
	ctrans_flow_closed(sip_ua_stack(f->w->ends[0].ua), 0);
	wire_run(f->w, 64 * SIP_T1_MS + 2);
	assert_int_equal(sip_ua_sessions(f->w->ends[0].ua), 0);
	assert_int_equal(sip_stack_counters(sip_ua_stack(f->w->ends[0].ua))->ctrans_live, 0);
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_timeout_cancels(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.timeout_ms = 20000;
	uint64_t start = f->w->now_ms;
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	ring(f);
	wire_until(f->w, start + 19999);
	assert_events(&f->a, "progress 180");
	wire_run(f->w, 1);
	assert_events(&f->a, "timeout 408");
	assert_events(&f->b, "invite, cancelled 487");
	assert_all_gone(f);
}

static void test_session_no_response_times_out(void **state)
{
	struct fixture *f = *state;

	uint64_t start = f->w->now_ms;

	wire_lose(f->w, 'A', "INVITE", 100);
	invite(f);
	wire_until(f->w, start + 31999);
	assert_events(&f->a, "");
	wire_settle(f->w);
	assert_events(&f->a, "timeout 408");
	assert_all_gone(f);
}

/* ---- 2xx and ACK ---- */

static void test_session_lost_200_repeated(void **state)
{
	struct fixture *f = *state;

	invite(f);
	wire_lose(f->w, 'B', "200 INVITE", 2);
	uint64_t start = f->w->now_ms;
	answer(f);
	wire_until(f->w, start + 1499);
	assert_events(&f->a, "");
	wire_run(f->w, 1);
	assert_events(&f->a, "answer");
	assert_ladder(f->w, "A INVITE, B 100 INVITE, B 200 INVITE!, B 200 INVITE!, B 200 INVITE, A ACK");
	wire_run(f->w, 40000);
	assert_ladder(f->w, "");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_lost_ack_sent_for_each_200(void **state)
{
	struct fixture *f = *state;
	char first[8192];

	invite(f);
	f->w->ladder[0] = '\0';
	wire_lose(f->w, 'A', "ACK", 3);
	answer(f);
	memcpy(first, f->w->ends[0].last, sizeof(first));
	wire_run(f->w, 20000);
	assert_ladder(f->w, "B 200 INVITE, A ACK!, B 200 INVITE, A ACK!, B 200 INVITE, A ACK!, B 200 INVITE, A ACK");
	/* the same ACK, but for its branch */
	assert_string_equal(strstr(first, "\r\nMax-Forwards"), strstr(f->w->ends[0].last, "\r\nMax-Forwards"));
	assert_events(&f->a, "answer");
	assert_events(&f->b, "invite, ack");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_no_ack_ends_with_bye(void **state)
{
	struct fixture *f = *state;
	unsigned sent = 0;

	invite(f);
	f->w->ladder[0] = '\0';
	wire_lose(f->w, 'A', "ACK", 1000);
	uint64_t start = f->w->now_ms;
	answer(f);
	wire_until(f->w, start + 31999);
	for (const char *at = f->w->ladder; (at = strstr(at, "B 200 INVITE")); at++)
		sent++;
	assert_int_equal(sent, 1 + 10); /* 0.5 1.5 3.5 7.5 11.5 15.5 19.5 23.5 27.5 31.5 s */
	assert_events(&f->b, "invite");
	f->w->ladder[0] = '\0';
	wire_run(f->w, 1);
	assert_ladder(f->w, "B BYE, A 200 BYE");
	assert_events(&f->b, "timeout 408");
	assert_events(&f->a, "answer, bye-received 0");
	assert_all_gone(f);
}

static void test_session_bye_before_ack_waits_for_it(void **state)
{
	struct fixture *f = *state;

	invite(f);
	wire_hold(f->w, 'A', "ACK");
	answer(f);
	session_close(f->b.s, 0, "Reason: Q.850;cause=31\r\n");
	wire_settle(f->w);
	assert_events(&f->b, "invite, bye-sent 0");
	assert_null(strstr(f->w->ladder, "BYE"));
	wire_release(f->w);
	assert_non_null(strstr(f->w->ladder, "B BYE, A 200 BYE"));
	assert_non_null(strstr(f->w->ends[1].last, "cause=31"));
	assert_events(&f->a, "answer, bye-received 0");
	assert_all_gone(f);
}

static void test_session_close_without_ack_byes_at_last(void **state)
{
	struct fixture *f = *state;

	invite(f);
	wire_lose(f->w, 'A', "ACK", 1000);
	answer(f);
	session_close(f->b.s, 0, NULL);
	wire_run(f->w, 31000);
	assert_null(strstr(f->w->ladder, "BYE"));
	wire_run(f->w, 1001);
	assert_non_null(strstr(f->w->ladder, "B BYE, A 200 BYE"));
	assert_all_gone(f);
}

static void test_session_bye_overtakes_ack_ends_it(void **state)
{
	struct fixture *f = *state;

	invite(f);
	wire_lose(f->w, 'A', "ACK", 1);
	answer(f);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->b, "invite, bye-received 0");
	f->w->ladder[0] = '\0';
	wire_run(f->w, 40000);
	assert_ladder(f->w, ""); /* the 2xx isn't repeated any more */
	assert_all_gone(f);
}

static void test_session_caller_closes_in_answer_acks_first(void **state)
{
	struct fixture *f = *state;

	f->a.holds_ack = true;
	f->a.do_at = "answer";
	f->a.what = CLOSE;
	invite(f);
	f->w->ladder[0] = '\0';
	answer(f);
	assert_ladder(f->w, "B 200 INVITE, A ACK, A BYE, B 200 BYE");
	assert_int_equal(f->a.s == NULL, 1);
	assert_all_gone(f);
}

static void test_session_byes_cross(void **state)
{
	struct fixture *f = *state;

	establish(f);
	session_close(f->a.s, 0, NULL);
	session_close(f->b.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->a, "bye-sent 0");
	assert_events(&f->b, "bye-sent 0");
	assert_ladder(f->w, "A BYE, B BYE, B 200 BYE, A 200 BYE");
	assert_all_gone(f);
}

static void test_session_lost_bye_repeated(void **state)
{
	struct fixture *f = *state;

	establish(f);
	wire_lose(f->w, 'A', "BYE", 2);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->a, "bye-sent 0");
	wire_run(f->w, 2000);
	assert_events(&f->b, "bye-received 0");
	assert_all_gone(f);
}

static void test_session_bye_in_early_dialog_ends_invite(void **state)
{
	struct fixture *f = *state;

	invite(f);
	ring(f);
	f->w->ladder[0] = '\0';
	inject(f, &f->b, &f->w->ends[0].addr, "BYE", 2, "", "");
	assert_ladder(f->w, "B 200 BYE, B 487 INVITE, A ACK");
	assert_events(&f->b, "invite, bye-received 0");
	assert_events(&f->a, "progress 180, rejected 487");
	assert_all_gone(f);
}

static void test_session_progress_repeated_each_minute(void **state)
{
	struct fixture *f = *state;

	invite(f);
	ring(f);
	f->w->ladder[0] = '\0';
	wire_run(f->w, 125000);
	assert_ladder(f->w, "B 180 INVITE, B 180 INVITE");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

/* ---- forks ---- */

static void invite_fork(struct fixture *f)
{
	struct session_params p = params(f);

	strcpy(f->w->fork_to, "BC");
	sockaddr_parse(&p.dest.addr, STR("127.0.0.9"), 5060);
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	f->w->ladder[0] = '\0';
}

static void test_session_fork_second_2xx_acked_and_byed(void **state)
{
	struct fixture *f = *state;

	invite_fork(f);
	session_answer(f->c.s, NULL, SDP_TYPE, STR(SDP));
	wire_lose(f->w, 'A', "ACK", 2); /* C's, and the first of B's */
	wire_lose(f->w, 'A', "BYE", 1);
	wire_settle(f->w);
	session_answer(f->b.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_ladder(f->w, "C 200 INVITE, A ACK!, B 200 INVITE, A ACK!, A BYE!");
	assert_events(&f->a, "answer");
	assert_true(str_eq(session_remote_tag(f->a.s), session_local_tag(f->c.s)));
	wire_run(f->w, 600);
	/* each has its ACK, B its BYE, once */
	assert_events(&f->c, "invite, ack");
	assert_null(f->b.s);
	wire_run(f->w, 40000);
	assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	session_close(f->c.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->a, "bye-received 0");
	assert_all_gone(f);
}

static void test_session_fork_progress_of_both_told(void **state)
{
	struct fixture *f = *state;
	struct str tag;

	invite_fork(f);
	session_progress(f->b.s, 180, NULL, NULL, STR_NULL);
	wire_settle(f->w);
	tag = session_remote_tag(f->a.s);
	assert_true(str_eq(tag, session_local_tag(f->b.s)));
	session_progress(f->c.s, 183, NULL, NULL, STR_NULL);
	wire_settle(f->w);
	assert_true(str_eq(session_remote_tag(f->a.s), session_local_tag(f->c.s)));
	assert_events(&f->a, "progress 180, progress 183");
	session_answer(f->b.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_true(str_eq(session_remote_tag(f->a.s), session_local_tag(f->b.s)));
	session_close(f->c.s, 0, NULL);
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

/* ---- re-INVITE, UPDATE ---- */

static void test_session_reinvite_both_ways(void **state)
{
	struct fixture *f = *state;

	establish(f);
	assert_int_equal(session_reinvite(f->a.s, NULL, SDP_TYPE, STR("v=0\r\n")), 0);
	assert_int_equal(session_reinvite(f->a.s, NULL, SDP_TYPE, STR("v=0\r\n")), -EBUSY);
	wire_settle(f->w);
	assert_string_equal(f->b.body, "v=0\r\n");
	assert_events(&f->a, "done 200");
	assert_events(&f->b, "reoffer, ack");
	assert_ladder(f->w, "A INVITE, B 200 INVITE, A ACK");
	assert_int_equal(session_reinvite(f->b.s, NULL, SDP_TYPE, STR(SDP)), 0);
	wire_settle(f->w);
	assert_events(&f->b, "done 200");
	assert_events(&f->a, "reoffer, ack");
	assert_ladder(f->w, "B INVITE, A 200 INVITE, B ACK");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_reinvite_refused_goes_on(void **state)
{
	struct fixture *f = *state;

	establish(f);
	f->b.reoffer_status = 488;
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_events(&f->a, "done 488");
	assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_reinvite_without_offer_acked_with_answer(void **state)
{
	struct fixture *f = *state;

	establish(f);
	session_reinvite(f->b.s, NULL, NULL, STR_NULL);
	wire_settle(f->w);
	assert_events(&f->a, "refresh");
	assert_events(&f->b, "done 200");
	/* the offer is ours now: neither side may start another before the answer */
	assert_int_equal(session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP)), -EBUSY);
	assert_int_equal(session_reinvite(f->b.s, NULL, SDP_TYPE, STR(SDP)), -EBUSY);
	assert_int_equal(session_ack(f->b.s, SDP_TYPE, STR("v=0\r\n")), 0);
	wire_settle(f->w);
	assert_events(&f->a, "ack");
	assert_string_equal(f->a.body, "v=0\r\n");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_glare_both_491_then_one_wins(void **state)
{
	struct fixture *f = *state;

	establish(f);
	uint64_t start = f->w->now_ms;
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	session_reinvite(f->b.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_non_null(strstr(f->w->ladder, "A 491 INVITE"));
	assert_non_null(strstr(f->w->ladder, "B 491 INVITE"));
	assert_events(&f->a, "");
	assert_int_equal(session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP)), -EBUSY);
	f->w->ladder[0] = '\0';
	/* B doesn't own the Call-ID: it tries again within 2 s */
	wire_until(f->w, start + 2001);
	assert_ladder(f->w, "B INVITE, A 200 INVITE, B ACK");
	assert_events(&f->b, "done 200");
	/* and A learns that what it offered has been overtaken, and may offer anew */
	assert_events(&f->a, "done 491, reoffer, ack");
	wire_until(f->w, start + 4001);
	assert_ladder(f->w, "");
	assert_true(session_can_offer(f->a.s));
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_491_retried_after_the_time(void **state)
{
	struct fixture *f = *state;
	struct side *owner[] = { &f->a, &f->b }, *other[] = { &f->b, &f->a };
	const unsigned from_ms[] = { 2100, 0 }, to_ms[] = { 4000, 2000 };

	establish(f);
	for (int i = 0; i < 2; i++) {
		other[i]->reoffer_status = 491;
		uint64_t start = f->w->now_ms;
		session_reinvite(owner[i]->s, NULL, SDP_TYPE, STR(SDP));
		wire_settle(f->w);
		other[i]->reoffer_status = 0;
		f->w->ladder[0] = '\0';
		if (from_ms[i] > 0)
			wire_until(f->w, start + from_ms[i] - 1);
		assert_ladder(f->w, "");
		assert_events(owner[i], "");
		wire_until(f->w, start + to_ms[i] + 2);
		assert_events(owner[i], "done 200");
		assert_events(other[i], "reoffer, reoffer, ack");
	}
	/* for ever isn't asked */
	f->w->ladder[0] = '\0';
	f->b.reoffer_status = 491;
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	wire_run(f->w, 60000);
	assert_events(&f->a, "done 491");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_second_invite_while_first_unanswered_500(void **state)
{
	struct fixture *f = *state;
	const union sockaddr_any *a = &f->w->ends[0].addr;
	char buf[64];

	/* the very first one is unanswered */
	invite(f);
	ring(f);
	inject(f, &f->b, a, "INVITE", 2, "Contact: <sip:1001@127.0.0.1:5061>\r\n", SDP);
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 500 ", 12), 0);
	int after = atoi(wire_header(f->w->ends[1].last, "Retry-After", buf, sizeof(buf)));
	assert_true(buf[0] && after >= 0 && after <= 10);
	/* an UPDATE with another offer as well, one that refreshes isn't in the way */
	inject(f, &f->b, a, "UPDATE", 3, "Contact: <sip:1001@127.0.0.1:5061>\r\n", SDP);
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 500 ", 12), 0);
	inject(f, &f->b, a, "UPDATE", 4, "Contact: <sip:1001@127.0.0.1:5061>\r\n", "");
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 200 ", 12), 0);
	assert_events(&f->b, "invite, refresh");
	answer(f);
	wire_run(f->w, 1000);
	/* a re-INVITE is */
	f->b.events[0] = '\0';
	f->b.reoffer_status = -1;
	inject(f, &f->b, a, "INVITE", 5, "Contact: <sip:1001@127.0.0.1:5061>\r\n", SDP);
	inject(f, &f->b, a, "INVITE", 6, "Contact: <sip:1001@127.0.0.1:5061>\r\n", SDP);
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 500 ", 12), 0);
	assert_events(&f->b, "reoffer");
	/* and when the session ends, it is answered */
	session_close(f->b.s, 0, NULL);
	assert_true(strstr(f->w->ladder, "B 487 INVITE") != NULL);
	assert_int_equal(session_reply_offer(f->b.s, f->b.reoffer, 200, NULL, NULL, STR_NULL), -EALREADY);
	assert_all_gone(f);
}

static void test_session_update_is_a_reoffer(void **state)
{
	struct fixture *f = *state;

	establish(f);
	inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 2, "Contact: <sip:new@127.0.0.1:5061>\r\n", SDP);
	assert_ladder(f->w, "B 200 UPDATE");
	assert_non_null(strstr(f->w->ends[1].last, "m=audio"));
	assert_events(&f->b, "reoffer");
	/* while an offer of ours is out: 491 */
	wire_lose(f->w, 'B', "INVITE", 1);
	session_reinvite(f->b.s, NULL, SDP_TYPE, STR(SDP));
	assert_non_null(strstr(f->w->ends[1].last, "INVITE sip:new@127.0.0.1:5061 SIP/2.0"));
	inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 3, "", SDP);
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 491 ", 12), 0);
	wire_run(f->w, 1000);
	assert_events(&f->b, "done 200");
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

/* RFC 3311 without an offer; RFC 4916 §4.4: From, and what the peer writes in To from then on. */
static void test_session_update_tells_who_is_there_now(void **state)
{
	struct fixture *f = *state;

	establish(f);
	assert_true(session_can_update(f->b.s));
	assert_true(session_takes_from(f->b.s));
	assert_int_equal(session_set_local(f->b.s, STR("\"Zoe\" <sip:1003@cord>")), 0);
	assert_int_equal(session_update(f->b.s, "P-Asserted-Identity: <sip:1003@cord>\r\n"), 0);
	assert_ladder(f->w, "B UPDATE");
	assert_non_null(strstr(f->w->ends[1].last, "From: \"Zoe\" <sip:1003@cord>;tag="));
	assert_non_null(strstr(f->w->ends[1].last, "P-Asserted-Identity: <sip:1003@cord>\r\n"));
	assert_null(strstr(f->w->ends[1].last, "Content-Type"));
	wire_settle(f->w);
	assert_ladder(f->w, "A 200 UPDATE");
	assert_true(session_is_from_new(f->a.s));
	assert_events(&f->a, "refresh");
	session_close(f->a.s, 0, NULL);
	assert_non_null(strstr(f->w->ends[0].last, "To: \"Zoe\" <sip:1003@cord>;tag="));
	assert_all_gone(f);
}

static void test_session_update_only_to_peers_that_allow_it(void **state)
{
	struct fixture *f = *state;
	const union sockaddr_any *a = &f->w->ends[0].addr;

	establish(f);
	inject(f, &f->b, a, "INVITE", 5, "Contact: <sip:1001@127.0.0.1:5061>\r\nAllow: INVITE, ACK, BYE\r\nSupported: timer\r\n", SDP);
	assert_false(session_can_update(f->b.s)); /* and while the ACK is to come not at all */
	inject(f, &f->b, a, "ACK", 5, "", "");
	assert_false(session_can_update(f->b.s));
	assert_false(session_takes_from(f->b.s));
	assert_int_equal(session_update(f->b.s, NULL), -ENOTCONN);
	/* Who never said from-change doesn't change its From: the dialog goes by its tags alone. */
	inject(f, &f->b, a, "UPDATE", 6, "Contact: <sip:1001@127.0.0.1:5061>\r\nAllow: UPDATE\r\n", "");
	assert_false(session_is_from_new(f->b.s));
	assert_true(session_can_update(f->b.s));
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_reinvite_481_or_silence_ends_dialog(void **state)
{
	struct fixture *f = *state;

	establish(f);
	f->b.reoffer_status = 481;
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_events(&f->a, "rejected 481");
	assert_events(&f->b, "reoffer, bye-received 0");
	assert_all_gone(f);
	f->b.reoffer_status = 0;
	establish(f);
	wire_lose(f->w, 'A', "INVITE", 100);
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	wire_run(f->w, 33000);
	assert_events(&f->a, "timeout 408");
	assert_events(&f->b, "bye-received 0");
	assert_all_gone(f);
}

static void test_session_close_while_reinvite_pending(void **state)
{
	struct fixture *f = *state;

	establish(f);
	f->b.reoffer_status = -1;
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	session_close(f->a.s, 0, NULL);
	wire_settle(f->w);
	assert_events(&f->a, "bye-sent 0");
	assert_events(&f->b, "reoffer, bye-received 0");
	assert_non_null(strstr(f->w->ladder, "B 487 INVITE"));
	assert_all_gone(f);
}

/* ---- requests in the dialog ---- */

static int final_status;

static void on_final(const struct sip_msg *m, void *arg)
{
	(void)arg;
	final_status = m ? m->status : -1;
}

static void test_session_request_gets_its_answer(void **state)
{
	struct fixture *f = *state;

	establish(f);
	assert_int_equal(session_request(f->a.s, "INFO", NULL, "application/dtmf", STR("5"), on_final, NULL), 0);
	wire_settle(f->w);
	assert_int_equal(final_status, 200);
	assert_events(&f->b, "info");
	session_request(f->a.s, "MESSAGE", NULL, "text/plain", STR("hi"), on_final, NULL);
	wire_settle(f->w);
	assert_int_equal(final_status, 405);
	session_request(f->a.s, "FROB", NULL, NULL, STR_NULL, on_final, NULL);
	wire_settle(f->w);
	assert_int_equal(final_status, 501);
	assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	/* the session ends first: nobody waits for ever */
	wire_lose(f->w, 'A', "INFO", 100);
	session_request(f->a.s, "INFO", NULL, NULL, STR_NULL, on_final, NULL);
	session_close(f->b.s, 0, NULL);
	final_status = 0;
	wire_settle(f->w);
	assert_int_equal(final_status, -1);
	assert_events(&f->a, "bye-received 0");
	assert_all_gone(f);
}

static void test_session_request_481_ends_dialog(void **state)
{
	struct fixture *f = *state;

	establish(f);
	wire_lose(f->w, 'B', "BYE", 100);
	session_detach(f->b.s, 0, NULL);
	f->b.s = NULL;
	wire_run(f->w, 40000); /* B has given up, A doesn't know */
	session_request(f->a.s, "INFO", NULL, NULL, STR_NULL, on_final, NULL);
	wire_settle(f->w);
	assert_int_equal(final_status, 481);
	assert_events(&f->a, "rejected 481");
	assert_all_gone(f);
}

static void test_session_old_cseq_500(void **state)
{
	struct fixture *f = *state;
	const union sockaddr_any *a = &f->w->ends[0].addr;

	establish(f);
	inject(f, &f->b, a, "INFO", 10, "", "");
	assert_ladder(f->w, "B 200 INFO");
	inject(f, &f->b, a, "INFO", 9, "", "");
	assert_ladder(f->w, "B 500 INFO");
	inject(f, &f->b, a, "BYE", 1, "", "");
	assert_ladder(f->w, "B 500 BYE");
	assert_int_equal(session_state(f->b.s), SESSION_ST_CONFIRMED);
	inject(f, &f->b, a, "OPTIONS", 11, "", "");
	assert_ladder(f->w, "B 200 OPTIONS");
	inject(f, &f->b, a, "INFO", 12, "Require: frob\r\n", "");
	assert_ladder(f->w, "B 420 INFO");
	session_detach(f->b.s, 0, NULL);
	wire_settle(f->w);
	assert_all_gone(f);
}

static void test_session_foreign_address_must_be_authorized(void **state)
{
	struct fixture *f = *state;
	union sockaddr_any other;

	establish(f);
	sockaddr_parse(&other, STR("127.0.0.4"), 5064);
	inject(f, &f->b, &f->w->ends[0].addr, "INFO", 5, "", "");
	assert_events(&f->b, "info");
	f->b.refuses_authorize = true;
	inject(f, &f->b, &other, "INFO", 6, "", "");
	assert_events(&f->b, "authorize");
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 403 ", 12), 0);
	assert_true(sockaddr_eq(&session_source(f->b.s)->peer, &f->w->ends[0].addr));
	f->b.refuses_authorize = false;
	inject(f, &f->b, &other, "INFO", 7, "", "");
	assert_events(&f->b, "authorize, info");
	assert_true(sockaddr_eq(&session_source(f->b.s)->peer, &other));
	/* a BYE with the right tags is believed from anywhere */
	inject(f, &f->b, &other, "BYE", 8, "", "");
	assert_events(&f->b, "bye-received 0");
	session_detach(f->a.s, 0, NULL);
	assert_all_gone(f);
}

/* ---- authentication ---- */

static void set_digest(struct fixture *f)
{
	struct digest_server_params dp = { .clock = &f->w->clock, .rng = &f->w->rng, .nonce_life_s = 60 };

	assert_int_equal(digest_server_new(&f->b.digest, &dp), 0);
	digest_ha1(DIGEST_MD5, STR("1001"), STR("cord"), STR("secret"), f->b.ha1);
}

static void test_session_challenge_answered_once(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	char buf[512];

	set_digest(f);
	p.auth_user = "1001";
	p.auth_password = "secret";
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_ladder(f->w, "A INVITE, B 401 INVITE, A ACK, A INVITE, B 100 INVITE");
	assert_events(&f->b, "invite");
	assert_string_equal(f->b.body, SDP);
	assert_int_equal(session_invite_msg(f->b.s)->cseq.seq, 2);
	assert_int_equal(session_invite_msg(f->b.s)->to.tag.n, 0);
	answer(f);
	/* the ACK has the credentials of its INVITE */
	assert_int_equal(strncmp(wire_header(f->w->ends[0].last, "CSeq", buf, sizeof(buf)), "2 ACK", 5), 0);
	assert_string_not_equal(wire_header(f->w->ends[0].last, "Authorization", buf, sizeof(buf)), "");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
	/* a wrong password isn't tried again */
	f->a.events[0] = '\0';
	p.auth_password = "wrong";
	f->w->ladder[0] = '\0';
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_events(&f->a, "rejected 401");
	/* nor anything without credentials */
	p.auth_user = NULL;
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_events(&f->a, "rejected 401");
	assert_all_gone(f);
}

/* RFC 7616 §3.5: the next request goes with the next nonce at once, that behind it waits to be asked again. */
static void test_session_next_nonce_spares_a_challenge(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	char buf[512];

	set_digest(f);
	p.auth_user = "1001";
	p.auth_password = "secret";
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_int_equal(session_answer(f->b.s, "Authentication-Info: nextnonce=\"second\"\r\n", SDP_TYPE, STR(SDP)), 0);
	wire_settle(f->w);
	assert_int_equal(session_request(f->a.s, "INFO", NULL, NULL, STR_NULL, NULL, NULL), 0);
	wire_header(f->w->ends[0].last, "Authorization", buf, sizeof(buf));
	assert_non_null(strstr(buf, "nonce=\"second\""));
	assert_non_null(strstr(buf, "nc=00000001"));
	wire_settle(f->w);
	session_close(f->a.s, 0, NULL);
	assert_string_equal(wire_header(f->w->ends[0].last, "Authorization", buf, sizeof(buf)), "");
	assert_all_gone(f);
}

/* ---- reliable provisional responses (RFC 3262) ---- */

static void invite_with(struct fixture *f, const char *hdrs, const char *body)
{
	struct session_params p = params(f);

	p.hdrs = str_from(hdrs);
	p.body = str_from(body);
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	f->w->ladder[0] = f->a.events[0] = f->b.events[0] = '\0';
}

static void early_media(struct fixture *f, struct side *sd)
{
	assert_int_equal(session_progress(sd->s, 183, NULL, SDP_TYPE, STR(SDP)), 0);
	wire_settle(f->w);
}

static void test_session_rel_answer_in_183_is_the_answer(void **state)
{
	struct fixture *f = *state;
	char buf[64], rack[64];

	invite_with(f, "", SDP);
	assert_true(session_can_be_reliable(f->b.s));
	assert_int_equal(session_progress(f->b.s, 180, NULL, NULL, STR_NULL), 0); /* without a description it needn't be */
	wire_settle(f->w);
	early_media(f, &f->b);
	assert_ladder(f->w, "B 180 INVITE, B 183 INVITE, A PRACK, B 200 PRACK");
	assert_events(&f->a, "progress 180, progress 183");
	assert_events(&f->b, "prack");
	assert_true(session_is_agreed_early(f->a.s));
	assert_true(session_is_agreed_early(f->b.s));
	wire_header(f->w->ends[0].last, "RAck", rack, sizeof(rack));
	assert_non_null(strstr(rack, " 1 INVITE"));
	assert_int_equal(strncmp(wire_header(f->w->ends[0].last, "CSeq", buf, sizeof(buf)), "2 PRACK", 7), 0);
	/* neither a later progress nor the 200 has it again */
	assert_int_equal(session_progress(f->b.s, 180, NULL, SDP_TYPE, STR(SDP)), 0);
	wire_settle(f->w);
	assert_null(strstr(f->w->ends[1].last, "v=0"));
	answer(f);
	assert_null(strstr(f->w->ends[1].last, "v=0"));
	assert_ladder(f->w, "B 180 INVITE, B 200 INVITE, A ACK");
	/* and the dialog goes on counting where the early one was */
	session_request(f->a.s, "INFO", NULL, NULL, STR_NULL, NULL, NULL);
	assert_int_equal(strncmp(wire_header(f->w->ends[0].last, "CSeq", buf, sizeof(buf)), "3 INFO", 6), 0);
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rel_required_means_all(void **state)
{
	struct fixture *f = *state;
	char one[64], two[64];

	invite_with(f, "Require: 100rel\r\n", SDP);
	ring(f);
	wire_header(f->w->ends[0].last, "RAck", one, sizeof(one));
	ring(f);
	wire_header(f->w->ends[0].last, "RAck", two, sizeof(two));
	assert_ladder(f->w, "B 180 INVITE, A PRACK, B 200 PRACK, B 180 INVITE, A PRACK, B 200 PRACK");
	assert_int_equal(strtoul(two, NULL, 10), strtoul(one, NULL, 10) + 1);
	assert_false(session_is_agreed_early(f->b.s));
	answer(f);
	assert_non_null(strstr(f->w->ends[1].last, "v=0"));
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rel_repeated_until_prack(void **state)
{
	struct fixture *f = *state;

	invite_with(f, "", SDP);
	wire_lose(f->w, 'B', "183 INVITE", 3); /* at 0, 500, 1500 ms */
	wire_lose(f->w, 'A', "PRACK", 1);
	early_media(f, &f->b);
	wire_run(f->w, 3490);
	assert_ladder(f->w, "B 183 INVITE!, B 183 INVITE!, B 183 INVITE!");
	wire_run(f->w, 520);
	/* PRACK repeats itself; what comes again meanwhile isn't acknowledged twice */
	assert_ladder(f->w, "B 183 INVITE, A PRACK!, A PRACK, B 200 PRACK");
	wire_run(f->w, 30000);
	assert_ladder(f->w, "");
	assert_events(&f->a, "progress 183");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rel_never_acknowledged_is_504(void **state)
{
	struct fixture *f = *state;

	invite_with(f, "", SDP);
	wire_lose(f->w, 'A', "PRACK", 100);
	early_media(f, &f->b);
	wire_run(f->w, 31900);
	assert_events(&f->b, "");
	wire_run(f->w, 200);
	assert_events(&f->b, "timeout 504");
	assert_events(&f->a, "progress 183, rejected 504");
	assert_all_gone(f);
}

static void test_session_rel_what_follows_waits(void **state)
{
	struct fixture *f = *state;
	char rack[64], hdrs[96];

	invite_with(f, "", SDP);
	wire_hold(f->w, 'A', "PRACK");
	early_media(f, &f->b);
	ring(f);
	assert_int_equal(session_answer(f->b.s, NULL, SDP_TYPE, STR(SDP)), 0);
	wire_settle(f->w);
	assert_ladder(f->w, "B 183 INVITE, A PRACK~");
	wire_release(f->w);
	assert_ladder(f->w, "B 200 PRACK, B 200 INVITE, A ACK");
	assert_events(&f->b, "prack, ack");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
	/* a progress instead of an answer */
	invite_with(f, "", SDP);
	wire_hold(f->w, 'A', "PRACK");
	early_media(f, &f->b);
	ring(f);
	assert_ladder(f->w, "B 183 INVITE, A PRACK~");
	wire_release(f->w);
	assert_ladder(f->w, "B 200 PRACK, B 180 INVITE");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
	/* without a description the 200 needn't wait, and the PRACK that comes behind its ACK is still good, once (§3) */
	invite_with(f, "Require: 100rel\r\n", SDP);
	wire_hold(f->w, 'A', "PRACK");
	ring(f);
	answer(f);
	wire_release(f->w);
	assert_ladder(f->w, "B 180 INVITE, A PRACK~, B 200 INVITE, A ACK, B 200 PRACK");
	assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	wire_header(f->w->ends[0].last, "RAck", rack, sizeof(rack));
	snprintf(hdrs, sizeof(hdrs), "RAck: %s\r\n", rack);
	inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 20, hdrs, "");
	assert_ladder(f->w, "B 481 PRACK");
	session_close(f->b.s, 0, NULL); /* A's own CSeq is behind */
	assert_all_gone(f);
}

static void test_session_rel_cancel_and_reject_while_waiting(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 3; i++) {
		invite_with(f, "", SDP);
		wire_lose(f->w, 'A', "PRACK", 1);
		early_media(f, &f->b);
		if (i == 1)
			answer(f); /* waits */
		if (i < 2)
			session_close(f->a.s, 0, NULL);
		else
			session_reject(f->b.s, 486, NULL, NULL);
		wire_settle(f->w);
		assert_non_null(strstr(f->w->ladder, i < 2 ? "B 487 INVITE" : "B 486 INVITE"));
		assert_all_gone(f);
	}
}

/* RFC 6228 §4: who requires reliable responses gets 199 so too; the refusal doesn't wait for its PRACK. */
static void test_session_rel_199_before_the_refusal(void **state)
{
	struct fixture *f = *state;
	char rseq[64], hdrs[128];

	/* By a proxy: what B says is for that. */
	invite_with(f, "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKp\r\nRequire: 100rel\r\n", SDP);
	ring(f);
	wire_header(f->w->ends[1].last, "RSeq", rseq, sizeof(rseq));
	snprintf(hdrs, sizeof(hdrs), "RAck: %s 1 INVITE\r\n", rseq);
	inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 20, hdrs, "");
	assert_ladder(f->w, "B 180 INVITE, B 200 PRACK");
	session_reject(f->b.s, 486, NULL, NULL);
	wire_settle(f->w);
	assert_ladder(f->w, "B 199 INVITE, B 486 INVITE");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
	/* One at a time: as long as the first waits there is none. */
	invite_with(f, "Via: SIP/2.0/UDP 192.0.2.77;branch=z9hG4bKp\r\nRequire: 100rel\r\n", SDP);
	ring(f);
	session_reject(f->b.s, 486, NULL, NULL);
	wire_settle(f->w);
	assert_ladder(f->w, "B 180 INVITE, B 486 INVITE");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rel_prack_must_match(void **state)
{
	struct fixture *f = *state;
	static const char *const racks[] = { "1 1 INVITE", "x 1 INVITE", "%u 2 INVITE", "%u 1 UPDATE", "%u 1", "" };
	char buf[64], hdrs[128];

	invite_with(f, "", SDP);
	wire_lose(f->w, 'A', "PRACK", 100);
	early_media(f, &f->b);
	unsigned rseq = (unsigned)strtoul(wire_header(f->w->ends[1].last, "RSeq", buf, sizeof(buf)), NULL, 10);
	for (size_t i = 0; i < ARRAY_LEN(racks); i++) {
		int n = snprintf(hdrs, sizeof(hdrs), "RAck: ");
		n += snprintf(hdrs + n, sizeof(hdrs) - (size_t)n, racks[i], rseq);
		snprintf(hdrs + n, sizeof(hdrs) - (size_t)n, "\r\n");
		inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 10 + (uint32_t)i, i + 1 < ARRAY_LEN(racks) ? hdrs : "", "");
		assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 481 ", 12), 0);
	}
	snprintf(hdrs, sizeof(hdrs), "RAck: %u 1 INVITE\r\n", rseq);
	inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 20, hdrs, "");
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 200 ", 12), 0);
	inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 21, hdrs, ""); /* once */
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 481 ", 12), 0);
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

/* RFC 3261 §18.1.1: an ACK with a long answer goes by TCP; when the 2xx comes again, by UDP, for there may be none. */
static void test_session_large_ack_goes_by_tcp_first(void **state)
{
	static char body[2000];
	struct fixture *f = *state;
	struct session_params p = params(f);

	memset(body, 'x', sizeof(body));
	p.body = STR_NULL;
	f->a.holds_ack = true;
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	answer(f);
	wire_lose(f->w, 'A', "ACK", 1);
	assert_int_equal(session_ack(f->a.s, SDP_TYPE, (struct str){ body, sizeof(body) }), 0);
	assert_int_equal(f->w->ends[0].last_proto, SIP_TCP);
	assert_non_null(strstr(f->w->ends[0].last, "Via: SIP/2.0/TCP "));
	f->w->ladder[0] = '\0';
	wire_run(f->w, 500);
	assert_ladder(f->w, "B 200 INVITE, A ACK");
	assert_int_equal(f->w->ends[0].last_proto, SIP_UDP);
	assert_non_null(strstr(f->w->ends[0].last, "Via: SIP/2.0/UDP "));
	assert_events(&f->b, "invite, ack");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

/* Asked for an answer to the offer in a 183, the owner hangs up: nothing more is told him but that. */
static void test_session_rel_closed_when_asked_for_an_answer(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		invite_with(f, "", "");
		f->a.do_at = "early-offer";
		f->a.what = i ? DETACH : CLOSE;
		early_media(f, &f->b);
		assert_events(&f->a, i ? "early-offer" : "early-offer, cancelled 487");
		assert_null(f->a.s);
		assert_all_gone(f);
		assert_null(f->b.s);
	}
}

static void test_session_rel_offer_in_183_answer_in_prack(void **state)
{
	struct fixture *f = *state;

	invite_with(f, "", "");
	early_media(f, &f->b);
	assert_events(&f->a, "early-offer, progress 183");
	assert_string_equal(f->a.body, SDP);
	assert_events(&f->b, "prack");
	assert_string_equal(f->b.body, "v=0\r\n");
	f->w->ladder[0] = '\0';
	answer(f); /* all is said */
	assert_null(strstr(f->w->ends[1].last, "v=0"));
	assert_ladder(f->w, "B 200 INVITE, A ACK");
	assert_events(&f->b, "ack");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
	/* a PRACK without it doesn't count */
	invite_with(f, "", "");
	wire_lose(f->w, 'A', "PRACK", 100);
	early_media(f, &f->b);
	char buf[64], hdrs[128];
	snprintf(hdrs, sizeof(hdrs), "RAck: %s 1 INVITE\r\n", wire_header(f->w->ends[1].last, "RSeq", buf, sizeof(buf)));
	inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 20, hdrs, "");
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 400 ", 12), 0);
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rel_prack_may_offer_again(void **state)
{
	struct fixture *f = *state;
	char buf[64], hdrs[128];

	invite_with(f, "", SDP);
	wire_lose(f->w, 'A', "PRACK", 100);
	early_media(f, &f->b);
	snprintf(hdrs, sizeof(hdrs), "RAck: %s 1 INVITE\r\n", wire_header(f->w->ends[1].last, "RSeq", buf, sizeof(buf)));
	inject(f, &f->b, &f->w->ends[0].addr, "PRACK", 20, hdrs, SDP);
	assert_events(&f->b, "reoffer");
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 200 ", 12), 0);
	assert_non_null(strstr(f->w->ends[1].last, "v=0"));
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

/* Asked in an early dialog, which goes with its INVITE: not again in a call that is there meanwhile. */
static void test_session_update_refused_after_the_answer_is_not_repeated(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		invite_with(f, "", SDP);
		early_media(f, &f->b);
		wire_hold(f->w, 'A', "UPDATE");
		assert_int_equal(session_reinvite(f->a.s, NULL, SDP_TYPE, STR("v=0\r\n")), 0);
		wire_settle(f->w);
		answer(f);
		f->a.events[0] = f->w->ladder[0] = '\0';
		f->b.reoffer_status = i ? 481 : 491;
		wire_release(f->w);
		wire_run(f->w, 40000); /* the INVITE's transaction has ended, too */
		assert_ladder(f->w, i ? "B 481 UPDATE" : "B 491 UPDATE");
		assert_events(&f->a, i ? "done 481" : "done 491");
		assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
		session_close(f->a.s, 0, NULL);
		assert_all_gone(f);
	}
}

static void test_session_update_before_the_answer(void **state)
{
	struct fixture *f = *state;
	struct side *sides[] = { &f->a, &f->b };

	invite_with(f, "", SDP);
	ring(f);
	/* nothing is agreed yet: no offer may be made, by neither (RFC 3311 §5.1) */
	assert_int_equal(session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP)), -ENOTCONN);
	inject(f, &f->a, &f->w->ends[1].addr, "UPDATE", 1, "Contact: <sip:1002@127.0.0.2:5062>\r\n", SDP);
	assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 491 ", 12), 0);
	early_media(f, &f->b);
	f->w->ladder[0] = f->a.events[0] = f->b.events[0] = '\0';
	for (int i = 0; i < 2; i++) {
		assert_true(session_can_offer(sides[i]->s));
		assert_int_equal(session_reinvite(sides[i]->s, NULL, SDP_TYPE, STR("v=0\r\n")), 0);
		assert_int_equal(session_reinvite(sides[i]->s, NULL, SDP_TYPE, STR("v=0\r\n")), -EBUSY);
		wire_settle(f->w);
		assert_ladder(f->w, i ? "B UPDATE, A 200 UPDATE" : "A UPDATE, B 200 UPDATE");
		assert_events(sides[i], "done 200");
		assert_events(sides[!i], "reoffer");
	}
	/* both at once: each hears 491 (§5.2) */
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	session_reinvite(f->b.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_events(&f->a, "done 491");
	assert_events(&f->b, "done 491");
	answer(f);
	assert_events(&f->a, "answer");
	assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_early_dialogs_of_forks_are_kept(void **state)
{
	struct fixture *f = *state;

	invite_fork(f);
	early_media(f, &f->b);
	early_media(f, &f->c);
	assert_events(&f->a, "progress 183, progress 183");
	assert_non_null(strstr(f->w->ladder, "B 200 PRACK"));
	assert_non_null(strstr(f->w->ladder, "C 200 PRACK"));
	/* each may still speak for itself */
	f->w->ladder[0] = '\0';
	assert_int_equal(session_request(f->b.s, "INFO", NULL, NULL, STR_NULL, NULL, NULL), 0);
	wire_settle(f->w);
	assert_int_equal(session_request(f->c.s, "INFO", NULL, NULL, STR_NULL, NULL, NULL), 0);
	wire_settle(f->w);
	assert_ladder(f->w, "B INFO, A 200 INFO, C INFO, A 200 INFO");
	f->a.events[0] = '\0';
	/* counts for itself too, and may change nothing that another now has */
	inject_of(f, &f->a, session_local_tag(f->b.s), &f->w->ends[1].addr, "INFO", 0, "", "");
	assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 500 ", 12), 0);
	inject_of(f, &f->a, session_local_tag(f->b.s), &f->w->ends[1].addr, "UPDATE", 5, "Contact: <sip:b@127.0.0.2:5062>\r\n", SDP);
	assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 488 ", 12), 0);
	/* a BYE ends one of them alone */
	inject_of(f, &f->a, session_local_tag(f->b.s), &f->w->ends[1].addr, "BYE", 6, "", "");
	assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 200 ", 12), 0);
	inject_of(f, &f->a, session_local_tag(f->b.s), &f->w->ends[1].addr, "INFO", 7, "", "");
	assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 481 ", 12), 0);
	inject_of(f, &f->a, STR("stranger"), &f->w->ends[1].addr, "INFO", 7, "", "");
	assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 481 ", 12), 0);
	assert_int_equal(session_state(f->a.s), SESSION_ST_EARLY);
	f->a.events[0] = '\0';
	session_answer(f->c.s, NULL, SDP_TYPE, STR(SDP));
	wire_settle(f->w);
	assert_events(&f->a, "answer");
	assert_true(str_eq(session_remote_tag(f->a.s), session_local_tag(f->c.s)));
	session_close(f->c.s, 0, NULL);
	session_close(f->b.s, 0, NULL);
	assert_all_gone(f);
}

/* A response that D, for whom the test speaks, gives to A's INVITE. */
static void respond(struct fixture *f, const char *invite, int status, const char *tag, const char *hdrs)
{
	char text[2048], via[256], from[256], to[256], call_id[128];
	int n = snprintf(text, sizeof(text),
			 "SIP/2.0 %d X\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=%s\r\nCall-ID: %s\r\nCSeq: 1 INVITE\r\n"
			 "Contact: <sip:%s@127.0.0.4:5064>\r\n%sContent-Length: 0\r\n\r\n",
			 status, wire_header(invite, "Via", via, sizeof(via)), wire_header(invite, "From", from, sizeof(from)),
			 wire_header(invite, "To", to, sizeof(to)), tag, wire_header(invite, "Call-ID", call_id, sizeof(call_id)), tag, hdrs);

	wire_receive(wire_end(f->w, 'A'), &wire_end(f->w, 'D')->addr, SIP_UDP, text, (size_t)n);
	wire_settle(f->w);
}

static void test_session_rel_out_of_order_is_not_acknowledged(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	char invite[8192];

	p.dest = wire_dest(f->w, 'D');
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	memcpy(invite, f->w->ends[0].last, sizeof(invite));
	f->w->ladder[0] = '\0';
	respond(f, invite, 180, "x", "Require: 100rel\r\nRSeq: 7\r\n");
	respond(f, invite, 180, "x", "Require: 100rel\r\nRSeq: 7\r\n");
	assert_ladder(f->w, "A PRACK");
	assert_events(&f->a, "progress 180");
	respond(f, invite, 183, "x", "Require: 100rel\r\nRSeq: 9\r\n");
	assert_ladder(f->w, "");
	assert_events(&f->a, "");
	respond(f, invite, 182, "x", "Require: 100rel\r\nRSeq: 8\r\n");
	respond(f, invite, 180, "y", "Require: 100rel\r\nRSeq: 500\r\n"); /* each fork counts for itself */
	assert_ladder(f->w, "A PRACK, A PRACK");
	assert_events(&f->a, "progress 182, progress 180");
	/* nonsense, and 199 (RFC 6228): what that fork still says isn't heard */
	respond(f, invite, 180, "y", "Require: 100rel\r\nRSeq: -1\r\n");
	respond(f, invite, 199, "x", "");
	respond(f, invite, 180, "x", "Require: 100rel\r\nRSeq: 9\r\n");
	respond(f, invite, 180, "x", "");
	assert_ladder(f->w, "");
	assert_events(&f->a, "progress 199");
	/* more forks than anybody has are bounded */
	for (int i = 0; i < 20; i++) {
		char tag[8];

		snprintf(tag, sizeof(tag), "t%d", i);
		respond(f, invite, 180, tag, "Require: 100rel\r\nRSeq: 1\r\n");
	}
	assert_int_equal(strlen(f->a.events), 6 * 14 - 2);
	f->a.events[0] = f->w->ladder[0] = '\0';
	respond(f, invite, 486, "x", "");
	assert_events(&f->a, "rejected 486");
	assert_all_gone(f);
}

static unsigned count(const char *text, const char *what)
{
	unsigned n = 0;

	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

static void test_session_fork_2xx_without_end_are_bounded(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	char invite[8192], tag[8];

	p.dest = wire_dest(f->w, 'D');
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	memcpy(invite, f->w->ends[0].last, sizeof(invite));
	respond(f, invite, 200, "x", "");
	assert_events(&f->a, "answer");
	f->w->ladder[0] = '\0';
	for (int i = 0; i < 40; i++) {
		snprintf(tag, sizeof(tag), "t%d", i);
		respond(f, invite, 200, tag, "");
	}
	assert_int_equal(count(f->w->ladder, "A ACK"), 32);
	assert_int_equal(count(f->w->ladder, "A BYE"), 32);
	f->w->ladder[0] = '\0';
	respond(f, invite, 200, "t31", "");
	respond(f, invite, 200, "x", "");
	assert_ladder(f->w, "A ACK, A ACK");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_rejected_whatever_there_is_to_say_beside(void **state)
{
	struct fixture *f = *state;
	static char hdrs[20000];

	memset(hdrs, 'x', sizeof(hdrs) - 3);
	memcpy(hdrs, "X: ", 3);
	memcpy(hdrs + sizeof(hdrs) - 3, "\r\n", 3);
	invite(f);
	assert_int_equal(session_reject(f->b.s, 486, NULL, hdrs), 0);
	wire_settle(f->w);
	assert_events(&f->a, "rejected 486");
	assert_all_gone(f);
}

/* ---- patience, loops, usages ---- */

static void test_session_invite_expires(void **state)
{
	struct fixture *f = *state;

	invite_with(f, "Expires: 30\r\n", SDP);
	wire_run(f->w, 29000);
	assert_ladder(f->w, "");
	wire_run(f->w, 1100);
	assert_ladder(f->w, "B 487 INVITE, A ACK");
	assert_events(&f->b, "cancelled 487");
	assert_all_gone(f);
	/* while it rings as well, and not any more once it is answered */
	invite_with(f, "Expires: 90\r\n", SDP);
	ring(f);
	wire_run(f->w, 60000);
	assert_ladder(f->w, "B 180 INVITE, B 180 INVITE");
	wire_run(f->w, 30000);
	assert_ladder(f->w, "B 487 INVITE, A ACK");
	assert_all_gone(f);
	invite_with(f, "Expires: 20\r\n", SDP);
	answer(f);
	wire_run(f->w, 40000);
	assert_int_equal(session_state(f->b.s), SESSION_ST_CONFIRMED);
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_own_invite_that_comes_back_is_482(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	char text[8192], *via;

	p.target = STR("sip:1002@127.0.0.4:5064?Subject=x");
	p.dest = wire_dest(f->w, 'D');
	for (int spiral = 0; spiral < 2; spiral++) {
		assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
		wire_settle(f->w);
		/* a proxy sends it on to A: another Via, and perhaps another Request-URI */
		assert_int_equal(strncmp(f->w->ends[0].last, "INVITE sip:1002@127.0.0.4:5064 SIP", 34), 0);
		via = strstr(f->w->ends[0].last, "\r\n");
		int n = snprintf(text, sizeof(text), "INVITE sip:%s@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.4:5064;branch=z9hG4bKproxy%d%s",
				 spiral ? "1003" : "1002", spiral, via);
		wire_receive(wire_end(f->w, 'A'), &wire_end(f->w, 'D')->addr, SIP_UDP, text, (size_t)n);
		if (!spiral) {
			assert_int_equal(strncmp(f->w->ends[0].last, "SIP/2.0 482 ", 12), 0);
			session_detach(f->a.s, 0, NULL);
		} else {
			assert_non_null(strstr(f->a.events, "invite")); /* and a.s is now the one that came in */
		}
		wire_run(f->w, 1000);
	}
	session_close(f->a.s, 0, NULL);
	sip_ua_close(f->w->ends[0].ua);
	f->w->ends[0].ua = NULL;
}

static void test_session_refused_notify_ends_no_call(void **state)
{
	struct fixture *f = *state;

	establish(f);
	/* nobody takes it: 405; and 481, as from one who has forgotten the subscription (RFC 5057 §5.1) */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(session_request(f->a.s, "NOTIFY", "Event: refer\r\nSubscription-State: active\r\n", NULL, STR_NULL,
						 on_final, NULL), 0);
		if (i) {
			wire_lose(f->w, 'B', "BYE", 100);
			session_detach(f->b.s, 0, NULL);
		}
		wire_settle(f->w);
		assert_int_equal(final_status, i ? 481 : 405);
		assert_int_equal(session_state(f->a.s), SESSION_ST_CONFIRMED);
	}
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

/* ---- session timers (RFC 4028) ---- */

static void establish_timed(struct fixture *f, uint32_t a_s, uint32_t b_s)
{
	struct session_params p = params(f);

	p.timing = (struct session_timing){ .expires_s = a_s };
	f->b.timing = (struct session_timing){ .expires_s = b_s };
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	answer(f);
	assert_int_equal(session_state(f->b.s), SESSION_ST_CONFIRMED);
	f->w->ladder[0] = f->a.events[0] = f->b.events[0] = '\0';
}

static void test_session_timer_callee_refreshes_by_update(void **state)
{
	struct fixture *f = *state;
	char buf[128];

	establish_timed(f, 1800, 600);
	wire_run(f->w, 299000); /* the 200 took 1 ms */
	assert_ladder(f->w, "");
	wire_run(f->w, 1500);
	assert_ladder(f->w, "B UPDATE, A 200 UPDATE");
	assert_string_equal(wire_header(f->w->ends[1].last, "Session-Expires", buf, sizeof(buf)), "600;refresher=uac");
	assert_string_equal(wire_header(f->w->ends[0].last, "Session-Expires", buf, sizeof(buf)), "600;refresher=uac");
	assert_string_equal(wire_header(f->w->ends[0].last, "Require", buf, sizeof(buf)), "timer");
	assert_events(&f->a, "refresh");
	wire_run(f->w, 300000);
	assert_ladder(f->w, "B UPDATE, A 200 UPDATE");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_timer_peer_gone_ends_it(void **state)
{
	struct fixture *f = *state;

	establish_timed(f, 600, 1800);
	/* B, who would refresh, has fallen silent: a third of the interval, at most 32 s, before its end A says BYE */
	wire_lose(f->w, 'B', "UPDATE", 100);
	wire_lose(f->w, 'B', "BYE", 100);
	wire_run(f->w, 567000);
	assert_events(&f->a, "");
	/* B had no answer to its UPDATE: for it the dialog ended with that (RFC 5057) */
	assert_events(&f->b, "timeout 408");
	wire_run(f->w, 2000);
	assert_events(&f->a, "timeout 408");
	assert_all_gone(f);
}

static void test_session_timer_422_asked_again(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	char buf[128];

	f->b.refuses_short = true;
	f->b.timing = (struct session_timing){ .expires_s = 3600, .min_s = 1200 };
	p.timing = (struct session_timing){ .expires_s = 600 };
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_ladder(f->w, "A INVITE, B 422 INVITE, A ACK, A INVITE, B 100 INVITE");
	assert_string_equal(f->b.body, SDP);
	answer(f);
	assert_string_equal(wire_header(f->w->ends[1].last, "Session-Expires", buf, sizeof(buf)), "1200;refresher=uas");
	assert_events(&f->a, "answer");
	f->w->ladder[0] = '\0';
	/* a refresh as well: B now wants more */
	wire_run(f->w, 590000);
	inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 9,
	       "Contact: <sip:1001@127.0.0.1:5061>\r\nSupported: timer\r\nSession-Expires: 300\r\n", "");
	assert_int_equal(strncmp(f->w->ends[1].last, "SIP/2.0 422 ", 12), 0);
	assert_string_equal(wire_header(f->w->ends[1].last, "Min-SE", buf, sizeof(buf)), "1200");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_timer_422_without_end_is_told(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);

	p.timing = (struct session_timing){ .expires_s = 600 };
	f->b.answers_422 = 100; /* less than we ask for: nonsense */
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_ladder(f->w, "A INVITE, B 422 INVITE, A ACK");
	assert_events(&f->a, "rejected 422");
	f->b.answers_422 = 1000;
	f->b.raises_422 = true; /* always more */
	assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
	wire_settle(f->w);
	assert_events(&f->a, "rejected 422");
	assert_all_gone(f);
}

static void test_session_timer_as_the_peer_asks(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *hdrs, *expires, *require; /* RFC 4028 §9, table 2 */
		uint32_t want_s;
	} rows[] = {
		{ "Supported: timer\r\nSession-Expires: 300;refresher=uac\r\n", "300;refresher=uac", "timer", 1800 },
		{ "Supported: timer\r\nSession-Expires: 300;refresher=uas\r\n", "300;refresher=uas", "timer", 1800 },
		{ "k: timer\r\nx: 3600\r\n", "1800;refresher=uas", "timer", 1800 },
		{ "Supported: timer\r\nSession-Expires: 3600;refresher=uac\r\nMin-SE: 2000\r\n", "2000;refresher=uac", "timer", 1800 },
		{ "Supported: timer\r\n", "1800;refresher=uas", "timer", 1800 },
		{ "Supported: timer\r\n", "", "", 0 },
		{ "Supported: timer\r\nSession-Expires: 300\r\n", "300;refresher=uas", "timer", 0 },
		{ "Session-Expires: 60\r\n", "60;refresher=uas", "", 1800 }, /* a proxy's wish: the caller can't refresh */
		{ "", "", "", 1800 },
		{ "Supported: timer\r\nSession-Expires: x\r\n", "1800;refresher=uas", "timer", 1800 },
	};
	char buf[128];

	establish(f);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char hdrs[256];

		session_set_timing(f->b.s, &(struct session_timing){ .expires_s = rows[i].want_s });
		snprintf(hdrs, sizeof(hdrs), "Contact: <sip:1001@127.0.0.1:5061>\r\n%s", rows[i].hdrs);
		inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 10 + 2 * (uint32_t)i, hdrs, "");
		assert_string_equal(wire_header(f->w->ends[1].last, "Session-Expires", buf, sizeof(buf)), rows[i].expires);
		assert_string_equal(wire_header(f->w->ends[1].last, "Require", buf, sizeof(buf)), rows[i].require);
		/* each row from a session without a timer */
		session_set_timing(f->b.s, &(struct session_timing){ 0 });
		inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 11 + 2 * (uint32_t)i,
		       "Contact: <sip:1001@127.0.0.1:5061>\r\nSupported: timer\r\nSession-Expires: 400;refresher=uac\r\n", "");
		inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 11 + 2 * (uint32_t)i,
		       "Contact: <sip:1001@127.0.0.1:5061>\r\n", "");
		assert_string_equal(wire_header(f->w->ends[1].last, "Session-Expires", buf, sizeof(buf)), "");
	}
	session_close(f->b.s, 0, NULL); /* A's own CSeq is behind */
	assert_all_gone(f);
}

static void test_session_timer_refreshes_by_reinvite_where_update_is_unknown(void **state)
{
	struct fixture *f = *state;

	establish(f);
	inject(f, &f->b, &f->w->ends[0].addr, "UPDATE", 10,
	       "Contact: <sip:1001@127.0.0.1:5061>\r\nAllow: INVITE, ACK, BYE\r\nSupported: timer\r\n"
	       "Session-Expires: 300;refresher=uas\r\n", "");
	f->b.events[0] = f->w->ladder[0] = '\0';
	wire_run(f->w, 150500);
	assert_ladder(f->w, "B INVITE, A 200 INVITE, B ACK");
	assert_events(&f->b, "timer, done 200");
	/* the 200 allowed UPDATE; refused, the session lasts to the end of the interval, no longer */
	f->a.reoffer_status = 488;
	wire_run(f->w, 267000);
	assert_ladder(f->w, "B UPDATE, A 488 UPDATE, B UPDATE, A 488 UPDATE");
	assert_events(&f->b, "");
	wire_run(f->w, 1000);
	assert_events(&f->b, "timeout 408");
	assert_all_gone(f);
}

static void test_session_timer_refresh_tried_again(void **state)
{
	struct fixture *f = *state;

	establish_timed(f, 1800, 600);
	f->a.reoffer_status = 500;
	wire_run(f->w, 300500);
	assert_ladder(f->w, "B UPDATE, A 500 UPDATE");
	f->a.reoffer_status = 0;
	wire_run(f->w, 134000); /* half of the 268 s until the BYE */
	assert_ladder(f->w, "B UPDATE, A 200 UPDATE");
	wire_run(f->w, 299000);
	assert_ladder(f->w, "");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

static void test_session_timer_422_to_a_refresh_asked_again(void **state)
{
	struct fixture *f = *state;
	char buf[64];

	establish_timed(f, 1800, 600);
	/* what B would like by itself has no say any more */
	session_set_timing(f->b.s, &(struct session_timing){ .expires_s = 1800 });
	session_set_timing(f->a.s, &(struct session_timing){ .expires_s = 1800, .min_s = 900 });
	wire_run(f->w, 300500);
	assert_ladder(f->w, "B UPDATE, A 422 UPDATE, B UPDATE, A 200 UPDATE");
	assert_string_equal(wire_header(f->w->ends[1].last, "Session-Expires", buf, sizeof(buf)), "900;refresher=uac");
	session_close(f->a.s, 0, NULL);
	assert_all_gone(f);
}

/* ---- the owner's freedom ---- */

static void test_session_closed_or_detached_in_any_callback(void **state)
{
	struct fixture *f = *state;
	static const struct {
		char who;
		const char *event;
	} rows[] = {
		{ 'A', "progress" }, { 'A', "answer" }, { 'B', "invite" }, { 'B', "ack" }, { 'B', "reoffer" },
		{ 'A', "done" }, { 'B', "info" }, { 'B', "authorize" }, { 'A', "bye-received" }, { 'B', "bye-sent" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows) * 2; i++) {
		struct side *sd = rows[i / 2].who == 'A' ? &f->a : &f->b;
		union sockaddr_any other;

		sockaddr_parse(&other, STR("127.0.0.4"), 5064);
		f->a.do_at = f->b.do_at = NULL;
		sd->do_at = rows[i / 2].event;
		sd->what = i % 2 ? DETACH : CLOSE;
		invite(f);
		if (f->b.s)
			session_progress(f->b.s, 180, NULL, NULL, STR_NULL);
		wire_settle(f->w);
		if (f->b.s)
			session_answer(f->b.s, NULL, SDP_TYPE, STR(SDP));
		wire_settle(f->w);
		if (f->a.s)
			session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
		wire_settle(f->w);
		if (f->b.s)
			inject(f, &f->b, strcmp(sd->do_at, "authorize") ? &f->w->ends[0].addr : &other, "INFO", 50, "", "");
		if (f->b.s)
			session_close(f->b.s, 0, NULL);
		wire_settle(f->w);
		assert_all_gone(f);
		assert_null(f->a.s);
		assert_null(f->b.s);
		f->a.events[0] = f->b.events[0] = f->w->ladder[0] = '\0';
	}
}

/* One thing either end may do at any time, sensible or not. */
static void do_something(struct fixture *f)
{
	struct side *sd = rng_below(&f->w->rng, 2) ? &f->a : &f->b;

	if (!sd->s)
		return;
	switch (rng_below(&f->w->rng, 8)) {
	case 0:
		session_progress(sd->s, 180, NULL, NULL, STR_NULL);
		break;
	case 1:
	case 2:
		session_answer(sd->s, NULL, SDP_TYPE, STR(SDP));
		break;
	case 3:
	case 4:
		session_reinvite(sd->s, NULL, SDP_TYPE, STR(SDP));
		break;
	case 5:
		session_request(sd->s, "INFO", NULL, NULL, STR_NULL, NULL, NULL);
		break;
	case 6:
		session_close(sd->s, 0, NULL);
		break;
	case 7:
		session_reject(sd->s, 486, NULL, NULL);
		break;
	}
}

static void test_session_any_loss_and_order_ends_clean(void **state)
{
	struct fixture *f = *state;

	f->w->double_percent = 10;
	for (int call = 0; call < 400; call++) {
		f->w->loss_percent = (unsigned)call % 4 * 15;
		invite(f);
		for (int step = 0; step < 12; step++) {
			do_something(f);
			wire_run(f->w, rng_below(&f->w->rng, 3) * 700);
		}
		if (f->a.s)
			session_close(f->a.s, 0, NULL);
		wire_run(f->w, 40000);
		if (f->b.s) /* the last word may have been lost as often as it was said */
			session_close(f->b.s, 0, NULL);
		if (f->a.s)
			session_close(f->a.s, 0, NULL);
		wire_run(f->w, 40000);
		assert_null(f->a.s);
		assert_null(f->b.s);
		f->w->ladder[0] = f->a.events[0] = f->b.events[0] = '\0';
		if (call % 20 == 0)
			assert_all_gone(f);
	}
	assert_all_gone(f);
}

static void test_session_detached_hears_nothing(void **state)
{
	struct fixture *f = *state;

	establish(f);
	wire_lose(f->w, 'A', "INFO", 100);
	session_request(f->a.s, "INFO", NULL, NULL, STR_NULL, on_final, NULL);
	final_status = 0;
	session_detach(f->a.s, 0, NULL);
	assert_all_gone(f);
	assert_events(&f->a, "");
	assert_int_equal(final_status, 0);
	assert_events(&f->b, "bye-received 0");
}

static void test_session_ua_closes_with_calls_in_every_state(void **state)
{
	struct fixture *f = *state;
	struct session_params p = params(f);
	struct session *s;

	establish(f);
	session_reinvite(f->a.s, NULL, SDP_TYPE, STR(SDP));
	session_request(f->a.s, "INFO", NULL, NULL, STR_NULL, on_final, NULL);
	assert_int_equal(session_invite(&s, f->w->ends[0].ua, &p, NULL, NULL), 0);
	assert_int_equal(session_invite(&s, f->w->ends[0].ua, &p, NULL, NULL), 0);
	session_close(s, 0, NULL);
	/* teardown closes: nothing may leak, no handler may be called */
}

static void test_session_idle_takes_less_than_3_kib(void **state)
{
#if defined(__SANITIZE_ADDRESS__)
	(void)state;
	skip(); /* its allocator counts otherwise */
#else
	struct fixture *f = *state;
	enum { CALLS = 200 };
	struct session_params p = params(f);

	for (int round = 0; round < 2; round++) {
		size_t before = mallinfo2().uordblks;
		unsigned had = sip_ua_sessions(f->w->ends[0].ua);
		for (int i = 0; i < CALLS; i++) {
			assert_int_equal(session_invite(&f->a.s, f->w->ends[0].ua, &p, &handler, &f->a), 0);
			wire_settle(f->w);
			answer(f);
			f->a.events[0] = f->b.events[0] = f->w->ladder[0] = '\0';
		}
		wire_run(f->w, 100000);
		f->w->ladder[0] = '\0';
		assert_int_equal(sip_ua_sessions(f->w->ends[0].ua), had + CALLS);
		/* the first round also fills the tables of transactions */
		if (round == 1)
			assert_true((mallinfo2().uordblks - before) / (2 * CALLS) < 3072);
	}
#endif
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(test_session_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(call_both_ends_hear_it),
		T(contact_names_us),
		T(rejected_tells_status),
		T(close_unanswered_rejects_480),
		T(late_offer_answer_in_ack),
		T(dialog_hdrs_in_all_messages),
		T(dialog_hdrs_change),
		T(session_id_when_cancelled),
		T(cancel_ends_both),
		T(cancel_crosses_200_ack_and_bye),
		T(cancel_crosses_200_lost_ack_sent_again),
		T(ringing_whose_connection_ends_is_cancelled),
		T(ringing_whose_connection_ends_answers),
		T(ringing_whose_connection_ends_is_forgotten),
		T(timeout_cancels),
		T(no_response_times_out),
		T(lost_200_repeated),
		T(lost_ack_sent_for_each_200),
		T(no_ack_ends_with_bye),
		T(bye_before_ack_waits_for_it),
		T(close_without_ack_byes_at_last),
		T(bye_overtakes_ack_ends_it),
		T(caller_closes_in_answer_acks_first),
		T(byes_cross),
		T(lost_bye_repeated),
		T(bye_in_early_dialog_ends_invite),
		T(progress_repeated_each_minute),
		T(fork_second_2xx_acked_and_byed),
		T(fork_progress_of_both_told),
		T(fork_2xx_without_end_are_bounded),
		T(reinvite_both_ways),
		T(reinvite_refused_goes_on),
		T(reinvite_without_offer_acked_with_answer),
		T(glare_both_491_then_one_wins),
		T(491_retried_after_the_time),
		T(second_invite_while_first_unanswered_500),
		T(update_tells_who_is_there_now), T(update_only_to_peers_that_allow_it),
		T(update_is_a_reoffer),
		T(reinvite_481_or_silence_ends_dialog),
		T(close_while_reinvite_pending),
		T(request_gets_its_answer),
		T(request_481_ends_dialog),
		T(old_cseq_500),
		T(foreign_address_must_be_authorized),
		T(challenge_answered_once),
		T(next_nonce_spares_a_challenge),
		T(rel_answer_in_183_is_the_answer),
		T(rel_required_means_all),
		T(rel_repeated_until_prack),
		T(rel_never_acknowledged_is_504),
		T(rel_what_follows_waits),
		T(rel_cancel_and_reject_while_waiting),
		T(rel_199_before_the_refusal),
		T(rel_prack_must_match),
		T(large_ack_goes_by_tcp_first),
		T(rel_closed_when_asked_for_an_answer),
		T(rel_offer_in_183_answer_in_prack),
		T(rel_prack_may_offer_again),
		T(update_refused_after_the_answer_is_not_repeated),
		T(update_before_the_answer),
		T(early_dialogs_of_forks_are_kept),
		T(rel_out_of_order_is_not_acknowledged),
		T(rejected_whatever_there_is_to_say_beside),
		T(invite_expires),
		T(own_invite_that_comes_back_is_482),
		T(refused_notify_ends_no_call),
		T(timer_callee_refreshes_by_update),
		T(timer_peer_gone_ends_it),
		T(timer_422_asked_again),
		T(timer_422_without_end_is_told),
		T(timer_as_the_peer_asks),
		T(timer_refreshes_by_reinvite_where_update_is_unknown),
		T(timer_refresh_tried_again),
		T(timer_422_to_a_refresh_asked_again),
		T(closed_or_detached_in_any_callback),
		T(any_loss_and_order_ends_clean),
		T(detached_hears_nothing),
		T(ua_closes_with_calls_in_every_state),
		T(idle_takes_less_than_3_kib),
	};

	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}

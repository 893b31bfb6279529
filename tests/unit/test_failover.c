/* test_failover.c - calls to a name with several servers, some of which are out of order (RFC 3263 §4.3).
 *
 * A calls sip.test: D first (where nobody is), then B, then C. The name server is real, time on the wire isn't.
 */
#include "wire.h"
#include "fake_dns.h"

#include "sip/digest.h"
#include "sip/ua_int.h"
#include "sip/stack_int.h"

#define SDP "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
#define PATIENCE_MS 4000

static const char *const zone[] = {
	"_sip._udp.sip.test 3600 SRV 1 0 5064 d.sip.test",
	"_sip._udp.sip.test 3600 SRV 2 0 5062 b.sip.test",
	"_sip._udp.sip.test 3600 SRV 3 0 5063 c.sip.test",
	"_sip._udp.live.test 3600 SRV 2 0 5062 b.sip.test",
	"_sip._udp.live.test 3600 SRV 3 0 5063 c.sip.test",
	"_sip._udp.gap.test 3600 SRV 1 0 5062 b.sip.test",
	"_sip._udp.gap.test 3600 SRV 2 0 5064 d.sip.test",
	"_sip._udp.gap.test 3600 SRV 3 0 5063 c.sip.test",
	"b.sip.test 3600 A 127.0.0.2",
	"c.sip.test 3600 A 127.0.0.3",
	"d.sip.test 3600 A 127.0.0.4",
	NULL,
};

struct side {
	struct sip_ua *ua;
	struct session *s;
	char events[256];
	struct digest_server *digest; /* asks for credentials; NULL: doesn't */
};

struct fx {
	uv_loop_t loop;
	struct fake_dns dns;
	struct resolver *r;
	struct wire *w;
	struct side sides[3];        /* A, B, C */
	bool has_rivals;             /* whoever calls has others than the name's */
};

static void did(struct side *sd, const char *event, int n)
{
	size_t at = strlen(sd->events);

	snprintf(sd->events + at, sizeof(sd->events) - at, "%s%s %d", at ? ", " : "", event, n);
}

static void on_progress(struct session *s, const struct sip_msg *m, void *arg)
{
	(void)s;
	did(arg, "progress", m->status);
}

static void on_answer(struct session *s, const struct sip_msg *m, void *arg)
{
	did(arg, "answer", m->status);
	assert_int_equal(session_ack(s, NULL, STR_NULL), 0);
}

static void on_closed(struct session *s, enum session_end how, int status, const struct sip_msg *m, void *arg)
{
	static const char *const names[] = { "bye", "bye-sent", "cancelled", "rejected", "timeout", "failed" };
	struct side *sd = arg;

	(void)s;
	(void)m;
	did(sd, names[how], status);
	sd->s = NULL;
}

static const struct session_handler handler = { .on_progress = on_progress, .on_answer = on_answer, .on_closed = on_closed };

static bool is_challenged(struct side *sd, struct strans *st, const struct sip_msg *m)
{
	char line[512];
	struct out o;

	if (!sd->digest || sip_msg_has(m, SIP_HDR_AUTHORIZATION))
		return false;
	out_init(&o, line, sizeof(line) - 1);
	digest_challenge(sd->digest, &o, SIP_HDR_WWW_AUTHENTICATE, STR("cord"), DIGEST_MD5, false, STR_NULL);
	line[o.len] = '\0';
	strans_reply_simple(st, 401, line);
	return true;
}

static void on_invite(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct side *sd = arg;

	if (is_challenged(sd, st, m))
		return;
	did(sd, "invite", (int)m->cseq.seq);
	assert_int_equal(session_accept(&sd->s, sd->ua, st, m, &handler, sd), 0);
}

/* What DNS says of it is known from now on. */
static void on_found(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	(void)id;
	*(struct sip_dest *)arg = n ? dests[0] : (struct sip_dest){ 0 };
}

static struct sip_dest look_up(struct fx *fx, const char *text)
{
	struct sip_dest dest = { 0 };
	struct sip_uri uri;
	uint64_t id;

	assert_int_equal(sip_uri_parse(&uri, str_from(text)), 0);
	assert_int_equal(sip_resolve(fx->r, &uri, on_found, &dest, &id), 0);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	return dest;
}

static void call_with(struct fx *fx, const char *target, const char *hdrs)
{
	struct session_params p = {
		.target = str_from(target), .dest = look_up(fx, target), .from_uri = STR("sip:a@cord"), .to_uri = STR("sip:b@cord"),
		.hdrs = str_from(hdrs), .ctype = "application/sdp", .body = STR(SDP), .auth_user = "a", .auth_password = "secret",
		.has_rivals = fx->has_rivals,
	};

	assert_int_equal(session_invite(&fx->sides[0].s, fx->w->ends[0].ua, &p, &handler, &fx->sides[0]), 0);
	wire_settle(fx->w);
}

static void call(struct fx *fx, const char *target)
{
	call_with(fx, target, "");
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_int_equal(uv_loop_init(&fx->loop), 0);
	fake_dns_start(&fx->dns, &fx->loop, zone);
	assert_int_equal(resolver_new(&fx->r, &(struct resolver_params){ .loop = &fx->loop, .servers = fx->dns.address,
									    .hosts = "/dev/null" }), 0);
	fx->w = wire_new(3);
	for (int i = 0; i < 3; i++) {
		fx->sides[i].ua = fx->w->ends[i].ua;
		sip_ua_handle(fx->sides[i].ua, SIP_INVITE, on_invite, &fx->sides[i]);
	}
	fx->w->ends[0].ua->resolver = fx->r;
	fx->w->ends[0].ua->stack->p.resolver = fx->r;
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	wire_run(fx->w, 70000);
	wire_free(fx->w);
	resolver_close(fx->r);
	fake_dns_stop(&fx->dns);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fx->loop), 0);
	free(fx);
	return 0;
}

#define assert_events(fx, i, text) do { assert_string_equal((fx)->sides[i].events, (text)); (fx)->sides[i].events[0] = '\0'; } while (0)

static bool is_avoided(struct fx *fx, char name)
{
	struct sip_dest dest = wire_dest(fx->w, name);

	return resolver_is_failed(fx->r, &dest);
}

static void answer(struct fx *fx, int i)
{
	assert_int_equal(session_answer(fx->sides[i].s, NULL, "application/sdp", STR(SDP)), 0);
	wire_settle(fx->w);
}

static void reject(struct fx *fx, int i, int status, const char *hdrs)
{
	assert_int_equal(session_reject(fx->sides[i].s, status, NULL, hdrs), 0);
	wire_settle(fx->w);
}

static void hang_up(struct fx *fx)
{
	session_close(fx->sides[0].s, 0, NULL);
	wire_settle(fx->w);
}

static void test_failover_no_answer_the_next_is_called(void **state)
{
	struct fx *fx = *state;
	char first[64], second[64], via[2][256];

	call(fx, "sip:b@sip.test");
	wire_header(fx->w->ends[0].last, "Call-ID", first, sizeof(first));
	wire_header(fx->w->ends[0].last, "Via", via[0], sizeof(via[0]));
	wire_run(fx->w, PATIENCE_MS - 2);
	assert_events(fx, 1, "");
	wire_run(fx->w, 2);
	assert_events(fx, 1, "invite 1"); /* the same request, its CSeq too */
	wire_header(fx->w->ends[0].last, "Call-ID", second, sizeof(second));
	wire_header(fx->w->ends[0].last, "Via", via[1], sizeof(via[1]));
	assert_string_equal(first, second);
	assert_string_not_equal(via[0], via[1]); /* in another transaction */
	assert_true(is_avoided(fx, 'D'));
	answer(fx, 1);
	assert_events(fx, 0, "answer 200");
	fx->w->ladder[0] = '\0';
	wire_run(fx->w, 70000);
	assert_ladder(fx->w, ""); /* nothing more is sent to D, nor is anything missing at B */
	hang_up(fx);
	assert_events(fx, 1, "bye 0");
	/* Remembered: the next call doesn't wait. */
	fx->sides[0].events[0] = '\0';
	call(fx, "sip:b@sip.test");
	assert_events(fx, 1, "invite 1");
	hang_up(fx);
}

static void test_failover_503_is_acknowledged_and_the_next_called(void **state)
{
	struct fx *fx = *state;

	call(fx, "sip:b@live.test");
	assert_events(fx, 1, "invite 1");
	fx->w->ladder[0] = '\0';
	reject(fx, 1, 503, NULL);
	assert_ladder(fx->w, "B 503 INVITE, A ACK, A INVITE, C 100 INVITE");
	assert_events(fx, 0, "");
	assert_events(fx, 2, "invite 1");
	assert_false(is_avoided(fx, 'B')); /* RFC 3261 §21.5.4: without Retry-After that was for this request */
	answer(fx, 2);
	assert_events(fx, 0, "answer 200");
	hang_up(fx);
}

/* B has rung, but doesn't any more: that D is silent isn't the end. */
static void test_failover_503_after_ringing_goes_on_past_a_silent_one(void **state)
{
	struct fx *fx = *state;

	call(fx, "sip:b@gap.test");
	assert_int_equal(session_progress(fx->sides[1].s, 180, NULL, NULL, STR_NULL), 0);
	wire_settle(fx->w);
	reject(fx, 1, 503, NULL);
	wire_run(fx->w, PATIENCE_MS + 1);
	assert_events(fx, 2, "invite 1");
	answer(fx, 2);
	assert_events(fx, 0, "progress 180, answer 200");
	hang_up(fx);
}

static void test_failover_retry_after_is_remembered(void **state)
{
	struct fx *fx = *state;

	call(fx, "sip:b@live.test");
	reject(fx, 1, 503, "Retry-After: 60 (overload)\r\n");
	assert_true(is_avoided(fx, 'B'));
	reject(fx, 2, 486, NULL);
	assert_events(fx, 0, "rejected 486"); /* busy is busy: nobody else is tried */
	fx->sides[2].events[0] = '\0';
	call(fx, "sip:b@live.test");
	assert_events(fx, 2, "invite 1");
	reject(fx, 2, 503, "Retry-After: soon\r\n");
	assert_events(fx, 1, "invite 1, rejected 503, invite 1"); /* the last, but not never */
	answer(fx, 1);
	assert_events(fx, 0, "answer 200");
	assert_false(is_avoided(fx, 'B')); /* it works again */
	hang_up(fx);
}

static void test_failover_the_last_ones_word_is_heard(void **state)
{
	struct fx *fx = *state;
	uint64_t start;

	call(fx, "sip:b@live.test");
	reject(fx, 1, 503, NULL);
	reject(fx, 2, 503, NULL);
	assert_events(fx, 0, "rejected 503");
	/* The last target has the standard's time. */
	wire_lose(fx->w, 'A', "INVITE", 100);
	start = fx->w->now_ms;
	call(fx, "sip:b@live.test");
	wire_until(fx->w, start + PATIENCE_MS + SIP_TIMER_B_MS - 2);
	assert_events(fx, 0, "");
	wire_run(fx->w, 4);
	assert_events(fx, 0, "timeout 408");
	assert_true(is_avoided(fx, 'B') && is_avoided(fx, 'C'));
}

/* B says nothing in time and then rings: it is cancelled. */
static void test_failover_late_ringing_is_cancelled(void **state)
{
	struct fx *fx = *state;

	wire_lose(fx->w, 'B', "100 INVITE", 100);
	call(fx, "sip:b@live.test");
	wire_run(fx->w, PATIENCE_MS);
	assert_events(fx, 2, "invite 1");
	assert_int_equal(session_progress(fx->sides[1].s, 180, NULL, NULL, STR_NULL), 0);
	wire_settle(fx->w);
	assert_events(fx, 1, "invite 1, cancelled 487");
	answer(fx, 2);
	assert_events(fx, 0, "answer 200");
	hang_up(fx);
}

/* B answers when C has been called: it gets its ACK, and a BYE. */
static void test_failover_late_answer_is_acknowledged_and_ended(void **state)
{
	struct fx *fx = *state;

	wire_lose(fx->w, 'B', "100 INVITE", 100);
	call(fx, "sip:b@live.test");
	wire_run(fx->w, PATIENCE_MS);
	answer(fx, 2);
	assert_events(fx, 0, "answer 200");
	fx->w->ladder[0] = '\0';
	answer(fx, 1);
	assert_ladder(fx->w, "B 200 INVITE, A ACK, A BYE, B 200 BYE");
	assert_events(fx, 1, "invite 1, bye 0");
	assert_int_equal(session_state(fx->sides[0].s), SESSION_ST_CONFIRMED);
	hang_up(fx);
	assert_events(fx, 2, "invite 1, bye 0");
}

/* The same when C has asked for credentials meanwhile, and so the INVITE has another CSeq than what B answers: its ACK has B's. */
static void test_failover_late_answer_to_an_earlier_cseq(void **state)
{
	struct fx *fx = *state;
	char cseq[64], auth[256];

	assert_int_equal(digest_server_new(&fx->sides[2].digest, &(struct digest_server_params){
		.rng = &fx->w->rng, .clock = &fx->w->clock }), 0);
	wire_lose(fx->w, 'B', "100 INVITE", 100);
	call(fx, "sip:b@live.test");
	wire_run(fx->w, PATIENCE_MS);
	assert_events(fx, 2, "invite 2");
	fx->w->ladder[0] = '\0';
	wire_lose(fx->w, 'A', "BYE", 1);
	answer(fx, 1);
	assert_ladder(fx->w, "B 200 INVITE, A ACK, A BYE!");
	wire_run(fx->w, 500);
	assert_non_null(strstr(fx->w->ladder, "A BYE, B 200 BYE"));
	assert_null(strstr(fx->w->ladder, "B 200 INVITE")); /* the ACK was its own */
	answer(fx, 2);
	wire_header(fx->w->ends[0].last, "CSeq", cseq, sizeof(cseq));
	assert_string_equal(cseq, "2 ACK");
	assert_string_not_equal(wire_header(fx->w->ends[0].last, "Authorization", auth, sizeof(auth)), "");
	assert_events(fx, 1, "invite 1, bye 0");
	assert_events(fx, 0, "answer 200");
	hang_up(fx);
	assert_events(fx, 2, "bye 0");
	digest_server_free(fx->sides[2].digest);
}

/* Whoever calls has somebody else to try: the last of the name isn't waited for longer than the first. It answers late. */
static void test_failover_last_one_gives_way_to_rivals(void **state)
{
	struct fx *fx = *state;

	fx->has_rivals = true;
	wire_lose(fx->w, 'B', "100 INVITE", 100);
	wire_lose(fx->w, 'C', "100 INVITE", 100);
	call(fx, "sip:b@live.test");
	wire_run(fx->w, PATIENCE_MS);
	assert_events(fx, 2, "invite 1");
	wire_run(fx->w, PATIENCE_MS - 3);
	assert_events(fx, 0, "");
	wire_run(fx->w, 3);
	assert_events(fx, 0, "timeout 408");
	fx->w->ladder[0] = '\0';
	answer(fx, 2);
	assert_ladder(fx->w, "C 200 INVITE, A ACK, A BYE, C 200 BYE");
	answer(fx, 1);
	assert_ladder(fx->w, "B 200 INVITE, A ACK, A BYE, B 200 BYE");
	assert_int_equal(sip_ua_sessions(fx->sides[0].ua), 1);
	wire_run(fx->w, 64 * SIP_T1_MS + 10);
	assert_int_equal(sip_ua_sessions(fx->sides[0].ua), 0);
}

static void test_failover_hung_up_meanwhile_calls_nobody(void **state)
{
	struct fx *fx = *state;

	call(fx, "sip:b@sip.test");
	hang_up(fx);
	wire_run(fx->w, 70000);
	assert_events(fx, 0, "cancelled 487");
	assert_events(fx, 1, "");
}

/* The name of the route set leads to several: the one that answered stays, and when it is gone the next is asked. */
static void test_failover_in_a_dialog(void **state)
{
	struct fx *fx = *state;

	look_up(fx, "sip:sip.test");
	call_with(fx, "sip:b@live.test", "Record-Route: <sip:sip.test;lr>\r\n");
	answer(fx, 1);
	assert_events(fx, 0, "answer 200");
	assert_events(fx, 1, "invite 1");
	fx->w->ladder[0] = '\0';
	assert_int_equal(session_request(fx->sides[0].s, "INFO", NULL, NULL, STR_NULL, NULL, NULL), 0);
	wire_settle(fx->w);
	assert_ladder(fx->w, "A INFO, B 405 INFO");
	wire_lose(fx->w, 'A', "BYE", 4);
	hang_up(fx);
	wire_run(fx->w, PATIENCE_MS);
	assert_ladder(fx->w, "A BYE!, A BYE!, A BYE!, A BYE!, A BYE, C 481 BYE");
}

/* The ACK of a 2xx goes where its route says, not where the INVITE went (RFC 3261 §13.2.2.4): it waits for the name. */
static void test_failover_ack_waits_for_the_name(void **state)
{
	struct fx *fx = *state;

	call_with(fx, "sip:b@live.test", "Record-Route: <sip:sip.test;lr>\r\n");
	fx->w->ladder[0] = '\0';
	answer(fx, 1);
	assert_ladder(fx->w, "B 200 INVITE");
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	wire_settle(fx->w);
	assert_ladder(fx->w, "A ACK");
	hang_up(fx);
	assert_events(fx, 1, "invite 1, bye 0");
	/* One that is still waited for when all ends. */
	fx->w->ladder[0] = '\0';
	call_with(fx, "sip:b@live.test", "Record-Route: <sip:other.test;lr>\r\n");
	answer(fx, 1);
	wire_run(fx->w, 1000);
	assert_null(strstr(fx->w->ladder, "ACK"));
	hang_up(fx);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_failover_no_answer_the_next_is_called),
		T(test_failover_503_is_acknowledged_and_the_next_called),
		T(test_failover_503_after_ringing_goes_on_past_a_silent_one),
		T(test_failover_retry_after_is_remembered),
		T(test_failover_the_last_ones_word_is_heard),
		T(test_failover_late_ringing_is_cancelled),
		T(test_failover_late_answer_is_acknowledged_and_ended),
		T(test_failover_late_answer_to_an_earlier_cseq),
		T(test_failover_last_one_gives_way_to_rivals),
		T(test_failover_hung_up_meanwhile_calls_nobody),
		T(test_failover_in_a_dialog),
		T(test_failover_ack_waits_for_the_name),
	};
#undef T

	return cmocka_run_group_tests_name("failover", tests, NULL, NULL);
}

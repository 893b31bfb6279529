/* test_usages.c - several usages of one dialog (RFC 5057): a call, and the subscription that a REFER in it implies (RFC 3515).
 *
 * A and B talk, B refers A. What B's answers to A's requests end is a table; and the subscription's life goes by the fake clock.
 */
#include "sip/refer.h"
#include "wire.h"

#define SDP "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
#define EXPIRES_MS 600000

struct fx {
	struct wire *w;
	struct session *a, *b;
	struct refer *refer;         /* A's */
	int status;                  /* what B answers; 0: nothing, and A is to wait in vain */
	unsigned nnotifies;
	char state[128], body[128];  /* of B's last NOTIFY */
	int end_status;              /* of A; -1: goes on */
};

static void on_answer(struct session *s, const struct sip_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	assert_int_equal(session_ack(s, NULL, STR_NULL), 0);
}

static void on_reoffer(struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer, void *arg)
{
	struct fx *fx = arg;

	(void)m;
	(void)has_offer;
	session_reply_offer(s, st, fx->status, NULL, "application/sdp", fx->status == 200 ? STR(SDP) : STR_NULL);
}

static bool b_on_request(struct session *s, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fx *fx = arg;

	(void)s;
	if (m->method == SIP_NOTIFY) {
		fx->nnotifies++;
		str_copy(sip_msg_value_by_name(m, "Subscription-State"), fx->state, sizeof(fx->state));
		str_copy(m->body, fx->body, sizeof(fx->body));
	}
	if (fx->status)
		strans_reply_simple(st, fx->status, NULL);
	return true;
}

static bool a_on_request(struct session *s, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fx *fx = arg;

	assert_int_equal(m->method, SIP_REFER);
	assert_int_equal(refer_accept(&fx->refer, s, st, m), 0);
	return true;
}

static void a_on_closed(struct session *s, enum session_end how, int status, const struct sip_msg *m, void *arg)
{
	struct fx *fx = arg;

	(void)s;
	(void)how;
	(void)m;
	fx->a = NULL;
	fx->end_status = status;
}

static void b_on_closed(struct session *s, enum session_end how, int status, const struct sip_msg *m, void *arg)
{
	(void)s;
	(void)how;
	(void)status;
	(void)m;
	((struct fx *)arg)->b = NULL;
}

static const struct session_handler a_handler = { .on_answer = on_answer, .on_request = a_on_request, .on_closed = a_on_closed };
static const struct session_handler b_handler = { .on_reoffer = on_reoffer, .on_request = b_on_request, .on_closed = b_on_closed };

static void on_invite(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct fx *fx = arg;

	assert_int_equal(session_accept(&fx->b, fx->w->ends[1].ua, st, m, &b_handler, fx), 0);
	assert_int_equal(session_answer(fx->b, NULL, "application/sdp", STR(SDP)), 0);
}

static void talk(struct fx *fx)
{
	const struct session_params p = {
		.target = STR("sip:b@127.0.0.2:5062"), .dest = wire_dest(fx->w, 'B'), .from_uri = STR("sip:a@cord"),
		.to_uri = STR("sip:b@cord"), .ctype = "application/sdp", .body = STR(SDP),
	};

	fx->status = 200;
	fx->end_status = -1;
	assert_int_equal(session_invite(&fx->a, fx->w->ends[0].ua, &p, &a_handler, fx), 0);
	wire_run(fx->w, 70000);
	assert_non_null(fx->b);
}

static void b_asks(struct fx *fx, const char *method, const char *hdrs)
{
	assert_int_equal(session_request(fx->b, method, hdrs, NULL, STR_NULL, NULL, NULL), 0);
	wire_settle(fx->w);
}

/* B has referred A and knows that it is being tried. */
static void refer(struct fx *fx)
{
	b_asks(fx, "REFER", "Refer-To: <sip:c@cord>\r\n");
	assert_non_null(fx->refer);
	assert_int_equal(fx->nnotifies, 1);
	assert_string_equal(fx->body, "SIP/2.0 100 Trying\r\n");
	assert_string_equal(fx->state, "active;expires=600");
	fx->nnotifies = 0;
	wire_run(fx->w, 5000); /* its transaction is over */
}

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->w = wire_new(2);
	for (int i = 0; i < 2; i++)
		sip_ua_allow_in_dialog(fx->w->ends[i].ua, i ? SIP_NOTIFY : SIP_REFER);
	sip_ua_handle(fx->w->ends[1].ua, SIP_INVITE, on_invite, fx);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	if (fx->refer)
		refer_finish(fx->refer, 503);
	fx->status = 200;
	if (fx->a)
		session_close(fx->a, 0, NULL);
	if (fx->b)
		session_close(fx->b, 0, NULL);
	wire_run(fx->w, 700000);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(sip_ua_sessions(fx->w->ends[i].ua), 0);
		assert_int_equal(sip_stack_counters(sip_ua_stack(fx->w->ends[i].ua))->ctrans_live, 0);
	}
	wire_free(fx->w);
	free(fx);
	return 0;
}

/* ---- RFC 5057 §5.1: who hears the end of what ---- */

enum by { BY_INFO, BY_REINVITE, BY_NOTIFY, BY_COUNT };

static void ask(struct fx *fx, enum by by)
{
	if (by == BY_INFO)
		assert_int_equal(session_request(fx->a, "INFO", NULL, NULL, STR_NULL, NULL, NULL), 0);
	else if (by == BY_REINVITE)
		assert_int_equal(session_reinvite(fx->a, NULL, "application/sdp", STR(SDP)), 0);
	else
		refer_progress(fx->refer, 180);
}

static void check(int status, enum by by, bool ends_call, bool ends_subscription)
{
	struct fx *fx;
	void *state;
	bool is_told;

	setup(&state);
	fx = state;
	talk(fx);
	refer(fx);
	fx->status = status;
	ask(fx, by);
	/* RFC 4320: a 408 to another method than INVITE can't be heard, it is the silence. B's INVITE may be answered so. */
	wire_run(fx->w, status == 408 ? 40000 : 10);
	if ((fx->end_status != -1) != ends_call)
		fail_msg("%d to %d: the call %s", status, by, ends_call ? "goes on" : "has ended");
	fx->status = 200;
	fx->nnotifies = 0;
	fx->w->ladder[0] = '\0';
	refer_progress(fx->refer, 183);
	wire_settle(fx->w);
	is_told = strstr(fx->w->ladder, "A NOTIFY") != NULL;
	if (is_told == ends_subscription)
		fail_msg("%d to %d: the subscription %s", status, by, ends_subscription ? "goes on" : "has ended");
	teardown(&state);
}

static void test_usages_what_a_response_ends(void **state)
{
	enum { NONE, USAGE, ALL };
	static const struct { int status, ends; } rows[] = {
		{ 300, NONE }, { 400, NONE }, { 402, NONE }, { 403, NONE }, { 404, ALL }, { 406, NONE }, { 408, USAGE }, { 410, ALL },
		{ 412, NONE }, { 413, NONE }, { 414, NONE }, { 415, NONE }, { 416, ALL }, { 420, NONE }, { 421, NONE }, { 423, NONE },
		{ 429, NONE }, { 480, USAGE }, { 481, USAGE }, { 482, ALL }, { 483, ALL }, { 484, ALL }, { 485, ALL }, { 486, NONE },
		{ 487, NONE }, { 488, NONE }, { 493, NONE }, { 494, NONE }, { 500, NONE }, { 502, ALL }, { 503, NONE }, { 504, NONE },
		{ 505, NONE }, { 513, NONE }, { 580, NONE }, { 600, NONE }, { 603, NONE }, { 604, ALL }, { 606, NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (int by = 0; by < BY_COUNT; by++)
			check(rows[i].status, (enum by)by, rows[i].ends == ALL || (rows[i].ends == USAGE && by != BY_NOTIFY),
			      rows[i].ends == ALL || (rows[i].ends == USAGE && by == BY_NOTIFY));
	/* A peer that doesn't know a method: the subscription lives by NOTIFY, the call by no other than what it has. */
	for (int by = 0; by < BY_COUNT; by++) {
		check(405, (enum by)by, false, by == BY_NOTIFY);
		check(489, (enum by)by, false, by == BY_NOTIFY);
		check(501, (enum by)by, false, by == BY_NOTIFY);
	}
}

/* ---- a reference's life ---- */

/* One NOTIFY at a time: of what happens meanwhile the newest is told. */
static void test_usages_refer_tells_the_newest(void **state)
{
	struct fx *fx = *state;

	talk(fx);
	refer(fx);
	wire_lose(fx->w, 'B', "200 NOTIFY", 1);
	refer_progress(fx->refer, 180);
	wire_settle(fx->w);
	refer_progress(fx->refer, 182);
	refer_progress(fx->refer, 183);
	wire_settle(fx->w);
	assert_int_equal(fx->nnotifies, 1);
	wire_run(fx->w, 500); /* it is sent again, and answered */
	assert_int_equal(fx->nnotifies, 2);
	assert_string_equal(fx->body, "SIP/2.0 183 Session Progress\r\n");
	assert_string_equal(fx->state, "active;expires=594");
	refer_progress(fx->refer, 183); /* no news */
	wire_settle(fx->w);
	assert_int_equal(fx->nnotifies, 2);
	refer_finish(fx->refer, 486);
	fx->refer = NULL;
	wire_settle(fx->w);
	assert_int_equal(fx->nnotifies, 3);
	assert_string_equal(fx->body, "SIP/2.0 486 Busy Here\r\n");
	assert_string_equal(fx->state, "terminated;reason=noresource");
	assert_int_equal(fx->end_status, -1); /* the call goes on */
}

static void test_usages_refer_outlives_the_call(void **state)
{
	struct fx *fx = *state;

	talk(fx);
	refer(fx);
	session_close(fx->a, 0, NULL); /* B's side of the dialog lives as long as it subscribes: here it forgets */
	wire_settle(fx->w);
	assert_null(fx->b);
	assert_int_equal(sip_ua_sessions(fx->w->ends[0].ua), 1);
	fx->w->ladder[0] = '\0';
	refer_progress(fx->refer, 180);
	wire_settle(fx->w);
	assert_ladder(fx->w, "A NOTIFY, B 481 NOTIFY");
	wire_run(fx->w, 10);
	assert_int_equal(sip_ua_sessions(fx->w->ends[0].ua), 0);
	refer_finish(fx->refer, 200); /* told nobody */
	fx->refer = NULL;
	wire_run(fx->w, 100);
	assert_ladder(fx->w, "");
}

static void test_usages_refer_expires(void **state)
{
	struct fx *fx = *state;
	uint64_t begun;

	talk(fx);
	begun = fx->w->now_ms;
	refer(fx);
	wire_until(fx->w, begun + EXPIRES_MS - 1);
	assert_int_equal(fx->nnotifies, 0);
	wire_until(fx->w, begun + EXPIRES_MS + 2);
	assert_int_equal(fx->nnotifies, 1);
	assert_string_equal(fx->state, "terminated;reason=timeout");
	refer_finish(fx->refer, 200);
	fx->refer = NULL;
	wire_run(fx->w, 1000);
	assert_int_equal(fx->nnotifies, 1);
	assert_int_equal(fx->end_status, -1);
}

/* RFC 3515 §2.4.6: SUBSCRIBE goes on with it, tells again how it stands, or ends it. */
static void test_usages_refer_is_refreshed_and_ended(void **state)
{
	static const struct { const char *hdrs; int status; } refused[] = {
		{ "Event: presence\r\n", 489 }, { "Event: refer;id=4711\r\n", 481 }, { "Event: refer;id=x\r\n", 400 },
	};
	struct fx *fx = *state;

	talk(fx);
	refer(fx);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		char expected[32];

		b_asks(fx, "SUBSCRIBE", refused[i].hdrs);
		snprintf(expected, sizeof(expected), "A %d SUBSCRIBE", refused[i].status);
		assert_non_null(strstr(fx->w->ladder, expected));
		assert_int_equal(fx->nnotifies, 0);
	}
	wire_run(fx->w, EXPIRES_MS - 10000);
	b_asks(fx, "SUBSCRIBE", "Event: refer\r\nExpires: 60\r\n");
	assert_int_equal(fx->nnotifies, 1);
	assert_string_equal(fx->state, "active;expires=60");
	assert_string_equal(fx->body, "SIP/2.0 100 Trying\r\n");
	wire_run(fx->w, 59000);
	assert_int_equal(fx->nnotifies, 1); /* it would have expired long ago */
	b_asks(fx, "SUBSCRIBE", "Event: refer\r\nExpires: 7200\r\n");
	assert_string_equal(fx->state, "active;expires=600"); /* not longer */
	b_asks(fx, "SUBSCRIBE", "Event: refer\r\nExpires: 0\r\n");
	assert_int_equal(fx->nnotifies, 3);
	assert_string_equal(fx->state, "terminated;reason=timeout");
	b_asks(fx, "SUBSCRIBE", "Event: refer\r\nExpires: 60\r\n");
	assert_non_null(strstr(fx->w->ladder, "B SUBSCRIBE, A 481 SUBSCRIBE"));
	assert_int_equal(fx->end_status, -1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usages_what_a_response_ends),
		T(test_usages_refer_tells_the_newest),
		T(test_usages_refer_outlives_the_call),
		T(test_usages_refer_expires),
		T(test_usages_refer_is_refreshed_and_ended),
	};
#undef T

	return cmocka_run_group_tests_name("usages", tests, NULL, NULL);
}

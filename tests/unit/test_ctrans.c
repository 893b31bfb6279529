/* test_ctrans.c - the client transactions of RFC 3261 §17.1 with RFC 6026: every state meets every event.
 *
 * A state can't be looked at from outside; it is known by what follows. So each cell says what an event causes at once (sent,
 * told) and what then comes by itself if nothing else happens: retransmissions and the end. That no cell is missing is checked too:
 * met[] notes the state and the event that a row is about.
 */
#include "sip_fixture.h"
#include "sip/stack_int.h"

#define ALIVE UINT64_MAX             /* hasn't ended by itself */
#define LATER_MS 100                 /* events come so long after the state was entered */

struct user {
	struct fx *fx;
	struct ctrans *ct;
	unsigned nresponses, nended;
	int last_status, end_err;
	uint64_t ended_ms;
};

static void on_response(struct ctrans *ct, const struct sip_msg *m, void *arg)
{
	struct user *u = arg;

	assert_int_equal(u->fx->busy, 0);
	assert_ptr_equal(ct, u->ct);
	assert_int_equal(u->nended, 0);
	u->nresponses++;
	u->last_status = m->status;
}

static void on_terminated(struct ctrans *ct, int err, void *arg)
{
	struct user *u = arg;

	assert_int_equal(u->fx->busy, 0);
	assert_ptr_equal(ct, u->ct);
	u->nended++;
	u->end_err = err;
	u->ended_ms = fx_now(u->fx);
}

static const struct ctrans_handler handler = { .on_response = on_response, .on_terminated = on_terminated };

#define HDRS(method)                                                                                       \
	"Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.200>;tag=ours\r\nTo: <sip:b@192.0.2.10>\r\n"             \
	"Call-ID: call1\r\nCSeq: 7 " method "\r\nRoute: <sip:192.0.2.10;lr>\r\nRoute: <sip:second;lr>\r\n"  \
	"Contact: <sip:us@192.0.2.200>\r\n"

static int start(struct fx *fx, struct user *u, const char *method)
{
	struct sip_dest dest = { .proto = fx->src.proto, .addr = fx->src.peer };
	struct sip_req r = { .method = str_from(method), .uri = STR("sip:b@192.0.2.10:5062"), .ctype = "application/sdp",
			     .body = STR("v=0\r\n") };
	int err;

	*u = (struct user){ .fx = fx };
	r.hdrs = strcmp(method, "INVITE") == 0 ? STR(HDRS("INVITE")) : STR(HDRS("OPTIONS"));
	fx->busy++;
	err = ctrans_start(&u->ct, fx->stack, &r, &dest, &handler, u);
	fx->busy--;
	return err;
}

/* Answers the i-th message sent as a server does: its Via, From, To, Call-ID and CSeq come back. */
static void respond(struct fx *fx, int i, int status, const char *to_tag)
{
	const struct sip_msg *m = fx_sent(fx, i);
	static char text[SIP_MSG_MAX];
	size_t n;

	n = (size_t)snprintf(text, sizeof(text),
			     "SIP/2.0 %d X\r\nVia: %.*s;received=192.0.2.200\r\nFrom: %.*s\r\nTo: %.*s%s%s\r\n"
			     "Call-ID: %.*s\r\nCSeq: %u %.*s\r\nContact: <sip:b@192.0.2.10>\r\nContent-Length: 0\r\n\r\n",
			     status, STR_ARG(m->via.value), STR_ARG(m->from.value), STR_ARG(m->to.value),
			     m->to.tag.n || !to_tag ? "" : ";tag=", m->to.tag.n || !to_tag ? "" : to_tag, STR_ARG(m->call_id),
			     m->cseq.seq, STR_ARG(m->cseq.method_name));
	fx_receive_str(fx, (struct str){ text, n });
}

/* ---- the tables ---- */

struct cell {
	const char *method;
	enum sip_proto proto;
	int before[3];               /* responses that lead to the state */
	int event;                   /* a response; 0: nothing but time */
	const char *sent;            /* at once */
	unsigned told;               /* responses handed up at once */
	unsigned resent;             /* by itself, afterwards */
	uint64_t ends_ms;            /* after the event, by itself */
	int err;
};

enum where { AT_BEGINNING /* Calling, Trying */, AT_PROCEEDING, AT_COMPLETED, AT_ACCEPTED, AT_COUNT };
enum met { MET_TIMERS, MET_100, MET_1XX, MET_2XX, MET_3XX, MET_4XX_6XX, MET_COUNT };

struct cover {
	bool met[AT_COUNT][MET_COUNT];
};

static enum where where_is(const struct cell *c)
{
	int last = 0;

	for (size_t i = 0; i < ARRAY_LEN(c->before) && c->before[i]; i++)
		last = c->before[i];
	if (last < 200)
		return last ? AT_PROCEEDING : AT_BEGINNING;
	return last < 300 && strcmp(c->method, "INVITE") == 0 ? AT_ACCEPTED : AT_COMPLETED;
}

static enum met what_is(int status)
{
	if (status < 200)
		return !status ? MET_TIMERS : status == 100 ? MET_100 : MET_1XX;
	return status < 300 ? MET_2XX : status < 400 ? MET_3XX : MET_4XX_6XX;
}

static void check_all_met(const struct cover *c, unsigned nstates)
{
	for (unsigned at = 0; at < nstates; at++)
		for (unsigned e = 0; e < MET_COUNT; e++)
			if (!c->met[at][e])
				fail_msg("state %u never meets event %u", at, e);
}

static void walk(const struct cell *c, size_t row, struct cover *cover)
{
	struct fx *fx = fx_new(c->proto);
	struct user u;
	uint64_t at_ms;
	unsigned told, nsent;

	cover->met[where_is(c)][what_is(c->event)] = true;

	assert_int_equal(start(fx, &u, c->method), 0);
	for (size_t i = 0; i < ARRAY_LEN(c->before) && c->before[i]; i++)
		respond(fx, 0, c->before[i], "t");
	fx_advance(fx, LATER_MS);
	if (u.nended && c->event == 0 && c->ends_ms == 0) {
		/* Over a stream the wait for retransmissions takes no time. */
		assert_int_equal(u.end_err, c->err);
		fx_free(fx);
		return;
	}
	assert_int_equal(u.nended, 0);
	told = u.nresponses;
	nsent = fx->nsent;
	at_ms = fx_now(fx);
	if (c->event)
		respond(fx, 0, c->event, "t");
	if (strcmp(fx_sent_text(fx, nsent), c->sent) != 0)
		fail_msg("row %zu: sent '%s', not '%s'", row, fx_sent_text(fx, nsent), c->sent);
	if (u.nresponses - told != c->told)
		fail_msg("row %zu: told %u, not %u", row, u.nresponses - told, c->told);
	if (c->told)
		assert_int_equal(u.last_status, c->event);
	nsent = fx->nsent;
	fx_advance(fx, FX_FOR_EVER_MS);
	if (c->ends_ms == ALIVE) {
		assert_int_equal(u.nended, 0);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 1);
		if (fx->nsent - nsent != c->resent)
			fail_msg("row %zu: sent again %u times, not %u", row, fx->nsent - nsent, c->resent);
	} else {
		if (u.nended != 1 || u.end_err != c->err)
			fail_msg("row %zu: ended %u times with %d, not once with %d", row, u.nended, u.end_err, c->err);
		/* 0 counts as 1 ms for a timer. */
		if (u.ended_ms - at_ms != c->ends_ms && !(c->ends_ms == 0 && u.ended_ms - at_ms == 1))
			fail_msg("row %zu: ended after %llu ms, not %llu", row, (unsigned long long)(u.ended_ms - at_ms),
				 (unsigned long long)c->ends_ms);
		if (fx->nsent - nsent != c->resent)
			fail_msg("row %zu: sent again %u times, not %u", row, fx->nsent - nsent, c->resent);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		assert_int_equal(timers_count(fx->timers), 0);
	}
	fx_free(fx);
}

#define T64 (64 * SIP_T1_MS)
#define LEFT(ms) ((ms) - LATER_MS)

/* RFC 3261 figure 5, with Accepted of RFC 6026 §7.2. */
static void test_ctrans_invite_every_cell(void **state)
{
	static const struct cell cells[] = {
		/* Calling: timer A at 500, 1500, 3500, 7500, 15500, 31500; timer B. */
		{ "INVITE", SIP_UDP, { 0 }, 0, "", 0, 6, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 0 }, 100, "", 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 180, "", 1, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 200, "", 1, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 302, "ACK", 1, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 486, "ACK", 1, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 699, "ACK", 1, 0, T64, 0 },
		/* Proceeding: waits for ever. */
		{ "INVITE", SIP_UDP, { 100 }, 0, "", 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 100 }, 100, "", 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 100 }, 183, "", 1, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 180, "", 1, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 200, "", 1, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 299, "", 1, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 300, "ACK", 1, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 603, "ACK", 1, 0, T64, 0 },
		/* Completed: each final response is ACKed again, timer D runs on. */
		{ "INVITE", SIP_UDP, { 486 }, 0, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 486 }, 100, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 486 }, 180, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 486 }, 302, "ACK", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 486 }, 486, "ACK", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 180, 486 }, 503, "ACK", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 486 }, 200, "", 0, 0, LEFT(T64), 0 },
		/* Accepted: each 2xx goes up (RFC 6026 §8.4), nothing else; timer M runs on. */
		{ "INVITE", SIP_UDP, { 200 }, 0, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 100, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 180, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 302, "", 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 200, "", 1, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 180, 200 }, 202, "", 1, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 486, "", 0, 0, LEFT(T64), 0 },
		/* Over a stream: no timer A, timer D is 0, M is not. */
		{ "INVITE", SIP_TCP, { 0 }, 0, "", 0, 0, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_TCP, { 0 }, 180, "", 1, 0, ALIVE, 0 },
		{ "INVITE", SIP_TCP, { 0 }, 200, "", 1, 0, T64, 0 },
		{ "INVITE", SIP_TCP, { 0 }, 486, "ACK", 1, 0, 0, 0 },
		{ "INVITE", SIP_TCP, { 180 }, 0, "", 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_TCP, { 180 }, 486, "ACK", 1, 0, 0, 0 },
		{ "INVITE", SIP_TCP, { 486 }, 0, "", 0, 0, 0, 0 },
		{ "INVITE", SIP_TCP, { 200 }, 200, "", 1, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_TCP, { 200 }, 486, "", 0, 0, LEFT(T64), 0 },
	};
	struct cover cover = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		walk(&cells[i], i, &cover);
	check_all_met(&cover, AT_COUNT);
}

/* RFC 3261 figure 6. A 100 is nobody's business above (RFC 4320 §4.1). */
static void test_ctrans_non_invite_every_cell(void **state)
{
	static const struct cell cells[] = {
		/* Trying: timer E at 500, 1500, 3500, 7500, 11500 ... 31500; timer F. */
		{ "OPTIONS", SIP_UDP, { 0 }, 0, "", 0, 10, LEFT(T64), -ETIMEDOUT },
		/* Proceeding: the next at 500, then every T2: 4500 ... 28500. */
		{ "OPTIONS", SIP_UDP, { 0 }, 100, "", 0, 8, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_UDP, { 0 }, 183, "", 1, 8, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_UDP, { 0 }, 200, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 302, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 404, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 503, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 604, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 100 }, 0, "", 0, 8, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_UDP, { 100 }, 100, "", 0, 8, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_UDP, { 183 }, 183, "", 1, 8, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_UDP, { 100 }, 302, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 100 }, 200, "", 1, 0, SIP_T4_MS, 0 },
		{ "OPTIONS", SIP_UDP, { 183 }, 500, "", 1, 0, SIP_T4_MS, 0 },
		/* Completed: everything is a retransmission; timer K runs on. */
		{ "OPTIONS", SIP_UDP, { 200 }, 0, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 100, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 183, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 302, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 200, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 404, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_UDP, { 404 }, 200, "", 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "OPTIONS", SIP_TCP, { 0 }, 0, "", 0, 0, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_TCP, { 0 }, 100, "", 0, 0, LEFT(T64), -ETIMEDOUT },
		{ "OPTIONS", SIP_TCP, { 0 }, 200, "", 1, 0, 0, 0 },
		{ "OPTIONS", SIP_TCP, { 183 }, 404, "", 1, 0, 0, 0 },
		{ "OPTIONS", SIP_TCP, { 200 }, 0, "", 0, 0, 0, 0 },
	};
	struct cover cover = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		walk(&cells[i], i, &cover);
	check_all_met(&cover, AT_ACCEPTED);
}

static void test_ctrans_timers_a_and_e_keep_the_standards_times(void **state)
{
	static const struct { const char *method; int first; uint64_t at_ms[12]; } rows[] = {
		{ "INVITE", 0, { 0, 500, 1500, 3500, 7500, 15500, 31500 } },
		{ "OPTIONS", 0, { 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500 } },
		{ "OPTIONS", 100, { 0, 500, 4500, 8500, 12500, 16500, 20500, 24500, 28500 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct user u;

		assert_int_equal(start(fx, &u, rows[i].method), 0);
		if (rows[i].first)
			respond(fx, 0, rows[i].first, NULL);
		fx_advance(fx, FX_FOR_EVER_MS);
		for (unsigned k = 0; k < fx->nsent; k++) {
			assert_int_equal(fx->sent[k].at_ms, rows[i].at_ms[k]);
			assert_int_equal(fx->sent[k].n, fx->sent[0].n);
			assert_memory_equal(fx->sent[k].bytes, fx->sent[0].bytes, fx->sent[0].n); /* the very same request */
		}
		assert_int_equal(rows[i].at_ms[fx->nsent], 0);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_timeouts, 1);
		fx_free(fx);
	}
}

/* ---- what is sent ---- */

static void test_ctrans_request_has_a_via_of_ours_and_its_content(void **state)
{
	static const enum sip_proto protos[] = { SIP_UDP, SIP_TCP };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		struct fx *fx = fx_new(protos[i]);
		struct user u, v;
		const struct sip_msg *m;
		char branch[128];

		assert_int_equal(start(fx, &u, "INVITE"), 0);
		assert_int_equal(fx->nsent, 1);
		assert_true(sockaddr_eq(&fx->sent[0].dest.addr, &fx->src.peer));
		assert_int_equal(fx->sent[0].dest.proto, protos[i]);
		m = fx_sent(fx, 0);
		assert_int_equal(m->method, SIP_INVITE);
		assert_true(str_eqz(m->ruri.text, "sip:b@192.0.2.10:5062"));
		assert_true(str_eqz(m->via.transport, sip_proto_name(protos[i])));
		assert_true(str_starts(m->via.branch, STR("z9hG4bK")));
		assert_true(m->via.has_rport); /* RFC 3581 §3 */
		assert_true(str_eqz(m->body, "v=0\r\n"));
		assert_int_equal(m->content_length, 5);
		assert_true(str_eqz(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), "application/sdp"));
		assert_true(str_eqz(m->from.tag, "ours"));
		assert_int_equal(m->max_forwards, 70);
		assert_true(str_eqz(sip_msg_value(m, SIP_HDR_CONTACT), "<sip:us@192.0.2.200>"));
		str_copy(m->via.branch, branch, sizeof(branch));
		assert_int_equal(start(fx, &v, "INVITE"), 0);
		assert_false(str_eqz(fx_sent(fx, 1)->via.branch, branch)); /* unique in time and space, §8.1.1.7 */
		fx_free(fx);
	}
}

static void test_ctrans_request_that_is_too_large_is_refused(void **state)
{
	static char body[SIP_MSG_MAX];
	struct fx *fx = fx_new(SIP_TCP);
	struct sip_dest dest = { .proto = SIP_TCP, .addr = fx->src.peer };
	struct sip_req r = { .method = STR("MESSAGE"), .uri = STR("sip:b@x"), .hdrs = STR(HDRS("MESSAGE")), .ctype = "text/plain",
			     .body = { body, sizeof(body) } };
	struct user u = { .fx = fx };

	(void)state;
	memset(body, 'x', sizeof(body));
	assert_int_equal(ctrans_start(&u.ct, fx->stack, &r, &dest, &handler, &u), -EINVAL);
	assert_int_equal(fx->nsent, 0);
	r.body.n = 60000;
	assert_int_equal(ctrans_start(&u.ct, fx->stack, &r, &dest, &handler, &u), 0);
	assert_int_equal(fx_sent(fx, 0)->body.n, 60000);
	fx_free(fx);
}

/* RFC 3261 §17.1.1.3: the ACK has the INVITE's Request-URI, top Via, From, Call-ID, CSeq number and Route, the response's To. */
static void test_ctrans_ack_of_a_failure_is_made_of_both(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_hdr_iter it = { 0 };
	const struct sip_msg *m;
	char via[256];
	struct user u;
	struct str value;

	(void)state;
	assert_int_equal(start(fx, &u, "INVITE"), 0);
	str_copy(fx_sent(fx, 0)->via.value, via, sizeof(via));
	respond(fx, 0, 486, "theirs");
	assert_int_equal(fx->nsent, 2);
	m = fx_sent(fx, 1);
	assert_int_equal(m->method, SIP_ACK);
	assert_true(str_eqz(m->ruri.text, "sip:b@192.0.2.10:5062"));
	assert_true(str_eqz(m->via.value, via));
	assert_true(str_eqz(m->from.value, "<sip:a@192.0.2.200>;tag=ours"));
	assert_true(str_eqz(m->to.value, "<sip:b@192.0.2.10>;tag=theirs"));
	assert_true(str_eqz(m->call_id, "call1"));
	assert_int_equal(m->cseq.seq, 7);
	assert_int_equal(m->cseq.method, SIP_ACK);
	assert_int_equal(m->max_forwards, 70);
	assert_true(sip_msg_element_next(m, SIP_HDR_ROUTE, &it, &value));
	assert_true(str_eqz(value, "<sip:192.0.2.10;lr>"));
	assert_true(sip_msg_element_next(m, SIP_HDR_ROUTE, &it, &value));
	assert_true(str_eqz(value, "<sip:second;lr>"));
	assert_false(sip_msg_element_next(m, SIP_HDR_ROUTE, &it, &value));
	assert_int_equal(m->body.n, 0);
	assert_true(sockaddr_eq(&fx->sent[1].dest.addr, &fx->sent[0].dest.addr));
	respond(fx, 0, 486, "theirs");
	assert_string_equal(fx->sent[2].bytes, fx->sent[1].bytes);
	fx_free(fx);
}

/* ---- errors ---- */

static void test_ctrans_transport_error_at_start_calls_nobody(void **state)
{
	static const char *const methods[] = { "INVITE", "OPTIONS" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct fx *fx = fx_new(SIP_TCP);
		struct user u;

		fx->send_error = -EHOSTUNREACH;
		assert_int_equal(start(fx, &u, methods[i]), -EHOSTUNREACH);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		assert_int_equal(timers_count(fx->timers), 0);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(u.nended + u.nresponses, 0);
		fx_free(fx);
	}
}

/* A retransmission that can't be sent: the figures' "Transport Err." Once a final response is known it isn't told as an error. */
static void test_ctrans_transport_error_later_ends_it(void **state)
{
	static const struct { const char *method; int before, event; int err; } rows[] = {
		{ "INVITE", 0, 0, -EIO },
		{ "OPTIONS", 0, 0, -EIO },
		{ "OPTIONS", 100, 0, -EIO },
		{ "INVITE", 0, 486, 0 },
		{ "INVITE", 486, 486, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct user u;

		assert_int_equal(start(fx, &u, rows[i].method), 0);
		if (rows[i].before)
			respond(fx, 0, rows[i].before, "t");
		fx->send_error = -ENOTCONN;
		if (rows[i].event)
			respond(fx, 0, rows[i].event, "t");
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(u.nended, 1);
		assert_int_equal(u.end_err, rows[i].err);
		if (rows[i].err)
			assert_in_range(u.ended_ms, 0, SIP_T2_MS);
		assert_int_equal(u.nresponses, rows[i].before == 486 || rows[i].event == 486);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		fx_free(fx);
	}
}

/* ---- a connection that ends ---- */

/* fx gives no ids to connections: this one is what dest says, as a registered phone's. */
static int start_on_flow(struct fx *fx, struct user *u, const char *method, uint64_t flow)
{
	struct sip_dest dest = { .proto = SIP_TCP, .addr = fx->src.peer, .flow = flow };
	struct sip_req r = { .method = str_from(method), .uri = STR("sip:b@192.0.2.10:5062") };
	int err;

	*u = (struct user){ .fx = fx };
	r.hdrs = strcmp(method, "INVITE") == 0 ? STR(HDRS("INVITE")) : STR(HDRS("OPTIONS"));
	err = ctrans_start(&u->ct, fx->stack, &r, &dest, &handler, u);
	return err;
}

/* Who waits for an answer is told at once. What rings is cancelled by a new connection where its address is known; that which leads
 * nowhere else stays to hear what comes by one that the phone opens (RFC 3261 §18.2.2). */
static void test_ctrans_connection_that_ends(void **state)
{
	static const struct { const char *method; int before; const char *sent; unsigned nended; int err; unsigned live; } rows[] = {
		{ "INVITE", 0, "", 1, -EIO, 0 },
		{ "INVITE", 100, "CANCEL", 1, -EIO, 1 }, /* the CANCEL too is on flow 0 here, and ended with it */
		{ "INVITE", 180, "CANCEL", 1, -EIO, 1 },
		{ "INVITE", 200, "", 0, 0, 1 },
		{ "OPTIONS", 0, "", 1, -EIO, 0 },
		{ "OPTIONS", 100, "", 1, -EIO, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_TCP);
		struct user u;

		assert_int_equal(start_on_flow(fx, &u, rows[i].method, 0), 0);
		if (rows[i].before)
			respond(fx, 0, rows[i].before, "t");
		ctrans_flow_closed(fx->stack, ctrans_flow(u.ct));
		assert_string_equal(fx_sent_text(fx, 1), rows[i].sent);
		if (rows[i].sent[0]) {
			assert_int_equal(fx->sent[1].dest.flow, 0);
			assert_true(sockaddr_eq(&fx->sent[1].dest.addr, &fx->sent[0].dest.addr));
		}
		assert_int_equal(u.nended, rows[i].nended);
		assert_int_equal(u.end_err, rows[i].err);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, rows[i].live);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(u.nended, 1);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		fx_free(fx);
	}
}

static void test_ctrans_answer_after_its_connection_ended(void **state)
{
	static const struct { uint64_t flow; int status; const char *sent; unsigned nstray; } rows[] = {
		{ 0, 487, "CANCEL ACK", 0 }, { 0, 200, "CANCEL", 1 }, { 0, 180, "CANCEL", 0 },
		{ 1001, 487, "", 0 }, /* the ACK has no way to go: the phone's own timer ends it */
		{ 1001, 200, "", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_TCP);
		struct user u;

		assert_int_equal(start_on_flow(fx, &u, "INVITE", rows[i].flow), 0);
		respond(fx, 0, 180, "t");
		fx->lost_flow = rows[i].flow ? rows[i].flow : 1;
		ctrans_flow_closed(fx->stack, ctrans_flow(u.ct));
		assert_int_equal(u.nended, 1);
		respond(fx, 0, rows[i].status, "t");
		assert_string_equal(fx_sent_text(fx, 1), rows[i].sent);
		assert_int_equal(fx->nstray, rows[i].nstray);
		assert_int_equal(u.nresponses, 1);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		assert_int_equal(timers_count(fx->timers), 0);
		fx_free(fx);
	}
}

/* ---- CANCEL ---- */

static void cancel(struct fx *fx, struct user *u, int err)
{
	fx->busy++;
	assert_int_equal(ctrans_cancel(u->ct, STR("Reason: SIP;cause=200;text=\"Call completed elsewhere\"\r\n")), err);
	fx->busy--;
}

/* RFC 3261 §9.1: same Request-URI, top Via, From, To, Call-ID, CSeq number and Route as the INVITE. */
static void test_ctrans_cancel_is_made_of_the_invite(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_hdr_iter it = { 0 };
	struct str value;
	const struct sip_msg *m;
	unsigned nroutes = 0;
	char via[256];
	struct user u;

	(void)state;
	assert_int_equal(start(fx, &u, "INVITE"), 0);
	str_copy(fx_sent(fx, 0)->via.value, via, sizeof(via));
	respond(fx, 0, 180, "theirs");
	cancel(fx, &u, 0);
	assert_string_equal(fx_sent_text(fx, 1), "CANCEL");
	m = fx_sent(fx, 1);
	assert_true(str_eqz(m->ruri.text, "sip:b@192.0.2.10:5062"));
	assert_true(str_eqz(m->via.value, via));
	assert_true(str_eqz(m->from.value, "<sip:a@192.0.2.200>;tag=ours"));
	assert_true(str_eqz(m->to.value, "<sip:b@192.0.2.10>")); /* no tag: the INVITE had none */
	assert_true(str_eqz(m->call_id, "call1"));
	assert_int_equal(m->cseq.seq, 7);
	assert_int_equal(m->cseq.method, SIP_CANCEL);
	assert_true(str_istarts(sip_msg_value(m, SIP_HDR_REASON), STR("SIP;cause=200")));
	assert_int_equal(m->body.n, 0);
	while (sip_msg_element_next(m, SIP_HDR_ROUTE, &it, &value))
		nroutes++;
	assert_int_equal(nroutes, 2);

	respond(fx, 1, 200, "theirs");
	assert_int_equal(u.nresponses, 1); /* the CANCEL's own answer isn't told */
	respond(fx, 0, 487, "theirs");
	assert_int_equal(u.last_status, 487);
	assert_string_equal(fx_sent_text(fx, 1), "CANCEL ACK");
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(u.nended, 1);
	assert_int_equal(u.end_err, 0);
	assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
	fx_free(fx);
}

/* §9.1: not before a provisional response; then at once. */
static void test_ctrans_cancel_waits_for_a_provisional_response(void **state)
{
	static const struct { int before, then; const char *sent; } rows[] = {
		{ 0, 100, "CANCEL" },
		{ 0, 180, "CANCEL" },
		{ 0, 200, "" },
		{ 0, 486, "ACK" },
		{ 100, 0, "CANCEL" },
		{ 183, 180, "CANCEL" },
		{ 180, 200, "CANCEL" }, /* crossed: the session says BYE */
		{ 180, 487, "CANCEL ACK" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_TCP);
		struct user u;

		assert_int_equal(start(fx, &u, "INVITE"), 0);
		if (rows[i].before)
			respond(fx, 0, rows[i].before, "t");
		cancel(fx, &u, 0);
		assert_string_equal(fx_sent_text(fx, 1), rows[i].before ? "CANCEL" : "");
		if (rows[i].then)
			respond(fx, 0, rows[i].then, "t");
		assert_string_equal(fx_sent_text(fx, 1), rows[i].sent);
		assert_int_equal(u.nresponses, (rows[i].before > 100) + (rows[i].then > 100));
		fx_free(fx);
	}
}

static void test_ctrans_cancel_after_a_final_response_sends_nothing(void **state)
{
	static const int finals[] = { 200, 486 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(finals); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct user u;
		unsigned nsent;

		assert_int_equal(start(fx, &u, "INVITE"), 0);
		respond(fx, 0, finals[i], "t");
		nsent = fx->nsent;
		ctrans_cancel(u.ct, STR_NULL);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(fx->nsent, nsent);
		assert_int_equal(u.nended, 1);
		assert_int_equal(u.end_err, 0);
		fx_free(fx);
	}
}

static void test_ctrans_cancel_twice_sends_one(void **state)
{
	struct fx *fx = fx_new(SIP_TCP);
	struct user u;

	(void)state;
	assert_int_equal(start(fx, &u, "INVITE"), 0);
	ctrans_cancel(u.ct, STR_NULL);
	ctrans_cancel(u.ct, STR_NULL);
	respond(fx, 0, 100, NULL);
	ctrans_cancel(u.ct, STR_NULL);
	respond(fx, 0, 180, "t");
	assert_string_equal(fx_sent_text(fx, 1), "CANCEL");
	fx_free(fx);
}

/* §9.1: "If there is no final response ... in 64*T1 seconds", the INVITE is over. The CANCEL is sent again like any request. */
static void test_ctrans_cancel_unanswered_ends_the_invite(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;

	(void)state;
	assert_int_equal(start(fx, &u, "INVITE"), 0);
	respond(fx, 0, 180, "t");
	fx_advance(fx, 60000);
	assert_int_equal(u.nended, 0);
	cancel(fx, &u, 0);
	fx_advance(fx, T64 - 1);
	assert_int_equal(u.nended, 0);
	assert_int_equal(fx->nsent, 1 + 11); /* timer E of the CANCEL */
	fx_advance(fx, 1);
	fx_advance(fx, SIP_T4_MS);
	assert_int_equal(u.nended, 1);
	assert_int_equal(u.end_err, -ETIMEDOUT);
	assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
	fx_free(fx);
}

/* ---- detaching, forks, late answers ---- */

static void test_ctrans_detached_goes_on_alone(void **state)
{
	static const struct { const char *method; int before[2], after; const char *sent; } rows[] = {
		{ "INVITE", { 0 }, 486, "ACK" },
		{ "INVITE", { 180 }, 486, "ACK" },
		{ "INVITE", { 486 }, 486, "ACK ACK" },
		{ "INVITE", { 180 }, 180, "" }, /* and never more */
		{ "INVITE", { 0 }, 180, "" },
		{ "OPTIONS", { 0 }, 200, "" },
		{ "OPTIONS", { 100 }, 404, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		unsigned told;
		struct user u;

		assert_int_equal(start(fx, &u, rows[i].method), 0);
		if (rows[i].before[0])
			respond(fx, 0, rows[i].before[0], "t");
		told = u.nresponses;
		ctrans_detach(u.ct);
		respond(fx, 0, rows[i].after, "t");
		assert_string_equal(fx_sent_text(fx, 1), rows[i].sent);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		assert_int_equal(u.nresponses, told);
		assert_int_equal(u.nended, 0);
		fx_free(fx);
	}
}

/* RFC 6026 §7.2: 2xx of several forks all reach the session while Accepted lasts, and as strays after it. */
static void test_ctrans_forked_2xx_all_reach_the_session(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;

	(void)state;
	assert_int_equal(start(fx, &u, "INVITE"), 0);
	respond(fx, 0, 180, "one");
	respond(fx, 0, 180, "two");
	respond(fx, 0, 200, "one");
	respond(fx, 0, 200, "two");
	fx_advance(fx, 500);
	respond(fx, 0, 200, "one");
	assert_int_equal(u.nresponses, 5);
	assert_int_equal(fx->nstray, 0);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(u.nended, 1);
	respond(fx, 0, 200, "one");
	assert_int_equal(u.nresponses, 5);
	assert_int_equal(fx->nstray, 1);
	assert_int_equal(fx->nsent, 1); /* the ACK of a 2xx is the session's */
	fx_free(fx);
}

/* A handler may start the next transaction, cancel or detach its own. */
static void on_response_detaches(struct ctrans *ct, const struct sip_msg *m, void *arg)
{
	struct user *u = arg;

	(void)m;
	u->nresponses++;
	ctrans_detach(ct);
}

static void test_ctrans_survives_its_own_handlers(void **state)
{
	static const struct ctrans_handler detaching = { .on_response = on_response_detaches, .on_terminated = on_terminated };
	static const int statuses[] = { 180, 200, 486 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct sip_dest dest = { .proto = SIP_UDP, .addr = fx->src.peer };
		struct sip_req r = { .method = STR("INVITE"), .uri = STR("sip:b@x"), .hdrs = STR(HDRS("INVITE")) };
		struct user u = { .fx = fx };

		assert_int_equal(ctrans_start(&u.ct, fx->stack, &r, &dest, &detaching, &u), 0);
		respond(fx, 0, statuses[i], "t");
		respond(fx, 0, statuses[i], "t");
		assert_int_equal(u.nresponses, 1);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(u.nended, 0);
		fx_free(fx);
	}
}

/* ---- another target to try ---- */

static int start_impatient(struct fx *fx, struct user *u, const char *method, uint32_t patience_ms)
{
	struct sip_dest dest = { .proto = fx->src.proto, .addr = fx->src.peer };
	struct sip_req r = { .method = str_from(method), .uri = STR("sip:b@192.0.2.10:5062"), .patience_ms = patience_ms };

	*u = (struct user){ .fx = fx };
	r.hdrs = strcmp(method, "INVITE") == 0 ? STR(HDRS("INVITE")) : STR(HDRS("OPTIONS"));
	return ctrans_start(&u->ct, fx->stack, &r, &dest, &handler, u);
}

static void test_ctrans_patience_ends_what_has_no_answer(void **state)
{
	static const struct { const char *method; enum sip_proto proto; const char *sent; unsigned live; } rows[] = {
		{ "INVITE", SIP_UDP, "INVITE INVITE INVITE", 1 }, /* stays to be cancelled, but asks no more */
		{ "INVITE", SIP_TCP, "INVITE", 1 },
		{ "OPTIONS", SIP_UDP, "OPTIONS OPTIONS OPTIONS", 0 },
		{ "OPTIONS", SIP_TCP, "OPTIONS", 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(rows[i].proto);
		struct user u;

		assert_int_equal(start_impatient(fx, &u, rows[i].method, 3000), 0);
		fx_advance(fx, 2999);
		assert_int_equal(u.nended, 0);
		fx_advance(fx, 1);
		assert_int_equal(u.nended, 1);
		assert_int_equal(u.end_err, -ETIMEDOUT);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, rows[i].live);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_string_equal(fx_sent_text(fx, 0), rows[i].sent);
		assert_int_equal(u.nended, 1);
		assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
		fx_free(fx);
	}
}

static void test_ctrans_patience_ends_with_the_first_response(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;

	(void)state;
	assert_int_equal(start_impatient(fx, &u, "INVITE", 3000), 0);
	respond(fx, 0, 100, NULL);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(u.nended, 0);
	respond(fx, 0, 200, "t");
	assert_int_equal(u.nresponses, 1);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(u.end_err, 0);
	fx_free(fx);
}

/* Whoever answers when nobody waits any more: ringing is cancelled, a 2xx goes up to be acknowledged. */
static void test_ctrans_patience_lost_an_invite_is_cleaned_up(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;
	unsigned nsent;

	(void)state;
	assert_int_equal(start_impatient(fx, &u, "INVITE", 1000), 0);
	fx_advance(fx, 1000);
	nsent = fx->nsent;
	respond(fx, 0, 180, "t");
	assert_string_equal(fx_sent_text(fx, nsent), "CANCEL");
	respond(fx, 0, 200, "t");
	assert_int_equal(fx->nstray, 1);
	respond(fx, 0, 200, "t");
	assert_int_equal(fx->nstray, 2);
	assert_int_equal(u.nresponses, 0);
	fx_free(fx);
}

/* ---- large requests (RFC 3261 §18.1.1) ---- */

static int start_large(struct fx *fx, struct user *u, bool has_tcp, size_t body_len)
{
	static char body[4000];
	struct sip_dest dest = { .proto = SIP_UDP, .addr = fx->src.peer, .has_tcp = has_tcp, .flow = 1 };
	struct sip_req r = { .method = STR("INVITE"), .uri = STR("sip:b@192.0.2.10:5062"), .hdrs = STR(HDRS("INVITE")),
			     .ctype = "text/plain", .body = { body, body_len } };

	memset(body, 'x', sizeof(body));
	*u = (struct user){ .fx = fx };
	return ctrans_start(&u->ct, fx->stack, &r, &dest, &handler, u);
}

static void test_ctrans_large_request_goes_by_tcp(void **state)
{
	static const struct { bool has_tcp; size_t body_len; enum sip_proto proto; const char *via; } rows[] = {
		{ true, 10, SIP_UDP, "Via: SIP/2.0/UDP " },
		{ true, 1300, SIP_TCP, "Via: SIP/2.0/TCP " },
		{ false, 1300, SIP_UDP, "Via: SIP/2.0/UDP " }, /* behind NAT */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct user u;

		assert_int_equal(start_large(fx, &u, rows[i].has_tcp, rows[i].body_len), 0);
		assert_int_equal(fx->sent[0].dest.proto, rows[i].proto);
		assert_int_equal(fx->sent[0].dest.flow, rows[i].proto == SIP_TCP ? 0 : 1);
		assert_non_null(strstr(fx->sent[0].bytes, rows[i].via));
		respond(fx, 0, 486, "t");
		assert_string_equal(fx_sent_text(fx, 1), "ACK");
		assert_int_equal(fx->sent[1].dest.proto, rows[i].proto); /* where the INVITE went, under its Via */
		assert_non_null(strstr(fx->sent[1].bytes, rows[i].via));
		fx_free(fx);
	}
}

static void test_ctrans_large_request_without_tcp_goes_by_udp_after_all(void **state)
{
	struct fx *fx;
	struct user u;

	(void)state;
	for (int refused = 0; refused < 2; refused++) {
		fx = fx_new(SIP_UDP);
		assert_int_equal(start_large(fx, &u, true, 1300), 0);
		if (refused)
			ctrans_flow_closed(fx->stack, 0); /* the connection that was to be */
		else
			fx_advance(fx, 3000); /* it is neither taken nor refused */
		assert_int_equal(u.nended, 0);
		assert_string_equal(fx_sent_text(fx, 0), "INVITE INVITE");
		assert_int_equal(fx->sent[1].dest.proto, SIP_UDP);
		assert_int_equal(fx->sent[1].dest.flow, 1);
		assert_non_null(strstr(fx->sent[1].bytes, "Via: SIP/2.0/UDP "));
		assert_int_equal(fx->sent[0].n, fx->sent[1].n);
		fx_advance(fx, 500); /* timer A, from now on */
		assert_string_equal(fx_sent_text(fx, 0), "INVITE INVITE INVITE");
		respond(fx, 1, 200, "t");
		assert_int_equal(u.nresponses, 1);
		fx_free(fx);
	}
}

static void test_ctrans_stack_close_drops_all_silently(void **state)
{
	static const int befores[] = { 0, 100, 180, 200, 486 };
	struct user users[2 * ARRAY_LEN(befores)];
	struct fx *fx = fx_new(SIP_UDP);
	unsigned told[ARRAY_LEN(users)];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		unsigned at = fx->nsent;

		assert_int_equal(start(fx, &users[i], i % 2 ? "OPTIONS" : "INVITE"), 0);
		if (befores[i / 2])
			respond(fx, (int)at, befores[i / 2], "t");
		told[i] = users[i].nresponses;
	}
	assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, ARRAY_LEN(users));
	fx_free(fx);
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		assert_int_equal(users[i].nresponses, told[i]);
		assert_int_equal(users[i].nended, 0);
	}
}

static void test_ctrans_stateless_request_is_sent_once(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_dest dest = { .proto = SIP_UDP, .addr = fx->src.peer };
	struct sip_req r = { .method = STR("ACK"), .uri = STR("sip:b@192.0.2.10"), .hdrs = STR(HDRS("ACK")) };
	const struct sip_msg *m;

	(void)state;
	assert_int_equal(sip_stack_send_stateless(fx->stack, &r, &dest), 0);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(fx->nsent, 1);
	m = fx_sent(fx, 0);
	assert_int_equal(m->method, SIP_ACK);
	assert_true(str_starts(m->via.branch, STR("z9hG4bK")));
	assert_int_equal(m->content_length, 0);
	assert_int_equal(sip_stack_counters(fx->stack)->ctrans_live, 0);
	fx->send_error = -ENOTCONN;
	assert_int_equal(sip_stack_send_stateless(fx->stack, &r, &dest), -ENOTCONN);
	fx_free(fx);
}

/* Also the ACK of a 2xx, which carries the answer to a late offer. */
static void test_ctrans_large_stateless_request_goes_by_tcp(void **state)
{
	static const struct { bool has_tcp; size_t body_len; enum sip_proto proto; const char *via; } rows[] = {
		{ true, 10, SIP_UDP, "Via: SIP/2.0/UDP " },
		{ true, 1300, SIP_TCP, "Via: SIP/2.0/TCP " },
		{ false, 1300, SIP_UDP, "Via: SIP/2.0/UDP " },
	};
	static char body[4000];

	(void)state;
	memset(body, 'x', sizeof(body));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct sip_dest dest = { .proto = SIP_UDP, .addr = fx->src.peer, .has_tcp = rows[i].has_tcp, .flow = 1 };
		struct sip_req r = { .method = STR("ACK"), .uri = STR("sip:b@192.0.2.10"), .hdrs = STR(HDRS("ACK")), .ctype = "text/plain",
				     .body = { body, rows[i].body_len } };

		assert_int_equal(sip_stack_send_stateless(fx->stack, &r, &dest), 0);
		assert_int_equal(fx->nsent, 1);
		assert_int_equal(fx->sent[0].dest.proto, rows[i].proto);
		assert_int_equal(fx->sent[0].dest.flow, rows[i].proto == SIP_TCP ? 0 : 1);
		assert_non_null(strstr(fx->sent[0].bytes, rows[i].via));
		fx_free(fx);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ctrans_invite_every_cell),
		cmocka_unit_test(test_ctrans_non_invite_every_cell),
		cmocka_unit_test(test_ctrans_timers_a_and_e_keep_the_standards_times),
		cmocka_unit_test(test_ctrans_request_has_a_via_of_ours_and_its_content),
		cmocka_unit_test(test_ctrans_request_that_is_too_large_is_refused),
		cmocka_unit_test(test_ctrans_ack_of_a_failure_is_made_of_both),
		cmocka_unit_test(test_ctrans_transport_error_at_start_calls_nobody),
		cmocka_unit_test(test_ctrans_transport_error_later_ends_it),
		cmocka_unit_test(test_ctrans_connection_that_ends),
		cmocka_unit_test(test_ctrans_answer_after_its_connection_ended),
		cmocka_unit_test(test_ctrans_cancel_is_made_of_the_invite),
		cmocka_unit_test(test_ctrans_cancel_waits_for_a_provisional_response),
		cmocka_unit_test(test_ctrans_cancel_after_a_final_response_sends_nothing),
		cmocka_unit_test(test_ctrans_cancel_twice_sends_one),
		cmocka_unit_test(test_ctrans_cancel_unanswered_ends_the_invite),
		cmocka_unit_test(test_ctrans_detached_goes_on_alone),
		cmocka_unit_test(test_ctrans_forked_2xx_all_reach_the_session),
		cmocka_unit_test(test_ctrans_survives_its_own_handlers),
		cmocka_unit_test(test_ctrans_patience_ends_what_has_no_answer),
		cmocka_unit_test(test_ctrans_patience_ends_with_the_first_response),
		cmocka_unit_test(test_ctrans_patience_lost_an_invite_is_cleaned_up),
		cmocka_unit_test(test_ctrans_large_request_goes_by_tcp),
		cmocka_unit_test(test_ctrans_large_request_without_tcp_goes_by_udp_after_all),
		cmocka_unit_test(test_ctrans_stack_close_drops_all_silently),
		cmocka_unit_test(test_ctrans_stateless_request_is_sent_once),
		cmocka_unit_test(test_ctrans_large_stateless_request_goes_by_tcp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

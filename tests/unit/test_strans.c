/* test_strans.c - the server transactions of RFC 3261 §17.2 with RFC 6026: every state meets every event.
 *
 * As in test_ctrans.c a state is known by what follows: each cell says what an event causes at once and what then comes by itself.
 * That no cell is missing is checked too: cover() names the state and the event that a row is about, check_all_met() counts them.
 */
#include "sip_fixture.h"

#include "sip/stack_int.h"

#include <time.h>

#include <uthash.h>

#define ALIVE UINT64_MAX
#define LATER_MS 100
#define T64 (64 * SIP_T1_MS)
#define LEFT(ms) ((ms) - LATER_MS)

enum event {                         /* besides the statuses that the user sends: 100..699 */
	NOTHING, AGAIN, ACK, ACK_OF_2XX, CANCEL, REPEAT,
	WAIT                         /* until a non-INVITE gets its 100 (RFC 4320 §4.1) */
};

#define TRYING_MS 3500               /* timer E has been reset to T2: after 500, 1000 and 2000 ms */

struct user {
	struct fx *fx;
	struct strans *st;
	unsigned ncancels, nended;
	int end_err;
	uint64_t ended_ms;
};

static void on_cancel(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct user *u = arg;

	assert_int_equal(u->fx->busy, 0);
	assert_ptr_equal(st, u->st);
	assert_int_equal(m->method, SIP_CANCEL);
	assert_int_equal(u->nended, 0);
	u->ncancels++;
}

static void on_terminated(struct strans *st, int err, void *arg)
{
	struct user *u = arg;

	assert_int_equal(u->fx->busy, 0);
	assert_ptr_equal(st, u->st);
	u->nended++;
	u->end_err = err;
	u->ended_ms = fx_now(u->fx);
}

static const struct strans_handler handler = { .on_cancel = on_cancel, .on_terminated = on_terminated };

static void receive(struct fx *fx, const char *method, const char *branch, const char *to_tag)
{
	fx_receive(fx,
		   "%s sip:us@192.0.2.200 SIP/2.0\r\nVia: SIP/2.0/%s 192.0.2.10:5062;branch=%s;rport\r\n"
		   "Via: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKsecond\r\nMax-Forwards: 69\r\n"
		   "From: <sip:a@192.0.2.10>;tag=theirs\r\nTo: <sip:us@192.0.2.200>%s%s\r\nCall-ID: call1\r\nCSeq: 3 %s\r\n"
		   "Record-Route: <sip:198.51.100.1;lr>\r\nRecord-Route: <sip:198.51.100.2;lr>\r\n"
		   "Contact: <sip:a@192.0.2.10:5062>\r\nContent-Length: 0\r\n\r\n",
		   method, sip_proto_name(fx->src.proto), branch, to_tag ? ";tag=" : "", to_tag ? to_tag : "", method);
}

static int reply(struct fx *fx, struct user *u, int status)
{
	int err;

	fx->busy++;
	err = strans_reply_simple(u->st, status, NULL);
	fx->busy--;
	return err;
}

static void open_transaction(struct fx *fx, struct user *u, const char *method)
{
	*u = (struct user){ .fx = fx };
	receive(fx, method, "z9hG4bKone", NULL);
	assert_int_equal(fx->nrequests, 1);
	u->st = fx->st;
	strans_set_handler(u->st, &handler, u);
}

static int happen(struct fx *fx, struct user *u, const char *method, int event)
{
	switch (event) {
	case NOTHING:
		return 0;
	case AGAIN:
		receive(fx, method, "z9hG4bKone", NULL);
		return 0;
	case ACK:
		receive(fx, "ACK", "z9hG4bKone", "ours");
		return 0;
	case ACK_OF_2XX:
		receive(fx, "ACK", "z9hG4bKtwo", "ours");
		return 0;
	case CANCEL:
		receive(fx, "CANCEL", "z9hG4bKone", NULL);
		return 0;
	case REPEAT:
		return strans_repeat(u->st);
	case WAIT:
		fx_advance(fx, TRYING_MS - fx_now(fx));
		return 0;
	default:
		return reply(fx, u, event);
	}
}

/* ---- no cell is missing ---- */

/* The events of figures 7 and 8 of RFC 3261 and of RFC 6026 §7.1; transport errors have a table of their own. */
enum met { MET_TIMERS, MET_REQUEST, MET_ACK, MET_CANCEL, MET_1XX, MET_2XX, MET_3XX_6XX, MET_COUNT };
enum where { AT_TRYING, AT_PROCEEDING, AT_COMPLETED, AT_CONFIRMED, AT_ACCEPTED, AT_COUNT };

static enum where where_is(const char *method, const int before[3])
{
	bool is_invite = strcmp(method, "INVITE") == 0;
	enum where at = is_invite ? AT_PROCEEDING : AT_TRYING;

	for (size_t i = 0; i < 3 && before[i]; i++) {
		if (before[i] == WAIT)
			at = AT_PROCEEDING;
		else if (before[i] == ACK && at == AT_COMPLETED)
			at = AT_CONFIRMED;
		else if (before[i] >= 200)
			at = is_invite && before[i] < 300 ? AT_ACCEPTED : AT_COMPLETED;
	}
	return at;
}

static enum met what_is(int event)
{
	static const enum met others[] = {
		[NOTHING] = MET_TIMERS, [AGAIN] = MET_REQUEST, [ACK] = MET_ACK, [ACK_OF_2XX] = MET_ACK, [CANCEL] = MET_CANCEL,
		[REPEAT] = MET_2XX, [WAIT] = MET_TIMERS,
	};

	if (event < 100)
		return others[event];
	return event < 200 ? MET_1XX : event < 300 ? MET_2XX : MET_3XX_6XX;
}

struct cover {
	bool met[AT_COUNT][MET_COUNT];
};

static void check_all_met(const struct cover *c, const enum where *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (int e = 0; e < MET_COUNT; e++)
			if (!c->met[at[i]][e])
				fail_msg("state %d never meets event %d", at[i], e);
}

/* ---- the tables ---- */

struct cell {
	const char *method;
	enum sip_proto proto;
	int before[3];               /* events that lead to the state */
	int event;
	int result;                  /* of the user's call */
	const char *sent;            /* at once */
	unsigned ncancels, nacks;    /* handed up at once */
	unsigned resent;             /* by itself, afterwards */
	uint64_t ends_ms;            /* after the event, by itself */
	int err;
};

static void walk(const struct cell *c, size_t row, struct cover *cover)
{
	struct fx *fx = fx_new(c->proto);
	struct user u;
	uint64_t at_ms;
	unsigned nsent, nacks, ncancels;
	int result;

	cover->met[where_is(c->method, c->before)][what_is(c->event)] = true;
	open_transaction(fx, &u, c->method);
	for (size_t i = 0; i < ARRAY_LEN(c->before) && c->before[i]; i++)
		assert_int_equal(happen(fx, &u, c->method, c->before[i]), 0);
	fx_advance(fx, LATER_MS);
	if (u.nended && c->event == NOTHING && c->ends_ms == 0) {
		assert_int_equal(u.end_err, c->err);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		fx_free(fx);
		return;
	}
	assert_int_equal(u.nended, 0);
	nsent = fx->nsent;
	nacks = fx->nacks;
	ncancels = u.ncancels;
	at_ms = fx_now(fx);
	result = happen(fx, &u, c->method, c->event);
	if (result != c->result)
		fail_msg("row %zu: result %d, not %d", row, result, c->result);
	if (strcmp(fx_sent_text(fx, nsent), c->sent) != 0)
		fail_msg("row %zu: sent '%s', not '%s'", row, fx_sent_text(fx, nsent), c->sent);
	if (u.ncancels - ncancels != c->ncancels || fx->nacks - nacks != c->nacks)
		fail_msg("row %zu: told of %u CANCELs and %u ACKs", row, u.ncancels - ncancels, fx->nacks - nacks);
	assert_int_equal(fx->nrequests, 1); /* a retransmission is no request */
	nsent = fx->nsent;
	fx_advance(fx, FX_FOR_EVER_MS);
	if (fx->nsent - nsent != c->resent)
		fail_msg("row %zu: sent again %u times, not %u", row, fx->nsent - nsent, c->resent);
	if (c->ends_ms == ALIVE) {
		assert_int_equal(u.nended, 0);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 1);
	} else {
		if (u.nended != 1 || u.end_err != c->err)
			fail_msg("row %zu: ended %u times with %d, not once with %d", row, u.nended, u.end_err, c->err);
		if (u.ended_ms - at_ms != c->ends_ms && !(c->ends_ms == 0 && u.ended_ms - at_ms == 1))
			fail_msg("row %zu: ended after %llu ms, not %llu", row, (unsigned long long)(u.ended_ms - at_ms),
				 (unsigned long long)c->ends_ms);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		assert_int_equal(timers_count(fx->timers), 0);
	}
	fx_free(fx);
}

/* RFC 3261 figure 7, with Accepted of RFC 6026 §7.1. */
static void test_strans_invite_every_cell(void **state)
{
	static const struct cell cells[] = {
		/* Proceeding: lasts until the user answers. The 100 was sent at once. */
		{ "INVITE", SIP_UDP, { 0 }, NOTHING, 0, "", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, AGAIN, 0, "100", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180 }, AGAIN, 0, "180", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180, 183 }, AGAIN, 0, "183", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, ACK, 0, "", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, CANCEL, 0, "200", 1, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180 }, CANCEL, 0, "200", 1, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 180, 0, "180", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 180, 0, "180", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 200, 0, "200", 0, 0, 0, T64, 0 },
		/* Timer G at 500, 1500, 3500, 7500, 11500 ... 31500; timer H. */
		{ "INVITE", SIP_UDP, { 180 }, 302, 0, "302", 0, 0, 10, T64, -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 0 }, 486, 0, "486", 0, 0, 10, T64, -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { CANCEL }, 487, 0, "487", 0, 0, 10, T64, -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { CANCEL }, 200, 0, "200", 0, 0, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 180 }, REPEAT, 0, "180", 0, 0, 0, ALIVE, 0 }, /* RFC 3262 §3 */
		/* Accepted: retransmitted INVITEs are absorbed, ACKs go up, the session repeats the 2xx; timer L runs on. */
		{ "INVITE", SIP_UDP, { 200 }, NOTHING, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, AGAIN, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, ACK, 0, "", 0, 1, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, ACK_OF_2XX, 0, "", 0, 1, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, CANCEL, 0, "200", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, REPEAT, 0, "200", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 180, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 200, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, 486, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		/* Completed: the final response answers a retransmission, ACK ends the repeating. 100 ms after: G still has 10 to go. */
		{ "INVITE", SIP_UDP, { 486 }, NOTHING, 0, "", 0, 0, 10, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 486 }, AGAIN, 0, "486", 0, 0, 10, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 486 }, ACK, 0, "", 0, 0, 0, SIP_T4_MS, 0 },
		{ "INVITE", SIP_UDP, { 486 }, CANCEL, 0, "200", 0, 0, 10, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 486 }, 180, -EALREADY, "", 0, 0, 10, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 486 }, 200, -EALREADY, "", 0, 0, 10, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 486 }, 603, -EALREADY, "", 0, 0, 10, LEFT(T64), -ETIMEDOUT },
		/* Confirmed: everything is absorbed; timer I runs on. */
		{ "INVITE", SIP_UDP, { 486, ACK }, NOTHING, 0, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, AGAIN, 0, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, ACK, 0, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, CANCEL, 0, "200", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, 180, -EALREADY, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, 200, -EALREADY, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, 486, -EALREADY, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		/* Over a stream: no timer G, timer I is 0, H and L are not. */
		{ "INVITE", SIP_TCP, { 0 }, NOTHING, 0, "", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_TCP, { 0 }, 200, 0, "200", 0, 0, 0, T64, 0 },
		{ "INVITE", SIP_TCP, { 0 }, 486, 0, "486", 0, 0, 0, T64, -ETIMEDOUT },
		{ "INVITE", SIP_TCP, { 486 }, AGAIN, 0, "486", 0, 0, 0, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_TCP, { 486 }, ACK, 0, "", 0, 0, 0, 0, 0 },
		{ "INVITE", SIP_TCP, { 486, ACK }, NOTHING, 0, "", 0, 0, 0, 0, 0 },
		{ "INVITE", SIP_TCP, { 200 }, ACK_OF_2XX, 0, "", 0, 1, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_TCP, { 200 }, AGAIN, 0, "", 0, 0, 0, LEFT(T64), 0 },
	};
	static const enum where states[] = { AT_PROCEEDING, AT_COMPLETED, AT_CONFIRMED, AT_ACCEPTED };
	struct cover cover = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		walk(&cells[i], i, &cover);
	check_all_met(&cover, states, ARRAY_LEN(states));
}

/* RFC 3261 figure 8, and RFC 4320 §4.1: its 100 comes by itself. Nobody ACKs what isn't an INVITE; an ACK is for the session. */
static void test_strans_non_invite_every_cell(void **state)
{
	static const struct cell cells[] = {
		/* Trying: a retransmission is absorbed. */
		{ "OPTIONS", SIP_UDP, { 0 }, NOTHING, 0, "", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, WAIT, 0, "100", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, AGAIN, 0, "", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, ACK, 0, "", 0, 1, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, CANCEL, 0, "481", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 200, 0, "200", 0, 0, 0, T64, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 302, 0, "302", 0, 0, 0, T64, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 401, 0, "401", 0, 0, 0, T64, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 600, 0, "600", 0, 0, 0, T64, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 100, -EINVAL, "", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 183, -EINVAL, "", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, 408, 0, "", 0, 0, 0, T64, 0 }, /* RFC 4320 §4.2 */
		/* Proceeding: it is answered by the 100. */
		{ "OPTIONS", SIP_UDP, { WAIT }, NOTHING, 0, "", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, AGAIN, 0, "100", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, ACK, 0, "", 0, 1, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, CANCEL, 0, "481", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, 183, -EINVAL, "", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, 200, 0, "200", 0, 0, 0, T64, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, 404, 0, "404", 0, 0, 0, T64, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, 408, 0, "", 0, 0, 0, T64, 0 },
		/* Completed: by the final one; timer J runs on. CANCEL of another method than INVITE has no effect (§9.2). */
		{ "OPTIONS", SIP_UDP, { 200 }, NOTHING, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, AGAIN, 0, "200", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 404 }, AGAIN, 0, "404", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { WAIT, 200 }, AGAIN, 0, "200", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 408 }, AGAIN, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { WAIT, 408 }, AGAIN, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, ACK, 0, "", 0, 1, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, CANCEL, 0, "481", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 100, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 200, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 200 }, 500, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 408 }, 200, -EALREADY, "", 0, 0, 0, LEFT(T64), 0 },
		/* Over a stream timer J is 0. */
		{ "OPTIONS", SIP_TCP, { 0 }, NOTHING, 0, "", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_TCP, { 0 }, WAIT, 0, "100", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_TCP, { 0 }, AGAIN, 0, "", 0, 0, 1, ALIVE, 0 },
		{ "OPTIONS", SIP_TCP, { 0 }, 200, 0, "200", 0, 0, 0, 0, 0 },
		{ "OPTIONS", SIP_TCP, { 0 }, 408, 0, "", 0, 0, 0, 0, 0 },
		{ "OPTIONS", SIP_TCP, { WAIT }, AGAIN, 0, "100", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_TCP, { WAIT }, 486, 0, "486", 0, 0, 0, 0, 0 },
		{ "OPTIONS", SIP_TCP, { 200 }, NOTHING, 0, "", 0, 0, 0, 0, 0 },
	};
	static const enum where states[] = { AT_TRYING, AT_PROCEEDING, AT_COMPLETED };
	struct cover cover = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		walk(&cells[i], i, &cover);
	check_all_met(&cover, states, ARRAY_LEN(states));
}

/* RFC 4320 §4.2, §4.3: when timer F of who asked has run out, an answer belongs to nothing any more. */
static void test_strans_late_answer_is_absorbed(void **state)
{
	static const struct { uint64_t after_ms; const char *sent; } rows[] = {
		{ TRYING_MS - 1, "200" }, { TRYING_MS, "100 200" }, { T64 - 1, "100 200" }, { T64, "100" }, { 5 * T64, "100" },
	};
	static const enum sip_proto protos[] = { SIP_UDP, SIP_TCP };

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(protos[i % 2]);
		struct user u;

		open_transaction(fx, &u, "MESSAGE");
		fx_advance(fx, rows[i / 2].after_ms);
		assert_int_equal(reply(fx, &u, 200), 0);
		assert_string_equal(fx_sent_text(fx, 0), rows[i / 2].sent);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_string_equal(fx_sent_text(fx, 0), rows[i / 2].sent);
		assert_int_equal(u.nended, 1);
		assert_int_equal(u.end_err, 0);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		fx_free(fx);
	}
}

static void test_strans_timer_g_keeps_the_standards_times(void **state)
{
	static const uint64_t at_ms[] = { 0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500 };
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	fx_forget_sent(fx);
	assert_int_equal(reply(fx, &u, 486), 0);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(fx->nsent, ARRAY_LEN(at_ms));
	for (unsigned i = 0; i < fx->nsent; i++) {
		assert_int_equal(fx->sent[i].at_ms, at_ms[i]);
		assert_string_equal(fx->sent[i].bytes, fx->sent[0].bytes);
	}
	assert_int_equal(sip_stack_counters(fx->stack)->strans_timeouts, 1);
	fx_free(fx);
}

/* §17.2.1: 100 unless the user answers within 200 ms; here: unless it has when it returns. */
static void reply_180(struct fx *fx, struct strans *st, const struct sip_msg *m)
{
	(void)fx;
	(void)m;
	assert_int_equal(strans_reply_simple(st, 180, NULL), 0);
}

static void reply_404(struct fx *fx, struct strans *st, const struct sip_msg *m)
{
	(void)fx;
	(void)m;
	assert_int_equal(strans_reply_simple(st, 404, NULL), 0);
}

static void test_strans_trying_only_when_nothing_else_was_sent(void **state)
{
	static const struct {
		const char *method;
		void (*on_request)(struct fx *fx, struct strans *st, const struct sip_msg *m);
		const char *sent;
	} rows[] = {
		{ "INVITE", NULL, "100" }, { "INVITE", reply_180, "180" }, { "INVITE", reply_404, "404" },
		{ "OPTIONS", NULL, "" }, { "OPTIONS", reply_404, "404" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		fx->on_request = rows[i].on_request;
		receive(fx, rows[i].method, "z9hG4bKone", NULL);
		assert_string_equal(fx_sent_text(fx, 0), rows[i].sent);
		if (rows[i].on_request == reply_404) {
			/* Nobody set a handler: it ends alone. */
			fx_advance(fx, FX_FOR_EVER_MS);
			assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		}
		fx_free(fx);
	}
}

/* ---- what is sent ---- */

static unsigned count(const struct sip_msg *m, enum sip_hdr_id id)
{
	struct sip_hdr_iter it = { 0 };
	struct str value;
	unsigned n = 0;

	while (sip_msg_element_next(m, id, &it, &value))
		n++;
	return n;
}

/* RFC 3261 §8.2.6.2: Via in its order, From, Call-ID, CSeq as they came; To with a tag, the same in every response. */
static void test_strans_response_copies_what_it_must(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_hdr_iter it = { 0 };
	const struct sip_msg *m;
	struct str value;
	char tag[128];
	struct user u;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	assert_int_equal(fx_sent(fx, -1)->status, 100);
	assert_int_equal(fx_sent(fx, -1)->to.tag.n, 0);
	assert_int_equal(count(fx_sent(fx, -1), SIP_HDR_RECORD_ROUTE), 0); /* forms no dialog */
	reply(fx, &u, 180);
	m = fx_sent(fx, -1);
	assert_true(str_eqz(m->reason, "Ringing"));
	assert_true(sip_msg_element_next(m, SIP_HDR_VIA, &it, &value));
	assert_true(sip_msg_element_next(m, SIP_HDR_VIA, &it, &value));
	assert_true(str_eqz(value, "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKsecond"));
	assert_false(sip_msg_element_next(m, SIP_HDR_VIA, &it, &value));
	assert_true(str_eqz(m->via.branch, "z9hG4bKone"));
	assert_true(str_eqz(m->from.value, "<sip:a@192.0.2.10>;tag=theirs"));
	assert_true(str_eqz(m->to.uri.text, "sip:us@192.0.2.200"));
	assert_true(m->to.tag.n >= 8); /* 32 bits at least, §19.3 */
	str_copy(m->to.tag, tag, sizeof(tag));
	assert_true(str_eqz(m->call_id, "call1"));
	assert_int_equal(m->cseq.seq, 3);
	assert_int_equal(m->cseq.method, SIP_INVITE);
	assert_int_equal(m->content_length, 0);
	assert_true(str_eqz(sip_msg_value(m, SIP_HDR_SERVER), "test"));
	assert_int_equal(count(m, SIP_HDR_RECORD_ROUTE), 2);
	reply(fx, &u, 200);
	m = fx_sent(fx, -1);
	assert_true(str_eqz(m->to.tag, tag));
	assert_int_equal(count(m, SIP_HDR_RECORD_ROUTE), 2);
	fx_free(fx);
}

static void test_strans_response_carries_the_users_part(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_reply r = { .status = 200, .reason = "Fine", .to_tag = STR("mine"),
			       .hdrs = STR("Contact: <sip:us@192.0.2.200>\r\nX-More: 1\r\n"), .ctype = "application/sdp",
			       .body = STR("v=0\r\n") };
	const struct sip_msg *m;
	struct user u;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	assert_int_equal(strans_reply(u.st, &r), 0);
	m = fx_sent(fx, -1);
	assert_int_equal(m->status, 200);
	assert_true(str_eqz(m->reason, "Fine"));
	assert_true(str_eqz(m->to.tag, "mine"));
	assert_true(str_eqz(sip_msg_value(m, SIP_HDR_CONTACT), "<sip:us@192.0.2.200>"));
	assert_true(str_eqz(sip_msg_value_by_name(m, "X-More"), "1"));
	assert_true(str_eqz(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), "application/sdp"));
	assert_int_equal(m->content_length, 5);
	assert_true(str_eqz(m->body, "v=0\r\n"));
	assert_int_equal(strans_repeat(u.st), 0);
	assert_string_equal(fx->sent[fx->nsent - 1].bytes, fx->sent[fx->nsent - 2].bytes);
	fx_free(fx);
}

/* Half a minute of a busy server's calls are many. */
static void test_strans_a_2xx_is_kept_until_its_ack_alone(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u = { 0 };
	uint64_t held;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	assert_int_equal(strans_reply(u.st, &(struct sip_reply){ .status = 200 }), 0);
	held = fx->stack->strans_bytes;
	strans_acked(u.st);
	assert_true(held - fx->stack->strans_bytes >= fx_sent(fx, -1)->raw.n);
	assert_int_equal(strans_repeat(u.st), -EALREADY);
	receive(fx, "INVITE", "z9hG4bKone", NULL); /* absorbed as before */
	fx_free(fx);
}

/* A tag that the request's To has already stays as it is. */
static void test_strans_response_in_a_dialog_keeps_its_tag(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct sip_reply r = { .status = 200, .to_tag = STR("other") };

	(void)state;
	receive(fx, "BYE", "z9hG4bKone", "given");
	assert_int_equal(strans_reply(fx->st, &r), 0);
	assert_true(str_eqz(fx_sent(fx, -1)->to.value, "<sip:us@192.0.2.200>;tag=given"));
	fx_free(fx);
}

static void test_strans_record_route_only_where_a_dialog_forms(void **state)
{
	static const struct { const char *method; int status; unsigned n; } rows[] = {
		{ "INVITE", 180, 2 }, { "INVITE", 200, 2 }, { "INVITE", 486, 0 },
		{ "SUBSCRIBE", 200, 2 }, { "SUBSCRIBE", 489, 0 },
		{ "OPTIONS", 200, 0 }, { "BYE", 200, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		receive(fx, rows[i].method, "z9hG4bKone", NULL);
		assert_int_equal(strans_reply_simple(fx->st, rows[i].status, NULL), 0);
		assert_int_equal(count(fx_sent(fx, -1), SIP_HDR_RECORD_ROUTE), rows[i].n);
		fx_free(fx);
	}
}

/* A response that doesn't fit is refused; the transaction is still there for another one. */
static void test_strans_response_that_is_too_large_is_refused(void **state)
{
	static char body[SIP_MSG_MAX];
	struct fx *fx = fx_new(SIP_TCP);
	struct sip_reply r = { .status = 200, .ctype = "text/plain", .body = { body, sizeof(body) } };
	struct user u;

	(void)state;
	memset(body, 'x', sizeof(body));
	open_transaction(fx, &u, "INVITE");
	assert_true(strans_reply(u.st, &r) < 0);
	assert_string_equal(fx_sent_text(fx, 0), "100");
	assert_int_equal(reply(fx, &u, 500), 0);
	assert_string_equal(fx_sent_text(fx, 0), "100 500");
	fx_free(fx);
}

/* ---- CANCEL ---- */

static void test_strans_cancel_is_answered_200_with_the_same_tag(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	const struct sip_msg *m;
	char tag[128];
	struct user u;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	reply(fx, &u, 180);
	str_copy(fx_sent(fx, -1)->to.tag, tag, sizeof(tag));
	receive(fx, "CANCEL", "z9hG4bKone", NULL);
	m = fx_sent(fx, -1);
	assert_int_equal(m->status, 200);
	assert_int_equal(m->cseq.method, SIP_CANCEL);
	assert_true(str_eqz(m->to.tag, tag)); /* §9.2: SHOULD be the same */
	assert_int_equal(u.ncancels, 1);
	receive(fx, "CANCEL", "z9hG4bKone", NULL); /* a retransmission is answered, not told */
	assert_string_equal(fx_sent_text(fx, 0), "100 180 200 200");
	assert_int_equal(u.ncancels, 1);
	fx_advance(fx, T64);
	receive(fx, "CANCEL", "z9hG4bKone", NULL); /* nor is one that comes when the first is forgotten */
	assert_string_equal(fx_sent_text(fx, 0), "100 180 200 200 200");
	assert_int_equal(u.ncancels, 1);
	reply(fx, &u, 487);
	assert_true(str_eqz(fx_sent(fx, -1)->to.tag, tag));
	fx_free(fx);

	/* Also a tag that the user chose. */
	fx = fx_new(SIP_UDP);
	open_transaction(fx, &u, "INVITE");
	strans_reply(u.st, &(struct sip_reply){ .status = 180, .to_tag = STR("0123456789abcdef") });
	receive(fx, "CANCEL", "z9hG4bKone", NULL);
	assert_true(str_eqz(fx_sent(fx, -1)->to.tag, "0123456789abcdef"));
	reply(fx, &u, 487);
	assert_true(str_eqz(fx_sent(fx, -1)->to.tag, "0123456789abcdef"));
	fx_free(fx);
}

static void test_strans_cancel_of_nothing_is_481(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);

	(void)state;
	receive(fx, "CANCEL", "z9hG4bKnone", NULL);
	assert_string_equal(fx_sent_text(fx, 0), "481");
	assert_int_equal(fx->nrequests, 0);
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
	fx_free(fx);
}

/* An upper layer that asks its database first has no handler yet when the caller gives up. */
static void test_strans_cancel_before_the_handler_is_told_after(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u = { .fx = fx };
	size_t held;

	(void)state;
	receive(fx, "INVITE", "z9hG4bKone", NULL);
	receive(fx, "CANCEL", "z9hG4bKone", NULL);
	u.st = fx->st;
	fx_advance(fx, 1); /* the CANCEL's own transaction has let go of it */
	held = fx->stack->strans_bytes;
	fx->busy++;
	strans_set_handler(u.st, &handler, &u);
	fx->busy--;
	assert_int_equal(u.ncancels, 0);
	fx_advance(fx, 1);
	assert_int_equal(u.ncancels, 1);
	assert_int_equal(held - fx->stack->strans_bytes, fx->msg.raw.n); /* that counted */
	fx_advance(fx, 1000);
	assert_int_equal(u.ncancels, 1);
	assert_int_equal(reply(fx, &u, 487), 0);
	fx_free(fx);

	/* Answered without a handler, or before it could be told: nothing is. */
	fx = fx_new(SIP_UDP);
	u = (struct user){ .fx = fx };
	receive(fx, "INVITE", "z9hG4bKone", NULL);
	receive(fx, "CANCEL", "z9hG4bKone", NULL);
	u.st = fx->st;
	strans_set_handler(u.st, &handler, &u);
	assert_int_equal(reply(fx, &u, 404), 0);
	fx_advance(fx, 499);
	assert_string_equal(fx_sent_text(fx, 0), "100 200 404");
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(u.ncancels, 0);
	assert_int_equal(u.nended, 1);
	assert_int_equal(fx->stack->strans_bytes, 0);
	fx_free(fx);
}

/* A user that cancels by answering at once, inside the handler. */
static void on_cancel_reply(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct user *u = arg;

	(void)m;
	u->ncancels++;
	assert_int_equal(strans_reply_simple(st, 487, NULL), 0);
}

static void test_strans_may_be_answered_inside_on_cancel(void **state)
{
	static const struct strans_handler replying = { .on_cancel = on_cancel_reply, .on_terminated = on_terminated };
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	strans_set_handler(u.st, &replying, &u);
	receive(fx, "CANCEL", "z9hG4bKone", NULL);
	assert_string_equal(fx_sent_text(fx, 0), "100 200 487");
	receive(fx, "ACK", "z9hG4bKone", "ours");
	fx_advance(fx, FX_FOR_EVER_MS);
	assert_int_equal(u.nended, 1);
	assert_int_equal(u.end_err, 0);
	fx_free(fx);
}

/* ---- errors and ends ---- */

/* The network takes nothing any more. Where something is to be sent (figures 7 and 8: "Transport Err.") the user is told afterwards, once,
 * and nothing stays; a 2xx to an INVITE is the session's to repeat (RFC 6026 §7.1), and where nothing is sent nothing is noticed. */
static void test_strans_transport_error_in_every_state(void **state)
{
	static const struct cell cells[] = {
		{ "INVITE", SIP_UDP, { 0 }, NOTHING, 0, "", 0, 0, 0, ALIVE, 0 },
		{ "INVITE", SIP_UDP, { 0 }, 180, 0, "", 0, 0, 0, 1, -EIO },
		{ "INVITE", SIP_UDP, { 180 }, AGAIN, 0, "", 0, 0, 0, 1, -EIO },
		{ "INVITE", SIP_UDP, { 180 }, REPEAT, 0, "", 0, 0, 0, 1, -EIO },
		{ "INVITE", SIP_UDP, { 180 }, CANCEL, 0, "", 1, 0, 0, ALIVE, 0 }, /* its own transaction ends */
		{ "INVITE", SIP_UDP, { 180 }, 200, 0, "", 0, 0, 0, T64, 0 },
		{ "INVITE", SIP_UDP, { 180 }, 486, 0, "", 0, 0, 0, 1, -EIO },
		{ "INVITE", SIP_TCP, { 180 }, 486, 0, "", 0, 0, 0, 1, -EIO },
		{ "INVITE", SIP_UDP, { 486 }, NOTHING, 0, "", 0, 0, 0, LEFT(SIP_T1_MS) + 1, -EIO }, /* timer G */
		{ "INVITE", SIP_TCP, { 486 }, NOTHING, 0, "", 0, 0, 0, LEFT(T64), -ETIMEDOUT },
		{ "INVITE", SIP_UDP, { 486 }, AGAIN, 0, "", 0, 0, 0, 1, -EIO },
		{ "INVITE", SIP_UDP, { 486 }, ACK, 0, "", 0, 0, 0, SIP_T4_MS, 0 },
		{ "INVITE", SIP_UDP, { 486, ACK }, AGAIN, 0, "", 0, 0, 0, LEFT(SIP_T4_MS), 0 },
		{ "INVITE", SIP_UDP, { 200 }, AGAIN, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_UDP, { 200 }, REPEAT, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "INVITE", SIP_TCP, { 200 }, REPEAT, 0, "", 0, 0, 0, LEFT(T64), 0 },
		{ "OPTIONS", SIP_UDP, { 0 }, WAIT, 0, "", 0, 0, 0, 1, -EIO },
		{ "OPTIONS", SIP_UDP, { 0 }, AGAIN, 0, "", 0, 0, 0, TRYING_MS - LATER_MS + 1, -EIO },
		{ "OPTIONS", SIP_UDP, { 0 }, 200, 0, "", 0, 0, 0, 1, -EIO },
		{ "OPTIONS", SIP_TCP, { 0 }, 500, 0, "", 0, 0, 0, 1, -EIO },
		{ "OPTIONS", SIP_UDP, { WAIT }, NOTHING, 0, "", 0, 0, 0, ALIVE, 0 },
		{ "OPTIONS", SIP_UDP, { WAIT }, AGAIN, 0, "", 0, 0, 0, 1, -EIO },
		{ "OPTIONS", SIP_UDP, { WAIT }, 404, 0, "", 0, 0, 0, 1, -EIO },
		{ "OPTIONS", SIP_UDP, { 200 }, AGAIN, 0, "", 0, 0, 0, 1, -EIO },
		{ "OPTIONS", SIP_UDP, { 200 }, NOTHING, 0, "", 0, 0, 0, LEFT(T64), 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cells); i++) {
		const struct cell *c = &cells[i];
		struct fx *fx = fx_new(c->proto);
		uint64_t at_ms;
		struct user u;

		open_transaction(fx, &u, c->method);
		for (size_t k = 0; k < ARRAY_LEN(c->before) && c->before[k]; k++)
			assert_int_equal(happen(fx, &u, c->method, c->before[k]), 0);
		fx_advance(fx, LATER_MS);
		fx->send_error = c->proto == SIP_TCP ? -ENOTCONN : -ENETUNREACH;
		assert_int_equal(happen(fx, &u, c->method, c->event), c->result);
		assert_int_equal(u.nended, 0); /* who sends isn't called back */
		assert_int_equal(u.ncancels, c->ncancels);
		at_ms = fx_now(fx);
		fx_advance(fx, FX_FOR_EVER_MS);
		if (u.nended != (c->ends_ms != ALIVE) || (u.nended && (u.end_err != c->err || u.ended_ms - at_ms != c->ends_ms)))
			fail_msg("row %zu: ended %u times with %d after %llu ms", i, u.nended, u.end_err,
				 (unsigned long long)(u.ended_ms - at_ms));
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, c->ends_ms == ALIVE);
		fx_free(fx);
	}
}

/* Who still has to find out who it is can't be told that a response couldn't go: he may yet answer. */
static void test_strans_without_a_handler_waits_for_its_answer(void **state)
{
	static const char *const methods[] = { "INVITE", "OPTIONS" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		struct fx *fx = fx_new(SIP_TCP);

		fx->send_error = -ENOTCONN;
		receive(fx, methods[i], "z9hG4bKone", NULL);
		fx_advance(fx, T64);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 1);
		assert_non_null(strans_msg(fx->st));
		assert_int_equal(strans_reply_simple(fx->st, 404, NULL), 0);
		fx_advance(fx, FX_FOR_EVER_MS);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		fx_free(fx);
	}
}

static void test_strans_keeps_its_request_until_it_is_answered(void **state)
{
	struct fx *fx = fx_new(SIP_UDP);
	struct user u;

	(void)state;
	open_transaction(fx, &u, "INVITE");
	memset(fx->in, 'x', sizeof(fx->in)); /* the receive buffer goes on */
	assert_true(str_eqz(strans_msg(u.st)->call_id, "call1"));
	assert_true(str_eqz(sip_msg_value(strans_msg(u.st), SIP_HDR_CONTACT), "<sip:a@192.0.2.10:5062>"));
	assert_true(sockaddr_eq(&strans_source(u.st)->peer, &fx->src.peer));
	assert_ptr_equal(strans_stack(u.st), fx->stack);
	reply(fx, &u, 180);
	fx_advance(fx, 10000);
	reply(fx, &u, 200);
	assert_true(str_eqz(strans_msg(u.st)->via.branch, "z9hG4bKone")); /* who answers may look at it once more */
	fx_advance(fx, 1);
	assert_null(strans_msg(u.st));
	fx_free(fx);
}

/* Of a REGISTER the transport's own message is looked at; whoever answers it later, or is told to be brief, finds it all the same. */
static void answer_at_once(struct fx *fx, struct strans *st, const struct sip_msg *m)
{
	(void)fx;
	assert_true(str_eqz(m->call_id, "call1"));
	assert_int_equal(strans_reply_simple(st, 200, NULL), 0);
}

static void answer_too_long(struct fx *fx, struct strans *st, const struct sip_msg *m)
{
	static char hdrs[SIP_MSG_MAX];

	(void)fx;
	(void)m;
	memset(hdrs, 'x', sizeof(hdrs));
	assert_true(strans_reply(st, &(struct sip_reply){ .status = 200, .hdrs = { hdrs, sizeof(hdrs) } }) < 0);
}

static void test_strans_register_outlives_the_receive_buffer(void **state)
{
	static const struct {
		void (*on_request)(struct fx *fx, struct strans *st, const struct sip_msg *m);
		int later;
		const char *sent;
	} rows[] = {
		{ answer_at_once, 0, "200 200" }, { answer_too_long, 0, "500 500" }, { NULL, 403, "403 403" }, { NULL, 0, "100 100" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);

		fx->on_request = rows[i].on_request;
		receive(fx, "REGISTER", "z9hG4bKone", NULL);
		memset(fx->in, 'x', sizeof(fx->in));
		memset(&fx->msg, 0xff, sizeof(fx->msg));
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 1);
		if (rows[i].later)
			assert_int_equal(strans_reply_simple(fx->st, rows[i].later, NULL), 0);
		fx_advance(fx, TRYING_MS);
		receive(fx, "REGISTER", "z9hG4bKone", NULL);
		assert_string_equal(fx_sent_text(fx, 0), rows[i].sent);
		assert_true(str_eqz(fx_sent(fx, 0)->call_id, "call1"));
		assert_int_equal(fx->nrequests, 1);
		if (!strcmp(rows[i].sent, "100 100"))
			assert_int_equal(strans_reply_simple(fx->st, 403, NULL), 0);
		fx_advance(fx, T64);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 0);
		assert_int_equal(fx->stack->strans_bytes, 0);
		fx_free(fx);
	}
}

/* Refusals wait for their ACK half a minute: a flood of large requests must not lie there meanwhile. */
static void test_strans_refused_request_is_not_kept(void **state)
{
	static const enum sip_proto protos[] = { SIP_UDP, SIP_TCP };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		struct fx *fx = fx_new(protos[i]);
		struct user u;

		open_transaction(fx, &u, "INVITE");
		reply(fx, &u, 486);
		assert_non_null(strans_msg(u.st));
		fx_advance(fx, SIP_T1_MS);
		assert_null(strans_msg(u.st));
		fx_free(fx);
	}
}

static void test_strans_stack_close_drops_all_silently(void **state)
{
	static const struct { const char *method; int events[2]; } rows[] = {
		{ "INVITE", { 0 } }, { "INVITE", { 180 } }, { "INVITE", { 200 } }, { "INVITE", { 486 } }, { "INVITE", { 486, ACK } },
		{ "OPTIONS", { 0 } }, { "OPTIONS", { WAIT } }, { "OPTIONS", { 200 } },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(SIP_UDP);
		struct user u;

		open_transaction(fx, &u, rows[i].method);
		for (size_t k = 0; k < 2 && rows[i].events[k]; k++)
			happen(fx, &u, rows[i].method, rows[i].events[k]);
		assert_int_equal(sip_stack_counters(fx->stack)->strans_live, 1);
		fx_free(fx);
		assert_int_equal(u.nended, 0);
	}
}

/* ---- keys that are chosen to meet in one bucket ---- */

#define CROWD 4000

/* Of the processor, the least of some tries: the first of a crowd of transactions gets its request again. */
static int64_t find_in_crowd_ns(bool is_chosen)
{
	struct fx *fx = fx_new(SIP_UDP);
	char branch[32], first[32] = "", key[96];
	int64_t least = INT64_MAX;
	unsigned hash;

	for (unsigned i = 0, n = 0; n < CROWD; i++) {
		snprintf(branch, sizeof(branch), "z9hG4bK%u", i);
		snprintf(key, sizeof(key), "%s 192.0.2.10 5062 %u", branch, (unsigned)SIP_OPTIONS);
		HASH_JEN(key, strlen(key), hash);
		if (is_chosen && hash % 1024)
			continue;
		n++;
		receive(fx, "OPTIONS", branch, "ours");
		if (!*first)
			strcpy(first, branch);
	}
	assert_int_equal(fx->nrequests, CROWD);
	for (unsigned i = 0; i < 100; i++) {
		struct timespec from, to;

		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		receive(fx, "OPTIONS", first, "ours");
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		int64_t ns = (int64_t)(to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec;
		least = ns < least ? ns : least;
	}
	assert_int_equal(fx->nrequests, CROWD);
	fx_free(fx);
	return least;
}

static void test_strans_chosen_branches_are_found_as_fast_as_others(void **state)
{
	(void)state;
	int64_t chosen = find_in_crowd_ns(true), others = find_in_crowd_ns(false);

	assert_true(chosen < 3 * others);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_strans_invite_every_cell),
		cmocka_unit_test(test_strans_chosen_branches_are_found_as_fast_as_others),
		cmocka_unit_test(test_strans_non_invite_every_cell),
		cmocka_unit_test(test_strans_late_answer_is_absorbed),
		cmocka_unit_test(test_strans_timer_g_keeps_the_standards_times),
		cmocka_unit_test(test_strans_trying_only_when_nothing_else_was_sent),
		cmocka_unit_test(test_strans_response_copies_what_it_must),
		cmocka_unit_test(test_strans_response_carries_the_users_part),
		cmocka_unit_test(test_strans_a_2xx_is_kept_until_its_ack_alone),
		cmocka_unit_test(test_strans_response_in_a_dialog_keeps_its_tag),
		cmocka_unit_test(test_strans_record_route_only_where_a_dialog_forms),
		cmocka_unit_test(test_strans_response_that_is_too_large_is_refused),
		cmocka_unit_test(test_strans_cancel_is_answered_200_with_the_same_tag),
		cmocka_unit_test(test_strans_cancel_of_nothing_is_481),
		cmocka_unit_test(test_strans_cancel_before_the_handler_is_told_after),
		cmocka_unit_test(test_strans_may_be_answered_inside_on_cancel),
		cmocka_unit_test(test_strans_transport_error_in_every_state),
		cmocka_unit_test(test_strans_without_a_handler_waits_for_its_answer),
		cmocka_unit_test(test_strans_keeps_its_request_until_it_is_answered),
		cmocka_unit_test(test_strans_register_outlives_the_receive_buffer),
		cmocka_unit_test(test_strans_refused_request_is_not_kept),
		cmocka_unit_test(test_strans_stack_close_drops_all_silently),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

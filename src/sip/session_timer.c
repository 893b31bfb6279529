/* session_timer.c - session timers (RFC 4028): a call whose other end has silently gone doesn't last for ever.
 *
 * Once a 2xx has fixed the interval and who refreshes, one timer does both duties: at half the interval the refresher asks, and again
 * while that has no success and there is time; shortly before the end whoever has seen no refresh says BYE. A refresh is an UPDATE without a body where the peer allows that,
 * else a re-INVITE with what the session is, which our owner writes. Every INVITE and UPDATE that goes through begins the
 * interval anew.
 */
#define LOG_MODULE "sip"

#include "sip/session_int.h"

#include <errno.h>

#define MIN_S 90           /* RFC 4028 §4: smaller ones aren't to be asked for */
#define FLOOR_S 10         /* what a peer that ignores that may press us to */
#define LONGEST_S 604800
#define RAISES_MAX 5       /* 422s followed for one session: one from each proxy on the way */
#define BYE_EARLY_S 32     /* §10: BYE that long before the end, or a third of the interval */
#define AGAIN_MIN_MS (64 * SIP_T1_MS + 1000) /* between two refreshes: the former has an answer, or none, by then */

enum refresher { ANYONE, UAC, UAS };

/* What a message says about it. */
struct ask {
	bool is_given, peer_can;
	uint32_t interval_s, min_s;
	enum refresher refresher;
};

static uint32_t seconds_of(struct str value, struct str *params)
{
	struct str token, ignored;
	uint32_t n = 0;

	sip_token_params(value, &token, params ? params : &ignored);
	return str_to_u32(token, LONGEST_S, &n) ? 0 : n;
}

static struct ask ask_of(const struct sip_msg *m)
{
	struct ask a = { .peer_can = sip_msg_has_token(m, SIP_HDR_SUPPORTED, "timer") || sip_msg_has_token(m, SIP_HDR_REQUIRE, "timer") };
	struct str params, who = STR_NULL;

	if (sip_msg_has(m, SIP_HDR_MIN_SE))
		a.min_s = seconds_of(sip_msg_value(m, SIP_HDR_MIN_SE), NULL);
	if (!sip_msg_has(m, SIP_HDR_SESSION_EXPIRES))
		return a;
	a.interval_s = seconds_of(sip_msg_value(m, SIP_HDR_SESSION_EXPIRES), &params);
	a.is_given = a.interval_s > 0;
	if (sip_param_find(params, "refresher", &who))
		a.refresher = str_ieqz(who, "uac") ? UAC : str_ieqz(who, "uas") ? UAS : ANYONE;
	return a;
}

static uint32_t larger(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

void session_set_timing(struct session *s, const struct session_timing *t)
{
	s->st.want_s = t->expires_s;
	s->st.min_s = larger(t->min_s, MIN_S);
	if (s->st.want_s)
		s->st.want_s = larger(s->st.want_s, s->st.min_s);
}

/* ---- the clock ---- */

static void refresh(struct session *s);

static uint32_t bye_after_s(uint32_t interval_s)
{
	uint32_t early_s = interval_s / 3 < BYE_EARLY_S ? interval_s / 3 : BYE_EARLY_S;

	return interval_s - early_s;
}

static void start(struct session *s)
{
	struct timers *timers = s->dialog.ua->timers;
	struct session_timer *st = &s->st;

	if (s->state == SESSION_ST_TERMINATED || !st->interval_s) {
		timer_stop(timers, &st->timer);
		return;
	}
	st->bye_at_ms = timers_now(timers) + bye_after_s(st->interval_s) * 1000ull;
	timer_start(timers, &st->timer, (st->is_refresher ? st->interval_s / 2 : bye_after_s(st->interval_s)) * 1000ull);
}

static void on_timer(void *arg)
{
	struct session *s = arg;
	struct timers *timers = s->dialog.ua->timers;
	uint64_t now = timers_now(timers);

	if (s->state != SESSION_ST_CONFIRMED)
		return;
	if (now >= s->st.bye_at_ms) {
		log_debug(s->dialog.ua->log, "call-id=%s session expired", s->dialog.call_id);
		session_bye(s, "Reason: SIP;cause=408;text=\"Session timer expired\"\r\n");
		session_end(s, SESSION_TIMEOUT, 408, NULL);
		return;
	}
	/* Once more in the middle of what is left: one that couldn't be made now, or is refused, needn't be the end of the call. */
	uint64_t left_ms = s->st.bye_at_ms - now;
	timer_start(timers, &s->st.timer, left_ms >= 2 * AGAIN_MIN_MS ? left_ms / 2 : left_ms);
	refresh(s);
}

void timer_setup(struct session *s)
{
	timer_init(&s->st.timer, on_timer, s);
}

void timer_end(struct session *s)
{
	timer_stop(s->dialog.ua->timers, &s->st.timer);
}

/* ---- our requests ---- */

void timer_print_request(const struct session *s, struct out *o)
{
	const struct session_timer *st = &s->st;
	bool is_first = s->dialog.is_uac && s->state != SESSION_ST_CONFIRMED;
	uint32_t n = st->interval_s ? st->interval_s : is_first ? st->want_s : 0;

	if (!n)
		return;
	out_z(o, "Session-Expires: ");
	out_u64(o, n);
	if (st->interval_s)
		out_z(o, st->is_refresher ? ";refresher=uac" : ";refresher=uas");
	if (st->min_s > MIN_S) {
		out_z(o, "\r\nMin-SE: ");
		out_u64(o, st->min_s);
	}
	out_z(o, "\r\n");
}

void timer_take_2xx(struct session *s, const struct sip_msg *m)
{
	struct session_timer *st = &s->st;
	struct ask a;

	if (!st->want_s && !st->interval_s && !sip_msg_has(m, SIP_HDR_SESSION_EXPIRES))
		return;
	a = ask_of(m);
	st->interval_s = a.is_given ? larger(a.interval_s, FLOOR_S) : 0; /* §7.2: without it there is no expiration */
	st->is_refresher = a.refresher != UAS;
	start(s);
}

bool timer_raise(struct session *s, const struct sip_msg *m)
{
	struct session_timer *st = &s->st;
	uint32_t min_s = m && m->status == 422 ? ask_of(m).min_s : 0;
	uint32_t asked_s = st->interval_s ? st->interval_s : st->want_s;

	if (!min_s || st->nraises == RAISES_MAX || min_s <= asked_s)
		return false;
	st->nraises++;
	st->min_s = min_s;
	if (st->interval_s)
		st->interval_s = min_s;
	else
		st->want_s = min_s;
	return true;
}

/* ---- refreshing ---- */

static void on_update_done(const struct sip_msg *m, void *arg)
{
	struct session *s = arg;

	update_done(m, s);
	if (m && s->state == SESSION_ST_CONFIRMED && (timer_raise(s, m) || m->status == 405 || m->status == 501))
		refresh(s);
}

static void refresh(struct session *s)
{
	static const struct request_params update = { .method = "UPDATE" };

	/* An offer under way either way refreshes too. */
	if (!session_can_offer(s))
		return;
	if (s->peer_updates)
		session_send_request(s, &s->dialog, &update, on_update_done, s);
	else if (s->handler->on_refresh)
		s->handler->on_refresh(s, s->arg);
	else
		session_reinvite(s, NULL, NULL, STR_NULL);
}

/* ---- the peer's requests ---- */

uint32_t session_min_expires(const struct sip_msg *m, const struct session_timing *t)
{
	struct ask a;

	if (!sip_msg_has(m, SIP_HDR_SESSION_EXPIRES))
		return 0;
	a = ask_of(m);
	/* §9: who doesn't know it couldn't make anything of a 422. */
	return a.is_given && a.peer_can && a.interval_s < larger(t->min_s, MIN_S) ? larger(t->min_s, MIN_S) : 0;
}

bool session_refuse_interval(struct strans *st, const struct sip_msg *m, const struct session_timing *t)
{
	uint32_t min_s = session_min_expires(m, t);
	char line[32];

	if (!min_s)
		return false;
	snprintf(line, sizeof(line), "Min-SE: %u\r\n", min_s);
	strans_reply_simple(st, 422, line);
	return true;
}

bool timer_refuse(struct session *s, struct strans *st, const struct sip_msg *m)
{
	return session_refuse_interval(st, m, &(struct session_timing){ .min_s = s->st.min_s });
}

/* RFC 4028 §9, table 2: who refreshes. */
static bool we_refresh(const struct session_timer *st, const struct ask *a)
{
	if (!a->peer_can)
		return true;
	if (a->refresher != ANYONE)
		return a->refresher == UAS;
	return st->interval_s ? st->is_refresher : true;
}

void timer_print_2xx(struct session *s, const struct sip_msg *m, struct out *o)
{
	struct session_timer *st = &s->st;
	struct ask a;

	if (!st->want_s && !st->interval_s && !sip_msg_has(m, SIP_HDR_SESSION_EXPIRES))
		return;
	a = ask_of(m);
	if (!a.is_given && !a.peer_can && !(st->interval_s && st->is_refresher)) {
		st->interval_s = 0;
		start(s);
		return;
	}
	bool is_ours = we_refresh(st, &a);
	uint32_t n = a.is_given ? a.interval_s : st->interval_s ? st->interval_s : st->want_s;
	if (st->want_s && n > st->want_s)
		n = st->want_s;
	st->interval_s = larger(larger(n, a.min_s), FLOOR_S);
	if (!n) {
		st->interval_s = 0;
		start(s);
		return;
	}
	st->is_refresher = is_ours;
	out_z(o, "Session-Expires: ");
	out_u64(o, st->interval_s);
	out_z(o, is_ours ? ";refresher=uas\r\n" : ";refresher=uac\r\n");
	if (a.peer_can)
		out_z(o, "Require: timer\r\n");
	start(s);
}

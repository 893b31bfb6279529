/* session_uas.c - our side as callee: the peer's INVITE, re-INVITE and UPDATE (RFC 3261 §13.3, §14.2, RFC 3311).
 *
 * Each is one struct uas_offer from its arrival to its final response, or for a 2xx to INVITE to its ACK. Several may
 * wait for an ACK at once (a new re-INVITE may overtake the ACK before it); they are told apart by CSeq.
 */
#include "sip/session_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#define PROGRESS_REPEAT_MS 60000 /* RFC 3261 §13.3.1.1: keeps the proxies' timer C from firing */
#define HDRS_MAX 16384 /* with headers that are passed on */

static void on_cancel(struct strans *st, const struct sip_msg *m, void *arg);
static void on_terminated(struct strans *st, int err, void *arg);
static void on_repeat(void *arg);

static const struct strans_handler uas_handler = { .on_cancel = on_cancel, .on_terminated = on_terminated };

/* ---- the list ---- */

static int offer_new(struct session *s, struct strans *st, const struct sip_msg *m, bool is_initial)
{
	struct uas_offer *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->session = s;
	u->st = st;
	u->method = m->method;
	u->cseq = m->cseq.seq;
	u->is_initial = is_initial;
	u->had_offer = sip_msg_part(m, "application/sdp").n > 0;
	timer_init(&u->timer, on_repeat, u);
	strans_set_handler(st, &uas_handler, u);
	DL_APPEND(s->uas, u);
	return 0;
}

static void offer_free(struct uas_offer *u)
{
	struct session *s = u->session;

	timer_stop(s->dialog.ua->timers, &u->timer);
	if (u->st)
		strans_set_handler(u->st, NULL, NULL);
	DL_DELETE(s->uas, u);
	free(u);
}

void uas_free_all(struct session *s)
{
	struct uas_offer *u, *next;

	DL_FOREACH_SAFE(s->uas, u, next)
		offer_free(u);
}

static struct uas_offer *find_initial(const struct session *s)
{
	struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (u->is_initial)
			return u;
	}
	return NULL;
}

bool uas_is_pending(const struct session *s)
{
	const struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (!u->waits_for_ack)
			return true;
	}
	return false;
}

bool uas_is_reoffering(const struct session *s)
{
	const struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (!u->waits_for_ack && !u->is_initial)
			return true;
	}
	return false;
}

bool uas_awaits_ack(const struct session *s)
{
	const struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (u->waits_for_ack)
			return true;
	}
	return false;
}

bool uas_initial_awaits_ack(const struct session *s)
{
	const struct uas_offer *u = find_initial(s);

	return u && u->waits_for_ack;
}

/* Our 2xx had the offer, the ACK with its answer hasn't come. */
static bool awaits_answer(const struct session *s)
{
	const struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (u->waits_for_ack && !u->had_offer)
			return true;
	}
	return false;
}

/* ---- responses ---- */

/* Does a 2xx to it begin the session's interval (RFC 4028)? */
static bool is_timed(const struct uas_offer *u)
{
	return u->method == SIP_INVITE || (u->method == SIP_UPDATE && u->session->state == SESSION_ST_CONFIRMED);
}

/* Contact for whatever forms or refreshes the dialog, Allow and Supported for what may be the first the peer sees. */
static int reply(struct uas_offer *u, int status, const char *reason, const char *hdrs, const char *ctype,
		 struct str body)
{
	struct session *s = u->session;
	struct dialog *d = &s->dialog;
	struct out o;
	int err = -EMSGSIZE;

	out_init_on(&o, d->ua->scratch, sizeof(d->ua->scratch), HDRS_MAX);
	if (status < 300) {
		dialog_print_contact(d, &o);
		out_z(&o, d->ua->allow);
		if (status >= 200)
			out_z(&o, d->ua->supported);
		if (status >= 200 && u->is_initial)
			out_z(&o, d->ua->allow_events);
		else if (u->is_initial && rel_is_waiting(s))
			rel_print(s, &o);
		if (status >= 200 && is_timed(u) && strans_msg(u->st))
			timer_print_2xx(s, strans_msg(u->st), &o);
	}
	out_z(&o, hdrs ? hdrs : "");
	if (out_ok(&o))
		err = strans_reply(u->st, &(struct sip_reply){
			.status = status,
			.reason = reason,
			.to_tag = str_from(d->local_tag),
			.hdrs = out_view(&o),
			.ctype = body.n > 0 ? ctype : NULL,
			.body = body,
		});
	out_fini(&o);
	return err;
}

void uas_set_hdrs(struct session *s, struct str hdrs)
{
	struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (u->st)
			strans_set_hdrs(u->st, hdrs);
	}
}

/* RFC 3261 §13.3.1.4: the 2xx is repeated over any transport, for a hop behind the next may lose it. */
static void await_ack(struct uas_offer *u)
{
	struct timers *timers = u->session->dialog.ua->timers;

	u->waits_for_ack = true;
	u->interval_ms = SIP_T1_MS;
	u->deadline_ms = timers_now(timers) + 64 * SIP_T1_MS;
	timer_start(timers, &u->timer, u->interval_ms);
}

static void no_ack(struct uas_offer *u)
{
	struct session *s = u->session;

	offer_free(u);
	if (s->state == SESSION_ST_CONFIRMED) {
		session_bye(s, NULL);
		session_end(s, SESSION_TIMEOUT, 408, NULL);
	}
	session_reap(s);
}

static void on_repeat(void *arg)
{
	struct uas_offer *u = arg;
	struct timers *timers = u->session->dialog.ua->timers;
	uint64_t now = timers_now(timers);

	if (now >= u->deadline_ms) {
		no_ack(u);
		return;
	}
	strans_repeat(u->st);
	u->interval_ms = u->interval_ms * 2 < SIP_T2_MS ? u->interval_ms * 2 : SIP_T2_MS;
	uint64_t left = u->deadline_ms - now;
	timer_start(timers, &u->timer, u->interval_ms < left ? u->interval_ms : left);
}

static void on_terminated(struct strans *st, int err, void *arg)
{
	struct uas_offer *u = arg;
	struct session *s = u->session;

	(void)st;
	(void)err;
	u->st = NULL;
	if (u->waits_for_ack) {
		no_ack(u);
		return;
	}
	bool is_initial = u->is_initial;
	offer_free(u);
	if (is_initial)
		session_end(s, SESSION_FAILED, 503, NULL);
	session_reap(s);
}

void uas_ack(struct session *s, const struct sip_msg *m)
{
	struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (u->waits_for_ack && u->cseq == m->cseq.seq)
			break;
	}
	if (!u)
		return; /* the ACK of a repeated 2xx */
	struct sip_msg *invite = u->is_initial ? s->invite : NULL;
	if (u->st)
		strans_acked(u->st);
	offer_free(u);
	if (s->state == SESSION_ST_CONFIRMED && s->handler->on_ack)
		s->handler->on_ack(s, m, s->arg);
	if (invite) {
		s->invite = NULL;
		sip_msg_release(invite);
	}
	session_reap(s);
}

/* ---- the first INVITE ---- */

int session_accept(struct session **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
		   const struct session_handler *h, void *arg)
{
	struct session *s = NULL;
	int err = session_alloc(&s, h, arg);

	if (err)
		return err;
	s->state = SESSION_ST_RECEIVED;
	err = dialog_init_uas(&s->dialog, ua, &session_usage, m, strans_source(st));
	if (err) {
		free(s);
		return err;
	}
	s->invite = sip_msg_hold(strans_msg(st));
	err = s->invite ? offer_new(s, st, m, true) : -ENOMEM;
	if (err) {
		sip_msg_release(s->invite);
		dialog_fini(&s->dialog);
		free(s);
		return err;
	}
	update_learn(s, m);
	strans_set_tag(st, str_from(s->dialog.local_tag));
	int64_t expires_s = sip_msg_expires(m, -1);
	s->expires_at_ms = expires_s >= 0 ? timers_now(ua->timers) + (uint64_t)expires_s * 1000 : UINT64_MAX;
	if (expires_s >= 0)
		timer_start(ua->timers, &s->timer, (uint64_t)expires_s * 1000);
	ua->nsessions++;
	*out = s;
	return 0;
}

/* The next word, or the end of the caller's patience (RFC 3261 §13.3.1). */
static void wait_on(struct session *s)
{
	struct timers *timers = s->dialog.ua->timers;
	uint64_t now = timers_now(timers), left = s->expires_at_ms > now ? s->expires_at_ms - now : 0;

	timer_start(timers, &s->timer, left < PROGRESS_REPEAT_MS ? left : PROGRESS_REPEAT_MS);
}

static struct uas_offer *find_unanswered(struct session *s)
{
	struct uas_offer *u = find_initial(s);

	return u && !u->waits_for_ack && u->st ? u : NULL;
}

int session_progress(struct session *s, int status, const char *hdrs, const char *ctype, struct str body)
{
	struct uas_offer *u = find_unanswered(s);
	int err = 0;

	if (status < 101 || status > 199)
		return -EINVAL;
	if (!u)
		return -EALREADY;
	if (rel_is_waiting(s))
		return rel_hold(s, status, hdrs, ctype, body);
	if (rel_is_agreed(s))
		body = STR_NULL; /* they have it */
	bool is_reliable = rel_is_wanted(s, body.n > 0);
	if (is_reliable)
		err = rel_begin(s, u, body.n > 0);
	if (!err)
		err = reply(u, status, NULL, hdrs, ctype, body);
	if (err) {
		if (is_reliable)
			rel_end(s);
		return err;
	}
	if (is_reliable)
		rel_sent(s);
	u->progress_status = (int16_t)status;
	session_set_state(s, SESSION_ST_EARLY);
	wait_on(s);
	return 0;
}

void uas_wait_over(struct session *s)
{
	struct uas_offer *u = find_unanswered(s);

	if (!u)
		return;
	if (timers_now(s->dialog.ua->timers) >= s->expires_at_ms) {
		uas_reject_pending(s, 487, NULL, NULL);
		session_end(s, SESSION_CANCELLED, 487, NULL);
		return;
	}
	/* its headers and its SDP, if it had any, have been heard */
	if (!rel_is_waiting(s))
		session_progress(s, u->progress_status, NULL, NULL, STR_NULL);
	wait_on(s);
}

void uas_repeat(struct session *s)
{
	struct uas_offer *u = find_unanswered(s);

	if (u)
		strans_repeat(u->st);
}

int session_answer(struct session *s, const char *hdrs, const char *ctype, struct str body)
{
	struct uas_offer *u = find_unanswered(s);
	int err;

	if (!u)
		return -EALREADY;
	if (rel_holds_answer(s))
		return rel_hold(s, 200, hdrs, ctype, body);
	if (rel_is_agreed(s)) {
		body = STR_NULL; /* they have it (RFC 6337 §2.2) */
		u->had_offer = true; /* whoever made it: the ACK brings no answer */
	}
	err = reply(u, 200, NULL, hdrs, ctype, body);
	if (err)
		return err;
	rel_end(s);
	timer_stop(s->dialog.ua->timers, &s->timer);
	await_ack(u);
	session_set_state(s, SESSION_ST_CONFIRMED);
	return 0;
}

/* RFC 6228 §4: a forking proxy before us keeps back the refusal until all its branches have one; the caller needn't wait for
 * that to know that this one is over. Who requires it gets it reliably, once: the refusal follows, and its PRACK may come when it likes. */
static void tell_early_over(struct uas_offer *u)
{
	struct session *s = u->session;
	struct sip_hdr_iter it = { 0 };
	struct str via;

	if (!u->is_initial || !u->progress_status || !s->invite || !sip_msg_has_token(s->invite, SIP_HDR_SUPPORTED, "199") ||
	    !sip_msg_element_next(s->invite, SIP_HDR_VIA, &it, &via) || !sip_msg_element_next(s->invite, SIP_HDR_VIA, &it, &via))
		return;
	if (rel_is_wanted(s, false) && (rel_is_owed(s) || rel_begin(s, u, false) != 0))
		return;
	reply(u, 199, NULL, NULL, NULL, STR_NULL);
}

void uas_reject_pending(struct session *s, int status, const char *reason, const char *hdrs)
{
	struct uas_offer *u, *next;

	DL_FOREACH_SAFE(s->uas, u, next) {
		if (u->waits_for_ack)
			continue;
		if (u->st) {
			rel_end(s);
			tell_early_over(u);
			/* it is to hear of it whatever is to be said beside */
			if (reply(u, status, reason, hdrs, NULL, STR_NULL))
				reply(u, status, reason, NULL, NULL, STR_NULL);
		}
		offer_free(u);
	}
}

static void on_cancel(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct uas_offer *u = arg;
	struct session *s = u->session;

	(void)st;
	if (u->waits_for_ack)
		return; /* too late: answered */
	bool is_initial = u->is_initial;
	reply(u, 487, NULL, NULL, NULL, STR_NULL);
	offer_free(u);
	if (is_initial)
		session_end(s, SESSION_CANCELLED, 487, m);
	session_reap(s);
}

/* ---- re-INVITE, UPDATE ---- */

/* 0: may pass. RFC 3261 §14.2, RFC 3311 §5.2, and RFC 5407 §3.1 for the crossing ACKs. A request without an offer
 * that isn't an INVITE changes no session and is never in the way; once the first offer is agreed on in reliable responses,
 * the INVITE itself is in the way of other INVITEs alone. */
static int refusal(const struct session *s, bool is_invite, bool has_offer)
{
	bool is_first_done = !is_invite && session_is_agreed_early(s);

	if (!is_invite && !has_offer)
		return 0;
	if (is_first_done ? uas_is_reoffering(s) : uas_is_pending(s))
		return 500;
	if ((is_first_done ? uac_is_reoffering(s) : uac_is_pending(s)) || uac_owes_ack(s) || awaits_answer(s))
		return 491;
	return 0;
}

void uas_prack(struct session *s, struct strans *st, const struct sip_msg *m)
{
	if (!s->dialog.is_uac)
		rel_prack(s, st, m);
	else
		strans_reply_simple(st, 481, NULL);
}

static void tell_reoffer(struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer)
{
	if (has_offer || m->method == SIP_INVITE)
		uac_retry_overtaken(s);
	/* told, our owner may have ended it: then all was answered */
	if (s->state != SESSION_ST_TERMINATED && s->handler->on_reoffer)
		s->handler->on_reoffer(s, st, m, has_offer, s->arg);
}

void uas_reoffer(struct session *s, struct strans *st, const struct sip_msg *m)
{
	bool has_offer = sip_msg_part(m, "application/sdp").n > 0;
	int status = refusal(s, m->method == SIP_INVITE, has_offer);

	if (status == 500)
		ua_reply_retry_after(s->dialog.ua, st, 500);
	else if (status)
		strans_reply_simple(st, status, NULL);
	else if (m->method != SIP_PRACK && timer_refuse(s, st, m))
		return;
	else if (!s->handler->on_reoffer)
		strans_reply_simple(st, 488, NULL);
	else if (offer_new(s, st, m, false))
		ua_reply_retry_after(s->dialog.ua, st, 503);
	else
		tell_reoffer(s, st, m, has_offer);
}

static struct uas_offer *find_reoffer(const struct session *s, const struct strans *st)
{
	struct uas_offer *u;

	DL_FOREACH(s->uas, u) {
		if (u->st == st && !u->is_initial && !u->waits_for_ack)
			break;
	}
	return u;
}

bool session_owes_reply(const struct session *s, const struct strans *st)
{
	return find_reoffer(s, st) != NULL;
}

int session_reply_offer(struct session *s, struct strans *st, int status, const char *hdrs, const char *ctype, struct str body)
{
	struct uas_offer *u = find_reoffer(s, st);
	int err;

	if (!u)
		return -EALREADY; /* cancelled meanwhile, or the session has ended */
	if (status / 100 == 2)
		dialog_refresh_target(&s->dialog, strans_msg(st));
	err = reply(u, status, NULL, hdrs, ctype, body);
	if (err || status < 200)
		return err;
	if (status < 300 && u->method == SIP_INVITE)
		await_ack(u);
	else
		offer_free(u);
	return 0;
}

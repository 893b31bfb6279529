/* session_uac.c - our side as caller: INVITE, its answers and their ACKs; re-INVITE (RFC 3261 §13.2, §14.1).
 *
 * A transaction stays for 64*T1 after its first 2xx (RFC 6026) and hands up every further one. Each is
 * the retransmission of one we know, and gets its ACK again, or comes from another fork, and gets ACK and BYE.
 */
#include "sip/session_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

/* RFC 3261 §14.1: after 491 the owner of the Call-ID waits 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms. */
#define RETRY_STEP_MS 10
#define FORKS_MAX 32 /* that answer the same INVITE; what more there are end by themselves, without their ACKs */
#define RETRIES_MAX 10 /* a peer that always says 491 doesn't want this offer */

static void on_response(struct request *r, const struct sip_msg *m);
static void on_done(struct request *r, int err);

static const struct request_handler uac_handler = { .on_response = on_response, .on_done = on_done };

static void offer_free(struct uac_offer *u)
{
	DL_DELETE(u->session->uac, u);
	request_fini(&u->req);
	ack_fini(&u->ack);
	free(u);
}

static int offer_send(struct session *s, struct dialog *d, const struct request_params *p, bool is_initial, bool had_offer)
{
	struct uac_offer *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->session = s;
	u->is_initial = is_initial;
	u->had_offer = had_offer;
	int err = request_start(&u->req, d, p, &uac_handler);
	if (err) {
		free(u);
		return err;
	}
	DL_APPEND(s->uac, u);
	return 0;
}

int session_invite(struct session **out, struct sip_ua *ua, const struct session_params *p,
		   const struct session_handler *h, void *arg)
{
	const struct dialog_params dp = {
		.target = p->target,
		.from_display = p->from_display,
		.from_uri = p->from_uri,
		.to_display = p->to_display,
		.to_uri = p->to_uri,
		.route = p->route,
		.contact_user = p->contact_user,
		.call_id = p->call_id,
		.hdrs = p->dialog_hdrs,
		.auth_user = p->auth_user,
		.auth_password = p->auth_password,
		.dest = p->dest,
		.has_rivals = p->has_rivals,
		.oc = p->oc,
	};
	const struct request_params rp = {
		.method = "INVITE",
		.hdrs = p->hdrs,
		.ctype = p->body.n > 0 ? p->ctype : NULL,
		.body = p->body,
		.max_forwards = p->max_forwards,
		.keeps_content = p->timing.expires_s > 0, /* a 422 may want it again */
	};
	struct session *s = NULL;
	int err = session_alloc(&s, h, arg);

	if (err)
		return err;
	s->state = SESSION_ST_CALLING;
	err = dialog_init_uac(&s->dialog, ua, &session_usage, &dp);
	if (err) {
		free(s);
		return err;
	}
	session_set_timing(s, &p->timing);
	err = offer_send(s, &s->dialog, &rp, true, p->body.n > 0 && !p->is_offerless);
	if (err) {
		dialog_fini(&s->dialog);
		free(s);
		return err;
	}
	ua->nsessions++;
	if (p->timeout_ms)
		timer_start(ua->timers, &s->timer, p->timeout_ms);
	*out = s;
	return 0;
}

/* ---- state of what is under way ---- */

bool uac_is_pending(const struct session *s)
{
	const struct uac_offer *u;

	DL_FOREACH(s->uac, u) {
		if (!u->req.has_final)
			return true;
	}
	return false;
}

bool uac_is_reoffering(const struct session *s)
{
	const struct uac_offer *u;

	DL_FOREACH(s->uac, u) {
		if (!u->is_initial && !u->req.has_final)
			return true;
	}
	return false;
}

static struct uac_offer *find_unacked(const struct session *s)
{
	struct uac_offer *u;

	DL_FOREACH(s->uac, u) {
		if (u->is_answered && !u->is_acked)
			return u;
	}
	return NULL;
}

bool uac_owes_ack(const struct session *s)
{
	return find_unacked(s) != NULL;
}

void uac_cancel(struct session *s, struct str hdrs)
{
	struct uac_offer *u;

	s->is_cancelling = true;
	DL_FOREACH(s->uac, u)
		request_cancel(&u->req, hdrs);
}

void uac_free_all(struct session *s)
{
	struct uac_offer *u, *next;
	struct fork *f;

	DL_FOREACH_SAFE(s->uac, u, next)
		offer_free(u);
	while ((f = s->forks)) {
		s->forks = f->next;
		ack_fini(&f->ack);
		dialog_fini(&f->dialog);
		free(f);
	}
}

/* ---- ACK ---- */

static int acknowledge(struct uac_offer *u, const char *ctype, struct str body)
{
	struct dialog *d = &u->session->dialog;
	int err = ack_make(&u->ack, &u->req, u->req.cseq, d, body.n > 0 ? ctype : NULL, body);

	if (err)
		return err;
	u->is_acked = true;
	return ack_send(&u->ack, d);
}

bool session_owes_answer(const struct session *s)
{
	const struct uac_offer *u = find_unacked(s);
	const struct early *e = early_find(s, str_from(s->dialog.remote_tag));

	return u && !u->had_offer && !(u->is_initial && e && e->is_agreed);
}

int session_ack(struct session *s, const char *ctype, struct str body)
{
	struct uac_offer *u = find_unacked(s);

	return u ? acknowledge(u, ctype, body) : -EALREADY;
}

void uac_ack_all(struct session *s)
{
	struct uac_offer *u;

	while ((u = find_unacked(s))) {
		acknowledge(u, NULL, STR_NULL);
		u->is_acked = true; /* even if it couldn't be sent: the BYE follows */
	}
}

/* ---- 2xx ---- */

/* A 2xx we don't want: ACK each time it comes, BYE once. src NULL: it came the way the INVITE went. */
static void refuse_fork(struct session *s, struct request *invite, const struct sip_msg *m, const struct sip_source *src)
{
	static const struct request_params no_hdrs = { .method = "BYE" };
	struct fork *f;
	unsigned n = 0;

	for (f = s->forks; f; f = f->next, n++) {
		if (dialog_has_remote_tag(&f->dialog, m->to.tag)) {
			ack_send(&f->ack, &f->dialog);
			return;
		}
	}
	f = n < FORKS_MAX ? calloc(1, sizeof(*f)) : NULL;
	if (!f)
		return; /* it comes again */
	if (dialog_init_fork(&f->dialog, &s->dialog, m, src)) {
		free(f);
		return;
	}
	if (ack_make(&f->ack, invite, m->cseq.seq, &f->dialog, NULL, STR_NULL)) {
		dialog_fini(&f->dialog);
		free(f);
		return;
	}
	f->next = s->forks;
	s->forks = f;
	ack_send(&f->ack, &f->dialog);
	session_send_request(s, &f->dialog, &no_hdrs, NULL, NULL);
}

/* A later 2xx of an INVITE that has been answered, or one that comes when we have hung up. */
static void further_2xx(struct uac_offer *u, const struct sip_msg *m, const struct sip_source *src)
{
	struct session *s = u->session;

	if (u->is_answered && m->cseq.seq == u->req.cseq && dialog_has_remote_tag(&s->dialog, m->to.tag)) {
		if (u->is_acked)
			ack_send(&u->ack, &s->dialog);
		return;
	}
	if (u->is_initial)
		refuse_fork(s, &u->req, m, src);
}

static void on_answer(struct uac_offer *u, const struct sip_msg *m)
{
	struct session *s = u->session;

	if (s->state == SESSION_ST_TERMINATED || u->is_answered) {
		further_2xx(u, m, NULL);
		return;
	}
	if (early_switch(s, m) || dialog_establish(&s->dialog, m)) {
		refuse_fork(s, &u->req, m, NULL);
		session_end(s, SESSION_FAILED, 500, NULL);
		return;
	}
	early_confirm(s);
	u->is_answered = true;
	request_drop_content(&u->req);
	update_learn(s, m);
	timer_take_2xx(s, m);
	timer_stop(s->dialog.ua->timers, &s->timer);
	session_set_state(s, SESSION_ST_CONFIRMED);
	if (s->handler->on_answer)
		s->handler->on_answer(s, m, s->arg);
}

static void on_reanswer(struct uac_offer *u, const struct sip_msg *m)
{
	struct session *s = u->session;
	/* An UPDATE may have gone to another fork than the one that has answered meanwhile. */
	bool is_of_call = s->state == SESSION_ST_CONFIRMED && dialog_has_remote_tag(&s->dialog, m->to.tag);

	if (u->is_answered) {
		further_2xx(u, m, NULL);
		return;
	}
	u->is_answered = true;
	request_drop_content(&u->req);
	if (is_of_call) {
		update_learn(s, m);
		timer_take_2xx(s, m);
	}
	dialog_refresh_target(is_of_call ? &s->dialog : u->req.dialog, m);
	/* Without an offer in the INVITE the 2xx has it, and the ACK waits for our owner's answer. */
	if (u->req.method == SIP_UPDATE)
		offer_free(u);
	else if (u->had_offer || s->state == SESSION_ST_TERMINATED)
		acknowledge(u, NULL, STR_NULL);
	s->retries = 0;
	if (s->state != SESSION_ST_TERMINATED && s->handler->on_reoffer_done)
		s->handler->on_reoffer_done(s, m->status, m, s->arg);
}

void uac_stray_2xx(struct session *s, const struct sip_msg *m, const struct sip_source *src)
{
	struct uac_offer *u;

	/* Its first sending may have gone to another target than the last, which asked for credentials. */
	DL_FOREACH(s->uac, u) {
		if (m->cseq.seq >= u->req.first_cseq && m->cseq.seq <= u->req.cseq) {
			further_2xx(u, m, src);
			return;
		}
	}
}

/* ---- re-INVITE ---- */

/* The dialog an UPDATE before the answer goes in; NULL: none may be sent. */
static struct dialog *update_dialog(const struct session *s)
{
	const struct early *e;

	if (!session_is_agreed_early(s))
		return NULL;
	if (!s->dialog.is_uac)
		return s->invite && sip_msg_has_token(s->invite, SIP_HDR_ALLOW, "UPDATE") ? (struct dialog *)&s->dialog : NULL;
	e = early_find(s, str_from(s->dialog.remote_tag));
	return e && e->peer_updates ? e->dialog : NULL;
}

bool session_can_offer(const struct session *s)
{
	if (s->state == SESSION_ST_EARLY)
		return update_dialog(s) && !uac_is_reoffering(s) && !uas_is_reoffering(s) && !rel_is_waiting(s);
	return s->state == SESSION_ST_CONFIRMED && !s->retry && !uac_is_pending(s) && !uac_owes_ack(s) &&
	       !uas_is_pending(s) && !uas_awaits_ack(s);
}

int session_reinvite(struct session *s, const char *hdrs, const char *ctype, struct str body)
{
	bool is_early = s->state == SESSION_ST_EARLY;
	struct dialog *d = is_early ? update_dialog(s) : &s->dialog;
	const struct request_params p = {
		.method = is_early ? "UPDATE" : "INVITE",
		.hdrs = str_from(hdrs),
		.ctype = body.n > 0 ? ctype : NULL,
		.body = body,
		.keeps_content = true,
	};

	if ((s->state != SESSION_ST_CONFIRMED && !is_early) || !d)
		return -ENOTCONN;
	if (!session_can_offer(s))
		return -EBUSY;
	s->retries = 0;
	return offer_send(s, d, &p, false, body.n > 0);
}

static void retry_wait(struct session *s)
{
	struct rng *rng = s->dialog.ua->rng;
	uint32_t steps = s->dialog.is_uac ? 210 + rng_below(rng, 191) : rng_below(rng, 201);

	timer_start(s->dialog.ua->timers, &s->timer, (uint64_t)steps * RETRY_STEP_MS);
}

void uac_retry_drop(struct session *s)
{
	struct uac_offer *u = s->retry;

	s->retry = NULL;
	if (u) {
		request_fini(&u->req);
		ack_fini(&u->ack);
		free(u);
	}
}

static void tell_reoffer_done(struct session *s, int status, const struct sip_msg *m)
{
	if (s->state != SESSION_ST_TERMINATED && s->handler->on_reoffer_done)
		s->handler->on_reoffer_done(s, status, m, s->arg);
}

/* The peer offers something itself: what ours said was written for the session before it, so our owner must offer anew. */
void uac_retry_overtaken(struct session *s)
{
	if (!s->retry)
		return;
	timer_stop(s->dialog.ua->timers, &s->timer);
	uac_retry_drop(s);
	tell_reoffer_done(s, 491, NULL);
}

void uac_retry_now(struct session *s)
{
	struct uac_offer *u = s->retry;

	if (!u)
		return;
	if (uas_is_pending(s) || uas_awaits_ack(s)) {
		retry_wait(s);
		return;
	}
	s->retry = NULL;
	if (request_resend(&u->req)) {
		request_fini(&u->req);
		free(u);
		tell_reoffer_done(s, 503, NULL);
		return;
	}
	DL_APPEND(s->uac, u);
}

static void on_reinvite_failed(struct uac_offer *u, int status, const struct sip_msg *m)
{
	struct session *s = u->session;
	/* An early dialog is the INVITE's to end; and nothing is asked there again once there is a call: it goes with the INVITE. */
	bool is_early = s->state != SESSION_ST_CONFIRMED || u->req.dialog != &s->dialog;

	if (status == 491 && !is_early && s->retries < RETRIES_MAX && !s->retry) {
		s->retries++;
		DL_DELETE(s->uac, u);
		s->retry = u;
		retry_wait(s);
		return;
	}
	if (!is_early && timer_raise(s, m) && request_resend(&u->req) == 0)
		return;
	offer_free(u);
	if (is_early || !session_failed_by(s, status, m))
		tell_reoffer_done(s, status, m);
	session_reap(s);
}

/* ---- responses ---- */

static void on_progress(struct uac_offer *u, const struct sip_msg *m)
{
	struct session *s = u->session;

	if (!u->is_initial || m->status <= 100 || s->state == SESSION_ST_TERMINATED || s->state == SESSION_ST_CONFIRMED)
		return;
	if (m->to.tag.n > 0 && !early_take_1xx(s, u, m))
		return;
	if (s->state == SESSION_ST_TERMINATED) /* our owner was asked for an offer, and has ended it */
		return;
	if (m->status == 199 && m->to.tag.n > 0)
		early_over(s, m->to.tag);
	else if (m->to.tag.n > 0)
		early_switch(s, m);
	session_set_state(s, SESSION_ST_EARLY);
	if (s->handler->on_progress)
		s->handler->on_progress(s, m, s->arg);
}

static void on_response(struct request *r, const struct sip_msg *m)
{
	struct uac_offer *u = container_of(r, struct uac_offer, req);
	struct session *s = u->session;

	if (m->status < 200) {
		on_progress(u, m);
	} else if (m->status < 300) {
		if (u->is_initial)
			on_answer(u, m);
		else
			on_reanswer(u, m);
	} else if (!u->is_initial) {
		on_reinvite_failed(u, m->status, m);
	} else if (s->state != SESSION_ST_TERMINATED && timer_raise(s, m) && request_resend(&u->req) == 0) {
		return; /* 422: asked again, for longer */
	} else {
		offer_free(u);
		session_end(s, SESSION_REJECTED, m->status, m);
		session_reap(s);
	}
}

/* The connection has ended under a phone that rings, and it can't be reached to be told: it may answer yet, by a new one. As may one
 * that was given up for others. */
static void linger(struct session *s, int err)
{
	s->is_cancelling = true;
	if (err == -ETIMEDOUT)
		session_end(s, SESSION_TIMEOUT, 408, NULL);
	else
		session_end(s, SESSION_FAILED, 503, NULL);
	timer_start(s->dialog.ua->timers, &s->timer, 64 * SIP_T1_MS);
}

void uac_linger_over(struct session *s)
{
	struct uac_offer *u, *next;

	DL_FOREACH_SAFE(s->uac, u, next) {
		if (!u->req.ct)
			offer_free(u);
	}
	session_reap(s);
}

static void on_done(struct request *r, int err)
{
	struct uac_offer *u = container_of(r, struct uac_offer, req);
	struct session *s = u->session;
	int status = err == -ETIMEDOUT ? 408 : 503;

	if (err && !u->is_initial) {
		on_reinvite_failed(u, status, NULL);
		return;
	}
	if (u->is_initial)
		early_tidy(s);
	if (err && (err == -ETIMEDOUT ? s->dialog.has_rivals : u->req.has_progress)) {
		linger(s, err);
		return;
	}
	offer_free(u);
	if (err)
		session_end(s, err == -ETIMEDOUT ? SESSION_TIMEOUT : SESSION_FAILED, status, NULL);
	session_reap(s);
}

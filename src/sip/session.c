/* session.c - the life of a session: its state, its end, and what UAC and UAS do alike. */
#define LOG_MODULE "sip"

#include "sip/session_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

static void on_reaper(void *arg);
static void session_timer(void *arg);

static const struct session_handler no_handler;

/* ---- state ---- */

bool session_set_state(struct session *s, enum session_state to)
{
#define TO(st) (1u << SESSION_ST_##st)
	static const uint8_t moves[] = {
		[SESSION_ST_CALLING] = TO(EARLY) | TO(CONFIRMED) | TO(TERMINATED),
		[SESSION_ST_RECEIVED] = TO(EARLY) | TO(CONFIRMED) | TO(TERMINATED),
		[SESSION_ST_EARLY] = TO(EARLY) | TO(CONFIRMED) | TO(TERMINATED),
		[SESSION_ST_CONFIRMED] = TO(TERMINATED),
		[SESSION_ST_TERMINATED] = 0,
	};
#undef TO
	static const char *const names[] = { "calling", "received", "early", "confirmed", "terminated" };

	if (!(moves[s->state] >> to & 1))
		return false;
	if (s->state != to)
		log_debug(s->dialog.ua->log, "call-id=%s session %s -> %s", s->dialog.call_id, names[s->state], names[to]);
	s->state = (uint8_t)to;
	return true;
}

int session_alloc(struct session **out, const struct session_handler *h, void *arg)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->handler = h ? h : &no_handler;
	s->arg = arg;
	timer_init(&s->reaper, on_reaper, s);
	timer_init(&s->timer, session_timer, s);
	timer_setup(s);
	*out = s;
	return 0;
}

/* What is waited for depends on where the session is; it is never two things. */
static void session_timer(void *arg)
{
	struct session *s = arg;

	switch ((enum session_state)s->state) {
	case SESSION_ST_CALLING:
		uac_cancel(s, STR_NULL);
		session_end(s, SESSION_TIMEOUT, 408, NULL);
		break;
	case SESSION_ST_EARLY:
		if (s->dialog.is_uac) {
			uac_cancel(s, STR_NULL);
			session_end(s, SESSION_TIMEOUT, 408, NULL);
		} else {
			uas_wait_over(s);
		}
		break;
	case SESSION_ST_CONFIRMED:
		uac_retry_now(s);
		break;
	case SESSION_ST_RECEIVED:
		uas_wait_over(s);
		break;
	case SESSION_ST_TERMINATED:
		uac_linger_over(s);
		break;
	}
}

/* ---- other requests of ours ---- */

static void req_free(struct session_req *q)
{
	DL_DELETE(q->session->reqs, q);
	request_fini(&q->req);
	free(q);
}

/* Another usage of the dialog: its end isn't the session's (RFC 5057 §5). */
static bool is_of_subscription(enum sip_method method)
{
	return method == SIP_NOTIFY || method == SIP_REFER || method == SIP_SUBSCRIBE;
}

static void req_over(struct session_req *q, int status, const struct sip_msg *m)
{
	struct session *s = q->session;
	void (*fn)(const struct sip_msg *, void *) = q->fn;
	void *arg = q->arg;
	/* What ends an early dialog that isn't ours any more, or refuses a PRACK, ends no session. */
	bool ends_nothing = q->req.method == SIP_BYE || q->req.dialog != &s->dialog || is_of_subscription(q->req.method);

	req_free(q);
	if (fn)
		fn(m, arg);
	if (!ends_nothing && status / 100 != 2)
		session_failed_by(s, status, m);
	session_reap(s);
}

static void req_on_response(struct request *r, const struct sip_msg *m)
{
	if (m->status >= 200)
		req_over(container_of(r, struct session_req, req), m->status, m);
}

static void req_on_done(struct request *r, int err)
{
	req_over(container_of(r, struct session_req, req), err == -ETIMEDOUT ? 408 : 503, NULL);
}

static const struct request_handler req_handler = { .on_response = req_on_response, .on_done = req_on_done };

int session_send_request(struct session *s, struct dialog *d, const struct request_params *p,
			 void (*fn)(const struct sip_msg *m, void *arg), void *arg)
{
	struct session_req *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->session = s;
	q->fn = fn;
	q->arg = arg;
	int err = request_start(&q->req, d, p, &req_handler);
	if (err) {
		free(q);
		return err;
	}
	DL_APPEND(s->reqs, q);
	return 0;
}

int session_request(struct session *s, const char *method, const char *hdrs, const char *ctype, struct str body,
		    void (*fn)(const struct sip_msg *m, void *arg), void *arg)
{
	const struct request_params p = {
		.method = method, .hdrs = str_from(hdrs), .ctype = body.n > 0 ? ctype : NULL, .body = body,
	};

	if (s->state == SESSION_ST_TERMINATED || !s->dialog.is_established)
		return -ENOTCONN;
	return session_send_request(s, &s->dialog, &p, fn, arg);
}

/* ---- the end ---- */

static bool is_byeing(const struct session *s)
{
	const struct session_req *q;

	DL_FOREACH(s->reqs, q) {
		if (q->req.method == SIP_BYE)
			return true;
	}
	return false;
}

void session_bye(struct session *s, const char *hdrs)
{
	const struct request_params p = { .method = "BYE", .hdrs = str_from(hdrs) };

	/* RFC 3261 §15: the callee's BYE must not overtake the ACK. */
	if (uas_initial_awaits_ack(s)) {
		free(s->bye_hdrs);
		s->bye_hdrs = hdrs ? strdup(hdrs) : NULL;
		s->waits_to_bye = true;
		return;
	}
	uac_ack_all(s);
	s->waits_to_bye = false;
	int err = session_send_request(s, &s->dialog, &p, NULL, NULL);
	if (err)
		log_debug(s->dialog.ua->log, "call-id=%s BYE not sent: %s", s->dialog.call_id, strerror(-err));
}

/* Those who wait for an answer of a request get none any more; then on_closed, last. */
static void tell_end(struct session *s, const struct sip_msg *m)
{
	struct session_req *q;

	if (s->is_told)
		return;
	s->is_told = true;
	for (q = s->reqs; q; q = q->next) {
		void (*fn)(const struct sip_msg *, void *) = q->fn;
		q->fn = NULL;
		if (fn)
			fn(NULL, q->arg);
	}
	const struct session_handler *h = s->handler;
	s->handler = &no_handler;
	if (h->on_closed)
		h->on_closed(s, (enum session_end)s->end, s->end_status, m, s->arg);
}

/* State and cleaning up; on_closed is still to be told. */
static bool terminate(struct session *s, enum session_end how, int status)
{
	if (!session_set_state(s, SESSION_ST_TERMINATED))
		return false;
	s->end = (uint8_t)how;
	s->end_status = status;
	timer_stop(s->dialog.ua->timers, &s->timer);
	timer_end(s);
	rel_end(s);
	uac_retry_drop(s);
	uas_reject_pending(s, 487, NULL, NULL);
	return true;
}

void session_end(struct session *s, enum session_end how, int status, const struct sip_msg *m)
{
	if (!terminate(s, how, status))
		return;
	tell_end(s, m);
	session_reap(s);
}

static void end_later(struct session *s, enum session_end how, int status)
{
	if (terminate(s, how, status))
		session_reap(s);
}

void session_reap(struct session *s)
{
	if (s->state == SESSION_ST_TERMINATED)
		timer_start(s->dialog.ua->timers, &s->reaper, 0);
}

static void session_free(struct session *s)
{
	struct sip_ua *ua = s->dialog.ua;
	struct session_req *q, *next;

	timer_stop(ua->timers, &s->reaper);
	timer_stop(ua->timers, &s->timer);
	timer_end(s);
	DL_FOREACH_SAFE(s->reqs, q, next)
		req_free(q);
	uac_retry_drop(s);
	uac_free_all(s);
	uas_free_all(s);
	early_free_all(s);
	rel_free(s);
	refer_drop_all(s);
	sip_msg_release(s->invite);
	free(s->bye_hdrs);
	dialog_fini(&s->dialog);
	ua->nsessions--;
	free(s);
}

static void on_reaper(void *arg)
{
	struct session *s = arg;

	tell_end(s, NULL);
	if (s->waits_to_bye && !uas_initial_awaits_ack(s))
		session_bye(s, s->bye_hdrs);
	if (s->waits_to_bye || is_byeing(s) || (s->is_cancelling && s->uac) || s->refers)
		return;
	session_free(s);
}

/* Does it end a call? A method that the peer doesn't know, re-INVITE among them, leaves what was agreed before. */
static bool ends_call(int status)
{
	return dialog_end_of(status) != DIALOG_END_NOTHING && status != 405 && status != 489 && status != 501;
}

bool session_failed_by(struct session *s, int status, const struct sip_msg *m)
{
	if (dialog_end_of(status) == DIALOG_END_ALL)
		refer_end_all(s);
	if (s->state == SESSION_ST_TERMINATED)
		return true;
	if (!ends_call(status))
		return false;
	session_bye(s, NULL);
	session_end(s, status == 408 ? SESSION_TIMEOUT : SESSION_REJECTED, status, m);
	return true;
}

int session_reject(struct session *s, int status, const char *reason, const char *hdrs)
{
	if (s->dialog.is_uac || status < 300 || status > 699)
		return -EINVAL;
	if (s->state != SESSION_ST_RECEIVED && s->state != SESSION_ST_EARLY)
		return -EALREADY;
	uas_reject_pending(s, status, reason, hdrs);
	end_later(s, SESSION_REJECTED, status);
	return 0;
}

void session_close(struct session *s, int status, const char *hdrs)
{
	switch ((enum session_state)s->state) {
	case SESSION_ST_CALLING:
	case SESSION_ST_EARLY:
		if (s->dialog.is_uac) {
			uac_cancel(s, str_from(hdrs));
			end_later(s, SESSION_CANCELLED, 487);
			break;
		}
		/* fallthrough */
	case SESSION_ST_RECEIVED:
		session_reject(s, status >= 300 && status <= 699 ? status : 480, NULL, hdrs);
		break;
	case SESSION_ST_CONFIRMED:
		session_bye(s, hdrs);
		end_later(s, SESSION_BYE_SENT, 0);
		break;
	case SESSION_ST_TERMINATED:
		break;
	}
}

void session_detach(struct session *s, int status, const char *hdrs)
{
	struct session_req *q;

	s->handler = &no_handler;
	DL_FOREACH(s->reqs, q)
		q->fn = NULL;
	session_close(s, status, hdrs);
}

/* ---- the dialog's calls ---- */

static void on_bye(struct session *s, struct strans *st, const struct sip_msg *m)
{
	strans_reply_simple(st, 200, NULL);
	if (!dialog_has_remote_tag(&s->dialog, m->from.tag)) {
		early_over(s, m->from.tag); /* one fork of several */
		return;
	}
	s->waits_to_bye = false; /* the peer was first */
	/* The caller may BYE an early dialog (§15); a callee may not, but then he means to end it. */
	if (s->dialog.is_uac && uac_is_pending(s) && s->state != SESSION_ST_CONFIRMED)
		uac_cancel(s, STR_NULL);
	session_end(s, SESSION_BYE_RECEIVED, 0, m);
	session_reap(s);
}

static void on_request(struct dialog *d, struct strans *st, const struct sip_msg *m)
{
	struct session *s = container_of(d, struct session, dialog);
	const struct sip_source *src = strans_source(st);
	const struct session_handler *h = s->handler;

	if (m->method == SIP_BYE) {
		on_bye(s, st, m);
		return;
	}
	if (s->state == SESSION_ST_TERMINATED) {
		/* What a REFER has begun goes on after the BYE (RFC 5057 §4.2). */
		if (m->method == SIP_SUBSCRIBE)
			refer_subscribe(s, st, m);
		else
			strans_reply_simple(st, 481, NULL);
		return;
	}
	if (!dialog_is_own_flow(d, src) && h->on_authorize && !h->on_authorize(s, st, m, s->arg))
		return;
	h = s->handler; /* on_authorize may have closed or detached */
	if (s->state == SESSION_ST_TERMINATED) {
		strans_reply_simple(st, 481, NULL);
		return;
	}
	bool is_fork = !dialog_has_remote_tag(d, m->from.tag);

	if (!is_fork)
		dialog_seen_from(d, src);
	if (!is_fork && (m->method == SIP_INVITE || m->method == SIP_UPDATE))
		update_take_from(s, m);
	/* Our one stream follows the fork heard last. */
	if (is_fork && sip_msg_part(m, "application/sdp").n > 0)
		strans_reply_simple(st, 488, NULL);
	else if (is_fork && m->method == SIP_REFER) /* our NOTIFYs would go to that one, too */
		strans_reply_simple(st, 603, NULL);
	else if (m->method == SIP_PRACK)
		uas_prack(s, st, m);
	else if (m->method == SIP_INVITE || m->method == SIP_UPDATE)
		uas_reoffer(s, st, m);
	else if (m->method == SIP_SUBSCRIBE)
		refer_subscribe(s, st, m);
	else if (!h->on_request || !h->on_request(s, st, m, s->arg))
		strans_reply_simple(st, m->method == SIP_OTHER ? 501 : 405, d->ua->allow);
}

static void on_ack(struct dialog *d, const struct sip_msg *m, const struct sip_source *src)
{
	(void)src;
	uas_ack(container_of(d, struct session, dialog), m);
}

static void on_stray_2xx(struct dialog *d, const struct sip_msg *m, const struct sip_source *src)
{
	uac_stray_2xx(container_of(d, struct session, dialog), m, src);
}

static void drop(struct dialog *d)
{
	session_free(container_of(d, struct session, dialog));
}

static int take_fork(struct dialog *d, const struct sip_msg *m)
{
	struct session *s = container_of(d, struct session, dialog);

	return early_take_seq(s, m);
}

static void print_request(const struct dialog *d, struct out *o)
{
	timer_print_request(container_of(d, struct session, dialog), o);
}

const struct dialog_usage session_usage = {
	.print_request = print_request,
	.take_fork = take_fork,
	.on_request = on_request,
	.on_ack = on_ack,
	.on_stray_2xx = on_stray_2xx,
	.drop = drop,
};

int session_set_hdrs(struct session *s, struct str hdrs)
{
	int err = dialog_set_hdrs(&s->dialog, hdrs);

	if (!err)
		uas_set_hdrs(s, hdrs);
	return err;
}

/* ---- what it is ---- */

bool session_is_agreed_early(const struct session *s)
{
	const struct early *e;

	if (s->state != SESSION_ST_EARLY)
		return false;
	if (!s->dialog.is_uac)
		return rel_is_agreed(s);
	e = early_find(s, str_from(s->dialog.remote_tag));
	return e && e->is_agreed && !e->is_over;
}

enum session_state session_state(const struct session *s)
{
	return (enum session_state)s->state;
}

struct str session_call_id(const struct session *s)
{
	return str_from(s->dialog.call_id);
}

struct str session_local_tag(const struct session *s)
{
	return str_from(s->dialog.local_tag);
}

struct str session_remote_tag(const struct session *s)
{
	return str_from(s->dialog.remote_tag);
}

struct str session_target(const struct session *s)
{
	return str_from(s->dialog.target);
}

const struct sip_msg *session_invite_msg(const struct session *s)
{
	return s->invite;
}

const struct sip_source *session_source(const struct session *s)
{
	return &s->dialog.source;
}

int session_local_addr(const struct session *s, union sockaddr_any *out)
{
	return dialog_local_addr(&s->dialog, out);
}

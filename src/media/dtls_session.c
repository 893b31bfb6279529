/* dtls_session.c - DTLS-SRTP of a stream (see dtls_session.h): its one or two associations, from agreement to keys.
 *
 * A server's handshakes with strangers go on beside an association's own, in dtls_rival.c.
 */
#define LOG_MODULE "media"
#include "media/dtls_session.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <utlist.h>

#include "media/dtls_rival.h"
#include "media/dtls_session_int.h"

#define CHECK_MS 1000         /* how often is looked whether the last flight has come */
#define ELSEWHERE_MS 500      /* whom we call on has so long to answer from where he is called, alone */
#define TYPE_ALERT 21

static void on_timer(void *arg);
static void on_deadline(void *arg);

/* ---- life ---- */

void dtls_part_init(struct dtls_part *p, struct dtls_session *d, unsigned kind)
{
	p->of = d;
	p->kind = kind;
	timer_init(&p->timer, on_timer, p);
}

struct dtls_session *dtls_session_new(const struct dtls_identity *id, const struct dtls_params *p)
{
	struct dtls_session *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->id = id;
	if (p) {
		d->params = *p;
		d->shut = secure_new_shut();
		if (!d->shut) {
			free(d);
			return NULL;
		}
	}
	for (unsigned i = 0; i < NPARTS; i++)
		dtls_part_init(&d->parts[i], d, i);
	timer_init(&d->deadline, on_deadline, d);
	return d;
}

void dtls_session_free(struct dtls_session *d)
{
	struct dtls_datagram *g, *next;

	if (!d)
		return;
	LL_FOREACH_SAFE(d->inbox, g, next)
		free(g);
	for (unsigned i = 0; i < NPARTS; i++) {
		dtls_rivals_free(&d->parts[i]);
		dtls_free(d->parts[i].ssl);
	}
	secure_free(d->shut);
	free(d);
}

static void enqueue(struct dtls_session *d)
{
	if (d->is_queued)
		return;
	d->is_queued = true;
	DL_APPEND(dtls_session_worker(d)->handshakes, d);
}

static void dequeue(struct dtls_session *d)
{
	if (d->is_queued)
		DL_DELETE(dtls_session_worker(d)->handshakes, d);
	d->is_queued = false;
}

static bool has_work(const struct dtls_session *d)
{
	if (d->inbox && d->params.number)
		return true;
	for (unsigned i = 0; i < NPARTS; i++)
		if (d->parts[i].wants_start)
			return true;
	return false;
}

void dtls_session_detach(struct rtp_session *s)
{
	struct dtls_session *d = s->dtls;

	if (!d)
		return;
	dequeue(d);
	timer_stop(s->worker->timers, &d->deadline);
	for (unsigned i = 0; i < NPARTS; i++) {
		timer_stop(s->worker->timers, &d->parts[i].timer);
		dtls_rivals_detach(&d->parts[i]);
	}
}

/* From when media are expected, and for each association anew. */
static void arm_deadline(struct dtls_session *d, bool is_new)
{
	struct timers *t = dtls_session_worker(d)->timers;

	if (!d->params.number || d->parts[PART_RTP].is_done || d->is_over || !d->s->config.dtls_is_due)
		timer_stop(t, &d->deadline);
	else if (is_new || !timer_is_running(&d->deadline))
		timer_start(t, &d->deadline, DTLS_TIMEOUT_MS);
}

/* Timers fire early rather than late: each looks what there is to do. */
void dtls_session_attach(struct rtp_session *s)
{
	struct dtls_session *d = s->dtls;

	if (!d)
		return;
	arm_deadline(d, false);
	for (unsigned i = 0; i < NPARTS; i++) {
		timer_start(s->worker->timers, &d->parts[i].timer, 1);
		dtls_rivals_attach(&d->parts[i]);
	}
	if (has_work(d))
		enqueue(d);
}

void dtls_session_end(struct rtp_session *s)
{
	dtls_session_detach(s);
	dtls_session_free(s->dtls);
	s->dtls = NULL;
	secure_free(s->rtcp_secure);
	s->rtcp_secure = NULL;
}

/* ---- what comes of it ---- */

void dtls_session_report(struct dtls_session *d, enum stream_insecure why, bool is_over)
{
	struct event e = { .insecure = { why, is_over } };

	d->why = why;
	count_one(&dtls_session_worker(d)->count.handshakes_failed);
	if (d->is_over || (d->is_reported && !is_over))
		return;
	d->is_reported = true;
	d->is_over = is_over;
	rtp_session_event(d->s, EV_INSECURE, &e);
}

void dtls_part_forget(struct dtls_part *p)
{
	dtls_free(p->ssl);
	p->ssl = NULL;
	memset(&p->peer, 0, sizeof(p->peer));
	timer_stop(dtls_session_worker(p->of)->timers, &p->timer);
}

/* Which of the session's contexts the part's keys are for. */
static struct secure **contexts_of(struct dtls_part *p)
{
	struct rtp_session *s = p->of->s;

	return p->kind == PART_RTP ? &s->secure : &s->rtcp_secure;
}

static int take_keys(struct dtls_part *p)
{
	struct secure_params keys;
	struct secure *fresh;
	int err = dtls_keys(p->ssl, &keys);

	if (err)
		return err;
	err = secure_new(&fresh, NULL, &keys);
	if (!err && p->kind == PART_RTP) {
		struct event e = { .secured = keys.suite };

		rtp_session_event(p->of->s, EV_SECURED, &e);
	}
	explicit_bzero(&keys, sizeof(keys));
	if (!err)
		secure_renew(contexts_of(p), fresh);
	return err;
}

static void failed(struct dtls_part *p, enum dtls_status status)
{
	struct dtls_session *d = p->of;
	enum stream_insecure why = status == DTLS_WRONG_CERTIFICATE ? STREAM_WRONG_CERTIFICATE : STREAM_HANDSHAKE_BROKEN;
	bool is_mixed = p->is_mixed;

	if (p->main) {
		dtls_rival_fail(p, why);
		return;
	}
	dtls_part_forget(p);
	p->is_again = false;
	/* Where media are safe already, another try that came to nothing leaves them so. */
	if (p->is_done || p->kind == PART_RTCP)
		count_one(&dtls_session_worker(d)->count.handshakes_failed);
	else
		dtls_session_report(d, why, d->params.is_client && !is_mixed);
	if (is_mixed && !p->is_done) { /* that may have been anybody's doing */
		p->wants_start = true;
		enqueue(d);
	}
}

static void watch(struct dtls_part *p)
{
	struct timers *t = dtls_session_worker(p->of)->timers;
	int ms = p->ssl ? dtls_wait_ms(p->ssl) : -1;

	if (p->ssl && p->is_done && !p->is_again)
		timer_start(t, &p->timer, CHECK_MS);
	else if (ms >= 0)
		timer_start(t, &p->timer, (uint64_t)(ms > DTLS_FLIGHT_MAX_MS ? DTLS_FLIGHT_MAX_MS : ms));
	else
		timer_stop(t, &p->timer);
}

static void succeeded(struct dtls_part *p)
{
	struct dtls_session *d = p->of;
	struct rtp_session *s = d->s;

	if (take_keys(p) != 0) {
		failed(p, DTLS_BROKEN);
		return;
	}
	if (p->main)
		p = dtls_rival_win(p);
	dtls_rivals_end(p);
	p->is_done = true;
	p->is_again = false;
	p->done_us = s->worker->now_us;
	p->packets = s->packets_received;
	count_one(&s->worker->count.handshakes);
	if (p->kind == PART_RTP) {
		timer_stop(s->worker->timers, &d->deadline);
		rtp_session_prove(s, &p->heard);
	} else {
		s->rtcp_source = p->heard;
	}
	if (d->params.is_client) /* the server's last flight is here, so all of ours has come */
		dtls_part_forget(p);
	else
		watch(p);
}

void dtls_part_stepped(struct dtls_part *p, enum dtls_status status)
{
	bool is_kept = p->is_done && !p->is_again; /* nothing can become of what is done */

	if (status == DTLS_DONE && !is_kept)
		succeeded(p);
	else if (status > DTLS_DONE && !is_kept)
		failed(p, status);
	else if (p->ssl)
		watch(p);
}

/* ---- datagrams out ---- */

static void on_send(const uint8_t *data, size_t n, void *arg)
{
	const struct dtls_part *p = arg;
	const struct rtp_session *s = p->of->s;
	int fd = p->kind == PART_RTP ? s->rtp_fd : s->rtcp_fd;

	/* A pending ICMP error takes the place of the first. */
	for (int i = 0; i < 2; i++)
		if (sendto(fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL, &p->peer.sa, addr_len(&p->peer)) >= 0)
			break;
}

bool dtls_part_begin(struct dtls_part *p)
{
	struct dtls_session *d = p->of;

	if (!p->ssl && dtls_new(&p->ssl, d->id, &d->params, on_send, p) != 0) {
		log_error(dtls_session_worker(d)->log, "no memory for a DTLS handshake");
		p->ssl = NULL;
	}
	p->heard_us = dtls_session_worker(d)->now_us;
	return p->ssl != NULL;
}

static const struct addr *target_of(const struct dtls_part *p)
{
	const struct rtp_session *s = p->of->s;
	const struct addr *to = latch_target(&s->latch);

	if (p->kind == PART_RTCP)
		to = s->agent ? &s->rtcp_source : &s->config.remote_rtcp;
	return to && addr_is_set(to) ? to : NULL;
}

/* The client calls on the peer, once it is known where that is. */
static void start(struct dtls_part *p)
{
	const struct addr *to = target_of(p);

	p->wants_start = false;
	if (p->ssl || p->is_done || p->of->is_over || !to || !dtls_part_begin(p))
		return;
	p->peer = *to;
	p->begun_us = p->heard_us;
	p->is_mixed = false;
	memset(&p->heard, 0, sizeof(p->heard));
	dtls_part_stepped(p, dtls_start(p->ssl));
}

/* ---- datagrams in ---- */

static bool is_expected(const struct dtls_part *p, const struct addr *from)
{
	struct rtp_session *s = p->of->s;

	if (s->agent)
		return agent_accepts(s, from);
	if (p->kind == PART_RTP)
		return s->latch.locked ? addr_eq(from, &s->latch.source) : addr_eq(from, &s->config.remote);
	return addr_eq(from, &s->config.remote_rtcp) || (s->latch.locked && addr_same_host(from, &s->latch.source));
}

/* A ClientHello of somebody else than those we are at it with. */
static void hello(struct dtls_part *p, const struct dtls_datagram *g)
{
	bool is_known = is_expected(p, &g->from);

	if (!is_known && p->of->s->agent) {
		count_one(&dtls_session_worker(p->of)->count.dropped_source);
		return;
	}
	if (!is_known) {
		dtls_rival_call(p, g);
		return;
	}
	if (p->ssl)
		dtls_part_forget(p);
	if (!dtls_part_begin(p))
		return;
	p->peer = p->heard = g->from;
	dtls_part_stepped(p, dtls_take(p->ssl, g->p, g->n));
}

/* To an association that is there: see the header. */
static bool is_to_wait(struct dtls_part *p, const struct dtls_datagram *g)
{
	struct timers *t = dtls_session_worker(p->of)->timers;

	if (!p->is_done || p->is_again || p->of->params.is_client || !dtls_is_hello(g->p, g->n))
		return false;
	if (p->ssl && !addr_eq(&g->from, &p->heard)) /* a stranger's: the last flight may still be asked for */
		return false;
	if (p->ssl)
		dtls_part_forget(p);
	if (!timer_is_running(&p->timer))
		timer_start(t, &p->timer, DTLS_HOLD_MS);
	return true;
}

/* Whom we call on may answer from another address than it is called at: what it says shows whether it is the one, and where it is. Until then
 * it may be anybody, who would break the handshake: so only when there is no answer from there, and no alerts. */
static bool is_from_elsewhere(struct dtls_part *p, const struct dtls_datagram *g)
{
	if (!p->of->params.is_client || p->is_done || g->p[0] == TYPE_ALERT || addr_eq(&p->heard, &p->peer))
		return false;
	if (dtls_session_worker(p->of)->now_us - p->begun_us < ELSEWHERE_MS * 1000)
		return false;
	p->is_mixed = true;
	return true;
}

/* Is it of the handshake under way? With ICE it may go on from another of its addresses. */
static bool is_of_peer(struct dtls_part *p, const struct dtls_datagram *g)
{
	const struct addr *from = &g->from;

	if (!p->ssl || !addr_is_set(&p->peer))
		return false;
	if (addr_eq(&p->peer, from))
		return true;
	if (!p->of->s->agent)
		return is_from_elsewhere(p, g);
	if (!is_expected(p, from))
		return false;
	p->peer = *from;
	return true;
}

static void take(struct dtls_part *p, const struct dtls_datagram *g)
{
	struct dtls_part *rival = dtls_rival_find(p, &g->from);

	if (rival)
		p = rival;
	if (rival || is_of_peer(p, g)) {
		p->heard = g->from;
		p->heard_us = dtls_session_worker(p->of)->now_us;
		dtls_part_stepped(p, dtls_take(p->ssl, g->p, g->n));
	} else if (!p->of->params.is_client && (!p->is_done || p->is_again) && dtls_is_hello(g->p, g->n)) {
		hello(p, g);
	} else if (!p->is_done) {
		count_one(&dtls_session_worker(p->of)->count.dropped_source);
	}
}

void dtls_session_run(struct worker *w)
{
	struct dtls_session *d = w->handshakes;
	struct dtls_datagram *g;

	if (!d)
		return;
	dequeue(d);
	for (unsigned i = 0; i < NPARTS; i++)
		if (d->parts[i].wants_start) {
			start(&d->parts[i]);
			goto out;
		}
	g = d->inbox;
	if (!g || is_to_wait(&d->parts[g->part], g))
		return;
	LL_DELETE(d->inbox, g);
	d->nwaiting--;
	take(&d->parts[g->part], g);
	free(g);
out:
	if (has_work(d))
		enqueue(d);
}

/* Before anything is agreed on, one ClientHello is kept: the last. */
static struct dtls_session *early(struct rtp_session *s, const uint8_t *p, size_t n)
{
	if (s->dtls)
		return s->dtls;
	if (addr_is_set(&s->config.remote) || !dtls_is_hello(p, n))
		return NULL;
	s->dtls = dtls_session_new(NULL, NULL);
	if (s->dtls)
		s->dtls->s = s;
	return s->dtls;
}

static bool has_room(struct dtls_session *d)
{
	struct dtls_datagram *oldest = d->inbox;

	if (d->params.number || !oldest)
		return d->nwaiting < DTLS_DATAGRAMS_MAX;
	LL_DELETE(d->inbox, oldest);
	d->nwaiting--;
	free(oldest);
	return true;
}

void dtls_session_datagram(struct rtp_session *s, struct endpoint *e, const uint8_t *p, size_t n, const struct addr *from)
{
	unsigned part = e->is_rtcp ? PART_RTCP : PART_RTP;
	struct dtls_session *d = dtls_is_record(p, n) ? early(s, p, n) : NULL;
	struct dtls_datagram *g;

	if (!d || (part == PART_RTCP && s->config.rtcp_mux)) {
		count_one(&s->worker->count.dropped_malformed);
		return;
	}
	if (s->agent && from && !agent_accepts(s, from)) /* who hasn't checked takes no room from who has */
		return;
	g = has_room(d) ? malloc(sizeof(*g) + n) : NULL;
	if (!g) /* as if lost on the way */
		return;
	g->from = from ? *from : s->latch.source;
	g->part = part;
	g->n = n;
	memcpy(g->p, p, n);
	LL_APPEND(d->inbox, g);
	d->nwaiting++;
	if (d->params.number)
		enqueue(d);
}

/* ---- time ---- */

static bool has_last_flight_come(const struct dtls_part *p)
{
	const struct rtp_session *s = p->of->s;

	return s->packets_received > p->packets || s->worker->now_us - p->done_us > DTLS_KEEP_MS * 1000;
}

static void on_timer(void *arg)
{
	struct dtls_part *p = arg;
	struct dtls_session *d = p->of;

	if (p->ssl && (!p->is_done || p->is_again)) {
		if (dtls_timeout(p->ssl) != DTLS_BROKEN) {
			watch(p);
			return;
		}
		if (p->main) {
			dtls_rival_end(p);
			return;
		}
		dtls_part_forget(p); /* nobody answers: begin anew, as long as there is time */
		p->is_again = false;
		p->wants_start = d->params.is_client && !p->is_done;
		if (p->wants_start)
			enqueue(d);
	} else if (p->ssl && has_last_flight_come(p)) {
		dtls_part_forget(p);
	} else if (p->ssl) {
		watch(p);
	} else if (p->is_done && d->inbox) { /* no other association was agreed on */
		p->is_again = true;
		enqueue(d);
	}
}

/* A handshake that isn't there while media are to be. */
static void on_deadline(void *arg)
{
	struct dtls_session *d = arg;

	dtls_session_report(d, d->is_reported ? d->why : STREAM_HANDSHAKE_TIMEOUT, true);
}

/* ---- what is agreed ---- */

/* Contexts that let nothing through where there are none. */
static void shut(struct dtls_session *d, struct secure **to)
{
	if (*to)
		return;
	*to = d->shut ? d->shut : secure_new_shut();
	d->shut = NULL;
}

/* What is there of an association before goes; what has come since for the new one stays. */
static void adopt(struct rtp_session *s, struct dtls_session *fresh)
{
	struct dtls_session *old = s->dtls;
	bool is_kept = old && old->params.number && dtls_is_same_peer(&old->params, &fresh->params);

	dtls_session_detach(s);
	if (old) {
		fresh->inbox = old->inbox;
		fresh->nwaiting = old->nwaiting;
		old->inbox = NULL;
		dtls_session_free(old);
	}
	if (!is_kept) { /* other keys, or none: nothing of them holds for this peer */
		secure_free(s->secure);
		secure_free(s->rtcp_secure);
		s->secure = s->rtcp_secure = NULL;
	}
	fresh->s = s;
	s->dtls = fresh;
}

/* The client begins where the peer is now. */
static void call_on(struct dtls_part *p)
{
	const struct addr *to = target_of(p);

	if (p->is_done)
		return;
	if (p->ssl && to && !addr_eq(to, &p->peer))
		dtls_part_forget(p);
	p->wants_start = !p->ssl;
}

static void reach(struct dtls_session *d)
{
	bool has_rtcp = !d->s->config.rtcp_mux;

	for (unsigned i = 0; d->params.is_client && i < (has_rtcp ? NPARTS : 1u); i++)
		call_on(&d->parts[i]);
	if (has_work(d))
		enqueue(d);
}

void dtls_session_reach(struct rtp_session *s)
{
	if (s->dtls && s->dtls->params.number)
		reach(s->dtls);
}

void dtls_session_configure(struct rtp_session *s, struct dtls_session *fresh)
{
	struct dtls_session *d;

	if (fresh)
		adopt(s, fresh);
	d = s->dtls;
	if (!d)
		return;
	shut(d, &s->secure);
	if (!s->config.rtcp_mux) {
		shut(d, &s->rtcp_secure);
	} else {
		dtls_rivals_end(&d->parts[PART_RTCP]);
		dtls_part_forget(&d->parts[PART_RTCP]);
		secure_free(s->rtcp_secure);
		s->rtcp_secure = NULL;
	}
	arm_deadline(d, fresh != NULL);
	reach(d);
}

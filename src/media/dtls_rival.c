/* dtls_rival.c - a DTLS server's handshakes with strangers (see dtls_rival.h).
 *
 * What a handshake's steps lead to is dtls_session.c's, as for any part.
 */
#include "media/dtls_rival.h"

#include <stdlib.h>
#include <utlist.h>

#define QUIET_MS 2000         /* of a handshake with a stranger, until another may have its place, */
#define RIVAL_MS 5000         /* or its age: longer than two flights in a row that got lost (RFC 6347 §4.2.4.1) */

/* ---- who may hold one ---- */

static bool is_old(const struct dtls_part *r)
{
	uint64_t now = dtls_session_worker(r->of)->now_us;

	return now - r->heard_us > QUIET_MS * 1000 || now - r->begun_us > RIVAL_MS * 1000;
}

/* Of IPv6 a host has as many addresses as it likes. */
static bool is_same_site(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != AF_INET6 || b->sa.sa_family != AF_INET6)
		return addr_same_host(a, b);
	return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 8) == 0;
}

/* The handshake whose place another stranger's would take: that of his own host, else of all places the one that is quiet for longest. NULL:
 * there is room. */
static struct dtls_part *in_the_way(const struct dtls_part *p, const struct addr *from)
{
	struct dtls_part *r, *oldest = NULL;
	unsigned n = 0;

	LL_FOREACH(p->rivals, r) {
		if (!addr_is_set(&r->peer))
			continue;
		if (is_same_site(&r->peer, from))
			return r;
		if (!oldest || r->heard_us < oldest->heard_us)
			oldest = r;
		n++;
	}
	return n < DTLS_RIVALS_MAX ? NULL : oldest;
}

/* The one that listens to who hasn't shown yet where he is. */
static struct dtls_part *listening(struct dtls_part *p)
{
	struct dtls_part *r;

	LL_FOREACH(p->rivals, r)
		if (!addr_is_set(&r->peer))
			return r;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	dtls_part_init(r, p->of, p->kind);
	r->main = p;
	LL_PREPEND(p->rivals, r);
	return r;
}

/* Until he has shown his cookie, that is all he gets, and he takes nobody's place. */
void dtls_rival_call(struct dtls_part *p, const struct dtls_datagram *g)
{
	struct dtls_part *other = in_the_way(p, &g->from), *r;
	enum dtls_status status;

	if (other && !is_old(other)) {
		count_one(&dtls_session_worker(p->of)->count.dropped_source);
		return;
	}
	r = listening(p);
	if (!r || !dtls_part_begin(r))
		return;
	r->begun_us = r->heard_us;
	r->peer = r->heard = g->from;
	if (!dtls_listen(r->ssl, &g->from, g->p, g->n, &status)) {
		memset(&r->peer, 0, sizeof(r->peer));
		return;
	}
	if (other)
		dtls_rival_end(other);
	dtls_part_stepped(r, status);
}

struct dtls_part *dtls_rival_find(const struct dtls_part *p, const struct addr *from)
{
	struct dtls_part *r;

	LL_FOREACH(p->rivals, r)
		if (addr_is_set(&r->peer) && addr_eq(&r->peer, from))
			return r;
	return NULL;
}

/* ---- what comes of one ---- */

struct dtls_part *dtls_rival_win(struct dtls_part *r)
{
	struct dtls_part *p = r->main;

	dtls_part_forget(p);
	p->ssl = r->ssl;
	p->peer = r->peer;
	p->heard = r->heard;
	p->heard_us = r->heard_us;
	dtls_redirect(p->ssl, p);
	r->ssl = NULL;
	dtls_rival_end(r);
	return p;
}

void dtls_rival_fail(struct dtls_part *r, enum stream_insecure why)
{
	struct dtls_session *d = r->of;

	if (r->main->is_done || r->kind == PART_RTCP)
		count_one(&dtls_session_worker(d)->count.handshakes_failed);
	else
		dtls_session_report(d, why, false);
	dtls_rival_end(r);
}

void dtls_rival_end(struct dtls_part *r)
{
	dtls_part_forget(r);
	LL_DELETE(r->main->rivals, r);
	free(r);
}

/* ---- all of a part ---- */

void dtls_rivals_end(struct dtls_part *p)
{
	while (p->rivals)
		dtls_rival_end(p->rivals);
}

void dtls_rivals_free(struct dtls_part *p)
{
	struct dtls_part *r, *next;

	LL_FOREACH_SAFE(p->rivals, r, next) {
		dtls_free(r->ssl);
		free(r);
	}
	p->rivals = NULL;
}

void dtls_rivals_attach(struct dtls_part *p)
{
	struct dtls_part *r;

	LL_FOREACH(p->rivals, r)
		timer_start(dtls_session_worker(p->of)->timers, &r->timer, 1);
}

void dtls_rivals_detach(struct dtls_part *p)
{
	struct dtls_part *r;

	LL_FOREACH(p->rivals, r)
		timer_stop(dtls_session_worker(p->of)->timers, &r->timer);
}

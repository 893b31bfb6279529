/* bundle.c - several sessions on one transport (BUNDLE, RFC 9143): those that ride have no socket, no ICE and no keys of their own.
 *
 * The carrier is the session of the sound, whose ports and SRTP contexts all use. What comes is opened there and told apart here: a packet by
 * its payload type, which means one thing in a group (RFC 9143 §9.1), RTCP by the sources that it speaks of (§9.2). What rides is
 * opaque (opaque.c), so that its sources are those of the two far ends, and who sent or is sent what is all there is to know of them.
 *
 * What rides is opened, handed over and closed with its carrier's worker; it is a session like others in all else.
 */
#include "media/media_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#define SOURCES_MAX 8 /* of each, either way: a picture, its retransmissions, its forward error correction, some that are gone */

struct sources {
	unsigned n;
	uint32_t list[SOURCES_MAX]; /* the latest is first */
};

struct rider {
	struct rtp_session *s, *carrier; /* carrier NULL: it is gone, or not there yet */
	struct rider *next;
	uint32_t pts[4];
	struct sources heard, said;
};

/* ---- sources ---- */

static bool has_source(const struct sources *l, uint32_t ssrc)
{
	for (unsigned i = 0; i < l->n; i++)
		if (l->list[i] == ssrc)
			return true;
	return false;
}

static void note_source(struct sources *l, uint32_t ssrc)
{
	if (has_source(l, ssrc))
		return;
	if (l->n < SOURCES_MAX)
		l->n++;
	memmove(l->list + 1, l->list, (l->n - 1) * sizeof(*l->list));
	l->list[0] = ssrc;
}

/* ---- on and off ---- */

int bundle_board(struct rtp_session *s, struct rtp_session *carrier)
{
	s->riders = calloc(1, sizeof(*s->riders));
	if (!s->riders)
		return -ENOMEM;
	s->riders->s = s;
	s->riders->carrier = carrier;
	s->is_rider = true;
	return 0;
}

void bundle_join(struct rtp_session *s)
{
	struct rtp_session *carrier = s->riders->carrier;

	LL_PREPEND(carrier->riders, s->riders);
	carrier->has_riders = true;
}

static void get_off(struct rtp_session *carrier, struct rider *r)
{
	LL_DELETE(carrier->riders, r);
	r->carrier = NULL;
	carrier->has_riders = carrier->riders != NULL;
}

void bundle_leave(struct rtp_session *s)
{
	while (s->has_riders)
		get_off(s, s->riders);
	if (s->is_rider && s->riders->carrier)
		get_off(s->riders->carrier, s->riders);
}

void bundle_free(struct rtp_session *s)
{
	if (s->is_rider)
		free(s->riders);
}

void bundle_attach(struct worker *w, struct rtp_session *s)
{
	struct rider *r;

	LL_FOREACH(s->riders, r)
		rtp_session_attach(w, r->s);
}

void bundle_detach(struct rtp_session *s)
{
	struct rider *r;

	LL_FOREACH(s->riders, r)
		rtp_session_detach(r->s);
}

void bundle_configure(struct rtp_session *s, const uint32_t pts[4])
{
	memcpy(s->riders->pts, pts, sizeof(s->riders->pts));
}

struct rtp_session *bundle_carrier(const struct rtp_session *s)
{
	return s->riders->carrier;
}

void bundle_said(struct rtp_session *s, uint32_t ssrc)
{
	note_source(&s->riders->said, ssrc);
}

/* ---- whose it is ---- */

static bool is_of(const struct rider *r, uint8_t pt)
{
	return r->pts[pt / 32] >> (pt & 31) & 1;
}

/* The payload type tells, unless two have it: then who has sent from this source before goes on. */
struct rtp_session *bundle_find(const struct rtp_session *s, const struct rtp_packet *h)
{
	struct rider *r, *found = NULL;

	LL_FOREACH(s->riders, r) {
		if (!is_of(r, h->pt))
			continue;
		if (!found || has_source(&r->heard, h->ssrc))
			found = r;
	}
	if (!found)
		return NULL;
	note_source(&found->heard, h->ssrc);
	return found->s;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum owner { OWNER_UNKNOWN, OWNER_CARRIER, OWNER_RIDER };

static enum owner owner_of(const struct rtp_session *s, uint32_t ssrc, bool is_sender, struct rider **out)
{
	struct rider *r;

	LL_FOREACH(s->riders, r) {
		if (!has_source(is_sender ? &r->heard : &r->said, ssrc))
			continue;
		*out = r;
		return OWNER_RIDER;
	}
	if (is_sender ? s->rx.started && ssrc == s->rx.ssrc : ssrc == s->tx.ssrc)
		return OWNER_CARRIER;
	return OWNER_UNKNOWN;
}

/* Where in a packet of len bytes the source stands that it is about, ours or a partner's; 0: nowhere. */
static size_t about_at(const uint8_t *p, size_t len)
{
	size_t at = p[1] == RTCP_SR ? 28 : 8;

	if (p[1] > RTCP_RR && p[1] != RTCP_RTPFB && p[1] != RTCP_PSFB)
		return 0;
	if (p[1] == RTCP_PSFB && len >= 16 && get32(p + 8) == 0) /* FIR names it behind (RFC 5104 §4.3.1.1) */
		at = 12;
	return p[1] <= RTCP_RR && !(p[0] & 0x1f) ? 0 : at + 4 <= len ? at : 0;
}

struct rtp_session *bundle_find_rtcp(const struct rtp_session *s, const uint8_t *p, size_t n)
{
	enum owner owner = OWNER_UNKNOWN;
	struct rider *r = s->riders;
	bool is_feedback = false;

	for (size_t len; n >= 8 && owner == OWNER_UNKNOWN; p += len, n -= len) {
		size_t at;

		len = 4u * ((size_t)(p[2] << 8 | p[3]) + 1u);
		if (len > n || len < 8)
			break;
		is_feedback = is_feedback || p[1] == RTCP_RTPFB || p[1] == RTCP_PSFB;
		at = about_at(p, len);
		if (at)
			owner = owner_of(s, get32(p + at), false, &r);
		if (owner == OWNER_UNKNOWN)
			owner = owner_of(s, get32(p + 4), true, &r);
	}
	/* Of sound there is no feedback that we have asked for. */
	return owner == OWNER_RIDER || (owner == OWNER_UNKNOWN && is_feedback) ? r->s : NULL;
}

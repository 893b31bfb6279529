/* ice.c - checks answered, and what follows from them (see ice.h).
 *
 * All that is kept of the peer are the ways it has checked: its candidates needn't be known, nor be resolved where they are names
 * (mDNS), for whoever knows our password comes from where the media are to go.
 */
#include "media/ice.h"

#include <stdlib.h>

#include "base/stun_msg.h"

#define WAYS_MAX 8 /* a laptop has four addresses, behind a NAT two of each; the rest of them can wait */

struct way {                     /* one that the peer has checked */
	struct addr from;        /* unset: none */
	uint32_t priority;       /* as the check says */
	uint32_t generation;     /* of the credentials */
	uint64_t checked_ms, named_ms;
};

struct ice {
	struct ice_credentials ours, former;
	uint64_t former_ends_ms;
	uint32_t generation;     /* rises with each restart */
	struct way ways[WAYS_MAX];
	struct way *chosen;      /* of these; NULL: none */
	uint64_t chosen_ms, heard_ms;
	bool is_steady;          /* the peer goes on checking the way it has chosen */
	struct addr rtcp;        /* chosen for the other component */
	uint32_t rtcp_generation;
};

struct ice *ice_new(const struct ice_credentials *ours)
{
	struct ice *ice = calloc(1, sizeof(*ice));

	if (ice)
		ice->ours = *ours;
	return ice;
}

void ice_free(struct ice *ice)
{
	if (!ice)
		return;
	explicit_bzero(ice, sizeof(*ice));
	free(ice);
}

void ice_renew(struct ice *ice, const struct ice *fresh, uint64_t now_ms)
{
	if (!strcmp(ice->ours.ufrag, fresh->ours.ufrag) && !strcmp(ice->ours.pwd, fresh->ours.pwd))
		return;
	ice->former = ice->ours;
	ice->former_ends_ms = now_ms + ICE_FORMER_MS;
	ice->ours = fresh->ours;
	ice->generation++;
}

/* ---- who asks ---- */

/* "ours:theirs" (RFC 8445 §7.3). */
static bool is_to(struct str username, const char *ufrag)
{
	return username.n > ICE_UFRAG_LEN && username.p[ICE_UFRAG_LEN] == ':' && memcmp(username.p, ufrag, ICE_UFRAG_LEN) == 0;
}

/* Whose password is it made by? NULL: nobody's. */
static const struct ice_credentials *credentials_of(const struct ice *ice, const struct stun_msg *m, uint64_t now_ms)
{
	if (is_to(m->username, ice->ours.ufrag))
		return stun_msg_is_by(m, str_from(ice->ours.pwd)) ? &ice->ours : NULL;
	if (now_ms < ice->former_ends_ms && is_to(m->username, ice->former.ufrag))
		return stun_msg_is_by(m, str_from(ice->former.pwd)) ? &ice->former : NULL;
	return NULL;
}

/* ---- answers ---- */

static void finish(struct stun_out *o, const struct ice_credentials *by, struct ice_answer *answer)
{
	if (by)
		stun_add_integrity(o, str_from(by->pwd));
	stun_add_fingerprint(o);
	answer->len = o->len;
}

static enum ice_verdict refuse(const struct stun_msg *m, unsigned code, const struct ice_credentials *by, struct ice_answer *answer)
{
	struct stun_out o;

	stun_begin(&o, answer->bytes, sizeof(answer->bytes), STUN_BINDING_ERROR, m->id);
	stun_add_error(&o, code, "");
	if (code == 420)
		stun_add_unknown(&o, m);
	finish(&o, by, answer);
	return ICE_REFUSED;
}

static void confirm(const struct stun_msg *m, const struct addr *from, const struct ice_credentials *by, struct ice_answer *answer)
{
	struct stun_out o;

	stun_begin(&o, answer->bytes, sizeof(answer->bytes), STUN_BINDING_SUCCESS, m->id);
	stun_add_address(&o, &from->sa);
	finish(&o, by, answer);
}

/* ---- ways ---- */

static struct way *way_find(struct ice *ice, const struct addr *from)
{
	for (unsigned i = 0; i < WAYS_MAX; i++)
		if (addr_eq(&ice->ways[i].from, from))
			return &ice->ways[i];
	return NULL;
}

/* A free one, else the one that nobody has checked for the longest. */
static struct way *way_new(struct ice *ice, const struct addr *from)
{
	struct way *best = NULL;

	for (unsigned i = 0; i < WAYS_MAX; i++) {
		struct way *w = &ice->ways[i];

		if (w != ice->chosen && (!best || w->checked_ms < best->checked_ms))
			best = w;
	}
	*best = (struct way){ .from = *from };
	return best;
}

static bool is_to_replace(const struct ice *ice, const struct way *w, uint64_t now_ms)
{
	const struct way *now = ice->chosen;

	return !now || now->generation != ice->generation || w->priority > now->priority || now_ms - now->named_ms >= ICE_SETTLE_MS;
}

static enum ice_verdict way_name(struct ice *ice, struct way *w, uint64_t now_ms)
{
	w->named_ms = now_ms;
	if (ice->chosen == w || !is_to_replace(ice, w, now_ms))
		return ICE_CHECKED;
	ice->chosen = w;
	ice->chosen_ms = now_ms;
	ice->is_steady = false;
	return ICE_CHOSEN;
}

static enum ice_verdict way_checked(struct ice *ice, const struct stun_msg *m, const struct addr *from, bool is_former, uint64_t now_ms)
{
	struct way *w = way_find(ice, from);

	if (!w)
		w = way_new(ice, from);
	w->checked_ms = now_ms;
	if (w == ice->chosen && now_ms - ice->chosen_ms >= ICE_STEADY_MS)
		ice->is_steady = true;
	if (is_former)
		return ICE_CHECKED;
	w->priority = m->priority;
	w->generation = ice->generation;
	return m->use_candidate ? way_name(ice, w, now_ms) : ICE_CHECKED;
}

static enum ice_verdict rtcp_checked(struct ice *ice, const struct stun_msg *m, const struct addr *from, bool is_former)
{
	if (is_former || !m->use_candidate || (addr_eq(from, &ice->rtcp) && ice->rtcp_generation == ice->generation))
		return ICE_CHECKED;
	ice->rtcp = *from;
	ice->rtcp_generation = ice->generation;
	return ICE_CHOSEN;
}

enum ice_verdict ice_packet(struct ice *ice, enum ice_component component, const uint8_t *p, size_t n, const struct addr *from,
			    uint64_t now_ms, struct ice_answer *answer)
{
	const struct ice_credentials *by;
	struct stun_msg m;

	answer->len = 0;
	if (!addr_is_set(from) || stun_msg_parse(&m, p, n) != 0)
		return ICE_IGNORED;
	/* Keep-alives of who doesn't check (RFC 8445 §11). */
	if (m.type == STUN_BINDING_INDICATION && ice->chosen && addr_eq(from, &ice->chosen->from))
		ice->heard_ms = now_ms;
	if (m.type != STUN_BINDING_REQUEST)
		return ICE_IGNORED;
	if (!m.username.p || !m.integrity_at)
		return refuse(&m, 400, NULL, answer);
	by = credentials_of(ice, &m, now_ms);
	if (!by)
		return refuse(&m, 401, NULL, answer);
	if (m.nunknown)
		return refuse(&m, 420, by, answer);
	/* It takes us for the one in control: a full agent that meets a lite one is (RFC 8445 §6.1.1), and changes its mind by this. */
	if (m.is_controlled)
		return refuse(&m, 487, by, answer);
	confirm(&m, from, by, answer);
	return component == ICE_RTCP ? rtcp_checked(ice, &m, from, by == &ice->former)
				     : way_checked(ice, &m, from, by == &ice->former, now_ms);
}

/* ---- what follows ---- */

const struct addr *ice_target(const struct ice *ice, enum ice_component component)
{
	if (!ice->chosen)
		return NULL;
	if (component == ICE_RTP)
		return &ice->chosen->from;
	return addr_is_set(&ice->rtcp) ? &ice->rtcp : NULL;
}

bool ice_knows(const struct ice *ice, const struct addr *from)
{
	return way_find((struct ice *)ice, from) != NULL;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

bool ice_expire(struct ice *ice, uint64_t heard_ms, uint64_t now_ms, uint32_t *left_ms)
{
	uint64_t last_ms;

	*left_ms = ICE_CONSENT_MS;
	if (!ice->chosen)
		return false;
	last_ms = ice->chosen->checked_ms;
	if (!ice->is_steady)
		last_ms = later(last_ms, later(heard_ms, ice->heard_ms));
	if (now_ms >= last_ms + ICE_CONSENT_MS) {
		ice->chosen = NULL;
		return true;
	}
	if (last_ms <= now_ms)
		*left_ms = (uint32_t)(last_ms + ICE_CONSENT_MS - now_ms);
	return false;
}

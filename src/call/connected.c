/* connected.c - connected identity: who stays in a call is told whom he talks to now (RFC 4916, RFC 5876).
 *
 * Each leg remembers, as a hash, what its peer has been told of the other side: by the INVITE to it, by our responses to its own, or
 * here. When legs are joined, or the far end of one says that somebody else is there, the hash shows whether that still holds.
 *
 * How it is told: by UPDATE without a body where the peer allows UPDATE. One that doesn't, but says from-change (RFC 4916), gets
 * a re-INVITE that describes what there is already. Any other, most of them plain phones, isn't bothered: it is told when its media
 * is offered anew anyway, or in our answer to its own offer. Nothing is sent while an offer is under way, or an ACK is
 * still to come; the call's task asks again when it is woken by that.
 */
#include <stdlib.h>

#include "call/leg_int.h"

#define NOBODY 1 /* the hash of who may not be known */

static uint64_t hash_add(uint64_t h, const char *text)
{
	for (; *text; text++)
		h = (h ^ (unsigned char)*text) * 1099511628211u;
	return (h ^ 0xff) * 1099511628211u;
}

static uint64_t hash_of(const struct identity *id, const struct identity_rules *rules)
{
	uint64_t h;

	if (!id->number[0] || (identity_is_hidden(id) && !rules->is_trusted))
		return NOBODY;
	h = hash_add(hash_add(14695981039346656037u, id->number), id->name) + identity_is_hidden(id);
	return h > NOBODY ? h : NOBODY + 1;
}

void connected_told(struct leg *leg, const struct identity *who)
{
	leg->told.shown = hash_of(who, &leg->told.rules);
	leg->told.is_stale = false;
}

void connected_check(struct leg *leg)
{
	struct identity who;

	if (!leg->partner)
		return;
	told_of(leg->partner, leg, &who);
	leg->told.is_stale = hash_of(&who, &leg->told.rules) != leg->told.shown;
	if (leg->told.is_stale)
		call_wake(leg->call);
}

static void set_from(struct leg *leg, const struct identity *who, const char *host)
{
	char buf[512];
	struct out o;

	out_init(&o, buf, sizeof(buf));
	identity_print_addr(&o, who->number, who->name, host, identity_is_hidden(who));
	if (out_ok(&o))
		session_set_local(leg->session, out_view(&o)); /* without memory it stays as it was */
}

char *connected_hdrs(struct leg *leg, bool is_request)
{
	char host[SOCKADDR_TEXT_MAX], *text = NULL;
	bool takes_from = leg->session && is_request && session_takes_from(leg->session);
	union sockaddr_any local;
	struct identity who;
	struct out o;

	if (!leg->told.is_stale || !leg->partner || leg->state != LEG_ANSWERED || !leg->session ||
	    session_local_addr(leg->session, &local) != 0)
		return NULL;
	sockaddr_print_uri(&local, host);
	told_of(leg->partner, leg, &who);
	out_init_grow(&o, IDENTITY_HDRS_MAX);
	identity_print_connected(&o, &who, host, &leg->told.rules, leg->is_caller ? IDENTITY_CALLED : IDENTITY_CALLING);
	if (takes_from)
		set_from(leg, &who, host);
	if ((o.len || takes_from) && out_ok(&o))
		text = str_dup(out_view(&o));
	out_fini(&o);
	/* Who gets neither header nor From can't be told at all. */
	if (text || (!leg->told.rules.has_asserted && !leg->told.rules.has_rpid && !session_takes_from(leg->session)))
		connected_told(leg, &who);
	return text;
}

void connected_tell(struct leg *leg)
{
	char *hdrs;

	if (!leg->told.is_stale || leg->state != LEG_ANSWERED || !leg->session || leg->wants_reoffer || !session_can_offer(leg->session))
		return;
	if (session_can_update(leg->session)) {
		hdrs = connected_hdrs(leg, true);
		if (hdrs)
			session_update(leg->session, hdrs);
		free(hdrs);
	} else if (session_takes_from(leg->session) && oa_state(leg->oa) == OA_IDLE) {
		leg_reoffer(leg);
	}
}

/* dial_ring.c - rings one target: a leg of a branch, as far as breadth and security allow. */
#define LOG_MODULE "dial"
#include "call/dial_int.h"

uint16_t dial_breadth(const struct dial *d)
{
	const struct call *call = d->call;
	unsigned used = 0, shares = d->n > 4 ? d->n : 4, left;

	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		used += leg != call->caller_leg && leg->state != LEG_ENDED ? leg->breadth : 0;
	left = used < call->max_breadth ? call->max_breadth - used : 0;
	if (!left)
		return call->is_breadth_given ? 0 : 1; /* a large group of a caller who set no limit */
	return (uint16_t)(left / shares ? left / shares : 1);
}

/* RFC 5630, RFC 3261 §26.2.2: who calls a sips URI is promised that each hop is TLS. The caller is told if that was in the way. */
static bool is_too_open(struct call *call, const struct sip_dest *dest, const char *number)
{
	if (!call->is_secure || dest->proto == SIP_TLS || dest->proto == SIP_WSS)
		return false;
	call->is_sips_refused = true;
	decided(call, DECISION_NOT_RUNG, number, "only TLS may be used to it, as a sips URI was called", NULL);
	return true;
}

/* Trunks that know overload control; a call for help isn't held back however much they have to do (RFC 7339 §5.10.1). */
static enum sip_oc oc_of(const struct dir_trunk *trunk, const char *number)
{
	if (!trunk || !trunk->has_overload_control)
		return SIP_OC_NONE;
	for (unsigned i = 0; i < trunk->nurgent_numbers; i++)
		if (!strcmp(trunk->urgent_numbers[i], number))
			return SIP_OC_OFFER;
	return SIP_OC_MAY_WAIT;
}

/* RFC 3725: a caller who offers nothing himself wants to know what the callee can, or to have the first word of media from there. */
static bool is_offerless(const struct call *call, enum dir_delayed which)
{
	return which == DIR_DELAYED_ALWAYS || (which == DIR_DELAYED_FOLLOW && call->caller_leg->is_late);
}

void dial_ring_outside(struct dial *d, struct branch *b, const struct ring *r, bool is_of_trunk)
{
	struct ring ring = *r;

	if (!is_of_trunk || directory_trunk(engine(d)->p.directory, d->call->domain, str_from(d->p->trunk), &ring.trunk) == DIR_FOUND)
		dial_ring(d, b, &ring);
}

/* What stands behind the number. */
static const char *host_of(const char *target)
{
	const char *at = strrchr(target, '@');

	return at ? at + 1 : target;
}

void dial_ring(struct dial *d, struct branch *b, const struct ring *r)
{
	const struct dir_trunk *trunk = r->trunk;
	const struct dir_extension *ext;
	struct call *call = d->call;
	struct leg_dial p = {
		.target = str_from(r->target),
		.dest = *r->dest,
		.route = str_from(r->route),
		.to_user = b->sent ? b->sent : b->number,
		.diverted = b->diverted,
		.auth_user = trunk ? trunk->auth_user : NULL,
		.auth_password = trunk ? trunk->auth_password : NULL,
		.referrer = dial_referrer(b),
		.near = call->caller_leg,
		.timing = call_timing(call, trunk),
		.has_rivals = r->has_rivals,
		.oc = oc_of(trunk, b->number),
	};
	struct leg *leg;
	int err;

	p.breadth = dial_breadth(d);
	if (b->nlegs == TARGETS_MAX || !p.breadth || is_too_open(call, r->dest, b->number))
		return;
	leg = leg_new(call, false);
	if (!leg)
		return;
	leg->is_outside = r->is_outside;
	str_put(leg->peer, sizeof(leg->peer), trunk ? trunk->name : b->number);
	str_put(leg->number, sizeof(leg->number), b->number);
	if (!r->contact || directory_extension(engine(d)->p.directory, call->domain, str_from(b->number), &ext) != DIR_FOUND)
		ext = NULL;
	p.is_offerless = is_offerless(call, trunk ? trunk->media.delayed_offer : ext ? ext->media.delayed_offer : DIR_DELAYED_NEVER);
	told_callee(leg, b->number, ext, trunk);
	err = leg_dial(leg, &p);
	if (err) {
		log_warn(engine(d)->p.log, "call=%s leg=%u target=%s: %s", call->id, leg->id, r->target, uv_strerror(err));
		leg_decided(leg, DECISION_CANT_RING, b->number, uv_strerror(err), NULL);
		b->is_spared = b->is_spared || err == -EBUSY;
		leg->status = err == -EADDRINUSE || err == -EBUSY ? 503 : 480;
		leg->cause = cause_of_status(leg->status);
		leg_close(leg, leg->status, NULL);
		return;
	}
	leg_decided(leg, DECISION_RING, b->number, host_of(r->target), trunk ? trunk->name : "", NULL);
	log_debug(engine(d)->p.log, "call=%s leg=%u ringing target=%s", call->id, leg->id, r->target);
	b->rung[b->nlegs] = r->contact;
	b->legs[b->nlegs++] = leg;
}

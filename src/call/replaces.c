/* replaces.c - an INVITE with Replaces: a new leg takes the place of one we have (RFC 3891).
 *
 * A dialog that has been answered can be taken by who has it, from another phone of his. One that rings at a phone can
 * be picked up, also by who is in the same pick-up group. The new leg belongs to the call of the old one; no route is run.
 */
#define LOG_MODULE "replaces"
#include <errno.h>

#include "call/decision.h"
#include "call/leg_int.h"
#include "base/log.h"

#define TAKEN "SIP;cause=200;text=\"Call completed elsewhere\""

bool replaces_is_picked_up(const struct call *call)
{
	return call->picked_up && call->picked_up->state == LEG_ANSWERED;
}

bool replaces_allowed(const struct auth_identity *who, const struct leg *leg)
{
	struct directory *d = leg->call->calls->p.directory;
	const struct dir_extension *ext;
	char group[64];

	if (strcmp(who->domain, leg->call->domain) != 0)
		return false;
	if (leg->is_outside)
		return who->trunk[0] && !strcmp(who->trunk, leg->peer);
	if (who->trunk[0])
		return false;
	if (!strcmp(who->number, leg->peer))
		return true;
	if (leg->state >= LEG_ANSWERED || directory_extension(d, who->domain, str_from(who->number), &ext) != DIR_FOUND ||
	    !ext->pickup_group)
		return false;
	str_put(group, sizeof(group), ext->pickup_group);
	return directory_extension(d, who->domain, str_from(leg->peer), &ext) == DIR_FOUND && ext->pickup_group &&
	       !strcmp(ext->pickup_group, group);
}

/* Which leg the INVITE would replace: 0, or the status that RFC 3891 §3 wants. */
static int find(struct calls *cs, const struct sip_msg *m, const struct auth_identity *who, struct leg **out)
{
	struct sip_hdr_iter it = { 0 };
	struct str value, another;
	struct replaces which;
	struct session *s;
	struct leg *leg;

	if (!sip_msg_hdr_next(m, SIP_HDR_REPLACES, &it, &value) || sip_msg_hdr_next(m, SIP_HDR_REPLACES, &it, &another) ||
	    sip_msg_value_by_name(m, "Join").p || replaces_parse(&which, value) != 0)
		return 400;
	s = session_find(cs->p.ua, &which);
	if (!s)
		return 481;
	leg = leg_of_session(s);
	if (!leg || !leg_is_live(leg) || !leg->call->task)
		return 603;
	if (!replaces_allowed(who, leg))
		return 403;
	if (leg->state == LEG_ANSWERED) {
		if (which.is_early_only)
			return 486;
		/* Answered, and not joined with the caller yet: it has no place to take over. */
		if (leg != leg->call->caller_leg && leg != leg->call->callee_leg)
			return 481;
	} else if (leg->is_caller || replaces_is_picked_up(leg->call)) {
		return 481; /* an early dialog that we didn't initiate, or one that another was quicker to take */
	}
	*out = leg;
	return 0;
}

/* A leg of the same user stands for the same call of his. */
static bool take_limit(struct leg *leg, struct leg *old, const struct auth_identity *who, struct usage **out)
{
	if (old->state == LEG_ANSWERED && old->usage) {
		*out = old->usage;
		old->usage = NULL;
		return true;
	}
	return admission_take_limit(leg->call->calls, who, false, out);
}

static const struct dir_trunk *trunk_of(struct calls *cs, const struct auth_identity *who)
{
	const struct dir_trunk *trunk;

	return who->trunk[0] && directory_trunk(cs->p.directory, who->domain, str_from(who->trunk), &trunk) == DIR_FOUND ? trunk : NULL;
}

static int accept_leg(struct leg *leg, struct strans *st, const struct sip_msg *m, const struct auth_identity *who)
{
	struct directory *d = leg->call->calls->p.directory;
	const struct dir_extension *ext;
	int err;

	leg->is_outside = who->trunk[0] != '\0';
	str_put(leg->number, sizeof(leg->number), who->number);
	str_put(leg->peer, sizeof(leg->peer), who->trunk[0] ? who->trunk : who->number);
	if (who->trunk[0] || directory_extension(d, who->domain, str_from(who->number), &ext) != DIR_FOUND)
		ext = NULL;
	told_callee(leg, who->number, ext, trunk_of(leg->call->calls, who));
	told_learn(leg, m);
	err = leg_accept(leg, st, m);
	if (err)
		return err == -EINVAL ? 400 : 500;
	return oa_state(leg->oa) == OA_REMOTE_OFFER && !leg_can_answer(leg) ? 488 : 0;
}

/* Takes the old leg's place in the talk. */
static int replace(struct leg *leg, struct leg *old)
{
	struct leg *partner = old->partner;
	int err;

	/* Joined first: so they agree on the partner's codec. */
	leg_unbridge(old);
	told_connected(leg, partner);
	if (partner)
		leg_bridge(leg, partner);
	err = leg_answer(leg);
	if (err) {
		leg_unbridge(leg);
		if (partner)
			leg_bridge(old, partner);
		old->usage = leg->usage;
		leg->usage = NULL;
		return status_of_error(err);
	}
	leg_replace(old, leg);
	leg_update_bridge(leg);
	leg_align_partner(leg, NULL);
	leg_close(old, 0, TAKEN);
	return 0;
}

static int pick_up(struct leg *leg)
{
	int err;

	told_connected(leg, leg->call->caller_leg);
	err = leg_answer(leg);

	if (err)
		return status_of_error(err);
	leg->is_swapped = true;
	leg->call->picked_up = leg;
	call_wake(leg->call);
	return 0;
}

void replaces_invite(struct calls *cs, struct strans *st, const struct sip_msg *m, const struct auth_identity *who)
{
	struct session_timing timing;
	struct leg *old, *leg;
	int status = find(cs, m, who, &old);

	if (status) {
		cs->n.refused++;
		refuse(st, status, NULL);
		return;
	}
	if (old->call->is_secure && strans_source(st)->proto != SIP_TLS && strans_source(st)->proto != SIP_WSS) {
		cs->n.refused++;
		refuse(st, 480, "Warning: 381 cordboard \"SIPS Required\"\r\n"); /* RFC 5630 */
		return;
	}
	timing = call_timing(old->call, trunk_of(cs, who));
	if (session_refuse_interval(st, m, &timing))
		return;
	leg = leg_new(old->call, true);
	if (!leg) {
		refuse(st, 503, NULL);
		return;
	}
	leg_decided(leg, DECISION_TAKES_PLACE, who->number[0] ? who->number : who->trunk, decision_int(old->id).z, NULL);
	log_info(cs->p.log, "call=%s leg=%u number=%s takes the place of leg=%u peer=%s", leg->call->id, leg->id, who->number, old->id,
		 old->peer);
	status = accept_leg(leg, st, m, who);
	if (leg->session)
		session_set_timing(leg->session, &timing);
	if (!status && !take_limit(leg, old, who, &leg->usage))
		status = 486;
	if (!status)
		status = old->state == LEG_ANSWERED ? replace(leg, old) : pick_up(leg);
	if (!status)
		return;
	if (!leg->session)
		refuse(st, status, NULL);
	leg_close(leg, status, NULL);
}

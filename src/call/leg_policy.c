/* leg_policy.c - what an administrator has chosen for the media of who is at a leg's far end: extension or trunk. */
#include "call/leg_int.h"

/* A URI that is dialled, and whom the directory doesn't know at this moment, are treated as the columns' defaults say. */
static const struct dir_media unknown = { .srtp.policy = DIR_SRTP_OFFER, .ice = DIR_ICE_AUTO, .dtmf = DIR_DTMF_AUTO, .has_video = true };

const struct dir_media *leg_policy(const struct leg *leg)
{
	struct directory *d = leg->call->calls->p.directory;
	const struct dir_extension *ext;
	const struct dir_trunk *trunk;

	if (leg->is_outside)
		return directory_trunk(d, leg->call->domain, str_from(leg->peer), &trunk) == DIR_FOUND ? &trunk->media : &unknown;
	return directory_extension(d, leg->call->domain, str_from(leg->peer), &ext) == DIR_FOUND ? &ext->media : &unknown;
}

void leg_policy_begin(struct leg *leg, enum sip_proto proto)
{
	const struct dir_media *m = leg_policy(leg);

	leg_secure_begin(leg, proto, m->srtp);
	leg->ice = m->ice;
	leg->is_browser = proto == SIP_WS || proto == SIP_WSS;
	leg->dtmf = m->dtmf;
}

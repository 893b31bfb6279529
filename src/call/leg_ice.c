/* leg_ice.c - does a leg's sound find its way by ICE? What its extension or trunk says of it, and how the credentials get from its
 * descriptions to its stream, which does the rest (media/ice.h).
 */
#define LOG_MODULE "leg"
#include "call/leg_int.h"
#include "base/log.h"

_Static_assert(OA_ICE_UFRAG_LEN == ICE_UFRAG_LEN && OA_ICE_PWD_LEN == ICE_PWD_LEN, "what is said is what checks go by");

void leg_ice_local(const struct leg *leg, struct oa_local *l)
{
	l->takes_ice = leg->ice != DIR_ICE_NEVER;
	l->to_browser = leg->is_browser && l->takes_ice;
	l->offers_ice = l->to_browser || leg->ice == DIR_ICE_OFFER;
}

static void begin(struct leg *leg, const struct oa_ice *ice)
{
	struct ice_credentials ours;

	memcpy(ours.ufrag, ice->ufrag, sizeof(ours.ufrag));
	memcpy(ours.pwd, ice->pwd, sizeof(ours.pwd));
	stream_ice(leg->stream, &ours);
	leg->has_ice = true;
}

void leg_ice_offered(struct leg *leg)
{
	const struct oa_ice *ice = oa_ice_offered(leg->oa);

	if (ice && !leg->has_ice)
		begin(leg, ice);
}

void leg_ice_configure(struct leg *leg)
{
	const struct oa_ice *ice = oa_ice(leg->oa);

	if (ice && !ice->is_peer_lite) {
		begin(leg, ice);
	} else if (leg->has_ice) {
		stream_ice(leg->stream, NULL);
		leg->has_ice = false;
		leg->media_addr[0] = '\0'; /* it counts from now on */
	}
}

void leg_ice_unwanted(struct stream *s, void *arg)
{
	const struct leg *leg = arg;
	char id[64];

	(void)s;
	log_warn(leg->call->calls->p.log, "%s nobody checks its media any more, nothing is sent", leg_log_id(leg, id));
}

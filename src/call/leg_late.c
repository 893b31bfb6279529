/* leg_late.c - a leg that was called without an offer: the callee's is answered, in the PRACK or the ACK (RFC 3261 §13.2.1, RFC 3262 §5).
 *
 * Each early dialog may offer for itself. The stream is what was answered last; when another fork than that takes the call, it is offered
 * to anew as soon as that may be.
 */
#include <errno.h>
#include <stdlib.h>

#include "call/leg_int.h"

static int answer(struct leg *leg, const struct sip_msg *m, struct out *o)
{
	const struct leg *near = leg->partner ? leg->partner : leg->call->caller_leg;
	union sockaddr_any local;
	int err = leg_sdp_of(leg, m).n ? session_local_addr(leg->session, &local) : -EPROTO;

	if (!err)
		err = oa_take_offer(leg->oa, leg_sdp_of(leg, m));
	if (err)
		return err;
	err = leg_write_answer(leg, &local, near == leg ? NULL : near, o);
	if (!err)
		return oa_agreed(leg->oa)->has_audio ? 0 : -EPROTO;
	oa_rollback(leg->oa);
	return err;
}

/* RFC 3261 §13.2.2.4: what can't be accepted gets a valid answer all the same, and then the BYE. */
static void decline(struct leg *leg, const struct sip_msg *m, struct out *o)
{
	union sockaddr_any local;

	out_reset(o);
	if (session_local_addr(leg->session, &local) != 0 || oa_take_offer(leg->oa, leg_sdp_of(leg, m)) != 0 ||
	    leg_write_decline(leg, &local, o) != 0)
		out_reset(o);
	oa_rollback(leg->oa);
}

int leg_on_early_offer(struct session *s, const struct sip_msg *m, struct out *o, void *arg)
{
	struct leg *leg = arg;
	int err = answer(leg, m, o);

	(void)s;
	if (err && !out_view(o).n) {
		decline(leg, m, o);
		return out_view(o).n ? 0 : err;
	}
	if (!err && leg->nearly_offers < UINT8_MAX)
		leg->nearly_offers++;
	if (!err && leg_may_be_heard(m)) {
		leg->has_early_media = true;
		leg_configure(leg);
	}
	return 0;
}

int leg_ack_late(struct leg *leg, const struct sip_msg *m)
{
	struct out o;
	int err;

	leg->awaits_offer = false;
	if (!session_owes_answer(leg->session)) {
		leg->wants_reoffer = leg->wants_reoffer || leg->nearly_offers > 1;
		session_ack(leg->session, NULL, STR_NULL);
		return 0;
	}
	out_init_grow(&o, SDP_TEXT_MAX);
	err = answer(leg, m, &o);
	if (err && !out_view(&o).n)
		decline(leg, m, &o);
	session_ack(leg->session, "application/sdp", out_view(&o));
	out_fini(&o);
	return err;
}

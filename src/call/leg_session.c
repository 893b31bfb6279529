/* leg_session.c - what a leg's session tells it: each event changes the leg, and wakes the call's task. Offers after the first are in leg_offer.c.
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/decision.h"
#include "call/leg_int.h"
#include "call/redirect.h"
#include "base/log.h"

/* RFC 5009 §8: a network that asks us to wait with its early media. */
bool leg_may_be_heard(const struct sip_msg *m)
{
	return !str_ieqz(sip_msg_value_by_name(m, "P-Early-Media"), "inactive");
}

static void on_progress(struct session *s, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;

	(void)s;
	if (m->status == 199)
		return; /* of one fork; the others, or the final response, say how it goes on */
	told_learn(leg, m);
	if (leg->state < LEG_RINGING)
		leg_decided(leg, DECISION_RINGS, decision_int(m->status).z, NULL);
	leg_set_state(leg, LEG_RINGING);
	leg->is_alerting = leg->is_alerting || m->status == 180;
	if (sip_msg_has(m, SIP_HDR_REASON))
		reason_keep_of(&leg->reason, m);
	/* Also from a reliable response it is kept as the answer for now: another fork may answer otherwise. */
	if (leg_sdp_of(leg, m).n && oa_take_early_answer(leg->oa, leg_sdp_of(leg, m)) == 0 && leg_may_be_heard(m)) {
		leg->has_early_media = true;
		leg_configure(leg);
	}
	call_wake(leg->call);
}

static void on_answer(struct session *s, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;
	bool is_late = leg->awaits_offer;
	int err = is_late ? leg_ack_late(leg, m) : 0;

	/* RFC 3261 §13.2.1 wants the answer in the 2xx again; gateways that gave it in a 183 leave it out. What UPDATE has changed
	 * since then stands. */
	if (!is_late && oa_state(leg->oa) == OA_LOCAL_OFFER)
		err = leg_sdp_of(leg, m).n ? oa_take_answer(leg->oa, leg_sdp_of(leg, m)) : oa_keep_early_answer(leg->oa);

	told_learn(leg, m);
	if (!is_late)
		session_ack(s, NULL, STR_NULL);
	leg->is_acked = true;
	/* A cancelled leg may be answered in the same moment: its session ends it with BYE. */
	if (leg->is_cancelled)
		return;
	if (err || !oa_agreed(leg->oa)->has_audio) {
		leg_tell_misfit(leg);
		leg->status = 488;
		session_close(s, 488, "Reason: SIP;cause=488;text=\"No usable answer\"\r\n");
		return;
	}
	text_keep(&leg->reason, NULL);
	leg_decided(leg, DECISION_ANSWERS, NULL);
	leg_set_state(leg, LEG_ANSWERED);
	leg_configure(leg);
	leg_offer_waiting(leg);
	call_wake(leg->call);
}

/* The answer to an offer in our 183. */
static void on_prack(struct session *s, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;

	if (!leg_sdp_of(leg, m).n || oa_state(leg->oa) != OA_LOCAL_OFFER)
		return;
	if (oa_take_answer(leg->oa, leg_sdp_of(leg, m)) != 0) {
		session_close(s, 488, "Reason: SIP;cause=488;text=\"No usable answer in PRACK\"\r\n");
		return;
	}
	leg_configure(leg);
	leg_update_bridge(leg);
	call_wake(leg->call);
}

static void on_ack(struct session *s, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;
	const char *codec_before = oa_agreed(leg->oa)->codec.name;

	told_learn(leg, m);
	leg->is_acked = true;
	free(leg->local_sdp);
	leg->local_sdp = NULL;
	if (leg->awaits_answer && oa_state(leg->oa) == OA_LOCAL_OFFER) {
		if (!leg_sdp_of(leg, m).n || oa_take_answer(leg->oa, leg_sdp_of(leg, m)) != 0) {
			/* RFC 3261 §13.2.2.4: an ACK without the answer leaves no session to have. */
			session_close(s, 488, "Reason: SIP;cause=488;text=\"No answer in ACK\"\r\n");
			return;
		}
		leg_configure(leg);
		leg_update_bridge(leg);
		leg_align_partner(leg, codec_before);
	}
	leg_offer_waiting(leg);
	call_wake(leg->call);
}

static bool on_request(struct session *s, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;

	(void)s;
	told_learn(leg, m);
	if (m->method == SIP_REFER) {
		referral_take(leg, st, m);
		return true;
	}
	if (m->method == SIP_MESSAGE) {
		if (!leg_pass(leg, st, m))
			strans_reply(st, &(struct sip_reply){ .status = 480, .reason = "Nobody to read it" });
		return true;
	}
	if (m->method != SIP_INFO)
		return false;
	/* RFC 6086 §4.2.2: we have said of no package that we would take it. */
	if (sip_msg_value_by_name(m, "Info-Package").p) {
		strans_reply(st, &(struct sip_reply){ .status = 469, .reason = "Bad Info Package", .hdrs = STR("Recv-Info: \r\n") });
		return true;
	}
	if (!m->body.n || leg_digit_info(leg, m))
		strans_reply_simple(st, 200, NULL);
	else if (!leg_pass(leg, st, m))
		strans_reply_simple(st, 415, "Accept: application/dtmf-relay, application/dtmf\r\n");
	return true;
}

/* Who has ended it, and how. */
static void note_end(struct leg *leg, enum session_end how, const struct sip_msg *m)
{
	const char *reason = leg->reason ? leg->reason : "";
	char phrase[64] = "";

	if (how == SESSION_BYE_RECEIVED)
		leg_decided(leg, DECISION_HANGS_UP, reason, NULL);
	else if (how == SESSION_CANCELLED && leg->is_caller)
		leg_decided(leg, DECISION_GIVES_UP, reason, NULL);
	else if (leg->is_cancelled)
		return;
	else if (how == SESSION_REJECTED && !leg->is_caller && m) {
		str_copy(m->reason, phrase, sizeof(phrase));
		leg_decided(leg, DECISION_REFUSES, decision_int(leg->status).z, phrase, reason, NULL);
	} else if (how == SESSION_TIMEOUT || how == SESSION_FAILED)
		leg_decided(leg, DECISION_FAILED, decision_int(leg->status).z, how == SESSION_TIMEOUT ? "nothing came in answer" : "it couldn't be sent", NULL);
}

static void on_closed(struct session *s, enum session_end how, int status, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;
	char id[64];
	int cause;

	(void)s;
	leg->session = NULL;
	if (m) {
		reason_keep_of(&leg->reason, m);
		if (m->method != SIP_CANCEL)
			told_part(leg, m);
		if (!leg->redirects) /* by its REFER */
			leg->redirects = redirects_take(m);
	}
	leg->by_peer = how == SESSION_BYE_RECEIVED || (how == SESSION_REJECTED && !leg->is_caller) ||
		       (how == SESSION_CANCELLED && leg->is_caller);
	leg->has_failed = !m && !leg->is_cancelled && (how == SESSION_TIMEOUT || how == SESSION_FAILED);
	if (!leg->status)
		leg->status = how == SESSION_TIMEOUT ? 408 : how == SESSION_FAILED ? 503 : status;
	cause = cause_of_reason(leg->reason ? str_from(leg->reason) : STR_NULL);
	if (m && cause)
		leg->cause = cause;
	if (!leg->cause)
		leg->cause = cause_of_status(leg->status);
	note_end(leg, how, m);
	log_debug(leg->call->calls->p.log, "%s peer=%s ended status=%d cause=%d by=%s", leg_log_id(leg, id), leg->peer,
		 leg->status, leg->cause, leg->by_peer ? "peer" : "us");
	if (leg->srtp == OA_REQUIRE && (leg->status == 488 || leg->status == 606)) {
		leg_decided(leg, DECISION_ENCRYPTION, leg->by_peer ? "doesn't take keys" : "offers no keys", NULL);
		log_info(leg->call->calls->p.log, "%s peer=%s refused status=%d: it must encrypt its media (srtp is 'require'), and %s", leg_log_id(leg, id),
			 leg->peer, leg->status, leg->by_peer ? "doesn't take keys" : "offers no keys");
	}
	leg_unbridge(leg);
	leg_set_state(leg, LEG_ENDED);
	if (leg == leg->call->caller_leg)
		leg->call->is_hungup = true;
	call_wake(leg->call);
	leg_others_close(leg);
	if (leg->stream)
		stream_close(leg->stream);
	else
		leg_check_gone(leg);
}

/* In-dialog requests from somewhere else than the dialog's own flow prove first that they are from whom the dialog is with.
 * Trunks have no password here, and many addresses: their tags must do. */
static bool on_authorize(struct session *s, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;
	struct auth_identity who;

	(void)s;
	if (leg->is_outside)
		return true;
	if (auth_check(leg->call->calls->p.auth, st, m, &who) != AUTH_OK)
		return false;
	if (!strcmp(who.domain, leg->call->domain) && !strcmp(who.number, leg->peer))
		return true;
	strans_reply_simple(st, 403, NULL);
	return false;
}

/* Its refresh is our description once more. */
static void on_refresh(struct session *s, void *arg)
{
	(void)s;
	leg_reoffer(arg);
}

const struct session_handler leg_session_handler = {
	.on_refresh = on_refresh,
	.on_progress = on_progress,
	.on_prack = on_prack,
	.on_early_offer = leg_on_early_offer,
	.on_answer = on_answer,
	.on_ack = on_ack,
	.on_reoffer = leg_on_reoffer,
	.on_reoffer_done = leg_on_reoffer_done,
	.on_request = on_request,
	.on_closed = on_closed,
	.on_authorize = on_authorize,
};

/* leg_offer.c - a leg's offers and answers after the first: the peer's re-INVITE or UPDATE, and ours (RFC 3261 §14, RFC 3311).
 *
 * An offer of ours is made of what the leg is at the moment it is sent; so one that has to wait is a flag, not a text, and an
 * offer that the peer's own overtook is simply made again. When it may be sent, the session knows.
 */
#define LOG_MODULE "leg"

#include <stdlib.h>

#include "call/leg_int.h"
#include "base/log.h"

struct str leg_sdp_of(struct leg *leg, const struct sip_msg *m)
{
	struct sip_part part;
	struct out o;

	if (!sip_msg_part_find(m, "application/sdp", &part))
		return STR_NULL;
	if (part.transfer == SIP_AS_IS)
		return part.content;
	/* Whatever can't be decoded isn't SDP either: who reads it refuses it. */
	out_init_grow(&o, 2 * part.content.n + 1); /* line ends become two bytes */
	if (sip_part_decode(&part, &o) == 0 && o.len && out_ok(&o)) {
		free(leg->decoded_sdp);
		leg->decoded_sdp = str_dup(out_view(&o));
		part.content = str_from(leg->decoded_sdp ? leg->decoded_sdp : "-");
	}
	out_fini(&o);
	return part.content;
}

void leg_print_warning(struct leg *leg, struct out *o, const struct sip_msg *m)
{
	static const struct { int code; const char *text; } rows[] = {
		{ 302, "Incompatible transport protocol" }, { 304, "Media type not available" }, { 305, "Incompatible media format" },
	};
	struct leg_codecs codecs;
	struct oa_local all = { .codecs = codecs.list };
	int code;

	leg_codecs(leg, NULL, &codecs);
	all.ncodecs = codecs.n;
	code = oa_warn_code(leg_sdp_of(leg, m), &all);

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (rows[i].code == code)
			out_fmt(o, "Warning: %d cordboard \"%s\"\r\n", code, rows[i].text);
}

/* ---- ours ---- */

static int offer_now(struct leg *leg)
{
	union sockaddr_any local;
	struct out o;
	char id[64];
	int err;

	leg->wants_reoffer = false;
	err = session_local_addr(leg->session, &local);
	if (!err)
		err = leg_open_stream(leg, &local, leg->partner);
	out_init_grow(&o, SDP_TEXT_MAX);
	if (!err)
		err = leg_write_offer(leg, &local, leg->partner, &o);
	if (!err) {
		char *hdrs = connected_hdrs(leg, true);

		err = session_reinvite(leg->session, hdrs, "application/sdp", out_view(&o));
		free(hdrs);
	}
	out_fini(&o);
	if (err) {
		oa_rollback(leg->oa);
		log_warn(leg->call->calls->p.log, "%s can't be offered anew: %s", leg_log_id(leg, id), uv_strerror(err));
	}
	return err;
}

void leg_offer_waiting(struct leg *leg)
{
	if (leg->wants_reoffer && leg->session && oa_state(leg->oa) == OA_IDLE && session_can_offer(leg->session) && offer_now(leg) != 0)
		leg_others_answered(leg);
}

int leg_reoffer(struct leg *leg)
{
	if (!leg->session || (leg->state != LEG_ANSWERED && !session_can_offer(leg->session)))
		return -ENOTCONN;
	if (session_is_agreed_early(leg->session))
		oa_keep_early_answer(leg->oa);
	leg->wants_reoffer = true;
	leg->reoffer_status = 0;
	if (oa_state(leg->oa) == OA_IDLE && session_can_offer(leg->session))
		return offer_now(leg);
	return 0;
}

void leg_on_reoffer_done(struct session *s, int status, const struct sip_msg *m, void *arg)
{
	struct leg *leg = arg;
	bool is_overtaken = status == 491 && !m;
	char id[64];

	(void)s;
	if (status / 100 == 2 && m)
		told_learn(leg, m);
	if (leg_image_answered(leg, status, m)) {
		leg_offer_waiting(leg);
		call_wake(leg->call);
		return;
	}
	if (status / 100 == 2 && (!leg_sdp_of(leg, m).n || oa_take_answer(leg->oa, leg_sdp_of(leg, m)) != 0))
		status = 488; /* agreed to, but with nothing to be had from it */
	if (status / 100 != 2)
		oa_rollback(leg->oa);
	else
		leg_configure(leg);
	if (status / 100 != 2 && !is_overtaken)
		leg_others_give_up(leg);
	leg_image_over(leg);
	leg->reoffer_status = status;
	leg->wants_reoffer = leg->wants_reoffer || is_overtaken;
	if (status / 100 != 2 && !is_overtaken)
		log_info(leg->call->calls->p.log, "%s offer refused status=%d", leg_log_id(leg, id), status);
	if (!is_overtaken)
		leg_others_answered(leg);
	leg_update_bridge(leg);
	leg_offer_waiting(leg);
	call_wake(leg->call);
}

/* ---- theirs ---- */

static int refusal_of(int err)
{
	switch (err) {
	case -EBUSY:
		return 491;
	case -EINVAL:
		return 400;
	case -ENOMEM:
	case -ENOSPC:
		return 500;
	default:
		return 488;
	}
}

/* has_offer: theirs has been taken. */
static int write_reply(struct leg *leg, struct session *s, bool has_offer, struct out *o)
{
	union sockaddr_any local;
	int err = session_local_addr(s, &local);

	if (!err)
		err = has_offer ? leg_write_answer(leg, &local, leg->partner, o) : leg_write_offer(leg, &local, leg->partner, o);
	if (err && err != -EBUSY)
		oa_rollback(leg->oa);
	return err;
}

static void refuse_offer(struct leg *leg, struct session *s, struct strans *st, const struct sip_msg *m, int status)
{
	char hdrs[128];
	struct out o;

	out_init(&o, hdrs, sizeof(hdrs) - 1);
	if (status == 488 && m)
		leg_print_warning(leg, &o, m);
	hdrs[out_ok(&o) ? o.len : 0] = '\0';
	session_reply_offer(s, st, status, hdrs[0] ? hdrs : NULL, NULL, STR_NULL);
}

/* m NULL: it has come a while ago. */
static void reply(struct leg *leg, struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer)
{
	const char *codec_before = oa_agreed(leg->oa)->codec.name;
	struct out o;
	int err;

	out_init_grow(&o, SDP_TEXT_MAX);
	err = write_reply(leg, s, has_offer, &o);
	if (err) {
		refuse_offer(leg, s, st, m, refusal_of(err));
	} else {
		char *hdrs = connected_hdrs(leg, false);

		session_reply_offer(s, st, 200, hdrs, "application/sdp", out_view(&o));
		free(hdrs);
	}
	out_fini(&o);
	leg->awaits_answer = !err && !has_offer;
	if (err || !has_offer)
		return;
	leg_configure(leg);
	leg_image_over(leg);
	leg_update_bridge(leg);
	leg_align_partner(leg, codec_before);
	leg_offer_waiting(leg);
	call_wake(leg->call);
}

void leg_answer_held(struct leg *leg, struct strans *st)
{
	if (leg->session && session_owes_reply(leg->session, st)) {
		reply(leg, leg->session, st, NULL, true);
		return;
	}
	/* Withdrawn: all is as it was, and the partner, who may have said yes, is told so. */
	oa_rollback(leg->oa);
	leg_others_give_up(leg);
	leg_update_bridge(leg);
	leg_offer_waiting(leg);
}

void leg_on_reoffer(struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer, void *arg)
{
	struct leg *leg = arg;
	int err = 0;

	told_learn(leg, m);
	/* An UPDATE without a body refreshes the target and nothing else. */
	if (!has_offer && m->method == SIP_UPDATE) {
		session_reply_offer(s, st, 200, NULL, NULL, STR_NULL);
		return;
	}
	/* A change before the answer: what a reliable response said was no announcement, but the answer. */
	if (session_is_agreed_early(s))
		oa_keep_early_answer(leg->oa);
	if (has_offer && leg_image_offered(leg, st, m))
		return;
	leg_others_renew(leg);
	if (has_offer)
		err = oa_take_offer(leg->oa, leg_sdp_of(leg, m));
	if (err)
		refuse_offer(leg, s, st, m, refusal_of(err));
	else if (!has_offer || m->method != SIP_INVITE || !leg_others_ask(leg, st))
		reply(leg, s, st, m, has_offer);
}

/* ---- the other leg, as far as it is concerned ---- */

void leg_align_partner(struct leg *leg, const char *before)
{
	const struct oa_agreed *ours = oa_agreed(leg->oa), *theirs;
	struct leg *other = leg->partner;

	if (!other || other->state != LEG_ANSWERED || !oa_is_complete(other->oa))
		return;
	theirs = oa_agreed(other->oa);
	if (!ours->has_audio || !theirs->has_audio || !strcmp(ours->codec.name, theirs->codec.name))
		return;
	if (before && !strcmp(ours->codec.name, before))
		return;
	if (leg_may_take(other, &ours->codec))
		leg_reoffer(other);
}

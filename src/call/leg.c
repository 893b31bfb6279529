/* leg.c - one leg: a session, its offer/answer and its stream, told to the call as changes of state.
 *
 * Events arrive from the session (sip) and the stream (media); each changes the leg and wakes the call's task,
 * which decides. A leg is gone when both its session and its stream have closed; only then are its statistics whole.
 * What a leg says in SDP and what its stream does is in leg_media.c, offers after the first in leg_offer.c.
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/decision.h"
#include "call/leg_int.h"
#include "call/pass.h"
#include "call/redirect.h"
#include "call/trace.h"
#include "base/log.h"

#define HDRS_MAX 24576 /* of an INVITE, besides those of its dialog */

static const struct session_handler session_handler;

struct leg *leg_of_session(const struct session *s)
{
	return session_arg(s, &session_handler);
}

bool leg_is_live(const struct leg *leg)
{
	return leg->state != LEG_ENDED && leg->session && session_state(leg->session) != SESSION_ST_TERMINATED;
}

const char *leg_log_id(const struct leg *leg, char buf[64])
{
	snprintf(buf, 64, "call=%s leg=%u", leg->call->id, leg->id);
	return buf;
}

struct leg *leg_new(struct call *call, bool is_caller)
{
	struct leg *leg = calloc(1, sizeof(*leg));
	struct leg **end = &call->legs;

	if (!leg)
		return NULL;
	leg->call = call;
	leg->id = ++call->nlegs_made;
	leg->is_caller = is_caller;
	leg->wish = leg->described = SDP_SENDRECV;
	leg->line_id = ++call->calls->nlines;
	leg->started_ms = call_now_ms(call);
	leg->oa = oa_new(((uint64_t)rng_u32(call->calls->p.rng) << 16) | leg->id);
	if (!leg->oa) {
		free(leg);
		return NULL;
	}
	while (*end)
		end = &(*end)->next;
	*end = leg;
	call->calls->n.legs++;
	return leg;
}

struct leg *leg_new_absent(struct call *call)
{
	struct leg *leg = leg_new(call, true);

	if (leg) {
		leg->has_left = true;
		leg->state = LEG_ENDED;
		leg->ended_ms = leg->started_ms;
		call->calls->n.legs--;
	}
	return leg;
}

static void leg_free(struct leg *leg)
{
	referral_fail(leg, 487);
	trace_leg_gone(leg);
	oa_free(leg->oa);
	told_fini(&leg->told);
	free(leg->local_sdp);
	free(leg->decoded_sdp);
	free(leg->redirects);
	free(leg->infos);
	free(leg->image);
	free(leg->reason);
	free(leg);
}

static void give_usage(struct leg *leg)
{
	usage_give(leg->call->calls, leg->usage);
	leg->usage = NULL;
}

/* Nothing refers to a leg any more once session and stream are closed: hand it over for the record. */
void leg_check_gone(struct leg *leg)
{
	struct call *call = leg->call;

	if (leg->session || leg->stream || leg->others || leg->state != LEG_ENDED)
		return;
	give_usage(leg);
	call_leg_gone(call, leg);
}

/* Called by the call when it has written its record. */
void leg_release(struct leg *leg)
{
	if (!leg->has_left)
		leg->call->calls->n.legs--;
	leg_free(leg);
}

/* The one place where a leg's state changes. */
static void leg_set_state(struct leg *leg, enum leg_state state)
{
	static const char *const names[] = { "new", "ringing", "answered", "ended" };
	char id[64];
	int64_t now = call_now_ms(leg->call);

	if (state <= leg->state)
		return;
	log_debug(leg->call->calls->p.log, "%s state=%s", leg_log_id(leg, id), names[state]);
	leg->state = state;
	if (state == LEG_RINGING)
		leg->ringing_ms = now;
	if (state == LEG_ANSWERED)
		leg->answered_ms = now;
	if (state == LEG_ENDED) {
		leg->ended_ms = now;
		give_usage(leg); /* who hangs up may dial again at once, though media is still being closed */
	}
	leg_tell(leg);
}

/* ---- out ---- */

int leg_accept(struct leg *leg, struct strans *st, const struct sip_msg *m)
{
	int err;

	leg_policy_begin(leg, strans_source(st)->proto);
	leg->is_late = !leg_sdp_of(leg, m).n;
	if (!leg->is_late) {
		err = oa_take_offer(leg->oa, leg_sdp_of(leg, m));
		if (err)
			return err;
	}
	err = session_accept(&leg->session, leg->call->calls->p.ua, st, m, &session_handler, leg);
	if (!err) {
		told_session(leg);
		trace_begin(leg);
	}
	return err;
}

static void write_uri(struct out *o, const char *user, const char *host)
{
	out_z(o, "sip:");
	if (user && user[0]) {
		sip_escape_user(o, str_from(user));
		out_chr(o, '@');
	}
	out_z(o, host);
}

/* Who calls, or nobody who can be known: then the Contact doesn't give him away either. */
static void write_from(struct out *o, const struct leg *leg, const char *host, struct identity *caller)
{
	told_of(leg->call->caller_leg, leg, caller);
	if (identity_is_hidden(caller) || !caller->number[0]) {
		str_put(caller->name, sizeof(caller->name), "Anonymous");
		str_put(caller->number, sizeof(caller->number), "anonymous");
		out_z(o, IDENTITY_ANONYMOUS_URI);
		return;
	}
	write_uri(o, caller->number, host);
}

int leg_dial(struct leg *leg, const struct leg_dial *d)
{
	struct calls *cs = leg->call->calls;
	struct session_params p = { .target = d->target, .dest = d->dest, .ctype = "application/sdp" };
	char from[256], to[256], session[SESSID_LINE_MAX], host[SOCKADDR_TEXT_MAX];
	struct out from_out, to_out, session_out, hdrs_out, sdp_out, parts_out;
	char ctype[PASS_TYPE_MAX];
	struct identity caller;
	union sockaddr_any local;
	int err;

	/* RFC 7332: what goes on to another leg is a hop, or calls that lead back here would go round for ever. */
	if (leg->call->max_forwards <= 1)
		return -ELOOP;
	err = transport_local(sip_ua_transport(cs->p.ua), &d->dest, &local);
	if (err)
		return err;
	err = leg_open_stream(leg, &local, d->near);
	if (err)
		return err;
	leg_policy_begin(leg, d->dest.proto);
	sockaddr_print_uri(&local, host);
	out_init(&from_out, from, sizeof(from));
	write_from(&from_out, leg, host, &caller);
	out_init(&to_out, to, sizeof(to));
	write_uri(&to_out, d->to_user, host);
	out_init(&session_out, session, sizeof(session));
	told_print_session(leg, &session_out);
	out_init_grow(&hdrs_out, HDRS_MAX);
	told_print_invite(leg, &hdrs_out, host, d->to_user, d->diverted);
	transfer_print_headers(leg, d->referrer, &hdrs_out, host);
	leg->breadth = d->breadth ? d->breadth : 1;
	out_z(&hdrs_out, "Max-Breadth: ");
	out_u64(&hdrs_out, leg->breadth);
	out_z(&hdrs_out, "\r\n");
	out_init_grow(&parts_out, PASS_PARTS_MAX + 2 * SDP_TEXT_MAX);
	out_init_grow(&sdp_out, SDP_TEXT_MAX); /* not on the task's stack: a page of it would stay in use all the call */
	leg->awaits_offer = d->is_offerless;
	if (!leg->awaits_offer)
		err = leg_write_offer(leg, &local, d->near, &sdp_out);
	if (!err && (!out_ok(&from_out) || !out_ok(&to_out) || !out_ok(&hdrs_out)))
		err = -EINVAL;
	if (err)
		goto out;
	p.route = d->route;
	p.from_display = str_from(caller.name);
	p.from_uri = out_view(&from_out);
	p.to_uri = out_view(&to_out);
	p.contact_user = str_from(caller.number);
	p.dialog_hdrs = out_view(&session_out);
	p.hdrs = out_view(&hdrs_out);
	p.body = out_view(&sdp_out);
	if (leg->call->caller_leg->told.parts &&
	    pass_parts_give(&parts_out, leg->call->caller_leg->told.parts, p.hdrs, p.body, cs->p.rng, ctype) && out_ok(&parts_out)) {
		p.body = out_view(&parts_out);
		p.ctype = ctype;
	}
	p.auth_user = d->auth_user;
	p.auth_password = d->auth_password;
	p.timing = d->timing;
	p.is_offerless = leg->awaits_offer;
	p.has_rivals = d->has_rivals;
	p.oc = d->oc;
	p.max_forwards = leg->call->max_forwards - 1;
	err = session_invite(&leg->session, cs->p.ua, &p, &session_handler, leg);
	if (!err) {
		trace_begin(leg);
		leg_tell(leg);
	}
out:
	out_fini(&hdrs_out);
	out_fini(&sdp_out);
	out_fini(&parts_out);
	return err;
}

/* RFC 5009 §8: a network that asks lets nothing be heard before the answer that isn't announced. What the far end says of its own passes;
 * where it says nothing, and for music and announcements of ours, it is us. */
static const char *early_hdrs(const struct leg *leg, struct out *o)
{
	const struct sip_msg *invite = session_invite_msg(leg->session);
	const char *told = leg->told.hdrs ? leg->told.hdrs : "";

	if (!invite || !sip_msg_value_by_name(invite, "P-Early-Media").p || strcasestr(told, "P-Early-Media:"))
		return leg->told.hdrs;
	out_z(o, told);
	out_z(o, "P-Early-Media: sendrecv\r\n");
	out_chr(o, '\0');
	return out_ok(o) ? out_view(o).p : leg->told.hdrs;
}

/* A provisional response with the description. */
static int progress_with_media(struct leg *leg, int status)
{
	struct out o;
	int err;

	out_init_grow(&o, SIP_MSG_MAX);
	err = session_progress(leg->session, status, early_hdrs(leg, &o), "application/sdp", str_from(leg->local_sdp));
	out_fini(&o);
	return err;
}

int leg_ring(struct leg *leg)
{
	int err;

	if (leg->state >= LEG_ANSWERED || leg->is_alerting)
		return leg->state == LEG_ENDED ? -ECANCELED : 0;
	/* After a 183 the description comes again: to one who hasn't it for good it would mean that it is gone (RFC 3960 §3.2). */
	if (leg->has_early_media)
		err = progress_with_media(leg, 180);
	else
		err = session_progress(leg->session, 180, leg->told.hdrs, "application/sdp", STR_NULL);
	if (err)
		return err;
	leg->is_alerting = true;
	leg_set_state(leg, LEG_RINGING);
	return 0;
}

int leg_early_media(struct leg *leg)
{
	int err;

	if (leg->state >= LEG_ANSWERED || leg->has_early_media)
		return leg->state == LEG_ENDED ? -ECANCELED : 0;
	err = leg_make_answer(leg);
	if (err == -ENOTSUP && session_can_be_reliable(leg->session))
		err = leg_make_late_offer(leg); /* answered in the PRACK */
	if (err)
		return err;
	err = progress_with_media(leg, 183);
	if (err)
		return err;
	leg->has_early_media = true;
	leg_set_state(leg, LEG_RINGING);
	if (oa_is_complete(leg->oa))
		leg_configure(leg);
	return 0;
}

int leg_answer(struct leg *leg)
{
	int err = leg_make_answer(leg);

	/* Our 200 carries the offer when the INVITE had none: the answer comes with the ACK. */
	if (err == -ENOTSUP)
		err = leg_make_late_offer(leg);
	if (err)
		return err;
	err = session_answer(leg->session, leg->told.hdrs, "application/sdp", str_from(leg->local_sdp));
	if (err)
		return err;
	leg->awaits_answer = oa_state(leg->oa) == OA_LOCAL_OFFER;
	leg_set_state(leg, LEG_ANSWERED);
	if (oa_is_complete(leg->oa))
		leg_configure(leg);
	return 0;
}

/* Our own description couldn't be made of it: nobody else has refused it. */
static bool is_misfit(const struct leg *leg)
{
	return oa_state(leg->oa) == OA_REMOTE_OFFER ? !leg_can_answer(leg) : !oa_is_complete(leg->oa);
}

/* What a caller is told beside the reason for which he isn't answered. */
static void print_refusal(struct leg *leg, struct out *o, int status)
{
	const struct sip_msg *invite = session_invite_msg(leg->session);

	if (leg == leg->call->caller_leg && status == 480 && leg->call->is_sips_refused)
		out_z(o, "Warning: 380 cordboard \"SIPS Not Allowed\"\r\n"); /* RFC 5630 */
	if (status == 488 && invite && is_misfit(leg))
		leg_print_warning(leg, o, invite);
	if (leg == leg->call->caller_leg)
		told_print_refusal(leg, o);
}

const char *leg_number(const struct leg *leg)
{
	return leg->number[0] ? leg->number : leg->is_caller ? leg->call->caller.number : leg->peer;
}

void leg_close(struct leg *leg, int status, const char *reason)
{
	char most[256];
	struct out o;

	leg_unbridge(leg);
	if (leg->session) {
		/* What we tell the far end is what the record says. */
		if (reason)
			leg->cause = cause_of_reason(str_from(reason));
		out_init_on(&o, most, sizeof(most), REASON_MAX + PASS_MAX + DIVERSION_HDRS_MAX);
		reason_print(&o, reason, leg->is_caller && leg->state < LEG_ANSWERED ? status : 0);
		if (leg->is_caller || leg->state == LEG_ANSWERED) /* a CANCEL says why, and no more */
			told_print_parting(leg, &o);
		if (leg->is_caller && leg->state < LEG_ANSWERED && status >= 300)
			print_refusal(leg, &o, status);
		if (!leg->status)
			leg->status = leg->state < LEG_ANSWERED ? (leg->is_caller ? status : 487) : 0;
		if (!leg->is_caller && !leg->is_cancelled && leg->state < LEG_ANSWERED)
			leg_decided(leg, DECISION_CANCEL, reason ? reason : "", NULL);
		leg->is_cancelled = leg->is_cancelled || leg->state < LEG_ANSWERED;
		out_chr(&o, '\0');
		session_close(leg->session, status, out_ok(&o) && o.len > 1 ? out_view(&o).p : NULL);
		out_fini(&o);
		return; /* the stream closes with the session */
	}
	leg_set_state(leg, LEG_ENDED);
	leg_others_close(leg);
	if (leg->stream)
		stream_close(leg->stream);
	else
		leg_check_gone(leg);
}

/* ---- in: the session ---- */

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

static const struct session_handler session_handler = {
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

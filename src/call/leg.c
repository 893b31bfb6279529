/* leg.c - one leg: a session, its offer/answer and its stream, told to the call as changes of state.
 *
 * Events arrive from the session (leg_session.c) and the stream (leg_media.c); each changes the leg and wakes the call's task,
 * which decides. A leg is gone when both its session and its stream have closed; only then are its statistics whole.
 * What a leg says in SDP and what its stream does is in leg_media.c, offers after the first in leg_offer.c.
 */
#define LOG_MODULE "leg"
#include <stdlib.h>

#include "call/decision.h"
#include "call/leg_int.h"
#include "call/usage.h"
#include "call/pass.h"
#include "call/trace.h"
#include "base/log.h"

#define HDRS_MAX 24576 /* of an INVITE, besides those of its dialog */

struct leg *leg_of_session(const struct session *s)
{
	return session_arg(s, &leg_session_handler);
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
	free(leg->first_image);
	free(leg->reason);
	free(leg);
}

static void give_usage(struct leg *leg)
{
	usage_give(leg->call->calls, leg->usage);
	leg->usage = NULL;
	budget_end(leg);
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
void leg_set_state(struct leg *leg, enum leg_state state)
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

int leg_accept(struct leg *leg, struct strans *st, const struct sip_msg *m)
{
	int err;

	leg_policy_begin(leg, strans_source(st)->proto);
	leg->is_late = !leg_sdp_of(leg, m).n;
	if (!leg->is_late) {
		err = oa_take_offer(leg->oa, leg_sdp_of(leg, m));
		if (!err)
			err = leg_image_accept(leg);
		if (err)
			return err;
	}
	err = session_accept(&leg->session, leg->call->calls->p.ua, st, m, &leg_session_handler, leg);
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
	err = session_invite(&leg->session, cs->p.ua, &p, &leg_session_handler, leg);
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

/* referral.c - REFER: what it asks for, from whom it may come, and when it is acted on (RFC 3515, RFC 5589 as a B2BUA meets them).
 *
 * Who talks refers the other one, at once (transfer.c). Before that there is nobody yet who could be sent on, or he isn't joined yet:
 *
 *   a caller, while it rings    The referral waits for who answers: he is sent on instead of being joined with the caller, who may go
 *                               meanwhile. With Replaces, naming a call that the caller has already, that call's other end takes
 *                               the caller's place here: the semi-attended transfer, asked for in the other of the two dialogs.
 *   who talks to an application  Only with Replaces: the other end of that other call of his takes his place here.
 *   a phone that rings          Its caller is sent on, as by a 302, but by the phone's class of service. Where other extensions ring as well
 *                               these go on, and what it names rings in its place; with Replaces it takes the call for all of them.
 *   a phone that has answered   Its REFER was quicker than the task that joins the two: it waits until they are.
 *
 * Outside of a dialog a REFER is about the call that it names by Target-Dialog, or it is a click to dial: the phone is called, and
 * who answers there is sent on, as the first of these three would have it.
 */
#define LOG_MODULE "transfer"
#include <errno.h>
#include <stdlib.h>

#include "call/leg_int.h"
#include "call/redirect.h"
#include "base/log.h"

#define DEFLECTED "SIP;cause=302;text=\"Call deflected\""

struct referral {
	struct refer *refer;
	int uri_status;              /* why number isn't one, or 0 */
	char number[128];
	char replaces[512];          /* "": none */
	char referrer[128];          /* "": who is at the far end */
};

/* What comes of a REFER that was accepted: 0 under way, or the status it failed with. */
static int go(const struct referral *r, struct call_transfer *p);

static int status_of_refusal(int err)
{
	return err == -EACCES ? 403 : err == -EAGAIN || err == -ENOMEM ? 503 : 603;
}

/* ---- what it asks for ---- */

/* RFC 3892 §3: who refers. Of an account we know that better; a trunk refers for somebody behind it, and is believed as far as it is trusted.
 * -EINVAL: there may be one at most, and it must be an address. */
static int read_referrer(const struct leg *leg, const struct sip_msg *m, char *buf, size_t size)
{
	struct sip_hdr_iter it = { 0 };
	struct str value, another;
	struct sip_addr addr;

	buf[0] = '\0';
	if (!sip_msg_hdr_next(m, SIP_HDR_REFERRED_BY, &it, &value))
		return 0;
	if (sip_msg_hdr_next(m, SIP_HDR_REFERRED_BY, &it, &another) || sip_addr_parse(&addr, value) != 0)
		return -EINVAL;
	if (leg->is_outside && leg->told.rules.is_trusted && addr.uri.user.n && !identity_is_anonymous_uri(&addr.uri))
		identity_number_of(&addr.uri, buf, size);
	return 0;
}

static void read_uri(struct referral *r, const struct refer_to *to)
{
	if (!to->uri.user.n || sip_uri_number(&to->uri, r->number, sizeof(r->number)) != 0)
		r->uri_status = 404;
	str_put(r->replaces, sizeof(r->replaces), to->replaces);
}

/* ---- where to ---- */

/* The dialog that Replaces names, if `by` may take its place. *is_ours false: it isn't one of ours. */
static int find_replaced(const struct leg *by, const char *value, struct leg **out, bool *is_ours)
{
	struct sip_ua *ua = by->call->calls->p.ua;
	struct auth_identity who;
	struct replaces which;
	struct session *s;
	struct leg *old;

	*is_ours = true;
	if (replaces_parse(&which, str_from(value)) != 0)
		return 400;
	s = session_find(ua, &which);
	if (!s) {
		*is_ours = session_has_call_id(ua, which.call_id);
		return 481;
	}
	old = leg_of_session(s);
	if (!old || !leg_is_live(old) || !old->call->task)
		return 603; /* RFC 3891 §3: the dialog has ended */
	if (which.is_early_only && old->state == LEG_ANSWERED)
		return 486;
	leg_identity(by, &who);
	if (!replaces_allowed(&who, old))
		return 403;
	*out = old;
	return 0;
}

/* To who is at the other end of another dialog of the transferor's. */
static int go_to_dialog(struct call_transfer *p, const char *value, bool *is_ours)
{
	struct leg *old;
	int status = find_replaced(p->by, value, &old, is_ours), err;

	if (status)
		return status;
	err = call_join(p, old);
	return err ? status_of_refusal(err) : 0;
}

static int go(const struct referral *r, struct call_transfer *p)
{
	struct auth_identity who;
	int err;

	p->refer = r->refer;
	p->referrer = r->referrer[0] ? r->referrer : NULL;
	if (r->replaces[0]) {
		bool is_ours;
		int status = go_to_dialog(p, r->replaces, &is_ours);

		if (is_ours)
			return status;
		p->replaces = str_from(r->replaces);
	}
	leg_identity(p->by, &who);
	if (!who.context[0])
		return 403;
	if (r->uri_status)
		return r->uri_status;
	p->context = who.context;
	p->number = r->number;
	err = call_transfer(p);
	return err ? status_of_refusal(err) : 0;
}

/* ---- those that wait ---- */

static void finish(const struct leg *leg, struct refer *refer, int status)
{
	log_info(leg->call->calls->p.log, "call=%s leg=%u REFER failed status=%d", leg->call->id, leg->id, status);
	refer_finish(refer, status);
}

void referral_fail(struct leg *leg, int status)
{
	struct referral *r = leg->referral;

	if (!r)
		return;
	leg->referral = NULL;
	finish(leg, r->refer, status < 300 ? 480 : status);
	free(r);
}

void referral_tell(struct leg *leg, int status)
{
	struct referral *r = leg->referral;

	if (!r)
		return;
	if (status < 200) {
		refer_progress(r->refer, status);
		return;
	}
	leg->referral = NULL;
	refer_finish(r->refer, status);
	free(r);
}

bool referral_act(struct leg *leg)
{
	struct referral *r = leg->referral;
	struct call *call = leg->call;
	struct call_transfer p = { .leg = leg == call->caller_leg ? call->callee_leg : call->caller_leg, .by = leg, .is_late = true };
	int status;

	leg->referral = NULL;
	status = go(r, &p);
	if (status)
		finish(leg, r->refer, status);
	free(r);
	return !status;
}

/* Is somebody called for the caller, whom he isn't joined with yet? */
static bool is_dialling(const struct call *call)
{
	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		if (leg != call->caller_leg && leg != call->callee_leg && leg->state != LEG_ENDED)
			return true;
	return false;
}

/* ---- REFER ---- */

enum moment { NEVER, NOW, LATER, DEFLECTION, WITH_APP };

/* He is answered, and it is no phone that he talks to: a conference, a menu, a mailbox. */
static bool is_with_app(const struct leg *leg)
{
	const struct call *call = leg->call;

	return leg == call->caller_leg && leg->state == LEG_ANSWERED && call->task && !leg->referral && !call->transfer_out &&
	       !transfer_is_awaited(call) && (!call->callee_leg || call->callee_leg->state == LEG_ENDED) && !is_dialling(call);
}

static enum moment moment_of(const struct leg *leg)
{
	const struct call *call = leg->call;
	bool is_caller = leg == call->caller_leg;

	if (leg->state == LEG_ANSWERED && leg->partner && leg->partner->state == LEG_ANSWERED)
		return NOW;
	if (is_with_app(leg))
		return WITH_APP;
	/* Nobody talks with him who could be sent on: he listens to an application, or the other is on his way already. */
	if (leg->referral || call->transfer_out || transfer_is_awaited(call) || !call->task || leg == call->callee_leg || leg->state == LEG_NEW || !is_dialling(call))
		return NEVER;
	return is_caller || leg->state == LEG_ANSWERED ? LATER : DEFLECTION;
}

/* It rings at who is called, or an application has him, and Replaces names a call of the same caller's: whom he talks to there is to have the other one. False: it
 * isn't so, and nothing was done. */
static bool bring_here(struct leg *leg, const struct referral *r, int *status)
{
	struct leg *old;
	bool is_ours;
	int err;

	if (leg != leg->call->caller_leg || !r->replaces[0])
		return false;
	*status = find_replaced(leg, r->replaces, &old, &is_ours);
	if (*status)
		return is_ours;
	if (old->state != LEG_ANSWERED || !old->partner || old->partner->state != LEG_ANSWERED) {
		*status = 603;
		return true;
	}
	err = call_join(&(struct call_transfer){ .leg = old->partner, .by = old, .refer = r->refer,
						 .referrer = r->referrer[0] ? r->referrer : NULL }, leg);
	*status = err ? status_of_refusal(err) : 0;
	return true;
}

/* May who has this context call there at all? 0, or the status to refuse with. */
static int check_number(const struct call *call, const char *context, const struct referral *r)
{
	struct route *route;

	if (r->uri_status)
		return r->uri_status;
	switch (plan_match(call->calls->p.plan, call->domain, context, str_from(r->number), &route)) {
	case DIR_FOUND:
		route_release(route);
		return 0;
	case DIR_ABSENT:
		return 403;
	case DIR_UNKNOWN:
		break;
	}
	return 503;
}

/* Others ring as well, who mustn't lose the call: this phone is let go, and the dial rings the extension that it names in its place, as it
 * does by a 302. What is no extension only the whole call could go to. */
static int divert(struct leg *leg, const struct referral *r)
{
	struct call *call = leg->call;
	const struct dir_extension *to;
	struct auth_identity who;
	int status;

	if (leg->is_outside || call->is_hungup || replaces_is_picked_up(call))
		return 603;
	leg_identity(leg, &who);
	status = who.context[0] ? check_number(call, who.context, r) : 403;
	if (status)
		return status;
	switch (directory_extension(call->calls->p.directory, call->domain, str_from(r->number), &to)) {
	case DIR_FOUND:
		break;
	case DIR_ABSENT:
		return 603;
	case DIR_UNKNOWN:
		return 503;
	}
	leg->redirects = redirects_to(r->number);
	if (!leg->redirects)
		return 503;
	leg->status = 302;
	leg_close(leg, 302, DEFLECTED);
	return 0;
}

/* 0: under way, or it waits; r is kept then. */
static int begin(struct leg *leg, struct referral *r, enum moment moment, bool *is_kept)
{
	struct call_transfer p = { .leg = moment == NOW ? leg->partner : leg->call->caller_leg, .by = leg };
	int status;

	if (moment == DEFLECTION && !r->replaces[0] && !transfer_may_deflect(leg)) {
		status = divert(leg, r);
		*is_kept = !status;
		leg->referral = status ? NULL : r;
		return status;
	}
	if (moment != LATER && moment != WITH_APP)
		return go(r, &p);
	if (bring_here(leg, r, &status))
		return status;
	if (moment == WITH_APP)
		return 603;
	leg->referral = r;
	*is_kept = true;
	return 0;
}

/* Answers it. is_outside: it came in no dialog, or in none of the leg's. */
static void take(struct leg *leg, struct strans *st, const struct sip_msg *m, bool is_outside)
{
	enum moment moment = moment_of(leg);
	struct referral *r = calloc(1, sizeof(*r));
	bool is_kept = false;
	struct refer_to to;
	int status, err;

	if (!r) {
		strans_reply_simple(st, 503, NULL);
		return;
	}
	if (refer_to_parse(&to, m) != 0 || read_referrer(leg, m, r->referrer, sizeof(r->referrer)) != 0) {
		strans_reply_simple(st, 400, NULL);
	} else if (moment == NEVER || (moment == WITH_APP && !to.replaces[0]) || !to.is_invite || to.uri.scheme == SIP_SCHEME_OTHER) {
		strans_reply_simple(st, 603, NULL);
	} else {
		err = is_outside ? refer_accept_outside(&r->refer, leg->call->calls->p.ua, st, m) : refer_accept(&r->refer, leg->session, st, m);
		if (err) {
			strans_reply_simple(st, err == -EINVAL ? 400 : 503, NULL);
		} else {
			read_uri(r, &to);
			status = begin(leg, r, moment, &is_kept);
			if (status)
				finish(leg, r->refer, status);
		}
	}
	if (!is_kept)
		free(r);
}

void referral_take(struct leg *leg, struct strans *st, const struct sip_msg *m)
{
	take(leg, st, m, false);
}

/* ---- outside a dialog ---- */

/* RFC 5589 §6.1, RFC 4538: about a call of the same account's. */
static void take_for_dialog(struct calls *cs, struct strans *st, const struct sip_msg *m, const struct auth_identity *who,
			    const struct replaces *which)
{
	struct session *s = session_find(cs->p.ua, which);
	struct leg *leg = s ? leg_of_session(s) : NULL;
	const char *account = who->trunk[0] ? who->trunk : who->number;

	if (!leg || !leg_is_live(leg))
		strans_reply_simple(st, 481, NULL);
	else if (strcmp(who->domain, leg->call->domain) != 0 || leg->is_outside != (who->trunk[0] != '\0') || strcmp(account, leg->peer) != 0)
		strans_reply_simple(st, 403, NULL);
	else
		take(leg, st, m, true);
}

/* The phone that asks, if it is registered: by its contact, or by where it is. */
static char *phone_of(struct call *call, struct strans *st, const struct sip_msg *m)
{
	const struct binding *all = registrar_find(call->calls->p.registrar, call->domain, str_from(call->number)), *b;
	const struct sip_source *src = strans_source(st);
	struct sip_hdr_iter it = { 0 };
	struct sip_addr contact;
	struct sip_uri uri;
	struct str value;

	if (sip_msg_element_next(m, SIP_HDR_CONTACT, &it, &value) && sip_addr_parse(&contact, value) == 0)
		for (b = all; b; b = b->next)
			if (sip_uri_parse(&uri, str_from(b->contact)) == 0 && sip_uri_eq(&uri, &contact.uri))
				return strdup(b->contact);
	for (b = all; b; b = b->next)
		if (!b->path && b->dest.proto == src->proto && sockaddr_eq(&b->dest.addr, &src->peer))
			return strdup(b->contact);
	return NULL;
}

/* Which of his phones: the one that a GRUU of his means, all if it was sent to his number, else the one that asks. A status to refuse with, or 0. */
static int choose_phone(struct call *call, struct strans *st, const struct sip_msg *m)
{
	char number[128];
	int status;

	str_put(call->number, sizeof(call->number), call->caller.number);
	status = call_take_gruu(call, &m->ruri);
	if (status || call->gruu)
		return status ? status : strcmp(call->gruu->number, call->caller.number) != 0 ? 403 : 0;
	if (m->ruri.user.n) {
		/* Somebody else is asked to call: that is more than anybody may. */
		if (sip_uri_number(&m->ruri, number, sizeof(number)) != 0 || strcmp(number, call->caller.number) != 0)
			return 403;
		return 0;
	}
	call->phone = phone_of(call, st, m);
	return 0;
}

/* The call that rings his phone, as if he had dialled the number, referred whom it rings, and hung up. A status to refuse with, or 0. */
static int call_back(struct call *call, struct referral *r, const struct refer_to *to, struct strans *st, const struct sip_msg *m)
{
	struct calls *cs = call->calls;
	struct leg *leg;
	int status = choose_phone(call, st, m);

	read_uri(r, to);
	if (!status)
		status = r->replaces[0] ? 0 : check_number(call, call->context, r); /* a dialog is looked up when his phone has answered */
	if (status)
		return status;
	leg = leg_new_absent(call);
	if (!leg)
		return 503;
	call->caller_leg = leg;
	call->is_hungup = true;
	call->is_secure = to->uri.scheme == SIP_SCHEME_SIPS;
	call_take_hops(call, m);
	str_put(leg->peer, sizeof(leg->peer), call->caller.number);
	str_put(leg->number, sizeof(leg->number), call->caller.number);
	told_begin_absent(leg, r->number);
	status = refer_accept_outside(&r->refer, cs->p.ua, st, m);
	if (status)
		return status == -EINVAL ? 400 : 503;
	leg->referral = r;
	cs->n.total++;
	log_info(cs->p.log, "call=%s number=%s is called to be connected to number=%s", call->id, call->number, r->number);
	return 0;
}

/* Nothing of it has begun. */
static void give_up(struct call *call)
{
	struct leg *leg = call->caller_leg;

	call->legs = call->caller_leg = NULL;
	if (leg)
		leg_release(leg);
	call_drop(call);
}

static void click_to_dial(struct calls *cs, struct strans *st, const struct sip_msg *m, const struct auth_identity *who)
{
	bool is_full = calls_is_full(cs);
	struct referral *r = calloc(1, sizeof(*r));
	struct call *call = r && !is_full ? call_new(cs, who) : NULL;
	struct refer_to to;
	int status = 503;

	if (call && refer_to_parse(&to, m) != 0)
		status = 400;
	else if (call && (!to.is_invite || to.uri.scheme == SIP_SCHEME_OTHER))
		status = 603;
	else if (call)
		status = call_back(call, r, &to, st, m);
	if (call && !status && call_start(call) == 0)
		return;
	if (!status)
		referral_fail(call->caller_leg, 503);
	else
		free(r);
	if (call)
		give_up(call);
	if (status)
		strans_reply_simple(st, status, status == 503 ? "Retry-After: 10\r\n" : NULL);
}

void referral_outside(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct calls *cs = arg;
	struct auth_identity who = { 0 };
	struct replaces which;
	int err = target_dialog_of(&which, m);

	if (auth_check(cs->p.auth, st, m, &who) != AUTH_OK)
		return;
	if (err == -EINVAL)
		strans_reply_simple(st, 400, NULL);
	else if (!err)
		take_for_dialog(cs, st, m, &who, &which);
	else if (who.trunk[0]) /* it has no phone to call */
		strans_reply(st, &(struct sip_reply){ .status = 403, .reason = "REFER Outside A Dialog" });
	else
		click_to_dial(cs, st, m, &who);
}

bool referral_is_call_back(const struct call *call)
{
	return call->caller_leg->has_left && call->caller_leg->referral;
}

enum app_result referral_call_back(struct call *call)
{
	const char *number = call->number;

	return app_dial(call, &(struct app_dial){ .numbers = &number, .n = 1, .ignores_forwards = true });
}

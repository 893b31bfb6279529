/* referral.c - REFER: what it asks for, from whom it may come, and when it is acted on (RFC 3515, RFC 5589 as a B2BUA meets them).
 *
 * Who talks refers the other one, at once (transfer.c). Before that there is nobody yet who could be sent on, or he isn't joined yet:
 *
 *   a caller, while it rings    The referral waits for who answers: he is sent on instead of being joined with the caller, who may go
 *                               meanwhile. With Replaces, naming a call that the caller has already, that call's other end takes
 *                               the caller's place here: the semi-attended transfer, asked for in the other of the two dialogs.
 *   a phone that rings          Its caller is sent on, as by a 302, but by the phone's class of service.
 *   a phone that has answered   Its REFER was quicker than the task that joins the two: it waits until they are.
 */
#define LOG_MODULE "transfer"
#include <errno.h>
#include <stdlib.h>

#include "call/leg_int.h"
#include "base/log.h"

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

enum moment { NEVER, NOW, LATER, DEFLECTION };

static enum moment moment_of(const struct leg *leg)
{
	const struct call *call = leg->call;
	bool is_caller = leg == call->caller_leg;

	if (leg->state == LEG_ANSWERED && leg->partner && leg->partner->state == LEG_ANSWERED)
		return NOW;
	/* Nobody talks with him who could be sent on: he listens to an application, or the other is on his way already. */
	if (leg->referral || call->transfer_out || transfer_is_awaited(call) || !call->task || leg == call->callee_leg || leg->state == LEG_NEW || !is_dialling(call))
		return NEVER;
	return is_caller || leg->state == LEG_ANSWERED ? LATER : DEFLECTION;
}

/* It rings at who is called, and Replaces names a call of the same caller's: whom he talks to there is to have the other one. False: it
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

/* 0: under way, or it waits; r is kept then. */
static int begin(struct leg *leg, struct referral *r, enum moment moment, bool *is_kept)
{
	struct call_transfer p = { .leg = moment == NOW ? leg->partner : leg->call->caller_leg, .by = leg };
	int status;

	if (moment != LATER)
		return go(r, &p);
	if (bring_here(leg, r, &status))
		return status;
	leg->referral = r;
	*is_kept = true;
	return 0;
}

void referral_take(struct leg *leg, struct strans *st, const struct sip_msg *m)
{
	enum moment moment = moment_of(leg);
	struct referral *r = calloc(1, sizeof(*r));
	bool is_kept = false;
	struct refer_to to;
	int status;

	if (!r) {
		strans_reply_simple(st, 503, NULL);
		return;
	}
	if (refer_to_parse(&to, m) != 0 || read_referrer(leg, m, r->referrer, sizeof(r->referrer)) != 0) {
		strans_reply_simple(st, 400, NULL);
	} else if (moment == NEVER || !to.is_invite || to.uri.scheme == SIP_SCHEME_OTHER) {
		strans_reply_simple(st, 603, NULL);
	} else if (refer_accept(&r->refer, leg->session, st, m) != 0) {
		strans_reply_simple(st, 503, NULL);
	} else {
		read_uri(r, &to);
		status = begin(leg, r, moment, &is_kept);
		if (status)
			finish(leg, r->refer, status);
	}
	if (!is_kept)
		free(r);
}

/* Outside a dialog a REFER would make us call somebody in the sender's name: that is a command (click to dial), which an administrator
 * gives in SQL, and nothing a phone needs. */
void referral_outside(struct strans *st, const struct sip_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	strans_reply(st, &(struct sip_reply){ .status = 403, .reason = "REFER Outside A Dialog" });
}

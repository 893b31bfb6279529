/* transfer.c - REFER, and legs that go on in another call (RFC 3515, RFC 5589 as a B2BUA meets it).
 *
 * In a call two legs talk; one of them, the transferor, refers the other. Blind: the other leg becomes the caller of a new call, whose
 * task runs the route of the number with the transferor's class of service. Attended and semi-attended: Refer-To names a
 * dialog that the transferor has with us in another call (Replaces), and the other leg takes his place there; no INVITE is sent.
 *
 * Until somebody answers, struct transfer ties the two calls together:
 *
 *   from: the transferor's call. Its task waits in transfer_await() as long as the transferor is there. He may go at any time.
 *   to:   the call it goes on in. Its task runs the route, then transfer_conclude():
 *
 *   PENDING -> DONE       answered: the transferor is told 200, and hung up on unless he does it himself
 *           -> RETURNED   failed, and the transferor is still there: the other leg is moved back, they talk again
 *           -> OVER       failed and nobody there to give it back to: the transferor is called (the domain's recall_ring_s), or
 *                         the other has hung up himself
 *
 * What the transferor may reach is looked up before anybody is parted from anybody: when it is refused they just go on talking.
 *
 * A phone that still rings may send its caller on, too: who hasn't been answered goes as he is, and there is nobody to give him back to.
 * (Where other extensions ring as well it is the dial that acts on it: see referral.c.)
 */
#define LOG_MODULE "transfer"
#include <errno.h>
#include <stdlib.h>

#include "call/command.h"
#include "call/decision.h"
#include "call/leg_int.h"
#include "base/log.h"

#define TRANSFERRED "SIP;cause=200;text=\"Call transferred\""

enum transfer_state { TRANSFER_PENDING, TRANSFER_DONE, TRANSFER_RETURNED, TRANSFER_OVER };

struct transfer {
	struct call *from, *to;      /* each lets go when its task has no more use of it; the last one frees */
	enum transfer_state state;
	bool keeps_caller;           /* the transferor is from's caller, its callee has left; else the other way */
	struct refer *refer;         /* NULL: nobody is told, or all is said */
	int told;
	bool is_command;             /* wanted by one, not by the transferor */
	struct command *command;     /* not told of the end yet; NULL: none */
	char by[64];                 /* number that is called back; "": none could be */
	char *referred_by;           /* user part */
	unsigned privacy;            /* that he asked for */
	char *replaces;              /* NULL: none */
};

/* ---- who it is ---- */

void leg_identity(const struct leg *leg, struct auth_identity *who)
{
	const struct call *call = leg->call;
	struct directory *d = call->calls->p.directory;
	const struct dir_extension *ext;
	const struct dir_trunk *trunk;

	*who = (struct auth_identity){ 0 };
	str_put(who->domain, sizeof(who->domain), call->domain);
	if (!leg->is_outside) {
		str_put(who->number, sizeof(who->number), leg->peer);
		if (directory_extension(d, call->domain, str_from(leg->peer), &ext) == DIR_FOUND) {
			str_put(who->context, sizeof(who->context), ext->context);
			str_put(who->display_name, sizeof(who->display_name), ext->display_name);
		}
		return;
	}
	str_put(who->number, sizeof(who->number), leg->number);
	if (!strcmp(call->caller.number, leg->number))
		str_put(who->display_name, sizeof(who->display_name), call->caller.display_name);
	str_put(who->trunk, sizeof(who->trunk), leg->peer); /* even if it is gone: without, the number would be an extension's */
	if (directory_trunk(d, call->domain, str_from(leg->peer), &trunk) == DIR_FOUND)
		str_put(who->context, sizeof(who->context), trunk->context);
}

/* ---- the tie ---- */

static void transfer_free(struct transfer *t)
{
	free(t->referred_by);
	free(t->replaces);
	free(t);
}

static struct transfer *transfer_new(const struct call_transfer *p)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (p->by && !p->by->is_outside)
		str_put(t->by, sizeof(t->by), p->by->peer);
	t->privacy = p->by ? p->by->told.who.privacy : 0;
	t->referred_by = strdup(p->referrer ? p->referrer : p->by ? p->by->number : "");
	t->replaces = p->replaces.n ? str_dup(p->replaces) : NULL;
	if (!t->referred_by || (p->replaces.n && !t->replaces)) {
		transfer_free(t);
		return NULL;
	}
	return t;
}

/* It still rings at who sends the caller on: he isn't waited for. */
static bool is_deflected(const struct call_transfer *p)
{
	return p->by && !p->is_late && p->by->state < LEG_ANSWERED;
}

/* Nothing fails from here on. */
static void transfer_begin(struct transfer *t, const struct call_transfer *p, struct call *to)
{
	struct call *from = p->leg->call;
	const struct dir_domain *domain;

	t->refer = p->refer;
	t->is_command = p->command != NULL;
	t->command = p->command;
	t->to = to;
	to->transfer_in = t;
	if (p->by && !p->by->has_left && !p->command)
		text_keep(&to->transferred_by, p->by->peer);
	if (p->by && !p->by->has_left && !is_deflected(p)) {
		t->from = from;
		t->keeps_caller = p->by == from->caller_leg;
		from->transfer_out = t;
		if (directory_domain(from->calls->p.directory, from->domain, &domain) == DIR_FOUND && domain->transfer_answer_s)
			to->answer_by_ms = call_deadline(to, domain->transfer_answer_s * 1000);
	}
	decided(to, DECISION_SENT, leg_number(p->leg), p->by && !p->command ? p->by->peer : "", to->number, from->id, NULL);
	log_info(from->calls->p.log, "call=%s leg=%u transferred by=%s to call=%s number=%s", from->id, p->leg->id,
		 p->command ? "command" : p->by ? p->by->peer : "-", to->id, to->number);
}

static void tell(struct transfer *t, int status)
{
	if (!t->refer || t->told == status)
		return;
	t->told = status;
	if (status < 200) {
		refer_progress(t->refer, status);
		return;
	}
	refer_finish(t->refer, status);
	t->refer = NULL;
}

static void tell_command(struct transfer *t, int status)
{
	struct command *c = t->command;

	t->command = NULL;
	if (c && status < 300)
		command_done(c, "answered in call %s", t->to->id);
	else if (c)
		command_fail(c, app_result_name(result_of_status(status)), "%d, %s", status,
			     t->state == TRANSFER_RETURNED ? "they talk again" : "and it has ended");
}

static void set_state(struct transfer *t, enum transfer_state state, int status)
{
	if (t->state != TRANSFER_PENDING)
		return;
	t->state = state;
	tell(t, status);
	tell_command(t, status);
	if (t->from)
		call_wake(t->from);
}

/* The transferor's leg, if he is still there: a caller may have referred before he was answered. */
static struct leg *transferor(const struct transfer *t)
{
	struct leg *leg = !t->from ? NULL : t->keeps_caller ? t->from->caller_leg : t->from->callee_leg;

	return leg && (leg->state == LEG_ANSWERED || leg->is_caller) && leg_is_live(leg) ? leg : NULL;
}

static void leave(struct transfer *t)
{
	if (!t->from && !t->to)
		transfer_free(t);
}

static void release_in(struct call *call)
{
	struct transfer *t = call->transfer_in;

	call->transfer_in = NULL;
	if (!t)
		return;
	set_state(t, TRANSFER_OVER, 487);
	t->to = NULL;
	leave(t);
}

void transfer_release(struct call *call)
{
	struct transfer *out = call->transfer_out;

	call->transfer_out = NULL;
	if (out) {
		out->from = NULL;
		leave(out);
	}
	release_in(call);
}

void transfer_progress(struct call *call, int status)
{
	if (call->transfer_in && call->transfer_in->state == TRANSFER_PENDING)
		tell(call->transfer_in, status);
}

void transfer_answered(struct call *call)
{
	if (call->transfer_in)
		set_state(call->transfer_in, TRANSFER_DONE, 200);
}

/* by: the account, or ""; number: who it is if there is none. */
static void print_referrer(const struct leg *leg, struct out *o, const char *host, const char *by, const char *number, unsigned privacy)
{
	struct identity who = { .privacy = privacy };

	str_put(who.number, sizeof(who.number), number);
	if (!told_referrer(leg, by, &who))
		return;
	out_z(o, "Referred-By: <sip:");
	sip_escape_user(o, str_from(who.number));
	out_fmt(o, "@%s>\r\n", host);
}

void transfer_print_headers(const struct leg *leg, const struct leg *referrer, struct out *o, const char *host)
{
	const struct transfer *t = leg->call->transfer_in;
	bool is_transferred = t && t->state != TRANSFER_OVER && !t->is_command;

	if (referrer)
		print_referrer(leg, o, host, referrer->peer, referrer->number, referrer->told.who.privacy);
	else if (is_transferred)
		print_referrer(leg, o, host, t->by, t->referred_by, t->privacy);
	if (is_transferred && t->replaces)
		out_fmt(o, "Replaces: %s\r\nRequire: replaces\r\n", t->replaces);
}

/* ---- to another call ---- */

bool transfer_is_awaited(const struct call *call)
{
	return call->transfer_in && call->transfer_in->state == TRANSFER_PENDING;
}

/* A caller can be sent on by who rings. */
static bool may_be_deflected(const struct call *call, const struct leg *by)
{
	return by->call == call && by->state == LEG_RINGING && !call->callee_leg && !call->is_hungup && !transfer_is_awaited(call) &&
	       !replaces_is_picked_up(call);
}

static bool rings_alone(const struct call *call, const struct leg *by)
{
	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		if (leg != call->caller_leg && leg->state != LEG_ENDED && (leg->is_outside != by->is_outside || strcmp(leg->peer, by->peer) != 0))
			return false;
	return true;
}

bool transfer_may_deflect(const struct leg *leg)
{
	return may_be_deflected(leg->call, leg) && rings_alone(leg->call, leg);
}

/* is_answer: to whom he talks to at once, which his phone could have answered for all that ring. */
static bool may_go(const struct call_transfer *p, bool is_answer)
{
	const struct call *call = p->leg->call;

	if (!leg_is_live(p->leg) || call->transfer_out)
		return false;
	if (is_deflected(p))
		return p->leg == call->caller_leg && may_be_deflected(call, p->by) && (is_answer || rings_alone(call, p->by));
	return p->leg->state == LEG_ANSWERED && (p->leg == call->caller_leg || p->leg == call->callee_leg) &&
	       (!p->by || p->is_late || (p->by->state == LEG_ANSWERED && p->by->partner == p->leg));
}

bool transfer_may_go(const struct leg *leg)
{
	return may_go(&(struct call_transfer){ .leg = (struct leg *)leg }, false);
}

struct call *transfer_call_for(const struct leg *leg, const char *context, const char *number)
{
	struct call *from = leg->call, *to;
	struct auth_identity who;

	leg_identity(leg, &who);
	str_put(who.context, sizeof(who.context), context);
	to = call_new(from->calls, &who);
	if (!to)
		return NULL;
	str_put(to->number, sizeof(to->number), number);
	to->max_forwards = from->max_forwards;
	to->max_breadth = from->max_breadth;
	to->is_secure = from->is_secure;
	to->is_breadth_given = from->is_breadth_given;
	from->calls->n.total++;
	return to;
}

static struct call *call_for(const struct call_transfer *p)
{
	struct call *to = transfer_call_for(p->leg, p->context, p->number);

	/* Phones that send a caller on by themselves could do so in a circle. */
	if (to && is_deflected(p) && to->max_forwards)
		to->max_forwards--;
	return to;
}

/* Whoever sends another one on may do no more than call himself. */
static bool is_of_class(const struct call_transfer *p)
{
	struct auth_identity who;

	if (!p->by || p->command)
		return p->context[0] != '\0';
	leg_identity(p->by, &who);
	return who.context[0] && !strcmp(who.context, p->context);
}

int call_transfer(const struct call_transfer *p)
{
	struct calls *cs = p->leg->call->calls;
	struct transfer *t = NULL;
	struct leg *record = NULL;
	struct call *to = NULL;
	struct route *route;
	int err = -ENOMEM;

	if (!may_go(p, false))
		return -EINVAL;
	if (strlen(p->number) >= sizeof(to->number) || !is_of_class(p))
		return -EACCES;
	/* It is a call like another: for a while there are both. */
	if (cs->is_closing || (cs->p.max_calls && cs->n.live >= cs->p.max_calls))
		return -EAGAIN;
	switch (plan_match(cs->p.plan, p->leg->call->domain, p->context, str_from(p->number), &route)) {
	case DIR_FOUND:
		route_release(route);
		break;
	case DIR_ABSENT:
		return -EACCES;
	case DIR_UNKNOWN:
		return -EAGAIN;
	}
	t = transfer_new(p);
	record = leg_record_new(p->leg);
	to = t && record ? call_for(p) : NULL;
	if (to)
		err = call_start(to);
	if (err) {
		if (to)
			call_drop(to);
		if (t)
			transfer_free(t);
		free(record);
		return err;
	}
	transfer_begin(t, p, to);
	to->caller_leg = p->leg;
	leg_move(p->leg, to, record);
	p->leg->is_swapped = !p->leg->is_caller;
	if (p->leg->state == LEG_ANSWERED)
		leg_tones(p->leg, DIR_TONE_RINGBACK); /* he was talking: better than silence until there is something to hear */
	return 0;
}

/* Who is sent to a talk before anybody has answered him is answered by that. */
static int answer_for(struct leg *leg, const struct leg *old)
{
	int err;

	if (leg->state == LEG_ANSWERED)
		return 0;
	told_connected(leg, old->partner ? old->partner : old);
	err = leg_answer(leg);
	if (!err)
		call_answered(leg->call);
	return err;
}

int call_join(const struct call_transfer *p, struct leg *old)
{
	struct call *to = old->call;
	struct leg *partner = old->partner;
	struct transfer *t;
	struct leg *record;
	bool is_ringing = old->state == LEG_RINGING && old != to->caller_leg;
	int err;

	if (!may_go(p, true) || to == p->leg->call || transfer_is_awaited(to) || to->is_hungup || strcmp(to->domain, p->leg->call->domain) != 0 ||
	    (old != to->caller_leg && old != to->callee_leg && !is_ringing) || (is_ringing && replaces_is_picked_up(to)))
		return -EINVAL;
	err = answer_for(p->leg, old);
	if (err)
		return err;
	t = transfer_new(p);
	record = leg_record_new(p->leg);
	if (!t || !record) {
		if (t)
			transfer_free(t);
		free(record);
		return -ENOMEM;
	}
	release_in(to); /* an earlier one, which is through */
	transfer_begin(t, p, to);
	leg_move(p->leg, to, record);
	if (is_ringing) {
		to->picked_up = p->leg; /* the dial that rings it closes it */
		p->leg->is_swapped = p->leg->is_caller;
		call_wake(to);
		return 0;
	}
	leg_replace(old, p->leg);
	if (partner) {
		leg_bridge(p->leg, partner);
		leg_align_partner(p->leg, NULL);
	} else if (!to->answered_ms) {
		leg_tones(p->leg, DIR_TONE_RINGBACK);
	}
	leg_close(old, 487, TRANSFERRED);
	if (to->answered_ms)
		set_state(t, TRANSFER_DONE, 200);
	return 0;
}

/* ---- the tasks ---- */

bool transfer_await(struct call *call)
{
	struct transfer *t = call->transfer_out;
	uint64_t until;
	struct leg *leg;
	bool is_back;

	while (t->state == TRANSFER_PENDING && transferor(t))
		call_wait(call, UINT64_MAX);
	until = call_deadline(call, TRANSFER_LINGER_MS);
	while (t->state == TRANSFER_DONE && !t->is_command && transferor(t) && call_wait(call, until) != -ETIMEDOUT)
		;
	is_back = t->state == TRANSFER_RETURNED;
	leg = transferor(t);
	if (leg && !is_back)
		leg_close(leg, 487, t->state == TRANSFER_DONE ? TRANSFERRED : "Q.850;cause=16;text=\"Normal call clearing\"");
	call->transfer_out = NULL;
	t->from = NULL;
	leave(t);
	return is_back;
}

/* They talk again as if nothing had been. */
static bool give_back(struct transfer *t, struct call *call)
{
	struct call *from = t->from;
	struct leg *leg = call->caller_leg, *record = leg_record_new(leg);

	if (!record)
		return false;
	if (leg->stream)
		stream_silence(leg->stream); /* no ringing any more */
	leg_move(leg, from, record);
	if (t->keeps_caller) {
		from->callee_leg = leg;
		leg->is_swapped = leg->is_caller;
	} else {
		from->caller_leg = leg;
		leg->is_swapped = !leg->is_caller;
		from->is_hungup = false;
		from->is_moved = false;
	}
	if (from->parted_ms)
		from->away_ms += call_now_ms(from) - from->parted_ms;
	from->parted_ms = 0;
	return true;
}

static enum app_result recall(struct call *call, const struct transfer *t, enum app_result r)
{
	const struct dir_domain *domain;
	const char *number = call_strdup(call, t->by); /* another transfer may come here meanwhile, and t go */

	if (!number || !number[0] || (!call->caller_leg->is_outside && !strcmp(number, call->caller_leg->peer)) || call->calls->is_closing ||
	    directory_domain(call->calls->p.directory, call->domain, &domain) != DIR_FOUND || !domain->recall_ring_s)
		return r;
	log_info(call->calls->p.log, "call=%s recalls number=%s", call->id, number);
	call->answer_by_ms = 0;
	return app_dial(call, &(struct app_dial){ .numbers = &number, .n = 1, .ring_s = domain->recall_ring_s });
}

enum app_result transfer_conclude(struct call *call, enum app_result r)
{
	struct transfer *t = call->transfer_in;

	if (t->state != TRANSFER_PENDING)
		return r;
	if (call->is_hungup || call->caller_leg->state == LEG_ENDED) {
		set_state(t, TRANSFER_OVER, 487);
		return r;
	}
	call_set_result(call, r);
	if (transferor(t) && give_back(t, call)) {
		set_state(t, TRANSFER_RETURNED, call_final_status(call));
		return APP_MOVED;
	}
	set_state(t, TRANSFER_OVER, call_final_status(call));
	return call->caller_leg->state == LEG_ANSWERED ? recall(call, t, r) : r;
}

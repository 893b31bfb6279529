/* originate.c - calls made by command (originate.h). */
#define LOG_MODULE "call"
#include "call/originate.h"

#include <errno.h>

#include "call/admission.h"
#include "call/decision.h"
#include "base/log.h"

static int identify(struct calls *cs, const struct call_originate *p, struct auth_identity *who)
{
	const struct dir_extension *ext;

	*who = (struct auth_identity){ 0 };
	switch (directory_extension(cs->p.directory, p->domain, str_from(p->extension), &ext)) {
	case DIR_FOUND:
		break;
	case DIR_ABSENT:
		return -EACCES;
	case DIR_UNKNOWN:
		return -EAGAIN;
	}
	str_put(who->domain, sizeof(who->domain), p->domain);
	str_put(who->number, sizeof(who->number), ext->number);
	str_put(who->display_name, sizeof(who->display_name), ext->display_name);
	str_put(who->context, sizeof(who->context), p->context);
	return 0;
}

/* Its leg, and its task. */
static int begin(struct call *call, const struct call_originate *p)
{
	struct leg *leg;

	if (strlen(p->number) >= sizeof(call->number) || strlen(p->id) != CALL_ID_LEN)
		return -EINVAL;
	str_put(call->id, sizeof(call->id), p->id);
	str_put(call->number, sizeof(call->number), p->number);
	if (!admission_take_domain_limit(call))
		return -EAGAIN;
	leg = leg_new_absent(call);
	if (!leg)
		return -ENOMEM;
	call->caller_leg = leg;
	str_put(leg->peer, sizeof(leg->peer), call->caller.number);
	str_put(leg->number, sizeof(leg->number), call->caller.number);
	told_begin_absent(leg, p->number);
	call_take_hops(call, NULL);
	call->run = originate_run;
	call->run_name = "originate";
	call->originate_ring_s = p->ring_s;
	return call_start(call);
}

int call_originate(struct calls *cs, const struct call_originate *p)
{
	struct auth_identity who;
	struct call *call;
	int err = identify(cs, p, &who);

	if (err)
		return err;
	if (calls_is_full(cs))
		return -EAGAIN;
	call = call_new(cs, &who);
	if (!call)
		return -ENOMEM;
	err = begin(call, p);
	if (err) {
		struct leg *leg = call->caller_leg;

		call->legs = call->caller_leg = NULL;
		if (leg)
			leg_release(leg);
		call_drop(call);
		return err;
	}
	call->command = p->command;
	decided(call, DECISION_ORIGINATED, command_by(p->command), who.number, call->number, NULL);
	cs->n.total++;
	live_call(call);
	log_info(cs->p.log, "call=%s number=%s is called to be connected to number=%s", call->id, who.number, call->number);
	return 0;
}

enum app_result originate_run(struct call *call)
{
	const char *number = call->caller.number;
	enum app_result r = app_dial(call, &(struct app_dial){ .numbers = &number, .n = 1, .ring_s = call->originate_ring_s,
							      .ignores_forwards = true });

	if (call->caller_leg->has_left) {
		call->is_hungup = true; /* there is nobody to tell */
		return r == APP_OK ? APP_HANGUP : r;
	}
	return steps_run(call, call->context, call->number);
}

enum app_result originate_take(struct call *call, struct leg *leg)
{
	call->caller_leg = leg;
	call->is_hungup = leg->state == LEG_ENDED;
	leg->is_swapped = true;
	leg_tell(leg);
	return APP_OK;
}

void originate_answered(struct call *call)
{
	struct command *c = call->command;

	call->command = NULL;
	if (c)
		command_done(c, "%s has answered %s", call->number, call->caller.number);
}

/* To somebody who reads it: who didn't answer wasn't necessarily rung. */
static const char *failure_of(enum app_result r)
{
	return r == APP_UNAVAILABLE ? "isn't reachable" : r == APP_BUSY ? "is busy" : "didn't answer";
}

void originate_over(struct call *call, enum app_result r)
{
	struct command *c = call->command;

	call->command = NULL;
	if (!c)
		return;
	if (call->caller_leg->has_left && r == APP_HANGUP)
		command_fail(c, app_result_name(r), "hung up before %s answered", call->caller.number);
	else if (call->caller_leg->has_left)
		command_fail(c, app_result_name(r), "extension %s %s", call->caller.number, failure_of(r));
	else if (r == APP_HANGUP)
		command_fail(c, app_result_name(r), "%s has hung up", call->caller.number);
	else
		command_fail(c, app_result_name(r), "%s %s", call->number, failure_of(r));
}

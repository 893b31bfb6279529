/* control.c - carries out commands to calls (control.h). Each finds its call and leg anew: between COMMIT and now they may have gone. */
#define LOG_MODULE "control"
#include "call/control.h"

#include <utlist.h>

#include "call/leg_int.h"
#include "call/originate.h"

#define CLEARING "Q.850;cause=16;text=\"Normal call clearing\""
#define HANGUP_STATUS 480     /* for a caller whom nobody has answered yet */

/* ---- what a command names ---- */

static struct call *find_call(struct calls *cs, const char *id)
{
	struct call *call;

	DL_FOREACH(cs->live, call)
		if (!strcmp(call->id, id))
			return call;
	return NULL;
}

/* The command has failed when there is none. */
static struct call *call_of(struct calls *cs, struct command *c)
{
	struct call *call = find_call(cs, command_call(c));

	if (!call || call->task_ended) {
		command_fail(c, "gone", "the call has ended");
		return NULL;
	}
	return call;
}

static struct leg *leg_of(struct call *call, struct command *c)
{
	for (struct leg *leg = call->legs; leg; leg = leg->next)
		if (leg->id == command_leg(c) && leg_is_live(leg))
			return leg;
	command_fail(c, "gone", "leg %u has ended", command_leg(c));
	return NULL;
}

static const char *cause_of_error(int err)
{
	return err == -EAGAIN || err == -ENOMEM ? "congestion" : err == -EACCES ? "invalid" : "impossible";
}

/* ---- hangup ---- */

static void hang_up_all(struct call *call)
{
	/* Of a call that is made by command nobody has answered yet: there is no leg that its task would see the end of. */
	if (call->caller_leg->has_left) {
		call->is_hungup = true;
		call_wake(call);
	}
	for (struct leg *leg = call->legs, *next; leg; leg = next) {
		next = leg->next;
		if (leg->session)
			leg_close(leg, HANGUP_STATUS, CLEARING);
	}
}

static void hangup(struct command *c, void *arg)
{
	struct call *call = call_of(arg, c);
	struct leg *leg;

	if (!call)
		return;
	if (!command_leg(c)) {
		hang_up_all(call);
		command_done(c, "hung up");
		return;
	}
	leg = leg_of(call, c);
	if (!leg)
		return;
	leg_close(leg, HANGUP_STATUS, CLEARING);
	command_done(c, "leg %u hung up", command_leg(c));
}

/* ---- transfer ---- */

static void transfer(struct command *c, void *arg)
{
	struct call *call = call_of(arg, c);
	struct leg *leg = call ? leg_of(call, c) : NULL;
	struct leg *by = leg && leg->partner && leg->partner->state == LEG_ANSWERED ? leg->partner : NULL;
	const char *number = command_text(c, "number"), *context = command_text(c, "context");
	int err;

	if (!leg)
		return;
	err = call_transfer(&(struct call_transfer){ .leg = leg, .by = by, .number = number ? number : "", .context = context ? context : "",
						     .command = c });
	if (err)
		command_fail(c, cause_of_error(err), "%s", err == -EACCES ? "no route leads there" :
			     err == -EINVAL ? "nobody has answered, or it is being transferred already" : uv_strerror(err));
	else if (by)
		leg_music(by, leg_music_class(by)); /* until it is known what becomes of it */
}

/* ---- originate ---- */

static void originate(struct command *c, void *arg)
{
	const char *extension = command_text(c, "extension"), *number = command_text(c, "number"), *context = command_text(c, "context");
	int err = call_originate(arg, &(struct call_originate){
		.id = command_call(c), .domain = command_domain(c), .extension = extension ? extension : "", .number = number ? number : "",
		.context = context ? context : "", .ring_s = (uint32_t)command_int(c, "ring_s", 0), .command = c });

	if (err)
		command_fail(c, cause_of_error(err), "%s", err == -EAGAIN ? "there are as many calls as there may be" : uv_strerror(err));
}

/* ---- record ---- */

static void record(struct command *c, void *arg)
{
	struct call *call = call_of(arg, c);
	bool is_on = command_bool(c, "on");

	if (!call)
		return;
	if (is_on && !call->calls->p.recordings) {
		command_fail(c, "impossible", "this server makes no recordings");
		return;
	}
	app_record_call(call, &(struct app_record_wish){ .action = is_on ? "start" : "stop", .by = "command" });
	command_done(c, !is_on ? "not recorded any more" : call->recording ? "recorded from now on" : "recorded as soon as two talk");
}

void control_begin(struct calls *calls, struct commands *commands)
{
	commands_on(commands, "hangup", hangup, calls);
	commands_on(commands, "transfer", transfer, calls);
	commands_on(commands, "originate", originate, calls);
	commands_on(commands, "record", record, calls);
}

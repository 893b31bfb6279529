/* control.c - carries out commands to calls (control.h). Each finds its call and leg anew: between COMMIT and now they may have gone. */
#define LOG_MODULE "control"
#include "call/control.h"

#include <utlist.h>

#include "call/announce.h"
#include "call/leg_int.h"
#include "call/originate.h"
#include "call/regroup.h"
#include "call/say.h"
#include "base/log.h"

#define CLEARING "Q.850;cause=16;text=\"Normal call clearing\""
#define HANGUP_STATUS 480     /* for a caller whom nobody has answered yet */
#define SECONDS_MAX (7 * 24 * 3600) /* a week is as good as for ever, and is no more than a wait can be in ms */

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

/* An argument that is a time; 0: it isn't there. */
static uint32_t seconds_of(const struct command *c, const char *arg)
{
	int64_t s = command_int(c, arg, 0);

	return s < 0 ? 0 : s > SECONDS_MAX ? SECONDS_MAX : (uint32_t)s;
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
		.context = context ? context : "", .ring_s = seconds_of(c, "ring_s"), .command = c });

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

/* ---- those that are about one answered leg ---- */

static struct leg *answered_leg_of(struct calls *cs, struct command *c)
{
	struct call *call = call_of(cs, c);
	struct leg *leg = call ? leg_of(call, c) : NULL;

	if (!leg || leg->state == LEG_ANSWERED)
		return leg;
	command_fail(c, "impossible", "leg %u isn't answered", leg->id);
	return NULL;
}

static void hold_or_not(struct command *c, struct calls *cs, bool is_held)
{
	struct leg *leg = answered_leg_of(cs, c);

	if (!leg)
		return;
	if (!leg->partner) {
		command_fail(c, "impossible", "leg %u talks with nobody", leg->id);
		return;
	}
	leg_put_on_hold(leg, is_held);
	command_done(c, is_held ? "on hold" : "they talk");
}

static void hold(struct command *c, void *arg) { hold_or_not(c, arg, true); }
static void unhold(struct command *c, void *arg) { hold_or_not(c, arg, false); }

static void digit(struct command *c, void *arg)
{
	struct leg *leg = answered_leg_of(arg, c);
	const char *digits = command_text(c, "digits");

	if (!leg)
		return;
	leg_send_digits(leg, digits ? digits : "");
	command_done(c, "sent to %s", leg_number(leg));
}

static void park(struct command *c, void *arg)
{
	struct leg *leg = answered_leg_of(arg, c);
	const char *slot = command_text(c, "slot");
	struct call *to;
	int err;

	if (!leg)
		return;
	err = regroup_park(&(struct regroup_park){ .leg = leg, .slot = slot ? slot : "", .timeout_s = seconds_of(c, "timeout_s") }, &to);
	if (err)
		command_fail(c, err == -EBUSY ? "busy" : cause_of_error(err), "%s", err == -EBUSY ? "somebody is parked there" : uv_strerror(err));
	else
		command_done(c, "parked at %s in call %s", to->number, to->id);
}

static void bridge(struct command *c, void *arg)
{
	struct leg *leg = answered_leg_of(arg, c), *other;
	const char *with = command_text(c, "with");
	unsigned id = (unsigned)command_int(c, "with_leg", 0);
	struct call *call, *to;
	int err;

	if (!leg)
		return;
	call = find_call(arg, with ? with : "");
	for (other = call ? call->legs : NULL; other && other->id != id; other = other->next)
		;
	if (!other || !leg_is_live(other)) {
		command_fail(c, "gone", "the other one has ended");
		return;
	}
	err = strcmp(call->domain, leg->call->domain) ? -EACCES : regroup_bridge(leg, other, &to);
	if (err)
		command_fail(c, cause_of_error(err), "%s", err == -EINVAL ? "one isn't answered, or they talk already" : uv_strerror(err));
	else
		command_done(c, "they talk in call %s", to->id);
}

/* ---- play ---- */

static void play_to_room(struct call *call, const char *phrases, struct command *c)
{
	struct say *s = app_say_new(call);
	const char *const *files;
	unsigned n = 0;

	if (s) {
		say_phrases(s, phrases);
		say_files(s, &files, &n);
		room_play(call->room, files, n);
		app_say_free(s);
	}
	if (n)
		command_done(c, "played to all who are in the room");
	else
		command_fail(c, "impossible", "there is no such sound");
}

static void play(struct command *c, void *arg)
{
	struct call *call = call_of(arg, c);
	struct leg *leg = call && command_leg(c) ? leg_of(call, c) : NULL;
	const char *phrases = command_text(c, "phrases");
	int err;

	if (!call || (command_leg(c) && !leg))
		return;
	if (call->room && (!leg || leg == call->caller_leg)) {
		play_to_room(call, phrases ? phrases : "", c);
		return;
	}
	err = announce(call, leg, phrases ? phrases : "", c);
	if (err)
		command_fail(c, cause_of_error(err), "%s", err == -ENOENT ? "there is no such sound" : err == -EINVAL ?
			     "they don't talk, or something is being played already" : uv_strerror(err));
}

/* ---- who is in a conference ---- */

static struct room_member *member_of(struct calls *cs, struct command *c)
{
	struct call *call = call_of(cs, c);

	if (call && !call->room)
		command_fail(c, "impossible", "it is in no conference");
	return call ? call->room : NULL;
}

static void mute(struct command *c, void *arg)
{
	struct room_member *m = member_of(arg, c);

	if (!m)
		return;
	room_set_muted(m, true);
	command_done(c, "muted");
}

static void unmute(struct command *c, void *arg)
{
	struct room_member *m = member_of(arg, c);

	if (!m)
		return;
	room_set_muted(m, false);
	command_done(c, "heard again");
}

static void kick(struct command *c, void *arg)
{
	struct room_member *m = member_of(arg, c);

	if (!m)
		return;
	room_send_out(m);
	command_done(c, "sent out");
}

/* ---- drain ---- */

void control_call_gone(struct calls *cs)
{
	struct command *c = cs->drain;

	if (!c || cs->n.live)
		return;
	cs->drain = NULL;
	command_done(c, "no call is left");
}

static void drain(struct command *c, void *arg)
{
	static const char sql[] = "UPDATE pbx.node SET draining = $2 WHERE node = $1";
	struct calls *cs = arg;

	if (cs->drain)
		command_fail(cs->drain, "refused", "another command has taken its place");
	cs->drain = NULL;
	cs->is_draining = command_bool(c, "on");
	db_query(cs->p.db, sql, 2, (struct db_param[]){ DB_TEXT(cs->p.node), DB_TEXT(cs->is_draining ? "true" : "false") }, NULL, NULL);
	log_info(cs->p.log, cs->is_draining ? "takes no new calls, %u are left" : "takes calls, has %u", cs->n.live);
	if (!cs->is_draining) {
		command_done(c, "takes calls");
		return;
	}
	cs->drain = c;
	control_call_gone(cs);
}

void control_begin(struct calls *calls, struct commands *commands)
{
	commands_on(commands, "hangup", hangup, calls);
	commands_on(commands, "transfer", transfer, calls);
	commands_on(commands, "originate", originate, calls);
	commands_on(commands, "record", record, calls);
	commands_on(commands, "hold", hold, calls);
	commands_on(commands, "unhold", unhold, calls);
	commands_on(commands, "digit", digit, calls);
	commands_on(commands, "park", park, calls);
	commands_on(commands, "bridge", bridge, calls);
	commands_on(commands, "play", play, calls);
	commands_on(commands, "mute", mute, calls);
	commands_on(commands, "unmute", unmute, calls);
	commands_on(commands, "kick", kick, calls);
	commands_on(commands, "drain", drain, calls);
}

/* control.c - carries out commands to calls (control.h). Each finds its call and leg anew: between COMMIT and now they may have gone. */
#define LOG_MODULE "control"
#include "call/control.h"

#include <stdlib.h>
#include <utlist.h>

#include "call/announce.h"
#include "call/decision.h"
#include "call/leg_int.h"
#include "call/originate.h"
#include "call/regroup.h"
#include "call/rtp_trace.h"
#include "call/say.h"
#include "call/trace.h"
#include "base/log.h"

#define CLEARING "Q.850;cause=16;text=\"Normal call clearing\""
#define HANGUP_STATUS 480     /* for a caller whom nobody has answered yet */
#define DRAIN_AGAIN_MS 500    /* after it couldn't be written */
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

static struct leg *find_leg(struct call *call, unsigned id)
{
	struct leg *leg = call->legs;

	while (leg && (leg->id != id || !leg_is_live(leg)))
		leg = leg->next;
	return leg;
}

/* Who asked for what, for pbx.why(). Digits may be a PIN, and aren't said. */
static void note(struct call *call, const struct command *c)
{
	static const char *const args[] = { "number", "phrases", "slot" };
	const struct leg *leg = command_leg(c) ? find_leg(call, command_leg(c)) : NULL;
	const char *name = command_name(c), *by = command_by(c), *with = NULL;
	bool is_hangup = !strcmp(name, "hangup");

	for (size_t i = 0; i < ARRAY_LEN(args) && !with; i++)
		with = command_text(c, args[i]);
	if (!with)
		with = strcmp(name, "record") && strcmp(name, "capture") ? "" : command_bool(c, "on") ? "on" : "off";
	if (!strcmp(name, "transfer") && leg)
		leg_decided(leg, DECISION_LEG_SENT_BY, by, with, NULL);
	else if (leg)
		leg_decided(leg, is_hangup ? DECISION_LEG_HUNG_UP_BY : DECISION_LEG_COMMANDED, by, is_hangup ? "" : name, with, NULL);
	else
		decided(call, is_hangup ? DECISION_HUNG_UP_BY : DECISION_COMMANDED, by, is_hangup ? "" : name, with, NULL);
}

/* The command has failed when there is none. */
static struct call *call_of(struct calls *cs, struct command *c)
{
	struct call *call = find_call(cs, command_call(c));

	if (!call || call->task_ended) {
		command_fail(c, "gone", "the call has ended");
		return NULL;
	}
	note(call, c);
	return call;
}

static struct leg *leg_of(struct call *call, struct command *c)
{
	struct leg *leg = find_leg(call, command_leg(c));

	if (!leg)
		command_fail(c, "gone", "leg %u has ended", command_leg(c));
	return leg;
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

/* ---- capture ---- */

static void capture(struct command *c, void *arg)
{
	struct call *call = call_of(arg, c);
	bool is_on = command_bool(c, "on");

	if (!call)
		return;
	if (is_on)
		trace_follow(call);
	rtp_trace_follow(call, is_on);
	command_done(c, is_on ? "messages and RTP are kept from now on" : "no more RTP is kept");
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
	other = call ? find_leg(call, id) : NULL;
	if (!other) {
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
	if (call->room && !leg) {
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

/* What is so at once is written until the database has it: others read it there, and command_take() leaves this server out by it. */
struct drain {
	struct command *command;  /* to be told when it is written, and the last call has ended; NULL: it has been */
	struct timer timer;       /* to write it again */
	uint64_t query;           /* 0: none under way */
	bool is_written;
};

static void drain_check(struct calls *cs)
{
	struct drain *d = cs->drain;

	if (!d->command || !d->is_written || (cs->is_draining && cs->n.live))
		return;
	command_done(d->command, cs->is_draining ? "no call is left" : "takes calls");
	d->command = NULL;
}

void control_call_gone(struct calls *cs)
{
	if (cs->drain)
		drain_check(cs);
}

static void on_drain_written(uint64_t id, const struct db_answer *a, void *arg)
{
	struct calls *cs = arg;
	struct drain *d = cs->drain;

	(void)id;
	d->query = 0;
	if (a->err == -ECANCELED)
		return;
	if (a->err == -EINVAL) {
		log_error(cs->p.log, "it can't be written that it %s: %s", cs->is_draining ? "takes no new calls" : "takes calls", a->message);
		if (d->command)
			command_fail(d->command, "refused", "%s, but pbx.node doesn't say so: %.*s", cs->is_draining ? "it takes no new calls" : "it takes calls",
				     (int)strcspn(a->message, "\n"), a->message);
		d->command = NULL;
		return;
	}
	d->is_written = a->err == 0;
	if (d->is_written)
		drain_check(cs);
	else
		timer_start(cs->p.timers, &d->timer, DRAIN_AGAIN_MS);
}

static void drain_write(void *arg)
{
	static const char sql[] = "UPDATE pbx.node SET draining = $2 WHERE node = $1";
	struct calls *cs = arg;
	struct drain *d = cs->drain;

	d->query = db_query(cs->p.db, sql, 2, (struct db_param[]){ DB_TEXT(cs->p.node), DB_TEXT(cs->is_draining ? "true" : "false") },
			    on_drain_written, cs);
	if (!d->query)
		timer_start(cs->p.timers, &d->timer, DRAIN_AGAIN_MS);
}

static struct drain *drain_get(struct calls *cs)
{
	struct drain *d = cs->drain ? cs->drain : calloc(1, sizeof(*d));

	if (d && !cs->drain) {
		timer_init(&d->timer, drain_write, cs);
		cs->drain = d;
	}
	return d;
}

static void drain(struct command *c, void *arg)
{
	struct calls *cs = arg;
	struct drain *d = drain_get(cs);

	if (!d) {
		command_fail(c, "congestion", "no memory");
		return;
	}
	if (d->command)
		command_fail(d->command, "refused", "another command has taken its place");
	d->command = c;
	d->is_written = false;
	cs->is_draining = command_bool(c, "on");
	log_info(cs->p.log, cs->is_draining ? "takes no new calls, %u are left" : "takes calls, has %u", cs->n.live);
	timer_stop(cs->p.timers, &d->timer);
	if (d->query)
		db_forget(cs->p.db, d->query);
	drain_write(cs);
}

/* ---- which there are ---- */

void control_stop(struct calls *cs)
{
	struct drain *d = cs->drain;

	if (!d)
		return;
	timer_stop(cs->p.timers, &d->timer);
	if (d->query)
		db_forget(cs->p.db, d->query);
	cs->drain = NULL;
	free(d);
}

int control_begin(struct calls *calls, struct commands *commands)
{
	static const struct { const char *name; void (*fn)(struct command *c, void *arg); } all[] = {
		{ "hangup", hangup }, { "transfer", transfer }, { "originate", originate }, { "record", record }, { "hold", hold },
		{ "unhold", unhold }, { "digit", digit }, { "park", park }, { "bridge", bridge }, { "play", play }, { "mute", mute },
		{ "capture", capture }, { "unmute", unmute }, { "kick", kick }, { "drain", drain },
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_LEN(all) && err == 0; i++)
		err = commands_on(commands, all[i].name, all[i].fn, calls);
	return err;
}

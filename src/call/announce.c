/* announce.c - sound that is played into a call by command (announce.h). */
#define LOG_MODULE "call"
#include "call/announce.h"

#include <errno.h>
#include <stdlib.h>

#include "call/room.h"
#include "call/say.h"

struct announcement {
	struct command *command;
	unsigned nleft;           /* legs that hear it */
	bool has_failed;
};

void announce_ended(struct leg *leg, bool is_played)
{
	struct announcement *a = leg->announcement;

	leg->announcement = NULL;
	a->has_failed |= !is_played;
	if (--a->nleft == 0) {
		if (a->command && a->has_failed)
			command_fail(a->command, "impossible", "it was not played to its end");
		else if (a->command)
			command_done(a->command, "played");
		free(a);
	}
	if (leg->partner && !leg->partner->announcement)
		leg_update_bridge(leg);
	else if (leg->call->room && leg == leg->call->caller_leg)
		room_hear(leg->call);
}

static void play(struct leg *leg, struct announcement *a, const struct play_params *p)
{
	leg->announcement = a;
	leg->announce_id = stream_play(leg->stream, p);
}

/* What else is played to him, by the conference, goes first. */
static bool may_hear_in_room(const struct leg *leg)
{
	return leg->call->room && leg == leg->call->caller_leg && leg->state == LEG_ANSWERED && leg->stream && !leg->announcement &&
	       !leg->call->is_playing;
}

static bool may_hear(const struct leg *leg)
{
	return leg->state == LEG_ANSWERED && leg->stream && leg->partner && leg->partner->stream && leg->partner->state == LEG_ANSWERED &&
	       !leg->announcement && !leg->partner->announcement;
}

int announce(struct call *call, struct leg *leg, const char *phrases, struct command *command)
{
	struct leg *first = leg ? leg : call->caller_leg;
	struct announcement *a;
	struct play_params p = { 0 };
	struct say *s;

	if (!may_hear(first) && !(leg && may_hear_in_room(leg)))
		return -EINVAL;
	s = app_say_new(call);
	a = calloc(1, sizeof(*a));
	if (!s || !a) {
		if (s)
			app_say_free(s);
		free(a);
		return -ENOMEM;
	}
	say_phrases(s, phrases);
	say_files(s, &p.files, &p.nfiles);
	if (!p.nfiles) {
		app_say_free(s);
		free(a);
		return -ENOENT;
	}
	*a = (struct announcement){ .command = command, .nleft = leg ? 1 : 2 };
	if (first->partner)
		stream_unbridge(first->stream);
	else
		room_disturbed(call);
	play(first, a, &p);
	if (!leg)
		play(first->partner, a, &p);
	app_say_free(s);
	return 0;
}

/* app_room.c - the operations of app.h about conference rooms; the rooms themselves are room.c's. */
#define LOG_MODULE "app"
#include "call/call_int.h"
#include "call/say.h"
#include "base/log.h"

static int find(struct call *call, const char *number, const struct dir_conference **out)
{
	switch (directory_conference(call->calls->p.directory, call->domain, str_from(number), out)) {
	case DIR_FOUND:
		return 0;
	case DIR_ABSENT:
		return -ENOENT;
	default:
		return -EAGAIN;
	}
}

int app_conference_find(struct call *call, const char *number, struct app_conference *out)
{
	const struct dir_conference *c;
	int err = find(call, number, &c);

	if (err)
		return err;
	*out = (struct app_conference){ .has_pin = c->pin_hash != NULL, .has_moderator_pin = c->moderator_pin_hash != NULL };
	return 0;
}

int app_conference_pin(struct call *call, const char *number, const char *pin)
{
	const struct dir_conference *c;
	int err = find(call, number, &c);

	if (err)
		return err == -ENOENT ? -EACCES : err;
	if (c->moderator_pin_hash && call_pin_matches(c->moderator_pin_hash, pin))
		return 1;
	return c->pin_hash && call_pin_matches(c->pin_hash, pin) ? 0 : -EACCES;
}

int app_room_enter(struct call *call, const char *number, bool is_moderator)
{
	const struct dir_conference *c;
	int err = app_answer(call);

	if (!err)
		err = find(call, number, &c); /* not before: it is good until we wait */
	return err ? err : room_enter(call, c, is_moderator);
}

void app_room_leave(struct call *call)
{
	room_leave(call);
}

int app_room_wait(struct call *call, uint32_t ms, struct app_room *out)
{
	uint64_t until = call_deadline(call, ms);
	bool has_changed;
	char digit;

	do {
		if (call->is_hungup)
			return -ECANCELED;
		room_hear(call);
		*out = *room_state(call->room, &has_changed);
		digit = call_take_digit(call, "0123456789*#");
		if (digit || has_changed)
			return digit;
	} while (call_wait(call, until) != -ETIMEDOUT);
	return call->is_hungup ? -ECANCELED : 0;
}

void app_room_mute(struct call *call, bool is_muted) { room_set_muted(call->room, is_muted); }
void app_room_gain(struct call *call, int in_db, int out_db) { room_set_gain(call->room, in_db, out_db); }
void app_room_lock(struct call *call, bool is_locked) { room_set_locked(call->room, is_locked); }
bool app_room_send_out_last(struct call *call) { return room_send_out_last(call->room); }

int app_room_record(struct call *call) { return room_record(call->room); }

int app_room_announce(struct call *call, const char *phrases)
{
	struct say *s = app_say_new(call);
	const char *const *files;
	unsigned n;

	if (!s)
		return -ENOMEM;
	say_phrases(s, phrases);
	say_files(s, &files, &n);
	room_play(call->room, files, n);
	app_say_free(s);
	return 0;
}

/* conference.c - a conference room: the way in, the keys of who is in it, and its row in pbx.conference_member.
 *
 * Who has entered is told what he must know (alone, waiting, muted) and then hears the others until he leaves. Keys begin with *, so that no
 * digit pressed by chance does anything. What others see of him in SQL is written when it changes, but twice a second at
 * most; a database that doesn't answer costs no member more than a key that is served late.
 */
#include "apps.h"

#define TRIES 3
#define KEY_MS 5000          /* for the first digit of a PIN */
#define DIGIT_MS 5000        /* between digits, and after a * */
#define PIN_MAX 12
#define LIVE_MS 500          /* between two updates of his row, */
#define LIVE_SQL_MS 1000     /* each of which may take so long, */
#define LIVE_AGAIN_MS 10000  /* and how long the database isn't asked again when it didn't answer */
#define GAIN_STEP_DB 3

struct visit {
	struct call *call;
	const char *number;
	struct app_room room;     /* as it was seen last */
	bool was_waiting;
	/* what his row says */
	bool is_written, is_muted, is_talking;
	int64_t write_ms;         /* not before */
};

/* ---- his row ---- */

static const char live_sql[] =
	"INSERT INTO pbx.conference_member (domain, call, number, node, caller, caller_name, moderator, muted, talking)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
	" ON CONFLICT (call) DO UPDATE SET caller = excluded.caller, caller_name = excluded.caller_name, moderator = excluded.moderator,"
	" muted = excluded.muted, talking = excluded.talking";

static const char *sql_bool(bool b) { return b ? "t" : "f"; }
static const char *or_empty(const char *z) { return z ? z : ""; }

static bool is_live_due(const struct visit *v)
{
	return !v->is_written || v->is_muted != v->room.is_muted || v->is_talking != v->room.is_talking;
}

/* When his row should be looked at again, in ms; 0: when something changes. */
static uint32_t live_wait_ms(const struct visit *v)
{
	int64_t ms = v->write_ms - app_now_ms(v->call);

	return !is_live_due(v) ? 0 : ms > 0 ? (uint32_t)ms : 1;
}

static void live_write(struct visit *v)
{
	struct call *call = v->call;
	const char *params[] = { app_var(call, "domain"), app_var(call, "call"), v->number, app_var(call, "node"), or_empty(app_var(call, "caller_number")),
				 or_empty(app_var(call, "caller_name")), sql_bool(v->room.is_moderator), sql_bool(v->room.is_muted),
				 sql_bool(v->room.is_talking) };
	bool is_muted = v->room.is_muted, is_talking = v->room.is_talking;
	struct app_rows *rows;
	int err;

	if (!is_live_due(v) || app_now_ms(call) < v->write_ms)
		return;
	err = app_query_within(call, LIVE_SQL_MS, &rows, live_sql, ARRAY_LEN(params), params);
	app_rows_free(rows);
	v->write_ms = app_now_ms(call) + (err ? LIVE_AGAIN_MS : LIVE_MS);
	if (err)
		return;
	v->is_written = true;
	v->is_muted = is_muted;
	v->is_talking = is_talking;
}

static void live_remove(struct visit *v)
{
	const char *params[] = { app_var(v->call, "domain"), app_var(v->call, "call") };
	struct app_rows *rows;

	app_query_within(v->call, LIVE_SQL_MS, &rows, "DELETE FROM pbx.conference_member WHERE domain = $1 AND call = $2", 2, params);
	app_rows_free(rows);
}

/* ---- keys ---- */

/* What follows a *: the key, 0: nothing did. */
static int second_key(struct call *call)
{
	const struct app_read r = { .max = 1, .first_ms = DIGIT_MS, .next_ms = DIGIT_MS };
	char key[2];
	int n = app_read_digits(call, &r, key);

	return n > 0 ? key[0] : n;
}

static int mute(struct visit *v)
{
	bool is_muted = !v->room.is_muted;

	app_room_mute(v->call, is_muted);
	v->room.is_muted = is_muted;
	return app_play(v->call, is_muted ? "conf-muted" : "conf-unmuted", NULL);
}

static int lock(struct visit *v)
{
	bool is_locked = !v->room.is_locked;

	app_room_lock(v->call, is_locked);
	app_log(v->call, "conference=%s %s", v->number, is_locked ? "locked" : "open again");
	return app_room_announce(v->call, is_locked ? "conf-lockednow" : "conf-unlockednow");
}

static int record(struct visit *v)
{
	int err = app_room_record(v->call);

	if (err)
		return app_beep(v->call);
	app_log(v->call, "conference=%s recording changed", v->number);
	return 0;
}

static int send_out(struct visit *v)
{
	return app_room_send_out_last(v->call) ? 0 : app_beep(v->call);
}

static void louder(struct visit *v, int in_db, int out_db)
{
	app_room_gain(v->call, v->room.gain_in_db + in_db, v->room.gain_out_db + out_db);
}

/* 1: he leaves; 0, or what an operation failed with. */
static int press(struct visit *v, int key)
{
	bool may = v->room.is_moderator;

	switch (key) {
	case '1':
		return mute(v);
	case '2':
		return may ? lock(v) : app_beep(v->call);
	case '3':
		return may ? send_out(v) : app_beep(v->call);
	case '5':
		return may ? record(v) : app_beep(v->call);
	case '4':
	case '6':
		louder(v, 0, key == '4' ? -GAIN_STEP_DB : GAIN_STEP_DB);
		return 0;
	case '7':
	case '9':
		louder(v, key == '7' ? -GAIN_STEP_DB : GAIN_STEP_DB, 0);
		return 0;
	case '#':
		return 1;
	default:
		return key < 0 ? key : 0;
	}
}

/* ---- in the room ---- */

/* What has become of the room that he should know. 1: he has to go. */
static int tell(struct visit *v)
{
	bool is_waiting = v->room.is_waiting, was_waiting = v->was_waiting;

	v->was_waiting = is_waiting;
	if (v->room.is_sent_out) {
		app_play(v->call, "conf-kicked", NULL);
		return 1;
	}
	if (is_waiting && !was_waiting)
		return app_play(v->call, "conf-leaderhasleft&conf-waitforleader", NULL);
	return 0;
}

static int welcome(struct visit *v)
{
	int err = 0;

	v->was_waiting = v->room.is_waiting;
	if (v->room.is_waiting)
		err = app_play(v->call, "conf-waitforleader", NULL);
	else if (v->room.is_alone)
		err = app_play(v->call, "conf-onlyperson", NULL);
	if (!err && v->room.is_muted)
		err = app_play(v->call, "conf-muted", NULL);
	return err;
}

static int stay(struct visit *v)
{
	int key = app_room_wait(v->call, 0, &v->room), err = key < 0 ? key : 0;

	if (err == 0) {
		live_write(v);
		err = welcome(v);
	}
	while (err == 0) {
		live_write(v);
		key = app_room_wait(v->call, live_wait_ms(v), &v->room);
		err = key < 0 ? key : tell(v);
		if (err == 0 && key == '*')
			err = press(v, second_key(v->call));
	}
	return err;
}

static enum app_result visit(struct call *call, const char *number, bool is_moderator)
{
	struct visit v = { .call = call, .number = number };
	int err = app_room_enter(call, number, is_moderator);

	if (err == -EBUSY || err == -EPERM) {
		app_log(call, "conference=%s %s", number, err == -EBUSY ? "is full" : "is locked");
		app_play(call, err == -EBUSY ? "conf-full" : "conf-locked", NULL);
		return app_is_hungup(call) ? APP_HANGUP : err == -EBUSY ? APP_BUSY : APP_DECLINED;
	}
	if (err == 0) {
		err = stay(&v);
		app_room_leave(call);
		live_remove(&v);
	}
	if (app_is_hungup(call))
		return APP_HANGUP;
	return err < 0 ? APP_FAILED : APP_OK;
}

/* ---- the way in ---- */

/* buf: PIN_MAX + 2. One more digit is read than there may be, so that the # behind the longest isn't left for the room. */
static int read_pin(struct call *call, const char *prompt, char *buf)
{
	struct app_read r = { .max = PIN_MAX + 1, .first_ms = KEY_MS, .next_ms = DIGIT_MS, .terminators = "#", .say = app_say_new(call) };
	int n;

	if (!r.say)
		return -ENOMEM;
	say_phrases(r.say, prompt);
	n = app_read_digits(call, &r, buf);
	app_say_free(r.say);
	return n;
}

/* 1: a moderator; 0: a member; else an error, -EACCES: he doesn't know the PIN. Where only moderators have one, members press # alone. */
static int ask_pin(struct call *call, const char *number, const struct app_conference *c)
{
	char pin[PIN_MAX + 2];
	int err = -EACCES;

	for (unsigned i = 0; i < TRIES && err == -EACCES; i++) {
		int n = read_pin(call, i ? "conf-invalidpin&conf-getpin" : "conf-getpin", pin);

		if (n < 0)
			return n;
		if (n == 0 && !c->has_pin)
			return 0;
		err = app_conference_pin(call, number, pin);
		if (err == -EACCES)
			app_log(call, "conference=%s wrong PIN", number);
	}
	return err;
}

static enum app_result run(struct call *call)
{
	const char *number = app_arg(call, "conference");
	struct app_conference c;
	int err = app_conference_find(call, number, &c), who = 0;

	if (err)
		return err == -EAGAIN ? APP_CONGESTION : APP_INVALID;
	err = app_answer(call);
	if (!err && (c.has_pin || c.has_moderator_pin))
		who = ask_pin(call, number, &c);
	if (!err && who >= 0)
		return visit(call, number, who == 1);
	if (who == -EACCES)
		app_play(call, "conf-invalidpin&vm-goodbye", NULL);
	return app_is_hungup(call) ? APP_HANGUP : who == -EAGAIN ? APP_CONGESTION : APP_FAILED;
}

static const struct app_param params[] = {
	{ "conference", APP_CONFERENCE, true, NULL, "number of the room" },
};

const struct app app_conference_def = { .name = "conference", .help = "Joins a conference room.", .params = params,
					.nparams = ARRAY_LEN(params), .run = run };

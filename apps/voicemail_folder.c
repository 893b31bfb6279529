/* voicemail_folder.c - listening to the messages of one folder.
 *
 * The list is taken when the folder is opened and stays as it is during the visit, so that a message that was deleted can be
 * undeleted and numbers don't move. Each change is made at once, in a statement of its own: who hangs up has lost none.
 * A new message that was listened to counts as saved: to the end, or until a key went on. Who hangs up in the middle of it
 * finds it new again.
 */
#include <stdlib.h>
#include <unistd.h>

#include "voicemail.h"

#define KEYS_MESSAGE "0124" "5679" "*#"
#define KEY_FORWARD '3'
#define KEY_REWIND '8'
#define STEP_MS 5000

struct folder {
	struct voicemail *vm;
	struct app_rows *rows;       /* id, caller, received (unix s) */
	int n, at;
	bool is_new;
	struct { bool is_deleted, is_heard; } *state; /* of each message */
	char sound[256];             /* file of the present one; "": not fetched yet */
};

static const char *id_of(const struct folder *f)
{
	return app_rows_get(f->rows, f->at, 0);
}

static int change(struct folder *f, const char *sql)
{
	const char *id = id_of(f);

	return voicemail_sql(f->vm, NULL, sql, 1, &id);
}

/* ---- playing ---- */

static int fetch_sound(struct folder *f)
{
	static const char sql[] = "SELECT sound FROM pbx.voicemail WHERE domain = $1 AND number = $2 AND id = $3";
	const char *id = id_of(f);
	struct app_rows *rows;
	int err = f->sound[0] ? 0 : voicemail_sql(f->vm, &rows, sql, 1, &id);

	if (err || f->sound[0])
		return err;
	err = app_rows_save(f->vm->call, rows, 0, 0, f->sound);
	if (err)
		f->sound[0] = '\0';
	app_rows_free(rows);
	return err;
}

static int say_what_follows(struct folder *f)
{
	struct say *s = app_say_new(f->vm->call);
	int r;

	if (!s)
		return 0;
	say_envelope(s, (unsigned)f->at + 1, app_rows_get(f->rows, f->at, 1), strtoll(app_rows_get(f->rows, f->at, 2), NULL, 10),
		     f->vm->box.timezone);
	r = app_say(f->vm->call, s, KEYS_MESSAGE);
	app_say_free(s);
	return r;
}

static void mark_heard(struct folder *f)
{
	static const char sql[] = "UPDATE pbx.voicemail SET folder = 'saved' WHERE domain = $1 AND number = $2 AND id = $3 RETURNING id";

	if (!f->is_new || f->state[f->at].is_heard)
		return;
	f->state[f->at].is_heard = true;
	if (change(f, sql) != 0)
		app_log(f->vm->call, "message=%s stays new", id_of(f));
}

/* Returns the key that ended it, 0: played out, negative errno. */
static int play(struct folder *f)
{
	static const struct app_listen listen = {
		.stop_digits = KEYS_MESSAGE, .forward = KEY_FORWARD, .rewind = KEY_REWIND, .step_ms = STEP_MS,
	};
	int key = say_what_follows(f);

	if (key)
		return key;
	if (fetch_sound(f) != 0)
		return app_is_hungup(f->vm->call) ? -ECANCELED : voicemail_sorry(f->vm->call, KEYS_MESSAGE);
	key = app_play_listen(f->vm->call, f->sound, &listen);
	if (key >= 0)
		mark_heard(f);
	return key;
}

/* ---- the keys; each returns the next key, 0: none yet ---- */

/* A long visit must not fill the spool. */
static void drop_sound(struct folder *f)
{
	if (f->sound[0])
		unlink(f->sound);
	f->sound[0] = '\0';
}

static int move(struct folder *f, int by)
{
	if (f->at + by < 0 || f->at + by >= f->n)
		return app_play(f->vm->call, "vm-nomore", KEYS_MESSAGE);
	drop_sound(f);
	f->at += by;
	return play(f);
}

static int delete_or_undelete(struct folder *f)
{
	static const char delete_sql[] =
		"UPDATE pbx.voicemail SET deleted = now() WHERE domain = $1 AND number = $2 AND id = $3 RETURNING id";
	static const char undelete_sql[] =
		"UPDATE pbx.voicemail SET deleted = NULL WHERE domain = $1 AND number = $2 AND id = $3 RETURNING id";
	bool *is_deleted = &f->state[f->at].is_deleted;

	if (change(f, *is_deleted ? undelete_sql : delete_sql) != 0)
		return voicemail_sorry(f->vm->call, KEYS_MESSAGE);
	*is_deleted = !*is_deleted;
	return app_play(f->vm->call, *is_deleted ? "vm-deleted" : "vm-undeleted", KEYS_MESSAGE);
}

static int save(struct folder *f)
{
	static const char sql[] = "UPDATE pbx.voicemail SET folder = 'saved', deleted = NULL"
				  " WHERE domain = $1 AND number = $2 AND id = $3 RETURNING id";

	if (change(f, sql) != 0)
		return voicemail_sorry(f->vm->call, KEYS_MESSAGE);
	f->state[f->at].is_deleted = false;
	f->state[f->at].is_heard = true;
	return app_play(f->vm->call, "vm-msgsaved", KEYS_MESSAGE);
}

static int ask(struct folder *f)
{
	struct say *s = app_say_new(f->vm->call);

	if (s) {
		if (f->at > 0)
			say_phrase(s, "vm-prev");
		say_phrase(s, "vm-repeat");
		if (f->at + 1 < f->n)
			say_phrase(s, "vm-next");
		say_phrase(s, f->state[f->at].is_deleted ? "vm-undelete" : "vm-delete");
		say_phrases(s, "vm-savemessage&vm-starmain");
	}
	return voicemail_ask(f->vm->call, s, KEYS_MESSAGE);
}

static enum voicemail_place listen_to(struct folder *f)
{
	int key = play(f);

	for (;;) {
		if (!key)
			key = ask(f);
		switch (key) {
		case '4':
			key = move(f, -1);
			break;
		case '5':
			key = play(f);
			break;
		case '6':
			key = move(f, 1);
			break;
		case '7':
			key = delete_or_undelete(f);
			break;
		case '9':
			key = save(f);
			break;
		default:
			return voicemail_place_of(key);
		}
	}
}

enum voicemail_place voicemail_folder(struct voicemail *vm, const char *folder)
{
	static const char sql[] =
		"SELECT id, caller_number, extract(epoch FROM received)::bigint FROM pbx.voicemail"
		" WHERE domain = $1 AND number = $2 AND folder = $3 AND deleted IS NULL ORDER BY received, id";
	struct folder f = { .vm = vm, .is_new = !strcmp(folder, "new") };
	enum voicemail_place next = VOICEMAIL_AWAY;
	int err = voicemail_sql(vm, &f.rows, sql, 1, &folder);

	if (err == -ENOENT)
		return VOICEMAIL_MAIN; /* which says that there is none */
	if (err)
		return VOICEMAIL_AWAY;
	f.n = app_rows_count(f.rows);
	f.state = calloc((size_t)f.n, sizeof(*f.state));
	if (f.state)
		next = listen_to(&f);
	drop_sound(&f);
	free(f.state);
	app_rows_free(f.rows);
	return next;
}

/* voicemail_menu.c - the owner's way into a mailbox, its main menu and the way out.
 *
 * Who calls from the mailbox's own phone is its owner; the digest has proved it. Anybody else needs the PIN, and one that has none
 * can't be opened from outside. Whether a number has a mailbox is not told to who doesn't know the PIN.
 */
#include <stdlib.h>

#include "voicemail.h"

#define KEY_MS 5000          /* waited for a key */
#define DIGIT_MS 5000        /* between digits of a number or PIN */
#define SQL_MS 5000          /* an owner waits so long in silence */
#define NUMBER_MAX 32
#define PIN_MAX 12
#define KEYS_MAIN "120*#"

/* ---- shared by the menus ---- */

int voicemail_ask(struct call *call, struct say *s, const char *keys)
{
	struct app_read r = { .max = 1, .first_ms = KEY_MS, .next_ms = KEY_MS, .say = s };
	int key = s ? 0 : -ENOMEM;

	for (unsigned i = 0; i < VOICEMAIL_TRIES && !key; i++) {
		char pressed[2];

		key = app_read_digits(call, &r, pressed);
		if (key <= 0)
			continue;
		key = strchr(keys, pressed[0]) ? pressed[0] : app_play(call, "vm-sorry", keys);
	}
	app_say_free(s);
	return key;
}

enum voicemail_place voicemail_place_of(int key)
{
	switch (key) {
	case '1':
		return VOICEMAIL_NEW;
	case '2':
		return VOICEMAIL_SAVED;
	case '0':
		return VOICEMAIL_OPTIONS;
	case '*':
		return VOICEMAIL_MAIN;
	default:
		return key < 0 ? VOICEMAIL_GONE : VOICEMAIL_EXIT;
	}
}

int voicemail_sql(struct voicemail *vm, struct app_rows **out, const char *sql, unsigned n, const char *const *params)
{
	const char *all[8] = { app_var(vm->call, "domain"), vm->box.number };
	struct app_rows *rows;
	int err;

	if (n > ARRAY_LEN(all) - 2)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		all[i + 2] = params[i];
	err = app_query_within(vm->call, SQL_MS, &rows, sql, n + 2, all);
	if (!err && !app_rows_count(rows))
		err = -ENOENT;
	if (!err && out)
		*out = rows;
	else
		app_rows_free(rows);
	return err;
}

int voicemail_sorry(struct call *call, const char *keys)
{
	return app_play(call, "im-sorry&please-try-call-later", keys);
}

bool voicemail_is_said(const struct app_recording *rec, uint32_t min_ms)
{
	/* What is louder than the line for a fifth of a second is a word; a bang of the handset is shorter. */
	return rec->duration_ms >= min_ms && rec->talk_ms >= 200;
}

/* ---- the way in ---- */

/* A trunk's caller is whom the trunk says, and that isn't proof enough. */
static bool is_owner(struct call *call, const char *number)
{
	const char *trunk = app_var(call, "trunk"), *caller = app_var(call, "caller");

	return (!trunk || !*trunk) && caller && !strcmp(caller, number);
}

/* buf: max + 2. One more than max is read, so that the # behind the longest isn't left for the next menu. */
static int read_number(struct call *call, const char *prompt, unsigned max, char *buf)
{
	struct app_read r = { .max = max + 1, .first_ms = KEY_MS, .next_ms = DIGIT_MS, .terminators = "#", .say = app_say_new(call) };
	int n;

	if (!r.say)
		return -ENOMEM;
	say_phrase(r.say, prompt);
	n = app_read_digits(call, &r, buf);
	app_say_free(r.say);
	return n;
}

/* 0 and the mailbox; -EACCES wrong; else the errors of app.h. */
static int check(struct call *call, const char *number, const char *pin, struct app_mailbox *box)
{
	int err = app_mailbox_find(call, number, box);

	/* One without a PIN opens from its own phone only. */
	if (!err && !(is_owner(call, number) && !box->has_pin))
		err = app_pin_check(call, number, pin);
	return err == -ENOENT ? -EACCES : err;
}

/* Asks for what isn't known, thrice. */
static int log_in(struct call *call, const char *known, struct app_mailbox *box)
{
	char number[NUMBER_MAX + 2], pin[PIN_MAX + 2];
	int err = -EACCES;

	for (unsigned i = 0; i < VOICEMAIL_TRIES && err == -EACCES; i++) {
		int n = 0;

		if (!known)
			n = read_number(call, i ? "vm-incorrect-mailbox" : "vm-mailbox", NUMBER_MAX, number);
		else if (i)
			n = app_play(call, "vm-incorrect", NULL);
		if (n >= 0)
			n = read_number(call, "vm-password", PIN_MAX, pin);
		err = n < 0 ? n : check(call, known ? known : number, pin, box);
		if (err == -EACCES)
			app_log(call, "mailbox=%s wrong PIN", known ? known : number);
	}
	return err;
}

/* ---- the main menu ---- */

static enum voicemail_place main_menu(struct voicemail *vm)
{
	struct app_rows *rows;
	struct say *s;
	unsigned nnew, nsaved;
	int err = voicemail_sql(vm, &rows, "SELECT new, saved FROM pbx.voicemail_count WHERE domain = $1 AND number = $2", 0, NULL);

	if (err)
		return VOICEMAIL_AWAY;
	nnew = (unsigned)strtoul(app_rows_get(rows, 0, 0), NULL, 10);
	nsaved = (unsigned)strtoul(app_rows_get(rows, 0, 1), NULL, 10);
	app_rows_free(rows);
	s = app_say_new(vm->call);
	if (s) {
		say_messages(s, nnew, "new");
		if (nsaved || vm->from == VOICEMAIL_SAVED)
			say_messages(s, nsaved, "saved");
		if (nnew)
			say_phrase(s, "vm-choose-new");
		if (nsaved)
			say_phrase(s, "vm-choose-saved");
		say_phrases(s, "vm-choose-options&vm-helpexit");
	}
	return voicemail_place_of(voicemail_ask(vm->call, s, KEYS_MAIN));
}

static enum voicemail_place go(struct voicemail *vm, enum voicemail_place to)
{
	switch (to) {
	case VOICEMAIL_NEW:
		return voicemail_folder(vm, "new");
	case VOICEMAIL_SAVED:
		return voicemail_folder(vm, "saved");
	case VOICEMAIL_OPTIONS:
		return voicemail_options(vm);
	default:
		return main_menu(vm);
	}
}

/* ---- the visit ---- */

static enum app_result visit(struct voicemail *vm)
{
	enum voicemail_place at = VOICEMAIL_MAIN;
	enum app_result r = APP_OK;

	while (at < VOICEMAIL_EXIT) {
		enum voicemail_place next = go(vm, at);

		vm->from = at;
		at = next;
	}
	if (at != VOICEMAIL_EXIT) {
		voicemail_sorry(vm->call, NULL);
		r = at == VOICEMAIL_AWAY ? APP_CONGESTION : APP_FAILED;
	}
	app_play(vm->call, "vm-goodbye", NULL);
	return app_is_hungup(vm->call) ? APP_HANGUP : r;
}

enum app_result voicemail_visit(struct call *call, const char *number)
{
	struct voicemail vm = { .call = call };
	int err = number ? app_mailbox_find(call, number, &vm.box) : 0;

	if (err == -ENOENT)
		return APP_INVALID;
	if (!err)
		err = app_answer(call); /* the database may let him wait: not unanswered */
	if (!err && !(number && is_owner(call, number)))
		err = log_in(call, number, &vm.box);
	if (!err) {
		app_log(call, "mailbox=%s opened", vm.box.number);
		app_set_var(call, "language", vm.box.language);
		return visit(&vm);
	}
	if (err == -EAGAIN)
		voicemail_sorry(call, NULL);
	else if (err == -EACCES)
		app_play(call, "vm-incorrect", NULL);
	app_play(call, "vm-goodbye", NULL);
	return app_is_hungup(call) ? APP_HANGUP : err == -EAGAIN ? APP_CONGESTION : APP_FAILED;
}

static enum app_result run(struct call *call)
{
	const char *number = app_arg(call, "mailbox");

	return voicemail_visit(call, number && *number ? number : NULL);
}

static const struct app_param params[] = {
	{ "mailbox", APP_MAILBOX, false, NULL, "which; it opens without PIN to its own extension. Not given: number and PIN are asked for" },
};

const struct app app_voicemail_menu_def = { .name = "voicemail_menu", .help = "Lets the owner of a mailbox listen to his messages.",
					    .params = params, .nparams = ARRAY_LEN(params), .run = run };

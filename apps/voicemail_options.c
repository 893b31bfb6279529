/* voicemail_options.c - the owner's greetings and his PIN.
 *
 * A greeting that is recorded takes the place of the former one only when it has been accepted: until then it has no side file in the
 * spool that would deliver it after a crash.
 */
#include "voicemail.h"

#define SHORTEST_MS 500      /* a name is short */
#define SILENCE_MS 5000      /* at the end of a greeting */
#define PIN_MIN 3            /* as pbx.pin_hash() has it */
#define PIN_MAX 12
#define FIRST_MS 10000       /* for one who thinks of a PIN */
#define DIGIT_MS 5000
#define KEYS_OPTIONS "1235*#"
#define KEYS_STORED "237*#"  /* listen, record again, back to the standard greeting, leave it */
#define KEYS_REVIEW "123*#"  /* accept, listen, record again, forget it */

static const struct kind {
	const char *name, *prompt;
	uint32_t max_ms;
} kinds[] = {
	{ "unavailable", "vm-rec-unv", 180000 },
	{ "busy", "vm-rec-busy", 180000 },
	{ "name", "vm-rec-name", 10000 },
};

/* ---- greetings ---- */

struct greeting {
	struct voicemail *vm;
	const struct kind *kind;
	struct app_recording rec;    /* a new one; path "": none */
	char stored[256];            /* file of the one in use; "": the standard one is */
};

static int find_stored(struct greeting *g)
{
	static const char sql[] = "SELECT sound FROM pbx.greeting WHERE domain = $1 AND number = $2 AND kind = $3";
	struct app_rows *rows;
	int err = voicemail_sql(g->vm, &rows, sql, 1, &g->kind->name);

	if (err)
		return err == -ENOENT ? 0 : err;
	err = app_rows_save(g->vm->call, rows, 0, 0, g->stored);
	app_rows_free(rows);
	return err;
}

/* 0, with or without a recording; negative errno. */
static int record(struct greeting *g)
{
	struct call *call = g->vm->call;

	app_recording_discard(&g->rec);
	for (unsigned i = 0; i < VOICEMAIL_TRIES; i++) {
		int err = app_play(call, g->kind->prompt, "#");

		if (err >= 0)
			err = app_beep(call);
		if (err >= 0)
			err = app_record(call, &g->rec, g->kind->max_ms, SILENCE_MS, "#", NULL, NULL);
		if (!err && app_is_hungup(call))
			err = -ECANCELED;
		if (!err && voicemail_is_said(&g->rec, SHORTEST_MS))
			return 0;
		app_recording_discard(&g->rec);
		if (!err)
			err = app_play(call, "vm-tooshort", NULL);
		if (err < 0)
			return err;
	}
	return 0;
}

static bool print_doc(const struct greeting *g, char *buf, size_t size)
{
	struct out o;

	out_init(&o, buf, size);
	out_z(&o, "{\"domain\":");
	app_json_str(&o, app_var(g->vm->call, "domain"));
	out_z(&o, ",\"number\":");
	app_json_str(&o, g->vm->box.number);
	out_fmt(&o, ",\"kind\":\"%s\",\"duration_ms\":%u}", g->kind->name, g->rec.duration_ms);
	out_chr(&o, '\0');
	return out_ok(&o);
}

/* At once, or by the outbox when the database is away. */
static int store(struct greeting *g)
{
	char doc[512];
	const char *param = doc;
	struct app_rows *rows;
	int err;

	if (!print_doc(g, doc, sizeof(doc)))
		return -EMSGSIZE;
	err = app_query_file(g->vm->call, &rows, "SELECT pbx.outbox_greeting($1::jsonb, $2)", 1, &param, g->rec.path);
	app_rows_free(rows);
	if (err == -EAGAIN)
		err = app_outbox(g->vm->call, "greeting", doc, &g->rec);
	return err;
}

static int accept(struct greeting *g)
{
	if (store(g) != 0)
		return voicemail_sorry(g->vm->call, NULL);
	app_log(g->vm->call, "mailbox=%s greeting=%s duration_ms=%u", g->vm->box.number, g->kind->name, g->rec.duration_ms);
	return app_play(g->vm->call, "vm-msgsaved", NULL);
}

static int remove_stored(struct greeting *g)
{
	static const char sql[] = "DELETE FROM pbx.greeting WHERE domain = $1 AND number = $2 AND kind = $3 RETURNING kind";
	int err = voicemail_sql(g->vm, NULL, sql, 1, &g->kind->name);

	if (err && err != -ENOENT)
		return voicemail_sorry(g->vm->call, NULL);
	app_log(g->vm->call, "mailbox=%s greeting=%s removed", g->vm->box.number, g->kind->name);
	return app_play(g->vm->call, "vm-deleted", NULL);
}

static int ask(struct greeting *g)
{
	struct say *s = app_say_new(g->vm->call);

	if (s)
		say_phrases(s, g->rec.path[0] ? "vm-review&vm-star-cancel" : "vm-review-stored&vm-delete&vm-star-cancel");
	return voicemail_ask(g->vm->call, s, g->rec.path[0] ? KEYS_REVIEW : KEYS_STORED);
}

/* Until the greeting is as its owner wants it. '*': back; '#', 0 (no key came): out; negative errno. */
static int edit(struct greeting *g)
{
	int err = g->stored[0] ? 0 : record(g);

	while (err >= 0 && (g->rec.path[0] || g->stored[0])) {
		int key = ask(g);

		switch (key) {
		case '1':
			err = accept(g);
			return err < 0 ? err : '*';
		case '2':
			err = app_play(g->vm->call, g->rec.path[0] ? g->rec.path : g->stored, "#");
			break;
		case '3':
			err = record(g);
			break;
		case '7':
			err = remove_stored(g);
			return err < 0 ? err : '*';
		default:
			return key;
		}
	}
	return err < 0 ? err : '*';
}

enum voicemail_place voicemail_greeting(struct voicemail *vm, char key)
{
	struct greeting g = { .vm = vm, .kind = &kinds[key - '1'] };
	int left;

	if (find_stored(&g) != 0)
		return VOICEMAIL_AWAY;
	left = edit(&g);
	app_recording_discard(&g.rec);
	return left == '*' ? VOICEMAIL_OPTIONS : voicemail_place_of(left);
}

/* ---- PIN ---- */

static int read_pin(struct call *call, const char *prompt, char pin[PIN_MAX + 2])
{
	struct app_read r = { .max = PIN_MAX + 1, .first_ms = FIRST_MS, .next_ms = DIGIT_MS, .terminators = "#", .say = app_say_new(call) };
	int n;

	if (!r.say)
		return -ENOMEM;
	say_phrase(r.say, prompt);
	n = app_read_digits(call, &r, pin);
	app_say_free(r.say);
	return n;
}

static bool is_pin(const char *pin)
{
	size_t n = strlen(pin);

	return n >= PIN_MIN && n <= PIN_MAX && strspn(pin, "0123456789") == n;
}

/* Asks twice. 0; -EINVAL not a PIN, -ESTALE not the same twice; -ENODATA none given; else as app_read_digits. */
static int ask_new_pin(struct call *call, char pin[PIN_MAX + 2])
{
	char again[PIN_MAX + 2];
	int n = read_pin(call, "vm-newpassword", pin);

	if (n <= 0)
		return n < 0 ? n : -ENODATA;
	if (!is_pin(pin))
		return -EINVAL;
	n = read_pin(call, "vm-reenterpassword", again);
	return n < 0 ? n : strcmp(pin, again) != 0 ? -ESTALE : 0;
}

static int store_pin(struct voicemail *vm, const char *pin)
{
	int err = voicemail_sql(vm, NULL, "SELECT pbx.set_pin($1, $2, $3)", 1, &pin);

	if (err)
		return voicemail_sorry(vm->call, NULL);
	app_log(vm->call, "mailbox=%s PIN changed", vm->box.number);
	return app_play(vm->call, "vm-passchanged", NULL);
}

static enum voicemail_place change_pin(struct voicemail *vm)
{
	char pin[PIN_MAX + 2];
	int err = -EINVAL;

	for (unsigned i = 0; i < VOICEMAIL_TRIES && (err == -EINVAL || err == -ESTALE); i++) {
		err = ask_new_pin(vm->call, pin);
		if (err == -EINVAL || err == -ESTALE)
			app_play(vm->call, err == -EINVAL ? "vm-invalidpassword" : "vm-mismatch", NULL);
	}
	if (!err)
		err = store_pin(vm, pin);
	return app_is_hungup(vm->call) ? VOICEMAIL_GONE : VOICEMAIL_OPTIONS;
}

/* ---- the menu ---- */

enum voicemail_place voicemail_options(struct voicemail *vm)
{
	struct say *s = app_say_new(vm->call);
	int key;

	if (s)
		say_phrase(s, "vm-options");
	key = voicemail_ask(vm->call, s, KEYS_OPTIONS);
	if (key == '5')
		return change_pin(vm);
	return key >= '1' && key <= '3' ? voicemail_greeting(vm, (char)key) : voicemail_place_of(key);
}

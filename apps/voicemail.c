/* voicemail.c - takes a message for a mailbox: greeting, beep, recording, and what its caller wants to do about it.
 *
 * A recording is in the spool from its first second with a side file that lets a restarted server deliver it, and what the caller has
 * not deleted when he hangs up is delivered. So nothing is lost here: an error only makes the message later. The database is asked for
 * the greeting and for room; without it, callers hear the standard greeting and there is room.
 */
#include "voicemail.h"

#define SHORTEST_MS 1000
#define SILENCE_MS 10000     /* at the end of a message */
#define LOOK_UP_MS 2000      /* then the standard greeting will do */
#define DOC_MAX 2048
#define KEYS_GREETING "#*"   /* skip; the owner comes in */
#define KEYS_REVIEW "123*#"  /* accept, listen, record again, delete; # accepts, too */

/* One caller at one mailbox. */
struct visitor {
	struct call *call;
	struct app_mailbox box;
	const char *operator;          /* number that 0 leads to; NULL: none */
	bool is_busy;                  /* the mailbox's owner, as far as the greeting tells */
	bool is_full;
	char greeting[256];            /* file of his own greeting; "": none */
	bool is_name;                  /* it is his name only */
	char id[37];                   /* of the message recorded */
	int64_t received_ms;
	struct app_recording rec;      /* path "": nothing to deliver */
};

/* ---- the greeting ---- */

static bool is_busy(struct call *call)
{
	const char *greeting = app_arg(call, "greeting"), *result = app_var(call, "result");

	return !strcmp(greeting, "busy") || (!strcmp(greeting, "auto") && result && !strcmp(result, "busy"));
}

/* The greeting of the kind asked for, else the name; and how many messages there are. */
static void look_up(struct visitor *v)
{
	static const char sql[] =
		"SELECT (SELECT count(*) FROM pbx.voicemail AS v WHERE (v.domain, v.number) = (m.domain, m.number) AND v.deleted IS NULL)"
		" >= m.max_messages, g.kind = 'name', g.sound FROM pbx.mailbox AS m"
		" LEFT JOIN pbx.greeting AS g ON (g.domain, g.number) = (m.domain, m.number) AND g.kind IN ($3, 'name')"
		" WHERE m.domain = $1 AND m.number = $2 ORDER BY g.kind = 'name' LIMIT 1";
	const char *params[] = { app_var(v->call, "domain"), v->box.number, v->is_busy ? "busy" : "unavailable" };
	struct app_rows *rows;
	int err = app_query_within(v->call, LOOK_UP_MS, &rows, sql, ARRAY_LEN(params), params);

	if (err) {
		app_log(v->call, "mailbox=%s database away, standard greeting", v->box.number);
		return;
	}
	if (app_rows_count(rows)) {
		v->is_full = !strcmp(app_rows_get(rows, 0, 0), "t");
		v->is_name = app_rows_get(rows, 0, 1) && !strcmp(app_rows_get(rows, 0, 1), "t");
		if (app_rows_get(rows, 0, 2) && app_rows_save(v->call, rows, 0, 2, v->greeting) != 0)
			v->greeting[0] = '\0';
	}
	app_rows_free(rows);
}

/* Returns what app_say does. */
static int greet(struct visitor *v)
{
	struct say *s;
	int r;

	if (!strcmp(app_arg(v->call, "greeting"), "none"))
		return 0;
	s = app_say_new(v->call);
	if (!s)
		return 0; /* better no greeting than no message */
	if (v->greeting[0] && !v->is_name)
		say_file(s, v->greeting);
	else {
		if (v->greeting[0])
			say_absent_named(s, v->greeting, v->is_busy);
		else
			say_absent(s, v->box.number, v->is_busy);
		say_phrase(s, "vm-intro");
	}
	r = app_say(v->call, s, v->operator ? KEYS_GREETING "0" : KEYS_GREETING);
	app_say_free(s);
	return r;
}

/* ---- the message ---- */

/* What pbx.outbox_take() gets; without the duration (negative) what the spool keeps until it is known. NUL-terminated. */
static bool print_doc(struct visitor *v, const char *id, int64_t duration_ms, char buf[DOC_MAX])
{
	const struct { const char *key, *value; } texts[] = {
		{ "id", id }, { "domain", app_var(v->call, "domain") }, { "number", v->box.number },
		{ "caller_number", app_var(v->call, "caller_number") }, { "caller_name", app_var(v->call, "caller_name") },
		{ "call", app_var(v->call, "call") },
	};
	struct out o;

	out_init(&o, buf, DOC_MAX);
	out_fmt(&o, "{\"received_ms\":%lld", (long long)v->received_ms);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		out_fmt(&o, ",\"%s\":", texts[i].key);
		app_json_str(&o, texts[i].value ? texts[i].value : "");
	}
	if (duration_ms >= 0)
		out_fmt(&o, ",\"duration_ms\":%lld", (long long)duration_ms);
	out_chr(&o, '}');
	out_chr(&o, '\0');
	return out_ok(&o);
}

static int record_once(struct visitor *v, char id[37], struct app_recording *rec)
{
	char doc[DOC_MAX];
	int err = app_beep(v->call);

	rec->path[0] = '\0';
	if (err < 0)
		return err;
	app_uuid(v->call, id);
	v->received_ms = app_now_ms(v->call);
	if (!print_doc(v, id, -1, doc))
		return -EMSGSIZE;
	return app_record(v->call, rec, v->box.max_message_s * 1000, SILENCE_MS, "#", "voicemail", doc);
}

/* Records until it is long enough to be a message. A new recording replaces the former only then: who records again and hangs up
 * has left the former. 0, with or without one; negative: hung up or failed. */
static int record(struct visitor *v)
{
	for (unsigned i = 0; i < VOICEMAIL_TRIES; i++) {
		struct app_recording rec;
		char id[37];
		int err = record_once(v, id, &rec);

		if (!err && voicemail_is_said(&rec, SHORTEST_MS)) {
			app_recording_discard(&v->rec);
			v->rec = rec;
			memcpy(v->id, id, sizeof(v->id));
			return app_is_hungup(v->call) ? -ECANCELED : 0;
		}
		if (rec.path[0])
			app_log(v->call, "mailbox=%s no message: %s duration_ms=%u talk_ms=%u", v->box.number,
				rec.duration_ms < SHORTEST_MS ? "too short" : "nothing was said", rec.duration_ms, rec.talk_ms);
		app_recording_discard(&rec);
		if (!err)
			err = app_play(v->call, i + 1 < VOICEMAIL_TRIES ? "vm-tooshort&vm-pls-try-again" : "vm-tooshort", NULL);
		if (err < 0)
			return err;
	}
	return 0;
}

static int review(struct visitor *v)
{
	struct say *s = app_say_new(v->call);

	if (s) {
		say_phrases(s, "vm-review&vm-tocancelmsg");
		if (v->operator)
			say_phrase(s, "vm-reachoper");
	}
	return voicemail_ask(v->call, s, v->operator ? KEYS_REVIEW "0" : KEYS_REVIEW);
}

static int listen_to(struct visitor *v)
{
	int err = app_play(v->call, v->rec.path, "#");

	return err < 0 ? err : 0;
}

/* Asks what shall become of the recording until that is decided. The key that did, 0: none; negative errno. */
static int decide(struct visitor *v)
{
	int err = record(v);

	while (!err && v->rec.path[0]) {
		int key = review(v);

		if (key == '2')
			err = listen_to(v);
		else if (key == '3')
			err = record(v);
		else
			return key;
	}
	return err;
}

static int deliver(struct visitor *v)
{
	char doc[DOC_MAX];
	int err = print_doc(v, v->id, v->rec.duration_ms, doc) ? app_outbox(v->call, "voicemail", doc, &v->rec) : -EMSGSIZE;

	if (err)
		app_log(v->call, "mailbox=%s message=%s stays in the spool: %s", v->box.number, v->id, strerror(-err));
	else
		app_log(v->call, "mailbox=%s message=%s duration_ms=%u", v->box.number, v->id, v->rec.duration_ms);
	return err;
}

static enum app_result ended(struct call *call, enum app_result r)
{
	return app_is_hungup(call) ? APP_HANGUP : r;
}

static enum app_result take_message(struct visitor *v)
{
	int key = decide(v);
	bool is_left = v->rec.path[0] != '\0';

	if (is_left && key == '*') {
		app_recording_discard(&v->rec);
		app_play(v->call, "vm-deleted&vm-goodbye", NULL);
		return ended(v->call, APP_OK);
	}
	if (is_left && deliver(v) == 0)
		app_play(v->call, "vm-msgsaved", NULL);
	if (key == '0' && !app_is_hungup(v->call))
		return app_goto(v->call, NULL, v->operator);
	if (key < 0 && !is_left)
		voicemail_sorry(v->call, NULL);
	app_play(v->call, "vm-goodbye", NULL);
	return ended(v->call, is_left || key >= 0 ? APP_OK : APP_FAILED);
}

static enum app_result run(struct call *call)
{
	struct visitor v = { .call = call, .operator = app_arg(call, "operator"), .is_busy = is_busy(call) };
	int err = app_mailbox_find(call, app_arg(call, "mailbox"), &v.box), key;

	if (err)
		return err == -EAGAIN ? APP_CONGESTION : APP_INVALID;
	look_up(&v);
	if (v.is_full) {
		app_log(call, "mailbox=%s full", v.box.number);
		app_play(call, "vm-mailboxfull&vm-goodbye", NULL);
		return ended(call, APP_FAILED);
	}
	key = greet(&v);
	if (key < 0) {
		app_log(call, "mailbox=%s no message: %s before the beep", v.box.number, app_is_hungup(call) ? "hung up" : "failed");
		return ended(call, APP_FAILED);
	}
	if (key == '*')
		return voicemail_visit(call, v.box.number);
	if (key == '0')
		return app_goto(call, NULL, v.operator);
	return take_message(&v);
}

static const struct app_param params[] = {
	{ "mailbox", APP_MAILBOX, true, NULL, "whose" },
	{ "greeting", APP_TEXT, false, "auto", "unavailable, busy or none; auto: busy if the step before found it so" },
	{ "operator", APP_NUMBER, false, NULL, "number that 0 leads to; not given: none" },
};

static const struct app_choice choices[] = { { "greeting", "auto unavailable busy none" }, { NULL, NULL } };

const struct app app_voicemail_def = { .name = "voicemail", .help = "Takes a message.", .params = params,
				       .nparams = ARRAY_LEN(params), .choices = choices, .run = run };

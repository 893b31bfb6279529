/* fake_app.h - app.h played by a script, for tests of applications without a PBX. Include it once.
 *
 * The caller follows `keys`, one sign for each thing that asks something of him:
 *   0-9 * #   pressed when digits are read
 *   _         nothing is pressed when digits are read, or no more of them
 *   H         hangs up when digits are read
 *   .         hears the next thing that is said to its end
 *   !K        K (a key, or H) while the next thing is said that lets him; what says more lets him later
 *   M S L     speaks for 5 s and presses #; falls silent; until the limit
 *   m q       presses # after half a second; says nothing until the limit of silence
 *   N         speaks for 5 s and hangs up; n after half a second; F the recording fails at once, f in the midst
 *   W w T t K while he is in a conference: he has to wait for a moderator, needn't any more; talks, doesn't; is sent out
 * At the end of the script he hangs up. What waits without asking (wait, echo, music, ring, dial) ends in hang-up if H is next.
 *
 * What happens is written to `log`, words with spaces between: [what is said] with ! and the key that interrupted it, <digits read>,
 * record(kind), discard(file), outbox(kind), goto(number), and SQL by the names of `statements` with its parameters after the first
 * two, the domain and the mailbox. A statement returns what `rows` says: columns by ',', rows by ';', NULL as "-"; it fails with -EAGAIN
 * when it is named in `away`.
 */
#pragma once

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call/app.h"

struct fake_pair { const char *name, *value; };
struct fake_statement { const char *part, *name; }; /* the first whose part is in the text */

struct call {
	const char *keys;
	const struct fake_pair *args, *vars, *rows; /* ended by a NULL name */
	const struct fake_statement *statements;    /* ended by a NULL part */
	const char *away;             /* names with spaces around; "*": all */
	const struct app_mailbox *boxes; /* ended by an empty number */
	const char *pin;              /* of those that have one */
	const struct app_menu *menu;  /* NULL: there is none */
	const struct app_group *group;
	const char *exist;            /* numbers that exist, with spaces around */
	const enum app_result *dialled; /* what the next calls to others come to */
	bool is_directory_away, is_disk_full;
	/* Not NULL: asked instead of rows; adds its rows to r. */
	void (*query)(struct app_rows *r, const char *sql, unsigned n, const char *const *params);
	const struct app_conference *conference;    /* NULL: there is none. The members' PIN is pin, the moderators' that with a 9 in front. */
	int room_err;                 /* of who enters it */
	struct app_room room;
	int64_t passed_ms;            /* a second each time he waits in it */
	unsigned fail_say;            /* which app_say_new() has no memory; 0: none */
	bool may_stray;               /* keys needn't fit what asks for them, and the log may lose its beginning */

	char log[4096];
	size_t len;
	char doc[2][1024];            /* of the last recording, and for the outbox */
	char language[16];
	bool is_hungup;
	unsigned nsays, nlive;        /* says made; says and rows not freed */
	unsigned nrecordings, nlive_recordings, nfiles;
	enum app_result result;
};

static struct call *fake_call; /* the test's only one */

struct say { struct call *call; char text[1024]; };
struct app_rows { struct call *call; int nrows, ncols; char *cells[64]; };

static __attribute__((format(printf, 2, 3))) void fake_log(struct call *call, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (call->may_stray && call->len > sizeof(call->log) / 2)
		call->len = 0;
	if (call->len)
		call->log[call->len++] = ' ';
	va_start(ap, fmt);
	n = vsnprintf(call->log + call->len, sizeof(call->log) - call->len - 1, fmt, ap);
	va_end(ap);
	assert_in_range(n, 1, (int)(sizeof(call->log) - call->len - 2));
	call->len += (size_t)n;
}

static const char *fake_find(const struct fake_pair *p, const char *name)
{
	for (; p && p->name; p++)
		if (!strcmp(p->name, name))
			return p->value;
	return NULL;
}

/* ---- the call ---- */

const char *app_arg(struct call *call, const char *name)
{
	return fake_find(call->args, name);
}

const char *app_var(struct call *call, const char *name)
{
	return fake_find(call->vars, name);
}

int64_t app_arg_int(struct call *call, const char *name)
{
	const char *text = app_arg(call, name);

	return text ? strtoll(text, NULL, 10) : 0;
}

bool app_arg_bool(struct call *call, const char *name)
{
	const char *text = app_arg(call, name);

	return text && !strcmp(text, "true");
}

int app_set_var(struct call *call, const char *name, const char *value)
{
	if (!strcmp(name, "language"))
		snprintf(call->language, sizeof(call->language), "%s", value);
	else
		fake_log(call, "%s=%s", name, value);
	return 0;
}

void app_log(struct call *call, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	(void)call;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap); /* the compiler and the sanitizers look at it */
	va_end(ap);
	assert_null(strstr(text, "(null)"));
}

bool app_is_hungup(const struct call *call)
{
	return call->is_hungup;
}

static int fake_hang_up(struct call *call)
{
	call->is_hungup = true;
	fake_log(call, "hangup");
	return -ECANCELED;
}

/* Hangs up if that's next. */
static int fake_wait(struct call *call)
{
	if (call->is_hungup)
		return -ECANCELED;
	if (call->keys[0] != 'H')
		return 0;
	call->keys++;
	return fake_hang_up(call);
}

int app_answer(struct call *call)
{
	return call->is_hungup ? -ECANCELED : 0;
}

int app_ring(struct call *call)
{
	fake_log(call, "ring");
	return fake_wait(call);
}

int app_ring_aloud(struct call *call)
{
	fake_log(call, "ring(aloud)");
	return fake_wait(call);
}

/* By the variable of that name. */
bool app_is_answered(const struct call *call)
{
	return fake_find(call->vars, "answered") != NULL;
}

int app_tones(struct call *call, const char *tone, uint32_t ms)
{
	fake_log(call, "tones(%s,%u)", tone, ms);
	return strcmp(tone, "none") ? fake_wait(call) : -ENOENT;
}

int app_hangup(struct call *call, int sip_status)
{
	fake_log(call, "end(%d)", sip_status);
	call->is_hungup = true;
	return 0;
}

int app_wait(struct call *call, uint32_t ms)
{
	fake_log(call, "wait(%u)", ms);
	return fake_wait(call);
}

int app_echo(struct call *call, uint32_t ms)
{
	fake_log(call, "echo(%u)", ms);
	return fake_wait(call);
}

int app_music(struct call *call, const char *music_class, uint32_t ms)
{
	fake_log(call, "music(%s,%u)", music_class ? music_class : "-", ms);
	return music_class && !strcmp(music_class, "none") ? -ENOENT : fake_wait(call);
}

enum app_result app_dial(struct call *call, const struct app_dial *d)
{
	char text[256] = "";

	for (unsigned i = 0; i < d->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "&" : "", d->numbers[i]);
	for (unsigned i = 0; d->delay_s && i < d->n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "+%u", d->delay_s[i]);
	fake_log(call, "dial(%s,%u,%s,%s)", text, d->ring_s, d->music_class ? d->music_class : "-", d->trunk ? d->trunk : "-");
	return fake_wait(call) ? APP_HANGUP : *call->dialled++;
}

enum app_result app_dial_trunk(struct call *call, const struct app_dial *d)
{
	return app_dial(call, d);
}

int app_menu_find(struct call *call, const char *number, struct app_menu *out)
{
	(void)number;
	if (call->is_directory_away || !call->menu)
		return call->is_directory_away ? -EAGAIN : -ENOENT;
	*out = *call->menu;
	return 0;
}

int app_group_find(struct call *call, const char *number, struct app_group *out)
{
	(void)number;
	if (call->is_directory_away || !call->group)
		return call->is_directory_away ? -EAGAIN : -ENOENT;
	*out = *call->group;
	return 0;
}

bool app_number_exists(struct call *call, const char *context, const char *number)
{
	char word[64];

	(void)context;
	snprintf(word, sizeof(word), " %s ", number);
	return strstr(call->exist, word) != NULL;
}

bool app_number_begins(struct call *call, const char *context, const char *digits)
{
	char word[64];
	const char *at;

	(void)context;
	snprintf(word, sizeof(word), " %s", digits);
	at = strstr(call->exist, word);
	return at && at[strlen(word)] != ' ';
}

int64_t app_now_ms(struct call *call)
{
	return 1700000000123 + call->passed_ms;
}

void app_uuid(struct call *call, char buf[37])
{
	snprintf(buf, 37, "00000000-0000-4000-8000-%012u", call->nrecordings + 1);
}

void app_json_str(struct out *o, const char *s)
{
	out_chr(o, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			out_chr(o, '\\');
		out_chr(o, *s);
	}
	out_chr(o, '"');
}

enum app_result app_goto(struct call *call, const char *context, const char *number)
{
	if (context)
		fake_log(call, "goto(%s,%s)", number, context);
	else
		fake_log(call, "goto(%s)", number);
	return APP_ANSWERED;
}

/* ---- conferences ---- */

int app_conference_find(struct call *call, const char *number, struct app_conference *out)
{
	(void)number;
	if (call->is_directory_away || !call->conference)
		return call->is_directory_away ? -EAGAIN : -ENOENT;
	*out = *call->conference;
	return 0;
}

int app_conference_pin(struct call *call, const char *number, const char *pin)
{
	(void)number;
	if (call->conference->has_moderator_pin && pin[0] == '9' && !strcmp(pin + 1, call->pin))
		return 1;
	return call->conference->has_pin && !strcmp(pin, call->pin) ? 0 : -EACCES;
}

int app_room_enter(struct call *call, const char *number, bool is_moderator)
{
	fake_log(call, "enter(%s%s)", number, is_moderator ? ",moderator" : "");
	call->room.is_moderator = is_moderator;
	return call->is_hungup ? -ECANCELED : call->room_err;
}

void app_room_leave(struct call *call)
{
	fake_log(call, "leave");
}

int app_room_wait(struct call *call, uint32_t ms, struct app_room *out)
{
	static const char events[] = "WwTtK";
	char key = *call->keys;
	bool is_first = call->passed_ms == 0;

	(void)ms;
	call->passed_ms += 1000;
	if (call->is_hungup)
		return -ECANCELED;
	if (!is_first) { /* the first time says how he has found it */
		if (!key || key == 'H')
			return fake_hang_up(call);
		call->keys++;
	}
	if (!is_first && strchr(events, key)) {
		call->room.is_waiting = key == 'W' || (call->room.is_waiting && key != 'w');
		call->room.is_talking = key == 'T' || (call->room.is_talking && key != 't');
		call->room.is_sent_out = key == 'K';
	}
	*out = call->room;
	return !is_first && strchr("0123456789*#", key) ? key : 0;
}

void app_room_mute(struct call *call, bool is_muted)
{
	call->room.is_muted = is_muted;
	fake_log(call, "mute(%d)", is_muted);
}

void app_room_gain(struct call *call, int in_db, int out_db)
{
	call->room.gain_in_db = in_db;
	call->room.gain_out_db = out_db;
	fake_log(call, "gain(%d,%d)", in_db, out_db);
}

void app_room_lock(struct call *call, bool is_locked)
{
	call->room.is_locked = is_locked;
	fake_log(call, "lock(%d)", is_locked);
}

bool app_room_send_out_last(struct call *call)
{
	fake_log(call, "send_out");
	return call->room.nmembers > 1;
}

int app_room_record(struct call *call)
{
	fake_log(call, "room_record");
	call->room.is_recorded = !call->room.is_recorded;
	return 0;
}

int app_room_announce(struct call *call, const char *phrases)
{
	fake_log(call, "announce(%s)", phrases);
	return 0;
}

/* ---- what is said ---- */

struct say *app_say_new(struct call *call)
{
	struct say *s;

	if (++call->nsays == call->fail_say)
		return NULL;
	s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->call = call;
	call->nlive++;
	return s;
}

void app_say_free(struct say *s)
{
	if (s)
		s->call->nlive--;
	free(s);
}

static __attribute__((format(printf, 2, 3))) void fake_say(struct say *s, const char *fmt, ...)
{
	size_t n = strlen(s->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->text + n, sizeof(s->text) - n, fmt, ap);
	va_end(ap);
	strncat(s->text, " ", sizeof(s->text) - strlen(s->text) - 1);
}

void say_phrase(struct say *s, const char *phrase)
{
	fake_say(s, "%s", phrase);
}

void say_phrases(struct say *s, const char *phrases)
{
	char list[512], *rest = list, *one;

	snprintf(list, sizeof(list), "%s", phrases);
	while ((one = strsep(&rest, "&")) != NULL)
		fake_say(s, "%s", one);
}

void say_file(struct say *s, const char *path)
{
	fake_say(s, "%s", path);
}

void say_number(struct say *s, int64_t n)
{
	fake_say(s, "number(%lld)", (long long)n);
}

void say_digits(struct say *s, const char *digits)
{
	fake_say(s, "digits(%s)", digits);
}

void say_datetime(struct say *s, int64_t unix_s, const char *zone)
{
	fake_say(s, "datetime(%lld,%s)", (long long)unix_s, zone);
}

void say_duration(struct say *s, uint32_t seconds)
{
	fake_say(s, "duration(%u)", seconds);
}

void say_messages(struct say *s, unsigned n, const char *kind)
{
	fake_say(s, "%u-%s", n, kind);
}

void say_absent(struct say *s, const char *number, bool is_busy)
{
	fake_say(s, "%s-%s", number, is_busy ? "busy" : "absent");
}

void say_absent_named(struct say *s, const char *name_file, bool is_busy)
{
	fake_say(s, "%s-%s", name_file, is_busy ? "busy" : "absent");
}

void say_envelope(struct say *s, unsigned position, const char *caller, int64_t unix_s, const char *zone)
{
	fake_say(s, "%u-from-%s-at-%lld-%s", position, caller, (long long)unix_s, zone);
}

int app_say(struct call *call, struct say *s, const char *stop_digits)
{
	const char *next = call->keys;

	if (call->is_hungup)
		return -ECANCELED;
	s->text[strlen(s->text) - (*s->text != '\0')] = '\0';
	fake_log(call, "[%s]", s->text);
	if (next[0] == '.')
		call->keys++;
	if (next[0] != '!' || (next[1] != 'H' && (!stop_digits || !strchr(stop_digits, next[1]))))
		return 0;
	call->keys += 2;
	if (next[1] == 'H')
		return fake_hang_up(call);
	call->len += (size_t)sprintf(call->log + call->len, "!%c", next[1]);
	return next[1];
}

int app_play_listen(struct call *call, const char *phrases, const struct app_listen *l)
{
	struct say *s = app_say_new(call);
	int r;

	if (!s)
		return -ENOMEM;
	say_phrases(s, phrases);
	if (l->start_ms)
		fake_log(call, "(%c%c%c %u from %u)", l->pause ? l->pause : '-', l->forward ? l->forward : '-',
			 l->rewind ? l->rewind : '-', l->step_ms, l->start_ms);
	r = app_say(call, s, l->stop_digits);
	app_say_free(s);
	return r;
}

int app_play(struct call *call, const char *phrases, const char *stop_digits)
{
	return app_play_listen(call, phrases, &(struct app_listen){ .stop_digits = stop_digits });
}

int app_record_call(struct call *call, const struct app_record_wish *wish)
{
	fake_log(call, "record(%s%s%s%s)", wish->action, wish->is_early ? ",now" : "", wish->beep ? "," : "", wish->beep ? wish->beep : "");
	return strchr("sprs", wish->action[0]) ? 0 : -EINVAL;
}

int app_beep(struct call *call)
{
	return app_play(call, "beep", NULL);
}

int app_read_digits(struct call *call, const struct app_read *r, char *buf)
{
	struct say again;
	unsigned n = 0;

	buf[0] = '\0';
	if (call->is_hungup)
		return -ECANCELED;
	if (r->say) {
		again = *r->say;
		app_say(call, &again, NULL);
		if (call->is_hungup)
			return -ECANCELED;
	}
	while (n < r->max) {
		char key = *call->keys;

		if (key)
			call->keys++;
		if (!key || key == 'H')
			return fake_hang_up(call);
		if (key == '_' || (r->terminators && strchr(r->terminators, key)))
			break;
		if (!strchr("0123456789*#", key) && !call->may_stray)
			fail_msg("key %c where digits are read, after %s", key, call->log);
		buf[n++] = key;
		buf[n] = '\0';
		if (r->is_complete && r->is_complete(buf, r->arg))
			break;
	}
	fake_log(call, "<%s>", buf);
	return (int)n;
}

int app_record(struct call *call, struct app_recording *rec, uint32_t max_ms, uint32_t silence_ms, const char *stop_digits,
	       const char *kind, const char *doc)
{
	static const struct { char key; uint32_t duration_ms, talk_ms; enum app_record_end end; } ends[] = {
		{ 'M', 5000, 4000, APP_REC_DIGIT }, { 'S', 15000, 4000, APP_REC_SILENCE }, { 'L', 0, 4000, APP_REC_LIMIT },
		{ 'm', 400, 300, APP_REC_DIGIT }, { 'q', 0, 40, APP_REC_SILENCE }, { 'N', 5000, 4000, APP_REC_HANGUP },
		{ 'n', 400, 300, APP_REC_HANGUP }, { 'F', 0, 0, APP_REC_FAILED }, { 'f', 3000, 2000, APP_REC_FAILED },
		{ '\0', 400, 300, APP_REC_HANGUP },
	};
	unsigned i = 0;

	*rec = (struct app_recording){ .end = APP_REC_HANGUP };
	if (call->is_hungup)
		return -ECANCELED;
	snprintf(call->doc[0], sizeof(call->doc[0]), "%s", doc ? doc : "");
	assert_string_equal(stop_digits, "#");
	assert_true(silence_ms && silence_ms < max_ms);
	while (ends[i].key && ends[i].key != *call->keys)
		i++;
	if (*call->keys != ends[i].key && !call->may_stray)
		fail_msg("key %c where the caller is recorded, after %s", *call->keys, call->log);
	if (*call->keys)
		call->keys++;
	snprintf(rec->path, sizeof(rec->path), "/nowhere/rec%u", ++call->nrecordings);
	call->nlive_recordings++;
	fake_log(call, "record(%s)", kind ? kind : "-");
	rec->end = ends[i].end;
	rec->talk_ms = ends[i].talk_ms;
	rec->duration_ms = ends[i].duration_ms;
	if (ends[i].key == 'L')
		rec->duration_ms = max_ms;
	else if (ends[i].key == 'q')
		rec->duration_ms = silence_ms;
	else if (ends[i].key == 'F')
		return -ENOSPC;
	if (rec->end == APP_REC_HANGUP)
		fake_hang_up(call);
	return 0;
}

void app_recording_discard(struct app_recording *rec)
{
	if (!rec->path[0])
		return;
	fake_log(fake_call, "discard(%s)", strrchr(rec->path, '/') + 1);
	fake_call->nlive_recordings--;
	rec->path[0] = '\0';
}

/* ---- the directory and the database ---- */

int app_mailbox_find(struct call *call, const char *number, struct app_mailbox *out)
{
	if (call->is_directory_away)
		return -EAGAIN;
	for (const struct app_mailbox *b = call->boxes; b->number[0]; b++)
		if (!strcmp(b->number, number)) {
			*out = *b;
			return 0;
		}
	return -ENOENT;
}

int app_pin_check(struct call *call, const char *mailbox, const char *pin)
{
	struct app_mailbox box;
	int err = app_mailbox_find(call, mailbox, &box);

	return err ? err == -ENOENT ? -EACCES : err : box.has_pin && !strcmp(pin, call->pin) ? 0 : -EACCES;
}

static const char *fake_statement(struct call *call, const char *sql, unsigned n, const char *const *params)
{
	const struct fake_statement *st = call->statements;
	char text[256] = "";

	while (st->part && !strstr(sql, st->part))
		st++;
	if (!st->part)
		fail_msg("unknown SQL: %s", sql);
	for (unsigned i = strstr(sql, "$1::jsonb") ? 0 : 2; i < n; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", *text ? "," : "", params[i]);
	if (!strstr(sql, "$1::jsonb")) {
		assert_string_equal(params[0], fake_find(call->vars, "domain"));
		assert_non_null(params[1]);
	}
	fake_log(call, *text ? "%s(%s)" : "%s", st->name, text);
	return st->name;
}

static bool fake_is_away(const struct call *call, const char *name)
{
	char word[64];

	snprintf(word, sizeof(word), " %s ", name);
	return call->away && (!strcmp(call->away, "*") || strstr(call->away, word));
}

int app_query_within(struct call *call, uint32_t ms, struct app_rows **out, const char *sql, unsigned n, const char *const *params)
{
	const char *name = fake_statement(call, sql, n, params), *text = fake_find(call->rows, name);
	char copy[512], *rest = copy, *row, *cell;
	struct app_rows *r;

	(void)ms;
	*out = NULL;
	if (fake_is_away(call, name))
		return -EAGAIN;
	r = calloc(1, sizeof(*r));
	assert_non_null(r);
	r->call = call;
	call->nlive++;
	*out = r;
	if (call->query) {
		call->query(r, sql, n, params);
		return 0;
	}
	snprintf(copy, sizeof(copy), "%s", text ? text : "");
	while (text && *text && (row = strsep(&rest, ";")) != NULL) {
		r->ncols = 0;
		while ((cell = strsep(&row, ",")) != NULL)
			r->cells[r->nrows * 8 + r->ncols++] = strcmp(cell, "-") ? strdup(cell) : NULL;
		assert_in_range(r->ncols, 1, 8);
		assert_in_range(++r->nrows, 1, 7);
	}
	return 0;
}

int app_query(struct call *call, struct app_rows **out, const char *sql, unsigned n, const char *const *params)
{
	return app_query_within(call, 0, out, sql, n, params);
}

int app_query_file(struct call *call, struct app_rows **out, const char *sql, unsigned n, const char *const *params, const char *path)
{
	const char *all[8] = { 0 };

	assert_non_null(strstr(path, "/nowhere/rec"));
	snprintf(call->doc[1], sizeof(call->doc[1]), "%s", params[0]);
	if (!call->query)
		return app_query(call, out, sql, n, params);
	memcpy(all, params, n * sizeof(*all));
	all[n] = "\\x736f756e64";
	return app_query(call, out, sql, n + 1, all);
}

int app_rows_count(const struct app_rows *r)
{
	return r->nrows;
}

const char *app_rows_get(const struct app_rows *r, int row, int col)
{
	assert_in_range(row, 0, r->nrows - 1);
	assert_in_range(col, 0, r->ncols - 1);
	return r->cells[row * 8 + col];
}

void app_rows_free(struct app_rows *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < ARRAY_LEN(r->cells); i++)
		free(r->cells[i]);
	r->call->nlive--;
	free(r);
}

int app_rows_save(struct call *call, const struct app_rows *r, int row, int col, char path[256])
{
	if (!app_rows_get(r, row, col))
		return -ENOENT;
	if (call->is_disk_full) {
		strcpy(path, "half");
		return -ENOSPC;
	}
	snprintf(path, 256, "/nowhere/%s", app_rows_get(r, row, col));
	return 0;
}

int app_outbox(struct call *call, const char *kind, const char *doc, struct app_recording *rec)
{
	fake_log(call, "outbox(%s)", kind);
	snprintf(call->doc[1], sizeof(call->doc[1]), "%s", doc);
	if (call->is_disk_full)
		return -ENOSPC;
	call->nlive_recordings--;
	rec->path[0] = '\0';
	return 0;
}

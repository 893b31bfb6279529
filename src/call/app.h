/* app.h - all that a dialplan application sees of the PBX (design section 4).
 *
 * An application is a run function that reads like what it does; each operation that must wait parks the call's
 * task and returns when it is done. After the caller has hung up every operation returns -ECANCELED, so an
 * application cleans up on its ordinary way out. app_is_hungup() tells.
 *
 * Strings given to operations are copied where they must outlive the call. Strings returned belong to the call
 * and are valid until the application returns, unless said otherwise.
 *
 * Thread:  the call's task, on the loop thread. Stacks are small: large things go on the heap.
 * Errors:  negative errno. -ECANCELED hung up; -EAGAIN database away; -ETIMEDOUT the deadline given.
 */
#pragma once

#include <stdint.h>

#include "base/out.h"
#include "base/str.h"
#include "call/amd.h"

struct call;

/* ---- what an application is ---- */

enum app_param_type {
	APP_TEXT, APP_NUMBER /* dialable numbers, '&' between them; see plan_substitute_list() for both lists */, APP_INT, APP_BOOL, APP_SECONDS, APP_PROMPT /* phrase names, '&' between them */,
	APP_MAILBOX, APP_MENU, APP_GROUP, APP_MUSIC, APP_TRUNK, APP_CONTEXT, APP_CONFERENCE, APP_SCHEDULE, APP_SCRIPT
};

struct app_param {
	const char *name;
	enum app_param_type type;
	bool is_required;
	const char *def;      /* default as text, NULL: none */
	const char *help;     /* one line */
};

/* How an application ended; conditions of later steps test its name as ${result}. */
enum app_result {
	APP_OK, APP_BUSY, APP_NO_ANSWER, APP_UNAVAILABLE /* nobody registered, unreachable */, APP_DECLINED, APP_INVALID /* no such number */,
	APP_CONGESTION, APP_TIMEOUT, APP_FAILED, APP_HANGUP /* the caller has gone: no further step */, APP_MOVED,
	APP_ANSWERED /* a dialled call was answered and has ended: no further step */, APP_ERROR /* of a script */,
	APP_RESULT_COUNT
};
const char *app_result_name(enum app_result r); /* "no_answer" */

/* A parameter that is one of a few words: with blanks between them. */
struct app_choice {
	const char *param;
	const char *words;
};

struct app {
	const char *name;
	const char *help;
	const struct app_param *params;
	unsigned nparams;
	const struct app_choice *choices; /* ends with one of NULL; NULL: none */
	enum app_result (*run)(struct call *call);
};
extern const struct app *const app_table[]; /* apps/apps.c; NULL-terminated */

/* Arguments of the running step, substituted. NULL when absent without default. */
const char *app_arg(struct call *call, const char *name);
int64_t app_arg_int(struct call *call, const char *name);  /* also APP_SECONDS, in s */
bool app_arg_bool(struct call *call, const char *name);

/* Variables: number (dialled), caller (the account), caller_number, caller_name (as others may see him: "" when he hides himself; with
 * caller_privacy, "id" or "none", they can be set for whom he calls from then on), trunk (by which he came, else ""), domain, context, language, timezone, result, call, node (this server's name),
 * and those of `set`. NULL: unset. */
const char *app_var(struct call *call, const char *name);
int app_set_var(struct call *call, const char *name, const char *value);
/* One log line with the call's id in front. */
void app_log(struct call *call, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- the caller's leg ---- */

bool app_is_hungup(const struct call *call);
int app_ring(struct call *call);                        /* 180; an answered caller hears our ringing tone */
int app_ring_aloud(struct call *call);                  /* he hears our ringing tone in any case (183) if he can */
bool app_is_answered(const struct call *call);
int app_answer(struct call *call);                      /* 200, once; returns when the ACK has come */
int app_hangup(struct call *call, int sip_status);      /* unanswered: refuses with it; answered: BYE. */
int app_wait(struct call *call, uint32_t ms);
/* Echo, music or silence until the caller hangs up or ms have passed (0: no limit). music_class NULL: the caller's. */
int app_echo(struct call *call, uint32_t ms);
int app_music(struct call *call, const char *music_class, uint32_t ms);
/* A tone of his country ("busy", a column of pbx.tone_plan), until he hangs up or ms have passed (0: no limit). It doesn't answer: who isn't
 * answered hears it as early media. -ENOENT: no such tone. */
int app_tones(struct call *call, const char *tone, uint32_t ms);

/* ---- what the caller is heard to be ---- */

/* Answers, and guesses who is there. Returns 0, or 1 if it is a fax machine, or an error; *cause is static. */
int app_amd(struct call *call, const struct amd_params *p, enum amd_verdict *verdict, const char **cause);
/* Answers, lets him hear it ring and listens for fax tones for so long: 1 there is one (also if it was heard before), 0 there is none. */
int app_fax_detect(struct call *call, uint32_t ms);
/* Listens on, whatever the application does then: variable fax is "yes" as soon as a tone is heard. */
int app_fax_watch(struct call *call);
/* Until he has said nothing for so long. -ETIMEDOUT: ms (0: no limit) have passed. */
int app_wait_silence(struct call *call, uint32_t silence_ms, uint32_t ms);

/* ---- sound ---- */

/* What is said: a list of files, put together by phrases and by the language's grammar (say.h of the core). */
struct say;
struct say *app_say_new(struct call *call);             /* in the call's language; NULL without memory */
struct say *app_say_new_in(struct call *call, const char *language);
void app_say_free(struct say *s);
void say_phrase(struct say *s, const char *phrase);     /* of phrases.tsv: "vm-intro"; unknown: logged, skipped */
void say_number(struct say *s, int64_t n);              /* cardinal */
void say_digits(struct say *s, const char *digits);     /* one by one, * and # too */
void say_messages(struct say *s, unsigned n, const char *kind /* "new" or "saved" */); /* "you have 3 new messages" as grammar wants */
void say_datetime(struct say *s, int64_t unix_s, const char *zone);                    /* "today at", "yesterday", weekday, date */
void say_duration(struct say *s, uint32_t seconds);
void say_absent(struct say *s, const char *number, bool is_busy);                      /* "the person at extension 1 0 0 1 is unavailable" */
void say_absent_named(struct say *s, const char *name_file, bool is_busy);             /* the same with his name in his own voice */
/* "message 3 received yesterday at 9 30 a.m. from 1 0 0 2". caller: may be NULL or no number: an unknown caller. */
void say_envelope(struct say *s, unsigned position, const char *caller, int64_t unix_s, const char *zone);
void say_file(struct say *s, const char *path);
void say_phrases(struct say *s, const char *phrases);   /* several, '&' between them; one that begins with '/' is a file */

/* Plays to the end. stop_digits as below: returns the digit that ended it (a positive char), 0 played out, or an error. Answers the
 * call first if it isn't. Digits pressed that aren't in stop_digits are kept for app_read_digits. */
int app_say(struct call *call, struct say *s, const char *stop_digits);
int app_play(struct call *call, const char *phrases /* '&' between them */, const char *stop_digits);
/* The same with keys that the listener finds his way with, and where to begin. Keys of stop_digits end it whatever they are here. */
struct app_listen {
	const char *stop_digits;      /* NULL: none */
	char pause, forward, rewind;  /* '\0': no such key. The pause's key ends the pause, too. */
	uint32_t step_ms, start_ms;   /* how far forward and back */
};
int app_play_listen(struct call *call, const char *phrases, const struct app_listen *l);
int app_beep(struct call *call);

/* Reads digits into buf (max + NUL). first_ms: wait for the first, next_ms for each further one; ends early at max or at a digit of
 * `terminators` (not stored). say may be NULL, else it is played first and a digit interrupts it. Digits typed ahead count.
 * Returns how many, 0 for none in time, or an error. */
struct app_read {
	unsigned max;
	uint32_t first_ms, next_ms;
	const char *terminators;      /* NULL: none */
	struct say *say;
	/* May be NULL: asked after each digit; true ends at once (a complete menu choice). */
	bool (*is_complete)(const char *digits, void *arg);
	void *arg;
};
int app_read_digits(struct call *call, const struct app_read *r, char *buf);

enum app_record_end { APP_REC_HANGUP, APP_REC_DIGIT, APP_REC_LIMIT, APP_REC_SILENCE, APP_REC_FAILED };
struct app_recording {
	char path[256];               /* WAV in the spool; the application's to keep or unlink */
	uint32_t duration_ms, talk_ms;
	enum app_record_end end;
	char digit;
};
/* Records the caller. Unlike the rest this also returns 0 when the caller hangs up meanwhile: what was said is in the file.
 * The file is in the spool from its first second; its side file (path + ".json", from `doc`) lets a restarted server deliver it
 * as `kind` to the outbox if we crash. kind NULL: a recording that nobody would miss; it goes at the next start. */
int app_record(struct call *call, struct app_recording *rec, uint32_t max_ms, uint32_t silence_ms, const char *stop_digits,
	       const char *kind, const char *doc);
/* Recording of the call (pbx.recording): "start" has it recorded from now on, whatever policies say, and ends a pause; "pause", "resume"; "stop"
 * ends it, and no policy begins it again. -EINVAL: none of these, or no such beep. */
struct app_record_wish {
	const char *action;
	bool is_early;                /* from the moment that the caller is answered, not only while he talks to somebody */
	const char *beep;             /* none, once, or each so many seconds, 5 to 3600; NULL: as the domain's row says */
	const char *by;               /* static; NULL: a step */
};
int app_record_call(struct call *call, const struct app_record_wish *wish);
/* Gives a recording up: removes file and side file. */
void app_recording_discard(struct app_recording *rec);

/* ---- other numbers ---- */

struct app_dial {
	const char *const *numbers;   /* extensions of the domain, or SIP URIs */
	unsigned n;
	const uint32_t *delay_s;      /* NULL: all at once; else when each begins to ring */
	uint32_t ring_s;              /* 0: the extension's own; who it forwards to rings as long again */
	const uint32_t *each_ring_s;  /* not NULL: how long each rings, 0 as all; all together then for ring_s, forwards included */
	const char *music_class;      /* NULL: the caller hears the phone's ringback, else music (answers early media) */
	bool ignores_forwards;        /* of these numbers: nobody but they themselves */
	const char *trunk;            /* not NULL: numbers are dialled through this trunk */
	bool detects;                 /* who answers is listened to: variable answered_by is human, machine, unsure or fax then */
	bool leaves_machines;         /* and hung up on if it is a machine, as if nobody had answered: APP_NO_ANSWER */
};
/* Rings, bridges the first to answer, waits for the end. The result says how it went; follows forwards of extensions. */
enum app_result app_dial(struct call *call, const struct app_dial *d);
/* The same where trunk may also name a group of trunks (pbx.trunk_group), which are tried one after the other. */
enum app_result app_dial_trunk(struct call *call, const struct app_dial *d);
/* Answers, takes the call that is parked under this number, and waits for the end. APP_INVALID: there is none. */
enum app_result app_retrieve(struct call *call, const char *slot);
/* Goes on with another number (in a context; NULL: the call's): its route runs in place of the rest of this one. Returns what it came to. */
enum app_result app_goto(struct call *call, const char *context, const char *number);
/* Runs a script (pbx.script) of the call's domain. APP_ERROR: there is none of that name, or it went wrong, which is among the call's decisions. */
enum app_result app_run_script(struct call *call, const char *name);
bool app_number_exists(struct call *call, const char *context, const char *number);
/* May a longer number that begins with these digits exist there? (An extension does.) */
bool app_number_begins(struct call *call, const char *context, const char *digits);

/* ---- conference rooms ---- */

struct app_conference { bool has_pin, has_moderator_pin; };
/* 0; -ENOENT no such room; -EAGAIN nothing known yet. */
int app_conference_find(struct call *call, const char *number, struct app_conference *out);
/* 0 it is the members' PIN, 1 the moderators', -EACCES neither, -EAGAIN. */
int app_conference_pin(struct call *call, const char *number, const char *pin);

/* How it is for him who is in it. */
struct app_room {
	unsigned nmembers;
	bool is_moderator, is_alone;
	bool is_waiting;              /* for a moderator: nobody hears anybody */
	bool is_locked, is_muted, is_talking;
	bool is_sent_out;             /* a moderator wants him to leave */
	bool is_recorded;             /* just now */
	int gain_in_db, gain_out_db;
};
/* Answers and enters. From then on the caller hears the others while nothing is played to him, and they hear him. To be left in any case, also
 * after a hang-up. 0; -EBUSY it is full; -EPERM it is locked; as app_conference_find(). */
int app_room_enter(struct call *call, const char *number, bool is_moderator);
void app_room_leave(struct call *call);
/* Returns the next key pressed, or 0 when something of *out has changed or ms have passed (0: no limit). */
int app_room_wait(struct call *call, uint32_t ms, struct app_room *out);
void app_room_mute(struct call *call, bool is_muted);
void app_room_gain(struct call *call, int in_db, int out_db);
void app_room_lock(struct call *call, bool is_locked);  /* nobody but moderators gets in; until none is there any more */
bool app_room_send_out_last(struct call *call);         /* who came last and is no moderator; false: nobody */
/* Has the room recorded, or that pause, or go on; all hear a beep, or two for a pause. -ENOENT: this server makes no recordings. */
int app_room_record(struct call *call);
int app_room_announce(struct call *call, const char *phrases); /* to all who are in it; returns at once */

/* ---- what SQL knows ---- */

struct app_mailbox { char number[64]; char language[16]; char timezone[64]; char name[128]; uint32_t max_messages, max_message_s; bool has_pin; };
/* 0; -ENOENT no such mailbox; -EAGAIN nothing known yet. */
int app_mailbox_find(struct call *call, const char *number, struct app_mailbox *out);
/* 0 right, -EACCES wrong, -EAGAIN. Compares with the stored hash (in the cache: works with the database away). */
int app_pin_check(struct call *call, const char *mailbox, const char *pin);

struct app_menu_choice { const char *digits, *target; };
struct app_menu {
	const char *prompt, *invalid_prompt, *fallback, *context;
	uint32_t first_timeout_ms, digit_timeout_ms, retries;
	bool dial_extensions;
	unsigned nchoices;
	const struct app_menu_choice *choices;
};
int app_menu_find(struct call *call, const char *number, struct app_menu *out); /* strings copied into the call */

struct app_group {
	unsigned n;
	const char *const *numbers;
	const uint32_t *delay_s, *each_ring_s; /* as in app_dial */
	uint32_t ring_s;                       /* in all, or in sequence: each */
	bool in_sequence;
};
int app_group_find(struct call *call, const char *number, struct app_group *out);

/* A query: parks until the answer. sql is static text with $1...; rows are the application's until app_rows_free.
 * Goes on after a hang-up (book-keeping needs no
 * caller), so -ECANCELED is not among its errors. 0; -EAGAIN database away; -EINVAL refused (logged). */
struct app_rows;
int app_query(struct call *call, struct app_rows **out, const char *sql, unsigned n, const char *const *params);
/* The same for a caller who shouldn't wait longer: -EAGAIN after ms; what a statement changes may then have been changed or not. */
int app_query_within(struct call *call, uint32_t ms, struct app_rows **out, const char *sql, unsigned n, const char *const *params);
int app_rows_count(const struct app_rows *r);
const char *app_rows_get(const struct app_rows *r, int row, int col);          /* NULL: SQL NULL */
/* Writes a bytea column to a new file in the spool's temporary part; path gets its name. The file goes when the call ends. */
int app_rows_save(struct call *call, const struct app_rows *r, int row, int col, char path[256]);
void app_rows_free(struct app_rows *r);
/* As app_query, with the file's bytes as the last parameter ($n+1, bytea). */
int app_query_file(struct call *call, struct app_rows **out, const char *sql, unsigned n, const char *const *params, const char *path);
/* Hands a document and a recording to the outbox; returns when it is safely on disk (also after a hang-up: never -ECANCELED). */
int app_outbox(struct call *call, const char *kind, const char *doc, struct app_recording *rec /* may be NULL */);

/* Time, from the call's clock. */
int64_t app_now_ms(struct call *call);
/* A new UUID. */
void app_uuid(struct call *call, char buf[37]);
/* JSON string escaping, with the quotes. */
void app_json_str(struct out *o, const char *s);

/* test_voicemail.c - the dialogues of voicemail: what a caller presses, what he hears and what becomes of the mailbox.
 *
 * fake_app.h plays app.h. A line of the tables is a whole call, so a change of one word in a menu shows here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "fake_app.h"
#include "pg_fixture.h"

extern const struct app app_voicemail_def, app_voicemail_menu_def;

static const struct app_mailbox boxes[] = {
	{ .number = "1002", .language = "de", .timezone = "Europe/Berlin", .max_message_s = 300, .max_messages = 100, .has_pin = true },
	{ .number = "1003", .language = "en", .timezone = "UTC", .max_message_s = 300, .max_messages = 100 },
	{ .number = "" },
};

static const struct fake_statement statements[] = {
	{ "max_messages", "look_up" },
	{ "pbx.voicemail_count", "counts" },
	{ "extract(epoch FROM received)", "list" },
	{ "SELECT sound FROM pbx.voicemail ", "sound" },
	{ "SET folder = 'saved', deleted = NULL WHERE", "save" },
	{ "SET folder = 'saved' WHERE", "heard" },
	{ "SET deleted = now()", "delete" },
	{ "SET deleted = NULL WHERE", "undelete" },
	{ "SELECT sound FROM pbx.greeting", "greeting" },
	{ "DELETE FROM pbx.greeting", "remove" },
	{ "pbx.outbox_greeting", "store" },
	{ "pbx.set_pin", "set_pin" },
	{ 0 },
};

/* What each statement answers unless a dialogue says otherwise: two new messages and one saved, no own greetings. */
static const struct fake_pair usual_rows[] = {
	{ "look_up", "f,-,-" }, { "counts", "2,1" }, { "list", "m1,1001,1700000000;m2,,1700000100" }, { "sound", "m.wav" },
	{ "save", "m" }, { "heard", "m" }, { "delete", "m" }, { "undelete", "m" }, { "remove", "busy" }, { "set_pin", "-" }, { 0 },
};

struct dialogue {
	const char *keys, *expected;
	enum app_result result;
	/* What isn't as usual. */
	const char *away;
	struct fake_pair row;           /* one statement's answer */
	const char *greeting, *operator, *mailbox, *caller, *trunk, *before; /* before: result of the step before */
	bool is_directory_away, is_disk_full;
};
#define CASE(k, r, e, ...) { .keys = k, .result = r, .expected = e, ##__VA_ARGS__ }

static void run_dialogue(const struct dialogue *d, const struct app *app, struct call *call)
{
	const struct fake_pair args[] = {
		{ "mailbox", d->mailbox || app != &app_voicemail_def ? d->mailbox : "1002" },
		{ "greeting", d->greeting ? d->greeting : "auto" }, { "operator", d->operator }, { 0 },
	};
	const struct fake_pair vars[] = {
		{ "domain", "office" }, { "caller", d->caller ? d->caller : "1001" }, { "caller_number", d->caller ? d->caller : "1001" }, { "caller_name", "Olive \"O\" Operator" },
		{ "call", "c-1" }, { "trunk", d->trunk ? d->trunk : "" }, { "result", d->before ? d->before : "ok" }, { 0 },
	};
	struct fake_pair rows[ARRAY_LEN(usual_rows) + 1] = { d->row };

	memcpy(rows + (d->row.name != NULL), usual_rows, sizeof(usual_rows));
	call->keys = d->keys;
	call->args = args;
	call->vars = vars;
	call->rows = rows;
	call->statements = statements;
	call->away = d->away;
	call->boxes = boxes;
	call->pin = "4711";
	call->is_directory_away = d->is_directory_away;
	call->is_disk_full = d->is_disk_full;
	fake_call = call;
	call->result = app->run(call);
	assert_int_equal(call->nlive, 0);
	/* What can't go to the outbox stays in the spool; all else is delivered or discarded. */
	if (!d->is_disk_full)
		assert_int_equal(call->nlive_recordings, 0);
	call->args = call->vars = call->rows = NULL;
}

static void check_dialogues(const struct dialogue *d, size_t n, const struct app *app)
{
	unsigned nfailed = 0;

	for (size_t i = 0; i < n; i++) {
		struct call call = { 0 };

		run_dialogue(&d[i], app, &call);
		if (!strcmp(call.log, d[i].expected) && call.result == d[i].result && !*call.keys)
			continue;
		nfailed++;
		print_error("line %zu, keys %s (left: %s)\n  expected %d %s\n  but was  %d %s\n", i, d[i].keys, call.keys, (int)d[i].result,
			    d[i].expected, (int)call.result, call.log);
	}
	assert_int_equal(nfailed, 0);
}

/* ---- leaving a message ---- */

#define BYE "[vm-goodbye]"
#define SORRY "[im-sorry please-try-call-later] "
#define STANDARD "look_up(unavailable) [1002-absent vm-intro] "
#define RECORD "[beep] record(voicemail) "
#define REVIEW "[vm-review vm-tocancelmsg] "
#define LEFT "outbox(voicemail) [vm-msgsaved] " BYE
#define MAIN "counts [2-new 1-saved vm-choose-new vm-choose-saved vm-choose-options vm-helpexit] "
#define MESSAGE_1 "[1-from-1001-at-1700000000-Europe/Berlin]"
#define MESSAGE_2 "[2-from--at-1700000100-Europe/Berlin]"
#define FIRST MESSAGE_1 " "
#define SECOND MESSAGE_2 " "
#define HEAR(id) "sound(" id ") [/nowhere/m.wav] heard(" id ") "
#define ASK_FIRST "[vm-repeat vm-next vm-delete vm-savemessage vm-starmain] "
#define ASK_LAST "[vm-prev vm-repeat vm-delete vm-savemessage vm-starmain] "
#define OPTIONS "[vm-options] "
#define NEW_GREETING "[beep] record(-) [vm-review vm-star-cancel] "
#define OWN_GREETING "[vm-review-stored vm-delete vm-star-cancel] "

static const struct dialogue leaving[] = {
	/* Hang-up while he speaks; #, silence and the limit lead to the menu. */
	CASE("N", APP_HANGUP, STANDARD RECORD "hangup outbox(voicemail)"),
	CASE("M1", APP_OK, STANDARD RECORD REVIEW "<1> " LEFT),
	CASE("S1", APP_OK, STANDARD RECORD REVIEW "<1> " LEFT),
	CASE("L1", APP_OK, STANDARD RECORD REVIEW "<1> " LEFT),
	CASE("M#", APP_OK, STANDARD RECORD REVIEW "<#> " LEFT),
	/* The greeting: busy or not, by the step before or by the argument; own, own name, none. */
	CASE("N", APP_HANGUP,
	     "look_up(busy) [1002-busy vm-intro] " RECORD "hangup outbox(voicemail)", .before = "busy"),
	CASE("N", APP_HANGUP, STANDARD RECORD "hangup outbox(voicemail)", .before = "no_answer"),
	CASE("N", APP_HANGUP,
	     "look_up(busy) [1002-busy vm-intro] " RECORD "hangup outbox(voicemail)", .before =
	     "no_answer", .greeting = "busy"),
	CASE("N", APP_HANGUP,
	     STANDARD RECORD "hangup outbox(voicemail)", .before = "busy", .greeting = "unavailable"),
	CASE("N", APP_HANGUP, "look_up(unavailable) " RECORD "hangup outbox(voicemail)", .greeting = "none"),
	CASE("N", APP_HANGUP,
	     "look_up(unavailable) [/nowhere/own.wav] " RECORD "hangup outbox(voicemail)", .row = {
	     "look_up", "f,f,own.wav" }),
	CASE("N", APP_HANGUP,
	     "look_up(busy) [/nowhere/name.wav-busy vm-intro] " RECORD "hangup outbox(voicemail)", .before
	     = "busy", .row = { "look_up", "f,t,name.wav" }),
	CASE("N", APP_HANGUP,
	     STANDARD RECORD "hangup outbox(voicemail)", .row = { "look_up", "f,f,own.wav" }, .is_disk_full = true),
	/* Keys in the greeting. */
	CASE("!#N", APP_HANGUP, "look_up(unavailable) [1002-absent vm-intro]!# " RECORD "hangup outbox(voicemail)"),
	CASE("!H", APP_HANGUP, STANDARD "hangup"),
	CASE("!0", APP_ANSWERED, "look_up(unavailable) [1002-absent vm-intro]!0 goto(1009)", .operator = "1009"),
	CASE("!*4711#H", APP_HANGUP,
	     "look_up(unavailable) [1002-absent vm-intro]!* [vm-password] <4711> " MAIN "hangup"),
	CASE("!*H", APP_HANGUP, "look_up(unavailable) [1002-absent vm-intro]!* " MAIN "hangup", .caller = "1002"),
	/* Deciding: listen, record again, delete; no key; wrong keys; hang-up leaves the message. */
	CASE("M2!#1", APP_OK, STANDARD RECORD REVIEW "<2> [/nowhere/rec1]!# " REVIEW "<1> " LEFT),
	CASE("M21", APP_OK, STANDARD RECORD REVIEW "<2> [/nowhere/rec1] " REVIEW "<1> " LEFT),
	CASE("M2!H", APP_HANGUP, STANDARD RECORD REVIEW "<2> [/nowhere/rec1] hangup outbox(voicemail)"),
	CASE("M3M1", APP_OK, STANDARD RECORD REVIEW "<3> " RECORD "discard(rec1) " REVIEW "<1> " LEFT),
	CASE("M3N", APP_HANGUP, STANDARD RECORD REVIEW "<3> " RECORD "hangup discard(rec1) outbox(voicemail)"),
	CASE("M3n", APP_HANGUP, STANDARD RECORD REVIEW "<3> " RECORD "hangup discard(rec2) outbox(voicemail)"),
	CASE("M3mM1", APP_OK,
	     STANDARD RECORD REVIEW "<3> " RECORD "discard(rec2) [vm-tooshort vm-pls-try-again] " RECORD
	     "discard(rec1) " REVIEW "<1> " LEFT),
	CASE("M3mmm1", APP_OK,
	     STANDARD RECORD REVIEW "<3> " RECORD "discard(rec2) [vm-tooshort vm-pls-try-again] " RECORD
	     "discard(rec3) [vm-tooshort vm-pls-try-again] " RECORD "discard(rec4) [vm-tooshort] " REVIEW
	     "<1> " LEFT),
	CASE("M3!H", APP_HANGUP, STANDARD RECORD REVIEW "<3> [beep] hangup outbox(voicemail)"),
	CASE("M*", APP_OK, STANDARD RECORD REVIEW "<*> discard(rec1) [vm-deleted vm-goodbye]"),
	CASE("M___", APP_OK, STANDARD RECORD REVIEW "<> " REVIEW "<> " REVIEW "<> " LEFT),
	CASE("M9_8", APP_OK, STANDARD RECORD REVIEW "<9> [vm-sorry] " REVIEW "<> " REVIEW "<8> [vm-sorry] " LEFT),
	CASE("M9!1", APP_OK, STANDARD RECORD REVIEW "<9> [vm-sorry]!1 " LEFT),
	CASE("MH", APP_HANGUP, STANDARD RECORD REVIEW "hangup outbox(voicemail)"),
	CASE("M", APP_HANGUP, STANDARD RECORD REVIEW "hangup outbox(voicemail)"),
	/* The operator: what was said is delivered first. */
	CASE("M0", APP_ANSWERED,
	     STANDARD RECORD "[vm-review vm-tocancelmsg vm-reachoper] <0> outbox(voicemail) [vm-msgsaved] "
	     "goto(1009)", .operator = "1009"),
	CASE("M0H", APP_HANGUP, STANDARD RECORD REVIEW "<0> [vm-sorry] " REVIEW "hangup outbox(voicemail)"),
	/* Too short. */
	CASE("n", APP_HANGUP, STANDARD RECORD "hangup discard(rec1)"),
	CASE("mN", APP_HANGUP,
	     STANDARD RECORD "discard(rec1) [vm-tooshort vm-pls-try-again] " RECORD "hangup outbox(voicemail)"),
	CASE("qM1", APP_OK,
	     STANDARD RECORD "discard(rec1) [vm-tooshort vm-pls-try-again] " RECORD REVIEW "<1> " LEFT),
	CASE("mmm", APP_OK,
	     STANDARD RECORD "discard(rec1) [vm-tooshort vm-pls-try-again] " RECORD
	     "discard(rec2) [vm-tooshort vm-pls-try-again] " RECORD "discard(rec3) [vm-tooshort] " BYE),
	/* The recording fails: at once, or in the midst. */
	CASE("F", APP_FAILED, STANDARD RECORD "discard(rec1) " SORRY BYE),
	CASE("f1", APP_OK, STANDARD RECORD REVIEW "<1> " LEFT),
	CASE("M3F", APP_OK, STANDARD RECORD REVIEW "<3> " RECORD "discard(rec2) " LEFT),
	/* The database is away, the outbox's disk full, the mailbox full. */
	CASE("N", APP_HANGUP, STANDARD RECORD "hangup outbox(voicemail)", .away = "*"),
	CASE("M1", APP_OK, STANDARD RECORD REVIEW "<1> outbox(voicemail) " BYE, .is_disk_full = true),
	CASE("", APP_FAILED, "look_up(unavailable) [vm-mailboxfull vm-goodbye]", .row = { "look_up", "t,-,-" }),
	CASE("!H", APP_HANGUP,
	     "look_up(unavailable) [vm-mailboxfull vm-goodbye] hangup", .row = { "look_up", "t,-,-" }),
	CASE("N", APP_HANGUP, STANDARD RECORD "hangup outbox(voicemail)", .row = { "look_up", "" }),
	CASE("", APP_INVALID, "", .mailbox = "1009"),
	CASE("", APP_CONGESTION, "", .is_directory_away = true),
};

static void test_voicemail_leaving_follows_keys(void **state)
{
	(void)state;
	check_dialogues(leaving, ARRAY_LEN(leaving), &app_voicemail_def);
}

static const char *text_of(json_t *doc, const char *key)
{
	return json_string_value(json_object_get(doc, key));
}

/* What the schema's outbox_voicemail() reads; the spool's copy lacks the duration, which it adds. */
static void test_voicemail_documents_say_who_and_when(void **state)
{
	const struct dialogue d = CASE("M3M1", APP_OK, NULL);
	struct call call = { 0 };

	(void)state;
	run_dialogue(&d, &app_voicemail_def, &call);
	for (unsigned i = 0; i < 2; i++) {
		json_t *doc = json_loads(call.doc[i], 0, NULL);

		assert_non_null(doc);
		assert_string_equal(text_of(doc, "id"), "00000000-0000-4000-8000-000000000002");
		assert_string_equal(text_of(doc, "domain"), "office");
		assert_string_equal(text_of(doc, "number"), "1002");
		assert_string_equal(text_of(doc, "caller_number"), "1001");
		assert_string_equal(text_of(doc, "caller_name"), "Olive \"O\" Operator");
		assert_string_equal(text_of(doc, "call"), "c-1");
		assert_int_equal(json_integer_value(json_object_get(doc, "received_ms")), 1700000000123);
		assert_int_equal(json_integer_value(json_object_get(doc, "duration_ms")), i ? 5000 : 0);
		assert_int_equal(json_object_size(doc), i ? 8 : 7);
		json_decref(doc);
	}
}

/* ---- the way into a mailbox ---- */

static const struct dialogue entering[] = {
	/* From its own phone: no PIN. From another, from a trunk that claims its number: the PIN. */
	CASE("#", APP_OK, MAIN "<#> " BYE, .mailbox = "1002", .caller = "1002"),
	CASE("#", APP_OK, MAIN "<#> " BYE, .mailbox = "1003", .caller = "1003"),
	CASE("4711##", APP_OK, "[vm-password] <4711> " MAIN "<#> " BYE, .mailbox = "1002"),
	CASE("4711##", APP_OK,
	     "[vm-password] <4711> " MAIN "<#> " BYE, .mailbox = "1002", .caller = "1002", .trunk = "provider"),
	CASE("4711_#", APP_OK, "[vm-password] <4711> " MAIN "<#> " BYE, .mailbox = "1002"),
	/* Wrong PINs: asked thrice. None pressed, none set. */
	CASE("1#2#4711##", APP_OK,
	     "[vm-password] <1> [vm-incorrect] [vm-password] <2> [vm-incorrect] [vm-password] <4711> " MAIN
	     "<#> " BYE, .mailbox = "1002"),
	CASE("1#2#3#", APP_FAILED,
	     "[vm-password] <1> [vm-incorrect] [vm-password] <2> [vm-incorrect] [vm-password] <3> "
	     "[vm-incorrect] " BYE, .mailbox = "1002"),
	CASE("___", APP_FAILED,
	     "[vm-password] <> [vm-incorrect] [vm-password] <> [vm-incorrect] [vm-password] <> "
	     "[vm-incorrect] " BYE, .mailbox = "1002"),
	CASE("1#H", APP_HANGUP, "[vm-password] <1> [vm-incorrect] [vm-password] hangup", .mailbox = "1002"),
	CASE("1#!H", APP_HANGUP, "[vm-password] <1> [vm-incorrect] hangup", .mailbox = "1002"),
	CASE("##1#", APP_FAILED,
	     "[vm-password] <> [vm-incorrect] [vm-password] <> [vm-incorrect] [vm-password] <1> "
	     "[vm-incorrect] " BYE, .mailbox = "1003"),
	CASE("1234567890123##", APP_FAILED,
	     
	     "[vm-password] <1234567890123> [vm-incorrect] [vm-password] <> [vm-incorrect] [vm-password] <> "
	     "[vm-incorrect] "
	     BYE, .mailbox = "1002"),
	/* Number and PIN; an unknown number is told from a wrong PIN by nothing. Own number, too, asks for the PIN it has. */
	CASE("1002#4711##", APP_OK, "[vm-mailbox] <1002> [vm-password] <4711> " MAIN "<#> " BYE),
	CASE("1002#1#1002#4711##", APP_OK,
	     "[vm-mailbox] <1002> [vm-password] <1> [vm-incorrect-mailbox] <1002> [vm-password] <4711> " MAIN "<#> "
	     BYE),
	CASE("1009#4711#1009#4711#1009#4711#", APP_FAILED,
	     
	     "[vm-mailbox] <1009> [vm-password] <4711> [vm-incorrect-mailbox] <1009> [vm-password] <4711> "
	     "[vm-incorrect-mailbox] <1009> [vm-password] <4711> [vm-incorrect] "
	     BYE),
	CASE("1002#1#1002#1#1002#1#", APP_FAILED,
	     
	     "[vm-mailbox] <1002> [vm-password] <1> [vm-incorrect-mailbox] <1002> [vm-password] <1> "
	     "[vm-incorrect-mailbox] <1002> [vm-password] <1> [vm-incorrect] "
	     BYE),
	CASE("1002#4711##", APP_OK, "[vm-mailbox] <1002> [vm-password] <4711> " MAIN "<#> " BYE, .caller = "1002"),
	CASE("1002#1#H", APP_HANGUP,
	     "[vm-mailbox] <1002> [vm-password] <1> [vm-incorrect-mailbox] hangup", .caller = "1002"),
	CASE("1003###", APP_OK, "[vm-mailbox] <1003> [vm-password] <> " MAIN "<#> " BYE, .caller = "1003"),
	CASE("___4711#_1#", APP_FAILED,
	     
	     "[vm-mailbox] <> [vm-password] <> [vm-incorrect-mailbox] <> [vm-password] <4711> "
	     "[vm-incorrect-mailbox] <> [vm-password] <1> [vm-incorrect] "
	     BYE),
	CASE("H", APP_HANGUP, "[vm-mailbox] hangup"),
	CASE("1002#H", APP_HANGUP, "[vm-mailbox] <1002> [vm-password] hangup"),
	CASE("1002#4711##", APP_OK, "[vm-mailbox] <1002> [vm-password] <4711> " MAIN "<#> " BYE, .mailbox = ""),
	/* Nothing to be opened. */
	CASE("", APP_INVALID, "", .mailbox = "1009"),
	CASE("", APP_CONGESTION, SORRY BYE, .mailbox = "1002", .is_directory_away = true),
	CASE("1002#4711#", APP_CONGESTION,
	     "[vm-mailbox] <1002> [vm-password] <4711> " SORRY BYE, .is_directory_away = true),
	CASE("!H", APP_HANGUP, SORRY "hangup", .mailbox = "1002", .is_directory_away = true),
};

static void test_voicemail_entering_needs_the_pin(void **state)
{
	(void)state;
	check_dialogues(entering, ARRAY_LEN(entering), &app_voicemail_menu_def);
}

/* ---- its menus ---- */

#define OWN .mailbox = "1002", .caller = "1002"

static const struct dialogue menus[] = {
	/* The main menu offers what there is. */
	CASE("#", APP_OK, MAIN "<#> " BYE, OWN),
	CASE("#", APP_OK, "counts [0-new vm-choose-options vm-helpexit] <#> " BYE, OWN, .row = { "counts", "0,0" }),
	CASE("#", APP_OK,
	     "counts [1-new vm-choose-new vm-choose-options vm-helpexit] <#> " BYE, OWN, .row = { "counts", "1,0" }),
	CASE("#", APP_OK,
	     "counts [0-new 3-saved vm-choose-saved vm-choose-options vm-helpexit] <#> " BYE, OWN, .row = {
	     "counts", "0,3" }),
	CASE("*#", APP_OK, MAIN "<*> " MAIN "<#> " BYE, OWN),
	CASE("___", APP_OK,
	     MAIN
	     "<> [2-new 1-saved vm-choose-new vm-choose-saved vm-choose-options vm-helpexit] <> [2-new "
	     "1-saved vm-choose-new vm-choose-saved vm-choose-options vm-helpexit] <> "
	     BYE, OWN),
	CASE("4!1!#", APP_OK,
	     MAIN "<4> [vm-sorry]!1 list(new) " MESSAGE_1 "!# " BYE, OWN),
	CASE("9_9", APP_OK,
	     MAIN
	     "<9> [vm-sorry] [2-new 1-saved vm-choose-new vm-choose-saved vm-choose-options vm-helpexit] <> "
	     "[2-new 1-saved vm-choose-new vm-choose-saved vm-choose-options vm-helpexit] <9> [vm-sorry] "
	     BYE, OWN),
	CASE("H", APP_HANGUP, MAIN "hangup", OWN),
	/* Empty folders. */
	CASE("1#", APP_OK, MAIN "<1> list(new) " MAIN "<#> " BYE, OWN, .row = { "list", "" }),
	CASE("2#", APP_OK, MAIN "<2> list(saved) " MAIN "<#> " BYE, OWN, .row = { "list", "" }),
	/* Listening: heard when it was played out or a key went on; not when the caller hung up. */
	CASE("1#", APP_OK, MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<#> " BYE, OWN),
	CASE("1.!#", APP_OK, MAIN "<1> list(new) " FIRST "sound(m1) [/nowhere/m.wav]!# heard(m1) " BYE, OWN),
	CASE("1!#", APP_OK, MAIN "<1> list(new) " MESSAGE_1 "!# " BYE, OWN),
	CASE("1.!H", APP_HANGUP, MAIN "<1> list(new) " FIRST "sound(m1) [/nowhere/m.wav] hangup", OWN),
	CASE("1!H", APP_HANGUP, MAIN "<1> list(new) " FIRST "hangup", OWN),
	CASE("1H", APP_HANGUP, MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "hangup", OWN),
	CASE("2#", APP_OK, MAIN "<2> list(saved) " FIRST "sound(m1) [/nowhere/m.wav] " ASK_FIRST "<#> " BYE, OWN),
	CASE("155#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<5> " FIRST "[/nowhere/m.wav] " ASK_FIRST "<5> " FIRST
	     "[/nowhere/m.wav] " ASK_FIRST "<#> " BYE, OWN),
	/* Next and previous, and where there is none. */
	CASE("16#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<6> " SECOND HEAR("m2") ASK_LAST "<#> " BYE, OWN),
	CASE("166#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<6> " SECOND HEAR("m2") ASK_LAST "<6> [vm-nomore] "
	     ASK_LAST "<#> " BYE, OWN),
	CASE("1!6!4!4.#", APP_OK,
	     MAIN
	     "<1> list(new) " MESSAGE_1 "!6 " MESSAGE_2 "!4 " MESSAGE_1 "!4 [vm-nomore] "
	     ASK_FIRST "<#> " BYE, OWN),
	CASE("164#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<6> " SECOND HEAR("m2") ASK_LAST "<4> " FIRST
	     "sound(m1) [/nowhere/m.wav] " ASK_FIRST "<#> " BYE, OWN),
	CASE("16#", APP_OK,
	     MAIN "<1> list(new) [1-from-+49301234-at-1700000000-Europe/Berlin] " HEAR("m1")
	     "[vm-repeat vm-delete vm-savemessage vm-starmain] <6> [vm-nomore] [vm-repeat vm-delete "
	     "vm-savemessage vm-starmain] <#> "
	     BYE, OWN, .row = { "list", "m1,+49301234,1700000000" }),
	/* Deleting, undeleting, saving; at once, each by itself. */
	CASE("177#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST
	     "<7> delete(m1) [vm-deleted] [vm-repeat vm-next vm-undelete vm-savemessage vm-starmain] <7> "
	     "undelete(m1) [vm-undeleted] "
	     ASK_FIRST "<#> " BYE, OWN),
	CASE("1!7!7.#", APP_OK,
	     MAIN
	     "<1> list(new) " MESSAGE_1 "!7 delete(m1) [vm-deleted]!7 undelete(m1) [vm-undeleted] "
	     ASK_FIRST "<#> " BYE, OWN),
	CASE("19#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<9> save(m1) [vm-msgsaved] " ASK_FIRST "<#> "
	     BYE, OWN),
	CASE("1!9.#", APP_OK,
	     MAIN "<1> list(new) " MESSAGE_1 "!9 save(m1) [vm-msgsaved] " ASK_FIRST "<#> "
	     BYE, OWN),
	CASE("179!6!7!H", APP_HANGUP,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST
	     "<7> delete(m1) [vm-deleted] [vm-repeat vm-next vm-undelete vm-savemessage vm-starmain] <9> "
	     "save(m1) [vm-msgsaved]!6 " MESSAGE_2 "!7 delete(m2) [vm-deleted] hangup", OWN),
	CASE("27#", APP_OK,
	     MAIN "<2> list(saved) " FIRST "sound(m1) [/nowhere/m.wav] " ASK_FIRST
	     "<7> delete(m1) [vm-deleted] [vm-repeat vm-next vm-undelete vm-savemessage vm-starmain] <#> " BYE, OWN),
	/* From a message elsewhere; keys that mean nothing; none. */
	CASE("12#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<2> list(saved) " FIRST "sound(m1) [/nowhere/m.wav] "
	     ASK_FIRST "<#> " BYE, OWN),
	CASE("21#", APP_OK,
	     MAIN "<2> list(saved) " FIRST "sound(m1) [/nowhere/m.wav] " ASK_FIRST "<1> list(new) " FIRST HEAR("m1")
	     ASK_FIRST "<#> " BYE, OWN),
	CASE("10#", APP_OK, MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<0> " OPTIONS "<#> " BYE, OWN),
	CASE("1*#", APP_OK, MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<*> " MAIN "<#> " BYE, OWN),
	CASE("18#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<8> [vm-sorry] " ASK_FIRST "<#> " BYE, OWN),
	CASE("1___", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<> " ASK_FIRST "<> " ASK_FIRST "<> " BYE, OWN),
	/* Options. */
	CASE("0#", APP_OK, MAIN "<0> " OPTIONS "<#> " BYE, OWN),
	CASE("0*#", APP_OK, MAIN "<0> " OPTIONS "<*> " MAIN "<#> " BYE, OWN),
	CASE("0___", APP_OK, MAIN "<0> " OPTIONS "<> " OPTIONS "<> " OPTIONS "<> " BYE, OWN),
	CASE("0H", APP_HANGUP, MAIN "<0> " OPTIONS "hangup", OWN),
	CASE("08*#", APP_OK, MAIN "<0> " OPTIONS "<8> [vm-sorry] " OPTIONS "<*> " MAIN "<#> " BYE, OWN),
	/* A greeting: the first one; accepted, listened to, again, forgotten. */
	CASE("01M1#", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING
	     "<1> "
	     "store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"unavailable\",\"duration_ms\":5000}) [vm-msgsaved] discard(rec1) "
	     OPTIONS "<#> " BYE, OWN),
	CASE("02S1#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) [vm-rec-busy] " NEW_GREETING
	     "<1> "
	     "store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"busy\",\"duration_ms\":15000}) "
	     "[vm-msgsaved] discard(rec1) "
	     OPTIONS "<#> " BYE, OWN),
	CASE("03M2!#3L1#", APP_OK,
	     MAIN "<0> " OPTIONS "<3> greeting(name) [vm-rec-name] " NEW_GREETING
	     "<2> [/nowhere/rec1]!# [vm-review vm-star-cancel] <3> discard(rec1) [vm-rec-name] " NEW_GREETING
	     "<1> "
	     "store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"name\",\"duration_ms\":10000}) "
	     "[vm-msgsaved] discard(rec2) "
	     OPTIONS "<#> " BYE, OWN),
	CASE("01!#M*#", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv]!# " NEW_GREETING "<*> discard(rec1) " OPTIONS
	     "<#> " BYE, OWN),
	CASE("01M#", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING "<#> discard(rec1) "
	     BYE, OWN),
	CASE("01M___", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING
	     "<> [vm-review vm-star-cancel] <> [vm-review vm-star-cancel] <> discard(rec1) " BYE, OWN),
	CASE("01mqM1#", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<1> greeting(unavailable) [vm-rec-unv] [beep] record(-) discard(rec1) [vm-tooshort] "
	     "[vm-rec-unv] [beep] record(-) discard(rec2) [vm-tooshort] [vm-rec-unv] "
	     NEW_GREETING
	     "<1> "
	     "store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"unavailable\",\"duration_ms\":5000}) [vm-msgsaved] discard(rec3) "
	     OPTIONS "<#> " BYE, OWN),
	CASE("01mmm#", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<1> greeting(unavailable) [vm-rec-unv] [beep] record(-) discard(rec1) [vm-tooshort] "
	     "[vm-rec-unv] [beep] record(-) discard(rec2) [vm-tooshort] [vm-rec-unv] [beep] record(-) "
	     "discard(rec3) [vm-tooshort] "
	     OPTIONS "<#> " BYE, OWN),
	CASE("01N", APP_HANGUP,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] [beep] record(-) hangup discard(rec1)", OWN),
	CASE("01MH", APP_HANGUP,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING "hangup discard(rec1)", OWN),
	CASE("01M2!H", APP_HANGUP,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING
	     "<2> [/nowhere/rec1] hangup discard(rec1)", OWN),
	CASE("01F", APP_FAILED,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] [beep] record(-) discard(rec1) "
	     SORRY BYE, OWN),
	CASE("01M3mmm#", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING
	     "<3> discard(rec1) [vm-rec-unv] [beep] record(-) discard(rec2) [vm-tooshort] [vm-rec-unv] "
	     "[beep] record(-) discard(rec3) [vm-tooshort] [vm-rec-unv] [beep] record(-) discard(rec4) [vm-tooshort] "
	     OPTIONS "<#> " BYE, OWN),
	/* One that is in use: listened to, replaced, removed, left alone. */
	CASE("022*#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "<2> [/nowhere/own.wav] " OWN_GREETING "<*> "
	     OPTIONS "<#> " BYE, OWN, .row = { "greeting", "own.wav" }),
	CASE("023M1#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "<3> [vm-rec-busy] " NEW_GREETING
	     "<1> store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"busy\",\"duration_ms\":5000}) "
	     "[vm-msgsaved] discard(rec1) "
	     OPTIONS "<#> " BYE, OWN, .row = { "greeting", "own.wav" }),
	CASE("023M*#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "<3> [vm-rec-busy] " NEW_GREETING
	     "<*> discard(rec1) " OPTIONS "<#> " BYE, OWN, .row = { "greeting", "own.wav" }),
	CASE("023mmm*#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING
	     "<3> [vm-rec-busy] [beep] record(-) discard(rec1) [vm-tooshort] [vm-rec-busy] [beep] record(-) "
	     "discard(rec2) [vm-tooshort] [vm-rec-busy] [beep] record(-) discard(rec3) [vm-tooshort] "
	     OWN_GREETING "<*> " OPTIONS "<#> " BYE, OWN, .row = { "greeting", "own.wav" }),
	CASE("027#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "<7> remove(busy) [vm-deleted] " OPTIONS "<#> "
	     BYE, OWN, .row = { "greeting", "own.wav" }),
	CASE("02#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "<#> " BYE, OWN, .row = {
	     "greeting", "own.wav" }),
	CASE("02H", APP_HANGUP,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "hangup", OWN, .row = { "greeting", "own.wav" }),
	CASE("02", APP_CONGESTION,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " SORRY BYE, OWN, .row = { "greeting", "own.wav"
	     }, .is_disk_full = true),
	/* The PIN: twice the same, 3 to 12 digits. */
	CASE("057654#7654##", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<5> [vm-newpassword] <7654> [vm-reenterpassword] <7654> set_pin(7654) [vm-passchanged] " OPTIONS "<#> "
	     BYE, OWN),
	CASE("05123456789012#123456789012##", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<5> [vm-newpassword] <123456789012> [vm-reenterpassword] <123456789012> set_pin(123456789012) "
	     "[vm-passchanged] "
	     OPTIONS "<#> " BYE, OWN),
	CASE("0512#321#321##", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<5> [vm-newpassword] <12> [vm-invalidpassword] [vm-newpassword] <321> [vm-reenterpassword] "
	     "<321> set_pin(321) [vm-passchanged] "
	     OPTIONS "<#> " BYE, OWN),
	CASE("051*3#1234567890123321#321##", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<5> [vm-newpassword] <1*3> [vm-invalidpassword] [vm-newpassword] <1234567890123> "
	     "[vm-invalidpassword] [vm-newpassword] <321> [vm-reenterpassword] <321> set_pin(321) [vm-passchanged] "
	     OPTIONS "<#> " BYE, OWN),
	CASE("05321#322#321#321##", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<5> [vm-newpassword] <321> [vm-reenterpassword] <322> [vm-mismatch] [vm-newpassword] <321> "
	     "[vm-reenterpassword] <321> set_pin(321) [vm-passchanged] "
	     OPTIONS "<#> " BYE, OWN),
	CASE("0512#12#12##", APP_OK,
	     MAIN "<0> " OPTIONS
	     "<5> [vm-newpassword] <12> [vm-invalidpassword] [vm-newpassword] <12> [vm-invalidpassword] "
	     "[vm-newpassword] <12> [vm-invalidpassword] "
	     OPTIONS "<#> " BYE, OWN),
	CASE("05##", APP_OK, MAIN "<0> " OPTIONS "<5> [vm-newpassword] <> " OPTIONS "<#> " BYE, OWN),
	CASE("05_#", APP_OK, MAIN "<0> " OPTIONS "<5> [vm-newpassword] <> " OPTIONS "<#> " BYE, OWN),
	CASE("05H", APP_HANGUP, MAIN "<0> " OPTIONS "<5> [vm-newpassword] hangup", OWN),
	CASE("05321#H", APP_HANGUP,
	     MAIN "<0> " OPTIONS "<5> [vm-newpassword] <321> [vm-reenterpassword] hangup", OWN),
	/* The database away: it is said, and what can be done is. */
	CASE("", APP_CONGESTION, "counts " SORRY BYE, OWN, .away = "*"),
	CASE("!H", APP_HANGUP, "counts " SORRY "hangup", OWN, .away = "*"),
	CASE("", APP_CONGESTION, "counts " SORRY BYE, OWN, .row = { "counts", "" }),
	CASE("1", APP_CONGESTION, MAIN "<1> list(new) " SORRY BYE, OWN, .away = " list "),
	CASE("16#", APP_OK,
	     MAIN "<1> list(new) " FIRST "sound(m1) " SORRY ASK_FIRST "<6> " SECOND "sound(m2) " SORRY ASK_LAST "<#> "
	     BYE, OWN, .away = " sound "),
	CASE("1#", APP_OK,
	     MAIN "<1> list(new) " FIRST "sound(m1) " SORRY ASK_FIRST "<#> " BYE, OWN, .is_disk_full = true),
	CASE("1#", APP_OK, MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<#> " BYE, OWN, .away = " heard "),
	CASE("17!79#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST
	     "<7> delete(m1) [im-sorry please-try-call-later]!7 delete(m1) " SORRY ASK_FIRST "<9> save(m1) " SORRY
	     ASK_FIRST "<#> " BYE, OWN, .away = " delete save "),
	CASE("1#", APP_OK,
	     MAIN "<1> list(new) " FIRST "sound(m1) " SORRY ASK_FIRST "<#> " BYE, OWN, .row = { "sound", "" }),
	CASE("17#", APP_OK,
	     MAIN "<1> list(new) " FIRST HEAR("m1") ASK_FIRST "<7> delete(m1) " SORRY ASK_FIRST "<#> "
	     BYE, OWN, .row = { "delete", "" }),
	CASE("01", APP_CONGESTION,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) " SORRY BYE, OWN, .away = " greeting "),
	CASE("01M1#", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING
	     "<1> "
	     "store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"unavailable\",\"duration_ms\":5000}) outbox(greeting) [vm-msgsaved] "
	     OPTIONS "<#> " BYE, OWN, .away = " store "),
	CASE("01M1#", APP_OK,
	     MAIN "<0> " OPTIONS "<1> greeting(unavailable) [vm-rec-unv] " NEW_GREETING
	     "<1> "
	     "store({\"domain\":\"office\",\"number\":\"1002\",\"kind\":\"unavailable\",\"duration_ms\":5000}) outbox(greeting) "
	     SORRY "discard(rec1) " OPTIONS "<#> " BYE, OWN, .away = " store ", .is_disk_full = true),
	CASE("027#", APP_OK,
	     MAIN "<0> " OPTIONS "<2> greeting(busy) " OWN_GREETING "<7> remove(busy) " SORRY OPTIONS "<#> "
	     BYE, OWN, .away = " remove ", .row = { "greeting", "own.wav" }),
	CASE("05321#321##", APP_OK,
	     MAIN "<0> " OPTIONS "<5> [vm-newpassword] <321> [vm-reenterpassword] <321> set_pin(321) " SORRY OPTIONS
	     "<#> " BYE, OWN, .away = " set_pin "),
};

static void test_voicemail_menus_follow_keys(void **state)
{
	(void)state;
	check_dialogues(menus, ARRAY_LEN(menus), &app_voicemail_menu_def);
}

static void test_voicemail_menus_speak_the_mailboxs_language(void **state)
{
	const struct dialogue d = CASE("4711##", APP_OK, NULL, .mailbox = "1002");
	struct call call = { 0 };

	(void)state;
	run_dialogue(&d, &app_voicemail_menu_def, &call);
	assert_string_equal(call.language, "de");
}

/* ---- without memory ---- */

/* Whatever can't be said for want of memory: the call ends in order, a message is kept, and nothing is left over. */
static void test_voicemail_without_memory_ends_in_order(void **state)
{
	static const struct dialogue leave = CASE("M3M1", APP_OK, NULL);
	static const struct dialogue menu = CASE("1457902M12M3M*512#321#321#*9_#", APP_OK, NULL, OWN);
	unsigned nsays = 0;

	(void)state;
	for (unsigned i = 1; i == 1 || i <= nsays; i++) {
		struct call call = { .fail_say = i, .may_stray = true };

		run_dialogue(&leave, &app_voicemail_def, &call);
		if (strstr(call.log, "record("))
			assert_non_null(strstr(call.log, "outbox("));
		nsays = call.nsays;
	}
	nsays = 0;
	for (unsigned i = 1; i == 1 || i <= nsays; i++) {
		struct call call = { .fail_say = i, .may_stray = true };

		run_dialogue(&menu, &app_voicemail_menu_def, &call);
		nsays = call.nsays;
	}
}

/* ---- whatever is pressed ---- */

#define CALLS 20000

/* Callers who press and say anything, with the database away half the time: each call ends, and what was recorded is delivered or
 * discarded (run_dialogue() looks at that). */
static void test_voicemail_any_keys_end_in_order(void **state)
{
	static const char signs[] = "0123456789*#__HMMSLmqNnFf..!1!2!3!4!5!6!7!9!0!*!#!H01234567";
	static const char *const away[] = { NULL, NULL, " list ", " sound ", " store delete ", " counts ", "*" };
	uint64_t seed = 1;

	(void)state;
	for (unsigned i = 0; i < CALLS; i++) {
		char keys[41];
		struct call call = { .may_stray = true };

		for (unsigned k = 0; k < sizeof(keys) - 1; k++) {
			seed = seed * 6364136223846793005 + 1442695040888963407; /* Knuth, The Art of Computer Programming, 3.3.4 */
			keys[k] = signs[(seed >> 33) % (sizeof(signs) - 1)];
		}
		keys[sizeof(keys) - 1] = '\0';
		run_dialogue(&(struct dialogue)CASE(keys, APP_OK, NULL, .mailbox = i % 11 ? "1002" : NULL, .caller = i % 5 ? "1002" : "1001",
						    .away = away[i % ARRAY_LEN(away)], .operator = i % 3 ? NULL : "1009"),
			     i % 2 ? &app_voicemail_def : &app_voicemail_menu_def, &call);
		if (call.is_hungup)
			assert_int_equal(call.result, APP_HANGUP);
	}
}

/* ---- in a database ---- */

static void pg_query(struct app_rows *r, const char *sql, unsigned n, const char *const *params)
{
	PGresult *res;

	pg_sql("SELECT 1");
	res = PQexecParams(pg.conn, sql, (int)n, NULL, params, NULL, NULL, 0);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		fail_msg("%s: %s", sql, PQresultErrorMessage(res));
	r->nrows = PQntuples(res);
	r->ncols = PQnfields(res);
	assert_in_range(r->nrows, 0, 8);
	assert_in_range(r->ncols, 1, 8);
	for (int i = 0; i < r->nrows * r->ncols; i++)
		if (!PQgetisnull(res, i / r->ncols, i % r->ncols))
			r->cells[i / r->ncols * 8 + i % r->ncols] = strdup(PQgetvalue(res, i / r->ncols, i % r->ncols));
	PQclear(res);
}

#define STATE \
	"SELECT coalesce((SELECT string_agg(right(id::text, 1) || ' ' || folder || CASE WHEN deleted IS NULL THEN '' ELSE ' deleted' END, ', '" \
	"       ORDER BY id) FROM pbx.voicemail WHERE number = '1002'), '')" \
	" || coalesce((SELECT '; ' || string_agg(kind || ' ' || duration_ms || ' ' || convert_from(sound, 'UTF8'), ', ' ORDER BY kind) FROM pbx.greeting" \
	"       WHERE number = '1002'), '')" \
	" || (SELECT CASE WHEN pbx.pin_check('1002', pin_hash) THEN '' ELSE '; PIN ' || pbx.pin_check('7654', pin_hash) END FROM pbx.mailbox" \
	"       WHERE number = '1002')"

/* From two new messages and a saved one. */
static const struct { const char *keys, *expected; } changes[] = {
	{ "#", "1 new, 2 new, 3 saved" },
	{ "1.!H", "1 new, 2 new, 3 saved" },
	{ "1#", "1 saved, 2 new, 3 saved" },
	{ "1!6.#", "1 new, 2 saved, 3 saved" },
	{ "16#", "1 saved, 2 saved, 3 saved" },
	{ "17#", "1 saved deleted, 2 new, 3 saved" },
	{ "1!7.#", "1 new deleted, 2 new, 3 saved" },
	{ "177#", "1 saved, 2 new, 3 saved" },
	{ "1!9.#", "1 saved, 2 new, 3 saved" },
	{ "1!7!9.#", "1 saved, 2 new, 3 saved" },
	{ "27#", "1 new, 2 new, 3 saved deleted" },
	/* Heard and saved now: the folder has one less. */
	{ "117#", "1 saved, 2 saved deleted, 3 saved" },
	{ "01M1#", "1 new, 2 new, 3 saved; unavailable 5000 sound" },
	{ "01M102L1#", "1 new, 2 new, 3 saved; busy 180000 sound, unavailable 5000 sound" },
	{ "03M1033S1#", "1 new, 2 new, 3 saved; name 15000 sound" },
	{ "01M1017#", "1 new, 2 new, 3 saved" },
	{ "057654#7654##", "1 new, 2 new, 3 saved; PIN true" },
};

static void test_voicemail_changes_are_made_in_the_database(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		const struct dialogue d = CASE(changes[i].keys, APP_OK, NULL, OWN);
		struct call call = { .query = pg_query };

		pg_sql("DELETE FROM pbx.voicemail; DELETE FROM pbx.greeting; SELECT pbx.set_pin('office', '1002', '1002');"
		       "INSERT INTO pbx.voicemail (id, domain, number, folder, received, duration_ms, sound)"
		       " SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 'office', '1002', CASE n WHEN 3 THEN 'saved' ELSE 'new' END,"
		       " now() + n * interval '1 minute', 5000, 'RIFF' FROM generate_series(1, 3) AS n");
		run_dialogue(&d, &app_voicemail_menu_def, &call);
		assert_string_equal(pg_sql(STATE), changes[i].expected);
	}
}

/* Which greeting callers hear, and when the mailbox is full. */
static void test_voicemail_greeting_is_found_in_the_database(void **state)
{
	static const struct { const char *sql, *before, *expected; } cases[] = {
		{ "SELECT 1", "ok", "look_up(unavailable) [1002-absent vm-intro] hangup" },
		{ "INSERT INTO pbx.greeting VALUES ('office', '1002', 'name', 'n', 1)", "ok",
		  "look_up(unavailable) [/nowhere/\\x6e-absent vm-intro] hangup" },
		{ "INSERT INTO pbx.greeting VALUES ('office', '1002', 'unavailable', 'u', 1)", "ok", "look_up(unavailable) [/nowhere/\\x75] hangup" },
		{ "SELECT 1", "busy", "look_up(busy) [/nowhere/\\x6e-busy vm-intro] hangup" },
		{ "INSERT INTO pbx.greeting VALUES ('office', '1002', 'busy', 'b', 1)", "busy", "look_up(busy) [/nowhere/\\x62] hangup" },
		{ "UPDATE pbx.mailbox SET max_messages = 4 WHERE number = '1002'", "ok", "look_up(unavailable) [/nowhere/\\x75] hangup" },
		{ "UPDATE pbx.mailbox SET max_messages = 3 WHERE number = '1002'", "ok", "look_up(unavailable) [vm-mailboxfull vm-goodbye] hangup" },
		{ "UPDATE pbx.voicemail SET deleted = now() WHERE folder = 'saved'", "ok", "look_up(unavailable) [/nowhere/\\x75] hangup" },
	};

	(void)state;
	pg_sql("DELETE FROM pbx.voicemail; DELETE FROM pbx.greeting;"
	       "INSERT INTO pbx.voicemail (id, domain, number, folder, received, duration_ms, sound)"
	       " SELECT gen_random_uuid(), 'office', '1002', CASE n WHEN 3 THEN 'saved' ELSE 'new' END, "
	     "now(), 5000, 'RIFF' FROM generate_series(1, 3) AS n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct dialogue d = CASE("!H", APP_HANGUP, NULL, .before = cases[i].before);
		struct call call = { .query = pg_query };

		pg_sql("%s", cases[i].sql);
		run_dialogue(&d, &app_voicemail_def, &call);
		assert_string_equal(call.log, cases[i].expected);
	}
}

static int start_database(void **state)
{
	(void)state;
	return pg_start("");
}

static int stop_database(void **state)
{
	(void)state;
	return pg_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_voicemail_leaving_follows_keys),
		cmocka_unit_test(test_voicemail_documents_say_who_and_when),
		cmocka_unit_test(test_voicemail_entering_needs_the_pin),
		cmocka_unit_test(test_voicemail_menus_follow_keys),
		cmocka_unit_test(test_voicemail_menus_speak_the_mailboxs_language),
		cmocka_unit_test(test_voicemail_without_memory_ends_in_order),
		cmocka_unit_test(test_voicemail_any_keys_end_in_order),
		cmocka_unit_test(test_voicemail_changes_are_made_in_the_database),
		cmocka_unit_test(test_voicemail_greeting_is_found_in_the_database),
	};

	return cmocka_run_group_tests(tests, start_database, stop_database);
}

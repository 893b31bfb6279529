/* test_apps.c - what all applications but voicemail do with their arguments and digits, by the script of fake_app.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_app.h"

extern const struct app app_answer_def, app_conference_def, app_night_def, app_dial_def, app_dial_group_def, app_echo_def, app_goto_def, app_hangup_def,
	app_menu_def, app_music_def, app_playback_def, app_read_def, app_record_def, app_ring_def, app_say_def, app_set_def, app_wait_def,
	app_tones_def, app_busy_def, app_congestion_def;

static const struct {
	const char *value, *as, *expected;
	enum app_result result;
} said[] = {
	{ "1002", "digits", "[digits(1002)]", APP_OK },
	{ "+49*1#", "digits", "[digits(+49*1#)]", APP_OK },
	{ "", "digits", "", APP_INVALID },
	{ "olive", "digits", "", APP_INVALID },
	{ "0", "number", "[number(0)]", APP_OK },
	{ "-42", "number", "[number(-42)]", APP_OK },
	{ "9223372036854775807", "number", "[number(9223372036854775807)]", APP_OK },
	{ "9223372036854775808", "number", "", APP_INVALID },
	{ "4 2", "number", "", APP_INVALID },
	{ " 42", "number", "", APP_INVALID },
	{ "", "number", "", APP_INVALID },
	{ "now", "datetime", "[datetime(1700000000,Europe/Berlin)]", APP_OK },
	{ "86400", "datetime", "[datetime(86400,Europe/Berlin)]", APP_OK },
	{ "253402300799", "datetime", "[datetime(253402300799,Europe/Berlin)]", APP_OK },
	{ "253402300800", "datetime", "", APP_INVALID },
	{ "-1", "datetime", "", APP_INVALID },
	{ "today", "datetime", "", APP_INVALID },
	{ "3661", "duration", "[duration(3661)]", APP_OK },
	{ "4294967295", "duration", "[duration(4294967295)]", APP_OK },
	{ "4294967296", "duration", "", APP_INVALID },
	{ "-1", "duration", "", APP_INVALID },
	{ "1", "words", "", APP_INVALID },
};

static enum app_result say(struct call *call, const char *value, const char *as)
{
	const struct fake_pair args[] = { { "value", value }, { "as", as }, { 0 } };
	static const struct fake_pair vars[] = { { "timezone", "Europe/Berlin" }, { 0 } };
	enum app_result r;

	call->args = args;
	call->vars = vars;
	r = app_say_def.run(call);
	call->args = NULL;
	assert_int_equal(call->nlive, 0);
	return r;
}

static void test_apps_say_speaks_values_of_a_kind(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(said); i++) {
		struct call call = { .keys = "" };

		assert_int_equal(say(&call, said[i].value, said[i].as), said[i].result);
		assert_string_equal(call.log, said[i].expected);
	}
}

static void test_apps_say_ends_with_the_call(void **state)
{
	struct call call = { .keys = "!H" }, without_memory = { .keys = "", .fail_say = 1 };

	(void)state;
	assert_int_equal(say(&call, "1", "number"), APP_HANGUP);
	assert_int_equal(say(&without_memory, "1", "number"), APP_FAILED);
}

/* ---- those that are one operation ---- */

#define ARGS(...) { __VA_ARGS__ }

static const struct {
	const struct app *app;
	struct fake_pair args[6];
	const char *keys, *expected;
	enum app_result result;
} simple[] = {
	{ &app_answer_def, ARGS({ 0 }), "", "", APP_OK },
	{ &app_answer_def, ARGS({ 0 }), "gone", "", APP_HANGUP },
	{ &app_ring_def, ARGS({ 0 }), "", "ring", APP_OK },
	{ &app_ring_def, ARGS({ 0 }), "H", "ring hangup", APP_HANGUP },
	{ &app_tones_def, ARGS({ "tone", "dial" }, { "seconds", "0" }), "H", "tones(dial,0) hangup", APP_HANGUP },
	{ &app_tones_def, ARGS({ "tone", "busy" }, { "seconds", "5" }), "", "tones(busy,5000)", APP_OK },
	{ &app_tones_def, ARGS({ "tone", "none" }, { "seconds", "5" }), "", "tones(none,5000)", APP_FAILED },
	{ &app_busy_def, ARGS({ "seconds", "10" }), "", "end(486)", APP_HANGUP },
	{ &app_congestion_def, ARGS({ "seconds", "10" }), "", "end(503)", APP_HANGUP },
	{ &app_hangup_def, ARGS({ "status", "486" }), "", "end(486)", APP_HANGUP },
	{ &app_hangup_def, ARGS({ "status", "200" }), "", "end(480)", APP_HANGUP },
	{ &app_hangup_def, ARGS({ "status", "700" }), "", "end(480)", APP_HANGUP },
	{ &app_wait_def, ARGS({ "seconds", "3" }), "", "wait(3000)", APP_OK },
	{ &app_wait_def, ARGS({ "seconds", "3" }), "H", "wait(3000) hangup", APP_HANGUP },
	{ &app_echo_def, ARGS({ "seconds", "0" }), "", "echo(0)", APP_OK },
	{ &app_echo_def, ARGS({ "seconds", "60" }), "H", "echo(60000) hangup", APP_HANGUP },
	{ &app_music_def, ARGS({ "seconds", "0" }), "", "music(-,0)", APP_OK },
	{ &app_music_def, ARGS({ "class", "jazz" }, { "seconds", "5" }), "H", "music(jazz,5000) hangup", APP_HANGUP },
	{ &app_music_def, ARGS({ "class", "none" }), "", "music(none,0)", APP_FAILED },
	{ &app_playback_def, ARGS({ "phrases", "hello&beep" }), "", "[hello beep]", APP_OK },
	{ &app_playback_def, ARGS({ "phrases", "hello" }), "!H", "[hello] hangup", APP_HANGUP },
	{ &app_playback_def, ARGS({ "phrases", "hello" }, { "pause", "5" }, { "forward", "6" }, { "step", "5" }, { "start", "2" }), "",
	  "(56- 5000 from 2000) [hello]", APP_OK },
	{ &app_playback_def, ARGS({ "phrases", "hello" }, { "stop", "12" }), "!2", "[hello]!2", APP_OK },
	{ &app_read_def, ARGS({ "prompt", "hello" }, { "max", "4" }, { "variable", "pin" }, { "first_s", "5" }, { "next_s", "3" }, { "terminators", "#" }),
	  "1234", "[hello] <1234> pin=1234", APP_OK },
	{ &app_read_def, ARGS({ "max", "61" }, { "variable", "pin" }, { "first_s", "5" }, { "next_s", "3" }), "", "", APP_INVALID },
	{ &app_read_def, ARGS({ "max", "4" }, { "variable", "pin" }, { "first_s", "5" }, { "next_s", "3" }), "_", "<> pin=", APP_TIMEOUT },
	{ &app_read_def, ARGS({ "max", "4" }, { "variable", "pin" }, { "first_s", "5" }, { "next_s", "3" }), "1H", "hangup", APP_HANGUP },
	{ &app_record_def, ARGS({ "action", "pause" }, { "from", "talk" }), "", "record(pause)", APP_OK },
	{ &app_record_def, ARGS({ "action", "louder" }, { "from", "talk" }), "", "record(louder)", APP_INVALID },
	{ &app_record_def, ARGS({ "action", "start" }, { "from", "now" }, { "beep", "15" }), "", "record(start,now,15)", APP_OK },
	{ &app_record_def, ARGS({ "action", "start" }, { "from", "yesterday" }), "", "", APP_INVALID },
	{ &app_set_def, ARGS({ "name", "who" }, { "value", "me" }), "", "who=me", APP_OK },
	{ &app_goto_def, ARGS({ "number", "400" }), "", "goto(400)", APP_ANSWERED },
	{ &app_goto_def, ARGS({ "number", "400" }, { "context", "lobby" }), "", "goto(400,lobby)", APP_ANSWERED },
	{ &app_dial_def, ARGS({ "number", "1001" }, { "ring_s", "0" }), "", "dial(1001,0,-,-)", APP_BUSY },
	{ &app_dial_def, ARGS({ "number", "&1001&&1002&" }, { "ring_s", "5" }, { "trunk", "t" }, { "music", "m" }), "",
	  "dial(1001&1002,5,m,t)", APP_BUSY },
	{ &app_dial_def, ARGS({ "number", "" }), "", "", APP_INVALID },
	{ &app_dial_def, ARGS({ "number", "&" }), "", "", APP_INVALID },
};

static void test_apps_simple_ones_do_what_their_arguments_say(void **state)
{
	static const enum app_result busy[] = { APP_BUSY };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(simple); i++) {
		struct call call = { .keys = simple[i].keys, .args = simple[i].args, .dialled = busy,
				     .is_hungup = !strcmp(simple[i].keys, "gone") };

		assert_int_equal(simple[i].app->run(&call), simple[i].result);
		assert_string_equal(call.log, simple[i].expected);
		assert_int_equal(call.nlive, 0);
	}
}

/* ---- groups ---- */

static const char *const members[] = { "1004", "1005", "1006" };
static const uint32_t delays[] = { 0, 5, 10 };
static const struct app_group at_once = { .n = 3, .numbers = members, .delay_s = delays, .ring_s = 30 };
static const struct app_group in_sequence = { .n = 3, .numbers = members, .ring_s = 7, .in_sequence = true };
static const struct app_group nobody = { .ring_s = 30 };

static const struct {
	const struct app_group *group;
	enum app_result dialled[3];
	const char *keys, *expected;
	enum app_result result;
	bool is_away;
} groups[] = {
	{ &at_once, { APP_ANSWERED }, "", "dial(1004&1005&1006+0+5+10,30,-,-)", APP_ANSWERED, false },
	{ &at_once, { APP_NO_ANSWER }, "", "dial(1004&1005&1006+0+5+10,30,-,-)", APP_NO_ANSWER, false },
	{ &in_sequence, { APP_BUSY, APP_ANSWERED }, "", "dial(1004,7,-,-) dial(1005,7,-,-)", APP_ANSWERED, false },
	{ &in_sequence, { APP_BUSY, APP_MOVED }, "", "dial(1004,7,-,-) dial(1005,7,-,-)", APP_MOVED, false },
	{ &in_sequence, { APP_BUSY, APP_BUSY, APP_NO_ANSWER }, "", "dial(1004,7,-,-) dial(1005,7,-,-) dial(1006,7,-,-)", APP_NO_ANSWER, false },
	{ &in_sequence, { APP_BUSY }, "H", "dial(1004,7,-,-) hangup", APP_HANGUP, false },
	{ &nobody, { APP_BUSY }, "", "", APP_UNAVAILABLE, false },
	{ NULL, { APP_BUSY }, "", "", APP_INVALID, false },
	{ &at_once, { APP_BUSY }, "", "", APP_CONGESTION, true },
};

static void test_apps_dial_group_rings_its_members(void **state)
{
	const struct fake_pair args[] = { { "group", "410" }, { 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
		struct call call = { .keys = groups[i].keys, .args = args, .group = groups[i].group, .dialled = groups[i].dialled,
				     .is_directory_away = groups[i].is_away };

		assert_int_equal(app_dial_group_def.run(&call), groups[i].result);
		assert_string_equal(call.log, groups[i].expected);
	}
}

/* ---- menus ---- */

static const struct app_menu_choice choices[] = { { "1", "1002" }, { "2", "1003" }, { "21", "700" }, { "*", "600" } };
#define MENU .prompt = "hello&beep", .context = "office", .first_timeout_ms = 5000, .digit_timeout_ms = 3000, .retries = 1, \
	     .nchoices = ARRAY_LEN(choices), .choices = choices
static const struct app_menu open_menu = { MENU, .dial_extensions = true, .fallback = "1001" };
static const struct app_menu closed_menu = { MENU, .invalid_prompt = "sorry" };

static const struct {
	const struct app_menu *menu;
	const char *keys, *expected;
	enum app_result result;
	bool is_away;
	unsigned fail_say;
} menus[] = {
	/* A choice is taken at once if nothing longer begins with it. */
	{ &closed_menu, "1", "[hello beep] <1> goto(1002,office)", APP_ANSWERED, false, 0 },
	{ &closed_menu, "2_", "[hello beep] <2> goto(1003,office)", APP_ANSWERED, false, 0 },
	{ &closed_menu, "21", "[hello beep] <21> goto(700,office)", APP_ANSWERED, false, 0 },
	{ &closed_menu, "*", "[hello beep] <*> goto(600,office)", APP_ANSWERED, false, 0 },
	{ &open_menu, "1_", "[hello beep] <1> goto(1002,office)", APP_ANSWERED, false, 0 },
	{ &open_menu, "1005", "[hello beep] <1005> goto(1005,office)", APP_ANSWERED, false, 0 },
	{ &open_menu, "*", "[hello beep] <*> goto(600,office)", APP_ANSWERED, false, 0 },
	/* Asked again, then sent on. */
	{ &open_menu, "__", "[hello beep] <> [hello beep] <> goto(1001,office)", APP_ANSWERED, false, 0 },
	{ &closed_menu, "__", "[hello beep] <> [hello beep] <>", APP_TIMEOUT, false, 0 },
	{ &closed_menu, "5_1", "[hello beep] <5> [sorry] [hello beep] <1> goto(1002,office)", APP_ANSWERED, false, 0 },
	{ &open_menu, "9_1009_", "[hello beep] <9> [invalid] [hello beep] <1009> [invalid] goto(1001,office)", APP_ANSWERED, false, 0 },
	/* Gone, unknown, out of memory. */
	{ &open_menu, "H", "[hello beep] hangup", APP_HANGUP, false, 0 },
	{ &closed_menu, "5_!H", "[hello beep] <5> [sorry] hangup", APP_HANGUP, false, 0 },
	{ NULL, "", "", APP_INVALID, false, 0 },
	{ &open_menu, "", "", APP_CONGESTION, true, 0 },
	{ &open_menu, "", "", APP_FAILED, false, 1 },
	{ &closed_menu, "5_", "[hello beep] <5>", APP_FAILED, false, 2 },
};

static void test_apps_menu_goes_where_its_choices_lead(void **state)
{
	const struct fake_pair args[] = { { "menu", "400" }, { 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(menus); i++) {
		struct call call = { .keys = menus[i].keys, .args = args, .menu = menus[i].menu, .exist = " 1004 1005 ",
				     .is_directory_away = menus[i].is_away, .fail_say = menus[i].fail_say };

		assert_int_equal(app_menu_def.run(&call), menus[i].result);
		assert_string_equal(call.log, menus[i].expected);
		assert_int_equal(call.nlive, 0);
	}
}

/* ---- the night switch ---- */

static void test_apps_night_switches_and_says_how_it_is(void **state)
{
	static const struct fake_pair args[] = { { "schedule", "day" }, { "mode", "toggle" }, { 0 } }, vars[] = { { "domain", "office" }, { 0 } };
	static const struct fake_statement statements[] = { { "pbx.schedule_switch", "switch" }, { 0 } };
	static const struct { const char *now, *away, *log; enum app_result r; } rows[] = {
		{ "closed", NULL, "switch(toggle) schedule_mode=closed [activated]", APP_OK },
		{ "auto", NULL, "switch(toggle) schedule_mode=auto [de-activated]", APP_OK },
		{ "auto", " switch ", "switch(toggle)", APP_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct fake_pair answers[] = { { "switch", rows[i].now }, { 0 } };
		struct call call = { .keys = "", .args = args, .vars = vars, .rows = answers, .statements = statements, .away = rows[i].away };

		assert_int_equal(app_night_def.run(&call), rows[i].r);
		assert_string_equal(call.log, rows[i].log);
		assert_int_equal(call.nlive, 0);
	}
}

/* ---- conferences ---- */

static const struct app_conference open_room = { 0 }, closed_room = { .has_pin = true, .has_moderator_pin = true },
				   led_room = { .has_moderator_pin = true };

static const struct {
	const struct app_conference *room;
	struct app_room found;                /* when he enters */
	const char *keys, *expected;
	enum app_result result;
	int room_err;
	const char *away;
} conferences[] = {
	/* In and out; his row is there before anything is said to him, and goes with him. */
	{ &open_room, { .is_alone = true }, "*#", "enter(880) live(880,test,1002,Paul,f,f,f) [conf-onlyperson] <#> leave gone", APP_OK, 0, NULL },
	{ &open_room, { .is_muted = true }, "H", "enter(880) live(880,test,1002,Paul,f,t,f) [conf-muted] hangup leave gone", APP_HANGUP, 0, NULL },
	{ &open_room, { 0 }, "H", "enter(880) live(880,test,1002,Paul,f,f,f) hangup leave gone", APP_HANGUP, 0, NULL },
	{ &open_room, { 0 }, "H", "enter(880) live(880,test,1002,Paul,f,f,f) hangup leave gone", APP_HANGUP, 0, "*" },
	{ &open_room, { 0 }, "", "enter(880) [conf-full]", APP_BUSY, -EBUSY, NULL },
	{ &open_room, { 0 }, "", "enter(880) [conf-locked]", APP_DECLINED, -EPERM, NULL },
	{ &open_room, { 0 }, "", "enter(880)", APP_FAILED, -ENOMEM, NULL },
	{ NULL, { 0 }, "", "", APP_INVALID, 0, NULL },
	/* Keys; a digit alone does nothing, and neither does what isn't his to do. */
	{ &open_room, { 0 }, "5*1*1H", "enter(880) live(880,test,1002,Paul,f,f,f) <1> mute(1) [conf-muted] live(880,test,1002,Paul,f,t,f)"
	  " <1> mute(0) [conf-unmuted] live(880,test,1002,Paul,f,f,f) hangup leave gone", APP_HANGUP, 0, NULL },
	{ &open_room, { 0 }, "*4*4*6*9*7*_*0*#", "enter(880) live(880,test,1002,Paul,f,f,f) <4> gain(0,-3) <4> gain(0,-6) <6> gain(0,-3)"
	  " <9> gain(3,-3) <7> gain(0,-3) <> <0> <#> leave gone", APP_OK, 0, NULL },
	{ &open_room, { 0 }, "*2*3*#", "enter(880) live(880,test,1002,Paul,f,f,f) <2> [beep] <3> [beep] <#> leave gone", APP_OK, 0, NULL },
	{ &closed_room, { .nmembers = 2 }, "91234#*2*2*3*#", "[conf-getpin] <91234> enter(880,moderator) live(880,test,1002,Paul,t,f,f)"
	  " <2> lock(1) announce(conf-lockednow) <2> lock(0) announce(conf-unlockednow) <3> send_out <#> leave gone", APP_OK, 0, NULL },
	{ &closed_room, { .nmembers = 1 }, "91234#*3*#", "[conf-getpin] <91234> enter(880,moderator) live(880,test,1002,Paul,t,f,f)"
	  " <3> send_out [beep] <#> leave gone", APP_OK, 0, NULL },
	{ &closed_room, { .nmembers = 1 }, "91234#*5*#", "[conf-getpin] <91234> enter(880,moderator) live(880,test,1002,Paul,t,f,f)"
	  " <5> room_record <#> leave gone", APP_OK, 0, NULL },
	{ &open_room, { 0 }, "*5*#", "enter(880) live(880,test,1002,Paul,f,f,f) <5> [beep] <#> leave gone", APP_OK, 0, NULL },
	/* PINs. */
	{ &closed_room, { 0 }, "1234#H", "[conf-getpin] <1234> enter(880) live(880,test,1002,Paul,f,f,f) hangup leave gone", APP_HANGUP, 0, NULL },
	{ &closed_room, { 0 }, "#5_1234#H", "[conf-getpin] <> [conf-invalidpin conf-getpin] <5> [conf-invalidpin conf-getpin] <1234>"
	  " enter(880) live(880,test,1002,Paul,f,f,f) hangup leave gone", APP_HANGUP, 0, NULL },
	{ &closed_room, { 0 }, "1#2#3#", "[conf-getpin] <1> [conf-invalidpin conf-getpin] <2> [conf-invalidpin conf-getpin] <3>"
	  " [conf-invalidpin vm-goodbye]", APP_FAILED, 0, NULL },
	{ &closed_room, { 0 }, "12H", "[conf-getpin] hangup", APP_HANGUP, 0, NULL },
	{ &led_room, { .is_waiting = true }, "#H", "[conf-getpin] <> enter(880) live(880,test,1002,Paul,f,f,f) [conf-waitforleader] hangup leave gone",
	  APP_HANGUP, 0, NULL },
	{ &led_room, { 0 }, "1234#_H", "[conf-getpin] <1234> [conf-invalidpin conf-getpin] <> enter(880) live(880,test,1002,Paul,f,f,f)"
	  " hangup leave gone", APP_HANGUP, 0, NULL },
	/* What becomes of the room. */
	{ &led_room, { .is_waiting = true }, "#wWK", "[conf-getpin] <> enter(880) live(880,test,1002,Paul,f,f,f) [conf-waitforleader]"
	  " [conf-leaderhasleft conf-waitforleader] [conf-kicked] leave gone", APP_OK, 0, NULL },
	{ &open_room, { 0 }, "TtH", "enter(880) live(880,test,1002,Paul,f,f,f) live(880,test,1002,Paul,f,f,t) live(880,test,1002,Paul,f,f,f)"
	  " hangup leave gone", APP_HANGUP, 0, NULL },
	/* A database that doesn't answer isn't asked each time. */
	{ &open_room, { 0 }, "TtTH", "enter(880) live(880,test,1002,Paul,f,f,f) hangup leave gone", APP_HANGUP, 0, "*" },
};

static void test_apps_conference_leads_in_and_serves_its_keys(void **state)
{
	static const struct fake_pair args[] = { { "conference", "880" }, { 0 } };
	static const struct fake_pair vars[] = { { "domain", "office" }, { "call", "c" }, { "node", "test" }, { "caller_number", "1002" },
						 { "caller_name", "Paul" }, { 0 } };
	static const struct fake_statement statements[] = { { "INSERT INTO pbx.conference_member", "live" },
							    { "DELETE FROM pbx.conference_member", "gone" }, { 0 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(conferences); i++) {
		struct call call = { .keys = conferences[i].keys, .args = args, .vars = vars, .statements = statements, .pin = "1234",
				     .conference = conferences[i].room, .room = conferences[i].found, .room_err = conferences[i].room_err,
				     .away = conferences[i].away };

		assert_int_equal(app_conference_def.run(&call), conferences[i].result);
		assert_string_equal(call.log, conferences[i].expected);
		assert_int_equal(call.nlive, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apps_say_speaks_values_of_a_kind),
		cmocka_unit_test(test_apps_say_ends_with_the_call),
		cmocka_unit_test(test_apps_simple_ones_do_what_their_arguments_say),
		cmocka_unit_test(test_apps_dial_group_rings_its_members),
		cmocka_unit_test(test_apps_menu_goes_where_its_choices_lead),
		cmocka_unit_test(test_apps_night_switches_and_says_how_it_is),
		cmocka_unit_test(test_apps_conference_leads_in_and_serves_its_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_apps.c - what the small applications do with their arguments, by the script of fake_app.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fake_app.h"

extern const struct app app_say_def;

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_apps_say_speaks_values_of_a_kind),
		cmocka_unit_test(test_apps_say_ends_with_the_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

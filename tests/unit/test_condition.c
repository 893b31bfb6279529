/* test_condition.c - conditions of steps and ${...} in arguments. That SQL has the same rules is test_plan_property's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "plan/plan.h"

static struct str var(struct str name, void *arg)
{
	static const struct { const char *name, *value; } vars[] = {
		{ "result", "busy" }, { "number", "**1001" }, { "caller", "1002" }, { "empty", "" }, { "a_1", "x" }, { "Upper", "u" },
		{ "name", "\xc3\x84rger \xe2\x82\xac" },
	};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LEN(vars); i++)
		if (str_eqz(name, vars[i].name))
			return str_from(vars[i].value);
	return STR_NULL;
}

static void test_condition_holds_or_not(void **state)
{
	static const struct { const char *condition; bool holds; } rows[] = {
		{ "result=busy", true }, { "result=no_answer", false }, { "result=no_answer,busy", true }, { "result=busy,no_answer", true },
		{ "result!=busy", false }, { "result!=no_answer", true }, { "result!=no_answer,busy", false },
		{ " result = busy ", true }, { "result = no_answer , busy", true }, { "result=bus", false }, { "result=busyy", false },
		{ "result=BUSY", false },
		{ "result=busy and caller=1002", true }, { "result=busy and caller=1003", false }, { "result=x and caller=1002", false },
		{ "result=busy  and  caller!=1003 and number=_**X.", true },
		/* a pattern */
		{ "caller=_10XX", true }, { "caller=_11XX", false }, { "caller!=_10XX", false }, { "caller=_1003,_100[1-2]", true },
		/* one that is no pattern matches nothing */
		{ "caller=_[", false }, { "caller!=_[", true },
		/* unset is empty, which is no value */
		{ "nothing=x", false }, { "nothing!=x", true }, { "empty!=x", true },
		/* words that look like the grammar */
		{ "result=and", false }, { "result=and,busy and caller=1002", true }, { "result!= and and caller=1002", true },
		{ "a_1=x", true }, { "caller=1002=3", false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (plan_condition_holds(rows[i].condition, var, NULL) != rows[i].holds)
			fail_msg("%s: not %d", rows[i].condition, rows[i].holds);
}

/* What is malformed is told, and never holds. */
static void test_condition_malformed_never_holds(void **state)
{
	static const char *const rows[] = {
		"", " ", "busy", "=", "=busy", "!=busy", "result", "result=", "result!", "result!busy", "result==busy", "result=!busy",
		"result=busy,", "result=,busy", "result=busy,,x", "result=busy and", "result=busy and ", "and result=busy", " and ",
		"result=busy or caller=1002", "result=busy caller=1002", "result=busy x", "result=busy andcaller=1002",
		"result=busyand caller=1002", "result=busy AND caller=1002", "1result=busy", "re-sult=busy", "re sult=busy", "Result=busy",
		"result ! = busy", "result=busy and caller", "result=busy and and caller=1002", "result=a!b", "result=a=b",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (plan_condition_is_valid(rows[i]))
			fail_msg("'%s' is valid", rows[i]);
		if (plan_condition_holds(rows[i], var, NULL))
			fail_msg("'%s' holds", rows[i]);
	}
	assert_true(plan_condition_is_valid(" result = busy , no_answer and caller!=1001 and number=_10XX"));
	assert_true(plan_condition_is_valid("result=and and and=and"));
}

static void test_substitute_replaces_variables(void **state)
{
	static const struct { const char *text, *result; } rows[] = {
		{ "", "" }, { "x", "x" }, { "${number}", "**1001" }, { "a${number}b${caller}c", "a**1001b1002c" },
		{ "${caller}${caller}", "10021002" }, { "${nothing}", "" }, { "${empty}", "" }, { "${Upper}", "u" },
		{ "${number:2}", "1001" }, { "${number:2:3}", "100" }, { "${number:0:1}", "*" }, { "${number:99}", "" },
		{ "${number:6}", "" }, { "${number:2:0}", "" }, { "${number:2:99}", "1001" }, { "${nothing:1}", "" },
		/* before the beginning is the beginning */
		{ "${number:-}", "**1001" }, { "${nothing:-none}", "none" }, { "${empty:-none}", "none" }, { "${caller:-none}", "1002" },
		{ "${nothing:--1}", "-1" }, { "${nothing:-a b:c$x}", "a b:c$x" }, { "${caller:-2}", "1002" }, { "${nothing:-}", "" },
		/* no variable: as it stands */
		{ "$caller", "$caller" }, { "${caller", "${caller" }, { "${}", "${}" }, { "$${caller}", "$1002" }, { "${1x}", "${1x}" },
		{ "${a b}", "${a b}" }, { "${number:x}", "${number:x}" }, { "${number:}", "${number:}" }, { "${number:1:}", "${number:1:}" },
		{ "${number:1:-1}", "${number:1:-1}" }, { "${number:+1}", "${number:+1}" }, { "${number: 1}", "${number: 1}" },
		{ "${number:12345}", "${number:12345}" }, { "${number:00001}", "${number:00001}" }, { "${number:0002}", "1001" },
		/* characters, not bytes */
		{ "${name:1}", "rger \xe2\x82\xac" }, { "${name:0:1}", "\xc3\x84" }, { "${name:6:1}", "\xe2\x82\xac" }, { "${name:7}", "" },
		{ "${${caller}}", "${1002}" }, { "$", "$" }, { "${", "${" }, { "}", "}" }, { "${number:1:2:3}", "${number:1:2:3}" },
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(plan_substitute(rows[i].text, var, NULL, buf, sizeof(buf)), 0);
		if (strcmp(buf, rows[i].result) != 0)
			fail_msg("%s: %s, not %s", rows[i].text, buf, rows[i].result);
	}
}

static void test_substitute_never_overflows(void **state)
{
	char buf[8], small[1];

	(void)state;
	assert_int_equal(plan_substitute("${caller}567", var, NULL, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "1002567");
	assert_int_equal(plan_substitute("${caller}5678", var, NULL, buf, sizeof(buf)), -ENOSPC);
	assert_int_equal(plan_substitute("${caller}${caller}", var, NULL, buf, sizeof(buf)), -ENOSPC);
	assert_int_equal(plan_substitute("", var, NULL, small, sizeof(small)), 0);
	assert_int_equal(plan_substitute("x", var, NULL, small, sizeof(small)), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_condition_holds_or_not), cmocka_unit_test(test_condition_malformed_never_holds),
		cmocka_unit_test(test_substitute_replaces_variables), cmocka_unit_test(test_substitute_never_overflows),
	};

	return cmocka_run_group_tests_name("condition", tests, NULL, NULL);
}

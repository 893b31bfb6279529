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
		{ "result", "busy" }, { "number", "**1001" }, { "caller", "1002" }, { "empty", "" }, { "schedule:day", "open" }, { "schedule:night", "closed" }, { "a_1", "x" }, { "Upper", "u" },
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
		/* schedules: one of them is open */
		{ "schedule=day", true }, { "schedule!=day", false }, { "schedule=night", false }, { "schedule!=night", true },
		{ "schedule=night , day and caller=1002", true }, { "schedule=nothing", false },
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

static struct str list_var(struct str name, void *arg)
{
	static const struct { const char *name, *value; } set[] = {
		{ "list", "1002&1003" }, { "uri", "sip:evil@127.0.0.1;x?y" }, { "file", "/etc/passwd" }, { "host", "[::1]:5060" }, { "s", "s" },
	};

	for (size_t i = 0; i < ARRAY_LEN(set); i++)
		if (str_eqz(name, set[i].name))
			return str_from(set[i].value);
	return var(name, arg);
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

/* Whoever dials, or names himself, chooses no further target. */
static void test_substitute_list_values_stay_where_they_are(void **state)
{
	static const struct { const char *text, *result; int nrefused; } rows[] = {
		{ "1001", "1001", 0 }, { "1001&1002", "1001&1002", 0 }, { "${caller}&1003", "1002&1003", 0 }, { "", "", 0 },
		{ "${number}", "**1001", 0 }, { "&1001&&", "1001&&", 0 },
		/* a value that would be more than one, or something else */
		{ "${list}", "", 1 }, { "1003&${list}", "1003", 1 }, { "${list}&1003", "1003", 1 }, { "9${list}", "", 1 },
		{ "${uri}", "", 1 }, { "1003&${uri}&1004", "1003&1004", 1 }, { "${file}", "", 1 }, { "${uri:1}", "ip:evil@127.0.0.1;x?y", 0 },
		{ "${s}ip:x@y", "", 1 },
		/* what the administrator has written himself is as he means it */
		{ "${nothing:-1001&1002}", "1001&1002", 0 }, { "${nothing:-sip:a@b}&1001", "sip:a@b&1001", 0 },
		{ "${list:-1001}", "", 1 }, { "sip:1001@host&1002", "sip:1001@host&1002", 0 },
		/* in a URI: the user part takes anything, escaped, the rest an address */
		{ "sip:${caller}@host", "sip:1002@host", 0 }, { "sip:${list}@host", "sip:1002%261003@host", 0 },
		{ "sip:${uri}@host", "sip:sip%3Aevil%40127.0.0.1;x?y@host", 0 }, { "SIP:1@${host}", "SIP:1@[::1]:5060", 0 },
		{ "sip:1@${uri}", "", 1 }, { "sip:1@h;x=${list}", "", 1 }, { "sip:${host}", "sip:[::1]:5060", 0 }, { "sip:${uri}", "", 1 },
		/* in a path: one name */
		{ "/sounds/${caller}.wav", "/sounds/1002.wav", 0 }, { "/sounds/${file}", "", 1 }, { "/sounds/${list}", "", 1 },
	};
	char buf[64], small[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int n = plan_substitute_list(rows[i].text, list_var, NULL, buf, sizeof(buf));

		if (n != rows[i].nrefused || strcmp(buf, rows[i].result) != 0)
			fail_msg("%s: %d %s, not %d %s", rows[i].text, n, buf, rows[i].nrefused, rows[i].result);
	}
	assert_int_equal(plan_substitute_list("1001&1002", list_var, NULL, small, sizeof(small)), -ENOSPC);
	assert_int_equal(plan_substitute_list("sip:${uri}@h", list_var, NULL, small, sizeof(small)), -ENOSPC);
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
		cmocka_unit_test(test_substitute_replaces_variables), cmocka_unit_test(test_substitute_list_values_stay_where_they_are),
		cmocka_unit_test(test_substitute_never_overflows),
	};

	return cmocka_run_group_tests_name("condition", tests, NULL, NULL);
}

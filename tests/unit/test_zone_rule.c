/* test_zone_rule.c - the rules of time zones, read and followed. That libc says the same over years is test_zone.c's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "call/zone_rule.h"

#define H 3600
#define JUL_2000 962409600     /* 1 July 2000 00:00 UTC */
#define JAN_2000 946684800
#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"
#define SYDNEY "AEST-10AEDT,M10.1.0,M4.1.0/3"

static void test_zone_rule_follows_the_year(void **state)
{
	static const struct { const char *rule; int64_t at; int32_t offset; } rows[] = {
		{ "UTC0", JUL_2000, 0 }, { "JST-9", JUL_2000, 9 * H }, { "EST+5", JUL_2000, -5 * H }, { "<-0330>3:30", JUL_2000, -12600 },
		{ "LMT-0:53:28", JUL_2000, 3208 },
		{ BERLIN, 2531955600 - 1, H }, { BERLIN, 2531955600, 2 * H },         /* 2050-03-27 01:00 UTC, */
		{ BERLIN, 2550704400 - 1, 2 * H }, { BERLIN, 2550704400, H },         /* 2050-10-30 01:00 */
		{ SYDNEY, 2501078400 - 1, 11 * H }, { SYDNEY, 2501078400, 10 * H },   /* 2049-04-03 16:00, the first Sunday is the 4th there */
		{ SYDNEY, 2516803200 - 1, 10 * H }, { SYDNEY, 2516803200, 11 * H },   /* 2049-10-02 16:00 */
		{ "AAA0BBB,J60/5,J300/0", 3981330000, 0 },                            /* 2096-02-29 05:00: not the 60th to J, */
		{ "AAA0BBB,59/5,300/0", 3981330000, H }, { "AAA0BBB,59/5,300/0", 3981330000 - 1, 0 }, /* but day 59 to the other */
		{ "AAA0BBB,J60/5,J300/0", 3949794000, H }, { "AAA0BBB,J60/5,J300/0", 3949794000 - 1, 0 }, /* 2095-03-01 05:00 */
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", JAN_2000, 0 }, { "IST-1GMT0,M10.5.0,M3.5.0/1", JUL_2000, H }, /* summer is the standard */
		/* RFC 8536 §3.3.1's: summer all year. */
		{ "XXX3EDT4,0/0,J365/23", 2208999600, -4 * H }, { "XXX3EDT4,0/0,J365/23", 2222121600, -4 * H },
		{ "XXX3EDT4,0/0,J365/23", 2240611199, -4 * H }, { "XXX3EDT4,0/0,J365/23", 2240622000 - 1, -4 * H }, { "XXX3EDT4,0/0,J365/23", 2240622000, -4 * H },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct zone_rule r;

		assert_int_equal(zone_rule_parse(&r, str_from(rows[i].rule)), 0);
		if (zone_rule_offset(&r, rows[i].at) != rows[i].offset)
			fail_msg("%s at %lld: %d", rows[i].rule, (long long)rows[i].at, zone_rule_offset(&r, rows[i].at));
	}
}

static void test_zone_rule_refuses_what_is_none(void **state)
{
	static const char *const rows[] = {
		"", "CET", "CE-1", "-1", "CET-", "CET-25", "CET-1:60", "CET-1:0:60", "CET-1:", "<+01-1", "<+1>-1", "CET-1 ", "CET-1CEST",
		"CET-1CEST,", "CET-1CEST,M3.5.0", "CET-1CEST,M3.5.0,", "CET-1CEST,M0.5.0,M10.5.0", "CET-1CEST,M13.5.0,M10.5.0",
		"CET-1CEST,M3.0.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.7,M10.5.0", "CET-1CEST,M3.5,M10.5.0",
		"CET-1CEST,J0,J1", "CET-1CEST,J366,J1", "CET-1CEST,366,1", "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1CEST,M3.5.0/,M10.5.0",
		"CET-1CEST,M3.5.0,M10.5.0/3,", "CET-1CEST,M3.5.0,M10.5.0/3x", "CET-1C,M3.5.0,M10.5.0", "CET-1CEST-,M3.5.0,M10.5.0",
		"CET-1CEST,1000,1", "CET--1", "CET-1CEST;M3.5.0,M10.5.0",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct zone_rule r = { .std_s = 77 };

		if (zone_rule_parse(&r, str_from(rows[i])) != -EBADMSG || r.std_s != 77)
			fail_msg("\"%s\" was taken", rows[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zone_rule_follows_the_year),
		cmocka_unit_test(test_zone_rule_refuses_what_is_none),
	};

	return cmocka_run_group_tests_name("zone_rule", tests, NULL, NULL);
}

/* test_trunk_list.c - after which statuses the next trunk of a group is tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "call/call_int.h"

static void test_trunk_list_goes_on_after_its_statuses(void **state)
{
	static const struct { const char *failover; int status; bool goes_on; } rows[] = {
		{ "408,5XX", 408, true }, { "408,5XX", 500, true }, { "408,5XX", 599, true }, { "408,5XX", 480, false }, { "408,5XX", 603, false },
		{ "404", 404, true }, { "404", 400, false }, { "4XX", 486, true }, { "", 503, false }, { "5XX", 0, false }, { "408,5XX", 50, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (trunk_list_goes_on(rows[i].failover, rows[i].status) != rows[i].goes_on)
			fail_msg("%s: %d", rows[i].failover, rows[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_trunk_list_goes_on_after_its_statuses) };

	return cmocka_run_group_tests_name("trunk_list", tests, NULL, NULL);
}

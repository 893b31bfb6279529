/* test_schedule.c - a schedule at one moment. That SQL says the same is test_plan_property's to show. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "call/schedule.h"

#define MONDAY 1795392000 /* 2026-11-23 00:00 UTC */
#define H 3600

static const struct dir_period periods[] = { { 1, 510, 720 }, { 1, 780, 1440 }, { 7, 0, 1 } };
static const struct dir_period holidays[] = { { 20261130, 0, 0 }, { 1224, 540, 600 }, { 20281224, 600, 660 } };

static void test_schedule_is_open_at_its_times(void **state)
{
	static const struct { const char *zone; int64_t at; bool is_open; } rows[] = {
		{ "UTC", MONDAY, false }, { "UTC", MONDAY + 8 * H + 1799, false }, { "UTC", MONDAY + 8 * H + 1800, true },
		{ "UTC", MONDAY + 12 * H - 1, true }, { "UTC", MONDAY + 12 * H, false }, { "UTC", MONDAY + 13 * H, true },
		{ "UTC", MONDAY + 24 * H - 1, true }, { "UTC", MONDAY + 24 * H, false },
		{ "UTC", MONDAY - 24 * H + 59, true }, { "UTC", MONDAY - 24 * H + 60, false }, /* Sunday */
		{ "Europe/Vienna", MONDAY + 7 * H + 1800, true }, { "Europe/Vienna", MONDAY + 11 * H, false }, { "America/New_York", MONDAY, false },
		{ "UTC", MONDAY + (7 * 24 + 9) * H, false }, { "UTC", MONDAY + (14 * 24 + 9) * H, true }, /* a holiday that was a Monday */
		{ "UTC", MONDAY + (31 * 24 + 9) * H, true }, { "UTC", MONDAY + (31 * 24 + 10) * H, false }, /* 24 December */
		{ "No/Where", MONDAY + 9 * H, true },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dir_schedule s = { .timezone = rows[i].zone, .override_until_s = INT64_MAX, .nperiods = ARRAY_LEN(periods), .periods = periods,
					  .nholidays = ARRAY_LEN(holidays), .holidays = holidays };

		if (schedule_is_open(&s, *state, rows[i].at) != rows[i].is_open)
			fail_msg("%s at %lld", rows[i].zone, (long long)rows[i].at);
	}
}

static void test_schedule_switch_wins_until_its_end(void **state)
{
	struct dir_schedule s = { .timezone = "UTC", .override = DIR_OPEN, .override_until_s = MONDAY };

	assert_true(schedule_is_open(&s, *state, MONDAY - 1));
	assert_false(schedule_is_open(&s, *state, MONDAY));
	s = (struct dir_schedule){ .timezone = "UTC", .override = DIR_CLOSED, .override_until_s = INT64_MAX, .nperiods = ARRAY_LEN(periods),
				   .periods = periods };
	assert_false(schedule_is_open(&s, *state, MONDAY + 9 * H));
}

static int setup(void **state)
{
	static struct zones zones;

	zones_init(&zones, ZONE_FOLDER, &clock_system);
	*state = &zones;
	return 0;
}

static int teardown(void **state)
{
	zones_fini(*state);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_schedule_is_open_at_its_times),
		cmocka_unit_test(test_schedule_switch_wins_until_its_end),
	};

	return cmocka_run_group_tests_name("schedule", tests, setup, teardown);
}

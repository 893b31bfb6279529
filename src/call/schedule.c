/* schedule.c - a schedule at one moment: the switch if it is set, else what the day says if it is a holiday, else the week. */
#include "call/schedule.h"

static bool is_within(const struct dir_period *p, unsigned minute)
{
	return minute >= p->from_min && minute < p->to_min;
}

bool schedule_is_open(const struct dir_schedule *s, struct zones *zones, int64_t unix_s)
{
	uint32_t weekday, day, minute;
	bool is_holiday = false, is_open = false;
	struct tm tm;

	if (s->override != DIR_AUTO && unix_s < s->override_until_s)
		return s->override == DIR_OPEN;
	zone_local(zones, s->timezone, unix_s, &tm); /* one that is unknown here is UTC */
	weekday = tm.tm_wday ? (uint32_t)tm.tm_wday : 7;
	day = (uint32_t)((tm.tm_mon + 1) * 100 + tm.tm_mday);
	minute = (uint32_t)(tm.tm_hour * 60 + tm.tm_min);
	for (unsigned i = 0; i < s->nholidays; i++) {
		const struct dir_period *h = &s->holidays[i];

		if (h->day == day || h->day == (uint32_t)(tm.tm_year + 1900) * 10000 + day) {
			is_holiday = true;
			is_open = is_open || is_within(h, minute);
		}
	}
	for (unsigned i = 0; i < s->nperiods && !is_holiday && !is_open; i++)
		is_open = s->periods[i].day == weekday && is_within(&s->periods[i], minute);
	return is_open;
}

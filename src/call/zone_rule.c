/* zone_rule.c - a time zone's rule (see zone_rule.h): each year's two changes as moments, and on which side of them a time is. */
#include "call/zone_rule.h"

#include <errno.h>
#include <time.h>

#define HOUR_S 3600
#define DAY_S 86400
#define OFFSET_HOURS_MAX 24
#define CHANGE_HOURS_MAX 167
#define CHANGE_DEFAULT_S (2 * HOUR_S)
#define NAME_MIN 3

/* ---- the text ---- */

static bool take_chr(struct str *s, char c)
{
	if (!s->n || s->p[0] != c)
		return false;
	*s = str_from_at(*s, 1);
	return true;
}

static bool is_in(char c, char from, char to)
{
	return c >= from && c <= to;
}

static bool is_letter(char c)
{
	return is_in(c, 'A', 'Z') || is_in(c, 'a', 'z');
}

/* "CET", "<+0330>": the name isn't kept. */
static bool skip_name(struct str *s)
{
	bool is_quoted = take_chr(s, '<');
	size_t n = 0;

	while (n < s->n && (is_letter(s->p[n]) || (is_quoted && (is_in(s->p[n], '0', '9') || s->p[n] == '+' || s->p[n] == '-'))))
		n++;
	*s = str_from_at(*s, n);
	return n >= NAME_MIN && (!is_quoted || take_chr(s, '>'));
}

static bool take_number(struct str *s, int min, int max, int *out)
{
	int v = 0;
	size_t n = 0;

	while (n < s->n && n < 3 && is_in(s->p[n], '0', '9'))
		v = v * 10 + s->p[n++] - '0';
	if (!n || v < min || v > max)
		return false;
	*s = str_from_at(*s, n);
	*out = v;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool take_time(struct str *s, int hours_max, int32_t *out)
{
	bool is_negative = take_chr(s, '-');
	int h, m = 0, sec = 0;

	if (!is_negative)
		take_chr(s, '+');
	if (!take_number(s, 0, hours_max, &h))
		return false;
	if (take_chr(s, ':') && (!take_number(s, 0, 59, &m) || (take_chr(s, ':') && !take_number(s, 0, 59, &sec))))
		return false;
	*out = (h * HOUR_S + m * 60 + sec) * (is_negative ? -1 : 1);
	return true;
}

/* POSIX counts westwards. */
static bool take_offset(struct str *s, int32_t *out)
{
	int32_t west_s;

	if (!take_time(s, OFFSET_HOURS_MAX, &west_s))
		return false;
	*out = -west_s;
	return true;
}

static bool take_change(struct str *s, struct zone_change *c)
{
	bool is_day;

	*c = (struct zone_change){ .kind = ZONE_DAY, .time_s = CHANGE_DEFAULT_S };
	if (!take_chr(s, ','))
		return false;
	if (take_chr(s, 'M')) {
		c->kind = ZONE_WEEKDAY;
		is_day = take_number(s, 1, 12, &c->month) && take_chr(s, '.') && take_number(s, 1, 5, &c->week) && take_chr(s, '.') &&
			 take_number(s, 0, 6, &c->day);
	} else if (take_chr(s, 'J')) {
		c->kind = ZONE_JULIAN;
		is_day = take_number(s, 1, 365, &c->day);
	} else {
		is_day = take_number(s, 0, 365, &c->day);
	}
	return is_day && (!take_chr(s, '/') || take_time(s, CHANGE_HOURS_MAX, &c->time_s));
}

int zone_rule_parse(struct zone_rule *out, struct str text)
{
	struct zone_rule r = { 0 };

	if (!skip_name(&text) || !take_offset(&text, &r.std_s))
		return -EBADMSG;
	r.has_dst = text.n != 0;
	if (r.has_dst) {
		if (!skip_name(&text))
			return -EBADMSG;
		r.dst_s = r.std_s + HOUR_S;
		if (text.n && text.p[0] != ',' && !take_offset(&text, &r.dst_s))
			return -EBADMSG;
		if (!take_change(&text, &r.begin) || !take_change(&text, &r.end) || text.n)
			return -EBADMSG;
	}
	*out = r;
	return 0;
}

/* ---- the calendar ---- */

/* Midnight UTC of the month's first day; month 0..12, year as in struct tm. */
static int64_t month_s(int year, int month, int *weekday)
{
	struct tm tm = { .tm_year = year, .tm_mon = month, .tm_mday = 1 };
	int64_t t = timegm(&tm);

	if (weekday)
		*weekday = tm.tm_wday;
	return t;
}

/* The change in that year, where the offset before it is known. */
static int64_t change_s(const struct zone_change *c, int year, int32_t before_s)
{
	int64_t from = month_s(year, c->kind == ZONE_WEEKDAY ? c->month - 1 : 0, NULL);
	int day = c->day, weekday;

	if (c->kind == ZONE_JULIAN) {
		bool is_leap = month_s(year, 2, NULL) - from == 60 * DAY_S;

		day -= !(is_leap && day >= 60);
	} else if (c->kind == ZONE_WEEKDAY) {
		int64_t ndays = (month_s(year, c->month, NULL) - month_s(year, c->month - 1, &weekday)) / DAY_S;

		day = (c->day - weekday + 7) % 7 + (c->week - 1) * 7;
		if (day >= ndays) /* the fifth is the last */
			day -= 7;
	}
	return from + (int64_t)day * DAY_S + c->time_s - before_s;
}

int32_t zone_rule_offset(const struct zone_rule *r, int64_t unix_s)
{
	time_t there = (time_t)(unix_s + r->std_s);
	int64_t begin, end;
	struct tm tm;

	if (!r->has_dst || !gmtime_r(&there, &tm))
		return r->std_s;
	begin = change_s(&r->begin, tm.tm_year, r->std_s);
	end = change_s(&r->end, tm.tm_year, r->dst_s);
	if (begin < end)
		return unix_s >= begin && unix_s < end ? r->dst_s : r->std_s;
	return unix_s >= begin || unix_s < end ? r->dst_s : r->std_s; /* summer of the south */
}

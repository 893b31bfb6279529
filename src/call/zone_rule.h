/* zone_rule.h - the rule by which a zone's time goes on for ever, as "CET-1CEST,M3.5.0,M10.5.0/3".
 *
 * It is the footer of a time zone's file. A function of its arguments alone.
 *
 * Thread: any one.
 * Source: POSIX.1-2017 §8.3 (TZ), with the hours of RFC 8536 §3.3.1: a change may be up to a week off its day.
 */
#pragma once

#include "base/str.h"

struct zone_change {
	enum { ZONE_JULIAN, ZONE_DAY, ZONE_WEEKDAY } kind; /* Jn: 29 February doesn't count; n; Mm.w.d */
	int month, week, day;     /* month 1..12 and week 1..5, of ZONE_WEEKDAY; day 1..365, 0..365, or 0..6 from Sunday */
	int32_t time_s;           /* local time of the change, from that day's midnight */
};

/* Offsets are seconds east of UTC. */
struct zone_rule {
	int32_t std_s, dst_s;
	bool has_dst;             /* else it is std_s all year */
	struct zone_change begin, end;
};

/* -EBADMSG, and *out isn't touched, when text is no such rule, or one that doesn't say when summer is. */
int zone_rule_parse(struct zone_rule *out, struct str text);
/* At that moment, whose year must be one that a struct tm holds. */
int32_t zone_rule_offset(const struct zone_rule *r, int64_t unix_s);

/* zone.h - local time in a named time zone.
 *
 * libc knows one zone a process; domains and mailboxes have their own. So the zone's file is read here.
 * Thread: any one.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* *out is set to the time there, or in UTC when the zone is unknown (-ENOENT), NULL or "" (0) or its file is broken (-EBADMSG). */
int zone_local(const char *zone, int64_t unix_s, struct tm *out);

/* zone.h - local time in a named time zone.
 *
 * libc knows one zone a process; domains and mailboxes have their own. So their files are read here, and kept: each is looked at anew when
 * it is asked for and ZONE_KEEP_MS have passed, for the rules of a zone do change under a server that runs for years. One that cannot be
 * read any more leaves what was known of it. Of more than ZONES_MAX the one that nobody has asked for the longest goes.
 *
 * Owner:  who has a struct zones, from zones_init() to zones_fini(); a server's is struct calls.
 * Thread: the owner's: the loop's. One read of a few KiB a minute and zone is not worth a trip to the thread pool.
 * Source: RFC 8536 (the files), POSIX.1-2017 §8.3 (their footers).
 */
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/clock.h"

#define ZONE_KEEP_MS 60000
#define ZONES_MAX 32       /* some 4 KiB each */
#define ZONE_FOLDER "/usr/share/zoneinfo"

struct zone;

struct zones {
	const char *folder;
	const struct clock *clock;
	struct zone *list;        /* the last asked for first */
	unsigned n;
};

/* Both outlive it. */
void zones_init(struct zones *zones, const char *folder, const struct clock *clock);
void zones_fini(struct zones *zones);

/* *out is set to the time there, or in UTC when the zone is unknown (-ENOENT), NULL or "" (0), its file is broken (-EBADMSG) or there is no
 * memory for it (-ENOMEM). */
int zone_local(struct zones *zones, const char *zone, int64_t unix_s, struct tm *out);

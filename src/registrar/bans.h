/* bans.h - who is kept out, between the guard (sip/guard.h) and SQL.
 *
 * Bans that the guard pronounces are written to pbx.ban; all rows there, whoever wrote them, are in force here, and one that is deleted is
 * lifted as soon as the change is read. Without a database bans are in force all the same, and written when it is back.
 * pbx.network says which networks are allowed or denied; the addresses of trunks are allowed, in whatever network they lie, unless it has a
 * row for the very address.
 *
 * Owner: its maker. Thread: loop thread.
 */
#pragma once

#include "base/clock.h"
#include "base/timer.h"
#include "directory/directory.h"
#include "sip/guard.h"

struct bans;

struct bans_params {
	struct guard *guard;
	struct directory *directory;
	struct db *db;               /* NULL: nothing is read or written (tests) */
	struct timers *timers;
	const struct clock *clock;
	const struct log *log;
	const char *node;            /* our name, written with each ban; copied */
};

/* Takes over the guard's handler and begins to read. What *p points to must outlive it. -ENOMEM. */
int bans_new(struct bans **out, const struct bans_params *p);
/* Before the directory and the db close. What is in force stays so. NULL allowed. */
void bans_free(struct bans *b);

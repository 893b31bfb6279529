/* live.h - what is true now, written to the database a little later, many rows at once.
 *
 * State that only shows how things stand needs no outbox: what isn't written now is written next time, and a server that
 * starts knows it anew. The owner marks what has changed and touches; it is asked for the rows when it is time.
 *
 * Owner:  embedded. Thread: loop thread.
 */
#pragma once

#include <jansson.h>

#include "base/timer.h"
#include "db/db.h"

struct live_handler {
	/* Adds an object for each changed row, at most max, and forgets that it changed. True: there are more. */
	bool (*collect)(json_t *docs, unsigned max, void *arg);
	void (*lost)(void *arg);    /* the last ones didn't arrive: all has changed */
	void (*arrived)(void *arg); /* they have; may be NULL */
};

struct live {
	struct db *db;              /* NULL: nothing is written (tests) */
	struct timers *timers;
	const char *sql;            /* SELECT function($1), of a jsonb array */
	const struct live_handler *h;
	void *arg;
	struct timer timer;
	uint64_t query;             /* 0: none under way */
	bool is_touched;
};

void live_init(struct live *l, const struct live_handler *h, void *arg);
void live_fini(struct live *l);
void live_touch(struct live *l);

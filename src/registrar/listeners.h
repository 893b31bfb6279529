/* listeners.h - what is listened on by rows of pbx.listener, besides the configuration file's: added, changed and removed live.
 *
 * A changed row takes the place of what it was: flows that came by it go on. What can't be done (the address is in use, the certificate
 * can't be read) stands in pbx.listener_state, is tried again, and leaves what was there before as it was.
 *
 * Owner: its maker. Thread: loop thread.
 */
#pragma once

#include "base/clock.h"
#include "base/timer.h"
#include "directory/directory.h"
#include "sip/tls.h"
#include "sip/transport.h"

struct listeners;

struct listeners_params {
	struct transport *transport;
	struct directory *directory;
	struct db *db;
	struct timers *timers;
	const struct clock *clock;
	const struct log *log;
	const char *node;                /* our name; must outlive it, as all that tls points to */
	struct transport_tls tls;        /* of rows that don't say otherwise; cert "" for none */
};

/* Begins to read. -ENOMEM. */
int listeners_new(struct listeners **out, const struct listeners_params *p);
bool listeners_is_loaded(const struct listeners *ls); /* the rows that there were have been tried */
/* Before the directory and the db close; what is listened on stays so. NULL allowed. */
void listeners_free(struct listeners *ls);

/* presentity.h - how available a user is: event package presence (RFC 3856) and PUBLISH for it (RFC 3903).
 *
 * What is told of a number is put together from what its phones publish, whether any is registered, whether it is on the telephone, and
 * the row of pbx.presence_note, which wins. Only an extension itself publishes for it; publications end with the process, and their
 * phones learn that by 412.
 *
 * Owner:  its maker. presentities_stop() while ua, directory and registrar live; presentities_free() after events_free().
 * Thread: loop thread.
 */
#pragma once

#include "presence/events.h"
#include "presence/lines.h"

#define PUBLICATIONS_MAX 10  /* of one number: more than its phones */

struct presentities;

struct presentities_params {
	struct sip_ua *ua;
	struct events *events;
	struct directory *directory;
	struct registrar *registrar;
	struct auth *auth;
	struct lines *lines;
	struct timers *timers;
	struct rng *rng;
	const struct log *log;
};

/* Adds the package and takes over PUBLISH. *p is copied. -ENOMEM. */
int presentities_new(struct presentities **out, const struct presentities_params *p);
void presentities_stop(struct presentities *ps);
void presentities_free(struct presentities *ps); /* NULL allowed */

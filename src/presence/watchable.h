/* watchable.h - which numbers may be watched by whom: what the packages dialog and presence share.
 *
 * Thread: loop thread.
 */
#pragma once

#include "presence/events.h"

/* What a watcher is told when its number was looked up: 404, 503 with Retry-After, or no refusal. */
struct event_refusal watchable_refusal(enum dir_answer found);

/* Extensions of the watcher's domain that don't hide, oneself, and numbers that pbx.presence_note speaks of. */
struct event_refusal watchable_admit(struct directory *d, const char *domain, const char *watcher, const char *number);
/* A change of the directory: tells the watchers of the number if its note has changed, all if any may have. */
void watchable_note_changed(struct event_package *p, const char *table, const char *key);

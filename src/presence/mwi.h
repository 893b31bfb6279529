/* mwi.h - message waiting: event package message-summary (RFC 3842).
 *
 * Who subscribes may watch its own mailbox alone. The counts come from pbx.voicemail_count and are read anew when the directory tells
 * of a change in table "voicemail". With the database away a subscriber gets the last counts that are known, or a NOTIFY without
 * any, and the true ones when the database is back.
 *
 * Phones of an extension that says mwi_unsolicited are told when they register and when the counts change (RFC 3842 §1).
 *
 * Owner:  its maker. mwi_stop() while events, directory and db live, mwi_free() after events_free().
 * Thread: loop thread.
 */
#pragma once

#include "presence/events.h"
#include "registrar/registrar.h"

struct mwi;
struct phones;

struct mwi_params {
	struct events *events;
	struct phones *phones;
	struct registrar *registrar;
	struct directory *directory;
	struct db *db;
	struct timers *timers;
	const struct log *log;
};

/* Adds its package. *p is copied; what it points to must outlive mwi_stop(). -ENOMEM. */
int mwi_new(struct mwi **out, const struct mwi_params *p);
/* Asks for no more counts. A second call does nothing. */
void mwi_stop(struct mwi *m);
void mwi_free(struct mwi *m); /* NULL allowed */

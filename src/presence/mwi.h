/* mwi.h - message waiting: the notifier of event package message-summary (RFC 3842, RFC 6665).
 *
 * Who subscribes proves who it is and may watch its own mailbox alone. The counts come from pbx.voicemail_count and are read
 * anew when the directory tells of a change in table "voicemail". With the database away a subscriber gets the last counts
 * that are known, or a NOTIFY without any, and the true ones when the database is back.
 *
 * Owner:  its maker. mwi_stop() while ua, directory and db live, mwi_free() after the ua and the directory are closed (both
 *         may call back until then).
 * Thread: loop thread.
 */
#pragma once

#include "registrar/auth.h"

struct mwi;

struct mwi_params {
	struct sip_ua *ua;
	struct directory *directory;
	struct db *db;
	struct auth *auth;
	struct timers *timers;
	const struct log *log;
	uint32_t min_expires_s, max_expires_s; /* 0: 60, 3600; the latter is also granted to who asks for nothing */
};

/* Takes over SUBSCRIBE. *p is copied; what it points to must outlive mwi_stop(). -ENOMEM. */
int mwi_new(struct mwi **out, const struct mwi_params *p);
/* Ends all subscriptions, each with a last NOTIFY that asks the subscriber to come again. A second call does nothing. */
void mwi_stop(struct mwi *m);
void mwi_free(struct mwi *m); /* NULL allowed */
unsigned mwi_subscriptions(const struct mwi *m);

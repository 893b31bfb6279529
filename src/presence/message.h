/* message.h - text messages between extensions and trunks (MESSAGE outside dialogs, RFC 3428).
 *
 * The sender is authenticated as a caller is and called by his account's number, never by his From; or by the one he shows outside, or not
 * at all, as his calls are. The number goes through his
 * context like a call's: the first dial step of the route says where. An extension gets it at all its phones, and the sender the
 * first 2xx; one that is away gets it later (202): it waits in pbx.message until a phone of it registers, in order, until it expires.
 * One that is registered and doesn't answer is tried again, after a minute at first. A trunk gets it by the way its registration stands on,
 * then by each of its proxies until one answers. The sender is told before he gives up (RFC 4321 §1.6).
 *
 * Bounds: RFC 3428 §8 lets a MESSAGE be 1300 bytes on the way to a UDP contact; those for connections, and those stored, may have
 * a body of MESSAGE_BODY_MAX. A sender is allowed a burst, then some a second; of one recipient MESSAGE_STORED_MAX wait.
 *
 * Owner:  its maker. messages_stop() while ua, directory, db and registrar live; messages_free() after ua and directory are closed.
 * Thread: loop thread.
 */
#pragma once

#include "plan/plan.h"
#include "registrar/auth.h"
#include "registrar/outgoing.h"
#include "registrar/registrar.h"

#define MESSAGE_BODY_MAX 8192
#define MESSAGE_STORED_MAX 100

struct commands;
struct messages;
struct phones;

struct messages_params {
	struct sip_ua *ua;
	struct directory *directory;
	struct plan *plan;
	struct registrar *registrar;
	struct phones *phones;
	struct outgoing *outgoing; /* NULL: trunks have no registered way */
	struct auth *auth;
	struct db *db;
	struct commands *commands; /* NULL: there are none */
	struct timers *timers;
	const struct log *log;
};

/* Takes over MESSAGE and watches registrations. *p is copied. -ENOMEM. */
int messages_new(struct messages **out, const struct messages_params *p);
void messages_stop(struct messages *ms);
void messages_free(struct messages *ms); /* NULL allowed */

/* presence.h - all that others are told of an extension: the parts of this folder, made and ended together.
 *
 * Owner:  main. presence_stop() while ua, directory, db, outbox, calls and registrar live; presence_free() after ua and directory are
 *         closed.
 * Thread: loop thread.
 */
#pragma once

#include "call/calls.h"

struct presence;

struct presence_params {
	struct sip_ua *ua;
	struct directory *directory;
	struct db *db;
	struct outbox *outbox;
	struct auth *auth;
	struct calls *calls;
	struct commands *commands; /* NULL: there are none */
	struct registrar *registrar;
	struct outgoing *outgoing;
	struct plan *plan;
	struct timers *timers;
	const struct clock *clock;
	struct rng *rng;
	const struct log *log;
	const char *node;         /* our name in pbx.node */
};

/* Takes over SUBSCRIBE, watches calls and the directory. *p is copied, node included. -ENOMEM. */
int presence_new(struct presence **out, const struct presence_params *p);
void presence_stop(struct presence *p);
void presence_free(struct presence *p); /* NULL allowed */

/* outgoing.h - the registrations that Cordboard keeps at its trunks (RFC 3261 §10.2, RFC 3608, RFC 5626 §4.5).
 *
 * Each trunk that says "register" has one, or with several proxies one through each (RFC 5626 §4.2): made when the row appears, renewed before it expires, tried again with growing
 * pauses when it fails, taken back when the row goes or the server stops. Changes of the row take effect at once. How they
 * stand is in pbx.trunk_state.
 *
 * The contact that is registered carries a parameter that only the peer can know (line=...); a call that comes in to it is that
 * trunk's, wherever it comes from.
 *
 * Thread: loop thread.
 */
#pragma once

#include "directory/directory.h"
#include "registrar/client.h"

struct outgoing;

struct outgoing_params {
	struct client_env env;
	struct directory *directory; /* loaded */
	struct db *db;               /* NULL: the state isn't written (tests) */
	const char *node;            /* our name in pbx.node */
	unsigned char key[32];       /* secret, the same after a restart: contacts keep their parameter */
};

/* Starts registering. *p is copied, node included; what it points to must outlive it. -ENOMEM. */
int outgoing_new(struct outgoing **out, const struct outgoing_params *p);
/* Takes all registrations back; done is called, once, when the peers have answered or a short time has passed, perhaps
 * before it returns. */
void outgoing_stop(struct outgoing *o, void (*done)(void *arg), void *arg);
void outgoing_free(struct outgoing *o); /* NULL allowed */

/* A connection has ended: who registered over it registers anew. */
void outgoing_flow_closed(struct outgoing *o, uint64_t flow);
/* The trunk to whose contact a request came; NULL: none. For struct auth. */
const struct dir_trunk *outgoing_trunk_of(const struct sip_msg *m, const struct sip_source *src, void *outgoing);
/* The way calls to a trunk go: a value of Route (Service-Route or its proxy), or NULL. Valid as a row is. */
const char *outgoing_route(struct outgoing *o, const char *domain, const char *trunk);

/* The ways to a trunk that its row names, as values of Route: through its proxy ("" without one) for i 0, through each further one. False:
 * there are no more, or it doesn't fit. */
bool trunk_way(const struct dir_trunk *t, unsigned i, char *route, size_t size);

/* RFC 5626 §4.5: how long to wait after so many failures in a row, in ms; half to all of it, at random. While another flow to the same
 * trunk stands (has_other), there is time. */
uint32_t outgoing_backoff_ms(struct rng *rng, unsigned failures, bool has_other);

/* resolve.h - from a URI to where it is sent (RFC 3263).
 *
 * Literal addresses are answered at once without DNS. Names are looked up on the libuv pool (A, AAAA).
 * Thread: loop thread.
 */
#pragma once

#include "sip/transport.h"

#define SIP_RESOLVE_MAX 8

/* The next hop of a request: the first Route if it is loose, else the Request-URI; ;transport= and
 * the port decide, ;maddr is not followed. Synchronous for literals: 0 and *out; -EAGAIN when DNS is
 * needed; -EINVAL not a SIP URI; -EPROTONOSUPPORT for a transport we don't speak. */
int sip_resolve_literal(struct sip_dest *out, const struct sip_uri *uri);

/* Asynchronous for names. Calls back exactly once, never before it returns, unless sip_resolve_cancel
 * was called. n 0: nothing found. id (never 0) is returned in *id. */
typedef void sip_resolve_fn(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg);
struct resolver;
int resolver_new(struct resolver **out, uv_loop_t *loop, const struct log *log);
/* Names of servers called over TLS are kept there; without one they have none, which suits unit tests alone. */
void resolver_set_transport(struct resolver *r, struct transport *t);
void resolver_close(struct resolver *r);
int sip_resolve(struct resolver *r, const struct sip_uri *uri, sip_resolve_fn *fn, void *arg, uint64_t *id);
void sip_resolve_cancel(struct resolver *r, uint64_t id);

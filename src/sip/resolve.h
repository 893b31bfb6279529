/* resolve.h - from a URI to where it is sent, and to where else (RFC 3263, RFC 7984).
 *
 * Literal addresses never ask DNS. A name that stands in /etc/hosts is that address. Any other goes the way of RFC 3263 §4: NAPTR,
 * SRV (chosen by weight, anew each time), A and AAAA; those of its transports and address families that we listen on. Answers are
 * kept as long as they say, see dns.h.
 *
 * Targets that have failed of late are remembered by whoever sends (resolver_failed) and come last for everybody.
 *
 * Thread: loop thread.
 */
#pragma once

#include "base/rng.h"
#include "sip/transport.h"

#define SIP_RESOLVE_MAX 16

/* The next hop of a request: the first Route if it is loose, else the Request-URI; ;transport= and
 * the port decide, ;maddr stands in place of the host (RFC 3263 §4), but who is called by TLS must be
 * the host. Synchronous for literals: 0 and *out; -EAGAIN when DNS is needed; -EINVAL not a SIP URI,
 * or a multicast address; -EPROTONOSUPPORT for a transport we don't speak. */
int sip_resolve_literal(struct sip_dest *out, const struct sip_uri *uri);

struct resolver_params {
	uv_loop_t *loop;
	const struct log *log;
	struct rng *rng;             /* NULL: of equal ones the first is always the first */
	const char *servers;         /* name servers, "127.0.0.1:5353,[::1]:53"; NULL or "": those of /etc/resolv.conf */
	uint32_t timeout_ms;         /* for one answer of one server; 0: 2000 */
	uint32_t avoid_s;            /* how long a target that failed comes last; 0: 30 */
	const char *hosts;           /* unit tests: instead of /etc/hosts */
};

struct resolver;
int resolver_new(struct resolver **out, const struct resolver_params *p); /* -EINVAL: servers can't be read */
/* Whose listeners say what can be reached, and who keeps the names of servers called over TLS. Without one, which suits unit tests
 * alone, UDP, TCP and TLS can, and they have no names. */
void resolver_set_transport(struct resolver *r, struct transport *t);
void resolver_close(struct resolver *r); /* asynchronous, frees itself. Nobody is called any more */

/* Where the URI leads, in the order to be tried: those of one target in the order of RFC 6724. Calls back exactly once, never before it
 * returns, unless sip_resolve_cancel was called. n 0: nothing found, or no name server answers. id (never 0) is returned in *id.
 * -EINVAL, -EPROTONOSUPPORT as above, -ENOMEM, -ENOBUFS: too many under way. */
typedef void sip_resolve_fn(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg);
int sip_resolve(struct resolver *r, const struct sip_uri *uri, sip_resolve_fn *fn, void *arg, uint64_t *id);
void sip_resolve_cancel(struct resolver *r, uint64_t id);
/* The same at once, where nothing has to be asked: 0, *n may be 0. -EAGAIN: sip_resolve() is needed. */
int sip_resolve_now(struct resolver *r, const struct sip_uri *uri, struct sip_dest dests[SIP_RESOLVE_MAX], unsigned *n);

/* It gave no answer, couldn't be reached, or said 503: comes last for the usual time, or for_s seconds (Retry-After) where that isn't 0.
 * r may be NULL in these three. */
void resolver_failed(struct resolver *r, const struct sip_dest *dest, uint32_t for_s);
void resolver_worked(struct resolver *r, const struct sip_dest *dest); /* it did: comes in its turn again */
bool resolver_is_failed(struct resolver *r, const struct sip_dest *dest);

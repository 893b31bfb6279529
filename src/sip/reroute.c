/* reroute.c - answers whose connection has gone (RFC 3261 §18.2.2, RFC 3263 §5).
 *
 * First a connection is opened to where the request came from, at the port that its Via names; where nobody takes it, to where the name in
 * that Via leads, one target after the other. An answer that has been on its way for as long as anybody waits for it is let go.
 * There are only so many at once, and of each source only so many a second: who asks and hangs up can have no more of them made.
 */
#define LOG_MODULE "sip"
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "sip/dns.h"
#include "sip/resolve.h"
#include "sip/stack_int.h"

#define REROUTES_MAX 256

struct reroute {
	struct reroute *prev, *next;
	struct sip_stack *stack;
	struct timer timer;
	uint64_t flow;       /* by which it goes now; 0: it waits for DNS */
	uint64_t lookup;     /* 0: not yet */
	struct sip_uri back; /* where its Via leads */
	char uri[DNS_NAME_MAX + 32];
	struct sip_dest dests[SIP_RESOLVE_MAX];
	unsigned n, at;
	size_t len;
	char bytes[];
};

static void reroute_free(struct reroute *r)
{
	struct sip_stack *s = r->stack;

	if (r->lookup)
		sip_resolve_cancel(s->p.resolver, r->lookup);
	timer_stop(s->p.timers, &r->timer);
	DL_DELETE(s->reroutes, r);
	s->nreroutes--;
	free(r);
}

static void on_overdue(void *arg)
{
	reroute_free(arg);
}

static void try_next(struct reroute *r)
{
	r->flow = 0;
	while (r->at < r->n)
		if (stack_send(r->stack, &r->dests[r->at++], (struct str){ r->bytes, r->len }, &r->flow) == 0)
			return;
	reroute_free(r);
}

static void on_found(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct reroute *r = arg;

	(void)id;
	r->lookup = 0;
	memcpy(r->dests, dests, n * sizeof(dests[0]));
	r->n = n;
	try_next(r);
}

/* RFC 3263 §5: as for a request to "sip:" and the sent-by, by the same transport. */
static void look_up(struct reroute *r)
{
	uint64_t id;

	r->flow = 0;
	if (sip_resolve(r->stack->p.resolver, &r->back, on_found, r, &id) == 0)
		r->lookup = id;
	else
		reroute_free(r);
}

static bool is_name(struct str host)
{
	union sockaddr_any a;

	return host.n && sockaddr_parse(&a, host, 0) != 0;
}

/* The topmost Via of our own answer: the request may be gone by now. */
static int via_of(struct str bytes, struct sip_via *via)
{
	struct str rest = bytes, line;

	str_cut(&rest, '\n');
	line = str_trim(str_cut(&rest, '\n'));
	return str_istarts(line, STR("Via:")) ? sip_via_parse(via, str_trim(str_from_at(line, 4))) : -EINVAL;
}

static int remember(struct sip_stack *s, const struct sip_via *via, enum sip_proto proto, struct str bytes, uint64_t flow)
{
	struct reroute *r;
	struct out o;

	if (s->nreroutes == REROUTES_MAX)
		return -ENOBUFS;
	r = calloc(1, sizeof(*r) + bytes.n);
	if (!r)
		return -ENOMEM;
	out_init(&o, r->uri, sizeof(r->uri));
	out_z(&o, "sip:");
	out_str(&o, via->host);
	if (via->port) {
		out_chr(&o, ':');
		out_u64(&o, via->port);
	}
	out_z(&o, proto == SIP_TLS ? ";transport=tls" : ";transport=tcp");
	if (!out_ok(&o) || sip_uri_parse(&r->back, out_view(&o)) != 0) {
		free(r);
		return -EINVAL;
	}
	memcpy(r->bytes, bytes.p, bytes.n);
	r->len = bytes.n;
	r->stack = s;
	r->flow = flow;
	timer_init(&r->timer, on_overdue, r);
	timer_start(s->p.timers, &r->timer, SIP_TIMER_B_MS);
	DL_APPEND(s->reroutes, r);
	s->nreroutes++;
	if (!flow)
		look_up(r);
	return 0;
}

int reroute_send(struct sip_stack *s, const struct sip_source *src, const struct sip_dest *gone, struct str bytes)
{
	struct sip_dest any = *gone;
	struct sip_via via;
	uint64_t flow = 0;
	int err = via_of(bytes, &via), kept;

	if (err)
		return err;
	any.flow = 0;
	sockaddr_set_port(&any.addr, via.port ? via.port : any.proto == SIP_TLS ? 5061 : 5060);
	err = stack_send(s, &any, bytes, &flow);
	if ((!err && !flow) || !s->p.resolver || !is_name(via.host) || (any.proto != SIP_TCP && any.proto != SIP_TLS))
		return err;
	/* A Via may name anybody: who asks and hangs up isn't to have us call on all the world. */
	if (!stack_is_worth_an_answer(s, src))
		return err;
	kept = remember(s, &via, any.proto, bytes, err ? 0 : flow);
	return err ? kept : 0;
}

void reroute_flow_closed(struct sip_stack *s, uint64_t flow)
{
	struct reroute *r, *next;

	DL_FOREACH_SAFE(s->reroutes, r, next) {
		if (r->flow != flow)
			continue;
		if (r->n)
			try_next(r);
		else
			look_up(r);
	}
}

void reroute_free_all(struct sip_stack *s)
{
	while (s->reroutes)
		reroute_free(s->reroutes);
}

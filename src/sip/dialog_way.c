/* dialog_way.c - the way a dialog's requests take (RFC 3261 §12.2.1.1, RFC 3263), when its peer is behind NAT, too.
 *
 * The rule is in dialog.h: to the first route, else to the target, unless that means nothing where we are; then back where
 * the peer's own requests come from.
 */
#include "sip/dialog_int.h"

#include "sip/request.h"

#include <errno.h>
#include <stdlib.h>

static bool in_net4(uint32_t addr, uint32_t net, int bits)
{
	return (addr ^ net) >> (32 - bits) == 0;
}

/* Addresses that mean something only where they are used, and those of documentation, which mean nothing. */
static bool is_unroutable(const union sockaddr_any *a)
{
	static const struct {
		uint32_t net;
		int bits;
	} nets[] = {
		{ 0x0a000000, 8 },  { 0xac100000, 12 }, { 0xc0a80000, 16 }, { 0x64400000, 10 }, { 0xa9fe0000, 16 },
		{ 0x7f000000, 8 },  { 0x00000000, 8 },  { 0xc0000200, 24 }, { 0xc6336400, 24 }, { 0xcb007100, 24 },
	};

	if (a->sa.sa_family == AF_INET) {
		uint32_t addr = ntohl(a->v4.sin_addr.s_addr);
		for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
			if (in_net4(addr, nets[i].net, nets[i].bits))
				return true;
		}
		return false;
	}
	const unsigned char *b = a->v6.sin6_addr.s6_addr;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) || IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr) ||
	       IN6_IS_ADDR_LINKLOCAL(&a->v6.sin6_addr) || (b[0] & 0xfe) == 0xfc ||
	       (b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8);
}

static struct sip_dest source_dest(const struct dialog *d)
{
	const struct sip_source *src = &d->source;

	return (struct sip_dest){ .proto = src->proto, .addr = src->peer, .flow = src->flow, .name = d->peer_name };
}

static bool is_reliable(enum sip_proto p)
{
	return p != SIP_UDP;
}

struct str dialog_first_route(const struct dialog *d)
{
	struct str rest = str_from(d->routes);

	return str_cut(&rest, '\n');
}

/* The URI the next request goes to. */
static int next_hop(const struct dialog *d, struct sip_uri *out)
{
	struct sip_addr a;

	if (!*d->routes)
		return sip_uri_parse(out, str_from(d->target));
	if (sip_addr_parse(&a, dialog_first_route(d)))
		return -EINVAL;
	*out = a.uri;
	return 0;
}

static void use_address(struct dialog *d, struct sip_dest dest, bool names_transport)
{
	const struct sip_source *src = &d->source;

	if (sockaddr_host_eq(&dest.addr, &src->peer)) {
		/* Many a phone on TCP writes a Contact without ;transport=tcp. */
		if (!names_transport && is_reliable(src->proto))
			dest.proto = src->proto;
		if (dest.proto == src->proto)
			dest.flow = src->flow;
		/* The Contact of a server that we called by name may be its address: it is the same server. */
		if (dest.proto == src->proto && !dest.name)
			dest.name = d->peer_name;
		/* A Contact can't name the link; a link-local address leads nowhere without it. */
		if (dest.addr.sa.sa_family == AF_INET6)
			dest.addr.v6.sin6_scope_id = src->peer.v6.sin6_scope_id;
	} else if (!*d->routes && is_unroutable(&dest.addr)) {
		dest = source_dest(d);
	}
	d->dest = dest;
}

void dialog_set_first_dest(struct dialog *d, const struct sip_dest *dest)
{
	d->source = (struct sip_source){ .proto = dest->proto, .peer = dest->addr, .flow = dest->flow };
	d->peer_name = dest->name;
	d->dest = *dest;
}

static bool is_same_target(const struct sip_dest *a, const struct sip_dest *b)
{
	return a->proto == b->proto && sockaddr_eq(&a->addr, &b->addr);
}

void dialog_drop_targets(struct dialog *d)
{
	free(d->targets);
	d->targets = NULL;
	d->ntargets = 0;
	d->at_target = 0;
}

void dialog_set_targets(struct dialog *d, const struct sip_dest *dests, unsigned n)
{
	dialog_drop_targets(d);
	dialog_set_first_dest(d, &dests[0]);
	d->targets = n > 1 ? malloc(n * sizeof(dests[0])) : NULL;
	if (!d->targets)
		return;
	memcpy(d->targets, dests, n * sizeof(dests[0]));
	d->ntargets = n;
}

/* Of several those are kept, too; without memory the first has to do. */
static void use_targets(struct dialog *d, const struct sip_dest *dests, unsigned n)
{
	const struct sip_dest old = d->dest;

	d->targets = n > 1 ? malloc(n * sizeof(dests[0])) : NULL;
	if (d->targets) {
		memcpy(d->targets, dests, n * sizeof(dests[0]));
		d->ntargets = n;
		/* Who is talking to us knows the dialog. */
		while (d->at_target < n && !is_same_target(&dests[d->at_target], &old))
			d->at_target++;
		if (d->at_target == n || resolver_is_failed(d->ua->resolver, &old))
			d->at_target = 0;
	}
	use_address(d, dests[d->at_target], true);
}

bool dialog_next_target(struct dialog *d)
{
	if (d->ntargets < 2)
		return false;
	d->at_target = (d->at_target + 1) % d->ntargets;
	if (d->is_established)
		use_address(d, d->targets[d->at_target], true);
	else
		dialog_set_first_dest(d, &d->targets[d->at_target]);
	return true;
}

static void on_resolved(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct dialog *d = arg;
	struct ack *a = d->ack;

	if (id != d->resolving)
		return;
	d->resolving = 0;
	if (n > 0)
		use_targets(d, dests, n);
	if (a)
		ack_send(a, d);
}

void dialog_choose_dest(struct dialog *d)
{
	struct sip_dest dest = { 0 }, dests[SIP_RESOLVE_MAX];
	struct sip_uri uri;
	unsigned n = 0;
	int err;

	if (d->resolving)
		sip_resolve_cancel(d->ua->resolver, d->resolving);
	d->resolving = 0;
	dialog_drop_targets(d);
	d->dest = source_dest(d);
	if (next_hop(d, &uri))
		return;
	switch (sip_resolve_literal(&dest, &uri)) {
	case 0:
		use_address(d, dest, sip_param_find(uri.params, "transport", NULL));
		break;
	case -EAGAIN:
		if (!d->ua->resolver)
			break;
		err = sip_resolve_now(d->ua->resolver, &uri, dests, &n);
		if (n)
			use_targets(d, dests, n);
		else if (err == -EAGAIN && sip_resolve(d->ua->resolver, &uri, on_resolved, d, &d->resolving))
			d->resolving = 0;
		break;
	default:
		break; /* a transport we don't speak: back where it came from is the best there is */
	}
}

void dialog_seen_from(struct dialog *d, const struct sip_source *src)
{
	if (d->source.proto == src->proto && d->source.flow == src->flow && sockaddr_eq(&d->source.peer, &src->peer))
		return;
	d->source = *src;
	dialog_choose_dest(d);
}

bool dialog_is_own_flow(const struct dialog *d, const struct sip_source *src)
{
	return sockaddr_host_eq(&d->source.peer, &src->peer);
}

bool dialog_flow_lost(struct dialog *d)
{
	if (!d->dest.flow)
		return false;
	if (d->source.flow == d->dest.flow)
		d->source.flow = 0;
	dialog_choose_dest(d);
	d->dest.flow = 0;
	return true;
}

int dialog_local_addr(const struct dialog *d, union sockaddr_any *out)
{
	return ua_local(d->ua, &d->dest, out);
}

void dialog_find_other_targets(struct dialog *d)
{
	struct sip_dest dests[SIP_RESOLVE_MAX], literal;
	struct sip_uri uri;
	unsigned n = 0, nkept = 1;

	if (!d->ua->resolver || d->dest.flow || next_hop(d, &uri) || sip_resolve_literal(&literal, &uri) != -EAGAIN ||
	    sip_resolve_now(d->ua->resolver, &uri, dests, &n) || n < 2)
		return;
	d->targets = malloc((n + 1) * sizeof(dests[0]));
	if (!d->targets)
		return;
	d->targets[0] = d->dest;
	for (unsigned i = 0; i < n; i++)
		if (!is_same_target(&dests[i], &d->dest) && dests[i].addr.sa.sa_family == d->dest.addr.sa.sa_family)
			d->targets[nkept++] = dests[i];
	d->ntargets = nkept;
}

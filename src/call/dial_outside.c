/* dial_outside.c - rings a number through a trunk, or a URI.
 *
 * A target may be reachable by both address families, and an offer is made for one: the second is tried when the first has failed.
 */
#define LOG_MODULE "dial"
#include "call/dial_int.h"
#include "call/hop.h"

#define ROUTE_MAX 2048

/* The same by the other address family, with an offer of that. */
struct again {
	char *target, *route;
	struct sip_dest dest;
};

/* The way its registrar gave us (RFC 3608), or through its proxy. */
static int trunk_route(struct dial *d, const struct dir_trunk *trunk, char route[ROUTE_MAX])
{
	const char *given = engine(d)->p.outgoing ? outgoing_route(engine(d)->p.outgoing, trunk->domain, trunk->name) : NULL;
	struct out o;

	out_init(&o, route, ROUTE_MAX - 1);
	if (given)
		out_z(&o, given);
	else
		return trunk_way(trunk, 0, route, ROUTE_MAX) ? 0 : -ENAMETOOLONG;
	route[o.len] = '\0';
	return out_ok(&o) ? 0 : -ENAMETOOLONG;
}

static bool ring_again(struct dial *d, struct branch *b);

/* The first way; the other is kept until this one has failed. */
static void ring_outside(struct dial *d, struct branch *b, const char *target, const char *route, const struct hop *hop)
{
	struct call *call = d->call;
	struct again *a = hop->has_other ? call_alloc(call, sizeof(*a)) : NULL;
	const struct dir_trunk *trunk = NULL;

	if (a) {
		a->dest = hop->other;
		a->target = call_strdup(call, target);
		a->route = route ? call_strdup(call, route) : NULL;
		b->again = a->target && (a->route || !route) ? a : NULL;
	}
	if (d->p->trunk && directory_trunk(engine(d)->p.directory, call->domain, str_from(d->p->trunk), &trunk) != DIR_FOUND)
		return;
	dial_ring(d, b, &(struct ring){ .target = target, .route = route, .dest = &hop->dest, .is_outside = true, .trunk = trunk,
				       .has_rivals = b->again });
	if (!b->nlegs)
		ring_again(d, b);
}

/* RFC 7984: a target that can't be reached by one address family may be by the other. */
static bool ring_again(struct dial *d, struct branch *b)
{
	struct again *a = b->again;
	unsigned n = b->nlegs;

	b->again = NULL;
	if (a)
		ring_outside(d, b, a->target, a->route, &(struct hop){ .dest = a->dest });
	return b->nlegs > n;
}

bool dial_other_family(struct dial *d, struct branch *b, const struct leg *failed)
{
	return b->again && (failed->has_failed || failed->status == 503) && ring_again(d, b);
}

void dial_trunk(struct dial *d, struct branch *b)
{
	struct call *call = d->call;
	const struct dir_trunk *trunk;
	struct hop hop;
	struct sip_uri uri;
	char target[320], base[160], route[ROUTE_MAX], key[80];
	struct out o;

	if (directory_trunk(engine(d)->p.directory, call->domain, str_from(d->p->trunk), &trunk) != DIR_FOUND || !trunk->uri ||
	    str_copy(str_from(trunk->uri), base, sizeof(base)) != 0) {
		branch_end(b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"No such trunk\"");
		return;
	}
	/* At once, so that the route's next step can try another. */
	if (engine(d)->p.qualify && qualify_is_trunk_down(engine(d)->p.qualify, call->domain, d->p->trunk)) {
		branch_end(b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"Trunk doesn't answer\"");
		return;
	}
	str_join(key, sizeof(key), "trunk", ':', str_from(d->p->trunk));
	if (!usage_take(engine(d), &b->usage, call->domain, key, trunk->call_limit)) {
		branch_end(b, APP_CONGESTION, 503, "Q.850;cause=34;text=\"Trunk is full\"");
		return;
	}
	/* Looking the name up may park the task: the row is looked up again behind it. */
	if (trunk_route(d, trunk, route) != 0 || hop_find(call, base, route, &hop) != 0 ||
	    directory_trunk(engine(d)->p.directory, call->domain, str_from(d->p->trunk), &trunk) != DIR_FOUND ||
	    sip_uri_parse(&uri, str_from(base)) != 0) {
		branch_end(b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"Trunk unreachable\"");
		return;
	}
	out_init(&o, target, sizeof(target) - 1);
	out_z(&o, uri.scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
	sip_escape_user(&o, str_from(b->number));
	out_chr(&o, '@');
	out_str(&o, uri.host);
	if (uri.port) {
		out_chr(&o, ':');
		out_u64(&o, uri.port);
	}
	if (uri.params.n) {
		out_chr(&o, ';');
		out_str(&o, uri.params);
	}
	if (!out_ok(&o)) {
		branch_end(b, APP_INVALID, 484, "");
		return;
	}
	target[o.len] = '\0';
	ring_outside(d, b, target, route[0] ? route : NULL, &hop);
}

void dial_uri(struct dial *d, struct branch *b)
{
	struct hop hop;

	if (hop_find(d->call, b->number, NULL, &hop) == 0)
		ring_outside(d, b, b->number, NULL, &hop);
	else
		branch_end(b, APP_UNAVAILABLE, 480, "Q.850;cause=20;text=\"Unreachable\"");
}

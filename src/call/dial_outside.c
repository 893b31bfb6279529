/* dial_outside.c - rings a number through a trunk, or a URI.
 *
 * A trunk may have several proxies: the first is that by which its registration stands, and when it doesn't answer or can't serve a
 * call, the call goes by the next. A target may be reachable by both address families, and an offer is made for one: the second is tried when the first has failed.
 */
#define LOG_MODULE "dial"
#include <errno.h>

#include "call/dial_int.h"
#include "call/hop.h"
#include "call/rewrite.h"
#include "call/usage.h"

#define ROUTE_MAX 2048

/* The same by the other address family, with an offer of that. */
struct again {
	char *target, *route;
	struct sip_dest dest;
};

/* Proxies of a trunk, by the order of its row. */
struct ways {
	unsigned next;       /* the next one */
	char *tried;         /* the way that was taken first, which may be one of them: a value of Route, "" for none */
	char *base, *target; /* the trunk's URI, and that of the number there */
	bool is_found;       /* the name of one, at least */
};

static bool find_trunk(const struct dial *d, const struct dir_trunk **out)
{
	return directory_trunk(engine(d)->p.directory, d->call->domain, str_from(d->p->trunk), out) == DIR_FOUND;
}

/* The way its registrar gave us (RFC 3608), or through its proxy. */
static int trunk_route(struct dial *d, const struct dir_trunk *trunk, char route[ROUTE_MAX])
{
	const char *given = engine(d)->p.outgoing ? outgoing_route(engine(d)->p.outgoing, trunk->domain, trunk->name) : NULL;

	if (given)
		return str_copy(str_from(given), route, ROUTE_MAX) ? -ENAMETOOLONG : 0;
	return trunk_way(trunk, 0, route, ROUTE_MAX) ? 0 : -ENAMETOOLONG;
}

int dial_trunk_route(struct dial *d, char *route, size_t size)
{
	const struct dir_trunk *trunk;

	return !find_trunk(d, &trunk) ? -ENOENT : size < ROUTE_MAX ? -ENAMETOOLONG : trunk_route(d, trunk, route);
}

/* The next one that hasn't been tried. */
static bool next_way(const struct dial *d, const struct ways *w, unsigned *at, char route[ROUTE_MAX])
{
	const struct dir_trunk *trunk;

	while (find_trunk(d, &trunk) && trunk_way(trunk, (*at)++, route, ROUTE_MAX))
		if (strcmp(route, w->tried) != 0)
			return true;
	return false;
}

static bool has_other_way(const struct dial *d, const struct branch *b)
{
	unsigned at = b->ways ? b->ways->next : 0;
	char route[ROUTE_MAX];

	return b->ways && next_way(d, b->ways, &at, route);
}

static bool ring_again(struct dial *d, struct branch *b);

/* The first way; the other is kept until this one has failed. */
static void ring_outside(struct dial *d, struct branch *b, const char *target, const char *route, const struct hop *hop)
{
	struct call *call = d->call;
	struct again *a = hop->has_other ? call_alloc(call, sizeof(*a)) : NULL;
	const struct dir_trunk *trunk = NULL;
	unsigned nlegs = b->nlegs;

	if (a) {
		a->dest = hop->other;
		a->target = call_strdup(call, target);
		a->route = route ? call_strdup(call, route) : NULL;
		b->again = a->target && (a->route || !route) ? a : NULL;
	}
	if (d->p->trunk && !find_trunk(d, &trunk))
		return;
	if (!b->first_uri)
		b->first_uri = call_strdup(call, target);
	dial_ring(d, b, &(struct ring){ .target = target, .route = route, .dest = &hop->dest, .is_outside = true, .trunk = trunk,
				       .has_rivals = b->again || has_other_way(d, b) });
	if (b->nlegs == nlegs)
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

/* Looking the name up may park the task. */
static bool ring_way(struct dial *d, struct branch *b, const char *route)
{
	unsigned n = b->nlegs;
	struct hop hop;

	if (hop_find(d->call, b->ways->base, route, &hop) != 0)
		return false;
	b->ways->is_found = true;
	ring_outside(d, b, b->ways->target, route[0] ? route : NULL, &hop);
	return b->nlegs > n;
}

static bool ring_next_way(struct dial *d, struct branch *b)
{
	char route[ROUTE_MAX];

	while (next_way(d, b->ways, &b->ways->next, route))
		if (ring_way(d, b, route))
			return true;
	b->ways = NULL;
	return false;
}

/* Of what a proxy says this is about itself, or the way behind it; all else is the number's, which is the same by any way. One by which it has
 * rung may ring yet. */
static bool is_way_failure(const struct leg *leg)
{
	static const int statuses[] = { 408, 430, 500, 502, 503, 504 };

	if (leg->ringing_ms)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (leg->status == statuses[i])
			return true;
	return leg->has_failed;
}

/* One way at a time: those before the last have been followed by the next. */
bool dial_other_way(struct dial *d, struct branch *b, const struct leg *failed)
{
	return b->ways && failed == b->legs[b->nlegs - 1] && is_way_failure(failed) && ring_next_way(d, b);
}

/* The number at the trunk's URI. */
static int write_target(char *target, size_t size, const char *base, const char *number)
{
	struct sip_uri uri;
	struct out o;
	int err = sip_uri_parse(&uri, str_from(base));

	if (err)
		return err;
	out_init(&o, target, size - 1);
	out_z(&o, uri.scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
	sip_escape_user(&o, str_from(number));
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
	if (!out_ok(&o))
		return -ENAMETOOLONG;
	target[o.len] = '\0';
	return 0;
}

static int make_ways(struct dial *d, struct branch *b, const char *route, const char *base)
{
	struct ways *w = call_alloc(d->call, sizeof(*w));
	char target[320];
	char number[sizeof(b->number)];
	int err;

	str_put(number, sizeof(number), b->number);
	rewrite_trunk_number(d->call, d->p->trunk, REWRITE_OUT, REWRITE_CALLED, number, sizeof(number));
	b->sent = strcmp(number, b->number) != 0 ? call_strdup(d->call, number) : NULL;
	err = w ? write_target(target, sizeof(target), base, number) : -ENOMEM;
	if (err)
		return err;
	w->tried = call_strdup(d->call, route);
	w->base = call_strdup(d->call, base);
	w->target = call_strdup(d->call, target);
	b->ways = w;
	return w->tried && w->base && w->target ? 0 : -ENOMEM;
}

const char *dial_payer(const struct dial *d, const struct branch *b)
{
	const struct diversion *v = b->diverted;

	return v && v->is_extension ? v->number : d->call->caller.trunk[0] ? "" : d->call->caller.number;
}

void dial_trunk(struct dial *d, struct branch *b)
{
	struct call *call = d->call;
	const struct dir_trunk *trunk;
	char route[ROUTE_MAX], key[80];
	const struct ways *ways;
	int err, status;

	if (!find_trunk(d, &trunk) || !trunk->uri) {
		branch_refuse(d, b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"No such trunk\"", "there is no such trunk, or it has no URI");
		return;
	}
	/* At once, so that the route's next step can try another. */
	if (engine(d)->p.qualify && qualify_is_trunk_down(engine(d)->p.qualify, call->domain, d->p->trunk)) {
		branch_refuse(d, b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"Trunk doesn't answer\"", "the trunk doesn't answer our questions whether it is there");
		return;
	}
	status = budget_refusal(call, &(struct budget_call){ .way = BUDGET_OUT, .trunk = d->p->trunk, .extension = dial_payer(d, b) });
	if (status) {
		branch_refuse(d, b, result_of_status(status), status, "Q.850;cause=31;text=\"Budget used up\"", "a budget is used up");
		return;
	}
	str_join(key, sizeof(key), "trunk", ':', str_from(d->p->trunk));
	if (!usage_take(engine(d), &b->usage, call->domain, key, call->is_emergency ? UINT32_MAX : trunk->call_limit)) {
		branch_refuse(d, b, APP_CONGESTION, 503, "Q.850;cause=34;text=\"Trunk is full\"", "the trunk has as many calls as it may");
		return;
	}
	err = trunk_route(d, trunk, route);
	if (!err)
		err = make_ways(d, b, route, trunk->uri);
	ways = b->ways;
	if (err == -ENAMETOOLONG)
		branch_refuse(d, b, APP_INVALID, 484, "", "the number is too long");
	else if (err || (!ring_way(d, b, route) && !ring_next_way(d, b) && !ways->is_found))
		branch_refuse(d, b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"Trunk unreachable\"", "the name of the trunk leads to no address");
}

void dial_uri(struct dial *d, struct branch *b)
{
	struct hop hop;

	if (hop_find(d->call, b->number, NULL, &hop) == 0)
		ring_outside(d, b, b->number, NULL, &hop);
	else
		branch_refuse(d, b, APP_UNAVAILABLE, 480, "Q.850;cause=20;text=\"Unreachable\"", "its name leads to no address");
}

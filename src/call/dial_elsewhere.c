/* dial_elsewhere.c - follows a 3xx of a trunk or a URI: to where its Contacts say, one after the other (RFC 3261 §8.1.3.4).
 *
 * A network that answers like this says by which way a number is reached, or by which number. The way is its choice; a number that wasn't
 * dialled must be one that the caller could have dialled himself. What stays at the trunk's host goes as the trunk's calls do; to all other
 * hosts it is a call like that of a URI: without the trunk's password, and without the names that only it is trusted with.
 *
 * Whatever comes of it, the route goes on with its next step: nobody but the trunk is known by it.
 */
#define LOG_MODULE "dial"
#include <errno.h>

#include "call/dial_int.h"
#include "call/hop.h"

#define ELSEWHERE_MAX 5        /* targets that are tried for one number, however many name each other */
#define ROUTE_MAX 2048

/* Contacts of a leg's 3xx that have yet to be tried. */
struct elsewhere {
	struct elsewhere *outer;   /* of the 3xx by which it came to this one; NULL: it was the first */
	const struct redirects *list;
	unsigned at;
	char number[128];          /* the branch's, and by whom it was sent there, when the 3xx came */
	const struct diversion *diverted;
};

static bool is_same(const struct sip_uri *a, const char *text)
{
	struct sip_uri b;

	return sip_uri_parse(&b, str_from(text)) == 0 && sip_uri_eq(a, &b);
}

/* Nobody is asked twice: by the trunk's URI, by what has been tried, by what will be before it. */
static bool was_tried(const struct branch *b, const struct sip_uri *uri)
{
	if (b->first_uri && is_same(uri, b->first_uri))
		return true;
	for (const struct elsewhere *e = b->elsewhere; e; e = e->outer)
		for (unsigned i = 0; i + (e == b->elsewhere) < e->at; i++)
			if (is_same(uri, e->list->to[i].uri))
				return true;
	return false;
}

/* One of our domains: what should be called there is the plan's affair. By our address it would come back, and get 482. */
static bool is_ours(const struct dial *d, const struct sip_uri *uri)
{
	const struct dir_domain *domain;
	char name[256];

	if (str_copy(uri->host, name, sizeof(name)) != 0)
		return true;
	for (char *p = name; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p |= 0x20;
	return directory_domain(engine(d)->p.directory, name, &domain) == DIR_FOUND;
}

/* The trunk's own, which has its password and its trust; false: no trunk, or another's. */
static bool is_of_trunk(const struct dial *d, const struct sip_uri *uri)
{
	const struct dir_trunk *trunk;
	struct sip_uri own;

	return d->p->trunk && directory_trunk(engine(d)->p.directory, d->call->domain, str_from(d->p->trunk), &trunk) == DIR_FOUND &&
	       trunk->uri && sip_uri_parse(&own, str_from(trunk->uri)) == 0 && str_ieq(own.host, uri->host);
}

/* Rings it; false: it can't be, or may not be. */
static bool ring_contact(struct dial *d, struct branch *b, const struct redirect *to)
{
	unsigned n = b->nlegs;
	char route[ROUTE_MAX] = "";
	struct sip_uri uri;
	struct hop hop;
	bool is_trunks;

	if (sip_uri_parse(&uri, str_from(to->uri)) != 0 || (uri.scheme != SIP_SCHEME_SIP && uri.scheme != SIP_SCHEME_SIPS) ||
	    is_ours(d, &uri) || was_tried(b, &uri))
		return false;
	str_put(b->number, sizeof(b->number), b->elsewhere->number);
	b->diverted = b->elsewhere->diverted;
	if (strcmp(to->number, b->number) != 0 && (!dial_may_divert(d, b, to->number) || !dial_divert(d, b, to->reason, to->number)))
		return false;
	is_trunks = is_of_trunk(d, &uri);
	if ((is_trunks && dial_trunk_route(d, route, sizeof(route)) != 0) || hop_find(d->call, to->uri, route[0] ? route : NULL, &hop) != 0)
		return false;
	decided(d->call, DECISION_FORWARD, b->number, "redirected", to->uri, NULL);
	log_info(engine(d)->p.log, "call=%s number=%s sent elsewhere to=%s", d->call->id, b->number, to->uri);
	dial_ring_outside(d, b, &(struct ring){ .target = to->uri, .route = route[0] ? route : NULL, .dest = &hop.dest, .is_outside = true },
			  is_trunks);
	return b->nlegs > n;
}

/* One that was refused for all is over; what else ended it is the way's fault, and another may be better. */
bool dial_elsewhere(struct dial *d, struct branch *b, const struct leg *failed)
{
	if (!failed->is_outside || failed != b->legs[b->nlegs - 1] || failed->status >= 600 || (!failed->redirects && !b->elsewhere))
		return false;
	if (failed->redirects) {
		struct elsewhere *e = call_alloc(d->call, sizeof(*e));

		if (!e)
			return false;
		*e = (struct elsewhere){ .outer = b->elsewhere, .list = failed->redirects, .diverted = b->diverted };
		str_put(e->number, sizeof(e->number), b->number);
		b->elsewhere = e;
		b->ways = NULL; /* the network has spoken: its other proxies would say the same */
		b->again = NULL;
	}
	for (; b->elsewhere; b->elsewhere = b->elsewhere->outer)
		while (b->elsewhere->at < b->elsewhere->list->n && b->nelsewhere < ELSEWHERE_MAX)
			if (ring_contact(d, b, &b->elsewhere->list->to[b->elsewhere->at++])) {
				b->nelsewhere++;
				return true;
			}
	return false;
}

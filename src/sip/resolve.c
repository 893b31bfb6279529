/* resolve.c - RFC 3263 §4 as a walk over what DNS is known to say.
 *
 * The walk has no states: it begins at the URI and goes as far as the answers reach. What is missing is asked for, all of it at once
 * as far as it can be known, and when an answer has come the walk begins anew. So one that finds everything known is done at
 * once, and what a step may do is written once.
 */
#define LOG_MODULE "sip"

#include "sip/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "sip/avoid.h"
#include "sip/srv.h"
#include "sip/transport_int.h"

#define LOOKUPS_MAX 4096
#define WALKS_MAX 64     /* of one look-up: more than any chain of records that means something */
#define AVOID_S 30

struct lookup {
	struct lookup *prev, *next;
	struct resolver *resolver;
	struct dns_waiter waiter;
	uint64_t id, since_ms;
	unsigned nwalks;
	bool is_ready;           /* its walk begins when the loop turns; else it waits for DNS */
	sip_resolve_fn *fn;
	void *arg;
	struct sip_uri uri;
	char text[];
};

struct resolver {
	uv_loop_t *loop;
	const struct log *log;
	struct rng *rng;
	struct transport *transport;
	struct dns *dns;
	struct avoid *avoid;
	struct lookup *ready, *waiting;
	unsigned nlookups;
	uint64_t last_id, avoid_ms;
	uv_timer_t soon;         /* for those that are ready */
	bool is_closing;
};

/* What a URI says by itself. */
struct choice {
	struct str host;         /* what RFC 3263 §4 calls TARGET: maddr, else the host */
	enum sip_proto proto;    /* with has_transport or is_secure; else what is taken when nothing else says */
	bool has_transport, is_secure;
	uint16_t port;           /* 0: not said */
};

struct walk {
	struct resolver *r;
	struct lookup *lookup;   /* NULL: only what is known */
	const struct sip_uri *uri;
	struct str host;         /* of the choice */
	bool is_waiting;         /* something isn't known yet */
	unsigned n;
	struct sip_dest dests[SIP_RESOLVE_MAX];
};

static uint16_t default_port(enum sip_proto proto)
{
	return proto == SIP_TLS ? 5061 : 5060;
}

/* We send nothing to groups, whatever a URI or DNS says. */
static bool is_multicast(const union sockaddr_any *a)
{
	return a->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr) : IN_MULTICAST(ntohl(a->v4.sin_addr.s_addr));
}

/* Whom it is to be sent to, and the transport and port to use. */
static int choose(const struct sip_uri *uri, struct choice *c)
{
	struct str transport = STR_NULL, maddr = STR_NULL;
	union sockaddr_any literal;

	if ((uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS) || str_empty(uri->host))
		return -EINVAL;
	*c = (struct choice){ .host = uri->host, .proto = SIP_UDP, .port = uri->port, .is_secure = uri->scheme == SIP_SCHEME_SIPS };
	if (sip_param_find(uri->params, "maddr", &maddr) && !str_empty(maddr))
		c->host = maddr;
	if (sockaddr_parse(&literal, c->host, 0) == 0 && is_multicast(&literal))
		return -EINVAL;
	c->has_transport = sip_param_find(uri->params, "transport", &transport);
	if (c->has_transport) {
		if (str_ieqz(transport, "tcp"))
			c->proto = SIP_TCP;
		else if (str_ieqz(transport, "tls")) /* deprecated by RFC 3261 §26.2.2, and what phones write */
			c->proto = SIP_TLS;
		else if (!str_ieqz(transport, "udp"))
			return -EPROTONOSUPPORT;
	}
	/* RFC 3261 §19.1.2, RFC 5630 §3.1: sips is TLS, whatever carries it; over UDP there is none. */
	if (c->is_secure) {
		if (c->proto == SIP_UDP && !str_empty(transport))
			return -EPROTONOSUPPORT;
		c->proto = SIP_TLS;
	}
	return 0;
}

int sip_resolve_literal(struct sip_dest *out, const struct sip_uri *uri)
{
	struct sip_dest dest = { 0 };
	struct choice c;
	int err = choose(uri, &c);

	if (err)
		return err;
	dest.proto = c.proto;
	dest.has_tcp = c.proto == SIP_UDP;
	/* Who is called over TLS must be the host, a name that the transport keeps. */
	if (c.proto == SIP_TLS && c.host.p != uri->host.p && sockaddr_parse(&dest.addr, uri->host, 0))
		return -EAGAIN;
	if (sockaddr_parse(&dest.addr, c.host, c.port ? c.port : default_port(c.proto)))
		return -EAGAIN;
	*out = dest;
	return 0;
}

/* ---- the walk ---- */

static const struct dns_answer *ask(struct walk *k, enum dns_type type, struct str name)
{
	struct lookup *l = k->lookup;
	const struct dns_answer *a;

	if (!l)
		a = dns_peek(k->r->dns, type, name);
	else /* one missing answer is waited for; when it comes the next one is */
		a = dns_find(k->r->dns, type, name, l->since_ms, l->waiter.entry ? NULL : &l->waiter);
	k->is_waiting = k->is_waiting || !a;
	return a;
}

static bool can_reach(const struct resolver *r, enum sip_proto proto, int family)
{
	return !r->transport || transport_listener(r->transport, family, proto);
}

static bool speaks(const struct resolver *r, enum sip_proto proto)
{
	return can_reach(r, proto, AF_INET) || can_reach(r, proto, AF_INET6);
}

/* RFC 5922 §4: the domain asked for, whatever its servers are called. */
static bool name_peer(const struct walk *k, struct sip_dest *dest)
{
	return dest->proto != SIP_TLS || !k->r->transport || transport_name(k->r->transport, k->uri->host, &dest->name) == 0;
}

/* An address in maddr, in place of a name. */
static bool by_literal(struct walk *k, const struct choice *c)
{
	struct sip_dest *dest = &k->dests[0];

	*dest = (struct sip_dest){ .proto = c->proto, .has_tcp = c->proto == SIP_UDP };
	if (sockaddr_parse(&dest->addr, c->host, c->port ? c->port : default_port(c->proto)) != 0)
		return false;
	k->n = name_peer(k, dest) ? 1 : 0;
	return true;
}

static void take_addresses(struct walk *k, const struct dns_answer *a, enum sip_proto proto, uint16_t port)
{
	for (unsigned i = 0; i < a->n && k->n < SIP_RESOLVE_MAX; i++) {
		struct sip_dest *dest = &k->dests[k->n];

		if (!can_reach(k->r, proto, a->records[i].addr.sa.sa_family) || is_multicast(&a->records[i].addr))
			continue;
		*dest = (struct sip_dest){ .proto = proto, .addr = a->records[i].addr, .has_tcp = proto == SIP_UDP };
		sockaddr_set_port(&dest->addr, port);
		if (name_peer(k, dest))
			k->n++;
	}
}

/* Those of /etc/hosts before those of DNS. */
static void by_address(struct walk *k, enum sip_proto proto, struct str host, uint16_t port)
{
	const struct dns_answer *a = ask(k, DNS_HOSTS, host);

	if (a && !a->n)
		a = ask(k, DNS_ADDR, host);
	if (a)
		take_addresses(k, a, proto, port);
}

/* True: the domain has such records, even if they say that it has no such service (RFC 2782: a target "."); or nobody answers, and then
 * nobody will say more. */
static bool by_srv(struct walk *k, enum sip_proto proto, struct str name)
{
	const struct dns_answer *a = speaks(k->r, proto) ? ask(k, DNS_SRV, name) : NULL;
	uint8_t order[DNS_RECORDS_MAX];

	if (!a || (!a->n && a->status != -ETIMEDOUT))
		return false;
	srv_order(a, k->r->rng, order);
	for (unsigned i = 0; i < a->n; i++) {
		const struct dns_record *s = &a->records[order[i]];

		if (s->name[0] && s->srv.port)
			by_address(k, proto, str_from(s->name), s->srv.port);
	}
	return true;
}

static bool by_service(struct walk *k, enum sip_proto proto)
{
	static const char *const prefixes[] = { [SIP_UDP] = "_sip._udp.", [SIP_TCP] = "_sip._tcp.", [SIP_TLS] = "_sips._tcp." };
	char name[DNS_NAME_MAX];
	size_t n = strlen(prefixes[proto]);

	if (k->host.n >= sizeof(name) - n)
		return false;
	memcpy(name, prefixes[proto], n);
	memcpy(name + n, k->host.p, k->host.n);
	return by_srv(k, proto, (struct str){ name, n + k->host.n });
}

/* True: the domain says how it wants to be reached. */
static bool by_naptr(struct walk *k, const struct choice *c, const struct dns_answer *a)
{
	uint8_t order[DNS_RECORDS_MAX];
	bool any = false;

	naptr_order(a, order);
	for (unsigned i = 0; i < a->n; i++) {
		const struct dns_record *r = &a->records[order[i]];

		if ((c->is_secure && r->naptr.proto != SIP_TLS) || !speaks(k->r, r->naptr.proto) || !r->name[0])
			continue;
		if (r->naptr.flag == 's')
			any = by_srv(k, r->naptr.proto, str_from(r->name)) || any;
		else
			by_address(k, r->naptr.proto, str_from(r->name), default_port(r->naptr.proto));
		any = any || k->n || k->is_waiting;
	}
	return any;
}

/* RFC 3263 §4.1 without a transport in the URI, §4.2 with one. */
static void by_domain(struct walk *k, const struct choice *c)
{
	const struct dns_answer *a;
	bool any = false;

	if (c->has_transport || c->is_secure) {
		a = c->has_transport ? NULL : ask(k, DNS_NAPTR, k->host);
		if (k->is_waiting || (a && a->status == -ETIMEDOUT) || (a && by_naptr(k, c, a)))
			return;
		any = by_service(k, c->proto);
	} else {
		a = ask(k, DNS_NAPTR, k->host);
		if (!a || a->status == -ETIMEDOUT || by_naptr(k, c, a))
			return;
		any = by_service(k, SIP_UDP);
		any = by_service(k, SIP_TCP) || any;
		/* Beyond §4.1, which asks for "_sip" alone: a domain that offers TLS and nothing else says so by this. */
		if (!any && !k->is_waiting)
			any = by_service(k, SIP_TLS);
	}
	if (!any && !k->is_waiting)
		by_address(k, c->proto, k->host, default_port(c->proto));
}

static int walk(struct walk *k)
{
	const struct dns_answer *hosts;
	struct choice c;
	int err = choose(k->uri, &c);

	if (err)
		return err;
	k->host = c.host;
	if (sip_resolve_literal(&k->dests[0], k->uri) == 0) {
		k->n = 1;
		return 0;
	}
	if (by_literal(k, &c))
		return 0;
	if (c.port) {
		by_address(k, c.proto, k->host, c.port);
	} else {
		hosts = ask(k, DNS_HOSTS, k->host);
		if (hosts && hosts->n)
			take_addresses(k, hosts, c.proto, default_port(c.proto));
		else if (hosts)
			by_domain(k, &c);
	}
	if (k->is_waiting)
		return -EAGAIN;
	avoid_sort(k->r->avoid, k->dests, k->n, uv_now(k->r->loop));
	return 0;
}

int sip_resolve_now(struct resolver *r, const struct sip_uri *uri, struct sip_dest dests[SIP_RESOLVE_MAX], unsigned *n)
{
	struct walk k = { .r = r, .uri = uri };
	int err = walk(&k);

	if (err)
		return err;
	memcpy(dests, k.dests, k.n * sizeof(dests[0]));
	*n = k.n;
	return 0;
}

/* ---- look-ups ---- */

static void lookup_free(struct lookup *l)
{
	struct resolver *r = l->resolver;

	dns_stop_waiting(&l->waiter);
	if (l->is_ready)
		DL_DELETE(r->ready, l);
	else
		DL_DELETE(r->waiting, l);
	r->nlookups--;
	free(l);
}

static void set_waiting(struct lookup *l)
{
	if (!l->is_ready)
		return;
	DL_DELETE(l->resolver->ready, l);
	DL_APPEND(l->resolver->waiting, l);
	l->is_ready = false;
}

static void lookup_walk(struct lookup *l)
{
	struct walk k = { .r = l->resolver, .lookup = l, .uri = &l->uri };
	sip_resolve_fn *fn = l->fn;
	void *arg = l->arg;
	uint64_t id = l->id;

	if (walk(&k) == -EAGAIN && ++l->nwalks < WALKS_MAX) {
		set_waiting(l);
		return;
	}
	if (!k.n)
		log_debug(l->resolver->log, "lookup=%llu host=%.*s: nothing found", (unsigned long long)id, STR_ARG(l->uri.host));
	lookup_free(l);
	fn(id, k.dests, k.n, arg);
}

static void on_answer(struct dns_waiter *w)
{
	lookup_walk(container_of(w, struct lookup, waiter));
}

/* Those begun before: who calls back may begin others, and they wait for the next turn. */
static void on_soon(uv_timer_t *timer)
{
	struct resolver *r = timer->data;
	uint64_t last = r->last_id;

	while (r->ready && r->ready->id <= last)
		lookup_walk(r->ready);
	if (r->ready)
		uv_timer_start(&r->soon, on_soon, 0, 0);
}

int sip_resolve(struct resolver *r, const struct sip_uri *uri, sip_resolve_fn *fn, void *arg, uint64_t *id)
{
	struct lookup *l;
	struct choice c;
	int err = choose(uri, &c);

	if (err)
		return err;
	if (r->nlookups >= LOOKUPS_MAX)
		return -ENOBUFS;
	l = calloc(1, sizeof(*l) + uri->text.n);
	if (!l)
		return -ENOMEM;
	memcpy(l->text, uri->text.p, uri->text.n);
	err = sip_uri_parse(&l->uri, (struct str){ l->text, uri->text.n });
	if (err) {
		free(l);
		return err;
	}
	l->resolver = r;
	l->waiter.fn = on_answer;
	l->since_ms = uv_now(r->loop);
	l->is_ready = true;
	l->fn = fn;
	l->arg = arg;
	l->id = ++r->last_id;
	DL_APPEND(r->ready, l);
	r->nlookups++;
	uv_timer_start(&r->soon, on_soon, 0, 0);
	*id = l->id;
	return 0;
}

void sip_resolve_cancel(struct resolver *r, uint64_t id)
{
	struct lookup *l = NULL;

	if (r)
		DL_SEARCH_SCALAR(r->ready, l, id, id);
	if (r && !l)
		DL_SEARCH_SCALAR(r->waiting, l, id, id);
	if (l)
		lookup_free(l);
}

/* ---- those that failed ---- */

void resolver_failed(struct resolver *r, const struct sip_dest *dest, uint32_t for_s)
{
	char text[SOCKADDR_TEXT_MAX];
	uint64_t ms = for_s ? (for_s < AVOID_LONGEST_S ? for_s : AVOID_LONGEST_S) * 1000ull : 0;

	if (!r)
		return;
	ms = ms ? ms : r->avoid_ms;
	if (!resolver_is_failed(r, dest))
		log_info(r->log, "target=%s transport=%s failed, comes last for %llu s", sockaddr_print(&dest->addr, text),
			 sip_proto_name(dest->proto), (unsigned long long)ms / 1000);
	avoid_add(r->avoid, dest, uv_now(r->loop) + ms);
}

void resolver_worked(struct resolver *r, const struct sip_dest *dest)
{
	if (r)
		avoid_remove(r->avoid, dest);
}

bool resolver_is_failed(struct resolver *r, const struct sip_dest *dest)
{
	return r && avoid_has(r->avoid, dest, uv_now(r->loop));
}

/* ---- life ---- */

int resolver_new(struct resolver **out, const struct resolver_params *p)
{
	struct resolver *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->loop = p->loop;
	r->log = p->log;
	r->rng = p->rng;
	r->avoid_ms = (p->avoid_s ? p->avoid_s : AVOID_S) * 1000ull;
	err = avoid_new(&r->avoid);
	if (!err)
		err = dns_new(&r->dns, &(struct dns_params){ .loop = p->loop, .log = p->log, .servers = p->servers,
							      .timeout_ms = p->timeout_ms, .hosts = p->hosts });
	if (err) {
		avoid_free(r->avoid);
		free(r);
		return err;
	}
	uv_timer_init(r->loop, &r->soon);
	r->soon.data = r;
	*out = r;
	return 0;
}

void resolver_set_transport(struct resolver *r, struct transport *t)
{
	r->transport = t;
}

static void on_soon_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void resolver_close(struct resolver *r)
{
	if (!r || r->is_closing)
		return;
	r->is_closing = true;
	while (r->ready)
		lookup_free(r->ready);
	while (r->waiting)
		lookup_free(r->waiting);
	dns_close(r->dns);
	avoid_free(r->avoid);
	uv_close((uv_handle_t *)&r->soon, on_soon_closed);
}

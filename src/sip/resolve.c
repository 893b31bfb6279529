/* resolve.c - where a URI is sent: literals at once, names by getaddrinfo on the libuv pool.
 *
 * NAPTR and SRV (RFC 3263 §4.1, §4.2) aren't asked yet: the transport is that of the URI or UDP, the port that of the
 * URI or the default, the addresses those of the host, in the order the system prefers (RFC 6724).
 */
#define LOG_MODULE "sip"

#include "sip/resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#define HOST_MAX 255 /* RFC 1035 §2.3.4 */

struct lookup {
	struct lookup *prev, *next;
	struct resolver *resolver;
	uv_getaddrinfo_t req;
	uint64_t id;
	enum sip_proto proto;
	uint16_t port;
	uint32_t name;       /* TLS */
	sip_resolve_fn *fn; /* NULL: cancelled */
	void *arg;
};

struct resolver {
	uv_loop_t *loop;
	const struct log *log;
	struct transport *transport;
	struct lookup *lookups;
	uint64_t last_id;
	bool is_closing;
};

/* The transport and port to use, without the address. */
static int choose(const struct sip_uri *uri, enum sip_proto *proto, uint16_t *port)
{
	struct str transport = STR_NULL;

	if ((uri->scheme != SIP_SCHEME_SIP && uri->scheme != SIP_SCHEME_SIPS) || str_empty(uri->host))
		return -EINVAL;
	*proto = SIP_UDP;
	if (sip_param_find(uri->params, "transport", &transport)) {
		if (str_ieqz(transport, "tcp"))
			*proto = SIP_TCP;
		else if (str_ieqz(transport, "tls")) /* deprecated by RFC 3261 §26.2.2, and what phones write */
			*proto = SIP_TLS;
		else if (!str_ieqz(transport, "udp"))
			return -EPROTONOSUPPORT;
	}
	/* RFC 3261 §19.1.2, RFC 5630 §3.1: sips is TLS, whatever carries it; over UDP there is none. */
	if (uri->scheme == SIP_SCHEME_SIPS) {
		if (*proto == SIP_UDP && !str_empty(transport))
			return -EPROTONOSUPPORT;
		*proto = SIP_TLS;
	}
	*port = uri->port ? uri->port : *proto == SIP_TLS ? 5061 : 5060;
	return 0;
}

int sip_resolve_literal(struct sip_dest *out, const struct sip_uri *uri)
{
	struct sip_dest dest = { 0 };
	uint16_t port;
	int err = choose(uri, &dest.proto, &port);

	if (err)
		return err;
	if (sockaddr_parse(&dest.addr, uri->host, port))
		return -EAGAIN;
	*out = dest;
	return 0;
}

int resolver_new(struct resolver **out, uv_loop_t *loop, const struct log *log)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->loop = loop;
	r->log = log;
	*out = r;
	return 0;
}

void resolver_set_transport(struct resolver *r, struct transport *t)
{
	r->transport = t;
}

static void free_if_done(struct resolver *r)
{
	if (r->is_closing && !r->lookups)
		free(r);
}

void resolver_close(struct resolver *r)
{
	struct lookup *l;

	if (!r || r->is_closing)
		return;
	r->is_closing = true;
	DL_FOREACH(r->lookups, l) {
		l->fn = NULL;
		uv_cancel((uv_req_t *)&l->req); /* one that is running ends by itself */
	}
	free_if_done(r);
}

static unsigned take_addresses(const struct lookup *l, const struct addrinfo *res, struct sip_dest dests[SIP_RESOLVE_MAX])
{
	unsigned n = 0;

	for (const struct addrinfo *ai = res; ai && n < SIP_RESOLVE_MAX; ai = ai->ai_next) {
		if (ai->ai_addrlen > sizeof(dests[n].addr))
			continue;
		dests[n] = (struct sip_dest){ .proto = l->proto, .name = l->name };
		memcpy(&dests[n].addr, ai->ai_addr, ai->ai_addrlen);
		sockaddr_set_port(&dests[n].addr, l->port);
		n++;
	}
	return n;
}

static void on_addresses(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
	struct lookup *l = container_of(req, struct lookup, req);
	struct resolver *r = l->resolver;
	struct sip_dest dests[SIP_RESOLVE_MAX];
	unsigned n = status == 0 ? take_addresses(l, res, dests) : 0;

	uv_freeaddrinfo(res);
	DL_DELETE(r->lookups, l);
	if (l->fn && status)
		log_debug(r->log, "lookup=%llu failed: %s", (unsigned long long)l->id, uv_strerror(status));
	if (l->fn)
		l->fn(l->id, dests, n, l->arg);
	free(l);
	free_if_done(r);
}

int sip_resolve(struct resolver *r, const struct sip_uri *uri, sip_resolve_fn *fn, void *arg, uint64_t *id)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
	struct str name = uri->host;
	char host[HOST_MAX + 1];
	struct lookup *l;
	int err;

	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	err = choose(uri, &l->proto, &l->port);
	if (name.n > 2 && name.p[0] == '[') /* an IPv6 literal: answered like a name, asynchronously */
		name = (struct str){ name.p + 1, name.n - 2 };
	if (!err && str_copy(name, host, sizeof(host)))
		err = -EINVAL;
	if (!err && l->proto == SIP_TLS && r->transport)
		err = transport_name(r->transport, name, &l->name);
	l->resolver = r;
	l->fn = fn;
	l->arg = arg;
	l->id = ++r->last_id;
	if (!err)
		err = uv_getaddrinfo(r->loop, &l->req, on_addresses, host, NULL, &hints);
	if (err) {
		free(l);
		return err;
	}
	DL_APPEND(r->lookups, l);
	*id = l->id;
	return 0;
}

void sip_resolve_cancel(struct resolver *r, uint64_t id)
{
	struct lookup *l;

	if (!r)
		return;
	DL_FOREACH(r->lookups, l) {
		if (l->id == id) {
			l->fn = NULL;
			uv_cancel((uv_req_t *)&l->req);
			return;
		}
	}
}

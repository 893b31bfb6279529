/* listener.c - where we listen, and which of our addresses a peer sees: the listener's, or behind a NAT the one outside. */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define PORT_TRIES 32                /* of port 0 */
/* Who is not beyond a NAT, unless it is said. */
#define LOCAL_NETWORKS "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 169.254.0.0/16 127.0.0.0/8 fc00::/7 fe80::/10 ::1/128"

void listener_free(struct listener *l)
{
	tls_context_free(l->tls);
	free(l->origins);
	free(l->networks);
	free(l);
}

void listener_handle_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	struct transport *t = l->transport;

	int fd = handle == (uv_handle_t *)&l->poll ? l->fd : l->udp_fd;

	if (fd >= 0)
		close(fd);
	if (--l->handles == 0 && !l->is_listening)
		listener_free(l);
	transport_handle_closed(t);
}

void listener_close(struct listener *l)
{
	uv_handle_t *all[] = { (uv_handle_t *)&l->udp_poll, (uv_handle_t *)&l->poll };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->data && !uv_is_closing(all[i]))
			uv_close(all[i], listener_handle_closed);
}

static bool is_wildcard(const union sockaddr_any *a)
{
	static const struct in6_addr any6 = IN6ADDR_ANY_INIT;

	return a->sa.sa_family == AF_INET6 ? memcmp(&a->v6.sin6_addr, &any6, sizeof(any6)) == 0
					   : a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static bool is_one(unsigned protos)
{
	return protos == SIP_PROTO_BIT(SIP_TLS) || protos == SIP_PROTO_BIT(SIP_WS) || protos == SIP_PROTO_BIT(SIP_WSS);
}

static bool has_proto(const struct listener *l, enum sip_proto proto)
{
	return l->protos & SIP_PROTO_BIT(proto);
}

static int listener_start(struct listener *l)
{
	int err = 0;

	if (has_proto(l, SIP_WS) || has_proto(l, SIP_WSS))
		return ws_listen(l);
	if (has_proto(l, SIP_UDP))
		err = udp_listen(l);
	if (!err && l->protos != SIP_PROTO_BIT(SIP_UDP))
		err = tcp_listen(l);
	return err;
}

/* What peers beyond a NAT see in place of our address. */
static int take_external(struct listener *l, const struct transport_listen *p)
{
	int err;

	if (!p->external || !*p->external)
		return 0;
	err = sockaddr_parse(&l->external, str_from(p->external), p->external_port);
	if (!err && l->external.sa.sa_family != l->addr.sa.sa_family)
		err = -EINVAL;
	if (err)
		return err;
	l->networks = calloc(1, sizeof(*l->networks));
	if (!l->networks)
		return -ENOMEM;
	return networks_parse(l->networks, str_from(p->local_networks && *p->local_networks ? p->local_networks : LOCAL_NETWORKS));
}

static int take_certificate(struct listener *l, const struct transport_tls *p)
{
	if (!has_proto(l, SIP_TLS) && !has_proto(l, SIP_WSS))
		return 0;
	if (!p)
		return -EINVAL;
	return tls_context_new(&l->tls, &(struct tls_context_params){
		.log = l->transport->log, .cert = p->cert, .key = p->key, .ocsp = p->ocsp, .ca = p->ca, .crl = p->crl, .why = p->why, .asks_client = p->asks_client,
		.needs_client = p->needs_client, .more = p->more, .nmore = p->nmore });
}

/* All of it but its sockets; freed by the caller also when it fails. */
static int listener_prepare(struct transport *t, const struct transport_listen *p, struct listener **out)
{
	struct listener *l = *out = calloc(1, sizeof(*l));
	int err;

	if (!l)
		return -ENOMEM;
	l->transport = t;
	l->protos = p->protos;
	err = sockaddr_parse(&l->addr, str_from(p->addr), p->port);
	if (!err)
		err = take_external(l, p);
	if (!err)
		err = take_certificate(l, p->tls);
	if (!err && p->origins && *p->origins) {
		l->origins = strdup(p->origins);
		err = l->origins ? 0 : -ENOMEM;
	}
	l->is_wildcard = !err && is_wildcard(&l->addr);
	return err;
}

static int listener_open(struct transport *t, const struct transport_listen *p, struct listener **out)
{
	struct listener *l;
	int err = listener_prepare(t, p, &l);

	if (!l)
		return err;
	if (!err)
		err = listener_start(l);
	l->is_listening = !err;
	if (!err)
		*out = l;
	else if (l->handles)
		listener_close(l); /* freed with its last handle */
	else
		listener_free(l);
	return err;
}

/* The address shall be free now, not when libuv gets round to it; a handle that is closing doesn't look at its socket any more. */
static void close_sockets(struct listener *l)
{
	if (l->udp_poll.data)
		close(l->udp_fd);
	if (l->poll.data)
		close(l->fd);
	l->udp_fd = l->fd = -1;
}

/* Freed with its last handle. */
static void listener_drop(struct listener *l)
{
	l->is_listening = false;
	listener_close(l);
	close_sockets(l);
}

static void listener_add(struct transport *t, struct listener *l, uint64_t id)
{
	struct listener **end = &t->listeners;

	l->id = id ? id : ++t->last_listener;
	while (*end)
		end = &(*end)->next;
	*end = l;
}

/* The certificate with which we call others is that of the listener made last. */
static int take_client(struct transport *t, const struct transport_tls *p)
{
	struct tls_context *ours;
	int err = tls_context_new(&ours, &(struct tls_context_params){
		.log = t->log, .cert = p->cert, .key = p->key, .ca = p->ca, .crl = p->crl, .why = p->why,
		.checks_server = p->checks_server, .needs_ocsp = p->needs_ocsp });

	if (err)
		return err;
	tls_context_free(t->tls_client);
	t->tls_client = ours;
	return 0;
}

static bool is_to_call_with(const struct transport *t, const struct transport_listen *p)
{
	return p->protos == SIP_PROTO_BIT(SIP_TLS) && !(p->is_extra && t->tls_client);
}

int transport_listen_as(struct transport *t, const struct transport_listen *p, uint64_t *id)
{
	/* The port the kernel picks for UDP may be taken for TCP: then another one. */
	unsigned tries = p->port ? 1 : PORT_TRIES;
	struct listener *l = NULL;
	int err;

	if (!is_one(p->protos) && (!p->protos || p->protos & ~(SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP))))
		return -EINVAL;
	if (!*id && t->last_listener + 1 == FLOW_FIRST_CONN)
		return -ENOSPC;
	do
		err = listener_open(t, p, &l);
	while (err == UV_EADDRINUSE && --tries);
	if (!err && is_to_call_with(t, p)) {
		err = take_client(t, p->tls);
		if (err)
			listener_drop(l);
	}
	if (err)
		return err;
	listener_add(t, l, *id);
	*id = l->id;
	return 0;
}

int transport_listen_on(struct transport *t, const struct transport_listen *p)
{
	uint64_t id = 0;

	return transport_listen_as(t, p, &id);
}

static struct listener **place_of(struct transport *t, uint64_t id)
{
	struct listener **at = &t->listeners;

	while (*at && (*at)->id != id)
		at = &(*at)->next;
	return at;
}

/* from: prepared, and freed. */
static void take_over(struct listener *l, struct listener *from)
{
	tls_context_free(l->tls);
	free(l->origins);
	free(l->networks);
	l->tls = from->tls;
	l->origins = from->origins;
	l->networks = from->networks;
	l->external = from->external;
	free(from);
}

int transport_relisten(struct transport *t, uint64_t id, const struct transport_listen *p)
{
	struct listener *l = *place_of(t, id), *other;
	int err;

	if (!l)
		return -ENOENT;
	if (has_proto(l, SIP_WSS))
		return -ENOTSUP;
	err = listener_prepare(t, p, &other);
	if (!err && is_to_call_with(t, p))
		err = take_client(t, p->tls);
	if (!err)
		take_over(l, other);
	else if (other)
		listener_free(other);
	return err;
}

void transport_unlisten(struct transport *t, uint64_t id)
{
	struct listener **at = place_of(t, id), *l = *at;

	if (!l || t->is_closing)
		return;
	batch_flush(t->batch);
	*at = l->next;
	l->next = NULL;
	if (l->vhost) {
		l->next = t->retired;
		t->retired = l;
		listener_close(l);
		close_sockets(l);
	} else {
		listener_drop(l);
	}
}

int transport_listen(struct transport *t, const char *addr, uint16_t port)
{
	return transport_listen_on(t, &(struct transport_listen){
		.addr = addr, .port = port, .protos = SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP) });
}

int transport_listen_tls(struct transport *t, const struct transport_tls *p)
{
	return transport_listen_on(t, &(struct transport_listen){
		.addr = p->addr, .port = p->port, .protos = SIP_PROTO_BIT(SIP_TLS), .tls = p });
}

/* The first one's. */
static uint16_t port_of(const struct transport *t, enum sip_proto proto)
{
	for (const struct listener *l = t->listeners; l; l = l->next)
		if (has_proto(l, proto))
			return sockaddr_port(&l->addr);
	return 0;
}

uint16_t transport_port(const struct transport *t)
{
	return port_of(t, SIP_UDP);
}

uint16_t transport_tls_port(const struct transport *t)
{
	return port_of(t, SIP_TLS);
}

uint16_t transport_ws_port(const struct transport *t, bool is_secure)
{
	return port_of(t, is_secure ? SIP_WSS : SIP_WS);
}

void transport_refresh(struct transport *t)
{
	for (struct listener *l = t->listeners; l; l = l->next)
		if (l->tls)
			tls_context_refresh(l->tls);
	if (t->tls_client && tls_context_refresh(t->tls_client)) {
		tcp_close_revoked(t);
		ws_close_revoked(t);
	}
}

/* ---- our address towards a peer ---- */

struct listener *transport_listener(const struct transport *t, int family, enum sip_proto proto)
{
	for (struct listener *l = t->listeners; l; l = l->next)
		if (l->addr.sa.sa_family == family && has_proto(l, proto))
			return l;
	return NULL;
}

/* A connection's is the one it came to. */
struct listener *listener_for(const struct transport *t, const struct sip_dest *dest)
{
	uint64_t id = dest->flow < FLOW_FIRST_CONN ? dest->flow : dest->proto == SIP_WS || dest->proto == SIP_WSS ?
		      ws_listener(t, dest->flow) : tcp_listener(t, dest->flow);

	for (struct listener *l = id ? t->listeners : NULL; l; l = l->next)
		if (l->id == id && l->addr.sa.sa_family == dest->addr.sa.sa_family)
			return l;
	return transport_listener(t, dest->addr.sa.sa_family, dest->proto);
}

static unsigned host_hash(const union sockaddr_any *a)
{
	const unsigned char *p = a->sa.sa_family == AF_INET6 ? a->v6.sin6_addr.s6_addr : (const unsigned char *)&a->v4.sin_addr;
	unsigned n = a->sa.sa_family == AF_INET6 ? 16 : 4, h = 5381;

	while (n--)
		h = h * 33 + *p++;
	return h % LOCAL_CACHE;
}

/* Connecting a datagram socket sends nothing; it only asks the kernel for the route. */
static int route_from(const union sockaddr_any *peer, union sockaddr_any *local)
{
	int fd = socket(peer->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;
	socklen_t len = sizeof(*local);

	if (fd < 0)
		return -errno;
	if (connect(fd, &peer->sa, sockaddr_len(peer)) != 0 || getsockname(fd, &local->sa, &len) != 0)
		err = -EHOSTUNREACH;
	close(fd);
	return err;
}

/* The bound one, or where that is a wildcard the one the kernel routes from. */
static int bound_addr(struct transport *t, const struct listener *l, const union sockaddr_any *peer, union sockaddr_any *local)
{
	struct local_entry *e = &t->locals[host_hash(peer)];
	uint64_t now = uv_now(t->loop);
	int err;

	if (!l->is_wildcard) {
		*local = l->addr;
		return 0;
	}
	if (e->until_ms <= now || !sockaddr_host_eq(&e->peer, peer)) {
		union sockaddr_any to = *peer;

		if (!sockaddr_port(&to))
			sockaddr_set_port(&to, 9);
		err = route_from(&to, &e->local);
		if (err) {
			e->until_ms = 0;
			return err;
		}
		e->peer = *peer;
		e->until_ms = now + LOCAL_CACHE_MS;
	}
	*local = e->local;
	sockaddr_set_port(local, sockaddr_port(&l->addr));
	return 0;
}

int transport_local(struct transport *t, const struct sip_dest *dest, union sockaddr_any *local)
{
	const struct listener *l = listener_for(t, dest);

	if (!l)
		return -EHOSTUNREACH;
	if (!l->networks || networks_have(l->networks, &dest->addr))
		return bound_addr(t, l, &dest->addr, local);
	*local = l->external;
	if (!sockaddr_port(local))
		sockaddr_set_port(local, sockaddr_port(&l->addr));
	return 0;
}

void transport_behind(const struct transport *t, union sockaddr_any *local)
{
	for (const struct listener *l = t->listeners; l; l = l->next)
		if (l->networks && sockaddr_host_eq(&l->external, local)) {
			*local = l->addr;
			return;
		}
}

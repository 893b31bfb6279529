/* transport.c - listeners, UDP, and which flow a message takes.
 *
 * Datagrams are read in batches into one buffer and parsed there; nothing is allocated for a received one. A datagram is sent
 * at once and copied only when the socket is full.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define UDP_BATCH 16
#define UDP_SLOT 65536               /* libuv cuts the buffer into slots of this size */
#define PORT_TRIES 32                /* of port 0 */
#define UDP_SOCKET_BUFFER (4 << 20)  /* a burst of some thousand requests */

static void listener_free(struct listener *l)
{
	tls_context_free(l->tls);
	free(l->origins);
	free(l);
}

static void transport_free(struct transport *t)
{
	tls_context_free(t->tls_client);
	hostnames_free(t->names);
	gate_free(t->gate);
	free(t->udp_buf);
	free(t);
}

void transport_handle_closed(struct transport *t)
{
	if (--t->handles)
		return;
	while (t->listeners) {
		struct listener *l = t->listeners;

		t->listeners = l->next;
		listener_free(l);
	}
	transport_free(t);
}

bool transport_receive(struct transport *t, char *buf, size_t len, const struct sip_source *src)
{
	struct sip_msg_error err;
	int bad = sip_msg_parse(&t->msg, buf, len, &err);

	if (bad && !err.status) {
		t->n.dropped_malformed++;
		return false;
	}
	t->n.received++;
	t->h.on_message(&t->msg, &err, src, t->arg);
	return true;
}

/* ---- UDP ---- */

static void on_udp_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct listener *l = handle->data;

	(void)suggested;
	*buf = uv_buf_init(l->transport->udp_buf, UDP_BATCH * UDP_SLOT);
}

static bool is_keepalive(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '\r' && p[i] != '\n' && p[i] != '\0')
			return false;
	return true;
}

static void on_udp(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct listener *l = udp->data;
	struct transport *t = l->transport;
	struct sip_source src = { .proto = SIP_UDP, .local = l->addr, .flow = l->id };

	if (n < 0 || !from || t->is_closing)
		return; /* errors of single datagrams (ICMP) are no errors of ours */
	if (flags & UV_UDP_PARTIAL) {
		t->n.dropped_oversize++;
		return;
	}
	if (is_keepalive(buf->base, (size_t)n)) {
		t->n.keepalives++;
		return;
	}
	memcpy(&src.peer, from, from->sa_family == AF_INET6 ? sizeof(src.peer.v6) : sizeof(src.peer.v4));
	transport_receive(t, buf->base, (size_t)n, &src);
}

struct udp_send { uv_udp_send_t req; char bytes[]; };

static void on_udp_sent(uv_udp_send_t *req, int status)
{
	(void)status; /* lost datagrams are sent again by their transaction */
	free(req->data);
}

static int udp_send(struct transport *t, struct listener *l, const union sockaddr_any *to, struct str bytes)
{
	uv_buf_t buf = uv_buf_init((char *)bytes.p, (unsigned)bytes.n);
	int err = uv_udp_try_send(&l->udp, &buf, 1, &to->sa);
	struct udp_send *s;

	if (err >= 0)
		return 0;
	if (err != UV_EAGAIN)
		return err;
	s = malloc(sizeof(*s) + bytes.n);
	if (!s)
		return -ENOMEM;
	memcpy(s->bytes, bytes.p, bytes.n);
	s->req.data = s;
	buf.base = s->bytes;
	err = uv_udp_send(&s->req, &l->udp, &buf, 1, &to->sa, on_udp_sent);
	if (err) {
		free(s);
		return err;
	}
	(void)t;
	return 0;
}

/* ---- listeners ---- */

static int udp_listen(struct listener *l)
{
	struct transport *t = l->transport;
	int size = UDP_SOCKET_BUFFER, err;

	err = uv_udp_init_ex(t->loop, &l->udp, AF_UNSPEC | UV_UDP_RECVMMSG);
	if (err)
		return err;
	t->handles++;
	l->handles++;
	l->udp.data = l;
	err = uv_udp_bind(&l->udp, &l->addr.sa, l->addr.sa.sa_family == AF_INET6 ? UV_UDP_IPV6ONLY : 0);
	if (err)
		return err;
	uv_recv_buffer_size((uv_handle_t *)&l->udp, &size);
	size = UDP_SOCKET_BUFFER;
	uv_send_buffer_size((uv_handle_t *)&l->udp, &size);
	return uv_udp_recv_start(&l->udp, on_udp_alloc, on_udp);
}

static void on_listener_handle_closed(uv_handle_t *handle)
{
	struct listener *l = handle->data;
	struct transport *t = l->transport;

	if (handle == (uv_handle_t *)&l->poll)
		close(l->fd);
	if (--l->handles == 0 && !l->is_listening)
		listener_free(l);
	transport_handle_closed(t);
}

static void listener_close(struct listener *l)
{
	uv_handle_t *all[] = { (uv_handle_t *)&l->udp, (uv_handle_t *)&l->tcp, (uv_handle_t *)&l->poll };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i]->data && !uv_is_closing(all[i]))
			uv_close(all[i], on_listener_handle_closed);
}

static bool is_wildcard(const union sockaddr_any *a)
{
	static const struct in6_addr any6 = IN6ADDR_ANY_INIT;

	return a->sa.sa_family == AF_INET6 ? memcmp(&a->v6.sin6_addr, &any6, sizeof(any6)) == 0
					   : a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
}

static int listener_start(struct listener *l)
{
	int len = sizeof(l->addr), err = 0;

	if (l->proto == SIP_WS || l->proto == SIP_WSS)
		return ws_listen(l);
	if (l->proto == SIP_UDP)
		err = udp_listen(l);
	if (!err && l->proto == SIP_UDP)
		err = uv_udp_getsockname(&l->udp, &l->addr.sa, &len);
	if (!err)
		err = tcp_listen(l);
	if (!err && l->proto == SIP_TLS)
		err = uv_tcp_getsockname(&l->tcp, &l->addr.sa, &len);
	return err;
}

/* Takes over the TLS context, also when it fails. */
static int listener_open(struct transport *t, enum sip_proto proto, const union sockaddr_any *addr, struct tls_context *tls,
			 const char *origins, struct listener **out)
{
	struct listener *l = calloc(1, sizeof(*l));
	int err;

	if (!l) {
		tls_context_free(tls);
		return -ENOMEM;
	}
	l->transport = t;
	l->proto = proto;
	l->tls = tls;
	l->origins = origins ? strdup(origins) : NULL;
	l->addr = *addr;
	l->is_wildcard = is_wildcard(addr);
	err = origins && !l->origins ? -ENOMEM : listener_start(l);
	l->is_listening = !err;
	if (!err)
		*out = l;
	else if (l->handles)
		listener_close(l); /* freed with its last handle */
	else
		listener_free(l);
	return err;
}

static void listener_add(struct transport *t, struct listener *l)
{
	struct listener **end = &t->listeners;

	l->id = 1;
	for (; *end; end = &(*end)->next)
		l->id++;
	*end = l;
}

int transport_listen(struct transport *t, const char *addr, uint16_t port)
{
	/* The port the kernel picks for UDP may be taken for TCP: then another one. */
	unsigned tries = port ? 1 : PORT_TRIES;
	struct listener *l = NULL;
	union sockaddr_any any;
	int err = sockaddr_parse(&any, str_from(addr), port);

	if (err)
		return err;
	do
		err = listener_open(t, SIP_UDP, &any, NULL, NULL, &l);
	while (err == UV_EADDRINUSE && --tries);
	if (!err)
		listener_add(t, l);
	return err;
}

int transport_listen_tls(struct transport *t, const struct transport_tls *p)
{
	const struct tls_context_params server = {
		.log = t->log, .cert = p->cert, .key = p->key, .ca = p->ca, .asks_client = p->asks_client, .needs_client = p->needs_client,
	};
	const struct tls_context_params client = {
		.log = t->log, .cert = p->cert, .key = p->key, .ca = p->ca, .checks_server = p->checks_server,
	};
	struct tls_context *ours, *theirs;
	struct listener *l;
	union sockaddr_any any;
	int err = sockaddr_parse(&any, str_from(p->addr), p->port);

	if (!err)
		err = tls_context_new(&ours, &client);
	if (err)
		return err;
	err = tls_context_new(&theirs, &server);
	if (!err)
		err = listener_open(t, SIP_TLS, &any, theirs, NULL, &l);
	if (err) {
		tls_context_free(ours);
		return err;
	}
	listener_add(t, l);
	tls_context_free(t->tls_client);
	t->tls_client = ours;
	return 0;
}

int transport_listen_ws(struct transport *t, const struct transport_ws *p)
{
	const struct transport_tls *cert = p->tls;
	struct tls_context *tls = NULL;
	struct listener *l;
	union sockaddr_any any;
	int err = sockaddr_parse(&any, str_from(p->addr), p->port);

	if (!err && cert)
		err = tls_context_new(&tls, &(struct tls_context_params){
			.log = t->log, .cert = cert->cert, .key = cert->key, .ca = cert->ca, .asks_client = cert->asks_client,
			.needs_client = cert->needs_client });
	if (!err)
		err = listener_open(t, cert ? SIP_WSS : SIP_WS, &any, tls, p->origins, &l);
	if (!err)
		listener_add(t, l);
	return err;
}

/* The first one's. */
static uint16_t port_of(const struct transport *t, enum sip_proto proto)
{
	for (const struct listener *l = t->listeners; l; l = l->next)
		if (l->proto == proto)
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

void transport_limit(struct transport *t, unsigned conns, unsigned per_address)
{
	gate_limits(t->gate, conns, per_address);
}

void transport_refresh(struct transport *t)
{
	for (struct listener *l = t->listeners; l; l = l->next)
		if (l->tls)
			tls_context_refresh(l->tls);
	if (t->tls_client)
		tls_context_refresh(t->tls_client);
}

static void on_sweep(uv_timer_t *timer)
{
	struct transport *t = timer->data;

	tcp_sweep(t);
	ws_sweep(t, uv_now(t->loop));
	transport_refresh(t);
}

int transport_new(struct transport **out, uv_loop_t *loop, const struct log *log, const struct transport_handler *h, void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->udp_buf = malloc(UDP_BATCH * UDP_SLOT);
	err = t->udp_buf ? hostnames_new(&t->names) : -ENOMEM;
	if (!err)
		err = gate_new(&t->gate, log);
	if (!err)
		err = uv_timer_init(loop, &t->sweep);
	if (err) {
		transport_free(t);
		return err;
	}
	t->loop = loop;
	t->log = log;
	t->h = *h;
	t->arg = arg;
	t->next_id = FLOW_FIRST_CONN;
	t->handles = 1;
	t->sweep.data = t;
	uv_timer_start(&t->sweep, on_sweep, TCP_SWEEP_MS, TCP_SWEEP_MS);
	uv_unref((uv_handle_t *)&t->sweep);
	*out = t;
	return 0;
}

static void on_sweep_closed(uv_handle_t *handle)
{
	transport_handle_closed(handle->data);
}

void transport_close(struct transport *t)
{
	if (!t || t->is_closing)
		return;
	t->is_closing = true;
	for (struct listener *l = t->listeners; l; l = l->next) {
		listener_close(l);
	}
	tcp_close_all(t);
	ws_close(t);
	uv_close((uv_handle_t *)&t->sweep, on_sweep_closed);
}

const struct transport_counters *transport_counters(const struct transport *t)
{
	return &t->n;
}

/* ---- sending ---- */

struct listener *transport_listener(const struct transport *t, int family, enum sip_proto proto)
{
	for (struct listener *l = t->listeners; l; l = l->next)
		if (l->addr.sa.sa_family == family && l->proto == (proto == SIP_TCP ? SIP_UDP : proto))
			return l;
	return NULL;
}

static struct listener *listener_for(const struct transport *t, const struct sip_dest *dest)
{
	if (dest->flow && dest->flow < FLOW_FIRST_CONN)
		for (struct listener *l = t->listeners; l; l = l->next)
			if (l->id == dest->flow && l->addr.sa.sa_family == dest->addr.sa.sa_family)
				return l;
	return transport_listener(t, dest->addr.sa.sa_family, dest->proto);
}

int transport_name(struct transport *t, struct str host, uint32_t *name)
{
	return hostnames_id(t->names, host, name);
}

int transport_send(struct transport *t, const struct sip_dest *dest, struct str bytes, uint64_t *flow)
{
	struct listener *l;
	int err;

	if (t->is_closing)
		return -ENOTCONN;
	if (dest->proto == SIP_TCP || dest->proto == SIP_TLS) {
		err = tcp_send(t, dest, bytes, flow);
	} else if (dest->proto == SIP_UDP) {
		l = listener_for(t, dest);
		err = l ? udp_send(t, l, &dest->addr, bytes) : -EHOSTUNREACH;
		if (flow)
			*flow = l ? l->id : 0;
	} else {
		err = ws_send(t, dest, bytes);
		if (flow)
			*flow = dest->flow;
	}
	if (err)
		t->n.send_errors++;
	else
		t->n.sent++;
	return err;
}

/* ---- our address towards a peer ---- */

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

int transport_local(struct transport *t, const struct sip_dest *dest, union sockaddr_any *local)
{
	struct listener *l = listener_for(t, dest);
	struct local_entry *e = &t->locals[host_hash(&dest->addr)];
	uint64_t now = uv_now(t->loop);
	int err;

	if (!l)
		return -EHOSTUNREACH;
	if (!l->is_wildcard) {
		*local = l->addr;
		return 0;
	}
	if (e->until_ms <= now || !sockaddr_host_eq(&e->peer, &dest->addr)) {
		union sockaddr_any to = dest->addr;

		if (!sockaddr_port(&to))
			sockaddr_set_port(&to, 9);
		err = route_from(&to, &e->local);
		if (err) {
			e->until_ms = 0;
			return err;
		}
		e->peer = dest->addr;
		e->until_ms = now + LOCAL_CACHE_MS;
	}
	*local = e->local;
	sockaddr_set_port(local, sockaddr_port(&l->addr));
	return 0;
}

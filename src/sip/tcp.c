/* tcp.c - TCP and TLS connections: framing, reuse, keep-alives, and limits on what a peer may hold (RFC 3261 §18, RFC 5626 §4.4.1).
 *
 * A connection's bytes are gathered until sip_msg_frame() finds a whole message. A connection that isn't SIP, that takes too
 * long over one message or doesn't read what it is sent is closed.
 */
#define LOG_MODULE "tcp"
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define TOS_CS5 0xa0 /* RFC 4594 §4.2: signalling */

/* ---- found by address ---- */

static struct conn_key key_of(enum sip_proto proto, const union sockaddr_any *a, uint16_t port, uint32_t name)
{
	struct conn_key k = { .proto = (uint16_t)proto, .family = a->sa.sa_family, .port = port, .name = name };

	if (k.family == AF_INET6)
		memcpy(k.host, &a->v6.sin6_addr, 16);
	else
		memcpy(k.host, &a->v4.sin_addr, 4);
	return k;
}

static enum sip_proto conn_proto(const struct tcp_conn *c)
{
	return c->tls ? SIP_TLS : SIP_TCP;
}

/* Its peer and what it is are known. */
static void addr_add(struct tcp_conn *c)
{
	c->key = key_of(conn_proto(c), &c->peer, sockaddr_port(&c->peer), c->name);
	HASH_ADD(hh_addr, c->transport->conns_addr, key, sizeof(c->key), c);
	if (!c->hh_addr.tbl)
		c->key.family = 0; /* isn't found: another is opened */
}

static void addr_remove(struct tcp_conn *c)
{
	struct transport *t = c->transport;

	if (c->key.family)
		HASH_DELETE(hh_addr, t->conns_addr, c);
	if (c->alias.family)
		HASH_DELETE(hh_alias, t->conns_alias, c);
	c->key.family = c->alias.family = 0;
}

static struct tcp_conn *addr_find(const struct transport *t, const struct sip_dest *dest)
{
	struct conn_key k = key_of(dest->proto, &dest->addr, sockaddr_port(&dest->addr), dest->name);
	struct tcp_conn *c = NULL;

	HASH_FIND(hh_addr, t->conns_addr, &k, sizeof(k), c);
	if (!c && t->conns_alias && dest->name)
		HASH_FIND(hh_alias, t->conns_alias, &k, sizeof(k), c);
	return c;
}

/* RFC 5923 §5: the client has said, in the topmost Via of a request, at which host and port it listens, and its certificate vouches for the host. */
static void take_alias(struct tcp_conn *c)
{
	struct transport *t = c->transport;
	const struct sip_msg *m = &t->msg;
	uint32_t name;
	char host[256];

	if (!m->is_request || !sip_param_find(m->via.params, "alias", NULL) || str_copy(m->via.host, host, sizeof(host)) != 0 ||
	    !tls_peer_is(c->tls, host) || transport_name(t, m->via.host, &name) != 0)
		return;
	c->alias = key_of(SIP_TLS, &c->peer, m->via.port ? m->via.port : 5061, name);
	HASH_ADD(hh_alias, t->conns_alias, alias, sizeof(c->alias), c);
	if (!c->hh_alias.tbl)
		c->alias.family = 0;
}

/* ---- life ---- */

static void on_conn_closed(uv_handle_t *handle)
{
	struct tcp_conn *c = handle->data;
	struct transport *t = c->transport;

	/* Told here and not in conn_close(): who sends isn't called back. */
	if (!c->is_silent && !t->is_closing && t->h.on_flow_closed)
		t->h.on_flow_closed(c->id, t->arg);
	tls_free(c->tls);
	transport_drop(t, &c->peer, c->buf, &c->size);
	free(c);
	transport_handle_closed(t);
}

static void conn_close(struct tcp_conn *c)
{
	struct transport *t = c->transport;

	if (c->is_closing)
		return;
	c->is_closing = true;
	if (c->tls) {
		struct str goodbye;
		uv_buf_t buf;

		tls_close(c->tls);
		goodbye = tls_output(c->tls);
		buf = uv_buf_init((char *)goodbye.p, (unsigned)goodbye.n);
		if (goodbye.n)
			uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
	}
	HASH_DEL(t->conns, c);
	addr_remove(c);
	if (c->is_counted)
		gate_leave(t->gate, &c->peer);
	t->n.tcp_closed++;
	uv_close((uv_handle_t *)&c->tcp, on_conn_closed);
}

static struct tcp_conn *conn_new(struct transport *t)
{
	struct tcp_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->transport = t;
	c->id = t->next_id++;
	c->began_ms = c->last_ms = c->heard_ms = uv_now(t->loop);
	HASH_ADD(hh, t->conns, id, sizeof(c->id), c);
	if (!c->hh.tbl) {
		free(c);
		return NULL;
	}
	uv_tcp_init(t->loop, &c->tcp);
	c->tcp.data = c;
	t->handles++;
	return c;
}

static struct tcp_conn *conn_find(const struct transport *t, uint64_t flow)
{
	struct tcp_conn *c = NULL;

	HASH_FIND(hh, t->conns, &flow, sizeof(flow), c);
	return c;
}

/* ---- receiving ---- */

/* Room for plain bytes behind those that are there. */
static bool make_room(struct tcp_conn *c)
{
	char *p;

	if (c->size - c->len >= TCP_BUFFER_MIN / 2)
		return true;
	p = transport_grow(c->transport, &c->peer, c->buf, &c->size, c->len + TCP_BUFFER_MIN / 2);
	if (!p)
		return false;
	c->buf = p;
	return true;
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct tcp_conn *c = handle->data;

	(void)suggested;
	if (c->tls || c->is_refused)
		*buf = uv_buf_init(c->transport->tls_buf, TLS_READ);
	else if (make_room(c))
		*buf = uv_buf_init(c->buf + c->len, (unsigned)(c->size - c->len));
	else
		*buf = uv_buf_init(NULL, 0);
}

static int conn_write(struct tcp_conn *c, struct str bytes);
static int flush_tls(struct tcp_conn *c);

/* Two bytes to send take a hundred times as many to keep: who doesn't read what it has asked for gets no more of them. */
static void send_pong(struct tcp_conn *c)
{
	c->transport->n.keepalives++;
	if (uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp) < PONGS_UNSENT_MAX)
		conn_write(c, str_from("\r\n"));
}

/* A line end and nothing else, where we have just asked for one. */
static bool take_pong(struct tcp_conn *c, size_t crlf_len, bool is_all)
{
	if (!c->pinged_ms || crlf_len != 2 || !is_all || c->crlf_len)
		return false;
	c->must_pong = true;
	return true;
}

static void buffer_drop(struct tcp_conn *c)
{
	transport_drop(c->transport, &c->peer, c->buf, &c->size);
	c->buf = NULL;
	c->len = 0;
	c->partial_since_ms = 0;
}

/* Its end follows on what it has been sent; a connection that is closed with bytes unread would take the answer with it. */
static void conn_refuse(struct tcp_conn *c)
{
	c->is_refused = true;
	addr_remove(c);
	c->began_ms = uv_now(c->transport->loop);
	buffer_drop(c);
	if (c->tls) {
		tls_close(c->tls);
		flush_tls(c);
	}
	if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, NULL) != 0)
		conn_close(c);
}

/* Too large, or not SIP. */
static void take_broken(struct tcp_conn *c, size_t at, int err, const struct sip_source *src)
{
	struct transport *t = c->transport;
	bool is_told = err == -EMSGSIZE && transport_refuse(t, c->buf + at, c->len - at, src);

	if (c->is_closing)
		return;
	log_debug(t->log, "flow=%llu closed: %s", (unsigned long long)c->id, err == -EMSGSIZE ? "message too large" : "not SIP");
	t->n.dropped_malformed += err != -EMSGSIZE;
	if (is_told)
		conn_refuse(c);
	else
		conn_close(c);
}

/* Takes whole messages off the front. A handler may close the connection. */
static void take_messages(struct tcp_conn *c)
{
	struct transport *t = c->transport;
	struct sip_source src = { .proto = conn_proto(c), .peer = c->peer, .local = c->local, .flow = c->id };
	size_t at = 0;

	while (at < c->len && !c->is_closing) {
		size_t skip;
		ptrdiff_t n = sip_msg_frame(c->buf + at, c->len - at, &skip);

		/* A ping is a double CRLF where a message could begin; it may come in pieces. */
		if (!take_pong(c, skip, at + skip == c->len))
			c->crlf_len += skip;
		if (c->crlf_len >= 4) {
			send_pong(c);
			c->crlf_len = 0;
		}
		at += skip;
		if (at < c->len)
			c->crlf_len = 0;
		if (n < 0) {
			take_broken(c, at, (int)n, &src);
			return;
		}
		if (n == 0)
			break;
		if (guard_enter(t->guard, &c->peer, true) == GUARD_BANNED) {
			conn_close(c);
			return;
		}
		c->is_used = true;
		c->last_ms = uv_now(t->loop);
		if (transport_receive(t, c->buf + at, (size_t)n, &src) && c->tls && !c->is_ours && !c->alias.family && !c->is_closing)
			take_alias(c);
		at += (size_t)n;
	}
	if (c->is_closing)
		return;
	memmove(c->buf, c->buf + at, c->len - at);
	c->len -= at;
	if (!c->len) {
		c->partial_since_ms = 0;
		if (c->size > TCP_BUFFER_MIN)
			buffer_drop(c);
	} else if (!c->partial_since_ms || at) {
		c->partial_since_ms = uv_now(t->loop);
	}
}

static int take_tls(struct tcp_conn *c, const char *bytes, size_t n)
{
	int err = tls_receive(c->tls, bytes, n), sent;

	while (!err && !c->is_closing && !c->is_refused) {
		ssize_t got = make_room(c) ? tls_read(c->tls, c->buf + c->len, c->size - c->len) : -ENOMEM;

		if (got < 0)
			err = (int)got;
		if (got <= 0)
			break;
		c->len += (size_t)got;
		take_messages(c);
	}
	/* Also what tells the peer why it is refused. */
	sent = c->is_closing || c->is_refused ? 0 : flush_tls(c);
	return err ? err : sent;
}

static void log_broken(const struct tcp_conn *c, int err)
{
	struct transport *t = c->transport;
	char text[SOCKADDR_TEXT_MAX];
	const char *name = c->name ? hostnames_text(t->names, c->name) : NULL;

	sockaddr_print(&c->peer, text);
	if (err == -EACCES && c->is_ours)
		log_warn(t->log, "flow=%llu peer=%s: its certificate isn't good for %s", (unsigned long long)c->id, text,
			 name ? name : "its address");
	else
		log_debug(t->log, "flow=%llu peer=%s closed: %s", (unsigned long long)c->id, text, strerror(-err));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	struct tcp_conn *c = stream->data;

	if (n < 0) {
		conn_close(c);
		return;
	}
	if (n == 0 || c->is_refused)
		return;
	c->heard_ms = uv_now(c->transport->loop);
	if (c->is_used) /* line ends or a handshake byte by byte buy nobody time */
		c->last_ms = c->heard_ms;
	if (!c->tls) {
		c->len += (size_t)n;
		take_messages(c);
	} else {
		int err = take_tls(c, buf->base, (size_t)n);

		if (err && !c->is_closing) {
			log_broken(c, err);
			conn_close(c);
		}
	}
	c->pinged_ms = 0; /* whatever it was, it was alive */
}

void socket_mark(int fd)
{
	static const int tos = TOS_CS5;

	/* Of one family each; marking is a courtesy to the network: failing to is no failure. */
	setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
	setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
}

void tcp_options(int fd)
{
	static const struct { int level, name, value; } options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 }, { SOL_SOCKET, SO_KEEPALIVE, 1 }, { IPPROTO_TCP, TCP_KEEPIDLE, TCP_PROBE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, TCP_PROBE_EVERY_S }, { IPPROTO_TCP, TCP_KEEPCNT, TCP_PROBES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_UNACKED_MAX_MS },
	};

	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
	socket_mark(fd);
}

static int conn_start(struct tcp_conn *c)
{
	int len = sizeof(c->local);

	uv_os_fd_t fd;

	if (uv_fileno((uv_handle_t *)&c->tcp, &fd) == 0)
		tcp_options(fd);
	uv_tcp_getsockname(&c->tcp, &c->local.sa, &len);
	return uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
}

static void take_socket(struct listener *l, int fd, const union sockaddr_any *peer)
{
	struct transport *t = l->transport;
	struct tcp_conn *c = conn_new(t);
	int err;

	if (!c) {
		gate_leave(t->gate, peer);
		close(fd);
		return;
	}
	c->peer = *peer;
	c->listener = l->id;
	c->is_counted = true;
	err = uv_tcp_open(&c->tcp, fd);
	if (err)
		close(fd);
	if (err || (l->tls && tls_accept(&c->tls, l->tls) != 0)) {
		c->is_silent = true;
		conn_close(c);
		return;
	}
	t->n.tcp_accepted++;
	addr_add(c);
	if (conn_start(c) != 0)
		conn_close(c);
}

int tcp_listen(struct listener *l)
{
	int err = accept_open(l, take_socket);

	return err ? err : accept_start(l);
}

/* ---- sending ---- */

static void on_connect(uv_connect_t *req, int status)
{
	struct tcp_conn *c = req->data;

	if (c->is_closing)
		return;
	if (status < 0 || conn_start(c) != 0)
		conn_close(c);
}

static int conn_start_tls(struct tcp_conn *c, uint32_t name)
{
	struct transport *t = c->transport;
	char text[SOCKADDR_TEXT_MAX];
	const char *called = name ? hostnames_text(t->names, name) : sockaddr_print_host(&c->peer, text);

	if (!called || !t->tls_client)
		return -EHOSTUNREACH;
	c->is_ours = true;
	c->name = name;
	return tls_connect(&c->tls, t->tls_client, called);
}

static struct tcp_conn *conn_open(struct transport *t, const struct sip_dest *to)
{
	struct tcp_conn *c = conn_new(t);

	if (!c)
		return NULL;
	c->peer = to->addr;
	c->is_counted = gate_enter(t->gate, &c->peer);
	c->connect.data = c;
	if (!c->is_counted || (to->proto == SIP_TLS && conn_start_tls(c, to->name) != 0) ||
	    uv_tcp_connect(&c->connect, &c->tcp, &to->addr.sa, on_connect) != 0) {
		c->is_silent = true;
		conn_close(c);
		return NULL;
	}
	addr_add(c);
	return c;
}

struct tcp_write { uv_write_t req; char bytes[]; };

static void on_written(uv_write_t *req, int status)
{
	struct tcp_conn *c = req->handle->data;

	free(req->data);
	if (status < 0)
		conn_close(c);
}

static int wire_write(struct tcp_conn *c, struct str bytes)
{
	uv_stream_t *stream = (uv_stream_t *)&c->tcp;
	uv_buf_t buf = uv_buf_init((char *)bytes.p, (unsigned)bytes.n);
	struct tcp_write *w;
	int n = uv_try_write(stream, &buf, 1);

	if (n < 0 && n != UV_EAGAIN)
		return n;
	if (n < 0)
		n = 0;
	if ((size_t)n == bytes.n)
		return 0;
	if (uv_stream_get_write_queue_size(stream) + bytes.n > TCP_UNSENT_MAX) {
		conn_close(c);
		return -ENOBUFS;
	}
	w = malloc(sizeof(*w) + bytes.n - (size_t)n);
	if (!w)
		return -ENOMEM;
	memcpy(w->bytes, bytes.p + n, bytes.n - (size_t)n);
	w->req.data = w;
	buf = uv_buf_init(w->bytes, (unsigned)(bytes.n - (size_t)n));
	n = uv_write(&w->req, stream, &buf, 1, on_written);
	if (n)
		free(w);
	return n;
}

static int flush_tls(struct tcp_conn *c)
{
	struct str out = tls_output(c->tls);
	int err = out.n ? wire_write(c, out) : 0;

	tls_output_sent(c->tls);
	return err;
}

static int conn_write(struct tcp_conn *c, struct str bytes)
{
	int err;

	if (!c->tls)
		return wire_write(c, bytes);
	err = tls_write(c->tls, bytes);
	return err ? err : flush_tls(c);
}

int tcp_send(struct transport *t, const struct sip_dest *dest, struct str bytes, uint64_t *flow)
{
	struct tcp_conn *c = NULL;
	bool is_new = false;
	int err;

	if (dest->flow) {
		c = conn_find(t, dest->flow);
		if (!c || c->is_refused)
			return -ENOTCONN;
	} else {
		c = addr_find(t, dest);
		is_new = !c;
		if (!c)
			c = conn_open(t, dest);
		if (!c)
			return -EHOSTUNREACH;
	}
	c->last_ms = uv_now(t->loop);
	c->is_used = true;
	err = conn_write(c, bytes);
	if (err && is_new) { /* nobody would know of it */
		c->is_silent = true;
		conn_close(c);
	} else if (flow) {
		*flow = c->id;
	}
	return err;
}

uint64_t tcp_listener(const struct transport *t, uint64_t flow)
{
	const struct tcp_conn *c = conn_find(t, flow);

	return c ? c->listener : 0;
}

bool tcp_is_open(const struct transport *t, uint64_t flow)
{
	const struct tcp_conn *c = conn_find(t, flow);

	return c && !c->is_closing;
}

void tcp_flow_expect(struct transport *t, uint64_t flow, uint32_t every_s)
{
	struct tcp_conn *c = conn_find(t, flow);

	if (c)
		c->silent_max_ms = every_s ? (uint64_t)every_s * 1000 + FLOW_GRACE_MS : 0;
}

/* Between 80 % and all of the time, as §4.4.1 has it: the sweep comes when it comes, and of a short time it may take more than is left. */
static uint64_t ping_wait_ms(const struct tcp_conn *c)
{
	uint64_t wait_ms = c->ping_every_ms / 100 * 80, left_ms = c->ping_every_ms - wait_ms;

	return left_ms >= TCP_SWEEP_MS || wait_ms < TCP_SWEEP_MS ? wait_ms : c->ping_every_ms - TCP_SWEEP_MS;
}

void tcp_flow_ping(struct transport *t, uint64_t flow, uint32_t every_s, bool must_answer)
{
	struct tcp_conn *c = conn_find(t, flow);

	if (!c)
		return;
	c->must_pong |= must_answer;
	if (c->ping_every_ms == (uint64_t)every_s * 1000)
		return;
	c->ping_every_ms = (uint64_t)every_s * 1000;
	c->ping_at_ms = uv_now(t->loop) + ping_wait_ms(c);
}

void tcp_flow_close(struct transport *t, uint64_t flow)
{
	struct tcp_conn *c = conn_find(t, flow);

	if (c)
		conn_close(c);
}

const char *tcp_flow_identity(const struct transport *t, uint64_t flow, unsigned i)
{
	struct tcp_conn *c = conn_find(t, flow);

	return c && c->tls ? tls_peer_identity(c->tls, i) : NULL;
}

void tcp_close_revoked(struct transport *t)
{
	struct tcp_conn *c, *next;

	HASH_ITER(hh, t->conns, c, next)
		if (c->tls && tls_is_revoked(c->tls, t->tls_client))
			conn_close(c);
}

static void ping(struct tcp_conn *c, uint64_t now)
{
	if (!c->ping_every_ms || now < c->ping_at_ms || c->is_refused)
		return;
	c->ping_at_ms = now + ping_wait_ms(c);
	c->pinged_ms = now;
	conn_write(c, STR("\r\n\r\n"));
}

static bool is_overdue(const struct tcp_conn *c, uint64_t now)
{
	if (c->is_refused)
		return now - c->began_ms > REFUSED_MAX_MS;
	return (c->partial_since_ms && now - c->partial_since_ms > TCP_PARTIAL_MAX_MS) ||
	       (c->tls && !tls_is_established(c->tls) && now - c->began_ms > HANDSHAKE_MAX_MS) ||
	       (c->silent_max_ms && now - c->heard_ms > c->silent_max_ms) ||
	       (c->pinged_ms && c->must_pong && now - c->pinged_ms > PONG_MAX_MS) ||
	       now - c->last_ms > (c->is_used ? c->transport->idle_max_ms : TCP_SILENT_MAX_MS);
}

void tcp_sweep(struct transport *t)
{
	uint64_t now = uv_now(t->loop);
	struct tcp_conn *c, *next;

	HASH_ITER(hh, t->conns, c, next)
		if (is_overdue(c, now))
			conn_close(c);
		else
			ping(c, now);
}

void tcp_close_all(struct transport *t)
{
	struct tcp_conn *c, *next;

	HASH_ITER(hh, t->conns, c, next)
		conn_close(c);
}

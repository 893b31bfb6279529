/* transport.c - UDP, and which flow a message takes.
 *
 * Datagrams are read in batches into one buffer and parsed there; nothing is allocated for a received one. A datagram is sent
 * at once and copied only when the socket is full, but in a busy turn of the loop, which sends all of its own at its end.
 */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "sip/stun.h"
#include "sip/transport_int.h"

#define UDP_BUSY 4                   /* datagrams received in a turn: what is sent waits for the end of the turn */
#define UDP_SOCKET_BUFFER (4 << 20)  /* a burst of some thousand requests */

static void transport_free(struct transport *t)
{
	tls_context_free(t->tls_client);
	hostnames_free(t->names);
	gate_free(t->gate);
	guard_free(t->guard);
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

bool transport_take(struct transport *t, char *buf, size_t len, const struct sip_source *src)
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

unsigned transport_loss(const struct transport *t)
{
	return intake_loss(t->intake);
}

void transport_shed(struct transport *t, char *buf, size_t len, const struct sip_source *src)
{
	struct sip_msg_error err;

	if (sip_msg_parse(&t->msg, buf, len, &err) != 0)
		return;
	err = (struct sip_msg_error){ .status = 503 };
	t->h.on_message(&t->msg, &err, src, t->arg);
}

bool transport_receive(struct transport *t, char *buf, size_t len, const struct sip_source *src)
{
	return !t->is_closing && !intake_put_off(t->intake, buf, len, src) && transport_take(t, buf, len, src);
}

bool transport_refuse(struct transport *t, char *buf, size_t len, const struct sip_source *src)
{
	struct sip_msg_error err;
	bool has_end;
	size_t head = sip_msg_cut(buf, len, &has_end);

	t->n.dropped_oversize++;
	if (!head || (sip_msg_parse(&t->msg, buf, head, &err) && !err.status))
		return false;
	err = (struct sip_msg_error){ .status = has_end ? 413 : 513 };
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

struct udp_send { uv_udp_send_t req; char bytes[]; };

static void on_udp_sent(uv_udp_send_t *req, int status)
{
	(void)status; /* lost datagrams are sent again by their transaction */
	free(req->data);
}

static int udp_send(struct transport *t, struct listener *l, const union sockaddr_any *to, struct str bytes)
{
	uv_buf_t buf = uv_buf_init((char *)bytes.p, (unsigned)bytes.n);
	struct udp_send *s;
	int err;

	if ((t->turn_received >= UDP_BUSY && t->turn_ms == uv_now(t->loop)) || batch_is_open(t->batch)) {
		uv_os_fd_t fd;

		if (uv_fileno((uv_handle_t *)&l->udp, &fd) == 0 && batch_add(t->batch, fd, to, bytes))
			return 0;
		batch_flush(t->batch);
	}
	err = uv_udp_try_send(&l->udp, &buf, 1, &to->sa);
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
	return 0;
}

static void take_stun(struct listener *l, const char *bytes, size_t n, const struct sip_source *src)
{
	char answer[STUN_ANSWER_MAX];
	size_t len;

	if (stun_is_answer(bytes, n)) {
		if (l->transport->h.on_stun)
			l->transport->h.on_stun((struct str){ bytes, n }, src, l->transport->arg);
		return;
	}
	len = stun_answer(bytes, n, &src->peer, answer);
	if (len && udp_send(l->transport, l, &src->peer, (struct str){ answer, len }) == 0)
		l->transport->n.keepalives++;
	else
		l->transport->n.dropped_malformed++;
}

void udp_take(struct listener *l, char *bytes, size_t n, const union sockaddr_any *from, bool is_cut)
{
	struct transport *t = l->transport;
	struct sip_source src;

	l->turn_read++;
	if (is_cut) {
		t->n.dropped_oversize++;
		return;
	}
	if (is_keepalive(bytes, n)) {
		t->n.keepalives++;
		return;
	}
	if (guard_enter(t->guard, from, false) != GUARD_PASS)
		return;
	src = (struct sip_source){ .proto = SIP_UDP, .local = l->addr, .flow = l->id };
	memcpy(&src.peer, from, sockaddr_len(from));
	if (stun_is(bytes, n)) {
		take_stun(l, bytes, n, &src);
		return;
	}
	if (t->turn_ms != uv_now(t->loop)) {
		t->turn_ms = uv_now(t->loop);
		t->turn_received = 0;
	}
	t->turn_received++;
	transport_receive(t, bytes, n, &src);
}

static void on_udp(uv_udp_t *udp, ssize_t n, const uv_buf_t *buf, const struct sockaddr *from, unsigned flags)
{
	struct listener *l = udp->data;

	if (n >= 0 && from && !l->transport->is_closing) /* errors of single datagrams (ICMP) are no errors of ours */
		udp_take(l, buf->base, (size_t)n, (const union sockaddr_any *)from, flags & UV_UDP_PARTIAL);
}

/* ---- listeners ---- */

int udp_listen(struct listener *l)
{
	struct transport *t = l->transport;
	int size = UDP_SOCKET_BUFFER, err;
	uv_os_fd_t fd;

	err = uv_udp_init_ex(t->loop, &l->udp, AF_UNSPEC | UV_UDP_RECVMMSG);
	if (err)
		return err;
	t->handles++;
	l->handles++;
	l->udp.data = l;
	err = uv_udp_bind(&l->udp, &l->addr.sa, l->addr.sa.sa_family == AF_INET6 ? UV_UDP_IPV6ONLY : 0);
	if (err)
		return err;
	/* Beyond the system's limit, too, as long as we are root. */
	if (uv_fileno((uv_handle_t *)&l->udp, &fd) != 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) != 0)
		uv_recv_buffer_size((uv_handle_t *)&l->udp, &size);
	size = UDP_SOCKET_BUFFER;
	uv_send_buffer_size((uv_handle_t *)&l->udp, &size);
	return uv_udp_recv_start(&l->udp, on_udp_alloc, on_udp);
}

void transport_limit(struct transport *t, const struct transport_limits *l)
{
	gate_limits(t->gate, l->conns, l->per_address);
	t->idle_max_ms = l->idle_s ? (uint64_t)l->idle_s * 1000 : TCP_IDLE_MAX_MS;
}

char *transport_grow(struct transport *t, const union sockaddr_any *peer, char *buf, size_t *size, size_t need)
{
	size_t more = *size ? *size : TCP_BUFFER_MIN;
	char *p;

	while (more < need)
		more *= 2;
	if (buf && more == *size)
		return buf;
	if (!gate_hold(t->gate, peer, more - *size))
		return NULL;
	p = realloc(buf, more);
	if (!p) {
		gate_give(t->gate, peer, more - *size);
		return NULL;
	}
	*size = more;
	return p;
}

void transport_drop(struct transport *t, const union sockaddr_any *peer, char *buf, size_t *size)
{
	free(buf);
	gate_give(t->gate, peer, *size);
	*size = 0;
}

static void on_sweep(uv_timer_t *timer)
{
	struct transport *t = timer->data;

	accept_sweep(t);
	tcp_sweep(t);
	ws_sweep(t, uv_now(t->loop));
	transport_refresh(t);
}

static uint64_t now_ms(void *arg)
{
	const struct transport *t = arg;

	return uv_now(t->loop);
}

static int make_guard(struct transport *t)
{
	struct guard_params p = { .now_ms = now_ms, .arg = t };

	if (getrandom(p.key, sizeof(p.key), 0) != sizeof(p.key))
		return -EIO;
	return guard_new(&t->guard, &p);
}

struct guard *transport_guard(struct transport *t)
{
	return t->guard;
}

int transport_new(struct transport **out, uv_loop_t *loop, const struct log *log, const struct transport_handler *h, void *arg)
{
	struct transport *t = calloc(1, sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	t->loop = loop;
	t->udp_buf = malloc(UDP_BATCH * UDP_SLOT);
	err = t->udp_buf ? hostnames_new(&t->names) : -ENOMEM;
	if (!err)
		err = gate_new(&t->gate, log);
	if (!err)
		err = make_guard(t);
	if (!err)
		err = batch_new(&t->batch, loop, &t->n.send_errors);
	if (!err)
		err = intake_new(&t->intake, t);
	if (!err)
		err = uv_timer_init(loop, &t->sweep);
	if (err) {
		intake_close(t->intake);
		batch_close(t->batch);
		transport_free(t);
		return err;
	}
	t->log = log;
	t->h = *h;
	t->arg = arg;
	t->next_id = FLOW_FIRST_CONN;
	t->idle_max_ms = TCP_IDLE_MAX_MS;
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
	batch_close(t->batch);
	t->batch = NULL;
	intake_close(t->intake);
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

int transport_name(struct transport *t, struct str host, uint32_t *name)
{
	return hostnames_id(t->names, host, name);
}

void transport_flow_expect(struct transport *t, uint64_t flow, uint32_t every_s)
{
	if (!t->is_closing)
		tcp_flow_expect(t, flow, every_s);
}

void transport_flow_ping(struct transport *t, uint64_t flow, uint32_t every_s, bool must_answer)
{
	if (!t->is_closing)
		tcp_flow_ping(t, flow, every_s, must_answer);
}

const char *transport_flow_identity(const struct transport *t, uint64_t flow, unsigned i)
{
	return tcp_flow_identity(t, flow, i);
}

void transport_flow_close(struct transport *t, uint64_t flow)
{
	if (!t->is_closing)
		tcp_flow_close(t, flow);
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

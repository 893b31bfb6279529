/* transport.c - which flow a message takes. */
#define LOG_MODULE "transport"
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "sip/transport_int.h"

static void transport_free(struct transport *t)
{
	tls_context_free(t->tls_client);
	hostnames_free(t->names);
	gate_free(t->gate);
	guard_free(t->guard);
	udp_free(t->udp);
	free(t);
}

static void listeners_free(struct listener *l)
{
	while (l) {
		struct listener *next = l->next;

		listener_free(l);
		l = next;
	}
}

void transport_handle_closed(struct transport *t)
{
	if (--t->handles)
		return;
	listeners_free(t->listeners);
	listeners_free(t->retired);
	transport_free(t);
}

void transport_watch(struct transport *t, void (*fn)(const struct transport_seen *seen, void *arg), void *arg)
{
	t->on_seen = fn;
	t->on_seen_arg = arg;
}

bool transport_take(struct transport *t, char *buf, size_t len, const struct sip_source *src)
{
	struct sip_msg_error err;
	int bad;

	if (t->on_seen)
		transport_show(t, false, &(struct sip_dest){ .proto = src->proto, .addr = src->peer, .flow = src->flow }, (struct str){ buf, len });
	bad = sip_msg_parse(&t->msg, buf, len, &err);
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
	err = udp_new(&t->udp);
	if (!err)
		err = hostnames_new(&t->names);
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

void transport_show(struct transport *t, bool is_sent, const struct sip_dest *peer, struct str bytes)
{
	union sockaddr_any local = { 0 };

	if (transport_local(t, peer, &local) != 0)
		local.sa.sa_family = peer->addr.sa.sa_family;
	t->on_seen(&(struct transport_seen){ is_sent, peer->proto, &peer->addr, &local, bytes }, t->on_seen_arg);
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
	if (t->on_seen && !err)
		transport_show(t, true, dest, bytes);
	return err;
}

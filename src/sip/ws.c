/* ws.c - SIP over WebSocket and secure WebSocket (RFC 7118), the framing of which is libwebsockets' (RFC 6455).
 *
 * Sockets are accepted as those of TCP are (accept.c) and then given to libwebsockets, which runs on our
 * loop: it reads, shakes hands (TLS with the certificate of tls.c), frames and calls on_event(). A message of SIP is a message of
 * WebSocket, in one frame or several, text or binary. libwebsockets knows connections by our id, never by a pointer: what it still
 * has to say of one that is gone finds nothing.
 *
 * A peer is reached by the connection it opened and by no other; none is opened from here (RFC 7118 §5).
 */
#define LOG_MODULE "ws"
#include <errno.h>
#include <libwebsockets.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define DRAIN_MS 1

struct ws_out {
	struct ws_out *next;
	size_t len;
	bool is_text;
	unsigned char bytes[];   /* LWS_PRE free ones, then the message */
};

struct ws_conn {
	UT_hash_handle hh;       /* by id */
	struct transport *transport;
	struct lws *wsi;
	struct listener *listener;
	uint64_t id;
	union sockaddr_any peer, local;
	char *buf;               /* the message coming in */
	size_t len, size;
	struct ws_out *out, **out_end;
	size_t unsent;
	uint64_t began_ms, heard_ms, said_ms;
	uint64_t partial_since_ms; /* 0: no message is under way */
	bool is_open;            /* the handshake is over: somebody may know its id */
	bool is_used;            /* a message has come */
	bool is_refused;         /* to be ended when it has been sent why */
	bool is_doomed;          /* to be ended by the sweep */
	bool wants_ping;
};

/* A socket that libwebsockets was given and didn't take. */
struct ws_lost {
	struct ws_lost *next;
	int fd;
	ino_t socket;            /* which one it was: the number may be somebody else's by now */
};

struct ws {
	struct lws_context *lws;
	struct ws_conn *conns;
	struct ws_lost *lost;
	uv_timer_t drain;        /* runs while libwebsockets takes itself down */
};

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len);

/* Of the protocol that RFC 7118 §4 names; what asks for another one is refused. */
static const struct lws_protocols protocols[] = { { .name = "sip", .callback = on_event }, { 0 } };

/* ---- connections ---- */

static struct ws_conn *conn_find(const struct transport *t, uint64_t id)
{
	struct ws_conn *c = NULL;

	if (t->ws)
		HASH_FIND(hh, t->ws->conns, &id, sizeof(id), c);
	return c;
}

static struct ws_conn *conn_of(struct lws *wsi)
{
	const struct transport *t = lws_context_user(lws_get_context(wsi));

	return conn_find(t, (uint64_t)(uintptr_t)lws_get_opaque_user_data(wsi));
}

static struct ws_conn *conn_new(struct listener *l)
{
	struct transport *t = l->transport;
	struct ws_conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->transport = t;
	c->listener = l;
	l->nconns++;
	c->id = t->next_id++;
	c->out_end = &c->out;
	c->began_ms = c->heard_ms = c->said_ms = uv_now(t->loop);
	HASH_ADD(hh, t->ws->conns, id, sizeof(c->id), c);
	if (c->hh.tbl)
		return c;
	l->nconns--;
	free(c);
	return NULL;
}

static void conn_free(struct ws_conn *c)
{
	struct transport *t = c->transport;

	HASH_DEL(t->ws->conns, c);
	c->listener->nconns--;
	gate_leave(t->gate, &c->peer);
	while (c->out) {
		struct ws_out *o = c->out;

		c->out = o->next;
		free(o);
	}
	transport_drop(t, &c->peer, c->buf, &c->size);
	free(c);
}

/* libwebsockets lets go of it, outside of any call into us. */
static void conn_ended(struct ws_conn *c)
{
	struct transport *t = c->transport;
	bool is_told = c->is_open && !t->is_closing;
	uint64_t id = c->id;

	t->n.tcp_closed++;
	conn_free(c);
	if (is_told && t->h.on_flow_closed)
		t->h.on_flow_closed(id, t->arg);
}

/* ---- the handshake ---- */

static int refuse(struct lws *wsi, unsigned status)
{
	return lws_return_http_status(wsi, status, NULL) || lws_http_transaction_completed(wsi) ? -1 : 1;
}

/* RFC 6455 §4.2.2: it is told which version would do, and as HTTP has it, what to upgrade to. */
static int refuse_version(struct lws *wsi)
{
	unsigned char buf[LWS_PRE + 512], *start = buf + LWS_PRE, *p = start, *end = buf + sizeof(buf) - 1;

	if (lws_add_http_header_status(wsi, 426, &p, end) ||
	    lws_add_http_header_by_name(wsi, (const unsigned char *)"upgrade:", (const unsigned char *)"websocket", 9, &p, end) ||
	    lws_add_http_header_by_name(wsi, (const unsigned char *)"sec-websocket-version:", (const unsigned char *)"13", 2, &p, end) ||
	    lws_add_http_header_content_length(wsi, 0, &p, end) || lws_finalize_write_http_header(wsi, start, &p, end) ||
	    lws_http_transaction_completed(wsi))
		return -1;
	return 1;
}

static bool header_has_token(struct lws *wsi, enum lws_token_indexes header, const char *token)
{
	char text[256];
	int n = lws_hdr_copy(wsi, text, sizeof(text), header);
	struct str rest = { text, n > 0 ? (size_t)n : 0 };

	while (rest.n)
		if (str_ieqz(str_trim(str_cut(&rest, ',')), token))
			return true;
	return false;
}

/* RFC 6455 §10.2: a browser says which site's script wants to connect. Phones that are no browsers say nothing. */
static bool is_origin_allowed(struct lws *wsi, const char *allowed)
{
	char origin[256];
	struct str rest = str_from(allowed ? allowed : "");
	int n;

	if (!rest.n || !lws_hdr_total_length(wsi, WSI_TOKEN_ORIGIN))
		return true;
	n = lws_hdr_copy(wsi, origin, sizeof(origin), WSI_TOKEN_ORIGIN);
	while (n > 0 && rest.n)
		if (str_ieqz(str_trim(str_cut(&rest, ' ')), origin))
			return true;
	return false;
}

/* 0: go on; 1: answered; -1: hang up. */
static int confirm_upgrade(struct lws *wsi, const char *to)
{
	const struct ws_conn *c = conn_of(wsi);
	char version[4];

	if (!c || strcasecmp(to, "websocket") != 0)
		return -1;
	if (lws_hdr_copy(wsi, version, sizeof(version), WSI_TOKEN_VERSION) <= 0 || strcmp(version, "13") != 0)
		return refuse_version(wsi);
	if (!header_has_token(wsi, WSI_TOKEN_PROTOCOL, "sip"))
		return refuse(wsi, HTTP_STATUS_BAD_REQUEST);
	return is_origin_allowed(wsi, c->listener->origins) ? 0 : refuse(wsi, HTTP_STATUS_FORBIDDEN);
}

/* ---- receiving ---- */

static enum sip_proto proto_of(const struct ws_conn *c)
{
	return c->listener->tls ? SIP_WSS : SIP_WS;
}

static int grow(struct ws_conn *c, size_t len)
{
	char *p = transport_grow(c->transport, &c->peer, c->buf, &c->size, len);

	if (!p)
		return -ENOMEM;
	c->buf = p;
	return 0;
}

/* The double CRLF of RFC 5626 §4.4.1 is a message of its own here, and so is the answer. */
static bool is_ping(const struct ws_conn *c)
{
	return c->len == 4 && memcmp(c->buf, "\r\n\r\n", 4) == 0;
}

static void take_message(struct ws_conn *c)
{
	struct transport *t = c->transport;
	struct sip_source src = { .proto = proto_of(c), .peer = c->peer, .local = c->local, .flow = c->id };

	if (is_ping(c)) {
		t->n.keepalives++;
		if (c->unsent < PONGS_UNSENT_MAX)
			ws_send(t, &(struct sip_dest){ .flow = c->id }, STR("\r\n"));
	} else if (guard_enter(t->guard, &c->peer, true) == GUARD_BANNED) {
		c->is_doomed = true;
	} else if (c->len > 2) {
		c->is_used = true;
		transport_receive(t, c->buf, c->len, &src);
	}
	c->len = 0;
	c->partial_since_ms = 0;
	if (c->size > TCP_BUFFER_MIN) {
		transport_drop(t, &c->peer, c->buf, &c->size);
		c->buf = NULL;
	}
}

static int end_too_large(struct lws *wsi)
{
	lws_close_reason(wsi, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, NULL, 0);
	return -1;
}

/* As much of it as a message may have tells who is to be answered. */
static int refuse_large(struct ws_conn *c, struct lws *wsi, const char *bytes)
{
	struct sip_source src = { .proto = proto_of(c), .peer = c->peer, .local = c->local, .flow = c->id };
	bool is_told;

	if (grow(c, SIP_MSG_MAX))
		return -1;
	memcpy(c->buf + c->len, bytes, SIP_MSG_MAX - c->len);
	is_told = transport_refuse(c->transport, c->buf, SIP_MSG_MAX, &src) && c->out;
	transport_drop(c->transport, &c->peer, c->buf, &c->size);
	c->buf = NULL;
	c->len = 0;
	c->partial_since_ms = 0;
	c->is_refused = true;
	c->began_ms = c->heard_ms;
	return is_told ? 0 : end_too_large(wsi);
}

static int receive(struct ws_conn *c, struct lws *wsi, const char *bytes, size_t n)
{
	c->heard_ms = uv_now(c->transport->loop);
	if (c->is_refused)
		return 0;
	if (c->len + n > SIP_MSG_MAX)
		return refuse_large(c, wsi, bytes);
	if (grow(c, c->len + n))
		return -1;
	memcpy(c->buf + c->len, bytes, n);
	c->len += n;
	if (!c->partial_since_ms)
		c->partial_since_ms = c->heard_ms;
	if (lws_is_final_fragment(wsi) && !lws_remaining_packet_payload(wsi))
		take_message(c);
	return c->is_doomed ? -1 : 0;
}

/* ---- sending ---- */

/* A text message must be UTF-8 (RFC 6455 §8.1), which a body needn't be. */
static bool is_utf8(struct str s)
{
	for (size_t i = 0; i < s.n;) {
		unsigned n = (unsigned char)s.p[i] < 0x80 ? 1 : str_utf8_len(str_from_at(s, i));

		if (!n)
			return false;
		i += n;
	}
	return true;
}

int ws_send(struct transport *t, const struct sip_dest *dest, struct str bytes)
{
	struct ws_conn *c = dest->flow ? conn_find(t, dest->flow) : NULL;
	struct ws_out *o;

	if (!c || !c->is_open || c->is_doomed || c->is_refused)
		return dest->flow ? -ENOTCONN : -EHOSTUNREACH;
	if (c->unsent + bytes.n > TCP_UNSENT_MAX) {
		c->is_doomed = true;
		return -ENOBUFS;
	}
	o = malloc(sizeof(*o) + LWS_PRE + bytes.n);
	if (!o)
		return -ENOMEM;
	o->next = NULL;
	o->len = bytes.n;
	o->is_text = is_utf8(bytes);
	memcpy(o->bytes + LWS_PRE, bytes.p, bytes.n);
	*c->out_end = o;
	c->out_end = &o->next;
	c->unsent += bytes.n;
	lws_callback_on_writable(c->wsi);
	return 0;
}

bool ws_is_open(const struct transport *t, uint64_t flow)
{
	return conn_find(t, flow) != NULL;
}

uint64_t ws_listener(const struct transport *t, uint64_t flow)
{
	const struct ws_conn *c = conn_find(t, flow);

	return c ? c->listener->id : 0;
}

static int write_next(struct ws_conn *c)
{
	unsigned char ping[LWS_PRE];
	struct ws_out *o = c->out;
	int n;

	if (c->is_doomed)
		return -1;
	if (c->wants_ping) {
		c->wants_ping = false;
		n = lws_write(c->wsi, ping + LWS_PRE, 0, LWS_WRITE_PING);
	} else if (o) {
		c->out = o->next;
		if (!c->out)
			c->out_end = &c->out;
		c->unsent -= o->len;
		n = lws_write(c->wsi, o->bytes + LWS_PRE, o->len, o->is_text ? LWS_WRITE_TEXT : LWS_WRITE_BINARY);
		free(o);
	} else {
		return 0;
	}
	if (n < 0)
		return -1;
	/* Ended from here, Debian's libwebsockets would close it twice and not say why. */
	if (c->is_refused && !c->out)
		lws_set_timer_usecs(c->wsi, 1);
	if (c->out || c->wants_ping)
		lws_callback_on_writable(c->wsi);
	return 0;
}

/* ---- what libwebsockets has to say ---- */

static int on_conn_event(struct ws_conn *c, struct lws *wsi, enum lws_callback_reasons reason, void *in, size_t len)
{
	switch (reason) {
	case LWS_CALLBACK_ESTABLISHED:
		c->is_open = true;
		c->heard_ms = uv_now(c->transport->loop);
		return 0;
	case LWS_CALLBACK_RECEIVE:
		return receive(c, wsi, in, len);
	case LWS_CALLBACK_RECEIVE_PONG:
		c->heard_ms = uv_now(c->transport->loop);
		return 0;
	case LWS_CALLBACK_SERVER_WRITEABLE:
		return write_next(c);
	case LWS_CALLBACK_TIMER:
		return c->is_refused ? end_too_large(wsi) : 0;
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		conn_ended(c);
		return 0;
	default:
		return 0;
	}
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len)
{
	struct ws_conn *c;

	switch (reason) {
	case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS:
		tls_context_serve(((struct listener *)lws_get_vhost_user(in))->tls, user);
		return 0;
	case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
		return confirm_upgrade(wsi, in);
	case LWS_CALLBACK_HTTP:
		return refuse_version(wsi) < 0 ? -1 : 0;
	case LWS_CALLBACK_RAW_ADOPT:
	case LWS_CALLBACK_RAW_RX:
		return -1; /* "CONNECT host" would make it a pipe */
	case LWS_CALLBACK_ESTABLISHED:
	case LWS_CALLBACK_RECEIVE:
	case LWS_CALLBACK_RECEIVE_PONG:
	case LWS_CALLBACK_SERVER_WRITEABLE:
	case LWS_CALLBACK_TIMER:
	case LWS_CALLBACK_CLOSED:
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_WSI_DESTROY:
		c = conn_of(wsi);
		return c ? on_conn_event(c, wsi, reason, in, len) : -1;
	default:
		return 0;
	}
}

/* ---- listening ---- */

/* libwebsockets 4.1 closes a socket that it can't take: at once, or soon, or, where OpenSSL had no memory left to be told which one it is,
 * never. So it is ended, and closed by the next sweep if it is still there. */
static struct ws_lost *lost_new(int fd)
{
	struct ws_lost *lost = malloc(sizeof(*lost));
	struct stat st;

	if (lost && fstat(fd, &st) == 0) {
		*lost = (struct ws_lost){ .fd = fd, .socket = st.st_ino };
		return lost;
	}
	free(lost);
	return NULL;
}

static bool lost_is_there(const struct ws_lost *lost)
{
	struct stat st;

	return fstat(lost->fd, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_ino == lost->socket;
}

static void lost_sweep(struct ws *ws)
{
	while (ws->lost) {
		struct ws_lost *lost = ws->lost;

		ws->lost = lost->next;
		if (lost_is_there(lost))
			close(lost->fd);
		free(lost);
	}
}

/* NULL: it is, or will be, closed. */
static struct lws *adopt(struct listener *l, int fd, uint64_t id)
{
	struct ws *ws = l->transport->ws;
	struct ws_lost *lost = lost_new(fd);
	struct lws *wsi;

	if (!lost) {
		close(fd);
		return NULL;
	}
	wsi = lws_adopt_descriptor_vhost_via_info(&(lws_adopt_desc_t){ .vh = l->vhost, .type = LWS_ADOPT_HTTP | LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
								       .fd.sockfd = fd, .opaque = (void *)(uintptr_t)id });
	if (wsi) {
		free(lost);
		return wsi;
	}
	if (lost_is_there(lost))
		shutdown(fd, SHUT_RDWR);
	lost->next = ws->lost;
	ws->lost = lost;
	return NULL;
}

static void take_socket(struct listener *l, int fd, const union sockaddr_any *peer)
{
	struct transport *t = l->transport;
	socklen_t len = sizeof(union sockaddr_any);
	struct ws_conn *c;
	uint64_t id;
	struct lws *wsi;

	c = conn_new(l);
	if (!c) {
		gate_leave(t->gate, peer);
		close(fd);
		return;
	}
	t->n.tcp_accepted++;
	c->peer = *peer;
	getsockname(fd, &c->local.sa, &len);
	id = c->id;
	tcp_options(fd);
	wsi = adopt(l, fd, id);
	c = conn_find(t, id);
	if (!wsi && c)
		conn_ended(c);
	else if (c)
		c->wsi = wsi;
}

static int ws_start(struct transport *t)
{
	void *loops[] = { t->loop };
	const struct lws_context_creation_info info = {
		.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT |
			   LWS_SERVER_OPTION_VALIDATE_UTF8,
		.foreign_loops = loops, .gid = -1, .uid = -1, .user = t,
	};

	if (t->ws)
		return 0;
	t->ws = calloc(1, sizeof(*t->ws));
	if (!t->ws)
		return -ENOMEM;
	lws_set_log_level(0, NULL);
	t->ws->lws = lws_create_context(&info);
	if (t->ws->lws) {
		t->handles++;
		return 0;
	}
	log_error(t->log, "libwebsockets doesn't start: is libwebsockets-evlib-uv installed?");
	free(t->ws);
	t->ws = NULL;
	return -ENOSYS;
}

static int vhost_new(struct listener *l)
{
	struct lws_context_creation_info info = {
		/* CREATE_VHOST_SSL_CTX: on_event() fills it */
		.options = l->tls ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX : 0,
		.port = l->tls ? CONTEXT_PORT_NO_LISTEN_SERVER : CONTEXT_PORT_NO_LISTEN, /* it is we who listen */
		.protocols = protocols, .user = l, .alpn = "http/1.1", .vhost_name = l->tls ? "wss" : "ws",
	};

	l->vhost = lws_create_vhost(l->transport->ws->lws, &info);
	return l->vhost ? 0 : -ENOMEM;
}

int ws_listen(struct listener *l)
{
	int err = ws_start(l->transport);

	if (!err)
		err = accept_open(l, take_socket);
	if (!err)
		err = vhost_new(l);
	if (!err)
		err = accept_start(l);
	if (err && l->vhost) { /* the listener is to go */
		lws_vhost_destroy(l->vhost);
		l->vhost = NULL;
	}
	return err;
}

/* Of listeners that were removed: a sweep ago at least libwebsockets has let go of their last connections. */
static void retired_sweep(struct transport *t)
{
	struct listener **at = &t->retired;

	while (*at) {
		struct listener *l = *at;

		if (l->nconns || l->handles || !l->is_left) {
			l->is_left = l->nconns == 0;
			at = &l->next;
			continue;
		}
		*at = l->next;
		lws_vhost_destroy(l->vhost);
		listener_free(l);
	}
}

/* ---- limits, and the end ---- */

void ws_sweep(struct transport *t, uint64_t now)
{
	struct ws_conn *c, *next;

	if (!t->ws || t->is_closing)
		return;
	lost_sweep(t->ws);
	retired_sweep(t);
	HASH_ITER(hh, t->ws->conns, c, next) {
		if (c->is_doomed || (c->is_refused && now - c->began_ms > REFUSED_MAX_MS) || (c->partial_since_ms && now - c->partial_since_ms > TCP_PARTIAL_MAX_MS) ||
		    (!c->is_used && now - c->began_ms > TCP_SILENT_MAX_MS) || now - c->heard_ms > WS_DEAD_MS ||
		    (!c->is_open && now - c->began_ms > HANDSHAKE_MAX_MS)) {
			lws_set_timeout(c->wsi, PENDING_TIMEOUT_CLOSE_ACK, LWS_TO_KILL_SYNC); /* to the end, conn_ended() */
		} else if (c->is_open && now - c->heard_ms > WS_PING_MS && now - c->said_ms > WS_PING_MS) {
			c->said_ms = now;
			c->wants_ping = true;
			lws_callback_on_writable(c->wsi);
		}
	}
}

void ws_close_revoked(struct transport *t)
{
	struct ws_conn *c, *next;

	if (!t->ws)
		return;
	HASH_ITER(hh, t->ws->conns, c, next)
		if (c->listener->tls && c->wsi && tls_context_revokes(t->tls_client, lws_get_ssl(c->wsi)))
			c->is_doomed = true;
}

static void on_drain_closed(uv_handle_t *handle)
{
	struct ws *ws = container_of(handle, struct ws, drain);
	struct transport *t = handle->data;
	struct ws_conn *c, *next;

	HASH_ITER(hh, ws->conns, c, next)
		conn_free(c);
	lost_sweep(ws);
	t->ws = NULL;
	free(ws);
	transport_handle_closed(t);
}

struct search { const void *context; bool is_found; };

static void look(uv_handle_t *handle, void *arg)
{
	struct search *s = arg;

	s->is_found |= handle->data == s->context;
}

/* Its own handles, whose data is the context, are the last that it closes, and then it waits for a second call to free itself. */
static void on_drain(uv_timer_t *timer)
{
	struct ws *ws = container_of(timer, struct ws, drain);
	struct search s = { .context = ws->lws };

	uv_walk(timer->loop, look, &s);
	if (s.is_found)
		return;
	lws_context_destroy(ws->lws);
	uv_close((uv_handle_t *)timer, on_drain_closed);
}

void ws_close(struct transport *t)
{
	if (!t->ws)
		return;
	lws_context_destroy(t->ws->lws);
	uv_timer_init(t->loop, &t->ws->drain);
	t->ws->drain.data = t;
	uv_timer_start(&t->ws->drain, on_drain, DRAIN_MS, DRAIN_MS);
}

/* fuzz_ws.c - libFuzzer target on WebSockets above libwebsockets: what on_event() of ws.c makes of handshakes and of frames.
 *
 * libwebsockets is played by the functions below. The input is a handshake's headers, a line each, an empty line, then messages, each cut
 * as its bytes say. However a message is cut into frames and pieces, it comes up whole, once and in its place; what is too long, or
 * isn't finished, holds no memory when the connection has ended.
 */
#include "../../src/sip/ws.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADERS 4                /* Sec-WebSocket-Version, -Protocol, Origin, and what is ours */
#define MESSAGES_MAX 64

static struct lws_state {
	struct transport *transport;
	uint64_t id;
	struct str headers[HEADERS];
	bool is_final;
	size_t remaining;
	unsigned status;             /* of a handshake that was refused */
	bool wants_to_write;
	unsigned nwritten;
} lws;

/* ---- libwebsockets ---- */

struct lws_context *lws_get_context(const struct lws *wsi) { return (struct lws_context *)wsi; }
void *lws_context_user(struct lws_context *context) { (void)context; return lws.transport; }
void *lws_get_opaque_user_data(const struct lws *wsi) { (void)wsi; return (void *)(uintptr_t)lws.id; }
int lws_is_final_fragment(struct lws *wsi) { (void)wsi; return lws.is_final; }
size_t lws_remaining_packet_payload(struct lws *wsi) { (void)wsi; return lws.remaining; }
int lws_callback_on_writable(struct lws *wsi) { (void)wsi; lws.wants_to_write = true; return 1; }
void lws_close_reason(struct lws *wsi, enum lws_close_status status, unsigned char *buf, size_t len) { (void)wsi; (void)status; (void)buf; (void)len; }

static struct str header(enum lws_token_indexes h)
{
	return lws.headers[h == WSI_TOKEN_VERSION ? 0 : h == WSI_TOKEN_PROTOCOL ? 1 : 2];
}

int lws_hdr_total_length(struct lws *wsi, enum lws_token_indexes h) { (void)wsi; return (int)header(h).n; }

/* As libwebsockets does: -1 when there is no room. */
int lws_hdr_copy(struct lws *wsi, char *dest, int len, enum lws_token_indexes h)
{
	struct str s = header(h);

	(void)wsi;
	dest[0] = '\0';
	if (s.n >= (size_t)len)
		return -1;
	if (s.n)
		memcpy(dest, s.p, s.n);
	dest[s.n] = '\0';
	return (int)s.n;
}

int lws_return_http_status(struct lws *wsi, unsigned code, const char *body) { (void)wsi; (void)body; lws.status = code; return 0; }
/* A refusal with headers of its own: each is as long as it is, and there must be room. */
static int add_text(unsigned char **p, unsigned char *end, size_t n)
{
	if ((size_t)(end - *p) < n)
		return 1;
	memset(*p, 'x', n);
	*p += n;
	return 0;
}

int lws_add_http_header_status(struct lws *wsi, unsigned int code, unsigned char **p, unsigned char *end)
{
	(void)wsi;
	lws.status = code;
	return add_text(p, end, strlen("HTTP/1.1 426 Upgrade Required\r\n"));
}

int lws_add_http_header_by_name(struct lws *wsi, const unsigned char *name, const unsigned char *value, int length, unsigned char **p,
				unsigned char *end)
{
	(void)wsi;
	(void)value;
	assert(name[strlen((const char *)name) - 1] == ':');
	return add_text(p, end, strlen((const char *)name) + 1 + (size_t)length + 2);
}

int lws_add_http_header_content_length(struct lws *wsi, lws_filepos_t content_length, unsigned char **p, unsigned char *end)
{
	(void)wsi;
	(void)content_length;
	return add_text(p, end, strlen("content-length: 0\r\n"));
}

int lws_finalize_write_http_header(struct lws *wsi, unsigned char *start, unsigned char **p, unsigned char *end)
{
	(void)wsi;
	assert(start < *p);
	return add_text(p, end, strlen("\r\n"));
}

int lws_http_transaction_completed(struct lws *wsi) { (void)wsi; return 0; }

int lws_write(struct lws *wsi, unsigned char *buf, size_t len, enum lws_write_protocol protocol)
{
	(void)wsi;
	assert(protocol == LWS_WRITE_PING || len);
	lws.nwritten += len ? buf[0] || 1 : 0;
	return (int)len;
}

/* ---- the transport above ---- */

/* What came up: sums, so that the same is the same. */
struct heard { unsigned n; uint64_t sum; size_t bytes; };

static struct heard heard;
static uv_loop_t loop;
static uv_idle_t awake;          /* so that the loop turns */

static void on_awake(uv_idle_t *idle) { (void)idle; }

/* Or who says so much so fast isn't listened to. */
static enum guard_rule rule_of(const union sockaddr_any *source, void *arg)
{
	(void)source;
	(void)arg;
	return GUARD_ALLOWED;
}

static const struct guard_handler guard_handler = { .rule_of = rule_of };

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	(void)arg;
	assert(src->proto == SIP_WS && src->flow == lws.id && (m->raw.n || err->status));
	heard.n++;
	heard.bytes += m->raw.n;
	for (size_t i = 0; i < m->raw.n; i++)
		heard.sum = heard.sum * 31 + (unsigned char)m->raw.p[i];
	/* Something to say each time. */
	transport_send(lws.transport, &(struct sip_dest){ .proto = SIP_WS, .flow = src->flow }, STR("SIP/2.0 200 OK\r\n\r\n"), NULL);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	(void)arg;
	assert(flow == lws.id);
}

/* ---- a connection's life ---- */

struct message { struct str bytes; unsigned cut; };

static bool is_connected(void)
{
	return conn_find(lws.transport, lws.id) != NULL;
}

static int event(enum lws_callback_reasons reason, const void *in, size_t len)
{
	return on_event((struct lws *)&lws, reason, NULL, (void *)in, len);
}

/* cut 0: whole; else in frames and pieces of this many bytes and growing. False: the connection has to end. */
static bool receive_message(const struct message *m, unsigned cut)
{
	size_t at = 0, piece = cut ? cut : SIZE_MAX;

	do {
		size_t n = m->bytes.n - at < piece ? m->bytes.n - at : piece;
		char *exact = malloc(n ? n : 1);
		int r;

		if (n)
			memcpy(exact, m->bytes.p + at, n);
		lws.is_final = at + n == m->bytes.n || (cut & 1);
		lws.remaining = lws.is_final ? m->bytes.n - at - n : 0;
		r = event(LWS_CALLBACK_RECEIVE, exact, n);
		free(exact);
		if (r)
			return false;
		if (lws.wants_to_write) {
			lws.wants_to_write = false;
			if (event(LWS_CALLBACK_SERVER_WRITEABLE, NULL, 0))
				return false;
		}
		at += n;
		piece += piece / 2;
	} while (at < m->bytes.n);
	return true;
}

static struct heard play(struct listener *l, const struct message *messages, unsigned n, bool is_cut)
{
	struct ws_conn *c = conn_new(l);

	heard = (struct heard){ 0 };
	sockaddr_parse(&c->peer, STR("192.0.2.1"), 4000);
	assert(gate_enter(lws.transport->gate, &c->peer));
	c->wsi = (struct lws *)&lws;
	lws.id = c->id;
	event(LWS_CALLBACK_ESTABLISHED, NULL, 0);
	for (unsigned i = 0; i < n; i++) {
		if (!receive_message(&messages[i], is_cut ? messages[i].cut : 0))
			break;
		uv_run(&loop, UV_RUN_NOWAIT); /* what is put off in a crowd is heard then */
		assert(c->len == 0 && c->size <= TCP_BUFFER_MIN && c->unsent <= TCP_UNSENT_MAX);
	}
	event(LWS_CALLBACK_CLOSED, NULL, 0);
	assert(!is_connected());
	/* What is still said of one that is gone. */
	assert(event(LWS_CALLBACK_RECEIVE, "x", 1) == -1 && event(LWS_CALLBACK_WSI_DESTROY, NULL, 0) == -1);
	return heard;
}

static void shake_hands(struct listener *l, struct str *rest)
{
	struct ws_conn *c = conn_new(l);
	int r;

	gate_enter(lws.transport->gate, &c->peer);
	lws.id = c->id;
	for (unsigned i = 0; i < HEADERS; i++) {
		lws.headers[i] = str_cut(rest, '\n');
		lws.headers[i].n = strnlen(lws.headers[i].p ? lws.headers[i].p : "", lws.headers[i].n);
	}
	lws.status = 0;
	r = event(LWS_CALLBACK_HTTP_CONFIRM_UPGRADE, "websocket", 9);
	/* Only who speaks version 13 and SIP, and comes from where he may. */
	if (r == 0)
		assert(str_eqz(lws.headers[0], "13") && lws.headers[1].n >= 3);
	else
		assert(lws.status >= 400);
	event(LWS_CALLBACK_CLOSED_HTTP, NULL, 0);
}

static unsigned read_messages(struct str rest, struct message *out)
{
	unsigned n = 0;

	while (rest.n > 3 && n < MESSAGES_MAX) {
		size_t len = (unsigned char)rest.p[0] | (size_t)(unsigned char)rest.p[1] << 8;

		out[n].cut = (unsigned char)rest.p[2];
		rest = str_from_at(rest, 3);
		if (len > rest.n)
			len = rest.n;
		if (!len)
			continue;
		out[n++].bytes = (struct str){ rest.p, len };
		rest = str_from_at(rest, len);
	}
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct transport_handler handler = { .on_message = on_message, .on_flow_closed = on_flow_closed };
	static struct listener listener = { .id = 1, .origins = "https://a.example https://b.example" };
	static struct message messages[MESSAGES_MAX];
	static struct ws ws;
	struct str rest = { (const char *)data, size };
	struct heard whole, cut;
	unsigned n;

	if (!lws.transport) {
		uv_loop_init(&loop);
		uv_idle_init(&loop, &awake);
		uv_idle_start(&awake, on_awake);
		transport_new(&lws.transport, &loop, NULL, &handler, NULL);
		guard_handle(transport_guard(lws.transport), &guard_handler, NULL);
		lws.transport->ws = &ws;
		listener.transport = lws.transport;
	}
	shake_hands(&listener, &rest);
	n = read_messages(rest, messages);
	whole = play(&listener, messages, n, false);
	cut = play(&listener, messages, n, true);
	assert(whole.n == cut.n && whole.sum == cut.sum && whole.bytes == cut.bytes);
	return 0;
}

/* fuzz_tcp.c - libFuzzer target on TCP connections: what on_read() of tcp.c makes of a stream, however it comes in.
 *
 * The first byte says how it is cut. Cut or whole, the same messages come up, pings are answered (those that
 * come together by one), and it is closed at the same place; a connection never holds more than it may, and nothing when it has ended.
 */
#include "../../src/sip/tcp.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard { unsigned n; uint64_t sum; bool has_ping, is_closed; };

#define TURNS 4                  /* of the loop: enough for all that was put off, and for the end */

static struct heard heard;
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
static struct transport *transport;

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	uint64_t sum = 0;

	(void)err;
	(void)arg;
	assert(src->proto == SIP_TCP && src->flow >= FLOW_FIRST_CONN);
	heard.n++;
	for (size_t i = 0; i < m->raw.n; i++)
		sum = sum * 31 + (unsigned char)m->raw.p[i];
	heard.sum += sum; /* in a crowd those that can wait come last */
}

static struct heard play(uv_loop_t *loop, const char *p, size_t size, size_t step)
{
	struct tcp_conn *c = conn_new(transport);
	uint64_t pings = transport->n.keepalives, id = c->id;
	size_t at = 0;

	heard = (struct heard){ 0 };
	sockaddr_parse(&c->peer, STR("192.0.2.1"), 4000);
	c->is_counted = gate_enter(transport->gate, &c->peer);
	while (at < size && !c->is_closing) {
		size_t n = size - at < step ? size - at : step;
		uv_buf_t buf;

		on_alloc((uv_handle_t *)&c->tcp, 65536, &buf);
		assert(buf.len >= TCP_BUFFER_MIN / 2);
		if (n > buf.len)
			n = buf.len;
		memcpy(buf.base, p + at, n);
		on_read((uv_stream_t *)&c->tcp, (ssize_t)n, &buf);
		at += n;
		/* One message, what came behind it, and the doubling of the buffer. */
		assert(c->is_closing || (c->len <= c->size && c->size <= 4 * SIP_MSG_MAX));
	}
	heard.is_closed = c->is_closing;
	heard.has_ping = transport->n.keepalives != pings;
	on_read((uv_stream_t *)&c->tcp, UV_EOF, NULL);
	for (unsigned i = 0; i < TURNS; i++)
		uv_run(loop, UV_RUN_NOWAIT);
	assert(tcp_listener(transport, id) == 0);
	return heard;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct transport_handler handler = { .on_message = on_message };
	static uv_loop_t loop;
	struct heard whole, cut;

	if (!transport) {
		uv_loop_init(&loop);
		uv_idle_init(&loop, &awake);
		uv_idle_start(&awake, on_awake);
		transport_new(&transport, &loop, NULL, &handler, NULL);
		guard_handle(transport_guard(transport), &guard_handler, NULL);
	}
	if (!size)
		return 0;
	whole = play(&loop, (const char *)data + 1, size - 1, SIZE_MAX);
	cut = play(&loop, (const char *)data + 1, size - 1, 1 + data[0] % 100);
	assert(whole.n == cut.n && whole.sum == cut.sum && whole.has_ping == cut.has_ping && whole.is_closed == cut.is_closed);
	return 0;
}

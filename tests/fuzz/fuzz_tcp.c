/* fuzz_tcp.c - libFuzzer target on TCP connections: what on_read() of tcp.c makes of a stream, however it comes in.
 *
 * The first byte says how it is cut. Cut or whole, the same messages come up in the same order, pings are answered (those that
 * come together by one), and it is closed at the same place; a connection never holds more than it may, and nothing when it has ended.
 */
#include "../../src/sip/tcp.c"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct heard { unsigned n; uint64_t sum; bool has_ping, is_closed; };

static struct heard heard;
static uint32_t nsources;
static struct transport *transport;

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	(void)err;
	(void)arg;
	assert(src->proto == SIP_TCP && src->flow >= FLOW_FIRST_CONN);
	heard.n++;
	for (size_t i = 0; i < m->raw.n; i++)
		heard.sum = heard.sum * 31 + (unsigned char)m->raw.p[i];
}

static struct heard play(uv_loop_t *loop, const char *p, size_t size, size_t step)
{
	struct tcp_conn *c = conn_new(transport);
	uint64_t pings = transport->n.keepalives, id = c->id;
	size_t at = 0;

	heard = (struct heard){ 0 };
	/* Another one each time: who says so much so fast is not listened to. */
	sockaddr_parse(&c->peer, STR("10.0.0.0"), 4000);
	c->peer.v4.sin_addr.s_addr += htonl(++nsources & 0xffffff);
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
	while (transport->handles > 1)
		uv_run(loop, UV_RUN_ONCE);
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
		transport_new(&transport, &loop, NULL, &handler, NULL);
	}
	if (!size)
		return 0;
	whole = play(&loop, (const char *)data + 1, size - 1, SIZE_MAX);
	cut = play(&loop, (const char *)data + 1, size - 1, 1 + data[0] % 100);
	assert(whole.n == cut.n && whole.sum == cut.sum && whole.has_ping == cut.has_ping && whole.is_closed == cut.is_closed);
	return 0;
}

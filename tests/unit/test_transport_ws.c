/* test_transport_ws.c - SIP over WebSocket (RFC 7118) on loopback, with a client that writes its frames itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sip/transport_int.h"
#include "certs.h"

#define PATIENCE_NS (10 * 1000000000ull)
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="           /* RFC 6455 §1.3, */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="     /* and its answer there */

struct fx {
	uv_loop_t loop;
	uv_timer_t tick;
	struct transport *t;
	unsigned ngot, nclosed;
	size_t got_len;
	struct sip_source src;
	uint64_t closed_flow;
	const char *answer;      /* what messages are answered with */
	int want_status;
	bool close_in_handler, close_in_closed;
	int peer;
	struct tls *tls;         /* the peer's, NULL: plain */
	char in[8192];
	size_t nin;
	bool is_ended;
};

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	struct fx *fx = arg;
	struct sip_dest dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow };

	assert_int_equal(err->status, fx->want_status);
	fx->ngot++;
	fx->got_len = m->raw.n;
	fx->src = *src;
	if (fx->answer)
		assert_int_equal(transport_send(fx->t, &dest, str_from(fx->answer), NULL), 0);
	if (fx->close_in_handler) {
		transport_close(fx->t);
		fx->t = NULL;
	}
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct fx *fx = arg;

	fx->nclosed++;
	fx->closed_flow = flow;
	if (fx->close_in_closed) {
		transport_close(fx->t);
		fx->t = NULL;
	}
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static int setup(void **state)
{
	static const struct transport_handler handler = { .on_message = on_message, .on_flow_closed = on_flow_closed };
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->peer = -1;
	uv_loop_init(&fx->loop);
	uv_timer_init(&fx->loop, &fx->tick);
	uv_timer_start(&fx->tick, on_tick, 2, 2);
	uv_unref((uv_handle_t *)&fx->tick);
	assert_int_equal(transport_new(&fx->t, &fx->loop, NULL, &handler, fx), 0);
	assert_int_equal(transport_listen_on(fx->t, &(struct transport_listen){ .addr = "127.0.0.1", .protos = SIP_PROTO_BIT(SIP_WS), .origins = "https://a.example https://b.example" }), 0);
	*state = fx;
	return 0;
}

static void peer_close(struct fx *fx)
{
	if (fx->peer >= 0)
		close(fx->peer);
	fx->peer = -1;
	fx->nin = 0;
	fx->is_ended = false;
	tls_free(fx->tls);
	fx->tls = NULL;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	transport_close(fx->t);
	uv_close((uv_handle_t *)&fx->tick, NULL);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fx->loop), 0);
	peer_close(fx);
	free(fx);
	return 0;
}

/* ---- the peer ---- */

static void peer_flush(struct fx *fx)
{
	struct str out = tls_output(fx->tls);

	if (out.n)
		assert_int_equal(send(fx->peer, out.p, out.n, MSG_NOSIGNAL), out.n);
	tls_output_sent(fx->tls);
}

static void peer_read(struct fx *fx)
{
	char wire[16384];
	ssize_t n;

	while (fx->peer >= 0 && !fx->is_ended && (n = recv(fx->peer, wire, sizeof(wire), MSG_DONTWAIT)) >= 0) {
		ssize_t got = n;

		if (n > 0 && fx->tls) {
			assert_int_equal(tls_receive(fx->tls, wire, (size_t)n), 0);
			got = tls_read(fx->tls, wire, sizeof(wire));
			peer_flush(fx);
		}
		fx->is_ended = n == 0;
		if (got > 0 && fx->nin + (size_t)got < sizeof(fx->in)) {
			memcpy(fx->in + fx->nin, wire, (size_t)got);
			fx->nin += (size_t)got;
		}
	}
}

#define pump(fx, what, at_least)                                                                           \
	do {                                                                                               \
		uint64_t until_ = uv_hrtime() + PATIENCE_NS;                                               \
		while ((what) < (at_least) && uv_hrtime() < until_)                                        \
			uv_run(&(fx)->loop, UV_RUN_ONCE), peer_read(fx);                                   \
		if ((what) < (at_least))                                                                   \
			fail_msg("%s stayed at %llu", #what, (unsigned long long)(what));                  \
	} while (0)

static void peer_connect(struct fx *fx, uint16_t port)
{
	union sockaddr_any to;

	assert_int_equal(sockaddr_parse(&to, STR("127.0.0.1"), port), 0);
	fx->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fx->peer, &to.sa, sizeof(to.v4)), 0);
}

static void peer_write(struct fx *fx, const void *bytes, size_t n)
{
	if (fx->tls) {
		assert_int_equal(tls_write(fx->tls, (struct str){ bytes, n }), 0);
		peer_flush(fx);
		return;
	}
	assert_int_equal(send(fx->peer, bytes, n, MSG_NOSIGNAL), n);
}

static void peer_say(struct fx *fx, const char *text)
{
	peer_write(fx, text, strlen(text));
}

/* A frame of a client, masked with zeros. flags_opcode: 0x81 text, 0x82 binary, 0x01 text goes on, 0x80 the last of it, 0x89 ping. */
static void peer_frame(struct fx *fx, unsigned char flags_opcode, const char *bytes, size_t n)
{
	static unsigned char frame[80000];
	size_t at = 0;

	frame[at++] = flags_opcode;
	if (n < 126) {
		frame[at++] = (unsigned char)(0x80 | n);
	} else if (n < 65536) {
		frame[at++] = 0x80 | 126;
		frame[at++] = (unsigned char)(n >> 8);
		frame[at++] = (unsigned char)n;
	} else {
		frame[at++] = 0x80 | 127;
		for (int shift = 56; shift >= 0; shift -= 8)
			frame[at++] = (unsigned char)((uint64_t)n >> shift);
	}
	memset(frame + at, 0, 4);
	at += 4;
	memcpy(frame + at, bytes, n);
	peer_write(fx, frame, at + n);
}

static const char upgrade[] = "GET /any/path?at=all HTTP/1.1\r\nHost: pbx\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
			      "Sec-WebSocket-Key: " KEY "\r\n";

static void peer_open(struct fx *fx)
{
	peer_connect(fx, transport_ws_port(fx->t, false));
	peer_say(fx, upgrade);
	peer_say(fx, "Origin: https://b.example\r\nSec-WebSocket-Protocol: foo, sip\r\nSec-WebSocket-Version: 13\r\n\r\n");
	pump(fx, memmem(fx->in, fx->nin, "\r\n\r\n", 4) != NULL, true);
	fx->in[fx->nin] = '\0';
	assert_int_equal(strncmp(fx->in, "HTTP/1.1 101 ", 13), 0);
	assert_non_null(strstr(fx->in, "Sec-WebSocket-Accept: " ACCEPT "\r\n"));
	assert_non_null(strstr(fx->in, "Sec-WebSocket-Protocol: sip\r\n"));
	fx->nin = 0;
}

static size_t message(char *buf, size_t size, size_t body_len)
{
	int n = snprintf(buf, size, "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bK1\r\n"
			 "From: <sip:b@x>;tag=1\r\nTo: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: %zu\r\n\r\n", body_len);

	memset(buf + n, 'x', body_len);
	return (size_t)n + body_len;
}

/* ---- */

static void test_transport_ws_message_is_one_frame_of_text_or_binary(void **state)
{
	struct fx *fx = *state;
	static char buf[70000];

	peer_open(fx);
	fx->answer = "SIP/2.0 200 OK\r\n\r\n";
	for (unsigned i = 0; i < 4; i++) {
		static const size_t bodies[] = { 0, 1000, 20000, 60000 };
		size_t n = message(buf, sizeof(buf), bodies[i]);

		peer_frame(fx, i % 2 ? 0x82 : 0x81, buf, n);
		pump(fx, fx->nin, 2 + strlen(fx->answer));
		assert_int_equal(fx->ngot, i + 1);
		assert_int_equal(fx->got_len, n);
		assert_memory_equal(fx->in, "\x81\x12SIP/2.0 200 OK\r\n\r\n", 20);
		fx->nin = 0;
	}
	assert_int_equal(fx->src.proto, SIP_WS);
	/* What isn't UTF-8 can't be text. */
	fx->answer = "SIP/2.0 200 \xe9\r\n\r\n";
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->nin, 1u);
	assert_int_equal((unsigned char)fx->in[0], 0x82);
}

static void test_transport_ws_message_in_fragments_is_put_together(void **state)
{
	struct fx *fx = *state;
	char buf[2000];
	size_t n = message(buf, sizeof(buf), 1000);

	peer_open(fx);
	peer_frame(fx, 0x01, buf, 7);
	peer_frame(fx, 0x00, buf + 7, 500);
	peer_frame(fx, 0x89, "between", 7); /* RFC 6455 §5.4: control frames may come between */
	peer_frame(fx, 0x80, buf + 507, n - 507);
	pump(fx, fx->ngot, 1u);
	assert_int_equal(fx->got_len, n);
	pump(fx, fx->nin, 9u);
	assert_memory_equal(fx->in, "\x8a\x07" "between", 9);
}

static void test_transport_ws_message_that_is_too_large_ends_it(void **state)
{
	struct fx *fx = *state;
	static char buf[SIP_MSG_MAX];
	char id[1000];
	uint64_t flow;

	peer_open(fx);
	peer_frame(fx, 0x81, id, message(id, sizeof(id), 0));
	pump(fx, fx->ngot, 1u);
	flow = fx->src.flow;
	memset(buf, 'x', sizeof(buf));
	peer_frame(fx, 0x01, buf, 40000);
	peer_frame(fx, 0x80, buf, 40000);
	pump(fx, fx->nclosed, 1u);
	pump(fx, fx->nin, 4u);
	assert_memory_equal(fx->in, "\x88\x02\x03\xf1", 4); /* 1009, RFC 6455 §7.4.1 */
	assert_int_equal(fx->closed_flow, flow);
	assert_int_equal(fx->ngot, 1);
	assert_int_equal(transport_counters(fx->t)->dropped_oversize, 1);
}

static void test_transport_ws_message_that_is_too_large_is_told_so(void **state)
{
	struct fx *fx = *state;
	static char buf[70000];
	size_t n = message(buf, sizeof(buf), 66000);

	peer_open(fx);
	fx->answer = "SIP/2.0 413 Large\r\n\r\n";
	fx->want_status = 413;
	peer_frame(fx, 0x01, buf, 40000);
	peer_frame(fx, 0x80, buf + 40000, n - 40000);
	pump(fx, fx->nin, 27u);
	assert_memory_equal(fx->in, "\x81\x15SIP/2.0 413 Large\r\n\r\n\x88\x02\x03\xf1", 27); /* and 1009 */
	peer_frame(fx, 0x88, "\x03\xf1", 2);
	pump(fx, fx->nclosed, 1u);
	assert_int_equal(fx->ngot, 1);
	assert_int_equal(transport_counters(fx->t)->dropped_oversize, 1);
}

static void test_transport_ws_keepalives_are_answered(void **state)
{
	struct fx *fx = *state;

	peer_open(fx);
	peer_frame(fx, 0x81, "\r\n\r\n", 4);
	pump(fx, fx->nin, 4u);
	assert_memory_equal(fx->in, "\x81\x02\r\n", 4);
	assert_int_equal(transport_counters(fx->t)->keepalives, 1);
	assert_int_equal(fx->ngot, 0);
}

static void test_transport_ws_handshake_is_refused(void **state)
{
	static const struct { const char *lines; const char *answer; } cases[] = {
		{ "Sec-WebSocket-Version: 13\r\n\r\n", " 400 " },                                       /* RFC 7118 §4.1 */
		{ "Sec-WebSocket-Protocol: xmpp, sips\r\nSec-WebSocket-Version: 13\r\n\r\n", " 400 " },
		{ "Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 8\r\n\r\n", " 426 " },         /* RFC 6455 §4.4 */
		{ "Sec-WebSocket-Protocol: sip\r\n\r\n", " 426 " },
		{ "Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\nOrigin: https://evil.example\r\n\r\n", " 403 " },
	};
	struct fx *fx = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		peer_connect(fx, transport_ws_port(fx->t, false));
		peer_say(fx, upgrade);
		peer_say(fx, cases[i].lines);
		pump(fx, fx->nin, 13u);
		if (memcmp(fx->in + 8, cases[i].answer, 5) != 0)
			fail_msg("%zu: %.*s", i, 13, fx->in);
		peer_close(fx);
	}
	peer_connect(fx, transport_ws_port(fx->t, false));
	peer_say(fx, "GET / HTTP/1.1\r\nHost: pbx\r\n\r\n");
	/* RFC 6455 §4.2.2 */
	pump(fx, fx->nin > 4 && !memcmp(fx->in + fx->nin - 4, "\r\n\r\n", 4), true);
	assert_memory_equal(fx->in + 8, " 426 ", 5);
	assert_non_null(memmem(fx->in, fx->nin, "sec-websocket-version: 13\r\n", 27));
	assert_non_null(memmem(fx->in, fx->nin, "upgrade: websocket\r\n", 20));
	peer_close(fx);
	for (unsigned i = 0; i < 3; i++) {
		static const char *const others[] = {
			"GET / HTTP/1.1\r\nHost: pbx\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
			"CONNECT pbx:25 HTTP/1.1\r\nHost: pbx\r\n\r\n",
			"OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP x\r\n\r\n",
		};

		peer_connect(fx, transport_ws_port(fx->t, false));
		peer_say(fx, others[i]);
		pump(fx, fx->is_ended || (fx->nin > 9 && fx->in[9] != '1' && fx->in[9] != '2'), true);
		peer_close(fx);
	}
	assert_int_equal(fx->nclosed, 0);
	assert_int_equal(fx->ngot, 0);
}

static void test_transport_ws_end_is_told_and_none_is_opened(void **state)
{
	struct fx *fx = *state;
	char buf[1000];
	struct sip_dest dest = { .proto = SIP_WS };

	peer_open(fx);
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 1u);
	dest.addr = fx->src.peer;
	assert_int_equal(transport_send(fx->t, &dest, STR("x"), NULL), -EHOSTUNREACH);
	dest.flow = fx->src.flow;
	assert_int_equal(transport_send(fx->t, &dest, STR("x"), NULL), 0);
	peer_close(fx);
	pump(fx, fx->nclosed, 1u);
	assert_int_equal(fx->closed_flow, dest.flow);
	assert_int_equal(transport_send(fx->t, &dest, STR("x"), NULL), -ENOTCONN);
}

static void test_transport_ws_peer_that_does_not_read_is_bounded(void **state)
{
	static char bytes[60000];
	struct fx *fx = *state;
	struct sip_dest dest = { .proto = SIP_WS };
	char buf[1000];
	int err = 0;

	memset(bytes, 'x', sizeof(bytes));
	peer_open(fx);
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 1u);
	dest.flow = fx->src.flow;
	for (unsigned i = 0; i < 1000 && !err; i++)
		err = transport_send(fx->t, &dest, (struct str){ bytes, sizeof(bytes) }, NULL);
	assert_int_equal(err, -ENOBUFS);
	assert_int_equal(transport_send(fx->t, &dest, STR("x"), NULL), -ENOTCONN);
	ws_sweep(fx->t, uv_now(&fx->loop));
	pump(fx, fx->nclosed, 1u);
}

static void test_transport_ws_places_are_limited(void **state)
{
	struct fx *fx = *state;
	int first;

	transport_limit(fx->t, &(struct transport_limits){ .conns = 0, .per_address = 1 });
	peer_open(fx);
	first = fx->peer;
	peer_connect(fx, transport_ws_port(fx->t, false));
	pump(fx, fx->is_ended, true);
	peer_close(fx);
	close(first);
	pump(fx, fx->nclosed, 1u);
	peer_open(fx);
}

/* RFC 6455 §5.5.2: a peer that is silent is asked, and an answer is a sign of life. */
static void test_transport_ws_silent_peer_is_asked_and_given_up(void **state)
{
	struct fx *fx = *state;
	char buf[1000];

	peer_open(fx);
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 1u);
	ws_sweep(fx->t, uv_now(&fx->loop) + WS_PING_MS + 1);
	pump(fx, fx->nin, 2u);
	assert_memory_equal(fx->in, "\x89\x00", 2);
	peer_frame(fx, 0x8a, "", 0);
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 2u);
	ws_sweep(fx->t, uv_now(&fx->loop) + WS_DEAD_MS - 1);
	assert_int_equal(fx->nclosed, 0);
	ws_sweep(fx->t, uv_now(&fx->loop) + WS_DEAD_MS + 1);
	pump(fx, fx->nclosed, 1u);
}

/* Neither a handshake nor a first or half a message may take for ever. */
static void test_transport_ws_slow_peers_are_given_up(void **state)
{
	struct fx *fx = *state;

	peer_connect(fx, transport_ws_port(fx->t, false));
	peer_say(fx, upgrade);
	pump(fx, transport_counters(fx->t)->tcp_accepted, 1u);
	ws_sweep(fx->t, uv_now(&fx->loop) + HANDSHAKE_MAX_MS + 1);
	pump(fx, fx->is_ended, true);
	assert_int_equal(fx->nclosed, 0);
	peer_close(fx);
	peer_open(fx);
	ws_sweep(fx->t, uv_now(&fx->loop) + TCP_SILENT_MAX_MS + 1);
	pump(fx, fx->is_ended, true);
	peer_close(fx);
	peer_open(fx);
	peer_frame(fx, 0x01, "OPTIONS ", 8);
	peer_frame(fx, 0x89, "", 0);
	pump(fx, fx->nin, 2u);
	ws_sweep(fx->t, uv_now(&fx->loop) + TCP_PARTIAL_MAX_MS + 1);
	pump(fx, fx->is_ended, true);
}

static void test_transport_ws_close_inside_its_own_handler(void **state)
{
	struct fx *fx = *state;
	char buf[1000];

	peer_open(fx);
	fx->close_in_handler = true;
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 1u);
	assert_null(fx->t);
}

static void test_transport_ws_close_when_a_connection_ends(void **state)
{
	struct fx *fx = *state;

	peer_open(fx);
	fx->close_in_closed = true;
	peer_close(fx);
	pump(fx, fx->nclosed, 1u);
	assert_null(fx->t);
}

static void open_secure(struct fx *fx, struct tls_context *client, const char *domain)
{
	peer_connect(fx, transport_ws_port(fx->t, true));
	assert_int_equal(tls_connect(&fx->tls, client, NULL), 0);
	peer_flush(fx);
	peer_say(fx, upgrade);
	peer_say(fx, "Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Version: 13\r\n\r\n");
	pump(fx, fx->nin, 13u);
	assert_memory_equal(fx->in, "HTTP/1.1 101 ", 13);
	assert_true(tls_peer_is(fx->tls, domain));
	fx->nin = 0;
}

static void sweep_turn(struct fx *fx)
{
	ws_sweep(fx->t, uv_now(&fx->loop));
	uv_run(&fx->loop, UV_RUN_NOWAIT);
}

/* The certificate is that of tls.c: read again, it is shown to the next who comes, and who is there stays. */
static void test_transport_ws_secure_shows_the_certificate_of_now(void **state)
{
	struct fx *fx = *state;
	char dir[] = "/tmp/test-transport-ws-XXXXXX", cert[64], ca[64], buf[1000];
	struct authority authority;
	struct tls_context *client;
	struct tls *first_tls;
	uint64_t listener = 0;
	int first;

	assert_non_null(mkdtemp(dir));
	snprintf(cert, sizeof(cert), "%s/cert.pem", dir);
	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	authority_init(&authority, "Authority");
	authority_issue(&authority, "pbx", "DNS:old.example.com", cert);
	authority_save(&authority, ca);
	assert_int_equal(tls_context_new(&client, &(struct tls_context_params){ .ca = ca }), 0);
	assert_int_equal(transport_listen_as(fx->t, &(struct transport_listen){ .addr = "127.0.0.1", .protos = SIP_PROTO_BIT(SIP_WSS), .tls = &(struct transport_tls){ .cert = cert } }, &listener), 0);
	open_secure(fx, client, "old.example.com");
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 1u);
	assert_int_equal(fx->src.proto, SIP_WSS);
	first = fx->peer;
	first_tls = fx->tls;
	authority_issue(&authority, "pbx", "DNS:new.example.com", cert);
	transport_refresh(fx->t);
	open_secure(fx, client, "new.example.com");
	assert_int_equal(fx->nclosed, 0);
	peer_close(fx);
	pump(fx, fx->nclosed, 1u);
	fx->peer = first;
	fx->tls = first_tls;
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 2u);
	/* Removed, the listener stays for as long as there is one who came by it. */
	transport_unlisten(fx->t, listener);
	assert_int_equal(transport_ws_port(fx->t, true), 0);
	for (unsigned i = 0; i < 3; i++)
		sweep_turn(fx);
	assert_non_null(fx->t->retired);
	peer_frame(fx, 0x81, buf, message(buf, sizeof(buf), 0));
	pump(fx, fx->ngot, 3u);
	peer_close(fx);
	pump(fx, fx->nclosed, 2u);
	pump(fx, (sweep_turn(fx), fx->t->retired == NULL), true);
	peer_open(fx); /* the other goes on */
	tls_context_free(client);
	authority_fini(&authority);
	unlink(cert);
	unlink(ca);
	rmdir(dir);
}

static void test_transport_ws_busy_port_is_refused(void **state)
{
	struct fx *fx = *state;
	struct transport_listen p = { .addr = "127.0.0.1", .protos = SIP_PROTO_BIT(SIP_WS), .port = transport_ws_port(fx->t, false) };

	assert_int_equal(transport_listen_on(fx->t, &p), -EADDRINUSE);
	p.tls = &(struct transport_tls){ .cert = "/nowhere/cert.pem" };
	p.protos = SIP_PROTO_BIT(SIP_WSS);
	p.port = 0;
	assert_true(transport_listen_on(fx->t, &p) < 0);
}

#define unit(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		unit(test_transport_ws_message_is_one_frame_of_text_or_binary),
		unit(test_transport_ws_message_in_fragments_is_put_together),
		unit(test_transport_ws_message_that_is_too_large_ends_it),
		unit(test_transport_ws_message_that_is_too_large_is_told_so),
		unit(test_transport_ws_keepalives_are_answered),
		unit(test_transport_ws_handshake_is_refused),
		unit(test_transport_ws_end_is_told_and_none_is_opened),
		unit(test_transport_ws_peer_that_does_not_read_is_bounded),
		unit(test_transport_ws_places_are_limited),
		unit(test_transport_ws_silent_peer_is_asked_and_given_up),
		unit(test_transport_ws_slow_peers_are_given_up),
		unit(test_transport_ws_close_inside_its_own_handler),
		unit(test_transport_ws_close_when_a_connection_ends),
		unit(test_transport_ws_secure_shows_the_certificate_of_now),
		unit(test_transport_ws_busy_port_is_refused),
	};

	return cmocka_run_group_tests_name("transport over WebSocket", tests, NULL, NULL);
}

/* test_transport_tls.c - SIP over TLS on loopback: two transports, or one and a peer that speaks something else. */
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

/* One of the two. */
struct side {
	struct transport *t;
	unsigned ngot, nclosed;
	size_t body_len;
	struct sip_source src;
	uint64_t closed_flow;
	bool answers;
};

struct fx {
	uv_loop_t loop;
	uv_timer_t tick;
	struct authority ca;
	char dir[64], cert[96], ca_path[96];
	struct side a, b;
	int peer;
	char in[4096];
	size_t nin;
};

static const char request[] = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:b@x>;tag=1\r\n"
			      "To: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n";

static size_t message(char *buf, size_t size, size_t body_len)
{
	int n = snprintf(buf, size, "%sContent-Length: %zu\r\n\r\n", request, body_len);

	memset(buf + n, 'x', body_len);
	return (size_t)n + body_len;
}

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	struct side *s = arg;
	struct sip_dest dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow };
	char buf[1024];

	assert_int_equal(err->status, 0);
	s->ngot++;
	s->body_len = m->body.n;
	s->src = *src;
	if (s->answers)
		assert_int_equal(transport_send(s->t, &dest, (struct str){ buf, message(buf, sizeof(buf), 3) }, NULL), 0);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct side *s = arg;

	s->nclosed++;
	s->closed_flow = flow;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static int side_listen(const struct fx *fx, struct side *s, const char *addr)
{
	return transport_listen_tls(s->t, &(struct transport_tls){ .addr = addr, .cert = fx->cert });
}

static const struct transport_handler handler = { .on_message = on_message, .on_flow_closed = on_flow_closed };

static int fx_setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));

	fx->peer = -1;
	strcpy(fx->dir, "/tmp/test-transport-tls-XXXXXX");
	assert_non_null(mkdtemp(fx->dir));
	snprintf(fx->cert, sizeof(fx->cert), "%s/cert.pem", fx->dir);
	snprintf(fx->ca_path, sizeof(fx->ca_path), "%s/ca.pem", fx->dir);
	authority_init(&fx->ca, "Authority");
	authority_save(&fx->ca, fx->ca_path);
	authority_issue(&fx->ca, "pbx", "DNS:pbx.example.com", fx->cert);
	uv_loop_init(&fx->loop);
	uv_timer_init(&fx->loop, &fx->tick);
	uv_timer_start(&fx->tick, on_tick, 2, 2);
	uv_unref((uv_handle_t *)&fx->tick);
	assert_int_equal(transport_new(&fx->a.t, &fx->loop, NULL, &handler, &fx->a), 0);
	assert_int_equal(transport_new(&fx->b.t, &fx->loop, NULL, &handler, &fx->b), 0);
	assert_int_equal(side_listen(fx, &fx->a, "127.0.0.1"), 0);
	assert_int_equal(side_listen(fx, &fx->a, "::1"), 0);
	*state = fx;
	return 0;
}

static int fx_teardown(void **state)
{
	struct fx *fx = *state;

	if (fx->peer >= 0)
		close(fx->peer);
	transport_close(fx->a.t);
	transport_close(fx->b.t);
	uv_close((uv_handle_t *)&fx->tick, NULL);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fx->loop), 0);
	authority_fini(&fx->ca);
	unlink(fx->cert);
	unlink(fx->ca_path);
	rmdir(fx->dir);
	free(fx);
	return 0;
}

static void peer_read(struct fx *fx)
{
	ssize_t n;

	while (fx->peer >= 0 && fx->nin < sizeof(fx->in) &&
	       (n = recv(fx->peer, fx->in + fx->nin, sizeof(fx->in) - fx->nin, MSG_DONTWAIT)) > 0)
		fx->nin += (size_t)n;
}

#define pump(fx, what, at_least)                                                                           \
	do {                                                                                               \
		uint64_t until_ = uv_hrtime() + PATIENCE_NS;                                               \
		while ((what) < (at_least) && uv_hrtime() < until_)                                        \
			uv_run(&(fx)->loop, UV_RUN_ONCE), peer_read(fx);                                   \
		if ((what) < (at_least))                                                                   \
			fail_msg("%s stayed at %llu", #what, (unsigned long long)(what));                  \
	} while (0)

static struct sip_dest dest_of(struct side *s, const char *host)
{
	struct sip_dest dest = { .proto = SIP_TLS };

	assert_int_equal(sockaddr_parse(&dest.addr, str_from(host), transport_tls_port(s->t)), 0);
	return dest;
}

static void peer_connect(struct fx *fx)
{
	struct sip_dest to = dest_of(&fx->a, "127.0.0.1");

	fx->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fx->peer, &to.addr.sa, sizeof(to.addr.v4)), 0);
}

static void test_transport_tls_asks_and_answers_on_one_connection(void **state)
{
	static const size_t bodies[] = { 0, 1000, 20000, 60000 };
	struct fx *fx = *state;
	static char buf[70000];
	struct sip_dest to = dest_of(&fx->a, "127.0.0.1");
	uint64_t first = 0, flow;

	assert_int_equal(side_listen(fx, &fx->b, "127.0.0.2"), 0);
	fx->a.answers = true;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, message(buf, sizeof(buf), bodies[i]) }, &flow), 0);
		pump(fx, fx->b.ngot, i + 1);
		assert_int_equal(fx->a.body_len, bodies[i]);
		assert_int_equal(fx->a.src.proto, SIP_TLS);
		assert_int_equal(fx->b.src.flow, flow);
		first = first ? first : flow;
		assert_int_equal(flow, first);
	}
	assert_int_equal(transport_counters(fx->a.t)->tcp_accepted, 1);
}

static void test_transport_tls_needs_a_certificate_of_ours(void **state)
{
	struct fx *fx = *state;
	struct sip_dest to = dest_of(&fx->a, "127.0.0.1");

	/* Who doesn't listen on TLS doesn't speak it. */
	assert_true(transport_send(fx->b.t, &to, STR("x"), NULL) < 0);
	assert_int_equal(transport_tls_port(fx->b.t), 0);
	unlink(fx->cert);
	assert_int_equal(side_listen(fx, &fx->b, "127.0.0.2"), -ENOENT);
}

static void test_transport_tls_over_ipv6(void **state)
{
	struct fx *fx = *state;
	struct sip_dest to = { .proto = SIP_TLS };
	union sockaddr_any local;
	char buf[1024];

	assert_int_equal(side_listen(fx, &fx->b, "::1"), 0);
	sockaddr_parse(&to.addr, STR("::1"), 1);
	assert_int_equal(transport_local(fx->a.t, &to, &local), 0); /* the port that it listens on for TLS there */
	sockaddr_set_port(&to.addr, sockaddr_port(&local));
	assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, message(buf, sizeof(buf), 5) }, NULL), 0);
	pump(fx, fx->a.ngot, 1u);
	assert_int_equal(fx->a.src.peer.sa.sa_family, AF_INET6);
}

static void test_transport_tls_closes_what_speaks_something_else(void **state)
{
	struct fx *fx = *state;

	peer_connect(fx);
	assert_int_equal(send(fx->peer, request, strlen(request), 0), strlen(request));
	pump(fx, fx->a.nclosed, 1u);
	assert_int_equal(fx->a.ngot, 0);
}

static void test_transport_tls_end_of_a_connection_is_told(void **state)
{
	struct fx *fx = *state;
	struct sip_dest to = dest_of(&fx->a, "127.0.0.1");
	char buf[1024];
	uint64_t flow;

	assert_int_equal(side_listen(fx, &fx->b, "127.0.0.2"), 0);
	assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, message(buf, sizeof(buf), 0) }, &flow), 0);
	pump(fx, fx->a.ngot, 1u);
	transport_close(fx->a.t);
	pump(fx, fx->b.nclosed, 1u);
	assert_int_equal(fx->b.closed_flow, flow);
	assert_int_equal(transport_new(&fx->a.t, &fx->loop, NULL, &(struct transport_handler){ 0 }, NULL), 0);
}

/* RFC 5922 §7.2: nothing is sent to a server that isn't the one called. */
static void test_transport_tls_server_must_be_the_one_called(void **state)
{
	static const struct { const char *names, *called; bool is_good; } v[] = {
		{ "DNS:pbx.example.com", "pbx.example.com", true },
		{ "DNS:pbx.example.com", "PBX.example.com.", true },
		{ "DNS:pbx.example.com", "example.com", false },
		{ "DNS:*.example.com", "pbx.example.com", false }, /* §7.2: no wildcards */
		{ "URI:sip:example.com,DNS:pbx.example.com", "example.com", true },
		{ "URI:sip:example.com,DNS:pbx.example.com", "pbx.example.com", false }, /* §7.1: with a URI the DNS names don't count */
		{ "DNS:pbx.example.com", NULL, false }, /* called by address */
		{ "IP:127.0.0.1", NULL, true },
		{ "IP:127.0.0.9", NULL, false },
	};
	struct fx *fx = *state;
	char buf[1024];

	assert_int_equal(transport_listen_tls(fx->b.t, &(struct transport_tls){
		.addr = "127.0.0.2", .cert = fx->cert, .ca = fx->ca_path, .checks_server = true }), 0);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct side server = { 0 };
		struct sip_dest to;

		authority_issue(&fx->ca, "server", v[i].names, fx->cert);
		assert_int_equal(transport_new(&server.t, &fx->loop, NULL, &handler, &server), 0);
		assert_int_equal(side_listen(fx, &server, "127.0.0.1"), 0);
		to = dest_of(&server, "127.0.0.1");
		if (v[i].called)
			assert_int_equal(transport_name(fx->b.t, str_from(v[i].called), &to.name), 0);
		fx->b.nclosed = 0;
		assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, message(buf, sizeof(buf), 0) }, NULL), 0);
		if (v[i].is_good)
			pump(fx, server.ngot, 1u);
		else
			pump(fx, fx->b.nclosed, 1u);
		assert_int_equal(server.ngot, v[i].is_good);
		transport_close(server.t);
		pump(fx, fx->b.nclosed, 1u);
	}
}

static void test_transport_tls_connection_is_reused_for_the_same_name_alone(void **state)
{
	struct fx *fx = *state;
	struct sip_dest to = dest_of(&fx->a, "127.0.0.1"), other = to, by_address = to;
	uint64_t first, flow;
	char buf[1024];
	size_t n = message(buf, sizeof(buf), 0);

	assert_int_equal(side_listen(fx, &fx->b, "127.0.0.2"), 0);
	assert_int_equal(transport_name(fx->b.t, STR("one.example.com"), &to.name), 0);
	assert_int_equal(transport_name(fx->b.t, STR("two.example.com"), &other.name), 0);
	assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, n }, &first), 0);
	assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, n }, &flow), 0);
	assert_int_equal(flow, first);
	assert_int_equal(transport_send(fx->b.t, &other, (struct str){ buf, n }, &flow), 0);
	assert_int_not_equal(flow, first);
	assert_int_equal(transport_send(fx->b.t, &by_address, (struct str){ buf, n }, &flow), 0);
	assert_int_not_equal(flow, first);
	pump(fx, fx->a.ngot, 4u);
	assert_int_equal(transport_counters(fx->a.t)->tcp_accepted, 3);
	/* A number that was never given. */
	to.name = 4711;
	assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, n }, NULL), -EHOSTUNREACH);
}

/* RFC 5923 §5, §8: only for a client whose certificate names the host that it says it is. */
static void test_transport_tls_alias_is_called_back_over_its_connection(void **state)
{
	static const struct { const char *via; bool asks; const char *called; uint16_t port; bool is_reused; } v[] = {
		{ "pbx.example.com:5081;alias", true, "pbx.example.com", 5081, true },
		{ "pbx.example.com;alias", true, "PBX.example.com", 5061, true },
		{ "pbx.example.com:5081", true, "pbx.example.com", 5081, false },         /* it doesn't want to be */
		{ "pbx.example.com:5081;alias", true, "pbx.example.com", 5082, false },
		{ "pbx.example.com:5081;alias", true, "other.example.com", 5081, false },
		{ "pbx.example.com:5081;alias", true, NULL, 5081, false },
		{ "bank.example.com:5081;alias", true, "bank.example.com", 5081, false }, /* somebody else's name */
		{ "pbx.example.com:5081;alias", false, "pbx.example.com", 5081, false },  /* nobody vouches for it */
	};
	struct fx *fx = *state;

	assert_int_equal(transport_listen_tls(fx->b.t, &(struct transport_tls){ .addr = "127.0.0.2", .cert = fx->cert }), 0);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct side server = { 0 };
		struct sip_dest to, back = { .proto = SIP_TLS };
		uint64_t flow = 0, accepted;
		char buf[1024];
		int n = snprintf(buf, sizeof(buf), "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS %s;branch=z9hG4bK1\r\nFrom: <sip:b@x>;tag=1\r\n"
				 "To: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n", v[i].via);

		assert_int_equal(transport_new(&server.t, &fx->loop, NULL, &handler, &server), 0);
		assert_int_equal(transport_listen_tls(server.t, &(struct transport_tls){ .addr = "127.0.0.1", .cert = fx->cert, .ca = fx->ca_path,
											  .asks_client = v[i].asks }), 0);
		to = dest_of(&server, "127.0.0.1");
		fx->b.nclosed = 0;
		assert_int_equal(transport_send(fx->b.t, &to, (struct str){ buf, (size_t)n }, NULL), 0);
		pump(fx, server.ngot, 1u);
		accepted = server.src.flow;
		back.addr = server.src.peer;
		sockaddr_set_port(&back.addr, v[i].port);
		if (v[i].called)
			assert_int_equal(transport_name(server.t, str_from(v[i].called), &back.name), 0);
		assert_int_equal(transport_send(server.t, &back, (struct str){ buf, (size_t)n }, &flow), 0);
		if ((flow == accepted) != v[i].is_reused)
			fail_msg("row %zu", i);
		if (v[i].is_reused) {
			fx->b.ngot = 0;
			pump(fx, fx->b.ngot, 1u);
			transport_flow_close(server.t, accepted);
			assert_int_equal(transport_send(server.t, &back, (struct str){ buf, (size_t)n }, &flow), 0); /* gone with it */
			assert_int_not_equal(flow, accepted);
		}
		transport_close(server.t);
		pump(fx, fx->b.nclosed, 1u);
	}
}

/* RFC 5626 §4.4.1, encrypted like all else. */
static void test_transport_tls_ping_is_answered(void **state)
{
	struct fx *fx = *state;
	struct tls_context *context;
	struct tls *tls;
	char plain[64];
	ssize_t n = 0;

	assert_int_equal(tls_context_new(&context, &(struct tls_context_params){ 0 }), 0);
	assert_int_equal(tls_connect(&tls, context, NULL), 0);
	assert_int_equal(tls_write(tls, STR("\r\n\r\n")), 0);
	peer_connect(fx);
	while (n == 0) {
		struct str out = tls_output(tls);

		assert_int_equal(send(fx->peer, out.p, out.n, 0), out.n);
		tls_output_sent(tls);
		fx->nin = 0;
		pump(fx, fx->nin, 1u);
		assert_int_equal(tls_receive(tls, fx->in, fx->nin), 0);
		n = tls_read(tls, plain, sizeof(plain));
	}
	assert_int_equal(n, 2);
	assert_memory_equal(plain, "\r\n", 2);
	assert_int_equal(transport_counters(fx->a.t)->keepalives, 1);
	tls_free(tls);
	tls_context_free(context);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_transport_tls_asks_and_answers_on_one_connection, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_needs_a_certificate_of_ours, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_over_ipv6, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_closes_what_speaks_something_else, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_end_of_a_connection_is_told, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_server_must_be_the_one_called, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_connection_is_reused_for_the_same_name_alone, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_alias_is_called_back_over_its_connection, fx_setup, fx_teardown),
		cmocka_unit_test_setup_teardown(test_transport_tls_ping_is_answered, fx_setup, fx_teardown),
	};

	return cmocka_run_group_tests_name("transport over TLS", tests, NULL, NULL);
}

/* test_transport.c - real sockets on loopback: datagrams, streams however they are cut, connections and their limits.
 *
 * The peer is a plain socket that never blocks; pump() turns the loop until a condition holds, or fails the test.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sip/transport_int.h"

#define PATIENCE_NS (10 * 1000000000ull)
#define GOT_MAX 256

struct got {
	char call_id[32];
	size_t body_len;
	int bad_status;
	struct sip_source src;
};

struct fx {
	uv_loop_t loop;
	uv_timer_t tick;             /* so that a turn of the loop ends though nothing happens */
	struct transport *t;
	struct got got[GOT_MAX];
	unsigned ngot, nclosed;
	uint64_t closed_flow;
	bool in_send;                /* handlers must not be called now */
	bool close_in_handler, answer_in_handler, close_in_closed;
	int peer;                    /* the peer's socket */
	char in[1 << 17];            /* what it has read */
	size_t nin;
};

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	struct fx *fx = arg;
	struct got *g = &fx->got[fx->ngot++];

	assert_false(fx->in_send);
	assert_in_range(fx->ngot, 1, GOT_MAX - 1);
	str_copy(m->call_id, g->call_id, sizeof(g->call_id));
	g->body_len = m->body.n;
	g->bad_status = err ? err->status : 0;
	g->src = *src;
	if (fx->answer_in_handler) {
		struct sip_dest dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow };

		transport_send(fx->t, &dest, STR("SIP/2.0 200 OK\r\n\r\n"), NULL);
	}
	if (fx->close_in_handler)
		transport_close(fx->t);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct fx *fx = arg;

	assert_false(fx->in_send);
	fx->nclosed++;
	fx->closed_flow = flow;
	if (fx->close_in_closed)
		transport_close(fx->t);
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static struct fx *fx_new(const char *const *addrs, unsigned n)
{
	static const struct transport_handler handler = { .on_message = on_message, .on_flow_closed = on_flow_closed };
	struct fx *fx = calloc(1, sizeof(*fx));

	assert_non_null(fx);
	fx->peer = -1;
	uv_loop_init(&fx->loop);
	uv_timer_init(&fx->loop, &fx->tick);
	uv_timer_start(&fx->tick, on_tick, 2, 2);
	uv_unref((uv_handle_t *)&fx->tick);
	assert_int_equal(transport_new(&fx->t, &fx->loop, NULL, &handler, fx), 0);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(transport_listen(fx->t, addrs[i], 0), 0);
	return fx;
}

static void fx_free(struct fx *fx)
{
	if (fx->peer >= 0)
		close(fx->peer);
	transport_close(fx->t);
	uv_close((uv_handle_t *)&fx->tick, NULL);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fx->loop), 0); /* no handle is left */
	free(fx);
}

static void peer_read(struct fx *fx)
{
	ssize_t n;

	while (fx->peer >= 0 && fx->nin < sizeof(fx->in) &&
	       (n = recv(fx->peer, fx->in + fx->nin, sizeof(fx->in) - fx->nin, MSG_DONTWAIT)) > 0)
		fx->nin += (size_t)n;
}

/* Turns the loop until *what reaches at_least. */
#define pump(fx, what, at_least)                                                                           \
	do {                                                                                               \
		uint64_t until_ = uv_hrtime() + PATIENCE_NS;                                               \
		while ((what) < (at_least) && uv_hrtime() < until_)                                        \
			uv_run(&(fx)->loop, UV_RUN_ONCE), peer_read(fx);                                   \
		if ((what) < (at_least))                                                                   \
			fail_msg("%s stayed at %llu, waited for %llu", #what, (unsigned long long)(what),  \
				 (unsigned long long)(at_least));                                          \
	} while (0)

/* Lets everything happen that is on its way: over loopback, whatever was sent is there when a later thing is. */
static void settle(struct fx *fx)
{
	for (unsigned i = 0; i < 20; i++) {
		uv_run(&fx->loop, UV_RUN_ONCE);
		peer_read(fx);
	}
}

static union sockaddr_any listen_addr(const struct fx *fx, const char *host)
{
	union sockaddr_any a;

	assert_int_equal(sockaddr_parse(&a, str_from(host), transport_port(fx->t)), 0);
	return a;
}

static union sockaddr_any own_addr(int fd)
{
	union sockaddr_any a = { 0 };
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, &a.sa, &len), 0);
	return a;
}

static void peer_bind(struct fx *fx, const char *host, int type)
{
	union sockaddr_any a;

	sockaddr_parse(&a, str_from(host), 0);
	fx->peer = socket(a.sa.sa_family, type | SOCK_CLOEXEC, 0);
	assert_true(fx->peer >= 0);
	assert_int_equal(bind(fx->peer, &a.sa, sockaddr_len(&a)), 0);
}

static void peer_connect(struct fx *fx, const char *host)
{
	union sockaddr_any to = listen_addr(fx, host);

	peer_bind(fx, host, SOCK_STREAM);
	assert_int_equal(connect(fx->peer, &to.sa, sockaddr_len(&to)), 0); /* the kernel accepts it */
}

static void peer_write(struct fx *fx, const char *p, size_t n)
{
	while (n) {
		ssize_t w = send(fx->peer, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (w < 0) {
			assert_int_equal(errno, EAGAIN);
			uv_run(&fx->loop, UV_RUN_ONCE);
			continue;
		}
		p += w;
		n -= (size_t)w;
	}
}

static void peer_sendto(struct fx *fx, const char *host, const char *p, size_t n)
{
	union sockaddr_any to = listen_addr(fx, host);

	assert_int_equal(sendto(fx->peer, p, n, 0, &to.sa, sockaddr_len(&to)), n);
}

static int transport_send_checked(struct fx *fx, const struct sip_dest *dest, struct str bytes, uint64_t *flow)
{
	int err;

	fx->in_send = true;
	err = transport_send(fx->t, dest, bytes, flow);
	fx->in_send = false;
	return err;
}

static size_t message(char *buf, size_t size, const char *call_id, size_t body_len)
{
	int n = snprintf(buf, size,
			 "MESSAGE sip:b@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK%s\r\n"
			 "From: <sip:a@127.0.0.1>;tag=1\r\nTo: <sip:b@127.0.0.1>\r\nCall-ID: %s\r\nCSeq: 1 MESSAGE\r\n"
			 "Content-Length: %zu\r\n\r\n",
			 call_id, call_id, body_len);

	assert_in_range((size_t)n + body_len, 1, size);
	memset(buf + n, '\n', body_len); /* looks like keep-alives, must be taken as the body */
	return (size_t)n + body_len;
}

static const char *const v4[] = { "127.0.0.1" };
static const char *const v6[] = { "::1" };
static const char *const wild[] = { "0.0.0.0", "::" };

/* ---- UDP ---- */

static void test_transport_udp_answers_from_where_it_was_asked(void **state)
{
	static const struct { const char *const *listen; const char *host; } rows[] = { { v4, "127.0.0.1" }, { v6, "::1" } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(rows[i].listen, 1);
		union sockaddr_any to = listen_addr(fx, rows[i].host), from = { 0 }, own;
		socklen_t len = sizeof(from);
		struct sip_dest dest = { .proto = SIP_UDP };
		char buf[1024];
		uint64_t flow = 0;

		peer_bind(fx, rows[i].host, SOCK_DGRAM);
		own = own_addr(fx->peer);
		peer_sendto(fx, rows[i].host, buf, message(buf, sizeof(buf), "one", 12));
		pump(fx, fx->ngot, 1u);
		assert_string_equal(fx->got[0].call_id, "one");
		assert_int_equal(fx->got[0].body_len, 12);
		assert_int_equal(fx->got[0].bad_status, 0);
		assert_int_equal(fx->got[0].src.proto, SIP_UDP);
		assert_true(sockaddr_eq(&fx->got[0].src.peer, &own));
		assert_true(sockaddr_eq(&fx->got[0].src.local, &to));
		assert_true(fx->got[0].src.flow != 0);

		dest.addr = fx->got[0].src.peer;
		dest.flow = fx->got[0].src.flow;
		assert_int_equal(transport_send_checked(fx, &dest, STR("hello"), &flow), 0);
		assert_true(flow == dest.flow);
		assert_int_equal(recvfrom(fx->peer, buf, sizeof(buf), 0, &from.sa, &len), 5);
		assert_true(sockaddr_eq(&from, &to));
		assert_int_equal(transport_counters(fx->t)->received, 1);
		assert_int_equal(transport_counters(fx->t)->sent, 1);
		fx_free(fx);
	}
}

static void test_transport_udp_burst_keeps_all_and_their_order(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	char buf[4096], id[16];

	(void)state;
	peer_bind(fx, "127.0.0.1", SOCK_DGRAM);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "id%u", i);
		peer_sendto(fx, "127.0.0.1", buf, message(buf, sizeof(buf), id, i * 20));
	}
	pump(fx, fx->ngot, 100u);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(id, sizeof(id), "id%u", i);
		assert_string_equal(fx->got[i].call_id, id);
		assert_int_equal(fx->got[i].body_len, i * 20);
	}
	fx_free(fx);
}

/* Those of one call keep their order, whatever they are; else new calls are behind what belongs to others, and last what can wait (udp.c). */
static void test_transport_udp_hands_up_what_came_together_kind_by_kind(void **state)
{
	static const struct { const char *start, *call_id, *to_tag, *cseq; unsigned place; } rows[] = {
		{ "INVITE sip:b@127.0.0.1 SIP/2.0", "new1", "", "1 INVITE", 8 },
		{ "BYE sip:b@127.0.0.1 SIP/2.0", "up1", ";tag=2", "2 BYE", 6 },
		{ "SIP/2.0 200 OK", "out1", ";tag=2", "1 INVITE", 2 },
		{ "INVITE sip:b@127.0.0.1 SIP/2.0", "new2", "", "1 INVITE", 9 },
		{ "ACK sip:b@127.0.0.1 SIP/2.0", "up2", ";tag=2", "1 ACK", 5 },
		{ "CANCEL sip:b@127.0.0.1 SIP/2.0", "new1", "", "1 CANCEL", 10 },
		{ "SIP/2.0 180 Ringing", "out2", ";tag=2", "1 INVITE", 0 },
		{ "SIP/2.0 200 OK", "out2", ";tag=2", "1 INVITE", 3 },
		{ "BYE sip:b@127.0.0.1 SIP/2.0", "up2", ";tag=2", "2 BYE", 7 },
		{ "SIP/2.0 180 Ringing", "out3", ";tag=2", "1 INVITE", 1 },
		{ "INVITE sip:b@127.0.0.1 SIP/2.0\r\nReplaces: up1;to-tag=1;from-tag=2", "new3", "", "1 INVITE", 4 },
		{ "REGISTER sip:127.0.0.1 SIP/2.0\r\nAuthorization: Digest", "phone1", "", "2 REGISTER", 14 },
		{ "REGISTER sip:127.0.0.1 SIP/2.0", "phone2", "", "1 REGISTER", 12 },
		{ "INVITE sip:b@127.0.0.1 SIP/2.0\r\nAuthorization: Digest", "new4", "", "2 INVITE", 11 },
		{ "REGISTER sip:127.0.0.1 SIP/2.0", "phone1", "", "3 REGISTER", 15 },
		{ "MESSAGE sip:b@127.0.0.1 SIP/2.0", "text", "", "1 MESSAGE", 13 },
	};
	struct fx *fx = fx_new(v4, 1);
	char buf[1024];

	(void)state;
	peer_bind(fx, "127.0.0.1", SOCK_DGRAM);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int n = snprintf(buf, sizeof(buf), "%s\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK%zu\r\nFrom: <sip:a@127.0.0.1>;tag=1\r\n"
				 "To: <sip:b@127.0.0.1>%s\r\nCall-ID: %s\r\nCSeq: %s\r\nContent-Length: %zu\r\n\r\n%.*s",
				 rows[i].start, i, rows[i].to_tag, rows[i].call_id, rows[i].cseq, i, (int)i, "0123456789abcdef");

		peer_sendto(fx, "127.0.0.1", buf, (size_t)n);
	}
	pump(fx, fx->ngot, (unsigned)ARRAY_LEN(rows));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_string_equal(fx->got[rows[i].place].call_id, rows[i].call_id);
		assert_int_equal(fx->got[rows[i].place].body_len, i);
	}
	fx_free(fx);
}

static void test_transport_udp_sorts_noise_from_messages(void **state)
{
	/* RFC 5626 §4.4, and what phones send to keep a NAT binding; RFC 4475 for the broken ones. */
	static const struct { struct str bytes; bool is_keepalive, is_dropped; int bad_status; } rows[] = {
		{ STR("\r\n\r\n"), true, false, 0 },
		{ STR("\r\n"), true, false, 0 },
		{ STR("\0"), true, false, 0 },
		{ STR("\0\0\0\0"), true, false, 0 },
		{ STR(""), true, false, 0 },
		{ STR("hello"), false, true, 0 },
		{ STR("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), false, true, 0 },
		{ STR("\x16\x03\x01\x02"), false, true, 0 },
		{ STR("OPTIONS sip:a@x SIP/2.0\r\nFrom: <sip:a@x>;tag=1\r\n\r\n"), false, true, 0 }, /* no Via */
		{ STR("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\r\n\r\n"), false, true, 0 },
		{ STR("OPTIONS sip:a@x SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bKa\r\nFrom: <sip:a@x>;tag=1\r\n"
		      "To: <sip:a@x>\r\nCSeq: 1 OPTIONS\r\n\r\n"), false, false, 400 }, /* no Call-ID */
	};
	struct fx *fx = fx_new(v4, 1);
	const struct transport_counters *n = transport_counters(fx->t);
	uint64_t keepalives = 0, dropped = 0;
	unsigned ngot = 0;

	(void)state;
	peer_bind(fx, "127.0.0.1", SOCK_DGRAM);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		peer_sendto(fx, "127.0.0.1", rows[i].bytes.p, rows[i].bytes.n);
		keepalives += rows[i].is_keepalive;
		dropped += rows[i].is_dropped;
		ngot += rows[i].bad_status != 0;
		pump(fx, n->keepalives + n->dropped_malformed + fx->ngot, (unsigned long long)i + 1);
		assert_int_equal(n->keepalives, keepalives);
		assert_int_equal(n->dropped_malformed, dropped);
		assert_int_equal(fx->ngot, ngot);
		if (rows[i].bad_status)
			assert_int_equal(fx->got[ngot - 1].bad_status, rows[i].bad_status);
	}
	fx_free(fx);
}

static void test_transport_send_without_listener_is_refused(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	struct sip_dest dest = { .proto = SIP_UDP };

	(void)state;
	sockaddr_parse(&dest.addr, STR("::1"), 5060);
	assert_int_equal(transport_send_checked(fx, &dest, STR("x"), NULL), -EHOSTUNREACH);
	dest.proto = SIP_WS;
	assert_int_equal(transport_send_checked(fx, &dest, STR("x"), NULL), -EHOSTUNREACH);
	dest.proto = SIP_TCP;
	dest.flow = 123456789;
	assert_int_equal(transport_send_checked(fx, &dest, STR("x"), NULL), -ENOTCONN);
	assert_int_equal(transport_counters(fx->t)->send_errors, 3);
	fx_free(fx);
}

/* ---- listeners ---- */

static void test_transport_probe_tells_what_listening_would(void **state)
{
	const unsigned both = SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP);
	struct fx *fx = fx_new(v4, 1);
	union sockaddr_any a = listen_addr(fx, "127.0.0.1");

	(void)state;
	assert_int_equal(transport_probe("127.0.0.1", sockaddr_port(&a), both), -EADDRINUSE);
	assert_int_equal(transport_probe("127.0.0.1", sockaddr_port(&a), SIP_PROTO_BIT(SIP_UDP)), -EADDRINUSE);
	assert_int_equal(transport_probe("0.0.0.0", sockaddr_port(&a), SIP_PROTO_BIT(SIP_TLS)), -EADDRINUSE);
	assert_int_equal(transport_probe("127.0.0.2", sockaddr_port(&a), both), 0);
	assert_int_equal(transport_probe("nowhere", 5060, both), -EINVAL);
	assert_int_equal(transport_listen_on(fx->t, &(struct transport_listen){ .addr = "127.0.0.2", .port = sockaddr_port(&a), .protos = both }), 0); /* nothing was kept */
	fx_free(fx);
}

static void test_transport_listen_busy_port_is_refused(void **state)
{
	struct fx *fx = fx_new(v4, 1), *other = fx_new(v4, 0);
	union sockaddr_any a = listen_addr(fx, "127.0.0.1");

	(void)state;
	assert_int_equal(transport_listen(other->t, "127.0.0.1", sockaddr_port(&a)), -EADDRINUSE);
	assert_int_equal(transport_listen(other->t, "not an address", 5060), -EINVAL);
	/* A failed listener is out of the way. */
	assert_int_equal(transport_listen(other->t, "127.0.0.1", 0), 0);
	peer_bind(other, "127.0.0.1", SOCK_DGRAM);
	{
		struct sip_dest dest = { .proto = SIP_UDP, .addr = own_addr(other->peer) };

		assert_int_equal(transport_send_checked(other, &dest, STR("hello"), NULL), 0);
		pump(other, other->nin, 5u);
	}
	fx_free(other);
	fx_free(fx);
}

static void test_transport_local_is_what_the_peer_sees(void **state)
{
	static const struct { const char *const *listen; unsigned n; const char *peer, *local; } rows[] = {
		{ v4, 1, "127.0.0.1", "127.0.0.1" },
		{ v4, 1, "127.0.0.9", "127.0.0.1" },
		{ v6, 1, "::1", "::1" },
		{ wild, 2, "127.0.0.1", "127.0.0.1" },
		{ wild, 2, "127.0.0.3", "127.0.0.1" },
		{ wild, 2, "::1", "::1" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(rows[i].listen, rows[i].n);
		struct sip_dest dest = { .proto = SIP_UDP };
		union sockaddr_any local;
		char buf[SOCKADDR_TEXT_MAX];

		sockaddr_parse(&dest.addr, str_from(rows[i].peer), 5060);
		for (unsigned again = 0; again < 3; again++) { /* the second from the cache */
			sockaddr_set_port(&dest.addr, again == 2 ? 0 : 5060);
			assert_int_equal(transport_local(fx->t, &dest, &local), 0);
			assert_string_equal(sockaddr_print_host(&local, buf), rows[i].local);
			assert_true(sockaddr_port(&local) != 0);
			if (dest.addr.sa.sa_family == AF_INET)
				assert_int_equal(sockaddr_port(&local), transport_port(fx->t));
		}
		fx_free(fx);
	}
}

/* ---- TCP ---- */

/* Any cut of a stream gives the same messages. */
/* Behind a NAT: those beyond it see the address outside, and media is bound to the one inside. */
static void test_transport_local_is_external_beyond_the_nat(void **state)
{
	static const struct { const char *peer, *local; uint16_t port; } rows[] = {
		{ "10.1.2.3", "127.0.0.1", 0 }, { "192.0.2.9", "127.0.0.1", 0 }, { "198.51.100.1", "203.0.113.7", 5099 },
	};
	struct fx *fx = fx_new(v4, 0);
	struct transport_listen p = { .addr = "127.0.0.1", .protos = SIP_PROTO_BIT(SIP_UDP), .external = "203.0.113.7", .external_port = 5099,
				      .local_networks = "10.0.0.0/8, 192.0.2.0/24" };
	union sockaddr_any local, expected;

	(void)state;
	assert_int_equal(transport_listen_on(fx->t, &p), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_dest dest = { .proto = SIP_UDP };

		sockaddr_parse(&dest.addr, str_from(rows[i].peer), 5060);
		assert_int_equal(transport_local(fx->t, &dest, &local), 0);
		sockaddr_parse(&expected, str_from(rows[i].local), rows[i].port ? rows[i].port : transport_port(fx->t));
		assert_true(sockaddr_eq(&local, &expected));
		dest.proto = SIP_TCP; /* isn't served there */
		assert_int_equal(transport_local(fx->t, &dest, &local), -EHOSTUNREACH);
	}
	local = expected;
	transport_behind(fx->t, &local);
	sockaddr_parse(&expected, STR("127.0.0.1"), 0);
	assert_true(sockaddr_host_eq(&local, &expected));
	sockaddr_parse(&expected, STR("192.0.2.2"), 0);
	local = expected;
	transport_behind(fx->t, &local);
	assert_true(sockaddr_host_eq(&local, &expected));
	p.external = "2001:db8::1";
	assert_int_equal(transport_listen_on(fx->t, &p), -EINVAL);
	p.external = "203.0.113.7";
	p.local_networks = "10.0.0.0/99";
	assert_int_equal(transport_listen_on(fx->t, &p), -EINVAL);
	p.protos |= SIP_PROTO_BIT(SIP_WS);
	assert_int_equal(transport_listen_on(fx->t, &p), -EINVAL);
	fx_free(fx);
}

/* What has come, but wasn't read yet, is read. */
static void test_transport_relisten_loses_nothing(void **state)
{
	struct fx *fx = fx_new(v4, 0);
	struct transport_listen p = { .addr = "127.0.0.1", .protos = SIP_PROTO_BIT(SIP_UDP) | SIP_PROTO_BIT(SIP_TCP) };
	struct sip_dest dest = { .proto = SIP_UDP };
	union sockaddr_any local, expected;
	uint64_t id = 0;
	char buf[4096];

	(void)state;
	assert_int_equal(transport_listen_as(fx->t, &p, &id), 0);
	peer_bind(fx, "127.0.0.1", SOCK_DGRAM);
	peer_sendto(fx, "127.0.0.1", buf, message(buf, sizeof(buf), "one", 0));
	close(fx->peer);
	peer_connect(fx, "127.0.0.1");
	peer_write(fx, buf, message(buf, sizeof(buf), "two", 0));
	p.external = "203.0.113.7";
	p.local_networks = "10.0.0.0/8";
	assert_int_equal(transport_relisten(fx->t, id, &p), 0);
	pump(fx, fx->ngot, 2u);
	sockaddr_parse(&dest.addr, STR("198.51.100.1"), 5060);
	sockaddr_parse(&expected, STR("203.0.113.7"), transport_port(fx->t));
	p.local_networks = "10.0.0.0/99";
	assert_int_equal(transport_relisten(fx->t, id, &p), -EINVAL);
	assert_int_equal(transport_local(fx->t, &dest, &local), 0);
	assert_true(sockaddr_eq(&local, &expected)); /* as it was */
	p.external = NULL;
	assert_int_equal(transport_relisten(fx->t, id, &p), 0);
	assert_int_equal(transport_local(fx->t, &dest, &local), 0);
	assert_false(sockaddr_eq(&local, &expected));
	assert_int_equal(transport_relisten(fx->t, id + 1, &p), -ENOENT);
	fx_free(fx);
}

static void test_transport_tcp_cut_anywhere_gives_the_same_messages(void **state)
{
	static const size_t cuts[] = { 1, 2, 3, 7, 64, 211, 1460, 1 << 20 };
	static const size_t bodies[] = { 0, 3, 500, 0, 9000 };
	static char stream[1 << 16];

	(void)state;
	for (size_t c = 0; c < ARRAY_LEN(cuts); c++) {
		struct fx *fx = fx_new(v4, 1);
		size_t n = 0;

		peer_connect(fx, "127.0.0.1");
		for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
			char id[16];

			snprintf(id, sizeof(id), "id%zu", i);
			n += message(stream + n, sizeof(stream) - n, id, bodies[i]);
			memcpy(stream + n, "\r\n\r\n", 4); /* a ping between two messages */
			n += 4;
		}
		for (size_t at = 0; at < n; at += cuts[c]) {
			peer_write(fx, stream + at, at + cuts[c] > n ? n - at : cuts[c]);
			uv_run(&fx->loop, UV_RUN_NOWAIT);
		}
		pump(fx, fx->ngot, (unsigned)ARRAY_LEN(bodies));
		settle(fx);
		assert_int_equal(fx->ngot, ARRAY_LEN(bodies));
		for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
			char id[16];

			snprintf(id, sizeof(id), "id%zu", i);
			assert_string_equal(fx->got[i].call_id, id);
			assert_int_equal(fx->got[i].body_len, bodies[i]);
			assert_int_equal(fx->got[i].src.proto, SIP_TCP);
			assert_true(fx->got[i].src.flow == fx->got[0].src.flow);
		}
		assert_int_equal(fx->nclosed, 0);
		fx_free(fx);
	}
}

/* RFC 5626 §4.4.1: a double CRLF is answered by one CRLF; a single one before a message is skipped (RFC 3261 §7.5). */
static void test_transport_tcp_ping_is_answered(void **state)
{
	static const struct { const char *bytes; size_t pongs; } rows[] = {
		{ "\r\n\r\n", 1 }, { "\r\n", 0 }, { "\r\n\r\n\r\n", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(v6, 1);
		char buf[1024];

		peer_connect(fx, "::1");
		peer_write(fx, rows[i].bytes, strlen(rows[i].bytes));
		settle(fx);
		fx->answer_in_handler = true;
		peer_write(fx, buf, message(buf, sizeof(buf), "x", 0));
		pump(fx, fx->ngot, 1u);
		pump(fx, fx->nin, strlen("SIP/2.0 200 OK\r\n\r\n") + 2 * rows[i].pongs);
		assert_int_equal(fx->nin, strlen("SIP/2.0 200 OK\r\n\r\n") + 2 * rows[i].pongs);
		assert_memory_equal(fx->in, "\r\n", 2 * rows[i].pongs);
		assert_memory_equal(fx->in + 2 * rows[i].pongs, "SIP/2.0 200", 11);
		fx_free(fx);
	}
}

/* A ping that arrives in two reads is one ping. */
static void test_transport_tcp_ping_in_two_pieces_is_answered(void **state)
{
	struct fx *fx = fx_new(v4, 1);

	(void)state;
	peer_connect(fx, "127.0.0.1");
	peer_write(fx, "\r\n", 2);
	settle(fx);
	peer_write(fx, "\r\n", 2);
	pump(fx, fx->nin, 2u);
	settle(fx);
	assert_int_equal(fx->nin, 2);
	fx_free(fx);
}

static bool peer_sees_end(struct fx *fx)
{
	char c;

	return recv(fx->peer, &c, 1, MSG_DONTWAIT) == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static void test_transport_tcp_closes_what_is_not_sip(void **state)
{
	static char large[SIP_MSG_MAX + 4096];
	static const char *const heads[] = {
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\x16\x03\x01\x02\n\n",
		"OPTIONS sip:a@x SIP/2.0\r\nCall-ID: no length\r\n\r\n",
		"OPTIONS sip:a@x SIP/2.0\r\nContent-Length: -1\r\n\r\n",
		"OPTIONS sip:a@x SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"OPTIONS sip:a@x SIP/2.0\r\nContent-Length: 70000\r\n\r\n",
		large,
	};

	(void)state;
	memset(large, 'x', sizeof(large) - 1);
	memcpy(large, "OPTIONS sip:a@x SIP/2.0\r\nX: ", 28);
	for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
		struct fx *fx = fx_new(v4, 1);
		struct sip_dest dest = { .proto = SIP_TCP };

		peer_connect(fx, "127.0.0.1");
		peer_write(fx, heads[i], strlen(heads[i]));
		pump(fx, fx->nclosed, 1u);
		assert_int_equal(fx->ngot, 0);
		dest.addr = own_addr(fx->peer);
		dest.flow = fx->closed_flow;
		assert_int_equal(transport_send_checked(fx, &dest, STR("x"), NULL), -ENOTCONN);
		pump(fx, peer_sees_end(fx), true);
		assert_int_equal(transport_counters(fx->t)->tcp_accepted, 1);
		assert_int_equal(transport_counters(fx->t)->tcp_closed, 1);
		fx_free(fx);
	}
}

/* Who sends too much is told, on the connection that ends then (RFC 3261 §21.4.11, §21.5.7). */
static void test_transport_tcp_too_large_is_refused_with_an_answer(void **state)
{
	static const struct { size_t header_len, body_len; int status; } rows[] = { { 0, 70000, 413 }, { 70000, 10, 513 }, { 0, 2000000000u, 413 } };
	static char large[80000];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(v4, 1);
		struct sip_dest dest = { .proto = SIP_TCP };
		int n = snprintf(large, sizeof(large), "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP x;branch=z9hG4bK1\r\nFrom: <sip:b@x>;tag=1\r\n"
				 "To: <sip:a@x>\r\nCall-ID: large\r\nCSeq: 1 OPTIONS\r\n");

		if (rows[i].header_len) {
			memset(large + n, 'x', rows[i].header_len);
			memcpy(large + n, "X: ", 3);
			n += (int)rows[i].header_len;
		} else {
			n += snprintf(large + n, sizeof(large) - (size_t)n, "Content-Length: %zu\r\n\r\n", rows[i].body_len);
		}
		fx->answer_in_handler = true;
		peer_connect(fx, "127.0.0.1");
		peer_write(fx, large, (size_t)n);
		pump(fx, fx->ngot, 1u);
		if (fx->got[0].bad_status != rows[i].status)
			fail_msg("row %zu: %d", i, fx->got[0].bad_status);
		assert_string_equal(fx->got[0].call_id, "large");
		/* It goes on all the same, and is heard by nobody */
		peer_write(fx, large, 2000);
		pump(fx, fx->nin, strlen("SIP/2.0 200 OK\r\n\r\n"));
		pump(fx, peer_sees_end(fx), true);
		assert_int_equal(fx->ngot, 1);
		assert_int_equal(fx->nclosed, 0);
		dest.flow = fx->got[0].src.flow;
		assert_int_equal(transport_send_checked(fx, &dest, STR("x"), NULL), -ENOTCONN);
		if (i == 0) { /* who doesn't end it, has it ended */
			fx->t->conns->began_ms -= REFUSED_MAX_MS + 1;
			tcp_sweep(fx->t);
		} else {
			close(fx->peer);
			fx->peer = -1;
		}
		pump(fx, fx->nclosed, 1u);
		assert_int_equal(transport_counters(fx->t)->dropped_oversize, 1);
		fx_free(fx);
	}
}

static void test_transport_tcp_peer_that_ends_is_told_once(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	char buf[1024];
	uint64_t flow;

	(void)state;
	peer_connect(fx, "127.0.0.1");
	peer_write(fx, buf, message(buf, sizeof(buf), "last", 0));
	pump(fx, fx->ngot, 1u);
	flow = fx->got[0].src.flow;
	close(fx->peer);
	fx->peer = -1;
	pump(fx, fx->nclosed, 1u);
	settle(fx);
	assert_int_equal(fx->nclosed, 1);
	assert_true(fx->closed_flow == flow);
	fx_free(fx);
}

static void test_transport_tcp_answers_on_the_same_connection(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	char buf[1024];

	(void)state;
	fx->answer_in_handler = true;
	peer_connect(fx, "127.0.0.1");
	for (unsigned i = 0; i < 5; i++)
		peer_write(fx, buf, message(buf, sizeof(buf), "again", 10));
	pump(fx, fx->nin, 5 * strlen("SIP/2.0 200 OK\r\n\r\n"));
	assert_int_equal(transport_counters(fx->t)->tcp_accepted, 1);
	fx_free(fx);
}

static void test_transport_tcp_opens_one_connection_and_reuses_it(void **state)
{
	struct fx *fx = fx_new(v4, 1), *far = fx_new(v4, 1);
	struct sip_dest dest = { .proto = SIP_TCP, .addr = listen_addr(far, "127.0.0.1") };
	uint64_t first = 0, second = 0;
	char buf[1024];

	(void)state;
	/* Both go before the connection stands. */
	assert_int_equal(transport_send_checked(fx, &dest, (struct str){ buf, message(buf, sizeof(buf), "a", 5) }, &first), 0);
	assert_int_equal(transport_send_checked(fx, &dest, (struct str){ buf, message(buf, sizeof(buf), "b", 5) }, &second), 0);
	assert_true(first && first == second);
	for (unsigned i = 0; i < 1000 && far->ngot < 2; i++) {
		uv_run(&fx->loop, UV_RUN_ONCE);
		uv_run(&far->loop, UV_RUN_ONCE);
	}
	assert_int_equal(far->ngot, 2);
	assert_string_equal(far->got[0].call_id, "a");
	assert_string_equal(far->got[1].call_id, "b");
	assert_int_equal(transport_counters(far->t)->tcp_accepted, 1);

	/* By its id too, and back: the far side's answer comes in on it. */
	dest.flow = first;
	assert_int_equal(transport_send_checked(fx, &dest, (struct str){ buf, message(buf, sizeof(buf), "c", 0) }, &second), 0);
	far->answer_in_handler = true;
	for (unsigned i = 0; i < 1000 && far->ngot < 3; i++)
		uv_run(&far->loop, UV_RUN_ONCE);
	assert_int_equal(far->ngot, 3);
	assert_true(far->got[2].src.flow == far->got[0].src.flow);
	fx_free(far);
	pump(fx, fx->nclosed, 1u);
	assert_true(fx->closed_flow == first);
	fx_free(fx);
}

static void test_transport_tcp_refused_connection_ends_the_flow(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	struct sip_dest dest = { .proto = SIP_TCP };
	uint64_t flow = 0;
	int err;

	(void)state;
	peer_bind(fx, "127.0.0.1", SOCK_STREAM); /* bound, never listening: refuses */
	dest.addr = own_addr(fx->peer);
	err = transport_send_checked(fx, &dest, STR("x"), &flow);
	if (err) {
		/* Known at once: then nobody is told a second time. */
		settle(fx);
		assert_int_equal(fx->nclosed, 0);
	} else {
		pump(fx, fx->nclosed, 1u);
		assert_true(flow && fx->closed_flow == flow);
	}
	fx_free(fx);
}

/* A peer that doesn't read holds a bounded amount of our memory, then it is cut off. */
static void test_transport_tcp_peer_that_does_not_read_is_bounded(void **state)
{
	static char bytes[60000];
	struct fx *fx = fx_new(v4, 1);
	struct sip_dest dest = { .proto = SIP_TCP };
	int small = 4096, err = 0;
	unsigned sent = 0;
	char buf[1024];

	(void)state;
	peer_connect(fx, "127.0.0.1");
	setsockopt(fx->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	peer_write(fx, buf, message(buf, sizeof(buf), "x", 0));
	pump(fx, fx->ngot, 1u);
	dest.addr = fx->got[0].src.peer;
	dest.flow = fx->got[0].src.flow;
	memset(bytes, 'x', sizeof(bytes));
	while (!err && sent < 1000) {
		err = transport_send_checked(fx, &dest, (struct str){ bytes, sizeof(bytes) }, NULL);
		sent++;
		uv_run(&fx->loop, UV_RUN_NOWAIT); /* the peer's socket is not read here */
	}
	assert_int_equal(err, -ENOBUFS);
	pump(fx, fx->nclosed, 1u);
	assert_true(fx->closed_flow == dest.flow);
	assert_int_equal(transport_send_checked(fx, &dest, STR("x"), NULL), -ENOTCONN);
	fx_free(fx);
}

/* What isn't a whole message in time is no peer; the limits are moved, not waited for. */
static void test_transport_tcp_slow_and_idle_connections_are_closed(void **state)
{
	static const struct { const char *bytes; bool is_partial; uint64_t max_ms; } rows[] = {
		{ "OPTIONS sip:a@x SI", true, TCP_PARTIAL_MAX_MS },
		{ "\r\n", false, TCP_SILENT_MAX_MS },
		{ NULL, false, TCP_IDLE_MAX_MS }, /* a message: one who may wait for calls */
	};
	char buf[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fx *fx = fx_new(v4, 1);
		struct tcp_conn *c;

		peer_connect(fx, "127.0.0.1");
		if (rows[i].bytes)
			peer_write(fx, rows[i].bytes, strlen(rows[i].bytes));
		else
			peer_write(fx, buf, message(buf, sizeof(buf), "used", 0));
		pump(fx, transport_counters(fx->t)->tcp_accepted, 1u);
		settle(fx);
		c = fx->t->conns;
		assert_non_null(c);
		assert_int_equal(c->partial_since_ms != 0, rows[i].is_partial);
		/* They may wrap: only differences count. */
		if (rows[i].is_partial)
			c->partial_since_ms = uv_now(&fx->loop) - rows[i].max_ms;
		else
			c->last_ms = uv_now(&fx->loop) - rows[i].max_ms;
		tcp_sweep(fx->t);
		assert_int_equal(fx->nclosed, 0);
		assert_false(c->is_closing);
		if (rows[i].bytes && !rows[i].is_partial) {
			peer_write(fx, "\r\n", 2); /* saves nobody who has said nothing else */
			settle(fx);
		}
		if (rows[i].is_partial)
			c->partial_since_ms--;
		else
			c->last_ms--;
		tcp_sweep(fx->t);
		pump(fx, fx->nclosed, 1u);
		fx_free(fx);
	}
}

/* RFC 5626 §4.4.1: what we say doesn't count, only what the peer does. */
static void test_transport_tcp_flow_that_breaks_its_promise_is_closed(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	struct sip_dest dest = { .proto = SIP_TCP };
	struct tcp_conn *c;
	char buf[1024];

	(void)state;
	peer_connect(fx, "127.0.0.1");
	peer_write(fx, buf, message(buf, sizeof(buf), "used", 0));
	pump(fx, fx->ngot, 1u);
	c = fx->t->conns;
	dest.flow = c->id;
	transport_flow_expect(fx->t, c->id, 120);
	transport_flow_expect(fx->t, c->id + 1, 120); /* nobody's */
	c->heard_ms = uv_now(&fx->loop) - 120000 - FLOW_GRACE_MS;
	tcp_sweep(fx->t);
	assert_false(c->is_closing);
	peer_write(fx, "\r\n\r\n", 4);
	pump(fx, fx->nin, 2u); /* its answer */
	assert_true(uv_now(&fx->loop) - c->heard_ms < 120000);
	c->heard_ms = uv_now(&fx->loop) - 120000 - FLOW_GRACE_MS - 1;
	transport_flow_expect(fx->t, c->id, 0);
	tcp_sweep(fx->t);
	assert_false(c->is_closing);
	transport_flow_expect(fx->t, c->id, 120);
	assert_int_equal(transport_send_checked(fx, &dest, STR("\r\n"), NULL), 0);
	tcp_sweep(fx->t);
	pump(fx, fx->nclosed, 1u);
	assert_true(fx->closed_flow == dest.flow);
	fx_free(fx);
}

/* Our own keep-alives. Who has answered one, or must, goes on answering. */
static void test_transport_tcp_pings_and_notices_a_missing_answer(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	struct tcp_conn *c;
	char buf[1024];

	(void)state;
	peer_connect(fx, "127.0.0.1");
	peer_write(fx, buf, message(buf, sizeof(buf), "used", 0));
	pump(fx, fx->ngot, 1u);
	c = fx->t->conns;
	/* however often: the sweep that is next is in time (RFC 5626 §4.4.1) */
	for (uint32_t every_s = 15; every_s <= 120; every_s += 15) {
		transport_flow_ping(fx->t, c->id, every_s, false);
		assert_in_range(c->ping_at_ms - uv_now(&fx->loop) + TCP_SWEEP_MS, every_s * 800, every_s * 1000);
	}
	transport_flow_ping(fx->t, c->id, 30, false);
	tcp_sweep(fx->t);
	assert_int_equal(c->pinged_ms, 0); /* not yet */
	for (unsigned i = 0; i < 3; i++) {
		c->ping_at_ms = uv_now(&fx->loop);
		tcp_sweep(fx->t);
		assert_true(c->pinged_ms && c->ping_at_ms - uv_now(&fx->loop) == 24000);
		pump(fx, fx->nin, 4u);
		assert_int_equal(fx->nin, 4);
		assert_memory_equal(fx->in, "\r\n\r\n", 4);
		c->pinged_ms -= PONG_MAX_MS + 1;
		if (i == 2)
			break;
		tcp_sweep(fx->t); /* it never answered: it may be one that doesn't */
		assert_false(c->is_closing);
		if (i == 0) {
			peer_write(fx, buf, message(buf, sizeof(buf), "alive", 0));
			pump(fx, fx->ngot, 2u);
		} else {
			peer_write(fx, "\r\n", 2);
			pump(fx, c->must_pong, true);
		}
		assert_int_equal(c->pinged_ms, 0);
		assert_int_equal(c->must_pong, i == 1);
		fx->nin = 0;
	}
	settle(fx);
	assert_int_equal(fx->nin, 4); /* nobody pongs a pong */
	tcp_sweep(fx->t);
	pump(fx, fx->nclosed, 1u);
	fx_free(fx);
}

/* Who comes when all places are taken is thrown out at once, and the next finds one that has become free. */
static void test_transport_tcp_full_goes_on_listening(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	char buf[1024];
	int first;

	(void)state;
	transport_limit(fx->t, &(struct transport_limits){ .conns = 1, .per_address = 0 });
	peer_connect(fx, "127.0.0.1");
	first = fx->peer;
	pump(fx, transport_counters(fx->t)->tcp_accepted, 1u);
	for (unsigned i = 0; i < 3; i++) {
		peer_connect(fx, "127.0.0.1");
		pump(fx, peer_sees_end(fx), true);
		close(fx->peer);
	}
	assert_int_equal(transport_counters(fx->t)->tcp_accepted, 1);
	assert_int_equal(fx->nclosed, 0);
	close(first);
	fx->peer = -1;
	pump(fx, fx->nclosed, 1u);
	peer_connect(fx, "127.0.0.1");
	peer_write(fx, buf, message(buf, sizeof(buf), "free", 0));
	pump(fx, fx->ngot, 1u);
	fx_free(fx);
}

/* ---- ends ---- */

static void test_transport_close_inside_its_own_handler(void **state)
{
	static char stream[4096];

	(void)state;
	for (unsigned tcp = 0; tcp < 2; tcp++) {
		struct fx *fx = fx_new(v4, 1);
		size_t n = message(stream, sizeof(stream), "a", 0);

		n += message(stream + n, sizeof(stream) - n, "b", 0);
		fx->close_in_handler = true;
		if (tcp) {
			peer_connect(fx, "127.0.0.1");
			peer_write(fx, stream, n);
		} else {
			peer_bind(fx, "127.0.0.1", SOCK_DGRAM);
			peer_sendto(fx, "127.0.0.1", stream, n);
			peer_sendto(fx, "127.0.0.1", stream, n);
		}
		pump(fx, fx->ngot, 1u);
		/* Its memory goes with its last handle; from here on only the loop may be used. */
		if (fx->peer >= 0)
			close(fx->peer);
		uv_close((uv_handle_t *)&fx->tick, NULL);
		uv_run(&fx->loop, UV_RUN_DEFAULT);
		assert_int_equal(fx->ngot, 1);
		assert_int_equal(fx->nclosed, 0);
		assert_int_equal(uv_loop_close(&fx->loop), 0);
		free(fx);
	}
}

static void test_transport_close_when_a_connection_ends(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	int first;

	(void)state;
	peer_connect(fx, "127.0.0.1");
	first = fx->peer;
	pump(fx, transport_counters(fx->t)->tcp_accepted, 1u);
	peer_connect(fx, "127.0.0.1");
	pump(fx, transport_counters(fx->t)->tcp_accepted, 2u);
	fx->close_in_closed = true;
	close(first);
	pump(fx, fx->nclosed, 1u);
	close(fx->peer);
	uv_close((uv_handle_t *)&fx->tick, NULL);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(fx->nclosed, 1); /* the other's end is nobody's business any more */
	assert_int_equal(uv_loop_close(&fx->loop), 0);
	free(fx);
}

static void test_transport_close_drops_connections_and_what_they_hold(void **state)
{
	struct fx *fx = fx_new(v4, 1);
	struct sip_dest dest = { .proto = SIP_TCP };
	static char bytes[100000];

	(void)state;
	peer_bind(fx, "127.0.0.1", SOCK_STREAM);
	assert_int_equal(listen(fx->peer, 1), 0);
	dest.addr = own_addr(fx->peer);
	memset(bytes, 'x', sizeof(bytes));
	/* Queued behind a connection that is being made. */
	assert_int_equal(transport_send_checked(fx, &dest, (struct str){ bytes, sizeof(bytes) }, NULL), 0);
	assert_int_equal(transport_send_checked(fx, &dest, (struct str){ bytes, sizeof(bytes) }, NULL), 0);
	fx_free(fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transport_udp_answers_from_where_it_was_asked),
		cmocka_unit_test(test_transport_udp_burst_keeps_all_and_their_order),
		cmocka_unit_test(test_transport_udp_hands_up_what_came_together_kind_by_kind),
		cmocka_unit_test(test_transport_udp_sorts_noise_from_messages),
		cmocka_unit_test(test_transport_send_without_listener_is_refused),
		cmocka_unit_test(test_transport_listen_busy_port_is_refused),
		cmocka_unit_test(test_transport_probe_tells_what_listening_would),
		cmocka_unit_test(test_transport_local_is_what_the_peer_sees),
		cmocka_unit_test(test_transport_local_is_external_beyond_the_nat),
		cmocka_unit_test(test_transport_relisten_loses_nothing),
		cmocka_unit_test(test_transport_tcp_cut_anywhere_gives_the_same_messages),
		cmocka_unit_test(test_transport_tcp_ping_is_answered),
		cmocka_unit_test(test_transport_tcp_ping_in_two_pieces_is_answered),
		cmocka_unit_test(test_transport_tcp_closes_what_is_not_sip),
		cmocka_unit_test(test_transport_tcp_too_large_is_refused_with_an_answer),
		cmocka_unit_test(test_transport_tcp_peer_that_ends_is_told_once),
		cmocka_unit_test(test_transport_tcp_answers_on_the_same_connection),
		cmocka_unit_test(test_transport_tcp_opens_one_connection_and_reuses_it),
		cmocka_unit_test(test_transport_tcp_refused_connection_ends_the_flow),
		cmocka_unit_test(test_transport_tcp_peer_that_does_not_read_is_bounded),
		cmocka_unit_test(test_transport_tcp_slow_and_idle_connections_are_closed),
		cmocka_unit_test(test_transport_tcp_flow_that_breaks_its_promise_is_closed),
		cmocka_unit_test(test_transport_tcp_pings_and_notices_a_missing_answer),
		cmocka_unit_test(test_transport_tcp_full_goes_on_listening),
		cmocka_unit_test(test_transport_close_inside_its_own_handler),
		cmocka_unit_test(test_transport_close_when_a_connection_ends),
		cmocka_unit_test(test_transport_close_drops_connections_and_what_they_hold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_transport_nomem.c - UDP, TCP, TLS and WebSocket on loopback when memory or the kernel's part runs out: the 1st, 2nd, ... nth
 * allocation fails in turn, or all from it on, those of OpenSSL and libuv included; then the nth system call.
 *
 * Each time a client is answered or its connection ends, and once there is memory again the next client is answered; what we open
 * ends with an error or the end of its flow. Nothing is left: no handle, no descriptor, no byte. The sanitizers bring their own
 * allocator, so in their builds the system calls alone fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sip/transport_int.h"
#include "certs.h"
#include "nomem.h"

#define PATIENCE_NS (10 * 1000000000ull)
#define QUIET_TURNS 8            /* of the loop, after which nothing is on its way any more */
#define FDS_MAX 1024             /* libwebsockets makes a table of as many as there may be */
#define WATCHED_FD 400           /* libuv's table of descriptors grows by ending the process without memory: it has grown before */

#define ANSWER "SIP/2.0 200 OK\r\n\r\n"
#define FRAME_MAX 1024
#define STRIDE_START 397         /* of those that reading certificates takes; but see fail_all() */
#define STRIDE_TLS 41            /* of those of a handshake */
#define LWS_LEAVES 2             /* allocations: indices that a context takes of OpenSSL for good */

struct client {
	enum sip_proto proto;
	int fd;                  /* -1: it couldn't connect */
	struct tls *tls;
	char in[4096];
	size_t nin;
	bool is_open;            /* WebSocket: the handshake is over */
	bool is_ended, is_answered;
};

struct bed {
	uv_loop_t loop;
	uv_timer_t tick;
	uv_poll_t watched;
	struct transport *t;
	unsigned ngot, nclosed;
	uint64_t closed_flow;
	union sockaddr_any from; /* of the last message */
};

/* What all plays share. */
static struct {
	char dir[64], cert[96], ca[96];
	struct tls_context *context;
} shared;

/* ---- system calls, which fail in turn ---- */

static struct { bool armed; unsigned count, fail_at; int err; } calls;

static bool call_fails(void)
{
	if (!calls.armed || ++calls.count != calls.fail_at)
		return false;
	errno = calls.err;
	return true;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int socket(int domain, int type, int protocol)
{
	return call_fails() ? -1 : REAL(socket)(domain, type, protocol);
}

int accept4(int fd, struct sockaddr *restrict addr, socklen_t *restrict len, int flags)
{
	return call_fails() ? -1 : REAL(accept4)(fd, addr, len, flags);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
	return call_fails() ? -1 : REAL(connect)(fd, addr, len);
}

int bind(int fd, const struct sockaddr *addr, socklen_t len)
{
	return call_fails() ? -1 : REAL(bind)(fd, addr, len);
}

int listen(int fd, int n)
{
	return call_fails() ? -1 : REAL(listen)(fd, n);
}

int getsockname(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
	return call_fails() ? -1 : REAL(getsockname)(fd, addr, len);
}

int getpeername(int fd, struct sockaddr *restrict addr, socklen_t *restrict len)
{
	return call_fails() ? -1 : REAL(getpeername)(fd, addr, len);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return call_fails() ? -1 : REAL(setsockopt)(fd, level, name, value, len);
}

int shutdown(int fd, int how)
{
	return call_fails() ? -1 : REAL(shutdown)(fd, how);
}

/* libwebsockets 4.1 itself breaks when memory runs out under it: what it asks for it gets. What OpenSSL, libuv and we ask for beside it
 * fails. */
static void *lws_always(void *p, size_t n, const char *reason)
{
	bool is_armed = heap.armed;
	void *got = NULL;

	(void)reason;
	heap.armed = false;
	if (n)
		got = realloc(p, n);
	else
		free(p);
	heap.armed = is_armed;
	return got;
}

/* What the server does fails, what its clients do never does. */
static void arm(bool is_armed)
{
	heap.armed = calls.armed = is_armed;
}

/* ---- the server ---- */

static void on_message(struct sip_msg *m, const struct sip_msg_error *err, const struct sip_source *src, void *arg)
{
	struct bed *b = arg;
	struct sip_dest dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow };

	(void)m;
	b->ngot++;
	b->from = src->peer;
	if (!err->status)
		transport_send(b->t, &dest, STR(ANSWER), NULL);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct bed *b = arg;

	b->nclosed++;
	b->closed_flow = flow;
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

static void on_watched(uv_poll_t *poll, int status, int events)
{
	(void)poll;
	(void)status;
	(void)events;
}

static void turn(struct bed *b)
{
	arm(true);
	uv_run(&b->loop, UV_RUN_ONCE);
	arm(false);
}

static int serve(struct bed *b, enum sip_proto proto)
{
	static const struct transport_handler handler = { .on_message = on_message, .on_flow_closed = on_flow_closed };
	const struct transport_tls tls = { .cert = shared.cert, .ca = shared.ca }; /* else those of the system, of which there are many */
	struct transport_listen p = { .addr = "127.0.0.1", .protos = SIP_PROTO_BIT(proto), .tls = &tls };
	int err = transport_new(&b->t, &b->loop, NULL, &handler, b);

	return err ? err : transport_listen_on(b->t, &p);
}

static void bed_init(struct bed *b)
{
	int ends[2];

	*b = (struct bed){ 0 };
	assert_int_equal(uv_loop_init(&b->loop), 0);
	uv_timer_init(&b->loop, &b->tick);
	uv_timer_start(&b->tick, on_tick, 1, 1);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(dup2(ends[0], WATCHED_FD), WATCHED_FD);
	close(ends[0]);
	close(ends[1]); /* which makes it readable for ever: libuv has to see it once */
	assert_int_equal(uv_poll_init(&b->loop, &b->watched, WATCHED_FD), 0);
	uv_poll_start(&b->watched, UV_DISCONNECT, on_watched);
	uv_run(&b->loop, UV_RUN_NOWAIT);
	uv_poll_stop(&b->watched);
}

static void bed_fini(struct bed *b)
{
	arm(true);
	transport_close(b->t);
	arm(false);
	uv_close((uv_handle_t *)&b->tick, NULL);
	uv_close((uv_handle_t *)&b->watched, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	close(WATCHED_FD);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < FDS_MAX; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* ---- clients ---- */

static uint16_t port_of(const struct bed *b, enum sip_proto proto)
{
	switch (proto) {
	case SIP_TLS: return transport_tls_port(b->t);
	case SIP_WS: return transport_ws_port(b->t, false);
	case SIP_WSS: return transport_ws_port(b->t, true);
	default: return sockaddr_port(&b->t->listeners->addr);
	}
}

static void client_write(struct client *c, const void *bytes, size_t n)
{
	struct str out = { bytes, n };

	if (c->tls) {
		tls_write(c->tls, out);
		out = tls_output(c->tls);
	}
	if (out.n && send(c->fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		c->is_ended = true;
	if (c->tls)
		tls_output_sent(c->tls);
}

static void client_ask(struct client *c)
{
	static const char request[] = "OPTIONS sip:a@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:b@x>;tag=1\r\n"
				      "To: <sip:a@x>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
	unsigned char frame[FRAME_MAX] = { 0x81, 0x80 | 126, 0, sizeof(request) - 1 }; /* RFC 6455 §5.2; masked with zeros */
	bool is_ws = c->proto == SIP_WS || c->proto == SIP_WSS;

	memcpy(frame + 8, request, sizeof(request) - 1);
	if (!is_ws)
		client_write(c, request, sizeof(request) - 1);
	else if (c->is_open)
		client_write(c, frame, 8 + sizeof(request) - 1);
}

static void client_start(struct client *c, const struct bed *b, enum sip_proto proto)
{
	static const char upgrade[] = "GET / HTTP/1.1\r\nHost: pbx\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
	union sockaddr_any to;

	*c = (struct client){ .proto = proto };
	assert_int_equal(sockaddr_parse(&to, STR("127.0.0.1"), port_of(b, proto)), 0);
	c->fd = socket(AF_INET, (proto == SIP_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(c->fd, &to.sa, sizeof(to.v4)), 0);
	if (proto == SIP_TLS || proto == SIP_WSS)
		assert_int_equal(tls_connect(&c->tls, shared.context, NULL), 0);
	if (proto == SIP_WS || proto == SIP_WSS)
		client_write(c, upgrade, sizeof(upgrade) - 1);
	else
		client_ask(c);
}

static void client_take(struct client *c)
{
	bool is_ws = c->proto == SIP_WS || c->proto == SIP_WSS;

	if (is_ws && !c->is_open && memmem(c->in, c->nin, "\r\n\r\n", 4)) {
		c->is_open = memmem(c->in, c->nin, "HTTP/1.1 101 ", 13) != NULL;
		c->is_ended |= !c->is_open; /* told that it can't be */
		client_ask(c);
	}
	c->is_answered = memmem(c->in, c->nin, ANSWER, sizeof(ANSWER) - 1) != NULL;
}

/* Reads what has come. True: something has. */
static bool client_read(struct client *c)
{
	char wire[16384];
	ssize_t n, got;

	if (c->is_ended)
		return false;
	n = recv(c->fd, wire, sizeof(wire), MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0) {
		c->is_ended = true;
		return true;
	}
	got = n;
	if (c->tls) {
		c->is_ended = tls_receive(c->tls, wire, (size_t)n) != 0;
		got = c->is_ended ? 0 : tls_read(c->tls, wire, sizeof(wire));
		c->is_ended |= got < 0;
		client_write(c, "", 0);
	}
	if (got > 0 && c->nin + (size_t)got <= sizeof(c->in)) {
		memcpy(c->in + c->nin, wire, (size_t)got);
		c->nin += (size_t)got;
		client_take(c);
	}
	return true;
}

static void client_stop(struct client *c)
{
	close(c->fd);
	tls_free(c->tls);
}

/* Until it is answered, its connection has ended, or nothing happens any more. */
static void client_wait(struct client *c, struct bed *b)
{
	for (unsigned quiet = 0; quiet < QUIET_TURNS && !c->is_answered && !c->is_ended; quiet++) {
		turn(b);
		if (client_read(c))
			quiet = 0;
	}
}

/* The same, however long nothing happens. */
static void client_wait_for_end(struct client *c, struct bed *b)
{
	for (uint64_t until = uv_hrtime() + PATIENCE_NS; !c->is_answered && !c->is_ended && uv_hrtime() < until;)
		client_wait(c, b);
}

/* Later connections that say nothing, or not enough, are swept away. */
static void sweep(struct bed *b)
{
	struct tcp_conn *c, *next;

	ws_sweep(b->t, uv_now(&b->loop) + HANDSHAKE_MAX_MS + 1);
	HASH_ITER(hh, b->t->conns, c, next)
		c->began_ms = c->last_ms = 0;
	b->loop.time += TCP_IDLE_MAX_MS + 1;
	tcp_sweep(b->t);
	accept_sweep(b->t); /* who waits since there were no descriptors */
}

/* ---- plays ---- */

/* One client asks while something fails, another after that. */
static void play_asked(struct bed *b, enum sip_proto proto)
{
	struct client c, next;

	client_start(&c, b, proto);
	client_wait(&c, b);
	if (!c.is_answered && !c.is_ended) {
		client_ask(&c); /* what was dropped is said again */
		client_wait(&c, b);
	}
	heap.fail_at = calls.fail_at = 0;
	if (!c.is_answered && !c.is_ended) {
		client_ask(&c);
		client_wait(&c, b);
	}
	if (!c.is_answered && !c.is_ended && proto != SIP_UDP)
		sweep(b);
	client_wait_for_end(&c, b);
	assert_true(c.is_answered || c.is_ended);
	client_start(&next, b, proto);
	client_wait_for_end(&next, b);
	assert_true(next.is_answered);
	client_stop(&next);
	client_stop(&c);
	for (uint64_t until = uv_hrtime() + PATIENCE_NS; b->t->n.tcp_closed < b->t->n.tcp_accepted && uv_hrtime() < until;)
		turn(b);
	assert_true(b->t->n.tcp_closed >= b->t->n.tcp_accepted);
}

/* We ask a peer; what fails is told at once or as the end of the flow, and the next time it is reached. */
static void play_asking(struct bed *b, enum sip_proto proto, bool is_refused)
{
	struct client peer = { .proto = proto, .fd = -1 };
	struct sip_dest dest = { .proto = proto };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(dest.addr);

	assert_int_equal(sockaddr_parse(&dest.addr, STR("127.0.0.1"), 0), 0);
	assert_int_equal(bind(fd, &dest.addr.sa, sizeof(dest.addr.v4)), 0);
	assert_int_equal(is_refused ? 0 : listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, &dest.addr.sa, &len), 0);
	for (unsigned tries = 0; tries < 2; tries++) {
		unsigned nclosed = b->nclosed, quiet = 0;
		uint64_t flow = 0;
		int err;

		arm(true);
		err = transport_send(b->t, &dest, STR(ANSWER), &flow);
		arm(false);
		while (!err && b->nclosed == nclosed && !peer.is_answered && quiet++ < (tries ? 1000 : QUIET_TURNS)) {
			if (peer.is_ended) { /* one of before that had waited to be accepted */
				client_stop(&peer);
				peer = (struct client){ .proto = proto, .fd = -1 };
			}
			if (peer.fd < 0) {
				peer.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
				if (peer.fd >= 0 && proto == SIP_TLS)
					assert_int_equal(tls_accept(&peer.tls, shared.context), 0);
			}
			if (peer.fd >= 0 && client_read(&peer))
				quiet = 0;
			turn(b);
		}
		if (tries || is_refused)
			assert_true(is_refused ? err || b->nclosed > nclosed : peer.is_answered);
		if (peer.is_answered)
			break;
		heap.fail_at = calls.fail_at = 0;
		if (!err)
			transport_flow_close(b->t, flow);
		for (unsigned i = 0; i < QUIET_TURNS; i++)
			turn(b);
		if (peer.fd >= 0)
			client_stop(&peer);
		peer = (struct client){ .proto = proto, .fd = -1 };
	}
	if (peer.fd >= 0)
		client_stop(&peer);
	close(fd);
}

enum play { OPEN, ASKED, ASKING, REFUSED };

struct part { enum play play; enum sip_proto proto; };

static void play(const struct part *part)
{
	static bool is_warm;     /* libuv keeps a pipe for signals */
	struct bed b;
	unsigned fds;
	int err;

	if (!is_warm) {
		bed_init(&b);
		bed_fini(&b);
	}
	is_warm = true;
	fds = open_fds();
	bed_init(&b);
	arm(part->play == OPEN);
	err = serve(&b, part->proto);
	arm(false);
	if (part->play != OPEN)
		assert_int_equal(err, 0);
	assert_int_equal(b.t && b.t->listeners, !err); /* as it was, when it can't be */
	if (part->play == ASKED)
		play_asked(&b, part->proto);
	else if (part->play != OPEN)
		play_asking(&b, part->proto, part->play == REFUSED);
	heap.fail_at = calls.fail_at = 0;
	bed_fini(&b);
	ERR_clear_error(); /* the last errors are kept, with where they were */
	if (open_fds() != fds)
		fail_msg("%u descriptors open, %u before", open_fds(), fds);
}

static long play_memory(const struct part *part, unsigned fail_at, bool is_out)
{
	heap.count = 0;
	heap.fail_at = fail_at;
	heap.is_out = is_out;
	heap.balance = 0;
	heap.is_counted = true;
	play(part);
	heap.is_counted = false;
	return heap.balance;
}

/* stride: how many of them are passed over between two that fail. NOMEM_ALL=1: none; NOMEM_ALL=K/N: the Kth of N shares of them all. */
static void fail_all(const struct part *part, unsigned stride)
{
	const char *all = getenv("NOMEM_ALL");
	unsigned n, first = 1, nfailed = 0;
	long usual;

	play_memory(part, 0, false);
	play_memory(part, 0, false); /* what libraries keep for good is made now */
	usual = play_memory(part, 0, false);
	assert_in_range(usual, 0, LWS_LEAVES);
	if (all && sscanf(all, "%u/%u", &first, &stride) != 2)
		first = stride = 1;
	n = heap.count;
	for (unsigned i = first; CAN_FAIL && i <= n; i += stride, nfailed++) {
		for (unsigned is_out = 0; is_out < 2; is_out++) {
			long left = play_memory(part, i, is_out);

			if (left > usual) /* a library's first error may be kept, a second isn't */
				left = play_memory(part, i, is_out);
			if (left > usual)
				fail_msg("allocation %u of %u%s: %ld left", i, n, is_out ? " and all behind it" : "", left);
		}
	}
	if (all)
		print_message("%u of %u allocations failed, each by itself and with all behind it\n", nfailed, n);
}

static void test_transport_udp_survives_each_failing_allocation(void **state)
{
	(void)state;
	fail_all(&(struct part){ OPEN, SIP_UDP }, 1);
	fail_all(&(struct part){ ASKED, SIP_UDP }, 1);
}

static void test_transport_tcp_survives_each_failing_allocation(void **state)
{
	(void)state;
	fail_all(&(struct part){ OPEN, SIP_TCP }, 1);
	fail_all(&(struct part){ ASKED, SIP_TCP }, 1);
	fail_all(&(struct part){ ASKING, SIP_TCP }, 1);
	fail_all(&(struct part){ REFUSED, SIP_TCP }, 1);
}

static void test_transport_tls_survives_each_failing_allocation(void **state)
{
	(void)state;
	fail_all(&(struct part){ OPEN, SIP_TLS }, STRIDE_START);
	fail_all(&(struct part){ ASKED, SIP_TLS }, STRIDE_TLS);
	fail_all(&(struct part){ ASKING, SIP_TLS }, STRIDE_TLS);
	fail_all(&(struct part){ REFUSED, SIP_TLS }, STRIDE_TLS);
}

/* Not that libwebsockets starts: it breaks when it can't. */
static void test_transport_ws_survives_each_failing_allocation(void **state)
{
	(void)state;
	fail_all(&(struct part){ ASKED, SIP_WS }, 1);
}

static void test_transport_wss_survives_each_failing_allocation(void **state)
{
	(void)state;
	fail_all(&(struct part){ ASKED, SIP_WSS }, STRIDE_TLS);
}

static void test_transport_survives_each_failing_system_call(void **state)
{
	static const int errors[] = { EMFILE, ENFILE, ENOBUFS };
	static const enum sip_proto protos[] = { SIP_UDP, SIP_TCP, SIP_TLS, SIP_WS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		for (unsigned kind = OPEN; kind <= REFUSED; kind++) {
			const struct part part = { kind, protos[i] };
			unsigned n;

			if (kind >= ASKING && part.proto != SIP_TCP && part.proto != SIP_TLS)
				continue;
			calls.count = 0;
			play(&part);
			n = calls.count;
			for (unsigned at = 1; at <= n; at++) {
				calls.err = errors[at % ARRAY_LEN(errors)];
				calls.count = 0;
				calls.fail_at = at;
				play(&part);
			}
		}
	}
}

/* Really none left: who comes meanwhile is dropped, or waits; who comes later is served. */
static void test_transport_without_descriptors_serves_again(void **state)
{
	static const enum sip_proto protos[] = { SIP_TCP, SIP_TLS, SIP_WS, SIP_WSS };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(protos); i++) {
		struct rlimit all, none;
		struct client first, next;
		struct bed b;

		bed_init(&b);
		assert_int_equal(serve(&b, protos[i]), 0);
		client_start(&first, &b, protos[i]);
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
		none = all;
		none.rlim_cur = 3; /* what is open stays */
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
		client_wait(&first, &b);
		assert_false(first.is_answered);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
		accept_sweep(b.t);
		client_start(&next, &b, protos[i]);
		client_wait_for_end(&next, &b);
		assert_true(next.is_answered);
		client_stop(&first);
		client_stop(&next);
		bed_fini(&b);
	}
}

static int setup(void **state)
{
	struct rlimit fds = { FDS_MAX, FDS_MAX };
	struct authority authority;

	(void)state;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &fds), 0);
	lws_set_allocator(lws_always);
	signal(SIGPIPE, SIG_IGN); /* as main() does */
	strcpy(shared.dir, "/tmp/test-transport-nomem-XXXXXX");
	assert_non_null(mkdtemp(shared.dir));
	snprintf(shared.cert, sizeof(shared.cert), "%s/cert.pem", shared.dir);
	snprintf(shared.ca, sizeof(shared.ca), "%s/ca.pem", shared.dir);
	setenv("SSL_CERT_FILE", shared.ca, 1); /* libwebsockets reads them whatever it is told */
	authority_init(&authority, "Authority");
	authority_save(&authority, shared.ca);
	authority_issue(&authority, "pbx", "DNS:pbx.example.com", shared.cert);
	authority_fini(&authority);
	return tls_context_new(&shared.context, &(struct tls_context_params){ .cert = shared.cert, .ca = shared.ca });
}

static int teardown(void **state)
{
	(void)state;
	tls_context_free(shared.context);
	unlink(shared.cert);
	unlink(shared.ca);
	rmdir(shared.dir);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transport_udp_survives_each_failing_allocation),
		cmocka_unit_test(test_transport_tcp_survives_each_failing_allocation),
		cmocka_unit_test(test_transport_tls_survives_each_failing_allocation),
		cmocka_unit_test(test_transport_ws_survives_each_failing_allocation),
		cmocka_unit_test(test_transport_wss_survives_each_failing_allocation),
		cmocka_unit_test(test_transport_survives_each_failing_system_call),
		cmocka_unit_test(test_transport_without_descriptors_serves_again),
	};

	return cmocka_run_group_tests_name("transport without memory or descriptors", tests, setup, teardown);
}

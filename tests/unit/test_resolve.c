/* test_resolve.c - URIs to addresses, with a name server on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sip/dns.h"
#include "sip/resolve.h"
#include "fake_dns.h"

static void test_resolve_literal_takes_transport_and_port_of_uri(void **state)
{
	static const struct {
		const char *uri;
		int err;
		enum sip_proto proto;
		const char *addr;
	} rows[] = {
		{ "sip:a@127.0.0.1", 0, SIP_UDP, "127.0.0.1:5060" },
		{ "sip:127.0.0.1:5070", 0, SIP_UDP, "127.0.0.1:5070" },
		{ "sip:a@127.0.0.1;transport=tcp", 0, SIP_TCP, "127.0.0.1:5060" },
		{ "sip:a@127.0.0.1;x=y;transport=UDP", 0, SIP_UDP, "127.0.0.1:5060" },
		{ "sip:a@[::1]:5062;transport=TCP", 0, SIP_TCP, "[::1]:5062" },
		/* RFC 3263 §4: TARGET is maddr, the port is the URI's */
		{ "sip:a@127.0.0.1:5070;maddr=127.0.0.9", 0, SIP_UDP, "127.0.0.9:5070" },
		{ "sip:a@example.com;maddr=[::1];transport=tcp", 0, SIP_TCP, "[::1]:5060" },
		{ "sips:a@127.0.0.1;maddr=127.0.0.9", 0, SIP_TLS, "127.0.0.9:5061" },
		{ "sips:a@example.com;maddr=127.0.0.9", -EAGAIN, 0, "" },          /* its certificate must be example.com's */
		{ "sip:a@127.0.0.1;maddr=example.com", -EAGAIN, 0, "" },
		{ "sip:a@example.com;maddr=224.0.1.75;ttl=15", -EINVAL, 0, "" },   /* nothing to groups */
		{ "sip:a@example.com;maddr=[ff02::1]", -EINVAL, 0, "" },
		{ "sip:a@239.255.255.1", -EINVAL, 0, "" },
		{ "sip:a@example.com", -EAGAIN, 0, "" },
		{ "sip:a@127.0.0.1;transport=sctp", -EPROTONOSUPPORT, 0, "" },
		{ "sip:a@127.0.0.1;transport=ws", -EPROTONOSUPPORT, 0, "" },
		{ "sip:a@127.0.0.1;transport=tls", 0, SIP_TLS, "127.0.0.1:5061" },
		{ "sips:a@127.0.0.1", 0, SIP_TLS, "127.0.0.1:5061" },
		{ "sips:a@127.0.0.1:5071;transport=tcp", 0, SIP_TLS, "127.0.0.1:5071" },
		{ "sips:a@127.0.0.1;transport=udp", -EPROTONOSUPPORT, 0, "" },
		{ "tel:+123", -EINVAL, 0, "" },
		{ "mailto:a@b", -EINVAL, 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct sip_dest dest;
		struct sip_uri uri;
		char text[SOCKADDR_TEXT_MAX];
		assert_int_equal(sip_uri_parse(&uri, str_from(rows[i].uri)), 0);
		assert_int_equal(sip_resolve_literal(&dest, &uri), rows[i].err);
		if (rows[i].err)
			continue;
		assert_int_equal(dest.proto, rows[i].proto);
		assert_int_equal(dest.flow, 0);
		assert_string_equal(sockaddr_print(&dest.addr, text), rows[i].addr);
	}
}

struct answer {
	unsigned calls, n;
	uint64_t id;
	struct sip_dest dests[SIP_RESOLVE_MAX];
};

struct fx {
	uv_loop_t loop;
	struct fake_dns dns;
	struct resolver *r;
	struct rng rng;
	char hosts[64];
};

static const char *const zone[] = {
	/* RFC 3263 §4.1, its example */
	"example.com 60 NAPTR 50 50 s SIPS+D2T - _sips._tcp.example.com",
	"example.com 60 NAPTR 90 50 s SIP+D2T - _sip._tcp.example.com",
	"example.com 60 NAPTR 100 50 s SIP+D2U - _sip._udp.example.com",
	"example.com 60 NAPTR 10 50 s SIP+D2W - _ws._tcp.example.com",
	"example.com 60 NAPTR 11 50 u E2U+sip !.*!x! .",
	"_sips._tcp.example.com 60 SRV 1 0 5061 s1.example.com",
	"_sip._tcp.example.com 60 SRV 1 0 5060 s1.example.com",
	"_sip._udp.example.com 60 SRV 1 0 5060 s1.example.com",
	"_sip._udp.example.com 60 SRV 2 0 5070 s2.example.com",
	"s1.example.com 60 A 192.0.2.1",
	"s2.example.com 60 A 192.0.2.2",
	/* no NAPTR */
	"_sip._udp.plain.test 60 SRV 20 0 5080 b.plain.test",
	"_sip._udp.plain.test 60 SRV 10 0 5070 a.plain.test",
	"_sip._tcp.plain.test 60 SRV 10 0 5090 a.plain.test",
	"_sips._tcp.plain.test 60 SRV 10 0 5091 a.plain.test",
	"a.plain.test 60 A 192.0.2.11",
	"_sips._tcp.secure.test 60 SRV 10 0 5092 a.plain.test",
	"secure.test 60 A 192.0.2.18",
	"b.plain.test 60 A 192.0.2.12",
	"plain.test 60 A 192.0.2.19",
	/* addresses alone, by an alias */
	"bare.test 60 A 192.0.2.21",
	"bare.test 60 A 192.0.2.22",
	"alias.test 60 CNAME bare.test",
	/* both families */
	"dual.test 60 A 192.0.2.31",
	"dual.test 60 AAAA 2001:db8::31",
	/* RFC 2782: decidedly not */
	"_sip._udp.no.test 60 SRV 0 0 0 .",
	"_sip._tcp.no.test 60 SRV 0 0 0 .",
	"no.test 60 A 192.0.2.41",
	/* one target of two has an address */
	"_sip._udp.half.test 60 SRV 1 0 5060 gone.half.test",
	"_sip._udp.half.test 60 SRV 2 0 5060 here.half.test",
	"here.half.test 60 A 192.0.2.51",
	/* the flag a */
	"flag.test 60 NAPTR 1 1 A SIP+D2T - here.half.test",
	"flag.test 60 NAPTR 2 1 s SIP+D2U - _sip._udp.half.test",
	/* what breaks */
	"loop.test 60 CNAME pool.test",
	"pool.test 60 CNAME loop.test",
	"garbage.test 60 GARBAGE",
	"servfail.test 60 SERVFAIL",
	"truncated.test 60 TRUNCATED",
	"silent.test 60 SILENCE",
	"short.test 1 A 192.0.2.61",
	NULL,
};

static int setup(void **state)
{
	struct fx *fx = calloc(1, sizeof(*fx));
	FILE *f;

	strcpy(fx->hosts, "/tmp/test-resolve-XXXXXX");
	f = fdopen(mkstemp(fx->hosts), "w");
	fputs("# 192.0.2.99 comment.test\n127.0.0.1\tlocalhost\n::1 localhost ip6-localhost\n"
	      "192.0.2.71  hosts.test\tother.test # comment.test\nnonsense hosts.test\n"
	      "224.0.1.75 group.test\n192.0.2.72 group.test\n", f);
	fclose(f);
	assert_int_equal(uv_loop_init(&fx->loop), 0);
	fake_dns_start(&fx->dns, &fx->loop, zone);
	rng_init_fixed(&fx->rng, 1);
	assert_int_equal(resolver_new(&fx->r, &(struct resolver_params){
		.loop = &fx->loop, .rng = &fx->rng, .servers = fx->dns.address, .timeout_ms = 100, .hosts = fx->hosts }), 0);
	*state = fx;
	return 0;
}

static int teardown(void **state)
{
	struct fx *fx = *state;

	resolver_close(fx->r);
	fake_dns_stop(&fx->dns);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&fx->loop), 0);
	unlink(fx->hosts);
	free(fx);
	return 0;
}

static void on_answer(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct answer *a = arg;

	a->calls++;
	a->id = id;
	a->n = n;
	memcpy(a->dests, dests, n * sizeof(dests[0]));
}

static void ask(struct fx *fx, const char *text, struct answer *a, uint64_t *id)
{
	struct sip_uri uri;

	*a = (struct answer){ 0 };
	assert_int_equal(sip_uri_parse(&uri, str_from(text)), 0);
	assert_int_equal(sip_resolve(fx->r, &uri, on_answer, a, id), 0);
	assert_int_not_equal(*id, 0);
	assert_int_equal(a->calls, 0); /* never before it returns */
}

/* "UDP 192.0.2.1:5060, ..." */
static const char *print(const struct sip_dest *dests, unsigned n, char buf[1024])
{
	size_t at = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < n; i++) {
		char text[SOCKADDR_TEXT_MAX];

		at += (size_t)snprintf(buf + at, 1024 - at, "%s%s %s", i ? ", " : "", sip_proto_name(dests[i].proto),
				       sockaddr_print(&dests[i].addr, text));
	}
	return buf;
}

static void expect(struct fx *fx, const char *uri, const char *expected)
{
	struct answer a;
	char buf[1024];
	uint64_t id;

	ask(fx, uri, &a, &id);
	while (!a.calls)
		uv_run(&fx->loop, UV_RUN_ONCE);
	assert_int_equal(a.calls, 1);
	assert_true(a.id == id);
	if (strcmp(print(a.dests, a.n, buf), expected) != 0)
		fail_msg("%s: %s, not %s", uri, buf, expected);
}

static void test_resolve_goes_the_way_of_rfc3263(void **state)
{
	static const struct { const char *uri, *to; } rows[] = {
		/* §4.1: NAPTR, those we speak, by their order */
		{ "sip:a@example.com", "TLS 192.0.2.1:5061, TCP 192.0.2.1:5060, UDP 192.0.2.1:5060, UDP 192.0.2.2:5070" },
		{ "sips:a@example.com", "TLS 192.0.2.1:5061" },
		/* §4.2: a transport asks SRV alone, a port addresses alone */
		{ "sip:a@example.com;transport=udp", "UDP 192.0.2.1:5060, UDP 192.0.2.2:5070" },
		{ "sip:a@EXAMPLE.com.;transport=tls", "TLS 192.0.2.1:5061" },
		{ "sip:a@plain.test:5099", "UDP 192.0.2.19:5099" },
		{ "sip:a@plain.test:5099;transport=tcp", "TCP 192.0.2.19:5099" },
		{ "sips:a@plain.test:5099", "TLS 192.0.2.19:5099" },
		/* no NAPTR: SRV of what we speak; no SRV: the addresses */
		{ "sip:a@plain.test", "UDP 192.0.2.11:5070, UDP 192.0.2.12:5080, TCP 192.0.2.11:5090" },
		{ "sips:a@plain.test", "TLS 192.0.2.11:5091" },
		{ "sip:a@secure.test", "TLS 192.0.2.11:5092" },
		{ "sip:a@secure.test;transport=udp", "UDP 192.0.2.18:5060" },
		/* maddr in place of the host */
		{ "sip:a@example.com;maddr=plain.test;transport=udp", "UDP 192.0.2.11:5070, UDP 192.0.2.12:5080" },
		{ "sip:a@192.0.2.1:5077;maddr=bare.test", "UDP 192.0.2.21:5077, UDP 192.0.2.22:5077" },
		{ "sips:a@example.com;maddr=192.0.2.82", "TLS 192.0.2.82:5061" },
		{ "sip:a@bare.test", "UDP 192.0.2.21:5060, UDP 192.0.2.22:5060" },
		{ "sips:a@bare.test", "TLS 192.0.2.21:5061, TLS 192.0.2.22:5061" },
		{ "sip:a@alias.test;transport=tcp", "TCP 192.0.2.21:5060, TCP 192.0.2.22:5060" },
		/* RFC 2782 */
		{ "sip:a@no.test", "" },
		{ "sip:a@half.test", "UDP 192.0.2.51:5060" },
		{ "sip:a@flag.test", "TCP 192.0.2.51:5060, UDP 192.0.2.51:5060" },
		/* no name server is needed for these */
		{ "sip:a@192.0.2.81:5081", "UDP 192.0.2.81:5081" },
		{ "sips:a@[2001:db8::81]", "TLS [2001:db8::81]:5061" },
		{ "sip:hosts.test", "UDP 192.0.2.71:5060" },
		{ "sip:group.test", "UDP 192.0.2.72:5060" }, /* a name is no way to a group, either */
		{ "sip:Other.Test;transport=tls", "TLS 192.0.2.71:5061" },
		{ "sip:a@localhost:5070", "UDP 127.0.0.1:5070, UDP [::1]:5070" },
		{ "sip:a@comment.test", "" },
		{ "sip:a@nothing.test", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(*state, rows[i].uri, rows[i].to);
}

static void test_resolve_gives_both_families(void **state)
{
	struct fx *fx = *state;
	struct answer a;
	uint64_t id;

	/* Which comes first is RFC 6724's to say, by this machine's routes. */
	ask(fx, "sip:a@dual.test", &a, &id);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(a.n, 2);
	assert_int_not_equal(a.dests[0].addr.sa.sa_family, a.dests[1].addr.sa.sa_family);
}

static void test_resolve_gives_what_we_listen_on(void **state)
{
	static const struct transport_handler handler = { 0 };
	struct fx *fx = *state;
	struct transport *t;

	assert_int_equal(transport_new(&t, &fx->loop, NULL, &handler, NULL), 0);
	assert_int_equal(transport_listen(t, "127.0.0.1", 0), 0);
	resolver_set_transport(fx->r, t);
	expect(fx, "sip:a@dual.test", "UDP 192.0.2.31:5060");
	expect(fx, "sip:a@example.com", "TCP 192.0.2.1:5060, UDP 192.0.2.1:5060, UDP 192.0.2.2:5070"); /* no TLS */
	expect(fx, "sips:a@example.com", "");
	transport_close(t);
	resolver_set_transport(fx->r, NULL);
}

static void test_resolve_asks_no_server_for_literals_and_hosts(void **state)
{
	struct fx *fx = *state;

	expect(fx, "sip:a@192.0.2.81", "UDP 192.0.2.81:5060");
	expect(fx, "sip:hosts.test", "UDP 192.0.2.71:5060");
	assert_int_equal(fx->dns.nasked, 0);
}

static void test_resolve_asks_once_for_what_is_asked_together(void **state)
{
	struct fx *fx = *state;
	struct answer a[20];
	uint64_t id;

	for (unsigned i = 0; i < ARRAY_LEN(a); i++)
		ask(fx, "sip:a@bare.test:5060", &a[i], &id);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	for (unsigned i = 0; i < ARRAY_LEN(a); i++)
		assert_int_equal(a[i].n, 2);
	assert_int_equal(fx->dns.nasked, 2); /* A and AAAA */
}

static void test_resolve_remembers(void **state)
{
	struct fx *fx = *state;
	struct sip_dest dests[SIP_RESOLVE_MAX];
	struct sip_uri uri;
	char buf[1024];
	unsigned n, asked;

	assert_int_equal(sip_uri_parse(&uri, STR("sip:a@plain.test")), 0);
	assert_int_equal(sip_resolve_now(fx->r, &uri, dests, &n), -EAGAIN);
	assert_int_equal(fx->dns.nasked, 0);
	expect(fx, "sip:a@plain.test", "UDP 192.0.2.11:5070, UDP 192.0.2.12:5080, TCP 192.0.2.11:5090");
	expect(fx, "sip:a@nothing.test", "");
	asked = fx->dns.nasked;
	assert_int_equal(sip_resolve_now(fx->r, &uri, dests, &n), 0);
	assert_string_equal(print(dests, n, buf), "UDP 192.0.2.11:5070, UDP 192.0.2.12:5080, TCP 192.0.2.11:5090");
	expect(fx, "sip:a@nothing.test", ""); /* RFC 2308 */
	assert_int_equal(fx->dns.nasked, asked);
}

static void on_tick(uv_timer_t *timer)
{
	(void)timer;
}

/* Waits, on the loop's clock, for a time to live to run out. */
static void wait_until_asked_again(struct fx *fx, const char *text)
{
	struct sip_dest dests[SIP_RESOLVE_MAX];
	struct sip_uri uri;
	uv_timer_t tick;
	unsigned n;

	assert_int_equal(sip_uri_parse(&uri, str_from(text)), 0);
	uv_timer_init(&fx->loop, &tick);
	uv_timer_start(&tick, on_tick, 10, 10);
	while (sip_resolve_now(fx->r, &uri, dests, &n) != -EAGAIN)
		uv_run(&fx->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&tick, NULL);
	uv_run(&fx->loop, UV_RUN_NOWAIT);
}

static void test_resolve_asks_again_and_goes_on_when_nobody_answers(void **state)
{
	struct fx *fx = *state;
	unsigned asked;

	expect(fx, "sip:a@short.test:5060", "UDP 192.0.2.61:5060");
	asked = fx->dns.nasked;
	wait_until_asked_again(fx, "sip:a@short.test:5060");
	expect(fx, "sip:a@short.test:5060", "UDP 192.0.2.61:5060");
	assert_true(fx->dns.nasked > asked);
	wait_until_asked_again(fx, "sip:a@short.test:5060");
	fx->dns.is_silent = true;
	expect(fx, "sip:a@short.test:5060", "UDP 192.0.2.61:5060"); /* RFC 8767 */
	expect(fx, "sip:a@bare.test:5060", "");
}

static void test_resolve_nonsense_is_nothing(void **state)
{
	static const char *const names[] = { "loop.test", "garbage.test", "servfail.test", "truncated.test", "silent.test", "a..b", "\xc3\xa4.test" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char uri[64];

		snprintf(uri, sizeof(uri), "sip:a@%s", names[i]);
		struct sip_uri parsed;
		if (sip_uri_parse(&parsed, str_from(uri)) == 0)
			expect(*state, uri, "");
	}
}

/* RFC 3263 §4.3: one that failed is tried, but last; by address, port and transport. */
static void test_resolve_what_failed_comes_last(void **state)
{
	struct fx *fx = *state;
	struct sip_dest dest = { .proto = SIP_UDP };

	assert_int_equal(sockaddr_parse(&dest.addr, STR("192.0.2.11"), 5070), 0);
	assert_false(resolver_is_failed(fx->r, &dest));
	resolver_failed(fx->r, &dest, 0);
	assert_true(resolver_is_failed(fx->r, &dest));
	expect(fx, "sip:a@plain.test", "UDP 192.0.2.12:5080, TCP 192.0.2.11:5090, UDP 192.0.2.11:5070");
	assert_int_equal(sockaddr_parse(&dest.addr, STR("192.0.2.12"), 5080), 0);
	resolver_failed(fx->r, &dest, 0);
	expect(fx, "sip:a@plain.test", "TCP 192.0.2.11:5090, UDP 192.0.2.11:5070, UDP 192.0.2.12:5080");
	resolver_worked(fx->r, &dest);
	expect(fx, "sip:a@plain.test", "UDP 192.0.2.12:5080, TCP 192.0.2.11:5090, UDP 192.0.2.11:5070");
	expect(fx, "sip:a@192.0.2.11:5070", "UDP 192.0.2.11:5070"); /* never not at all */
}

static void test_resolve_cancelled_is_not_told(void **state)
{
	struct fx *fx = *state;
	struct answer a, b, c;
	uint64_t id_a, id_b, id_c;

	ask(fx, "sip:a@bare.test", &a, &id_a);
	ask(fx, "sip:a@bare.test", &b, &id_b);
	sip_resolve_cancel(fx->r, id_b);
	sip_resolve_cancel(fx->r, 4711);
	sip_resolve_cancel(NULL, 1);
	uv_run(&fx->loop, UV_RUN_ONCE); /* now it waits for the server */
	ask(fx, "sip:a@silent.test", &c, &id_c);
	uv_run(&fx->loop, UV_RUN_NOWAIT);
	sip_resolve_cancel(fx->r, id_c);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 0);
	assert_int_equal(c.calls, 0);
	/* closed with look-ups under way: nobody is called */
	ask(fx, "sip:a@plain.test", &a, &id_a);
	uv_run(&fx->loop, UV_RUN_NOWAIT);
	ask(fx, "sip:a@example.com", &b, &id_b);
	resolver_close(fx->r);
	uv_run(&fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(a.calls + b.calls, 0);
	assert_int_equal(resolver_new(&fx->r, &(struct resolver_params){ .loop = &fx->loop }), 0);
}

struct second {
	struct dns_waiter first, next;
	struct fx *fx;
	struct dns *dns;
	const char *conf;
	bool is_done;
};

static void on_next(struct dns_waiter *w)
{
	container_of(w, struct second, next)->is_done = true;
}

/* Below c-ares: the one question that was under way is answered, other name servers have come, and the next question is asked. */
static void on_first(struct dns_waiter *w)
{
	struct second *s = container_of(w, struct second, first);
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	assert_int_equal(utimensat(AT_FDCWD, s->conf, times, 0), 0);
	s->fx->loop.time += 10000; /* until the loop turns */
	assert_null(dns_find(s->dns, DNS_SRV, STR("second.test"), uv_now(&s->fx->loop), &s->next));
}

static void test_resolve_name_servers_change_while_an_answer_is_told(void **state)
{
	struct fx *fx = *state;
	char conf[] = "/tmp/test-resolve-conf-XXXXXX";
	struct second s = { .first.fn = on_first, .next.fn = on_next, .fx = fx, .conf = conf };
	FILE *f = fdopen(mkstemp(conf), "w");

	fputs("nameserver 127.0.0.1\n", f); /* whoever answers there, or nobody */
	fclose(f);
	assert_int_equal(dns_new(&s.dns, &(struct dns_params){ .loop = &fx->loop, .timeout_ms = 100, .resolv_conf = conf }), 0);
	assert_null(dns_find(s.dns, DNS_SRV, STR("first.test"), uv_now(&fx->loop), &s.first));
	while (!s.is_done)
		uv_run(&fx->loop, UV_RUN_ONCE);
	dns_close(s.dns);
	unlink(conf);
}

static void test_resolve_bad_uri_refused(void **state)
{
	struct fx *fx = *state;
	struct resolver *r;
	struct sip_uri uri;
	uint64_t id;

	assert_int_equal(sip_uri_parse(&uri, STR("tel:+123")), 0);
	assert_int_equal(sip_resolve(fx->r, &uri, on_answer, NULL, &id), -EINVAL);
	assert_int_equal(sip_uri_parse(&uri, STR("sip:x@localhost;transport=sctp")), 0);
	assert_int_equal(sip_resolve(fx->r, &uri, on_answer, NULL, &id), -EPROTONOSUPPORT);
	assert_int_equal(resolver_new(&r, &(struct resolver_params){ .loop = &fx->loop, .servers = "ns.example.com" }), -EINVAL);
}

/* Each calls back and asks the next: none is lost, and the loop turns in between. */
struct chain { struct fx *fx; unsigned left; };

static void on_link(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct chain *c = arg;
	struct sip_uri uri;

	(void)dests;
	assert_int_equal(n, 1);
	assert_int_equal(sip_uri_parse(&uri, STR("sip:a@hosts.test")), 0);
	if (--c->left)
		assert_int_equal(sip_resolve(c->fx->r, &uri, on_link, c, &id), 0);
}

static void test_resolve_may_be_asked_from_its_own_call(void **state)
{
	struct chain c = { *state, 10 };
	struct sip_uri uri;
	uint64_t id;

	assert_int_equal(sip_uri_parse(&uri, STR("sip:a@hosts.test")), 0);
	assert_int_equal(sip_resolve(c.fx->r, &uri, on_link, &c, &id), 0);
	uv_run(&c.fx->loop, UV_RUN_DEFAULT);
	assert_int_equal(c.left, 0);
}

struct closer { struct fx *fx; unsigned calls; };

static void on_close(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct closer *c = arg;

	(void)id;
	(void)dests;
	(void)n;
	c->calls++;
	resolver_close(c->fx->r);
}

/* By one who is told at once, or from below c-ares; the others are told nothing any more. */
static void test_resolve_may_be_closed_from_its_own_call(void **state)
{
	static const char *const uris[] = { "sip:a@192.0.2.1", "sip:a@hosts.test", "sip:a@bare.test", "sip:a@example.com", "sip:a@servfail.test" };
	struct fx *fx = *state;

	for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
		struct closer c = { .fx = fx };
		struct answer others[2];
		struct sip_uri uri;
		uint64_t id;

		assert_int_equal(sip_uri_parse(&uri, str_from(uris[i])), 0);
		assert_int_equal(sip_resolve(fx->r, &uri, on_close, &c, &id), 0);
		ask(fx, uris[i], &others[0], &id);
		ask(fx, "sip:a@silent.test", &others[1], &id);
		uv_run(&fx->loop, UV_RUN_DEFAULT);
		assert_int_equal(c.calls, 1);
		assert_int_equal(others[0].calls + others[1].calls, 0);
		assert_int_equal(resolver_new(&fx->r, &(struct resolver_params){
			.loop = &fx->loop, .rng = &fx->rng, .servers = fx->dns.address, .timeout_ms = 100, .hosts = fx->hosts }), 0);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve_literal_takes_transport_and_port_of_uri),
		T(test_resolve_goes_the_way_of_rfc3263),
		T(test_resolve_gives_both_families),
		T(test_resolve_gives_what_we_listen_on),
		T(test_resolve_asks_no_server_for_literals_and_hosts),
		T(test_resolve_asks_once_for_what_is_asked_together),
		T(test_resolve_remembers),
		T(test_resolve_asks_again_and_goes_on_when_nobody_answers),
		T(test_resolve_nonsense_is_nothing),
		T(test_resolve_what_failed_comes_last),
		T(test_resolve_cancelled_is_not_told),
		T(test_resolve_name_servers_change_while_an_answer_is_told),
		T(test_resolve_bad_uri_refused),
		T(test_resolve_may_be_asked_from_its_own_call),
		T(test_resolve_may_be_closed_from_its_own_call),
	};
#undef T

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

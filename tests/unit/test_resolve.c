/* test_resolve.c - URIs to addresses; names only those every host file has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>

#include "sip/resolve.h"

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
		{ "sip:a@127.0.0.1;maddr=127.0.0.9", 0, SIP_UDP, "127.0.0.1:5060" },
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
	struct sip_dest first;
};

static void on_answer(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct answer *a = arg;

	a->calls++;
	a->id = id;
	a->n = n;
	if (n > 0)
		a->first = dests[0];
}

static void ask(struct resolver *r, const char *text, struct answer *a, uint64_t *id)
{
	struct sip_uri uri;

	*a = (struct answer){ 0 };
	assert_int_equal(sip_uri_parse(&uri, str_from(text)), 0);
	assert_int_equal(sip_resolve(r, &uri, on_answer, a, id), 0);
	assert_int_not_equal(*id, 0);
	assert_int_equal(a->calls, 0); /* never before it returns */
}

static void test_resolve_name_answered_once(void **state)
{
	struct resolver *r;
	struct answer a, b, c;
	uint64_t id_a, id_b, id_c;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(resolver_new(&r, &loop, NULL), 0);
	ask(r, "sip:x@localhost:5090;transport=tcp", &a, &id_a);
	ask(r, "sip:x@127.0.0.3", &b, &id_b);
	ask(r, "sip:x@localhost", &c, &id_c);
	sip_resolve_cancel(r, id_c);
	sip_resolve_cancel(r, 4711);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(a.calls, 1);
	assert_true(a.id == id_a && a.n >= 1);
	assert_int_equal(a.first.proto, SIP_TCP);
	assert_int_equal(sockaddr_port(&a.first.addr), 5090);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.n, 1);
	assert_int_equal(c.calls, 0);
	/* closed with look-ups under way: nobody is called */
	ask(r, "sip:x@localhost", &a, &id_a);
	resolver_close(r);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(a.calls, 0);
	assert_int_equal(uv_loop_close(&loop), 0);
}

static void test_resolve_bad_uri_refused(void **state)
{
	struct resolver *r;
	struct sip_uri uri;
	uint64_t id;
	uv_loop_t loop;

	(void)state;
	assert_int_equal(uv_loop_init(&loop), 0);
	assert_int_equal(resolver_new(&r, &loop, NULL), 0);
	assert_int_equal(sip_uri_parse(&uri, STR("tel:+123")), 0);
	assert_int_equal(sip_resolve(r, &uri, on_answer, NULL, &id), -EINVAL);
	assert_int_equal(sip_uri_parse(&uri, STR("sip:x@localhost;transport=sctp")), 0);
	assert_int_equal(sip_resolve(r, &uri, on_answer, NULL, &id), -EPROTONOSUPPORT);
	resolver_close(r);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_resolve_literal_takes_transport_and_port_of_uri),
		cmocka_unit_test(test_resolve_name_answered_once),
		cmocka_unit_test(test_resolve_bad_uri_refused),
	};

	return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}

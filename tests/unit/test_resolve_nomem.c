/* test_resolve_nomem.c - looking names up when memory runs out: the 1st, 2nd, ... nth allocation of a scenario fails in turn.
 *
 * Whatever fails, who asks is told once, and nothing is left. The allocator is replaced for this binary, for c-ares and libuv too; the
 * sanitizers bring their own, so in their builds the scenario is played without failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "sip/resolve.h"
#include "fake_dns.h"
#include "nomem.h"

static const char *const zone[] = {
	"a.test 60 NAPTR 1 1 s SIP+D2U - _sip._udp.a.test",
	"_sip._udp.a.test 60 SRV 1 0 5060 s1.a.test",
	"_sip._udp.a.test 60 SRV 2 0 5060 s2.a.test",
	"s1.a.test 60 A 192.0.2.1",
	"s2.a.test 60 A 192.0.2.2",
	NULL,
};

struct bed { unsigned nasked, ntold, nfound; };

static void on_answer(uint64_t id, const struct sip_dest *dests, unsigned n, void *arg)
{
	struct bed *b = arg;

	(void)id;
	(void)dests;
	b->ntold++;
	b->nfound += n;
}

static void ask(struct resolver *r, const char *text, struct bed *b)
{
	struct sip_uri uri;
	uint64_t id;

	sip_uri_parse(&uri, str_from(text));
	if (sip_resolve(r, &uri, on_answer, b, &id) == 0)
		b->nasked++;
}

/* Returns what was found. */
static unsigned scenario(void)
{
	struct bed b = { 0 };
	struct resolver *r = NULL;
	struct fake_dns dns;
	uv_loop_t loop;
	int err;

	assert_int_equal(uv_loop_init(&loop), 0);
	fake_dns_start(&dns, &loop, zone);
	heap.armed = true;
	err = resolver_new(&r, &(struct resolver_params){ .loop = &loop, .servers = dns.address, .timeout_ms = 100, .hosts = "/etc/hosts" });
	if (!err) {
		ask(r, "sip:x@a.test", &b);
		ask(r, "sip:x@a.test", &b);
		ask(r, "sip:x@nothing.test:5060", &b);
		while (b.ntold < b.nasked)
			uv_run(&loop, UV_RUN_ONCE);
		ask(r, "sip:x@s1.a.test:5060", &b);
		while (b.ntold < b.nasked)
			uv_run(&loop, UV_RUN_ONCE);
		resolver_failed(r, &(struct sip_dest){ .proto = SIP_UDP, .addr.v4.sin_family = AF_INET }, 0);
		resolver_close(r);
	}
	heap.armed = false;
	fake_dns_stop(&dns);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	assert_int_equal(b.ntold, b.nasked);
	return b.nfound;
}

static void test_resolve_survives_each_failing_allocation(void **state)
{
	unsigned total;

	(void)state;
	/* What libraries keep for good is made now. */
	assert_int_equal(scenario(), 5);
	heap.count = heap.fail_at = 0;
	heap.is_counted = true;
	heap.balance = 0;
	assert_int_equal(scenario(), 5);
	assert_int_equal(heap.balance, 0);
	total = heap.count;
	for (unsigned i = 1; CAN_FAIL && i <= total; i++) {
		heap.count = 0;
		heap.fail_at = i;
		heap.balance = 0;
		scenario();
		if (heap.balance)
			fail_msg("allocation %u: %ld left", i, heap.balance);
	}
	heap.is_counted = false;
	if (CAN_FAIL)
		assert_true(total > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_resolve_survives_each_failing_allocation) };

	return cmocka_run_group_tests_name("resolve without memory", tests, NULL, NULL);
}

/* test_stack_nomem.c - the transaction layer when memory runs out: the 1st, 2nd, ... nth allocation of a scenario fails in turn.
 *
 * Each time the scenario is played to its end. Whatever fails, nothing may break and nothing may be left. The allocator is
 * replaced for this binary; the sanitizers bring their own, so in their builds the scenario is played without failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "sip/stack.h"
#include "nomem.h"

struct bed {
	struct timers *timers;
	struct rng rng;
	struct sip_stack *stack;
	struct sip_source src;
	struct strans *st;
	struct ctrans *ct;
	struct sip_msg msg;
	char in[4096];
	char via[128];               /* of the last INVITE or OPTIONS sent */
	unsigned nsent;
};

static int on_send(const struct sip_dest *dest, struct str bytes, void *arg)
{
	struct bed *b = arg;
	struct str line = bytes;

	(void)dest;
	b->nsent++;
	if (str_starts(bytes, STR("INVITE ")) || str_starts(bytes, STR("OPTIONS "))) {
		str_cut(&line, '\n');
		str_copy(str_trim(str_cut(&line, '\n')), b->via, sizeof(b->via));
	}
	return 0;
}

static void on_cancel(struct strans *st, const struct sip_msg *m, void *arg)
{
	(void)m;
	(void)arg;
	strans_reply_simple(st, 487, NULL);
}

static void on_strans_terminated(struct strans *st, int err, void *arg)
{
	struct bed *b = arg;

	(void)err;
	if (b->st == st)
		b->st = NULL;
}

static const struct strans_handler strans_handler = { .on_cancel = on_cancel, .on_terminated = on_strans_terminated };

static void on_request(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct bed *b = arg;

	(void)m;
	b->st = st;
	strans_set_handler(st, &strans_handler, b);
}

static void on_response(struct ctrans *ct, const struct sip_msg *m, void *arg)
{
	(void)ct;
	(void)m;
	(void)arg;
}

static void on_ctrans_terminated(struct ctrans *ct, int err, void *arg)
{
	struct bed *b = arg;

	(void)err;
	assert_ptr_equal(ct, b->ct);
	b->ct = NULL;
}

static const struct ctrans_handler ctrans_handler = { .on_response = on_response, .on_terminated = on_ctrans_terminated };

static void __attribute__((format(printf, 2, 3))) receive(struct bed *b, const char *fmt, ...)
{
	struct sip_msg_error err;
	bool armed = heap.armed;
	va_list ap;
	int n;

	heap.armed = false;
	va_start(ap, fmt);
	n = vsnprintf(b->in, sizeof(b->in), fmt, ap);
	va_end(ap);
	assert_in_range(n, 1, sizeof(b->in) - 1);
	heap.armed = armed;
	sip_msg_parse(&b->msg, b->in, (size_t)n, &err);
	sip_stack_receive(b->stack, &b->msg, &err, &b->src);
}

static void request(struct bed *b, const char *method, const char *branch, unsigned cseq)
{
	receive(b,
		"%s sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK%s\r\nFrom: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\n"
		"Call-ID: c\r\nCSeq: %u %s\r\n\r\n",
		method, branch, cseq, method);
}

static void response(struct bed *b, int status, const char *method)
{
	receive(b, "SIP/2.0 %d X\r\n%s\r\nFrom: <sip:a@x>;tag=t\r\nTo: <sip:b@x>;tag=u\r\nCall-ID: c\r\nCSeq: 1 %s\r\n\r\n", status,
		b->via, method);
}

static void start(struct bed *b, const char *method)
{
	struct sip_dest dest = { .proto = SIP_UDP, .addr = b->src.peer };
	struct sip_req r = { .method = str_from(method), .uri = STR("sip:b@x") };

	r.hdrs = method[0] == 'I' ? STR("From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n")
				  : STR("From: <sip:a@x>;tag=t\r\nTo: <sip:b@x>\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n");
	b->via[0] = '\0';
	b->ct = NULL;
	if (ctrans_start(&b->ct, b->stack, &r, &dest, &ctrans_handler, b) != 0) {
		assert_null(b->ct);
		snprintf(b->via, sizeof(b->via), "Via: SIP/2.0/UDP u;branch=z9hG4bKnone");
	}
}

static void pass(struct bed *b, uint64_t ms)
{
	timers_run(b->timers, timers_now(b->timers) + ms);
}

static void reply(struct bed *b, int status)
{
	if (b->st)
		strans_reply_simple(b->st, status, "Contact: <sip:us@x>\r\n");
}

static void scenario(struct bed *b)
{
	/* A call that is answered, */
	request(b, "INVITE", "1", 1);
	reply(b, 180);
	request(b, "INVITE", "1", 1);
	reply(b, 200);
	if (b->st)
		strans_repeat(b->st);
	pass(b, 40000);
	/* one that is refused, one that is cancelled, one whose CANCEL comes early, */
	request(b, "INVITE", "2", 2);
	reply(b, 486);
	pass(b, 1000);
	request(b, "ACK", "2", 2);
	pass(b, 40000);
	request(b, "INVITE", "3", 3);
	request(b, "CANCEL", "3", 3);
	pass(b, 40000);
	request(b, "CANCEL", "none", 4);
	request(b, "OPTIONS", "5", 5);
	reply(b, 200);
	request(b, "OPTIONS", "6", 5);
	receive(b, "OPTIONS sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK7\r\n\r\n");
	pass(b, 40000);
	/* and ours. */
	start(b, "INVITE");
	response(b, 180, "INVITE");
	response(b, 200, "INVITE");
	pass(b, 40000);
	start(b, "INVITE");
	response(b, 100, "INVITE");
	if (b->ct)
		ctrans_cancel(b->ct, STR("Reason: SIP;cause=200\r\n"));
	response(b, 487, "INVITE");
	pass(b, 80000);
	start(b, "OPTIONS");
	pass(b, 1000);
	response(b, 200, "OPTIONS");
	pass(b, 40000);
}

/* Returns the allocations made. */
static unsigned play(unsigned fail_at)
{
	static const struct sip_stack_handler handler = { .on_request = on_request };
	static struct bed bed;
	struct bed *b = &bed;
	struct sip_stack_params p = { .rng = &b->rng, .clock = &clock_system, .server = "test", .send = on_send, .send_arg = b };
	struct sip_stack_counters n;
	struct ctrans *waiting;

	memset(b, 0, sizeof(*b));
	memset(&heap, 0, sizeof(heap));
	heap.is_counted = true;
	b->timers = timers_new(1000);
	p.timers = b->timers;
	rng_init_fixed(&b->rng, 7);
	b->src.proto = SIP_UDP;
	assert_int_equal(sockaddr_parse(&b->src.peer, STR("192.0.2.1"), 5060), 0);
	assert_int_equal(sip_stack_new(&b->stack, &p, &handler, b), 0);
	/* One of each waits all the time, so that the tables exist: uthash ends the process when it has no memory for those. */
	request(b, "INVITE", "waits", 99);
	start(b, "INVITE");
	response(b, 180, "INVITE");
	waiting = b->ct;
	b->st = NULL;

	heap.armed = true;
	heap.fail_at = fail_at;
	scenario(b);
	heap.armed = false;
	assert_non_null(waiting);
	n = *sip_stack_counters(b->stack);
	/* Those whose answer couldn't be written still wait; the user would try again. */
	if (b->st) {
		assert_int_equal(strans_reply_simple(b->st, 500, NULL), 0);
		pass(b, 40000);
		n = *sip_stack_counters(b->stack);
	}
	if (fail_at == 0) {
		assert_int_equal(n.strans_live, 1);
		assert_int_equal(n.ctrans_live, 1);
	}
	sip_stack_close(b->stack);
	assert_int_equal(timers_count(b->timers), 0);
	timers_free(b->timers);
	heap.is_counted = false;
	assert_int_equal(heap.balance, 0);
	return heap.count;
}

static void test_stack_survives_the_failure_of_each_allocation(void **state)
{
	unsigned n = play(0);

	(void)state;
	if (CAN_FAIL)
		assert_in_range(n, 20, 1000);
	for (unsigned i = 1; i <= n; i++)
		play(i);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stack_survives_the_failure_of_each_allocation) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

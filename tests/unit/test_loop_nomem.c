/* test_loop_nomem.c - the whole signalling when memory runs out: scripts of tests/fuzz/loop are played, and the 1st, 2nd, ... nth
 * allocation fails in turn.
 *
 * Whatever fails is answered or dropped: nothing breaks, what is said can be read, and when time has passed no call, leg, session,
 * transaction, task, binding, timer or byte is left. The allocator is replaced for this binary; the sanitizers bring their own, so in
 * their builds the scripts are played without failures.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "nomem.h"
#include "../fuzz/loop/peers.h"
#include "../fuzz/loop/server_int.h"
#include "presence/pidf.h"

/* Of the server's allocations each fails; what is made up around it never does. */
static void on_cross(bool is_inside)
{
	heap.armed = is_inside;
}

/* libxml2 2.9 itself breaks when memory runs out under it: it always has some. Linked in place of pidf_parse(). */
int __real_pidf_parse(struct pidf *out, struct str body);
int __wrap_pidf_parse(struct pidf *out, struct str body);

int __wrap_pidf_parse(struct pidf *out, struct str body)
{
	int err;

	heap.armed = false;
	err = __real_pidf_parse(out, body);
	heap.armed = true;
	return err;
}

/* Returns the allocations of the server; *left gets how many of all are left. */
static unsigned play(const char *script, unsigned fail_at, long *left)
{
	struct peers *ps;
	struct server *s;

	heap.count = heap.fail_at = 0;
	heap.balance = 0;
	heap.is_counted = true;
	ps = peers_new(str_from(script));
	s = peers_server(ps);
	heap.count = 0;
	heap.fail_at = fail_at;
	peers_play(ps, str_from(script));
	peers_end(ps);
	heap.fail_at = 0;
	server_assert_idle(s);
	peers_free(ps);
	ERR_clear_error(); /* the last errors are kept, with where they were */
	heap.is_counted = false;
	*left = heap.balance;
	return heap.count;
}

static void play_all(const char *script)
{
	unsigned n;
	long left;

	server_on_cross = on_cross;
	play(script, 0, &left); /* what libraries keep for good is made now */
	n = play(script, 0, &left);
	assert_int_equal(left, 0);
	if (CAN_FAIL)
		assert_true(n > 50);
	for (unsigned i = 1; CAN_FAIL && i <= n; i++) {
		play(script, i, &left);
		if (left) /* a library's first error may be kept, a second isn't */
			play(script, i, &left);
		if (left)
			fail_msg("allocation %u of %u: %ld left", i, n, left);
	}
}

#define REGISTERED(peer) "@" peer " 0 n\nREGISTER sip:office\n@" peer " 0 n\nREGISTER sip:office\n"
#define ALL REGISTERED("a") REGISTERED("b") REGISTERED("c")
#define CALL "@a 0 n\nINVITE sip:1002@office\n\n$o\n@b 10\n180\n@b 500\n200\n\n$o\n@a 10\nACK\n"
#define ENDED "@a 0\n200\n@b 0\n200\n@c 0\n200\n"

static void test_loop_calls_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(ALL CALL "@a 100\nINVITE\n\n$h\n@b 10\n200\n\n$o\n@a 0\nACK\n@b 20\nUPDATE\n\n$o\n@a 10\n200\n\n$o\n@b 0\nINFO\n@a 0\n200\n@b 0\nBYE\n" ENDED);
}

static void test_loop_reliable_responses_and_forks_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(ALL "@a 0 n\nINVITE sip:1002@office\nRequire: 100rel\n\n$o\n@b 10\n183\nRequire: 100rel\nRSeq: 1\n\n$o\n@b 10\n200\n"
		     "@a 10\nPRACK\n@b 10 f\n180\nRequire: 100rel\nRSeq: 7\n@a 10\nPRACK\n@b 10\n200\n\n$o\n@b 0 1\n200\n\n$o\n@b 0 2\n200\n\n$o\n"
		     "@a 0\nACK\n@a 10\nBYE\n" ENDED);
}

static void test_loop_transfers_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(ALL CALL "@b 10\nREFER\nRefer-To: <sip:1003@office>\nReferred-By: <sip:1002@office>\n@b 10\n200\n@c 100\n180\n@c 500\n200\n\n$o\n"
			  "@a 10\n200\n\n$o\n@b 10\n200\n@b 0\nBYE\n@c 100\nBYE\n" ENDED);
	play_all(ALL CALL "@b 0 n\nINVITE sip:1003@office\n\n$o\n@c 10\n200\n\n$o\n@b 10\nACK\n@b 10 1\nREFER\nRefer-To: <sip:1003@office?Replaces=$R>\n"
			  "@b 10\n200\n@b 10\nBYE\n@b 10 1\nBYE\n@a 0\n200\n\n$o\n@c 0\n200\n\n$o\n@c 10\nBYE\n" ENDED);
}

static void test_loop_replaces_and_redirections_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(ALL CALL "@a 0 n\nINVITE sip:1002@office\nReplaces: $q\n\n$o\n@a 0\nACK\n@b 0\n200\n@a 10\nBYE\n" ENDED);
	play_all(ALL "@a 0 n\nINVITE sip:1002@office\n\n$o\n@b 10\n302\nContact: <sip:1003@office>\nDiversion: <sip:1002@office>;reason=busy\n"
		     "@c 10\n200\n\n$o\n@a 0\nACK\n@c 10\nBYE\n" ENDED);
}

static void test_loop_trunks_and_names_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(REGISTERED("a") "@t 0 n\nINVITE sip:1001@office\nP-Asserted-Identity: \"Mum\" <sip:+49301@x>\nPrivacy: id\n"
				 "Diversion: <sip:44@x>;reason=no-answer\nUser-to-User: 00aa\nX-Pass: 1\n\n$o\n@a 10\n200\n\n$o\n@t 0\nACK\n@t 10\nBYE\n" ENDED
				 "@a 0 n\nINVITE sip:0301@office\nPrivacy: id\n\n$o\n@t 0\n407\nProxy-Authenticate: Digest realm=\"x\",nonce=\"n\"\n"
				 "@t 10\n200\nRecord-Route: <sip:late.p.test;lr>\n\n$o\n@a 0\nACK\n@t 10000\nBYE\n@a 0\n200\n");
}

static void test_loop_event_packages_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(REGISTERED("a") REGISTERED("b")
		 "@a 0 n\nSUBSCRIBE sip:1002@office\nEvent: presence\nExpires: 600\n@a 10\n200\n@b 0 n\nPUBLISH sip:1002@office\nEvent: presence\n"
		 "Expires: 300\nContent-Type: application/pidf+xml\n\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:1002@office\">"
		 "<tuple id=\"a\"><status><basic>closed</basic></status></tuple></presence>\n@a 10\n200\n@b 10 n\nPUBLISH sip:1002@office\n"
		 "Event: presence\nSIP-If-Match: $e\nExpires: 0\n@a 10\n200\n@a 6000\nSUBSCRIBE\nEvent: presence\nExpires: 100\n@a 0\n200\n"
		 "@a 0 n\nSUBSCRIBE sip:1001@office\nEvent: message-summary\n@a 10\n200\n@a 0 n\nSUBSCRIBE sip:1002@office\nEvent: dialog\n@a 10\n200\n"
		 CALL "@a 0 1\n200\n@a 0\nBYE\n" ENDED);
}

static void test_loop_subscriptions_to_references_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(ALL CALL "@b 10\nREFER\nRefer-To: <sip:1003@office>\n@b 10\n200\n@b 10\nSUBSCRIBE\nEvent: refer\nExpires: 60\n@b 10\n200\n"
			  "@b 10\nSUBSCRIBE\nEvent: refer\nExpires: 0\n@b 10\n200\n@c 100\n486\n@a 10\nBYE\n" ENDED);
}

static void test_loop_messages_survive_each_failing_allocation(void **state)
{
	(void)state;
	play_all(REGISTERED("a") REGISTERED("b")
		 "@a 0 n\nMESSAGE sip:1002@office\nContent-Type: text/plain\n\nHello\n@b 10\n200\n@a 10 n\nMESSAGE sip:1003@office\n"
		 "Content-Type: text/plain\n\nLater\n" REGISTERED("c") "@a 0 n\nMESSAGE sip:0301@office\nContent-Type: text/plain\n\nOut\n"
		 "@t 0\n401\nWWW-Authenticate: Digest realm=\"r\",nonce=\"n\"\n@t 0\n202\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_calls_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_reliable_responses_and_forks_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_transfers_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_replaces_and_redirections_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_trunks_and_names_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_event_packages_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_subscriptions_to_references_survive_each_failing_allocation),
		cmocka_unit_test(test_loop_messages_survive_each_failing_allocation),
	};

	return cmocka_run_group_tests_name("the loop without memory", tests, NULL, NULL);
}

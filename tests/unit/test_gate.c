/* test_gate.c - what connections of one source may be and hold, so that others find room too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "sip/transport_int.h"

static union sockaddr_any addr_of(const char *fmt, unsigned n)
{
	union sockaddr_any a;
	char text[64];

	snprintf(text, sizeof(text), fmt, n >> 8, n & 255);
	assert_int_equal(sockaddr_parse(&a, str_from(text), 5060), 0);
	return a;
}

/* All that it can get, in steps of 64 KiB. */
static size_t take_all(struct gate *g, const union sockaddr_any *a)
{
	size_t n = 0;

	while (gate_hold(g, a, 65536))
		n += 65536;
	return n;
}

static void test_gate_one_source_holds_its_share(void **state)
{
	union sockaddr_any first = addr_of("192.0.%u.%u", 1), next;
	struct gate *g;
	size_t n, held, left = HELD_MAX;

	(void)state;
	assert_int_equal(gate_new(&g, NULL), 0);
	assert_false(gate_hold(g, &first, 1)); /* no connection, nothing to hold */
	assert_true(gate_enter(g, &first));
	held = take_all(g, &first);
	assert_in_range(held, HELD_MAX / HELD_SHARE / 2, HELD_MAX / HELD_SHARE);
	left -= held;
	for (unsigned i = 2; i < 60; i++) {
		next = addr_of("192.0.%u.%u", i);
		assert_true(gate_enter(g, &next));
		n = take_all(g, &next);
		assert_true(n >= HELD_LEAST);
		assert_true(n <= left / HELD_SHARE || n <= HELD_LEAST);
		left -= n;
	}
	assert_true(left > HELD_MAX / 64); /* sixty that hold all they can haven't got it all */
	gate_give(g, &first, held);
	gate_leave(g, &first);
	assert_false(gate_hold(g, &first, 1));
	gate_free(g);
}

/* However many there are, the whole is bounded, and who comes then gets nothing rather than too much. */
static void test_gate_all_together_hold_no_more_than_there_is(void **state)
{
	struct gate *g;
	size_t held = 0;

	(void)state;
	assert_int_equal(gate_new(&g, NULL), 0);
	gate_limits(g, 100000, 0);
	for (unsigned i = 0; i < 4000 && held < HELD_MAX; i++) {
		union sockaddr_any a = addr_of("10.1.%u.%u", i);

		if (!gate_enter(g, &a))
			break; /* so few descriptors */
		held += take_all(g, &a);
		assert_true(held <= HELD_MAX);
	}
	gate_free(g);
}

/* A buffer goes with the connection's last callback, when the source may have left, and be back. */
static void test_gate_gives_back_after_leaving(void **state)
{
	union sockaddr_any a = addr_of("192.0.%u.%u", 1);
	struct gate *g;
	size_t first;

	(void)state;
	assert_int_equal(gate_new(&g, NULL), 0);
	assert_true(gate_enter(g, &a));
	first = take_all(g, &a);
	gate_leave(g, &a);
	assert_true(gate_enter(g, &a));
	assert_int_equal(take_all(g, &a), 0);
	gate_give(g, &a, first);
	assert_int_equal(take_all(g, &a), first);
	gate_give(g, &a, first);
	gate_leave(g, &a);
	gate_leave(g, &a); /* nobody knows it any more */
	gate_give(g, &a, 1);
	gate_free(g);
}

static void test_gate_an_ipv6_network_is_one_source(void **state)
{
	union sockaddr_any a = addr_of("2001:db8::%x:%x", 1), same = addr_of("2001:db8::%x:%x", 2), other = addr_of("2001:db8:1::%x:%x", 1);
	struct gate *g;

	(void)state;
	assert_int_equal(gate_new(&g, NULL), 0);
	assert_true(gate_enter(g, &a) && gate_enter(g, &same) && gate_enter(g, &other));
	assert_true(take_all(g, &a) > 0);
	assert_int_equal(take_all(g, &same), 0);
	assert_true(take_all(g, &other) > 0);
	gate_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gate_one_source_holds_its_share),
		cmocka_unit_test(test_gate_all_together_hold_no_more_than_there_is),
		cmocka_unit_test(test_gate_gives_back_after_leaving),
		cmocka_unit_test(test_gate_an_ipv6_network_is_one_source),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}

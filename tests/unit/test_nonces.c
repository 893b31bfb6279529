/* Answers that may not serve twice (RFC 7616 §3.4), and what is forgotten. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "sip/nonces.h"

#define KEEP_MS 1000
#define MANY 5000u

static int setup(void **state)
{
	return nonces_new((struct nonces **)state, KEEP_MS);
}

static int teardown(void **state)
{
	nonces_free(*state);
	return 0;
}

/* Numbers far apart, and such that want the same place. */
static uint64_t number(unsigned i)
{
	return i % 2 ? i * 0x9e3779b97f4a7c15u : (uint64_t)i << 40;
}

static void test_nonces_use_count_serves_once(void **state)
{
	static const struct { uint32_t nc; int err; } rows[] = {
		{ 2, 0 }, { 2, -EEXIST }, { 1, 0 }, { 1, -EEXIST }, { 70, 0 }, { 6, -EEXIST }, { 7, 0 }, { 7, -EEXIST },
		{ 69, 0 }, { UINT32_MAX, 0 }, { 70, -EEXIST }, { UINT32_MAX, -EEXIST }, { UINT32_MAX - 63, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(nonces_use(*state, 7, rows[i].nc, 0), rows[i].err);
	assert_int_equal(nonces_use(*state, 8, 2, 0), 0);
}

static void test_nonces_use_many_are_told_apart(void **state)
{
	for (unsigned i = 0; i < MANY; i++)
		assert_int_equal(nonces_use(*state, number(i), 1, 0), 0);
	for (unsigned i = 0; i < MANY; i++) {
		assert_int_equal(nonces_use(*state, number(i), 1, 0), -EEXIST);
		assert_int_equal(nonces_use(*state, number(i), 2, 0), 0);
	}
}

static void test_nonces_use_is_remembered_for_its_time(void **state)
{
	/* one is used each 100 ms, and each of the last KEEP_MS is known still */
	for (int64_t now = 0; now < 10 * KEEP_MS; now += 100) {
		assert_int_equal(nonces_use(*state, (uint64_t)now, 1, now), 0);
		for (int64_t at = now > KEEP_MS ? now - KEEP_MS : 0; at <= now; at += 100)
			assert_int_equal(nonces_use(*state, (uint64_t)at, 1, now), -EEXIST);
	}
	/* none of them after twice the time */
	assert_int_equal(nonces_use(*state, 1, 1, 20 * KEEP_MS), 0);
	assert_int_equal(nonces_use(*state, 2, 1, 22 * KEEP_MS), 0);
	assert_int_equal(nonces_use(*state, 10 * KEEP_MS - 100, 1, 22 * KEEP_MS), 0);
}

static void test_nonces_use_clock_set_back_forgets_nothing_early(void **state)
{
	assert_int_equal(nonces_use(*state, 1, 1, 100 * KEEP_MS), 0);
	assert_int_equal(nonces_use(*state, 1, 1, 50 * KEEP_MS), -EEXIST);
	assert_int_equal(nonces_use(*state, 2, 1, 50 * KEEP_MS + KEEP_MS), 0);
	assert_int_equal(nonces_use(*state, 1, 1, 50 * KEEP_MS + KEEP_MS), -EEXIST);
	assert_int_equal(nonces_use(*state, 3, 1, 53 * KEEP_MS), 0);
	assert_int_equal(nonces_use(*state, 3, 1, 55 * KEEP_MS), -EEXIST);
	assert_int_equal(nonces_use(*state, 1, 1, 57 * KEEP_MS), 0);
}

int main(void)
{
#define WITH(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH(test_nonces_use_count_serves_once),
		WITH(test_nonces_use_many_are_told_apart),
		WITH(test_nonces_use_is_remembered_for_its_time),
		WITH(test_nonces_use_clock_set_back_forgets_nothing_early),
	};

	return cmocka_run_group_tests_name("nonces", tests, NULL, NULL);
}

/* test_srv.c - the order in which SRV and NAPTR records are tried. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "sip/srv.h"

struct rank { uint16_t first, second; };

static struct dns_answer *answer(const struct rank *ranks, unsigned n, bool is_srv)
{
	struct dns_answer *a = calloc(1, sizeof(*a) + n * sizeof(a->records[0]));

	a->n = n;
	for (unsigned i = 0; i < n; i++) {
		struct dns_record *r = &a->records[i];

		if (is_srv) {
			r->srv.priority = ranks[i].first;
			r->srv.weight = ranks[i].second;
		} else {
			r->naptr.order = ranks[i].first;
			r->naptr.preference = ranks[i].second;
		}
	}
	return a;
}

/* RFC 2782: the lowest priority first, whatever the weights. */
static void test_srv_order_is_by_priority(void **state)
{
	static const struct rank ranks[] = { { 20, 0 }, { 10, 1 }, { 65535, 65535 }, { 0, 0 }, { 15, 100 } };
	static const uint8_t expected[] = { 3, 1, 4, 0, 2 };
	struct dns_answer *a = answer(ranks, ARRAY_LEN(ranks), true);
	uint8_t order[DNS_RECORDS_MAX];
	struct rng rng;

	(void)state;
	for (uint64_t seed = 1; seed < 100; seed++) {
		rng_init_fixed(&rng, seed);
		srv_order(a, &rng, order);
		assert_memory_equal(order, expected, sizeof(expected));
	}
	free(a);
}

/* RFC 2782: the chance of being first is the weight's share; the small one of a 0 is 1 in sum + 1. */
static void test_srv_order_is_drawn_by_weight(void **state)
{
	static const struct { struct rank ranks[4]; unsigned n; unsigned least[4], most[4]; } rows[] = {
		{ { { 1, 60 }, { 1, 20 }, { 1, 20 } }, 3, { 5700, 1800, 1800 }, { 6300, 2200, 2200 } },
		{ { { 1, 1 }, { 1, 99 } }, 2, { 50, 9700 }, { 300, 9950 } },
		{ { { 1, 0 }, { 1, 9 } }, 2, { 900, 8900 }, { 1100, 9100 } },
		{ { { 1, 0 }, { 1, 0 }, { 1, 10 } }, 3, { 800, 0, 9000 }, { 1000, 1, 9200 } },
		{ { { 1, 65535 }, { 1, 65535 }, { 1, 65535 }, { 1, 65535 } }, 4, { 2300, 2300, 2300, 2300 }, { 2700, 2700, 2700, 2700 } },
	};
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 4711);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct dns_answer *a = answer(rows[i].ranks, rows[i].n, true);
		unsigned first[4] = { 0 };

		for (unsigned draws = 0; draws < 10000; draws++) {
			uint8_t order[DNS_RECORDS_MAX];
			unsigned seen = 0;

			srv_order(a, &rng, order);
			first[order[0]]++;
			for (unsigned k = 0; k < a->n; k++)
				seen |= 1u << order[k];
			assert_int_equal(seen, (1u << a->n) - 1); /* each once */
		}
		for (unsigned k = 0; k < rows[i].n; k++)
			assert_in_range(first[k], rows[i].least[k], rows[i].most[k]);
		free(a);
	}
}

static void test_srv_order_without_chance_is_stable(void **state)
{
	static const struct rank ranks[] = { { 1, 5 }, { 1, 50 }, { 0, 5 }, { 1, 0 } };
	static const uint8_t expected[] = { 2, 3, 0, 1 };
	struct dns_answer *a = answer(ranks, ARRAY_LEN(ranks), true);
	uint8_t order[DNS_RECORDS_MAX];

	(void)state;
	srv_order(a, NULL, order);
	assert_memory_equal(order, expected, sizeof(expected));
	free(a);
}

/* RFC 3403 §4.1: order decides; preference within it. */
static void test_srv_naptr_order_is_by_order_then_preference(void **state)
{
	static const struct rank ranks[] = { { 100, 10 }, { 50, 50 }, { 90, 50 }, { 50, 20 }, { 50, 50 }, { 65535, 0 } };
	static const uint8_t expected[] = { 3, 1, 4, 2, 0, 5 };
	struct dns_answer *a = answer(ranks, ARRAY_LEN(ranks), false);
	uint8_t order[DNS_RECORDS_MAX];

	(void)state;
	naptr_order(a, order);
	assert_memory_equal(order, expected, sizeof(expected));
	free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_srv_order_is_by_priority),
		cmocka_unit_test(test_srv_order_is_drawn_by_weight),
		cmocka_unit_test(test_srv_order_without_chance_is_stable),
		cmocka_unit_test(test_srv_naptr_order_is_by_order_then_preference),
	};

	return cmocka_run_group_tests_name("srv", tests, NULL, NULL);
}

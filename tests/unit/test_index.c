/* Objects found by their hash, also when many want the same place and some have gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/index.h"
#include "base/rng.h"

#define MANY 3000u

struct thing { uint64_t hash; int in; };

static unsigned times_found(const struct index *ix, const struct thing *t)
{
	uint64_t at = t->hash;
	unsigned n = 0;
	void *p;

	while ((p = index_next(ix, t->hash, &at)) != NULL) {
		assert_int_equal(((struct thing *)p)->hash, t->hash);
		n += p == t;
	}
	return n;
}

static void test_index_empty_finds_nothing(void **state)
{
	struct index ix = { 0 };
	struct thing t = { .hash = 5 };

	(void)state;
	assert_int_equal(times_found(&ix, &t), 0);
	index_fini(&ix);
}

/* Against what is known of each, through growing and shrinking. */
static void walk(struct thing *things, unsigned steps, struct rng *rng)
{
	struct index ix = { 0 };
	size_t n = 0;

	for (unsigned step = 0; step < steps; step++) {
		struct thing *t = &things[rng_below(rng, MANY)];

		if (t->in) {
			index_remove(&ix, t->hash, t);
			n--;
		} else {
			assert_int_equal(index_add(&ix, t->hash, t), 0);
			n++;
		}
		t->in = !t->in;
		assert_int_equal(times_found(&ix, t), t->in);
		assert_int_equal(ix.n, n);
		if (step % 1000 == 0)
			for (unsigned i = 0; i < MANY; i++)
				assert_int_equal(times_found(&ix, &things[i]), things[i].in);
	}
	for (unsigned i = 0; i < MANY; i++)
		if (things[i].in)
			index_remove(&ix, things[i].hash, &things[i]);
	assert_int_equal(ix.n, 0);
	index_fini(&ix);
}

static void test_index_finds_what_is_in_it(void **state)
{
	/* of hashes so many differ: all, some share one, and those that begin at the end of any table */
	static const uint64_t masks[] = { UINT64_MAX, 0x3f, 0xfffff000000003ffu };
	struct thing *things = calloc(MANY, sizeof(*things));
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++) {
		for (unsigned i = 0; i < MANY; i++) {
			rng_fill(&rng, &things[i].hash, sizeof(things[i].hash));
			things[i].hash &= masks[m];
			things[i].hash |= m == 2 ? 0x3fc : 0;
			things[i].in = 0;
		}
		walk(things, m == 1 ? 3 * MANY : 10 * MANY, &rng);
	}
	free(things);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_index_empty_finds_nothing),
		cmocka_unit_test(test_index_finds_what_is_in_it),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}

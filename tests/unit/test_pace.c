/* test_pace.c - a busy loop rests, an idle one doesn't. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/pace.h"

struct bed {
	uv_loop_t loop;
	uv_idle_t idle;          /* so that the loop turns without waiting */
	uint64_t count, each;    /* messages so far; a turn */
};

static uint64_t count_of(void *arg) { return ((struct bed *)arg)->count; }

static void on_idle(uv_idle_t *idle)
{
	struct bed *b = idle->data;

	b->count += b->each;
}

/* ms that n turns take, each of which finds so many messages. */
static uint64_t turns_ms(struct bed *b, unsigned n, uint64_t each)
{
	uint64_t begin = uv_hrtime();

	b->each = each;
	for (unsigned i = 0; i < n; i++)
		uv_run(&b->loop, UV_RUN_NOWAIT);
	return (uv_hrtime() - begin) / 1000000;
}

#define ROUNDS 10

#define TURNS 20

/* In how many rounds of TURNS turns the loop rested in each turn. A machine that is busy with other things makes one seem to, or, as few
 * messages come meanwhile, ends the rest for one. */
static unsigned nrests(struct bed *b, uint64_t each)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ROUNDS; i++)
		n += turns_ms(b, TURNS, each) >= TURNS * PACE_MS * 9 / 10;
	return n;
}

static void test_pace_rests_only_while_many_messages_come(void **state)
{
	struct bed b = { 0 };
	struct pace *p;

	(void)state;
	uv_loop_init(&b.loop);
	uv_idle_init(&b.loop, &b.idle);
	b.idle.data = &b;
	uv_idle_start(&b.idle, on_idle);
	assert_int_equal(pace_new(&p, &b.loop, count_of, &b), 0);
	assert_true(turns_ms(&b, 2000, 0) < 2000 * PACE_MS);
	for (uint64_t end = uv_hrtime() + 200000000; uv_hrtime() < end;) /* by then it has noticed */
		turns_ms(&b, 1, 15);
	assert_in_range(nrests(&b, 15), ROUNDS / 2, ROUNDS);
	/* and stops when they have stopped */
	turns_ms(&b, 50, 0);
	assert_true(turns_ms(&b, 2000, 0) < 2000 * PACE_MS);
	pace_close(p);
	uv_close((uv_handle_t *)&b.idle, NULL);
	assert_int_equal(uv_run(&b.loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&b.loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_pace_rests_only_while_many_messages_come) };

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}

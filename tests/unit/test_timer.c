/* test_timer.c - the timing wheel: order, precision, stopping and restarting, against a plain model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/rng.h"
#include "base/str.h"
#include "base/timer.h"

struct probe {
	struct timer timer;
	struct timers *wheel;
	uint64_t fired_at_ms, due_ms;
	unsigned fired;
};

static void on_probe(void *arg)
{
	struct probe *p = arg;

	p->fired++;
	p->fired_at_ms = timers_now(p->wheel);
}

static void test_timer_fires_at_its_ms(void **state)
{
	static const uint64_t starts[] = { 0, 1, 255, 256, 65535, 1234567, ((uint64_t)1 << 32) - 5, ((uint64_t)1 << 40) + 77 };
	static const uint64_t delays[] = { 1, 2, 255, 256, 257, 500, 32000, 65536, 65537, 16777216, 16777300, 4300000000u };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		for (size_t k = 0; k < ARRAY_LEN(delays); k++) {
			struct probe p = { .wheel = timers_new(starts[i]) };

			timer_init(&p.timer, on_probe, &p);
			timer_start(p.wheel, &p.timer, delays[k]);
			timers_run(p.wheel, starts[i] + delays[k] - 1);
			assert_int_equal(p.fired, 0);
			assert_int_equal(timers_count(p.wheel), 1);
			timers_run(p.wheel, starts[i] + delays[k]);
			assert_int_equal(p.fired, 1);
			assert_int_equal(p.fired_at_ms, starts[i] + delays[k]);
			assert_int_equal(timers_next(p.wheel), -1);
			timers_free(p.wheel);
		}
}

struct model {
	struct probe *probes;
	unsigned n;
	struct timers *wheel;
	uint64_t now_ms;
};

static void check_model(const struct model *m)
{
	int64_t next = timers_next(m->wheel);

	for (unsigned i = 0; i < m->n; i++) {
		const struct probe *q = &m->probes[i];

		if (q->due_ms && q->due_ms <= m->now_ms) {
			assert_int_equal(q->fired, 1);
			assert_int_equal(q->fired_at_ms, q->due_ms);
			continue;
		}
		assert_int_equal(q->fired, 0);
		if (q->due_ms)
			assert_true(next >= 0 && m->now_ms + (uint64_t)next <= q->due_ms);
	}
}

/* Hundreds of timers started, restarted and stopped at random while time goes on in random steps. */
static void test_timer_agrees_with_model(void **state)
{
	struct model m = { .n = 500, .now_ms = 99990 };
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 7);
	m.probes = calloc(m.n, sizeof(*m.probes));
	m.wheel = timers_new(m.now_ms);
	for (unsigned i = 0; i < m.n; i++) {
		m.probes[i].wheel = m.wheel;
		timer_init(&m.probes[i].timer, on_probe, &m.probes[i]);
	}
	for (unsigned round = 0; round < 20000; round++) {
		struct probe *p = &m.probes[rng_below(&rng, m.n)];
		unsigned what = rng_below(&rng, 10);

		if (what < 7) {
			uint64_t after = 1 + rng_below(&rng, what < 3 ? 300 : 100000);

			p->fired = 0;
			p->due_ms = what < 6 ? m.now_ms + after : 0;
			if (what < 6)
				timer_start(m.wheel, &p->timer, after);
			else
				timer_stop(m.wheel, &p->timer);
			continue;
		}
		m.now_ms += rng_below(&rng, what == 9 ? 5000 : 40);
		timers_run(m.wheel, m.now_ms);
		check_model(&m);
	}
	timers_free(m.wheel);
	free(m.probes);
}

struct chain {
	struct timers *wheel;
	struct timer self, victim;
	unsigned runs, victim_runs;
};

static void on_victim(void *arg)
{
	((struct chain *)arg)->victim_runs++;
}

static void on_chain(void *arg)
{
	struct chain *c = arg;

	timer_stop(c->wheel, &c->victim);
	if (++c->runs < 3)
		timer_start(c->wheel, &c->self, 0);
}

static void test_timer_callback_may_stop_and_restart(void **state)
{
	struct chain c = { .wheel = timers_new(0) };

	(void)state;
	timer_init(&c.self, on_chain, &c);
	timer_init(&c.victim, on_victim, &c);
	timer_start(c.wheel, &c.self, 5);
	timer_start(c.wheel, &c.victim, 5); /* same ms, after self */
	timers_run(c.wheel, 10);
	assert_int_equal(c.runs, 3);
	assert_int_equal(c.victim_runs, 0);
	assert_int_equal(timers_count(c.wheel), 0);
	timers_free(c.wheel);
}

static void test_timer_driven_by_loop_is_not_early(void **state)
{
	uv_loop_t loop;
	struct timers_driver *driver;
	struct probe p = { 0 };
	uint64_t begun;

	(void)state;
	uv_loop_init(&loop);
	p.wheel = timers_new(uv_now(&loop));
	assert_int_equal(timers_drive(&driver, p.wheel, &loop), 0);
	timer_init(&p.timer, on_probe, &p);
	begun = uv_now(&loop);
	timer_start(p.wheel, &p.timer, 20);
	while (!p.fired)
		uv_run(&loop, UV_RUN_ONCE);
	assert_true(p.fired_at_ms >= begun + 20);
	timers_driver_close(driver);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	timers_free(p.wheel);
}

/* Those of a moment end together, and never early. */
static void test_timer_late_ones_end_together(void **state)
{
	enum { N = 8 };
	uv_loop_t loop;
	struct timers_driver *driver;
	struct probe p[N] = { 0 };
	struct timers *wheel;
	unsigned turns = 0;

	(void)state;
	uv_loop_init(&loop);
	wheel = timers_new(uv_now(&loop));
	assert_int_equal(timers_drive(&driver, wheel, &loop), 0);
	for (unsigned i = 0; i < N; i++) {
		p[i].wheel = wheel;
		timer_init(&p[i].timer, on_probe, &p[i]);
		timer_start_late(wheel, &p[i].timer, 10 + i);
		assert_true(p[i].timer.at_ms >= uv_now(&loop) + 10 + i);
		assert_true(p[i].timer.at_ms <= uv_now(&loop) + 10 + i + TIMER_LATE_MS);
		turns += i == 0 || p[i].timer.at_ms != p[i - 1].timer.at_ms;
	}
	assert_in_range(turns, 1, 2);
	while (timers_count(wheel))
		uv_run(&loop, UV_RUN_ONCE);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(p[i].fired, 1);
	timers_driver_close(driver);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
	timers_free(wheel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_fires_at_its_ms),
		cmocka_unit_test(test_timer_agrees_with_model),
		cmocka_unit_test(test_timer_callback_may_stop_and_restart),
		cmocka_unit_test(test_timer_driven_by_loop_is_not_early),
		cmocka_unit_test(test_timer_late_ones_end_together),
	};

	return cmocka_run_group_tests_name("timer", tests, NULL, NULL);
}

/* test_task.c - coroutines: parking, waking, ending, many at once, on a loop and by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/task.h"

struct trace {
	struct tasks *ts;
	struct task *task;
	int codes[4];
	unsigned parked, ended;
};

static void waiter(void *arg)
{
	struct trace *t = arg;
	volatile char deep[8000]; /* the stack is real */

	memset((char *)deep, 1, sizeof(deep));
	for (int i = 0; i < 3; i++) {
		t->parked++;
		t->codes[i] = task_park(t->ts);
	}
	assert_int_equal(deep[7999], 1);
}

static void on_end(void *arg)
{
	((struct trace *)arg)->ended++;
}

static void test_task_parks_and_wakes_with_codes(void **state)
{
	struct trace t = { 0 };

	(void)state;
	assert_int_equal(tasks_new(&t.ts, NULL, 65536), 0);
	assert_int_equal(task_start(&t.task, t.ts, waiter, on_end, &t), 0);
	assert_int_equal(t.parked, 0); /* not from inside task_start */
	tasks_run(t.ts);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(t.parked, i + 1);
		assert_true(task_is_parked(t.task));
		assert_true(task_wake(t.task, -10 - i));
		assert_false(task_wake(t.task, 99)); /* once only */
		tasks_run(t.ts);
	}
	assert_int_equal(t.codes[0], -10);
	assert_int_equal(t.codes[2], -12);
	assert_int_equal(t.ended, 1);
	assert_int_equal(tasks_count(t.ts), 0);
	tasks_close(t.ts);
}

/* ---- memory ---- */

#define DEEP 40000

struct deep {
	struct tasks *ts;
	struct task *task;
	uintptr_t from, to; /* of the stack that was used */
	uintptr_t top;      /* of what a resting task stands on, part of it */
	int sum;
};

static __attribute__((noinline)) void go_deep(struct deep *d)
{
	volatile char room[DEEP];

	for (size_t i = 0; i < sizeof(room); i++)
		room[i] = 1;
	d->from = (uintptr_t)room;
	d->to = d->from + sizeof(room);
}

static void shallow_waiter(void *arg)
{
	struct deep *d = arg;
	volatile int kept[64];

	go_deep(d);
	for (int i = 0; i < 64; i++)
		kept[i] = i;
	task_park(d->ts);
	for (int i = 0; i < 64; i++)
		d->sum += kept[i];
	go_deep(d);
}

static unsigned pages_there(uintptr_t from, uintptr_t to)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	unsigned char there[DEEP / 1024];
	unsigned n = 0;

	from = from / page * page;
	assert_int_equal(mincore((void *)from, to - from, there), 0);
	for (uintptr_t i = 0; i < (to - from + page - 1) / page; i++)
		n += there[i] & 1;
	return n;
}

static void test_task_trim_gives_back_what_is_not_stood_on(void **state)
{
	struct deep d = { 0 };
	unsigned before;

	(void)state;
	assert_int_equal(tasks_new(&d.ts, NULL, 65536), 0);
	assert_int_equal(task_start(&d.task, d.ts, shallow_waiter, NULL, &d), 0);
	tasks_run(d.ts);
	before = pages_there(d.from, d.to);
	assert_true(before >= DEEP / (unsigned)sysconf(_SC_PAGESIZE));
	tasks_trim(d.ts); /* it has only just parked */
	assert_int_equal(pages_there(d.from, d.to), before);
	tasks_trim(d.ts);
	assert_true(pages_there(d.from, d.to) <= 2); /* margin and page border */
	tasks_trim(d.ts);
	assert_true(task_wake(d.task, 0));
	tasks_run(d.ts);
	assert_int_equal(d.sum, 63 * 64 / 2);
	assert_int_equal(tasks_count(d.ts), 0);
	tasks_close(d.ts);
}

static void resting_waiter(void *arg)
{
	struct deep *d = arg;
	volatile int kept[64];
	int *outside = &d->sum;

	go_deep(d);
	d->top = (uintptr_t)(kept + 64);
	for (int i = 0; i < 64; i++)
		kept[i] = i;
	assert_int_equal(task_rest(d->ts), 7);
	for (int i = 0; i < 64; i++)
		*outside += kept[i];
	assert_int_equal(task_rest(d->ts), 8);
	for (int i = 0; i < 64; i++)
		*outside += kept[i];
	go_deep(d);
}

static void test_task_rest_gives_back_the_whole_stack(void **state)
{
	struct deep d = { 0 };

	(void)state;
	assert_int_equal(tasks_new(&d.ts, NULL, 65536), 0);
	assert_int_equal(task_start(&d.task, d.ts, resting_waiter, NULL, &d), 0);
	tasks_run(d.ts);
	tasks_trim(d.ts);
	assert_true(pages_there(d.from, d.top) >= DEEP / (unsigned)sysconf(_SC_PAGESIZE)); /* it has only just parked */
	for (int i = 1; i <= 2; i++) {
		tasks_trim(d.ts);
		tasks_trim(d.ts); /* once is enough */
		assert_int_equal(pages_there(d.from, d.top), 0);
		assert_true(task_is_parked(d.task));
		assert_true(task_wake(d.task, 6 + i));
		assert_int_equal(pages_there(d.from, d.top), 0); /* not before it runs */
		tasks_run(d.ts);
		assert_int_equal(d.sum, i * 63 * 64 / 2);
	}
	assert_int_equal(tasks_count(d.ts), 0);
	assert_int_equal(task_start(&d.task, d.ts, shallow_waiter, NULL, &d), 0); /* on the same stack, which isn't put aside */
	tasks_run(d.ts);
	tasks_trim(d.ts);
	tasks_trim(d.ts);
	assert_true(pages_there(d.from, d.top) > 0);
	assert_true(task_wake(d.task, 0));
	tasks_run(d.ts);
	assert_int_equal(tasks_count(d.ts), 0);
	tasks_close(d.ts);
}

static void test_task_trim_spares_who_was_awake(void **state)
{
	struct trace t = { 0 };

	(void)state;
	assert_int_equal(tasks_new(&t.ts, NULL, 65536), 0);
	assert_int_equal(task_start(&t.task, t.ts, waiter, on_end, &t), 0);
	tasks_trim(t.ts);
	for (int i = 0; i < 4; i++) {
		tasks_run(t.ts);
		tasks_trim(t.ts);
		tasks_trim(t.ts);
		task_wake(t.task, i);
		tasks_trim(t.ts); /* ready: not parked any more */
	}
	tasks_run(t.ts);
	assert_int_equal(t.ended, 1);
	tasks_close(t.ts);
}

static void test_task_thousand_at_once(void **state)
{
	enum { N = 1000 };
	static struct trace t[N];
	struct tasks *ts;

	(void)state;
	memset(t, 0, sizeof(t));
	assert_int_equal(tasks_new(&ts, NULL, 32768), 0);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < N; i++) {
			t[i].ts = ts;
			assert_int_equal(task_start(&t[i].task, ts, waiter, on_end, &t[i]), 0);
		}
		for (int k = 0; k < 4; k++) {
			tasks_run(ts);
			for (int i = 0; i < N && k < 3; i++)
				assert_true(task_wake(t[i].task, k));
		}
		assert_int_equal(tasks_count(ts), 0);
	}
	assert_int_equal(t[N - 1].ended, 2);
	tasks_close(ts);
}

struct pair {
	struct tasks *ts;
	struct task *a, *b;
	char order[16];
};

static void task_a(void *arg)
{
	struct pair *p = arg;

	strcat(p->order, "a");
	assert_ptr_equal(task_self(p->ts), p->a);
	task_park(p->ts);
	strcat(p->order, "A");
	task_wake(p->b, 0); /* runs after we give the thread back, not now */
	strcat(p->order, "+");
}

static void task_b(void *arg)
{
	struct pair *p = arg;

	strcat(p->order, "b");
	task_wake(p->a, 0);
	task_park(p->ts);
	strcat(p->order, "B");
}

static void test_task_wake_from_task_is_deferred(void **state)
{
	struct pair p = { 0 };
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	assert_int_equal(tasks_new(&p.ts, &loop, 65536), 0);
	assert_int_equal(task_start(&p.a, p.ts, task_a, NULL, &p), 0);
	assert_int_equal(task_start(&p.b, p.ts, task_b, NULL, &p), 0);
	while (tasks_count(p.ts))
		uv_run(&loop, UV_RUN_NOWAIT);
	assert_string_equal(p.order, "abA+B");
	assert_null(task_self(p.ts));
	tasks_close(p.ts);
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_task_parks_and_wakes_with_codes),
		cmocka_unit_test(test_task_trim_gives_back_what_is_not_stood_on),
		cmocka_unit_test(test_task_rest_gives_back_the_whole_stack),
		cmocka_unit_test(test_task_trim_spares_who_was_awake),
		cmocka_unit_test(test_task_thousand_at_once),
		cmocka_unit_test(test_task_wake_from_task_is_deferred),
	};

	return cmocka_run_group_tests_name("task", tests, NULL, NULL);
}

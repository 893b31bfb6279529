/* task.c - coroutines over makecontext.
 *
 * swapcontext() also saves and sets the signal mask, two system calls a time, and every task has the loop's. So a stack's
 * first task is entered by setcontext(), and from then on the two sides jump to each other, the tasks that use the
 * stack later too: they run in the loop of the first one's entry.
 *
 * A stack is one mapping: a guard page and the stack, so that an overflow faults instead of writing over its neighbour. It belongs to
 * a struct task, and both are kept for the next task, but only some: a burst of calls gives its memory back. So does a task that
 * stays parked, of what it doesn't stand on. One that rests gives back all: what it stands on, of a page a quarter or half, is put
 * aside into the heap, and back at the same place before it goes on.
 */

/* Fortified, longjmp() takes a jump to another stack for an error. */
#undef _FORTIFY_SOURCE
#include "base/task.h"

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>
#include <utlist.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(lo, hi) 0u
#define VALGRIND_STACK_DEREGISTER(id) (void)(id)
#endif

/* Stacks kept for reuse: enough for the churn between two turns of a busy loop, 2 MiB at 64 KiB each if all were touched. */
#define FREE_STACKS_MAX 32

enum task_state { TASK_READY, TASK_RUNNING, TASK_PARKED, TASK_ENDED };

struct task {
	struct task *next; /* ready or free list */
	struct task *dl_prev, *dl_next; /* parked and not trimmed, the first to park first */
	bool is_listed;
	unsigned parked_in;             /* which stretch between two trims */
	char *low;                      /* parked: nothing below it is needed */
	bool is_resting;                /* parked, and nobody looks at its stack meanwhile */
	uint64_t *aside;                /* what lay from low on, while it isn't there; NULL: it is */
	struct tasks *ts;
	enum task_state state;
	int code;
	void (*fn)(void *arg);
	void (*on_end)(void *arg);
	void *arg;
	bool has_begun;  /* the stack, whose tasks go on at place */
	jmp_buf place;
	char *map;
	size_t size;     /* of the stack, below which is the guard page */
	unsigned valgrind_id;
	void *fake_stack; /* ASan's */
	void *fiber;      /* TSan's: it counts the calls of each stack, and follows no jump */
};

struct tasks {
	uv_loop_t *loop;
	uv_idle_t idle; /* active while something is ready, so that the loop doesn't sleep */
	bool is_draining;
	size_t page, stack_size;
	unsigned count, nfree;
	struct task *running, *free, *ready, **ready_end, *parked;
	unsigned stretch;
	jmp_buf main_place;
	ucontext_t begin; /* of the stack that begins */
	const void *main_stack;
	size_t main_stack_size;
	void *main_fake_stack, *main_fiber;
};

static void on_idle(uv_idle_t *idle)
{
	tasks_run(idle->data);
}

static size_t whole_pages(const struct tasks *ts, size_t size)
{
	return (size + ts->page - 1) / ts->page * ts->page;
}

int tasks_new(struct tasks **out, uv_loop_t *loop, size_t stack_size)
{
	struct tasks *ts = calloc(1, sizeof(*ts));

	if (!ts)
		return -ENOMEM;
	ts->page = (size_t)sysconf(_SC_PAGESIZE);
	ts->stack_size = whole_pages(ts, stack_size);
	ts->ready_end = &ts->ready;
	ts->loop = loop;
	if (loop) {
		uv_idle_init(loop, &ts->idle);
		ts->idle.data = ts;
	}
	*out = ts;
	return 0;
}

static void stack_unmap(struct task *t)
{
	size_t map_size = t->ts->page + t->size;
	char *map = t->map;

	VALGRIND_STACK_DEREGISTER(t->valgrind_id);
#ifdef WITH_TSAN
	__tsan_destroy_fiber(t->fiber);
#endif
	munmap(map, map_size);
	free(t);
}

static void on_idle_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void tasks_close(struct tasks *ts)
{
	if (!ts)
		return;
	while (ts->free) {
		struct task *t = ts->free;

		ts->free = t->next;
		stack_unmap(t);
	}
	if (ts->loop)
		uv_close((uv_handle_t *)&ts->idle, on_idle_closed);
	else
		free(ts);
}

unsigned tasks_count(const struct tasks *ts)
{
	return ts->count;
}

struct task *task_self(const struct tasks *ts)
{
	return ts->running;
}

bool task_is_parked(const struct task *t)
{
	return t->state == TASK_PARKED;
}

static struct task *stack_new(struct tasks *ts, size_t size)
{
	struct task *t = calloc(1, sizeof(*t));
	char *map;

	if (!t)
		return NULL;
	map = mmap(NULL, ts->page + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		free(t);
		return NULL;
	}
	if (mprotect(map, ts->page, PROT_NONE) != 0) {
		munmap(map, ts->page + size);
		free(t);
		return NULL;
	}
	t->map = map;
	t->size = size;
	t->ts = ts;
#ifdef WITH_TSAN
	t->fiber = __tsan_create_fiber(0);
#endif
	t->valgrind_id = VALGRIND_STACK_REGISTER(map + ts->page, map + ts->page + size);
	return t;
}

static struct task *stack_take(struct tasks *ts, size_t size)
{
	struct task *t = ts->free;

	if (!t || size != ts->stack_size)
		return stack_new(ts, size);
	ts->free = t->next;
	ts->nfree--;
	return t;
}

static void stack_give(struct tasks *ts, struct task *t)
{
	if (ts->nfree >= FREE_STACKS_MAX || t->size != ts->stack_size) {
		stack_unmap(t);
		return;
	}
#ifdef WITH_ASAN
	__asan_unpoison_memory_region(t->map + ts->page, t->size);
#endif
	t->next = ts->free;
	ts->free = t;
	ts->nfree++;
}

static void make_ready(struct tasks *ts, struct task *t)
{
	t->state = TASK_READY;
	t->next = NULL;
	*ts->ready_end = t;
	ts->ready_end = &t->next;
	if (ts->loop && !ts->is_draining)
		uv_idle_start(&ts->idle, on_idle);
}

/* ---- switching ---- */

/* Where the stack of who calls this ends, and never part of him, not even where the server is optimised as a whole. */
__attribute__((noinline)) static char *stack_end(void)
{
	return (char *)((uintptr_t)__builtin_frame_address(0) / 16 * 16);
}

static void switch_to_main(struct tasks *ts, struct task *t)
{
	t->low = stack_end();
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&t->fake_stack, ts->main_stack, ts->main_stack_size);
#endif
	if (_setjmp(t->place) == 0) {
#ifdef WITH_TSAN
		__tsan_switch_to_fiber(ts->main_fiber, 0);
#endif
		_longjmp(ts->main_place, 1);
	}
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(t->fake_stack, &ts->main_stack, &ts->main_stack_size);
#endif
}

/* makecontext passes ints: a pointer goes as two halves. */
static void stack_entry(unsigned hi, unsigned lo)
{
	struct task *t = (struct task *)(((uintptr_t)hi << 32) | lo);

#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(NULL, &t->ts->main_stack, &t->ts->main_stack_size);
#endif
	for (;;) {
		t->fn(t->arg);
		t->state = TASK_ENDED;
		switch_to_main(t->ts, t);
	}
}

static void stack_begin(struct task *t)
{
	ucontext_t *c = &t->ts->begin;

	t->has_begun = true;
	getcontext(c);
	c->uc_stack.ss_sp = t->map + t->ts->page;
	c->uc_stack.ss_size = t->size;
	c->uc_link = NULL;
	makecontext(c, (void (*)(void))stack_entry, 2, (unsigned)((uintptr_t)t >> 32), (unsigned)(uintptr_t)t);
	setcontext(c);
}

static void switch_to_task(struct tasks *ts, struct task *t)
{
#ifdef WITH_ASAN
	__sanitizer_start_switch_fiber(&ts->main_fake_stack, t->map + ts->page, t->size);
#endif
	if (_setjmp(ts->main_place) == 0) {
#ifdef WITH_TSAN
		ts->main_fiber = __tsan_get_current_fiber();
		__tsan_switch_to_fiber(t->fiber, 0);
#endif
		if (!t->has_begun)
			stack_begin(t);
		_longjmp(t->place, 1);
	}
#ifdef WITH_ASAN
	__sanitizer_finish_switch_fiber(ts->main_fake_stack, NULL, NULL);
#endif
}

static int start(struct task **out, struct tasks *ts, size_t size, void (*fn)(void *arg), void (*on_end)(void *arg), void *arg)
{
	struct task *t = stack_take(ts, size);

	if (!t)
		return -EAGAIN;
	t->fn = fn;
	t->on_end = on_end;
	t->arg = arg;
	t->code = 0;
	ts->count++;
	make_ready(ts, t);
	*out = t;
	return 0;
}

int task_start(struct task **out, struct tasks *ts, void (*fn)(void *arg), void (*on_end)(void *arg), void *arg)
{
	return start(out, ts, ts->stack_size, fn, on_end, arg);
}

int task_start_deep(struct task **out, struct tasks *ts, size_t stack_size, void (*fn)(void *arg), void (*on_end)(void *arg), void *arg)
{
	return start(out, ts, whole_pages(ts, stack_size), fn, on_end, arg);
}

static void list(struct tasks *ts, struct task *t)
{
	t->parked_in = ts->stretch;
	t->is_listed = true;
	DL_APPEND2(ts->parked, t, dl_prev, dl_next);
}

static void unlist(struct tasks *ts, struct task *t)
{
	if (t->is_listed)
		DL_DELETE2(ts->parked, t, dl_prev, dl_next);
	t->is_listed = false;
}

static int park(struct tasks *ts, bool is_resting)
{
	struct task *t = ts->running;

	t->state = TASK_PARKED;
	t->is_resting = is_resting;
	list(ts, t);
	switch_to_main(ts, t);
	return t->code;
}

int task_park(struct tasks *ts)
{
	return park(ts, false);
}

int task_rest(struct tasks *ts)
{
	return park(ts, true);
}

static size_t standing_on(const struct task *t)
{
	return (size_t)(t->map + t->ts->page + t->size - t->low);
}

/* Of a stack, whose frames have between them what ASan guards: so neither instrumented nor, being volatile, made a memcpy() of. */
__attribute__((no_sanitize("address", "thread"))) static void stack_copy(volatile uint64_t *to, const volatile uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n / sizeof(*to); i++)
		to[i] = from[i];
}

/* False: it stays. */
static bool stack_put_aside(struct task *t)
{
	char *bottom = t->map + t->ts->page;
	uint64_t *aside = t->low > bottom ? malloc(standing_on(t)) : NULL;

	if (!aside)
		return false;
	stack_copy(aside, (uint64_t *)t->low, standing_on(t));
	if (madvise(bottom, t->size, MADV_DONTNEED) != 0) {
		free(aside);
		return false;
	}
#ifdef WITH_ASAN
	mprotect(bottom, t->size, PROT_NONE); /* who looks all the same is caught */
#endif
	t->aside = aside;
	return true;
}

static void stack_put_back(struct task *t)
{
	if (!t->aside)
		return;
#ifdef WITH_ASAN
	mprotect(t->map + t->ts->page, t->size, PROT_READ | PROT_WRITE);
#endif
	stack_copy((uint64_t *)t->low, t->aside, standing_on(t));
	free(t->aside);
	t->aside = NULL;
}

static void stack_trim(struct task *t)
{
	size_t page = t->ts->page;
	char *bottom = t->map + page;
	size_t n = t->low > bottom ? (size_t)(t->low - bottom) / page * page : 0;

	/* Refused, it stays as it is. */
	if (n > 0)
		madvise(bottom, n, MADV_DONTNEED);
}

void tasks_trim(struct tasks *ts)
{
	while (ts->parked && ts->parked->parked_in != ts->stretch) {
		struct task *t = ts->parked;

		unlist(ts, t);
		if (!t->is_resting || !stack_put_aside(t))
			stack_trim(t);
	}
	ts->stretch++;
}

bool task_wake(struct task *t, int code)
{
	if (t->state != TASK_PARKED)
		return false;
	unlist(t->ts, t);
	t->code = code;
	make_ready(t->ts, t);
	return true;
}

static void run_one(struct tasks *ts, struct task *t)
{
	void (*on_end)(void *) = t->on_end;
	void *arg = t->arg;

	stack_put_back(t);
	t->state = TASK_RUNNING;
	ts->running = t;
	switch_to_task(ts, t);
	ts->running = NULL;
	if (t->state != TASK_ENDED)
		return;
	ts->count--;
	stack_give(ts, t);
	if (on_end)
		on_end(arg);
}

void tasks_run(struct tasks *ts)
{
	if (ts->is_draining || ts->running)
		return;
	ts->is_draining = true;
	while (ts->ready) {
		struct task *t = ts->ready;

		ts->ready = t->next;
		if (!ts->ready)
			ts->ready_end = &ts->ready;
		run_one(ts, t);
	}
	ts->is_draining = false;
	if (ts->loop)
		uv_idle_stop(&ts->idle);
}

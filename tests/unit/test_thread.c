/* test_thread.c - threads without signals, and waits that end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>

#include "base/clock.h"
#include "base/thread.h"

#define SHORT_MS 30
#define ROUNDS 40               /* beyond a full second */
#define LONG_MS 600000

static void *see_mask(void *arg)
{
	pthread_sigmask(SIG_SETMASK, NULL, arg);
	return NULL;
}

static void test_thread_gets_no_signals(void **state)
{
	sigset_t before, after, there;
	pthread_t t;

	(void)state;
	pthread_sigmask(SIG_SETMASK, NULL, &before);
	sigemptyset(&there);
	assert_int_equal(thread_start(&t, see_mask, &there), 0);
	pthread_sigmask(SIG_SETMASK, NULL, &after);
	assert_int_equal(pthread_join(t, NULL), 0);
	for (int i = 1; i < 32; i++) {
		assert_int_equal(sigismember(&after, i), sigismember(&before, i)); /* who starts it keeps his own */
		assert_int_equal(sigismember(&there, i), i != SIGKILL && i != SIGSTOP);
	}
}

struct bell {
	pthread_mutex_t mu;
	pthread_cond_t cond;
	int has_rung;
	unsigned nwaits;
};

static void *ring(void *arg)
{
	struct bell *b = arg;

	pthread_mutex_lock(&b->mu);
	b->has_rung = 1;
	pthread_cond_signal(&b->cond);
	pthread_mutex_unlock(&b->mu);
	return NULL;
}

/* How long, from a wait of ms until the bell has rung or the time is over. */
static uint64_t waited_ms(struct bell *b, uint32_t ms)
{
	uint64_t begun = clock_mono_ms(&clock_system), now = begun;

	while (!b->has_rung && now - begun < ms) {
		b->nwaits++;
		thread_cond_wait_ms(&b->cond, &b->mu, (uint32_t)(ms - (now - begun)));
		now = clock_mono_ms(&clock_system);
	}
	return now - begun;
}

static void test_thread_cond_wait_ends(void **state)
{
	struct bell b = { .mu = PTHREAD_MUTEX_INITIALIZER };
	pthread_t t;

	(void)state;
	thread_cond_init(&b.cond);
	pthread_mutex_lock(&b.mu);
	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t ms = waited_ms(&b, SHORT_MS);

		assert_true(ms >= SHORT_MS && ms < LONG_MS / 2);
	}
	assert_true(b.nwaits < 2 * ROUNDS);              /* they wait, but for a few that may end for no reason */
	assert_int_equal(thread_start(&t, ring, &b), 0); /* it can only ring while we wait */
	assert_true(waited_ms(&b, LONG_MS) < LONG_MS / 2);
	assert_int_equal(b.has_rung, 1);
	pthread_mutex_unlock(&b.mu);
	assert_int_equal(pthread_join(t, NULL), 0);
	pthread_cond_destroy(&b.cond);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thread_gets_no_signals),
		cmocka_unit_test(test_thread_cond_wait_ends),
	};

	return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}

/* test_move.c - legs that change their call or their place in it: what call_int.h promises of leg_move() and leg_replace(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "call/call_int.h"
#include "directory/directory_int.h"

/* ---- records ---- */

static unsigned nrecords;
static char last_record[4096];

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)kind;
	(void)file;
	(void)fn;
	(void)arg;
	nrecords++;
	str_put(last_record, sizeof(last_record), doc);
	return 0;
}

/* ---- two calls ---- */

static uint64_t now_ms;
static uint64_t mono(void *arg) { (void)arg; return now_ms; }
static int64_t wall(void *arg) { (void)arg; return 1700000000000 + (int64_t)now_ms; }
static const struct clock fake_clock = { .mono_ms = mono, .wall_ms = wall };
static struct rng rng;
static struct directory nothing_loaded;
static struct calls calls;

struct pair {
	struct call *call;
	struct leg *caller, *callee;
	int ended;                   /* what the operation returned */
};

/* As dial does. */
static void wait_for_the_end(void *arg)
{
	struct pair *p = arg;

	while (!p->call->is_hungup && p->call->callee_leg->state != LEG_ENDED)
		call_wait(p->call, UINT64_MAX);
	if (p->call->is_hungup)
		p->ended = app_wait(p->call, 1);
}

static void on_task_end(void *arg)
{
	struct pair *p = arg;

	p->call->task = NULL;
	p->call->task_ended = true;
	call_leg_gone(p->call, p->call->legs);
}

static struct leg *answered_leg(struct call *call, bool is_caller, const char *peer)
{
	struct leg *leg = leg_new(call, is_caller);

	assert_non_null(leg);
	str_put(leg->peer, sizeof(leg->peer), peer);
	str_put(leg->number, sizeof(leg->number), peer);
	leg->state = LEG_ANSWERED;
	leg->answered_ms = call_now_ms(call);
	return leg;
}

static void talk(struct pair *p, const char *caller, const char *callee)
{
	const struct auth_identity who = { .domain = "office", .context = "office" };

	*p = (struct pair){ .call = call_new(&calls, &who) };
	assert_non_null(p->call);
	p->caller = p->call->caller_leg = answered_leg(p->call, true, caller);
	p->callee = p->call->callee_leg = answered_leg(p->call, false, callee);
	call_answered(p->call);
	leg_bridge(p->caller, p->callee);
	assert_int_equal(task_start(&p->call->task, calls.p.tasks, wait_for_the_end, on_task_end, p), 0);
	tasks_run(calls.p.tasks);
}

static struct leg *move(struct leg *leg, struct call *to)
{
	struct leg *record = leg_record_new(leg);

	assert_non_null(record);
	leg_move(leg, to, record);
	return record;
}

/* As the session's on_closed does. */
static void end(struct leg *leg)
{
	if (leg == leg->call->caller_leg)
		leg->call->is_hungup = true;
	leg_close(leg, 0, NULL);
}

static int setup(void **state)
{
	(void)state;
	now_ms = 1000;
	rng_init(&rng);
	calls = (struct calls){ .p = { .clock = &fake_clock, .rng = &rng, 
					.timers = timers_new(now_ms), .directory = &nothing_loaded, .outbox = (struct outbox *)&calls } };
	assert_int_equal(tasks_new(&calls.p.tasks, NULL, 64 * 1024), 0);
	nrecords = 0;
	return 0;
}

/* Nothing may be left: no call, no leg, no task. */
static int teardown(void **state)
{
	(void)state;
	tasks_run(calls.p.tasks);
	assert_null(calls.live);
	assert_int_equal(calls.n.live, 0);
	assert_int_equal(calls.n.legs, 0);
	tasks_close(calls.p.tasks);
	timers_free(calls.p.timers);
	return 0;
}

/* ---- leg_move ---- */

static void test_move_callee_leaves_a_record_and_the_caller(void **state)
{
	struct pair a, b;
	struct leg *moved, *record;

	(void)state;
	talk(&a, "1001", "1002");
	talk(&b, "1003", "1004");
	moved = a.callee;
	now_ms += 5000;
	record = move(moved, b.call);
	assert_ptr_equal(a.call->callee_leg, record);
	assert_ptr_equal(record->call, a.call);
	assert_int_equal(record->id, 2);
	assert_int_equal(record->state, LEG_ENDED);
	assert_true(record->has_left);
	assert_string_equal(record->moved_to, b.call->id);
	assert_string_equal(record->peer, "1002");
	assert_int_equal(record->ended_ms, call_now_ms(a.call));
	assert_false(a.call->is_hungup);
	assert_null(a.caller->partner);
	assert_null(moved->partner);
	assert_ptr_equal(moved->call, b.call);
	assert_int_equal(moved->id, 3);
	assert_string_equal(moved->moved_from, a.call->id);
	assert_int_equal(moved->state, LEG_ANSWERED);
	assert_int_equal(calls.n.legs, 4);
	tasks_run(calls.p.tasks);
	assert_null(a.call->task);               /* its wait saw that the callee had gone */
	now_ms += 2000;
	end(a.caller);
	assert_int_equal(nrecords, 1);
	assert_non_null(strstr(last_record, "\"talk_ms\":5000"));
	assert_non_null(strstr(last_record, "\"duration_ms\":7000"));
	/* The leg outlives the call it came from. */
	assert_int_equal(moved->state, LEG_ANSWERED);
	end(b.caller);
	end(b.callee);
	tasks_run(calls.p.tasks);
	assert_int_equal(nrecords, 1);
	end(moved);
	assert_int_equal(nrecords, 2);
	assert_non_null(strstr(last_record, "\"leg\":3"));
	assert_non_null(strstr(last_record, "\"moved_from\""));
}

static void test_move_caller_ends_operations_as_a_hangup_does(void **state)
{
	struct pair a, b;

	(void)state;
	talk(&a, "1001", "1002");
	talk(&b, "1003", "1004");
	move(a.caller, b.call);
	assert_true(a.call->is_hungup);
	assert_true(a.call->is_moved);
	tasks_run(calls.p.tasks);
	assert_int_equal(a.ended, -ECANCELED);
	assert_int_equal(a.call->caller_leg->state, LEG_ENDED);
	/* The end of a leg that is here no more isn't ours. */
	end(a.caller);
	assert_int_equal(nrecords, 0);
	end(a.callee);
	assert_int_equal(nrecords, 1);
	assert_false(b.call->is_hungup);
	end(b.caller);
	end(b.callee);
	tasks_run(calls.p.tasks);
	assert_int_equal(nrecords, 2);
}

static void test_move_there_and_back_leaves_a_record_of_each_stay(void **state)
{
	struct pair a, b;
	struct leg *leg;

	(void)state;
	talk(&a, "1001", "1002");
	talk(&b, "1003", "1004");
	leg = a.callee;
	move(leg, b.call);
	now_ms += 1000;
	move(leg, a.call);
	a.call->callee_leg = leg;
	assert_int_equal(leg->id, 3);
	assert_string_equal(leg->moved_from, b.call->id);
	assert_int_equal(calls.n.legs, 4);
	end(leg);
	end(a.caller);
	tasks_run(calls.p.tasks);
	assert_int_equal(nrecords, 1);
	assert_non_null(strstr(last_record, "\"leg\":2"));
	assert_non_null(strstr(last_record, "\"leg\":3"));
	end(b.caller);
	end(b.callee);
	tasks_run(calls.p.tasks);
	assert_non_null(strstr(last_record, "\"moved_to\""));
}

static void test_move_of_the_last_leg_ends_a_call_whose_task_is_over(void **state)
{
	struct pair a, b;

	(void)state;
	talk(&a, "1001", "1002");
	talk(&b, "1003", "1004");
	end(a.callee);
	tasks_run(calls.p.tasks);
	move(a.caller, b.call);
	assert_int_equal(nrecords, 1);           /* and a.call is gone */
	assert_int_equal(calls.n.live, 1);
	end(a.caller);
	end(b.caller);
	end(b.callee);
	tasks_run(calls.p.tasks);
}

static void test_move_takes_the_share_of_the_limit_along(void **state)
{
	struct pair a, b;
	struct usage *second = NULL;

	(void)state;
	talk(&a, "1001", "1002");
	talk(&b, "1003", "1004");
	assert_true(usage_take(&calls, &a.callee->usage, "office", "1002", 1));
	move(a.callee, b.call);
	end(a.caller);
	tasks_run(calls.p.tasks);
	assert_false(usage_take(&calls, &second, "office", "1002", 1)); /* still on the phone */
	end(a.callee);
	assert_true(usage_take(&calls, &second, "office", "1002", 1));
	usage_give(&calls, second);
	end(b.caller);
	end(b.callee);
	tasks_run(calls.p.tasks);
}

/* ---- leg_replace ---- */

static void test_replace_caller_goes_on_with_the_new_one(void **state)
{
	struct pair a;
	struct leg *by;

	(void)state;
	talk(&a, "1001", "1002");
	by = answered_leg(a.call, false, "1005");
	assert_int_equal(leg_replace(a.caller, by), 0);
	assert_ptr_equal(a.call->caller_leg, by);
	assert_int_equal(a.call->nswaps, 1);
	assert_true(by->is_swapped);
	assert_null(a.callee->partner);
	end(a.caller);                           /* nobody's hang-up any more */
	tasks_run(calls.p.tasks);
	assert_false(a.call->is_hungup);
	assert_non_null(a.call->task);
	leg_bridge(by, a.callee);
	end(a.callee);
	tasks_run(calls.p.tasks);
	assert_null(a.call->task);
	end(by);
	assert_int_equal(nrecords, 1);
	assert_non_null(strstr(last_record, "\"leg\":3,\"role\":\"caller\""));
}

static void test_replace_callee_goes_on_with_the_new_one(void **state)
{
	struct pair a;
	struct leg *by;

	(void)state;
	talk(&a, "1001", "1002");
	by = answered_leg(a.call, true, "1005"); /* came as an INVITE */
	assert_int_equal(leg_replace(a.callee, by), 0);
	assert_ptr_equal(a.call->callee_leg, by);
	assert_int_equal(a.call->nswaps, 0);
	end(a.callee);
	tasks_run(calls.p.tasks);
	assert_non_null(a.call->task);
	end(by);
	tasks_run(calls.p.tasks);
	end(a.caller);
	assert_non_null(strstr(last_record, "\"leg\":3,\"role\":\"callee\""));
}

static void test_replace_leg_without_a_place_is_refused(void **state)
{
	struct pair a;
	struct leg *by, *stray;

	(void)state;
	talk(&a, "1001", "1002");
	by = answered_leg(a.call, false, "1005");
	stray = answered_leg(a.call, false, "1006");
	assert_int_equal(leg_replace(stray, by), -ENOENT);
	end(by);
	end(stray);
	end(a.callee);
	tasks_run(calls.p.tasks);
	end(a.caller);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_move_callee_leaves_a_record_and_the_caller),
		T(test_move_caller_ends_operations_as_a_hangup_does),
		T(test_move_there_and_back_leaves_a_record_of_each_stay),
		T(test_move_of_the_last_leg_ends_a_call_whose_task_is_over),
		T(test_move_takes_the_share_of_the_limit_along),
		T(test_replace_caller_goes_on_with_the_new_one),
		T(test_replace_callee_goes_on_with_the_new_one),
		T(test_replace_leg_without_a_place_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The live view: many legs in one statement, and never more memory or statements than that. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "call/call_int.h"

/* ---- the database ---- */

static bool is_away;
static unsigned nqueries, nforgets;
static char *rows;
static db_fn *answer_fn;
static void *answer_arg;

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	assert_string_equal(params[0].p, "here");
	if (n == 1) {
		assert_non_null(strstr(sql, "DELETE"));
		nforgets++;
		return 1;
	}
	assert_int_equal(n, 2);
	assert_null(rows);
	rows = strdup(params[1].p);
	answer_fn = fn;
	answer_arg = arg;
	return ++nqueries;
}

bool db_is_up(const struct db *db)
{
	(void)db;
	return !is_away;
}

static void answer(int err)
{
	const struct db_answer a = { .err = err };

	answer_fn(nqueries, &a, answer_arg);
}

/* The statement's rows, checked for being JSON. */
static json_t *take(void)
{
	json_t *doc;

	assert_non_null(rows);
	doc = json_loads(rows, 0, NULL);
	assert_non_null(doc);
	free(rows);
	rows = NULL;
	return doc;
}

/* ---- legs ---- */

void app_json_str(struct out *o, const char *s)
{
	out_chr(o, '"');
	out_z(o, s);
	out_chr(o, '"');
}

const char *leg_number(const struct leg *leg) { return leg->number; }

static struct calls calls;
static struct call call;

static int setup(void **state)
{
	(void)state;
	calls = (struct calls){ .p = { .timers = timers_new(0), .db = (struct db *)&calls, .node = "here" } };
	call = (struct call){ .calls = &calls, .id = "11111111-2222-4333-8444-555555555555", .domain = "office" };
	is_away = false;
	nqueries = nforgets = 0;
	live_start(&calls);
	assert_int_equal(nforgets, 1); /* what a former process left */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	live_stop(&calls);
	assert_int_equal(nforgets, 2);
	free(rows);
	rows = NULL;
	assert_int_equal(timers_count(calls.p.timers), 0);
	timers_free(calls.p.timers);
	return 0;
}

static struct leg leg_of(uint64_t id)
{
	struct leg leg = { .call = &call, .line_id = id, .id = (unsigned)id, .is_caller = true, .number = "1001", .peer = "1001", .answered_ms = 1700000000000 };
	struct sockaddr_in *a = (struct sockaddr_in *)&leg.stats.remote;

	leg.stats.packets_received = 250;
	leg.stats.codec = CODEC_G722;
	leg.stats.mos_now = 437;
	leg.stats.mos_min = 205;
	leg.stats.reason = LATCH_SIGNALLED;
	a->sin_family = AF_INET;
	a->sin_port = htons(4000);
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &a->sin_addr), 1);
	return leg;
}

static void pass(unsigned ms) { timers_run(calls.p.timers, timers_now(calls.p.timers) + ms); }

static void test_live_many_legs_are_one_statement(void **state)
{
	json_t *doc, *row;

	(void)state;
	for (unsigned i = 1; i <= 300; i++) {
		struct leg leg = leg_of(i);

		live_leg(&leg);
		assert_true(leg.is_live);
	}
	assert_int_equal(nqueries, 0);
	pass(600);
	assert_int_equal(nqueries, 1);
	doc = take();
	assert_int_equal(json_array_size(doc), 300);
	row = json_array_get(doc, 6);
	assert_int_equal(json_integer_value(json_object_get(row, "id")), 7);
	assert_string_equal(json_string_value(json_object_get(row, "call")), call.id);
	assert_string_equal(json_string_value(json_object_get(row, "codec")), "G722");
	assert_string_equal(json_string_value(json_object_get(row, "role")), "caller");
	assert_string_equal(json_string_value(json_object_get(row, "media_address")), "192.0.2.1:4000");
	assert_string_equal(json_string_value(json_object_get(row, "media_reason")), "signalled");
	assert_int_equal(json_integer_value(json_object_get(row, "packets_received")), 250);
	assert_true(json_number_value(json_object_get(row, "mos")) == 4.37);
	assert_true(json_number_value(json_object_get(row, "mos_min")) == 2.05);
	assert_null(json_object_get(row, "remote_mos")); /* unknown */
	assert_null(json_object_get(row, "signalled_address"));
	json_decref(doc);
	pass(10000);
	assert_int_equal(nqueries, 1); /* nothing new: nothing said */
}

static void test_live_end_is_told_of_those_seen(void **state)
{
	struct leg seen = leg_of(1), brief = leg_of(2);
	json_t *doc;

	(void)state;
	live_leg_gone(&brief); /* nobody ever saw it */
	pass(600);
	assert_int_equal(nqueries, 0);
	live_leg(&seen);
	live_leg_gone(&seen);
	live_leg_gone(&seen);
	pass(600);
	doc = take();
	assert_int_equal(json_array_size(doc), 2);
	assert_int_equal(json_object_size(json_array_get(doc, 1)), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(doc, 1), "id")), 1);
	json_decref(doc);
}

/* One statement at a time; what comes meanwhile waits, but not without end. */
static void test_live_slow_database_is_given_one_at_a_time(void **state)
{
	struct leg leg = leg_of(1);

	(void)state;
	live_leg(&leg);
	pass(600);
	assert_int_equal(nqueries, 1);
	json_decref(take());
	for (unsigned i = 0; i < 5000; i++)
		live_leg(&leg);
	pass(60000);
	assert_int_equal(nqueries, 1);
	answer(0);
	pass(600);
	assert_int_equal(nqueries, 2);
	{
		json_t *doc = take();

		assert_int_equal(json_array_size(doc), 2000);
		json_decref(doc);
	}
	answer(-ETIMEDOUT);
	live_leg(&leg);
	pass(600);
	assert_int_equal(nqueries, 3);
}

static void test_live_nothing_is_kept_for_a_database_that_is_away(void **state)
{
	struct leg leg = leg_of(1);
	json_t *doc;

	(void)state;
	is_away = true;
	for (unsigned i = 0; i < 10; i++) {
		live_leg(&leg);
		pass(5000);
	}
	assert_int_equal(nqueries, 0);
	is_away = false;
	live_leg(&leg);
	pass(600);
	doc = take();
	assert_int_equal(json_array_size(doc), 1);
	json_decref(doc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_live_many_legs_are_one_statement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_end_is_told_of_those_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_slow_database_is_given_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_nothing_is_kept_for_a_database_that_is_away, setup, teardown),
	};

	return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}

/* The live view: what has changed in one statement, as it is then, and all of it when nobody knows what is there. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

#include "call/call_int.h"

static struct calls calls;

/* ---- the database ---- */

static bool is_away;
static unsigned nqueries, nforgets;
static bool is_all;
static char *texts[4]; /* calls, legs, gone legs, gone calls */
static db_fn *answer_fn;
static void *answer_arg;
static const struct db_listen_handler *listener;

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	assert_string_equal(params[0].p, "here");
	if (n == 1) {
		assert_non_null(strstr(sql, "live_forget"));
		nforgets++;
		answer_fn = fn;
		answer_arg = arg;
		return 1;
	}
	assert_int_equal(n, 6);
	is_all = !strcmp(params[1].p, "true");
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		free(texts[i]);
		texts[i] = strdup(params[2 + i].p);
	}
	answer_fn = fn;
	answer_arg = arg;
	return ++nqueries;
}

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	(void)r;
	(void)row;
	(void)col;
	return STR("2026-01-02 03:04:05+00");
}

bool db_is_up(const struct db *db)
{
	(void)db;
	return !is_away;
}

int db_listen(struct db *db, const char *channel, const struct db_listen_handler *h, void *arg)
{
	(void)db;
	(void)channel;
	assert_ptr_equal(arg, &calls);
	listener = h;
	return 0;
}

void db_unlisten(struct db *db, void *arg)
{
	(void)db;
	(void)arg;
	listener = NULL;
}

static void answer(int err)
{
	const struct db_answer a = { .err = err };

	answer_fn(nqueries, &a, answer_arg);
}

enum text { CALLS, LEGS, GONE_LEGS, GONE_CALLS };

/* Rows of the last statement, checked for being JSON. */
static json_t *rows_of(enum text which)
{
	json_t *doc = json_loads(texts[which], 0, NULL);

	assert_true(json_is_array(doc));
	return doc;
}

static void assert_rows(unsigned ncalls, unsigned nlegs)
{
	json_t *c = rows_of(CALLS), *l = rows_of(LEGS);

	assert_int_equal(json_array_size(c), ncalls);
	assert_int_equal(json_array_size(l), nlegs);
	json_decref(c);
	json_decref(l);
}

/* ---- calls ---- */

const char *leg_number(const struct leg *leg) { return leg->number; }
int64_t call_now_ms(const struct call *c) { return (int64_t)timers_now(c->calls->p.timers); }

static struct call call;

static void call_begin(struct call *c, unsigned i)
{
	*c = (struct call){ .calls = &calls, .domain = "office", .number = "1002", .context = "office", .route = "_10XX", .caller = { .number = "1001" },
			    .started_ms = (int64_t)timers_now(calls.p.timers) };
	snprintf(c->id, sizeof(c->id), "11111111-2222-4333-8444-%012u", i);
}

static int setup(void **state)
{
	(void)state;
	calls = (struct calls){ .p = { .timers = timers_new(1000), .db = (struct db *)&calls, .node = "here" } };
	call_begin(&call, 1);
	is_away = false;
	nqueries = nforgets = 0;
	live_start(&calls);
	assert_int_equal(nforgets, 1); /* what a former process left */
	answer_fn(1, &(const struct db_answer){ .err = 0 }, answer_arg);
	timers_run(calls.p.timers, timers_now(calls.p.timers) + 200);
	assert_int_equal(nqueries, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	live_stop(&calls);
	assert_int_equal(nforgets, 2);
	assert_null(listener);
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		free(texts[i]);
		texts[i] = NULL;
	}
	assert_int_equal(timers_count(calls.p.timers), 0);
	timers_free(calls.p.timers);
	return 0;
}

static void pass(unsigned ms) { timers_run(calls.p.timers, timers_now(calls.p.timers) + ms); }

/* Ringing, of the call, whose only leg it is. */
static struct leg leg_of(struct call *c, uint64_t id)
{
	return (struct leg){ .call = c, .line_id = id, .id = 1, .is_caller = true, .state = LEG_RINGING, .number = "1001", .peer = "1001",
			     .session = (struct session *)c, .started_ms = c->started_ms, .ringing_ms = c->started_ms };
}

static void hear(struct leg *leg)
{
	struct sockaddr_in *a = (struct sockaddr_in *)&leg->stats.remote;

	leg->state = LEG_ANSWERED;
	leg->answered_ms = 1700000000000;
	leg->stats.packets_received = 250;
	leg->stats.codec = CODEC_G722;
	leg->stats.mos_now = 437;
	leg->stats.mos_min = 205;
	leg->stats.reason = LATCH_SIGNALLED;
	a->sin_family = AF_INET;
	a->sin_port = htons(4000);
	assert_int_equal(inet_pton(AF_INET, "192.0.2.1", &a->sin_addr), 1);
}

static const char *text_in(const json_t *row, const char *key) { return json_string_value(json_object_get(row, key)); }

static void test_live_call_is_written_within_a_quarter_of_a_second(void **state)
{
	struct leg leg = leg_of(&call, 7);
	json_t *doc, *row;

	(void)state;
	call.legs = &leg;
	live_call(&call);
	live_leg(&leg);
	assert_int_equal(nqueries, 0);
	pass(200);
	assert_int_equal(nqueries, 1);
	assert_false(is_all);
	doc = rows_of(CALLS);
	assert_int_equal(json_array_size(doc), 1);
	row = json_array_get(doc, 0);
	assert_string_equal(text_in(row, "call"), call.id);
	assert_string_equal(text_in(row, "dialled"), "1002");
	assert_string_equal(text_in(row, "route"), "_10XX");
	assert_true(json_is_null(json_object_get(row, "trunk")));
	json_decref(doc);
	doc = rows_of(LEGS);
	row = json_array_get(doc, 0);
	assert_int_equal(json_integer_value(json_object_get(row, "id")), 7);
	assert_string_equal(text_in(row, "state"), "ringing");
	assert_null(json_object_get(row, "packets_sent"));
	json_decref(doc);
	assert_string_equal(texts[GONE_LEGS], "{}");
	assert_string_equal(texts[GONE_CALLS], "{}");
	answer(0);
	pass(10000);
	assert_int_equal(nqueries, 1); /* nothing new: nothing said */
}

static void test_live_media_are_in_the_row_of_a_leg(void **state)
{
	struct leg leg = leg_of(&call, 7);
	json_t *doc, *row;

	(void)state;
	call.legs = &leg;
	hear(&leg);
	live_leg(&leg);
	pass(200);
	doc = rows_of(LEGS);
	row = json_array_get(doc, 0);
	assert_string_equal(text_in(row, "state"), "answered");
	assert_string_equal(text_in(row, "codec"), "G722");
	assert_string_equal(text_in(row, "role"), "caller");
	assert_string_equal(text_in(row, "media_address"), "192.0.2.1:4000");
	assert_string_equal(text_in(row, "media_reason"), "signalled");
	assert_int_equal(json_integer_value(json_object_get(row, "packets_received")), 250);
	assert_true(json_number_value(json_object_get(row, "mos")) == 4.37);
	assert_true(json_number_value(json_object_get(row, "mos_min")) == 2.05);
	assert_null(json_object_get(row, "remote_mos")); /* unknown */
	assert_null(json_object_get(row, "signalled_address"));
	json_decref(doc);
}

static void test_live_brief_call_is_never_written(void **state)
{
	struct leg leg = leg_of(&call, 1);

	(void)state;
	call.legs = &leg;
	live_leg(&leg);
	pass(60);
	live_leg_gone(&leg);
	live_call_gone(&call);
	pass(1000);
	assert_int_equal(nqueries, 0);
}

static void test_live_end_is_told_of_those_seen(void **state)
{
	struct leg leg = leg_of(&call, 12);

	(void)state;
	call.legs = &leg;
	live_leg(&leg);
	pass(200);
	answer(0);
	leg.state = LEG_ENDED;
	live_leg_gone(&leg);
	live_leg_gone(&leg);
	live_call_gone(&call);
	pass(200);
	assert_int_equal(nqueries, 2);
	assert_rows(0, 0);
	assert_string_equal(texts[GONE_LEGS], "{12}");
	assert_string_equal(texts[GONE_CALLS], "{11111111-2222-4333-8444-000000000001}");
	answer(0);
}

/* One statement at a time; what changes meanwhile is written once, as it is in the end. */
static void test_live_slow_database_is_given_one_at_a_time(void **state)
{
	struct leg leg = leg_of(&call, 1);
	json_t *doc;

	(void)state;
	call.legs = &leg;
	live_leg(&leg);
	pass(200);
	assert_int_equal(nqueries, 1);
	for (unsigned i = 0; i < 5000; i++) {
		leg.stats.packets_sent++;
		live_leg(&leg);
	}
	pass(60000);
	assert_int_equal(nqueries, 1);
	answer(0);
	pass(200);
	assert_int_equal(nqueries, 2);
	assert_rows(0, 1);
	doc = rows_of(LEGS);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(doc, 0), "packets_sent")), 5000);
	json_decref(doc);
}

static void test_live_many_are_more_than_one_statement(void **state)
{
	static struct call many[2500];
	static struct leg legs[2500];

	(void)state;
	for (unsigned i = 0; i < 2500; i++) {
		call_begin(&many[i], i);
		legs[i] = leg_of(&many[i], i);
		many[i].legs = &legs[i];
		live_leg(&legs[i]);
	}
	pass(200);
	assert_int_equal(nqueries, 1);
	assert_rows(2000, 2000);
	answer(0);
	pass(200);
	assert_int_equal(nqueries, 2);
	assert_rows(500, 500);
	answer(0);
	for (unsigned i = 0; i < 2500; i++)
		live_call_gone(&many[i]);
	pass(200);
	assert_int_equal(nqueries, 3);
}

/* After a failure, and when the database was away, nobody knows which rows there are. */
static void test_live_all_is_written_anew_when_rows_are_unknown(void **state)
{
	struct leg leg = leg_of(&call, 1);

	(void)state;
	call.legs = &leg;
	calls.live = &call;
	live_leg(&leg);
	pass(200);
	answer(-ENOTCONN);
	is_away = true;
	pass(5000);
	assert_int_equal(nqueries, 1);
	is_away = false;
	pass(1100);
	assert_int_equal(nqueries, 2);
	assert_true(is_all);
	assert_rows(1, 1);
	answer(0);
	listener->on_up(&calls); /* it had been away, though nobody asked for it */
	pass(200);
	assert_int_equal(nqueries, 3);
	assert_true(is_all);
	assert_rows(1, 1);
	answer(0);
	leg.stats.packets_sent = 1;
	live_leg(&leg);
	pass(200);
	assert_false(is_all);
	assert_rows(0, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_live_call_is_written_within_a_quarter_of_a_second, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_media_are_in_the_row_of_a_leg, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_brief_call_is_never_written, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_end_is_told_of_those_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_slow_database_is_given_one_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_many_are_more_than_one_statement, setup, teardown),
		cmocka_unit_test_setup_teardown(test_live_all_is_written_anew_when_rows_are_unknown, setup, teardown),
	};

	return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}

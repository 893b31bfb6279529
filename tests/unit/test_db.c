/* test_db.c - queries, their order, errors and ends, LISTEN, and a database that goes and comes back: against a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>

#include "db/db.h"
#include "pg_fixture.h"

struct ask {
	bool is_done;
	int err;
	char sqlstate[6], text[200];
	uint64_t id;
	unsigned order;          /* which answer it was */
};

struct bed {
	uv_loop_t loop;
	struct db *db;
	unsigned answers;        /* so far */
	bool is_returned;        /* the call that asks has come back */
	bool is_closed;
};

static struct bed bed;

static void open_db(unsigned nconns, uint32_t query_timeout_ms)
{
	bed = (struct bed){ .is_returned = true };
	uv_loop_init(&bed.loop);
	assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .log = pg_quiet(), .conninfo = pg.conninfo,
							       .nconns = nconns, .query_timeout_ms = query_timeout_ms }), 0);
}

static void close_db(void)
{
	db_close(bed.db, pg_set, &bed.is_closed);
	assert_false(bed.is_closed);
	pg_wait(&bed.loop, pg_is_set, &bed.is_closed);
	pg_loop_end(&bed.loop);
}

static void on_answer(uint64_t id, const struct db_answer *a, void *arg)
{
	struct ask *k = arg;

	assert_true(bed.is_returned);
	assert_false(k->is_done);
	k->is_done = true;
	k->id = id;
	k->order = ++bed.answers;
	k->err = a->err;
	assert_int_equal(a->rows != NULL, a->err == 0);
	snprintf(k->sqlstate, sizeof(k->sqlstate), "%s", a->sqlstate ? a->sqlstate : "");
	if (a->rows && db_rows_count(a->rows))
		snprintf(k->text, sizeof(k->text), "%.*s", STR_ARG(db_rows_get(a->rows, 0, 0)));
}

static uint64_t ask(struct ask *k, const char *sql)
{
	uint64_t id;

	*k = (struct ask){ 0 };
	bed.is_returned = false;
	id = db_query_once(bed.db, sql, 0, NULL, on_answer, k);
	bed.is_returned = true;
	return id;
}

static void ask_and_wait(struct ask *k, const char *sql)
{
	uint64_t id = ask(k, sql);

	assert_true(id != 0);
	pg_wait(&bed.loop, pg_is_set, &k->is_done);
	assert_true(k->id == id);
}

static bool is_up(void *arg)
{
	(void)arg;
	return db_is_up(bed.db);
}

static bool is_down(void *arg)
{
	return !is_up(arg);
}

/* ---- queries ---- */

struct row_check { bool is_done; };

static void on_values(uint64_t id, const struct db_answer *a, void *arg)
{
	static const unsigned char bytes[] = { 0, 1, '\'', '\\', 0xff, 0 };
	unsigned char *got;
	size_t len;

	(void)id;
	assert_int_equal(a->err, 0);
	assert_null(a->message);
	assert_int_equal(db_rows_count(a->rows), 1);
	assert_int_equal(db_rows_columns(a->rows), 5);
	assert_true(str_eqz(db_rows_get(a->rows, 0, 0), "it's; DROP \xc3\xa9"));
	assert_true(str_eqz(db_rows_get(a->rows, 0, 1), "42"));
	assert_null(db_rows_get(a->rows, 0, 2).p);
	got = db_rows_bytes(a->rows, 0, 3, &len);
	assert_int_equal(len, sizeof(bytes));
	assert_memory_equal(got, bytes, len);
	free(got);
	assert_null(db_rows_bytes(a->rows, 0, 2, &len));
	/* Empty is not NULL. */
	assert_non_null(db_rows_get(a->rows, 0, 4).p);
	assert_int_equal(db_rows_get(a->rows, 0, 4).n, 0);
	((struct row_check *)arg)->is_done = true;
}

static void test_db_query_binds_parameters(void **state)
{
	static const char sql[] = "SELECT $1::text, $2::int, $3::bytea, $4::bytea, $5::text";
	static const unsigned char bytes[] = { 0, 1, '\'', '\\', 0xff, 0 };
	char text[] = "it's; DROP \xc3\xa9";
	struct db_param params[] = { DB_TEXT(text), DB_TEXT("42"), DB_TEXT(NULL), DB_BYTES(bytes, sizeof(bytes)), DB_TEXT("") };
	struct row_check check = { false };

	(void)state;
	open_db(1, 0);
	for (int i = 0; i < 2; i++) {
		check.is_done = false;
		strcpy(text, "it's; DROP \xc3\xa9");
		assert_true((i ? db_query_once : db_query)(bed.db, sql, ARRAY_LEN(params), params, on_values, &check) != 0);
		memset(text, 'x', sizeof(text) - 1); /* it was copied */
		pg_wait(&bed.loop, pg_is_set, &check.is_done);
	}
	close_db();
}

/* ---- rows as they come ---- */

struct copied {
	bool is_done;
	unsigned n, stop_at;     /* stop_at: then what is to be done, once */
	void (*stop)(struct copied *k);
	uint64_t id;
	int err;
	char sqlstate[6];
};

static const char rows_sql[] = "SELECT n::text, NULL, CASE WHEN n % 2 = 0 THEN E'\\t\\\\N it''s; \xc3\xa9\\n' ELSE '' END"
	" FROM generate_series(0, 99999) AS n";

static void on_copied(uint64_t id, const struct db_answer *a, void *arg)
{
	struct copied *k = arg;
	char text[40];

	assert_true(id == k->id);
	assert_false(k->is_done);
	k->err = a->err;
	snprintf(k->sqlstate, sizeof(k->sqlstate), "%s", a->sqlstate ? a->sqlstate : "");
	k->is_done = a->err || !db_rows_count(a->rows);
	if (k->is_done)
		return;
	assert_int_equal(db_rows_count(a->rows), 1);
	assert_int_equal(db_rows_columns(a->rows), 3);
	snprintf(text, sizeof(text), "%u", k->n);
	assert_true(str_eqz(db_rows_get(a->rows, 0, 0), text));
	assert_null(db_rows_get(a->rows, 0, 1).p);
	snprintf(text, sizeof(text), "%s", k->n % 2 ? "" : "\t\\N it's; \xc3\xa9\n");
	assert_non_null(db_rows_get(a->rows, 0, 2).p);
	assert_true(str_eqz(db_rows_get(a->rows, 0, 2), text));
	if (++k->n == k->stop_at)
		k->stop(k);
}

static void count_turn(uv_check_t *turns)
{
	++*(unsigned *)turns->data;
}

static void test_db_copy_brings_rows_and_leaves_the_loop_its_turns(void **state)
{
	struct copied k = { false }, none = { false };
	unsigned nturns = 0;
	uv_check_t turns;
	struct ask after;

	(void)state;
	open_db(1, 0);
	uv_check_init(&bed.loop, &turns);
	turns.data = &nturns;
	uv_check_start(&turns, count_turn);
	k.id = db_copy(bed.db, rows_sql, on_copied, &k);
	none.id = db_copy(bed.db, "SELECT '', '', '' WHERE false", on_copied, &none);
	ask(&after, "SELECT 'after'");
	pg_wait(&bed.loop, pg_is_set, &after.is_done);
	assert_true(k.is_done && none.is_done);
	assert_int_equal(k.err, 0);
	assert_int_equal(none.err, 0);
	assert_int_equal(k.n, 100000);
	assert_int_equal(none.n, 0);
	assert_string_equal(after.text, "after");
	print_message("%u turns of the loop\n", nturns);
	assert_true(nturns > 5);
	uv_close((uv_handle_t *)&turns, NULL);
	close_db();
}

static void test_db_copy_error_comes_behind_the_rows(void **state)
{
	struct copied k = { false }, bad = { false };
	struct ask after;

	(void)state;
	open_db(1, 0);
	k.id = db_copy(bed.db, "SELECT n::text, NULL, repeat(E'\\t\\\\N it''s; \xc3\xa9\\n', (n + 1) % 2 + 0 / (700 - n)) FROM generate_series(0, 1000) AS n",
		       on_copied, &k);
	bad.id = db_copy(bed.db, "SELECT nonsense", on_copied, &bad);
	ask_and_wait(&after, "SELECT 'after'");
	assert_int_equal(k.err, -EINVAL);
	assert_string_equal(k.sqlstate, "22012");
	assert_in_range(k.n, 0, 700);
	assert_string_equal(bad.sqlstate, "42703");
	assert_int_equal(bad.n, 0);
	assert_string_equal(after.text, "after");
	close_db();
}

static void forget(struct copied *k)
{
	db_forget(bed.db, k->id);
}

static void close_inside(struct copied *k)
{
	(void)k;
	db_close(bed.db, pg_set, &bed.is_closed);
}

static void test_db_copy_can_be_forgotten(void **state)
{
	struct copied k = { .stop_at = 1000, .stop = forget };
	struct ask after;

	(void)state;
	open_db(1, 0);
	k.id = db_copy(bed.db, rows_sql, on_copied, &k);
	ask_and_wait(&after, "SELECT 'after'");
	assert_int_equal(k.n, 1000);
	assert_false(k.is_done);
	close_db();
}

static void test_db_copy_ends_with_the_database_closed_inside_a_row(void **state)
{
	struct copied k = { .stop_at = 1000, .stop = close_inside };

	(void)state;
	open_db(1, 0);
	k.id = db_copy(bed.db, rows_sql, on_copied, &k);
	pg_wait(&bed.loop, pg_is_set, &bed.is_closed);
	assert_int_equal(k.n, 1000);
	assert_true(k.is_done);
	assert_int_equal(k.err, -ECANCELED);
	pg_loop_end(&bed.loop);
}

static void on_large_row(uint64_t id, const struct db_answer *a, void *arg)
{
	struct copied *k = arg;

	(void)id;
	k->err = a->err;
	k->is_done = a->err || !db_rows_count(a->rows);
	if (!k->is_done)
		assert_int_equal(db_rows_get(a->rows, 0, 0).n, 9000);
	k->n += !k->is_done;
}

/* Longer than a query may take, as rows come all the time, large ones, which are sent at once; and when none come. */
static void test_db_copy_is_limited_from_row_to_row(void **state)
{
	struct copied slow = { false }, stuck = { false };

	(void)state;
	open_db(1, 400);
	slow.id = db_copy(bed.db, "SELECT repeat('x', 9000) || pg_sleep(0.1) FROM generate_series(1, 18)", on_large_row, &slow);
	pg_wait(&bed.loop, pg_is_set, &slow.is_done);
	assert_int_equal(slow.err, 0);
	assert_int_equal(slow.n, 18);
	stuck.id = db_copy(bed.db, "SELECT pg_sleep(60)::text, NULL, NULL", on_copied, &stuck);
	pg_wait(&bed.loop, pg_is_set, &stuck.is_done);
	assert_int_equal(stuck.err, -ETIMEDOUT);
	close_db();
}

static void on_affected(uint64_t id, const struct db_answer *a, void *arg)
{
	(void)id;
	assert_int_equal(a->err, 0);
	assert_int_equal(db_rows_count(a->rows), 0);
	assert_int_equal(db_rows_affected(a->rows), 3);
	pg_set(arg);
}

static void test_db_query_tells_rows_affected(void **state)
{
	bool is_done = false;

	(void)state;
	open_db(1, 0);
	db_query_once(bed.db, "CREATE TEMP TABLE t AS SELECT 1 FROM generate_series(1, 3)", 0, NULL, NULL, NULL);
	db_query(bed.db, "UPDATE t SET \"?column?\" = 2", 0, NULL, on_affected, &is_done);
	pg_wait(&bed.loop, pg_is_set, &is_done);
	close_db();
}

/* An error has its sqlstate, and the connection goes on. */
static void test_db_query_error_tells_sqlstate(void **state)
{
	static const struct { const char *sql, *sqlstate; } rows[] = {
		{ "SELEKT 1", "42601" },
		{ "SELECT 1/0", "22012" },
		{ "INSERT INTO pbx.context (domain, context) VALUES ('office', 'office')", "23505" },
		{ "SELECT 'x'::int", "22P02" },
		{ "SELECT 1; SELECT 1/0; SELECT 2", "22012" },
		{ "COPY pbx.domain TO STDOUT", "" },  /* not for here, and not the end of it */
		{ "COPY pbx.domain FROM STDIN", "" },
	};
	struct ask k;

	(void)state;
	open_db(1, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		ask_and_wait(&k, rows[i].sql);
		assert_int_equal(k.err, -EINVAL);
		assert_string_equal(k.sqlstate, rows[i].sqlstate);
		pg_wait(&bed.loop, is_up, NULL);
		ask_and_wait(&k, "SELECT 'fine'");
		assert_int_equal(k.err, 0);
		assert_string_equal(k.text, "fine");
	}
	close_db();
}

static void test_db_query_prepares_once(void **state)
{
	static const char sql[] = "SELECT count(*) FROM pg_prepared_statements WHERE $1 = 1";
	struct ask k;

	(void)state;
	open_db(1, 0);
	for (int i = 0; i < 3; i++) {
		k = (struct ask){ 0 };
		db_query(bed.db, sql, 1, &DB_TEXT("1"), on_answer, &k);
		pg_wait(&bed.loop, pg_is_set, &k.is_done);
		assert_string_equal(k.text, "1");
	}
	/* One that can't be prepared says so each time. */
	for (int i = 0; i < 2; i++) {
		k = (struct ask){ 0 };
		db_query(bed.db, "SELECT nothing_like_that", 0, NULL, on_answer, &k);
		pg_wait(&bed.loop, pg_is_set, &k.is_done);
		assert_int_equal(k.err, -EINVAL);
		assert_string_equal(k.sqlstate, "42703");
	}
	close_db();
}

static bool are_done(void *arg)
{
	const struct ask *k = arg;

	for (int i = 0; i < 300; i++)
		if (!k[i].is_done)
			return false;
	return true;
}

static void test_db_queries_at_once_are_all_answered_in_order(void **state)
{
	static struct ask asks[300];
	char sql[60];

	(void)state;
	for (unsigned nconns = 1; nconns <= 4; nconns += 3) {
		open_db(nconns, 0);
		for (unsigned i = 0; i < 300; i++) {
			snprintf(sql, sizeof(sql), "SELECT %u", i);
			assert_true(ask(&asks[i], sql) != 0);
		}
		pg_wait(&bed.loop, are_done, asks);
		for (unsigned i = 0; i < 300; i++) {
			assert_int_equal(asks[i].err, 0);
			assert_int_equal(atoi(asks[i].text), i);
			/* One connection: the order of the questions. Several: sent in that order, answered as they come. */
			if (nconns == 1)
				assert_int_equal(asks[i].order, i + 1);
		}
		close_db();
	}
}

/* Two that wait for each other can only both end when they run at the same time. */
static void test_db_queries_run_side_by_side(void **state)
{
	struct ask a, b;

	(void)state;
	open_db(2, 0);
#define SHOW_AND_SEE(mine, other)                                                                                          \
	"SELECT pg_advisory_lock(" mine "); DO $$BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks"                             \
	" WHERE locktype = 'advisory' AND objid = " other ") LOOP PERFORM pg_sleep(0.01); END LOOP; END$$; SELECT 'seen'"
	ask(&a, SHOW_AND_SEE("1", "2"));
	ask_and_wait(&b, SHOW_AND_SEE("2", "1"));
	pg_wait(&bed.loop, pg_is_set, &a.is_done);
	assert_string_equal(a.text, "seen");
	assert_string_equal(b.text, "seen");
	close_db();
#undef SHOW_AND_SEE
}

static void count_tick(uv_timer_t *timer)
{
	++*(unsigned *)timer->data;
}

/* Between the results of a text of several statements the loop goes on. */
static void test_db_query_never_blocks_the_loop(void **state)
{
	unsigned ticks = 0;
	uv_timer_t timer;
	struct ask k;

	(void)state;
	open_db(1, 0);
	pg_wait(&bed.loop, is_up, NULL);
	uv_timer_init(&bed.loop, &timer);
	timer.data = &ticks;
	uv_timer_start(&timer, count_tick, 5, 5);
	ask_and_wait(&k, "SELECT 1; SELECT pg_sleep(0.3); SELECT 'last'");
	assert_int_equal(k.err, 0);
	assert_string_equal(k.text, "last");
	assert_in_range(ticks, 5, 1000); /* of 60 */
	uv_close((uv_handle_t *)&timer, NULL);
	close_db();
}

static void on_large(uint64_t id, const struct db_answer *a, void *arg)
{
	struct str s;

	(void)id;
	assert_int_equal(a->err, 0);
	s = db_rows_get(a->rows, 0, 0);
	assert_int_equal(s.n, 2 + 2 * (6 << 20)); /* hex */
	assert_memory_equal(s.p + s.n - 4, "abab", 4);
	pg_set(arg);
}

static void test_db_query_takes_megabytes_both_ways(void **state)
{
	size_t n = 6 << 20;
	char *bytes = malloc(n);
	bool is_done = false;

	(void)state;
	open_db(1, 0);
	memset(bytes, 0xab, n);
	db_query(bed.db, "SELECT $1::bytea", 1, &DB_BYTES(bytes, n), on_large, &is_done);
	free(bytes);
	pg_wait(&bed.loop, pg_is_set, &is_done);
	close_db();
}

static void test_db_forget_drops_callback(void **state)
{
	struct ask gone, waiting, next;

	(void)state;
	open_db(1, 0);
	pg_wait(&bed.loop, is_up, NULL);
	ask(&gone, "SELECT pg_sleep(0.05)");
	db_forget(bed.db, ask(&waiting, "SELECT 2"));
	db_forget(bed.db, 1);
	ask_and_wait(&next, "SELECT 3");
	assert_false(gone.is_done);
	assert_false(waiting.is_done);
	db_forget(bed.db, 3); /* answered: nothing happens */
	close_db();
}

static void test_db_queue_is_bounded(void **state)
{
	struct ask k[4];

	(void)state;
	bed = (struct bed){ .is_returned = true };
	uv_loop_init(&bed.loop);
	assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .conninfo = pg.conninfo, .nconns = 1, .queue_max = 2 }), 0);
	pg_wait(&bed.loop, is_up, NULL);
	for (int i = 0; i < 3; i++) /* one under way, two waiting */
		assert_true(ask(&k[i], "SELECT 1") != 0);
	assert_true(ask(&k[3], "SELECT 1") == 0);
	pg_wait(&bed.loop, pg_is_set, &k[2].is_done);
	assert_false(k[3].is_done);
	ask_and_wait(&k[3], "SELECT 1");
	close_db();
}

static bool is_server_idle(void *arg)
{
	(void)arg;
	return pg_int("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(77)%' AND pid <> pg_backend_pid()") == 0;
}

static void test_db_query_timeout_is_told_and_ends_on_the_server_too(void **state)
{
	struct ask slow, next;

	(void)state;
	open_db(1, 100);
	ask_and_wait(&slow, "SELECT pg_sleep(77)");
	assert_int_equal(slow.err, -ETIMEDOUT);
	pg_wait(&bed.loop, is_up, NULL);
	ask_and_wait(&next, "SELECT 'next'");
	assert_string_equal(next.text, "next");
	pg_wait(&bed.loop, is_server_idle, NULL);
	close_db();
}

/* ---- LISTEN ---- */

struct ear { unsigned up, down, heard; char last[60]; };

static void on_ear_up(void *arg) { ((struct ear *)arg)->up++; }
static void on_ear_down(void *arg) { ((struct ear *)arg)->down++; }

static void on_ear_notify(const char *channel, const char *payload, void *arg)
{
	struct ear *e = arg;

	e->heard++;
	snprintf(e->last, sizeof(e->last), "%s:%s", channel, payload);
}

static const struct db_listen_handler ear_handler = { .on_up = on_ear_up, .on_notify = on_ear_notify, .on_down = on_ear_down };

static bool has_up(void *arg) { return ((struct ear *)arg)->up > 0; }
static bool has_up_again(void *arg) { return ((struct ear *)arg)->up > 1; }
static bool has_heard(void *arg) { return ((struct ear *)arg)->heard > 0; }

static void test_db_listen_hears_what_was_committed(void **state)
{
	struct ear one = { 0 }, two = { 0 };

	(void)state;
	open_db(1, 0);
	assert_int_equal(db_listen(bed.db, "one", &ear_handler, &one), 0);
	assert_int_equal(db_listen(bed.db, "Two", &ear_handler, &two), 0);
	pg_wait(&bed.loop, has_up, &one);
	pg_wait(&bed.loop, has_up, &two);
	pg_sql("BEGIN; NOTIFY one, 'never'; ROLLBACK");
	pg_sql("NOTIFY \"Two\", 'it''s'");
	pg_wait(&bed.loop, has_heard, &two);
	assert_string_equal(two.last, "Two:it's");
	assert_int_equal(one.heard, 0);
	pg_sql("NOTIFY one");
	pg_wait(&bed.loop, has_heard, &one);
	assert_string_equal(one.last, "one:");
	assert_int_equal(two.heard, 1);
	/* Who has gone hears nothing. */
	db_unlisten(bed.db, &two);
	one.heard = 0;
	pg_sql("NOTIFY \"Two\"; NOTIFY one");
	pg_wait(&bed.loop, has_heard, &one);
	assert_int_equal(two.heard, 1);
	close_db();
	assert_int_equal(one.down, 0);
}

static void test_db_listen_comes_back(void **state)
{
	struct ear one = { 0 };

	(void)state;
	open_db(1, 0);
	db_listen(bed.db, "one", &ear_handler, &one);
	pg_wait(&bed.loop, has_up, &one);
	pg_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'");
	pg_wait(&bed.loop, has_up_again, &one);
	assert_int_equal(one.down, 1);
	pg_sql("NOTIFY one, 'again'");
	pg_wait(&bed.loop, has_heard, &one);
	assert_string_equal(one.last, "one:again");
	close_db();
}

/* ---- away and back ---- */

static bool is_asleep(void *arg)
{
	(void)arg;
	return pg_int("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND state = 'active'") > 0;
}

static void test_db_lost_connection_answers_unknown(void **state)
{
	struct ask busy, waiting, next;

	(void)state;
	open_db(1, 0);
	pg_wait(&bed.loop, is_up, NULL);
	ask(&busy, "SELECT pg_sleep(60)");
	ask(&waiting, "SELECT 'waiting'");
	pg_wait(&bed.loop, is_asleep, NULL);
	pg_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'");
	pg_wait(&bed.loop, pg_is_set, &busy.is_done);
	assert_int_equal(busy.err, -ENOTCONN);
	pg_wait(&bed.loop, pg_is_set, &waiting.is_done);
	assert_int_equal(waiting.err, -ENOTCONN);
	pg_wait(&bed.loop, is_up, NULL);
	ask_and_wait(&next, "SELECT 'next'");
	assert_string_equal(next.text, "next");
	close_db();
}

/* With another connection up nothing else suffers. */
static void test_db_lost_connection_leaves_the_others(void **state)
{
	struct ask busy, other;

	(void)state;
	open_db(2, 0);
	do
		ask_and_wait(&busy, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cordboard'");
	while (strcmp(busy.text, "3") != 0);
	ask(&busy, "SELECT pg_sleep(60)");
	pg_wait(&bed.loop, is_asleep, NULL);
	ask_and_wait(&other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'");
	assert_int_equal(other.err, 0);
	pg_wait(&bed.loop, pg_is_set, &busy.is_done);
	assert_int_equal(busy.err, -ENOTCONN);
	assert_true(db_is_up(bed.db));
	ask_and_wait(&other, "SELECT 1");
	assert_int_equal(other.err, 0);
	close_db();
}

/* Asks again from its own answer, as a careless caller would. */
static void on_stubborn(uint64_t id, const struct db_answer *a, void *arg)
{
	unsigned *n = arg;

	(void)id;
	assert_int_equal(a->err, -ENOTCONN);
	if (++*n < 50)
		assert_true(db_query_once(bed.db, "SELECT 1", 0, NULL, on_stubborn, n) != 0);
}

static bool is_fifty(void *arg)
{
	return *(unsigned *)arg == 50;
}

static void test_db_away_answers_unknown_and_comes_back(void **state)
{
	struct ear one = { 0 };
	unsigned stubborn = 0;
	struct ask busy, k;

	(void)state;
	open_db(2, 0);
	db_listen(bed.db, "one", &ear_handler, &one);
	pg_wait(&bed.loop, has_up, &one);
	pg_wait(&bed.loop, is_up, NULL);
	ask(&busy, "SELECT pg_sleep(60)");
	pg_down();
	pg_wait(&bed.loop, pg_is_set, &busy.is_done);
	assert_int_equal(busy.err, -ENOTCONN);
	pg_wait(&bed.loop, is_down, NULL);
	ask_and_wait(&k, "SELECT 1");
	assert_int_equal(k.err, -ENOTCONN);
	db_query_once(bed.db, "SELECT 1", 0, NULL, on_stubborn, &stubborn);
	pg_wait(&bed.loop, is_fifty, &stubborn);
	assert_int_equal(one.down, 1);
	pg_up();
	pg_wait(&bed.loop, is_up, NULL);
	ask_and_wait(&k, "SELECT 'back'");
	assert_string_equal(k.text, "back");
	pg_wait(&bed.loop, has_up_again, &one);
	close_db();
}

/* After a fail-over: who has become a standby takes no changes. */
static void test_db_read_only_server_is_left(void **state)
{
	static const char sql[] = "UPDATE pbx.domain SET display_name = 'x' WHERE false";
	struct ask k;

	(void)state;
	pg_sql("ALTER ROLE cordboard SET default_transaction_read_only = on");
	open_db(1, 0);
	ask_and_wait(&k, sql);
	assert_int_equal(k.err, -ENOTCONN);
	pg_sql("SET default_transaction_read_only = off; ALTER ROLE cordboard RESET default_transaction_read_only");
	pg_wait(&bed.loop, is_up, NULL);
	ask_and_wait(&k, sql);
	if (k.err) { /* connected before the role was changed back */
		pg_wait(&bed.loop, is_up, NULL);
		ask_and_wait(&k, sql);
	}
	assert_int_equal(k.err, 0);
	close_db();
}

/* A migration while we run: the statement works again, on a new connection. */
static void test_db_prepared_statement_survives_a_migration(void **state)
{
	static const char sql[] = "SELECT v FROM pbx.migrated";
	struct ask k;

	(void)state;
	pg_sql("CREATE TABLE pbx.migrated (v integer); INSERT INTO pbx.migrated VALUES (1)");
	open_db(1, 0);
	for (int i = 0; i < 3; i++) {
		k = (struct ask){ 0 };
		pg_wait(&bed.loop, is_up, NULL);
		db_query(bed.db, sql, 0, NULL, on_answer, &k);
		pg_wait(&bed.loop, pg_is_set, &k.is_done);
		assert_int_equal(k.err, i == 1 ? -ENOTCONN : 0);
		if (i == 0)
			pg_sql("ALTER TABLE pbx.migrated ALTER v TYPE text USING 'text'");
	}
	assert_string_equal(k.text, "text");
	pg_sql("DROP TABLE pbx.migrated");
	close_db();
}

/* A server that is started a moment before its database is no outage. */
static void test_db_start_waits_for_the_first_connection(void **state)
{
	struct ask early;

	(void)state;
	pg_down();
	open_db(1, 0);
	ask(&early, "SELECT 'early'");
	for (int i = 0; i < 20; i++)
		uv_run(&bed.loop, UV_RUN_NOWAIT);
	assert_false(early.is_done);
	pg_up();
	pg_wait(&bed.loop, pg_is_set, &early.is_done);
	assert_string_equal(early.text, "early");
	close_db();
}

static void test_db_start_gives_up_in_time(void **state)
{
	struct ask early, later;

	(void)state;
	pg_down();
	open_db(1, 0);
	ask_and_wait(&early, "SELECT 1");
	assert_int_equal(early.err, -ENOTCONN);
	ask_and_wait(&later, "SELECT 1");
	assert_int_equal(later.err, -ENOTCONN);
	close_db();
	pg_up();
}

static void test_db_new_refuses_bad_conninfo(void **state)
{
	static const char *const rows[] = { "host", "nosuchkey=1", "postgres://[::1", "host='x" };
	uv_loop_t loop;

	(void)state;
	uv_loop_init(&loop);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &loop, .conninfo = rows[i] }), -EINVAL);
	pg_loop_end(&loop);
}

static void test_db_new_takes_uri(void **state)
{
	char uri[400], host[200];
	struct ask k;

	(void)state;
	assert_int_equal(sscanf(pg.conninfo, "host=%199s", host), 1);
	snprintf(uri, sizeof(uri), "postgresql://cordboard@/cordboard?host=%s&application_name=by_uri", host);
	bed = (struct bed){ .is_returned = true };
	uv_loop_init(&bed.loop);
	assert_int_equal(db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .log = pg_quiet(), .conninfo = uri }), 0);
	ask_and_wait(&k, "SELECT current_setting('application_name') || ' ' || current_setting('statement_timeout')");
	assert_string_equal(k.text, "by_uri 11s");
	close_db();
}

/* ---- the end ---- */

/* Whoever waits is told, those under way and those in line, before it is over; the forgotten are not. */
static void test_db_close_cancels_what_waits(void **state)
{
	struct ask asks[5], gone;

	(void)state;
	open_db(2, 0);
	pg_wait(&bed.loop, is_up, NULL);
	for (size_t i = 0; i < ARRAY_LEN(asks); i++)
		ask(&asks[i], "SELECT pg_sleep(60)");
	db_forget(bed.db, ask(&gone, "SELECT 1"));
	bed.is_returned = false;
	db_close(bed.db, pg_set, &bed.is_closed);
	bed.is_returned = true;
	assert_true(ask(&gone, "SELECT 1") == 0);
	db_forget(bed.db, 5); /* while it closes */
	pg_wait(&bed.loop, pg_is_set, &bed.is_closed);
	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		assert_int_equal(asks[i].is_done, i != 4);
		assert_int_equal(asks[i].err, i == 4 ? 0 : -ECANCELED);
	}
	assert_false(gone.is_done);
	pg_loop_end(&bed.loop);
}

static void test_db_close_while_connecting(void **state)
{
	struct ask k;

	(void)state;
	open_db(3, 0);
	ask(&k, "SELECT 1");
	close_db();
	assert_true(k.is_done);
	assert_int_equal(k.err, -ECANCELED);
}

/* The server doesn't answer who connects: it ends when the connection's time is over. */
static void test_db_close_while_the_server_hangs(void **state)
{
	struct ask k;
	pid_t server;

	(void)state;
	server = pg_server();
	kill(server, SIGSTOP);
	bed = (struct bed){ .is_returned = true };
	uv_loop_init(&bed.loop);
	db_new(&bed.db, &(struct db_params){ .loop = &bed.loop, .conninfo = pg.conninfo, .nconns = 2, .connect_timeout_s = 2 });
	ask(&k, "SELECT 1");
	for (int i = 0; i < 10; i++)
		uv_run(&bed.loop, UV_RUN_NOWAIT);
	db_close(bed.db, pg_set, &bed.is_closed);
	pg_wait(&bed.loop, pg_is_set, &bed.is_closed);
	kill(server, SIGCONT);
	assert_int_equal(k.err, -ECANCELED);
	pg_loop_end(&bed.loop);
}

static void on_answer_close(uint64_t id, const struct db_answer *a, void *arg)
{
	(void)id;
	(void)a;
	db_close(bed.db, pg_set, arg);
}

static void test_db_close_inside_a_callback(void **state)
{
	struct ask next;

	(void)state;
	for (int i = 0; i < 2; i++) {
		open_db(1, 0);
		/* A good answer and a lost connection. */
		db_query_once(bed.db, i ? "SELECT pg_terminate_backend(pg_backend_pid())" : "SELECT 1", 0, NULL, on_answer_close,
			      &bed.is_closed);
		ask(&next, "SELECT 2");
		pg_wait(&bed.loop, pg_is_set, &bed.is_closed);
		assert_int_equal(next.err, -ECANCELED);
		pg_loop_end(&bed.loop);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_db_copy_brings_rows_and_leaves_the_loop_its_turns), cmocka_unit_test(test_db_copy_error_comes_behind_the_rows),
		cmocka_unit_test(test_db_copy_can_be_forgotten), cmocka_unit_test(test_db_copy_ends_with_the_database_closed_inside_a_row),
		cmocka_unit_test(test_db_copy_is_limited_from_row_to_row),
		cmocka_unit_test(test_db_query_binds_parameters), cmocka_unit_test(test_db_query_tells_rows_affected),
		cmocka_unit_test(test_db_query_error_tells_sqlstate), cmocka_unit_test(test_db_query_prepares_once),
		cmocka_unit_test(test_db_queries_at_once_are_all_answered_in_order), cmocka_unit_test(test_db_queries_run_side_by_side),
		cmocka_unit_test(test_db_query_never_blocks_the_loop), cmocka_unit_test(test_db_query_takes_megabytes_both_ways),
		cmocka_unit_test(test_db_forget_drops_callback), cmocka_unit_test(test_db_queue_is_bounded),
		cmocka_unit_test(test_db_query_timeout_is_told_and_ends_on_the_server_too),
		cmocka_unit_test(test_db_listen_hears_what_was_committed), cmocka_unit_test(test_db_listen_comes_back),
		cmocka_unit_test(test_db_lost_connection_answers_unknown), cmocka_unit_test(test_db_lost_connection_leaves_the_others),
		cmocka_unit_test(test_db_away_answers_unknown_and_comes_back),
		cmocka_unit_test(test_db_read_only_server_is_left), cmocka_unit_test(test_db_prepared_statement_survives_a_migration),
		cmocka_unit_test(test_db_start_waits_for_the_first_connection), cmocka_unit_test(test_db_start_gives_up_in_time),
		cmocka_unit_test(test_db_new_refuses_bad_conninfo), cmocka_unit_test(test_db_new_takes_uri),
		cmocka_unit_test(test_db_close_cancels_what_waits), cmocka_unit_test(test_db_close_while_connecting),
		cmocka_unit_test(test_db_close_while_the_server_hangs),
		cmocka_unit_test(test_db_close_inside_a_callback),
	};

	return cmocka_run_group_tests_name("db", tests, pg_group_start, pg_group_stop);
}

/* test_message_store.c - messages that wait: when they are asked for, sent and taken away, with time that a test moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "presence/message_int.h"

#define MINUTE_MS 60000

/* ---- the seams: a table of messages for 1001, and a phone ---- */

struct db_rows { int n; const char *id; };
static const char *stored;                  /* id of the first message; NULL: none */
static bool is_registered;
static db_fn *query_fn;
static void *query_arg;
static char query_sql[400], query_after[24];
static uint64_t pending, nqueries;
static void (*registered_fn)(const char *domain, const char *number, void *arg);
static void *registered_arg;
static struct directory_watcher *watcher;
static void (*sent_fn)(int status, void *arg);
static void *sent_arg;
static unsigned nsent;

bool db_is_up(const struct db *db)
{
	(void)db;
	return true;
}

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	assert_false(pending);
	str_put(query_sql, sizeof(query_sql), sql);
	str_put(query_after, sizeof(query_after), n == 3 ? params[2].p : "");
	query_fn = fn;
	query_arg = arg;
	return pending = ++nqueries;
}

void db_forget(struct db *db, uint64_t id)
{
	(void)db;
	assert_int_equal(id, pending);
	pending = 0;
}

int db_rows_count(const struct db_rows *r)
{
	return r->n;
}

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	static const char *const cells[] = { NULL, "1002", "Bob", "text/plain", "hello", "1700000000" };

	assert_int_equal(row, 0);
	if (strstr(query_sql, "DISTINCT"))
		return str_from(col ? "1001" : "office");
	return str_from(col ? cells[col] : r->id);
}

unsigned char *db_rows_bytes(const struct db_rows *r, int row, int col, size_t *len)
{
	struct str s = db_rows_get(r, row, col);

	*len = s.n;
	return (unsigned char *)str_dup(s);
}

struct registrar_reach registrar_reach(struct registrar *r, const char *domain, struct str number)
{
	static const struct binding b;

	(void)r;
	(void)domain;
	return (struct registrar_reach){ .b = is_registered && str_eqz(number, "1001") ? &b : NULL };
}

void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	(void)r;
	registered_fn = fn;
	registered_arg = arg;
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	(void)d;
	watcher = w;
}

int delivery_start(struct messages *ms, const char *domain, const char *number, const struct text *t,
		   void (*done)(int status, void *arg), void *arg)
{
	(void)ms;
	assert_string_equal(domain, "office");
	assert_string_equal(number, "1001");
	assert_string_equal(t->sender, "1002");
	assert_true(str_eqz(t->body, "hello"));
	assert_true(str_eqz(t->hdrs, "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n"));
	sent_fn = done;
	sent_arg = arg;
	nsent++;
	return 0;
}

void deliveries_forget(struct messages *ms, const void *arg)
{
	(void)ms;
	(void)arg;
}

/* ---- helpers ---- */

static struct messages ms;

static void answer(int err)
{
	struct db_rows rows = { 0 };
	struct db_answer a = { .err = err, .rows = err ? NULL : &rows };
	uint64_t id = pending;

	assert_true(pending);
	pending = 0;
	if (strstr(query_sql, "DELETE"))
		stored = NULL;
	else if (strstr(query_sql, "DISTINCT"))
		rows.n = stored != NULL;
	else
		rows.n = stored && atoll(stored) > atoll(query_after);
	rows.id = stored;
	query_fn(id, &a, query_arg);
}

static void phone_says(int status)
{
	void (*fn)(int, void *) = sent_fn;

	assert_non_null(fn);
	sent_fn = NULL;
	fn(status, sent_arg);
}

static void pass(uint64_t ms_passed)
{
	timers_run(ms.p.timers, timers_now(ms.p.timers) + ms_passed);
}

static int setup(void **state)
{
	(void)state;
	ms = (struct messages){ .p.timers = timers_new(0) };
	stored = "17";
	is_registered = true;
	pending = nsent = 0;
	sent_fn = NULL;
	message_store_start(&ms);
	answer(0); /* 1001 has messages */
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	message_store_stop(&ms);
	message_store_free(&ms);
	assert_int_equal(timers_count(ms.p.timers), 0);
	timers_free(ms.p.timers);
	return 0;
}

/* ---- tests ---- */

static void test_message_store_delivered_goes(void **state)
{
	(void)state;
	answer(0);
	phone_says(200);
	assert_non_null(strstr(query_sql, "DELETE"));
	answer(0);
	answer(0); /* no more */
	assert_null(stored);
	assert_int_equal(nsent, 1);
	pass(24 * 60 * MINUTE_MS);
	assert_false(pending);
}

/* A phone that lost its power and came back where it was registered only refreshes: nobody tells. */
static void test_message_store_silent_phone_is_tried_again(void **state)
{
	(void)state;
	answer(0);
	phone_says(480);
	assert_false(pending);
	pass(MINUTE_MS - 1000);
	assert_false(pending);
	pass(2000);
	assert_true(pending);
	answer(0);
	assert_int_equal(nsent, 2); /* the same one */
	phone_says(480);
	pass(MINUTE_MS + 1000);
	assert_false(pending); /* twice as long */
	pass(MINUTE_MS);
	answer(0);
	phone_says(200);
	answer(0);
	assert_null(stored);
}

static void test_message_store_refused_isnt_tried_again(void **state)
{
	(void)state;
	answer(0);
	phone_says(415);
	answer(0);
	assert_int_equal(nsent, 1);
	pass(24 * 60 * MINUTE_MS);
	assert_false(pending);
	registered_fn("office", "1001", registered_arg);
	answer(0);
	assert_int_equal(nsent, 2);
	phone_says(415);
	answer(0);
}

static void test_message_store_lost_query_is_asked_again(void **state)
{
	(void)state;
	answer(-ENOTCONN);
	assert_false(pending);
	pass(MINUTE_MS + 1000);
	answer(0);
	assert_int_equal(nsent, 1);
}

/* Half an hour at most, and nothing at all while no phone is there. */
static void test_message_store_retries_get_rare(void **state)
{
	(void)state;
	answer(0);
	for (unsigned i = 0; i < 8; i++) {
		phone_says(480);
		pass(33 * MINUTE_MS);
		answer(0);
	}
	phone_says(480);
	pass(31 * MINUTE_MS);
	assert_false(pending);
	is_registered = false;
	pass(24 * 60 * MINUTE_MS);
	assert_false(pending);
	is_registered = true;
	registered_fn("office", "1001", registered_arg);
	answer(0);
	assert_int_equal(nsent, 10);
	phone_says(480);
	pass(MINUTE_MS + 1000); /* from the beginning */
	assert_true(pending);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_message_store_delivered_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message_store_silent_phone_is_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message_store_refused_isnt_tried_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message_store_lost_query_is_asked_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_message_store_retries_get_rare, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_mwi.c - message-summary: who may subscribe, and when it is told what (RFC 3842, RFC 6665). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "presence/mwi.h"
#include "presence/phones.h"
#include "fake_directory.h"
#include "fake_strans.h"
#include "fake_subscription.h"

/* ---- the seams ---- */

static const struct binding *registered;
static void (*registered_fn)(const char *domain, const char *number, void *arg);
static void *registered_arg;
static unsigned npushed;
static char pushed[512];

const struct binding *registrar_find(struct registrar *r, const char *domain, struct str number)
{
	(void)r;
	(void)domain;
	return str_eqz(number, "1001") ? registered : NULL;
}

void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	(void)r;
	registered_fn = fn;
	registered_arg = arg;
}

int phones_ask(struct phones *ps, const char *domain, const char *number, const struct phones_request *r,
	       void (*fn)(int status, void *arg), void *arg)
{
	(void)ps;
	(void)arg;
	assert_null(fn);
	assert_string_equal(r->method, "NOTIFY");
	assert_string_equal(domain, "office");
	npushed++;
	snprintf(pushed, sizeof(pushed), "%s|%.*s", number, STR_ARG(r->body));
	return 1;
}

struct db_rows { int n; const char *fresh, *saved; };
static bool is_db_up;
static db_fn *count_fn;
static void *count_arg;
static unsigned nqueries;
static uint64_t pending, forgotten;

bool db_is_up(const struct db *db)
{
	(void)db;
	return is_db_up;
}

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	(void)db;
	assert_int_equal(n, 2);
	assert_non_null(strstr(sql, "pbx.voicemail_count"));
	assert_string_equal(params[0].p, "office");
	assert_true(is_db_up);
	count_fn = fn;
	count_arg = arg;
	pending = ++nqueries;
	return pending;
}

void db_forget(struct db *db, uint64_t id)
{
	(void)db;
	forgotten = id;
	pending = 0;
}

int db_rows_count(const struct db_rows *r)
{
	return r->n;
}

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	assert_int_equal(row, 0);
	return str_from(col ? r->saved : r->fresh);
}

static void answer(const char *fresh, const char *saved)
{
	struct db_rows rows = { fresh != NULL, fresh, saved };
	struct db_answer a = { .rows = &rows };
	uint64_t id = pending;

	assert_true(pending);
	pending = 0;
	count_fn(id, &a, count_arg);
}

static void fail_query(int err)
{
	struct db_answer a = { .err = err, .message = "refused" };
	uint64_t id = pending;

	assert_true(pending);
	pending = 0;
	count_fn(id, &a, count_arg);
}

/* ---- helpers ---- */

static struct directory directory;
static struct timers *timers;
static struct events *events;
static struct mwi *mwi;

static int setup(void **state)
{
	struct mwi_params p = { .directory = &directory };
	struct events_params ep = { .directory = &directory, .clock = &clock_system };

	(void)state;
	fake_directory_init(&directory);
	timers = timers_new(0);
	p.timers = timers;
	fake_subscriptions_reset();
	nqueries = npushed = 0;
	registered = NULL;
	fake_extensions[0].mwi_unsolicited = false;
	fake_extensions[0].has_mailbox = true;
	pending = 0;
	is_db_up = true;
	ep.timers = timers;
	assert_int_equal(events_new(&events, &ep), 0);
	p.events = events;
	assert_int_equal(mwi_new(&mwi, &p), 0);
	events_start(events);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	events_stop(events);
	mwi_stop(mwi);
	assert_int_equal(timers_count(timers), 0);
	events_free(events);
	mwi_free(mwi);
	timers_free(timers);
	return 0;
}

static int subscribe(struct strans *st, const char *user, const char *box, const char *lines)
{
	char text[2048];

	snprintf(text, sizeof(text),
		 "SUBSCRIBE sip:%s%soffice SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5062;branch=z9hG4bKx\r\nFrom: <sip:%s@office>;tag=1\r\n"
		 "To: <sip:%s@pbx.example>\r\nCall-ID: c\r\nCSeq: 1 SUBSCRIBE\r\nContact: <sip:x@192.0.2.10>\r\n%sContent-Length: 0\r\n\r\n",
		 box, box[0] ? "@" : "", user, user, lines);
	return fake_request(st, text);
}

#define MWI "Event: message-summary\r\n"

static void change(const char *table, const char *key)
{
	fake_directory_tell(&directory, table, key);
}

/* ---- tests ---- */

static void test_mwi_subscribe_is_checked(void **state)
{
	static const struct { const char *user, *box, *lines; int status; uint32_t expires_s; const char *hdrs; } rows[] = {
		{ "1001", "1001", MWI, 200, 3600, "" },
		{ "1001", "", MWI, 200, 3600, "" },
		{ "bob", "1002", MWI, 200, 3600, "" },
		{ "bob", "bob", MWI, 200, 3600, "" },
		{ "1001", "1001", MWI "Expires: 120\r\n", 200, 120, "" },
		{ "1001", "1001", MWI "Expires: 86400\r\n", 200, 3600, "" },
		{ "1001", "1001", MWI "Expires: 0\r\n", 200, 0, "" },
		{ "1001", "1001", "o: message-summary;id=4\r\n", 200, 3600, "" },
		{ "1001", "1001", MWI "Accept: text/plain, application/simple-message-summary;q=0.5\r\n", 200, 3600, "" },
		{ "1001", "1001", MWI "Accept: */*\r\n", 200, 3600, "" },
		{ "1001", "1001", MWI "Accept: text/*, Application/*;q=0.2\r\n", 200, 3600, "" },
		{ "1001", "1001", MWI "Accept: text/*\r\n", 406, 0, "Accept: application/simple-message-summary\r\n" },
		{ "1001", "1001", MWI "Accept: application/*;q=0, text/plain\r\n", 406, 0, "Accept: application/simple-message-summary\r\n" },
		{ "1001", "1001", MWI "Accept: application/\r\n", 406, 0, "Accept: application/simple-message-summary\r\n" },
		{ "1001", "1001", MWI "Expires: 59\r\n", 423, 0, "Min-Expires: 60\r\n" },
		{ "1001", "1001", MWI "Expires: x\r\n", 400, 0, "" },
		{ "1001", "1001", MWI "Accept: text/plain\r\n", 406, 0, "Accept: application/simple-message-summary\r\n" },
		{ "1001", "1001", "", 489, 0, "Allow-Events: message-summary\r\n" },
		{ "1001", "1001", "Event: presence\r\n", 489, 0, "Allow-Events: message-summary\r\n" },
		{ "1001", "1002", MWI, 403, 0, "" },
		{ "trunk", "1001", MWI, 403, 0, "" },
		{ "trunk", "", MWI, 403, 0, "" },
		{ "stranger", "1001", MWI, 401, 0, "" },
		{ "1009", "1009", MWI, 404, 0, "" }, /* no mailbox */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct strans st;
		unsigned before = nsubs;

		if (subscribe(&st, rows[i].user, rows[i].box, rows[i].lines) != rows[i].status || strcmp(st.hdrs, rows[i].hdrs) ||
		    nsubs - before != (rows[i].status == 200) || (nsubs > before && subs[before].expires_s != rows[i].expires_s))
			fail_msg("row %zu: %d %s", i, st.status, st.hdrs);
	}
}

static void test_mwi_subscribe_fails_cleanly(void **state)
{
	struct strans st;

	(void)state;
	directory.is_unknown = true;
	assert_int_equal(subscribe(&st, "1001", "1001", MWI), 503);
	directory.is_unknown = false;
	accept_err = -ENOMEM;
	assert_int_equal(subscribe(&st, "1001", "1001", MWI), 500);
	assert_int_equal(events_count(events), 0);
	accept_err = 0;
	for (int i = 0; i < 32; i++)
		assert_int_equal(subscribe(&st, "1001", "1001", MWI), 200);
	assert_int_equal(subscribe(&st, "1001", "1001", MWI), 503);
	assert_int_equal(subscribe(&st, "bob", "1002", MWI), 200);
	assert_int_equal(events_count(events), 33);
}

static void test_mwi_notify_tells_counts(void **state)
{
	struct strans st;

	(void)state;
	subscribe(&st, "1001", "1001", MWI);
	assert_int_equal(nqueries, 1);
	assert_int_equal(subs[0].notified, 0);
	answer("2", "8");
	assert_int_equal(subs[0].notified, 1);
	assert_string_equal(subs[0].ctype, "application/simple-message-summary");
	assert_string_equal(subs[0].body, "Messages-Waiting: yes\r\nMessage-Account: sip:1001@pbx.example\r\nVoice-Message: 2/8 (0/0)\r\n");
	/* The second one is told at once what is known, as is a refresh */
	subscribe(&st, "1001", "1001", MWI);
	assert_int_equal(nqueries, 1);
	assert_int_equal(subs[1].notified, 1);
	subs[0].h->on_refresh(&subs[0], 3600, subs[0].arg);
	assert_int_equal(subs[0].notified, 2);
	/* A change reaches both, and only if it is one */
	change("voicemail", "office/1001");
	assert_int_equal(nqueries, 2);
	answer("0", "8");
	assert_int_equal(subs[0].notified, 3);
	assert_int_equal(subs[1].notified, 2);
	assert_string_equal(subs[1].body, "Messages-Waiting: no\r\nMessage-Account: sip:1001@pbx.example\r\nVoice-Message: 0/8 (0/0)\r\n");
	change("voicemail", "office/1001");
	answer("0", "8");
	assert_int_equal(subs[0].notified, 3);
	/* What concerns others, doesn't */
	change("voicemail", "office/1002");
	change("extension", "office/1001");
	assert_int_equal(nqueries, 3);
	/* Mailbox gone: no row */
	change("voicemail", "office/1001");
	answer(NULL, NULL);
	assert_non_null(strstr(subs[0].body, "Voice-Message: 0/0 (0/0)\r\n"));
}

static void test_mwi_change_while_asking_asks_again(void **state)
{
	struct strans st;

	(void)state;
	subscribe(&st, "1001", "1001", MWI);
	change("voicemail", "office/1001");
	change("voicemail", "office/1001");
	assert_int_equal(nqueries, 1);
	answer("1", "0"); /* perhaps from before the change */
	assert_int_equal(nqueries, 2);
	assert_int_equal(subs[0].notified, 0);
	answer("2", "0");
	assert_int_equal(nqueries, 2);
	assert_int_equal(subs[0].notified, 1);
	assert_non_null(strstr(subs[0].body, "Voice-Message: 2/0"));
	/* All is read anew after a reload */
	change("*", "");
	assert_int_equal(nqueries, 3);
	answer("2", "0");
	assert_int_equal(subs[0].notified, 1);
}

static void test_mwi_database_away(void **state)
{
	struct strans st;

	(void)state;
	is_db_up = false;
	/* Nothing known: a NOTIFY all the same, without a state (RFC 6665 §4.2.2) */
	subscribe(&st, "1001", "1001", MWI);
	assert_int_equal(subs[0].notified, 1);
	assert_string_equal(subs[0].body, "");
	timers_run(timers, 4999);
	assert_int_equal(nqueries, 0);
	is_db_up = true;
	timers_run(timers, 5000);
	assert_int_equal(nqueries, 1);
	fail_query(-ENOTCONN);
	assert_int_equal(subs[0].notified, 1);
	timers_run(timers, 10000);
	assert_int_equal(nqueries, 2);
	answer("3", "1");
	assert_int_equal(subs[0].notified, 2);
	assert_non_null(strstr(subs[0].body, "Voice-Message: 3/1"));
	/* Away again: the last known counts, though they may be stale */
	is_db_up = false;
	change("voicemail", "office/1001");
	subscribe(&st, "1001", "1001", MWI);
	assert_int_equal(subs[1].notified, 1);
	assert_non_null(strstr(subs[1].body, "Voice-Message: 3/1"));
	assert_int_equal(subs[0].notified, 2);
	is_db_up = true;
	timers_run(timers, 15000);
	answer("4", "1");
	assert_int_equal(subs[0].notified, 3);
	assert_int_equal(subs[1].notified, 2);
}

/* Changes that nobody watched are known to the next one who does; counts outlive their watchers. */
static void test_mwi_counts_outlive_watchers(void **state)
{
	struct strans st;

	(void)state;
	subscribe(&st, "1001", "1001", MWI);
	answer("1", "0");
	subs[0].h->on_closed(&subs[0], subs[0].arg);
	assert_int_equal(events_count(events), 0);
	subscribe(&st, "1001", "1001", MWI);
	assert_int_equal(nqueries, 1);
	assert_int_equal(subs[1].notified, 1);
	subs[1].h->on_closed(&subs[1], subs[1].arg);
	change("voicemail", "office/1001");
	assert_int_equal(nqueries, 1);
	subscribe(&st, "1001", "1001", MWI);
	assert_int_equal(nqueries, 2);
	answer("5", "0");
	assert_int_equal(subs[2].notified, 1);
	assert_non_null(strstr(subs[2].body, "Voice-Message: 5/0"));
	/* Gone while the answer was on its way */
	change("voicemail", "office/1001");
	subs[2].h->on_closed(&subs[2], subs[2].arg);
	fail_query(-ENOTCONN);
	timers_run(timers, 5000);
	assert_int_equal(nqueries, 3);
}

static void test_mwi_stop_ends_subscriptions(void **state)
{
	struct strans st;

	(void)state;
	subscribe(&st, "1001", "1001", MWI);
	subscribe(&st, "bob", "1002", MWI);
	events_stop(events);
	mwi_stop(mwi);
	assert_string_equal(subs[0].closed, "deactivated");
	assert_string_equal(subs[1].closed, "deactivated");
	assert_null(request_fns[SIP_SUBSCRIBE]);
	assert_int_equal(forgotten, 2);
	/* One says goodbye, the other isn't heard of again; changes are no longer of interest */
	subs[0].h->on_closed(&subs[0], subs[0].arg);
	change("*", "");
	assert_int_equal(nqueries, 2);
	events_stop(events);
	mwi_stop(mwi);
	events_free(NULL);
	mwi_free(NULL);
}

/* Phones that don't subscribe are told when they register and when the counts change, if their extension says so. */
static void test_mwi_unsolicited(void **state)
{
	static const struct binding phone = { .contact = "sip:1001@192.0.2.10" };

	(void)state;
	registered = &phone;
	registered_fn("office", "1001", registered_arg);
	change("voicemail", "office/1001");
	assert_int_equal(nqueries, 0);
	fake_extensions[0].mwi_unsolicited = true;
	registered_fn("office", "1001", registered_arg);
	assert_int_equal(nqueries, 1);
	answer("1", "0");
	assert_int_equal(npushed, 1);
	assert_string_equal(pushed, "1001|Messages-Waiting: yes\r\nMessage-Account: sip:1001@office\r\nVoice-Message: 1/0 (0/0)\r\n");
	change("voicemail", "office/1001");
	answer("1", "0"); /* nothing new */
	assert_int_equal(npushed, 1);
	change("voicemail", "office/1001");
	answer("0", "1");
	assert_int_equal(npushed, 2);
	registered_fn("office", "1001", registered_arg); /* known already */
	assert_int_equal(npushed, 3);
	registered = NULL;
	change("voicemail", "office/1001");
	assert_int_equal(nqueries, 3);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mwi_subscribe_is_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_subscribe_fails_cleanly, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_notify_tells_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_change_while_asking_asks_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_database_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_counts_outlive_watchers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_stop_ends_subscriptions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mwi_unsolicited, setup, teardown),
	};

	return cmocka_run_group_tests_name("mwi", tests, NULL, NULL);
}

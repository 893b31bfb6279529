/* test_plan.c - the cached dialplan: what wins, its steps, edits, outages; against a real PostgreSQL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "plan_bed.h"

/* "context/pattern app(name=value,...)[condition] ..." of what is dialled in a context. */
static const char *dial(const char *context, const char *number)
{
	static char buf[2000];
	const struct step *steps;
	struct route *r;
	size_t at;

	switch (plan_match(bed.plan, "office", context, str_from(number), &r)) {
	case DIR_ABSENT:
		return "absent";
	case DIR_UNKNOWN:
		return "unknown";
	default:
		break;
	}
	at = (size_t)snprintf(buf, sizeof(buf), "%s/%s", route_context(r), route_pattern(r));
	for (unsigned i = 0, n = route_steps(r, &steps); i < n; i++) {
		at += (size_t)snprintf(buf + at, sizeof(buf) - at, " %s(", steps[i].app);
		for (unsigned k = 0; k < steps[i].nargs; k++)
			at += (size_t)snprintf(buf + at, sizeof(buf) - at, "%s%s=%s", k ? "," : "", steps[i].args[k].name,
					       steps[i].args[k].value);
		at += (size_t)snprintf(buf + at, sizeof(buf) - at, ")");
		if (steps[i].condition)
			at += (size_t)snprintf(buf + at, sizeof(buf) - at, "[%s]", steps[i].condition);
	}
	route_release(r);
	return buf;
}

struct expect { const char *context, *number, *text; };

static bool is_as_expected(void *arg)
{
	const struct expect *e = arg;

	return !strcmp(dial(e->context, e->number), e->text);
}

static void expect(const char *context, const char *number, const char *text)
{
	assert_string_equal(dial(context, number), text);
}

static void expect_soon(const char *context, const char *number, const char *text)
{
	pg_wait(&bed.loop, is_as_expected, &(struct expect){ context, number, text });
}

/* All that was committed before is in force when this is. */
static void catch_up(void)
{
	static unsigned n;
	char number[20], text[100];

	n++;
	pg_sql("INSERT INTO pbx.context (domain, context) VALUES ('office', 'mark') ON CONFLICT DO NOTHING;"
	       "INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'mark', '%u');"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app) VALUES ('office', 'mark', '%u', 1, 'echo')", n, n);
	snprintf(number, sizeof(number), "%u", n);
	snprintf(text, sizeof(text), "mark/%u echo()", n);
	expect_soon("mark", number, text);
}

/* ---- the demo office ---- */

static void test_plan_before_loading_is_unknown(void **state)
{
	(void)state;
	open_plan();
	expect("office", "1001", "unknown");
	assert_false(plan_match_prefix(bed.plan, "office", "office", STR("10")));
	close_plan();
}

static void test_plan_loads_the_demo_office(void **state)
{
	static const struct expect rows[] = {
		{ "office", "1001", "lobby/_10XX dial(number=${number})"
		  " voicemail(mailbox=${number})[result=busy,no_answer,unavailable,declined]" },
		{ "lobby", "1001", "lobby/_10XX dial(number=${number})"
		  " voicemail(mailbox=${number})[result=busy,no_answer,unavailable,declined]" },
		{ "office", "400", "office/400 menu(menu=400)" }, { "lobby", "400", "absent" },
		{ "office", "**1001", "office/_**X. voicemail(mailbox=${number:2})" },
		{ "office", "600", "lobby/600 echo()" }, { "office", "6000", "absent" }, { "office", "", "absent" },
		{ "nowhere", "600", "absent" }, { "", "600", "absent" },
	};
	char context[300];
	struct route *r;

	(void)state;
	open_loaded();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].context, rows[i].number, rows[i].text);
	assert_int_equal(plan_match(bed.plan, "elsewhere", "office", STR("600"), &r), DIR_ABSENT);
	memset(context, 'c', sizeof(context) - 1);
	context[sizeof(context) - 1] = '\0';
	expect(context, "600", "absent");
	close_plan();
}

/* Could a longer number be meant? */
static void test_plan_match_prefix_knows_longer_numbers(void **state)
{
	static const struct { const char *context, *digits; bool begins; } rows[] = {
		{ "office", "", true }, { "office", "1", true }, { "office", "100", true }, { "office", "1001", false }, { "office", "4", true },
		{ "lobby", "4", false }, { "lobby", "*9", true }, { "office", "**", true }, { "office", "**100", true }, { "office", "11", false },
		{ "nowhere", "1", false },
	};

	(void)state;
	open_loaded();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (plan_match_prefix(bed.plan, "office", rows[i].context, str_from(rows[i].digits)) != rows[i].begins)
			fail_msg("%s %s: not %d", rows[i].context, rows[i].digits, rows[i].begins);
	close_plan();
}

/* ---- contexts ---- */

/* a includes b, c; b includes d, a; c includes d; d includes c: rings, which the schema refuses and only a superuser can make. */
static void test_plan_includes_are_walked_in_order_each_once(void **state)
{
	static const struct expect rows[] = {
		{ "ia", "21", "ia/_2!" },    /* its own wins, however general */
		{ "ia", "31", "ib/_X." },    /* the first included one wins over what is more specific further on */
		{ "ia", "4", "id/4" },       /* b, d, c: depth first */
		{ "ia", "5", "ic/5" }, { "ib", "5", "ic/5" }, { "ic", "31", "ic/31" }, { "ic", "32", "id/_3X" },
		{ "id", "5", "ic/5" }, { "id", "6", "absent" },
	};

	PGconn *super = PQconnectdb(pg.superuser);

	(void)state;
	pg_sql("INSERT INTO pbx.context (domain, context) SELECT 'office', 'i' || c FROM unnest('{a,b,c,d}'::text[]) AS c;"
	       "INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'ia', 2, 'ic'),"
	       " ('office', 'ia', 1, 'ib'), ('office', 'ib', 7, 'id'), ('office', 'ic', 1, 'id');"
	       "INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'ia', '_2!'), ('office', 'ib', '_X.'),"
	       " ('office', 'ic', '31'), ('office', 'ic', '4'), ('office', 'ic', '5'), ('office', 'id', '_3X'), ('office', 'id', '4');"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app) SELECT domain, context, pattern, 1, 'echo' FROM pbx.route"
	       " WHERE context LIKE 'i_'");
	PQclear(PQexec(super, "SET session_replication_role = replica;"
			      "INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'ib', 9, 'ia'),"
			      " ('office', 'id', 1, 'ic')"));
	PQfinish(super);
	open_loaded();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char text[60];

		snprintf(text, sizeof(text), "%s%s", rows[i].text, strcmp(rows[i].text, "absent") ? " echo()" : "");
		expect(rows[i].context, rows[i].number, text);
	}
	assert_true(plan_match_prefix(bed.plan, "office", "ic", STR("3")));
	assert_false(plan_match_prefix(bed.plan, "office", "ic", STR("5")));
	pg_sql("DELETE FROM pbx.context_include WHERE (context, included) IN (('ib', 'ia'), ('id', 'ic'))");
	/* An include that is taken away, put first, or whose context goes. */
	pg_sql("DELETE FROM pbx.context_include WHERE context = 'ia' AND included = 'ib'");
	expect_soon("ia", "31", "ic/31 echo()");
	pg_sql("INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'ia', 1, 'id')");
	expect_soon("ia", "31", "id/_3X echo()");
	pg_sql("UPDATE pbx.context SET context = 'ie' WHERE context = 'id'");
	expect_soon("ie", "4", "ie/4 echo()");
	expect("ia", "31", "ie/_3X echo()");
	expect("id", "4", "absent");
	pg_sql("DELETE FROM pbx.context WHERE context = 'ie'");
	expect_soon("ia", "31", "ic/31 echo()");
	pg_sql("DELETE FROM pbx.context WHERE context LIKE 'i_'");
	expect_soon("ia", "5", "absent");
	close_plan();
}

/* As long a chain of includes as there are contexts, and more of them than any list here was made for. */
static void test_plan_includes_have_no_limit(void **state)
{
	(void)state;
	pg_sql("INSERT INTO pbx.context (domain, context) SELECT 'office', 'n' || n FROM generate_series(0, 400) AS n;"
	       "INSERT INTO pbx.context_include (domain, context, position, included)"
	       " SELECT 'office', 'n' || n, 1, 'n' || n + 1 FROM generate_series(0, 79) AS n;"
	       "INSERT INTO pbx.context_include (domain, context, position, included)"
	       " SELECT 'office', 'n0', n, 'n' || n FROM generate_series(301, 400) AS n;"
	       "INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'n80', '1'), ('office', 'n400', '2');"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app) VALUES ('office', 'n80', '1', 1, 'echo'),"
	       " ('office', 'n400', '2', 1, 'echo')");
	open_loaded();
	expect("n0", "1", "n80/1 echo()");
	expect("n0", "2", "n400/2 echo()");
	expect("n0", "3", "absent");
	close_plan();
	pg_sql("DELETE FROM pbx.context WHERE context ~ '^n[0-9]'");
}

/* ---- edits ---- */

static void test_plan_edit_is_in_force_after_commit(void **state)
{
	static const struct { const char *sql; struct expect e; } rows[] = {
		{ "INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_7XX');"
		  " INSERT INTO pbx.step (domain, context, pattern, position, app, args, condition) VALUES"
		  " ('office', 'office', '_7XX', 5, 'wait', '{\"seconds\": 3}', NULL), ('office', 'office', '_7XX', 2, 'echo', '{}', 'caller=1001')",
		  { "office", "701", "office/_7XX echo()[caller=1001] wait(seconds=3)" } },
		{ "SELECT 1", { "office", "700", "office/700 music()" } },
		{ "UPDATE pbx.step SET position = 1 WHERE pattern = '_7XX' AND position = 5",
		  { "office", "701", "office/_7XX wait(seconds=3) echo()[caller=1001]" } },
		{ "UPDATE pbx.step SET args = '{\"seconds\": \"${n}\"}' WHERE pattern = '_7XX' AND position = 1",
		  { "office", "701", "office/_7XX wait(seconds=${n}) echo()[caller=1001]" } },
		{ "UPDATE pbx.route SET enabled = false WHERE pattern = '700'",
		  { "office", "700", "office/_7XX wait(seconds=${n}) echo()[caller=1001]" } },
		{ "UPDATE pbx.route SET pattern = '_7[0-9]X' WHERE pattern = '_7XX'",
		  { "office", "700", "office/_7[0-9]X wait(seconds=${n}) echo()[caller=1001]" } },
		{ "DELETE FROM pbx.step WHERE pattern = '_7[0-9]X' AND position = 1", { "office", "700", "office/_7[0-9]X echo()[caller=1001]" } },
		{ "UPDATE pbx.route SET pattern = '_7ZX' WHERE pattern = '_7[0-9]X'", { "office", "700", "absent" } },
		{ "SELECT 1", { "office", "710", "office/_7ZX echo()[caller=1001]" } },
		{ "UPDATE pbx.route SET context = 'lobby' WHERE pattern = '_7ZX'", { "lobby", "710", "lobby/_7ZX echo()[caller=1001]" } },
		{ "DELETE FROM pbx.route WHERE pattern = '_7ZX'", { "lobby", "710", "absent" } },
		{ "UPDATE pbx.route SET enabled = true WHERE pattern = '700'", { "office", "700", "office/700 music()" } },
		/* All in one: the other names of what was there */
		{ "BEGIN; UPDATE pbx.route SET pattern = '_70[0]' WHERE pattern = '700'; UPDATE pbx.route SET pattern = '_70X' WHERE pattern = '_70[0]';"
		  " INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '700');"
		  " INSERT INTO pbx.step (domain, context, pattern, position, app) VALUES ('office', 'office', '700', 1, 'echo'); COMMIT",
		  { "office", "700", "office/700 echo()" } },
		{ "SELECT 1", { "office", "701", "office/_70X music()" } },
	};

	(void)state;
	open_loaded();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		pg_sql("%s", rows[i].sql);
		expect_soon(rows[i].e.context, rows[i].e.number, rows[i].e.text);
	}
	pg_sql("BEGIN; DELETE FROM pbx.route WHERE pattern = '700'; ROLLBACK");
	catch_up();
	expect("office", "700", "office/700 echo()");
	close_plan();
}

/* ---- lists of numbers ---- */

struct listed { const char *list, *number, *text; };

/* "pattern context value" of a list's entry. */
static bool is_listed(void *arg)
{
	const struct listed *e = arg;
	const struct route *r = plan_list_find(bed.plan, "office", e->list, str_from(e->number));
	char text[200] = "none";

	if (r)
		snprintf(text, sizeof(text), "%s '%s' %s", route_pattern(r), route_context(r), route_value(r));
	return !strcmp(text, e->text);
}

static void test_plan_lists_are_in_force_after_commit(void **state)
{
	static const struct { const char *sql; struct listed e; } rows[] = {
		{ "SELECT 1", { PLAN_INBOUND, "4312345", "none" } },
		{ "INSERT INTO pbx.inbound_number VALUES ('4312345', 'office', '1001')", { PLAN_INBOUND, "4312345", "4312345 '' 1001" } },
		{ "INSERT INTO pbx.inbound_number (number, domain, target, context) VALUES ('_43123XX', 'office', '10${number:5}', 'lobby')",
		  { PLAN_INBOUND, "4312346", "_43123XX 'lobby' 10${number:5}" } },
		{ "SELECT 1", { PLAN_INBOUND, "4312345", "4312345 '' 1001" } },
		{ "SELECT 1", { PLAN_INBOUND, "431234", "none" } },
		{ "UPDATE pbx.inbound_number SET number = '4312347' WHERE target = '1001'", { PLAN_INBOUND, "4312345", "_43123XX 'lobby' 10${number:5}" } },
		{ "DELETE FROM pbx.inbound_number", { PLAN_INBOUND, "4312347", "none" } },
		{ "INSERT INTO pbx.emergency_number VALUES ('office', '410', 'office', 'Fire')", { PLAN_EMERGENCY, "410", "410 'office' Fire" } },
		{ "SELECT 1", { PLAN_BLOCKED, "410", "none" } },
		{ "DELETE FROM pbx.emergency_number", { PLAN_EMERGENCY, "410", "none" } },
		{ "INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', 'anonymous'), ('office', '_0900.')",
		  { PLAN_BLOCKED, "anonymous", "anonymous '' 603" } },
		{ "UPDATE pbx.blocked_caller SET status = 486", { PLAN_BLOCKED, "090012", "_0900. '' 486" } },
		{ "DELETE FROM pbx.blocked_caller WHERE pattern = '_0900.'", { PLAN_BLOCKED, "090012", "none" } },
	};

	(void)state;
	open_loaded();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		pg_sql("%s", rows[i].sql);
		pg_wait(&bed.loop, is_listed, (void *)&rows[i].e);
	}
	close_plan();
	open_loaded(); /* what is there at the start */
	assert_true(is_listed(&(struct listed){ PLAN_BLOCKED, "anonymous", "anonymous '' 486" }));
	close_plan();
	pg_sql("DELETE FROM pbx.blocked_caller");
}

/* A call goes on with the route it has. */
static void test_plan_route_in_use_outlives_its_change(void **state)
{
	const struct step *steps;
	struct route *r;

	(void)state;
	pg_sql("INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '801');"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app, args)"
	       " VALUES ('office', 'office', '801', 1, 'wait', '{\"seconds\": 1}')");
	open_loaded();
	assert_int_equal(plan_match(bed.plan, "office", "office", STR("801"), &r), DIR_FOUND);
	pg_sql("DELETE FROM pbx.route WHERE pattern = '801'");
	expect_soon("office", "801", "absent");
	close_plan();
	assert_string_equal(route_pattern(r), "801");
	assert_int_equal(route_steps(r, &steps), 1);
	assert_string_equal(steps[0].args[0].value, "1");
	route_release(r);
}

/* Patterns may be longer than numbers, and many at once. */
static void test_plan_takes_long_patterns_and_thousands(void **state)
{
	char number[65];

	(void)state;
	open_loaded();
	pg_sql("INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_' || repeat('[123456789]', 64));"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app) SELECT domain, context, pattern, 1, 'echo' FROM pbx.route"
	       " WHERE length(pattern) > 300");
	memset(number, '5', 64);
	number[64] = '\0';
	catch_up();
	assert_non_null(strstr(dial("office", number), "] echo()"));
	pg_sql("DELETE FROM pbx.route WHERE length(pattern) > 300");
	catch_up();
	expect("office", number, "absent");
	pg_sql("INSERT INTO pbx.context (domain, context) VALUES ('office', 'bulk');"
	       "INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'bulk', 8000000 + n FROM generate_series(1, 1500) AS n;"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app) SELECT domain, context, pattern, 1, 'echo' FROM pbx.route"
	       " WHERE context = 'bulk'");
	expect_soon("bulk", "8001500", "bulk/8001500 echo()");
	expect("bulk", "8000001", "bulk/8000001 echo()");
	pg_sql("DELETE FROM pbx.context WHERE context = 'bulk'");
	catch_up();
	expect("bulk", "8001500", "absent");
	expect("bulk", "8000001", "absent");
	close_plan();
}

/* Several pages of routes, when loaded and when changed at once; keys in which other characters than digits decide on the order. */
static void test_plan_loads_page_by_page(void **state)
{
	static const char *const names[] = { "0001", "_*0001X", "_#0001X", "_[12]0001X", "a0001", "B0001" };
	static const char *const dialled[] = { "0001", "*00019", "#00019", "200019", "a0001", "B0001" };
	char expected[80];

	(void)state;
	pg_sql("INSERT INTO pbx.context (domain, context) VALUES ('office', 'bulk'), ('office', 'Bulk-2');"
	       "INSERT INTO pbx.route (domain, context, pattern)"
	       " SELECT 'office', c, p || lpad(n::text, 4, '0') || CASE WHEN p LIKE '\\_%%' THEN 'X' ELSE '' END"
	       " FROM generate_series(1, 400) AS n, unnest('{\"\",_*,_#,_[12],a,B}'::text[]) AS p, unnest('{bulk,Bulk-2}'::text[]) AS c;"
	       "INSERT INTO pbx.step (domain, context, pattern, position, app, args) SELECT domain, context, pattern, 1, 'dial',"
	       " '{\"number\": \"1002\", \"ring_s\": 20}' FROM pbx.route WHERE context ILIKE 'bulk%%'");
	open_loaded();
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(expected, sizeof(expected), "bulk/%s dial(number=1002,ring_s=20)", names[i]);
		expect("bulk", dialled[i], expected);
		snprintf(expected, sizeof(expected), "Bulk-2/%s dial(number=1002,ring_s=20)", names[i]);
		expect("Bulk-2", dialled[i], expected);
	}
	for (unsigned n = 1; n <= 400; n++) {
		char number[8], route[80];

		snprintf(number, sizeof(number), "a%04u", n);
		snprintf(route, sizeof(route), "bulk/%s dial(number=1002,ring_s=20)", number);
		expect("bulk", number, route);
	}
	pg_sql("UPDATE pbx.step SET app = 'echo', args = '{}' WHERE context ILIKE 'bulk%%'");
	catch_up();
	for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(expected, sizeof(expected), "Bulk-2/%s echo()", names[i]);
		expect_soon("Bulk-2", dialled[i], expected);
	}
	pg_sql("DELETE FROM pbx.context WHERE context ILIKE 'bulk%%'");
	catch_up();
	expect_soon("Bulk-2", "0001", "absent");
	expect_soon("bulk", "a0400", "absent");
	close_plan();
}

/* Steps of a route that don't come one behind the other, arguments of all kinds, routes without steps, and such that are out of use. */
static void test_plan_loads_whatever_rows_there_are(void **state)
{
	static const struct expect rows[] = {
		{ "odd", "1", "odd/1 dial(number=a\"b\\c\td\x01\xc3\xa9)[caller=1001] wait(seconds=1.50) echo()" },
		{ "odd", "2", "odd/2 wait(a=true,l=[1, {\"x\": \"],}\"}],n=-3,o={})" },
		{ "odd", "3", "odd/3" }, { "odd", "4", "odd/_X" }, { "odd", "55", "odd/_5[5] echo()" },
	};
	PGconn *super = PQconnectdb(pg.superuser);
	PGresult *r;

	(void)state;
	r = PQexec(super, "SET session_replication_role = replica;"
		   "INSERT INTO pbx.context (domain, context) VALUES ('office', 'odd');"
		   "INSERT INTO pbx.route (domain, context, pattern, enabled) SELECT 'office', 'odd', p, p <> '4' FROM unnest('{1,2,3,4,_X,_5[5]}'::text[]) AS p;"
		   "INSERT INTO pbx.step (domain, context, pattern, position, app, args, condition) VALUES"
		   " ('office', 'odd', '1', 7, 'echo', '{}', NULL), ('office', 'odd', '4', 1, 'echo', '{}', NULL),"
		   " ('office', 'odd', '1', 2, 'wait', '{\"seconds\": 1.50}', NULL),"
		   " ('office', 'odd', '1', 1, 'dial', '{\"number\": \"a\\\"b\\\\c\\td\\u0001\xc3\xa9\"}', 'caller=1001'),"
		   " ('office', 'odd', '_5[5]', 1, 'echo', '{}', NULL),"
		   " ('office', 'odd', '2', 1, 'wait', '{\"n\": -3, \"o\": {}, \"z\": null, \"a\": true, \"l\": [1, {\"x\": \"],}\"}]}', NULL)");
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail_msg("%s", PQresultErrorMessage(r));
	PQclear(r);
	PQfinish(super);
	open_loaded();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].context, rows[i].number, rows[i].text);
	/* What is fetched later comes the same. */
	pg_sql("UPDATE pbx.route SET name = 'told' WHERE context = 'odd' AND pattern <> '3'");
	catch_up();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		expect(rows[i].context, rows[i].number, rows[i].text);
	close_plan();
	pg_sql("DELETE FROM pbx.context WHERE context = 'odd'");
}

static const char many[] =
	"SET session_replication_role = replica;"
	"INSERT INTO pbx.context (domain, context) VALUES ('office', 'many');"
	"INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'many', 8000000 + n FROM generate_series(1, 60000) AS n;"
	"INSERT INTO pbx.step (domain, context, pattern, position, app) SELECT 'office', 'many', 8000000 + n, 1, 'echo' FROM generate_series(1, 60000) AS n;"
	"INSERT INTO pbx.change (seq, \"table\", key) SELECT nextval('pbx.change_seq'), 'route', 'office/many/' || 8000000 + n FROM generate_series(1, 60000) AS n;"
	"NOTIFY pbx_change";

/* More has changed at once than is fetched bit by bit. What is changed behind it isn't lost. */
static void test_plan_takes_over_a_large_import(void **state)
{
	PGconn *super = PQconnectdb(pg.superuser);
	PGresult *r;

	(void)state;
	open_loaded();
	r = PQexec(super, many);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail_msg("%s", PQresultErrorMessage(r));
	PQclear(r);
	PQfinish(super);
	pg_sql("UPDATE pbx.step SET app = 'answer' WHERE context = 'many' AND pattern = '8000001'");
	catch_up();
	expect("many", "8000001", "many/8000001 answer()");
	expect("many", "8060000", "many/8060000 echo()");
	expect("many", "8060001", "absent");
	expect("office", "600", "lobby/600 echo()");
	catch_up();
	pg_sql("UPDATE pbx.step SET app = 'answer' WHERE context = 'many' AND pattern = '8000002'");
	expect_soon("many", "8000002", "many/8000002 answer()");
	close_plan();
	pg_sql("DELETE FROM pbx.context WHERE context = 'many'");
}

/* ---- outages ---- */

static const char kick[] = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cordboard'";

static void test_plan_catches_up_after_lost_connections(void **state)
{
	(void)state;
	open_loaded();
	for (int i = 0; i < 8; i++) {
		char number[20], text[100];

		if (i % 2 == 0)
			pg_sql("%s", kick);
		pg_sql("INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '90%d');"
		       "INSERT INTO pbx.step (domain, context, pattern, position, app) VALUES ('office', 'office', '90%d', 1, 'echo')", i, i);
		/* Odd: lost somewhere between being told and having fetched. */
		for (int turns = 0; i % 2 && turns < i; turns++)
			uv_run(&bed.loop, UV_RUN_ONCE);
		if (i % 2)
			pg_sql("%s", kick);
		snprintf(number, sizeof(number), "90%d", i);
		snprintf(text, sizeof(text), "office/90%d echo()", i);
		expect_soon("office", number, text);
		expect("office", "400", "office/400 menu(menu=400)");
	}
	pg_sql("DELETE FROM pbx.route WHERE pattern ~ '^90.$'");
	catch_up();
	close_plan();
}

static bool is_fetching(void *arg)
{
	(void)arg;
	return pg_int("SELECT count(*) FROM pg_locks WHERE relation = 'pbx.step'::regclass AND NOT granted") > 0;
}

/* The connection breaks while a change is being fetched: it stays due, and the copy in use. */
static void test_plan_fetch_that_breaks_off_is_done_again(void **state)
{
	PGconn *locker = PQconnectdb(pg.conninfo);

	(void)state;
	open_loaded();
	PQclear(PQexec(locker, "BEGIN; LOCK TABLE pbx.step"));
	pg_sql("UPDATE pbx.route SET enabled = false WHERE pattern = '600'");
	pg_wait(&bed.loop, is_fetching, NULL);
	expect("office", "600", "lobby/600 echo()");
	pg_sql("%s", kick);
	PQclear(PQexec(locker, "COMMIT"));
	PQfinish(locker);
	expect_soon("office", "600", "absent");
	pg_sql("UPDATE pbx.route SET enabled = true WHERE pattern = '600'");
	expect_soon("office", "600", "lobby/600 echo()");
	close_plan();
}

static bool is_db_down(void *arg)
{
	(void)arg;
	return !db_is_up(bed.db);
}

static void test_plan_keeps_its_copy_while_the_database_is_away(void **state)
{
	(void)state;
	open_loaded();
	catch_up();
	pg_down();
	pg_wait(&bed.loop, is_db_down, NULL);
	expect("office", "600", "lobby/600 echo()");
	expect("office", "601", "absent");
	pg_up();
	pg_sql("UPDATE pbx.route SET pattern = '601' WHERE pattern = '600'");
	expect_soon("office", "601", "lobby/601 echo()");
	expect("office", "600", "absent");
	pg_sql("UPDATE pbx.route SET pattern = '600' WHERE pattern = '601'");
	catch_up();
	close_plan();
}

static void test_plan_closes_at_any_moment(void **state)
{
	(void)state;
	for (int i = 0; i < 30; i++) {
		open_plan();
		for (int turns = 0; turns < i; turns++)
			uv_run(&bed.loop, UV_RUN_ONCE);
		close_plan();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_before_loading_is_unknown), cmocka_unit_test(test_plan_loads_the_demo_office),
		cmocka_unit_test(test_plan_match_prefix_knows_longer_numbers),
		cmocka_unit_test(test_plan_includes_are_walked_in_order_each_once), cmocka_unit_test(test_plan_includes_have_no_limit),
		cmocka_unit_test(test_plan_lists_are_in_force_after_commit),
		cmocka_unit_test(test_plan_route_in_use_outlives_its_change), cmocka_unit_test(test_plan_takes_long_patterns_and_thousands),
		cmocka_unit_test(test_plan_loads_page_by_page), cmocka_unit_test(test_plan_loads_whatever_rows_there_are),
		cmocka_unit_test(test_plan_takes_over_a_large_import),
		cmocka_unit_test(test_plan_catches_up_after_lost_connections),
		cmocka_unit_test(test_plan_fetch_that_breaks_off_is_done_again),
		cmocka_unit_test(test_plan_keeps_its_copy_while_the_database_is_away), cmocka_unit_test(test_plan_closes_at_any_moment),
		cmocka_unit_test(test_plan_edit_is_in_force_after_commit),
	};

	return cmocka_run_group_tests_name("plan", tests, pg_group_start, pg_group_stop);
}

/* test_explain_property.c - pbx.explain() tells what the engine does: the same dialplan, lists and schedules in both, calls at random.
 *
 * EXPLAIN_CASES=n makes more of them than the suite has time for (make test-explain: 100,000), EXPLAIN_SEED=n others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "call/admission.h"
#include "call/decision.h"
#include "plan_bed.h"

#define DEFAULT_CASES 600
#define DEFAULT_SEED  20261122
#define BATCH 500
#define MONDAY 1795392000 /* 2026-11-23 00:00 UTC */

static struct rng rng;

static unsigned below(unsigned n) { return rng_below(&rng, n); }

#define PICK(list) (list)[below(ARRAY_LEN(list))]

/* ---- the office ---- */

static const char *const contexts[] = { "e0", "e1", "e2", "e3" };

static void add_routes(void)
{
	static const char *const patterns[] = { "_1XX", "_10X", "_[1-3]X.", "_X.", "100", "101", "_2ZX", "200", "_3!", "_1[0-4]X", "_0X.", "112", "_11N" };
	static const char *const conditions[] = { "NULL", "NULL", "'schedule=day'", "'schedule!=day'", "'schedule=day,night'", "'caller=_10X1'",
						  "'caller!=1001'", "'result=busy,no_answer'", "'schedule=night and result!=busy'",
						  "'trunk=telco'", "'number=_1XX and schedule=day'", "'context=e1'" };
	static const char *const numbers[] = { "${number}", "9${number:1}", "${number:-7}${caller}", "${caller:1:2}${trunk}", "${context}" };

	for (size_t c = 0; c < ARRAY_LEN(contexts); c++)
		for (unsigned i = 0; i < 9; i++) {
			const char *pattern = PICK(patterns);

			pg_sql("INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', '%s', '%s') ON CONFLICT DO NOTHING", contexts[c], pattern);
			for (unsigned n = 1; n <= 1 + below(3); n++)
				pg_sql("INSERT INTO pbx.step VALUES ('office', '%s', '%s', %u, 'playback', '{\"phrases\": \"%s\"}', %s) ON CONFLICT DO NOTHING",
				       contexts[c], pattern, n, PICK(numbers), PICK(conditions));
		}
}

static void make_office(void)
{
	pg_sql("BEGIN; UPDATE pbx.domain SET timezone = 'Europe/Vienna', default_context = 'office';"
	       "INSERT INTO pbx.schedule (domain, schedule, timezone) VALUES ('office', 'day', NULL), ('office', 'night', 'America/New_York');"
	       "INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '08:15', '12:00' FROM generate_series(1, 5) AS n;"
	       "INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '12:30', '17:45' FROM generate_series(1, 4) AS n;"
	       "INSERT INTO pbx.schedule_period SELECT 'office', 'night', n, '20:00', '24:00' FROM generate_series(1, 7) AS n;"
	       "INSERT INTO pbx.schedule_holiday (domain, schedule, day, yearly, from_time, to_time) VALUES ('office', 'day', '2026-12-08', false, NULL, NULL),"
	       " ('office', 'day', '2020-12-24', true, '09:00', '11:00'), ('office', 'night', '2026-11-26', false, '00:00', '24:00');"
	       "UPDATE pbx.schedule SET override = 'closed', override_until = '2026-11-24 00:00Z' WHERE schedule = 'night';"
	       "INSERT INTO pbx.context SELECT 'office', 'e' || n FROM generate_series(0, 3) AS n;"
	       "INSERT INTO pbx.context_include VALUES ('office', 'e0', 1, 'e1'), ('office', 'e0', 2, 'e2'), ('office', 'e1', 5, 'e3'), ('office', 'e2', 1, 'e3');"
	       "INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'telco', 'e2'), ('office', 'isp', 'e3');"
	       "UPDATE pbx.extension SET context = 'e' || right(number, 1)::integer %% 4 WHERE domain = 'office'");
	add_routes();
	pg_sql("INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'e3', '113'), ('office', 'e3', '11') ON CONFLICT DO NOTHING;"
	       "INSERT INTO pbx.step VALUES ('office', 'e3', '113', 4, 'answer'), ('office', 'e3', '11', 4, 'answer');"
	       "INSERT INTO pbx.inbound_number VALUES ('_4312345X.', 'office', '1${number:8}'), ('43123450', 'office', '1001'), ('_43123459X', 'office', '${number:7}');"
	       "UPDATE pbx.inbound_number SET context = 'e1' WHERE target LIKE '$%%';"
	       "INSERT INTO pbx.emergency_number VALUES ('office', '11', 'e3');"
	       "INSERT INTO pbx.blocked_caller (domain, pattern, status) VALUES ('office', '_0900.', 603), ('office', '_09001X', 486), ('office', 'anonymous', 403);"
	       "COMMIT");
}

/* ---- calls ---- */

struct made {
	char caller[16], number[24], from[16];
	int64_t at;
	bool is_trunk;
};

static void make_call(struct made *m)
{
	static const char *const numbers[] = { "100", "101", "11", "112", "113", "110", "150", "2", "20", "200", "215", "3", "31", "0", "012", "1001", "410", "",
					       "4312345123", "43123450", "431234591", "431234599", "4312345", "431234", "43123451" };
	static const char *const froms[] = { "0900", "09001", "090012", "090017", "0664123", "anonymous", "4" };

	m->is_trunk = below(3) == 0;
	if (m->is_trunk)
		snprintf(m->caller, sizeof(m->caller), "%s", below(2) ? "telco" : "isp");
	else
		snprintf(m->caller, sizeof(m->caller), "%u", 1001 + below(10));
	snprintf(m->number, sizeof(m->number), "%s", PICK(numbers));
	while (!m->number[0] || below(4) == 0) /* others */
		snprintf(m->number + strlen(m->number) / 2, 8, "%u", below(2000));
	snprintf(m->from, sizeof(m->from), "%s", PICK(froms));
	m->at = MONDAY - 86400 + (int64_t)below(40 * 24 * 60) * 60 + below(3) * 29;
	if (below(20) == 0) /* the switch's end, midnight, a period's end */
		m->at = MONDAY + 86400 + (int64_t)below(3) - 1;
}

/* '+': whatever has become of the steps before, '-': never, '?': that depends. */
static char holds(struct call *call, const char *condition)
{
	unsigned n = 0;

	for (unsigned r = 0; condition && r < APP_RESULT_COUNT; r++) {
		call->result = (enum app_result)r;
		n += plan_condition_holds(condition, call_var_find, call);
	}
	return !condition || n == APP_RESULT_COUNT ? '+' : n ? '?' : '-';
}

static void tell_route(struct call *call, const char *number, struct out *o)
{
	const struct step *steps;
	struct route *r;
	char buf[300];

	if (plan_match(bed.plan, "office", call->context, str_from(number), &r) != DIR_FOUND) {
		out_fmt(o, "nowhere %s", call->context);
		return;
	}
	snprintf(call->number, sizeof(call->number), "%s", number);
	out_fmt(o, "%s %s", route_context(r), route_pattern(r));
	for (unsigned i = 0, n = route_steps(r, &steps); i < n; i++) {
		buf[0] = '\0';
		if (steps[i].nargs)
			assert_int_equal(plan_substitute(steps[i].args[0].value, call_var_find, call, buf, sizeof(buf)), 0);
		out_fmt(o, " %s(%s)%c", steps[i].app, buf, holds(call, steps[i].condition));
	}
	route_release(r);
}

static int64_t wall_ms(void *arg)
{
	return *(int64_t *)arg;
}

/* What the engine makes of it. */
static void tell(const struct made *m, struct out *o)
{
	int64_t now_ms = m->at * 1000;
	const struct clock clock = { .wall_ms = wall_ms, .arg = &now_ms };
	struct calls cs = { .p = { .plan = bed.plan, .directory = bed.directory, .log = pg_quiet(), .clock = &clock } };
	struct call call = { .calls = &cs };
	struct sip_msg msg = { .from.uri = { .scheme = SIP_SCHEME_SIP, .user = str_from(m->from), .host = STR("192.0.2.1") } };
	const struct dir_extension *ext;
	const struct dir_trunk *trunk;
	struct usage *usage = NULL;
	struct refusal no;
	char number[128];

	zones_init(&cs.zones, ZONE_FOLDER, &clock_system);
	strcpy(call.domain, "office");
	strcpy(call.caller.domain, "office");
	strcpy(call.number, m->number);
	if (m->is_trunk) {
		assert_int_equal(directory_trunk(bed.directory, "office", str_from(m->caller), &trunk), DIR_FOUND);
		strcpy(call.caller.trunk, m->caller);
		snprintf(call.context, sizeof(call.context), "%s", trunk->context);
	} else {
		assert_int_equal(directory_extension(bed.directory, "office", str_from(m->caller), &ext), DIR_FOUND);
		strcpy(call.caller.number, m->caller);
		snprintf(call.context, sizeof(call.context), "%s", ext->context);
	}
	no = admission_check(&call, &msg, &usage);
	usage_give(&cs, usage);
	out_reset(o);
	if (no.status)
		out_fmt(o, "refused %d", no.status);
	else {
		snprintf(number, sizeof(number), "%s", call.target ? call.target : call.number);
		if (call.is_emergency)
			out_z(o, "emergency ");
		if (call.target)
			out_fmt(o, "inbound %s ", call.target);
		tell_route(&call, number, o);
	}
	out_chr(o, '\0');
	zones_fini(&cs.zones);
	decisions_free(&call);
	free(call.target);
	while (call.vars) {
		struct call_var *v = call.vars;

		call.vars = v->next;
		free(v->name);
		free(v->value);
		free(v);
	}
}

static const char explain_sql[] =
	"SELECT (SELECT string_agg(CASE what WHEN 'blocked' THEN 'refused ' || substring(detail from 'told (.*)')"
	" WHEN 'emergency' THEN what WHEN 'inbound' THEN 'inbound ' || substring(detail from 'leads to (.*)')"
	" WHEN 'nowhere' THEN 'nowhere ' || context WHEN 'candidate' THEN context || ' ' || pattern"
	" ELSE app || '(' || coalesce((SELECT min(value) FROM jsonb_each_text(args)), '') || ')' || CASE holds WHEN true THEN '+' WHEN false THEN '-' ELSE '?' END END, ' ' ORDER BY n)"
	" FROM pbx.explain('office', c ->> 0, c ->> 1, to_timestamp((c ->> 2)::bigint), c ->> 3) WITH ORDINALITY"
	"  AS e(depth, what, context, pattern, position, app, args, condition, holds, detail, n)"
	" WHERE what IN ('blocked', 'emergency', 'inbound', 'nowhere', 'step') OR (what = 'candidate' AND holds))"
	" FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS j(c, k) ORDER BY k";

static unsigned compare(unsigned n)
{
	struct made calls[BATCH];
	unsigned nfound = 0;
	struct out doc, told;
	PGresult *r;

	out_init_grow(&doc, 1 << 20);
	out_init_grow(&told, 1 << 16);
	for (unsigned i = 0; i < n; i++) {
		make_call(&calls[i]);
		out_fmt(&doc, "%s[\"%s\",\"%s\",%lld,\"%s\"]", i ? "," : "[", calls[i].caller, calls[i].number, (long long)calls[i].at, calls[i].from);
	}
	out_mem(&doc, "]", 2);
	pg_sql("SELECT 1"); /* connects */
	r = PQexecParams(pg.conn, explain_sql, 1, NULL, (const char *const[]){ doc.p }, NULL, NULL, 0);
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s", PQresultErrorMessage(r));
	for (unsigned i = 0; i < n; i++) {
		tell(&calls[i], &told);
		nfound += !strstr(told.p, "nowhere");
		if (strcmp(told.p, PQgetvalue(r, (int)i, 0)) != 0)
			fail_msg("%s (from %s) dials %s at %lld: C: %s, SQL: %s", calls[i].caller, calls[i].from, calls[i].number, (long long)calls[i].at, told.p,
				 PQgetvalue(r, (int)i, 0));
	}
	PQclear(r);
	out_fini(&doc);
	out_fini(&told);
	return nfound;
}

static void test_explain_property_tells_what_the_engine_does(void **state)
{
	const char *cases = getenv("EXPLAIN_CASES");
	unsigned left = cases ? (unsigned)strtoul(cases, NULL, 10) : DEFAULT_CASES, all = left, nfound = 0;

	(void)state;
	make_office();
	open_loaded();
	while (left) {
		unsigned n = left < BATCH ? left : BATCH;

		nfound += compare(n);
		left -= n;
	}
	print_message("%u calls, %u of them led somewhere\n", all, nfound);
	assert_true(nfound > all / 4 && nfound < all);
	close_plan();
}

static int setup(void **state)
{
	const char *seed = getenv("EXPLAIN_SEED");

	rng_init_fixed(&rng, seed ? strtoull(seed, NULL, 10) : DEFAULT_SEED);
	print_message("EXPLAIN_SEED=%llu\n", seed ? strtoull(seed, NULL, 10) : (unsigned long long)DEFAULT_SEED);
	return pg_group_start(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_explain_property_tells_what_the_engine_does) };

	return cmocka_run_group_tests_name("explain_property", tests, setup, pg_group_stop);
}

/* test_plan_property.c - the engine and SQL agree on every dialplan: random patterns, numbers, contexts, conditions and templates are
 * given to both.
 *
 * PLAN_SEED=n tries others. What is given to SQL goes in large batches: a case costs some 100 us there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/out.h"
#include "base/rng.h"
#include "plan/pattern.h"
#include "plan_bed.h"

#define DEFAULT_SEED 20261121

static struct rng rng;

/* ---- random texts ---- */

static const char *pick(const char *const *list, size_t n)
{
	return list[rng_below(&rng, (uint32_t)n)];
}

/* "[13-57]", now and then a bad one. */
static void random_class(struct out *o)
{
	unsigned n = 1 + rng_below(&rng, 3);

	out_chr(o, '[');
	while (n--) {
		unsigned from = rng_below(&rng, 10), to = from + rng_below(&rng, 10 - from);

		if (rng_below(&rng, 40) == 0)
			to = rng_below(&rng, 10);
		out_u64(o, from);
		if (rng_below(&rng, 2))
			out_fmt(o, "-%u", to);
	}
	if (rng_below(&rng, 60) != 0)
		out_chr(o, ']');
}

static void random_pattern(struct out *o)
{
	static const char *const positions[] = { "0", "1", "2", "9", "*", "#", "+", "X", "X", "Z", "N" };
	static const char *const letters[] = { "1", "0", "23", "*", "a", "B", "sales", ".", "-", "_", "+", "#" };
	static const char *const rubbish[] = { "", "_", "[", "]", "!", ".", " ", "x", "_X", "\xc3\xa4", "\"", "\\", "[]", "[5-3]", "[a]",
					       "[-1]", "\n" };
	unsigned n = rng_below(&rng, 6);

	out_reset(o);
	if (rng_below(&rng, 4) == 0) { /* a literal */
		for (n++; n; n--)
			out_z(o, pick(letters, ARRAY_LEN(letters)));
	} else {
		out_chr(o, '_');
		for (; n; n--)
			if (rng_below(&rng, 3) == 0)
				random_class(o);
			else
				out_z(o, pick(positions, ARRAY_LEN(positions)));
		if (rng_below(&rng, 3) == 0)
			out_chr(o, rng_below(&rng, 2) ? '.' : '!');
	}
	if (rng_below(&rng, 12) == 0)
		out_z(o, pick(rubbish, ARRAY_LEN(rubbish)));
	if (rng_below(&rng, 200) == 0) /* around the longest */
		for (n = 55 + rng_below(&rng, 12); n; n--)
			out_chr(o, '1');
	out_chr(o, '\0');
}

static void random_valid_pattern(struct out *o)
{
	do
		random_pattern(o);
	while (!pattern_is_valid(str_from(o->p), NULL));
}

/* A digit of a class that begins at p; moves it to its end. */
static char from_class(const char **p)
{
	const char *begin = *p + 1, *end = strchr(*p, ']');
	char c;

	if (!end || end == begin)
		return '5';
	*p = end;
	do
		c = begin[rng_below(&rng, (uint32_t)(end - begin))];
	while (c == '-');
	return c & 0x80 ? '5' : c;
}

/* Often one that the pattern matches, or nearly. */
static void random_number(struct out *o, const char *pattern)
{
	static const char *const odd[] = { "0", "1", "5", "9", "*", "a", "", "\xc3\xa9", ".", " ", "+", "\n" };
	const char *p = pattern + (pattern[0] == '_');

	out_reset(o);
	for (; *p; p++) {
		if (!(*p & 0x80) && rng_below(&rng, 25) == 0) /* no half characters */
			out_z(o, pick(odd, ARRAY_LEN(odd)));
		else if (pattern[0] == '_' && strchr("XZN", *p))
			out_u64(o, rng_below(&rng, 10));
		else if (pattern[0] == '_' && *p == '[')
			out_chr(o, from_class(&p));
		else if (pattern[0] == '_' && strchr(".!", *p))
			for (unsigned n = rng_below(&rng, 4); n; n--)
				out_z(o, pick(odd, ARRAY_LEN(odd)));
		else
			out_chr(o, *p);
	}
	if (rng_below(&rng, 8) == 0)
		out_z(o, pick(odd, ARRAY_LEN(odd)));
	out_chr(o, '\0');
}

/* ---- lists of texts, also as an array for SQL ---- */

struct texts { char **v; unsigned n, size; };

static void texts_add(struct texts *t, const char *text)
{
	if (t->n == t->size) {
		t->size = t->size ? t->size * 2 : 1024;
		t->v = realloc(t->v, t->size * sizeof(*t->v));
		assert_non_null(t->v);
	}
	t->v[t->n++] = strdup(text);
}

static void texts_free(struct texts *t)
{
	while (t->n)
		free(t->v[--t->n]);
	free(t->v);
	*t = (struct texts){ 0 };
}

static void print_array(struct out *o, const struct texts *t)
{
	out_init_grow(o, 64 << 20);
	out_chr(o, '{');
	for (unsigned i = 0; i < t->n; i++) {
		out_z(o, i ? ",\"" : "\"");
		for (const char *p = t->v[i]; *p; p++) {
			if (*p == '"' || *p == '\\')
				out_chr(o, '\\');
			out_chr(o, *p);
		}
		out_chr(o, '"');
	}
	out_mem(o, "}", 2);
	assert_true(out_ok(o));
}

/* One row for each of b, in order. */
static PGresult *ask(const char *sql, const struct texts *a, const struct texts *b)
{
	struct out pa, pb;
	PGresult *r;

	pg_sql("SELECT 1"); /* connects */
	print_array(&pa, a);
	print_array(&pb, b);
	r = PQexecParams(pg.conn, sql, 2, NULL, (const char *const[]){ pa.p, pb.p }, NULL, NULL, 0);
	if (PQresultStatus(r) != PGRES_TUPLES_OK)
		fail_msg("%s", PQresultErrorMessage(r));
	assert_int_equal(PQntuples(r), b->n);
	out_fini(&pa);
	out_fini(&pb);
	return r;
}

static bool is_true(const PGresult *r, int row, int col)
{
	return PQgetvalue(r, row, col)[0] == 't';
}

/* ---- patterns ---- */

#define NPATTERNS 2400
#define NUMBERS_EACH 10
#define NPAIRS 30000

/* Making a pattern's regular expression is what costs: it is made once, by the function that the schema keeps it by, and by
 * pbx.pattern_matches() for the first number. */
static const char matches_sql[] =
	"WITH p AS MATERIALIZED (SELECT p, k, valid, CASE WHEN valid THEN pbx.pattern_regex(p) END AS regex FROM ("
	"  SELECT p, k, pbx.pattern_valid(p) AS valid FROM unnest($1::text[]) WITH ORDINALITY AS u(p, k) OFFSET 0) AS v),"
	" n AS (SELECT n, i FROM unnest($2::text[]) WITH ORDINALITY AS u(n, i)) "
	"SELECT valid, CASE WHEN NOT valid THEN false WHEN (i - 1) % 10 = 0 THEN pbx.pattern_matches(p, n)"
	" WHEN left(p, 1) = '_' THEN n ~ regex ELSE n = p END "
	"FROM n JOIN p ON k = 1 + (i - 1) / 10 ORDER BY i";

static void test_plan_property_patterns_match_the_same_numbers(void **state)
{
	struct texts patterns = { 0 }, numbers = { 0 };
	unsigned nvalid = 0, nmatches = 0;
	struct out p, n;
	PGresult *r;

	(void)state;
	out_init_grow(&p, 1 << 20);
	out_init_grow(&n, 1 << 20);
	for (unsigned i = 0; i < NPATTERNS; i++) {
		random_pattern(&p);
		texts_add(&patterns, p.p);
		for (unsigned k = 0; k < NUMBERS_EACH; k++) {
			random_number(&n, p.p);
			texts_add(&numbers, n.p);
		}
	}
	r = ask(matches_sql, &patterns, &numbers);
	for (unsigned i = 0; i < numbers.n; i++) {
		const char *pattern = patterns.v[i / NUMBERS_EACH];
		bool valid = pattern_is_valid(str_from(pattern), NULL);
		bool matches = valid && pattern_match(str_from(pattern), str_from(numbers.v[i]));

		nvalid += valid;
		nmatches += matches;
		if (valid != is_true(r, (int)i, 0))
			fail_msg("is '%s' a pattern? C: %d", pattern, valid);
		if (matches != is_true(r, (int)i, 1))
			fail_msg("does '%s' match '%s'? C: %d", pattern, numbers.v[i], matches);
	}
	print_message("%u cases, %u of valid patterns, %u matches\n", numbers.n, nvalid, nmatches);
	assert_true(nvalid > numbers.n / 2 && nvalid < numbers.n);
	assert_true(nmatches > numbers.n / 5);
	PQclear(r);
	texts_free(&patterns);
	texts_free(&numbers);
	out_fini(&p);
	out_fini(&n);
}

static int compare_ranks(const PGresult *r, unsigned a, unsigned b)
{
	/* Hex text sorts as its bytes do. */
	int c = strcmp(PQgetvalue(r, (int)a, 0), PQgetvalue(r, (int)b, 0));

	return c < 0 ? -1 : c > 0;
}

static void test_plan_property_patterns_rank_the_same(void **state)
{
	struct texts patterns = { 0 };
	unsigned counts[3] = { 0 };
	struct out p;
	PGresult *r;

	(void)state;
	out_init_grow(&p, 1 << 20);
	for (unsigned i = 0; i < NPATTERNS; i++) {
		random_valid_pattern(&p);
		texts_add(&patterns, p.p);
	}
	r = ask("SELECT encode(pbx.pattern_rank(p), 'hex') FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(p, q, k) ORDER BY k",
		&patterns, &patterns);
	for (unsigned i = 0; i < NPAIRS; i++) {
		unsigned a = rng_below(&rng, patterns.n), b = rng_below(&rng, patterns.n);
		int c = pattern_compare(str_from(patterns.v[a]), str_from(patterns.v[b]));

		c = c < 0 ? -1 : c > 0;
		counts[c + 1]++;
		if (c != compare_ranks(r, a, b))
			fail_msg("'%s' against '%s': C: %d", patterns.v[a], patterns.v[b], c);
	}
	print_message("%u pairs, %u of one rank\n", NPAIRS, counts[1]);
	assert_true(counts[0] > NPAIRS / 3 && counts[1] > 10 && counts[2] > NPAIRS / 3);
	PQclear(r);
	texts_free(&patterns);
	out_fini(&p);
}

/* ---- dialplans ---- */

#define NCONTEXTS 10
#define ROUTES_EACH 12
#define NDIALLED 400
#define NEDITS 40

static void add_route(unsigned context)
{
	struct out p;
	char *quoted;

	out_init_grow(&p, 1 << 20);
	/* Those that match nearly everything leave nothing for the others. */
	do
		random_valid_pattern(&p);
	while (strlen(p.p) < 3 && rng_below(&rng, 20) != 0);
	pg_sql("SELECT 1");
	quoted = PQescapeLiteral(pg.conn, p.p, strlen(p.p));
	/* One that matches just what another does is refused: another day. */
	pg_sql("INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'p%u', %s WHERE NOT EXISTS (SELECT FROM pbx.route"
	       " WHERE context = 'p%u' AND rank = pbx.pattern_rank(%s));"
	       " INSERT INTO pbx.step (domain, context, pattern, position, app) SELECT domain, context, pattern, 1, 'echo' FROM pbx.route AS r"
	       " WHERE context = 'p%u' AND NOT EXISTS (SELECT FROM pbx.step AS s WHERE (s.context, s.pattern) = (r.context, r.pattern))",
	       context, quoted, context, quoted, context);
	PQfreemem(quoted);
	out_fini(&p);
}

static void make_dialplan(void)
{
	pg_sql("BEGIN; INSERT INTO pbx.context (domain, context) SELECT 'office', 'p' || n FROM generate_series(0, %d) AS n", NCONTEXTS - 1);
	for (unsigned c = 0; c < NCONTEXTS; c++)
		for (unsigned i = 0; i < ROUTES_EACH; i++)
			add_route(c);
	/* To later ones alone, which the schema asks for: no rings. */
	for (unsigned c = 0; c + 1 < NCONTEXTS; c++)
		for (unsigned i = rng_below(&rng, 4); i; i--)
			pg_sql("INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'p%u', %u, 'p%u')"
			       " ON CONFLICT DO NOTHING", c, 1 + rng_below(&rng, 9), c + 1 + rng_below(&rng, NCONTEXTS - 1 - c));
	pg_sql("COMMIT");
}

static void edit_dialplan(void)
{
	unsigned c = rng_below(&rng, NCONTEXTS - 1);

	switch (rng_below(&rng, 5)) {
	case 0:
		add_route(c);
		break;
	case 1:
		pg_sql("DELETE FROM pbx.route WHERE ctid = (SELECT ctid FROM pbx.route WHERE context = 'p%u' ORDER BY rank OFFSET %u LIMIT 1)", c,
		       rng_below(&rng, 10));
		break;
	case 2:
		pg_sql("UPDATE pbx.route SET enabled = NOT enabled WHERE ctid = (SELECT ctid FROM pbx.route WHERE context = 'p%u'"
		       " ORDER BY rank OFFSET %u LIMIT 1)", c, rng_below(&rng, 10));
		break;
	case 3:
		pg_sql("DELETE FROM pbx.context_include WHERE context = 'p%u' AND position = %u", c, 1 + rng_below(&rng, 9));
		break;
	default:
		pg_sql("INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'p%u', %u, 'p%u')"
		       " ON CONFLICT DO NOTHING", c, 1 + rng_below(&rng, 9), c + 1 + rng_below(&rng, NCONTEXTS - 1 - c));
	}
}

/* A route comes into force last of all. */
static bool is_marked(void *arg)
{
	struct route *r;
	bool is = plan_match(bed.plan, "office", "pmark", str_from(arg), &r) == DIR_FOUND;

	if (is)
		route_release(r);
	return is;
}

static void catch_up(void)
{
	static unsigned n;
	char number[20];

	snprintf(number, sizeof(number), "%u", ++n);
	pg_sql("INSERT INTO pbx.context (domain, context) VALUES ('office', 'pmark') ON CONFLICT DO NOTHING;"
	       " INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'pmark', '%s');"
	       " INSERT INTO pbx.step (domain, context, pattern, position, app) VALUES ('office', 'pmark', '%s', 1, 'echo')", number, number);
	pg_wait(&bed.loop, is_marked, number);
}

/* Numbers that are likely to match something. */
static void dial_at_random(struct texts *contexts, struct texts *numbers)
{
	PGresult *r;
	struct out n;
	char context[12];

	pg_sql("SELECT 1");
	r = PQexec(pg.conn, "SELECT pattern FROM pbx.route WHERE context LIKE 'p%' ORDER BY context, rank");
	assert_true(PQntuples(r) > 0);
	out_init_grow(&n, 1 << 20);
	for (unsigned i = 0; i < NDIALLED; i++) {
		random_number(&n, PQgetvalue(r, (int)rng_below(&rng, (uint32_t)PQntuples(r)), 0));
		snprintf(context, sizeof(context), "p%u", rng_below(&rng, NCONTEXTS));
		texts_add(contexts, context);
		texts_add(numbers, n.p);
	}
	out_fini(&n);
	PQclear(r);
}

static unsigned compare_dialplans(void)
{
	struct texts contexts = { 0 }, numbers = { 0 };
	unsigned nmatches = 0;
	PGresult *r;

	dial_at_random(&contexts, &numbers);
	r = ask("SELECT (m).context, (m).pattern FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(c, n, k),"
		" LATERAL (SELECT pbx.match('office', c, n) AS m) AS l ORDER BY k", &contexts, &numbers);
	for (unsigned i = 0; i < contexts.n; i++) {
		struct route *route = NULL;
		bool found = plan_match(bed.plan, "office", contexts.v[i], str_from(numbers.v[i]), &route) == DIR_FOUND;
		const char *context = found ? route_context(route) : "", *pattern = found ? route_pattern(route) : "";

		nmatches += found;
		if (strcmp(context, PQgetvalue(r, (int)i, 0)) != 0 || strcmp(pattern, PQgetvalue(r, (int)i, 1)) != 0)
			fail_msg("'%s' in %s: C: %s/%s, SQL: %s/%s", numbers.v[i], contexts.v[i], context, pattern,
				 PQgetvalue(r, (int)i, 0), PQgetvalue(r, (int)i, 1));
		route_release(route);
	}
	PQclear(r);
	texts_free(&contexts);
	texts_free(&numbers);
	return nmatches;
}

static void test_plan_property_dialplans_route_the_same(void **state)
{
	unsigned ncases = NDIALLED, nmatches;

	(void)state;
	make_dialplan();
	open_loaded();
	nmatches = compare_dialplans();
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < NEDITS; i++)
			edit_dialplan();
		catch_up();
		nmatches += compare_dialplans();
		ncases += NDIALLED;
	}
	print_message("%u calls, %u of them found a route\n", ncases, nmatches);
	assert_true(nmatches > ncases / 4 && nmatches < ncases);
	close_plan();
}

/* ---- conditions and templates ---- */

#define NCONDITIONS 6000
#define NTEMPLATES 4000

static void random_condition(struct out *o)
{
	static const char *const parts[] = { "result", "a", "A", "_x1", "1", "=", "=", "=", "!=", "!", ",", ",", " ", " ", " ", " and ", " and ",
					     "and",
					     "busy", "_10XX", "and", "\t", "\xc3\xa4", "or", "" };
	unsigned n;

	out_reset(o);
	if (rng_below(&rng, 2)) {
		for (n = rng_below(&rng, 3) + 1; n; n--)
			out_fmt(o, "%s%s%s%s%s%s%s", rng_below(&rng, 3) ? "result" : "caller", rng_below(&rng, 4) ? "" : " ",
				rng_below(&rng, 4) ? "=" : "!=", rng_below(&rng, 4) ? "" : "  ", rng_below(&rng, 5) ? "busy" : "_1X",
				rng_below(&rng, 4) ? "" : " , x", n > 1 ? " and " : "");
		if (rng_below(&rng, 4) == 0)
			out_z(o, pick(parts, ARRAY_LEN(parts)));
	} else {
		for (n = rng_below(&rng, 9); n; n--)
			out_z(o, pick(parts, ARRAY_LEN(parts)));
	}
	out_chr(o, '\0');
}

static void test_plan_property_conditions_are_valid_alike(void **state)
{
	struct texts conditions = { 0 };
	unsigned nvalid = 0;
	struct out c;
	PGresult *r;

	(void)state;
	out_init_grow(&c, 1 << 20);
	for (unsigned i = 0; i < NCONDITIONS; i++) {
		random_condition(&c);
		texts_add(&conditions, c.p);
	}
	r = ask("SELECT pbx.condition_valid(c) FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(c, d, k) ORDER BY k", &conditions,
		&conditions);
	for (unsigned i = 0; i < conditions.n; i++) {
		bool valid = plan_condition_is_valid(conditions.v[i]);

		nvalid += valid;
		if (valid != is_true(r, (int)i, 0))
			fail_msg("is '%s' a condition? C: %d", conditions.v[i], valid);
	}
	print_message("%u conditions, %u valid\n", conditions.n, nvalid);
	assert_true(nvalid > conditions.n / 4 && nvalid < conditions.n * 3 / 4);
	PQclear(r);
	texts_free(&conditions);
	out_fini(&c);
}

static struct str template_var(struct str name, void *arg)
{
	(void)arg;
	return str_eqz(name, "a") ? STR("**1001") : str_eqz(name, "b1") ? STR("\xc3\x84rger") : str_eqz(name, "e") ? STR("") : STR_NULL;
}

static void test_plan_property_templates_substitute_alike(void **state)
{
	static const char *const parts[] = { "${a}", "${b1}", "${e}", "${none}", "${a:12345}", "${b1:1:2}", "${a:2:", "${a:", "${b1:",
					     "${none:-", "${e:-", "${", "}", "}", "}", ":", "1", "2",
					     "0", "99", "12345", "-", "x", " ", "$", "a", "{", "\xe2\x82\xac" };
	struct texts templates = { 0 };
	struct out t;
	PGresult *r;

	(void)state;
	out_init_grow(&t, 1 << 20);
	for (unsigned i = 0; i < NTEMPLATES; i++) {
		out_reset(&t);
		for (unsigned n = rng_below(&rng, 9); n; n--)
			out_z(&t, pick(parts, ARRAY_LEN(parts)));
		out_chr(&t, '\0');
		texts_add(&templates, t.p);
	}
	r = ask("SELECT pbx.substitute(t, '{\"a\": \"**1001\", \"b1\": \"\xc3\x84rger\", \"e\": \"\"}')"
		" FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(t, d, k) ORDER BY k", &templates, &templates);
	for (unsigned i = 0; i < templates.n; i++) {
		char buf[400];

		assert_int_equal(plan_substitute(templates.v[i], template_var, NULL, buf, sizeof(buf)), 0);
		if (strcmp(buf, PQgetvalue(r, (int)i, 0)) != 0)
			fail_msg("'%s': C: '%s', SQL: '%s'", templates.v[i], buf, PQgetvalue(r, (int)i, 0));
	}
	PQclear(r);
	texts_free(&templates);
	out_fini(&t);
}

static int setup(void **state)
{
	const char *seed = getenv("PLAN_SEED");

	rng_init_fixed(&rng, seed ? strtoull(seed, NULL, 10) : DEFAULT_SEED);
	print_message("PLAN_SEED=%llu\n", seed ? strtoull(seed, NULL, 10) : (unsigned long long)DEFAULT_SEED);
	return pg_group_start(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plan_property_patterns_match_the_same_numbers), cmocka_unit_test(test_plan_property_patterns_rank_the_same),
		cmocka_unit_test(test_plan_property_dialplans_route_the_same), cmocka_unit_test(test_plan_property_conditions_are_valid_alike),
		cmocka_unit_test(test_plan_property_templates_substitute_alike),
	};

	return cmocka_run_group_tests_name("plan_property", tests, setup, pg_group_stop);
}

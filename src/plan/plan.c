/* plan.c - the cached dialplan: contexts with their includes and their routes.
 *
 * Each context has a pattern set of its routes. The directory's change feed tells what has changed; that is fetched by one statement,
 * so in one snapshot, and put into the copy in one go: a call sees the dialplan of before a COMMIT or of behind it. What could not be
 * fetched stays due; the copy stays in use meanwhile.
 *
 * There may be a million routes: each is one block of memory, found by the pattern set of its context alone. They are loaded a page at a
 * time, by the order of their keys, and what changes by a million rows at once is fetched in as small parts: neither holds up the loop.
 * What changes while pages are loaded is told, and fetched again behind the last of them.
 */
#define LOG_MODULE "plan"
#include "plan/plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/log.h"
#include "base/out.h"
#include "plan/pattern.h"

#define RETRY_MS 300
#define PAGE 1500 /* routes a statement: some 5 ms of the loop */
#define PAGE_TEXT "1500"
#define ROUTE_KEY 6 /* column */

/* One block, with all its texts. */
struct route {
	int refs;
	unsigned nsteps;
	const char *context, *pattern;
	const char *value;        /* of an entry of a list; NULL: of a route */
	struct step steps[];
};

struct context {
	UT_hash_handle hh;
	struct pattern_set *routes;
	unsigned nincluded;
	char **included;
	/* Of the search under way: contexts may include each other in a ring. */
	uint64_t seen;
	struct context *parent;
	unsigned at;              /* the include to look at next */
	char key[];               /* domain/context */
};

struct copy {
	struct context *contexts;
	unsigned nroutes;
};

/* Something that is to be fetched. */
struct due {
	UT_hash_handle hh;
	bool is_asked;            /* by the query under way, and has not changed since */
	char name[];              /* 'r'oute or 'c'ontext, then the key */
};

struct plan {
	struct db *db;
	struct directory *directory;
	const struct log *log;
	struct directory_watcher watcher;
	struct copy copy;
	struct copy fresh;        /* what is being loaded, up to the route after */
	char *after;
	struct due *due;
	uint64_t query;           /* under way */
	bool is_all_due, is_all_asked, is_loaded, is_closing;
	uint64_t nsearches;
	uv_timer_t timer;
	void (*done)(void *arg);
	void *done_arg;
};

/* ---- routes ---- */

void route_release(struct route *r)
{
	if (!r || --r->refs)
		return;
	free(r);
}

const char *route_pattern(const struct route *r) { return r->pattern; }
const char *route_context(const struct route *r) { return r->context; }
const char *route_value(const struct route *r) { return r->value; }

unsigned route_steps(const struct route *r, const struct step **out)
{
	*out = r->steps;
	return r->nsteps;
}

/* The room that texts take, and then the texts. */
struct texts { char *at; size_t size; };

static const char *text_add(struct texts *t, struct str s)
{
	char *at = t->at;

	t->size += s.n + 1;
	if (!at)
		return NULL;
	memcpy(at, s.p, s.n);
	at[s.n] = '\0';
	t->at += s.n + 1;
	return at;
}

static const char *text_of(struct texts *t, const json_t *value)
{
	return text_add(t, (struct str){ json_string_value(value), json_string_length(value) });
}

/* row: {"app", "condition", "args": {name: text}}. Arguments that are null are as if they were not there. */
static void fill_step(struct step *s, struct step_arg *args, struct texts *t, json_t *row)
{
	json_t *value, *condition = json_object_get(row, "condition");
	const char *name;

	s->app = text_of(t, json_object_get(row, "app"));
	s->condition = json_is_string(condition) ? text_of(t, condition) : NULL;
	s->args = args;
	s->nargs = 0;
	json_object_foreach(json_object_get(row, "args"), name, value)
		if (json_is_string(value)) {
			args[s->nargs].name = text_add(t, str_from(name));
			args[s->nargs++].value = text_of(t, value);
		}
}

/* What a route is made of. steps: an array of rows in order */
struct parts { struct str context, pattern, value; json_t *steps; };

static bool measure(const struct parts *parts, struct texts *t, size_t *nargs)
{
	json_t *row, *value;
	const char *name;
	size_t i;

	json_array_foreach(parts->steps, i, row) {
		json_t *condition = json_object_get(row, "condition");

		if (!json_is_string(json_object_get(row, "app")))
			return false;
		text_of(t, json_object_get(row, "app"));
		if (json_is_string(condition))
			text_of(t, condition);
		json_object_foreach(json_object_get(row, "args"), name, value)
			if (json_is_string(value)) {
				text_add(t, str_from(name));
				text_of(t, value);
				++*nargs;
			}
	}
	text_add(t, parts->context);
	text_add(t, parts->pattern);
	if (parts->value.p)
		text_add(t, parts->value);
	return true;
}

static struct route *route_of(const struct parts *parts)
{
	size_t nsteps = json_array_size(parts->steps), nargs = 0, i;
	struct texts t = { 0 };
	struct step_arg *args;
	struct route *r;
	json_t *row;

	if (!parts->steps || !measure(parts, &t, &nargs))
		return NULL;
	r = malloc(sizeof(*r) + nsteps * sizeof(struct step) + nargs * sizeof(*args) + t.size);
	if (!r)
		return NULL;
	args = (struct step_arg *)&r->steps[nsteps];
	t.at = (char *)&args[nargs];
	r->refs = 1;
	r->nsteps = (unsigned)nsteps;
	json_array_foreach(parts->steps, i, row) {
		fill_step(&r->steps[i], args, &t, row);
		args += r->steps[i].nargs;
	}
	r->context = text_add(&t, parts->context);
	r->pattern = text_add(&t, parts->pattern);
	r->value = parts->value.p ? text_add(&t, parts->value) : NULL;
	return r;
}

static struct route *route_new(struct str context, struct str pattern, struct str steps, struct str value)
{
	struct parts parts = { context, pattern, value, json_loadb(steps.p, steps.n, 0, NULL) };
	struct route *r = route_of(&parts);

	json_decref(parts.steps);
	return r;
}

/* ---- contexts ---- */

static struct context *context_find(const struct copy *copy, const char *domain, struct str name)
{
	char key[200];
	struct context *c = NULL;
	int n = str_join(key, sizeof(key), domain, '/', name);

	if (n > 0)
		HASH_FIND(hh, copy->contexts, key, (unsigned)n, c);
	return c;
}

static struct context *context_get(struct copy *copy, struct str key)
{
	struct context *c;

	HASH_FIND(hh, copy->contexts, key.p, (unsigned)key.n, c);
	if (c)
		return c;
	c = calloc(1, sizeof(*c) + key.n + 1);
	if (!c)
		return NULL;
	c->routes = pattern_set_new();
	if (!c->routes) {
		free(c);
		return NULL;
	}
	memcpy(c->key, key.p, key.n);
	HASH_ADD_KEYPTR(hh, copy->contexts, c->key, (unsigned)key.n, c);
	return c;
}

static void context_drop_includes(struct context *c)
{
	for (unsigned i = 0; i < c->nincluded; i++)
		free(c->included[i]);
	free(c->included);
	c->included = NULL;
	c->nincluded = 0;
}

/* list: names with \x1f between them */
static void context_set_includes(struct context *c, struct str list)
{
	unsigned n = 1;

	context_drop_includes(c);
	for (size_t i = 0; i < list.n; i++)
		n += list.p[i] == '\x1f';
	c->included = list.n ? calloc(n, sizeof(char *)) : NULL;
	while (c->included && list.n) {
		char *name = str_dup(str_cut(&list, '\x1f'));

		if (name)
			c->included[c->nincluded++] = name;
	}
}

/* key: domain/context/pattern; neither of them has a '/' */
static void route_drop(struct copy *copy, const char *key)
{
	const char *pattern = strrchr(key, '/');
	struct context *c = NULL;
	struct route *r;

	if (pattern)
		HASH_FIND(hh, copy->contexts, key, (unsigned)(pattern - key), c);
	r = c ? pattern_set_remove(c->routes, str_from(pattern + 1)) : NULL;
	if (r)
		copy->nroutes--;
	route_release(r);
}

static void on_value(void *value)
{
	route_release(value);
}

static void copy_clear(struct copy *copy)
{
	struct context *c, *next_c;

	HASH_ITER(hh, copy->contexts, c, next_c) {
		HASH_DEL(copy->contexts, c);
		context_drop_includes(c);
		pattern_set_free(c->routes, on_value);
		free(c);
	}
	copy->nroutes = 0;
}

/* ---- fetching ---- */

/* Lists of numbers are kept as contexts, whose names no context can have. A change of such a table is one of the entry of its list. */
static const struct { const char *table, *list; } lists[] = {
	{ "inbound_number", PLAN_INBOUND "/" }, { "emergency_number", PLAN_EMERGENCY "/" }, { "blocked_caller", PLAN_BLOCKED "/" },
	{ "trunk_rewrite", PLAN_TRUNK_REWRITE "/" }, { "route_rewrite", PLAN_ROUTE_REWRITE "/" },
};

#define LIST(table, list, pattern, context, value) LISTS(table, "domain || '/" list "'", pattern, context, value)
/* One table with many lists. */
#define LISTS(table, list, pattern, context, value)                                                                        \
	"UNION ALL SELECT 'r', " list ", " context ", " pattern ", '[]', " value ", NULL FROM pbx." table                   \
	" WHERE ($2::text[] IS NULL OR " list " || '/' || " pattern " = ANY($2)) "

/* Contexts and lists. $1 the contexts wanted; those of lists are wanted by $2; NULL: all. */
#define CONTEXTS_AND_LISTS                                                                                                 \
	"SELECT 'c', c.domain || '/' || c.context, c.context, NULL, ("                                                     \
	"  SELECT string_agg(i.included, E'\\x1f' ORDER BY i.position) FROM pbx.context_include AS i"                      \
	"  WHERE (i.domain, i.context) = (c.domain, c.context)), NULL, NULL "                                              \
	"FROM pbx.context AS c WHERE ($1::text[] IS NULL OR c.domain || '/' || c.context = ANY($1)) "                      \
	LIST("inbound_number", PLAN_INBOUND, "number", "coalesce(context, '')", "target")                                  \
	LIST("emergency_number", PLAN_EMERGENCY, "number", "context", "name")                                              \
	LIST("blocked_caller", PLAN_BLOCKED, "pattern", "''", "status::text")                                              \
	LISTS("trunk_rewrite", "concat_ws('/', domain, '" PLAN_TRUNK_REWRITE "', trunk, direction, party)", "pattern", "''", "result") \
	LISTS("route_rewrite", "concat_ws('/', domain, '" PLAN_ROUTE_REWRITE "', context, route, party)", "pattern", "''", "result")

/* Steps as JSON, put together as text: it takes half as long as jsonb_agg(). Arguments that are no texts in JSON become some. */
#define ROUTE_COLUMNS                                                                                                      \
	"SELECT 'r', r.domain || '/' || r.context, r.context, r.pattern, '[' || array_to_string(ARRAY("                    \
	"  SELECT '{\"app\":' || to_json(s.app) || ',\"condition\":' || coalesce(to_json(s.condition)::text, 'null') || ',\"args\":' ||" \
	"    CASE WHEN s.args @? '$.* ? (@.type() != \"string\")'"                                                         \
	"      THEN (SELECT coalesce(jsonb_object_agg(a.key, a.value), '{}') FROM jsonb_each_text(s.args) AS a)"           \
	"      ELSE s.args END::text || '}'"                                                                                     \
	"  FROM pbx.step AS s WHERE (s.domain, s.context, s.pattern) = (r.domain, r.context, r.pattern) ORDER BY s.position), ',') || ']'," \
	"  NULL, r.domain || '/' || r.context || '/' || r.pattern "                                                        \
	"FROM pbx.route AS r WHERE r.enabled "

static const char all_sql[] = CONTEXTS_AND_LISTS;
static const char page_sql[] = ROUTE_COLUMNS "AND r.domain || '/' || r.context || '/' || r.pattern > $1 "
	"ORDER BY r.domain || '/' || r.context || '/' || r.pattern LIMIT $2";
static const char fetch_sql[] = CONTEXTS_AND_LISTS "UNION ALL (" ROUTE_COLUMNS
	"AND r.domain || '/' || r.context || '/' || r.pattern = ANY($2))";

static void go_on(struct plan *p);

static void take_context(struct copy *copy, const struct db_rows *rows, int row)
{
	struct context *c = context_get(copy, db_rows_get(rows, row, 1));

	if (c)
		context_set_includes(c, db_rows_get(rows, row, 4));
}

static void take_route(struct plan *p, struct copy *copy, const struct db_rows *rows, int row)
{
	struct str context = db_rows_get(rows, row, 1), pattern = db_rows_get(rows, row, 3);
	struct context *c = context_get(copy, context);
	struct route *r = c ? route_new(db_rows_get(rows, row, 2), pattern, db_rows_get(rows, row, 4), db_rows_get(rows, row, 5)) : NULL;

	if (!r || pattern_set_add(c->routes, pattern, r) != 0) {
		log_error(p->log, "route %.*s/%.*s can't be used", STR_ARG(context), STR_ARG(pattern));
		route_release(r);
		return;
	}
	copy->nroutes++;
}

static void take_rows(struct plan *p, struct copy *copy, const struct db_rows *rows)
{
	for (int i = 0; i < db_rows_count(rows); i++)
		if (db_rows_get(rows, i, 0).p[0] == 'c')
			take_context(copy, rows, i);
		else
			take_route(p, copy, rows, i);
}

/* What was asked for and didn't come has gone. Of a context only the includes go here: its routes are told one by one. */
static void drop_asked(struct plan *p)
{
	struct due *d, *next;
	struct context *c;

	HASH_ITER(hh, p->due, d, next) {
		if (!d->is_asked)
			continue;
		if (d->name[0] == 'r') {
			route_drop(&p->copy, d->name + 1);
		} else {
			HASH_FIND_STR(p->copy.contexts, d->name + 1, c);
			if (c)
				context_drop_includes(c);
		}
		HASH_DEL(p->due, d);
		free(d);
	}
}

static void on_timer(uv_timer_t *timer);

/* All that was asked stays due. */
static void retry(struct plan *p)
{
	copy_clear(&p->fresh);
	p->is_all_due = p->is_all_due || p->is_all_asked;
	uv_timer_start(&p->timer, on_timer, RETRY_MS, 0);
}

static bool has_failed(struct plan *p, const struct db_answer *a)
{
	p->query = 0;
	if (a->err == -EINVAL)
		log_error(p->log, "dialplan not read: %s", a->message);
	if (a->err)
		retry(p);
	return a->err != 0;
}

static void on_fetched(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;

	(void)id;
	if (has_failed(p, a))
		return;
	drop_asked(p);
	take_rows(p, &p->copy, a->rows);
	go_on(p);
}

/* ---- loading all ---- */

static void fetch_page(struct plan *p);

static void loaded(struct plan *p)
{
	copy_clear(&p->copy);
	p->copy = p->fresh;
	p->fresh = (struct copy){ 0 };
	p->is_loaded = true;
	log_info(p->log, "dialplan loaded routes=%u contexts=%u", p->copy.nroutes, HASH_COUNT(p->copy.contexts));
	go_on(p);
}

static void on_page(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;
	int n;

	(void)id;
	if (has_failed(p, a))
		return;
	take_rows(p, &p->fresh, a->rows);
	n = db_rows_count(a->rows);
	if (n < PAGE) {
		loaded(p);
		return;
	}
	free(p->after);
	p->after = str_dup(db_rows_get(a->rows, n - 1, ROUTE_KEY));
	fetch_page(p);
}

/* A row's key is behind that of the page before; without memory for it all begins anew. */
static void fetch_page(struct plan *p)
{
	if (p->after)
		p->query = db_query(p->db, page_sql, 2, (struct db_param[]){ DB_TEXT(p->after), DB_TEXT(PAGE_TEXT) }, on_page, p);
	if (!p->query)
		retry(p);
}

static void on_contexts(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;

	(void)id;
	if (has_failed(p, a))
		return;
	take_rows(p, &p->fresh, a->rows);
	free(p->after);
	p->after = strdup("");
	fetch_page(p);
}

/* What is due by now is in it; what becomes due from now on may not be. */
static void fetch_all(struct plan *p)
{
	struct due *d, *next;

	HASH_ITER(hh, p->due, d, next) {
		HASH_DEL(p->due, d);
		free(d);
	}
	p->is_all_asked = true;
	p->is_all_due = false;
	p->query = db_query(p->db, all_sql, 2, (struct db_param[]){ DB_TEXT(NULL), DB_TEXT(NULL) }, on_contexts, p);
}

/* ---- fetching what has changed ---- */

static void array_add(struct out *o, const char *key)
{
	out_z(o, o->len ? ",\"" : "{\"");
	for (; *key; key++) {
		if (*key == '"' || *key == '\\')
			out_chr(o, '\\');
		out_chr(o, *key);
	}
	out_chr(o, '"');
}

static void array_end(struct out *o)
{
	if (!o->len)
		out_chr(o, '{');
	out_mem(o, "}", 2);
}

static void fetch(struct plan *p)
{
	struct out contexts, routes;
	unsigned n = 0;
	struct due *d;

	out_init_grow(&contexts, 1 << 20);
	out_init_grow(&routes, 1 << 20);
	for (d = p->due; d; d = d->hh.next) {
		d->is_asked = n++ < PAGE;
		if (d->is_asked)
			array_add(d->name[0] == 'r' ? &routes : &contexts, d->name + 1);
	}
	array_end(&contexts);
	array_end(&routes);
	p->is_all_asked = false;
	if (out_ok(&contexts) && out_ok(&routes))
		p->query = db_query(p->db, fetch_sql, 2, (struct db_param[]){ DB_TEXT(contexts.p), DB_TEXT(routes.p) }, on_fetched, p);
	else
		p->is_all_due = true;
	out_fini(&contexts);
	out_fini(&routes);
}

static void on_timer(uv_timer_t *timer)
{
	go_on(timer->data);
}

static void go_on(struct plan *p)
{
	if (p->query || p->is_closing)
		return;
	if (!p->due && !p->is_all_due) {
		log_debug(p->log, "up to date");
		return;
	}
	if (p->is_all_due)
		fetch_all(p);
	else
		fetch(p);
	if (!p->query)
		retry(p);
}

static void add_due(struct plan *p, char what, const char *key)
{
	struct due *d = calloc(1, sizeof(*d) + strlen(key) + 2), *old;

	if (!d) {
		p->is_all_due = true;
	} else {
		d->name[0] = what;
		strcpy(d->name + 1, key);
		HASH_FIND_STR(p->due, d->name, old);
		if (old) {
			old->is_asked = false;
			free(d);
		} else {
			HASH_ADD_STR(p->due, name, d);
		}
	}
}

/* "office/0900" of blocked_caller is the route "office/#blocked/0900". */
static bool add_list_due(struct plan *p, const char *table, const char *key)
{
	size_t domain = strcspn(key, "/") + 1;
	char name[400];
	unsigned i = 0;

	while (i < ARRAY_LEN(lists) && strcmp(table, lists[i].table) != 0)
		i++;
	if (i == ARRAY_LEN(lists) || domain > strlen(key))
		return false;
	if (snprintf(name, sizeof(name), "%.*s%s%s", (int)domain, key, lists[i].list, key + domain) < (int)sizeof(name))
		add_due(p, 'r', name);
	else
		p->is_all_due = true;
	return true;
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct plan *p = arg;

	if (!strcmp(table, "route"))
		add_due(p, 'r', key);
	else if (!strcmp(table, "context"))
		add_due(p, 'c', key);
	else if (!strcmp(table, "*"))
		p->is_all_due = true;
	else if (!add_list_due(p, table, key))
		return;
	/* Others of the same batch follow: they are fetched together. */
	if (!p->query)
		uv_timer_start(&p->timer, on_timer, 0, 0);
}

/* ---- look-up ---- */

/* Walks contexts depth first, each once. The way back is kept in the contexts, as tasks have small stacks. */
static struct context *walk_begin(struct plan *p, const char *domain, const char *context)
{
	struct context *c = context_find(&p->copy, domain, str_from(context));

	if (c) {
		c->seen = ++p->nsearches;
		c->parent = NULL;
		c->at = 0;
	}
	return c;
}

static struct context *walk_next(struct plan *p, const char *domain, struct context *c)
{
	while (c) {
		while (c->at < c->nincluded) {
			struct context *child = context_find(&p->copy, domain, str_from(c->included[c->at++]));

			if (!child || child->seen == p->nsearches)
				continue;
			child->seen = p->nsearches;
			child->parent = c;
			child->at = 0;
			return child;
		}
		c = c->parent;
	}
	return NULL;
}

bool plan_match_prefix(struct plan *p, const char *domain, const char *context, struct str digits)
{
	for (struct context *c = walk_begin(p, domain, context); c; c = walk_next(p, domain, c))
		if (pattern_set_begins(c->routes, digits))
			return true;
	return false;
}

enum dir_answer plan_match(struct plan *p, const char *domain, const char *context, struct str number, struct route **out)
{
	struct route *r = NULL;

	if (!p->is_loaded)
		return DIR_UNKNOWN;
	for (struct context *c = walk_begin(p, domain, context); c && !r; c = walk_next(p, domain, c))
		r = pattern_set_match(c->routes, number);
	if (!r)
		return DIR_ABSENT;
	r->refs++;
	*out = r;
	return DIR_FOUND;
}

/* ---- life ---- */

int plan_new(struct plan **out, uv_loop_t *loop, struct db *db, struct directory *d, const struct log *log)
{
	struct plan *p = calloc(1, sizeof(*p));
	int err;

	if (!p)
		return -ENOMEM;
	err = uv_timer_init(loop, &p->timer);
	if (err) {
		free(p);
		return err;
	}
	p->timer.data = p;
	p->db = db;
	p->directory = d;
	p->log = log;
	p->watcher.on_change = on_change;
	p->watcher.arg = p;
	directory_watch(d, &p->watcher);
	if (directory_is_loaded(d))
		on_change("*", "", p);
	*out = p;
	return 0;
}

const struct route *plan_list_find(const struct plan *p, const char *domain, const char *list, struct str number)
{
	const struct context *c = context_find(&p->copy, domain, str_from(list));

	return c ? pattern_set_match(c->routes, number) : NULL;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct plan *p = handle->data;
	void (*done)(void *) = p->done;
	void *arg = p->done_arg;
	struct due *d, *next;

	HASH_ITER(hh, p->due, d, next) {
		HASH_DEL(p->due, d);
		free(d);
	}
	copy_clear(&p->copy);
	copy_clear(&p->fresh);
	free(p->after);
	free(p);
	if (done)
		done(arg);
}

void plan_close(struct plan *p, void (*done)(void *arg), void *arg)
{
	p->is_closing = true;
	p->done = done;
	p->done_arg = arg;
	directory_unwatch(p->directory, &p->watcher);
	if (p->query)
		db_forget(p->db, p->query);
	uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

bool plan_is_loaded(const struct plan *p)
{
	return p->is_loaded;
}

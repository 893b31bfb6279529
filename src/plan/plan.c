/* plan.c - the cached dialplan: contexts with their includes and their routes.
 *
 * Each context has a pattern set of its routes. What changes is told by the directory's change feed and fetched again, one query
 * at a time, so that an older answer can't overwrite a newer one.
 */
#define LOG_MODULE "plan"
#include "plan/plan.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "base/log.h"
#include "plan/pattern.h"

#define INCLUDES_MAX 64

struct route {
	int refs;
	char *context, *pattern;
	unsigned nsteps;
	struct step *steps;
	json_t *doc;              /* owns the texts of the steps */
};

struct context {
	UT_hash_handle hh;
	struct pattern_set *routes;
	unsigned nincluded;
	char **included;
	char key[];               /* domain/context */
};

/* Routes by their key too, so that one can be replaced. */
struct entry { UT_hash_handle hh; struct route *route; struct context *context; char key[]; };

struct pending { struct pending *next; char table; char key[]; }; /* table: 'r'oute, 'c'ontext, '*' all */

struct plan {
	struct db *db;
	struct directory *directory;
	const struct log *log;
	struct directory_watcher watcher;
	struct context *contexts;
	struct entry *entries;
	struct pending *pending;
	uint64_t query;           /* under way */
	char fetching[400];       /* key of it, "" for all */
	bool is_loaded;
};

/* ---- routes ---- */

void route_release(struct route *r)
{
	if (!r || --r->refs)
		return;
	json_decref(r->doc);
	for (unsigned i = 0; i < r->nsteps; i++)
		free((struct step_arg *)r->steps[i].args);
	free(r->steps);
	free(r->context);
	free(r->pattern);
	free(r);
}

const char *route_pattern(const struct route *r) { return r->pattern; }
const char *route_context(const struct route *r) { return r->context; }

unsigned route_steps(const struct route *r, const struct step **out)
{
	*out = r->steps;
	return r->nsteps;
}

static int fill_step(struct step *s, json_t *row)
{
	json_t *args = json_object_get(row, "args"), *value;
	struct step_arg *list = calloc(json_object_size(args) + 1, sizeof(*list));
	const char *name;

	if (!list)
		return -ENOMEM;
	s->app = json_string_value(json_object_get(row, "app"));
	s->condition = json_string_value(json_object_get(row, "condition"));
	json_object_foreach(args, name, value) {
		list[s->nargs].name = name;
		list[s->nargs++].value = json_string_value(value);
	}
	s->args = list;
	return s->app ? 0 : -EINVAL;
}

/* steps: [{"app", "condition", "args": {name: text}}, ...] in order */
static struct route *route_new(struct str context, struct str pattern, struct str steps)
{
	struct route *r = calloc(1, sizeof(*r));
	size_t i;
	json_t *row;
	int err = 0;

	if (!r)
		return NULL;
	r->refs = 1;
	r->context = str_dup(context);
	r->pattern = str_dup(pattern);
	r->doc = json_loadb(steps.p, steps.n, 0, NULL);
	r->steps = calloc(json_array_size(r->doc) + 1, sizeof(*r->steps));
	if (!r->context || !r->pattern || !r->doc || !r->steps)
		err = -ENOMEM;
	if (!err)
		json_array_foreach(r->doc, i, row) {
			r->nsteps++;
			if (fill_step(&r->steps[i], row) != 0)
				err = -EINVAL;
		}
	if (err) {
		route_release(r);
		return NULL;
	}
	return r;
}

/* ---- contexts ---- */

static struct context *context_find(struct plan *p, const char *domain, struct str name)
{
	char key[200];
	struct context *c = NULL;
	int n = snprintf(key, sizeof(key), "%s/%.*s", domain, STR_ARG(name));

	if (n > 0 && (size_t)n < sizeof(key))
		HASH_FIND(hh, p->contexts, key, (unsigned)n, c);
	return c;
}

static struct context *context_get(struct plan *p, struct str key)
{
	struct context *c;

	HASH_FIND(hh, p->contexts, key.p, (unsigned)key.n, c);
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
	HASH_ADD_KEYPTR(hh, p->contexts, c->key, (unsigned)key.n, c);
	return c;
}

static void context_set_includes(struct context *c, struct str list)
{
	for (unsigned i = 0; i < c->nincluded; i++)
		free(c->included[i]);
	free(c->included);
	c->nincluded = 0;
	c->included = calloc(INCLUDES_MAX, sizeof(char *));
	while (c->included && list.n && c->nincluded < INCLUDES_MAX) {
		char *name = str_dup(str_cut(&list, '\x1f'));

		if (name)
			c->included[c->nincluded++] = name;
	}
}

static void entry_remove(struct plan *p, struct entry *e)
{
	pattern_set_remove(e->context->routes, str_from(e->route->pattern));
	HASH_DEL(p->entries, e);
	route_release(e->route);
	free(e);
}

static void context_free(struct plan *p, struct context *c)
{
	HASH_DEL(p->contexts, c);
	context_set_includes(c, STR_NULL);
	free(c->included);
	pattern_set_free(c->routes);
	free(c);
}

static void clear(struct plan *p)
{
	struct entry *e, *next_e;
	struct context *c, *next_c;

	HASH_ITER(hh, p->entries, e, next_e)
		entry_remove(p, e);
	HASH_ITER(hh, p->contexts, c, next_c)
		context_free(p, c);
}

/* ---- fetching ---- */

static const char routes_sql[] =
	"SELECT r.domain || '/' || r.context, r.context, r.pattern, coalesce(("
	"  SELECT jsonb_agg(jsonb_build_object('app', s.app, 'condition', s.condition, 'args', ("
	"    SELECT coalesce(jsonb_object_agg(a.key, a.value), '{}') FROM jsonb_each_text(s.args) AS a)) ORDER BY s.position)"
	"  FROM pbx.step AS s WHERE (s.domain, s.context, s.pattern) = (r.domain, r.context, r.pattern)), '[]')::text "
	"FROM pbx.route AS r WHERE r.enabled AND ($1::text IS NULL OR r.domain || '/' || r.context || '/' || r.pattern = $1)";
static const char contexts_sql[] =
	"SELECT c.domain || '/' || c.context, ("
	"  SELECT string_agg(i.included, E'\\x1f' ORDER BY i.position) FROM pbx.context_include AS i"
	"  WHERE (i.domain, i.context) = (c.domain, c.context)) "
	"FROM pbx.context AS c WHERE ($1::text IS NULL OR c.domain || '/' || c.context = $1)";

static void go_on(struct plan *p);
static void push(struct plan *p, char table, const char *key);

static void take_route(struct plan *p, const struct db_rows *rows, int row)
{
	struct str context = db_rows_get(rows, row, 0), pattern = db_rows_get(rows, row, 2);
	struct context *c = context_get(p, context);
	struct entry *e = c ? calloc(1, sizeof(*e) + context.n + pattern.n + 2) : NULL;

	if (!e)
		return;
	sprintf(e->key, "%.*s/%.*s", STR_ARG(context), STR_ARG(pattern));
	e->context = c;
	e->route = route_new(db_rows_get(rows, row, 1), pattern, db_rows_get(rows, row, 3));
	if (!e->route || pattern_set_add(c->routes, pattern, e->route) != 0) {
		log_error(p->log, "route %s can't be used", e->key);
		route_release(e->route);
		free(e);
		return;
	}
	HASH_ADD_STR(p->entries, key, e);
}

static void on_routes(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;
	struct entry *e;

	(void)id;
	p->query = 0;
	if (a->err) {
		/* Asked again when the directory says that the database is back. */
		log_warn(p->log, "dialplan not read: %s", a->message);
		return;
	}
	HASH_FIND_STR(p->entries, p->fetching, e);
	if (e)
		entry_remove(p, e);
	for (int i = 0; i < db_rows_count(a->rows); i++)
		take_route(p, a->rows, i);
	if (!p->fetching[0]) {
		p->is_loaded = true;
		log_info(p->log, "dialplan loaded routes=%u contexts=%u", HASH_COUNT(p->entries), HASH_COUNT(p->contexts));
	}
	go_on(p);
}

static void fetch_routes(struct plan *p)
{
	p->query = db_query(p->db, routes_sql, 1, &DB_TEXT(p->fetching[0] ? p->fetching : NULL), on_routes, p);
}

static void on_contexts(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;
	bool all = !p->fetching[0];

	(void)id;
	p->query = 0;
	if (a->err) {
		log_warn(p->log, "contexts not read: %s", a->message);
		return;
	}
	if (all)
		clear(p);
	else if (!db_rows_count(a->rows)) {
		struct context *c;

		/* Its routes have gone with it, each told as a change of its own: only the includes are dropped here. */
		HASH_FIND_STR(p->contexts, p->fetching, c);
		if (c)
			context_set_includes(c, STR_NULL);
	}
	for (int i = 0; i < db_rows_count(a->rows); i++) {
		struct context *c = context_get(p, db_rows_get(a->rows, i, 0));

		if (c)
			context_set_includes(c, db_rows_get(a->rows, i, 1));
	}
	if (all)
		fetch_routes(p);
	else
		go_on(p);
}

static void go_on(struct plan *p)
{
	struct pending *next = p->pending;

	if (p->query)
		return;
	if (!next) {
		log_debug(p->log, "up to date");
		return;
	}
	LL_DELETE(p->pending, next);
	snprintf(p->fetching, sizeof(p->fetching), "%s", next->key);
	if (next->table == 'r')
		fetch_routes(p);
	else
		p->query = db_query(p->db, contexts_sql, 1, &DB_TEXT(p->fetching[0] ? p->fetching : NULL), on_contexts, p);
	free(next);
}

static void push(struct plan *p, char table, const char *key)
{
	struct pending *n;

	LL_FOREACH(p->pending, n)
		if (n->table == table && !strcmp(n->key, key))
			return;
	n = calloc(1, sizeof(*n) + strlen(key) + 1);
	if (!n)
		return;
	n->table = table;
	strcpy(n->key, key);
	LL_APPEND(p->pending, n);
	go_on(p);
}

static void on_change(const char *table, const char *key, void *arg)
{
	if (!strcmp(table, "route"))
		push(arg, 'r', key);
	else if (!strcmp(table, "context"))
		push(arg, 'c', key);
	else if (!strcmp(table, "*"))
		push(arg, '*', "");
}

/* ---- look-up ---- */

struct search {
	struct plan *plan;
	const char *domain;
	struct str number;
	unsigned nseen;
	const struct context *seen[INCLUDES_MAX * 4];
};

/* Each context is looked at once, also in a loop of includes. */
static bool visit(struct search *s, const struct context *c)
{
	if (!c || s->nseen == ARRAY_LEN(s->seen))
		return false;
	for (unsigned i = 0; i < s->nseen; i++)
		if (s->seen[i] == c)
			return false;
	s->seen[s->nseen++] = c;
	return true;
}

static struct route *search(struct search *s, const struct context *c)
{
	struct route *r;

	if (!visit(s, c))
		return NULL;
	r = pattern_set_match(c->routes, s->number);
	for (unsigned i = 0; !r && i < c->nincluded; i++)
		r = search(s, context_find(s->plan, s->domain, str_from(c->included[i])));
	return r;
}

static bool search_prefix(struct search *s, const struct context *c)
{
	bool found;

	if (!visit(s, c))
		return false;
	found = pattern_set_begins(c->routes, s->number);
	for (unsigned i = 0; !found && i < c->nincluded; i++)
		found = search_prefix(s, context_find(s->plan, s->domain, str_from(c->included[i])));
	return found;
}

bool plan_match_prefix(struct plan *p, const char *domain, const char *context, struct str digits)
{
	struct search s = { .plan = p, .domain = domain, .number = digits };

	return search_prefix(&s, context_find(p, domain, str_from(context)));
}

enum dir_answer plan_match(struct plan *p, const char *domain, const char *context, struct str number, struct route **out)
{
	struct search s = { .plan = p, .domain = domain, .number = number };
	struct route *r;

	if (!p->is_loaded)
		return DIR_UNKNOWN;
	r = search(&s, context_find(p, domain, str_from(context)));
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

	(void)loop;
	if (!p)
		return -ENOMEM;
	p->db = db;
	p->directory = d;
	p->log = log;
	p->watcher.on_change = on_change;
	p->watcher.arg = p;
	directory_watch(d, &p->watcher);
	if (directory_is_loaded(d))
		push(p, '*', "");
	*out = p;
	return 0;
}

void plan_close(struct plan *p, void (*done)(void *arg), void *arg)
{
	if (p->query)
		db_forget(p->db, p->query);
	while (p->pending) {
		struct pending *n = p->pending;

		LL_DELETE(p->pending, n);
		free(n);
	}
	clear(p);
	free(p);
	if (done)
		done(arg);
}

bool plan_is_loaded(const struct plan *p)
{
	return p->is_loaded;
}

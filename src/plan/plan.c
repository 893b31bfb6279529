/* plan.c - the cached dialplan: contexts with their includes and their routes.
 *
 * Each context has a pattern set of its routes. The directory's change feed tells what has changed; that is fetched by one statement,
 * so in one snapshot, and put into the copy in one go: a call sees the dialplan of before a COMMIT or of behind it. What could not be
 * fetched stays due; the copy stays in use meanwhile.
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

struct route {
	int refs;
	char *context, *pattern;
	char *value;              /* of an entry of a list; NULL: of a route */
	unsigned nsteps;
	struct step *steps;
	json_t *doc;              /* owns the texts of the steps */
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

/* Routes by their key too, so that one can be replaced. */
struct entry { UT_hash_handle hh; struct route *route; struct context *context; char key[]; };

struct copy {
	struct context *contexts;
	struct entry *entries;
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
	json_decref(r->doc);
	for (unsigned i = 0; i < r->nsteps; i++)
		free((struct step_arg *)r->steps[i].args);
	free(r->steps);
	free(r->context);
	free(r->pattern);
	free(r->value);
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
		if (!json_is_string(value))
			continue; /* null: as if it were not there */
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

static void entry_remove(struct copy *copy, struct entry *e)
{
	pattern_set_remove(e->context->routes, str_from(e->route->pattern));
	HASH_DEL(copy->entries, e);
	route_release(e->route);
	free(e);
}

static void copy_clear(struct copy *copy)
{
	struct entry *e, *next_e;
	struct context *c, *next_c;

	HASH_ITER(hh, copy->entries, e, next_e)
		entry_remove(copy, e);
	HASH_ITER(hh, copy->contexts, c, next_c) {
		HASH_DEL(copy->contexts, c);
		context_drop_includes(c);
		pattern_set_free(c->routes);
		free(c);
	}
}

/* ---- fetching ---- */

/* Lists of numbers are kept as contexts, whose names no context can have. A change of such a table is one of the entry of its list. */
static const struct { const char *table, *list; } lists[] = {
	{ "inbound_number", PLAN_INBOUND "/" }, { "emergency_number", PLAN_EMERGENCY "/" }, { "blocked_caller", PLAN_BLOCKED "/" },
};

#define LIST(table, list, pattern, context, value)                                                                         \
	"UNION ALL SELECT 'r', domain || '/" list "', " context ", " pattern ", '[]', " value " FROM pbx." table            \
	" WHERE ($2::text[] IS NULL OR domain || '/" list "/' || " pattern " = ANY($2)) "

/* $1 the contexts wanted, $2 the routes; NULL: all. */
static const char fetch_sql[] =
	"SELECT 'c', c.domain || '/' || c.context, c.context, NULL, ("
	"  SELECT string_agg(i.included, E'\\x1f' ORDER BY i.position) FROM pbx.context_include AS i"
	"  WHERE (i.domain, i.context) = (c.domain, c.context)), NULL "
	"FROM pbx.context AS c WHERE ($1::text[] IS NULL OR c.domain || '/' || c.context = ANY($1)) "
	"UNION ALL "
	"SELECT 'r', r.domain || '/' || r.context, r.context, r.pattern, coalesce(("
	"  SELECT jsonb_agg(jsonb_build_object('app', s.app, 'condition', s.condition, 'args', ("
	"    SELECT coalesce(jsonb_object_agg(a.key, a.value), '{}') FROM jsonb_each_text(s.args) AS a)) ORDER BY s.position)"
	"  FROM pbx.step AS s WHERE (s.domain, s.context, s.pattern) = (r.domain, r.context, r.pattern)), '[]')::text, NULL "
	"FROM pbx.route AS r WHERE r.enabled AND ($2::text[] IS NULL OR r.domain || '/' || r.context || '/' || r.pattern = ANY($2)) "
	LIST("inbound_number", PLAN_INBOUND, "number", "coalesce(context, '')", "target")
	LIST("emergency_number", PLAN_EMERGENCY, "number", "context", "name")
	LIST("blocked_caller", PLAN_BLOCKED, "pattern", "''", "status::text");

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
	struct entry *e = c ? calloc(1, sizeof(*e) + context.n + pattern.n + 2) : NULL;

	if (!e)
		return;
	sprintf(e->key, "%.*s/%.*s", STR_ARG(context), STR_ARG(pattern));
	e->context = c;
	e->route = route_new(db_rows_get(rows, row, 2), pattern, db_rows_get(rows, row, 4));
	if (e->route && db_rows_get(rows, row, 5).p)
		e->route->value = str_dup(db_rows_get(rows, row, 5));
	if (!e->route || pattern_set_add(c->routes, pattern, e->route) != 0) {
		log_error(p->log, "route %s can't be used", e->key);
		route_release(e->route);
		free(e);
		return;
	}
	HASH_ADD_STR(copy->entries, key, e);
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
	struct entry *e;

	HASH_ITER(hh, p->due, d, next) {
		if (!d->is_asked)
			continue;
		if (d->name[0] == 'r') {
			HASH_FIND_STR(p->copy.entries, d->name + 1, e);
			if (e)
				entry_remove(&p->copy, e);
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
	p->is_all_due = p->is_all_due || p->is_all_asked;
	uv_timer_start(&p->timer, on_timer, RETRY_MS, 0);
}

static void on_fetched(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;
	struct copy fresh = { 0 };

	(void)id;
	p->query = 0;
	if (a->err) {
		if (a->err == -EINVAL)
			log_error(p->log, "dialplan not read: %s", a->message);
		retry(p);
		return;
	}
	drop_asked(p);
	if (p->is_all_asked) {
		take_rows(p, &fresh, a->rows);
		copy_clear(&p->copy);
		p->copy = fresh;
		p->is_loaded = true;
		log_info(p->log, "dialplan loaded routes=%u contexts=%u", HASH_COUNT(p->copy.entries), HASH_COUNT(p->copy.contexts));
	} else {
		take_rows(p, &p->copy, a->rows);
	}
	go_on(p);
}

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
	struct due *d;

	out_init_grow(&contexts, 16 << 20);
	out_init_grow(&routes, 16 << 20);
	for (d = p->due; d; d = d->hh.next) {
		array_add(d->name[0] == 'r' ? &routes : &contexts, d->name + 1);
		d->is_asked = true;
	}
	array_end(&contexts);
	array_end(&routes);
	/* More than can be told apart: all. */
	p->is_all_asked = p->is_all_due || !out_ok(&contexts) || !out_ok(&routes);
	p->is_all_due = false;
	p->query = db_query(p->db, fetch_sql, 2,
			    (struct db_param[]){ DB_TEXT(p->is_all_asked ? NULL : contexts.p), DB_TEXT(p->is_all_asked ? NULL : routes.p) },
			    on_fetched, p);
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

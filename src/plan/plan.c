/* plan.c - the cached dialplan: contexts with their includes and their routes.
 *
 * Each context has a pattern set of its routes. The directory's change feed tells what has changed; that is fetched by one statement,
 * so in one snapshot, and put into the copy in one go: a call sees the dialplan of before a COMMIT or of behind it. What could not be
 * fetched stays due; the copy stays in use meanwhile.
 *
 * There may be a million routes: each is one block of memory, found by the pattern set of its context alone. They are loaded as the rows
 * come (db_copy()), which the database needn't sort or join for it: first all steps, of which routes are made, then all routes, as there are
 * such without steps and such that are out of use. What has changed is fetched in small parts; where it is much, all is loaded instead.
 * A copy that is replaced is freed a little at a time. So nothing of it holds up the loop.
 */
#define LOG_MODULE "plan"
#include "plan/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/log.h"
#include "base/out.h"
#include "plan/pattern.h"
#include "plan/route.h"

#define RETRY_MS 300
#define PAGE 1500         /* of what has changed, a statement: some 5 ms of the loop */
#define DUE_MAX 50000     /* where more than that has changed all is loaded: that takes less time a route */
#define KEY_MAX 700       /* of a context or list: that of a route's rewriting has its pattern in it */
#define SHED 1000         /* routes freed at once */

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
	/* The route of which steps are coming, not in its context yet: those of one mostly come one behind the other. */
	struct route *coming;
	struct context *coming_to;
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
	struct copy fresh;        /* what is being loaded */
	struct copy old;          /* what is being freed */
	int64_t seq, fresh_seq;   /* the copies have all changes up to that one; 0: not known */
	struct due *due;
	uint64_t query;           /* under way */
	bool is_all_due, is_all_asked, is_loaded, is_closing;
	uint64_t nsearches;
	unsigned nopen;           /* handles */
	uv_timer_t timer;
	uv_idle_t shed;
	void (*done)(void *arg);
	void *done_arg;
};

/* ---- contexts ---- */

static const char *pattern_of(const void *route)
{
	return route_pattern(route);
}

static struct context *context_find(const struct copy *copy, const char *domain, struct str name)
{
	char key[KEY_MAX];
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
	c->routes = pattern_set_new(pattern_of);
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

/* Some of it, and returns whether there is more. */
static bool copy_shed(struct copy *copy, unsigned max)
{
	struct context *c, *next_c;

	route_release(copy->coming);
	copy->coming = NULL;
	HASH_ITER(hh, copy->contexts, c, next_c) {
		unsigned n = pattern_set_shed(c->routes, max, on_value);

		if (n == max)
			return true;
		max -= n;
		HASH_DEL(copy->contexts, c);
		context_drop_includes(c);
		free(c);
	}
	copy->nroutes = 0;
	return false;
}

static void copy_clear(struct copy *copy)
{
	while (copy_shed(copy, SHED))
		;
}

static void on_shed(uv_idle_t *idle)
{
	struct plan *p = idle->data;

	if (!copy_shed(&p->old, SHED))
		uv_idle_stop(idle);
}

/* Frees it in time. Copies come seldom: what is left of the one before goes at once. */
static void copy_leave(struct plan *p, struct copy *copy)
{
	copy_clear(&p->old);
	p->old = *copy;
	*copy = (struct copy){ 0 };
	uv_idle_start(&p->shed, on_shed);
}

/* ---- fetching ---- */

/* Lists of numbers are kept as contexts, whose names no context can have. A change of such a table is one of the entry of its list. */
static const struct { const char *table, *list; } lists[] = {
	{ "inbound_number", PLAN_INBOUND "/" }, { "emergency_number", PLAN_EMERGENCY "/" }, { "blocked_caller", PLAN_BLOCKED "/" },
	{ "trunk_rewrite", PLAN_TRUNK_REWRITE "/" }, { "route_rewrite", PLAN_ROUTE_REWRITE "/" },
};

/* Rows are: what ('c'ontext, entry of a 'l'ist, 's'tep, 'r'oute, or 'v': the change that all is at least as new as), domain, context or list,
 * pattern, and of a context its includes, of an entry its context and value, of a step position, app, condition and args, of a route
 * whether it is in use. Steps come first. */
enum { WHAT, DOMAIN, CONTEXT, PATTERN, MORE };
enum { STEP_POSITION = MORE, STEP_APP, STEP_CONDITION, STEP_ARGS };
enum { LIST_CONTEXT = MORE, LIST_VALUE };

/* list: its name behind the domain; a table may have many */
#define LIST(table, list, pattern, context, value, which)                                                                  \
	"UNION ALL SELECT 'l', domain, " list ", " pattern ", " context ", " value ", NULL, NULL FROM pbx." table " " which(list, pattern)

#define CONTEXTS(which)                                                                                                    \
	"SELECT 'c', domain, context, NULL, ("                                                                             \
	"  SELECT string_agg(i.included, E'\\x1f' ORDER BY i.position) FROM pbx.context_include AS i"                      \
	"  WHERE (i.domain, i.context) = (c.domain, c.context)), NULL, NULL, NULL FROM pbx.context AS c " which

#define LISTS(which)                                                                                                       \
	LIST("inbound_number", "'" PLAN_INBOUND "'", "number", "coalesce(context, '')", "target", which)                           \
	LIST("emergency_number", "'" PLAN_EMERGENCY "'", "number", "context", "name", which)                                       \
	LIST("blocked_caller", "'" PLAN_BLOCKED "'", "pattern", "''", "status::text", which)                               \
	LIST("trunk_rewrite", "concat_ws('/', '" PLAN_TRUNK_REWRITE "', trunk, direction, party)", "pattern", "''", "result", which) \
	LIST("route_rewrite", "concat_ws('/', '" PLAN_ROUTE_REWRITE "', context, route, party)", "pattern", "''", "result", which)

#define STEP_COLUMNS  "SELECT 's', s.domain, s.context, s.pattern, s.position::text, s.app, s.condition, s.args::text "
#define ROUTE_COLUMNS "SELECT 'r', r.domain, r.context, r.pattern, CASE WHEN r.enabled THEN 't' END, NULL, NULL, NULL "

/* All. The rows of a UNION ALL that no other processes help with come in its order. */
#define NO_CONDITION(list, pattern) ""
static const char all_sql[] =
	"SELECT 'v', NULL, NULL, NULL, max(seq)::text, NULL, NULL, NULL FROM pbx.change UNION ALL " CONTEXTS("") LISTS(NO_CONDITION)
	"UNION ALL " STEP_COLUMNS "FROM pbx.step AS s UNION ALL " ROUTE_COLUMNS "FROM pbx.route AS r";

/* $1 the contexts wanted, $2 routes and entries of lists. The steps are looked for by their key, whatever statistics there are. */
#define IS_ENTRY_ASKED(list, pattern) "WHERE domain || '/' || " list " || '/' || " pattern " = ANY($2) "
#define IS_ASKED "r.domain || '/' || r.context || '/' || r.pattern = ANY($2) "
static const char fetch_sql[] =
	CONTEXTS("WHERE domain || '/' || context = ANY($1) ") LISTS(IS_ENTRY_ASKED)
	"UNION ALL " STEP_COLUMNS "FROM pbx.route AS r, LATERAL (SELECT * FROM pbx.step AS x"
	" WHERE (x.domain, x.context, x.pattern) = (r.domain, r.context, r.pattern) ORDER BY x.position) AS s WHERE " IS_ASKED
	"UNION ALL " ROUTE_COLUMNS "FROM pbx.route AS r WHERE " IS_ASKED;

static void go_on(struct plan *p);

static void put(struct plan *p, struct copy *copy, struct context *c, struct route *r)
{
	if (pattern_set_add(c->routes, r) == 0) {
		copy->nroutes++;
		return;
	}
	log_error(p->log, "route %s/%s can't be used", c->key, r->pattern);
	route_release(r);
}

/* All steps of the route that come one behind the other have come: they go to those of it that are there. */
static void flush_coming(struct plan *p, struct copy *copy)
{
	struct route *r = copy->coming, *old, *all;
	struct context *c = copy->coming_to;

	copy->coming = NULL;
	old = r ? pattern_set_get(c->routes, str_from(r->pattern)) : NULL;
	if (!old || strcmp(old->pattern, r->pattern) != 0) {
		if (r)
			put(p, copy, c, r);
		return;
	}
	all = route_with(old, r);
	route_release(r);
	if (all && pattern_set_replace(c->routes, old, all) == 0) {
		route_release(old);
		return;
	}
	log_error(p->log, "steps of route %s/%s can't be used", c->key, old->pattern);
	route_release(all);
}

static struct context *row_context(struct copy *copy, const struct db_rows *rows, int row)
{
	struct str domain = db_rows_get(rows, row, DOMAIN), context = db_rows_get(rows, row, CONTEXT);
	char key[KEY_MAX];

	if (domain.n + 1 + context.n > sizeof(key))
		return NULL;
	memcpy(key, domain.p, domain.n);
	key[domain.n] = '/';
	memcpy(key + domain.n + 1, context.p, context.n);
	return context_get(copy, (struct str){ key, domain.n + 1 + context.n });
}

static void take_step(struct plan *p, struct copy *copy, const struct db_rows *rows, int row)
{
	struct context *c = row_context(copy, rows, row);
	struct str context = db_rows_get(rows, row, CONTEXT), pattern = db_rows_get(rows, row, PATTERN);
	const struct route_step step = { db_rows_get(rows, row, STEP_POSITION), db_rows_get(rows, row, STEP_APP),
					 db_rows_get(rows, row, STEP_CONDITION), db_rows_get(rows, row, STEP_ARGS) };
	struct route *r = route_new(context, pattern, STR_NULL, &step), *more;

	if (c && r && copy->coming && copy->coming_to == c && str_eqz(pattern, route_pattern(copy->coming))) {
		more = route_with(copy->coming, r);
		if (more)
			route_release(copy->coming);
		route_release(r);
		copy->coming = more ? more : copy->coming;
		r = more;
	} else if (c && r) {
		flush_coming(p, copy);
		copy->coming = r;
		copy->coming_to = c;
	}
	if (!c || !r)
		log_error(p->log, "a step of route %.*s/%.*s can't be used", STR_ARG(context), STR_ARG(pattern));
}

/* Its steps have come. */
static void take_route(struct plan *p, struct copy *copy, const struct db_rows *rows, int row)
{
	struct context *c = row_context(copy, rows, row);
	struct str pattern = db_rows_get(rows, row, PATTERN);
	bool is_enabled = db_rows_get(rows, row, MORE).p != NULL;
	struct route *r;

	flush_coming(p, copy);
	r = c ? pattern_set_get(c->routes, pattern) : NULL;
	if (r && !is_enabled) {
		route_release(pattern_set_remove(c->routes, pattern));
		copy->nroutes--;
	} else if (c && !r && is_enabled) {
		r = route_new(db_rows_get(rows, row, CONTEXT), pattern, STR_NULL, NULL);
		if (r)
			put(p, copy, c, r);
	}
}

static void take_entry(struct plan *p, struct copy *copy, const struct db_rows *rows, int row)
{
	struct context *c = row_context(copy, rows, row);
	struct route *r = c ? route_new(db_rows_get(rows, row, LIST_CONTEXT), db_rows_get(rows, row, PATTERN), db_rows_get(rows, row, LIST_VALUE), NULL) : NULL;

	if (r)
		put(p, copy, c, r);
}

static void take_row(struct plan *p, struct copy *copy, const struct db_rows *rows, int row)
{
	struct context *c;

	switch (db_rows_get(rows, row, WHAT).p[0]) {
	case 'v':
		p->fresh_seq = strtoll(db_rows_get(rows, row, MORE).p ? db_rows_get(rows, row, MORE).p : "0", NULL, 10);
		break;
	case 'c':
		c = row_context(copy, rows, row);
		if (c)
			context_set_includes(c, db_rows_get(rows, row, MORE));
		break;
	case 'l':
		take_entry(p, copy, rows, row);
		break;
	case 's':
		take_step(p, copy, rows, row);
		break;
	default:
		take_route(p, copy, rows, row);
	}
}

/* What was asked for and didn't come has gone. Of a context only the includes go here: its routes are told one by one. */
static void drop_asked(struct plan *p)
{
	struct due *d, *next;
	struct context *c;
	unsigned n = 0;

	HASH_ITER(hh, p->due, d, next) {
		if (n++ == PAGE)
			break;
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
	copy_leave(p, &p->fresh);
	p->is_all_due = p->is_all_due || p->is_all_asked;
	p->is_all_asked = false;
	uv_timer_start(&p->timer, on_timer, RETRY_MS, 0);
}

static bool has_failed(struct plan *p, const struct db_answer *a)
{
	if (a->err == -EINVAL)
		log_error(p->log, "dialplan not read: %s", a->message);
	if (a->err) {
		p->query = 0;
		retry(p);
	}
	return a->err != 0;
}

static void on_fetched(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;

	(void)id;
	if (has_failed(p, a))
		return;
	p->query = 0;
	if (!p->is_all_due) {
		drop_asked(p);
		for (int i = 0; i < db_rows_count(a->rows); i++)
			take_row(p, &p->copy, a->rows, i);
		flush_coming(p, &p->copy);
	}
	go_on(p);
}

/* ---- loading all ---- */

static void loaded(struct plan *p)
{
	flush_coming(p, &p->fresh);
	copy_leave(p, &p->copy);
	p->copy = p->fresh;
	p->fresh = (struct copy){ 0 };
	p->seq = p->fresh_seq;
	p->is_all_asked = false;
	p->is_loaded = true;
	log_info(p->log, "dialplan loaded routes=%u contexts=%u", p->copy.nroutes, HASH_COUNT(p->copy.contexts));
	go_on(p);
}

static void on_row(uint64_t id, const struct db_answer *a, void *arg)
{
	struct plan *p = arg;

	(void)id;
	if (has_failed(p, a))
		return;
	if (db_rows_count(a->rows)) {
		take_row(p, &p->fresh, a->rows, 0);
	} else {
		p->query = 0;
		loaded(p);
	}
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
	p->fresh_seq = 0;
	p->query = db_copy(p->db, all_sql, on_row, p);
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
	struct due *d = p->due;

	out_init_grow(&contexts, 1 << 20);
	out_init_grow(&routes, 1 << 20);
	for (unsigned n = 0; d && n < PAGE; d = d->hh.next, n++) {
		d->is_asked = true;
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
	struct due *d, *old;

	if (p->is_all_due)
		return;
	d = calloc(1, sizeof(*d) + strlen(key) + 2);
	if (!d || HASH_COUNT(p->due) == DUE_MAX) {
		free(d);
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
	char name[KEY_MAX + 100];
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

/* Is a change in the copy, or in what is being loaded, anyway? Of the rest of a million that are told when they have been loaded. */
static bool is_known(const struct plan *p)
{
	return directory_seq(p->directory) <= (p->is_all_asked ? p->fresh_seq : p->seq);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct plan *p = arg;

	if (!strcmp(table, "*"))
		p->is_all_due = true;
	else if (is_known(p))
		;
	else if (!strcmp(table, "route"))
		add_due(p, 'r', key);
	else if (!strcmp(table, "context"))
		add_due(p, 'c', key);
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
	uv_idle_init(loop, &p->shed);
	p->nopen = 2;
	p->timer.data = p->shed.data = p;
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

static void on_handle_closed(uv_handle_t *handle)
{
	struct plan *p = handle->data;
	void (*done)(void *) = p->done;
	void *arg = p->done_arg;
	struct due *d, *next;

	if (--p->nopen)
		return;
	HASH_ITER(hh, p->due, d, next) {
		HASH_DEL(p->due, d);
		free(d);
	}
	copy_clear(&p->copy);
	copy_clear(&p->fresh);
	copy_clear(&p->old);
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
	uv_close((uv_handle_t *)&p->timer, on_handle_closed);
	uv_close((uv_handle_t *)&p->shed, on_handle_closed);
}

bool plan_is_loaded(const struct plan *p)
{
	return p->is_loaded;
}

/* qualify.c - OPTIONS to trunks and phones, each extension and trunk by a timer of its own.
 *
 * A trunk has one client that asks again and again, by each of its proxies until one answers; a phone's is made for each question, since contacts come and go. What a
 * phone answered is kept in its binding.
 */
#define LOG_MODULE "qualify"
#include "registrar/qualify.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/table.h"
#include "registrar/live.h"
#include "registrar/outgoing.h"

#define PHONE_TIMEOUT_MS 5000   /* four tries over UDP */
#define TRUNK_TIMEOUT_MS 10000  /* some targets may be tried */
#define SOON_MS 2000            /* who has just registered is asked within so long */
#define KEPT_MS 1000            /* but not before its row is in the database */
#define REWRITE_MS 600000       /* what is true is written again now and then, whatever became of the row */
#define URI_MAX 400
#define TRUNK_DOWN_MS 120000    /* what was seen longer ago is no reason not to try */
#define RTT_STEP_US 5000        /* a round trip that changed by less, or by less than half, isn't written */
#define PENDING_MAX 50000       /* rows waiting for a database that is away */

/* One that is asked, and what it said. */
struct peer {
	struct peer *prev, *next;
	struct qualify *of;
	char domain[64], name[64], uri[URI_MAX], first_route[URI_MAX], from[80];
	char route[URI_MAX];       /* the way that is asked on now */
	unsigned way;              /* which it is (trunk_way()): while one doesn't answer the next is asked, and the trunk is there if any does */
	struct client client;
	struct timer timer;
	bool is_known, is_reachable, is_changed, is_seen;
	bool has_oc;               /* overload control is offered */
	uint32_t rtt_us;
	int64_t since_ms;
	uint64_t asked_ms;         /* of the wheel: when it last answered, or didn't */
};

/* An extension whose phones are asked. */
struct asked {
	UT_hash_handle hh;
	struct qualify *of;
	struct timer timer;
	char *domain, *number;
	char key[];                /* "domain/number" */
};

/* A question to a phone, under way. */
struct question {
	struct question *prev, *next;
	struct qualify *of;
	struct client client;
	struct sip_dest dest;
	uint32_t reg_id;
	char *domain, *number, *contact, *instance, *path; /* in text */
	char from[80], uri[BINDING_TARGET_MAX];
	char text[];
};

struct qualify {
	struct qualify_params p;
	char *node;
	struct peer *trunks;
	struct asked *asked;       /* hash */
	struct question *questions;
	struct live trunk_live, phone_live;
	json_t *pending, *sent;    /* rows of phones: to be written, and being written */
	struct directory_watcher watcher;
};

static bool is_alive(int status)
{
	return status && status != 408 && status != 430 && status != 480 && status != 503;
}

/* Not all in one moment: a tenth more or less. */
static uint64_t period_ms(struct qualify *q, uint32_t s)
{
	return (uint64_t)s * 900 + rng_below(q->p.env.rng, s * 200 + 1);
}

/* Is the new time worth a row? */
static bool is_other_time(uint32_t was_us, uint32_t is_us)
{
	uint32_t diff = was_us > is_us ? was_us - is_us : is_us - was_us;

	return diff > RTT_STEP_US && diff > was_us / 2;
}

/* ---- trunks ---- */

static bool collect_trunks(json_t *docs, unsigned max, void *arg)
{
	struct qualify *q = arg;
	struct peer *t;
	unsigned n = 0;

	DL_FOREACH(q->trunks, t) {
		if (!t->is_changed)
			continue;
		if (n++ == max)
			return true;
		json_array_append_new(docs, json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "domain", t->domain, "name", t->name, "node", q->node,
						      "reachable", t->is_known ? json_boolean(t->is_reachable) : json_null(),
						      "since_ms", t->is_known ? json_integer(t->since_ms) : json_null(),
						      "rtt_us", t->is_known && t->is_reachable ? json_integer(t->rtt_us) : json_null()));
		t->is_changed = false;
	}
	return false;
}

static void lost_trunks(void *arg)
{
	struct qualify *q = arg;
	struct peer *t;

	DL_FOREACH(q->trunks, t)
		t->is_changed = true;
	q->trunk_live.is_touched = true;
}

static const struct live_handler trunk_live_handler = { .collect = collect_trunks, .lost = lost_trunks };

static int ask_on(struct peer *t)
{
	const struct client_request req = { .method = SIP_OPTIONS, .uri = t->uri, .from = t->from, .to = t->uri,
					    .oc = t->has_oc ? SIP_OC_OFFER : SIP_OC_NONE, .route = t->route[0] ? t->route : NULL, .timeout_ms = TRUNK_TIMEOUT_MS };

	return client_send(&t->client, &req);
}

static bool ask_other_way(struct peer *t)
{
	const struct dir_trunk *row;

	while (directory_trunk(t->of->p.directory, t->domain, str_from(t->name), &row) == DIR_FOUND &&
	       trunk_way(row, ++t->way, t->route, sizeof(t->route)))
		if (ask_on(t) == 0)
			return true;
	return false;
}

static void on_trunk_done(struct client *c, int status, const struct sip_msg *m, uint32_t rtt_us, void *arg)
{
	struct peer *t = arg;
	struct qualify *q = t->of;
	bool is_reachable = m && is_alive(status);
	const struct dir_trunk *row;

	(void)c;
	if (!is_reachable && ask_other_way(t))
		return;
	if (!t->is_known || t->is_reachable != is_reachable) {
		t->since_ms = clock_wall_ms(q->p.env.clock);
		t->is_changed = true;
		if (t->is_known || !is_reachable)
			log_warn(q->p.env.log, "trunk=%s/%s %s status=%d", t->domain, t->name, is_reachable ? "answers again" : "doesn't answer", status);
	}
	t->is_known = true;
	t->is_reachable = is_reachable;
	t->asked_ms = timers_now(q->p.env.timers);
	if (is_reachable && (t->is_changed || is_other_time(t->rtt_us, rtt_us))) {
		t->rtt_us = rtt_us;
		t->is_changed = true;
	}
	if (t->is_changed)
		live_touch(&q->trunk_live);
	if (directory_trunk(q->p.directory, t->domain, str_from(t->name), &row) == DIR_FOUND && row->qualify_s)
		timer_start(q->p.env.timers, &t->timer, period_ms(q, row->qualify_s));
}

static const struct client_handler trunk_handler = { .on_done = on_trunk_done };

static void ask_trunk(void *arg)
{
	struct peer *t = arg;

	if (client_is_busy(&t->client))
		return;
	t->way = 0;
	str_put(t->route, sizeof(t->route), t->first_route);
	if (ask_on(t) != 0)
		on_trunk_done(&t->client, 0, NULL, 0, t);
}

static void trunk_free(struct peer *t)
{
	DL_DELETE(t->of->trunks, t);
	timer_stop(t->of->p.env.timers, &t->timer);
	client_fini(&t->client);
	free(t);
}

static struct peer *trunk_find(const struct qualify *q, const char *domain, const char *name)
{
	struct peer *t;

	DL_FOREACH(q->trunks, t)
		if (!strcmp(t->domain, domain) && !strcmp(t->name, name))
			return t;
	return NULL;
}

static void on_trunk(const struct dir_trunk *row, void *arg)
{
	struct qualify *q = arg;
	struct peer *t = trunk_find(q, row->domain, row->name);
	char route[URI_MAX] = "";

	if (!row->qualify_s || !row->uri || strlen(row->uri) >= URI_MAX || !trunk_way(row, 0, route, sizeof(route)))
		return;
	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return;
		t->of = q;
		str_put(t->domain, sizeof(t->domain), row->domain);
		str_put(t->name, sizeof(t->name), row->name);
		snprintf(t->from, sizeof(t->from), "sip:%s", row->domain);
		client_init(&t->client, &q->p.env, &trunk_handler, t);
		timer_init(&t->timer, ask_trunk, t);
		DL_APPEND(q->trunks, t);
	}
	t->is_seen = true;
	t->has_oc = row->has_overload_control;
	if (!strcmp(t->uri, row->uri) && !strcmp(t->first_route, route) && (timer_is_running(&t->timer) || client_is_busy(&t->client)))
		return;
	client_fini(&t->client);
	str_put(t->uri, sizeof(t->uri), row->uri);
	str_put(t->first_route, sizeof(t->first_route), route);
	t->is_known = false;
	timer_start(q->p.env.timers, &t->timer, 1 + rng_below(q->p.env.rng, 200));
}

static const char unknown_sql[] =
	"UPDATE pbx.trunk_state AS s SET reachable = NULL, reachable_since = NULL, rtt_us = NULL FROM pbx.trunk AS t"
	" WHERE (t.domain, t.name) = (s.domain, s.name) AND s.node = $1 AND NOT (t.enabled AND t.qualify_s IS NOT NULL)"
	" AND s.reachable IS NOT NULL";

static void read_trunks(struct qualify *q)
{
	struct peer *t, *next;
	bool has_gone = false;

	DL_FOREACH(q->trunks, t)
		t->is_seen = false;
	directory_trunks(q->p.directory, on_trunk, q);
	DL_FOREACH_SAFE(q->trunks, t, next)
		if (!t->is_seen) {
			has_gone = true;
			trunk_free(t);
		}
	if (has_gone && q->p.db)
		db_query(q->p.db, unknown_sql, 1, (struct db_param[]){ DB_TEXT(q->node) }, NULL, NULL);
}

bool qualify_is_trunk_down(const struct qualify *q, const char *domain, const char *trunk)
{
	const struct peer *t = trunk_find(q, domain, trunk);

	return t && t->is_known && !t->is_reachable && timers_now(q->p.env.timers) - t->asked_ms < TRUNK_DOWN_MS;
}

/* ---- phones: what is written ---- */

static bool collect_phones(json_t *docs, unsigned max, void *arg)
{
	struct qualify *q = arg;
	size_t n = json_array_size(q->pending);

	json_array_clear(q->sent);
	if (n > max)
		n = max;
	for (size_t i = 0; i < n; i++) {
		json_t *doc = json_array_get(q->pending, i);

		json_array_append(docs, doc);
		json_array_append(q->sent, doc);
	}
	if (n == json_array_size(q->pending)) {
		json_array_clear(q->pending);
		return false;
	}
	while (n--) /* seldom: more than one batch */
		json_array_remove(q->pending, n);
	return true;
}

static void lost_phones(void *arg)
{
	struct qualify *q = arg;

	/* In front of what came later. */
	json_array_extend(q->sent, q->pending);
	json_array_clear(q->pending);
	json_array_extend(q->pending, q->sent);
	json_array_clear(q->sent);
	q->phone_live.is_touched = true;
}

static const struct live_handler phone_live_handler = { .collect = collect_phones, .lost = lost_phones };

static void write_phone(struct qualify *q, const struct question *a, struct binding *b)
{
	json_t *doc;

	b->reach_written_ms = clock_wall_ms(q->p.env.clock);
	if (!q->p.db || json_array_size(q->pending) >= PENDING_MAX)
		return;
	doc = json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:I, s:o}", "domain", a->domain, "number", a->number, "contact", a->contact,
			"instance", a->instance ? a->instance : "", "reg_id", (json_int_t)a->reg_id, "reachable", !b->is_unreachable,
			"since_ms", (json_int_t)b->reach_since_ms, "rtt_us", b->is_unreachable ? json_null() : json_integer(b->rtt_us));
	if (doc)
		json_array_append_new(q->pending, doc);
	live_touch(&q->phone_live);
}

/* ---- phones: questions ---- */

static void question_free(struct question *a)
{
	DL_DELETE(a->of->questions, a);
	client_fini(&a->client);
	free(a);
}

static void on_phone_done(struct client *c, int status, const struct sip_msg *m, uint32_t rtt_us, void *arg)
{
	struct question *a = arg;
	struct qualify *q = a->of;
	const struct binding_key key = { a->domain, a->number, a->contact, a->instance, a->reg_id };
	struct binding *b = registrar_binding(q->p.registrar, &key);
	bool is_reachable = m && is_alive(status), is_changed;

	(void)c;
	if (b) {
		is_changed = !b->reach_since_ms || b->is_unreachable == is_reachable;
		if (is_changed) {
			b->reach_since_ms = clock_wall_ms(q->p.env.clock);
			b->is_unreachable = !is_reachable;
			log_info(q->p.env.log, "aor=%s/%s contact=%s %s status=%d", a->domain, a->number, a->contact,
				 is_reachable ? "answers" : "doesn't answer", status);
		}
		if (is_reachable && (is_changed || is_other_time(b->rtt_us, rtt_us))) {
			b->rtt_us = rtt_us;
			is_changed = true;
		}
		if (is_changed || clock_wall_ms(q->p.env.clock) - b->reach_written_ms > REWRITE_MS)
			write_phone(q, a, b);
	}
	question_free(a);
}

static const struct client_handler phone_handler = { .on_done = on_phone_done };

static char *put(char **at, const char *z)
{
	size_t n = z ? strlen(z) + 1 : 0;
	char *text = z ? memcpy(*at, z, n) : NULL;

	*at += n;
	return text;
}

static void ask_phone(struct qualify *q, const struct asked *who, const struct binding *b)
{
	size_t n = strlen(who->domain) + strlen(who->number) + strlen(b->contact) + 3 + (b->instance ? strlen(b->instance) + 1 : 0) +
		   (b->path ? strlen(b->path) + 1 : 0);
	struct question *a = calloc(1, sizeof(*a) + n);
	struct client_request req = { .method = SIP_OPTIONS, .timeout_ms = PHONE_TIMEOUT_MS };
	char *at;

	if (!a)
		return;
	at = a->text;
	a->of = q;
	a->domain = put(&at, who->domain);
	a->number = put(&at, who->number);
	a->contact = put(&at, b->contact);
	a->instance = put(&at, b->instance);
	a->path = put(&at, b->path);
	a->reg_id = b->reg_id;
	a->dest = b->dest;
	snprintf(a->from, sizeof(a->from), "sip:%s", who->domain);
	client_init(&a->client, &q->p.env, &phone_handler, a);
	DL_APPEND(q->questions, a);
	if (binding_target(b, str_from(a->number), a->uri) != 0) {
		question_free(a);
		return;
	}
	req.uri = req.to = a->uri;
	req.from = a->from;
	req.route = a->path;
	req.dest = a->path ? NULL : &a->dest;
	if (client_send(&a->client, &req) != 0)
		on_phone_done(&a->client, 0, NULL, 0, a);
}

/* ---- phones: whose turn it is ---- */

static uint32_t qualify_s_of(struct qualify *q, const char *domain, const char *number)
{
	const struct dir_extension *ext;

	return directory_extension(q->p.directory, domain, str_from(number), &ext) == DIR_FOUND ? ext->qualify_s : 0;
}

static void asked_free(struct asked *who)
{
	if (who->hh.tbl)
		HASH_DEL(who->of->asked, who);
	timer_stop(who->of->p.env.timers, &who->timer);
	free(who->domain);
	free(who->number);
	free(who);
}

static void ask_phones(void *arg)
{
	struct asked *who = arg;
	struct qualify *q = who->of;
	const struct binding *b = registrar_find(q->p.registrar, who->domain, str_from(who->number));
	uint32_t s = qualify_s_of(q, who->domain, who->number);

	if (!s || !b) {
		asked_free(who);
		return;
	}
	timer_start(q->p.env.timers, &who->timer, period_ms(q, s));
	for (; b; b = b->next)
		ask_phone(q, who, b);
}

/* An extension's phones, or how often they are asked, have changed. */
static void on_phones(const char *domain, const char *number, void *arg)
{
	struct qualify *q = arg;
	uint32_t s = qualify_s_of(q, domain, number);
	bool is_loaded = registrar_is_loaded(q->p.registrar);
	uint64_t within_ms = is_loaded ? SOON_MS : (uint64_t)s * 1000;
	struct asked *who;
	char key[160];
	int n = str_join(key, sizeof(key), domain, '/', str_from(number));

	if (n < 0 || !s || !registrar_find(q->p.registrar, domain, str_from(number)))
		return; /* if there is one, its timer finds nothing to do and ends it */
	HASH_FIND(hh, q->asked, key, (unsigned)n, who);
	if (!who) {
		who = calloc(1, sizeof(*who) + (size_t)n + 1);
		if (!who)
			return;
		memcpy(who->key, key, (size_t)n + 1);
		who->of = q;
		who->domain = strdup(domain);
		who->number = strdup(number);
		timer_init(&who->timer, ask_phones, who);
		if (who->domain && who->number)
			HASH_ADD(hh, q->asked, key, (unsigned)n, who);
		if (!who->hh.tbl) {
			asked_free(who);
			return;
		}
	}
	timer_start(q->p.env.timers, &who->timer, KEPT_MS + rng_below(q->p.env.rng, (uint32_t)within_ms));
}

/* ---- the whole ---- */

static void on_change(const char *table, const char *key, void *arg)
{
	struct qualify *q = arg;

	(void)key;
	if (!strcmp(table, "trunk") || !strcmp(table, "*"))
		read_trunks(q);
	if (!strcmp(table, "extension")) {
		char domain[64];
		struct str number = str_from(key), name = str_cut(&number, '/');
		char text[64];

		if (str_copy(name, domain, sizeof(domain)) == 0 && str_copy(number, text, sizeof(text)) == 0)
			on_phones(domain, text, q);
	} else if (!strcmp(table, "domain") || !strcmp(table, "*")) {
		registrar_each(q->p.registrar, on_phones, q);
	}
}

int qualify_new(struct qualify **out, const struct qualify_params *p)
{
	struct qualify *q = calloc(1, sizeof(*q));

	if (!q)
		return -ENOMEM;
	q->p = *p;
	q->node = strdup(p->node ? p->node : "");
	q->pending = json_array();
	q->sent = json_array();
	q->trunk_live = (struct live){ .db = p->db, .timers = p->env.timers, .sql = "SELECT pbx.trunk_state_reach($1::jsonb)" };
	q->phone_live = (struct live){ .db = p->db, .timers = p->env.timers, .sql = "SELECT pbx.binding_reach($1::jsonb)" };
	live_init(&q->trunk_live, &trunk_live_handler, q);
	live_init(&q->phone_live, &phone_live_handler, q);
	q->watcher = (struct directory_watcher){ .on_change = on_change, .arg = q };
	directory_watch(p->directory, &q->watcher);
	if (!q->node || !q->pending || !q->sent) {
		qualify_free(q);
		return -ENOMEM;
	}
	registrar_watch(p->registrar, on_phones, q);
	registrar_each(p->registrar, on_phones, q);
	read_trunks(q);
	*out = q;
	return 0;
}

void qualify_free(struct qualify *q)
{
	struct asked *who, *next;

	if (!q)
		return;
	directory_unwatch(q->p.directory, &q->watcher);
	registrar_unwatch(q->p.registrar, q);
	while (q->trunks)
		trunk_free(q->trunks);
	while (q->questions)
		question_free(q->questions);
	HASH_ITER(hh, q->asked, who, next)
		asked_free(who);
	live_fini(&q->trunk_live);
	live_fini(&q->phone_live);
	json_decref(q->pending);
	json_decref(q->sent);
	free(q->node);
	free(q);
}

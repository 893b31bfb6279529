/* share.c - tells the other servers what calls here use, and learns what they have, by one statement each SHARE_MS (usage.h says what that
 * means for limits). Where there is no other server it is one each SHARE_ALONE_MS, to notice that one has come.
 */
#define LOG_MODULE "share"
#include <stdlib.h>

#include "base/log.h"
#include "base/member.h"
#include "call/usage.h"

#define SHARE_MS 250
#define SHARE_ALONE_MS 2000
#define SHARE_KEEP_MS 15000
#define SHARE_AGAIN_MS 1000
#define SHARE_MAX (4u << 20) /* bytes of a statement */

static const char sql[] = "SELECT * FROM pbx.use_exchange($1, $2, $3::jsonb)";

struct share_entry {
	UT_hash_handle hh;
	struct shared has;
	char key[];
};

static void on_timer(void *arg);

static void forget_others(struct share *s)
{
	struct share_entry *e, *next;

	HASH_ITER(hh, s->others, e, next) {
		HASH_DEL(s->others, e);
		free(e);
	}
}

struct shared share_others(const struct calls *cs, const char *domain, const char *what)
{
	const struct share_entry *e;
	char key[200];
	int n = cs->share.others ? str_join(key, sizeof(key), domain, '/', str_from(what)) : -1;

	if (n < 0)
		return (struct shared){ 0, 0 };
	HASH_FIND(hh, cs->share.others, key, (unsigned)n, e);
	return e ? e->has : (struct shared){ 0, 0 };
}

static void learn(struct share *s, const struct db_rows *rows)
{
	char key[200];

	forget_others(s);
	s->is_alone = true;
	for (int i = 0; i < db_rows_count(rows); i++) {
		struct str domain = db_rows_get(rows, i, 0), what = db_rows_get(rows, i, 1);
		int len = snprintf(key, sizeof(key), "%.*s/%.*s", STR_ARG(domain), STR_ARG(what));
		struct share_entry *e;

		s->is_alone = false;
		if (!domain.n || len < 0 || len >= (int)sizeof(key) || !(e = calloc(1, sizeof(*e) + (size_t)len + 1)))
			continue;
		memcpy(e->key, key, (size_t)len + 1);
		e->has.n = (unsigned)strtoul(db_rows_get(rows, i, 2).p, NULL, 10);
		e->has.began_ms = strtoll(db_rows_get(rows, i, 3).p, NULL, 10);
		HASH_ADD_KEYPTR(hh, s->others, e->key, (unsigned)len, e);
	}
}

static void on_exchanged(uint64_t id, const struct db_answer *a, void *arg)
{
	struct calls *cs = arg;
	struct share *s = &cs->share;

	(void)id;
	if (a->err == -ECANCELED)
		return;
	s->query = 0;
	if (a->err == -EINVAL)
		log_warn(cs->p.log, "use of limits refused: %s", a->message);
	s->is_unsure = s->is_unsure || a->err;
	if (!a->err) {
		s->known_ms = timers_now(cs->p.timers);
		learn(s, a->rows);
		budgets_check(cs);
	}
	timer_start(cs->p.timers, &s->timer, s->is_alone && !s->has_changed ? SHARE_ALONE_MS : SHARE_MS);
}

void share_print(struct out *o, const char *key, const char *prefix, unsigned n, int64_t began_ms)
{
	const char *slash = strchr(key, '/');
	char domain[256];

	str_copy((struct str){ key, (size_t)(slash - key) }, domain, sizeof(domain));
	out_z(o, o->len > 1 ? ",{\"domain\":" : "{\"domain\":");
	member_print_text(o, domain);
	out_z(o, ",\"what\":");
	if (prefix[0])
		out_fmt(o, "\"%s%s\"", prefix, slash + 1); /* names of budgets need no escapes */
	else
		member_print_text(o, slash + 1);
	out_fmt(o, ",\"n\":%u,\"began_ms\":%lld}", n, (long long)began_ms);
}

static void on_timer(void *arg)
{
	struct calls *cs = arg;
	struct share *s = &cs->share;
	bool is_all = s->is_unsure;
	struct out o;

	if (s->others && timers_now(cs->p.timers) - s->known_ms > SHARE_KEEP_MS) {
		forget_others(s);
		budgets_check(cs);
	}
	if (s->query) {
		timer_start(cs->p.timers, &s->timer, SHARE_AGAIN_MS);
		return;
	}
	s->has_changed = false;
	out_init_grow(&o, SHARE_MAX);
	out_chr(&o, '[');
	usage_print(cs, &o, is_all);
	budget_print(cs, &o, is_all);
	out_mem(&o, "]", 2);
	if (out_ok(&o) && db_is_up(cs->p.db))
		s->query = db_query(cs->p.db, sql, 3, (struct db_param[]){ DB_TEXT(cs->p.node), DB_TEXT(is_all ? "true" : "false"), DB_TEXT(o.p) }, on_exchanged, cs);
	s->is_unsure = !s->query;
	out_fini(&o);
	/* What is known gets old while no answer comes. */
	timer_start(cs->p.timers, &s->timer, SHARE_AGAIN_MS);
}

void share_changed(struct calls *cs)
{
	struct share *s = &cs->share;

	if (!cs->p.db || s->has_changed || cs->is_closing)
		return;
	s->has_changed = true;
	if (!s->query)
		timer_start(cs->p.timers, &s->timer, SHARE_MS);
}

void share_start(struct calls *cs)
{
	timer_init(&cs->share.timer, on_timer, cs);
	cs->share.is_unsure = true;
	if (cs->p.db)
		timer_start(cs->p.timers, &cs->share.timer, SHARE_MS);
}

void share_stop(struct calls *cs)
{
	timer_stop(cs->p.timers, &cs->share.timer);
	if (cs->share.query)
		db_forget(cs->p.db, cs->share.query);
	cs->share.query = 0;
	forget_others(&cs->share);
}

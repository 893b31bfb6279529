/* budget.c - minutes that calls by trunks use, and their end when there are none left (usage.h).
 *
 * What is left of a budget is its amount without what calls that have ended used (its row in the directory has that, from all servers), what
 * calls here have lasted, what those on other servers have (share.c), and what calls here used that have ended, but aren't in the row
 * yet: those are `pending`, until the row has grown by as much. So with the database away it goes on to be used up.
 *
 * Of n calls at once each has an n-th of what is left. Whenever one begins or ends, or somebody else's do, the timers of all that use
 * the budget are set anew.
 */
#define LOG_MODULE "budget"
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/member.h"
#include "call/announce.h"
#include "call/decision.h"
#include "call/usage.h"

#define OWNERS 3
#define CHARGE_MAX 12     /* budgets of one call; further ones don't count */
#define NEVER INT64_MAX
#define USED_UP "Q.850;cause=31;text=\"Budget used up\""

struct budget {
	UT_hash_handle hh;
	struct use *uses;        /* list: calls of ours that are charged to it */
	unsigned n, ntold;
	bool has_changed;        /* since that was told, perhaps with as many as before */
	int64_t pending_ms;
	int64_t row_since_s;     /* another than the row's: it was begun anew, or made anew */
	int64_t seen_since_s, seen_used_ms; /* of the row, when pending was last set right */
	char key[];              /* domain/name */
};

struct use { struct use *prev, *next; struct charge *of; struct budget *budget; };

struct charge {
	struct charge *prev, *next;
	struct leg *leg;
	struct timer timer;
	int64_t began_ms;
	bool is_warned;
	char owners[OWNERS][80];
	enum budget_way way;
	unsigned n;
	struct use uses[CHARGE_MAX];
};

static int64_t now_ms(const struct calls *cs)
{
	return clock_wall_ms(cs->p.clock);
}

/* ---- the day and the month ---- */

/* The midnight before t, or that of the first of the month: where clocks are changed on the way, as they are there. */
static int64_t since_s(struct calls *cs, const char *zone, bool is_month, int64_t t)
{
	struct tm tm;
	int64_t at = t, off;

	for (unsigned i = 0; i < 3; i++) {
		zone_local(&cs->zones, zone, at, &tm);
		off = (is_month && !i ? (tm.tm_mday - 1) * 86400 : 0) + tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
		if (i > 0 && off > 43200)
			off -= 86400; /* an hour too early: the evening before */
		if (!off)
			break;
		at -= off;
	}
	return at;
}

static int64_t row_since_s(struct calls *cs, const char *domain, const struct dir_budget *row, int64_t at_s)
{
	const struct dir_domain *d;

	if (row->period == DIR_BUDGET_TOTAL)
		return row->since_s;
	return since_s(cs, directory_domain(cs->p.directory, domain, &d) == DIR_FOUND ? d->timezone : NULL, row->period == DIR_BUDGET_MONTH, at_s);
}

/* ---- what is left ---- */

static struct budget *find(struct calls *cs, const char *domain, const char *name)
{
	char key[160];
	struct budget *b = NULL;
	int len = str_join(key, sizeof(key), domain, '/', str_from(name));

	if (len > 0)
		HASH_FIND(hh, cs->budgets, key, (unsigned)len, b);
	return b;
}

static struct budget *get(struct calls *cs, const char *domain, const struct dir_budget *row)
{
	struct budget *b = find(cs, domain, row->name);
	size_t len = strlen(domain) + strlen(row->name) + 1;

	if (b)
		return b;
	b = calloc(1, sizeof(*b) + len + 1);
	if (!b)
		return NULL;
	str_join(b->key, len + 1, domain, '/', str_from(row->name));
	b->row_since_s = row->since_s;
	b->seen_since_s = row->used_since_s;
	b->seen_used_ms = row->used_ms;
	HASH_ADD_KEYPTR(hh, cs->budgets, b->key, (unsigned)len, b);
	if (!b->hh.tbl) {
		free(b);
		return NULL;
	}
	return b;
}

static void drop_idle(struct calls *cs, struct budget *b)
{
	if (b->n || b->ntold || b->pending_ms)
		return;
	HASH_DEL(cs->budgets, b);
	free(b);
}

/* The row has grown by what was pending, or a new day has begun. */
static void settle(struct budget *b, const struct dir_budget *row)
{
	int64_t more = row->used_since_s == b->seen_since_s ? row->used_ms - b->seen_used_ms : row->used_ms;

	b->pending_ms = more >= b->pending_ms || row->since_s != b->row_since_s ? 0 : more > 0 ? b->pending_ms - more : b->pending_ms;
	b->row_since_s = row->since_s;
	b->seen_since_s = row->used_since_s;
	b->seen_used_ms = row->used_ms;
}

static int64_t lasts_ms(const struct use *u, int64_t since_ms, int64_t now)
{
	int64_t from = u->of->began_ms > since_ms ? u->of->began_ms : since_ms;

	return now > from ? now - from : 0;
}

/* *ncalls: how many use it now. */
static int64_t left_ms(struct calls *cs, const char *domain, const struct dir_budget *row, unsigned *ncalls)
{
	int64_t now = now_ms(cs), since_ms = row_since_s(cs, domain, row, now / 1000) * 1000, left = row->amount_ms, theirs;
	struct budget *b = find(cs, domain, row->name);
	char what[80];
	struct shared others;
	const struct use *u;

	str_join(what, sizeof(what), "budget", ':', str_from(row->name));
	others = share_others(cs, domain, what);
	*ncalls = others.n;
	theirs = (int64_t)others.n * now - others.began_ms;
	if (theirs > (int64_t)others.n * (now - since_ms))
		theirs = (int64_t)others.n * (now - since_ms);
	if (theirs > 0)
		left -= theirs;
	if (row->used_since_s * 1000 == since_ms)
		left -= row->used_ms;
	if (!b)
		return left;
	settle(b, row);
	left -= b->pending_ms;
	*ncalls += b->n;
	DL_FOREACH(b->uses, u)
		left -= lasts_ms(u, since_ms, now);
	return left;
}

/* ---- may it begin ---- */

static void name_owners(char owners[OWNERS][80], const struct budget_call *p)
{
	str_put(owners[0], sizeof(owners[0]), "domain");
	owners[1][0] = owners[2][0] = '\0';
	if (p->extension && p->extension[0])
		str_join(owners[1], sizeof(owners[1]), "extension", '/', str_from(p->extension));
	if (p->trunk && p->trunk[0])
		str_join(owners[2], sizeof(owners[2]), "trunk", '/', str_from(p->trunk));
}

static const struct dir_budgets *rows_of(const struct calls *cs, const char *domain, const char *owner)
{
	const struct dir_budgets *rows;

	return owner[0] && directory_budgets(cs->p.directory, domain, str_from(owner), &rows) == DIR_FOUND ? rows : NULL;
}

static bool counts(const struct dir_budget *row, enum budget_way way)
{
	return row->is_in == (way == BUDGET_IN);
}

int budget_refusal(struct call *call, const struct budget_call *p)
{
	char owners[OWNERS][80];
	unsigned ncalls;

	if (call->is_emergency)
		return 0;
	name_owners(owners, p);
	for (unsigned i = 0; i < OWNERS; i++) {
		const struct dir_budgets *rows = rows_of(call->calls, call->domain, owners[i]);

		for (unsigned k = 0; rows && k < rows->n; k++)
			if (counts(&rows->list[k], p->way) && left_ms(call->calls, call->domain, &rows->list[k], &ncalls) <= 0) {
				decided(call, DECISION_BUDGET, owners[i], rows->list[k].name, NULL);
				log_info(call->calls->p.log, "call=%s budget=%s is used up", call->id, rows->list[k].name);
				return i == 2 ? 503 : 403;
			}
	}
	return 0;
}

/* ---- under way ---- */

/* Of those that it is charged to, the one that ends first, and of whom it is; NULL: none does. Rows that have gone don't count. */
static const struct dir_budget *nearest(const struct charge *c, int64_t *left, const char **owner)
{
	struct calls *cs = c->leg->call->calls;
	const struct dir_budget *found = NULL;
	unsigned ncalls;

	*left = NEVER;
	for (unsigned i = 0; i < OWNERS; i++) {
		const struct dir_budgets *rows = rows_of(cs, c->leg->call->domain, c->owners[i]);

		for (unsigned k = 0; rows && k < rows->n; k++) {
			int64_t ms = counts(&rows->list[k], c->way) ? left_ms(cs, c->leg->call->domain, &rows->list[k], &ncalls) : NEVER;

			if (ms == NEVER)
				continue;
			ms = ms > 0 && ncalls > 1 ? ms / ncalls : ms;
			if (ms >= *left)
				continue;
			*left = ms;
			*owner = c->owners[i];
			found = &rows->list[k];
		}
	}
	return found;
}

static void set_timer(struct charge *c)
{
	struct timers *timers = c->leg->call->calls->p.timers;
	const char *owner;
	int64_t left;
	const struct dir_budget *row = nearest(c, &left, &owner);

	timer_stop(timers, &c->timer);
	if (!row)
		return;
	if (!c->is_warned && row->warn_ms && left > row->warn_ms)
		left -= row->warn_ms;
	else if (!c->is_warned && row->warn_ms)
		left = 0;
	timer_start(timers, &c->timer, left > 0 ? (uint64_t)left : 1);
}

/* Who pays hears it, if he is there to. */
static void warn(struct charge *c, const struct dir_budget *row, const char *owner, int64_t left)
{
	struct leg *leg = c->leg;

	c->is_warned = true;
	leg_decided(leg, DECISION_BUDGET_WARNS, leg->peer, owner, row->name, decision_int((left + 999) / 1000).z, NULL);
	if (!leg->partner || announce(leg->call, leg->partner, row->prompt, NULL) != 0)
		log_info(leg->call->calls->p.log, "call=%s budget=%s ends soon, and nobody can be told", leg->call->id, row->name);
}

static void on_timer(void *arg)
{
	struct charge *c = arg;
	struct leg *leg = c->leg;
	const char *owner;
	int64_t left;
	const struct dir_budget *row = nearest(c, &left, &owner);

	if (row && left <= 0) {
		leg_decided(leg, DECISION_BUDGET_ENDS, leg->peer, owner, row->name, NULL);
		log_info(leg->call->calls->p.log, "call=%s budget=%s is used up: it ends", leg->call->id, row->name);
		text_keep(&leg->reason, USED_UP); /* for the other one, too */
		leg_close(leg, 0, USED_UP); /* which ends the charge */
		return;
	}
	if (row && !c->is_warned && left <= row->warn_ms)
		warn(c, row, owner, left);
	set_timer(c);
}

void budgets_check(struct calls *cs)
{
	struct charge *c;

	DL_FOREACH(cs->charges, c)
		set_timer(c);
}

static void add_use(struct charge *c, const struct dir_budget *row)
{
	struct calls *cs = c->leg->call->calls;
	struct budget *b = c->n < CHARGE_MAX ? get(cs, c->leg->call->domain, row) : NULL;
	struct use *u = &c->uses[c->n];

	if (!b)
		return;
	*u = (struct use){ .of = c, .budget = b };
	DL_APPEND(b->uses, u);
	b->n++;
	b->has_changed = true;
	c->n++;
}

void budget_begin(struct leg *leg, const struct budget_call *p)
{
	struct calls *cs = leg->call->calls;
	struct charge *c;

	if (leg->charge || leg->call->is_emergency || leg->state != LEG_ANSWERED || !(c = calloc(1, sizeof(*c))))
		return;
	c->leg = leg;
	c->way = p->way;
	c->began_ms = leg->answered_ms;
	timer_init(&c->timer, on_timer, c);
	name_owners(c->owners, p);
	for (unsigned i = 0; i < OWNERS; i++) {
		const struct dir_budgets *rows = rows_of(cs, leg->call->domain, c->owners[i]);

		for (unsigned k = 0; rows && k < rows->n; k++)
			if (counts(&rows->list[k], p->way))
				add_use(c, &rows->list[k]);
	}
	if (!c->n) {
		free(c);
		return;
	}
	leg->charge = c;
	DL_APPEND(cs->charges, c);
	share_changed(cs);
	budgets_check(cs);
}

/* For the rows that all servers see. */
static void store(const struct charge *c, int64_t ended_ms)
{
	struct calls *cs = c->leg->call->calls;
	struct out o;

	out_init_grow(&o, 4096);
	out_chr(&o, '{');
	member_str(&o, KEY("domain"), c->leg->call->domain);
	out_z(&o, "\"names\":[");
	for (unsigned i = 0; i < c->n; i++)
		out_fmt(&o, "%s\"%s\"", i ? "," : "", strchr(c->uses[i].budget->key, '/') + 1);
	out_fmt(&o, "],\"from_ms\":%lld,\"to_ms\":%lld}", (long long)c->began_ms, (long long)ended_ms);
	out_chr(&o, '\0');
	if (!out_ok(&o) || (cs->p.outbox && outbox_add(cs->p.outbox, "budget", o.p, NULL, NULL, NULL) != 0))
		log_error(cs->p.log, "call=%s isn't charged to its budgets", c->leg->call->id);
	out_fini(&o);
}

void budget_end(struct leg *leg)
{
	struct calls *cs = leg->call->calls;
	struct charge *c = leg->charge;
	int64_t ended_ms = leg->ended_ms ? leg->ended_ms : now_ms(cs);

	if (!c)
		return;
	leg->charge = NULL;
	timer_stop(cs->p.timers, &c->timer);
	if (ended_ms < c->began_ms) /* a clock that was set back */
		ended_ms = c->began_ms;
	store(c, ended_ms);
	for (unsigned i = 0; i < c->n; i++) {
		struct budget *b = c->uses[i].budget;

		DL_DELETE(b->uses, &c->uses[i]);
		b->n--;
		b->has_changed = true;
		b->pending_ms += ended_ms - c->began_ms;
	}
	DL_DELETE(cs->charges, c);
	free(c);
	share_changed(cs);
	budgets_check(cs);
}

void budget_print(struct calls *cs, struct out *o, bool is_all)
{
	struct budget *b, *next;
	const struct use *u;

	HASH_ITER(hh, cs->budgets, b, next) {
		int64_t began = 0;

		if (b->n == b->ntold && !(is_all && b->n) && !b->has_changed) {
			drop_idle(cs, b);
			continue;
		}
		DL_FOREACH(b->uses, u)
			began += u->of->began_ms;
		share_print(o, b->key, "budget:", b->n, began);
		b->ntold = b->n;
		b->has_changed = false;
		drop_idle(cs, b);
	}
}

/* ---- rows ---- */

static void on_change(const char *table, const char *key, void *arg)
{
	struct calls *cs = arg;

	(void)key;
	if (cs->charges && (!strcmp(table, "budget") || !strcmp(table, "*")))
		budgets_check(cs);
}

void budgets_start(struct calls *cs)
{
	cs->budget_watcher = (struct directory_watcher){ .on_change = on_change, .arg = cs };
	if (cs->p.directory)
		directory_watch(cs->p.directory, &cs->budget_watcher);
}

void budgets_stop(struct calls *cs)
{
	if (cs->p.directory)
		directory_unwatch(cs->p.directory, &cs->budget_watcher);
}

void budgets_free(struct calls *cs)
{
	struct budget *b, *next;

	HASH_ITER(hh, cs->budgets, b, next) {
		HASH_DEL(cs->budgets, b);
		free(b);
	}
}

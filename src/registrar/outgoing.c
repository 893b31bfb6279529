/* outgoing.c - registrations at trunks: one for each row that wants one, and what others ask of them.
 *
 * The machine of a registration is outgoing_reg.c.
 */
#define LOG_MODULE "trunk"
#include "registrar/outgoing_int.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"

#define STOP_MS 2000               /* a peer that doesn't answer by then finds out by itself */

/* ---- their state, for SQL ---- */

static bool is_same_trunk(const struct reg *r, const char *domain, const char *name)
{
	return !strcmp(r->domain, domain) && !strcmp(r->name, name);
}

/* Of all flows of a trunk the one that stands best: registered, else still registered, else the first. */
static struct reg *find_best(struct outgoing *o, const char *domain, const char *name)
{
	struct reg *r, *best = NULL;

	DL_FOREACH(o->regs, r) {
		if (!is_same_trunk(r, domain, name))
			continue;
		if (r->state == REG_REGISTERED && r->until_ms)
			return r;
		if (!best || (r->until_ms && !best->until_ms))
			best = r;
	}
	return best;
}

bool outgoing_has_other(const struct reg *r)
{
	const struct reg *other;

	DL_FOREACH(r->of->regs, other)
		if (other != r && other->until_ms && other->state == REG_REGISTERED && is_same_trunk(other, r->domain, r->name))
			return true;
	return false;
}

/* Told of the trunk as a whole. */
static json_t *describe(struct outgoing *o, const struct reg *r)
{
	json_t *doc = reg_describe(find_best(o, r->domain, r->name));
	unsigned n = 0, nup = 0;
	struct reg *one;

	DL_FOREACH(o->regs, one)
		if (is_same_trunk(one, r->domain, r->name)) {
			one->is_changed = false;
			n++;
			nup += one->until_ms != 0;
		}
	if (doc && n > 1)
		json_object_set_new(doc, "flows", json_integer(nup));
	return doc;
}

static bool collect(json_t *docs, unsigned max, void *arg)
{
	struct outgoing *o = arg;
	struct reg *r;
	unsigned n = 0;

	DL_FOREACH(o->regs, r) {
		json_t *doc;

		if (!r->is_changed)
			continue;
		if (n++ == max)
			return true;
		doc = describe(o, r);
		if (doc)
			json_array_append_new(docs, doc);
	}
	return false;
}

static void lost(void *arg)
{
	struct outgoing *o = arg;
	struct reg *r;

	DL_FOREACH(o->regs, r)
		r->is_changed = true;
	o->live.is_touched = true;
}

static const struct live_handler live_handler = { .collect = collect, .lost = lost };

/* ---- rows ---- */

static struct reg *find(struct reg *list, const char *domain, const char *name, unsigned reg_id)
{
	struct reg *r;

	DL_FOREACH(list, r)
		if (r->reg_id == reg_id && is_same_trunk(r, domain, name))
			return r;
	return NULL;
}

static void take_flow(struct outgoing *o, const struct dir_trunk *t, unsigned reg_id)
{
	struct reg *r = find(o->regs, t->domain, t->name, reg_id);
	struct reg_settings s;

	if (reg_settings_read(t, reg_id, &s) != 0) {
		log_error(o->p.env.log, "trunk=%s/%s can't be registered: its row makes no address", t->domain, t->name);
		return;
	}
	if (!r) {
		reg_begin(o, t, reg_id, &s);
		return;
	}
	r->is_seen = true;
	if (!memcmp(&r->s, &s, sizeof(s)))
		return;
	if (!strcmp(r->s.aor, s.aor) && !strcmp(r->s.registrar, s.registrar) && !strcmp(r->s.contact_user, s.contact_user) &&
	    r->s.is_bulk == s.is_bulk) {
		reg_renew(r, &s);
		return;
	}
	reg_end(r);
	reg_begin(o, t, reg_id, &s);
}

static void on_trunk(const struct dir_trunk *t, void *arg)
{
	unsigned n = t->is_registering ? 1 + (t->is_outbound ? t->nmore_proxies : 0) : 0;

	for (unsigned i = 1; i <= n; i++)
		take_flow(arg, t, i);
}

/* Those that are left tell how many they are. */
static void end_unseen(struct outgoing *o, struct reg *r)
{
	struct reg *first = find(o->regs, r->domain, r->name, 1);

	if (first)
		first->is_changed = true;
	live_touch(&o->live);
	reg_end(r);
}

static void read_rows(struct outgoing *o)
{
	struct reg *r, *next;

	DL_FOREACH(o->regs, r)
		r->is_seen = false;
	directory_trunks(o->p.directory, on_trunk, o);
	DL_FOREACH_SAFE(o->regs, r, next)
		if (!r->is_seen)
			end_unseen(o, r);
}

static const char off_sql[] =
	"UPDATE pbx.trunk_state AS s SET registration = 'off', registered_until = NULL, next_try = NULL, contact = NULL"
	" FROM pbx.trunk AS t WHERE (t.domain, t.name) = (s.domain, s.name) AND s.node = $1 AND NOT (t.register AND t.enabled)"
	" AND s.registration <> 'off'";

static void on_change(const char *table, const char *key, void *arg)
{
	struct outgoing *o = arg;

	(void)key;
	if (strcmp(table, "trunk") != 0 && strcmp(table, "*") != 0)
		return;
	read_rows(o);
	if (o->p.db)
		db_query(o->p.db, off_sql, 1, (struct db_param[]){ DB_TEXT(o->node) }, NULL, NULL);
}

/* ---- from outside ---- */

void outgoing_flow_closed(struct outgoing *o, uint64_t flow)
{
	const struct sip_dest *dest;
	struct reg *r;

	DL_FOREACH(o->regs, r) {
		dest = client_dest(&r->client);
		if (r->state != REG_REGISTERED || !dest || r->client.flow != flow || dest->proto == SIP_UDP)
			continue;
		log_info(o->p.env.log, "trunk=%s/%s connection closed", r->domain, r->name);
		reg_flow_lost(r);
	}
}

static void on_stun(struct str answer, const struct sip_source *src, void *arg)
{
	struct outgoing *o = arg;
	struct reg *r;

	DL_FOREACH(o->regs, r)
		if (keepalive_answer(&r->keep, answer, src))
			return;
}

/* Some peers drop parameters of the contact: those must call from where we are registered, for the user that is registered. */
static bool is_from_registrar(const struct reg *r, const struct sip_msg *m, const struct sip_source *src)
{
	const struct sip_dest *dest = client_dest(&r->client);

	return r->until_ms && dest && sockaddr_host_eq(&dest->addr, &src->peer) &&
	       (r->s.is_bulk || str_eqz(m->ruri.user, r->s.contact_user));
}

const struct dir_trunk *outgoing_trunk_of(const struct sip_msg *m, const struct sip_source *src, void *outgoing)
{
	struct outgoing *o = outgoing;
	const struct dir_trunk *trunk;
	struct str line;
	struct reg *r;

	if (sip_param_find(m->ruri.params, "line", &line) && line.n == REG_LINE_LEN) {
		DL_FOREACH(o->regs, r)
			if (CRYPTO_memcmp(line.p, r->names.line, REG_LINE_LEN) == 0)
				break;
	} else {
		DL_FOREACH(o->regs, r)
			if (is_from_registrar(r, m, src))
				break;
	}
	return r && directory_trunk(o->p.directory, r->domain, str_from(r->name), &trunk) == DIR_FOUND ? trunk : NULL;
}

const char *outgoing_route(struct outgoing *o, const char *domain, const char *trunk)
{
	const struct reg *r = find_best(o, domain, trunk);

	if (!r || !r->until_ms)
		return NULL;
	if (r->service_route[0])
		return r->service_route;
	return r->reg_id > 1 ? r->s.route : NULL;
}

void outgoing_check_stopped(struct outgoing *o)
{
	void (*done)(void *arg) = o->done;

	if (!done || o->ending || o->forget_query)
		return;
	timer_stop(o->p.env.timers, &o->stop_timer);
	o->done = NULL;
	done(o->done_arg);
}

static void on_stop_overdue(void *arg)
{
	struct outgoing *o = arg;

	while (o->ending) {
		struct reg *r = o->ending;

		log_warn(o->p.env.log, "trunk=%s/%s didn't answer that its registration ends", r->domain, r->name);
		DL_DELETE(o->ending, r);
		reg_free(r);
	}
	if (o->forget_query)
		db_forget(o->p.db, o->forget_query);
	o->forget_query = 0;
	outgoing_check_stopped(o);
}

static void on_forgotten(uint64_t id, const struct db_answer *a, void *arg)
{
	struct outgoing *o = arg;

	(void)id;
	(void)a;
	o->forget_query = 0;
	outgoing_check_stopped(o);
}

/* What a server saw that isn't there any more is nobody's knowledge. */
static void forget_state(struct outgoing *o)
{
	if (o->p.db && !o->forget_query)
		o->forget_query = db_query(o->p.db, "SELECT pbx.state_forget($1)", 1, (struct db_param[]){ DB_TEXT(o->node) },
					   on_forgotten, o);
}

void outgoing_stop(struct outgoing *o, void (*done)(void *arg), void *arg)
{
	struct reg *r, *next;

	o->done_arg = arg;
	directory_unwatch(o->p.directory, &o->watcher);
	timer_start(o->p.env.timers, &o->stop_timer, STOP_MS);
	forget_state(o);
	DL_FOREACH_SAFE(o->regs, r, next)
		reg_end(r);
	o->done = done; /* only now: all are at it */
	outgoing_check_stopped(o);
}

int outgoing_new(struct outgoing **out, const struct outgoing_params *p)
{
	struct outgoing *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->p = *p;
	o->node = strdup(p->node ? p->node : "");
	if (!o->node) {
		free(o);
		return -ENOMEM;
	}
	o->live = (struct live){ .db = p->db, .timers = p->env.timers, .sql = "SELECT pbx.trunk_state_registration($1::jsonb)" };
	live_init(&o->live, &live_handler, o);
	timer_init(&o->stop_timer, on_stop_overdue, o);
	o->watcher = (struct directory_watcher){ .on_change = on_change, .arg = o };
	directory_watch(p->directory, &o->watcher);
	sip_ua_on_stun(p->env.ua, on_stun, o);
	forget_state(o);
	read_rows(o);
	*out = o;
	return 0;
}

void outgoing_free(struct outgoing *o)
{
	struct reg *r, *next;

	if (!o)
		return;
	directory_unwatch(o->p.directory, &o->watcher);
	sip_ua_on_stun(o->p.env.ua, NULL, NULL);
	DL_FOREACH_SAFE(o->regs, r, next)
		reg_free(r);
	DL_FOREACH_SAFE(o->ending, r, next)
		reg_free(r);
	live_fini(&o->live);
	if (o->forget_query)
		db_forget(o->p.db, o->forget_query);
	timer_stop(o->p.env.timers, &o->stop_timer);
	free(o->node);
	free(o);
}

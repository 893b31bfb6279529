/* bindings.c - the table of bindings: found by extension, by connection and by temporary GRUU, expired by timer.
 *
 * Memory is what counts while we run; the database has a copy for the next start (kept.c). What a REGISTER may do to
 * the table is register.c's to know.
 */
#define LOG_MODULE "registrar"
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "registrar/registrar_int.h"

/* ---- entries ---- */

/* A refresh leaves the timer as it is. */
static void on_expired(void *arg)
{
	struct entry *e = arg;
	uint64_t now_ms = timers_now(e->of->p.timers);

	if (now_ms < e->due_ms) {
		timer_start(e->of->p.timers, &e->expiry, e->due_ms - now_ms);
		return;
	}
	log_info(e->of->p.log, "expired aor=%s contact=%s", e->aor->key, e->b.contact);
	bindings_remove(e);
}

static void set_expiry(struct entry *e, int64_t now_ms)
{
	uint64_t left_ms = e->b.expires_at_ms > now_ms ? (uint64_t)(e->b.expires_at_ms - now_ms) : 0;

	e->due_ms = timers_now(e->of->p.timers) + left_ms;
	if (!timer_is_running(&e->expiry) || e->expiry.at_ms > e->due_ms)
		timer_start(e->of->p.timers, &e->expiry, left_ms);
}

/* Its texts stand behind it, in one piece of memory. */
static char *put_text(char **at, const char *z)
{
	char *text = *at;
	size_t n = z ? strlen(z) + 1 : 0;

	if (!z)
		return NULL;
	memcpy(text, z, n);
	*at += n;
	return text;
}

static size_t text_size(const char *z) { return z ? strlen(z) + 1 : 0; }

static bool is_bulk_contact(const char *contact)
{
	struct sip_uri uri;

	return sip_uri_parse(&uri, str_from(contact)) == 0 && sip_param_find(uri.params, "bnc", NULL);
}

struct entry *bindings_entry_new(struct bindings *bs, const struct binding *b)
{
	size_t texts = text_size(b->contact) + text_size(b->call_id) + text_size(b->instance) + text_size(b->path);
	struct entry *e = calloc(1, sizeof(*e) + texts);
	char *at = e ? (char *)(e + 1) : NULL;

	if (!e)
		return NULL;
	e->b = *b;
	e->b.next = NULL;
	e->of = bs;
	e->b.contact = put_text(&at, b->contact);
	e->b.call_id = put_text(&at, b->call_id);
	e->b.instance = put_text(&at, b->instance);
	e->b.path = put_text(&at, b->path);
	e->b.is_bulk = is_bulk_contact(b->contact);
	timer_init(&e->expiry, on_expired, e);
	return e;
}

void bindings_entry_free(struct entry *e)
{
	free(e);
}

/* ---- found by a number ---- */

/* 0: it belongs to none of this kind. A connection to a proxy is the proxy's: what is behind it doesn't go with it. */
static uint64_t group_id(const struct entry *e, enum group_kind kind)
{
	if (kind == GROUP_GRUU)
		return e->b.gruu_id;
	return e->b.dest.proto != SIP_UDP && !e->b.path ? e->b.dest.flow : 0;
}

static struct group *group_find(const struct bindings *bs, enum group_kind kind, uint64_t id)
{
	struct group *g = NULL;

	HASH_FIND(hh, bs->groups[kind], &id, sizeof(id), g);
	return g;
}

static int group_add(struct bindings *bs, struct entry *e, enum group_kind kind)
{
	uint64_t id = group_id(e, kind);
	struct group *g;

	if (!id)
		return 0;
	g = group_find(bs, kind, id);
	if (!g) {
		g = calloc(1, sizeof(*g));
		if (!g)
			return -ENOMEM;
		g->id = id;
		HASH_ADD(hh, bs->groups[kind], id, sizeof(g->id), g);
		if (!g->hh.tbl) {
			free(g);
			return -ENOMEM;
		}
	}
	e->in[kind].next = g->first;
	e->in[kind].pprev = &g->first;
	if (g->first)
		g->first->in[kind].pprev = &e->in[kind].next;
	g->first = e;
	return 0;
}

static void group_remove(struct bindings *bs, struct entry *e, enum group_kind kind)
{
	struct group *g;

	if (!e->in[kind].pprev)
		return;
	*e->in[kind].pprev = e->in[kind].next;
	if (e->in[kind].next)
		e->in[kind].next->in[kind].pprev = e->in[kind].pprev;
	e->in[kind].pprev = NULL;
	g = group_find(bs, kind, group_id(e, kind));
	if (g && !g->first) {
		HASH_DEL(bs->groups[kind], g);
		free(g);
	}
}

static int groups_add(struct bindings *bs, struct entry *e)
{
	int err = group_add(bs, e, GROUP_FLOW);

	if (!err)
		err = group_add(bs, e, GROUP_GRUU);
	if (err)
		group_remove(bs, e, GROUP_FLOW);
	return err;
}

const struct entry *bindings_of_gruu_id(const struct bindings *bs, uint64_t id)
{
	const struct group *g = group_find(bs, GROUP_GRUU, id);

	return g ? g->first : NULL;
}

/* ---- addresses of record ---- */

static unsigned key_print(char *buf, size_t size, const char *domain, struct str number)
{
	int n = str_join(buf, size, domain, '/', number);

	return n > 0 ? (unsigned)n : 0;
}

struct aor *bindings_find(struct bindings *bs, const char *domain, struct str number)
{
	struct aor *aor = NULL;
	char key[160];
	unsigned n = key_print(key, sizeof(key), domain, number);

	if (n)
		HASH_FIND(hh, bs->aors, key, n, aor);
	return aor;
}

static struct aor *aor_get(struct bindings *bs, const char *domain, const char *number)
{
	struct aor *aor = bindings_find(bs, domain, str_from(number));
	char key[160], *at;
	unsigned n;

	if (aor)
		return aor;
	n = key_print(key, sizeof(key), domain, str_from(number));
	aor = n ? calloc(1, sizeof(*aor) + 2 * (n + 1)) : NULL;
	if (!aor)
		return NULL;
	memcpy(aor->key, key, n + 1);
	at = aor->key + n + 1;
	aor->domain = put_text(&at, domain);
	aor->number = put_text(&at, number);
	HASH_ADD(hh, bs->aors, key, n, aor);
	if (aor->hh.tbl)
		return aor;
	free(aor);
	return NULL;
}

static void aor_drop_if_empty(struct bindings *bs, struct aor *aor)
{
	if (aor->first)
		return;
	HASH_DEL(bs->aors, aor);
	free(aor);
}

bool binding_has_instance(const struct binding *b, struct str instance)
{
	return b->instance && str_ieqz(instance, b->instance); /* RFC 8141: of a UUID the case doesn't count */
}

bool binding_is_same_instance(const struct binding *a, const struct binding *b)
{
	return b->instance && binding_has_instance(a, str_from(b->instance));
}

/* How well a binding fits what a Contact names; 0: not at all. Another instance at an equal URI is another phone, behind
 * another NAT with the same addresses. */
static unsigned fit(const struct binding *b, const struct contact_key *key, const struct sip_uri *uri)
{
	struct sip_uri have;

	if (key->reg_id && b->reg_id == key->reg_id && binding_has_instance(b, key->instance))
		return 4;
	if (key->reg_id && b->reg_id && binding_has_instance(b, key->instance))
		return 0; /* another flow of the phone */
	if (key->instance.n && b->instance && !binding_has_instance(b, key->instance))
		return 0;
	if (sip_uri_parse(&have, str_from(b->contact)) != 0 || !sip_uri_eq(uri, &have))
		return 0;
	return key->instance.n && b->instance ? 3 : !key->instance.n && !b->instance ? 2 : 1;
}

struct entry *bindings_entry(const struct aor *aor, const struct contact_key *key)
{
	struct binding *best = NULL;
	struct sip_uri uri;
	unsigned best_fit = 0;

	if (!aor || sip_uri_parse(&uri, key->uri) != 0)
		return NULL;
	for (struct binding *b = aor->first; b; b = b->next) {
		unsigned n = fit(b, key, &uri);

		if (n > best_fit) {
			best_fit = n;
			best = b;
		}
	}
	return best ? container_of(best, struct entry, b) : NULL;
}

static void list_in(struct aor *aor, struct entry *e)
{
	struct binding **at = &aor->first;

	while (*at && (*at)->q_milli > e->b.q_milli)
		at = &(*at)->next;
	e->b.next = *at;
	*at = &e->b;
}

static void list_out(struct entry *e)
{
	struct binding **at = &e->aor->first;

	while (*at != &e->b)
		at = &(*at)->next;
	*at = e->b.next;
}

static void link_entry(struct aor *aor, struct entry *e)
{
	list_in(aor, e);
	e->aor = aor;
	aor->count++;
	e->of->count++;
}

static void unlink_entry(struct entry *e)
{
	list_out(e);
	e->aor->count--;
	e->of->count--;
	timer_stop(e->of->p.timers, &e->expiry);
	for (enum group_kind kind = 0; kind < GROUP_KINDS; kind++)
		group_remove(e->of, e, kind);
}

static void tell_one(struct bindings *bs, const char *domain, const char *number)
{
	for (unsigned i = 0; i < bs->nwatchers; i++)
		bs->watchers[i].fn(domain, number, bs->watchers[i].arg);
}

static void tell_number(const struct dir_extension *ext, void *arg)
{
	tell_one(arg, ext->domain, ext->number);
}

/* What an exchange registers is where all of its numbers are. */
static void tell(struct bindings *bs, const char *domain, const char *number, bool is_bulk)
{
	tell_one(bs, domain, number);
	if (is_bulk)
		directory_bulk_numbers(bs->p.directory, domain, number, tell_number, bs);
}

/* A refresh tells nothing new of whether we reach it. */
static void take_reach(struct entry *e, const struct entry *old)
{
	if (strcmp(e->b.contact, old->b.contact) || e->b.dest.proto != old->b.dest.proto || !sockaddr_eq(&e->b.dest.addr, &old->b.dest.addr))
		return;
	e->b.is_unreachable = old->b.is_unreachable;
	e->b.rtt_us = old->b.rtt_us;
	e->b.reach_since_ms = old->b.reach_since_ms;
	e->b.reach_written_ms = old->b.reach_written_ms;
}

static bool is_same_contact(const struct entry *a, const struct entry *b)
{
	struct sip_uri x, y;

	return !strcmp(a->b.contact, b->b.contact) ||
	       (sip_uri_parse(&x, str_from(a->b.contact)) == 0 && sip_uri_parse(&y, str_from(b->b.contact)) == 0 && sip_uri_eq(&x, &y));
}

int bindings_put(struct bindings *bs, const char *domain, const char *number, struct entry *e, struct entry *old)
{
	struct aor *aor = aor_get(bs, domain, number);
	int64_t now_ms = clock_wall_ms(bs->p.clock);
	bool is_news;

	if (!aor || groups_add(bs, e) != 0) {
		if (aor)
			aor_drop_if_empty(bs, aor);
		bindings_entry_free(e);
		return -ENOMEM;
	}
	if (old) {
		take_reach(e, old);
		unlink_entry(old);
	}
	link_entry(aor, e);
	set_expiry(e, now_ms);
	if (e->kept_expires_ms) {
		/* came from the database */
	} else if (kept_must_write(e, old, now_ms)) {
		if (old && kept_is_other_row(e, old))
			kept_write(bs, old, true);
		kept_write(bs, e, false);
		e->kept_expires_ms = e->b.expires_at_ms;
	} else {
		e->kept_expires_ms = old->kept_expires_ms;
	}
	is_news = !old || !is_same_contact(e, old);
	bindings_entry_free(old);
	if (is_news)
		tell(bs, domain, number, e->b.is_bulk);
	return 0;
}

void bindings_refresh(struct entry *e, uint32_t cseq, int64_t expires_at_ms)
{
	int64_t now_ms = clock_wall_ms(e->of->p.clock);

	e->b.cseq = cseq;
	e->b.expires_at_ms = expires_at_ms;
	if (e->aor->first != &e->b) { /* of equals who came last is first */
		list_out(e);
		list_in(e->aor, e);
	}
	set_expiry(e, now_ms);
	if (kept_is_old(e->kept_expires_ms, expires_at_ms, now_ms)) {
		kept_write(e->of, e, false);
		e->kept_expires_ms = expires_at_ms;
	}
}

void bindings_remove(struct entry *e)
{
	struct bindings *bs = e->of;
	struct aor *aor = e->aor;
	char domain[64], number[64];
	bool is_bulk = e->b.is_bulk;

	str_put(domain, sizeof(domain), aor->domain);
	str_put(number, sizeof(number), aor->number);
	kept_write(bs, e, true);
	unlink_entry(e);
	bindings_entry_free(e);
	aor_drop_if_empty(bs, aor);
	tell(bs, domain, number, is_bulk);
}

bool bindings_has_flow(const struct bindings *bs, uint64_t flow)
{
	return group_find(bs, GROUP_FLOW, flow) != NULL;
}

void bindings_flow_closed(struct bindings *bs, uint64_t flow)
{
	struct group *g;

	while ((g = group_find(bs, GROUP_FLOW, flow))) {
		log_info(bs->p.log, "connection closed aor=%s contact=%s", g->first->aor->key, g->first->b.contact);
		bindings_remove(g->first);
	}
}

/* ---- the table ---- */

int bindings_new(struct bindings **out, const struct registrar_params *p)
{
	struct bindings *bs = calloc(1, sizeof(*bs));

	if (!bs)
		return -ENOMEM;
	bs->p = *p;
	bs->node = p->node ? strdup(p->node) : NULL;
	if (p->node && !bs->node) {
		free(bs);
		return -ENOMEM;
	}
	kept_load(bs);
	*out = bs;
	return 0;
}

void bindings_free(struct bindings *bs)
{
	struct aor *aor, *tmp;

	if (bs->load_query)
		db_forget(bs->p.db, bs->load_query);
	timer_stop(bs->p.timers, &bs->load_retry);
	HASH_ITER(hh, bs->aors, aor, tmp) {
		while (aor->first) {
			struct entry *e = container_of(aor->first, struct entry, b);

			unlink_entry(e);
			bindings_entry_free(e);
		}
		aor_drop_if_empty(bs, aor);
	}
	free(bs->node);
	free(bs);
}

bool bindings_is_loaded(const struct bindings *bs)
{
	return bs->is_loaded;
}

unsigned bindings_count(const struct bindings *bs)
{
	return bs->count;
}

int bindings_watch(struct bindings *bs, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	if (bs->nwatchers == REGISTRAR_WATCHERS_MAX)
		return -ENOSPC;
	bs->watchers[bs->nwatchers++] = (struct watcher){ fn, arg };
	return 0;
}

void bindings_unwatch(struct bindings *bs, void *arg)
{
	unsigned n = 0;

	for (unsigned i = 0; i < bs->nwatchers; i++)
		if (bs->watchers[i].arg != arg)
			bs->watchers[n++] = bs->watchers[i];
	bs->nwatchers = n;
}

/* bindings.c - the table of bindings: found by extension and by connection, expired by timer, kept in pbx.binding.
 *
 * Memory is what counts while we run; the database has a copy for the next start. A refresh that only moves the expiry is
 * not written each time: the copy must hold until the phone's next refresh, so it is renewed when less than half of the
 * granted time is left in it. Phones that refresh every half minute (NAT) so cost next to nothing.
 *
 * What a REGISTER may do to the table is registrar.c's to know.
 */
#define LOG_MODULE "registrar"
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "registrar/registrar_int.h"

#define LOAD_RETRY_MS 2000
#define EXPIRES_TEXT_MAX 24

/* As pbx.binding has them. */
static const char *const proto_names[] = {
	[SIP_UDP] = "udp", [SIP_TCP] = "tcp", [SIP_TLS] = "tls", [SIP_WS] = "ws", [SIP_WSS] = "wss",
};

struct flow {
	uint64_t id;
	struct entry *first;
	UT_hash_handle hh;
};

struct watcher {
	void (*fn)(const char *domain, const char *number, void *arg);
	void *arg;
};

struct bindings {
	struct registrar_params p;
	char *node;
	struct aor *aors;
	struct flow *flows;
	unsigned count;
	struct watcher watchers[REGISTRAR_WATCHERS_MAX];
	unsigned nwatchers;
	bool is_loaded;
	uint64_t load_query;       /* 0: none under way */
	struct timer load_retry;
};

/* ---- keeping ---- */

/* NULL and bytes that aren't UTF-8 become null: a header that a phone made up must not cost it its registration. */
static json_t *json_text(const char *z)
{
	json_t *text = z ? json_string(z) : NULL;

	return text ? text : json_null();
}

static void keep(struct bindings *bs, const struct entry *e, bool is_removed)
{
	char address[SOCKADDR_TEXT_MAX];
	json_t *doc;
	char *text;

	if (!bs->p.outbox)
		return;
	doc = json_pack("{s:o, s:o, s:o, s:b}", "domain", json_text(e->aor->domain), "number", json_text(e->aor->number), "contact",
			json_text(e->b.contact), "remove", is_removed);
	if (doc && !is_removed)
		json_object_update_new(doc, json_pack("{s:o, s:o, s:I, s:i, s:I, s:s, s:s, s:o, s:o}",
						      "instance", json_text(e->b.instance), "call_id", json_text(e->b.call_id),
						      "cseq", (json_int_t)e->b.cseq, "q_milli", (int)e->b.q_milli,
						      "expires_ms", (json_int_t)e->b.expires_at_ms,
						      "proto", proto_names[e->b.dest.proto],
						      "address", sockaddr_print(&e->b.dest.addr, address),
						      "user_agent", json_text(e->b.user_agent), "node", json_text(bs->node)));
	text = doc ? json_dumps(doc, JSON_COMPACT) : NULL;
	if (!text || outbox_add(bs->p.outbox, "binding", text, NULL, NULL, NULL) != 0)
		log_warn(bs->p.log, "binding of %s isn't kept, it ends with this process", e->aor->key);
	free(text);
	json_decref(doc);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

/* True when the kept copy of what is now e would mislead a start within the time granted. */
static bool must_keep(const struct entry *e, const struct entry *old, int64_t now_ms)
{
	if (!old || !old->kept_expires_ms)
		return true;
	if (strcmp(e->b.contact, old->b.contact) || !same_text(e->b.instance, old->b.instance) || strcmp(e->b.call_id, old->b.call_id) ||
	    e->b.q_milli != old->b.q_milli || e->b.dest.proto != old->b.dest.proto || !sockaddr_eq(&e->b.dest.addr, &old->b.dest.addr) ||
	    strcmp(e->b.user_agent, old->b.user_agent))
		return true;
	/* Shortened: the copy would outlive it. */
	if (e->b.expires_at_ms < old->kept_expires_ms)
		return true;
	return old->kept_expires_ms - now_ms < (e->b.expires_at_ms - now_ms) / 2;
}

/* ---- entries ---- */

static void on_expired(void *arg)
{
	struct entry *e = arg;

	log_info(e->of->p.log, "expired aor=%s contact=%s", e->aor->key, e->b.contact);
	bindings_remove(e);
}

struct entry *bindings_entry_new(struct bindings *bs, const struct binding *b)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->b = *b;
	e->b.next = NULL;
	e->of = bs;
	e->b.contact = strdup(b->contact);
	e->b.call_id = strdup(b->call_id);
	e->b.instance = b->instance ? strdup(b->instance) : NULL;
	timer_init(&e->expiry, on_expired, e);
	if (!e->b.contact || !e->b.call_id || (b->instance && !e->b.instance)) {
		bindings_entry_free(e);
		return NULL;
	}
	return e;
}

void bindings_entry_free(struct entry *e)
{
	if (!e)
		return;
	free(e->b.contact);
	free(e->b.call_id);
	free(e->b.instance);
	free(e);
}

static bool is_connection(const struct sip_dest *d)
{
	return d->proto != SIP_UDP && d->flow;
}

static int flow_add(struct bindings *bs, struct entry *e)
{
	struct flow *f;

	if (!is_connection(&e->b.dest))
		return 0;
	HASH_FIND(hh, bs->flows, &e->b.dest.flow, sizeof(f->id), f);
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f)
			return -ENOMEM;
		f->id = e->b.dest.flow;
		HASH_ADD(hh, bs->flows, id, sizeof(f->id), f);
	}
	e->flow_next = f->first;
	e->flow_pprev = &f->first;
	if (f->first)
		f->first->flow_pprev = &e->flow_next;
	f->first = e;
	return 0;
}

static void flow_remove(struct bindings *bs, struct entry *e)
{
	struct flow *f;

	if (!e->flow_pprev)
		return;
	*e->flow_pprev = e->flow_next;
	if (e->flow_next)
		e->flow_next->flow_pprev = e->flow_pprev;
	e->flow_pprev = NULL;
	HASH_FIND(hh, bs->flows, &e->b.dest.flow, sizeof(f->id), f);
	if (f && !f->first) {
		HASH_DEL(bs->flows, f);
		free(f);
	}
}

/* ---- addresses of record ---- */

static unsigned key_print(char *buf, size_t size, const char *domain, struct str number)
{
	int n = snprintf(buf, size, "%s/%.*s", domain, STR_ARG(number));

	return n > 0 && (size_t)n < size ? (unsigned)n : 0;
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
	char key[160];
	unsigned n;

	if (aor)
		return aor;
	n = key_print(key, sizeof(key), domain, str_from(number));
	aor = n ? calloc(1, sizeof(*aor) + n + 1) : NULL;
	if (!aor)
		return NULL;
	memcpy(aor->key, key, n + 1);
	aor->domain = strdup(domain);
	aor->number = strdup(number);
	if (!aor->domain || !aor->number) {
		free(aor->domain);
		free(aor->number);
		free(aor);
		return NULL;
	}
	HASH_ADD(hh, bs->aors, key, n, aor);
	return aor;
}

static void aor_drop_if_empty(struct bindings *bs, struct aor *aor)
{
	if (aor->first)
		return;
	HASH_DEL(bs->aors, aor);
	free(aor->domain);
	free(aor->number);
	free(aor);
}

struct entry *bindings_entry(const struct aor *aor, struct str contact)
{
	struct sip_uri want, have;

	if (!aor || sip_uri_parse(&want, contact) != 0)
		return NULL;
	for (struct binding *b = aor->first; b; b = b->next)
		if (sip_uri_parse(&have, str_from(b->contact)) == 0 && sip_uri_eq(&want, &have))
			return container_of(b, struct entry, b);
	return NULL;
}

static void link_entry(struct aor *aor, struct entry *e)
{
	struct binding **at = &aor->first;

	while (*at && (*at)->q_milli > e->b.q_milli)
		at = &(*at)->next;
	e->b.next = *at;
	*at = &e->b;
	e->aor = aor;
	aor->count++;
	e->of->count++;
}

static void unlink_entry(struct entry *e)
{
	struct binding **at = &e->aor->first;

	while (*at != &e->b)
		at = &(*at)->next;
	*at = e->b.next;
	e->aor->count--;
	e->of->count--;
	timer_stop(e->of->p.timers, &e->expiry);
	flow_remove(e->of, e);
}

static void tell(struct bindings *bs, const char *domain, const char *number)
{
	for (unsigned i = 0; i < bs->nwatchers; i++)
		bs->watchers[i].fn(domain, number, bs->watchers[i].arg);
}

int bindings_put(struct bindings *bs, const char *domain, const char *number, struct entry *e, struct entry *old)
{
	struct aor *aor = aor_get(bs, domain, number);
	int64_t now_ms = clock_wall_ms(bs->p.clock);

	if (!aor || flow_add(bs, e) != 0) {
		if (aor)
			aor_drop_if_empty(bs, aor);
		bindings_entry_free(e);
		return -ENOMEM;
	}
	if (old)
		unlink_entry(old);
	link_entry(aor, e);
	timer_start(bs->p.timers, &e->expiry, e->b.expires_at_ms > now_ms ? (uint64_t)(e->b.expires_at_ms - now_ms) : 0);
	if (e->kept_expires_ms) {
		/* came from the database */
	} else if (must_keep(e, old, now_ms)) {
		/* The row's key is the text: an equal URI in another spelling is another row. */
		if (old && strcmp(old->b.contact, e->b.contact) != 0)
			keep(bs, old, true);
		keep(bs, e, false);
		e->kept_expires_ms = e->b.expires_at_ms;
	} else {
		e->kept_expires_ms = old->kept_expires_ms;
	}
	bindings_entry_free(old);
	if (!old)
		tell(bs, domain, number);
	return 0;
}

void bindings_remove(struct entry *e)
{
	struct bindings *bs = e->of;
	struct aor *aor = e->aor;
	char domain[64], number[64];

	snprintf(domain, sizeof(domain), "%s", aor->domain);
	snprintf(number, sizeof(number), "%s", aor->number);
	keep(bs, e, true);
	unlink_entry(e);
	bindings_entry_free(e);
	aor_drop_if_empty(bs, aor);
	tell(bs, domain, number);
}

void bindings_flow_closed(struct bindings *bs, uint64_t flow)
{
	struct flow *f;

	for (;;) {
		HASH_FIND(hh, bs->flows, &flow, sizeof(flow), f);
		if (!f)
			return;
		log_info(bs->p.log, "connection closed aor=%s contact=%s", f->first->aor->key, f->first->b.contact);
		bindings_remove(f->first);
	}
}

/* ---- reading back ---- */

static const char load_sql[] =
	"SELECT domain, number, contact, instance, call_id, cseq, q_milli,"
	" (extract(epoch FROM expires) * 1000)::bigint, proto, address, user_agent"
	" FROM pbx.binding WHERE expires > now()";

static int proto_of(struct str name, enum sip_proto *out)
{
	for (size_t i = 0; i < ARRAY_LEN(proto_names); i++)
		if (str_eqz(name, proto_names[i])) {
			*out = (enum sip_proto)i;
			return 0;
		}
	return -EINVAL;
}

/* "192.0.2.1:5060", "[2001:db8::1]:5060" */
static int address_of(struct str text, union sockaddr_any *out)
{
	uint32_t port;
	size_t colon = text.n;

	while (colon && text.p[colon - 1] != ':')
		colon--;
	if (!colon || str_to_u32(str_from_at(text, colon), UINT16_MAX, &port) != 0)
		return -EINVAL;
	return sockaddr_parse(out, (struct str){ text.p, colon - 1 }, (uint16_t)port);
}

/* A connection is gone with the process that had it; a phone that isn't behind a NAT may be called at the address in its
 * contact. One that is opens a new connection and registers anew. */
static void redirect_connection(struct sip_dest *dest, const char *contact)
{
	union sockaddr_any addr;
	struct sip_uri uri;

	if (dest->proto == SIP_UDP || sip_uri_parse(&uri, str_from(contact)) != 0)
		return;
	if (sockaddr_parse(&addr, uri.host, uri.port ? uri.port : uri.scheme == SIP_SCHEME_SIPS ? 5061 : 5060) == 0)
		dest->addr = addr;
}

struct row {
	char domain[64], number[64], contact[BINDING_CONTACT_MAX], instance[256], call_id[256];
};

static int read_row(const struct db_rows *rows, int i, struct row *row, struct binding *b)
{
	char expires[EXPIRES_TEXT_MAX];
	uint32_t q;

	*b = (struct binding){ .contact = row->contact, .call_id = row->call_id };
	if (str_copy(db_rows_get(rows, i, 0), row->domain, sizeof(row->domain)) ||
	    str_copy(db_rows_get(rows, i, 1), row->number, sizeof(row->number)) ||
	    str_copy(db_rows_get(rows, i, 2), row->contact, sizeof(row->contact)) ||
	    str_copy(db_rows_get(rows, i, 3), row->instance, sizeof(row->instance)) ||
	    str_copy(db_rows_get(rows, i, 4), row->call_id, sizeof(row->call_id)) ||
	    str_to_u32(db_rows_get(rows, i, 5), UINT32_MAX, &b->cseq) || str_to_u32(db_rows_get(rows, i, 6), 1000, &q) ||
	    str_copy(db_rows_get(rows, i, 7), expires, sizeof(expires)) || proto_of(db_rows_get(rows, i, 8), &b->dest.proto) ||
	    address_of(db_rows_get(rows, i, 9), &b->dest.addr))
		return -EINVAL;
	if (row->instance[0])
		b->instance = row->instance;
	b->q_milli = (uint16_t)q;
	b->expires_at_ms = strtoll(expires, NULL, 10);
	snprintf(b->user_agent, sizeof(b->user_agent), "%.*s", STR_ARG(db_rows_get(rows, i, 10)));
	redirect_connection(&b->dest, b->contact);
	return 0;
}

static void load_row(struct bindings *bs, const struct db_rows *rows, int i)
{
	struct row row;
	struct binding b;
	struct entry *e;

	if (read_row(rows, i, &row, &b) != 0) {
		log_warn(bs->p.log, "a row of pbx.binding makes no sense: %.*s/%.*s", STR_ARG(db_rows_get(rows, i, 0)),
			 STR_ARG(db_rows_get(rows, i, 1)));
		return;
	}
	/* What has registered since we started knows better. */
	if (b.expires_at_ms <= clock_wall_ms(bs->p.clock) ||
	    bindings_entry(bindings_find(bs, row.domain, str_from(row.number)), str_from(b.contact)))
		return;
	e = bindings_entry_new(bs, &b);
	if (!e)
		return;
	e->kept_expires_ms = b.expires_at_ms;
	bindings_put(bs, row.domain, row.number, e, NULL);
}

static void on_rows(uint64_t id, const struct db_answer *a, void *arg)
{
	struct bindings *bs = arg;

	(void)id;
	bs->load_query = 0;
	if (a->err) {
		if (a->err == -EINVAL)
			log_error(bs->p.log, "bindings can't be read: %s", a->message ? a->message : "");
		timer_start(bs->p.timers, &bs->load_retry, LOAD_RETRY_MS);
		return;
	}
	for (int i = 0; i < db_rows_count(a->rows); i++)
		load_row(bs, a->rows, i);
	bs->is_loaded = true;
	log_info(bs->p.log, "bindings=%u read", bs->count);
}

static void start_load(void *arg)
{
	struct bindings *bs = arg;

	bs->load_query = db_query(bs->p.db, load_sql, 0, NULL, on_rows, bs);
	if (!bs->load_query)
		timer_start(bs->p.timers, &bs->load_retry, LOAD_RETRY_MS);
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
	timer_init(&bs->load_retry, start_load, bs);
	if (p->db)
		start_load(bs);
	else
		bs->is_loaded = true;
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

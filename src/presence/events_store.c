/* events_store.c - subscriptions that go on in the next process: their copy in pbx.subscription, written through the outbox.
 *
 * NOTIFYs are many, so the copy isn't written with each: it says from which CSeq and version the next process goes on, some way
 * ahead, and is renewed when we come near. A gap in either is allowed (RFC 3261 §12.2.1.1, RFC 4235 §4.1 with full state). As
 * with bindings, a refresh that only moves the expiry is written when less than half of the granted time is left in the copy.
 *
 * Reading back waits until what the former process left in the outbox is in the database, and until the bindings are read, which say what
 * temporary GRUUs mean.
 */
#define LOG_MODULE "events"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/log.h"
#include "presence/events_int.h"

#define AHEAD 1000               /* NOTIFYs between two copies */
#define LOAD_POLL_MS 50
#define LOAD_RETRY_MS 2000
#define LOAD_WAIT_MAX_MS 5000    /* for the outbox; then what is there is read */
#define SPREAD_MS 500            /* the first NOTIFYs of a start are spread over */

/* ---- writing ---- */

static uint64_t hash_bytes(uint64_t h, struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (unsigned char)s.p[i]) * 0x100000001b3;
	return h;
}

/* FNV-1a of where its NOTIFYs go: what a refresh may move. */
static uint64_t hash_way(const struct subscription_kept *k)
{
	char address[SOCKADDR_TEXT_MAX];
	uint64_t h = hash_bytes(0xcbf29ce484222325, k->target);

	h = hash_bytes(h, str_from(sockaddr_print(&k->peer, address)));
	return hash_bytes(h, str_from(sip_proto_word(k->proto)));
}

static bool must_keep(const struct event_watcher *w, const struct subscription_kept *k, int64_t now_ms)
{
	return !w->id[0] || k->local_seq + 1 >= w->seq_kept || w->version + 1 >= w->version_kept || hash_way(k) != w->dialog_kept ||
	       w->expires_at_ms < w->expires_kept_ms || w->expires_kept_ms - now_ms < (w->expires_at_ms - now_ms) / 2;
}

/* NULL: bytes that aren't UTF-8; such a subscription ends with this process. */
static json_t *text(struct str s)
{
	return json_stringn(s.p ? s.p : "", s.n);
}

static char *document(const struct event_watcher *w, const struct subscription_kept *k, uint32_t seq, uint32_t version)
{
	const struct event_resource *r = w->of;
	char address[SOCKADDR_TEXT_MAX], *z;
	json_t *doc = json_pack("{s:o, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:s, s:s, s:I, s:s}",
		"id", text(k->local_tag), "domain", r->domain, "number", w->number, "package", r->package->name, "resource", r->number,
		"entity", w->entity, "event", text(k->event), "call_id", text(k->call_id), "remote_tag", text(k->remote_tag),
		"local", text(k->local), "remote", text(k->remote), "target", text(k->target), "routes", text(k->routes),
		"contact_user", text(k->contact_user), "local_seq", (json_int_t)seq, "remote_seq", (json_int_t)k->remote_seq,
		"version", (json_int_t)version, "proto", sip_proto_word(k->proto), "address", sockaddr_print(&k->peer, address),
		"expires_ms", (json_int_t)w->expires_at_ms, "node", r->package->events->p.node);

	z = json_print(doc);
	json_decref(doc);
	return z;
}

void event_keep(struct event_watcher *w)
{
	struct events *e = w->of->package->events;
	struct subscription_kept k;
	char *doc;

	if (!e->p.outbox || w->is_ending)
		return;
	subscription_keep(w->sub, &k);
	if (!must_keep(w, &k, clock_wall_ms(e->p.clock)))
		return;
	doc = document(w, &k, k.local_seq + AHEAD, w->version + AHEAD);
	if (!doc || outbox_add(e->p.outbox, "subscription", doc, NULL, NULL, NULL) != 0) {
		log_debug(e->p.log, "subscription of %s to %s isn't kept, it ends with this process", w->number, w->of->key);
		free(doc);
		return;
	}
	free(doc);
	str_copy(k.local_tag, w->id, sizeof(w->id));
	w->seq_kept = k.local_seq + AHEAD;
	w->version_kept = w->version + AHEAD;
	w->expires_kept_ms = w->expires_at_ms;
	w->dialog_kept = hash_way(&k);
}

void event_forget(struct event_watcher *w)
{
	struct events *e = w->of->package->events;
	char doc[96];

	if (!w->id[0])
		return;
	snprintf(doc, sizeof(doc), "{\"id\":\"%s\",\"remove\":true}", w->id);
	if (outbox_add(e->p.outbox, "subscription", doc, NULL, NULL, NULL) != 0)
		log_debug(e->p.log, "subscription %s stays in the database until it expires", w->id);
	w->id[0] = '\0';
}

/* ---- reading back ---- */

static const char load_sql[] =
	"SELECT id, domain, number, package, resource, entity, event, call_id, remote_tag, local, remote, target, routes, contact_user,"
	" local_seq, remote_seq, version, proto, address, (extract(epoch FROM expires) * 1000)::bigint"
	" FROM pbx.subscription WHERE expires > now() AND node = $1";

enum column { ID, DOMAIN, NUMBER, PACKAGE, RESOURCE, ENTITY, EVENT, CALL_ID, REMOTE_TAG, LOCAL, REMOTE, TARGET, ROUTES, CONTACT_USER,
	      LOCAL_SEQ, REMOTE_SEQ, VERSION, PROTO, ADDRESS, EXPIRES };

struct row {
	struct event_package *package;
	char domain[EVENTS_NAME_MAX], number[EVENTS_NAME_MAX], resource[EVENTS_NAME_MAX], entity[EVENTS_ENTITY_MAX];
	struct subscription_kept k;
	uint32_t version;
	int64_t expires_at_ms;
};

static int read_row(struct events *e, const struct db_rows *rows, int i, struct row *row)
{
#define CELL(c) db_rows_get(rows, i, c)
	char expires[24];

	*row = (struct row){
		.package = events_package(e, CELL(PACKAGE)),
		.k = { .local_tag = CELL(ID), .event = CELL(EVENT), .call_id = CELL(CALL_ID), .remote_tag = CELL(REMOTE_TAG),
		       .local = CELL(LOCAL), .remote = CELL(REMOTE), .target = CELL(TARGET), .routes = CELL(ROUTES),
		       .contact_user = CELL(CONTACT_USER) },
	};
	if (!row->package || str_copy(CELL(DOMAIN), row->domain, sizeof(row->domain)) ||
	    str_copy(CELL(NUMBER), row->number, sizeof(row->number)) || str_copy(CELL(RESOURCE), row->resource, sizeof(row->resource)) ||
	    str_copy(CELL(ENTITY), row->entity, sizeof(row->entity)) || str_to_u32(CELL(LOCAL_SEQ), UINT32_MAX, &row->k.local_seq) ||
	    str_to_u32(CELL(REMOTE_SEQ), UINT32_MAX, &row->k.remote_seq) || str_to_u32(CELL(VERSION), UINT32_MAX, &row->version) ||
	    sip_proto_parse(&row->k.proto, CELL(PROTO)) || sockaddr_parse_printed(&row->k.peer, CELL(ADDRESS)) ||
	    str_copy(CELL(EXPIRES), expires, sizeof(expires)))
		return -EINVAL;
	row->expires_at_ms = strtoll(expires, NULL, 10);
	return 0;
#undef CELL
}

/* The phone that is watched, if it is one alone. -ESTALE: its GRUU means nothing any more. */
static int read_phone(const struct events *e, const struct row *row, uint64_t *phone)
{
	struct registrar_gruu gruu;
	struct sip_uri uri;
	int err;

	*phone = 0;
	if (!strstr(row->entity, ";gr"))
		return 0;
	err = sip_uri_parse(&uri, str_from(row->entity)) ? -ESTALE : event_phone_find(e, row->domain, &uri, &gruu);
	if (!err)
		*phone = phone_id(gruu.instance);
	return err;
}

static void restore(struct events *e, const struct row *row)
{
	int64_t left_ms = row->expires_at_ms - clock_wall_ms(e->p.clock);
	struct event_watcher *w;
	uint64_t phone;

	if (left_ms < 1000 || read_phone(e, row, &phone) != 0 || row->package->admit(row->domain, row->number, row->resource, row->package->arg).status)
		return; /* the copy goes when it has expired */
	w = event_watcher_new(row->package, row->domain, row->number, row->resource);
	if (!w)
		return;
	if (subscription_restore(&w->sub, e->p.ua, &row->k, (uint32_t)(left_ms / 1000), &event_subscription_handler, w) != 0) {
		event_watcher_free(w);
		return;
	}
	subscription_limit(w->sub, e->p.min_expires_s, e->p.max_expires_s);
	str_put(w->entity, sizeof(w->entity), row->entity);
	w->phone = phone;
	str_copy(row->k.local_tag, w->id, sizeof(w->id));
	w->version = row->version;
	w->expires_at_ms = w->expires_kept_ms = row->expires_at_ms;
	w->dialog_kept = hash_way(&row->k);
	/* The copy's numbers are used up with the first NOTIFY, which writes a new one. */
	w->seq_kept = row->k.local_seq;
	w->version_kept = row->version;
	w->is_owed = true;
	timer_start(e->p.timers, &w->pace, rng_below(e->p.rng, SPREAD_MS));
}

static void load_later(struct events *e, uint32_t after_ms)
{
	timer_start(e->p.timers, &e->load_timer, after_ms);
}

static void on_rows(uint64_t id, const struct db_answer *a, void *arg)
{
	struct events *e = arg;
	struct row row;

	(void)id;
	e->load_query = 0;
	if (a->err) {
		if (a->err == -EINVAL)
			log_error(e->p.log, "subscriptions can't be read: %s", a->message ? a->message : "");
		load_later(e, LOAD_RETRY_MS);
		return;
	}
	for (int i = 0; i < db_rows_count(a->rows); i++) {
		if (read_row(e, a->rows, i, &row) == 0)
			restore(e, &row);
		else
			log_warn(e->p.log, "a row of pbx.subscription makes no sense: %.*s", STR_ARG(db_rows_get(a->rows, i, ID)));
	}
	e->is_loaded = true;
	log_info(e->p.log, "subscriptions=%u read", e->n);
}

static void on_load(void *arg)
{
	struct events *e = arg;

	if (((e->p.outbox && outbox_waiting(e->p.outbox)) || !registrar_is_loaded(e->p.registrar)) &&
	    timers_now(e->p.timers) < e->load_until_ms) {
		load_later(e, LOAD_POLL_MS);
		return;
	}
	e->load_query = db_query(e->p.db, load_sql, 1, &DB_TEXT(e->p.node), on_rows, e);
	if (!e->load_query)
		load_later(e, LOAD_RETRY_MS);
}

void events_load_start(struct events *e)
{
	timer_init(&e->load_timer, on_load, e);
	e->is_loaded = !e->p.db;
	e->load_until_ms = timers_now(e->p.timers) + LOAD_WAIT_MAX_MS;
	if (e->p.db)
		on_load(e);
}

void events_load_stop(struct events *e)
{
	timer_stop(e->p.timers, &e->load_timer);
	if (e->load_query)
		db_forget(e->p.db, e->load_query);
	e->load_query = 0;
}

/* kept.c - the bindings in pbx.binding: written as they change, read back at start.
 *
 * A refresh that only moves the expiry is not written each time: the copy must hold until the phone's next refresh, so
 * it is renewed when less than half of the granted time is left in it. Phones that refresh every half minute (NAT) so
 * cost next to nothing.
 */
#define LOG_MODULE "registrar"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/member.h"
#include "registrar/registrar_int.h"

#define LOAD_RETRY_MS 2000
#define EXPIRES_TEXT_MAX 24
#define GRUU_ID_TEXT 17        /* 64 bits in hex */
#define DOCUMENT_USUAL 1024
#define DOCUMENT_MAX 65536     /* path and all, each byte with an escape */

/* ---- writing ---- */

/* 64 bits are more than JSON's numbers, as some read them, hold: as text. */
static void write_gruu_id(struct out *o, uint64_t id)
{
	char text[GRUU_ID_TEXT];

	if (id)
		snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	member_str(o, KEY("gruu_id"), id ? text : NULL);
}

/* What the row says besides whose it is. */
static void write_columns(struct out *o, const struct entry *e, const char *node)
{
	char address[SOCKADDR_TEXT_MAX];

	member_str(o, KEY("path"), e->b.path);
	write_gruu_id(o, e->b.gruu_id);
	member_str(o, KEY("call_id"), e->b.call_id);
	member_int(o, KEY("cseq"), e->b.cseq);
	member_int(o, KEY("q_milli"), e->b.q_milli);
	member_int(o, KEY("expires_ms"), e->b.expires_at_ms);
	member_str(o, KEY("proto"), sip_proto_word(e->b.dest.proto));
	member_str(o, KEY("address"), sockaddr_print(&e->b.dest.addr, address));
	member_str(o, KEY("user_agent"), e->b.user_agent);
	member_str(o, KEY("node"), node);
}

void kept_write(struct bindings *bs, const struct entry *e, bool is_removed)
{
	char buf[DOCUMENT_USUAL];
	struct out o;

	if (!bs->p.outbox)
		return;
	out_init_on(&o, buf, sizeof(buf), DOCUMENT_MAX);
	out_chr(&o, '{');
	member_str(&o, KEY("domain"), e->aor->domain);
	member_str(&o, KEY("number"), e->aor->number);
	member_str(&o, KEY("contact"), e->b.contact);
	member_str(&o, KEY("instance"), e->b.instance);
	member_int(&o, KEY("reg_id"), e->b.reg_id);
	if (!is_removed)
		write_columns(&o, e, bs->node);
	out_z(&o, is_removed ? "\"remove\":true}" : "\"remove\":false}");
	out_chr(&o, '\0');
	if (!out_ok(&o) || outbox_add(bs->p.outbox, "binding", o.p, NULL, NULL, NULL) != 0)
		log_warn(bs->p.log, "binding of %s isn't kept, it ends with this process", e->aor->key);
	out_fini(&o);
}

static bool same_text(const char *a, const char *b)
{
	return a && b ? !strcmp(a, b) : a == b;
}

bool kept_is_other_row(const struct entry *e, const struct entry *old)
{
	return strcmp(e->b.contact, old->b.contact) || !same_text(e->b.instance, old->b.instance) || e->b.reg_id != old->b.reg_id;
}

bool kept_is_old(int64_t kept_expires_ms, int64_t expires_at_ms, int64_t now_ms)
{
	if (!kept_expires_ms)
		return true;
	/* Shortened: the copy would outlive it. */
	return expires_at_ms < kept_expires_ms || kept_expires_ms - now_ms < (expires_at_ms - now_ms) / 2;
}

bool kept_must_write(const struct entry *e, const struct entry *old, int64_t now_ms)
{
	if (!old || !old->kept_expires_ms)
		return true;
	if (kept_is_other_row(e, old) || !same_text(e->b.path, old->b.path) || strcmp(e->b.call_id, old->b.call_id) ||
	    e->b.gruu_id != old->b.gruu_id ||
	    e->b.q_milli != old->b.q_milli || e->b.dest.proto != old->b.dest.proto || !sockaddr_eq(&e->b.dest.addr, &old->b.dest.addr) ||
	    strcmp(e->b.user_agent, old->b.user_agent))
		return true;
	return kept_is_old(old->kept_expires_ms, e->b.expires_at_ms, now_ms);
}

/* ---- reading back ---- */

static const char load_sql[] =
	"SELECT domain, number, contact, instance, call_id, cseq, q_milli,"
	" (extract(epoch FROM expires) * 1000)::bigint, proto, address, user_agent, reg_id, path, gruu_id, node"
	" FROM pbx.binding WHERE expires > now() ORDER BY expires";

/* A connection is gone with the process that had it, and with it what was registered over it: a flow (RFC 5626), a browser. */
static bool is_gone(const struct bindings *bs, const struct binding *b, struct str node)
{
	if (b->path || b->dest.proto == SIP_UDP || !bs->node || !str_eqz(node, bs->node))
		return false;
	return b->reg_id || b->dest.proto == SIP_WS || b->dest.proto == SIP_WSS;
}

/* But a phone that isn't behind a NAT may be called at the address in its contact. One that is opens a new connection and
 * registers anew. */
static void redirect_connection(struct binding *b)
{
	union sockaddr_any addr;
	struct sip_uri uri;

	if (b->path || b->dest.proto == SIP_UDP || sip_uri_parse(&uri, str_from(b->contact)) != 0)
		return;
	if (sockaddr_parse(&addr, uri.host, uri.port ? uri.port : uri.scheme == SIP_SCHEME_SIPS ? 5061 : 5060) == 0)
		b->dest.addr = addr;
}

struct row {
	char domain[64], number[64], contact[BINDING_CONTACT_MAX], instance[BINDING_INSTANCE_MAX + 1], call_id[BINDING_CALL_ID_MAX + 1];
	char path[BINDING_PATH_MAX];
};

static int read_row(const struct db_rows *rows, int i, struct row *row, struct binding *b)
{
	char expires[EXPIRES_TEXT_MAX], gruu_id[GRUU_ID_TEXT];
	uint32_t q;

	*b = (struct binding){ .contact = row->contact, .call_id = row->call_id };
	if (str_copy(db_rows_get(rows, i, 0), row->domain, sizeof(row->domain)) ||
	    str_copy(db_rows_get(rows, i, 1), row->number, sizeof(row->number)) ||
	    str_copy(db_rows_get(rows, i, 2), row->contact, sizeof(row->contact)) ||
	    str_copy(db_rows_get(rows, i, 3), row->instance, sizeof(row->instance)) ||
	    str_copy(db_rows_get(rows, i, 4), row->call_id, sizeof(row->call_id)) ||
	    str_to_u32(db_rows_get(rows, i, 5), UINT32_MAX, &b->cseq) || str_to_u32(db_rows_get(rows, i, 6), 1000, &q) ||
	    str_copy(db_rows_get(rows, i, 7), expires, sizeof(expires)) || sip_proto_parse(&b->dest.proto, db_rows_get(rows, i, 8)) ||
	    sockaddr_parse_printed(&b->dest.addr, db_rows_get(rows, i, 9)) || str_to_u32(db_rows_get(rows, i, 11), REG_ID_MAX, &b->reg_id) ||
	    str_copy(db_rows_get(rows, i, 12), row->path, sizeof(row->path)) ||
	    str_copy(db_rows_get(rows, i, 13), gruu_id, sizeof(gruu_id)))
		return -EINVAL;
	if (row->path[0])
		b->path = row->path;
	b->gruu_id = strtoull(gruu_id, NULL, 16);
	if (row->instance[0])
		b->instance = row->instance;
	b->q_milli = (uint16_t)q;
	b->expires_at_ms = strtoll(expires, NULL, 10);
	snprintf(b->user_agent, sizeof(b->user_agent), "%.*s", STR_ARG(db_rows_get(rows, i, 10)));
	redirect_connection(b);
	return 0;
}

/* What stands for the row already: the phone, or somebody at its contact, has registered since. */
static const struct entry *known_entry(const struct aor *aor, const struct binding *b)
{
	const struct contact_key key = { str_from(b->contact), str_from(b->instance), b->reg_id };
	const struct entry *e = bindings_entry(aor, &key);

	for (const struct binding *have = aor ? aor->first : NULL; have && !e; have = have->next)
		if (binding_is_same_instance(have, b) && !(have->reg_id && b->reg_id))
			e = container_of(have, struct entry, b);
	return e;
}

static void load_row(struct bindings *bs, const struct db_rows *rows, int i)
{
	const struct entry *known;
	struct row row;
	struct binding b;
	struct entry *e;

	if (read_row(rows, i, &row, &b) != 0) {
		log_warn(bs->p.log, "a row of pbx.binding makes no sense: %.*s/%.*s", STR_ARG(db_rows_get(rows, i, 0)),
			 STR_ARG(db_rows_get(rows, i, 1)));
		return;
	}
	if (b.expires_at_ms <= clock_wall_ms(bs->p.clock))
		return;
	e = bindings_entry_new(bs, &b);
	if (!e)
		return;
	/* What has registered since we started knows better. */
	known = known_entry(bindings_find(bs, row.domain, str_from(row.number)), &b);
	if (known && !kept_is_other_row(e, known)) {
		bindings_entry_free(e);
		return;
	}
	e->kept_expires_ms = b.expires_at_ms;
	if (bindings_put(bs, row.domain, row.number, e, NULL) == 0 && (known || is_gone(bs, &b, db_rows_get(rows, i, 14))))
		bindings_remove(e);
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

void kept_load(struct bindings *bs)
{
	timer_init(&bs->load_retry, start_load, bs);
	if (bs->p.db)
		start_load(bs);
	else
		bs->is_loaded = true;
}

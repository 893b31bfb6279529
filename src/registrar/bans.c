/* bans.c - reads and writes pbx.ban, and knows the networks of pbx.network.
 *
 * A change names the row; which rows have changed is gathered while a query is under way, and then asked in one. Whether a ban that was
 * just pronounced is written yet is seen from its place in pending: until then, what the database says of its source is old.
 */
#define LOG_MODULE "bans"
#include "registrar/bans.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/out.h"
#include "base/table.h"
#include "registrar/live.h"

#define KEYS_MAX (1 << 20)           /* bytes: of some 30,000 rows; with more changes than that all are read */
#define PENDING_MAX 65536
#define RETRY_MS 1000
#define RULE_BITS 65                 /* prefixes of 0 to 64 bits */

struct network {
	UT_hash_handle hh;
	struct network_key { uint64_t prefix; uint32_t family, bits; } key;
	enum guard_rule rule;
};

/* Pronounced here and not written yet, or being written. */
struct pending {
	UT_hash_handle hh;
	union sockaddr_any source;
	int64_t since_ms;            /* wall clock */
	bool is_sent;
};

struct bans {
	struct bans_params p;
	char node[64];
	struct directory_watcher watcher;
	struct live live;
	struct pending *pending;
	struct out keys;             /* changed rows, as an array of SQL: to be asked next */
	bool is_all_due, is_networks_due;
	struct timer retry;
	uint64_t query, network_query;
	struct network *networks;
	unsigned nbits[2][RULE_BITS]; /* how many networks there are of each length: v4, v6 */
};

/* ---- networks ---- */

static struct network_key network_key(const union sockaddr_any *a, unsigned bits)
{
	struct network_key k = { .family = a->sa.sa_family, .bits = bits };
	unsigned char bytes[8] = { 0 };

	memcpy(bytes, a->sa.sa_family == AF_INET6 ? (const void *)&a->v6.sin6_addr : &a->v4.sin_addr, a->sa.sa_family == AF_INET6 ? 8 : 4);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		if (bits < 8 * (i + 1))
			bytes[i] &= (unsigned char)(bits <= 8 * i ? 0 : 0xff << (8 * (i + 1) - bits));
	memcpy(&k.prefix, bytes, sizeof(bytes));
	return k;
}

static const struct network *longest_network(const struct bans *b, const union sockaddr_any *a)
{
	bool is_v6 = a->sa.sa_family == AF_INET6;

	for (int bits = is_v6 ? 64 : 32; bits >= 0; bits--) {
		struct network_key key;
		struct network *n;

		if (!b->nbits[is_v6][bits])
			continue;
		key = network_key(a, (unsigned)bits);
		HASH_FIND(hh, b->networks, &key, sizeof(key), n);
		if (n)
			return n;
	}
	return NULL;
}

static enum guard_rule rule_of(const union sockaddr_any *source, void *arg)
{
	struct bans *b = arg;
	const struct network *n = longest_network(b, source);
	const struct dir_trunk *trunk;

	if (n && n->key.bits == (source->sa.sa_family == AF_INET6 ? 64 : 32))
		return n->rule;
	if (directory_trunk_by_address(b->p.directory, &source->sa, &trunk) == DIR_FOUND)
		return GUARD_ALLOWED;
	return n ? n->rule : GUARD_ORDINARY;
}

/* Whoever rents a host rents it among others: a trunk's neighbours aren't the trunk. */
static bool is_mixed(const union sockaddr_any *source, void *arg)
{
	return directory_is_network_shared(((struct bans *)arg)->p.directory, &source->sa);
}

/* "192.0.2.0/24" */
static int read_cidr(struct str text, union sockaddr_any *addr, uint32_t *bits)
{
	struct str rest = text, host = str_cut(&rest, '/');

	if (sockaddr_parse(addr, host, 0) != 0)
		return -EINVAL;
	*bits = addr->sa.sa_family == AF_INET6 ? 128 : 32;
	return rest.p ? str_to_u32(rest, *bits, bits) : 0;
}

static void networks_clear(struct bans *b)
{
	struct network *n, *next;

	HASH_ITER(hh, b->networks, n, next) {
		HASH_DEL(b->networks, n);
		free(n);
	}
	memset(b->nbits, 0, sizeof(b->nbits));
}

static void take_network(struct bans *b, struct str text, struct str rule)
{
	union sockaddr_any addr;
	struct network_key key;
	struct network *n;
	uint32_t bits;

	if (read_cidr(text, &addr, &bits) != 0)
		return;
	key = network_key(&addr, bits < RULE_BITS ? bits : RULE_BITS - 1);
	HASH_FIND(hh, b->networks, &key, sizeof(key), n);
	if (!n) {
		n = calloc(1, sizeof(*n));
		if (!n)
			return;
		n->key = key;
		HASH_ADD(hh, b->networks, key, sizeof(n->key), n);
		if (!n->hh.tbl) {
			free(n);
			return;
		}
		b->nbits[addr.sa.sa_family == AF_INET6][key.bits]++;
	}
	n->rule = str_eqz(rule, "allow") ? GUARD_ALLOWED : GUARD_DENIED;
}

static void read_networks(struct bans *b);

static void on_networks(uint64_t id, const struct db_answer *a, void *arg)
{
	struct bans *b = arg;

	(void)id;
	b->network_query = 0;
	if (a->err == -ECANCELED)
		return;
	if (a->err) {
		b->is_networks_due = true;
		timer_start(b->p.timers, &b->retry, RETRY_MS);
		return;
	}
	networks_clear(b);
	for (int i = 0; i < db_rows_count(a->rows); i++)
		take_network(b, db_rows_get(a->rows, i, 0), db_rows_get(a->rows, i, 1));
	guard_rules_changed(b->p.guard);
	if (b->is_networks_due)
		read_networks(b);
}

/* From the shortest, so that of those that share a /64 the longest decides for all of it. */
static const char networks_sql[] = "SELECT network::text, rule FROM pbx.network ORDER BY masklen(network), network";

static void read_networks(struct bans *b)
{
	b->is_networks_due = b->network_query != 0;
	if (b->p.db && !b->network_query) {
		b->network_query = db_query(b->p.db, networks_sql, 0, NULL, on_networks, b);
		b->is_networks_due = !b->network_query;
		if (b->is_networks_due)
			timer_start(b->p.timers, &b->retry, RETRY_MS);
	}
}

/* ---- reading bans ---- */

static struct pending *find_pending(const struct bans *b, const union sockaddr_any *source)
{
	struct pending *p;

	HASH_FIND(hh, b->pending, source, sizeof(*source), p);
	return p;
}

static uint64_t number(struct str s)
{
	return s.p ? strtoull(s.p, NULL, 10) : 0;
}

/* Of the wall clock to the guard's. */
static uint64_t until_of(const struct bans *b, struct str until_ms)
{
	int64_t left_ms, now_ms = (int64_t)guard_now_ms(b->p.guard);

	if (!until_ms.p)
		return UINT64_MAX;
	left_ms = strtoll(until_ms.p, NULL, 10) - clock_wall_ms(b->p.clock);
	return left_ms + now_ms > 1 ? (uint64_t)(left_ms + now_ms) : 1;
}

enum { COL_SOURCE, COL_ABSENT, COL_UNTIL, COL_FAILURES, COL_TIMES, COL_ACCOUNT };

static void take_ban(struct bans *b, const struct db_rows *rows, int i)
{
	struct guard_ban ban = { .times = (uint32_t)number(db_rows_get(rows, i, COL_TIMES)) };
	struct str account = db_rows_get(rows, i, COL_ACCOUNT);
	union sockaddr_any addr;
	uint32_t bits;

	if (read_cidr(db_rows_get(rows, i, COL_SOURCE), &addr, &bits) != 0)
		return;
	ban.source = guard_source_of(&addr);
	if (find_pending(b, &ban.source))
		return;
	if (str_eqz(db_rows_get(rows, i, COL_ABSENT), "t")) {
		guard_ban_remove(b->p.guard, &ban.source);
		return;
	}
	ban.until_ms = until_of(b, db_rows_get(rows, i, COL_UNTIL));
	ban.failures = number(db_rows_get(rows, i, COL_FAILURES));
	str_copy(account.n < sizeof(ban.account) ? account : STR_NULL, ban.account, sizeof(ban.account));
	if (guard_ban_put(b->p.guard, &ban) != 0)
		log_error(b->p.log, "no memory for a ban");
}

static void read_bans(struct bans *b);

static void on_bans(uint64_t id, const struct db_answer *a, void *arg)
{
	struct bans *b = arg;

	(void)id;
	b->query = 0;
	if (a->err == -ECANCELED)
		return;
	if (a->err) {
		b->is_all_due = true; /* which rows were asked for isn't known any more */
		timer_start(b->p.timers, &b->retry, RETRY_MS);
		return;
	}
	for (int i = 0; i < db_rows_count(a->rows); i++)
		take_ban(b, a->rows, i);
	read_bans(b);
}

#define BAN_COLUMNS "b.source IS NULL, CASE WHEN b.until < 'infinity' THEN round(extract(epoch FROM b.until) * 1000)::bigint END," \
	" b.failures, b.times, b.account"

static const char changed_sql[] = "SELECT k::text, " BAN_COLUMNS " FROM unnest($1::cidr[]) AS k LEFT JOIN pbx.ban AS b ON b.source = k";

/* All, those that end first first: when there are too many, they are forgotten in this order. And of those that we know which there are no more ($1). */
static const char all_sql[] =
	"SELECT b.source::text, " BAN_COLUMNS " FROM pbx.ban AS b WHERE b.until = 'infinity'"
	" UNION ALL (SELECT b.source::text, " BAN_COLUMNS " FROM (SELECT * FROM pbx.ban WHERE until < 'infinity' AND until > now() - interval '1 day'"
	"  ORDER BY until DESC LIMIT 65536) AS b ORDER BY b.until)"
	" UNION ALL SELECT k::text, true, NULL, NULL, NULL, NULL FROM unnest($1::cidr[]) AS k WHERE NOT EXISTS (SELECT FROM pbx.ban WHERE source = k)";

static void add_key(struct bans *b, const char *cidr)
{
	out_chr(&b->keys, b->keys.len ? ',' : '{');
	out_z(&b->keys, cidr);
}

static void add_known(const struct guard_ban *ban, void *arg)
{
	char host[SOCKADDR_TEXT_MAX], cidr[SOCKADDR_TEXT_MAX + 4];

	snprintf(cidr, sizeof(cidr), "%s/%s", sockaddr_print_host(&ban->source, host), ban->source.sa.sa_family == AF_INET6 ? "64" : "32");
	add_key(arg, cidr);
}

/* What has changed meanwhile, in one query. */
static void read_bans(struct bans *b)
{
	bool is_all = b->is_all_due || !out_ok(&b->keys);

	if (!b->p.db || b->query || (!is_all && !b->keys.len))
		return;
	if (is_all) {
		out_fini(&b->keys);
		out_init_grow(&b->keys, 8 * KEYS_MAX);
		guard_ban_each(b->p.guard, add_known, b);
	}
	out_mem(&b->keys, b->keys.len ? "}" : "{}", b->keys.len ? 2 : 3);
	if (out_ok(&b->keys))
		b->query = db_query(b->p.db, is_all ? all_sql : changed_sql, 1, (struct db_param[]){ DB_TEXT(b->keys.p) }, on_bans, b);
	b->is_all_due = !b->query;
	if (b->is_all_due)
		timer_start(b->p.timers, &b->retry, RETRY_MS);
	out_fini(&b->keys);
	out_init_grow(&b->keys, KEYS_MAX);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct bans *b = arg;

	if (!strcmp(table, "ban")) {
		add_key(b, key);
		read_bans(b);
	} else if (!strcmp(table, "network")) {
		read_networks(b);
	} else if (!strcmp(table, "*")) {
		b->is_all_due = true;
		read_bans(b);
		read_networks(b);
	} else if (!strcmp(table, "trunk")) {
		guard_rules_changed(b->p.guard);
	}
}

static void on_retry(void *arg)
{
	struct bans *b = arg;

	read_bans(b);
	if (b->is_networks_due)
		read_networks(b);
}

/* ---- writing ---- */

static bool collect(json_t *docs, unsigned max, void *arg)
{
	struct bans *b = arg;
	struct pending *p;

	for (p = b->pending; p; p = p->hh.next) {
		const struct guard_ban *ban = guard_ban_find(b->p.guard, &p->source);
		char host[SOCKADDR_TEXT_MAX], cidr[SOCKADDR_TEXT_MAX + 4];
		json_t *doc;

		if (json_array_size(docs) == max)
			return true;
		p->is_sent = true;
		if (!ban)
			continue;
		snprintf(cidr, sizeof(cidr), "%s/%s", sockaddr_print_host(&p->source, host), p->source.sa.sa_family == AF_INET6 ? "64" : "32");
		doc = json_pack("{s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "source", cidr, "since_ms", (json_int_t)p->since_ms, "until_ms",
				(json_int_t)(p->since_ms + (int64_t)ban->for_ms), "failures", (json_int_t)ban->failures,
				"times", (json_int_t)ban->times, "account", ban->account, "reason", "wrong passwords", "node", b->node);
		if (doc)
			json_array_append_new(docs, doc);
	}
	return false;
}

static void lost(void *arg)
{
	struct bans *b = arg;
	struct pending *p;

	for (p = b->pending; p; p = p->hh.next)
		p->is_sent = false;
	b->live.is_touched = true;
}

static void arrived(void *arg)
{
	struct bans *b = arg;
	struct pending *p, *next;

	HASH_ITER(hh, b->pending, p, next)
		if (p->is_sent) {
			HASH_DEL(b->pending, p);
			free(p);
		}
}

static const struct live_handler live_handler = { .collect = collect, .lost = lost, .arrived = arrived };

static void on_ban(const struct guard_ban *ban, void *arg)
{
	struct bans *b = arg;
	struct pending *p = find_pending(b, &ban->source);
	char host[SOCKADDR_TEXT_MAX];

	log_warn(b->p.log, "banned source=%s for_s=%llu times=%u failures=%llu account=%s", sockaddr_print_host(&ban->source, host),
		 (unsigned long long)ban->for_ms / 1000, ban->times, (unsigned long long)ban->failures, ban->account);
	if (!b->p.db || (!p && HASH_COUNT(b->pending) >= PENDING_MAX))
		return;
	if (!p) {
		p = calloc(1, sizeof(*p));
		if (!p)
			return;
		p->source = ban->source;
		HASH_ADD(hh, b->pending, source, sizeof(p->source), p);
		if (!p->hh.tbl) {
			free(p);
			return;
		}
	}
	p->since_ms = clock_wall_ms(b->p.clock);
	p->is_sent = false;
	live_touch(&b->live);
}

/* ---- the whole ---- */

int bans_new(struct bans **out, const struct bans_params *p)
{
	static const struct guard_handler handler = { .rule_of = rule_of, .is_mixed = is_mixed, .on_ban = on_ban };
	struct bans *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->p = *p;
	b->p.node = NULL;
	str_put(b->node, sizeof(b->node), p->node);
	out_init_grow(&b->keys, KEYS_MAX);
	b->live = (struct live){ .db = p->db, .timers = p->timers, .sql = "SELECT pbx.ban_set($1::jsonb)" };
	live_init(&b->live, &live_handler, b);
	timer_init(&b->retry, on_retry, b);
	b->watcher = (struct directory_watcher){ .on_change = on_change, .arg = b };
	directory_watch(p->directory, &b->watcher);
	guard_handle(p->guard, &handler, b);
	b->is_all_due = true;
	read_bans(b);
	read_networks(b);
	*out = b;
	return 0;
}

void bans_free(struct bans *b)
{
	struct pending *p, *next;

	if (!b)
		return;
	guard_handle(b->p.guard, NULL, NULL);
	directory_unwatch(b->p.directory, &b->watcher);
	live_fini(&b->live);
	timer_stop(b->p.timers, &b->retry);
	if (b->query)
		db_forget(b->p.db, b->query);
	if (b->network_query)
		db_forget(b->p.db, b->network_query);
	HASH_ITER(hh, b->pending, p, next) {
		HASH_DEL(b->pending, p);
		free(p);
	}
	networks_clear(b);
	out_fini(&b->keys);
	free(b);
}

/* rows.c - the copy's rows by their keys, and what is asked of them.
 *
 * A table has an index of its keys, and a list, in which a row that changes goes last. With 10,000 extensions a look-up touches two lines
 * of memory and the row.
 */
#define LOG_MODULE "directory"
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/hash.h"
#include "directory/directory_int.h"

#define KEY_MAX 300

static void row_free(struct dir_row *r)
{
	free(r->list);
	free(r->addresses);
	free(r);
}

static struct dir_row *row_find(const struct directory *d, enum dir_table t, struct str key)
{
	uint64_t h = hash_plain(key.p, key.n), at = h;
	struct dir_row *r;

	while ((r = index_next(&d->rows[t].by_key, h, &at)))
		if (str_eqz(key, r->key))
			return r;
	return NULL;
}

static void row_drop(struct directory *d, enum dir_table t, struct dir_row *r)
{
	if (t == DIR_CREDENTIAL || t == DIR_DOMAIN)
		userhash_forget(d);
	d->in_use.is_known = false;
	index_remove(&d->rows[t].by_key, hash_plain(r->key, strlen(r->key)), r);
	DL_DELETE(d->rows[t].first, r);
	row_free(r);
}

void dir_row_drop(struct directory *d, enum dir_table t, const char *key)
{
	struct dir_row *r = row_find(d, t, str_from(key));

	if (r)
		row_drop(d, t, r);
}

/* In the place of what had its key. */
static void row_put(struct directory *d, enum dir_table t, struct dir_row *r)
{
	dir_row_drop(d, t, r->key);
	if (t == DIR_CREDENTIAL || t == DIR_DOMAIN)
		userhash_forget(d);
	d->in_use.is_known = false;
	if (index_add(&d->rows[t].by_key, hash_plain(r->key, strlen(r->key)), r) != 0) {
		log_error(d->log, "%s %s: no memory for it", dir_tables[t].name, r->key);
		row_free(r);
		return;
	}
	DL_APPEND(d->rows[t].first, r);
}

/* Its texts and the array of them stand behind it: who looks somebody up then finds them in the lines of memory that follow. */
static struct dir_row *row_new(const struct db_rows *rows, int row)
{
	int ncols = db_rows_columns(rows);
	size_t size = sizeof(struct dir_row) + (size_t)ncols * sizeof(char *);
	struct dir_row *r;
	char *at;

	for (int i = 0; i < ncols; i++)
		size += db_rows_get(rows, row, i).n + 1;
	r = calloc(1, size);
	if (!r)
		return NULL;
	r->v = (char **)(r + 1);
	at = r->key = (char *)(r->v + ncols);
	for (int i = 0; i < ncols; i++) {
		struct str cell = db_rows_get(rows, row, i);

		if (i > 0)
			r->v[r->nv++] = cell.p ? at : NULL;
		if (cell.n)
			memcpy(at, cell.p, cell.n);
		at += cell.n + 1;
	}
	return r;
}

int dir_row_fetch(struct directory *d, enum dir_table t, const struct db_rows *rows, int row)
{
	struct dir_row *r = row_new(rows, row);
	int err;

	if (!r)
		return -ENOMEM;
	r->generation = d->generation;
	err = dir_tables[t].fill(d, r);
	if (err) {
		row_free(r);
		return err;
	}
	r->next = d->fetched[t];
	d->fetched[t] = r;
	return 0;
}

void dir_rows_apply(struct directory *d)
{
	for (unsigned t = 0; t < DIR_TABLE_COUNT; t++)
		while (d->fetched[t]) {
			struct dir_row *r = d->fetched[t];

			d->fetched[t] = r->next;
			row_put(d, t, r);
		}
}

void dir_rows_forget(struct directory *d)
{
	for (unsigned t = 0; t < DIR_TABLE_COUNT; t++)
		while (d->fetched[t]) {
			struct dir_row *r = d->fetched[t];

			d->fetched[t] = r->next;
			row_free(r);
		}
}

static void drop_rows(struct directory *d, bool all)
{
	for (unsigned t = 0; t < DIR_TABLE_COUNT; t++) {
		struct dir_row *r, *next;

		DL_FOREACH_SAFE(d->rows[t].first, r, next)
			if (all || r->generation != d->generation)
				row_drop(d, t, r);
	}
}

void dir_rows_sweep(struct directory *d)
{
	drop_rows(d, false);
}

void dir_rows_clear(struct directory *d)
{
	dir_rows_forget(d);
	drop_rows(d, true);
	for (unsigned t = 0; t < DIR_TABLE_COUNT; t++)
		index_fini(&d->rows[t].by_key);
}

/* ---- look-ups ---- */

static enum dir_answer find(struct directory *d, enum dir_table t, const char *domain, struct str name, const struct dir_row **out)
{
	char key[KEY_MAX];
	int n = str_join(key, sizeof(key), domain, '/', name);

	if (!d->is_loaded)
		return DIR_UNKNOWN;
	if (n < 0)
		return DIR_ABSENT;
	*out = row_find(d, t, (struct str){ key, (size_t)n });
	return *out ? DIR_FOUND : DIR_ABSENT;
}

/* One whose key is a single name. */
static enum dir_answer find_named(struct directory *d, enum dir_table t, const char *name, const struct dir_row **out)
{
	if (!d->is_loaded)
		return DIR_UNKNOWN;
	*out = row_find(d, t, str_from(name));
	return *out ? DIR_FOUND : DIR_ABSENT;
}

#define LOOKUP(fn, table, type, member)                                                                                  \
	enum dir_answer fn(struct directory *d, const char *domain, struct str name, const struct type **out)            \
	{                                                                                                                \
		const struct dir_row *r;                                                                                 \
		enum dir_answer a = find(d, table, domain, name, &r);                                                    \
                                                                                                                         \
		if (a == DIR_FOUND)                                                                                      \
			*out = &r->member;                                                                               \
		return a;                                                                                                \
	}

LOOKUP(directory_extension, DIR_EXTENSION, dir_extension, extension)
LOOKUP(directory_credential, DIR_CREDENTIAL, dir_credential, credential)
LOOKUP(directory_trunk, DIR_TRUNK, dir_trunk, trunk)
LOOKUP(directory_conference, DIR_CONFERENCE, dir_conference, conference)
LOOKUP(directory_trunk_group, DIR_TRUNK_GROUP, dir_trunk_group, trunk_group)
LOOKUP(directory_budgets, DIR_BUDGET, dir_budgets, budgets)
LOOKUP(directory_schedule, DIR_SCHEDULE, dir_schedule, schedule)
LOOKUP(directory_group, DIR_GROUP, dir_group, group)
LOOKUP(directory_menu, DIR_MENU, dir_menu, menu)
LOOKUP(directory_mailbox, DIR_MAILBOX, dir_mailbox, mailbox)
LOOKUP(directory_script, DIR_SCRIPT, dir_script, script)
LOOKUP(directory_note, DIR_NOTE, dir_note, note)

enum dir_answer directory_music(struct directory *d, const char *domain, const char *class_name, const struct dir_music **out)
{
	const struct dir_row *r;
	enum dir_answer a = find(d, DIR_MUSIC, domain, str_from(class_name), &r);

	if (a == DIR_FOUND)
		*out = &r->music;
	return a;
}

enum dir_answer directory_pass(struct directory *d, const char *domain, const char *trunk, const struct dir_pass **out)
{
	const struct dir_row *r;
	enum dir_answer a = DIR_ABSENT;

	if (d->rows[DIR_PASS].first || !d->is_loaded)
		a = trunk ? find(d, DIR_PASS, domain, str_from(trunk), &r) : find_named(d, DIR_PASS, domain, &r);
	if (a == DIR_FOUND)
		*out = &r->pass;
	return a;
}

enum dir_answer directory_domain(struct directory *d, const char *domain, const struct dir_domain **out)
{
	const struct dir_row *r;
	enum dir_answer a = find_named(d, DIR_DOMAIN, domain, &r);

	if (a == DIR_FOUND)
		*out = &r->domain;
	return a;
}

enum dir_answer directory_domain_of_host(struct directory *d, struct str host, const struct dir_domain **out)
{
	char lower[KEY_MAX];
	enum dir_answer a = DIR_ABSENT;

	if (!d->is_loaded)
		return DIR_UNKNOWN;
	if (str_copy(host, lower, sizeof(lower)) == 0) {
		for (char *p = lower; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p |= 0x20;
		a = directory_domain(d, lower, out);
	}
	for (const struct dir_row *r = d->rows[DIR_DOMAIN].first; r && a != DIR_FOUND; r = r->next)
		if (r->domain.is_default) {
			*out = &r->domain;
			a = DIR_FOUND;
		}
	return a;
}

enum dir_answer directory_forward(struct directory *d, const char *domain, struct str number, const char *reason, struct dir_forward *out)
{
	char name[KEY_MAX];
	const struct dir_row *r;
	enum dir_answer a;
	int n = snprintf(name, sizeof(name), "%.*s/%s", STR_ARG(number), reason);

	if (n < 0 || (size_t)n >= sizeof(name))
		return DIR_ABSENT;
	a = find(d, DIR_FORWARD, domain, str_from(name), &r);
	if (a == DIR_FOUND)
		*out = r->forward;
	return a;
}

static bool is_in(const struct dir_address *net, const struct sockaddr *addr)
{
	const unsigned char *a = addr->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)addr)->sin6_addr.s6_addr
							     : (const unsigned char *)&((const struct sockaddr_in *)addr)->sin_addr;
	const unsigned char *b = (const unsigned char *)&net->addr;
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (net->family != addr->sa_family || memcmp(a, b, whole) != 0)
		return false;
	return !rest || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

enum dir_answer directory_trunk_by_address(struct directory *d, const struct sockaddr *addr, const struct dir_trunk **out)
{
	const struct dir_row *best = NULL;
	unsigned best_bits = 0;

	if (!d->is_loaded)
		return DIR_UNKNOWN;
	/* Trunks are tens, not thousands. */
	for (const struct dir_row *r = d->rows[DIR_TRUNK].first; r; r = r->next)
		for (unsigned i = 0; i < r->naddresses; i++)
			if (is_in(&r->addresses[i], addr) && (!best || r->addresses[i].bits > best_bits)) {
				best = r;
				best_bits = r->addresses[i].bits;
			}
	if (best)
		*out = &best->trunk;
	return best ? DIR_FOUND : DIR_ABSENT;
}

bool directory_is_network_shared(struct directory *d, const struct sockaddr *addr)
{
	const void *network = &((const struct sockaddr_in6 *)addr)->sin6_addr;

	if (addr->sa_family != AF_INET6)
		return false;
	for (const struct dir_row *r = d->rows[DIR_TRUNK].first; r; r = r->next)
		for (unsigned i = 0; i < r->naddresses; i++) {
			const struct dir_address *a = &r->addresses[i];

			if (a->family == AF_INET6 && a->bits > 64 && !memcmp(&a->addr, network, 8))
				return true;
		}
	return false;
}

enum dir_answer directory_certificate(struct directory *d, const char *identity, const struct dir_certificate **out)
{
	const struct dir_row *r;
	enum dir_answer a = find_named(d, DIR_CERTIFICATE, identity, &r);

	if (a == DIR_FOUND)
		*out = &r->certificate;
	return a;
}

enum dir_answer directory_tones(struct directory *d, const char *plan, const struct dir_tones **out)
{
	const struct dir_row *r;
	enum dir_answer a = find_named(d, DIR_TONES, plan, &r);

	if (a == DIR_FOUND)
		*out = &r->tones;
	return a;
}

enum dir_answer directory_trunk_by_identity(struct directory *d, const char *identity, const struct dir_trunk **out)
{
	if (!d->is_loaded)
		return DIR_UNKNOWN;
	for (const struct dir_row *r = d->rows[DIR_TRUNK].first; r; r = r->next)
		if (r->trunk.tls_identity && !strcmp(r->trunk.tls_identity, identity)) {
			*out = &r->trunk;
			return DIR_FOUND;
		}
	return DIR_ABSENT;
}

/* Counted once a change: who may not exist must be answered as fast as who does. */
static const struct dir_algorithms *algorithms_in_use(struct directory *d, const char *domain)
{
	struct dir_algorithms *u = &d->in_use;

	if (u->is_known && !strcmp(u->domain, domain))
		return u;
	*u = (struct dir_algorithms){ .is_known = strlen(domain) < sizeof(u->domain) };
	snprintf(u->domain, sizeof(u->domain), "%s", domain);
	for (const struct dir_row *r = d->rows[DIR_EXTENSION].first; r; r = r->next)
		if (!strcmp(r->extension.domain, domain)) {
			u->counts[r->extension.algorithms & 7]++;
			u->total++;
		}
	return u;
}

/* The keyed hash of a name picks an extension of the domain, and its policy is offered: in the proportion of those in use, the same
 * for a name every time, and without the key nobody can tell. */
unsigned directory_algorithms_for(struct directory *d, const char *domain, struct str name)
{
	const struct dir_algorithms *u = algorithms_in_use(d, domain);
	unsigned char mac[EVP_MAX_MD_SIZE];
	const struct dir_domain *dom;
	unsigned len = 0, pick;

	if (!u->total || !HMAC(EVP_sha256(), d->secret, sizeof(d->secret), (const unsigned char *)name.p, name.n, mac, &len))
		return directory_domain(d, domain, &dom) == DIR_FOUND ? dom->algorithms : 1;
	pick = ((unsigned)mac[0] << 16 | (unsigned)mac[1] << 8 | mac[2]) % u->total;
	for (unsigned set = 1; set < ARRAY_LEN(u->counts); set++) {
		if (pick < u->counts[set])
			return set;
		pick -= u->counts[set];
	}
	return 1;
}

void directory_scripts(struct directory *d, void (*fn)(const struct dir_script *script, void *arg), void *arg)
{
	for (const struct dir_row *r = d->rows[DIR_SCRIPT].first; r; r = r->next)
		fn(&r->script, arg);
}

bool directory_secret(struct directory *d, unsigned char out[32])
{
	if (d->has_secret)
		memcpy(out, d->secret, sizeof(d->secret));
	return d->has_secret;
}

bool directory_extension_begins(struct directory *d, const char *domain, struct str digits)
{
	/* Menus ask this once a digit: a walk over the extensions is well spent. */
	for (const struct dir_row *r = d->rows[DIR_EXTENSION].first; r; r = r->next) {
		struct str number = str_from(r->extension.number);

		if (number.n > digits.n && str_starts(number, digits) && !strcmp(r->extension.domain, domain))
			return true;
	}
	return false;
}

void directory_bulk_numbers(struct directory *d, const char *domain, const char *account,
			    void (*fn)(const struct dir_extension *ext, void *arg), void *arg)
{
	for (const struct dir_row *r = d->rows[DIR_EXTENSION].first; r; r = r->next)
		if (r->extension.bulk_account && !strcmp(r->extension.bulk_account, account) && !strcmp(r->extension.domain, domain))
			fn(&r->extension, arg);
}

bool directory_captures(const struct directory *d)
{
	for (const struct dir_row *r = d->rows[DIR_DOMAIN].first; r; r = r->next)
		if (r->domain.capture != DIR_CAPTURE_NONE)
			return true;
	return false;
}

void directory_trunks(struct directory *d, void (*fn)(const struct dir_trunk *trunk, void *arg), void *arg)
{
	for (const struct dir_row *r = d->rows[DIR_TRUNK].first; r; r = r->next)
		fn(&r->trunk, arg);
}

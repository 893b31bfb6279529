/* directory.c - loads the directory and keeps it true.
 *
 * Everything is read once, behind the change number it is at least as new as; from then on pbx.change is read, batch by batch, and
 * just the rows it names are fetched. One query is under way at a time, so an older answer never overwrites a newer one. NOTIFY only
 * wakes; a poll every few seconds would find what a lost notification hid.
 */
#define LOG_MODULE "directory"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "directory/directory_int.h"

#define POLL_MS 3000
#define RETRY_MS 200     /* after a failure: the database may be back before somebody tells */
#define BATCH 5000

static void load_next(struct directory *d);
static void start(struct directory *d);
static void read_changes(struct directory *d);
static void fetch_next(struct directory *d);
static void go_on(struct directory *d);

static void notify(struct directory *d, const char *table, const char *key)
{
	for (struct directory_watcher *w = d->watchers; w; w = w->next)
		w->on_change(table, key, w->arg);
}

static void on_poll(uv_timer_t *timer);

static bool failed(struct directory *d, const struct db_answer *a)
{
	d->query = 0;
	if (a->err == -EINVAL)
		log_error(d->log, "query refused sqlstate=%s %s", a->sqlstate ? a->sqlstate : "", a->message ? a->message : "");
	if (a->err && !d->is_closing)
		uv_timer_start(&d->poll, on_poll, RETRY_MS, POLL_MS);
	return a->err != 0;
}

/* ---- loading ---- */

static const char start_sql[] =
	"SELECT coalesce((SELECT max(seq) FROM pbx.change), 0), (SELECT encode(value, 'hex') FROM pbx.secret WHERE name = 'node'),"
	" coalesce((SELECT min(seq) FROM pbx.change), 0)";

/* They wait for those of the other tables: what is changed together comes into force together. */
static void take_rows(struct directory *d, const struct db_rows *rows)
{
	for (int i = 0; i < db_rows_count(rows); i++)
		if (dir_row_fetch(d, d->table, rows, i) != 0)
			log_error(d->log, "a row of %s can't be used", dir_tables[d->table].name);
}

static void on_table(uint64_t id, const struct db_answer *a, void *arg)
{
	struct directory *d = arg;

	(void)id;
	if (failed(d, a))
		return;
	take_rows(d, a->rows);
	d->table++;
	load_next(d);
}

static void load_next(struct directory *d)
{
	if (d->table < DIR_TABLE_COUNT) {
		d->query = db_query(d->db, dir_tables[d->table].sql, 1, &DB_TEXT(NULL), on_table, d);
		return;
	}
	d->is_loaded = true;
	dir_rows_apply(d);
	dir_rows_sweep(d);
	log_info(d->log, "loaded extensions=%zu domains=%zu seq=%lld", d->rows[DIR_EXTENSION].by_key.n, d->rows[DIR_DOMAIN].by_key.n,
		 (long long)d->seq);
	notify(d, "*", "");
	if (!d->is_closing)
		read_changes(d);
}

static void take_secret(struct directory *d, struct str hex)
{
	for (size_t i = 0; i < sizeof(d->secret) && 2 * i + 1 < hex.n; i++) {
		unsigned byte;

		if (sscanf(hex.p + 2 * i, "%2x", &byte) == 1)
			d->secret[i] = (unsigned char)byte;
	}
	d->has_secret = hex.n >= 2 * sizeof(d->secret);
}

static void on_start(uint64_t id, const struct db_answer *a, void *arg)
{
	struct directory *d = arg;
	int64_t seq, first;

	(void)id;
	if (failed(d, a) || !db_rows_count(a->rows))
		return;
	seq = strtoll(db_rows_get(a->rows, 0, 0).p, NULL, 10);
	d->is_check_due = false;
	first = strtoll(db_rows_get(a->rows, 0, 2).p, NULL, 10);
	if (d->is_loaded && seq >= d->seq && first <= d->seq + 1) {
		read_changes(d);
		return;
	}
	if (d->is_loaded && seq >= d->seq)
		log_warn(d->log, "cut off since change %lld, the log begins at %lld: loading all of it", (long long)d->seq, (long long)first);
	else if (d->is_loaded)
		log_warn(d->log, "the database has gone back from change %lld to %lld: loading all of it", (long long)d->seq, (long long)seq);
	/* The copy stays in use meanwhile. */
	d->seq = seq;
	take_secret(d, db_rows_get(a->rows, 0, 1));
	d->generation++;
	dir_rows_forget(d); /* of a load that broke off */
	d->table = 0;
	load_next(d);
}

static void start(struct directory *d)
{
	d->query = db_query(d->db, start_sql, 0, NULL, on_start, d);
}

/* ---- changes ---- */

static const char changes_sql[] = "SELECT seq, \"table\", key FROM pbx.change WHERE seq > $1 ORDER BY seq LIMIT 5000";

static void changes_free(struct directory *d)
{
	for (unsigned i = 0; i < d->nchanges; i++) {
		free(d->changes[i].table);
		free(d->changes[i].key);
	}
	free(d->changes);
	d->changes = NULL;
	d->nchanges = 0;
}

static void on_changes(uint64_t id, const struct db_answer *a, void *arg)
{
	struct directory *d = arg;
	int n;

	(void)id;
	if (failed(d, a))
		return;
	n = db_rows_count(a->rows);
	d->is_full = n == BATCH;
	if (n == 0) {
		go_on(d);
		return;
	}
	changes_free(d);
	d->changes = calloc((size_t)n, sizeof(*d->changes));
	if (!d->changes)
		return;
	for (int i = 0; i < n; i++) {
		d->changes[i].table = str_dup(db_rows_get(a->rows, i, 1));
		d->changes[i].key = str_dup(db_rows_get(a->rows, i, 2));
		d->nchanges++;
		if (!d->changes[i].table || !d->changes[i].key) {
			changes_free(d); /* read again at the next poll */
			return;
		}
		d->seq_read = strtoll(db_rows_get(a->rows, i, 0).p, NULL, 10);
	}
	dir_rows_forget(d);
	d->table = 0;
	fetch_next(d);
}

/* Planned each time: a plan made while there were few of them would go through all. */
static void read_changes(struct directory *d)
{
	char seq[24];

	d->is_again = false;
	snprintf(seq, sizeof(seq), "%lld", (long long)d->seq);
	d->query = db_query_once(d->db, changes_sql, 1, &DB_TEXT(seq), on_changes, d);
}

/* Does a change of one table touch rows kept under another? An extension row holds what its mailbox and its domain say: its SQL takes
 * a domain's key for all of them. */
static bool concerns(enum dir_table t, const struct change *c)
{
	if (!strcmp(c->table, dir_tables[t].name))
		return true;
	return (t == DIR_EXTENSION && (!strcmp(c->table, "mailbox") || !strcmp(c->table, "domain"))) ||
	       ((t == DIR_SCHEDULE || t == DIR_SCRIPT) && !strcmp(c->table, "domain"));
}

static void array_add(struct out *o, const char *key)
{
	out_chr(o, o->len ? ',' : '{');
	out_chr(o, '"');
	for (; *key; key++) {
		if (*key == '"' || *key == '\\')
			out_chr(o, '\\');
		out_chr(o, *key);
	}
	out_chr(o, '"');
}

static void on_fetched(uint64_t id, const struct db_answer *a, void *arg)
{
	struct directory *d = arg;

	(void)id;
	if (failed(d, a)) {
		changes_free(d); /* read again from where we stood */
		return;
	}
	take_rows(d, a->rows);
	d->table++;
	fetch_next(d);
}

/* Fetches the changed rows of the next table that has some; behind the last, tells the watchers. */
static void fetch_next(struct directory *d)
{
	for (; d->table < DIR_TABLE_COUNT; d->table++) {
		struct out keys;

		out_init_grow(&keys, 4 << 20);
		for (unsigned i = 0; i < d->nchanges; i++)
			if (concerns(d->table, &d->changes[i]))
				array_add(&keys, d->changes[i].key);
		if (keys.len) {
			out_mem(&keys, "}", 2);
			d->query = db_query(d->db, dir_tables[d->table].sql, 1, &DB_TEXT(keys.p), on_fetched, d);
		}
		if (keys.len) {
			out_fini(&keys);
			return;
		}
		out_fini(&keys);
	}
	d->seq = d->seq_read;
	for (unsigned t = 0; t < DIR_TABLE_COUNT; t++)
		for (unsigned i = 0; i < d->nchanges; i++)
			if (concerns(t, &d->changes[i]))
				dir_row_drop(d, t, d->changes[i].key);
	dir_rows_apply(d);
	for (unsigned i = 0; i < d->nchanges; i++)
		notify(d, d->changes[i].table, d->changes[i].key);
	changes_free(d);
	if (d->is_closing)
		return;
	log_debug(d->log, "changed seq=%lld", (long long)d->seq);
	go_on(d);
}

/* ---- waking ---- */

/* What was asked for meanwhile. */
static void go_on(struct directory *d)
{
	if (d->is_check_due)
		start(d);
	else if (d->is_full || d->is_again)
		read_changes(d);
}

static void wake(struct directory *d)
{
	if (d->is_closing)
		return;
	if (d->query)
		d->is_again = true;
	else if (!d->is_loaded || d->is_check_due)
		start(d);
	else
		read_changes(d);
}

/* After a failover or a restore it may be another database than the one we knew. */
static void on_up(void *arg)
{
	struct directory *d = arg;

	d->is_check_due = true;
	wake(d);
}

static void on_notify(const char *channel, const char *payload, void *arg)
{
	(void)channel;
	(void)payload;
	wake(arg);
}

static void on_poll(uv_timer_t *timer)
{
	struct directory *d = timer->data;

	if (db_is_up(d->db) && !d->query)
		wake(d);
}

int directory_new(struct directory **out, uv_loop_t *loop, struct db *db, const struct log *log)
{
	static const struct db_listen_handler handler = { .on_up = on_up, .on_notify = on_notify };
	struct directory *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	d->loop = loop;
	d->db = db;
	d->log = log;
	err = uv_timer_init(loop, &d->poll);
	if (!err)
		err = db_listen(db, "pbx_change", &handler, d);
	if (err) {
		free(d);
		return err;
	}
	d->poll.data = d;
	uv_timer_start(&d->poll, on_poll, POLL_MS, POLL_MS);
	uv_unref((uv_handle_t *)&d->poll);
	*out = d;
	return 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
	struct directory *d = handle->data;
	void (*done)(void *) = d->done;
	void *arg = d->done_arg;

	free(d);
	if (done)
		done(arg);
}

void directory_close(struct directory *d, void (*done)(void *arg), void *arg)
{
	d->is_closing = true;
	d->done = done;
	d->done_arg = arg;
	db_unlisten(d->db, d);
	if (d->query)
		db_forget(d->db, d->query);
	changes_free(d);
	dir_rows_clear(d);
	uv_close((uv_handle_t *)&d->poll, on_poll_closed);
}

int64_t directory_seq(const struct directory *d)
{
	return d->seq;
}

bool directory_is_loaded(const struct directory *d)
{
	return d->is_loaded;
}

void directory_watch(struct directory *d, struct directory_watcher *w)
{
	w->next = d->watchers;
	d->watchers = w;
}

void directory_unwatch(struct directory *d, struct directory_watcher *w)
{
	struct directory_watcher **slot = &d->watchers;

	while (*slot && *slot != w)
		slot = &(*slot)->next;
	if (*slot)
		*slot = w->next;
}

/* record_keep.c - removes recordings that have been kept long enough, from time to time and when a domain's rows change, and tells of those that a former process left unfinished.
 *
 * The database knows which; only the server that has a file can remove it. A row goes when its file is gone; one whose file stays is marked, and
 * isn't named again for an hour, so that the others have their turn. Files are removed on libuv's pool, one after the other.
 */
#define LOG_MODULE "record"
#include <stdlib.h>
#include <unistd.h>

#include "call/call_int.h"
#include "base/log.h"

struct expired {
	char recording[CALL_ID_LEN + 1];
	int err;                 /* why it stays */
	char path[];
};

struct removal {
	uv_work_t work;
	struct calls *calls;
	unsigned n, nremoved;
	int err;                 /* of the last that stays */
	struct expired **list;   /* those that are gone come to be the first nremoved */
};

static void removal_free(struct removal *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->list[i]);
	free(r->list);
	free(r);
}

/* And its folder, when that is empty now. */
static int remove_file(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[1024];

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (slash && (size_t)(slash - path) < sizeof(folder)) {
		memcpy(folder, path, (size_t)(slash - path));
		folder[slash - path] = '\0';
		rmdir(folder);
	}
	return 0;
}

static void on_work(uv_work_t *work)
{
	struct removal *r = work->data;

	for (unsigned i = 0; i < r->n; i++) {
		struct expired *e = r->list[i];

		if (!e->err)
			e->err = remove_file(e->path);
		if (e->err) {
			r->err = e->err;
			continue;
		}
		r->list[i] = r->list[r->nremoved];
		r->list[r->nremoved++] = e;
	}
}

static void ask_expired(struct calls *cs);

/* The last of them has been told of: there are perhaps more than the database names at once. */
static void on_told(uint64_t id, const struct db_answer *a, void *arg)
{
	(void)id;
	if (!a->err)
		ask_expired(arg);
}

static void tell(struct calls *cs, const struct expired *e, db_fn *then)
{
	const char *sql = e->err ? "SELECT pbx.recording_stays($1, $2)" : "SELECT pbx.recording_removed($1)";

	db_query(cs->p.db, sql, e->err ? 2 : 1, (struct db_param[]){ DB_TEXT(e->recording), DB_TEXT(e->err ? uv_strerror(e->err) : "") }, then, cs);
}

static void on_work_done(uv_work_t *work, int status)
{
	struct removal *r = work->data;
	struct calls *cs = r->calls;

	for (unsigned i = 0; status == 0 && i < r->n; i++)
		tell(cs, r->list[i], i + 1 == r->n ? on_told : NULL);
	if (r->nremoved)
		log_info(cs->p.log, "recordings removed=%u", r->nremoved);
	if (r->err)
		log_error(cs->p.log, "recordings can't be removed: %s", uv_strerror(r->err));
	removal_free(r);
	cs->is_removing = false;
	calls_check_closed(cs);
}

/* A path that somebody wrote into the table must not lead elsewhere. */
static bool is_ours(const struct calls *cs, struct str path)
{
	size_t n = strlen(cs->p.recordings);

	return path.n > n && memcmp(path.p, cs->p.recordings, n) == 0 && path.p[n] == '/' && !memmem(path.p, path.n, "/../", 4) &&
	       !memchr(path.p, '\0', path.n);
}

static struct expired *expired_new(struct str recording, struct str path, int err)
{
	struct expired *e = malloc(sizeof(*e) + path.n + 1);

	if (!e)
		return NULL;
	e->err = err;
	str_copy(recording, e->recording, sizeof(e->recording));
	str_copy(path, e->path, path.n + 1);
	return e;
}

static void on_expired(uint64_t id, const struct db_answer *a, void *arg)
{
	struct calls *cs = arg;
	int n = a->err ? 0 : db_rows_count(a->rows);
	struct removal *r = n > 0 && !cs->is_closing && !cs->is_removing ? calloc(1, sizeof(*r)) : NULL;

	(void)id;
	if (!r)
		return;
	r->calls = cs;
	r->work.data = r;
	r->list = calloc((size_t)n, sizeof(struct expired *));
	for (int i = 0; r->list && i < n; i++) {
		struct str path = db_rows_get(a->rows, i, 1);
		bool is_good = is_ours(cs, path);
		struct expired *e = expired_new(db_rows_get(a->rows, i, 0), path, is_good ? 0 : -EPERM);

		if (e)
			r->list[r->n++] = e;
		if (!is_good)
			log_error(cs->p.log, "recording file=%.*s is not removed: it is not one of ours", (int)path.n, path.p);
	}
	if (r->n == 0 || uv_queue_work(cs->p.loop, &r->work, on_work, on_work_done) != 0)
		removal_free(r);
	else
		cs->is_removing = true;
}

/* A domain keeps them for another time now, perhaps. */
static void on_change(const char *table, const char *key, void *arg)
{
	(void)key;
	if (!strcmp(table, "domain"))
		calls_housekeeping(arg);
}

void record_keep_start(struct calls *cs)
{
	if (!cs->p.recordings)
		return;
	cs->keep_watcher = (struct directory_watcher){ .on_change = on_change, .arg = cs };
	directory_watch(cs->p.directory, &cs->keep_watcher);
	calls_housekeeping(cs);
}

void record_keep_stop(struct calls *cs)
{
	if (cs->p.recordings)
		directory_unwatch(cs->p.directory, &cs->keep_watcher);
}

static void ask_expired(struct calls *cs)
{
	if (!cs->is_closing)
		db_query(cs->p.db, "SELECT * FROM pbx.recording_expired($1)", 1, (struct db_param[]){ DB_TEXT(cs->p.node) }, on_expired, cs);
}

void calls_housekeeping(struct calls *cs)
{
	char started[24];

	if (!cs->p.recordings || cs->is_closing)
		return;
	snprintf(started, sizeof(started), "%lld", (long long)cs->started_ms);
	db_query(cs->p.db, "SELECT pbx.recording_interrupted($1, $2)", 2, (struct db_param[]){ DB_TEXT(cs->p.node), DB_TEXT(started) },
		 NULL, NULL);
	ask_expired(cs);
}

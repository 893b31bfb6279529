/* outbox.c - a journal of small entries and a folder of large ones, sent to the database in order.
 *
 * Small entries (a CDR, a binding) wait in memory until one job on the libuv pool has appended and synced all of them: the more
 * there are, the less each costs. What is on disk is sent in batches; when everything in the journal has been taken it is
 * emptied. A journal line is "id kind json\n"; a torn last line has no end and is dropped, as nobody was told it was safe.
 * An entry with a file is <id>.wav with <id>.entry beside it, in the same folder.
 */
#define LOG_MODULE "outbox"
#include "db/outbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utlist.h>

#include "base/log.h"
#include "base/out.h"

#define BATCH_MAX 200
#define RETRY_MS 1000
#define ID_LEN 36

enum entry_state { ENTRY_NEW, ENTRY_SAVING, ENTRY_SAVED, ENTRY_SENT };

struct entry {
	struct entry *prev, *next;
	enum entry_state state;
	char id[ID_LEN + 1], kind[24];
	char *doc, *file;        /* file: a large entry */
	void (*fn)(int err, void *arg);
	void *arg;
	int err;
};

struct outbox {
	struct outbox_params p;
	char *journal;
	struct entry *entries;   /* in order */
	unsigned waiting;
	uv_work_t work;
	uv_timer_t retry;
	struct out lines;        /* of the job under way */
	bool is_saving, is_journal_dirty, truncates, is_closing, timer_closed;
	uint64_t query;
	void (*done)(void *arg);
	void *done_arg;
};

static void save(struct outbox *o);
static void send_next(struct outbox *o);

static void entry_free(struct entry *e)
{
	free(e->doc);
	free(e->file);
	free(e);
}

/* ---- saving: on the pool ---- */

static int append_journal(struct outbox *o)
{
	int fd = open(o->journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (o->truncates ? O_TRUNC : 0), 0600), err = 0;
	size_t at = 0;

	if (fd < 0)
		return -errno;
	while (at < o->lines.len && !err) {
		ssize_t n = write(fd, o->lines.p + at, o->lines.len - at);

		if (n < 0 && errno != EINTR)
			err = -errno;
		if (n > 0)
			at += (size_t)n;
	}
	if (!err && fdatasync(fd) != 0)
		err = -errno;
	close(fd);
	return err;
}

static int sync_path(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		err = -errno;
	close(fd);
	return err;
}

/* The sound moves in first; the entry file makes it count. */
static int save_large(struct outbox *o, struct entry *e)
{
	char wav[600], tmp[600], entry[600];
	FILE *f;
	int err;

	snprintf(wav, sizeof(wav), "%s/%s.wav", o->p.dir, e->id);
	snprintf(tmp, sizeof(tmp), "%s/%s.tmp", o->p.dir, e->id);
	snprintf(entry, sizeof(entry), "%s/%s.entry", o->p.dir, e->id);
	err = sync_path(e->file, O_RDONLY);
	if (err || rename(e->file, wav) != 0)
		return err ? err : -errno;
	f = fopen(tmp, "we");
	if (!f)
		return -errno;
	fprintf(f, "%s %s\n", e->kind, e->doc);
	err = fflush(f) != 0 || fsync(fileno(f)) != 0 ? -EIO : 0;
	if (fclose(f) != 0 && !err)
		err = -EIO;
	if (!err && rename(tmp, entry) != 0)
		err = -errno;
	if (!err)
		err = sync_path(o->p.dir, O_RDONLY | O_DIRECTORY);
	return err;
}

static void on_save_work(uv_work_t *work)
{
	struct outbox *o = work->data;
	struct entry *e;
	int err = o->lines.len || o->truncates ? append_journal(o) : 0;

	/* The loop thread adds entries behind those being saved and takes none of them away meanwhile. */
	for (e = o->entries; e; e = e->next)
		if (e->state == ENTRY_SAVING)
			e->err = e->file ? save_large(o, e) : err;
}

static void on_saved(uv_work_t *work, int status)
{
	struct outbox *o = work->data;
	struct entry *e, *next;

	o->is_saving = false;
	if (o->truncates)
		o->is_journal_dirty = false;
	o->is_journal_dirty = o->is_journal_dirty || o->lines.len;
	o->truncates = false;
	DL_FOREACH_SAFE(o->entries, e, next) {
		void (*fn)(int, void *) = e->fn;

		if (e->state != ENTRY_SAVING)
			continue;
		if (status && !e->err)
			e->err = status;
		e->fn = NULL;
		if (e->err)
			log_error(o->p.log, "entry %s (%s) is not on disk: %s", e->id, e->kind, uv_strerror(e->err));
		/* A full disk: small ones are sent from memory all the same. */
		e->state = ENTRY_SAVED;
		if (fn)
			fn(e->err, e->arg);
		if (e->err && e->file) {
			DL_DELETE(o->entries, e);
			o->waiting--;
			entry_free(e);
		}
	}
	out_fini(&o->lines);
	if (o->is_closing) {
		save(o);
		return;
	}
	send_next(o);
	save(o);
}

static void check_closed(struct outbox *o)
{
	void (*done)(void *) = o->done;
	void *arg = o->done_arg;

	if (!o->is_closing || o->is_saving || !o->timer_closed)
		return;
	while (o->entries) {
		struct entry *e = o->entries;

		DL_DELETE(o->entries, e);
		entry_free(e);
	}
	free(o->journal);
	free((char *)o->p.dir);
	free(o);
	if (done)
		done(arg);
}

static void save(struct outbox *o)
{
	struct entry *e;
	bool any = false;
	bool outstanding = false;

	if (o->is_saving)
		return;
	out_init_grow(&o->lines, 64 << 20);
	DL_FOREACH(o->entries, e) {
		if (!e->file && e->state != ENTRY_NEW)
			outstanding = true;
		if (e->state != ENTRY_NEW)
			continue;
		any = true;
		e->state = ENTRY_SAVING;
		if (!e->file)
			out_fmt(&o->lines, "%s %s %s\n", e->id, e->kind, e->doc);
	}
	o->truncates = o->is_journal_dirty && !outstanding && !o->is_closing;
	if (!any && !o->truncates) {
		out_fini(&o->lines);
		check_closed(o);
		return;
	}
	o->work.data = o;
	o->is_saving = uv_queue_work(o->p.loop, &o->work, on_save_work, on_saved) == 0;
}

/* ---- sending ---- */

static const char many_sql[] = "SELECT pbx.outbox_take_many($1::jsonb)";
static const char one_sql[] = "SELECT pbx.outbox_take($1::uuid, $2, $3::jsonb, $4::bytea)";

static void on_retry(uv_timer_t *timer)
{
	send_next(timer->data);
}

static void remove_files(struct outbox *o, const struct entry *e)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s.entry", o->p.dir, e->id);
	unlink(path);
	snprintf(path, sizeof(path), "%s/%s.wav", o->p.dir, e->id);
	unlink(path);
}

static void on_taken(uint64_t id, const struct db_answer *a, void *arg)
{
	struct outbox *o = arg;
	struct entry *e, *next;

	(void)id;
	o->query = 0;
	DL_FOREACH_SAFE(o->entries, e, next) {
		if (e->state != ENTRY_SENT)
			continue;
		if (a->err) {
			e->state = ENTRY_SAVED;
			continue;
		}
		if (e->file)
			remove_files(o, e);
		DL_DELETE(o->entries, e);
		o->waiting--;
		entry_free(e);
	}
	if (a->err) {
		if (a->err == -EINVAL)
			log_error(o->p.log, "the database refuses the outbox: %s", a->message ? a->message : "");
		uv_timer_start(&o->retry, on_retry, RETRY_MS, 0);
		return;
	}
	send_next(o);
	save(o);
}

static void send_large(struct outbox *o, struct entry *e)
{
	char path[600];
	struct out bytes;
	FILE *f;
	char buf[65536];
	size_t n;

	snprintf(path, sizeof(path), "%s/%s.wav", o->p.dir, e->id);
	f = fopen(path, "rbe");
	out_init_grow(&bytes, 256 << 20);
	while (f && (n = fread(buf, 1, sizeof(buf), f)) > 0)
		out_mem(&bytes, buf, n);
	if (f && out_ok(&bytes)) {
		struct db_param params[] = { DB_TEXT(e->id), DB_TEXT(e->kind), DB_TEXT(e->doc), DB_BYTES(bytes.p, bytes.len) };

		e->state = ENTRY_SENT;
		o->query = db_query(o->p.db, one_sql, ARRAY_LEN(params), params, on_taken, o);
	} else {
		log_error(o->p.log, "entry %s: %s can't be read", e->id, path);
	}
	if (f)
		fclose(f);
	out_fini(&bytes);
}

static void send_small(struct outbox *o)
{
	struct entry *e;
	unsigned n = 0;
	struct out docs;

	out_init_grow(&docs, 64 << 20);
	DL_FOREACH(o->entries, e) {
		if (e->state != ENTRY_SAVED || n == BATCH_MAX)
			break;
		if (e->file)
			break;
		out_fmt(&docs, "%c{\"id\":\"%s\",\"kind\":\"%s\",\"doc\":%s}", n++ ? ',' : '[', e->id, e->kind, e->doc);
		e->state = ENTRY_SENT;
	}
	out_mem(&docs, "]", 2);
	if (out_ok(&docs))
		o->query = db_query(o->p.db, many_sql, 1, &DB_TEXT(docs.p), on_taken, o);
	out_fini(&docs);
}

static void send_next(struct outbox *o)
{
	struct entry *first = o->entries;

	if (o->query || o->is_closing || !first || first->state != ENTRY_SAVED)
		return;
	if (first->file)
		send_large(o, first);
	else
		send_small(o);
	if (!o->query) {
		struct entry *e;

		DL_FOREACH(o->entries, e)
			if (e->state == ENTRY_SENT)
				e->state = ENTRY_SAVED;
		uv_timer_start(&o->retry, on_retry, RETRY_MS, 0);
	}
}

/* ---- adding ---- */

static struct entry *entry_new(struct outbox *o, const char *id, struct str kind, struct str doc, const char *file)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->doc = str_dup(doc);
	e->file = file ? strdup(file) : NULL;
	if (!e->doc || (file && !e->file) || str_copy(kind, e->kind, sizeof(e->kind)) != 0) {
		entry_free(e);
		return NULL;
	}
	/* A line is an entry: JSON has no need of line ends. */
	for (char *p = e->doc; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	snprintf(e->id, sizeof(e->id), "%.36s", id);
	DL_APPEND(o->entries, e);
	o->waiting++;
	return e;
}

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	char id[ID_LEN + 1];
	struct entry *e;

	if (o->is_closing)
		return -ECANCELED;
	rng_uuid(o->p.rng, id);
	e = entry_new(o, id, str_from(kind), str_from(doc), file);
	if (!e)
		return -ENOMEM;
	e->fn = fn;
	e->arg = arg;
	save(o);
	return 0;
}

unsigned outbox_waiting(const struct outbox *o)
{
	return o->waiting;
}

/* ---- what a former process left ---- */

static void load_journal(struct outbox *o)
{
	FILE *f = fopen(o->journal, "re");
	char *line = NULL;
	size_t size = 0;
	ssize_t n;
	unsigned count = 0;

	while (f && (n = getline(&line, &size, f)) > 0) {
		struct str rest = { line, (size_t)n }, id, kind;
		struct entry *e;

		if (line[n - 1] != '\n')
			break; /* torn */
		rest.n--;
		id = str_cut(&rest, ' ');
		kind = str_cut(&rest, ' ');
		if (id.n != ID_LEN || !rest.n)
			continue;
		e = entry_new(o, id.p, kind, rest, NULL);
		if (e) {
			e->state = ENTRY_SAVED;
			count++;
		}
	}
	free(line);
	if (f)
		fclose(f);
	o->is_journal_dirty = true;
	if (count)
		log_info(o->p.log, "%u entries of a former run are sent", count);
}

static void load_large(struct outbox *o, const char *name)
{
	char path[600], text[8192], wav[600], id[ID_LEN + 1];
	struct str rest, kind;
	struct entry *e;
	FILE *f;
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", o->p.dir, name);
	snprintf(id, sizeof(id), "%.36s", name);
	snprintf(wav, sizeof(wav), "%s/%s.wav", o->p.dir, id);
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text), f) : 0;
	if (f)
		fclose(f);
	rest = str_trim((struct str){ text, n });
	kind = str_cut(&rest, ' ');
	if (!rest.n || access(wav, R_OK) != 0)
		return;
	e = entry_new(o, id, kind, rest, wav);
	if (e)
		e->state = ENTRY_SAVED;
}

static int load(struct outbox *o)
{
	struct dirent *d;
	DIR *dir;

	if (mkdir(o->p.dir, 0700) != 0 && errno != EEXIST)
		return -errno;
	dir = opendir(o->p.dir);
	if (!dir)
		return -errno;
	load_journal(o);
	while ((d = readdir(dir)) != NULL) {
		size_t n = strlen(d->d_name);

		if (n == ID_LEN + 6 && !strcmp(d->d_name + ID_LEN, ".entry"))
			load_large(o, d->d_name);
	}
	closedir(dir);
	return 0;
}

int outbox_new(struct outbox **out, const struct outbox_params *p)
{
	struct outbox *o = calloc(1, sizeof(*o));
	int err;

	if (!o)
		return -ENOMEM;
	o->p = *p;
	o->p.dir = strdup(p->dir);
	if (!o->p.dir || asprintf(&o->journal, "%s/journal", p->dir) < 0) {
		free((char *)o->p.dir);
		free(o);
		return -ENOMEM;
	}
	err = load(o);
	if (err) {
		log_error(p->log, "%s: %s", p->dir, strerror(-err));
		free(o->journal);
		free((char *)o->p.dir);
		free(o);
		return err;
	}
	uv_timer_init(p->loop, &o->retry);
	o->retry.data = o;
	uv_timer_start(&o->retry, on_retry, 0, 0);
	*out = o;
	return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct outbox *o = handle->data;

	o->timer_closed = true;
	check_closed(o);
}

void outbox_close(struct outbox *o, void (*done)(void *arg), void *arg)
{
	o->is_closing = true;
	o->done = done;
	o->done_arg = arg;
	if (o->query)
		db_forget(o->p.db, o->query);
	uv_close((uv_handle_t *)&o->retry, on_timer_closed);
	save(o);
}

/* outbox.c - what is written and sent when.
 *
 * Entries stand in two lanes, the small ones (a CDR, a binding) and the large ones with a file, so that ten minutes of speech don't
 * hold up a registration. In each they go in order. What is new waits in memory until one job on the libuv pool has written all of
 * it: the more there is, the less each costs. A sync costs as much CPU as a call, so what nobody waits for is collected for a tenth
 * of a second first. What is on disk is sent, the small ones in batches. One job at a time does all that touches files:
 * outbox_store.c.
 */
#define LOG_MODULE "outbox"
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "db/outbox_int.h"

#define BATCH_MAX 200
#define RETRY_MS 1000
#define COLLECT_MS 100
#define TIDY_MS 1000          /* a journal whose entries were taken is emptied by the next job, or alone after so long */
#define JOURNAL_MAX (1 << 20) /* then another is begun */

struct lane {
	struct outbox *outbox;
	struct entry *entries;   /* in order; first those sent, then saved, being saved, new */
	uint64_t query;          /* under way, with all that are ENTRY_SENT */
	unsigned nalone;         /* so many go one by one: together they were refused */
	uv_timer_t retry;
};

struct outbox {
	struct outbox_params p;
	char *dir;
	struct lane small, large;
	struct entry *finished;  /* their files are to go */
	struct journal *journals, *current;
	unsigned waiting, ntimers_open;
	uv_timer_t collect;
	uint64_t next_seq;
	uv_work_t save_work, read_work;
	struct store_job job;    /* under way while is_saving */
	struct out file;         /* of the first large entry */
	int read_err;
	bool is_saving, is_reading, is_closing;
	void (*done)(void *arg);
	void *done_arg;
};

static void save(struct outbox *o);
static void send_next(struct lane *l);

/* ---- saving ---- */

static struct journal *journal_new(struct outbox *o)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->number = o->current ? o->current->number + 1 : 1;
	LL_APPEND(o->journals, j);
	o->current = j;
	return j;
}

static void check_closed(struct outbox *o)
{
	void (*done)(void *) = o->done;
	void *arg = o->done_arg;
	struct entry *e, *next;
	struct journal *j, *next_journal;

	if (!o->is_closing || o->is_saving || o->is_reading || o->ntimers_open)
		return;
	DL_CONCAT(o->small.entries, o->large.entries);
	DL_FOREACH_SAFE(o->small.entries, e, next)
		entry_free(e);
	LL_FOREACH_SAFE(o->journals, j, next_journal)
		free(j);
	free(o->dir);
	free(o);
	if (done)
		done(arg);
}

/* What is new among the small ones, as lines for the journal; and where they go. */
static void prepare_journal(struct outbox *o, struct store_job *job)
{
	struct entry *e;

	out_init_grow(&job->lines, 256 << 20);
	DL_FOREACH(o->small.entries, e)
		if (e->state == ENTRY_NEW) {
			e->state = ENTRY_SAVING;
			store_print(&job->lines, e);
		}
	/* All of it has been taken: begin at the front again. */
	if (!o->current->nlive && o->current->len)
		job->journal = o->current;
	else if (job->lines.len && o->current->len > JOURNAL_MAX)
		job->journal = journal_new(o);
	else if (job->lines.len)
		job->journal = o->current;
	if (!job->journal)
		return;
	if (!job->journal->nlive)
		job->journal->len = 0;
	job->at = job->journal->len;
}

static void prepare_large(struct outbox *o, struct store_job *job)
{
	unsigned n = 0;
	struct entry *e;

	DL_FOREACH(o->large.entries, e)
		n += e->state == ENTRY_NEW;
	job->large = n ? calloc(n, sizeof(*job->large)) : NULL;
	DL_FOREACH(o->large.entries, e)
		if (job->large && e->state == ENTRY_NEW) {
			e->state = ENTRY_SAVING;
			job->large[job->nlarge++] = e;
		}
}

static void prepare_dead(struct outbox *o, struct store_job *job)
{
	struct journal *j, *next;

	LL_FOREACH_SAFE(o->journals, j, next)
		if (!j->nlive && j != o->current) {
			LL_DELETE(o->journals, j);
			LL_PREPEND(job->dead, j);
		}
}

static void on_save_work(uv_work_t *work)
{
	struct outbox *o = work->data;

	store_run(&o->job);
}

static void report_saved(struct outbox *o, struct lane *l, struct entry *e)
{
	void (*fn)(int, void *) = e->fn;

	e->fn = NULL;
	e->state = ENTRY_SAVED;
	if (e->err)
		log_error(o->p.log, "entry %s (%s) is not on disk: %s", e->id, e->kind, uv_strerror(e->err));
	if (fn)
		fn(e->err, e->arg);
	/* A full disk: small ones are sent from memory all the same. The file of a large one is its giver's again. */
	if (e->err && e->file) {
		DL_DELETE(l->entries, e);
		o->waiting--;
		entry_free(e);
	}
}

static void take_apart(struct outbox *o, struct store_job *job)
{
	struct journal *j, *next_journal;
	struct entry *e, *next;

	if (job->journal && !job->err) {
		job->journal->len = job->at + (off_t)job->lines.len;
		job->journal->is_on_disk = true;
	}
	DL_FOREACH_SAFE(o->small.entries, e, next)
		if (e->state == ENTRY_SAVING) {
			e->err = job->err;
			e->journal = job->err ? NULL : job->journal;
			if (e->journal)
				e->journal->nlive++;
			report_saved(o, &o->small, e);
		}
	for (unsigned i = 0; i < job->nlarge; i++)
		report_saved(o, &o->large, job->large[i]);
	DL_FOREACH_SAFE(job->finished, e, next) {
		/* What could not be put aside stays in its journal, for another start. */
		if (e->state == ENTRY_REFUSED && e->journal && !e->err)
			e->journal->nlive--;
		entry_free(e);
	}
	LL_FOREACH_SAFE(job->dead, j, next_journal)
		free(j);
	free(job->large);
	out_fini(&job->lines);
}

static void on_collected(uv_timer_t *timer)
{
	save(timer->data);
}

/* At the latest after ms. */
static void save_soon(struct outbox *o, unsigned ms)
{
	if (o->is_closing || (uv_is_active((uv_handle_t *)&o->collect) && uv_timer_get_due_in(&o->collect) <= ms))
		return;
	uv_timer_start(&o->collect, on_collected, ms, 0);
}

/* Somebody waits until it is on disk. */
static bool is_awaited(const struct entry *e)
{
	return e->fn || e->file;
}

/* What came while the last job was at work. */
static void save_new(struct outbox *o)
{
	bool any = o->large.entries || o->finished, is_urgent = any;
	struct entry *e;

	DL_FOREACH(o->small.entries, e)
		if (e->state == ENTRY_NEW) {
			any = true;
			is_urgent = is_urgent || is_awaited(e);
		}
	if (is_urgent)
		save(o);
	else if (any)
		save_soon(o, COLLECT_MS);
}

static void on_saved(uv_work_t *work, int status)
{
	struct outbox *o = work->data;

	(void)status; /* never cancelled */
	/* Callbacks may add entries: they wait for the next job. */
	take_apart(o, &o->job);
	o->is_saving = false;
	if (o->is_closing) {
		save(o);
		return;
	}
	send_next(&o->small);
	send_next(&o->large);
	save_new(o);
}

static void save(struct outbox *o)
{
	struct store_job *job = &o->job;

	if (o->is_saving)
		return;
	*job = (struct store_job){ .dir = o->dir };
	prepare_journal(o, job);
	prepare_large(o, job);
	prepare_dead(o, job);
	job->finished = o->finished;
	o->finished = NULL;
	if (!job->journal && !job->nlarge && !job->dead && !job->finished) {
		out_fini(&job->lines);
		check_closed(o);
		return;
	}
	o->is_saving = true;
	o->save_work.data = o;
	uv_queue_work(o->p.loop, &o->save_work, on_save_work, on_saved);
}

/* ---- sending ---- */

static const char many_sql[] = "SELECT pbx.outbox_take_many($1::jsonb)";
static const char one_sql[] = "SELECT pbx.outbox_take($1::uuid, $2, $3::jsonb, $4::bytea)";

static void on_retry(uv_timer_t *timer)
{
	send_next(timer->data);
}

static void retry_later(struct lane *l)
{
	struct entry *e;

	DL_FOREACH(l->entries, e)
		if (e->state == ENTRY_SENT)
			e->state = ENTRY_SAVED;
	uv_timer_start(&l->retry, on_retry, RETRY_MS, 0);
}

static void finish(struct lane *l, struct entry *e, enum entry_state state)
{
	struct outbox *o = l->outbox;

	DL_DELETE(l->entries, e);
	o->waiting--;
	if (l->nalone)
		l->nalone--;
	if (state == ENTRY_TAKEN && e->journal)
		e->journal->nlive--;
	e->state = state;
	if (e->file || state == ENTRY_REFUSED)
		DL_APPEND(o->finished, e);
	else
		entry_free(e);
}

/* Class 22, data exception: what is no JSON or has bytes that are no text will never be taken. All that the schema refuses
 * pbx.outbox_take() keeps in pbx.outbox_refused itself; any other error may pass. */
static bool is_hopeless(const struct db_answer *a)
{
	return a->err == -EINVAL && a->sqlstate && !strncmp(a->sqlstate, "22", 2);
}

/* What tells of calls that are over, or never were: in order among themselves (a call is missing if it has no record), but not with the rest. */
static bool is_record(const struct entry *e)
{
	static const char *const kinds[] = { "cdr", "missing", "refused", "trace" };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!e->file && !strcmp(e->kind, kinds[i]))
			return true;
	return false;
}

/* Refused for a reason that may pass, such as a right that was taken away. Records wait behind the rest: what has its place in order,
 * where a phone is, must not wait for them. */
static void stand_back(struct lane *l, unsigned n)
{
	struct entry *first = l->entries, *last = first->prev, *e, *next;
	bool is_over = false;

	if (n > 1) {
		l->nalone = n; /* which of them is it? */
		return;
	}
	if (!is_record(first))
		return;
	l->nalone = 0;
	for (e = first; !is_over; e = next) {
		next = e->next;
		is_over = e == last;
		if (e->state == ENTRY_SAVED && is_record(e)) {
			DL_DELETE(l->entries, e);
			DL_APPEND(l->entries, e);
		}
	}
}

static void on_taken(uint64_t id, const struct db_answer *a, void *arg)
{
	struct lane *l = arg;
	struct outbox *o = l->outbox;
	struct entry *e, *next;
	unsigned n = 0;

	(void)id;
	l->query = 0;
	DL_FOREACH(l->entries, e)
		n += e->state == ENTRY_SENT;
	if (a->err == -EINVAL)
		log_error(o->p.log, "the database refuses %u entries: %s", n, a->message ? a->message : "");
	if (a->err && !is_hopeless(a)) {
		retry_later(l);
		if (a->err == -EINVAL && n)
			stand_back(l, n);
		return;
	}
	DL_FOREACH_SAFE(l->entries, e, next) {
		if (e->state != ENTRY_SENT)
			continue;
		if (!a->err) {
			finish(l, e, ENTRY_TAKEN);
		} else if (n == 1) {
			log_error(o->p.log, "entry %s (%s) is put aside in %s", e->id, e->kind, o->dir);
			finish(l, e, ENTRY_REFUSED);
		} else {
			e->state = ENTRY_SAVED;
			l->nalone = n;
		}
	}
	send_next(l);
	if (o->finished)
		save(o);
	else
		save_soon(o, TIDY_MS);
}

static void send_small(struct lane *l)
{
	unsigned n = 0, max = l->nalone ? 1 : BATCH_MAX;
	struct entry *e;
	struct out docs;

	out_init_grow(&docs, 256 << 20);
	DL_FOREACH(l->entries, e) {
		if (e->state != ENTRY_SAVED || n == max)
			break;
		out_z(&docs, n++ ? ",{\"id\":\"" : "[{\"id\":\"");
		out_z(&docs, e->id);
		out_z(&docs, "\",\"kind\":\"");
		out_z(&docs, e->kind);
		out_z(&docs, "\",\"doc\":");
		out_z(&docs, e->doc);
		out_chr(&docs, '}');
		e->state = ENTRY_SENT;
	}
	out_mem(&docs, "]", 2);
	if (out_ok(&docs))
		l->query = db_query(l->outbox->p.db, many_sql, 1, &DB_TEXT(docs.p), on_taken, l);
	out_fini(&docs);
	if (!l->query)
		retry_later(l);
}

static void on_read_work(uv_work_t *work)
{
	struct outbox *o = work->data;
	char path[OUTBOX_PATH_MAX];

	store_path(o->dir, o->large.entries, "wav", path);
	o->read_err = store_read(path, &o->file);
}

static void send_file(struct lane *l, struct entry *e, const struct out *file)
{
	struct db_param params[] = { DB_TEXT(e->id), DB_TEXT(e->kind), DB_TEXT(e->doc), DB_BYTES(file->len ? file->p : "", file->len) };

	e->state = ENTRY_SENT;
	l->query = db_query(l->outbox->p.db, one_sql, ARRAY_LEN(params), params, on_taken, l);
	if (!l->query)
		retry_later(l);
}

static void on_read(uv_work_t *work, int status)
{
	struct outbox *o = work->data;
	struct lane *l = &o->large;
	struct entry *e = l->entries; /* nobody takes the first away meanwhile */

	(void)status;
	o->is_reading = false;
	if (o->is_closing) {
		check_closed(o);
	} else if (!o->read_err) {
		send_file(l, e, &o->file);
	} else {
		log_error(o->p.log, "the file of entry %s (%s) can't be read: %s", e->id, e->kind, uv_strerror(o->read_err));
		if (o->read_err == -ENOENT || o->read_err == -EFBIG) {
			/* The others shall not wait for what has gone, or can't be sent. */
			finish(l, e, ENTRY_REFUSED);
			save(o);
			send_next(l);
		} else {
			retry_later(l);
		}
	}
}

static void on_read_free(uv_work_t *work, int status)
{
	struct outbox *o = work->data;
	struct out file = o->file;

	on_read(work, status); /* may be the last of the outbox */
	out_fini(&file);
}

static void send_next(struct lane *l)
{
	struct outbox *o = l->outbox;
	struct entry *first = l->entries;

	if (l->query || o->is_closing || !first || first->state != ENTRY_SAVED)
		return;
	if (l == &o->small) {
		send_small(l);
	} else if (!o->is_reading) {
		o->is_reading = true;
		o->read_work.data = o;
		uv_queue_work(o->p.loop, &o->read_work, on_read_work, on_read_free);
	}
}

/* ---- adding ---- */

static void append(struct outbox *o, struct entry *e)
{
	struct lane *l = e->file ? &o->large : &o->small;

	DL_APPEND(l->entries, e);
	o->waiting++;
}

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	char id[OUTBOX_ID_LEN + 1];
	struct entry *e;

	if (o->is_closing)
		return -ECANCELED;
	rng_uuid(o->p.rng, id);
	e = entry_new(id, str_from(kind), str_from(doc), file);
	if (!e)
		return -ENOMEM;
	if (file)
		e->seq = o->next_seq++;
	e->fn = fn;
	e->arg = arg;
	append(o, e);
	if (is_awaited(e))
		save(o);
	else
		save_soon(o, COLLECT_MS);
	return 0;
}

unsigned outbox_waiting(const struct outbox *o)
{
	return o->waiting;
}

/* ---- life ---- */

static void on_load_entry(struct entry *e, void *arg)
{
	struct outbox *o = arg;

	append(o, e);
	if (e->seq >= o->next_seq)
		o->next_seq = e->seq + 1;
}

static void on_load_journal(struct journal *j, void *arg)
{
	struct outbox *o = arg;

	LL_APPEND(o->journals, j);
	o->current = j;
}

static void open_lane(struct outbox *o, struct lane *l)
{
	l->outbox = o;
	uv_timer_init(o->p.loop, &l->retry);
	l->retry.data = l;
	uv_timer_start(&l->retry, on_retry, 0, 0);
	o->ntimers_open++;
}

int outbox_new(struct outbox **out, const struct outbox_params *p)
{
	struct outbox *o = calloc(1, sizeof(*o));
	struct store_loader loader = { .log = p->log, .on_entry = on_load_entry, .on_journal = on_load_journal, .arg = o };
	int err;

	if (!o)
		return -ENOMEM;
	o->p = *p;
	o->dir = strdup(p->dir);
	o->next_seq = 1;
	err = o->dir ? store_load(o->dir, &loader) : -ENOMEM;
	if (err)
		log_error(p->log, "%s: %s", p->dir, uv_strerror(err));
	/* Never behind what a former process wrote: its last line may be torn. */
	if (!err && !journal_new(o))
		err = -ENOMEM;
	if (err) {
		o->is_closing = true;
		check_closed(o);
		return err;
	}
	if (o->waiting)
		log_info(p->log, "%u entries of a former run are sent", o->waiting);
	open_lane(o, &o->small);
	open_lane(o, &o->large);
	uv_timer_init(p->loop, &o->collect);
	o->collect.data = o;
	o->ntimers_open++;
	save(o);
	*out = o;
	return 0;
}

static void on_lane_closed(uv_handle_t *handle)
{
	struct lane *l = handle->data;

	l->outbox->ntimers_open--;
	check_closed(l->outbox);
}

static void on_collect_closed(uv_handle_t *handle)
{
	struct outbox *o = handle->data;

	o->ntimers_open--;
	check_closed(o);
}

static void close_lane(struct lane *l)
{
	if (l->query)
		db_forget(l->outbox->p.db, l->query);
	uv_close((uv_handle_t *)&l->retry, on_lane_closed);
}

void outbox_close(struct outbox *o, void (*done)(void *arg), void *arg)
{
	o->is_closing = true;
	o->done = done;
	o->done_arg = arg;
	close_lane(&o->small);
	close_lane(&o->large);
	uv_close((uv_handle_t *)&o->collect, on_collect_closed);
	save(o);
}

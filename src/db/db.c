/* db.c - the queue of queries, the connections that take from it, and one that listens.
 *
 * A query waits in line until a connection is idle. While the database is away the line is answered at once with "unknown", so that
 * nobody waits for what can't come.
 */
#define LOG_MODULE "db"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/out.h"
#include "db/conn.h"

#define CONNS_MAX 16

struct listen {
	struct listen *next;
	struct db *db;
	char *channel;
	struct db_listen_handler h;
	void *arg;
	bool is_listening;
};

struct db {
	struct db_params p;
	char *conninfo;
	unsigned nconns, nup, nwaiting;
	struct conn conns[CONNS_MAX], listener;
	struct query *first, **last, *by_id;
	struct listen *listens;
	uint64_t next_id;
	unsigned open;            /* connections not closed yet */
	bool is_closing;
	void (*done)(void *arg);
	void *done_arg;
	uv_timer_t grace;         /* the start: queries wait for the first connection */
	bool has_been_up, is_grace_over, is_one_connecting;
};

/* Waiting for the very first connection is no outage: queries asked before it are kept so long. */
#define FIRST_CONNECT_MS 3000

/* ---- rows ---- */

int db_rows_count(const struct db_rows *r) { return r->result ? PQntuples(r->result) : 1; }
int db_rows_columns(const struct db_rows *r) { return r->result ? PQnfields(r->result) : r->columns; }
int db_rows_affected(const struct db_rows *r) { return r->result ? atoi(PQcmdTuples(r->result)) : 0; }

struct str db_rows_get(const struct db_rows *r, int row, int col)
{
	if (!r->result)
		return r->cells[col];
	if (PQgetisnull(r->result, row, col))
		return STR_NULL;
	return (struct str){ PQgetvalue(r->result, row, col), (size_t)PQgetlength(r->result, row, col) };
}

unsigned char *db_rows_bytes(const struct db_rows *r, int row, int col, size_t *len)
{
	unsigned char *raw, *copy;

	if (PQgetisnull(r->result, row, col))
		return NULL;
	raw = PQunescapeBytea((const unsigned char *)PQgetvalue(r->result, row, col), len);
	if (!raw)
		return NULL;
	copy = malloc(*len + 1);
	if (copy)
		memcpy(copy, raw, *len);
	PQfreemem(raw);
	return copy;
}

/* ---- queries ---- */

static void query_free(struct db *db, struct query *q)
{
	HASH_DEL(db->by_id, q);
	free(q->bytes);
	free(q->values);
	free(q->lengths);
	free(q->formats);
	free(q);
}

static void query_answer(struct db *db, struct query *q, const struct db_answer *a)
{
	db_fn *fn = q->fn;
	void *arg = q->arg;
	uint64_t id = q->id;

	query_free(db, q);
	if (fn)
		fn(id, a, arg);
}

static struct query *queue_take(struct db *db)
{
	struct query *q = db->first;

	if (q) {
		db->first = q->next;
		if (!db->first)
			db->last = &db->first;
		db->nwaiting--;
	}
	return q;
}

static void queue_put(struct db *db, struct query *q)
{
	q->next = NULL;
	*db->last = q;
	db->last = &q->next;
	db->nwaiting++;
}

static void queue_fail(struct db *db, int err, const char *why)
{
	/* Only those waiting now: their callbacks may ask again. */
	unsigned n = db->nwaiting;
	struct query *q;

	while (n-- && (q = queue_take(db)) != NULL)
		query_answer(db, q, &(struct db_answer){ .err = err, .message = why });
}

static void give_work(struct db *db)
{
	for (unsigned i = 0; i < db->nconns && db->first; i++)
		if (db->conns[i].state == CONN_IDLE)
			conn_run(&db->conns[i], queue_take(db));
}

/* From the loop, so that nobody is called back before his call has returned. */
static void on_grace(uv_timer_t *timer)
{
	struct db *db = timer->data;

	db->is_grace_over = true;
	if (!db->nup)
		queue_fail(db, -ENOTCONN, "database away");
}

static bool is_away(const struct db *db)
{
	return !db->nup && (db->has_been_up || db->is_grace_over);
}

static bool copy_params(struct query *q, const char *sql, bool is_prepared, unsigned n, const struct db_param *params)
{
	size_t size = is_prepared ? 0 : strlen(sql) + 1, at = 0;

	for (unsigned i = 0; i < n; i++)
		if (params[i].p)
			size += (params[i].is_binary ? params[i].n : strlen(params[i].p)) + 1;
	q->bytes = malloc(size + 1);
	q->values = calloc(n + 1, sizeof(*q->values));
	q->lengths = calloc(n + 1, sizeof(*q->lengths));
	q->formats = calloc(n + 1, sizeof(*q->formats));
	if (!q->bytes || !q->values || !q->lengths || !q->formats)
		return false;
	q->sql = sql;
	if (!is_prepared) {
		at = strlen(sql) + 1;
		memcpy(q->bytes, sql, at);
		q->sql = q->bytes;
	}
	for (unsigned i = 0; i < n; i++) {
		size_t len;

		if (!params[i].p)
			continue;
		len = params[i].is_binary ? params[i].n : strlen(params[i].p);
		memcpy(q->bytes + at, params[i].p, len);
		q->bytes[at + len] = '\0';
		q->values[i] = q->bytes + at;
		q->lengths[i] = (int)len;
		q->formats[i] = params[i].is_binary;
		at += len + 1;
	}
	return true;
}

static struct query *query_new(struct db *db, const char *sql, bool is_prepared, unsigned n, const struct db_param *params, db_fn *fn,
			       void *arg)
{
	struct query *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->id = ++db->next_id;
	q->is_prepared = is_prepared;
	q->n = n;
	q->fn = fn;
	q->arg = arg;
	HASH_ADD(hh, db->by_id, id, sizeof(q->id), q);
	if (!copy_params(q, sql, is_prepared, n, params)) {
		query_free(db, q);
		return NULL;
	}
	return q;
}

static uint64_t enqueue(struct db *db, const char *sql, bool is_prepared, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	struct query *q;

	if (db->is_closing || db->nwaiting >= db->p.queue_max)
		return 0;
	q = query_new(db, sql, is_prepared, n, params, fn, arg);
	if (!q)
		return 0;
	queue_put(db, q);
	if (is_away(db))
		uv_timer_start(&db->grace, on_grace, 0, 0);
	else
		give_work(db);
	return q->id;
}

uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	return enqueue(db, sql, true, n, params, fn, arg);
}

uint64_t db_query_once(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg)
{
	return enqueue(db, sql, false, n, params, fn, arg);
}

/* In one transaction, as all of a text is. Nothing of it is planned for several processes: they would mix what a query puts one behind the
 * other. For a lock it waits no longer than we do. */
#define COPY_BEGIN "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = %u; SET LOCAL max_parallel_workers_per_gather = 0;" \
		   " SET LOCAL jit = off; COPY ("
#define COPY_END   ") TO STDOUT (FORMAT binary)"

uint64_t db_copy(struct db *db, const char *sql, db_fn *fn, void *arg)
{
	uint64_t id = 0;
	struct query *q;
	struct out text;

	out_init_grow(&text, 1 << 20);
	out_fmt(&text, COPY_BEGIN, db->p.query_timeout_ms);
	out_z(&text, sql);
	out_mem(&text, COPY_END, sizeof(COPY_END));
	if (out_ok(&text))
		id = db_query_once(db, text.p, 0, NULL, fn, arg);
	out_fini(&text);
	HASH_FIND(hh, db->by_id, &id, sizeof(id), q);
	if (q)
		q->is_copy = true;
	return id;
}

void db_forget(struct db *db, uint64_t id)
{
	struct query *q;

	HASH_FIND(hh, db->by_id, &id, sizeof(id), q);
	if (q)
		q->fn = NULL;
}

/* ---- connections ---- */

static void on_up(struct conn *c)
{
	if (c->db->nup++ == 0)
		log_info(c->db->p.log, "connected");
	c->db->has_been_up = true;
}

static void on_idle(struct conn *c)
{
	if (c->db->first)
		conn_run(c, queue_take(c->db));
}

static void on_down(struct conn *c)
{
	if (--c->db->nup == 0 && !c->db->is_closing)
		queue_fail(c->db, -ENOTCONN, "database away");
}

static void on_row(struct conn *c, struct query *q, const struct db_rows *row)
{
	if (q->fn && !c->db->is_closing)
		q->fn(q->id, &(struct db_answer){ .rows = row }, q->arg);
}

static void on_answer(struct conn *c, struct query *q, const struct db_answer *a)
{
	/* db_close() is running: its callers are told from the loop. */
	if (c->db->is_closing)
		queue_put(c->db, q);
	else
		query_answer(c->db, q, a);
}

static void on_closed(struct conn *c);

static const struct conn_handler query_handler = {
	.on_up = on_up, .on_idle = on_idle, .on_down = on_down, .on_row = on_row, .on_answer = on_answer, .on_closed = on_closed,
};

/* ---- listening ---- */

static void on_listening(uint64_t id, const struct db_answer *a, void *arg)
{
	struct listen *l = arg;

	(void)id;
	/* Refused, as by a standby: another try on a new connection, which may lead elsewhere, and not at once. */
	if (a->err == -EINVAL) {
		log_warn(l->db->p.log, "LISTEN %s: %s", l->channel, a->message);
		conn_lose(&l->db->listener, "it can't listen");
	}
	if (a->err)
		return;
	l->is_listening = true;
	if (l->h.on_up)
		l->h.on_up(l->arg);
}

static void listen_idle(struct conn *c)
{
	struct db *db = c->db;

	for (struct listen *l = db->listens; l; l = l->next) {
		char sql[128];
		struct query *q;

		if (l->is_listening)
			continue;
		snprintf(sql, sizeof(sql), "LISTEN \"%.63s\"", l->channel);
		q = query_new(db, sql, false, 0, NULL, on_listening, l);
		if (!q)
			return;
		conn_run(c, q);
		return; /* the next one when this is done */
	}
}

static void listen_notify(struct conn *c, const char *channel, const char *payload)
{
	for (struct listen *l = c->db->listens; l; l = l->next)
		if (l->h.on_notify && !strcmp(l->channel, channel))
			l->h.on_notify(channel, payload, l->arg);
}

static void listen_down(struct conn *c)
{
	for (struct listen *l = c->db->listens; l; l = l->next) {
		bool was = l->is_listening;

		l->is_listening = false;
		if (was && l->h.on_down && !c->db->is_closing)
			l->h.on_down(l->arg);
	}
}

static const struct conn_handler listen_handler = {
	.on_idle = listen_idle, .on_notify = listen_notify, .on_down = listen_down, .on_answer = on_answer, .on_closed = on_closed,
};

int db_listen(struct db *db, const char *channel, const struct db_listen_handler *h, void *arg)
{
	struct listen *l = calloc(1, sizeof(*l));

	if (!l)
		return -ENOMEM;
	l->channel = strdup(channel);
	if (!l->channel) {
		free(l);
		return -ENOMEM;
	}
	l->h = *h;
	l->arg = arg;
	l->db = db;
	l->next = db->listens;
	db->listens = l;
	if (db->listener.state == CONN_IDLE)
		listen_idle(&db->listener);
	return 0;
}

void db_unlisten(struct db *db, void *arg)
{
	/* It stays in the list, which may be being walked. */
	for (struct listen *l = db->listens; l; l = l->next)
		if (l->arg == arg)
			l->h = (struct db_listen_handler){ 0 };
}

/* ---- life ---- */

static int conn_init(struct db *db, struct conn *c, const struct conn_handler *h)
{
	int err;

	*c = (struct conn){ .db = db, .loop = db->p.loop, .log = db->p.log, .conninfo = db->conninfo, .h = h,
			    .query_timeout_ms = db->p.query_timeout_ms, .connect_timeout_s = db->p.connect_timeout_s,
			    .is_one_connecting = &db->is_one_connecting };
	err = conn_open(c);
	if (!err)
		db->open++;
	return err;
}

/* A connection string with a mistake would never connect. */
static int check_conninfo(const struct db_params *p)
{
	char *why = NULL;
	PQconninfoOption *options = PQconninfoParse(p->conninfo, &why);
	int err = options ? 0 : why ? -EINVAL : -ENOMEM;

	if (why)
		log_error(p->log, "the connection string can't be used: %s", why);
	PQfreemem(why);
	PQconninfoFree(options);
	return err;
}

int db_new(struct db **out, const struct db_params *p)
{
	struct db *db;
	int err = check_conninfo(p);

	if (err)
		return err;
	db = calloc(1, sizeof(*db));
	if (!db)
		return -ENOMEM;
	db->p = *p;
	db->p.queue_max = p->queue_max ? p->queue_max : 10000;
	db->p.query_timeout_ms = p->query_timeout_ms ? p->query_timeout_ms : 10000;
	db->p.connect_timeout_s = p->connect_timeout_s ? p->connect_timeout_s : 5;
	db->last = &db->first;
	db->conninfo = strdup(p->conninfo);
	if (!db->conninfo) {
		free(db);
		return -ENOMEM;
	}
	uv_timer_init(p->loop, &db->grace);
	db->grace.data = db;
	uv_timer_start(&db->grace, on_grace, FIRST_CONNECT_MS, 0);
	uv_unref((uv_handle_t *)&db->grace);
	db->open = 1; /* the timer */
	for (unsigned n = p->nconns ? p->nconns : 2; db->nconns < n && db->nconns < CONNS_MAX && !err; db->nconns += !err)
		err = conn_init(db, &db->conns[db->nconns], &query_handler);
	if (!err)
		err = conn_init(db, &db->listener, &listen_handler);
	if (err) {
		db_close(db, NULL, NULL);
		return err;
	}
	*out = db;
	return 0;
}

bool db_is_up(const struct db *db)
{
	return db->nup > 0;
}

static void check_done(struct db *db)
{
	void (*done)(void *) = db->done;
	void *arg = db->done_arg;

	if (--db->open)
		return;
	while (db->listens) {
		struct listen *l = db->listens;

		db->listens = l->next;
		free(l->channel);
		free(l);
	}
	free(db->conninfo);
	free(db);
	if (done)
		done(arg);
}

static void on_closed(struct conn *c)
{
	check_done(c->db);
}

/* The timer is the last to know on the loop that nobody waits any more: now all who do are told. */
static void on_grace_closed(uv_handle_t *handle)
{
	struct db *db = handle->data;

	queue_fail(db, -ECANCELED, "closing");
	check_done(db);
}

void db_close(struct db *db, void (*done)(void *arg), void *arg)
{
	db->is_closing = true;
	db->done = done;
	db->done_arg = arg;
	for (unsigned i = 0; i < db->nconns; i++)
		conn_close(&db->conns[i]);
	if (db->listener.loop)
		conn_close(&db->listener);
	uv_close((uv_handle_t *)&db->grace, on_grace_closed);
}

/* conn.c - the life of one connection: connect on the pool, poll, send, read, lose, try again. */
#define LOG_MODULE "db"
#include "db/conn.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define TURN_MS 10 /* until a connection looks again whether it may connect */
#define COPY_SLICE_NS 1000000 /* then others on the loop have their turn */
#define COPY_COLUMNS_MAX 16

static void on_poll(uv_poll_t *poll, int status, int events);
static void schedule_connect(struct conn *c);

/* ---- closing ---- */

static void on_poll_closed(uv_handle_t *handle)
{
	free(handle);
}

static void check_closed(struct conn *c)
{
	if (c->is_closing && !c->is_working && c->timer_closed && c->state != CONN_CLOSED) {
		c->state = CONN_CLOSED;
		c->h->on_closed(c);
	}
}

static void on_timer_closed(uv_handle_t *handle)
{
	struct conn *c = handle->data;

	c->timer_closed = true;
	check_closed(c);
}

static void drop_socket(struct conn *c)
{
	struct prepared *p, *next;

	if (c->poll) {
		/* Before PQfinish: epoll must forget the descriptor while it is still ours. */
		uv_poll_stop(c->poll);
		uv_close((uv_handle_t *)c->poll, on_poll_closed);
		c->poll = NULL;
	}
	PQclear(c->result);
	c->result = NULL;
	if (c->pg) {
		PQfinish(c->pg);
		c->pg = NULL;
	}
	HASH_ITER(hh, c->prepared, p, next) {
		HASH_DEL(c->prepared, p);
		free(p);
	}
}

static void answer(struct conn *c, const struct db_answer *a)
{
	struct query *q = c->query;

	c->query = NULL;
	if (q)
		c->h->on_answer(c, q, a);
}

static void lost(struct conn *c, int err, const char *why)
{
	char message[256];
	bool was_up = c->pg != NULL;

	snprintf(message, sizeof(message), "%s", why);
	drop_socket(c);
	uv_timer_stop(&c->timer);
	c->state = CONN_DOWN;
	if (uv_now(c->loop) - c->up_since > BACKOFF_MAX_MS)
		c->backoff_ms = 0;
	if (was_up && !c->is_closing)
		log_warn(c->log, "connection lost: %s", message);
	answer(c, &(struct db_answer){ .err = err, .message = message });
	if (was_up && c->h->on_down)
		c->h->on_down(c);
	if (!c->is_closing)
		schedule_connect(c);
}

void conn_close(struct conn *c)
{
	if (c->is_closing)
		return;
	c->is_closing = true;
	drop_socket(c);
	c->state = CONN_DOWN;
	answer(c, &(struct db_answer){ .err = -ECANCELED, .message = "closing" });
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

void conn_lose(struct conn *c, const char *why)
{
	if (c->pg && !c->is_closing)
		lost(c, -ENOTCONN, why);
}

static void on_broken(uv_timer_t *timer)
{
	struct conn *c = timer->data;

	lost(c, -ENOTCONN, PQerrorMessage(c->pg));
}

/* Found while sending: nobody may be called back before his call has returned. */
static void lose_soon(struct conn *c)
{
	uv_timer_start(&c->timer, on_broken, 0, 0);
}

/* ---- connecting ---- */

static void on_work(uv_work_t *work)
{
	struct conn *c = work->data;
	char timeout[16], options[60];
	/* What stands before "dbname" are defaults that the connection string may override. The server gives a statement up soon after
	 * we did: else each that waits for a lock would keep one of its connections. A peer that has vanished is noticed within some
	 * 20 s, also where nothing is sent: the connection that listens. */
	const char *keywords[] = { "connect_timeout", "options", "keepalives_idle", "keepalives_interval", "keepalives_count",
				   "tcp_user_timeout", "fallback_application_name", "dbname", NULL };
	const char *values[] = { timeout, options, "10", "3", "3", "20000", "cordboard", c->conninfo, NULL };

	snprintf(timeout, sizeof(timeout), "%u", c->connect_timeout_s);
	snprintf(options, sizeof(options), "-c statement_timeout=%lu", (unsigned long)c->query_timeout_ms + 1000);
	c->connected = PQconnectdbParams(keywords, values, 1);
}

/* What the server has to say besides: warnings are for the operator, the rest for who debugs. */
static void on_notice(void *arg, const PGresult *result)
{
	const struct conn *c = arg;
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

	if (severity && !strcmp(severity, "WARNING"))
		log_warn(c->log, "%s", text ? text : "");
	else
		log_debug(c->log, "%s: %s", severity ? severity : "", text ? text : "");
}

static void set_poll(struct conn *c, int events)
{
	uv_poll_start(c->poll, events, on_poll);
}

static int adopt(struct conn *c)
{
	int err;

	c->pg = c->connected;
	c->connected = NULL;
	if (PQstatus(c->pg) != CONNECTION_OK || PQsetnonblocking(c->pg, 1) != 0)
		return -ENOTCONN;
	c->poll = malloc(sizeof(*c->poll));
	if (!c->poll)
		return -ENOMEM;
	err = uv_poll_init(c->loop, c->poll, PQsocket(c->pg));
	if (err) {
		free(c->poll);
		c->poll = NULL;
		return err;
	}
	c->poll->data = c;
	PQsetNoticeReceiver(c->pg, on_notice, c);
	set_poll(c, UV_READABLE);
	return 0;
}

static void on_work_done(uv_work_t *work, int status)
{
	struct conn *c = work->data;

	c->is_working = false;
	*c->is_one_connecting = false;
	if (status || c->is_closing || !c->connected || adopt(c) != 0) {
		/* Once an outage. */
		if (!c->is_closing)
			log_write(c->log, c->is_told ? LOG_DEBUG : LOG_WARN, LOG_MODULE, "no connection: %s",
				  c->pg ? PQerrorMessage(c->pg) : "");
		c->is_told = true;
		if (c->connected)
			PQfinish(c->connected);
		c->connected = NULL;
		drop_socket(c);
		c->state = CONN_DOWN;
		if (!c->is_closing)
			schedule_connect(c);
		check_closed(c);
		return;
	}
	c->is_told = false;
	c->up_since = uv_now(c->loop);
	c->state = CONN_IDLE;
	if (c->h->on_up)
		c->h->on_up(c);
	if (c->state == CONN_IDLE)
		c->h->on_idle(c);
}

static void on_retry(uv_timer_t *timer);

/* One at a time: a host that doesn't answer must not take all threads of the pool. */
static void connect_now(struct conn *c)
{
	if (*c->is_one_connecting) {
		uv_timer_start(&c->timer, on_retry, TURN_MS, 0);
		return;
	}
	c->state = CONN_CONNECTING;
	c->work.data = c;
	if (uv_queue_work(c->loop, &c->work, on_work, on_work_done) == 0) {
		c->is_working = true;
		*c->is_one_connecting = true;
	} else {
		schedule_connect(c);
	}
}

static void on_retry(uv_timer_t *timer)
{
	connect_now(timer->data);
}

static void schedule_connect(struct conn *c)
{
	c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_MIN_MS;
	if (c->backoff_ms > BACKOFF_MAX_MS)
		c->backoff_ms = BACKOFF_MAX_MS;
	uv_timer_start(&c->timer, on_retry, c->backoff_ms, 0);
}

int conn_open(struct conn *c)
{
	int err = uv_timer_init(c->loop, &c->timer);

	if (err)
		return err;
	c->timer.data = c;
	connect_now(c);
	return 0;
}

/* ---- queries ---- */

static void on_query_timeout(uv_timer_t *timer)
{
	lost(timer->data, -ETIMEDOUT, "query took too long");
}

static void flush(struct conn *c)
{
	int left = PQflush(c->pg);

	if (left < 0)
		lose_soon(c);
	else
		set_poll(c, left ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void statement_name(const char *sql, char name[32])
{
	snprintf(name, 32, "s%lx", (unsigned long)(uintptr_t)sql);
}

static bool is_prepared(const struct conn *c, const char *sql)
{
	struct prepared *p;

	HASH_FIND_PTR(c->prepared, &sql, p);
	return p != NULL;
}

static void send_query(struct conn *c)
{
	struct query *q = c->query;
	char name[32];
	int ok;

	if (q->is_prepared && !is_prepared(c, q->sql)) {
		statement_name(q->sql, name);
		c->state = CONN_PREPARING;
		ok = PQsendPrepare(c->pg, name, q->sql, 0, NULL);
	} else if (q->is_prepared) {
		statement_name(q->sql, name);
		c->state = CONN_BUSY;
		ok = PQsendQueryPrepared(c->pg, name, (int)q->n, q->values, q->lengths, q->formats, 0);
	} else {
		c->state = CONN_BUSY;
		ok = q->n ? PQsendQueryParams(c->pg, q->sql, (int)q->n, NULL, q->values, q->lengths, q->formats, 0)
			  : PQsendQuery(c->pg, q->sql);
	}
	if (!ok)
		lose_soon(c);
	else
		flush(c);
}

void conn_run(struct conn *c, struct query *q)
{
	c->query = q;
	uv_timer_start(&c->timer, on_query_timeout, c->query_timeout_ms, 0);
	send_query(c);
}

/* Errors of the connection rather than of the query: it leads to a standby, as after a fail-over; what was prepared has been changed
 * by a migration, or forgotten by a pooler. Another connection may do better. */
static bool is_connection_stale(const struct query *q, const PGresult *result)
{
	static const struct { const char *sqlstate; bool if_prepared; } rows[] = {
		{ "25006", false }, /* read_only_sql_transaction */
		{ "0A000", true },  /* cached plan must not change result type */
		{ "26000", true },  /* prepared statement does not exist */
	};
	const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

	for (size_t i = 0; sqlstate && i < ARRAY_LEN(rows); i++)
		if (!strcmp(sqlstate, rows[i].sqlstate) && (q->is_prepared || !rows[i].if_prepared))
			return true;
	return false;
}

static void finish(struct conn *c, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	struct db_rows rows = { .result = result };

	if (is_connection_stale(c->query, result)) {
		lost(c, -ENOTCONN, PQresultErrorMessage(result));
		PQclear(result);
		return;
	}
	uv_timer_stop(&c->timer);
	c->state = CONN_IDLE;
	c->backoff_ms = 0;
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		answer(c, &(struct db_answer){ .rows = &rows });
	else
		answer(c, &(struct db_answer){ .err = -EINVAL, .sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE),
					       .message = PQresultErrorMessage(result) });
	PQclear(result);
	if (c->state == CONN_IDLE && !c->is_closing)
		c->h->on_idle(c);
}

static void on_prepared(struct conn *c, PGresult *result)
{
	struct prepared *p;

	if (PQresultStatus(result) != PGRES_COMMAND_OK) {
		finish(c, result);
		return;
	}
	PQclear(result);
	p = calloc(1, sizeof(*p));
	if (!p) {
		lost(c, -ENOMEM, "out of memory");
		return;
	}
	p->sql = c->query->sql;
	HASH_ADD_PTR(c->prepared, sql, p);
	send_query(c);
}

/* All results of the query are there: c->result is what counts. */
static void complete(struct conn *c)
{
	PGresult *result = c->result;

	c->result = NULL;
	if (c->state == CONN_PREPARING)
		on_prepared(c, result);
	else if (c->state == CONN_BUSY)
		finish(c, result);
	else
		PQclear(result);
}

/* ---- COPY ---- */

/* What is left of a message. */
struct bytes { const char *p, *end; };

static bool take(struct bytes *b, void *to, size_t n)
{
	if ((size_t)(b->end - b->p) < n)
		return false;
	if (to)
		memcpy(to, b->p, n);
	b->p += n;
	return true;
}

static bool take_int(struct bytes *b, size_t *out)
{
	uint32_t n;

	if (!take(b, &n, sizeof(n)))
		return false;
	*out = be32toh(n);
	return true;
}

/* In front of the first row: "PGCOPY\n\377\r\n\0", flags, and the size of what may follow. */
static bool take_header(struct bytes *b)
{
	size_t more;

	return take(b, NULL, 15) && take_int(b, &more) && take(b, NULL, more);
}

/* false: it makes no sense. Its number of columns is -1 behind the last one. */
static bool take_row(struct bytes *b, struct str cells[COPY_COLUMNS_MAX], int *columns)
{
	uint16_t n;

	if (!take(b, &n, sizeof(n)))
		return false;
	*columns = (int16_t)be16toh(n);
	if (*columns > COPY_COLUMNS_MAX)
		return false;
	for (int i = 0; i < *columns; i++) {
		size_t len;

		if (!take_int(b, &len))
			return false;
		cells[i] = len == UINT32_MAX ? STR_NULL : (struct str){ b->p, len };
		if (cells[i].p && !take(b, NULL, len))
			return false;
	}
	return true;
}

/* A message is a row or several. Callbacks may close the connection. */
static bool take_copy(struct conn *c, struct bytes b)
{
	if (!c->has_copy_header && !take_header(&b))
		return false;
	c->has_copy_header = true;
	while (b.p < b.end && c->state == CONN_COPYING) {
		struct str cells[COPY_COLUMNS_MAX];
		struct db_rows row = { .cells = cells };

		if (!take_row(&b, cells, &row.columns))
			return false;
		if (row.columns >= 0)
			c->h->on_row(c, c->query, &row);
	}
	return true;
}

static void read_results(struct conn *c);

/* As many rows as there are and time is for. */
static void read_copy(struct conn *c)
{
	uint64_t end = uv_hrtime() + COPY_SLICE_NS;

	while (c->state == CONN_COPYING && uv_hrtime() < end) {
		char *p;
		int n = PQgetCopyData(c->pg, &p, 1);

		if (n == 0) {
			c->has_copy_rows = false;
			set_poll(c, UV_READABLE);
			uv_timer_start(&c->timer, on_query_timeout, c->query_timeout_ms, 0);
			return;
		}
		if (n < 0) {
			/* What became of it is the next result. */
			c->state = CONN_BUSY;
			set_poll(c, UV_READABLE);
			uv_timer_start(&c->timer, on_query_timeout, c->query_timeout_ms, 0);
			read_results(c);
			return;
		}
		if (!take_copy(c, (struct bytes){ p, p + n }))
			lost(c, -EINVAL, "what COPY brings makes no sense");
		PQfreemem(p);
	}
	/* There is more. What libpq has read by now readiness to read wouldn't tell: the socket can be written to at once. (A timer of 0 ms
	 * that is started by its own callback has its turn before all else.) */
	if (c->state == CONN_COPYING) {
		c->has_copy_rows = true;
		set_poll(c, UV_READABLE | UV_WRITABLE);
		uv_timer_start(&c->timer, on_query_timeout, c->query_timeout_ms, 0);
	}
}

/* ---- results ---- */

/* A query is over when there is no further result; text with several statements has one each, and the last counts, or the error
 * that ended it. PQgetResult() is asked only when it needn't wait. */
static void read_results(struct conn *c)
{
	if (c->state == CONN_COPYING) {
		read_copy(c);
		return;
	}
	while (!PQisBusy(c->pg)) {
		PGresult *r = PQgetResult(c->pg);
		ExecStatusType status = PQresultStatus(r);

		if (!r) {
			if (c->result)
				complete(c);
			return;
		}
		PQclear(c->result);
		c->result = r;
		if (status == PGRES_COPY_OUT && c->query && c->query->is_copy) {
			PQclear(c->result);
			c->result = NULL;
			c->state = CONN_COPYING;
			c->has_copy_header = c->has_copy_rows = false;
			read_copy(c);
			return;
		}
		if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
			lost(c, -EINVAL, "COPY can't be used here");
			return;
		}
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct conn *c = poll->data;
	PGnotify *n;

	if (status < 0) {
		lost(c, -ENOTCONN, uv_strerror(status));
		return;
	}
	if (events & UV_WRITABLE && c->state != CONN_COPYING)
		flush(c);
	if (!(events & UV_READABLE) && c->state != CONN_COPYING)
		return;
	/* What has come is read first: libpq would keep all that the database sends meanwhile. */
	if (!(c->state == CONN_COPYING && c->has_copy_rows) && !PQconsumeInput(c->pg)) {
		lost(c, -ENOTCONN, PQerrorMessage(c->pg));
		return;
	}
	read_results(c);
	/* A callback may have closed it. */
	while (c->poll == poll && c->pg && (n = PQnotifies(c->pg)) != NULL) {
		if (c->h->on_notify)
			c->h->on_notify(c, n->relname, n->extra);
		PQfreemem(n);
	}
}

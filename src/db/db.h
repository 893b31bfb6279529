/* db.h - PostgreSQL without waiting: a small pool of non-blocking libpq connections on the loop.
 *
 * Queries are queued, sent in order over the free connections, and answered by callback. A lost
 * connection is reopened with backoff; queries that were not answered then fail with -ENOTCONN: an
 * answer that is "unknown", never "absent" (design section 8). Nothing here blocks, connecting included.
 *
 * Owner:  struct db belongs to its maker. A query is named by id. Its callback is called once, whatever happens, unless
 *         db_forget() dropped it.
 * Thread: loop thread. No callback before the function returns.
 */
#pragma once

#include <uv.h>

#include "base/log.h"
#include "base/str.h"

struct db;

struct db_params {
	uv_loop_t *loop;
	const struct log *log;
	const char *conninfo;       /* libpq connection string or URI */
	unsigned nconns;            /* for queries; one more listens. 0: 2 */
	unsigned queue_max;         /* waiting queries; 0: 10000 */
	unsigned connect_timeout_s; /* 0: 5 */
	unsigned query_timeout_ms;  /* 0: 10000; the connection is dropped then */
};

struct db_param {                   /* one bound parameter */
	const char *p;              /* NULL: SQL NULL */
	size_t n;                   /* bytes, for binary */
	bool is_binary;             /* bytea as is; else text (NUL-terminated) */
};
#define DB_TEXT(z) ((struct db_param){ .p = (z) })
#define DB_BYTES(ptr, len) ((struct db_param){ .p = (const char *)(ptr), .n = (len), .is_binary = true })

struct db_rows;                     /* result, text format; valid until the callback returns */
int db_rows_count(const struct db_rows *r);
int db_rows_columns(const struct db_rows *r);
int db_rows_affected(const struct db_rows *r);
struct str db_rows_get(const struct db_rows *r, int row, int col); /* p NULL: SQL NULL */
/* Value of a bytea column; malloced, NULL on error. */
unsigned char *db_rows_bytes(const struct db_rows *r, int row, int col, size_t *len);

/* err: 0; -ENOTCONN database away or lost meanwhile (it may have been done or not), -ETIMEDOUT the same, -EINVAL SQL error (sqlstate
 * is set: "23505"), -ECANCELED db_close(). rows is NULL unless err is 0. message: the server's text or ours, NULL with err 0. */
struct db_answer { int err; const char *sqlstate, *message; const struct db_rows *rows; };
typedef void db_fn(uint64_t id, const struct db_answer *a, void *arg);

int db_new(struct db **out, const struct db_params *p); /* -EINVAL: conninfo makes no sense (logged) */
/* Asynchronous: queries not answered yet are told -ECANCELED from the loop, then done is called. */
void db_close(struct db *db, void (*done)(void *arg), void *arg);
bool db_is_up(const struct db *db);

/* One statement, parameters $1...; prepared once per connection by the address of sql (so sql must be static storage).
 * Everything else is copied. Returns the id; 0 without memory, with queue_max waiting, or while closing: then fn isn't called. */
uint64_t db_query(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg);
/* The same for text that isn't static; not prepared; may hold several statements if n is 0. */
uint64_t db_query_once(struct db *db, const char *sql, unsigned n, const struct db_param *params, db_fn *fn, void *arg);
/* The rows of a query without parameters, as they come and one at a time: a million of them neither fill memory nor hold up the loop, which has
 * its turn each millisecond. All columns are of type text. fn is called with each row (db_rows_count() is 1), and a last time with an error
 * or with no row. It may take as long as it likes, unlike other queries: only each wait for the next row is limited. */
uint64_t db_copy(struct db *db, const char *sql, db_fn *fn, void *arg);
void db_forget(struct db *db, uint64_t id);

/* LISTEN. on_notify for each NOTIFY; on_up whenever the listening connection has (again) been made and LISTENs: read on from
 * where you stood (pbx.change), notifications may have been missed. */
struct db_listen_handler {
	void (*on_up)(void *arg);
	void (*on_notify)(const char *channel, const char *payload, void *arg);
	void (*on_down)(void *arg);
};
int db_listen(struct db *db, const char *channel, const struct db_listen_handler *h, void *arg); /* before the loop runs */
void db_unlisten(struct db *db, void *arg); /* no more callbacks with arg */

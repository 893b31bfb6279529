/* conn.h - one connection to PostgreSQL on the loop. Inside db/ alone.
 *
 * Connecting (which may look up names and wait) is done on the libuv pool; from then on the socket is polled and nothing blocks.
 * A connection that was lost comes back by itself, with a growing pause between tries.
 *
 * Owner:  struct db. Thread: loop thread.
 */
#pragma once

#include <libpq-fe.h>
#include <uthash.h>

#include "db/db.h"

struct conn;

struct query {
	struct query *next;
	UT_hash_handle hh;
	uint64_t id;
	const char *sql;         /* static, the name of a prepared statement; or in bytes */
	bool is_prepared, is_copy;
	unsigned n;
	db_fn *fn;               /* NULL: forgotten */
	void *arg;
	const char **values;
	int *lengths, *formats;
	char *bytes;
};

struct db_rows {
	PGresult *result;        /* NULL: one row of a COPY, in cells */
	const struct str *cells;
	int columns;
};

enum conn_state { CONN_DOWN, CONN_CONNECTING, CONN_IDLE, CONN_PREPARING, CONN_BUSY, CONN_COPYING, CONN_CLOSED };

struct prepared { UT_hash_handle hh; const char *sql; };

struct conn_handler {
	void (*on_up)(struct conn *c);                  /* connected (again) */
	void (*on_idle)(struct conn *c);                /* may take a query */
	void (*on_notify)(struct conn *c, const char *channel, const char *payload);
	void (*on_down)(struct conn *c);
	void (*on_row)(struct conn *c, struct query *q, const struct db_rows *row); /* one of a COPY; q goes on */
	void (*on_answer)(struct conn *c, struct query *q, const struct db_answer *a); /* q is the handler's again */
	void (*on_closed)(struct conn *c);              /* last */
};

struct conn {
	struct db *db;
	uv_loop_t *loop;
	const struct log *log;
	const char *conninfo;
	const struct conn_handler *h;
	uint32_t query_timeout_ms, connect_timeout_s, backoff_ms;
	bool *is_one_connecting; /* shared by the connections of a db */
	enum conn_state state;
	PGconn *pg, *connected;  /* connected: handed over by the pool */
	PGresult *result;        /* of the query under way, so far */
	uint64_t up_since;
	uv_poll_t *poll;
	uv_work_t work;
	uv_timer_t timer;        /* of the query, or until the next try */
	bool has_copy_header, has_copy_rows; /* behind it; perhaps more that has come */
	struct query *query;
	struct prepared *prepared;
	bool is_closing, is_working, timer_closed, is_told;
};

int conn_open(struct conn *c);
void conn_run(struct conn *c, struct query *q);  /* only when CONN_IDLE */
void conn_lose(struct conn *c, const char *why); /* drops it, to connect anew */
void conn_close(struct conn *c);                /* a query under way is answered with -ECANCELED */

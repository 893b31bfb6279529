/* listeners.c - compares the rows with what is listened on, and makes the one of the other.
 *
 * All rows are read whenever one has changed: there are few, and what hasn't changed is left alone.
 */
#define LOG_MODULE "listeners"
#include "registrar/listeners.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/json.h"
#include "base/log.h"

#define RETRY_MS 2000
#define COLUMN_MAX 512

enum { TRANSPORT, ADDRESS, PORT, EXTERNAL, EXTERNAL_PORT, NETWORKS, CERT, KEY, CLIENT, ORIGINS, NCOLUMNS };

struct row { char v[NCOLUMNS][COLUMN_MAX]; bool is_null[NCOLUMNS]; };

struct socket {
	struct socket *next;
	struct row row;          /* as it is listened on, or was tried last */
	uint64_t id;             /* 0: it isn't listened on */
	int err;                 /* of the last try */
	char why[TLS_WHY_MAX];   /* more of it, "": there isn't */
	int64_t since_ms;        /* wall clock */
	bool is_seen;
};

struct listeners {
	struct listeners_params p;
	struct directory_watcher watcher;
	struct timer retry;
	struct socket *sockets;
	uint64_t query, state_query;
	bool is_due;             /* rows have changed while they were read */
	bool is_loaded;
	bool is_state_due;
};

/* ---- one row ---- */

static bool is_same_place(const struct row *a, const struct row *b)
{
	return !strcmp(a->v[TRANSPORT], b->v[TRANSPORT]) && !strcmp(a->v[ADDRESS], b->v[ADDRESS]) && !strcmp(a->v[PORT], b->v[PORT]);
}

static bool is_same(const struct row *a, const struct row *b)
{
	for (unsigned i = 0; i < NCOLUMNS; i++)
		if (a->is_null[i] != b->is_null[i] || strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

/* Which place it is about is known in any case; other columns may be more than there is room for. */
static int take_row(struct row *r, const struct db_rows *rows, int i)
{
	int err = 0;

	for (unsigned c = 0; c < NCOLUMNS; c++) {
		struct str s = db_rows_get(rows, i, (int)c);

		r->is_null[c] = !s.p;
		if (str_copy(s, r->v[c], sizeof(r->v[c])) != 0)
			err = -E2BIG;
	}
	return err;
}

static uint16_t port_of(const char *text)
{
	uint32_t port = 0;

	str_to_u32(str_from(text), UINT16_MAX, &port);
	return (uint16_t)port;
}

/* The certificate of its own is the only one then. */
static struct transport_tls tls_of(const struct listeners *ls, const struct row *r)
{
	struct transport_tls tls = ls->p.tls;

	if (!r->is_null[CERT]) {
		tls.cert = r->v[CERT];
		tls.key = r->is_null[KEY] ? NULL : r->v[KEY];
		tls.ocsp = NULL;
		tls.nmore = 0;
	}
	if (!r->is_null[CLIENT]) {
		tls.asks_client = !strcmp(r->v[CLIENT], "ask");
		tls.needs_client = !strcmp(r->v[CLIENT], "need");
	}
	return tls;
}

/* is_there: what has come to its sockets is taken by them. */
static int listen_on(struct listeners *ls, const struct row *r, bool is_there, uint64_t *id, char why[TLS_WHY_MAX])
{
	struct transport_tls tls = tls_of(ls, r);
	struct transport_listen p;
	enum sip_proto proto;

	tls.why = why;
	if (sip_proto_parse(&proto, str_from(r->v[TRANSPORT])) != 0)
		return -EINVAL;
	if ((proto == SIP_TLS || proto == SIP_WSS) && (!tls.cert || !*tls.cert))
		return -ENOENT;
	p = (struct transport_listen){
		.addr = r->v[ADDRESS], .port = port_of(r->v[PORT]), .protos = SIP_PROTO_BIT(proto), .tls = &tls,
		.origins = r->is_null[ORIGINS] ? NULL : r->v[ORIGINS], .external = r->is_null[EXTERNAL] ? NULL : r->v[EXTERNAL],
		.external_port = port_of(r->v[EXTERNAL_PORT]), .local_networks = r->v[NETWORKS], .is_extra = true };
	return is_there ? transport_relisten(ls->p.transport, *id, &p) : transport_listen_as(ls->p.transport, &p, id);
}

/* ---- what is, and what shall be ---- */

static void log_socket(const struct listeners *ls, const struct socket *s, const char *what)
{
	log_info(ls->p.log, "%s transport=%s address=%s port=%s", what, s->row.v[TRANSPORT], s->row.v[ADDRESS], s->row.v[PORT]);
}

static const char *reason_of(const struct socket *s)
{
	return *s->why ? s->why : uv_strerror(s->err);
}

/* why: more of it, where there is. It is logged when it changes, not whenever it is tried. */
static void told(struct listeners *ls, struct socket *s, int err, const char *why)
{
	bool is_news = err != s->err || strcmp(why, s->why) != 0;

	s->err = err;
	strcpy(s->why, why);
	if (err && is_news)
		log_warn(ls->p.log, "can't listen transport=%s address=%s port=%s: %s", s->row.v[TRANSPORT], s->row.v[ADDRESS],
			 s->row.v[PORT], reason_of(s));
	if (is_news || !s->since_ms) {
		s->since_ms = clock_wall_ms(ls->p.clock);
		ls->is_state_due = true;
	}
}

/* One for WSS can't be changed: it is made anew, when all else that may be wrong with the row was found by trying; then its own socket is in
 * the way. */
static int listen_anew(struct listeners *ls, struct socket *s, const struct row *r, char why[TLS_WHY_MAX])
{
	uint64_t id = 0;
	int err = listen_on(ls, r, false, &id, why);

	if (err && err != -EADDRINUSE)
		return err; /* the old one stays */
	transport_unlisten(ls->p.transport, s->id);
	if (err) {
		id = s->id;
		err = listen_on(ls, r, false, &id, why);
	}
	s->id = err ? 0 : id;
	return err;
}

static void open_socket(struct listeners *ls, struct socket *s, const struct row *r)
{
	char why[TLS_WHY_MAX] = "";
	bool is_there = s->id != 0;
	int err;

	s->row = *r;
	err = listen_on(ls, r, is_there, &s->id, why);
	if (err == -ENOTSUP && is_there)
		err = listen_anew(ls, s, r, why);
	if (!err)
		log_socket(ls, s, is_there ? "changed" : "listening");
	told(ls, s, err, why);
}

static struct socket *find(const struct listeners *ls, const struct row *r)
{
	struct socket *s;

	LL_FOREACH(ls->sockets, s)
		if (is_same_place(&s->row, r))
			return s;
	return NULL;
}

static void remove_unseen(struct listeners *ls)
{
	struct socket *s, *next;

	LL_FOREACH_SAFE(ls->sockets, s, next) {
		if (s->is_seen)
			continue;
		if (s->id)
			transport_unlisten(ls->p.transport, s->id);
		log_socket(ls, s, "no longer listening");
		LL_DELETE(ls->sockets, s);
		free(s);
		ls->is_state_due = true;
	}
}

/* err: of the row itself. Then the socket stays as it was, if there is one. */
static void apply_row(struct listeners *ls, const struct row *r, int err)
{
	struct socket *s = find(ls, r);

	if (s && !s->err && !err && is_same(&s->row, r))
		return;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return;
		s->row = *r;
		LL_APPEND(ls->sockets, s);
	}
	s->is_seen = true;
	if (err)
		told(ls, s, err, "");
	else
		open_socket(ls, s, r);
}

/* Places that are no longer listened on are free for others first. */
static void apply(struct listeners *ls, const struct db_rows *rows)
{
	static const struct row none;
	struct row r = none;
	struct socket *s;

	LL_FOREACH(ls->sockets, s)
		s->is_seen = false;
	for (int i = 0; i < db_rows_count(rows); i++) {
		take_row(&r, rows, i);
		s = find(ls, &r);
		if (s)
			s->is_seen = true;
	}
	remove_unseen(ls);
	for (int i = 0; i < db_rows_count(rows); i++) {
		int err = take_row(&r, rows, i);

		apply_row(ls, &r, err);
	}
}

/* ---- how it stands ---- */

static const char state_sql[] = "SELECT pbx.listener_state_set($1, $2::jsonb)";

static json_t *describe(const struct socket *s)
{
	return json_pack("{s:s, s:s, s:i, s:I, s:s?}", "transport", s->row.v[TRANSPORT], "address", s->row.v[ADDRESS],
			 "port", (int)port_of(s->row.v[PORT]), "since_ms", (json_int_t)s->since_ms, "error", s->err ? reason_of(s) : NULL);
}

static void write_state(struct listeners *ls);

static void on_written(uint64_t id, const struct db_answer *a, void *arg)
{
	struct listeners *ls = arg;

	(void)id;
	ls->state_query = 0;
	ls->is_state_due = ls->is_state_due || a->err;
	if (a->err)
		timer_start(ls->p.timers, &ls->retry, RETRY_MS);
	else
		write_state(ls);
}

static void write_state(struct listeners *ls)
{
	json_t *docs = ls->is_state_due && !ls->state_query ? json_array() : NULL;
	char *text;
	struct socket *s;

	if (!docs)
		return;
	LL_FOREACH(ls->sockets, s)
		json_array_append_new(docs, describe(s));
	text = json_print(docs);
	json_decref(docs);
	if (text)
		ls->state_query = db_query(ls->p.db, state_sql, 2, (struct db_param[]){ DB_TEXT(ls->p.node), DB_TEXT(text) }, on_written, ls);
	free(text);
	ls->is_state_due = !ls->state_query;
}

/* ---- reading ---- */

/* Of a row for this server and one for all its own counts. */
static const char rows_sql[] =
	"SELECT DISTINCT ON (transport, address, port) transport, host(address), port, host(external), external_port,"
	" array_to_string(local_networks, ' '), certificate, certificate_key, client_certificates, array_to_string(origins, ' ')"
	" FROM pbx.listener WHERE enabled AND node IN ('', $1) ORDER BY transport, address, port, node DESC";

static void read_rows(struct listeners *ls);

static bool has_failed(const struct listeners *ls)
{
	const struct socket *s;

	LL_FOREACH(ls->sockets, s)
		if (s->err)
			return true;
	return false;
}

static void on_rows(uint64_t id, const struct db_answer *a, void *arg)
{
	struct listeners *ls = arg;

	(void)id;
	ls->query = 0;
	if (a->err == -ECANCELED)
		return;
	if (!a->err) {
		apply(ls, a->rows);
		if (!ls->is_loaded)
			ls->is_state_due = true; /* what a former run has written */
		ls->is_loaded = true;
		write_state(ls);
	}
	if (ls->is_due)
		read_rows(ls);
	else if (a->err || has_failed(ls))
		timer_start(ls->p.timers, &ls->retry, RETRY_MS);
}

static void read_rows(struct listeners *ls)
{
	ls->is_due = ls->query != 0;
	if (ls->query)
		return;
	ls->query = db_query(ls->p.db, rows_sql, 1, (struct db_param[]){ DB_TEXT(ls->p.node) }, on_rows, ls);
	if (!ls->query)
		timer_start(ls->p.timers, &ls->retry, RETRY_MS);
}

static void on_retry(void *arg)
{
	struct listeners *ls = arg;

	read_rows(ls);
	write_state(ls);
}

static void on_change(const char *table, const char *key, void *arg)
{
	(void)key;
	if (!strcmp(table, "listener") || !strcmp(table, "*"))
		read_rows(arg);
}

/* ---- the whole ---- */

int listeners_new(struct listeners **out, const struct listeners_params *p)
{
	struct listeners *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return -ENOMEM;
	ls->p = *p;
	timer_init(&ls->retry, on_retry, ls);
	ls->watcher = (struct directory_watcher){ .on_change = on_change, .arg = ls };
	directory_watch(p->directory, &ls->watcher);
	read_rows(ls);
	*out = ls;
	return 0;
}

bool listeners_is_loaded(const struct listeners *ls)
{
	return ls->is_loaded;
}

void listeners_free(struct listeners *ls)
{
	struct socket *s, *next;

	if (!ls)
		return;
	directory_unwatch(ls->p.directory, &ls->watcher);
	timer_stop(ls->p.timers, &ls->retry);
	if (ls->query)
		db_forget(ls->p.db, ls->query);
	if (ls->state_query)
		db_forget(ls->p.db, ls->state_query);
	LL_FOREACH_SAFE(ls->sockets, s, next)
		free(s);
	free(ls);
}

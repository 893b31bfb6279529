/* message_store.c - messages that wait for their reader, and their delivery when a phone of his registers.
 *
 * Which extensions have any is known from a look at the table and from the changes that are told; so a registration of one that
 * has none costs a look into a hash. One message of an extension is under way at a time: the next one goes when it is there, so they
 * keep their order. A phone that refuses one (a type it can't show) gets the next; that one stays until it expires. When nobody
 * answers, or the database doesn't, the rest wait for the next registration, or a while: a phone that comes back where it was says
 * nothing new, it only refreshes.
 */
#define LOG_MODULE "message"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <utlist.h>

#include "base/log.h"
#include "presence/message_int.h"

#define RETRY_MS 60000           /* doubled with each try in vain ... */
#define RETRY_DOUBLED_MAX 5      /* ... up to half an hour */

struct waiting {
	UT_hash_handle hh;
	struct messages *ms;
	struct timer retry;
	unsigned ntries;         /* in vain, since the last registration */
	uint64_t query;          /* for the next message, or its removal; 0: none */
	bool is_sending;
	bool is_asked;           /* there may be more by now */
	bool is_stalled;         /* nobody answers: until the next registration, or retry */
	char domain[64], number[64];
	char last[24], sent[24]; /* ids: the last one looked at, "0" first; the one under way */
	char key[132];
};

static void next(struct waiting *w);

/* ---- storing ---- */

static const char store_sql[] = "SELECT pbx.message_store($1, $2, $3, $4, $5, $6, $7, $8)";

uint64_t message_store(struct messages *ms, const char *domain, const char *number, const struct text *t, uint32_t keep_s, db_fn *fn, void *arg)
{
	char keep[16], most[16];
	const struct db_param params[] = {
		DB_TEXT(domain), DB_TEXT(number), DB_TEXT(t->sender), DB_TEXT(t->sender_name), DB_TEXT(t->ctype ? t->ctype : ""),
		DB_BYTES(t->body.p, t->body.n), DB_TEXT(keep), DB_TEXT(most),
	};

	snprintf(keep, sizeof(keep), "%u", keep_s);
	snprintf(most, sizeof(most), "%d", MESSAGE_STORED_MAX);
	return db_is_up(ms->p.db) ? db_query(ms->p.db, store_sql, ARRAY_LEN(params), params, fn, arg) : 0;
}

int message_stored_status(const struct db_answer *a)
{
	if (a->err || db_rows_count(a->rows) != 1)
		return 503;
	return str_eqz(db_rows_get(a->rows, 0, 0), "t") ? 202 : 480;
}

/* ---- delivering ---- */

static void waiting_free(struct waiting *w)
{
	if (w->query)
		db_forget(w->ms->p.db, w->query);
	timer_stop(w->ms->p.timers, &w->retry);
	deliveries_forget(w->ms, w);
	HASH_DEL(w->ms->waiting, w);
	free(w);
}

static void on_removed(uint64_t id, const struct db_answer *a, void *arg)
{
	struct waiting *w = arg;

	(void)id;
	w->query = 0;
	if (a->err) /* it stays, and may come twice: better than not at all */
		log_warn(w->ms->p.log, "message %s of %s isn't removed: %s", w->sent, w->key, a->message ? a->message : "");
	next(w);
}

static void remove_sent(struct waiting *w)
{
	static const char sql[] = "DELETE FROM pbx.message WHERE id = $1";

	w->query = db_query(w->ms->p.db, sql, 1, &DB_TEXT(w->sent), on_removed, w);
}

/* With the next registration the list begins anew; a retry goes on where it stood. */
static void stall(struct waiting *w)
{
	w->is_stalled = true;
	timer_start(w->ms->p.timers, &w->retry, (uint64_t)RETRY_MS << w->ntries);
	if (w->ntries < RETRY_DOUBLED_MAX)
		w->ntries++;
}

static void begin_anew(struct waiting *w)
{
	timer_stop(w->ms->p.timers, &w->retry);
	w->is_stalled = false;
	w->ntries = 0;
	strcpy(w->last, "0");
}

/* The one that nobody took is the next one again. */
static void step_back(struct waiting *w)
{
	snprintf(w->last, sizeof(w->last), "%lld", strtoll(w->sent, NULL, 10) - 1);
}

static void on_sent(int status, void *arg)
{
	struct waiting *w = arg;

	w->is_sending = false;
	log_info(w->ms->p.log, "stored message %s for %s status=%d", w->sent, w->key, status);
	if (status / 100 == 2) {
		w->ntries = 0;
		remove_sent(w);
	} else if (status != 480) {
		next(w);
	} else if (w->is_asked) { /* a phone may have registered meanwhile */
		w->is_asked = false;
		begin_anew(w);
		next(w);
	} else {
		step_back(w);
		stall(w);
	}
}

/* When it was sent (RFC 3428 §7: Date), in English whatever the locale. */
static void write_date(struct out *o, struct str epoch_s)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	char text[24];
	time_t t;
	struct tm tm;

	if (str_copy(epoch_s, text, sizeof(text)) != 0)
		return;
	t = (time_t)strtoll(text, NULL, 10);
	if (gmtime_r(&t, &tm))
		out_fmt(o, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
			tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static const char next_sql[] =
	"SELECT id, sender, sender_name, content_type, body, extract(epoch FROM received)::bigint FROM pbx.message"
	" WHERE (domain, number) = ($1, $2) AND id > $3 AND expires > now() ORDER BY id LIMIT 1";

static void send_row(struct waiting *w, const struct db_rows *rows)
{
	char sender[64], name[128], ctype[256], hdrs[64];
	size_t n = 0;
	unsigned char *body = db_rows_bytes(rows, 0, 4, &n);
	struct text t = { .sender = sender, .sender_name = name, .ctype = ctype, .body = { (const char *)body, n } };
	struct out o;
	int err;

	out_init(&o, hdrs, sizeof(hdrs));
	write_date(&o, db_rows_get(rows, 0, 5));
	t.hdrs = out_view(&o);
	str_copy(db_rows_get(rows, 0, 1), sender, sizeof(sender));
	str_copy(db_rows_get(rows, 0, 2), name, sizeof(name));
	str_copy(db_rows_get(rows, 0, 3), ctype, sizeof(ctype));
	str_copy(db_rows_get(rows, 0, 0), w->sent, sizeof(w->sent));
	str_put(w->last, sizeof(w->last), w->sent);
	err = body ? delivery_start(w->ms, w->domain, w->number, &t, on_sent, w) : -ENOMEM;
	free(body);
	w->is_sending = err == 0;
	if (err == -EMSGSIZE) {
		next(w);
	} else if (err) {
		step_back(w);
		stall(w);
	}
}

static void on_row(uint64_t id, const struct db_answer *a, void *arg)
{
	struct waiting *w = arg;

	(void)id;
	w->query = 0;
	if (a->err) {
		stall(w);
		return;
	}
	if (db_rows_count(a->rows) > 0) {
		send_row(w, a->rows);
		return;
	}
	if (w->is_asked) {
		w->is_asked = false;
		next(w);
	} else if (!strcmp(w->last, "0")) {
		waiting_free(w); /* nothing waits; else there may be what a phone has refused */
	}
}

static void next(struct waiting *w)
{
	const struct db_param params[] = { DB_TEXT(w->domain), DB_TEXT(w->number), DB_TEXT(w->last) };

	if (w->ms->is_stopped)
		return;
	w->query = db_query(w->ms->p.db, next_sql, ARRAY_LEN(params), params, on_row, w);
	if (!w->query)
		stall(w);
}

/* There may be a message, or a phone to have it. */
static void deliver(struct waiting *w)
{
	if (w->is_stalled || !registrar_reach(w->ms->p.registrar, w->domain, str_from(w->number)).b)
		return;
	if (w->query || w->is_sending)
		w->is_asked = true;
	else
		next(w);
}

static void on_retry(void *arg)
{
	struct waiting *w = arg;

	w->is_stalled = false;
	deliver(w);
}

static struct waiting *waiting_get(struct messages *ms, struct str domain, struct str number)
{
	struct waiting *w, *had;

	w = calloc(1, sizeof(*w));
	if (!w || str_copy(domain, w->domain, sizeof(w->domain)) || str_copy(number, w->number, sizeof(w->number)) ||
	    str_join(w->key, sizeof(w->key), w->domain, '/', number) < 0) {
		free(w);
		return NULL;
	}
	HASH_FIND_STR(ms->waiting, w->key, had);
	if (had) {
		free(w);
		return had;
	}
	w->ms = ms;
	timer_init(&w->retry, on_retry, w);
	begin_anew(w);
	HASH_ADD_STR(ms->waiting, key, w);
	if (w->hh.tbl)
		return w;
	timer_stop(ms->p.timers, &w->retry);
	free(w);
	return NULL;
}

static void on_registered(const char *domain, const char *number, void *arg)
{
	struct messages *ms = arg;
	struct waiting *w = NULL;
	char key[sizeof(w->key)];

	if (ms->is_stopped || str_join(key, sizeof(key), domain, '/', str_from(number)) < 0)
		return;
	HASH_FIND_STR(ms->waiting, key, w);
	if (!w)
		return;
	if (!w->query && !w->is_sending)
		begin_anew(w);
	deliver(w);
}

/* ---- which extensions have any ---- */

static const char load_sql[] = "SELECT DISTINCT domain, number FROM pbx.message WHERE expires > now()";

static void on_list(uint64_t id, const struct db_answer *a, void *arg)
{
	struct messages *ms = arg;

	(void)id;
	ms->load_query = 0;
	for (int i = 0; !a->err && i < db_rows_count(a->rows); i++) {
		struct waiting *w = waiting_get(ms, db_rows_get(a->rows, i, 0), db_rows_get(a->rows, i, 1));

		if (w)
			deliver(w);
	}
}

static void load(struct messages *ms)
{
	if (!ms->load_query)
		ms->load_query = db_query(ms->p.db, load_sql, 0, NULL, on_list, ms);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct messages *ms = arg;
	struct str number = str_from(key), domain;
	struct waiting *w;

	if (ms->is_stopped)
		return;
	if (!strcmp(table, "*"))
		load(ms); /* single changes may have been missed */
	if (strcmp(table, "message") != 0)
		return;
	domain = str_cut(&number, '/');
	w = waiting_get(ms, domain, number);
	if (w)
		deliver(w);
}

void message_store_start(struct messages *ms)
{
	ms->on_change = (struct directory_watcher){ .on_change = on_change, .arg = ms };
	directory_watch(ms->p.directory, &ms->on_change);
	registrar_watch(ms->p.registrar, on_registered, ms);
	load(ms);
}

void message_store_stop(struct messages *ms)
{
	if (ms->load_query)
		db_forget(ms->p.db, ms->load_query);
	ms->load_query = 0;
	while (ms->waiting)
		waiting_free(ms->waiting);
}

void message_store_free(struct messages *ms)
{
	while (ms->waiting)
		waiting_free(ms->waiting);
}

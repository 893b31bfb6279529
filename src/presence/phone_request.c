/* phone_request.c - takes rows of pbx.phone_request, one query at a time, in the order they were told of. */
#define LOG_MODULE "phone"
#include "presence/phone_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "presence/phones.h"

#define EVENT_MAX 64
#define START_POLL_MS 100    /* until the bindings have been read */
#define START_RETRY_MS 2000

struct asked {               /* an extension that has rows */
	struct asked *next;
	char domain[64], number[64];
};

struct phone_requests {
	struct phone_requests_params p;
	struct directory_watcher on_change;
	struct asked *waiting;
	uint64_t query;      /* 0: none under way */
	struct timer start_timer;
	uint64_t start_query; /* 0: none under way */
	bool is_stopped;
};

/* ---- asking ---- */

/* Not by what an exchange has registered: that isn't this number's alone. */
static unsigned notify_phones(struct phone_requests *pr, const char *domain, const char *number, const char *event)
{
	char hdrs[160];
	int n = -ENOENT;

	snprintf(hdrs, sizeof(hdrs), "Event: %s\r\nSubscription-State: terminated;reason=noresource\r\n", event);
	const struct phones_request r = { .method = "NOTIFY", .from_user = str_from(number), .hdrs = str_from(hdrs) };

	if (registrar_find(pr->p.registrar, domain, str_from(number)))
		n = phones_ask(pr->p.phones, domain, number, &r, NULL, NULL);
	return n < 0 ? 0 : (unsigned)n;
}

unsigned phone_request_send(struct phone_requests *pr, const char *domain, const char *number, const char *event)
{
	bool is_call = !strcmp(event, "talk") || !strcmp(event, "hold");
	int err = is_call ? calls_ask_phone(pr->p.calls, domain, number, event) : -ENOTCONN;
	unsigned n = err == -ENOTCONN ? notify_phones(pr, domain, number, event) : err == 0;

	log_info(pr->p.log, "asked number=%s/%s event=%s phones=%u", domain, number, event, n);
	return n;
}

/* ---- rows ---- */

static const char take_sql[] =
	"WITH taken AS (DELETE FROM pbx.phone_request WHERE (domain, number) = ($1, $2) RETURNING id, event)"
	" SELECT event FROM taken ORDER BY id";

static void take_next(struct phone_requests *pr);

static void drop_first(struct phone_requests *pr)
{
	struct asked *a = pr->waiting;

	LL_DELETE(pr->waiting, a);
	free(a);
}

static void on_rows(uint64_t id, const struct db_answer *a, void *arg)
{
	struct phone_requests *pr = arg;
	struct asked *asked = pr->waiting;
	char event[EVENT_MAX];

	(void)id;
	pr->query = 0;
	if (a->err)
		log_warn(pr->p.log, "requests for %s/%s can't be taken: %s", asked->domain, asked->number, a->message ? a->message : "");
	for (int i = 0; !a->err && i < db_rows_count(a->rows); i++)
		if (str_copy(db_rows_get(a->rows, i, 0), event, sizeof(event)) == 0)
			phone_request_send(pr, asked->domain, asked->number, event);
	drop_first(pr);
	take_next(pr);
}

static void take_next(struct phone_requests *pr)
{
	while (pr->waiting && !pr->query) {
		const struct db_param params[] = { DB_TEXT(pr->waiting->domain), DB_TEXT(pr->waiting->number) };

		pr->query = db_query(pr->p.db, take_sql, ARRAY_LEN(params), params, on_rows, pr);
		if (!pr->query)
			drop_first(pr);
	}
}

static void add_asked(struct phone_requests *pr, struct str domain, struct str number)
{
	struct asked *a = calloc(1, sizeof(*a));

	if (!a)
		return;
	if (str_copy(domain, a->domain, sizeof(a->domain)) || str_copy(number, a->number, sizeof(a->number))) {
		free(a);
		return;
	}
	LL_APPEND(pr->waiting, a);
	take_next(pr);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct phone_requests *pr = arg;
	struct str number = str_from(key), domain;

	if (pr->is_stopped || strcmp(table, "phone_request") != 0)
		return;
	domain = str_cut(&number, '/');
	add_asked(pr, domain, number);
}

/* ---- what was asked while no server ran ---- */

/* Another server may be at a row that has just been made. */
static const char left_sql[] =
	"WITH past AS (DELETE FROM pbx.phone_request WHERE event IN ('talk', 'hold') AND made < now() - interval '5 seconds')"
	" SELECT domain, number FROM pbx.phone_request WHERE event LIKE 'check-sync%' GROUP BY domain, number ORDER BY min(id)";

static void on_left(uint64_t id, const struct db_answer *a, void *arg)
{
	struct phone_requests *pr = arg;

	(void)id;
	pr->start_query = 0;
	if (a->err)
		timer_start(pr->p.timers, &pr->start_timer, START_RETRY_MS);
	for (int i = 0; !a->err && i < db_rows_count(a->rows); i++)
		add_asked(pr, db_rows_get(a->rows, i, 0), db_rows_get(a->rows, i, 1));
}

static void on_start_timer(void *arg)
{
	struct phone_requests *pr = arg;

	if (registrar_is_loaded(pr->p.registrar))
		pr->start_query = db_query(pr->p.db, left_sql, 0, NULL, on_left, pr);
	if (!pr->start_query)
		timer_start(pr->p.timers, &pr->start_timer, START_POLL_MS);
}

int phone_requests_new(struct phone_requests **out, const struct phone_requests_params *p)
{
	struct phone_requests *pr = calloc(1, sizeof(*pr));

	if (!pr)
		return -ENOMEM;
	pr->p = *p;
	pr->on_change = (struct directory_watcher){ .on_change = on_change, .arg = pr };
	directory_watch(p->directory, &pr->on_change);
	timer_init(&pr->start_timer, on_start_timer, pr);
	timer_start(p->timers, &pr->start_timer, START_POLL_MS);
	*out = pr;
	return 0;
}

void phone_requests_stop(struct phone_requests *pr)
{
	pr->is_stopped = true;
	if (pr->query)
		db_forget(pr->p.db, pr->query);
	pr->query = 0;
	timer_stop(pr->p.timers, &pr->start_timer);
	if (pr->start_query)
		db_forget(pr->p.db, pr->start_query);
	pr->start_query = 0;
	while (pr->waiting)
		drop_first(pr);
}

void phone_requests_free(struct phone_requests *pr)
{
	free(pr);
}

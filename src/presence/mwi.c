/* mwi.c - mailboxes that are watched, and their counts.
 *
 * A box has one query under way at most; a change told meanwhile marks it for another. Who came before the first counts are known
 * waits for them; the others get a NOTIFY when the counts changed.
 *
 * Who watches is the business of events.c.
 */
#define LOG_MODULE "mwi"
#include "presence/mwi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/table.h"
#include "presence/phones.h"

#define RETRY_MS 5000            /* between attempts to read counts from a database that is away */
#define SUBS_MAX 32              /* of one mailbox: more than its phones, fewer than would hurt */
#define COUNT_MAX 999999         /* what a lamp shows */

struct box {
	struct mwi *mwi;
	char domain[64], number[64];
	bool is_known;           /* there have been counts */
	bool is_stale;           /* which may be wrong by now */
	bool is_away;            /* what is known is told, for the database can't be asked */
	bool is_watched;
	bool is_push_due;        /* its phones wait to be told, unsolicited */
	uint32_t fresh, saved;
	uint64_t query;          /* 0: none under way */
	bool is_dirty;           /* has changed since that was sent */
	struct timer retry;
	UT_hash_handle hh;
	char key[];              /* "domain/number" */
};

struct mwi {
	struct mwi_params p;
	struct event_package package;
	struct box *boxes;       /* kept once made, for their counts; there are no more than mailboxes */
	bool is_stopped;
	struct directory_watcher on_change;
};

/* ---- telling ---- */

static void write_body(struct out *o, const struct box *b, struct str account)
{
	out_fmt(o, "Messages-Waiting: %s\r\nMessage-Account: %.*s\r\nVoice-Message: %u/%u (0/0)\r\n", b->fresh ? "yes" : "no",
		STR_ARG(account), b->fresh, b->saved);
}

/* Does the extension want to be told without subscribing, and is there a phone to tell? */
static bool is_pushed(struct mwi *m, const char *domain, const char *number)
{
	const struct dir_extension *ext;

	return directory_extension(m->p.directory, domain, str_from(number), &ext) == DIR_FOUND && ext->mwi_unsolicited &&
	       ext->has_mailbox && registrar_find(m->p.registrar, domain, str_from(number));
}

static void push(struct box *b)
{
	struct mwi *m = b->mwi;
	char body[320], account[160];
	struct out o, a;

	b->is_push_due = false;
	out_init(&a, account, sizeof(account));
	out_z(&a, "sip:");
	sip_escape_user(&a, str_from(b->number));
	out_fmt(&a, "@%s", b->domain);
	out_init(&o, body, sizeof(body));
	write_body(&o, b, out_view(&a));
	const struct phones_request r = {
		.method = "NOTIFY", .from_user = str_from(b->number),
		.hdrs = STR("Event: message-summary\r\nSubscription-State: terminated;reason=noresource\r\n"),
		.ctype = "application/simple-message-summary", .body = out_view(&o),
	};
	if (phones_ask(m->p.phones, b->domain, b->number, &r, NULL, NULL) < 0)
		log_debug(m->p.log, "box=%s not told", b->key);
}

/* ---- counting ---- */

static const char count_sql[] = "SELECT new, saved FROM pbx.voicemail_count WHERE domain = $1 AND number = $2";

static void query(struct box *b);

static void retry_later(struct box *b)
{
	timer_start(b->mwi->p.timers, &b->retry, RETRY_MS);
}

/* Nobody waits for a database that is away. */
static void tell_what_is_known(struct box *b)
{
	b->is_away = true;
	events_ready(&b->mwi->package, b->domain, b->number);
	b->is_away = false;
}

static void read_counts(struct box *b, const struct db_rows *rows)
{
	uint32_t fresh = 0, saved = 0;
	bool is_changed;

	/* No row: the mailbox is gone, and with it what was in it. */
	if (db_rows_count(rows) > 0 && (str_to_u32(db_rows_get(rows, 0, 0), COUNT_MAX, &fresh) == -EINVAL ||
					str_to_u32(db_rows_get(rows, 0, 1), COUNT_MAX, &saved) == -EINVAL))
		log_error(b->mwi->p.log, "box=%s has counts that are no numbers", b->key);
	is_changed = !b->is_known || fresh != b->fresh || saved != b->saved;
	b->is_known = true;
	b->is_stale = false;
	b->fresh = fresh;
	b->saved = saved;
	if ((is_changed || b->is_push_due) && is_pushed(b->mwi, b->domain, b->number))
		push(b);
	if (is_changed)
		events_changed(&b->mwi->package, b->domain, b->number);
	else
		events_ready(&b->mwi->package, b->domain, b->number);
}

static void on_counts(uint64_t id, const struct db_answer *a, void *arg)
{
	struct box *b = arg;

	(void)id;
	b->query = 0;
	if (a->err) {
		if (a->err == -EINVAL)
			log_error(b->mwi->p.log, "counts can't be read: %s", a->message ? a->message : "");
		tell_what_is_known(b);
		retry_later(b);
		return;
	}
	if (b->is_dirty)
		query(b); /* the answer is older than the change */
	else
		read_counts(b, a->rows);
}

/* Without a database nothing is under way behind it. */
static void query(struct box *b)
{
	const struct db_param params[] = { DB_TEXT(b->domain), DB_TEXT(b->number) };

	timer_stop(b->mwi->p.timers, &b->retry);
	if (b->query) {
		b->is_dirty = true;
		return;
	}
	b->is_dirty = false;
	if (db_is_up(b->mwi->p.db))
		b->query = db_query(b->mwi->p.db, count_sql, ARRAY_LEN(params), params, on_counts, b);
	if (!b->query)
		retry_later(b);
}

static void on_retry(void *arg)
{
	struct box *b = arg;

	if (b->is_watched || b->is_push_due)
		query(b);
}

/* Without a watcher it will be read when there is one. */
static void outdate(struct box *b)
{
	b->is_stale = true;
	if (b->is_watched || is_pushed(b->mwi, b->domain, b->number))
		query(b);
}

/* ---- boxes ---- */

static struct box *box_get(struct mwi *m, const char *domain, const char *number)
{
	char key[sizeof(((struct box *)0)->domain) + sizeof(((struct box *)0)->number) + 1];
	struct box *b;
	int n = snprintf(key, sizeof(key), "%s/%s", domain, number);

	HASH_FIND_STR(m->boxes, key, b);
	if (b)
		return b;
	b = calloc(1, sizeof(*b) + (size_t)n + 1);
	if (!b)
		return NULL;
	b->mwi = m;
	memcpy(b->key, key, (size_t)n + 1);
	snprintf(b->domain, sizeof(b->domain), "%s", domain);
	snprintf(b->number, sizeof(b->number), "%s", number);
	timer_init(&b->retry, on_retry, b);
	HASH_ADD_STR(m->boxes, key, b);
	if (b->hh.tbl)
		return b;
	free(b);
	return NULL;
}

/* ---- changes ---- */

/* A mailbox that nobody has watched yet, if its phones are told all the same. */
static struct box *box_to_push(struct mwi *m, const char *key)
{
	struct str number = str_from(key), domain = str_cut(&number, '/');
	char name[64];

	if (!number.p || str_copy(domain, name, sizeof(name)) != 0 || !is_pushed(m, name, number.p))
		return NULL;
	return box_get(m, name, number.p);
}

static void on_registered(const char *domain, const char *number, void *arg)
{
	struct mwi *m = arg;
	struct box *b = !m->is_stopped && is_pushed(m, domain, number) ? box_get(m, domain, number) : NULL;

	if (!b)
		return;
	b->is_push_due = true;
	if (b->is_known && !b->is_stale)
		push(b);
	else if (!b->query)
		query(b);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct mwi *m = arg;
	struct box *b, *tmp;

	if (m->is_stopped)
		return;
	if (!strcmp(table, "voicemail")) {
		HASH_FIND_STR(m->boxes, key, b);
		if (!b)
			b = box_to_push(m, key);
		if (b)
			outdate(b);
		return;
	}
	if (strcmp(table, "*") != 0)
		return;
	/* Read anew as a whole: single changes may have been missed. */
	HASH_ITER(hh, m->boxes, b, tmp)
		outdate(b);
}

/* ---- the package ---- */

static void *on_watched(const char *domain, const char *number, void *arg)
{
	struct box *b = box_get(arg, domain, number);

	if (b)
		b->is_watched = true;
	return b;
}

static void on_unwatched(void *state, void *arg)
{
	struct box *b = state;
	struct mwi *m = arg;

	b->is_watched = false;
	timer_stop(m->p.timers, &b->retry);
}

/* Known counts are kept true by on_change: no need to ask again. */
static int write_counts(const struct event_view *v, struct out *o, void *arg)
{
	struct box *b = v->state;
	char aor[EVENT_AOR_MAX];

	(void)arg;
	if ((!b->is_known || b->is_stale) && !b->is_away) {
		if (!b->query)
			query(b);
		if (b->query)
			return -EAGAIN;
	}
	if (b->is_known)
		write_body(o, b, event_aor(v, aor));
	return 0;
}

/* The Request-URI names the mailbox: the subscriber's number, the name it is known by, or nothing. */
static int number_of(const struct sip_msg *m, const struct auth_identity *who, char *buf, size_t size, void *arg)
{
	char from[64];

	(void)arg;
	if (str_empty(m->ruri.user))
		return str_copy(str_from(who->number), buf, size) ? -ENOENT : 0;
	if (sip_unescape(m->ruri.user, buf, size) != 0)
		return -ENOENT;
	/* auth_check has made sure that From is the subscriber. */
	if (sip_unescape(m->from.uri.user, from, sizeof(from)) == 0 && !strcmp(buf, from))
		return str_copy(str_from(who->number), buf, size) ? -ENOENT : 0;
	return 0;
}

static struct event_refusal admit(const char *domain, const char *watcher, const char *number, void *arg)
{
	const struct dir_mailbox *mailbox;
	struct mwi *m = arg;

	if (strcmp(watcher, number) != 0)
		return (struct event_refusal){ 403, "Not your mailbox", NULL };
	switch (directory_mailbox(m->p.directory, domain, str_from(number), &mailbox)) {
	case DIR_UNKNOWN:
		return (struct event_refusal){ 503, NULL, "Retry-After: 5\r\n" };
	case DIR_ABSENT:
		return (struct event_refusal){ 404, "No mailbox", NULL };
	case DIR_FOUND:
		break;
	}
	return (struct event_refusal){ 0, NULL, NULL };
}

int mwi_new(struct mwi **out, const struct mwi_params *p)
{
	struct mwi *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->p = *p;
	m->on_change = (struct directory_watcher){ .on_change = on_change, .arg = m };
	directory_watch(p->directory, &m->on_change);
	registrar_watch(p->registrar, on_registered, m);
	m->package = (struct event_package){
		.name = "message-summary", .ctype = "application/simple-message-summary", .max_watchers = SUBS_MAX, .arg = m,
		.number_of = number_of, .admit = admit, .on_watched = on_watched, .on_unwatched = on_unwatched, .write = write_counts,
	};
	events_add(p->events, &m->package);
	*out = m;
	return 0;
}

void mwi_stop(struct mwi *m)
{
	if (m->is_stopped)
		return;
	m->is_stopped = true;
	for (struct box *b = m->boxes; b; b = b->hh.next) {
		timer_stop(m->p.timers, &b->retry);
		if (b->query)
			db_forget(m->p.db, b->query);
		b->query = 0;
	}
}

void mwi_free(struct mwi *m)
{
	struct box *b, *tmp;

	if (!m)
		return;
	HASH_ITER(hh, m->boxes, b, tmp) {
		HASH_DEL(m->boxes, b);
		free(b);
	}
	free(m);
}

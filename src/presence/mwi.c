/* mwi.c - mailboxes that are watched, their counts, and who watches them.
 *
 * A box has one query under way at most; a change told meanwhile marks it for another. Subscribers that came before the
 * first counts are known are owed a NOTIFY and get it with the answer; the others get one when the counts changed.
 *
 * Dialogs, expiry and the order of NOTIFYs are the business of sip/ua.h's subscriptions.
 */
#define LOG_MODULE "mwi"
#include "presence/mwi.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "base/log.h"

#define EVENT "message-summary"
#define ALLOW_EVENTS "Allow-Events: " EVENT "\r\n"
#define CTYPE "application/simple-message-summary"
#define MIN_EXPIRES_DEFAULT_S 60
#define MAX_EXPIRES_DEFAULT_S 3600
#define RETRY_MS 5000            /* between attempts to read counts from a database that is away */
#define SUBS_MAX 32              /* of one mailbox: more than its phones, fewer than would hurt */
#define COUNT_MAX 999999         /* what a lamp shows */

struct watcher {                 /* one subscription */
	struct box *box;
	struct subscription *sub;
	bool is_owed;            /* a NOTIFY, as soon as there is an answer */
	char account[192];       /* "sip:1001@office" */
	struct watcher *prev, *next;
};

struct box {
	struct mwi *mwi;
	char domain[64], number[64];
	bool is_known;           /* there have been counts */
	bool is_stale;           /* which may be wrong by now */
	uint32_t fresh, saved;
	uint64_t query;          /* 0: none under way */
	bool is_dirty;           /* has changed since that was sent */
	struct timer retry;
	unsigned nwatchers;
	struct watcher *watchers;
	UT_hash_handle hh;
	char key[];              /* "domain/number" */
};

struct mwi {
	struct mwi_params p;
	struct box *boxes;       /* kept once made, for their counts; there are no more than mailboxes */
	unsigned nwatchers;
	bool is_stopped;
	struct directory_watcher on_change;
};

/* ---- telling ---- */

static void notify(struct watcher *w)
{
	const struct box *b = w->box;
	char body[320];
	struct out o;
	int err;

	w->is_owed = false;
	out_init(&o, body, sizeof(body));
	if (b->is_known)
		out_fmt(&o, "Messages-Waiting: %s\r\nMessage-Account: %s\r\nVoice-Message: %u/%u (0/0)\r\n", b->fresh ? "yes" : "no",
			w->account, b->fresh, b->saved);
	err = subscription_notify(w->sub, CTYPE, out_view(&o));
	if (err)
		log_debug(b->mwi->p.log, "box=%s not notified: %d", b->key, err);
}

static void notify_all(struct box *b, bool is_changed)
{
	struct watcher *w, *tmp;

	DL_FOREACH_SAFE(b->watchers, w, tmp)
		if (is_changed || w->is_owed)
			notify(w);
}

/* ---- counting ---- */

static const char count_sql[] = "SELECT new, saved FROM pbx.voicemail_count WHERE domain = $1 AND number = $2";

static void query(struct box *b);

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
	notify_all(b, is_changed);
}

static void on_counts(uint64_t id, const struct db_answer *a, void *arg)
{
	struct box *b = arg;

	(void)id;
	b->query = 0;
	if (a->err) {
		if (a->err == -EINVAL)
			log_error(b->mwi->p.log, "counts can't be read: %s", a->message ? a->message : "");
		notify_all(b, false);
		timer_start(b->mwi->p.timers, &b->retry, RETRY_MS);
		return;
	}
	if (b->is_dirty)
		query(b); /* the answer is older than the change */
	else
		read_counts(b, a->rows);
}

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
	if (b->query)
		return;
	/* Nobody waits for a database that is away. */
	notify_all(b, false);
	timer_start(b->mwi->p.timers, &b->retry, RETRY_MS);
}

static void on_retry(void *arg)
{
	struct box *b = arg;

	if (b->watchers)
		query(b);
}

/* Without a watcher it will be read when there is one. */
static void outdate(struct box *b)
{
	b->is_stale = true;
	if (b->watchers)
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

/* ---- boxes and their watchers ---- */

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
	return b;
}

static void on_refresh(struct subscription *sub, uint32_t expires_s, void *arg)
{
	struct watcher *w = arg;

	(void)sub;
	(void)expires_s;
	/* Known counts are kept true by on_change: no need to ask again. */
	if (w->box->is_known && !w->box->is_stale) {
		notify(w);
		return;
	}
	w->is_owed = true;
	query(w->box);
}

static void on_closed(struct subscription *sub, void *arg)
{
	struct watcher *w = arg;
	struct box *b = w->box;

	(void)sub;
	log_debug(b->mwi->p.log, "box=%s no longer watched by %s", b->key, w->account);
	DL_DELETE(b->watchers, w);
	b->nwatchers--;
	b->mwi->nwatchers--;
	free(w);
	if (!b->watchers)
		timer_stop(b->mwi->p.timers, &b->retry);
}

static const struct subscription_handler subscription_handler = { .on_refresh = on_refresh, .on_closed = on_closed };

/* ---- SUBSCRIBE ---- */

static void refuse(struct strans *st, int status, const char *reason, const char *hdrs)
{
	struct sip_reply r = { .status = status, .reason = reason, .hdrs = str_from(hdrs) };

	strans_reply(st, &r);
}

static bool is_our_event(const struct sip_msg *m)
{
	struct str event, params;

	sip_token_params(sip_msg_value(m, SIP_HDR_EVENT), &event, &params);
	return str_eqz(event, EVENT);
}

/* Without an Accept the package's own type is meant (RFC 6665 §3.1.3). */
static bool is_acceptable(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str one, type, params;

	if (!sip_msg_has(m, SIP_HDR_ACCEPT))
		return true;
	while (sip_msg_element_next(m, SIP_HDR_ACCEPT, &it, &one)) {
		sip_token_params(one, &type, &params);
		if (str_ieqz(type, CTYPE) || str_eqz(type, "*/*") || str_ieqz(type, "application/*"))
			return true;
	}
	return false;
}

/* The Request-URI names the mailbox: the subscriber's number, the name it is known by, or nothing. */
static bool is_own_box(const struct sip_msg *m, const struct auth_identity *who)
{
	char user[64], from[64];

	if (!who->number[0])
		return false;
	if (str_empty(m->ruri.user))
		return true;
	if (sip_unescape(m->ruri.user, user, sizeof(user)) != 0 || sip_unescape(m->from.uri.user, from, sizeof(from)) != 0)
		return false;
	/* auth_check has made sure that From is the subscriber. */
	return !strcmp(user, who->number) || !strcmp(user, from);
}

/* 0: granted; else the request has been answered. */
static int grant_expires(const struct mwi *m, struct strans *st, const struct sip_msg *msg, uint32_t *expires_s)
{
	int64_t wanted_s = sip_msg_expires(msg, m->p.max_expires_s);
	char min_expires[48];

	if (wanted_s < 0) {
		refuse(st, 400, "Malformed Expires", NULL);
		return -EINVAL;
	}
	if (wanted_s > 0 && wanted_s < m->p.min_expires_s) {
		snprintf(min_expires, sizeof(min_expires), "Min-Expires: %u\r\n", m->p.min_expires_s);
		refuse(st, 423, NULL, min_expires);
		return -ERANGE;
	}
	*expires_s = wanted_s > m->p.max_expires_s ? m->p.max_expires_s : (uint32_t)wanted_s;
	return 0;
}

static struct watcher *watcher_new(struct box *b, const struct sip_msg *msg)
{
	struct watcher *w = calloc(1, sizeof(*w));
	struct out o;

	if (!w)
		return NULL;
	w->box = b;
	out_init(&o, w->account, sizeof(w->account) - 1);
	out_z(&o, "sip:");
	sip_escape_user(&o, str_from(b->number));
	out_chr(&o, '@');
	out_str(&o, msg->to.uri.host.n ? msg->to.uri.host : str_from(b->domain));
	if (!out_ok(&o)) { /* a host name of absurd length */
		out_reset(&o);
		out_fmt(&o, "sip:%s@%s", b->number, b->domain);
	}
	w->account[o.len] = '\0';
	return w;
}

static void watch(struct mwi *m, struct strans *st, const struct sip_msg *msg, struct box *b, uint32_t expires_s)
{
	struct watcher *w = watcher_new(b, msg);

	if (!w || subscription_accept(&w->sub, m->p.ua, st, msg, expires_s, &subscription_handler, w) != 0) {
		free(w);
		refuse(st, 500, NULL, NULL);
		return;
	}
	DL_APPEND(b->watchers, w);
	b->nwatchers++;
	m->nwatchers++;
	log_debug(m->p.log, "box=%s watched by %s for %u s", b->key, w->account, expires_s);
	on_refresh(w->sub, expires_s, w);
}

static void on_subscribe(struct strans *st, const struct sip_msg *msg, void *arg)
{
	const struct dir_mailbox *mailbox;
	struct auth_identity who;
	struct mwi *m = arg;
	struct box *b;
	uint32_t expires_s;

	if (!is_our_event(msg)) {
		refuse(st, 489, NULL, ALLOW_EVENTS);
		return;
	}
	if (auth_check(m->p.auth, st, msg, &who) != AUTH_OK)
		return;
	if (!is_acceptable(msg)) {
		refuse(st, 406, NULL, "Accept: " CTYPE "\r\n");
		return;
	}
	if (!is_own_box(msg, &who)) {
		refuse(st, 403, "Not your mailbox", NULL);
		return;
	}
	switch (directory_mailbox(m->p.directory, who.domain, str_from(who.number), &mailbox)) {
	case DIR_UNKNOWN:
		refuse(st, 503, NULL, "Retry-After: 5\r\n");
		return;
	case DIR_ABSENT:
		refuse(st, 404, "No mailbox", NULL);
		return;
	case DIR_FOUND:
		break;
	}
	if (grant_expires(m, st, msg, &expires_s) != 0)
		return;
	b = box_get(m, who.domain, who.number);
	if (!b)
		refuse(st, 500, NULL, NULL);
	else if (b->nwatchers >= SUBS_MAX)
		refuse(st, 503, "Too many subscriptions", "Retry-After: 600\r\n");
	else
		watch(m, st, msg, b, expires_s);
}

/* ---- the notifier ---- */

int mwi_new(struct mwi **out, const struct mwi_params *p)
{
	struct mwi *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->p = *p;
	if (!m->p.min_expires_s)
		m->p.min_expires_s = MIN_EXPIRES_DEFAULT_S;
	if (!m->p.max_expires_s)
		m->p.max_expires_s = MAX_EXPIRES_DEFAULT_S;
	m->on_change = (struct directory_watcher){ .on_change = on_change, .arg = m };
	directory_watch(p->directory, &m->on_change);
	sip_ua_handle(p->ua, SIP_SUBSCRIBE, on_subscribe, m);
	*out = m;
	return 0;
}

void mwi_stop(struct mwi *m)
{
	struct box *b, *tmp;
	struct watcher *w, *next;

	if (m->is_stopped)
		return;
	m->is_stopped = true;
	sip_ua_handle(m->p.ua, SIP_SUBSCRIBE, NULL, NULL);
	HASH_ITER(hh, m->boxes, b, tmp) {
		timer_stop(m->p.timers, &b->retry);
		if (b->query)
			db_forget(m->p.db, b->query);
		b->query = 0;
		DL_FOREACH_SAFE(b->watchers, w, next)
			subscription_close(w->sub, "deactivated");
	}
}

void mwi_free(struct mwi *m)
{
	struct box *b, *tmp;
	struct watcher *w, *next;

	if (!m)
		return;
	HASH_ITER(hh, m->boxes, b, tmp) {
		/* The ua is gone, and those that it didn't tell of with it. */
		DL_FOREACH_SAFE(b->watchers, w, next)
			free(w);
		HASH_DEL(m->boxes, b);
		free(b);
	}
	free(m);
}

unsigned mwi_subscriptions(const struct mwi *m)
{
	return m->nwatchers;
}

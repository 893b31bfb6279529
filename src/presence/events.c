/* events.c - SUBSCRIBE in, NOTIFYs out, at the pace of the package.
 *
 * A watcher is owed a NOTIFY or isn't; pumping it sends one when none is under way and its pace allows. Whatever may have changed
 * that pumps again: a change, an answer, the pace's timer. SUBSCRIBE itself is answered by a NOTIFY at once (RFC 6665 §4.2.1.2).
 *
 * Dialogs and expiry are the business of sip/ua.h's subscriptions, the copy that outlives the process of events_store.c.
 */
#define LOG_MODULE "events"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "presence/events_int.h"

#define MIN_EXPIRES_DEFAULT_S 60
#define MAX_EXPIRES_DEFAULT_S 3600
#define MAX_PER_USER_DEFAULT 300   /* a receptionist's panel, and the same on a second phone */
#define BODY_MAX 32768

/* ---- telling ---- */

/* How long the pace wants to wait; 0: now. The generic cell rate algorithm: a burst, then one a gap. */
static uint64_t pace_wait(const struct event_watcher *w, uint64_t now)
{
	const struct event_package *p = w->of->package;
	uint64_t credit = (uint64_t)p->gap_ms * (p->burst ? p->burst - 1 : 0);

	return w->sent_until_ms > now + credit ? w->sent_until_ms - now - credit : 0;
}

static struct str host_of(const char *entity)
{
	struct sip_uri uri;

	return sip_uri_parse(&uri, str_from(entity)) == 0 ? uri.host : STR_NULL;
}

struct str event_aor(const struct event_view *v, char buf[EVENT_AOR_MAX])
{
	struct out o;

	if (!v->phone)
		return str_from(v->entity);
	out_init(&o, buf, EVENT_AOR_MAX);
	out_z(&o, "sip:");
	sip_escape_user(&o, str_from(v->number));
	out_fmt(&o, "@%.*s", STR_ARG(v->host));
	return out_ok(&o) ? out_view(&o) : str_from(v->entity);
}

static void notify(struct event_watcher *w)
{
	struct event_resource *r = w->of;
	struct event_package *p = r->package;
	struct events *e = p->events;
	uint64_t now = timers_now(e->p.timers);
	struct str event, params;
	sip_token_params(subscription_event(w->sub), &event, &params);
	const struct event_view view = { .domain = r->domain, .number = r->number, .watcher = w->number, .entity = w->entity,
					 .host = host_of(w->entity), .phone = w->phone, .params = params,
					 .version = w->version, .state = r->state };
	struct out o;
	int err;

	out_init_grow(&o, BODY_MAX);
	err = p->write(&view, &o, p->arg);
	if (!err && !out_ok(&o))
		err = -EMSGSIZE;
	if (err != -EAGAIN)
		w->is_owed = w->is_urgent = false;
	if (!err)
		err = subscription_notify(w->sub, p->ctype, out_view(&o));
	out_fini(&o);
	if (err) {
		if (err != -EAGAIN)
			log_debug(e->p.log, "%s of %s not told to %s: %d", p->name, r->key, w->number, err);
		return;
	}
	w->version++;
	w->sent_until_ms = (w->sent_until_ms > now ? w->sent_until_ms : now) + p->gap_ms;
	event_keep(w);
}

void event_watcher_pump(struct event_watcher *w)
{
	struct events *e = w->of->package->events;
	uint64_t wait_ms;

	if (!w->is_owed || e->is_stopped || subscription_is_notifying(w->sub))
		return;
	wait_ms = w->is_urgent ? 0 : pace_wait(w, timers_now(e->p.timers));
	if (wait_ms == 0)
		notify(w);
	else if (!timer_is_running(&w->pace))
		timer_start(e->p.timers, &w->pace, wait_ms);
}

static void on_pace(void *arg)
{
	event_watcher_pump(arg);
}

static struct event_resource *resource_find(struct event_package *p, const char *domain, const char *number)
{
	struct event_resource *r = NULL;
	char key[EVENTS_KEY_MAX];

	if (str_join(key, sizeof(key), domain, '/', str_from(number)) > 0)
		HASH_FIND_STR(p->resources, key, r);
	return r;
}

static void tell_watchers(struct event_package *p, const char *domain, const char *number, bool of_phones)
{
	struct event_resource *r = resource_find(p, domain, number);
	struct event_watcher *w;

	if (!r)
		return;
	DL_FOREACH(r->watchers, w) {
		if (of_phones && !w->phone)
			continue;
		w->is_owed = true;
		event_watcher_pump(w);
	}
}

void events_changed(struct event_package *p, const char *domain, const char *number)
{
	tell_watchers(p, domain, number, false);
}

void events_phones_changed(struct event_package *p, const char *domain, const char *number)
{
	tell_watchers(p, domain, number, true);
}

void events_ready(struct event_package *p, const char *domain, const char *number)
{
	struct event_resource *r = resource_find(p, domain, number);
	struct event_watcher *w;

	if (r)
		DL_FOREACH(r->watchers, w)
			event_watcher_pump(w);
}

/* ---- watchers and what they watch ---- */

static struct event_resource *resource_get(struct event_package *p, const char *domain, const char *number)
{
	struct event_resource *r = resource_find(p, domain, number);

	if (r)
		return r;
	r = calloc(1, sizeof(*r));
	if (!r)
		return NULL;
	r->package = p;
	if (str_copy(str_from(domain), r->domain, sizeof(r->domain)) || str_copy(str_from(number), r->number, sizeof(r->number)) ||
	    str_join(r->key, sizeof(r->key), domain, '/', str_from(number)) < 0) {
		free(r);
		return NULL;
	}
	r->state = p->on_watched(domain, number, p->arg);
	if (!r->state) {
		free(r);
		return NULL;
	}
	HASH_ADD_STR(p->resources, key, r);
	if (r->hh.tbl)
		return r;
	p->on_unwatched(r->state, p->arg);
	free(r);
	return NULL;
}

static void resource_put(struct event_resource *r)
{
	struct event_package *p = r->package;

	if (r->watchers)
		return;
	HASH_DEL(p->resources, r);
	p->on_unwatched(r->state, p->arg);
	free(r);
}

static struct event_user *user_find(const struct events *e, const char *domain, const char *number)
{
	struct event_user *u = NULL;
	char key[EVENTS_KEY_MAX];

	if (str_join(key, sizeof(key), domain, '/', str_from(number)) > 0)
		HASH_FIND_STR(e->users, key, u);
	return u;
}

static struct event_user *user_get(struct events *e, const char *domain, const char *number)
{
	struct event_user *u = user_find(e, domain, number);

	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u || str_join(u->key, sizeof(u->key), domain, '/', str_from(number)) < 0) {
		free(u);
		return NULL;
	}
	HASH_ADD_STR(e->users, key, u);
	if (u->hh.tbl)
		return u;
	free(u);
	return NULL;
}

static void user_put(struct events *e, struct event_user *u)
{
	if (u->watchers)
		return;
	HASH_DEL(e->users, u);
	free(u);
}

struct event_watcher *event_watcher_new(struct event_package *p, const char *domain, const char *watcher, const char *number)
{
	struct events *e = p->events;
	struct event_watcher *w = calloc(1, sizeof(*w));
	struct event_user *u = user_get(e, domain, watcher);
	struct event_resource *r = resource_get(p, domain, number);

	if (!w || !u || !r || str_copy(str_from(watcher), w->number, sizeof(w->number)) != 0) {
		free(w);
		if (u)
			user_put(e, u);
		if (r)
			resource_put(r);
		return NULL;
	}
	w->of = r;
	w->user = u;
	timer_init(&w->pace, on_pace, w);
	DL_APPEND(r->watchers, w);
	r->n++;
	DL_APPEND2(u->watchers, w, user_prev, user_next);
	u->n++;
	e->n++;
	return w;
}

void event_watcher_free(struct event_watcher *w)
{
	struct event_resource *r = w->of;
	struct event_user *u = w->user;
	struct events *e = r->package->events;

	timer_stop(e->p.timers, &w->pace);
	DL_DELETE(r->watchers, w);
	r->n--;
	DL_DELETE2(u->watchers, w, user_prev, user_next);
	u->n--;
	e->n--;
	free(w);
	user_put(e, u);
	resource_put(r);
}

/* ---- the subscription's events ---- */

static void set_expiry(struct event_watcher *w, uint32_t expires_s)
{
	w->is_ending = w->is_ending || expires_s == 0;
	w->expires_at_ms = clock_wall_ms(w->of->package->events->p.clock) + (int64_t)expires_s * 1000;
	w->is_owed = w->is_urgent = true;
	event_watcher_pump(w);
}

static void on_refresh(struct subscription *sub, uint32_t expires_s, void *arg)
{
	(void)sub;
	set_expiry(arg, expires_s);
}

static void on_notified(struct subscription *sub, void *arg)
{
	(void)sub;
	event_watcher_pump(arg);
}

/* Who refreshes from elsewhere proves that he is the one who subscribed. */
static bool on_authorize(struct subscription *sub, struct strans *st, const struct sip_msg *m, void *arg)
{
	struct event_watcher *w = arg;
	struct auth_identity who;

	(void)sub;
	if (auth_check(w->of->package->events->p.auth, st, m, &who) != AUTH_OK)
		return false;
	if (!strcmp(who.domain, w->of->domain) && !strcmp(who.number, w->number))
		return true;
	strans_reply_simple(st, 403, NULL);
	return false;
}

static void on_closed(struct subscription *sub, void *arg)
{
	struct event_watcher *w = arg;
	struct events *e = w->of->package->events;

	(void)sub;
	log_debug(e->p.log, "%s of %s no longer watched by %s", w->of->package->name, w->of->key, w->number);
	event_forget(w);
	event_watcher_free(w);
}

const struct subscription_handler event_subscription_handler = {
	.on_refresh = on_refresh, .on_notified = on_notified, .on_authorize = on_authorize, .on_closed = on_closed,
};

/* ---- SUBSCRIBE ---- */

static void refuse(struct strans *st, int status, const char *reason, const char *hdrs)
{
	struct sip_reply r = { .status = status, .reason = reason, .hdrs = str_from(hdrs) };

	strans_reply(st, &r);
}

struct event_package *events_package(const struct events *e, struct str name)
{
	struct event_package *p = e->packages;

	while (p && !str_eqz(name, p->name))
		p = p->next;
	return p;
}

static void refuse_event(const struct events *e, struct strans *st)
{
	char hdrs[256];
	struct out o;

	out_init(&o, hdrs, sizeof(hdrs) - 1);
	for (const struct event_package *p = e->packages; p; p = p->next)
		out_fmt(&o, "%s%s", o.len ? ", " : "Allow-Events: ", p->name);
	out_z(&o, "\r\n");
	hdrs[o.len] = '\0';
	refuse(st, 489, NULL, hdrs);
}

/* 0: granted; else the request has been answered. */
static int grant_expires(const struct events *e, struct strans *st, const struct sip_msg *msg, uint32_t *expires_s)
{
	int64_t wanted_s = sip_msg_expires(msg, e->p.max_expires_s);
	char min_expires[48];

	if (wanted_s < 0) {
		refuse(st, 400, "Malformed Expires", NULL);
		return -EINVAL;
	}
	if (wanted_s > 0 && wanted_s < e->p.min_expires_s) {
		snprintf(min_expires, sizeof(min_expires), "Min-Expires: %u\r\n", e->p.min_expires_s);
		refuse(st, 423, NULL, min_expires);
		return -ERANGE;
	}
	*expires_s = wanted_s > e->p.max_expires_s ? e->p.max_expires_s : (uint32_t)wanted_s;
	return 0;
}

int event_phone_find(const struct events *e, const char *domain, const struct sip_uri *uri, struct registrar_gruu *out)
{
	int err = registrar_gruu_find(e->p.registrar, domain, uri, out);

	return !err && strcmp(out->domain, domain) != 0 ? -ESTALE : err;
}

/* What a request watches: *phone 0 for all of the number. -ENOENT, -EAGAIN. */
static int number_of(struct event_package *p, const struct sip_msg *m, const struct auth_identity *who, char *buf, size_t size,
		     uint64_t *phone)
{
	struct registrar_gruu gruu;
	const struct dir_domain *domain;
	enum dir_answer found = directory_domain_of_host(p->events->p.directory, m->ruri.host, &domain);

	/* Of another tenant there is nothing to be seen, not even whether it exists. */
	if (found != DIR_FOUND || strcmp(domain->domain, who->domain) != 0)
		return found == DIR_UNKNOWN ? -EAGAIN : -ENOENT;
	*phone = 0;
	switch (event_phone_find(p->events, who->domain, &m->ruri, &gruu)) {
	case 0:
		*phone = phone_id(gruu.instance);
		return str_copy(str_from(gruu.number), buf, size) ? -ENOENT : 0;
	case -ENOENT:
		break;
	default:
		return -ENOENT;
	}
	if (p->number_of)
		return p->number_of(m, who, buf, size, p->arg);
	return str_empty(m->ruri.user) || sip_unescape(m->ruri.user, buf, size) != 0 ? -ENOENT : 0;
}

/* With the host by which the watcher knows us; a GRUU, from which the next process reads the phone, as it was written. */
static void write_entity(struct event_watcher *w, const struct sip_msg *m)
{
	struct str gr = STR_NULL;
	struct out o;

	out_init(&o, w->entity, sizeof(w->entity) - 1);
	out_z(&o, "sip:");
	if (w->phone) {
		out_fmt(&o, "%.*s@%.*s;gr", STR_ARG(m->ruri.user), STR_ARG(m->ruri.host));
		if (sip_param_find(m->ruri.params, "gr", &gr) && gr.n)
			out_fmt(&o, "=%.*s", STR_ARG(gr));
	} else {
		sip_escape_user(&o, str_from(w->of->number));
		out_chr(&o, '@');
		out_str(&o, m->to.uri.host.n ? m->to.uri.host : str_from(w->of->domain));
	}
	if (!out_ok(&o)) { /* a host name of absurd length */
		out_reset(&o);
		out_fmt(&o, "sip:%s@%s", w->of->number, w->of->domain);
	}
	w->entity[o.len] = '\0';
}

static void watch(struct event_package *p, struct strans *st, const struct sip_msg *m, const struct auth_identity *who,
		  const char *number, uint64_t phone, uint32_t expires_s)
{
	struct events *e = p->events;
	struct event_watcher *w = event_watcher_new(p, who->domain, who->number, number);

	if (!w) {
		refuse(st, 500, NULL, NULL);
		return;
	}
	if (w->of->n > p->max_watchers || w->user->n > e->p.max_per_user) {
		refuse(st, 503, "Too many subscriptions", "Retry-After: 600\r\n");
		event_watcher_free(w);
		return;
	}
	w->phone = phone;
	write_entity(w, m);
	if (subscription_accept(&w->sub, e->p.ua, st, m, expires_s, &event_subscription_handler, w) != 0) {
		refuse(st, 500, NULL, NULL);
		event_watcher_free(w);
		return;
	}
	subscription_limit(w->sub, e->p.min_expires_s, e->p.max_expires_s);
	log_debug(e->p.log, "%s of %s watched by %s for %u s", p->name, w->of->key, w->number, expires_s);
	set_expiry(w, expires_s);
}

static void on_subscribe(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct events *e = arg;
	struct event_package *p;
	struct event_refusal no;
	struct auth_identity who;
	struct str event, params;
	char number[EVENTS_NAME_MAX];
	uint64_t phone;
	uint32_t expires_s;

	sip_token_params(sip_msg_value(m, SIP_HDR_EVENT), &event, &params);
	p = events_package(e, event);
	if (!p) {
		refuse_event(e, st);
		return;
	}
	if (auth_check(e->p.auth, st, m, &who) != AUTH_OK)
		return;
	if (!sip_msg_takes(m, p->ctype)) { /* without Accept the package's own type is meant (RFC 6665 §3.1.3) */
		char accept[128];

		snprintf(accept, sizeof(accept), "Accept: %s\r\n", p->ctype);
		refuse(st, 406, NULL, accept);
		return;
	}
	if (!who.number[0]) {
		refuse(st, 403, "Trunks can't subscribe", NULL);
		return;
	}
	switch (number_of(p, m, &who, number, sizeof(number), &phone)) {
	case 0:
		break;
	case -EAGAIN:
		refuse(st, 503, NULL, "Retry-After: 5\r\n");
		return;
	default:
		refuse(st, 404, NULL, NULL);
		return;
	}
	no = p->admit(who.domain, who.number, number, p->arg);
	if (no.status)
		refuse(st, no.status, no.reason, no.hdrs);
	else if (grant_expires(e, st, m, &expires_s) == 0)
		watch(p, st, m, &who, number, phone, expires_s);
}

/* ---- when the directory changes ---- */

static void admit_again(struct event_watcher *w)
{
	struct event_package *p = w->of->package;
	const struct dir_extension *ext;
	struct event_refusal no;

	if (directory_extension(p->events->p.directory, w->of->domain, str_from(w->number), &ext) == DIR_ABSENT) {
		subscription_close(w->sub, "rejected");
		return;
	}
	no = p->admit(w->of->domain, w->number, w->of->number, p->arg);
	if (no.status && no.status != 503)
		subscription_close(w->sub, no.status == 404 ? "noresource" : "rejected");
}

static void admit_all_again(struct events *e)
{
	struct event_watcher *w;

	for (struct event_user *u = e->users; u; u = u->hh.next)
		DL_FOREACH2(u->watchers, w, user_next)
			admit_again(w);
}

/* A number or what may be seen of it: those who watch it, and what it watches. */
static void admit_number_again(struct events *e, const char *key)
{
	struct event_user *u;
	struct event_resource *r;
	struct event_watcher *w;

	HASH_FIND_STR(e->users, key, u);
	if (u)
		DL_FOREACH2(u->watchers, w, user_next)
			admit_again(w);
	for (struct event_package *p = e->packages; p; p = p->next) {
		HASH_FIND_STR(p->resources, key, r);
		if (r)
			DL_FOREACH(r->watchers, w)
				admit_again(w);
	}
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct events *e = arg;

	if (e->is_stopped)
		return;
	if (!strcmp(table, "*"))
		admit_all_again(e);
	else if (!strcmp(table, "extension") || !strcmp(table, "mailbox") || !strcmp(table, "presence_note"))
		admit_number_again(e, key);
}

/* ---- the notifier ---- */

int events_new(struct events **out, const struct events_params *p)
{
	struct events *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->p = *p;
	str_put(e->node, sizeof(e->node), p->node);
	e->p.node = e->node;
	if (!e->p.min_expires_s)
		e->p.min_expires_s = MIN_EXPIRES_DEFAULT_S;
	if (!e->p.max_expires_s)
		e->p.max_expires_s = MAX_EXPIRES_DEFAULT_S;
	if (!e->p.max_per_user)
		e->p.max_per_user = MAX_PER_USER_DEFAULT;
	e->on_change = (struct directory_watcher){ .on_change = on_change, .arg = e };
	directory_watch(p->directory, &e->on_change);
	sip_ua_handle(p->ua, SIP_SUBSCRIBE, on_subscribe, e);
	*out = e;
	return 0;
}

void events_add(struct events *e, struct event_package *p)
{
	struct event_package **end = &e->packages;

	while (*end)
		end = &(*end)->next;
	*end = p;
	p->next = NULL;
	p->resources = NULL;
	p->events = e;
	sip_ua_allow_event(e->p.ua, p->name);
}

void events_start(struct events *e)
{
	events_load_start(e);
}

void events_stop(struct events *e)
{
	struct event_watcher *w;

	if (e->is_stopped)
		return;
	e->is_stopped = true;
	sip_ua_handle(e->p.ua, SIP_SUBSCRIBE, NULL, NULL);
	events_load_stop(e);
	for (struct event_user *u = e->users; u; u = u->hh.next)
		DL_FOREACH2(u->watchers, w, user_next) {
			timer_stop(e->p.timers, &w->pace);
			if (!e->p.outbox)
				subscription_close(w->sub, "deactivated");
		}
}

void events_free(struct events *e)
{
	if (!e)
		return;
	/* The ua is gone, and those that it didn't tell of with it. */
	while (e->users)
		event_watcher_free(e->users->watchers);
	free(e);
}

unsigned events_count(const struct events *e)
{
	return e->n;
}

bool events_is_loaded(const struct events *e)
{
	return e->is_loaded;
}

/* presentity.c - publications by number, and what is made of them.
 *
 * An entity tag names a publication and changes with each success, so that of two who think they have it only one goes on (RFC 3903
 * §4.1).
 */
#define LOG_MODULE "presence"
#include "presence/presentity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "base/table.h"
#include "presence/pidf.h"
#include "presence/watchable.h"

#define CTYPE "application/pidf+xml"
#define SUBS_MAX 1000
#define GAP_MS 500
#define BURST 4
#define ETAG_LEN 16
#define MIN_EXPIRES_S 60
#define MAX_EXPIRES_S 3600
#define DETAILS_MAX 8192         /* bytes of published tuples: what doesn't fit into a datagram is told to nobody */

struct publication {
	struct publication *prev, *next; /* the newest first */
	struct presentity *of;
	struct timer expiry;
	char etag[ETAG_LEN + 1];
	struct pidf doc;
};

struct presentity {                      /* a number that is watched or published for */
	UT_hash_handle hh;
	struct presentities *all;
	struct publication *publications;
	unsigned n;
	const struct line *line;         /* held while it is watched; NULL: it isn't */
	uint64_t busy;                   /* line_busy_phones(), as told last */
	char domain[64], number[64];
	char key[132];
};

struct presentities {
	struct presentities_params p;
	struct event_package package;
	struct presentity *table;
	struct directory_watcher on_change;
	bool is_stopped;
};

/* ---- the table ---- */

static struct presentity *presentity_find(struct presentities *ps, const char *domain, const char *number)
{
	struct presentity *p = NULL;
	char key[sizeof(p->key)];

	if (str_join(key, sizeof(key), domain, '/', str_from(number)) > 0)
		HASH_FIND_STR(ps->table, key, p);
	return p;
}

static struct presentity *presentity_get(struct presentities *ps, const char *domain, const char *number)
{
	struct presentity *p = presentity_find(ps, domain, number);

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p || str_copy(str_from(domain), p->domain, sizeof(p->domain)) || str_copy(str_from(number), p->number, sizeof(p->number)) ||
	    str_join(p->key, sizeof(p->key), domain, '/', str_from(number)) < 0) {
		free(p);
		return NULL;
	}
	p->all = ps;
	HASH_ADD_STR(ps->table, key, p);
	if (p->hh.tbl)
		return p;
	free(p);
	return NULL;
}

static void presentity_put(struct presentity *p)
{
	if (p->line || p->publications)
		return;
	HASH_DEL(p->all->table, p);
	free(p);
}

static void changed(struct presentity *p)
{
	events_changed(&p->all->package, p->domain, p->number);
}

/* ---- what is told ---- */

static bool is_one_open(const struct presentity *p)
{
	for (const struct publication *pub = p->publications; pub; pub = pub->next)
		for (unsigned i = 0; i < pub->doc.ntuples; i++)
			if (pub->doc.tuples[i].basic == PIDF_OPEN)
				return true;
	return false;
}

static bool is_registered(const struct presentity *p, uint64_t phone)
{
	struct registrar_reach at = registrar_reach(p->all->p.registrar, p->domain, str_from(p->number));

	while (at.b && phone && phone_id(at.b->instance) != phone)
		registrar_next(&at);
	return at.b != NULL;
}

/* What is published is of the extension: which of its phones did isn't said. */
static enum pidf_basic overall(const struct presentity *p, const struct dir_note *note, uint64_t phone)
{
	if (note && note->status)
		return !strcmp(note->status, "open") ? PIDF_OPEN : PIDF_CLOSED;
	if (p->publications && !phone)
		return is_one_open(p) ? PIDF_OPEN : PIDF_CLOSED;
	return is_registered(p, phone) ? PIDF_OPEN : PIDF_CLOSED;
}

static const char *activity_of(const struct presentity *p, const struct dir_note *note, uint64_t phone)
{
	if (note && note->activity)
		return note->activity;
	if (p->line && line_is_busy(p->line, phone))
		return "on-the-phone";
	for (const struct publication *pub = p->publications; pub; pub = pub->next)
		if (pub->doc.activity[0])
			return pub->doc.activity;
	return "";
}

static const char *note_of(const struct presentity *p, const struct dir_note *note)
{
	if (note && note->note)
		return note->note;
	for (const struct publication *pub = p->publications; pub; pub = pub->next) {
		if (pub->doc.note[0])
			return pub->doc.note;
		if (pub->doc.ntuples && pub->doc.tuples[0].note[0])
			return pub->doc.tuples[0].note;
	}
	return "";
}

/* First one tuple that says it all, for phones that look no further; then those that were published, as many as there is room for. */
static int write_presence(const struct event_view *v, struct out *o, void *arg)
{
	struct presentities *ps = arg;
	const struct presentity *p = v->state;
	const struct dir_note *note = NULL;
	struct pidf_tuple all = { 0 };

	if (directory_note(ps->p.directory, v->domain, str_from(v->number), &note) != DIR_FOUND)
		note = NULL;
	all.basic = overall(p, note, v->phone);
	str_put(all.note, sizeof(all.note), note_of(p, note));
	pidf_begin(o, v->entity);
	pidf_tuple(o, "all", &all, all.basic == PIDF_OPEN ? v->entity : NULL);
	for (const struct publication *pub = v->phone ? NULL : p->publications; pub; pub = pub->next)
		for (unsigned i = 0; i < pub->doc.ntuples && o->len < DETAILS_MAX; i++) {
			char id[ETAG_LEN + 16];

			snprintf(id, sizeof(id), "p%s-%u", pub->etag, i);
			pidf_tuple(o, id, &pub->doc.tuples[i], NULL);
		}
	pidf_person(o, activity_of(p, note, v->phone), all.note);
	pidf_end(o);
	return 0;
}

/* ---- what changes it ---- */

static void on_registered(const char *domain, const char *number, void *arg)
{
	struct presentities *ps = arg;

	if (!ps->is_stopped)
		events_changed(&ps->package, domain, number);
}

static void on_line(const struct line *line, void *arg)
{
	struct presentities *ps = arg;
	struct presentity *p = presentity_find(ps, line->domain, line->number);

	uint64_t before;

	if (!p || !p->line)
		return;
	before = p->busy;
	p->busy = line_busy_phones(line);
	if (!before != !p->busy)
		changed(p);
	else if (before != p->busy)
		events_phones_changed(&ps->package, p->domain, p->number);
}

static void on_change(const char *table, const char *key, void *arg)
{
	struct presentities *ps = arg;

	if (!ps->is_stopped)
		watchable_note_changed(&ps->package, table, key);
}

/* ---- the package ---- */

static void *on_watched(const char *domain, const char *number, void *arg)
{
	struct presentities *ps = arg;
	struct presentity *p = presentity_get(ps, domain, number);

	if (!p)
		return NULL;
	p->line = line_get(ps->p.lines, domain, number);
	if (!p->line) {
		presentity_put(p);
		return NULL;
	}
	p->busy = line_busy_phones(p->line);
	return p;
}

static void on_unwatched(void *state, void *arg)
{
	struct presentities *ps = arg;
	struct presentity *p = state;

	line_put(ps->p.lines, p->line);
	p->line = NULL;
	presentity_put(p);
}

static struct event_refusal admit(const char *domain, const char *watcher, const char *number, void *arg)
{
	const struct presentities *ps = arg;

	return watchable_admit(ps->p.directory, domain, watcher, number);
}

/* ---- PUBLISH ---- */

static void refuse(struct strans *st, int status, const char *reason, const char *hdrs)
{
	strans_reply(st, &(struct sip_reply){ .status = status, .reason = reason, .hdrs = str_from(hdrs) });
}

static void publication_free(struct publication *pub)
{
	struct presentity *p = pub->of;

	timer_stop(p->all->p.timers, &pub->expiry);
	DL_DELETE(p->publications, pub);
	p->n--;
	free(pub);
}

static void remove_publication(struct publication *pub)
{
	struct presentity *p = pub->of;

	publication_free(pub);
	changed(p);
	presentity_put(p);
}

static void on_expired(void *arg)
{
	remove_publication(arg);
}

static struct publication *publication_find(const struct presentity *p, struct str etag)
{
	struct publication *pub = p ? p->publications : NULL;

	while (pub && !str_eqz(etag, pub->etag))
		pub = pub->next;
	return pub;
}

/* 0, or the request has been refused. doc is untouched without a body. */
static int read_body(struct strans *st, const struct sip_msg *m, struct pidf *doc)
{
	struct str encoding = sip_msg_value(m, SIP_HDR_CONTENT_ENCODING);
	struct sip_part part;

	if (!m->body.n)
		return 0;
	if (!sip_msg_part_find(m, CTYPE, &part) || part.transfer != SIP_AS_IS || (encoding.n && !str_ieqz(encoding, "identity"))) {
		refuse(st, 415, NULL, "Accept: " CTYPE "\r\nAccept-Encoding: identity\r\n");
		return -EINVAL;
	}
	switch (pidf_parse(doc, part.content)) {
	case 0:
		return 0;
	case -EMSGSIZE:
		refuse(st, 413, NULL, NULL);
		break;
	case -ENOMEM:
		refuse(st, 500, NULL, NULL);
		break;
	default:
		refuse(st, 400, "Malformed presence document", NULL);
		break;
	}
	return -EINVAL;
}

static void reply_ok(struct strans *st, const char *etag, uint32_t expires_s)
{
	char hdrs[96];

	snprintf(hdrs, sizeof(hdrs), "SIP-ETag: %s\r\nExpires: %u\r\n", etag, expires_s);
	strans_reply_simple(st, 200, hdrs);
}

/* RFC 3903 §6, step 4 */
static bool has_one_tag(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str tag;

	return !sip_msg_element_next(m, SIP_HDR_SIP_IF_MATCH, &it, &tag) || !sip_msg_element_next(m, SIP_HDR_SIP_IF_MATCH, &it, &tag);
}

/* RFC 3903 §6, step 5 and on: the publication that is meant, or a new one. NULL: the request has been answered. */
static struct publication *publication_of(struct presentities *ps, struct strans *st, const struct sip_msg *m, const struct auth_identity *who)
{
	struct presentity *p = presentity_find(ps, who->domain, who->number);
	struct publication *pub;

	if (sip_msg_has(m, SIP_HDR_SIP_IF_MATCH)) {
		if (!has_one_tag(m)) {
			refuse(st, 400, "More than one entity tag", NULL);
			return NULL;
		}
		pub = publication_find(p, sip_msg_value(m, SIP_HDR_SIP_IF_MATCH));
		if (!pub)
			refuse(st, 412, NULL, NULL);
		return pub;
	}
	if (!m->body.n) {
		refuse(st, 400, "Nothing to publish", NULL);
		return NULL;
	}
	if (p && p->n >= PUBLICATIONS_MAX) {
		refuse(st, 503, "Too many publications", "Retry-After: 60\r\n");
		return NULL;
	}
	p = presentity_get(ps, who->domain, who->number);
	pub = p ? calloc(1, sizeof(*pub)) : NULL;
	if (!pub) {
		if (p)
			presentity_put(p);
		refuse(st, 500, NULL, NULL);
		return NULL;
	}
	pub->of = p;
	timer_init(&pub->expiry, on_expired, pub);
	DL_PREPEND(p->publications, pub);
	p->n++;
	return pub;
}

static void publish(struct presentities *ps, struct strans *st, const struct sip_msg *m, const struct auth_identity *who, uint32_t expires_s)
{
	struct publication *pub;
	char etag[ETAG_LEN + 1];
	struct pidf doc;

	if (read_body(st, m, &doc) != 0)
		return;
	pub = publication_of(ps, st, m, who);
	if (!pub)
		return;
	rng_token(ps->p.rng, etag, ETAG_LEN);
	reply_ok(st, etag, expires_s);
	log_debug(ps->p.log, "published number=%s/%s expires=%u", who->domain, who->number, expires_s);
	if (expires_s == 0) {
		remove_publication(pub);
		return;
	}
	strcpy(pub->etag, etag);
	timer_start(ps->p.timers, &pub->expiry, (uint64_t)expires_s * 1000);
	if (m->body.n) {
		pub->doc = doc;
		DL_DELETE(pub->of->publications, pub);
		DL_PREPEND(pub->of->publications, pub);
		changed(pub->of);
	}
}

/* Oneself: by number, or by the name it says it is, which auth_check has compared. */
static bool is_own(const struct presentities *ps, const struct sip_msg *m, const struct auth_identity *who)
{
	const struct dir_domain *domain;
	char user[64], from[64];

	return who->number[0] && directory_domain_of_host(ps->p.directory, m->ruri.host, &domain) == DIR_FOUND &&
	       !strcmp(domain->domain, who->domain) && sip_unescape(m->ruri.user, user, sizeof(user)) == 0 &&
	       sip_unescape(m->from.uri.user, from, sizeof(from)) == 0 && (!strcmp(user, who->number) || !strcmp(user, from));
}

static void on_publish(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct presentities *ps = arg;
	int64_t wanted_s = sip_msg_expires(m, MAX_EXPIRES_S);
	struct auth_identity who;
	struct str event, params;
	char min_expires[48];

	sip_token_params(sip_msg_value(m, SIP_HDR_EVENT), &event, &params);
	if (!str_eqz(event, ps->package.name)) {
		refuse(st, 489, NULL, "Allow-Events: presence\r\n");
		return;
	}
	if (auth_check(ps->p.auth, st, m, &who) != AUTH_OK)
		return;
	if (!is_own(ps, m, &who)) {
		refuse(st, 403, "Not your presence", NULL);
	} else if (wanted_s < 0) {
		refuse(st, 400, "Malformed Expires", NULL);
	} else if (wanted_s > 0 && wanted_s < MIN_EXPIRES_S) {
		snprintf(min_expires, sizeof(min_expires), "Min-Expires: %u\r\n", MIN_EXPIRES_S);
		refuse(st, 423, NULL, min_expires);
	} else {
		publish(ps, st, m, &who, wanted_s > MAX_EXPIRES_S ? MAX_EXPIRES_S : (uint32_t)wanted_s);
	}
}

/* ---- all of them ---- */

int presentities_new(struct presentities **out, const struct presentities_params *p)
{
	struct presentities *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	ps->p = *p;
	ps->package = (struct event_package){
		.name = "presence", .ctype = CTYPE, .max_watchers = SUBS_MAX, .gap_ms = GAP_MS, .burst = BURST, .arg = ps, .admit = admit,
		.on_watched = on_watched, .on_unwatched = on_unwatched, .write = write_presence,
	};
	ps->on_change = (struct directory_watcher){ .on_change = on_change, .arg = ps };
	directory_watch(p->directory, &ps->on_change);
	registrar_watch(p->registrar, on_registered, ps);
	lines_watch(p->lines, on_line, ps);
	events_add(p->events, &ps->package);
	sip_ua_handle(p->ua, SIP_PUBLISH, on_publish, ps);
	*out = ps;
	return 0;
}

void presentities_stop(struct presentities *ps)
{
	if (ps->is_stopped)
		return;
	ps->is_stopped = true;
	sip_ua_handle(ps->p.ua, SIP_PUBLISH, NULL, NULL);
	for (struct presentity *p = ps->table; p; p = p->hh.next)
		for (struct publication *pub = p->publications; pub; pub = pub->next)
			timer_stop(ps->p.timers, &pub->expiry);
}

void presentities_free(struct presentities *ps)
{
	struct presentity *p, *next;

	if (!ps)
		return;
	HASH_ITER(hh, ps->table, p, next) {
		while (p->publications)
			publication_free(p->publications);
		presentity_put(p);
	}
	free(ps);
}

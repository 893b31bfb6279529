/* outgoing.c - registrations at trunks: one small machine each.
 *
 *   TRYING --2xx--> REGISTERED --renewal--> TRYING'     the state is kept while it is renewed: calls come in meanwhile
 *      |                |  connection lost, expired, refused
 *      +--failed-----> FAILED --pause--> TRYING
 *   any --row gone, other address, stop--> ENDING --answer--> freed
 *
 * The requests themselves are client.c's.
 */
#define LOG_MODULE "trunk"
#include "registrar/outgoing.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "registrar/keepalive.h"
#include "registrar/live.h"
#include "registrar/outgoing_int.h"

#define BACKOFF_BASE_MS 30000u     /* RFC 5626 §4.5: base-time when all flows have failed */
#define BACKOFF_MAX_MS 1800000u    /* and max-time */
#define FLOW_STABLE_MS 120000      /* one that held for so long has not failed in a row with others (§4.5) */
#define FLOW_TIMER_DEFAULT_S 120   /* of connections, where the registrar speaks outbound and says nothing (§4.4.1) */
#define FLOW_TIMER_UDP_S 29        /* §4.4.2 */
#define FLOW_TIMER_LEAST_S 15
#define EVERY_MAX_S 86400          /* what others grant or ask for isn't planned further ahead */
#define RETRY_AFTER_MAX_S 3600     /* who asks for longer is asked again all the same: nobody would think of it in a week */
#define STOP_MS 2000               /* a peer that doesn't answer by then finds out by itself */
#define ROUTE_MAX 2048
#define EXPIRES_LEAST_S 10         /* a registrar that grants less isn't followed in it */

enum reg_state { REG_TRYING, REG_REGISTERED, REG_FAILED, REG_ENDING };

struct reg {
	struct reg *prev, *next;
	struct outgoing *of;
	char domain[64], name[64];
	struct reg_names names;
	struct reg_settings s;
	enum reg_state state;
	struct client client;
	struct timer timer;        /* renewal, or the next try */
	struct timer expiry;       /* of what is registered */
	struct keepalive keep;
	bool is_flow;              /* asked for as a flow: what is set, and what the registrar makes of it */
	bool has_asked_otherwise;
	unsigned losses;           /* of flows, in a row */
	int64_t up_since_ms;       /* wall clock: since when the flow holds; 0: it doesn't */
	char contact[REG_URI_MAX];     /* as sent last */
	char service_route[ROUTE_MAX]; /* "" for none */
	uint32_t asked_s;          /* Expires of the next request: what is set, or more if the registrar wants so */
	unsigned failures;
	bool is_seen;              /* by the walk through the rows */
	bool is_changed;           /* since it was written */
	int status;
	char reason[64];
	uint32_t rtt_us;
	int64_t until_ms, next_ms; /* wall clock; 0: none */
};

struct outgoing {
	struct outgoing_params p;
	char *node;
	struct reg *regs, *ending;
	struct directory_watcher watcher;
	struct live live;
	struct timer stop_timer;
	uint64_t forget_query;     /* 0: none under way */
	void (*done)(void *arg);
	void *done_arg;
};

static void try(struct reg *r);

/* ---- how it stands ---- */

static void set_state(struct reg *r, enum reg_state state)
{
	static const char *const names[] = { "trying", "registered", "failed", "ending" };

	if (r->state != state)
		log_debug(r->of->p.env.log, "trunk=%s/%s %s", r->domain, r->name, names[state]);
	r->state = state;
	r->is_changed = true;
	live_touch(&r->of->live);
}

static void add_time(json_t *doc, const char *name, int64_t ms)
{
	json_object_set_new(doc, name, ms ? json_integer(ms) : json_null());
}

static json_t *describe(const struct reg *r)
{
	static const char *const names[] = { "trying", "registered", "failed", "off" };
	const struct sip_dest *dest = client_dest(&r->client);
	char addr[SOCKADDR_TEXT_MAX];
	json_t *doc = json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:i}", "domain", r->domain, "name", r->name, "node", r->of->node,
				"registration", names[r->state], "status", r->status, "reason", r->reason,
				"register_rtt_us", (json_int_t)r->rtt_us, "failures", (int)r->failures);

	if (!doc)
		return NULL;
	if (r->contact[0])
		json_object_set_new(doc, "contact", json_string(r->contact));
	if (dest)
		json_object_set_new(doc, "registrar", json_string(sockaddr_print(&dest->addr, addr)));
	add_time(doc, "registered_until_ms", r->until_ms);
	add_time(doc, "next_try_ms", r->next_ms);
	return doc;
}

static bool collect(json_t *docs, unsigned max, void *arg)
{
	struct outgoing *o = arg;
	struct reg *r;
	unsigned n = 0;

	DL_FOREACH(o->regs, r) {
		json_t *doc;

		if (!r->is_changed)
			continue;
		if (n++ == max)
			return true;
		doc = describe(r);
		if (doc)
			json_array_append_new(docs, doc);
		r->is_changed = false;
	}
	return false;
}

static void lost(void *arg)
{
	struct outgoing *o = arg;
	struct reg *r;

	DL_FOREACH(o->regs, r)
		r->is_changed = true;
	o->live.is_touched = true;
}

static const struct live_handler live_handler = { .collect = collect, .lost = lost };

/* ---- life ---- */

static void reg_free(struct reg *r)
{
	client_fini(&r->client);
	keepalive_stop(&r->keep);
	timer_stop(r->of->p.env.timers, &r->timer);
	timer_stop(r->of->p.env.timers, &r->expiry);
	OPENSSL_cleanse(r->s.auth_password, sizeof(r->s.auth_password));
	free(r);
}

static void check_stopped(struct outgoing *o)
{
	void (*done)(void *arg) = o->done;

	if (!done || o->ending || o->forget_query)
		return;
	timer_stop(o->p.env.timers, &o->stop_timer);
	o->done = NULL;
	done(o->done_arg);
}

static void reg_gone(struct reg *r)
{
	struct outgoing *o = r->of;

	DL_DELETE(o->ending, r);
	reg_free(r);
	check_stopped(o);
}

/* Takes it back, if there is something, and forgets it. */
static void reg_end(struct reg *r)
{
	struct outgoing *o = r->of;
	bool was_registered = r->until_ms != 0;
	char domain[64], name[64];

	str_put(domain, sizeof(domain), r->domain);
	str_put(name, sizeof(name), r->name);
	DL_DELETE(o->regs, r);
	DL_APPEND(o->ending, r);
	timer_stop(o->p.env.timers, &r->timer);
	timer_stop(o->p.env.timers, &r->expiry);
	if (client_dest(&r->client))
		keepalive_start(&r->keep, client_dest(&r->client), r->client.flow, 0, false);
	client_fini(&r->client); /* what is under way; the client may send again */
	set_state(r, REG_ENDING);
	log_info(o->p.env.log, "trunk=%s/%s registration ends", domain, name);
	if (was_registered)
		try(r);
	else
		reg_gone(r);
}

/* ---- timing ---- */

uint32_t outgoing_backoff_ms(struct rng *rng, unsigned failures)
{
	uint32_t most = failures < 7 ? BACKOFF_BASE_MS << failures : BACKOFF_MAX_MS;

	if (most > BACKOFF_MAX_MS)
		most = BACKOFF_MAX_MS;
	return most / 2 + rng_below(rng, most / 2 + 1);
}

static void wake_in(struct reg *r, uint64_t ms)
{
	timer_start(r->of->p.env.timers, &r->timer, ms);
	r->next_ms = clock_wall_ms(r->of->p.env.clock) + (int64_t)ms;
}

/* Well before the end, not all at once: between 80 and 95 %, and always before the last half minute if that leaves half. */
static uint64_t renewal_ms(struct rng *rng, uint32_t expires_s)
{
	uint64_t all = (uint64_t)expires_s * 1000, at = all / 100 * (80 + rng_below(rng, 16));

	if (expires_s >= 60 && at > all - 30000)
		at = all - 30000;
	return at;
}

static void fail(struct reg *r, uint32_t retry_after_s)
{
	/* "when the UA boots it immediately tries to register. If this fails ... the first retry happens somewhere between 30 and 60 seconds" */
	uint64_t wait_ms = outgoing_backoff_ms(r->of->p.env.rng, r->failures + 1);

	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	if (wait_ms < (uint64_t)retry_after_s * 1000)
		wait_ms = (uint64_t)retry_after_s * 1000;
	/* What is registered holds until it expires, and is tried for as long. */
	if (r->until_ms && r->failures == 0)
		wait_ms /= 2;
	r->failures++;
	r->up_since_ms = 0;
	wake_in(r, wait_ms);
	set_state(r, REG_FAILED);
	log_warn(r->of->p.env.log, "trunk=%s/%s registration failed status=%d %s registrar=%s again_in_s=%llu", r->domain, r->name,
		 r->status, r->reason, r->s.registrar, (unsigned long long)wait_ms / 1000);
}

/* A new flow is made: soon where the registration alone was a connection's, since calls come in no more; after the wait of RFC 5626 §4.5 where
 * it is a flow by name, or flows don't hold. */
static void flow_lost(struct reg *r)
{
	struct rng *rng = r->of->p.env.rng;

	if (r->up_since_ms && clock_wall_ms(r->of->p.env.clock) - r->up_since_ms >= FLOW_STABLE_MS)
		r->losses = 0;
	r->up_since_ms = 0;
	keepalive_stop(&r->keep);
	/* Not all phones and trunks of a restarted proxy in the same moment. */
	wake_in(r, r->is_flow || r->losses ? outgoing_backoff_ms(rng, r->losses) : 100 + rng_below(rng, 2000));
	r->losses++;
	r->is_changed = true;
	live_touch(&r->of->live);
}

static void on_keepalive_failed(void *arg)
{
	struct reg *r = arg;

	if (r->state == REG_REGISTERED)
		flow_lost(r);
}

static void on_timer(void *arg)
{
	try(arg);
}

static void on_expired(void *arg)
{
	struct reg *r = arg;

	log_warn(r->of->p.env.log, "trunk=%s/%s registration expired", r->domain, r->name);
	r->until_ms = 0;
	r->service_route[0] = '\0';
	set_state(r, r->state == REG_REGISTERED ? REG_TRYING : r->state);
}

/* ---- answers ---- */

/* What was granted: the parameter of our contact, else Expires, else what we asked for (RFC 3261 §10.2.4). 0: we aren't in it. */
static uint32_t granted_s(const struct reg *r, const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct sip_uri ours;
	struct sip_addr a;
	struct str element, value;
	int64_t header = sip_msg_expires(m, r->asked_s);
	uint32_t s, of_line = 0;

	if (sip_uri_parse(&ours, str_from(r->contact)) != 0)
		return 0;
	while (sip_msg_element_next(m, SIP_HDR_CONTACT, &it, &element)) {
		bool is_ours;

		if (sip_addr_parse(&a, element) != 0)
			continue;
		/* Some change the address on the way back, behind NAT; the parameter says that it is ours. */
		is_ours = sip_param_find(a.uri.params, "line", &value) && str_eqz(value, r->names.line);
		if (!is_ours && !sip_uri_eq(&a.uri, &ours))
			continue;
		s = header > 0 && header < UINT32_MAX ? (uint32_t)header : r->asked_s;
		if (sip_param_find(a.params, "expires", &value) && str_to_u32(value, UINT32_MAX, &s) != 0)
			s = r->asked_s;
		if (sip_uri_eq(&a.uri, &ours))
			return s;
		of_line = s > of_line ? s : of_line;
	}
	if (of_line)
		return of_line;
	/* One that lists nothing has registered it all the same. */
	return sip_msg_has(m, SIP_HDR_CONTACT) ? 0 : header > 0 && header < UINT32_MAX ? (uint32_t)header : r->asked_s;
}

/* RFC 3608 §5: in the order given; a new answer replaces the former one. */
static void take_service_route(struct reg *r, const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str element;
	struct sip_addr a;
	struct out o;

	out_init(&o, r->service_route, sizeof(r->service_route) - 1);
	while (sip_msg_element_next(m, SIP_HDR_SERVICE_ROUTE, &it, &element)) {
		if (sip_addr_parse(&a, element) != 0 || (a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS))
			continue;
		out_z(&o, o.len ? "," : "");
		out_str(&o, element);
	}
	r->service_route[out_ok(&o) ? o.len : 0] = '\0';
}

static uint32_t seconds_of_text(struct str value)
{
	uint32_t s = 0;
	size_t n = 0;

	/* Retry-After: 18000 (I'm in a meeting);duration=3600 */
	while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
		n++;
	return str_to_u32((struct str){ value.p, n }, UINT32_MAX, &s) == 0 ? s : n ? UINT32_MAX : 0;
}

/* How often the registrar wants to see that we are there. */
static void keep_alive(struct reg *r, const struct sip_msg *m)
{
	const struct sip_dest *dest = client_dest(&r->client);
	uint32_t told_s = seconds_of_text(sip_msg_value_by_name(m, "Flow-Timer"));
	bool is_promised = r->is_flow && sip_msg_has_token(m, SIP_HDR_REQUIRE, "outbound");
	uint32_t s = r->s.keepalive_s;

	if (!s && told_s)
		s = told_s < FLOW_TIMER_LEAST_S ? FLOW_TIMER_LEAST_S : told_s > EVERY_MAX_S ? EVERY_MAX_S : told_s;
	if (!s && is_promised)
		s = dest->proto == SIP_UDP ? FLOW_TIMER_UDP_S : FLOW_TIMER_DEFAULT_S;
	keepalive_start(&r->keep, dest, r->client.flow, s, told_s || is_promised);
}

static void registered(struct reg *r, const struct sip_msg *m)
{
	struct outgoing *o = r->of;
	uint32_t s = granted_s(r, m);
	bool is_news = r->state != REG_REGISTERED;

	if (!s) {
		r->status = m->status;
		str_put(r->reason, sizeof(r->reason), "our contact isn't in the answer");
		r->until_ms = 0;
		fail(r, 0);
		return;
	}
	if (s < EXPIRES_LEAST_S)
		s = EXPIRES_LEAST_S;
	if (s > EVERY_MAX_S)
		s = EVERY_MAX_S;
	take_service_route(r, m);
	r->failures = 0;
	r->until_ms = clock_wall_ms(o->p.env.clock) + (int64_t)s * 1000;
	timer_start(o->p.env.timers, &r->expiry, (uint64_t)s * 1000);
	if (!r->up_since_ms)
		r->up_since_ms = clock_wall_ms(o->p.env.clock);
	keep_alive(r, m);
	wake_in(r, renewal_ms(o->p.env.rng, s));
	set_state(r, REG_REGISTERED);
	if (is_news)
		log_info(o->p.env.log, "trunk=%s/%s registered registrar=%s contact=%s expires_s=%u", r->domain, r->name, r->s.registrar,
			 r->contact, s);
}

static uint32_t seconds_of(const struct sip_msg *m, enum sip_hdr_id id)
{
	return seconds_of_text(sip_msg_value(m, id));
}

/* RFC 3261 §10.2.8: asked for too short a time. True: asked again. */
static bool ask_for_longer(struct reg *r, const struct sip_msg *m)
{
	uint32_t least = seconds_of(m, SIP_HDR_MIN_EXPIRES);

	if (least <= r->asked_s)
		return false;
	r->asked_s = least;
	try(r);
	return true;
}

/* RFC 5626 §6, §11: the registrar can't keep flows, or wants one. True: asked again. */
static bool ask_otherwise(struct reg *r, int status, const struct sip_msg *m)
{
	bool is_flow = r->is_flow;

	if (status == 439)
		is_flow = false;
	if (status == 421 && sip_msg_has_token(m, SIP_HDR_REQUIRE, "outbound"))
		is_flow = true;
	if (is_flow == r->is_flow || r->has_asked_otherwise)
		return false;
	r->is_flow = is_flow;
	r->has_asked_otherwise = true; /* one that wants it both ways gets neither */
	try(r);
	return true;
}

static bool ask_again(struct reg *r, int status, const struct sip_msg *m)
{
	return status == 423 ? ask_for_longer(r, m) : ask_otherwise(r, status, m);
}

static void on_done(struct client *c, int status, const struct sip_msg *m, uint32_t rtt_us, void *arg)
{
	struct reg *r = arg;

	(void)c;
	if (r->state == REG_ENDING) {
		reg_gone(r);
		return;
	}
	r->status = status;
	r->rtt_us = m ? rtt_us : 0;
	if (m && m->reason.n < sizeof(r->reason))
		str_copy(m->reason, r->reason, sizeof(r->reason));
	else
		str_put(r->reason, sizeof(r->reason), m ? sip_reason(status) : "no answer");
	/* A text for people, that goes into JSON. */
	for (char *p = r->reason; *p; p++)
		*p = *p < ' ' || *p > '~' ? '?' : *p;
	if (m && status / 100 == 2) {
		registered(r, m);
		return;
	}
	if (m && ask_again(r, status, m))
		return;
	if (status == 430) /* behind a proxy that has lost our flow: the next try by another one */
		sip_ua_flow_close(r->of->p.env.ua, r->client.flow);
	fail(r, m ? seconds_of(m, SIP_HDR_RETRY_AFTER) : 0);
}

static const struct client_handler client_handler = { .on_done = on_done };

/* ---- requests ---- */

static void write_contact(struct reg *r, const struct sip_dest *dest, const union sockaddr_any *local)
{
	static const char *const transports[] = { [SIP_TCP] = ";transport=tcp", [SIP_TLS] = ";transport=tls", [SIP_WS] = ";transport=ws",
						  [SIP_WSS] = ";transport=wss" };
	char host[SOCKADDR_TEXT_MAX];
	struct out o;

	out_init(&o, r->contact, sizeof(r->contact) - 1);
	out_z(&o, r->s.is_secure ? "sips:" : "sip:");
	if (!r->s.is_bulk) { /* RFC 6140 §5.1: there the registrar puts each number */
		sip_escape_user(&o, str_from(r->s.contact_user));
		out_chr(&o, '@');
	}
	out_z(&o, sockaddr_print(local, host));
	if (dest->proto != SIP_UDP && !(r->s.is_secure && dest->proto == SIP_TLS))
		out_z(&o, transports[dest->proto]);
	out_z(&o, r->s.is_bulk ? ";bnc;line=" : ";line=");
	out_z(&o, r->names.line);
	r->contact[out_ok(&o) ? o.len : 0] = '\0';
}

static void write_hdrs(struct out *o, const struct sip_dest *dest, const union sockaddr_any *local, void *arg)
{
	struct reg *r = arg;

	/* What is taken back is what was registered. */
	if (r->state != REG_ENDING || !r->contact[0])
		write_contact(r, dest, local);
	out_z(o, "Contact: <");
	out_z(o, r->contact);
	out_z(o, ">;+sip.instance=\"");
	out_z(o, r->names.instance);
	out_z(o, r->is_flow ? "\";reg-id=1\r\nExpires: " : "\"\r\nExpires: ");
	out_u64(o, r->state == REG_ENDING ? 0 : r->asked_s);
	out_z(o, r->is_flow ? "\r\nSupported: path, outbound\r\n" : "\r\nSupported: path\r\n");
	if (r->s.is_bulk)
		out_z(o, "Require: gin\r\nProxy-Require: gin\r\n");
	out_z(o, sip_ua_allow(r->of->p.env.ua));
}

static void try(struct reg *r)
{
	const struct client_request req = {
		.method = SIP_REGISTER, .uri = r->s.registrar, .from = r->s.aor, .to = r->s.aor,
		.route = r->s.route[0] ? r->s.route : NULL,
		.auth_user = r->s.has_auth ? r->s.auth_user : NULL, .auth_password = r->s.auth_password,
		.write_hdrs = write_hdrs,
		.is_steady = r->state == REG_ENDING,
	};
	int err;

	if (client_is_busy(&r->client))
		return;
	r->next_ms = 0;
	err = client_send(&r->client, &req);
	if (!err)
		return;
	if (r->state == REG_ENDING) {
		reg_gone(r);
		return;
	}
	r->status = 0;
	str_put(r->reason, sizeof(r->reason), uv_strerror(err));
	fail(r, 0);
}

/* ---- rows ---- */

static struct reg *find(struct reg *list, const char *domain, const char *name)
{
	struct reg *r;

	DL_FOREACH(list, r)
		if (!strcmp(r->domain, domain) && !strcmp(r->name, name))
			return r;
	return NULL;
}

static void begin(struct outgoing *o, const struct dir_trunk *t, const struct reg_settings *s)
{
	struct reg *r = calloc(1, sizeof(*r));

	if (!r) {
		log_error(o->p.env.log, "no memory to register trunk=%s/%s", t->domain, t->name);
		return;
	}
	r->of = o;
	str_put(r->domain, sizeof(r->domain), t->domain);
	str_put(r->name, sizeof(r->name), t->name);
	r->s = *s;
	r->asked_s = s->expires_s;
	r->is_flow = s->is_outbound;
	r->is_seen = true;
	reg_names_make(&r->names, o->p.key, o->node, r->domain, r->name);
	client_init(&r->client, &o->p.env, &client_handler, r);
	timer_init(&r->timer, on_timer, r);
	timer_init(&r->expiry, on_expired, r);
	keepalive_init(&r->keep, &o->p.env, on_keepalive_failed, r);
	DL_APPEND(o->regs, r);
	set_state(r, REG_TRYING);
	timer_start(o->p.env.timers, &r->timer, 1); /* not from inside whatever called */
}

/* The same registration with other details: sent anew, at once. */
static void renew(struct reg *r, const struct reg_settings *s)
{
	client_fini(&r->client);
	r->s = *s;
	r->asked_s = s->expires_s;
	r->is_flow = s->is_outbound;
	r->has_asked_otherwise = false;
	r->failures = r->losses = 0;
	wake_in(r, 1);
	set_state(r, r->state == REG_FAILED ? REG_TRYING : r->state);
}

static void on_trunk(const struct dir_trunk *t, void *arg)
{
	struct outgoing *o = arg;
	struct reg *r = find(o->regs, t->domain, t->name);
	struct reg_settings s;

	if (!t->is_registering)
		return;
	if (reg_settings_read(t, &s) != 0) {
		log_error(o->p.env.log, "trunk=%s/%s can't be registered: its row makes no address", t->domain, t->name);
		return;
	}
	if (!r) {
		begin(o, t, &s);
		return;
	}
	r->is_seen = true;
	if (!memcmp(&r->s, &s, sizeof(s)))
		return;
	if (!strcmp(r->s.aor, s.aor) && !strcmp(r->s.registrar, s.registrar) && !strcmp(r->s.contact_user, s.contact_user) &&
	    r->s.is_bulk == s.is_bulk) {
		renew(r, &s);
		return;
	}
	reg_end(r);
	begin(o, t, &s);
}

static void read_rows(struct outgoing *o)
{
	struct reg *r, *next;

	DL_FOREACH(o->regs, r)
		r->is_seen = false;
	directory_trunks(o->p.directory, on_trunk, o);
	DL_FOREACH_SAFE(o->regs, r, next)
		if (!r->is_seen)
			reg_end(r);
}

static const char off_sql[] =
	"UPDATE pbx.trunk_state AS s SET registration = 'off', registered_until = NULL, next_try = NULL, contact = NULL"
	" FROM pbx.trunk AS t WHERE (t.domain, t.name) = (s.domain, s.name) AND s.node = $1 AND NOT (t.register AND t.enabled)"
	" AND s.registration <> 'off'";

static void on_change(const char *table, const char *key, void *arg)
{
	struct outgoing *o = arg;

	(void)key;
	if (strcmp(table, "trunk") != 0 && strcmp(table, "*") != 0)
		return;
	read_rows(o);
	if (o->p.db)
		db_query(o->p.db, off_sql, 1, (struct db_param[]){ DB_TEXT(o->node) }, NULL, NULL);
}

/* ---- from outside ---- */

void outgoing_flow_closed(struct outgoing *o, uint64_t flow)
{
	const struct sip_dest *dest;
	struct reg *r;

	DL_FOREACH(o->regs, r) {
		dest = client_dest(&r->client);
		if (r->state != REG_REGISTERED || !dest || r->client.flow != flow || dest->proto == SIP_UDP)
			continue;
		log_info(o->p.env.log, "trunk=%s/%s connection closed", r->domain, r->name);
		flow_lost(r);
	}
}

static void on_stun(struct str answer, const struct sip_source *src, void *arg)
{
	struct outgoing *o = arg;
	struct reg *r;

	DL_FOREACH(o->regs, r)
		if (keepalive_answer(&r->keep, answer, src))
			return;
}

/* Some peers drop parameters of the contact: those must call from where we are registered, for the user that is registered. */
static bool is_from_registrar(const struct reg *r, const struct sip_msg *m, const struct sip_source *src)
{
	const struct sip_dest *dest = client_dest(&r->client);

	return r->until_ms && dest && sockaddr_host_eq(&dest->addr, &src->peer) &&
	       (r->s.is_bulk || str_eqz(m->ruri.user, r->s.contact_user));
}

const struct dir_trunk *outgoing_trunk_of(const struct sip_msg *m, const struct sip_source *src, void *outgoing)
{
	struct outgoing *o = outgoing;
	const struct dir_trunk *trunk;
	struct str line;
	struct reg *r;

	if (sip_param_find(m->ruri.params, "line", &line) && line.n == REG_LINE_LEN) {
		DL_FOREACH(o->regs, r)
			if (CRYPTO_memcmp(line.p, r->names.line, REG_LINE_LEN) == 0)
				break;
	} else {
		DL_FOREACH(o->regs, r)
			if (is_from_registrar(r, m, src))
				break;
	}
	return r && directory_trunk(o->p.directory, r->domain, str_from(r->name), &trunk) == DIR_FOUND ? trunk : NULL;
}

const char *outgoing_route(struct outgoing *o, const char *domain, const char *trunk)
{
	struct reg *r = find(o->regs, domain, trunk);

	if (!r)
		return NULL;
	return r->until_ms && r->service_route[0] ? r->service_route : NULL;
}

static void on_stop_overdue(void *arg)
{
	struct outgoing *o = arg;

	while (o->ending) {
		struct reg *r = o->ending;

		log_warn(o->p.env.log, "trunk=%s/%s didn't answer that its registration ends", r->domain, r->name);
		DL_DELETE(o->ending, r);
		reg_free(r);
	}
	if (o->forget_query)
		db_forget(o->p.db, o->forget_query);
	o->forget_query = 0;
	check_stopped(o);
}

static void on_forgotten(uint64_t id, const struct db_answer *a, void *arg)
{
	struct outgoing *o = arg;

	(void)id;
	(void)a;
	o->forget_query = 0;
	check_stopped(o);
}

/* What a server saw that isn't there any more is nobody's knowledge. */
static void forget_state(struct outgoing *o)
{
	if (o->p.db && !o->forget_query)
		o->forget_query = db_query(o->p.db, "SELECT pbx.state_forget($1)", 1, (struct db_param[]){ DB_TEXT(o->node) },
					   on_forgotten, o);
}

void outgoing_stop(struct outgoing *o, void (*done)(void *arg), void *arg)
{
	struct reg *r, *next;

	o->done_arg = arg;
	directory_unwatch(o->p.directory, &o->watcher);
	timer_start(o->p.env.timers, &o->stop_timer, STOP_MS);
	forget_state(o);
	DL_FOREACH_SAFE(o->regs, r, next)
		reg_end(r);
	o->done = done; /* only now: all are at it */
	check_stopped(o);
}

int outgoing_new(struct outgoing **out, const struct outgoing_params *p)
{
	struct outgoing *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->p = *p;
	o->node = strdup(p->node ? p->node : "");
	if (!o->node) {
		free(o);
		return -ENOMEM;
	}
	o->live = (struct live){ .db = p->db, .timers = p->env.timers, .sql = "SELECT pbx.trunk_state_registration($1::jsonb)" };
	live_init(&o->live, &live_handler, o);
	timer_init(&o->stop_timer, on_stop_overdue, o);
	o->watcher = (struct directory_watcher){ .on_change = on_change, .arg = o };
	directory_watch(p->directory, &o->watcher);
	sip_ua_on_stun(p->env.ua, on_stun, o);
	forget_state(o);
	read_rows(o);
	*out = o;
	return 0;
}

void outgoing_free(struct outgoing *o)
{
	struct reg *r, *next;

	if (!o)
		return;
	directory_unwatch(o->p.directory, &o->watcher);
	sip_ua_on_stun(o->p.env.ua, NULL, NULL);
	DL_FOREACH_SAFE(o->regs, r, next)
		reg_free(r);
	DL_FOREACH_SAFE(o->ending, r, next)
		reg_free(r);
	live_fini(&o->live);
	if (o->forget_query)
		db_forget(o->p.db, o->forget_query);
	timer_stop(o->p.env.timers, &o->stop_timer);
	free(o->node);
	free(o);
}

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
#include <openssl/hmac.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "registrar/live.h"

#define BACKOFF_BASE_MS 30000u     /* RFC 5626 §4.5: base-time when all flows have failed */
#define BACKOFF_MAX_MS 1800000u    /* and max-time */
#define STOP_MS 2000               /* a peer that doesn't answer by then finds out by itself */
#define LINE_LEN 16
#define URI_MAX 400
#define ROUTE_MAX 2048
#define EXPIRES_LEAST_S 10         /* a registrar that grants less isn't followed in it */

enum reg_state { REG_TRYING, REG_REGISTERED, REG_FAILED, REG_ENDING };

/* What of a row makes a registration: texts in one block. */
struct settings {
	char aor[URI_MAX], registrar[URI_MAX], route[URI_MAX]; /* route: "" or a value of Route */
	char contact_user[64], auth_user[128], auth_password[256];
	bool has_auth, is_secure;
	uint32_t expires_s;
};

struct reg {
	struct reg *prev, *next;
	struct outgoing *of;
	char domain[64], name[64];
	char line[LINE_LEN + 1], instance[48];
	struct settings s;
	enum reg_state state;
	struct client client;
	struct timer timer;        /* renewal, or the next try */
	struct timer expiry;       /* of what is registered */
	char contact[URI_MAX];     /* as sent last */
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
	uint64_t wait_ms = outgoing_backoff_ms(r->of->p.env.rng, r->failures);

	if (wait_ms < (uint64_t)retry_after_s * 1000)
		wait_ms = (uint64_t)retry_after_s * 1000;
	/* What is registered holds until it expires, and is tried for as long. */
	if (r->until_ms && r->failures == 0)
		wait_ms /= 2;
	r->failures++;
	wake_in(r, wait_ms);
	set_state(r, REG_FAILED);
	log_warn(r->of->p.env.log, "trunk=%s/%s registration failed status=%d %s registrar=%s again_in_s=%llu", r->domain, r->name,
		 r->status, r->reason, r->s.registrar, (unsigned long long)wait_ms / 1000);
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
		is_ours = sip_param_find(a.uri.params, "line", &value) && str_eqz(value, r->line);
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
	take_service_route(r, m);
	r->failures = 0;
	r->until_ms = clock_wall_ms(o->p.env.clock) + (int64_t)s * 1000;
	timer_start(o->p.env.timers, &r->expiry, (uint64_t)s * 1000);
	wake_in(r, renewal_ms(o->p.env.rng, s));
	set_state(r, REG_REGISTERED);
	if (is_news)
		log_info(o->p.env.log, "trunk=%s/%s registered registrar=%s contact=%s expires_s=%u", r->domain, r->name, r->s.registrar,
			 r->contact, s);
}

static uint32_t seconds_of(const struct sip_msg *m, enum sip_hdr_id id)
{
	struct str value = sip_msg_value(m, id);
	uint32_t s = 0;
	size_t n = 0;

	/* Retry-After: 18000 (I'm in a meeting);duration=3600 */
	while (n < value.n && value.p[n] >= '0' && value.p[n] <= '9')
		n++;
	return str_to_u32((struct str){ value.p, n }, UINT32_MAX, &s) == 0 ? s : 0;
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
	if (m && status / 100 == 2)
		registered(r, m);
	else if (!m || status != 423 || !ask_for_longer(r, m))
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
	sip_escape_user(&o, str_from(r->s.contact_user));
	out_chr(&o, '@');
	out_z(&o, sockaddr_print(local, host));
	if (dest->proto != SIP_UDP && !(r->s.is_secure && dest->proto == SIP_TLS))
		out_z(&o, transports[dest->proto]);
	out_z(&o, ";line=");
	out_z(&o, r->line);
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
	out_z(o, r->instance);
	out_z(o, "\"\r\nExpires: ");
	out_u64(o, r->state == REG_ENDING ? 0 : r->asked_s);
	out_z(o, "\r\nSupported: path\r\n");
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

/* The registrar without what may not stand in a Request-URI of REGISTER (RFC 3261 §10.2), and the AoR at its host. */
static int read_settings(const struct dir_trunk *t, struct settings *s)
{
	struct sip_uri uri;
	struct str user = str_from(t->register_as), host, rest = user;
	struct out registrar, aor, route;

	memset(s, 0, sizeof(*s));
	if (!t->registrar || !t->register_as || sip_uri_parse(&uri, str_from(t->registrar)) != 0)
		return -EINVAL;
	user = str_cut(&rest, '@');
	host = rest.n ? rest : uri.host;
	s->is_secure = uri.scheme == SIP_SCHEME_SIPS;
	out_init(&registrar, s->registrar, sizeof(s->registrar) - 1);
	out_fmt(&registrar, "%s:%.*s", s->is_secure ? "sips" : "sip", STR_ARG(uri.host));
	if (uri.port)
		out_fmt(&registrar, ":%u", uri.port);
	if (uri.params.n)
		out_fmt(&registrar, ";%.*s", STR_ARG(uri.params));
	out_init(&aor, s->aor, sizeof(s->aor) - 1);
	out_z(&aor, s->is_secure ? "sips:" : "sip:");
	sip_escape_user(&aor, user);
	out_chr(&aor, '@');
	out_str(&aor, host);
	out_init(&route, s->route, sizeof(s->route) - 1);
	if (t->proxy)
		out_fmt(&route, "<%s%s>", t->proxy, strstr(t->proxy, ";lr") ? "" : ";lr");
	s->has_auth = t->auth_user != NULL;
	s->expires_s = t->register_expires_s;
	if (!out_ok(&registrar) || !out_ok(&aor) || !out_ok(&route) ||
	    str_copy(t->contact_user ? str_from(t->contact_user) : user, s->contact_user, sizeof(s->contact_user)) != 0 ||
	    (t->auth_user && (str_copy(str_from(t->auth_user), s->auth_user, sizeof(s->auth_user)) != 0 ||
			      str_copy(str_from(t->auth_password), s->auth_password, sizeof(s->auth_password)) != 0)))
		return -ENAMETOOLONG;
	return 0;
}

/* Names of ours that stay the same over restarts and tell nobody anything. */
static void make_names(struct reg *r)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char sum[32];
	char text[200];
	unsigned n = 0;
	int len = snprintf(text, sizeof(text), "registration %s/%s/%s", r->of->node, r->domain, r->name);

	HMAC(EVP_sha256(), r->of->p.key, sizeof(r->of->p.key), (unsigned char *)text,
	     len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1, sum, &n);
	for (unsigned i = 0; i < LINE_LEN; i++)
		r->line[i] = digits[sum[i] & 31];
	snprintf(r->instance, sizeof(r->instance), "<urn:uuid:%02x%02x%02x%02x-%02x%02x-4%01x%02x-8%01x%02x-%02x%02x%02x%02x%02x%02x>", sum[16],
		 sum[17], sum[18], sum[19], sum[20], sum[21], sum[22] & 15, sum[23], sum[24] & 15, sum[25], sum[26], sum[27], sum[28],
		 sum[29], sum[30], sum[31]);
}

static struct reg *find(struct reg *list, const char *domain, const char *name)
{
	struct reg *r;

	DL_FOREACH(list, r)
		if (!strcmp(r->domain, domain) && !strcmp(r->name, name))
			return r;
	return NULL;
}

static void begin(struct outgoing *o, const struct dir_trunk *t, const struct settings *s)
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
	r->is_seen = true;
	make_names(r);
	client_init(&r->client, &o->p.env, &client_handler, r);
	timer_init(&r->timer, on_timer, r);
	timer_init(&r->expiry, on_expired, r);
	DL_APPEND(o->regs, r);
	set_state(r, REG_TRYING);
	timer_start(o->p.env.timers, &r->timer, 1); /* not from inside whatever called */
}

/* The same registration with other details: sent anew, at once. */
static void renew(struct reg *r, const struct settings *s)
{
	client_fini(&r->client);
	r->s = *s;
	r->asked_s = s->expires_s;
	r->failures = 0;
	wake_in(r, 1);
	set_state(r, r->state == REG_FAILED ? REG_TRYING : r->state);
}

static void on_trunk(const struct dir_trunk *t, void *arg)
{
	struct outgoing *o = arg;
	struct reg *r = find(o->regs, t->domain, t->name);
	struct settings s;

	if (!t->is_registering)
		return;
	if (read_settings(t, &s) != 0) {
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
	if (!strcmp(r->s.aor, s.aor) && !strcmp(r->s.registrar, s.registrar) && !strcmp(r->s.contact_user, s.contact_user)) {
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
		/* Not all phones and trunks of a restarted proxy in the same moment. */
		wake_in(r, 100 + rng_below(o->p.env.rng, 2000));
	}
}

/* Some peers drop parameters of the contact: those must call from where we are registered, for the user that is registered. */
static bool is_from_registrar(const struct reg *r, const struct sip_msg *m, const struct sip_source *src)
{
	const struct sip_dest *dest = client_dest(&r->client);

	return r->until_ms && dest && sockaddr_host_eq(&dest->addr, &src->peer) && str_eqz(m->ruri.user, r->s.contact_user);
}

const struct dir_trunk *outgoing_trunk_of(const struct sip_msg *m, const struct sip_source *src, void *outgoing)
{
	struct outgoing *o = outgoing;
	const struct dir_trunk *trunk;
	struct str line;
	struct reg *r;

	if (sip_param_find(m->ruri.params, "line", &line) && line.n == LINE_LEN) {
		DL_FOREACH(o->regs, r)
			if (CRYPTO_memcmp(line.p, r->line, LINE_LEN) == 0)
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

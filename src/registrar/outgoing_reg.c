/* outgoing_reg.c - one registration at a trunk: a small machine.
 *
 *   TRYING --2xx--> REGISTERED --renewal--> TRYING'     the state is kept while it is renewed: calls come in meanwhile
 *      |                |  connection lost, expired, refused
 *      +--failed-----> FAILED --pause--> TRYING
 *   any --row gone, other address, stop--> ENDING --answer--> freed
 *
 * The requests themselves are client.c's.
 */
#define LOG_MODULE "trunk"
#include "registrar/outgoing_int.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"

#define BACKOFF_BASE_MS 30000u     /* RFC 5626 §4.5: base-time when all flows have failed, */
#define BACKOFF_OTHER_MS 90000u    /* and when not all have, */
#define BACKOFF_MAX_MS 1800000u    /* and max-time */
#define FLOW_STABLE_MS 120000      /* one that held for so long has not failed in a row with others (§4.5) */
#define FLOW_TIMER_DEFAULT_S 120   /* of connections, where the registrar speaks outbound and says nothing (§4.4.1) */
#define FLOW_TIMER_UDP_S 29        /* §4.4.2 */
#define FLOW_TIMER_LEAST_S 15
#define EVERY_MAX_S 86400          /* what others grant or ask for isn't planned further ahead */
#define RETRY_AFTER_MAX_S 3600     /* who asks for longer is asked again all the same: nobody would think of it in a week */
#define EXPIRES_LEAST_S 10         /* a registrar that grants less isn't followed in it */

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

json_t *reg_describe(const struct reg *r)
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

/* ---- ends ---- */

void reg_free(struct reg *r)
{
	client_fini(&r->client);
	keepalive_stop(&r->keep);
	timer_stop(r->of->p.env.timers, &r->timer);
	timer_stop(r->of->p.env.timers, &r->expiry);
	OPENSSL_cleanse(r->s.auth_password, sizeof(r->s.auth_password));
	free(r);
}

static void reg_gone(struct reg *r)
{
	struct outgoing *o = r->of;

	DL_DELETE(o->ending, r);
	reg_free(r);
	outgoing_check_stopped(o);
}

void reg_end(struct reg *r)
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
	set_state(r, REG_ENDING);
	log_info(o->p.env.log, "trunk=%s/%s registration ends", domain, name);
	/* The registrar may have taken what it hasn't answered yet: when it has, that is taken back (on_done). */
	if (!was_registered && client_is_busy(&r->client))
		return;
	client_fini(&r->client); /* what is under way; the client may send again */
	if (was_registered)
		try(r);
	else
		reg_gone(r);
}

/* ---- timing ---- */

uint32_t outgoing_backoff_ms(struct rng *rng, unsigned failures, bool has_other)
{
	uint32_t base = has_other ? BACKOFF_OTHER_MS : BACKOFF_BASE_MS, most = failures < 7 ? base << failures : BACKOFF_MAX_MS;

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
	uint64_t wait_ms = outgoing_backoff_ms(r->of->p.env.rng, r->failures + 1, outgoing_has_other(r));

	/* What is registered holds until it expires, and is tried for as long. */
	if (r->until_ms && r->failures == 0)
		wait_ms /= 2;
	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	if (wait_ms < (uint64_t)retry_after_s * 1000)
		wait_ms = (uint64_t)retry_after_s * 1000;
	r->failures++;
	r->up_since_ms = 0;
	wake_in(r, wait_ms);
	set_state(r, REG_FAILED);
	log_warn(r->of->p.env.log, "trunk=%s/%s registration failed status=%d %s registrar=%s again_in_s=%llu", r->domain, r->name,
		 r->status, r->reason, r->s.registrar, (unsigned long long)wait_ms / 1000);
}

/* A new flow is made: soon where the registration alone was a connection's, since calls come in no more; after the wait of RFC 5626 §4.5 where
 * it is a flow by name, or flows don't hold. */
void reg_flow_lost(struct reg *r)
{
	struct rng *rng = r->of->p.env.rng;

	if (r->up_since_ms && clock_wall_ms(r->of->p.env.clock) - r->up_since_ms >= FLOW_STABLE_MS)
		r->losses = 0;
	r->up_since_ms = 0;
	keepalive_stop(&r->keep);
	/* Not all phones and trunks of a restarted proxy in the same moment. */
	wake_in(r, r->is_flow || r->losses ? outgoing_backoff_ms(rng, r->losses, outgoing_has_other(r)) : 100 + rng_below(rng, 2000));
	r->losses++;
	r->is_changed = true;
	live_touch(&r->of->live);
}

static void on_keepalive_failed(void *arg)
{
	struct reg *r = arg;

	if (r->state == REG_REGISTERED)
		reg_flow_lost(r);
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
	struct str keep = STR_NULL;

	/* RFC 6223 §4.3: its value says that the other side answers, and how often it wants to be asked, 0: as we like. */
	if (!r->is_flow && sip_param_find(m->via.params, "keep", &keep) && keep.n) {
		is_promised = true;
		told_s = seconds_of_text(keep);
	}
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

	if (!s || (r->reg_id > 1 && !sip_msg_has_token(m, SIP_HDR_REQUIRE, "outbound"))) {
		r->status = m->status;
		str_put(r->reason, sizeof(r->reason), s ? "the registrar keeps no flows" : "our contact isn't in the answer");
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
	if (is_flow == r->is_flow || r->has_asked_otherwise || (!is_flow && r->reg_id > 1)) /* without flows there is one registration */
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

/* The row has come back meanwhile: its registration is of the same contact, and stays. */
static bool is_wanted_again(const struct reg *r)
{
	const struct reg *other;

	DL_FOREACH(r->of->regs, other)
		if (!strcmp(other->names.line, r->names.line) && !strcmp(other->s.aor, r->s.aor) && !strcmp(other->s.registrar, r->s.registrar))
			return true;
	return false;
}

static void on_done(struct client *c, int status, const struct sip_msg *m, uint32_t rtt_us, void *arg)
{
	struct reg *r = arg;

	(void)c;
	if (r->state == REG_ENDING) {
		if (m && status / 100 == 2 && !r->is_removing && !is_wanted_again(r))
			try(r);
		else
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
	out_z(o, r->is_flow ? "\";reg-id=" : "\"");
	if (r->is_flow)
		out_u64(o, r->reg_id);
	out_z(o, "\r\nExpires: ");
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
		.is_mutual = r->s.is_mutual,
		.oc = r->s.has_oc ? SIP_OC_OFFER : SIP_OC_NONE,
		.via_params = r->is_flow ? NULL : ";keep", /* RFC 6223 §4.2: a flow implies it */
		.write_hdrs = write_hdrs,
		.is_steady = r->state == REG_ENDING,
	};
	int err;

	if (client_is_busy(&r->client))
		return;
	r->next_ms = 0;
	r->is_removing = r->state == REG_ENDING;
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

/* ---- begins ---- */

void reg_begin(struct outgoing *o, const struct dir_trunk *t, unsigned reg_id, const struct reg_settings *s)
{
	struct reg *r = calloc(1, sizeof(*r));

	if (!r) {
		log_error(o->p.env.log, "no memory to register trunk=%s/%s", t->domain, t->name);
		return;
	}
	r->of = o;
	r->reg_id = reg_id;
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

void reg_renew(struct reg *r, const struct reg_settings *s)
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

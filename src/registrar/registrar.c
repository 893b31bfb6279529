/* registrar.c - REGISTER, by the steps of RFC 3261 §10.3: whole or not at all.
 *
 * A request becomes a plan first: per contact the entry to put in or the one to take out, checked, allocated and counted.
 * Only a plan without fault touches the table. Then the answer lists all that is bound now.
 */
#define LOG_MODULE "registrar"
#include "registrar/registrar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/log.h"
#include "registrar/registrar_int.h"

#define MAX_CONTACTS_DEFAULT 10
#define MIN_EXPIRES_DEFAULT_S 60
#define MAX_EXPIRES_DEFAULT_S 3600
#define DEFAULT_EXPIRES_DEFAULT_S 600
#define HOUR_S 3600              /* RFC 3261 §10.3: intervals of an hour and more are never too brief */
#define PLAN_MAX 32              /* contacts in one request; nothing registers more than a few */
#define CALL_ID_MAX 255
#define INSTANCE_MAX 255
#define REPLY_MAX 32768
#define NOT_LOADED_RETRY "Retry-After: 2\r\n"

struct registrar {
	struct registrar_params p;
	struct auth auth;
	struct bindings *bindings;
};

struct change {
	struct entry *old;       /* bound now; NULL: new */
	struct entry *add;       /* to be put in; NULL: removal */
	struct sip_uri uri;      /* of the contact, to find repetitions */
};

struct plan {
	struct registrar *r;
	struct strans *st;
	const struct sip_msg *m;
	const struct auth_identity *who;
	struct aor *aor;         /* NULL: nothing bound yet */
	int64_t now_ms;
	uint32_t default_s;      /* Expires, or ours */
	unsigned n;
	struct change changes[PLAN_MAX];
};

/* Why a request is refused; status 0: it isn't. reason NULL: the standard phrase says it. */
struct fault {
	int status;
	const char *reason;
};

static struct fault fault_of(int status, const char *reason)
{
	return (struct fault){ status, reason };
}

static struct fault no_fault(void)
{
	return fault_of(0, NULL);
}

/* ---- values ---- */

/* RFC 3261 §10.2.1.1: what can't be read counts as if it weren't there. */
static uint32_t read_expires(struct str value, uint32_t def)
{
	uint32_t v;

	switch (str_to_u32(value, UINT32_MAX, &v)) {
	case 0:
		return v;
	case -ERANGE:
		return UINT32_MAX;
	default:
		return def;
	}
}

/* qvalue: 0, 1, 0.5, 0.333, 1.000. Anything else counts as absent. */
static uint16_t read_q(struct str value)
{
	struct str rest = value, whole = str_cut(&rest, '.');
	uint32_t units, part = 0;

	if (str_to_u32(whole, 1, &units) != 0 || rest.n > 3 || (rest.n && str_to_u32(rest, 999, &part) != 0))
		return 1000;
	for (size_t digits = rest.n; digits < 3; digits++)
		part *= 10;
	return (uint16_t)(units * 1000 + part > 1000 ? 1000 : units * 1000 + part);
}

/* The text between the quotes of a quoted-string, or the token itself. */
static struct str unquoted(struct str s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return (struct str){ s.p + 1, s.n - 2 };
	return s;
}

/* Printable ASCII: what the database and a log line take as they are. */
static bool is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

static void copy_user_agent(char *to, size_t size, struct str from)
{
	size_t n = from.n < size - 1 ? from.n : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = from.p[i] >= ' ' && from.p[i] <= '~' ? from.p[i] : '?';
	to[n] = '\0';
}

/* ---- the plan ---- */

static void plan_fini(struct plan *p)
{
	for (unsigned i = 0; i < p->n; i++)
		bindings_entry_free(p->changes[i].add);
	p->n = 0;
}

/* RFC 3261 §10.3 step 7: within one Call-ID the requests must come in order. */
static bool is_out_of_order(const struct plan *p, const struct entry *old)
{
	return str_eqz(p->m->call_id, old->b.call_id) && p->m->cseq.seq <= old->b.cseq;
}

static struct fault new_entry(const struct plan *p, const struct sip_addr *contact, uint32_t expires_s, struct entry **out)
{
	const struct sip_source *src = strans_source(p->st);
	char text[BINDING_CONTACT_MAX], call_id[CALL_ID_MAX + 1], instance[INSTANCE_MAX + 1] = "";
	struct binding b = {
		.contact = text,
		.call_id = call_id,
		.cseq = p->m->cseq.seq,
		.q_milli = 1000,
		.expires_at_ms = p->now_ms + (int64_t)expires_s * 1000,
		.dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow },
	};
	struct str value;

	if (str_copy(contact->uri.text, text, sizeof(text)) != 0)
		return fault_of(400, "Contact is too long");
	if (str_copy(p->m->call_id, call_id, sizeof(call_id)) != 0)
		return fault_of(400, "Call-ID is too long");
	if (sip_param_find(contact->params, "q", &value))
		b.q_milli = read_q(value);
	if (sip_param_find(contact->params, "+sip.instance", &value) && is_plain(value) &&
	    str_copy(unquoted(value), instance, sizeof(instance)) == 0 && instance[0])
		b.instance = instance;
	copy_user_agent(b.user_agent, sizeof(b.user_agent), sip_msg_value(p->m, SIP_HDR_USER_AGENT));
	*out = bindings_entry_new(p->r->bindings, &b);
	return *out ? no_fault() : fault_of(500, "Out of memory");
}

/* The change that is about the same binding already. Equality of URIs isn't transitive (RFC 3261 §19.1.4), so two that differ
 * may both equal what is bound. */
static struct change *plan_slot(struct plan *p, const struct change *c)
{
	for (unsigned i = 0; i < p->n; i++)
		if (sip_uri_eq(&p->changes[i].uri, &c->uri) || (c->old && p->changes[i].old == c->old))
			return &p->changes[i];
	return NULL;
}

static struct fault plan_contact(struct plan *p, struct str element)
{
	struct sip_addr contact;
	struct change change, *same;
	struct str value;
	uint32_t expires_s = p->default_s;
	struct fault fault;

	if (sip_addr_parse(&contact, element) != 0)
		return fault_of(400, "Malformed Contact");
	if ((contact.uri.scheme != SIP_SCHEME_SIP && contact.uri.scheme != SIP_SCHEME_SIPS) || !is_plain(contact.uri.text))
		return fault_of(400, "Contact isn't a SIP URI");
	if (sip_param_find(contact.params, "expires", &value))
		expires_s = read_expires(value, p->default_s);
	if (expires_s && expires_s < p->r->p.min_expires_s && expires_s < HOUR_S)
		return fault_of(423, NULL);
	if (expires_s > p->r->p.max_expires_s)
		expires_s = p->r->p.max_expires_s;

	change = (struct change){ .old = bindings_entry(p->aor, contact.uri.text), .uri = contact.uri };
	if (change.old && is_out_of_order(p, change.old))
		return fault_of(500, "CSeq is not higher than that of the binding");
	if (expires_s) {
		fault = new_entry(p, &contact, expires_s, &change.add);
		if (fault.status)
			return fault;
	}
	same = plan_slot(p, &change);
	if (same) { /* the same one twice: the later word counts */
		bindings_entry_free(same->add);
		*same = change;
		return no_fault();
	}
	if (p->n == PLAN_MAX) {
		bindings_entry_free(change.add);
		return fault_of(403, "Too many contacts");
	}
	p->changes[p->n++] = change;
	return no_fault();
}

/* Contact: * takes all away (RFC 3261 §10.2.2). */
static struct fault plan_all(struct plan *p)
{
	for (struct binding *b = p->aor ? p->aor->first : NULL; b; b = b->next) {
		struct entry *e = container_of(b, struct entry, b);

		if (is_out_of_order(p, e))
			return fault_of(500, "CSeq is not higher than that of the binding");
		if (p->n == PLAN_MAX)
			return fault_of(500, "Too many contacts");
		p->changes[p->n++] = (struct change){ .old = e };
	}
	return no_fault();
}

static struct fault check_count(const struct plan *p)
{
	unsigned n = p->aor ? p->aor->count : 0;
	bool is_adding = false;

	for (unsigned i = 0; i < p->n; i++) {
		n -= p->changes[i].old != NULL;
		n += p->changes[i].add != NULL;
		is_adding |= p->changes[i].add && !p->changes[i].old;
	}
	return is_adding && n > p->r->p.max_contacts ? fault_of(403, "Too many contacts") : no_fault();
}

static struct fault make_plan(struct plan *p)
{
	struct sip_hdr_iter it = { 0 };
	struct fault fault = no_fault();
	struct str element;
	unsigned n = 0;
	bool is_star = false, is_removing = false;

	while (sip_msg_element_next(p->m, SIP_HDR_CONTACT, &it, &element)) {
		n++;
		is_star |= str_eqz(element, "*");
	}
	if (is_star) {
		if (n != 1)
			return fault_of(400, "Contact: * must stand alone");
		if (sip_msg_expires(p->m, -1) != 0)
			return fault_of(400, "Contact: * needs Expires: 0");
		fault = plan_all(p);
		is_removing = true;
	}
	it = (struct sip_hdr_iter){ 0 };
	while (!is_star && !fault.status && sip_msg_element_next(p->m, SIP_HDR_CONTACT, &it, &element))
		fault = plan_contact(p, element);
	for (unsigned i = 0; i < p->n; i++)
		is_removing |= !p->changes[i].add;
	if (!fault.status && is_removing && !bindings_is_loaded(p->r->bindings))
		return fault_of(503, NULL);
	return fault.status ? fault : check_count(p);
}

/* ---- doing it ---- */

static void log_change(const struct plan *p, const struct change *c)
{
	const struct binding *b = c->add ? &c->add->b : &c->old->b;
	char addr[SOCKADDR_TEXT_MAX];

	if (c->add && c->old) {
		log_debug(p->r->p.log, "refreshed aor=%s/%s contact=%s", p->who->domain, p->who->number, b->contact);
		return;
	}
	log_info(p->r->p.log, "%s aor=%s/%s contact=%s via=%s from=%s agent=\"%s\"", c->add ? "registered" : "unregistered",
		 p->who->domain, p->who->number, b->contact, sip_proto_name(b->dest.proto), sockaddr_print(&b->dest.addr, addr),
		 b->user_agent);
}

/* Removals last: the aor lives as long as it has a binding, and a plan's entries point into it. */
static void carry_out(struct plan *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct change *c = &p->changes[i];
		struct entry *e = c->add;

		if (!e)
			continue;
		log_change(p, c);
		c->add = NULL;
		if (bindings_put(p->r->bindings, p->who->domain, p->who->number, e, c->old) != 0)
			log_error(p->r->p.log, "no memory for a binding of %s/%s", p->who->domain, p->who->number);
		c->old = NULL; /* replaced and freed, or nothing there */
	}
	for (unsigned i = 0; i < p->n; i++) {
		if (!p->changes[i].old)
			continue;
		log_change(p, &p->changes[i]);
		bindings_remove(p->changes[i].old);
	}
}

/* ---- the answer ---- */

static void write_contacts(struct out *o, const struct aor *aor, int64_t now_ms)
{
	for (const struct binding *b = aor ? aor->first : NULL; b; b = b->next) {
		int64_t left_s = (b->expires_at_ms - now_ms + 999) / 1000;

		out_fmt(o, "Contact: <%s>;expires=%lld", b->contact, (long long)(left_s > 0 ? left_s : 0));
		if (b->q_milli < 1000)
			out_fmt(o, ";q=0.%03u", b->q_milli);
		if (b->instance)
			out_fmt(o, ";+sip.instance=\"%s\"", b->instance);
		out_z(o, "\r\n");
	}
}

/* RFC 3261 §20.17: "Sat, 13 Nov 2010 23:29:00 GMT", in English whatever the locale. */
static void write_date(struct out *o, int64_t now_ms)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)(now_ms / 1000);
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	out_fmt(o, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
		tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void reply_ok(const struct plan *p)
{
	struct sip_reply r = { .status = 200 };
	struct out o;

	out_init_grow(&o, REPLY_MAX);
	write_contacts(&o, bindings_find(p->r->bindings, p->who->domain, str_from(p->who->number)), p->now_ms);
	write_date(&o, p->now_ms);
	if (!out_ok(&o)) {
		r.status = 500;
		out_reset(&o);
	}
	r.hdrs = out_view(&o);
	strans_reply(p->st, &r);
	out_fini(&o);
}

static void reply_fault(const struct plan *p, const struct fault *f)
{
	char min_expires[48];
	struct sip_reply r = { .status = f->status, .reason = f->reason };

	if (f->status == 423) {
		snprintf(min_expires, sizeof(min_expires), "Min-Expires: %u\r\n", p->r->p.min_expires_s);
		r.hdrs = str_from(min_expires);
	}
	if (f->status == 503)
		r.hdrs = STR(NOT_LOADED_RETRY);
	log_info(p->r->p.log, "refused aor=%s/%s status=%d %s", p->who->domain, p->who->number, f->status, f->reason ? f->reason : "");
	strans_reply(p->st, &r);
}

static void on_register(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct registrar *r = arg;
	struct auth_identity who;
	struct plan p = { .r = r, .st = st, .m = m, .who = &who };
	struct fault fault;

	if (auth_check(&r->auth, st, m, &who) != AUTH_OK)
		return;
	p.now_ms = clock_wall_ms(r->p.clock);
	p.aor = bindings_find(r->bindings, who.domain, str_from(who.number));
	p.default_s = read_expires(sip_msg_value(m, SIP_HDR_EXPIRES), r->p.default_expires_s);
	if (!is_plain(m->call_id))
		fault = fault_of(400, "Malformed Call-ID");
	else
		fault = make_plan(&p);
	if (fault.status) {
		reply_fault(&p, &fault);
	} else {
		carry_out(&p);
		reply_ok(&p);
	}
	plan_fini(&p);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct registrar *r = arg;

	bindings_flow_closed(r->bindings, flow);
}

/* ---- the registrar ---- */

int registrar_new(struct registrar **out, const struct registrar_params *p)
{
	struct registrar *r = calloc(1, sizeof(*r));
	int err;

	if (!r)
		return -ENOMEM;
	r->p = *p;
	r->p.node = NULL; /* the table has its copy */
	if (!r->p.min_expires_s)
		r->p.min_expires_s = MIN_EXPIRES_DEFAULT_S;
	if (!r->p.max_expires_s)
		r->p.max_expires_s = MAX_EXPIRES_DEFAULT_S;
	if (!r->p.default_expires_s)
		r->p.default_expires_s = DEFAULT_EXPIRES_DEFAULT_S;
	if (!r->p.max_contacts)
		r->p.max_contacts = MAX_CONTACTS_DEFAULT;
	r->auth = (struct auth){ .directory = p->directory, .digest = p->digest, .log = p->log };
	err = bindings_new(&r->bindings, p);
	if (err) {
		free(r);
		return err;
	}
	sip_ua_handle(p->ua, SIP_REGISTER, on_register, r);
	sip_ua_on_flow_closed(p->ua, on_flow_closed, r);
	*out = r;
	return 0;
}

void registrar_close(struct registrar *r)
{
	if (!r)
		return;
	sip_ua_handle(r->p.ua, SIP_REGISTER, NULL, NULL);
	sip_ua_on_flow_closed(r->p.ua, NULL, NULL);
	bindings_free(r->bindings);
	free(r);
}

bool registrar_is_loaded(const struct registrar *r)
{
	return bindings_is_loaded(r->bindings);
}

const struct binding *registrar_find(struct registrar *r, const char *domain, struct str number)
{
	const struct aor *aor = bindings_find(r->bindings, domain, number);

	return aor ? aor->first : NULL;
}

unsigned registrar_count(const struct registrar *r)
{
	return bindings_count(r->bindings);
}

void registrar_watch(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	if (bindings_watch(r->bindings, fn, arg) != 0)
		log_error(r->p.log, "too many watchers of bindings");
}

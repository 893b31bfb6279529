/* registrar.c - REGISTER: authenticated, worked out (register.c), done and answered with all that is bound now.
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
#define REPLY_MAX 32768
#define NOT_LOADED_RETRY "Retry-After: 2\r\n"
#define SUPPORTED "Supported: path, outbound, gruu, gin\r\n"
#define FLOW_TIMER_S 120 /* as RFC 5626 §4.4.1 has it for connections */

struct registrar {
	struct registrar_params p;
	struct auth auth;
	struct bindings *bindings;
	struct gruu_maker *gruus;
	void (*flow_closed)(uint64_t flow, void *arg);
	void *flow_closed_arg;
	int64_t date_s;          /* what date says */
	char date[48];
	char reply[REPLY_MAX];   /* the lines of the answer being written */
};

/* ---- the answer ---- */

static enum sip_scheme scheme_of(const struct binding *b)
{
	return str_istarts(str_from(b->contact), STR("sips:")) ? SIP_SCHEME_SIPS : SIP_SCHEME_SIP;
}

static void write_gruus(const struct registration *r, struct out *o, const struct binding *b)
{
	out_z(o, ";pub-gruu=\"");
	gruu_print_public(o, scheme_of(b), r->who->number, r->who->domain, str_from(b->instance));
	out_z(o, "\";temp-gruu=\"");
	gruu_print_temporary(r->gruus, o, scheme_of(b), r->who->domain, b->gruu_id);
	out_chr(o, '"');
}

static void write_bulk_gruu(const struct registration *r, struct out *o, const struct binding *b)
{
	out_z(o, ";pub-gruu=\"");
	gruu_print_bulk(o, scheme_of(b), r->who->domain, str_from(b->instance));
	out_chr(o, '"');
}

static void write_contacts(const struct registration *r, struct out *o, const struct aor *aor)
{
	bool has_gruus = sip_msg_has_token(r->m, SIP_HDR_SUPPORTED, "gruu");

	for (const struct binding *b = aor ? aor->first : NULL; b; b = b->next) {
		int64_t left_s = (b->expires_at_ms - r->now_ms + 999) / 1000;

		out_z(o, "Contact: <");
		out_z(o, b->contact);
		out_z(o, ">;expires=");
		out_i64(o, left_s > 0 ? left_s : 0);
		if (b->q_milli < 1000)
			out_fmt(o, ";q=0.%03u", b->q_milli);
		if (b->instance) {
			out_z(o, ";+sip.instance=\"");
			out_z(o, b->instance);
			out_chr(o, '"');
		}
		if (b->reg_id) {
			out_z(o, ";reg-id=");
			out_u64(o, b->reg_id);
		}
		if (has_gruus && b->gruu_id)
			write_gruus(r, o, b);
		else if (has_gruus && b->is_bulk && b->instance && gruu_is_possible(str_from(b->instance)))
			write_bulk_gruu(r, o, b);
		out_z(o, "\r\n");
	}
}

static void write_two_digits(struct out *o, int n, char behind)
{
	out_chr(o, (char)('0' + n / 10 % 10));
	out_chr(o, (char)('0' + n % 10));
	out_chr(o, behind);
}

/* RFC 3261 §20.17: "Sat, 13 Nov 2010 23:29:00 GMT", in English whatever the locale. */
static void print_date(struct out *o, int64_t now_s)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	time_t t = (time_t)now_s;
	struct tm tm;

	if (!gmtime_r(&t, &tm))
		return;
	out_z(o, "Date: ");
	out_z(o, days[tm.tm_wday]);
	out_z(o, ", ");
	write_two_digits(o, tm.tm_mday, ' ');
	out_z(o, months[tm.tm_mon]);
	out_chr(o, ' ');
	out_i64(o, tm.tm_year + 1900);
	out_chr(o, ' ');
	write_two_digits(o, tm.tm_hour, ':');
	write_two_digits(o, tm.tm_min, ':');
	write_two_digits(o, tm.tm_sec, ' ');
	out_z(o, "GMT\r\n");
}

/* Thousands share a second. */
static void write_date(struct registrar *r, struct out *o, int64_t now_ms)
{
	struct out date;

	if (now_ms / 1000 != r->date_s || !r->date[0]) {
		out_init(&date, r->date, sizeof(r->date) - 1);
		print_date(&date, now_ms / 1000);
		r->date[date.len] = '\0';
		r->date_s = now_ms / 1000;
	}
	out_z(o, r->date);
}

/* The flow ends here, and isn't that of a proxy, whose affair it is what the phone shows. Over UDP a sign of life needs STUN, and a phone that
 * hears nothing of it sends what it likes. */
static bool is_own_flow(const struct registration *r)
{
	return r->is_flow && r->is_direct && strans_source(r->st)->proto != SIP_UDP;
}

/* RFC 3327 §5.3: the phone is told the way that was taken; RFC 5626 §6: that its flow is one, and how often it should show that
 * it lives. */
static void write_extensions(const struct registration *r, struct out *o)
{
	out_z(o, SUPPORTED);
	if (r->path[0]) {
		out_z(o, "Path: ");
		out_z(o, r->path);
		out_z(o, "\r\n");
	}
	if (!r->is_flow)
		return;
	out_z(o, "Require: outbound\r\n");
	if (is_own_flow(r))
		out_fmt(o, "Flow-Timer: %u\r\n", FLOW_TIMER_S);
}

static void reply_ok(struct registrar *registrar, const struct registration *r)
{
	struct sip_reply reply = { .status = 200 };
	struct out o;

	out_init(&o, registrar->reply, sizeof(registrar->reply));
	write_contacts(r, &o, r->aor);
	write_extensions(r, &o);
	write_date(registrar, &o, r->now_ms);
	if (!out_ok(&o)) {
		reply.status = 500;
		out_reset(&o);
	}
	reply.hdrs = out_view(&o);
	strans_reply(r->st, &reply);
}

static void reply_fault(const struct registration *r, const struct fault *f)
{
	char min_expires[48];
	struct sip_reply reply = { .status = f->status, .reason = f->reason };

	if (f->status == 423) {
		snprintf(min_expires, sizeof(min_expires), "Min-Expires: %u\r\n", r->p->min_expires_s);
		reply.hdrs = str_from(min_expires);
	}
	if (f->status == 503)
		reply.hdrs = STR(NOT_LOADED_RETRY);
	log_info(r->p->log, "refused aor=%s/%s status=%d %s", r->who->domain, r->who->number, f->status, f->reason ? f->reason : "");
	strans_reply(r->st, &reply);
}

/* Who has registered this connection shows that he lives; once he has taken that back he owes nothing, and may go on talking by it. */
static void watch_flow(struct registrar *r, const struct registration *reg)
{
	const struct sip_source *src = strans_source(reg->st);

	if (is_own_flow(reg))
		sip_ua_flow_expect(r->p.ua, src->flow, FLOW_TIMER_S);
	else if (reg->is_removing && src->proto != SIP_UDP && !bindings_has_flow(r->bindings, src->flow))
		sip_ua_flow_expect(r->p.ua, src->flow, 0);
}

static void on_register(struct strans *st, const struct sip_msg *m, void *arg)
{
	struct registrar *r = arg;
	struct auth_identity who;
	struct registration reg;
	struct fault fault;

	if (auth_check(&r->auth, st, m, &who) != AUTH_OK)
		return;
	memset(&reg, 0, offsetof(struct registration, changes));
	reg.path[0] = '\0';
	reg.p = &r->p;
	reg.bindings = r->bindings;
	reg.gruus = r->gruus;
	reg.st = st;
	reg.m = m;
	reg.who = &who;
	reg.now_ms = clock_wall_ms(r->p.clock);
	reg.aor = bindings_find(r->bindings, who.domain, str_from(who.number));
	fault = register_plan(&reg);
	if (fault.status) {
		reply_fault(&reg, &fault);
	} else {
		register_carry_out(&reg);
		watch_flow(r, &reg);
		reply_ok(r, &reg);
	}
	register_fini(&reg);
}

static void on_flow_closed(uint64_t flow, void *arg)
{
	struct registrar *r = arg;

	bindings_flow_closed(r->bindings, flow);
	if (r->flow_closed)
		r->flow_closed(flow, r->flow_closed_arg);
}

void registrar_on_flow_closed(struct registrar *r, void (*fn)(uint64_t flow, void *arg), void *arg)
{
	r->flow_closed = fn;
	r->flow_closed_arg = arg;
}

/* ---- the registrar ---- */

int registrar_new(struct registrar **out, const struct registrar_params *p)
{
	static const char *const tags[] = { "path", "outbound", "gruu", "gin" };
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
	r->auth = (struct auth){ .directory = p->directory, .digest = p->digest, .log = p->log, .guard = p->guard,
				 .transport = p->transport };
	err = gruu_maker_new(&r->gruus, p->key, p->rng);
	if (!err)
		err = bindings_new(&r->bindings, p);
	if (err) {
		gruu_maker_free(r->gruus);
		free(r);
		return err;
	}
	for (size_t i = 0; i < ARRAY_LEN(tags); i++)
		sip_ua_support_in(p->ua, SIP_REGISTER, tags[i]);
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
	gruu_maker_free(r->gruus);
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

static void skip_others(struct registrar_reach *reach)
{
	while (reach->is_bulk && reach->b && !reach->b->is_bulk)
		reach->b = reach->b->next;
}

struct registrar_reach registrar_reach(struct registrar *r, const char *domain, struct str number)
{
	struct registrar_reach reach = { .b = registrar_find(r, domain, number) };
	const struct dir_extension *ext, *exchange;

	if (reach.b || directory_extension(r->p.directory, domain, number, &ext) != DIR_FOUND || !ext->bulk_account ||
	    directory_extension(r->p.directory, domain, str_from(ext->bulk_account), &exchange) != DIR_FOUND || !exchange->may_bulk)
		return reach; /* what it has registered lasts longer than the permission */
	reach.is_bulk = true;
	reach.b = registrar_find(r, domain, str_from(ext->bulk_account));
	skip_others(&reach);
	return reach;
}

void registrar_next(struct registrar_reach *reach)
{
	reach->b = reach->b->next;
	skip_others(reach);
}

struct binding *registrar_binding(struct registrar *r, const struct binding_key *key)
{
	const struct aor *aor = bindings_find(r->bindings, key->domain, str_from(key->number));
	struct str instance = str_from(key->instance);

	for (struct binding *b = aor ? aor->first : NULL; b; b = b->next)
		if (!strcmp(b->contact, key->contact) && b->reg_id == key->reg_id &&
		    (instance.n ? binding_has_instance(b, instance) : !b->instance))
			return b;
	return NULL;
}

void registrar_flow_failed(struct registrar *r, const struct binding_key *key)
{
	struct binding *b = registrar_binding(r, key);

	if (!b)
		return;
	log_info(r->p.log, "flow failed aor=%s/%s contact=%s", key->domain, key->number, b->contact);
	bindings_remove(container_of(b, struct entry, b));
}

/* What stands between the brackets of an instance, and which of the exchange's phones that is. */
static int write_instance(struct registrar_gruu *out, struct str urn, const struct sip_uri *uri)
{
	struct str sg = STR_NULL;

	sip_param_find(uri->params, "sg", &sg);
	if (str_copy(sg, out->sg, sizeof(out->sg)) != 0)
		return -ESTALE;
	int n = snprintf(out->instance, sizeof(out->instance), "<%.*s>", STR_ARG(urn));

	return n > 0 && (size_t)n < sizeof(out->instance) ? 0 : -ESTALE;
}

int registrar_gruu_find(struct registrar *r, const char *domain, const struct sip_uri *uri, struct registrar_gruu *out)
{
	const struct entry *e;
	struct str urn = STR_NULL;
	uint64_t id = 0;

	switch (gruu_read(r->gruus, uri, &urn, &id)) {
	case GRUU_NONE:
		return -ENOENT;
	case GRUU_PUBLIC:
		if (sip_unescape(uri->user, out->number, sizeof(out->number)) != 0 ||
		    str_copy(str_from(domain), out->domain, sizeof(out->domain)) != 0)
			return -ESTALE;
		return write_instance(out, urn, uri);
	case GRUU_TEMPORARY:
		e = bindings_of_gruu_id(r->bindings, id);
		if (!e)
			return -ESTALE;
		str_put(out->domain, sizeof(out->domain), e->aor->domain);
		str_put(out->number, sizeof(out->number), e->aor->number);
		str_put(out->instance, sizeof(out->instance), e->b.instance);
		out->sg[0] = '\0';
		return 0;
	case GRUU_FORGED:
		break;
	}
	return -ESTALE;
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

void registrar_unwatch(struct registrar *r, void *arg)
{
	bindings_unwatch(r->bindings, arg);
}

void registrar_each(struct registrar *r, void (*fn)(const char *domain, const char *number, void *arg), void *arg)
{
	for (const struct aor *aor = r->bindings->aors; aor; aor = aor->hh.next)
		fn(aor->domain, aor->number, arg);
}

/* register.c - what a REGISTER changes, by the steps of RFC 3261 §10.3: whole or not at all.
 *
 * A request becomes a list of changes first: per contact the entry to put in or the one to take out, checked, allocated and
 * counted. Only a list without fault touches the table.
 *
 * Which binding a contact is about is RFC 5626 §6's: a phone that names itself (+sip.instance) is known by that, and by its
 * reg-id which of its flows it is; else the URI decides. A phone that says who it is takes the place of all it had
 * registered before and doesn't name now, or a restart with another address would let it ring twice; only flows stand
 * beside each other.
 */
#define LOG_MODULE "registrar"
#include <errno.h>

#include "base/log.h"
#include "registrar/registrar_int.h"

#define HOUR_S 3600              /* RFC 3261 §10.3: intervals of an hour and more are never too brief */

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

static struct str instance_of(const struct sip_addr *contact)
{
	struct str value;

	if (!sip_param_find(contact->params, "+sip.instance", &value) || !is_plain(value))
		return STR_NULL;
	value = unquoted(value);
	return value.n <= BINDING_INSTANCE_MAX ? value : STR_NULL;
}

static void copy_user_agent(char *to, size_t size, struct str from)
{
	size_t n = from.n < size - 1 ? from.n : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = from.p[i] >= ' ' && from.p[i] <= '~' ? from.p[i] : '?';
	to[n] = '\0';
}

/* ---- the way to it ---- */

/* RFC 3327 §5.3. A phone that doesn't say Supported: path gets its proxies' way all the same: without it, it could not be
 * called, and the proxies have asked for it (421 and 420 are theirs to answer). */
static struct fault read_path(struct registration *r)
{
	struct sip_hdr_iter it = { 0 };
	struct str element;
	struct sip_addr a;
	struct out o;

	out_init(&o, r->path, sizeof(r->path) - 1);
	while (sip_msg_element_next(r->m, SIP_HDR_PATH, &it, &element)) {
		if (sip_addr_parse(&a, element) != 0 || !is_plain(element) || element.p[element.n - 1] == ',' ||
		    (a.uri.scheme != SIP_SCHEME_SIP && a.uri.scheme != SIP_SCHEME_SIPS))
			return fault_of(400, "Malformed Path");
		out_z(&o, o.len ? "," : "");
		out_str(&o, element);
	}
	if (!out_ok(&o))
		return fault_of(400, "Path is too long");
	r->path[o.len] = '\0';
	return no_fault();
}

static bool has_one_via(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str via;

	return !sip_msg_element_next(m, SIP_HDR_VIA, &it, &via) || !sip_msg_element_next(m, SIP_HDR_VIA, &it, &via);
}

/* Did the first proxy, that has the flow to the phone, say that it keeps it? It is the one that wrote the last Path. */
static bool is_first_hop_able(const struct registration *r)
{
	struct sip_hdr_iter it = { 0 };
	struct str element;
	struct sip_addr a;
	bool is_able = false;

	if (r->is_direct)
		return true; /* that is us */
	while (sip_msg_element_next(r->m, SIP_HDR_PATH, &it, &element))
		is_able = sip_addr_parse(&a, element) == 0 && sip_param_find(a.uri.params, "ob", NULL);
	return is_able;
}

/* ---- contacts ---- */

void register_fini(struct registration *r)
{
	for (unsigned i = 0; i < r->n; i++)
		bindings_entry_free(r->changes[i].add);
	r->n = 0;
}

/* RFC 3261 §10.3 step 7: within one Call-ID the requests must come in order. */
static bool is_out_of_order(const struct registration *r, const struct entry *old)
{
	return str_eqz(r->m->call_id, old->b.call_id) && r->m->cseq.seq <= old->b.cseq;
}

/* Its temporary GRUUs hold as long as the phone registers with one Call-ID (RFC 5627 §5.1). */
static uint64_t gruu_id_for(const struct registration *r, const struct contact_key *key)
{
	uint64_t id;

	if (!gruu_is_possible(key->instance))
		return 0;
	for (const struct binding *b = r->aor ? r->aor->first : NULL; b; b = b->next)
		if (b->gruu_id && binding_has_instance(b, key->instance) && str_eqz(r->m->call_id, b->call_id))
			return b->gruu_id;
	do
		rng_fill(r->p->rng, &id, sizeof(id));
	while (!id || bindings_of_gruu_id(r->bindings, id));
	return id;
}

static struct fault new_entry(const struct registration *r, const struct sip_addr *contact, const struct contact_key *key,
			      uint32_t expires_s, struct entry **out)
{
	const struct sip_source *src = strans_source(r->st);
	char text[BINDING_CONTACT_MAX], call_id[BINDING_CALL_ID_MAX + 1], instance[BINDING_INSTANCE_MAX + 1];
	struct binding b = {
		.contact = text,
		.call_id = call_id,
		.path = r->path[0] ? (char *)r->path : NULL,
		.cseq = r->m->cseq.seq,
		.reg_id = key->reg_id,
		.q_milli = 1000,
		.expires_at_ms = r->now_ms + (int64_t)expires_s * 1000,
		.dest = { .proto = src->proto, .addr = src->peer, .flow = src->flow },
	};

	if (str_copy(key->uri, text, sizeof(text)) != 0)
		return fault_of(400, "Contact is too long");
	if (str_copy(r->m->call_id, call_id, sizeof(call_id)) != 0)
		return fault_of(400, "Call-ID is too long");
	b.q_milli = sip_param_q_milli(contact->params);
	if (key->instance.n && str_copy(key->instance, instance, sizeof(instance)) == 0) {
		b.instance = instance;
		/* A GRUU of an exchange would have to name its phones, of which we know nothing. */
		if (!sip_param_find(contact->uri.params, "bnc", NULL))
			b.gruu_id = gruu_id_for(r, key);
	}
	copy_user_agent(b.user_agent, sizeof(b.user_agent), sip_msg_value(r->m, SIP_HDR_USER_AGENT));
	*out = bindings_entry_new(r->bindings, &b);
	return *out ? no_fault() : fault_of(500, "Out of memory");
}

static bool is_text(struct str s, const char *z)
{
	return z ? str_eqz(s, z) : !s.n;
}

/* Nothing of it is new but when it ends, and the number of the request: most that come are so. */
static bool is_refresh(const struct registration *r, const struct sip_addr *contact, const struct contact_key *key, const struct entry *old)
{
	const struct sip_source *src = strans_source(r->st);
	char user_agent[sizeof(old->b.user_agent)];

	if (!is_text(key->uri, old->b.contact) || !is_text(r->m->call_id, old->b.call_id) || !is_text(key->instance, old->b.instance) ||
	    !is_text(str_from(r->path), old->b.path) || key->reg_id != old->b.reg_id || (key->instance.n && !old->b.gruu_id) ||
	    old->b.dest.proto != src->proto || old->b.dest.flow != src->flow || !sockaddr_eq(&old->b.dest.addr, &src->peer))
		return false;
	copy_user_agent(user_agent, sizeof(user_agent), sip_msg_value(r->m, SIP_HDR_USER_AGENT));
	return sip_param_q_milli(contact->params) == old->b.q_milli && !strcmp(user_agent, old->b.user_agent);
}

/* The change that is about the same binding already. Equality of URIs isn't transitive (RFC 3261 §19.1.4), so two that differ
 * may both equal what is bound. */
static struct change *find_change(struct registration *r, const struct change *c)
{
	for (unsigned i = 0; i < r->n; i++)
		if ((c->uri.text.p && r->changes[i].uri.text.p && sip_uri_eq(&r->changes[i].uri, &c->uri)) ||
		    (c->old && r->changes[i].old == c->old))
			return &r->changes[i];
	return NULL;
}

static struct fault add_change(struct registration *r, const struct change *c)
{
	struct change *same = find_change(r, c);

	if (same) { /* the same one twice: the later word counts */
		bindings_entry_free(same->add);
		*same = *c;
		return no_fault();
	}
	if (r->n == REGISTER_CHANGES_MAX) {
		bindings_entry_free(c->add);
		return fault_of(403, "Too many contacts");
	}
	r->changes[r->n++] = *c;
	return no_fault();
}

/* RFC 5626 §6: a reg-id without instance counts for nothing, nor one of a phone that doesn't speak outbound. */
static struct contact_key key_of(const struct registration *r, const struct sip_addr *contact)
{
	struct contact_key key = { .uri = contact->uri.text, .instance = instance_of(contact) };
	struct str value;

	if (!r->is_outbound || !key.instance.n || !sip_param_find(contact->params, "reg-id", &value) ||
	    str_to_u32(value, REG_ID_MAX, &key.reg_id) != 0)
		key.reg_id = 0;
	return key;
}

/* RFC 6140 §5.1, §5.2: one contact for all numbers of an exchange has no user, and says so by an extension that must be understood. */
static struct fault check_bulk(const struct registration *r, const struct sip_addr *contact)
{
	const struct dir_extension *ext;

	if (!sip_param_find(contact->uri.params, "bnc", NULL))
		return no_fault();
	if (!sip_msg_has_token(r->m, SIP_HDR_REQUIRE, "gin"))
		return fault_of(400, "bnc needs Require: gin");
	if (contact->uri.user.n)
		return fault_of(400, "Contact with bnc has a user");
	if (directory_extension(r->p->directory, r->who->domain, str_from(r->who->number), &ext) != DIR_FOUND || !ext->may_bulk)
		return fault_of(403, "Not an exchange");
	return no_fault();
}

static bool is_secure(enum sip_proto proto)
{
	return proto == SIP_TLS || proto == SIP_WSS;
}

static struct fault plan_contact(struct registration *r, struct str element)
{
	struct sip_addr contact;
	struct contact_key key;
	struct change change;
	struct str value;
	uint32_t expires_s = r->default_s;

	if (sip_addr_parse(&contact, element) != 0)
		return fault_of(400, "Malformed Contact");
	if ((contact.uri.scheme != SIP_SCHEME_SIP && contact.uri.scheme != SIP_SCHEME_SIPS) || !is_plain(contact.uri.text))
		return fault_of(400, "Contact isn't a SIP URI");
	struct fault bulk = check_bulk(r, &contact);
	if (bulk.status)
		return bulk;
	if (sip_param_find(contact.params, "expires", &value))
		expires_s = read_expires(value, r->default_s);
	/* RFC 5630: calls to it would come by the hop that this came by. What a proxy before us speaks with it, that knows. */
	if (contact.uri.scheme == SIP_SCHEME_SIPS && expires_s && !sip_msg_has(r->m, SIP_HDR_PATH) && !is_secure(strans_source(r->st)->proto))
		return fault_of(400, "SIPS Contact over an insecure transport");
	if (expires_s && expires_s < r->p->min_expires_s && expires_s < HOUR_S)
		return fault_of(423, NULL);
	if (expires_s > r->p->max_expires_s)
		expires_s = r->p->max_expires_s;

	key = key_of(r, &contact);
	change = (struct change){ .old = bindings_entry(r->aor, &key), .uri = contact.uri };
	if (change.old && is_out_of_order(r, change.old))
		return fault_of(500, "CSeq is not higher than that of the binding");
	if (expires_s && change.old && is_refresh(r, &contact, &key, change.old)) {
		change.refresh_until_ms = r->now_ms + (int64_t)expires_s * 1000;
		r->is_flow |= key.reg_id != 0;
	} else if (expires_s) {
		struct fault fault = new_entry(r, &contact, &key, expires_s, &change.add);

		if (fault.status)
			return fault;
		r->is_flow |= key.reg_id != 0;
	}
	return add_change(r, &change);
}

/* What is bound when it is done; NULL: nothing. */
static const struct entry *bound_by(const struct change *c)
{
	return c->add ? c->add : c->refresh_until_ms ? c->old : NULL;
}

static bool is_superseded(const struct binding *b, const struct entry *by)
{
	return by && binding_is_same_instance(b, &by->b) && !(b->reg_id && by->b.reg_id);
}

/* What the phone had before and doesn't name any more goes. */
static struct fault plan_superseded(struct registration *r)
{
	unsigned n = r->n; /* what this adds supersedes nothing */

	for (struct binding *b = r->aor ? r->aor->first : NULL; b; b = b->next) {
		struct change change = { .old = container_of(b, struct entry, b), .is_superseded = true };

		for (unsigned i = 0; i < n; i++) {
			struct fault fault = no_fault();

			if (!is_superseded(b, bound_by(&r->changes[i])) || find_change(r, &change))
				continue;
			if (is_out_of_order(r, change.old))
				return fault_of(500, "CSeq is not higher than that of the binding");
			fault = add_change(r, &change);
			if (fault.status)
				return fault;
		}
	}
	return no_fault();
}

/* Contact: * takes all away (RFC 3261 §10.2.2). */
static struct fault plan_all(struct registration *r)
{
	for (struct binding *b = r->aor ? r->aor->first : NULL; b; b = b->next) {
		struct entry *e = container_of(b, struct entry, b);

		if (is_out_of_order(r, e))
			return fault_of(500, "CSeq is not higher than that of the binding");
		if (r->n == REGISTER_CHANGES_MAX)
			return fault_of(500, "Too many contacts");
		r->changes[r->n++] = (struct change){ .old = e };
	}
	return no_fault();
}

/* ---- the whole ---- */

static struct fault check_count(const struct registration *r)
{
	unsigned n = r->aor ? r->aor->count : 0;
	bool is_adding = false;

	for (unsigned i = 0; i < r->n; i++) {
		n -= r->changes[i].old != NULL;
		n += bound_by(&r->changes[i]) != NULL;
		is_adding |= r->changes[i].add && !r->changes[i].old;
	}
	return is_adding && n > r->p->max_contacts ? fault_of(403, "Too many contacts") : no_fault();
}

/* RFC 5626 §6. */
static struct fault check_flow(const struct registration *r)
{
	unsigned n = 0;

	if (!r->is_flow)
		return no_fault();
	for (unsigned i = 0; i < r->n; i++)
		n += bound_by(&r->changes[i]) != NULL;
	if (n > 1)
		return fault_of(400, "A flow is registered alone");
	return is_first_hop_able(r) ? no_fault() : fault_of(439, NULL);
}

static struct fault plan_contacts(struct registration *r)
{
	struct sip_hdr_iter it = { 0 };
	struct fault fault = no_fault();
	struct str element;
	unsigned n = 0;
	bool is_star = false;

	while (sip_msg_element_next(r->m, SIP_HDR_CONTACT, &it, &element)) {
		n++;
		is_star |= str_eqz(element, "*");
	}
	if (is_star) {
		if (n != 1)
			return fault_of(400, "Contact: * must stand alone");
		if (sip_msg_expires(r->m, -1) != 0)
			return fault_of(400, "Contact: * needs Expires: 0");
		r->is_removing = true;
		return plan_all(r);
	}
	it = (struct sip_hdr_iter){ 0 };
	while (!fault.status && sip_msg_element_next(r->m, SIP_HDR_CONTACT, &it, &element))
		fault = plan_contact(r, element);
	return fault;
}

struct fault register_plan(struct registration *r)
{
	struct fault fault = no_fault();

	r->default_s = read_expires(sip_msg_value(r->m, SIP_HDR_EXPIRES), r->p->default_expires_s);
	r->is_direct = has_one_via(r->m);
	r->is_outbound = sip_msg_has_token(r->m, SIP_HDR_SUPPORTED, "outbound") ||
			 sip_msg_has_token(r->m, SIP_HDR_REQUIRE, "outbound");
	if (!is_plain(r->m->call_id))
		return fault_of(400, "Malformed Call-ID");
	if (sip_msg_has(r->m, SIP_HDR_PATH))
		fault = read_path(r);
	if (!fault.status)
		fault = plan_contacts(r);
	for (unsigned i = 0; i < r->n; i++)
		r->is_removing |= !bound_by(&r->changes[i]);
	if (!fault.status)
		fault = check_flow(r);
	if (!fault.status)
		fault = plan_superseded(r);
	/* What is to be removed may be read later. */
	if (!fault.status && r->is_removing && !bindings_is_loaded(r->bindings))
		return fault_of(503, NULL);
	return fault.status ? fault : check_count(r);
}

/* ---- doing it ---- */

static void log_change(const struct registration *r, const struct change *c)
{
	const struct binding *b = c->add ? &c->add->b : &c->old->b;
	char addr[SOCKADDR_TEXT_MAX];

	if (c->refresh_until_ms || (c->add && c->old)) {
		log_debug(r->p->log, "refreshed aor=%s/%s contact=%s", r->who->domain, r->who->number, b->contact);
		return;
	}
	log_info(r->p->log, "%s aor=%s/%s contact=%s via=%s from=%s agent=\"%s\"",
		 c->add ? "registered" : c->is_superseded ? "replaced" : "unregistered", r->who->domain, r->who->number, b->contact,
		 sip_proto_name(b->dest.proto), sockaddr_print(&b->dest.addr, addr), b->user_agent);
}

static void put_in(struct registration *r, struct change *c)
{
	struct entry *e = c->add;

	log_change(r, c);
	if (c->refresh_until_ms) {
		bindings_refresh(c->old, r->m->cseq.seq, c->refresh_until_ms);
	} else {
		c->add = NULL;
		if (bindings_put(r->bindings, r->who->domain, r->who->number, e, c->old) != 0)
			log_error(r->p->log, "no memory for a binding of %s/%s", r->who->domain, r->who->number);
		r->aor = NULL;
	}
	c->old = NULL; /* replaced and freed, or nothing there, or as it was */
}

/* Removals last: the aor lives as long as it has a binding, and the entries of the list point into it. */
void register_carry_out(struct registration *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (bound_by(&r->changes[i]))
			put_in(r, &r->changes[i]);
	for (unsigned i = 0; i < r->n; i++) {
		if (!r->changes[i].old)
			continue;
		log_change(r, &r->changes[i]);
		bindings_remove(r->changes[i].old);
		r->aor = NULL;
	}
	if (!r->aor)
		r->aor = bindings_find(r->bindings, r->who->domain, str_from(r->who->number));
}

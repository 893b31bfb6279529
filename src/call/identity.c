/* identity.c - reads and writes who somebody is. The matrix of trust and privacy is in the two predicates before identity_print(). */
#include "call/identity.h"

static const struct { const char *token; unsigned bit; } privacies[] = {
	{ "header", PRIVACY_HEADER }, { "session", PRIVACY_SESSION }, { "user", PRIVACY_USER }, { "none", PRIVACY_NONE },
	{ "critical", PRIVACY_CRITICAL }, { "id", PRIVACY_ID }, { "history", PRIVACY_HISTORY },
};

/* ---- reading ---- */

static unsigned privacy_bit(struct str token)
{
	for (size_t i = 0; i < ARRAY_LEN(privacies); i++)
		if (str_ieqz(token, privacies[i].token))
			return privacies[i].bit;
	return PRIVACY_UNKNOWN;
}

unsigned privacy_parse(struct str list)
{
	unsigned bits = 0;

	while (list.p) {
		struct str token = str_trim(str_cut(&list, ';'));

		if (token.n)
			bits |= privacy_bit(token);
	}
	return bits;
}

unsigned privacy_of(const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct str element;
	unsigned bits = 0;

	/* RFC 3323 §4.2 puts ';' between values; as lists are written elsewhere, some phones put ','. */
	while (sip_msg_element_next(m, SIP_HDR_PRIVACY, &it, &element))
		bits |= privacy_parse(element);
	return bits;
}

bool identity_is_anonymous_uri(const struct sip_uri *uri)
{
	return str_ieqz(uri->user, "anonymous") && (str_ieqz(uri->host, "anonymous.invalid") || !uri->host.n);
}

void identity_number_of(const struct sip_uri *uri, char *buf, size_t size)
{
	buf[0] = '\0';
	if (sip_uri_number(uri, buf, size) != 0)
		return;
	for (const char *p = buf; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			buf[0] = '\0';
}

void identity_name_of(struct str display, char *buf, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < display.n; i++) {
		if (display.p[i] == '\\' && i + 1 < display.n)
			i++;
		if ((unsigned char)display.p[i] < ' ' || display.p[i] == 127)
			continue;
		if (n + 1 == size) {
			/* cut between characters of UTF-8 */
			while (n && ((unsigned char)buf[n - 1] & 0xc0) == 0x80)
				n--;
			if (n && (unsigned char)buf[n - 1] >= 0xc0)
				n--;
			break;
		}
		buf[n++] = display.p[i];
	}
	buf[n] = '\0';
}

static bool take_addr(struct identity *out, struct str element, struct sip_addr *a)
{
	char number[sizeof(out->number)];

	if (sip_addr_parse(a, element) != 0 || identity_is_anonymous_uri(&a->uri))
		return false;
	identity_number_of(&a->uri, number, sizeof(number));
	if (!number[0])
		return false;
	str_put(out->number, sizeof(out->number), number);
	if (a->display.n)
		identity_name_of(a->display, out->name, sizeof(out->name));
	return true;
}

/* RFC 3325 §9.1: at most a sip and a tel URI; the sip one is where a name stands, as a rule. */
static bool take_asserted(struct identity *out, const struct sip_msg *m)
{
	struct sip_hdr_iter it = { 0 };
	struct identity one;
	struct sip_addr a;
	struct str element;
	bool has_any = false;

	while (sip_msg_element_next(m, SIP_HDR_P_ASSERTED_IDENTITY, &it, &element)) {
		one = (struct identity){ 0 };
		if (!take_addr(&one, element, &a))
			continue;
		/* The telephone number is the better number, a name wherever it stands. */
		if (!has_any || a.uri.scheme == SIP_SCHEME_TEL)
			str_put(out->number, sizeof(out->number), one.number);
		if (!out->name[0])
			str_put(out->name, sizeof(out->name), one.name);
		has_any = true;
	}
	return has_any;
}

static bool take_rpid(struct identity *out, const struct sip_msg *m)
{
	/* Inside a dialog either of them may speak. */
	const char *wanted = !m->is_request ? "called" : m->to.tag.n ? NULL : "calling";
	struct sip_hdr_iter it = { 0 };
	struct sip_addr a;
	struct str element, party, privacy;

	while (sip_msg_element_next(m, SIP_HDR_REMOTE_PARTY_ID, &it, &element)) {
		if (sip_addr_parse(&a, element) != 0 || (wanted && sip_param_find(a.params, "party", &party) && !str_ieqz(party, wanted)) ||
		    !take_addr(out, element, &a))
			continue;
		if (sip_param_find(a.params, "privacy", &privacy) && !str_ieqz(privacy, "off"))
			out->privacy |= PRIVACY_ID;
		return true;
	}
	return false;
}

bool identity_asserted(struct identity *out, const struct sip_msg *m)
{
	*out = (struct identity){ .privacy = privacy_of(m) };
	return take_asserted(out, m) || take_rpid(out, m);
}

bool identity_of_trunk(struct identity *out, const struct sip_msg *m, bool is_trusted)
{
	struct sip_addr a;

	*out = (struct identity){ .privacy = privacy_of(m) };
	if (is_trusted && (take_asserted(out, m) || take_rpid(out, m))) {
		/* It hides itself in From without saying so by Privacy: so do gateways that know no Privacy. */
		if (m->is_request && identity_is_anonymous_uri(&m->from.uri) && !(out->privacy & PRIVACY_NONE))
			out->privacy |= PRIVACY_ID;
		return true;
	}
	return m->is_request && take_addr(out, m->from.value, &a);
}

const char *identity_preferred(const struct sip_msg *m, const char *const *allowed, unsigned n)
{
	struct sip_hdr_iter it = { 0 };
	struct identity id = { 0 };
	struct sip_addr a;
	struct str element;

	while (sip_msg_element_next(m, SIP_HDR_P_PREFERRED_IDENTITY, &it, &element))
		for (unsigned i = 0; take_addr(&id, element, &a) && i < n; i++)
			if (allowed[i] && !strcmp(allowed[i], id.number))
				return allowed[i];
	return NULL;
}

/* ---- writing ---- */

void identity_print_addr(struct out *o, const char *number, const char *name, const char *host, bool is_hidden)
{
	if (is_hidden || !number[0]) {
		out_z(o, "\"Anonymous\" <" IDENTITY_ANONYMOUS_URI ">");
		return;
	}
	if (name && name[0]) {
		out_chr(o, '"');
		for (const char *p = name; *p; p++) {
			if (*p == '"' || *p == '\\')
				out_chr(o, '\\');
			if (*p != '\r' && *p != '\n')
				out_chr(o, *p);
		}
		out_z(o, "\" ");
	}
	out_z(o, "<sip:");
	sip_escape_user(o, str_from(number));
	out_chr(o, '@');
	out_z(o, host);
	out_chr(o, '>');
}

static void print_privacy(struct out *o, unsigned bits)
{
	bool is_first = true;

	for (size_t i = 0; i < ARRAY_LEN(privacies); i++) {
		if (!(bits & privacies[i].bit))
			continue;
		out_z(o, is_first ? "Privacy: " : ";");
		out_z(o, privacies[i].token);
		is_first = false;
	}
	if (!is_first)
		out_z(o, "\r\n");
}

/* RFC 3325 §5, §7: across the boundary goes nobody who wants privacy. */
static bool may_assert(const struct identity *id, const struct identity_rules *rules)
{
	return rules->is_trusted || !identity_is_hidden(id);
}

/* Whoever is told in spite of a wish is told the wish. */
static bool needs_privacy(const struct identity *id, const struct identity_rules *rules)
{
	return id->privacy && (rules->has_preferred || (rules->is_trusted && (rules->has_asserted || rules->has_rpid)));
}

void identity_print(struct out *o, const struct identity *id, const char *host, const struct identity_rules *rules, enum identity_party party)
{
	if (id->number[0] && rules->has_asserted && may_assert(id, rules)) {
		out_z(o, "P-Asserted-Identity: ");
		identity_print_addr(o, id->number, id->name, host, false);
		out_z(o, "\r\n");
	}
	if (id->number[0] && rules->has_preferred && party == IDENTITY_CALLING) {
		out_z(o, "P-Preferred-Identity: ");
		identity_print_addr(o, id->number, id->name, host, false);
		out_z(o, "\r\n");
	}
	if (id->number[0] && rules->has_rpid && may_assert(id, rules)) {
		out_z(o, "Remote-Party-ID: ");
		identity_print_addr(o, id->number, id->name, host, false);
		out_z(o, party == IDENTITY_CALLING ? ";party=calling" : ";party=called");
		out_z(o, identity_is_hidden(id) ? ";privacy=full;screen=yes\r\n" : ";privacy=off;screen=yes\r\n");
	}
	if (needs_privacy(id, rules))
		print_privacy(o, id->privacy);
}

void identity_print_connected(struct out *o, const struct identity *id, const char *host, const struct identity_rules *rules,
			      enum identity_party party)
{
	if (!id->number[0] || !may_assert(id, rules)) {
		if (rules->has_asserted)
			out_z(o, "P-Asserted-Identity: \"Anonymous\" <" IDENTITY_ANONYMOUS_URI ">\r\n");
		if (rules->has_rpid)
			out_fmt(o, "Remote-Party-ID: \"Anonymous\" <" IDENTITY_ANONYMOUS_URI ">;party=%s;privacy=full;screen=yes\r\n",
				party == IDENTITY_CALLING ? "calling" : "called");
	}
	identity_print(o, id, host, rules, party);
}

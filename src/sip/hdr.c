/* hdr.c - structured header values: addresses, Via, CSeq, lists, digest challenges and credentials.
 *
 * All work on one slice and return slices of it. Quotes hide separators; "<...>" hides commas and semicolons.
 */
#include <errno.h>

#include "sip/msg.h"

/* Index behind the quoted string that starts at i, or s.n + 1 when it doesn't end. */
static size_t skip_quoted(struct str s, size_t i)
{
	for (i++; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i + 1;
	}
	return s.n + 1;
}

/* ---- lists ---- */

bool sip_msg_hdr_next(const struct sip_msg *m, enum sip_hdr_id id, struct sip_hdr_iter *it, struct str *out)
{
	unsigned i = it->started ? it->hdr + 1 : m->first[id] < 0 ? m->nhdrs : (unsigned)m->first[id];

	it->started = true;
	for (; i < m->nhdrs; i++)
		if (m->hdrs[i].id == id) {
			it->hdr = i;
			it->at = 0;
			*out = m->hdrs[i].value;
			return true;
		}
	it->hdr = m->nhdrs;
	return false;
}

/* End of the list element that starts at i: its comma or the end. */
static size_t element_end(struct str s, size_t i)
{
	bool in_angle = false;

	if (i >= s.n || !memchr(s.p + i, ',', s.n - i))
		return s.n;
	while (i < s.n) {
		if (s.p[i] == '"') {
			i = skip_quoted(s, i);
			continue;
		}
		if (s.p[i] == '<')
			in_angle = true;
		else if (s.p[i] == '>')
			in_angle = false;
		else if (s.p[i] == ',' && !in_angle)
			return i;
		i++;
	}
	return s.n;
}

bool sip_msg_element_next(const struct sip_msg *m, enum sip_hdr_id id, struct sip_hdr_iter *it, struct str *out)
{
	struct str value;

	if (!it->started && !sip_msg_hdr_next(m, id, it, &value))
		return false;
	while (it->hdr < m->nhdrs) {
		value = m->hdrs[it->hdr].value;
		while (it->at < value.n) {
			size_t end = element_end(value, it->at);

			*out = str_trim((struct str){ value.p + it->at, end - it->at });
			it->at = end + 1;
			if (out->n)
				return true;
		}
		if (!sip_msg_hdr_next(m, id, it, &value))
			return false;
	}
	return false;
}

bool sip_msg_has_token(const struct sip_msg *m, enum sip_hdr_id id, const char *token)
{
	struct sip_hdr_iter it = { 0 };
	struct str one;

	while (sip_msg_element_next(m, id, &it, &one))
		if (str_ieqz(one, token))
			return true;
	return false;
}

void sip_token_params(struct str value, struct str *token, struct str *params)
{
	struct str rest = value;

	*token = str_trim(str_cut(&rest, ';'));
	*params = rest.p ? str_trim(rest) : STR_NULL;
}

/* ---- addresses ---- */

static int parse_display_and_uri(struct sip_addr *a, struct str s, struct str *tail)
{
	size_t i = 0;
	ptrdiff_t end;

	if (s.p[0] == '"') {
		i = skip_quoted(s, 0);
		if (i > s.n)
			return -EINVAL;
		a->display = (struct str){ s.p + 1, i - 2 };
		while (i < s.n && (s.p[i] == ' ' || s.p[i] == '\t'))
			i++;
		if (i == s.n || s.p[i] != '<')
			return -EINVAL;
	} else {
		ptrdiff_t angle = str_find_chr(s, '<');

		if (angle < 0) {
			/* addr-spec without <>: what follows ';' are header parameters (RFC 3261 §20). */
			struct str rest = s, uri = str_trim(str_cut(&rest, ';'));

			*tail = rest.p ? rest : STR_NULL;
			if (str_find_chr(uri, '?') >= 0 || str_find_chr(uri, ',') >= 0)
				return -EINVAL;
			return sip_uri_parse(&a->uri, uri);
		}
		i = (size_t)angle;
		a->display = str_trim((struct str){ s.p, i });
		/* Only a quoted string has escapes; this text is quoted when it is written back, and a '\\' would undo the quote. */
		if (str_find_chr(a->display, '"') >= 0 || str_find_chr(a->display, '\\') >= 0)
			return -EINVAL;
	}
	s = str_from_at(s, i + 1);
	end = str_find_chr(s, '>');
	if (end < 0)
		return -EINVAL;
	*tail = str_trim(str_from_at(s, (size_t)end + 1));
	if (tail->n) {
		if (tail->p[0] != ';')
			return -EINVAL;
		*tail = str_from_at(*tail, 1);
	}
	return sip_uri_parse(&a->uri, str_trim((struct str){ s.p, (size_t)end }));
}

int sip_addr_parse(struct sip_addr *out, struct str value)
{
	struct sip_addr a = { .value = str_trim(value) };
	struct str tail = STR_NULL;
	int err;

	if (!a.value.n)
		return -EINVAL;
	err = parse_display_and_uri(&a, a.value, &tail);
	if (err)
		return err;
	a.params = tail;
	if (sip_param_find(tail, "tag", &a.tag) && !a.tag.n)
		return -EINVAL;
	*out = a;
	return 0;
}

/* ---- Via, CSeq ---- */

/* Of a parameter that stands twice the first counts. */
static void take_via_params(struct sip_via *v)
{
	struct str params = v->params, name, value;

	while (sip_param_next(&params, &name, &value)) {
		if (!v->branch.p && str_ieqz(name, "branch"))
			v->branch = value;
		else if (!v->received.p && str_ieqz(name, "received"))
			v->received = value;
		else if (str_ieqz(name, "rport"))
			v->has_rport = true;
	}
}

int sip_via_parse(struct sip_via *out, struct str value)
{
	struct sip_via v = { 0 };
	struct str s, protocol, name, version, sent_by;
	size_t end = element_end(value, 0);
	ptrdiff_t colon;
	uint32_t port;

	v.value = str_trim((struct str){ value.p, end });
	s = v.value;
	protocol = s;
	name = str_trim(str_cut(&protocol, '/'));
	version = str_trim(str_cut(&protocol, '/'));
	protocol = str_trim(protocol);
	if (!str_ieqz(name, "SIP") || !str_eqz(version, "2.0") || !protocol.n)
		return -EINVAL;
	v.transport = protocol;
	for (size_t i = 0; i < protocol.n; i++)
		if (protocol.p[i] == ' ' || protocol.p[i] == '\t') {
			v.transport.n = i;
			break;
		}
	sent_by = str_trim(str_from_at(protocol, v.transport.n));
	v.params = STR_NULL;
	v.host = str_trim(str_cut(&sent_by, ';'));
	if (sent_by.p)
		v.params = sent_by;
	/* host [ ":" port ], white space around the colon allowed */
	colon = v.host.n && v.host.p[0] == '[' ? str_find_chr(v.host, ']') : -1;
	if (colon >= 0) {
		ptrdiff_t after = str_find_chr(str_from_at(v.host, (size_t)colon), ':');

		colon = after < 0 ? -1 : colon + after;
	} else {
		colon = str_find_chr(v.host, ':');
	}
	if (colon >= 0) {
		if (str_to_u32(str_trim(str_from_at(v.host, (size_t)colon + 1)), 65535, &port) != 0)
			return -EINVAL;
		v.port = (uint16_t)port;
		v.host = str_trim((struct str){ v.host.p, (size_t)colon });
	}
	if (!v.host.n || str_find_chr(v.host, ' ') >= 0)
		return -EINVAL;
	take_via_params(&v);
	*out = v;
	return 0;
}

int sip_cseq_parse(struct sip_cseq *out, struct str value)
{
	struct str s = str_trim(value);
	size_t i = 0;
	uint32_t seq;

	while (i < s.n && s.p[i] != ' ' && s.p[i] != '\t')
		i++;
	/* RFC 3261 §8.1.1.5: less than 2^31 */
	if (str_to_u32((struct str){ s.p, i }, 0x7fffffff, &seq) != 0)
		return -EINVAL;
	out->seq = seq;
	out->method_name = str_trim(str_from_at(s, i));
	out->method = sip_method_parse(out->method_name);
	return out->method_name.n ? 0 : -EINVAL;
}

int64_t sip_msg_expires(const struct sip_msg *m, int64_t def)
{
	uint32_t v;

	if (!sip_msg_has(m, SIP_HDR_EXPIRES))
		return def;
	switch (str_to_u32(sip_msg_value(m, SIP_HDR_EXPIRES), UINT32_MAX, &v)) {
	case 0:
		return v;
	case -ERANGE:
		return UINT32_MAX;
	default:
		return -1;
	}
}

/* ---- digest ---- */

struct auth_field { const char *name; struct str *to; };

/* A quoted-string loses its quotes; its escapes stay. False: a quote or an escape where none may stand; it would end or open another
 * string when the value is said again between quotes. */
static bool unquote(struct str *s)
{
	size_t i = 1;

	if (!s->n || s->p[0] != '"')
		return str_find_chr(*s, '"') < 0 && str_find_chr(*s, '\\') < 0;
	while (i < s->n && s->p[i] != '"')
		i += s->p[i] == '\\' ? 2 : 1;
	if (i + 1 != s->n)
		return false;
	*s = (struct str){ s->p + 1, s->n - 2 };
	return true;
}

static int parse_auth(struct str value, const struct auth_field *fields, size_t n)
{
	struct str s = str_trim(value);

	if (!str_istarts(s, STR("Digest")) || s.n < 7 || (s.p[6] != ' ' && s.p[6] != '\t'))
		return -EINVAL;
	s = str_from_at(s, 7);
	while (s.n) {
		size_t end = element_end(s, 0);
		struct str one = str_trim((struct str){ s.p, end < s.n ? end : s.n }), name;

		s = str_from_at(s, end + 1);
		if (!one.n)
			continue;
		name = str_trim(str_cut(&one, '='));
		if (!one.p)
			return -EINVAL;
		one = str_trim(one);
		if (!unquote(&one))
			return -EINVAL;
		for (size_t i = 0; i < n; i++)
			if (str_ieqz(name, fields[i].name)) {
				if (fields[i].to->p)
					return -EINVAL; /* twice */
				*fields[i].to = one;
			}
	}
	return 0;
}

int sip_challenge_parse(struct sip_challenge *out, struct str value)
{
	struct sip_challenge c = { 0 };
	struct str stale = STR_NULL, userhash = STR_NULL;
	const struct auth_field fields[] = {
		{ "realm", &c.realm }, { "nonce", &c.nonce }, { "opaque", &c.opaque }, { "algorithm", &c.algorithm },
		{ "qop", &c.qop }, { "domain", &c.domain }, { "stale", &stale }, { "userhash", &userhash },
	};
	int err = parse_auth(value, fields, ARRAY_LEN(fields));

	if (err || !c.realm.p || !c.nonce.p)
		return -EINVAL;
	c.stale = str_ieqz(stale, "true");
	c.userhash = str_ieqz(userhash, "true");
	*out = c;
	return 0;
}

int sip_credentials_parse(struct sip_credentials *out, struct str value)
{
	struct sip_credentials c = { 0 };
	struct str userhash = STR_NULL;
	const struct auth_field fields[] = {
		{ "username", &c.username }, { "realm", &c.realm }, { "nonce", &c.nonce }, { "uri", &c.uri },
		{ "response", &c.response }, { "algorithm", &c.algorithm }, { "cnonce", &c.cnonce }, { "opaque", &c.opaque },
		{ "qop", &c.qop }, { "nc", &c.nc }, { "userhash", &userhash }, { "username*", &c.username_ext },
	};
	int err = parse_auth(value, fields, ARRAY_LEN(fields));

	if (err || (!c.username.p && !c.username_ext.p) || !c.realm.p || !c.nonce.p || !c.uri.p || !c.response.p)
		return -EINVAL;
	c.userhash = str_ieqz(userhash, "true");
	*out = c;
	return 0;
}

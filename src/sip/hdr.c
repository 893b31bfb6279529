/* hdr.c - structured header values: addresses, Via, CSeq, lists, digest challenges and credentials.
 *
 * All work on one slice and return slices of it. Quotes hide separators; "<...>" hides commas and semicolons.
 */
#include <errno.h>

#include "base/scan.h"
#include "sip/chars.h"
#include "sip/msg.h"

/* Index behind the quoted string that starts at i, or s.n + 1 when it doesn't end. */
static size_t skip_quoted(struct str s, size_t i)
{
	const char *end = s.p + s.n, *at = s.p + i + 1;

	while (at < end) {
		at = scan_either(at, end, '"', '\\');
		if (at < end && *at == '"')
			return (size_t)(at + 1 - s.p);
		at += 2;
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
	const char *from = s.p + i, *end = s.p + s.n, *comma = i < s.n ? scan_either(from, end, ',', ',') : end;
	bool in_angle = false;

	if (comma == end)
		return s.n;
	if (scan_either(from, comma, '"', '<') == comma)
		return (size_t)(comma - s.p);
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

struct str sip_list_cut(struct str *list)
{
	size_t n = element_end(*list, 0);
	struct str element = str_trim((struct str){ list->p, n });

	*list = n < list->n ? str_from_at(*list, n + 1) : STR_NULL;
	return element;
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
	struct str value, want = str_from(token);

	while (sip_msg_hdr_next(m, id, &it, &value)) {
		const char *at = value.p, *end = value.p + value.n;

		/* Tokens have neither quotes nor brackets: a comma is always the end of one. */
		for (; at < end; at++) {
			const char *from = at;

			at = scan_either(at, end, ',', ',');
			if (str_ieq(str_trim((struct str){ from, (size_t)(at - from) }), want))
				return true;
		}
	}
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
	const char *end = s.p + s.n, *angle = scan_either(s.p, end, '<', '"');
	size_t i = 0;

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
		if (angle < end && *angle == '"')
			angle = scan_either(angle, end, '<', '<');
		if (angle == end) {
			/* addr-spec without <>: what follows ';' are header parameters (RFC 3261 §20). */
			struct str rest = s, uri = str_trim(str_cut(&rest, ';'));

			*tail = rest.p ? rest : STR_NULL;
			if (str_find_chr(uri, '?') >= 0 || str_find_chr(uri, ',') >= 0)
				return -EINVAL;
			return sip_uri_parse(&a->uri, uri);
		}
		i = (size_t)(angle - s.p);
		a->display = str_trim((struct str){ s.p, i });
		/* Only a quoted string has escapes; this text is quoted when it is written back, and a '\\' would undo the quote. */
		if (a->display.n && scan_either(s.p, angle, '"', '\\') < angle)
			return -EINVAL;
	}
	s = str_from_at(s, i + 1);
	angle = scan_either(s.p, end, '>', '>');
	if (angle == end)
		return -EINVAL;
	*tail = str_trim((struct str){ angle + 1, (size_t)(end - angle - 1) });
	if (tail->n) {
		if (tail->p[0] != ';')
			return -EINVAL;
		*tail = str_from_at(*tail, 1);
	}
	return sip_uri_parse(&a->uri, str_trim((struct str){ s.p, (size_t)(angle - s.p) }));
}

/* False: it is there, but empty. */
static bool take_tag(struct sip_addr *a)
{
	struct str first = a->params.n > strlen("tag=") ? str_from_at(a->params, strlen("tag=")) : STR_NULL;
	const char *end = first.n ? first.p + first.n : NULL;

	/* Mostly it stands alone. */
	if (end && !memcmp(a->params.p, "tag=", strlen("tag=")) && scan_either(first.p, end, ';', '"') == end)
		a->tag = str_trim(first);
	else if (!sip_param_find(a->params, "tag", &a->tag))
		return true;
	return a->tag.n > 0;
}

int sip_addr_parse(struct sip_addr *out, struct str value)
{
	*out = (struct sip_addr){ .value = str_trim(value) };
	if (out->value.n && parse_display_and_uri(out, out->value, &out->params) == 0 && take_tag(out))
		return 0;
	*out = (struct sip_addr){ 0 };
	return -EINVAL;
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

static void skip_space(struct str *s)
{
	size_t i = 0;

	while (i < s->n && (s->p[i] == ' ' || s->p[i] == '\t'))
		i++;
	*s = str_from_at(*s, i);
}

/* "SIP/2.0/UDP" and the white space behind, which may stand around its slashes too. */
static int take_protocol(struct sip_via *v, struct str *s)
{
	size_t n = 0;

	if (str_starts(*s, STR("SIP/2.0/"))) {
		*s = str_from_at(*s, strlen("SIP/2.0/"));
	} else {
		struct str name = str_trim(str_cut(s, '/')), version = str_trim(str_cut(s, '/'));

		if (!str_ieqz(name, "SIP") || !str_eqz(version, "2.0"))
			return -EINVAL;
	}
	skip_space(s);
	while (n < s->n && sip_char_is(s->p[n], SIP_CH_TOKEN))
		n++;
	if (n < s->n && s->p[n] != ' ' && s->p[n] != '\t')
		return -EINVAL;
	v->transport = (struct str){ s->p, n };
	*s = str_from_at(*s, n);
	skip_space(s);
	return n ? 0 : -EINVAL;
}

/* host [ ":" port ], white space around the colon allowed */
static int take_sent_by(struct sip_via *v, struct str *s)
{
	const char *end = s->n ? s->p + s->n : s->p, *semicolon = s->n ? scan_either(s->p, end, ';', ';') : end;
	struct str host = { s->p, (size_t)(semicolon - s->p) }, port = STR_NULL;
	size_t i = 0;
	uint32_t n;

	*s = str_from_at(*s, semicolon < end ? host.n + 1 : host.n);
	if (host.n && host.p[0] == '[') {
		while (i < host.n && host.p[i] != ']')
			i++;
		if (i == host.n)
			return -EINVAL;
	}
	while (i < host.n && host.p[i] != ':')
		i++;
	if (i < host.n) {
		port = str_trim(str_from_at(host, i + 1));
		if (str_to_u32(port, 65535, &n) != 0)
			return -EINVAL;
		v->port = (uint16_t)n;
	}
	v->host = str_trim((struct str){ host.p, i });
	if (!v->host.n)
		return -EINVAL;
	end = v->host.p + v->host.n;
	return scan_either(v->host.p, end, ' ', ' ') == end ? 0 : -EINVAL;
}

int sip_via_parse(struct sip_via *out, struct str value)
{
	struct sip_via v = { 0 };
	struct str s;

	v.value = str_trim((struct str){ value.p, element_end(value, 0) });
	s = v.value;
	if (take_protocol(&v, &s) != 0 || take_sent_by(&v, &s) != 0)
		return -EINVAL;
	v.params = s.n ? s : STR_NULL;
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

/* "application/sdp;q=0.3": 0 says no. */
static bool has_weight(struct str params)
{
	struct str q;

	if (!sip_param_find(params, "q", &q))
		return true;
	for (size_t i = 0; i < q.n; i++)
		if (q.p[i] >= '1' && q.p[i] <= '9')
			return true;
	return false;
}

/* A range is a type, or has a star for its second half, or for both. */
static bool is_in_range(struct str ctype, struct str range)
{
	struct str rest = ctype, main = str_cut(&rest, '/');

	if (str_ieq(range, ctype) || str_eqz(range, "*/*"))
		return true;
	return range.n == main.n + 2 && str_istarts(range, main) && str_eqz(str_from_at(range, main.n), "/*");
}

bool sip_msg_takes(const struct sip_msg *m, const char *ctype)
{
	struct sip_hdr_iter it = { 0 };
	struct str one, type, params;

	if (!sip_msg_has(m, SIP_HDR_ACCEPT))
		return true;
	while (sip_msg_element_next(m, SIP_HDR_ACCEPT, &it, &one)) {
		sip_token_params(one, &type, &params);
		if (is_in_range(str_from(ctype), type) && has_weight(params))
			return true;
	}
	return false;
}

/* ---- digest ---- */

struct auth_field { struct str name; struct str *to; };

/* A quoted-string loses its quotes; its escapes stay. False: a quote or an escape where none may stand; it would end or open another
 * string when the value is said again between quotes. */
static bool unquote(struct str *s)
{
	const char *end = s->p + s->n;

	if (!s->n || s->p[0] != '"')
		return scan_either(s->p, end, '"', '\\') == end;
	if (skip_quoted(*s, 0) != s->n)
		return false;
	*s = (struct str){ s->p + 1, s->n - 2 };
	return true;
}

static int parse_fields(struct str s, const struct auth_field *fields, size_t n)
{
	struct str name, one;

	while (sip_list_param_next(&s, ',', &name, &one)) {
		if (!one.p)
			return -EINVAL;
		if (!unquote(&one))
			return -EINVAL;
		for (size_t i = 0; i < n; i++)
			if (name.n == fields[i].name.n && (name.p[0] | 0x20) == fields[i].name.p[0] && str_ieq(name, fields[i].name)) {
				if (fields[i].to->p)
					return -EINVAL; /* twice */
				*fields[i].to = one;
				break;
			}
	}
	return 0;
}

static int parse_auth(struct str value, const struct auth_field *fields, size_t n)
{
	struct str s = str_trim(value);

	if (!str_istarts(s, STR("Digest")) || s.n < 7 || (s.p[6] != ' ' && s.p[6] != '\t'))
		return -EINVAL;
	return parse_fields(str_from_at(s, 7), fields, n);
}

int sip_auth_info_parse(struct sip_auth_info *out, struct str value)
{
	struct sip_auth_info i = { 0 };
	const struct auth_field fields[] = {
		{ STR("rspauth"), &i.rspauth }, { STR("cnonce"), &i.cnonce }, { STR("nc"), &i.nc }, { STR("qop"), &i.qop },
		{ STR("nextnonce"), &i.nextnonce },
	};

	if (parse_fields(str_trim(value), fields, ARRAY_LEN(fields)) != 0 || (!i.rspauth.p && !i.nextnonce.p))
		return -EINVAL;
	*out = i;
	return 0;
}

int sip_challenge_parse(struct sip_challenge *out, struct str value)
{
	struct sip_challenge c = { 0 };
	struct str stale = STR_NULL, userhash = STR_NULL;
	const struct auth_field fields[] = {
		{ STR("realm"), &c.realm }, { STR("nonce"), &c.nonce }, { STR("opaque"), &c.opaque }, { STR("algorithm"), &c.algorithm },
		{ STR("qop"), &c.qop }, { STR("domain"), &c.domain }, { STR("stale"), &stale }, { STR("userhash"), &userhash },
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
		{ STR("username"), &c.username }, { STR("realm"), &c.realm }, { STR("nonce"), &c.nonce }, { STR("uri"), &c.uri },
		{ STR("response"), &c.response }, { STR("algorithm"), &c.algorithm }, { STR("cnonce"), &c.cnonce }, { STR("opaque"), &c.opaque },
		{ STR("qop"), &c.qop }, { STR("nc"), &c.nc }, { STR("userhash"), &userhash }, { STR("username*"), &c.username_ext },
	};
	int err = parse_auth(value, fields, ARRAY_LEN(fields));

	if (err || (!c.username.p && !c.username_ext.p) || !c.realm.p || !c.nonce.p || !c.uri.p || !c.response.p)
		return -EINVAL;
	c.userhash = str_ieqz(userhash, "true");
	*out = c;
	return 0;
}

/* uri.c - parsing, comparing and escaping URIs (RFC 3261 §19.1, §25.1; RFC 3966).
 *
 * Parsing finds the borders of the parts and refuses characters that may not stand there; it unescapes nothing. Comparison
 * walks both texts and decodes escapes as it goes, so it needs no memory.
 */
#include "sip/uri.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/scan.h"
#include "sip/chars.h"

#define PARAMS_MAX 32 /* of URIs that are compared; one with more is equal to itself alone */

static bool is_alpha(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many characters of a set and whole escapes s begins with. */
static size_t span_of(struct str s, enum sip_char what)
{
	size_t i = 0;

	for (;;) {
		while (i < s.n && sip_char_is(s.p[i], what))
			i++;
		if (i + 2 >= s.n || s.p[i] != '%' || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)
			return i;
		i += 3;
	}
}

static bool all_of(struct str s, enum sip_char what)
{
	return span_of(s, what) == s.n;
}

/* Length of the host that s begins with; 0: none does. */
static size_t span_of_host(struct str s)
{
	size_t i = 0;

	if (!s.n || s.p[0] != '[') {
		while (i < s.n && sip_char_is(s.p[i], SIP_CH_HOST))
			i++;
		return i;
	}
	for (i = 1; i < s.n && s.p[i] != ']'; i++)
		if (!sip_char_is(s.p[i], SIP_CH_HEX) && s.p[i] != ':' && s.p[i] != '.' && s.p[i] != '%')
			return 0;
	return i >= 3 && i < s.n ? i + 1 : 0;
}

/* Up to what isn't a digit. */
static int parse_port(struct sip_uri *u, struct str *rest)
{
	uint32_t port = 0;
	size_t n = 0;

	for (; n < rest->n && is_digit(rest->p[n]); n++)
		if (port <= UINT16_MAX) /* else it stays too large */
			port = port * 10 + (uint32_t)(rest->p[n] - '0');
	*rest = str_from_at(*rest, n);
	if (port == 0 || port > UINT16_MAX)
		return -EINVAL;
	u->port = (uint16_t)port;
	return 0;
}

static int parse_userinfo(struct sip_uri *u, struct str userinfo)
{
	u->user = (struct str){ userinfo.p, span_of(userinfo, SIP_CH_USER) };
	if (u->user.n == 0)
		return -EINVAL;
	if (u->user.n == userinfo.n)
		return 0;
	if (userinfo.p[u->user.n] != ':')
		return -EINVAL;
	u->password = str_from_at(userinfo, u->user.n + 1);
	return all_of(u->password, SIP_CH_PASSWORD) ? 0 : -EINVAL;
}

static int parse_sip(struct sip_uri *u, struct str rest)
{
	/* The user part may hold ';' and '?' (RFC 3261 §25.1), so '@' is looked for first. */
	const char *end = rest.p + rest.n, *at = scan_either(rest.p, end, '@', '@');
	bool has_user = at < end;

	if (has_user) {
		if (parse_userinfo(u, (struct str){ rest.p, (size_t)(at - rest.p) }) != 0)
			return -EINVAL;
		rest = str_from_at(rest, (size_t)(at - rest.p) + 1);
	}
	u->host = (struct str){ rest.p, span_of_host(rest) };
	rest = str_from_at(rest, u->host.n);
	if (!u->host.n)
		return -EINVAL;
	if (rest.n && rest.p[0] == ':') {
		rest = str_from_at(rest, 1);
		if (parse_port(u, &rest) != 0)
			return -EINVAL;
	}
	if (rest.n && rest.p[0] == ';') {
		rest = str_from_at(rest, 1);
		u->params = (struct str){ rest.p, span_of(rest, SIP_CH_PARAMS) };
		rest = str_from_at(rest, u->params.n);
		/* Behind a user another '@' is one too many. */
		if (has_user && str_find_chr(u->params, '@') >= 0)
			return -EINVAL;
	}
	if (rest.n && rest.p[0] == '?') {
		u->headers = str_from_at(rest, 1);
		return all_of(u->headers, SIP_CH_HEADERS) ? 0 : -EINVAL;
	}
	return rest.n ? -EINVAL : 0;
}

static int parse_tel(struct sip_uri *u, struct str rest)
{
	u->user = str_cut(&rest, ';');
	u->params = rest.p ? rest : STR_NULL;
	if (u->user.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < u->user.n; i++)
		if (hex_value(u->user.p[i]) < 0 && !memchr("+-.()*#", u->user.p[i], 7))
			return -EINVAL; /* not strchr: that finds a NUL too */
	return all_of(u->params, SIP_CH_PARAMS) ? 0 : -EINVAL;
}

static int parse_other(struct str scheme, struct str rest)
{
	for (size_t i = 0; i < rest.n; i++)
		if ((unsigned char)rest.p[i] <= ' ' || rest.p[i] == 127 || rest.p[i] == '<' || rest.p[i] == '>')
			return -EINVAL;
	return sip_chars_are(scheme, SIP_CH_SCHEME) ? 0 : -EINVAL;
}

int sip_uri_parse(struct sip_uri *out, struct str text)
{
	struct str scheme, rest;
	ptrdiff_t colon;

	*out = (struct sip_uri){ .scheme = SIP_SCHEME_OTHER, .text = text };
	if (text.n > strlen("sip:") && memcmp(text.p, "sip:", strlen("sip:")) == 0) { /* nearly all */
		out->scheme = SIP_SCHEME_SIP;
		return parse_sip(out, str_from_at(text, strlen("sip:")));
	}
	colon = str_find_chr(text, ':');
	if (colon <= 0 || !is_alpha(text.p[0]))
		return -EINVAL;
	scheme = (struct str){ text.p, (size_t)colon };
	rest = str_from_at(text, (size_t)colon + 1);
	if (rest.n == 0)
		return -EINVAL;
	if (str_ieqz(scheme, "sip") || str_ieqz(scheme, "sips")) {
		out->scheme = scheme.n == 3 ? SIP_SCHEME_SIP : SIP_SCHEME_SIPS;
		return parse_sip(out, rest);
	}
	if (str_ieqz(scheme, "tel")) {
		out->scheme = SIP_SCHEME_TEL;
		return parse_tel(out, rest);
	}
	return parse_other(scheme, rest);
}

/* ---- parameters ---- */

/* The quote that ends what began before p, or the end. */
static const char *find_quote(const char *p, const char *end)
{
	while (p < end) {
		p = scan_either(p, end, '"', '\\');
		if (p == end || *p == '"')
			return p;
		p += 2;
	}
	return end;
}

/* The first sep at or behind p that isn't between quotes, or the end. */
static const char *find_end(const char *p, const char *end, char sep)
{
	for (;; p++) {
		p = scan_either(p, end, sep, '"');
		if (p == end || *p == sep)
			return p;
		p = find_quote(p + 1, end);
		if (p == end)
			return end;
	}
}

bool sip_list_param_next(struct str *list, char sep, struct str *name, struct str *value)
{
	const char *at = list->p, *end = at ? at + list->n : NULL;

	while (at < end) {
		const char *begin, *stop, *eq;

		while (at < end && str_is_space(*at))
			at++;
		begin = at;
		while (at < end && sip_char_is(*at, SIP_CH_TOKEN))
			at++;
		if (at < end && *at == '=') {
			eq = at;
			stop = find_end(at + 1, end, sep);
		} else {
			stop = find_end(at, end, sep);
			eq = memchr(at, '=', (size_t)(stop - at));
		}
		at = stop < end ? stop + 1 : end;
		*name = str_trim((struct str){ begin, (size_t)((eq ? eq : stop) - begin) });
		if (!name->n && !eq)
			continue;
		*value = eq ? str_trim((struct str){ eq + 1, (size_t)(stop - eq - 1) }) : STR_NULL;
		*list = (struct str){ at, (size_t)(end - at) };
		return true;
	}
	*list = (struct str){ end, 0 };
	return false;
}

bool sip_param_next(struct str *params, struct str *name, struct str *value) { return sip_list_param_next(params, ';', name, value); }

bool sip_param_find(struct str params, const char *name, struct str *value)
{
	struct str n, v, want;

	if (!params.n)
		return false;
	want = str_from(name);
	while (sip_list_param_next(&params, ';', &n, &v))
		if (str_ieq(n, want)) {
			if (value)
				*value = v;
			return true;
		}
	return false;
}

/* qvalue: 0, 1, 0.5, 0.333, 1.000. Anything else counts as absent. */
uint16_t sip_param_q_milli(struct str params)
{
	struct str rest, whole;
	uint32_t units, part = 0;

	if (!sip_param_find(params, "q", &rest))
		return 1000;
	whole = str_cut(&rest, '.');
	if (str_to_u32(whole, 1, &units) != 0 || rest.n > 3 || (rest.n && str_to_u32(rest, 999, &part) != 0))
		return 1000;
	for (size_t digits = rest.n; digits < 3; digits++)
		part *= 10;
	return (uint16_t)(units * 1000 + part > 1000 ? 1000 : units * 1000 + part);
}

/* ---- comparison ---- */

#define ESCAPED 0x100

/* What an escaped one of these means may differ from what it means plain (RFC 3261 §19.1.4, §25.1 reserved). */
static bool is_reserved(int c)
{
	return c && c < 128 && strchr(";/?:@&=+$,", c);
}

/* The next character with its escape undone; a reserved one that was escaped is none of those that can stand plain. -1 at the end. */
static int next_char(struct str s, size_t *i, bool fold)
{
	int c;

	if (*i >= s.n)
		return -1;
	c = (unsigned char)s.p[*i];
	if (c == '%' && *i + 2 < s.n && hex_value(s.p[*i + 1]) >= 0 && hex_value(s.p[*i + 2]) >= 0) {
		c = hex_value(s.p[*i + 1]) << 4 | hex_value(s.p[*i + 2]);
		*i += 2;
		if (is_reserved(c))
			c |= ESCAPED;
	}
	(*i)++;
	return fold && c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool eq_escaped(struct str a, struct str b, bool fold)
{
	size_t i = 0, k = 0;
	int c;

	do {
		c = next_char(a, &i, fold);
		if (c != next_char(b, &k, fold))
			return false;
	} while (c >= 0);
	return true;
}

/* RFC 3261 §19.1.4: these must be in both or in neither; the others count only when in both. */
static bool must_match(struct str name)
{
	return str_ieqz(name, "user") || str_ieqz(name, "ttl") || str_ieqz(name, "method") || str_ieqz(name, "maddr") ||
	       str_ieqz(name, "transport");
}

static bool find_escaped(struct str list, char sep, struct str want, struct str *value)
{
	struct str n, v;

	while (sip_list_param_next(&list, sep, &n, &v))
		if (eq_escaped(n, want, true)) {
			*value = v;
			return true;
		}
	return false;
}

static bool params_agree(struct str a, struct str b)
{
	struct str name, value, other;

	while (sip_list_param_next(&a, ';', &name, &value)) {
		if (find_escaped(b, ';', name, &other)) {
			if (!eq_escaped(value, other, true))
				return false;
		} else if (must_match(name)) {
			return false;
		}
	}
	return true;
}

/* Header components are never ignored, in any order. */
static bool headers_agree(struct str a, struct str b)
{
	struct str name, value, other;

	while (sip_list_param_next(&a, '&', &name, &value))
		if (!find_escaped(b, '&', name, &other) || !eq_escaped(value, other, false))
			return false;
	return true;
}

/* Of a telephone number, for the eye (RFC 3966 §3). */
static bool is_separator(char c)
{
	return c == '-' || c == '.' || c == '(' || c == ')';
}

/* RFC 3966 §4: visual separators don't count. */
static bool tel_eq(struct str a, struct str b)
{
	size_t i = 0, k = 0;

	for (;;) {
		while (i < a.n && is_separator(a.p[i]))
			i++;
		while (k < b.n && is_separator(b.p[k]))
			k++;
		if (i >= a.n || k >= b.n)
			return i >= a.n && k >= b.n;
		if ((a.p[i++] | 0x20) != (b.p[k++] | 0x20))
			return false;
	}
}

static bool is_global(struct str s) { return s.n && s.p[0] == '+'; }

/* RFC 3966 §4: each parameter is in both; numbers among the values compare as such, a domain as a host name. */
static bool tel_params_agree(struct str a, struct str b)
{
	struct str name, value, other;

	while (sip_list_param_next(&a, ';', &name, &value)) {
		bool is_number = str_ieqz(name, "ext") || (str_ieqz(name, "phone-context") && is_global(value));

		if (!find_escaped(b, ';', name, &other) || !(is_number ? tel_eq(value, other) : eq_escaped(value, other, true)))
			return false;
	}
	return true;
}

/* Names, and addresses of IPv6 in whatever notation (RFC 5954 §4.2). */
static bool host_eq(struct str a, struct str b)
{
	char text[2][INET6_ADDRSTRLEN];
	unsigned char addr[2][16];

	if (str_ieq(a, b))
		return true;
	if (!a.n || !b.n || a.p[0] != '[' || b.p[0] != '[')
		return false;
	for (int i = 0; i < 2; i++) {
		struct str h = i ? b : a;

		if (str_copy((struct str){ h.p + 1, h.n - 2 }, text[i], sizeof(text[i])) || inet_pton(AF_INET6, text[i], addr[i]) != 1)
			return false;
	}
	return !memcmp(addr[0], addr[1], sizeof(addr[0]));
}

/* Each is looked for among all of the other: two URIs that fill a REGISTER would keep the server for seconds. */
static bool has_many_params(const struct sip_uri *u)
{
	struct str params = u->params, headers = u->headers;
	unsigned n = 0;

	while (params.n && n <= PARAMS_MAX) {
		str_cut(&params, ';');
		n++;
	}
	while (headers.n && n <= PARAMS_MAX) {
		str_cut(&headers, '&');
		n++;
	}
	return n > PARAMS_MAX;
}

bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b)
{
	/* Also where a parameter stands twice, against §19.1.1, with two values: such a URI is still itself. */
	if (str_eq(a->text, b->text))
		return true;
	if (a->scheme != b->scheme || a->scheme == SIP_SCHEME_OTHER || has_many_params(a) || has_many_params(b))
		return false;
	if (a->scheme == SIP_SCHEME_TEL)
		return tel_eq(a->user, b->user) && tel_params_agree(a->params, b->params) && tel_params_agree(b->params, a->params);
	return eq_escaped(a->user, b->user, false) && eq_escaped(a->password, b->password, false) &&
	       (a->user.p == NULL) == (b->user.p == NULL) && host_eq(a->host, b->host) && a->port == b->port &&
	       params_agree(a->params, b->params) && params_agree(b->params, a->params) &&
	       headers_agree(a->headers, b->headers) && headers_agree(b->headers, a->headers);
}

/* ---- escapes ---- */

/* What an escape stands for; -1: nothing, or the byte that would end the text. */
static int escaped_byte(struct str s, size_t at)
{
	int c;

	if (at + 2 >= s.n || hex_value(s.p[at + 1]) < 0 || hex_value(s.p[at + 2]) < 0)
		return -1;
	c = hex_value(s.p[at + 1]) << 4 | hex_value(s.p[at + 2]);
	return c ? c : -1;
}

/* Half a text is none: on error there is an empty one, for who doesn't look. */
int sip_unescape(struct str s, char *buf, size_t size)
{
	size_t n = 0;

	if (size)
		buf[0] = '\0';
	for (size_t i = 0; i < s.n; i++) {
		int c = s.p[i] == '%' ? escaped_byte(s, i) : (unsigned char)s.p[i], err = 0;

		if (c <= 0)
			err = -EINVAL;
		else if (n + 1 >= size)
			err = -ENOSPC;
		if (err) {
			if (size)
				buf[0] = '\0';
			return err;
		}
		i += s.p[i] == '%' ? 2 : 0;
		buf[n++] = (char)c;
	}
	if (size)
		buf[n] = '\0';
	return 0;
}

static bool is_telephone(const struct sip_uri *uri)
{
	struct str user;

	return uri->scheme == SIP_SCHEME_TEL || (sip_param_find(uri->params, "user", &user) && str_ieqz(user, "phone"));
}

int sip_uri_number(const struct sip_uri *uri, char *buf, size_t size)
{
	int err = uri->scheme == SIP_SCHEME_OTHER ? -EINVAL : sip_unescape(uri->user, buf, size);
	char *to = buf;

	if (err || !is_telephone(uri))
		return err;
	for (const char *p = buf; *p && *p != ';'; p++)
		if (!is_separator(*p))
			*to++ = *p;
	*to = '\0';
	return 0;
}

void sip_escape_user(struct out *o, struct str user)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0, from = 0; i <= user.n; i++) {
		unsigned char c = i < user.n ? (unsigned char)user.p[i] : 0;

		if (sip_char_is((char)c, SIP_CH_USER) && c < 128 && c != '#' && c != '[' && c != ']')
			continue;
		if (i > from)
			out_mem(o, user.p + from, i - from);
		from = i + 1;
		if (i < user.n) {
			out_chr(o, '%');
			out_chr(o, digits[c >> 4]);
			out_chr(o, digits[c & 15]);
		}
	}
}

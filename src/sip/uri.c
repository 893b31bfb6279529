/* uri.c - parsing, comparing and escaping URIs (RFC 3261 §19.1, §25.1; RFC 3966).
 *
 * Parsing finds the borders of the parts and refuses characters that may not stand there; it unescapes nothing. Comparison
 * walks both texts and decodes escapes as it goes, so it needs no memory.
 */
#include "sip/uri.h"

#include <arpa/inet.h>
#include <errno.h>

#include "sip/chars.h"

static bool is_alpha(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static int hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Characters of a set and whole escapes. */
static bool all_of(struct str s, enum sip_char what)
{
	for (size_t i = 0; i < s.n; i++) {
		if (sip_char_is(s.p[i], what))
			continue;
		if (s.p[i] != '%' || i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)
			return false;
		i += 2;
	}
	return true;
}

static bool is_host(struct str h)
{
	if (h.n == 0)
		return false;
	if (h.p[0] == '[') {
		if (h.n < 4 || h.p[h.n - 1] != ']')
			return false;
		for (size_t i = 1; i + 1 < h.n; i++)
			if (hex_value(h.p[i]) < 0 && h.p[i] != ':' && h.p[i] != '.' && h.p[i] != '%')
				return false;
		return true;
	}
	return sip_chars_are(h, SIP_CH_HOST);
}

static int parse_hostport(struct sip_uri *u, struct str hp)
{
	ptrdiff_t colon = -1;
	uint32_t port;

	if (hp.n && hp.p[0] == '[') {
		ptrdiff_t end = str_find_chr(hp, ']');

		if (end < 0)
			return -EINVAL;
		if ((size_t)end + 1 < hp.n) {
			if (hp.p[end + 1] != ':')
				return -EINVAL;
			colon = end + 1;
		}
	} else {
		colon = str_find_chr(hp, ':');
	}
	u->host = hp;
	if (colon >= 0) {
		u->host.n = (size_t)colon;
		if (str_to_u32(str_from_at(hp, (size_t)colon + 1), 65535, &port) != 0 || port == 0)
			return -EINVAL;
		u->port = (uint16_t)port;
	}
	return is_host(u->host) ? 0 : -EINVAL;
}

static int parse_sip(struct sip_uri *u, struct str rest)
{
	/* The user part may hold ';' and '?' (RFC 3261 §25.1), so '@' is looked for first. */
	ptrdiff_t at = str_find_chr(rest, '@');

	if (at >= 0) {
		struct str userinfo = { rest.p, (size_t)at };

		rest = str_from_at(rest, (size_t)at + 1);
		u->user = str_cut(&userinfo, ':');
		u->password = userinfo.p ? userinfo : STR_NULL;
		if (u->user.n == 0 || !all_of(u->user, SIP_CH_USER) || !all_of(u->password, SIP_CH_PASSWORD))
			return -EINVAL;
		if (str_find_chr(rest, '@') >= 0 && str_find_chr(rest, '?') < 0)
			return -EINVAL;
	}
	at = str_find_chr(rest, '?');
	if (at >= 0) {
		u->headers = str_from_at(rest, (size_t)at + 1);
		rest.n = (size_t)at;
		if (!all_of(u->headers, SIP_CH_HEADERS))
			return -EINVAL;
	}
	at = str_find_chr(rest, ';');
	if (at >= 0) {
		u->params = str_from_at(rest, (size_t)at + 1);
		rest.n = (size_t)at;
		if (!all_of(u->params, SIP_CH_PARAMS))
			return -EINVAL;
	}
	return parse_hostport(u, rest);
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
	struct sip_uri u = { .scheme = SIP_SCHEME_OTHER, .text = text };
	ptrdiff_t colon = str_find_chr(text, ':');
	struct str scheme, rest;
	int err = 0;

	if (colon <= 0 || !is_alpha(text.p[0]))
		return -EINVAL;
	scheme = (struct str){ text.p, (size_t)colon };
	rest = str_from_at(text, (size_t)colon + 1);
	if (rest.n == 0)
		return -EINVAL;
	if (str_ieqz(scheme, "sip") || str_ieqz(scheme, "sips")) {
		u.scheme = scheme.n == 3 ? SIP_SCHEME_SIP : SIP_SCHEME_SIPS;
		err = parse_sip(&u, rest);
	} else if (str_ieqz(scheme, "tel")) {
		u.scheme = SIP_SCHEME_TEL;
		err = parse_tel(&u, rest);
	} else {
		err = parse_other(scheme, rest);
	}
	if (!err)
		*out = u;
	return err;
}

/* ---- parameters ---- */

/* End of the element that the list begins with: sep not inside quotes, or the end. */
static size_t param_end(struct str list, char sep)
{
	const char *end = memchr(list.p, sep, list.n);
	size_t n = end ? (size_t)(end - list.p) : list.n, i;
	bool quoted = false;

	if (!memchr(list.p, '"', n))
		return n;
	for (i = 0; i < list.n && (quoted || list.p[i] != sep); i++) {
		if (quoted && list.p[i] == '\\')
			i++;
		else if (list.p[i] == '"')
			quoted = !quoted;
	}
	return i < list.n ? i : list.n;
}

/* Cuts "name[=value]" off a list. False at the end. */
static bool param_next(struct str *list, char sep, struct str *name, struct str *value)
{
	while (list->n) {
		size_t end = param_end(*list, sep);
		struct str one = str_trim((struct str){ list->p, end });

		*list = str_from_at(*list, end + 1);
		if (!one.n)
			continue;
		*name = str_trim(str_cut(&one, '='));
		*value = one.p ? str_trim(one) : STR_NULL;
		return true;
	}
	return false;
}

bool sip_param_next(struct str *params, struct str *name, struct str *value) { return param_next(params, ';', name, value); }

bool sip_param_find(struct str params, const char *name, struct str *value)
{
	struct str n, v;

	while (param_next(&params, ';', &n, &v))
		if (str_ieqz(n, name)) {
			if (value)
				*value = v;
			return true;
		}
	return false;
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

	while (param_next(&list, sep, &n, &v))
		if (eq_escaped(n, want, true)) {
			*value = v;
			return true;
		}
	return false;
}

static bool params_agree(struct str a, struct str b)
{
	struct str name, value, other;

	while (param_next(&a, ';', &name, &value)) {
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

	while (param_next(&a, '&', &name, &value))
		if (!find_escaped(b, '&', name, &other) || !eq_escaped(value, other, false))
			return false;
	return true;
}

/* RFC 3966 §4: visual separators don't count. */
static bool tel_eq(struct str a, struct str b)
{
	size_t i = 0, k = 0;

	for (;;) {
		while (i < a.n && memchr("-.()", a.p[i], 4))
			i++;
		while (k < b.n && memchr("-.()", b.p[k], 4))
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

	while (param_next(&a, ';', &name, &value)) {
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

bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b)
{
	/* Also where a parameter stands twice, against §19.1.1, with two values: such a URI is still itself. */
	if (str_eq(a->text, b->text))
		return true;
	if (a->scheme != b->scheme || a->scheme == SIP_SCHEME_OTHER)
		return false;
	if (a->scheme == SIP_SCHEME_TEL)
		return tel_eq(a->user, b->user) && tel_params_agree(a->params, b->params) && tel_params_agree(b->params, a->params);
	return eq_escaped(a->user, b->user, false) && eq_escaped(a->password, b->password, false) &&
	       (a->user.p == NULL) == (b->user.p == NULL) && host_eq(a->host, b->host) && a->port == b->port &&
	       params_agree(a->params, b->params) && params_agree(b->params, a->params) &&
	       headers_agree(a->headers, b->headers) && headers_agree(b->headers, a->headers);
}

/* ---- escapes ---- */

int sip_unescape(struct str s, char *buf, size_t size)
{
	size_t n = 0;

	if (size)
		buf[0] = '\0';
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];

		if (c == '%') {
			if (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)
				return -EINVAL;
			c = hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]);
			i += 2;
		}
		if (c == '\0')
			return -EINVAL;
		if (n + 1 >= size) {
			buf[0] = '\0';
			return -ENOSPC;
		}
		buf[n++] = (char)c;
	}
	if (size)
		buf[n] = '\0';
	return 0;
}

void sip_escape_user(struct out *o, struct str user)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < user.n; i++) {
		unsigned char c = (unsigned char)user.p[i];

		if (sip_char_is((char)c, SIP_CH_USER) && c < 128 && c != '#' && c != '[' && c != ']') {
			out_chr(o, (char)c);
		} else {
			out_chr(o, '%');
			out_chr(o, digits[c >> 4]);
			out_chr(o, digits[c & 15]);
		}
	}
}

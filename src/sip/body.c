/* body.c - the parts of a body (RFC 2046 §5.1, RFC 5621, RFC 3261 §20.11).
 *
 * Gateways put ISUP, locations, resource lists and the like beside the description. What stands in a multipart body is looked
 * through in order, into parts inside parts down to a few levels, without recursion and without memory.
 */
#include "sip/msg.h"

#include <errno.h>

#define BOUNDARY_MAX 70 /* RFC 2046 §5.1.1 */
#define ID_MAX 256
#define REFERENCES_MAX 32 /* looked at in one header: who writes thousands, and as many parts, only wants to be compared */

static struct str without_quotes(struct str s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? (struct str){ s.p + 1, s.n - 2 } : s;
}

static struct str without_brackets(struct str s)
{
	return s.n > 2 && s.p[0] == '<' && s.p[s.n - 1] == '>' ? (struct str){ s.p + 1, s.n - 2 } : STR_NULL;
}

/* Is line, without its end, the delimiter? White space may follow it. */
static bool is_delimiter(struct str line, struct str boundary, bool *is_last)
{
	if (!str_starts(line, STR("--")) || !str_starts(str_from_at(line, 2), boundary))
		return false;
	line = str_from_at(line, 2 + boundary.n);
	*is_last = str_starts(line, STR("--"));
	return *is_last || !str_trim(line).n;
}

static struct str cut_line(struct str *rest)
{
	struct str line = str_cut(rest, '\n');

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

/* Takes the lines up to the next delimiter off rest: the part, without the line end before the delimiter. False: no delimiter
 * comes any more. */
static bool cut_part(struct str *rest, struct str boundary, struct str *part, bool *is_last)
{
	const char *start = rest->p, *end = start;

	while (rest->p) {
		struct str line = cut_line(rest);

		if (is_delimiter(line, boundary, is_last)) {
			*part = (struct str){ start, (size_t)(end - start) };
			return true;
		}
		end = line.p + line.n;
	}
	return false;
}

static bool is_identity(struct str encoding)
{
	return str_empty(encoding) || str_ieqz(encoding, "identity");
}

/* RFC 5621 §3.2: SIP carries anything as it is, so nobody should; mail gateways do. */
static void set_transfer(struct sip_part *p, struct str value)
{
	if (str_ieqz(value, "base64"))
		p->transfer = SIP_BASE64;
	else if (str_ieqz(value, "quoted-printable"))
		p->transfer = SIP_QUOTED_PRINTABLE;
	else if (!str_ieqz(value, "binary") && !str_ieqz(value, "8bit") && !str_ieqz(value, "7bit"))
		p->is_encoded = true;
}

static void set_disposition(struct sip_part *p, struct str value)
{
	struct str params, handling = STR_NULL;

	sip_token_params(value, &p->disposition, &params);
	sip_param_find(params, "handling", &handling);
	p->is_required = !str_empty(p->disposition) && !str_ieqz(without_quotes(handling), "optional");
	p->is_demanded = str_ieqz(without_quotes(handling), "required");
}

/* Reads the header lines of a part; what remains is its content. False: it has no end of headers. */
static bool parse_part(struct sip_part *out, struct str part)
{
	struct str rest = part;

	*out = (struct sip_part){ .type = STR("text/plain"), .text = part };
	while (rest.p) {
		struct str line = cut_line(&rest), value = line, name;

		if (!line.n)
			break;
		name = str_trim(str_cut(&value, ':'));
		value = str_trim(value);
		if (str_ieqz(name, "Content-Type") || str_ieqz(name, "c"))
			sip_token_params(value, &out->type, &out->params);
		else if (str_ieqz(name, "Content-Transfer-Encoding"))
			set_transfer(out, value);
		else if (str_ieqz(name, "Content-Encoding") || str_ieqz(name, "e"))
			out->is_encoded |= !is_identity(value);
		else if (str_ieqz(name, "Content-Disposition"))
			set_disposition(out, value);
		else if (str_ieqz(name, "Content-ID"))
			out->id = without_brackets(value);
	}
	out->content = rest;
	return rest.p != NULL;
}

/* Goes into a multipart part. False: it isn't one that can be read. */
static bool enter(struct sip_part_iter *it, const struct sip_part *p)
{
	struct sip_part_level *level = &it->levels[it->depth];
	struct str boundary, before;
	bool is_last = false;

	/* RFC 2045 §6.4: a multipart is never in base64. */
	if (it->depth == SIP_PART_DEPTH || p->is_encoded || p->transfer != SIP_AS_IS || !str_istarts(p->type, STR("multipart/")) ||
	    !sip_param_find(p->params, "boundary", &boundary))
		return false;
	boundary = without_quotes(str_trim(boundary));
	*level = (struct sip_part_level){ .rest = p->content, .boundary = boundary, .is_alternative = str_ieqz(p->type, "multipart/alternative") };
	if (!boundary.n || boundary.n > BOUNDARY_MAX || !cut_part(&level->rest, boundary, &before, &is_last) || is_last)
		return false;
	if (level->is_alternative && it->alternative == 0)
		it->alternative = ++it->nalternatives;
	it->depth++;
	return true;
}

static void leave(struct sip_part_iter *it)
{
	bool is_inside = false;

	it->depth--;
	for (unsigned i = 0; i < it->depth; i++)
		is_inside |= it->levels[i].is_alternative;
	if (!is_inside)
		it->alternative = 0;
}

bool sip_part_next(const struct sip_msg *m, struct sip_part_iter *it, struct sip_part *out)
{
	if (!it->has_begun) {
		it->has_begun = true;
		if (!m->body.n)
			return false;
		*out = (struct sip_part){ .content = m->body };
		sip_token_params(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), &out->type, &out->params);
		out->is_encoded = !is_identity(sip_msg_value(m, SIP_HDR_CONTENT_ENCODING));
		set_disposition(out, sip_msg_value(m, SIP_HDR_CONTENT_DISPOSITION));
		out->is_whole = true;
		if (!enter(it, out))
			return true;
	}
	while (it->depth > 0) {
		struct sip_part_level *level = &it->levels[it->depth - 1];
		struct str part;

		if (level->is_last || !cut_part(&level->rest, level->boundary, &part, &level->is_last)) {
			leave(it);
			continue;
		}
		if (!parse_part(out, part) || enter(it, out))
			continue;
		out->alternative = it->alternative;
		return true;
	}
	return false;
}

/* The body of nearly every message: of one type, and nothing more to say about it. */
static bool is_plain(const struct sip_msg *m, struct str type)
{
	return str_eq(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), type) && !sip_msg_has(m, SIP_HDR_CONTENT_ENCODING) &&
	       !sip_msg_has(m, SIP_HDR_CONTENT_DISPOSITION);
}

bool sip_msg_part_find(const struct sip_msg *m, const char *type, struct sip_part *out)
{
	struct sip_part_iter it = { 0 };
	struct sip_part p;
	bool has_any = false;

	if (!m->body.n)
		return false;
	if (is_plain(m, str_from(type))) {
		*out = (struct sip_part){ .type = sip_msg_value(m, SIP_HDR_CONTENT_TYPE), .content = m->body, .is_whole = true };
		return true;
	}
	while (sip_part_next(m, &it, &p)) {
		/* The last of several that say the same is the richest (RFC 2046 §5.1.4). */
		if (has_any && (!out->alternative || p.alternative != out->alternative))
			break;
		if (!p.content.n || p.is_encoded || !(str_ieqz(p.type, type) || (p.is_whole && str_empty(p.type))) ||
		    !(str_empty(p.disposition) || str_ieqz(p.disposition, "session")))
			continue;
		*out = p;
		has_any = true;
	}
	return has_any;
}

struct str sip_msg_part(const struct sip_msg *m, const char *type)
{
	struct sip_part p;

	return sip_msg_part_find(m, type, &p) ? p.content : STR_NULL;
}

/* The id stands in the URL as it is, or with escapes (RFC 2392 §2). */
static bool is_url_of(struct str url, struct str id)
{
	char plain[ID_MAX];

	return str_eq(url, id) || (sip_unescape(url, plain, sizeof(plain)) == 0 && str_eqz(id, plain));
}

bool sip_part_is_referred(const struct sip_part *p, struct str lines)
{
	const char *end = lines.p + lines.n;

	for (unsigned n = 0; p->id.n && lines.n && n < REFERENCES_MAX; n++) {
		const char *at = memmem(lines.p, lines.n, "<cid:", 5), *stop;

		if (!at)
			return false;
		at += 5;
		stop = memchr(at, '>', (size_t)(end - at));
		if (!stop)
			return false;
		if (is_url_of((struct str){ at, (size_t)(stop - at) }, p->id))
			return true;
		lines = (struct str){ stop, (size_t)(end - stop) };
	}
	return false;
}

static bool is_referred(const struct sip_msg *m, const struct sip_part *p)
{
	for (unsigned i = 0; i < m->nhdrs; i++)
		if (sip_part_is_referred(p, m->hdrs[i].value))
			return true;
	return false;
}

bool sip_msg_demands(const struct sip_msg *m)
{
	struct sip_part_iter it = { 0 };
	struct sip_part p;

	while (sip_part_next(m, &it, &p))
		if (p.is_demanded)
			return true;
	return false;
}

bool sip_msg_must_understand(const struct sip_msg *m, const char *understood)
{
	struct sip_part_iter it = { 0 };
	struct sip_part p;
	unsigned nreferred = 0;

	if (!m->body.n || is_plain(m, str_from(understood)))
		return false;
	while (sip_part_next(m, &it, &p)) {
		bool is_understood = str_ieqz(p.type, understood) && !p.is_encoded &&
				     (str_empty(p.disposition) || str_ieqz(p.disposition, "session"));

		if (is_understood || p.alternative || !(p.is_required || (p.is_whole && str_empty(p.disposition))))
			continue;
		if (!str_ieqz(p.disposition, "by-reference") || nreferred++ == SIP_REFERRED_MAX || !is_referred(m, &p))
			return true;
	}
	return false;
}

/* ---- transfer encodings (RFC 2045 §6.7, §6.8) ---- */

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int decode_base64(struct str s, struct out *o)
{
	unsigned bits = 0, nbits = 0, npads = 0, ndigits = 0;

	for (size_t i = 0; i < s.n; i++) {
		int digit = base64_digit(s.p[i]);

		if (s.p[i] == '\r' || s.p[i] == '\n' || s.p[i] == ' ' || s.p[i] == '\t')
			continue;
		if (s.p[i] == '=' && ndigits % 4 + npads >= 2 && ndigits % 4 + npads < 4 && ndigits % 4) {
			npads++;
			continue;
		}
		if (digit < 0 || npads)
			return -EINVAL;
		ndigits++;
		bits = bits << 6 | (unsigned)digit;
		nbits += 6;
		if (nbits >= 8) {
			nbits -= 8;
			out_chr(o, (char)(bits >> nbits & 0xff));
		}
	}
	return (ndigits % 4 + npads) % 4 == 0 ? 0 : -EINVAL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode_quoted(struct str s, struct out *o)
{
	while (s.n) {
		bool has_end = memchr(s.p, '\n', s.n) != NULL, is_soft;
		struct str line = cut_line(&s);

		/* White space before the end of a line was added on the way. */
		while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t'))
			line.n--;
		is_soft = line.n && line.p[line.n - 1] == '=';
		line.n -= is_soft;
		for (size_t i = 0; i < line.n; i++) {
			if (line.p[i] != '=') {
				out_chr(o, line.p[i]);
				continue;
			}
			if (line.n - i < 3 || hex_digit(line.p[i + 1]) < 0 || hex_digit(line.p[i + 2]) < 0)
				return -EINVAL;
			out_chr(o, (char)(hex_digit(line.p[i + 1]) << 4 | hex_digit(line.p[i + 2])));
			i += 2;
		}
		if (has_end && !is_soft)
			out_z(o, "\r\n");
	}
	return 0;
}

int sip_part_decode(const struct sip_part *p, struct out *o)
{
	switch (p->transfer) {
	case SIP_BASE64:
		return decode_base64(p->content, o);
	case SIP_QUOTED_PRINTABLE:
		return decode_quoted(p->content, o);
	case SIP_AS_IS:
		break;
	}
	out_str(o, p->content);
	return 0;
}

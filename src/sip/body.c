/* body.c - finds the part of a body that is of one type (RFC 2046 §5.1, RFC 5621).
 *
 * Gateways put ISUP, resource lists and the like beside the description; they are passed over. Parts inside parts are not
 * looked into: nobody sends a description there.
 */
#include "sip/msg.h"

#define BOUNDARY_MAX 70 /* RFC 2046 §5.1.1 */

static struct str without_quotes(struct str s)
{
	return s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"' ? (struct str){ s.p + 1, s.n - 2 } : s;
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

/* What part has of this type; STR_NULL when it is another, or encoded. */
static struct str content_of(struct str part, const char *type)
{
	struct str rest = part, is = STR("text/plain"), params;

	while (rest.p) {
		struct str line = cut_line(&rest), value = line, name;

		if (!line.n)
			break;
		name = str_trim(str_cut(&value, ':'));
		if (str_ieqz(name, "Content-Type"))
			sip_token_params(str_trim(value), &is, &params);
		else if (str_ieqz(name, "Content-Transfer-Encoding") &&
			 (str_ieqz(str_trim(value), "base64") || str_ieqz(str_trim(value), "quoted-printable")))
			return STR_NULL;
	}
	return rest.p && str_ieqz(is, type) ? rest : STR_NULL;
}

struct str sip_msg_part(const struct sip_msg *m, const char *type)
{
	struct str is, params, boundary, part, rest = m->body;
	bool is_last = false;

	if (!m->body.n)
		return STR_NULL;
	sip_token_params(sip_msg_value(m, SIP_HDR_CONTENT_TYPE), &is, &params);
	if (!is.n || str_ieqz(is, type))
		return m->body;
	if (!str_istarts(is, STR("multipart/")) || !sip_param_find(params, "boundary", &boundary))
		return STR_NULL;
	boundary = without_quotes(str_trim(boundary));
	if (!boundary.n || boundary.n > BOUNDARY_MAX || !cut_part(&rest, boundary, &part, &is_last))
		return STR_NULL;
	while (!is_last && cut_part(&rest, boundary, &part, &is_last)) {
		struct str content = content_of(part, type);

		if (content.n)
			return content;
	}
	return STR_NULL;
}

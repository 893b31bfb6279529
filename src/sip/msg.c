/* msg.c - from bytes to struct sip_msg in one pass, in place; framing of streams; counted copies.
 *
 * The parser goes on behind a mistake as long as it can, so that the answer to a broken request still carries its Via,
 * From, To, Call-ID and CSeq. The first mistake found is the one reported.
 */
#include "sip/msg.h"

#include <errno.h>
#include <stdlib.h>

#include "base/scan.h"
#include "sip/chars.h"

/* Headers whose second appearance makes a message ambiguous (RFC 4475 §3.3.8: multiple values for single-value headers). */
static const bool is_single[SIP_HDR_COUNT] = {
	[SIP_HDR_FROM] = true, [SIP_HDR_TO] = true, [SIP_HDR_CALL_ID] = true, [SIP_HDR_CSEQ] = true,
	[SIP_HDR_MAX_FORWARDS] = true, [SIP_HDR_CONTENT_LENGTH] = true, [SIP_HDR_CONTENT_TYPE] = true,
	[SIP_HDR_EXPIRES] = true, [SIP_HDR_EVENT] = true,
};

struct parser {
	struct sip_msg *m;
	char *at, *end;
	struct sip_msg_error *err;
};

static void fail(struct parser *p, int status, const char *reason)
{
	if (p->err->status)
		return;
	p->err->status = status;
	p->err->reason = reason;
}

static bool is_token(struct str s)
{
	return s.n > 0 && sip_chars_are(s, SIP_CH_TOKEN);
}

/* The next line without its end; false when there is no line end any more. A CR alone ends nothing here, but may where a value is
 * passed on to: it becomes a space. */
static bool next_line(struct parser *p, struct str *line)
{
	char *at = p->at;

	for (;; at++) {
		at = (char *)scan_control(at, p->end);
		if (at == p->end)
			return false;
		if (*at == '\n' || (*at == '\r' && at + 1 < p->end && at[1] == '\n'))
			break;
		if (*at == '\r')
			*at = ' ';
	}
	*line = (struct str){ p->at, (size_t)(at - p->at) };
	p->at = at + (*at == '\r' ? 2 : 1);
	return true;
}

/* ---- start line ---- */

static int parse_status_line(struct parser *p, struct str line)
{
	struct str code = { line.p + 8, 3 };
	uint32_t status;

	if (line.n < 11 || line.p[7] != ' ' || str_to_u32(code, 699, &status) != 0 || status < 100)
		return -EINVAL;
	if (line.n > 11 && line.p[11] != ' ')
		return -EINVAL;
	p->m->status = (int)status;
	p->m->reason = str_trim(str_from_at(line, 11));
	return 0;
}

static ptrdiff_t find_last_space(struct str s)
{
	ptrdiff_t i = (ptrdiff_t)s.n - 1;

	while (i >= 0 && s.p[i] != ' ')
		i--;
	return i;
}

static int parse_request_line(struct parser *p, struct str line)
{
	struct sip_msg *m = p->m;
	struct str rest, uri;
	ptrdiff_t last;

	m->is_request = true;
	/* RFC 4475 §3.1.2.10: spaces behind the version are to be refused with an answer, or ignored. */
	while (line.n && line.p[line.n - 1] == ' ')
		line.n--;
	rest = line;
	m->method_name = str_cut(&rest, ' ');
	if (!rest.p || !is_token(m->method_name))
		return -EINVAL;
	m->method = sip_method_parse(m->method_name);
	last = rest.n > strlen(" SIP/2.0") ? (ptrdiff_t)(rest.n - strlen(" SIP/2.0")) : 0;
	if (last == 0 || memcmp(rest.p + last, " SIP/2.0", strlen(" SIP/2.0")) != 0) {
		last = find_last_space(rest);
		if (last <= 0 || !str_istarts(str_from_at(rest, (size_t)last + 1), STR("SIP/")))
			return -EINVAL;
		if (!str_ieqz(str_from_at(rest, (size_t)last + 1), "SIP/2.0"))
			fail(p, 505, "Version Not Supported");
	}
	uri = (struct str){ rest.p, (size_t)last };
	if (sip_uri_parse(&m->ruri, uri) != 0) {
		m->ruri = (struct sip_uri){ .scheme = SIP_SCHEME_OTHER, .text = uri };
		fail(p, 400, "Malformed Request-URI");
	}
	return 0;
}

/* ---- headers ---- */

static void parse_known(struct parser *p, const struct sip_hdr *h, unsigned index)
{
	struct sip_msg *m = p->m;
	uint32_t n;

	if (m->first[h->id] >= 0) {
		if (is_single[h->id])
			fail(p, 400, "Header that may stand once is repeated");
		m->has_more_vias |= h->id == SIP_HDR_VIA;
		return;
	}
	m->first[h->id] = (int16_t)index;
	switch (h->id) {
	case SIP_HDR_VIA:
		if (sip_via_parse(&m->via, h->value) != 0)
			fail(p, 400, "Malformed Via");
		m->has_more_vias = m->via.value.n < h->value.n;
		break;
	case SIP_HDR_FROM:
		if (sip_addr_parse(&m->from, h->value) != 0)
			fail(p, 400, "Malformed From");
		break;
	case SIP_HDR_TO:
		if (sip_addr_parse(&m->to, h->value) != 0)
			fail(p, 400, "Malformed To");
		break;
	case SIP_HDR_CALL_ID:
		m->call_id = h->value;
		if (!h->value.n)
			fail(p, 400, "Empty Call-ID");
		break;
	case SIP_HDR_CSEQ:
		if (sip_cseq_parse(&m->cseq, h->value) != 0)
			fail(p, 400, "Malformed CSeq");
		break;
	case SIP_HDR_MAX_FORWARDS:
		if (str_to_u32(h->value, 255, &n) == 0)
			m->max_forwards = (int)n;
		else
			fail(p, 400, "Malformed Max-Forwards");
		break;
	case SIP_HDR_CONTENT_LENGTH:
		if (str_to_u32(h->value, 0x7fffffff, &n) == 0)
			m->content_length = n;
		else
			fail(p, 400, "Malformed Content-Length");
		break;
	default:
		break;
	}
}

static void add_header(struct parser *p, struct str line)
{
	struct sip_msg *m = p->m;
	struct sip_hdr *h = &m->hdrs[m->nhdrs];
	const char *colon, *end = line.p + line.n, *stop = p->end - end > SCAN_STEP ? end + SCAN_STEP : p->end;

	if (m->nhdrs == SIP_HDR_MAX) {
		fail(p, 513, "Too many header fields");
		return;
	}
	if (line.n && str_is_space(line.p[0]))
		line = str_trim(line); /* begins like a fold, but there is nothing before it */
	/* It may look a step behind the line, where there is room for whole ones; no further: of lines without a colon there may be many. */
	colon = scan_either(line.p, stop, ':', ':');
	h->name = (struct str){ line.p, colon < end ? (size_t)(colon - line.p) : 0 };
	while (h->name.n && str_is_space(h->name.p[h->name.n - 1]))
		h->name.n--;
	h->id = sip_hdr_parse(h->name);
	if (h->id == SIP_HDR_OTHER && !is_token(h->name)) {
		fail(p, 400, "Malformed header line");
		return;
	}
	h->value = str_trim((struct str){ colon + 1, (size_t)(end - colon - 1) });
	if (h->id != SIP_HDR_OTHER)
		parse_known(p, h, m->nhdrs);
	m->nhdrs++;
}

/* Reads header lines up to the empty one. */
static void parse_headers(struct parser *p)
{
	struct str line;

	while (next_line(p, &line)) {
		if (!line.n)
			return;
		/* A line that begins with white space goes on with the one before: its line end becomes spaces (§7.3.1). */
		while (p->at < p->end && (*p->at == ' ' || *p->at == '\t')) {
			char *gap = (char *)line.p + line.n;
			char *next = p->at;
			struct str more;

			if (!next_line(p, &more)) {
				fail(p, 400, "Header section doesn't end");
				p->at = p->end;
				return;
			}
			memset(gap, ' ', (size_t)(next - gap));
			line.n = (size_t)(more.p + more.n - line.p);
		}
		add_header(p, line);
	}
	fail(p, 400, "Header section doesn't end");
	p->at = p->end;
}

/* ---- the whole ---- */

static void check_mandatory(struct parser *p)
{
	struct sip_msg *m = p->m;

	/* RFC 3261 §8.1.1; Max-Forwards is let off, as RFC 2543 clients don't send it. */
	if (m->first[SIP_HDR_FROM] < 0)
		fail(p, 400, "Missing From");
	if (m->first[SIP_HDR_TO] < 0)
		fail(p, 400, "Missing To");
	if (m->first[SIP_HDR_CALL_ID] < 0)
		fail(p, 400, "Missing Call-ID");
	if (m->first[SIP_HDR_CSEQ] < 0)
		fail(p, 400, "Missing CSeq");
	else if (m->is_request && !str_eq(m->cseq.method_name, m->method_name))
		fail(p, 400, "CSeq method differs from the request's");
}

static void take_body(struct parser *p)
{
	struct sip_msg *m = p->m;

	m->body = (struct str){ p->at, (size_t)(p->end - p->at) };
	if (m->content_length < 0)
		return;
	if ((uint64_t)m->content_length > m->body.n)
		fail(p, 400, "Content-Length exceeds the body");
	else
		m->body.n = (size_t)m->content_length;
}

int sip_msg_parse(struct sip_msg *m, char *buf, size_t len, struct sip_msg_error *err)
{
	struct parser p = { .m = m, .at = buf, .end = buf + len, .err = err };
	struct str line;
	int bad;

	/* All but the header array, which is filled as far as it is used. */
	memset(m, 0, offsetof(struct sip_msg, hdrs));
	memset(m->first, 0xff, sizeof(m->first));
	m->max_forwards = -1;
	m->content_length = -1;
	*err = (struct sip_msg_error){ 0 };
	while (p.at < p.end && (*p.at == '\r' || *p.at == '\n'))
		p.at++;
	m->raw = (struct str){ p.at, (size_t)(p.end - p.at) };
	if (len > SIP_MSG_MAX || !next_line(&p, &line))
		return -EINVAL;
	bad = str_istarts(line, STR("SIP/2.0 ")) ? parse_status_line(&p, line) : parse_request_line(&p, line);
	if (bad)
		return bad;
	parse_headers(&p);
	/* Without a usable Via nobody knows where an answer goes; to broken responses there is none. */
	if (!m->via.host.n) {
		err->status = 0;
		return -EINVAL;
	}
	check_mandatory(&p);
	take_body(&p);
	if (!m->is_request) {
		m->method = m->cseq.method;
		m->method_name = m->cseq.method_name;
		if (err->status)
			err->status = 0;
		else
			return 0;
		return -EINVAL;
	}
	return err->status ? -EINVAL : 0;
}

/* ---- framing ---- */

/* Each byte of a stream that comes alone has the lines so far looked through again. With folds a header section has more of them than
 * fields, but not so many more. */
#define HEAD_LINES_MAX (8 * SIP_HDR_MAX)

/* Length of the header section with its empty line; 0 when it isn't there yet, or has too many lines. */
static size_t header_section(const char *p, size_t n, bool *is_too_long)
{
	const char *at = p, *end = p + n;
	unsigned nlines = 0;

	*is_too_long = false;
	while ((at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		at++;
		*is_too_long = ++nlines > HEAD_LINES_MAX;
		if (*is_too_long)
			return 0;
		if (at < end && *at == '\n')
			return (size_t)(at + 1 - p);
		if (at + 1 < end && at[0] == '\r' && at[1] == '\n')
			return (size_t)(at + 2 - p);
	}
	return 0;
}

/* -1 when there is none or it is malformed. */
static int64_t find_content_length(const char *p, size_t n)
{
	struct str rest = { p, n };
	uint32_t v;

	str_cut(&rest, '\n');
	while (rest.p && rest.n) {
		struct str value = str_cut(&rest, '\n'), name;

		if (value.n && (value.p[0] == ' ' || value.p[0] == '\t'))
			continue;
		name = str_trim(str_cut(&value, ':'));
		if (value.p && sip_hdr_parse(name) == SIP_HDR_CONTENT_LENGTH) {
			/* Folded: the number may stand on the next line. */
			if (!str_trim(value).n && rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
				value = str_cut(&rest, '\n');
			return str_to_u32(str_trim(value), 0x7fffffff, &v) == 0 ? (int64_t)v : -1;
		}
	}
	return -1;
}

static bool is_start_line(struct str line)
{
	line = str_trim(line);
	if (str_istarts(line, STR("SIP/")))
		return true;
	return line.n > 8 && str_istarts(str_from_at(line, line.n - 7), STR("SIP/")) && sip_char_is(line.p[0], SIP_CH_TOKEN);
}

ptrdiff_t sip_msg_frame(const char *buf, size_t len, size_t *skip)
{
	size_t at = 0, head;
	const char *lf;
	bool is_too_long;
	int64_t body;

	while (at < len && (buf[at] == '\r' || buf[at] == '\n'))
		at++;
	*skip = at;
	buf += at;
	len -= at;
	lf = memchr(buf, '\n', len);
	if (lf && !is_start_line((struct str){ buf, (size_t)(lf - buf) }))
		return -EINVAL;
	head = header_section(buf, len, &is_too_long);
	if (!head)
		return is_too_long || len > SIP_MSG_MAX ? -EMSGSIZE : 0;
	body = find_content_length(buf, head);
	if (body < 0)
		return -EINVAL;
	if (head + (uint64_t)body > SIP_MSG_MAX)
		return -EMSGSIZE;
	return head + (size_t)body <= len ? (ptrdiff_t)(head + (size_t)body) : 0;
}

size_t sip_msg_cut(char *buf, size_t len, bool *has_end)
{
	bool is_too_long;
	size_t head = header_section(buf, len, &is_too_long);
	const char *lf;

	*has_end = head > 0 && head <= SIP_MSG_MAX;
	if (*has_end)
		return head;
	if (len > SIP_MSG_MAX)
		len = SIP_MSG_MAX;
	lf = len > 2 ? memrchr(buf, '\n', len - 2) : NULL;
	if (!lf)
		return 0;
	head = (size_t)(lf + 1 - buf);
	memcpy(buf + head, "\r\n", 2);
	return head + 2;
}

/* ---- counted copies ---- */

static void move_str(struct str *s, ptrdiff_t by)
{
	if (s->p)
		s->p += by;
}

static void move_uri(struct sip_uri *u, ptrdiff_t by)
{
	struct str *all[] = { &u->text, &u->user, &u->password, &u->host, &u->params, &u->headers };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		move_str(all[i], by);
}

static void move_via(struct sip_via *v, ptrdiff_t by)
{
	struct str *all[] = { &v->value, &v->transport, &v->host, &v->params, &v->branch, &v->received };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		move_str(all[i], by);
}

static void move_addr(struct sip_addr *a, ptrdiff_t by)
{
	move_str(&a->value, by);
	move_str(&a->display, by);
	move_uri(&a->uri, by);
	move_str(&a->params, by);
	move_str(&a->tag, by);
}

struct sip_msg *sip_msg_hold(const struct sip_msg *m)
{
	size_t size = offsetof(struct sip_msg, hdrs) + m->nhdrs * sizeof(m->hdrs[0]);
	struct sip_msg *copy;
	char *bytes;
	ptrdiff_t by;

	if (m->refs) {
		copy = (struct sip_msg *)m;
		copy->refs++;
		return copy;
	}
	copy = malloc(size + m->raw.n);
	if (!copy)
		return NULL;
	memcpy(copy, m, size);
	bytes = (char *)copy + size;
	memcpy(bytes, m->raw.p, m->raw.n);
	by = bytes - m->raw.p;
	copy->refs = 1;
	move_str(&copy->raw, by);
	move_str(&copy->body, by);
	move_str(&copy->method_name, by);
	move_str(&copy->reason, by);
	move_str(&copy->call_id, by);
	move_str(&copy->cseq.method_name, by);
	move_uri(&copy->ruri, by);
	move_addr(&copy->from, by);
	move_addr(&copy->to, by);
	move_via(&copy->via, by);
	for (unsigned i = 0; i < copy->nhdrs; i++) {
		move_str(&copy->hdrs[i].name, by);
		move_str(&copy->hdrs[i].value, by);
	}
	return copy;
}

void sip_msg_release(struct sip_msg *m)
{
	if (m && --m->refs == 0)
		free(m);
}

/* ---- access ---- */

bool sip_msg_has(const struct sip_msg *m, enum sip_hdr_id id)
{
	return m->first[id] >= 0;
}

struct str sip_msg_value(const struct sip_msg *m, enum sip_hdr_id id)
{
	return m->first[id] >= 0 ? m->hdrs[m->first[id]].value : STR_NULL;
}

struct str sip_msg_value_by_name(const struct sip_msg *m, const char *name)
{
	for (unsigned i = 0; i < m->nhdrs; i++)
		if (str_ieqz(m->hdrs[i].name, name))
			return m->hdrs[i].value;
	return STR_NULL;
}

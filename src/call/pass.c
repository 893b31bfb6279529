/* pass.c - which header passes from one leg to the other. */
#include "call/pass.h"

#include "base/out.h"

enum {
	FROM_TRUNK = 1,    /* taken from any trunk */
	TO_TRUNK = 2,      /* given to any trunk */
	OF_PERSON = 4,     /* tells of its sender */
	IN_ANSWER = 8      /* in responses, too */
};

static const struct { const char *name; unsigned flags; } listed[] = {
	{ "User-to-User", FROM_TRUNK | TO_TRUNK | IN_ANSWER },                   /* RFC 7433 */
	{ "Alert-Info", IN_ANSWER },                                             /* RFC 3261 §20.4, RFC 7462 */
	{ "Call-Info", OF_PERSON | IN_ANSWER },                                  /* RFC 3261 §20.9 */
	{ "Subject", FROM_TRUNK | TO_TRUNK | OF_PERSON },
	{ "Priority", FROM_TRUNK | TO_TRUNK },
	{ "Organization", FROM_TRUNK | TO_TRUNK | OF_PERSON | IN_ANSWER },
	{ "Geolocation", FROM_TRUNK | TO_TRUNK | OF_PERSON },                    /* RFC 6442 */
	{ "Geolocation-Routing", FROM_TRUNK | TO_TRUNK },
	{ "Geolocation-Error", FROM_TRUNK | TO_TRUNK | IN_ANSWER },
	{ "P-Early-Media", FROM_TRUNK | TO_TRUNK | IN_ANSWER },                  /* RFC 5009 */
	{ "Referred-By", 0 },                                                    /* RFC 3892: of an INVITE that a phone was referred to send */
	{ "Answer-Mode", IN_ANSWER },                                            /* RFC 5373 */
	{ "Priv-Answer-Mode", IN_ANSWER },
	{ "Accept-Contact", FROM_TRUNK | TO_TRUNK },                             /* RFC 3841 */
	{ "Reject-Contact", FROM_TRUNK | TO_TRUNK },
	{ "Request-Disposition", FROM_TRUNK | TO_TRUNK },
	{ "Accept-Language", FROM_TRUNK | TO_TRUNK },
};

/* Known to this stack and still free to pass; all others that it knows belong to one leg. */
static bool belongs_to_one_leg(struct str name)
{
	static const char *const others[] = { /* as in pbx.pass_header, those that msg.h has no id for */
		"Max-Breadth", "Content-Language", "Content-ID", "Accept-Encoding", "Join", "Target-Dialog", "Refer-Sub", "Recv-Info",
		"Info-Package", "Flow-Timer", "Suppress-If-Match", "Security-Client", "Security-Server", "Security-Verify",
		"Authentication-Info", "Proxy-Authentication-Info", "Identity", "Identity-Info",
	};

	switch (sip_hdr_parse(name)) {
	case SIP_HDR_ALERT_INFO: case SIP_HDR_CALL_INFO: case SIP_HDR_SUBJECT: case SIP_HDR_USER_TO_USER:
	case SIP_HDR_ORGANIZATION: case SIP_HDR_PRIORITY: case SIP_HDR_IN_REPLY_TO: case SIP_HDR_REFERRED_BY:
		return false;
	case SIP_HDR_OTHER:
		break;
	default:
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (str_ieqz(name, others[i]))
			return true;
	return name.n < 2;
}

static int find_listed(struct str name)
{
	for (size_t i = 0; i < ARRAY_LEN(listed); i++)
		if (str_ieqz(name, listed[i].name))
			return (int)i;
	return -1;
}

enum way { IN, OUT, EITHER };

static const struct dir_pass_header *find_row(const struct dir_pass *p, struct str name, enum way way)
{
	for (unsigned i = 0; p && i < p->n; i++)
		if ((way == EITHER || p->headers[i].is_out == (way == OUT)) && str_ieqz(name, p->headers[i].header))
			return &p->headers[i];
	return NULL;
}

static bool has_row(const struct dir_pass *p, struct str name, enum way way)
{
	return find_row(p, name, way) != NULL;
}

/* What a trunk is told, or its calls tell, is the administrator's affair, not the other side's. Its own row says so, else that of all. */
static bool is_set(const struct pass_side *s, struct str name, enum way way)
{
	const struct dir_pass_header *row = s->is_trunk ? find_row(s->own, name, way) : NULL;

	if (s->is_trunk && !row)
		row = find_row(s->all, name, way);
	return row && row->value;
}

static bool is_added(const struct pass_side *s, struct str name, enum way way)
{
	return has_row(s->all, name, way) || has_row(s->own, name, way);
}

/* <urn:alert:...> names a way to ring; any other URI is for the phone to fetch. */
static bool is_harmless(struct str name, struct str value)
{
	return str_ieqz(name, "Alert-Info") && str_istarts(value, STR("<urn:alert:")) && str_find_chr(value, ',') < 0;
}

static bool may_take(const struct sip_msg *m, const struct sip_hdr *h, const struct pass_side *from)
{
	int i = find_listed(h->name);
	unsigned flags = i < 0 ? IN_ANSWER : listed[i].flags;

	if ((!m->is_request && !(flags & IN_ANSWER)) || belongs_to_one_leg(h->name))
		return false;
	if (is_set(from, h->name, IN))
		return false;
	if (!from->is_trunk) /* of unknown ones, whom they may go to decides */
		return true;
	return (flags & FROM_TRUNK) || is_harmless(h->name, h->value) || is_added(from, h->name, IN);
}

/* Those of rows; of all trunks only where the trunk has none of its own. */
static void write_set(struct out *o, const struct pass_side *s, const struct dir_pass *rows, enum way way)
{
	for (unsigned i = 0; rows && i < rows->n; i++) {
		const struct dir_pass_header *row = &rows->headers[i];
		struct str name = str_from(row->header), value = str_trim(str_from(row->value));

		if (row->is_out != (way == OUT) || !value.n || belongs_to_one_leg(name) || (rows == s->all && has_row(s->own, name, way)) ||
		    o->len + name.n + value.n + 4 > PASS_MAX)
			continue;
		out_str(o, name);
		out_mem(o, ": ", 2);
		out_str(o, value);
		out_mem(o, "\r\n", 2);
	}
}

static void set_lines(struct out *o, const struct pass_side *s, enum way way)
{
	if (!s->is_trunk)
		return;
	write_set(o, s, s->own, way);
	write_set(o, s, s->all, way);
}

void pass_set(struct out *o, const struct pass_side *to)
{
	set_lines(o, to, OUT);
}

void pass_take(struct out *o, const struct sip_msg *m, const struct pass_side *from)
{
	unsigned n = 0;

	if (m->is_request && m->method == SIP_INVITE && !m->to.tag.n)
		set_lines(o, from, IN);

	for (unsigned i = 0; i < m->nhdrs && n < PASS_LINES_MAX; i++) {
		const struct sip_hdr *h = &m->hdrs[i];

		/* Most have an id of their own, and no business here. */
		if (h->id != SIP_HDR_OTHER && h->id != SIP_HDR_ALERT_INFO && h->id != SIP_HDR_CALL_INFO && h->id != SIP_HDR_SUBJECT &&
		    h->id != SIP_HDR_USER_TO_USER && h->id != SIP_HDR_ORGANIZATION && h->id != SIP_HDR_PRIORITY &&
		    h->id != SIP_HDR_IN_REPLY_TO && h->id != SIP_HDR_REFERRED_BY)
			continue;
		if (!h->value.n || h->value.n > PASS_VALUE_MAX || o->len + h->name.n + h->value.n + 4 > PASS_MAX)
			continue;
		/* A compact name is written out: rows and list have the long one. */
		struct sip_hdr one = { h->id, h->id == SIP_HDR_OTHER ? h->name : str_from(sip_hdr_name(h->id)), h->value };
		if (!may_take(m, &one, from))
			continue;
		out_str(o, one.name);
		out_mem(o, ": ", 2);
		out_str(o, one.value);
		out_mem(o, "\r\n", 2);
		n++;
	}
}

static bool may_give(struct str name, bool from_trunk, const struct pass_side *to, bool is_private)
{
	int i = find_listed(name);

	if (is_private && i >= 0 && (listed[i].flags & OF_PERSON))
		return false;
	if ((to->has_referrer && str_ieqz(name, "Referred-By")) || is_set(to, name, OUT))
		return false;
	if (to->is_trunk)
		return (i >= 0 && (listed[i].flags & TO_TRUNK)) || is_added(to, name, OUT);
	/* What a trunk gave was looked at when it was taken. */
	return from_trunk || i >= 0 || has_row(to->all, name, EITHER);
}

void pass_give(struct out *o, struct str lines, bool from_trunk, const struct pass_side *to, bool is_private)
{
	while (lines.n) {
		struct str line = str_cut(&lines, '\n'), rest = line, name = str_cut(&rest, ':');

		if (!may_give(name, from_trunk, to, is_private))
			continue;
		out_str(o, line);
		out_chr(o, '\n');
	}
}

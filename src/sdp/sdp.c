/* sdp.c - reads a session description line by line into slices of its text (RFC 8866).
 *
 * One pass counts the sections, formats and attributes, so that all of them and the text fit one block of the right size: most
 * descriptions have a section, a few formats and a few attributes, where the limits are thousands. The second works out what each
 * line means when it is met, so that a description with more attributes than are kept is still understood. What a media section
 * inherits from the session (address, direction) is filled in at the end.
 *
 * Strict about what would make an answer wrong (line shapes, numbers of m=), lenient about what phones forget
 * (s=, t=, the order of lines, attributes that don't parse). What the pieces mean for a call is oa.c's.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/scan.h"
#include "sdp/sdp.h"

/* RFC 3551 §6, tables 4 and 5. */
static const struct static_format { uint8_t channels; uint32_t clock_hz; const char *name; } static_formats[] = {
	[0] = { 1, 8000, "PCMU" },   [3] = { 1, 8000, "GSM" },    [4] = { 1, 8000, "G723" },   [5] = { 1, 8000, "DVI4" },
	[6] = { 1, 16000, "DVI4" },  [7] = { 1, 8000, "LPC" },    [8] = { 1, 8000, "PCMA" },   [9] = { 1, 8000, "G722" },
	[10] = { 2, 44100, "L16" },  [11] = { 1, 44100, "L16" },  [12] = { 1, 8000, "QCELP" }, [13] = { 1, 8000, "CN" },
	[14] = { 1, 90000, "MPA" },  [15] = { 1, 8000, "G728" },  [16] = { 1, 11025, "DVI4" }, [17] = { 1, 22050, "DVI4" },
	[18] = { 1, 8000, "G729" },  [25] = { 1, 90000, "CelB" }, [26] = { 1, 90000, "JPEG" }, [28] = { 1, 90000, "nv" },
	[31] = { 1, 90000, "H261" }, [32] = { 1, 90000, "MPV" },  [33] = { 1, 90000, "MP2T" }, [34] = { 1, 90000, "H263" },
};

static const char *const dir_names[] = { "inactive", "sendonly", "recvonly", "sendrecv" };

#define DIR_NONE (-1)
#define PTIME_MAX_MS 1000 /* longer packets exist nowhere; a bound keeps arithmetic on it safe */

/* What is known of the session while its lines are read. */
struct session {
	struct str addr;
	bool addr_is_ip6;
	int dir;                       /* DIR_NONE: no attribute */
	int media_dir[SDP_MEDIA_MAX];
	uint32_t rtcp_port[SDP_MEDIA_MAX];
	bool has_origin;
	struct sdp_format *formats;    /* free ones, behind those of the sections so far */
	struct sdp_attr *attrs;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct str next_word(struct str *rest)
{
	const char *p = rest->p, *end, *from;

	if (!rest->n) /* perhaps without bytes at all: an attribute's missing value */
		return STR_NULL;
	end = p + rest->n;
	while (p < end && is_blank(*p))
		p++;
	from = p;
	p = scan_either(p, end, ' ', '\t');
	*rest = (struct str){ p, (size_t)(end - p) };
	return (struct str){ from, (size_t)(p - from) };
}

/* Digits at the front of s: "20", and the whole part of "20.5". */
static uint32_t leading_number(struct str s, uint32_t max)
{
	uint64_t v = 0;

	for (size_t i = 0; i < s.n && s.p[i] >= '0' && s.p[i] <= '9' && v <= max; i++)
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	return v > max ? max : (uint32_t)v;
}

/* IN IP4 224.2.36.42/127: the address without its TTL or number of addresses. */
static void parse_connection(struct str value, struct str *addr, bool *is_ip6)
{
	struct str net = next_word(&value), type = next_word(&value), host = next_word(&value);

	host = str_cut(&host, '/');
	if (!str_ieqz(net, "IN") || str_empty(host))
		return;
	*is_ip6 = str_ieqz(type, "IP6");
	*addr = host;
}

static int parse_origin(struct sdp *s, struct str value)
{
	s->origin_user = next_word(&value);
	s->origin_id = next_word(&value);
	s->origin_version = next_word(&value);
	next_word(&value);
	next_word(&value);
	s->origin_addr = next_word(&value);
	return str_empty(s->origin_addr) ? -EINVAL : 0;
}

static void add_format(struct sdp_media *m, struct str text)
{
	struct sdp_format *f = &m->formats[m->nformats++];
	uint32_t pt;

	*f = (struct sdp_format){ .text = text, .pt = -1, .channels = 1 };
	if (str_to_u32(text, 127, &pt) != 0)
		return;
	f->pt = (int)pt;
	/* A number is a payload type in RTP alone. */
	if (!str_istarts(m->proto, STR("RTP/")) && !str_istarts(m->proto, STR("UDP/TLS/RTP/")))
		return;
	if (pt >= ARRAY_LEN(static_formats) || !static_formats[pt].name)
		return;
	f->name = str_from(static_formats[pt].name);
	f->clock_hz = static_formats[pt].clock_hz;
	f->channels = static_formats[pt].channels;
}

static int parse_media(struct sdp *s, struct session *ses, struct str value)
{
	struct sdp_media *m;
	struct str port, word;
	uint32_t n;

	if (s->nmedia == SDP_MEDIA_MAX)
		return -E2BIG;
	m = &s->media[s->nmedia];
	*m = (struct sdp_media){ .formats = ses->formats, .attrs = ses->attrs, .session = s };
	m->type = next_word(&value);
	word = next_word(&value);
	port = str_cut(&word, '/'); /* "49170/2": a range of ports; the first is enough for one stream */
	m->proto = next_word(&value);
	if (str_empty(m->type) || str_empty(m->proto) || str_to_u32(port, UINT16_MAX, &n) != 0)
		return -EINVAL;
	m->port = (uint16_t)n;
	while (!str_empty(word = next_word(&value))) {
		if (m->nformats == SDP_FORMAT_MAX)
			return -E2BIG;
		add_format(m, word);
	}
	if (!m->nformats)
		return -EINVAL;
	ses->formats += m->nformats;
	s->nmedia++;
	return 0;
}

static struct sdp_format *find_format(struct sdp_media *m, struct str text)
{
	for (unsigned i = 0; i < m->nformats; i++)
		if (str_eq(m->formats[i].text, text))
			return &m->formats[i];
	return NULL;
}

/* "97 iLBC/8000" or "98 L16/16000/2". What doesn't parse leaves the format unnamed, thus unusable. */
static void parse_rtpmap(struct sdp_media *m, struct str value)
{
	struct sdp_format *f = find_format(m, next_word(&value));
	struct str encoding = next_word(&value), name = str_cut(&encoding, '/'), clock = str_cut(&encoding, '/');
	uint32_t clock_hz, channels = 1;

	if (!f || str_empty(name) || str_to_u32(clock, UINT32_MAX, &clock_hz) != 0)
		return;
	if (encoding.p && str_to_u32(encoding, 255, &channels) != 0)
		return;
	f->name = name;
	f->clock_hz = clock_hz;
	f->channels = channels ? channels : 1;
}

static int dir_of(struct str name)
{
	if (name.n != strlen("sendrecv")) /* all have as many letters */
		return DIR_NONE;
	for (size_t i = 0; i < ARRAY_LEN(dir_names); i++)
		if (!memcmp(name.p, dir_names[i], name.n))
			return (int)i;
	return DIR_NONE;
}

static void parse_media_attr(struct sdp_media *m, struct session *ses, unsigned index, const struct sdp_attr *a)
{
	struct str value = a->value;
	int dir = dir_of(a->name);

	if (dir != DIR_NONE) {
		ses->media_dir[index] = dir;
	} else if (str_eqz(a->name, "rtpmap")) {
		parse_rtpmap(m, value);
	} else if (str_eqz(a->name, "fmtp")) {
		struct sdp_format *f = find_format(m, next_word(&value));

		if (f)
			f->fmtp = str_trim(value);
	} else if (str_eqz(a->name, "ptime")) {
		m->ptime_ms = leading_number(value, PTIME_MAX_MS);
	} else if (str_eqz(a->name, "maxptime")) {
		m->maxptime_ms = leading_number(value, PTIME_MAX_MS);
	} else if (str_eqz(a->name, "rtcp")) {
		uint32_t port;

		if (str_to_u32(next_word(&value), UINT16_MAX, &port) == 0)
			ses->rtcp_port[index] = port;
	} else if (str_eqz(a->name, "rtcp-mux") || str_eqz(a->name, "rtcp-mux-only")) { /* RFC 8858 has both side by side */
		m->rtcp_mux = true;
	} else if (str_eqz(a->name, "mid")) {
		m->mid = str_trim(value);
	}
}

static void parse_attr(struct sdp *s, struct session *ses, struct str line)
{
	struct sdp_attr a;

	a.value = line;
	a.name = str_cut(&a.value, ':');
	if (s->nmedia) {
		struct sdp_media *m = &s->media[s->nmedia - 1];

		if (m->nattrs < SDP_ATTR_MAX) {
			m->attrs[m->nattrs++] = a;
			ses->attrs++;
		}
		parse_media_attr(m, ses, s->nmedia - 1, &a);
		return;
	}
	if (s->nattrs < SDP_ATTR_MAX) {
		s->attrs[s->nattrs++] = a;
		ses->attrs++;
	}
	if (dir_of(a.name) != DIR_NONE)
		ses->dir = dir_of(a.name);
}

static int parse_line(struct sdp *s, struct session *ses, char type, struct str value)
{
	struct sdp_media *m = s->nmedia ? &s->media[s->nmedia - 1] : NULL;

	switch (type) {
	case 'o':
		ses->has_origin = true;
		return parse_origin(s, value);
	case 's':
		s->name = value;
		return 0;
	case 't':
		if (str_empty(s->timing))
			s->timing = value;
		return 0;
	case 'c':
		if (!m)
			parse_connection(value, &ses->addr, &ses->addr_is_ip6);
		else if (str_empty(m->addr)) /* several are a multicast hierarchy */
			parse_connection(value, &m->addr, &m->addr_is_ip6);
		return 0;
	case 'm':
		return parse_media(s, ses, value);
	case 'a':
		parse_attr(s, ses, value);
		return 0;
	default:
		return 0;
	}
}

/* The next line without its end. A bare CR inside is no text. */
static int next_line(struct str *rest, struct str *line)
{
	const char *end = rest->p + rest->n, *at = scan_either(rest->p, end, '\r', '\n');

	*line = (struct str){ rest->p, (size_t)(at - rest->p) };
	if (at < end && *at == '\r' && ++at < end && *at != '\n')
		return -EINVAL;
	*rest = at < end ? (struct str){ at + 1, (size_t)(end - at - 1) } : STR_NULL;
	return 0;
}

static void inherit(struct sdp *s, const struct session *ses)
{
	for (unsigned i = 0; i < s->nmedia; i++) {
		struct sdp_media *m = &s->media[i];

		if (str_empty(m->addr)) {
			m->addr = ses->addr;
			m->addr_is_ip6 = ses->addr_is_ip6;
		}
		m->dir = ses->media_dir[i] != DIR_NONE ? ses->media_dir[i] : ses->dir != DIR_NONE ? ses->dir : SDP_SENDRECV;
		if (m->port)
			m->rtcp_port = ses->rtcp_port[i] ? (uint16_t)ses->rtcp_port[i] :
				       m->port < UINT16_MAX ? (uint16_t)(m->port + 1) : 0;
	}
}

static int parse_lines(struct sdp *s, struct session *ses, struct str text)
{
	struct str rest = text, line;

	if (next_line(&rest, &line) != 0 || !str_eqz(str_trim(line), "v=0"))
		return -EINVAL;
	while (rest.p) {
		int err = next_line(&rest, &line);

		if (err)
			return err;
		if (!line.n)
			continue; /* an empty line after the last is common */
		if (line.n < 2 || line.p[1] != '=')
			return -EINVAL;
		err = parse_line(s, ses, line.p[0], str_from_at(line, 2));
		if (err)
			return err;
		if (line.p[0] == 'm')
			s->media[s->nmedia - 1].lines = (struct str){ rest.p, 0 };
		else if (s->nmedia)
			s->media[s->nmedia - 1].lines.n = (size_t)(line.p + line.n - s->media[s->nmedia - 1].lines.p);
	}
	return ses->has_origin ? 0 : -EINVAL;
}

/* At least as many as the lines can need. */
struct counts { unsigned media, formats, attrs; };

static struct counts count(struct str text)
{
	const char *end = text.p + text.n, *next;
	struct counts n = { 0 };

	for (const char *line = text.p; line < end; line = next + 1) {
		next = scan_either(line, end, '\n', '\n');
		if (*line == 'a' && n.attrs < SDP_ATTR_MAX * (SDP_MEDIA_MAX + 1))
			n.attrs++;
		if (*line != 'm' || n.media == SDP_MEDIA_MAX)
			continue;
		n.media++;
		for (unsigned words = 0; line < next && words < SDP_FORMAT_MAX + 4; line++)
			if (is_blank(*line)) {
				words++;
				n.formats++;
			}
	}
	return n;
}

static struct sdp *sdp_alloc(const struct counts *n, size_t text_len)
{
	struct sdp *s = malloc(sizeof(*s) + n->media * sizeof(*s->media) + n->formats * sizeof(struct sdp_format) +
			       n->attrs * sizeof(*s->attrs) + text_len);

	if (!s)
		return NULL;
	*s = (struct sdp){ 0 };
	s->media = (struct sdp_media *)(s + 1);
	return s;
}

int sdp_parse(struct sdp **out, struct str text)
{
	struct session ses = { .dir = DIR_NONE };
	struct counts n;
	struct sdp *s;
	int err;

	if (!text.n || memchr(text.p, '\0', text.n))
		return -EINVAL;
	n = count(text);
	s = sdp_alloc(&n, text.n);
	if (!s)
		return -ENOMEM;
	ses.formats = (struct sdp_format *)(s->media + n.media);
	s->attrs = ses.attrs = (struct sdp_attr *)(ses.formats + n.formats);
	text.p = memcpy(s->attrs + n.attrs, text.p, text.n);
	for (unsigned i = 0; i < SDP_MEDIA_MAX; i++)
		ses.media_dir[i] = DIR_NONE;
	err = parse_lines(s, &ses, text);
	if (err) {
		free(s);
		return err;
	}
	inherit(s, &ses);
	*out = s;
	return 0;
}

const struct sdp_media *sdp_find(const struct sdp *s, const char *type)
{
	const struct sdp_media *first = NULL;

	for (unsigned i = 0; i < s->nmedia; i++) {
		if (!str_ieqz(s->media[i].type, type))
			continue;
		if (s->media[i].port)
			return &s->media[i];
		if (!first)
			first = &s->media[i];
	}
	return first;
}

static bool find_attr(const struct sdp_attr *attrs, unsigned n, const char *name, struct str *value)
{
	for (unsigned i = 0; i < n; i++) {
		if (!str_eqz(attrs[i].name, name))
			continue;
		if (value)
			*value = attrs[i].value;
		return true;
	}
	return false;
}

bool sdp_attr_find(const struct sdp_media *m, const char *name, struct str *value)
{
	return find_attr(m->attrs, m->nattrs, name, value);
}

bool sdp_attr_in_force(const struct sdp_media *m, const char *name, struct str *value)
{
	return sdp_attr_find(m, name, value) || find_attr(m->session->attrs, m->session->nattrs, name, value);
}

const char *sdp_dir_name(enum sdp_dir d)
{
	return dir_names[d & SDP_SENDRECV];
}

enum sdp_dir sdp_dir_reverse(enum sdp_dir d)
{
	return (d & SDP_SENDONLY ? SDP_RECVONLY : 0) | (d & SDP_RECVONLY ? SDP_SENDONLY : 0);
}

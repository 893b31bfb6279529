/* peers.c - plays a script: what a step leaves out is taken from what the peer has heard of the server so far, so that a script that is
 * torn and shuffled still leads into dialogs and through them.
 */
#include "loop/peers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/out.h"
#include "base/rng.h"
#include "sip/digest.h"

#define NPEERS 6
#define KEPT 6                     /* dialogs and requests that a peer knows of */
#define TEXT 1024
#define STEPS_MAX 200
#define SENT_MAX 4000              /* messages of the server in one script: more would be a storm */
#define WAIT_MAX_MS 4000000
#define PASS_MAX_MS 20000000
#define QUIET_MS (600 * 1000)      /* then media is missed: calls between phones without session timers have no other end */
#define END_MS (4 * 3600 * 1000)   /* longer than any registration, subscription or session timer */
#define HEARD 64                   /* of the server's last messages it is known what they were */

struct dialog_of_peer {
	char call_id[256], local[TEXT], remote[TEXT], target[TEXT];
	char branch[128];          /* of his last INVITE */
	uint32_t cseq, invite_cseq, rseq, rack_cseq;
};

struct peer {
	char name;
	const char *user;
	struct sip_source src;
	char contact[128];
	struct dialog_of_peer *dialogs[KEPT]; /* the newest first; NULL: there aren't so many */
	char *requests[KEPT];      /* the server's, the newest first */
	size_t request_len[KEPT];
	char *challenge;           /* a 401 */
	size_t challenge_len;
	uint32_t nc;
	char etag[128];
	unsigned ncalls;
};

struct peers {
	struct server *server;
	struct peer peers[NPEERS];
	unsigned nsent, nbranches;
	uint64_t passed_ms;
	uint64_t heard[HEARD];     /* sums of the last messages */
	bool is_traced;
	struct rng rng;
};

static struct sip_msg parsed;

static void trace(const struct peers *ps, char name, const char *arrow, struct str bytes)
{
	if (ps->is_traced)
		fprintf(stderr, "%llu %s %c\n%.*s\n", (unsigned long long)server_now_ms(ps->server), arrow, name, STR_ARG(bytes));
}

/* ---- what the server says ---- */

static void copy(struct str s, char *buf, size_t size)
{
	if (str_copy(s, buf, size) != 0 || memchr(buf, '\n', strlen(buf)))
		buf[0] = '\0';
}

/* The oldest is forgotten. */
static struct dialog_of_peer *dialog_new(struct peer *p)
{
	struct dialog_of_peer *d = p->dialogs[KEPT - 1] ? p->dialogs[KEPT - 1] : malloc(sizeof(*d));

	memmove(&p->dialogs[1], &p->dialogs[0], sizeof(p->dialogs) - sizeof(p->dialogs[0]));
	p->dialogs[0] = d;
	d->call_id[0] = d->local[0] = d->remote[0] = d->target[0] = d->branch[0] = '\0';
	d->cseq = d->invite_cseq = d->rseq = d->rack_cseq = 0;
	return d;
}

static struct dialog_of_peer *dialog_of(struct peer *p, struct str call_id)
{
	for (unsigned i = 0; i < KEPT; i++)
		if (p->dialogs[i] && str_eqz(call_id, p->dialogs[i]->call_id))
			return p->dialogs[i];
	return NULL;
}

static void learn_target(struct dialog_of_peer *d, const struct sip_msg *m)
{
	struct sip_addr contact;

	if (sip_addr_parse(&contact, sip_msg_value(m, SIP_HDR_CONTACT)) == 0)
		copy(contact.uri.text, d->target, sizeof(d->target));
}

static void take_request(struct peer *p, const struct sip_msg *m, struct str bytes)
{
	struct dialog_of_peer *d = dialog_of(p, m->call_id);

	if (m->method == SIP_ACK || m->method == SIP_CANCEL)
		return;
	free(p->requests[KEPT - 1]);
	memmove(&p->requests[1], &p->requests[0], sizeof(p->requests) - sizeof(p->requests[0]));
	memmove(&p->request_len[1], &p->request_len[0], sizeof(p->request_len) - sizeof(p->request_len[0]));
	p->requests[0] = malloc(bytes.n);
	memcpy(p->requests[0], bytes.p, bytes.n);
	p->request_len[0] = bytes.n;
	if (!d && (m->method == SIP_INVITE || m->method == SIP_NOTIFY)) {
		d = dialog_new(p);
		copy(m->call_id, d->call_id, sizeof(d->call_id));
		copy(m->from.value, d->remote, sizeof(d->remote));
		copy(m->to.value, d->local, sizeof(d->local));
	}
	if (d)
		learn_target(d, m);
}

static void take_response(struct peer *p, const struct sip_msg *m, struct str bytes)
{
	struct dialog_of_peer *d = dialog_of(p, m->call_id);

	if (m->status == 401) {
		free(p->challenge);
		p->challenge = malloc(bytes.n);
		memcpy(p->challenge, bytes.p, bytes.n);
		p->challenge_len = bytes.n;
		p->nc = 0;
	}
	if (sip_msg_has(m, SIP_HDR_SIP_ETAG))
		copy(sip_msg_value(m, SIP_HDR_SIP_ETAG), p->etag, sizeof(p->etag));
	if (!d || m->status >= 300 || m->status < 101)
		return;
	copy(m->to.value, d->remote, sizeof(d->remote));
	learn_target(d, m);
	if (sip_msg_has(m, SIP_HDR_RSEQ)) {
		str_to_u32(sip_msg_value(m, SIP_HDR_RSEQ), UINT32_MAX, &d->rseq);
		d->rack_cseq = m->cseq.seq;
	}
}

/* Half of what a server says it says again. */
static bool is_repeated(struct peers *ps, struct str bytes)
{
	uint64_t sum = bytes.n, part;

	for (size_t i = 0; i + sizeof(part) <= bytes.n; i += sizeof(part)) {
		memcpy(&part, bytes.p + i, sizeof(part));
		sum = (sum ^ part) * 0x9e3779b97f4a7c15;
		sum ^= sum >> 32;
	}
	for (unsigned i = 0; i < HEARD; i++)
		if (ps->heard[i] == sum)
			return true;
	ps->heard[ps->nsent % HEARD] = sum;
	return false;
}

static void on_sent(const struct sip_dest *dest, struct str bytes, void *arg)
{
	static char text[SIP_MSG_MAX];
	struct peers *ps = arg;
	struct sip_msg_error err;

	assert(++ps->nsent < SENT_MAX);
	for (unsigned i = 0; i < NPEERS && ps->is_traced; i++)
		if (sockaddr_host_eq(&dest->addr, &ps->peers[i].src.peer))
			trace(ps, ps->peers[i].name, "->", bytes);
	if (is_repeated(ps, bytes))
		return;
	memcpy(text, bytes.p, bytes.n);
	/* What we say can be read, whatever was said to us, but for a refusal, which repeats what was wrong. */
	if (sip_msg_parse(&parsed, text, bytes.n, &err) != 0) {
		assert(str_starts(bytes, STR("SIP/2.0 4")) || str_starts(bytes, STR("SIP/2.0 5")));
		return;
	}
	assert(parsed.content_length == (int64_t)parsed.body.n);
	for (unsigned i = 0; i < NPEERS; i++) {
		struct peer *p = &ps->peers[i];

		if (!sockaddr_host_eq(&dest->addr, &p->src.peer))
			continue;
		if (parsed.is_request)
			take_request(p, &parsed, bytes);
		else
			take_response(p, &parsed, bytes);
	}
}

/* ---- a step ---- */

struct step {
	struct peer *peer;
	unsigned which;
	bool is_new, is_bare, is_raw, is_fork;
	uint64_t wait_ms;
	struct str first, hdrs, body; /* hdrs: whole lines */
};

static struct str cut_line(struct str *rest)
{
	struct str line = str_cut(rest, '\n');

	if (line.n && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static bool has(const struct step *s, const char *name)
{
	struct str rest = s->hdrs;

	while (rest.n) {
		struct str line = cut_line(&rest), value = line, key = str_trim(str_cut(&value, ':'));

		if (str_ieqz(key, name))
			return true;
	}
	return false;
}

static void escape(struct out *o, const char *z)
{
	for (; *z; z++) {
		if (strchr(";=@?&%<>\" ", *z))
			out_fmt(o, "%%%02X", (unsigned char)*z);
		else
			out_chr(o, *z);
	}
}

static void print_tag(struct out *o, const char *addr)
{
	struct sip_addr a;

	if (sip_addr_parse(&a, str_from(addr)) == 0)
		out_str(o, a.tag);
}

static const struct dialog_of_peer none;

static void print_replaces(struct out *o, const struct dialog_of_peer *d, bool is_escaped)
{
	char text[TEXT];
	struct out t;

	out_init(&t, text, sizeof(text) - 1);
	out_z(&t, d->call_id);
	out_z(&t, ";to-tag=");
	print_tag(&t, d->remote);
	out_z(&t, ";from-tag=");
	print_tag(&t, d->local);
	text[t.len] = '\0';
	if (is_escaped)
		escape(o, text);
	else
		out_z(o, text);
}

static void print_offer(struct out *o, char kind)
{
	out_z(o, "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 8 101\r\n"
		 "a=rtpmap:101 telephone-event/8000\r\n");
	if (kind == 'h')
		out_z(o, "a=sendonly\r\n");
	if (kind == 'v')
		out_z(o, "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n");
}

/* Text with its '$' words. */
static void expand(struct out *o, struct peers *ps, const struct step *s, struct str text, bool is_body)
{
	struct peer *other = &ps->peers[(size_t)(s->peer - ps->peers + 1) % NPEERS];

	for (size_t i = 0; i < text.n; i++) {
		char next = i + 1 < text.n ? text.p[i + 1] : '\0';

		if (text.p[i] == '\n' && (!i || text.p[i - 1] != '\r'))
			out_chr(o, '\r');
		if (text.p[i] != '$' || !next || !strchr("ohvrRqQec", next)) {
			out_chr(o, text.p[i]);
			continue;
		}
		i++;
		if (strchr("ohv", next)) {
			if (is_body)
				print_offer(o, next);
		} else if (next == 'e') {
			out_z(o, s->peer->etag);
		} else if (next == 'c') {
			out_z(o, s->peer->contact);
		} else {
			const struct dialog_of_peer *d = next == 'q' || next == 'Q' ? other->dialogs[s->which] : s->peer->dialogs[!s->which];

			print_replaces(o, d ? d : &none, next == 'R' || next == 'Q');
		}
	}
}

static void print_contact(struct out *o, const struct step *s)
{
	if (!has(s, "Contact") && !has(s, "m"))
		out_fmt(o, "Contact: <%s>\r\n", s->peer->contact);
}

static void print_end(struct out *o, struct peers *ps, const struct step *s)
{
	struct out body;

	expand(o, ps, s, s->hdrs, false);
	out_init_grow(&body, 2 * SIP_MSG_MAX);
	expand(&body, ps, s, s->body, true);
	if (body.len && !has(s, "Content-Type") && !has(s, "c"))
		out_z(o, "Content-Type: application/sdp\r\n");
	if (!has(s, "Content-Length") && !has(s, "l"))
		out_fmt(o, "Content-Length: %zu\r\n", body.len);
	out_z(o, "\r\n");
	out_str(o, out_view(&body));
	out_fini(&body);
}

/* ---- responses ---- */

static bool print_response(struct out *o, struct peers *ps, const struct step *s)
{
	static const struct { enum sip_hdr_id id; const char *name; } copied[] = {
		{ SIP_HDR_VIA, "Via" }, { SIP_HDR_FROM, "From" }, { SIP_HDR_CALL_ID, "Call-ID" }, { SIP_HDR_CSEQ, "CSeq" },
		{ SIP_HDR_RECORD_ROUTE, "Record-Route" },
	};
	struct sip_msg_error err;
	struct dialog_of_peer *d;
	struct sip_msg *m = &parsed;
	char to[TEXT];
	char *text;

	if (!s->peer->requests[s->which])
		return false;
	text = malloc(s->peer->request_len[s->which]);
	memcpy(text, s->peer->requests[s->which], s->peer->request_len[s->which]);
	sip_msg_parse(m, text, s->peer->request_len[s->which], &err);
	if (str_starts(s->first, STR("SIP/2.0 ")))
		out_str(o, s->first);
	else
		out_fmt(o, "SIP/2.0 %.*s%s", STR_ARG(s->first), s->first.n > 3 ? "" : " X");
	out_z(o, "\r\n");
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		struct sip_hdr_iter it = { 0 };
		struct str one;

		while (!has(s, copied[i].name) && sip_msg_hdr_next(m, copied[i].id, &it, &one))
			out_fmt(o, "%s: %.*s\r\n", copied[i].name, STR_ARG(one));
	}
	if (m->to.tag.n)
		snprintf(to, sizeof(to), "%.*s", STR_ARG(m->to.value));
	else
		snprintf(to, sizeof(to), "%.*s;tag=%c%u%s", STR_ARG(m->to.value), s->peer->name, (unsigned)m->call_id.n, s->is_fork ? "f" : "");
	if (!has(s, "To"))
		out_fmt(o, "To: %s\r\n", to);
	d = dialog_of(s->peer, m->call_id);
	if (d && !m->to.tag.n)
		str_put(d->local, sizeof(d->local), to);
	if (m->method == SIP_INVITE || m->method == SIP_UPDATE)
		print_contact(o, s);
	free(text);
	print_end(o, ps, s);
	return true;
}

/* ---- requests ---- */

static void print_authorization(struct out *o, struct peers *ps, const struct step *s, struct str method, struct str uri)
{
	struct sip_msg_error err;
	char *text;

	if (s->is_bare || !s->peer->challenge || !s->peer->user || has(s, "Authorization"))
		return;
	text = malloc(s->peer->challenge_len);
	memcpy(text, s->peer->challenge, s->peer->challenge_len);
	if (sip_msg_parse(&parsed, text, s->peer->challenge_len, &err) == 0)
		digest_answer(o, &parsed, method, uri, str_from(s->peer->user), STR("secret"), ++s->peer->nc, &ps->rng);
	free(text);
}

static struct dialog_of_peer *begin_dialog(struct peers *ps, const struct step *s, struct str method, struct str uri)
{
	struct dialog_of_peer *d = dialog_new(s->peer);
	bool is_register = str_eqz(method, "REGISTER");

	snprintf(d->call_id, sizeof(d->call_id), "%c%u", s->peer->name, is_register ? 0 : ++s->peer->ncalls);
	snprintf(d->local, sizeof(d->local), "<sip:%s@office>;tag=%c%u", s->peer->user ? s->peer->user : "0301234", s->peer->name, ps->nbranches);
	if (is_register)
		snprintf(d->remote, sizeof(d->remote), "<sip:%s@office>", s->peer->user ? s->peer->user : "nobody");
	else
		snprintf(d->remote, sizeof(d->remote), "<%.*s>", uri.n < 512 ? (int)uri.n : 0, uri.p ? uri.p : "");
	d->cseq = is_register ? ps->nbranches : 0;
	return d;
}

static void print_request(struct out *o, struct peers *ps, const struct step *s)
{
	struct str rest = s->first, method = str_cut(&rest, ' '), uri = str_cut(&rest, ' ');
	struct dialog_of_peer *d = s->peer->dialogs[s->which];
	struct str version = rest.n ? rest : STR("SIP/2.0");
	bool is_ack = str_eqz(method, "ACK"), is_cancel = str_eqz(method, "CANCEL");
	uint32_t cseq;
	char branch[64];

	if (s->is_new || !d)
		d = begin_dialog(ps, s, method, uri);
	if (!uri.n)
		uri = str_from(d->target[0] ? d->target : "sip:1002@office");
	cseq = is_ack || is_cancel ? d->invite_cseq : ++d->cseq;
	snprintf(branch, sizeof(branch), "z9hG4bK%c%u", s->peer->name, ++ps->nbranches);
	if (str_eqz(method, "INVITE")) {
		d->invite_cseq = cseq;
		str_put(d->branch, sizeof(d->branch), branch);
	}
	out_fmt(o, "%.*s %.*s %.*s\r\n", STR_ARG(method), STR_ARG(uri), STR_ARG(version));
	if (!has(s, "Via") && !has(s, "v"))
		out_fmt(o, "Via: SIP/2.0/%s 192.0.2.9;branch=%s;rport\r\n", sip_proto_name(s->peer->src.proto),
			is_cancel || (is_ack && s->is_fork) ? d->branch : branch);
	if (!has(s, "From") && !has(s, "f"))
		out_fmt(o, "From: %s\r\n", d->local);
	if (!has(s, "To") && !has(s, "t"))
		out_fmt(o, "To: %s\r\n", d->remote);
	if (!has(s, "Call-ID") && !has(s, "i"))
		out_fmt(o, "Call-ID: %s\r\n", d->call_id);
	if (!has(s, "CSeq"))
		out_fmt(o, "CSeq: %u %.*s\r\n", cseq, STR_ARG(method));
	if (!has(s, "Max-Forwards"))
		out_z(o, "Max-Forwards: 70\r\n");
	if (str_eqz(method, "PRACK") && !has(s, "RAck"))
		out_fmt(o, "RAck: %u %u INVITE\r\n", d->rseq, d->rack_cseq);
	if (!str_eqz(method, "BYE") && !is_cancel && !is_ack)
		print_contact(o, s);
	if (!is_ack && !is_cancel)
		print_authorization(o, ps, s, method, uri);
	print_end(o, ps, s);
}

/* ---- playing ---- */

/* What isn't a message. */
static bool play_word(struct peers *ps, const struct step *s)
{
	struct str rest = s->first, word = str_cut(&rest, ' ');
	char c = rest.n ? rest.p[0] : '0';

	if (str_eqz(word, "DIGIT") && strchr("0123456789*#ABCD", c))
		server_media_event(ps->server, c);
	else if (str_eqz(word, "TIMEOUT"))
		server_media_event(ps->server, 'T');
	else if (str_eqz(word, "LATCH"))
		server_media_event(ps->server, 'L');
	else if (str_eqz(word, "SECURED"))
		server_media_event(ps->server, 'S');
	else if (str_eqz(word, "INSECURE"))
		server_media_event(ps->server, 'I');
	else if (str_eqz(word, "CLOSE"))
		server_flow_closed(ps->server, s->peer->src.flow);
	else if (str_eqz(word, "LOST"))
		server_set_send_error(ps->server, c == '1' ? -113 : c == '2' ? -107 : 0);
	else if (str_eqz(word, "AWAY"))
		server_set_away(ps->server, c == '1');
	else
		return false;
	return true;
}

static void pass(struct peers *ps, uint64_t ms)
{
	if (ms > WAIT_MAX_MS)
		ms = WAIT_MAX_MS;
	if (ms > PASS_MAX_MS - ps->passed_ms)
		ms = PASS_MAX_MS - ps->passed_ms;
	ps->passed_ms += ms;
	server_pass(ps->server, ms);
}

static void play_step(struct peers *ps, const struct step *s)
{
	bool is_response = str_starts(s->first, STR("SIP/2.0 ")) || (s->first.n && s->first.p[0] >= '1' && s->first.p[0] <= '6');
	struct out o;

	pass(ps, s->wait_ms);
	if (play_word(ps, s))
		return;
	out_init_grow(&o, 4 * SIP_MSG_MAX);
	if (s->is_raw) {
		out_str(&o, s->first);
		out_z(&o, "\r\n");
		expand(&o, ps, s, s->hdrs, false);
		out_z(&o, "\r\n");
		expand(&o, ps, s, s->body, true);
	} else if (is_response) {
		if (!print_response(&o, ps, s))
			goto out;
	} else {
		print_request(&o, ps, s);
	}
	if (out_ok(&o) && o.len && o.len <= SIP_MSG_MAX) {
		char *exact = malloc(o.len); /* of exactly this size, so that a byte read too far is caught */

		memcpy(exact, o.p, o.len);
		trace(ps, s->peer->name, "<-", out_view(&o));
		server_receive(ps->server, exact, o.len, &s->peer->src);
		free(exact);
	}
out:
	out_fini(&o);
}

/* "@a 500 1nx", without the '@'. */
static void read_head(struct peers *ps, struct str line, struct step *s)
{
	static const char names[] = "abctus";
	const char *at = line.n ? strchr(names, line.p[0]) : NULL;
	struct str rest = str_trim(str_from_at(line, 1)), ms = str_cut(&rest, ' ');
	uint32_t wait = 0;

	*s = (struct step){ .peer = &ps->peers[at && *at ? at - names : 0] };
	str_to_u32(ms, UINT32_MAX, &wait);
	s->wait_ms = wait;
	for (size_t i = 0; i < rest.n; i++) {
		char c = rest.p[i];

		if (c >= '0' && c <= '9')
			s->which = (unsigned)(c - '0') % KEPT;
		s->is_new |= c == 'n';
		s->is_bare |= c == 'x';
		s->is_raw |= c == 'r';
		s->is_fork |= c == 'f';
	}
}

/* The text up to the next line that begins with '@'. */
static struct str cut_text(struct str *script)
{
	struct str all = *script;

	for (size_t i = 0; i < all.n; i++) {
		if (all.p[i] == '@' && (i == 0 || all.p[i - 1] == '\n')) {
			*script = str_from_at(all, i + 1);
			return (struct str){ all.p, i };
		}
	}
	*script = STR_NULL;
	return all;
}

/* Lines up to an empty one. */
static struct str cut_headers(struct str *text)
{
	struct str all = *text;

	while (text->n) {
		const char *at = text->p;

		if (!cut_line(text).n)
			return (struct str){ all.p, (size_t)(at - all.p) };
	}
	return all;
}

void peers_play(struct peers *ps, struct str script)
{
	cut_text(&script);
	for (unsigned i = 0; i < STEPS_MAX && script.p; i++) {
		struct str text = cut_text(&script);
		struct step s;

		read_head(ps, cut_line(&text), &s);
		s.first = cut_line(&text);
		s.hdrs = cut_headers(&text);
		s.body = text;
		play_step(ps, &s);
	}
}

void peers_end(struct peers *ps)
{
	server_set_send_error(ps->server, 0);
	server_set_away(ps->server, false);
	server_pass(ps->server, QUIET_MS);
	server_media_event(ps->server, 'T');
	server_pass(ps->server, END_MS);
}

struct server *peers_server(struct peers *ps)
{
	return ps->server;
}

/* As if he had asked for something already. */
static void challenge(struct peers *ps, struct peer *p)
{
	char text[TEXT];
	struct out o;

	out_init(&o, text, sizeof(text));
	out_z(&o, "SIP/2.0 401 X\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK\r\nFrom: <sip:x>;tag=x\r\nTo: <sip:x>;tag=x\r\nCall-ID: x\r\n"
		  "CSeq: 1 REGISTER\r\nContent-Length: 0\r\n");
	server_challenge(ps->server, &o, &p->src);
	out_z(&o, "\r\n");
	assert(out_ok(&o));
	p->challenge = malloc(o.len);
	memcpy(p->challenge, o.p, o.len);
	p->challenge_len = o.len;
}

struct peers *peers_new(struct str script)
{
	static const struct { char name; const char *user, *host; enum sip_proto proto; uint64_t flow; } all[NPEERS] = {
		{ 'a', "1001", "192.0.2.1", SIP_UDP, 1 }, { 'b', "1002", "192.0.2.2", SIP_UDP, 1 }, { 'c', "1003", "192.0.2.3", SIP_TCP, 1003 },
		{ 't', NULL, "192.0.2.200", SIP_UDP, 1 }, { 'u', NULL, "192.0.2.201", SIP_UDP, 1 }, { 's', NULL, "198.51.100.9", SIP_WS, 1004 },
	};
	struct peers *ps = calloc(1, sizeof(*ps));
	struct str known = cut_text(&script);
	unsigned kept = 0;

	rng_init_fixed(&ps->rng, 17);
	for (unsigned i = 0; i < NPEERS; i++) {
		struct peer *p = &ps->peers[i];

		p->name = all[i].name;
		p->user = all[i].user;
		p->src.proto = all[i].proto;
		p->src.flow = all[i].flow;
		sockaddr_parse(&p->src.peer, str_from(all[i].host), 5060);
		sockaddr_parse(&p->src.local, STR("192.0.2.250"), 5060);
		snprintf(p->contact, sizeof(p->contact), "sip:%s@%s%s", p->user ? p->user : "x", all[i].host, all[i].proto == SIP_TCP ? ";transport=tcp" : "");
	}
	ps->is_traced = getenv("FUZZ_TRACE") != NULL;
	for (unsigned i = 0; i < NPEERS; i++)
		if (all[i].user && known.n && memchr(known.p, all[i].name, known.n))
			kept |= 1u << i;
	ps->server = server_new(kept, on_sent, ps);
	for (unsigned i = 0; i < NPEERS; i++)
		if (kept & 1u << i)
			challenge(ps, &ps->peers[i]);
	return ps;
}

void peers_free(struct peers *ps)
{
	server_free(ps->server);
	for (unsigned i = 0; i < NPEERS; i++) {
		for (unsigned k = 0; k < KEPT; k++) {
			free(ps->peers[i].requests[k]);
			free(ps->peers[i].dialogs[k]);
		}
		free(ps->peers[i].challenge);
	}
	free(ps);
}

/* oa.c - offers and answers of one leg about one audio stream (RFC 3264, RFC 6337).
 *
 * What a session has agreed is kept as three things: the m= sections in their order, as the lines that refuse them
 * (each description of ours is those, with the audio's line written in full); every payload type ever used for the
 * stream, since a number may never change its meaning within a session (RFC 3264 §8.3.2); and the outcome. Their
 * offer is kept, read, until it is answered.
 *
 * What a stream does with the outcome is left to the leg.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "sdp/oa.h"

#define DTMF_NAME "telephone-event"
#define DTMF_PT 101          /* what nearly everybody uses; some old gateways expect nothing else */
#define DTMF_CLOCKS_MAX 4
#define DYNAMIC_PT_MIN 96    /* RFC 3551 §3 */
#define DYNAMIC_PT_MAX 127
#define PAYLOADS_MAX (OA_CODECS_MAX + DTMF_CLOCKS_MAX)
#define TEXT_MAX 16384       /* of a description of ours; refused sections repeat up to what came in one */
#define PTIME_DEFAULT_MS 20
#define PTIME_MIN_MS 10      /* what a stream can send, in steps of 10 */
#define PTIME_MAX_MS 60
#define PROTO_DEFAULT "RTP/AVP"

/* Payloads of a description of ours: pt is what we receive them with. */
struct payloads {
	unsigned n;
	struct oa_codec list[PAYLOADS_MAX];
};

struct oa {
	enum oa_state state;
	bool is_complete;
	uint64_t sess_id, version;
	char *last_body;             /* of our last description, all but o=: what raises the version when it changes */
	unsigned nsections;
	unsigned audio;              /* index of our stream's section, valid when nsections > 0 */
	char *sections[SDP_MEDIA_MAX]; /* refusals: "m=video 0 RTP/AVP 31\r\n" */
	char proto[16];              /* of the audio section */
	struct payloads known;       /* codecs that have had a number here, with the latest */
	bool is_pt_seen[128];        /* numbers either side has used for anything */
	struct payloads ours;        /* of our offer under way */
	enum sdp_dir offered_dir;    /* of our offer under way */
	struct sdp *offer;           /* theirs, to be answered */
	struct oa_agreed agreed;
	struct oa_agreed before;     /* what oa_rollback goes back to */
	bool was_complete;
	bool is_early;               /* their answer came in a provisional response, and stands until the 2xx has another */
};

struct oa *oa_new(uint64_t sess_id)
{
	struct oa *oa = calloc(1, sizeof(*oa));

	if (!oa)
		return NULL;
	oa->sess_id = sess_id;
	memcpy(oa->proto, PROTO_DEFAULT, sizeof(PROTO_DEFAULT));
	return oa;
}

static void clear_sections(struct oa *oa)
{
	for (unsigned i = 0; i < oa->nsections; i++)
		free(oa->sections[i]);
	oa->nsections = 0;
}

void oa_free(struct oa *oa)
{
	if (!oa)
		return;
	clear_sections(oa);
	free(oa->last_body);
	free(oa->offer);
	free(oa);
}

enum oa_state oa_state(const struct oa *oa)
{
	return oa->state;
}

bool oa_is_complete(const struct oa *oa)
{
	return oa->is_complete;
}

const struct oa_agreed *oa_agreed(const struct oa *oa)
{
	return &oa->agreed;
}

/* The one place where the state changes: what belongs to the exchange under way goes when it ends. */
static void set_state(struct oa *oa, enum oa_state state)
{
	oa->is_early = false;
	if (state == OA_IDLE) {
		free(oa->offer);
		oa->offer = NULL;
	} else {
		oa->before = oa->agreed;
		oa->was_complete = oa->is_complete;
	}
	oa->state = state;
}

/* ---- payload types ---- */

static bool same_codec(const struct oa_codec *a, const struct oa_codec *b)
{
	return !strcmp(a->name, b->name) && a->clock_hz == b->clock_hz && a->channels == b->channels;
}

static bool fits_format(const struct oa_codec *c, const struct sdp_format *f)
{
	return f->clock_hz == c->clock_hz && f->channels == c->channels && str_ieqz(f->name, c->name);
}

static struct oa_codec *find_payload(struct payloads *ps, const struct oa_codec *c)
{
	for (unsigned i = 0; i < ps->n; i++)
		if (same_codec(&ps->list[i], c))
			return &ps->list[i];
	return NULL;
}

static void add_payload(struct payloads *ps, const struct oa_codec *c, int pt)
{
	if (ps->n == PAYLOADS_MAX)
		return;
	ps->list[ps->n] = *c;
	ps->list[ps->n++].pt = pt;
}

static void remember_payloads(struct oa *oa, const struct payloads *ps)
{
	for (unsigned i = 0; i < ps->n; i++) {
		struct oa_codec *old = find_payload(&oa->known, &ps->list[i]);

		if (old)
			old->pt = ps->list[i].pt;
		else
			add_payload(&oa->known, &ps->list[i], ps->list[i].pt);
		oa->is_pt_seen[ps->list[i].pt & 127] = true;
	}
}

static bool is_pt_in(const struct payloads *ps, int pt)
{
	for (unsigned i = 0; i < ps->n; i++)
		if (ps->list[i].pt == pt)
			return true;
	return false;
}

/* The number to offer c with: the one it has had, the one it likes, or a free one; -1 when all are taken. */
static int choose_pt(struct oa *oa, const struct payloads *offer, const struct oa_codec *c)
{
	const struct oa_codec *old = find_payload(&oa->known, c);

	if (c->pt >= 0 && c->pt < DYNAMIC_PT_MIN)
		return is_pt_in(offer, c->pt) ? -1 : c->pt;
	if (old && !is_pt_in(offer, old->pt))
		return old->pt;
	if (c->pt >= DYNAMIC_PT_MIN && c->pt <= DYNAMIC_PT_MAX && !oa->is_pt_seen[c->pt] && !is_pt_in(offer, c->pt))
		return c->pt;
	for (int pt = DYNAMIC_PT_MIN; pt <= DYNAMIC_PT_MAX; pt++)
		if (!oa->is_pt_seen[pt] && !is_pt_in(offer, pt))
			return pt;
	return -1;
}

static struct oa_codec dtmf_codec(uint32_t clock_hz)
{
	return (struct oa_codec){ .name = DTMF_NAME, .clock_hz = clock_hz, .channels = 1, .pt = DTMF_PT, .fmtp = "0-16" };
}

static bool is_dtmf(const struct oa_codec *c)
{
	return !strcmp(c->name, DTMF_NAME);
}

/* Events share the clock of the codec they go with (RFC 4733 §2.1), so one for each clock in the list. */
static void offer_payloads(struct oa *oa, const struct oa_local *l, struct payloads *ps)
{
	ps->n = 0;
	for (unsigned i = 0; i < l->ncodecs && ps->n < OA_CODECS_MAX; i++) {
		int pt = choose_pt(oa, ps, &l->codecs[i]);

		if (pt >= 0 && !find_payload(ps, &l->codecs[i]))
			add_payload(ps, &l->codecs[i], pt);
	}
	unsigned naudio = ps->n;

	for (unsigned i = 0; l->dtmf && i < naudio; i++) {
		struct oa_codec events = dtmf_codec(ps->list[i].clock_hz);
		int pt = choose_pt(oa, ps, &events);

		if (pt >= 0 && !find_payload(ps, &events))
			add_payload(ps, &events, pt);
	}
}

/* ---- writing ---- */

static void write_audio(struct out *o, const struct oa *oa, const struct oa_local *l, const struct payloads *ps, enum sdp_dir dir)
{
	out_z(o, "m=audio ");
	out_u64(o, l->port);
	out_chr(o, ' ');
	out_z(o, oa->proto);
	for (unsigned i = 0; i < ps->n; i++) {
		out_chr(o, ' ');
		out_i64(o, ps->list[i].pt);
	}
	out_z(o, "\r\n");
	for (unsigned i = 0; i < ps->n; i++) {
		const struct oa_codec *c = &ps->list[i];

		/* For static ones too: RFC 3264 §5.1 recommends it. */
		out_z(o, "a=rtpmap:");
		out_i64(o, c->pt);
		out_chr(o, ' ');
		out_z(o, c->name);
		out_chr(o, '/');
		out_u64(o, c->clock_hz);
		if (c->channels > 1) {
			out_chr(o, '/');
			out_u64(o, c->channels);
		}
		out_z(o, "\r\n");
		if (c->fmtp) {
			out_z(o, "a=fmtp:");
			out_i64(o, c->pt);
			out_chr(o, ' ');
			out_z(o, c->fmtp);
			out_z(o, "\r\n");
		}
	}
	if (l->ptime_ms) {
		out_z(o, "a=ptime:");
		out_u64(o, l->ptime_ms);
		out_z(o, "\r\n");
	}
	if (l->rtcp_port && l->rtcp_port != l->port + 1)
		out_fmt(o, "a=rtcp:%u\r\n", l->rtcp_port);
	out_z(o, "a=");
	out_z(o, sdp_dir_name(dir));
	out_z(o, "\r\n");
}

static void write_address(struct out *o, const struct oa_local *l)
{
	out_z(o, l->addr_is_ip6 ? "IN IP6 " : "IN IP4 ");
	out_z(o, l->addr);
	out_z(o, "\r\n");
}

/* All sections in their order; ps NULL refuses the audio too. */
static void write_body(struct out *o, const struct oa *oa, const struct oa_local *l, const struct payloads *ps,
		       enum sdp_dir dir, struct str timing)
{
	out_z(o, "s=-\r\nc=");
	write_address(o, l);
	out_z(o, "t=");
	out_str(o, str_empty(timing) ? STR("0 0") : timing);
	out_z(o, "\r\n");
	if (!oa->nsections)
		write_audio(o, oa, l, ps, dir);
	for (unsigned i = 0; i < oa->nsections; i++) {
		if (i == oa->audio && ps)
			write_audio(o, oa, l, ps, dir);
		else
			out_z(o, oa->sections[i]);
	}
}

/* Puts v= and o= before the body; the version rises with each change (RFC 3264 §8). */
static int write_description(struct oa *oa, const struct oa_local *l, const struct payloads *ps, enum sdp_dir dir,
			     struct str timing, struct out *o)
{
	struct out body;
	int err = -ENOMEM;

	out_init_grow(&body, TEXT_MAX);
	write_body(&body, oa, l, ps, dir, timing);
	out_chr(&body, '\0');
	if (!out_ok(&body)) {
		err = -ENOSPC;
		goto out;
	}
	if (!oa->last_body || strcmp(oa->last_body, body.p) != 0) {
		char *copy = str_dup((struct str){ body.p, body.len - 1 });

		if (!copy)
			goto out;
		free(oa->last_body);
		oa->last_body = copy;
		oa->version++;
	}
	out_z(o, "v=0\r\no=- ");
	out_u64(o, oa->sess_id);
	out_chr(o, ' ');
	out_u64(o, oa->version);
	out_chr(o, ' ');
	write_address(o, l);
	out_z(o, oa->last_body);
	err = out_ok(o) ? 0 : -ENOSPC;
out:
	out_fini(&body);
	return err;
}

int oa_offer(struct oa *oa, const struct oa_local *l, struct out *o)
{
	int err;

	if (oa->state != OA_IDLE)
		return -EBUSY;
	offer_payloads(oa, l, &oa->ours);
	err = write_description(oa, l, &oa->ours, l->dir, STR_NULL, o);
	if (err)
		return err;
	remember_payloads(oa, &oa->ours);
	oa->offered_dir = l->dir;
	set_state(oa, OA_LOCAL_OFFER);
	return 0;
}

/* ---- reading ---- */

static bool is_audio(const struct sdp_media *m)
{
	return str_ieqz(m->type, "audio");
}

/* Plain RTP. AVPF (RFC 4585) differs by feedback that we needn't send. */
static bool is_rtp(const struct sdp_media *m)
{
	return str_ieqz(m->proto, "RTP/AVP") || str_ieqz(m->proto, "RTP/AVPF");
}

/* The ways to say "send nowhere": RFC 3264 §8.4, its IPv6 twin, and the name RFC 6157 §5.1 gives. */
static bool is_addr_null(struct str addr)
{
	static const struct str invalid = { ".invalid", 8 };

	return str_eqz(addr, "0.0.0.0") || str_eqz(addr, "::") ||
	       (addr.n >= invalid.n && str_ieq(str_from_at(addr, addr.n - invalid.n), invalid));
}

/* An IP address or a host name, short enough to be kept, and nothing that could upset a log line. */
static bool is_addr_usable(struct str addr)
{
	for (size_t i = 0; i < addr.n; i++)
		if (!isalnum((unsigned char)addr.p[i]) && !memchr(".:-_%", addr.p[i], 5))
			return false;
	return addr.n > 0 && addr.n < sizeof(((struct oa_agreed *)0)->addr);
}

/* Audio that is on needs an address (RFC 8866 §5.7). */
static int check_addresses(const struct sdp *s)
{
	for (unsigned i = 0; i < s->nmedia; i++) {
		const struct sdp_media *m = &s->media[i];

		if (is_audio(m) && is_rtp(m) && m->port && !is_addr_usable(m->addr))
			return -EINVAL;
	}
	return 0;
}

static const struct sdp_format *find_codec(const struct sdp_media *m, const struct oa_codec *c)
{
	for (unsigned i = 0; i < m->nformats; i++)
		if (m->formats[i].pt >= 0 && fits_format(c, &m->formats[i]))
			return &m->formats[i];
	return NULL;
}

static uint32_t agreed_ptime(const struct sdp_media *m)
{
	uint32_t ptime = m->ptime_ms ? m->ptime_ms : PTIME_DEFAULT_MS;

	if (m->maxptime_ms && ptime > m->maxptime_ms)
		ptime = m->maxptime_ms;
	if (ptime > PTIME_MAX_MS)
		ptime = PTIME_MAX_MS;
	return ptime < PTIME_MIN_MS ? PTIME_MIN_MS : ptime / 10 * 10;
}

/* Their numbers for the payloads of the answer, and ours: what is sent and what comes. */
static void agree_payloads(struct oa_agreed *a, const struct sdp_media *theirs, const struct payloads *ours)
{
	a->dtmf_send_pt = a->dtmf_recv_pt = -1;
	for (unsigned i = 0; i < ours->n; i++) {
		const struct oa_codec *c = &ours->list[i];
		const struct sdp_format *f = find_codec(theirs, c);

		if (!f)
			continue;
		if (is_dtmf(c)) {
			if (c->clock_hz != a->codec.clock_hz)
				continue;
			a->dtmf_send_pt = f->pt;
			a->dtmf_recv_pt = c->pt;
			a->dtmf_clock_hz = c->clock_hz;
			continue;
		}
		if (!a->ncommon) {
			a->codec = *c;
			a->send_pt = f->pt;
			a->recv_pt = c->pt;
		}
		if (a->ncommon < OA_CODECS_MAX) {
			a->common[a->ncommon].name = c->name;
			a->common[a->ncommon].clock_hz = c->clock_hz;
			a->common[a->ncommon].send_pt = f->pt;
			a->common[a->ncommon++].recv_pt = c->pt;
		}
	}
}

/* Payloads must be in the answer's order, codecs before events. */
static void agree(struct oa *oa, const struct sdp_media *theirs, const struct payloads *ours, enum sdp_dir local_dir)
{
	struct oa_agreed *a = &oa->agreed;

	memset(a, 0, sizeof(*a));
	a->has_audio = true;
	str_copy(theirs->addr, a->addr, sizeof(a->addr));
	a->addr_is_ip6 = theirs->addr_is_ip6;
	a->port = theirs->port;
	a->rtcp_port = theirs->rtcp_port;
	a->rtcp_mux = false; /* never ours to offer, so never agreed (RFC 5761 §5.1.1) */
	a->dir = local_dir & sdp_dir_reverse(theirs->dir);
	if (is_addr_null(theirs->addr))
		a->dir &= ~SDP_SENDONLY;
	/* Who was asked to listen only doesn't hold us by it. */
	a->remote_hold = (local_dir & SDP_SENDONLY) && !(a->dir & SDP_SENDONLY);
	a->ptime_ms = agreed_ptime(theirs);
	agree_payloads(a, theirs, ours);
	for (unsigned i = 0; i < theirs->nformats; i++)
		if (theirs->formats[i].pt >= 0)
			oa->is_pt_seen[theirs->formats[i].pt] = true;
	oa->is_complete = true;
}

static void agree_nothing(struct oa *oa)
{
	memset(&oa->agreed, 0, sizeof(oa->agreed));
	oa->agreed.ptime_ms = PTIME_DEFAULT_MS;
	oa->agreed.send_pt = oa->agreed.recv_pt = -1;
	oa->agreed.dtmf_send_pt = oa->agreed.dtmf_recv_pt = -1;
	oa->is_complete = true;
}

/* ---- their offer ---- */

int oa_take_offer(struct oa *oa, struct str text)
{
	struct sdp *s;
	int err;

	if (oa->state != OA_IDLE)
		return -EBUSY;
	err = sdp_parse(&s, text);
	if (err)
		return err == -ENOMEM ? err : -EINVAL;
	err = check_addresses(s);
	if (err) {
		free(s);
		return err;
	}
	oa->offer = s;
	set_state(oa, OA_REMOTE_OFFER);
	return 0;
}

static unsigned count_common(const struct sdp_media *m, const struct oa_local *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->ncodecs; i++)
		n += find_codec(m, &l->codecs[i]) != NULL;
	return n;
}

static bool is_acceptable(const struct sdp_media *m, const struct oa_local *l)
{
	return is_audio(m) && is_rtp(m) && m->port && count_common(m, l) > 0;
}

/* The section to take: the one our stream has had, else the first that can be; nmedia: none. */
static unsigned choose_section(const struct oa *oa, const struct sdp *s, const struct oa_local *l)
{
	if (oa->nsections && oa->audio < s->nmedia && is_acceptable(&s->media[oa->audio], l))
		return oa->audio;
	for (unsigned i = 0; i < s->nmedia; i++)
		if (is_acceptable(&s->media[i], l))
			return i;
	return s->nmedia;
}

unsigned oa_offered(const struct oa *oa, const struct oa_local *l, struct oa_codec out[OA_CODECS_MAX])
{
	const struct sdp *s = oa->offer;
	unsigned index, n = 0;

	if (oa->state != OA_REMOTE_OFFER)
		return 0;
	index = choose_section(oa, s, l);
	for (unsigned i = 0; index < s->nmedia && i < s->media[index].nformats; i++)
		for (unsigned k = 0; k < l->ncodecs && n < OA_CODECS_MAX; k++)
			if (fits_format(&l->codecs[k], &s->media[index].formats[i]))
				out[n++] = l->codecs[k];
	return n;
}

/* Our answer's payloads: codecs in the order wanted, then events for their clocks, all with the offer's numbers
 * (RFC 3264 §6.1: the same mapping both ways). */
static void answer_payloads(const struct sdp_media *m, const struct oa_local *l, bool prefer_local, struct payloads *ps)
{
	unsigned naudio;

	ps->n = 0;
	for (unsigned i = 0; prefer_local && i < l->ncodecs && ps->n < OA_CODECS_MAX; i++) {
		const struct sdp_format *f = find_codec(m, &l->codecs[i]);

		if (f && !find_payload(ps, &l->codecs[i]))
			add_payload(ps, &l->codecs[i], f->pt);
	}
	for (unsigned i = 0; !prefer_local && i < m->nformats; i++)
		for (unsigned k = 0; k < l->ncodecs && ps->n < OA_CODECS_MAX; k++)
			if (m->formats[i].pt >= 0 && fits_format(&l->codecs[k], &m->formats[i]) && !find_payload(ps, &l->codecs[k]))
				add_payload(ps, &l->codecs[k], m->formats[i].pt);
	naudio = ps->n;
	for (unsigned i = 0; l->dtmf && i < naudio; i++) {
		struct oa_codec events = dtmf_codec(ps->list[i].clock_hz);
		const struct sdp_format *f = find_codec(m, &events);

		if (f && !find_payload(ps, &events))
			add_payload(ps, &events, f->pt);
	}
}

/* "m=video 0 RTP/AVP 31 32": media, protocol and formats as offered (RFC 3264 §6). */
static char *refusal(const struct sdp_media *m)
{
	struct out o;
	char *copy;

	out_init_grow(&o, TEXT_MAX);
	out_z(&o, "m=");
	out_str(&o, m->type);
	out_z(&o, " 0 ");
	out_str(&o, m->proto);
	for (unsigned i = 0; i < m->nformats; i++) {
		out_chr(&o, ' ');
		out_str(&o, m->formats[i].text);
	}
	out_z(&o, "\r\n");
	copy = out_ok(&o) ? str_dup(out_view(&o)) : NULL;
	out_fini(&o);
	return copy;
}

static int refuse_all(const struct sdp *s, char *sections[SDP_MEDIA_MAX])
{
	for (unsigned i = 0; i < s->nmedia; i++) {
		sections[i] = refusal(&s->media[i]);
		if (sections[i])
			continue;
		while (i--)
			free(sections[i]);
		return -ENOMEM;
	}
	return 0;
}

/* True when they switched the audio off themselves, which is to be agreed to, not refused (RFC 3264 §8.2). */
static bool is_audio_off(const struct sdp *s)
{
	for (unsigned i = 0; i < s->nmedia; i++)
		if (is_audio(&s->media[i]) && s->media[i].port)
			return false;
	return s->nmedia > 0;
}

/* t= of an answer equals the offer's (RFC 3264 §6); nonsense isn't repeated. */
static struct str answer_timing(const struct sdp *s)
{
	struct str rest = s->timing, from = str_cut(&rest, ' ');

	for (size_t i = 0; i < s->timing.n; i++)
		if (s->timing.p[i] != ' ' && (s->timing.p[i] < '0' || s->timing.p[i] > '9'))
			return STR_NULL;
	return from.n && rest.n && str_find_chr(rest, ' ') < 0 ? s->timing : STR_NULL;
}

static void take_sections(struct oa *oa, const struct sdp *s, char *sections[SDP_MEDIA_MAX], unsigned audio)
{
	clear_sections(oa);
	memcpy(oa->sections, sections, s->nmedia * sizeof(*sections));
	oa->nsections = s->nmedia;
	if (audio < s->nmedia) {
		oa->audio = audio;
		str_copy(s->media[audio].proto, oa->proto, sizeof(oa->proto));
	} else if (oa->audio >= s->nmedia) {
		oa->audio = 0;
	}
	/* A later offer of ours turns the audio on again in a slot that is audio's. */
	for (unsigned i = 0; audio == s->nmedia && !is_audio(&s->media[oa->audio]) && i < s->nmedia; i++)
		if (is_audio(&s->media[i]))
			oa->audio = i;
}

int oa_answer(struct oa *oa, const struct oa_local *l, bool prefer_local, struct out *o)
{
	struct payloads ps = { 0 };
	char *sections[SDP_MEDIA_MAX];
	const struct sdp *s = oa->offer;
	unsigned audio;
	enum sdp_dir dir = SDP_INACTIVE;
	int err;

	if (oa->state != OA_REMOTE_OFFER)
		return -EBUSY;
	audio = choose_section(oa, s, l);
	if (audio == s->nmedia && !(oa->is_complete && is_audio_off(s))) {
		set_state(oa, OA_IDLE);
		return -EPROTO;
	}
	err = refuse_all(s, sections);
	if (err)
		return err;
	take_sections(oa, s, sections, audio);
	if (audio < s->nmedia) {
		answer_payloads(&s->media[audio], l, prefer_local, &ps);
		agree(oa, &s->media[audio], &ps, l->dir);
		dir = oa->agreed.dir;
		remember_payloads(oa, &ps);
	} else {
		agree_nothing(oa);
	}
	err = write_description(oa, l, audio < s->nmedia ? &ps : NULL, dir, answer_timing(s), o);
	if (err)
		oa_rollback(oa);
	set_state(oa, OA_IDLE);
	return err;
}

/* ---- their answer ---- */

/* The section of s that answers our audio; -EINVAL when s doesn't answer our offer (RFC 3264 §6). */
static int find_answer(const struct oa *oa, const struct sdp *s, const struct sdp_media **out)
{
	const struct sdp_media *m;
	unsigned audio = oa->nsections ? oa->audio : 0;

	if (s->nmedia != (oa->nsections ? oa->nsections : 1))
		return -EINVAL;
	m = &s->media[audio];
	if (!is_audio(m) || (m->port && !is_rtp(m)))
		return -EINVAL;
	*out = m;
	return check_addresses(s);
}

/* Our payloads that the answer took, in its order; codecs before events. */
static void answered_payloads(const struct payloads *offered, const struct sdp_media *m, struct payloads *ps)
{
	ps->n = 0;
	for (int events = 0; events < 2; events++)
		for (unsigned i = 0; i < m->nformats; i++)
			for (unsigned k = 0; k < offered->n; k++)
				if (is_dtmf(&offered->list[k]) == events && m->formats[i].pt >= 0 &&
				    fits_format(&offered->list[k], &m->formats[i]) && !find_payload(ps, &offered->list[k]))
					add_payload(ps, &offered->list[k], offered->list[k].pt);
}

static int take_answer(struct oa *oa, struct str text)
{
	const struct sdp_media *m;
	struct payloads ps;
	struct sdp *s;
	int err;

	if (oa->state != OA_LOCAL_OFFER)
		return -EBUSY;
	err = sdp_parse(&s, text);
	if (err)
		return err == -ENOMEM ? err : -EINVAL;
	err = find_answer(oa, s, &m);
	if (err)
		goto out;
	answered_payloads(&oa->ours, m, &ps);
	if (!m->port) {
		agree_nothing(oa);
	} else if (!ps.n || is_dtmf(&ps.list[0])) {
		err = -EINVAL; /* on, but with nothing that we offered */
	} else {
		agree(oa, m, &ps, oa->offered_dir);
	}
out:
	free(s);
	return err;
}

/* Our first offer becomes the session's one section. */
static int keep_offered_section(struct oa *oa)
{
	struct out o;

	if (oa->nsections)
		return 0;
	out_init_grow(&o, TEXT_MAX);
	out_z(&o, "m=audio 0 ");
	out_z(&o, oa->proto);
	for (unsigned i = 0; i < oa->ours.n; i++) {
		out_chr(&o, ' ');
		out_i64(&o, oa->ours.list[i].pt);
	}
	out_z(&o, "\r\n");
	oa->sections[0] = out_ok(&o) ? str_dup(out_view(&o)) : NULL;
	out_fini(&o);
	if (!oa->sections[0])
		return -ENOMEM;
	oa->nsections = 1;
	oa->audio = 0;
	return 0;
}

int oa_take_early_answer(struct oa *oa, struct str text)
{
	int err = take_answer(oa, text);

	if (!err)
		oa->is_early = true;
	return err;
}

int oa_keep_early_answer(struct oa *oa)
{
	int err = oa->is_early ? keep_offered_section(oa) : -EPROTO;

	if (!err)
		set_state(oa, OA_IDLE);
	return err;
}

int oa_take_answer(struct oa *oa, struct str text)
{
	int err = take_answer(oa, text);

	if (!err)
		err = keep_offered_section(oa);
	if (!err)
		set_state(oa, OA_IDLE);
	return err;
}

void oa_rollback(struct oa *oa)
{
	if (oa->state == OA_IDLE)
		return;
	oa->agreed = oa->before;
	oa->is_complete = oa->was_complete;
	set_state(oa, OA_IDLE);
}

/* oa.c - offers and answers of one leg about one audio stream (RFC 3264, RFC 6337).
 *
 * What a session has agreed is kept as three things: the m= sections in their order, as the lines that refuse them
 * (each description of ours is those, with the audio's line written in full); every payload type ever used for the
 * stream (oa_payloads.c); and the outcome. Their offer is kept, read, until it is answered.
 *
 * What a stream does with the outcome is left to the leg.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "sdp/oa_int.h"

#define PTIME_DEFAULT_MS 20
#define PTIME_MIN_MS 10      /* what a stream can send, in steps of 10 */
#define PTIME_MAX_MS 60
#define PROTO_DEFAULT "RTP/AVP"

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
	free(oa->sections);
	oa->sections = NULL;
	oa->nsections = 0;
}

void oa_free(struct oa *oa)
{
	if (!oa)
		return;
	clear_sections(oa);
	free(oa->known);
	oa_exchange_free(oa);
	oa_others_free(oa->others);
	oa_secure_free(oa);
	oa_ice_free(oa);
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

int oa_exchange_begin(struct oa *oa)
{
	oa->exchange = calloc(1, sizeof(*oa->exchange));
	if (!oa->exchange)
		return -ENOMEM;
	oa->exchange->before = oa->agreed;
	oa->exchange->was_complete = oa->is_complete;
	return 0;
}

void oa_exchange_free(struct oa *oa)
{
	if (oa->exchange) {
		free(oa->exchange->theirs);
		oa_others_free(oa->exchange->others);
		oa_others_free(oa->exchange->others_before);
	}
	free(oa->exchange);
	oa->exchange = NULL;
}

/* The one place where the state changes: what belongs to the exchange under way goes when it ends. */
void oa_set_state(struct oa *oa, enum oa_state state)
{
	oa->is_early = false;
	if (state == OA_IDLE) {
		oa_exchange_free(oa);
	} else {
		oa_secure_begin(oa);
		oa_ice_begin(oa);
	}
	oa->state = state;
}

int oa_offer(struct oa *oa, const struct oa_local *l, struct out *o)
{
	int err;

	if (oa->state != OA_IDLE)
		return -EBUSY;
	err = oa_secure_offer(oa, l);
	if (!err)
		err = oa_ice_offer(oa, l);
	if (err)
		return err;
	err = oa_exchange_begin(oa);
	if (err)
		return err;
	oa_group_offer(oa, l);
	if (oa_dtls_is_offered(oa) && oa->is_bundled)
		payloads_reserve(oa, l);
	payloads_offer(oa, l, &oa->exchange->ours);
	err = oa_others_offer(oa, l);
	if (!err)
		err = oa_write(oa, l, &oa->exchange->ours, l->dir, STR_NULL, o);
	if (err) {
		oa_exchange_free(oa);
		return err;
	}
	payloads_remember(oa, &oa->exchange->ours);
	oa->exchange->offered_dir = l->dir;
	oa_set_state(oa, OA_LOCAL_OFFER);
	return 0;
}

/* ---- reading ---- */

static bool is_audio(const struct sdp_media *m)
{
	return str_ieqz(m->type, "audio");
}

/* AVPF (RFC 4585) and SAVPF differ by feedback that we needn't send. */
static bool is_rtp(const struct sdp_media *m)
{
	return oa_profile_of(m->proto) != OA_PROFILE_OTHER;
}

bool oa_is_addr_null(struct str addr)
{
	static const struct str invalid = { ".invalid", 8 };

	return str_eqz(addr, "0.0.0.0") || str_eqz(addr, "::") ||
	       (addr.n >= invalid.n && str_ieq(str_from_at(addr, addr.n - invalid.n), invalid));
}

bool oa_is_addr_usable(struct str addr)
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

		if (is_audio(m) && is_rtp(m) && m->port && !oa_is_addr_usable(m->addr))
			return -EINVAL;
	}
	return 0;
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

/* As many whole parameters as there is room for. */
static void keep_fmtp(struct oa_agreed *a, struct str fmtp)
{
	while (fmtp.n >= sizeof(a->fmtp)) {
		while (fmtp.n && fmtp.p[fmtp.n - 1] != ';')
			fmtp.n--;
		fmtp.n -= fmtp.n > 0;
	}
	str_copy(fmtp, a->fmtp, sizeof(a->fmtp));
}

/* Their numbers for the payloads of the answer, and ours: what is sent and what comes. */
static void agree_payloads(struct oa_agreed *a, const struct sdp_media *theirs, const struct payloads *ours)
{
	a->dtmf_send_pt = a->dtmf_recv_pt = -1;
	for (unsigned i = 0; i < ours->n; i++) {
		const struct oa_codec *c = &ours->list[i];
		const struct sdp_format *f = oa_find_format(theirs, c);

		if (!f)
			continue;
		if (oa_is_dtmf(c)) {
			/* The codec's clock (RFC 4733 §2.1); phones that know events of another one alone mean these. */
			if (c->clock_hz != a->codec.clock_hz && a->dtmf_send_pt >= 0)
				continue;
			a->dtmf_send_pt = f->pt;
			a->dtmf_recv_pt = c->pt;
			a->dtmf_clock_hz = c->clock_hz;
			continue;
		}
		if (!a->ncommon) {
			a->codec = *c;
			keep_fmtp(a, f->fmtp);
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
	/* We don't begin with it: some who don't know it send RTCP nowhere then. But what is agreed stays on offer (RFC 5761 §5.1.1), and with
	 * DTLS it spares a second handshake. */
	a->rtcp_mux = theirs->rtcp_mux && (oa->state == OA_REMOTE_OFFER || oa->exchange->before.rtcp_mux || oa_dtls_is_offered(oa));
	/* What is of reduced size is taken anyway; it is they who are to know. */
	a->rtcp_rsize = sdp_attr_find(theirs, "rtcp-rsize", NULL) && (oa->state == OA_REMOTE_OFFER || oa->exchange->before.rtcp_rsize);
	a->dir = local_dir & sdp_dir_reverse(theirs->dir);
	if (oa_is_addr_null(theirs->addr) && !(oa_ice(oa) && oa_ice_is_addr_unknown(theirs)))
		a->dir &= ~SDP_SENDONLY;
	/* Who was asked to listen only doesn't hold us by it. */
	a->remote_hold = (local_dir & SDP_SENDONLY) && !(a->dir & SDP_SENDONLY);
	a->ptime_ms = agreed_ptime(theirs);
	agree_payloads(a, theirs, ours);
	for (unsigned i = 0; i < theirs->nformats; i++)
		if (theirs->formats[i].pt >= 0)
			oa_see_pt(oa, theirs->formats[i].pt);
	oa->is_complete = true;
}

void oa_agree_nothing(struct oa *oa)
{
	oa_secure_none(oa);
	oa_ice_none(oa);
	oa_others_none(oa);
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
	if (!err)
		err = oa_exchange_begin(oa);
	if (err) {
		free(s);
		return err;
	}
	oa->exchange->theirs = s;
	err = oa_others_take_offer(oa);
	if (err) {
		oa_exchange_free(oa);
		return err;
	}
	oa_set_state(oa, OA_REMOTE_OFFER);
	return 0;
}

static unsigned count_common(const struct sdp_media *m, const struct oa_local *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->ncodecs; i++)
		n += oa_find_format(m, &l->codecs[i]) != NULL;
	return n;
}

static bool is_acceptable(const struct sdp_media *m, const struct oa_local *l)
{
	return is_audio(m) && m->port && oa_is_secure_enough(m, l) && count_common(m, l) > 0;
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
	const struct sdp *s = oa_theirs(oa);
	unsigned index, n = 0;

	if (oa->state != OA_REMOTE_OFFER)
		return 0;
	index = choose_section(oa, s, l);
	for (unsigned i = 0; index < s->nmedia && i < s->media[index].nformats; i++)
		for (unsigned k = 0; k < l->ncodecs && n < OA_CODECS_MAX; k++)
			if (oa_fits_format(&l->codecs[k], &s->media[index].formats[i]))
				out[n++] = l->codecs[k];
	return n;
}

int oa_warn_code(struct str text, const struct oa_local *l)
{
	bool has_audio = false, has_rtp = false, has_codec = false;
	struct sdp *s;

	if (sdp_parse(&s, text) != 0)
		return 0;
	for (unsigned i = 0; i < s->nmedia; i++) {
		const struct sdp_media *m = &s->media[i];

		if (!is_audio(m) || !m->port)
			continue;
		has_audio = true;
		has_rtp = has_rtp || is_rtp(m);
		has_codec = has_codec || (is_rtp(m) && count_common(m, l) > 0);
	}
	free(s);
	return !has_audio ? 304 : !has_rtp || has_codec ? 302 : 305;
}

struct str oa_fmtp(const struct oa *oa, const struct oa_codec *c)
{
	const struct sdp *s = oa_theirs(oa);

	for (unsigned i = 0; oa->state == OA_REMOTE_OFFER && i < s->nmedia; i++) {
		const struct sdp_format *f = is_audio(&s->media[i]) ? oa_find_format(&s->media[i], c) : NULL;

		if (f)
			return f->fmtp;
	}
	if (!oa->agreed.has_audio || !oa_same_name(oa->agreed.codec.name, c->name) || oa->agreed.codec.clock_hz != c->clock_hz)
		return STR_NULL;
	return str_from(oa->agreed.fmtp);
}

/* The refusals of all its sections; NULL without memory. */
static char **refuse_all(const struct sdp *s)
{
	char **sections = calloc(s->nmedia + 1u, sizeof(*sections));

	for (unsigned i = 0; sections && i < s->nmedia; i++) {
		sections[i] = oa_write_refusal(&s->media[i]);
		if (sections[i])
			continue;
		while (i--)
			free(sections[i]);
		free(sections);
		return NULL;
	}
	return sections;
}

/* True when there is no audio by their own will, which is to be agreed to, not refused: they switched it off (RFC 3264 §8.2), or begin
 * without any stream, as a controller does that has yet to ask the other side (§5, RFC 3725 §4.4). */
static bool is_audio_off(const struct oa *oa, const struct sdp *s)
{
	for (unsigned i = 0; i < s->nmedia; i++)
		if (is_audio(&s->media[i]) && s->media[i].port)
			return false;
	return s->nmedia ? oa->is_complete : !oa->nsections;
}

bool oa_can_answer(const struct oa *oa, const struct oa_local *l)
{
	const struct sdp *s = oa_theirs(oa);

	return oa->state == OA_REMOTE_OFFER && (choose_section(oa, s, l) < s->nmedia || is_audio_off(oa, s));
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

static void take_sections(struct oa *oa, const struct sdp *s, char **sections, unsigned audio)
{
	clear_sections(oa);
	oa->sections = sections;
	oa->nsections = s->nmedia;
	if (audio < s->nmedia) {
		oa->audio = audio;
		str_copy(s->media[audio].proto, oa->proto, sizeof(oa->proto));
	} else if (oa->audio >= s->nmedia) {
		oa->audio = 0;
	}
	/* A later offer of ours turns the audio on again in a slot that is audio's. */
	for (unsigned i = 0; audio == s->nmedia && i < s->nmedia && !is_audio(&s->media[oa->audio]); i++)
		if (is_audio(&s->media[i]))
			oa->audio = i;
}

int oa_take_all_off(struct oa *oa)
{
	const struct sdp *s = oa_theirs(oa);
	char **sections = refuse_all(s);

	if (!sections)
		return -ENOMEM;
	take_sections(oa, s, sections, s->nmedia);
	oa_agree_nothing(oa);
	return 0;
}

int oa_answer(struct oa *oa, const struct oa_local *l, bool prefer_local, struct out *o)
{
	struct payloads ps = { 0 };
	const struct sdp *s = oa_theirs(oa);
	char **sections;
	unsigned audio;
	enum sdp_dir dir = SDP_INACTIVE;
	int err;

	if (oa->state != OA_REMOTE_OFFER)
		return -EBUSY;
	audio = choose_section(oa, s, l);
	if (audio == s->nmedia && !is_audio_off(oa, s)) {
		oa_set_state(oa, OA_IDLE);
		return -EPROTO;
	}
	sections = refuse_all(s);
	if (!sections)
		return -ENOMEM;
	take_sections(oa, s, sections, audio);
	if (audio < s->nmedia) {
		err = oa_secure_answer(oa, &s->media[audio], l);
		if (!err)
			err = oa_ice_answer(oa, &s->media[audio], l);
		if (err) {
			oa_rollback(oa);
			return err;
		}
		oa_group_take(oa, s, &s->media[audio]);
		payloads_answer(&s->media[audio], l, prefer_local, &ps);
		agree(oa, &s->media[audio], &ps, l->dir);
		dir = oa->agreed.dir;
		payloads_remember(oa, &ps);
	} else {
		oa_agree_nothing(oa);
	}
	err = oa_others_answer(oa, l);
	if (!err)
		err = oa_write(oa, l, audio < s->nmedia ? &ps : NULL, dir, answer_timing(s), o);
	if (err)
		oa_rollback(oa);
	oa_set_state(oa, OA_IDLE);
	return err;
}

int oa_decline(struct oa *oa, const struct oa_local *l, struct out *o)
{
	const struct sdp *s = oa_theirs(oa);
	int err;

	if (oa->state != OA_REMOTE_OFFER)
		return -EBUSY;
	err = oa_take_all_off(oa);
	if (err)
		return err;
	err = oa_write(oa, l, NULL, SDP_INACTIVE, answer_timing(s), o);
	if (err)
		oa_rollback(oa);
	oa_set_state(oa, OA_IDLE);
	return err;
}

/* ---- their answer ---- */

/* The section of s that answers our audio; -EINVAL when s doesn't answer our offer (RFC 3264 §6). Some that only know sound leave out what
 * comes behind it: that is refused. */
static int find_answer(const struct oa *oa, const struct sdp *s, const struct sdp_media **out)
{
	const struct sdp_media *m;
	unsigned audio = oa->nsections ? oa->audio : 0;

	if (s->nmedia > (oa->exchange->noffered ? oa->exchange->noffered : oa->nsections) || s->nmedia <= audio)
		return -EINVAL;
	m = &s->media[audio];
	if (!is_audio(m) || (m->port && !is_rtp(m)))
		return -EINVAL;
	*out = m;
	return check_addresses(s);
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
	payloads_answered(&oa->exchange->ours, m, &ps);
	if (!m->port) {
		oa_agree_nothing(oa);
	} else if (!ps.n || oa_is_dtmf(&ps.list[0])) {
		err = -EINVAL; /* on, but with nothing that we offered */
	} else {
		err = oa_secure_take_answer(oa, m);
		if (err)
			goto out;
		oa_ice_take_answer(oa, m);
		oa_group_take(oa, s, m);
		agree(oa, m, &ps, oa->exchange->offered_dir);
	}
	if (!err)
		err = oa_others_take_answer(oa, s);
out:
	free(s);
	return err;
}

/* What our offer has added becomes the session's. */
static int keep_offered_sections(struct oa *oa)
{
	if (oa->nsections < oa->exchange->noffered) {
		char **more = realloc(oa->sections, oa->exchange->noffered * sizeof(*more));

		if (!more)
			return -ENOMEM;
		oa->sections = more;
	}
	while (oa->nsections < oa->exchange->noffered) {
		char *section = oa->nsections ? oa_others_refusal(oa, oa->nsections) : oa_write_own_refusal(oa);

		if (!section)
			return -ENOMEM;
		oa->sections[oa->nsections++] = section;
	}
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
	int err = oa->is_early ? keep_offered_sections(oa) : -EPROTO;

	if (!err)
		oa_set_state(oa, OA_IDLE);
	return err;
}

int oa_take_answer(struct oa *oa, struct str text)
{
	int err = take_answer(oa, text);

	if (!err)
		err = keep_offered_sections(oa);
	if (!err)
		oa_set_state(oa, OA_IDLE);
	return err;
}

void oa_rollback(struct oa *oa)
{
	if (oa->state == OA_IDLE)
		return;
	oa->agreed = oa->exchange->before;
	oa->is_complete = oa->exchange->was_complete;
	oa_secure_rollback(oa);
	oa_ice_rollback(oa);
	oa_others_rollback(oa);
	oa_set_state(oa, OA_IDLE);
}

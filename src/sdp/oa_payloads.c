/* oa_payloads.c - payload types of one stream: which number stands for which codec, in our offers, our answers and theirs.
 *
 * A number never changes its meaning within a session (RFC 3264 §8.3.2), so all that either side has ever used are remembered.
 */
#include <ctype.h>
#include <stdlib.h>

#include "sdp/oa_int.h"
#include "sdp/oa_words.h"

#define DTMF_NAME "telephone-event"
#define DTMF_PT 101          /* what nearly everybody uses; some old gateways expect nothing else */
#define DTMF_PT_WIDE 110     /* of other clocks than 8000, which nobody expects anywhere */
#define DYNAMIC_PT_MIN 96    /* RFC 3551 §3 */
#define DYNAMIC_PT_MAX 127
#define UNASSIGNED_PT_MIN 35 /* where those are all taken, as browsers do; RTCP is told apart by 64 and more (RFC 5761 §4) */
#define UNASSIGNED_PT_MAX 63

static bool same_codec(const struct oa_codec *a, const struct oa_codec *b)
{
	return a->clock_hz == b->clock_hz && a->channels == b->channels && oa_same_name(a->name, b->name);
}

/* Without regard to case, and in place: all are compared with all, names of a few letters. */
static bool is_name(struct str s, const char *name)
{
	size_t i = 0;

	while (i < s.n && name[i] && (s.p[i] == name[i] || ((s.p[i] ^ name[i]) == 0x20 && isalpha((unsigned char)name[i]))))
		i++;
	return i == s.n && !name[i];
}

bool oa_fits_format(const struct oa_codec *c, const struct sdp_format *f)
{
	return f->clock_hz == c->clock_hz && f->channels == c->channels && is_name(f->name, c->name);
}

static struct oa_codec *payloads_find(struct payloads *ps, const struct oa_codec *c)
{
	for (unsigned i = 0; i < ps->n; i++)
		if (same_codec(&ps->list[i], c))
			return &ps->list[i];
	return NULL;
}

static void payloads_add(struct payloads *ps, const struct oa_codec *c, int pt)
{
	if (ps->n == PAYLOADS_MAX)
		return;
	ps->list[ps->n] = *c;
	ps->list[ps->n++].pt = (int16_t)pt;
}

static struct oa_known *known_find(struct oa *oa, const struct oa_codec *c)
{
	for (unsigned i = 0; i < oa->nknown; i++) {
		struct oa_known *k = &oa->known[i];

		if (k->clock_hz == c->clock_hz && k->channels == c->channels && oa_same_name(k->name, c->name))
			return k;
	}
	return NULL;
}

/* Without memory the number is forgotten, but no less taken: a later offer has another one. */
static void known_add(struct oa *oa, const struct oa_codec *c)
{
	struct oa_known *more = oa->nknown < PAYLOADS_MAX ? realloc(oa->known, (oa->nknown + 1u) * sizeof(*more)) : NULL;

	if (!more)
		return;
	oa->known = more;
	oa->known[oa->nknown++] = (struct oa_known){ c->name, c->clock_hz, c->channels, (uint8_t)c->pt };
}

void payloads_remember(struct oa *oa, const struct payloads *ps)
{
	for (unsigned i = 0; i < ps->n; i++) {
		const struct oa_codec *c = &ps->list[i];
		struct oa_known *old = known_find(oa, c);

		if (old)
			old->pt = (uint8_t)c->pt;
		else
			known_add(oa, c);
		oa_see_pt(oa, c->pt);
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
	const struct oa_known *old = known_find(oa, c);

	if (c->pt >= 0 && c->pt < DYNAMIC_PT_MIN)
		return is_pt_in(offer, c->pt) ? -1 : c->pt;
	if (old && !is_pt_in(offer, old->pt))
		return old->pt;
	if (c->pt >= DYNAMIC_PT_MIN && c->pt <= DYNAMIC_PT_MAX && !oa_has_seen_pt(oa, c->pt) && !is_pt_in(offer, c->pt))
		return c->pt;
	for (int pt = DYNAMIC_PT_MIN; pt <= DYNAMIC_PT_MAX; pt++)
		if (!oa_has_seen_pt(oa, pt) && !is_pt_in(offer, pt))
			return pt;
	for (int pt = UNASSIGNED_PT_MIN; pt <= UNASSIGNED_PT_MAX; pt++)
		if (!oa_has_seen_pt(oa, pt) && !is_pt_in(offer, pt))
			return pt;
	return -1;
}

void payloads_reserve(struct oa *oa, const struct oa_local *l)
{
	for (unsigned i = 0; i < l->nothers; i++) {
		struct str rest = oa_words_formats(l->others[i].words);
		uint32_t pt;

		while (rest.p)
			if (str_to_u32(str_cut(&rest, ' '), 127, &pt) == 0)
				oa_see_pt(oa, (int)pt);
	}
}

static struct oa_codec dtmf_codec(uint32_t clock_hz)
{
	return (struct oa_codec){ .name = DTMF_NAME, .clock_hz = clock_hz, .channels = 1, .pt = clock_hz == 8000 ? DTMF_PT : DTMF_PT_WIDE,
				  .fmtp = "0-16" };
}

bool oa_is_dtmf(const struct oa_codec *c)
{
	return oa_same_name(c->name, DTMF_NAME);
}

void payloads_offer(struct oa *oa, const struct oa_local *l, struct payloads *ps)
{
	ps->n = 0;
	for (unsigned i = 0; i < l->ncodecs && ps->n < OA_CODECS_MAX; i++) {
		int pt = choose_pt(oa, ps, &l->codecs[i]);

		if (pt >= 0 && !payloads_find(ps, &l->codecs[i]))
			payloads_add(ps, &l->codecs[i], pt);
	}
	unsigned naudio = ps->n;

	for (unsigned i = 0; l->dtmf && i < naudio; i++) {
		struct oa_codec events = dtmf_codec(ps->list[i].clock_hz);
		int pt = choose_pt(oa, ps, &events);

		if (pt >= 0 && !payloads_find(ps, &events))
			payloads_add(ps, &events, pt);
	}
}

const struct sdp_format *oa_find_format(const struct sdp_media *m, const struct oa_codec *c)
{
	for (unsigned i = 0; i < m->nformats; i++)
		if (m->formats[i].pt >= 0 && oa_fits_format(c, &m->formats[i]))
			return &m->formats[i];
	return NULL;
}

void payloads_answer(const struct sdp_media *m, const struct oa_local *l, bool prefer_local, struct payloads *ps)
{
	unsigned naudio;

	ps->n = 0;
	for (unsigned i = 0; prefer_local && i < l->ncodecs && ps->n < OA_CODECS_MAX; i++) {
		const struct sdp_format *f = oa_find_format(m, &l->codecs[i]);

		if (f && !payloads_find(ps, &l->codecs[i]))
			payloads_add(ps, &l->codecs[i], f->pt);
	}
	for (unsigned i = 0; !prefer_local && i < m->nformats; i++)
		for (unsigned k = 0; k < l->ncodecs && ps->n < OA_CODECS_MAX; k++)
			if (m->formats[i].pt >= 0 && oa_fits_format(&l->codecs[k], &m->formats[i]) && !payloads_find(ps, &l->codecs[k]))
				payloads_add(ps, &l->codecs[k], m->formats[i].pt);
	naudio = ps->n;
	for (unsigned i = 0; l->dtmf && i < naudio; i++) {
		struct oa_codec events = dtmf_codec(ps->list[i].clock_hz);
		const struct sdp_format *f = oa_find_format(m, &events);

		if (f && !payloads_find(ps, &events))
			payloads_add(ps, &events, f->pt);
	}
	if (l->dtmf && naudio && ps->n == naudio) {
		struct oa_codec events = dtmf_codec(8000);
		const struct sdp_format *f = oa_find_format(m, &events);

		if (f) /* those of phones that speak Opus and know events of 8000 alone */
			payloads_add(ps, &events, f->pt);
	}
}

void payloads_answered(const struct payloads *offered, const struct sdp_media *m, struct payloads *ps)
{
	ps->n = 0;
	for (int events = 0; events < 2; events++)
		for (unsigned i = 0; i < m->nformats; i++)
			for (unsigned k = 0; k < offered->n; k++)
				if (oa_is_dtmf(&offered->list[k]) == events && m->formats[i].pt >= 0 &&
				    oa_fits_format(&offered->list[k], &m->formats[i]) && !payloads_find(ps, &offered->list[k]))
					payloads_add(ps, &offered->list[k], offered->list[k].pt);
}

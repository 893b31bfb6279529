/* oa_group.c - names of sections (a=mid, RFC 5888) and the group of those that share one transport (BUNDLE, RFC 9143): that of the audio.
 *
 * An answer repeats the names it was offered, those of refused sections, too, and is grouped if the audio was: alone, for a refused section is
 * in no group (RFC 9143 §7.3.3), or with what rides on its transport (oa_other.c). The audio itself is never taken where it is only to be had in
 * the group (bundle-only, port 0), on the transport of another section.
 */
#include <ctype.h>

#include "sdp/oa_int.h"

#define MID_OF_OURS "0"

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && !memchr("!#$%&'*+-.^_`{|}~", s.p[i], 17))
			return false;
	return s.n > 0;
}

struct str oa_group_mid(const struct sdp_media *m)
{
	return is_token(m->mid) && m->mid.n <= OA_MID_MAX ? m->mid : STR_NULL;
}

/* "BUNDLE a b c": is this one in it? */
static bool is_bundled(const struct sdp *s, struct str mid)
{
	for (unsigned i = 0; i < s->nattrs; i++) {
		struct str rest = s->attrs[i].value, word = str_cut(&rest, ' ');

		if (!str_eqz(s->attrs[i].name, "group") || !str_eqz(word, "BUNDLE"))
			continue;
		while (rest.p)
			if (str_eq(str_cut(&rest, ' '), mid))
				return true;
	}
	return false;
}

bool oa_group_has_both(const struct sdp_media *a, const struct sdp_media *b)
{
	const struct sdp *s = a->session;

	for (unsigned i = 0; i < s->nattrs; i++) {
		struct str rest = s->attrs[i].value, word = str_cut(&rest, ' ');
		bool has_a = false, has_b = false;

		if (!str_eqz(s->attrs[i].name, "group") || !str_eqz(word, "BUNDLE"))
			continue;
		while (rest.p) {
			word = str_cut(&rest, ' ');
			has_a = has_a || (word.n && str_eq(word, oa_group_mid(a)));
			has_b = has_b || (word.n && str_eq(word, oa_group_mid(b)));
		}
		if (has_a && has_b)
			return true;
	}
	return false;
}

void oa_group_take(struct oa *oa, const struct sdp *s, const struct sdp_media *m)
{
	struct str mid = oa_group_mid(m);

	oa->is_bundled = mid.n && is_bundled(s, mid);
	str_copy(mid, oa->mid, sizeof(oa->mid));
}

bool oa_group_is_due(const struct oa *oa, const struct oa_local *l)
{
	return oa->is_complete ? oa->is_bundled : l->offers_ice;
}

void oa_group_offer(struct oa *oa, const struct oa_local *l)
{
	if (oa->is_complete || !l->offers_ice)
		return;
	memcpy(oa->mid, MID_OF_OURS, sizeof(MID_OF_OURS));
	oa->is_bundled = true;
}

void oa_group_write_session(struct out *o, const struct oa *oa)
{
	if (!oa->is_bundled)
		return;
	out_z(o, "a=group:BUNDLE ");
	out_z(o, oa->mid);
	oa_others_write_group(o, oa);
	out_z(o, "\r\n");
}

void oa_group_write(struct out *o, struct str mid)
{
	if (!mid.n)
		return;
	out_z(o, "a=mid:");
	out_str(o, mid);
	out_z(o, "\r\n");
}

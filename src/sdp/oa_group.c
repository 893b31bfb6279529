/* oa_group.c - names of sections (a=mid, RFC 5888) and the group of those that share one transport (BUNDLE, RFC 8843), as far as one
 * stream of sound needs it.
 *
 * An answer repeats the names it was offered, those of refused sections, too, and is grouped if the audio was: alone, for a refused section is
 * in no group (RFC 8843 §7.3.3). So there is nothing to share, but a browser wants to be told. Sections of theirs that are only to be had
 * in the group (bundle-only, port 0) are refused like all others; were the audio one of them, it would have the transport of a
 * section that we refuse, so it can't be taken (§7.3.2), and its port 0 says so already.
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

void oa_group_take(struct oa *oa, const struct sdp *s, const struct sdp_media *m)
{
	struct str mid = oa_group_mid(m);

	oa->is_bundled = mid.n && is_bundled(s, mid);
	str_copy(mid, oa->mid, sizeof(oa->mid));
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

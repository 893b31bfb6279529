/* oa_other.c - sections besides the audio in offers and answers (see oa_other.h).
 *
 * The state that an exchange would lead to is made beside the one that stands, so that an offer that fails leaves nothing behind. What is said
 * of a section is text (oa_words.h).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "sdp/oa_int.h"
#include "sdp/oa_words.h"

/* ---- the list ---- */

void oa_others_free(struct oa_others *list)
{
	for (unsigned i = 0; list && i < list->n; i++) {
		free(list->list[i].words);
		free(list->list[i].told);
		oa_keys_free(list->list[i].secure);
	}
	free(list);
}

static int set_text(char **text, const char *to)
{
	char *copy = to ? str_dup(str_from(to)) : NULL;

	if (to && !copy)
		return -ENOMEM;
	free(*text);
	*text = copy;
	return 0;
}

static int copy_keys(struct oa_other *to, const struct oa_other *from)
{
	to->secure = from->secure ? malloc(sizeof(*to->secure)) : NULL;
	if (to->secure)
		*to->secure = *from->secure;
	return from->secure && !to->secure ? -ENOMEM : 0;
}

const struct oa_srtp *oa_other_srtp(const struct oa_other *x)
{
	return x->secure && x->secure->agreed.suite ? &x->secure->agreed : NULL;
}

static int others_copy(struct oa_others **out, const struct oa_others *from)
{
	struct oa_others *to = calloc(1, sizeof(*to));

	if (!to)
		return -ENOMEM;
	for (unsigned i = 0; from && i < from->n; i++) {
		struct oa_other *x = &to->list[to->n++];

		*x = from->list[i];
		x->words = x->told = NULL;
		x->secure = NULL;
		if (set_text(&x->words, from->list[i].words) == 0 && set_text(&x->told, from->list[i].told) == 0 &&
		    copy_keys(x, &from->list[i]) == 0)
			continue;
		oa_others_free(to);
		return -ENOMEM;
	}
	*out = to;
	return 0;
}

static const struct oa_other *find(const struct oa_others *list, const char *type, unsigned nth)
{
	for (unsigned i = 0; list && i < list->n; i++)
		if (list->list[i].nth == nth && !strcasecmp(list->list[i].type, type))
			return &list->list[i];
	return NULL;
}

static const struct oa_other *at_section(const struct oa_others *list, unsigned section)
{
	for (unsigned i = 0; list && i < list->n; i++)
		if (list->list[i].section == section)
			return &list->list[i];
	return NULL;
}

const struct oa_others *oa_others(const struct oa *oa)
{
	return oa->state == OA_REMOTE_OFFER && oa->exchange->others ? oa->exchange->others : oa->others;
}

/* What was agreed on becomes what this exchange has led to so far. */
static void replace(struct oa *oa, struct oa_others *with)
{
	if (oa->exchange->has_others_before) {
		oa_others_free(oa->others);
	} else {
		oa->exchange->has_others_before = true;
		oa->exchange->others_before = oa->others;
	}
	oa->others = with;
}

void oa_others_rollback(struct oa *oa)
{
	if (!oa->exchange->has_others_before)
		return;
	oa_others_free(oa->others);
	oa->others = oa->exchange->others_before;
	oa->exchange->others_before = NULL;
	oa->exchange->has_others_before = false;
}

void oa_others_none(struct oa *oa)
{
	struct oa_others *list;

	/* Without memory they are off for good, should the exchange fail: then they are offered anew. */
	if (oa->others && oa->exchange && !oa->exchange->has_others_before && others_copy(&list, oa->others) == 0)
		replace(oa, list);
	for (unsigned i = 0; oa->others && i < oa->others->n; i++) {
		oa->others->list[i].is_on = false;
		oa->others->list[i].flow = SDP_INACTIVE;
		oa_keys_none(oa->others->list[i].secure);
	}
}

void oa_other_pts(const struct oa_other *x, uint32_t pts[4])
{
	const char *const texts[] = { x->words, x->told };

	memset(pts, 0, 4 * sizeof(*pts));
	for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
		struct str rest = oa_words_formats(texts[i]);
		uint32_t pt;

		while (rest.p)
			if (str_to_u32(str_cut(&rest, ' '), 127, &pt) == 0)
				pts[pt / 32] |= 1u << (pt & 31);
	}
}

static bool is_transport_shared(const struct oa *oa, const struct oa_local *l)
{
	return oa_group_is_due(oa, l) && oa_dtls_is_due(oa, l);
}

bool oa_other_rides(const struct oa *oa, const struct oa_local *l, const char *type, unsigned nth)
{
	const struct oa_other *x = oa->state == OA_REMOTE_OFFER ? find(oa->exchange->others, type, nth) : NULL;

	return oa->state == OA_REMOTE_OFFER ? x && x->is_bundled : is_transport_shared(oa, l);
}

bool oa_others_have_way(const struct oa *oa, const struct oa_local *l)
{
	bool may_be_apart = l->policy != OA_REQUIRE || l->sdes;

	if (oa->state != OA_REMOTE_OFFER)
		return is_transport_shared(oa, l) || (may_be_apart && !oa_dtls(oa) && !l->to_browser);
	for (unsigned i = 0; oa->exchange->others && i < oa->exchange->others->n; i++)
		if (oa->exchange->others->list[i].is_bundled ? l->fingerprint && l->policy != OA_NEVER : may_be_apart)
			return true;
	return false;
}

void oa_others_forget(struct oa *oa)
{
	for (unsigned i = 0; oa->others && i < oa->others->n; i++)
		oa->others->list[i].is_refused = false;
}

/* ---- reading ---- */

/* Of its type, among all that s has. */
static unsigned nth_of(const struct sdp *s, unsigned index)
{
	unsigned n = 0;

	for (unsigned i = 0; i < index; i++)
		n += str_ieq(s->media[i].type, s->media[index].type);
	return n;
}

/* A second audio is mostly the first one in another profile: one of the two is meant. An image is a fax. */
static bool may_be_other(const struct sdp_media *m)
{
	return m->type.n <= OA_TYPE_MAX && !str_ieqz(m->type, "audio") && !str_ieqz(m->type, "image");
}

static bool can_pass(const struct sdp_media *m)
{
	enum oa_profile profile = oa_profile_of(m->proto);

	return m->port && (profile == OA_PROFILE_PLAIN || profile == OA_PROFILE_SECURE) && oa_is_addr_usable(m->addr);
}

/* Is it to be had on the transport of that audio, whose keys come by DTLS? */
static bool can_ride(const struct sdp_media *m, const struct sdp_media *audio)
{
	return (m->port || sdp_attr_find(m, "bundle-only", NULL)) && oa_profile_of(m->proto) == OA_PROFILE_DTLS && audio->port &&
	       oa_group_has_both(m, audio);
}

/* Of an offer, whose audio isn't chosen yet. */
static bool may_ride(const struct sdp *s, const struct sdp_media *m)
{
	for (unsigned i = 0; i < s->nmedia; i++)
		if (str_ieqz(s->media[i].type, "audio") && can_ride(m, &s->media[i]))
			return true;
	return false;
}

static uint32_t clock_of(const struct sdp_media *m)
{
	if (m->nformats && m->formats[0].clock_hz)
		return m->formats[0].clock_hz;
	return str_ieqz(m->type, "video") ? 90000 : 0;
}

/* Where they are, and how. */
static void take_way(struct oa_other *x, const struct sdp_media *m)
{
	size_t n = m->proto.n;

	str_copy(m->addr, x->addr, sizeof(x->addr));
	x->port = m->port;
	x->rtcp_port = m->rtcp_port;
	x->clock_hz = clock_of(m);
	x->is_savp = oa_profile_of(m->proto) == OA_PROFILE_SECURE;
	x->has_feedback = n && (m->proto.p[n - 1] == 'F' || m->proto.p[n - 1] == 'f');
}

/* What they would do: where nothing is to be sent to there is no wish to get it. */
static enum sdp_dir dir_of(const struct sdp_media *m)
{
	return oa_is_addr_null(m->addr) ? m->dir & ~SDP_RECVONLY : m->dir;
}

static int read_offered(struct oa_others *list, const struct oa_others *before, const struct sdp *s, unsigned i)
{
	const struct sdp_media *m = &s->media[i];
	const struct oa_other *old;
	struct oa_other *x;
	char type[OA_TYPE_MAX + 1];
	bool rides = may_ride(s, m);

	str_copy(m->type, type, sizeof(type));
	old = find(before, type, nth_of(s, i));
	if (list->n == OA_OTHERS_MAX || (!old && !rides && !can_pass(m)))
		return 0;
	x = &list->list[list->n];
	*x = (struct oa_other){ .nth = (uint8_t)nth_of(s, i), .section = (uint8_t)i, .dir = rides ? m->dir : dir_of(m), .is_bundled = rides };
	memcpy(x->type, type, sizeof(type));
	str_copy(oa_group_mid(m), x->mid, sizeof(x->mid));
	x->words = (rides || can_pass(m)) && nth_of(s, i) < OA_OTHERS_MAX ? oa_words_of(m) : NULL;
	x->is_wanted = x->words != NULL;
	x->is_refused = !x->words;
	if (x->is_wanted)
		take_way(x, m);
	list->n++;
	if (!x->is_wanted || !old)
		return 0;
	return set_text(&x->told, old->told) != 0 || copy_keys(x, old) != 0 ? -ENOMEM : 0;
}

int oa_others_take_offer(struct oa *oa)
{
	const struct sdp *s = oa_theirs(oa);
	struct oa_others *list;

	if (s->nmedia < 2 && !oa->others)
		return 0;
	list = calloc(1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	for (unsigned i = 0; i < s->nmedia; i++) {
		if (!may_be_other(&s->media[i]) || read_offered(list, oa->others, s, i) == 0)
			continue;
		oa_others_free(list);
		return -ENOMEM;
	}
	if (!list->n && !oa->others) {
		oa_others_free(list);
		list = NULL;
	}
	oa->exchange->others = list;
	return 0;
}

/* ---- what is to be said ---- */

static bool is_wished(const struct oa *oa, const struct oa_other *x, const struct oa_other *of_partner)
{
	if (!of_partner->is_wanted)
		return false;
	return oa->state == OA_REMOTE_OFFER ? x && x->is_wanted : !x || !x->is_refused;
}

unsigned oa_others_wish(const struct oa *oa, const struct oa *partner, struct oa_other_local out[OA_OTHERS_MAX])
{
	const struct oa_others *from = partner ? oa_others(partner) : NULL;
	unsigned n = 0;

	for (unsigned i = 0; from && i < from->n; i++) {
		const struct oa_other *p = &from->list[i], *x = find(oa_others(oa), p->type, p->nth);

		/* Browsers say AVPF whatever they are told, and many a phone doesn't take it, but knows the lines that ask for feedback. */
		if (is_wished(oa, x, p))
			out[n++] = (struct oa_other_local){ .type = p->type, .nth = p->nth, .dir = p->dir, .words = p->words,
							    .has_feedback = p->has_feedback && !p->is_bundled };
	}
	return n;
}

bool oa_others_are_stale(const struct oa *oa, const struct oa *partner)
{
	struct oa_other_local wish[OA_OTHERS_MAX];
	unsigned n = oa_others_wish(oa, partner, wish), non = 0;

	for (unsigned i = 0; oa->others && i < oa->others->n; i++)
		non += oa->others->list[i].is_on;
	if (n != non)
		return true;
	for (unsigned i = 0; i < n; i++) {
		const struct oa_other *x = find(oa->others, wish[i].type, wish[i].nth);

		if (!x || !x->is_on || !oa_words_have_all(wish[i].words, x->told) || ((wish[i].dir ^ x->told_dir) & sdp_dir_reverse(x->dir)))
			return true;
	}
	return false;
}

bool oa_others_are_open(const struct oa *oa, const struct oa *partner)
{
	const struct oa_others *offered = oa->state == OA_REMOTE_OFFER ? oa->exchange->others : NULL;

	for (unsigned i = 0; offered && i < offered->n; i++) {
		const struct oa_other *x = &offered->list[i], *p = find(oa_others(partner), x->type, x->nth);

		if (x->is_wanted && (!p || !p->is_wanted || !oa_words_have_common(x->words, p->words)))
			return true;
	}
	return false;
}

static const struct oa_other_local *find_local(const struct oa_local *l, const char *type, unsigned nth)
{
	for (unsigned i = 0; i < l->nothers; i++)
		if (l->others[i].nth == nth && !strcasecmp(l->others[i].type, type))
			return &l->others[i];
	return NULL;
}

/* ---- our answer ---- */

/* Of the session as it stands: on the transport of its audio. */
static bool has_transport(const struct oa *oa, const struct sdp_media *m)
{
	const struct sdp *s = m->session;

	return oa_dtls(oa) && oa->is_bundled && oa->agreed.rtcp_mux && oa->audio < s->nmedia && can_ride(m, &s->media[oa->audio]);
}

static int answer_keys(struct oa_other *x, const struct sdp_media *m, const struct oa_local *l)
{
	if (!x->is_bundled && oa_keys_can_answer(m, l))
		return oa_keys_answer(&x->secure, m, l);
	oa_keys_none(x->secure);
	return 0;
}

static bool is_secure_enough(const struct oa *oa, const struct oa_other *x, const struct sdp_media *m, const struct oa_local *l)
{
	if (x->is_bundled)
		return has_transport(oa, m);
	return oa_keys_can_answer(m, l) || (!x->is_savp && l->policy != OA_REQUIRE);
}

static int answer_one(const struct oa *oa, struct oa_other *x, const struct oa_local *all)
{
	const struct sdp_media *m = &oa_theirs(oa)->media[x->section];
	const struct oa_other_local *l = find_local(all, x->type, x->nth);
	char *told;

	x->is_on = false;
	x->flow = SDP_INACTIVE;
	if (x->is_wanted && !is_secure_enough(oa, x, m, all)) {
		x->is_wanted = false;
		x->is_refused = true;
	}
	if (!x->is_wanted || !l || !oa_words_have_common(l->words, x->words)) {
		oa_keys_none(x->secure);
		return 0;
	}
	told = oa_words_common(l->words, x->words);
	if (!told)
		return -ENOMEM;
	free(x->told);
	x->told = told;
	x->is_on = true;
	x->rtcp_mux = m->rtcp_mux;
	x->flow = x->told_dir = l->dir & sdp_dir_reverse(x->dir);
	return answer_keys(x, m, all);
}

int oa_others_answer(struct oa *oa, const struct oa_local *l)
{
	struct oa_others *list = oa->exchange->others;

	for (unsigned i = 0; list && i < list->n; i++) {
		struct oa_other *x = &list->list[i];
		int err = answer_one(oa, x, l);

		if (err)
			return err;
	}
	if (list)
		replace(oa, list);
	oa->exchange->others = NULL;
	return 0;
}

/* ---- our offer ---- */

/* "m=video 0 ..." is of type video. */
static bool is_of_type(const char *section, const char *type)
{
	size_t n = strlen(type);

	return !strncasecmp(section + 2, type, n) && section[2 + n] == ' ';
}

/* The place of the nth of a type; nsections: there is none yet. n: how many there are before it. */
static unsigned place_of(const struct oa *oa, const struct oa_others *list, unsigned total, const char *type, unsigned nth)
{
	for (unsigned i = 0, n = 0; i < total; i++) {
		const struct oa_other *x = at_section(list, i);
		bool is_type = x ? !strcasecmp(x->type, type) : i < oa->nsections && is_of_type(oa->sections[i], type);

		if (is_type && i != oa->audio && n++ == nth)
			return i;
	}
	return total;
}

static unsigned count_of(const struct oa *oa, const struct oa_others *list, unsigned total, const char *type)
{
	unsigned n = 0;

	while (place_of(oa, list, total, type, n) < total)
		n++;
	return n;
}

/* One for l, in a place of its own after those that there are; those of its type that would be before it come first, switched off. -E2BIG. */
static int append(struct oa *oa, struct oa_others *list, const struct oa_other_local *l)
{
	unsigned n = count_of(oa, list, oa->exchange->noffered, l->type);

	for (; n <= l->nth; n++) {
		struct oa_other *x = &list->list[list->n];

		if (list->n == OA_OTHERS_MAX || oa->exchange->noffered == SDP_MEDIA_MAX)
			return -E2BIG;
		*x = (struct oa_other){ .nth = (uint8_t)n, .section = (uint8_t)oa->exchange->noffered++, .dir = SDP_SENDRECV,
					.has_feedback = l->has_feedback };
		str_copy(str_from(l->type), x->type, sizeof(x->type));
		list->n++;
		if (set_text(&x->told, l->words) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* Of a section that is written off. */
static struct str mid_of(const char *section)
{
	const char *at = strstr(section, "\na=mid:");
	struct str rest = at ? str_from(at + strlen("\na=mid:")) : STR_NULL;

	return str_cut(&rest, '\r');
}

/* One that isn't kept yet, or not any more, in a place that there is. */
static int begin(struct oa *oa, struct oa_others *list, const struct oa_other_local *l)
{
	unsigned place = place_of(oa, list, oa->exchange->noffered, l->type, l->nth);
	struct oa_other *x = &list->list[list->n];

	if (place == oa->exchange->noffered)
		return append(oa, list, l);
	if (list->n == OA_OTHERS_MAX)
		return -E2BIG;
	*x = (struct oa_other){ .nth = l->nth, .section = (uint8_t)place, .dir = SDP_SENDRECV };
	str_copy(str_from(l->type), x->type, sizeof(x->type));
	str_copy(mid_of(oa->sections[place]), x->mid, sizeof(x->mid));
	list->n++;
	return 0;
}

/* A name that no other section has. */
static void name(const struct oa *oa, const struct oa_others *list, struct oa_other *x)
{
	bool is_taken = true;

	for (unsigned n = x->section; is_taken && !x->mid[0]; n += SDP_MEDIA_MAX) {
		char mid[OA_MID_MAX + 1];

		snprintf(mid, sizeof(mid), "%u", n);
		is_taken = !strcmp(mid, oa->mid);
		for (unsigned i = 0; i < list->n; i++)
			is_taken = is_taken || !strcmp(mid, list->list[i].mid);
		if (!is_taken)
			memcpy(x->mid, mid, sizeof(mid));
	}
}

/* On one transport a number means one thing: ours for sound were there first. */
static bool has_number_of(const struct payloads *ps, const char *words)
{
	struct str rest = oa_words_formats(words);
	uint32_t pt;

	while (rest.p) {
		if (str_to_u32(str_cut(&rest, ' '), 127, &pt) != 0)
			continue;
		for (unsigned i = 0; i < ps->n; i++)
			if (ps->list[i].pt == (int)pt)
				return true;
	}
	return false;
}

static int offer_one(struct oa *oa, struct oa_others *list, const struct oa_other_local *l)
{
	bool rides = oa_dtls_is_offered(oa) && oa->is_bundled;
	struct oa_other *x = (struct oa_other *)find(list, l->type, l->nth);
	int err;

	if (rides && has_number_of(&oa->exchange->ours, l->words))
		return 0;
	err = x ? 0 : begin(oa, list, l);
	if (err)
		return err == -E2BIG ? 0 : err; /* there is no place for it: it isn't offered */
	x = (struct oa_other *)find(list, l->type, l->nth);
	x->is_offered = true;
	x->is_bundled = rides;
	if (rides)
		name(oa, list, x);
	x->has_feedback = l->has_feedback;
	x->told_dir = l->dir;
	return set_text(&x->told, l->words);
}

/* What is plain stays so, and what has keys keeps them, with its profile; else it is as its sound would be (RFC 8643). */
static int offer_keys(struct oa_other *x, const struct oa_local *l)
{
	bool stays_plain = x->is_on && !oa_other_srtp(x);

	if (x->secure)
		x->secure->noffered = 0;
	if (!x->is_on)
		x->is_savp = l->policy == OA_REQUIRE;
	if (!x->is_offered || x->is_bundled || stays_plain || l->policy == OA_NEVER || !l->sdes)
		return 0;
	return oa_keys_offer(&x->secure, l);
}

int oa_others_offer(struct oa *oa, const struct oa_local *l)
{
	struct oa_others *list;
	int err;

	oa->exchange->noffered = oa->nsections ? oa->nsections : 1;
	if (!oa->others && !l->nothers)
		return 0;
	err = others_copy(&list, oa->others);
	if (err)
		return err;
	for (unsigned i = 0; i < list->n; i++)
		list->list[i].is_offered = false;
	oa->exchange->others = list;
	for (unsigned i = 0; !err && i < l->nothers; i++)
		err = offer_one(oa, list, &l->others[i]);
	for (unsigned i = 0; !err && i < list->n; i++)
		err = offer_keys(&list->list[i], l);
	return err;
}

/* Theirs is one of ours, or may be without: a section that has keys doesn't lose them by an answer. */
static bool take_keys(struct oa_other *x, const struct sdp_media *m)
{
	bool must = x->is_savp || oa_profile_of(m->proto) == OA_PROFILE_SECURE || oa_other_srtp(x);
	int err = oa_keys_take_answer(x->secure, m);

	return !err || (err == -ENOENT && !must);
}

static bool is_taken(const struct oa *oa, struct oa_other *x, const struct sdp_media *m)
{
	if (!m->port || !str_ieqz(m->type, x->type))
		return false;
	return x->is_bundled ? has_transport(oa, m) : can_pass(m) && take_keys(x, m);
}

static void take_one(const struct oa *oa, struct oa_other *x, const struct sdp_media *m)
{
	enum sdp_dir allowed = sdp_dir_reverse(x->told_dir), dir;
	char *words;

	x->is_on = false;
	x->flow = SDP_INACTIVE;
	if (!x->is_offered)
		return;
	x->is_offered = false;
	words = is_taken(oa, x, m) ? oa_words_of(m) : NULL;
	x->is_wanted = x->is_on = words != NULL;
	x->is_refused = !words;
	if (!words) {
		oa_keys_none(x->secure);
		return;
	}
	free(x->words);
	x->words = words;
	dir = x->is_bundled ? m->dir : dir_of(m);
	x->flow = x->told_dir & sdp_dir_reverse(dir);
	/* What our offer didn't allow they couldn't say. */
	x->dir = (dir & allowed) | (x->dir & ~allowed & SDP_SENDRECV);
	take_way(x, m);
	x->rtcp_mux = x->is_bundled || (x->rtcp_mux && m->rtcp_mux);
}

int oa_others_take_answer(struct oa *oa, const struct sdp *s)
{
	static const struct sdp_media absent; /* port 0 */
	struct oa_others *list;
	int err;

	if (!oa->exchange->others)
		return 0;
	err = others_copy(&list, oa->exchange->others);
	if (err)
		return err;
	for (unsigned i = 0; i < list->n; i++)
		take_one(oa, &list->list[i], list->list[i].section < s->nmedia ? &s->media[list->list[i].section] : &absent);
	replace(oa, list);
	return 0;
}

/* ---- writing ---- */

static const char *profile_of(const struct oa_other *x)
{
	if (x->is_bundled)
		return "UDP/TLS/RTP/SAVPF";
	return x->is_savp ? x->has_feedback ? "RTP/SAVPF" : "RTP/SAVP" : x->has_feedback ? "RTP/AVPF" : "RTP/AVP";
}

/* What rides has the port of the audio. A new one may be had in no other way, so its port is 0 until they have agreed (RFC 9143 §7.2.2). */
static uint16_t port_of(const struct oa *oa, const struct oa_other *x, const struct oa_local *all, const struct oa_other_local *l)
{
	return !x->is_bundled ? l->port : oa_theirs(oa) || x->is_on ? all->port : 0;
}

static void write_way(struct out *o, const struct oa *oa, const struct oa_other *x, const struct oa_local *all, const struct oa_other_local *l)
{
	if (x->is_bundled) {
		out_z(o, port_of(oa, x, all, l) ? "a=rtcp-mux\r\n" : "a=bundle-only\r\na=rtcp-mux\r\n");
		return;
	}
	if (l->rtcp_port != l->port + 1)
		out_fmt(o, "a=rtcp:%u\r\n", l->rtcp_port);
	if (x->rtcp_mux)
		out_z(o, "a=rtcp-mux\r\n");
	oa_keys_write(o, x->secure, !oa_theirs(oa));
}

/* Profile, formats, lines; that of an answer is what they have offered. */
static void write_on(struct out *o, const struct oa *oa, const struct oa_other *x, const struct oa_local *all, const struct oa_other_local *l)
{
	const struct sdp *theirs = oa_theirs(oa);
	struct str formats = oa_words_formats(x->told), lines = oa_words_lines(x->told);

	out_fmt(o, "m=%s %u ", x->type, port_of(oa, x, all, l));
	if (theirs)
		out_str(o, theirs->media[x->section].proto);
	else
		out_z(o, profile_of(x));
	out_chr(o, ' ');
	out_str(o, formats);
	out_z(o, "\r\n");
	out_str(o, lines);
	oa_group_write(o, str_from(x->mid));
	write_way(o, oa, x, all, l);
	out_fmt(o, "a=%s\r\n", sdp_dir_name(x->told_dir));
}

static void write_off(struct out *o, const struct oa_other *x)
{
	struct str formats = oa_words_formats(x->told);

	out_fmt(o, "m=%s 0 %s %.*s\r\n", x->type, profile_of(x), STR_ARG(formats));
}

void oa_others_write_group(struct out *o, const struct oa *oa)
{
	bool is_offer = !oa_theirs(oa);
	const struct oa_others *list = is_offer ? oa->exchange->others : oa->others;

	for (unsigned i = 0; list && i < list->n; i++)
		if (list->list[i].is_bundled && (is_offer ? list->list[i].is_offered : list->list[i].is_on))
			out_fmt(o, " %s", list->list[i].mid);
}

bool oa_others_write(struct out *o, const struct oa *oa, const struct oa_local *l, unsigned section)
{
	bool is_offer = !oa_theirs(oa);
	const struct oa_other *x = at_section(is_offer ? oa->exchange->others : oa->others, section);
	const struct oa_other_local *local = x && (is_offer ? x->is_offered : x->is_on) ? find_local(l, x->type, x->nth) : NULL;

	if (local)
		write_on(o, oa, x, l, local);
	else if (x && section >= oa->nsections)
		write_off(o, x);
	return local || (x && section >= oa->nsections);
}

char *oa_others_refusal(const struct oa *oa, unsigned section)
{
	const struct oa_other *x = at_section(oa->exchange->others, section);
	struct out o;

	out_init_grow(&o, OA_OTHER_TEXT_MAX + 128);
	if (x)
		write_off(&o, x);
	return out_take(&o);
}

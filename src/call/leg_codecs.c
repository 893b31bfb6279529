/* leg_codecs.c - which codecs a leg's descriptions have, and in which order.
 *
 * What may be there is the administrator's choice for the extension or trunk at its far end. Of that, what the partner shares comes first,
 * so that packets pass as they are. Who has made an offer is never offered anything that wasn't in it (RFC 3264 §8.3): so
 * nothing is agreed on that he only pretends to know. The codec tables of sdp, media and directory meet here and nowhere else.
 */
#include "call/decision.h"
#include "call/leg_int.h"

/* Without a word of the administrator's: wideband first; then the codec of Europe's networks, then North America's. */
static const struct dir_codecs phone_codecs = { 4, { CODEC_OPUS, CODEC_G722, CODEC_PCMA, CODEC_PCMU } };
static const struct dir_codecs outside_codecs = { 3, { CODEC_G722, CODEC_PCMA, CODEC_PCMU } };

static const struct dir_codecs *policy_of(const struct leg *leg)
{
	const struct dir_codecs *chosen = &leg_policy(leg)->codecs;

	return chosen->n ? chosen : leg->is_outside ? &outside_codecs : &phone_codecs;
}

static struct oa_codec oa_codec_of(const struct codec *c)
{
	return (struct oa_codec){ .name = c->name, .clock_hz = c->clock_hz, .channels = c->channels, .pt = c->pt };
}

static void add(struct leg_codecs *out, enum codec_id id)
{
	const struct codec *c = codec_get(id);
	struct oa_codec one = oa_codec_of(c);

	if (c->id == CODEC_NONE || out->n == OA_CODECS_MAX)
		return;
	for (unsigned i = 0; i < out->n; i++)
		if (out->list[i].clock_hz == one.clock_hz && oa_same_name(out->list[i].name, one.name))
			return;
	out->list[out->n++] = one;
}

/* One that the partner has, if this leg may have it. */
static void add_shared(struct leg_codecs *out, const struct dir_codecs *policy, uint32_t told, const char *name, uint32_t clock_hz)
{
	const struct codec *c = codec_find(name, clock_hz);

	for (unsigned i = 0; c && i < policy->n; i++)
		if (policy->id[i] == c->id && (told & 1u << c->id))
			add(out, c->id);
}

static void all_of(const struct dir_codecs *policy, struct leg_codecs *out)
{
	out->n = 0;
	for (unsigned i = 0; i < policy->n; i++)
		add(out, policy->id[i]);
}

/* What the partner has agreed on, or offers. */
static void add_partners(struct leg_codecs *out, const struct dir_codecs *policy, uint32_t told, const struct leg *partner)
{
	const struct oa_agreed *a = oa_agreed(partner->oa);

	if (oa_is_complete(partner->oa) && a->has_audio) {
		for (unsigned i = 0; i < a->ncommon; i++)
			add_shared(out, policy, told, a->common[i].name, a->common[i].clock_hz);
	} else if (oa_state(partner->oa) == OA_REMOTE_OFFER) {
		struct oa_codec offered[OA_CODECS_MAX];
		struct leg_codecs its;
		struct oa_local l = { 0 };
		unsigned n;

		all_of(policy_of(partner), &its);
		l.ncodecs = its.n;
		l.codecs = its.list;
		leg_secure_local(partner, &l);
		n = oa_offered(partner->oa, &l, offered);
		for (unsigned i = 0; i < n; i++)
			add_shared(out, policy, told, offered[i].name, offered[i].clock_hz);
	}
}

/* Of Opus we say what the partner wishes, for it is he who gets the packets; else that we take FEC (RFC 7587 §6.1). */
static void add_opus_fmtp(struct leg_codecs *out, const struct leg *partner)
{
	for (unsigned i = 0; i < out->n; i++) {
		struct opus_params p = { .fec = true };
		struct str theirs = STR_NULL;
		struct out o;

		if (codec_find(out->list[i].name, out->list[i].clock_hz)->id != CODEC_OPUS)
			continue;
		if (partner)
			theirs = oa_fmtp(partner->oa, &out->list[i]);
		if (theirs.n)
			opus_params_parse(&p, theirs);
		out_init(&o, out->fmtp, sizeof(out->fmtp));
		opus_params_print(&o, &p);
		out_chr(&o, '\0');
		if (out_ok(&o) && out->fmtp[0])
			out->list[i].fmtp = out->fmtp;
	}
}

/* A fax is only what it was when it comes through G.711; without that there is none, and talking is left. */
static void keep_fax_codecs(struct leg_codecs *out)
{
	unsigned n = 0;

	for (unsigned i = 0; i < out->n; i++) {
		enum codec_id id = codec_find(out->list[i].name, out->list[i].clock_hz)->id;

		if (id == CODEC_PCMU || id == CODEC_PCMA)
			out->list[n++] = out->list[i];
	}
	out->n = n ? n : out->n;
}

void leg_codecs(const struct leg *leg, const struct leg *partner, struct leg_codecs *out)
{
	const struct dir_codecs *policy = policy_of(leg);
	uint32_t told = oa_state(leg->oa) != OA_REMOTE_OFFER && leg->offered_codecs ? leg->offered_codecs : UINT32_MAX;

	out->n = 0;
	if (partner)
		add_partners(out, policy, told, partner);
	for (unsigned i = 0; i < policy->n; i++)
		if (told & 1u << policy->id[i])
			add(out, policy->id[i]);
	if (!out->n) /* the choice is another since: rather these than none */
		all_of(policy, out);
	if (partner && partner->first_image)
		keep_fax_codecs(out);
	add_opus_fmtp(out, partner);
}

void leg_note_offered(struct leg *leg)
{
	const struct oa_agreed *a = oa_agreed(leg->oa);

	if (!a->has_audio)
		return;
	leg->offered_codecs = 0;
	for (unsigned i = 0; i < a->ncommon; i++)
		leg->offered_codecs |= 1u << codec_find(a->common[i].name, a->common[i].clock_hz)->id;
}

static bool has_agreed(const struct oa_agreed *a, const struct oa_codec *c)
{
	for (unsigned i = 0; i < a->ncommon; i++)
		if (oa_same_name(a->common[i].name, c->name) && a->common[i].clock_hz == c->clock_hz)
			return true;
	return false;
}

bool leg_may_take(const struct leg *leg, const struct oa_codec *c)
{
	const struct codec *codec = codec_find(c->name, c->clock_hz);
	struct leg_codecs can;

	leg_codecs(leg, NULL, &can);
	for (unsigned i = 0; codec && i < can.n; i++)
		if (can.list[i].clock_hz == c->clock_hz && oa_same_name(can.list[i].name, c->name))
			return leg->offered_codecs || oa_agreed(leg->oa)->ncommon == 1 || has_agreed(oa_agreed(leg->oa), c);
	return false;
}

void leg_tell_misfit(const struct leg *leg)
{
	char may[DECISION_TEXT_MAX];
	struct leg_codecs can;
	struct out o;

	leg_codecs(leg, NULL, &can);
	out_init(&o, may, sizeof(may) - 1);
	for (unsigned i = 0; i < can.n; i++) {
		out_z(&o, i ? ", " : "");
		out_z(&o, can.list[i].name);
	}
	may[o.len] = '\0';
	leg_decided(leg, DECISION_NO_CODEC, may, leg->srtp == OA_REQUIRE ? "encrypted" : "", NULL);
}

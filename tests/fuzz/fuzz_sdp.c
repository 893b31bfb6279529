/* fuzz_sdp.c - libFuzzer target on session descriptions and the offer/answer machine.
 *
 * Whatever an offer says, our answer parses, has as many sections of the same kinds, and uses no payload type that wasn't
 * offered; whatever an answer says, the machine stays in a state from which it can offer again. What is offered besides sound reads well
 * for the other leg, whose answer to it is one for the first.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sdp/oa.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct oa_codec codecs[] = {
	{ .name = "opus", .clock_hz = 48000, .channels = 2, .pt = 96, .fmtp = "useinbandfec=1" },
	{ .name = "G722", .clock_hz = 8000, .channels = 1, .pt = 9 },
	{ .name = "PCMA", .clock_hz = 8000, .channels = 1, .pt = 8 },
	{ .name = "PCMU", .clock_hz = 8000, .channels = 1, .pt = 0 },
};

static struct rng rng; /* the same keys for the same input */

static const struct oa_local local = {
	.addr = "203.0.113.5", .port = 20000, .rtcp_port = 20001, .dir = SDP_SENDRECV, .ptime_ms = 20, .ncodecs = ARRAY_LEN(codecs),
	.codecs = codecs, .dtmf = true, .policy = OA_OFFER, .sdes = true, .takes_ice = true, .offers_ice = true, .rng = &rng,
};

static char text[32768];

/* Each byte is read, so that the sanitizer sees a slice of what isn't the description's own copy. */
static void assert_inside(struct str s, struct str bytes)
{
	volatile char byte = 0;

	for (size_t i = 0; i < s.n; i++)
		byte = s.p[i];
	(void)byte;
	assert(s.n <= bytes.n || s.n <= 8); /* the name of a static payload type may be longer than the text */
}

static void check_slices(const struct sdp *s, struct str bytes)
{
	assert(s->nmedia <= SDP_MEDIA_MAX && s->nattrs <= SDP_ATTR_MAX);
	assert_inside(s->origin_addr, bytes);
	for (unsigned i = 0; i < s->nmedia; i++) {
		const struct sdp_media *m = &s->media[i];

		assert(m->type.n && m->proto.n && m->nformats && m->nformats <= SDP_FORMAT_MAX && m->nattrs <= SDP_ATTR_MAX);
		assert(m->dir <= SDP_SENDRECV);
		assert_inside(m->type, bytes);
		assert_inside(m->proto, bytes);
		assert_inside(m->addr, bytes);
		assert_inside(m->mid, bytes);
		for (unsigned k = 0; k < m->nformats; k++) {
			assert(m->formats[k].pt >= -1 && m->formats[k].pt <= 127 && m->formats[k].channels);
			assert_inside(m->formats[k].text, bytes);
			assert_inside(m->formats[k].name, bytes); /* of a static payload type */
			assert_inside(m->formats[k].fmtp, bytes);
		}
		for (unsigned k = 0; k < m->nattrs; k++)
			assert_inside(m->attrs[k].value, bytes);
	}
}

static bool has_pt(const struct sdp_media *m, int pt)
{
	for (unsigned i = 0; i < m->nformats; i++)
		if (m->formats[i].pt == pt)
			return true;
	return false;
}

static void check_agreed(const struct oa *oa)
{
	const struct oa_agreed *a = oa_agreed(oa);

	assert(a->dir <= SDP_SENDRECV);
	if (!a->has_audio)
		return;
	assert(a->addr[0] && a->port && a->ncommon && a->ncommon <= OA_CODECS_MAX);
	assert(a->send_pt >= 0 && a->send_pt <= 127 && a->recv_pt >= 0 && a->recv_pt <= 127);
	assert(a->ptime_ms >= 10 && a->ptime_ms <= 60 && a->ptime_ms % 10 == 0);
	assert(a->codec.name && !strcmp(a->codec.name, a->common[0].name));
	assert((a->dtmf_send_pt < 0) == (a->dtmf_recv_pt < 0));
}

/* Ours is an answer to theirs (RFC 3264 §6). */
static void check_answer(const struct sdp *theirs, struct str answer)
{
	struct sdp *ours = NULL;
	unsigned active = 0;

	assert(sdp_parse(&ours, answer) == 0);
	assert(ours->nmedia == theirs->nmedia);
	for (unsigned i = 0; i < ours->nmedia; i++) {
		const struct sdp_media *a = &ours->media[i], *o = &theirs->media[i];

		assert(str_eq(a->proto, o->proto));
		if (!a->port) {
			assert(str_eq(a->type, o->type) && a->nformats == o->nformats);
			continue;
		}
		active++;
		assert(o->port && str_ieq(a->type, o->type));
		assert(!(a->dir & ~sdp_dir_reverse(o->dir) & SDP_SENDRECV));
		for (unsigned k = 0; k < a->nformats; k++)
			assert(has_pt(o, a->formats[k].pt));
	}
	assert(active <= 1 + OA_OTHERS_MAX);
	free(ours);
}

/* After anything, an offer of ours can be made and answered by ourselves. */
static void check_next_offer(struct oa *oa)
{
	struct oa *peer = oa_new(2);
	struct out o;
	char *offer;

	if (!peer)
		return;
	out_init(&o, text, sizeof(text));
	assert(oa_state(oa) == OA_IDLE && oa_offer(oa, &local, &o) == 0);
	offer = str_dup(out_view(&o));
	assert(offer && oa_take_offer(peer, out_view(&o)) == 0);
	out_init(&o, text, sizeof(text));
	if (oa_answer(peer, &local, true, &o) == 0) {
		assert(oa_take_answer(oa, out_view(&o)) == 0);
		check_agreed(oa);
		check_agreed(peer);
		assert(oa_agreed(oa)->has_audio && oa_agreed(peer)->send_pt == oa_agreed(oa)->recv_pt);
	} else {
		assert(!"our own offer must be acceptable");
	}
	free(offer);
	oa_free(peer);
}

static void fuzz_offer(struct str bytes, const struct sdp *theirs, bool prefer_local)
{
	struct oa *oa = oa_new(1);
	struct oa_codec offered[OA_CODECS_MAX];
	struct out o;
	int err;

	if (!oa)
		return;
	err = oa_take_offer(oa, bytes);
	assert(err == 0 || err == -EINVAL);
	if (!err) {
		unsigned n = oa_offered(oa, &local, offered);
		bool has_answer = oa_can_answer(oa, &local);

		assert(n <= OA_CODECS_MAX);
		out_init(&o, text, sizeof(text));
		err = oa_answer(oa, &local, prefer_local, &o);
		assert(err == 0 || err == -EPROTO || err == -ENOSPC);
		assert(has_answer == (err != -EPROTO));
		assert(err || n > 0 || !theirs->nmedia); /* a session may begin without any stream */
		if (!err) {
			check_answer(theirs, out_view(&o));
			check_agreed(oa);
			/* Once more, as a re-offer */
			assert(oa_take_offer(oa, bytes) == 0);
			out_init(&o, text, sizeof(text));
			assert(oa_answer(oa, &local, !prefer_local, &o) == 0);
			check_answer(theirs, out_view(&o));
		}
		if (err != -ENOSPC)
			check_next_offer(oa);
	}
	oa_free(oa);
}

static void fuzz_answer(struct str bytes)
{
	struct oa *oa = oa_new(1);
	struct out o;
	int err;

	if (!oa)
		return;
	out_init(&o, text, sizeof(text));
	assert(oa_offer(oa, &local, &o) == 0);
	err = oa_take_early_answer(oa, bytes);
	assert(err == 0 || err == -EINVAL);
	assert(oa_state(oa) == OA_LOCAL_OFFER && oa_take_answer(oa, bytes) == err);
	check_agreed(oa);
	if (err)
		oa_rollback(oa);
	check_next_offer(oa);
	oa_free(oa);
}

static struct oa_local beside(const struct oa *oa, const struct oa *partner, struct oa_other_local others[OA_OTHERS_MAX])
{
	struct oa_local l = local;

	l.nothers = oa_others_wish(oa, partner, others);
	l.others = others;
	for (unsigned i = 0; i < l.nothers; i++) {
		others[i].port = (uint16_t)(30000 + 2 * i);
		others[i].rtcp_port = (uint16_t)(30001 + 2 * i);
	}
	return l;
}

/* theirs comes to a, is offered to b's far end, who takes all of it. */
static void pass(struct oa *a, struct oa *b, struct oa *far, const struct sdp *theirs)
{
	struct oa_other_local others[OA_OTHERS_MAX];
	struct oa_local l = beside(b, a, others);
	unsigned n = l.nothers;
	struct out o;

	out_init(&o, text, sizeof(text));
	assert(oa_offer(b, &l, &o) == 0);
	assert(oa_take_offer(far, out_view(&o)) == 0);
	l = beside(far, a, others);
	assert(l.nothers <= n); /* there may have been no place for one */
	out_init(&o, text, sizeof(text));
	assert(oa_answer(far, &l, false, &o) == 0 && oa_take_answer(b, out_view(&o)) == 0);
	assert(!oa_others_are_open(a, b) || l.nothers < n);
	l = beside(a, b, others);
	assert(l.nothers <= n);
	out_init(&o, text, sizeof(text));
	if (oa_answer(a, &l, false, &o) != 0)
		return;
	check_answer(theirs, out_view(&o));
	oa_others_are_stale(a, b);
	oa_others_are_stale(b, a);
	oa_others_forget(b);
	l = beside(b, a, others);
	out_init(&o, text, sizeof(text));
	assert(oa_offer(b, &l, &o) == 0);
	oa_rollback(b);
}

static void fuzz_others(struct str bytes, const struct sdp *theirs)
{
	struct oa *a = oa_new(1), *b = oa_new(2), *far = oa_new(3);

	if (a && b && far && oa_take_offer(a, bytes) == 0)
		pass(a, b, far, theirs);
	oa_free(a);
	oa_free(b);
	oa_free(far);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sdp *s = NULL;
	/* A copy of exactly this size, so that a byte read too far is caught. */
	char *copy = malloc(size ? size : 1);
	struct str bytes = { copy, size };
	int err;

	if (!copy)
		return 0;
	rng_init_fixed(&rng, 1);
	if (size)
		memcpy(copy, data, size);
	err = sdp_parse(&s, bytes);
	assert(err == 0 || err == -EINVAL || err == -E2BIG);
	if (err == 0) {
		check_slices(s, bytes);
		sdp_find(s, "audio");
	}
	fuzz_offer(bytes, s, size % 2);
	fuzz_answer(bytes);
	fuzz_others(bytes, s);
	free(s);
	free(copy);
	return 0;
}

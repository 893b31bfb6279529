/* latch.c - learning the peer's media address (see latch.h).
 */
#include "media/latch.h"

bool latch_signal(struct latch *l, const struct addr *signalled, bool relearn, uint64_t now_ms)
{
	bool was_locked = l->locked;

	l->signalled = *signalled;
	/* What was learnt before there was a signalled address (media overtook the answer) is no more than a guess:
	 * it stands if the answer confirms it, else learning starts over. */
	if (was_locked && !relearn) {
		if (l->trusted || !addr_is_set(signalled))
			return false;
		l->trusted = true;
		if (addr_eq(&l->source, signalled))
			return false;
	}
	if (was_locked && relearn && l->trusted) { /* a guess is no peer that could have moved: it may be right */
		l->former = l->source;
		l->former_ends_ms = now_ms + LATCH_FORMER_MS;
	}
	l->locked = false;
	l->trusted = false;
	l->run = 0;
	return was_locked;
}

void latch_choose(struct latch *l, const struct addr *a)
{
	*l = (struct latch){ .rejected = l->rejected };
	if (!a)
		return;
	l->signalled = l->source = *a;
	l->locked = l->trusted = true;
}

static void latch_lock(struct latch *l, const struct addr *from)
{
	l->source = *from;
	l->locked = true;
	l->trusted = addr_is_set(&l->signalled);
	l->run = 0;
}

enum latch_verdict latch_packet(struct latch *l, const struct addr *from, uint32_t ssrc, uint16_t seq, uint64_t now_ms)
{
	uint16_t ahead = (uint16_t)(seq - l->seq);

	if (l->locked) {
		if (addr_eq(from, &l->source))
			return LATCH_ACCEPT;
		l->rejected++;
		return LATCH_REJECT;
	}
	if (addr_eq(from, &l->signalled)) {
		l->rejected += l->run;
		latch_lock(l, from);
		return LATCH_LOCK;
	}
	if (now_ms < l->former_ends_ms && addr_eq(from, &l->former)) {
		l->rejected++;
		return LATCH_REJECT;
	}
	if (l->run > 0 && addr_eq(from, &l->source) && ssrc == l->ssrc && ahead > 0 && ahead < 0x8000 &&
	    now_ms - l->since_ms <= LATCH_WINDOW_MS) {
		l->seq = seq;
		if (++l->run < LATCH_PACKETS)
			return LATCH_HOLD;
		latch_lock(l, from);
		return LATCH_LOCK;
	}
	if (l->run > 0 && !addr_eq(from, &l->source))
		l->rejected += l->run;
	l->source = *from;
	l->ssrc = ssrc;
	l->seq = seq;
	l->since_ms = now_ms;
	l->run = 1;
	return LATCH_HOLD;
}

const struct addr *latch_target(const struct latch *l)
{
	if (l->locked)
		return &l->source;
	return addr_is_set(&l->signalled) ? &l->signalled : NULL;
}

bool latch_is_learnt(const struct latch *l)
{
	return l->locked && !addr_eq(&l->source, &l->signalled);
}

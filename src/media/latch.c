/* latch.c - learning the peer's media address (see latch.h).
 */
#include "media/latch.h"

#include <stddef.h>

const char *latch_reason_name(enum latch_reason reason)
{
	static const char *const names[] = { NULL, "first", "signalled", "silence", "ice" };

	return names[reason];
}

/* Whoever was the peer keeps a right: for a while after a change, without end after a silence. A guess is no peer that could have
 * moved: it may be right. */
static void keep_former(struct latch *l, enum latch_news news, uint64_t now_ms)
{
	memset(&l->former, 0, sizeof(l->former));
	l->former_run = 0;
	if (!l->trusted)
		return;
	l->former = l->source;
	l->former_ends_ms = now_ms + LATCH_FORMER_MS;
	if (news == LATCH_SILENT) {
		l->former_run = LATCH_PACKETS;
		l->former_ends_ms = now_ms;
	}
}

bool latch_signal(struct latch *l, const struct addr *signalled, enum latch_news news, uint64_t now_ms)
{
	bool was_locked = l->locked;

	l->signalled = *signalled;
	/* What was learnt before there was a signalled address (media overtook the answer) is no more than a guess:
	 * it stands if the answer confirms it, else learning starts over. */
	if (was_locked && news == LATCH_SAME) {
		if (l->trusted || !addr_is_set(signalled))
			return false;
		l->trusted = true;
		if (addr_eq(&l->source, signalled))
			return false;
		l->trusted = false;
	}
	if (was_locked) {
		l->cause = news == LATCH_SILENT ? LATCH_SILENCE : l->trusted ? LATCH_SIGNALLED : LATCH_FIRST;
		keep_former(l, news, now_ms);
	}
	l->locked = false;
	l->trusted = false;
	l->run = 0;
	return was_locked;
}

void latch_choose(struct latch *l, const struct addr *a)
{
	*l = (struct latch){ .rejected = l->rejected, .locks = l->locks, .reason = l->reason };
	if (!a)
		return;
	l->reason = LATCH_ICE;
	l->locks++;
	l->signalled = l->source = *a;
	l->locked = l->trusted = true;
}

static enum latch_verdict latch_lock(struct latch *l, const struct addr *from)
{
	l->source = *from;
	l->locked = true;
	l->trusted = addr_is_set(&l->signalled);
	l->run = 0;
	l->reason = l->cause ? l->cause : LATCH_FIRST;
	l->locks++;
	memset(&l->former, 0, sizeof(l->former));
	return LATCH_LOCK;
}

void latch_move(struct latch *l, const struct addr *from)
{
	l->cause = LATCH_SILENCE;
	latch_lock(l, from);
}

/* Who was the peer goes on sending. */
static enum latch_verdict former_packet(struct latch *l, const struct addr *from, uint64_t now_ms)
{
	if (l->former_run < LATCH_PACKETS)
		l->former_run++;
	if (now_ms < l->former_ends_ms || l->former_run < LATCH_PACKETS)
		return LATCH_ACCEPT;
	l->rejected += l->run;
	return latch_lock(l, from);
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
		return latch_lock(l, from);
	}
	if (addr_port(&l->former) && addr_eq(from, &l->former))
		return former_packet(l, from, now_ms);
	if (l->run > 0 && addr_eq(from, &l->source) && ssrc == l->ssrc && ahead > 0 && ahead < 0x8000 &&
	    now_ms - l->since_ms <= LATCH_WINDOW_MS) {
		l->seq = seq;
		return ++l->run < LATCH_PACKETS ? LATCH_HOLD : latch_lock(l, from);
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

void latch_prove(struct latch *l, const struct addr *peer)
{
	latch_lock(l, peer);
	l->trusted = true;
}

const struct addr *latch_target(const struct latch *l)
{
	if (l->locked)
		return &l->source;
	/* What was silent has not gone: it may sit behind a NAT, and only listen. */
	if (l->cause == LATCH_SILENCE && addr_is_set(&l->former))
		return &l->former;
	return addr_is_set(&l->signalled) ? &l->signalled : NULL;
}

bool latch_is_learnt(const struct latch *l)
{
	return l->locked && !addr_eq(&l->source, &l->signalled);
}

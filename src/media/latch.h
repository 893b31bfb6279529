/* latch.h - whom a stream takes media from: pure, no I/O.
 *
 * Until locked, a stream looks at the source of each RTP packet. The signalled address is trusted at once. Any other
 * is a candidate (the peer may sit behind NAT, RFC 7362): it wins with LATCH_PACKETS packets in a row that form one
 * RTP flow (same SSRC, numbers going up) within LATCH_WINDOW_MS, undisturbed by another source. Then the stream is
 * locked, and stays so until signalling says the address has changed. Packets under way from the old address then don't
 * count for LATCH_FORMER_MS: only where the peer goes on sending from there (a NAT hides the change) does it win again. One
 * spoofed packet can delay learning by a few packets; it can't take a call over.
 *
 * Thread: none of its own.
 * Sources: RFC 7362 §4, design section 7.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "media/addr.h"

#define LATCH_PACKETS 3
#define LATCH_WINDOW_MS 1000
#define LATCH_FORMER_MS 1000

struct latch {
	struct addr signalled;  /* unset: unknown so far */
	struct addr source;     /* locked: the peer. Else the candidate */
	struct addr former;     /* the peer before the address changed: no candidate before former_ends_ms */
	uint64_t former_ends_ms;
	uint64_t since_ms;      /* first packet of the candidate */
	uint32_t ssrc;          /* the candidate's */
	uint16_t seq;           /* the candidate's newest */
	uint8_t run;            /* packets of the candidate so far, 0: none */
	bool locked;
	bool trusted;           /* locked while the signalled address was known */
	uint32_t rejected;      /* packets that came from elsewhere */
};

enum latch_verdict {
	LATCH_ACCEPT,
	LATCH_LOCK,   /* accepted, and with this packet the source is locked */
	LATCH_HOLD,   /* drop: may turn out to be the peer */
	LATCH_REJECT, /* drop: from elsewhere */
};

/* Signalling names the peer's address (unset: not known). relearn: forget what was learnt.
 * Returns true if the source is open again, so that a connected socket must be dissolved. */
bool latch_signal(struct latch *l, const struct addr *signalled, bool relearn, uint64_t now_ms);
enum latch_verdict latch_packet(struct latch *l, const struct addr *from, uint32_t ssrc, uint16_t seq, uint64_t now_ms);
/* ICE has chosen the peer's address (NULL: takes the choice back): nothing is learnt, it is where media come from and go to. */
void latch_choose(struct latch *l, const struct addr *a);
/* Where to send: the locked source, else the signalled address, else NULL. */
const struct addr *latch_target(const struct latch *l);
/* Locked to an address that was not signalled. */
bool latch_is_learnt(const struct latch *l);

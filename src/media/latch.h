/* latch.h - whom a stream takes media from: pure, no I/O.
 *
 * Until locked, a stream looks at the source of each RTP packet. The signalled address is trusted at once. Any other
 * is a candidate (the peer may sit behind NAT, RFC 7362): it wins with LATCH_PACKETS packets in a row that form one
 * RTP flow (same SSRC, numbers going up) within LATCH_WINDOW_MS, undisturbed by another source. Then the stream is
 * locked. One spoofed packet can delay learning by a few packets; it can't take a call over.
 *
 * It is learnt anew for two reasons only:
 *   signalled  the peer has said another address. Who sent until now is heard for LATCH_FORMER_MS more, for packets are under way,
 *              and a peer behind NAT may show the same address as before whatever it says; nothing is sent there meanwhile. If it goes
 *              on sending it is locked again when that time is over; the new address, or another flow, takes its place at once.
 *   silence    nothing has come for LATCH_SILENCE_MS, and then the peer has shown who it is: by a description in its dialog, or by
 *              a packet that is authentic (SRTP), wherever that comes from. The former address goes on without a trial.
 * Whoever else sends is dropped and counted. What is sent goes to the locked source, else, after a silence, to the one before it, else to the
 * signalled address, else nowhere.
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
#define LATCH_SILENCE_MS 2000

/* Why a source is the one. */
enum latch_reason {
	LATCH_NONE,
	LATCH_FIRST,      /* nobody was before it */
	LATCH_SIGNALLED,
	LATCH_SILENCE,
	LATCH_ICE,        /* the peer has named it in its checks */
};
const char *latch_reason_name(enum latch_reason reason); /* "first", ...; NULL for LATCH_NONE */

struct latch {
	struct addr signalled;  /* unset: unknown so far */
	struct addr source;     /* locked: the peer. Else the candidate */
	struct addr former;     /* the peer before learning began anew; unset: none */
	uint64_t former_ends_ms;
	uint64_t since_ms;      /* first packet of the candidate */
	uint32_t ssrc;          /* the candidate's */
	uint16_t seq;           /* the candidate's newest */
	uint8_t run;            /* packets of the candidate so far, 0: none */
	uint8_t former_run;     /* of the former peer meanwhile, up to LATCH_PACKETS */
	bool locked;
	bool trusted;           /* locked while the signalled address was known */
	uint8_t cause, reason;  /* enum latch_reason: of the learning under way; of the source that is locked, or was last */
	uint32_t locks;         /* how often a source was locked */
	uint32_t rejected;      /* packets that came from elsewhere */
};

enum latch_verdict {
	LATCH_ACCEPT,
	LATCH_LOCK,   /* accepted, and with this packet the source is locked */
	LATCH_HOLD,   /* drop: may turn out to be the peer */
	LATCH_REJECT, /* drop: from elsewhere */
};

/* What a description in the dialog says of the peer. */
enum latch_news {
	LATCH_SAME,       /* as before, and its media come */
	LATCH_CHANGED,    /* another address than before */
	LATCH_SILENT,     /* as before, but nothing has come for LATCH_SILENCE_MS */
};

/* Signalling names the peer's address (unset: not known).
 * Returns true if the source is open again, so that a connected socket must be dissolved. */
bool latch_signal(struct latch *l, const struct addr *signalled, enum latch_news news, uint64_t now_ms);
enum latch_verdict latch_packet(struct latch *l, const struct addr *from, uint32_t ssrc, uint16_t seq, uint64_t now_ms);
/* Locked, silent, and an authentic packet comes from another address: that is the peer's now. */
void latch_move(struct latch *l, const struct addr *from);
/* ICE has chosen the peer's address (NULL: takes the choice back): nothing is learnt, it is where media come from and go to. */
void latch_choose(struct latch *l, const struct addr *a);
/* It has been shown by other means (a handshake) that the peer is there. */
void latch_prove(struct latch *l, const struct addr *peer);
/* Where to send; NULL: nowhere. */
const struct addr *latch_target(const struct latch *l);
/* Locked to an address that was not signalled. */
bool latch_is_learnt(const struct latch *l);

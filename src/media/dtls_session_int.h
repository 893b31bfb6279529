/* dtls_session_int.h - what dtls_session.c and dtls_rival.c share: an association with its port.
 *
 * struct dtls_part is in one of these:
 *
 *   no ssl, not done    the client waits for an address to call on, the server for a ClientHello
 *   ssl, not done       a handshake is under way (with a listening server: perhaps)
 *   ssl, done           the server keeps its last flight
 *   no ssl, done        the keys are in use and nothing else is left
 *
 * A rival is one, too, that has a main: a server's handshake with a stranger, which may come to be the main's own.
 *
 * Owner:  struct dtls_session of its parts and what waits; a part of its rivals.
 * Thread: the session's worker.
 */
#pragma once

#include "media/dtls_session.h"

enum { PART_RTP, PART_RTCP, NPARTS };

struct dtls_datagram {
	struct dtls_datagram *next;
	struct addr from;
	unsigned part;
	size_t n;
	uint8_t p[];
};

struct dtls_part {
	struct dtls_session *of;
	unsigned kind;           /* PART_RTP, PART_RTCP */
	struct dtls_part *main;  /* a rival's: whose; else NULL */
	struct dtls_part *rivals, *next;
	struct dtls *ssl;
	struct addr peer;        /* of the handshake: where ours goes; unset: nobody's yet, a rival listens */
	struct addr heard;       /* where the last of theirs came from */
	bool is_done, is_again;  /* is_again: done, and another handshake may begin */
	bool wants_start;        /* a client's first flight is due */
	bool is_mixed;           /* a client's: somebody else than whom it calls on has had a say in it */
	uint64_t done_us, heard_us, begun_us;
	uint64_t packets;        /* received when it was done */
	struct timer timer;      /* flights, the hold, the keep */
};

struct dtls_session {
	struct rtp_session *s;   /* NULL: not yet */
	const struct dtls_identity *id;
	struct dtls_params params; /* number 0: not agreed on yet */
	struct dtls_part parts[NPARTS];
	struct secure *shut;     /* spare contexts for one part */
	struct timer deadline;
	struct dtls_datagram *inbox;
	unsigned nwaiting;
	bool is_reported, is_over; /* a failure: once as it happens, once for good */
	enum stream_insecure why;
	bool is_queued;
	struct dtls_session *prev, *next; /* in the worker's queue */
};

static inline struct worker *dtls_session_worker(const struct dtls_session *d)
{
	return d->s->worker;
}

/* Counts the failure and tells the stream of it; is_over: there will be no keys. */
void dtls_session_report(struct dtls_session *d, enum stream_insecure why, bool is_over);

/* *p is all zero before. */
void dtls_part_init(struct dtls_part *p, struct dtls_session *d, unsigned kind);
/* A handshake, unless there is one. False: no memory, which is logged. */
bool dtls_part_begin(struct dtls_part *p);
/* What its handshake's last step has led to. A rival may be gone after that. */
void dtls_part_stepped(struct dtls_part *p, enum dtls_status status);
/* Ends the handshake, if there is one, and its timer; keys that came of it stay. */
void dtls_part_forget(struct dtls_part *p);

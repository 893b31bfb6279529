/* dtls_session.h - DTLS-SRTP of a stream: who may begin a handshake, over which of its ports, and what comes of it.
 *
 * A stream has one association, or two when its RTCP goes by itself (RFC 5764 §3). Until one is there its side of the stream has SRTP
 * contexts that let nothing through, in or out. When it is there, they get its keys, and RTP's address is as proven as it can be: the
 * stream is locked to it. What the association took is freed then, but for a server's last flight, which is kept until media show that
 * it has come.
 *
 * The peer's ClientHello may overtake the answer that names its certificate; it waits here. One that comes to an association that is
 * there waits a moment, too: it may belong to the next one. If none is agreed on, it is a peer that begins again, and gets new keys
 * when it shows the same certificate; meanwhile the old ones hold.
 *
 * With ICE the addresses are those that it has seen checks from, and no others; it chooses, not we.
 *
 * Without it, as server we answer whoever sits at the signalled address, or is already the one we listen to. Anybody else has to show by a cookie that
 * he is where he says, before anything but the cookie goes there. A peer behind NAT is such a stranger until it has shown its
 * certificate, and others may be before it: up to DTLS_RIVALS_MAX handshakes with strangers go on at once, each from another host, and who shows the
 * right certificate first is the peer. What a stranger does wrong is counted and reported, and ends nothing: only time does, or the peer
 * that we ourselves have called on.
 *
 * Where it runs: on the session's worker, between packets. A datagram is taken in like any other and put into a queue; each
 * round of the worker serves one of all its sessions' queues, some 0.3 ms, and then media again: many calls that begin at once delay each
 * other's handshakes, and packets by no more than one step. Flights that are due again cost next to nothing and are sent by timers.
 *
 * Owner:  struct rtp_session, as s->dtls; NULL: there is no DTLS.
 * Thread: the session's worker; _new and _free any.
 */
#pragma once

#include "media/dtls.h"
#include "media/media_int.h"

#define DTLS_TIMEOUT_MS 10000   /* for a handshake once media are expected */
#define DTLS_HOLD_MS 300        /* a ClientHello that comes to an association that is there waits for signalling */
#define DTLS_KEEP_MS 30000      /* a server's last flight is kept, at most */
#define DTLS_DATAGRAMS_MAX 8    /* that wait, of a session */
#define DTLS_RIVALS_MAX 4       /* with one association; some 40 KiB each while they last */

struct dtls_session;

/* For an association of that number; id outlives it. NULL without memory. */
struct dtls_session *dtls_session_new(const struct dtls_identity *id, const struct dtls_params *p);
void dtls_session_free(struct dtls_session *d); /* when it is with no worker; NULL: nothing */
/* What is agreed has changed: fresh is taken over; NULL: the association is the same as before. The session has its new configuration. */
void dtls_session_configure(struct rtp_session *s, struct dtls_session *fresh);
void dtls_session_end(struct rtp_session *s);    /* no DTLS any more; the session's contexts stay */
/* The session comes to a worker, or leaves it. */
void dtls_session_attach(struct rtp_session *s);
void dtls_session_detach(struct rtp_session *s);
/* ICE has chosen where the peer is. */
void dtls_session_reach(struct rtp_session *s);
/* As demux_other(). */
void dtls_session_datagram(struct rtp_session *s, struct endpoint *e, const uint8_t *p, size_t n, const struct addr *from);
/* Serves one queue of w. */
void dtls_session_run(struct worker *w);

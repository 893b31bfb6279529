/* dtls_rival.h - a DTLS server's handshakes with strangers: who may hold one, and who wins.
 *
 * They go on beside the handshake of the part they are rivals for, each in a part of its own: the first that comes to a good end becomes
 * the part's, and the others end. One at most listens: it answers ClientHellos with cookies, and holds nobody's place. Who comes back
 * with his cookie gets one of DTLS_RIVALS_MAX; a host has no more than one of them (of IPv6, a /64). When there is none left, or his host
 * has one already, he gets the place of a handshake that has been quiet, or has lasted, for too long, or none.
 *
 * Owner:  the part, in its list of rivals.
 * Thread: the session's worker; dtls_rivals_free() as dtls_session_free().
 * Source: RFC 6347 §4.2.1 (cookies), §4.2.4.1 (timers).
 */
#pragma once

#include "media/dtls_session_int.h"

/* A ClientHello from an address that nobody has named. */
void dtls_rival_call(struct dtls_part *p, const struct dtls_datagram *g);
/* The one with whom is at that address; NULL: none. */
struct dtls_part *dtls_rival_find(const struct dtls_part *p, const struct addr *from);
/* He has shown the right certificate: his handshake is the main part's now, which is returned; r is gone. */
struct dtls_part *dtls_rival_win(struct dtls_part *r);
/* His has come to nothing, which is counted, and with RTP's part reported while that has no keys; r is gone. */
void dtls_rival_fail(struct dtls_part *r, enum stream_insecure why);
void dtls_rival_end(struct dtls_part *r);

/* All that p has. */
void dtls_rivals_end(struct dtls_part *p);
void dtls_rivals_free(struct dtls_part *p); /* when the session is with no worker */
/* The session comes to a worker, or leaves it: their timers. */
void dtls_rivals_attach(struct dtls_part *p);
void dtls_rivals_detach(struct dtls_part *p);

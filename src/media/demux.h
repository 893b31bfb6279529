/* demux.h - what comes to a stream's ports and is neither RTP nor RTCP, told apart by its first byte (RFC 7983).
 *
 * RTP and RTCP begin with 128 to 191. All else takes the slow path here, which looks at it whole: it may be anybody's.
 *
 *        0..3    STUN
 *       20..63   DTLS
 *       others   ZRTP, TURN channels, nonsense: dropped and counted as malformed
 *
 * Thread: the session's worker.
 */
#pragma once

#include "media/media_int.h"

static inline bool demux_is_rtp(uint8_t first) { return (first & 0xc0) == 0x80; }

/* A datagram that came to e, a port of s. from: NULL when the socket is connected, and the kernel has checked whence it is. */
void demux_other(struct rtp_session *s, struct endpoint *e, uint8_t *p, size_t n, const struct addr *from);

/* demux.c - datagrams that are no media (see demux.h). */
#include "media/demux.h"

#include "media/dtls_session.h"

#define STUN_MAX 3
#define DTLS_MIN 20
#define DTLS_MAX 63

void demux_other(struct rtp_session *s, struct endpoint *e, uint8_t *p, size_t n, const struct addr *from)
{
	if (p[0] <= STUN_MAX)
		agent_packet(s, e, p, n, from);
	else if (p[0] >= DTLS_MIN && p[0] <= DTLS_MAX && n < PACKET_MAX)
		dtls_session_datagram(s, e, p, n, from);
	else
		count_one(&s->worker->count.dropped_malformed);
}

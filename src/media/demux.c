/* demux.c - datagrams that are no media (see demux.h). */
#include "media/demux.h"

#define STUN_MAX 3

void demux_other(struct rtp_session *s, struct endpoint *e, uint8_t *p, size_t n, const struct addr *from)
{
	if (p[0] <= STUN_MAX) {
		agent_packet(s, e, p, n, from);
		return;
	}
	count_one(&s->worker->count.dropped_malformed);
}

/* demux.c - datagrams that are no media (see demux.h). */
#include "media/demux.h"

void demux_other(struct rtp_session *s, struct endpoint *e, uint8_t *p, size_t n, const struct addr *from)
{
	(void)e;
	(void)p;
	(void)n;
	(void)from;
	count_one(&s->worker->count.dropped_malformed);
}

/* t38_relay.c - a fax that both sides send as T.38: UDPTL packets go on as they are.
 *
 * They come to the port that RTP came to. What isn't shaped like UDPTL is dropped: late RTP, above all, which a fax machine would not
 * understand. Sequence numbers and error correction are between the two ends.
 */
#include "media/media_int.h"
#include "media/udptl.h"

void t38_packet(struct rtp_session *s, uint8_t *packet, size_t n, const struct addr *from)
{
	struct rtp_session *to = s->to;
	struct rtp_packet as_rtp = { .ssrc = 0 }; /* for the latch, which wants packets of one flow */
	struct udptl u;

	if (n == PACKET_MAX || udptl_parse(&u, packet, n) < 0) {
		count_one(&s->worker->count.dropped_malformed);
		return;
	}
	as_rtp.seq = u.seq;
	if (from && !rtp_session_is_from_peer(s, from, &as_rtp))
		return;
	s->last_rx_us = s->worker->now_us;
	s->packets_received++;
	s->bytes_received += n;
	if (to && to != s && to->config.is_udptl && rtp_session_may_send(to))
		rtp_session_send(to, packet, n, n);
}

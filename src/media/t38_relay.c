/* t38_relay.c - a stream that is T.38: its UDPTL packets go on as they are to a partner who is the same; for one who is sound there is a
 * gateway.
 *
 * They come to the port that RTP came to. What isn't shaped like UDPTL is dropped: late RTP, above all, which a fax machine would not
 * understand. Between two ends that both speak it, sequence numbers and error correction are theirs. The gateway lives with the
 * T.38 side, begins with the first that is heard or comes, and ends when its partner speaks T.38 himself, whose packets go on with its numbers.
 */
#define LOG_MODULE "media"
#include "media/media_int.h"

#include <stdlib.h>

#include "media/t38_gateway.h"
#include "media/udptl.h"

#define FRAME (8000 / 50)

struct t38 {
	struct t38_gateway *gateway; /* NULL: it was needed no longer */
	bool has_heard;            /* since the last tick */
	bool has_sent, is_relayed; /* is_relayed: a partner's packets follow those of the gateway, */
	uint16_t next_seq, offset; /* and go on with their numbers */
};

static void on_packet(const uint8_t *packet, size_t n, void *arg)
{
	struct rtp_session *s = arg;
	uint8_t copy[PACKET_MAX];

	if (n > sizeof(copy) || !rtp_session_may_send(s))
		return;
	memcpy(copy, packet, n);
	s->t38->has_sent = true;
	s->t38->is_relayed = false;
	s->t38->next_seq = (uint16_t)((copy[0] << 8 | copy[1]) + 1);
	rtp_session_send(s, copy, n, n);
}

static struct t38_gateway *gateway_of(struct rtp_session *s)
{
	if (!s->t38 || !s->t38->gateway) {
		if (!s->t38)
			s->t38 = calloc(1, sizeof(*s->t38));
		if (s->t38)
			s->t38->gateway = t38_gateway_new(on_packet, s);
		if (!s->t38 || !s->t38->gateway) {
			log_error(s->worker->log, "no memory for a T.38 gateway");
			t38_free(s);
			return NULL;
		}
		rtp_session_update_tick(s);
	}
	return s->t38->gateway;
}

void t38_free(struct rtp_session *s)
{
	if (s->t38 && s->t38->gateway)
		t38_gateway_close(s->t38->gateway);
	free(s->t38);
	s->t38 = NULL;
}

/* To who has had packets of the gateway before: a number that isn't greater than theirs would make it an old one. */
static void number_on(struct t38 *t, uint8_t *packet, uint16_t seq)
{
	if (!t || !t->has_sent)
		return;
	if (!t->is_relayed)
		t->offset = (uint16_t)(t->next_seq - seq);
	t->is_relayed = true;
	seq = (uint16_t)(seq + t->offset);
	packet[0] = (uint8_t)(seq >> 8);
	packet[1] = (uint8_t)seq;
}

void t38_packet(struct rtp_session *s, uint8_t *packet, size_t n, const struct addr *from)
{
	struct rtp_session *to = s->to;
	struct rtp_packet as_rtp = { .ssrc = 0 }; /* for the latch, which wants packets of one flow */
	struct t38_gateway *g;
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
	if (!to || to == s)
		return;
	if (!to->config.is_udptl) {
		g = gateway_of(s);
		if (g)
			t38_gateway_packet(g, &u);
	} else if (rtp_session_may_send(to)) {
		number_on(to->t38, packet, u.seq);
		rtp_session_send(to, packet, n, n);
	}
}

void t38_hear(struct rtp_session *s, int16_t *pcm, size_t n, uint32_t rate_hz)
{
	struct t38_gateway *g = rate_hz == 8000 ? gateway_of(s) : NULL;

	if (!g)
		return;
	t38_gateway_hear(g, pcm, n);
	s->t38->has_heard = true;
}

void t38_tick(struct rtp_session *s)
{
	struct rtp_session *to = s->to;
	int16_t pcm[FRAME];

	if (s->t38->gateway && to && to != s && to->config.is_udptl) { /* its partner has T.38 himself by now */
		t38_gateway_close(s->t38->gateway);
		s->t38->gateway = NULL;
	}
	if (!s->t38->gateway)
		return;
	if (!s->t38->has_heard)
		t38_gateway_hear(s->t38->gateway, NULL, FRAME);
	s->t38->has_heard = false;
	t38_gateway_speak(s->t38->gateway, pcm, FRAME);
	if (to && to != s && !to->config.is_udptl && mouth_rate(to) == 8000)
		mouth_speak(to, pcm, FRAME, 8000);
}

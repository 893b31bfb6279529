/* opaque.c - a stream whose packets go to the partner as they came: video, text, a second sound, whatever RTP carries.
 *
 * Nothing in here knows what they mean. The source (SSRC), numbers, time, contributors and extensions stay those of the far end, and so
 * does its RTCP: what a receiver asks for, a picture anew (PLI, FIR) or a packet once more (NACK), names the source that it sees, which is
 * the one that has to hear it. Were the source ours, every such message, and each that is yet to be invented, would have to be
 * rewritten here. Only the way is ours: addresses, latching, SRTP and its keys.
 *
 * Sources: RFC 3550 §7 (a relay below RTP), RFC 4585, 5104, 5506.
 */
#include "media/media_int.h"

#define OTHER_SOURCE_MAX 100 /* packets of a second source in a row: it is what the stream is about now. Retransmissions have one, too */

/* Loss and jitter are those of one source. */
static bool is_counted(struct rtp_session *s, const struct rtp_packet *h)
{
	if (!s->rx.started || h->ssrc == s->rx.ssrc) {
		s->nother_source = 0;
		return true;
	}
	if (++s->nother_source < OTHER_SOURCE_MAX)
		return false;
	s->nother_source = 0;
	return true;
}

static struct rtp_session *receiver(const struct rtp_session *s)
{
	return s->to && s->to != s && s->to->config.is_opaque ? s->to : NULL;
}

void opaque_packet(struct rtp_session *s, uint8_t *packet, size_t n, const struct rtp_packet *h)
{
	struct rtp_session *to = receiver(s);

	if (is_counted(s, h) && rtp_rx_packet(&s->rx, h->ssrc, h->seq) != RTP_RX_JUMP && s->config.dtmf_clock_hz)
		rtp_rx_jitter(&s->rx, h->ts, s->worker->now_us, s->config.dtmf_clock_hz);
	s->last_rx_us = s->worker->now_us;
	s->packets_received++;
	s->bytes_received += h->len;
	if (!to || !(s->config.dir & STREAM_RECV) || !rtp_session_may_send(to))
		return;
	if (to->is_rider)
		bundle_said(to, h->ssrc);
	rtp_session_send(to, packet, n, h->len);
}

/* Reports go either way whatever the direction: who only receives has something to say, too. */
bool opaque_rtcp(struct rtp_session *s, const uint8_t *p, size_t n)
{
	struct rtp_session *to = receiver(s);
	struct rtcp_report r;

	if (rtcp_parse(&r, p, n, to ? to->rx.ssrc : 0) < 0) {
		count_one(&s->worker->count.dropped_malformed);
		return false;
	}
	s->last_rtcp_us = s->worker->now_us;
	if (r.has_block) {
		s->remote_lost = r.block.lost > 0 ? (uint32_t)r.block.lost : 0;
		if (s->config.dtmf_clock_hz)
			s->remote_jitter_us = (uint32_t)((uint64_t)r.block.jitter * 1000000 / s->config.dtmf_clock_hz);
	}
	if (to)
		report_pass(to, p, n);
	return true;
}

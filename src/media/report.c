/* report.c - RTCP of a session: reports every five seconds or so, and what the peer reports of us.
 *
 * Reports go to the signalled RTCP address; if the peer's media come from elsewhere (NAT), only to where its own
 * RTCP has come from, and that is believed if it is the host the media come from, and authentic where SRTCP was agreed.
 * Of an opaque stream they are the far end's own (opaque.c).
 * Sources: RFC 3550 §6.2 (interval: randomised by half, the first one earlier), §6.4.
 */
#include "media/demux.h"
#include "media/mixing.h"

#include <errno.h>
#include <sys/socket.h>

static const struct addr *report_target(const struct rtp_session *s)
{
	if (s->config.is_udptl)
		return NULL;
	if (s->config.rtcp_mux)
		return latch_target(&s->latch);
	if (s->agent && !s->latch.locked)
		return NULL;
	if (addr_is_set(&s->rtcp_source))
		return &s->rtcp_source;
	if (s->agent || latch_is_learnt(&s->latch) || !addr_is_set(&s->config.remote_rtcp))
		return NULL;
	return &s->config.remote_rtcp;
}

static struct secure *security_of(const struct rtp_session *s)
{
	return s->rtcp_secure ? s->rtcp_secure : s->secure;
}

/* The packet in the worker's buffer, to where RTP goes or to the address of RTCP. */
static void report_put(struct rtp_session *s, const struct addr *to, size_t len)
{
	uint8_t *packet = s->worker->sealed;

	if (s->is_dumped)
		dump_packet(s, &(struct dump_mark){ .peer = to, .is_sent = true, .is_rtcp = true }, packet, len);
	if (s->secure)
		len = secure_seal_rtcp(security_of(s), packet, len);
	if (len == 0)
		return;
	if (s->config.rtcp_mux && s->is_connected)
		send(s->rtp_fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		sendto(s->config.rtcp_mux ? s->rtp_fd : s->rtcp_fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL, &to->sa, addr_len(to));
}

static void report_send(struct rtp_session *s, bool bye)
{
	const struct addr *to = report_target(s);
	uint64_t now_us = s->worker->now_us;
	struct rtcp_report r = { .ssrc = s->tx.ssrc, .is_sender = s->sent_since_report, .bye = bye };

	if (!to || s->config.is_opaque || (s->packets_sent == 0 && !s->rx.started))
		return;
	if (r.is_sender) {
		r.ntp = worker_ntp(s->worker);
		/* The timestamp of this very moment, which may lie before the next packet's. */
		r.rtp_ts = now_us >= s->tx.at_us
				   ? rtp_tx_ts(&s->tx, now_us)
				   : s->tx.ts - (uint32_t)((s->tx.at_us - now_us) * s->tx.clock_hz / 1000000);
		r.packets = (uint32_t)s->packets_sent;
		r.octets = (uint32_t)s->bytes_sent;
	}
	if (s->rx.started) {
		r.has_block = true;
		r.block = (struct rtcp_block){
			.ssrc = s->rx.ssrc,
			.fraction = rtp_rx_fraction(&s->rx),
			.lost = rtp_rx_missing(&s->rx),
			.highest = rtp_rx_highest(&s->rx),
			.jitter = s->rx.jitter >> 4,
			.lsr = s->sr_ntp_mid,
			.dlsr = s->sr_at_us ? (uint32_t)(((now_us - s->sr_at_us) << 16) / 1000000) : 0,
		};
	}
	s->sent_since_report = false;
	report_put(s, to, rtcp_print(s->worker->sealed, RTCP_PRINT_MAX, &r, s->cname));
}

void report_pass(struct rtp_session *s, const uint8_t *p, size_t n)
{
	struct rtp_session *way = rtp_session_way(s);
	const struct addr *to = way ? report_target(way) : NULL;

	if (!to || n > PACKET_MAX)
		return;
	memcpy(s->worker->sealed, p, n);
	report_put(way, to, n);
}

/* Half to one and a half times the interval, so that reports of many streams don't march in step. */
static uint32_t next_ms(struct rtp_session *s)
{
	uint32_t ms = s->worker->rtcp_interval_ms;

	return ms / 2 + rng_below(&s->worker->rng, ms + 1);
}

static void on_report(void *arg)
{
	struct rtp_session *s = arg;

	report_send(s, false);
	rtp_session_look_out(s);
	timer_start(s->worker->timers, &s->rtcp_timer, next_ms(s));
}

void report_start(struct rtp_session *s)
{
	timer_init(&s->rtcp_timer, on_report, s);
	timer_start(s->worker->timers, &s->rtcp_timer, next_ms(s) / 2);
}

void report_bye(struct rtp_session *s)
{
	if (s->packets_sent > 0)
		report_send(s, true);
}

/* What the peer says of what we sent. */
static void report_block(struct rtp_session *s, const struct rtcp_block *b)
{
	uint32_t rtt_us;

	s->remote_lost = b->lost > 0 ? (uint32_t)b->lost : 0;
	/* It rises at once and falls slowly: losses come in bursts. */
	s->remote_loss = (uint8_t)(s->remote_loss * 3 / 4);
	if (s->remote_loss < b->fraction)
		s->remote_loss = b->fraction;
	mouth_tune(s);
	mixing_tune(s);
	rtt_us = rtcp_rtt_us(worker_ntp(s->worker), b);
	if (rtt_us)
		s->rtt_us = rtt_us;
	quality_report(s, b);
}

/* From an accepted source. */
bool report_packet(struct rtp_session *s, const uint8_t *p, size_t n)
{
	struct rtp_session *rider = s->has_riders ? bundle_find_rtcp(s, p, n) : NULL;
	struct rtcp_report r;

	if (rider)
		return opaque_rtcp(rider, p, n);
	if (s->config.is_opaque)
		return opaque_rtcp(s, p, n);
	if (rtcp_parse(&r, p, n, s->tx.ssrc) < 0) {
		count_one(&s->worker->count.dropped_malformed);
		return false;
	}
	s->last_rtcp_us = s->worker->now_us;
	if (r.is_sender) {
		s->sr_ntp_mid = (uint32_t)(r.ntp >> 16);
		s->sr_at_us = s->worker->now_us;
	}
	if (r.has_block)
		report_block(s, &r.block);
	return true;
}

static bool report_accepts(const struct rtp_session *s, const struct addr *from)
{
	if (addr_is_set(&s->rtcp_source))
		return addr_eq(from, &s->rtcp_source);
	if (s->agent)
		return false;
	if (s->latch.locked)
		return addr_same_host(from, &s->latch.source);
	return addr_eq(from, &s->config.remote_rtcp);
}

/* A report from where it may come, and what it should be: that is where ours go from now on. */
static void report_learn(struct rtp_session *s, const struct addr *from)
{
	if (s->latch.locked && !addr_is_set(&s->rtcp_source))
		s->rtcp_source = *from;
}

void report_readable(struct rtp_session *s)
{
	struct worker *w = s->worker;
	struct addr from;
	socklen_t len = sizeof(from);
	ssize_t n;

	memset(&from, 0, sizeof(from));
	n = recvfrom(s->rtcp_fd, w->packet, sizeof(w->packet), MSG_DONTWAIT, &from.sa, &len);
	if (n <= 0)
		return;
	if (!demux_is_rtp(w->packet[0])) {
		demux_other(s, &s->pair->rtcp, w->packet, (size_t)n, &from);
		return;
	}
	if (!report_accepts(s, &from)) {
		s->dropped_rtcp++;
		count_one(&w->count.dropped_source);
		return;
	}
	if (s->secure)
		n = (ssize_t)secure_open_rtcp(security_of(s), w->packet, (size_t)n);
	if (n == 0) {
		rtp_session_insecure(s);
		return;
	}
	if (s->is_dumped)
		dump_packet(s, &(struct dump_mark){ .peer = &from, .is_rtcp = true }, w->packet, (size_t)n);
	if (report_packet(s, w->packet, (size_t)n))
		report_learn(s, &from);
}

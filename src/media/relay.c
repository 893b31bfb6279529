/* relay.c - RTP in, and on to the partner: the path every packet of every call takes.
 *
 * A packet is received into the worker's one buffer, its header is rewritten in place (own SSRC, continuous
 * numbers, the partner's payload type) and it is sent from there: no copy, no allocation, no lock. CSRCs,
 * extensions and padding end here: they were negotiated with one side only.
 */
#include "media/demux.h"
#include "media/media_int.h"

#include <errno.h>
#include <sys/socket.h>

#define DRAIN_MAX 1000 /* packets: more than a socket holds */

/* The codec of a payload type we agreed to receive; CODEC_NONE: we did not. */
static enum codec_id codec_of(const struct rtp_session *s, uint8_t pt)
{
	for (unsigned i = 0; i < s->config.nrecv; i++) {
		if (s->config.recv[i].pt == pt)
			return s->config.recv[i].codec;
	}
	return CODEC_NONE;
}

/* Sends h (numbered by tx) with the payload that lies at h->offset of packet. */
static void relay_send(struct rtp_session *to, uint8_t *packet, const struct rtp_packet *h)
{
	uint8_t *head = packet + h->offset - RTP_HEADER_LEN;

	rtp_print(head, h);
	rtp_session_send(to, head, RTP_HEADER_LEN + h->len, h->len);
}

static void relay_audio(struct rtp_session *to, uint8_t *packet, struct rtp_packet *h, const struct codec *codec)
{
	uint64_t now_us = to->worker->now_us;
	uint32_t duration = codec_units(codec, packet + h->offset, h->len);

	if (!rtp_session_may_send(to) || digits_hold(to, codec->id, packet + h->offset, h->len)) {
		rtp_tx_skip(&to->tx, h);
		return;
	}
	if (!rtp_tx_map(&to->tx, now_us, duration, h))
		return;
	h->pt = to->config.send_pt;
	relay_send(to, packet, h);
}

static uint32_t to_clock(uint32_t units, uint32_t in_hz, uint32_t out_hz)
{
	return in_hz == out_hz ? units : (uint32_t)((uint64_t)units * out_hz / in_hz);
}

/* A telephone event goes on as an event, with the other leg's payload type, clock and numbering. Its packets share one
 * timestamp: that of the moment the event began on this side. How long it lasts is counted over all segments it came in (RFC 4733
 * §2.5.1.3) and told in segments of the other clock, whose field may be full earlier, or later. Where a segment ends there, one
 * packet tells its full length; the next one goes on. */
static void relay_event(struct rtp_session *s, uint8_t *packet, struct rtp_packet *h, const struct dtmf_event *e)
{
	struct rtp_session *to = s->to;
	uint32_t before = h->ts == s->digit_in.ts && dtmf_digit_of(e->event) ? s->digit_in.before : 0, lasts;
	bool is_straggler = dtmf_digit_of(e->event) && (int32_t)(h->ts - s->digit_in.ts) < 0, first;
	struct dtmf_event out = *e;

	if (to->config.dtmf_send_pt < 0 || is_straggler || !rtp_session_may_send(to)) {
		rtp_tx_skip(&to->tx, h);
		return;
	}
	first = !to->event_open || h->ts - before != to->event_in_ts;
	if (first) {
		/* While audio is relayed, the sender's own timeline holds; else the clock's. */
		bool relayed = to->tx.mapped && to->tx.in_ssrc == h->ssrc;

		to->event_out_ts = relayed ? h->ts + to->tx.ts_delta : rtp_tx_ts(&to->tx, to->worker->now_us);
		to->event_in_ts = h->ts - before;
		to->event_out_base = 0;
		to->event_open = true;
		to->event_is_full = false;
	}
	if (to->tx.mapped && to->tx.in_ssrc == h->ssrc) {
		if (!rtp_tx_map(&to->tx, to->worker->now_us, 0, h))
			return;
	} else {
		rtp_tx_next_event(&to->tx, h);
	}
	lasts = to_clock(before + e->duration, s->config.dtmf_clock_hz, to->config.dtmf_clock_hz);
	if (lasts - to->event_out_base > UINT16_MAX && lasts > to->event_out_base && to->event_is_full) {
		to->event_out_base += UINT16_MAX;
		to->event_out_ts += UINT16_MAX;
	}
	lasts = lasts > to->event_out_base ? lasts - to->event_out_base : 0;
	to->event_is_full = lasts >= UINT16_MAX;
	out.duration = to->event_is_full ? UINT16_MAX : (uint16_t)lasts;
	out.end = e->end && lasts <= UINT16_MAX;
	dtmf_print(packet + h->offset, &out);
	h->marker = first; /* of the event, not of each segment */
	h->ts = to->event_out_ts;
	h->pt = (uint8_t)to->config.dtmf_send_pt;
	h->len = DTMF_PAYLOAD_LEN;
	relay_send(to, packet, h);
}

static void event_in(struct rtp_session *s, uint8_t *packet, struct rtp_packet *h)
{
	struct worker *w = s->worker;
	struct dtmf_event e;
	struct dtmf_digit ended[2];
	int n;

	if (dtmf_parse(&e, packet + h->offset, h->len) < 0) {
		count_one(&w->count.dropped_malformed);
		return;
	}
	if (e.event == DTMF_EVENT_CNG && (!s->has_cng || s->cng_ts != h->ts)) {
		s->has_cng = true;
		s->cng_ts = h->ts;
		rtp_session_heard(s, STREAM_HEARD_CNG, 0);
	}
	n = dtmf_in_packet(&s->digit_in, &e, h->ts, s->config.dtmf_clock_hz, w->now_us, ended);
	if (s->digit_in.open && !timer_is_running(&s->digit_timer))
		timer_start(w->timers, &s->digit_timer, DTMF_LOST_END_MS);
	if (!s->digit_in.open)
		timer_stop(w->timers, &s->digit_timer);
	if (s->to && s->to != s) /* an echo of digits would be taken for the user's own */
		relay_event(s, packet, h, &e);
	else if (s->to)
		rtp_tx_skip(&s->tx, h);
	for (int i = 0; i < n; i++)
		rtp_session_digit(s, &ended[i], false);
}

static void audio_in(struct rtp_session *s, uint8_t *packet, struct rtp_packet *h)
{
	const struct codec *codec = codec_get(codec_of(s, h->pt));
	struct rtp_session *to = s->to;

	if (!codec || codec->id == CODEC_NONE) {
		if (h->pt == RTP_PT_CN && h->len > 0)
			ear_noise(s, h, packet[h->offset]);
		if (to)
			rtp_tx_skip(&to->tx, h);
		return;
	}
	if (s->rx_codec != codec->id) {
		s->rx_codec = codec->id;
		ear_update(s);
	}
	rtp_rx_jitter(&s->rx, h->ts, s->worker->now_us, codec->clock_hz);
	ear_packet(s, h, packet + h->offset, codec);
	if (s->recording)
		recording_packet(s, h, packet + h->offset, codec);
	if (to && to->config.codec == codec->id && !s->is_filtered)
		relay_audio(to, packet, h, codec);
}

/* A new source behind the same address: nothing learnt of the old one's numbering holds. */
static void source_in_changed(struct rtp_session *s)
{
	struct dtmf_digit d;

	ear_source_changed(s);
	recording_source_changed(s);
	if (dtmf_in_reset(&s->digit_in, s->config.dtmf_clock_hz, &d))
		rtp_session_digit(s, &d, false);
}

static void packet_accepted(struct rtp_session *s, uint8_t *packet, struct rtp_packet *h)
{
	switch (rtp_rx_packet(&s->rx, h->ssrc, h->seq)) {
	case RTP_RX_JUMP: return;
	case RTP_RX_NEW: source_in_changed(s); break;
	case RTP_RX_OK:
	case RTP_RX_LATE: break;
	}
	s->last_rx_us = s->worker->now_us;
	s->packets_received++;
	s->bytes_received += h->len;
	if (!(s->config.dir & STREAM_RECV)) {
		if (s->to)
			rtp_tx_skip(&s->to->tx, h);
		return;
	}
	if (s->config.dtmf_recv_pt == h->pt)
		event_in(s, packet, h);
	else
		audio_in(s, packet, h);
}

static void dump_in(struct rtp_session *s, const uint8_t *packet, size_t n, const struct addr *from, bool is_rtcp)
{
	const struct dump_mark m = { .peer = from ? from : &s->latch.source, .is_rtcp = is_rtcp };

	dump_packet(s, &m, packet, n);
}

/* from: NULL if the kernel has checked it. */
static void packet_in(struct rtp_session *s, uint8_t *packet, size_t n, const struct addr *from)
{
	struct worker *w = s->worker;
	struct rtp_session *rider;
	struct rtp_packet h;

	count_one(&w->count.received);
	if (s->config.is_udptl) {
		t38_packet(s, packet, n, from);
		return;
	}
	if (!demux_is_rtp(packet[0])) {
		demux_other(s, &s->pair->rtp, packet, n, from);
		return;
	}
	if (s->secure) {
		n = n == PACKET_MAX ? 0 : rtp_is_rtcp(packet, n) ? secure_open_rtcp(s->secure, packet, n) : secure_open(s->secure, packet, n);
		if (n == 0) {
			rtp_session_insecure(s);
			return;
		}
	}
	if (rtp_is_rtcp(packet, n)) {
		if (from && !addr_eq(from, s->latch.locked ? &s->latch.source : &s->latch.signalled))
			return;
		if (s->is_dumped)
			dump_in(s, packet, n, from, true);
		report_packet(s, packet, n); /* also of who sends nothing else */
		return;
	}
	if (n == PACKET_MAX || rtp_parse(&h, packet, n) < 0) {
		count_one(&w->count.dropped_malformed);
		return;
	}
	if (from && !rtp_session_is_from_peer(s, from, &h))
		return;
	rider = s->has_riders ? bundle_find(s, &h) : NULL;
	if (s->is_dumped && !rider)
		dump_in(s, packet, n, from, false);
	if (rider)
		opaque_packet(rider, packet, n, &h);
	else if (s->config.is_opaque)
		opaque_packet(s, packet, n, &h);
	else
		packet_accepted(s, packet, &h);
}

/* Takes in one packet; false: there is none. */
static bool receive(struct rtp_session *s)
{
	struct worker *w = s->worker;
	bool check = !s->is_connected || s->is_sifting;
	struct addr from;
	socklen_t len = sizeof(from);
	ssize_t n;

	if (check) {
		memset(&from, 0, sizeof(from));
		n = recvfrom(s->rtp_fd, w->packet, sizeof(w->packet), MSG_DONTWAIT, &from.sa, &len);
	} else {
		n = recv(s->rtp_fd, w->packet, sizeof(w->packet), MSG_DONTWAIT);
	}
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		s->is_sifting = false; /* what was queued before connect() is gone */
		return false;
	}
	if (n > 0) /* else nothing in one, */
		packet_in(s, w->packet, (size_t)n, check ? &from : NULL);
	else if (n < 0) /* or an ICMP error, which was before the next packet */
		rtp_session_icmp(s);
	return true;
}

void relay_readable(struct rtp_session *s)
{
	while (receive(s) && s->is_sifting)
		;
}

void relay_drain(struct rtp_session *s)
{
	for (int i = 0; i < DRAIN_MAX && receive(s); i++)
		;
}

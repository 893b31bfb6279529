/* rtp.h - RTP packets and the numbering of both directions: pure functions, no I/O.
 *
 * What a leg hears from us is one RTP source for the whole call: one SSRC, sequence numbers and timestamps
 * that go on without a break whatever plays, relays or holds behind it. struct rtp_tx is that source. Packets
 * of ours take the next number (rtp_tx_next); relayed packets keep the gaps and the order in which they came
 * (rtp_tx_map), so that the far end sees the loss there was and can conceal it.
 *
 * Thread: none of its own; each struct belongs to its stream.
 * Sources: RFC 3550 §5.1, §6.4.1, A.1, A.3, A.8; RFC 3551 §4.1 (marker).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTP_HEADER_LEN 12
#define RTP_PT_CN 13 /* comfort noise (RFC 3389 §4); understood unasked, for a static number means nothing else */

struct rtp_packet {
	bool marker;
	uint8_t pt;
	uint16_t seq;
	uint32_t ts, ssrc;
	size_t offset, len; /* of the payload: behind CSRCs and extension, without padding */
};

/* -EBADMSG for anything that is not one well-formed RTP packet. */
int rtp_parse(struct rtp_packet *out, const uint8_t *p, size_t n);
/* Writes the fixed header (no CSRC, extension or padding) into p[RTP_HEADER_LEN]. */
void rtp_print(uint8_t *p, const struct rtp_packet *h);
/* On a port shared with RTCP: is this RTCP? RFC 5761 §4. */
static inline bool rtp_is_rtcp(const uint8_t *p, size_t n)
{
	return n >= 2 && p[1] >= 192 && p[1] <= 223;
}

/* ---- received side ---- */

struct rtp_rx {
	bool started;
	uint32_t ssrc;
	uint16_t max_seq;
	uint32_t cycles;         /* wraps of max_seq, shifted up by 16 */
	uint32_t base_seq;       /* extended */
	uint32_t bad_seq;        /* the number that would confirm a restart; above 65535: none */
	uint32_t received;       /* since base_seq */
	uint32_t expected_prior, received_prior;
	uint32_t lost_before;    /* by sources before this one */
	uint32_t transit;
	bool have_transit;
	uint32_t jitter;         /* in clock units, shifted up by 4 */
	uint32_t max_jitter;     /* the same */
	uint32_t clock_hz;
	uint32_t gaps;           /* how often numbers were missing in between, over all sources */
};

enum rtp_rx_verdict {
	RTP_RX_OK,
	RTP_RX_NEW,  /* first packet of a source, or the source has restarted its numbering */
	RTP_RX_LATE, /* out of order or a duplicate */
	RTP_RX_JUMP, /* far away from what was expected, alone so far: not counted */
};

/* Counts a packet: RFC 3550 A.1, without its probation (the latch has already done that). */
enum rtp_rx_verdict rtp_rx_packet(struct rtp_rx *rx, uint32_t ssrc, uint16_t seq);
/* Interarrival jitter, A.8. Not for telephone events, whose timestamp stands still. */
void rtp_rx_jitter(struct rtp_rx *rx, uint32_t ts, uint64_t now_us, uint32_t clock_hz);
uint32_t rtp_rx_lost(const struct rtp_rx *rx);    /* cumulative over all sources, never below 0 */
int32_t rtp_rx_missing(const struct rtp_rx *rx);  /* of this source alone; below 0: more came than were sent (A.3, what a report says) */
uint32_t rtp_rx_highest(const struct rtp_rx *rx); /* extended */
uint8_t rtp_rx_fraction(struct rtp_rx *rx);       /* lost since the last call, of 256 (A.3) */
uint32_t rtp_rx_jitter_us(const struct rtp_rx *rx);
uint32_t rtp_rx_max_jitter_us(const struct rtp_rx *rx);

/* ---- sent side ---- */

struct rtp_tx {
	uint32_t ssrc;
	uint32_t ts;         /* of the next packet, if it follows without a pause */
	uint64_t at_us;      /* when that moment is */
	uint32_t clock_hz;
	uint16_t seq;        /* of the next packet */
	bool resync;         /* the next packet begins a talk spurt: marker, timestamp by the clock */
	/* how the relayed source maps onto ours */
	bool mapped;
	uint32_t in_ssrc;
	uint16_t in_max;     /* newest sequence number relayed */
	uint16_t in_base;    /* older ones would collide with what went before */
	uint16_t seq_delta;
	uint32_t ts_delta;
};

/* Random start values, RFC 3550 §5.1. */
void rtp_tx_init(struct rtp_tx *tx, uint32_t ssrc, uint16_t seq, uint32_t ts, uint64_t now_us, uint32_t clock_hz);
/* The rate of the timestamp from now on; time goes on at the new rate. */
void rtp_tx_clock(struct rtp_tx *tx, uint64_t now_us, uint32_t clock_hz);
/* Timestamp of this moment; never before what has been sent. */
uint32_t rtp_tx_ts(const struct rtp_tx *tx, uint64_t now_us);
/* The source changes: forget the mapping, begin a talk spurt with the next packet. */
void rtp_tx_resync(struct rtp_tx *tx);
/* Numbers a packet of our own that lasts duration (clock units). Fills marker, seq, ts, ssrc of h. */
void rtp_tx_next(struct rtp_tx *tx, uint64_t now_us, uint32_t duration, struct rtp_packet *h);
/* The same for a packet outside the flow of audio (RFC 4733), which brings its own timestamp and marker. */
void rtp_tx_next_event(struct rtp_tx *tx, struct rtp_packet *h);
/* Numbers a relayed packet: h as parsed in, as to be sent out. false: older than the start of this
 * mapping, must be dropped. */
bool rtp_tx_map(struct rtp_tx *tx, uint64_t now_us, uint32_t duration, struct rtp_packet *h);
/* A packet of the relayed source is left out on purpose: closes the gap it would leave. */
void rtp_tx_skip(struct rtp_tx *tx, const struct rtp_packet *h);

/* rtp.c - RTP headers, statistics of what is received, continuity of what is sent (see rtp.h).
 *
 * All arithmetic on sequence numbers and timestamps is modulo 2^16 and 2^32; differences are taken in the
 * unsigned type and read as signed, so nothing here knows about wraparound except the cycle counter.
 */
#include "media/rtp.h"

#include <errno.h>
#include <string.h>

#define MAX_DROPOUT 3000    /* RFC 3550 A.1 */
#define MAX_MISORDER 100
#define NO_BAD_SEQ 0x10000u /* no 16-bit number equals it */

static uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)(v >> 16));
	put16(p + 2, (uint16_t)v);
}

int rtp_parse(struct rtp_packet *out, const uint8_t *p, size_t n)
{
	size_t offset = RTP_HEADER_LEN, padding = 0;

	if (n < RTP_HEADER_LEN || p[0] >> 6 != 2)
		return -EBADMSG;
	offset += 4u * (p[0] & 0x0f);
	if (p[0] & 0x10) { /* extension, §5.3.1 */
		if (n < offset + 4)
			return -EBADMSG;
		offset += 4 + 4u * get16(p + offset + 2);
	}
	if (p[0] & 0x20) { /* the last byte counts the padding, itself included */
		padding = p[n - 1];
		if (padding == 0)
			return -EBADMSG;
	}
	if (offset + padding > n)
		return -EBADMSG;
	*out = (struct rtp_packet){
		.marker = p[1] >> 7,
		.pt = p[1] & 0x7f,
		.seq = get16(p + 2),
		.ts = get32(p + 4),
		.ssrc = get32(p + 8),
		.offset = offset,
		.len = n - offset - padding,
	};
	return 0;
}

void rtp_print(uint8_t *p, const struct rtp_packet *h)
{
	p[0] = 0x80;
	p[1] = (uint8_t)(h->marker << 7 | (h->pt & 0x7f));
	put16(p + 2, h->seq);
	put32(p + 4, h->ts);
	put32(p + 8, h->ssrc);
}

/* ---- received side ---- */

static void rx_restart(struct rtp_rx *rx, uint32_t ssrc, uint16_t seq)
{
	uint32_t lost = rtp_rx_lost(rx);
	struct rtp_rx fresh = {
		.started = true,
		.ssrc = ssrc,
		.max_seq = seq,
		.base_seq = seq,
		.bad_seq = NO_BAD_SEQ,
		.received = 1,
		.lost_before = lost,
		.jitter = rx->jitter,
		.max_jitter = rx->max_jitter,
		.clock_hz = rx->clock_hz,
		.gaps = rx->gaps,
	};

	*rx = fresh;
}

enum rtp_rx_verdict rtp_rx_packet(struct rtp_rx *rx, uint32_t ssrc, uint16_t seq)
{
	uint16_t ahead = (uint16_t)(seq - rx->max_seq);

	if (!rx->started || rx->ssrc != ssrc) {
		rx_restart(rx, ssrc, seq);
		return RTP_RX_NEW;
	}
	if (ahead > 0 && ahead < MAX_DROPOUT) {
		if (seq < rx->max_seq)
			rx->cycles += 0x10000;
		rx->max_seq = seq;
		rx->bad_seq = NO_BAD_SEQ;
		rx->received++;
		rx->gaps += ahead > 1;
		return RTP_RX_OK;
	}
	if (ahead == 0 || (uint16_t)-ahead <= MAX_MISORDER) {
		rx->received++;
		return RTP_RX_LATE;
	}
	/* Two in a row from the new place: the source has restarted without saying so. */
	if (rx->bad_seq == seq) {
		rx_restart(rx, ssrc, seq);
		return RTP_RX_NEW;
	}
	rx->bad_seq = (uint16_t)(seq + 1);
	return RTP_RX_JUMP;
}

/* Another codec than before: what is known of the jitter stays true, in units of the new clock. */
static void rx_change_clock(struct rtp_rx *rx, uint32_t clock_hz)
{
	if (rx->clock_hz) {
		rx->jitter = (uint32_t)((uint64_t)rx->jitter * clock_hz / rx->clock_hz);
		rx->max_jitter = (uint32_t)((uint64_t)rx->max_jitter * clock_hz / rx->clock_hz);
	}
	rx->clock_hz = clock_hz;
	rx->have_transit = false;
}

void rtp_rx_jitter(struct rtp_rx *rx, uint32_t ts, uint64_t now_us, uint32_t clock_hz)
{
	uint32_t arrival = (uint32_t)(now_us * clock_hz / 1000000);
	uint32_t transit = arrival - ts;
	int32_t d = (int32_t)(transit - rx->transit);

	if (rx->clock_hz != clock_hz)
		rx_change_clock(rx, clock_hz);
	rx->transit = transit;
	if (!rx->have_transit) {
		rx->have_transit = true;
		return;
	}
	if (d < 0)
		d = d == INT32_MIN ? INT32_MAX : -d;
	/* A step of seconds is a new timeline (a talk spurt of a careless device), not jitter. */
	if ((uint32_t)d > 2 * clock_hz)
		return;
	rx->jitter += (uint32_t)d - ((rx->jitter + 8) >> 4);
	if (rx->jitter > rx->max_jitter)
		rx->max_jitter = rx->jitter;
}

uint32_t rtp_rx_highest(const struct rtp_rx *rx)
{
	return rx->cycles + rx->max_seq;
}

static uint32_t rx_expected(const struct rtp_rx *rx)
{
	return rx->started ? rtp_rx_highest(rx) - rx->base_seq + 1 : 0;
}

int32_t rtp_rx_missing(const struct rtp_rx *rx)
{
	return (int32_t)(rx_expected(rx) - rx->received);
}

uint32_t rtp_rx_lost(const struct rtp_rx *rx)
{
	int32_t lost = rtp_rx_missing(rx);

	return rx->lost_before + (lost > 0 ? (uint32_t)lost : 0);
}

uint8_t rtp_rx_fraction(struct rtp_rx *rx)
{
	uint32_t expected = rx_expected(rx);
	uint32_t expected_interval = expected - rx->expected_prior;
	int32_t lost = (int32_t)(expected_interval - (rx->received - rx->received_prior));

	rx->expected_prior = expected;
	rx->received_prior = rx->received;
	if (expected_interval == 0 || lost <= 0)
		return 0;
	lost = (int32_t)(((uint64_t)lost << 8) / expected_interval);
	return lost > 255 ? 255 : (uint8_t)lost;
}

static uint32_t jitter_us(uint32_t jitter, uint32_t clock_hz)
{
	return clock_hz ? (uint32_t)((uint64_t)(jitter >> 4) * 1000000 / clock_hz) : 0;
}

uint32_t rtp_rx_jitter_us(const struct rtp_rx *rx) { return jitter_us(rx->jitter, rx->clock_hz); }
uint32_t rtp_rx_max_jitter_us(const struct rtp_rx *rx) { return jitter_us(rx->max_jitter, rx->clock_hz); }

/* ---- sent side ---- */

void rtp_tx_init(struct rtp_tx *tx, uint32_t ssrc, uint16_t seq, uint32_t ts, uint64_t now_us, uint32_t clock_hz)
{
	*tx = (struct rtp_tx){
		.ssrc = ssrc, .seq = seq, .ts = ts, .at_us = now_us, .clock_hz = clock_hz, .resync = true,
	};
}

uint32_t rtp_tx_ts(const struct rtp_tx *tx, uint64_t now_us)
{
	if (now_us <= tx->at_us)
		return tx->ts;
	return tx->ts + (uint32_t)((now_us - tx->at_us) * tx->clock_hz / 1000000);
}

void rtp_tx_clock(struct rtp_tx *tx, uint64_t now_us, uint32_t clock_hz)
{
	if (tx->clock_hz == clock_hz)
		return;
	tx->ts = rtp_tx_ts(tx, now_us);
	if (now_us > tx->at_us)
		tx->at_us = now_us;
	tx->clock_hz = clock_hz;
	rtp_tx_resync(tx);
}

void rtp_tx_resync(struct rtp_tx *tx)
{
	tx->resync = true;
	tx->mapped = false;
}

static void tx_advance(struct rtp_tx *tx, uint64_t now_us, uint32_t ts, uint32_t duration)
{
	tx->ts = ts + duration;
	tx->at_us = now_us + (uint64_t)duration * 1000000 / tx->clock_hz;
}

/* A number is taken in the midst of a relayed flow: what follows there moves up by one. */
static uint16_t tx_take_seq(struct rtp_tx *tx)
{
	tx->seq_delta++;
	tx->in_base = (uint16_t)(tx->in_max + 1);
	return tx->seq++;
}

void rtp_tx_next(struct rtp_tx *tx, uint64_t now_us, uint32_t duration, struct rtp_packet *h)
{
	h->marker = tx->resync;
	h->ts = tx->resync ? rtp_tx_ts(tx, now_us) : tx->ts;
	h->ssrc = tx->ssrc;
	h->seq = tx_take_seq(tx);
	tx->resync = false;
	/* It took time as well: a relayed packet that follows begins behind it, wherever its sender's clock is. */
	tx->mapped = false;
	tx_advance(tx, now_us, h->ts, duration);
}

void rtp_tx_next_event(struct rtp_tx *tx, struct rtp_packet *h)
{
	h->ssrc = tx->ssrc;
	h->seq = tx_take_seq(tx);
}

static bool map_is_lost(const struct rtp_tx *tx, const struct rtp_packet *h)
{
	uint16_t ahead = (uint16_t)(h->seq - tx->in_max);

	return !tx->mapped || tx->in_ssrc != h->ssrc || (ahead >= MAX_DROPOUT && (uint16_t)-ahead > MAX_MISORDER);
}

bool rtp_tx_map(struct rtp_tx *tx, uint64_t now_us, uint32_t duration, struct rtp_packet *h)
{
	bool fresh = map_is_lost(tx, h), newest;

	if (fresh) {
		tx->mapped = true;
		tx->in_ssrc = h->ssrc;
		tx->in_max = (uint16_t)(h->seq - 1);
		tx->in_base = h->seq;
		tx->seq_delta = (uint16_t)(tx->seq - h->seq);
		tx->ts_delta = rtp_tx_ts(tx, now_us) - h->ts;
	}
	if ((int16_t)(h->seq - tx->in_base) < 0)
		return false;
	newest = (int16_t)(h->seq - tx->in_max) > 0;
	h->marker |= fresh || tx->resync;
	tx->resync = false;
	if (newest)
		tx->in_max = h->seq;
	h->seq = (uint16_t)(h->seq + tx->seq_delta);
	h->ts += tx->ts_delta;
	h->ssrc = tx->ssrc;
	if (newest) {
		tx->seq = (uint16_t)(h->seq + 1);
		tx_advance(tx, now_us, h->ts, duration);
	}
	return true;
}

void rtp_tx_skip(struct rtp_tx *tx, const struct rtp_packet *h)
{
	if (map_is_lost(tx, h) || (int16_t)(h->seq - tx->in_max) <= 0)
		return;
	/* Losses just before it close up as well: the far end has nothing to conceal there. */
	tx->in_max = h->seq;
	tx->in_base = (uint16_t)(h->seq + 1);
	tx->seq_delta = (uint16_t)(tx->seq - tx->in_base);
}

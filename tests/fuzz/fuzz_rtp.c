/* libFuzzer target on what comes from the network to a media port: RTP, RTCP, telephone events.
 *
 * Every parser sees every input; what parses must print and parse back to the same.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "media/dtmf.h"
#include "media/latch.h"
#include "media/rtcp.h"
#include "media/rtp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_rtp(const uint8_t *data, size_t size)
{
	struct rtp_packet h, back;
	struct rtp_rx rx = { 0 };
	uint8_t print[RTP_HEADER_LEN];

	if (rtp_parse(&h, data, size) < 0)
		return;
	assert(h.offset + h.len <= size);
	rtp_print(print, &h);
	assert(rtp_parse(&back, print, sizeof(print)) == 0);
	assert(back.marker == h.marker && back.pt == h.pt && back.seq == h.seq && back.ts == h.ts && back.ssrc == h.ssrc);
	rtp_rx_packet(&rx, h.ssrc, h.seq);
	rtp_rx_jitter(&rx, h.ts, h.ts, 8000);
}

static void fuzz_rtcp(const uint8_t *data, size_t size)
{
	struct rtcp_report r, back;
	uint8_t print[RTCP_PRINT_MAX];
	uint32_t ours = 0;
	size_t n;

	if (size >= 12)
		memcpy(&ours, data + 8, 4);
	if (rtcp_parse(&r, data, size, __builtin_bswap32(ours)) < 0)
		return;
	n = rtcp_print(print, sizeof(print), &r, "fuzz");
	assert(n > 0 && rtcp_parse(&back, print, n, r.block.ssrc) == 0);
	assert(back.ssrc == r.ssrc && back.ntp == r.ntp && back.bye == r.bye && back.has_block == r.has_block);
	assert(back.block.lost == r.block.lost && back.block.dlsr == r.block.dlsr);
	rtcp_rtt_us(r.ntp, &r.block);
}

/* The input as a sequence of packets: two bytes of sequence number, one of timestamp, one of source, four of event. Each
 * state machine must keep its promises whatever the order. */
static void fuzz_sequence(const uint8_t *data, size_t size)
{
	struct dtmf_in in = { 0 };
	struct latch latch = { 0 };
	struct rtp_rx rx = { 0 };
	struct rtp_tx tx;
	uint64_t now_us = 0;

	rtp_tx_init(&tx, 1, 65530, 0xffffff00, 0, 8000);
	for (; size >= 8; data += 8, size -= 8) {
		struct rtp_packet h = { .seq = (uint16_t)(data[0] << 8 | data[1]), .ts = data[2] * 80u, .ssrc = data[3] & 3 };
		struct addr from = { .v4 = { .sin_family = AF_INET, .sin_port = 1 + (data[3] >> 4) } };
		struct dtmf_event e;
		struct dtmf_digit out[2];
		bool was_locked = latch.locked;
		int n;

		now_us += data[2] * 1000u;
		latch_packet(&latch, &from, h.ssrc, h.seq, now_us / 1000);
		assert(!was_locked || latch.locked);
		rtp_rx_packet(&rx, h.ssrc, h.seq);
		rtp_rx_fraction(&rx);
		assert(dtmf_parse(&e, data + 4, 4) == 0);
		n = dtmf_in_packet(&in, &e, h.ts, 8000, now_us, out);
		assert(n >= 0 && n <= 2);
		for (int i = 0; i < n; i++)
			assert(out[i].digit != 0);
		if (data[3] & 4)
			rtp_tx_skip(&tx, &h);
		else if (data[3] & 8)
			rtp_tx_next(&tx, now_us, 160, &h);
		else
			rtp_tx_map(&tx, now_us, 160, &h);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A copy of exactly this size, so that a byte read too far is caught. */
	uint8_t *copy = malloc(size ? size : 1);

	if (!copy)
		return 0;
	memcpy(copy, data, size);
	fuzz_rtp(copy, size);
	fuzz_rtcp(copy, size);
	fuzz_sequence(copy, size);
	free(copy);
	return 0;
}

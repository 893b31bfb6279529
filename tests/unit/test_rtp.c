/* RTP parsing, receive statistics and the continuity of what is sent. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/rtp.h"

/* RFC 3550 §5.1; the comment names what is wrong or special. */
static const struct {
	const char *name;
	size_t n;
	uint8_t p[32];
	int err;
	size_t offset, len;
} parse_vectors[] = {
	{ "empty", 0, { 0 }, -EBADMSG, 0, 0 },
	{ "one byte short", 11, { 0x80 }, -EBADMSG, 0, 0 },
	{ "header alone", 12, { 0x80 }, 0, 12, 0 },
	{ "version 1", 13, { 0x40 }, -EBADMSG, 0, 0 },
	{ "STUN looks like version 0", 20, { 0x00, 0x01 }, -EBADMSG, 0, 0 },
	{ "payload", 16, { 0x80 }, 0, 12, 4 },
	{ "two CSRCs", 22, { 0x82 }, 0, 20, 2 },
	{ "CSRCs run over the end", 14, { 0x81 }, -EBADMSG, 0, 0 },
	{ "extension of one word", 22, { 0x90, [12] = 0xbe, 0xde, 0, 1 }, 0, 20, 2 },
	{ "extension cut off", 15, { 0x90 }, -EBADMSG, 0, 0 },
	{ "extension too long", 22, { 0x90, [14] = 0, 2 }, 0 - EBADMSG, 0, 0 },
	{ "extension of 65535 words", 22, { 0x90, [14] = 0xff, 0xff }, -EBADMSG, 0, 0 },
	{ "padding of three", 18, { 0xa0, [17] = 3 }, 0, 12, 3 },
	{ "padding is all there is", 16, { 0xa0, [15] = 4 }, 0, 12, 0 },
	{ "padding of none", 16, { 0xa0, [15] = 0 }, -EBADMSG, 0, 0 },
	{ "padding longer than the payload", 16, { 0xa0, [15] = 5 }, -EBADMSG, 0, 0 },
};

static void test_rtp_parse_takes_and_refuses_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parse_vectors); i++) {
		struct rtp_packet h;
		int err = rtp_parse(&h, parse_vectors[i].p, parse_vectors[i].n);

		if (err != parse_vectors[i].err)
			fail_msg("%s: %d", parse_vectors[i].name, err);
		if (err == 0 && (h.offset != parse_vectors[i].offset || h.len != parse_vectors[i].len))
			fail_msg("%s: offset %zu len %zu", parse_vectors[i].name, h.offset, h.len);
	}
}

static void test_rtp_print_parses_back_to_the_same(void **state)
{
	static const struct rtp_packet in[] = {
		{ .marker = true, .pt = 101, .seq = 0xffff, .ts = 0xfffffff0, .ssrc = 0xdeadbeef, .offset = 12 },
		{ .marker = false, .pt = 0, .seq = 0x0102, .ts = 0x03040506, .ssrc = 1, .offset = 12 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(in); i++) {
		uint8_t p[RTP_HEADER_LEN];
		struct rtp_packet out;

		rtp_print(p, &in[i]);
		assert_int_equal(rtp_parse(&out, p, sizeof(p)), 0);
		assert_true(out.marker == in[i].marker && out.pt == in[i].pt && out.seq == in[i].seq);
		assert_true(out.ts == in[i].ts && out.ssrc == in[i].ssrc && out.len == 0);
	}
}

static void test_rtp_rtcp_is_told_apart(void **state)
{
	(void)state; /* RFC 5761 §4: 192 to 223 */
	assert_true(rtp_is_rtcp((const uint8_t[]){ 0x80, 200 }, 2));
	assert_true(rtp_is_rtcp((const uint8_t[]){ 0x80, 201 }, 2));
	assert_false(rtp_is_rtcp((const uint8_t[]){ 0x80, 0x80 | 0 }, 2));
	assert_false(rtp_is_rtcp((const uint8_t[]){ 0x80, 0x80 | 101 }, 2));
	assert_false(rtp_is_rtcp((const uint8_t[]){ 0x80 }, 1));
}

static void test_rtp_rx_counts_loss_across_the_wrap(void **state)
{
	struct rtp_rx rx = { 0 };

	(void)state;
	assert_int_equal(rtp_rx_packet(&rx, 7, 65530), RTP_RX_NEW);
	for (unsigned i = 1; i < 20; i++) {
		if (i == 5 || i == 6 || i == 12)
			continue; /* lost: the last before the wrap among them */
		assert_int_equal(rtp_rx_packet(&rx, 7, (uint16_t)(65530 + i)), RTP_RX_OK);
	}
	assert_int_equal(rtp_rx_lost(&rx), 3);
	assert_int_equal(rtp_rx_highest(&rx), 65530 + 19);
	assert_int_equal(rtp_rx_fraction(&rx), 3 * 256 / 20);
	assert_int_equal(rtp_rx_fraction(&rx), 0);
	/* one of them was only late */
	assert_int_equal(rtp_rx_packet(&rx, 7, (uint16_t)(65530 + 12)), RTP_RX_LATE);
	assert_int_equal(rtp_rx_lost(&rx), 2);
}

static void test_rtp_rx_restart_needs_two_in_a_row(void **state)
{
	struct rtp_rx rx = { 0 };

	(void)state;
	rtp_rx_packet(&rx, 7, 100);
	rtp_rx_packet(&rx, 7, 102); /* one lost */
	assert_int_equal(rtp_rx_packet(&rx, 7, 40000), RTP_RX_JUMP);
	assert_int_equal(rtp_rx_packet(&rx, 7, 103), RTP_RX_OK);
	assert_int_equal(rtp_rx_packet(&rx, 7, 50000), RTP_RX_JUMP);
	assert_int_equal(rtp_rx_packet(&rx, 7, 50001), RTP_RX_NEW);
	assert_int_equal(rtp_rx_packet(&rx, 7, 50003), RTP_RX_OK);
	assert_int_equal(rtp_rx_lost(&rx), 2); /* old losses are kept */
	assert_int_equal(rtp_rx_missing(&rx), 1); /* but are no business of a report on this source */
	assert_int_equal(rtp_rx_packet(&rx, 8, 1), RTP_RX_NEW);
	assert_int_equal(rtp_rx_lost(&rx), 2);
	assert_int_equal(rtp_rx_missing(&rx), 0);
}

static void test_rtp_rx_duplicates_never_make_loss_negative(void **state)
{
	struct rtp_rx rx = { 0 };

	(void)state;
	for (int i = 0; i < 10; i++)
		rtp_rx_packet(&rx, 7, 5);
	assert_int_equal(rtp_rx_lost(&rx), 0);
	assert_int_equal(rtp_rx_missing(&rx), -9); /* RFC 3550 A.3: a report does say that more came than were sent */
	assert_int_equal(rtp_rx_fraction(&rx), 0);
}

static void test_rtp_rx_jitter_follows_the_rfc(void **state)
{
	struct rtp_rx rx = { 0 };
	uint64_t now = 1000000;
	uint32_t ts = 0xffffff00; /* wraps within */

	(void)state;
	/* Packets alternately 0 and 5 ms late: |D| is always 40 units of 8 kHz, the estimate converges to 5 ms (A.8). */
	for (int i = 0; i < 400; i++) {
		rtp_rx_jitter(&rx, ts, now + (i & 1 ? 5000 : 0), 8000);
		ts += 160;
		now += 20000;
	}
	assert_in_range(rtp_rx_jitter_us(&rx), 4500, 5100);
	assert_true(rtp_rx_max_jitter_us(&rx) >= rtp_rx_jitter_us(&rx));
	/* A jump of the timeline of an hour is none. */
	rtp_rx_jitter(&rx, ts + 3600u * 8000, now, 8000);
	assert_in_range(rtp_rx_jitter_us(&rx), 4500, 5100);
	/* Another codec's clock: the same time in other units. */
	rtp_rx_jitter(&rx, 1234, now, 48000);
	assert_in_range(rtp_rx_jitter_us(&rx), 4500, 5100);
	assert_in_range(rtp_rx_max_jitter_us(&rx), 4500, 5100);
	rtp_rx_jitter(&rx, 1234, now, 8000);
	assert_in_range(rtp_rx_jitter_us(&rx), 4500, 5100);
	assert_in_range(rtp_rx_max_jitter_us(&rx), 4500, 5100);
}

static void test_rtp_tx_is_continuous_over_sources(void **state)
{
	struct rtp_tx tx;
	struct rtp_packet h;
	uint64_t now = 5000000;

	(void)state;
	rtp_tx_init(&tx, 99, 65534, 0xffffff60, now, 8000);
	/* a player: four packets over both wraps */
	for (unsigned i = 0; i < 4; i++, now += 20000) {
		rtp_tx_next(&tx, now, 160, &h);
		assert_int_equal(h.seq, (uint16_t)(65534 + i));
		assert_int_equal(h.ts, (uint32_t)(0xffffff60 + i * 160));
		assert_int_equal(h.marker, i == 0);
		assert_int_equal(h.ssrc, 99);
	}
	/* 100 ms of nothing, then a relayed source with its own numbers */
	rtp_tx_resync(&tx);
	now += 100000;
	for (unsigned i = 0; i < 3; i++, now += 20000) {
		h = (struct rtp_packet){ .seq = (uint16_t)(65535 + i), .ts = 1000 + i * 160, .ssrc = 5 };
		assert_true(rtp_tx_map(&tx, now, 160, &h));
		assert_int_equal(h.seq, (uint16_t)(2 + i));
		assert_int_equal(h.ts, (uint32_t)(0xffffff60 + (4 + 5 + i) * 160));
		assert_int_equal(h.marker, i == 0);
		assert_int_equal(h.ssrc, 99);
	}
	/* the source changes its SSRC without a word */
	h = (struct rtp_packet){ .seq = 7, .ts = 7, .ssrc = 6 };
	assert_true(rtp_tx_map(&tx, now, 160, &h));
	assert_int_equal(h.seq, 5);
	assert_true(h.marker);
}

static void test_rtp_tx_map_keeps_gaps_and_order(void **state)
{
	static const struct { uint16_t in; int out; } v[] = {
		{ 100, 10 }, { 101, 11 }, { 103, 13 }, { 102, 12 }, { 103, 13 }, { 110, 20 }, { 99, -1 },
	};
	struct rtp_tx tx;

	(void)state;
	rtp_tx_init(&tx, 99, 10, 0, 0, 8000);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct rtp_packet h = { .seq = v[i].in, .ts = v[i].in * 160u, .ssrc = 5 };
		bool ok = rtp_tx_map(&tx, 20000, 160, &h);

		assert_int_equal(ok ? h.seq : -1, v[i].out);
		if (ok)
			assert_int_equal(h.ts, (v[i].in - 100u) * 160 + 160);
	}
	assert_int_equal(tx.seq, 21);
}

static void test_rtp_tx_own_packets_between_relayed_ones_shift_them(void **state)
{
	struct rtp_tx tx;
	struct rtp_packet h;

	(void)state;
	rtp_tx_init(&tx, 99, 10, 0, 0, 8000);
	h = (struct rtp_packet){ .seq = 500, .ts = 0, .ssrc = 5 };
	assert_true(rtp_tx_map(&tx, 0, 160, &h));
	assert_int_equal(h.seq, 10);
	rtp_tx_next_event(&tx, &h); /* a digit of ours */
	assert_int_equal(h.seq, 11);
	h = (struct rtp_packet){ .seq = 501, .ts = 160, .ssrc = 5 };
	rtp_tx_skip(&tx, &h); /* audio held back under it */
	rtp_tx_next_event(&tx, &h);
	assert_int_equal(h.seq, 12);
	h = (struct rtp_packet){ .seq = 502, .ts = 320, .ssrc = 5 };
	assert_true(rtp_tx_map(&tx, 40000, 160, &h));
	assert_int_equal(h.seq, 13);
	assert_int_equal(h.ts, 320);
	h = (struct rtp_packet){ .seq = 499, .ts = 0, .ssrc = 5 };
	assert_false(rtp_tx_map(&tx, 40000, 160, &h)); /* would collide */
}

/* A digit as tones, in packets of our own: what is relayed after it does not go back in time, though its sender's clock is
 * behind ours, or our ticks were late and came in a burst. */
static void test_rtp_tx_time_does_not_go_back_after_own_sound(void **state)
{
	struct rtp_tx tx;
	struct rtp_packet h;
	uint32_t last;

	(void)state;
	rtp_tx_init(&tx, 99, 10, 0, 0, 8000);
	h = (struct rtp_packet){ .seq = 500, .ts = 0, .ssrc = 5 };
	assert_true(rtp_tx_map(&tx, 0, 160, &h));
	for (unsigned i = 0; i < 5; i++) {
		rtp_tx_next(&tx, 1000, 160, &h);
		assert_int_equal(h.seq, 11 + i);
	}
	last = h.ts;
	h = (struct rtp_packet){ .seq = 501, .ts = 160, .ssrc = 5 };
	assert_true(rtp_tx_map(&tx, 20000, 160, &h));
	assert_int_equal(h.seq, 16);
	assert_int_equal(h.ts, last + 160);
	assert_true(h.marker);
}

static void test_rtp_tx_source_that_jumps_is_mapped_anew(void **state)
{
	struct rtp_tx tx;
	struct rtp_packet h = { .seq = 500, .ts = 0, .ssrc = 5 };

	(void)state;
	rtp_tx_init(&tx, 99, 10, 1000, 0, 8000);
	assert_true(rtp_tx_map(&tx, 0, 160, &h));
	h = (struct rtp_packet){ .seq = 30000, .ts = 77777, .ssrc = 5 };
	assert_true(rtp_tx_map(&tx, 20000, 160, &h));
	assert_int_equal(h.seq, 11);
	assert_int_equal(h.ts, 1160);
	assert_true(h.marker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rtp_parse_takes_and_refuses_vectors),
		cmocka_unit_test(test_rtp_print_parses_back_to_the_same),
		cmocka_unit_test(test_rtp_rtcp_is_told_apart),
		cmocka_unit_test(test_rtp_rx_counts_loss_across_the_wrap),
		cmocka_unit_test(test_rtp_rx_restart_needs_two_in_a_row),
		cmocka_unit_test(test_rtp_rx_duplicates_never_make_loss_negative),
		cmocka_unit_test(test_rtp_rx_jitter_follows_the_rfc),
		cmocka_unit_test(test_rtp_tx_is_continuous_over_sources),
		cmocka_unit_test(test_rtp_tx_map_keeps_gaps_and_order),
		cmocka_unit_test(test_rtp_tx_own_packets_between_relayed_ones_shift_them),
		cmocka_unit_test(test_rtp_tx_time_does_not_go_back_after_own_sound),
		cmocka_unit_test(test_rtp_tx_source_that_jumps_is_mapped_anew),
	};

	return cmocka_run_group_tests_name("rtp", tests, NULL, NULL);
}

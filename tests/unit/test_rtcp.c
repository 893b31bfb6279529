/* RTCP reports: what is printed parses back; what peers send wrong is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/rtcp.h"

static const struct rtcp_report reports[] = {
	{ .ssrc = 1, .is_sender = true, .ntp = 0x83aa7e8012345678, .rtp_ts = 0xfffffff0, .packets = 10, .octets = 1600 },
	{ .ssrc = 2, .has_block = true,
	  .block = { .ssrc = 9, .fraction = 255, .lost = 7, .highest = 0x1ffff, .jitter = 80, .lsr = 1, .dlsr = 2 } },
	{ .ssrc = 3, .is_sender = true, .ntp = 1, .has_block = true, .block = { .ssrc = 9, .lost = -3 }, .bye = true },
	{ .ssrc = 4 },
};

static void test_rtcp_print_parses_back_to_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(reports); i++) {
		const struct rtcp_report *r = &reports[i];
		struct rtcp_report back;
		uint8_t p[RTCP_PRINT_MAX];
		size_t n = rtcp_print(p, sizeof(p), r, "0123456789abcdef");

		assert_true(n > 0 && n % 4 == 0);
		assert_int_equal(rtcp_parse(&back, p, n, 9), 0);
		assert_int_equal(back.ssrc, r->ssrc);
		assert_int_equal(back.is_sender, r->is_sender);
		assert_true(back.ntp == r->ntp && back.rtp_ts == r->rtp_ts);
		assert_true(back.packets == r->packets && back.octets == r->octets && back.bye == r->bye);
		assert_int_equal(back.has_block, r->has_block);
		assert_true(back.block.ssrc == r->block.ssrc && back.block.fraction == r->block.fraction);
		assert_true(back.block.lost == r->block.lost && back.block.highest == r->block.highest);
		assert_true(back.block.jitter == r->block.jitter);
		assert_true(back.block.lsr == r->block.lsr && back.block.dlsr == r->block.dlsr);
		/* a block about somebody else is not ours */
		assert_int_equal(rtcp_parse(&back, p, n, 10), 0);
		assert_false(back.has_block);
	}
}

static void test_rtcp_print_clamps_lost_and_respects_room(void **state)
{
	struct rtcp_report r = { .has_block = true, .block = { .lost = 0x1000000 } }, back;
	uint8_t p[RTCP_PRINT_MAX];
	size_t n = rtcp_print(p, sizeof(p), &r, "x");

	(void)state;
	assert_int_equal(rtcp_parse(&back, p, n, 0), 0);
	assert_int_equal(back.block.lost, 0x7fffff); /* 24 bits, RFC 3550 A.3 */
	assert_int_equal(rtcp_print(p, n - 1, &r, "x"), 0);
	assert_int_equal(rtcp_print(p, sizeof(p), &r, "a name that is longer than thirty-two"), 0);
}

static const struct {
	const char *name;
	size_t n;
	uint8_t p[40];
	int err;
} parse_vectors[] = {
	{ "empty", 0, { 0 }, -EBADMSG },
	{ "half a header", 3, { 0x80, 201, 0 }, -EBADMSG },
	{ "version 1", 8, { 0x40, 201, 0, 1 }, -EBADMSG },
	{ "length past the end", 8, { 0x80, 201, 0, 2 }, -EBADMSG },
	{ "shortest RR", 8, { 0x80, 201, 0, 1 }, 0 },
	{ "SR too short for its sender part", 8, { 0x80, 200, 0, 1 }, -EBADMSG },
	{ "RR that announces a block it hasn't", 8, { 0x81, 201, 0, 1 }, -EBADMSG },
	{ "begins with SDES (RFC 3550 A.2)", 8, { 0x81, 202, 0, 1 }, -EBADMSG },
	{ "PLI alone (RFC 5506 §3.4.1)", 12, { 0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2 }, 0 },
	{ "APP alone", 12, { 0x80, 204, 0, 2, 0, 0, 0, 1, 'n', 'a', 'm', 'e' }, 0 },
	{ "XR alone (RFC 3611)", 8, { 0x80, 207, 0, 1, 0, 0, 0, 1 }, 0 },
	{ "BYE alone", 8, { 0x81, 203, 0, 1, 0, 0, 0, 1 }, -EBADMSG },
	{ "a type after XR alone", 8, { 0x80, 208, 0, 1, 0, 0, 0, 1 }, -EBADMSG },
	{ "NACK alone, cut off", 12, { 0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2 }, -EBADMSG },
	{ "RR and an unknown type", 16, { 0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 207, 0, 1 }, 0 },
	{ "RR and rubbish behind", 11, { 0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 207, 0 }, -EBADMSG },
	{ "second packet runs over", 12, { 0x80, 201, 0, 1, 0, 0, 0, 1, 0x80, 203, 0, 9 }, -EBADMSG },
	{ "RR without a sender", 4, { 0x80, 201, 0, 0 }, -EBADMSG },
};

static void test_rtcp_parse_takes_and_refuses_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parse_vectors); i++) {
		struct rtcp_report r;
		int err = rtcp_parse(&r, parse_vectors[i].p, parse_vectors[i].n, 0);

		if (err != parse_vectors[i].err)
			fail_msg("%s: %d", parse_vectors[i].name, err);
	}
}

static void test_rtcp_rtt_is_what_the_rfc_computes(void **state)
{
	/* RFC 3550 figure 2: A = 0xb7108000, LSR = 0xb7052000, DLSR = 0x00054000: 6.125 s */
	struct rtcp_block b = { .lsr = 0xb7052000, .dlsr = 0x00054000 };

	(void)state;
	assert_int_equal(rtcp_rtt_us(0xb7108000ull << 16, &b), 6125000);
	/* the middle 32 bits wrap */
	b = (struct rtcp_block){ .lsr = 0xffff0000, .dlsr = 0 };
	assert_int_equal(rtcp_rtt_us(0x00008000ull << 16, &b), 1500000);
	b.lsr = 0; /* no SR received yet */
	assert_int_equal(rtcp_rtt_us(0x00008000ull << 16, &b), 0);
	b = (struct rtcp_block){ .lsr = 1000, .dlsr = 1000 }; /* before it was sent */
	assert_int_equal(rtcp_rtt_us(1500ull << 16, &b), 0);
}

static void test_rtcp_ntp_counts_from_1900(void **state)
{
	(void)state; /* RFC 868: 2208988800 is 1970-01-01 */
	assert_true(rtcp_ntp(0) == 2208988800ull << 32);
	assert_true(rtcp_ntp(500000) == ((2208988800ull << 32) | 0x80000000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rtcp_print_parses_back_to_the_same),
		cmocka_unit_test(test_rtcp_print_clamps_lost_and_respects_room),
		cmocka_unit_test(test_rtcp_parse_takes_and_refuses_vectors),
		cmocka_unit_test(test_rtcp_rtt_is_what_the_rfc_computes),
		cmocka_unit_test(test_rtcp_ntp_counts_from_1900),
	};

	return cmocka_run_group_tests_name("rtcp", tests, NULL, NULL);
}

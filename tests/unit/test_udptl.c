/* UDPTL packets: the shapes of ITU-T T.38 §9.1, and what is none. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/udptl.h"

#define BYTES(...) .n = sizeof((uint8_t[]){ __VA_ARGS__ }), .p = { __VA_ARGS__ }

static const struct { const char *name; size_t n; uint8_t p[40]; int err; uint16_t seq; size_t primary; unsigned nsecondaries; } rows[] = {
	{ "no-signal indicator, no redundancy", BYTES(0x00, 0x00, 1, 0x00, 0, 0), 0, 0, 1, 0 },
	{ "CED with two before it", BYTES(0x12, 0x34, 1, 0x04, 0, 2, 1, 0x02, 1, 0x00), 0, 0x1234, 1, 2 },
	{ "empty secondaries", BYTES(0, 5, 2, 1, 2, 0, 2, 0, 0), 0, 5, 2, 2 },
	{ "length in two bytes", BYTES(0, 5, 0x80, 2, 1, 2, 0, 0), 0, 5, 2, 0 },
	{ "FEC of span 1 with two entries", BYTES(0, 9, 1, 6, 0x80, 1, 1, 2, 3, 1, 2, 3, 1, 9), 0, 9, 1, 0 },
	{ "what follows is ignored", BYTES(0, 9, 1, 6, 0, 0, 0xaa, 0xbb), 0, 9, 1, 0 },
	{ "nothing", .n = 0, .err = -EBADMSG },
	{ "a sequence number alone", BYTES(0, 1), -EBADMSG, 0, 0, 0 },
	{ "empty IFP", BYTES(0, 1, 0, 0, 0), -EBADMSG, 0, 0, 0 },
	{ "IFP longer than the packet", BYTES(0, 1, 9, 1, 2, 3), -EBADMSG, 0, 0, 0 },
	{ "no error correction", BYTES(0, 1, 2, 1, 2), -EBADMSG, 0, 0, 0 },
	{ "no count of secondaries", BYTES(0, 1, 1, 1, 0), -EBADMSG, 0, 0, 0 },
	{ "a secondary is missing", BYTES(0, 1, 1, 1, 0, 2, 1, 1), -EBADMSG, 0, 0, 0 },
	{ "a length in fragments", BYTES(0, 1, 0xc1, 1, 0, 0), -EBADMSG, 0, 0, 0 },
	{ "half a length", BYTES(0, 1, 1, 1, 0, 1, 0x81), -EBADMSG, 0, 0, 0 },
	{ "FEC without span", BYTES(0, 1, 1, 1, 0x80), -EBADMSG, 0, 0, 0 },
	{ "FEC whose span is odd", BYTES(0, 1, 1, 1, 0x80, 2, 0, 1, 0), -EBADMSG, 0, 0, 0 },
	{ "an FEC entry is missing", BYTES(0, 1, 1, 1, 0x80, 1, 1, 2, 1, 7), -EBADMSG, 0, 0, 0 },
};

static void test_udptl_parse_takes_what_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* of exactly this size, so that a byte read too far is caught */
		uint8_t *copy = malloc(rows[i].n ? rows[i].n : 1);
		struct udptl u;
		int err;

		assert_non_null(copy);
		memcpy(copy, rows[i].p, rows[i].n);
		err = udptl_parse(&u, copy, rows[i].n);
		if (err != rows[i].err)
			fail_msg("%s: %d", rows[i].name, err);
		if (!err && (u.seq != rows[i].seq || u.primary.n != rows[i].primary || u.nsecondaries != rows[i].nsecondaries))
			fail_msg("%s: seq %u, %zu bytes, %u before", rows[i].name, u.seq, u.primary.n, u.nsecondaries);
		free(copy);
	}
}

static void test_udptl_reads_what_it_prints(void **state)
{
	static uint8_t bytes[1000];
	struct udptl u = { .seq = 0xffff, .primary = { bytes, 300 }, .nsecondaries = 3, .secondaries = { { bytes + 300, 127 }, { bytes, 0 }, { bytes + 500, 128 } } };
	uint8_t p[1500];
	struct udptl back;
	size_t n;

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7);
	n = udptl_print(p, sizeof(p), &u);
	assert_int_equal(n, 2 + 2 + 300 + 2 + 1 + 127 + 1 + 2 + 128);
	assert_int_equal(udptl_parse(&back, p, n), 0);
	assert_int_equal(back.seq, 0xffff);
	assert_int_equal(back.primary.n, 300);
	assert_memory_equal(back.primary.p, bytes, 300);
	assert_int_equal(back.nsecondaries, 3);
	assert_int_equal(back.secondaries[0].n, 127);
	assert_memory_equal(back.secondaries[0].p, bytes + 300, 127);
	assert_int_equal(back.secondaries[1].n, 0);
	assert_memory_equal(back.secondaries[2].p, bytes + 500, 128);
	for (size_t max = 0; max < n; max++)
		assert_int_equal(udptl_print(p, max, &u), 0);
	u.primary.n = 16384;
	assert_int_equal(udptl_print(p, sizeof(p), &u), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udptl_parse_takes_what_is_whole),
		cmocka_unit_test(test_udptl_reads_what_it_prints),
	};

	return cmocka_run_group_tests_name("udptl", tests, NULL, NULL);
}

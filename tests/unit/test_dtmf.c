/* Telephone events: reported once whatever happens to their packets, sent with three ends. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/dtmf.h"

struct packet {
	uint32_t ts;
	uint8_t event;
	bool end;
	uint16_t duration;
};

static const struct {
	const char *name, *digits; /* expected, in order */
	uint32_t ms[4];            /* and how long each was */
	struct packet p[10];       /* up to a duration of 0 */
} vectors[] = {
	{ "one digit, three ends (RFC 4733 §5)", "1", { 100 },
	  { { 1000, 1, 0, 160 }, { 1000, 1, 0, 320 }, { 1000, 1, 1, 800 }, { 1000, 1, 1, 800 }, { 1000, 1, 1, 800 } } },
	{ "only one end arrives", "#", { 100 }, { { 5, 11, 1, 800 } } },
	{ "first packets lost", "*", { 60 }, { { 5, 10, 0, 320 }, { 5, 10, 1, 480 } } },
	{ "ends disordered with the middle", "2", { 60 },
	  { { 5, 2, 0, 160 }, { 5, 2, 1, 480 }, { 5, 2, 0, 320 }, { 5, 2, 1, 480 } } },
	{ "same digit twice, told apart by timestamp", "33", { 40, 60 },
	  { { 100, 3, 0, 160 }, { 100, 3, 1, 320 }, { 100, 3, 1, 320 }, { 1000, 3, 0, 160 }, { 1000, 3, 1, 480 } } },
	{ "all ends lost: the next event tells", "45", { 40, 20 },
	  { { 100, 4, 0, 160 }, { 100, 4, 0, 320 }, { 2000, 5, 1, 160 } } },
	{ "straggler of an earlier digit", "67", { 20, 20 },
	  { { 100, 6, 1, 160 }, { 2000, 7, 0, 80 }, { 100, 6, 1, 160 }, { 2000, 7, 1, 160 } } },
	{ "timestamps wrap", "89", { 20, 20 },
	  { { 0xffffff00, 8, 0, 80 }, { 0xffffff00, 8, 1, 160 }, { 0x00000100, 9, 0, 80 }, { 0x00000100, 9, 1, 160 } } },
	{ "digit in two segments (§2.5.1.3)", "D", { 8211 },
	  { { 0, 15, 0, 65000 }, { 0, 15, 0, 65535 }, { 65535, 15, 0, 80 }, { 65535, 15, 1, 160 } } },
	{ "hook flash is no digit", "0", { 20 }, { { 1, 16, 1, 160 }, { 900, 0, 1, 160 } } },
};

static void test_dtmf_in_reports_each_digit_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct dtmf_in in = { 0 };
		char got[8] = "";
		uint32_t ms[8] = { 0 };
		size_t n = 0;

		for (size_t j = 0; j < 10 && vectors[i].p[j].duration; j++) {
			const struct packet *p = &vectors[i].p[j];
			struct dtmf_event e = { .event = p->event, .end = p->end, .duration = p->duration };
			struct dtmf_digit out[2];
			int k = dtmf_in_packet(&in, &e, p->ts, 8000, 1000 * j, out);

			for (int m = 0; m < k && n < 7; m++, n++) {
				got[n] = out[m].digit;
				ms[n] = out[m].duration_ms;
			}
		}
		if (strcmp(got, vectors[i].digits) != 0)
			fail_msg("%s: %s", vectors[i].name, got);
		for (size_t j = 0; j < n; j++) {
			if (ms[j] != vectors[i].ms[j])
				fail_msg("%s: digit %zu lasts %u", vectors[i].name, j, ms[j]);
		}
	}
}

static void test_dtmf_in_lost_end_is_noticed_by_time(void **state)
{
	struct dtmf_in in = { 0 };
	struct dtmf_event e = { .event = 5, .duration = 800 };
	struct dtmf_digit out[2];

	(void)state;
	assert_int_equal(dtmf_in_packet(&in, &e, 1, 8000, 0, out), 0);
	assert_int_equal(dtmf_in_expire(&in, 8000, DTMF_LOST_END_MS * 1000 - 1, out), 0);
	assert_int_equal(dtmf_in_expire(&in, 8000, DTMF_LOST_END_MS * 1000, out), 1);
	assert_int_equal(out[0].digit, '5');
	assert_int_equal(out[0].duration_ms, 100);
	/* and when an end does come after that, it is the same digit */
	e.end = true;
	assert_int_equal(dtmf_in_packet(&in, &e, 1, 8000, 300000, out), 0);
	assert_int_equal(dtmf_in_expire(&in, 8000, 900000, out), 0);
}

static void test_dtmf_in_reset_forgets_the_timeline(void **state)
{
	struct dtmf_in in = { 0 };
	struct dtmf_event e = { .event = 5, .end = true, .duration = 800 };
	struct dtmf_digit out[2];

	(void)state;
	assert_int_equal(dtmf_in_packet(&in, &e, 5000, 8000, 0, out), 1);
	assert_int_equal(dtmf_in_reset(&in, 8000, out), 0);
	assert_int_equal(dtmf_in_packet(&in, &e, 10, 8000, 0, out), 1); /* older, but of another source */
}

static void test_dtmf_parse_and_print_agree(void **state)
{
	static const uint8_t wire[] = { 11, 0x80 | 10, 0x03, 0x20 }; /* RFC 4733 §2.3 */
	struct dtmf_event e;
	uint8_t back[DTMF_PAYLOAD_LEN];

	(void)state;
	assert_int_equal(dtmf_parse(&e, wire, sizeof(wire)), 0);
	assert_true(e.event == 11 && e.end && e.volume == 10 && e.duration == 800);
	dtmf_print(back, &e);
	assert_memory_equal(back, wire, sizeof(wire));
	assert_int_equal(dtmf_parse(&e, wire, 3), -EBADMSG);
	assert_int_equal(dtmf_event_of('d'), 15);
	assert_int_equal(dtmf_event_of('E'), -1);
	assert_int_equal(dtmf_event_of('\0'), -1);
	assert_int_equal(dtmf_digit_of(16), 0);
}

static void test_dtmf_out_sends_three_ends_and_a_gap(void **state)
{
	static const struct { enum dtmf_out_step step; bool end; uint16_t duration; } expected[] = {
		{ DTMF_STEP_FIRST, 0, 160 }, { DTMF_STEP_MORE, 1, 320 }, { DTMF_STEP_MORE, 1, 320 },
		{ DTMF_STEP_MORE, 1, 320 },  { DTMF_STEP_WAIT, 0, 0 },   { DTMF_STEP_FIRST, 0, 160 },
		{ DTMF_STEP_MORE, 0, 320 },  { DTMF_STEP_MORE, 1, 400 },
	};
	struct dtmf_out out = { 0 };
	struct dtmf_event e;

	(void)state;
	assert_int_equal(dtmf_out_next(&out, 8000, &e), DTMF_STEP_NONE);
	assert_int_equal(dtmf_out_add(&out, '7', 10), 0); /* lengthened to the least that is heard */
	assert_int_equal(dtmf_out_add(&out, 'x', 100), -EINVAL);
	assert_int_equal(dtmf_out_add(&out, '8', 50), 0);
	for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
		enum dtmf_out_step step = dtmf_out_next(&out, 8000, &e);

		assert_int_equal(step, expected[i].step);
		if (step == DTMF_STEP_WAIT)
			continue;
		assert_int_equal(e.event, i < 5 ? 7 : 8);
		assert_int_equal(e.end, expected[i].end);
		assert_int_equal(e.duration, expected[i].duration);
	}
}

static void test_dtmf_out_queue_is_bounded(void **state)
{
	struct dtmf_out out = { 0 };

	(void)state;
	for (int i = 0; i < DTMF_QUEUE; i++)
		assert_int_equal(dtmf_out_add(&out, '1', 100), 0);
	assert_int_equal(dtmf_out_add(&out, '1', 100), -ENOBUFS);
}

static void test_dtmf_out_is_understood_by_in(void **state)
{
	static const char digits[] = "0123456789*#ABCD";
	struct dtmf_out out = { 0 };
	struct dtmf_in in = { 0 };
	struct dtmf_event e;
	enum dtmf_out_step step;
	char got[32] = "";
	size_t n = 0;
	uint32_t ts = 0xfffff000, event_ts = 0;

	(void)state;
	for (size_t i = 0; digits[i]; i++)
		assert_int_equal(dtmf_out_add(&out, digits[i], i == 3 ? 10000 : 100), 0); /* one is longer than a segment */
	while ((step = dtmf_out_next(&out, 8000, &e)) != DTMF_STEP_NONE) {
		struct dtmf_digit ended[2];
		int k;

		ts += 160;
		if (step == DTMF_STEP_WAIT)
			continue;
		if (step == DTMF_STEP_FIRST)
			event_ts = ts;
		k = dtmf_in_packet(&in, &e, event_ts, 8000, 0, ended);
		if (step == DTMF_STEP_SEGMENT)
			event_ts += e.duration;
		for (int i = 0; i < k; i++) {
			assert_in_range(ended[i].duration_ms, n == 3 ? 9980 : 100, n == 3 ? 10020 : 100);
			got[n++] = ended[i].digit;
		}
	}
	assert_string_equal(got, digits);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dtmf_in_reports_each_digit_once),
		cmocka_unit_test(test_dtmf_in_lost_end_is_noticed_by_time),
		cmocka_unit_test(test_dtmf_in_reset_forgets_the_timeline),
		cmocka_unit_test(test_dtmf_parse_and_print_agree),
		cmocka_unit_test(test_dtmf_out_sends_three_ends_and_a_gap),
		cmocka_unit_test(test_dtmf_out_queue_is_bounded),
		cmocka_unit_test(test_dtmf_out_is_understood_by_in),
	};

	return cmocka_run_group_tests_name("dtmf", tests, NULL, NULL);
}

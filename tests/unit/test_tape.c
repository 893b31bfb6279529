/* A recording's tape: whatever the order and the time packets come in, all of them are on it, where they belong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/tape.h"

#define PACKETS 250            /* 5 s of 20 ms */
#define FRAME (TAPE_HZ / 50)

struct packet {
	unsigned number;
	uint32_t ts;
	long at_ms;            /* when it comes; below 0: never */
};

/* What was taken off a tape. */
struct taken {
	int64_t end;           /* all before is known */
	int64_t silence;
	int64_t pos[PACKETS];  /* of each packet; -1: not there */
	unsigned nsound;
};

static void take(struct tape *t, bool is_end, struct taken *out)
{
	struct tape_piece p;

	while (tape_take(t, is_end, &p)) {
		assert_int_equal(p.pos, out->end);
		assert_true(p.end > p.pos);
		assert_true(p.end - p.pos <= TAPE_HZ / 1000 * TAPE_PIECE_MS);
		out->end = p.end;
		if (p.codec == CODEC_NONE) {
			out->silence += p.end - p.pos;
			continue;
		}
		assert_int_equal(p.skip, 0);
		assert_int_equal(p.len, 160);
		assert_int_equal(p.end - p.pos, FRAME);
		assert_int_equal(p.payload[159], 0xaa);
		assert_int_equal(out->pos[p.payload[0]], -1);
		out->pos[p.payload[0]] = p.pos;
		out->nsound++;
	}
}

static void put(struct tape *t, const struct packet *p, struct taken *out)
{
	uint8_t payload[160];

	memset(payload, 0xaa, sizeof(payload));
	payload[0] = (uint8_t)p->number;
	assert_int_equal(tape_put(t, CODEC_PCMU, p->ts, payload, sizeof(payload)), 0);
	take(t, false, out);
}

static int by_arrival(const void *a, const void *b)
{
	const struct packet *x = a, *y = b;

	return x->at_ms != y->at_ms ? (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms) : (x->number > y->number) - (x->number < y->number);
}

/* Lets the packets come, until all_ms. */
static void run(struct packet *p, unsigned n, long all_ms, struct taken *out)
{
	struct tape *t = tape_new();
	unsigned next = 0;

	assert_non_null(t);
	*out = (struct taken){ 0 };
	memset(out->pos, -1, sizeof(out->pos));
	qsort(p, n, sizeof(*p), by_arrival);
	for (long now_ms = 0; now_ms < all_ms; now_ms += 20) {
		tape_pass(t, 20);
		take(t, false, out);
		for (; next < n && p[next].at_ms < now_ms + 20; next++) {
			if (p[next].at_ms >= 0)
				put(t, &p[next], out);
		}
		/* Nothing is waited for longer than that. */
		assert_true(out->end >= tape_present(t) - TAPE_HZ / 1000 * TAPE_DEPTH_MS);
	}
	take(t, true, out);
	assert_int_equal(out->end, tape_present(t));
	tape_free(t);
}

static void packets_in_time(struct packet *p, uint32_t ts)
{
	for (unsigned i = 0; i < PACKETS; i++)
		p[i] = (struct packet){ .number = i, .ts = ts + 160 * i, .at_ms = 20 * (long)i + 3 };
}

/* The sender stands still again and again, then all it had to say comes at once. */
static void test_tape_bursts_lose_nothing(void **state)
{
	static const struct { const char *name; long from_ms, stall_ms, again_ms; uint32_t ts; } v[] = {
		{ "none", 0, 0, 5000, 1000 },
		{ "100 ms", 500, 100, 300, 1000 },
		{ "300 ms", 500, 300, 500, 1000 },
		{ "900 ms", 500, 900, 1500, 1000 },
		{ "900 ms, and at once again", 500, 900, 920, 1000 },
		{ "900 ms from the first packet on", 0, 900, 5000, 1000 },
		{ "300 ms, timestamps wrap", 500, 300, 500, UINT32_MAX - 160 * 100 + 1 },
		{ "900 ms, timestamps wrap in the burst", 500, 900, 5000, UINT32_MAX - 160 * 40 },
		{ "900 ms at the end of all", 4100, 900, 5000, 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct packet p[PACKETS];
		struct taken got;

		packets_in_time(p, v[i].ts);
		for (unsigned k = 0; k < PACKETS; k++) {
			for (long from = v[i].from_ms; from < 5000; from += v[i].again_ms) {
				if (p[k].at_ms >= from && p[k].at_ms < from + v[i].stall_ms)
					p[k].at_ms = from + v[i].stall_ms;
			}
		}
		run(p, PACKETS, 5200, &got);
		for (unsigned k = 0; k < PACKETS; k++) {
			if (got.pos[k] != got.pos[0] + (int64_t)k * FRAME)
				fail_msg("%s: packet %u is at %lld", v[i].name, k, (long long)got.pos[k]);
		}
		/* Silence is only what was before and behind. */
		assert_int_equal(got.silence, got.end - PACKETS * FRAME);
		assert_true(got.silence <= (5200 - 5000 + v[i].stall_ms) * TAPE_HZ / 1000);
	}
}

static void test_tape_order_and_doubles_do_not_matter(void **state)
{
	struct packet p[2 * PACKETS];
	struct taken got;

	(void)state;
	packets_in_time(p, 77);
	srand(1);
	for (unsigned i = 2; i < PACKETS; i++)
		p[i].at_ms += 60 + rand() % 800;
	p[0].at_ms = 61; /* the second before the first */
	p[1].at_ms = 60;
	/* each second one twice */
	memcpy(p + PACKETS, p, sizeof(p) / 2);
	for (unsigned i = PACKETS; i < 2 * PACKETS; i++)
		p[i].at_ms = i & 1 ? p[i].at_ms + rand() % 500 : -1;
	run(p, 2 * PACKETS, 6500, &got);
	assert_int_equal(got.nsound, PACKETS);
	for (unsigned k = 0; k < PACKETS; k++)
		assert_int_equal(got.pos[k], got.pos[0] + (int64_t)k * FRAME);
}

static void test_tape_what_never_comes_is_silence_in_its_place(void **state)
{
	struct packet p[PACKETS];
	struct taken got;
	unsigned nlost = 0;

	(void)state;
	packets_in_time(p, 77);
	for (unsigned i = 1; i < PACKETS; i++) {
		if (i % 7 == 0 || (i > 60 && i < 130)) {
			p[i].at_ms = -1;
			nlost++;
		}
	}
	run(p, PACKETS, 5000, &got);
	assert_int_equal(got.nsound, PACKETS - nlost);
	assert_int_equal(got.silence - got.pos[0], nlost * FRAME);
	for (unsigned k = 0; k < PACKETS; k++)
		assert_true(got.pos[k] == -1 || got.pos[k] == got.pos[0] + (int64_t)k * FRAME);
}

/* A sender whose timestamps stand still, jump or restart while it pauses: all it says is there, in order, in the time it came. */
static void test_tape_follows_time_where_timestamps_do_not(void **state)
{
	static const uint32_t jumps[] = { 0, 8000 * 3, 1u << 31, -8000 * 3u, -8000 * 100u };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		struct packet p[PACKETS];
		struct taken got;

		packets_in_time(p, 77);
		for (unsigned k = 100; k < PACKETS; k++) {
			p[k].at_ms += 3000;
			p[k].ts += jumps[i];
		}
		run(p, PACKETS, 8000, &got);
		assert_int_equal(got.nsound, PACKETS);
		for (unsigned k = 0; k < PACKETS; k++)
			assert_int_equal(got.pos[k], got.pos[0] + (int64_t)k * FRAME + (k < 100 ? 0 : 3 * TAPE_HZ));
	}
}

/* Without a gap nothing is kept back: an end by silence is as quick as it was said. */
static void test_tape_gives_at_once_what_follows(void **state)
{
	struct tape *t = tape_new();
	struct packet p[PACKETS];
	struct taken got = { 0 };

	(void)state;
	memset(got.pos, -1, sizeof(got.pos));
	packets_in_time(p, 5);
	for (unsigned i = 0; i < 10; i++) {
		put(t, &p[i], &got);
		assert_int_equal(got.end, (i + 1) * FRAME);
		tape_pass(t, 20);
	}
	/* one is missing: what follows waits for it, and comes with it */
	put(t, &p[11], &got);
	put(t, &p[12], &got);
	assert_int_equal(got.end, 10 * FRAME);
	put(t, &p[10], &got);
	assert_int_equal(got.end, 13 * FRAME);
	/* another source: its first packet follows */
	tape_reset(t);
	p[13].ts = 4000000000;
	put(t, &p[13], &got);
	take(t, true, &got);
	assert_int_equal(got.pos[13], 13 * FRAME);
	tape_free(t);
}

/* RFC 7587 §4.2: several frames of Opus in a packet, together longer than one can be. */
static void test_tape_opus_of_several_frames_is_kept(void **state)
{
	uint8_t payload[CODEC_UNCUT_MAX] = { 31 << 3 | 3, 2 }; /* two frames of 20 ms and one length (RFC 6716 §3.2.5) */
	struct tape *t = tape_new();
	struct tape_piece p;

	(void)state;
	assert_int_equal(tape_put(t, CODEC_OPUS, 0, payload, sizeof(payload)), 0);
	assert_true(tape_take(t, true, &p));
	assert_int_equal(p.codec, CODEC_OPUS);
	assert_int_equal(p.len, sizeof(payload));
	assert_int_equal(p.end - p.pos, 2 * FRAME);
	assert_int_equal(tape_put(t, CODEC_OPUS, 1920, payload, sizeof(payload) + 1), -EINVAL);
	tape_free(t);
}

static void test_tape_long_packets_and_nonsense(void **state)
{
	static uint8_t payload[7000];
	struct tape *t = tape_new();
	struct tape_piece p;
	int64_t end = 0;

	(void)state;
	assert_int_equal(tape_put(t, CODEC_PCMU, 0, payload, 0), -EINVAL);
	assert_int_equal(tape_put(t, CODEC_PCMU, 0, payload, 1601), -EINVAL);
	assert_int_equal(tape_put(t, CODEC_L16, 0, payload, 639), -EINVAL);
	assert_int_equal(tape_put(t, CODEC_NONE, 0, payload, 160), -EINVAL);
	assert_int_equal(tape_put(t, CODEC_L16, 960, payload, 1920), 0); /* 60 ms */
	for (unsigned i = 0; i < 3; i++) {
		assert_true(tape_take(t, false, &p));
		assert_int_equal(p.len, 640);
		assert_int_equal(p.pos, end);
		end = p.end;
	}
	assert_int_equal(end, 3 * FRAME);
	/* the same time in other packets: only what is new of them */
	assert_int_equal(tape_put(t, CODEC_L16, 960 + 480, payload, 1920), 0);
	assert_true(tape_take(t, false, &p));
	assert_int_equal(p.pos, end);
	assert_int_equal(p.skip, FRAME / 2);
	/* a gap, and more behind it than there is room for: it is waited for no longer */
	for (unsigned i = 0; i < 400; i++) {
		assert_int_equal(tape_put(t, CODEC_L16, 10000 + 80 * i, payload, 160), 0);
		while (tape_take(t, false, &p))
			end = p.end;
	}
	while (tape_take(t, true, &p))
		end = p.end;
	assert_int_equal(end, tape_present(t));
	assert_int_equal(end, (int64_t)(10000 - 960 + 80 * 400) * 3);
	tape_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tape_bursts_lose_nothing),
		cmocka_unit_test(test_tape_order_and_doubles_do_not_matter),
		cmocka_unit_test(test_tape_what_never_comes_is_silence_in_its_place),
		cmocka_unit_test(test_tape_follows_time_where_timestamps_do_not),
		cmocka_unit_test(test_tape_gives_at_once_what_follows),
		cmocka_unit_test(test_tape_opus_of_several_frames_is_kept),
		cmocka_unit_test(test_tape_long_packets_and_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

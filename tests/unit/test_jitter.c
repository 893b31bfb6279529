/* The live jitter buffer: what it does with packets that come in a burst. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <spandsp.h>

#include "base/str.h"
#include "media/jitter.h"

#define PACKETS 100

/* The sender stands still for stall_ms after a second, then sends at once what it had to say meanwhile. Returns how much was played. */
static unsigned played_ms(unsigned stall_ms, unsigned lost, struct jitter_stats *stats)
{
	struct jitter *j = jitter_new(CODEC_PCMU, 8000);
	unsigned next = 0, sound = 0;

	assert_non_null(j);
	for (unsigned now_ms = 0; now_ms < PACKETS * 20 + 500; now_ms += 10) {
		uint8_t payload[160];
		int16_t pcm[80];

		for (; next < PACKETS && next * 20 <= now_ms; next++) {
			if (now_ms >= 1000 && now_ms < 1000 + stall_ms)
				break;
			memset(payload, (int)(0x20 + next % 16), sizeof(payload));
			if (next != lost)
				assert_int_equal(jitter_put(j, 5000 + 160 * next, payload, sizeof(payload)), 0);
		}
		sound += jitter_get(j, pcm) == JITTER_SOUND ? 10 : 0;
	}
	jitter_get_stats(j, stats);
	jitter_free(j);
	return sound;
}

static void test_jitter_burst_is_played_whole(void **state)
{
	(void)state;
	/* Within the delay; a little longer than it, when we conceal already; and so long that it was taken for a pause. */
	for (unsigned stall_ms = 0; stall_ms <= 160; stall_ms += 10) {
		struct jitter_stats stats;
		unsigned ms = played_ms(stall_ms, PACKETS, &stats);

		/* What a longer delay than the target costs is jumped over, a frame at a time. */
		if (ms + 10 * stats.overrun != PACKETS * 20)
			fail_msg("stall of %u ms: %u ms played, %u jumps", stall_ms, ms, stats.overrun);
		assert_true(stats.delay_ms <= JITTER_MAX_MS);
	}
}

/* Who stood still while he was silent is heard whole when he speaks half a second later: the delay has shrunk in the pause. */
static void test_jitter_catches_up_in_a_pause(void **state)
{
	(void)state;
	for (unsigned stall_ms = 100; stall_ms <= 300; stall_ms += 20) {
		struct jitter *j = jitter_new(CODEC_PCMU, 8000);
		struct jitter_stats stats, before;
		unsigned next = 0, loud = 0, speaks_at = (1000 + stall_ms + 600) / 20;

		assert_non_null(j);
		for (unsigned now_ms = 0; now_ms < 2 * PACKETS * 20 + 500; now_ms += 10) {
			uint8_t payload[160];
			int16_t pcm[80];

			for (; next < 2 * PACKETS && next * 20 <= now_ms && (now_ms < 1000 || now_ms >= 1000 + stall_ms); next++) {
				memset(payload, next < speaks_at ? 0xff : 0x20, sizeof(payload));
				assert_int_equal(jitter_put(j, 5000 + 160 * next, payload, sizeof(payload)), 0);
			}
			if (now_ms == speaks_at * 20)
				jitter_get_stats(j, &before);
			loud += jitter_get(j, pcm) == JITTER_SOUND && pcm[40] != 0 ? 10 : 0;
		}
		jitter_get_stats(j, &stats);
		jitter_free(j);
		if (loud != (2 * PACKETS - speaks_at) * 20 || stats.overrun != before.overrun)
			fail_msg("stall of %u ms: %u ms of %u heard, %u frames left out, %u before", stall_ms, loud,
				 (2 * PACKETS - speaks_at) * 20, stats.overrun, before.overrun);
		assert_true(before.overrun >= (stall_ms - 100) / 10 - 2 || stall_ms < 140);
	}
}

static void test_jitter_lost_packet_is_concealed_in_place(void **state)
{
	struct jitter_stats stats;

	(void)state;
	assert_int_equal(played_ms(0, 20, &stats), PACKETS * 20 - 20);
	assert_true(stats.concealed_ms >= 20);
	assert_int_equal(stats.late, 0);
}

/* RFC 3389: who is silent says how silent; what doesn't come then is that noise, and no loss, until he speaks again. */
/* Wherever its timestamp jumps to, the next packet is the first of a new stream, not one that is too late. */
static void test_jitter_timestamp_that_jumps_begins_anew(void **state)
{
	static const uint32_t jumps[] = { 80000, 0x7fffffff, 0x80000000, 0x80000001, 0u - 80000 };
	uint8_t payload[160];

	(void)state;
	memset(payload, 0x20, sizeof(payload));
	for (size_t i = 0; i < ARRAY_LEN(jumps); i++) {
		struct jitter *j = jitter_new(CODEC_PCMU, 8000);
		struct jitter_stats stats;
		int16_t pcm[80];
		unsigned sound = 0;

		assert_non_null(j);
		for (uint32_t k = 0; k < 10; k++)
			assert_int_equal(jitter_put(j, 5000 + 160 * k, payload, sizeof(payload)), 0);
		assert_int_equal(jitter_get(j, pcm), JITTER_SOUND);
		for (uint32_t k = 0; k < 10; k++) /* 5080 is due */
			assert_int_equal(jitter_put(j, 5080 + jumps[i] + 160 * k, payload, sizeof(payload)), 0);
		for (unsigned k = 0; k < 25; k++)
			sound += jitter_get(j, pcm) == JITTER_SOUND;
		assert_int_equal(sound, 20);
		jitter_get_stats(j, &stats);
		assert_int_equal(stats.late, 0);
		jitter_free(j);
	}
}

static void test_jitter_comfort_noise_fills_a_pause(void **state)
{
	static const struct { unsigned level; double low, high; } v[] = { { 30, 800, 1300 }, { 50, 70, 140 }, { 70, 2, 20 } };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(v); k++) {
		struct jitter *j = jitter_new(CODEC_PCMU, 8000);
		struct jitter_stats stats;
		uint8_t payload[160];
		unsigned noisy = 0, loud = 0;
		double power = 0;

		memset(payload, 0x20, sizeof(payload));
		for (unsigned now = 0; now < 150; now++) {
			int16_t pcm[80];

			if (now < 20 || now >= 100)
				assert_int_equal(jitter_put(j, 5000 + 160 * now, payload, sizeof(payload)), 0);
			else if (now == 20)
				jitter_put_noise(j, 5000 + 160 * now, v[k].level);
			for (unsigned half = 0; half < 2; half++) {
				enum jitter_frame f = jitter_get(j, pcm);

				loud += f == JITTER_SOUND;
				if (now < 30 || now >= 100)
					continue;
				assert_int_equal(f, JITTER_CONCEALED);
				noisy++;
				for (unsigned i = 0; i < 80; i++)
					power += pcm[i] * (double)pcm[i] / 80;
			}
		}
		power = sqrt(power / noisy);
		if (power < v[k].low || power > v[k].high)
			fail_msg("-%u dBov: %.1f", v[k].level, power);
		assert_in_range(loud, 2 * 70 - 8, 2 * 70);
		jitter_get_stats(j, &stats);
		assert_int_equal(stats.concealed_ms, 0);
		jitter_free(j);
	}
}

/* Opus through the buffer at 16 kHz: packets of 20 ms, of which every tenth is lost. */
static void opus_with_losses(bool fec, struct jitter_stats *stats)
{
	struct encoder *e = encoder_new(CODEC_OPUS, 16000);
	struct jitter *j = jitter_new(CODEC_OPUS, 16000);
	struct opus_params p = { .fec = fec };
	unsigned sound = 0;

	encoder_tune(e, &p, 20);
	for (unsigned next = 0; next < PACKETS; next++) {
		uint8_t payload[CODEC_PAYLOAD_MAX];
		int16_t said[320], heard[160];
		size_t len;

		for (unsigned i = 0; i < 320; i++)
			said[i] = (int16_t)(((next * 320 + i) % 107) * 150 - 8000);
		len = encoder_run(e, said, 320, payload, sizeof(payload));
		if (next % 10 != 5)
			assert_int_equal(jitter_put(j, 5000 + 960 * next, payload, len), 0);
		sound += jitter_get(j, heard) == JITTER_SOUND;
		sound += jitter_get(j, heard) == JITTER_SOUND;
	}
	for (unsigned i = 0; i < 4; i++) {
		int16_t heard[160];

		sound += jitter_get(j, heard) == JITTER_SOUND;
	}
	assert_in_range(sound, 2 * PACKETS - 6, 2 * PACKETS);
	jitter_get_stats(j, stats);
	jitter_free(j);
	encoder_free(e);
}

/* RFC 6716 §2.1.7: the packet behind a loss says what it was. What is told isn't counted as made up. */
static void test_jitter_opus_tells_what_was_lost(void **state)
{
	struct jitter_stats stats;

	(void)state;
	opus_with_losses(true, &stats);
	assert_int_equal(stats.recovered_ms, PACKETS / 10 * 20);
	assert_int_equal(stats.concealed_ms, 0);
	assert_int_equal(stats.late, 0);
}

/* RFC 7587 §3.1.3: a sender in DTX leaves out what it has announced as silence; that is no loss, and what follows needs no delay
 * of its own. */
static void test_jitter_opus_pause_is_no_loss(void **state)
{
	struct encoder *e = encoder_new(CODEC_OPUS, 16000);
	struct jitter *j = jitter_new(CODEC_OPUS, 16000);
	struct opus_params p = { .dtx = true };
	struct jitter_stats stats;
	unsigned idle = 0, sent = 0;

	(void)state;
	encoder_tune(e, &p, 0);
	for (unsigned next = 0; next < 200; next++) {
		uint8_t payload[CODEC_PAYLOAD_MAX];
		int16_t said[320] = { 0 }, heard[160];
		bool speaks = next < 50 || next >= 150;
		size_t len;

		for (unsigned i = 0; speaks && i < 320; i++)
			said[i] = (int16_t)(((next * 320 + i) % 107) * 150 - 8000);
		len = encoder_run(e, said, 320, payload, sizeof(payload));
		sent += len > 0;
		if (len)
			assert_int_equal(jitter_put(j, 5000 + 960 * next, payload, len), 0);
		for (unsigned i = 0; i < 2; i++)
			idle += jitter_get(j, heard) == JITTER_IDLE && next > 5;
	}
	jitter_get_stats(j, &stats);
	assert_true(sent < 150);
	assert_int_equal(idle, 0);
	assert_true(stats.concealed_ms <= 100);
	assert_int_equal(stats.late, 0);
	jitter_free(j);
	encoder_free(e);
}

/* What can't be cut is kept whole: 60 and 120 ms in one packet (RFC 6716 §2.1.4, §3.2). */
static void test_jitter_opus_long_packets_are_played_whole(void **state)
{
	struct encoder *e = encoder_new(CODEC_OPUS, 8000);
	struct jitter *j = jitter_new(CODEC_OPUS, 8000);
	unsigned sound = 0;

	(void)state;
	for (unsigned next = 0; next < 20; next++) {
		uint8_t payload[CODEC_PAYLOAD_MAX];
		int16_t said[480], heard[80];
		size_t len;

		for (unsigned i = 0; i < 480; i++)
			said[i] = (int16_t)(((next * 480 + i) % 61) * 200 - 6000);
		len = encoder_run(e, said, 480, payload, sizeof(payload));
		assert_int_equal(codec_units(codec_get(CODEC_OPUS), payload, len), 2880);
		assert_int_equal(jitter_put(j, 77 + 2880 * next, payload, len), 0);
		for (unsigned i = 0; i < 6; i++)
			sound += jitter_get(j, heard) == JITTER_SOUND;
	}
	assert_in_range(sound, 20 * 6 - 8, 20 * 6);
	jitter_free(j);
	encoder_free(e);
}

/* ---- what networks do ---- */

/* Packet k of 20 ms, of a sound that isn't silence, at a time of ours; the timestamps wrap in the midst of it. */
#define WRAPS_FROM (0u - 160 * 250)

struct sender {
	unsigned n;              /* packets */
	double rate;             /* its clock to ours: 1 + 300e-6 is slow */
	unsigned late_every, late_ms; /* each so many comes so much later: out of order, if that is more than 20 */
	bool doubles;            /* each comes twice */
	unsigned spurt, pause;   /* packets said, and packets' time of silence that is not sent; 0: no pauses */
};

static bool is_said(const struct sender *s, unsigned k)
{
	return !s->spurt || k % (s->spurt + s->pause) < s->spurt;
}

/* What is left of it. most_ms: the longest delay in its last half. */
static struct jitter_stats hear(const struct sender *s, unsigned *sound_ms, unsigned *most_ms)
{
	struct jitter *j = jitter_new(CODEC_PCMU, 8000);
	struct jitter_stats stats;
	unsigned length_ms = (unsigned)(s->n * 20 * s->rate);

	assert_non_null(j);
	*sound_ms = *most_ms = 0;
	for (unsigned now_ms = 0; now_ms < length_ms + 400; now_ms += 10) {
		unsigned about = (unsigned)(now_ms / 20 / s->rate);
		int16_t pcm[80];

		for (unsigned k = about > 20 ? about - 20 : 0; k <= about + 1 && k < s->n; k++) {
			double at = k * 20 * s->rate + (s->late_every && k % s->late_every == 0 ? s->late_ms : 0);
			uint8_t payload[160];

			if (!is_said(s, k) || at > now_ms || at <= now_ms - 10.0)
				continue;
			memset(payload, 0x20 + (int)(k % 16), sizeof(payload));
			for (int i = 0; i <= s->doubles; i++)
				assert_int_equal(jitter_put(j, WRAPS_FROM + 160 * k, payload, sizeof(payload)), 0);
		}
		if (jitter_get(j, pcm) != JITTER_SOUND)
			continue;
		*sound_ms += 10;
		jitter_get_stats(j, &stats);
		if (now_ms > length_ms / 2 && now_ms < length_ms) {
			double heard_ms = ((uint32_t)(stats.next_ts - WRAPS_FROM) / 8.0 - 10) * s->rate;

			if (now_ms > heard_ms && now_ms - heard_ms > *most_ms)
				*most_ms = (unsigned)(now_ms - heard_ms);
		}
	}
	jitter_get_stats(j, &stats);
	jitter_free(j);
	return stats;
}

/* What no network may cost: rows of it, and the most of made up sound and delay that they may lead to. */
static void test_jitter_network_costs_no_more_than_it_must(void **state)
{
	static const struct { const char *name; struct sender s; unsigned concealed_ms, late, cut, delay_ms; } rows[] = {
		{ "as sent", { .n = 500, .rate = 1 }, 0, 0, 0, 60 },
		{ "twice", { .n = 500, .rate = 1, .doubles = true }, 0, 0, 0, 60 },
		{ "reordered", { .n = 500, .rate = 1, .late_every = 10, .late_ms = 30 }, 0, 0, 0, 60 },
		{ "later than the delay", { .n = 1000, .rate = 1, .late_every = 10, .late_ms = 90 }, 120, 8, 8, 150 },
		/* a frame each 33 s, ten minutes long */
		{ "300 ppm fast", { .n = 30000, .rate = 1 - 300e-6 }, 0, 0, 18, 110 },
		{ "300 ppm slow", { .n = 30000, .rate = 1 + 300e-6 }, 240, 24, 0, 60 },
		{ "pauses", { .n = 2000, .rate = 1, .spurt = 30, .pause = 25 }, 0, 0, 0, 60 },
		{ "pauses, reordered", { .n = 2000, .rate = 1, .spurt = 30, .pause = 25, .late_every = 7, .late_ms = 30 }, 60, 4, 0, 80 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct sender *s = &rows[i].s;
		unsigned sound_ms, most_ms, said_ms = 0;
		struct jitter_stats stats = hear(s, &sound_ms, &most_ms);

		for (unsigned k = 0; k < s->n; k++)
			said_ms += is_said(s, k) ? 20 : 0;
		if (stats.concealed_ms > rows[i].concealed_ms || stats.late > rows[i].late || stats.overrun > rows[i].cut || most_ms > rows[i].delay_ms)
			fail_msg("%s: %u ms made up, %u late, %u cut, delay %u ms", rows[i].name, stats.concealed_ms, stats.late, stats.overrun, most_ms);
		if (sound_ms + 10 * stats.overrun + stats.concealed_ms + 20 * stats.late < said_ms || sound_ms > said_ms)
			fail_msg("%s: %u ms of %u heard", rows[i].name, sound_ms, said_ms);
	}
}

/* A bad quarter of a minute isn't paid for with delay ever after: the packets show that less will do. */
static void test_jitter_delay_shrinks_when_packets_come_together_again(void **state)
{
	struct jitter *j = jitter_new(CODEC_PCMU, 8000);
	struct jitter_stats stats;
	unsigned at_worst = 0;

	(void)state;
	assert_non_null(j);
	for (unsigned now_ms = 0, k = 0; now_ms < 30000; now_ms += 10) {
		int16_t pcm[80];

		for (; k * 20 <= now_ms && !(now_ms < 5000 && now_ms % 1000 >= 200 && now_ms % 1000 < 300); k++) {
			uint8_t payload[160];

			memset(payload, k % 10 ? 0x20 : 0xff, sizeof(payload));
			assert_int_equal(jitter_put(j, 160 * k, payload, sizeof(payload)), 0);
		}
		jitter_get(j, pcm);
		jitter_get_stats(j, &stats);
		assert_true(stats.delay_ms <= JITTER_MAX_MS);
		if (stats.delay_ms > at_worst)
			at_worst = stats.delay_ms;
	}
	assert_true(at_worst >= 70);
	assert_in_range(stats.delay_ms, JITTER_MIN_MS, JITTER_START_MS);
	jitter_free(j);
}

/* Whatever comes, the delay has an end. */
static void test_jitter_delay_is_bounded(void **state)
{
	struct jitter *j = jitter_new(CODEC_PCMU, 8000);
	struct jitter_stats stats;
	uint32_t chance = 1;

	(void)state;
	assert_non_null(j);
	for (unsigned k = 0; k < 20000; k++) {
		uint8_t payload[160];
		int16_t pcm[80];

		memset(payload, 0x20, sizeof(payload));
		chance = chance * 1664525 + 1013904223;
		if (chance >> 30)
			assert_int_equal(jitter_put(j, 80 * k - 8 * (chance >> 20 & 0x3ff), payload, sizeof(payload)), 0);
		jitter_get(j, pcm);
		jitter_get_stats(j, &stats);
		assert_in_range(stats.delay_ms, JITTER_MIN_MS, JITTER_MAX_MS);
	}
	assert_true(stats.late > 0);
	assert_true(stats.concealed_ms <= stats.heard_ms);
	jitter_free(j);
}

/* Data: each 20 ms come out as they went in, at one delay, whatever the network does; what is lost, or too late, is silence in its place. */
static void test_jitter_fixed_delay_never_stretches_or_makes_up(void **state)
{
	static const unsigned held[] = { 0, 20, 60, 80, 0, 40, 90, 10, 0, 70 }; /* ms that packets are under way beyond the first one's */
	struct jitter *j = jitter_new(CODEC_PCMA, 8000);
	struct jitter_stats stats;
	unsigned silent = 0;

	(void)state;
	assert_non_null(j);
	jitter_fix(j, JITTER_DATA_MS);
	assert_true(jitter_is_fixed(j));
	for (unsigned now_ms = 0; now_ms < 20000; now_ms += 10) {
		int16_t pcm[80];
		unsigned at = now_ms - JITTER_DATA_MS;

		for (unsigned k = 0; k <= now_ms / 20 && k < 20; k++) { /* those that come now: each but the 100th, the 200th takes 300 ms */
			unsigned i = now_ms / 20 - k, late = i == 200 ? 300 : held[i % 10];
			uint8_t payload[160];

			if (i * 20 + late != now_ms || i == 100)
				continue;
			memset(payload, (int)(0x80 + i % 100), sizeof(payload));
			assert_int_equal(jitter_put(j, 160 * i, payload, sizeof(payload)), 0);
		}
		if (jitter_get(j, pcm) != JITTER_SOUND) {
			for (unsigned i = 0; i < 80; i++)
				assert_int_equal(pcm[i], 0);
			assert_true(now_ms < JITTER_DATA_MS || at / 20 == 100 || at / 20 == 200);
			silent += now_ms >= JITTER_DATA_MS ? 10 : 0;
			continue;
		}
		for (unsigned i = 0; i < 80; i++)
			assert_int_equal(pcm[i], alaw_to_linear((uint8_t)(0x80 + at / 20 % 100)));
	}
	jitter_get_stats(j, &stats);
	assert_int_equal(silent, 40);
	assert_int_equal(stats.delay_ms, JITTER_DATA_MS);
	assert_int_equal(stats.late, 1);
	assert_int_equal(stats.overrun, 0);
	jitter_free(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jitter_burst_is_played_whole),
		cmocka_unit_test(test_jitter_catches_up_in_a_pause),
		cmocka_unit_test(test_jitter_lost_packet_is_concealed_in_place),
		cmocka_unit_test(test_jitter_timestamp_that_jumps_begins_anew),
		cmocka_unit_test(test_jitter_comfort_noise_fills_a_pause),
		cmocka_unit_test(test_jitter_network_costs_no_more_than_it_must),
		cmocka_unit_test(test_jitter_delay_shrinks_when_packets_come_together_again),
		cmocka_unit_test(test_jitter_delay_is_bounded),
		cmocka_unit_test(test_jitter_fixed_delay_never_stretches_or_makes_up),
		cmocka_unit_test(test_jitter_opus_tells_what_was_lost),
		cmocka_unit_test(test_jitter_opus_pause_is_no_loss),
		cmocka_unit_test(test_jitter_opus_long_packets_are_played_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

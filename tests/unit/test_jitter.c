/* The live jitter buffer: what it does with packets that come in a burst. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jitter_burst_is_played_whole),
		cmocka_unit_test(test_jitter_catches_up_in_a_pause),
		cmocka_unit_test(test_jitter_lost_packet_is_concealed_in_place),
		cmocka_unit_test(test_jitter_timestamp_that_jumps_begins_anew),
		cmocka_unit_test(test_jitter_comfort_noise_fills_a_pause),
		cmocka_unit_test(test_jitter_opus_tells_what_was_lost),
		cmocka_unit_test(test_jitter_opus_pause_is_no_loss),
		cmocka_unit_test(test_jitter_opus_long_packets_are_played_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The live jitter buffer: what it does with packets that come in a burst. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jitter_burst_is_played_whole),
		cmocka_unit_test(test_jitter_catches_up_in_a_pause),
		cmocka_unit_test(test_jitter_lost_packet_is_concealed_in_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

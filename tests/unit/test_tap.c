/* A source of a recording: where what was said lies in it, whatever its packets' way was like. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/tap.h"
#include "media/tape.h"

#define RATE 8000
#define SECONDS 400
#define BEGIN_US 5000000000ull
#define FRAME 160

static int16_t heard[RATE * (SECONDS + 2)];
static size_t end;               /* of what was given */

static void on_sound(void *arg, int64_t at, const int16_t *pcm, size_t n)
{
	(void)arg;
	assert_true(at >= 0 && (size_t)at + n <= ARRAY_LEN(heard));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(heard[(size_t)at + i], 0); /* nothing is given twice */
		heard[(size_t)at + i] = pcm[i];
	}
	end = (size_t)at + n;
}

/* A packet of L16: a click in its middle each half second, else a low hum, or nothing in the pauses: the second half of each second. */
static void speak(uint8_t *payload, unsigned number)
{
	for (unsigned i = 0; i < FRAME; i++) {
		int16_t s = number % 50 < 25 ? (int16_t)((i & 16) ? 600 : -600) : 1;

		if (number % 25 == 12 && i == FRAME / 2)
			s = 30000;
		payload[2 * i] = (uint8_t)((uint16_t)s >> 8);
		payload[2 * i + 1] = (uint8_t)s;
	}
}

struct way {
	const char *name;
	double ppm;              /* how much faster the sender's clock runs than ours */
	uint32_t (*late_ms)(unsigned number); /* what a packet is late by; UINT32_MAX: never comes */
	unsigned seconds;
	double off_ms;           /* a click may be off by so much */
	bool is_anew;            /* a new source, other timestamps, in the middle */
};

static uint32_t on_time(unsigned number) { (void)number; return 0; }
static uint32_t first_is_late(unsigned number) { return number == 0 ? 90 : 0; }
static uint32_t wild(unsigned number) { return number * 7919 % 61 == 0 ? UINT32_MAX : number * 2654435761u % 83; }
static uint32_t bursts(unsigned number) { return number % 50 >= 30 ? (50 - number % 50) * 20 : 0; }

static const struct way ways[] = {
	{ "on time", 0, on_time, 10, 1, false },
	{ "the first one is late", 0, first_is_late, 10, 10, false },
	{ "late by 0 to 82 ms, some lost", 0, wild, 20, 10, false },
	{ "400 ms at once", 0, bursts, 20, 10, false },
	{ "a fast clock", 300, on_time, SECONDS, 12, false },
	{ "a slow clock", -300, on_time, SECONDS, 12, false },
	{ "a slow clock, late packets", -300, wild, 200, 15, false },
	{ "another source", 0, wild, 20, 10, true },
};

struct arrival { uint64_t at_us; unsigned number; };

static int by_time(const void *a, const void *b)
{
	const struct arrival *x = a, *y = b;

	return x->at_us != y->at_us ? (x->at_us > y->at_us) - (x->at_us < y->at_us) : (x->number > y->number) - (x->number < y->number);
}

/* Lets the packets come and reads meanwhile; returns how many there were. */
static unsigned run(const struct way *w)
{
	struct tap *t = tap_new(BEGIN_US, BEGIN_US, RATE, TAP_RING);
	unsigned all = w->seconds * 50, n = 0, next = 0;
	struct arrival *in = calloc(all, sizeof(*in));
	bool was_reset = false;

	assert_true(t && in);
	memset(heard, 0, sizeof(heard));
	end = 0;
	for (unsigned i = 0; i < all; i++) {
		uint32_t late = w->late_ms(i);

		if (late != UINT32_MAX) /* a packet leaves when it has been said */
			in[n++] = (struct arrival){ BEGIN_US + (uint64_t)((i + 1) * 20000 / (1 + w->ppm / 1e6)) + late * 1000, i };
	}
	qsort(in, n, sizeof(*in), by_time);
	for (uint64_t ms = 0; ms <= w->seconds * 1000 + 2000; ms += 200) {
		for (; next < n && in[next].at_us < BEGIN_US + ms * 1000; next++) {
			uint8_t payload[FRAME * 2];
			bool is_other = w->is_anew && in[next].number >= all / 2;

			if (is_other && !was_reset) {
				tap_reset(t, in[next].at_us);
				was_reset = true;
			}
			if (was_reset && !is_other)
				continue; /* of the old source, which is gone */
			speak(payload, in[next].number);
			tap_packet(t, in[next].at_us, CODEC_L16_8, in[next].number * FRAME + 0xfffff000 + (is_other ? 77777 : 0), payload,
				   sizeof(payload));
		}
		tap_read(t, (int64_t)ms * (TAPE_HZ / 1000), false, on_sound, NULL);
	}
	tap_finish(t, BEGIN_US + w->seconds * 1000000ull);
	tap_read(t, (int64_t)(w->seconds + 2) * TAPE_HZ, true, on_sound, NULL);
	assert_true(tap_is_through(t));
	assert_int_equal(tap_lost_ms(t), 0);
	tap_free(t);
	free(in);
	return n;
}

static void test_tap_sound_lies_where_it_was_said(void **state)
{
	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
		const struct way *w = &ways[k];
		unsigned found = 0, expected = 0;

		run(w);
		for (unsigned i = 12; i < w->seconds * 50; i += 25) {
			double said = (i * FRAME + FRAME / 2) / (1 + w->ppm / 1e6);
			size_t from = said > 800 ? (size_t)said - 800 : 0;
			double off = 0;

			if (w->late_ms(i) == UINT32_MAX)
				continue;
			expected++;
			for (size_t at = from; at < from + 1600; at++) {
				if (heard[at] > 20000) {
					off = ((double)at - said) * 1000 / RATE;
					found++;
					break;
				}
			}
			if (fabs(off) > w->off_ms)
				fail_msg("%s: %u ms: off by %f ms", w->name, i * 20, off);
		}
		if (found + 2 < expected || expected < w->seconds * 18 / 10)
			fail_msg("%s: %u of %u", w->name, found, expected);
	}
}

static void test_tap_without_room_loses_sound_not_time(void **state)
{
	struct tap *t = tap_new(BEGIN_US, BEGIN_US, RATE, 4096);
	uint8_t payload[FRAME * 2];
	uint32_t lost;

	(void)state;
	memset(heard, 0, sizeof(heard));
	for (unsigned i = 0; i < 100; i++) { /* two seconds, of which nothing is read: the disk stands still */
		speak(payload, i);
		tap_packet(t, BEGIN_US + (i + 1) * 20000, CODEC_L16_8, i * FRAME, payload, sizeof(payload));
	}
	lost = tap_lost_ms(t);
	assert_int_equal(lost, 2000 - 4096 / (320 + 16) * 20);
	tap_read(t, 2 * TAPE_HZ, false, on_sound, NULL);
	for (unsigned i = 100; i < 150; i++) {
		speak(payload, i);
		tap_packet(t, BEGIN_US + (i + 1) * 20000, CODEC_L16_8, i * FRAME, payload, sizeof(payload));
		tap_read(t, (int64_t)(i + 2) * TAPE_HZ / 50, false, on_sound, NULL);
	}
	tap_finish(t, BEGIN_US + 3000000);
	tap_read(t, 3 * TAPE_HZ, false, on_sound, NULL);
	assert_true(tap_is_through(t));
	assert_int_equal(tap_lost_ms(t), lost);
	assert_in_range(end, 3 * RATE - 80, 3 * RATE + 80);
	for (size_t i = 3000; i < 2 * RATE - 200; i++)
		assert_int_equal(heard[i], 0);
	assert_true(heard[112 * FRAME + FRAME / 2] > 20000);
	tap_free(t);
}

static void test_tap_takes_sound_of_a_mixer(void **state)
{
	static const uint32_t rates[] = { 8000, 16000, 48000 };

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(rates); k++) {
		struct tap *t = tap_new(BEGIN_US, BEGIN_US + 500000, RATE, TAP_RING_WIDE);
		int16_t pcm[960];
		uint32_t n = rates[k] / 50;
		double power = 0;

		memset(heard, 0, sizeof(heard));
		for (unsigned i = 0; i < 50; i++) {
			for (unsigned s = 0; s < n; s++)
				pcm[s] = (int16_t)(8000 * sin(2 * M_PI * 400 * (i * n + s) / rates[k]));
			tap_pcm(t, BEGIN_US + 500000 + (i + 1) * 20000, pcm, n, rates[k]);
		}
		tap_finish(t, BEGIN_US + 1500000);
		tap_read(t, 2 * TAPE_HZ, false, on_sound, NULL);
		assert_true(tap_is_through(t));
		assert_in_range(end, 12000 - 40, 12000 + 40);
		for (size_t i = 0; i < 3960; i++)
			assert_int_equal(heard[i], 0);
		for (size_t i = 4200; i < 11800; i++)
			power += (double)heard[i] * heard[i];
		assert_in_range(sqrt(power / 7600), 5500, 5800);
		tap_free(t);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tap_sound_lies_where_it_was_said),
		cmocka_unit_test(test_tap_without_room_loses_sound_not_time),
		cmocka_unit_test(test_tap_takes_sound_of_a_mixer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

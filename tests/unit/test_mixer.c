/* The arithmetic of a mix: who is heard, what each hears, the limiter, talk detection, and packets that many share. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/limiter.h"
#include "media/mixer.h"
#include "media/outlet.h"

#define N8 160
#define N48 960
#define VOICES 12

struct room {
	struct mixer *mixer;
	struct mixer_desk *desk;
	struct mixer_voice voice[VOICES];
	unsigned n, nspeakers;
	uint32_t random;
};

static int16_t said[VOICES][N48];

static struct room *room_new(unsigned nvoices, unsigned nspeakers)
{
	struct room *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->mixer = mixer_new(nspeakers);
	r->desk = mixer_desk_new();
	assert_true(r->mixer && r->desk);
	r->random = 1;
	for (r->n = 0; r->n < nvoices; r->n++) {
		mixer_voice_init(&r->voice[r->n]);
		mixer_enter(r->mixer, &r->voice[r->n]);
	}
	return r;
}

static void room_free(struct room *r)
{
	for (unsigned i = 0; i < r->n; i++)
		mixer_leave(r->mixer, &r->voice[i]);
	mixer_free(r->mixer);
	mixer_desk_free(r->desk);
	free(r);
}

static void noise(struct room *r, int16_t *pcm, size_t n, int loudness)
{
	for (size_t i = 0; i < n; i++) {
		r->random = r->random * 1664525 + 1013904223;
		pcm[i] = (int16_t)((int)(r->random >> 16) % (2 * loudness + 1) - loudness);
	}
}

/* Voice i says noise of loudness[i]; 0: nothing has come. */
static void frame_8k(struct room *r, const int *loudness, unsigned rates)
{
	mixer_begin(r->mixer, r->desk, rates);
	for (unsigned i = 0; i < r->n; i++) {
		noise(r, said[i], N8, loudness[i]);
		if (loudness[i])
			mixer_say(r->mixer, &r->voice[i], said[i], N8, 8000);
		else
			mixer_silent(r->mixer, &r->voice[i]);
	}
	mixer_sum(r->mixer);
}

/* Is sum that of the voices in the set, bit 1 << i? */
static bool is_sum_of(const int32_t *sum, unsigned set)
{
	for (size_t k = 0; k < N8; k++) {
		int32_t want = 0;

		for (unsigned i = 0; i < VOICES; i++)
			want += set >> i & 1 ? said[i][k] : 0;
		if (sum[k] != want)
			return false;
	}
	return true;
}

/* ---- who hears what ---- */

static void test_mixer_each_hears_all_but_himself(void **state)
{
	const int loudness[] = { 6000, 3000, 9000 };
	struct room *r = room_new(3, 0);

	(void)state;
	for (unsigned f = 0; f < 5; f++) {
		frame_8k(r, loudness, 1 << MIXER_8K);
		if (f == 0)
			continue; /* it is faded in */
		assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 7));
		for (unsigned i = 0; i < 3; i++)
			assert_true(is_sum_of(mixer_but(r->mixer, &r->voice[i], MIXER_8K), 7 & ~(1u << i)));
	}
	room_free(r);
}

static void test_mixer_sums_only_the_loudest(void **state)
{
	int loudness[VOICES];
	struct room *r = room_new(VOICES, 3);

	(void)state;
	for (unsigned i = 0; i < VOICES; i++)
		loudness[i] = 500 + 300 * (int)((i * 5) % VOICES); /* the loudest: 7, 2, 9 */
	for (unsigned f = 0; f < 10; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 1 << 7 | 1 << 2 | 1 << 9));
	assert_true(is_sum_of(mixer_but(r->mixer, &r->voice[2], MIXER_8K), 1 << 7 | 1 << 9));
	assert_ptr_equal(mixer_but(r->mixer, &r->voice[0], MIXER_8K), mixer_all(r->mixer, MIXER_8K));

	loudness[0] = 6000; /* not 6 dB louder than the softest of them: 3,200 */
	for (unsigned f = 0; f < 10; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 1 << 7 | 1 << 2 | 1 << 9));
	loudness[0] = 9000;
	for (unsigned f = 0; f < 10; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_false(is_sum_of(mixer_all(r->mixer, MIXER_8K), 1 << 7 | 1 << 2 | 1 << 9));
	assert_true(r->voice[0].is_speaking);
	assert_int_equal(r->voice[7].is_speaking + r->voice[2].is_speaking + r->voice[9].is_speaking, 2);
	room_free(r);
}

static void test_mixer_who_is_silent_makes_room(void **state)
{
	int loudness[6] = { 9000, 8000, 7000, 2000, 20, 20 };
	struct room *r = room_new(6, 2);

	(void)state;
	for (unsigned f = 0; f < 10; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 3));
	loudness[0] = loudness[1] = 20; /* still there, but saying nothing: after a pause the next ones have their place */
	for (unsigned f = 0; f < TALK_PAUSE_MS / TALK_FRAME_MS + 5; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 1 << 2 | 1 << 3));
	loudness[2] = 0; /* nothing comes of it any more */
	frame_8k(r, loudness, 1 << MIXER_8K);
	assert_null(r->voice[2].slot);
	assert_false(r->voice[2].is_speaking);
	room_free(r);
}

static void test_mixer_muted_voice_is_faded_and_counts_no_more(void **state)
{
	const int loudness[] = { 3000, 3000, 40 };
	struct room *r = room_new(3, 2);

	(void)state;
	for (unsigned f = 0; f < 5; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 3));
	mixer_mute(r->mixer, &r->voice[1], true);
	frame_8k(r, loudness, 1 << MIXER_8K);
	assert_non_null(r->voice[1].slot); /* the last of it */
	frame_8k(r, loudness, 1 << MIXER_8K);
	frame_8k(r, loudness, 1 << MIXER_8K);
	assert_null(r->voice[1].slot);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 5)); /* there are no more than two now: all are heard, also the soft one */
	mixer_mute(r->mixer, &r->voice[1], false);
	for (unsigned f = 0; f < 3; f++)
		frame_8k(r, loudness, 1 << MIXER_8K);
	assert_true(is_sum_of(mixer_all(r->mixer, MIXER_8K), 3));
	room_free(r);
}

static int32_t longest_step(const int32_t *a, size_t n, int32_t *last)
{
	int32_t most = 0;

	for (size_t i = 0; i < n; i++) {
		int32_t step = abs(a[i] - *last);

		most = step > most ? step : most;
		*last = a[i];
	}
	return most;
}

/* One that says nothing but 10,000: whatever is done to it, no step is longer than that of a fade. */
static void test_mixer_comes_and_goes_without_a_click(void **state)
{
	enum { ENTER, MUTE, UNMUTE, LOUDER, SILENT, AGAIN, LEAVE, STEPS };
	struct room *r = room_new(1, 0);
	struct mixer_voice *v = &r->voice[0];
	int32_t last[2] = { 0, 0 };
	int16_t pcm[N8];

	(void)state;
	for (size_t i = 0; i < N8; i++)
		pcm[i] = 10000;
	for (unsigned step = ENTER; step < STEPS; step++) {
		if (step == MUTE || step == UNMUTE)
			mixer_mute(r->mixer, v, step == MUTE);
		if (step == LOUDER)
			v->gain = MIXER_GAIN_ONE * 3 / 2;
		if (step == LEAVE)
			mixer_leave(r->mixer, v);
		for (unsigned f = 0; f < 4; f++) {
			mixer_begin(r->mixer, r->desk, 1 << MIXER_8K | 1 << MIXER_16K);
			if (step == SILENT)
				mixer_silent(r->mixer, v);
			else if (step != LEAVE)
				mixer_say(r->mixer, v, pcm, N8, 8000);
			mixer_sum(r->mixer);
			for (unsigned k = 0; k < 2; k++)
				assert_in_range(longest_step(mixer_all(r->mixer, k), N8 * (k + 1), &last[k]), 0, 15000 / 40 + 1);
		}
		if (step == ENTER || step == LOUDER)
			assert_int_equal(last[0], step == ENTER ? 10000 : 15000);
		if (step == MUTE || step == SILENT || step == LEAVE)
			assert_int_equal(last[0], 0);
	}
	mixer_enter(r->mixer, v); /* as room_free() expects it */
	room_free(r);
}

/* ---- rates ---- */

static void tone(int16_t *pcm, size_t n, double hz, uint32_t rate_hz, size_t from)
{
	for (size_t i = 0; i < n; i++)
		pcm[i] = (int16_t)(8000 * sin(2 * M_PI * hz * (double)(from + i) / rate_hz));
}

static double power(const int32_t *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * x[i];
	return sum / (double)n;
}

/* Two at 8 kHz and one at 48 kHz, in whose voice is nothing but 6 kHz: who listens at 48 and 16 kHz hears that, at 8 kHz he can't. What those at
 * 8 kHz hear of each other is the same to the bit when the wide ones come and go. */
static void test_mixer_widest_hears_all_and_changes_nothing(void **state)
{
	static const unsigned rates[] = { 1, 7, 3, 5, 1, 7 };
	int16_t wide[N48];
	struct room *r = room_new(3, 0);

	(void)state;
	for (unsigned f = 0; f < 60; f++) {
		unsigned now = rates[f / 10];
		const int32_t *sum;

		mixer_begin(r->mixer, r->desk, now);
		for (unsigned i = 0; i < 2; i++) {
			noise(r, said[i], N8, f % 10 < 5 ? 0 : 4000);
			mixer_say(r->mixer, &r->voice[i], said[i], N8, 8000);
		}
		tone(wide, N48, 6000, 48000, f * N48);
		mixer_say(r->mixer, &r->voice[2], wide, N48, 48000);
		mixer_sum(r->mixer);
		sum = mixer_but(r->mixer, &r->voice[2], MIXER_8K);
		assert_true(f == 0 || is_sum_of(sum, 3));
		if (f % 10 < 3 || f % 10 > 4)
			continue; /* filters run in and out */
		if (now & 1 << MIXER_48K)
			assert_true(power(mixer_all(r->mixer, MIXER_48K), N48) > 30e6);
		if (now & 1 << MIXER_16K)
			assert_true(power(mixer_all(r->mixer, MIXER_16K), 2 * N8) > 30e6);
		assert_true(power(mixer_all(r->mixer, MIXER_8K), N8) < 100e3); /* 25 dB less */
	}
	room_free(r);
}

/* ---- limiter ---- */

static void test_limiter_never_clips_and_leaves_alone(void **state)
{
	struct limiter l = { 0 };
	int32_t in[N8];
	int16_t out[N8];
	unsigned quiet = 0;

	(void)state;
	for (unsigned f = 0; f < 120; f++) {
		int32_t loud = f < 3 ? LIMITER_CEILING : f < 10 ? 130000 : 8000;

		for (size_t i = 0; i < N8; i++)
			in[i] = (int32_t)(loud * sin(2 * M_PI * 300 * (double)(f * N8 + i) / 8000));
		limiter_run(&l, in, out, N8);
		for (size_t i = 0; i < N8; i++) {
			assert_in_range(out[i] + 40000, 40000 - LIMITER_CEILING, 40000 + LIMITER_CEILING);
			assert_true((out[i] >= 0) == (in[i] >= 0) || abs(out[i]) <= 1); /* nothing wraps */
			if (f < 3)
				assert_int_equal(out[i], in[i]);
		}
		if (f > 3 && f < 10) /* it is the same sound, only softer */
			assert_true(fabs((double)out[27] / out[29] - (double)in[27] / in[29]) < 0.01);
		if (f >= 10 && !quiet && l.reduction == 0)
			quiet = f;
	}
	assert_in_range(quiet, 20, 110); /* it lets go slowly, but wholly */
	for (size_t i = 0; i < N8; i++)
		assert_int_equal(out[i], in[i]);
}

/* ---- talking ---- */

static void test_talk_begins_and_ends_with_hysteresis(void **state)
{
	static const struct { unsigned frames; uint32_t level; bool is_active, is_talking; } v[] = {
		{ 50, 10, false, false },     /* a quiet room */
		{ 1, 2000, true, false },     /* a bang opens, but isn't talk */
		{ 29, 10, true, false },
		{ 1, 10, false, false },
		{ 2, 500, true, false },
		{ 1, 500, true, true },       /* 60 ms */
		{ 20, 10, true, true },       /* a pause between words */
		{ 1, 52, true, true },        /* soft, yet it goes on: 48 is enough, 64 to begin */
		{ 29, 10, true, true },
		{ 1, 10, false, false },
		{ 100, 60, false, false },    /* a fan of 60 */
		{ 2000, 60, false, false },
		{ 3, 150, false, false },     /* not 10 dB above it */
		{ 3, 300, true, true },
	};
	struct talk t = { 0 };
	unsigned ends = 0, begins = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		for (unsigned k = 0; k < v[i].frames; k++) {
			enum talk_change c = talk_frame(&t, v[i].level, true);

			begins += c == TALK_BEGINS;
			ends += c == TALK_ENDS;
		}
		if (t.is_active != v[i].is_active || t.is_talking != v[i].is_talking)
			fail_msg("row %zu: active %d, talking %d", i, t.is_active, t.is_talking);
	}
	assert_int_equal(begins, 2);
	assert_int_equal(ends, 1);
	assert_int_equal(talk_stop(&t), TALK_ENDS);
	assert_int_equal(talk_stop(&t), TALK_SAME);
}

/* What doesn't come isn't silence of the room: the noise that was heard before is still known. */
static void test_talk_nothing_says_nothing_of_the_noise(void **state)
{
	struct talk t = { 0 };

	(void)state;
	for (unsigned i = 0; i < 3000; i++)
		talk_frame(&t, 100, true);
	for (unsigned i = 0; i < 500; i++)
		talk_frame(&t, 0, false);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(talk_frame(&t, 120, true), TALK_SAME);
	assert_false(t.is_active);
}

/* ---- packets ---- */

static void fill(int32_t *sum, size_t n, uint32_t rate_hz, unsigned frame)
{
	for (size_t i = 0; i < n; i++)
		sum[i] = (int32_t)(6000 * sin(2 * M_PI * 440 * (double)(frame * n + i) / rate_hz) +
				   3000 * sin(2 * M_PI * 1310 * (double)(frame * n + i) / rate_hz));
}

/* Whoever begins to be heard goes on with a copy: its packets follow those before as if nothing had happened. */
static void test_outlet_copy_goes_on_where_it_was(void **state)
{
	static const struct outlet_key keys[] = {
		{ .codec = CODEC_PCMU, .ptime_ms = 20 }, { .codec = CODEC_PCMA, .ptime_ms = 30 }, { .codec = CODEC_G722, .ptime_ms = 20 },
		{ .codec = CODEC_G726_32, .ptime_ms = 10 }, { .codec = CODEC_GSM, .ptime_ms = 40 },
		{ .codec = CODEC_OPUS, .ptime_ms = 60 }, { .codec = CODEC_L16, .ptime_ms = 20 },
	};

	(void)state;
	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		enum mixer_rate rate = outlet_rate(&keys[k]);
		struct outlet *a = outlet_new(&keys[k], 0), *b = NULL;
		int32_t sum[N48];
		unsigned n = 0;

		assert_non_null(a);
		for (unsigned f = 0; f < 50; f++) {
			uint8_t p[CODEC_PAYLOAD_MAX], q[CODEC_PAYLOAD_MAX];
			size_t plen, qlen;
			uint32_t pu, qu;

			if (f == 25)
				b = outlet_copy(a);
			fill(sum, mixer_samples(rate), mixer_rate_hz(rate), f);
			outlet_put(a, sum, MIXER_GAIN_ONE);
			if (b)
				outlet_put(b, sum, MIXER_GAIN_ONE);
			while (outlet_take(a, p, &plen, &pu)) {
				n++;
				assert_int_equal(pu, codec_get(keys[k].codec)->clock_hz / 1000 * keys[k].ptime_ms);
				if (!b)
					continue;
				assert_true(outlet_take(b, q, &qlen, &qu));
				assert_int_equal(plen, qlen);
				assert_memory_equal(p, q, plen);
			}
			assert_true(!b || !outlet_take(b, q, &qlen, &qu));
		}
		assert_int_equal(n, 1000 / keys[k].ptime_ms);
		outlet_free(a);
		outlet_free(b);
	}
}

/* One made later ends its packets with the same frames. */
static void test_outlet_keeps_in_step(void **state)
{
	const struct outlet_key key = { .codec = CODEC_PCMU, .ptime_ms = 60 };
	struct outlet *a = outlet_new(&key, 0), *b = outlet_new(&key, 7);
	int32_t sum[N8] = { 0 };

	(void)state;
	for (unsigned f = 0; f < 20; f++) {
		uint8_t p[CODEC_PAYLOAD_MAX];
		size_t len;
		uint32_t units;
		bool is_due;

		outlet_put(a, sum, MIXER_GAIN_ONE);
		is_due = outlet_take(a, p, &len, &units);
		if (f < 7)
			continue;
		outlet_put(b, sum, MIXER_GAIN_ONE);
		assert_int_equal(outlet_take(b, p, &len, &units), is_due);
	}
	outlet_free(a);
	outlet_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixer_each_hears_all_but_himself),
		cmocka_unit_test(test_mixer_sums_only_the_loudest),
		cmocka_unit_test(test_mixer_who_is_silent_makes_room),
		cmocka_unit_test(test_mixer_muted_voice_is_faded_and_counts_no_more),
		cmocka_unit_test(test_mixer_comes_and_goes_without_a_click),
		cmocka_unit_test(test_mixer_widest_hears_all_and_changes_nothing),
		cmocka_unit_test(test_limiter_never_clips_and_leaves_alone),
		cmocka_unit_test(test_talk_begins_and_ends_with_hysteresis),
		cmocka_unit_test(test_talk_nothing_says_nothing_of_the_noise),
		cmocka_unit_test(test_outlet_copy_goes_on_where_it_was),
		cmocka_unit_test(test_outlet_keeps_in_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

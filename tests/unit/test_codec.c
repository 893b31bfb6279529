/* The table of codecs, and what each does to a sound. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/codec.h"

/* RFC 3551 table 4; §4.5.2 for the clock of G722. */
static const struct {
	enum codec_id id;
	const char *name;
	int pt;
	uint32_t rate_hz, clock_hz;
	uint16_t bytes_per_10ms;
	unsigned delay;          /* samples: the filters of G.722 */
	double snr_min, snr_max; /* dB, for two tones at -12 dBm0 and less; ITU-T G.711 and G.722 reach these */
} codecs[] = {
	{ CODEC_PCMU, "PCMU", 0, 8000, 8000, 80, 0, 34, 45 },
	{ CODEC_PCMA, "PCMA", 8, 8000, 8000, 80, 0, 34, 45 },
	{ CODEC_G722, "G722", 9, 16000, 8000, 80, 22, 25, 60 },
	{ CODEC_L16, "L16", -1, 16000, 16000, 320, 0, 200, 400 },
};

static void test_codec_table_holds_registered_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		const struct codec *c = codec_get(codecs[i].id);

		assert_int_equal(c->id, codecs[i].id);
		assert_string_equal(c->name, codecs[i].name);
		assert_int_equal(c->static_pt, codecs[i].pt);
		assert_int_equal(c->rate_hz, codecs[i].rate_hz);
		assert_int_equal(c->clock_hz, codecs[i].clock_hz);
		assert_int_equal(c->bytes_per_10ms, codecs[i].bytes_per_10ms);
		assert_ptr_equal(codec_find(codecs[i].name, codecs[i].clock_hz), c);
		assert_null(codec_find(codecs[i].name, 44100));
	}
	assert_int_equal(codec_get(CODEC_COUNT)->id, CODEC_NONE);
	assert_int_equal(codec_get((enum codec_id)99)->id, CODEC_NONE);
}

static void test_codec_find_ignores_case_and_refuses_unknown(void **state)
{
	(void)state;
	assert_int_equal(codec_find("pcmu", 8000)->id, CODEC_PCMU);
	assert_int_equal(codec_find("g722", 8000)->id, CODEC_G722);
	assert_null(codec_find("G722", 16000)); /* the RTP clock is what SDP names */
	assert_null(codec_find("opus", 48000));
	assert_null(codec_find("", 8000));
}

#define FRAMES 100

static int16_t tone_at(size_t i, uint32_t rate_hz)
{
	double t = (double)i / rate_hz;

	return (int16_t)lrint(4000 * sin(2 * M_PI * 440 * t) + 2000 * sin(2 * M_PI * 1130 * t));
}

/* In frames of 10 ms, as a stream does it; dB over all but the first 100 ms, in which G.722 adapts. */
static double round_trip_snr(enum codec_id id, unsigned delay)
{
	const struct codec *c = codec_get(id);
	size_t n = c->rate_hz / 100;
	struct encoder *e = encoder_new(id);
	struct decoder *d = decoder_new(id);
	double signal = 0, noise = 0;

	assert_non_null(e);
	assert_non_null(d);
	for (size_t f = 0; f < FRAMES; f++) {
		int16_t pcm[160];
		uint8_t coded[320];

		for (size_t i = 0; i < n; i++)
			pcm[i] = tone_at(f * n + i, c->rate_hz);
		assert_int_equal(encoder_run(e, pcm, n, coded), c->bytes_per_10ms);
		memset(pcm, 0x55, sizeof(pcm));
		assert_int_equal(decoder_run(d, coded, c->bytes_per_10ms, pcm, n), n);
		for (size_t i = 0; f >= 10 && i < n; i++) {
			double was = tone_at(f * n + i - delay, c->rate_hz);

			signal += was * was;
			noise += (pcm[i] - was) * (pcm[i] - was);
		}
	}
	encoder_free(e);
	decoder_free(d);
	return noise > 0 ? 10 * log10(signal / noise) : 300;
}

static void test_codec_round_trip_keeps_the_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		double snr = round_trip_snr(codecs[i].id, codecs[i].delay);

		print_message("%s: %.1f dB\n", codecs[i].name, snr);
		assert_true(snr >= codecs[i].snr_min && snr <= codecs[i].snr_max);
	}
}

/* ITU-T G.711 tables 1 and 2: codes of silence and of the ends of the range. */
static void test_codec_g711_known_codes(void **state)
{
	static const struct { enum codec_id id; int16_t pcm; uint8_t code; } vectors[] = {
		{ CODEC_PCMU, 0, 0xff }, { CODEC_PCMU, 32767, 0x80 }, { CODEC_PCMU, -32768, 0x00 },
		{ CODEC_PCMA, 8, 0xd5 }, { CODEC_PCMA, -8, 0x55 }, { CODEC_PCMA, 32767, 0xaa }, { CODEC_PCMA, -32768, 0x2a },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
		struct encoder *e = encoder_new(vectors[i].id);
		uint8_t code = 0;

		assert_int_equal(encoder_run(e, &vectors[i].pcm, 1, &code), 1);
		assert_int_equal(code, vectors[i].code);
		encoder_free(e);
	}
}

/* Every code is decoded to a value that is encoded to the same code again (RFC 3551 relies on tandem coding being free). */
static void test_codec_g711_tandem_changes_nothing(void **state)
{
	static const enum codec_id ids[] = { CODEC_PCMU, CODEC_PCMA };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		struct encoder *e = encoder_new(ids[i]);
		struct decoder *d = decoder_new(ids[i]);

		for (unsigned v = 0; v < 256; v++) {
			uint8_t code = (uint8_t)v, again;
			int16_t pcm, pcm_again;

			assert_int_equal(decoder_run(d, &code, 1, &pcm, 1), 1);
			encoder_run(e, &pcm, 1, &again);
			decoder_run(d, &again, 1, &pcm_again, 1);
			assert_int_equal(pcm_again, pcm); /* the code may differ: PCMU has two zeros */
		}
		encoder_free(e);
		decoder_free(d);
	}
}

static void test_codec_decoder_refuses_impossible_sizes(void **state)
{
	uint8_t in[640] = { 0 };
	int16_t pcm[320];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		struct decoder *d = decoder_new(codecs[i].id);
		size_t room = codecs[i].rate_hz / 100;

		assert_int_equal(decoder_run(d, in, 0, pcm, room), -EINVAL);
		assert_int_equal(decoder_run(d, in, codecs[i].bytes_per_10ms + 2u, pcm, room), -EINVAL);
		assert_int_equal(decoder_run(d, in, codecs[i].bytes_per_10ms, pcm, room), room);
		if (codecs[i].id == CODEC_L16)
			assert_int_equal(decoder_run(d, in, 319, pcm, room), -EINVAL);
		decoder_free(d);
	}
	encoder_free(NULL);
	decoder_free(NULL);
}

static void test_codec_l16_is_big_endian(void **state)
{
	static const int16_t pcm[] = { 0x0102, -2 };
	struct encoder *e = encoder_new(CODEC_L16);
	uint8_t out[4];

	(void)state;
	assert_int_equal(encoder_run(e, pcm, 2, out), 4);
	assert_memory_equal(out, ((uint8_t[]){ 1, 2, 0xff, 0xfe }), 4); /* RFC 3551 §4.5.11 */
	encoder_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codec_table_holds_registered_values),
		cmocka_unit_test(test_codec_find_ignores_case_and_refuses_unknown),
		cmocka_unit_test(test_codec_round_trip_keeps_the_sound),
		cmocka_unit_test(test_codec_g711_known_codes),
		cmocka_unit_test(test_codec_g711_tandem_changes_nothing),
		cmocka_unit_test(test_codec_decoder_refuses_impossible_sizes),
		cmocka_unit_test(test_codec_l16_is_big_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

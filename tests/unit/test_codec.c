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

/* RFC 3551 table 4; §4.5.2 for the clock of G722, §4.5.4 G726, §4.5.8 GSM, §4.5.11 L16; RFC 7587 §4.1 Opus. */
static const struct {
	enum codec_id id;
	const char *name;
	int pt;                  /* below 96: the static one */
	uint32_t rate_hz, clock_hz;
	unsigned channels;
	size_t bytes_20ms;       /* 0: varies */
	double snr_min, snr_max; /* dB, for two tones at -12 dBm0 and less; ITU-T G.711, G.722 and G.726 reach these */
} codecs[] = {
	{ CODEC_PCMU, "PCMU", 0, 8000, 8000, 1, 160, 34, 45 },
	{ CODEC_PCMA, "PCMA", 8, 8000, 8000, 1, 160, 34, 45 },
	{ CODEC_G722, "G722", 9, 16000, 8000, 1, 160, 25, 60 },
	{ CODEC_L16, "L16", 113, 16000, 16000, 1, 640, 200, 400 },
	{ CODEC_L16_8, "L16", 112, 8000, 8000, 1, 320, 200, 400 },
	{ CODEC_L16_44, "L16", 11, 48000, 44100, 1, 1764, 35, 60 }, /* what its resampling leaves */
	{ CODEC_L16_48, "L16", 114, 48000, 48000, 1, 1920, 200, 400 },
	{ CODEC_OPUS, "opus", 111, 48000, 48000, 2, 0, 12, 60 },
	{ CODEC_GSM, "GSM", 3, 8000, 8000, 1, 33, 8, 30 },
	{ CODEC_G726_16, "G726-16", 115, 8000, 8000, 1, 40, 8, 30 },
	{ CODEC_G726_24, "G726-24", 116, 8000, 8000, 1, 60, 14, 35 },
	{ CODEC_G726_32, "G726-32", 117, 8000, 8000, 1, 80, 20, 40 },
	{ CODEC_G726_40, "G726-40", 118, 8000, 8000, 1, 100, 25, 45 },
	{ CODEC_AAL2_G726_16, "AAL2-G726-16", 119, 8000, 8000, 1, 40, 8, 30 },
	{ CODEC_AAL2_G726_24, "AAL2-G726-24", 120, 8000, 8000, 1, 60, 14, 35 },
	{ CODEC_AAL2_G726_32, "AAL2-G726-32", 121, 8000, 8000, 1, 80, 20, 40 },
	{ CODEC_AAL2_G726_40, "AAL2-G726-40", 122, 8000, 8000, 1, 100, 25, 45 },
#ifdef WITH_G729
	{ CODEC_G729, "G729", 18, 8000, 8000, 1, 20, 5, 30 },
#endif
};

static void test_codec_table_holds_registered_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		const struct codec *c = codec_get(codecs[i].id);

		assert_int_equal(c->id, codecs[i].id);
		assert_string_equal(c->name, codecs[i].name);
		assert_int_equal(c->pt, codecs[i].pt);
		assert_int_equal(c->rate_hz, codecs[i].rate_hz);
		assert_int_equal(c->clock_hz, codecs[i].clock_hz);
		assert_int_equal(c->channels, codecs[i].channels);
		if (codecs[i].bytes_20ms) {
			uint8_t any[1920] = { 0 };

			assert_int_equal(codec_bytes(c, 20), codecs[i].bytes_20ms);
			assert_int_equal(codec_units(c, any, codecs[i].bytes_20ms), c->clock_hz / 50);
			assert_int_equal(codec_units(c, any, 0), 0);
		}
		assert_ptr_equal(codec_find(codecs[i].name, codecs[i].clock_hz), c);
		assert_null(codec_find(codecs[i].name, 11025));
		for (size_t k = 0; k < i; k++)
			assert_int_not_equal(codecs[k].pt, codecs[i].pt);
	}
#ifndef WITH_G729
	assert_int_equal(codec_get(CODEC_G729)->id, CODEC_NONE);
	assert_null(codec_find("G729", 8000));
#endif
	assert_int_equal(codec_get(CODEC_COUNT)->id, CODEC_NONE);
	assert_int_equal(codec_get((enum codec_id)99)->id, CODEC_NONE);
}

/* What is wished (10..60), and what can be: frames of 20 ms, RFC 6716 §2.1.4's lengths, and packets that fit the path. */
static void test_codec_ptime_is_one_that_can_be_made(void **state)
{
	static const struct { enum codec_id id; uint32_t wish, is; } v[] = {
		{ CODEC_PCMU, 10, 10 }, { CODEC_PCMU, 60, 60 }, { CODEC_G726_24, 30, 30 }, { CODEC_GSM, 10, 20 }, { CODEC_GSM, 20, 20 },
		{ CODEC_GSM, 30, 20 },  { CODEC_GSM, 50, 40 },  { CODEC_GSM, 60, 60 },     { CODEC_L16, 20, 20 }, { CODEC_L16, 60, 40 },
		{ CODEC_L16_44, 20, 10 }, { CODEC_L16_48, 20, 10 }, { CODEC_L16_8, 60, 60 }, { CODEC_OPUS, 10, 10 }, { CODEC_OPUS, 20, 20 }, { CODEC_OPUS, 30, 20 },
		{ CODEC_OPUS, 40, 40 }, { CODEC_OPUS, 50, 40 }, { CODEC_OPUS, 60, 60 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		assert_int_equal(codec_fit_ptime(codec_get(v[i].id), v[i].wish), v[i].is);
}

/* However much is handed over, at whatever rate it was believed to be: never more than there is room for. */
static void test_codec_encoder_keeps_to_its_room(void **state)
{
	static const int16_t pcm[2880];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		struct encoder *e = encoder_new(codecs[i].id, 48000);
		uint8_t out[CODEC_PAYLOAD_MAX + 1] = { [CODEC_PAYLOAD_MAX] = 0xa5 };

		assert_non_null(e);
		assert_in_range(encoder_run(e, pcm, ARRAY_LEN(pcm), out, CODEC_PAYLOAD_MAX), 0, CODEC_PAYLOAD_MAX);
		assert_int_equal(out[CODEC_PAYLOAD_MAX], 0xa5);
		encoder_free(e);
	}
}

static void test_codec_find_ignores_case_and_refuses_unknown(void **state)
{
	(void)state;
	assert_int_equal(codec_find("pcmu", 8000)->id, CODEC_PCMU);
	assert_int_equal(codec_find("g722", 8000)->id, CODEC_G722);
	assert_null(codec_find("G722", 16000)); /* the RTP clock is what SDP names */
	assert_int_equal(codec_find("OPUS", 48000)->id, CODEC_OPUS);
	assert_null(codec_find("opus", 8000));
	assert_null(codec_find("", 8000));
}

#define FRAMES 40
#define LAG_MAX 600    /* samples: what filters and look-ahead delay, 6.5 ms of Opus at 48 kHz among them */

static int16_t tone_at(size_t i, uint32_t rate_hz)
{
	double t = (double)i / rate_hz;

	return (int16_t)lrint(4000 * sin(2 * M_PI * 440 * t) + 2000 * sin(2 * M_PI * 1130 * t));
}

/* dB of what was heard to its difference from what was said so long ago, over all but the first 200 ms, in which codecs adapt. */
static double snr_at(const int16_t *heard, const int16_t *said, size_t n, size_t lag, uint32_t rate_hz)
{
	double signal = 0, noise = 0;

	for (size_t i = rate_hz / 5; i < n; i++) {
		double was = said[i - lag];

		signal += was * was;
		noise += (heard[i] - was) * (heard[i] - was);
	}
	return noise > 0 ? 10 * log10(signal / noise) : 300;
}

/* In packets of 20 ms. */
static double round_trip_snr(enum codec_id id, uint32_t rate_hz, size_t bytes)
{
	static int16_t said[FRAMES * 960], heard[FRAMES * 960];
	size_t n = rate_hz / 50;
	struct encoder *e = encoder_new(id, rate_hz);
	struct decoder *d = decoder_new(id, rate_hz);
	double best = -300;

	assert_non_null(e);
	assert_non_null(d);
	for (size_t f = 0; f < FRAMES; f++) {
		int16_t *pcm = said + f * n;
		uint8_t coded[1920];
		size_t len;

		for (size_t i = 0; i < n; i++)
			pcm[i] = tone_at(f * n + i, rate_hz);
		len = encoder_run(e, pcm, n, coded, sizeof(coded));
		assert_true(len > 0);
		if (bytes)
			assert_int_equal(len, bytes);
		assert_int_equal(codec_units(codec_get(id), coded, len), codec_get(id)->clock_hz / 50);
		assert_int_equal(decoder_run(d, coded, len, heard + f * n, n), n);
	}
	encoder_free(e);
	decoder_free(d);
	for (size_t lag = 0; lag < LAG_MAX; lag++) {
		double snr = snr_at(heard, said, FRAMES * n, lag, rate_hz);

		best = snr > best ? snr : best;
	}
	return best;
}

static void test_codec_round_trip_keeps_the_sound(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		double snr = round_trip_snr(codecs[i].id, codecs[i].rate_hz, codecs[i].bytes_20ms);

		if (snr < codecs[i].snr_min || snr > codecs[i].snr_max)
			fail_msg("%s: %.1f dB", codecs[i].name, snr);
	}
}

/* Opus works at the rate of the other side. */
static void test_codec_opus_round_trip_at_any_rate(void **state)
{
	static const uint32_t rates[] = { 8000, 16000, 24000, 48000 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
		double snr;

		assert_int_equal(codec_rate(codec_get(CODEC_OPUS), rates[i]), rates[i]);
		snr = round_trip_snr(CODEC_OPUS, rates[i], 0);
		if (snr < 12)
			fail_msg("at %u Hz: %.1f dB", rates[i], snr);
	}
	assert_int_equal(codec_rate(codec_get(CODEC_OPUS), 44100), 48000);
	assert_int_equal(codec_rate(codec_get(CODEC_G722), 8000), 16000);
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
		struct encoder *e = encoder_new(vectors[i].id, 8000);
		uint8_t code = 0;

		assert_int_equal(encoder_run(e, &vectors[i].pcm, 1, &code, 1), 1);
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
		struct encoder *e = encoder_new(ids[i], 8000);
		struct decoder *d = decoder_new(ids[i], 8000);

		for (unsigned v = 0; v < 256; v++) {
			uint8_t code = (uint8_t)v, again;
			int16_t pcm, pcm_again;

			assert_int_equal(decoder_run(d, &code, 1, &pcm, 1), 1);
			encoder_run(e, &pcm, 1, &again, 1);
			decoder_run(d, &again, 1, &pcm_again, 1);
			assert_int_equal(pcm_again, pcm); /* the code may differ: PCMU has two zeros */
		}
		encoder_free(e);
		decoder_free(d);
	}
}

static void test_codec_decoder_refuses_impossible_sizes(void **state)
{
	uint8_t in[1924] = { 0xd0 };
	int16_t pcm[960];

	(void)state;
	in[33] = 0xd0;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		struct decoder *d = decoder_new(codecs[i].id, codecs[i].rate_hz);
		const struct codec *c = codec_get(codecs[i].id);
		size_t room = codecs[i].rate_hz / 50, len = codecs[i].bytes_20ms;

		assert_int_equal(decoder_run(d, in, 0, pcm, room), -EINVAL);
		if (len) {
			assert_int_equal(decoder_run(d, in, len, pcm, room), room);
			assert_int_equal(decoder_run(d, in, len + c->group_bytes, pcm, room), -EINVAL);
			if (c->group_bytes > 1)
				assert_int_equal(decoder_run(d, in, len - 1, pcm, room), -EINVAL);
		}
		decoder_free(d);
	}
	encoder_free(NULL);
	decoder_free(NULL);
}

/* RFC 6716 §3.1 and §3.4: what a head says must fit what follows; 120 ms is the most. */
static void test_codec_opus_lengths_are_read_from_the_packet(void **state)
{
	static const struct { uint8_t in[4]; size_t len; uint32_t units; } v[] = {
		{ { 0x08 }, 1, 960 },              /* SILK, narrow, 20 ms, nothing in it: DTX */
		{ { 0x00, 1 }, 2, 480 },           /* 10 ms */
		{ { 0x18, 1, 2 }, 3, 2880 },       /* 60 ms */
		{ { 0xfc, 1, 2 }, 3, 960 },        /* CELT, full band, 20 ms, stereo */
		{ { 0x19, 1, 2 }, 3, 5760 },       /* two of 60 ms: 120 ms */
		{ { 0x1b, 0x03, 1, 2 }, 4, 0 },    /* three of them: too long */
		{ { 0x08 }, 0, 0 },
	};
	const struct codec *c = codec_get(CODEC_OPUS);

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		assert_int_equal(codec_units(c, v[i].in, v[i].len), v[i].units);
}

/* RFC 3551 §4.5.4: the first sample lies in the least significant bits; I.366.2's order begins with the most significant ones. */
static void test_codec_g726_packs_both_ways(void **state)
{
	static const struct { enum codec_id rfc, aal2; unsigned bits; } v[] = {
		{ CODEC_G726_16, CODEC_AAL2_G726_16, 2 }, { CODEC_G726_24, CODEC_AAL2_G726_24, 3 },
		{ CODEC_G726_32, CODEC_AAL2_G726_32, 4 }, { CODEC_G726_40, CODEC_AAL2_G726_40, 5 },
	};
	int16_t pcm[160];

	(void)state;
	for (size_t i = 0; i < 160; i++)
		pcm[i] = tone_at(i, 8000);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct encoder *a = encoder_new(v[i].rfc, 8000), *b = encoder_new(v[i].aal2, 8000);
		uint8_t rfc[100], aal2[100];
		size_t len = encoder_run(a, pcm, 160, rfc, sizeof(rfc));

		assert_int_equal(len, 20 * v[i].bits);
		assert_int_equal(encoder_run(b, pcm, 160, aal2, sizeof(aal2)), len);
		for (unsigned n = 0; n < 160; n++) {
			unsigned low = 0, high = 0;

			for (unsigned k = 0; k < v[i].bits; k++) {
				unsigned at = n * v[i].bits + k;

				low |= (rfc[at / 8] >> (at % 8) & 1u) << k;
				high = high << 1 | (aal2[at / 8] >> (7 - at % 8) & 1u);
			}
			assert_int_equal(low, high);
		}
		encoder_free(a);
		encoder_free(b);
	}
}

static int16_t speech_at(size_t i, uint32_t rate_hz)
{
	double t = (double)i / rate_hz, f0 = 140 + 30 * sin(2 * M_PI * 1.7 * t), x = 0;

	for (int k = 1; k < 12; k++)
		x += sin(2 * M_PI * k * f0 * t) / k;
	return (int16_t)lrint(5000 * x * (0.6 + 0.4 * sin(2 * M_PI * 3.1 * t)));
}

/* Every tenth packet is lost; the one behind it tells what it was, when the receiver has said that it misses some. */
static double opus_energy_error_with_losses(unsigned loss_percent, bool use_next)
{
	struct encoder *e = encoder_new(CODEC_OPUS, 16000);
	struct decoder *whole = decoder_new(CODEC_OPUS, 16000), *lossy = decoder_new(CODEC_OPUS, 16000);
	struct opus_params p = { .fec = true };
	double error = 0, signal = 0;
	uint8_t coded[2][CODEC_PAYLOAD_MAX];
	size_t len[2] = { 0 };

	encoder_tune(e, &p, loss_percent);
	for (size_t f = 0; f <= 200; f++) {
		int16_t pcm[320], a[320], b[320];

		for (size_t i = 0; i < 320; i++)
			pcm[i] = speech_at(f * 320 + i, 16000);
		len[f % 2] = encoder_run(e, pcm, 320, coded[f % 2], CODEC_PAYLOAD_MAX);
		assert_true(len[f % 2] > 0);
		if (f == 0)
			continue;
		/* The packet before this one. */
		assert_int_equal(decoder_run(whole, coded[(f + 1) % 2], len[(f + 1) % 2], a, 320), 320);
		if (f % 10 == 5)
			assert_int_equal(decoder_conceal(lossy, use_next ? coded[f % 2] : NULL, use_next ? len[f % 2] : 0, b, 320), 320);
		else
			assert_int_equal(decoder_run(lossy, coded[(f + 1) % 2], len[(f + 1) % 2], b, 320), 320);
		for (size_t i = 0; f % 10 == 5 && i < 320; i++) {
			error += (a[i] - b[i]) * (double)(a[i] - b[i]);
			signal += a[i] * (double)a[i];
		}
	}
	encoder_free(e);
	decoder_free(whole);
	decoder_free(lossy);
	return 10 * log10(signal / error);
}

static void test_codec_opus_fec_tells_what_was_lost(void **state)
{
	double made_up = opus_energy_error_with_losses(20, false), told = opus_energy_error_with_losses(20, true);

	(void)state;
	if (told < made_up + 3)
		fail_msg("%.1f dB from the next packet, %.1f dB made up", told, made_up);
}

/* RFC 7587 §3.1.3: in silence nothing is sent but a sign of life now and then, if the receiver wishes it so. */
static void test_codec_opus_dtx_sends_less_in_silence(void **state)
{
	(void)state;
	for (int dtx = 0; dtx < 2; dtx++) {
		struct encoder *e = encoder_new(CODEC_OPUS, 16000);
		struct opus_params p = { .dtx = dtx };
		int16_t silence[320] = { 0 };
		unsigned sent = 0;

		encoder_tune(e, &p, 0);
		for (unsigned f = 0; f < 200; f++) {
			uint8_t coded[CODEC_PAYLOAD_MAX];

			sent += encoder_run(e, silence, 320, coded, sizeof(coded)) > 0;
		}
		encoder_free(e);
		if (dtx ? sent > 40 || sent < 8 : sent != 200)
			fail_msg("dtx %d: %u packets of 200", dtx, sent);
	}
}

/* RFC 7587 §6.1. */
static void test_codec_opus_obeys_the_receiver(void **state)
{
	static const struct { struct opus_params p; size_t most; bool is_steady; } v[] = {
		{ { 0 }, 4000, false },
		{ { .max_bitrate = 12000 }, 1700, false },
		{ { .max_bitrate = 12000, .cbr = true }, 1600, true },
		{ { .max_rate_hz = 8000 }, 2600, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct encoder *e = encoder_new(CODEC_OPUS, 16000);
		size_t sum = 0, first = 0;

		encoder_tune(e, &v[i].p, 0);
		for (size_t f = 0; f < 100; f++) {
			uint8_t coded[CODEC_PAYLOAD_MAX];
			int16_t pcm[320];
			size_t len;

			for (size_t k = 0; k < 320; k++)
				pcm[k] = speech_at(f * 320 + k, 16000);
			len = encoder_run(e, pcm, 320, coded, sizeof(coded));
			first = first ? first : len;
			if (v[i].is_steady)
				assert_int_equal(len, first);
			if (f >= 50)
				sum += len;
		}
		encoder_free(e);
		if (sum > v[i].most)
			fail_msg("row %zu: %zu bytes a second", i, sum);
	}
}

static void test_codec_opus_params_are_read_and_written(void **state)
{
	static const struct { const char *in, *out; struct opus_params p; } v[] = {
		{ "", "", { 0 } },
		{ "minptime=10;useinbandfec=1", "useinbandfec=1", { .fec = true } },
		{ "maxplaybackrate=16000; sprop-maxcapturerate=16000; maxaveragebitrate=20000; stereo=1; useinbandfec=1; usedtx=0",
		  "maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=20000;stereo=1;useinbandfec=1",
		  { .max_rate_hz = 16000, .sprop_max_rate_hz = 16000, .max_bitrate = 20000, .stereo = true, .fec = true } },
		{ "SPROP-Stereo=1;cbr=1;usedtx=1", "sprop-stereo=1;usedtx=1;cbr=1", { .sprop_stereo = true, .cbr = true, .dtx = true } },
		{ "maxplaybackrate=48000", "", { 0 } },                        /* the default */
		{ "maxaveragebitrate=5;maxplaybackrate=x;stereo;cbr=2;=;;", "", { 0 } }, /* nonsense */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct opus_params p;
		struct out o;
		char text[200];

		opus_params_parse(&p, str_from(v[i].in));
		out_init(&o, text, sizeof(text));
		opus_params_print(&o, &p);
		out_chr(&o, '\0');
		assert_string_equal(text, v[i].out);
		opus_params_parse(&p, str_from(text));
		assert_int_equal(p.max_rate_hz, v[i].p.max_rate_hz);
		assert_int_equal(p.sprop_max_rate_hz, v[i].p.sprop_max_rate_hz);
		assert_int_equal(p.max_bitrate, v[i].p.max_bitrate);
		assert_int_equal(p.stereo, v[i].p.stereo);
		assert_int_equal(p.sprop_stereo, v[i].p.sprop_stereo);
		assert_int_equal(p.fec, v[i].p.fec);
		assert_int_equal(p.dtx, v[i].p.dtx);
		assert_int_equal(p.cbr, v[i].p.cbr);
	}
}

static void test_codec_l16_is_big_endian(void **state)
{
	static const int16_t pcm[] = { 0x0102, -2 };
	struct encoder *e = encoder_new(CODEC_L16, 16000);
	uint8_t out[4];

	(void)state;
	assert_int_equal(encoder_run(e, pcm, 2, out, sizeof(out)), 4);
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
		cmocka_unit_test(test_codec_ptime_is_one_that_can_be_made),
		cmocka_unit_test(test_codec_encoder_keeps_to_its_room),
		cmocka_unit_test(test_codec_opus_round_trip_at_any_rate),
		cmocka_unit_test(test_codec_opus_lengths_are_read_from_the_packet),
		cmocka_unit_test(test_codec_g726_packs_both_ways),
		cmocka_unit_test(test_codec_opus_fec_tells_what_was_lost),
		cmocka_unit_test(test_codec_opus_dtx_sends_less_in_silence),
		cmocka_unit_test(test_codec_opus_obeys_the_receiver),
		cmocka_unit_test(test_codec_opus_params_are_read_and_written),
		cmocka_unit_test(test_codec_l16_is_big_endian),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

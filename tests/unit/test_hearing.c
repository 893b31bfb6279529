/* What is heard besides digits: talk and silence with their times, and fax machines, which speech is not. */
#include "media_bed.h"

#include <glob.h>
#include <spandsp.h>

#include "media/hearing.h"

#define SAMPLES_MAX (48000 * 20)

static int16_t said[SAMPLES_MAX];

/* A buzz as rich as a voice, for so long; then so much near silence. */
static size_t buzz(int16_t *pcm, uint32_t hz, uint32_t on_ms, uint32_t off_ms)
{
	size_t n = (size_t)hz / 1000 * on_ms, all = n + (size_t)hz / 1000 * off_ms;

	for (size_t i = 0; i < all; i++)
		pcm[i] = (int16_t)(i < n ? (int)(i * 130 * 8000 / hz % 8000) - 4000 : (int)(i % 7) - 3);
	return all;
}

/* With what SpanDSP sends; at 8 kHz. */
static size_t fax_tone(int16_t *pcm, int type, size_t n)
{
	modem_connect_tones_tx_state_t *tx = modem_connect_tones_tx_init(NULL, type);
	int got = modem_connect_tones_tx(tx, pcm, (int)n);

	memset(pcm + got, 0, (n - (size_t)got) * sizeof(*pcm));
	modem_connect_tones_tx_free(tx);
	return n;
}

static struct seen *listening_stream(struct bed *b, struct peer *p, enum codec_id codec, unsigned what)
{
	struct seen *x = stream_make(b, NULL);

	stream_setup(x->s, p->port, codec);
	stream_listen(x->s, what);
	settle(b, x->s);
	return x;
}

static void test_hearing_tells_talk_from_silence_in_any_codec(void **state)
{
	static const enum codec_id codecs[] = { CODEC_PCMU, CODEC_G722, CODEC_OPUS };
	static const uint32_t expected[] = { 500, 400, 200, 700, 400 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(codecs); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct peer *p = peer_new(65530, 0xfffff000, 11);
		struct seen *x = listening_stream(b, p, codecs[i], STREAM_LISTEN_TALK);
		uint32_t hz = codec_get(codecs[i])->rate_hz;
		size_t n = buzz(said, hz, 0, 500);

		n += buzz(said + n, hz, 400, 200);
		n += buzz(said + n, hz, 700, 400);
		n += buzz(said + n, hz, 300, 300);
		peer_talk(b, p, stream_port(x->s), codecs[i], said, n);
		turn_for_ms(b, 300);
		assert_int_equal(x->nheard, 6);
		for (unsigned k = 0; k < ARRAY_LEN(expected); k++) {
			assert_int_equal(x->heard[k], k % 2 ? STREAM_HEARD_SILENCE : STREAM_HEARD_TALK);
			/* the first one begins with the stream, before the sound, which the jitter buffer delays */
			assert_in_range(x->heard_ms[k], expected[k] - 40, expected[k] + (k ? 40 : 120));
		}
		assert_int_equal(x->heard[5], STREAM_HEARD_SILENCE);
		stream_end(b, x);
		peer_free(p);
		bed_free(b);
	}
}

/* A peer that sends nothing is silent, and so is one that stops in the midst of a word. */
static void test_hearing_takes_nothing_for_silence(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct peer *p = peer_new(100, 0, 11);
	struct seen *x = listening_stream(b, p, CODEC_PCMA, STREAM_LISTEN_TALK);

	(void)state;
	turn_for_ms(b, 1000);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMA, said, buzz(said, 8000, 500, 0));
	turn_for_ms(b, 400);
	assert_int_equal(x->nheard, 2);
	assert_int_equal(x->heard[0], STREAM_HEARD_TALK);
	assert_in_range(x->heard_ms[0], 980, 1120);
	assert_int_equal(x->heard[1], STREAM_HEARD_SILENCE);
	assert_in_range(x->heard_ms[1], 460, 620);
	stream_listen(x->s, 0);
	settle(b, x->s);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMA, said, buzz(said, 8000, 500, 200));
	assert_int_equal(x->nheard, 2);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_hearing_knows_fax_machines(void **state)
{
	static const struct { int type; enum stream_heard heard; unsigned n; } rows[] = {
		{ MODEM_CONNECT_TONES_FAX_CNG, STREAM_HEARD_CNG, 1 }, { MODEM_CONNECT_TONES_FAX_CED, STREAM_HEARD_CED, 1 },
		{ MODEM_CONNECT_TONES_CALLING_TONE, 0, 0 }, { MODEM_CONNECT_TONES_BELL_ANS, 0, 0 },
	};
	static const enum codec_id codecs[] = { CODEC_PCMU, CODEC_PCMA };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(codecs); i++) {
		enum codec_id codec = codecs[i % 2];
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct peer *p = peer_new(100, 0, 11);
		struct seen *x = listening_stream(b, p, codec, STREAM_LISTEN_FAX);

		peer_talk(b, p, stream_port(x->s), codec, said, fax_tone(said, rows[i / 2].type, 8000 * 5)); /* CNG sounds twice */
		turn_for_ms(b, 200);
		assert_int_equal(x->nheard, rows[i / 2].n);
		if (x->nheard)
			assert_int_equal(x->heard[0], rows[i / 2].heard);
		stream_end(b, x);
		peer_free(p);
		bed_free(b);
	}
}

/* RFC 4734 §3.2: event 36, whether it is listened to or not; once, however many packets tell of it. It is no digit. */
static void test_hearing_takes_cng_as_an_event(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 7000, 11);

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	settle(b, x->s);
	for (unsigned i = 0; i < 8; i++) {
		struct dtmf_event e = { .event = 36, .volume = 10, .duration = (uint16_t)(160 * (i % 4 + 1)), .end = i % 4 == 3 };
		uint8_t payload[DTMF_PAYLOAD_LEN];

		dtmf_print(payload, &e);
		peer_send_raw(p, stream_port(x->s), 101, i % 4 == 0, p->ts + i / 4 * 28000, payload, sizeof(payload));
		wait_received(b, i + 1);
		turn_for_ms(b, 20);
	}
	assert_int_equal(x->nheard, 2); /* it sounded twice */
	assert_int_equal(x->heard[0], STREAM_HEARD_CNG);
	assert_int_equal(x->ndigits, 0);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

#ifdef __SANITIZE_ADDRESS__
#define EVERY 10
#else
#define EVERY 2
#endif

static void on_tone(enum stream_heard what, uint32_t lasted_ms, void *arg)
{
	(void)what;
	(void)lasted_ms;
	++*(unsigned *)arg;
}

static void test_hearing_takes_no_speech_for_a_fax(void **state)
{
	static uint8_t bytes[8000 * 120];
	unsigned ntones = 0;
	glob_t found;

	(void)state;
	assert_int_equal(glob("/usr/share/asterisk/sounds/*_*_*/*.g722", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i += EVERY) {
		FILE *f = fopen(found.gl_pathv[i], "r");
		struct decoder *d = decoder_new(CODEC_G722, 16000);
		struct hearing *l = hearing_new(STREAM_LISTEN_FAX);
		unsigned before = ntones;
		size_t n;

		assert_non_null(f);
		n = fread(bytes, 1, sizeof(bytes), f);
		fclose(f);
		for (size_t k = 0; k + 160 <= n; k += 160) {
			assert_int_equal(decoder_run(d, bytes + k, 160, said, SAMPLES_MAX), 320);
			hearing_run(l, said, 320, 16000, on_tone, &ntones);
		}
		if (ntones != before)
			print_message("%s\n", found.gl_pathv[i]);
		hearing_free(l);
		decoder_free(d);
	}
	globfree(&found);
	assert_int_equal(ntones, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hearing_tells_talk_from_silence_in_any_codec),
		cmocka_unit_test(test_hearing_takes_nothing_for_silence),
		cmocka_unit_test(test_hearing_knows_fax_machines),
		cmocka_unit_test(test_hearing_takes_cng_as_an_event),
		cmocka_unit_test(test_hearing_takes_no_speech_for_a_fax),
	};

	return cmocka_run_group_tests_name("hearing", tests, warm_up, NULL);
}

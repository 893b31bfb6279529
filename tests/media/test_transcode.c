/* Real speech from each codec into each other, through two streams, and in each codec along every other path (relay, play, hold, record, a call's
 * recording): what comes out is aligned with what went in and compared. docs/media-quality.md has the table of all of it.
 *
 * Limits are a codec's own: the segmental SNR that its way there and back leaves of speech. Of two codecs in a row the noises add up.
 */
#include "tests/unit/media_bed.h"

#include "media/resample.h"
#include "tests/media/match.h"

#define SPEECH PROMPTS_DIR "/en/vm-options.wav"
#define SPEECH_AT_S 1
#ifdef __SANITIZE_ADDRESS__
#define SPEECH_MS 800          /* it is slow enough */
#else
#define SPEECH_MS 1200
#endif
#define SAMPLES_MAX (48 * (2 * SPEECH_MS + 1000)) /* music is heard more than once */

/* What is lost besides: fractions of a sample at the changes of rate. */
#define SLACK_DB 2.5
/* Music is encoded once for all, begins anywhere and starts anew from a fresh encoder: a codec that lives on its past needs a moment until
 * the listener's decoder knows what the encoder knew. */
#define ADAPTED_MS 400

static const struct quality {
	enum codec_id id;
	double segsnr_db;      /* least */
	double lsd_db;         /* most, log-spectral distance */
	bool is_alone;         /* like another one: with PCMU is enough */
} qualities[] = {
	{ CODEC_PCMU, 30, 3, false },
	{ CODEC_PCMA, 30, 3, false },
	{ CODEC_G722, 26, 3, false },
	{ CODEC_L16, 33, 2.5, false },
	{ CODEC_L16_8, 33, 2.5, true },
	{ CODEC_L16_44, 33, 2.5, true },
	{ CODEC_L16_48, 33, 2.5, true },
	{ CODEC_OPUS, 8.5, 4, false },
	{ CODEC_GSM, 14, 4.5, false },
	{ CODEC_G726_16, 16, 9, true },
	{ CODEC_G726_24, 21, 6.5, true },
	{ CODEC_G726_32, 27, 4, false },
	{ CODEC_G726_40, 30, 3.5, true },
	{ CODEC_AAL2_G726_16, 16, 9, true },
	{ CODEC_AAL2_G726_24, 21, 6.5, true },
	{ CODEC_AAL2_G726_32, 27, 4, true },
	{ CODEC_AAL2_G726_40, 30, 3.5, true },
#ifdef WITH_G729
	{ CODEC_G729, 2.5, 6, true },
#endif
};

static int16_t speech[SAMPLES_MAX], said[SAMPLES_MAX], heard[SAMPLES_MAX], low[SAMPLES_MAX];
static float needle[SAMPLES_MAX], hay[SAMPLES_MAX];
static size_t nspeech;
static uint32_t speech_hz;

static int speech_load(void **state)
{
	static int16_t all[16000 * 20];
	size_t n = wav_read(SPEECH, all, ARRAY_LEN(all), &speech_hz);

	(void)state;
	nspeech = (size_t)speech_hz / 1000 * SPEECH_MS;
	assert_true(n >= nspeech + SPEECH_AT_S * speech_hz);
	memcpy(speech, all + SPEECH_AT_S * speech_hz, nspeech * sizeof(*speech));
	return warm_up(state);
}

static size_t at_rate(const int16_t *in, size_t n, uint32_t from_hz, uint32_t to_hz, int16_t *out)
{
	struct resampler *r;

	if (from_hz == to_hz) {
		memcpy(out, in, n * sizeof(*in));
		return n;
	}
	r = resampler_new(from_hz, to_hz);
	assert_non_null(r);
	resampler_skip_start(r);
	n = resampler_run(r, in, n, out, SAMPLES_MAX);
	resampler_free(r);
	return n;
}

static size_t to_match(const int16_t *in, size_t n, uint32_t rate_hz, float *out)
{
	n = at_rate(in, n, rate_hz, MATCH_RATE_HZ, low);
	for (size_t i = 0; i < n; i++)
		out[i] = (float)low[i] / 32768;
	return n;
}

/* Over the wire, through a bridge of two streams. */
static void transcode(enum codec_id from, enum codec_id to, uint32_t ptime_ms, struct match *out)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(65500, 0xffffff00, 11), *q = peer_new(5, 5, 22);
	const struct codec *in = codec_get(from), *codec = codec_get(to);
	struct stream_config c = config_of(q->port, to);
	struct match_params m = { .needle = needle, .hay = hay };
	size_t n;

	p->listener = q;
	stream_setup(x->s, p->port, from);
	c.ptime_ms = ptime_ms;
	stream_configure(y->s, &c);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	n = at_rate(speech, nspeech, speech_hz, in->rate_hz, said);
	peer_talk(b, p, stream_port(x->s), from, said, n);
	turn_for_ms(b, 200);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_continuous(q, 0);
	assert_true(q->n > 0);
	for (unsigned i = 0; i < q->n; i++)
		assert_int_equal(codec_units(codec, q->payload[i], q->got[i].len),
				 codec->clock_hz * codec_fit_ptime(codec, ptime_ms) / 1000);
	n = peer_listen(q, 0, to, heard, SAMPLES_MAX);
	m.nhay = to_match(heard, n, codec->rate_hz, hay);
	m.nneedle = to_match(speech, nspeech, speech_hz, needle);
	assert_int_equal(match_find(&m, out), 0);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* G.729 is built by choice: it keeps the spectrum of speech rather than its wave, of which four fifths are left. */
static double least_corr(const struct quality *a, const struct quality *b)
{
	return a->id == CODEC_G729 || b->id == CODEC_G729 ? 0.75 : 0.85;
}

static double noise_of(double db) { return pow(10, -db / 10); }

static void check(const struct quality *a, const struct quality *b, uint32_t ptime_ms)
{
	double least = -10 * log10(noise_of(a->segsnr_db) + noise_of(b->segsnr_db)) - SLACK_DB;
	double most = a->lsd_db > b->lsd_db ? a->lsd_db + 1 : b->lsd_db + 1;
	struct match m;

	transcode(a->id, b->id, ptime_ms, &m);
	if (m.corr < least_corr(a, b) || m.coverage < 0.95 || m.segsnr_db < least || m.lsd_db > most || fabs(m.gain_db) > 1)
		fail_msg("%s/%u to %s/%u, %u ms: corr %.3f, %.1f dB (at least %.1f), %.1f dB apart (at most %.1f), gain %.1f dB",
			 codec_get(a->id)->name, codec_get(a->id)->rate_hz, codec_get(b->id)->name, codec_get(b->id)->rate_hz, ptime_ms,
			 m.corr, m.segsnr_db, least, m.lsd_db, most, m.gain_db);
}

static void test_transcode_every_pair_speaks_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(qualities); i++)
		for (size_t k = 0; k < ARRAY_LEN(qualities); k++)
			if (i != k && (!(qualities[i].is_alone || qualities[k].is_alone) || !i || !k))
				check(&qualities[i], &qualities[k], 20);
}

/* Packets of another length than they come in. */
static void test_transcode_between_packet_lengths(void **state)
{
	static const enum codec_id ids[] = { CODEC_PCMA, CODEC_OPUS, CODEC_GSM, CODEC_G726_32 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
		const struct quality *q = qualities;

		while (q->id != ids[i])
			q++;
		for (uint32_t ptime_ms = 10; ptime_ms <= 60; ptime_ms += i ? 25 : 50)
			check(&qualities[0], q, ptime_ms);
	}
}

/* ---- one codec, every other path ---- */

static char path[64];          /* of a file of this process */

/* With the speech, but for its first from_ms. */
static void compare_with_speech(const int16_t *out, size_t n, uint32_t rate_hz, uint32_t from_ms, struct match *m)
{
	struct match_params p = { .needle = needle, .hay = hay };
	size_t from = speech_hz / 1000 * from_ms;

	p.nhay = to_match(out, n, rate_hz, hay);
	p.nneedle = to_match(speech + from, nspeech - from, speech_hz, needle);
	assert_int_equal(match_find(&p, m), 0);
}

static void relayed(enum codec_id id, struct match *m) { transcode(id, id, 20, m); }

/* From a file, as a prompt or as the music of who is on hold. */
static void from_file(enum codec_id id, bool is_music, struct match *m)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *y = stream_make(b, NULL);
	struct peer *q = peer_new(5, 5, 22);
	const char *files[] = { path };

	wav_write(path, speech, nspeech, speech_hz, 1);
	stream_setup(y->s, q->port, id);
	settle(b, y->s);
	if (is_music)
		stream_music(y->s, "test/speech", files, 1);
	else
		stream_play(y->s, &(struct play_params){ .files = files, .nfiles = 1 });
	WAIT_FOR(b, (peer_receive(q), q->n > 0));
	for (unsigned ms = 0; ms < (is_music ? 2 : 1) * SPEECH_MS + 200; ms += 20) {
		turn_for_ms(b, 20);
		peer_receive(q);
	}
	compare_with_speech(heard, peer_listen(q, 0, id, heard, SAMPLES_MAX), codec_get(id)->rate_hz, is_music ? ADAPTED_MS : 0, m);
	stream_end(b, y);
	peer_free(q);
	bed_free(b);
	unlink(path);
}

static void played(enum codec_id id, struct match *m) { from_file(id, false, m); }
static void held(enum codec_id id, struct match *m) { from_file(id, true, m); }

static void on_capture_end(struct capture *c, const struct capture_result *r, void *arg)
{
	(void)c;
	assert_int_equal(r->err, 0);
	assert_int_equal(r->lost_ms, 0);
	*(bool *)arg = true;
}

/* Into a file, of the stream alone or of a call. */
static void into_file(enum codec_id id, bool is_call, struct match *m)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(65500, 0xffffff00, 11);
	struct capture *c = NULL;
	bool has_ended = false;
	uint32_t rate_hz;
	size_t n;

	unlink(path);
	stream_setup(x->s, p->port, id);
	if (is_call) {
		struct capture_params params = { .path = path, .format = CAPTURE_WAV, .rate_hz = 16000 };

		assert_int_equal(capture_start(&c, b->media, &params, on_capture_end, &has_ended), 0);
		stream_capture(x->s, c, CAPTURE_CALLER);
	} else {
		stream_record(x->s, &(struct record_params){ .path = path });
	}
	settle(b, x->s);
	n = at_rate(speech, nspeech, speech_hz, codec_get(id)->rate_hz, said);
	peer_talk(b, p, stream_port(x->s), id, said, n);
	turn_for_ms(b, 300);
	if (c)
		capture_stop(c);
	else
		stream_record_stop(x->s);
	WAIT_FOR(b, c ? has_ended : x->nrecord > 0);
	n = wav_read(path, heard, SAMPLES_MAX, &rate_hz);
	compare_with_speech(heard, n, rate_hz, 0, m);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
	unlink(path);
}

static void recorded(enum codec_id id, struct match *m) { into_file(id, false, m); }
static void captured(enum codec_id id, struct match *m) { into_file(id, true, m); }

static void test_path_each_codec_keeps_speech_on_every_way(void **state)
{
	static const struct { const char *name; void (*go)(enum codec_id id, struct match *m); } ways[] = {
		{ "relayed", relayed }, { "played", played }, { "on hold", held }, { "recorded", recorded }, { "in a call's recording", captured },
	};

	(void)state;
	snprintf(path, sizeof(path), "/tmp/test_transcode-%d.wav", (int)getpid());
	for (size_t i = 0; i < ARRAY_LEN(qualities); i++) {
		for (size_t k = 0; k < ARRAY_LEN(ways); k++) {
			const struct quality *q = &qualities[i];
			struct match m;

			if (ways[k].go == relayed && codec_fit_ptime(codec_get(q->id), 20) != 20)
				continue; /* the test's own end has no room for such packets */
			ways[k].go(q->id, &m);
			if (m.corr < least_corr(q, q) || m.coverage < 0.95 || m.segsnr_db < q->segsnr_db - SLACK_DB || m.lsd_db > q->lsd_db + 1 || fabs(m.gain_db) > 1)
				fail_msg("%s/%u %s: corr %.3f, coverage %.2f, %.1f dB (at least %.1f), %.1f dB apart (at most %.1f), gain %.1f dB",
					 codec_get(q->id)->name, codec_get(q->id)->rate_hz, ways[k].name, m.corr, m.coverage, m.segsnr_db,
					 q->segsnr_db - SLACK_DB, m.lsd_db, q->lsd_db + 1, m.gain_db);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_transcode_every_pair_speaks_the_same),
		cmocka_unit_test(test_transcode_between_packet_lengths),
		cmocka_unit_test(test_path_each_codec_keeps_speech_on_every_way),
	};

	return cmocka_run_group_tests(tests, speech_load, NULL);
}

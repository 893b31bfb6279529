/* Streams that transcode, play, make tones and record: what arrives is compared with what was said, by correlation. */
#include "media_bed.h"

#include <sys/stat.h>

#include "media/inband.h"
#include "media/tonegen.h"

#define SAMPLES_MAX (16000 * 8)

static char dir[] = "/tmp/cordboard-test-XXXXXX";
static int16_t said[SAMPLES_MAX], heard[SAMPLES_MAX];

static const char *path_of(const char *name)
{
	static char paths[4][300];
	static unsigned at;
	char *p = paths[at++ % 4];

	snprintf(p, sizeof(paths[0]), "%s/%s", dir, name);
	return p;
}

static uint32_t play(struct stream *s, const char *file, const char *stop_digits, bool loop)
{
	struct play_params p = { .files = &file, .nfiles = 1, .stop_digits = stop_digits, .loop = loop };

	return stream_play(s, &p);
}

/* ---- transcoding ---- */

static void test_media_transcode_sounds_the_same(void **state)
{
	static const struct { enum codec_id from, to; double like; } v[] = {
		{ CODEC_PCMU, CODEC_PCMA, 0.98 },
		/* the filters delay by fractions of a sample, which the comparison can't follow */
		{ CODEC_PCMU, CODEC_G722, 0.9 },
		{ CODEC_G722, CODEC_PCMA, 0.9 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
		struct peer *p = peer_new(65500, 0xffffff00, 11), *q = peer_new(5, 5, 22);
		uint32_t rate_hz = codec_get(v[i].from)->rate_hz, to_hz = codec_get(v[i].to)->rate_hz;
		size_t n;
		double like;

		stream_setup(x->s, p->port, v[i].from);
		stream_setup(y->s, q->port, v[i].to);
		stream_bridge(x->s, y->s);
		settle(b, x->s);
		sweep(said, rate_hz, rate_hz); /* a second */
		peer_talk(b, p, stream_port(x->s), v[i].from, said, rate_hz);
		turn_for_ms(b, 200);
		WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
		assert_continuous(q, 0);
		assert_true(q->got[0].marker);
		assert_in_range(q->n, 48, 65); /* 50, and what was concealed when it ended */
		n = peer_listen(q, 0, v[i].to, heard, SAMPLES_MAX);
		sweep(said, to_hz, to_hz);
		like = correlation(said, to_hz, heard, n, (int)to_hz / 20);
		if (like < v[i].like)
			fail_msg("%s to %s: %f alike", codec_get(v[i].from)->name, codec_get(v[i].to)->name, like);
		stream_end(b, x);
		stream_end(b, y);
		peer_free(p);
		peer_free(q);
		bed_free(b);
	}
}

static void test_media_transcode_ends_when_codecs_agree(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	unsigned n;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMA);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	sweep(said, 8000, 8000);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said, 3200);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_true(q->n > 10 && q->got[q->n - 1].pt == 8);
	stream_setup(y->s, q->port, CODEC_PCMU); /* re-INVITE */
	settle(b, x->s);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	n = q->n;
	peer_send(p, stream_port(x->s), 0, 0x42); /* relayed at once, as it is */
	WAIT_FOR(b, (peer_receive(q), q->n > n && q->payload[q->n - 1][0] == 0x42));
	assert_int_equal(q->got[q->n - 1].pt, 0);
	assert_continuous(q, 0);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_transcode_conceals_loss(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct stream_stats stats;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMA);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	sweep(said, 8000, 8000);
	for (unsigned i = 0; i < 8; i++) { /* one packet of six is lost */
		peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said + i * 960, 800);
		p->seq++;
		p->ts += 160;
		turn_for_ms(b, 20);
	}
	turn_for_ms(b, 150);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_continuous(q, 0); /* their ears hear no gap */
	assert_in_range(q->n, 46, 65);
	stats = stream_end(b, x);
	assert_int_equal(stats.lost, 7);
	assert_in_range(stats.concealed_ms, 120, 500);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_echo_between_codecs(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct stream_config c = config_of(p->port, CODEC_PCMA);
	size_t n;

	(void)state;
	c.nrecv = 2; /* they may send another codec than we do */
	c.recv[1].codec = CODEC_PCMU;
	c.recv[1].pt = 0;
	stream_configure(x->s, &c);
	stream_echo(x->s);
	settle(b, x->s);
	sweep(said, 8000, 8000);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said, 8000);
	turn_for_ms(b, 150);
	WAIT_STILL(b, (peer_receive(p), p->n == bed_counters(b).packets_sent));
	assert_continuous(p, 0);
	n = peer_listen(p, 0, CODEC_PCMA, heard, SAMPLES_MAX);
	assert_true(correlation(said, 8000, heard, n, 400) > 0.97);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

/* ---- playing ---- */

static void test_media_play_arrives_as_it_is_in_the_file(void **state)
{
	static const struct { uint32_t rate_hz; int channels; enum codec_id codec; uint32_t ptime_ms; double like; } v[] = {
		{ 8000, 1, CODEC_PCMA, 20, 0.99 },  { 16000, 1, CODEC_G722, 20, 0.97 }, { 16000, 1, CODEC_PCMU, 30, 0.9 },
		{ 44100, 2, CODEC_PCMU, 10, 0.9 }, { 8000, 1, CODEC_G722, 20, 0.9 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL);
		struct peer *p = peer_new(100, 0, 11);
		struct stream_config c = config_of(p->port, v[i].codec);
		uint32_t to_hz = codec_get(v[i].codec)->rate_hz, id;
		int16_t *file = calloc((size_t)v[i].rate_hz * 2, sizeof(*file));
		size_t n;
		double like;

		sweep(said, v[i].rate_hz, v[i].rate_hz);
		for (uint32_t k = 0; k < v[i].rate_hz; k++) {
			for (int ch = 0; ch < v[i].channels; ch++)
				file[k * (uint32_t)v[i].channels + (uint32_t)ch] = said[k];
		}
		wav_write(path_of("a.wav"), file, v[i].rate_hz, v[i].rate_hz, v[i].channels);
		free(file);
		c.ptime_ms = v[i].ptime_ms;
		stream_configure(x->s, &c);
		id = play(x->s, path_of("a.wav"), NULL, false);
		assert_int_not_equal(id, 0);
		WAIT_FOR(b, (peer_receive(p), x->nplay == 1));
		WAIT_STILL(b, (peer_receive(p), p->n == bed_counters(b).packets_sent));
		assert_int_equal(x->play_id, id);
		assert_int_equal(x->play_end, PLAY_DONE);
		assert_continuous(p, 0);
		assert_in_range(p->n, 1000 / v[i].ptime_ms, 1020 / v[i].ptime_ms + 1);
		assert_int_equal(p->got[0].len, codec_bytes(codec_get(v[i].codec), v[i].ptime_ms));
		/* paced: a second of sound takes a second to send */
		assert_in_range(p->at_us[p->n - 1] - p->at_us[0], 960000, 1000000);
		n = peer_listen(p, 0, v[i].codec, heard, SAMPLES_MAX);
		sweep(said, to_hz, to_hz);
		like = correlation(said, to_hz, heard, n, (int)to_hz / 100);
		if (like < v[i].like)
			fail_msg("row %zu: %f alike", i, like);
		stream_end(b, x);
		peer_free(p);
		bed_free(b);
	}
}

static void test_media_play_files_follow_without_a_gap(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	const char *files[3];
	size_t n;

	(void)state;
	sweep(said, 8000, 8000);
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "part%d.wav", i);
		files[i] = path_of(name);
		wav_write(files[i], said + i * 2400, 2400, 8000, 1);
	}
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_play(x->s, &(struct play_params){ .files = files, .nfiles = 3 });
	WAIT_FOR(b, (peer_receive(p), x->nplay == 1));
	assert_int_equal(x->play_end, PLAY_DONE);
	WAIT_STILL(b, (peer_receive(p), p->n == bed_counters(b).packets_sent));
	assert_int_equal(p->n, 45);
	assert_continuous(p, 0);
	n = peer_listen(p, 0, CODEC_PCMU, heard, SAMPLES_MAX);
	assert_true(correlation(said, 7200, heard, n, 0) > 0.99);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_play_ends_by_digit_by_stop_and_by_another_source(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	uint32_t id, other;
	unsigned n;

	(void)state;
	sweep(said, 8000, 8000);
	wav_write(path_of("long.wav"), said, 8000, 8000, 1);
	stream_setup(x->s, p->port, CODEC_PCMU);
	id = play(x->s, path_of("long.wav"), "12#", true);
	WAIT_FOR(b, (peer_receive(p), p->n > 3));
	peer_press(p, stream_port(x->s), '5', 60); /* not one of them */
	peer_press(p, stream_port(x->s), '#', 60);
	WAIT_FOR(b, x->nplay == 1);
	assert_int_equal(x->play_id, id);
	assert_int_equal(x->play_end, PLAY_DIGIT);
	assert_string_equal(x->digits, "5#"); /* reported before */

	id = play(x->s, path_of("long.wav"), NULL, true);
	n = p->n;
	WAIT_FOR(b, (peer_receive(p), p->n > n + 3));
	stream_play_stop(x->s);
	WAIT_FOR(b, x->nplay == 2);
	assert_true(x->play_id == id && x->play_end == PLAY_STOPPED);

	/* one after the other in the same breath: each ends once */
	id = play(x->s, path_of("long.wav"), NULL, true);
	other = play(x->s, path_of("part0.wav"), NULL, false);
	assert_int_not_equal(id, other);
	WAIT_FOR(b, x->nplay == 3);
	assert_true(x->play_id == id && x->play_end == PLAY_STOPPED);
	WAIT_FOR(b, x->nplay == 4);
	assert_true(x->play_id == other && x->play_end == PLAY_DONE);

	id = play(x->s, path_of("long.wav"), NULL, true);
	stream_echo(x->s);
	WAIT_FOR(b, x->nplay == 5);
	assert_true(x->play_id == id && x->play_end == PLAY_STOPPED);

	id = play(x->s, path_of("absent.wav"), NULL, false);
	assert_int_equal(x->nplay, 5); /* never from inside the call */
	WAIT_FOR(b, x->nplay == 6);
	assert_true(x->play_id == id && x->play_end == PLAY_FAILED);

	id = play(x->s, path_of("long.wav"), NULL, true);
	stream_close(x->s);
	WAIT_FOR(b, x->nclosed == 1);
	assert_int_equal(x->nplay, 7);
	assert_true(x->play_id == id && x->play_end == PLAY_STOPPED);
	free(x);
	assert_continuous(p, 0);
	peer_free(p);
	bed_free(b);
}

static void test_media_play_survives_a_change_of_codec(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	size_t n;
	unsigned before, lost;

	(void)state;
	sweep(said, 8000, 8000);
	wav_write(path_of("b.wav"), said, 8000, 8000, 1);
	play(x->s, path_of("b.wav"), NULL, false); /* waits until there is a codec */
	turn_for_ms(b, 30);
	stream_setup(x->s, p->port, CODEC_PCMA);
	WAIT_FOR(b, (peer_receive(p), p->n == 20));
	stream_setup(x->s, p->port, CODEC_PCMU);
	WAIT_FOR(b, (peer_receive(p), x->nplay == 1));
	assert_int_equal(x->play_end, PLAY_DONE);
	WAIT_STILL(b, (peer_receive(p), p->n == bed_counters(b).packets_sent));
	assert_continuous(p, 0);
	for (before = 0; before < p->n && p->got[before].pt == 8; before++)
		;
	assert_in_range(before, 20, 49);
	/* the time it took to load is lost, no more */
	lost = (unsigned)((p->got[before].ts - p->got[before - 1].ts) / 160 - 1);
	assert_int_equal(p->n + lost, 50);
	n = peer_listen(p, before, CODEC_PCMU, heard, SAMPLES_MAX);
	assert_true(correlation(said + 8000 - n, n, heard, n, 0) > 0.98); /* and it went on where it was */
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_play_goes_on_in_frames_longer_than_a_packet(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct stream_config c = config_of(p->port, CODEC_PCMU);

	(void)state;
	sweep(said, 8000, 8000);
	wav_write(path_of("c.wav"), said, 8000, 8000, 1);
	stream_setup(x->s, p->port, CODEC_GSM);
	play(x->s, path_of("c.wav"), NULL, false);
	WAIT_FOR(b, (peer_receive(p), p->n == 10));
	unlink(path_of("c.wav")); /* the new list never comes: time goes on by the old one */
	c.ptime_ms = 10;
	stream_configure(x->s, &c);
	turn_for_ms(b, 1100);
	WAIT_FOR(b, x->nplay == 1);
	assert_int_equal(x->play_end, PLAY_DONE);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_play_pauses_seeks_and_begins_where_it_shall(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	const char *files[2] = { path_of("s0.wav"), path_of("s1.wav") };
	struct play_params params = { .files = files, .nfiles = 2, .start_ms = 1500 };
	unsigned n;
	size_t nsamples;

	(void)state;
	sweep(said, 16000, 8000); /* 2 s, of which a second in each file */
	wav_write(files[0], said, 8000, 8000, 1);
	wav_write(files[1], said + 8000, 8000, 8000, 1);
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_play(x->s, &params);
	stream_play_seek(x->s, -1000); /* not read yet: it begins there */
	stream_play_pause(x->s);
	settle(b, x->s);
	turn_for_ms(b, 200);
	peer_receive(p);
	assert_int_equal(p->n, 0);
	stream_play_resume(x->s);
	WAIT_FOR(b, (peer_receive(p), p->n == 10)); /* 0.5 to 0.7 s */
	nsamples = peer_listen(p, 0, CODEC_PCMU, heard, SAMPLES_MAX);
	assert_true(correlation(said + 4000, nsamples, heard, nsamples, 0) > 0.98);

	stream_play_pause(x->s);
	settle(b, x->s);
	turn_for_ms(b, 200);
	WAIT_STILL(b, (peer_receive(p), p->n == bed_counters(b).packets_sent));
	n = p->n;
	assert_in_range(n, 10, 12);
	stream_play_seek(x->s, 500); /* in the pause, over the end of the first file */
	settle(b, x->s);
	turn_for_ms(b, 100);
	assert_int_equal(bed_counters(b).packets_sent, n);
	stream_play_resume(x->s);
	WAIT_FOR(b, (peer_receive(p), p->n == n + 10));
	assert_true(p->got[n].marker); /* a pause has gone by, which the timestamp has followed */
	assert_in_range(p->got[n].ts - p->got[n - 1].ts, 300 * 8, 400 * 8);
	nsamples = peer_listen(p, n, CODEC_PCMU, heard, SAMPLES_MAX);
	assert_true(correlation(said + 4000 + n * 160 + 4000, nsamples, heard, nsamples, 0) > 0.98);

	stream_play_seek(x->s, -60000);
	n = p->n + 2;
	WAIT_FOR(b, (peer_receive(p), p->n >= n + 8)); /* from the beginning */
	nsamples = peer_listen(p, n, CODEC_PCMU, heard, SAMPLES_MAX);
	assert_true(correlation(said, nsamples, heard, nsamples, 320) > 0.98);
	assert_int_equal(x->nplay, 0);
	stream_play_seek(x->s, 60000);
	WAIT_FOR(b, x->nplay == 1);
	assert_int_equal(x->play_end, PLAY_DONE);
	assert_continuous(p, 0);

	params.loop = true; /* round and round: 4.5 s are 0.5 s */
	params.start_ms = 4500;
	WAIT_STILL(b, (peer_receive(p), p->n == bed_counters(b).packets_sent));
	n = p->n;
	stream_play(x->s, &params);
	WAIT_FOR(b, (peer_receive(p), p->n == n + 10));
	nsamples = peer_listen(p, n, CODEC_PCMU, heard, SAMPLES_MAX);
	assert_true(correlation(said + 4000, nsamples, heard, nsamples, 0) > 0.98);
	params.loop = false;
	stream_play(x->s, &params);
	WAIT_FOR(b, x->nplay == 3); /* stopped by this one, which was beyond the end */
	assert_int_equal(x->play_end, PLAY_DONE);
	stream_play_seek(x->s, 10); /* of none */
	stream_play_pause(x->s);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_music_is_one_for_all_listeners(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	const char *file = path_of("music.wav");
	unsigned same = 0;

	(void)state;
	sweep(said, 16000, 8000);
	wav_write(file, said, 16000, 8000, 1); /* 2 s */
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_music(x->s, "demo/default", &file, 1);
	WAIT_FOR(b, (peer_receive(p), p->n > 10));
	stream_music(y->s, "demo/default", &file, 1); /* joins later, on another worker */
	WAIT_FOR(b, (peer_receive(p), peer_receive(q), q->n > 20));
	turn_for_ms(b, 50);
	WAIT_STILL(b, (peer_receive(p), peer_receive(q), p->n + q->n == bed_counters(b).packets_sent));
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned k = 0; k < p->n; k++) {
			/* packets are 20 ms, the listeners' may lie 10 ms apart: half a packet must be alike */
			bool whole = memcmp(q->payload[i], p->payload[k], 160) == 0;
			bool half = memcmp(q->payload[i], p->payload[k] + 80, 80) == 0 ||
				    memcmp(q->payload[i] + 80, p->payload[k], 80) == 0;
			int64_t apart = (int64_t)(q->at_us[i] - p->at_us[k]);

			if ((whole || half) && llabs(apart) < 30000) {
				same++;
				break;
			}
		}
	}
	assert_in_range(same, 18, 20);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* Plays a file in a codec to its end. */
static void play_out(struct bed *b, const char *file, enum codec_id codec, enum play_end end)
{
	struct seen *x = stream_make(b, NULL);

	stream_setup(x->s, 9, codec);
	play(x->s, file, NULL, false);
	WAIT_FOR(b, x->nplay == 1);
	assert_int_equal(x->play_end, end);
	stream_end(b, x);
}

static void test_media_sound_is_prepared_once_for_all(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2 });
	const char *file = path_of("shared.wav");
	struct seen *x[20];
	struct media_counters c;

	(void)state;
	sweep(said, 8000, 8000);
	wav_write(file, said, 8000, 8000, 1);
	for (size_t i = 0; i < ARRAY_LEN(x); i++) {
		x[i] = stream_make(b, NULL);
		stream_setup(x[i]->s, 9, i < 10 ? CODEC_PCMU : CODEC_G722);
		if (i % 2)
			stream_music(x[i]->s, "demo/shared", &file, 1);
		else
			play(x[i]->s, file, NULL, true);
	}
	WAIT_FOR(b, bed_counters(b).packets_sent > 200);
	c = bed_counters(b);
	assert_int_equal(c.sounds_made, 2); /* once a codec, whoever hears it and how */
	assert_int_equal(c.sounds, 2);
	assert_in_range(c.sound_bytes, 2 * 8000, 2 * 8000 + 160); /* what the resampler held back ends in a frame of its own */
	for (size_t i = 0; i < ARRAY_LEN(x); i++)
		stream_end(b, x[i]);
	play_out(b, file, CODEC_PCMU, PLAY_DONE);
	assert_int_equal(bed_counters(b).sounds_made, 2);
	bed_free(b);
}

static void test_media_sound_of_a_changed_file_is_the_new_one(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	const char *file = path_of("changed.wav");
	struct seen *x = stream_make(b, NULL);

	(void)state;
	sweep(said, 8000, 8000);
	wav_write(file, said, 8000, 8000, 1);
	stream_setup(x->s, 9, CODEC_PCMU);
	play(x->s, file, NULL, true); /* goes on with what was in the file */
	play_out(b, file, CODEC_PCMU, PLAY_DONE);
	wav_write(file, said, 400, 8000, 1);
	WAIT_FOR(b, (play_out(b, file, CODEC_PCMU, PLAY_DONE), bed_counters(b).sounds_made == 2)); /* soon */
	assert_int_equal(bed_counters(b).sound_bytes, 400);
	unlink(file);
	WAIT_FOR(b, (play(x->s, file, NULL, true), turn_for_ms(b, 20), bed_counters(b).sounds == 0));
	WAIT_FOR(b, x->nplay > 0 && x->play_end == PLAY_FAILED);
	stream_end(b, x);
	bed_free(b);
}

static void test_media_sound_cache_keeps_what_was_heard_last(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1, .sound_cache_bytes = 3000 });
	struct seen *x = stream_make(b, NULL);
	char names[5][300];

	(void)state;
	sweep(said, 800, 8000);
	for (int i = 0; i < 5; i++) {
		snprintf(names[i], sizeof(names[i]), "%s/keep%d.wav", dir, i);
		wav_write(names[i], said, 800, 8000, 1);
	}
	stream_setup(x->s, 9, CODEC_PCMU);
	play(x->s, names[0], NULL, true); /* in use: it stays, whatever there is no room for */
	for (int i = 1; i < 5; i++) {
		turn_for_ms(b, 2);
		uv_update_time(&b->loop);
		play_out(b, names[i], CODEC_PCMU, PLAY_DONE);
	}
	assert_int_equal(bed_counters(b).sounds, 3);
	assert_int_equal(bed_counters(b).sound_bytes, 2400);
	assert_int_equal(bed_counters(b).sounds_made, 5);
	play_out(b, names[4], CODEC_PCMU, PLAY_DONE);
	play_out(b, names[0], CODEC_PCMU, PLAY_DONE);
	assert_int_equal(bed_counters(b).sounds_made, 5);
	play_out(b, names[1], CODEC_PCMU, PLAY_DONE); /* the first that had to go */
	assert_int_equal(bed_counters(b).sounds_made, 6);
	stream_end(b, x);
	bed_free(b);
}

static double power_at(const int16_t *pcm, size_t n, double hz, double rate_hz)
{
	double re = 0, im = 0;

	for (size_t i = 0; i < n; i++) {
		re += pcm[i] * cos(2 * M_PI * hz * (double)i / rate_hz);
		im += pcm[i] * sin(2 * M_PI * hz * (double)i / rate_hz);
	}
	return sqrt(re * re + im * im) / (double)n;
}

static void test_media_tones_have_pitch_and_cadence(void **state)
{
	static const enum codec_id codecs[] = { CODEC_PCMU, CODEC_G722 };
	static const struct tone cadence[] = { { 425, 0, 200, 100, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(codecs); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL);
		struct peer *p = peer_new(100, 0, 11);
		uint32_t hz = codec_get(codecs[i])->rate_hz, ms = hz / 1000;

		stream_setup(x->s, p->port, codecs[i]);
		stream_tones(x->s, cadence, 1);
		WAIT_FOR(b, (peer_receive(p), p->n >= 31));
		assert_continuous(p, 0);
		peer_listen(p, 0, codecs[i], heard, SAMPLES_MAX);
		for (unsigned k = 0; k < 2; k++) { /* the cadence, twice */
			assert_true(power_at(heard + (k * 300 + 20) * ms, 160 * ms, 425, hz) > 1000);
			assert_true(power_at(heard + (k * 300 + 20) * ms, 160 * ms, 850, hz) < 100);
			assert_true(power_at(heard + (k * 300 + 220) * ms, 70 * ms, 425, hz) < 100);
		}
		stream_end(b, x);
		peer_free(p);
		bed_free(b);
	}
}

/* A tone without end has no seam, and one whose loudness another moves has both on its sides and not by itself. */
static void test_media_tones_go_on_and_are_modulated(void **state)
{
	static const struct tone plain = { 425, 0, 110, 0, false }, modulated = { 400, 25, 1000, 0, true };
	struct tonegen g;
	int jump = 0, peak = 0;

	(void)state;
	tonegen_init(&g, &plain, 1, 8000);
	assert_true(tonegen_run(&g, said, 8000));
	for (unsigned i = 1; i < 8000; i++)
		jump = abs(said[i] - said[i - 1]) > jump ? abs(said[i] - said[i - 1]) : jump;
	for (unsigned i = 0; i < 8000; i++)
		peak = abs(said[i]) > peak ? abs(said[i]) : peak;
	assert_true(jump < peak * 2 * M_PI * 425 / 8000 * 1.02); /* no steeper than the sine */
	assert_true(power_at(said, 8000, 425, 8000) > 1000);
	tonegen_init(&g, &modulated, 1, 8000);
	assert_true(tonegen_run(&g, said, 8000));
	assert_true(power_at(said, 8000, 400, 8000) > 1000);
	assert_in_range(power_at(said, 8000, 375, 8000) / power_at(said, 8000, 400, 8000) * 100, 42, 48);
	assert_in_range(power_at(said, 8000, 425, 8000) / power_at(said, 8000, 400, 8000) * 100, 42, 48);
	assert_true(power_at(said, 8000, 25, 8000) < 20);
}

/* ---- digits as tones ---- */

static void test_media_digit_crosses_to_a_leg_without_events(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct stream_config c = config_of(q->port, CODEC_PCMU);
	struct inband *in = inband_new(8000);
	struct dtmf_digit d[4];
	char got[8] = "";
	size_t n, ngot = 0;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	stream_configure(y->s, &c);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	peer_press(p, stream_port(x->s), '4', 100);
	peer_press(p, stream_port(x->s), '*', 100);
	for (unsigned i = 0; i < 30; i++)
		peer_send_in_time(b, p, stream_port(x->s), 0, 0xff); /* silence */
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_continuous(q, 0);
	n = peer_listen(q, 0, CODEC_PCMU, heard, SAMPLES_MAX);
	for (size_t i = 0; i + 160 <= n; i += 160) {
		unsigned k = inband_run(in, heard + i, 160, d, 4);

		for (unsigned m = 0; m < k; m++)
			got[ngot++] = d[m].digit;
	}
	assert_string_equal(got, "4*");
	inband_free(in);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* The codec changes while a digit sounds: it goes on at the new one's rate, in packets of the new length. */
static void test_media_digit_goes_on_in_another_codec(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct stream_config c = config_of(p->port, CODEC_L16_48);
	struct inband *in = inband_new(8000);
	struct dtmf_digit d[4];
	unsigned wide, ndigits = 0;
	size_t n;

	(void)state;
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	stream_configure(x->s, &c);
	stream_send_digit(x->s, '7', 1000);
	WAIT_FOR(b, (peer_receive(p), p->n >= 30)); /* of 10 ms */
	c = config_of(p->port, CODEC_PCMU);
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	c.ptime_ms = 60;
	stream_configure(x->s, &c);
	wide = p->n;
	WAIT_FOR(b, (peer_receive(p), p->n >= wide + 10));
	for (unsigned i = wide; i < p->n; i++)
		assert_int_equal(p->got[i].len, 480);
	n = peer_listen(p, wide, CODEC_PCMU, heard, SAMPLES_MAX);
	for (size_t i = 0; i + 160 <= n; i += 160)
		ndigits += inband_run(in, heard + i, 160, d + ndigits, 4 - ndigits);
	memset(heard, 0, 1600 * sizeof(heard[0]));
	ndigits += inband_run(in, heard, 160, d + ndigits, 4 - ndigits);
	ndigits += inband_run(in, heard, 160, d + ndigits, 4 - ndigits);
	assert_int_equal(ndigits, 1);
	assert_int_equal(d[0].digit, '7');
	inband_free(in);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_digit_is_heard_without_events(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct stream_config c = config_of(p->port, CODEC_G722);
	struct tonegen g;

	(void)state;
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	stream_configure(x->s, &c);
	settle(b, x->s);
	memset(said, 0, sizeof(said));
	tonegen_init_digit(&g, '8', 100, 16000);
	tonegen_run(&g, said, 1600);
	tonegen_init_digit(&g, 'D', 100, 16000);
	tonegen_run(&g, said + 4800, 1600);
	peer_talk(b, p, stream_port(x->s), CODEC_G722, said, 9600);
	WAIT_FOR(b, x->ndigits == 2);
	assert_string_equal(x->digits, "8D");
	assert_in_range(x->digit_ms[0], 60, 140);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

/* ---- recording ---- */

static uint32_t record(struct stream *s, const char *file, uint32_t max_ms, uint32_t silence_ms, const char *stop)
{
	struct record_params p = { .path = file, .max_ms = max_ms, .silence_ms = silence_ms, .stop_digits = stop };

	return stream_record(s, &p);
}

static void test_media_record_is_what_was_said(void **state)
{
	static const struct { enum codec_id codec; double like; } v[] = { { CODEC_PCMU, 0.98 }, { CODEC_G722, 0.96 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL);
		struct peer *p = peer_new(100, 0, 11);
		uint32_t hz = codec_get(v[i].codec)->rate_hz, rate_hz, id;
		size_t n;
		struct stat st;

		stream_setup(x->s, p->port, v[i].codec);
		id = record(x->s, path_of("rec.wav"), 0, 0, NULL);
		sweep(said, hz, hz);
		peer_talk(b, p, stream_port(x->s), v[i].codec, said, hz);
		/* under way it is a file already, with a true header */
		WAIT_STILL(b, stat(path_of("rec.wav"), &st) == 0 && st.st_size > (off_t)hz * 2);
		WAIT_STILL(b, wav_read(path_of("rec.wav"), heard, SAMPLES_MAX, &rate_hz) >= hz);
		assert_int_equal(rate_hz, hz);
		turn_for_ms(b, 150);
		stream_record_stop(x->s);
		WAIT_FOR(b, x->nrecord == 1);
		assert_int_equal(x->record_id, id);
		assert_int_equal(x->record.end, RECORD_STOPPED);
		n = wav_read(path_of("rec.wav"), heard, SAMPLES_MAX, &rate_hz);
		assert_int_equal(n * 1000 / hz, x->record.duration_ms);
		assert_in_range(x->record.duration_ms, 1140, 1180);
		assert_in_range(x->record.talk_ms, 980, 1060);
		assert_true(correlation(said, hz, heard, n, (int)hz / 5) > v[i].like);
		stream_end(b, x);
		peer_free(p);
		bed_free(b);
	}
}

static void test_media_record_ends_for_each_reason(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	const char *file = path_of("ends.wav");
	uint32_t rate_hz;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMA);
	record(x->s, file, 200, 0, NULL);
	WAIT_FOR(b, x->nrecord == 1);
	assert_int_equal(x->record.end, RECORD_LIMIT);
	assert_int_equal(x->record.duration_ms, 200);
	assert_int_equal(x->record.talk_ms, 0);
	assert_int_equal(wav_read(file, heard, SAMPLES_MAX, &rate_hz), 1600); /* silence has its time, too */

	record(x->s, file, 0, 300, NULL);
	settle(b, x->s);
	sweep(said, 4000, 8000);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMA, said, 4000);
	assert_int_equal(x->nrecord, 1);
	WAIT_FOR(b, x->nrecord == 2);
	assert_int_equal(x->record.end, RECORD_SILENCE);
	assert_in_range(x->record.duration_ms, 800, 1200);

	record(x->s, file, 0, 0, "#");
	settle(b, x->s);
	peer_press(p, stream_port(x->s), '1', 60);
	peer_press(p, stream_port(x->s), '#', 60);
	WAIT_FOR(b, x->nrecord == 3);
	assert_int_equal(x->record.end, RECORD_DIGIT);
	assert_string_equal(x->digits, "1#");

	record(x->s, "/nonexistent/folder/file.wav", 0, 0, NULL);
	WAIT_FOR(b, x->nrecord == 4);
	assert_int_equal(x->record.end, RECORD_FAILED);
	assert_int_equal(x->record.err, -ENOENT);

	/* a second recording ends the first */
	record(x->s, file, 0, 0, NULL);
	record(x->s, path_of("second.wav"), 0, 0, NULL);
	WAIT_FOR(b, x->nrecord == 5);
	assert_int_equal(x->record.end, RECORD_STOPPED);

	/* the end of the stream ends it, and is heard after it */
	stream_close(x->s);
	WAIT_FOR(b, x->nclosed == 1);
	assert_int_equal(x->nrecord, 6);
	assert_int_equal(x->record.end, RECORD_CLOSED);
	free(x);
	peer_free(p);
	bed_free(b);
}

/* A sender on a busy machine: it stands still, then sends all at once. What it said before it pressed the key, or before the
 * stream's end, is in the file however late it was. */
static void test_media_record_loses_nothing_of_a_burst(void **state)
{
	static const struct { unsigned stall_ms; bool presses; } v[] = { { 100, true }, { 400, true }, { 900, true }, { 300, false }, { 900, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL);
		struct peer *p = peer_new(100, 0, 11);
		struct encoder *e = encoder_new(CODEC_PCMU, 8000);
		size_t late = 2 * 8000 - v[i].stall_ms * 8, middle = late / 320 * 160, n;
		uint32_t rate_hz;

		stream_setup(x->s, p->port, CODEC_PCMU);
		record(x->s, path_of("burst.wav"), 0, 0, "#");
		settle(b, x->s);
		sweep(said, 2 * 8000, 8000);
		peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said, middle);
		for (size_t at = middle; at < late; at += 160) { /* in the middle a burst of 100 ms */
			uint8_t payload[160];

			if (at - middle == 800)
				turn_for_ms(b, 100);
			encoder_run(e, said + at, 160, payload, sizeof(payload));
			peer_send_raw(p, stream_port(x->s), 0, false, p->ts, payload, sizeof(payload));
			p->ts += 160;
			if (at - middle >= 1600)
				turn_for_ms(b, 20);
		}
		turn_for_ms(b, v[i].stall_ms);
		for (size_t at = late; at < 2 * 8000; at += 160) {
			uint8_t payload[160];

			encoder_run(e, said + at, 160, payload, sizeof(payload));
			peer_send_raw(p, stream_port(x->s), 0, false, p->ts, payload, sizeof(payload));
			p->ts += 160;
		}
		if (v[i].presses)
			peer_press(p, stream_port(x->s), '#', 60);
		else
			stream_record_stop(x->s); /* while all that lies in the socket */
		WAIT_FOR(b, x->nrecord == 1);
		assert_int_equal(x->record.end, v[i].presses ? RECORD_DIGIT : RECORD_STOPPED);
		n = wav_read(path_of("burst.wav"), heard, SAMPLES_MAX, &rate_hz);
		assert_in_range(n, 2 * 8000, 2 * 8000 + 8 * 200);
		assert_true(correlation(said, 2 * 8000, heard, n, 1600) > 0.995);
		encoder_free(e);
		stream_end(b, x);
		peer_free(p);
		bed_free(b);
	}
}

static void test_media_record_and_play_move_with_their_stream(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	uint32_t rate_hz;
	size_t n;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMA);
	record(x->s, path_of("moved.wav"), 0, 0, NULL);
	sweep(said, 8000, 8000);
	peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said, 4000);
	stream_bridge(y->s, x->s); /* x goes over to y's worker, and transcodes from now on */
	peer_talk(b, p, stream_port(x->s), CODEC_PCMU, said + 4000, 4000);
	turn_for_ms(b, 150);
	stream_record_stop(x->s);
	WAIT_FOR(b, x->nrecord == 1);
	n = wav_read(path_of("moved.wav"), heard, SAMPLES_MAX, &rate_hz);
	assert_true(correlation(said, 8000, heard, n, 800) > 0.97);
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_in_range(q->n, 20, 36);
	assert_continuous(q, 0);
	/* a player, too */
	wav_write(path_of("tune.wav"), said, 8000, 8000, 1);
	play(y->s, path_of("tune.wav"), NULL, true);
	n = q->n;
	WAIT_FOR(b, (peer_receive(q), q->n > n + 5));
	assert_continuous(q, 0);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* All at once on real threads and in real time: what must hold then is that each end is told once and no packet is lost or numbered
 * twice. (What it sounds like is the business of the tests above.) */
static void test_media_sound_on_threads_ends_once(void **state)
{
	static const enum codec_id codecs[] = { CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_PCMU };
	struct bed *b = bed_new((struct media_params){ .nworkers = 2 });
	struct seen *x[ARRAY_LEN(codecs)];
	struct peer *p[ARRAY_LEN(codecs)];
	const char *music = path_of("music.wav");
	const unsigned n = ARRAY_LEN(codecs);

	(void)state;
	sweep(said, 8000, 8000);
	wav_write(path_of("music.wav"), said, 8000, 8000, 1);
	wav_write(path_of("short.wav"), said, 800, 8000, 1);
	for (unsigned i = 0; i < n; i++) {
		char name[16];

		x[i] = stream_make(b, NULL);
		p[i] = peer_new((uint16_t)(i * 100), i, i + 1);
		stream_setup(x[i]->s, p[i]->port, codecs[i]);
		snprintf(name, sizeof(name), "all%u.wav", i);
		record(x[i]->s, path_of(name), 0, 0, NULL);
	}
	for (unsigned round = 0; round < 6; round++) {
		for (unsigned i = 0; i < n; i++)
			play(x[i]->s, path_of("short.wav"), NULL, false);
		WAIT_FOR(b, x[0]->nplay + x[1]->nplay + x[2]->nplay + x[3]->nplay == (round + 1) * n);
		for (unsigned i = 0; i < n; i++)
			stream_music(x[i]->s, "threads", &music, 1);
		for (unsigned i = 0; i < n; i++)
			peer_send(p[i], stream_port(x[i]->s), codec_get(codecs[i])->pt, (uint8_t)round);
		turn_for_ms(b, 30);
		stream_bridge(x[round % n]->s, x[(round + 1) % n]->s); /* now and then over to the other worker */
		for (unsigned i = 0; i < n; i++)
			peer_send(p[i], stream_port(x[i]->s), codec_get(codecs[i])->pt, (uint8_t)round);
		turn_for_ms(b, 30);
		for (unsigned i = 0; i < n; i++)
			peer_receive(p[i]);
	}
	for (unsigned i = 0; i < n; i++) {
		stream_record_stop(x[i]->s);
		WAIT_FOR(b, x[i]->nrecord == 1);
		assert_int_equal(x[i]->record.end, RECORD_STOPPED);
		assert_int_equal(x[i]->nplay, 6);
		peer_receive(p[i]);
		assert_continuous(p[i], 0);
		stream_end(b, x[i]);
		peer_free(p[i]);
	}
	bed_free(b);
}

static int make_dir(void **state)
{
	return mkdtemp(dir) && warm_up(state) == 0 ? 0 : -1;
}

static int remove_dir(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	(void)state;
	while (d && (e = readdir(d)))
		unlink(path_of(e->d_name));
	if (d)
		closedir(d);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_media_transcode_sounds_the_same),
		cmocka_unit_test(test_media_transcode_ends_when_codecs_agree),
		cmocka_unit_test(test_media_transcode_conceals_loss),
		cmocka_unit_test(test_media_echo_between_codecs),
		cmocka_unit_test(test_media_play_arrives_as_it_is_in_the_file),
		cmocka_unit_test(test_media_play_files_follow_without_a_gap),
		cmocka_unit_test(test_media_play_ends_by_digit_by_stop_and_by_another_source),
		cmocka_unit_test(test_media_play_survives_a_change_of_codec),
		cmocka_unit_test(test_media_play_goes_on_in_frames_longer_than_a_packet),
		cmocka_unit_test(test_media_play_pauses_seeks_and_begins_where_it_shall),
		cmocka_unit_test(test_media_music_is_one_for_all_listeners),
		cmocka_unit_test(test_media_sound_is_prepared_once_for_all),
		cmocka_unit_test(test_media_sound_of_a_changed_file_is_the_new_one),
		cmocka_unit_test(test_media_sound_cache_keeps_what_was_heard_last),
		cmocka_unit_test(test_media_tones_have_pitch_and_cadence),
		cmocka_unit_test(test_media_tones_go_on_and_are_modulated),
		cmocka_unit_test(test_media_digit_crosses_to_a_leg_without_events),
		cmocka_unit_test(test_media_digit_goes_on_in_another_codec),
		cmocka_unit_test(test_media_digit_is_heard_without_events),
		cmocka_unit_test(test_media_record_is_what_was_said),
		cmocka_unit_test(test_media_record_ends_for_each_reason),
		cmocka_unit_test(test_media_record_loses_nothing_of_a_burst),
		cmocka_unit_test(test_media_record_and_play_move_with_their_stream),
		cmocka_unit_test(test_media_sound_on_threads_ends_once),
	};

	return cmocka_run_group_tests_name("media_sound", tests, make_dir, remove_dir);
}

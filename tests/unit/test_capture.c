/* Recordings of calls: both sides of a talk are in the file, each on its channel and at its time, whoever comes and goes. */
#include "media_bed.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#define RATE 8000
#define SAMPLES_MAX (RATE * 10)

static char dir[] = "/tmp/cordboard-test-XXXXXX";
static int16_t left[SAMPLES_MAX], right[SAMPLES_MAX], pcm[SAMPLES_MAX * 2];

struct end {
	unsigned n;
	struct capture_result r;
};

static void on_end(struct capture *c, const struct capture_result *r, void *arg)
{
	struct end *e = arg;

	(void)c;
	e->n++;
	e->r = *r;
}

static const char *path_of(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct capture *start(struct bed *b, const char *name, enum capture_format format, bool is_stereo, struct end *e)
{
	struct capture_params p = { .path = path_of(name), .format = format, .is_stereo = is_stereo, .rate_hz = RATE };
	struct capture *c;

	unlink(p.path);
	*e = (struct end){ 0 };
	assert_int_equal(capture_start(&c, b->media, &p, on_end, e), 0);
	return c;
}

/* Reads a file; returns frames, what is on the left and the right one. */
static size_t read_file(const char *name, int channels)
{
	SF_INFO info = { 0 };
	SNDFILE *f = sf_open(path_of(name), SFM_READ, &info);
	size_t n;

	assert_non_null(f);
	assert_int_equal(info.channels, channels);
	assert_int_equal(info.samplerate, RATE);
	memset(pcm, 0, sizeof(pcm));
	n = (size_t)sf_readf_short(f, pcm, SAMPLES_MAX);
	sf_close(f);
	unlink(path_of(name));
	for (size_t i = 0; i < n; i++) {
		left[i] = pcm[i * (size_t)channels];
		right[i] = pcm[i * (size_t)channels + (size_t)channels - 1];
	}
	return n;
}

/* Something that is like nothing else, of a number of its own. */
static void voice(int16_t *to, size_t n, unsigned number)
{
	double phase = 0;

	for (size_t i = 0; i < n; i++) {
		phase += 2 * M_PI * (250 + 130.0 * number + 200 * sin((double)i / (700 + 331 * number))) / RATE;
		to[i] = (int16_t)(7000 * (0.6 + 0.4 * sin((double)i / (500 + 70 * number))) * sin(phase));
	}
}

/* Where in b is a, which is so long: the lag of the best correlation, and how good it is. */
static double find(const int16_t *a, size_t na, const int16_t *b, size_t nb, size_t *at)
{
	double best = 0, aa = 1;

	for (size_t i = 0; i < na; i++)
		aa += (double)a[i] * a[i];
	for (size_t lag = 0; lag + na <= nb; lag++) {
		double ab = 0, bb = 1;

		for (size_t i = 0; i < na; i++) {
			ab += (double)a[i] * b[lag + i];
			bb += (double)b[lag + i] * b[lag + i];
		}
		if (ab / sqrt(aa * bb) > best) {
			best = ab / sqrt(aa * bb);
			*at = lag;
		}
	}
	return best;
}

static double power_of(const int16_t *a, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)a[i] * a[i];
	return sqrt(sum / (double)n);
}

/* Two who talk at once, each a packet of 20 ms a turn; NULL: he is silent. */
static void talk(struct bed *b, struct peer *p, struct seen *x, const int16_t *say, struct peer *q, struct seen *y, const int16_t *answer,
		 size_t n)
{
	struct encoder *e = encoder_new(CODEC_PCMU, RATE);

	for (size_t i = 0; i + 160 <= n; i += 160) {
		uint64_t before = bed_counters(b).packets_received;
		uint8_t payload[160];

		turn_for_ms(b, 20);
		if (say) {
			encoder_run(e, say + i, 160, payload, sizeof(payload));
			peer_send_raw(p, stream_port(x->s), 0, false, p->ts, payload, 160);
		}
		if (answer) {
			encoder_run(e, answer + i, 160, payload, sizeof(payload));
			peer_send_raw(q, stream_port(y->s), 0, false, q->ts, payload, 160);
		}
		p->ts += 160;
		q->ts += 160;
		wait_received(b, before + (say != NULL) + (answer != NULL));
		peer_receive(p);
		peer_receive(q);
	}
	encoder_free(e);
}

static void test_capture_each_side_is_on_its_channel_and_in_time(void **state)
{
	static const struct { enum capture_format format; bool is_stereo; double like; } v[] = {
		{ CAPTURE_WAV, true, 0.97 }, { CAPTURE_FLAC, true, 0.97 }, { CAPTURE_OPUS, true, 0.9 }, { CAPTURE_WAV, false, 0.5 },
	};
	static int16_t a[RATE], c[RATE];

	(void)state;
	voice(a, RATE, 1);
	voice(c, RATE, 4);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
		struct peer *p = peer_new(65500, 0xffffff00, 11), *q = peer_new(5, 5, 22);
		size_t n, at_a = 0, at_c = 0;
		struct end e;
		struct capture *rec = start(b, "talk", v[i].format, v[i].is_stereo, &e);

		stream_setup(x->s, p->port, CODEC_PCMU);
		stream_setup(y->s, q->port, CODEC_PCMU);
		stream_bridge(x->s, y->s);
		stream_capture(x->s, rec, CAPTURE_CALLER);
		stream_capture(y->s, rec, CAPTURE_CALLEE);
		settle(b, x->s);
		talk(b, p, x, a, q, y, c, RATE); /* both at once */
		turn_for_ms(b, 500);
		capture_stop(rec);
		WAIT_FOR(b, e.n > 0);
		assert_int_equal(e.n, 1);
		assert_int_equal(e.r.err, 0);
		assert_int_equal(e.r.lost_ms, 0);
		assert_in_range(e.r.duration_ms, 1480, 1600);
		n = read_file("talk", v[i].is_stereo ? 2 : 1);
		assert_int_equal(n, e.r.duration_ms * RATE / 1000);
		/* whole in the middle, for encoders need a moment */
		assert_true(find(a + 800, 6400, left, n, &at_a) > v[i].like);
		assert_true(find(c + 800, 6400, right, n, &at_c) > v[i].like);
		assert_in_range(at_a + 160 - at_c, 0, 320); /* 20 ms */
		if (v[i].is_stereo) { /* and nothing of the other */
			assert_true(find(c + 800, 6400, left, n, &at_a) < 0.3);
			assert_true(find(a + 800, 6400, right, n, &at_c) < 0.3);
		}
		stream_end(b, x);
		stream_end(b, y);
		peer_free(p);
		peer_free(q);
		bed_free(b);
	}
}

static void test_capture_has_nothing_of_a_pause(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	static int16_t a[RATE / 2], secret[RATE / 2], after[RATE / 2];
	struct end e;
	struct capture *rec = start(b, "pause.wav", CAPTURE_WAV, true, &e);
	size_t n, at = 0, at_after = 0;

	(void)state;
	voice(a, ARRAY_LEN(a), 1);
	voice(secret, ARRAY_LEN(secret), 3);
	voice(after, ARRAY_LEN(after), 5);
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_capture(x->s, rec, CAPTURE_CALLER);
	stream_capture(y->s, rec, CAPTURE_CALLEE);
	settle(b, x->s);
	talk(b, p, x, a, q, y, NULL, ARRAY_LEN(a));
	capture_pause(rec);
	talk(b, p, x, secret, q, y, secret, ARRAY_LEN(secret));
	capture_resume(rec);
	talk(b, p, x, after, q, y, NULL, ARRAY_LEN(after));
	capture_pause(rec); /* what comes after is not in it either */
	talk(b, p, x, secret, q, y, secret, ARRAY_LEN(secret));
	capture_stop(rec);
	WAIT_FOR(b, e.n > 0);
	assert_int_equal(e.r.err, 0);
	assert_in_range(e.r.duration_ms, 980, 1060);
	n = read_file("pause.wav", 2);
	assert_true(find(a, 3800, left, n, &at) > 0.95);
	assert_true(find(after + 160, 3600, left, n, &at_after) > 0.95);
	assert_in_range(at_after - at, 3800, 4400);
	assert_true(find(secret, 400, left, n, &at) < 0.9); /* no 50 ms of it */
	assert_true(power_of(right, n) < 10);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* The one he talks with changes, and is on another worker; the file goes on. */
static void test_capture_goes_on_when_a_leg_leaves(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s), *z = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22), *r = peer_new(5, 5, 33);
	static int16_t a[RATE * 2], c[RATE], d[RATE];
	struct end e;
	struct capture *rec = start(b, "moved.wav", CAPTURE_WAV, true, &e);
	size_t n, at = 0, at_c = 0, at_d = 0;

	(void)state;
	voice(a, ARRAY_LEN(a), 1);
	voice(c, ARRAY_LEN(c), 4);
	voice(d, ARRAY_LEN(d), 6);
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_setup(z->s, r->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	stream_capture(x->s, rec, CAPTURE_CALLER);
	stream_capture(y->s, rec, CAPTURE_CALLEE);
	settle(b, x->s);
	talk(b, p, x, a, q, y, c, RATE);
	stream_capture(z->s, rec, CAPTURE_CALLEE);
	stream_bridge(z->s, x->s); /* x moves to z's worker, its tap with it */
	stream_end(b, y);
	settle(b, z->s);
	talk(b, p, x, a + RATE, r, z, d, RATE);
	capture_stop(rec);
	WAIT_FOR(b, e.n > 0);
	assert_int_equal(e.r.err, 0);
	assert_in_range(e.r.duration_ms, 2000, 2200);
	n = read_file("moved.wav", 2);
	assert_true(find(a + 400, 7200, left, n, &at) > 0.95);
	assert_true(find(c + 400, 7200, right, n, &at_c) > 0.95);
	assert_in_range(at + 160 - at_c, 0, 320);
	assert_true(find(a + RATE + 400, 7200, left, n, &at) > 0.95);
	assert_true(find(d + 400, 7200, right, n, &at_d) > 0.95);
	assert_in_range(at + 160 - at_d, 0, 320);
	assert_in_range(at_d - at_c, RATE - 160, RATE + 1600);
	stream_end(b, x);
	stream_end(b, z);
	peer_free(p);
	peer_free(q);
	peer_free(r);
	bed_free(b);
}

/* Music on hold, prompts: what a party hears of us is where he is who talks with it. */
static void test_capture_has_what_is_played_on_the_other_side(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	static int16_t a[RATE], prompt[RATE], c[RATE], d[RATE];
	struct end e;
	const char *file = strdup(path_of("prompt.wav")), *files[] = { file };
	struct capture *rec = start(b, "said.wav", CAPTURE_WAV, true, &e);
	size_t n, at = 0, at_prompt = 0, at_c = 0;
	SF_INFO info = { .samplerate = RATE, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };
	SNDFILE *f = sf_open(file, SFM_WRITE, &info);

	(void)state;
	assert_non_null(f);
	voice(a, ARRAY_LEN(a), 1);
	voice(prompt, ARRAY_LEN(prompt), 4);
	voice(c, ARRAY_LEN(c), 6);
	voice(d, ARRAY_LEN(d), 8);
	sf_write_short(f, prompt, RATE);
	sf_close(f);
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_capture(x->s, rec, CAPTURE_CALLER);
	stream_capture(y->s, rec, CAPTURE_CALLEE);
	settle(b, x->s);
	/* The caller is alone with a menu, and answers while it still speaks; */
	stream_play(x->s, &(struct play_params){ .files = files, .nfiles = 1 });
	WAIT_FOR(b, (peer_receive(p), p->n > 0));
	talk(b, p, x, a, q, y, NULL, RATE);
	/* then they talk: nothing of that is there twice. */
	stream_bridge(x->s, y->s);
	talk(b, p, x, d, q, y, c, RATE);
	capture_stop(rec);
	WAIT_FOR(b, e.n > 0);
	assert_int_equal(e.r.err, 0);
	n = read_file("said.wav", 2);
	assert_true(find(a + 400, 7000, left, n, &at) > 0.95);
	assert_true(find(prompt + 400, 7000, right, n, &at_prompt) > 0.95);
	assert_in_range(at + 480 - at_prompt, 0, 960); /* it was begun a moment before */
	assert_true(find(prompt + 400, 4000, left, n, &at) < 0.3);
	assert_true(find(c + 400, 7000, right, n, &at_c) > 0.95);
	assert_true(find(c + 400, 4000, left, n, &at) < 0.3);
	assert_true(find(d + 400, 4000, right, n, &at) < 0.3);
	/* And the other one's music is on the caller's side. */
	rec = start(b, "hold.wav", CAPTURE_WAV, true, &e);
	stream_capture(x->s, rec, CAPTURE_CALLER);
	stream_capture(y->s, rec, CAPTURE_CALLEE);
	stream_unbridge(x->s);
	stream_music(y->s, "test/music", files, 1);
	talk(b, p, x, NULL, q, y, c, RATE);
	turn_for_ms(b, 1000);
	capture_stop(rec);
	WAIT_FOR(b, e.n > 0);
	n = read_file("hold.wav", 2);
	assert_true(find(prompt + 800, 3000, left, n, &at) > 0.9);
	assert_true(find(c + 400, 7000, right, n, &at) > 0.95);
	unlink(file);
	free((void *)file);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* A conference: all who talk, in one file; who comes later, too. It goes on when nobody is there, and ends with the mix, or before it. */
static void test_capture_of_a_conference_has_all_who_talk(void **state)
{
	for (unsigned way = 0; way < 2; way++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2 });
		struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL);
		struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
		static int16_t a[RATE], c[RATE];
		struct end e;
		struct capture *rec = start(b, "room.wav", CAPTURE_WAV, false, &e);
		struct mix *m;
		size_t n, at_a = 0, at_c = 0;

		(void)state;
		voice(a, ARRAY_LEN(a), 1);
		voice(c, ARRAY_LEN(c), 4);
		assert_int_equal(mix_new(&m, b->media, &(struct mix_params){ .nspeakers = 4 }, &(struct mix_handler){ 0 }, NULL), 0);
		mix_capture(m, rec);
		stream_setup(x->s, p->port, CODEC_PCMU);
		stream_setup(y->s, q->port, CODEC_G722);
		stream_mix(x->s, m, &(struct mix_member){ 0 });
		settle(b, x->s);
		talk(b, p, x, a, q, y, NULL, RATE);
		stream_mix(y->s, m, &(struct mix_member){ 0 });
		settle(b, y->s);
		stream_setup(y->s, q->port, CODEC_PCMU);
		talk(b, p, x, NULL, q, y, c, RATE);
		turn_for_ms(b, 200);
		if (way)
			mix_close(m);
		capture_stop(rec);
		WAIT_FOR(b, e.n > 0);
		assert_int_equal(e.r.err, 0);
		assert_int_equal(e.r.lost_ms, 0);
		if (!way)
			mix_close(m);
		n = read_file("room.wav", 1);
		assert_in_range(n, 2 * RATE + RATE / 5, 3 * RATE);
		assert_true(find(a + 1600, 4000, left, n, &at_a) > 0.9);
		assert_true(find(c + 1600, 4000, left, n, &at_c) > 0.9);
		assert_in_range(at_c - at_a, RATE - 160, RATE + 1600);
		stream_end(b, x);
		stream_end(b, y);
		peer_free(p);
		peer_free(q);
		bed_free(b);
	}
}

static void test_capture_full_disk_ends_it_and_leaves_a_file(void **state)
{
	static const struct { enum capture_format format; rlim_t bytes; } v[] = { { CAPTURE_WAV, 40000 }, { CAPTURE_FLAC, 12000 } };
	static int16_t a[RATE * 4];
	struct rlimit before, now;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	voice(a, ARRAY_LEN(a), 2);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL);
		struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
		struct end e;
		struct capture *rec = start(b, "full", v[i].format, true, &e);
		size_t n, at = 0;

		getrlimit(RLIMIT_FSIZE, &before);
		now = before;
		now.rlim_cur = v[i].bytes;
		setrlimit(RLIMIT_FSIZE, &now);
		stream_setup(x->s, p->port, CODEC_PCMU);
		stream_capture(x->s, rec, CAPTURE_CALLER);
		settle(b, x->s);
		talk(b, p, x, a, q, x, NULL, ARRAY_LEN(a));
		setrlimit(RLIMIT_FSIZE, &before);
		if (v[i].format == CAPTURE_WAV)
			WAIT_FOR(b, e.n > 0); /* by itself */
		if (!e.n)
			capture_stop(rec);
		WAIT_FOR(b, e.n > 0);
		assert_int_equal(e.n, 1);
		assert_int_equal(e.r.err, -EFBIG);
		n = read_file("full", 2);
		assert_int_equal(n * 1000 / RATE, e.r.duration_ms);
		assert_true(n > RATE / 2);
		assert_true(find(a + 400, 3000, left, n, &at) > 0.95);
		stream_end(b, x);
		peer_free(p);
		peer_free(q);
		bed_free(b);
	}
}

static void test_capture_that_cannot_be_begun_says_so(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct end e = { 0 };
	struct capture_params params = { .path = path_of("twice.wav"), .format = CAPTURE_WAV, .rate_hz = RATE };
	struct capture *rec;
	int fd = open(params.path, O_WRONLY | O_CREAT, 0600);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(capture_start(&rec, b->media, &params, on_end, &e), 0);
	stream_setup(x->s, 9, CODEC_PCMU);
	stream_capture(x->s, rec, CAPTURE_CALLER);
	capture_pause(rec);
	WAIT_FOR(b, e.n > 0);
	assert_int_equal(e.r.err, -EEXIST);
	assert_int_equal(e.r.duration_ms, 0);
	stream_capture(x->s, NULL, CAPTURE_CALLER);
	stream_end(b, x);
	unlink(params.path);
	bed_free(b);
}

/* With threads, in whatever order they get to run: each end is heard once, and closing all waits for the files. */
static void test_capture_on_threads_ends_once(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 2 });
	struct seen *x[8];
	struct end e[8];
	struct capture *c[8];
	struct peer *p = peer_new(100, 0, 11);
	struct capture_params params = { .path = path_of("open.flac"), .format = CAPTURE_FLAC, .rate_hz = RATE, .is_paused = true };
	struct capture *open_one;
	struct end last;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(x); i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%zu", i);
		x[i] = stream_make(b, NULL);
		stream_setup(x[i]->s, p->port, CODEC_PCMU);
		c[i] = start(b, name, CAPTURE_OPUS, i % 2, &e[i]);
		stream_capture(x[i]->s, c[i], i % 3 ? CAPTURE_CALLEE : CAPTURE_CALLER);
		if (i > 0)
			stream_capture(x[i]->s, c[i - 1], CAPTURE_CALLER); /* another one's from now on */
	}
	for (unsigned k = 0; k < 20; k++) {
		for (size_t i = 0; i < ARRAY_LEN(x); i++)
			peer_send(p, stream_port(x[i]->s), 0, (uint8_t)k);
		if (k == 10)
			stream_bridge(x[0]->s, x[7]->s);
		turn_for_ms(b, 20);
	}
	for (size_t i = 0; i < ARRAY_LEN(x); i += 2)
		capture_stop(c[i]);
	for (size_t i = 0; i < ARRAY_LEN(x); i++)
		stream_end(b, x[i]);
	for (size_t i = 1; i < ARRAY_LEN(x); i += 2)
		capture_stop(c[i]);
	for (size_t i = 0; i < ARRAY_LEN(x); i++) {
		char name[16];

		WAIT_FOR(b, e[i].n == 1);
		assert_int_equal(e[i].r.err, 0);
		assert_in_range(e[i].r.duration_ms, 300, 30000);
		snprintf(name, sizeof(name), "t%zu", i);
		read_file(name, i % 2 ? 2 : 1);
	}
	last = (struct end){ 0 };
	assert_int_equal(capture_start(&open_one, b->media, &params, on_end, &last), 0); /* nobody ends it: closing does */
	peer_free(p);
	bed_free(b);
	assert_int_equal(last.n, 0);
	assert_int_equal(access(path_of("open.flac"), F_OK), -1); /* nothing was in it */
}

static int setup(void **state)
{
	return mkdtemp(dir) ? warm_up(state) : -1;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path_of("talk"));
	return rmdir(dir);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capture_each_side_is_on_its_channel_and_in_time),
		cmocka_unit_test(test_capture_has_nothing_of_a_pause),
		cmocka_unit_test(test_capture_goes_on_when_a_leg_leaves),
		cmocka_unit_test(test_capture_has_what_is_played_on_the_other_side),
		cmocka_unit_test(test_capture_of_a_conference_has_all_who_talk),
		cmocka_unit_test(test_capture_full_disk_ends_it_and_leaves_a_file),
		cmocka_unit_test(test_capture_that_cannot_be_begun_says_so),
		cmocka_unit_test(test_capture_on_threads_ends_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

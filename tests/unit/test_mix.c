/* Streams in conferences: what comes out at each, who is told to talk, what it costs, and members that come from other workers. */
#include "media_bed.h"

#define ROOM_MAX 64
#define SAMPLES_MAX (48000 * 3)

struct member {
	struct seen *e;
	struct peer *p;
	enum codec_id codec;
	struct encoder *encoder;
};

struct room {
	struct bed *b;
	struct mix *mix;
	unsigned n;
	struct member m[ROOM_MAX];
	uint32_t play_id;
	enum play_end play_end;
	unsigned nplay;
};

static int16_t pcm[SAMPLES_MAX];

static void on_mix_play_end(struct mix *m, uint32_t id, enum play_end end, void *arg)
{
	struct room *r = arg;

	(void)m;
	r->nplay++;
	r->play_id = id;
	r->play_end = end;
}

static struct room *room_new(struct bed *b, unsigned nspeakers)
{
	static const struct mix_handler h = { .on_play_end = on_mix_play_end };
	const struct mix_params p = { .nspeakers = nspeakers };
	struct room *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->b = b;
	assert_int_equal(mix_new(&r->mix, b->media, &p, &h, r), 0);
	return r;
}

/* A member that is there, but in no mix yet. */
static struct member *room_add(struct room *r, enum codec_id codec)
{
	struct member *m = &r->m[r->n++];

	assert_true(r->n <= ROOM_MAX);
	m->e = stream_make(r->b, NULL);
	m->p = peer_new((uint16_t)(100 * r->n), 1000 * r->n, 0x1000 + r->n);
	m->codec = codec;
	stream_setup(m->e->s, m->p->port, codec);
	return m;
}

static void member_mix(struct room *r, struct member *m, struct mix_member params)
{
	stream_mix(m->e->s, r->mix, &params);
}

static struct member *room_join(struct room *r, enum codec_id codec)
{
	struct member *m = room_add(r, codec);

	member_mix(r, m, (struct mix_member){ 0 });
	return m;
}

static void room_free(struct room *r)
{
	struct bed *b = r->b;

	mix_close(r->mix);
	for (unsigned i = 0; i < r->n; i++) {
		stream_end(b, r->m[i].e);
		peer_free(r->m[i].p);
		encoder_free(r->m[i].encoder);
	}
	free(r);
	bed_free(b);
}

/* Something of 20 ms that is as loud as speech, of one frequency. */
static void say(struct member *m, double hz)
{
	const struct codec *c = codec_get(m->codec);
	size_t n = c->rate_hz / 50, len;
	uint8_t payload[CODEC_PAYLOAD_MAX];

	if (!m->encoder)
		m->encoder = encoder_new(m->codec, c->rate_hz);
	assert_non_null(m->encoder);
	for (size_t i = 0; i < n; i++)
		pcm[i] = (int16_t)(6000 * sin(2 * M_PI * hz * (double)(m->p->ts / (double)c->clock_hz + (double)i / c->rate_hz)));
	len = encoder_run(m->encoder, pcm, n, payload, sizeof(payload));
	peer_send_raw(m->p, stream_port(m->e->s), (uint8_t)c->pt, false, m->p->ts, payload, len);
	m->p->ts += c->clock_hz / 50;
}

/* ms of it, from all in the set, bit 1 << i, each at his own pitch. */
static void talk(struct room *r, unsigned ms, uint64_t set)
{
	for (unsigned at = 0; at < ms; at += 20) {
		uint64_t before = bed_counters(r->b).packets_received;
		unsigned n = 0;

		for (unsigned i = 0; i < r->n; i++) {
			if (!(set >> i & 1))
				continue;
			say(&r->m[i], 400 + 150 * i);
			n++;
		}
		wait_received(r->b, before + n);
		turn_for_ms(r->b, 20);
		for (unsigned i = 0; i < r->n; i++)
			peer_receive(r->m[i].p);
	}
}

/* How loud a pitch is in what has arrived from packet from on, against the rest; 0..1. */
static double pitch(const struct member *m, unsigned from, double hz)
{
	uint32_t rate_hz = codec_get(m->codec)->rate_hz;
	size_t n = peer_listen(m->p, from, m->codec, pcm, SAMPLES_MAX);
	double re = 0, im = 0, all = 0;

	for (size_t i = 0; i < n; i++) {
		re += pcm[i] * cos(2 * M_PI * hz * (double)i / rate_hz);
		im += pcm[i] * sin(2 * M_PI * hz * (double)i / rate_hz);
		all += (double)pcm[i] * pcm[i];
	}
	return all > 0 ? 2 * (re * re + im * im) / ((double)n * all) : 0;
}

static bool hears(struct room *r, unsigned who, unsigned whom, unsigned from)
{
	return pitch(&r->m[who], from, 400 + 150 * whom) > 0.2;
}

static void listen_to_all(struct room *r, unsigned from[])
{
	WAIT_STILL(r->b, ({
		unsigned n = 0;

		for (unsigned i = 0; i < r->n; i++) {
			peer_receive(r->m[i].p);
			n += r->m[i].p->n;
		}
		n == bed_counters(r->b).packets_sent;
	}));
	for (unsigned i = 0; i < r->n && from; i++)
		from[i] = r->m[i].p->n;
}

/* ---- who hears whom ---- */

static void test_mix_each_hears_the_others(void **state)
{
	static const enum codec_id codecs[] = { CODEC_PCMU, CODEC_G722, CODEC_PCMA };
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	unsigned from[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		room_join(r, codecs[i]);
	settle(r->b, r->m[0].e->s);
	talk(r, 200, 7);
	listen_to_all(r, from);
	talk(r, 400, 7);
	listen_to_all(r, NULL);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(r->m[i].p->n - from[i], 20); /* never a gap, never more */
		assert_continuous(r->m[i].p, 0);
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(hears(r, i, k, from[i]), i != k);
	}
	room_free(r);
}

static void test_mix_muted_isnt_heard_and_deaf_hears_silence(void **state)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	unsigned from[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		room_join(r, CODEC_PCMU);
	settle(r->b, r->m[0].e->s);
	talk(r, 300, 7);
	member_mix(r, &r->m[0], (struct mix_member){ .is_muted = true });
	member_mix(r, &r->m[1], (struct mix_member){ .is_deaf = true });
	settle(r->b, r->m[0].e->s);
	talk(r, 100, 7);
	listen_to_all(r, from);
	assert_false(r->m[0].e->is_talking); /* muted: no longer */
	talk(r, 400, 7);
	listen_to_all(r, NULL);
	assert_false(hears(r, 2, 0, from[2]));
	assert_true(hears(r, 2, 1, from[2]));
	assert_true(hears(r, 0, 1, from[0]) && hears(r, 0, 2, from[0])); /* he still listens */
	assert_false(hears(r, 1, 0, from[1]) || hears(r, 1, 2, from[1]));
	assert_int_equal(r->m[1].p->n - from[1], 20);                     /* yet his phone gets its packets */

	member_mix(r, &r->m[0], (struct mix_member){ 0 });
	settle(r->b, r->m[0].e->s);
	talk(r, 200, 7);
	listen_to_all(r, from);
	talk(r, 400, 7);
	listen_to_all(r, NULL);
	assert_true(hears(r, 2, 0, from[2]));
	room_free(r);
}

static double loudness(const struct member *m, unsigned from)
{
	size_t n = peer_listen(m->p, from, m->codec, pcm, SAMPLES_MAX);
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)pcm[i] * pcm[i];
	return 10 * log10(sum / (double)n + 1);
}

static void test_mix_gain_of_a_member_in_and_out(void **state)
{
	static const struct { int in_db, out_db; } v[] = { { 0, 0 }, { -12, 0 }, { 0, -12 }, { 6, -18 } };
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	double plain = 0;
	unsigned from[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		room_join(r, CODEC_L16_8);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		member_mix(r, &r->m[0], (struct mix_member){ .gain_in_db = v[i].in_db });
		member_mix(r, &r->m[1], (struct mix_member){ .gain_out_db = v[i].out_db });
		settle(r->b, r->m[0].e->s);
		talk(r, 200, 1);
		listen_to_all(r, from);
		talk(r, 300, 1);
		listen_to_all(r, NULL);
		if (i == 0)
			plain = loudness(&r->m[1], from[1]);
		assert_true(fabs(loudness(&r->m[1], from[1]) - plain - v[i].in_db - v[i].out_db) < 0.5);
		assert_true(fabs(loudness(&r->m[2], from[2]) - plain - v[i].in_db) < 0.5);
	}
	room_free(r);
}

static void test_mix_tells_who_talks(void **state)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);

	(void)state;
	room_join(r, CODEC_PCMU);
	room_join(r, CODEC_PCMU);
	settle(r->b, r->m[0].e->s);
	talk(r, 400, 1);
	assert_int_equal(r->m[0].e->ntalks, 1);
	assert_true(r->m[0].e->is_talking);
	talk(r, 300, 0);
	assert_true(r->m[0].e->is_talking); /* a pause between words */
	talk(r, 700, 0);
	assert_false(r->m[0].e->is_talking);
	talk(r, 400, 1);
	assert_int_equal(r->m[0].e->ntalks, 2);
	stream_silence(r->m[0].e->s); /* who leaves doesn't talk any more */
	settle(r->b, r->m[0].e->s);
	assert_false(r->m[0].e->is_talking);
	assert_int_equal(r->m[1].e->ntalks, 0);
	room_free(r);
}

/* A digit pressed goes to the application and is heard by nobody; one of tones does, too, and in a mix as out of it. */
static void test_mix_member_presses_digits(void **state)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);

	(void)state;
	room_join(r, CODEC_PCMU);
	room_join(r, CODEC_PCMU);
	settle(r->b, r->m[0].e->s);
	talk(r, 100, 3);
	peer_press(r->m[0].p, stream_port(r->m[0].e->s), '*', 100);
	WAIT_FOR(r->b, r->m[0].e->ndigits == 1);
	assert_int_equal(r->m[0].e->digits[0], '*');
	listen_to_all(r, NULL);
	for (unsigned i = 0; i < r->m[1].p->n; i++)
		assert_int_equal(r->m[1].p->got[i].pt, 0);
	room_free(r);
}

/* ---- what it costs ---- */

/* Payloads made in 200 ms, of so many members of whom some talk. */
static unsigned cost(unsigned nlisteners, unsigned ntalkers, enum codec_id second)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 3);
	uint64_t talkers = (1u << ntalkers) - 1, before;
	unsigned n;

	for (unsigned i = 0; i < ntalkers + nlisteners; i++)
		room_join(r, i % 2 ? second : CODEC_PCMU);
	settle(r->b, r->m[0].e->s);
	talk(r, 200, talkers);
	before = bed_counters(r->b).payloads_mixed;
	talk(r, 200, talkers);
	n = (unsigned)(bed_counters(r->b).payloads_mixed - before);
	listen_to_all(r, NULL);
	for (unsigned i = ntalkers; i < r->n; i++)
		assert_in_range(r->m[i].p->n, 15, 22); /* yet each got all of it */
	room_free(r);
	return n;
}

static void test_mix_encodes_once_for_all_who_listen(void **state)
{
	(void)state;
	assert_int_equal(cost(4, 1, CODEC_PCMU), 2 * 10);  /* theirs, and the talker's own */
	assert_int_equal(cost(40, 1, CODEC_PCMU), 2 * 10); /* ten times as many: the same */
	assert_int_equal(cost(40, 1, CODEC_G722), 3 * 10); /* once a codec */
	assert_int_equal(cost(40, 3, CODEC_PCMU), 4 * 10);
	assert_int_equal(cost(40, 9, CODEC_PCMU), 4 * 10); /* of nine who talk three are heard */
	assert_int_equal(cost(0, 3, CODEC_PCMU), 3 * 10);  /* nobody needs what all hear */
}

/* ---- time ---- */

/* Clocks of phones aren't ours: packets that come too slowly or too fast by 0.1 %, ten times of what clocks do, are heard without gaps. */
static void test_mix_follows_clocks_that_drift(void **state)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	struct stream_stats stats;
	uint64_t begin;
	unsigned sent[2] = { 0, 0 };

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		room_join(r, CODEC_PCMU);
	settle(r->b, r->m[0].e->s);
	begin = r->b->now_ms;
	while (r->b->now_ms < begin + 20000) {
		uint64_t us = (r->b->now_ms - begin) * 1000, before = bed_counters(r->b).packets_received;
		unsigned n = 0;

		for (unsigned i = 0; i < 2; i++) {
			if (us < sent[i] * (i ? 20020ull : 19980ull))
				continue;
			say(&r->m[i], 400 + 150 * i);
			sent[i]++;
			n++;
		}
		wait_received(r->b, before + n);
		turn_for_ms(r->b, 1);
		for (unsigned i = 0; i < 3; i++)
			peer_receive(r->m[i].p);
	}
	assert_true(sent[0] > 1000 && sent[1] < 1000);
	listen_to_all(r, NULL);
	assert_in_range(r->m[2].p->n, 999, 1001);
	assert_continuous(r->m[2].p, 0);
	assert_int_equal(r->m[0].e->ntalks, 1); /* never a pause in it */
	assert_int_equal(r->m[1].e->ntalks, 1);
	stats = stream_end(r->b, r->m[1].e);
	assert_in_range(stats.concealed_ms, 0, 120); /* 20 ms are missing, and what growing the buffer for it takes */
	peer_free(r->m[1].p);
	encoder_free(r->m[1].encoder);
	r->m[1] = r->m[2];
	r->n = 2;
	room_free(r);
}

/* ---- sound for all ---- */

static char dir[] = "/tmp/cordboard-test-XXXXXX";

static void test_mix_plays_to_all(void **state)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	static int16_t wave[8000];
	char path[300];
	const char *file = path, *none = "/nonexistent.wav";
	unsigned from[3];
	uint32_t id, second;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.wav", dir);
	for (size_t i = 0; i < ARRAY_LEN(wave); i++)
		wave[i] = (int16_t)(8000 * sin(2 * M_PI * 1000 * (double)i / 8000));
	wav_write(path, wave, ARRAY_LEN(wave), 8000, 1);
	room_join(r, CODEC_PCMU);
	room_join(r, CODEC_G722);
	settle(r->b, r->m[0].e->s);
	listen_to_all(r, from);
	id = mix_play(r->mix, &(struct play_params){ .files = &file, .nfiles = 1 });
	WAIT_FOR(r->b, r->nplay == 1);
	assert_int_equal(r->play_id, id);
	assert_int_equal(r->play_end, PLAY_DONE);
	listen_to_all(r, NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_true(pitch(&r->m[i], from[i] + 5, 1000) > 0.6);

	id = mix_play(r->mix, &(struct play_params){ .files = &none, .nfiles = 1 });
	WAIT_FOR(r->b, r->nplay == 2);
	assert_true(r->play_id == id && r->play_end == PLAY_FAILED);
	id = mix_play(r->mix, &(struct play_params){ .files = &file, .nfiles = 1 });
	second = mix_play(r->mix, &(struct play_params){ .files = &file, .nfiles = 1 });
	assert_true(id != second);
	WAIT_FOR(r->b, r->nplay == 3);
	assert_true(r->play_id == id && r->play_end == PLAY_STOPPED);
	mix_play_stop(r->mix);
	WAIT_FOR(r->b, r->nplay == 4);
	assert_true(r->play_id == second && r->play_end == PLAY_STOPPED);
	unlink(path);
	rmdir(dir);
	room_free(r);
}

static void test_mix_tones_are_heard_by_all(void **state)
{
	static const struct tone beep[] = { { .hz1 = 800, .on_ms = 200 } };
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	unsigned from[2], n;

	(void)state;
	room_join(r, CODEC_PCMU);
	room_join(r, CODEC_PCMA);
	settle(r->b, r->m[0].e->s);
	turn_for_ms(r->b, 100);
	listen_to_all(r, from);
	mix_tones(r->mix, beep, 1);
	settle(r->b, r->m[0].e->s);
	turn_for_ms(r->b, 160);
	listen_to_all(r, NULL);
	for (unsigned i = 0; i < 2; i++)
		assert_true(pitch(&r->m[i], from[i], 800) > 0.8);
	turn_for_ms(r->b, 200);
	listen_to_all(r, NULL);
	n = r->m[0].p->n;
	turn_for_ms(r->b, 100);
	listen_to_all(r, NULL);
	assert_true(loudness(&r->m[0], n) < 20); /* once is enough */
	room_free(r);
}

/* ---- coming and going ---- */

/* With real threads: streams of all workers come to the mix's, go elsewhere and come back; the mix may be closed while some are under way. */
static void test_mix_members_come_from_all_workers(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 3, .streams_together = 1 });
	struct room *r = room_new(b, 0), *other = calloc(1, sizeof(*other));
	const struct mix_params p = { 0 };
	const struct mix_handler none = { 0 };

	(void)state;
	assert_non_null(other);
	for (unsigned i = 0; i < 9; i++)
		room_join(r, CODEC_PCMU);
	for (unsigned round = 0; round < 20; round++) {
		unsigned n = r->m[8].p->n;

		assert_int_equal(mix_new(&other->mix, b->media, &p, &none, other), 0);
		for (unsigned i = 0; i < 9; i++) {
			switch ((round + i) % 5) {
			case 0: stream_bridge(r->m[i].e->s, r->m[(i + 1) % 9].e->s); break;
			case 1: stream_echo(r->m[i].e->s); break;
			default: stream_mix(r->m[i].e->s, other->mix, &(struct mix_member){ .is_muted = i == 3 });
			}
		}
		if (round % 2)
			mix_close(other->mix);
		for (unsigned i = 0; i < 9; i++)
			member_mix(r, &r->m[i], (struct mix_member){ .is_deaf = round % 3 == 1 });
		if (round % 2 == 0)
			mix_close(other->mix);
		WAIT_FOR(b, (peer_receive(r->m[8].p), r->m[8].p->n > n));
	}
	free(other);
	room_free(r);
}

/* Who changes his codec in it hears on, and who is told to hold is sent nothing. */
static void test_mix_member_changes_codec(void **state)
{
	struct room *r = room_new(bed_new_by_hand((struct media_params){ .nworkers = 1 }), 0);
	struct stream_config c;
	unsigned from[2], n;

	(void)state;
	room_join(r, CODEC_PCMU);
	room_join(r, CODEC_PCMU);
	settle(r->b, r->m[0].e->s);
	talk(r, 200, 1);
	r->m[1].codec = CODEC_PCMA;
	stream_setup(r->m[1].e->s, r->m[1].p->port, CODEC_PCMA);
	settle(r->b, r->m[0].e->s);
	listen_to_all(r, from);
	talk(r, 400, 1);
	listen_to_all(r, NULL);
	assert_true(hears(r, 1, 0, from[1]));
	assert_int_equal(r->m[1].p->got[r->m[1].p->n - 1].pt, 8);
	assert_continuous(r->m[1].p, 0);
	c = config_of(r->m[1].p->port, CODEC_PCMA);
	c.dir = STREAM_RECV;
	stream_configure(r->m[1].e->s, &c);
	settle(r->b, r->m[0].e->s);
	listen_to_all(r, NULL);
	n = r->m[1].p->n;
	talk(r, 200, 1);
	listen_to_all(r, NULL);
	assert_int_equal(r->m[1].p->n, n);
	room_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mix_each_hears_the_others),
		cmocka_unit_test(test_mix_muted_isnt_heard_and_deaf_hears_silence),
		cmocka_unit_test(test_mix_gain_of_a_member_in_and_out),
		cmocka_unit_test(test_mix_tells_who_talks),
		cmocka_unit_test(test_mix_member_presses_digits),
		cmocka_unit_test(test_mix_encodes_once_for_all_who_listen),
		cmocka_unit_test(test_mix_follows_clocks_that_drift),
		cmocka_unit_test(test_mix_plays_to_all),
		cmocka_unit_test(test_mix_tones_are_heard_by_all),
		cmocka_unit_test(test_mix_members_come_from_all_workers),
		cmocka_unit_test(test_mix_member_changes_codec),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}

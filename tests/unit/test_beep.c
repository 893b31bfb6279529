/* The beep that tells of a recording: both hear it, over what is said, at the times it should, in any codec. */
#include "media_bed.h"

#include <spandsp.h>

#define BEEP_HZ 1400
#define FRAME 160

/* Of a tone in n samples, in dB of full scale. */
static double level_db(const int16_t *pcm, size_t n, double hz, double rate)
{
	double re = 0, im = 0;

	for (size_t i = 0; i < n; i++) {
		re += pcm[i] * cos(2 * M_PI * hz * (double)i / rate);
		im += pcm[i] * sin(2 * M_PI * hz * (double)i / rate);
	}
	return 20 * log10((2 * sqrt(re * re + im * im) / (double)n + 0.01) / 32768);
}

struct pair {
	struct bed *b;
	struct seen *x, *y;
	struct peer *p, *q;
};

static struct pair pair_new(enum codec_id codec_x, enum codec_id codec_y)
{
	struct pair a = { .b = bed_new_by_hand((struct media_params){ .nworkers = 1 }) };

	a.x = stream_make(a.b, NULL);
	a.y = stream_make(a.b, a.x->s);
	a.p = peer_new(100, 0, 11);
	a.q = peer_new(5, 5, 22);
	stream_setup(a.x->s, a.p->port, codec_x);
	stream_setup(a.y->s, a.q->port, codec_y);
	stream_bridge(a.x->s, a.y->s);
	settle(a.b, a.x->s);
	return a;
}

static void pair_free(struct pair *a)
{
	stream_end(a->b, a->x);
	stream_end(a->b, a->y);
	peer_free(a->p);
	peer_free(a->q);
	bed_free(a->b);
}

/* p talks, a tone of 400 Hz in its codec, so many packets of 20 ms; what q gets is gathered. */
static void talk(struct pair *a, enum codec_id codec, unsigned n)
{
	uint32_t rate_hz = codec_rate(codec_get(codec), 8000);
	struct encoder *e = encoder_new(codec, rate_hz);
	static unsigned at;
	int16_t pcm[960];
	uint8_t payload[CODEC_PAYLOAD_MAX];

	assert_non_null(e);
	for (unsigned i = 0; i < n; i++) {
		uint64_t before = bed_counters(a->b).packets_received;
		size_t len;

		for (size_t k = 0; k < rate_hz / 50; k++)
			pcm[k] = (int16_t)(8000 * sin(2 * M_PI * 400 * at++ / rate_hz));
		len = encoder_run(e, pcm, rate_hz / 50, payload, sizeof(payload));
		peer_send_raw(a->p, stream_port(a->x->s), (uint8_t)codec_get(codec)->pt, false, a->p->ts, payload, len);
		a->p->ts += codec_get(codec)->clock_hz / 50;
		wait_received(a->b, before + 1);
		turn_for_ms(a->b, 20);
		peer_receive(a->p);
		peer_receive(a->q);
	}
	encoder_free(e);
}

/* Which of the packets that a peer got have the beep, and which what was said. */
struct share { unsigned beeps, first, last, said; };

static struct share share_of(const struct peer *q, enum codec_id codec)
{
	uint32_t rate_hz = codec_rate(codec_get(codec), 8000);
	struct decoder *d = decoder_new(codec, rate_hz);
	struct share s = { 0 };

	assert_non_null(d);
	for (unsigned i = 0; i < q->n; i++) {
		int16_t pcm[5760];
		ptrdiff_t n = decoder_run(d, q->payload[i], q->got[i].len, pcm, 5760);

		assert_true(n > 0);
		if (level_db(pcm, (size_t)n, BEEP_HZ, rate_hz) > -30) {
			s.first = s.beeps++ ? s.first : i;
			s.last = i;
		}
		s.said += level_db(pcm, (size_t)n, 400, rate_hz) > -20;
	}
	decoder_free(d);
	return s;
}

/* G.711 is relayed: the beep is added, and not a packet of what is said is missing; so it is where sound is transcoded. */
static void test_beep_is_added_to_what_is_said(void **state)
{
	static const struct { enum codec_id from, to; } v[] = {
		{ CODEC_PCMU, CODEC_PCMU }, { CODEC_PCMA, CODEC_PCMA }, { CODEC_L16, CODEC_L16 }, { CODEC_PCMU, CODEC_G722 }, { CODEC_G722, CODEC_PCMA },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		struct pair a = pair_new(v[i].from, v[i].to);
		struct share s;

		talk(&a, v[i].from, 20);
		stream_beep(a.y->s, 0);
		talk(&a, v[i].from, 60);
		s = share_of(a.q, v[i].to);
		if (s.beeps < 10 || s.beeps > 12 || s.last - s.first != s.beeps - 1 || s.said < a.q->n - 2)
			fail_msg("row %zu: %u packets with a beep, %u to %u, %u with speech of %u", i, s.beeps, s.first, s.last, s.said, a.q->n);
		assert_in_range(s.first, 15, 26);
		assert_int_equal(a.p->n, 0); /* who wasn't asked for gets nothing */
		pair_free(&a);
	}
}

/* What can't be added to is replaced, and comes back. */
static void test_beep_takes_the_place_of_what_is_relayed_coded(void **state)
{
	struct pair a = pair_new(CODEC_G722, CODEC_G722);
	struct share s;

	(void)state;
	talk(&a, CODEC_G722, 20);
	stream_beep(a.y->s, 0);
	talk(&a, CODEC_G722, 40);
	s = share_of(a.q, CODEC_G722);
	assert_in_range(s.beeps, 9, 12);
	assert_int_equal(s.last - s.first, s.beeps - 1);
	assert_in_range(a.q->n - s.said, 8, 13);
	for (unsigned i = 1; i < a.q->n; i++) /* one numbering, and time goes on */
		assert_int_equal((uint16_t)(a.q->got[i].seq - a.q->got[i - 1].seq), 1);
	pair_free(&a);
}

static void test_beep_comes_again_until_it_is_stopped(void **state)
{
	struct pair a = pair_new(CODEC_PCMU, CODEC_PCMU);

	(void)state;
	stream_beep(a.y->s, 2);
	talk(&a, CODEC_PCMU, 250);           /* 5 s: at 0, 2 and 4 s */
	assert_in_range(share_of(a.q, CODEC_PCMU).beeps, 30, 36);
	a.q->n = 0;
	stream_beep(a.y->s, -1);
	talk(&a, CODEC_PCMU, 150);
	assert_int_equal(share_of(a.q, CODEC_PCMU).beeps, 0);
	pair_free(&a);
}

/* On another worker, after a handover, too; and who hears nothing else hears it. */
static void test_beep_is_heard_where_nothing_is_said(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2, .streams_together = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL);
	struct peer *p = peer_new(1, 1, 1), *q = peer_new(2, 2, 2);
	struct share s;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMA);
	stream_setup(y->s, q->port, CODEC_PCMA);
	settle(b, y->s);
	stream_beep(y->s, 1);
	stream_bridge(x->s, y->s);
	for (unsigned i = 0; i < 290; i++) {
		turn_for_ms(b, 10);
		peer_receive(q);
	}
	s = share_of(q, CODEC_PCMA);
	assert_in_range(s.beeps, 29, 34);
	assert_int_equal(s.said, 0);
	assert_in_range(q->n, 29, 36);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_beep_is_added_to_what_is_said),
		cmocka_unit_test(test_beep_takes_the_place_of_what_is_relayed_coded),
		cmocka_unit_test(test_beep_comes_again_until_it_is_stopped),
		cmocka_unit_test(test_beep_is_heard_where_nothing_is_said),
	};

	return cmocka_run_group_tests_name("beep", tests, warm_up, NULL);
}

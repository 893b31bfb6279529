/* Streams against real sockets on 127.0.0.1: each test is two or more peers that send RTP and look at what arrives. */
#include "media_bed.h"
#include "media/stream_int.h"

/* ---- relay ---- */

static void test_media_relay_passes_both_ways_with_own_numbers(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(65530, 0xfffffe00, 11), *q = peer_new(5, 5, 22);
	struct stream_stats stats;
	struct media_counters c;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 20; i++) { /* over the wrap of both numbers */
		peer_send(p, stream_port(x->s), 0, (uint8_t)(0x80 + i));
		peer_send(q, stream_port(y->s), 0, (uint8_t)(0xa0 + i));
		WAIT_FOR(b, (peer_receive(p), peer_receive(q), p->n == i + 1 && q->n == i + 1));
		assert_int_equal(q->payload[i][0], 0x80 + i);
		assert_int_equal(p->payload[i][159], 0xa0 + i);
	}
	assert_continuous(p, 0);
	assert_continuous(q, 0);
	assert_true(q->got[0].marker && !q->got[1].marker);
	assert_int_equal(q->got[19].ts - q->got[0].ts, 19 * 160);
	assert_int_not_equal(q->got[0].ssrc, 11);
	media_counters(b->media, &c);
	assert_int_equal(c.packets_received, 40);
	assert_int_equal(c.packets_sent, 40);
	stats = stream_end(b, x);
	assert_int_equal(stats.packets_received, 20);
	assert_int_equal(stats.packets_sent, 20);
	assert_int_equal(stats.bytes_sent, 20 * 160);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(stats.codec, CODEC_PCMU);
	assert_false(stats.latched);
	assert_int_equal(ntohs(((struct sockaddr_in *)&stats.remote)->sin_port), p->port);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_relay_keeps_loss_and_strips_extensions(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	/* one CSRC, an extension of one word, a byte of sound, two of padding */
	uint8_t odd[] = { 0xb1, 0x00, 0, 106, 0, 0, 3, 192, 0, 0, 0, 11, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 5, 6, 7, 8, 0x55, 0, 2 };

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 6; i++) {
		if (i == 3) { /* three are lost before us */
			p->seq += 3;
			p->ts += 480;
		}
		peer_send(p, stream_port(x->s), 0, 1);
		WAIT_FOR(b, (peer_receive(q), q->n == i + 1));
	}
	assert_int_equal((uint16_t)(q->got[3].seq - q->got[2].seq), 4);
	assert_int_equal(q->got[3].ts - q->got[2].ts, 640);
	p->seq++;
	odd[3] = (uint8_t)(p->seq - 1);
	send_to(p->fd, stream_port(x->s), odd, sizeof(odd));
	WAIT_FOR(b, (peer_receive(q), q->n == 7));
	assert_int_equal(q->got[6].offset, RTP_HEADER_LEN);
	assert_int_equal(q->got[6].len, 1);
	assert_int_equal(q->payload[6][0], 0x55);
	assert_int_equal(stream_end(b, x).lost, 3);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_relay_obeys_directions(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct stream_config c = config_of(q->port, CODEC_PCMU);
	struct media_counters n;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	c.dir = STREAM_RECV; /* y doesn't send: it is held */
	stream_configure(y->s, &c);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 5; i++)
		peer_send(p, stream_port(x->s), 0, 1);
	peer_send(q, stream_port(y->s), 0, 2);
	WAIT_FOR(b, (peer_receive(p), media_counters(b->media, &n), p->n == 1 && n.packets_received == 6));
	c.dir = STREAM_BOTH;
	stream_configure(y->s, &c);
	settle(b, x->s);
	peer_send(p, stream_port(x->s), 0, 3);
	WAIT_FOR(b, (peer_send(p, stream_port(x->s), 0, 3), peer_receive(q), q->n > 2));
	assert_int_equal(q->payload[0][0], 3); /* nothing of what came while it was held */
	assert_continuous(q, 0);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_rebridge_keeps_one_source(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s), *z = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22), *r = peer_new(60000, 77777, 33);
	unsigned n;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_setup(z->s, r->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 3; i++)
		WAIT_FOR(b, (peer_send(q, stream_port(y->s), 0, 1), peer_receive(p), p->n > 2));
	stream_unbridge(y->s);
	turn_for_ms(b, 60);
	peer_receive(p);
	n = p->n;
	stream_bridge(z->s, x->s);
	WAIT_FOR(b, (peer_send(r, stream_port(z->s), 0, 2), peer_receive(p), p->n > n + 3));
	assert_continuous(p, 0);
	assert_int_equal(p->payload[n][0], 2);
	assert_true(p->got[n].marker); /* a new talk spurt, RFC 3551 §4.1 */
	/* the pause is in the timestamps too: 60 ms at least */
	assert_true(p->got[n].ts - p->got[n - 1].ts >= 160 + 60 * 8 - 160);
	/* and bridging in place of another bridge */
	stream_bridge(x->s, y->s);
	n = p->n;
	WAIT_FOR(b, (peer_send(q, stream_port(y->s), 0, 4), peer_receive(p), p->n > n && p->payload[p->n - 1][0] == 4));
	assert_continuous(p, 0);
	stream_end(b, x);
	stream_end(b, y);
	stream_end(b, z);
	peer_free(p);
	peer_free(q);
	peer_free(r);
	bed_free(b);
}

/* When each worker has as many as it should, the next goes to the one that has more time, not to the one with fewer streams: what those
 * do may be dearer. A look at its CPU time counts for 250 ms; if the machine took longer, it is tried again. */
static void test_media_begins_where_there_is_time(void **state)
{
	static const struct { unsigned busy[2], chosen; } rows[] = { { { 100, 900 }, 0 }, { { 900, 500 }, 1 }, { { 420, 410 }, 1 } };
	struct bed *b = bed_new((struct media_params){ .nworkers = 2, .streams_together = 2 });
	struct worker *workers = b->media->workers;
	struct seen *first[2] = { stream_make(b, NULL), stream_make(b, NULL) };

	(void)state;
	assert_int_equal(workers[0].nstreams, 2);
	assert_int_equal(workers[1].nstreams, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows);) {
		uint64_t since_us = now_us();
		struct seen *x;

		for (unsigned w = 0; w < 2; w++) {
			workers[w].looked_us = since_us;
			workers[w].busy_permille = rows[i].busy[w];
		}
		x = stream_make(b, NULL);
		if (now_us() - since_us < 200000) {
			assert_ptr_equal(x->s->worker, &workers[rows[i].chosen]);
			i++;
		}
		stream_end(b, x);
	}
	stream_end(b, first[0]);
	stream_end(b, first[1]);
	bed_free(b);
}

static void test_media_bridge_across_workers_hands_over(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 2, .streams_together = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL), *z = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22), *r = peer_new(7, 7, 33);
	unsigned n;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_setup(z->s, r->port, CODEC_PCMU);
	for (int round = 0; round < 10; round++) {
		/* x and z begin on one worker, y on the other; each bridge moves one, some while another move goes on */
		stream_bridge(x->s, y->s);
		stream_bridge(y->s, z->s);
		stream_bridge(y->s, x->s);
		n = p->n;
		WAIT_FOR(b, (peer_send(q, stream_port(y->s), 0, 1), peer_receive(p), p->n > n + 2));
		stream_bridge(z->s, y->s);
		peer_receive(r);
		n = r->n;
		WAIT_FOR(b, (peer_send(q, stream_port(y->s), 0, 2), peer_receive(r), r->n > n + 2));
		peer_receive(p);
	}
	assert_continuous(p, 0);
	assert_continuous(r, 0);
	/* closing in the middle of a handover */
	stream_bridge(x->s, y->s);
	stream_bridge(z->s, x->s);
	stream_end(b, y);
	stream_end(b, x);
	stream_end(b, z);
	peer_free(p);
	peer_free(q);
	peer_free(r);
	bed_free(b);
}

static void test_media_echo_returns_what_was_sent(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMA);
	stream_echo(x->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 5; i++) {
		peer_send(p, stream_port(x->s), 8, (uint8_t)(i + 1));
		WAIT_FOR(b, (peer_receive(p), p->n == i + 1));
		assert_int_equal(p->payload[i][7], i + 1);
	}
	stream_silence(x->s);
	stream_echo(x->s);
	WAIT_FOR(b, (peer_send(p, stream_port(x->s), 8, 9), peer_receive(p), p->n > 6));
	assert_continuous(p, 0);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

/* ---- whom we listen to ---- */

static void test_media_latch_follows_nat_and_refuses_injection(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *nat = peer_new(100, 0, 11), *evil = peer_new(9, 9, 66), *q = peer_new(5, 5, 22), *dead = peer_new(1, 1, 1);
	struct stream_stats stats;
	struct media_counters n;

	(void)state;
	stream_setup(x->s, dead->port, CODEC_PCMU); /* what the phone believes its address to be */
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	/* an injected packet can't latch, nor can two */
	peer_send(evil, stream_port(x->s), 0, 0x66);
	peer_send(evil, stream_port(x->s), 0, 0x66);
	WAIT_FOR(b, (media_counters(b->media, &n), n.packets_received == 2));
	for (unsigned i = 0; i < 5; i++)
		peer_send(nat, stream_port(x->s), 0, 0x11);
	WAIT_FOR(b, (peer_receive(q), q->n == 3)); /* the third one latched */
	WAIT_FOR(b, x->nlatched == 1);
	/* from now on the kernel keeps the others out */
	for (unsigned i = 0; i < 20; i++)
		peer_send(evil, stream_port(x->s), 0, 0x66);
	peer_send(nat, stream_port(x->s), 0, 0x12);
	WAIT_FOR(b, (peer_receive(q), q->n == 4));
	for (unsigned i = 0; i < q->n; i++)
		assert_int_not_equal(q->payload[i][0], 0x66);
	/* what we send goes where it comes from */
	peer_send(q, stream_port(y->s), 0, 0x22);
	WAIT_FOR(b, (peer_receive(nat), nat->n == 1));
	peer_receive(evil);
	peer_receive(dead);
	assert_int_equal(evil->n + dead->n, 0);
	stats = stream_end(b, x);
	assert_true(stats.latched);
	assert_int_equal(stats.dropped_source, 2);
	assert_int_equal(stats.packets_received, 4);
	assert_int_equal(ntohs(((struct sockaddr_in *)&stats.remote)->sin_port), nat->port);
	stream_end(b, y);
	peer_free(nat);
	peer_free(evil);
	peer_free(q);
	peer_free(dead);
	bed_free(b);
}

static void test_media_relearn_only_when_signalled(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct stream_config c;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_echo(x->s);
	WAIT_FOR(b, (peer_send(p, stream_port(x->s), 0, 1), peer_receive(p), p->n > 0));
	for (unsigned i = 0; i < 5; i++)
		peer_send(q, stream_port(x->s), 0, 2);
	c = config_of(q->port, CODEC_PCMU);
	c.relearn = true;
	stream_configure(x->s, &c);
	settle(b, x->s);
	WAIT_FOR(b, (peer_send(q, stream_port(x->s), 0, 3), peer_receive(q), q->n > 2));
	assert_int_equal(q->payload[0][0], 3);
	assert_continuous(q, 0);
	assert_int_equal(q->got[0].ssrc, p->got[0].ssrc);
	stream_end(b, x);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* ---- digits ---- */

static void test_media_digits_are_reported_and_cross_a_bridge(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct stream_config c = config_of(q->port, CODEC_PCMU);
	struct dtmf_in in = { 0 };
	char got[8] = "";
	unsigned n = 0, markers = 0;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	c.dtmf_send_pt = c.dtmf_recv_pt = 96; /* the other leg has another payload type */
	stream_configure(y->s, &c);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	peer_send(p, stream_port(x->s), 0, 1);
	peer_press(p, stream_port(x->s), '5', 100);
	peer_send(p, stream_port(x->s), 0, 2);
	peer_press(p, stream_port(x->s), '#', 60);
	peer_send(p, stream_port(x->s), 0, 3);
	WAIT_FOR(b, (peer_receive(q), x->ndigits == 2 && q->n == 3 + 7 + 5));
	assert_string_equal(x->digits, "5#");
	assert_int_equal(x->digit_ms[0], 100);
	assert_int_equal(y->ndigits, 0);
	assert_continuous(q, 0);
	for (unsigned i = 0; i < q->n; i++) {
		struct dtmf_event e;
		struct dtmf_digit ended[2];

		if (q->got[i].pt == 0) {
			/* audio goes on in the sender's time: its own digits lie between */
			assert_int_equal(q->got[i].ts - q->got[0].ts,
					 (q->payload[i][0] - 1u) * 160 + (q->payload[i][0] > 1 ? 800 : 0) +
						 (q->payload[i][0] > 2 ? 480 : 0));
			continue;
		}
		assert_int_equal(q->got[i].pt, 96);
		markers += q->got[i].marker;
		assert_int_equal(dtmf_parse(&e, q->payload[i], q->got[i].len), 0);
		if (dtmf_in_packet(&in, &e, q->got[i].ts, 8000, 0, ended))
			got[n++] = ended[0].digit;
	}
	assert_string_equal(got, "5#");
	assert_int_equal(markers, 2);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* RFC 4733 §2.5.1.3, and a leg whose clock is six times as fast: its segments end elsewhere. A packet that
 * finds one full tells just that; the next tells what is beyond. */
static void test_media_long_digit_crosses_in_segments(void **state)
{
	static const uint32_t clocks[] = { 8000, 16000, 48000 };
	static const struct { uint32_t at; uint16_t duration; bool end; } packets[] = {
		{ 0, 160, false }, { 0, 10000, false }, { 0, 0xffff, false }, { 0xffff, 160, false }, { 0xffff, 800, true }, { 0xffff, 800, true },
	};
	/* In the same order; at is so many full segments. */
	static const struct { uint16_t at, duration; bool end; } expected[][ARRAY_LEN(packets)] = {
		{ { 0, 160, false }, { 0, 10000, false }, { 0, 0xffff, false }, { 1, 160, false }, { 1, 800, true }, { 1, 800, true } },
		{ { 0, 320, false }, { 0, 20000, false }, { 0, 0xffff, false }, { 1, 0xffff, false }, { 2, 1600, true }, { 2, 1600, true } },
		{ { 0, 960, false }, { 0, 60000, false }, { 0, 0xffff, false }, { 1, 0xffff, false }, { 2, 0xffff, false }, { 3, 0xffff, false } },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(clocks); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
		struct peer *p = peer_new(100, 7000, 11), *q = peer_new(5, 5, 22);
		struct stream_config c = config_of(q->port, CODEC_PCMU);

		stream_setup(x->s, p->port, CODEC_PCMU);
		c.dtmf_clock_hz = clocks[i];
		stream_configure(y->s, &c);
		stream_bridge(x->s, y->s);
		settle(b, x->s);
		for (unsigned k = 0; k < ARRAY_LEN(packets); k++) {
			struct dtmf_event e = { .event = 5, .volume = 10, .end = packets[k].end, .duration = packets[k].duration };
			uint8_t payload[DTMF_PAYLOAD_LEN];

			dtmf_print(payload, &e);
			peer_send_raw(p, stream_port(x->s), 101, k == 0, p->ts + packets[k].at, payload, sizeof(payload));
			wait_received(b, k + 1);
			turn_for_ms(b, 20);
		}
		WAIT_FOR(b, (peer_receive(q), q->n == ARRAY_LEN(packets)));
		assert_int_equal(x->ndigits, 1);
		for (unsigned k = 0; k < q->n; k++) {
			struct dtmf_event e;

			assert_int_equal(q->got[k].marker, k == 0);
			assert_int_equal(q->got[k].ts - q->got[0].ts, expected[i][k].at * 0xffffu);
			assert_int_equal(dtmf_parse(&e, q->payload[k], q->got[k].len), 0);
			assert_int_equal(e.duration, expected[i][k].duration);
			assert_int_equal(e.end, expected[i][k].end);
		}
		stream_end(b, x);
		stream_end(b, y);
		peer_free(p);
		peer_free(q);
		bed_free(b);
	}
}

static void test_media_digit_with_lost_end_is_reported(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct dtmf_event e = { .event = 9, .duration = 320 };
	uint8_t payload[DTMF_PAYLOAD_LEN];

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	settle(b, x->s);
	dtmf_print(payload, &e);
	peer_send_raw(p, stream_port(x->s), 101, true, 0, payload, sizeof(payload));
	WAIT_FOR(b, x->ndigits == 1);
	assert_string_equal(x->digits, "9");
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_send_digit_fits_into_relayed_audio(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);
	struct dtmf_in in = { 0 };
	char got[8] = "";
	unsigned n = 0, ends = 0;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	stream_send_digit(y->s, '7', 100);
	stream_send_digit(y->s, '*', 100);
	for (unsigned i = 0; i < 25; i++) {
		peer_send_in_time(b, p, stream_port(x->s), 0, 1);
		peer_receive(q);
	}
	WAIT_STILL(b, (peer_receive(q), q->n == bed_counters(b).packets_sent));
	assert_continuous(q, 0);
	for (unsigned i = 0; i < q->n; i++) {
		struct dtmf_event e;
		struct dtmf_digit ended[2];

		if (q->got[i].pt != 101)
			continue;
		assert_int_equal(dtmf_parse(&e, q->payload[i], q->got[i].len), 0);
		ends += e.end;
		if (dtmf_in_packet(&in, &e, q->got[i].ts, 8000, 0, ended))
			got[n++] = ended[0].digit;
	}
	assert_string_equal(got, "7*");
	assert_int_equal(ends, 6);
	assert_true(q->n < 25 + 14); /* audio was held back under the digits */
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

/* ---- reports and time ---- */

static void test_media_reports_go_both_ways(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1, .rtcp_interval_ms = 100 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct rtcp_report sr = { 0 }, mine = { .ssrc = 11, .is_sender = true, .ntp = 0x1234567890abcdef };
	uint8_t buf[512];
	ssize_t n;
	size_t len;
	struct stream_stats stats;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_echo(x->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 10; i++) {
		if (i == 5)
			p->seq += 2;
		peer_send(p, stream_port(x->s), 0, 1);
	}
	WAIT_FOR(b, (peer_receive(p), p->n == 10));
	len = rtcp_print(buf, sizeof(buf), &mine, "peer");
	send_to(p->rtcp_fd, (uint16_t)(stream_port(x->s) + 1), buf, len);
	WAIT_FOR(b, (n = recv(p->rtcp_fd, buf, sizeof(buf), 0)) > 0 &&
			    rtcp_parse(&sr, buf, (size_t)n, 11) == 0 && sr.has_block && sr.block.lsr != 0);
	assert_int_equal(sr.ssrc, p->got[0].ssrc);
	assert_int_equal(sr.block.lost, 2);
	assert_int_equal(sr.block.highest, 111);
	assert_int_equal(sr.block.lsr, 0x567890ab);
	/* a sender report comes while we send */
	WAIT_FOR(b, (peer_send(p, stream_port(x->s), 0, 1), (n = recv(p->rtcp_fd, buf, sizeof(buf), 0)) > 0) &&
			    rtcp_parse(&sr, buf, (size_t)n, 11) == 0 && sr.is_sender);
	assert_true(sr.packets >= 10 && sr.octets == sr.packets * 160);
	/* answer it: 5 lost, held for no time */
	mine = (struct rtcp_report){ .ssrc = 11, .has_block = true };
	mine.block = (struct rtcp_block){ .ssrc = sr.ssrc, .lost = 5, .lsr = (uint32_t)(sr.ntp >> 16) };
	len = rtcp_print(buf, sizeof(buf), &mine, "peer");
	turn_for_ms(b, 5);
	send_to(p->rtcp_fd, (uint16_t)(stream_port(x->s) + 1), buf, len);
	/* it has been read before the next report goes out */
	WAIT_FOR(b, recv(p->rtcp_fd, buf, sizeof(buf), 0) > 0);
	stats = stream_end(b, x);
	assert_int_equal(stats.remote_lost, 5);
	assert_in_range(stats.rtt_us, 5000, 10000000); /* whatever a busy machine adds */
	/* and the end is said */
	WAIT_FOR(b, (n = recv(p->rtcp_fd, buf, sizeof(buf), 0)) > 0 && rtcp_parse(&sr, buf, (size_t)n, 11) == 0 && sr.bye);
	peer_free(p);
	bed_free(b);
}

static void test_media_timeout_is_told_once(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	struct stream_config c = config_of(p->port, CODEC_PCMU);

	(void)state;
	stream_configure(y->s, &c); /* expects nothing */
	c.timeout_ms = 100;
	stream_configure(x->s, &c);
	settle(b, x->s);
	for (unsigned i = 0; i < 10; i++)
		peer_send_in_time(b, p, stream_port(x->s), 0, 1);
	assert_int_equal(x->ntimeout, 0);
	WAIT_FOR(b, x->ntimeout == 1);
	turn_for_ms(b, 250);
	assert_int_equal(x->ntimeout, 1);
	assert_int_equal(y->ntimeout, 0);
	stream_end(b, x);
	stream_end(b, y);
	peer_free(p);
	bed_free(b);
}

/* ---- ports and ends ---- */

static void test_media_ports_run_out_and_come_back(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1, .port_min = 23001, .port_max = 23009 });
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct stream_params p = { .local = (struct sockaddr *)&local };
	struct seen *all[4];
	struct stream *none = NULL;
	unsigned ports = 0;
	struct media_counters c;

	(void)state;
	for (unsigned i = 0; i < 4; i++) { /* 23002 to 23008 */
		all[i] = stream_make(b, NULL);
		ports |= 1u << (stream_port(all[i]->s) - 23000);
	}
	assert_int_equal(ports, 1u << 2 | 1u << 4 | 1u << 6 | 1u << 8);
	assert_int_equal(stream_new(&none, b->media, &p, &handler, NULL), -EADDRINUSE);
	assert_null(none);
	stream_end(b, all[1]);
	all[1] = stream_make(b, NULL);
	media_counters(b->media, &c);
	assert_int_equal(c.streams, 4);
	assert_int_equal(c.sockets_open, 8);
	for (unsigned i = 0; i < 4; i++)
		stream_end(b, all[i]);
	bed_free(b);
}

static void test_media_reused_port_hears_nothing_of_its_last_peer(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1, .port_min = 23010, .port_max = 23011 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22);

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_echo(x->s);
	WAIT_FOR(b, (peer_send(p, stream_port(x->s), 0, 1), peer_receive(p), p->n > 0));
	stream_end(b, x);
	for (unsigned i = 0; i < 10; i++)
		peer_send(p, 23010, 0, 1);
	x = stream_make(b, NULL);
	assert_int_equal(stream_port(x->s), 23010);
	stream_setup(x->s, q->port, CODEC_PCMU);
	stream_echo(x->s);
	WAIT_FOR(b, (peer_send(q, stream_port(x->s), 0, 2), peer_receive(q), q->n > 3));
	assert_int_equal(q->payload[0][0], 2);
	assert_int_equal(stream_end(b, x).dropped_source, 0);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_close_drops_open_streams(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 2 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, NULL), *z = stream_make(b, NULL);

	(void)state;
	stream_bridge(x->s, y->s);
	stream_detach(z->s);
	stream_close(z->s);
	media_close(b->media, on_media_closed, b);
	WAIT_FOR(b, b->media_closed);
	assert_int_equal(x->nclosed + y->nclosed, 0);
	assert_int_equal(z->nclosed, 1); /* was closed by its owner, who hears it */
	free(x);
	free(y);
	free(z);
	uv_close((uv_handle_t *)&b->step, NULL);
	uv_run(&b->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&b->loop), 0);
	free(b);
	assert_int_equal(fds_open(), fds_before);
}

static void test_media_malformed_packets_are_counted(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL);
	struct peer *p = peer_new(100, 0, 11);
	static const uint8_t rubbish[][24] = { { 0 }, { 0xff, 0xff, 0xff }, { 0x8f, 0 }, { 0x80, 200, 0xff, 0xff } };
	struct media_counters c;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_echo(x->s);
	WAIT_FOR(b, (peer_send(p, stream_port(x->s), 0, 1), peer_receive(p), p->n > 0));
	for (size_t i = 0; i < ARRAY_LEN(rubbish); i++) {
		send_to(p->fd, stream_port(x->s), rubbish[i], sizeof(rubbish[i]));
		send_to(p->rtcp_fd, (uint16_t)(stream_port(x->s) + 1), rubbish[i], sizeof(rubbish[i]));
	}
	WAIT_FOR(b, (media_counters(b->media, &c), c.dropped_malformed == 8));
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

/* The kernel keeps strangers out of a connected socket, uncounted; but one who goes on is seen within an RTCP interval or two, and counted from
 * then on, packet by packet. Nobody hears him. When he has gone the socket is connected again. */
static void test_media_stranger_who_goes_on_is_counted(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_make(b, NULL), *y = stream_make(b, x->s);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(5, 5, 22), *stranger = peer_new(7, 7, 33);
	unsigned sent = 0, until_seen = 0;
	uint32_t counted = 0;
	uint64_t received;

	(void)state;
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(x->s, y->s);
	settle(b, x->s);
	for (unsigned i = 0; i < 10; i++)
		peer_send_in_time(b, p, stream_port(x->s), 0, 0x11);
	for (unsigned i = 0; i < 40 * 50; i++, sent++) {
		received = bed_counters(b).packets_received;
		peer_send(stranger, stream_port(x->s), 0, 0x55);
		peer_send(p, stream_port(x->s), 0, 0x11);
		wait_received(b, received + 1);
		turn_for_ms(b, 20);
		peer_receive(q);
		if (!until_seen && bed_counters(b).dropped_source > 0)
			until_seen = sent;
		if (q->n > PEER_MAX / 2) {
			for (unsigned k = 0; k < q->n; k++)
				assert_int_equal(q->payload[k][0], 0x11);
			q->n = 0;
		}
	}
	for (unsigned k = 0; k < q->n; k++)
		assert_int_equal(q->payload[k][0], 0x11);
	counted = (uint32_t)bed_counters(b).dropped_source;
	assert_true(until_seen > 0 && until_seen < 16 * 50);
	assert_in_range(counted, sent - until_seen - 2, sent);
	/* He falls silent; later he finds a closed port. */
	for (unsigned i = 0; i < 25 * 50; i++)
		peer_send_in_time(b, p, stream_port(x->s), 0, 0x11);
	peer_receive(q);
	assert_int_equal(bed_counters(b).dropped_source, counted);
	assert_int_equal(stream_end(b, x).dropped_source, counted);
	stream_end(b, y);
	peer_free(p);
	peer_free(q);
	peer_free(stranger);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_media_relay_passes_both_ways_with_own_numbers),
		cmocka_unit_test(test_media_relay_keeps_loss_and_strips_extensions),
		cmocka_unit_test(test_media_relay_obeys_directions),
		cmocka_unit_test(test_media_rebridge_keeps_one_source),
		cmocka_unit_test(test_media_begins_where_there_is_time),
		cmocka_unit_test(test_media_bridge_across_workers_hands_over),
		cmocka_unit_test(test_media_echo_returns_what_was_sent),
		cmocka_unit_test(test_media_latch_follows_nat_and_refuses_injection),
		cmocka_unit_test(test_media_relearn_only_when_signalled),
		cmocka_unit_test(test_media_digits_are_reported_and_cross_a_bridge),
		cmocka_unit_test(test_media_long_digit_crosses_in_segments),
		cmocka_unit_test(test_media_digit_with_lost_end_is_reported),
		cmocka_unit_test(test_media_send_digit_fits_into_relayed_audio),
		cmocka_unit_test(test_media_reports_go_both_ways),
		cmocka_unit_test(test_media_timeout_is_told_once),
		cmocka_unit_test(test_media_ports_run_out_and_come_back),
		cmocka_unit_test(test_media_reused_port_hears_nothing_of_its_last_peer),
		cmocka_unit_test(test_media_close_drops_open_streams),
		cmocka_unit_test(test_media_malformed_packets_are_counted),
		cmocka_unit_test(test_media_stranger_who_goes_on_is_counted),
	};

	return cmocka_run_group_tests_name("media", tests, warm_up, NULL);
}

/* What a stream says of itself every five seconds and at its end, and what it makes of a peer that moves or goes silent: with a clock of
 * our own. */
#include "media_bed.h"

#include "media/quality.h"
#include "media/secure.h"

struct scene {
	struct bed *b;
	struct seen *x;
	struct peer *p;
	uint16_t port;
};

static struct scene scene_of(struct media_params params, enum codec_id codec)
{
	struct scene s = { 0 };

	params.nworkers = 1;
	s.b = bed_new_by_hand(params);
	s.x = stream_make(s.b, NULL);
	s.p = peer_new(100, 0, 11);
	s.port = stream_port(s.x->s);
	stream_setup(s.x->s, s.p->port, codec);
	settle(s.b, s.x->s);
	return s;
}

static struct stream_stats scene_end(struct scene *s)
{
	struct stream_stats stats = stream_end(s->b, s->x);

	peer_free(s->p);
	bed_free(s->b);
	return stats;
}

/* So many packets; each lost_th is missing (0: none). */
static void talk(struct scene *s, unsigned n, unsigned lost_th)
{
	for (unsigned i = 1; i <= n; i++) {
		if (lost_th && i % lost_th == 0) {
			s->p->seq++;
			s->p->ts += 160;
			turn_for_ms(s->b, 20);
			continue;
		}
		peer_send_in_time(s->b, s->p, s->port, 0, 0x55);
	}
}

static void wait_stats(struct scene *s)
{
	unsigned before = s->x->nstats;

	while (s->x->nstats == before)
		turn_for_ms(s->b, 1);
}

/* The peer says what it has of what we sent. */
static void report(struct scene *s, uint32_t ssrc, struct rtcp_block block)
{
	struct rtcp_report r = { .ssrc = s->p->ssrc, .has_block = true, .block = block };
	uint8_t buf[RTCP_PRINT_MAX];
	size_t n;

	r.block.ssrc = ssrc;
	n = rtcp_print(buf, sizeof(buf), &r, "peer");
	send_to(s->p->rtcp_fd, (uint16_t)(s->port + 1), buf, n);
	turn_for_ms(s->b, 3);
}

/* ---- statistics ---- */

static void test_quality_interval_counts_what_came(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	const struct stream_stats *t = &s.x->stats;

	(void)state;
	turn_for_ms(s.b, 11000);
	assert_int_equal(s.x->nstats, 0); /* nothing to say */
	talk(&s, 50, 10);
	wait_stats(&s);
	assert_int_equal(t->packets_received, 45);
	assert_int_equal(t->bytes_received, 45 * 160);
	assert_int_equal(t->packets_sent, 0);
	assert_int_equal(t->lost, 4); /* the last one isn't known to be */
	assert_int_equal(t->codec, CODEC_PCMU);
	assert_int_equal(ntohs(((const struct sockaddr_in *)&t->remote)->sin_port), s.p->port);
	assert_int_equal(ntohs(((const struct sockaddr_in *)&t->signalled)->sin_port), s.p->port);
	assert_int_equal(t->reason, LATCH_FIRST);
	assert_int_equal(t->changes, 1);
	assert_in_range(t->since_ms, 1700000000000, bed_wall_ms(s.b));
	/* 8 % lost of G.711: R is 93 less 95 * 8 / (8 + 25) */
	assert_in_range(t->mos_now, 340, 370);
	assert_int_equal(t->mos, t->mos_now);
	assert_int_equal(t->mos_min, t->mos_now);
	/* each 5 s, on the common grid, also while nothing comes: but then it is unknown how it sounds */
	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = s.b->now_ms;

		assert_int_equal(s.b->now_ms % QUALITY_STEP_MS, 0);
		wait_stats(&s);
		assert_int_equal(s.b->now_ms - before, QUALITY_MS);
		assert_int_equal(t->mos_now, 0);
	}
	scene_end(&s);
}

/* Half a minute in which nobody understood a word doesn't vanish in an hour. */
static void test_quality_worst_interval_is_kept(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct stream_stats stats;
	int64_t worst_at_ms = 0;
	uint16_t worst = 0;

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		unsigned before = s.x->nstats;

		while (s.x->nstats == before)
			talk(&s, 10, i == 2 ? 3 : 0);
		if (i == 2) {
			worst = s.x->stats.mos_min;
			worst_at_ms = s.x->stats.mos_min_at_ms;
		}
	}
	assert_in_range(worst, 120, 240);
	assert_true(s.x->stats.mos_now > 430);
	stats = scene_end(&s);
	assert_int_equal(stats.mos_min, worst);
	assert_int_equal(stats.mos_min_at_ms, worst_at_ms);
	assert_in_range(stats.mos, 360, 420);
}

/* A call of a few seconds has a figure too; the few packets at the end of a longer one don't spoil its worst. */
static void test_quality_end_counts_if_it_says_enough(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct stream_stats stats;

	(void)state;
	talk(&s, 10, 5);
	stats = scene_end(&s);
	assert_in_range(stats.mos, 200, 430);
	assert_int_equal(stats.mos, stats.mos_min);

	s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	while (!s.x->nstats)
		talk(&s, 10, 0);
	talk(&s, 10, 2);
	stats = scene_end(&s);
	assert_true(stats.lost >= 4);
	assert_true(stats.mos_min > 430);

	s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	stats = scene_end(&s);
	assert_int_equal(stats.mos + stats.mos_min + stats.remote_mos, 0);
	assert_int_equal(stats.reason, LATCH_NONE);
}

/* What it hears is known by its reports: loss since the one before, jitter, round trip. */
static void test_quality_other_direction_is_by_reports(void **state)
{
	struct scene s = scene_of((struct media_params){ .rtcp_interval_ms = 60000 }, CODEC_PCMU);
	struct stream_stats stats;
	uint32_t ssrc;

	(void)state;
	stream_echo(s.x->s);
	settle(s.b, s.x->s);
	talk(&s, 10, 0);
	WAIT_FOR(s.b, (peer_receive(s.p), s.p->n >= 10));
	ssrc = s.p->got[0].ssrc;
	report(&s, ssrc, (struct rtcp_block){ .highest = 10, .jitter = 80 });
	talk(&s, 10, 0);
	report(&s, ssrc, (struct rtcp_block){ .highest = 20, .fraction = 77, .lost = 6, .jitter = 160 }); /* 30 % */
	wait_stats(&s);
	assert_int_equal(s.x->stats.remote_lost, 6);
	assert_int_equal(s.x->stats.remote_jitter_us, 20000);
	assert_in_range(s.x->stats.remote_mos_now, 120, 260);
	assert_int_equal(s.x->stats.remote_mos_now, s.x->stats.remote_mos_min);
	report(&s, ssrc, (struct rtcp_block){ .highest = 20, .fraction = 0, .lost = 6 }); /* nothing new came there: says nothing */
	talk(&s, 10, 0);
	report(&s, ssrc, (struct rtcp_block){ .highest = 30, .fraction = 0, .lost = 6 });
	stats = scene_end(&s);
	assert_true(stats.remote_mos_now > 430);
	assert_in_range(stats.remote_mos_min, 120, 260);
	assert_int_equal(stats.remote_mos, (stats.remote_mos_now * 2 + stats.remote_mos_min + 1) / 3);
}

/* Where we listen, what counts is what had to be made up. */
static void test_quality_concealment_is_counted_where_we_listen(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct seen *y = stream_make(s.b, s.x->s);
	struct peer *q = peer_new(5, 5, 22);
	struct stream_stats stats;

	(void)state;
	stream_setup(y->s, q->port, CODEC_PCMA);
	stream_bridge(s.x->s, y->s);
	settle(s.b, s.x->s);
	talk(&s, 200, 20);
	stream_end(s.b, y);
	peer_free(q);
	stats = scene_end(&s);
	assert_in_range(stats.heard_ms, 3500, 4100);
	assert_in_range(stats.concealed_ms, 9 * 20, 9 * 20 + 60);
	assert_in_range(stats.mos, 360, 410);
}

/* A phone that is silent while nobody speaks has lost nothing. */
static void test_quality_pause_is_no_loss(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct seen *y = stream_make(s.b, s.x->s);
	struct peer *q = peer_new(5, 5, 22);
	struct stream_stats stats;

	(void)state;
	stream_setup(y->s, q->port, CODEC_PCMA);
	stream_bridge(s.x->s, y->s);
	settle(s.b, s.x->s);
	for (unsigned i = 0; i < 8; i++) {
		talk(&s, 20, 0);
		turn_for_ms(s.b, 400);
		s.p->ts += 3200;
	}
	stream_end(s.b, y);
	peer_free(q);
	stats = scene_end(&s);
	assert_in_range(stats.heard_ms, 8 * 400, 8 * 400 + 300);
	assert_true(stats.concealed_ms <= 60);
	assert_true(stats.mos_min > 425);
}

/* The phone begins a new source, as after a transfer behind it: its numbers have nothing to do with those before, and nothing is lost. */
static void test_quality_new_source_is_no_loss(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct seen *y = stream_make(s.b, s.x->s);
	struct peer *q = peer_new(5, 5, 22);
	struct stream_stats stats;

	(void)state;
	stream_setup(y->s, q->port, CODEC_PCMA);
	stream_bridge(s.x->s, y->s);
	settle(s.b, s.x->s);
	s.p->seq = 65500; /* it wraps, too */
	s.p->ts = 0u - 160 * 30;
	talk(&s, 50, 0);
	s.p->ssrc = 12;
	s.p->seq = 30000;
	s.p->ts = 0x12345678;
	talk(&s, 50, 0);
	stream_end(s.b, y);
	peer_free(q);
	stats = scene_end(&s);
	assert_int_equal(stats.packets_received, 100);
	assert_int_equal(stats.lost, 0);
	assert_int_equal(stats.concealed_ms, 0);
	assert_in_range(stats.heard_ms, 1800, 2000);
	assert_true(stats.mos_min > 425);
}

/* ---- whom it believes ---- */

/* Whose reports are believed is learnt from one that is authentic, not from whoever knocks first. */
static void test_quality_reports_are_learnt_when_authentic(void **state)
{
	struct secure_params ours = { .suite = SECURE_AES_CM_128_80, .nrecv = 1 }, theirs = ours;
	struct scene s = scene_of((struct media_params){ .rtcp_interval_ms = 60000 }, CODEC_PCMU);
	struct stream_config c = config_of(s.p->port, CODEC_PCMU);
	struct peer *evil = peer_new(1, 1, 66);
	struct rtcp_report r = { .ssrc = 11, .is_sender = true };
	_Alignas(8) uint8_t buf[256], packet[RTP_HEADER_LEN + 160 + SECURE_TRAILER_MAX] = { 0 };
	struct stream_stats stats;
	struct secure *seal;
	size_t n;

	(void)state;
	memset(ours.send.key, 1, sizeof(ours.send.key));
	memset(ours.recv[0].key, 2, sizeof(ours.recv[0].key));
	theirs.send = ours.recv[0];
	theirs.recv[0] = ours.send;
	assert_int_equal(secure_new(&seal, NULL, &theirs), 0);
	c.security = &ours;
	stream_configure(s.x->s, &c);
	settle(s.b, s.x->s);
	for (unsigned i = 0; i < 3; i++) {
		struct rtp_packet h = { .seq = s.p->seq++, .ts = 160 * i, .ssrc = 11 };

		rtp_print(packet, &h);
		n = secure_seal(seal, packet, RTP_HEADER_LEN + 160);
		send_to(s.p->fd, s.port, packet, n);
	}
	wait_received(s.b, 3);
	/* from the same host, another port, and not protected */
	n = rtcp_print(buf, sizeof(buf), &r, "evil");
	send_to(evil->rtcp_fd, (uint16_t)(s.port + 1), buf, n);
	WAIT_STILL(s.b, bed_counters(s.b).dropped_insecure == 1);
	/* the peer's own is taken after it */
	n = rtcp_print(buf, sizeof(buf), &r, "peer");
	n = secure_seal_rtcp(seal, buf, n);
	send_to(s.p->rtcp_fd, (uint16_t)(s.port + 1), buf, n);
	turn_for_ms(s.b, 3);
	/* and then nobody else's, wherever it comes from */
	send_to(evil->rtcp_fd, (uint16_t)(s.port + 1), buf, n);
	WAIT_STILL(s.b, bed_counters(s.b).dropped_source == 1);
	peer_free(evil);
	stats = scene_end(&s);
	assert_int_equal(stats.dropped_insecure, 1);
	assert_int_equal(stats.dropped_source, 1);
	assert_int_equal(stats.packets_received, 3);
	secure_free(seal);
}

static void send_sealed(struct scene *s, struct secure *seal, struct peer *from)
{
	_Alignas(8) uint8_t packet[RTP_HEADER_LEN + 160 + SECURE_TRAILER_MAX] = { 0 };
	struct rtp_packet h = { .seq = s->p->seq++, .ts = s->p->ts += 160, .ssrc = 11 };
	size_t n;

	rtp_print(packet, &h);
	n = secure_seal(seal, packet, RTP_HEADER_LEN + 160);
	send_to(from->fd, s->port, packet, n);
}

/* A phone with keys that is elsewhere now is found there when it was silent; one without is not. */
static void test_quality_peer_with_keys_may_move(void **state)
{
	struct secure_params ours = { .suite = SECURE_AES_CM_128_80, .nrecv = 1 }, theirs = ours;
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct stream_config c = config_of(s.p->port, CODEC_PCMU);
	struct peer *moved = peer_new(1, 1, 11), *evil = peer_new(7, 7, 66);
	uint16_t moved_port = moved->port;
	struct stream_stats stats;
	struct secure *seal;

	(void)state;
	memset(ours.send.key, 1, sizeof(ours.send.key));
	memset(ours.recv[0].key, 2, sizeof(ours.recv[0].key));
	theirs.send = ours.recv[0];
	theirs.recv[0] = ours.send;
	assert_int_equal(secure_new(&seal, NULL, &theirs), 0);
	c.security = &ours;
	stream_configure(s.x->s, &c);
	settle(s.b, s.x->s);
	send_sealed(&s, seal, s.p);
	wait_received(s.b, 1);
	turn_for_ms(s.b, LATCH_SILENCE_MS / 2);
	send_sealed(&s, seal, moved); /* the kernel refuses it */
	turn_for_ms(s.b, LATCH_SILENCE_MS / 2 + 10);
	assert_int_equal(bed_counters(s.b).packets_received, 1);
	/* silent: now it is listened for */
	peer_send(evil, s.port, 0, 0x66);
	WAIT_STILL(s.b, bed_counters(s.b).dropped_insecure == 1);
	send_sealed(&s, seal, moved);
	WAIT_FOR(s.b, s.x->nlatched == 1);
	assert_int_equal(s.x->reason, LATCH_SILENCE);
	send_sealed(&s, seal, moved);
	wait_received(s.b, 4);
	peer_free(moved);
	peer_free(evil);
	stats = scene_end(&s);
	assert_int_equal(stats.packets_received, 3);
	assert_int_equal(stats.reason, LATCH_SILENCE);
	assert_int_equal(stats.changes, 2);
	assert_int_equal(ntohs(((struct sockaddr_in *)&stats.remote)->sin_port), moved_port);
	secure_free(seal);
}

/* Behind a NAT that shows the same address whatever the phone says: a new description makes no gap. */
static void test_quality_new_description_makes_no_gap(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct peer *said = peer_new(1, 1, 1);
	struct stream_config c = config_of(said->port, CODEC_PCMU);
	struct stream_stats stats;

	(void)state;
	talk(&s, 10, 0);
	c.relearn = true;
	stream_configure(s.x->s, &c);
	settle(s.b, s.x->s);
	talk(&s, 100, 0);
	assert_int_equal(s.x->nlatched, 1);
	assert_int_equal(s.x->reason, LATCH_SIGNALLED);
	peer_free(said);
	stats = scene_end(&s);
	assert_int_equal(stats.packets_received, 110);
	assert_int_equal(stats.dropped_source, 0);
	assert_true(stats.latched);
	assert_int_equal(stats.changes, 2);
}

/* ---- dead peers ---- */

static void expect(struct scene *s, enum stream_dir dir, uint32_t timeout_ms)
{
	struct stream_config c = config_of(s->p->port, CODEC_PCMU);

	c.dir = dir;
	c.timeout_ms = timeout_ms;
	stream_configure(s->x->s, &c);
	settle(s->b, s->x->s);
}

static void test_quality_silent_peer_is_given_up_in_its_time(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);

	(void)state;
	expect(&s, STREAM_BOTH, 10000);
	talk(&s, 10, 0);
	turn_for_ms(s.b, 9900);
	assert_int_equal(s.x->ntimeout, 0);
	/* on hold it has longer, from when that began */
	expect(&s, STREAM_SEND, 30000);
	turn_for_ms(s.b, 29900);
	assert_int_equal(s.x->ntimeout, 0);
	turn_for_ms(s.b, 200);
	assert_int_equal(s.x->ntimeout, 1);
	/* taken up again, it has time again */
	expect(&s, STREAM_BOTH, 10000);
	turn_for_ms(s.b, 9900);
	assert_int_equal(s.x->ntimeout, 1);
	turn_for_ms(s.b, 200);
	assert_int_equal(s.x->ntimeout, 2);
	/* never */
	expect(&s, STREAM_BOTH, 0);
	turn_for_ms(s.b, 100000);
	assert_int_equal(s.x->ntimeout, 2);
	scene_end(&s);
}

/* Who only listens sends no sound. As long as there are reports, somebody is there. */
static void test_quality_listener_that_reports_is_not_dead(void **state)
{
	struct scene s = scene_of((struct media_params){ .rtcp_interval_ms = 60000 }, CODEC_PCMU);

	(void)state;
	expect(&s, STREAM_SEND, 10000);
	for (unsigned i = 0; i < 10; i++) {
		turn_for_ms(s.b, 5000);
		report(&s, 1, (struct rtcp_block){ .highest = i });
	}
	assert_int_equal(s.x->ntimeout, 0);
	turn_for_ms(s.b, 10100);
	assert_int_equal(s.x->ntimeout, 1);
	scene_end(&s);
}

/* A phone that restarts isn't there for a moment: its machine says so, and that is counted, no more. */
static void test_quality_undeliverable_is_counted_not_fatal(void **state)
{
	struct scene s = scene_of((struct media_params){ 0 }, CODEC_PCMU);
	struct seen *y = stream_make(s.b, s.x->s);
	struct peer *q = peer_new(5, 5, 22);
	uint16_t port = s.p->port;
	struct stream_stats stats;

	(void)state;
	stream_setup(y->s, q->port, CODEC_PCMU);
	stream_bridge(s.x->s, y->s);
	settle(s.b, s.x->s);
	talk(&s, 5, 0);
	close(s.p->fd);
	for (unsigned i = 0; i < 20 || (i < 1000 && bed_counters(s.b).icmp_errors < 2); i++)
		peer_send_in_time(s.b, q, stream_port(y->s), 0, 0x22);
	assert_true(bed_counters(s.b).icmp_errors >= 2);
	s.p->fd = loopback_socket(&port);
	assert_true(s.p->fd >= 0);
	talk(&s, 5, 0);
	peer_send_in_time(s.b, q, stream_port(y->s), 0, 0x23);
	WAIT_FOR(s.b, (peer_receive(s.p), s.p->n > 0 && s.p->payload[s.p->n - 1][0] == 0x23));
	stream_end(s.b, y);
	peer_free(q);
	stats = scene_end(&s);
	assert_true(stats.icmp_errors >= 2);
	assert_int_equal(stats.packets_received, 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quality_interval_counts_what_came),
		cmocka_unit_test(test_quality_worst_interval_is_kept),
		cmocka_unit_test(test_quality_end_counts_if_it_says_enough),
		cmocka_unit_test(test_quality_other_direction_is_by_reports),
		cmocka_unit_test(test_quality_concealment_is_counted_where_we_listen),
		cmocka_unit_test(test_quality_pause_is_no_loss),
		cmocka_unit_test(test_quality_new_source_is_no_loss),
		cmocka_unit_test(test_quality_reports_are_learnt_when_authentic),
		cmocka_unit_test(test_quality_peer_with_keys_may_move),
		cmocka_unit_test(test_quality_new_description_makes_no_gap),
		cmocka_unit_test(test_quality_silent_peer_is_given_up_in_its_time),
		cmocka_unit_test(test_quality_listener_that_reports_is_not_dead),
		cmocka_unit_test(test_quality_undeliverable_is_counted_not_fatal),
	};

	return cmocka_run_group_tests_name("quality", tests, warm_up, NULL);
}

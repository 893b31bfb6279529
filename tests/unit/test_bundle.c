/* Streams that ride on another one's transport (BUNDLE, RFC 9143): told apart by their numbers, RTCP by whom it speaks of. */
#include "media_bed.h"

#define VIDEO_PT 96
#define SLIDES_PT 97

struct pair {
	struct bed *b;
	struct seen *sound, *sound2, *video, *slides, *far, *far2; /* video and slides ride on sound; far and far2 have ports of their own */
	struct peer *p, *s, *q, *q2;
};

static struct seen *riding(struct bed *b, struct seen *carrier)
{
	struct stream_params params = { .carrier = carrier->s };
	struct seen *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	assert_int_equal(stream_new(&e->s, b->media, &params, &handler, e), 0);
	assert_int_equal(stream_port(e->s), stream_port(carrier->s));
	return e;
}

static struct stream_config picture(const struct peer *to, uint8_t pt)
{
	struct stream_config c = to ? config_of(to->port, CODEC_PCMU) : (struct stream_config){ .dir = STREAM_BOTH };

	c.is_opaque = true;
	c.opaque_clock_hz = 90000;
	c.dtmf_send_pt = c.dtmf_recv_pt = -1;
	c.riding_pts[pt / 32] |= 1u << (pt & 31);
	return c;
}

static struct pair pair_new(unsigned nworkers)
{
	struct pair r = { .b = bed_new_by_hand((struct media_params){ .nworkers = nworkers, .streams_together = 1 }) };
	struct stream_config c;

	r.p = peer_new(1, 1000, 11);
	r.s = peer_new(1, 1000, 12);
	r.q = peer_new(1, 1000, 13);
	r.q2 = peer_new(1, 1000, 14);
	r.sound = stream_make(r.b, NULL);
	r.sound2 = stream_make(r.b, NULL);
	r.video = riding(r.b, r.sound);
	r.slides = riding(r.b, r.sound);
	r.far = stream_make(r.b, r.sound2->s);
	r.far2 = stream_make(r.b, r.sound2->s);
	c = config_of(r.p->port, CODEC_PCMU);
	c.rtcp_mux = true;
	stream_configure(r.sound->s, &c);
	stream_setup(r.sound2->s, r.s->port, CODEC_PCMU);
	c = picture(NULL, VIDEO_PT);
	stream_configure(r.video->s, &c);
	c = picture(NULL, SLIDES_PT);
	stream_configure(r.slides->s, &c);
	c = picture(r.q, VIDEO_PT);
	stream_configure(r.far->s, &c);
	c = picture(r.q2, SLIDES_PT);
	stream_configure(r.far2->s, &c);
	/* On several workers they are brought together, whichever is named first. */
	stream_bridge(r.sound2->s, r.sound->s);
	stream_bridge(r.far->s, r.video->s);
	stream_bridge(r.slides->s, r.far2->s);
	turn_for_ms(r.b, 5);
	return r;
}

static void pair_free(struct pair *r, struct stream_stats *of_video)
{
	struct seen *all[] = { r->sound, r->sound2, r->far, r->far2, r->slides, r->video };

	/* What rides goes with who carries it, and some have gone before. */
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (!all[i]->nclosed)
			stream_close(all[i]->s);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct stream_stats stats = stream_ended(r->b, all[i]);

		if (of_video && all[i] == r->video)
			*of_video = stats;
	}
	peer_free(r->p);
	peer_free(r->s);
	peer_free(r->q);
	peer_free(r->q2);
	bed_free(r->b);
}

static ssize_t wait_for(struct bed *b, int fd, uint8_t *buf, size_t size)
{
	ssize_t n = -1;

	for (uint64_t end = now_us() + 500000; n < 0 && now_us() < end;) {
		bed_step(b);
		n = recv(fd, buf, size, MSG_DONTWAIT);
	}
	return n;
}

/* Sends it, and expects it there as it is. */
static void passes(struct pair *r, int from, uint16_t to, int at, const void *packet, size_t n)
{
	uint8_t buf[2048];

	send_to(from, to, packet, n);
	assert_int_equal(wait_for(r->b, at, buf, sizeof(buf)), n);
	assert_memory_equal(buf, packet, n);
}

#define PACKET(name, pt, ssrc) static const uint8_t name[] = { 0x90, pt, 0, 9, 0, 0, 1, 2, 0, 0, 0, ssrc, 0xbe, 0xde, 0, 1, 0x10, 1, 2, 3, 7, 7 }
PACKET(frame, VIDEO_PT, 101);
PACKET(slide, SLIDES_PT, 102);
PACKET(answer_frame, VIDEO_PT, 201);
/* PLI (RFC 4585 §6.3.1), FIR (RFC 5104 §4.3.1), reports without and with a block. */
#define PLI(name, of, about) static const uint8_t name[] = { 0x81, 206, 0, 2, 0, 0, 0, of, 0, 0, 0, about }
#define FIR(name, of, about) static const uint8_t name[] = { 0x84, 206, 0, 4, 0, 0, 0, of, 0, 0, 0, 0, 0, 0, 0, about, 1, 0, 0, 0 }
PLI(pli, 1, 201);
PLI(pli_of_slides, 102, 77);
FIR(fir, 1, 201);
PLI(pli_back, 201, 101);

static void bring_in(struct pair *r)
{
	uint16_t port = stream_port(r->sound->s);

	passes(r, r->p->fd, port, r->q->fd, frame, sizeof(frame));
	passes(r, r->p->fd, port, r->q2->fd, slide, sizeof(slide));
	passes(r, r->q->fd, stream_port(r->far->s), r->p->fd, answer_frame, sizeof(answer_frame));
}

static void sound_passes(struct pair *r)
{
	peer_send(r->p, stream_port(r->sound->s), 0, 0x33);
	WAIT_FOR(r->b, (peer_receive(r->s), r->s->n == 1));
	assert_int_equal(r->s->payload[0][0], 0x33);
	peer_send(r->s, stream_port(r->sound2->s), 0, 0x44);
	WAIT_FOR(r->b, (peer_receive(r->p), r->p->n > 0));
	assert_int_equal(r->p->payload[r->p->n - 1][0], 0x44);
}

static void test_bundle_packets_go_each_its_way(void **state)
{
	for (unsigned nworkers = 1; nworkers <= 3; nworkers++) {
		struct pair r = pair_new(nworkers);
		struct stream_stats video;

		(void)state;
		sound_passes(&r);
		bring_in(&r);
		pair_free(&r, &video);
		assert_int_equal(video.packets_received, 1);
		assert_int_equal(video.packets_sent, 1);
	}
}

static void test_bundle_feedback_goes_to_whom_it_is_about(void **state)
{
	struct pair r = pair_new(1);
	uint16_t port = stream_port(r.sound->s), far_rtcp = (uint16_t)(stream_port(r.far->s) + 1);

	(void)state;
	sound_passes(&r);
	bring_in(&r);
	passes(&r, r.p->fd, port, r.q->rtcp_fd, pli, sizeof(pli));                       /* about a source that it was sent, */
	passes(&r, r.p->fd, port, r.q->rtcp_fd, fir, sizeof(fir));
	passes(&r, r.p->fd, port, r.q2->rtcp_fd, pli_of_slides, sizeof(pli_of_slides)); /* or of one that it sends */
	passes(&r, r.q->rtcp_fd, far_rtcp, r.p->fd, pli_back, sizeof(pli_back));
	pair_free(&r, NULL);
}

/* Reports about the sound are for us, and go nowhere. */
static void test_bundle_reports_of_sound_stay(void **state)
{
	struct pair r = pair_new(1);
	uint8_t report[] = { 0x81, 201, 0, 7, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, buf[256];

	(void)state;
	sound_passes(&r);
	bring_in(&r);
	for (unsigned i = 0; i < 4; i++)
		report[8 + i] = (uint8_t)(r.p->got[0].ssrc >> (24 - 8 * i));
	send_to(r.p->fd, stream_port(r.sound->s), report, sizeof(report));
	assert_int_equal(wait_for(r.b, r.q->rtcp_fd, buf, sizeof(buf)), -1);
	assert_int_equal(recv(r.q2->rtcp_fd, buf, sizeof(buf), MSG_DONTWAIT), -1);
	stream_close(r.sound->s);
	WAIT_FOR(r.b, r.sound->nclosed);
	assert_int_equal(r.sound->stats.remote_lost, 5);
	pair_free(&r, NULL);
}

/* One that has ended is no way for what is left; its sound goes on. */
static void test_bundle_rider_ends_by_itself(void **state)
{
	struct pair r = pair_new(1);
	uint8_t buf[256];

	(void)state;
	stream_close(r.video->s);
	WAIT_FOR(r.b, r.video->nclosed);
	sound_passes(&r);
	send_to(r.p->fd, stream_port(r.sound->s), frame, sizeof(frame));
	assert_int_equal(wait_for(r.b, r.q->fd, buf, sizeof(buf)), -1);
	passes(&r, r.p->fd, stream_port(r.sound->s), r.q2->fd, slide, sizeof(slide));
	stream_close(r.sound->s);
	free(r.video);
	r.video = riding(r.b, r.sound2); /* for the end */
	pair_free(&r, NULL);
}

/* By the carrier's keys, which have as many sources as there are. */
static void test_bundle_rides_with_the_keys_of_its_carrier(void **state)
{
	struct pair r = pair_new(1);
	struct secure_params ours = { .suite = SECURE_AES_CM_128_80, .send = { .key = { 1 } }, .nrecv = 1, .recv = { { .key = { 2 } } } };
	struct secure_params theirs = { .suite = SECURE_AES_CM_128_80, .send = ours.recv[0], .nrecv = 1, .recv = { ours.send } };
	struct stream_config c = config_of(r.p->port, CODEC_PCMU);
	_Alignas(4) uint8_t packet[256];
	struct secure *far;
	ssize_t n;

	(void)state;
	assert_int_equal(secure_new(&far, NULL, &theirs), 0);
	c.rtcp_mux = true;
	c.security = &ours;
	stream_configure(r.sound->s, &c);
	turn_for_ms(r.b, 2);
	send_to(r.q->fd, stream_port(r.far->s), answer_frame, sizeof(answer_frame));
	n = wait_for(r.b, r.p->fd, packet, sizeof(packet));
	assert_true(n > (ssize_t)sizeof(answer_frame));
	assert_int_equal(secure_open(far, packet, (size_t)n), sizeof(answer_frame));
	assert_memory_equal(packet, answer_frame, sizeof(answer_frame));
	memcpy(packet, frame, sizeof(frame));
	n = (ssize_t)secure_seal(far, packet, sizeof(frame));
	send_to(r.p->fd, stream_port(r.sound->s), packet, (size_t)n);
	n = wait_for(r.b, r.q->fd, packet, sizeof(packet));
	assert_int_equal(n, sizeof(frame));
	assert_memory_equal(packet, frame, sizeof(frame));
	send_to(r.p->fd, stream_port(r.sound->s), frame, sizeof(frame)); /* plain: nothing comes of it */
	assert_int_equal(wait_for(r.b, r.q->fd, packet, sizeof(packet)), -1);
	secure_free(far);
	pair_free(&r, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bundle_packets_go_each_its_way),
		cmocka_unit_test(test_bundle_feedback_goes_to_whom_it_is_about),
		cmocka_unit_test(test_bundle_reports_of_sound_stay),
		cmocka_unit_test(test_bundle_rider_ends_by_itself),
		cmocka_unit_test(test_bundle_rides_with_the_keys_of_its_carrier),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}

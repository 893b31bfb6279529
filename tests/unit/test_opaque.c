/* Streams that nobody here understands: what comes out is what went in, byte for byte (RFC 3550 §7, RFC 4585). */
#include "media_bed.h"

#include <sys/uio.h>

static struct seen *video_make(struct bed *b, struct stream *near)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct stream_params p = { .local = (struct sockaddr *)&local, .near = near, .is_video = true };
	struct seen *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	assert_int_equal(stream_new(&e->s, b->media, &p, &handler, e), 0);
	return e;
}

static struct stream_config video_config(uint16_t port)
{
	struct stream_config c = { .dir = STREAM_BOTH, .is_opaque = true, .opaque_clock_hz = 90000, .dtmf_send_pt = -1, .dtmf_recv_pt = -1 };
	struct sockaddr_in *a = (struct sockaddr_in *)&c.remote;

	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a->sin_port = htons(port);
	return c;
}

struct pair {
	struct bed *b;
	struct seen *x, *y;
	struct peer *p, *q;
};

static struct pair pair_new(void)
{
	struct pair r = { .b = bed_new_by_hand((struct media_params){ .nworkers = 1 }) };
	struct stream_config c;

	r.p = peer_new(1, 2, 3);
	r.q = peer_new(4, 5, 6);
	r.x = video_make(r.b, NULL);
	r.y = video_make(r.b, r.x->s);
	c = video_config(r.p->port);
	stream_configure(r.x->s, &c);
	c = video_config(r.q->port);
	stream_configure(r.y->s, &c);
	turn_for_ms(r.b, 2);
	stream_bridge(r.x->s, r.y->s);
	turn_for_ms(r.b, 2);
	return r;
}

static void pair_free(struct pair *r, struct stream_stats *of_x)
{
	struct stream_stats x = stream_end(r->b, r->x);

	if (of_x)
		*of_x = x;
	stream_end(r->b, r->y);
	peer_free(r->p);
	peer_free(r->q);
	bed_free(r->b);
}

/* Sends it and expects it at the other end; -1: it doesn't come. Returns the mark it came with (IP_TOS). */
static int pass(struct pair *r, int from, uint16_t to, int at, const uint8_t *packet, size_t n)
{
	uint64_t end = now_us() + 500000;
	uint8_t buf[2048], control[64];
	int one = 1, tos = 0;
	ssize_t got = -1;

	setsockopt(at, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one));
	send_to(from, to, packet, n);
	while (got < 0 && now_us() < end) {
		struct iovec v = { buf, sizeof(buf) };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

		bed_step(r->b);
		got = recvmsg(at, &m, MSG_DONTWAIT);
		for (struct cmsghdr *c = got < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_type == IP_TOS)
				tos = *CMSG_DATA(c);
	}
	if (got < 0)
		return -1;
	assert_int_equal(got, n);
	assert_memory_equal(buf, packet, n);
	return tos;
}

/* Marker, a contributor, an extension, padding: what a relay of sound leaves out. */
static const uint8_t whole[] = { 0xb1, 0xe0, 0xff, 0xff, 0, 0, 3, 192, 0, 0, 0, 11, 1, 2, 3, 4, 0xbe, 0xde, 0, 1, 5, 6, 7, 8, 0x55, 0, 2 };
static const uint8_t plain[] = { 0x80, 0x60, 0, 9, 0, 0, 1, 2, 0, 0, 0, 22, 7, 7 };
/* RR and PLI (RFC 4585 §6.3.1), and a PLI of reduced size (RFC 5506). */
static const uint8_t pli[] = { 0x80, 201, 0, 1, 0, 0, 0, 22, 0x81, 206, 0, 2, 0, 0, 0, 22, 0, 0, 0, 11 };
static const uint8_t pli_alone[] = { 0x81, 206, 0, 2, 0, 0, 0, 22, 0, 0, 0, 11 };

static void test_opaque_packet_passes_whole_and_marked(void **state)
{
	struct pair r = pair_new();
	struct stream_stats stats;

	(void)state;
	assert_int_equal(pass(&r, r.p->fd, stream_port(r.x->s), r.q->fd, whole, sizeof(whole)), 0x88); /* AF41 */
	assert_int_equal(pass(&r, r.q->fd, stream_port(r.y->s), r.p->fd, plain, sizeof(plain)), 0x88);
	pair_free(&r, &stats);
	assert_int_equal(stats.packets_received, 1);
	assert_int_equal(stats.packets_sent, 1);
	assert_int_equal(stats.bytes_received, 1);
	assert_int_equal(stats.bytes_sent, 2);
}

static void test_opaque_feedback_passes_whatever_the_direction(void **state)
{
	struct pair r = pair_new();
	struct stream_config c = video_config(r.q->port);

	(void)state;
	c.dir = STREAM_SEND; /* q only looks */
	stream_configure(r.y->s, &c);
	turn_for_ms(r.b, 2);
	assert_int_equal(pass(&r, r.p->fd, stream_port(r.x->s), r.q->fd, whole, sizeof(whole)), 0x88);
	assert_int_equal(pass(&r, r.q->fd, stream_port(r.y->s), r.p->fd, plain, sizeof(plain)), -1);
	assert_int_equal(pass(&r, r.q->rtcp_fd, (uint16_t)(stream_port(r.y->s) + 1), r.p->rtcp_fd, pli, sizeof(pli)), 0x88);
	assert_int_equal(pass(&r, r.q->rtcp_fd, (uint16_t)(stream_port(r.y->s) + 1), r.p->rtcp_fd, pli_alone, sizeof(pli_alone)), 0x88);
	/* Half of one is no RTCP. */
	assert_int_equal(pass(&r, r.q->rtcp_fd, (uint16_t)(stream_port(r.y->s) + 1), r.p->rtcp_fd, pli, sizeof(pli) - 4), -1);
	pair_free(&r, NULL);
}

static void test_opaque_feedback_on_one_port_passes_before_any_picture(void **state)
{
	struct pair r = pair_new();
	struct stream_config c = video_config(r.q->port);

	(void)state;
	c.rtcp_mux = true;
	stream_configure(r.y->s, &c);
	turn_for_ms(r.b, 2);
	assert_int_equal(pass(&r, r.q->fd, stream_port(r.y->s), r.p->rtcp_fd, pli, sizeof(pli)), 0x88);
	/* From elsewhere it is nobody's. */
	assert_int_equal(pass(&r, r.q->rtcp_fd, stream_port(r.y->s), r.p->rtcp_fd, pli, sizeof(pli)), -1);
	assert_int_equal(pass(&r, r.p->rtcp_fd, (uint16_t)(stream_port(r.x->s) + 1), r.q->fd, pli_alone, sizeof(pli_alone)), 0x88);
	pair_free(&r, NULL);
}

static void test_opaque_partner_who_is_sound_gets_nothing(void **state)
{
	struct pair r = pair_new();
	struct stream_config c = config_of(r.q->port, CODEC_PCMU);

	(void)state;
	stream_configure(r.y->s, &c);
	turn_for_ms(r.b, 2);
	assert_int_equal(pass(&r, r.p->fd, stream_port(r.x->s), r.q->fd, whole, sizeof(whole)), -1);
	assert_int_equal(pass(&r, r.p->rtcp_fd, (uint16_t)(stream_port(r.x->s) + 1), r.q->rtcp_fd, pli, sizeof(pli)), -1);
	pair_free(&r, NULL);
}

/* One leg has SRTP, the other hasn't: the packets change for it, what they say doesn't. */
static void test_opaque_passes_between_srtp_and_plain(void **state)
{
	struct pair r = pair_new();
	struct secure_params ours = { .suite = SECURE_AES_CM_128_80, .send = { .key = { 1 } }, .nrecv = 1, .recv = { { .key = { 2 } } } };
	struct secure_params theirs = { .suite = SECURE_AES_CM_128_80, .send = ours.recv[0], .nrecv = 1, .recv = { ours.send } };
	struct stream_config c = video_config(r.q->port);
	_Alignas(4) uint8_t packet[256];
	struct secure *q;
	ssize_t n = -1;

	(void)state;
	assert_int_equal(secure_new(&q, NULL, &theirs), 0);
	c.security = &ours;
	stream_configure(r.y->s, &c);
	turn_for_ms(r.b, 2);
	send_to(r.p->fd, stream_port(r.x->s), whole, sizeof(whole));
	WAIT_FOR(r.b, (n = recv(r.q->fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0);
	assert_int_equal(secure_open(q, packet, (size_t)n), sizeof(whole));
	assert_memory_equal(packet, whole, sizeof(whole));
	memcpy(packet, pli, sizeof(pli));
	n = (ssize_t)secure_seal_rtcp(q, packet, sizeof(pli));
	send_to(r.q->rtcp_fd, (uint16_t)(stream_port(r.y->s) + 1), packet, (size_t)n);
	WAIT_FOR(r.b, (n = recv(r.p->rtcp_fd, packet, sizeof(packet), MSG_DONTWAIT)) > 0);
	assert_int_equal(n, sizeof(pli));
	assert_memory_equal(packet, pli, sizeof(pli));
	secure_free(q);
	pair_free(&r, NULL);
}

/* Retransmissions come with a source of their own (RFC 4588 §5.3): they pass, and what is lost isn't counted among them. */
static void test_opaque_second_source_passes_uncounted(void **state)
{
	struct pair r = pair_new();
	struct stream_stats stats;
	uint8_t packet[sizeof(plain)];

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		memcpy(packet, plain, sizeof(plain));
		packet[3] = (uint8_t)(i + (i >= 10)); /* one is lost */
		assert_int_equal(pass(&r, r.p->fd, stream_port(r.x->s), r.q->fd, packet, sizeof(packet)), 0x88);
		packet[2] = (uint8_t)(77 * i);
		packet[11] = 99;
		assert_int_equal(pass(&r, r.p->fd, stream_port(r.x->s), r.q->fd, packet, sizeof(packet)), 0x88);
	}
	pair_free(&r, &stats);
	assert_int_equal(stats.packets_received, 40);
	assert_int_equal(stats.lost, 1);
}

/* The ports go back to the pool as they were. */
static void test_opaque_ports_carry_sound_again_unmarked(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1, .port_min = 21000, .port_max = 21001 });
	struct pair r = { .b = b, .p = peer_new(1, 2, 3) };
	struct seen *s = video_make(b, NULL);
	struct stream_config c = config_of(r.p->port, CODEC_PCMU);
	uint8_t packet[RTP_HEADER_LEN + 160];
	struct rtp_packet h = { .seq = 1, .ssrc = 9 };

	(void)state;
	stream_end(b, s);
	s = stream_make(b, NULL);
	stream_configure(s->s, &c);
	stream_echo(s->s);
	turn_for_ms(b, 2);
	rtp_print(packet, &h);
	memset(packet + RTP_HEADER_LEN, 1, 160);
	send_to(r.p->fd, stream_port(s->s), packet, sizeof(packet));
	{
		uint8_t buf[2048], control[64];
		struct iovec v = { buf, sizeof(buf) };
		struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
		int one = 1;

		setsockopt(r.p->fd, IPPROTO_IP, IP_RECVTOS, &one, sizeof(one));
		WAIT_FOR(b, recvmsg(r.p->fd, &m, MSG_DONTWAIT) > 0);
		assert_non_null(CMSG_FIRSTHDR(&m));
		assert_int_equal(*CMSG_DATA(CMSG_FIRSTHDR(&m)), 0xb8); /* EF */
	}
	stream_end(b, s);
	peer_free(r.p);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_opaque_packet_passes_whole_and_marked),
		cmocka_unit_test(test_opaque_feedback_passes_whatever_the_direction),
		cmocka_unit_test(test_opaque_feedback_on_one_port_passes_before_any_picture),
		cmocka_unit_test(test_opaque_partner_who_is_sound_gets_nothing),
		cmocka_unit_test(test_opaque_passes_between_srtp_and_plain),
		cmocka_unit_test(test_opaque_second_source_passes_uncounted),
		cmocka_unit_test(test_opaque_ports_carry_sound_again_unmarked),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}

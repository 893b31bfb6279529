/* test_media_ice.c - streams with ICE: who hasn't checked is not heard, and nothing goes where nobody has asked for it. */
#include "media_bed.h"

#include "base/stun_msg.h"

static const struct ice_credentials ours = { "aaaabbbb", "0123456789abcdefghijklmnop" };
static const struct ice_credentials later = { "ccccdddd", "ponmlkjihgfedcba9876543210" };

static unsigned nunwanted;

static void on_unwanted(struct stream *s, void *arg)
{
	(void)s;
	(void)arg;
	nunwanted++;
}

static struct seen *stream_of_ice(struct bed *b)
{
	struct sockaddr_in local = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct stream_params p = { .local = (struct sockaddr *)&local };
	struct stream_handler h = handler;
	struct seen *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	h.on_unwanted = on_unwanted;
	nunwanted = 0;
	assert_int_equal(stream_new(&e->s, b->media, &p, &h, e), 0);
	return e;
}

/* Sends a check from one of a peer's sockets and waits for the answer. Returns its type. */
static unsigned check(struct bed *b, int fd, uint16_t port, const struct ice_credentials *to, bool names)
{
	uint8_t bytes[256];
	struct stun_out o;
	struct stun_msg m;
	char username[32];
	ssize_t n;

	snprintf(username, sizeof(username), "%s:peer", to->ufrag);
	stun_begin(&o, bytes, sizeof(bytes), STUN_BINDING_REQUEST, "0123456789ab");
	stun_add(&o, STUN_USERNAME, username, strlen(username));
	stun_add_u32(&o, STUN_PRIORITY, 1);
	stun_add(&o, STUN_ICE_CONTROLLING, "12345678", 8);
	if (names)
		stun_add(&o, STUN_USE_CANDIDATE, NULL, 0);
	stun_add_integrity(&o, str_from(to->pwd));
	stun_add_fingerprint(&o);
	send_to(fd, port, bytes, o.len);
	WAIT_STILL(b, (n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0);
	assert_int_equal(stun_msg_parse(&m, bytes, (size_t)n), 0);
	return m.type;
}

static void test_media_ice_sends_to_whom_the_peer_names(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_of_ice(b);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(200, 0, 22), *stranger = peer_new(300, 0, 33);
	uint16_t port = stream_port(x->s);
	struct stream_stats stats;

	(void)state;
	/* Before the answer, as checks may come. */
	stream_ice(x->s, &ours);
	settle(b, x->s);
	assert_int_equal(check(b, p->fd, port, &ours, false), STUN_BINDING_SUCCESS);
	stream_setup(x->s, stranger->port, CODEC_PCMU); /* the description's address */
	stream_echo(x->s);
	for (int i = 0; i < 5; i++) {
		peer_send_in_time(b, p, port, 0, 1);
		peer_send_in_time(b, stranger, port, 0, 2);
	}
	peer_receive(p);
	peer_receive(stranger);
	assert_int_equal(p->n + stranger->n + x->nlatched, 0); /* heard, but nowhere to send to */
	assert_int_equal(check(b, p->fd, port, &ours, true), STUN_BINDING_SUCCESS);
	WAIT_FOR(b, x->nlatched == 1);
	peer_send_in_time(b, p, port, 0, 3);
	WAIT_FOR(b, (peer_receive(p), p->n == 1));
	assert_int_equal(p->payload[0][0], 3);
	/* It changes its mind; from the former way media are still taken. */
	turn_for_ms(b, ICE_SETTLE_MS);
	assert_int_equal(check(b, q->fd, port, &ours, true), STUN_BINDING_SUCCESS);
	peer_send_in_time(b, p, port, 0, 4);
	WAIT_FOR(b, (peer_receive(q), q->n == 1 && x->nlatched == 2));
	assert_int_equal(q->payload[0][0], 4);
	assert_int_equal(check(b, stranger->fd, port, &later, true), STUN_BINDING_ERROR);
	/* With others than ours it is refused, until they are ours. */
	stream_ice(x->s, &later);
	settle(b, x->s);
	assert_int_equal(check(b, p->fd, port, &later, true), STUN_BINDING_SUCCESS);
	WAIT_FOR(b, x->nlatched == 3);
	stats = stream_end(b, x);
	assert_int_equal(ntohs(((struct sockaddr_in *)&stats.remote)->sin_port), p->port);
	assert_int_equal(stats.packets_received, 7);
	assert_int_equal(stats.dropped_source, 5);
	assert_false(stats.latched);
	peer_free(p);
	peer_free(q);
	peer_free(stranger);
	bed_free(b);
}

static void test_media_ice_stops_when_nobody_wants_it(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct seen *x = stream_of_ice(b);
	struct peer *p = peer_new(100, 0, 11);
	static const struct tone tone = { .hz1 = 425, .on_ms = 1000 };
	unsigned n;

	(void)state;
	stream_ice(x->s, &ours);
	stream_setup(x->s, 0, CODEC_PCMU);
	stream_tones(x->s, &tone, 1);
	settle(b, x->s);
	assert_int_equal(check(b, p->fd, stream_port(x->s), &ours, true), STUN_BINDING_SUCCESS);
	for (unsigned ms = 0; ms < ICE_CONSENT_MS - 100; ms += 1000) {
		turn_for_ms(b, 1000 - (ms == 0 ? 150 : 0));
		peer_receive(p);
		p->n = 0;
	}
	assert_int_equal(nunwanted, 0);
	turn_for_ms(b, 300);
	peer_receive(p);
	n = p->n;
	assert_true(n > 0 && nunwanted == 1);
	turn_for_ms(b, 1000);
	peer_receive(p);
	assert_int_equal(p->n, n);
	assert_int_equal(check(b, p->fd, stream_port(x->s), &ours, true), STUN_BINDING_SUCCESS);
	WAIT_FOR(b, (peer_receive(p), p->n > n));
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

static void test_media_ice_outlives_a_handover_and_ends_as_told(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 2, .streams_together = 1 });
	struct seen *other = stream_make(b, NULL), *x = stream_of_ice(b);
	struct peer *p = peer_new(100, 0, 11), *q = peer_new(200, 0, 22);
	uint16_t port = stream_port(x->s);
	struct stream_config c = config_of(q->port, CODEC_PCMU);

	(void)state;
	stream_ice(x->s, &ours);
	stream_setup(x->s, 0, CODEC_PCMU);
	stream_setup(other->s, q->port, CODEC_PCMU);
	stream_bridge(other->s, x->s);
	settle(b, other->s);
	assert_int_equal(check(b, p->fd, port, &ours, true), STUN_BINDING_SUCCESS);
	WAIT_FOR(b, (peer_send_in_time(b, q, stream_port(other->s), 0, 5), peer_receive(p), p->n > 0));
	/* A re-INVITE without ICE: another phone, at another address. */
	stream_ice(x->s, NULL);
	c.relearn = true;
	stream_configure(x->s, &c);
	stream_echo(x->s);
	settle(b, other->s);
	peer_receive(q);
	q->n = 0;
	WAIT_FOR(b, (peer_send_in_time(b, q, port, 0, 6), peer_receive(q), q->n > 0));
	assert_int_equal(q->payload[0][0], 6);
	stream_end(b, x);
	stream_end(b, other);
	peer_free(p);
	peer_free(q);
	bed_free(b);
}

static void test_media_ice_rtcp_has_its_own_way(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1, .rtcp_interval_ms = 100 });
	struct seen *x = stream_of_ice(b);
	struct peer *p = peer_new(100, 0, 11);
	uint16_t port = stream_port(x->s);
	uint8_t report[256];

	(void)state;
	stream_ice(x->s, &ours);
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_echo(x->s);
	settle(b, x->s);
	assert_int_equal(check(b, p->fd, port, &ours, true), STUN_BINDING_SUCCESS);
	for (int i = 0; i < 20; i++)
		peer_send_in_time(b, p, port, 0, 1);
	assert_true(recv(p->rtcp_fd, report, sizeof(report), MSG_DONTWAIT) < 0); /* the next port, but not checked */
	assert_int_equal(check(b, p->rtcp_fd, (uint16_t)(port + 1), &ours, true), STUN_BINDING_SUCCESS);
	WAIT_FOR(b, recv(p->rtcp_fd, report, sizeof(report), MSG_DONTWAIT) > 0);
	assert_int_equal(report[1], 200);
	peer_receive(p);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

/* Each component is named by itself, in any order (RFC 8445 §8.1.1). */
static void test_media_ice_rtcp_may_be_named_first(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1, .rtcp_interval_ms = 100 });
	struct seen *x = stream_of_ice(b);
	struct peer *p = peer_new(100, 0, 11);
	uint16_t port = stream_port(x->s);
	uint8_t report[256];

	(void)state;
	stream_ice(x->s, &ours);
	stream_setup(x->s, p->port, CODEC_PCMU);
	stream_echo(x->s);
	settle(b, x->s);
	assert_int_equal(check(b, p->rtcp_fd, (uint16_t)(port + 1), &ours, true), STUN_BINDING_SUCCESS);
	assert_int_equal(check(b, p->fd, port, &ours, true), STUN_BINDING_SUCCESS);
	for (int i = 0; i < 20; i++)
		peer_send_in_time(b, p, port, 0, 1);
	WAIT_FOR(b, recv(p->rtcp_fd, report, sizeof(report), MSG_DONTWAIT) > 0);
	assert_int_equal(report[1], 200);
	peer_receive(p);
	stream_end(b, x);
	peer_free(p);
	bed_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_media_ice_sends_to_whom_the_peer_names),
		cmocka_unit_test(test_media_ice_stops_when_nobody_wants_it),
		cmocka_unit_test(test_media_ice_outlives_a_handover_and_ends_as_told),
		cmocka_unit_test(test_media_ice_rtcp_has_its_own_way),
		cmocka_unit_test(test_media_ice_rtcp_may_be_named_first),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}

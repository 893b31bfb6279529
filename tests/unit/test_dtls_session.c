/* DTLS-SRTP of streams: phones with real sockets that shake hands with them, by a clock of the test's. */
#include "media_bed.h"
#include "dtls_bed.h"

#include "media/dtls_session.h"

#define SILENT_MS 200        /* in which something would have come, were it to come */

enum { RTP, RTCP, PARTS };

struct phone {
	struct peer *peer;
	struct seen *seen;       /* the stream it talks to */
	const struct dtls_identity *id;
	bool is_client, has_mux, is_deaf;
	struct dtls *d[PARTS];
	enum dtls_status status[PARTS];
	struct secure *secure[PARTS];
	unsigned lost;           /* how many datagrams of DTLS still get lost, both ways */
	unsigned n, nrtcp, nplain, ndtls; /* that came to it */
	struct rtp_packet last;
	uint8_t value;           /* of the last one's sound */
	bool is_broken_off;      /* a packet wasn't the one after the last, but for a few lost ones */
};

static struct dtls_identity *alice, *bob;
static uint32_t nnumbers;

static int setup(void **state)
{
	clock_of_bed = bed_now_us;
	warm_up(state);
	return dtls_identity_new(&alice) || dtls_identity_new(&bob);
}

static int teardown(void **state)
{
	(void)state;
	dtls_identity_free(alice);
	dtls_identity_free(bob);
	return 0;
}

/* ---- a phone ---- */

static int fd_of(const struct phone *p, int part) { return part == RTP ? p->peer->fd : p->peer->rtcp_fd; }
static uint16_t port_of(const struct phone *p, int part) { return (uint16_t)(stream_port(p->seen->s) + part); }

struct way { struct phone *p; int part; };

static void on_phone_sends(const uint8_t *data, size_t n, void *arg)
{
	struct way *w = arg;

	if (w->p->lost) {
		w->p->lost--;
		return;
	}
	send_to(fd_of(w->p, w->part), port_of(w->p, w->part), data, n);
}

/* A call of dtls.h sends, with whatever phone and part it is at that moment. */
static struct way way;

static void dtls_came(struct phone *p, int part, const uint8_t *data, size_t n)
{
	struct secure_params keys;

	p->ndtls++;
	if (p->lost) {
		p->lost--;
		return;
	}
	if (p->is_deaf || !p->d[part])
		return;
	way = (struct way){ p, part };
	p->status[part] = dtls_take(p->d[part], data, n);
	if (p->status[part] == DTLS_DONE && !p->secure[part]) {
		assert_int_equal(dtls_keys(p->d[part], &keys), 0);
		assert_int_equal(secure_new(&p->secure[part], NULL, &keys), 0);
	}
}

static void rtp_came(struct phone *p, uint8_t *data, size_t n)
{
	struct rtp_packet h;

	n = p->secure[RTP] ? secure_open(p->secure[RTP], data, n) : 0;
	if (!n) {
		p->nplain++;
		return;
	}
	assert_int_equal(rtp_parse(&h, data, n), 0);
	if (p->n)
		p->is_broken_off |= h.ssrc != p->last.ssrc || (uint16_t)(h.seq - p->last.seq - 1) > 3;
	p->last = h;
	p->value = data[h.offset];
	p->n++;
}

static void rtcp_came(struct phone *p, int part, uint8_t *data, size_t n)
{
	struct secure *s = p->secure[p->has_mux ? RTP : RTCP];

	(void)part;
	if (s && secure_open_rtcp(s, data, n))
		p->nrtcp++;
	else
		p->nplain++;
}

static void phone_turn(struct phone *p)
{
	_Alignas(8) uint8_t data[2048];
	ssize_t n;

	for (int part = 0; part < PARTS; part++) {
		way = (struct way){ p, part };
		while ((n = recv(fd_of(p, part), data, sizeof(data), MSG_DONTWAIT)) > 0) {
			if (data[0] >= 20 && data[0] < 64)
				dtls_came(p, part, data, (size_t)n);
			else if (rtp_is_rtcp(data, (size_t)n))
				rtcp_came(p, part, data, (size_t)n);
			else
				rtp_came(p, data, (size_t)n);
		}
		if (p->d[part] && dtls_wait_ms(p->d[part]) == 0)
			p->status[part] = dtls_timeout(p->d[part]);
	}
}

/* Another association on its side; the first, too. */
static void phone_begin(struct bed *b, struct phone *p)
{
	for (int part = 0; part < (p->has_mux ? 1 : PARTS); part++) {
		struct dtls_params params = params_by_text(media_fingerprint(b->media), p->is_client, 1);

		dtls_free(p->d[part]);
		secure_free(p->secure[part]);
		p->secure[part] = NULL;
		assert_int_equal(dtls_new(&p->d[part], p->id, &params, on_phone_sends, &way), 0);
		way = (struct way){ p, part };
		p->status[part] = p->is_client ? dtls_start(p->d[part]) : DTLS_GOING;
	}
}

static struct phone *phone_new(struct bed *b, const struct dtls_identity *id, bool is_client, bool has_mux)
{
	struct phone *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	p->peer = peer_new(65500, 0, 0x1234);
	p->seen = stream_make(b, NULL);
	p->id = id;
	p->is_client = is_client;
	p->has_mux = has_mux;
	return p;
}

static struct stream_stats phone_free(struct bed *b, struct phone *p)
{
	struct stream_stats stats = stream_end(b, p->seen);

	for (int part = 0; part < PARTS; part++) {
		dtls_free(p->d[part]);
		secure_free(p->secure[part]);
	}
	peer_free(p->peer);
	free(p);
	return stats;
}

static struct dtls_params params_now(const struct phone *p, const struct dtls_identity *id, uint32_t number)
{
	return params_of(id, !p->is_client, number);
}

/* As offer and answer would: the phone's address and certificate are told to its stream. */
static void agree_on(struct phone *p, const struct dtls_identity *id, uint32_t number, uint16_t port)
{
	struct stream_config c = config_of(port, CODEC_PCMU);
	struct dtls_params params = params_now(p, id, number);

	params.is_due = true;
	c.dtls = &params;
	c.rtcp_mux = p->has_mux;
	stream_configure(p->seen->s, &c);
}

static void agree(struct phone *p)
{
	agree_on(p, p->id, ++nnumbers, p->peer->port);
}

static void step(struct bed *b, struct phone *p, struct phone *q)
{
	b->now_ms++;
	bed_turn(b, UV_RUN_NOWAIT);
	phone_turn(p);
	if (q)
		phone_turn(q);
}

#define WAIT(b, p, q, condition) WAIT_TURNING(b, condition, step(b, p, q))

static void pass_ms(struct bed *b, struct phone *p, unsigned ms)
{
	uint64_t end = b->now_ms + ms;

	while (b->now_ms < end)
		step(b, p, NULL);
}

static void shake(struct bed *b, struct phone *p)
{
	unsigned before = p->seen->nsecured;

	agree(p);
	phone_begin(b, p);
	WAIT(b, p, NULL, p->seen->nsecured > before && p->status[RTP] == DTLS_DONE && (p->has_mux || p->status[RTCP] == DTLS_DONE));
}

static void say(struct phone *p, uint8_t value)
{
	_Alignas(8) uint8_t packet[RTP_HEADER_LEN + 160 + SECURE_TRAILER_MAX];
	struct rtp_packet h = { .pt = 0, .seq = p->peer->seq++, .ts = p->peer->ts, .ssrc = p->peer->ssrc };
	size_t n = RTP_HEADER_LEN + 160;

	p->peer->ts += 160;
	rtp_print(packet, &h);
	memset(packet + RTP_HEADER_LEN, value, 160);
	if (p->secure[RTP])
		n = secure_seal(p->secure[RTP], packet, n);
	assert_true(n > 0);
	send_to(p->peer->fd, port_of(p, RTP), packet, n);
}

/* p says something, and q (or p, by an echo) hears it. */
static void talk(struct bed *b, struct phone *p, struct phone *q, uint8_t value)
{
	unsigned before = q->n;

	say(p, value);
	WAIT(b, p, q == p ? NULL : q, q->n > before);
	assert_int_equal(q->value, value);
	pass_ms(b, p, 20);
}

/* ---- handshakes ---- */

static void test_dtls_session_either_end_begins(void **state)
{
	static const struct { bool is_client, has_mux; } rows[] = { { true, true }, { false, true }, { true, false }, { false, false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct phone *p = phone_new(b, alice, rows[i].is_client, rows[i].has_mux);

		stream_echo(p->seen->s);
		agree(p);
		/* nothing goes out and nothing gets in before there are keys */
		for (int k = 0; k < 10; k++) {
			say(p, 1);
			pass_ms(b, p, 20);
		}
		assert_int_equal(bed_counters(b).dropped_insecure, 10);
		assert_int_equal(bed_counters(b).packets_sent, 0);
		assert_int_equal(p->nplain + p->n, 0);
		phone_begin(b, p);
		WAIT(b, p, NULL, p->status[RTP] == DTLS_DONE && p->seen->nsecured == 1);
		assert_int_equal(p->seen->suite, SECURE_AEAD_AES_128_GCM);
		for (unsigned k = 0; k < 100; k++) /* over the wrap of its numbers */
			talk(b, p, p, (uint8_t)k);
		assert_false(p->is_broken_off);
		assert_int_equal(p->nplain, 0);
		assert_int_equal(p->seen->ninsecure, 0);
		assert_int_equal(bed_counters(b).handshakes, rows[i].has_mux ? 1 : 2);
		assert_int_equal(bed_counters(b).handshakes_failed, 0);
		/* reports go the way that was agreed on, by its keys */
		WAIT(b, p, NULL, p->nrtcp > 0);
		assert_int_equal(p->nplain, 0);
		phone_free(b, p);
		bed_free(b);
	}
}

static void test_dtls_session_rtcp_by_itself_waits_for_its_own_keys(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, false);

	(void)state;
	stream_echo(p->seen->s);
	agree(p);
	phone_begin(b, p);
	dtls_free(p->d[RTCP]); /* this one never comes to its end */
	p->d[RTCP] = NULL;
	WAIT(b, p, NULL, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
	for (int i = 0; i < 500; i++)
		talk(b, p, p, 7);
	assert_int_equal(p->nrtcp, 0);
	assert_int_equal(p->nplain, 0);
	assert_int_equal(p->seen->ninsecure, 0); /* media don't need it */
	phone_free(b, p);
	bed_free(b);
}

static void test_dtls_session_hello_overtakes_the_answer(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);

	(void)state;
	phone_begin(b, p);
	pass_ms(b, p, 100);
	assert_int_equal(p->ndtls, 0);
	agree(p);
	settle(b, p->seen->s);
	pass_ms(b, p, 20); /* long before it asks again */
	assert_int_equal(p->status[RTP], DTLS_DONE);
	assert_int_equal(p->seen->nsecured, 1);
	phone_free(b, p);
	/* what is early and then isn't wanted leaves nothing behind */
	p = phone_new(b, alice, true, true);
	phone_begin(b, p);
	pass_ms(b, p, 20);
	stream_setup(p->seen->s, p->peer->port, CODEC_PCMU);
	settle(b, p->seen->s);
	pass_ms(b, p, 20);
	assert_int_equal(p->status[RTP], DTLS_GOING);
	phone_free(b, p);
	bed_free(b);
}

static void test_dtls_session_lost_datagrams(void **state)
{
	(void)state;
	for (unsigned lost = 1; lost < 6; lost++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct phone *p = phone_new(b, alice, lost % 2, true);

		stream_echo(p->seen->s);
		p->lost = lost;
		shake(b, p);
		talk(b, p, p, 3);
		if (p->seen->ninsecure)
			fail_msg("lost %u: %d", lost, p->seen->insecure);
		phone_free(b, p);
		bed_free(b);
	}
}

static void test_dtls_session_many_at_once(void **state)
{
	enum { MANY = 24 };
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p[MANY];
	unsigned done = 0;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		p[i] = phone_new(b, i % 3 ? alice : bob, i % 2, i % 5 != 0);
		stream_echo(p[i]->seen->s);
		agree(p[i]);
		phone_begin(b, p[i]);
	}
	for (uint64_t end = b->now_ms + 20000; done < MANY && b->now_ms < end;) {
		b->now_ms++;
		bed_turn(b, UV_RUN_NOWAIT);
		done = 0;
		for (unsigned i = 0; i < MANY; i++) {
			phone_turn(p[i]);
			done += p[i]->status[RTP] == DTLS_DONE && p[i]->seen->nsecured == 1;
		}
	}
	assert_int_equal(done, MANY);
	for (unsigned i = 0; i < MANY; i++) {
		talk(b, p[i], p[i], (uint8_t)i);
		phone_free(b, p[i]);
	}
	bed_free(b);
}

/* ---- what goes wrong ---- */

static void test_dtls_session_wrong_certificate(void **state)
{
	static const struct { bool is_client; } rows[] = { { true }, { false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct phone *p = phone_new(b, alice, rows[i].is_client, true);

		stream_echo(p->seen->s);
		agree_on(p, bob, ++nnumbers, p->peer->port);
		phone_begin(b, p);
		WAIT(b, p, NULL, p->seen->ninsecure == 1);
		assert_int_equal(p->seen->insecure, STREAM_WRONG_CERTIFICATE);
		/* Whom we called on is the wrong one, for good; who called may have been anybody. */
		assert_int_equal(p->seen->nover, !rows[i].is_client);
		assert_int_equal(bed_counters(b).handshakes_failed, 1);
		pass_ms(b, p, DTLS_TIMEOUT_MS);
		assert_int_equal(p->seen->nover, 1);
		assert_int_equal(p->seen->insecure, STREAM_WRONG_CERTIFICATE);
		assert_int_equal(p->seen->nsecured, 0);
		say(p, 1);
		pass_ms(b, p, SILENT_MS);
		assert_int_equal(p->n + p->nplain, 0);
		phone_free(b, p);
		bed_free(b);
	}
}

/* After the wrong one the right one still gets through. */
static void test_dtls_session_right_one_after_a_wrong_one(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);

	(void)state;
	stream_echo(p->seen->s);
	agree_on(p, bob, ++nnumbers, p->peer->port);
	phone_begin(b, p);
	WAIT(b, p, NULL, p->seen->ninsecure == 1);
	p->id = bob;
	phone_begin(b, p);
	WAIT(b, p, NULL, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
	talk(b, p, p, 9);
	pass_ms(b, p, DTLS_TIMEOUT_MS);
	assert_int_equal(p->seen->nover, 0);
	phone_free(b, p);
	bed_free(b);
}

static void test_dtls_session_nobody_there(void **state)
{
	static const struct { bool is_client; } rows[] = { { true }, { false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct phone *p = phone_new(b, alice, rows[i].is_client, true);
		struct stream_config c = config_of(p->peer->port, CODEC_PCMU);
		struct dtls_params params = params_now(p, p->id, ++nnumbers);

		/* as long as it rings there is time, */
		c.dtls = &params;
		c.rtcp_mux = true;
		stream_configure(p->seen->s, &c);
		pass_ms(b, p, 5 * DTLS_TIMEOUT_MS);
		assert_int_equal(p->seen->ninsecure, 0);
		/* then so much */
		params.is_due = true;
		stream_configure(p->seen->s, &c);
		settle(b, p->seen->s);
		pass_ms(b, p, DTLS_TIMEOUT_MS - 100);
		assert_int_equal(p->seen->ninsecure, 0);
		pass_ms(b, p, 300);
		assert_int_equal(p->seen->nover, 1);
		assert_int_equal(p->seen->ninsecure, 1);
		assert_int_equal(p->seen->insecure, STREAM_HANDSHAKE_TIMEOUT);
		assert_int_equal(p->ndtls > 0, !rows[i].is_client);
		phone_free(b, p);
		bed_free(b);
	}
}

static void test_dtls_session_garbage(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, false);
	struct rng rng;
	uint8_t data[2100];

	(void)state;
	rng_init_fixed(&rng, 9);
	stream_echo(p->seen->s);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++) {
			size_t n = i % 9 == 0 ? sizeof(data) : 1 + rng_below(&rng, 1500);

			rng_fill(&rng, data, n);
			data[0] = (uint8_t)(i % 3 ? 20 + i % 44 : (int)rng_below(&rng, 128));
			if (i % 2 && n > 20)
				memcpy(data, "\x16\xfe\xfd\0\0", 5);
			if (i % 4 == 3 && n > 20)
				data[13] = 1; /* like a ClientHello */
			send_to(fd_of(p, i % 2), port_of(p, i % 2), data, n);
			if (i % 8 == 0)
				bed_step(b);
		}
		if (round == 0) {
			agree(p);
			settle(b, p->seen->s);
		} else if (round == 1) {
			phone_begin(b, p);
			WAIT(b, p, NULL, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
		}
		pass_ms(b, p, 50);
	}
	pass_ms(b, p, 1000);
	talk(b, p, p, 5);
	assert_int_equal(p->seen->nover, 0);
	phone_free(b, p);
	bed_free(b);
}

/* ---- where from ---- */

/* Behind a NAT: its description names another address than it calls from. */
static void test_dtls_session_stranger_shows_himself(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);
	struct peer *elsewhere = peer_new(0, 0, 1);

	(void)state;
	stream_echo(p->seen->s);
	agree_on(p, p->id, ++nnumbers, elsewhere->port);
	phone_begin(b, p);
	WAIT(b, p, NULL, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
	WAIT(b, p, NULL, p->seen->nlatched == 1);
	talk(b, p, p, 5);
	assert_true(phone_free(b, p).latched);
	peer_free(elsewhere);
	bed_free(b);
}

/* Called at one address, it answers from another, as one with several does: its media are to go where they come from. */
static void test_dtls_session_called_peer_answers_from_elsewhere(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, false, true);
	struct peer *front = peer_new(0, 0, 1);
	uint8_t data[2048];
	ssize_t n;

	(void)state;
	stream_echo(p->seen->s);
	agree_on(p, p->id, ++nnumbers, front->port);
	phone_begin(b, p);
	while (p->seen->nsecured == 0) {
		step(b, p, NULL);
		while ((n = recv(front->fd, data, sizeof(data), MSG_DONTWAIT)) > 0)
			dtls_came(p, RTP, data, (size_t)n);
	}
	assert_int_equal(p->status[RTP], DTLS_DONE);
	WAIT(b, p, NULL, p->seen->nlatched == 1);
	talk(b, p, p, 5);
	assert_true(phone_free(b, p).latched);
	peer_free(front);
	bed_free(b);
}

/* Who has the wrong certificate can't keep the right one out, neither by being there first nor by being there all the time. */
static void test_dtls_session_stranger_does_not_disturb(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true), *stranger = phone_new(b, bob, true, true);
	struct seen *own = stranger->seen;

	(void)state;
	stream_echo(p->seen->s);
	stranger->seen = p->seen; /* he calls there */
	agree(p);
	for (int i = 0; i < 5; i++) {
		phone_begin(b, stranger);
		for (int k = 0; k < 20; k++)
			step(b, stranger, NULL);
		assert_int_not_equal(stranger->status[RTP], DTLS_DONE);
	}
	assert_int_equal(p->seen->nsecured, 0);
	phone_begin(b, stranger);
	phone_begin(b, p);
	WAIT(b, p, stranger, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
	talk(b, p, p, 5);
	phone_begin(b, stranger);
	for (int k = 0; k < 20; k++)
		talk(b, p, p, (uint8_t)k);
	assert_int_equal(p->seen->nsecured, 1);
	assert_int_equal(p->seen->nover, 0);
	stranger->seen = own;
	phone_free(b, stranger);
	phone_free(b, p);
	bed_free(b);
}

/* Somebody at 127.0.0.host who calls on p's stream, shows that he is there, and then says no more than that he is still there. */
static struct phone *squatter_new(struct bed *b, struct phone *p, unsigned host)
{
	struct phone *q = phone_new(b, bob, true, true);
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000 | host) };

	close(q->peer->fd);
	q->peer->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(q->peer->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	stream_end(b, q->seen);
	q->seen = p->seen;
	phone_begin(b, q);
	WAIT(b, q, NULL, q->ndtls == 1);
	q->is_deaf = true;
	WAIT(b, q, NULL, q->ndtls > 1);
	return q;
}

static void squatter_free(struct phone *q)
{
	dtls_free(q->d[RTP]);
	peer_free(q->peer);
	free(q);
}

/* Behind a NAT a peer is a stranger like others. One of them doesn't keep it waiting; as many as there is room for do so for some seconds. */
static void test_dtls_session_squatters_keep_nobody_out(void **state)
{
	static const struct { unsigned nsquatters, most_ms; } rows[] = { { 1, 500 }, { DTLS_RIVALS_MAX - 1, 500 }, { DTLS_RIVALS_MAX, 9000 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct phone *p = phone_new(b, alice, true, true), *squatters[DTLS_RIVALS_MAX];
		struct peer *elsewhere = peer_new(0, 0, 1);
		uint64_t began_ms;

		stream_echo(p->seen->s);
		agree_on(p, p->id, ++nnumbers, elsewhere->port);
		for (unsigned k = 0; k < rows[i].nsquatters; k++)
			squatters[k] = squatter_new(b, p, 2 + k);
		phone_begin(b, p);
		for (began_ms = b->now_ms; p->status[RTP] != DTLS_DONE && b->now_ms - began_ms < rows[i].most_ms;) {
			step(b, p, NULL);
			for (unsigned k = 0; k < rows[i].nsquatters && b->now_ms % 1000 == 0; k++)
				phone_begin(b, squatters[k]);
		}
		assert_int_equal(p->status[RTP], DTLS_DONE);
		WAIT(b, p, NULL, p->seen->nsecured == 1 && p->seen->nlatched == 1);
		talk(b, p, p, 5);
		assert_int_equal(p->seen->nover, 0);
		for (unsigned k = 0; k < rows[i].nsquatters; k++)
			squatter_free(squatters[k]);
		phone_free(b, p);
		peer_free(elsewhere);
		bed_free(b);
	}
}

static void turn_alone(struct bed *b, unsigned ms)
{
	while (ms--) {
		b->now_ms++;
		bed_turn(b, UV_RUN_NOWAIT);
	}
}

/* Whom we call on isn't kept from answering by what others say in the meantime. */
static void test_dtls_session_alert_of_a_stranger_ends_nothing(void **state)
{
	static const uint8_t handshake_failure[] = { 21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 2, 40 };
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, false, true);
	struct peer *stranger = peer_new(0, 0, 1);

	(void)state;
	stream_echo(p->seen->s);
	agree(p);
	phone_begin(b, p);
	settle(b, p->seen->s);
	for (int i = 0; i < 2 * 500; i++) { /* longer than it is waited for an answer from there */
		send_to(stranger->fd, port_of(p, RTP), handshake_failure, sizeof(handshake_failure));
		turn_alone(b, 1);
	}
	assert_int_equal(p->seen->ninsecure, 0);
	WAIT(b, p, NULL, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
	talk(b, p, p, 5);
	phone_free(b, p);
	peer_free(stranger);
	bed_free(b);
}

/* One datagram from anywhere, and no cookie to it: neither a handshake that is slow for its losses gives way to that, */
static void test_dtls_session_hello_of_a_stranger_ends_nothing(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true), *stranger = phone_new(b, bob, true, true);
	struct seen *own = stranger->seen;

	(void)state;
	stream_echo(p->seen->s);
	stranger->seen = p->seen;
	agree(p);
	phone_begin(b, p);
	turn_alone(b, 2500);
	phone_begin(b, stranger);
	turn_alone(b, 20);
	WAIT(b, p, NULL, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE);
	talk(b, p, p, 5);
	stranger->seen = own;
	phone_free(b, stranger);
	phone_free(b, p);
	bed_free(b);
}

/* nor the last flight, which may be asked for again. */
static void test_dtls_session_last_flight_outlives_a_stranger(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, false), *stranger = phone_new(b, bob, true, false);
	struct seen *own = stranger->seen;

	(void)state;
	stream_echo(p->seen->s);
	stranger->seen = p->seen;
	agree(p);
	phone_begin(b, p);
	while (bed_counters(b).handshakes < 2) {
		turn_alone(b, 1);
		if (bed_counters(b).handshakes < 2)
			phone_turn(p);
	}
	p->is_deaf = true;
	phone_begin(b, stranger);
	pass_ms(b, p, 600);
	p->is_deaf = false;
	WAIT(b, p, NULL, p->status[RTP] == DTLS_DONE && p->status[RTCP] == DTLS_DONE);
	talk(b, p, p, 1);
	stranger->seen = own;
	phone_free(b, stranger);
	phone_free(b, p);
	bed_free(b);
}

/* ---- later ---- */

/* A hold, a refresh: the association, its keys and counters go on. */
static void test_dtls_session_goes_on_with_the_same_number(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);

	(void)state;
	stream_echo(p->seen->s);
	shake(b, p);
	for (int i = 0; i < 100; i++) {
		talk(b, p, p, (uint8_t)i);
		if (i % 10 == 5)
			agree_on(p, p->id, nnumbers, p->peer->port);
	}
	assert_false(p->is_broken_off);
	assert_int_equal(p->seen->nsecured, 1);
	phone_free(b, p);
	bed_free(b);
}

/* A transfer behind it: another device. Its keys are others, what it hears goes on with the same SSRC and the next number. */
static void test_dtls_session_another_association(void **state)
{
	static const struct { bool was_client, is_client, is_early; } rows[] = {
		{ true, true, false }, { true, false, false }, { false, true, false }, { false, false, false }, { true, true, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct phone *p = phone_new(b, alice, rows[i].was_client, true);
		uint64_t insecure;

		stream_echo(p->seen->s);
		shake(b, p);
		talk(b, p, p, 1);
		p->id = bob;
		p->is_client = rows[i].is_client;
		if (rows[i].is_early) { /* it begins before the answer is here */
			phone_begin(b, p);
			pass_ms(b, p, DTLS_HOLD_MS / 3);
			assert_int_equal(p->status[RTP], DTLS_GOING);
			agree(p);
			settle(b, p->seen->s);
			pass_ms(b, p, DTLS_HOLD_MS / 3);
		} else {
			insecure = bed_counters(b).dropped_insecure;
			agree(p);
			settle(b, p->seen->s);
			say(p, 1); /* by the old keys, which are nobody's now */
			pass_ms(b, p, SILENT_MS);
			assert_int_equal(bed_counters(b).dropped_insecure, insecure + 1);
			phone_begin(b, p);
		}
		WAIT(b, p, NULL, p->seen->nsecured == 2 && p->status[RTP] == DTLS_DONE);
		for (int k = 0; k < 10; k++)
			talk(b, p, p, (uint8_t)k);
		assert_false(p->is_broken_off);
		assert_int_equal(p->seen->ninsecure, 0);
		phone_free(b, p);
		bed_free(b);
	}
}

/* The same device, by a new a=tls-id: media go on by the old keys until the new ones are there. */
static void test_dtls_session_same_peer_keeps_keys_meanwhile(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);

	(void)state;
	stream_echo(p->seen->s);
	shake(b, p);
	talk(b, p, p, 1);
	agree(p);
	settle(b, p->seen->s);
	talk(b, p, p, 2);
	phone_begin(b, p);
	WAIT(b, p, NULL, p->seen->nsecured == 2 && p->status[RTP] == DTLS_DONE);
	talk(b, p, p, 3);
	assert_false(p->is_broken_off);
	phone_free(b, p);
	bed_free(b);
}

/* A phone that was started anew, and says nothing of it but a ClientHello. */
static void test_dtls_session_peer_begins_again(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);

	(void)state;
	stream_echo(p->seen->s);
	shake(b, p);
	talk(b, p, p, 1);
	for (int i = 0; i < 3; i++) {
		phone_begin(b, p);
		WAIT(b, p, NULL, p->seen->nsecured == 2u + (unsigned)i && p->status[RTP] == DTLS_DONE);
		talk(b, p, p, 2);
	}
	/* somebody else can't, and disturbs nothing */
	p->id = bob;
	for (int i = 0; i < 3; i++) {
		struct secure *keys = p->secure[RTP];

		p->secure[RTP] = NULL;
		phone_begin(b, p);
		p->secure[RTP] = keys;
		pass_ms(b, p, 2 * DTLS_HOLD_MS);
		assert_int_not_equal(p->status[RTP], DTLS_DONE);
		talk(b, p, p, 3);
	}
	assert_int_equal(p->seen->nsecured, 4);
	assert_int_equal(p->seen->ninsecure, 0);
	phone_free(b, p);
	bed_free(b);
}

/* A phone that hasn't got the last flight asks for it, until media come from it or it is too late. */
static void test_dtls_session_last_flight(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);

	(void)state;
	stream_echo(p->seen->s);
	agree(p);
	phone_begin(b, p);
	WAIT(b, p, NULL, p->ndtls > 0 || p->seen->nsecured);
	while (!p->seen->nsecured) {
		bed_step(b);
		if (!p->seen->nsecured)
			phone_turn(p);
	}
	p->is_deaf = true; /* and doesn't hear it */
	pass_ms(b, p, 600);
	p->is_deaf = false;
	assert_int_equal(p->status[RTP], DTLS_GOING);
	WAIT(b, p, NULL, p->status[RTP] == DTLS_DONE);
	talk(b, p, p, 1);
	assert_int_equal(p->seen->nsecured, 1);
	phone_free(b, p);
	bed_free(b);
}

static void test_dtls_session_to_keys_and_to_plain_and_back(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct phone *p = phone_new(b, alice, true, true);
	struct stream_config c = config_of(p->peer->port, CODEC_PCMU);
	struct secure_params theirs = { .suite = SECURE_AES_CM_128_80, .nrecv = 1, .send = { .key = { 1 } }, .recv = { { .key = { 2 } } } };
	struct secure_params ours = { .suite = SECURE_AES_CM_128_80, .nrecv = 1, .send = { .key = { 2 } }, .recv = { { .key = { 1 } } } };

	(void)state;
	stream_echo(p->seen->s);
	shake(b, p);
	talk(b, p, p, 1);
	c.security = &theirs;
	stream_configure(p->seen->s, &c);
	settle(b, p->seen->s);
	secure_free(p->secure[RTP]);
	assert_int_equal(secure_new(&p->secure[RTP], NULL, &ours), 0);
	talk(b, p, p, 2);
	c.security = NULL;
	stream_configure(p->seen->s, &c);
	settle(b, p->seen->s);
	secure_free(p->secure[RTP]);
	p->secure[RTP] = NULL;
	say(p, 3);
	WAIT(b, p, NULL, p->nplain == 1);
	shake(b, p);
	talk(b, p, p, 4);
	phone_free(b, p);
	bed_free(b);
}

/* ---- with others ---- */

/* To plain RTP, to another's DTLS; also when one of them is handed to another worker in the middle of it. */
static void test_dtls_session_bridges(void **state)
{
	static const struct { unsigned nworkers; bool is_plain, is_late; } rows[] = {
		{ 1, true, false }, { 1, false, false }, { 2, true, false }, { 2, false, false }, { 2, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = rows[i].nworkers, .streams_together = 1 });
		struct phone *p = phone_new(b, alice, true, true), *q = phone_new(b, bob, i % 2, true);

		agree(p);
		phone_begin(b, p);
		if (rows[i].is_plain) {
			stream_setup(q->seen->s, q->peer->port, CODEC_PCMU);
		} else {
			agree(q);
			phone_begin(b, q);
		}
		for (int k = 0; k < (rows[i].is_late ? 2 : 50); k++)
			step(b, p, q);
		stream_bridge(p->seen->s, q->seen->s);
		WAIT(b, p, q, p->seen->nsecured == 1 && p->status[RTP] == DTLS_DONE &&
				      (rows[i].is_plain || (q->seen->nsecured == 1 && q->status[RTP] == DTLS_DONE)));
		while (!(q->nplain + q->n)) { /* until the bridge stands */
			say(p, 4);
			for (int k = 0; k < 20; k++)
				step(b, p, q);
		}
		for (int k = 0; k < 10; k++) {
			if (rows[i].is_plain) {
				unsigned before = q->nplain;

				say(p, 5);
				WAIT(b, p, q, q->nplain > before);
			} else {
				talk(b, p, q, 5);
			}
			talk(b, q, p, 6);
		}
		assert_int_equal(p->nplain, 0);
		phone_free(b, p);
		phone_free(b, q);
		bed_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dtls_session_either_end_begins),
		cmocka_unit_test(test_dtls_session_rtcp_by_itself_waits_for_its_own_keys),
		cmocka_unit_test(test_dtls_session_hello_overtakes_the_answer),
		cmocka_unit_test(test_dtls_session_lost_datagrams),
		cmocka_unit_test(test_dtls_session_many_at_once),
		cmocka_unit_test(test_dtls_session_wrong_certificate),
		cmocka_unit_test(test_dtls_session_right_one_after_a_wrong_one),
		cmocka_unit_test(test_dtls_session_nobody_there),
		cmocka_unit_test(test_dtls_session_garbage),
		cmocka_unit_test(test_dtls_session_stranger_shows_himself),
		cmocka_unit_test(test_dtls_session_called_peer_answers_from_elsewhere),
		cmocka_unit_test(test_dtls_session_stranger_does_not_disturb),
		cmocka_unit_test(test_dtls_session_squatters_keep_nobody_out),
		cmocka_unit_test(test_dtls_session_alert_of_a_stranger_ends_nothing),
		cmocka_unit_test(test_dtls_session_hello_of_a_stranger_ends_nothing),
		cmocka_unit_test(test_dtls_session_last_flight_outlives_a_stranger),
		cmocka_unit_test(test_dtls_session_goes_on_with_the_same_number),
		cmocka_unit_test(test_dtls_session_another_association),
		cmocka_unit_test(test_dtls_session_same_peer_keeps_keys_meanwhile),
		cmocka_unit_test(test_dtls_session_peer_begins_again),
		cmocka_unit_test(test_dtls_session_last_flight),
		cmocka_unit_test(test_dtls_session_to_keys_and_to_plain_and_back),
		cmocka_unit_test(test_dtls_session_bridges),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

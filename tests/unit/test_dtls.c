/* DTLS associations: two ends over memory and one of OpenSSL's own, with lost, doubled, reordered and broken datagrams, by a clock of the
 * test's. Streams with sockets are test_dtls_session.c's. */
#include "dtls_bed.h"

#include <openssl/err.h>

static struct dtls_identity *alice, *bob;

static int setup(void **state)
{
	(void)state;
	clock_us = 1700000000ULL * 1000000;
	return dtls_identity_new(&alice) || dtls_identity_new(&bob);
}

static int teardown(void **state)
{
	(void)state;
	dtls_identity_free(alice);
	dtls_identity_free(bob);
	return 0;
}

/* ---- both ends ours ---- */

#define WIRE_MAX 64

struct end {
	struct dtls *d;
	enum dtls_status status;
	unsigned n, nsent;
	struct { size_t n; uint8_t p[2048]; } wire[WIRE_MAX]; /* from it, on the way */
};

static void on_wire(const uint8_t *p, size_t n, void *arg)
{
	struct end *e = arg;

	assert_true(e->n < WIRE_MAX && n <= DTLS_MTU);
	memcpy(e->wire[e->n].p, p, n);
	e->wire[e->n++].n = n;
	e->nsent++;
}

static struct end *end_new(const struct dtls_identity *id, const struct dtls_identity *other, bool is_client)
{
	struct end *e = calloc(1, sizeof(*e));
	struct dtls_params p = params_of(other, is_client, 1);

	assert_int_equal(dtls_new(&e->d, id, &p, on_wire, e), 0);
	return e;
}

static void end_free(struct end *e)
{
	dtls_free(e->d);
	free(e);
}

/* What is on the way from a arrives at b, but for the datagrams whose bit is set in lost. */
static void deliver(struct end *a, struct end *b, uint64_t lost)
{
	unsigned n = a->n;

	a->n = 0;
	for (unsigned i = 0; i < n; i++)
		if (!(lost >> i & 1))
			b->status = dtls_take(b->d, a->wire[i].p, a->wire[i].n);
}

/* Each is told of its time; false: neither waits for any. */
static bool pass_time(struct end *a, struct end *b)
{
	int wa = dtls_wait_ms(a->d), wb = dtls_wait_ms(b->d), w = wa < 0 || (wb >= 0 && wb < wa) ? wb : wa;

	if (w < 0)
		return false;
	clock_us += (uint64_t)(w + 20) * 1000; /* OpenSSL's clock has grains of 15 ms */
	if (wa >= 0 && wa <= w + 20)
		a->status = dtls_timeout(a->d);
	if (wb >= 0 && wb <= w + 20)
		b->status = dtls_timeout(b->d);
	return true;
}

static void shake(struct end *a, struct end *b)
{
	a->status = dtls_start(a->d);
	for (int i = 0; i < 20 && (a->n || b->n); i++) {
		deliver(a, b, 0);
		deliver(b, a, 0);
	}
}

static void assert_same_keys(struct end *a, struct end *b)
{
	struct secure_params ka, kb;

	assert_int_equal(a->status, DTLS_DONE);
	assert_int_equal(b->status, DTLS_DONE);
	assert_int_equal(dtls_keys(a->d, &ka), 0);
	assert_int_equal(dtls_keys(b->d, &kb), 0);
	assert_int_equal(ka.suite, kb.suite);
	assert_memory_equal(ka.send.key, kb.recv[0].key, SECURE_KEY_MAX);
	assert_memory_equal(ka.recv[0].key, kb.send.key, SECURE_KEY_MAX);
	assert_memory_not_equal(ka.send.key, kb.send.key, SECURE_KEY_MAX);
}

static void test_dtls_both_ends_have_the_same_keys(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);
	struct secure_params keys;

	(void)state;
	shake(a, b);
	assert_same_keys(a, b);
	assert_int_equal(dtls_keys(a->d, &keys), 0);
	assert_int_equal(keys.suite, SECURE_AEAD_AES_128_GCM);
	assert_int_equal(dtls_wait_ms(a->d), -1);
	assert_int_equal(dtls_wait_ms(b->d), -1);
	end_free(a);
	end_free(b);
}

static void test_dtls_identity_is_one_of_its_own(void **state)
{
	(void)state;
	assert_int_equal(strlen(dtls_identity_fingerprint(alice)), 8 + 95);
	assert_int_equal(strncmp(dtls_identity_fingerprint(alice), "sha-256 ", 8), 0);
	assert_string_not_equal(dtls_identity_fingerprint(alice), dtls_identity_fingerprint(bob));
}

/* ---- datagrams that get lost ---- */

/* Whatever single datagram of the handshake gets lost, it comes to the same. */
static void test_dtls_any_lost_datagram_is_sent_again(void **state)
{
	(void)state;
	for (unsigned lost = 0; lost < 8; lost++) {
		struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);
		unsigned at = 0;

		a->status = dtls_start(a->d);
		for (int i = 0; i < 40 && (a->status != DTLS_DONE || b->status != DTLS_DONE); i++) {
			unsigned n = a->n;

			deliver(a, b, lost >= at && lost < at + n ? 1ull << (lost - at) : 0);
			at += n;
			n = b->n;
			deliver(b, a, lost >= at && lost < at + n ? 1ull << (lost - at) : 0);
			at += n;
			if (!a->n && !b->n)
				pass_time(a, b);
		}
		assert_same_keys(a, b);
		end_free(a);
		end_free(b);
	}
}

/* The flights of RFC 6347 §4.2.4, each after twice the time of the one before, and at last no more. */
static void test_dtls_nobody_answers(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);
	uint64_t began_us = clock_us;
	int waits[5] = { 250, 500, 1000, 2000, 4000 };

	(void)state;
	a->status = dtls_start(a->d);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(dtls_wait_ms(a->d), waits[i]);
		assert_int_equal(a->nsent, i + 1);
		pass_time(a, b);
	}
	assert_int_equal(dtls_wait_ms(a->d), DTLS_FLIGHT_MAX_MS);
	assert_int_equal(dtls_timeout(a->d), DTLS_GOING); /* too early: nothing happens */
	assert_int_equal(a->nsent, 6);
	for (int i = 0; i < 20 && a->status == DTLS_GOING; i++) {
		a->n = 0;
		pass_time(a, b);
	}
	assert_int_equal(a->status, DTLS_BROKEN);
	assert_true(clock_us - began_us > 30000000);
	assert_int_equal(dtls_wait_ms(b->d), -1); /* a server waits without counting */
	end_free(a);
	end_free(b);
}

/* The server's last flight gets lost: it is asked for by the client's, which comes again. */
static void test_dtls_last_flight_is_sent_again(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);

	(void)state;
	a->status = dtls_start(a->d);
	deliver(a, b, 0);
	deliver(b, a, 0);
	deliver(a, b, 0);
	assert_int_equal(b->status, DTLS_DONE);
	for (int i = 0; i < 3; i++) {
		b->n = 0; /* lost */
		assert_int_equal(a->status, DTLS_GOING);
		pass_time(a, b);
		assert_true(a->n > 0);
		deliver(a, b, 0);
		assert_true(b->n > 0);
	}
	deliver(b, a, 0);
	assert_same_keys(a, b);
	end_free(a);
	end_free(b);
}

static void test_dtls_doubled_and_reordered_datagrams(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);

	(void)state;
	a->status = dtls_start(a->d);
	for (int i = 0; i < 30 && (a->status != DTLS_DONE || b->status != DTLS_DONE); i++) {
		struct end *from = i % 2 ? b : a, *to = i % 2 ? a : b;
		unsigned n = from->n;

		for (unsigned k = n; k-- > 0;) /* the last first, and each twice */
			for (int twice = 0; twice < 2; twice++)
				to->status = dtls_take(to->d, from->wire[k].p, from->wire[k].n);
		from->n = 0;
		if (!a->n && !b->n)
			pass_time(a, b);
	}
	assert_same_keys(a, b);
	end_free(a);
	end_free(b);
}

static void test_dtls_garbage_changes_nothing(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);
	struct rng rng;
	uint8_t p[600];

	(void)state;
	rng_init_fixed(&rng, 3);
	a->status = dtls_start(a->d);
	for (int round = 0; round < 8 && (a->status != DTLS_DONE || b->status != DTLS_DONE); round++) {
		for (int i = 0; i < 200; i++) {
			size_t n = 1 + rng_below(&rng, sizeof(p) - 1);

			rng_fill(&rng, p, n);
			p[0] = (uint8_t)(20 + i % 4);
			if (i % 2) /* as if it were encrypted, of the next epoch */
				memcpy(p + 1, "\xfe\xfd\0\1", 4);
			else if (n > 4)
				memcpy(p + 1, "\xfe\xfd\0\7", 4); /* of one that will never be */
			dtls_take(a->d, p, n);
			dtls_take(b->d, p, n);
		}
		deliver(a, b, 0);
		deliver(b, a, 0);
	}
	assert_same_keys(a, b);
	for (size_t n = 0; n <= 13; n++)
		assert_false(dtls_is_record(p, n));
	end_free(a);
	end_free(b);
}

/* ---- who it is ---- */

static void test_dtls_wrong_certificate(void **state)
{
	static const struct { bool client_is_wrong; } rows[] = { { true }, { false } };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		/* who is expected is alice, or bob, who isn't there */
		struct end *a = end_new(alice, rows[i].client_is_wrong ? bob : alice, true);
		struct end *b = end_new(bob, rows[i].client_is_wrong ? bob : alice, false);

		shake(a, b);
		assert_int_equal((rows[i].client_is_wrong ? b : a)->status, DTLS_WRONG_CERTIFICATE);
		assert_int_equal((rows[i].client_is_wrong ? a : b)->status, DTLS_BROKEN); /* by the alert */
		end_free(a);
		end_free(b);
	}
}

/* Any of several, and by any function that a description may name. */
static void test_dtls_fingerprints_by_each_function(void **state)
{
	static const struct { const char *name; uint8_t len; } rows[] = {
		{ "SHA1", 20 }, { "SHA224", 28 }, { "SHA256", 32 }, { "SHA384", 48 }, { "SHA512", 64 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct far *f = far_new(NULL, false, 0);
		struct end *a = calloc(1, sizeof(*a));
		struct dtls_params p = { .number = 1, .is_client = true, .nfingerprints = 2, .fingerprints = { { .len = 32 }, { .len = rows[i].len } } };
		unsigned n;

		assert_int_equal(X509_digest(SSL_get_certificate(f->ssl), EVP_get_digestbyname(rows[i].name), p.fingerprints[1].digest, &n), 1);
		assert_int_equal(n, rows[i].len);
		assert_int_equal(dtls_new(&a->d, alice, &p, on_wire, a), 0);
		a->status = dtls_start(a->d);
		for (int k = 0; k < 10 && a->status == DTLS_GOING; k++) {
			for (unsigned w = 0; w < a->n; w++)
				far_take(f, a->wire[w].p, a->wire[w].n);
			a->n = 0;
			for (unsigned w = 0; w < f->n; w++)
				a->status = dtls_take(a->d, f->wire[w].p, f->wire[w].n);
			f->n = 0;
		}
		assert_int_equal(a->status, DTLS_DONE);
		end_free(a);
		far_free(f);
	}
}

/* ---- OpenSSL at the other end ---- */

struct row {
	bool is_client;          /* it */
	const char *profiles;    /* NULL: no use_srtp */
	bool has_no_cert;
	long mtu;
	enum dtls_status status; /* ours */
	enum secure_suite suite;
};

static enum dtls_status meet(struct end *a, struct far *f, bool is_client)
{
	if (!is_client)
		a->status = dtls_start(a->d);
	else
		far_go(f);
	for (int i = 0; i < 20 && (a->n || f->n); i++) {
		for (unsigned w = 0; w < a->n; w++)
			far_take(f, a->wire[w].p, a->wire[w].n);
		a->n = 0;
		for (unsigned w = 0; w < f->n; w++)
			a->status = dtls_take(a->d, f->wire[w].p, f->wire[w].n);
		f->n = 0;
	}
	return a->status;
}

static void test_dtls_profiles_and_fragments(void **state)
{
	static const struct row rows[] = {
		{ true, "SRTP_AES128_CM_SHA1_80", false, 0, DTLS_DONE, SECURE_AES_CM_128_80 },
		{ false, "SRTP_AES128_CM_SHA1_80", false, 0, DTLS_DONE, SECURE_AES_CM_128_80 },
		{ true, "SRTP_AES128_CM_SHA1_32:SRTP_AES128_CM_SHA1_80", false, 0, DTLS_DONE, SECURE_AES_CM_128_80 },
		{ true, "SRTP_AEAD_AES_256_GCM", false, 0, DTLS_DONE, SECURE_AEAD_AES_256_GCM },
		{ false, "SRTP_AEAD_AES_256_GCM", false, 0, DTLS_DONE, SECURE_AEAD_AES_256_GCM },
		{ true, "SRTP_AES128_CM_SHA1_80:SRTP_AEAD_AES_128_GCM", false, 0, DTLS_DONE, SECURE_AEAD_AES_128_GCM }, /* the server chooses */
		/* flights in many small pieces */
		{ true, "SRTP_AEAD_AES_128_GCM", false, 256, DTLS_DONE, SECURE_AEAD_AES_128_GCM },
		{ false, "SRTP_AEAD_AES_128_GCM", false, 256, DTLS_DONE, SECURE_AEAD_AES_128_GCM },
		/* nothing that we have: the handshake may end, but without keys */
		{ true, NULL, false, 0, DTLS_DONE, SECURE_NONE },
		{ false, NULL, false, 0, DTLS_DONE, SECURE_NONE },
		{ true, "SRTP_AES128_CM_SHA1_32", false, 0, DTLS_DONE, SECURE_NONE },
		/* whoever shows no certificate is nobody */
		{ true, "SRTP_AEAD_AES_128_GCM", true, 0, DTLS_BROKEN, SECURE_NONE },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct far *f = far_new(r->profiles, r->is_client, r->mtu);
		struct end *a = calloc(1, sizeof(*a));
		struct dtls_params p = far_params(f, !r->is_client);
		struct secure_params keys;

		if (r->has_no_cert)
			SSL_certs_clear(f->ssl);
		assert_int_equal(dtls_new(&a->d, alice, &p, on_wire, a), 0);
		if (meet(a, f, r->is_client) != r->status)
			fail_msg("row %zu: %d", i, a->status);
		if (r->suite) {
			assert_int_equal(dtls_keys(a->d, &keys), 0);
			assert_int_equal(keys.suite, r->suite);
			far_assert_keys(f, &keys);
		} else if (r->status == DTLS_DONE) {
			assert_int_equal(dtls_keys(a->d, &keys), -EIO);
		}
		if (r->mtu)
			assert_true(f->most <= (size_t)r->mtu);
		end_free(a);
		far_free(f);
	}
}

/* The end of an association, once there are keys, is no end of media. */
static void test_dtls_close_notify_changes_nothing(void **state)
{
	struct far *f = far_new("SRTP_AEAD_AES_128_GCM", true, 0);
	struct end *a = calloc(1, sizeof(*a));
	struct dtls_params p = far_params(f, false);
	struct secure_params keys;

	(void)state;
	assert_int_equal(dtls_new(&a->d, alice, &p, on_wire, a), 0);
	assert_int_equal(meet(a, f, true), DTLS_DONE);
	SSL_shutdown(f->ssl);
	far_drain(f);
	assert_true(f->n > 0);
	assert_int_equal(dtls_take(a->d, f->wire[0].p, f->wire[0].n), DTLS_DONE);
	assert_int_equal(dtls_keys(a->d, &keys), 0);
	end_free(a);
	far_free(f);
}

/* ---- strangers ---- */

static struct addr addr_of(const char *host, uint16_t port)
{
	struct addr a = { 0 };

	a.v4.sin_family = AF_INET;
	a.v4.sin_port = htons(port);
	assert_int_equal(inet_pton(AF_INET, host, &a.v4.sin_addr), 1);
	return a;
}

/* RFC 6347 §4.2.1 */
static void test_dtls_stranger_shows_where_he_is(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);
	struct addr here = addr_of("192.0.2.1", 4000), there = addr_of("192.0.2.1", 4001);
	struct end *other = end_new(alice, bob, true);

	(void)state;
	/* each hello gets an answer that is smaller than itself, and leaves nothing behind */
	other->status = dtls_start(other->d);
	for (int i = 0; i < 10; i++)
		assert_false(dtls_listen(b->d, &there, other->wire[0].p, other->wire[0].n, &b->status));
	assert_int_equal(b->n, 10);
	assert_true(b->wire[0].n < other->wire[0].n);
	assert_int_equal(dtls_wait_ms(b->d), -1);
	b->n = 0;
	a->status = dtls_start(a->d);
	assert_false(dtls_listen(b->d, &here, a->wire[0].p, a->wire[0].n, &b->status));
	a->n = 0;
	deliver(b, a, 0);
	/* with the cookie from elsewhere: another cookie, no more */
	assert_false(dtls_listen(b->d, &there, a->wire[0].p, a->wire[0].n, &b->status));
	assert_int_equal(b->n, 1);
	assert_true(b->wire[0].n < a->wire[0].n);
	b->n = 0;
	assert_true(dtls_listen(b->d, &here, a->wire[0].p, a->wire[0].n, &b->status));
	assert_int_equal(b->status, DTLS_GOING);
	a->n = 0;
	for (int i = 0; i < 10 && (a->n || b->n); i++) {
		deliver(b, a, 0);
		deliver(a, b, 0);
	}
	assert_same_keys(a, b);
	end_free(a);
	end_free(b);
	end_free(other);
}

static void test_dtls_listening_to_garbage(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);
	struct addr here = addr_of("192.0.2.1", 4000);
	struct rng rng;

	(void)state;
	rng_init_fixed(&rng, 5);
	a->status = dtls_start(a->d);
	for (int i = 0; i < 2000; i++) {
		uint8_t p[2048];
		size_t n = a->wire[0].n;

		memcpy(p, a->wire[0].p, n);
		for (int k = 0; k < 3; k++)
			p[rng_below(&rng, (uint32_t)n)] ^= (uint8_t)rng_u32(&rng);
		b->n = 0;
		assert_false(dtls_listen(b->d, &here, p, i % 2 ? n : 1 + rng_below(&rng, (uint32_t)n), &b->status));
		assert_int_equal(b->status, DTLS_GOING);
	}
	assert_int_equal(ERR_peek_error(), 0);
	b->n = 0;
	assert_false(dtls_listen(b->d, &here, a->wire[0].p, a->wire[0].n, &b->status));
	assert_int_equal(b->n, 1);
	end_free(a);
	end_free(b);
}

static void test_dtls_is_hello(void **state)
{
	struct end *a = end_new(alice, bob, true), *b = end_new(bob, alice, false);

	(void)state;
	a->status = dtls_start(a->d);
	assert_true(dtls_is_record(a->wire[0].p, a->wire[0].n));
	assert_true(dtls_is_hello(a->wire[0].p, a->wire[0].n));
	deliver(a, b, 0);
	assert_true(dtls_is_record(b->wire[0].p, b->wire[0].n));
	assert_false(dtls_is_hello(b->wire[0].p, b->wire[0].n));
	end_free(a);
	end_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dtls_both_ends_have_the_same_keys),
		cmocka_unit_test(test_dtls_identity_is_one_of_its_own),
		cmocka_unit_test(test_dtls_any_lost_datagram_is_sent_again),
		cmocka_unit_test(test_dtls_nobody_answers),
		cmocka_unit_test(test_dtls_last_flight_is_sent_again),
		cmocka_unit_test(test_dtls_doubled_and_reordered_datagrams),
		cmocka_unit_test(test_dtls_garbage_changes_nothing),
		cmocka_unit_test(test_dtls_wrong_certificate),
		cmocka_unit_test(test_dtls_fingerprints_by_each_function),
		cmocka_unit_test(test_dtls_profiles_and_fragments),
		cmocka_unit_test(test_dtls_close_notify_changes_nothing),
		cmocka_unit_test(test_dtls_stranger_shows_where_he_is),
		cmocka_unit_test(test_dtls_listening_to_garbage),
		cmocka_unit_test(test_dtls_is_hello),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

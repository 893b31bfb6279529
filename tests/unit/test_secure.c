/* SRTP: what goes out against the algorithms of the RFCs done by hand with OpenSSL, what comes in against all that must be refused, and
 * streams with real sockets that relay it. */
#include "media_bed.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "media/secure.h"

#define HEADER 12
#define PAYLOAD 160

static const struct { enum secure_suite suite; const char *name; int tag, rtcp_tag; bool is_gcm; } suites[] = {
	{ SECURE_AES_CM_128_80, "AES_CM_128_HMAC_SHA1_80", 10, 10, false },
	{ SECURE_AES_CM_128_32, "AES_CM_128_HMAC_SHA1_32", 4, 10, false },
	{ SECURE_AES_CM_256_80, "AES_256_CM_HMAC_SHA1_80", 10, 10, false },
	{ SECURE_AES_CM_256_32, "AES_256_CM_HMAC_SHA1_32", 4, 10, false },
	{ SECURE_AEAD_AES_128_GCM, "AEAD_AES_128_GCM", 16, 16, true },
	{ SECURE_AEAD_AES_256_GCM, "AEAD_AES_256_GCM", 16, 16, true },
};

static struct secure_key key_of(uint8_t seed)
{
	struct secure_key k = { 0 };

	for (size_t i = 0; i < sizeof(k.key); i++)
		k.key[i] = (uint8_t)(seed * 31 + i * 7);
	return k;
}

/* a's params; b's are the same the other way round. */
static struct secure_params params_of(enum secure_suite suite, uint8_t ours, uint8_t theirs)
{
	return (struct secure_params){ .suite = suite, .send = key_of(ours), .nrecv = 1, .recv = { key_of(theirs) } };
}

static struct secure *make(const struct secure_params *p)
{
	struct secure *s;

	assert_int_equal(secure_new(&s, NULL, p), 0);
	return s;
}

struct packet { _Alignas(8) uint8_t p[256]; size_t n; };

static struct packet packet_of(uint32_t ssrc, uint16_t seq, uint8_t value)
{
	struct rtp_packet h = { .pt = 0, .seq = seq, .ts = seq * 160u, .ssrc = ssrc };
	struct packet p = { .n = HEADER + PAYLOAD };

	rtp_print(p.p, &h);
	memset(p.p + HEADER, value, PAYLOAD);
	return p;
}

static void seal(struct secure *s, struct packet *p)
{
	p->n = secure_seal(s, p->p, p->n);
	assert_true(p->n > 0);
}

static bool opens(struct secure *s, struct packet p)
{
	p.n = secure_open(s, p.p, p.n);
	return p.n > 0;
}

/* ---- the RFCs by hand ---- */

/* Blocks of a key stream that begins at iv, over in. */
static void aes_ctr(const uint8_t *key, size_t key_len, const uint8_t iv[16], const uint8_t *in, uint8_t *out, int n)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len;

	assert_int_equal(EVP_EncryptInit_ex(c, key_len == 32 ? EVP_aes_256_ctr() : EVP_aes_128_ctr(), NULL, key, iv), 1);
	assert_int_equal(EVP_EncryptUpdate(c, out, &len, in, n), 1);
	EVP_CIPHER_CTX_free(c);
}

/* RFC 3711 §4.3.1 with a key derivation rate of 0: a session key out of the master key and salt; label 0 encrypts, 1 authenticates, 2 salts. */
static void derive(const uint8_t *master, size_t key_len, size_t salt_len, uint8_t label, uint8_t *out, int n)
{
	static const uint8_t zero[64];
	uint8_t iv[16] = { 0 };

	memcpy(iv, master + key_len, salt_len);
	iv[7] ^= label;
	aes_ctr(master, key_len, iv, zero, out, n);
}

static void test_secure_derivation_is_rfc3711_b3(void **state)
{
	static const uint8_t master[30] = { 0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39,
					    0x0E, 0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6 };
	static const uint8_t cipher[16] = { 0xC6, 0x1E, 0x7A, 0x93, 0x74, 0x4F, 0x39, 0xEE, 0x10, 0x73, 0x4A, 0xFE, 0x3F, 0xF7, 0xA0, 0x87 };
	static const uint8_t salt[14] = { 0x30, 0xCB, 0xBC, 0x08, 0x86, 0x3D, 0x8C, 0x85, 0xD4, 0x9D, 0xB3, 0x4A, 0x9A, 0xE1 };
	static const uint8_t auth[20] = { 0xCE, 0xBE, 0x32, 0x1F, 0x6F, 0xF7, 0x71, 0x6B, 0x6F, 0xD4,
					  0xAB, 0x49, 0xAF, 0x25, 0x6A, 0x15, 0x6D, 0x38, 0xBA, 0xA4 };
	uint8_t out[20];

	(void)state;
	derive(master, 16, 14, 0, out, 16);
	assert_memory_equal(out, cipher, 16);
	derive(master, 16, 14, 2, out, 14);
	assert_memory_equal(out, salt, 14);
	derive(master, 16, 14, 1, out, 20);
	assert_memory_equal(out, auth, 20);
}

/* RFC 3711 §4.1.1 and §4.2.1. */
static void by_hand_cm(const struct secure_key *k, size_t key_len, int tag, uint32_t roc, struct packet *p)
{
	uint8_t cipher[32], salt[14], auth[20], iv[16] = { 0 }, mac[20], roc_bytes[4] = { (uint8_t)(roc >> 24), (uint8_t)(roc >> 16),
											    (uint8_t)(roc >> 8), (uint8_t)roc };
	uint8_t authed[260];
	unsigned mac_len;

	derive(k->key, key_len, 14, 0, cipher, (int)key_len);
	derive(k->key, key_len, 14, 1, auth, 20);
	derive(k->key, key_len, 14, 2, salt, 14);
	memcpy(iv, salt, 14);
	for (int i = 0; i < 4; i++) {
		iv[4 + i] ^= p->p[8 + i];
		iv[8 + i] ^= roc_bytes[i];
	}
	iv[12] ^= p->p[2];
	iv[13] ^= p->p[3];
	aes_ctr(cipher, key_len, iv, p->p + HEADER, p->p + HEADER, (int)p->n - HEADER);
	memcpy(authed, p->p, p->n);
	memcpy(authed + p->n, roc_bytes, 4);
	assert_non_null(HMAC(EVP_sha1(), auth, 20, authed, p->n + 4, mac, &mac_len));
	memcpy(p->p + p->n, mac, (size_t)tag);
	p->n += (size_t)tag;
}

/* RFC 7714 §8.1, §9.1. */
static void by_hand_gcm(const struct secure_key *k, size_t key_len, uint32_t roc, struct packet *p)
{
	uint8_t cipher[32], iv[12], tag[16];
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	int len;

	derive(k->key, key_len, 12, 0, cipher, (int)key_len);
	derive(k->key, key_len, 12, 2, iv, 12);
	for (int i = 0; i < 4; i++) {
		iv[2 + i] ^= p->p[8 + i];
		iv[6 + i] ^= (uint8_t)(roc >> (24 - 8 * i));
	}
	iv[10] ^= p->p[2];
	iv[11] ^= p->p[3];
	assert_int_equal(EVP_EncryptInit_ex(c, key_len == 32 ? EVP_aes_256_gcm() : EVP_aes_128_gcm(), NULL, cipher, iv), 1);
	assert_int_equal(EVP_EncryptUpdate(c, NULL, &len, p->p, HEADER), 1);
	assert_int_equal(EVP_EncryptUpdate(c, p->p + HEADER, &len, p->p + HEADER, (int)p->n - HEADER), 1);
	assert_int_equal(EVP_EncryptFinal_ex(c, tag, &len), 1);
	assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, tag), 1);
	EVP_CIPHER_CTX_free(c);
	memcpy(p->p + p->n, tag, 16);
	p->n += 16;
}

static void test_secure_packets_are_those_of_the_rfcs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct secure_params p = params_of(suites[i].suite, 1, 2);
		struct secure *s = make(&p);
		size_t key_len = secure_key_len(suites[i].suite) - (suites[i].is_gcm ? 12 : 14);

		assert_int_equal(secure_suite_find(suites[i].name), suites[i].suite);
		/* over the wrap: the roll-over counter is in each packet, though in none to be seen */
		for (uint32_t n = 65500; n < 65600; n++) {
			struct packet got = packet_of(0xcafebabe, (uint16_t)n, 0xab), want = got;

			seal(s, &got);
			if (suites[i].is_gcm)
				by_hand_gcm(&p.send, key_len, n >> 16, &want);
			else
				by_hand_cm(&p.send, key_len, suites[i].tag, n >> 16, &want);
			assert_int_equal(got.n, want.n);
			assert_memory_equal(got.p, want.p, want.n);
		}
		secure_free(s);
	}
	assert_int_equal(secure_suite_find("F8_128_HMAC_SHA1_80"), SECURE_NONE);
	assert_int_equal(secure_suite_find("aead_aes_128_gcm"), SECURE_AEAD_AES_128_GCM);
	assert_int_equal(secure_key_len(SECURE_NONE), 0);
}

/* ---- both ends ---- */

static void test_secure_each_suite_goes_there_and_nothing_else_does(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct secure_params pa = params_of(suites[i].suite, 1, 2), pb = params_of(suites[i].suite, 2, 1),
				     pc = params_of(suites[i].suite, 2, 3);
		struct secure *a = make(&pa), *b = make(&pb), *stranger = make(&pc);
		struct packet p = packet_of(7, 100, 0x55), sent = p, plain = p;

		seal(a, &sent);
		assert_int_equal(sent.n, HEADER + PAYLOAD + (size_t)suites[i].tag);
		assert_memory_not_equal(sent.p + HEADER, plain.p + HEADER, PAYLOAD);
		assert_false(opens(stranger, sent));
		assert_false(opens(b, plain));
		for (size_t at = 0; at < sent.n; at += 7) { /* no bit of it may be another */
			struct packet bad = sent;

			bad.p[at] ^= 0x10;
			assert_false(opens(b, bad));
		}
		for (size_t n = 0; n < sent.n; n++) {
			struct packet cut = sent;

			cut.n = n;
			assert_false(opens(b, cut));
		}
		p = sent;
		assert_int_equal(secure_open(b, p.p, p.n), plain.n);
		assert_memory_equal(p.p, plain.p, plain.n);
		assert_false(opens(b, sent)); /* once */
		secure_free(a);
		secure_free(b);
		secure_free(stranger);
	}
}

static void test_secure_rtcp(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct secure_params pa = params_of(suites[i].suite, 1, 2), pb = params_of(suites[i].suite, 2, 1);
		struct secure *a = make(&pa), *b = make(&pb);
		struct rtcp_report r = { .ssrc = 7, .is_sender = true, .packets = 3 };
		struct packet plain = { 0 }, sent, bad;

		plain.n = rtcp_print(plain.p, sizeof(plain.p), &r, "name");
		sent = plain;
		sent.n = secure_seal_rtcp(a, sent.p, sent.n);
		assert_int_equal(sent.n, plain.n + 4 + (size_t)suites[i].rtcp_tag);
		assert_true(sent.n <= plain.n + SECURE_TRAILER_MAX);
		bad = sent;
		bad.p[20] ^= 1;
		assert_int_equal(secure_open_rtcp(b, bad.p, bad.n), 0);
		bad = plain;
		assert_int_equal(secure_open_rtcp(b, bad.p, bad.n), 0);
		bad = sent;
		assert_int_equal(secure_open_rtcp(b, sent.p, sent.n), plain.n);
		assert_memory_equal(sent.p, plain.p, plain.n);
		assert_int_equal(secure_open_rtcp(b, bad.p, bad.n), 0); /* replayed */
		secure_free(a);
		secure_free(b);
	}
}

static void test_secure_late_packets_count_once_and_only_within_the_window(void **state)
{
	struct secure_params pa = params_of(SECURE_AES_CM_128_80, 1, 2), pb = params_of(SECURE_AES_CM_128_80, 2, 1);
	struct secure *a = make(&pa), *b = make(&pb);
	static struct packet sent[3000];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		sent[i] = packet_of(7, (uint16_t)(64000 + i), (uint8_t)i);
		seal(a, &sent[i]);
	}
	assert_true(opens(b, sent[0]));
	assert_true(opens(b, sent[2000])); /* behind the wrap */
	assert_true(opens(b, sent[1900]));
	assert_false(opens(b, sent[1900]));
	assert_false(opens(b, sent[500])); /* 1500 back */
	assert_true(opens(b, sent[1500])); /* before the wrap */
	assert_true(opens(b, sent[2999]));
	/* ours, too: no number twice, with whatever in it */
	sent[0] = packet_of(7, (uint16_t)(64000 + 2999), 9);
	assert_int_equal(secure_seal(a, sent[0].p, sent[0].n), 0);
	secure_free(a);
	secure_free(b);
}

static void test_secure_mki_tells_the_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct secure_params pb = params_of(suites[i].suite, 9, 1);
		struct secure *b, *a[2];

		pb.nrecv = 2;
		pb.recv[1] = key_of(2);
		for (unsigned k = 0; k < 2; k++) {
			struct secure_params pa = params_of(suites[i].suite, (uint8_t)(k + 1), 9);

			pb.recv[k].mki_len = 4;
			pb.recv[k].mki[3] = (uint8_t)(k + 5);
			pa.send.mki_len = 4;
			pa.send.mki[3] = (uint8_t)(k + 5);
			a[k] = make(&pa);
		}
		b = make(&pb);
		for (uint16_t seq = 1; seq < 20; seq++) {
			struct packet p = packet_of(7, seq, 1);

			seal(a[seq / 10], &p);
			assert_int_equal(p.n, HEADER + PAYLOAD + 4 + (size_t)suites[i].tag);
			assert_true(opens(b, p));
		}
		secure_free(a[0]);
		secure_free(a[1]);
		secure_free(b);
	}
}

static void test_secure_renewal_keeps_what_is_the_same(void **state)
{
	struct secure_params pa = params_of(SECURE_AEAD_AES_128_GCM, 1, 2), pb = params_of(SECURE_AEAD_AES_128_GCM, 2, 1), pn = pb;
	struct secure *a = make(&pa), *b = make(&pb), *fresh;
	struct packet p;

	(void)state;
	for (uint32_t n = 65500; n < 65600; n++) {
		p = packet_of(7, (uint16_t)n, 1);
		seal(a, &p);
		assert_true(opens(b, p));
	}
	assert_int_equal(secure_new(&fresh, &pb, &pb), 0);
	secure_renew(&b, fresh);
	assert_false(opens(b, p)); /* the window is the same one still */
	p = packet_of(7, 64, 1);   /* and the counter, else this were another packet */
	seal(a, &p);
	assert_true(opens(b, p));
	/* a new key of theirs alone */
	pn.recv[0] = key_of(5);
	assert_int_equal(secure_new(&fresh, &pb, &pn), 0);
	secure_renew(&b, fresh);
	p = packet_of(7, 65, 1);
	seal(a, &p);
	assert_false(opens(b, p));
	pa.send = key_of(5);
	secure_free(a);
	a = make(&pa);
	p = packet_of(7, 66, 1);
	seal(a, &p);
	assert_true(opens(b, p));
	secure_free(a);
	secure_free(b);
}

static void test_secure_many_sources_take_bounded_memory(void **state)
{
	struct secure_params pa = params_of(SECURE_AES_CM_128_80, 1, 2), pb = params_of(SECURE_AES_CM_128_80, 2, 1);
	struct secure *b = make(&pb);
	struct packet p;

	(void)state;
	for (uint32_t ssrc = 1; ssrc < 100; ssrc++) {
		struct secure *a = make(&pa);

		p = packet_of(ssrc, 1, 1);
		seal(a, &p);
		assert_true(opens(b, p));
		assert_false(opens(b, p));
		secure_free(a);
	}
	secure_free(b);
}

/* With its state one that goes on would lose its roll-over counter, here after the first wrap of its numbers. */
static void test_secure_source_that_goes_on_is_not_forgotten(void **state)
{
	struct secure_params pa = params_of(SECURE_AES_CM_128_80, 1, 2), pb = params_of(SECURE_AES_CM_128_80, 2, 1);
	struct secure *a = make(&pa), *b = make(&pb);
	struct packet p;

	(void)state;
	for (unsigned seq = 65000; seq < 66000; seq++) {
		p = packet_of(1000, (uint16_t)seq, 1);
		seal(a, &p);
		assert_true(opens(b, p));
	}
	for (uint32_t i = 0; i < 1000; i++) { /* so many others between two of its packets, and at last two that go on, too */
		if (i % 50 == 0) {
			p = packet_of(1000, (uint16_t)(66000 + i / 50), 1);
			seal(a, &p);
			assert_true(opens(b, p));
		}
		p = packet_of(2000 + i, 1, 1);
		seal(a, &p);
		assert_true(opens(b, p));
	}
	for (uint16_t seq = 2; seq < 10; seq++) {
		p = packet_of(2998 + seq % 2, seq, 1);
		seal(a, &p);
		assert_true(opens(b, p));
	}
	p = packet_of(1000, (uint16_t)66020, 1);
	seal(a, &p);
	assert_true(opens(b, p));
	secure_free(a);
	secure_free(b);
}

static void test_secure_refuses_what_cannot_be(void **state)
{
	struct secure_params p = params_of(SECURE_NONE, 1, 2);
	struct secure *s;

	(void)state;
	assert_int_equal(secure_new(&s, NULL, &p), -EINVAL);
	p.suite = SECURE_AES_CM_128_80;
	p.nrecv = 0;
	assert_int_equal(secure_new(&s, NULL, &p), -EINVAL);
	p.nrecv = SECURE_KEYS_MAX + 1;
	assert_int_equal(secure_new(&s, NULL, &p), -EINVAL);
	secure_free(NULL);
}

/* ---- streams ---- */

struct end {                  /* a peer with keys, or without */
	struct peer *peer;
	struct secure *secure;
	struct seen *seen;
	struct secure_params theirs; /* the stream's view */
	unsigned n;
	uint8_t last[PAYLOAD];
};

static void configure(struct end *e, enum stream_dir dir)
{
	struct stream_config c = config_of(e->peer->port, CODEC_PCMU);

	c.dir = dir;
	c.security = e->secure ? &e->theirs : NULL;
	stream_configure(e->seen->s, &c);
}

static struct end end_new(struct bed *b, enum secure_suite suite, uint8_t seed)
{
	struct end e = { .peer = peer_new(65500, 0, seed), .seen = stream_make(b, NULL) };

	if (suite) {
		struct secure_params mine = params_of(suite, (uint8_t)(seed + 1), seed);

		e.theirs = params_of(suite, seed, (uint8_t)(seed + 1));
		e.secure = make(&mine);
	}
	configure(&e, STREAM_BOTH);
	return e;
}

static void end_free(struct bed *b, struct end *e)
{
	stream_end(b, e->seen);
	peer_free(e->peer);
	secure_free(e->secure);
}

static void end_send(struct end *e, uint8_t value)
{
	struct packet p = packet_of(e->peer->ssrc, e->peer->seq, value);

	e->peer->seq++;
	if (e->secure)
		seal(e->secure, &p);
	send_to(e->peer->fd, stream_port(e->seen->s), p.p, p.n);
}

static void end_receive(struct end *e)
{
	struct packet p;
	ssize_t n;

	while ((n = recv(e->peer->fd, p.p, sizeof(p.p), MSG_DONTWAIT)) > 0) {
		p.n = e->secure ? secure_open(e->secure, p.p, (size_t)n) : (size_t)n;
		assert_int_equal(p.n, HEADER + PAYLOAD);
		memcpy(e->last, p.p + HEADER, PAYLOAD);
		e->n++;
	}
}

/* Streams are told by commands: before packets come, they have been. */
static void end_settle(struct bed *b, const struct end *x, const struct end *y)
{
	settle(b, x->seen->s);
	settle(b, y->seen->s);
}

static void exchange(struct bed *b, struct end *x, struct end *y, uint8_t value)
{
	unsigned nx = x->n, ny = y->n;

	end_send(x, value);
	end_send(y, (uint8_t)(value + 1));
	WAIT_FOR(b, (end_receive(x), end_receive(y), x->n == nx + 1 && y->n == ny + 1));
	assert_int_equal(y->last[0], value);
	assert_int_equal(x->last[PAYLOAD - 1], (uint8_t)(value + 1));
}

static void test_secure_streams_of_all_kinds_are_bridged(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(suites); i++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
		struct end x = end_new(b, suites[i].suite, 10), plain = end_new(b, SECURE_NONE, 20),
			   y = end_new(b, suites[(i + 3) % ARRAY_LEN(suites)].suite, 30);

		stream_bridge(x.seen->s, plain.seen->s);
		end_settle(b, &x, &plain);
		for (unsigned n = 0; n < 60; n++) /* over the wrap */
			exchange(b, &x, &plain, (uint8_t)(0x80 + n));
		/* transferred to another, whose keys are others */
		stream_bridge(x.seen->s, y.seen->s);
		end_settle(b, &x, &y);
		for (unsigned n = 0; n < 60; n++)
			exchange(b, &x, &y, (uint8_t)n);
		end_free(b, &x);
		end_free(b, &y);
		end_free(b, &plain);
		bed_free(b);
	}
}

/* Across workers a bridge stands only when one of the two has moved: what comes before isn't passed on. */
static void end_bridge(struct bed *b, struct end *x, struct end *y)
{
	unsigned n = y->n;

	stream_bridge(x->seen->s, y->seen->s);
	while (y->n == n) {
		struct media_counters c = bed_counters(b);

		end_send(x, 0xff);
		WAIT_FOR(b, bed_counters(b).packets_received > c.packets_received);
		settle(b, x->seen->s); /* it is done with it */
		WAIT_FOR(b, (end_receive(y), y->n - n == bed_counters(b).packets_sent - c.packets_sent));
	}
}

static void test_secure_stream_survives_hold_and_handover(void **state)
{
	struct bed *b = bed_new((struct media_params){ .nworkers = 2, .streams_together = 1 });
	struct end x = end_new(b, SECURE_AES_CM_128_80, 10), y = end_new(b, SECURE_AEAD_AES_256_GCM, 30);

	(void)state;
	end_bridge(b, &x, &y); /* which moves y to the worker of x */
	for (unsigned n = 0; n < 60; n++)
		exchange(b, &x, &y, (uint8_t)n);
	for (int i = 0; i < 3; i++) {
		configure(&x, STREAM_SEND);
		configure(&x, STREAM_BOTH);
		configure(&y, STREAM_INACTIVE);
		configure(&y, STREAM_BOTH);
		stream_bridge(y.seen->s, x.seen->s);
		end_settle(b, &x, &y);
		for (unsigned n = 0; n < 10; n++)
			exchange(b, &x, &y, (uint8_t)n);
	}
	end_free(b, &x);
	end_free(b, &y);
	bed_free(b);
}

static void test_secure_stream_takes_nothing_plain(void **state)
{
	struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1 });
	struct end x = end_new(b, SECURE_AES_CM_128_80, 10), y = end_new(b, SECURE_NONE, 20);
	uint8_t noise[4096] = { 0x80, 0 };
	struct rtcp_report r = { .ssrc = 10 };
	size_t n;

	(void)state;
	stream_bridge(x.seen->s, y.seen->s);
	end_settle(b, &x, &y);
	peer_send(x.peer, stream_port(x.seen->s), 0, 1);
	send_to(x.peer->fd, stream_port(x.seen->s), noise, sizeof(noise));
	send_to(x.peer->fd, stream_port(x.seen->s), noise, 1);
	n = rtcp_print(noise, sizeof(noise), &r, "x");
	send_to(x.peer->fd, stream_port(x.seen->s), noise, n);
	send_to(x.peer->rtcp_fd, (uint16_t)(stream_port(x.seen->s) + 1), noise, n);
	WAIT_FOR(b, bed_counters(b).dropped_insecure == 5);
	assert_int_equal(bed_counters(b).packets_sent, 0);
	/* nor does a stranger who has read a packet get it through twice */
	exchange(b, &x, &y, 7);
	end_free(b, &x);
	end_free(b, &y);
	bed_free(b);
}

static void test_secure_reports_are_sealed_and_go_by_rtp_with_mux(void **state)
{
	(void)state;
	for (int mux = 0; mux < 2; mux++) {
		struct bed *b = bed_new_by_hand((struct media_params){ .nworkers = 1, .rtcp_interval_ms = 100 });
		struct end x = end_new(b, SECURE_AEAD_AES_128_GCM, 10);
		struct stream_config c = config_of(x.peer->port, CODEC_PCMU);
		struct rtcp_report r = { 0 };
		struct packet p = { 0 };
		ssize_t n = 0;

		c.security = &x.theirs;
		c.rtcp_mux = mux;
		stream_configure(x.seen->s, &c);
		settle(b, x.seen->s);
		end_send(&x, 1);
		WAIT_FOR(b, (n = recv(mux ? x.peer->fd : x.peer->rtcp_fd, p.p, sizeof(p.p), MSG_DONTWAIT)) > 0);
		assert_int_not_equal(rtcp_parse(&r, p.p, (size_t)n, x.peer->ssrc), 0);
		p.n = secure_open_rtcp(x.secure, p.p, (size_t)n);
		assert_true(p.n > 0);
		assert_int_equal(rtcp_parse(&r, p.p, p.n, x.peer->ssrc), 0);
		assert_true(r.has_block);
		assert_int_equal(r.block.highest, 65500);
		end_free(b, &x);
		bed_free(b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secure_derivation_is_rfc3711_b3),
		cmocka_unit_test(test_secure_packets_are_those_of_the_rfcs),
		cmocka_unit_test(test_secure_each_suite_goes_there_and_nothing_else_does),
		cmocka_unit_test(test_secure_rtcp),
		cmocka_unit_test(test_secure_late_packets_count_once_and_only_within_the_window),
		cmocka_unit_test(test_secure_mki_tells_the_key),
		cmocka_unit_test(test_secure_renewal_keeps_what_is_the_same),
		cmocka_unit_test(test_secure_many_sources_take_bounded_memory),
		cmocka_unit_test(test_secure_source_that_goes_on_is_not_forgotten),
		cmocka_unit_test(test_secure_refuses_what_cannot_be),
		cmocka_unit_test(test_secure_streams_of_all_kinds_are_bridged),
		cmocka_unit_test(test_secure_stream_survives_hold_and_handover),
		cmocka_unit_test(test_secure_stream_takes_nothing_plain),
		cmocka_unit_test(test_secure_reports_are_sealed_and_go_by_rtp_with_mux),
	};

	return cmocka_run_group_tests(tests, warm_up, NULL);
}

/* dtls_bed.h - what the tests of DTLS share: the time that OpenSSL goes by, and an end of OpenSSL's own, set up otherwise than ours.
 *
 * OpenSSL's timers ask gettimeofday(), which a test's program stands before that of libc.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/str.h"
#include "media/dtls.h"

static uint64_t clock_us;                /* as it is set, or: */
static uint64_t (*clock_of_bed)(void);

int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
	uint64_t us = clock_of_bed ? clock_of_bed() : clock_us;

	(void)tz;
	tv->tv_sec = (time_t)(us / 1000000);
	tv->tv_usec = (suseconds_t)(us % 1000000);
	return 0;
}

/* "sha-256 4A:..." */
static inline struct dtls_params params_by_text(const char *fingerprint, bool is_client, uint32_t number)
{
	struct dtls_params p = { .number = number, .is_client = is_client, .nfingerprints = 1, .fingerprints = { { .len = 32 } } };

	assert_int_equal(strncmp(fingerprint, "sha-256 ", 8), 0);
	for (unsigned i = 0; i < 32; i++)
		p.fingerprints[0].digest[i] = (uint8_t)strtoul(fingerprint + 8 + 3 * i, NULL, 16);
	return p;
}

static inline struct dtls_params params_of(const struct dtls_identity *peer, bool is_client, uint32_t number)
{
	return params_by_text(dtls_identity_fingerprint(peer), is_client, number);
}

/* ---- the end of OpenSSL's own ---- */

struct far {
	SSL_CTX *ctx;
	SSL *ssl;
	BIO *in, *out;
	bool is_client;
	unsigned n;
	size_t most;             /* bytes of its longest datagram */
	struct { size_t n; uint8_t p[2048]; } wire[64];
};

static inline int far_accepts_all(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static inline X509 *far_cert(EVP_PKEY *key)
{
	X509 *cert = X509_new();

	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

/* With a certificate of RSA, which ours isn't. profiles NULL: no SRTP. */
static inline struct far *far_new(const char *profiles, bool is_client, long mtu)
{
	struct far *f = calloc(1, sizeof(*f));
	EVP_PKEY *key = EVP_RSA_gen(2048);
	X509 *cert = far_cert(key);

	f->is_client = is_client;
	f->ctx = SSL_CTX_new(DTLS_method());
	SSL_CTX_set_verify(f->ctx, SSL_VERIFY_PEER, far_accepts_all);
	SSL_CTX_set_options(f->ctx, SSL_OP_NO_QUERY_MTU);
	assert_int_equal(SSL_CTX_use_certificate(f->ctx, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(f->ctx, key), 1);
	if (profiles)
		assert_int_equal(SSL_CTX_set_tlsext_use_srtp(f->ctx, profiles), 0);
	X509_free(cert);
	EVP_PKEY_free(key);
	f->ssl = SSL_new(f->ctx);
	f->in = BIO_new(BIO_s_mem());
	f->out = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(f->in, -1);
	SSL_set_bio(f->ssl, f->in, f->out);
	SSL_set_mtu(f->ssl, mtu ? mtu : 1400);
	if (is_client)
		SSL_set_connect_state(f->ssl);
	else
		SSL_set_accept_state(f->ssl);
	return f;
}

static inline void far_free(struct far *f)
{
	SSL_free(f->ssl);
	SSL_CTX_free(f->ctx);
	free(f);
}

/* What it has written, a record a datagram. */
static inline void far_drain(struct far *f)
{
	uint8_t *p;
	long left = BIO_get_mem_data(f->out, &p);

	while (left > 13) {
		size_t n = 13 + (size_t)(p[11] << 8 | p[12]);

		assert_true(f->n < ARRAY_LEN(f->wire) && n <= sizeof(f->wire[0].p) && n <= (size_t)left);
		memcpy(f->wire[f->n].p, p, n);
		f->wire[f->n++].n = n;
		f->most = n > f->most ? n : f->most;
		p += n;
		left -= (long)n;
	}
	(void)BIO_reset(f->out);
}

static inline void far_go(struct far *f)
{
	SSL_do_handshake(f->ssl);
	far_drain(f);
}

static inline void far_take(struct far *f, const uint8_t *p, size_t n)
{
	BIO_write(f->in, p, (int)n);
	far_go(f);
}

static inline struct dtls_params far_params(const struct far *f, bool is_client)
{
	struct dtls_params p = { .number = 1, .is_client = is_client, .nfingerprints = 1, .fingerprints = { { .len = 32 } } };
	unsigned n;

	assert_int_equal(X509_digest(SSL_get_certificate(f->ssl), EVP_sha256(), p.fingerprints[0].digest, &n), 1);
	return p;
}

/* RFC 5764 §4.2, by hand: ours are what it has exported, the other way round. */
static inline void far_assert_keys(struct far *f, const struct secure_params *ours)
{
	size_t len = secure_key_len(ours->suite), key = ours->suite == SECURE_AEAD_AES_256_GCM ? 32 : 16, salt = len - key;
	uint8_t text[2 * SECURE_KEY_MAX];
	const uint8_t *client_key = text, *server_key = text + key, *client_salt = text + 2 * key, *server_salt = text + 2 * key + salt;

	assert_true(SSL_is_init_finished(f->ssl));
	assert_int_equal(SSL_export_keying_material(f->ssl, text, 2 * len, "EXTRACTOR-dtls_srtp", 19, NULL, 0, 0), 1);
	assert_memory_equal(ours->recv[0].key, f->is_client ? client_key : server_key, key);
	assert_memory_equal(ours->recv[0].key + key, f->is_client ? client_salt : server_salt, salt);
	assert_memory_equal(ours->send.key, f->is_client ? server_key : client_key, key);
	assert_memory_equal(ours->send.key + key, f->is_client ? server_salt : client_salt, salt);
}

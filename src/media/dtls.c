/* dtls.c - DTLS associations by OpenSSL (see dtls.h).
 *
 * OpenSSL reads and writes through a BIO of ours that is one datagram deep: what it writes at once is one datagram, and what it may read is
 * the one at hand. Whether the peer's certificate is the right one is asked in the handshake, so that a wrong one ends it with an
 * alert before there are keys.
 */
#include "media/dtls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define RECORD_HEADER 13     /* RFC 6347 §4.1 */
#define TYPE_FIRST 20        /* change_cipher_spec */
#define TYPE_LAST 23         /* application_data */
#define TYPE_HANDSHAKE 22
#define CLIENT_HELLO 1
#define COOKIE_SECRET 32
#define CERT_LIST_MAX 16384  /* bytes of a peer's certificates: all that it may have us keep */
#define VALID_S (10L * 365 * 24 * 3600)
#define EXPORTER "EXTRACTOR-dtls_srtp"
/* RFC 5764 §4.1.2, RFC 7714 §14.2. */
#define PROFILES "SRTP_AEAD_AES_128_GCM:SRTP_AEAD_AES_256_GCM:SRTP_AES128_CM_SHA1_80"
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!PSK"

struct dtls_identity {
	SSL_CTX *ctx;
	BIO_METHOD *bio;
	uint8_t cookie_secret[COOKIE_SECRET];
	char fingerprint[8 + 3 * 32];
};

struct dtls {
	const struct dtls_identity *id;
	struct dtls_params params;
	SSL *ssl;
	void (*send)(const uint8_t *p, size_t n, void *arg);
	void *arg;
	const uint8_t *in;           /* the datagram at hand; NULL: none */
	size_t in_len;
	const struct addr *from;     /* of it, while its address is to be shown */
	bool is_wrong;               /* the certificate */
	bool is_done;
};

/* ---- datagrams to and from OpenSSL ---- */

static int bio_read(BIO *b, char *buf, int size)
{
	struct dtls *d = BIO_get_data(b);
	size_t n = d->in_len;

	BIO_clear_retry_flags(b);
	if (!d->in || size <= 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	if (n > (size_t)size) /* as of a socket: what doesn't fit is gone */
		n = (size_t)size;
	memcpy(buf, d->in, n);
	d->in = NULL;
	return (int)n;
}

static int bio_write(BIO *b, const char *buf, int n)
{
	struct dtls *d = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	if (n > 0)
		d->send((const uint8_t *)buf, (size_t)n, d->arg);
	return n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

/* ---- who we are, and who they are ---- */

static int make_cert(X509 *cert, EVP_PKEY *key)
{
	X509_NAME *name = X509_get_subject_name(cert);
	uint64_t serial;

	if (RAND_bytes((unsigned char *)&serial, sizeof(serial)) != 1)
		return -EIO;
	if (!X509_set_version(cert, X509_VERSION_3) || !ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) ||
	    !X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 3600) || !X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S) ||
	    !X509_set_pubkey(cert, key) ||
	    !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"cordboard", -1, -1, 0) ||
	    !X509_set_issuer_name(cert, name) || !X509_sign(cert, key, EVP_sha256()))
		return -EIO;
	return 0;
}

static int print_fingerprint(struct dtls_identity *id, const X509 *cert)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n;
	int at;

	if (!X509_digest(cert, EVP_sha256(), digest, &n))
		return -EIO;
	at = snprintf(id->fingerprint, sizeof(id->fingerprint), "sha-256");
	for (unsigned i = 0; i < n; i++)
		at += snprintf(id->fingerprint + at, sizeof(id->fingerprint) - (size_t)at, "%c%02X", i ? ':' : ' ', digest[i]);
	return 0;
}

static const EVP_MD *function_of(uint8_t len)
{
	switch (len) {
	case 20: return EVP_sha1();
	case 28: return EVP_sha224();
	case 32: return EVP_sha256();
	case 48: return EVP_sha384();
	case 64: return EVP_sha512();
	default: return NULL;
	}
}

static bool is_theirs(const struct dtls_params *p, const X509 *cert)
{
	for (unsigned i = 0; i < p->nfingerprints; i++) {
		const struct dtls_fingerprint *f = &p->fingerprints[i];
		const EVP_MD *md = function_of(f->len);
		uint8_t digest[EVP_MAX_MD_SIZE];
		unsigned n;

		if (md && X509_digest(cert, md, digest, &n) && n == f->len && !memcmp(digest, f->digest, n))
			return true;
	}
	return false;
}

/* In the place of the whole verification of a chain. */
static int on_certificate(X509_STORE_CTX *store, void *arg)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
	const X509 *cert = X509_STORE_CTX_get0_cert(store);
	struct dtls *d = SSL_get_app_data(ssl);

	(void)arg;
	if (cert && is_theirs(&d->params, cert))
		return 1;
	d->is_wrong = true;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
	return 0;
}

/* Of an address, so that nothing need be kept of whom it was given to. */
static int cookie_of(const struct dtls *d, unsigned char *out, unsigned *len)
{
	uint8_t mac[EVP_MAX_MD_SIZE];
	unsigned n;

	if (!d->from || !HMAC(EVP_sha256(), d->id->cookie_secret, COOKIE_SECRET, (const uint8_t *)d->from, addr_len(d->from), mac, &n))
		return 0;
	*len = 16;
	memcpy(out, mac, *len);
	return 1;
}

static int on_cookie_wanted(SSL *ssl, unsigned char *out, unsigned *len)
{
	return cookie_of(SSL_get_app_data(ssl), out, len);
}

static int on_cookie(SSL *ssl, const unsigned char *cookie, unsigned len)
{
	unsigned char want[16];
	unsigned n;

	return cookie_of(SSL_get_app_data(ssl), want, &n) && len == n && !CRYPTO_memcmp(cookie, want, n);
}

static int make_context(struct dtls_identity *id, X509 *cert, EVP_PKEY *key)
{
	SSL_CTX *c = id->ctx;

	SSL_CTX_set_options(c, SSL_OP_NO_QUERY_MTU | SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_verify(c, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(c, on_certificate, NULL);
	SSL_CTX_set_cookie_generate_cb(c, on_cookie_wanted);
	SSL_CTX_set_cookie_verify_cb(c, on_cookie);
	SSL_CTX_set_max_cert_list(c, CERT_LIST_MAX);
	return SSL_CTX_set_min_proto_version(c, DTLS1_2_VERSION) && SSL_CTX_set_cipher_list(c, CIPHERS) &&
	       SSL_CTX_use_certificate(c, cert) == 1 && SSL_CTX_use_PrivateKey(c, key) == 1 &&
	       SSL_CTX_set_tlsext_use_srtp(c, PROFILES) == 0 /* this one says 0 when it has */
		       ? 0 : -EIO;
}

static int make_bio(struct dtls_identity *id)
{
	id->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "datagram");
	return id->bio && BIO_meth_set_read(id->bio, bio_read) && BIO_meth_set_write(id->bio, bio_write) &&
	       BIO_meth_set_ctrl(id->bio, bio_ctrl) ? 0 : -ENOMEM;
}

int dtls_identity_new(struct dtls_identity **out)
{
	struct dtls_identity *id = calloc(1, sizeof(*id));
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	int err = -ENOMEM;

	if (!id || !key || !cert)
		goto out;
	id->ctx = SSL_CTX_new(DTLS_method());
	if (!id->ctx)
		goto out;
	err = RAND_bytes(id->cookie_secret, sizeof(id->cookie_secret)) == 1 ? make_cert(cert, key) : -EIO;
	if (!err)
		err = print_fingerprint(id, cert);
	if (!err)
		err = make_context(id, cert, key);
	if (!err)
		err = make_bio(id);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	ERR_clear_error();
	if (err)
		dtls_identity_free(id);
	else
		*out = id;
	return err;
}

void dtls_identity_free(struct dtls_identity *id)
{
	if (!id)
		return;
	SSL_CTX_free(id->ctx);
	BIO_meth_free(id->bio);
	free(id);
}

const char *dtls_identity_fingerprint(const struct dtls_identity *id)
{
	return id->fingerprint;
}

/* ---- an association ---- */

/* In microseconds: the first, and what follows last_us. */
static unsigned next_flight_us(SSL *ssl, unsigned last_us)
{
	(void)ssl;
	if (!last_us)
		return DTLS_FLIGHT_MS * 1000;
	return last_us * 2 > DTLS_FLIGHT_MAX_MS * 1000 ? DTLS_FLIGHT_MAX_MS * 1000 : last_us * 2;
}

int dtls_new(struct dtls **out, const struct dtls_identity *id, const struct dtls_params *p,
	     void (*send)(const uint8_t *p, size_t n, void *arg), void *arg)
{
	struct dtls *d = calloc(1, sizeof(*d));
	BIO *bio;

	if (!d)
		return -ENOMEM;
	d->id = id;
	d->params = *p;
	d->send = send;
	d->arg = arg;
	d->ssl = SSL_new(id->ctx);
	bio = d->ssl ? BIO_new(id->bio) : NULL;
	if (!bio) {
		dtls_free(d);
		ERR_clear_error();
		return -ENOMEM;
	}
	BIO_set_data(bio, d);
	BIO_set_init(bio, 1);
	SSL_set_bio(d->ssl, bio, bio); /* takes the one reference for both */
	SSL_set_app_data(d->ssl, d);
	SSL_set_mtu(d->ssl, DTLS_MTU);
	DTLS_set_timer_cb(d->ssl, next_flight_us);
	if (p->is_client)
		SSL_set_connect_state(d->ssl);
	else
		SSL_set_accept_state(d->ssl);
	*out = d;
	return 0;
}

void dtls_redirect(struct dtls *d, void *arg)
{
	d->arg = arg;
}

void dtls_free(struct dtls *d)
{
	if (!d)
		return;
	SSL_free(d->ssl);
	free(d);
}

/* What a call of OpenSSL has come to. */
static enum dtls_status status_of(struct dtls *d, int ret)
{
	int why = ret > 0 ? SSL_ERROR_NONE : SSL_get_error(d->ssl, ret);

	ERR_clear_error(); /* it is the thread's, and the next one's, too */
	if (d->is_wrong)
		return DTLS_WRONG_CERTIFICATE;
	if (ret > 0)
		d->is_done = true;
	else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
		return d->is_done ? DTLS_DONE : DTLS_BROKEN; /* an end after the keys were agreed on: SRTP goes on until signalling ends it */
	return d->is_done ? DTLS_DONE : DTLS_GOING;
}

enum dtls_status dtls_start(struct dtls *d)
{
	return status_of(d, SSL_do_handshake(d->ssl));
}

bool dtls_listen(struct dtls *d, const struct addr *from, const uint8_t *p, size_t n, enum dtls_status *status)
{
	BIO_ADDR *nowhere = BIO_ADDR_new();
	int ret = -1;

	*status = DTLS_GOING;
	if (nowhere) {
		d->in = p;
		d->in_len = n;
		d->from = from;
		ret = DTLSv1_listen(d->ssl, nowhere);
		d->in = NULL;
		if (ret > 0)
			*status = dtls_start(d);
		d->from = NULL;
		BIO_ADDR_free(nowhere);
	}
	ERR_clear_error();
	return ret > 0;
}

enum dtls_status dtls_take(struct dtls *d, const uint8_t *p, size_t n)
{
	enum dtls_status status;
	uint8_t none[64];

	d->in = p;
	d->in_len = n;
	/* A datagram may hold several records, and end the handshake with the first. */
	if (!d->is_done) {
		status = status_of(d, SSL_do_handshake(d->ssl));
	} else {
		SSL_read(d->ssl, none, sizeof(none)); /* nobody sends us anything in it */
		ERR_clear_error();
		status = DTLS_DONE;
	}
	d->in = NULL;
	return status;
}

int dtls_wait_ms(struct dtls *d)
{
	struct timeval left;

	if (d->is_done || !DTLSv1_get_timeout(d->ssl, &left))
		return -1;
	return (int)(left.tv_sec * 1000 + (left.tv_usec + 999) / 1000);
}

enum dtls_status dtls_timeout(struct dtls *d)
{
	int ret = DTLSv1_handle_timeout(d->ssl);

	ERR_clear_error();
	return ret < 0 ? DTLS_BROKEN : d->is_done ? DTLS_DONE : DTLS_GOING;
}

/* ---- keys ---- */

static enum secure_suite suite_of(const SSL *ssl)
{
	const SRTP_PROTECTION_PROFILE *p = SSL_get_selected_srtp_profile((SSL *)ssl);

	switch (p ? p->id : 0) {
	case SRTP_AES128_CM_SHA1_80: return SECURE_AES_CM_128_80;
	case SRTP_AEAD_AES_128_GCM: return SECURE_AEAD_AES_128_GCM;
	case SRTP_AEAD_AES_256_GCM: return SECURE_AEAD_AES_256_GCM;
	default: return SECURE_NONE;
	}
}

/* RFC 5764 §4.2: both keys, then both salts, the client's first. */
int dtls_keys(struct dtls *d, struct secure_params *out)
{
	enum secure_suite suite = suite_of(d->ssl);
	size_t len = secure_key_len(suite), key = suite == SECURE_AEAD_AES_256_GCM ? 32 : 16, salt = len - key;
	uint8_t text[2 * SECURE_KEY_MAX];
	struct secure_key keys[2] = { 0 };

	if (!suite || SSL_export_keying_material(d->ssl, text, 2 * len, EXPORTER, strlen(EXPORTER), NULL, 0, 0) != 1) {
		ERR_clear_error();
		return -EIO;
	}
	for (unsigned i = 0; i < 2; i++) {
		memcpy(keys[i].key, text + i * key, key);
		memcpy(keys[i].key + key, text + 2 * key + i * salt, salt);
	}
	*out = (struct secure_params){ .suite = suite, .send = keys[!d->params.is_client], .nrecv = 1, .recv = { keys[d->params.is_client] } };
	explicit_bzero(text, sizeof(text));
	explicit_bzero(keys, sizeof(keys));
	return 0;
}

/* ---- looks from outside ---- */

bool dtls_is_record(const uint8_t *p, size_t n)
{
	return n > RECORD_HEADER && p[0] >= TYPE_FIRST && p[0] <= TYPE_LAST && p[1] == 0xfe;
}

bool dtls_is_hello(const uint8_t *p, size_t n)
{
	return dtls_is_record(p, n) && p[0] == TYPE_HANDSHAKE && p[3] == 0 && p[4] == 0 /* epoch */ && p[RECORD_HEADER] == CLIENT_HELLO;
}

bool dtls_is_same_peer(const struct dtls_params *a, const struct dtls_params *b)
{
	return a->nfingerprints == b->nfingerprints && !memcmp(a->fingerprints, b->fingerprints, a->nfingerprints * sizeof(a->fingerprints[0]));
}

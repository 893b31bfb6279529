/* tls.c - OpenSSL between two memory buffers. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "sip/cert.h"
#include "sip/tls_int.h"

#define WAITING_MAX (64 * 1024) /* plain bytes kept until the handshake is over: a few messages */

struct tls {
	SSL *ssl;
	struct tls_certs *certs; /* those it may show: chosen when the peer says whom it calls */
	BIO *in, *out;      /* the SSL's */
	bool checks_peer, needs_ocsp;
	char *name;         /* called; NULL: none, or we were called */
	char *identities;   /* of the peer's certificate, as cert_identities() has them; NULL: nobody has asked yet */
	char *waiting;      /* written before the end of the handshake */
	size_t nwaiting;
};

/* ---- connections ---- */

static int tls_new(struct tls **out, struct tls_context *c)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ssl = SSL_new(c->certs->ssl[0]);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (!t->ssl || !t->in || !t->out) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		return -ENOMEM;
	}
	SSL_set_bio(t->ssl, t->in, t->out);
	t->certs = tls_certs_ref(c->certs);
	*out = t;
	return 0;
}

int tls_accept(struct tls **out, struct tls_context *c)
{
	int err = tls_new(out, c);

	if (err)
		return err;
	(*out)->checks_peer = c->p.needs_client;
	SSL_set_accept_state((*out)->ssl);
	return 0;
}

/* What SSL says of its last call, as ours. 0: it only wants more bytes. */
static int verdict(struct tls *t, int r)
{
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_NONE:
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -ECONNRESET;
	default:
		ERR_clear_error();
		return -EPROTO;
	}
}

static int flush_waiting(struct tls *t)
{
	char *plain = t->waiting;
	size_t n = t->nwaiting;
	int err;

	t->waiting = NULL;
	t->nwaiting = 0;
	err = n ? tls_write(t, (struct str){ plain, n }) : 0;
	free(plain);
	return err;
}

/* Where OpenSSL doesn't look for what is revoked: it would refuse whoever's authority has no list here. */
static bool is_revoked(const struct tls *t, SSL_CTX *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(t->ssl);

	return chain && cert_is_revoked(chain, SSL_CTX_get_cert_store(ssl));
}

static bool is_good(const struct tls *t)
{
	return SSL_get_verify_result(t->ssl) == X509_V_OK && !is_revoked(t, SSL_get_SSL_CTX(t->ssl));
}

/* What the server shows of its certificate's standing (RFC 6066 §8). */
static bool is_vouched_for(const struct tls *t)
{
	enum ocsp_word word = SSL_is_server(t->ssl) ? OCSP_GOOD : ocsp_of_peer(t->ssl);

	return word == OCSP_GOOD || (word == OCSP_SILENT && !t->needs_ocsp);
}

static int shake_hands(struct tls *t)
{
	int err;

	if (SSL_is_init_finished(t->ssl))
		return 0;
	ERR_clear_error();
	err = verdict(t, SSL_do_handshake(t->ssl));
	if (err || !SSL_is_init_finished(t->ssl))
		return err;
	if (t->checks_peer && (!is_good(t) || !is_vouched_for(t) || (t->name && !tls_peer_is(t, t->name))))
		return -EACCES;
	return flush_waiting(t);
}

static bool is_address(const char *name)
{
	unsigned char buf[sizeof(struct in6_addr)];

	return inet_pton(AF_INET, name, buf) == 1 || inet_pton(AF_INET6, name, buf) == 1;
}

int tls_connect(struct tls **out, struct tls_context *c, const char *name)
{
	struct tls *t;
	int err = tls_new(&t, c);

	if (err)
		return err;
	t->checks_peer = c->p.checks_server;
	t->needs_ocsp = c->p.needs_ocsp;
	SSL_set_connect_state(t->ssl);
	if (t->checks_peer)
		SSL_set_tlsext_status_type(t->ssl, TLSEXT_STATUSTYPE_ocsp);
	if (name) {
		t->name = strdup(name);
		/* RFC 6066 §3: no addresses */
		if (!t->name || (!is_address(name) && SSL_set_tlsext_host_name(t->ssl, name) != 1)) {
			tls_free(t);
			return -ENOMEM;
		}
	}
	err = shake_hands(t); /* makes the ClientHello */
	if (err) {
		tls_free(t);
		return err;
	}
	*out = t;
	return 0;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl); /* and its BIOs */
	tls_certs_unref(t->certs);
	free(t->name);
	free(t->identities);
	free(t->waiting);
	free(t);
}

int tls_receive(struct tls *t, const char *bytes, size_t n)
{
	if (n > INT32_MAX || BIO_write(t->in, bytes, (int)n) != (int)n)
		return -ENOMEM;
	return shake_hands(t);
}

ssize_t tls_read(struct tls *t, char *buf, size_t size)
{
	int n;

	if (!SSL_is_init_finished(t->ssl))
		return 0;
	ERR_clear_error();
	n = SSL_read(t->ssl, buf, size > INT32_MAX ? INT32_MAX : (int)size);
	return n > 0 ? n : verdict(t, n);
}

static int keep(struct tls *t, struct str plain)
{
	char *more;

	if (t->nwaiting + plain.n > WAITING_MAX)
		return -ENOBUFS;
	more = realloc(t->waiting, t->nwaiting + plain.n);
	if (!more)
		return -ENOMEM;
	memcpy(more + t->nwaiting, plain.p, plain.n);
	t->waiting = more;
	t->nwaiting += plain.n;
	return 0;
}

int tls_write(struct tls *t, struct str plain)
{
	if (!plain.n)
		return 0;
	if (!SSL_is_init_finished(t->ssl))
		return keep(t, plain);
	while (plain.n) {
		int n;

		ERR_clear_error();
		n = SSL_write(t->ssl, plain.p, plain.n > INT32_MAX ? INT32_MAX : (int)plain.n);
		if (n <= 0) /* memory is never full: it can't be waiting for anything */
			return verdict(t, n) == -ECONNRESET ? -ECONNRESET : -EPROTO;
		plain.p += n;
		plain.n -= (size_t)n;
	}
	return 0;
}

void tls_close(struct tls *t)
{
	if (SSL_is_init_finished(t->ssl))
		SSL_shutdown(t->ssl);
	ERR_clear_error();
}

struct str tls_output(const struct tls *t)
{
	char *p;
	long n = BIO_get_mem_data(t->out, &p);

	return (struct str){ n > 0 ? p : "", n > 0 ? (size_t)n : 0 };
}

void tls_output_sent(struct tls *t)
{
	(void)BIO_reset(t->out);
}

/* ---- who the peer is ---- */

bool tls_is_established(const struct tls *t)
{
	return SSL_is_init_finished(t->ssl);
}

const char *tls_version(const struct tls *t)
{
	return SSL_get_version(t->ssl);
}

bool tls_is_revoked(const struct tls *t, const struct tls_context *c)
{
	return tls_context_revokes(c, t->ssl);
}

/* The one shown, if an authority vouches for it. */
static X509 *good_certificate(const struct tls *t)
{
	X509 *cert = SSL_is_init_finished(t->ssl) ? SSL_get0_peer_certificate(t->ssl) : NULL; /* before, it may not be its own */

	return cert && is_good(t) ? cert : NULL;
}

bool tls_peer_is(const struct tls *t, const char *domain)
{
	X509 *cert = good_certificate(t);

	return cert && cert_is_for(cert, domain);
}

const char *tls_peer_identity(struct tls *t, unsigned i)
{
	const char *one;

	if (!t->identities && SSL_is_init_finished(t->ssl)) {
		X509 *cert = good_certificate(t);

		t->identities = cert ? cert_identities(cert) : calloc(1, 1);
	}
	one = t->identities;
	while (one && *one && i--)
		one += strlen(one) + 1;
	return one && *one ? one : NULL;
}

/* tls.c - OpenSSL between two memory buffers. */
#define LOG_MODULE "tls"
#include "sip/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sip/cert.h"

#define WAITING_MAX (64 * 1024) /* plain bytes kept until the handshake is over: a few messages */

struct tls_context {
	struct tls_context_params p;
	char *cert, *key, *ca;
	struct timespec changed;  /* the latest change of the files read */
	SSL_CTX *ssl;
};

struct tls {
	SSL *ssl;
	BIO *in, *out;      /* the SSL's */
	bool checks_peer;
	char *name;         /* called; NULL: none, or we were called */
	char *domains;      /* of the peer's certificate, as cert_domains() has them; NULL: nobody has asked yet */
	char *waiting;      /* written before the end of the handshake */
	size_t nwaiting;
};

/* ---- contexts ---- */

static const char *ssl_error(char buf[160])
{
	unsigned long code = ERR_peek_last_error();

	ERR_error_string_n(code, buf, 160);
	ERR_clear_error();
	return buf;
}

static int load_files(const struct tls_context *c, SSL_CTX *ssl)
{
	if (c->cert && (SSL_CTX_use_certificate_chain_file(ssl, c->cert) != 1 ||
			SSL_CTX_use_PrivateKey_file(ssl, c->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ssl) != 1))
		return -EINVAL;
	if (c->ca ? SSL_CTX_load_verify_file(ssl, c->ca) != 1 : SSL_CTX_set_default_verify_paths(ssl) != 1)
		return -EINVAL;
	return 0;
}

/* The chain is looked at when the handshake is over (shake_hands): a client without a certificate may be good enough. */
static int go_on(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static int context_load(const struct tls_context *c, SSL_CTX **out)
{
	SSL_CTX *ssl = SSL_CTX_new(TLS_method());
	char why[160];
	int err;

	if (!ssl)
		return -ENOMEM;
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* A phone that is idle for an hour holds no buffers. */
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"sip", 3);
	if (c->p.asks_client || c->p.needs_client)
		SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | (c->p.needs_client ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), go_on);
	err = load_files(c, ssl);
	if (err) {
		log_error(c->p.log, "certificate %s, key %s, authorities %s: %s", c->cert ? c->cert : "-", c->key ? c->key : "-",
			  c->ca ? c->ca : "-", ssl_error(why));
		SSL_CTX_free(ssl);
		return err;
	}
	*out = ssl;
	return 0;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

/* By the time of change, which renaming a new file into place sets as well. */
static struct timespec files_changed(const struct tls_context *c)
{
	const char *const paths[] = { c->cert, c->key, c->ca };
	struct timespec latest = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct stat st;

		if (paths[i] && stat(paths[i], &st) == 0 && is_later(&st.st_ctim, &latest))
			latest = st.st_ctim;
	}
	return latest;
}

static int copy_path(char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

int tls_context_new(struct tls_context **out, const struct tls_context_params *p)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->p = *p;
	err = copy_path(&c->cert, p->cert);
	if (!err)
		err = copy_path(&c->key, p->key ? p->key : p->cert);
	if (!err)
		err = copy_path(&c->ca, p->ca);
	if (!err) {
		c->changed = files_changed(c);
		err = context_load(c, &c->ssl);
	}
	if (err) {
		tls_context_free(c);
		return err;
	}
	*out = c;
	return 0;
}

int tls_context_reload(struct tls_context *c)
{
	struct timespec changed = files_changed(c);
	SSL_CTX *ssl;
	int err = context_load(c, &ssl);

	c->changed = changed; /* broken files are not tried, and logged, over and over */
	if (err)
		return err;
	/* Connections hold the former one themselves. */
	SSL_CTX_free(c->ssl);
	c->ssl = ssl;
	return 0;
}

void tls_context_refresh(struct tls_context *c)
{
	struct timespec changed = files_changed(c);

	if (is_later(&changed, &c->changed) && tls_context_reload(c) == 0)
		log_info(c->p.log, "certificate %s read again", c->cert ? c->cert : "-");
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ssl);
	free(c->cert);
	free(c->key);
	free(c->ca);
	free(c);
}

/* The first thing in a handshake: it goes on with what c has now. */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *c = arg;

	SSL_set_SSL_CTX(ssl, c->ssl);
	if (c->p.needs_client)
		SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	else if (c->p.asks_client)
		SSL_set_verify(ssl, SSL_VERIFY_PEER, go_on);
	(void)alert;
	return SSL_CLIENT_HELLO_SUCCESS;
}

void tls_context_serve(const struct tls_context *c, void *ssl_ctx)
{
	SSL_CTX *ssl = ssl_ctx;

	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"sip", 3);
	SSL_CTX_set_tlsext_servername_callback(ssl, NULL);
	SSL_CTX_set_client_hello_cb(ssl, on_hello, (void *)c);
}

/* ---- connections ---- */

static int tls_new(struct tls **out, struct tls_context *c)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->ssl = SSL_new(c->ssl);
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

static int shake_hands(struct tls *t)
{
	int err;

	if (SSL_is_init_finished(t->ssl))
		return 0;
	ERR_clear_error();
	err = verdict(t, SSL_do_handshake(t->ssl));
	if (err || !SSL_is_init_finished(t->ssl))
		return err;
	if (t->checks_peer && (SSL_get_verify_result(t->ssl) != X509_V_OK || (t->name && !tls_peer_is(t, t->name))))
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
	SSL_set_connect_state(t->ssl);
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
	free(t->name);
	free(t->domains);
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

/* The one shown, if an authority vouches for it. */
static X509 *good_certificate(const struct tls *t)
{
	X509 *cert = SSL_is_init_finished(t->ssl) ? SSL_get0_peer_certificate(t->ssl) : NULL; /* before, it may not be its own */

	return cert && SSL_get_verify_result(t->ssl) == X509_V_OK ? cert : NULL;
}

bool tls_peer_is(const struct tls *t, const char *domain)
{
	X509 *cert = good_certificate(t);

	return cert && cert_is_for(cert, domain);
}

const char *tls_peer_domain(struct tls *t, unsigned i)
{
	X509 *cert = t->domains ? NULL : good_certificate(t);
	const char *domain;

	if (cert)
		t->domains = cert_domains(cert);
	domain = t->domains;
	while (domain && *domain && i--)
		domain += strlen(domain) + 1;
	return domain && *domain ? domain : NULL;
}

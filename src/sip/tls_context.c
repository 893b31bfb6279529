/* tls_context.c - certificates: files read, read again when they change, and chosen by the name that a client calls (RFC 6066 §3).
 *
 * A set of SSL_CTXs, one for each certificate, is made as a whole or not at all, and takes the place of the former one. Who is in the
 * middle of a handshake keeps the set that it began with.
 */
#define LOG_MODULE "tls"
#include "sip/tls_int.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sip/cert.h"

#define HANDSHAKE_MAX_S 60 /* whoever takes longer has been closed long ago */

/* ---- one certificate ---- */

/* Why a file isn't good, for the log, and as errno: the system's where it can't be read (ENOENT, EACCES), ENOMEM, else EINVAL. OpenSSL's
 * first error is the cause; the others say where it was met. */
static int ssl_error(char buf[160])
{
	unsigned long code = ERR_peek_error();
	int reason = ERR_GET_REASON(code);

	ERR_error_string_n(code, buf, 160);
	ERR_clear_error();
	if (ERR_SYSTEM_ERROR(code) && reason > 0)
		return -reason;
	return reason == ERR_R_MALLOC_FAILURE ? -ENOMEM : -EINVAL;
}

/* A session that goes on with an earlier handshake would show no chain, in which something may have been revoked since. */
static void never_resume(SSL_CTX *ssl)
{
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ssl, 0);
}

/* They are only kept with the authorities: cert_is_revoked() looks at them. */
static int load_revoked(const struct tls_context *c, SSL_CTX *ssl)
{
	X509_LOOKUP *lookup = X509_STORE_add_lookup(SSL_CTX_get_cert_store(ssl), X509_LOOKUP_file());

	never_resume(ssl);
	return lookup && X509_load_crl_file(lookup, c->crl, X509_FILETYPE_PEM) > 0 ? 0 : -EINVAL;
}

static int load_files(const struct tls_context *c, const struct tls_pair *pair, SSL_CTX *ssl)
{
	if (pair->cert && (SSL_CTX_use_certificate_chain_file(ssl, pair->cert) != 1 ||
			   SSL_CTX_use_PrivateKey_file(ssl, pair->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ssl) != 1))
		return -EINVAL;
	if (c->ca ? SSL_CTX_load_verify_file(ssl, c->ca) != 1 : SSL_CTX_set_default_verify_paths(ssl) != 1)
		return -EINVAL;
	return c->crl ? load_revoked(c, ssl) : 0;
}

/* The chain is looked at when the handshake is over (shake_hands): a client without a certificate may be good enough. */
static int go_on(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static void refuse(const struct tls_context *c, const struct tls_pair *pair, const char *why)
{
	char text[TLS_WHY_MAX];

	snprintf(text, sizeof(text), "certificate %s, key %s, authorities %s, revoked %s: %s", pair->cert ? pair->cert : "-",
		 pair->key ? pair->key : "-", c->ca ? c->ca : "-", c->crl ? c->crl : "-", why);
	if (c->p.why)
		strcpy(c->p.why, text);
	else
		log_error(c->p.log, "%s", text);
}

static int load_pair(const struct tls_context *c, const struct tls_pair *pair, SSL_CTX **out)
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
	ERR_clear_error();
	err = load_files(c, pair, ssl);
	if (err) {
		err = ssl_error(why);
		refuse(c, pair, why);
		SSL_CTX_free(ssl);
		return err;
	}
	*out = ssl;
	return 0;
}

/* ---- all of them ---- */

struct tls_certs *tls_certs_ref(struct tls_certs *certs)
{
	certs->refs++;
	return certs;
}

void tls_certs_unref(struct tls_certs *certs)
{
	if (!certs || --certs->refs)
		return;
	for (unsigned i = 0; i < certs->n; i++) {
		SSL_CTX_free(certs->ssl[i]);
		ocsp_staple_free(certs->staples[i]);
	}
	free(certs->staples);
	free(certs);
}

/* Those that no handshake can be in the middle of any more; with now 0 all. */
static void drop_former(struct tls_context *c, time_t now)
{
	struct tls_certs **at = &c->former;

	while (*at) {
		struct tls_certs *certs = *at;

		if (now && now - certs->retired < HANDSHAKE_MAX_S) {
			at = &certs->former;
			continue;
		}
		*at = certs->former;
		tls_certs_unref(certs);
	}
}

/* Without it the certificate is as good as before: nobody is refused for a file that is missing or old. */
static void load_staple(const struct tls_context *c, const struct tls_pair *pair, SSL_CTX *ssl, struct ocsp_staple **out)
{
	int err = pair->ocsp ? ocsp_staple_read(out, pair->ocsp, SSL_CTX_get0_certificate(ssl)) : 0;

	if (err)
		log_warn(c->p.why ? NULL : c->p.log, "certificate %s is shown without %s: %s", pair->cert, pair->ocsp, strerror(-err));
	else if (*out)
		ocsp_staple_show(*out, ssl);
}

/* A client has said whom it calls, or hasn't: the first certificate for that name, else the first of all (RFC 6066 §3 leaves us that). The
 * handshake goes on with a context that doesn't call this: after a second ClientHello (RFC 8446 §4.1.4) the set may be gone, where only
 * the context is held. */
static int on_name(SSL *ssl, int *alert, void *arg)
{
	const struct tls_certs *certs = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	unsigned at = name ? 1 : certs->n;

	(void)alert;
	for (; at < certs->n; at++) {
		X509 *cert = SSL_CTX_get0_certificate(certs->ssl[at]);

		if (cert && cert_suits(cert, name))
			break;
	}
	if (!SSL_set_SSL_CTX(ssl, certs->ssl[at < certs->n ? at : 1]))
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return at < certs->n ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static int load(const struct tls_context *c, struct tls_certs **out)
{
	unsigned chooser = c->npairs > 1; /* of several, the first context chooses among those behind it */
	struct tls_certs *certs = calloc(1, sizeof(*certs) + (chooser + c->npairs) * sizeof(certs->ssl[0]));
	int err;

	if (!certs)
		return -ENOMEM;
	certs->refs = 1;
	certs->staples = calloc(chooser + c->npairs, sizeof(*certs->staples));
	err = certs->staples ? 0 : -ENOMEM;
	for (unsigned i = 0; !err && i < chooser + c->npairs; i++) {
		const struct tls_pair *pair = &c->pairs[i ? i - chooser : 0];

		err = load_pair(c, pair, &certs->ssl[i]);
		certs->n += !err;
		if (!err)
			load_staple(c, pair, certs->ssl[i], &certs->staples[i]);
	}
	if (err) {
		tls_certs_unref(certs);
		return err;
	}
	if (chooser) {
		SSL_CTX_set_tlsext_servername_callback(certs->ssl[0], on_name);
		SSL_CTX_set_tlsext_servername_arg(certs->ssl[0], certs);
	}
	*out = certs;
	return 0;
}

/* ---- contexts ---- */

static bool is_later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static void look_at(const char *path, struct timespec *latest)
{
	struct stat st;

	if (path && stat(path, &st) == 0 && is_later(&st.st_ctim, latest))
		*latest = st.st_ctim;
}

/* By the time of change, which renaming a new file into place sets as well. */
static struct timespec files_changed(const struct tls_context *c)
{
	struct timespec latest = { 0 };

	for (unsigned i = 0; i < c->npairs; i++) {
		look_at(c->pairs[i].cert, &latest);
		look_at(c->pairs[i].key, &latest);
		look_at(c->pairs[i].ocsp, &latest);
	}
	look_at(c->ca, &latest);
	look_at(c->crl, &latest);
	return latest;
}

static int copy_path(const char **to, const char *from)
{
	*to = from ? strdup(from) : NULL;
	return from && !*to ? -ENOMEM : 0;
}

static int add_pair(struct tls_context *c, const struct tls_pair *from)
{
	struct tls_pair *pair = &c->pairs[c->npairs++];
	int err = copy_path(&pair->cert, from->cert);

	if (!err)
		err = copy_path(&pair->ocsp, from->ocsp);
	return err ? err : copy_path(&pair->key, from->key ? from->key : from->cert);
}

static int copy_paths(struct tls_context *c, const struct tls_context_params *p)
{
	int err;

	c->pairs = calloc(1 + (size_t)p->nmore, sizeof(*c->pairs));
	if (!c->pairs)
		return -ENOMEM;
	err = add_pair(c, &(struct tls_pair){ .cert = p->cert, .key = p->key, .ocsp = p->ocsp });
	for (unsigned i = 0; i < p->nmore && !err; i++)
		err = add_pair(c, &p->more[i]);
	if (!err)
		err = copy_path((const char **)&c->ca, p->ca);
	return err ? err : copy_path((const char **)&c->crl, p->crl);
}

int tls_context_new(struct tls_context **out, const struct tls_context_params *p)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	int err;

	if (!c)
		return -ENOMEM;
	c->p = *p;
	err = copy_paths(c, p);
	if (!err) {
		c->changed = files_changed(c);
		err = load(c, &c->certs);
	}
	c->p.why = NULL; /* of now alone: what becomes of the files later is logged */
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
	struct tls_certs *certs;
	int err = load(c, &certs);

	c->changed = changed; /* broken files are not tried, and logged, over and over */
	if (err)
		return err;
	c->certs->retired = time(NULL);
	c->certs->former = c->former;
	c->former = c->certs;
	c->certs = certs;
	return 0;
}

bool tls_context_refresh(struct tls_context *c)
{
	struct timespec changed = files_changed(c);

	drop_former(c, time(NULL));
	if (!is_later(&changed, &c->changed) || tls_context_reload(c) != 0)
		return false;
	log_info(c->p.log, "certificate %s read again", c->pairs[0].cert ? c->pairs[0].cert : "-");
	return true;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	tls_certs_unref(c->certs);
	drop_former(c, 0);
	for (unsigned i = 0; i < c->npairs; i++) {
		free((char *)c->pairs[i].ocsp);
		free((char *)c->pairs[i].cert);
		free((char *)c->pairs[i].key);
	}
	free(c->pairs);
	free(c->ca);
	free(c->crl);
	free(c);
}

/* The peer's own is looked at last, when the chain is whole. */
static int go_on_unless_revoked(int ok, X509_STORE_CTX *store)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);

	if (!ok || X509_STORE_CTX_get_error_depth(store) != 0 || !chain || !cert_is_revoked(chain, X509_STORE_CTX_get0_store(store)))
		return ok;
	X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REVOKED);
	return 0;
}

/* The first thing in a handshake: it goes on with what c has now. The name, if there is one, is looked at next, by that one's on_name(). */
static int on_hello(SSL *ssl, int *alert, void *arg)
{
	const struct tls_context *c = arg;

	SSL_set_SSL_CTX(ssl, c->certs->ssl[0]);
	if (c->p.needs_client)
		SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, go_on_unless_revoked);
	else if (c->p.asks_client)
		SSL_set_verify(ssl, SSL_VERIFY_PEER, go_on);
	(void)alert;
	return SSL_CLIENT_HELLO_SUCCESS;
}

void tls_context_serve(const struct tls_context *c, void *ssl_ctx)
{
	SSL_CTX *ssl = ssl_ctx;

	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_session_id_context(ssl, (const unsigned char *)"sip", 3);
	if (c->crl)
		never_resume(ssl); /* these are asked of the context that a connection began with, which is this one */
	SSL_CTX_set_tlsext_servername_callback(ssl, NULL);
	SSL_CTX_set_client_hello_cb(ssl, on_hello, (void *)c);
}

bool tls_context_revokes(const struct tls_context *c, const void *ssl)
{
	STACK_OF(X509) *chain = ssl ? SSL_get0_verified_chain(ssl) : NULL;

	return chain && cert_is_revoked(chain, SSL_CTX_get_cert_store(c->certs->ssl[0]));
}

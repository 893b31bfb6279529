/* ocsp.c - reads, shows and judges the answers of OCSP responders. Asking them is the administrator's. */
#include "sip/ocsp.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define STAPLE_MAX 65536
#define SLACK_S 300            /* clocks differ */
#define AGE_MAX_S 86400L       /* of an answer that doesn't say until when it holds: there is a newer one all the time (RFC 6960 §2.4) */

struct ocsp_staple {
	time_t until;          /* 0: for ever */
	size_t n;
	unsigned char der[];
};

/* ---- the server's side ---- */

/* The one about this certificate: whose issuer it is isn't known here, and whoever sees it checks that himself. */
static OCSP_SINGLERESP *find_by_serial(OCSP_BASICRESP *basic, const X509 *cert)
{
	for (int i = 0; i < OCSP_resp_count(basic); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(basic, i);
		ASN1_INTEGER *serial = NULL;

		OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(one));
		if (serial && ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(cert)) == 0)
			return one;
	}
	return NULL;
}

static OCSP_BASICRESP *parse(const unsigned char *der, size_t n)
{
	OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &der, (long)n);
	OCSP_BASICRESP *basic = NULL;

	if (r && OCSP_response_status(r) == OCSP_RESPONSE_STATUS_SUCCESSFUL)
		basic = OCSP_response_get1_basic(r);
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	return basic;
}

static int read_until(struct ocsp_staple *s, const X509 *cert)
{
	OCSP_BASICRESP *basic = parse(s->der, s->n);
	OCSP_SINGLERESP *one = basic ? find_by_serial(basic, cert) : NULL;
	ASN1_GENERALIZEDTIME *next = NULL;
	struct tm tm;
	int err = one ? 0 : -EINVAL;

	if (one)
		OCSP_single_get0_status(one, NULL, NULL, NULL, &next);
	if (next && ASN1_TIME_to_tm(next, &tm) != 1)
		err = -EINVAL;
	else
		s->until = next ? timegm(&tm) : 0;
	OCSP_BASICRESP_free(basic);
	return err;
}

int ocsp_staple_read(struct ocsp_staple **out, const char *path, const X509 *cert)
{
	FILE *f = fopen(path, "rb");
	struct ocsp_staple *s;
	int err;

	if (!f)
		return -errno;
	s = malloc(sizeof(*s) + STAPLE_MAX + 1);
	if (!s) {
		fclose(f);
		return -ENOMEM;
	}
	s->n = fread(s->der, 1, STAPLE_MAX + 1, f);
	fclose(f);
	err = s->n <= STAPLE_MAX && cert ? read_until(s, cert) : -EINVAL;
	if (err) {
		free(s);
		return err;
	}
	*out = realloc(s, sizeof(*s) + s->n);
	if (!*out)
		*out = s;
	return 0;
}

void ocsp_staple_free(struct ocsp_staple *s)
{
	free(s);
}

static int on_status(SSL *ssl, void *arg)
{
	const struct ocsp_staple *s = arg;
	unsigned char *copy;

	if (s->until && time(NULL) > s->until)
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(s->der, s->n);
	if (!copy)
		return SSL_TLSEXT_ERR_NOACK;
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->n); /* frees it */
	return SSL_TLSEXT_ERR_OK;
}

void ocsp_staple_show(struct ocsp_staple *s, SSL_CTX *ssl)
{
	SSL_CTX_set_tlsext_status_cb(ssl, on_status);
	SSL_CTX_set_tlsext_status_arg(ssl, s);
}

/* ---- the client's side ---- */

/* Responders name certificates by a hash of their own choice. */
static bool is_about(OCSP_SINGLERESP *one, const X509 *cert, const X509 *issuer)
{
	const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(one);
	ASN1_OBJECT *hash = NULL;
	OCSP_CERTID *ours;
	bool is_same;

	OCSP_id_get0_info(NULL, &hash, NULL, NULL, (OCSP_CERTID *)id);
	ours = OCSP_cert_to_id(hash ? EVP_get_digestbyobj(hash) : NULL, cert, issuer);
	is_same = ours && OCSP_id_cmp(ours, id) == 0;
	OCSP_CERTID_free(ours);
	return is_same;
}

static enum ocsp_word word_of(OCSP_SINGLERESP *one)
{
	ASN1_GENERALIZEDTIME *from, *until;

	switch (OCSP_single_get0_status(one, NULL, NULL, &from, &until)) {
	case V_OCSP_CERTSTATUS_REVOKED:
		return OCSP_REVOKED; /* which nobody takes back */
	case V_OCSP_CERTSTATUS_GOOD:
		return OCSP_check_validity(from, until, SLACK_S, until ? -1 : AGE_MAX_S) == 1 ? OCSP_GOOD : OCSP_SILENT;
	default:
		return OCSP_SILENT;
	}
}

static enum ocsp_word judge(OCSP_BASICRESP *basic, STACK_OF(X509) *chain, X509_STORE *store)
{
	const X509 *cert = sk_X509_value(chain, 0), *issuer = sk_X509_value(chain, sk_X509_num(chain) > 1);

	if (OCSP_basic_verify(basic, chain, store, 0) != 1)
		return OCSP_SILENT;
	for (int i = 0; i < OCSP_resp_count(basic); i++)
		if (is_about(OCSP_resp_get0(basic, i), cert, issuer))
			return word_of(OCSP_resp_get0(basic, i));
	return OCSP_SILENT;
}

enum ocsp_word ocsp_of_peer(const SSL *ssl)
{
	STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
	enum ocsp_word word = OCSP_SILENT;
	const unsigned char *der = NULL;
	OCSP_BASICRESP *basic;
	long n = SSL_get_tlsext_status_ocsp_resp((SSL *)ssl, &der);

	if (!der || n <= 0 || !chain || sk_X509_num(chain) < 1)
		return OCSP_SILENT;
	basic = parse(der, (size_t)n);
	if (basic)
		word = judge(basic, chain, SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl)));
	OCSP_BASICRESP_free(basic);
	ERR_clear_error();
	return word;
}

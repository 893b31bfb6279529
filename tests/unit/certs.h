/* certs.h - certificates for tests, made on the spot: an authority and what it signs. */
#pragma once

#include <openssl/evp.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

struct authority { EVP_PKEY *key; X509 *cert; };

static inline X509 *cert_new(EVP_PKEY *key, const char *cn, const X509 *issuer)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1 + (long)((unsigned char)cn[0]));
	X509_gmtime_adj(X509_getm_notBefore(x), -3600);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name);
	X509_set_pubkey(x, key);
	return x;
}

static inline void cert_extend(X509 *x, int nid, const char *value)
{
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(e);
	X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
}

static inline void authority_init(struct authority *a, const char *name)
{
	a->key = EVP_EC_gen("P-256");
	a->cert = cert_new(a->key, name, NULL);
	cert_extend(a->cert, NID_basic_constraints, "critical,CA:TRUE");
	assert_true(X509_sign(a->cert, a->key, EVP_sha256()) > 0);
}

static inline void authority_fini(struct authority *a)
{
	X509_free(a->cert);
	EVP_PKEY_free(a->key);
}

static inline void authority_save(const struct authority *a, const char *path)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(PEM_write_X509(f, a->cert));
	fclose(f);
}

/* A list of what it has revoked: of that common name (cert_new() makes a serial number of its first letter); NULL: nothing. mode: of fopen. */
static inline void authority_revoke(const struct authority *a, const char *cn, const char *path, const char *mode)
{
	X509_CRL *list = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *next = X509_gmtime_adj(NULL, 3600);
	FILE *f = fopen(path, mode);

	assert_non_null(f);
	X509_CRL_set_version(list, 1);
	X509_CRL_set_issuer_name(list, X509_get_subject_name(a->cert));
	X509_CRL_set1_lastUpdate(list, now);
	X509_CRL_set1_nextUpdate(list, next);
	if (cn) {
		X509_REVOKED *entry = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_new();

		ASN1_INTEGER_set(serial, 1 + (long)((unsigned char)cn[0]));
		X509_REVOKED_set_serialNumber(entry, serial);
		X509_REVOKED_set_revocationDate(entry, now);
		X509_CRL_add0_revoked(list, entry);
		ASN1_INTEGER_free(serial);
	}
	assert_true(X509_CRL_sign(list, a->key, EVP_sha256()) > 0);
	assert_true(PEM_write_X509_CRL(f, list));
	fclose(f);
	X509_CRL_free(list);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
}

/* Certificate and key in one file. alt: subjectAltName in OpenSSL's notation, or NULL. */
static inline void authority_issue(const struct authority *a, const char *cn, const char *alt, const char *path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = cert_new(key, cn, a->cert);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	if (alt)
		cert_extend(x, NID_subject_alt_name, alt);
	assert_true(X509_sign(x, a->key, EVP_sha256()) > 0);
	assert_true(PEM_write_X509(f, x) && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	X509_free(x);
	EVP_PKEY_free(key);
}

static inline int i2d_response_fp(FILE *f, const OCSP_RESPONSE *r)
{
	unsigned char *der = NULL;
	int n = i2d_OCSP_RESPONSE(r, &der);
	int ok = n > 0 && fwrite(der, 1, (size_t)n, f) == (size_t)n;

	OPENSSL_free(der);
	return ok;
}

/* What signer says of the certificate of that common name that a has issued, since that long ago until then (0: it doesn't say; RFC 6960), as
 * a file. status: V_OCSP_CERTSTATUS_... */
static inline void authority_vouch(const struct authority *a, const struct authority *signer, const char *cn, int status, long since_s, long until_s,
				   const EVP_MD *hash, const char *path)
{
	ASN1_TIME *from = X509_gmtime_adj(NULL, -since_s), *until = until_s ? X509_gmtime_adj(NULL, until_s) : NULL;
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	ASN1_INTEGER *serial = ASN1_INTEGER_new();
	FILE *f = fopen(path, "w");
	OCSP_RESPONSE *r;
	OCSP_CERTID *id;

	assert_non_null(f);
	ASN1_INTEGER_set(serial, 1 + (long)((unsigned char)cn[0]));
	id = OCSP_cert_id_new(hash, X509_get_subject_name(a->cert), X509_get0_pubkey_bitstr(a->cert), serial);
	assert_non_null(OCSP_basic_add1_status(basic, id, status, OCSP_REVOKED_STATUS_NOSTATUS,
					       status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL, from, until));
	assert_int_equal(OCSP_basic_sign(basic, signer->cert, signer->key, EVP_sha256(), NULL, 0), 1);
	r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	assert_true(i2d_response_fp(f, r));
	fclose(f);
	OCSP_RESPONSE_free(r);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_INTEGER_free(serial);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
}

/* fuzz_cert.c - libFuzzer target on the names in a peer's certificate: each line is one, its first letter says of what kind ('u' URI,
 * 'd' DNS, 'e' mail, 'i' address, 'c' common name); an input that begins with '0', as DER does, is a whole certificate.
 *
 * A certificate stands for each of the domains that we read of it, and a name that is none (with a NUL or an asterisk in it) makes it
 * stand for nothing; for a user it stands by a URI alone.
 */
#include <assert.h>
#include <ctype.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "sip/cert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAMES_MAX 8

static void add_name(GENERAL_NAMES *names, int type, struct str text)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *s = ASN1_STRING_type_new(type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	ASN1_STRING_set(s, text.p, (int)text.n);
	GENERAL_NAME_set0_value(g, type, s);
	sk_GENERAL_NAME_push(names, g);
}

static X509 *cert_of(struct str lines)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	X509 *cert = X509_new();
	bool has_names = false;

	for (unsigned i = 0; i < NAMES_MAX && lines.n; i++) {
		struct str line = str_cut(&lines, '\n'), text = str_from_at(line, 1);
		int type;

		if (!line.n)
			continue;
		if (line.p[0] == 'c') {
			X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), NID_commonName, MBSTRING_UTF8, (const unsigned char *)text.p,
						   (int)text.n, -1, 0);
			continue;
		}
		type = line.p[0] == 'u' ? GEN_URI : line.p[0] == 'd' ? GEN_DNS : line.p[0] == 'e' ? GEN_EMAIL : GEN_IPADD;
		add_name(names, type, text);
		has_names = true;
	}
	if (has_names)
		X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0);
	sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
	return cert;
}

static void check(X509 *cert, bool may_have_users)
{
	static const char *const others[] = { "example.com", "other.example.com", "192.0.2.1", "::1" };
	char *identities = cert_identities(cert);

	assert(identities);
	for (const char *one = identities; *one; one += strlen(one) + 1) {
		const char *at = strchr(one, '@'), *domain = at ? at + 1 : one;

		for (const char *c = domain; *c; c++)
			assert(*c != '*' && *c != '@' && !(*c >= 'A' && *c <= 'Z'));
		assert(*domain && at != one && (!at || may_have_users));
		assert(at || (cert_is_for(cert, one) && cert_suits(cert, one)));
	}
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (cert_is_for(cert, others[i]))
			assert(cert_suits(cert, others[i]));
	free(identities);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *der = data;
	bool has_uris = size && data[0] == 'u';
	X509 *cert;

	for (size_t i = 1; i < size; i++)
		has_uris |= data[i] == 'u' && data[i - 1] == '\n';
	if (size && data[0] == '0')
		cert = d2i_X509(NULL, &der, (long)size);
	else
		cert = cert_of((struct str){ (const char *)data, size });
	if (cert)
		check(cert, has_uris || (size && data[0] == '0'));
	X509_free(cert);
	ERR_clear_error();
	return 0;
}

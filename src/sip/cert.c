/* cert.c - names in certificates. What looks like a name and isn't (with a NUL or another's '@' in it, or no host at all) is passed over. */
#include "sip/cert.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/out.h"
#include "sip/chars.h"
#include "sip/uri.h"

#define DOMAINS_MAX 16384 /* a certificate's size is bounded by the handshake; so are its names */

static struct str text_of(const ASN1_IA5STRING *s)
{
	return (struct str){ (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s) };
}

/* "sip:example.com" names a domain; "sip:alice@example.com" a user, who can't stand for it. */
static bool uri_domain(const GENERAL_NAME *g, struct str *domain)
{
	struct sip_uri uri;

	if (g->type != GEN_URI || sip_uri_parse(&uri, text_of(g->d.uniformResourceIdentifier)) != 0 || uri.scheme != SIP_SCHEME_SIP ||
	    uri.user.n)
		return false;
	*domain = uri.host;
	return uri.host.n != 0;
}

/* Whoever writes a name so that it looks like another's is nobody. */
static bool is_plain(struct str user)
{
	for (size_t i = 0; i < user.n; i++)
		if ((unsigned char)user.p[i] <= ' ' || user.p[i] == '@' || user.p[i] == 0x7f)
			return false;
	return user.n != 0;
}

static bool uri_user(const GENERAL_NAME *g, struct sip_uri *uri)
{
	return g->type == GEN_URI && sip_uri_parse(uri, text_of(g->d.uniformResourceIdentifier)) == 0 &&
	       uri->scheme == SIP_SCHEME_SIP && is_plain(uri->user) && !uri->password.n && uri->host.n;
}

static bool dns_name(const GENERAL_NAME *g, struct str *name)
{
	if (g->type != GEN_DNS)
		return false;
	*name = text_of(g->d.dNSName);
	return name->n && sip_chars_are(*name, SIP_CH_HOST);
}

static bool next_name(const GENERAL_NAMES *names, bool (*kind)(const GENERAL_NAME *g, struct str *name), int *at, struct str *name)
{
	while (names && *at < sk_GENERAL_NAME_num(names))
		if (kind(sk_GENERAL_NAME_value(names, (*at)++), name))
			return true;
	return false;
}

static bool has_uri(const GENERAL_NAMES *names, const char *domain, bool *has_any)
{
	struct str name;
	int at = 0;

	*has_any = false;
	while (next_name(names, uri_domain, &at, &name)) {
		*has_any = true;
		if (str_ieqz(name, domain))
			return true;
	}
	return false;
}

bool cert_is_for(X509 *cert, const char *domain)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	unsigned flags = X509_CHECK_FLAG_NO_WILDCARDS;
	bool has_uris = false, is_named = false;

	if (names) {
		is_named = has_uri(names, domain, &has_uris);
		flags |= X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
		GENERAL_NAMES_free(names);
	}
	if (has_uris)
		return is_named;
	/* §7.1: the common name only of a certificate without alternative names, whatever these are. */
	return X509_check_host(cert, domain, 0, flags, NULL) == 1 || X509_check_ip_asc(cert, domain, 0) == 1;
}

static bool is_on(X509_CRL *list, X509 *cert, X509 *issuer)
{
	X509_REVOKED *entry;

	return X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_subject_name(issuer)) == 0 &&
	       X509_CRL_get0_by_cert(list, &entry, cert) == 1 && X509_CRL_verify(list, X509_get0_pubkey(issuer)) == 1;
}

bool cert_is_revoked(STACK_OF(X509) *chain, X509_STORE *store)
{
	STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
	int n = sk_X509_num(chain);

	for (int i = 0; i < sk_X509_OBJECT_num(objects); i++) {
		X509_CRL *list = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));

		for (int k = 0; list && k < n; k++)
			if (is_on(list, sk_X509_value(chain, k), sk_X509_value(chain, k + 1 < n ? k + 1 : k)))
				return true;
	}
	return false;
}

bool cert_suits(X509 *cert, const char *name)
{
	return cert_is_for(cert, name) || X509_check_host(cert, name, 0, 0, NULL) == 1;
}

static void add_lower(struct out *o, struct str name)
{
	for (size_t i = 0; i < name.n; i++)
		out_chr(o, name.p[i] >= 'A' && name.p[i] <= 'Z' ? (char)(name.p[i] | 0x20) : name.p[i]);
	out_chr(o, '\0');
}

static void add_users(struct out *o, const GENERAL_NAMES *names)
{
	struct sip_uri uri;

	for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++) {
		if (!uri_user(sk_GENERAL_NAME_value(names, i), &uri))
			continue;
		out_str(o, uri.user);
		out_chr(o, '@');
		add_lower(o, uri.host);
	}
}

char *cert_identities(X509 *cert)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	struct str name;
	struct out o;
	char *made;
	int at = 0;

	out_init_grow(&o, DOMAINS_MAX);
	while (next_name(names, uri_domain, &at, &name))
		add_lower(&o, name);
	for (at = o.len ? at : 0; next_name(names, dns_name, &at, &name);)
		add_lower(&o, name);
	add_users(&o, names);
	GENERAL_NAMES_free(names);
	out_chr(&o, '\0');
	made = out_ok(&o) ? malloc(o.len) : NULL;
	if (made)
		memcpy(made, o.p, o.len);
	out_fini(&o);
	return made;
}

/* digest.c - the hashes of digest authentication (RFC 7616 §3.4, RFC 8760), for server and client.
 *
 * Everything comes down to H(a:b:c...), so that is the one thing done with OpenSSL here. What is hashed
 * are the values as they stand between their quotes: unq() of the RFC removes the quotes and no escapes.
 */
#include <errno.h>
#include <openssl/evp.h>

#include "sip/digest_int.h"

int digest_engine_init(struct digest_engine *e)
{
	*e = (struct digest_engine){
		.md5 = EVP_MD_fetch(NULL, "MD5", NULL),
		.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL),
		.ctx = EVP_MD_CTX_new(),
	};
	if (e->md5 && e->sha256 && e->ctx)
		return 0;
	int err = e->ctx ? -ENOTSUP : -ENOMEM;
	digest_engine_fini(e);
	return err;
}

void digest_engine_fini(struct digest_engine *e)
{
	EVP_MD_free(e->md5);
	EVP_MD_free(e->sha256);
	EVP_MD_CTX_free(e->ctx);
	*e = (struct digest_engine){ 0 };
}

int digest_engine_hash(struct digest_engine *e, enum digest_alg alg, const struct str *parts, size_t nparts,
		       char out[DIGEST_HEX_MAX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	bool ok = EVP_DigestInit_ex2(e->ctx, alg == DIGEST_SHA256 ? e->sha256 : e->md5, NULL);

	for (size_t i = 0; ok && i < nparts; i++) {
		if (i > 0)
			ok = EVP_DigestUpdate(e->ctx, ":", 1);
		if (ok && parts[i].n > 0)
			ok = EVP_DigestUpdate(e->ctx, parts[i].p, parts[i].n);
	}
	ok = ok && EVP_DigestFinal_ex(e->ctx, md, &len);
	if (!ok || len > 32) {
		out[0] = '\0';
		return -EIO;
	}

	struct out o;
	out_init(&o, out, DIGEST_HEX_MAX);
	out_hex(&o, md, len);
	out[o.len] = '\0';
	return 0;
}

int digest_engine_response(struct digest_engine *e, const struct digest_input *in, char out[DIGEST_HEX_MAX])
{
	char ha2[DIGEST_HEX_MAX];
	const struct str a2[] = { in->method, in->uri };
	int err = digest_engine_hash(e, in->alg, a2, ARRAY_LEN(a2), ha2);

	if (err) {
		out[0] = '\0';
		return err;
	}
	if (str_empty(in->qop)) {
		const struct str rfc2069[] = { in->ha1, in->nonce, str_from(ha2) };
		return digest_engine_hash(e, in->alg, rfc2069, ARRAY_LEN(rfc2069), out);
	}
	const struct str parts[] = { in->ha1, in->nonce, in->nc, in->cnonce, in->qop, str_from(ha2) };
	return digest_engine_hash(e, in->alg, parts, ARRAY_LEN(parts), out);
}

void digest_ha1(enum digest_alg alg, struct str user, struct str realm, struct str password, char out[65])
{
	struct digest_engine e;
	const struct str parts[] = { user, realm, password };

	out[0] = '\0';
	if (digest_engine_init(&e))
		return;
	digest_engine_hash(&e, alg, parts, ARRAY_LEN(parts), out);
	digest_engine_fini(&e);
}

void digest_response(enum digest_alg alg, const char *ha1, struct str nonce, struct str nc, struct str cnonce,
		     struct str qop, struct str method, struct str uri, char out[65])
{
	struct digest_engine e;
	const struct digest_input in = { alg, str_from(ha1), nonce, nc, cnonce, qop, method, uri };

	out[0] = '\0';
	if (digest_engine_init(&e))
		return;
	digest_engine_response(&e, &in, out);
	digest_engine_fini(&e);
}

const char *digest_alg_name(enum digest_alg alg)
{
	return alg == DIGEST_SHA256 ? "SHA-256" : "MD5";
}

enum digest_alg digest_alg_parse(struct str name)
{
	if (str_empty(name) || str_ieqz(name, "MD5"))
		return DIGEST_MD5;
	if (str_ieqz(name, "SHA-256"))
		return DIGEST_SHA256;
	return 0;
}

void digest_print_quoted(struct out *o, struct str s)
{
	out_chr(o, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			out_chr(o, '\\');
		if (s.p[i] != '\r' && s.p[i] != '\n')
			out_chr(o, s.p[i]);
	}
	out_chr(o, '"');
}

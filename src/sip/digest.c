/* digest.c - the hashes of digest authentication (RFC 7616 §3.4, RFC 8760), for server and client.
 *
 * Everything comes down to H(a:b:c...), so that is the one thing done with OpenSSL here. Names and realms are hashed with the
 * escapes undone that they needed between quotes, which is what a password was set for; what only one side has made up
 * (nonce, cnonce) as it stands.
 */
#include <errno.h>
#include <openssl/evp.h>

#include "sip/digest_int.h"

#define TEXT_MAX 512 /* most that is hashed is shorter */

int digest_engine_init(struct digest_engine *e)
{
	*e = (struct digest_engine){
		.md5 = EVP_MD_fetch(NULL, "MD5", NULL),
		.sha256 = EVP_MD_fetch(NULL, "SHA256", NULL),
		.sha512_256 = EVP_MD_fetch(NULL, "SHA512-256", NULL),
		.ctx = EVP_MD_CTX_new(),
	};
	if (e->md5 && e->sha256 && e->sha512_256 && e->ctx)
		return 0;
	int err = e->ctx ? -ENOTSUP : -ENOMEM;
	digest_engine_fini(e);
	return err;
}

void digest_engine_fini(struct digest_engine *e)
{
	EVP_MD_free(e->md5);
	EVP_MD_free(e->sha256);
	EVP_MD_free(e->sha512_256);
	EVP_MD_CTX_free(e->ctx);
	*e = (struct digest_engine){ 0 };
}

static const EVP_MD *md_of(const struct digest_engine *e, enum digest_alg alg)
{
	switch (alg) {
	case DIGEST_SHA512_256: return e->sha512_256;
	case DIGEST_SHA256: return e->sha256;
	case DIGEST_MD5: break;
	}
	return e->md5;
}

/* What doesn't fit into text any more goes into the hash, behind what is there. */
static bool add(struct digest_engine *e, struct out *text, struct str part)
{
	if (part.n > text->size - text->len) {
		if (!EVP_DigestUpdate(e->ctx, text->p, text->len))
			return false;
		text->len = 0;
	}
	if (part.n > text->size)
		return EVP_DigestUpdate(e->ctx, part.p, part.n);
	out_str(text, part);
	return true;
}

int digest_engine_hash(struct digest_engine *e, enum digest_alg alg, const struct str *parts, size_t nparts,
		       char out[DIGEST_HEX_MAX])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	char text[TEXT_MAX];
	struct out o;
	bool ok = EVP_DigestInit_ex2(e->ctx, md_of(e, alg), NULL);

	/* Each update costs OpenSSL more than the hash of a part: what fits goes in one. */
	out_init(&o, text, sizeof(text));
	for (size_t i = 0; ok && i < nparts; i++) {
		if (i > 0)
			ok = add(e, &o, STR(":"));
		ok = ok && add(e, &o, parts[i]);
	}
	ok = ok && EVP_DigestUpdate(e->ctx, text, o.len) && EVP_DigestFinal_ex(e->ctx, md, &len);
	if (!ok || len > 32) {
		out[0] = '\0';
		return -EIO;
	}
	out_init(&o, out, DIGEST_HEX_MAX);
	out_hex(&o, md, len);
	out[o.len] = '\0';
	return 0;
}

/* H(A2) without a body, which is no secret: it is kept. */
static int hash_short_a2(struct digest_engine *e, const struct digest_input *in, char ha2[DIGEST_HEX_MAX])
{
	const struct str a2[] = { in->method, in->uri };
	struct digest_a2 *last = &e->a2[in->method.n == 0];
	char text[DIGEST_A2_MAX];
	struct out o;
	int err;

	out_init(&o, text, sizeof(text));
	out_str(&o, in->method);
	out_chr(&o, ':');
	out_str(&o, in->uri);
	if (!out_ok(&o))
		return digest_engine_hash(e, in->alg, a2, ARRAY_LEN(a2), ha2);
	if (last->alg != in->alg || last->len != o.len || memcmp(last->text, text, o.len) != 0) {
		last->len = 0;
		err = digest_engine_hash(e, in->alg, a2, ARRAY_LEN(a2), last->hex);
		if (err)
			return err;
		last->alg = in->alg;
		last->len = o.len;
		memcpy(last->text, text, o.len);
	}
	memcpy(ha2, last->hex, DIGEST_HEX_MAX);
	return 0;
}

/* H(A2): with auth-int the body is part of it. */
static int hash_a2(struct digest_engine *e, const struct digest_input *in, char ha2[DIGEST_HEX_MAX])
{
	char body[DIGEST_HEX_MAX];
	struct str a2[] = { in->method, in->uri, STR_NULL };
	int err;

	if (!str_ieqz(in->qop, "auth-int"))
		return hash_short_a2(e, in, ha2);
	err = digest_engine_hash(e, in->alg, &in->body, 1, body);
	a2[2] = str_from(body);
	return err ? err : digest_engine_hash(e, in->alg, a2, ARRAY_LEN(a2), ha2);
}

int digest_engine_response(struct digest_engine *e, const struct digest_input *in, char out[DIGEST_HEX_MAX])
{
	char ha2[DIGEST_HEX_MAX], session[DIGEST_HEX_MAX];
	const struct str a1[] = { in->ha1, in->nonce, in->cnonce };
	struct str ha1 = in->ha1;
	int err = hash_a2(e, in, ha2);

	if (!err && in->is_sess) {
		err = digest_engine_hash(e, in->alg, a1, ARRAY_LEN(a1), session);
		ha1 = str_from(session);
	}
	if (err) {
		out[0] = '\0';
		return err;
	}
	if (str_empty(in->qop)) {
		const struct str rfc2069[] = { ha1, in->nonce, str_from(ha2) };
		return digest_engine_hash(e, in->alg, rfc2069, ARRAY_LEN(rfc2069), out);
	}
	const struct str parts[] = { ha1, in->nonce, in->nc, in->cnonce, in->qop, str_from(ha2) };
	return digest_engine_hash(e, in->alg, parts, ARRAY_LEN(parts), out);
}

void digest_userhash(enum digest_alg alg, struct str user, struct str realm, char out[65])
{
	struct digest_engine e;
	const struct str parts[] = { user, realm };

	out[0] = '\0';
	if (digest_engine_init(&e))
		return;
	digest_engine_hash(&e, alg, parts, ARRAY_LEN(parts), out);
	digest_engine_fini(&e);
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
	const struct digest_input in = { .alg = alg, .ha1 = str_from(ha1), .nonce = nonce, .nc = nc, .cnonce = cnonce, .qop = qop,
					 .method = method, .uri = uri };

	out[0] = '\0';
	if (digest_engine_init(&e))
		return;
	digest_engine_response(&e, &in, out);
	digest_engine_fini(&e);
}

const char *digest_alg_name(enum digest_alg alg)
{
	switch (alg) {
	case DIGEST_SHA512_256: return "SHA-512-256";
	case DIGEST_SHA256: return "SHA-256";
	case DIGEST_MD5: break;
	}
	return "MD5";
}

enum digest_alg digest_alg_parse(struct str name, bool *is_sess)
{
	static const enum digest_alg algs[] = { DIGEST_MD5, DIGEST_SHA256, DIGEST_SHA512_256 };
	const size_t sess = strlen("-sess");

	*is_sess = name.n > sess && str_ieqz(str_from_at(name, name.n - sess), "-sess");
	if (*is_sess)
		name.n -= sess;
	if (str_empty(name))
		return DIGEST_MD5;
	for (size_t i = 0; i < ARRAY_LEN(algs); i++) {
		if (str_ieqz(name, digest_alg_name(algs[i])))
			return algs[i];
	}
	return 0;
}

struct str digest_unquote(struct str s, char *buf, size_t size)
{
	size_t n = 0;

	if (!s.n || !memchr(s.p, '\\', s.n))
		return s;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (n == size)
			return STR_NULL;
		buf[n++] = s.p[i];
	}
	return (struct str){ buf, n };
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

/* digest_int.h - the hash engine both sides of digest authentication use. For digest*.c alone.
 *
 * Owner:  a server or a client embeds an engine. Thread: loop thread, for its hash context is used again and again.
 */
#pragma once

#include <openssl/evp.h>

#include "sip/digest.h"

#define DIGEST_HEX_MAX 65 /* SHA-256 as text and NUL */
#define DIGEST_A2_MAX 160 /* method and URI of nearly all requests */

/* Fetched once: EVP_md5() and its like look the implementation up again at every use. */
struct digest_engine {
	EVP_MD *md5, *sha256, *sha512_256;
	EVP_MD_CTX *ctx;
	/* H(A2) made last of a request and, with an empty method, of an answer to one: phones of a domain register with the same URI. */
	struct digest_a2 { enum digest_alg alg; size_t len; char text[DIGEST_A2_MAX], hex[DIGEST_HEX_MAX]; } a2[2];
};

int digest_engine_init(struct digest_engine *e); /* -ENOMEM, -ENOTSUP (a hash is missing in this OpenSSL) */
void digest_engine_fini(struct digest_engine *e);
/* H(part:part:...) as lower-case hex. -EIO when OpenSSL refuses; out is then "". */
int digest_engine_hash(struct digest_engine *e, enum digest_alg alg, const struct str *parts, size_t nparts,
		       char out[DIGEST_HEX_MAX]);

/* One request's part of the response value (RFC 7616 §3.4.1). */
struct digest_input {
	enum digest_alg alg;
	struct str ha1, nonce, nc, cnonce, qop, method, uri; /* qop empty: RFC 2069 form */
	struct str body; /* counts for qop auth-int */
	bool is_sess;    /* ha1 is that of user, realm and password still */
};
int digest_engine_response(struct digest_engine *e, const struct digest_input *in, char out[DIGEST_HEX_MAX]);

/* digest_proof.c; next: what is behind, may be empty. */
int digest_proof_new(struct digest_proof **out, const struct digest_input *in, struct str next);
void digest_info_write(struct out *o, const struct digest_input *in, const char *proof, struct str next);

const char *digest_alg_name(enum digest_alg alg);
/* 0 for one we don't speak; an absent algorithm parameter is MD5 (RFC 7616 §3.3). */
enum digest_alg digest_alg_parse(struct str name, bool *is_sess);
/* Writes s as a quoted-string. */
void digest_print_quoted(struct out *o, struct str s);
/* Undoes the escapes of what stood between quotes: s itself when there are none, else what buf has then. STR_NULL: too long. */
struct str digest_unquote(struct str s, char *buf, size_t size);

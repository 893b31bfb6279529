/* gruu.c - GRUUs as text. The block cipher does for a temporary one what a table would: see gruu.h. */
#include "registrar/gruu.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>

#define PREFIX "tgruu."
#define BLOCK 16
#define TEXT_LEN 26            /* of a block in base 32: 130 bits */

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

struct gruu_maker {
	struct rng *rng;
	EVP_CIPHER_CTX *seal, *open;
};

int gruu_maker_new(struct gruu_maker **out, const unsigned char key[32], struct rng *rng)
{
	static const char purpose[] = "temporary GRUU";
	unsigned char bytes[32 + sizeof(purpose)], own[SHA256_DIGEST_LENGTH];
	struct gruu_maker *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	/* A key of its own: what signs nonces shall seal nothing. */
	memcpy(bytes, key, 32);
	memcpy(bytes + 32, purpose, sizeof(purpose));
	SHA256(bytes, sizeof(bytes), own);
	g->rng = rng;
	g->seal = EVP_CIPHER_CTX_new();
	g->open = EVP_CIPHER_CTX_new();
	if (!g->seal || !g->open || EVP_EncryptInit_ex(g->seal, EVP_aes_256_ecb(), NULL, own, NULL) != 1 ||
	    EVP_DecryptInit_ex(g->open, EVP_aes_256_ecb(), NULL, own, NULL) != 1) {
		gruu_maker_free(g);
		return -ENOMEM;
	}
	/* One block each, always whole. */
	EVP_CIPHER_CTX_set_padding(g->seal, 0);
	EVP_CIPHER_CTX_set_padding(g->open, 0);
	*out = g;
	return 0;
}

void gruu_maker_free(struct gruu_maker *g)
{
	if (!g)
		return;
	EVP_CIPHER_CTX_free(g->seal);
	EVP_CIPHER_CTX_free(g->open);
	free(g);
}

static struct str without_brackets(struct str instance)
{
	if (instance.n > 2 && instance.p[0] == '<' && instance.p[instance.n - 1] == '>')
		return (struct str){ instance.p + 1, instance.n - 2 };
	return STR_NULL;
}

bool gruu_is_possible(struct str instance)
{
	struct str urn = without_brackets(instance);

	/* RFC 3261 §25.1: unreserved and param-unreserved */
	for (size_t i = 0; i < urn.n; i++) {
		char c = urn.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.!~*'()[]/:&+$", c)))
			return false;
	}
	return urn.n > 0;
}

static void print_scheme(struct out *o, enum sip_scheme scheme)
{
	out_z(o, scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
}

void gruu_print_public(struct out *o, enum sip_scheme scheme, const char *number, const char *domain, struct str instance)
{
	print_scheme(o, scheme);
	sip_escape_user(o, str_from(number));
	out_chr(o, '@');
	out_z(o, domain);
	out_z(o, ";gr=");
	out_str(o, without_brackets(instance));
}

void gruu_print_bulk(struct out *o, enum sip_scheme scheme, const char *domain, struct str instance)
{
	print_scheme(o, scheme);
	out_z(o, domain);
	out_z(o, ";bnc;gr=");
	out_str(o, without_brackets(instance));
}

static void print_block(struct out *o, const unsigned char block[BLOCK])
{
	unsigned bits = 0, n = 0;

	for (unsigned i = 0; i < BLOCK; i++) {
		bits = bits << 8 | block[i];
		for (n += 8; n >= 5; n -= 5)
			out_chr(o, digits[bits >> (n - 5) & 31]);
	}
	out_chr(o, digits[bits << (5 - n) & 31]);
}

static int read_block(struct str text, unsigned char block[BLOCK])
{
	unsigned bits = 0, n = 0, len = 0;

	if (text.n != TEXT_LEN)
		return -EINVAL;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		const char *digit = memchr(digits, c >= 'A' && c <= 'Z' ? c + 32 : c, 32);

		if (!digit)
			return -EINVAL;
		bits = bits << 5 | (unsigned)(digit - digits);
		n += 5;
		if (n >= 8 && len < BLOCK) {
			n -= 8;
			block[len++] = (unsigned char)(bits >> n);
		}
	}
	return len == BLOCK ? 0 : -EINVAL;
}

/* Eight bytes of id, four random, four of zero: who guesses a text gets another end. */
void gruu_print_temporary(struct gruu_maker *g, struct out *o, enum sip_scheme scheme, const char *domain, uint64_t id)
{
	unsigned char plain[BLOCK] = { 0 }, sealed[BLOCK];
	uint32_t salt = rng_u32(g->rng);
	int n = 0;

	memcpy(plain, &id, 8);
	memcpy(plain + 8, &salt, 4);
	EVP_EncryptUpdate(g->seal, sealed, &n, plain, BLOCK);
	print_scheme(o, scheme);
	out_z(o, PREFIX);
	print_block(o, sealed);
	out_chr(o, '@');
	out_z(o, domain);
	out_z(o, ";gr");
}

static bool open_block(struct gruu_maker *g, const unsigned char sealed[BLOCK], uint64_t *id)
{
	static const unsigned char zero[4];
	unsigned char plain[BLOCK];
	int n = 0;

	if (EVP_DecryptUpdate(g->open, plain, &n, sealed, BLOCK) != 1 || n != BLOCK || memcmp(plain + 12, zero, 4) != 0)
		return false;
	memcpy(id, plain, 8);
	return true;
}

enum gruu_kind gruu_read(struct gruu_maker *g, const struct sip_uri *uri, struct str *instance, uint64_t *id)
{
	unsigned char sealed[BLOCK];
	struct str value;

	bool has_gr = sip_param_find(uri->params, "gr", &value);

	if (has_gr && value.n) {
		*instance = value;
		return GRUU_PUBLIC;
	}
	if (str_istarts(uri->user, STR(PREFIX)) && read_block(str_from_at(uri->user, sizeof(PREFIX) - 1), sealed) == 0 &&
	    open_block(g, sealed, id))
		return GRUU_TEMPORARY;
	return has_gr ? GRUU_FORGED : GRUU_NONE;
}

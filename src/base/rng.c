/* rng.c - randomness in blocks from the kernel; with a seed, a splitmix64 sequence for tests. */
#include "base/rng.h"

#include <stdlib.h>
#include <sys/random.h>

void rng_init(struct rng *r)
{
	*r = (struct rng){ 0 };
}

void rng_init_fixed(struct rng *r, uint64_t seed)
{
	*r = (struct rng){ .seed = seed ? seed : 1 };
}

static uint64_t splitmix64(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15u);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

static void refill(struct rng *r)
{
	if (r->seed) {
		for (size_t i = 0; i < sizeof(r->buf); i += 8) {
			uint64_t v = splitmix64(&r->seed);

			memcpy(r->buf + i, &v, 8);
		}
	} else {
		size_t got = 0;

		while (got < sizeof(r->buf)) {
			ssize_t n = getrandom(r->buf + got, sizeof(r->buf) - got, 0);

			/* Only EINTR is possible; without randomness no tag or nonce may be made. */
			if (n > 0)
				got += (size_t)n;
		}
	}
	r->left = sizeof(r->buf);
}

void rng_fill(struct rng *r, void *p, size_t n)
{
	unsigned char *to = p;

	while (n) {
		size_t take;

		if (r->left == 0)
			refill(r);
		take = n < r->left ? n : r->left;
		memcpy(to, r->buf + sizeof(r->buf) - r->left, take);
		memset(r->buf + sizeof(r->buf) - r->left, 0, take); /* a used byte can't be read later */
		r->left -= take;
		to += take;
		n -= take;
	}
}

/* A word at once, for what is wanted with every message. */
static uint64_t next_word(struct rng *r)
{
	unsigned char *from;
	uint64_t v;

	if (r->left < sizeof(v)) {
		rng_fill(r, &v, sizeof(v));
		return v;
	}
	from = r->buf + sizeof(r->buf) - r->left;
	memcpy(&v, from, sizeof(v));
	memset(from, 0, sizeof(v)); /* as above */
	r->left -= sizeof(v);
	return v;
}

uint32_t rng_u32(struct rng *r)
{
	uint32_t v;

	rng_fill(r, &v, sizeof(v));
	return v;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
	uint32_t limit = UINT32_MAX - UINT32_MAX % n, v;

	do
		v = rng_u32(r);
	while (v >= limit);
	return v % n;
}

void rng_token(struct rng *r, char *buf, size_t n)
{
	static const char alphabet[32] = "0123456789abcdefghijklmnopqrstuv"; /* five bits each: none likelier than another */

	for (size_t i = 0; i < n;) {
		uint64_t bits = next_word(r);

		for (unsigned k = 0; k < 12 && i < n; k++, bits >>= 5)
			buf[i++] = alphabet[bits & 31];
	}
	buf[n] = '\0';
}

void rng_uuid(struct rng *r, char buf[37])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t words[2] = { next_word(r), next_word(r) };
	unsigned char b[sizeof(words)];
	char *at = buf;

	memcpy(b, words, sizeof(b));
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(b); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = digits[b[i] >> 4];
		*at++ = digits[b[i] & 15];
	}
	*at = '\0';
}

/* hash.c - SipHash-2-4, as its paper has it (section 2); and a product folded, eight bytes at a time. */
#include "base/hash.h"

#include <endian.h>
#include <string.h>

static uint64_t rotate(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static uint64_t word(const unsigned char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return le64toh(w);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static inline void take(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
}

uint64_t hash_keyed(const unsigned char key[HASH_KEY], const void *p, size_t n)
{
	uint64_t k0 = word(key), k1 = word(key + 8), last = (uint64_t)n << 56;
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
	const unsigned char *at = p;

	for (; n >= 8; n -= 8, at += 8)
		take(v, word(at));
	while (n--)
		last |= (uint64_t)at[n] << (8 * n);
	take(v, last);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static uint64_t fold(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t hash_plain(const void *p, size_t n)
{
	const unsigned char *at = p;
	uint64_t h = 0x9e3779b97f4a7c15u ^ n, last = 0;

	for (; n >= 8; n -= 8, at += 8)
		h = fold(h ^ word(at), 0xd6e8feb86659fd93u);
	memcpy(&last, at, n);
	return fold(h ^ le64toh(last), 0xa0761d6478bd642fu);
}

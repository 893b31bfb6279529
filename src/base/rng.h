/* rng.h - unpredictable bytes (getrandom, buffered), or a fixed sequence for tests.
 *
 * Thread: one; each thread that needs one makes its own.
 */
#pragma once

#include "base/str.h"

struct rng {
	unsigned char buf[2048];
	size_t left;
	uint64_t seed; /* 0: the kernel's randomness */
};

void rng_init(struct rng *r);
void rng_init_fixed(struct rng *r, uint64_t seed); /* tests only */
void rng_fill(struct rng *r, void *p, size_t n);
uint32_t rng_u32(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);     /* uniform in [0, n), n > 0 */
/* n characters of [0-9a-v], five bits each, and NUL: buf has n + 1 bytes. */
void rng_token(struct rng *r, char *buf, size_t n);
/* RFC 9562 version 4, 36 characters and NUL. */
void rng_uuid(struct rng *r, char buf[37]);

/* hash.h - SipHash-2-4: a short keyed hash, for tables whose keys strangers choose. Who doesn't know the key can't make keys that
 * meet in one place.
 *
 * Sources: Aumasson and Bernstein, "SipHash: a fast short-input PRF". Thread: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_KEY 16

uint64_t hash_keyed(const unsigned char key[HASH_KEY], const void *p, size_t n);

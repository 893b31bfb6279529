/* hash.h - hashes of tables. hash_keyed() is SipHash-2-4, for those whose keys strangers choose: who doesn't know the key can't make
 * keys that meet in one place. hash_plain() takes a fifth of its time, for those whose keys are the administrator's.
 *
 * Sources: Aumasson and Bernstein, "SipHash: a fast short-input PRF". Thread: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define HASH_KEY 16

uint64_t hash_keyed(const unsigned char key[HASH_KEY], const void *p, size_t n);
uint64_t hash_plain(const void *p, size_t n);

/* secure.h - SRTP and SRTCP of a stream (RFC 3711, 6188, 7714): the one module that touches libsrtp2.
 *
 * Each direction has a context of its own, made of the master key of who sends: packets out are protected with ours, packets in
 * checked and decrypted with theirs. A context outlives holds, transfers and workers: its roll-over counter and
 * replay window end with the key alone.
 *
 * Owner:  struct secure belongs to its session, on whose worker it is used; made and freed on any thread.
 * Thread: any, one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECURE_KEY_MAX 46      /* master key and salt: AES-256 of RFC 6188 */
#define SECURE_KEYS_MAX 4      /* of one peer, told apart by MKI */
#define SECURE_MKI_MAX 16
#define SECURE_TRAILER_MAX 36  /* what our packets grow by: the tag, an MKI, and of SRTCP the index */

enum secure_suite {
	SECURE_NONE,
	SECURE_AES_CM_128_80,
	SECURE_AES_CM_128_32,
	SECURE_AES_CM_256_80,
	SECURE_AES_CM_256_32,
	SECURE_AEAD_AES_128_GCM,
	SECURE_AEAD_AES_256_GCM,
};

struct secure_key {
	uint8_t key[SECURE_KEY_MAX]; /* with its salt, as the suite's length says */
	uint8_t mki_len;             /* 0: packets carry none */
	uint8_t mki[SECURE_MKI_MAX];
};

/* What two ends have agreed on. */
struct secure_params {
	enum secure_suite suite;
	struct secure_key send;      /* ours */
	unsigned nrecv;
	struct secure_key recv[SECURE_KEYS_MAX];
};

struct secure;

/* By the name of SDP (RFC 4568 §6.2, 6188 §7, 7714 §14.1), in any case; SECURE_NONE: not ours. */
enum secure_suite secure_suite_find(const char *name);
const char *secure_suite_name(enum secure_suite suite); /* "" for SECURE_NONE */
size_t secure_key_len(enum secure_suite suite); /* key and salt */

/* The contexts of *now that *before (NULL: none) had not: what is the same goes on in those there are. -ENOMEM, -EINVAL. */
int secure_new(struct secure **out, const struct secure_params *before, const struct secure_params *now);
/* Contexts that let nothing through, until they are renewed. NULL without memory. */
struct secure *secure_new_shut(void);
/* Adds what fresh brings to the contexts of *s, and takes it over; *s may be NULL. */
void secure_renew(struct secure **s, struct secure *fresh);
void secure_free(struct secure *s);            /* NULL: nothing */

/* In place. p is aligned to 4 bytes and has room for SECURE_TRAILER_MAX more; returns the new length, 0: nothing may be sent. */
size_t secure_seal(struct secure *s, uint8_t *p, size_t n);
size_t secure_seal_rtcp(struct secure *s, uint8_t *p, size_t n);
/* In place. Returns the new length; 0: it isn't the peer's, has come before, or is broken. */
size_t secure_open(struct secure *s, uint8_t *p, size_t n);
size_t secure_open_rtcp(struct secure *s, uint8_t *p, size_t n);

/* oa_secure.h - SRTP in offers and answers: which keys by a=crypto (RFC 4568), with which profile of RTP.
 *
 * What comes of an exchange is in struct oa_srtp: nothing of it for plain RTP. Ours is one key a suite, made when a suite is first
 * offered or taken, and kept as long as the leg: later offers say the same again, so that what is sent goes on. Their key is
 * what they said last.
 *
 * Policy NEVER takes no part in it: a=crypto of others is left alone, RTP/SAVP isn't taken. OFFER is RFC 8643: a=crypto beside
 * RTP/AVP, and what the other side offers is taken, plain or not. REQUIRE offers RTP/SAVP and takes nothing that is plain.
 *
 * Sources: RFC 4568, 6188, 7714 §14, 8643. Owner: struct oa. Thread: any, one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define OA_KEY_MAX 46        /* master key and salt: AES-256 of RFC 6188 */
#define OA_KEYS_MAX 4        /* of one line of theirs */
#define OA_MKI_MAX 16

enum oa_policy { OA_NEVER, OA_OFFER, OA_REQUIRE };

struct oa_key {
	uint8_t key[OA_KEY_MAX];
	uint8_t mki_len;     /* 0: none */
	uint8_t mki[OA_MKI_MAX];
};

struct oa_srtp {             /* what is agreed */
	const char *suite;   /* as in SDP, static; NULL: plain RTP */
	uint8_t key_len;     /* of each key, with its salt */
	struct oa_key ours;
	unsigned ntheirs;
	struct oa_key theirs[OA_KEYS_MAX];
};

/* One line of a=crypto, without what stands before the tag. */
struct oa_crypto {
	uint32_t tag;
	int suite;           /* ours, see oa_secure.c */
	unsigned nkeys;
	struct oa_key keys[OA_KEYS_MAX];
};
/* -EINVAL: it is broken; -ENOTSUP: a suite, a key method or a session parameter that we don't have. */
int oa_crypto_parse(struct oa_crypto *out, struct str value);

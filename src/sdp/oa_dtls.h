/* oa_dtls.h - DTLS-SRTP in offers and answers (RFC 5763, 5764, 8842): whose certificate, who begins, which association.
 *
 * A description names its certificate by fingerprints (RFC 8122), says with a=setup (RFC 4145) who may begin, and with a=tls-id which
 * association it speaks of. What comes of an exchange is in struct oa_dtls. Its association's number tells the stream whether the one it
 * has goes on: it is another number when the fingerprints, the roles or an a=tls-id have changed (RFC 8842 §4), and, with who has no a=tls-id,
 * when his address has: nothing else would say that another device is there.
 *
 * We offer actpass, and answer such an offer as the active end (RFC 5763 §5), unless that would change the roles of an
 * association that goes on. Profiles are UDP/TLS/RTP/SAVP and SAVPF; a=fingerprint beside RTP/AVP is RFC 8643, beside RTP/SAVPF
 * what older browsers say (RFC 8829 §5.1.2).
 *
 * Owner: struct oa. Thread: any, one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define OA_FINGERPRINTS_MAX 4
#define OA_DIGEST_MAX 64

/* The digest of a certificate. Its length tells the function: 20 SHA-1, 28 SHA-224, 32 SHA-256, 48 SHA-384, 64 SHA-512. */
struct oa_fingerprint {
	uint8_t len;
	uint8_t digest[OA_DIGEST_MAX];
};

struct oa_dtls {
	uint32_t association;    /* from 1 on, each number once in a leg */
	bool is_client;          /* we are the active end */
	unsigned ntheirs;        /* all by the strongest function that they used and we know; one of them is to fit (RFC 8122 §5) */
	struct oa_fingerprint theirs[OA_FINGERPRINTS_MAX];
};

/* "sha-256 4A:AD:...": the value of a=fingerprint. -EINVAL: it is broken; -ENOTSUP: a function that we don't take (MD5 and MD2 are forbidden,
 * RFC 8122 §5). */
int oa_fingerprint_parse(struct oa_fingerprint *out, struct str value);

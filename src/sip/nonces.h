/* nonces.h - which nonces have been answered correctly, and with which counts, so that no answer serves twice (RFC 7616 §3.4).
 *
 * A nonce is known here by a number that nobody can choose: the hash that makes it ours.
 *
 * Owner:    the digest server.
 * Thread:   loop thread.
 */
#pragma once

#include <stdint.h>

struct nonces;

/* keep_ms: how long after its first use a nonce might be accepted at most; for so long, and at most twice as long, it is remembered. */
int nonces_new(struct nonces **out, int64_t keep_ms); /* -ENOMEM */
void nonces_free(struct nonces *ns);
/* Notes that a count, from 1, was used. -EEXIST: it was before, or lies below the window of those that may still come. -ENOMEM: it can't
 * be noted. */
int nonces_use(struct nonces *ns, uint64_t nonce, uint32_t nc, int64_t now_ms);

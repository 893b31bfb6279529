/* digest.h - digest authentication, pure (RFC 7616, RFC 8760, RFC 3261 §22).
 *
 * Algorithms MD5 and SHA-256; qop auth. The server side keeps no state for a nonce it hands out: a nonce is
 * its time and a serial under an HMAC. Only nonces that were used successfully are remembered, with the
 * highest nonce count seen and a window of those below, until they expire, so a replay is refused.
 *
 * Thread: loop thread.
 */
#pragma once

#include "base/clock.h"
#include "base/out.h"
#include "base/rng.h"
#include "sip/msg.h"

enum digest_alg { DIGEST_MD5 = 1, DIGEST_SHA256 = 2 }; /* bits, for sets */

struct digest_server;

struct digest_server_params {
	const struct clock *clock;
	struct rng *rng;
	unsigned char key[32];   /* HMAC key; the same after a restart keeps nonces valid */
	uint32_t nonce_life_s;   /* 0: 300 */
};

enum digest_verdict {
	DIGEST_OK,
	DIGEST_NONE,      /* no credentials for this realm: challenge */
	DIGEST_STALE,     /* right or wrong, the nonce is too old: challenge with stale=true */
	DIGEST_REPLAY,    /* nonce count seen before: challenge with stale=true, counts as no failure */
	DIGEST_FAILED,    /* wrong response, foreign nonce, algorithm not offered: challenge anew, counts as failure */
	DIGEST_MALFORMED  /* 400 */
};

/* HA1 as hex text, one per algorithm; NULL where there is none. */
struct digest_secret {
	const char *ha1_md5, *ha1_sha256;
};

int digest_server_new(struct digest_server **out, const struct digest_server_params *p);
void digest_server_free(struct digest_server *d);
/* The credentials of a request for a realm, first of Authorization or Proxy-Authorization; false when none. */
bool digest_find(const struct sip_msg *m, enum sip_hdr_id hdr, struct str realm, struct sip_credentials *out);
/* Checks. secret NULL (unknown user) takes as long as a wrong password and answers DIGEST_FAILED. */
enum digest_verdict digest_check(struct digest_server *d, const struct sip_msg *m, const struct sip_credentials *c,
				 const struct digest_secret *secret, unsigned algs);
/* Writes one challenge header line per algorithm of algs, strongest first, each with CRLF.
 * hdr: SIP_HDR_WWW_AUTHENTICATE or SIP_HDR_PROXY_AUTHENTICATE. */
void digest_challenge(struct digest_server *d, struct out *o, enum sip_hdr_id hdr, struct str realm, unsigned algs,
		      bool stale);

/* HA1 = H(user:realm:password) as lower-case hex; out has 65 bytes. */
void digest_ha1(enum digest_alg alg, struct str user, struct str realm, struct str password, char out[65]);
/* The response value for given parts (RFC 7616 §3.4.1), both sides use it. qop empty: RFC 2069 form. */
void digest_response(enum digest_alg alg, const char *ha1, struct str nonce, struct str nc, struct str cnonce,
		     struct str qop, struct str method, struct str uri, char out[65]);

/* Client side: answers the strongest challenge of a 401/407 that it can; writes an (Proxy-)Authorization
 * line with CRLF. -ENOENT when none can be answered. nc counts the uses of this nonce, from 1. */
int digest_answer(struct out *o, const struct sip_msg *response, struct str method, struct str uri, struct str user,
		  struct str password, uint32_t nc, struct rng *rng);

/* digest.h - digest authentication, pure (RFC 7616, RFC 8760, RFC 3261 §22).
 *
 * Algorithms MD5, SHA-256 and SHA-512-256, each with a session's key (-sess), too; qop auth and auth-int; user names in plain, extended
 * (username*) or hashed. A session is that of a nonce and the cnonce that comes with it: who keeps his cnonce keeps his key.
 * Texts between quotes come and go with their escapes undone. The server side keeps no state for a nonce it hands out: a nonce is
 * its time, a mark of the source it is for and a serial under a keyed hash. Only nonces that were used successfully are remembered, with the
 * highest nonce count seen and a window of those below, until they expire, so a replay is refused. A nonce serves its own source
 * alone, so a wrong answer to it comes from somebody who can read what is sent there, and not from somebody who forged the address.
 *
 * Thread: loop thread.
 */
#pragma once

#include "base/clock.h"
#include "base/out.h"
#include "base/rng.h"
#include "sip/msg.h"

enum digest_alg { DIGEST_MD5 = 1, DIGEST_SHA256 = 2, DIGEST_SHA512_256 = 4 }; /* bits, for sets; the larger, the stronger */
#define DIGEST_ALGS 7          /* all of them */
/* May stand beside them in what is offered; none: auth. auth-int protects the body, too. */
enum digest_qop { DIGEST_AUTH = 8, DIGEST_AUTH_INT = 16 };
#define DIGEST_USERHASH 32     /* likewise: the name may come as its hash (RFC 7616 §3.4.4); whoever checks looks it up */
#define DIGEST_SESS 64         /* likewise: each algorithm is offered as -sess, too */
#define DIGEST_USER_MAX 256    /* a name with escapes, or in RFC 8187's notation, when these are undone */

struct digest_server;

struct digest_server_params {
	const struct clock *clock;
	struct rng *rng;
	unsigned char key[32];   /* what nonces are proved with; the same after a restart keeps nonces valid */
	uint32_t nonce_life_s;   /* 0: 300 */
};

enum digest_verdict {
	DIGEST_OK,
	DIGEST_NONE,      /* no credentials for this realm: challenge */
	DIGEST_STALE,     /* right or wrong, the nonce is too old or another source's: challenge with stale=true */
	DIGEST_REPLAY,    /* nonce count seen before: challenge with stale=true, counts as no failure */
	DIGEST_FOREIGN,   /* a nonce that isn't ours, an algorithm not offered: challenge anew, counts as no failure */
	DIGEST_FAILED,    /* wrong response to a nonce of ours: challenge anew, counts as failure */
	DIGEST_MALFORMED  /* 400 */
};

/* HA1 as hex text, one per algorithm; NULL where there is none. */
struct digest_secret {
	const char *ha1_md5, *ha1_sha256, *ha1_sha512_256;
};

int digest_server_new(struct digest_server **out, const struct digest_server_params *p);
void digest_server_free(struct digest_server *d);
/* The credentials of a request for a realm, first of Authorization or Proxy-Authorization; false when none. The realm in *out
 * is the one given here; the user name has its escapes undone, in name if it had any. The others are good as long as m is, and until the
 * next call. */
bool digest_find(struct digest_server *d, const struct sip_msg *m, enum sip_hdr_id hdr, struct str realm, struct sip_credentials *out,
		 char name[DIGEST_USER_MAX]);
/* Checks. offered: digest_alg bits, digest_qop bits. secret NULL (unknown user) takes as long as a wrong password and answers DIGEST_FAILED.
 * source: whose request it is, as for the challenge. */
enum digest_verdict digest_check(struct digest_server *d, const struct sip_msg *m, const struct sip_credentials *c,
				 const struct digest_secret *secret, unsigned offered, struct str source);
/* The first part of it, which costs a tenth and keeps nothing: may the answer be looked at? DIGEST_OK, STALE, FOREIGN or MALFORMED. */
enum digest_verdict digest_glance(struct digest_server *d, const struct sip_msg *m, const struct sip_credentials *c, unsigned offered,
				  struct str source);
/* Writes one challenge header line per algorithm offered, strongest first, each with CRLF.
 * hdr: SIP_HDR_WWW_AUTHENTICATE or SIP_HDR_PROXY_AUTHENTICATE. source: for whom: bytes of an address; STR_NULL: for all that have none. */
void digest_challenge(struct digest_server *d, struct out *o, enum sip_hdr_id hdr, struct str realm, unsigned offered,
		      bool stale, struct str source);

/* Writes the Authentication-Info line (RFC 7616 §3.5) for the 2xx to a request whose credentials digest_check() has found right: that we
 * know the password, too, and, when their nonce is past the half of its life, the next one, for the same source. Nothing for RFC 2069,
 * which has nothing of it; nothing, too, where it depends on the body of the answer (auth-int): then what it returns prints it, once that is
 * known, the caller's to free. Else NULL. */
struct digest_proof;
struct digest_proof *digest_info(struct digest_server *d, struct out *o, const struct sip_credentials *c, const struct digest_secret *secret,
				 struct str source);
void digest_proof_print(const struct digest_proof *p, struct out *o, struct str body); /* body: of the answer, may be empty */
void digest_proof_free(struct digest_proof *p); /* NULL allowed */

/* H(user:realm), in the same form: what stands for the name with userhash=true. */
void digest_userhash(enum digest_alg alg, struct str user, struct str realm, char out[65]);
/* HA1 = H(user:realm:password) as lower-case hex; out has 65 bytes. */
void digest_ha1(enum digest_alg alg, struct str user, struct str realm, struct str password, char out[65]);
/* The response value for given parts (RFC 7616 §3.4.1). qop empty: RFC 2069 form. */
void digest_response(enum digest_alg alg, const char *ha1, struct str nonce, struct str nc, struct str cnonce,
		     struct str qop, struct str method, struct str uri, char out[65]);

/* ---- client side ---- */

/* A request that shall be sent again with credentials. */
struct digest_request {
	struct str method, uri, body;
	struct str user, password;
	uint32_t nc;             /* uses of this nonce, from 1 */
};
/* Answers a 401/407: for each realm that asks in it (a proxy that forks hands on what several ask, RFC 3261 §16.7, §22.3) the strongest
 * challenge that it can; writes (Proxy-)Authorization lines with CRLF. auth-int only where auth isn't offered: proxies
 * change bodies. -ENOENT when none can be answered. */
int digest_answer_request(struct out *o, const struct sip_msg *response, const struct digest_request *r, struct rng *rng);
/* The same for one without a body. */
int digest_answer(struct out *o, const struct sip_msg *response, struct str method, struct str uri, struct str user,
		  struct str password, uint32_t nc, struct rng *rng);
/* When a request that already has credentials (lines as above) is challenged: does another answer make sense? Yes when a nonce was
 * only too old, or when a realm asks that hasn't been answered. */
bool digest_asks_anew(const struct sip_msg *response, struct str credentials);
/* Has who answers with 2xx to these credentials shown that he knows the password (RFC 7616 §3.5)? False also when he says nothing of it,
 * or without credentials. */
bool digest_is_proved(const struct sip_msg *response, struct str credentials, struct str user, struct str password);
/* The same for a request that isn't known yet: writes what digest_answer_kept() makes its credentials of. -ENOENT. */
int digest_keep_next(struct out *o, const struct sip_msg *response, struct str credentials);
int digest_answer_kept(struct out *o, struct str kept, const struct digest_request *r, struct rng *rng);
/* Credentials for the next request, r, where this 2xx to the one with those has given a nonce for it (RFC 7616 §3.5): an Authorization line.
 * -ENOENT: it hasn't. */
int digest_answer_ahead(struct out *o, const struct sip_msg *response, struct str credentials, const struct digest_request *r, struct rng *rng);
/* Writes those lines of credentials whose realms don't ask again. */
void digest_keep_others(struct out *o, const struct sip_msg *response, struct str credentials);

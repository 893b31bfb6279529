/* dtls.h - a DTLS association that agrees on the keys of SRTP (RFC 6347, 5764): bytes in, bytes out, no socket.
 *
 * One certificate serves all, made anew with each server: who is at the other end is told by the fingerprint that its description has
 * (RFC 8122), not by an authority. The keys are exported when both ends have shown their certificates; nothing is ever sent through
 * an association itself. Version 1.2; neither resumption nor renegotiation, which would show no certificate.
 *
 * A handshake costs an end some 0.6 ms of CPU (measured; OpenSSL 3.0, P-256), in two steps: the exchange of keys, and a signature made and
 * one checked. Each call here that takes a datagram does one of them, and blocks on nothing.
 *
 * Owner:  who made it. The identity outlives its associations.
 * Thread: an association: any, one at a time. An identity: any number of them, once it is made.
 * Sources: RFC 5764 §4.1 (profiles, exporter), RFC 6347 §4.2 (cookies, timers), RFC 7714 §14.2.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/addr.h"
#include "media/secure.h"

#define DTLS_FINGERPRINTS_MAX 4
#define DTLS_DIGEST_MAX 64
#define DTLS_MTU 1200            /* of our datagrams, as browsers have it: less than any tunnel's */
#define DTLS_FLIGHT_MS 250       /* until a flight is sent again, first; RFC 6347 §4.2.4.1 has a second for the web's sake, a call is not to wait so long */
#define DTLS_FLIGHT_MAX_MS 4000

struct dtls_fingerprint {
	uint8_t len;             /* 20 SHA-1, 28 SHA-224, 32 SHA-256, 48 SHA-384, 64 SHA-512 */
	uint8_t digest[DTLS_DIGEST_MAX];
};

/* What an offer and its answer say of an association. */
struct dtls_params {
	uint32_t number;         /* not 0; another one is another association */
	bool is_client;
	bool is_due;             /* media are expected: from here on the handshake has its time (dtls_session.h) */
	unsigned nfingerprints;  /* one of these is to be the peer's */
	struct dtls_fingerprint fingerprints[DTLS_FINGERPRINTS_MAX];
};

struct dtls_identity;

int dtls_identity_new(struct dtls_identity **out);  /* -ENOMEM, -EIO: OpenSSL won't */
void dtls_identity_free(struct dtls_identity *id);  /* NULL: nothing */
/* "sha-256 4A:AD:...", as in a=fingerprint. */
const char *dtls_identity_fingerprint(const struct dtls_identity *id);

enum dtls_status {
	DTLS_GOING,
	DTLS_DONE,               /* dtls_keys() has them */
	DTLS_BROKEN,             /* by an alert, no profile of SRTP in common, flights that nobody answers */
	DTLS_WRONG_CERTIFICATE,
};

struct dtls;

/* p is copied. send gets each datagram of ours, from within the calls below. -ENOMEM. */
int dtls_new(struct dtls **out, const struct dtls_identity *id, const struct dtls_params *p,
	     void (*send)(const uint8_t *p, size_t n, void *arg), void *arg);
void dtls_redirect(struct dtls *d, void *arg);      /* what send gets from now on */
void dtls_free(struct dtls *d);                     /* NULL: nothing */
/* Client: sends its first flight. */
enum dtls_status dtls_start(struct dtls *d);
/* Server, before anything else: takes a ClientHello from an address that nobody has named. It is answered with a cookie for that address,
 * smaller than itself, and nothing is kept of it; the next one with the cookie shows that the address is true (RFC 6347 §4.2.1), has begun the
 * handshake when this returns, and is told by true. */
bool dtls_listen(struct dtls *d, const struct addr *from, const uint8_t *p, size_t n, enum dtls_status *status);
/* A datagram of the peer. When all is done, those with which he asks for the last flight again. */
enum dtls_status dtls_take(struct dtls *d, const uint8_t *p, size_t n);
/* How long until dtls_timeout() is to be called, in ms; -1: nothing is awaited. By the system's clock. */
int dtls_wait_ms(struct dtls *d);
/* Sends the last flight again if it is time. */
enum dtls_status dtls_timeout(struct dtls *d);
/* Once DONE. -EIO. The caller forgets them. */
int dtls_keys(struct dtls *d, struct secure_params *out);

/* May it be a datagram of DTLS at all? */
bool dtls_is_record(const uint8_t *p, size_t n);
/* Does it begin a handshake? Nothing is known of who sent it. */
bool dtls_is_hello(const uint8_t *p, size_t n);
bool dtls_is_same_peer(const struct dtls_params *a, const struct dtls_params *b); /* by the fingerprints */

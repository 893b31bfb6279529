/* tls.h - TLS over a stream that somebody else reads and writes (RFC 5246, RFC 8446; SIP: RFC 3261 §26.3, RFC 5922).
 *
 * A struct tls turns the peer's bytes into plain ones and plain ones into bytes for the peer, and touches no socket:
 *   wire -> tls_receive() -> tls_read() -> us        us -> tls_write() -> tls_output() -> wire
 * After each of tls_new(), tls_receive(), tls_read(), tls_write() and tls_close(), what tls_output() has is to be sent.
 * What is written during the handshake waits for its end.
 *
 * Certificates are a context's. It can be loaded anew at any time; connections go on with what they began with.
 *
 * Owner:  whoever made it; a context must outlive the making of its connections only.
 * Thread: loop thread.
 * Errors: -EPROTO broken or refused by the peer, -EACCES the peer's certificate won't do, -ECONNRESET the peer has closed it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/str.h"

struct tls_context;

/* PEM files: a certificate with its chain; key NULL: in cert. ocsp: what its authority says of it (ocsp.h), shown to clients that ask; NULL: nothing */
struct tls_pair { const char *cert, *key, *ocsp; };

#define TLS_WHY_MAX 512

struct tls_context_params {
	const struct log *log;
	const char *cert, *key;  /* PEM files, the chain in cert; NULL: none (a client's side needs none) */
	const char *ocsp;        /* server's side: as in struct tls_pair */
	const struct tls_pair *more; /* server's side: further ones, shown to who calls one of their names (SNI); else cert is */
	unsigned nmore;
	const char *ca;          /* PEM file of authorities; NULL: the system's */
	const char *crl;         /* PEM file of lists of what they have revoked, which then is good for nothing; NULL: none */
	bool asks_client;        /* server's side: asks for a certificate, takes none for an answer */
	bool needs_client;       /* server's side: refuses who has none that is good */
	bool checks_server;      /* client's side: refuses servers whose certificate isn't good for the name called */
	char *why;               /* of TLS_WHY_MAX bytes: gets what is wrong with a file, which then isn't logged; NULL: it is */
	bool needs_ocsp;         /* client's side, with that: refuses those that don't show that it isn't revoked (RFC 6066 §8) */
};

/* A file that can't be read: its errno (-ENOENT, -EACCES); one that is no good, or no key's: -EINVAL; -ENOMEM. What it is about a
 * file is logged, or written to p->why. */
int tls_context_new(struct tls_context **out, const struct tls_context_params *p);
/* Reads the files again. When they are broken the former ones stay in force and the error is logged. */
int tls_context_reload(struct tls_context *c);
/* The same if a file has changed since it was read: then it is true. */
bool tls_context_refresh(struct tls_context *c);
/* Makes the SSL_CTX of a library that does the server's side itself show and ask what c would, also after it has been read again. c
 * must outlive it. */
void tls_context_serve(const struct tls_context *c, void *ssl_ctx);
/* Is what the peer of such an SSL has shown revoked by what c has read? NULL: no. */
bool tls_context_revokes(const struct tls_context *c, const void *ssl);
void tls_context_free(struct tls_context *c);

struct tls;

int tls_accept(struct tls **out, struct tls_context *c);
/* name: the domain or address called, for SNI (names alone) and to be checked against (RFC 5922 §7.2); NULL: neither. */
int tls_connect(struct tls **out, struct tls_context *c, const char *name);
void tls_free(struct tls *t);

int tls_receive(struct tls *t, const char *bytes, size_t n);
ssize_t tls_read(struct tls *t, char *buf, size_t size);  /* 0: nothing now */
int tls_write(struct tls *t, struct str plain);           /* copied; -ENOBUFS: too much while shaking hands */
void tls_close(struct tls *t);                            /* says goodbye (close_notify) */
struct str tls_output(const struct tls *t);               /* valid until anything else is called */
void tls_output_sent(struct tls *t);

bool tls_is_established(const struct tls *t);
/* Has the peer shown a certificate that its authority vouches for and that names this domain (RFC 5922 §7.1)? */
bool tls_peer_is(const struct tls *t, const char *domain);
/* Is the peer's certificate, whether it matters or not, revoked by what c knows? */
bool tls_is_revoked(const struct tls *t, const struct tls_context *c);
/* The i-th of the domains, in lower case, and then the users ("alice@example.com") that its certificate stands for, valid as long as t; NULL: none,
 * or no more. Cheap but the first time. */
const char *tls_peer_identity(struct tls *t, unsigned i);
const char *tls_version(const struct tls *t);             /* "TLSv1.3" */

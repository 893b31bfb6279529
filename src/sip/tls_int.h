/* tls_int.h - between tls_context.c (files and what is made of them) and tls.c (connections). */
#pragma once

#include <openssl/ssl.h>
#include <time.h>

#include "sip/ocsp.h"
#include "sip/tls.h"

/* What was made of a context's files at one time. Connections hold it: the files may be read again while they shake hands. */
struct tls_certs {
	unsigned refs;
	unsigned n;
	struct ocsp_staple **staples; /* of each, NULL: none */
	struct tls_certs *former; /* in a context's list of those that others took the place of */
	time_t retired;
	SSL_CTX *ssl[];     /* of one pair its own; of several one that begins with the first, and chooses, and behind it each one's own */
};

struct tls_context {
	struct tls_context_params p;
	struct tls_pair *pairs;   /* the files; cert NULL: none (the first one's alone) */
	unsigned npairs;
	char *ca, *crl;
	struct timespec changed;  /* the latest change of the files read */
	struct tls_certs *certs;
	struct tls_certs *former; /* handshakes that OpenSSL goes on with alone may refer to them: kept for a while */
};

struct tls_certs *tls_certs_ref(struct tls_certs *certs);
void tls_certs_unref(struct tls_certs *certs); /* NULL: nothing */

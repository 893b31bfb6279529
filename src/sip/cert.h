/* cert.h - for which domains a certificate stands (RFC 5922 §7.1): its SIP URIs without a user; if it has none, its DNS names. The
 * common name counts, where it may, in one without alternative names. And for which users: its SIP URIs with one.
 *
 * Thread: any. Nothing is kept.
 */
#pragma once

#include <openssl/x509.h>
#include <stdbool.h>

#include "base/str.h"

/* Is it one for this domain or address (RFC 5922 §7.2: no wildcards)? */
bool cert_is_for(X509 *cert, const char *domain);
/* Is one of a chain (the peer's first) on a list of what its authority has revoked that is among those of store (RFC 5280 §5)? A list that
 * should have been renewed counts on; one of an authority that isn't in the chain says nothing. */
bool cert_is_revoked(STACK_OF(X509) *chain, X509_STORE *store);
/* Is it one to show to who calls this name (RFC 6066 §3)? Here all of its names count, wildcards too: it is for the client to judge. */
bool cert_suits(X509 *cert, const char *name);
/* The domains that it stands for, in lower case, and behind them the users, "alice@example.com", the domain in lower case: each ended by a
 * NUL and the last by another; without wildcards and the common name, which nobody vouches for. To be freed. NULL: no memory. */
char *cert_identities(X509 *cert);

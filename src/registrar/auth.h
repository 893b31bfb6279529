/* auth.h - who sent this request? Digest or the certificate for extensions, the source address or the certificate for trunks.
 *
 * One function for REGISTER, INVITE, SUBSCRIBE and the rest, so that they all refuse alike: an unknown user gets what a
 * wrong password gets, with the same challenge, after the same work.
 *
 * Owner:  its maker embeds it and outlives it with what it points to. Thread: loop thread. Nothing is called back.
 */
#pragma once

#include "directory/directory.h"
#include "sip/digest.h"
#include "sip/guard.h"
#include "sip/ua.h"

struct auth {
	struct directory *directory;
	struct digest_server *digest;
	const struct log *log;
	struct transport *transport; /* whose connections' certificates tell trunks and phones; NULL: none do */
	struct guard *guard;     /* told who has shown what password; NULL: nobody is */
	/* The trunk to whose own contact a request came (outgoing.h); NULL: none. May be NULL. */
	const struct dir_trunk *(*trunk_of)(const struct sip_msg *m, const struct sip_source *src, void *arg);
	void *trunk_of_arg;
};

enum auth_verdict {
	AUTH_OK,
	AUTH_ANSWERED,   /* challenged (401/407) or refused (400, 403, 503): a final response has been sent */
};

struct auth_identity {
	char domain[64];
	char number[64];         /* extension; "" for a trunk */
	char trunk[64];          /* "" for an extension */
	char context[64];
	char display_name[128];
	const char *known_by;    /* "password", "certificate", "address" or "registration" (ours, there); static */
	/* AUTH_ANSWERED: with which status it was refused, and why; NULL: it was only asked for its password. domain and number are what it
	 * said to be, as far as they could be. Static. */
	int refused_status;
	const char *refused;
};

/* Authenticates the sender of st's request. Challenges are 401 with WWW-Authenticate for every method: we are a UAS, not a proxy
 * (RFC 3261 §22.1). A phone whose certificate is its extension's (pbx.certificate) needs no credentials to be that one. A trunk whose certificate (RFC 5922) or address matches needs no
 * credentials, but can only call, ask and write: REGISTER, SUBSCRIBE and PUBLISH are those of phones.
 * The user the request claims (From, or To of REGISTER) must be the one the credentials belong to, or a number of that exchange (RFC 6140),
 * else 403; but a From of anonymous.invalid
 * (RFC 3323) claims nobody. Database away and nothing
 * loaded: 503 with Retry-After. */
enum auth_verdict auth_check(struct auth *a, struct strans *st, const struct sip_msg *m, struct auth_identity *out);

/* For sip_ua_on_early(), arg is a struct auth: the challenge that auth_check() would answer with, without a transaction, for who shows no
 * credentials, or such as answer no challenge of ours to that source. SIP_EARLY_KEEP for all else. */
enum sip_early auth_challenge_early(const struct sip_msg *m, const struct sip_source *src, struct out *hdrs, void *arg);

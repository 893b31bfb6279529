/* identity.h - who somebody is, as SIP says it: what is believed of a message, and what a peer is told.
 *
 * RFC 3323 (Privacy), RFC 3325 (P-Asserted-Identity, P-Preferred-Identity), Remote-Party-ID
 * (draft-ietf-sip-privacy-04, which older gateways speak), RFC 3966 (tel). A phone is who it has authenticated as, whatever its From says; a
 * trunk of the trust domain is believed what it asserts, any other what stands in From, which is little.
 *
 * Functions of messages and text alone. Thread: any.
 */
#pragma once

#include "sip/msg.h"

#define IDENTITY_ANONYMOUS_URI "sip:anonymous@anonymous.invalid" /* RFC 3323 §4.1.1.3 */
#define IDENTITY_HDRS_MAX 2560 /* of identity_print() */

/* What Privacy asks for. header and session are what a B2BUA does anyway: no Via, Contact, Record-Route or media address of one
 * side reaches the other. */
enum {
	PRIVACY_HEADER = 1, PRIVACY_SESSION = 2, PRIVACY_USER = 4, PRIVACY_NONE = 8, PRIVACY_CRITICAL = 16, PRIVACY_ID = 32,
	PRIVACY_HISTORY = 64,          /* RFC 7044 §10.1 */
	PRIVACY_UNKNOWN = 128          /* something else, too */
};

struct identity {
	char number[128];              /* without the visual separators of a tel URI; "": not known */
	char name[128];                /* unquoted text */
	unsigned privacy;
};

/* How a peer is told of others. */
struct identity_rules {
	bool is_trusted;               /* inside the trust domain: is told also of those who want privacy, with their wish */
	bool has_asserted;             /* P-Asserted-Identity; to one that isn't trusted (a phone) only without privacy */
	bool has_preferred;            /* P-Preferred-Identity: it is a provider, we are its user (RFC 3325 §9.2) */
	bool has_rpid;                 /* Remote-Party-ID, in the same way as P-Asserted-Identity */
};
enum identity_party { IDENTITY_CALLING, IDENTITY_CALLED };

/* "id;user" */
unsigned privacy_parse(struct str list);
/* All Privacy headers together. */
unsigned privacy_of(const struct sip_msg *m);
/* May the identity not be shown? "none" overrides all else. */
static inline bool identity_is_hidden(const struct identity *id)
{
	return !(id->privacy & PRIVACY_NONE) && (id->privacy & (PRIVACY_ID | PRIVACY_USER));
}
/* RFC 3323 §4.1.1.3: anonymous@anonymous.invalid, as a caller writes that hides himself. */
bool identity_is_anonymous_uri(const struct sip_uri *uri);

/* The number that a sip or tel URI names, as sip_uri_number(); "" when there is none, or one with control characters. */
void identity_number_of(const struct sip_uri *uri, char *buf, size_t size);
/* A display name as text, its quoted pairs undone and control characters left out. */
void identity_name_of(struct str display, char *buf, size_t size);

/* Whom a trunk names, as caller (in requests) or as the one who answers (in responses). Trusted: by P-Asserted-Identity, else
 * Remote-Party-ID, else as others. Others: by From; a response doesn't tell then. false: nothing was told, *out is empty but for privacy. */
bool identity_of_trunk(struct identity *out, const struct sip_msg *m, bool is_trusted);
/* Whom it asserts to be there, by P-Asserted-Identity or Remote-Party-ID alone. Only for peers of the trust domain. */
bool identity_asserted(struct identity *out, const struct sip_msg *m);
/* A phone's P-Preferred-Identity: the first of its numbers that is among `allowed`; NULL: none. */
const char *identity_preferred(const struct sip_msg *m, const char *const *allowed, unsigned n);

/* Header lines that tell a peer of id: P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID, Privacy, as its rules say. host: ours,
 * IPv6 with brackets. From is the caller's business, see identity_is_hidden(). */
void identity_print(struct out *o, const struct identity *id, const char *host, const struct identity_rules *rules, enum identity_party party);
/* The same for a peer that has been told of somebody else before: whoever may not be shown is shown as anonymous, or the other one would
 * stay on the display. */
void identity_print_connected(struct out *o, const struct identity *id, const char *host, const struct identity_rules *rules,
			      enum identity_party party);
/* "Name" <sip:number@host>, or the anonymous one. */
void identity_print_addr(struct out *o, const char *number, const char *name, const char *host, bool is_hidden);

/* uri.h - SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).
 *
 * A parsed URI holds slices of the text it was parsed from.
 *
 * Thread: any.
 */
#pragma once

#include "base/out.h"
#include "base/str.h"

enum sip_scheme { SIP_SCHEME_SIP, SIP_SCHEME_SIPS, SIP_SCHEME_TEL, SIP_SCHEME_OTHER };

struct sip_uri {
	enum sip_scheme scheme;
	struct str text;      /* all of it */
	struct str user;      /* still escaped; the number of a tel URI */
	struct str password;
	struct str host;      /* IPv6 with its brackets */
	struct str params;    /* without the leading ';' */
	struct str headers;   /* without the leading '?' */
	uint16_t port;        /* 0: none given */
};

/* Whole slice; -EINVAL when it is not a URI: then *out is of no use. */
int sip_uri_parse(struct sip_uri *out, struct str text);
/* Compares as RFC 3261 §19.1.4 says (escapes, case, parameters that must match). */
bool sip_uri_eq(const struct sip_uri *a, const struct sip_uri *b);
/* A parameter of a ";name=value;name" list: true when present; value may be NULL or gets STR_NULL
 * for a flag. Names compare without case. */
bool sip_param_find(struct str params, const char *name, struct str *value);
/* The q of these parameters in thousandths (RFC 3261 §20.10): "0.5" is 500. 1000 without one, or with one that is none. */
uint16_t sip_param_q_milli(struct str params);
/* Cuts the next one off the list: its name and its value (STR_NULL for a flag). False at the end. */
bool sip_param_next(struct str *params, struct str *name, struct str *value);
/* The same of a list with another separator: ',' of credentials. */
bool sip_list_param_next(struct str *list, char sep, struct str *name, struct str *value);
/* Undoes %XX into buf (NUL-terminated); -ENOSPC, or -EINVAL for a bad escape or NUL, and buf is "". */
int sip_unescape(struct str s, char *buf, size_t size);
/* What a sip or tel URI calls: its user part, unescaped. Where that is a telephone number (a tel URI, user=phone: RFC 3261 §19.1.6),
 * without what only helps the eye (RFC 3966 §5.1.1) and without its parameters. Errors as sip_unescape, and -EINVAL of other schemes. */
int sip_uri_number(const struct sip_uri *uri, char *buf, size_t size);
/* Writes a user part with RFC 3261 §25.1 escaping. */
void sip_escape_user(struct out *o, struct str user);

/* chars.h - what a character may be part of (RFC 3261 §25.1): one table, so that a text is checked with one look a character.
 *
 * Bytes above 127 are let pass in URIs: phones put UTF-8 there. NUL belongs to nothing.
 *
 * Thread: any.
 */
#pragma once

#include "base/str.h"

enum sip_char {
	SIP_CH_TOKEN = 1,
	SIP_CH_USER = 2,       /* user part of a URI, unescaped */
	SIP_CH_PASSWORD = 4,
	SIP_CH_PARAMS = 8,     /* its parameters, with their separators */
	SIP_CH_HEADERS = 16,   /* its headers, with theirs */
	SIP_CH_HOST = 32,      /* names and IPv4 addresses; underscores are no host name, but Windows networks have them */
	SIP_CH_HEX = 64,
	SIP_CH_SCHEME = 128,
};

extern const unsigned char sip_chars[256];

static inline bool sip_char_is(char c, enum sip_char what) { return sip_chars[(unsigned char)c] & what; }

/* Nothing but these; true for an empty text. */
static inline bool sip_chars_are(struct str s, enum sip_char what)
{
	for (size_t i = 0; i < s.n; i++)
		if (!sip_char_is(s.p[i], what))
			return false;
	return true;
}

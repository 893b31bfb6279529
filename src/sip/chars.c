/* chars.c - the table of chars.h, worked out by the compiler from the sets of RFC 3261 §25.1. */
#include "sip/chars.h"

#define ALPHA(c) (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define DIGIT(c) ((c) >= '0' && (c) <= '9')
#define ALNUM(c) (ALPHA(c) || DIGIT(c))
#define UNRESERVED(c) (ALNUM(c) || (c) == '-' || (c) == '_' || (c) == '.' || (c) == '!' || (c) == '~' || (c) == '*' || (c) == '\'' || \
		       (c) == '(' || (c) == ')' || (c) >= 128)
#define TOKEN(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '!' || (c) == '%' || (c) == '*' || (c) == '_' || (c) == '+' || \
		  (c) == '`' || (c) == '\'' || (c) == '~')
#define RESERVED(c) ((c) == '&' || (c) == '=' || (c) == '+' || (c) == '$' || (c) == ',')
#define MORE(c) (RESERVED(c) || (c) == ';' || (c) == '/' || (c) == '[' || (c) == ']')
#define PARAMS(c) (UNRESERVED(c) || MORE(c) || (c) == ':' || (c) == '@' || (c) == '"')

#define CLASS(c) \
	((TOKEN(c) ? SIP_CH_TOKEN : 0) | (UNRESERVED(c) || MORE(c) || (c) == '?' || (c) == '#' ? SIP_CH_USER : 0) | \
	 (UNRESERVED(c) || RESERVED(c) ? SIP_CH_PASSWORD : 0) | (PARAMS(c) ? SIP_CH_PARAMS : 0) | \
	 (PARAMS(c) || (c) == '?' ? SIP_CH_HEADERS : 0) | (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' ? SIP_CH_HOST : 0) | \
	 (DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F') ? SIP_CH_HEX : 0) | \
	 (ALNUM(c) || (c) == '+' || (c) == '-' || (c) == '.' ? SIP_CH_SCHEME : 0))

#define ROW4(c) CLASS(c), CLASS(c + 1), CLASS(c + 2), CLASS(c + 3)
#define ROW16(c) ROW4(c), ROW4(c + 4), ROW4(c + 8), ROW4(c + 12)
#define ROW64(c) ROW16(c), ROW16(c + 16), ROW16(c + 32), ROW16(c + 48)

const unsigned char sip_chars[256] = { ROW64(0), ROW64(64), ROW64(128), ROW64(192) };

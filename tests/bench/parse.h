/* parse.h - what parse.c asks of each parser, so that all do the same work.
 *
 * A parser is handed a datagram and says what a user agent must know of it. All must say the same (parse.c compares), so none can leave
 * out a header that another has to read. That it is asked in the timed loop makes whoever reads lazily do it there.
 */
#pragma once

#include "base/str.h"

struct facts {
	struct str method;              /* of the CSeq */
	int status;                     /* 0: a request */
	uint32_t cseq;
	int max_forwards;               /* -1: none */
	struct str call_id, from_tag, to_tag, branch;
	struct str from_user, to_host, ruri_host;
	unsigned nvias, nroutes, ncontacts; /* nroutes: of Route and Record-Route */
	struct str via_host;            /* of the last one */
	struct str contact_host, route_host;
	struct str content_type;        /* "application/sdp" */
	struct str auth_response;
	/* of the first m= */
	unsigned media_port, nformats, event_hz;    /* event_hz: the clock of telephone-event */
	struct str media_addr, event_format;        /* "101" */
	char direction;                             /* 's'endrecv, send'o'nly, 'r'ecvonly, 'i'nactive */
};

struct parser {
	const char *name, *version;
	/* Parses len bytes, which it may not write to, and fills *f, all zero before; 0 or -1. What f points to holds until release(). */
	int (*parse)(const char *bytes, size_t len, struct facts *f);
	void (*release)(void);
};

extern const struct parser cordboard_parser;
/* The others are shared objects, each with a `const struct parser parser`: their names would collide with ours and with each other's. */

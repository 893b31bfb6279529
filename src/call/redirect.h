/* redirect.h - where a 3xx sends a call: its Contacts as numbers, in the order they are to be tried (RFC 3261 §8.1.3.4, §21.3).
 *
 * Phones that divert name numbers of the domain: the user part counts, whatever the host. Networks name other ways to a number: there the
 * whole URI counts.
 *
 * Functions of messages alone. Thread: any.
 */
#pragma once

#include "sip/msg.h"

#define REDIRECTS_MAX 8        /* Contacts that are looked at */

struct redirect {
	char number[128];
	char uri[256];         /* without its headers; "": too long */
	uint16_t q_milli;
	const char *reason;    /* why, as Diversion has it; static */
};

struct redirects {
	unsigned n;
	struct redirect to[REDIRECTS_MAX];
};

/* By falling q, those of the same q as they stand, each text once. To be freed. NULL: none, or no memory; a 305 and a 380 name other
 * things than numbers to try. */
struct redirects *redirects_take(const struct sip_msg *m);
/* One number, as a phone's 302 would name it. */
struct redirects *redirects_to(const char *number);

/* phones.h - a request outside of any dialog to the phones of an extension, each by one of its flows at a time (RFC 5626 §7).
 *
 * A phone that has registered several flows gets the request by the newest of them that answers; by the next one when that
 * can't be sent over, isn't answered for a while, or is answered 408 or 430: then a proxy on the way has lost the flow. Contacts that are
 * no flows are a phone each.
 *
 * Owner:  its maker. phones_stop() while the registrar lives, phones_free() after the user agent is closed.
 * Thread: loop thread.
 */
#pragma once

#include "registrar/registrar.h"
#include "sip/outside.h"

struct phones;

struct phones_request {               /* all but method is copied */
	const char *method;           /* a literal */
	struct str from_display, from_user;
	struct str hdrs;              /* further whole lines */
	const char *ctype;
	struct str body;
	const char *instance, *sg;    /* of the one phone that is meant, see registrar_gruu; NULL: all of them */
	uint8_t max_forwards;         /* 0: 70 */
	bool is_long;                 /* not by UDP */
};

int phones_new(struct phones **out, struct registrar *r, struct sip_ua *ua); /* -ENOMEM */
void phones_stop(struct phones *ps); /* no other flow is tried any more */
void phones_free(struct phones *ps); /* NULL allowed */

/* Sends *r to the phones of a number. fn (NULL: nobody is told) is called once for each, never before this returns: with the final response's
 * status, or 408 or 503 where none came. Returns how many phones that is; -ENOENT: there are none, or none can be sent to; -EMSGSIZE: none that
 * takes what is long; -ENOMEM. */
int phones_ask(struct phones *ps, const char *domain, const char *number, const struct phones_request *r,
	       void (*fn)(int status, void *arg), void *arg);
/* fn is called for arg as before, but no other flow is tried. */
void phones_give_up(struct phones *ps, const void *arg);

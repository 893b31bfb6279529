/* outside.h - a request outside of any dialog: MESSAGE, and NOTIFYs that nobody subscribed to (RFC 3261 §8.1).
 *
 * Finds its way (RFC 3263), tries the next target when one doesn't answer or says 503, and answers a challenge.
 *
 * Owner:  the user agent; it frees itself when its final response has been told. Closing the user agent frees it without a call.
 * Thread: loop thread.
 */
#pragma once

#include "sip/ua.h"

struct outside;

struct outside_params {                /* all is copied */
	const char *method;
	struct str target;             /* Request-URI */
	struct str route;              /* Route header value(s), may be empty */
	const struct sip_dest *dest;   /* where it is sent; NULL: where the route or the target leads */
	struct str from_display, from_user; /* From is at our own address; display unquoted, may be empty */
	struct str to_uri;             /* empty: the target */
	struct str hdrs;               /* further whole lines */
	/* Writes more of them, with our address as in From (IPv6 in brackets); called before outside_send() returns. NULL: there are none. */
	void (*write_hdrs)(struct out *o, const char *host, void *arg);
	void *hdrs_arg;
	const char *ctype;
	struct str body;
	uint8_t max_forwards;          /* 0: 70 */
	bool has_rivals;               /* you have other ways: a target that says nothing is given up as soon as if it had another */
	enum sip_oc oc;                /* offered in the Via (RFC 7339) */
	const char *auth_user, *auth_password; /* NULL: no */
};

/* status: of the final response m; 408 or 503 with m NULL: none came, or it couldn't be sent. */
typedef void outside_fn(int status, const struct sip_msg *m, void *arg);

/* Calls back exactly once, never before it returns, unless outside_forget() was called. */
int outside_send(struct outside **out, struct sip_ua *ua, const struct outside_params *p, outside_fn *fn, void *arg);
/* It goes on, nobody is told. */
void outside_forget(struct outside *o);

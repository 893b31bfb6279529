/* hop.h - where a call of ours goes first (RFC 3263, RFC 7984).
 *
 * Thread: the task of a call.
 */
#pragma once

#include "call/call_int.h"

/* Where a name leads: first, and first of the other address family, which needs an offer of its own. Those of one family the session
 * tries by itself. */
struct hop {
	struct sip_dest dest, other;
	bool has_other;
};

/* The first URI of a value of Route, or without one (NULL or "") uri. May park the task: what was looked up in the directory before has to
 * be looked up again. -EINVAL, -EHOSTUNREACH nothing found, -ECANCELED hung up meanwhile. */
int hop_find(struct call *call, const char *uri, const char *route, struct hop *out);

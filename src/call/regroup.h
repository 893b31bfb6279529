/* regroup.h - answered legs that are put into a new call by command: two that talk with each other, or one that is parked.
 *
 * They may come from any calls of a domain. Whom they leave is hung up in the ordinary way of his call.
 *
 * Who is parked hears music until he is retrieved: by a command, or by the application retrieve. When that takes too long, who parked him is
 * called.
 *
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

struct regroup_park {
	struct leg *leg;
	const char *slot;         /* the number that he is parked under; "": the first that is free, from 1 on */
	uint32_t timeout_s;       /* 0: for ever */
};

/* All: -EINVAL: it isn't answered, or is being transferred, or they talk already; -EAGAIN: the server is being stopped; -ENOMEM. On
 * failure nobody has left anything. */
int regroup_bridge(struct leg *a, struct leg *b, struct call **out);
/* -EBUSY: somebody is parked there. Who talks with the leg is whom it goes back to in the end, if he is an extension. */
int regroup_park(const struct regroup_park *p, struct call **out);

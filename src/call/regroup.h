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

/* All: -EINVAL: it isn't answered, or is being transferred, or they talk already; -EAGAIN: there are as many calls as there may be; -ENOMEM. */
int regroup_bridge(struct leg *a, struct leg *b, struct call **out);
/* -EBUSY: somebody is parked there. by: who talks with the leg; he is called in the end. */
int regroup_park(const struct regroup_park *p, struct call **out);

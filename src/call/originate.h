/* originate.h - calls made by command: the phones of an extension ring, and who answers there dials a number.
 *
 * Until then the caller's leg is one that isn't there; the one that answers takes its place, and from then on it is a call like others.
 *
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"
#include "call/command.h"

struct call_originate {
	const char *id;           /* of the call */
	const char *domain, *extension, *context, *number;
	uint32_t ring_s;          /* how long the extension rings; 0: its own time */
	struct command *command;  /* told when number is answered, or why not */
};
/* -EACCES: there is no such extension; -EAGAIN: as many calls as there may be; -EINVAL: too long; -ENOMEM. On success the command is its. */
int call_originate(struct calls *cs, const struct call_originate *p);

/* Tasks: runs it, in place of a route. */
enum app_result originate_run(struct call *call);
/* The extension has answered by this leg. */
enum app_result originate_take(struct call *call, struct leg *leg);
/* Somebody has answered the call; it is over with r. Nothing if there is no command left. */
void originate_answered(struct call *call);
void originate_over(struct call *call, enum app_result r);

/* announce.h - sound that is played into a call by command: to one of those who talk, or to both, or to one who is in a conference.
 *
 * Who hears it neither hears the other nor is heard meanwhile; then they talk on. What is done with the call meanwhile, a hold, say, ends it.
 *
 * Owner:  an announcement belongs to the legs that hear it, which tell its command of the end.
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"
#include "call/command.h"

/* leg NULL: to both who talk. -EINVAL: they don't talk, or something is being played to them already; -ENOENT: there is no such sound; -ENOMEM. On
 * success the command is its, if there is one. */
int announce(struct call *call, struct leg *leg, const char *phrases, struct command *command);
/* The play to this leg has ended. */
void announce_ended(struct leg *leg, bool is_played);

/* control.h - carries out commands to calls: finds what they name, and does it.
 *
 * Owner:  nobody; what goes on after a command has begun belongs to its call.
 * Thread: loop thread.
 */
#pragma once

#include "call/calls.h"
#include "call/command.h"

/* calls must outlive what commands take. -ENOMEM */
int control_begin(struct calls *calls, struct commands *commands);
/* calls end: the database is told nothing any more. */
void control_stop(struct calls *calls);
/* A call has ended: who waits until none is left is told. */
void control_call_gone(struct calls *calls);

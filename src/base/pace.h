/* pace.h - a busy loop rests between its turns, so that each turn finds several messages at once.
 *
 * Most of what a small message costs beyond its own handling is the way there: waking up, asking what is ready, reading one
 * datagram where sixteen would do, with caches that others have filled meanwhile. So while many messages come, the loop
 * sleeps a moment before it looks for the next. None waits longer than PACE_MS for that, which no signalling notices,
 * and a loop with little to do never rests.
 *
 * Owner:  its maker; freed after the loop has closed its handle.
 * Thread: the loop's.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#define PACE_MS 10
#define PACE_BUSY 400     /* messages a second from which it pays */

struct pace;

/* count: messages received so far. */
int pace_new(struct pace **out, uv_loop_t *loop, uint64_t (*count)(void *arg), void *arg);
void pace_close(struct pace *p); /* count() is not called any more; NULL: nothing */

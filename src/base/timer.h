/* timer.h - a hierarchical timing wheel; timers live inside the object they belong to.
 *
 * Owner:   struct timers belongs to its maker; a struct timer to the object that embeds it,
 *          which must stop it before it is freed.
 * Thread:  the thread that runs the wheel.
 * Start and stop cost O(1) and allocate nothing. Resolution 1 ms. A timer fires once, never
 * early, and may be restarted or its object freed inside its own callback.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct timers;

struct timer {
	struct timer *next, **pprev; /* NULL pprev: not running */
	uint64_t at_ms;
	void (*fn)(void *arg);
	void *arg;
};

/* A wheel whose time starts at now_ms and moves only by timers_run(). NULL without memory. */
struct timers *timers_new(uint64_t now_ms);
void timers_free(struct timers *w);
uint64_t timers_now(const struct timers *w);
/* Moves the time to now_ms and fires, in order of expiry, what is due (also what callbacks start
 * inside that span). Moving back does nothing. */
void timers_run(struct timers *w, uint64_t now_ms);
/* ms until the next timer may fire (may be early by one wheel turn, never late), -1 when none. */
int64_t timers_next(const struct timers *w);
unsigned timers_count(const struct timers *w); /* running timers, for leak checks */

static inline void timer_init(struct timer *t, void (*fn)(void *arg), void *arg)
{
	*t = (struct timer){ .fn = fn, .arg = arg };
}
/* (Re)starts t to fire after_ms from timers_now(); 0 counts as 1. */
void timer_start(struct timers *w, struct timer *t, uint64_t after_ms);
/* The same for what only tidies up, by the thousand: up to TIMER_LATE_MS later, together with others, so that the loop that drives the wheel
 * wakes once for them all. A wheel that isn't driven keeps to the ms. */
#define TIMER_LATE_MS 63
void timer_start_late(struct timers *w, struct timer *t, uint64_t after_ms);
void timer_stop(struct timers *w, struct timer *t); /* nothing if not running */
static inline bool timer_is_running(const struct timer *t) { return t->pprev != NULL; }

/* Drives a wheel, made with timers_new(uv_now(loop)), from a loop: one uv_timer for the nearest expiry. */
struct timers_driver;
int timers_drive(struct timers_driver **out, struct timers *w, uv_loop_t *loop);
void timers_driver_close(struct timers_driver *d); /* asynchronous; frees itself, not the wheel */

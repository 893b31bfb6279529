/* clock.h - where the time comes from, so that tests can set it.
 *
 * mono_ms never goes back; wall_ms is Unix time in ms. Handed down, never global.
 *
 * Owner:  whoever makes one; what has it in its params must not outlive it. Thread: the system's any, others as their functions.
 */
#pragma once

#include <stdint.h>

struct clock {
	uint64_t (*mono_ms)(void *arg);
	int64_t (*wall_ms)(void *arg);
	void *arg;
};

extern const struct clock clock_system;

static inline uint64_t clock_mono_ms(const struct clock *c) { return c->mono_ms(c->arg); }
static inline int64_t clock_wall_ms(const struct clock *c) { return c->wall_ms(c->arg); }

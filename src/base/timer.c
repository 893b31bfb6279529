/* timer.c - a hierarchical timing wheel (Varghese and Lauck, scheme 6/7).
 *
 * Four wheels of 256 slots of 1 ms, 256 ms, 65 s and 4.7 h. A timer sits in the finest wheel that can hold its
 * expiry; when a coarser slot comes up, its timers move down. A bitmap per wheel makes finding the next slot
 * cheap, so an idle wheel costs nothing.
 */
#include "base/timer.h"

#include <stdlib.h>
#include <string.h>

#define BITS 8
#define SLOTS (1u << BITS)
#define WHEELS 4

struct timers {
	uint64_t now_ms;
	unsigned count;
	struct timers_driver *driver;
	uint64_t used[WHEELS][SLOTS / 64];
	struct timer *slot[WHEELS][SLOTS];
};

struct timers_driver {
	struct timers *timers;
	uv_timer_t timer;
	uv_loop_t *loop;
	uint64_t armed_ms; /* wheel time the uv timer will fire at; UINT64_MAX: not armed */
	bool is_running;
};

static void driver_rearm(struct timers_driver *d);

struct timers *timers_new(uint64_t now_ms)
{
	struct timers *w = calloc(1, sizeof(*w));

	if (w)
		w->now_ms = now_ms;
	return w;
}

void timers_free(struct timers *w)
{
	free(w);
}

/* A driven wheel stands still while nothing is due, so its loop knows the time better. */
uint64_t timers_now(const struct timers *w)
{
	return w->driver ? uv_now(w->driver->loop) : w->now_ms;
}

unsigned timers_count(const struct timers *w)
{
	return w->count;
}

/* Wheel and slot of an expiry, seen from now. */
static void place(const struct timers *w, uint64_t at_ms, unsigned *wheel, unsigned *slot)
{
	uint64_t furthest = ((uint64_t)1 << (BITS * WHEELS)) - SLOTS;
	uint64_t capped = at_ms - w->now_ms > furthest ? w->now_ms + furthest : at_ms;
	unsigned k = 0;

	/* The finest wheel whose current turn still contains the expiry. */
	while (k < WHEELS - 1 && (capped >> (BITS * (k + 1))) != (w->now_ms >> (BITS * (k + 1))))
		k++;
	*wheel = k;
	*slot = (unsigned)(capped >> (BITS * k)) & (SLOTS - 1);
}

static void link_timer(struct timers *w, struct timer *t)
{
	unsigned k, s;
	struct timer **head;

	place(w, t->at_ms, &k, &s);
	head = &w->slot[k][s];
	t->next = *head;
	if (t->next)
		t->next->pprev = &t->next;
	t->pprev = head;
	*head = t;
	w->used[k][s / 64] |= (uint64_t)1 << (s % 64);
}

static void unlink_timer(struct timer *t)
{
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	t->next = NULL;
	t->pprev = NULL;
}

static void start_at(struct timers *w, struct timer *t, uint64_t at_ms)
{
	timer_stop(w, t);
	t->at_ms = at_ms;
	link_timer(w, t);
	w->count++;
	if (w->driver && !w->driver->is_running && t->at_ms < w->driver->armed_ms)
		driver_rearm(w->driver);
}

/* A slot that is being fired can't take timers any more: what is due at once fires 1 ms later. */
void timer_start(struct timers *w, struct timer *t, uint64_t after_ms)
{
	start_at(w, t, timers_now(w) + (after_ms ? after_ms : 1));
}

void timer_start_late(struct timers *w, struct timer *t, uint64_t after_ms)
{
	uint64_t late_ms = w->driver ? TIMER_LATE_MS : 0;

	start_at(w, t, (timers_now(w) + (after_ms ? after_ms : 1) + late_ms) & ~late_ms);
}

void timer_stop(struct timers *w, struct timer *t)
{
	if (!t->pprev)
		return;
	unlink_timer(t);
	w->count--;
}

/* First used slot of wheel k at or after from, or SLOTS. Clears bits of slots found empty. */
static unsigned next_used(struct timers *w, unsigned k, unsigned from)
{
	for (unsigned s = from; s < SLOTS;) {
		uint64_t bits = w->used[k][s / 64] >> (s % 64);

		if (!bits) {
			s = (s / 64 + 1) * 64;
			continue;
		}
		s += (unsigned)__builtin_ctzll(bits);
		if (w->slot[k][s])
			return s;
		w->used[k][s / 64] &= ~((uint64_t)1 << (s % 64));
		s++;
	}
	return SLOTS;
}

/* The time at which something must be done next: a slot of the finest wheel fires, or one of a coarser moves down. */
static bool next_event(struct timers *w, uint64_t *at_ms)
{
	if (!w->count)
		return false;
	for (unsigned k = 0; k < WHEELS; k++) {
		uint64_t base = w->now_ms >> (BITS * k);
		unsigned cur = (unsigned)base & (SLOTS - 1);
		/* In wheel k > 0 the current slot has been moved down already. */
		unsigned s = next_used(w, k, cur + 1);

		if (s < SLOTS) {
			*at_ms = ((base & ~(uint64_t)(SLOTS - 1)) | s) << (BITS * k);
			return true;
		}
	}
	/* Only timers behind the end of the last wheel's turn. */
	*at_ms = ((w->now_ms >> (BITS * WHEELS)) + 1) << (BITS * WHEELS);
	return true;
}

/* Moves the timers of the coarser slots that begin now down to where they belong. */
static void cascade(struct timers *w)
{
	for (unsigned k = 1; k < WHEELS; k++) {
		unsigned s = (unsigned)(w->now_ms >> (BITS * k)) & (SLOTS - 1);
		struct timer *t = w->slot[k][s];

		if (w->now_ms & (((uint64_t)1 << (BITS * k)) - 1))
			return;
		w->slot[k][s] = NULL;
		w->used[k][s / 64] &= ~((uint64_t)1 << (s % 64));
		while (t) {
			struct timer *next = t->next;

			link_timer(w, t);
			t = next;
		}
	}
}

static void fire_slot(struct timers *w)
{
	unsigned s = (unsigned)w->now_ms & (SLOTS - 1);
	struct timer *due = w->slot[0][s];
	struct timer *ordered = NULL;

	w->slot[0][s] = NULL;
	w->used[0][s / 64] &= ~((uint64_t)1 << (s % 64));
	/* Slots are pushed at the front; reversed, timers of the same ms fire in the order they were started. */
	while (due) {
		struct timer *next = due->next;

		due->next = ordered;
		ordered = due;
		due = next;
	}
	if (ordered)
		ordered->pprev = &ordered;
	for (struct timer *t = ordered; t && t->next; t = t->next)
		t->next->pprev = &t->next;
	/* One at a time from the local list: a callback may stop any of the others. */
	while (ordered) {
		struct timer *t = ordered;

		unlink_timer(t);
		w->count--;
		t->fn(t->arg);
	}
}

void timers_run(struct timers *w, uint64_t now_ms)
{
	uint64_t at_ms;

	while (w->now_ms < now_ms && next_event(w, &at_ms) && at_ms <= now_ms) {
		w->now_ms = at_ms;
		cascade(w);
		fire_slot(w);
	}
	if (w->now_ms < now_ms)
		w->now_ms = now_ms;
}

int64_t timers_next(const struct timers *w)
{
	uint64_t at_ms;

	/* next_event() only tidies the bitmap. */
	if (!next_event((struct timers *)w, &at_ms))
		return -1;
	return (int64_t)(at_ms - w->now_ms);
}

/* ---- on a libuv loop ---- */

static void on_uv_timer(uv_timer_t *timer)
{
	struct timers_driver *d = timer->data;

	d->is_running = true;
	d->armed_ms = UINT64_MAX;
	timers_run(d->timers, uv_now(d->loop));
	d->is_running = false;
	driver_rearm(d);
}

static void driver_rearm(struct timers_driver *d)
{
	uint64_t now = uv_now(d->loop), at_ms;
	int64_t after;

	after = timers_next(d->timers);
	if (after < 0)
		return;
	at_ms = d->timers->now_ms + (uint64_t)after;
	d->armed_ms = at_ms;
	uv_timer_start(&d->timer, on_uv_timer, at_ms > now ? at_ms - now : 0, 0);
}

int timers_drive(struct timers_driver **out, struct timers *w, uv_loop_t *loop)
{
	struct timers_driver *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return UV_ENOMEM;
	d->timers = w;
	d->loop = loop;
	d->armed_ms = UINT64_MAX;
	d->timer.data = d;
	err = uv_timer_init(loop, &d->timer);
	if (err) {
		free(d);
		return err;
	}
	w->driver = d;
	*out = d;
	return 0;
}

static void on_driver_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void timers_driver_close(struct timers_driver *d)
{
	if (!d)
		return;
	d->timers->driver = NULL;
	uv_close((uv_handle_t *)&d->timer, on_driver_closed);
}

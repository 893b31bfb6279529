/* worker.c - a media worker: one thread, one epoll, its sessions.
 *
 * A round: wait, serve what is readable, run the tick if it is due, run due timers, then take commands, then send up
 * the events of the round in one batch. Commands come last, because they may end sessions that the same round's
 * list of ready sockets still points to. The wait ends at the next tick only if some session needs ticks; a worker
 * whose streams merely relay or idle sleeps until a packet or a timer. After a stall, the packets that queued up meanwhile
 * are taken in before the ticks that are overdue: else those ticks would find nothing to play, and the packets come too late.
 *
 * Under load, most of what a packet costs beyond the kernel's sending is the wake-up for it. So when rounds follow each
 * other closely, the worker naps a millisecond between them and finds many packets at once: a delay no ear notices, and
 * with 250 relayed calls 0.06 context switches a packet instead of 0.36. Where half a millisecond finds many, too, it naps no longer. A
 * worker with few streams never naps.
 */
#define LOG_MODULE "media"
#include "media/dtls_session.h"
#include "media/mixing.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/thread.h"
#include "media/mixer.h"

#define EVENTS_PER_ROUND 128
#define NAP_US 1000
#define NAP_SHORT_US 500    /* when there are enough packets for this, too: */
#define NAP_SHORTEN 40      /* more than so many found after a nap, */
#define NAP_LENGTHEN 15     /* until fewer than these */
#define NAP_WORTH 4         /* packets found after a nap that make the next one worth it */
#define LOOK_US 250000      /* how often its CPU time is looked at, at most */
#define SLICE_NS 300000
#define TICKS_BEHIND_MAX 10 /* after a longer stall (a suspended machine), ticks are skipped */
#define CATCH_UP_ROUNDS 32  /* packets a session may have waiting then; its jitter buffer holds no more */

uint64_t worker_clock_us(const struct clock *clock)
{
	struct timespec ts;

	if (clock)
		return clock_mono_ms(clock) * 1000;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t worker_ntp(const struct worker *w)
{
	struct timespec ts;

	if (w->clock)
		return rtcp_ntp((uint64_t)clock_wall_ms(w->clock) * 1000);
	clock_gettime(CLOCK_REALTIME, &ts);
	return rtcp_ntp((uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
}

int64_t worker_wall_ms(const struct worker *w)
{
	struct timespec ts;

	if (w->clock)
		return clock_wall_ms(w->clock);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int wait_ms(const struct worker *w)
{
	int64_t ms = w->handshakes ? 0 : timers_next(w->timers);

	if (worker_ticks(w)) {
		int64_t us = (int64_t)(w->tick_us - worker_clock_us(w->clock));
		int64_t tick = us <= 0 ? 0 : (us + 999) / 1000;

		if (ms < 0 || tick < ms)
			ms = tick;
	}
	return ms > 60000 ? 60000 : (int)ms;
}

static void run_ticks(struct worker *w)
{
	if (!worker_ticks(w)) {
		/* The next session that joins starts on the common 10 ms grid. */
		w->tick_us = (w->now_us / TICK_US + 1) * TICK_US;
		return;
	}
	if (w->now_us >= w->tick_us + TICKS_BEHIND_MAX * TICK_US)
		w->tick_us = w->now_us / TICK_US * TICK_US;
	while (w->now_us >= w->tick_us) {
		struct rtp_session *s;

		for (s = w->ticking; s; s = w->tick_next) {
			w->tick_next = s->tick_next;
			rtp_session_tick(s);
		}
		w->tick_next = NULL;
		if (w->mixings)
			mixings_tick(w);
		w->tick_us += TICK_US;
	}
}

/* Returns false when the worker is to end. */
static bool run_commands(struct worker *w)
{
	struct msg *m, *next;
	uint64_t n;
	bool go_on = true;

	/* Before the queue is taken: a command pushed in between wakes us again. */
	while (read(w->wake_fd, &n, sizeof(n)) < 0 && errno == EINTR)
		;
	for (m = mqueue_take(&w->commands); m; m = next) {
		struct command *c = container_of(m, struct command, m);
		bool is_embedded = c->is_embedded; /* and may be gone with what it is part of */

		next = m->next;
		if (c->type == CMD_STOP)
			go_on = false;
		else
			rtp_session_command(w, c);
		if (!is_embedded)
			free(c);
	}
	return go_on;
}

static void send_events(struct worker *w)
{
	if (!w->up_first)
		return;
	media_events(w->media, w->up_first, w->up_last);
	w->up_first = w->up_last = NULL;
}

/* Not past the next tick. */
static void nap(const struct worker *w, unsigned nap_us)
{
	uint64_t until_us = w->now_us + nap_us;
	struct timespec until;

	if (worker_ticks(w) && w->tick_us < until_us)
		until_us = w->tick_us;
	until = (struct timespec){ .tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000 };
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

struct round {
	int nready;              /* what the wait ended with */
	bool is_woken, is_last;
};

/* While a socket is served, what the next ones need is on its way into the cache: the endpoint, then its session, then the partner. */
static void look_ahead(const struct epoll_event *ready, int n)
{
	const struct endpoint *e;

	if (n > 3)
		prefetch_line(ready[3].data.ptr, 0);
	e = n > 2 ? ready[2].data.ptr : NULL;
	if (e && e->s) {
		prefetch_line(e->s, 0);
		prefetch_line(e->s, 1);
		prefetch_line(e->s, 2);
	}
	e = n > 1 ? ready[1].data.ptr : NULL;
	if (e && e->s && e->s->to) {
		prefetch_line(e->s->to, 0);
		prefetch_line(e->s->to, 2);
		prefetch_line(e->s->to, 4);
	}
}

/* Serves what is ready within timeout_ms, a packet of each socket. Returns the number of sockets. */
static int serve(struct worker *w, int timeout_ms, struct round *r)
{
	struct epoll_event ready[EVENTS_PER_ROUND];
	int n = epoll_wait(w->epoll_fd, ready, EVENTS_PER_ROUND, timeout_ms), served = 0;

	w->now_us = worker_clock_us(w->clock);
	r->nready = n;
	for (int i = 0; i < n; i++) {
		look_ahead(ready + i, n - i);
		if (ready[i].data.ptr) {
			rtp_session_readable(w, ready[i].data.ptr);
			served++;
		} else {
			r->is_woken = true;
		}
	}
	return served;
}

static struct round run_round(struct worker *w, int timeout_ms)
{
	struct round r = { 0 };
	int served = serve(w, timeout_ms, &r);

	if (worker_ticks(w) && w->now_us >= w->tick_us + TICK_US) {
		struct round more = r;

		for (int i = 1; i < CATCH_UP_ROUNDS && served > 0; i++)
			served = serve(w, 0, &more);
		r.is_woken = more.is_woken;
	}
	run_ticks(w);
	if (worker_now_ms(w) != timers_now(w->timers))
		timers_run(w->timers, worker_now_ms(w));
	if (w->handshakes)
		dtls_session_run(w);
	if (r.is_woken)
		r.is_last = !run_commands(w);
	send_events(w);
	return r;
}

/* As sched_setattr(2) takes it; not all of libc's versions have it. */
struct schedule {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* A worker runs shortly and often, and what it is late a listener hears: its timers are to be exact, and a short slice has the kernel
 * (since 6.12; others ignore it) wake it before those who ask for longer ones. Neither takes a privilege; without them it's later. */
static void be_prompt(void)
{
	struct schedule how = { .size = sizeof(how), .policy = SCHED_OTHER, .nice = getpriority(PRIO_PROCESS, 0), .runtime_ns = SLICE_NS };

	prctl(PR_SET_TIMERSLACK, 1);
	if (sched_getscheduler(0) == SCHED_OTHER) /* else an administrator has chosen another policy */
		syscall(SYS_sched_setattr, 0, &how, 0);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct round r = { 0 };
	unsigned nap_us = NAP_US;
	bool is_dense = false;

	be_prompt();
	while (!r.is_last) {
		uint64_t before_us = w->now_us;

		if (is_dense)
			nap(w, nap_us);
		r = run_round(w, wait_ms(w));
		if (r.nready > NAP_SHORTEN)
			nap_us = NAP_SHORT_US;
		else if (r.nready < NAP_LENGTHEN)
			nap_us = NAP_US;
		/* A full round has left packets behind: no time for a nap. */
		is_dense = is_dense ? r.nready >= NAP_WORTH && r.nready < EVENTS_PER_ROUND
				    : r.nready > 0 && w->now_us - before_us < NAP_US / NAP_WORTH;
	}
	return NULL;
}

void worker_turn(struct worker *w)
{
	while (run_round(w, 0).nready > 0 || w->handshakes)
		;
}

unsigned worker_busy_permille(struct worker *w)
{
	uint64_t now_us, cpu_us;
	struct timespec ts;
	clockid_t clock;

	if (w->clock)
		return 0;
	now_us = worker_clock_us(NULL);
	if (now_us - w->looked_us < LOOK_US)
		return w->busy_permille;
	if (pthread_getcpuclockid(w->thread, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return w->busy_permille;
	cpu_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	w->busy_permille = (unsigned)((cpu_us - w->cpu_us) * 1000 / (now_us - w->looked_us));
	w->looked_us = now_us;
	w->cpu_us = cpu_us;
	return w->busy_permille;
}

int worker_start(struct worker *w, struct media *m, const struct media_params *p)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	int err;

	w->media = m;
	w->log = p->log;
	w->clock = p->clock;
	w->rtcp_interval_ms = p->rtcp_interval_ms ? p->rtcp_interval_ms : RTCP_INTERVAL_MS;
	w->now_us = worker_clock_us(w->clock);
	rng_init(&w->rng);
	mqueue_init(&w->commands);
	w->posted_tail = &w->posted;
	w->wake_fd = -1;
	w->timers = timers_new(worker_now_ms(w));
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!w->timers || w->epoll_fd < 0) {
		err = w->timers ? -errno : -ENOMEM;
		goto fail;
	}
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->wake_fd < 0 || epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &ev) < 0) {
		err = -errno;
		goto fail;
	}
	if (w->clock)
		return 0;
	err = thread_start(&w->thread, worker_main, w);
	if (err == 0)
		return 0;
fail:
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	timers_free(w->timers);
	mqueue_fini(&w->commands);
	return err;
}

void worker_join(struct worker *w)
{
	if (w->clock)
		worker_turn(w);
	else
		pthread_join(w->thread, NULL);
	close(w->wake_fd);
	close(w->epoll_fd);
	timers_free(w->timers);
	mixer_desk_free(w->desk);
	mqueue_fini(&w->commands);
}

void worker_post(struct worker *w, struct command *c)
{
	c->m.next = NULL;
	*w->posted_tail = &c->m;
	w->posted_tail = &c->m.next;
	media_posted(w->media);
}

void worker_flush(struct worker *w)
{
	struct msg *first = w->posted;
	struct msg *last = container_of(w->posted_tail, struct msg, next);
	uint64_t one = 1;

	if (!first)
		return;
	w->posted = NULL;
	w->posted_tail = &w->posted;
	if (!mqueue_push(&w->commands, first, last))
		return;
	/* Can only fail with EAGAIN at 2^64 - 1 unread wake-ups: then it is awake anyway. */
	while (write(w->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

void worker_emit(struct worker *w, struct event *e)
{
	e->m.next = NULL;
	if (w->up_last)
		w->up_last->m.next = &e->m;
	else
		w->up_first = e;
	w->up_last = e;
}

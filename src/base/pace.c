/* pace.c - the rest lies just before the loop polls; whether to take it is decided anew each WINDOW_MS. */
#include "base/pace.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#define NS_PER_MS 1000000u
#define WINDOW_MS 50

struct pace {
	uv_prepare_t prepare;
	uv_check_t check;
	uint64_t (*count)(void *arg);
	void *arg;
	uint64_t window_ns, window_count;
	uint64_t turn_ns;        /* when the loop came back from its last poll */
	bool is_busy;
};

static void window_end(struct pace *p, uint64_t now_ns)
{
	uint64_t count = p->count(p->arg), ms = (now_ns - p->window_ns) / NS_PER_MS;

	p->is_busy = (count - p->window_count) * 1000 >= ms * PACE_BUSY;
	p->window_count = count;
	p->window_ns = now_ns;
}

static void on_check(uv_check_t *check)
{
	struct pace *p = check->data;

	p->turn_ns = uv_hrtime();
	if (p->turn_ns - p->window_ns >= WINDOW_MS * NS_PER_MS)
		window_end(p, p->turn_ns);
}

/* A turn that has taken long has let messages gather already. */
static void on_prepare(uv_prepare_t *prepare)
{
	struct pace *p = prepare->data;
	uint64_t until_ns = p->turn_ns + PACE_MS * NS_PER_MS;
	struct timespec until = { .tv_sec = (time_t)(until_ns / 1000000000u), .tv_nsec = (long)(until_ns % 1000000000u) };

	if (p->is_busy)
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL); /* uv_hrtime()'s clock */
}

int pace_new(struct pace **out, uv_loop_t *loop, uint64_t (*count)(void *arg), void *arg)
{
	struct pace *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->count = count;
	p->arg = arg;
	p->window_ns = uv_hrtime();
	p->window_count = count(arg);
	uv_prepare_init(loop, &p->prepare);
	uv_check_init(loop, &p->check);
	p->prepare.data = p->check.data = p;
	uv_prepare_start(&p->prepare, on_prepare);
	uv_check_start(&p->check, on_check);
	uv_unref((uv_handle_t *)&p->prepare);
	uv_unref((uv_handle_t *)&p->check);
	*out = p;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_prepare_closed(uv_handle_t *handle)
{
	struct pace *p = handle->data;

	uv_close((uv_handle_t *)&p->check, on_closed);
}

void pace_close(struct pace *p)
{
	if (!p)
		return;
	uv_check_stop(&p->check);
	uv_close((uv_handle_t *)&p->prepare, on_prepare_closed);
}

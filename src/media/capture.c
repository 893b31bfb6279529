/* capture.c - the loop's side of calls' recordings: which streams are heard by which, and their ends.
 *
 * The file is a reel's (reel.h), each stream's share in it a tap (tap.h) that its worker holds. Whatever becomes of a stream or of the file,
 * each tap is finished once: by the worker when it is told so or the session ends, or from here when it never got there.
 */
#define LOG_MODULE "media"
#include "media/stream_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "media/reel.h"

struct capture {
	struct capture *prev, *next;
	struct media *media;
	struct reel *reel;
	struct stream *streams;      /* that it hears */
	bool is_stopped;
	void (*on_end)(struct capture *c, const struct capture_result *r, void *arg);
	void *arg;
	struct capture_result result;
	struct event ended;
};

static uint64_t now_us(const struct media *m)
{
	return worker_clock_us(m->clock);
}

/* On a writing thread. */
static void on_reel_end(const struct capture_result *r, void *arg)
{
	struct capture *c = arg;

	c->result = *r;
	media_events(c->media, &c->ended, &c->ended);
}

int capture_start(struct capture **out, struct media *m, const struct capture_params *p,
		  void (*on_end)(struct capture *c, const struct capture_result *r, void *arg), void *arg)
{
	struct capture *c;
	int err = 0;

	if (m->is_closing)
		return -ECANCELED;
	if (!m->reels)
		err = reels_new(&m->reels, m->log, m->clock);
	c = err == 0 ? calloc(1, sizeof(*c)) : NULL;
	if (!c)
		return -ENOMEM;
	c->media = m;
	c->on_end = on_end;
	c->arg = arg;
	c->ended = (struct event){ .type = EV_CAPTURE_END, .is_embedded = true, .capture = c };
	err = reel_open(&c->reel, m->reels, p, now_us(m), on_reel_end, c);
	if (err < 0) {
		free(c);
		return err;
	}
	DL_APPEND(m->captures, c);
	*out = c;
	return 0;
}

/* ---- streams ---- */

/* s is no longer heard, as far as the loop is concerned. */
static void forget_stream(struct stream *s)
{
	DL_DELETE2(s->capture->streams, s, capture_prev, capture_next);
	s->capture = NULL;
}

static void post_tap(struct stream *s, struct tap *tap)
{
	struct command *cmd = stream_command(s, CMD_TAP, 0);

	if (cmd) {
		cmd->tap = tap;
		stream_post(cmd);
	} else if (tap) {
		tap_finish(tap, now_us(s->media));
	}
}

void stream_capture(struct stream *s, struct capture *c, enum capture_side side)
{
	size_t ring = codec_get(s->codec)->rate_hz > 16000 && s->codec != CODEC_OPUS ? TAP_RING_WIDE : TAP_RING;
	struct tap *tap = NULL;

	if (s->capture)
		forget_stream(s);
	else if (!c)
		return;
	if (c && !c->is_stopped && !s->is_closing)
		tap = reel_tap(c->reel, side, now_us(s->media), ring);
	if (tap) {
		s->capture = c;
		DL_APPEND2(c->streams, s, capture_prev, capture_next);
	}
	post_tap(s, tap);
}

void capture_stream_closing(struct stream *s)
{
	if (s->capture)
		forget_stream(s); /* its session finishes the tap with its end */
}

static void let_streams_go(struct capture *c)
{
	struct stream *s, *next;

	DL_FOREACH_SAFE2(c->streams, s, next, capture_next) {
		forget_stream(s);
		post_tap(s, NULL);
	}
}

/* ---- the rest ---- */

void capture_pause(struct capture *c) { reel_set_paused(c->reel, true, now_us(c->media)); }
void capture_resume(struct capture *c) { reel_set_paused(c->reel, false, now_us(c->media)); }

void capture_stop(struct capture *c)
{
	if (c->is_stopped)
		return;
	c->is_stopped = true;
	let_streams_go(c);
	reel_end(c->reel, now_us(c->media));
}

void capture_ended(struct capture *c)
{
	let_streams_go(c);
	DL_DELETE(c->media->captures, c);
	reel_free(c->reel);
	if (c->on_end)
		c->on_end(c, &c->result, c->arg);
	free(c);
}

void captures_stop(struct media *m)
{
	struct capture *c;

	DL_FOREACH(m->captures, c) {
		c->on_end = NULL;
		capture_stop(c);
	}
}

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
	struct stream *streams;      /* that it hears, */
	struct mix *mix;             /* and this; NULL: none */
	uint32_t rate_hz;
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
	c->rate_hz = p->rate_hz;
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
	s->is_said_captured = false;
}

static void post_tap(struct stream *s, enum command_type type, struct tap *tap)
{
	struct command *cmd = stream_command(s, type, 0);

	if (cmd) {
		cmd->tap = tap;
		stream_post(cmd);
	} else if (tap) {
		tap_finish(tap, now_us(s->media));
	}
}

/* Of packets of the stream's codec, either way. */
static size_t ring_of(const struct stream *s)
{
	return codec_get(s->codec)->rate_hz > 16000 && s->codec != CODEC_OPUS ? TAP_RING_WIDE : TAP_RING;
}

void stream_capture(struct stream *s, struct capture *c, enum capture_side side)
{
	struct tap *tap = NULL;

	if (s->capture)
		forget_stream(s);
	else if (!c)
		return;
	if (c && !c->is_stopped && !s->is_closing)
		tap = reel_tap(c->reel, side, now_us(s->media), ring_of(s));
	if (tap) {
		s->capture = c;
		s->capture_side = side;
		DL_APPEND2(c->streams, s, capture_prev, capture_next);
	}
	post_tap(s, CMD_TAP, tap);
	if (s->wish.kind != WISH_NONE)
		capture_said(s); /* it is saying something */
}

void capture_said(struct stream *s)
{
	enum capture_side side = s->capture_side == CAPTURE_CALLER ? CAPTURE_CALLEE : CAPTURE_CALLER;
	struct tap *tap;

	if (!s->capture || s->is_said_captured || s->capture->is_stopped || s->is_closing)
		return;
	tap = reel_tap(s->capture->reel, side, now_us(s->media), ring_of(s));
	if (!tap)
		return;
	s->is_said_captured = true;
	post_tap(s, CMD_TAP_SAID, tap);
}

/* ---- mixes ---- */

static void forget_mix(struct capture *c)
{
	if (c->mix)
		c->mix->capture = NULL;
	c->mix = NULL;
}

void mix_capture(struct mix *m, struct capture *c)
{
	struct tap *tap = NULL;

	if (m->capture)
		forget_mix(m->capture);
	else if (!c)
		return;
	if (c && c->mix) {
		mix_tap(c->mix, NULL, 0);
		forget_mix(c);
	}
	if (c && !c->is_stopped && !m->is_closing)
		tap = reel_tap(c->reel, CAPTURE_CALLER, now_us(m->media), TAP_RING_WIDE);
	if (tap) {
		c->mix = m;
		m->capture = c;
	}
	mix_tap(m, tap, c ? c->rate_hz : 0);
}

void capture_mix_closing(struct mix *m)
{
	if (m->capture)
		forget_mix(m->capture); /* its worker finishes the tap with its end */
}

/* ---- streams that end ---- */

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
		post_tap(s, CMD_TAP, NULL);
	}
	if (c->mix) {
		mix_tap(c->mix, NULL, 0);
		forget_mix(c);
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

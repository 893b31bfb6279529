/* reel.c - the writing of calls' recordings (see reel.h).
 *
 * A writing thread looks after its reels each WRITE_MS: it reads their taps up to now, adds the sound up in a strip of the last
 * TAP_HOLD_MS, and writes what is older, but for pauses. How far it has come is counted on the recording's time, in steps, so
 * a thread that was held up catches up in the same steps. What the loop says goes through a lock that is held for moments.
 */
#define LOG_MODULE "record"
#include "media/reel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <utlist.h>

#include "base/str.h"
#include "base/thread.h"
#include "media/media_int.h"
#include "media/outfile.h"
#include "media/tape.h"

#define THREADS_MAX 4
#define REELS_ENOUGH 64       /* for a thread, before another one is started */
#define WRITE_MS 100
#define STEP_MS 200
#define NICE 5                   /* sound that is heard goes before sound that is kept */
#define MARKS_MAX 32             /* pauses and their ends within the time of the strip */
#define SLACK_MS (CODEC_FRAME_MAX_MS + 80) /* a packet reaches beyond the time it is read at */

struct mark {
	uint64_t at_us;
	bool is_on;
};

struct listener {                /* a tap of a reel */
	struct listener *next;
	struct tap *tap;
	unsigned channel;
};

struct reel {
	struct reel *prev, *next; /* writing thread */
	struct reel *handed_next; /* on its way there */
	struct writer *writer;
	void (*on_end)(const struct capture_result *r, void *arg);
	void *arg;
	uint64_t begin_us;
	uint32_t rate_hz;
	unsigned channels;
	enum outfile_format format;
	/* under the writer's lock */
	struct listener *added;
	struct mark marks[MARKS_MAX]; /* what is to come; in order */
	unsigned nmarks;
	uint64_t end_us;              /* 0: it goes on */
	bool has_ended;               /* the writer has done with it */
	/* writer */
	struct listener *listeners;
	struct outfile *file;
	int err;
	int64_t read_ms;              /* taps have been read up to here, */
	int64_t flushed;              /* in samples: the file has been written */
	bool is_on;
	uint32_t lost_ms;
	size_t size;                  /* of the strip, in frames; it begins at flushed */
	int16_t *strip;
	char path[];
};

struct writer {
	struct reels *cs;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	struct reel *handed;       /* under the lock: new ones */
	bool is_hurried, is_closing;
	unsigned n;                   /* loop: reels given to it that have not been freed */
	struct reel *all;          /* writing thread */
};

struct reels {
	const struct log *log;
	const struct clock *clock;
	unsigned nwriters, nmax;
	struct writer writers[THREADS_MAX];
};

static int64_t samples_of(const struct reel *c, int64_t ms) { return ms * c->rate_hz / 1000; }

/* ---- the strip ---- */

struct adding {
	struct reel *c;
	unsigned channel;
};

static int16_t sum(int a, int b)
{
	int s = a + b;

	return (int16_t)(s > INT16_MAX ? INT16_MAX : s < INT16_MIN ? INT16_MIN : s);
}

static void on_sound(void *arg, int64_t at, const int16_t *pcm, size_t n)
{
	const struct adding *a = arg;
	const struct reel *c = a->c;
	int64_t from = at - c->flushed;

	if (from < 0) {
		if (-from >= (int64_t)n)
			return; /* has been written: too late */
		pcm += -from;
		n -= (size_t)-from;
		from = 0;
	}
	for (size_t i = (size_t)from; n > 0 && i < c->size; i++, n--, pcm++)
		c->strip[i * c->channels + a->channel] = sum(c->strip[i * c->channels + a->channel], *pcm);
}

static void file_failed(struct reel *c, int err)
{
	if (c->err == 0)
		log_error(c->writer->cs->log, "file=%s: %s", c->path, strerror(-err));
	c->err = err;
}

static void write_frames(struct reel *c, size_t from, size_t n)
{
	int err = n > 0 && c->err == 0 ? outfile_write(c->file, c->strip + from * c->channels, n) : 0;

	if (err < 0)
		file_failed(c, err);
}

/* The first mark, if it is due before so many samples. Where: *at. */
static bool next_mark(struct reel *c, int64_t before, int64_t *at, bool *is_on)
{
	struct writer *w = c->writer;
	bool is_due;

	pthread_mutex_lock(&w->mu);
	is_due = c->nmarks > 0;
	if (is_due) {
		*at = (int64_t)((c->marks[0].at_us - c->begin_us) / 1000 * c->rate_hz / 1000);
		is_due = *at < before;
	}
	if (is_due) {
		*is_on = c->marks[0].is_on;
		memmove(c->marks, c->marks + 1, --c->nmarks * sizeof(c->marks[0]));
	}
	pthread_mutex_unlock(&w->mu);
	return is_due;
}

/* Writes what was said before that many samples, and moves the strip on. */
static void flush(struct reel *c, int64_t until)
{
	size_t n, at = 0;
	int64_t mark;
	bool is_on;

	if (until <= c->flushed)
		return;
	n = (size_t)(until - c->flushed);
	while (next_mark(c, until, &mark, &is_on)) {
		size_t to = mark > c->flushed ? (size_t)(mark - c->flushed) : 0;

		if (to < at)
			to = at;
		if (c->is_on)
			write_frames(c, at, to - at);
		at = to;
		c->is_on = is_on;
	}
	if (c->is_on)
		write_frames(c, at, n - at);
	memmove(c->strip, c->strip + n * c->channels, (c->size - n) * c->channels * sizeof(*c->strip));
	memset(c->strip + (c->size - n) * c->channels, 0, n * c->channels * sizeof(*c->strip));
	c->flushed = until;
}

/* ---- a reel's turn ---- */

static void drop_listener(struct reel *c, struct listener *l)
{
	LL_DELETE(c->listeners, l);
	c->lost_ms += tap_lost_ms(l->tap);
	tap_free(l->tap);
	free(l);
}

static void read_taps(struct reel *c, int64_t until_ms, bool is_end)
{
	struct listener *l, *next;

	LL_FOREACH_SAFE(c->listeners, l, next) {
		struct adding a = { c, l->channel };

		tap_read(l->tap, until_ms * (TAPE_HZ / 1000), is_end, on_sound, &a);
		if (tap_is_through(l->tap))
			drop_listener(c, l);
	}
	c->read_ms = until_ms;
}

/* Whole steps up to now_ms. */
static void go_on(struct reel *c, int64_t now_ms)
{
	while (c->read_ms + STEP_MS <= now_ms && c->err == 0) {
		read_taps(c, c->read_ms + STEP_MS, false);
		flush(c, samples_of(c, c->read_ms - TAP_HOLD_MS));
	}
}

static bool all_are_finished(const struct reel *c)
{
	const struct listener *l;

	LL_FOREACH(c->listeners, l) {
		if (!tap_is_finished(l->tap))
			return false;
	}
	return true;
}

static void reel_close(struct reel *c)
{
	struct capture_result r = { 0 };
	struct outfile_result file = { 0 };
	struct listener *l, *next;

	if (c->file)
		outfile_close(c->file, &file);
	if (file.err < 0)
		file_failed(c, file.err);
	LL_FOREACH_SAFE(c->listeners, l, next)
		drop_listener(c, l);
	r.err = c->err;
	r.duration_ms = file.frames * 1000 / c->rate_hz;
	r.bytes = file.bytes;
	r.lost_ms = c->lost_ms;
	c->on_end(&r, c->arg);
}

/* The end has come, in the recording's ms. */
static void end_at(struct reel *c, int64_t end_ms)
{
	go_on(c, end_ms);
	if (c->err == 0)
		read_taps(c, end_ms, true);
	/* The strip is longer than what has not been written yet. */
	if (c->err == 0)
		flush(c, samples_of(c, end_ms));
}

/* True: it has ended. */
static bool reel_turn(struct reel *c, uint64_t now_us)
{
	struct writer *w = c->writer;
	struct listener *added;
	uint64_t end_us;
	bool is_end;

	pthread_mutex_lock(&w->mu);
	added = c->added;
	c->added = NULL;
	end_us = c->end_us;
	pthread_mutex_unlock(&w->mu);
	LL_CONCAT(c->listeners, added);
	is_end = end_us && all_are_finished(c);
	if (is_end)
		end_at(c, (int64_t)(end_us - c->begin_us) / 1000);
	else if (!end_us)
		go_on(c, (int64_t)(now_us - c->begin_us) / 1000);
	if (!is_end && c->err == 0)
		return false;
	pthread_mutex_lock(&w->mu);
	c->has_ended = true;
	LL_CONCAT(c->listeners, c->added);
	c->added = NULL;
	pthread_mutex_unlock(&w->mu);
	return true;
}

static void reel_begin(struct reel *c)
{
	int err = outfile_open(&c->file, c->path, c->format, c->rate_hz, c->channels);

	c->size = (size_t)samples_of(c, TAP_HOLD_MS + STEP_MS * 2 + SLACK_MS);
	c->strip = err == 0 ? calloc(c->size * c->channels, sizeof(*c->strip)) : NULL;
	if (err == 0 && !c->strip)
		err = -ENOMEM;
	if (err < 0)
		file_failed(c, err);
	DL_APPEND(c->writer->all, c);
}

static void writer_turn(struct writer *w, uint64_t now_us)
{
	struct reel *c, *next;

	pthread_mutex_lock(&w->mu);
	c = w->handed;
	w->handed = NULL;
	w->is_hurried = false;
	pthread_mutex_unlock(&w->mu);
	for (; c; c = next) {
		next = c->handed_next;
		reel_begin(c);
	}
	DL_FOREACH_SAFE(w->all, c, next) {
		if (!reel_turn(c, now_us))
			continue;
		DL_DELETE(w->all, c);
		reel_close(c); /* may be freed from now on */
	}
}

/* ---- writing threads ---- */

static void wait_a_while(struct writer *w)
{
	if (w->is_hurried || w->handed || w->is_closing)
		return;
	if (!w->all) {
		pthread_cond_wait(&w->wake, &w->mu);
		return;
	}
	thread_cond_wait_ms(&w->wake, &w->mu, WRITE_MS);
}

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	bool go_on = true;

	setpriority(PRIO_PROCESS, (id_t)gettid(), NICE);
	while (go_on) {
		pthread_mutex_lock(&w->mu);
		wait_a_while(w);
		go_on = !w->is_closing || w->handed || w->all;
		pthread_mutex_unlock(&w->mu);
		writer_turn(w, worker_clock_us(NULL));
	}
	return NULL;
}

static int writer_start(struct reels *cs, struct writer *w)
{
	int err;

	*w = (struct writer){ .cs = cs };
	pthread_mutex_init(&w->mu, NULL);
	thread_cond_init(&w->wake);
	if (cs->clock)
		return 0;
	err = thread_start(&w->thread, writer_main, w);
	if (err < 0) {
		pthread_cond_destroy(&w->wake);
		pthread_mutex_destroy(&w->mu);
	}
	return err;
}

static void writer_stop(struct writer *w)
{
	if (!w->cs->clock) {
		pthread_mutex_lock(&w->mu);
		w->is_closing = true;
		pthread_cond_signal(&w->wake);
		pthread_mutex_unlock(&w->mu);
		pthread_join(w->thread, NULL);
	}
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->mu);
}

/* ---- loop ---- */

int reels_new(struct reels **out, const struct log *log, const struct clock *clock)
{
	struct reels *cs = calloc(1, sizeof(*cs));
	unsigned cores = uv_available_parallelism();

	if (!cs)
		return -ENOMEM;
	cs->log = log;
	cs->clock = clock;
	cs->nmax = clock ? 1 : cores < THREADS_MAX ? cores : THREADS_MAX;
	*out = cs;
	return 0;
}

void reels_close(struct reels *cs)
{
	for (unsigned i = 0; i < cs->nwriters; i++)
		writer_stop(&cs->writers[i]);
	free(cs);
}

void reels_turn(struct reels *cs)
{
	for (unsigned i = 0; i < cs->nwriters; i++)
		writer_turn(&cs->writers[i], worker_clock_us(cs->clock));
}

/* The one with the least to do; another one when all have enough. */
static struct writer *writer_choose(struct reels *cs)
{
	struct writer *best = NULL;

	for (unsigned i = 0; i < cs->nwriters; i++) {
		if (!best || cs->writers[i].n < best->n)
			best = &cs->writers[i];
	}
	if ((!best || best->n >= REELS_ENOUGH) && cs->nwriters < cs->nmax &&
	    writer_start(cs, &cs->writers[cs->nwriters]) == 0)
		best = &cs->writers[cs->nwriters++];
	return best;
}

static void hurry(struct writer *w)
{
	w->is_hurried = true;
	pthread_cond_signal(&w->wake);
}

int reel_open(struct reel **out, struct reels *cs, const struct capture_params *p, uint64_t now_us,
		 void (*on_end)(const struct capture_result *r, void *arg), void *arg)
{
	static const enum outfile_format formats[] = {
		[CAPTURE_WAV] = OUTFILE_WAV, [CAPTURE_FLAC] = OUTFILE_FLAC, [CAPTURE_OPUS] = OUTFILE_OPUS,
	};
	struct writer *w = writer_choose(cs);
	size_t len = strlen(p->path);
	struct reel *c = w ? calloc(1, sizeof(*c) + len + 1) : NULL;

	if (!c)
		return w ? -ENOMEM : -EAGAIN;
	c->writer = w;
	c->on_end = on_end;
	c->arg = arg;
	c->begin_us = now_us;
	c->rate_hz = p->rate_hz;
	c->channels = p->is_stereo ? 2 : 1;
	c->format = formats[p->format];
	c->is_on = !p->is_paused;
	memcpy(c->path, p->path, len + 1);
	w->n++;
	pthread_mutex_lock(&w->mu);
	LL_PREPEND2(w->handed, c, handed_next);
	hurry(w);
	pthread_mutex_unlock(&w->mu);
	*out = c;
	return 0;
}

void reel_free(struct reel *c)
{
	c->writer->n--;
	free(c->strip);
	free(c);
}

struct tap *reel_tap(struct reel *c, enum capture_side side, uint64_t now_us, size_t ring)
{
	struct listener *l = malloc(sizeof(*l));
	struct tap *tap = l ? tap_new(c->begin_us, now_us, c->rate_hz, ring) : NULL;
	bool is_taken;

	if (!tap) {
		free(l);
		return NULL;
	}
	*l = (struct listener){ .tap = tap, .channel = side == CAPTURE_CALLEE && c->channels == 2 };
	pthread_mutex_lock(&c->writer->mu);
	is_taken = !c->has_ended && !c->end_us;
	if (is_taken)
		LL_APPEND(c->added, l);
	pthread_mutex_unlock(&c->writer->mu);
	if (is_taken)
		return tap;
	tap_finish(tap, now_us);
	tap_free(tap);
	free(l);
	return NULL;
}

void reel_set_paused(struct reel *c, bool is_paused, uint64_t now_us)
{
	pthread_mutex_lock(&c->writer->mu);
	if (c->nmarks < MARKS_MAX)
		c->marks[c->nmarks++] = (struct mark){ now_us, !is_paused };
	else if (is_paused)
		c->marks[MARKS_MAX - 1].is_on = false; /* sooner, rather than not at all */
	pthread_mutex_unlock(&c->writer->mu);
}

void reel_end(struct reel *c, uint64_t now_us)
{
	pthread_mutex_lock(&c->writer->mu);
	if (!c->end_us)
		c->end_us = now_us;
	hurry(c->writer);
	pthread_mutex_unlock(&c->writer->mu);
}

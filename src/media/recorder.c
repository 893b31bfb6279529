/* recorder.c - the thread that writes recordings (see recorder.h).
 *
 * Each recorder has a ring of sound: the worker moves its head, the writing thread its tail, neither waits for the
 * other. The thread looks after all rings each WRITE_MS, so a frame costs the worker no wake-up. libsndfile writes and
 * keeps the header true after every write.
 */
#define LOG_MODULE "recorder"
#include "media/recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "base/thread.h"

#define WRITE_MS 100
#define RING_S 4                 /* what a slow disk may be behind */

struct recorder {
	struct recorder *prev, *next; /* writing thread */
	struct recorder *handed_next; /* on its way there */
	struct recorders *rs;
	void (*on_end)(const struct record_result *r, void *arg);
	void *arg;
	uint32_t rate_hz;
	int16_t *ring;
	size_t size;                  /* in samples, a power of two */
	_Atomic size_t head, tail;    /* samples put in, taken out */
	_Atomic int err;              /* of the file, negative */
	_Atomic bool is_finished;     /* set after the last sample; end and talk_ms lie before it */
	enum record_end end;
	uint32_t talk_ms;
	/* writing thread */
	SNDFILE *file;
	int fd;
	uint64_t written;
	char path[];
};

struct recorders {
	const struct log *log;
	pthread_t thread;
	pthread_mutex_t mu;
	pthread_cond_t wake;
	struct recorder *handed;      /* opened since the thread looked last */
	bool is_hurried, is_closing;
	struct recorder *all;         /* writing thread */
};

/* ---- writing thread ---- */

static void file_fail(struct recorder *r, int err)
{
	atomic_store(&r->err, err);
	log_error(r->rs->log, "file=%s: %s", r->path, strerror(-err));
}

static void file_open(struct recorder *r)
{
	SF_INFO info = { .samplerate = (int)r->rate_hz, .channels = 1, .format = SF_FORMAT_WAV | SF_FORMAT_PCM_16 };

	r->fd = open(r->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (r->fd < 0) {
		file_fail(r, -errno);
		return;
	}
	r->file = sf_open_fd(r->fd, SFM_WRITE, &info, SF_FALSE);
	if (!r->file) {
		file_fail(r, -EIO);
		return;
	}
	sf_command(r->file, SFC_SET_UPDATE_HEADER_AUTO, NULL, SF_TRUE);
	sf_command(r->file, SFC_UPDATE_HEADER_NOW, NULL, 0);
}

/* Writes what is in the ring. */
static void file_write(struct recorder *r)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_acquire);
	size_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

	while (tail != head && atomic_load(&r->err) == 0) {
		size_t at = tail & (r->size - 1), n = head - tail;

		if (n > r->size - at)
			n = r->size - at;
		errno = 0;
		if (sf_write_short(r->file, r->ring + at, (sf_count_t)n) != (sf_count_t)n) {
			file_fail(r, errno ? -errno : -EIO);
			return;
		}
		r->written += n;
		tail += n;
		atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
}

/* The file is whole and on disk, or has failed: report. */
static void recorder_end(struct recorder *r)
{
	struct record_result result = { .end = r->end, .talk_ms = r->talk_ms };

	if (r->file && sf_close(r->file) != 0 && atomic_load(&r->err) == 0)
		file_fail(r, -EIO);
	if (r->fd >= 0) {
		if (atomic_load(&r->err) == 0 && fsync(r->fd) < 0 && errno != EINVAL) /* EINVAL: a pipe or /dev/null */
			file_fail(r, -errno);
		close(r->fd);
	}
	if (r->rate_hz)
		result.duration_ms = (uint32_t)(r->written * 1000 / r->rate_hz);
	result.err = atomic_load(&r->err);
	if (r->end == RECORD_FAILED && result.err == 0)
		result.err = -ENOBUFS; /* the ring was full: see recorder_write() */
	if (result.err < 0)
		result.end = RECORD_FAILED;
	r->on_end(&result, r->arg);
	free(r->ring);
	free(r);
}

static void write_all(struct recorders *rs)
{
	struct recorder *r, *next;

	DL_FOREACH_SAFE(rs->all, r, next) {
		bool finished = atomic_load_explicit(&r->is_finished, memory_order_acquire);

		if (r->file)
			file_write(r);
		if (!finished)
			continue;
		DL_DELETE(rs->all, r);
		recorder_end(r);
	}
}

static void wait_a_while(struct recorders *rs)
{
	if (rs->is_hurried || rs->handed)
		return;
	if (!rs->all) {
		if (!rs->is_closing)
			pthread_cond_wait(&rs->wake, &rs->mu);
		return;
	}
	thread_cond_wait_ms(&rs->wake, &rs->mu, WRITE_MS);
}

static void *recorders_main(void *arg)
{
	struct recorders *rs = arg;
	bool go_on = true;

	while (go_on) {
		struct recorder *r, *next;

		pthread_mutex_lock(&rs->mu);
		wait_a_while(rs);
		r = rs->handed;
		rs->handed = NULL;
		rs->is_hurried = false;
		go_on = !rs->is_closing || r;
		pthread_mutex_unlock(&rs->mu);
		for (; r; r = next) {
			next = r->handed_next;
			if (r->rate_hz)
				file_open(r);
			DL_APPEND(rs->all, r);
		}
		write_all(rs);
	}
	return NULL;
}

/* ---- loop ---- */

int recorders_new(struct recorders **out, const struct log *log)
{
	struct recorders *rs = calloc(1, sizeof(*rs));
	int err;

	if (!rs)
		return -ENOMEM;
	rs->log = log;
	pthread_mutex_init(&rs->mu, NULL);
	thread_cond_init(&rs->wake);
	err = thread_start(&rs->thread, recorders_main, rs);
	if (err < 0) {
		pthread_cond_destroy(&rs->wake);
		pthread_mutex_destroy(&rs->mu);
		free(rs);
		return err;
	}
	*out = rs;
	return 0;
}

void recorders_close(struct recorders *rs)
{
	pthread_mutex_lock(&rs->mu);
	rs->is_closing = true;
	pthread_cond_signal(&rs->wake);
	pthread_mutex_unlock(&rs->mu);
	pthread_join(rs->thread, NULL);
	pthread_cond_destroy(&rs->wake);
	pthread_mutex_destroy(&rs->mu);
	free(rs);
}

struct recorder *recorder_new(struct recorders *rs, const char *path,
			      void (*on_end)(const struct record_result *r, void *arg), void *arg)
{
	size_t len = strlen(path);
	struct recorder *r = calloc(1, sizeof(*r) + len + 1);

	if (!r)
		return NULL;
	r->rs = rs;
	r->on_end = on_end;
	r->arg = arg;
	r->fd = -1;
	memcpy(r->path, path, len + 1);
	return r;
}

/* ---- worker ---- */

static void hand_over(struct recorder *r)
{
	struct recorders *rs = r->rs;

	pthread_mutex_lock(&rs->mu);
	LL_PREPEND2(rs->handed, r, handed_next);
	pthread_cond_signal(&rs->wake);
	pthread_mutex_unlock(&rs->mu);
}

void recorder_open(struct recorder *r, uint32_t rate_hz)
{
	r->size = 1;
	while (r->size < (size_t)RING_S * rate_hz)
		r->size *= 2;
	r->ring = malloc(r->size * sizeof(*r->ring));
	r->rate_hz = rate_hz;
	if (!r->ring) {
		r->size = 0;
		atomic_store(&r->err, -ENOMEM);
	}
	hand_over(r);
}

uint32_t recorder_rate(const struct recorder *r)
{
	return r->rate_hz;
}

int recorder_write(struct recorder *r, const int16_t *pcm, size_t nsamples)
{
	size_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
	size_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
	size_t at = head & (r->size - 1);
	int err = atomic_load(&r->err);

	if (err < 0)
		return err;
	if (r->size - (head - tail) < nsamples)
		return -ENOBUFS; /* the disk is too slow: better an error than a recording with holes */
	for (size_t n; nsamples > 0; nsamples -= n, pcm += n, at = 0, head += n) {
		n = nsamples < r->size - at ? nsamples : r->size - at;
		memcpy(r->ring + at, pcm, n * sizeof(*pcm));
	}
	atomic_store_explicit(&r->head, head, memory_order_release);
	return 0;
}

void recorder_finish(struct recorder *r, enum record_end end, uint32_t talk_ms)
{
	struct recorders *rs = r->rs;
	bool was_opened = r->rate_hz != 0;

	r->end = end;
	r->talk_ms = talk_ms;
	if (!was_opened) {
		atomic_store_explicit(&r->is_finished, true, memory_order_release);
		hand_over(r);
		return;
	}
	pthread_mutex_lock(&rs->mu);
	rs->is_hurried = true; /* somebody waits for this one */
	atomic_store_explicit(&r->is_finished, true, memory_order_release);
	pthread_cond_signal(&rs->wake);
	pthread_mutex_unlock(&rs->mu);
}

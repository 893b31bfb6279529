/* spool.c - recordings under way: a WAV file and a side file that says what it is, so that a crash loses nothing.
 *
 * The side file is written first. What a former process left is handed to the outbox at start. Files are written on the libuv
 * pool; only the start, before calls are taken, reads and writes at once.
 */
#define LOG_MODULE "spool"
#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call/call_int.h"
#include "base/log.h"

#define WAV_HEADER 44
#define SHORTEST_MS 1000     /* less than a second of sound is no message */

/* ---- blocking work for a task ---- */

struct blocking {
	uv_work_t work;
	struct call *call;
	int (*fn)(void *arg);
	void *arg;
	int result;
	bool is_done;
};

static void on_work(uv_work_t *work)
{
	struct blocking *b = work->data;

	b->result = b->fn(b->arg);
}

static void on_work_done(uv_work_t *work, int status)
{
	struct blocking *b = work->data;

	if (status)
		b->result = status;
	b->is_done = true;
	call_wake(b->call);
}

int call_blocking(struct call *call, int (*fn)(void *arg), void *arg)
{
	/* On the task's stack: the task stays until the work is done, whatever happens to the call. */
	struct blocking b = { .call = call, .fn = fn, .arg = arg };
	int err;

	b.work.data = &b;
	err = uv_queue_work(call->calls->p.loop, &b.work, on_work, on_work_done);
	if (err)
		return err;
	while (!b.is_done)
		call_wait(call, UINT64_MAX);
	return b.result;
}

/* ---- files ---- */

int spool_write_file(const char *path, const void *bytes, size_t n)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const char *at = bytes;
	int err = 0;

	if (fd < 0)
		return -errno;
	while (n && !err) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno != EINTR)
			err = -errno;
		if (done > 0) {
			at += done;
			n -= (size_t)done;
		}
	}
	if (!err && fdatasync(fd) != 0)
		err = -errno;
	if (close(fd) != 0 && !err)
		err = -errno;
	if (err)
		unlink(path);
	return err;
}

struct side_file { char path[280]; char *text; };

static int write_side_file(void *arg)
{
	struct side_file *f = arg;

	return spool_write_file(f->path, f->text, strlen(f->text));
}

int spool_new(struct call *call, char *path, size_t size, const char *kind, const char *doc)
{
	struct side_file side;
	char uuid[37];
	int n, err;

	rng_uuid(call->calls->p.rng, uuid);
	n = snprintf(path, size, "%s/recording/%s.wav", call->calls->p.spool, uuid);
	if (n < 0 || (size_t)n >= size)
		return -ENAMETOOLONG;
	if (!kind)
		return 0;
	snprintf(side.path, sizeof(side.path), "%s.json", path);
	if (asprintf(&side.text, "{\"kind\":\"%s\",\"doc\":%s}", kind, doc) < 0)
		return -ENOMEM;
	err = call_blocking(call, write_side_file, &side);
	free(side.text);
	return err;
}

void app_recording_discard(struct app_recording *rec)
{
	char side[280];

	if (!rec->path[0])
		return;
	snprintf(side, sizeof(side), "%s.json", rec->path);
	unlink(rec->path);
	unlink(side);
	rec->path[0] = '\0';
}

/* ---- at start ---- */

static uint32_t wav_duration_ms(const char *path)
{
	unsigned char header[WAV_HEADER];
	struct stat st;
	uint32_t byte_rate;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, header, sizeof(header));
	if (n != WAV_HEADER || fstat(fd, &st) != 0) {
		close(fd);
		return 0;
	}
	close(fd);
	byte_rate = (uint32_t)header[28] | (uint32_t)header[29] << 8 | (uint32_t)header[30] << 16 | (uint32_t)header[31] << 24;
	return byte_rate ? (uint32_t)((uint64_t)(st.st_size - WAV_HEADER) * 1000 / byte_rate) : 0;
}

struct left_over { struct calls *cs; char side[600]; };

static void on_left_over_safe(int err, void *arg)
{
	struct left_over *l = arg;

	if (!err)
		unlink(l->side);
	free(l);
}

static void deliver_left_over(struct calls *cs, const char *wav)
{
	struct left_over *l = calloc(1, sizeof(*l));
	json_t *root, *doc;
	const char *kind;
	char *text = NULL;
	uint32_t duration_ms = wav_duration_ms(wav);

	if (!l)
		return;
	l->cs = cs;
	snprintf(l->side, sizeof(l->side), "%s.json", wav);
	root = json_load_file(l->side, 0, NULL);
	kind = json_string_value(json_object_get(root, "kind"));
	doc = json_object_get(root, "doc");
	if (!kind || !json_is_object(doc) || duration_ms < SHORTEST_MS) {
		log_warn(cs->p.log, "left over recording %s dropped duration_ms=%u", wav, duration_ms);
		unlink(wav);
		unlink(l->side);
	} else {
		json_object_set_new(doc, "duration_ms", json_integer(duration_ms));
		text = json_dumps(doc, JSON_COMPACT);
		log_info(cs->p.log, "left over recording %s delivered kind=%s duration_ms=%u", wav, kind, duration_ms);
	}
	if (!text || outbox_add(cs->p.outbox, kind, text, wav, on_left_over_safe, l) != 0)
		free(l);
	free(text);
	json_decref(root);
}

void spool_recover(struct calls *cs)
{
	char dir[300], path[560];
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/tmp", cs->p.spool);
	mkdir(dir, 0700);
	snprintf(dir, sizeof(dir), "%s/recording", cs->p.spool);
	mkdir(dir, 0700);
	d = opendir(dir);
	if (!d) {
		log_error(cs->p.log, "spool %s: %s", dir, strerror(errno));
		return;
	}
	while ((e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		if (n > 4 && !strcmp(e->d_name + n - 4, ".wav")) {
			snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
			deliver_left_over(cs, path);
		}
	}
	closedir(d);
}

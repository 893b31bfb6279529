/* spool.c - recordings under way: a WAV file and a side file that says what it is, so that a crash loses nothing.
 *
 * The side file is written first. What a former process left is handed to the outbox at start. Files are written on the libuv
 * pool; only the start, before calls are taken, reads and writes at once.
 */
#define LOG_MODULE "spool"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
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

struct left_over { char side[600]; };

static void on_left_over_safe(int err, void *arg)
{
	struct left_over *l = arg;

	if (!err)
		unlink(l->side);
	free(l);
}

/* Without a side file nobody wanted it kept, as a greeting that its owner was still listening to. */
static void drop(struct calls *cs, const char *wav, const char *side, uint32_t duration_ms)
{
	log_info(cs->p.log, "left over recording %s dropped duration_ms=%u", wav, duration_ms);
	unlink(wav);
	unlink(side);
}

static void deliver(struct calls *cs, const char *wav, const char *side, json_t *root, uint32_t duration_ms)
{
	const char *kind = json_string_value(json_object_get(root, "kind"));
	json_t *doc = json_object_get(root, "doc");
	struct left_over *l = calloc(1, sizeof(*l));
	char *text;

	if (!kind || !json_is_object(doc) || !l) {
		log_error(cs->p.log, "left over recording %s stays: its side file makes no sense", wav);
		free(l);
		return;
	}
	json_object_set_new(doc, "duration_ms", json_integer(duration_ms));
	text = json_print(doc);
	snprintf(l->side, sizeof(l->side), "%s", side);
	if (!text || outbox_add(cs->p.outbox, kind, text, wav, on_left_over_safe, l) != 0) {
		log_error(cs->p.log, "left over recording %s stays: it can't be delivered now", wav);
		free(l);
	} else {
		log_info(cs->p.log, "left over recording %s delivered kind=%s duration_ms=%u", wav, kind, duration_ms);
	}
	free(text);
}

static void recover(struct calls *cs, const char *wav)
{
	uint32_t duration_ms = wav_duration_ms(wav);
	char side[600];
	json_t *root;

	snprintf(side, sizeof(side), "%s.json", wav);
	if (duration_ms < SHORTEST_MS || access(side, F_OK) != 0) {
		drop(cs, wav, side, duration_ms);
		return;
	}
	root = json_load_file(side, 0, NULL);
	deliver(cs, wav, side, root, duration_ms);
	json_decref(root);
}

/* A side file whose recording is the outbox's already. */
static void remove_if_alone(const char *side)
{
	char wav[560];

	snprintf(wav, sizeof(wav), "%.*s", (int)(strlen(side) - strlen(".json")), side);
	if (access(wav, F_OK) != 0)
		unlink(side);
}

static bool ends_with(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n > k && !strcmp(name + n - k, end);
}

/* Calls back for each name in a folder below the spool, which is made if missing. */
static void each_file(struct calls *cs, const char *folder, void (*fn)(struct calls *cs, const char *path))
{
	char path[560];
	struct dirent **names;
	int n;

	snprintf(path, sizeof(path), "%.280s/%s", cs->p.spool, folder);
	mkdir(path, 0700);
	n = scandir(path, &names, NULL, alphasort);
	if (n < 0) {
		log_error(cs->p.log, "spool %s: %s", path, strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof(path), "%.280s/%s/%.200s", cs->p.spool, folder, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			fn(cs, path);
		free(names[i]);
	}
	free(names);
}

static void recover_file(struct calls *cs, const char *path)
{
	if (ends_with(path, ".wav"))
		recover(cs, path);
	else if (ends_with(path, ".wav.json"))
		remove_if_alone(path);
}

/* Files for one call, which has ended. */
static void remove_file(struct calls *cs, const char *path)
{
	(void)cs;
	unlink(path);
}

void spool_recover(struct calls *cs)
{
	each_file(cs, "tmp", remove_file);
	each_file(cs, "recording", recover_file);
}

/* outfile.c - files of sound that stay valid (see outfile.h).
 *
 * libsndfile writes through functions of ours. Each write that goes to the end begins a unit, a FLAC frame, an Ogg page, a piece of PCM,
 * except the body of an Ogg page, which belongs to its head. The first one that fails cuts the file before its unit; what comes
 * after that is refused, but headers may still be corrected.
 */
#include "media/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FLAC_BLOCK_AT 8      /* STREAMINFO: the size of a block, */
#define FLAC_TOTAL_AT 21     /* and the number of samples, in four bits and four bytes */
#define FILE_MODE 0640
#define FOLDER_MODE 0750

struct outfile {
	enum outfile_format format;
	int fd, err;
	SNDFILE *file;
	sf_count_t at, len;      /* where libsndfile is, and how much there is */
	sf_count_t unit_at;      /* begin of the last unit */
	uint32_t rate_hz;
	uint64_t nblocks;        /* of FLAC */
	uint64_t granule, granule_next; /* of Ogg: end of the last whole page, and of the one whose head has been written */
	unsigned preskip;
	uint64_t frames;
	char path[];
};

/* ---- what libsndfile writes through ---- */

static sf_count_t on_len(void *arg) { return ((struct outfile *)arg)->len; }
static sf_count_t on_tell(void *arg) { return ((struct outfile *)arg)->at; }

static sf_count_t on_seek(sf_count_t offset, int whence, void *arg)
{
	struct outfile *f = arg;

	f->at = offset + (whence == SEEK_CUR ? f->at : whence == SEEK_END ? f->len : 0);
	return f->at;
}

static sf_count_t on_read(void *p, sf_count_t n, void *arg)
{
	struct outfile *f = arg;
	ssize_t got = pread(f->fd, p, (size_t)n, f->at);

	if (got <= 0)
		return 0;
	f->at += got;
	return got;
}

static int write_all(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t put = pwrite(fd, p, n, at);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			return put < 0 ? -errno : -ENOSPC;
		p += put;
		n -= (size_t)put;
		at += put;
	}
	return 0;
}

static void cut(struct outfile *f, int err)
{
	f->err = err;
	f->len = f->unit_at;
	if (ftruncate(f->fd, f->unit_at) < 0)
		f->len = lseek(f->fd, 0, SEEK_END);
}

/* A unit has reached the file, or the head of one. */
static void note_unit(struct outfile *f, const uint8_t *p, size_t n, bool is_begin)
{
	if (f->format == OUTFILE_FLAC && n >= 2 && p[0] == 0xff) {
		f->nblocks++;
	} else if (f->format == OUTFILE_OPUS && is_begin && n >= 14) {
		f->granule_next = 0;
		for (int i = 7; i >= 0; i--)
			f->granule_next = f->granule_next << 8 | p[6 + i];
	} else if (f->format == OUTFILE_OPUS && !is_begin) {
		if (f->unit_at == 0 && n >= 12)
			f->preskip = p[10] | (unsigned)p[11] << 8; /* of OpusHead */
		f->granule = f->granule_next;
	}
}

static sf_count_t on_write(const void *p, sf_count_t n, void *arg)
{
	struct outfile *f = arg;
	bool is_appended = f->at == f->len;
	bool is_begin = f->format != OUTFILE_OPUS || (n >= 4 && memcmp(p, "OggS", 4) == 0);
	int err;

	if (is_appended && f->err < 0)
		return 0;
	if (is_appended && is_begin)
		f->unit_at = f->at;
	err = write_all(f->fd, p, (size_t)n, f->at);
	if (err < 0) {
		if (is_appended)
			cut(f, err);
		return 0;
	}
	if (is_appended)
		note_unit(f, p, (size_t)n, is_begin);
	f->at += n;
	if (f->len < f->at)
		f->len = f->at;
	return n;
}

static SF_VIRTUAL_IO io = { on_len, on_seek, on_read, on_write, on_tell };

/* ---- life ---- */

static int make_folders(const char *path)
{
	char *folder = strdup(path), *slash;
	int err = folder ? 0 : -ENOMEM;

	for (slash = folder; err == 0 && (slash = strchr(slash + 1, '/')); *slash = '/') {
		*slash = '\0';
		if (mkdir(folder, FOLDER_MODE) < 0 && errno != EEXIST)
			err = -errno;
	}
	free(folder);
	return err;
}

static const int formats[] = {
	[OUTFILE_WAV] = SF_FORMAT_WAV | SF_FORMAT_PCM_16,
	[OUTFILE_FLAC] = SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
	[OUTFILE_OPUS] = SF_FORMAT_OGG | SF_FORMAT_OPUS,
};

int outfile_open(struct outfile **out, const char *path, enum outfile_format format, uint32_t rate_hz, unsigned channels)
{
	SF_INFO info = { .samplerate = (int)rate_hz, .channels = (int)channels, .format = formats[format] };
	size_t len = strlen(path);
	struct outfile *f = calloc(1, sizeof(*f) + len + 1);
	int err = f ? make_folders(path) : -ENOMEM;

	if (err < 0)
		goto fail;
	memcpy(f->path, path, len + 1);
	f->format = format;
	f->rate_hz = rate_hz;
	f->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	if (f->fd < 0) {
		err = -errno;
		goto fail;
	}
	f->file = sf_open_virtual(&io, SFM_WRITE, &info, f);
	if (!f->file) {
		err = f->err ? f->err : -EINVAL;
		close(f->fd);
		unlink(path);
		goto fail;
	}
	if (format == OUTFILE_WAV) {
		sf_command(f->file, SFC_SET_UPDATE_HEADER_AUTO, NULL, SF_TRUE);
		sf_command(f->file, SFC_UPDATE_HEADER_NOW, NULL, 0);
	}
	*out = f;
	return 0;
fail:
	free(f);
	return err;
}

int outfile_write(struct outfile *f, const int16_t *pcm, size_t nframes)
{
	if (f->err == 0 && sf_writef_short(f->file, pcm, (sf_count_t)nframes) != (sf_count_t)nframes && f->err == 0)
		f->err = -EIO;
	if (f->err == 0)
		f->frames += nframes;
	return f->err;
}

/* The encoder has not been able to say how much there is. */
static void correct_flac(struct outfile *f)
{
	uint8_t b[2], total[5];
	uint64_t n;

	if (pread(f->fd, b, 2, FLAC_BLOCK_AT) != 2 || pread(f->fd, total, 1, FLAC_TOTAL_AT) != 1)
		return;
	n = f->nblocks * (uint64_t)(b[0] << 8 | b[1]);
	total[0] = (uint8_t)((total[0] & 0xf0) | (n >> 32 & 0x0f));
	for (int i = 1; i < 5; i++)
		total[i] = (uint8_t)(n >> (32 - 8 * i));
	write_all(f->fd, total, sizeof(total), FLAC_TOTAL_AT);
}

/* What there is of a file that was cut. */
static uint64_t count_frames(const struct outfile *f)
{
	SF_INFO info = { 0 };
	SNDFILE *file;
	uint64_t n = 0;
	int fd;

	if (f->format == OUTFILE_OPUS) /* libsndfile finds no end where none is marked */
		return f->granule > f->preskip ? (f->granule - f->preskip) * f->rate_hz / 48000 : 0;
	fd = dup(f->fd);
	if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	file = sf_open_fd(fd, SFM_READ, &info, SF_TRUE);
	if (file) {
		n = info.frames > 0 ? (uint64_t)info.frames : 0;
		sf_close(file);
	}
	return n;
}

void outfile_close(struct outfile *f, struct outfile_result *out)
{
	int err = sf_close(f->file);

	if (err != 0 && f->err == 0)
		f->err = -EIO;
	if (f->err < 0) {
		if (f->format == OUTFILE_FLAC)
			correct_flac(f);
		f->frames = count_frames(f);
	}
	if (f->frames == 0) {
		unlink(f->path);
		f->len = 0;
	} else if (fsync(f->fd) < 0 && errno != EINVAL && f->err == 0) {
		f->err = -errno;
	}
	*out = (struct outfile_result){ .err = f->err, .frames = f->frames, .bytes = (uint64_t)f->len };
	close(f->fd);
	free(f);
}

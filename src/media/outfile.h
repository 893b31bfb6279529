/* outfile.h - a file of sound that is being written, and is valid whenever that ends: WAV, FLAC, or Opus in Ogg.
 *
 * libsndfile codes, we write: so it is known to the byte what has reached the file. When the disk is full, the file is cut after the
 * last whole frame or page and its header made true; what a crash leaves can be played up to the last second or so.
 * Audio: int16 linear, interleaved. Thread: one at a time, and one that may wait for the disk.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum outfile_format { OUTFILE_WAV, OUTFILE_FLAC, OUTFILE_OPUS };

struct outfile;

/* Makes the folders and the file; one that is there already is left alone: -EEXIST. rate_hz: 8000, 16000, 24000 or 48000. Negative
 * errno; *out is untouched then, and no file is there. */
int outfile_open(struct outfile **out, const char *path, enum outfile_format format, uint32_t rate_hz, unsigned channels);
/* 0, or the negative errno the file failed with: then nothing more can be written, and it is whole as far as it goes. */
int outfile_write(struct outfile *f, const int16_t *pcm, size_t nframes);

struct outfile_result {
	int err;                 /* 0; else negative errno of the first failure */
	uint64_t frames, bytes;  /* in the file, and of it */
};
/* Returns when it is on disk, or has failed. A file with nothing in it is removed. */
void outfile_close(struct outfile *f, struct outfile_result *out);

/* recorder.h - sound from a worker into WAV files, written by a thread of its own.
 *
 * A worker puts frames into the recorder's ring and never waits; the one writing thread empties the rings several times a
 * second and keeps each file's header true, so that what a crash leaves is a playable file. Only when the file
 * is complete and on disk is the end reported.
 *
 * Thread: recorders_* and recorder_new loop; recorder_open, recorder_write and recorder_finish one worker at a time; on_end is called
 *         on the writing thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/media.h"

struct recorders;
struct recorder;

int recorders_new(struct recorders **out, const struct log *log);
/* Every recorder must have ended. Joins the thread. */
void recorders_close(struct recorders *rs);

/* on_end: exactly once, after recorder_finish(); the recorder is gone when it returns. Copies the path.
 * NULL without memory. */
struct recorder *recorder_new(struct recorders *rs, const char *path,
			      void (*on_end)(const struct record_result *r, void *arg), void *arg);
/* Has the file made: 16-bit PCM, mono, rate_hz. */
void recorder_open(struct recorder *r, uint32_t rate_hz);
uint32_t recorder_rate(const struct recorder *r);
/* Frames before the file is open wait in the ring. Returns 0, or the negative errno the file has failed with:
 * finish it then, with RECORD_FAILED. */
int recorder_write(struct recorder *r, const int16_t *pcm, size_t nsamples);
/* The last call. A recorder that was never opened may be finished, too. end: what to report, unless the file failed. */
void recorder_finish(struct recorder *r, enum record_end end, uint32_t talk_ms);

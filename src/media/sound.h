/* sound.h - files of sound, decoded, resampled and encoded once, shared by all who play them.
 *
 * A sound is one file in one codec: a row of frames (of the codec's frame_ms) ready to be put into packets. A playlist is several of
 * them in order. Both never change once they are handed out, so workers read them without a lock; they are counted and
 * freed by whoever drops the last reference. The cache keeps what was used lately.
 *
 * Thread: loop, for everything that takes struct sounds; any, for playlists. Files are read on libuv's pool.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/log.h"
#include "media/codec.h"

struct sounds;
struct playlist;
struct sound_request;

#define SOUND_CACHE_BYTES (64u << 20)

/* cache_bytes: kept beyond what is in use; 0: SOUND_CACHE_BYTES. */
int sounds_new(struct sounds **out, uv_loop_t *loop, const struct log *log, size_t cache_bytes);
/* Cancels all requests (their ready is not called); done follows when the pool has let go. Playlists live on. */
void sounds_close(struct sounds *ss, void (*done)(void *arg), void *arg);
/* The file is being changed by us: what is cached of it is not handed out again. Changes by others are noticed within a second. */
void sounds_forget(struct sounds *ss, const char *file);

/* Gets files (at least one; paths are copied) as a playlist in a codec. ready is called once: at once, from inside, if all is
 * cached; else later from the loop. list: the caller's reference, NULL with err (-ENOENT, -EBADMSG no sound file, ...).
 * *out (may be NULL) is set to the request while it is under way, to NULL once ready has been called. */
void sounds_get(struct sounds *ss, const char *const *files, unsigned n, enum codec_id codec,
		void (*ready)(struct playlist *list, int err, void *arg), void *arg, struct sound_request **out);
/* ready will not be called. */
void sounds_cancel(struct sound_request *r);

struct sounds_count {
	unsigned sounds;         /* in the cache: files times codecs */
	size_t bytes;            /* of them */
	uint64_t made;           /* files read and encoded since the start */
};
void sounds_count(const struct sounds *ss, struct sounds_count *out);

/* ---- any thread ---- */

struct playlist *playlist_ref(struct playlist *p);
void playlist_unref(struct playlist *p); /* NULL is fine */
enum codec_id playlist_codec(const struct playlist *p);
uint32_t playlist_nframes(const struct playlist *p); /* of frame_ms, all files together */
/* The encoded frame at position i < nframes, and its length. */
const uint8_t *playlist_frame(const struct playlist *p, uint32_t i, size_t *len);

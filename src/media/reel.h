/* reel.h - recordings of calls: what several sources say, in one file, written by threads of their own.
 *
 * A reel belongs to a call, its taps to whoever is in the call at the time: each hears one source, and whose it is says the
 * side, so that in a file of two channels the caller is left and who he talks with is right. Sources come and go, on whatever worker they
 * are; time goes on meanwhile, but for pauses, of which nothing is in the file. Disk and codecs are the writing threads' business:
 * when they are behind, taps drop what they have no room for, and that is silence and counted.
 *
 * Thread: loop, but for what taps say (tap.h). The owner's on_end is called on the loop, by the media_events() of the media that made it.
 * Times are those of the workers' clock, in us.
 */
#pragma once

#include "media/media.h"
#include "media/tap.h"

struct reels;
struct reel;

/* clock: as in media_params; with one there are no threads, reels_turn() does their work. */
int reels_new(struct reels **out, const struct log *log, const struct clock *clock);
/* Every reel must have ended. */
void reels_close(struct reels *cs);
void reels_turn(struct reels *cs);

/* on_end: exactly once, on the writing thread, after reel_end() or when the file has failed. The reel can be used, to no
 * effect, until reel_free(). */
int reel_open(struct reel **out, struct reels *cs, const struct capture_params *p, uint64_t now_us,
		 void (*on_end)(const struct capture_result *r, void *arg), void *arg);
void reel_free(struct reel *c);
/* A source: the tap is handed to a worker, which finishes it. NULL without memory, or when the reel has ended. */
struct tap *reel_tap(struct reel *c, enum capture_side side, uint64_t now_us, size_t ring);
/* What is said from now on is in the file, or isn't. */
void reel_set_paused(struct reel *c, bool is_paused, uint64_t now_us);
/* Ends it: nothing after now_us. Its taps are being finished. */
void reel_end(struct reel *c, uint64_t now_us);

/* tape.h - packets that come when they like, brought into the order and onto the time in which they were said: for recordings.
 *
 * A recording has time, so nothing is thrown away for coming late: a gap is waited for TAPE_DEPTH_MS, and silence is what even then
 * has not come. What follows without a gap can be taken at once; the tape is empty then.
 *
 * Time on a tape begins with it. RTP timestamps say where a packet belongs; the first one ended the moment it came, and
 * so did one whose timestamp has lost touch with time (a new source, one that stood still in a pause). A burst that is ahead
 * of time moves the present on.
 *
 * All memory is allocated by tape_new(). Thread: one at a time. Sources: RFC 3550 §5.1 (timestamp).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/codec.h"

#define TAPE_DEPTH_MS 1000
#define TAPE_HZ 48000          /* positions are counted so: every codec's rate divides it, and 10 ms of every clock are whole */
#define TAPE_PIECE_MS 20       /* no piece is longer, but for a payload that can't be cut (CODEC_FRAME_MAX_MS) */

struct tape;

struct tape_piece {
	int64_t pos, end;      /* in TAPE_HZ; each piece begins where the one before ended */
	enum codec_id codec;   /* CODEC_NONE: silence */
	const uint8_t *payload;/* until the next call */
	size_t len;
	int64_t skip;          /* in TAPE_HZ: so much of the payload's beginning has been there already */
};

struct tape *tape_new(void);   /* NULL without memory */
void tape_free(struct tape *t);
/* Copies the payload. -EINVAL: impossible size. Room is made by taking what is due after each put. */
int tape_put(struct tape *t, enum codec_id codec, uint32_t ts, const uint8_t *payload, size_t len);
/* The source has changed: its timestamps have nothing to do with those before. */
void tape_reset(struct tape *t);
/* Time goes on. */
void tape_pass(struct tape *t, uint32_t ms);
/* The next piece that is due. is_end: nothing more is waited for, until the present is reached. false: none. */
bool tape_take(struct tape *t, bool is_end, struct tape_piece *out);
/* Up to where it is known what was said, or that nothing was. */
int64_t tape_present(const struct tape *t);
/* Where the newest packet ends, and how often a packet was placed without regard to those before it. */
int64_t tape_newest(const struct tape *t);
unsigned tape_anchors(const struct tape *t);

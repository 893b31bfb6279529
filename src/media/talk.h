/* talk.h - is somebody talking? From the loudness of frames of 20 ms, with hysteresis.
 *
 * What counts as talk is louder by 10 dB than the noise around it, which is followed: down at once, up by 3 dB in some 7 s, so that neither a
 * fan nor music on somebody's hold counts for long. It goes on through the pauses between words (TALK_PAUSE_MS). A single bang opens the
 * door (is_active), so that no beginning of a word is cut off, but is no talk yet.
 *
 * Audio: loudness is the mean of |sample|, int16 linear. Thread: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TALK_FRAME_MS 20
#define TALK_BEGIN_MS 60       /* of loudness without a gap */
#define TALK_PAUSE_MS 600

enum talk_change { TALK_SAME, TALK_BEGINS, TALK_ENDS };

struct talk {                  /* embedded; all zero is a silent beginning */
	uint32_t noise_q8;     /* loudness of the noise; 0: none heard yet */
	uint32_t loudness_q8;  /* of what is said: rises at once, falls in a second */
	uint8_t loud, quiet;   /* frames in a row */
	uint8_t pause;         /* frames of quiet that end it, set by the owner; 0: TALK_PAUSE_MS */
	bool is_active;        /* loud lately: may be heard */
	bool is_talking;       /* as told */
};

/* The mean of |sample|. */
uint32_t talk_level(const int16_t *pcm, size_t n);
/* A frame has come; or nothing has (level 0, is_sound false), which says nothing of the noise. */
enum talk_change talk_frame(struct talk *t, uint32_t level, bool is_sound);
/* Not heard any more. */
enum talk_change talk_stop(struct talk *t);

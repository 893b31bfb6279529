/* mixer.h - the arithmetic of a conference: who of many voices is heard, and what each listener gets of them, frame by frame.
 *
 * A mix has no rate of its own. Each listener hears it at the rate of his own codec, 8, 16 or 48 kHz, and each voice is resampled once to those of
 * these rates at which somebody listens. So the widest member hears all there is, and when he comes or goes nothing changes for
 * the others: no rate is switched, nothing clicks.
 *
 * Of many voices only the loudest are summed, of those whose owners talk (talk.h); who is heard already stays before somebody who isn't 6 dB
 * louder. Where there are no more voices than may be heard at once, all are. Whoever begins or ends to be heard is faded in 5 ms, and so
 * are changes of gain; of who leaves in the middle of a word, the last sample is.
 *
 *   mixer_begin()                        a frame of 20 ms, and the rates at which it is listened to
 *   mixer_say() for each voice           what it says; mixer_silent(): nothing has come of it
 *   mixer_sum()
 *   mixer_all(), mixer_but()             what somebody hears who isn't heard himself; who is: all but himself, to the bit
 *
 * The frames of a turn lie in the desk, which all mixes of a thread share: a mix itself keeps only what lasts.
 *
 * Audio: int16 linear, mono in, int32 sums out (for limiter.h). Thread: one at a time for a desk and its mixers.
 */
#pragma once

#include "media/talk.h"

#define MIXER_FRAME_MS 20
#define MIXER_SPEAKERS_MAX 6   /* more at once nobody understands */
#define MIXER_SPEAKERS 4       /* unless told otherwise */
#define MIXER_ROOM_VOICES 2    /* beside them: announcements and tones */
#define MIXER_SAMPLES_MAX 960  /* of a frame at the highest rate */
#define MIXER_GAIN_ONE 4096

enum mixer_rate { MIXER_8K, MIXER_16K, MIXER_48K, MIXER_NRATES };

struct mixer;
struct mixer_desk;
struct resampler;
struct mixer_slot;

struct mixer_voice {           /* embedded by its owner; see mixer_voice_init() */
	struct talk talk;
	bool is_muted;         /* set by its owner; it is faded out with the frame that follows */
	bool is_room;          /* always heard, and never one of the speakers */
	bool is_speaking;      /* was part of the last frame's sum */
	uint16_t gain;         /* MIXER_GAIN_ONE: as it comes. Set by its owner. */
	uint16_t gain_now;
	uint32_t rate_hz;      /* of what it says */
	struct resampler *to[MIXER_NRATES];
	int16_t last[MIXER_NRATES]; /* sample of the last frame */
	struct mixer_slot *slot; /* of this frame; NULL: not part of it */
};

struct mixer_desk *mixer_desk_new(void); /* NULL without memory */
void mixer_desk_free(struct mixer_desk *d);

/* nspeakers: how many are heard at once, 1..MIXER_SPEAKERS_MAX, 0: MIXER_SPEAKERS. NULL without memory. */
struct mixer *mixer_new(unsigned nspeakers);
void mixer_free(struct mixer *m);

void mixer_voice_init(struct mixer_voice *v);
/* One more or one less that may be heard: muted ones don't count. Leaving frees what it has made; a voice may enter again. */
void mixer_enter(struct mixer *m, struct mixer_voice *v);
void mixer_leave(struct mixer *m, struct mixer_voice *v);
void mixer_mute(struct mixer *m, struct mixer_voice *v, bool is_muted);

/* The rate that a listener with this codec's rate has; anything else than 8, 16 or 48 kHz counts as the next higher. */
enum mixer_rate mixer_rate_of(uint32_t rate_hz);
uint32_t mixer_rate_hz(enum mixer_rate r);
static inline size_t mixer_samples(enum mixer_rate r) { return mixer_rate_hz(r) / 1000 * MIXER_FRAME_MS; }

/* rates: bits 1 << enum mixer_rate */
void mixer_begin(struct mixer *m, struct mixer_desk *d, unsigned rates);
/* A frame of n samples, MIXER_FRAME_MS at 8, 16 or 48 kHz; copied. */
enum talk_change mixer_say(struct mixer *m, struct mixer_voice *v, const int16_t *pcm, size_t n, uint32_t rate_hz);
enum talk_change mixer_silent(struct mixer *m, struct mixer_voice *v);
void mixer_sum(struct mixer *m);
/* Until the next mixer_begin() on this desk; mixer_but(): until its next call, too. */
const int32_t *mixer_all(struct mixer *m, enum mixer_rate r);
const int32_t *mixer_but(struct mixer *m, const struct mixer_voice *v, enum mixer_rate r);

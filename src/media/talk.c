/* talk.c - talk detection (see talk.h).
 */
#include "media/talk.h"

#include <stdlib.h>

#define LEVEL_OPEN 64          /* -54 dBov: no talk is softer, */
#define LEVEL_KEEP 48          /* also when it goes on */
#define NOISE_START 32         /* a quiet room */
#define NOISE_MAX 1024         /* -30 dBov: what is louder by 10 dB is no noise, whatever it is */
#define RISE_SHIFT 9           /* of the noise: a 512th a frame */
#define BEGIN_FRAMES (TALK_BEGIN_MS / TALK_FRAME_MS)
#define PAUSE_FRAMES (TALK_PAUSE_MS / TALK_FRAME_MS)

uint32_t talk_level(const int16_t *pcm, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)abs(pcm[i]);
	return n ? sum / (uint32_t)n : 0;
}

static void follow_noise(struct talk *t, uint32_t level_q8)
{
	if (!t->noise_q8)
		t->noise_q8 = NOISE_START << 8;
	if (level_q8 < t->noise_q8)
		t->noise_q8 -= (t->noise_q8 - level_q8) / 4;
	else
		t->noise_q8 += (t->noise_q8 >> RISE_SHIFT) + 1;
	if (t->noise_q8 > NOISE_MAX << 8)
		t->noise_q8 = NOISE_MAX << 8;
}

/* 10 dB above the noise to begin, 6 dB to go on. */
static bool is_loud(const struct talk *t, uint32_t level)
{
	uint32_t noise = t->noise_q8 >> 8, open = 3 * noise, keep = 2 * noise;

	if (t->is_active)
		return level >= (keep > LEVEL_KEEP ? keep : LEVEL_KEEP);
	return level >= (open > LEVEL_OPEN ? open : LEVEL_OPEN);
}

enum talk_change talk_stop(struct talk *t)
{
	bool was_talking = t->is_talking;

	t->is_active = t->is_talking = false;
	t->loud = t->quiet = 0;
	t->loudness_q8 = 0;
	return was_talking ? TALK_ENDS : TALK_SAME;
}

enum talk_change talk_frame(struct talk *t, uint32_t level, bool is_sound)
{
	uint32_t level_q8 = level << 8;

	if (is_sound)
		follow_noise(t, level_q8);
	t->loudness_q8 -= t->loudness_q8 / 32;
	if (level_q8 > t->loudness_q8)
		t->loudness_q8 += (level_q8 - t->loudness_q8) / 2;
	if (is_loud(t, level)) {
		t->is_active = true;
		t->quiet = 0;
		if (t->loud < BEGIN_FRAMES && ++t->loud == BEGIN_FRAMES && !t->is_talking) {
			t->is_talking = true;
			return TALK_BEGINS;
		}
		return TALK_SAME;
	}
	t->loud = 0;
	if (t->is_active && ++t->quiet >= (t->pause ? t->pause : PAUSE_FRAMES))
		return talk_stop(t);
	return TALK_SAME;
}

/* cadence.h - the tones of a country, as rows of pbx.tone_plan have them.
 *
 * "400+450/400/200 400+450/400/2000": hertz, ms, ms of silence; 400*25 is a tone whose loudness another one moves; "425" alone goes on
 * without end. pbx.is_cadence() says the same.
 *
 * Thread: any. Sources: ITU-T E.180 and its supplement 2.
 */
#pragma once

#include "media/media.h"

#define CADENCE_MAX 8

enum dir_tone {
	DIR_TONE_DIAL, DIR_TONE_RINGBACK, DIR_TONE_BUSY, DIR_TONE_CONGESTION, DIR_TONE_CALL_WAITING, DIR_TONE_SPECIAL_INFORMATION,
	DIR_TONE_COUNT
};

struct dir_cadence {
	unsigned n;
	struct tone tones[CADENCE_MAX];
};

/* -EINVAL: not one; *out is empty then. */
int cadence_parse(struct dir_cadence *out, const char *text);
/* By the name of its column, "ringback". -ENOENT. */
int cadence_find(const char *name);

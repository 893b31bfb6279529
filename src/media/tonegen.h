/* tonegen.h - tones: ringback and its like, and the two of a digit.
 *
 * Audio: int16 linear, mono, at the rate asked for. Thread: one at a time for each generator.
 * Sources: ITU-T Q.23 (digits), E.180 (ringback and so on).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/media.h"

#define TONEGEN_CADENCE_MAX 8

struct tonegen {                 /* embedded by its owner; nothing to release */
	struct tone cadence[TONEGEN_CADENCE_MAX];
	unsigned n, at;          /* entries, the one sounding */
	bool once;               /* ends after the last entry instead of beginning again */
	uint32_t left_on, left_off; /* samples of it still to come */
	uint32_t rate_hz;
	uint32_t phase[2];
	uint16_t hz[2];          /* they are of */
	float level_dbm0;        /* of each tone */
};

/* More than TONEGEN_CADENCE_MAX entries are cut off. In a loop. */
void tonegen_init(struct tonegen *g, const struct tone *cadence, unsigned n, uint32_t rate_hz);
/* One digit for so long, once; anything but a digit is silence. */
void tonegen_init_digit(struct tonegen *g, char digit, uint32_t duration_ms, uint32_t rate_hz);
/* Goes on at another rate, where it is. */
void tonegen_set_rate(struct tonegen *g, uint32_t rate_hz);
/* Fills pcm. false: it has ended (what is left of pcm is silence). */
bool tonegen_run(struct tonegen *g, int16_t *pcm, size_t nsamples);

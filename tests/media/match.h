/* match.h - where and how well one sound is found in another.
 *
 * The needle is cut into blocks, each of which looks for its best place in the haystack near where its neighbour was found. So a
 * jitter buffer that stretches, clocks that drift and packets that were lost cost what they spoil, and no more.
 *
 * Audio: float in -1..1, mono, at MATCH_RATE_HZ. Thread: any; nothing is shared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define MATCH_RATE_HZ 8000

struct match_params {
	const float *needle, *hay;
	size_t nneedle, nhay;
	bool is_circular;         /* the haystack begins anew behind its end, as music does */
	bool needle_is_recorded;  /* the needle is what came out, not what was put in: for signs and gains */
};

struct match {
	double offset_ms;         /* of the needle's first sample in the haystack; circular: never negative */
	double corr;              /* normalised correlation of the blocks, weighted by their loudness; 0..1 */
	double coverage;          /* part of the blocks found (correlation at least 0.5); 0..1 */
	double segsnr_db;         /* mean over frames of 20 ms, each within -10..35 */
	double lsd_db;            /* log-spectral distance over 16 bands, the level difference taken out */
	double level_db;          /* of the recorded sound, RMS of the blocks that are not silent, full scale 0 */
	double gain_db;           /* recorded to reference */
	double drift_ppm;         /* how much faster the haystack goes by */
	unsigned nblocks;         /* blocks of the needle that are not silent; 0: there is nothing to compare */
};

/* -EINVAL: not a quarter of a second of needle, or no haystack; -ENOMEM. */
int match_find(const struct match_params *p, struct match *out);

/* The longest stretch of one or two steady tones (digits, ringback, beeps): its length in ms, 0 without any, and where it
 * begins. Negative errno: -ENOMEM. */
int match_longest_tone(const float *x, size_t n, double *at_ms);

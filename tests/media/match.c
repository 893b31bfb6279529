/* match.c - finding one sound in another (see match.h).
 *
 * Two steps. Coarse: some blocks of a second, at 2 kHz, are correlated with the whole haystack by FFT, and vote for an offset:
 * most of them agree if it is the same sound. Fine: from the best voter outwards, blocks of 400 ms at 8 kHz are
 * looked for around where the one before was found, to a sixteenth of a sample; on these the figures are taken.
 */
#include "tests/media/match.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/media/fft.h"

#define COARSE 4                         /* samples of 8 kHz to one of the coarse step */
#define COARSE_HZ (MATCH_RATE_HZ / COARSE)
#define VOTE_LEN ((size_t)COARSE_HZ)
#define VOTES_MAX 24
#define VOTE_TOLERANCE_S 0.02
#define DRIFT_MAX 500e-6
#define BLOCK ((size_t)MATCH_RATE_HZ * 400 / 1000)
#define NEAR (MATCH_RATE_HZ * 60 / 1000) /* a jitter buffer moves by no more from block to block */
#define FAR (MATCH_RATE_HZ * 200 / 1000) /* nearly: tried when the block isn't found near */
#define FOUND 0.5
#define SINC_HALF 12
#define FRACTIONS 16
#define FRAME ((size_t)MATCH_RATE_HZ * 20 / 1000)
#define SPECTRUM 256
#define BANDS 16
#define QUIET_RANGE 1e-3                 /* 30 dB below the loudest block is silence */
#define QUIET_FLOOR 3e-6                 /* -55 dB of full scale, too */

struct sound {
	const float *x;
	size_t n;
	bool is_circular;
};

struct vote {
	ptrdiff_t at;                    /* of the block in the needle, coarse samples */
	ptrdiff_t lag;                   /* haystack position less that, coarse samples */
	double weight;
};

struct sums {
	double corr, weight, found, snr, lsd, ref_energy, rec_energy;
	unsigned nblocks, nframes, nspectra;
	double t, tt, lag, tlag, n;      /* regression of the lag over time */
	size_t first_at;                 /* the earliest block that was found, and its lag */
	double first_lag;
};

struct work {
	const struct match_params *p;
	struct sound needle, hay;
	struct fft spectrum;
	double quiet;                    /* mean square below which a block is silent */
	struct sums sums;
	float a[BLOCK], b[BLOCK], wide[BLOCK + 2 * SINC_HALF + 2];
};

static inline float sound_at(const struct sound *s, ptrdiff_t i)
{
	if (s->is_circular) {
		i %= (ptrdiff_t)s->n;
		return s->x[i < 0 ? i + (ptrdiff_t)s->n : i];
	}
	return i >= 0 && i < (ptrdiff_t)s->n ? s->x[i] : 0;
}

static void sound_copy(const struct sound *s, ptrdiff_t at, float *out, size_t n)
{
	if (at >= 0 && at + (ptrdiff_t)n <= (ptrdiff_t)s->n) {
		memcpy(out, s->x + at, n * sizeof(*out));
		return;
	}
	for (size_t i = 0; i < n; i++)
		out[i] = sound_at(s, at + (ptrdiff_t)i);
}

static double dot(const float *a, const float *b, size_t n)
{
	float s[8] = { 0 };
	double sum = 0;
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		for (unsigned k = 0; k < 8; k++)
			s[k] += a[i + k] * b[i + k];
	}
	for (; i < n; i++)
		sum += (double)a[i] * b[i];
	for (unsigned k = 0; k < 8; k++)
		sum += s[k];
	return sum;
}

/* ---- coarse: votes ---- */

/* Every fourth sample behind a low-pass, 800 Hz. Circular sounds too are taken as ending: the seam doesn't matter. */
static float *coarse_make(const struct sound *s, size_t *n)
{
	enum { HALF = 24 };
	float taps[2 * HALF + 1], *out;
	struct sound plain = { s->x, s->n, false };

	for (int i = -HALF; i <= HALF; i++) {
		double x = 2.0 * 800 / MATCH_RATE_HZ * i;

		taps[i + HALF] = (float)((i == 0 ? 1 : sin(M_PI * x) / (M_PI * x)) * (0.5 + 0.5 * cos(M_PI * i / (HALF + 1))) *
					 2 * 800 / MATCH_RATE_HZ);
	}
	*n = s->n / COARSE;
	out = malloc((*n + 1) * sizeof(*out));
	for (size_t i = 0; out && i < *n; i++) {
		float around[2 * HALF + 1];

		sound_copy(&plain, (ptrdiff_t)(i * COARSE) - HALF, around, 2 * HALF + 1);
		out[i] = (float)dot(around, taps, 2 * HALF + 1);
	}
	return out;
}

struct coarse {
	struct fft fft;
	size_t block, nhay;
	ptrdiff_t lead;                  /* room before the haystack, so that a block may hang over its begin */
	size_t npositions;
	float complex *hay, *x;
	double *energy;                  /* prefix sums */
};

static int coarse_init(struct coarse *c, const struct sound *hay, size_t block)
{
	size_t len = hay->n + 2 * block;
	double sum = 0;
	int err;

	c->block = block;
	c->nhay = hay->n;
	c->lead = hay->is_circular ? 0 : (ptrdiff_t)block;
	c->npositions = hay->is_circular ? hay->n : hay->n + block;
	err = fft_init(&c->fft, fft_size_for(len));
	c->hay = calloc(c->fft.n, sizeof(*c->hay));
	c->x = calloc(c->fft.n, sizeof(*c->x));
	c->energy = calloc(len + 1, sizeof(*c->energy));
	if (err < 0 || !c->hay || !c->x || !c->energy)
		return -ENOMEM;
	for (size_t i = 0; i < len; i++) {
		float v = sound_at(hay, (ptrdiff_t)i - c->lead);

		c->hay[i] = v;
		sum += (double)v * v;
		c->energy[i + 1] = sum;
	}
	fft_run(&c->fft, c->hay);
	return 0;
}

static void coarse_fini(struct coarse *c)
{
	fft_fini(&c->fft);
	free(c->hay);
	free(c->x);
	free(c->energy);
}

/* Where in the haystack the block fits best. A stretch of the haystack that is far quieter than the block is no match, however
 * alike: its energy counts as at least a thousandth of the block's. */
static struct vote coarse_vote(struct coarse *c, const float *block, ptrdiff_t at)
{
	struct vote v = { .at = at };
	double energy = dot(block, block, c->block);

	memset(c->x, 0, c->fft.n * sizeof(*c->x));
	for (size_t i = 0; i < c->block; i++)
		c->x[i] = block[i];
	fft_run(&c->fft, c->x);
	for (size_t i = 0; i < c->fft.n; i++) {
		float complex h = c->hay[i], b = c->x[i];

		c->x[i] = (crealf(h) * crealf(b) + cimagf(h) * cimagf(b)) + I * (cimagf(h) * crealf(b) - crealf(h) * cimagf(b));
	}
	fft_run_back(&c->fft, c->x);
	for (size_t i = 0; i < c->npositions; i++) {
		double e = fmax(c->energy[i + c->block] - c->energy[i], energy * 1e-3);
		double corr = e > 0 && energy > 0 ? crealf(c->x[i]) / (double)c->fft.n / sqrt(e * energy) : 0;

		if (corr > v.weight) {
			v.weight = corr;
			v.lag = (ptrdiff_t)i - c->lead - at;
		}
	}
	return v;
}

/* a - b on the circle of n, or on the line (n is 0). */
static ptrdiff_t apart(ptrdiff_t a, ptrdiff_t b, size_t n)
{
	ptrdiff_t d = a - b;

	if (n == 0)
		return d;
	d %= (ptrdiff_t)n;
	if (d < 0)
		d += (ptrdiff_t)n;
	return d > (ptrdiff_t)n / 2 ? d - (ptrdiff_t)n : d;
}

/* The vote with which most agree. */
static struct vote elect(const struct vote *votes, unsigned n, size_t circle)
{
	struct vote best = { 0 };
	double most = -1;

	for (unsigned i = 0; i < n; i++) {
		double sum = votes[i].weight * 1e-3; /* among equals, the one that is surest */

		for (unsigned k = 0; k < n; k++) {
			double far = COARSE_HZ * VOTE_TOLERANCE_S +
				     (double)labs(votes[i].at - votes[k].at) * DRIFT_MAX;

			if ((double)labs(apart(votes[i].lag, votes[k].lag, circle)) <= far)
				sum += votes[k].weight * votes[k].weight;
		}
		if (sum > most) {
			most = sum;
			best = votes[i];
		}
	}
	return best;
}

static int coarse_find(const struct work *w, struct vote *out)
{
	struct sound needle = { 0 }, hay = { .is_circular = w->hay.is_circular };
	float *needle_x = coarse_make(&w->needle, &needle.n), *hay_x = coarse_make(&w->hay, &hay.n);
	struct coarse c = { 0 };
	struct vote votes[VOTES_MAX];
	size_t block = needle.n < VOTE_LEN ? needle.n : VOTE_LEN, nblocks, step;
	unsigned n = 0;
	int err = -ENOMEM;

	needle.x = needle_x;
	hay.x = hay_x;
	if (!needle_x || !hay_x)
		goto out;
	err = coarse_init(&c, &hay, block);
	if (err < 0)
		goto out;
	/* Half overlapping blocks, some left out if there are many. */
	nblocks = 1 + (needle.n - block) / (block / 2);
	step = (nblocks + VOTES_MAX - 1) / VOTES_MAX;
	for (size_t i = 0; i < nblocks; i += step) {
		size_t at = i * (block / 2);

		if (dot(needle.x + at, needle.x + at, block) / (double)block >= w->quiet / 10)
			votes[n++] = coarse_vote(&c, needle.x + at, (ptrdiff_t)at);
	}
	*out = elect(votes, n, hay.is_circular ? hay.n : 0);
	err = 0;
out:
	coarse_fini(&c);
	free(needle_x);
	free(hay_x);
	return err;
}

/* ---- fine: blocks ---- */

/* Where the block in w->a fits best, to a sample, within reach of guess. */
static double block_search(struct work *w, size_t n, ptrdiff_t guess, ptrdiff_t reach, ptrdiff_t *at)
{
	size_t span = n + 2 * (size_t)reach;
	float *hay = malloc(span * sizeof(*hay));
	double energy = dot(w->a, w->a, n), e, best = -1;

	if (!hay)
		return -1;
	sound_copy(&w->hay, guess - reach, hay, span);
	e = dot(hay, hay, n);
	for (ptrdiff_t k = 0; k <= 2 * reach; k++) {
		double corr = e > energy * 1e-4 ? dot(w->a, hay + k, n) / sqrt(e * energy) : 0;

		if (corr > best) {
			best = corr;
			*at = guess - reach + k;
		}
		if (k < 2 * reach)
			e += (double)hay[k + (ptrdiff_t)n] * hay[k + (ptrdiff_t)n] - (double)hay[k] * hay[k];
	}
	free(hay);
	return best;
}

static void shift(const float *wide, float *out, size_t n, double fraction)
{
	float taps[2 * SINC_HALF];

	for (int i = 0; i < 2 * SINC_HALF; i++) {
		double x = i - SINC_HALF + 1 - fraction;

		taps[i] = (float)((fabs(x) < 1e-9 ? 1 : sin(M_PI * x) / (M_PI * x)) * (0.5 + 0.5 * cos(M_PI * x / (SINC_HALF + 1))));
	}
	for (size_t i = 0; i < n; i++)
		out[i] = (float)dot(wide + i, taps, 2 * SINC_HALF);
}

/* Fills w->b with the haystack at *at, moved by the fraction of a sample that fits best, which is added to *at. */
static double block_refine(struct work *w, size_t n, double *at)
{
	ptrdiff_t whole = (ptrdiff_t)*at;
	double energy = dot(w->a, w->a, n), best = -1, best_fraction = 0;

	/* Taps reach SINC_HALF - 1 back; fractions begin at -1/2, that is one sample earlier and +1/2. */
	sound_copy(&w->hay, whole - SINC_HALF, w->wide, n + 2 * SINC_HALF + 1);
	for (int k = -FRACTIONS / 2; k <= FRACTIONS / 2 + 1; k++) {
		double fraction = k <= FRACTIONS / 2 ? (double)k / FRACTIONS : best_fraction; /* the best once more, to keep */
		double e, corr;

		if (fraction < 0)
			shift(w->wide, w->b, n, fraction + 1);
		else
			shift(w->wide + 1, w->b, n, fraction);
		e = dot(w->b, w->b, n);
		corr = e > energy * 1e-4 ? dot(w->a, w->b, n) / sqrt(e * energy) : 0;
		if (corr > best) {
			best = corr;
			best_fraction = fraction;
		}
	}
	*at += best_fraction;
	return best;
}

static void bands_of(const struct work *w, const float *x, double bands[BANDS])
{
	float complex s[SPECTRUM];

	for (unsigned i = 0; i < SPECTRUM; i++)
		s[i] = x[i] * (float)(0.5 - 0.5 * cos(2 * M_PI * i / SPECTRUM));
	fft_run(&w->spectrum, s);
	for (unsigned k = 0; k < BANDS; k++) {
		bands[k] = 1e-9;
		for (unsigned i = 0; i < 7; i++) { /* 219 Hz each, from 156 to 3656 Hz */
			float complex v = s[5 + 7 * k + i];

			bands[k] += crealf(v) * crealf(v) + cimagf(v) * cimagf(v);
		}
	}
}

/* Root mean square difference in dB. Bands more than 50 dB below the loudest don't matter to an ear. */
static double spectral_distance(const struct work *w, const float *ref, const float *rec, double gain)
{
	double a[BANDS], b[BANDS], loudest = 0, sum = 0;

	bands_of(w, ref, a);
	bands_of(w, rec, b);
	for (unsigned k = 0; k < BANDS; k++)
		loudest = fmax(loudest, a[k]);
	for (unsigned k = 0; k < BANDS; k++) {
		double floor = loudest * 1e-5, d = 10 * log10(fmax(a[k], floor) / fmax(b[k] * gain * gain, floor));

		sum += d * d;
	}
	return sqrt(sum / BANDS);
}

/* ref and rec are aligned; gain fits rec to ref. */
static void block_measure(struct work *w, size_t n, const float *ref, const float *rec, double gain)
{
	struct sums *s = &w->sums;

	for (size_t at = 0; at + FRAME <= n; at += FRAME) {
		double signal = dot(ref + at, ref + at, FRAME), noise = 1e-12;

		if (signal / FRAME < w->quiet)
			continue;
		for (size_t i = at; i < at + FRAME; i++)
			noise += pow(ref[i] - gain * rec[i], 2);
		s->snr += fmin(fmax(10 * log10(signal / noise), -10), 35);
		s->nframes++;
	}
	for (size_t at = 0; at + SPECTRUM <= n; at += SPECTRUM) {
		if (dot(ref + at, ref + at, SPECTRUM) / SPECTRUM < w->quiet)
			continue;
		s->lsd += spectral_distance(w, ref + at, rec + at, gain);
		s->nspectra++;
	}
	s->ref_energy += dot(ref, ref, n);
	s->rec_energy += dot(rec, rec, n);
}

/* Looks for the needle's block at `at`, expected *lag further on in the haystack, and adds up what it finds. */
static void block_take(struct work *w, size_t at, size_t n, double *lag)
{
	struct sums *s = &w->sums;
	bool swap = w->p->needle_is_recorded;
	ptrdiff_t guess = (ptrdiff_t)at + (ptrdiff_t)lround(*lag), place = guess;
	double corr, exact, gain, weight, e;

	sound_copy(&w->needle, (ptrdiff_t)at, w->a, n);
	e = dot(w->a, w->a, n);
	if (e / (double)n < w->quiet)
		return;
	corr = block_search(w, n, guess, NEAR, &place);
	if (corr < FOUND)
		corr = block_search(w, n, guess, FAR, &place);
	exact = (double)place;
	corr = fmax(block_refine(w, n, &exact), 0);
	weight = sqrt(e);
	s->nblocks++;
	s->corr += corr * weight;
	s->weight += weight;
	gain = dot(w->a, w->b, n) / fmax(dot(swap ? w->a : w->b, swap ? w->a : w->b, n), 1e-12);
	block_measure(w, n, swap ? w->b : w->a, swap ? w->a : w->b, gain);
	if (corr < FOUND)
		return;
	s->found++;
	*lag = exact - (double)at;
	if (s->n == 0 || at < s->first_at) {
		s->first_at = at;
		s->first_lag = *lag;
	}
	s->n += 1;
	s->t += (double)at;
	s->tt += (double)at * (double)at;
	s->lag += *lag;
	s->tlag += *lag * (double)at;
}

static void fine_run(struct work *w, const struct vote *start)
{
	size_t n = w->needle.n < BLOCK ? w->needle.n : BLOCK, nblocks = w->needle.n / n;
	size_t first = (size_t)start->at * COARSE / n;
	double lag = (double)start->lag * COARSE, back;

	if (first >= nblocks)
		first = nblocks - 1;
	block_take(w, first * n, n, &lag);
	back = lag;
	for (size_t i = first + 1; i < nblocks; i++)
		block_take(w, i * n, n, &lag);
	for (size_t i = first; i-- > 0;)
		block_take(w, i * n, n, &back);
}

/* ---- all of it ---- */

static double loudest_block(const float *x, size_t n)
{
	size_t len = n < BLOCK ? n : BLOCK;
	double loudest = 0;

	for (size_t at = 0; len > 0 && at + len <= n; at += len)
		loudest = fmax(loudest, dot(x + at, x + at, len) / (double)len);
	return loudest;
}

static void figures(const struct work *w, struct match *out)
{
	const struct sums *s = &w->sums;
	double spread = s->n * s->tt - s->t * s->t, slope = 0, begin, circle = (double)w->hay.n;

	*out = (struct match){ .nblocks = s->nblocks };
	if (s->nblocks == 0)
		return;
	out->corr = s->weight > 0 ? s->corr / s->weight : 0;
	out->coverage = s->found / s->nblocks;
	out->segsnr_db = s->nframes ? s->snr / s->nframes : 0;
	out->lsd_db = s->nspectra ? s->lsd / s->nspectra : 0;
	out->level_db = 10 * log10(fmax(s->rec_energy / ((double)s->nblocks * BLOCK), 1e-12));
	out->gain_db = 10 * log10(fmax(s->rec_energy, 1e-12) / fmax(s->ref_energy, 1e-12));
	if (s->n == 0)
		return;
	if (s->n >= 5 && spread > 0)
		slope = (s->n * s->tlag - s->t * s->lag) / spread;
	begin = s->first_lag;
	if (w->hay.is_circular)
		begin = begin < 0 ? fmod(begin, circle) + circle : fmod(begin, circle);
	out->offset_ms = begin * 1000 / MATCH_RATE_HZ;
	out->drift_ppm = slope * 1e6;
}

int match_find(const struct match_params *p, struct match *out)
{
	struct work *w;
	struct vote start;
	int err = -ENOMEM;

	if (p->nneedle < MATCH_RATE_HZ / 4 || p->nhay < MATCH_RATE_HZ / 4)
		return -EINVAL;
	w = calloc(1, sizeof(*w));
	if (!w || fft_init(&w->spectrum, SPECTRUM) < 0)
		goto out;
	w->p = p;
	w->needle = (struct sound){ p->needle, p->nneedle, false };
	w->hay = (struct sound){ p->hay, p->nhay, p->is_circular };
	w->quiet = fmax(loudest_block(p->needle, p->nneedle) * QUIET_RANGE, QUIET_FLOOR);
	err = coarse_find(w, &start);
	if (err == 0) {
		fine_run(w, &start);
		figures(w, out);
	}
out:
	if (w)
		fft_fini(&w->spectrum);
	free(w);
	return err;
}

/* ---- tones ---- */

#define TONE_HOP (MATCH_RATE_HZ / 100)
#define TONE_REACH 3       /* bins to either side that belong to a peak; the two tones of ringback fall into one */
#define TONE_PURE 0.97     /* of the energy in two peaks: voices have more harmonics */
#define TONE_STEADY 0.25   /* bins, 8 Hz: voices move */
#define TONE_LOWEST 11.0   /* bins, 340 Hz: below, a hummed consonant is as pure as any tone */
#define TONE_MIN_HOPS 5    /* with the window of 32 ms: 70 ms, the shortest digit there is */

/* The strongest peak of what is left of the spectrum is taken out of it; its energy and its centre in bins. */
static double peak_take(double power[SPECTRUM / 2], double *centre)
{
	unsigned top = 0;
	double sum = 0, moment = 0;

	for (unsigned i = 1; i < SPECTRUM / 2; i++)
		top = power[i] > power[top] ? i : top;
	for (unsigned i = top > TONE_REACH ? top - TONE_REACH : 0; i <= top + TONE_REACH && i < SPECTRUM / 2; i++) {
		sum += power[i];
		moment += power[i] * i;
		power[i] = 0;
	}
	*centre = sum > 0 ? moment / sum : 0;
	return sum;
}

/* Nothing sounds but one or two tones. centre: where, in bins; the lower one first; one alone is both. */
static bool tone_of(const struct fft *fft, const float *x, double centre[2])
{
	float complex s[SPECTRUM];
	double power[SPECTRUM / 2], total = 1e-9, first, second;

	for (unsigned i = 0; i < SPECTRUM; i++)
		s[i] = x[i] * (float)(0.5 - 0.5 * cos(2 * M_PI * i / SPECTRUM));
	fft_run(fft, s);
	for (unsigned i = 0; i < SPECTRUM / 2; i++) {
		power[i] = crealf(s[i]) * crealf(s[i]) + cimagf(s[i]) * cimagf(s[i]);
		total += power[i];
	}
	first = peak_take(power, &centre[0]);
	second = peak_take(power, &centre[1]);
	if (second < first * 0.01)
		centre[1] = centre[0];
	if (centre[1] < centre[0]) {
		double t = centre[0];

		centre[0] = centre[1];
		centre[1] = t;
	}
	return (first + second) / total >= TONE_PURE && centre[0] >= TONE_LOWEST;
}

int match_longest_tone(const float *x, size_t n, double *at_ms)
{
	unsigned run = 0, longest = 0;
	double begin[2] = { 0 };
	struct fft fft;

	if (fft_init(&fft, SPECTRUM) < 0)
		return -ENOMEM;
	for (size_t at = 0; at + SPECTRUM <= n; at += TONE_HOP) {
		double centre[2];

		if (dot(x + at, x + at, SPECTRUM) / SPECTRUM < QUIET_FLOOR * 10 || !tone_of(&fft, x + at, centre)) {
			run = 0;
			continue;
		}
		if (run > 0 && (fabs(centre[0] - begin[0]) > TONE_STEADY || fabs(centre[1] - begin[1]) > TONE_STEADY))
			run = 0;
		if (run++ == 0)
			memcpy(begin, centre, sizeof(begin));
		if (run > longest) {
			longest = run;
			*at_ms = ((double)at - (double)(run - 1) * TONE_HOP) * 1000 / MATCH_RATE_HZ;
		}
	}
	fft_fini(&fft);
	if (longest < TONE_MIN_HOPS)
		return 0;
	return (int)((longest - 1) * 10 + SPECTRUM * 1000 / MATCH_RATE_HZ);
}

/* compare.c - is what was recorded what was played?
 *
 *   compare [--min-corr X] [--max-lsd DB] REFERENCE RECORDED      RECORDED holds REFERENCE, all of it
 *   compare [--min-corr X] --music FILE [--music FILE]... RECORDED  RECORDED is a stretch of the files, played in a loop
 *   compare --tone-free RECORDED                                  no digit, ringback or beep is left in RECORDED
 *
 * Files are whatever libsndfile reads. One key=value a line goes to stdout:
 *   offset_ms   where REFERENCE begins in RECORDED; with --music, where RECORDED begins in the files
 *   corr        normalised correlation of aligned blocks, 0..1: above 0.9 for G.711 and G.722, below 0.5 for other sounds
 *   coverage    the part of the blocks that was found
 *   segsnr_db   segmental SNR; lsd_db: log-spectral distance (0: the same)
 *   level_db    of RECORDED's sound, full scale 0; gain_db: RECORDED to REFERENCE
 *   drift_ppm   of the clocks
 *   tone_ms, tone_at_ms  with --tone-free: the longest tone
 *
 * Exit: 0 it is (corr at least X, by default 0.8), 1 it isn't, 2 bad usage or a file that can't be read.
 *
 * Resampling is speexdsp's, called directly: this tool measures src/media, so it shares no code with it.
 */
#include <errno.h>
#include <math.h>
#include <sndfile.h>
#include <speex/speex_resampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/media/match.h"

#define MUSIC_MAX 64
#define SECONDS_MAX 3600
#define USAGE "usage: compare [--min-corr X] [--max-lsd DB] REFERENCE RECORDED\n" \
	      "       compare [--min-corr X] --music FILE [--music FILE]... RECORDED\n" \
	      "       compare --tone-free RECORDED\n"

enum { EXIT_SAME, EXIT_OTHER, EXIT_TROUBLE };

struct audio {
	float *x;
	size_t n;
};

struct options {
	double min_corr, max_lsd;
	const char *music[MUSIC_MAX];
	unsigned nmusic;
	bool is_tone_free;
	const char *file[2];
	unsigned nfiles;
};

static void mix_down(float *x, size_t nframes, int channels)
{
	for (size_t i = 0; i < nframes; i++) {
		float sum = 0;

		for (int c = 0; c < channels; c++)
			sum += x[i * (size_t)channels + (size_t)c];
		x[i] = sum / (float)channels;
	}
}

/* Takes what lies below 60 Hz away: an offset or hum would correlate with any other. */
static void high_pass(struct audio *a)
{
	const float pole = (float)exp(-2 * M_PI * 60 / MATCH_RATE_HZ);
	float before = 0, y = 0;

	for (size_t i = 0; i < a->n; i++) {
		float x = a->x[i];

		y = x - before + pole * y;
		before = x;
		a->x[i] = y;
	}
}

static int to_match_rate(struct audio *a, int rate_hz)
{
	size_t max = (size_t)((double)a->n * MATCH_RATE_HZ / rate_hz) + 16, done = 0, in = 0;
	SpeexResamplerState *st;
	float *out;
	int err = 0;

	if (rate_hz == MATCH_RATE_HZ)
		return 0;
	st = speex_resampler_init(1, (spx_uint32_t)rate_hz, MATCH_RATE_HZ, 8, &err);
	out = malloc(max * sizeof(*out));
	if (!st || !out) {
		if (st)
			speex_resampler_destroy(st);
		free(out);
		return -ENOMEM;
	}
	speex_resampler_skip_zeros(st);
	while (in < a->n && done < max) {
		spx_uint32_t nin = a->n - in < 65536 ? (spx_uint32_t)(a->n - in) : 65536;
		spx_uint32_t nout = (spx_uint32_t)(max - done);

		speex_resampler_process_float(st, 0, a->x + in, &nin, out + done, &nout);
		in += nin;
		done += nout;
	}
	speex_resampler_destroy(st);
	free(a->x);
	a->x = out;
	a->n = done;
	return 0;
}

/* 0, or -1 with the reason on stderr. */
static int audio_load(struct audio *a, const char *path)
{
	SF_INFO info = { 0 };
	SNDFILE *file = sf_open(path, SFM_READ, &info);
	int err = -1;

	*a = (struct audio){ 0 };
	if (!file) {
		fprintf(stderr, "compare: %s: %s\n", path, sf_strerror(NULL));
		return -1;
	}
	if (info.samplerate < 4000 || info.frames > (sf_count_t)SECONDS_MAX * info.samplerate) {
		fprintf(stderr, "compare: %s: below 4 kHz, or longer than an hour\n", path);
		goto out;
	}
	a->x = malloc(((size_t)info.frames * (size_t)info.channels + 1) * sizeof(*a->x));
	if (!a->x)
		goto memory;
	a->n = (size_t)sf_readf_float(file, a->x, info.frames);
	mix_down(a->x, a->n, info.channels);
	if (to_match_rate(a, info.samplerate) < 0)
		goto memory;
	high_pass(a);
	err = 0;
	goto out;
memory:
	fprintf(stderr, "compare: %s: out of memory\n", path);
out:
	sf_close(file);
	return err;
}

/* Appends b, which is released. */
static int audio_append(struct audio *a, struct audio *b)
{
	float *x = realloc(a->x, (a->n + b->n + 1) * sizeof(*x));

	if (!x) {
		free(b->x);
		fprintf(stderr, "compare: out of memory\n");
		return -1;
	}
	memcpy(x + a->n, b->x, b->n * sizeof(*x));
	free(b->x);
	a->x = x;
	a->n += b->n;
	return 0;
}

static int report(const struct options *o, int err, const struct match *m, double offset_ms)
{
	bool same;

	if (err == -ENOMEM) {
		fprintf(stderr, "compare: out of memory\n");
		return EXIT_TROUBLE;
	}
	if (err < 0 || m->nblocks == 0) {
		printf("corr=0.000\nverdict=%s\n", err < 0 ? "too-short" : "silent");
		return EXIT_OTHER;
	}
	same = m->corr >= o->min_corr && m->lsd_db <= o->max_lsd;
	printf("offset_ms=%.1f\ncorr=%.3f\ncoverage=%.2f\nsegsnr_db=%.1f\nlsd_db=%.1f\n", offset_ms, m->corr, m->coverage,
	       m->segsnr_db, m->lsd_db);
	printf("level_db=%.1f\ngain_db=%.1f\ndrift_ppm=%.0f\nverdict=%s\n", m->level_db, m->gain_db, m->drift_ppm,
	       same ? "same" : "different");
	return same ? EXIT_SAME : EXIT_OTHER;
}

static int compare_speech(const struct options *o)
{
	struct audio reference = { 0 }, recorded = { 0 };
	struct match m = { 0 };
	int code = EXIT_TROUBLE;

	if (audio_load(&reference, o->file[0]) == 0 && audio_load(&recorded, o->file[1]) == 0) {
		struct match_params p = { .needle = reference.x, .nneedle = reference.n, .hay = recorded.x, .nhay = recorded.n };
		int err = match_find(&p, &m);

		code = report(o, err, &m, m.offset_ms);
	}
	free(reference.x);
	free(recorded.x);
	return code;
}

static int compare_music(const struct options *o)
{
	struct audio all = { 0 }, recorded = { 0 };
	struct match m = { 0 };
	int code = EXIT_TROUBLE;

	for (unsigned i = 0; i < o->nmusic; i++) {
		struct audio one;

		if (audio_load(&one, o->music[i]) < 0) {
			free(one.x);
			goto out;
		}
		if (audio_append(&all, &one) < 0)
			goto out;
	}
	if (audio_load(&recorded, o->file[0]) == 0) {
		struct match_params p = { .needle = recorded.x, .nneedle = recorded.n, .hay = all.x, .nhay = all.n,
					  .is_circular = true, .needle_is_recorded = true };
		int err = match_find(&p, &m);

		code = report(o, err, &m, m.offset_ms);
	}
out:
	free(all.x);
	free(recorded.x);
	return code;
}

static int check_tone_free(const struct options *o)
{
	struct audio recorded;
	double at_ms = 0;
	int ms = -ENOMEM;

	if (audio_load(&recorded, o->file[0]) == 0)
		ms = match_longest_tone(recorded.x, recorded.n, &at_ms);
	free(recorded.x);
	if (ms < 0)
		return EXIT_TROUBLE;
	printf("tone_ms=%d\ntone_at_ms=%.0f\nverdict=%s\n", ms, at_ms, ms ? "tone" : "tone-free");
	return ms ? EXIT_OTHER : EXIT_SAME;
}

static int number(const char *z, double *out)
{
	char *end;

	*out = strtod(z, &end);
	return end == z || *end || !isfinite(*out) ? -EINVAL : 0;
}

static int options_parse(struct options *o, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;
		int err = 0;

		if (strcmp(argv[i], "--tone-free") == 0) {
			o->is_tone_free = true;
			continue;
		}
		if (strncmp(argv[i], "--", 2) != 0) {
			if (o->nfiles == 2)
				return -EINVAL;
			o->file[o->nfiles++] = argv[i];
			continue;
		}
		if (!value)
			return -EINVAL;
		if (strcmp(argv[i], "--min-corr") == 0)
			err = number(value, &o->min_corr);
		else if (strcmp(argv[i], "--max-lsd") == 0)
			err = number(value, &o->max_lsd);
		else if (strcmp(argv[i], "--music") == 0 && o->nmusic < MUSIC_MAX)
			o->music[o->nmusic++] = value;
		else
			err = -EINVAL;
		if (err < 0)
			return err;
		i++;
	}
	if (o->is_tone_free && o->nmusic > 0)
		return -EINVAL;
	return o->nfiles == (o->is_tone_free || o->nmusic > 0 ? 1 : 2) ? 0 : -EINVAL;
}

int main(int argc, char **argv)
{
	struct options o = { .min_corr = 0.8, .max_lsd = INFINITY };

	if (options_parse(&o, argc, argv) < 0) {
		fputs(USAGE, stderr);
		return EXIT_TROUBLE;
	}
	if (o.is_tone_free)
		return check_tone_free(&o);
	return o.nmusic > 0 ? compare_music(&o) : compare_speech(&o);
}

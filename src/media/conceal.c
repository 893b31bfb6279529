/* conceal.c - sound in place of what was lost (see conceal.h).
 */
#include "media/conceal.h"

#include <spandsp.h>
#include <stdlib.h>
#include <string.h>

#define THIN_HZ 8000
#define FADE_MS 50
#define SPAN_MS 10             /* over which two periods are compared */
#define FILL_MIN PLC_PITCH_OVERLAP_MAX /* SpanDSP writes as many at the beginning of a gap, however few it is asked for */
#define PERIOD_MAX (PLC_PITCH_MIN + 2) /* in samples of the thin sound, with what the search may add */

struct conceal {
	plc_state_t *plc;          /* of the sound at 8 kHz */
	unsigned factor;           /* its rate, times 8 kHz */
	int32_t thin_sum;          /* of the thin sample that is begun */
	unsigned nthin;
	/* Of a factor above 1: what came last, and of it the period that is repeated. */
	size_t size, period, at;
	uint32_t filled;           /* samples made up in a row */
	uint32_t fade;             /* samples until nothing is left */
	int16_t *history, *repeat; /* size; PERIOD_MAX * factor */
};

struct conceal *conceal_new(uint32_t rate_hz)
{
	unsigned factor = rate_hz / THIN_HZ;
	size_t repeat = (size_t)PERIOD_MAX * factor, size = 2 * repeat + (size_t)rate_hz / 1000 * SPAN_MS;
	struct conceal *c = calloc(1, sizeof(*c) + (factor > 1 ? (size + repeat) * sizeof(int16_t) : 0));

	if (!c)
		return NULL;
	c->factor = factor;
	c->fade = rate_hz / 1000 * FADE_MS;
	c->size = size;
	c->history = (int16_t *)(c + 1);
	c->repeat = c->history + size;
	c->plc = plc_init(NULL);
	if (!c->plc) {
		free(c);
		return NULL;
	}
	return c;
}

void conceal_free(struct conceal *c)
{
	if (!c)
		return;
	plc_free(c->plc);
	free(c);
}

/* Puts the history in order before SpanDSP does, which (0.0.6) moves it down over itself with memcpy: undefined, and
 * with some C libraries wrong. When buf_ptr is 0 it has nothing left to do. */
static void history_normalise(plc_state_t *plc)
{
	int16_t newer[PLC_HISTORY_LEN];
	size_t n = (size_t)plc->buf_ptr, rest = PLC_HISTORY_LEN - n;

	memcpy(newer, plc->history, n * sizeof(newer[0]));
	memmove(plc->history, plc->history + n, rest * sizeof(newer[0]));
	memcpy(plc->history + rest, newer, n * sizeof(newer[0]));
	plc->buf_ptr = 0;
}

/* ---- at more than 8 kHz ---- */

static void thin_heard(struct conceal *c, const int16_t *pcm, size_t n)
{
	int16_t thin[160];
	size_t nthin = 0;

	for (size_t i = 0; i < n; i++) {
		c->thin_sum += pcm[i];
		if (++c->nthin < c->factor)
			continue;
		thin[nthin++] = (int16_t)(c->thin_sum / (int32_t)c->factor);
		c->thin_sum = 0;
		c->nthin = 0;
		if (nthin == sizeof(thin) / sizeof(thin[0])) {
			plc_rx(c->plc, thin, (int)nthin);
			nthin = 0;
		}
	}
	if (nthin)
		plc_rx(c->plc, thin, (int)nthin);
}

static void remember(struct conceal *c, const int16_t *pcm, size_t n)
{
	if (n >= c->size) {
		memcpy(c->history, pcm + n - c->size, c->size * sizeof(*pcm));
		return;
	}
	memmove(c->history, c->history + n, (c->size - n) * sizeof(*pcm));
	memcpy(c->history + c->size - n, pcm, n * sizeof(*pcm));
}

/* How unlike the end of the history is to what lies a period before it. */
static uint64_t unlikeness(const struct conceal *c, size_t period)
{
	size_t span = c->factor * (THIN_HZ / 1000 * SPAN_MS);
	const int16_t *end = c->history + c->size - span;
	uint64_t sum = 0;

	for (size_t i = 0; i < span; i++)
		sum += (uint64_t)abs(end[i] - end[(ptrdiff_t)i - (ptrdiff_t)period]);
	return sum;
}

/* SpanDSP's pitch says where to look. */
static size_t find_period(struct conceal *c)
{
	int16_t unused[FILL_MIN];
	size_t about, best;
	uint64_t least = UINT64_MAX;

	history_normalise(c->plc);
	plc_fillin(c->plc, unused, FILL_MIN);
	about = best = (size_t)c->plc->pitch * c->factor;
	for (size_t p = about - c->factor; p <= about + c->factor; p++) {
		uint64_t d = unlikeness(c, p);

		if (d < least) {
			least = d;
			best = p;
		}
	}
	return best;
}

/* The last period; its end goes over into what was before its beginning, so that it can be repeated without a click. */
static void take_period(struct conceal *c)
{
	size_t p = c->period = find_period(c), overlap = p / 4;
	const int16_t *last = c->history + c->size - p;

	memcpy(c->repeat, last, p * sizeof(*last));
	for (size_t i = 0; i < overlap; i++) {
		int32_t in = (int32_t)(i + 1), out = (int32_t)(overlap - i);

		c->repeat[p - overlap + i] = (int16_t)((out * last[p - overlap + i] + in * last[(ptrdiff_t)i - (ptrdiff_t)overlap]) / (in + out));
	}
	c->at = 0;
}

static int16_t next_made_up(struct conceal *c)
{
	int32_t left = c->filled < c->fade ? (int32_t)(c->fade - c->filled) : 0;
	int16_t v = (int16_t)((int64_t)c->repeat[c->at] * left / (int32_t)c->fade);

	c->at = c->at + 1 == c->period ? 0 : c->at + 1;
	c->filled++;
	return v;
}

static void fill_wide(struct conceal *c, int16_t *pcm, size_t n)
{
	if (c->filled == 0)
		take_period(c);
	for (size_t i = 0; i < n; i++)
		pcm[i] = next_made_up(c);
	remember(c, pcm, n);
}

static void heard_wide(struct conceal *c, int16_t *pcm, size_t n)
{
	size_t overlap = c->period / 4 < n ? c->period / 4 : n;

	thin_heard(c, pcm, n);
	for (size_t i = 0; c->filled && i < overlap; i++)
		pcm[i] = (int16_t)(((int32_t)(overlap - i) * next_made_up(c) + (int32_t)(i + 1) * pcm[i]) / (int32_t)(overlap + 1));
	c->filled = 0;
	remember(c, pcm, n);
}

/* ---- either ---- */

void conceal_heard(struct conceal *c, int16_t *pcm, size_t n)
{
	if (c->factor > 1)
		heard_wide(c, pcm, n);
	else
		plc_rx(c->plc, pcm, (int)n);
}

void conceal_fill(struct conceal *c, int16_t *pcm, size_t n)
{
	int16_t few[FILL_MIN];

	if (c->factor > 1) {
		fill_wide(c, pcm, n);
		return;
	}
	history_normalise(c->plc);
	plc_fillin(c->plc, n < FILL_MIN ? few : pcm, (int)n);
	if (n < FILL_MIN)
		memcpy(pcm, few, n * sizeof(*pcm));
}

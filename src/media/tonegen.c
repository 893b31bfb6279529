/* tonegen.c - cadences of one or two tones, from SpanDSP's oscillators (see tonegen.h).
 *
 * SpanDSP's are written for 8 kHz: at another rate a tone is asked for at a frequency scaled the other way.
 */
#include "media/tonegen.h"

#include <spandsp.h>
#include <string.h>

#include "media/dtmf.h"

#define LEVEL_TONE (-16.0f)  /* dBm0 of each of two, ETSI TS 182 005 has -13 for both together */
#define LEVEL_DIGIT (-9.0f)  /* ITU-T Q.23: -10 to -7 at the line */

static void entry_start(struct tonegen *g, unsigned at)
{
	const struct tone *t = &g->cadence[at];

	g->at = at;
	g->left_on = (uint32_t)((uint64_t)t->on_ms * g->rate_hz / 1000);
	g->left_off = (uint32_t)((uint64_t)t->off_ms * g->rate_hz / 1000);
	/* What follows without a gap goes on, or a tone without end would click. */
	if (t->hz1 != g->hz[0] || t->hz2 != g->hz[1])
		g->phase[0] = g->phase[1] = 0;
	g->hz[0] = t->hz1;
	g->hz[1] = t->hz2;
}

void tonegen_init(struct tonegen *g, const struct tone *cadence, unsigned n, uint32_t rate_hz)
{
	*g = (struct tonegen){ .rate_hz = rate_hz, .level_dbm0 = LEVEL_TONE };
	g->n = n < TONEGEN_CADENCE_MAX ? n : TONEGEN_CADENCE_MAX;
	memcpy(g->cadence, cadence, g->n * sizeof(*cadence));
	if (g->n > 0)
		entry_start(g, 0);
}

void tonegen_init_digit(struct tonegen *g, char digit, uint32_t duration_ms, uint32_t rate_hz)
{
	static const uint16_t low[16] = { 941, 697, 697, 697, 770, 770, 770, 852, 852, 852, 941, 941, 697, 770, 852, 941 };
	static const uint16_t high[16] = { 1336, 1209, 1336, 1477, 1209, 1336, 1477, 1209,
					   1336, 1477, 1209, 1477, 1633, 1633, 1633, 1633 };
	int event = dtmf_event_of(digit);
	struct tone t = { .on_ms = (uint16_t)(duration_ms > UINT16_MAX ? UINT16_MAX : duration_ms) };

	if (event >= 0) {
		t.hz1 = low[event];
		t.hz2 = high[event];
	}
	tonegen_init(g, &t, 1, rate_hz);
	g->once = true;
	g->level_dbm0 = LEVEL_DIGIT;
}

void tonegen_set_rate(struct tonegen *g, uint32_t rate_hz)
{
	g->left_on = (uint32_t)((uint64_t)g->left_on * rate_hz / g->rate_hz);
	g->left_off = (uint32_t)((uint64_t)g->left_off * rate_hz / g->rate_hz);
	g->rate_hz = rate_hz;
}

static void mix(struct tonegen *g, unsigned i, uint16_t hz, int16_t *pcm, size_t n)
{
	int32_t rate = dds_phase_rate((float)hz * SAMPLE_RATE / (float)g->rate_hz);
	int16_t scale = dds_scaling_dbm0(g->level_dbm0);

	for (size_t k = 0; k < n; k++)
		pcm[k] = saturate(pcm[k] + dds_mod(&g->phase[i], rate, scale, 0));
}

#define MODULATION 29491 /* nine tenths of an int16 */

/* Amplitude modulation of what is there. */
static void modulate(struct tonegen *g, uint16_t hz, int16_t *pcm, size_t n)
{
	int32_t rate = dds_phase_rate((float)hz * SAMPLE_RATE / (float)g->rate_hz);

	for (size_t k = 0; k < n; k++)
		pcm[k] = saturate(pcm[k] + (pcm[k] * dds_mod(&g->phase[1], rate, MODULATION, 0)) / 32768);
}

bool tonegen_run(struct tonegen *g, int16_t *pcm, size_t nsamples)
{
	size_t at = 0;
	unsigned empty = 0; /* entries without a sample, so that a cadence of nothing ends */

	memset(pcm, 0, nsamples * sizeof(*pcm));
	while (at < nsamples && g->n > 0 && empty <= g->n) {
		const struct tone *t = &g->cadence[g->at];
		size_t on = g->left_on < nsamples - at ? g->left_on : nsamples - at, off;

		if (on > 0 && t->hz1)
			mix(g, 0, t->hz1, pcm + at, on);
		if (on > 0 && t->modulates)
			modulate(g, t->hz2, pcm + at, on);
		else if (on > 0 && t->hz2)
			mix(g, 1, t->hz2, pcm + at, on);
		g->left_on -= (uint32_t)on;
		at += on;
		off = g->left_off < nsamples - at ? g->left_off : nsamples - at;
		g->left_off -= (uint32_t)off;
		at += off;
		empty = on + off > 0 ? 0 : empty + 1;
		if (g->left_on > 0 || g->left_off > 0)
			continue;
		if (g->at + 1 == g->n && g->once) {
			g->n = 0;
			break;
		}
		entry_start(g, (g->at + 1) % g->n);
	}
	return g->n > 0;
}

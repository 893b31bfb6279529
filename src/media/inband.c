/* inband.c - SpanDSP's digit detector behind our types (see inband.h).
 *
 * The detector judges blocks of 102 samples and changes its mind when two in a row agree. It is fed to the end of each block, so
 * what it says is known to be of the two blocks before. A block that only part of a tone falls into counts from about four fifths
 * on: so the blocks of a digit are BIAS shorter than the digit, on the average, and that is added.
 */
#include "media/inband.h"

#include <spandsp.h>
#include <stdlib.h>

#include "media/resample.h"

#define DETECT_HZ 8000
#define FRAME_MAX (DETECT_HZ * 60 / 1000)
#define BLOCK 102
#define BIAS 64

struct inband {
	dtmf_rx_state_t *rx;
	struct resampler *down; /* NULL: 8 kHz already */
	char open;              /* the digit that sounds */
	uint64_t now, since;    /* in samples of 8 kHz */
	struct dtmf_digit *out; /* of the run that goes on */
	unsigned n, max;
};

static void digit_end(struct inband *d)
{
	uint64_t lasted = d->now - 2 * BLOCK - d->since + BIAS;

	if (d->open && d->n < d->max)
		d->out[d->n++] = (struct dtmf_digit){ d->open, (uint32_t)(lasted * 1000 / DETECT_HZ) };
	d->open = 0;
}

/* A digit begins (its character), or ends (0). */
static void on_report(void *arg, int code, int level, int delay)
{
	struct inband *d = arg;

	(void)level;
	(void)delay;
	digit_end(d);
	if (code) {
		d->open = (char)code;
		d->since = d->now - 2 * BLOCK;
	}
}

struct inband *inband_new(uint32_t rate_hz)
{
	struct inband *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->rx = dtmf_rx_init(NULL, NULL, NULL);
	if (!d->rx)
		goto fail;
	dtmf_rx_set_realtime_callback(d->rx, on_report, d);
	if (rate_hz == DETECT_HZ)
		return d;
	d->down = resampler_new(rate_hz, DETECT_HZ);
	if (d->down)
		return d;
fail:
	inband_free(d);
	return NULL;
}

void inband_free(struct inband *d)
{
	if (!d)
		return;
	if (d->rx)
		dtmf_rx_free(d->rx);
	resampler_free(d->down);
	free(d);
}

unsigned inband_run(struct inband *d, const int16_t *pcm, size_t nsamples, struct dtmf_digit *out, unsigned max)
{
	int16_t low[FRAME_MAX];

	if (d->down) {
		nsamples = resampler_run(d->down, pcm, nsamples, low, FRAME_MAX);
		pcm = low;
	}
	d->out = out;
	d->n = 0;
	d->max = max;
	while (nsamples > 0) {
		size_t step = BLOCK - d->now % BLOCK;

		if (step > nsamples)
			step = nsamples;
		d->now += step;
		dtmf_rx(d->rx, pcm, (int)step);
		pcm += step;
		nsamples -= step;
	}
	return d->n;
}

bool inband_is_open(const struct inband *d)
{
	return d->open;
}

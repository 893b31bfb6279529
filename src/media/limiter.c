/* limiter.c - the soft limiter of a mix (see limiter.h).
 */
#include "media/limiter.h"

#include <math.h>
#include <stdlib.h>

#define RELEASE 0.1f           /* of the way, a frame */
#define NOTHING 0.001f         /* so little isn't worth a multiplication */

static int16_t scaled(int32_t x, float gain) { return (int16_t)lrintf((float)x * gain); }

/* From one gain to the other over n samples. */
static void ramp(const int32_t *in, int16_t *out, size_t n, float from, float to)
{
	float step = n ? (to - from) / (float)n : 0;

	for (size_t i = 0; i < n; i++)
		out[i] = scaled(in[i], from + step * (float)(i + 1));
}

void limiter_run(struct limiter *l, const int32_t *in, int16_t *out, size_t n)
{
	float gain = 1 - l->reduction, want = 1;
	int32_t peak = 0;
	size_t first = n, begin;

	for (size_t i = 0; i < n; i++) {
		int32_t x = abs(in[i]);

		if (x > peak)
			peak = x;
		if (first == n && (float)x * gain > LIMITER_CEILING)
			first = i;
	}
	if (peak > LIMITER_CEILING)
		want = LIMITER_CEILING / (float)peak;
	if (first == n && l->reduction == 0) {
		for (size_t i = 0; i < n; i++)
			out[i] = (int16_t)in[i];
		return;
	}
	if (first == n) { /* up again, as far as this frame lets it */
		float next = gain + (want - gain) * RELEASE;

		ramp(in, out, n, gain, next);
		l->reduction = 1 - next < NOTHING ? 0 : 1 - next;
		return;
	}
	begin = first > n / 8 ? first - n / 8 : 0;
	ramp(in, out, begin, gain, gain);
	ramp(in + begin, out + begin, first - begin, gain, want);
	ramp(in + first, out + first, n - first, want, want);
	l->reduction = 1 - want;
}

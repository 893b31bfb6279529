/* limiter.h - a sum of voices into 16 bits, without clipping.
 *
 * Below LIMITER_CEILING nothing is changed. A frame that would go beyond is turned down by as much as its loudest sample needs: the gain
 * falls within the 2.5 ms before the first such sample, and rises again in a fifth of a second. So no sample ever exceeds the ceiling, and none
 * is cut off.
 *
 * Audio: int32 sums in, int16 out, linear, mono, any rate. Thread: one at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define LIMITER_CEILING 32000

struct limiter { float reduction; }; /* embedded; 0: none. The gain is 1 - reduction. */

/* n samples of one frame, 20 ms. */
void limiter_run(struct limiter *l, const int32_t *in, int16_t *out, size_t n);

/* quality.h - what a session keeps of how it sounds: intervals of five seconds, rated by the E-model, the worst one remembered.
 *
 * An average over a call hides the half minute in which nobody understood a word. So each interval is rated by itself: what came from
 * the peer every QUALITY_MS, what went to it with each of its RTCP reports, which come about as often. The call's figure is the
 * mean of the intervals, weighted by their packets (its reports count alike).
 *
 * Which loss: where we listen ourselves (ear.c), what had to be made up, be it lost or too late; what is only relayed is judged by the gaps
 * in its numbers. Which delay: half the round trip by RTCP, one packet, and the jitter buffer: ours where there is one, else of one that
 * would do (twice the jitter). That is the leg's share of the way from mouth to ear; the other leg of a call adds its own.
 *
 * Owner: struct rtp_session. Thread: its worker's.
 * Sources: emodel.h; RFC 3550 §6.4.1.
 */
#pragma once

#include <stdint.h>

#include "base/timer.h"

#define QUALITY_MS 5000
#define QUALITY_STEP_MS 100   /* intervals of all sessions end on this grid, so that the loop hears of many at once */
#define QUALITY_PACKETS_MIN 25 /* a last, short interval with fewer says nothing, unless it is the only one */

struct heard {
	uint32_t ms, concealed_ms, recovered_ms; /* as in struct stream_stats */
	uint32_t delay_ms;     /* of the jitter buffer now */
};

struct quality_score {         /* MOS in hundredths; 0: none */
	uint16_t now, min;
	uint64_t sum, weight;
};

struct quality {
	struct timer timer;
	/* as it was when the interval began */
	uint64_t received;
	uint32_t lost, gaps;
	struct heard heard;
	uint32_t remote_highest;   /* in the peer's report before */
	struct quality_score from, to; /* what comes from the peer, what goes to it */
	int64_t min_at_ms;
};

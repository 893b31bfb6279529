/* opus_params.h - what the fmtp of Opus says (RFC 7587 §6.1, §7.1), as text and as numbers.
 *
 * All but the two sprop ones are wishes of a receiver to whom sends to it. An absent parameter has its default.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/out.h"
#include "base/str.h"

struct opus_params {
	uint32_t max_rate_hz;       /* maxplaybackrate; 0: 48000 */
	uint32_t max_bitrate;       /* maxaveragebitrate; 0: any */
	uint32_t sprop_max_rate_hz; /* sprop-maxcapturerate; 0: 48000 */
	bool stereo, sprop_stereo, fec, dtx, cbr;
};

/* Never fails: what isn't known or out of range counts as absent. */
void opus_params_parse(struct opus_params *out, struct str fmtp);
/* Without those that have their default. */
void opus_params_print(struct out *o, const struct opus_params *p);

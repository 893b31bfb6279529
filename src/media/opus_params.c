/* opus_params.c - the fmtp of Opus (see opus_params.h).
 */
#include "media/opus_params.h"

#include <stddef.h>

#define BITRATE_MIN 6000   /* RFC 7587 §6.1 */
#define BITRATE_MAX 510000
#define RATE_MIN 8000
#define RATE_MAX 48000

static const struct {
	const char *name;
	bool is_flag;
	size_t at;
	uint32_t min, max, absent;
} table[] = {
	{ "maxplaybackrate", false, offsetof(struct opus_params, max_rate_hz), RATE_MIN, RATE_MAX, RATE_MAX },
	{ "sprop-maxcapturerate", false, offsetof(struct opus_params, sprop_max_rate_hz), RATE_MIN, RATE_MAX, RATE_MAX },
	{ "maxaveragebitrate", false, offsetof(struct opus_params, max_bitrate), BITRATE_MIN, BITRATE_MAX, 0 },
	{ "stereo", true, offsetof(struct opus_params, stereo), 0, 1, 0 },
	{ "sprop-stereo", true, offsetof(struct opus_params, sprop_stereo), 0, 1, 0 },
	{ "useinbandfec", true, offsetof(struct opus_params, fec), 0, 1, 0 },
	{ "usedtx", true, offsetof(struct opus_params, dtx), 0, 1, 0 },
	{ "cbr", true, offsetof(struct opus_params, cbr), 0, 1, 0 },
};

static bool *flag_of(const struct opus_params *p, size_t i) { return (bool *)((char *)p + table[i].at); }
static uint32_t *number_of(const struct opus_params *p, size_t i) { return (uint32_t *)((char *)p + table[i].at); }

static void take(struct opus_params *p, struct str name, struct str value)
{
	uint32_t n;

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!str_ieqz(name, table[i].name) || str_to_u32(value, table[i].max, &n) < 0 || n < table[i].min)
			continue;
		if (table[i].is_flag)
			*flag_of(p, i) = n != 0;
		else
			*number_of(p, i) = n == table[i].absent ? 0 : n;
	}
}

void opus_params_parse(struct opus_params *out, struct str fmtp)
{
	*out = (struct opus_params){ 0 };
	while (fmtp.n) {
		struct str value = str_trim(str_cut(&fmtp, ';'));
		struct str name = str_trim(str_cut(&value, '='));

		take(out, name, str_trim(value));
	}
}

void opus_params_print(struct out *o, const struct opus_params *p)
{
	const char *between = "";

	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		uint32_t n = table[i].is_flag ? *flag_of(p, i) : *number_of(p, i);

		if (!n)
			continue;
		out_z(o, between);
		out_z(o, table[i].name);
		out_chr(o, '=');
		out_u64(o, n);
		between = ";";
	}
}

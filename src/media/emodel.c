/* emodel.c - the E-model (see emodel.h, which has the formula).
 */
#include "media/emodel.h"

#include <math.h>

#define RO 94.77           /* G.107 (7-2) with default values */
#define R0_NARROW 93.35
#define R0_WIDE 129.0
#define WIDE_SCALE 1.29
#define TELR 65.0
#define WEPL 110.0
#define BURST_MAX 2.0      /* G.107 §7.5: not validated beyond */

static const struct equipment {
	bool is_wide;
	double ie, bpl;
} equipment[CODEC_COUNT] = {
	[CODEC_PCMU] = { false, 0, 25.1 }, [CODEC_PCMA] = { false, 0, 25.1 }, [CODEC_L16_8] = { false, 0, 25.1 },
	[CODEC_GSM] = { false, 20, 10 }, [CODEC_G729] = { false, 11, 19 },
	[CODEC_G726_16] = { false, 50, 10 }, [CODEC_AAL2_G726_16] = { false, 50, 10 },
	[CODEC_G726_24] = { false, 25, 10 }, [CODEC_AAL2_G726_24] = { false, 25, 10 },
	[CODEC_G726_32] = { false, 7, 10 }, [CODEC_AAL2_G726_32] = { false, 7, 10 },
	[CODEC_G726_40] = { false, 2, 10 }, [CODEC_AAL2_G726_40] = { false, 2, 10 },
	[CODEC_G722] = { true, 13, 10 }, [CODEC_OPUS] = { true, 8, 19 },
	[CODEC_L16] = { true, 0, 25.1 }, [CODEC_L16_44] = { true, 0, 25.1 }, [CODEC_L16_48] = { true, 0, 25.1 },
};

static const struct equipment *equipment_of(enum codec_id codec)
{
	const struct equipment *e = &equipment[codec < CODEC_COUNT ? codec : CODEC_NONE];

	return e->bpl > 0 ? e : &equipment[CODEC_PCMU];
}

static double talker_echo(double t)
{
	double terv = TELR - 40 * log10((1 + t / 10) / (1 + t / 150)) + 6 * exp(-0.3 * t * t);
	double x = (RO - 80 - 2.5 * (terv - 14)) / 2;

	return (x + sqrt(x * x + 100) - 1) * (1 - exp(-t));
}

static double listener_echo(double t)
{
	double x = (RO - 10.5 * (WEPL + 7) * pow(2 * t + 1, -0.25)) / 2;

	return x + sqrt(x * x + 169);
}

static double pure_delay(double t)
{
	double x;

	if (t <= 100)
		return 0;
	x = log2(t / 100);
	return 25 * (pow(1 + pow(x, 6), 1.0 / 6) - 3 * pow(1 + pow(x / 3, 6), 1.0 / 6) + 2);
}

static double loss_impairment(const struct equipment *e, double loss, double burst)
{
	double ppl = 100 * (loss < 0 ? 0 : loss > 1 ? 1 : loss);

	burst = burst < 1 ? 1 : burst > BURST_MAX ? BURST_MAX : burst;
	return e->ie + (95 - e->ie) * ppl / (ppl / burst + e->bpl);
}

double emodel_r(const struct emodel_input *in)
{
	const struct equipment *e = equipment_of(in->codec);
	double t = in->delay_ms > 0 ? in->delay_ms : 0;
	double r = e->is_wide ? R0_WIDE : R0_NARROW;

	r -= talker_echo(t) + listener_echo(t) + pure_delay(t) + loss_impairment(e, in->loss, in->burst);
	return r > 0 ? r : 0;
}

unsigned emodel_mos(enum codec_id codec, double r)
{
	double mos;

	if (equipment_of(codec)->is_wide)
		r /= WIDE_SCALE;
	if (r >= 100)
		return 450;
	mos = r > 0 ? 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6 : 1;
	return mos > 1 ? (unsigned)(mos * 100 + 0.5) : 100; /* just above 0 the polynomial dips below 1 */
}

/* emodel.h - how good a conversation sounds, estimated from what the network did to it: the E-model of ITU-T G.107.
 *
 *   R   = R0 - Id - Ie_eff                            rating, G.107 §7.1 with Is in R0 and A = 0
 *   R0  = 93.35 narrow band: Ro - Is of all default values of G.107 table 2 (94.77 - 1.41)
 *         129   wide band: Ro,WB of G.107.1 §7.1 (there Is,WB is 0)
 *   Id  = Idte + Idle + Idd                           delay, G.107 §7.4 with TELR 65 dB, WEPL 110 dB; T is the mouth-to-ear delay in ms
 *         Idte = (x + sqrt(x^2 + 100) - 1) (1 - e^-T),  x = (94.77 - 80 - 2.5 (TERV - 14)) / 2
 *                TERV = 65 - 40 lg((1 + T/10) / (1 + T/150)) + 6 e^(-0.3 T^2)
 *         Idle = x + sqrt(x^2 + 169),  x = (94.77 - 10.5 (110 + 7) (2 T + 1)^-0.25) / 2
 *         Idd  = 25 ((1 + X^6)^(1/6) - 3 (1 + (X/3)^6)^(1/6) + 2),  X = lg(T / 100) / lg 2;  0 up to 100 ms
 *   Ie_eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl)   codec and loss, G.107 §7.5; Ppl in percent, BurstR 1 to 2
 *   MOS = 1                                            R <= 0, G.107 annex B
 *         1 + 0.035 R + R (R - 60) (100 - R) 7e-6      below 100
 *         4.5                                          from 100 on
 *         Wide band: of R / 1.29, as G.107.1 has it.
 *
 * So a MOS is on the scale of the codec's own band: narrow band at its best is 4.4, wide band 4.4 to 4.5. It says what the network has
 * spoiled, not that a wide band sounds better than a narrow one; of two calls in one band, the lower one is the worse.
 *
 * Codecs:
 *   codec            band    Ie    Bpl   from
 *   PCMU PCMA L16/8  narrow   0   25.1   G.113 table I.1, I.4: G.711 with packet loss concealment
 *   GSM              narrow  20   10     Ie of G.113 table I.1; Bpl is that of GSM-EFR, a codec of the same frames
 *   G726 at 16, 24,  narrow  50, 25,     Ie of G.113 table I.1; no Bpl is published, 10 is taken: worse than G.711, because what is lost
 *           32, 40            7, 2  10   upsets the decoder's state, too
 *   G729             narrow  11   19     G.113 table I.3, I.4: G.729A with VAD
 *   G722             wide    13   10     Ie,WB of G.113 appendix IV, 64 kbit/s; Bpl taken as for G726, it is ADPCM as well
 *   L16/16 /44 /48   wide     0   25.1   no coding; Bpl as of G.711, it is concealed in the same way
 *   opus             wide     8   19     G.113 has no values: Ie,WB that of the best mode of AMR-WB (23.85 kbit/s), which Opus equals at the
 *                                        rates of calls; Bpl as of G.729A, likewise concealed by its decoder. What its FEC restores isn't lost.
 *
 * Pure. Thread: any.
 */
#pragma once

#include "media/codec.h"

struct emodel_input {
	enum codec_id codec;
	double loss;          /* share of the sound that was not heard, 0 to 1: lost on the way or too late */
	double burst;         /* mean length of what is lost together, to that of random loss of the same share; 0: unknown, as 1 */
	double delay_ms;      /* mouth to ear, as far as known */
};

/* 0 to 129. */
double emodel_r(const struct emodel_input *in);
/* Of an r for this codec, in hundredths: 100 to 450. */
unsigned emodel_mos(enum codec_id codec, double r);

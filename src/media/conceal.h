/* conceal.h - sound in place of what was lost, for codecs that have no concealment of their own.
 *
 * SpanDSP's packet loss concealment repeats the last pitch period and fades out over 50 ms. It is made for 8 kHz: at higher rates it finds no
 * pitch below 133 Hz (16 kHz) or 400 Hz (48 kHz), which are most voices. So there it is given the sound thinned to 8 kHz and asked for
 * the pitch alone; the period that is repeated is then looked for around that one in the sound as it came.
 *
 * Audio: int16 linear, mono, at the rate it was made with. Thread: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conceal;

struct conceal *conceal_new(uint32_t rate_hz); /* a multiple of 8000. NULL without memory */
void conceal_free(struct conceal *c);          /* NULL: nothing */
/* Sound that came: it is remembered, and where it follows what was made up its beginning is blended into that. */
void conceal_heard(struct conceal *c, int16_t *pcm, size_t n);
/* Makes up n samples. */
void conceal_fill(struct conceal *c, int16_t *pcm, size_t n);

/* codec_int.h - between codec.c (the table, payloads and lengths) and the files that each speak to one coding library.
 *
 * Owner: a coder's state belongs to its struct encoder or decoder. Thread: one at a time for each state.
 */
#pragma once

#include "media/codec.h"

/* How a family of codecs is coded. NULL where there is nothing to be done. */
struct codec_kind {
	void *(*encoder_open)(const struct codec *c, uint32_t rate_hz); /* NULL without memory */
	void (*encoder_close)(void *st);
	void *(*encoder_copy)(const void *st, const struct codec *c); /* NULL: can't be; its result: without memory */
	/* What has been checked: nsamples are whole frames, their bytes fit into max. */
	size_t (*encode)(void *st, const struct codec *c, const int16_t *pcm, size_t nsamples, uint8_t *out, size_t max);
	void (*tune)(void *st, const struct opus_params *p, unsigned loss_percent);
	void (*for_sounds)(void *st);
	void *(*decoder_open)(const struct codec *c, uint32_t rate_hz);
	void (*decoder_close)(void *st);
	/* What has been checked: len is a possible size and its sound fits into max. At most max samples, negative: it is broken. */
	ptrdiff_t (*decode)(void *st, const struct codec *c, const uint8_t *in, size_t len, int16_t *pcm, size_t max);
	size_t (*conceal)(void *st, const uint8_t *next, size_t len, int16_t *pcm, size_t nsamples);
	uint32_t (*units)(const uint8_t *in, size_t len); /* where it isn't by groups alone */
	bool (*is_dtx)(const uint8_t *in, size_t len);
};

extern const struct codec_kind codec_kind_g722, codec_kind_g726, codec_kind_gsm; /* codec_spandsp.c */
extern const struct codec_kind codec_kind_opus;                                  /* codec_opus.c */
extern const struct codec_kind codec_kind_g729;                                  /* codec_g729.c */

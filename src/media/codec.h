/* codec.h - the audio codecs: a table, and one encoder or decoder per stream direction.
 *
 * SpanDSP does the coding; this is the only module that touches its codec functions.
 * Audio: int16 linear, mono, at the codec's rate_hz. Thread: a coder belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum codec_id { CODEC_NONE, CODEC_PCMU, CODEC_PCMA, CODEC_G722, CODEC_L16, CODEC_COUNT };

struct codec {
	enum codec_id id;
	const char *name;     /* SDP name */
	int static_pt;        /* -1: dynamic */
	uint32_t rate_hz;     /* of the audio: 16000 for G722 */
	uint32_t clock_hz;    /* of the RTP timestamp: 8000 for G722 (RFC 3551 §4.5.2) */
	uint16_t bytes_per_10ms;
};

const struct codec *codec_get(enum codec_id id);
const struct codec *codec_find(const char *name, uint32_t clock_hz); /* case-blind; NULL: unknown */

struct encoder;
struct decoder;
struct encoder *encoder_new(enum codec_id id);  /* NULL without memory */
struct decoder *decoder_new(enum codec_id id);
void encoder_free(struct encoder *e);
void decoder_free(struct decoder *d);
/* Returns bytes written; out must hold bytes_per_10ms for each 10 ms. nsamples at rate_hz. */
size_t encoder_run(struct encoder *e, const int16_t *pcm, size_t nsamples, uint8_t *out);
/* Returns samples written; -EINVAL for a payload of impossible size. max: room in samples. */
ptrdiff_t decoder_run(struct decoder *d, const uint8_t *in, size_t len, int16_t *pcm, size_t max);

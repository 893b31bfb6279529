/* codec.h - the audio codecs: a table, and one encoder or decoder for each direction of a stream that needs one.
 *
 * The coding itself is SpanDSP's, libopus' and bcg729's, each touched by one file (codec_int.h).
 * Audio: int16 linear, mono, at the coder's rate. Thread: a coder belongs to one thread at a time.
 * Sources: RFC 3551 §4.5, table 4; RFC 7587 (Opus).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/opus_params.h"

enum codec_id {
	CODEC_NONE,
	CODEC_PCMU, CODEC_PCMA, CODEC_G722,
	CODEC_L16, CODEC_L16_8, CODEC_L16_44, CODEC_L16_48, /* L16 alone: 16 kHz; 44: 44.1, whose sound is at 48 */
	CODEC_OPUS,
	CODEC_GSM,
	CODEC_G726_16, CODEC_G726_24, CODEC_G726_32, CODEC_G726_40,
	CODEC_AAL2_G726_16, CODEC_AAL2_G726_24, CODEC_AAL2_G726_32, CODEC_AAL2_G726_40,
	CODEC_G729,                             /* make G729=1 */
	CODEC_COUNT
};

struct codec {
	enum codec_id id;
	const char *name;     /* in SDP; "" for none, and for what isn't built in */
	int pt;               /* RFC 3551's number, or from 96 on the one we like to offer */
	uint32_t rate_hz;     /* of the audio; 16000 for G722, 48000 for L16/44100 */
	uint32_t clock_hz;    /* of the RTP timestamp: 8000 for G722 (RFC 3551 §4.5.2) */
	uint8_t channels;     /* in SDP: 2 for Opus, whatever it carries (RFC 7587 §4.1) */
	uint8_t frame_ms;     /* the shortest that is coded by itself: 10, or 20 */
	/* A payload is whole groups of bytes, each so long on the clock. 0: lengths vary. */
	uint8_t group_bytes, group_units;
	bool any_rate;        /* its coders work at 8, 16, 24 and 48 kHz alike */
};

#define CODEC_PAYLOAD_MAX 1400  /* bytes that we send in a packet: with all headers below every path's MTU */
#define CODEC_UNCUT_MAX 2036    /* bytes of a payload that comes and can't be cut: several frames of Opus, and all that a datagram of ours holds */
#define CODEC_FRAME_MAX_MS 120  /* of a payload that comes and can't be cut (RFC 6716 §2.1.4) */

const struct codec *codec_get(enum codec_id id);
const struct codec *codec_find(const char *name, uint32_t clock_hz); /* case-blind; clock_hz 0: the first of the name; NULL: unknown */
/* How long a payload lasts on the codec's clock; 0: it is none of this codec. */
uint32_t codec_units(const struct codec *c, const uint8_t *payload, size_t len);
/* The bytes of so many ms, a multiple of frame_ms. Where lengths vary: room for it. */
size_t codec_bytes(const struct codec *c, uint32_t ms);
/* The longest packet that can be made, not longer than ptime_ms if there is such a one. */
uint32_t codec_fit_ptime(const struct codec *c, uint32_t ptime_ms);
/* The rate at which its coders shall work when what is on the other side has other_hz (0: nothing has a say). */
uint32_t codec_rate(const struct codec *c, uint32_t other_hz);

struct encoder;
struct decoder;
/* rate_hz: of the audio, from codec_rate(); only Opus has a choice. NULL without memory. */
struct encoder *encoder_new(enum codec_id id, uint32_t rate_hz);
struct decoder *decoder_new(enum codec_id id, uint32_t rate_hz);
void encoder_free(struct encoder *e);
/* One that goes on as this would: their payloads are the same as long as their sound is. A codec whose state can't be copied (G.729) begins
 * anew. NULL without memory. */
struct encoder *encoder_copy(const struct encoder *e);
void decoder_free(struct decoder *d);
/* What the receiver wishes, and what share of packets it misses. Nothing for any codec but Opus. */
void encoder_tune(struct encoder *e, const struct opus_params *p, unsigned loss_percent);
/* For a sound that is prepared as a whole, minutes of music among them: as fast as it goes. Before the first payload. */
void encoder_for_sounds(struct encoder *e);
/* Encodes one payload: nsamples are a whole number of frame_ms, for Opus one of 10, 20, 40, 60 ms. Returns bytes written; 0: out is
 * too short, or there is nothing to be sent for this time (DTX). */
size_t encoder_run(struct encoder *e, const int16_t *pcm, size_t nsamples, uint8_t *out, size_t max);
/* Returns samples written; -EINVAL for a payload of impossible size. max: room in samples. */
ptrdiff_t decoder_run(struct decoder *d, const uint8_t *in, size_t len, int16_t *pcm, size_t max);
bool codec_conceals(const struct codec *c);
/* Writes nsamples (a multiple of 10 ms) for what is missing. next: the payload that follows it, which may tell more (FEC); NULL
 * when it isn't there. Returns nsamples; 0: this codec has no concealment of its own. */
size_t decoder_conceal(struct decoder *d, const uint8_t *next, size_t len, int16_t *pcm, size_t nsamples);
/* The last payload said that silence follows, and that nothing may come for it (DTX). */
bool decoder_is_dtx(const struct decoder *d);

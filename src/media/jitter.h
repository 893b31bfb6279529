/* jitter.h - packets that come when they like, turned into 10 ms of sound whenever asked.
 *
 * Packets are kept encoded, ordered by their RTP timestamp, and decoded when their time has come. The delay starts
 * at JITTER_START_MS (so does a talk spurt that comes after more than that) and stays between JITTER_MIN_MS and JITTER_MAX_MS. It grows when
 * packets come too late, and shrinks when they have come closer together than it, as measured over the last seconds, or when for a long
 * time none came too late. What comes in a burst
 * after its sender stood still is played whole; the delay that this makes shrinks in the next pause of what is said. A missing packet
 * is concealed: by its codec, from what the next one says of it (Opus FEC) when that is there already; else from the
 * last pitch period, fading out over 50 ms (conceal.h). When nothing comes any more (a talk spurt has ended, the peer is on hold), it goes idle and
 * begins anew with the next packet; a pause that the codec has announced (DTX) is filled with its noise meanwhile.
 *
 * What isn't speech but data (a fax machine's modem) bears none of that: jitter_fix() makes the delay one that never changes. Nothing is
 * left out, repeated or made up then; what is missing when its time has come is silence, and said to be JITTER_CONCEALED.
 *
 * All memory is allocated by jitter_new().
 * Audio: int16 linear, mono, at the rate it was made with. Thread: one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "media/codec.h"

#define JITTER_START_MS 40
#define JITTER_MIN_MS 20
#define JITTER_MAX_MS 200
#define JITTER_DATA_MS 100     /* for data: what comes later than that is lost (T.30 waits for seconds) */

struct jitter;

enum jitter_frame {
	JITTER_SOUND,     /* 10 ms of what was said */
	JITTER_CONCEALED, /* 10 ms made up: of what was lost, or noise where nothing is said */
	JITTER_IDLE,      /* silence: nothing is coming, or it is only being collected */
};

struct jitter_stats {
	uint32_t heard_ms;                    /* frames that were no idle ones; of them: */
	uint32_t concealed_ms, late, overrun; /* packets came too late; frames were left out to catch up */
	uint32_t recovered_ms;                /* lost, but said again by what came next (FEC) */
	uint32_t delay_ms;                    /* target of now */
	uint32_t next_ts;                     /* where what is heard next begins */
};

/* rate_hz: from codec_rate(). NULL without memory. */
struct jitter *jitter_new(enum codec_id codec, uint32_t rate_hz);
void jitter_free(struct jitter *j);
/* From the beginning on, before any packet: the delay is this and stays so. */
void jitter_fix(struct jitter *j, uint32_t delay_ms);
bool jitter_is_fixed(const struct jitter *j);
enum codec_id jitter_codec(const struct jitter *j);
uint32_t jitter_rate(const struct jitter *j);
/* Copies the payload. -EINVAL: impossible size. */
int jitter_put(struct jitter *j, uint32_t ts, const uint8_t *payload, size_t len);
/* Comfort noise (RFC 3389): from ts on, until a later packet, what doesn't come is noise, not loss; of -level dBov. */
void jitter_put_noise(struct jitter *j, uint32_t ts, unsigned level);
/* The source has changed: its timestamps have nothing to do with those before. */
void jitter_reset(struct jitter *j);
/* Writes jitter_rate() / 100 samples. */
enum jitter_frame jitter_get(struct jitter *j, int16_t *pcm);
/* Nothing is buffered: jitter_get() would say JITTER_IDLE until the next packet. */
bool jitter_is_idle(const struct jitter *j);
void jitter_get_stats(const struct jitter *j, struct jitter_stats *out);

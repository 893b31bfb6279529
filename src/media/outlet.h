/* outlet.h - a mix into packets of one codec and length: once for all who hear the same.
 *
 * Whoever is heard himself needs one of his own. It begins as a copy of the common one, and a while after he has fallen silent, when both have been
 * given the same sound for long enough, he goes back to that: a decoder that follows notices neither. All outlets of a
 * codec and length end their packets with the same frames, whenever they were made.
 *
 * Thread: one at a time.
 */
#pragma once

#include "media/codec.h"
#include "media/mixer.h"

struct outlet;

struct outlet_key {            /* what the packets of those who share an outlet have in common */
	uint8_t codec, ptime_ms;
	bool is_silent;        /* nothing is heard */
	struct opus_params opus;
};

bool outlet_key_eq(const struct outlet_key *a, const struct outlet_key *b);
enum mixer_rate outlet_rate(const struct outlet_key *key);

/* nframes: frames that there have been before. NULL without memory. */
struct outlet *outlet_new(const struct outlet_key *key, uint32_t nframes);
struct outlet *outlet_copy(const struct outlet *o);
void outlet_free(struct outlet *o);
void outlet_tune(struct outlet *o, unsigned loss_percent);
/* A frame of sums, at outlet_rate(); gain as in mixer.h. */
void outlet_put(struct outlet *o, const int32_t *sum, uint16_t gain);
/* The next packet, if there is a whole one: CODEC_PAYLOAD_MAX bytes of room. *len 0: a pause, nothing is to be sent for it. */
bool outlet_take(struct outlet *o, uint8_t *payload, size_t *len, uint32_t *units);

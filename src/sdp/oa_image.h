/* oa_image.h - offers and answers about a fax as T.38 (m=image), in place of the audio (RFC 3362, ITU-T T.38 Annex D).
 *
 * What the two ends agree on is theirs alone: addresses and ports are ours, the attributes (T38FaxVersion and its like) are copied. The
 * image takes the place of the audio in our offers; in theirs it may have a section of its own, with the audio switched off.
 *
 * Owner: as oa.h. Thread: any one.
 */
#pragma once

#include "sdp/oa.h"

#define OA_IMAGE_ATTRS_MAX 512

struct oa_image {
	char addr[64];        /* theirs */
	uint16_t port;
	char attrs[OA_IMAGE_ATTRS_MAX]; /* whole lines, a=T38...; what doesn't fit is left out */
};

/* Is it an offer of T.38 over UDPTL, and of no audio? */
bool oa_image_is_offer(struct str text);
/* Their offer under way is one of T.38, and of no audio: what it says. -ENOENT: it isn't, or there is none. */
int oa_image_offered(const struct oa *oa, struct oa_image *out);
/* As oa_take_offer(). -EINVAL also when it is none of T.38. */
int oa_image_take_offer(struct oa *oa, struct str text, struct oa_image *out);
/* Answers it with what the other side has answered. The audio is off then. Errors as of oa_answer(). */
int oa_image_answer(struct oa *oa, const struct oa_local *l, const struct oa_image *theirs, struct out *o);
/* Offers what the other side has offered. Errors as of oa_offer(). */
int oa_image_offer(struct oa *oa, const struct oa_local *l, const struct oa_image *theirs, struct out *o);
/* -EPROTO: they don't want it, the audio is off all the same; other errors as of oa_take_answer(). */
int oa_image_take_answer(struct oa *oa, struct str text, struct oa_image *out);

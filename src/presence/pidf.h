/* pidf.h - presence documents (PIDF, RFC 3863, with the person of RFC 4479 and the activities of RFC 4480): read and written.
 *
 * They come from outside: read by libxml2, without network, entities or document types, and only so large.
 *
 * Thread: any.
 */
#pragma once

#include "base/out.h"

#define PIDF_TUPLES_MAX 8     /* the first ones count; a phone has one */
#define PIDF_SIZE_MAX 16384
#define PIDF_TEXT_MAX 256
#define PIDF_ACTIVITY_MAX 32

enum pidf_basic { PIDF_UNSAID, PIDF_OPEN, PIDF_CLOSED };

struct pidf_tuple {
	enum pidf_basic basic;
	char note[PIDF_TEXT_MAX];
};

struct pidf {
	unsigned ntuples;
	struct pidf_tuple tuples[PIDF_TUPLES_MAX];
	char activity[PIDF_ACTIVITY_MAX]; /* the first one, as "on-the-phone"; "" for none */
	char note[PIDF_TEXT_MAX];         /* of the person or the presentity; what is longer is cut */
};

/* -EINVAL: no XML, or no presence document; -EMSGSIZE: larger than PIDF_SIZE_MAX; -ENOMEM. */
int pidf_parse(struct pidf *out, struct str body);
/* The parts of a document, in this order; texts are escaped. */
void pidf_begin(struct out *o, const char *entity);
void pidf_tuple(struct out *o, const char *id, const struct pidf_tuple *t, const char *contact); /* contact NULL: none */
void pidf_person(struct out *o, const char *activity, const char *note);                         /* "": none */
void pidf_end(struct out *o);

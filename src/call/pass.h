/* pass.h - headers that go from one leg to the other: an explicit list, and what an administrator adds to it.
 *
 * Between phones all of the list passes. A trunk gives and gets what can do no harm; what makes phones fetch pages or answer by
 * themselves (Alert-Info, Call-Info, Answer-Mode) is taken from it only where pbx.pass_header says so, but for the urn:alert of
 * RFC 7462, which only name a kind of ringing. A row may also set what a trunk's calls tell or are told, or hold it back. What describes one dialog, its transport or who is authenticated never passes,
 * whatever the table says.
 *
 * What such a header refers to in the body (<cid:...>) goes with it: pass_body.c.
 *
 * Functions of messages, text and rows. Thread: any.
 */
#pragma once

#include "directory/directory.h"
#include "sip/msg.h"

#define PASS_MAX 8192          /* bytes of all lines taken of one message: what an INVITE holds beside */
#define PASS_VALUE_MAX 2048    /* of one value; longer ones are left out */
#define PASS_LINES_MAX 32

/* One side of a call, and what the administrator adds for it. */
struct pass_side {
	bool is_trunk;
	bool has_referrer;                /* it is told by whom it is referred: what is taken says something else */
	const struct dir_pass *all, *own; /* NULL: none */
};

/* Takes the lines of a message that may go on, as far as the side they come from is concerned, and of a trunk's INVITE those that its
 * rows set. Whatever doesn't fit is left out. */
void pass_take(struct out *o, const struct sip_msg *m, const struct pass_side *from);
/* Of lines that were taken, those that may go to this side. from_trunk: where they came from. is_private: their sender isn't to be
 * known there, so what tells of him is left out (RFC 3323 §5.3). */
void pass_give(struct out *o, struct str lines, bool from_trunk, const struct pass_side *to, bool is_private);

/* Writes the lines that rows set in an INVITE to this side. */
void pass_set(struct out *o, const struct pass_side *to);

struct pass_part;
struct rng;
#define PASS_PARTS_MAX 16384   /* bytes of all of them */
#define PASS_TYPE_MAX 80
/* The parts of the body that these lines refer to, of the first SIP_REFERRED_MAX with an id, copied: to be freed; NULL: none. */
struct pass_part *pass_parts_take(const struct sip_msg *m, struct str lines);
void pass_parts_free(struct pass_part *parts);
/* Writes a body of the description and those of the parts that these lines refer to, and its type. False: none, nothing is written. */
bool pass_parts_give(struct out *o, const struct pass_part *parts, struct str lines, struct str sdp, struct rng *rng, char ctype[PASS_TYPE_MAX]);

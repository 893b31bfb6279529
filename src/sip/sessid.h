/* sessid.h - Session-ID (RFC 7989, and RFC 7329 before it): the name of a session, of one UUID for each of its two ends.
 *
 * A message carries first its sender's end, then as "remote" the end it is for. Each UUID is 32 lower case hex digits; the nil one, all
 * zeros, stands for an end that isn't known. RFC 7329 knew one UUID for both ends and no "remote".
 *
 * Pure but for the rng of whoever makes a new one. Thread: any.
 */
#pragma once

#include "base/rng.h"
#include "sip/msg.h"

#define SESSID_LEN 32
#define SESSID_LINE_MAX 96 /* of sessid_print() */
#define SESSID_NIL "00000000000000000000000000000000"

/* A new UUID, NUL-terminated. */
void sessid_make(struct rng *rng, char uuid[SESSID_LEN + 1]);
/* What a message says: its sender's end and, "" when it doesn't tell, the receiver's. Capital digits are made small. false: it has
 * no Session-ID, or none that can be read. */
bool sessid_of(const struct sip_msg *m, char sender[SESSID_LEN + 1], char receiver[SESSID_LEN + 1]);
/* Writes the header line. */
void sessid_print(struct out *o, const char *sender, const char *receiver);

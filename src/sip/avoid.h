/* avoid.h - addresses that have failed of late, so that others are tried first (RFC 3263 §4.3, RFC 3261 §21.5.4). Inside sip/ alone.
 *
 * Owner:  the resolver, so that whoever sends anything shares it.
 * Thread: loop thread.
 */
#pragma once

#include "sip/transport.h"

#define AVOID_MAX 1024          /* the longest known go */
#define AVOID_LONGEST_S 3600    /* whatever a Retry-After says */

struct avoid;

int avoid_new(struct avoid **out);
void avoid_free(struct avoid *a);
/* Until then (ms of the caller's clock); a later time stays. By address, port and transport. */
void avoid_add(struct avoid *a, const struct sip_dest *dest, uint64_t until_ms);
void avoid_remove(struct avoid *a, const struct sip_dest *dest);
bool avoid_has(struct avoid *a, const struct sip_dest *dest, uint64_t now_ms);
/* Puts those to be avoided behind the others, else in their order. */
void avoid_sort(struct avoid *a, struct sip_dest *dests, unsigned n, uint64_t now_ms);

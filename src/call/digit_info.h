/* digit_info.h - digits as SIP INFO, in both bodies that are in use. No RFC names them; RFC 6086 §4.2.1 calls it legacy usage.
 *
 *   application/dtmf-relay   "Signal=5\r\nDuration=160\r\n", ms
 *   application/dtmf         "5"
 *
 * Digits may come as the number of their event (RFC 4733 §3.2: 10 is *, 11 is #, 12 to 15 are A to D).
 * Functions of messages and text. Thread: any.
 */
#pragma once

#include "base/out.h"
#include "sip/msg.h"

#define DIGIT_INFO_MS 100      /* where nothing is said of it */

/* The digit that an INFO tells of, 0-9 * # A-D; '\0': none. */
char digit_info_take(const struct sip_msg *m, uint32_t *duration_ms);
/* Writes the body; is_plain: of application/dtmf. Returns its type. */
const char *digit_info_print(struct out *o, char digit, uint32_t duration_ms, bool is_plain);

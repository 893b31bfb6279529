/* trace_mask.h - takes out of a message what lets who reads it later do more than read.
 *
 * Keys of SRTP (a=crypto, a=key-mgmt and k= of SDP) would open every capture that somebody else made on the way; from a response to a digest challenge
 * (Authorization, Proxy-Authorization, Authentication-Info) a weak password is found by trying. They become as many x, so
 * that lengths stay as they are.
 *
 * Pure. Sources: RFC 4568 §9.1, 4567 §8.2, 8866 §5.12; RFC 7616 §3.4, 3.5.
 */
#pragma once

#include <stddef.h>

void trace_mask(char *p, size_t n);

/* stun.h - answers to STUN binding requests on the ports of SIP (RFC 5389, RFC 5626 §4.4.2): a phone's keep-alive, which tells it
 * its address outside a NAT. Pure functions.
 */
#pragma once

#include "sip/transport.h"

#define STUN_ANSWER_MAX 64

/* STUN and nothing of SIP: its first two bits are zero and it has the magic cookie. */
bool stun_is(const char *bytes, size_t n);
/* Writes the answer to a request that came from there. Returns its length; 0: it is no binding request, or a broken one, and gets
 * none. An attribute that must be understood and isn't gets error 420 (§7.3.1). */
size_t stun_answer(const char *request, size_t n, const union sockaddr_any *from, char answer[STUN_ANSWER_MAX]);

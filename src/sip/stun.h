/* stun.h - STUN binding requests on the ports of SIP (RFC 5389, RFC 5626 §4.4.2), answered and made: the keep-alive of UDP, which tells
 * who asks the address he has outside a NAT. Pure functions.
 *
 * Thread: any.
 */
#pragma once

#include "base/stun_msg.h"
#include "sip/transport.h"

#define STUN_ANSWER_MAX 64
#define STUN_REQUEST_LEN 20

/* STUN and nothing of SIP: its first two bits are zero and it has the magic cookie. */
bool stun_is(const char *bytes, size_t n);
/* Writes the answer to a request that came from there. Returns its length; 0: it is no binding request, or a broken one, and gets
 * none. An attribute that must be understood and isn't gets error 420 (§7.3.1). */
size_t stun_answer(const char *request, size_t n, const union sockaddr_any *from, char answer[STUN_ANSWER_MAX]);

/* A success or error answer, not a request. */
bool stun_is_answer(const char *bytes, size_t n);
void stun_request(const char id[STUN_ID_LEN], char request[STUN_REQUEST_LEN]);
/* An answer to the request with this id: 0, and where it came from, if the answer says so (else mapped->sa.sa_family is 0: an error answer
 * is one, too). -ENOENT: it answers another one; -EINVAL: it is broken. */
int stun_read_answer(const char *bytes, size_t n, const char id[STUN_ID_LEN], union sockaddr_any *mapped);

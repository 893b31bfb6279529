/* stun_msg.h - STUN messages in and out (RFC 8489), for whoever answers or makes some: keep-alives of SIP's ports, ICE's checks. Pure functions.
 *
 * Reading and writing know what a message looks like; what it means is its user's.
 *
 * Thread: any.
 */
#pragma once

#include <sys/socket.h>

#include "base/str.h"

#define STUN_HEADER_LEN 20
#define STUN_ID_LEN 12
#define STUN_UNKNOWN_MAX 8  /* attributes told in a 420; the others wait for the next try */

enum stun_type {
	STUN_BINDING_REQUEST = 0x0001,
	STUN_BINDING_INDICATION = 0x0011,
	STUN_BINDING_SUCCESS = 0x0101,
	STUN_BINDING_ERROR = 0x0111,
};

enum stun_attr {
	STUN_USERNAME = 0x0006,
	STUN_MESSAGE_INTEGRITY = 0x0008,
	STUN_ERROR_CODE = 0x0009,
	STUN_UNKNOWN_ATTRIBUTES = 0x000a,
	STUN_REALM = 0x0014,
	STUN_NONCE = 0x0015,
	STUN_MESSAGE_INTEGRITY_SHA256 = 0x001c,
	STUN_USERHASH = 0x001e,
	STUN_XOR_MAPPED_ADDRESS = 0x0020,
	STUN_PRIORITY = 0x0024,      /* RFC 8445 §7.1 */
	STUN_USE_CANDIDATE = 0x0025,
	STUN_FINGERPRINT = 0x8028,
	STUN_ICE_CONTROLLED = 0x8029,
	STUN_ICE_CONTROLLING = 0x802a,
};

struct stun_msg {
	const uint8_t *bytes;        /* all of it; the other pointers point into it */
	size_t len;
	uint16_t type;               /* enum stun_type, or another */
	const uint8_t *id;           /* STUN_ID_LEN */
	struct str username;         /* p NULL: none */
	bool has_fingerprint, use_candidate, is_controlling, is_controlled, has_priority;
	uint32_t priority;
	size_t integrity_at;         /* where MESSAGE-INTEGRITY begins; 0: none */
	const uint8_t *mapped;       /* value of XOR-MAPPED-ADDRESS; NULL: none */
	size_t mapped_len;
	unsigned nunknown;           /* attributes that must be understood (up to 0x7fff) and aren't in enum stun_attr */
	uint16_t unknown[STUN_UNKNOWN_MAX];
};

/* STUN and nothing else that comes to such a port: its first two bits are zero and it has the magic cookie. */
bool stun_msg_is(const void *p, size_t n);
/* -EINVAL: it is broken, or its fingerprint isn't right. Attributes behind the integrity count no more (§14.5), but for the fingerprint. */
int stun_msg_parse(struct stun_msg *out, const void *p, size_t n);
/* Was it made by who knows this password (HMAC-SHA1, §14.5)? False without MESSAGE-INTEGRITY. */
bool stun_msg_is_by(const struct stun_msg *m, struct str password);
/* XOR-MAPPED-ADDRESS as an address. False: none that is one. */
bool stun_msg_mapped(const struct stun_msg *m, struct sockaddr_storage *out);

/* ---- writing: begin, then attributes in the order of the calls; how long it has become is in len, 0 once there was no room ---- */

struct stun_out {
	uint8_t *p;
	size_t len, size;
};

void stun_begin(struct stun_out *o, void *buf, size_t size, enum stun_type type, const void *id);
void stun_add(struct stun_out *o, enum stun_attr type, const void *value, size_t n);
void stun_add_u32(struct stun_out *o, enum stun_attr type, uint32_t value);
void stun_add_address(struct stun_out *o, const struct sockaddr *sa); /* XOR-MAPPED-ADDRESS */
void stun_add_error(struct stun_out *o, unsigned code, const char *reason);
void stun_add_unknown(struct stun_out *o, const struct stun_msg *request);
void stun_add_integrity(struct stun_out *o, struct str password);
void stun_add_fingerprint(struct stun_out *o);               /* the last one */

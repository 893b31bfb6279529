/* ice.h - ICE of a stream, as one does it whom everybody can reach: lite (RFC 8445 §2.5). Pure: packets in, decisions out; no sockets, no
 * clock.
 *
 * The peer is the full agent, and in control: it checks which of its addresses reach us and names the one to be used (USE-CANDIDATE).
 * We answer its checks, if it knows the password of our description, and send media to the address that it has named, to no other, and to
 * none before. Media are taken from any address it has checked: it may change.
 *
 * A peer that names several (aggressive nomination, RFC 5245 §8.1.1.2) means the one of highest priority, and one that changes its mind the
 * last: within ICE_SETTLE_MS the higher one stays, later the latest wins.
 *
 * Consent (RFC 7675): a lite agent makes no checks of its own, so what shows that the peer still wishes to get media are his. One that goes
 * on checking, as browsers do, has withdrawn it when he has not checked for ICE_CONSENT_MS. Of one that doesn't, what he sends there counts.
 * Then nothing is sent until he names an address again.
 *
 * Owner:  struct ice belongs to its session, on whose worker it is used; made and freed on any thread.
 * Thread: any, one at a time.
 * Sources: RFC 8445, 8489 §9.1 (short-term credentials), 7675, 5245 (peers of before).
 */
#pragma once

#include "media/addr.h"

#include <stddef.h>
#include <stdint.h>

#define ICE_UFRAG_LEN 8     /* RFC 8839 §5.4: at least 4 and 22 characters of base64, 24 and 128 bits of chance */
#define ICE_PWD_LEN 26
#define ICE_ANSWER_MAX 128
#define ICE_SETTLE_MS 1000
#define ICE_CONSENT_MS 30000 /* RFC 7675 §5.1 */
#define ICE_STEADY_MS 3000   /* checks that come later than this after it was chosen aren't those that led to it */
#define ICE_FORMER_MS 30000  /* checks by the credentials before a restart are answered so long */

struct ice_credentials {
	char ufrag[ICE_UFRAG_LEN + 1], pwd[ICE_PWD_LEN + 1];
};

enum ice_component { ICE_RTP, ICE_RTCP, ICE_COMPONENTS }; /* RTCP's own port, where it isn't multiplexed */

enum ice_verdict {
	ICE_IGNORED,        /* no check, or broken */
	ICE_REFUSED,        /* answered with an error */
	ICE_CHECKED,
	ICE_CHOSEN,         /* and with this one ice_target() has changed */
};

struct ice_answer {
	size_t len;         /* 0: none */
	uint8_t bytes[ICE_ANSWER_MAX];
};

struct ice;

/* NULL without memory. */
struct ice *ice_new(const struct ice_credentials *ours);
void ice_free(struct ice *ice); /* NULL: nothing */
/* Our credentials are these from now on. When they are others than before, the peer begins anew (RFC 8445 §9): what it has chosen stays in
 * use until it chooses by the new ones. */
void ice_renew(struct ice *ice, const struct ice *fresh, uint64_t now_ms);

/* Something that looks like STUN has come to a component's port. */
enum ice_verdict ice_packet(struct ice *ice, enum ice_component component, const uint8_t *p, size_t n, const struct addr *from,
			    uint64_t now_ms, struct ice_answer *answer);
/* The peer's choice; NULL: none yet, or no consent. */
const struct addr *ice_target(const struct ice *ice, enum ice_component component);
/* Has the peer checked this way to us? */
bool ice_knows(const struct ice *ice, const struct addr *from);
/* To be asked from time to time: is the consent at an end? Then the choice is forgotten. heard_ms: when media came last from there. Else
 * *left_ms is when to ask again. */
bool ice_expire(struct ice *ice, uint64_t heard_ms, uint64_t now_ms, uint32_t *left_ms);

/* targets.h - which of an extension's contacts ring now, which next (RFC 3261 §16.6, RFC 5626 §7).
 *
 * Those with the highest q ring at once, those with the next lower one when all of them have refused or had their time. Of
 * several flows of one phone only the newest rings; the others stand by for the case that it fails. Contacts that don't
 * answer when they are asked (OPTIONS) are left out as long as there are others.
 *
 * Owner:  the running application of the call: copies, so that the task may park.
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

#define TARGETS_MAX 16       /* contacts rung for one number; the registrar's default limit is 10 */

enum target_state {
	TARGET_WAITING,      /* its turn may come */
	TARGET_SPARE,        /* another flow of its phone rings */
	TARGET_CHOSEN,       /* to be rung now */
	TARGET_RUNG,
	TARGET_FAILED        /* its flow is gone */
};

struct target {
	struct target *next;
	enum target_state state;
	struct sip_dest dest;
	uint32_t reg_id;
	uint16_t q_milli;
	char *contact, *route, *instance; /* route, instance: NULL for none */
};

struct targets { struct target *first; };

/* Copies what is registered for number, best first. NULL: nothing, or no memory. */
struct targets *targets_of(struct call *call, const char *number);
/* Chooses those that ring next; false: none are left. */
bool targets_next_group(struct targets *ts);
unsigned targets_groups(const struct targets *ts); /* whose turn is still to come */
/* Another flow of the phone, a spare one; NULL: there is none. */
struct target *targets_other_flow(struct targets *ts, const struct target *failed);
/* If dest is where the REGISTER came from: by the same connection, or listener. */
void target_use_flow(const struct target *t, struct sip_dest *dest);
bool leg_is_flow_failure(const struct leg *leg);

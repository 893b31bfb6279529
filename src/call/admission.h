/* admission.h - may a call begin, and as what? See pbx.emergency_number, inbound_number, blocked_caller and the limits of calls.
 *
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

struct refusal { int status; const char *hdrs, *why; }; /* status 0: go on; hdrs: lines for the answer, or NULL; why: for the record */

/* A call that isn't there yet, by its request: is an emergency number dialled? Then no limit of the server holds. */
bool admission_is_urgent(const struct calls *cs, const struct sip_msg *m);
/* Counts a call against its domain's limit, where it has one. false: it is reached. */
bool admission_take_domain_limit(struct call *call);
/* Of a call with caller, domain and number: sets its is_emergency, context and target, and counts it. *usage is the caller's leg's, NULL when
 * nothing is to be kept. */
struct refusal admission_check(struct call *call, const struct sip_msg *m, struct usage **usage);

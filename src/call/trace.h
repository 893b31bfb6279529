/* trace.h - what SIP said in a call: its messages, byte for byte but for secrets, for pbx.ladder() and pbx.pcap().
 *
 * Only where a domain wants it (pbx.domain.capture); while none does the transport isn't even asked, so it costs nothing. Of each dialog
 * the messages are kept in memory as they come and go, by Call-ID, and some seconds after the call's end, when the last answers
 * have come, they are written by the outbox, or dropped if the domain wants those of calls that failed and this one didn't.
 *
 * An INVITE comes before there is a call, and may never become one: those wait for it for a while, few of them.
 *
 * Owner:  struct calls has all of them; a leg points to its own while it lasts. Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

#define TRACE_BYTES_MAX (64u << 10)      /* of one dialog; what comes behind that is counted */
#define TRACE_TOTAL_MAX (64u << 20)      /* of all */
#define TRACE_EARLY_MAX 256              /* that no call has taken yet, */
#define TRACE_EARLY_MS 35000             /* for so long */
#define TRACE_LINGER_MS 2000             /* after the end of the call */

struct trace;
struct traces;

int traces_new(struct traces **out, struct calls *cs);
void traces_free(struct traces *ts);     /* what lingers is written now; before ua and outbox go */

/* The leg has its session: what its dialog has said so far is its own. */
void trace_begin(struct leg *leg);
/* It goes on in another call; record is what stays behind of it, with all that was said. */
void trace_moved(struct leg *leg, struct leg *record);
/* From now on its messages are kept, whatever its domain says, with those that were kept so far. */
void trace_follow(struct call *call);
/* What is to be kept of it. */
enum dir_capture trace_policy(const struct call *call);
/* All of the call is over. */
void trace_ended(struct call *call);
/* It was refused by m's answer, before it had a leg. */
void trace_refused(struct call *call, const struct sip_msg *m);
/* The leg is freed. */
void trace_leg_gone(struct leg *leg);

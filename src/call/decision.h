/* decision.h - what was decided about a call, and with what: kept while it lasts, written with its record, told by pbx.why().
 *
 * A decision is a kind and a few texts; the sentence that tells it is the kind's row of pbx.decision_kind. They are kept as they are written, lines
 * of JSON in one buffer a call: [ms since the call began, kind, text, ...]. An ordinary call has seven, in 320 bytes; when there are
 * more than DECISIONS_MAX bytes of them, those in the middle go, and how many went is said in their place.
 *
 * Owner:  struct call has the buffer. Thread: loop thread. Nothing fails: without memory a decision isn't kept.
 */
#pragma once

#include "call/call_int.h"

#define DECISIONS_MAX 4096
#define DECISION_TEXT_MAX 120 /* bytes of one text; the rest is cut off */

enum decision {
	DECISION_CALLER,        /* number, what is called, from where, what it is known by, trunk */
	DECISION_REFUSED,       /* before there is a route: status, why */
	DECISION_BLOCKED,       /* number, pattern */
	DECISION_LIMIT,         /* whose, how many calls */
	DECISION_INBOUND,       /* public number, pattern, target, context */
	DECISION_EMERGENCY,     /* number, context */
	DECISION_SENT,          /* who was transferred, by whom ("": a command), to which number, the call he came from */
	DECISION_ROUTE,         /* number, context, pattern, change up to which the plan was known */
	DECISION_NO_ROUTE,      /* number, context */
	DECISION_UNKNOWN,       /* what, while the database was away */
	DECISION_LOOP,          /* number, how many routes */
	DECISION_STEP,          /* position, application, arguments */
	DECISION_SKIPPED,       /* position, application, condition, name and value that don't fit */
	DECISION_RESULT,        /* application, result */
	DECISION_TRUNK_NEXT,    /* trunk, status */
	DECISION_TRUNK_NOT_DUE, /* trunk, schedule */
	DECISION_NOT_RUNG,      /* number, why */
	DECISION_NO_ANSWER,     /* number */
	DECISION_FORWARD,       /* number, reason, target */
	DECISION_NO_FORWARD,    /* number, target, why not */
	DECISION_HOPS,          /* status */
	DECISION_SCRIPT_STEP,   /* script, line, application, arguments */
	DECISION_SCRIPT_ERROR,  /* script, message with its line */
	DECISION_TOLD,          /* the caller: status, reason */
	DECISION_BUDGET,        /* owner, budget */
	DECISION_REWRITE,       /* by whom, number, what it becomes, pattern */
	DECISION_REWRITE_CALLER, /* the same of the caller's number */
	/* By commands, of whom first. */
	DECISION_ORIGINATED,    /* extension, number */
	DECISION_HUNG_UP_BY,
	DECISION_COMMANDED,     /* command, with what */
	/* Of legs: the first is the leg. */
	DECISION_RING,          /* number, host where it is, trunk */
	DECISION_CANT_RING,     /* error */
	DECISION_RINGS,         /* status */
	DECISION_REFUSES,       /* status, reason */
	DECISION_FAILED,        /* status, how */
	DECISION_CANCEL,        /* why */
	DECISION_GIVES_UP,      /* reason */
	DECISION_ANSWERS,
	DECISION_ANSWERED,      /* by an application: which */
	DECISION_TALKS,         /* codec */
	DECISION_CONVERTS,      /* codec, the other's */
	DECISION_NO_CODEC,      /* what it may have */
	DECISION_ENCRYPTION,    /* what it didn't do */
	DECISION_INSECURE,      /* what came of the handshake */
	DECISION_LATCHED,       /* signalled address, actual one, reason */
	DECISION_SILENT,        /* while */
	DECISION_HOLDS,
	DECISION_RESUMES,
	DECISION_TAKES_PLACE,   /* number, leg */
	DECISION_LEAVES,        /* call it goes on in */
	DECISION_HANGS_UP,      /* reason */
	DECISION_BUDGET_WARNS,  /* number, owner, budget, seconds */
	DECISION_BUDGET_ENDS,   /* number, owner, budget */
	/* By commands, of whom. */
	DECISION_LEG_HUNG_UP_BY,
	DECISION_LEG_SENT_BY,   /* number */
	DECISION_LEG_COMMANDED, /* command, with what */
	DECISION_COUNT
};

/* The texts that belong to the kind, and NULL; "" where one is missing, not NULL. Empty ones at the end aren't written. */
void decided(struct call *call, enum decision kind, ...) __attribute__((sentinel));
void leg_decided(const struct leg *leg, enum decision kind, ...) __attribute__((sentinel));

/* A number as a text, good until the end of the expression it is made in: decision_int(486).z */
struct decision_int { char z[24]; };
struct decision_int decision_int(int64_t v);

/* As the member "decisions"; nothing if there are none. */
void decisions_print(struct out *o, const struct call *call);
unsigned decisions_count(const struct call *call);
void decisions_free(struct call *call);

/* Who calls, by its request: the first decision of a call that comes in. */
void decision_caller(struct call *call, const struct sip_msg *m, const struct sip_source *src);

/* Writes down a call that was refused before it had a record, by way of the outbox. How many of them is bounded, much more so for callers who
 * have shown no password: they are whoever there is. False: it isn't written. */
bool decision_refused(struct call *call, int status, const struct sip_source *src);
/* The same of a request that never became a call. */
void decision_refused_request(struct calls *cs, const struct sip_msg *m, const struct sip_source *src, const struct auth_identity *who, int status,
			      const char *why);

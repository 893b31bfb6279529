/* dial_int.h - between dial.c (the whole of an app_dial) and those that ring for it.
 *
 *   dial.c          who answered first, what the caller hears meanwhile, the join, what it came to
 *   dial_branch.c   one number dialled, from its first leg to its outcome
 *   dial_forward.c  a branch sent on to other numbers: an extension's forward, a phone's 3xx
 *   dial_outside.c  a trunk or a URI, by one address family and then the other
 *   dial_elsewhere.c  where a trunk's or URI's 3xx sends it
 *   dial_ring.c     one leg
 *
 * Owner:  the running application of the call: all of it is call_alloc()'s, so it goes when that returns.
 * Thread: loop thread, the call's task. What looks a name up may park it: rows of the directory are looked up again behind that.
 */
#pragma once

#include "base/log.h"
#include "call/decision.h"
#include "call/redirect.h"
#include "call/targets.h"

#define NO_ANSWER "Q.850;cause=19;text=\"No answer\""

struct again;
struct ways;
struct elsewhere;

/* What is left of the numbers that a 3xx named. */
struct redirecting {
	struct redirecting *outer;        /* of whom it came by such a number itself; NULL: nobody */
	struct leg *leg;                  /* whose it was; its referral waits for what comes of it, if it was no 3xx but REFER */
	const struct redirects *list;     /* its leg's */
	unsigned at;
	char by[128];                     /* whose phone it was, and who had sent the branch there */
	const struct diversion *diverted;
	enum app_result outcome;          /* the best so far */
	int status;
	char reason[REASON_MAX];
};

enum branch_state { BRANCH_WAITING, BRANCH_RINGING, BRANCH_ENDED };

struct branch {
	enum branch_state state;
	char number[128];
	uint64_t start_at_ms, ring_until_ms;
	uint64_t group_until_ms; /* then the phones of the next lower q, if there are any, have their turn */
	uint32_t ring_s;      /* at most, from when it begins; 0: the extension's own time */
	unsigned forwards, nlegs;
	const struct diversion *diverted; /* by whom it was sent here */
	bool is_spared;       /* its trunk has too much to do */
	struct leg *legs[TARGETS_MAX];
	struct target *rung[TARGETS_MAX]; /* whom a leg rings; NULL: no contact of an extension */
	struct redirecting *redirecting;
	struct targets *targets;
	struct again *again;  /* the same by the other address family, of dial_outside.c; NULL: there is none */
	struct elsewhere *elsewhere; /* where 3xx from outside have sent it, of dial_elsewhere.c; NULL: nowhere, or no more */
	unsigned nelsewhere;  /* how often it went there */
	const char *sent;     /* the number as its trunk has it; NULL: as it is */
	const char *first_uri; /* what was rung outside first; NULL: nothing yet */
	struct ways *ways;    /* to a trunk, that are left to try; of dial_outside.c; NULL: none */
	struct usage *usage;
	enum app_result outcome;
	int status;
	char reason[REASON_MAX];
};

struct dial {
	struct call *call;
	const struct app_dial *p;
	unsigned n;
	struct branch *branches;
	uint64_t until_ms;    /* no longer in all */
	bool is_ringing;      /* the caller was told */
	unsigned nswaps;      /* that caller: another may take his place */
	char goto_number[128], goto_context[64]; /* a forward to something that isn't an extension */
};

static inline struct calls *engine(const struct dial *d)
{
	return d->call->calls;
}

/* ---- dial_branch.c ---- */

/* Begins what waits; it may have ended when this returns. */
void branch_start(struct dial *d, struct branch *b);
/* Looks at a ringing branch: over when all legs have ended, one refused for all (6xx) or diverts (3xx), or time is up. */
void branch_check(struct dial *d, struct branch *b);
/* status: what the caller is told if no other branch has a better outcome; reason: Reason values, copied. */
void branch_end(struct branch *b, enum app_result outcome, int status, const char *reason);
/* The same where nobody was rung, and why, for the record. */
void branch_refuse(struct dial *d, struct branch *b, enum app_result outcome, int status, const char *reason, const char *why);
void branch_close_legs(struct branch *b, const char *reason, const struct leg *except);
/* Rather tell the caller of the phone that was busy than of the one that was off: the higher goes to him. */
unsigned branch_rank(enum app_result r);

/* ---- dial_forward.c: each puts another number in the branch, which waits again, or ends it with APP_MOVED ---- */

/* The extension's forward for this reason (pbx.forward), if it has one. */
bool dial_forward(struct dial *d, struct branch *b, const char *reason);
/* The branch has ended: the forward for its outcome, else the next number that a 3xx named. */
void dial_forward_after(struct dial *d, struct branch *b);
/* The dial has ended, with the route of another number perhaps. Where that came to nothing, *r, and a 3xx named more numbers: the next one.
 * False: it has ended, with *r. */
bool dial_redirect_again(struct dial *d, enum app_result *r);
/* A 3xx names another number: may the caller dial it? Then by whom he is sent there is noted, and the branch's number is it. false: not, or
 * he was sent on often enough. */
bool dial_may_divert(struct dial *d, const struct branch *b, const char *number);
bool dial_divert(struct dial *d, struct branch *b, const char *reason, const char *number);
/* The first number that this leg's 3xx names and the caller may dial; dial_forward_after() goes on with the others. */
bool dial_redirect(struct dial *d, struct branch *b, struct leg *leg);
/* Tells those whose REFER has sent the branch here: 180, or how it has ended. */
void dial_tell_referrers(struct branch *b, int status);
/* The last of them; NULL: nobody. */
const struct leg *dial_referrer(const struct branch *b);

/* ---- dial_outside.c ---- */

/* Rings the branch's number through the trunk of the dial; ends the branch when that can't be. */
void dial_trunk(struct dial *d, struct branch *b);
void dial_uri(struct dial *d, struct branch *b);
/* Its leg couldn't reach the target: is it tried by the other address family now? */
bool dial_other_family(struct dial *d, struct branch *b, const struct leg *failed);
/* The proxy that its leg was sent by doesn't answer or can't serve it: is it tried by another of the trunk's now? */
bool dial_other_way(struct dial *d, struct branch *b, const struct leg *failed);

/* The extension whose call outside it is: who has sent it on there, else the caller; "": nobody of ours. */
const char *dial_payer(const struct dial *d, const struct branch *b);
/* The way by which calls to the trunk of the dial go first, "" for none. -ENOENT: it is gone; -ENAMETOOLONG. */
int dial_trunk_route(struct dial *d, char *route, size_t size);

/* ---- dial_elsewhere.c ---- */

/* Its leg, outside, was answered 3xx, or came by such an answer: is the next of the Contacts rung now? */
bool dial_elsewhere(struct dial *d, struct branch *b, const struct leg *failed);

/* ---- dial_ring.c ---- */

/* Whom to ring: target is a URI; contact (of an extension) or trunk may be NULL. */
struct ring {
	const char *target, *route;  /* route: a value of Route, or NULL */
	const struct sip_dest *dest;
	struct target *contact;
	bool is_outside;
	const struct dir_trunk *trunk;
	bool has_rivals;
};
/* The same with the row of the dial's trunk, if it is the trunk's: looking a name up may have outlived it. */
void dial_ring_outside(struct dial *d, struct branch *b, const struct ring *r, bool is_of_trunk);
/* Adds a leg to the branch; none when it can't be, which is logged. */
void dial_ring(struct dial *d, struct branch *b, const struct ring *r);
/* What is left of the call's breadth is dealt out in shares, so that further ones find some too (RFC 5393 §5.3.3). 0: none is left. */
uint16_t dial_breadth(const struct dial *d);

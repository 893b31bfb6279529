/* told.h - what the peer of a leg is told of the other side: who is there, and what the session is called.
 *
 * Each leg keeps who is at its far end, in words of the account or trunk that it is, and what may be said to whoever is there. A leg
 * that rings or answers is shown to the caller by told_connected(), legs that are joined by told_joined(): also when a transfer joins
 * others than before.
 *
 * Session-ID (RFC 7989 §7): a session is named by one UUID of each end. A phone that has none gets one from us, once a leg. Towards
 * the caller the other half is that of who rings alone or has answered; before that, and as long as an application talks to him, we are the
 * other end, by the id of the call. So the caller's half is in all messages of all legs of a call, through forks, forwards
 * and transfers.
 *
 * Owner:  struct leg, by value.
 * Thread: loop thread.
 */
#pragma once

#include "call/diversion.h"
#include "call/identity.h"
#include "directory/directory.h"
#include "sip/sessid.h"
#include "sip/transport.h"

struct call;
struct leg;
struct pass_part;

struct told {
	struct identity who;           /* at the far end */
	bool is_extension;             /* by the number of an extension of the domain, which outside is another */
	struct identity_rules rules;   /* what may be said to it */
	char session_id[SESSID_LEN + 1]; /* its half */
	char other_id[SESSID_LEN + 1]; /* the half it is told */
	bool is_named;                 /* it has told its half itself */
	char *passed;                  /* lines of its INVITE, or of its newest response to ours, that may go to others; NULL: none */
	const struct diversion *diverted; /* by whom its call was sent on to it; its call's; NULL: nobody */
	struct pass_part *parts;       /* of the body of its INVITE, that those refer to; NULL: none */
	uint64_t shown;                /* hash of whom its peer has been told of; 0: of nobody yet */
	bool is_stale;                 /* it is joined with somebody else: the peer is to be told */
	char *parting;                 /* lines of its BYE or refusal that may go to who is left; NULL: none */
	char *hdrs;                    /* lines of our next responses to its INVITE; NULL: none */
};

void told_fini(struct told *t);
/* What may be said to a trunk, and how. */
struct identity_rules told_rules(const struct dir_trunk *trunk);
/* The caller's leg, from his INVITE. 0, or the status to refuse with: he asks for privacy that we don't know, or not at all. */
int told_begin(struct leg *leg, const struct sip_msg *m);
/* The same for a caller who isn't there: whom he will be connected with is shown. */
void told_begin_absent(struct leg *leg, const char *number);
/* A leg to an extension (ext may be NULL: a URI) or over a trunk, which isn't begun yet. */
void told_callee(struct leg *leg, const char *number, const struct dir_extension *ext, const struct dir_trunk *trunk);

/* The caller as the dialplan sees and sets him: number and name, both empty when he hides himself from everybody; privacy, a list as in
 * Privacy. STR_NULL: there is no such variable; false: it can't be set. */
struct str told_var(const struct leg *caller, struct str name);
bool told_set_var(struct leg *caller, const char *name, const char *value);

/* Who is at `of`'s far end, as he may be shown to viewer. */
void told_of(const struct leg *of, const struct leg *viewer, struct identity *out);
/* The same for who has sent a caller to viewer and may have gone since: account, or "" for who is outside; who: his number and privacy as
 * they were. false: he isn't to be shown. */
bool told_referrer(const struct leg *viewer, const char *account, struct identity *who);
/* Lines of the INVITE to leg: who calls, and by whom he was sent to target. host: ours. */
void told_print_invite(struct leg *leg, struct out *o, const char *host, const char *target, const struct diversion *diverted);
/* The line of Session-ID for all messages of the leg; told_session() hands it to the leg's session. */
void told_print_session(const struct leg *leg, struct out *o);
void told_session(struct leg *leg);
/* What a message of the peer says of itself: its half of the session, and who it is if it may say so. */
void told_learn(struct leg *leg, const struct sip_msg *m);

/* The caller is told, by our next responses, of whom he gets: callee rings alone, or answers. NULL: nobody in particular. */
void told_connected(struct leg *caller, const struct leg *callee);
/* Its last message, a BYE or a final response: what of it may go on is kept, and written into our BYE or refusal to another leg. */
void told_part(struct leg *leg, const struct sip_msg *m);
void told_print_parting(const struct leg *leg, struct out *o);
/* The same in the refusal of an unanswered caller: where his call went, if he can read it. */
void told_print_refusal(const struct leg *caller, struct out *o);
/* They are joined. */
void told_joined(struct leg *a, struct leg *b);

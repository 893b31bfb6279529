/* diversion.h - by whom a call was sent on before it came here, and is on its way from here (RFC 5806, RFC 7044, RFC 7544).
 *
 * A chain of entries, each pointing to the one before it, so that branches of one call that were forwarded by different
 * phones share what they have in common. It comes from the caller's trunk, grows with each forward, and is told to whom it
 * rings: Diversion, newest first, and History-Info, oldest first. Phones that call are not asked: they can't divert.
 *
 * Functions of messages and text alone. Owner: the list they are all in, see diversion_free_all(). Thread: loop thread.
 */
#pragma once

#include "sip/msg.h"

/* Diversions in all behind which a call is sent on no more: telephone networks stop at five, some at ten. */
#define DIVERSIONS_MAX 10
#define DIVERSION_HDRS_MAX 8192 /* of diversion_print() */

enum diversion_reason {                /* RFC 5806 §4; RFC 4458 has the causes */
	DIVERSION_UNKNOWN, DIVERSION_BUSY, DIVERSION_NO_ANSWER, DIVERSION_UNAVAILABLE, DIVERSION_UNCONDITIONAL,
	DIVERSION_TIME_OF_DAY, DIVERSION_DO_NOT_DISTURB, DIVERSION_DEFLECTION, DIVERSION_FOLLOW_ME, DIVERSION_OUT_OF_SERVICE,
	DIVERSION_AWAY, DIVERSION_REASON_COUNT
};

struct diversion {
	const struct diversion *before;   /* older; NULL: none */
	struct diversion *next;           /* in the list of its owner */
	enum diversion_reason reason;
	unsigned counter;                 /* this one stands for so many */
	bool is_hidden;
	bool is_extension;                /* number is an extension's: outside it is another */
	char number[128];
};

/* A new newest one; *list owns it. NULL without memory. */
struct diversion *diversion_add(struct diversion **list, const struct diversion *before, const char *number, enum diversion_reason reason);
/* What an INVITE tells: Diversion, else History-Info. Returns the newest or NULL. More than DIVERSIONS_MAX are counted, not kept. */
const struct diversion *diversion_take(struct diversion **list, const struct sip_msg *m);
void diversion_free_all(struct diversion **list);

/* How often the call was diverted in all. */
unsigned diversion_count(const struct diversion *newest);
/* Has this number sent it on already? */
bool diversion_has(const struct diversion *newest, const char *number);

/* "busy", "no_answer", "unavailable", "always", as pbx.forward has it, or of RFC 5806. */
enum diversion_reason diversion_reason_of(struct str name);

/* Why the phone that sent this 3xx sends the call on to the URI of its Contact, as its Diversion says, its History-Info, or the URI's cause
 * (RFC 4458): a name of RFC 5806, static. It says nothing: "deflection". */
const char *diversion_reason_given(const struct sip_msg *m, const struct sip_uri *contact);

/* Header lines for whom it rings; history_print() for who calls: History-Info alone. may_see: also numbers that are hidden (inside the trust domain). number_of gives the number
 * that an entry has for this peer; NULL: as it is. */
struct diversion_print {
	const char *target, *host;        /* whom it rings, "": nobody is to know; our address, IPv6 with brackets */
	bool may_see;
	const char *(*number_of)(const struct diversion *d, void *arg);
	void *arg;
};
void diversion_print(struct out *o, const struct diversion *newest, const struct diversion_print *p);
void history_print(struct out *o, const struct diversion *newest, const struct diversion_print *p);

/* refer.h - a REFER in a session's dialog: what it asks for, and the subscription it implies (RFC 3515, 3891, 4488).
 *
 * The subscription is a usage of the session's dialog of its own (RFC 5057): it tells the referrer how the reference
 * goes on, also after he has hung up, until the owner has said the end. Then, or when the referrer has
 * forgotten or ended it, the dialog goes with whichever usage is the last.
 *
 * A REFER outside of a dialog makes one of its own for it, which lives as long.
 *
 * Owner:  a refer belongs to whoever accepted it until refer_finish(); what is still to be sent goes on alone.
 * Thread: loop thread.
 */
#pragma once

#include "sip/ua.h"

struct refer;

/* The value of Replaces (RFC 3891 §6.1): slices of the text it was parsed from. */
struct replaces {
	struct str call_id, to_tag, from_tag;
	bool is_early_only;
};
/* -EINVAL malformed: answer 400. */
int replaces_parse(struct replaces *out, struct str value);

/* What a Refer-To asks for (RFC 3515 §2.1). uri is a slice of the message. */
struct refer_to {
	struct sip_uri uri;
	bool is_invite;           /* no other method was named */
	char replaces[512];       /* the Replaces header it carries, unescaped; "": none */
};
/* -EINVAL: not exactly one, or malformed (answer 400). */
int refer_to_parse(struct refer_to *out, const struct sip_msg *m);

/* Answers a REFER of session s with 202 and says "100 Trying" at once, unless the referrer wants no subscription
 * (RFC 4488). On an error the caller still has to answer. */
int refer_accept(struct refer **out, struct session *s, struct strans *st, const struct sip_msg *m);
/* The same for one outside of a dialog: it makes the dialog that its subscription is in. -EINVAL: it has no Contact. */
int refer_accept_outside(struct refer **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m);
/* How it goes: 101..199, as a response to the INVITE it led to. The newest waits while a NOTIFY is under way. */
void refer_progress(struct refer *r, int status);
/* The final status; r isn't the caller's any more. */
void refer_finish(struct refer *r, int status);

/* RFC 4538: which dialog a request outside of it is about, in words of Replaces. -ENOENT: it doesn't say; -EINVAL malformed: 400. */
int target_dialog_of(struct replaces *out, const struct sip_msg *m);

/* The session of a dialog of ours; the tags may be in either order, for who names it may have seen it from either side. NULL: none. */
struct session *session_find(struct sip_ua *ua, const struct replaces *which);
/* Is any dialog of ours of this Call-ID? Walks them all. */
bool session_has_call_id(struct sip_ua *ua, struct str call_id);
/* What its handler is given; NULL when it has another handler, or its end was told. */
void *session_arg(const struct session *s, const struct session_handler *h);

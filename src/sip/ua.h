/* ua.h - user agent core: dialogs and their sessions over the transaction layer (RFC 3261 §12-§15).
 *
 * Matches requests to dialogs by Call-ID and tags, hands dialog-forming and stand-alone requests to the
 * handler that was set for their method, answers the rest: 405 with Allow for known methods without a
 * handler, 501 for unknown ones, 481 for in-dialog requests without a dialog, 420 for a Require we don't
 * support, 483, OPTIONS 200.
 *
 * Session: the INVITE usage of a dialog. One object from the INVITE to the last transaction.
 *
 * Reliable provisional responses (RFC 3262) are the session's own affair both ways; so are the early dialogs of forks.
 *
 *   UAC: CALLING -> EARLY -> CONFIRMED -> TERMINATED        UAS: RECEIVED -> EARLY -> CONFIRMED -> TERMINATED
 *
 * Bodies pass through untouched; what they mean (RFC 3264) is the leg's business. The session refuses a
 * message that may not carry an offer now (491 or 500 with Retry-After, RFC 3261 §14.2, RFC 6337) and
 * tells by `has_offer` what role a body plays.
 *
 * Owner:  a session belongs to whoever made it until on_closed has returned, which is exactly once, last.
 * Thread: loop thread. No function calls back before it returns.
 */
#pragma once

#include "sip/stack.h"
#include "sip/resolve.h"

struct sip_ua;
struct session;

struct sip_ua_params {
	struct sip_stack_params stack;
	struct resolver *resolver;   /* may be NULL: literals only */
	uint32_t next_target_ms;     /* without any response for so long a target is given up for the next; 0: 4000 */
	union sockaddr_any local;    /* unit tests, where there is no transport: our address */
};

/* One handler per method for requests outside dialogs. Must answer through st. */
typedef void sip_ua_request_fn(struct strans *st, const struct sip_msg *m, void *arg);

int sip_ua_new(struct sip_ua **out, const struct sip_ua_params *p);
/* Frees sessions and subscriptions without calling their handlers, then closes the stack. */
void sip_ua_close(struct sip_ua *ua);
struct sip_stack *sip_ua_stack(struct sip_ua *ua);
struct transport *sip_ua_transport(struct sip_ua *ua);
/* Our address as seen from dest. -EHOSTUNREACH. */
int sip_ua_local(const struct sip_ua *ua, const struct sip_dest *dest, union sockaddr_any *out);
/* Also adds the method to Allow. */
void sip_ua_handle(struct sip_ua *ua, enum sip_method method, sip_ua_request_fn *fn, void *arg);
/* Adds a method to Allow that session handlers take inside dialogs (INFO, REFER ...). */
void sip_ua_allow_in_dialog(struct sip_ua *ua, enum sip_method method);
/* An extension somebody above implements: goes into Supported, and a Require that names it isn't refused with
 * 420. The text must live as long as ua. -ENOSPC when there are too many. */
int sip_ua_support(struct sip_ua *ua, const char *option_tag);
/* The same for requests of one method outside dialogs alone; whoever handles it says so in its own Supported. */
int sip_ua_support_in(struct sip_ua *ua, enum sip_method method, const char *option_tag);
/* An event package that can be subscribed to: stands in Allow-Events of the answer to OPTIONS (RFC 6665 §7.2). */
void sip_ua_allow_event(struct sip_ua *ua, const char *package);
/* Who answers requests of strangers before anything is kept for them, so that they cost little: is asked of all requests outside dialogs
 * that have a handler and look as they should, also of those that show credentials, which may be made up. SIP_EARLY_REPLY: 401 with the challenge that it has written to hdrs, whole
 * lines; SIP_EARLY_KEEP: the handler is to see to it. At most one.
 * The user agent itself answers OPTIONS, and requests of dialogs that don't exist (481), in that way, as long as guard_asks() lets it. */
typedef enum sip_early sip_ua_early_fn(const struct sip_msg *m, const struct sip_source *src, struct out *hdrs, void *arg);
void sip_ua_on_early(struct sip_ua *ua, sip_ua_early_fn *fn, void *arg);
/* Told of every TCP flow that ends (registrar: bindings). At most one. */
void sip_ua_on_flow_closed(struct sip_ua *ua, void (*fn)(uint64_t flow, void *arg), void *arg);
/* Told of every STUN answer (outgoing.h: keep-alives). At most one. */
void sip_ua_on_stun(struct sip_ua *ua, void (*fn)(struct str answer, const struct sip_source *src, void *arg), void *arg);
/* transport_flow_expect(), transport_flow_ping(), transport_flow_close(). */
void sip_ua_flow_expect(struct sip_ua *ua, uint64_t flow, uint32_t every_s);
void sip_ua_flow_ping(struct sip_ua *ua, uint64_t flow, uint32_t every_s, bool must_answer);
void sip_ua_flow_close(struct sip_ua *ua, uint64_t flow);
unsigned sip_ua_sessions(const struct sip_ua *ua);
/* sip_req.patience_ms while there is another target to try. */
uint32_t sip_ua_next_target_ms(const struct sip_ua *ua);
/* The 200 to an OPTIONS; sdp: what we could describe, may be empty. A handler for OPTIONS gets those outside of dialogs that come with
 * credentials: all others are answered so without it. */
void sip_ua_answer_options(struct sip_ua *ua, struct strans *st, struct str sdp);
/* Everything we can do, as a line ("Allow: ...\r\n"). The session's own messages carry it already. */
const char *sip_ua_allow(const struct sip_ua *ua);

/* How a session came to its end; why_msg may be NULL. */
enum session_end {
	SESSION_BYE_RECEIVED, SESSION_BYE_SENT, SESSION_CANCELLED, /* by the caller (UAS) or by us (UAC) */
	SESSION_REJECTED,  /* final non-2xx received or sent */
	SESSION_TIMEOUT,   /* no final response, no ACK for our 2xx, no answer to a re-INVITE (408) */
	SESSION_FAILED     /* transport, no memory */
};

struct session_handler {
	/* UAC. 1xx above 100; repeats. 199: that early dialog is over (RFC 6228). The dialog tag may differ between calls (forks); m carries SDP perhaps. */
	void (*on_progress)(struct session *s, const struct sip_msg *m, void *arg);
	/* UAC, its INVITE without offer: a reliable response has one; write the answer for the PRACK into o. An error: none is sent. */
	int (*on_early_offer)(struct session *s, const struct sip_msg *m, struct out *o, void *arg);
	/* UAS. A reliable response was acknowledged; m has the answer when that had an offer. */
	void (*on_prack)(struct session *s, const struct sip_msg *m, void *arg);
	/* UAC. The first 2xx. It is ACKed by session_ack(), which the handler must call now or later (late offer: with an
	 * answer). Further 2xx of other forks are ACKed and BYEd by the session. */
	void (*on_answer)(struct session *s, const struct sip_msg *m, void *arg);
	/* UAS. The ACK of our 2xx came (with an answer if our 2xx had the offer). At most once per INVITE, re-INVITE included. */
	void (*on_ack)(struct session *s, const struct sip_msg *m, void *arg);
	/* A re-INVITE, UPDATE or PRACK with an offer from the peer, UPDATE and PRACK also before the answer. Answer with session_reply_offer(). has_offer false: late offer wanted
	 * (re-INVITE), or a mere refresh (UPDATE). */
	void (*on_reoffer)(struct session *s, struct strans *st, const struct sip_msg *m, bool has_offer, void *arg);
	/* Our re-INVITE was answered: m its final response (NULL on a local failure), status its code. A 2xx has been ACKed,
	 * unless the re-INVITE was without offer: then session_ack() must follow, with the answer. 491 is retried by
	 * the session after the time RFC 3261 §14.1 gives and not told, but for two cases: the peer offers something itself
	 * while we wait (491 with m NULL, told before its on_reoffer: what we would repeat is out of date, offer anew when
	 * the peer's exchange is over), or it said 491 ten times.
	 * When the answer ends the dialog (481, 408 ...) only on_closed is called. */
	void (*on_reoffer_done)(struct session *s, int status, const struct sip_msg *m, void *arg);
	/* INFO, NOTIFY, MESSAGE, REFER ... inside the dialog. NULL handler or false: 405 is sent by the session. Answer through st. */
	bool (*on_request)(struct session *s, struct strans *st, const struct sip_msg *m, void *arg);
	/* The session timer wants a re-INVITE that changes nothing (session_reinvite with the session as it is). NULL: one without
	 * offer is sent. A peer that allows UPDATE is asked by that, and nobody hears of it. */
	void (*on_refresh)(struct session *s, void *arg);
	/* Exactly once, last. status: SIP code that ended it (0 for BYE), m: the message, or NULL. */
	void (*on_closed)(struct session *s, enum session_end how, int status, const struct sip_msg *m, void *arg);
	/* May be NULL: may this in-dialog request pass? Called for requests other than ACK, CANCEL and BYE that come from
	 * another address than the dialog's own flow. false: the handler has answered (challenge). Those that pass
	 * move the flow: where the last request came from is where ours go, if the peer is behind NAT. */
	bool (*on_authorize)(struct session *s, struct strans *st, const struct sip_msg *m, void *arg);
};

/* Session timer (RFC 4028). */
struct session_timing {
	uint32_t expires_s;           /* the interval asked for; 0: none is, but one that the peer asks for is kept */
	uint32_t min_s;               /* shorter ones are refused with 422; at least 90 */
};

struct session_params {           /* UAC; all is copied */
	struct str target;            /* Request-URI */
	/* Where it is sent. Without a flow, and when the name in the route or target has other targets of the same address family, those
	 * are tried when it doesn't answer, can't be reached or says 503 (RFC 3263 §4.3), before anybody above hears of it. */
	struct sip_dest dest;
	struct str from_display, from_uri; /* From without tag; display unquoted, may be empty */
	struct str to_display, to_uri;
	struct str route;             /* Route header value(s), may be empty */
	struct str contact_user;      /* user part of our Contact, may be empty */
	struct str call_id;           /* empty: made */
	struct str hdrs;              /* further whole header lines */
	struct str dialog_hdrs;       /* lines for all requests and responses, as by session_set_hdrs() */
	const char *ctype;
	struct str body;
	bool is_offerless;            /* no description in body: the peer offers (on_early_offer, session_owes_answer()) */
	uint8_t max_forwards;         /* 0: 70 */
	const char *auth_user, *auth_password; /* answers 401/407 once; NULL: no */
	struct session_timing timing;
	uint32_t timeout_ms;          /* 0: none. No final answer within: CANCEL, then on_closed TIMEOUT */
	/* You have others to call in its place: without any answer it ends with TIMEOUT as soon as it would go to a next target. A 2xx that
	 * comes after all is acknowledged and ended. */
	bool has_rivals;
	/* SIP_OC_OFFER: he may ask for less (overload.h); MAY_WAIT: then he is spared this call, in favour of the next target; -EBUSY when
	 * there is none. */
	enum sip_oc oc;
};

int session_invite(struct session **out, struct sip_ua *ua, const struct session_params *p,
		   const struct session_handler *h, void *arg);
/* Takes an incoming INVITE (inside a sip_ua_request_fn). Sends nothing but the 100 the transaction sends. On an error the
 * caller still has to answer st. */
int session_accept(struct session **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
		   const struct session_handler *h, void *arg);

/* 0, or the Min-SE of the 422 with which this INVITE must be refused (RFC 4028 §9). */
uint32_t session_min_expires(const struct sip_msg *m, const struct session_timing *t);
/* The same, answered: true when it was refused. */
bool session_refuse_interval(struct strans *st, const struct sip_msg *m, const struct session_timing *t);
/* UAS, before the answer. */
void session_set_timing(struct session *s, const struct session_timing *t);

/* UAC: was this provisional response sent reliably? Then a description in it is the answer, not an announcement of it. */
bool session_is_reliable(const struct sip_msg *m);
/* UAS: may a provisional response carry an offer to this caller? (It acknowledges them.) */
bool session_can_be_reliable(const struct session *s);

/* Before the answer: the first offer has its answer for good, in a reliable response; UPDATE may change it. */
bool session_is_agreed_early(const struct session *s);

/* UAS: 101..199. Sent reliably if the caller requires it, or supports it and there is a body; then one that is to follow waits for the
 * PRACK, as does the answer, and once acknowledged a description isn't sent again. body may be empty. Repeated every minute until the answer (RFC 3261 §13.3.1.1). These three: -EALREADY when
 * the INVITE has been answered or the session has ended. */
int session_progress(struct session *s, int status, const char *hdrs, const char *ctype, struct str body);
/* UAS: 200, retransmitted until ACK; without an ACK in 64*T1 the session BYEs and ends with TIMEOUT. */
int session_answer(struct session *s, const char *hdrs, const char *ctype, struct str body);
/* UAS, before the answer: 300..699. */
int session_reject(struct session *s, int status, const char *reason, const char *hdrs);
/* UAC, in on_answer: the 2xx has the offer, for no reliable response of its fork had one. */
bool session_owes_answer(const struct session *s);
/* UAC: acknowledges the 2xx, with an answer when the 2xx had the offer. */
int session_ack(struct session *s, const char *ctype, struct str body);
/* May session_reinvite() be called now? Once confirmed, or earlier if the first offer has its answer for good and the peer allows UPDATE. Not while an offer is under way either way, or a 2xx awaits its ACK. */
bool session_can_offer(const struct session *s);
/* Either side: re-INVITE, or UPDATE before the answer (on_reoffer_done tells how that went as well). body empty: without offer. -EBUSY: one is under way (ours or theirs). */
int session_reinvite(struct session *s, const char *hdrs, const char *ctype, struct str body);
/* Is the answer to on_reoffer still due, or has the offer been withdrawn (CANCEL)? */
bool session_owes_reply(const struct session *s, const struct strans *st);
/* Answers on_reoffer: 200 with a body (status 200) or an error status. */
int session_reply_offer(struct session *s, struct strans *st, int status, const char *hdrs, const char *ctype, struct str body);
/* Any other request in the dialog (INFO, NOTIFY, MESSAGE). fn may be NULL; called once with the final response, or NULL. */
int session_request(struct session *s, const char *method, const char *hdrs, const char *ctype, struct str body,
		    void (*fn)(const struct sip_msg *m, void *arg), void *arg);
/* Ends it whatever its state: CANCEL, BYE, or reject with status (UAS unanswered; 0: 480). hdrs: e.g. Reason. on_closed
 * follows (never from inside this call), as soon as the loop turns: the peer's answer isn't waited for, what the
 * protocol still has to do (a 2xx that crosses our CANCEL gets ACK and BYE) goes on alone. A second call does nothing. */
void session_close(struct session *s, int status, const char *hdrs);
/* Forgets the handler: no more calls, the session ends itself as by session_close. */
void session_detach(struct session *s, int status, const char *hdrs);

/* Whole header lines (Session-ID) that all requests and responses of the dialog have from now on, those of its other usages
 * and forks too; copied. -ENOMEM: as before. */
int session_set_hdrs(struct session *s, struct str hdrs);

/* May an UPDATE that changes no media be sent now? The call is answered, nothing is under way, and the peer allows UPDATE. */
bool session_can_update(const struct session *s);
/* Sends it, with these lines. It refreshes the session, too; a refusal changes nothing. */
int session_update(struct session *s, const char *hdrs);
/* RFC 4916: has the peer said that From may change (from-change)? Then session_set_local() sets it for our requests from now on:
 * "Name" <uri>, copied; and while on_reoffer runs session_is_from_new() tells that the peer's has changed. */
bool session_takes_from(const struct session *s);
int session_set_local(struct session *s, struct str name_addr);
bool session_is_from_new(const struct session *s);

enum session_state { SESSION_ST_CALLING, SESSION_ST_RECEIVED, SESSION_ST_EARLY, SESSION_ST_CONFIRMED, SESSION_ST_TERMINATED };
enum session_state session_state(const struct session *s);
struct str session_call_id(const struct session *s);
struct str session_local_tag(const struct session *s);
struct str session_remote_tag(const struct session *s);
struct str session_target(const struct session *s); /* where our requests are addressed to: the peer's Contact, or whom we called */
/* UAS: the INVITE, held until the ACK of its 2xx has come and on_ack has returned, then NULL; UAC: NULL. */
const struct sip_msg *session_invite_msg(const struct session *s);
/* UAS: where the peer's last request came from (at first the INVITE); UAC: where the INVITE went, until the peer sends one. */
const struct sip_source *session_source(const struct session *s);
/* Our address in this dialog, for SDP. */
int session_local_addr(const struct session *s, union sockaddr_any *out);

/* ---- subscriptions: the notifier's side (RFC 6665) ---- */

struct subscription;
struct subscription_handler {
	/* Send full state by subscription_notify. expires_s 0: the last one. */
	void (*on_refresh)(struct subscription *sub, uint32_t expires_s, void *arg);
	/* May be NULL: no NOTIFY is under way any more, and none waits. */
	void (*on_notified)(struct subscription *sub, void *arg);
	/* May be NULL: may this SUBSCRIBE refresh it, which comes from another address than those before? false: the handler has
	 * answered (challenge). */
	bool (*on_authorize)(struct subscription *sub, struct strans *st, const struct sip_msg *m, void *arg);
	/* Exactly once, last: expired, ended (by us too), peer gone. */
	void (*on_closed)(struct subscription *sub, void *arg);
};
/* Accepts a SUBSCRIBE (200 with Expires), keeps its dialog and its expiry. The caller has checked Event and sends the first state by
 * subscription_notify. expires_s 0: one state and no more. -EINVAL without Event or Contact: the caller still has to answer. */
int subscription_accept(struct subscription **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
			uint32_t expires_s, const struct subscription_handler *h, void *arg);
/* What a refresh may ask for: less than min_s (but 0) gets 423, more than max_s gets max_s, as does one that asks for nothing. */
void subscription_limit(struct subscription *sub, uint32_t min_s, uint32_t max_s);
/* NOTIFY with state active (or terminated when the subscription has ended). One at a time: while one is under way the
 * newest body waits. -ENOTCONN: it has ended. */
int subscription_notify(struct subscription *sub, const char *ctype, struct str body);
void subscription_close(struct subscription *sub, const char *reason); /* NOTIFY terminated;reason= */
/* A REFER outside of a dialog subscribes to what comes of it (RFC 3515 §2.4.4): 202, event "refer". As subscription_accept(). */
int subscription_accept_refer(struct subscription **out, struct sip_ua *ua, struct strans *st, const struct sip_msg *m,
			      uint32_t expires_s, const struct subscription_handler *h, void *arg);
/* The last state, behind the NOTIFY under way, with terminated;reason=. The handler hears no more of it, on_closed neither. */
void subscription_finish(struct subscription *sub, const char *reason, const char *ctype, struct str body);
struct str subscription_event(const struct subscription *sub); /* its Event, with parameters, as subscribed to */
/* A NOTIFY is under way. */
bool subscription_is_notifying(const struct subscription *sub);

/* What another process needs to go on with a subscription: texts of its dialog, as they are in its requests. */
struct subscription_kept {
	struct str call_id, local_tag, remote_tag, local, remote, target, contact_user, event;
	struct str routes;              /* a line each */
	uint32_t local_seq, remote_seq; /* of the last NOTIFY and the last SUBSCRIBE */
	enum sip_proto proto;           /* where the last SUBSCRIBE came from */
	union sockaddr_any peer;
};
/* The texts are the subscription's: valid until the next of its events. */
void subscription_keep(const struct subscription *sub, struct subscription_kept *out);
/* Takes up one that was kept; *k is copied. The next NOTIFY has a CSeq above k->local_seq. The caller sends the state. -EINVAL: a tag
 * that we didn't make, or is in use. */
int subscription_restore(struct subscription **out, struct sip_ua *ua, const struct subscription_kept *k, uint32_t expires_s,
			 const struct subscription_handler *h, void *arg);

/* session_int.h - the insides of a session, shared by session*.c.
 *
 * session.c        life: state, end, reaping, what both roles do alike
 * session_uac.c    our INVITEs and re-INVITEs: answers, forks, ACKs, CANCEL
 * session_early.c  the early dialogs of our INVITEs, PRACK to their reliable responses
 * session_rel.c    our reliable responses, until their PRACK (RFC 3262)
 * session_timer.c  refreshes and expiry (RFC 4028)
 * session_update.c UPDATEs that change no media, and who is at the two ends (RFC 3311, RFC 4916)
 * session_uas.c    the peer's INVITEs, re-INVITEs and UPDATEs: answers, 2xx until ACK, glare
 * refer.c          the subscriptions that REFERs in its dialog imply
 *
 * How it ends: session_end() makes the state TERMINATED and tells on_closed, at once or from a 0 ms timer. What the
 * protocol still wants (a BYE's answer, an ACK to wait for before the BYE, the final response of a cancelled INVITE)
 * goes on without the owner; when nothing is left the session frees itself, always from that timer, so no handler and
 * no caller of ours ever finds it gone under its feet.
 */
#pragma once

#include "sip/request.h"

/* One INVITE, re-INVITE of ours and the ACKs of its 2xx; freed when no 2xx can come any more. */
struct uac_offer {
	struct uac_offer *prev, *next;
	struct session *session;
	struct request req;
	bool is_initial, had_offer;
	bool is_answered, is_acked;   /* by a 2xx; by us */
	struct ack ack;
};

/* A 2xx of another fork than the one we talk to, or one that came after our CANCEL: ACKed and BYEd. */
struct fork {
	struct fork *next;
	struct dialog dialog;
	struct ack ack;
};

/* One INVITE, re-INVITE or UPDATE of the peer: until it is answered, and a 2xx to INVITE until its ACK. */
struct uas_offer {
	struct uas_offer *prev, *next;
	struct session *session;
	struct strans *st;            /* NULL: gone */
	enum sip_method method;
	uint32_t cseq;
	bool is_initial, had_offer;
	bool waits_for_ack;           /* a 2xx was sent */
	int16_t progress_status;      /* the last 1xx */
	uint64_t deadline_ms;
	uint32_t interval_ms;
	struct timer timer;           /* repeats the 2xx */
};

/* An early dialog that isn't the only one, or has had a reliable response. */
struct early {
	struct early *next;
	struct dialog *dialog;        /* for our requests in it; NULL: none yet */
	uint32_t rseq;                /* of the last reliable response, 0: none */
	bool has_remote_seq, is_over; /* is_over: by 199 or BYE */
	bool is_agreed;               /* offer and answer are done, by a reliable response */
	bool peer_updates;
	uint32_t remote_seq;
	char tag[];
};

/* Any other request of ours. */
struct session_req {
	struct session_req *prev, *next;
	struct session *session;
	struct request req;
	void (*fn)(const struct sip_msg *m, void *arg);
	void *arg;
};

struct session_timer {
	uint32_t want_s, min_s;       /* what we ask for */
	uint32_t interval_s;          /* agreed; 0: none */
	bool is_refresher;            /* we refresh */
	uint8_t nraises;              /* 422s followed */
	uint64_t bye_at_ms;
	struct timer timer;           /* half the interval, then bye_at_ms */
};

struct session {
	struct dialog dialog;
	const struct session_handler *handler; /* of nothing but NULLs once detached */
	void *arg;
	struct uac_offer *uac;
	struct uas_offer *uas;
	struct session_req *reqs;
	struct fork *forks;
	struct early *earlies;
	struct rel *rel;              /* NULL: no reliable response sent */
	struct refer *refers;         /* further usages of the dialog, which outlive ours */
	struct uac_offer *retry;      /* our re-INVITE that got 491 and waits */
	struct sip_msg *invite;       /* UAS: until the ACK */
	char *bye_hdrs;               /* for a BYE that waits for an ACK */
	struct timer reaper;          /* 0 ms: tells the end, frees */
	struct timer timer;           /* the one long wait of the state: see session_timer() */
	struct session_timer st;
	uint64_t expires_at_ms;       /* UAS: the INVITE's Expires, UINT64_MAX: none */
	int end_status;
	uint8_t state, end, retries;
	bool is_told, waits_to_bye, is_cancelling;
	bool peer_updates;            /* it allows UPDATE */
	bool peer_changes_from, is_from_new; /* RFC 4916: it takes another From, and its last re-INVITE or UPDATE had one */
};

extern const struct dialog_usage session_usage;

/* ---- session.c ---- */

int session_alloc(struct session **out, const struct session_handler *h, void *arg);
/* The one place where the state changes; false for a move the table doesn't have. */
bool session_set_state(struct session *s, enum session_state to);
/* Ends it and tells, from a callback of the stack or a timer. Does nothing when it has ended. */
void session_end(struct session *s, enum session_end how, int status, const struct sip_msg *m);
/* Sends a request other than INVITE in d, the session's dialog or a fork's. */
int session_send_request(struct session *s, struct dialog *d, const struct request_params *p,
			 void (*fn)(const struct sip_msg *m, void *arg), void *arg);
/* Sends BYE, now or (UAS) when the ACK has come. */
void session_bye(struct session *s, const char *hdrs);
/* Something the end waited for has happened. */
void session_reap(struct session *s);
/* A final non-2xx to a request in the dialog, or none (-err): does it end the dialog (RFC 5057, RFC 3261 §12.2.1.2)?
 * Then it has sent BYE and told the end. */
bool session_failed_by(struct session *s, int status, const struct sip_msg *m);

/* ---- session_uac.c ---- */

void uac_stray_2xx(struct session *s, const struct sip_msg *m, const struct sip_source *src);
bool uac_is_pending(const struct session *s);    /* an INVITE of ours without a final response */
bool uac_is_reoffering(const struct session *s); /* another than the first */
bool uac_owes_ack(const struct session *s);
void uac_ack_all(struct session *s);             /* what our owner didn't ACK, before BYE */
void uac_cancel(struct session *s, struct str hdrs);
void uac_retry_now(struct session *s);           /* the wait after 491 is over */
void uac_retry_drop(struct session *s);
void uac_retry_overtaken(struct session *s);     /* the peer makes an offer during it */
void uac_free_all(struct session *s);
void uac_linger_over(struct session *s);         /* no answer can come any more */

/* ---- session_early.c ---- */

struct early *early_find(const struct session *s, struct str tag);
/* The session's dialog becomes that of the fork this response is from. */
int early_switch(struct session *s, const struct sip_msg *m);
/* ... and is now established: goes on counting where the early one was. */
void early_confirm(struct session *s);
/* A provisional response with a tag: false when it isn't to be looked at: repeated, out of order. Sends PRACK. */
bool early_take_1xx(struct session *s, const struct uac_offer *u, const struct sip_msg *m);
/* A request from another fork than the dialog's: 0, -ENOENT no such early dialog, -EINVAL its CSeq is too low. */
int early_take_seq(struct session *s, const struct sip_msg *m);
void early_over(struct session *s, struct str tag);
void early_tidy(struct session *s);
void early_free_all(struct session *s);

/* ---- session_rel.c ---- */

bool rel_is_wanted(const struct session *s, bool has_sdp);
bool rel_is_waiting(const struct session *s);
bool rel_is_owed(const struct session *s); /* its PRACK hasn't come, whether it is waited for or not */
bool rel_is_agreed(const struct session *s);
bool rel_holds_answer(const struct session *s);
/* What follows the response that waits for its PRACK. */
int rel_hold(struct session *s, int status, const char *hdrs, const char *ctype, struct str body);
/* The next response is one; rel_sent() when it is out, rel_end() if it couldn't be sent. */
int rel_begin(struct session *s, const struct uas_offer *invite, bool has_sdp);
void rel_sent(struct session *s);
void rel_print(const struct session *s, struct out *o);
void rel_prack(struct session *s, struct strans *st, const struct sip_msg *m);
void rel_end(struct session *s);
void rel_free(struct session *s);

/* ---- session_timer.c ---- */

void timer_setup(struct session *s);
void timer_end(struct session *s);
/* Session-Expires of our INVITEs and UPDATEs. */
void timer_print_request(const struct session *s, struct out *o);
/* A 2xx to one of them: what has been agreed; the interval begins. */
void timer_take_2xx(struct session *s, const struct sip_msg *m);
/* A 422: true when it is worth to ask again, with the longer interval. */
bool timer_raise(struct session *s, const struct sip_msg *m);
/* The peer's re-INVITE or UPDATE m asks for too short an interval: true, and answered 422. */
bool timer_refuse(struct session *s, struct strans *st, const struct sip_msg *m);
/* Into our 2xx to the peer's INVITE or UPDATE m; the interval begins. */
void timer_print_2xx(struct session *s, const struct sip_msg *m, struct out *o);

/* ---- session_update.c ---- */

/* What it says of itself in what forms the dialog, or is a request in it. */
void update_learn(struct session *s, const struct sip_msg *m);
void update_take_from(struct session *s, const struct sip_msg *m); /* a re-INVITE or UPDATE */
void update_done(const struct sip_msg *m, void *arg); /* the answer to an UPDATE of the session arg; NULL: none came */

/* ---- session_uas.c ---- */

void uas_repeat(struct session *s);              /* the last response to the first INVITE */
void uas_prack(struct session *s, struct strans *st, const struct sip_msg *m);
void uas_reoffer(struct session *s, struct strans *st, const struct sip_msg *m);
void uas_ack(struct session *s, const struct sip_msg *m);
bool uas_is_pending(const struct session *s);    /* an offer of the peer without a final response */
bool uas_is_reoffering(const struct session *s); /* another than the first */
bool uas_awaits_ack(const struct session *s);
bool uas_initial_awaits_ack(const struct session *s);
void uas_reject_pending(struct session *s, int status, const char *reason, const char *hdrs);
void uas_set_hdrs(struct session *s, struct str hdrs);
void uas_wait_over(struct session *s);           /* unanswered: a minute without a word, or the INVITE has expired */
void uas_free_all(struct session *s);

/* ---- refer.c ---- */

void refer_subscribe(struct session *s, struct strans *st, const struct sip_msg *m); /* SUBSCRIBE in the dialog */
void refer_end_all(struct session *s); /* the peer knows nothing of the dialog any more */
void refer_drop_all(struct session *s);

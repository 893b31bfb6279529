/* request.h - one request of ours in a dialog, from sending to its last response. Inside sip/ alone.
 *
 * Writes it with the dialog's headers, sends it the dialog's way, and answers a challenge with the dialog's
 * credentials (RFC 3261 §22.2: same Call-ID and tags, the next CSeq, a new transaction) before anybody above
 * hears of it. When a target doesn't answer, can't be reached or says 503, the same request goes to the next one in a
 * new transaction (RFC 3263 §4.3); the last one's word is what is heard.
 *
 * Owner:  embedded in a usage's object, which outlives neither the dialog nor its own on_done.
 * Thread: loop thread.
 */
#pragma once

#include "sip/dialog.h"

struct request;

struct request_handler {
	/* Every response but a challenge that was answered. After a final non-2xx, or one to another method
	 * than INVITE, the request is over: on_done isn't called any more. */
	void (*on_response)(struct request *r, const struct sip_msg *m);
	/* err 0: the INVITE's transaction has ended after a 2xx, no more 2xx will come. Otherwise no final
	 * response came: -ETIMEDOUT or the transport's error. */
	void (*on_done)(struct request *r, int err);
};

struct request_params {
	const char *method;
	struct str hdrs;         /* further whole lines */
	const char *ctype;
	struct str body;
	uint8_t max_forwards;    /* 0: 70 */
	bool keeps_content;      /* so that request_resend() can send it again */
};

struct request {
	struct dialog *dialog;
	const struct request_handler *handler;
	struct ctrans *ct;       /* NULL: over */
	enum sip_method method;
	uint32_t cseq, first_cseq; /* of the last time it was sent, the first */
	char *method_name;
	char *hdrs, *ctype, *body; /* NULL where not kept */
	size_t body_len;
	char *auth;              /* the (Proxy-)Authorization line it carried, "" for none */
	uint8_t max_forwards, answered_challenges;
	uint8_t ntried;          /* targets given up */
	bool is_kept;            /* hdrs, ctype, body: so that it can be sent again */
	bool has_progress, has_final, is_cancelled;
};

/* Sends it. On an error r needs no request_fini(). */
int request_start(struct request *r, struct dialog *d, const struct request_params *p, const struct request_handler *h);
/* Once more, as a new transaction with the next CSeq (after 491). Needs keeps_content. */
int request_resend(struct request *r);
/* It won't be sent again. */
void request_drop_content(struct request *r);
/* CANCEL of an INVITE without a final response. Challenges are no longer answered. */
void request_cancel(struct request *r, struct str hdrs);
/* No more calls; the transaction ends alone. */
void request_fini(struct request *r);

/* The ACK of a 2xx: kept as it was sent, for every retransmission of the 2xx (RFC 3261 §13.2.2.4). */
struct ack {
	char *uri, *hdrs, *ctype, *body;
	size_t body_len;
	bool is_sent;            /* at least once */
	struct dialog *waits;    /* for its target's name to be looked up; NULL: doesn't */
};
/* cseq: that of the 2xx, which may be the answer to an earlier sending of the INVITE. ctype NULL: no body. */
int ack_make(struct ack *a, const struct request *invite, uint32_t cseq, const struct dialog *d, const char *ctype, struct str body);
/* Where the dialog's name leads; while that is being looked up the ACK waits, and goes by itself then. */
int ack_send(struct ack *a, struct dialog *d);
void ack_fini(struct ack *a);

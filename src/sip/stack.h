/* stack.h - the transaction layer over the transports (RFC 3261 §17, RFC 6026, RFC 4320).
 *
 *   transport bytes -> stack (matches transactions) -> handler: new requests, 2xx ACKs, stray responses
 *
 * Four machines, each an explicit table (state, event) -> (action, state): INVITE client (figure 5 with
 * RFC 6026 Accepted), non-INVITE client (figure 6), INVITE server (figure 7 with Accepted), non-INVITE
 * server (figure 8). Timers keep the standard's letters.
 *
 * Owner:  transactions belong to the stack and end by themselves. A handle is valid until its
 *         on_terminated handler has returned; whoever keeps one clears it there.
 * Thread: loop thread. No handler is called before the function that could cause it returns.
 */
#pragma once

#include "base/clock.h"
#include "base/out.h"
#include "base/rng.h"
#include "base/timer.h"
#include "sip/transport.h"

#define SIP_T1_MS 500
#define SIP_T2_MS 4000
#define SIP_T4_MS 5000

struct guard;
struct resolver;
struct sip_reply;
struct sip_stack;
struct ctrans;
struct strans;
struct digest_proof;

struct sip_stack_params {
	uv_loop_t *loop;            /* NULL in unit tests: then `send` replaces the transports */
	struct timers *timers;
	struct rng *rng;
	const struct clock *clock;
	const struct log *log;
	const char *server;         /* Server and User-Agent value */
	struct resolver *resolver;  /* told which targets answer and which don't; may be NULL */
	struct guard *guard;        /* unit tests: in place of the transports' */
	unsigned loss_percent;      /* the same: overload.h */
	/* Unit tests: takes what would be sent. */
	int (*send)(const struct sip_dest *dest, struct str bytes, void *arg);
	void *send_arg;
};

/* What becomes of a request before anything is kept for it. */
enum sip_early { SIP_EARLY_KEEP /* it gets a transaction */, SIP_EARLY_REPLY /* answered at once (RFC 3261 §8.2.7) */, SIP_EARLY_DROP };

struct sip_stack_handler {
	/* First of all, for the same requests as on_request; may be NULL. To REPLY it fills *r: a final response, the texts of which live until
	 * the next call. */
	enum sip_early (*on_early)(const struct sip_msg *m, const struct sip_source *src, struct sip_reply *r, void *arg);
	/* A new request other than ACK and CANCEL, already checked (RFC 3261 §8.2: Via, To-tag, CSeq, Require is the
	 * upper layer's). m is valid until the handler returns. Must answer now or later with strans_reply. */
	void (*on_request)(struct strans *st, const struct sip_msg *m, void *arg);
	/* An ACK that belongs to no transaction: that of a 2xx. */
	void (*on_ack)(const struct sip_msg *m, const struct sip_source *src, void *arg);
	/* A 2xx to INVITE that belongs to no client transaction (late fork, RFC 6026 §7.2), or to one that was detached. */
	void (*on_stray_2xx)(const struct sip_msg *m, const struct sip_source *src, void *arg);
	void (*on_flow_closed)(uint64_t flow, void *arg);
	/* May be NULL; as transport_handler's. */
	void (*on_stun)(struct str answer, const struct sip_source *src, void *arg);
};

int sip_stack_new(struct sip_stack **out, const struct sip_stack_params *p,
		  const struct sip_stack_handler *h, void *arg);
void sip_stack_close(struct sip_stack *s);   /* drops all transactions without calling handlers */
struct transport *sip_stack_transport(struct sip_stack *s);
/* Feeds a message as if received (unit tests and the transports). */
void sip_stack_receive(struct sip_stack *s, struct sip_msg *m, const struct sip_msg_error *err,
		       const struct sip_source *src);

/* Sends what is no message of SIP: a STUN request. */
int sip_stack_send_bytes(struct sip_stack *s, const struct sip_dest *dest, struct str bytes);

struct sip_stack_counters {
	uint64_t requests, responses, retransmissions_received, retransmissions_sent, ctrans_timeouts, strans_timeouts,
		 malformed, stray_responses, merged, shed, early, spared;
	unsigned ctrans_live, strans_live;
};
const struct sip_stack_counters *sip_stack_counters(const struct sip_stack *s);

/* ---- server transactions ---- */

struct strans_handler {
	/* A CANCEL came for this INVITE, was answered 200; m is the CANCEL (Reason). Answer the INVITE with 487. At most once; of one
	 * that came before the handler was set it is told right after. */
	void (*on_cancel)(struct strans *st, const struct sip_msg *m, void *arg);
	/* Last call. err: 0 ended in its ordinary way, -ETIMEDOUT no ACK for a final non-2xx (timer H), -EIO transport. */
	void (*on_terminated)(struct strans *st, int err, void *arg);
};
/* Without a handler the request is a fire-and-forget answer. */
void strans_set_handler(struct strans *st, const struct strans_handler *h, void *arg);
/* The request, held by the transaction until it has been answered with a final response and the loop has turned; then NULL. */
const struct sip_msg *strans_msg(const struct strans *st);
const struct sip_source *strans_source(const struct strans *st);
struct sip_stack *strans_stack(const struct strans *st);

/* The To tag its responses get from now on, where a reply names none; that of the 200 to a CANCEL too (RFC 3261 §9.2). */
void strans_set_tag(struct strans *st, struct str tag);

/* Whole header lines that all its responses have from now on, that of the 200 to a CANCEL too; copied. Without memory they are
 * missing. */
void strans_set_hdrs(struct strans *st, struct str hdrs);
/* The same for its 2xx. */
void strans_set_hdrs_2xx(struct strans *st, struct str hdrs);
/* The line of it that depends on their body (digest.h): taken over. */
void strans_set_proof(struct strans *st, struct digest_proof *proof);

/* Sends a response. hdrs: whole header lines, each ending in CRLF (Contact, Allow, ...; not Via, From, To,
 * Call-ID, CSeq, Content-*, Server, which are written here). reason NULL: the standard phrase. to_tag: put on
 * To when it has none; STR_NULL makes a stable one. ctype NULL: no body. Record-Route is copied into
 * dialog-forming responses of the INVITE and SUBSCRIBE (1xx above 100, 2xx).
 * A provisional response to another method than INVITE is refused with -EINVAL: the transaction sends its 100 by itself when it is
 * time (RFC 4320 §4.1). A 408 to such a request isn't sent, nor is any answer after 64*T1, when who asked has given up (§4.2): it
 * ends in silence, and 0 is returned.
 * A second final response is refused with -EALREADY (but the same 2xx of an INVITE may be repeated by the
 * session's retransmission timer through strans_repeat). */
struct sip_reply {
	int status;
	const char *reason;
	struct str to_tag;
	struct str hdrs;
	const char *ctype;
	struct str body;
};
int strans_reply(struct strans *st, const struct sip_reply *r);
int strans_reply_simple(struct strans *st, int status, const char *hdrs /* may be NULL */);
/* Sends the last response to an INVITE once more: a 2xx until its ACK comes (RFC 3261 §13.3.1.4), a reliable 1xx until its PRACK
 * (RFC 3262 §3); the session times it. */
int strans_repeat(struct strans *st);
/* The ACK of its 2xx has come: the transaction takes what is left of the INVITE for half a minute, and needs the 2xx no more. */
void strans_acked(struct strans *st);

/* ---- client transactions ---- */

struct ctrans_handler {
	/* Every response but 100: 1xx may repeat; one final. Forked 2xx may repeat with other To tags while
	 * in Accepted. */
	void (*on_response)(struct ctrans *ct, const struct sip_msg *m, void *arg);
	/* Last call. err: 0; -ETIMEDOUT (timer B or F) or a transport error, both only if no final response came. */
	void (*on_terminated)(struct ctrans *ct, int err, void *arg);
};

/* Overload control of the peer (overload.h): isn't offered; is; and the request, a new call, isn't sent when he has too much to do. */
enum sip_oc { SIP_OC_NONE, SIP_OC_OFFER, SIP_OC_MAY_WAIT };

struct sip_req {
	struct str method;
	struct str uri;       /* Request-URI as text */
	struct str hdrs;      /* whole lines: From, To, Call-ID, CSeq, Max-Forwards, Contact, Route, ... without Via, Content-* */
	const char *ctype;    /* NULL: no body */
	struct str body;
	const char *via_params; /* stand in the Via, too: ";keep"; NULL: none */
	/* Without any response for so long it ends with -ETIMEDOUT, as with timer B or F: there is another target to try. An INVITE is
	 * cancelled if it is answered after all, and a late 2xx goes to on_stray_2xx. 0: those timers alone. */
	uint32_t patience_ms;
	enum sip_oc oc;
};

/* Sends a request in a new transaction; everything is copied. One that is too large for UDP goes by TCP where dest says that it may, and
 * by UDP after all when there is no TCP (RFC 3261 §18.1.1); that is remembered. 0, or -ENOMEM, -EINVAL (too large), -EBUSY
 * (SIP_OC_MAY_WAIT), or the transport's error at once (then no handler is called). */
int ctrans_start(struct ctrans **out, struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest,
		 const struct ctrans_handler *h, void *arg);
/* CANCEL of an INVITE (RFC 3261 §9.1): sent now or as soon as a provisional response has come; nothing after a final. hdrs may
 * carry Reason. If no final response comes within 64*T1 after it, the INVITE ends with -ETIMEDOUT. */
int ctrans_cancel(struct ctrans *ct, struct str hdrs);
/* The connection or listener it went by last; 0: none yet. */
uint64_t ctrans_flow(const struct ctrans *ct);
/* No more handler calls; the transaction goes on to its end alone (an INVITE's final response is still ACKed, if it
 * comes within 64*T1). */
void ctrans_detach(struct ctrans *ct);
/* Sends the ACK of a 2xx or another request that is no transaction of its own. Via is added. One that is too large for UDP goes by TCP
 * where dest says that it may; whether it arrived isn't known, so who sends it again takes has_tcp off dest. */
int sip_stack_send_stateless(struct sip_stack *s, const struct sip_req *r, const struct sip_dest *dest);

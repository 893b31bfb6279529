/* stack_int.h - between stack.c (matching, transports) and the transaction machines in ctrans.c and strans.c.
 *
 * Owner:  struct sip_stack, of the transactions. Thread: loop thread.
 */
#pragma once

#include "base/table.h"

#include "base/hash.h"
#include "base/index.h"
#include "sip/overload.h"
#include "sip/stack.h"

#define SIP_BRANCH_COOKIE "z9hG4bK"
#define SIP_KEY_MAX 512              /* a transaction's key; longer branches belong to nobody we know */
#define STRANS_BYTES_MAX (256u << 20) /* held by server transactions, most of which only wait: a flood takes no more */
#define SIP_TIMER_B_MS (64 * SIP_T1_MS)
#define SIP_TIMER_D_MS 32000         /* RFC 3261 table 4: at least 32 s over UDP */

struct sip_stack {
	struct sip_stack_params p;
	struct sip_stack_handler h;
	void *arg;
	struct transport *transport;
	struct ctrans *ctrans;       /* by branch and method */
	struct index strans;         /* by key */
	size_t strans_bytes;         /* what they hold: themselves, requests and responses */
	size_t strans_bytes_max;
	struct index merge;          /* the same, by From tag, Call-ID and CSeq: RFC 3261 §8.2.2.2 */
	unsigned char tag_key[HASH_KEY]; /* of the To tags of answers without a transaction, and of the tables of transactions */
	char scratch[4096];          /* a message while it is written; what is longer goes to the heap */
	struct reroute *reroutes;    /* utlist */
	unsigned nreroutes;
	struct overload overload;    /* of peers that we send to */
	int64_t seq_ms;              /* from the monotonic clock to one that rises over restarts, too */
	struct sip_stack_counters n;
};

int stack_send(struct sip_stack *s, const struct sip_dest *dest, struct str bytes, uint64_t *flow);
/* What is answered to who hasn't shown who he is, and done for that, has a limit for each source. Counts it. */
bool stack_is_worth_an_answer(const struct sip_stack *s, const struct sip_source *src);
/* By how many per cent those who can are to send less; 0: no need. */
unsigned stack_loss(const struct sip_stack *s);
static inline bool is_reliable(enum sip_proto p) { return p != SIP_UDP; }

/* ctrans.c */
struct ctrans *ctrans_find(struct sip_stack *s, const struct sip_msg *m);
void ctrans_receive(struct ctrans *ct, const struct sip_msg *m);
bool ctrans_is_detached(const struct ctrans *ct);
void ctrans_flow_closed(struct sip_stack *s, uint64_t flow);
void ctrans_free_all(struct sip_stack *s);

/* strans.c */
struct strans_key { uint64_t hash; unsigned len; char text[SIP_KEY_MAX]; };
struct strans_keys { struct strans_key own, merge; }; /* merge.len 0: it has none */
int strans_key(const struct sip_stack *s, const struct sip_msg *m, enum sip_method method, struct strans_key *key); /* -EINVAL: too long */
void strans_merge_key(const struct sip_stack *s, const struct sip_msg *m, struct strans_key *key);
struct strans *strans_find(const struct sip_stack *s, const struct strans_key *key);
/* Another transaction for the same request that came by another way (a forking proxy before us). */
bool strans_is_merged(const struct sip_stack *s, const struct strans_key *merge);
int strans_new(struct strans **out, struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src,
	       const struct strans_keys *keys);
void strans_request_again(struct strans *st);
bool strans_ack(struct strans *st);  /* false: the ACK of a 2xx, for the session */
void strans_cancel(struct strans *st, const struct sip_msg *cancel);
struct str strans_to_tag(const struct strans *st); /* that its responses have or will have */
struct str strans_hdrs(const struct strans *st);   /* those of strans_set_hdrs() */
void strans_after_request(struct strans *st);
void strans_free_all(struct sip_stack *s);

/* reroute.c: an answer whose connection has gone. It is sent to where the request came from (src), else where its Via leads. An error: nowhere. */
int reroute_send(struct sip_stack *s, const struct sip_source *src, const struct sip_dest *gone, struct str bytes);
void reroute_flow_closed(struct sip_stack *s, uint64_t flow);
void reroute_free_all(struct sip_stack *s);

/* response.c: writes a response to a request as RFC 3261 §8.2.6 says. h: whole lines that stand in all responses to it, and in its 2xx. */
struct response_hdrs { struct str all, success; const struct digest_proof *proof; };
void response_write(struct out *o, const struct sip_stack *s, const struct sip_msg *m, const struct sip_source *src,
		    const struct sip_reply *r, const char *own_tag, const struct response_hdrs *h);
/* The last part of any message: who speaks (server may be NULL), Content-* and the body (ctype NULL: none). */
void write_end(struct out *o, const char *name, const char *server, const char *ctype, struct str body);
/* Where it goes (RFC 3261 §18.2.2, RFC 3581 §4). */
void response_dest(struct sip_dest *out, const struct sip_msg *m, const struct sip_source *src);

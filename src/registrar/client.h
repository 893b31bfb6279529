/* client.h - a request of ours outside dialogs, REGISTER or OPTIONS: looked up, sent, answered.
 *
 * Its way is its first route's, else its Request-URI's (RFC 3263). When a target doesn't answer, can't be reached or says 503, the
 * next is tried; the one that worked is where the next request of the same client goes first. A challenge is answered
 * (RFC 3261 §22.2), one that a 2xx has given the nonce for isn't waited for (RFC 7616 §3.5). Call-ID and From tag are the client's, CSeq goes on.
 *
 * Owner:  embedded in whatever asks. client_init to client_fini; one request at a time.
 * Thread: loop thread. on_done is never called before client_send returns, and may call client_send or client_fini.
 */
#pragma once

#include "sip/resolve.h"
#include "sip/ua.h"

struct client_env {
	struct sip_ua *ua;
	struct resolver *resolver;   /* NULL: literal addresses alone */
	struct timers *timers;
	const struct clock *clock;
	struct rng *rng;
	const struct log *log;
};

struct client;

struct client_request {
	enum sip_method method;
	const char *uri;             /* Request-URI, without <> */
	const char *from, *to;       /* URIs */
	const char *route;           /* value of Route; NULL: none */
	const struct sip_dest *dest; /* goes there and nowhere else; NULL: it is looked up */
	const char *auth_user, *auth_password; /* NULL: challenges aren't answered */
	const char *via_params;      /* ";keep"; NULL: none */
	bool is_mutual;              /* who answers 2xx must show that he knows the password, too, else he counts as one who doesn't answer */
	enum sip_oc oc;              /* offered in the Via (RFC 7339) */
	uint32_t timeout_ms;         /* in all; 0: timer F of each target */
	bool is_steady;              /* no look-up if there was one: the flow that worked */
	/* Writes further header lines; local: our address as the target sees it. May be NULL. */
	void (*write_hdrs)(struct out *o, const struct sip_dest *dest, const union sockaddr_any *local, void *arg);
};

struct client_handler {
	/* The final response, or status 0 and m NULL: nobody answered. rtt_us: from the last sending to the answer. */
	void (*on_done)(struct client *c, int status, const struct sip_msg *m, uint32_t rtt_us, void *arg);
};

struct client {
	const struct client_env *env;
	const struct client_handler *h;
	void *arg;
	char call_id[37], tag[17];
	uint32_t cseq;
	struct sip_dest dests[SIP_RESOLVE_MAX];
	unsigned ndests, at, ntried; /* dests[at] is where it goes */
	struct client_request r;     /* under way: the texts are the owner's */
	uint64_t resolving;
	struct ctrans *ct;
	struct timer timer;
	uint64_t sent_us;
	unsigned nanswered;          /* challenges */
	char *auth;                  /* the lines that answer them; NULL: none */
	char *ahead;                 /* the line with which the next one goes at once; NULL: none */
	enum sip_method ahead_for;
	uint64_t flow;               /* that the last answer came by; 0: none yet */
};

void client_init(struct client *c, const struct client_env *env, const struct client_handler *h, void *arg);
void client_fini(struct client *c);
/* The texts of *r must stay until on_done. -EBUSY: one is under way; -EINVAL: no URI to send it to. */
int client_send(struct client *c, const struct client_request *r);
bool client_is_busy(const struct client *c);
/* Where the last one went; NULL: none yet. */
const struct sip_dest *client_dest(const struct client *c);
/* The first URI of a Route value. */
int client_first_route(struct str route, struct sip_uri *out);

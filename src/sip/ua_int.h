/* ua_int.h - the user agent's insides, shared by ua.c, dialog.c, session*.c and subscription.c.
 *
 * Thread: loop thread.
 */
#pragma once

#include "sip/ua.h"

#define UA_ALLOW_MAX 192
#define UA_OPTION_TAGS_MAX 16
#define UA_EARLY_MAX 2048
#define UA_SCRATCH 4096

struct dialog;

struct sip_ua {
	struct sip_stack *stack;
	struct resolver *resolver;
	uint32_t next_target_ms;
	struct timers *timers;
	struct rng *rng;
	const struct clock *clock;
	const struct log *log;
	union sockaddr_any local; /* where there is no transport: unit tests */
	struct dialog *dialogs;   /* uthash, by local tag */
	unsigned nsessions;
	struct {
		sip_ua_request_fn *fn;
		void *arg;
	} handlers[SIP_METHOD_COUNT];
	bool allows[SIP_METHOD_COUNT];
	const char *option_tags[UA_OPTION_TAGS_MAX];
	unsigned noption_tags;
	struct {
		enum sip_method method;
		const char *tag;
	} method_tags[UA_OPTION_TAGS_MAX]; /* those of one method */
	unsigned nmethod_tags;
	char allow[UA_ALLOW_MAX];         /* "Allow: ...\r\n" */
	char supported[UA_ALLOW_MAX];     /* "Supported: ...\r\n" or "" */
	char allow_events[UA_ALLOW_MAX];  /* "Allow-Events: ...\r\n" or "" */
	sip_ua_early_fn *early;
	void *early_arg;
	char scratch[UA_SCRATCH];         /* headers of a message while it is written: nothing is sent meanwhile but that */
	char early_hdrs[UA_EARLY_MAX];    /* of the answer under way */
	void (*on_flow_closed)(uint64_t flow, void *arg);
	void *on_flow_closed_arg;
	void (*on_stun)(struct str answer, const struct sip_source *src, void *arg);
	void *on_stun_arg;
};

/* Our address as seen from dest. */
int ua_local(const struct sip_ua *ua, const struct sip_dest *dest, union sockaddr_any *out);
/* Answers with a Retry-After of 0..10 s (RFC 3261 §14.2). */
void ua_reply_retry_after(struct sip_ua *ua, struct strans *st, int status);

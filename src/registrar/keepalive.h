/* keepalive.h - a registered flow of ours is kept open through NATs and watched (RFC 5626 §4.4): line ends on connections, which the transport
 * sends and watches, STUN over UDP.
 *
 * Owner:  embedded; keepalive_init to keepalive_stop. One flow at a time.
 * Thread: loop thread. on_failed is called from a timer or from keepalive_answer, last, and may start or stop it.
 */
#pragma once

#include "registrar/client.h"
#include "sip/stun.h"

struct keepalive {
	const struct client_env *env;
	void (*on_failed)(void *arg);
	void *arg;
	struct sip_dest dest;
	uint32_t every_s;            /* 0: stopped, or a connection, which the transport sees to */
	bool must_answer;
	struct timer timer;
	char id[STUN_ID_LEN];
	unsigned nsent;              /* of the request under way; 0: none is */
	union sockaddr_any mapped;   /* ours as the peer sees it; family 0: not known yet */
};

/* on_failed: over UDP, the peer that answered, or must, doesn't any more, or a NAT has given us another address. A connection that
 * fails is told of like any that ends. */
void keepalive_init(struct keepalive *k, const struct client_env *env, void (*on_failed)(void *arg), void *arg);
/* Shows the peer at dest, by this connection if it is one, about every so often that we are there; 0: stops. must_answer: the peer has
 * promised to. Again with the same values it goes on. */
void keepalive_start(struct keepalive *k, const struct sip_dest *dest, uint64_t flow, uint32_t every_s, bool must_answer);
void keepalive_stop(struct keepalive *k);
/* A STUN answer has come. True: it was for this one. */
bool keepalive_answer(struct keepalive *k, struct str answer, const struct sip_source *src);

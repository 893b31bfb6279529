/* overload.h - telling a peer in the Via how much less to send, and doing so ourselves (RFC 7339, loss; RFC 7415, rate).
 *
 * Who sends the request offers it: ";oc;oc-algo=..." in its Via. Who has too much to do fills in, in that Via of each of his
 * responses, by how many per cent less (loss) or how many requests a second (rate) he wants to get, and for how long that counts. Feedback that is
 * older than what has been heard is recognised by its number.
 *
 * We don't hold back what belongs to a call: its other side wouldn't end for that, and each such request less would make more of them later. So
 * all of what is asked for is taken off the new calls, and they weigh as much more (§7.1: the share of requests that may be held
 * back); with rate the others fill the bucket, too.
 *
 * Owner:  struct overload, of the stack: who has said that, for as long as it counts. Embedded.
 * Thread: loop thread.
 */
#pragma once

#include "base/rng.h"
#include "sip/transport.h"

#define OVERLOAD_OFFER ";oc;oc-algo=\"loss,rate\""
#define OVERLOAD_PEERS_MAX 1024      /* whose word counts at once: more trunks than that aren't too busy together */

struct overload_peer;
struct overload { struct overload_peer *peers; };

void overload_fini(struct overload *o);

/* ---- as the one who sends ---- */

/* A request that offers it is to be sent there: may it? is_new_call: false, it may; but it counts. */
bool overload_admits(struct overload *o, const union sockaddr_any *peer, bool is_new_call, struct rng *rng, uint64_t now_ms);
/* A response has come from there; via: of ours, as it came back. Without feedback nothing happens. */
void overload_take(struct overload *o, const union sockaddr_any *peer, const struct sip_via *via, struct rng *rng, uint64_t now_ms);

/* ---- as the one who is asked ---- */

/* The law by which per cent rise and fall: is called every OVERLOAD_STEP_MS. */
#define OVERLOAD_STEP_MS 200
unsigned overload_step(unsigned loss_percent, bool is_pressed);
/* Does the sender of this Via offer one of the two that we know? */
bool overload_is_offered(const struct sip_via *via);
/* What goes into the Via in place of its offer: ";oc=20;oc-algo=..." seq_ms rises. */
void overload_print(struct out *o, const struct sip_via *via, unsigned loss_percent, uint64_t seq_ms);

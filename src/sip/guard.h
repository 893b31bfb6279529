/* guard.h - the door: who may speak, and how much.
 *
 * A source is an IPv4 address or, of IPv6, a /64 network, which is what one host has. Of each that has spoken lately the guard knows how
 * much it has sent, how many questions for a password it has left unanswered, how many it has answered wrongly, and whether it is banned.
 *
 * Bans. Only a wrong answer to a challenge counts, and only to one that is ours, fresh, and was given to that very source: a datagram's
 * source can be forged, but who forges it never sees the challenge (digest.h sees to that). So nobody can get somebody else banned. A
 * source that gives more than `failures` of them, which are forgiven within a minute, is banned for ban_first_s; each time again
 * doubles that, up to ban_longest_s, until it has been good for a day. One behind which a phone has shown a right password within an hour
 * (an office behind a NAT, say) is granted three times as many.
 * A banned source is not heard, but for the flows (address and port) in it that have shown a right password within an hour: their phones
 * stay registered, their calls go on. A flow that gives as many wrong answers as ban a source loses that. New connections
 * from a banned source aren't taken.
 *
 * Strangers. A request without a password is answered with a challenge, an OPTIONS with 200, one of a dialog that doesn't exist with 481, as a CANCEL
 * of nothing, one that came by two ways with 482, a malformed one with 400, for which nothing is kept. Each right password makes up for one such answer. A source with more than 500 that aren't made up for gets
 * no more but 20 a second; ten times as much where a phone has shown a right password within an hour.
 *
 * Floods. While the server keeps up, a source may send what it likes. When it doesn't (guard_press()), each is held to `rate` datagrams a
 * second; connections have flow control of their own. What goes by datagrams is counted apart: who forges an address takes nothing from
 * its connections.
 *
 * Memory: a fixed 3 MiB for sources and flows, where who was silent longest makes room, and flows and failures don't for strangers; and
 * some 200 bytes a ban. Of those that end there are 65,536 at most: then the one that was put longest ago goes. Those for ever are an
 * administrator's, and as many as he likes.
 *
 * Owner:  its maker. Thread: loop thread. No function but guard_failed() calls back.
 */
#pragma once

#include "base/hash.h"
#include "sip/transport.h"

struct guard;

#define GUARD_RATE 2000              /* messages a second of one source while the server doesn't keep up */
#define GUARD_FAILURES 20            /* in a minute */
#define GUARD_BAN_FIRST_S 60
#define GUARD_BAN_LONGEST_S 86400

struct guard_limits { uint32_t rate, failures, ban_first_s, ban_longest_s; }; /* each 0: the default */

/* What an administrator says of a source. */
enum guard_rule { GUARD_ORDINARY, GUARD_ALLOWED /* no bans, no limits */, GUARD_DENIED };

enum guard_verdict { GUARD_PASS, GUARD_BANNED /* not at all */, GUARD_LATER /* not so much now */ };

struct guard_ban {
	union sockaddr_any source;   /* port 0; of IPv6 the network */
	uint64_t until_ms;           /* of the clock of guard_params; UINT64_MAX: for ever */
	uint64_t for_ms;             /* how long that was when it was pronounced here; else 0 */
	uint64_t failures;           /* wrong answers, of all its bans */
	uint32_t times;              /* banned so often */
	char account[96];            /* tried last: user@realm; "": none */
};

struct guard_handler {
	enum guard_rule (*rule_of)(const union sockaddr_any *addr, void *arg);
	/* Of IPv6: hasn't all of the network of addr the same rule? Then it is asked for with each message from there. NULL: it has. */
	bool (*is_mixed)(const union sockaddr_any *addr, void *arg);
	void (*on_ban)(const struct guard_ban *ban, void *arg); /* pronounced by guard_failed() */
};

struct guard_counters { uint64_t banned, late, unanswered, failures, bans; };

/* key: random. now_ms: monotonic. */
struct guard_params { unsigned char key[HASH_KEY]; uint64_t (*now_ms)(void *arg); void *arg; };

int guard_new(struct guard **out, const struct guard_params *p);
void guard_free(struct guard *g);
void guard_limit(struct guard *g, const struct guard_limits *l);
void guard_handle(struct guard *g, const struct guard_handler *h, void *arg); /* h NULL: all sources are ordinary */
void guard_rules_changed(struct guard *g);     /* rule_of() is asked anew */

/* All but these are for who has a guard; these let everything pass when g is NULL. */

/* A message is there: to be heard? Costs one look into a table, and none when the last message was from the same source. */
enum guard_verdict guard_enter(struct guard *g, const union sockaddr_any *peer, bool is_conn);
/* May a connection be opened from there? */
bool guard_admits(struct guard *g, const union sockaddr_any *peer);
/* A request that shows no password and for which nothing is kept: is it worth an answer? Counts it. */
bool guard_asks(struct guard *g, const struct sip_source *src);
/* It has shown a right password. */
void guard_proved(struct guard *g, const struct sip_source *src);
/* It has answered a fresh challenge of its own wrongly. */
void guard_failed(struct guard *g, const struct sip_source *src, struct str user, struct str realm);
bool guard_is_allowed(struct guard *g, const union sockaddr_any *peer);

/* While true, sources are held to their rate. */
void guard_press(struct guard *g, bool is_pressed);

uint64_t guard_now_ms(const struct guard *g);
/* Bans that are read or changed elsewhere. -EINVAL, -ENOMEM. */
int guard_ban_put(struct guard *g, const struct guard_ban *ban);
void guard_ban_remove(struct guard *g, const union sockaddr_any *source); /* forgets its failures, too */
const struct guard_ban *guard_ban_find(const struct guard *g, const union sockaddr_any *source); /* also one that is over; NULL */
void guard_ban_each(const struct guard *g, void (*fn)(const struct guard_ban *ban, void *arg), void *arg); /* fn changes none */
unsigned guard_bans(const struct guard *g);
const struct guard_counters *guard_counters(const struct guard *g);
/* The address, or of IPv6 the network, port 0. */
union sockaddr_any guard_source_of(const union sockaddr_any *addr);

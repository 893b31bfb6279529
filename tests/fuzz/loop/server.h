/* server.h - the whole signalling of Cordboard in one process, without sockets, threads, database or clock of its own.
 *
 * Real: messages, transactions, dialogs, sessions, subscriptions, the resolver, registrar, authentication, calls with their tasks and
 * applications, event packages. Made up: what is below and beside them (transport, name servers, media, directory, dialplan, database,
 * outbox). Time moves in server_pass() alone.
 *
 * Owner:  whoever made it; one at a time.
 * Thread: one.
 */
#pragma once

#include "base/out.h"
#include "sip/transport.h"

struct server;

/* Of one server its stacks go to the next, for who makes very many; set before the first. */
extern bool server_keeps_stacks;

/* What the server sends. */
typedef void server_sent_fn(const struct sip_dest *dest, struct str bytes, void *arg);

/* kept: whose bindings the database has kept, a bit each of 1001, 1002, 1003. */
struct server *server_new(unsigned kept, server_sent_fn *fn, void *arg);
/* Writes the challenge that a phone there would get. */
void server_challenge(struct server *s, struct out *o, const struct sip_source *src);
/* A datagram, or a framed message of a connection. bytes may be changed. */
void server_receive(struct server *s, char *bytes, size_t n, const struct sip_source *src);
/* The connection has ended. */
void server_flow_closed(struct server *s, uint64_t flow);
/* All streams hear this digit, miss their peer ('T'), have found out where it is ('L'), or whether it is the one ('S', 'I'). */
void server_media_event(struct server *s, char what);
/* Directory and database don't answer. */
void server_set_away(struct server *s, bool is_away);
/* Sending fails with this from now on; 0: it doesn't. */
void server_set_send_error(struct server *s, int err);
void server_pass(struct server *s, uint64_t ms);
uint64_t server_now_ms(const struct server *s);
/* How often two parties have been joined so far. */
unsigned server_conversations(const struct server *s);
/* Asserts that nothing is left of what has been begun: calls, legs, sessions, transactions, tasks, streams, bindings. */
void server_assert_idle(struct server *s);
void server_free(struct server *s);

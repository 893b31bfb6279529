/* server_int.h - between server.c (wiring, time, transport, names) and parts.c (directory, dialplan, database, media). */
#pragma once

#include "base/clock.h"
#include "base/rng.h"
#include "base/task.h"
#include "base/timer.h"
#include "call/calls.h"
#include "presence/presence.h"
#include "sip/dns.h"
#include "sip/transport_int.h"
#include "loop/server.h"

struct question;

struct server {
	struct transport transport;      /* made up: the handler alone is used */
	server_sent_fn *on_sent;
	void *on_sent_arg;
	int send_error;
	bool is_away;
	unsigned kept;                   /* as in server_new() */
	uint64_t now_ms;
	struct clock clock;
	struct rng rng;
	uv_loop_t *loop;
	struct timers *timers;
	struct tasks *tasks;
	struct resolver *resolver;
	struct sip_ua *ua;
	struct digest_server *digest;
	struct auth auth;
	struct registrar *registrar;
	struct calls *calls;
	struct presence *presence;
	struct stream *streams;
	unsigned nroutes;                /* references to routes */
	unsigned nconversations;         /* pairs of streams that were joined */
	struct later *later, **later_end; /* what is told when the loop turns */
	uint64_t nlater;
	unsigned idle_timers;            /* running when nothing happens */
};

/* The only one: what is made up is asked without a word about whose it is. */
extern struct server *the_server;

/* Told when control goes into the server (true) and out of it, to what is made up or back to its caller. NULL: nobody. */
extern void (*server_on_cross)(bool is_inside);
static inline void server_enter(void) { if (server_on_cross) server_on_cross(true); }
static inline void server_leave(void) { if (server_on_cross) server_on_cross(false); }

/* Calls fn when the loop turns; also if it is forgotten by its id (never 0) before, or the server ends, and says so. */
uint64_t server_later(struct server *s, void (*fn)(uint64_t id, void *arg, bool is_forgotten), void *arg);
void server_forget(struct server *s, uint64_t id);
void parts_init(void);

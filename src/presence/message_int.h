/* message_int.h - between message.c (MESSAGEs that come in), message_send.c (to the contacts of an extension) and message_store.c (those
 * that wait).
 *
 * Owner:  struct messages owns them all; a job goes when its MESSAGE has been answered. Thread: loop thread.
 */
#pragma once

#include "base/table.h"
#include "call/command.h"

#include "presence/message.h"
#include "presence/phones.h"
#include "sip/outside.h"

struct message_rate;
struct message_job;
struct delivery;
struct sent;
struct waiting;

struct messages {
	struct messages_params p;
	struct message_rate *rates;    /* by sender */
	struct message_job *jobs;      /* MESSAGEs that are not answered yet */
	struct delivery *deliveries;
	struct sent *sent;             /* by commands, under way */
	struct waiting *waiting;       /* extensions for which messages are stored */
	struct directory_watcher on_change;
	uint64_t load_query;
	bool is_stopped;
};

/* What is sent; texts are the caller's until the function it is given to returns. */
struct text {
	const char *sender, *sender_name;      /* number and display name */
	const char *ctype;                     /* NULL: no body */
	struct str body;
	struct str hdrs;                       /* further whole lines */
	const char *instance, *sg;             /* of the one phone that is meant, see registrar_gruu; NULL: all of them */
	uint8_t max_forwards;                  /* 0: 70 */
};

/* To all phones of an extension, or the one that is meant. done is called once, never before this returns: 2xx as soon as one has it; 480 when none could be
 * reached; else what they say. -ENOENT: nothing is registered; -EMSGSIZE: too large for every contact. */
int delivery_start(struct messages *ms, const char *domain, const char *number, const struct text *t,
		   void (*done)(int status, void *arg), void *arg);
/* done isn't called any more for arg, and nobody else is sent it. */
void deliveries_forget(struct messages *ms, const void *arg);
void deliveries_free(struct messages *ms);

/* message_store.c */
void message_store_start(struct messages *ms);
void message_store_stop(struct messages *ms);
void message_store_free(struct messages *ms);
/* Stores t for an extension that is away. fn: 202 stored, 480 too many wait already, 503 no database. 0: fn won't be called. */
uint64_t message_store(struct messages *ms, const char *domain, const char *number, const struct text *t, uint32_t keep_s, db_fn *fn, void *arg);
int message_stored_status(const struct db_answer *a);

/* message_command.c: for commands_on(); arg: the messages. */
void message_command(struct command *c, void *arg);
void message_commands_free(struct messages *ms);

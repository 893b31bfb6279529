/* command.h - rows of pbx.command: taken when they are committed, handed to who carries them out, and what came of them.
 *
 * A row is taken, and that is committed, before anybody here hears of it; its row then names this process. So it is carried out once at most:
 * what a process had taken when it died is never tried again. What came of it is told the database until it has heard.
 *
 * Owner:  struct commands is its maker's: commands_stop() while db lives, commands_free() behind the db. A command belongs to it; who carries it
 *         out may use it until he says its end.
 * Thread: loop thread.
 */
#pragma once

#include "base/log.h"
#include "base/rng.h"
#include "base/timer.h"
#include "db/db.h"

struct command;
struct commands;

struct commands_params {
	struct db *db;
	struct timers *timers;
	struct rng *rng;
	const struct log *log;
	const char *node;
};

int commands_new(struct commands **out, const struct commands_params *p); /* *p is copied. -ENOMEM */
/* Who carries commands of this name out. fn says the end of each, at once or later. name: static. -ENOMEM */
int commands_on(struct commands *cs, const char *name, void (*fn)(struct command *c, void *arg), void *arg);
/* Begins to take them: from now on all that is queued. */
void commands_start(struct commands *cs);
void commands_stop(struct commands *cs);
void commands_free(struct commands *cs); /* NULL allowed */

/* What it says. Texts are valid as long as the command. */
const char *command_name(const struct command *c);
const char *command_by(const struct command *c);     /* the role that asked */
const char *command_domain(const struct command *c); /* "": for whole servers */
const char *command_call(const struct command *c);   /* "": no call */
unsigned command_leg(const struct command *c);       /* 0: none in particular */
const char *command_text(const struct command *c, const char *arg); /* NULL: it isn't there, or no text */
int64_t command_int(const struct command *c, const char *arg, int64_t otherwise);
bool command_bool(const struct command *c, const char *arg);

/* Its end, after which it is no longer the caller's. outcome: a line for people. */
void command_done(struct command *c, const char *outcome, ...) __attribute__((format(printf, 2, 3)));
/* cause: a word, as the column's comment has them. */
void command_fail(struct command *c, const char *cause, const char *outcome, ...) __attribute__((format(printf, 3, 4)));

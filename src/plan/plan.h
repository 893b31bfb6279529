/* plan.h - a number in, a list of steps out.
 *
 * Contexts, includes, routes and steps of all domains, cached like the directory and kept true by the same change sequence.
 * A context's own routes win over included ones; includes are searched in their order, depth first, each context once.
 * A found route is counted: calls in progress keep the steps they have.
 *
 * Thread: loop thread.
 */
#pragma once

#include "directory/directory.h"

struct plan;
struct route;

struct step_arg { const char *name, *value; };   /* values may contain ${...} */
struct step {
	const char *app;
	unsigned nargs;
	unsigned position;                       /* of its row: later ones come later */
	const struct step_arg *args;
	const char *condition;                   /* NULL: always. "result=busy,no_answer" */
};

int plan_new(struct plan **out, uv_loop_t *loop, struct db *db, struct directory *d, const struct log *log);
void plan_close(struct plan *p, void (*done)(void *arg), void *arg);
bool plan_is_loaded(const struct plan *p);

/* The winning route with a reference, or DIR_ABSENT, DIR_UNKNOWN. */
enum dir_answer plan_match(struct plan *p, const char *domain, const char *context, struct str number, struct route **out);
/* Could a longer number that begins with digits match a route there? */
bool plan_match_prefix(struct plan *p, const char *domain, const char *context, struct str digits);
/* Lists of numbers, which are looked up by patterns as routes are: the entry that matches best, with what it says of the number
 * (route_value) and its context; NULL: none. Valid as a row of the directory is. */
#define PLAN_INBOUND   "#inbound"   /* value: the target; context "": the default one */
#define PLAN_EMERGENCY "#emergency" /* value: a name */
#define PLAN_BLOCKED   "#blocked"   /* value: the status for the caller */
#define PLAN_TRUNK_REWRITE "#trunk" /* "#trunk/NAME/out/called", each a list; value: what a number becomes */
#define PLAN_ROUTE_REWRITE "#route" /* "#route/CONTEXT/PATTERN/caller" */
const struct route *plan_list_find(const struct plan *p, const char *domain, const char *list, struct str number);
const char *route_value(const struct route *r);
void route_release(struct route *r);
const char *route_pattern(const struct route *r);
const char *route_context(const struct route *r);
unsigned route_steps(const struct route *r, const struct step **out);

/* Pure helpers. */
/* Does the condition hold? vars gives a variable's value or STR_NULL. Grammar: term { " and " term }, term = name "=" value {"," value}
 * or name "!=" value {"," value}; a value that begins with "_" is a pattern. Malformed never holds. The name "schedule" asks whether one of
 * these schedules is open: vars is asked for "schedule:NAME" and says "open" if it is. */
typedef struct str plan_var_fn(struct str name, void *arg);
bool plan_condition_holds(const char *condition, plan_var_fn *vars, void *arg);
bool plan_condition_is_valid(const char *condition);
/* Replaces ${name}, ${name:offset}, ${name:offset:length}, ${name:-default}. -ENOSPC. An unset variable is empty. */
int plan_substitute(const char *text, plan_var_fn *vars, void *arg, char *buf, size_t size);
/* The same for a list with '&' between its members. It is cut before variables are put in: what they bring is part of one member, whoever
 * has chosen it, and doesn't change what that is. So a value with '&' has no place in a list; what the text doesn't begin as a URI
 * ("sip:") or a file's path ("/") doesn't become one; in a URI a value is escaped, or, behind the '@', an address; in a path it is one name. A member
 * where that isn't so is left out. Returns how many were, or -ENOSPC. */
int plan_substitute_list(const char *text, plan_var_fn *vars, void *arg, char *buf, size_t size);

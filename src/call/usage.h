/* usage.h - what calls in progress use: calls at once of an extension, trunk or domain (usage.c), minutes of budgets (budget.c), and how
 * servers know of each other's (share.c).
 *
 * Thread: loop thread.
 */
#pragma once

#include "call/call_int.h"

/* ---- share.c: what other servers have ----
 *
 * A look-up is one in memory: nothing waits for the database. What is known is as old as the last exchange, SHARE_MS and a round trip; so servers that
 * let calls begin in the same quarter of a second may together be a call or two over a limit, and a place that one gives back is free on
 * the others as much later.
 *
 *   A server that dies: its rows count until it hasn't said for 20 seconds that it lives (pbx.live_nodes()).
 *   The database is away, or slow: what was known last counts for SHARE_KEEP_MS; after that a server knows but its own calls. A limit
 *   may then be exceeded as often as there are servers. It never keeps a call from being made because nobody could be asked.
 */
struct shared { unsigned n; int64_t began_ms; };
/* What the other servers have of it; all 0: nothing, or nobody knows. */
struct shared share_others(const struct calls *cs, const char *domain, const char *what);
/* Something that is told to the others has changed. */
void share_changed(struct calls *cs);
void share_start(struct calls *cs);
void share_stop(struct calls *cs);
/* usage.c, budget.c: write what has changed since it was last written, all of it for is_all; and then: that was taken, or wasn't. */
void usage_print(struct calls *cs, struct out *o, bool is_all);
void budget_print(struct calls *cs, struct out *o, bool is_all);
void share_print(struct out *o, const char *key, const char *prefix, unsigned n, int64_t began_ms); /* key: domain/what */

/* ---- budget.c: rows of pbx.budget ----
 *
 * A call by a trunk uses the budgets of that trunk, of who pays for it and of the domain, from its answer to its end: its leg has a
 * charge. When one is used up the leg is hung up on; before that who pays hears about it.
 */
enum budget_way { BUDGET_OUT, BUDGET_IN };
struct budget_call { enum budget_way way; const char *trunk, *extension; }; /* extension: who pays; "": nobody of ours */

/* May it begin? Else a status to refuse it with, which is told in the record: 503 where another trunk may be tried, else 403. */
int budget_refusal(struct call *call, const struct budget_call *p);
/* The leg, answered, uses them; nothing where there are none, and for emergencies. */
void budget_begin(struct leg *leg, const struct budget_call *p);
/* It doesn't any more; nothing for one that didn't. */
void budget_end(struct leg *leg);
/* What others use, or a row, has changed. */
void budgets_check(struct calls *cs);
void budgets_start(struct calls *cs);
void budgets_stop(struct calls *cs);

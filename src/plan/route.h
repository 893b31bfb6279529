/* route.h - a route as one block of memory, made of rows. Inside plan/ alone; what others see of it is in plan.h.
 *
 * Owner:  who holds a reference (route_release()). It doesn't change: calls may have it. Thread: any, one at a time for a route.
 */
#pragma once

#include "plan/plan.h"

/* The pattern is in front: a look-up compares it and counts the reference, and touches nothing else. Steps and texts are behind it. */
struct route {
	int refs;
	unsigned nsteps;
	struct step *steps;       /* by their positions */
	const char *context;
	const char *value;        /* of an entry of a list; NULL: of a route */
	char pattern[];
};

/* A row of pbx.step. args: a JSON object as PostgreSQL prints jsonb. */
struct route_step { struct str position, app, condition, args; };

/* With that step, or none. NULL: no memory, or args makes no sense. */
struct route *route_new(struct str context, struct str pattern, struct str value, const struct route_step *step);
/* a with the steps of b, too. NULL: no memory. */
struct route *route_with(const struct route *a, const struct route *b);

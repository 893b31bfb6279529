/* rewrite.c - looks for the row that rewrites a number, in the plan's lists, and does what it says. Where there are none, the look-up of
 * an absent list is all that it costs.
 */
#include "call/decision.h"
#include "call/rewrite.h"
#include "plan/plan.h"

#define LIST_MAX 220

static const char *const party_names[] = { [REWRITE_CALLED] = "called", [REWRITE_CALLER] = "caller" };

static struct str number_var(struct str name, void *arg)
{
	return str_eqz(name, "number") ? str_from(arg) : STR_NULL;
}

static const char *rewrite(const struct call *call, const char *list, bool as_is_only, char *number, size_t size)
{
	const struct route *r = plan_list_find(call->calls->p.plan, call->domain, list, str_from(number));
	char made[sizeof(call->number)];

	if (!r || (as_is_only && strcmp(route_pattern(r), number) != 0) || plan_substitute(route_value(r), number_var, number, made, sizeof(made)) != 0 ||
	    !made[0] || strlen(made) >= size)
		return NULL;
	strcpy(number, made);
	return route_pattern(r);
}

static const char *by_trunk(const struct call *call, const char *trunk, enum rewrite_way way, enum rewrite_party party, char *number, size_t size)
{
	char list[LIST_MAX];
	int len = snprintf(list, sizeof(list), PLAN_TRUNK_REWRITE "/%s/%s/%s", trunk, way == REWRITE_OUT ? "out" : "in", party_names[party]);

	return len < (int)sizeof(list) ? rewrite(call, list, call->is_emergency && party == REWRITE_CALLED, number, size) : NULL;
}

const char *rewrite_by_trunk(const struct call *call, const char *trunk, enum rewrite_way way, enum rewrite_party party, char *number, size_t size)
{
	return number[0] && trunk[0] ? by_trunk(call, trunk, way, party, number, size) : NULL;
}

static void tell(struct call *call, enum rewrite_party party, const char *what, const char *whose, const char *was, const char *number, const char *pattern)
{
	char by[200];

	str_join(by, sizeof(by), what, ' ', str_from(whose));
	decided(call, party == REWRITE_CALLER ? DECISION_REWRITE_CALLER : DECISION_REWRITE, by, was, number, pattern, NULL);
}

void rewrite_trunk_number(struct call *call, const char *trunk, enum rewrite_way way, enum rewrite_party party, char *number, size_t size)
{
	char was[sizeof(call->number)];
	const char *pattern;

	str_put(was, sizeof(was), number);
	pattern = rewrite_by_trunk(call, trunk, way, party, number, size);
	if (pattern)
		tell(call, party, "trunk", trunk, was, number, pattern);
}

/* false: it stays. */
static bool by_route(struct call *call, const struct route *route, enum rewrite_party party, char *number, size_t size)
{
	char list[LIST_MAX], was[sizeof(call->number)];
	int len = snprintf(list, sizeof(list), PLAN_ROUTE_REWRITE "/%s/%s/%s", route_context(route), route_pattern(route), party_names[party]);
	const char *pattern;

	str_put(was, sizeof(was), number);
	pattern = len < (int)sizeof(list) && number[0] ? rewrite(call, list, false, number, size) : NULL;
	if (pattern)
		tell(call, party, "route", route_pattern(route), was, number, pattern);
	return pattern != NULL;
}

/* Never part of what calls it, above which an application runs. */
__attribute__((noinline)) void rewrite_by_route(struct call *call, const struct route *route)
{
	char caller[sizeof(call->caller_leg->told.who.number)] = "";

	by_route(call, route, REWRITE_CALLED, call->number, sizeof(call->number));
	if (!call->caller_leg)
		return;
	str_copy(told_var(call->caller_leg, STR("number")), caller, sizeof(caller));
	if (by_route(call, route, REWRITE_CALLER, caller, sizeof(caller)))
		told_set_var(call->caller_leg, "number", caller);
}

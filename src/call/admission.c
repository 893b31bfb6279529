/* admission.c - what is looked at before a call's route: is it an emergency, is the caller blocked, is there room for one more, which of
 * our numbers is the public one that was called?
 *
 * Lists of numbers are in the plan's memory; where there are none, the look-up of an absent list is all that a call pays.
 */
#define LOG_MODULE "call"
#include <stdlib.h>

#include "base/log.h"
#include "call/admission.h"
#include "call/decision.h"
#include "call/rewrite.h"
#include "call/usage.h"

#define INBOUND_MAX 128

static bool is_emergency(const struct calls *cs, const char *domain, struct str number)
{
	return plan_list_find(cs->p.plan, domain, PLAN_EMERGENCY, number) != NULL;
}

bool admission_is_urgent(const struct calls *cs, const struct sip_msg *m)
{
	const struct dir_domain *domain;
	char number[sizeof(((struct call *)0)->number)];

	return directory_domain_of_host(cs->p.directory, m->ruri.host, &domain) == DIR_FOUND &&
	       sip_uri_number(&m->ruri, number, sizeof(number)) == 0 && is_emergency(cs, domain->domain, str_from(number));
}

bool admission_take_limit(struct calls *cs, const struct auth_identity *who, bool is_urgent, struct usage **out)
{
	const struct dir_extension *ext;
	const struct dir_trunk *trunk;
	char key[80];

	if (who->number[0]) {
		if (directory_extension(cs->p.directory, who->domain, str_from(who->number), &ext) != DIR_FOUND)
			return true;
		return usage_take(cs, out, who->domain, who->number, is_urgent ? UINT32_MAX : ext->call_limit);
	}
	if (directory_trunk(cs->p.directory, who->domain, str_from(who->trunk), &trunk) != DIR_FOUND)
		return true;
	str_join(key, sizeof(key), "trunk", ':', str_from(who->trunk));
	return usage_take(cs, out, who->domain, key, trunk->call_limit);
}

bool admission_take_domain_limit(struct call *call)
{
	const struct dir_domain *domain;

	if (call->is_emergency || directory_domain(call->calls->p.directory, call->domain, &domain) != DIR_FOUND || domain->call_limit == UINT32_MAX)
		return true;
	return usage_take(call->calls, &call->domain_usage, call->domain, "", domain->call_limit);
}

/* The caller's number, or that he shows none. 0: he isn't blocked. */
static int blocked_status(struct call *call, const struct sip_msg *m)
{
	char number[sizeof(call->number)];
	const struct route *r;

	if (sip_uri_number(&m->from.uri, number, sizeof(number)) != 0)
		strcpy(number, "anonymous");
	rewrite_by_trunk(call, call->caller.trunk, REWRITE_IN, REWRITE_CALLER, number, sizeof(number));
	r = plan_list_find(call->calls->p.plan, call->domain, PLAN_BLOCKED, str_from(number));
	if (r)
		decided(call, DECISION_BLOCKED, number, route_pattern(r), NULL);
	return r ? atoi(route_value(r)) : 0;
}

static struct str inbound_var(struct str name, void *arg)
{
	const struct call *call = arg;

	return str_eqz(name, "number") ? str_from(call->number) : str_eqz(name, "trunk") ? str_from(call->caller.trunk) : STR_NULL;
}

/* Where a public number of ours leads. */
static int take_inbound(struct call *call)
{
	const struct route *r = plan_list_find(call->calls->p.plan, call->domain, PLAN_INBOUND, str_from(call->number));
	const struct dir_domain *domain;
	char target[INBOUND_MAX];

	if (!r)
		return 0;
	if (plan_substitute(route_value(r), inbound_var, call, target, sizeof(target)) != 0 || !target[0]) {
		decided(call, DECISION_REFUSED, "484", "The public number is too short to lead anywhere", NULL);
		return 484;
	}
	call->target = strdup(target);
	if (!call->target || app_set_var(call, "inbound_number", call->number) != 0)
		return 503;
	if (route_context(r)[0])
		str_put(call->context, sizeof(call->context), route_context(r));
	else if (directory_domain(call->calls->p.directory, call->domain, &domain) == DIR_FOUND)
		str_put(call->context, sizeof(call->context), domain->default_context);
	decided(call, DECISION_INBOUND, call->number, route_pattern(r), target, call->context, NULL);
	return 0;
}

/* Which limit it is. */
static void note_limit(struct call *call)
{
	const struct auth_identity *who = &call->caller;
	const struct dir_extension *ext;
	const struct dir_trunk *trunk;
	uint32_t limit = 0;
	char whose[80];

	if (who->number[0] && directory_extension(call->calls->p.directory, who->domain, str_from(who->number), &ext) == DIR_FOUND)
		limit = ext->call_limit;
	else if (!who->number[0] && directory_trunk(call->calls->p.directory, who->domain, str_from(who->trunk), &trunk) == DIR_FOUND)
		limit = trunk->call_limit;
	str_join(whose, sizeof(whose), who->number[0] ? "extension" : "trunk", ' ', str_from(who->number[0] ? who->number : who->trunk));
	decided(call, DECISION_LIMIT, whose, decision_int(limit).z, NULL);
}

static void note_domain_limit(struct call *call)
{
	const struct dir_domain *domain;
	char whose[80];

	if (directory_domain(call->calls->p.directory, call->domain, &domain) != DIR_FOUND)
		return;
	str_join(whose, sizeof(whose), "domain", ' ', str_from(call->domain));
	decided(call, DECISION_LIMIT, whose, decision_int(domain->call_limit).z, NULL);
}

struct refusal admission_check(struct call *call, const struct sip_msg *m, struct usage **usage)
{
	struct calls *cs = call->calls;
	const struct route *r;
	int status = 0;

	if (call->caller.trunk[0]) {
		rewrite_trunk_number(call, call->caller.trunk, REWRITE_IN, REWRITE_CALLED, call->number, sizeof(call->number));
		status = blocked_status(call, m);
		if (status)
			log_info(cs->p.log, "call=%s refused: the caller is blocked number=%.*s status=%d", call->id, STR_ARG(m->from.uri.user), status);
		else
			status = take_inbound(call);
		if (status)
			return (struct refusal){ .status = status };
		if (budget_refusal(call, &(struct budget_call){ .way = BUDGET_IN, .trunk = call->caller.trunk }))
			return (struct refusal){ .status = 503, .hdrs = "Reason: SIP;cause=503;text=\"Budget used up\", Q.850;cause=31\r\n" };
	} else {
		r = plan_list_find(cs->p.plan, call->domain, PLAN_EMERGENCY, str_from(call->number));
		call->is_emergency = r != NULL;
		if (r) {
			str_put(call->context, sizeof(call->context), route_context(r));
			decided(call, DECISION_EMERGENCY, call->number, call->context, NULL);
		}
	}
	if (!admission_take_domain_limit(call)) {
		note_domain_limit(call);
		return (struct refusal){ .status = 486, .hdrs = "Reason: SIP;cause=486;text=\"Call limit of the domain reached\", Q.850;cause=34\r\n" };
	}
	if (!admission_take_limit(cs, &call->caller, call->is_emergency, usage)) {
		note_limit(call);
		return (struct refusal){ .status = 486, .hdrs = "Reason: SIP;cause=486;text=\"Call limit reached\", Q.850;cause=17\r\n" };
	}
	return (struct refusal){ 0, NULL, NULL };
}

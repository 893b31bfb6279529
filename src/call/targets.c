/* targets.c - the contacts of an extension as a list to be rung through. */
#include "call/targets.h"

#include <strings.h>

static bool is_meant(const struct call *call, const char *number, const struct binding *b)
{
	const struct registrar_gruu *g = call->gruu;

	if (call->phone)
		return !strcmp(b->contact, call->phone);
	return !g || strcmp(g->number, number) != 0 || (b->instance && !strcasecmp(b->instance, g->instance));
}

static struct target *copy(struct call *call, const char *number, const struct binding *b)
{
	const char *sg = call->gruu && !strcmp(call->gruu->number, number) ? call->gruu->sg : "";
	struct target *t = call_alloc(call, sizeof(*t));
	char bulk[BINDING_TARGET_MAX];

	if (!t || (b->is_bulk && binding_target_sg(b, str_from(number), sg, bulk) != 0))
		return NULL;
	t->dest = b->dest;
	t->reg_id = b->reg_id;
	t->q_milli = b->q_milli;
	t->contact = call_strdup(call, b->is_bulk ? bulk : b->contact);
	t->route = b->path ? call_strdup(call, b->path) : NULL;
	t->instance = b->instance ? call_strdup(call, b->instance) : NULL;
	return t->contact && (t->route || !b->path) && (t->instance || !b->instance) ? t : NULL;
}

struct targets *targets_of(struct call *call, const char *number)
{
	const struct registrar_reach all = registrar_reach(call->calls->p.registrar, call->domain, str_from(number));
	struct targets *ts = all.b ? call_alloc(call, sizeof(*ts)) : NULL;
	struct target **end;
	bool is_one_reachable = false;
	unsigned n = 0;

	if (!ts)
		return NULL;
	for (struct registrar_reach at = all; at.b; registrar_next(&at))
		is_one_reachable |= !at.b->is_unreachable && is_meant(call, number, at.b);
	end = &ts->first;
	for (struct registrar_reach at = all; at.b && n < TARGETS_MAX; registrar_next(&at)) {
		if (!is_meant(call, number, at.b) || (is_one_reachable && at.b->is_unreachable))
			continue;
		*end = copy(call, number, at.b);
		if (!*end)
			return NULL;
		end = &(*end)->next;
		n++;
	}
	return ts->first ? ts : NULL;
}

static bool is_same_phone(const struct target *a, const struct target *b)
{
	return a->instance && b->instance && a->reg_id && b->reg_id && !strcasecmp(a->instance, b->instance);
}

bool targets_next_group(struct targets *ts)
{
	const struct target *best = NULL;

	/* By falling q, so the first that waits is the best. */
	for (struct target *t = ts->first; t; t = t->next) {
		if (t->state != TARGET_WAITING || (best && t->q_milli < best->q_milli))
			continue;
		if (!best)
			best = t;
		t->state = TARGET_CHOSEN;
		for (struct target *u = ts->first; u; u = u->next)
			if (u->state == TARGET_WAITING && is_same_phone(t, u))
				u->state = TARGET_SPARE;
	}
	return best != NULL;
}

unsigned targets_groups(const struct targets *ts)
{
	const struct target *last = NULL;
	unsigned n = 0;

	for (const struct target *t = ts->first; t; t = t->next) {
		if (t->state != TARGET_WAITING)
			continue;
		n += !last || t->q_milli != last->q_milli;
		last = t;
	}
	return n;
}

struct target *targets_other_flow(struct targets *ts, const struct target *failed)
{
	for (struct target *t = ts->first; t; t = t->next)
		if (t->state == TARGET_SPARE && is_same_phone(t, failed))
			return t;
	return NULL;
}

void target_use_flow(const struct target *t, struct sip_dest *dest)
{
	if (dest->proto != t->dest.proto || !sockaddr_host_eq(&dest->addr, &t->dest.addr))
		return;
	dest->flow = t->dest.flow;
	if (dest->proto != SIP_UDP)
		dest->addr = t->dest.addr;
}

/* RFC 5626 §7: 430, no answer at all, or nothing could be sent; and 408, by which the proxy that has the flow says that the phone gave it no
 * answer, unless it has rung. */
bool leg_is_flow_failure(const struct leg *leg)
{
	return leg->status == 430 || (leg->status == 408 && !leg->ringing_ms) || leg->has_failed;
}

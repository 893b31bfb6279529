/* dial_branch.c - one number that is rung: an extension with its contacts (targets.c: which ring now, which next), or one target outside.
 *
 * A branch ends when all its legs have, or when it has rung long enough; then its extension's forward for that outcome may set it going
 * again with another number.
 */
#define LOG_MODULE "dial"
#include "call/dial_int.h"
#include "call/hop.h"

static uint64_t ring_until(const struct dial *d, uint32_t ring_s)
{
	uint64_t at = call_deadline(d->call, ring_s * 1000);

	return at < d->until_ms ? at : d->until_ms;
}

void branch_end(struct branch *b, enum app_result outcome, int status, const char *reason)
{
	b->state = BRANCH_ENDED;
	b->outcome = outcome;
	b->status = status;
	str_put(b->reason, sizeof(b->reason), reason);
}

void branch_refuse(struct dial *d, struct branch *b, enum app_result outcome, int status, const char *reason, const char *why)
{
	decided(d->call, DECISION_NOT_RUNG, b->number, why, NULL);
	branch_end(b, outcome, status, reason);
}

/* Where a contact is: its flow, or through the proxies it registered through (RFC 3327). */
static bool ring_target(struct dial *d, struct branch *b, struct target *t)
{
	unsigned n = b->nlegs;
	struct hop hop = { .dest = t->dest };

	if (t->route) {
		if (hop_find(d->call, t->contact, t->route, &hop) != 0)
			return false;
		target_use_flow(t, &hop.dest);
	}
	dial_ring(d, b, &(struct ring){ .target = t->contact, .route = t->route, .dest = &hop.dest, .contact = t });
	return b->nlegs > n;
}

/* The same, or where its flow has gone already, another one of the phone. */
static bool ring_phone(struct dial *d, struct branch *b, struct target *t)
{
	for (; t; t = targets_other_flow(b->targets, t)) {
		t->state = TARGET_RUNG;
		if (ring_target(d, b, t))
			return true;
		t->state = TARGET_FAILED;
	}
	return false;
}

/* Has it contacts whose turn has yet to come? */
static bool has_waiting(const struct branch *b)
{
	return b->targets && targets_groups(b->targets);
}

/* Rings the contacts whose turn it is, as far as the call's breadth reaches: the others wait until one of these has ended (RFC 5393
 * §5.3.3). False: nobody rings. */
static bool ring_group(struct dial *d, struct branch *b)
{
	uint64_t now = timers_now(engine(d)->p.timers);
	bool any = false;

	b->group_until_ms = UINT64_MAX;
	while (!any && b->targets && dial_breadth(d) && targets_next_group(b->targets)) {
		for (struct target *t = b->targets->first; t; t = t->next) {
			if (t->state != TARGET_CHOSEN)
				continue;
			if (dial_breadth(d))
				any |= ring_phone(d, b, t);
			else
				t->state = TARGET_WAITING;
		}
		if (any && b->ring_until_ms != UINT64_MAX && b->ring_until_ms > now && targets_groups(b->targets))
			b->group_until_ms = now + (b->ring_until_ms - now) / (targets_groups(b->targets) + 1);
	}
	return any;
}

/* The flow that a leg was sent over has failed, and the phone has another: that rings in its place (RFC 5626 §7). */
static bool ring_other_flow(struct dial *d, struct branch *b, unsigned i)
{
	struct call *call = d->call;
	struct target *t = b->rung[i];

	if (!t || t->state != TARGET_RUNG || !leg_is_flow_failure(b->legs[i]))
		return false;
	t->state = TARGET_FAILED;
	if (b->legs[i]->status == 430)
		registrar_flow_failed(engine(d)->p.registrar, &(struct binding_key){ call->domain, b->number, t->contact, t->instance, t->reg_id });
	return ring_phone(d, b, targets_other_flow(b->targets, t));
}

static void start_extension(struct dial *d, struct branch *b)
{
	struct call *call = d->call;
	const struct dir_extension *ext;
	enum dir_answer found;

	while (dial_forward(d, b, "always"))
		if (b->state == BRANCH_ENDED)
			return;
	b->state = BRANCH_RINGING;
	found = directory_extension(engine(d)->p.directory, call->domain, str_from(b->number), &ext);
	if (found != DIR_FOUND) {
		branch_refuse(d, b, found == DIR_ABSENT ? APP_INVALID : APP_CONGESTION, found == DIR_ABSENT ? 404 : 503, "",
			      found == DIR_ABSENT ? "there is no such extension" : "the database is away");
		return;
	}
	b->ring_until_ms = ring_until(d, b->ring_s ? b->ring_s : ext->ring_s);
	if (!usage_take(engine(d), &b->usage, call->domain, b->number, call->is_emergency ? UINT32_MAX : ext->call_limit)) {
		branch_refuse(d, b, APP_BUSY, 486, "Q.850;cause=17;text=\"Call limit reached\"", "it has as many calls as it may");
		return;
	}
	b->targets = targets_of(call, b->number);
	if (!ring_group(d, b))
		branch_refuse(d, b, APP_UNAVAILABLE, 480, "Q.850;cause=20;text=\"Not registered\"",
			      b->targets && b->targets->first ? "none of its phones can be reached" : "no phone of it is registered");
}

void branch_start(struct dial *d, struct branch *b)
{
	b->state = BRANCH_RINGING;
	b->group_until_ms = UINT64_MAX;
	b->ring_until_ms = ring_until(d, b->ring_s);
	if (d->p->trunk)
		dial_trunk(d, b);
	else if (!strncasecmp(b->number, "sip:", 4) || !strncasecmp(b->number, "sips:", 5))
		dial_uri(d, b);
	else
		start_extension(d, b);
	if (b->state != BRANCH_RINGING || b->nlegs)
		return;
	if (b->is_spared)
		branch_refuse(d, b, APP_CONGESTION, 503, "Q.850;cause=42;text=\"Trunk has too much to do\"", "the trunk has too much to do");
	else
		branch_refuse(d, b, APP_UNAVAILABLE, 480, "", "there is no way to it");
}

unsigned branch_rank(enum app_result r)
{
	static const unsigned ranks[APP_RESULT_COUNT] = {
		[APP_UNAVAILABLE] = 1, [APP_FAILED] = 2, [APP_INVALID] = 3, [APP_CONGESTION] = 4, [APP_NO_ANSWER] = 5,
		[APP_BUSY] = 6, [APP_DECLINED] = 7, [APP_MOVED] = 8,
	};

	return ranks[r];
}

void branch_close_legs(struct branch *b, const char *reason, const struct leg *except)
{
	for (unsigned i = 0; i < b->nlegs; i++)
		if (b->legs[i] != except && b->legs[i]->state != LEG_ENDED)
			leg_close(b->legs[i], 0, reason);
}

/* A phone that is out of order is, to the caller and to the route's conditions, one that isn't there. */
static enum app_result branch_outcome(const struct leg *leg)
{
	enum app_result r = result_of_status(leg->status);

	return !leg->is_outside && (r == APP_CONGESTION || r == APP_FAILED || r == APP_INVALID) ? APP_UNAVAILABLE : r;
}

/* Those who had their time stop ringing, the next ones begin; where there is no breadth for both, when those have ended. */
static void next_group(struct dial *d, struct branch *b)
{
	unsigned n = b->nlegs;

	if (!ring_group(d, b) && !has_waiting(b))
		return;
	for (unsigned i = 0; i < n; i++)
		if (b->legs[i]->state != LEG_ENDED)
			leg_close(b->legs[i], 0, NO_ANSWER);
}

static void note_no_answer(struct dial *d, struct branch *b)
{
	decided(d->call, DECISION_NO_ANSWER, b->number, NULL);
	branch_end(b, APP_NO_ANSWER, 480, NO_ANSWER);
}

void branch_check(struct dial *d, struct branch *b)
{
	struct leg *best = NULL, *redirected = NULL;
	bool is_over = true, is_refused = false;

	for (unsigned i = 0; i < b->nlegs; i++) { /* more may come meanwhile */
		struct leg *leg = b->legs[i];

		if (leg->state != LEG_ENDED || ring_other_flow(d, b, i) || dial_other_family(d, b, leg) || dial_other_way(d, b, leg) ||
		    dial_elsewhere(d, b, leg)) {
			is_over = false;
			continue;
		}
		is_refused = is_refused || leg->status >= 600;
		redirected = leg->redirects && !leg->is_outside ? leg : redirected;
		if (!best || branch_rank(result_of_status(leg->status)) > branch_rank(result_of_status(best->status)))
			best = leg;
	}
	if (is_over && !is_refused && !redirected && (ring_group(d, b) || has_waiting(b)))
		is_over = false;
	if (is_over || is_refused || redirected) /* a 3xx without its Contact would tell the caller nothing */
		branch_end(b, branch_outcome(best), status_to_pass(best->status, best->is_outside), best->reason ? best->reason : "");
	else if (timers_now(engine(d)->p.timers) >= b->ring_until_ms || call_is_overdue(d->call))
		note_no_answer(d, b);
	else if (timers_now(engine(d)->p.timers) >= b->group_until_ms)
		return next_group(d, b);
	else
		return;
	branch_close_legs(b, b->outcome == APP_NO_ANSWER ? NO_ANSWER : NULL, NULL);
	if (is_refused) { /* for all: nobody else is asked either */
		dial_tell_referrers(b, b->status);
		b->redirecting = NULL;
	}
	if (!redirected || is_refused || !dial_redirect(d, b, redirected))
		dial_forward_after(d, b);
}

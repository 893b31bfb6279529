/* dial_forward.c - sends a branch on to another number.
 *
 * A forward to another extension rings that one in the branch. One to anything else (a menu, a mailbox, a number outside) is a route of
 * its own, which only the whole call can take: the dial ends with it, unless it comes to nothing and a 3xx has named others, too.
 */
#define LOG_MODULE "dial"
#include "call/dial_int.h"

#define FORWARDS_AT_ONCE 5     /* calls of one caller that one extension sends on at a time */

/* Notes by whom the branch is sent on. false: often enough. */
static bool divert(struct dial *d, struct branch *b, const char *reason, const struct dir_extension *ext)
{
	struct diversion *v;

	if (diversion_count(b->diverted) >= DIVERSIONS_MAX) {
		decided(d->call, DECISION_NO_FORWARD, b->number, "", "it has been sent on often enough", NULL);
		log_warn(engine(d)->p.log, "call=%s number=%s not forwarded: sent on %u times already", d->call->id, b->number,
			 diversion_count(b->diverted));
		return false;
	}
	v = diversion_add(&d->call->diversions, b->diverted, b->number, diversion_reason_of(str_from(reason)));
	if (!v)
		return false;
	v->is_extension = ext != NULL;
	v->is_hidden = ext && ext->anonymous != DIR_NEVER;
	b->diverted = v;
	return true;
}

/* May the call leave the house? One that came from there by the same extension would go round for ever; where a network drops
 * Diversion on the way, it is the number of calls of one caller at once that gives it away. */
static bool may_leave(struct dial *d, const struct branch *b, const struct dir_extension *ext)
{
	struct call *call = d->call;
	char key[160];
	bool is_loop = diversion_has(b->diverted, ext->number) || (ext->caller_id && diversion_has(b->diverted, ext->caller_id));

	snprintf(key, sizeof(key), "forward:%s:%.64s", ext->number, call->caller.number);
	if (!is_loop && !call->forward_usage)
		is_loop = !usage_take(engine(d), &call->forward_usage, call->domain, key, FORWARDS_AT_ONCE);
	if (is_loop) {
		decided(call, DECISION_NO_FORWARD, b->number, "", "it goes in a circle", NULL);
		log_warn(engine(d)->p.log, "call=%s number=%s not forwarded: it goes in a circle", call->id, b->number);
	}
	return !is_loop;
}

/* A phone's 3xx mustn't take one of our callers where his own class of service doesn't: the numbers in it are whatever who speaks for
 * that phone writes. What the administrator stored as a forward may; and who comes from outside has no numbers to dial. */
static bool may_dial(struct dial *d, const struct branch *b, const char *number)
{
	const struct call *call = d->call;
	struct route *route;

	if (plan_match(engine(d)->p.plan, call->domain, call->caller.context, str_from(number), &route) == DIR_FOUND) {
		route_release(route);
		return true;
	}
	decided(d->call, DECISION_NO_FORWARD, b->number, number, "the caller may not dial it", NULL);
	log_info(engine(d)->p.log, "call=%s number=%s not diverted to=%s: the caller may not dial it", call->id, b->number, number);
	return false;
}

static bool may_be_diverted(struct dial *d, const struct branch *b, const char *number)
{
	return d->call->caller.trunk[0] || may_dial(d, b, number);
}

/* From outside: nobody's forward stands behind it. Who himself comes from outside has what his trunk's context has. */
bool dial_may_divert(struct dial *d, const struct branch *b, const char *number)
{
	return may_dial(d, b, number);
}

bool dial_divert(struct dial *d, struct branch *b, const char *reason, const char *number)
{
	if (!divert(d, b, reason, NULL))
		return false;
	str_put(b->number, sizeof(b->number), number);
	return true;
}

/* Puts a forward's target in the branch. false: it may not be followed. */
static bool forward_to(struct dial *d, struct branch *b, const char *reason, const char *target)
{
	struct directory *dir = engine(d)->p.directory;
	const struct dir_extension *to, *ext = NULL;
	struct call *call = d->call;
	bool is_inside;

	if (d->p->trunk || d->p->ignores_forwards)
		return false;
	if (b->forwards == CALL_FORWARD_MAX) {
		decided(call, DECISION_NO_FORWARD, b->number, target, "it has been forwarded often enough", NULL);
		return false;
	}
	if (directory_extension(dir, call->domain, str_from(b->number), &ext) != DIR_FOUND)
		ext = NULL;
	is_inside = directory_extension(dir, call->domain, str_from(target), &to) == DIR_FOUND;
	/* A menu, a mailbox, an outside number: only a whole call can go there, with the class of service of who forwards. */
	if (!is_inside && (d->n > 1 || !ext || !may_leave(d, b, ext)))
		return false;
	if (!divert(d, b, reason, ext))
		return false;
	decided(call, DECISION_FORWARD, b->number, reason, target, NULL);
	log_info(engine(d)->p.log, "call=%s number=%s forwarded reason=%s to=%s", call->id, b->number, reason, target);
	b->forwards++;
	if (!is_inside) {
		snprintf(d->goto_number, sizeof(d->goto_number), "%s", target);
		snprintf(d->goto_context, sizeof(d->goto_context), "%s", ext->context);
		call->diverted = b->diverted;
		branch_end(b, APP_MOVED, 0, "");
		return true;
	}
	str_put(b->number, sizeof(b->number), target);
	usage_give(engine(d), b->usage);
	b->usage = NULL;
	b->nlegs = 0;
	b->targets = NULL;
	b->again = NULL;
	b->state = BRANCH_WAITING;
	b->start_at_ms = 0;
	return true;
}

bool dial_forward(struct dial *d, struct branch *b, const char *reason)
{
	struct dir_forward f;

	return directory_forward(engine(d)->p.directory, d->call->domain, str_from(b->number), reason, &f) == DIR_FOUND &&
	       forward_to(d, b, reason, f.target);
}

/* The better outcome of those so far. */
static void keep_best(struct redirecting *r, struct branch *b)
{
	if (branch_rank(r->outcome) > branch_rank(b->outcome)) {
		branch_end(b, r->outcome, r->status, r->reason);
		return;
	}
	r->outcome = b->outcome;
	r->status = b->status;
	str_put(r->reason, sizeof(r->reason), b->reason);
}

/* RFC 3261 §8.1.3.4: nobody is asked twice, who sends it on least of all; of a list those before have been. */
static bool was_asked(const struct redirecting *r, const char *number)
{
	for (unsigned i = 0; i + 1 < r->at; i++)
		if (!strcmp(r->list->to[i].number, number))
			return true;
	return !strcmp(r->by, number) || diversion_has(r->diverted, number);
}

static void tell_referrer(struct leg *leg, int status)
{
	if (status <= 200)
		referral_tell(leg, status);
	else
		referral_fail(leg, status);
}

void dial_tell_referrers(struct branch *b, int status)
{
	for (struct redirecting *r = b->redirecting; r; r = r->outer)
		tell_referrer(r->leg, status);
}

const struct leg *dial_referrer(const struct branch *b)
{
	return b->redirecting && b->redirecting->leg->referral ? b->redirecting->leg : NULL;
}

/* Who refers was asked when he did whether he may (referral.c). */
static bool may_follow(struct dial *d, const struct branch *b, const struct redirecting *r, const struct redirect *to)
{
	return !was_asked(r, to->number) && (r->leg->referral || may_be_diverted(d, b, to->number));
}

/* Sends the branch on to the next of the numbers that a 3xx named, if there is one that may be followed. */
static bool redirect_next(struct dial *d, struct branch *b)
{
	for (struct redirecting *r = b->redirecting; r; r = b->redirecting = r->outer) {
		keep_best(r, b);
		while (r->at < r->list->n) {
			const struct redirect *to = &r->list->to[r->at++];

			str_put(b->number, sizeof(b->number), r->by);
			b->diverted = r->diverted;
			if (may_follow(d, b, r, to) && forward_to(d, b, to->reason, to->number))
				return true;
		}
		referral_fail(r->leg, b->status);
	}
	return false;
}

void dial_forward_after(struct dial *d, struct branch *b)
{
	static const char *const reasons[APP_RESULT_COUNT] = {
		[APP_BUSY] = "busy", [APP_NO_ANSWER] = "no_answer", [APP_UNAVAILABLE] = "unavailable",
	};

	if (b->outcome == APP_MOVED || (reasons[b->outcome] && dial_forward(d, b, reasons[b->outcome])))
		return;
	redirect_next(d, b);
}

bool dial_redirect_again(struct dial *d, enum app_result *r)
{
	struct branch *b = &d->branches[0]; /* of several none is sent there */
	struct call *call = d->call;

	if (!d->goto_number[0] || !b->redirecting || !branch_rank(*r) || *r == APP_MOVED || call->is_hungup)
		return false;
	d->goto_number[0] = '\0';
	branch_end(b, *r, call->reject_status, call->reject_reason ? call->reject_reason : "");
	if (redirect_next(d, b))
		return true;
	*r = b->outcome;
	call->reject_status = b->status;
	text_keep(&call->reject_reason, b->reason);
	return false;
}

bool dial_redirect(struct dial *d, struct branch *b, struct leg *leg)
{
	struct redirecting *r = call_alloc(d->call, sizeof(*r));

	if (!r)
		return false;
	*r = (struct redirecting){ .outer = b->redirecting, .leg = leg, .list = leg->redirects, .diverted = b->diverted, .outcome = b->outcome, .status = b->status };
	str_put(r->by, sizeof(r->by), b->number);
	str_put(r->reason, sizeof(r->reason), b->reason);
	b->redirecting = r;
	return redirect_next(d, b);
}

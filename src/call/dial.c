/* dial.c - rings numbers, joins the caller to the first who answers, and waits for the end.
 *
 * Each number dialled is a branch: an extension with its contacts (targets.c: which ring now, which next), or one target
 * through a trunk. A branch ends
 * when all its legs have, or when it has rung long enough; then its extension's forward for that outcome may set it going
 * again with another number. The first leg to answer wins; the others are cancelled as "completed elsewhere".
 */
#define LOG_MODULE "dial"
#include <stdlib.h>

#include "call/hop.h"
#include "call/targets.h"
#include "base/log.h"

#define ROUTE_MAX 2048

#define FORWARDS_AT_ONCE 5     /* calls of one caller that one extension sends on at a time */
#define ELSEWHERE "SIP;cause=200;text=\"Call completed elsewhere\""

enum branch_state { BRANCH_WAITING, BRANCH_RINGING, BRANCH_ENDED };

struct branch {
	enum branch_state state;
	char number[128];
	uint64_t start_at_ms, ring_until_ms;
	uint64_t group_until_ms; /* then the phones of the next lower q, if there are any, have their turn */
	uint32_t ring_s;      /* at most, from when it begins; 0: the extension's own time */
	unsigned forwards, nlegs;
	const struct diversion *diverted; /* by whom it was sent here */
	struct leg *legs[TARGETS_MAX];
	struct target *rung[TARGETS_MAX]; /* whom a leg rings; NULL: no contact of an extension */
	struct targets *targets;
	struct again *again;  /* NULL: nowhere */
	struct usage *usage;
	enum app_result outcome;
	int status;
	char reason[REASON_MAX];
};

/* The same by the other address family, with an offer of that. */
struct again {
	char *target, *route;
	struct sip_dest dest;
};

struct dial {
	struct call *call;
	const struct app_dial *p;
	unsigned n;
	struct branch *branches;
	uint64_t until_ms;    /* no longer in all */
	bool is_ringing;      /* the caller was told */
	unsigned nswaps;      /* that caller: another may take his place */
	char goto_number[128], goto_context[64]; /* a forward to something that isn't an extension */
};

static struct calls *engine(const struct dial *d)
{
	return d->call->calls;
}

/* ---- branches ---- */

static uint64_t ring_until(const struct dial *d, uint32_t ring_s)
{
	uint64_t at = call_deadline(d->call, ring_s * 1000);

	return at < d->until_ms ? at : d->until_ms;
}

static void branch_end(struct branch *b, enum app_result outcome, int status, const char *reason)
{
	b->state = BRANCH_ENDED;
	b->outcome = outcome;
	b->status = status;
	str_put(b->reason, sizeof(b->reason), reason);
}

/* Whom to ring: target is a URI; contact (of an extension) or trunk may be NULL. */
struct ring {
	const char *target, *route;  /* route: a value of Route, or NULL */
	const struct sip_dest *dest;
	struct target *contact;
	bool is_outside;
	const struct dir_trunk *trunk;
	bool has_rivals;
};

/* What is left of the call's breadth is dealt out in shares, so that further ones find some too (RFC 5393 §5.3.3). 0: none is left. */
static uint16_t breadth_share(const struct dial *d)
{
	const struct call *call = d->call;
	unsigned used = 0, shares = d->n > 4 ? d->n : 4, left;

	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		used += leg != call->caller_leg && leg->state != LEG_ENDED ? leg->breadth : 0;
	left = used < call->max_breadth ? call->max_breadth - used : 0;
	if (!left)
		return call->is_breadth_given ? 0 : 1; /* a large group of a caller who set no limit */
	return (uint16_t)(left / shares ? left / shares : 1);
}

/* RFC 5630, RFC 3261 §26.2.2: who calls a sips URI is promised that each hop is TLS. The caller is told if that was in the way. */
static bool is_too_open(struct call *call, const struct sip_dest *dest)
{
	if (!call->is_secure || dest->proto == SIP_TLS || dest->proto == SIP_WSS)
		return false;
	call->is_sips_refused = true;
	return true;
}

static void ring_one(struct dial *d, struct branch *b, const struct ring *r)
{
	const struct dir_trunk *trunk = r->trunk;
	const struct dir_extension *ext;
	struct call *call = d->call;
	struct leg_dial p = {
		.target = str_from(r->target),
		.dest = *r->dest,
		.route = str_from(r->route),
		.to_user = b->number,
		.diverted = b->diverted,
		.auth_user = trunk ? trunk->auth_user : NULL,
		.auth_password = trunk ? trunk->auth_password : NULL,
		.near = call->caller_leg,
		.timing = call_timing(call, trunk),
		.has_rivals = r->has_rivals,
	};
	struct leg *leg;
	int err;

	p.breadth = breadth_share(d);
	if (b->nlegs == TARGETS_MAX || !p.breadth || is_too_open(call, r->dest))
		return;
	leg = leg_new(call, false);
	if (!leg)
		return;
	leg->is_outside = r->is_outside;
	str_put(leg->peer, sizeof(leg->peer), trunk ? trunk->name : b->number);
	str_put(leg->number, sizeof(leg->number), b->number);
	if (!r->contact || directory_extension(engine(d)->p.directory, call->domain, str_from(b->number), &ext) != DIR_FOUND)
		ext = NULL;
	told_callee(leg, b->number, ext, trunk);
	err = leg_dial(leg, &p);
	if (err) {
		log_warn(engine(d)->p.log, "call=%s leg=%u target=%s: %s", call->id, leg->id, r->target, uv_strerror(err));
		leg->status = err == -EADDRINUSE ? 503 : 480;
		leg->cause = cause_of_status(leg->status);
		leg_close(leg, leg->status, NULL);
		return;
	}
	log_debug(engine(d)->p.log, "call=%s leg=%u ringing target=%s", call->id, leg->id, r->target);
	b->rung[b->nlegs] = r->contact;
	b->legs[b->nlegs++] = leg;
}

/* The way its registrar gave us (RFC 3608), or through its proxy. */
static int trunk_route(struct dial *d, const struct dir_trunk *trunk, char route[ROUTE_MAX])
{
	const char *given = engine(d)->p.outgoing ? outgoing_route(engine(d)->p.outgoing, trunk->domain, trunk->name) : NULL;
	struct out o;

	out_init(&o, route, ROUTE_MAX - 1);
	if (given)
		out_z(&o, given);
	else if (trunk->proxy)
		out_fmt(&o, "<%s%s>", trunk->proxy, strstr(trunk->proxy, ";lr") ? "" : ";lr");
	route[o.len] = '\0';
	return out_ok(&o) ? 0 : -ENAMETOOLONG;
}

static bool ring_again(struct dial *d, struct branch *b);

/* The first way; the other is kept until this one has failed. */
static void ring_outside(struct dial *d, struct branch *b, const char *target, const char *route, const struct hop *hop)
{
	struct call *call = d->call;
	struct again *a = hop->has_other ? call_alloc(call, sizeof(*a)) : NULL;
	const struct dir_trunk *trunk = NULL;

	if (a) {
		a->dest = hop->other;
		a->target = call_strdup(call, target);
		a->route = route ? call_strdup(call, route) : NULL;
		b->again = a->target && (a->route || !route) ? a : NULL;
	}
	if (d->p->trunk && directory_trunk(engine(d)->p.directory, call->domain, str_from(d->p->trunk), &trunk) != DIR_FOUND)
		return;
	ring_one(d, b, &(struct ring){ .target = target, .route = route, .dest = &hop->dest, .is_outside = true, .trunk = trunk,
				       .has_rivals = b->again });
	if (!b->nlegs)
		ring_again(d, b);
}

/* RFC 7984: a target that can't be reached by one address family may be by the other. */
static bool ring_again(struct dial *d, struct branch *b)
{
	struct again *a = b->again;
	unsigned n = b->nlegs;

	b->again = NULL;
	if (a)
		ring_outside(d, b, a->target, a->route, &(struct hop){ .dest = a->dest });
	return b->nlegs > n;
}

static bool ring_other_family(struct dial *d, struct branch *b, const struct leg *failed)
{
	return b->again && (failed->has_failed || failed->status == 503) && ring_again(d, b);
}

static void start_trunk(struct dial *d, struct branch *b)
{
	struct call *call = d->call;
	const struct dir_trunk *trunk;
	struct hop hop;
	struct sip_uri uri;
	char target[320], base[160], route[ROUTE_MAX], key[80];
	struct out o;

	if (directory_trunk(engine(d)->p.directory, call->domain, str_from(d->p->trunk), &trunk) != DIR_FOUND || !trunk->uri ||
	    str_copy(str_from(trunk->uri), base, sizeof(base)) != 0) {
		branch_end(b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"No such trunk\"");
		return;
	}
	/* At once, so that the route's next step can try another. */
	if (engine(d)->p.qualify && qualify_is_trunk_down(engine(d)->p.qualify, call->domain, d->p->trunk)) {
		branch_end(b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"Trunk doesn't answer\"");
		return;
	}
	str_join(key, sizeof(key), "trunk", ':', str_from(d->p->trunk));
	if (!usage_take(engine(d), &b->usage, call->domain, key, trunk->call_limit)) {
		branch_end(b, APP_CONGESTION, 503, "Q.850;cause=34;text=\"Trunk is full\"");
		return;
	}
	/* Looking the name up may park the task: the row is looked up again behind it. */
	if (trunk_route(d, trunk, route) != 0 || hop_find(call, base, route, &hop) != 0 ||
	    directory_trunk(engine(d)->p.directory, call->domain, str_from(d->p->trunk), &trunk) != DIR_FOUND ||
	    sip_uri_parse(&uri, str_from(base)) != 0) {
		branch_end(b, APP_UNAVAILABLE, 503, "Q.850;cause=38;text=\"Trunk unreachable\"");
		return;
	}
	out_init(&o, target, sizeof(target) - 1);
	out_z(&o, uri.scheme == SIP_SCHEME_SIPS ? "sips:" : "sip:");
	sip_escape_user(&o, str_from(b->number));
	out_chr(&o, '@');
	out_str(&o, uri.host);
	if (uri.port) {
		out_chr(&o, ':');
		out_u64(&o, uri.port);
	}
	if (uri.params.n) {
		out_chr(&o, ';');
		out_str(&o, uri.params);
	}
	if (!out_ok(&o)) {
		branch_end(b, APP_INVALID, 484, "");
		return;
	}
	target[o.len] = '\0';
	ring_outside(d, b, target, route[0] ? route : NULL, &hop);
}

static void start_uri(struct dial *d, struct branch *b)
{
	struct hop hop;

	if (hop_find(d->call, b->number, NULL, &hop) == 0)
		ring_outside(d, b, b->number, NULL, &hop);
	else
		branch_end(b, APP_UNAVAILABLE, 480, "Q.850;cause=20;text=\"Unreachable\"");
}

/* Notes by whom the branch is sent on. false: often enough. */
static bool divert(struct dial *d, struct branch *b, const char *reason, const struct dir_extension *ext)
{
	struct diversion *v;

	if (diversion_count(b->diverted) >= DIVERSIONS_MAX) {
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
	if (is_loop)
		log_warn(engine(d)->p.log, "call=%s number=%s not forwarded: it goes in a circle", call->id, b->number);
	return !is_loop;
}

/* A phone's 3xx mustn't take one of our callers where his own class of service doesn't: the numbers in it are whatever who speaks for
 * that phone writes. What the administrator stored as a forward may; and who comes from outside has no numbers to dial. */
static bool may_be_diverted(struct dial *d, const struct branch *b, const char *number)
{
	const struct call *call = d->call;
	struct route *route;

	if (call->caller.trunk[0])
		return true;
	if (plan_match(engine(d)->p.plan, call->domain, call->caller.context, str_from(number), &route) == DIR_FOUND) {
		route_release(route);
		return true;
	}
	log_info(engine(d)->p.log, "call=%s number=%s not diverted to=%s: the caller may not dial it", call->id, b->number, number);
	return false;
}

/* Puts a forward's target in the branch. false: it may not be followed. */
static bool forward_to(struct dial *d, struct branch *b, const char *reason, const char *target)
{
	struct directory *dir = engine(d)->p.directory;
	const struct dir_extension *to, *ext = NULL;
	struct call *call = d->call;
	bool is_inside;

	if (d->p->trunk || b->forwards == CALL_FORWARD_MAX)
		return false;
	if (directory_extension(dir, call->domain, str_from(b->number), &ext) != DIR_FOUND)
		ext = NULL;
	is_inside = directory_extension(dir, call->domain, str_from(target), &to) == DIR_FOUND;
	/* A menu, a mailbox, an outside number: only a whole call can go there, with the class of service of who forwards. */
	if (!is_inside && (d->n > 1 || !ext || !may_leave(d, b, ext)))
		return false;
	if (!divert(d, b, reason, ext))
		return false;
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

/* The extension's forward for this, if it has one. */
static bool follow_forward(struct dial *d, struct branch *b, const char *reason)
{
	struct dir_forward f;

	return directory_forward(engine(d)->p.directory, d->call->domain, str_from(b->number), reason, &f) == DIR_FOUND &&
	       forward_to(d, b, reason, f.target);
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
	ring_one(d, b, &(struct ring){ .target = t->contact, .route = t->route, .dest = &hop.dest, .contact = t });
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
	while (!any && b->targets && breadth_share(d) && targets_next_group(b->targets)) {
		for (struct target *t = b->targets->first; t; t = t->next) {
			if (t->state != TARGET_CHOSEN)
				continue;
			if (breadth_share(d))
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

	while (follow_forward(d, b, "always"))
		if (b->state == BRANCH_ENDED)
			return;
	b->state = BRANCH_RINGING;
	found = directory_extension(engine(d)->p.directory, call->domain, str_from(b->number), &ext);
	if (found != DIR_FOUND) {
		branch_end(b, found == DIR_ABSENT ? APP_INVALID : APP_CONGESTION, found == DIR_ABSENT ? 404 : 503, "");
		return;
	}
	b->ring_until_ms = ring_until(d, b->ring_s ? b->ring_s : ext->ring_s);
	if (!usage_take(engine(d), &b->usage, call->domain, b->number, ext->call_limit)) {
		branch_end(b, APP_BUSY, 486, "Q.850;cause=17;text=\"Call limit reached\"");
		return;
	}
	b->targets = targets_of(call, b->number);
	if (!ring_group(d, b))
		branch_end(b, APP_UNAVAILABLE, 480, "Q.850;cause=20;text=\"Not registered\"");
}

static void branch_start(struct dial *d, struct branch *b)
{
	b->state = BRANCH_RINGING;
	b->group_until_ms = UINT64_MAX;
	b->ring_until_ms = ring_until(d, b->ring_s);
	if (d->p->trunk)
		start_trunk(d, b);
	else if (!strncasecmp(b->number, "sip:", 4) || !strncasecmp(b->number, "sips:", 5))
		start_uri(d, b);
	else
		start_extension(d, b);
	if (b->state == BRANCH_RINGING && !b->nlegs)
		branch_end(b, APP_UNAVAILABLE, 480, "");
}

/* Rather tell the caller of the phone that was busy than of the one that was off. */
static unsigned rank(enum app_result r)
{
	static const unsigned ranks[APP_RESULT_COUNT] = {
		[APP_UNAVAILABLE] = 1, [APP_FAILED] = 2, [APP_INVALID] = 3, [APP_CONGESTION] = 4, [APP_NO_ANSWER] = 5,
		[APP_BUSY] = 6, [APP_DECLINED] = 7, [APP_MOVED] = 8,
	};

	return ranks[r];
}

static void branch_close_legs(struct branch *b, const char *reason, const struct leg *except)
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

/* It has ended: is its extension forwarded for that? */
static void forward_after(struct dial *d, struct branch *b)
{
	static const char *const reasons[APP_RESULT_COUNT] = {
		[APP_BUSY] = "busy", [APP_NO_ANSWER] = "no_answer", [APP_UNAVAILABLE] = "unavailable",
	};

	if (reasons[b->outcome])
		follow_forward(d, b, reasons[b->outcome]);
}

/* Those who had their time stop ringing, the next ones begin; where there is no breadth for both, when those have ended. */
static void next_group(struct dial *d, struct branch *b)
{
	unsigned n = b->nlegs;

	if (!ring_group(d, b) && !has_waiting(b))
		return;
	for (unsigned i = 0; i < n; i++)
		if (b->legs[i]->state != LEG_ENDED)
			leg_close(b->legs[i], 0, "Q.850;cause=19;text=\"No answer\"");
}

/* Looks at a ringing branch: over when all legs have ended, one refused for all (6xx) or diverts (3xx), or time is up. */
static void branch_check(struct dial *d, struct branch *b)
{
	const struct leg *best = NULL, *diverted = NULL;
	bool is_over = true, is_refused = false;

	for (unsigned i = 0; i < b->nlegs; i++) { /* more may come meanwhile */
		const struct leg *leg = b->legs[i];

		if (leg->state != LEG_ENDED || ring_other_flow(d, b, i) || ring_other_family(d, b, leg)) {
			is_over = false;
			continue;
		}
		is_refused = is_refused || leg->status >= 600;
		diverted = leg->divert[0] && !leg->is_outside ? leg : diverted;
		if (!best || rank(result_of_status(leg->status)) > rank(result_of_status(best->status)))
			best = leg;
	}
	if (is_over && !is_refused && !diverted && (ring_group(d, b) || has_waiting(b)))
		is_over = false;
	if (is_over || is_refused || diverted) /* a 3xx without its Contact would tell the caller nothing */
		branch_end(b, branch_outcome(best), status_to_pass(best->status, best->is_outside), best->reason);
	else if (timers_now(engine(d)->p.timers) >= b->ring_until_ms || call_is_overdue(d->call))
		branch_end(b, APP_NO_ANSWER, 480, "Q.850;cause=19;text=\"No answer\"");
	else if (timers_now(engine(d)->p.timers) >= b->group_until_ms)
		return next_group(d, b);
	else
		return;
	branch_close_legs(b, b->outcome == APP_NO_ANSWER ? "Q.850;cause=19;text=\"No answer\"" : NULL, NULL);
	if (!diverted || is_refused || !may_be_diverted(d, b, diverted->divert) ||
	    !forward_to(d, b, diverted->divert_reason, diverted->divert))
		forward_after(d, b);
}

/* ---- the whole ---- */

/* He may have hung up in the same moment, before we run: no less an answer. */
static bool has_answered(const struct leg *leg)
{
	return leg->state == LEG_ANSWERED || (leg->state == LEG_ENDED && leg->answered_ms && leg->by_peer);
}

static struct leg *answered_leg(const struct dial *d)
{
	if (d->call->picked_up && d->call->picked_up->state == LEG_ANSWERED)
		return d->call->picked_up;
	for (unsigned i = 0; i < d->n; i++)
		for (unsigned k = 0; k < d->branches[i].nlegs; k++)
			if (has_answered(d->branches[i].legs[k]))
				return d->branches[i].legs[k];
	return NULL;
}

/* The one that rings alone. */
static struct leg *only_leg(const struct branch *b)
{
	struct leg *only = NULL;

	for (unsigned i = 0; i < b->nlegs; i++) {
		if (b->legs[i]->state == LEG_ENDED)
			continue;
		if (only)
			return NULL;
		only = b->legs[i];
	}
	return only;
}

/* What the caller hears while it rings: the far end's early media when there is only one, music, or the ringing of his own phone. */
static void tell_caller(struct dial *d)
{
	struct leg *caller = d->call->caller_leg, *only = d->n == 1 ? only_leg(&d->branches[0]) : NULL;
	bool any = false;

	if (d->nswaps != d->call->nswaps)
		d->is_ringing = false;
	d->nswaps = d->call->nswaps;
	if (d->p->music_class && !d->is_ringing && (caller->state == LEG_ANSWERED || leg_early_media(caller) == 0)) {
		d->is_ringing = true;
		leg_music(caller, d->p->music_class);
		return;
	}
	for (unsigned i = 0; i < d->n; i++)
		for (unsigned k = 0; k < d->branches[i].nlegs; k++)
			any = any || d->branches[i].legs[k]->state == LEG_RINGING;
	if (any)
		transfer_progress(d->call, 180);
	if (!any || (d->p->music_class && d->is_ringing))
		return;
	if (!d->is_ringing || (only && only->has_early_media && !only->partner))
		told_connected(caller, only);
	if (only && only->has_early_media && !only->partner && (caller->state == LEG_ANSWERED || leg_early_media(caller) == 0)) {
		leg_bridge(caller, only);
		d->is_ringing = true;
	} else if (only && only->partner && only->is_alerting) {
		leg_ring(caller); /* 180 after 183 (RFC 3960): his phone rings if nothing is heard */
	} else if (!d->is_ringing) {
		d->is_ringing = true;
		if (caller->state == LEG_ANSWERED)
			leg_ringback(caller);
		else
			leg_ring(caller);
	}
}

static uint64_t next_deadline(const struct dial *d)
{
	const struct call *call = d->call;
	uint64_t at = call->answer_by_ms && !call->answered_ms ? call->answer_by_ms : UINT64_MAX;

	for (unsigned i = 0; i < d->n; i++) {
		const struct branch *b = &d->branches[i];
		uint64_t t = b->state == BRANCH_WAITING ? b->start_at_ms : b->state == BRANCH_RINGING ? b->ring_until_ms : UINT64_MAX;

		if (b->state == BRANCH_WAITING && t <= timers_now(engine(d)->p.timers))
			t = d->until_ms; /* for breadth: the end of a leg wakes us */
		if (b->state == BRANCH_RINGING && b->group_until_ms < t)
			t = b->group_until_ms;
		at = t < at ? t : at;
	}
	return at;
}

static bool step_branches(struct dial *d)
{
	bool any = false;

	for (unsigned i = 0; i < d->n; i++) {
		struct branch *b = &d->branches[i];

		if (b->state == BRANCH_RINGING)
			branch_check(d, b);
		if (b->state == BRANCH_WAITING && (call_is_overdue(d->call) || timers_now(engine(d)->p.timers) >= d->until_ms))
			branch_end(b, APP_NO_ANSWER, 480, "Q.850;cause=19;text=\"No answer\"");
		while (b->state == BRANCH_WAITING && timers_now(engine(d)->p.timers) >= b->start_at_ms && breadth_share(d)) {
			branch_start(d, b);
			if (b->state == BRANCH_ENDED) /* nobody rang at all: not registered, or busy by his limit */
				forward_after(d, b);
		}
		if (b->state == BRANCH_ENDED && b->outcome == APP_DECLINED && b->status >= 600)
			return false;
		any = any || b->state != BRANCH_ENDED;
	}
	return any;
}

/* The caller is answered, if he wasn't yet, and joined. */
static int join(struct dial *d, struct leg *callee)
{
	struct call *call = d->call;
	int err = 0;

	leg_unbridge(callee); /* of early media */
	leg_unbridge(call->caller_leg);
	told_connected(call->caller_leg, callee);
	if (call->caller_leg->state != LEG_ANSWERED)
		err = leg_answer(call->caller_leg);
	if (err) {
		log_warn(engine(d)->p.log, "call=%s caller can't be answered: %s", call->id, uv_strerror(err));
		leg_close(callee, 0, "SIP;cause=488");
		call->reject_status = status_of_error(err);
		return err;
	}
	call_answered(call);
	call->callee_leg = callee;
	if (callee->state != LEG_ENDED)
		leg_bridge(call->caller_leg, callee);
	return 0;
}

/* Joined until one of them ends. Either may have been taken to another call meanwhile, or have somebody else in his place. */
static enum app_result talk(struct dial *d, struct leg *callee)
{
	static const char clearing[] = "Q.850;cause=16;text=\"Normal call clearing\"";
	struct call *call = d->call;

	if (join(d, callee) != 0)
		return APP_HANGUP;
	for (;;) {
		/* Who was transferred may be back before we run: a transfer is noticed by itself, not by his being away. */
		while (!call->is_hungup && call->callee_leg->state != LEG_ENDED && !call->transfer_out) {
			connected_tell(call->caller_leg);
			connected_tell(call->callee_leg);
			call_wait(call, UINT64_MAX);
		}
		if (!call->transfer_out || !transfer_await(call))
			break;
		if (!call->is_hungup && call->callee_leg->state != LEG_ENDED) /* one may have hung up in the same moment */
			leg_bridge(call->caller_leg, call->callee_leg);
	}
	if (call->is_hungup) {
		if (call->callee_leg->state != LEG_ENDED)
			leg_close(call->callee_leg, 0, call->caller_leg->reason[0] ? call->caller_leg->reason : clearing);
		return APP_HANGUP;
	}
	str_put(call->reject_reason, sizeof(call->reject_reason), call->callee_leg->reason[0] ? call->callee_leg->reason : clearing);
	return APP_ANSWERED;
}

static void finish(struct dial *d, const struct leg *winner, const char *reason)
{
	if (!winner && !d->call->is_hungup)
		told_connected(d->call->caller_leg, NULL);
	for (unsigned i = 0; i < d->n; i++) {
		struct branch *b = &d->branches[i];

		branch_close_legs(b, reason, winner);
		for (unsigned k = 0; k < b->nlegs; k++)
			if (b->legs[k] == winner) {
				b->legs[k]->usage = b->usage;
				b->usage = NULL;
			}
		usage_give(engine(d), b->usage);
		b->usage = NULL;
	}
}

static enum app_result conclude(struct dial *d)
{
	struct call *call = d->call;
	const struct branch *best = &d->branches[0];

	for (unsigned i = 1; i < d->n; i++)
		if (rank(d->branches[i].outcome) > rank(best->outcome))
			best = &d->branches[i];
	if (d->goto_number[0])
		return app_goto(call, d->goto_context, d->goto_number);
	call->reject_status = best->status;
	str_put(call->reject_reason, sizeof(call->reject_reason), best->reason);
	return best->outcome;
}

static void prepare(struct dial *d)
{
	uint64_t now = timers_now(engine(d)->p.timers);

	d->until_ms = d->p->each_ring_s && d->p->ring_s ? now + (uint64_t)d->p->ring_s * 1000 : UINT64_MAX;
	for (unsigned i = 0; i < d->n; i++) {
		struct branch *b = &d->branches[i];
		uint32_t own_s = d->p->each_ring_s ? d->p->each_ring_s[i] : 0;

		str_put(b->number, sizeof(b->number), d->p->numbers[i]);
		b->diverted = d->call->diverted;
		b->ring_s = own_s ? own_s : d->p->ring_s;
		b->start_at_ms = now + (d->p->delay_s ? (uint64_t)d->p->delay_s[i] * 1000 : 0);
		if (b->start_at_ms >= d->until_ms)
			branch_end(b, APP_UNAVAILABLE, 480, "");
	}
}

enum app_result app_dial(struct call *call, const struct app_dial *p)
{
	struct dial *d = call_alloc(call, sizeof(*d));
	struct leg *winner = NULL;
	bool any = true;

	if (!d || !p->n)
		return APP_FAILED;
	*d = (struct dial){ .call = call, .p = p, .n = p->n, .nswaps = call->nswaps, .branches = call_alloc(call, p->n * sizeof(struct branch)) };
	if (!d->branches)
		return APP_FAILED;
	call->reject_status = 0;
	call->is_sips_refused = false;
	call->reject_reason[0] = '\0';
	/* RFC 7332: what goes on to another leg is a hop, or calls that lead back here would go round for ever. */
	if (call->max_forwards <= 1 || (call->is_breadth_given && !call->max_breadth)) {
		call->reject_status = call->max_forwards <= 1 ? 483 : 440;
		return APP_FAILED;
	}
	prepare(d);
	while (!call->is_hungup && !winner && any) {
		any = step_branches(d);
		winner = answered_leg(d);
		if (winner || !any || call->is_hungup)
			break;
		tell_caller(d);
		call_wait(call, next_deadline(d));
		winner = answered_leg(d);
	}
	finish(d, call->is_hungup ? NULL : winner,
	       winner ? ELSEWHERE : call->is_hungup && call->caller_leg->reason[0] ? call->caller_leg->reason : NULL);
	if (call->is_hungup)
		return APP_HANGUP;
	return winner ? talk(d, winner) : conclude(d);
}

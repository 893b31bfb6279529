/* dial.c - rings numbers, joins the caller to the first who answers, and waits for the end.
 *
 * Each number dialled is a branch (dial_branch.c), and each wake of the task looks at all of them. The first leg to answer wins; the
 * others are cancelled as "completed elsewhere".
 */
#define LOG_MODULE "dial"
#include "call/dial_int.h"
#include "call/originate.h"
#include "call/usage.h"

#define ELSEWHERE "SIP;cause=200;text=\"Call completed elsewhere\""
#define CLEARING  "Q.850;cause=16;text=\"Normal call clearing\""

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

/* Does it ring? Then who has sent the branch there by REFER is told. */
static bool tell_referrers(struct branch *b)
{
	bool any = false;

	for (unsigned i = 0; i < b->nlegs; i++)
		any = any || b->legs[i]->state == LEG_RINGING;
	if (any)
		dial_tell_referrers(b, 180);
	return any;
}

/* What the caller hears while it rings: the far end's early media when there is only one, music, or the ringing of his own phone. */
static void tell_caller(struct dial *d)
{
	struct leg *caller = d->call->caller_leg, *only = d->n == 1 ? only_leg(&d->branches[0]) : NULL;
	bool any = false;

	if (d->nswaps != d->call->nswaps)
		d->is_ringing = false;
	d->nswaps = d->call->nswaps;
	for (unsigned i = 0; i < d->n; i++)
		any = tell_referrers(&d->branches[i]) || any;
	if (d->p->music_class && !d->is_ringing && (caller->state == LEG_ANSWERED || leg_early_media(caller) == 0)) {
		d->is_ringing = true;
		leg_music(caller, d->p->music_class);
		return;
	}
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
			leg_tones(caller, DIR_TONE_RINGBACK);
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
			branch_end(b, APP_NO_ANSWER, 480, NO_ANSWER);
		while (b->state == BRANCH_WAITING && timers_now(engine(d)->p.timers) >= b->start_at_ms && dial_breadth(d)) {
			branch_start(d, b);
			if (b->state == BRANCH_ENDED) /* nobody rang at all: not registered, or busy by his limit */
				dial_forward_after(d, b);
		}
		if (b->state == BRANCH_ENDED && b->outcome == APP_DECLINED && b->status >= 600)
			return false;
		any = any || b->state != BRANCH_ENDED;
	}
	return any;
}

static const char *codec_of(const struct leg *leg)
{
	const struct codec *codec = codec_get(leg->codec_id);

	return leg->is_image ? "T.38" : codec ? codec->name : "";
}

static void note_codecs(const struct leg *caller, const struct leg *callee)
{
	if (caller->codec_id == callee->codec_id)
		leg_decided(callee, DECISION_TALKS, codec_of(callee), NULL);
	else
		leg_decided(callee, DECISION_CONVERTS, codec_of(callee), codec_of(caller), NULL);
}

/* The caller is answered, if he wasn't yet, and joined. */
static int join(struct call *call, struct leg *callee)
{
	int err = 0;

	leg_unbridge(callee); /* of early media */
	leg_unbridge(call->caller_leg);
	told_connected(call->caller_leg, callee);
	if (call->caller_leg->state != LEG_ANSWERED)
		err = leg_answer(call->caller_leg);
	if (err) {
		log_warn(call->calls->p.log, "call=%s caller can't be answered: %s", call->id, uv_strerror(err));
		if (err == -EPROTO)
			leg_tell_misfit(call->caller_leg);
		leg_close(callee, 0, "SIP;cause=488");
		call->reject_status = status_of_error(err);
		return err;
	}
	call_answered(call);
	call->callee_leg = callee;
	if (callee->state != LEG_ENDED)
		leg_bridge(call->caller_leg, callee);
	note_codecs(call->caller_leg, callee);
	return 0;
}

/* Those who asked for it before there was anybody to send on are heard now: a caller instead of being joined with who has answered, who
 * answered when they are. */
static int join_or_send_on(struct call *call, struct leg *callee)
{
	if (call->caller_leg->referral) {
		leg_unbridge(callee);
		leg_unbridge(call->caller_leg);
		referral_fail(callee, 603);
		call->callee_leg = callee;
		if (referral_act(call->caller_leg))
			return 0;
		if (call->is_hungup) {
			if (callee->state != LEG_ENDED)
				leg_close(callee, 0, CLEARING);
			return -ECANCELED;
		}
	}
	int err = join(call, callee);
	if (!err && callee->referral)
		referral_act(callee);
	return err;
}

/* With a clock to be looked at meanwhile there is no rest. */
static void wait_for_more(struct call *call)
{
	if (callee_watch_due(call) == UINT64_MAX) {
		call_rest(call);
		return;
	}
	call_wait(call, callee_watch_due(call));
	callee_watch_step(call);
}

/* Joined until one of them ends. Either may have been taken to another call meanwhile, or have somebody else in his place. */
static enum app_result talk_to_end(struct call *call, struct leg *callee, const struct app_dial *p)
{
	if (call->run == originate_run && call->caller_leg->has_left)
		return originate_take(call, callee);
	if (join_or_send_on(call, callee) != 0)
		return APP_HANGUP;
	if (p && p->detects && call->callee_leg == callee)
		callee_watch_begin(call, callee, p->leaves_machines);
	for (;;) {
		/* Who was transferred may be back before we run: a transfer is noticed by itself, not by his being away. */
		while (!call->is_hungup && call->callee_leg->state != LEG_ENDED && !call->transfer_out) {
			connected_tell(call->caller_leg);
			connected_tell(call->callee_leg);
			wait_for_more(call);
			if (callee_watch_leaves(call))
				break;
		}
		if (callee_watch_leaves(call) && !call->is_hungup && call->callee_leg->state != LEG_ENDED && !call->transfer_out) {
			leg_close(call->callee_leg, 0, CLEARING);
			return APP_NO_ANSWER;
		}
		if (!call->transfer_out || !transfer_await(call))
			break;
		if (call->is_hungup || call->callee_leg->state == LEG_ENDED) /* one may have hung up in the same moment */
			continue;
		if (call->caller_leg->state == LEG_ANSWERED)
			leg_bridge(call->caller_leg, call->callee_leg);
		else if (join(call, call->callee_leg) != 0)
			return APP_HANGUP;
	}
	if (call->is_hungup) {
		if (call->callee_leg->state != LEG_ENDED)
			leg_close(call->callee_leg, 0, call->caller_leg->reason ? call->caller_leg->reason : CLEARING);
		return call->callee_leg->has_left && !call->answered_ms ? APP_MOVED : APP_HANGUP;
	}
	text_keep(&call->reject_reason, call->callee_leg->reason ? call->callee_leg->reason : CLEARING);
	return call->answered_ms ? APP_ANSWERED : APP_MOVED; /* who was called went on at once */
}

/* p NULL: nothing is wished for. */
static enum app_result talk(struct call *call, struct leg *callee, const struct app_dial *p)
{
	enum app_result r = talk_to_end(call, callee, p);

	callee_watch_end(call);
	return r;
}

static void finish(struct dial *d, const struct leg *winner, const char *reason)
{
	if (!winner && !d->call->is_hungup)
		told_connected(d->call->caller_leg, NULL);
	for (unsigned i = 0; i < d->n; i++) {
		struct branch *b = &d->branches[i];
		int status = b->state == BRANCH_ENDED && b->status ? b->status : 487;

		branch_close_legs(b, reason, winner);
		for (unsigned k = 0; k < b->nlegs; k++)
			if (b->legs[k] == winner) {
				b->legs[k]->usage = b->usage;
				b->usage = NULL;
				if (d->p->trunk)
					budget_begin(b->legs[k], &(struct budget_call){ .way = BUDGET_OUT, .trunk = d->p->trunk, .extension = dial_payer(d, b) });
				status = 200;
			} else {
				referral_fail(b->legs[k], 487); /* who was a moment too late has nobody to send on */
			}
		usage_give(engine(d), b->usage);
		b->usage = NULL;
		dial_tell_referrers(b, status);
	}
}

static const struct branch *best_branch(const struct dial *d)
{
	const struct branch *best = &d->branches[0];

	for (unsigned i = 1; i < d->n; i++)
		if (branch_rank(d->branches[i].outcome) > branch_rank(best->outcome))
			best = &d->branches[i];
	return best;
}

static enum app_result conclude(struct dial *d)
{
	struct call *call = d->call;
	const struct branch *best = best_branch(d);

	if (d->goto_number[0])
		return app_goto(call, d->goto_context, d->goto_number);
	call->reject_status = best->status;
	text_keep(&call->reject_reason, best->reason);
	return best->outcome;
}

/* Somebody waits for who answers: the caller, or who he will be sent on to. */
static bool is_wanted(const struct dial *d)
{
	const struct call *call = d->call;

	return !call->is_hungup || (call->caller_leg->referral && !call->is_moved && !call->calls->is_closing);
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

/* Until somebody has answered, all have refused, or nobody waits for it any more. */
static struct leg *ring(struct dial *d)
{
	struct call *call = d->call;
	struct leg *winner = NULL;
	bool any = true;

	while (is_wanted(d) && !winner && any) {
		any = step_branches(d);
		winner = answered_leg(d);
		if (winner || !any || !is_wanted(d))
			break;
		tell_caller(d);
		call_wait(call, next_deadline(d));
		winner = answered_leg(d);
	}
	finish(d, is_wanted(d) ? winner : NULL,
	       winner || call->is_moved ? ELSEWHERE : call->is_hungup ? call->caller_leg->reason : NULL);
	return winner;
}

enum app_result dial_connect(struct call *call, struct leg *callee)
{
	return talk(call, callee, NULL);
}

enum app_result app_dial(struct call *call, const struct app_dial *p)
{
	struct dial *d = call_alloc(call, sizeof(*d));
	struct leg *winner;
	enum app_result r;

	if (!d || !p->n)
		return APP_FAILED;
	d->call = call;
	d->p = p;
	d->n = p->n;
	d->nswaps = call->nswaps;
	d->branches = call_alloc(call, p->n * sizeof(struct branch));
	if (!d->branches)
		return APP_FAILED;
	call->reject_status = 0;
	call->is_sips_refused = false;
	text_keep(&call->reject_reason, NULL);
	/* RFC 7332: what goes on to another leg is a hop, or calls that lead back here would go round for ever. */
	if (call->max_forwards <= 1 || (call->is_breadth_given && !call->max_breadth)) {
		call->reject_status = call->max_forwards <= 1 ? 483 : 440;
		decided(call, DECISION_HOPS, decision_int(call->reject_status).z, NULL);
		return APP_FAILED;
	}
	prepare(d);
	do {
		winner = ring(d);
		if (winner && is_wanted(d)) {
			call_free_block(call, d->branches); /* not kept as long as they talk */
			call_free_block(call, d);
			return talk(call, winner, p);
		}
		r = !call->is_hungup ? conclude(d) : call->caller_leg->has_left ? best_branch(d)->outcome : APP_HANGUP;
	} while (dial_redirect_again(d, &r));
	referral_fail(call->caller_leg, call->is_hungup ? best_branch(d)->status : call->reject_status);
	return r;
}

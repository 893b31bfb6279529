/* call.c - from a task that runs a route to the last leg's end, and the call's record. How one begins is in invite.c.
 *
 * A call lives as long as its task or any of its legs. The task never holds a pointer into a leg across a wait
 * without looking at the leg's state again: events may have ended it meanwhile.
 */
#define LOG_MODULE "call"
#include <stdlib.h>
#include <utlist.h>

#include "call/decision.h"
#include "call/leg_int.h"
#include "call/control.h"
#include "call/originate.h"
#include "call/trace.h"
#include "call/usage.h"
#include "base/log.h"

int64_t call_now_ms(const struct call *call)
{
	return clock_wall_ms(call->calls->p.clock);
}

/* ---- waiting ---- */

static void on_deadline(void *arg)
{
	struct call *call = arg;

	call->timed_out = true;
	call_wake(call);
}

void call_wake(struct call *call)
{
	if (call->task)
		task_wake(call->task, 0);
}

uint64_t call_deadline(const struct call *call, uint32_t after_ms)
{
	return after_ms ? timers_now(call->calls->p.timers) + after_ms : UINT64_MAX;
}

int call_wait(struct call *call, uint64_t until_ms)
{
	struct timers *w = call->calls->p.timers;
	uint64_t now = timers_now(w);

	if (until_ms <= now)
		return -ETIMEDOUT;
	call->timed_out = false;
	if (until_ms != UINT64_MAX)
		timer_start(w, &call->timer, until_ms - now);
	task_park(call->calls->p.tasks);
	timer_stop(w, &call->timer);
	return call->timed_out ? -ETIMEDOUT : 0;
}

void call_rest(struct call *call)
{
	task_rest(call->calls->p.tasks);
}

void call_digit(struct call *call, struct leg *leg, char digit)
{
	record_digit(leg, digit);
	if (leg != call->caller_leg || call->ndigits == CALL_DIGITS_MAX)
		return;
	call->digits[call->ndigits++] = digit;
	call_wake(call);
}

/* ---- memory of the running application ---- */

void *call_alloc(struct call *call, size_t n)
{
	struct call_block *b = calloc(1, sizeof(*b) + n);

	if (!b)
		return NULL;
	LL_PREPEND(call->blocks, b);
	return b + 1;
}

void call_free_block(struct call *call, void *p)
{
	struct call_block *b = (struct call_block *)p - 1;

	LL_DELETE(call->blocks, b);
	free(b);
}

char *call_strdup(struct call *call, const char *z)
{
	char *copy = call_alloc(call, strlen(z) + 1);

	return copy ? strcpy(copy, z) : NULL;
}

void call_free_blocks(struct call *call)
{
	while (call->blocks) {
		struct call_block *b = call->blocks;

		call->blocks = b->next;
		free(b);
	}
}

/* ---- the end ---- */

void calls_check_closed(struct calls *cs)
{
	void (*done)(void *) = cs->on_closed;

	if (!cs->is_closing || cs->live || cs->recordings || cs->is_removing || !done)
		return;
	cs->on_closed = NULL;
	live_stop(cs);
	share_stop(cs);
	budgets_stop(cs);
	usages_free(cs);
	budgets_free(cs);
	traces_free(cs->traces);
	cs->traces = NULL;
	done(cs->on_closed_arg);
}

static void call_free(struct call *call)
{
	struct calls *cs = call->calls;

	for (unsigned i = 0; i < call->ntemp_files; i++) {
		unlink(call->temp_files[i]);
		free(call->temp_files[i]);
	}
	free(call->temp_files);
	decisions_free(call);
	free(call->reject_reason);
	free(call->route);
	free(call->route_context);
	free(call->transferred_by);
	while (call->vars) {
		struct call_var *v = call->vars;

		call->vars = v->next;
		free(v->name);
		free(v->value);
		free(v);
	}
	call_free_blocks(call);
	diversion_free_all(&call->diversions);
	usage_give(cs, call->forward_usage);
	usage_give(cs, call->domain_usage);
	free(call->target);
	free(call->gruu);
	free(call->phone);
	free(call->parked);
	live_call_gone(call);
	DL_DELETE(cs->live, call);
	cs->n.live--;
	free(call);
	control_call_gone(cs);
	calls_check_closed(cs);
}

static void call_check_over(struct call *call)
{
	if (!call->task_ended)
		return;
	for (const struct leg *leg = call->legs; leg; leg = leg->next)
		if (leg->state != LEG_ENDED || leg->session || leg->stream || leg->others)
			return;
	call->ended_ms = call_now_ms(call);
	record_ended(call);
	cdr_write(call);
	trace_ended(call);
	while (call->legs) {
		struct leg *leg = call->legs;

		call->legs = leg->next;
		leg_release(leg);
	}
	call_free(call);
}

void call_leg_gone(struct call *call, struct leg *leg)
{
	(void)leg;
	call_wake(call);
	call_check_over(call);
}

static void on_task_end(void *arg)
{
	struct call *call = arg;

	call->task = NULL;
	call->task_ended = true;
	timer_stop(call->calls->p.timers, &call->timer);
	usage_give(call->calls, call->domain_usage);
	call->domain_usage = NULL;
	call_check_over(call);
}

/* ---- the task ---- */

int call_final_status(const struct call *call)
{
	if (call->reject_status)
		return call->reject_status;
	return status_of_result(call->result);
}

static enum dir_tone tone_of(int status)
{
	switch (status) {
	case 486:
	case 600:
	case 603:
		return DIR_TONE_BUSY;
	case 404:
	case 410:
	case 484:
	case 604:
		return DIR_TONE_SPECIAL_INFORMATION;
	default:
		return DIR_TONE_CONGESTION;
	}
}

/* Callers with phones or gateways that don't make a tone of a status hear it, for so long as theirs is to. */
static void tell_refusal(struct call *call)
{
	uint32_t s = leg_policy(call->caller_leg)->refusal_tone_s;
	int status = call_final_status(call);
	uint64_t until;

	if (!s || call->result == APP_OK || status < 400 || (!app_is_answered(call) && leg_early_media(call->caller_leg) != 0))
		return;
	if (leg_tones(call->caller_leg, tone_of(status)) != 0)
		return;
	until = call_deadline(call, s * 1000);
	while (!call->is_hungup && call_wait(call, until) != -ETIMEDOUT)
		;
}

static void run_call(void *arg)
{
	struct call *call = arg;
	enum app_result r = call->run ? call->run(call) : referral_is_call_back(call) ? referral_call_back(call) :
			    steps_run(call, call->context, call->target ? call->target : call->number);

	if (call->transfer_in)
		r = transfer_conclude(call, r);
	transfer_release(call);
	call_set_result(call, r);
	originate_over(call, r);
	for (struct leg *leg = call->legs, *next; leg; leg = next) {
		next = leg->next;
		referral_fail(leg, 487);
		if (leg->state != LEG_ENDED && leg != call->caller_leg)
			leg_close(leg, 0, NULL);
	}
	if (!call->is_hungup)
		tell_refusal(call);
	if (call->is_hungup)
		return;
	if (call->caller_leg->state != LEG_ANSWERED)
		decided(call, DECISION_TOLD, decision_int(call_final_status(call)).z, call->reject_reason ? call->reject_reason : "", NULL);
	leg_close(call->caller_leg, call_final_status(call), call->reject_reason ? call->reject_reason : "");
}

int call_start(struct call *call)
{
	return task_start(&call->task, call->calls->p.tasks, run_call, on_task_end, call);
}

void call_answered(struct call *call)
{
	transfer_answered(call); /* also of who came to a call whose caller had long been answered, when it rang once more */
	if (call->answered_ms)
		return;
	call->answered_ms = call_now_ms(call);
	call->calls->n.answered++;
	live_call(call);
	if (call->caller_leg->is_outside)
		budget_begin(call->caller_leg, &(struct budget_call){ .way = BUDGET_IN, .trunk = call->caller.trunk });
	record_answered(call);
	originate_answered(call);
}

bool call_is_overdue(const struct call *call)
{
	return call->answer_by_ms && !call->answered_ms && timers_now(call->calls->p.timers) >= call->answer_by_ms;
}

/* ---- the beginning ---- */

struct call *call_new(struct calls *cs, const struct auth_identity *who)
{
	struct call *call = calloc(1, sizeof(*call));
	const struct dir_domain *domain;
	const struct dir_extension *ext;

	if (!call)
		return NULL;
	call->calls = cs;
	call->caller = *who;
	rng_uuid(cs->p.rng, call->id);
	timer_init(&call->timer, on_deadline, call);
	call->started_ms = call_now_ms(call);
	call->record_beep_s = RECORD_BEEP_DOMAIN;
	str_put(call->domain, sizeof(call->domain), who->domain);
	str_put(call->context, sizeof(call->context), who->context);
	if (directory_domain(cs->p.directory, call->domain, &domain) == DIR_FOUND) {
		str_put(call->language, sizeof(call->language), domain->language);
		str_put(call->music_class, sizeof(call->music_class), domain->music_class);
		str_put(call->timezone, sizeof(call->timezone), domain->timezone);
		call->timing = (struct session_timing){ domain->session_expires_s, domain->session_min_s };
	}
	if (who->number[0] && !who->trunk[0] && directory_extension(cs->p.directory, call->domain, str_from(who->number), &ext) == DIR_FOUND) {
		str_put(call->language, sizeof(call->language), ext->language);
		str_put(call->music_class, sizeof(call->music_class), ext->music_class);
	}
	DL_APPEND(cs->live, call);
	cs->n.live++;
	return call;
}

void call_drop(struct call *call)
{
	call_free(call);
}

bool calls_is_full(const struct calls *cs)
{
	return cs->is_closing || cs->is_draining || (cs->p.max_calls && cs->n.live >= cs->p.max_calls);
}

struct session_timing call_timing(const struct call *call, const struct dir_trunk *trunk)
{
	struct session_timing t = call->timing;

	if (trunk && trunk->session_expires_s != UINT32_MAX)
		t.expires_s = trunk->session_expires_s;
	return t;
}

int calls_new(struct calls **out, const struct calls_params *p)
{
	struct calls *cs = calloc(1, sizeof(*cs));

	if (!cs)
		return -ENOMEM;
	cs->p = *p;
	cs->started_ms = clock_wall_ms(p->clock);
	zones_init(&cs->zones, ZONE_FOLDER, p->clock);
	if (p->directory && traces_new(&cs->traces, cs) != 0) {
		free(cs);
		return -ENOMEM;
	}
	sip_ua_handle(p->ua, SIP_INVITE, invite_request, cs);
	sip_ua_handle(p->ua, SIP_OPTIONS, options_request, cs);
	sip_ua_handle(p->ua, SIP_REFER, referral_outside, cs);
	sip_ua_support(p->ua, "replaces");
	sip_ua_support(p->ua, "norefersub");
	sip_ua_support(p->ua, "tdialog");  /* referral.c */
	sip_ua_support(p->ua, "histinfo"); /* diversion.c */
	sip_ua_support(p->ua, "uui");      /* pass.c */
	spool_recover(cs);
	live_start(cs);
	budgets_start(cs);
	share_start(cs);
	record_keep_start(cs);
	script_turns_init(cs);
	scripts_start(cs);
	*out = cs;
	return 0;
}

void calls_close(struct calls *cs, void (*done)(void *arg), void *arg)
{
	struct call *call, *next;

	cs->is_closing = true;
	control_stop(cs);
	record_keep_stop(cs);
	scripts_stop(cs);
	cs->on_closed = done;
	cs->on_closed_arg = arg;
	DL_FOREACH_SAFE(cs->live, call, next)
		for (struct leg *leg = call->legs, *after; leg; leg = after) {
			after = leg->next;
			if (leg->session)
				leg_close(leg, 503, NULL);
		}
	calls_check_closed(cs);
}

void calls_free(struct calls *cs)
{
	if (!cs)
		return;
	share_stop(cs); /* of those that were never closed */
	usages_free(cs);
	budgets_free(cs);
	traces_free(cs->traces);
	leg_passes_free(cs);
	zones_fini(&cs->zones);
	free(cs);
}

const struct calls_counters *calls_counters(const struct calls *cs)
{
	return &cs->n;
}

/* regroup.c - answered legs that are put into a new call by command (regroup.h). */
#define LOG_MODULE "call"
#include "call/regroup.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"

#define SLOTS_MAX 999
#define RECALL_S 30           /* how long who parked him rings; then it is music again */

struct parked {
	char by[64];              /* "": nobody who could be called */
	uint32_t timeout_s;
};

/* ---- a new call ---- */

/* The leg becomes its caller. It first runs from the loop. */
static int begin(struct leg *leg, const char *number, enum app_result (*run)(struct call *call), const char *name, struct call **out)
{
	struct leg *record;
	struct call *to;
	int err = -ENOMEM;

	if (!transfer_may_go(leg))
		return -EINVAL;
	if (leg->call->calls->is_closing)
		return -EAGAIN;
	record = leg_record_new(leg);
	to = record ? transfer_call_for(leg, "", number) : NULL;
	if (to) {
		to->run = run;
		to->run_name = name;
		err = call_start(to);
	}
	if (err) {
		if (to)
			call_drop(to);
		free(record);
		return err;
	}
	to->caller_leg = leg;
	leg_move(leg, to, record);
	leg->is_swapped = !leg->is_caller;
	live_call(to);
	*out = to;
	return 0;
}

/* The leg becomes who the caller talks to. */
static void take_callee(struct call *to, struct leg *leg, struct leg *record)
{
	leg_move(leg, to, record);
	to->callee_leg = leg;
	leg->is_swapped = leg->is_caller;
}

/* ---- two who talk ---- */

static enum app_result run_bridge(struct call *call)
{
	return dial_connect(call, call->callee_leg);
}

int regroup_bridge(struct leg *a, struct leg *b, struct call **out)
{
	char number[sizeof(a->call->number)];
	struct leg *record;
	int err;

	if (a == b || a->partner == b || !transfer_may_go(b))
		return -EINVAL;
	str_put(number, sizeof(number), leg_number(b));
	record = leg_record_new(b); /* before anybody leaves anything */
	err = record ? begin(a, number, run_bridge, "bridge", out) : -ENOMEM;
	if (err)
		free(record);
	else
		take_callee(*out, b, record);
	return err;
}

/* ---- who is parked ---- */

static struct call *find_parked(const struct calls *cs, const char *domain, const char *slot)
{
	struct call *call;

	DL_FOREACH(cs->live, call)
		if (call->parked && !call->is_hungup && !call->callee_leg && !strcmp(call->number, slot) && !strcmp(call->domain, domain))
			return call;
	return NULL;
}

static enum app_result run_park(struct call *call)
{
	const struct parked p = *call->parked;
	const char *number = p.by;
	enum app_result r;
	int err;

	for (;;) {
		err = app_music(call, NULL, p.timeout_s * 1000);
		if (err && err != -ECANCELED) /* there is no music */
			err = app_wait(call, p.timeout_s ? p.timeout_s * 1000 : UINT32_MAX);
		if (err || call->is_hungup)
			return call->is_moved ? APP_MOVED : APP_HANGUP;
		if (!p.by[0])
			continue;
		log_info(call->calls->p.log, "call=%s parked at %s too long: recalls number=%s", call->id, call->number, number);
		r = app_dial(call, &(struct app_dial){ .numbers = &number, .n = 1, .ring_s = RECALL_S, .ignores_forwards = true });
		if (r == APP_ANSWERED || r == APP_HANGUP || r == APP_MOVED || call->is_hungup)
			return r;
	}
}

static int choose_slot(const struct calls *cs, const char *domain, const char *wanted, char slot[64])
{
	str_put(slot, 64, wanted);
	if (wanted[0])
		return find_parked(cs, domain, wanted) ? -EBUSY : 0;
	for (unsigned n = 1; n <= SLOTS_MAX; n++) {
		snprintf(slot, 64, "%u", n);
		if (!find_parked(cs, domain, slot))
			return 0;
	}
	return -EBUSY;
}

int regroup_park(const struct regroup_park *p, struct call **out)
{
	struct calls *cs = p->leg->call->calls;
	const struct leg *by = p->leg->partner;
	struct parked *parked;
	char slot[64];
	int err = choose_slot(cs, p->leg->call->domain, p->slot, slot);

	if (err)
		return err;
	parked = calloc(1, sizeof(*parked));
	if (!parked)
		return -ENOMEM;
	parked->timeout_s = p->timeout_s;
	if (by && !by->is_outside)
		str_put(parked->by, sizeof(parked->by), by->peer);
	err = begin(p->leg, slot, run_park, "park", out);
	if (err)
		free(parked);
	else
		(*out)->parked = parked;
	return err;
}

enum app_result app_retrieve(struct call *call, const char *slot)
{
	struct leg *leg, *record;
	struct call *from;

	if (!find_parked(call->calls, call->domain, slot))
		return APP_INVALID;
	if (app_answer(call) != 0)
		return call->is_hungup ? APP_HANGUP : APP_FAILED;
	from = find_parked(call->calls, call->domain, slot); /* somebody may have been quicker */
	if (!from || !transfer_may_go(from->caller_leg))
		return APP_INVALID;
	leg = from->caller_leg;
	record = leg_record_new(leg);
	if (!record)
		return APP_FAILED;
	take_callee(call, leg, record);
	return dial_connect(call, leg);
}

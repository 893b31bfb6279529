/* app_listen.c - the operations of app.h that listen to the caller: who has answered, is it a fax machine, is it silent; and, for those who
 * dial, who has answered the caller.
 *
 * The stream tells of each change between talk and silence; what is made of that is amd.c's. While nothing changes, the time says
 * something as well: so each wait has an end, and a little more, for what happened just before it is told of after it.
 */
#define LOG_MODULE "app"
#include "call/call_int.h"
#include "base/log.h"
#include "media/hearing.h"

#define LATE_MS (HEARING_SILENCE_MS + 100)

static uint64_t now(const struct call *call)
{
	return timers_now(call->calls->p.timers);
}

/* ---- who has answered the caller ---- */

struct callee_watch {
	struct leg *leg;
	struct amd amd;
	enum amd_verdict verdict;
	uint64_t since_ms;
	bool leaves_machines, is_over;
};

static const struct amd_params usual = {
	.initial_silence_ms = 2500, .greeting_ms = 1500, .after_greeting_ms = 800, .total_ms = 5000, .word_ms = 100, .words = 3,
};

void callee_watch_begin(struct call *call, struct leg *callee, bool leaves_machines)
{
	struct callee_watch *w = callee->stream ? call_alloc(call, sizeof(*w)) : NULL;

	if (!w)
		return;
	*w = (struct callee_watch){ .leg = callee, .verdict = AMD_OPEN, .since_ms = now(call), .leaves_machines = leaves_machines };
	amd_init(&w->amd, &usual);
	call->callee_watch = w;
	stream_listen(callee->stream, STREAM_LISTEN_TALK | STREAM_LISTEN_FAX);
}

static void known(struct call *call, const char *who, const char *cause)
{
	struct callee_watch *w = call->callee_watch;

	w->is_over = true;
	if (w->leg->stream)
		stream_listen(w->leg->stream, 0);
	log_info(call->calls->p.log, "call=%s answered_by=%s cause=%s", call->id, who, cause);
	app_set_var(call, "answered_by", who);
}

static void judge(struct call *call)
{
	const struct callee_watch *w = call->callee_watch;

	if (w->verdict != AMD_OPEN)
		known(call, amd_verdict_name(w->verdict), w->amd.cause);
}

static void callee_heard(struct call *call, enum stream_heard what, uint32_t lasted_ms)
{
	struct callee_watch *w = call->callee_watch;

	if (what == STREAM_HEARD_CNG || what == STREAM_HEARD_CED) {
		known(call, "fax", what == STREAM_HEARD_CNG ? "CNG" : "CED");
		return;
	}
	w->since_ms = now(call) - (what == STREAM_HEARD_TALK ? HEARING_TALK_MS : HEARING_SILENCE_MS);
	w->verdict = amd_changes(&w->amd, lasted_ms);
	judge(call);
}

uint64_t callee_watch_due(const struct call *call)
{
	const struct callee_watch *w = call->callee_watch;

	return w && !w->is_over ? w->since_ms + amd_due(&w->amd) + LATE_MS : UINT64_MAX;
}

void callee_watch_step(struct call *call)
{
	struct callee_watch *w = call->callee_watch;

	if (!w || w->is_over || now(call) < callee_watch_due(call))
		return;
	w->verdict = amd_lasts(&w->amd, amd_due(&w->amd));
	judge(call);
}

bool callee_watch_leaves(const struct call *call)
{
	const struct callee_watch *w = call->callee_watch;

	return w && w->leaves_machines && w->is_over && w->verdict == AMD_MACHINE && w->leg == call->callee_leg;
}

void callee_watch_end(struct call *call)
{
	struct callee_watch *w = call->callee_watch;

	if (w && !w->is_over && w->leg == call->callee_leg && w->leg->state != LEG_ENDED && w->leg->stream)
		stream_listen(w->leg->stream, 0);
	if (w)
		call_free_block(call, w);
	call->callee_watch = NULL;
}

/* ---- the caller ---- */

void call_heard(struct call *call, struct leg *leg, enum stream_heard what, uint32_t lasted_ms)
{
	struct call_heard *h = &call->heard;

	if (call->callee_watch && leg == call->callee_watch->leg && leg == call->callee_leg && !call->callee_watch->is_over) {
		callee_heard(call, what, lasted_ms);
		call_wake(call);
		return;
	}
	if (leg != call->caller_leg)
		return;
	if (what == STREAM_HEARD_CNG || what == STREAM_HEARD_CED) {
		log_info(call->calls->p.log, "call=%s fax tone=%s", call->id, what == STREAM_HEARD_CNG ? "CNG" : "CED");
		h->is_fax = true;
		app_set_var(call, "fax", "yes");
	} else {
		h->talks = what == STREAM_HEARD_TALK;
		h->since_ms = now(call) - (h->talks ? HEARING_TALK_MS : HEARING_SILENCE_MS);
		if (h->amd && h->verdict == AMD_OPEN)
			h->verdict = amd_changes(h->amd, lasted_ms);
	}
	call_wake(call);
}

/* From now on, and again whenever another has taken the caller's place. */
static void listen_begin(struct call *call, unsigned what, unsigned *nswaps)
{
	if (*nswaps == call->nswaps || !call->caller_leg->stream)
		return;
	*nswaps = call->nswaps;
	call->heard.talks = false;
	call->heard.since_ms = now(call);
	stream_listen(call->caller_leg->stream, what | (call->heard.is_watched ? STREAM_LISTEN_FAX : 0));
}

static void listen_end(struct call *call)
{
	if (!call->is_hungup && call->caller_leg->stream)
		stream_listen(call->caller_leg->stream, call->heard.is_watched ? STREAM_LISTEN_FAX : 0);
}

int app_amd(struct call *call, const struct amd_params *p, enum amd_verdict *verdict, const char **cause)
{
	struct call_heard *h = &call->heard;
	int err = app_answer(call);
	unsigned nswaps = call->nswaps - 1;
	struct amd amd;

	if (err)
		return err;
	amd_init(&amd, p);
	h->verdict = AMD_OPEN;
	h->amd = &amd;
	while (!call->is_hungup && h->verdict == AMD_OPEN && !h->is_fax) {
		uint32_t due = amd_due(&amd);

		listen_begin(call, STREAM_LISTEN_TALK | STREAM_LISTEN_FAX, &nswaps);
		if (call_wait(call, h->since_ms + due + LATE_MS) == -ETIMEDOUT && h->verdict == AMD_OPEN)
			h->verdict = amd_lasts(&amd, due);
	}
	h->amd = NULL;
	listen_end(call);
	*verdict = h->verdict;
	*cause = h->is_fax ? "fax" : amd.cause;
	return call->is_hungup ? -ECANCELED : h->is_fax;
}

int app_fax_detect(struct call *call, uint32_t ms)
{
	uint64_t until;
	int err = app_answer(call);
	unsigned nswaps = call->nswaps - 1;

	if (err)
		return err;
	until = call_deadline(call, ms);
	while (!call->is_hungup && !call->heard.is_fax) {
		if (nswaps != call->nswaps)
			leg_tones(call->caller_leg, DIR_TONE_RINGBACK);
		listen_begin(call, STREAM_LISTEN_FAX, &nswaps);
		if (call_wait(call, until) == -ETIMEDOUT)
			break;
	}
	if (call->is_hungup)
		return -ECANCELED;
	if (call->caller_leg->stream)
		stream_silence(call->caller_leg->stream);
	listen_end(call);
	return call->heard.is_fax;
}

int app_fax_watch(struct call *call)
{
	if (call->is_hungup || !call->caller_leg->stream)
		return -ECANCELED;
	call->heard.is_watched = true;
	listen_end(call);
	return 0;
}

int app_wait_silence(struct call *call, uint32_t silence_ms, uint32_t ms)
{
	struct call_heard *h = &call->heard;
	int err = app_answer(call);
	unsigned nswaps = call->nswaps - 1;
	uint64_t until;
	bool is_silent = false;

	if (err)
		return err;
	until = call_deadline(call, ms);
	while (!call->is_hungup && !is_silent) {
		uint64_t wait_ms;

		listen_begin(call, STREAM_LISTEN_TALK, &nswaps);
		wait_ms = h->talks ? until : h->since_ms + silence_ms;
		if (call_wait(call, wait_ms < until ? wait_ms : until) != -ETIMEDOUT)
			continue;
		is_silent = !h->talks && now(call) >= h->since_ms + silence_ms;
		if (!is_silent && now(call) >= until)
			break;
	}
	listen_end(call);
	return call->is_hungup ? -ECANCELED : is_silent ? 0 : -ETIMEDOUT;
}

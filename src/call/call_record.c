/* call_record.c - the recordings of calls: which calls have one, and when it pauses. What a recording is: record_file.h.
 *
 * A recording begins when two answered legs are joined and somebody wants it: the policy of an extension or trunk that takes part, a
 * step, a key. It hears both, and belongs to the call: legs may be replaced, and when who talked goes on in another call, the recording goes
 * with him. While nobody is joined it stands still, so its segments are what was talked; but a step may have wanted all from there on (is_early): then
 * it begins with the answered caller alone, and hears what is played to him. Where a beep is wanted, both hear it while it goes.
 */
#define LOG_MODULE "record"
#include "call/leg_int.h"
#include "call/record_file.h"
#include "base/log.h"

#include <stdlib.h>

#define KEY_TIME_MS 3000        /* between two keys of a code */
#define RATE_HZ 8000
#define RATE_WIDE_HZ 16000      /* when one of those who talk has more than that */

static bool is_joined(const struct call *call)
{
	const struct leg *a = call->caller_leg, *b = call->callee_leg;

	return a && b && a->partner == b && a->state == LEG_ANSWERED && b->state == LEG_ANSWERED;
}

static bool goes_alone(const struct recording *r)
{
	return r->is_early && r->call->caller_leg->state == LEG_ANSWERED;
}

/* ---- the beep ---- */

static void beep_leg(struct leg *leg, int every_s)
{
	if (leg && leg->stream && leg->state == LEG_ANSWERED)
		stream_beep(leg->stream, every_s);
}

/* On all who are recorded, or off. */
static void beep(struct recording *r)
{
	struct call *call = r->call;
	const struct dir_domain *domain;
	int every_s = call->record_beep_s;

	if (every_s == RECORD_BEEP_DOMAIN)
		every_s = directory_domain(r->calls->p.directory, call->domain, &domain) == DIR_FOUND && domain->record_has_beep ?
			  (int)domain->record_beep_s : RECORD_BEEP_NONE;
	if (every_s == RECORD_BEEP_NONE)
		return;
	beep_leg(call->caller_leg, r->is_going ? every_s : -1);
	if (is_joined(call))
		beep_leg(call->callee_leg, r->is_going ? every_s : -1);
}

/* Goes on or stands still, as it should now. */
static void update(struct recording *r)
{
	bool goes = r->capture && !r->is_paused && (is_joined(r->call) || goes_alone(r));

	if (!record_file_go(r, goes))
		return;
	if (goes)
		record_file_segment_begin(r, r->call);
	beep(r);
}

/* ---- the beginning ---- */

static uint32_t rate_of(const struct leg *leg)
{
	return leg && leg->stream && codec_get(stream_codec(leg->stream))->rate_hz > RATE_HZ ? RATE_WIDE_HZ : RATE_HZ;
}

static void hear(struct recording *r, struct leg *leg)
{
	if (r->capture && leg->stream)
		stream_capture(leg->stream, r->capture, leg == leg->call->caller_leg ? CAPTURE_CALLER : CAPTURE_CALLEE);
}

static const char *number_of(const struct leg *leg)
{
	return !leg ? "" : leg->number[0] ? leg->number : leg->peer;
}

/* Once is enough of a full disk. */
static void on_failed(struct recording *r)
{
	record_file_go(r, false);
	beep(r);
	r->call->recording = NULL;
	r->call->record_wish = RECORD_UNWANTED;
}

static void begin(struct call *call, const char *started_by)
{
	struct calls *cs = call->calls;
	struct leg *callee = is_joined(call) ? call->callee_leg : NULL;
	uint32_t rate_hz = rate_of(call->caller_leg) > rate_of(callee) ? rate_of(call->caller_leg) : rate_of(callee);
	struct record_file_params p = { .caller = number_of(call->caller_leg), .callee = number_of(callee), .number = call->number,
				      .call_id = call->id, .started_by = started_by, .rate_hz = rate_hz };
	struct recording *r;
	int err;

	if (!cs->p.recordings || directory_domain(cs->p.directory, call->domain, &p.domain) != DIR_FOUND)
		return;
	p.is_stereo = p.domain->record_is_stereo;
	err = record_file_begin(&r, cs, &p, on_failed);
	if (err) {
		log_error(cs->p.log, "call=%s no recording: %s", call->id, uv_strerror(err));
		return;
	}
	r->call = call;
	r->is_early = call->record_is_early;
	call->recording = r;
	record_file_told(r);
	hear(r, call->caller_leg);
	if (callee)
		hear(r, callee);
	update(r);
}

/* Would the policy of who is at the far end of the leg have it recorded? */
static bool is_policy_of(const struct leg *leg, bool is_caller)
{
	/* What comes by a trunk comes in, what comes from an extension goes out. */
	return leg_policy(leg)->record & (is_caller == leg->is_outside ? DIR_RECORD_INBOUND : DIR_RECORD_OUTBOUND);
}

/* ---- what happens to legs ---- */

/* Perhaps with another one than before. */
static void joined_again(struct recording *r)
{
	bool was_going = r->is_going;

	if (!r->callee[0])
		str_put(r->callee, sizeof(r->callee), number_of(r->call->callee_leg));
	hear(r, r->call->caller_leg);
	hear(r, r->call->callee_leg);
	update(r);
	if (was_going && r->is_going)
		beep(r);
}

void record_answered(struct call *call)
{
	if (!call->recording && call->record_wish == RECORD_WANTED && call->record_is_early)
		begin(call, call->record_by);
	else if (call->recording)
		update(call->recording);
}

void record_joined(struct call *call)
{
	if (!is_joined(call))
		return;
	if (call->recording) {
		joined_again(call->recording);
	} else if (call->record_wish == RECORD_WANTED) {
		begin(call, call->record_by);
	} else if (call->record_wish == RECORD_BY_POLICY &&
		   (is_policy_of(call->caller_leg, true) || is_policy_of(call->callee_leg, false))) {
		begin(call, "policy");
	}
}

void record_parted(struct leg *leg)
{
	struct recording *r = leg->call->recording;

	if (!r)
		return;
	if (r->is_early && leg == leg->call->caller_leg && leg->state == LEG_ANSWERED) {
		update(r);
		return;
	}
	if (leg->stream && r->capture) {
		stream_capture(leg->stream, NULL, CAPTURE_CALLER);
		stream_beep(leg->stream, -1);
	}
	update(r);
}

void record_moved(struct call *from, struct call *to)
{
	struct recording *r = from->recording;

	if (!r || to->recording || to == from)
		return;
	from->recording = NULL;
	record_file_go(r, false);
	r->is_early = false;
	r->call = to;
	to->recording = r;
	to->record_wish = from->record_wish;
	to->record_by = from->record_by;
	to->record_beep_s = from->record_beep_s;
	record_file_log(r, "goes on here");
}

/* ---- the end ---- */

static void stop(struct recording *r)
{
	struct call *call = r->call;

	call->recording = NULL;
	record_file_go(r, false);
	beep(r);
	record_file_stop(r);
}

void record_ended(struct call *call)
{
	if (call->recording)
		stop(call->recording);
}

/* ---- what people say ---- */

static void set_paused(struct recording *r, bool is_paused)
{
	if (r->is_paused == is_paused)
		return;
	r->is_paused = is_paused;
	record_file_log(r, is_paused ? "pauses" : "goes on");
	update(r);
}

/* none, once, a number of seconds; NULL: as the domain says. */
static int take_beep(struct call *call, const char *text)
{
	char *end = NULL;
	long s = text ? strtol(text, &end, 10) : 0;

	if (text && !strcmp(text, "none"))
		call->record_beep_s = RECORD_BEEP_NONE;
	else if (text && !strcmp(text, "once"))
		call->record_beep_s = 0;
	else if (text && (end == text || *end || s < 5 || s > 3600))
		return -EINVAL;
	else if (text)
		call->record_beep_s = (int)s;
	return 0;
}

static void want(struct call *call)
{
	struct recording *r = call->recording;

	call->record_wish = RECORD_WANTED;
	if (r) {
		r->is_early |= call->record_is_early;
		set_paused(r, false);
		update(r);
	} else if (call->record_is_early && call->caller_leg->state == LEG_ANSWERED) {
		begin(call, call->record_by);
	} else {
		record_joined(call);
	}
}

int app_record_call(struct call *call, const struct app_record_wish *wish)
{
	const char *action = wish->action;
	struct recording *r = call->recording;

	if (take_beep(call, wish->beep) != 0)
		return -EINVAL;
	if (!strcmp(action, "start")) {
		call->record_is_early = wish->is_early;
		call->record_by = wish->by ? wish->by : "step";
		want(call);
	} else if (!strcmp(action, "stop")) {
		call->record_wish = RECORD_UNWANTED;
		if (r)
			stop(r);
	} else if (!strcmp(action, "pause") || !strcmp(action, "resume")) {
		if (r)
			set_paused(r, action[0] == 'p');
	} else {
		return -EINVAL;
	}
	return 0;
}

/* record_code has been pressed. */
static void on_demand(struct leg *leg)
{
	struct call *call = leg->call;

	if (call->recording) {
		set_paused(call->recording, !call->recording->is_paused);
	} else if (is_joined(call)) {
		begin(call, leg->peer);
	}
}

void record_digit(struct leg *leg, char digit)
{
	struct call *call = leg->call;
	const struct dir_extension *ext;
	const struct dir_domain *domain;
	uint64_t now = timers_now(call->calls->p.timers);
	size_t n, len;

	if (!leg->partner || leg->is_outside)
		return;
	n = now - leg->key_ms > KEY_TIME_MS ? 0 : strlen(leg->keys);
	if (n == sizeof(leg->keys) - 1)
		memmove(leg->keys, leg->keys + 1, n--);
	leg->keys[n] = digit;
	leg->keys[n + 1] = '\0';
	leg->key_ms = now;
	if (directory_domain(call->calls->p.directory, call->domain, &domain) != DIR_FOUND || !domain->record_code)
		return;
	len = strlen(domain->record_code);
	if (!len || len > n + 1 || strcmp(leg->keys + n + 1 - len, domain->record_code) != 0)
		return;
	leg->keys[0] = '\0';
	if (directory_extension(call->calls->p.directory, call->domain, str_from(leg->peer), &ext) == DIR_FOUND && ext->may_record)
		on_demand(leg);
}

/* app_call.c - the operations of app.h on the caller's leg itself. */
#define LOG_MODULE "app"
#include <stdarg.h>

#include "call/decision.h"
#include "base/log.h"

bool app_is_hungup(const struct call *call)
{
	return call->is_hungup;
}

void app_log(struct call *call, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_info(call->calls->p.log, "call=%s app=%s %s", call->id, call->app ? call->app->name : "-", text);
}

bool app_is_answered(const struct call *call)
{
	return call->caller_leg->state == LEG_ANSWERED;
}

int app_ring(struct call *call)
{
	if (call->is_hungup)
		return -ECANCELED;
	if (app_is_answered(call)) {
		leg_tones(call->caller_leg, DIR_TONE_RINGBACK);
		return 0;
	}
	return leg_ring(call->caller_leg);
}

int app_ring_aloud(struct call *call)
{
	int err;

	if (call->is_hungup)
		return -ECANCELED;
	err = leg_early_media(call->caller_leg);
	if (err == -ENOTSUP) /* he has offered nothing, so there is no way to him yet */
		return leg_ring(call->caller_leg);
	if (!err)
		leg_tones(call->caller_leg, DIR_TONE_RINGBACK);
	return err;
}

int app_answer(struct call *call)
{
	int err = 0;

	if (call->is_hungup)
		return -ECANCELED;
	if (call->caller_leg->state != LEG_ANSWERED) {
		err = leg_answer(call->caller_leg);
		if (!err)
			decided(call, DECISION_ANSWERED, call->app ? call->app->name : "", NULL);
		else if (err == -EPROTO)
			leg_tell_misfit(call->caller_leg);
	}
	if (err) {
		call->reject_status = status_of_error(err);
		return err;
	}
	call_answered(call);
	/* Without an ACK the session ends by itself after 64*T1. */
	while (!call->caller_leg->is_acked && !call->is_hungup)
		call_wait(call, UINT64_MAX);
	return call->is_hungup ? -ECANCELED : 0;
}

int app_hangup(struct call *call, int sip_status)
{
	if (call->is_hungup)
		return -ECANCELED;
	call->reject_status = sip_status;
	leg_close(call->caller_leg, sip_status, NULL);
	while (!call->is_hungup)
		call_wait(call, UINT64_MAX);
	return 0;
}

int app_wait(struct call *call, uint32_t ms)
{
	uint64_t until = call_deadline(call, ms);

	while (ms && !call->is_hungup && call_wait(call, until) != -ETIMEDOUT)
		;
	return call->is_hungup ? -ECANCELED : 0;
}

/* Until he hangs up or the time is over; start() again for who takes the caller's place meanwhile. */
static int play_until(struct call *call, uint32_t ms, int (*start)(struct leg *leg, const char *arg), const char *arg)
{
	uint64_t until = call_deadline(call, ms);
	unsigned nswaps = call->nswaps;
	int err = start(call->caller_leg, arg);

	while (!err && !call->is_hungup && call_wait(call, until) != -ETIMEDOUT) {
		if (nswaps != call->nswaps && !call->is_hungup)
			err = start(call->caller_leg, arg);
		nswaps = call->nswaps;
	}
	if (call->is_hungup)
		return -ECANCELED;
	if (!err)
		stream_silence(call->caller_leg->stream);
	return err;
}

static int start_echo(struct leg *leg, const char *arg)
{
	(void)arg;
	if (leg->stream)
		stream_echo(leg->stream);
	return 0;
}

int app_echo(struct call *call, uint32_t ms)
{
	int err = app_answer(call);

	return err ? err : play_until(call, ms, start_echo, NULL);
}

int app_music(struct call *call, const char *music_class, uint32_t ms)
{
	int err = app_answer(call);

	return err ? err : play_until(call, ms, leg_music, music_class ? music_class : call->music_class);
}

static int start_tones(struct leg *leg, const char *arg)
{
	return leg_tones(leg, (enum dir_tone)cadence_find(arg));
}

int app_tones(struct call *call, const char *tone, uint32_t ms)
{
	int err = cadence_find(tone) < 0 ? -ENOENT : call->is_hungup ? -ECANCELED : leg_early_media(call->caller_leg);

	if (err)
		return err;
	return play_until(call, ms, start_tones, tone);
}

int64_t app_now_ms(struct call *call)
{
	return call_now_ms(call);
}

void app_uuid(struct call *call, char buf[37])
{
	rng_uuid(call->calls->p.rng, buf);
}

/* app_call.c - the operations of app.h on the caller's leg itself. */
#define LOG_MODULE "app"
#include <stdarg.h>

#include "call/call_int.h"
#include "base/log.h"

bool app_is_hungup(const struct call *call)
{
	return call->is_hungup;
}

bool app_is_answered(const struct call *call)
{
	return call->caller_leg->state == LEG_ANSWERED;
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

int app_ring(struct call *call)
{
	return call->is_hungup ? -ECANCELED : leg_ring(call->caller_leg);
}

int app_answer(struct call *call)
{
	struct leg *leg = call->caller_leg;
	int err = 0;

	if (call->is_hungup)
		return -ECANCELED;
	if (leg->state != LEG_ANSWERED)
		err = leg_answer(leg);
	if (err) {
		call->reject_status = status_of_error(err);
		return err;
	}
	if (!call->answered_ms) {
		call->answered_ms = call_now_ms(call);
		call->calls->n.answered++;
	}
	/* Without an ACK the session ends by itself after 64*T1. */
	while (!leg->is_acked && !call->is_hungup)
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

static int wait_then_silence(struct call *call, uint32_t ms)
{
	uint64_t until = call_deadline(call, ms);

	while (!call->is_hungup && call_wait(call, until) != -ETIMEDOUT)
		;
	if (call->is_hungup)
		return -ECANCELED;
	stream_silence(call->caller_leg->stream);
	return 0;
}

int app_echo(struct call *call, uint32_t ms)
{
	int err = app_answer(call);

	if (err)
		return err;
	stream_echo(call->caller_leg->stream);
	return wait_then_silence(call, ms);
}

int app_music(struct call *call, const char *music_class, uint32_t ms)
{
	int err = app_answer(call);

	if (!err)
		err = leg_music(call->caller_leg, music_class ? music_class : call->music_class);
	return err ? err : wait_then_silence(call, ms);
}

int64_t app_now_ms(struct call *call)
{
	return call_now_ms(call);
}

void app_uuid(struct call *call, char buf[37])
{
	rng_uuid(call->calls->p.rng, buf);
}

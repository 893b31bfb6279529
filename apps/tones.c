/* tones.c - tones for the caller: those of his country. */
#include <errno.h>

#include "apps.h"

static enum app_result end(struct call *call, int err)
{
	if (app_is_hungup(call))
		return APP_HANGUP;
	if (err == -ENOENT)
		app_log(call, "there is no tone %s", app_arg(call, "tone"));
	return err ? APP_FAILED : APP_OK;
}

static enum app_result run_tones(struct call *call)
{
	return end(call, app_tones(call, app_arg(call, "tone"), (uint32_t)(app_arg_int(call, "seconds") * 1000)));
}

static const struct app_param tones_params[] = {
	{ "tone", APP_TEXT, true, NULL, "dial, ringback, busy, congestion, call_waiting or special_information" },
	{ "seconds", APP_SECONDS, false, "0", "how long; 0: until the caller hangs up" },
};

static const struct app_choice tones_choices[] = { { "tone", "dial ringback busy congestion call_waiting special_information" }, { NULL, NULL } };

const struct app app_tones_def = {
	.name = "tones", .help = "Plays a tone of the caller's country, without answering him.", .params = tones_params,
	.nparams = ARRAY_LEN(tones_params), .choices = tones_choices, .run = run_tones,
};

/* Who isn't answered hears it from his own phone; who is, from us. */
static enum app_result refuse(struct call *call, const char *tone, int status)
{
	if (app_is_answered(call))
		app_tones(call, tone, (uint32_t)(app_arg_int(call, "seconds") * 1000));
	app_hangup(call, status);
	return APP_HANGUP;
}

static enum app_result run_busy(struct call *call) { return refuse(call, "busy", 486); }
static enum app_result run_congestion(struct call *call) { return refuse(call, "congestion", 503); }

static const struct app_param seconds_params[] = {
	{ "seconds", APP_SECONDS, false, "10", "how long an answered caller hears it before he is hung up on; 0: until he hangs up" },
};

const struct app app_busy_def = {
	.name = "busy", .help = "Refuses the call with 486; an answered caller hears the busy tone.", .params = seconds_params,
	.nparams = ARRAY_LEN(seconds_params), .run = run_busy,
};
const struct app app_congestion_def = {
	.name = "congestion", .help = "Refuses the call with 503; an answered caller hears the congestion tone.", .params = seconds_params,
	.nparams = ARRAY_LEN(seconds_params), .run = run_congestion,
};

/* playback.c - plays phrases, one after the other, with keys to find one's way where there are any. */
#include "apps.h"

/* The key that an argument names; '\0': none. */
static char key(struct call *call, const char *name)
{
	const char *arg = app_arg(call, name);

	return arg ? arg[0] : '\0';
}

static enum app_result run(struct call *call)
{
	const struct app_listen listen = {
		.pause = key(call, "pause"),
		.forward = key(call, "forward"),
		.rewind = key(call, "rewind"),
		.stop_digits = app_arg(call, "stop"),
		.step_ms = (uint32_t)app_arg_int(call, "step") * 1000,
		.start_ms = (uint32_t)app_arg_int(call, "start") * 1000,
	};
	int err = app_play_listen(call, app_arg(call, "phrases"), &listen);

	return err < 0 ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "phrases", APP_PROMPT, true, NULL, "names of phrases, with & between them" },
	{ "start", APP_SECONDS, false, "0", "where to begin" },
	{ "pause", APP_TEXT, false, NULL, "key that halts it, and lets it go on" },
	{ "forward", APP_TEXT, false, NULL, "key that leaves out a step" },
	{ "rewind", APP_TEXT, false, NULL, "key that goes back by a step" },
	{ "step", APP_SECONDS, false, "5", "length of a step" },
	{ "stop", APP_TEXT, false, NULL, "keys, each of which ends it" },
};

const struct app app_playback_def = { .name = "playback", .help = "Answers and plays phrases.", .params = params,
				      .nparams = ARRAY_LEN(params), .run = run };

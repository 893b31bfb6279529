/* playback.c - plays phrases, one after the other. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int err = app_play(call, app_arg(call, "phrases"), NULL);

	return err < 0 ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "phrases", APP_PROMPT, true, NULL, "names of phrases, with & between them" },
};

const struct app app_playback_def = { .name = "playback", .help = "Answers and plays phrases.", .params = params,
				      .nparams = ARRAY_LEN(params), .run = run };

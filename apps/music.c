/* music.c - music for the caller. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int err = app_music(call, app_arg(call, "class"), (uint32_t)(app_arg_int(call, "seconds") * 1000));

	return err ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "class", APP_MUSIC, false, NULL, "music class; the caller's own when not given" },
	{ "seconds", APP_SECONDS, false, "0", "how long; 0: until the caller hangs up" },
};

const struct app app_music_def = { .name = "music", .help = "Answers and plays music.", .params = params, .nparams = ARRAY_LEN(params), .run = run };

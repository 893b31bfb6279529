/* wait.c - does nothing for a while. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	return app_wait(call, (uint32_t)(app_arg_int(call, "seconds") * 1000)) ? APP_HANGUP : APP_OK;
}

static const struct app_param params[] = {
	{ "seconds", APP_SECONDS, true, NULL, "how long" },
};

const struct app app_wait_def = { .name = "wait", .help = "Waits.", .params = params, .nparams = ARRAY_LEN(params), .run = run };

/* script.c - runs a script, in which every application is a function. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	return app_run_script(call, app_arg(call, "name"));
}

static const struct app_param params[] = {
	{ "name", APP_SCRIPT, true, NULL, "name of the script" },
};

const struct app app_script_def = { .name = "script", .help = "Runs a script in Lua.", .params = params, .nparams = ARRAY_LEN(params),
				    .run = run };

/* set.c - sets a variable of the call. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	return app_set_var(call, app_arg(call, "name"), app_arg(call, "value")) ? APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "name", APP_TEXT, true, NULL, "name of the variable; \"language\" changes the language of prompts" },
	{ "value", APP_TEXT, true, NULL, "its value" },
};

const struct app app_set_def = { .name = "set", .help = "Sets a variable.", .params = params, .nparams = ARRAY_LEN(params), .run = run };

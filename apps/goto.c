/* goto.c - goes on with another number. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	return app_goto(call, app_arg(call, "context"), app_arg(call, "number"));
}

static const struct app_param params[] = {
	{ "number", APP_NUMBER, true, NULL, "the number to go on with" },
	{ "context", APP_CONTEXT, false, NULL, "its context; the call's when not given" },
};

const struct app app_goto_def = { .name = "goto", .help = "Goes on with the route of another number.", .params = params,
				  .nparams = ARRAY_LEN(params), .run = run };

/* retrieve.c - takes a call that is parked. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	return app_retrieve(call, app_arg(call, "slot"));
}

static const struct app_param params[] = {
	{ "slot", APP_TEXT, true, NULL, "the number that it is parked under" },
};

const struct app app_retrieve_def = { .name = "retrieve", .help = "Takes the call that is parked under a number.", .params = params,
				      .nparams = ARRAY_LEN(params), .run = run };

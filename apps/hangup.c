/* hangup.c - ends the call: refuses an unanswered one with a status, hangs up an answered one. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int64_t status = app_arg_int(call, "status");

	app_hangup(call, status >= 400 && status <= 699 ? (int)status : 480);
	return APP_HANGUP;
}

static const struct app_param params[] = {
	{ "status", APP_INT, false, "480", "SIP status for a call that isn't answered, 400 to 699" },
};

const struct app app_hangup_def = { .name = "hangup", .help = "Ends the call.", .params = params, .nparams = ARRAY_LEN(params), .run = run };

/* fax_detect.c - is it a fax machine that calls? */
#include "apps.h"

static enum app_result run(struct call *call)
{
	const char *number = app_arg(call, "number");
	int64_t seconds = app_arg_int(call, "seconds");
	int r = seconds > 0 ? app_fax_detect(call, (uint32_t)(seconds * 1000)) : app_fax_watch(call);

	if (r < 0)
		return app_is_hungup(call) ? APP_HANGUP : APP_FAILED;
	if (r == 0)
		return APP_OK;
	return number ? app_goto(call, NULL, number) : APP_OK;
}

static const struct app_param params[] = {
	{ "seconds", APP_SECONDS, false, "4", "how long it is listened, while the caller hears it ring; 0: from now on, during the next steps" },
	{ "number", APP_NUMBER, false, NULL, "where a fax goes to; else the steps go on, and conditions can ask for fax=yes" },
};

const struct app app_fax_detect_def = {
	.name = "fax_detect", .help = "Answers and listens for the tones of a fax machine: ${fax} is yes then.", .params = params,
	.nparams = ARRAY_LEN(params), .run = run,
};

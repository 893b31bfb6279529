/* echo.c - sends the caller back what he says. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int err = app_echo(call, (uint32_t)(app_arg_int(call, "seconds") * 1000));

	return err ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "seconds", APP_SECONDS, false, "0", "how long; 0: until the caller hangs up" },
};

const struct app app_echo_def = { .name = "echo", .help = "Echo test: the caller hears himself.", .params = params,
				  .nparams = ARRAY_LEN(params), .run = run };

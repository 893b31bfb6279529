/* record.c - has the call recorded from here on, whatever policies say; the talk that follows, not what applications play. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int err = app_record_call(call, app_arg(call, "action"));

	if (err)
		app_log(call, "record: there is no action '%s'", app_arg(call, "action"));
	return err ? APP_INVALID : APP_OK;
}

static const struct app_param params[] = {
	{ "action", APP_TEXT, false, "start", "start: what is talked from now on, also in a pause; pause; resume; stop: for good" },
};

static const struct app_choice choices[] = { { "action", "start pause resume stop" }, { NULL, NULL } };

const struct app app_record_def = { .name = "record", .help = "Records the call, or doesn't.", .params = params,
				    .nparams = ARRAY_LEN(params), .choices = choices, .run = run };

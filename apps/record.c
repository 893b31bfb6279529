/* record.c - has the call recorded from here on, whatever policies say: the talk that follows, or all, with what applications play. */
#include <string.h>

#include "apps.h"

static enum app_result run(struct call *call)
{
	const char *from = app_arg(call, "from"), *beep = app_arg(call, "beep");
	const struct app_record_wish wish = { .action = app_arg(call, "action"), .is_early = !strcmp(from, "now"), .beep = beep };
	int err = strcmp(from, "now") != 0 && strcmp(from, "talk") != 0 ? -1 : app_record_call(call, &wish);

	if (err)
		app_log(call, "record: there is no action '%s' from '%s' with a beep '%s'", wish.action, from, beep ? beep : "");
	return err ? APP_INVALID : APP_OK;
}

static const struct app_param params[] = {
	{ "action", APP_TEXT, false, "start", "start: what is talked from now on, also in a pause; pause; resume; stop: for good" },
	{ "from", APP_TEXT, false, "talk", "talk: while the caller talks to somebody; now: from here on, with what is played to him" },
	{ "beep", APP_TEXT, false, NULL, "what tells both of it: none, once, or each so many seconds; else domain.record_beep_s counts" },
};

static const struct app_choice choices[] = { { "action", "start pause resume stop" }, { "from", "talk now" }, { NULL, NULL } };

const struct app app_record_def = { .name = "record", .help = "Records the call, or doesn't.", .params = params,
				    .nparams = ARRAY_LEN(params), .choices = choices, .run = run };

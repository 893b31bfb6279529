/* night.c - the night switch of a schedule, for a feature code. */
#include "apps.h"

static const char switch_sql[] = "SELECT pbx.schedule_switch($1, $2, $3)";

static enum app_result run(struct call *call)
{
	const char *params[] = { app_var(call, "domain"), app_arg(call, "schedule"), app_arg(call, "mode") };
	struct app_rows *rows;
	const char *now;
	bool is_auto;

	if (app_query(call, &rows, switch_sql, ARRAY_LEN(params), params) != 0)
		return APP_FAILED;
	now = app_rows_count(rows) ? app_rows_get(rows, 0, 0) : NULL;
	is_auto = now && !strcmp(now, "auto");
	if (now)
		app_set_var(call, "schedule_mode", now);
	app_rows_free(rows);
	if (!now)
		return APP_FAILED;
	if (app_answer(call) != 0 || app_play(call, is_auto ? "de-activated" : "activated", NULL) < 0)
		return APP_HANGUP;
	return APP_OK;
}

static const struct app_param params[] = {
	{ "schedule", APP_SCHEDULE, true, NULL, "the schedule" },
	{ "mode", APP_TEXT, false, "toggle", "open, closed, auto, or toggle: against what the time says, and back" },
};

const struct app app_night_def = { .name = "night", .help = "Switches a schedule by hand; says \"activated\", or \"de-activated\" when its times count again.",
				   .params = params, .nparams = ARRAY_LEN(params), .run = run };

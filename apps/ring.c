/* ring.c - lets the caller hear that it rings. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int err = app_arg_bool(call, "tone") ? app_ring_aloud(call) : app_ring(call);

	return err ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "tone", APP_BOOL, false, "false", "he hears our ringing tone (183), of his country, not his own phone's" },
};

const struct app app_ring_def = { .name = "ring", .help = "Tells the caller that it rings (180).", .params = params, .nparams = ARRAY_LEN(params), .run = run };

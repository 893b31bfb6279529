/* ring.c - lets the caller hear that it rings. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	return app_ring(call) ? APP_FAILED : APP_OK;
}

const struct app app_ring_def = { .name = "ring", .help = "Tells the caller that it rings (180).", .run = run };

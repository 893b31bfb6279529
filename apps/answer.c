/* answer.c - answers the call. */
#include "apps.h"

static enum app_result run(struct call *call)
{
	int err = app_answer(call);

	return err ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

const struct app app_answer_def = { .name = "answer", .help = "Answers the call.", .run = run };

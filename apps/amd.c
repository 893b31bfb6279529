/* amd.c - who has answered: somebody or a machine; and waiting until a machine has said all. */
#include "apps.h"

static enum app_result run_amd(struct call *call)
{
	const struct amd_params p = {
		.initial_silence_ms = (uint32_t)app_arg_int(call, "initial_silence_ms"), .greeting_ms = (uint32_t)app_arg_int(call, "greeting_ms"),
		.after_greeting_ms = (uint32_t)app_arg_int(call, "after_greeting_ms"), .total_ms = (uint32_t)app_arg_int(call, "total_ms"),
		.word_ms = (uint32_t)app_arg_int(call, "word_ms"), .words = (uint32_t)app_arg_int(call, "words"),
	};
	enum amd_verdict verdict;
	const char *cause;
	int r = app_amd(call, &p, &verdict, &cause);

	if (r < 0)
		return app_is_hungup(call) ? APP_HANGUP : APP_FAILED;
	app_set_var(call, "amd", r ? "fax" : amd_verdict_name(verdict));
	app_set_var(call, "amd_cause", cause);
	app_log(call, "amd=%s cause=%s", r ? "fax" : amd_verdict_name(verdict), cause);
	return APP_OK;
}

static const struct app_param amd_params[] = {
	{ "initial_silence_ms", APP_INT, false, "2500", "nothing said for so long is a machine" },
	{ "greeting_ms", APP_INT, false, "1500", "so much said is a machine" },
	{ "after_greeting_ms", APP_INT, false, "800", "silence for so long after something was said is somebody who waits" },
	{ "total_ms", APP_INT, false, "5000", "no longer than this is listened" },
	{ "word_ms", APP_INT, false, "100", "what is shorter is no word" },
	{ "words", APP_INT, false, "3", "more words than these are a machine's" },
};

const struct app app_amd_def = {
	.name = "amd", .help = "Guesses who has answered: ${amd} is human, machine, unsure or fax, ${amd_cause} says why.", .params = amd_params,
	.nparams = ARRAY_LEN(amd_params), .run = run_amd,
};

static enum app_result run_wait_silence(struct call *call)
{
	int err = app_wait_silence(call, (uint32_t)app_arg_int(call, "silence_ms"), (uint32_t)(app_arg_int(call, "seconds") * 1000));

	return !err ? APP_OK : app_is_hungup(call) ? APP_HANGUP : err == -ETIMEDOUT ? APP_TIMEOUT : APP_FAILED;
}

static const struct app_param wait_params[] = {
	{ "silence_ms", APP_INT, false, "2000", "how long nothing may be said" },
	{ "seconds", APP_SECONDS, false, "30", "how long to wait for that; 0: until the caller hangs up" },
};

const struct app app_wait_silence_def = {
	.name = "wait_silence", .help = "Waits until the caller, or a machine at his end, has said all.", .params = wait_params,
	.nparams = ARRAY_LEN(wait_params), .run = run_wait_silence,
};

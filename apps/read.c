/* read.c - reads digits into a variable. */
#include "apps.h"

#define DIGITS_MAX 60

static enum app_result run(struct call *call)
{
	const char *prompt = app_arg(call, "prompt");
	struct app_read r = { .first_ms = (uint32_t)app_arg_int(call, "first_s") * 1000, .next_ms = (uint32_t)app_arg_int(call, "next_s") * 1000,
			      .terminators = app_arg(call, "terminators") };
	int64_t max = app_arg_int(call, "max");
	char digits[DIGITS_MAX + 1] = "";
	int n;

	if (max < 1 || max > DIGITS_MAX || app_arg_int(call, "first_s") > 3600 || app_arg_int(call, "next_s") > 3600)
		return APP_INVALID;
	r.max = (unsigned)max;
	if (app_answer(call) < 0)
		return app_is_hungup(call) ? APP_HANGUP : APP_FAILED;
	if (prompt) {
		r.say = app_say_new(call);
		if (!r.say)
			return APP_FAILED;
		say_phrases(r.say, prompt);
	}
	n = app_read_digits(call, &r, digits);
	app_say_free(r.say);
	if (n < 0)
		return app_is_hungup(call) ? APP_HANGUP : APP_FAILED;
	if (app_set_var(call, app_arg(call, "variable"), digits) != 0)
		return APP_FAILED;
	return n ? APP_OK : APP_TIMEOUT;
}

static const struct app_param params[] = {
	{ "prompt", APP_PROMPT, false, NULL, "what is played first; a digit interrupts it" },
	{ "max", APP_INT, false, "20", "how many digits at most, up to 60" },
	{ "variable", APP_TEXT, false, "digits", "the variable that has them then" },
	{ "first_s", APP_SECONDS, false, "5", "how long the first one is waited for" },
	{ "next_s", APP_SECONDS, false, "3", "and each further one" },
	{ "terminators", APP_TEXT, false, "#", "keys that end it, and are none of them" },
};

const struct app app_read_def = { .name = "read", .help = "Answers and reads digits into a variable; timeout: there were none.",
				  .params = params, .nparams = ARRAY_LEN(params), .run = run };

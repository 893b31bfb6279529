/* say.c - speaks a value by the grammar of the caller's language: a number, digits one by one, a time, a length of time. */
#include <ctype.h>
#include <stdlib.h>

#include "apps.h"

#define TIME_MAX 253402300799 /* the end of the year 9999 */

/* A whole number of at most max. */
static bool is_whole(const char *text, int64_t min, int64_t max, int64_t *n)
{
	char *end;

	errno = 0;
	*n = strtoll(text, &end, 10);
	return *text && !isspace((unsigned char)*text) && !*end && !errno && *n >= min && *n <= max;
}

static bool add_number(struct call *call, struct say *s, const char *value)
{
	int64_t n;

	(void)call;
	if (!is_whole(value, INT64_MIN, INT64_MAX, &n))
		return false;
	say_number(s, n);
	return true;
}

static bool add_digits(struct call *call, struct say *s, const char *value)
{
	(void)call;
	if (!*value || strspn(value, "0123456789*#+") != strlen(value))
		return false;
	say_digits(s, value);
	return true;
}

static bool add_datetime(struct call *call, struct say *s, const char *value)
{
	int64_t unix_s = app_now_ms(call) / 1000;

	if (strcmp(value, "now") != 0 && !is_whole(value, 0, TIME_MAX, &unix_s))
		return false;
	say_datetime(s, unix_s, app_var(call, "timezone"));
	return true;
}

static bool add_duration(struct call *call, struct say *s, const char *value)
{
	int64_t seconds;

	(void)call;
	if (!is_whole(value, 0, UINT32_MAX, &seconds))
		return false;
	say_duration(s, (uint32_t)seconds);
	return true;
}

static const struct kind {
	const char *name;
	bool (*add)(struct call *call, struct say *s, const char *value); /* false: not such a value */
} kinds[] = {
	{ "number", add_number },
	{ "digits", add_digits },
	{ "datetime", add_datetime },
	{ "duration", add_duration },
};

static const struct kind *kind_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!strcmp(kinds[i].name, name))
			return &kinds[i];
	return NULL;
}

static enum app_result run(struct call *call)
{
	const char *value = app_arg(call, "value"), *as = app_arg(call, "as");
	const struct kind *kind = kind_find(as);
	struct say *s;
	int err;

	s = app_say_new(call);
	if (!s)
		return APP_FAILED;
	if (!kind || !kind->add(call, s, value)) {
		app_log(call, "can't say %s as %s", value, as);
		app_say_free(s);
		return APP_INVALID;
	}
	err = app_say(call, s, NULL);
	app_say_free(s);
	return err < 0 ? app_is_hungup(call) ? APP_HANGUP : APP_FAILED : APP_OK;
}

static const struct app_param params[] = {
	{ "value", APP_TEXT, true, NULL, "a whole number; digits with * # +; seconds since 1970 or \"now\"; seconds" },
	{ "as", APP_TEXT, false, "digits", "number, digits, datetime or duration" },
};

static const struct app_choice choices[] = { { "as", "number digits datetime duration" }, { NULL, NULL } };

const struct app app_say_def = { .name = "say", .help = "Answers and speaks a number, digits, a time or a length of time.",
				 .params = params, .nparams = ARRAY_LEN(params), .choices = choices, .run = run };

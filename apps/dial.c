/* dial.c - rings numbers and joins the caller to the first who answers. */
#include <stdlib.h>

#include "apps.h"

#define NUMBERS_MAX 32

/* Cuts the list at '&' in place. The numbers are the caller's to free; kept as long as they talk, so there is no more room than for them. */
static const char **split(char *list, unsigned *count)
{
	unsigned n = 1;
	const char **numbers;

	for (const char *p = list; *p; p++)
		n += *p == '&';
	numbers = malloc(n * sizeof(*numbers));
	if (!numbers)
		return NULL;
	n = 0;
	while (list && n < NUMBERS_MAX) {
		char *next = strchr(list, '&');

		if (next)
			*next++ = '\0';
		if (*list)
			numbers[n++] = list;
		list = next;
	}
	*count = n;
	return numbers;
}

static enum app_result run(struct call *call)
{
	struct app_dial d = { .ring_s = (uint32_t)app_arg_int(call, "ring_s"), .trunk = app_arg(call, "trunk"),
			      .music_class = app_arg(call, "music"), .leaves_machines = app_arg_bool(call, "leave_machine") };
	char *list = strdup(app_arg(call, "number"));
	const char **numbers = list ? split(list, &d.n) : NULL;
	enum app_result r = APP_FAILED;

	d.numbers = numbers;
	d.detects = d.leaves_machines || app_arg_bool(call, "detect");
	if (numbers)
		r = d.n ? app_dial_trunk(call, &d) : APP_INVALID;
	free(numbers);
	free(list);
	return r;
}

static const struct app_param params[] = {
	{ "number", APP_NUMBER, true, NULL, "extensions, with & between them, or the number for a trunk" },
	{ "ring_s", APP_SECONDS, false, "0", "how long it rings; 0: as the extension says" },
	{ "trunk", APP_TRUNK, false, NULL, "dial through this trunk, or the trunks of this group" },
	{ "music", APP_MUSIC, false, NULL, "music class instead of ringing" },
	{ "detect", APP_BOOL, false, "false", "who answers is listened to: ${answered_by} is human, machine, unsure or fax then" },
	{ "leave_machine", APP_BOOL, false, "false", "and a machine is hung up on, as if nobody had answered: the next step is run" },
};

const struct app app_dial_def = { .name = "dial", .help = "Rings numbers and joins the first to answer.", .params = params,
				  .nparams = ARRAY_LEN(params), .run = run };

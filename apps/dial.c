/* dial.c - rings numbers and joins the caller to the first who answers. */
#include <stdlib.h>

#include "apps.h"

#define NUMBERS_MAX 32

/* Cuts the list at '&' in place. */
static unsigned split(char *list, const char *numbers[NUMBERS_MAX])
{
	unsigned n = 0;

	while (list && n < NUMBERS_MAX) {
		char *next = strchr(list, '&');

		if (next)
			*next++ = '\0';
		if (*list)
			numbers[n++] = list;
		list = next;
	}
	return n;
}

static enum app_result run(struct call *call)
{
	const char *numbers[NUMBERS_MAX];
	struct app_dial d = { .numbers = numbers, .ring_s = (uint32_t)app_arg_int(call, "ring_s"), .trunk = app_arg(call, "trunk"),
			      .music_class = app_arg(call, "music") };
	char *list = strdup(app_arg(call, "number"));
	enum app_result r = APP_INVALID;

	if (!list)
		return APP_FAILED;
	d.n = split(list, numbers);
	if (d.n)
		r = app_dial_trunk(call, &d);
	free(list);
	return r;
}

static const struct app_param params[] = {
	{ "number", APP_NUMBER, true, NULL, "extensions, with & between them, or the number for a trunk" },
	{ "ring_s", APP_SECONDS, false, "0", "how long it rings; 0: as the extension says" },
	{ "trunk", APP_TRUNK, false, NULL, "dial through this trunk, or the trunks of this group" },
	{ "music", APP_MUSIC, false, NULL, "music class instead of ringing" },
};

const struct app app_dial_def = { .name = "dial", .help = "Rings numbers and joins the first to answer.", .params = params,
				  .nparams = ARRAY_LEN(params), .run = run };

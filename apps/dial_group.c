/* dial_group.c - rings a group: all at once with the members' delays, or one after the other. */
#include "apps.h"

static enum app_result ring_in_sequence(struct call *call, const struct app_group *g)
{
	enum app_result r = APP_UNAVAILABLE;

	for (unsigned i = 0; i < g->n; i++) {
		uint32_t own_s = g->each_ring_s ? g->each_ring_s[i] : 0;

		r = app_dial(call, &(struct app_dial){ .numbers = &g->numbers[i], .n = 1, .ring_s = own_s ? own_s : g->ring_s });
		if (r == APP_ANSWERED || r == APP_HANGUP || r == APP_MOVED)
			break;
	}
	return r;
}

static enum app_result run(struct call *call)
{
	struct app_group g;
	int err = app_group_find(call, app_arg(call, "group"), &g);

	if (err)
		return err == -EAGAIN ? APP_CONGESTION : APP_INVALID;
	if (!g.n)
		return APP_UNAVAILABLE;
	if (g.in_sequence)
		return ring_in_sequence(call, &g);
	return app_dial(call, &(struct app_dial){ .numbers = g.numbers, .n = g.n, .delay_s = g.delay_s, .each_ring_s = g.each_ring_s,
						  .ring_s = g.ring_s });
}

static const struct app_param params[] = {
	{ "group", APP_GROUP, true, NULL, "number of the ring group" },
};

const struct app app_dial_group_def = { .name = "dial_group", .help = "Rings the members of a group.", .params = params,
					.nparams = ARRAY_LEN(params), .run = run };

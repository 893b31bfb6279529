/* trunk_list.c - dials through the trunks of a group, one after the other, until one takes the call.
 *
 * The order is made for each call: by position, and within one at random by weight. Whether a refusal lets the next one have its turn is
 * the group's to say: what the person called has said isn't asked for again.
 */
#define LOG_MODULE "dial"
#include "base/log.h"
#include "call/decision.h"
#include "call/schedule.h"

#define TRUNKS_MAX 32

struct trunk_list { unsigned n; const char *names[TRUNKS_MAX]; const char *failover; };

static bool is_due(const struct call *call, const struct dir_trunk_member *m)
{
	const struct dir_schedule *s;

	return !m->schedule || call->is_emergency ||
	       (directory_schedule(call->calls->p.directory, call->domain, str_from(m->schedule), &s) == DIR_FOUND &&
		schedule_is_open(s, &call->calls->zones, call_now_ms(call) / 1000));
}

/* One of those of the lowest position that are left, by weight. */
static unsigned draw(struct rng *rng, const struct dir_trunk_member *const *left, unsigned n)
{
	uint32_t total = 0, at;
	unsigned i = 0;

	while (i < n && left[i]->position == left[0]->position)
		total += left[i++]->weight;
	at = rng_below(rng, total);
	for (i = 0; at >= left[i]->weight; i++)
		at -= left[i]->weight;
	return i;
}

/* Rows may go while we dial: all of it is copied. */
static bool make_list(struct call *call, const char *group, struct trunk_list *list)
{
	const struct dir_trunk_member *left[TRUNKS_MAX];
	const struct dir_trunk_group *g;
	unsigned n = 0, at;

	if (directory_trunk_group(call->calls->p.directory, call->domain, str_from(group), &g) != DIR_FOUND)
		return false;
	for (unsigned i = 0; i < g->nmembers && n < TRUNKS_MAX; i++)
		if (is_due(call, &g->members[i]))
			left[n++] = &g->members[i];
		else
			decided(call, DECISION_TRUNK_NOT_DUE, g->members[i].trunk, g->members[i].schedule, NULL);
	list->failover = call_strdup(call, g->failover);
	for (; n && list->failover; n--) {
		at = draw(call->calls->p.rng, left, n);
		list->names[list->n] = call_strdup(call, left[at]->trunk);
		if (!list->names[list->n])
			return false;
		list->n++;
		memmove(&left[at], &left[at + 1], (n - at - 1) * sizeof(left[0]));
	}
	return list->failover != NULL;
}

/* "408,5XX" */
bool trunk_list_goes_on(const char *failover, int status)
{
	struct str rest = str_from(failover);
	char text[12];

	snprintf(text, sizeof(text), "%d", status);
	while (rest.n) {
		struct str one = str_cut(&rest, ',');

		if (one.n == 3 && strlen(text) == 3 && one.p[0] == text[0] && (one.p[1] == 'X' || str_eqz(one, text)))
			return true;
	}
	return false;
}

enum app_result app_dial_trunk(struct call *call, const struct app_dial *d)
{
	struct trunk_list *list = d->trunk ? call_alloc(call, sizeof(*list)) : NULL;
	struct app_dial one = *d;
	enum app_result r = APP_CONGESTION;

	if (!list || !make_list(call, d->trunk, list)) {
		if (list)
			call_free_block(call, list);
		return app_dial(call, d);
	}
	call->reject_status = 503; /* if none may be tried now */
	for (unsigned i = 0; i < list->n; i++) {
		one.trunk = list->names[i];
		r = app_dial(call, &one);
		if (r == APP_HANGUP || r == APP_ANSWERED || r == APP_MOVED || call->is_hungup || !trunk_list_goes_on(list->failover, call->reject_status))
			break;
		if (i + 1 < list->n)
			decided(call, DECISION_TRUNK_NEXT, one.trunk, decision_int(call->reject_status).z, NULL);
		log_info(call->calls->p.log, "call=%s trunk=%s status=%d", call->id, one.trunk, call->reject_status);
	}
	return r;
}

/* message_send.c - one message to all phones of an extension, or the one that is meant. */
#include "presence/message_int.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#define OVERHEAD 600       /* headers of a MESSAGE of ours, generously */
#define UDP_MAX 1300       /* RFC 3428 §8 */

struct delivery {
	struct delivery *prev, *next;
	struct messages *ms;
	void (*done)(int status, void *arg);
	void *arg;
	unsigned nwaiting;  /* phones that have not answered */
	int best;           /* what is told when all have */
};

static bool is_unreachable(int status)
{
	return status == 408 || status == 430 || status == 480 || status == 503;
}

static void tell(struct delivery *d, int status)
{
	void (*done)(int, void *) = d->done;

	d->done = NULL;
	if (done)
		done(status, d->arg);
}

static void on_answer(int status, void *arg)
{
	struct delivery *d = arg;

	d->nwaiting--;
	if (status / 100 == 2)
		tell(d, status);
	else if (!is_unreachable(status) && (is_unreachable(d->best) || status < d->best))
		d->best = status == 401 || status == 407 ? 403 : status;
	if (d->nwaiting)
		return;
	tell(d, d->best);
	DL_DELETE(d->ms->deliveries, d);
	free(d);
}

int delivery_start(struct messages *ms, const char *domain, const char *number, const struct text *t,
		   void (*done)(int status, void *arg), void *arg)
{
	const struct phones_request r = {
		.method = "MESSAGE", .from_display = str_from(t->sender_name), .from_user = str_from(t->sender), .hdrs = t->hdrs,
		.ctype = t->ctype, .body = t->body, .instance = t->instance, .sg = t->sg, .max_forwards = t->max_forwards,
		.is_long = t->body.n + t->hdrs.n + OVERHEAD > UDP_MAX,
	};
	struct delivery *d = calloc(1, sizeof(*d));
	int n;

	if (!d)
		return -ENOMEM;
	n = phones_ask(ms->p.phones, domain, number, &r, on_answer, d);
	if (n < 0) {
		free(d);
		return n;
	}
	*d = (struct delivery){ .ms = ms, .done = done, .arg = arg, .best = 480, .nwaiting = (unsigned)n };
	DL_APPEND(ms->deliveries, d);
	return 0;
}

void deliveries_forget(struct messages *ms, const void *arg)
{
	struct delivery *d;

	DL_FOREACH(ms->deliveries, d) {
		if (d->arg != arg || !d->done)
			continue;
		d->done = NULL;
		phones_give_up(ms->p.phones, d);
	}
}

/* The requests are gone with the ua. */
void deliveries_free(struct messages *ms)
{
	struct delivery *d, *next;

	DL_FOREACH_SAFE(ms->deliveries, d, next)
		free(d);
	ms->deliveries = NULL;
}

/* message_send.c - one message to all phones of an extension, or the one that is meant. */
#include "presence/message_int.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <utlist.h>

#define CONTACTS_MAX 16
#define OVERHEAD 600       /* headers of a MESSAGE of ours, generously */
#define UDP_MAX 1300       /* RFC 3428 §8 */

struct delivery {
	struct delivery *prev, *next;
	struct messages *ms;
	void (*done)(int status, void *arg);
	void *arg;
	unsigned nwaiting;  /* contacts that have not answered */
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

static void on_answer(int status, const struct sip_msg *m, void *arg)
{
	struct delivery *d = arg;

	(void)m;
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

static bool fits(const struct binding *b, const struct text *t)
{
	return b->dest.proto != SIP_UDP || t->body.n + t->hdrs.n + OVERHEAD <= UDP_MAX;
}

static bool is_meant(const struct binding *b, const struct text *t)
{
	return !t->instance || (b->instance && !strcasecmp(b->instance, t->instance));
}

int delivery_start(struct messages *ms, const char *domain, const char *number, const struct text *t,
		   void (*done)(int status, void *arg), void *arg)
{
	struct delivery *d = calloc(1, sizeof(*d));
	int err = -ENOENT;
	unsigned n = 0;

	if (!d)
		return -ENOMEM;
	*d = (struct delivery){ .ms = ms, .done = done, .arg = arg, .best = 480 };
	for (struct registrar_reach at = registrar_reach(ms->p.registrar, domain, str_from(number)); at.b && n < CONTACTS_MAX; registrar_next(&at)) {
		const struct binding *b = at.b;
		char target[BINDING_TARGET_MAX];
		const struct outside_params p = {
			.method = "MESSAGE", .target = binding_target_sg(b, str_from(number), t->sg ? t->sg : "", target) ? STR_NULL : str_from(target), .route = str_from(b->path), .dest = b->path ? NULL : &b->dest,
			.from_display = str_from(t->sender_name), .from_user = str_from(t->sender), .hdrs = t->hdrs, .ctype = t->ctype,
			.body = t->body, .max_forwards = t->max_forwards,
		};
		struct outside *o;

		if (!is_meant(b, t))
			continue;
		n++;
		if (!fits(b, t))
			err = -EMSGSIZE;
		else if (outside_send(&o, ms->p.ua, &p, on_answer, d) == 0)
			d->nwaiting++;
		if (t->instance && d->nwaiting)
			break; /* RFC 5626 §7: of several flows of it, one */
	}
	if (!d->nwaiting) {
		free(d);
		return err;
	}
	DL_APPEND(ms->deliveries, d);
	return 0;
}

void deliveries_forget(struct messages *ms, const void *arg)
{
	struct delivery *d;

	DL_FOREACH(ms->deliveries, d)
		if (d->arg == arg)
			d->done = NULL;
}

/* The requests are gone with the ua. */
void deliveries_free(struct messages *ms)
{
	struct delivery *d, *next;

	DL_FOREACH_SAFE(ms->deliveries, d, next)
		free(d);
	ms->deliveries = NULL;
}

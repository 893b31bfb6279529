/* phones.c - what has been asked of an extension's phones, and by which of their flows.
 *
 * Flows aren't copied: when one has failed, the next is found among those that are registered by then. The request is
 * copied only where a phone has more than one flow.
 */
#include "presence/phones.h"

#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <utlist.h>

#define PHONES_MAX 16
#define FLOWS_MAX 8          /* tried of one phone */

struct ask;

struct phone {
	struct ask *ask;
	char *instance;      /* NULL: no flow */
	uint32_t tried[FLOWS_MAX]; /* reg-ids */
	unsigned ntried;
};

struct ask {
	struct ask *prev, *next;
	struct phones *ps;
	void (*fn)(int status, void *arg);
	void *arg;
	char domain[64], number[128];
	struct phones_request r; /* in text; without, empty as soon as phones_ask() returns */
	char *text;
	struct phone phones[PHONES_MAX];
	unsigned nphones, nwaiting;
	bool is_given_up;
};

struct phones {
	struct registrar *registrar;
	struct sip_ua *ua;
	struct ask *asks;
	bool is_stopped;
};

static void ask_free(struct ask *a)
{
	for (unsigned i = 0; i < a->nphones; i++)
		free(a->phones[i].instance);
	free(a->text);
	free(a);
}

/* ---- flows ---- */

static struct registrar_reach reach(const struct ask *a)
{
	return registrar_reach(a->ps->registrar, a->domain, str_from(a->number));
}

static bool is_meant(const struct ask *a, const struct binding *b)
{
	return !a->r.instance || (b->instance && !strcasecmp(b->instance, a->r.instance));
}

/* Of a GRUU's phone one contact gets it, flow or not. */
static bool is_flow(const struct ask *a, const struct binding *b)
{
	return b->instance && (b->reg_id || a->r.instance);
}

static bool is_of(const struct phone *p, const struct binding *b)
{
	return p->instance && is_flow(p->ask, b) && !strcasecmp(p->instance, b->instance);
}

static bool is_tried(const struct phone *p, const struct binding *b)
{
	for (unsigned i = 0; i < p->ntried; i++)
		if (p->tried[i] == b->reg_id)
			return true;
	return p->ntried == FLOWS_MAX;
}

static bool fits(const struct ask *a, const struct binding *b)
{
	return !a->r.is_long || b->dest.proto != SIP_UDP;
}

/* The one to be tried next: those that don't answer when they are asked come last. NULL: none is left. */
static const struct binding *next_flow(const struct phone *p)
{
	const struct binding *best = NULL;

	for (struct registrar_reach at = reach(p->ask); at.b; registrar_next(&at))
		if (is_of(p, at.b) && fits(p->ask, at.b) && !is_tried(p, at.b) && (!best || (best->is_unreachable && !at.b->is_unreachable)))
			best = at.b;
	return best;
}

/* ---- sending ---- */

static void on_answer(int status, const struct sip_msg *m, void *arg);

static int send_to(struct phone *p, const struct binding *b, bool has_rivals)
{
	const struct phones_request *r = &p->ask->r;
	struct str number = str_from(p->ask->number);
	char target[BINDING_TARGET_MAX];
	struct outside *o;

	if (binding_target_sg(b, number, r->sg ? r->sg : "", target) != 0)
		return -EMSGSIZE;
	const struct outside_params op = {
		.method = r->method, .target = str_from(target), .route = str_from(b->path), .dest = b->path ? NULL : &b->dest,
		.from_display = r->from_display, .from_user = r->from_user, .hdrs = r->hdrs, .ctype = r->ctype, .body = r->body,
		.max_forwards = r->max_forwards, .has_rivals = has_rivals,
	};
	return outside_send(&o, p->ask->ps->ua, &op, on_answer, p);
}

/* By the best of its flows that takes it. False: there is none. */
static bool send_by_flow(struct phone *p)
{
	for (const struct binding *b; (b = next_flow(p));) {
		p->tried[p->ntried++] = b->reg_id;
		if (send_to(p, b, p->ask->text && next_flow(p)) == 0)
			return true;
	}
	return false;
}

/* A proxy says that it has no such connection any more. */
static void remove_flow(const struct phone *p)
{
	uint32_t reg_id = p->tried[p->ntried - 1];

	for (struct registrar_reach at = reach(p->ask); at.b; registrar_next(&at)) {
		if (!is_of(p, at.b) || at.b->reg_id != reg_id)
			continue;
		registrar_flow_failed(p->ask->ps->registrar,
				      &(struct binding_key){ p->ask->domain, p->ask->number, at.b->contact, at.b->instance, reg_id });
		return;
	}
}

static bool try_other_flow(struct phone *p, int status, bool is_said)
{
	struct ask *a = p->ask;

	if (!p->instance || a->ps->is_stopped || (is_said && status != 408 && status != 430))
		return false;
	if (status == 430)
		remove_flow(p);
	return a->text && !a->is_given_up && send_by_flow(p);
}

static void on_answer(int status, const struct sip_msg *m, void *arg)
{
	struct phone *p = arg;
	struct ask *a = p->ask;

	if (try_other_flow(p, status, m != NULL))
		return;
	if (a->fn)
		a->fn(status, a->arg);
	if (--a->nwaiting > 0)
		return;
	DL_DELETE(a->ps->asks, a);
	ask_free(a);
}

/* ---- asking ---- */

static struct str keep(char **at, struct str s)
{
	char *p = *at;

	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	*at += s.n + 1;
	return (struct str){ p, s.n };
}

/* Without memory there is but one attempt. */
static void keep_request(struct ask *a)
{
	struct phones_request *r = &a->r;
	struct str ctype = str_from(r->ctype), instance = str_from(r->instance), sg = str_from(r->sg);
	char *at = malloc(r->from_display.n + r->from_user.n + r->hdrs.n + r->body.n + ctype.n + instance.n + sg.n + 7);

	a->text = at;
	if (!at)
		return;
	r->from_display = keep(&at, r->from_display);
	r->from_user = keep(&at, r->from_user);
	r->hdrs = keep(&at, r->hdrs);
	r->body = keep(&at, r->body);
	ctype = keep(&at, ctype);
	instance = keep(&at, instance);
	sg = keep(&at, sg);
	r->ctype = r->ctype ? ctype.p : NULL;
	r->instance = r->instance ? instance.p : NULL;
	r->sg = r->sg ? sg.p : NULL;
}

static struct phone *phone_of(struct ask *a, const struct binding *b)
{
	for (unsigned i = 0; i < a->nphones; i++)
		if (is_of(&a->phones[i], b))
			return &a->phones[i];
	return NULL;
}

/* A phone for each contact, but of its flows one. */
static bool add_phones(struct ask *a, const struct binding *contacts[PHONES_MAX])
{
	bool has_flows = false;

	for (struct registrar_reach at = reach(a); at.b && a->nphones < PHONES_MAX; registrar_next(&at)) {
		struct phone *p = &a->phones[a->nphones];

		if (!is_meant(a, at.b))
			continue;
		if (phone_of(a, at.b)) {
			has_flows = true;
			continue;
		}
		*p = (struct phone){ .ask = a, .instance = is_flow(a, at.b) ? strdup(at.b->instance) : NULL };
		contacts[a->nphones++] = at.b;
	}
	return has_flows;
}

int phones_ask(struct phones *ps, const char *domain, const char *number, const struct phones_request *r,
	       void (*fn)(int status, void *arg), void *arg)
{
	const struct binding *contacts[PHONES_MAX];
	struct ask *a = calloc(1, sizeof(*a));
	int err = -ENOENT;

	if (!a)
		return -ENOMEM;
	*a = (struct ask){ .ps = ps, .fn = fn, .arg = arg, .r = *r };
	str_put(a->domain, sizeof(a->domain), domain);
	str_put(a->number, sizeof(a->number), number);
	if (add_phones(a, contacts))
		keep_request(a);
	for (unsigned i = 0; i < a->nphones; i++) {
		struct phone *p = &a->phones[i];

		if (p->instance ? send_by_flow(p) : fits(a, contacts[i]) && send_to(p, contacts[i], false) == 0)
			a->nwaiting++;
		else if (!fits(a, contacts[i]))
			err = -EMSGSIZE;
	}
	if (!a->nwaiting) {
		ask_free(a);
		return err;
	}
	if (!a->text)
		a->r = (struct phones_request){ .method = NULL };
	DL_APPEND(ps->asks, a);
	return (int)a->nwaiting;
}

void phones_give_up(struct phones *ps, const void *arg)
{
	struct ask *a;

	DL_FOREACH(ps->asks, a)
		if (a->arg == arg)
			a->is_given_up = true;
}

/* ---- life ---- */

int phones_new(struct phones **out, struct registrar *r, struct sip_ua *ua)
{
	struct phones *ps = calloc(1, sizeof(*ps));

	if (!ps)
		return -ENOMEM;
	ps->registrar = r;
	ps->ua = ua;
	*out = ps;
	return 0;
}

void phones_stop(struct phones *ps)
{
	ps->is_stopped = true;
}

/* The requests are gone with the ua. */
void phones_free(struct phones *ps)
{
	struct ask *a, *next;

	if (!ps)
		return;
	DL_FOREACH_SAFE(ps->asks, a, next)
		ask_free(a);
	free(ps);
}

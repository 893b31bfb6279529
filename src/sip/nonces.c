/* nonces.c - two tables, the younger of which takes what is new.
 *
 * When the younger has been taking for as long as a nonce can live, all in the older have ended: it goes as a whole, and the younger
 * takes its place. So nothing has to be looked at only to see that it may go, and a phone that registers costs one line of the cache
 * here. The numbers are hashes already, so they say themselves where they stand.
 */
#include "sip/nonces.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#define WINDOW 64 /* counts below the highest that may still come, out of order over UDP */
#define SLOTS_MIN 64

struct slot {
	uint64_t nonce;
	uint64_t seen;    /* bit i: highest - i was used */
	uint32_t highest; /* 0: free */
};

struct table { struct slot *slots; uint64_t size, used; }; /* size: a power of two, or 0 */

struct nonces {
	struct table young, old;
	int64_t keep_ms, since_ms; /* since_ms: young takes since then */
};

int nonces_new(struct nonces **out, int64_t keep_ms)
{
	struct nonces *ns = calloc(1, sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	ns->keep_ms = keep_ms;
	*out = ns;
	return 0;
}

void nonces_free(struct nonces *ns)
{
	if (!ns)
		return;
	free(ns->young.slots);
	free(ns->old.slots);
	free(ns);
}

/* Where it is, or would be. */
static struct slot *place(const struct table *t, uint64_t nonce)
{
	uint64_t i = nonce & (t->size - 1);

	while (t->slots[i].highest && t->slots[i].nonce != nonce)
		i = (i + 1) & (t->size - 1);
	return &t->slots[i];
}

static struct slot *find(const struct table *t, uint64_t nonce)
{
	struct slot *s = t->size ? place(t, nonce) : NULL;

	return s && s->highest ? s : NULL;
}

/* At least a quarter stays free. */
static bool make_room(struct table *t)
{
	struct table more = { .size = t->size ? 2 * t->size : SLOTS_MIN, .used = t->used };

	if (t->used < t->size / 4 * 3)
		return true;
	more.slots = calloc(more.size, sizeof(*more.slots));
	if (!more.slots)
		return false;
	for (uint64_t i = 0; i < t->size; i++)
		if (t->slots[i].highest)
			*place(&more, t->slots[i].nonce) = t->slots[i];
	free(t->slots);
	*t = more;
	return true;
}

static void turn(struct nonces *ns, int64_t now_ms)
{
	if (now_ms < ns->since_ms)
		ns->since_ms = now_ms; /* the clock was set back */
	if (now_ms - ns->since_ms <= ns->keep_ms)
		return;
	free(ns->old.slots);
	ns->old = ns->young;
	ns->young = (struct table){ 0 };
	ns->since_ms = now_ms;
}

static int use_again(struct slot *s, uint32_t nc)
{
	uint32_t below = s->highest - nc, step = nc - s->highest;

	if (nc > s->highest) {
		s->seen = (step < WINDOW ? s->seen << step : 0) | 1;
		s->highest = nc;
		return 0;
	}
	if (below >= WINDOW || s->seen >> below & 1)
		return -EEXIST;
	s->seen |= (uint64_t)1 << below;
	return 0;
}

int nonces_use(struct nonces *ns, uint64_t nonce, uint32_t nc, int64_t now_ms)
{
	struct slot *s;

	turn(ns, now_ms);
	s = find(&ns->young, nonce);
	if (!s)
		s = find(&ns->old, nonce);
	if (s)
		return use_again(s, nc);
	if (!make_room(&ns->young))
		return -ENOMEM;
	*place(&ns->young, nonce) = (struct slot){ .nonce = nonce, .seen = 1, .highest = nc };
	ns->young.used++;
	return 0;
}

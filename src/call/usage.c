/* usage.c - how many calls an extension or trunk has at once, so that its limit holds over all its devices and, with what other servers
 * say, over all servers.
 *
 * One that others have been told of stays until they have been told that it is over.
 */
#include <stdlib.h>

#include "call/usage.h"

struct usage {
	UT_hash_handle hh;
	unsigned n, ntold;   /* calls here; what the others know */
	bool is_limited;
	char key[];          /* domain/name */
};

static void drop(struct calls *cs, struct usage *u)
{
	HASH_DEL(cs->usages, u);
	free(u);
}

bool usage_take(struct calls *cs, struct usage **out, const char *domain, const char *name, uint32_t limit)
{
	char key[160];
	struct usage *u;
	int len = str_join(key, sizeof(key), domain, '/', str_from(name));

	if (len < 0)
		return false;
	HASH_FIND(hh, cs->usages, key, (unsigned)len, u);
	if (limit != UINT32_MAX && (u ? u->n : 0) + share_others(cs, domain, name).n >= limit)
		return false;
	if (!u) {
		u = calloc(1, sizeof(*u) + (size_t)len + 1);
		if (!u)
			return false;
		memcpy(u->key, key, (size_t)len + 1);
		HASH_ADD_KEYPTR(hh, cs->usages, u->key, (unsigned)len, u);
		if (!u->hh.tbl) {
			free(u);
			return false;
		}
	}
	u->n++;
	u->is_limited = u->is_limited || limit != UINT32_MAX;
	if (u->is_limited)
		share_changed(cs);
	*out = u;
	return true;
}

void usage_give(struct calls *cs, struct usage *u)
{
	if (!u)
		return;
	u->n--;
	if (!u->n && !u->ntold)
		drop(cs, u);
	else if (u->is_limited)
		share_changed(cs);
}

void usage_print(struct calls *cs, struct out *o, bool is_all)
{
	struct usage *u, *next;

	HASH_ITER(hh, cs->usages, u, next) {
		if (!u->is_limited || (u->n == u->ntold && !(is_all && u->n)))
			continue;
		share_print(o, u->key, "", u->n, 0);
		u->ntold = u->n;
		if (!u->n)
			drop(cs, u);
	}
}

void usages_free(struct calls *cs)
{
	struct usage *u, *next;

	HASH_ITER(hh, cs->usages, u, next)
		drop(cs, u);
}

/* usage.c - how many calls an extension or trunk has at once, so that its limit holds over all its devices. */
#include <stdlib.h>

#include "call/call_int.h"

struct usage {
	UT_hash_handle hh;
	unsigned n;
	char key[]; /* domain/name */
};

bool usage_take(struct calls *cs, struct usage **out, const char *domain, const char *name, uint32_t limit)
{
	char key[160];
	struct usage *u;
	int len = str_join(key, sizeof(key), domain, '/', str_from(name));

	if (len < 0)
		return false;
	HASH_FIND(hh, cs->usages, key, (unsigned)len, u);
	if ((u ? u->n : 0) >= limit)
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
	*out = u;
	return true;
}

void usage_give(struct calls *cs, struct usage *u)
{
	if (!u || --u->n > 0)
		return;
	HASH_DEL(cs->usages, u);
	free(u);
}

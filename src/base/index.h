/* index.h - finds objects by a hash that was worked out elsewhere: keyed (base/hash.h), where strangers choose what is hashed.
 *
 * For tables of tens of thousands that are looked into with each message, mostly in vain: a look into one touches one line of memory, where
 * a chain of uthash touches each object that hangs in it, and adding and removing touch no other object. It knows nothing of keys: several
 * objects may have one hash, and who looks compares.
 *
 * Owner:    whoever embeds it; all zero is an empty one.
 * Thread:   one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct index_slot { uint64_t hash; void *p; }; /* p NULL: free */
struct index {
	struct index_slot *slots;
	size_t size;   /* a power of two, or 0; at least half of the slots are free */
	size_t n;
};

int index_add(struct index *ix, uint64_t hash, void *p); /* -ENOMEM */
void index_remove(struct index *ix, uint64_t hash, const void *p); /* p must be in it, with that hash */
void index_fini(struct index *ix);

/* The next object of that hash, NULL: no more. *at is the hash at first. Nothing may be added or removed meanwhile. */
static inline void *index_next(const struct index *ix, uint64_t hash, uint64_t *at)
{
	if (!ix->size)
		return NULL;
	for (;;) {
		const struct index_slot *s = &ix->slots[(*at)++ & (ix->size - 1)];

		if (!s->p || s->hash == hash)
			return s->p;
	}
}

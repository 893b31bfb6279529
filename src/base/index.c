/* index.c - open addressing, linear probing. What is removed leaves no mark: those behind it that are not where they would be move up. */
#include "base/index.h"

#include <errno.h>
#include <stdlib.h>

#define SIZE_MIN 64
#define SIZE_KEPT 1024 /* a larger one is given back when it is empty */

static void put(struct index *ix, uint64_t hash, void *p)
{
	size_t i = hash & (ix->size - 1);

	while (ix->slots[i].p)
		i = (i + 1) & (ix->size - 1);
	ix->slots[i] = (struct index_slot){ hash, p };
	ix->n++;
}

static int grow(struct index *ix)
{
	struct index more = { .size = ix->size ? 2 * ix->size : SIZE_MIN };

	more.slots = calloc(more.size, sizeof(*more.slots));
	if (!more.slots)
		return -ENOMEM;
	for (size_t i = 0; i < ix->size; i++)
		if (ix->slots[i].p)
			put(&more, ix->slots[i].hash, ix->slots[i].p);
	free(ix->slots);
	*ix = more;
	return 0;
}

int index_add(struct index *ix, uint64_t hash, void *p)
{
	if (2 * (ix->n + 1) > ix->size && grow(ix) != 0)
		return -ENOMEM;
	put(ix, hash, p);
	return 0;
}

/* A slot is free: whoever behind it would rather stand there, or before, moves there. */
static void close_gap(struct index *ix, size_t gap)
{
	size_t mask = ix->size - 1;

	for (size_t i = (gap + 1) & mask; ix->slots[i].p; i = (i + 1) & mask) {
		size_t home = ix->slots[i].hash & mask;

		if (((i - home) & mask) < ((i - gap) & mask))
			continue;
		ix->slots[gap] = ix->slots[i];
		gap = i;
	}
	ix->slots[gap].p = NULL;
}

void index_remove(struct index *ix, uint64_t hash, const void *p)
{
	size_t i = hash & (ix->size - 1);

	while (ix->slots[i].p != p)
		i = (i + 1) & (ix->size - 1);
	close_gap(ix, i);
	if (--ix->n == 0 && ix->size > SIZE_KEPT)
		index_fini(ix);
}

void index_fini(struct index *ix)
{
	free(ix->slots);
	*ix = (struct index){ 0 };
}

/* arena.c - pieces of a few sizes, each size with a list of those that are free; the list's next is the one that was freed last, which the
 * cache still has. What is larger comes of malloc().
 */
#include "loop/arena.h"

#include <assert.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#define STEP 32                      /* bytes from one size to the next */
#define CLASSES 64
#define SLAB (256 * 1024)

struct piece { size_t class; struct piece *next; } __attribute__((aligned(16))); /* the header: next only while it is free */

static struct piece *spare[CLASSES]; /* [0]: larger */
static char *slab;
static size_t left, in_use;

static struct piece *carve(size_t class)
{
	size_t size = sizeof(struct piece) + class * STEP;
	struct piece *p;

	if (left < size) {
		slab = malloc(SLAB);
		left = SLAB;
		assert(slab);
	}
	p = (struct piece *)slab;
	slab += size;
	left -= size;
	p->class = class;
	return p;
}

static void *take(size_t n)
{
	size_t class = (n + STEP - 1) / STEP;
	struct piece *p;

	if (!class)
		class = 1;
	if (class >= CLASSES) {
		p = malloc(sizeof(*p) + n);
		if (!p)
			return NULL;
		p->class = 0;
		return p + 1;
	}
	p = spare[class];
	if (p)
		spare[class] = p->next;
	else
		p = carve(class);
	in_use += class * STEP;
	return p + 1;
}

static void give(void *at)
{
	struct piece *p = (struct piece *)at - 1;

	if (!at)
		return;
	if (!p->class) {
		free(p);
		return;
	}
	in_use -= p->class * STEP;
	p->next = spare[p->class];
	spare[p->class] = p;
}

static void *take_for(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return n ? take(n) : NULL;
}

static void give_for(void *at, const char *file, int line)
{
	(void)file;
	(void)line;
	give(at);
}

static void *change_for(void *at, size_t n, const char *file, int line)
{
	struct piece *p = (struct piece *)at - 1;
	void *other;

	if (!at)
		return take_for(n, file, line);
	if (!n) {
		give(at);
		return NULL;
	}
	if (!p->class) {
		p = realloc(p, sizeof(*p) + n);
		return p ? p + 1 : NULL;
	}
	if (n <= p->class * STEP)
		return at;
	other = take(n);
	if (other)
		memcpy(other, at, p->class * STEP);
	give(at);
	return other;
}

void arena_use(void)
{
	json_set_alloc_funcs(take, give);
	assert(CRYPTO_set_mem_functions(take_for, change_for, give_for));
}

size_t arena_bytes(void)
{
	return in_use;
}

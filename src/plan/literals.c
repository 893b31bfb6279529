/* literals.c - an index by hash, and beside it a tree (PATRICIA, critical bits): each fork stands where numbers begin to differ.
 *
 * A number is followed by zeros, which none contains: so one that ends differs from those that go on. Forks are told from values by the
 * lowest bit of the pointer. Below a fork all agree in all that is in front of its bit; so behind digits all that is below begins with them, or nothing.
 */
#include "plan/literals.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"

struct fork {
	void *way[2];            /* by the bit: a value or a fork */
	unsigned char at, bit;   /* which byte; the bit in it, as a mask */
};

static struct fork *fork_of(const void *p)
{
	return (uintptr_t)p & 1 ? (struct fork *)((uintptr_t)p - 1) : NULL;
}

static void *tagged(struct fork *f)
{
	return (void *)((uintptr_t)f | 1);
}

static unsigned char byte_at(struct str number, size_t at)
{
	return at < number.n ? (unsigned char)number.p[at] : 0;
}

static unsigned way_of(const struct fork *f, struct str number)
{
	return (byte_at(number, f->at) & f->bit) != 0;
}

/* ---- the index ---- */

void *literals_find(const struct literals *l, struct str number)
{
	uint64_t hash, at;
	void *value;

	if (!number.n)
		return NULL;
	hash = at = hash_plain(number.p, number.n);
	while ((value = index_next(&l->index, hash, &at)) != NULL && !str_eq(l->number_of(l, value), number))
		;
	return value;
}

/* ---- the tree ---- */

/* Where the value stands that number is nearest to. */
static void **nearest(struct literals *l, struct str number)
{
	void **slot = &l->root;

	for (struct fork *f; (f = fork_of(*slot)) != NULL;)
		slot = &f->way[way_of(f, number)];
	return slot;
}

/* Where they part first. They do: none is in it twice. */
static struct fork parting(struct str a, struct str b)
{
	struct fork f = { 0 };
	unsigned differ;

	while (byte_at(a, f.at) == byte_at(b, f.at))
		f.at++;
	differ = byte_at(a, f.at) ^ byte_at(b, f.at);
	f.bit = (unsigned char)(1u << (31 - __builtin_clz(differ)));
	return f;
}

static bool is_before(const struct fork *a, const struct fork *b)
{
	return a->at < b->at || (a->at == b->at && a->bit > b->bit);
}

static int tree_add(struct literals *l, struct str number, void *value)
{
	struct fork *made, *f;
	void **slot = &l->root;
	unsigned way;

	if (!*slot) {
		*slot = value;
		return 0;
	}
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	*made = parting(number, l->number_of(l, *nearest(l, number)));
	while ((f = fork_of(*slot)) != NULL && is_before(f, made))
		slot = &f->way[way_of(f, number)];
	way = way_of(made, number);
	made->way[way] = value;
	made->way[!way] = *slot;
	*slot = tagged(made);
	return 0;
}

/* The fork above goes with it: what else is below comes in its place. */
static void tree_remove(struct literals *l, struct str number)
{
	void **slot = &l->root, **above = NULL;
	struct fork *f, *dead = NULL;

	while ((f = fork_of(*slot)) != NULL) {
		dead = f;
		above = slot;
		slot = &f->way[way_of(f, number)];
	}
	if (dead)
		*above = dead->way[slot == &dead->way[0]];
	else
		l->root = NULL;
	free(dead);
}

bool literals_begin(const struct literals *l, struct str digits)
{
	const void *at = l->root;
	const struct fork *f;
	struct str number;
	bool are_several;

	while ((f = fork_of(at)) != NULL && f->at < digits.n)
		at = f->way[way_of(f, digits)];
	if (!at)
		return false;
	are_several = f != NULL;
	for (; f; f = fork_of(at))
		at = f->way[0];
	number = l->number_of(l, at);
	return str_starts(number, digits) && (are_several || number.n > digits.n);
}

/* ---- both ---- */

int literals_add(struct literals *l, void *value)
{
	struct str number = l->number_of(l, value);
	uint64_t hash = hash_plain(number.p, number.n);
	int err = index_add(&l->index, hash, value);

	if (!err && tree_add(l, number, value) != 0) {
		index_remove(&l->index, hash, value);
		err = -ENOMEM;
	}
	return err;
}

void *literals_remove(struct literals *l, struct str number)
{
	void *value = literals_find(l, number);

	if (value) {
		tree_remove(l, number);
		index_remove(&l->index, hash_plain(number.p, number.n), value);
	}
	return value;
}

int literals_replace(struct literals *l, void *value)
{
	struct str number = l->number_of(l, value);
	uint64_t hash = hash_plain(number.p, number.n);
	void *old = literals_find(l, number);
	int err = index_add(&l->index, hash, value);

	if (!err) {
		index_remove(&l->index, hash, old);
		*nearest(l, number) = value;
	}
	return err;
}

/* Forks are turned round until the first way of the topmost one is a value: each is turned once at most. */
void *literals_shed(struct literals *l)
{
	struct fork *top = fork_of(l->root), *below;
	void *value = l->root;

	index_fini(&l->index);
	if (!top) {
		l->root = NULL;
		return value;
	}
	while ((below = fork_of(top->way[0])) != NULL) {
		top->way[0] = below->way[1];
		below->way[1] = tagged(top);
		top = below;
	}
	value = top->way[0];
	l->root = top->way[1];
	free(top);
	return value;
}

/* literals.h - numbers that stand for themselves alone, each with a value: the larger part of a big dialplan. Inside plan/ alone.
 *
 * A look-up touches a line of the index and the value, however many there are. A tree of where numbers part from each other
 * tells whether one begins with some digits.
 *
 * Owner:  whoever embeds it; with number_of set and all else zero it is an empty one. Values aren't owned; they are aligned to two bytes at least.
 * Thread: the owner's.
 */
#pragma once

#include "base/index.h"
#include "base/str.h"

struct literals {
	struct str (*number_of)(const struct literals *l, const void *value); /* its number; without NUL in it */
	struct index index;
	void *root;                                 /* of the tree */
};

void *literals_find(const struct literals *l, struct str number);       /* NULL: it isn't there */
int literals_add(struct literals *l, void *value);                      /* whose number isn't there yet. -ENOMEM: nothing has changed */
void *literals_remove(struct literals *l, struct str number);           /* its value, or NULL */
int literals_replace(struct literals *l, void *value);                  /* in place of that of the same number, which is there. -ENOMEM */
bool literals_begin(const struct literals *l, struct str digits);       /* Does one that is longer than digits begin with them? */
/* Takes one of them out, whichever: for the end, when all are; nothing else may be asked from then on. NULL: no more, and nothing is kept. */
void *literals_shed(struct literals *l);

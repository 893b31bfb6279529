/* pattern.h - dialplan patterns (design section 8), pure.
 *
 * A literal number, or "_" followed by: digits and * # + as themselves, X 0-9, Z 1-9, N 2-9, a class like [13-57],
 * and last "." one or more of anything, or "!" zero or more. Letters in literals are allowed (names), compared as they are.
 *
 * Which of two patterns that both match is more specific: compare position by position from the left; at the first
 * position that differs the set with fewer members wins (a character 1, a class its size, Z 9, N 8, X 10, then "." then "!");
 * equal sizes at that position: the smaller first member wins, so that the order is total and independent of insertion.
 * A pattern that ends wins over one that goes on with "!".
 * pbx.pattern_rank(text) in SQL gives the same order; a property test holds the two equal.
 *
 * Owner:  its maker. Thread: any, one at a time for a set.
 */
#pragma once

#include "base/str.h"

#define PATTERN_MAX 64   /* positions: longer than any number (E.164 has 15 digits) or name in use */

bool pattern_is_valid(struct str pattern, const char **why);
bool pattern_match(struct str pattern, struct str number);
/* <0: a is more specific, 0: the same set of numbers, >0: b is. */
int pattern_compare(struct str a, struct str b);

/* Many patterns: a trie whose look-up costs the length of the number. */
struct pattern_set;
struct pattern_set *pattern_set_new(void);
void pattern_set_free(struct pattern_set *s, void (*on_value)(void *value)); /* on_value: called with each, unless NULL */
int pattern_set_add(struct pattern_set *s, struct str pattern, void *value); /* -EINVAL, -EEXIST, -ENOMEM */
void *pattern_set_remove(struct pattern_set *s, struct str pattern);         /* its value, or NULL */
/* Does a pattern match some number that is longer than digits and begins with them? */
bool pattern_set_begins(const struct pattern_set *s, struct str digits);
void *pattern_set_match(const struct pattern_set *s, struct str number);     /* the most specific one's value, or NULL */

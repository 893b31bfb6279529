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

/* Many patterns, each with a value that tells it. Those of one number, most of a big dialplan, are found by their hash: a literal that matches
 * is the most specific. The others are a trie, whose look-up costs the length of the number. Values are aligned to two bytes at least. */
struct pattern_set;
struct pattern_set *pattern_set_new(const char *(*pattern_of)(const void *value)); /* the same text as long as the value is in the set */
int pattern_set_add(struct pattern_set *s, void *value);                     /* -EINVAL, -EEXIST, -ENOMEM */
void *pattern_set_get(const struct pattern_set *s, struct str pattern);      /* the value of one that matches the same numbers, or NULL */
int pattern_set_replace(struct pattern_set *s, void *old, void *value);      /* old is in it and has the same pattern. -ENOMEM */
void *pattern_set_remove(struct pattern_set *s, struct str pattern);         /* its value, or NULL */
/* Does a pattern match some number that is longer than digits and begins with them? */
bool pattern_set_begins(const struct pattern_set *s, struct str digits);
void *pattern_set_match(const struct pattern_set *s, struct str number);     /* the most specific one's value, or NULL */
/* The end of a set, which for a big one is spread: takes out max values at the most and gives each to on_value, unless NULL. Returns how many; with
 * fewer than max the set is freed. Nothing else may be asked of it from then on. */
unsigned pattern_set_shed(struct pattern_set *s, unsigned max, void (*on_value)(void *value));

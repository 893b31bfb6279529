/* pattern.c - dialplan patterns: parsing into positions, order of specificity, and sets of many.
 *
 * A position is a set of characters (a bit for each of the 128 of ASCII) or one of the two open ends. The children of a trie node are
 * kept in the order of specificity, so the first match found depth first is the most specific. What is written as one number is
 * no part of the trie (plan/literals.h); "_1[2]", which is one number, too, is.
 */
#include "plan/pattern.h"

#include <errno.h>
#include <stdlib.h>

#include "plan/literals.h"

enum kind { SET, MANY /* . */, ANY /* ! */ };

struct position {
	enum kind kind;
	uint64_t bits[2];
};

static void set_add(struct position *p, unsigned char c)
{
	p->bits[c >> 6] |= (uint64_t)1 << (c & 63);
}

static bool set_has(const uint64_t bits[2], unsigned char c)
{
	return c < 128 && (bits[c >> 6] >> (c & 63) & 1);
}

static void set_range(struct position *p, char from, char to)
{
	for (char c = from; c <= to; c++)
		set_add(p, (unsigned char)c);
}

static bool is_literal_char(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c && strchr("*#+-._", c));
}

/* "[13-57]" at s.p[*i]; moves *i behind it. */
static const char *parse_class(struct str s, size_t *i, struct position *out)
{
	size_t k = *i + 1;

	for (; k < s.n && s.p[k] != ']'; k++) {
		char from = s.p[k], to = from;

		if (from < '0' || from > '9')
			return "a class holds digits and ranges only";
		if (k + 1 < s.n && s.p[k + 1] == '-') {
			if (k + 2 >= s.n || s.p[k + 2] < '0' || s.p[k + 2] > '9')
				return "a range needs two digits";
			to = s.p[k + 2];
			if (to < from)
				return "a range falls";
			k += 2;
		}
		set_range(out, from, to);
	}
	if (k >= s.n)
		return "a class has no end";
	if (k == *i + 1)
		return "a class is empty";
	*i = k;
	return NULL;
}

/* Returns the number of positions, or -EINVAL and why. */
static int parse(struct str s, struct position out[PATTERN_MAX], const char **why)
{
	bool is_pattern = s.n && s.p[0] == '_';
	int n = 0;

	*why = s.n ? NULL : "it is empty";
	if (is_pattern && s.n == 1)
		*why = "nothing follows the _";
	for (size_t i = is_pattern; i < s.n && !*why; i++) {
		struct position p = { 0 };
		char c = s.p[i];

		if (n == PATTERN_MAX)
			*why = "it is longer than 64 positions";
		else if (!is_pattern && is_literal_char(c))
			set_add(&p, (unsigned char)c);
		else if (!is_pattern)
			*why = "a character that can't be in a number";
		else if (c == 'X' || c == 'Z' || c == 'N')
			set_range(&p, c == 'X' ? '0' : c == 'Z' ? '1' : '2', '9');
		else if (c == '[')
			*why = parse_class(s, &i, &p);
		else if (c == '.' || c == '!')
			p.kind = c == '.' ? MANY : ANY;
		else if ((c >= '0' && c <= '9') || c == '*' || c == '#' || c == '+')
			set_add(&p, (unsigned char)c);
		else
			*why = "a character without meaning after the _";
		if (p.kind != SET && i + 1 != s.n)
			*why = ". and ! can only stand at the end";
		if (!*why)
			out[n++] = p;
	}
	return *why ? -EINVAL : n;
}

bool pattern_is_valid(struct str pattern, const char **why)
{
	struct position p[PATTERN_MAX];
	const char *reason;
	int n = parse(pattern, p, &reason);

	if (why)
		*why = reason;
	return n >= 0;
}

/* ---- order ---- */

static unsigned set_size(const struct position *p)
{
	return (unsigned)(__builtin_popcountll(p->bits[0]) + __builtin_popcountll(p->bits[1]));
}

/* Members in rising order, as texts: the set with the smaller first differing member comes first. */
static int compare_members(const struct position *a, const struct position *b)
{
	for (unsigned w = 0; w < 2; w++) {
		uint64_t differ = a->bits[w] ^ b->bits[w];

		if (differ) {
			uint64_t lowest = differ & -differ;

			/* Of two sets of one size, the one that has the lowest differing member is smaller there. */
			return a->bits[w] & lowest ? -1 : 1;
		}
	}
	return 0;
}

static int compare_positions(const struct position *a, const struct position *b)
{
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->kind != SET)
		return 0;
	if (set_size(a) != set_size(b))
		return set_size(a) < set_size(b) ? -1 : 1;
	return compare_members(a, b);
}

int pattern_compare(struct str a, struct str b)
{
	struct position pa[PATTERN_MAX], pb[PATTERN_MAX];
	const char *why;
	int na = parse(a, pa, &why), nb = parse(b, pb, &why);

	for (int i = 0; i < na && i < nb; i++) {
		int c = compare_positions(&pa[i], &pb[i]);

		if (c)
			return c;
	}
	return na < nb ? -1 : na > nb;
}

bool pattern_match(struct str pattern, struct str number)
{
	struct position p[PATTERN_MAX];
	const char *why;
	int n = parse(pattern, p, &why);

	for (int i = 0; i < n; i++) {
		if (p[i].kind != SET)
			return p[i].kind == ANY || number.n > (size_t)i;
		if ((size_t)i >= number.n || !set_has(p[i].bits, (unsigned char)number.p[i]))
			return false;
	}
	return n >= 0 && number.n == (size_t)n;
}

/* ---- the trie ---- */

struct node {
	struct node *next, *child; /* children in order of specificity */
	struct position at;
	void *value;               /* of the pattern that ends here */
};

struct pattern_set {
	struct node root;
	struct literals literals;
	const char *(*pattern_of)(const void *value);
};

/* Where the child for a position is, or would be linked. */
static struct node **child_slot(struct node *n, const struct position *p)
{
	struct node **slot = &n->child;

	while (*slot && compare_positions(&(*slot)->at, p) < 0)
		slot = &(*slot)->next;
	return slot;
}

static bool is_at(const struct node *n, const struct position *p)
{
	return n && compare_positions(&n->at, p) == 0;
}

static struct node *trie_find(struct node *at, const struct position *p, int n)
{
	for (int i = 0; i < n && at; i++) {
		struct node *child = *child_slot(at, &p[i]);

		at = is_at(child, &p[i]) ? child : NULL;
	}
	return at;
}

static int trie_add(struct node *at, const struct position *p, int n, void *value)
{
	for (int i = 0; i < n; i++) {
		struct node **slot = child_slot(at, &p[i]);

		if (!is_at(*slot, &p[i])) {
			struct node *made = calloc(1, sizeof(*made));

			if (!made)
				return -ENOMEM; /* empty nodes left behind match nothing */
			made->at = p[i];
			made->next = *slot;
			*slot = made;
		}
		at = *slot;
	}
	at->value = value;
	return 0;
}

static void *trie_remove(struct node *at, const struct position *p, int n)
{
	struct node **path[PATTERN_MAX];
	void *value;

	for (int i = 0; i < n; i++) {
		path[i] = child_slot(at, &p[i]);
		if (!is_at(*path[i], &p[i]))
			return NULL;
		at = *path[i];
	}
	value = at->value;
	at->value = NULL;
	for (int i = n - 1; i >= 0 && !(*path[i])->value && !(*path[i])->child; i--) {
		struct node *dead = *path[i];

		*path[i] = dead->next;
		free(dead);
	}
	return value;
}

/* Takes the first leaf away. As deep as the longest pattern, PATTERN_MAX. */
static void *trie_shed(struct node *root)
{
	void *value = NULL;

	while (root->child && !value) {
		struct node **slot = &root->child, *leaf;

		while ((*slot)->child)
			slot = &(*slot)->child;
		leaf = *slot;
		value = leaf->value;
		*slot = leaf->next;
		free(leaf);
		/* Its parent is a leaf when the last of them has gone: it may have a value itself. */
	}
	return value;
}

/* ---- sets ---- */

/* "12" and "_12" are the number 12. */
static struct str bare(const char *pattern)
{
	return str_from(pattern + (pattern[0] == '_'));
}

static struct str number_of(const struct literals *l, const void *value)
{
	return bare(container_of(l, struct pattern_set, literals)->pattern_of(value));
}

struct pattern_set *pattern_set_new(const char *(*pattern_of)(const void *value))
{
	struct pattern_set *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->pattern_of = pattern_of;
	s->literals.number_of = number_of;
	return s;
}

/* A pattern taken to pieces. */
struct pieces {
	struct position p[PATTERN_MAX];
	int n;                   /* positions, or -EINVAL */
	struct str number;       /* the only one that it matches, in digits; p NULL: there are more */
	bool is_literal;         /* written as that number */
	char digits[PATTERN_MAX];
};

static void take_apart(struct pieces *t, struct str pattern)
{
	const char *why;

	t->n = parse(pattern, t->p, &why);
	t->number = STR_NULL;
	t->is_literal = false;
	for (int i = 0; i < t->n; i++) {
		const uint64_t *bits = t->p[i].bits;

		if (t->p[i].kind != SET || set_size(&t->p[i]) != 1)
			return;
		t->digits[i] = (char)(bits[0] ? __builtin_ctzll(bits[0]) : 64 + __builtin_ctzll(bits[1]));
	}
	if (t->n < 0)
		return;
	t->number = (struct str){ t->digits, (size_t)t->n };
	t->is_literal = str_find_chr(pattern, '[') < 0;
}

static void *get(const struct pattern_set *s, const struct pieces *t)
{
	const struct node *n = trie_find((struct node *)&s->root, t->p, t->n);
	void *literal = t->number.p ? literals_find(&s->literals, t->number) : NULL;

	return literal ? literal : n ? n->value : NULL;
}

int pattern_set_add(struct pattern_set *s, void *value)
{
	struct pieces t;

	take_apart(&t, str_from(s->pattern_of(value)));
	if (t.n < 0)
		return -EINVAL;
	if (get(s, &t))
		return -EEXIST;
	return t.is_literal ? literals_add(&s->literals, value) : trie_add(&s->root, t.p, t.n, value);
}

void *pattern_set_get(const struct pattern_set *s, struct str pattern)
{
	struct pieces t;

	take_apart(&t, pattern);
	return t.n > 0 ? get(s, &t) : NULL;
}

int pattern_set_replace(struct pattern_set *s, void *old, void *value)
{
	struct pieces t;

	take_apart(&t, str_from(s->pattern_of(value)));
	if (t.number.p && literals_find(&s->literals, t.number) == old)
		return literals_replace(&s->literals, value);
	trie_find(&s->root, t.p, t.n)->value = value;
	return 0;
}

void *pattern_set_remove(struct pattern_set *s, struct str pattern)
{
	struct pieces t;
	void *value;

	take_apart(&t, pattern);
	if (t.n <= 0)
		return NULL;
	value = t.number.p ? literals_remove(&s->literals, t.number) : NULL;
	return value ? value : trie_remove(&s->root, t.p, t.n);
}

unsigned pattern_set_shed(struct pattern_set *s, unsigned max, void (*on_value)(void *value))
{
	for (unsigned n = 0; n < max; n++) {
		void *value = literals_shed(&s->literals);

		if (!value)
			value = trie_shed(&s->root);
		if (!value) {
			free(s);
			return n;
		}
		if (on_value)
			on_value(value);
	}
	return max;
}

static void *match(const struct node *n, struct str number)
{
	if (!number.n && n->value)
		return n->value;
	for (const struct node *c = n->child; c; c = c->next) {
		void *value = NULL;

		if (c->at.kind == ANY || (c->at.kind == MANY && number.n))
			return c->value;
		if (c->at.kind == SET && number.n && set_has(c->at.bits, (unsigned char)number.p[0]))
			value = match(c, str_from_at(number, 1));
		if (value)
			return value;
	}
	return NULL;
}

void *pattern_set_match(const struct pattern_set *s, struct str number)
{
	void *value = literals_find(&s->literals, number);

	return value ? value : match(&s->root, number);
}

static bool begins(const struct node *n, struct str digits)
{
	if (!digits.n)
		return n->child != NULL;
	for (const struct node *c = n->child; c; c = c->next) {
		if (c->at.kind != SET)
			return true;
		if (set_has(c->at.bits, (unsigned char)digits.p[0]) && begins(c, str_from_at(digits, 1)))
			return true;
	}
	return false;
}

bool pattern_set_begins(const struct pattern_set *s, struct str digits)
{
	return literals_begin(&s->literals, digits) || begins(&s->root, digits);
}

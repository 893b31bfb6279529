/* pattern.c - dialplan patterns: parsing into positions, order of specificity, and a trie for many.
 *
 * A position is a set of characters (a bit for each of the 128 of ASCII) or one of the two open ends. The children of a trie node are
 * kept in the order of specificity, so the first match found depth first is the most specific.
 */
#include "plan/pattern.h"

#include <errno.h>
#include <stdlib.h>

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
};

struct pattern_set *pattern_set_new(void)
{
	return calloc(1, sizeof(struct pattern_set));
}

static void free_children(struct node *n, void (*on_value)(void *value))
{
	/* As deep as the longest pattern, PATTERN_MAX. */
	while (n->child) {
		struct node *c = n->child;

		n->child = c->next;
		free_children(c, on_value);
		if (c->value && on_value)
			on_value(c->value);
		free(c);
	}
}

void pattern_set_free(struct pattern_set *s, void (*on_value)(void *value))
{
	if (!s)
		return;
	free_children(&s->root, on_value);
	free(s);
}

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

int pattern_set_add(struct pattern_set *s, struct str pattern, void *value)
{
	struct position p[PATTERN_MAX];
	struct node *at = &s->root;
	const char *why;
	int n = parse(pattern, p, &why);

	if (n < 0)
		return -EINVAL;
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
	if (at->value)
		return -EEXIST;
	at->value = value;
	return 0;
}

void *pattern_set_remove(struct pattern_set *s, struct str pattern)
{
	struct position p[PATTERN_MAX];
	struct node **path[PATTERN_MAX], *at = &s->root;
	const char *why;
	int n = parse(pattern, p, &why);
	void *value;

	for (int i = 0; i < n; i++) {
		path[i] = child_slot(at, &p[i]);
		if (!is_at(*path[i], &p[i]))
			return NULL;
		at = *path[i];
	}
	if (n <= 0)
		return NULL;
	value = at->value;
	at->value = NULL;
	for (int i = n - 1; i >= 0 && !(*path[i])->value && !(*path[i])->child; i--) {
		struct node *dead = *path[i];

		*path[i] = dead->next;
		free(dead);
	}
	return value;
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
	return match(&s->root, number);
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
	return begins(&s->root, digits);
}

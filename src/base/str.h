/* str.h - a slice of bytes that somebody else owns.
 *
 * Passed by value, never NUL-terminated, never outlives the buffer it points into.
 * To keep one, copy it with str_dup(). Print one with "%.*s" and STR_ARG(s).
 *
 * Thread: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#define STR(lit) ((struct str){ (lit), sizeof(lit) - 1 })
#define STR_NULL ((struct str){ NULL, 0 })
#define STR_ARG(s) (int)(s).n, ((s).p ? (s).p : "")

/* Always inlined: of a literal the compiler then knows the length, and most comparisons end with that. */
#define STR_INLINE static inline __attribute__((always_inline))

STR_INLINE struct str str_from(const char *z)
{
	return (struct str){ z, z ? strlen(z) : 0 };
}

STR_INLINE bool str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_ieq(struct str a, struct str b); /* ASCII case folded */
STR_INLINE bool str_eqz(struct str a, const char *z) { return str_eq(a, str_from(z)); }
STR_INLINE bool str_ieqz(struct str a, const char *z)
{
	struct str b = str_from(z);

	if (a.n != b.n)
		return false;
	/* Most are written alike, and with what is known to the compiler it compares in place. */
	return (__builtin_constant_p(b.n) && str_eq(a, b)) || str_ieq(a, b);
}
bool str_starts(struct str s, struct str prefix);
bool str_istarts(struct str s, struct str prefix);

static inline bool str_is_space(char c)
{
	return c <= ' ' && (c == ' ' || c == '\t' || c == '\r' || c == '\n');
}

/* Without white space (space, tab, CR, LF) at either end. */
static inline struct str str_trim(struct str s)
{
	while (s.n && str_is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && str_is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}
/* From byte i (clamped) to the end. */
static inline struct str str_from_at(struct str s, size_t i)
{
	if (i > s.n)
		i = s.n;
	return s.p ? (struct str){ s.p + i, s.n - i } : STR_NULL;
}
/* Index of the first c, or -1. */
ptrdiff_t str_find_chr(struct str s, char c);
/* Cuts *rest at the first c: returns what was before it and leaves what is behind it.
 * Without c, returns all and leaves *rest empty with p NULL. */
struct str str_cut(struct str *rest, char c);

/* Decimal digits only, whole slice; -EINVAL on anything else, -ERANGE past max. */
int str_to_u32(struct str s, uint32_t max, uint32_t *out);

/* NUL-terminated heap copy, freed by the caller with free(); NULL without memory. */
char *str_dup(struct str s);
/* Copies into buf (NUL-terminated); -ENOSPC when it doesn't fit, buf is then "". */
int str_copy(struct str s, char *buf, size_t size);
/* Copies what fits of z (NULL: ""; it may lie in buf), NUL-terminated: snprintf("%s") at a tenth of its cost. */
void str_put(char *buf, size_t size, const char *z);
/* a, c, b, NUL-terminated: a key. Returns its length, or -ENOSPC. */
int str_join(char *buf, size_t size, const char *a, char c, struct str b);
/* Length of the UTF-8 character at the front, 0: none begins there. RFC 3629 §4: no surrogates, nothing longer than it need be, and
 * no NUL. */
unsigned str_utf8_len(struct str s);
/* True for "" or NULL. */
static inline bool str_empty(struct str s) { return s.n == 0; }

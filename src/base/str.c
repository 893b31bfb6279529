/* str.c - comparing, cutting and copying slices. The one idea: a slice is a value, nothing here allocates but str_dup(). */
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>

static inline unsigned char lower(unsigned char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static bool mem_ieq(const char *a, const char *b, size_t n)
{
	if (n == 0)
		return true;
	if (lower((unsigned char)a[0]) != lower((unsigned char)b[0]))
		return false;
	/* Most are written alike. */
	if (memcmp(a, b, n) == 0)
		return true;
	for (size_t i = 0; i < n; i++)
		if (lower((unsigned char)a[i]) != lower((unsigned char)b[i]))
			return false;
	return true;
}

bool str_ieq(struct str a, struct str b)
{
	return a.n == b.n && mem_ieq(a.p, b.p, a.n);
}

bool str_starts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_istarts(struct str s, struct str prefix)
{
	return s.n >= prefix.n && mem_ieq(s.p, prefix.p, prefix.n);
}

ptrdiff_t str_find_chr(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? at - s.p : -1;
}

struct str str_cut(struct str *rest, char c)
{
	struct str head = *rest;
	ptrdiff_t at = str_find_chr(head, c);

	if (at < 0) {
		*rest = STR_NULL;
		return head;
	}
	head.n = (size_t)at;
	*rest = str_from_at(*rest, head.n + 1);
	return head;
}

int str_to_u32(struct str s, uint32_t max, uint32_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -EINVAL;
	if (s.n < 10) {
		uint32_t small = 0;

		for (size_t i = 0; i < s.n; i++) {
			unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

			if (digit > 9)
				return -EINVAL;
			small = small * 10 + digit;
		}
		if (small > max)
			return -ERANGE;
		*out = small;
		return 0;
	}
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9)
			return -EINVAL;
		/* Saturates, so that a long run of digits is out of range, not wrapped. */
		if (v <= UINT32_MAX)
			v = v * 10 + digit;
	}
	if (v > max)
		return -ERANGE;
	*out = (uint32_t)v;
	return 0;
}

char *str_dup(struct str s)
{
	char *z = malloc(s.n + 1);

	if (!z)
		return NULL;
	if (s.n)
		memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	return z;
}

int str_copy(struct str s, char *buf, size_t size)
{
	if (s.n >= size) {
		if (size)
			buf[0] = '\0';
		return -ENOSPC;
	}
	if (s.n)
		memcpy(buf, s.p, s.n);
	buf[s.n] = '\0';
	return 0;
}

/* Never part of its caller: gcc would compare the bound with the array that z is, and warn, though its text ends before. */
__attribute__((noinline)) void str_put(char *buf, size_t size, const char *z)
{
	size_t n = z ? strnlen(z, size - 1) : 0;

	if (n)
		memmove(buf, z, n);
	buf[n] = '\0';
}

int str_join(char *buf, size_t size, const char *a, char c, struct str b)
{
	size_t n = strlen(a);

	if (n + 1 + b.n >= size)
		return -ENOSPC;
	memcpy(buf, a, n);
	buf[n] = c;
	if (b.n)
		memcpy(buf + n + 1, b.p, b.n);
	buf[n + 1 + b.n] = '\0';
	return (int)(n + 1 + b.n);
}

unsigned str_utf8_len(struct str s)
{
	static const struct { unsigned char from, to, second_from, second_to; unsigned n; } forms[] = {
		{ 0x01, 0x7f, 0x00, 0xff, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	const unsigned char *p = (const unsigned char *)s.p;

	for (size_t i = 0; s.n && i < ARRAY_LEN(forms); i++) {
		if (p[0] < forms[i].from || p[0] > forms[i].to)
			continue;
		if (forms[i].n == 1)
			return 1;
		if (s.n < forms[i].n || p[1] < forms[i].second_from || p[1] > forms[i].second_to)
			return 0;
		for (unsigned k = 2; k < forms[i].n; k++)
			if ((p[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].n;
	}
	return 0;
}

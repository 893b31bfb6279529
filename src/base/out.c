/* out.c - the bounded writer. A write that doesn't fit is dropped whole and remembered, so callers check once, at the end. */
#include "base/out.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/dec.h"

#define SIZE_FIRST 1024 /* most messages fit */

void out_init(struct out *o, char *buf, size_t size)
{
	*o = (struct out){ .p = buf, .size = size };
}

void out_init_grow(struct out *o, size_t max)
{
	*o = (struct out){ .max = max };
}

void out_init_on(struct out *o, char *buf, size_t size, size_t max)
{
	*o = (struct out){ .p = buf, .size = size < max ? size : max, .max = max, .is_borrowed = true };
}

void out_fini(struct out *o)
{
	if (o->max && !o->is_borrowed)
		free(o->p);
	*o = (struct out){ 0 };
}

char *out_take(struct out *o)
{
	char *text = out_ok(o) ? str_dup(out_view(o)) : NULL;

	out_fini(o);
	return text;
}

/* Makes room for n more bytes. */
static bool reserve(struct out *o, size_t n)
{
	size_t want = o->size ? o->size : SIZE_FIRST;
	char *p;

	if (o->overflow)
		return false;
	if (n <= o->size - o->len)
		return true;
	if (n > o->max || o->len > o->max - n) {
		o->overflow = true;
		return false;
	}
	while (want - o->len < n)
		want *= 2;
	if (want > o->max)
		want = o->max;
	p = o->is_borrowed || !o->p ? malloc(want) : realloc(o->p, want);
	if (!p) {
		o->overflow = true;
		return false;
	}
	if (o->is_borrowed)
		memcpy(p, o->p, o->len);
	o->is_borrowed = false;
	o->p = p;
	o->size = want;
	return true;
}

void out_mem_grow(struct out *o, const void *p, size_t n)
{
	if (!reserve(o, n))
		return;
	memcpy(o->p + o->len, p, n);
	o->len += n;
}

void out_u64(struct out *o, uint64_t v)
{
	char buf[DEC_MAX];

	if (o->size - o->len >= DEC_MAX && !o->overflow)
		o->len = (size_t)(dec_put(o->p + o->len, v) - o->p);
	else
		out_mem(o, buf, (size_t)(dec_put(buf, v) - buf));
}

void out_i64(struct out *o, int64_t v)
{
	if (v < 0)
		out_chr(o, '-');
	out_u64(o, v < 0 ? -(uint64_t)v : (uint64_t)v);
}

void out_fmt(struct out *o, const char *fmt, ...)
{
	size_t room = o->size - o->len;
	va_list ap, again;
	int n;

	if (o->overflow)
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(room ? o->p + o->len : NULL, room, fmt, ap);
	va_end(ap);
	/* vsnprintf wants room for a NUL that the writer doesn't keep. */
	if (n < 0)
		o->overflow = true;
	else if ((size_t)n < room)
		o->len += (size_t)n;
	else if (reserve(o, (size_t)n + 1))
		o->len += (size_t)vsnprintf(o->p + o->len, (size_t)n + 1, fmt, again);
	va_end(again);
}

void out_hex(struct out *o, const void *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const unsigned char *b = p;

	char text[64];
	size_t used = 0;

	for (size_t i = 0; i < n; i++) {
		text[used++] = digits[b[i] >> 4];
		text[used++] = digits[b[i] & 15];
		if (used == sizeof(text) || i + 1 == n) {
			out_mem(o, text, used);
			used = 0;
		}
	}
}

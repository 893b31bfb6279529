/* out.h - one bounded writer that remembers overflow.
 *
 * Writes into a caller's buffer, or (out_init_grow) a heap buffer that grows up to a limit, or begins in the one and goes on in the
 * other (out_init_on). After an overflow nothing more is written; check out_ok() once at the end.
 *
 * Owner:  who inits it; out_fini() frees what grew. Thread: any, one at a time.
 */
#pragma once

#include "base/str.h"

struct out {
	char *p;
	size_t len, size;
	size_t max;    /* growth limit, 0: the buffer is the caller's */
	bool overflow;
	bool is_borrowed; /* p is still the caller's, though it may grow */
};

void out_init(struct out *o, char *buf, size_t size);
/* Heap buffer, grows by doubling up to max bytes. Release with out_fini() or keep out_str().p. */
void out_init_grow(struct out *o, size_t max);
/* The same, for what is written and used at once: it begins in buf and takes none from the heap while that will do. p isn't to be kept. */
void out_init_on(struct out *o, char *buf, size_t size, size_t max);
void out_fini(struct out *o);
/* What is written, as a text of its own, to be freed; and out_fini(). NULL: it was more than fits, or there is no memory for it. */
char *out_take(struct out *o);
static inline void out_reset(struct out *o) { o->len = 0; o->overflow = false; }
static inline bool out_ok(const struct out *o) { return !o->overflow; }
static inline struct str out_view(const struct out *o) { return (struct str){ o->p, o->len }; }

void out_mem_grow(struct out *o, const void *p, size_t n); /* out_mem() where there is no room yet */
static inline void out_mem(struct out *o, const void *p, size_t n)
{
	if (n == 0)
		return;
	if (o->overflow || n > o->size - o->len) {
		out_mem_grow(o, p, n);
		return;
	}
	memcpy(o->p + o->len, p, n);
	o->len += n;
}
static inline void out_chr(struct out *o, char c) { out_mem(o, &c, 1); }
static inline void out_str(struct out *o, struct str s) { out_mem(o, s.p, s.n); }
STR_INLINE void out_z(struct out *o, const char *z) { out_mem(o, z, strlen(z)); } /* of a literal the length is known */
void out_u64(struct out *o, uint64_t v);
void out_i64(struct out *o, int64_t v);
/* For what is written seldom: it costs ten times as much as the others. */
void out_fmt(struct out *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void out_hex(struct out *o, const void *p, size_t n); /* lower case */

/* dec.h - unsigned numbers in decimal, written where they belong: no buffer between, no printf.
 *
 * Pure. Thread: any.
 */
#pragma once

#include <stdint.h>
#include <string.h>

#define DEC_MAX 20 /* digits of UINT64_MAX */

extern const char dec_pairs[2 * 100 + 1]; /* "000102...99" */

char *dec_put_long(char *at, uint64_t v); /* dec_put() of 100 and more */

/* Writes v at at, which has room for DEC_MAX; returns behind it. No NUL. */
static inline char *dec_put(char *at, uint64_t v)
{
	if (v >= 100)
		return dec_put_long(at, v);
	if (v >= 10) {
		memcpy(at, dec_pairs + 2 * v, 2);
		return at + 2;
	}
	*at = (char)('0' + v);
	return at + 1;
}

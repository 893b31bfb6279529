/* scan.h - the first of some bytes, looked for many at a time.
 *
 * memchr() looks for one; a parser looks for the nearer of two or three, and mostly finds it so soon that a call of the C library costs as
 * much as the search. Sixteen bytes at a time with SSE2, which each x86-64 has. Else eight, in plain C: a word less a constant borrows
 * into the top bit of each byte that is below it. A borrow goes on to the bytes above, so only the lowest byte found is sure,
 * which is the one wanted (S. E. Anderson, Bit Twiddling Hacks: "Determine if a word has a byte less than n").
 *
 * Pure. Thread: any.
 */
#pragma once

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SCAN_STEP 16

#define SCAN_EACH(b) (0x0101010101010101u * (uint64_t)(unsigned char)(b))
#define SCAN_BELOW(w, n) (((w) - SCAN_EACH(n)) & ~(w) & SCAN_EACH(0x80))

/* Eight bytes, the first of them lowest. */
static inline uint64_t scan_load(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	w = __builtin_bswap64(w);
#endif
	return w;
}

/* A CR, LF, NUL or tab, or another byte below 14; end when there is none. */
static inline const char *scan_control(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i last = _mm_set1_epi8(13);

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		int found = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(v, last), v));

		if (found)
			return p + __builtin_ctz((unsigned)found);
	}
#endif
	for (; end - p >= 8; p += 8) {
		uint64_t w = scan_load(p), found = SCAN_BELOW(w, 14);

		if (found)
			return p + (__builtin_ctzll(found) >> 3);
	}
	while (p < end && (unsigned char)*p >= 14)
		p++;
	return p;
}

/* a or b; end when there is neither. */
static inline const char *scan_either(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
	const __m128i as = _mm_set1_epi8(a), bs = _mm_set1_epi8(b);

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		int found = _mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(v, as), _mm_cmpeq_epi8(v, bs)));

		if (found)
			return p + __builtin_ctz((unsigned)found);
	}
#endif
	for (; end - p >= 8; p += 8) {
		uint64_t w = scan_load(p), like_a = w ^ SCAN_EACH(a), like_b = w ^ SCAN_EACH(b);
		uint64_t found = SCAN_BELOW(like_a, 1) | SCAN_BELOW(like_b, 1);

		if (found)
			return p + (__builtin_ctzll(found) >> 3);
	}
	while (p < end && *p != a && *p != b)
		p++;
	return p;
}

/* What is no printable ASCII, or a, or b; end when there is nothing of that. */
static inline const char *scan_unusual(const char *p, const char *end, char a, char b)
{
#ifdef __SSE2__
	const __m128i first = _mm_set1_epi8(' '), del = _mm_set1_epi8(127), as = _mm_set1_epi8(a), bs = _mm_set1_epi8(b);

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)p);
		/* Signed: from 128 on they are below the space, too. */
		__m128i odd = _mm_or_si128(_mm_cmplt_epi8(v, first), _mm_cmpeq_epi8(v, del));
		int found = _mm_movemask_epi8(_mm_or_si128(odd, _mm_or_si128(_mm_cmpeq_epi8(v, as), _mm_cmpeq_epi8(v, bs))));

		if (found)
			return p + __builtin_ctz((unsigned)found);
	}
#endif
	while (p < end && *p >= ' ' && *p < 127 && *p != a && *p != b)
		p++;
	return p;
}

/* nomem.h - the allocator of a test in which memory runs out: the 1st, 2nd, ... nth allocation of a scenario fails in turn.
 *
 * It replaces that of the whole binary, libraries included. The sanitizers bring their own, so in their builds the scenario is played
 * without failures (CAN_FAIL 0).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_FAIL 0
#endif
#endif
#ifndef CAN_FAIL
#define CAN_FAIL 1
#endif

static struct {
	bool armed, is_counted;
	bool is_out;                 /* after fail_at all fail, not it alone */
	unsigned count, fail_at;     /* 0: none */
	long balance;                /* allocations that live */
} heap;

#if CAN_FAIL
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

static bool fails(void)
{
	if (!heap.armed)
		return false;
	heap.count++;
	return heap.fail_at && (heap.is_out ? heap.count >= heap.fail_at : heap.count == heap.fail_at);
}

void *malloc(size_t n)
{
	void *p = fails() ? NULL : __libc_malloc(n);

	heap.balance += heap.is_counted && p;
	return p;
}

void *calloc(size_t n, size_t size)
{
	void *p = fails() ? NULL : __libc_calloc(n, size);

	heap.balance += heap.is_counted && p;
	return p;
}

void *realloc(void *old, size_t n)
{
	void *p = fails() ? NULL : __libc_realloc(old, n);

	heap.balance += heap.is_counted && p && !old;
	return p;
}

void free(void *p)
{
	heap.balance -= heap.is_counted && p;
	__libc_free(p);
}
#endif

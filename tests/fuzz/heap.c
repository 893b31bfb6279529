/* heap.c - pieces of a few sizes, each size with a ring of those that were freed: the oldest is used again, so that a piece lies idle for a
 * while, and is looked at then. What is larger than all sizes is mapped alone.
 *
 * A piece: the header, as many bytes as were asked for, and behind them at least 8 that nobody may change.
 */
#include "heap.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#define STEP 32u                     /* bytes from one small size to the next */
#define SMALL 64u                    /* so many of these */
#define CLASSES (SMALL + 11)         /* then doubled each time: 4 KiB to 4 MiB */
#define IDLE 32u                     /* pieces of a size that lie idle */
#define SLAB (4u << 20)
#define TAIL 8u
#define FREED 0xdb
#define FREED_WORD 0xdbdbdbdbdbdbdbdbu
#define FREED_LOOK 64u               /* so many bytes of a freed one are filled, and looked at */
#define IN_USE 0x75736564u
#define IS_FREE 0x66726565u

struct piece { uint64_t n; uint32_t state; uint16_t class, offset; }; /* offset: of one aligned to more than 16, in 16s from the real one */

struct ring { struct piece *first, *last; unsigned n; };

static struct ring idle[CLASSES];
static char *slab;
static size_t left, in_use;
static int lock;

_Static_assert(sizeof(struct piece) == 16, "pieces are aligned to 16");

static size_t class_size(unsigned class)
{
	return class < SMALL ? (class + 1) * STEP : (size_t)SMALL * STEP << (class - SMALL + 1);
}

static unsigned class_of(size_t size)
{
	unsigned class = SMALL;

	if (size <= SMALL * STEP)
		return (unsigned)((size + STEP - 1) / STEP) - 1;
	while (class < CLASSES && class_size(class) < size)
		class++;
	return class;
}

static char *bytes_of(struct piece *p)
{
	return (char *)(p + 1);
}

/* Freed pieces are linked in what they held. */
static struct piece **next_of(struct piece *p)
{
	return (struct piece **)(void *)bytes_of(p);
}

static size_t looked_at(const struct piece *p)
{
	size_t size = class_size(p->class) - sizeof(*p);

	return size < FREED_LOOK ? size : FREED_LOOK;
}

static void *map(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static struct piece *carve(size_t size)
{
	struct piece *p;

	if (left < size) {
		slab = map(SLAB);
		left = slab ? SLAB : 0;
		if (!slab)
			return NULL;
	}
	p = (struct piece *)(void *)slab;
	slab += size;
	left -= size;
	return p;
}

static struct piece *reuse(struct ring *r)
{
	struct piece *p = r->first;
	size_t n = looked_at(p);
	uint64_t word, differs = 0;

	r->first = *next_of(p);
	r->n--;
	for (size_t i = sizeof(p); i < n; i += sizeof(word)) {
		memcpy(&word, bytes_of(p) + i, sizeof(word));
		differs |= word ^ FREED_WORD;
	}
	if (differs || p->state != IS_FREE)
		__builtin_trap(); /* written after it was freed */
	return p;
}

static void *take(size_t n)
{
	size_t size = sizeof(struct piece) + n + TAIL;
	unsigned class = class_of(size);
	struct piece *p;

	if (n > PTRDIFF_MAX / 2)
		return NULL;
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		;
	if (class == CLASSES)
		p = map(size);
	else if (idle[class].n > IDLE)
		p = reuse(&idle[class]);
	else
		p = carve(class_size(class));
	if (p)
		in_use += n;
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
	if (!p)
		return NULL;
	*p = (struct piece){ .n = n, .state = IN_USE, .class = (uint16_t)class };
	memset(bytes_of(p) + n, FREED, TAIL);
	return bytes_of(p);
}

static struct piece *piece_of(void *at)
{
	struct piece *p = (struct piece *)at - 1;
	uint64_t word;

	p -= p->offset;
	if (p->state != IN_USE)
		__builtin_trap(); /* freed twice, or never taken, or what is before it wrote too far */
	memcpy(&word, bytes_of(p) + p->n, TAIL);
	if (word != FREED_WORD)
		__builtin_trap(); /* written too far */
	return p;
}

static void give(void *at)
{
	struct piece *p;
	struct ring *r;

	if (!at)
		return;
	p = piece_of(at);
	if (p->class == CLASSES) {
		__atomic_sub_fetch(&in_use, p->n, __ATOMIC_RELAXED);
		munmap(p, sizeof(*p) + p->n + TAIL);
		return;
	}
	p->state = IS_FREE;
	memset(bytes_of(p), FREED, looked_at(p));
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		;
	in_use -= p->n;
	r = &idle[p->class];
	if (r->n)
		*next_of(r->last) = p;
	else
		r->first = p;
	r->last = p;
	r->n++;
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static void *change(void *at, size_t n)
{
	struct piece *p;
	void *other;

	if (!at)
		return take(n);
	p = piece_of(at);
	other = take(n);
	if (!other)
		return NULL;
	memcpy(other, at, n < p->n ? n : p->n);
	give(at);
	return other;
}

size_t heap_bytes(void)
{
	return in_use;
}

/* ---- OpenSSL's and jansson's ---- */

static void *take_for(size_t n, const char *file, int line)
{
	(void)file;
	(void)line;
	return n ? take(n) : NULL;
}

static void give_for(void *at, const char *file, int line)
{
	(void)file;
	(void)line;
	give(at);
}

static void *change_for(void *at, size_t n, const char *file, int line)
{
	if (n)
		return change(at, n);
	give_for(at, file, line);
	return NULL;
}

void heap_for_libraries(void)
{
	json_set_alloc_funcs(take, give);
	if (!CRYPTO_set_mem_functions(take_for, change_for, give_for))
		__builtin_trap();
}

/* ---- everybody's ---- */

#ifdef FUZZ_BARE

void *malloc(size_t n) { return take(n); }
void free(void *at) { give(at); }
void *realloc(void *at, size_t n) { return change(at, n); }
size_t malloc_usable_size(void *at) { return at ? piece_of(at)->n : 0; }

void *calloc(size_t n, size_t size)
{
	size_t all;
	void *at;

	if (__builtin_mul_overflow(n, size, &all))
		return NULL;
	at = take(all);
	return at ? memset(at, 0, all) : NULL;
}

void *memalign(size_t align, size_t n)
{
	char *at = take(align <= 16 ? n : n + align);
	size_t shift = at && align > 16 ? -(uintptr_t)at & (align - 1) : 0;

	if (shift) {
		struct piece *p = (struct piece *)(void *)(at + shift) - 1;

		*p = (struct piece){ .offset = (uint16_t)(shift / 16) };
	}
	return at ? at + shift : NULL;
}

void *aligned_alloc(size_t align, size_t n) { return memalign(align, n); }

int posix_memalign(void **out, size_t align, size_t n)
{
	void *at = memalign(align, n);

	if (!at)
		return ENOMEM;
	*out = at;
	return 0;
}

#endif

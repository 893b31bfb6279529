/* fuzz_loop.c - libFuzzer target on the whole signalling: a script of what phones, trunks and strangers say (loop/peers.h) is played to a
 * server that is real but for what lies below and beside it (loop/server.h).
 *
 * What the server says can be read; it answers no storm with a storm; and when all is over and time has passed nothing is left:
 * no call, leg, session, transaction, task, binding, timer or byte.
 */
#include <assert.h>
#include <openssl/err.h>
#include <sanitizer/allocator_interface.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rng.h"
#include "heap.h"
#include "loop/peers.h"

#define AGAIN_MAX 4

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out, size_t max_size,
				 unsigned seed);

static void play(const uint8_t *data, size_t size)
{
	struct str script = { (const char *)data, size };
	struct peers *ps = peers_new(script);
	struct server *s = peers_server(ps);

	peers_play(ps, script);
	peers_end(ps);
	server_assert_idle(s);
	peers_free(ps);
	ERR_clear_error(); /* the last errors are kept, with where they were */
}

static size_t allocated(void)
{
#ifdef FUZZ_BARE
	return heap_bytes();
#else
	return __sanitizer_get_current_allocated_bytes() + heap_bytes();
#endif
}

/* The lean build watches what is ours alone: three of four allocations are jansson's and OpenSSL's. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
#ifdef FUZZ_LEAN
	heap_for_libraries();
#endif
	return 0;
}

/* libFuzzer itself looks for leaks where there are more allocations than releases, once more and with all it has: half of the time. What
 * libraries make once and keep isn't there the second time. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t before = allocated();

	server_keeps_stacks = true;
	play(data, size);
	for (unsigned i = 0; allocated() > before; i++) {
		assert(i < AGAIN_MAX);
		before = allocated();
		play(data, size);
	}
	return 0;
}

/* ---- mutation: whole steps, too, so that a script stays one ---- */

#define STEPS_MAX 128
#define ROOM 65536

struct script {
	struct str steps[STEPS_MAX];
	unsigned n;
};

static void cut(struct script *s, const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t from = 0;

	s->n = 0;
	for (size_t i = 1; i <= size; i++) {
		if (i < size && (p[i] != '@' || p[i - 1] != '\n' || s->n == STEPS_MAX - 1))
			continue;
		s->steps[s->n++] = (struct str){ p + from, i - from };
		from = i;
	}
}

static size_t join(const struct script *s, uint8_t *out, size_t max_size)
{
	static uint8_t room[ROOM];
	size_t n = 0;

	for (unsigned i = 0; i < s->n; i++) {
		if (n + s->steps[i].n > max_size || n + s->steps[i].n > ROOM)
			break;
		memcpy(room + n, s->steps[i].p, s->steps[i].n);
		n += s->steps[i].n;
	}
	memcpy(out, room, n);
	return n;
}

static void insert(struct script *s, unsigned at, struct str step)
{
	if (s->n == STEPS_MAX)
		return;
	memmove(&s->steps[at + 1], &s->steps[at], (s->n - at) * sizeof(step));
	s->steps[at] = step;
	s->n++;
}

static void take_out(struct script *s, unsigned at)
{
	memmove(&s->steps[at], &s->steps[at + 1], (--s->n - at) * sizeof(s->steps[0]));
}

/* What may happen at any time. */
static struct str any_step(struct rng *r, char *buf, size_t size)
{
	static const char *const says[] = {
		"180", "183\nRequire: 100rel\nRSeq: 1\n\n$o", "183\n\n$o", "200", "200\n\n$o", "200\n\n$h", "486", "491", "481", "408", "503",
		"302\nContact: <sip:1003@office>", "422\nMin-SE: 2000", "ACK", "ACK\n\n$o", "BYE", "CANCEL", "PRACK", "PRACK\n\n$o", "UPDATE",
		"UPDATE\n\n$o", "INVITE", "INVITE\n\n$o", "INVITE\n\n$h", "INFO\nContent-Type: application/dtmf-relay\n\nSignal=1",
		"REFER\nRefer-To: <sip:1003@office>", "REFER\nRefer-To: <sip:1001@office>", "REFER\nRefer-To: <sip:1003@office?Replaces=$R>",
		"REFER\nRefer-To: <sip:1003@office?Replaces=$Q>", "SUBSCRIBE\nEvent: refer", "SUBSCRIBE\nEvent: dialog\nExpires: 0", "NOTIFY",
		"DIGIT 1", "TIMEOUT", "LATCH", "CLOSE", "LOST 1", "LOST 2", "LOST 0", "AWAY 1", "AWAY 0", "OPTIONS",
		"REGISTER sip:office", "INVITE sip:1001@office\n\n$o", "INVITE sip:1002@office\n\n$o", "INVITE sip:1003@office\n\n$o",
		"INVITE sip:606@office\n\n$o", "INVITE sip:0301@office\n\n$o", "INVITE sip:1002@office\nReplaces: $q\n\n$o",
		"INVITE sip:1002@office\nReplaces: $r\n\n$o", "INVITE sip:1002@office\nRequire: 100rel\n\n$o", "SUBSCRIBE sip:1002@office\nEvent: dialog",
		"MESSAGE sip:1003@office\nContent-Type: text/plain\n\nx",
	};
	static const unsigned waits[] = { 0, 0, 0, 0, 1, 10, 500, 3000, 10000, 32000, 60000, 900000 };
	static const char *const flags[] = { "", "", "", " 1", " 2", " f", " n", " 1f", " 3" };
	int n = snprintf(buf, size, "@%c %u%s\n%s\n", "abctus"[rng_below(r, 6)], waits[rng_below(r, ARRAY_LEN(waits))],
			 flags[rng_below(r, ARRAY_LEN(flags))], says[rng_below(r, ARRAY_LEN(says))]);

	return (struct str){ buf, (size_t)n };
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	static uint8_t copy[ROOM];
	char made[512];
	struct script s;
	struct rng r;
	unsigned a, b;

	rng_init_fixed(&r, seed + 1ull);
	if (size < 2 || size > ROOM || rng_below(&r, 4) == 0)
		return LLVMFuzzerMutate(data, size, max_size);
	memcpy(copy, data, size);
	cut(&s, copy, size);
	a = rng_below(&r, s.n);
	b = rng_below(&r, s.n);
	switch (rng_below(&r, 6)) {
	case 0: /* one step alone */
		if (s.steps[a].n < sizeof(made) / 2) {
			memcpy(made, s.steps[a].p, s.steps[a].n);
			s.steps[a] = (struct str){ made, LLVMFuzzerMutate((uint8_t *)made, s.steps[a].n, sizeof(made)) };
		}
		break;
	case 1: /* said twice, or later */
		insert(&s, b, s.steps[a]);
		break;
	case 2:
		if (s.n > 1)
			take_out(&s, a);
		break;
	case 3: {
		struct str other = s.steps[a];

		s.steps[a] = s.steps[b];
		s.steps[b] = other;
		break;
	}
	default:
		insert(&s, a + 1, any_step(&r, made, sizeof(made)));
	}
	return join(&s, data, max_size);
}

/* The beginning of one and the end of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2, size_t size2, uint8_t *out, size_t max_size,
				 unsigned seed)
{
	struct script first, second;
	struct rng r;
	unsigned from;

	rng_init_fixed(&r, seed + 1ull);
	cut(&first, data1, size1);
	cut(&second, data2, size2);
	first.n = first.n ? rng_below(&r, first.n) + 1 : 0;
	from = second.n ? rng_below(&r, second.n) : 0;
	while (from < second.n && first.n < STEPS_MAX)
		first.steps[first.n++] = second.steps[from++];
	return join(&first, out, max_size);
}

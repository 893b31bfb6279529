/* test_loop_seeds.c - what the seeds of fuzz_loop are for still happens: a loop that refuses each call can be played ten million times
 * without a finding, and nobody would know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "../fuzz/loop/peers.h"

/* Plays the seed of that name; returns how often it joined two parties. */
static unsigned conversations_of(const char *name)
{
	char path[256], script[8192];
	struct peers *ps;
	unsigned n;
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "tests/fuzz/corpus/loop/%s", name);
	f = fopen(path, "rb");
	assert_non_null(f);
	len = fread(script, 1, sizeof(script), f);
	assert_true(len && len < sizeof(script));
	fclose(f);
	ps = peers_new((struct str){ script, len });
	peers_play(ps, (struct str){ script, len });
	n = server_conversations(peers_server(ps));
	peers_end(ps);
	server_assert_idle(peers_server(ps));
	peers_free(ps);
	return n;
}

static void test_loop_seeds_reach_conversations(void **state)
{
	static const struct {
		const char *name;
		unsigned conversations;
	} seeds[] = {
		{ "attended", 3 }, { "away", 1 }, { "blind", 2 }, { "blindback", 2 }, { "call", 1 }, { "forks", 2 },
		{ "forward", 1 }, { "group", 1 }, { "hold", 3 }, { "inmessage", 1 }, { "late", 1 }, { "late_dns", 1 },
		{ "lost", 3 }, { "multipart", 1 }, { "other", 1 }, { "out", 2 }, { "pickup", 1 }, { "redirect", 1 },
		{ "rel", 2 }, { "replace", 1 }, { "semi", 2 }, { "trunk", 1 }, { "video", 2 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(seeds); i++) {
		unsigned n = conversations_of(seeds[i].name);

		if (n != seeds[i].conversations)
			fail_msg("%s: %u conversations instead of %u", seeds[i].name, n, seeds[i].conversations);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loop_seeds_reach_conversations),
	};

	return cmocka_run_group_tests_name("seeds of the loop", tests, NULL, NULL);
}

/* Who has answered: each rule at its threshold, and calls as they go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "call/amd.h"

static const struct amd_params usual = {
	.initial_silence_ms = 2500, .greeting_ms = 1500, .after_greeting_ms = 800, .total_ms = 5000, .word_ms = 100, .words = 3,
};

/* Lengths of silence, talk, silence ...; the last state goes on until it is due. */
static const struct { const char *name; uint32_t ms[12]; enum amd_verdict verdict; const char *cause; } rows[] = {
	{ "nothing is said", { 0 }, AMD_MACHINE, "initial_silence" },
	{ "hello?", { 400, 450 }, AMD_HUMAN, "silence_after_greeting" },
	{ "hello, Nora speaking", { 300, 400, 200, 900 }, AMD_HUMAN, "silence_after_greeting" },
	{ "hello ... (breath) ... who is there", { 300, 400, 799, 500 }, AMD_HUMAN, "silence_after_greeting" },
	{ "an announcement in one breath", { 200 }, AMD_MACHINE, "greeting" },
	{ "an announcement with pauses", { 200, 600, 150, 600, 150 }, AMD_MACHINE, "greeting" },
	{ "four words", { 200, 150, 120, 150, 120, 150, 120, 150 }, AMD_MACHINE, "words" },
	{ "three words", { 200, 150, 120, 150, 120, 150 }, AMD_HUMAN, "silence_after_greeting" },
	{ "clicks are no words", { 200, 60, 120, 60, 120, 60, 120, 60 }, AMD_MACHINE, "initial_silence" },
	{ "silence just not too long", { 2499, 300 }, AMD_HUMAN, "silence_after_greeting" },
	{ "silence just too long", { 2500, 300 }, AMD_MACHINE, "initial_silence" },
	{ "it goes on and on", { 2400, 300, 790, 300, 790, 300 }, AMD_UNSURE, "total" },
};

static void test_amd_decides(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum amd_verdict v = AMD_OPEN;
		struct amd a;

		amd_init(&a, &usual);
		if (!strcmp(rows[i].name, "an announcement in one breath"))
			assert_int_equal(amd_changes(&a, rows[i].ms[0]), AMD_OPEN);
		else
			for (size_t k = 0; v == AMD_OPEN && k < ARRAY_LEN(rows[i].ms) && rows[i].ms[k]; k++)
				v = amd_changes(&a, rows[i].ms[k]);
		if (v == AMD_OPEN) { /* not a moment before it is due */
			uint32_t due = amd_due(&a);

			assert_true(due > 0);
			assert_int_equal(amd_lasts(&a, due - 1), AMD_OPEN);
			v = amd_lasts(&a, due);
		}
		if (v != rows[i].verdict || strcmp(a.cause, rows[i].cause) != 0)
			fail_msg("%s: %s by %s", rows[i].name, amd_verdict_name(v), a.cause);
	}
}

static void test_amd_due_is_never_past_the_total(void **state)
{
	struct amd a;

	(void)state;
	amd_init(&a, &usual);
	assert_int_equal(amd_due(&a), 2500);
	assert_int_equal(amd_changes(&a, 2400), AMD_OPEN);
	assert_int_equal(amd_due(&a), 1500);
	assert_int_equal(amd_changes(&a, 1000), AMD_OPEN);
	assert_int_equal(amd_due(&a), 800);
	assert_int_equal(amd_changes(&a, 700), AMD_OPEN);
	assert_int_equal(amd_due(&a), 500);
	assert_int_equal(amd_changes(&a, 300), AMD_OPEN);
	assert_int_equal(amd_due(&a), 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_amd_decides),
		cmocka_unit_test(test_amd_due_is_never_past_the_total),
	};

	return cmocka_run_group_tests_name("amd", tests, NULL, NULL);
}

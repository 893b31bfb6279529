/* test_say.c - the grammar of spoken numbers, dates and counts, against what a speaker would say.
 *
 * The prompts are a temporary folder with one empty file a phrase of prompts/en/phrases.tsv, so a grammar that uses a phrase the
 * list lacks says less than expected and fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call/say.h"

struct fixture { char folder[64]; struct zones zones; };

static void touch(const char *folder, const char *phrase)
{
	char path[2048];
	FILE *f;

	snprintf(path, sizeof(path), "%s/en/%s.wav", folder, phrase);
	for (char *p = path + strlen(folder) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(path, 0700);
		*p = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
}

static int setup(void **state)
{
	static struct fixture fx;
	char line[1024];
	FILE *f = fopen("prompts/en/phrases.tsv", "r");

	assert_non_null(f);
	strcpy(fx.folder, "/tmp/test-say-XXXXXX");
	assert_non_null(mkdtemp(fx.folder));
	while (fgets(line, sizeof(line), f)) {
		if (line[0] == '#')
			continue;
		line[strcspn(line, "\t\n")] = '\0';
		touch(fx.folder, line);
	}
	fclose(f);
	zones_init(&fx.zones, ZONE_FOLDER, &clock_system);
	*state = &fx;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct fixture *fx = *state;

	zones_fini(&fx->zones);
	return nftw(fx->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* What was added, as phrases with spaces between; "digits/" left out. Frees s. */
static void assert_said(const struct fixture *fx, struct say *s, const char *expected)
{
	const char *const *files;
	char text[1024] = "";
	size_t skip = strlen(fx->folder) + strlen("/en/");
	unsigned n;

	say_files(s, &files, &n);
	for (unsigned i = 0; i < n; i++) {
		const char *phrase = files[i] + skip;

		if (!strncmp(phrase, "digits/", 7))
			phrase += 7;
		assert_true(strlen(phrase) > 4);
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%.*s", i ? " " : "", (int)strlen(phrase) - 4, phrase);
	}
	assert_string_equal(text, expected);
	say_free(s);
}

static struct say *new_en(struct fixture *fx)
{
	struct say *s = say_new(fx->folder, "en", &fx->zones, NULL);

	assert_non_null(s);
	return s;
}

static void test_say_number_is_cardinal(void **state)
{
	static const struct { int64_t n; const char *said; } rows[] = {
		{ 0, "0" }, { 1, "1" }, { 13, "13" }, { 20, "20" }, { 21, "20 1" }, { 90, "90" }, { 99, "90 9" }, { 100, "1 hundred" },
		{ 101, "1 hundred 1" }, { 120, "1 hundred 20" }, { 219, "2 hundred 19" }, { 999, "9 hundred 90 9" },
		{ 1000, "1 thousand" }, { 1001, "1 thousand 1" }, { 12345, "12 thousand 3 hundred 40 5" },
		{ 100000, "1 hundred thousand" }, { 1000000, "1 million" }, { 1000015, "1 million 15" },
		{ 999999999, "9 hundred 90 9 million 9 hundred 90 9 thousand 9 hundred 90 9" },
		{ -5, "minus 5" }, { 1000000000, "1 0 0 0 0 0 0 0 0 0" }, { INT64_MIN, "minus 9 2 2 3 3 7 2 0 3 6 8 5 4 7 7 5 8 0 8" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct say *s = new_en(*state);

		say_number(s, rows[i].n);
		assert_said(*state, s, rows[i].said);
	}
}

static void test_say_digits_spells_every_key(void **state)
{
	struct say *s = new_en(*state);

	say_digits(s, "+1002*#aD x");
	assert_said(*state, s, "letters/plus 1 0 0 2 star pound letters/a letters/d");
}

static void test_say_messages_agrees_in_number(void **state)
{
	static const struct { unsigned n; const char *kind, *said; } rows[] = {
		{ 0, "new", "vm-youhave vm-no vm-INBOX vm-messages" },
		{ 1, "new", "vm-youhave 1 vm-INBOX vm-message" },
		{ 3, "new", "vm-youhave 3 vm-INBOX vm-messages" },
		{ 1, "saved", "vm-youhave 1 vm-saved vm-message" },
		{ 22, "saved", "vm-youhave 20 2 vm-saved vm-messages" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct say *s = new_en(*state);

		say_messages(s, rows[i].n, rows[i].kind);
		assert_said(*state, s, rows[i].said);
	}
}

/* 2026-11-21 09:30:00 UTC, a Saturday */
#define NOW 1795253400

static void test_say_datetime_is_relative_to_now(void **state)
{
	static const struct { int64_t t; const char *zone, *said; } rows[] = {
		{ NOW, "UTC", "today at 9 30 a-m" },
		{ NOW, NULL, "today at 9 30 a-m" },
		{ NOW - 1500, "UTC", "today at 9 oh 5 a-m" },
		{ NOW - 34200, "UTC", "today at 12 a-m" },                         /* midnight */
		{ NOW + 9000, "UTC", "today at 12 p-m" },                          /* noon */
		{ NOW - 34201, "UTC", "yesterday at 11 50 9 p-m" },
		{ NOW - 2 * 86400, "UTC", "day-4 at 9 30 a-m" },                   /* Thursday */
		{ NOW - 6 * 86400, "UTC", "day-0 at 9 30 a-m" },
		{ NOW - 7 * 86400, "UTC", "mon-10 h-14 at 9 30 a-m" },
		{ NOW + 86400, "UTC", "mon-10 20 h-2 at 9 30 a-m" },
		{ NOW + 9 * 86400, "UTC", "mon-10 h-30 at 9 30 a-m" },
		{ NOW - 326 * 86400, "UTC", "mon-11 h-30 20 20 5 at 9 30 a-m" },    /* another year */
		{ 0, "UTC", "mon-0 h-1 19 70 at 12 a-m" },
		{ 1230768000, "UTC", "mon-0 h-1 2 thousand 9 at 12 a-m" },
		{ NOW, "America/New_York", "today at 4 30 a-m" },
		{ NOW - 18001, "America/New_York", "yesterday at 11 20 9 p-m" },
		{ NOW, "Mars/Olympus", "today at 9 30 a-m" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct say *s = new_en(*state);

		say_set_now(s, NOW);
		say_datetime(s, rows[i].t, rows[i].zone);
		assert_said(*state, s, rows[i].said);
	}
}

static void test_say_duration_is_in_whole_units(void **state)
{
	static const struct { uint32_t s; const char *said; } rows[] = {
		{ 0, "0 seconds" }, { 1, "1 second" }, { 59, "50 9 seconds" }, { 60, "1 minute" }, { 61, "1 minute 1 second" },
		{ 125, "2 minutes 5 seconds" }, { 3600, "60 minutes" }, { 7200, "2 hours" }, { 7261, "2 hours 1 minute 1 second" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct say *s = new_en(*state);

		say_duration(s, rows[i].s);
		assert_said(*state, s, rows[i].said);
	}
}

static void test_say_envelope_spells_numbers_only(void **state)
{
	static const struct { const char *caller, *said; } rows[] = {
		{ "1002", "vm-message 3 vm-received today at 9 30 a-m vm-from 1 0 0 2" },
		{ "+491", "vm-message 3 vm-received today at 9 30 a-m vm-from letters/plus 4 9 1" },
		{ "anonymous", "vm-message 3 vm-received today at 9 30 a-m vm-unknown-caller" },
		{ "", "vm-message 3 vm-received today at 9 30 a-m vm-unknown-caller" },
		{ NULL, "vm-message 3 vm-received today at 9 30 a-m vm-unknown-caller" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct say *s = new_en(*state);

		say_set_now(s, NOW);
		say_envelope(s, 3, rows[i].caller, NOW, "UTC");
		assert_said(*state, s, rows[i].said);
	}
}

static void test_say_absent_tells_why(void **state)
{
	const struct fixture *fx = *state;
	struct say *s = new_en(*state);
	char name[96];

	say_absent(s, "1001", false);
	say_absent(s, "12", true);
	assert_said(*state, s, "vm-theperson 1 0 0 1 vm-isunavail vm-theperson 1 2 vm-isonphone");

	s = new_en(*state);
	snprintf(name, sizeof(name), "%s/en/olive.wav", fx->folder);
	say_absent_named(s, name, false);
	say_absent_named(s, name, true);
	assert_said(*state, s, "olive vm-isunavail olive vm-isonphone");
}

static void test_say_unknown_phrase_is_skipped(void **state)
{
	struct say *s = new_en(*state);

	say_phrase(s, "no-such-phrase");
	say_phrase(s, "../en/beep");
	say_phrase(s, "/etc/passwd");
	say_phrase(s, "beep");
	assert_said(*state, s, "beep");
}

static void test_say_unknown_language_is_english(void **state)
{
	static const char *const languages[] = { "xx", "", "en-GB", NULL };
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_LEN(languages); i++) {
		struct say *s = say_new(fx->folder, languages[i], &fx->zones, NULL);

		assert_non_null(s);
		say_number(s, 7);
		assert_said(fx, s, "7");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_say_number_is_cardinal),
		cmocka_unit_test(test_say_digits_spells_every_key),
		cmocka_unit_test(test_say_messages_agrees_in_number),
		cmocka_unit_test(test_say_datetime_is_relative_to_now),
		cmocka_unit_test(test_say_duration_is_in_whole_units),
		cmocka_unit_test(test_say_envelope_spells_numbers_only),
		cmocka_unit_test(test_say_absent_tells_why),
		cmocka_unit_test(test_say_unknown_phrase_is_skipped),
		cmocka_unit_test(test_say_unknown_language_is_english),
	};

	return cmocka_run_group_tests_name("say", tests, setup, teardown);
}

/* test_spool.c - what a former process left in the spool is delivered, or cleaned away, or kept for a person. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "call/call_int.h"

/* ---- the outbox ---- */

static struct { char kind[32], doc[300], file[300]; void (*fn)(int err, void *arg); void *arg; } given[8];
static unsigned ngiven;
static int outbox_err;

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	if (outbox_err)
		return outbox_err;
	assert_true(ngiven < ARRAY_LEN(given));
	snprintf(given[ngiven].kind, sizeof(given[0].kind), "%s", kind);
	snprintf(given[ngiven].doc, sizeof(given[0].doc), "%s", doc);
	snprintf(given[ngiven].file, sizeof(given[0].file), "%s", file);
	given[ngiven].fn = fn;
	given[ngiven++].arg = arg;
	return 0;
}

/* ---- a spool ---- */

static char dir[64];
static struct calls calls = { .p.spool = dir };

static const char *path_of(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const void *bytes, size_t n)
{
	assert_int_equal(spool_write_file(path_of(name), bytes, n), 0);
}

static bool is_there(const char *name)
{
	return access(path_of(name), F_OK) == 0;
}

/* 16 kHz mono as the recorder writes it; the sizes in its header are those of the last write before the crash. */
static void put_wav(const char *name, unsigned ms)
{
	static unsigned char wav[44 + 64000] = "RIFF----WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data";

	put(name, wav, 44 + (size_t)ms * 32);
}

static int make_spool(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/spooltest-XXXXXX");
	assert_non_null(mkdtemp(dir));
	mkdir(path_of("recording"), 0700);
	mkdir(path_of("tmp"), 0700);
	ngiven = 0;
	outbox_err = 0;
	return 0;
}

static int remove_spool(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return system(command);
}

static const char side[] = "{\"kind\":\"voicemail\",\"doc\":{\"id\":\"x\",\"number\":\"1001\"}}";

static void test_spool_left_over_recording_is_delivered(void **state)
{
	(void)state;
	put("recording/a.wav.json", side, sizeof(side) - 1);
	put_wav("recording/a.wav", 1500);
	spool_recover(&calls);
	assert_int_equal(ngiven, 1);
	assert_string_equal(given[0].kind, "voicemail");
	assert_string_equal(given[0].doc, "{\"id\":\"x\",\"number\":\"1001\",\"duration_ms\":1500}");
	assert_string_equal(given[0].file, path_of("recording/a.wav"));
	/* The side file stays until the outbox has it: a crash before that delivers it next time. */
	assert_true(is_there("recording/a.wav.json"));
	given[0].fn(0, given[0].arg);
	assert_false(is_there("recording/a.wav.json"));
}

static void test_spool_undelivered_recording_stays(void **state)
{
	(void)state;
	put("recording/a.wav.json", side, sizeof(side) - 1);
	put_wav("recording/a.wav", 1500);
	spool_recover(&calls);
	given[0].fn(-ENOSPC, given[0].arg);
	assert_true(is_there("recording/a.wav") && is_there("recording/a.wav.json"));
	outbox_err = -ENOMEM;
	spool_recover(&calls);
	assert_true(is_there("recording/a.wav") && is_there("recording/a.wav.json"));
	outbox_err = 0;
	spool_recover(&calls);
	assert_int_equal(ngiven, 2);
	given[1].fn(0, given[1].arg);
}

static void test_spool_cleans_what_nobody_wants(void **state)
{
	(void)state;
	put_wav("recording/unwanted.wav", 1500);                            /* no side file */
	put("recording/short.wav.json", side, sizeof(side) - 1);
	put_wav("recording/short.wav", 999);
	put("recording/empty.wav.json", side, sizeof(side) - 1);
	put("recording/empty.wav", "", 0);
	put("recording/delivered.wav.json", side, sizeof(side) - 1);        /* the outbox has the recording */
	put("tmp/greeting.wav", "x", 1);
	spool_recover(&calls);
	assert_int_equal(ngiven, 0);
	assert_int_equal(rmdir(path_of("recording")), 0);
	assert_int_equal(rmdir(path_of("tmp")), 0);
}

/* Somebody spoke, and what it was for can't be read: that is for a person. */
static void test_spool_damaged_side_file_keeps_both(void **state)
{
	static const char *const sides[] = { "", "{", "{\"kind\":\"voicemail\"}", "{\"kind\":5,\"doc\":{}}", "{\"doc\":{}}", "[]" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sides); i++) {
		put("recording/a.wav.json", sides[i], strlen(sides[i]));
		put_wav("recording/a.wav", 1500);
		spool_recover(&calls);
		assert_int_equal(ngiven, 0);
		assert_true(is_there("recording/a.wav") && is_there("recording/a.wav.json"));
	}
}

static void test_spool_makes_its_folders(void **state)
{
	(void)state;
	rmdir(path_of("recording"));
	rmdir(path_of("tmp"));
	spool_recover(&calls);
	assert_true(is_there("recording") && is_there("tmp"));
}

/* Half a file is none. */
static void test_spool_write_file_leaves_nothing_on_a_full_disk(void **state)
{
	struct rlimit old, small;
	char bytes[1000] = { 0 };

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 500;
	setrlimit(RLIMIT_FSIZE, &small);
	assert_int_equal(spool_write_file(path_of("tmp/x"), bytes, sizeof(bytes)), -EFBIG);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_false(is_there("tmp/x"));
	assert_int_equal(spool_write_file(path_of("nowhere/x"), bytes, sizeof(bytes)), -ENOENT);
}

#define SPOOL_TEST(fn) cmocka_unit_test_setup_teardown(fn, make_spool, remove_spool)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(test_spool_left_over_recording_is_delivered), SPOOL_TEST(test_spool_undelivered_recording_stays),
		SPOOL_TEST(test_spool_cleans_what_nobody_wants), SPOOL_TEST(test_spool_damaged_side_file_keeps_both),
		SPOOL_TEST(test_spool_makes_its_folders), SPOOL_TEST(test_spool_write_file_leaves_nothing_on_a_full_disk),
	};

	return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}

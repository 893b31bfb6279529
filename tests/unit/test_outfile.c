/* Files of sound: what is written can be read again, also when the disk was full in the midst of it, or the writer died. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <sndfile.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/outfile.h"

#define RATE 16000
#define SECONDS 10
#define STEP (RATE / 5)

static char dir[] = "/tmp/cordboard-test-XXXXXX";
static int16_t said[RATE * SECONDS * 2], heard[RATE * SECONDS * 2];

/* Two channels that are like nothing but themselves. */
static void speak(unsigned channels)
{
	double phase[2] = { 0, 0 };

	for (size_t i = 0; i < (size_t)RATE * SECONDS; i++) {
		for (unsigned c = 0; c < channels; c++) {
			phase[c] += (0.05 + 0.04 * c) * (1 + 0.8 * sin((double)i / (4000 + 1500 * c)));
			said[i * channels + c] = (int16_t)(9000 * sin(phase[c]));
		}
	}
}

static double alike(unsigned channels, unsigned c, size_t n, int lag)
{
	double ab = 0, aa = 0, bb = 0;

	for (size_t i = 0; i + (size_t)lag < n; i++) {
		double a = said[i * channels + c], b = heard[(i + (size_t)lag) * channels + c];

		ab += a * b;
		aa += a * a;
		bb += b * b;
	}
	return ab / sqrt(aa * bb + 1);
}

static size_t read_back(const char *path, unsigned channels)
{
	SF_INFO info = { 0 };
	SNDFILE *f = sf_open(path, SFM_READ, &info);
	sf_count_t n;

	assert_non_null(f);
	assert_int_equal(info.channels, channels);
	memset(heard, 0, sizeof(heard));
	n = sf_readf_short(f, heard, RATE * SECONDS);
	assert_int_equal(sf_error(f), SF_ERR_NO_ERROR);
	sf_close(f);
	return (size_t)n;
}

static const struct {
	enum outfile_format format;
	const char *name;
	double like;
} v[] = { { OUTFILE_WAV, "a/b/x.wav", 0.9999 }, { OUTFILE_FLAC, "a/b/x.flac", 0.9999 }, { OUTFILE_OPUS, "a/c/x.opus", 0.97 } };

static struct outfile *open_new(size_t i, unsigned channels, char path[300])
{
	struct outfile *f;

	snprintf(path, 300, "%s/%s", dir, v[i].name);
	unlink(path);
	assert_int_equal(outfile_open(&f, path, v[i].format, RATE, channels), 0);
	return f;
}

static int write_so_far(struct outfile *f, unsigned channels, size_t nframes)
{
	int err = 0;

	for (size_t at = 0; err == 0 && at < nframes; at += STEP)
		err = outfile_write(f, said + at * channels, STEP);
	return err;
}

static void test_outfile_each_format_keeps_what_was_said(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		for (unsigned channels = 1; channels <= 2; channels++) {
			struct outfile_result r;
			struct stat st;
			char path[300];
			struct outfile *f, *again;

			speak(channels);
			f = open_new(i, channels, path);
			assert_int_equal(outfile_open(&again, path, v[i].format, RATE, channels), -EEXIST);
			assert_int_equal(write_so_far(f, channels, RATE * SECONDS), 0);
			outfile_close(f, &r);
			assert_int_equal(r.err, 0);
			assert_int_equal(r.frames, RATE * SECONDS);
			assert_int_equal(stat(path, &st), 0);
			assert_int_equal(r.bytes, st.st_size);
			assert_int_equal(read_back(path, channels), RATE * SECONDS);
			for (unsigned c = 0; c < channels; c++)
				assert_true(alike(channels, c, RATE * SECONDS, 0) > v[i].like);
		}
	}
}

/* Wherever the disk ends, what is on it is a file that can be played to its end. */
static void test_outfile_full_disk_leaves_a_whole_file(void **state)
{
	static const rlim_t limits[] = { 20000, 30011, 65536, 65537 };
	struct rlimit before, now;

	(void)state;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	speak(2);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		for (size_t k = 0; k < ARRAY_LEN(limits); k++) {
			struct outfile_result r;
			char path[300];
			struct outfile *f = open_new(i, 2, path);
			size_t n;
			int err;

			now = before;
			now.rlim_cur = limits[k];
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
			err = write_so_far(f, 2, RATE * SECONDS);
			outfile_close(f, &r);
			assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
			if (err == 0 && r.err == 0 && v[i].format == OUTFILE_OPUS)
				continue; /* it had room */
			assert_int_equal(r.err, -EFBIG);
			assert_in_range(r.bytes, limits[k] / 3, limits[k]);
			n = read_back(path, 2);
			assert_int_equal(n, r.frames);
			assert_in_range(n, RATE / 8, RATE * SECONDS - 1);
			assert_true(alike(2, 0, n, 0) > v[i].like);
			assert_true(alike(2, 1, n, 0) > v[i].like);
		}
	}
}

static void test_outfile_survives_its_writer(void **state)
{
	(void)state;
	speak(1);
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		char path[300];
		int status;
		size_t n;
		pid_t pid;

		snprintf(path, sizeof(path), "%s/%s", dir, v[i].name);
		unlink(path);
		pid = fork();
		if (pid == 0) {
			struct outfile *f = NULL;

			if (outfile_open(&f, path, v[i].format, RATE, 1) == 0 && write_so_far(f, 1, RATE * 8) == 0)
				kill(getpid(), SIGKILL);
			_exit(1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		n = read_back(path, 1);
		assert_in_range(n, RATE * 6, RATE * 8); /* all but what is coded together */
		assert_true(alike(1, 0, n, 0) > v[i].like);
	}
}

static void test_outfile_that_cannot_be_made_is_refused(void **state)
{
	struct outfile *f = NULL;

	(void)state;
	assert_int_equal(outfile_open(&f, "/proc/none/x.wav", OUTFILE_WAV, RATE, 1), -ENOENT);
	assert_int_equal(outfile_open(&f, "/dev/null/x.wav", OUTFILE_WAV, RATE, 1), -ENOTDIR);
	assert_null(f);
}

static int setup(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	static const char *const names[] = { "a/b/x.wav", "a/b/x.flac", "a/c/x.opus", "a/b", "a/c", "a", "" };
	char path[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		remove(path);
	}
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_outfile_each_format_keeps_what_was_said),
		cmocka_unit_test(test_outfile_full_disk_leaves_a_whole_file),
		cmocka_unit_test(test_outfile_survives_its_writer),
		cmocka_unit_test(test_outfile_that_cannot_be_made_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

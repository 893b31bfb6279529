/* test_zone.c - local times of zones, against libc's: of the system's files and of some made here; and how long what they say is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "call/zone.h"

#define NOW 1795253400          /* Saturday 21 November 2026 09:30 UTC */
#define Y1900 (-2208988800)
#define Y1971 31536000          /* by rules, glibc is right from 1970 on */
#define Y2050 2524608000
#define STEP_S (43200 - 7)      /* coarse: where the offset changes is then looked for to the second */
#define FILE_MAX 4096

static uint64_t mono_ms(void *arg)
{
	return *(uint64_t *)arg;
}

struct fixture {
	char folder[64];          /* made files are "1", "2", ... */
	unsigned nfiles;
	uint64_t now_ms;
	struct clock clock;
	struct zones system, made;
};

static int setup(void **state)
{
	static struct fixture fx;

	memset(&fx, 0, sizeof(fx));
	strcpy(fx.folder, "/tmp/test-zone-XXXXXX");
	assert_non_null(mkdtemp(fx.folder));
	fx.clock = (struct clock){ .mono_ms = mono_ms, .arg = &fx.now_ms };
	zones_init(&fx.system, ZONE_FOLDER, &fx.clock);
	zones_init(&fx.made, fx.folder, &fx.clock);
	*state = &fx;
	return 0;
}

static void path_of(const struct fixture *fx, unsigned n, char *path, size_t size)
{
	snprintf(path, size, "%s/%u", fx->folder, n);
}

static int teardown(void **state)
{
	struct fixture *fx = *state;
	char path[128];

	zones_fini(&fx->system);
	zones_fini(&fx->made);
	for (unsigned i = 1; i <= fx->nfiles; i++) {
		path_of(fx, i, path, sizeof(path));
		unlink(path);
	}
	unsetenv("TZ");
	tzset();
	return rmdir(fx->folder);
}

/* ---- made files ---- */

#define TIMES_MAX 4

struct file {
	unsigned ntypes, ntimes;
	int32_t offsets[TIMES_MAX];
	int64_t times[TIMES_MAX];
	unsigned char indices[TIMES_MAX];
	const char *footer;       /* NULL: the file ends before it */
};

struct bytes { size_t n; unsigned char p[FILE_MAX]; };

static void put(struct bytes *b, uint64_t v, unsigned n)
{
	while (n--)
		b->p[b->n++] = (unsigned char)(v >> n * 8);
}

static void put_header(struct bytes *b, unsigned ntimes, unsigned ntypes)
{
	memcpy(b->p + b->n, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	b->n += 20;
	put(b, 0, 4);
	put(b, 0, 4);
	put(b, 0, 4);
	put(b, ntimes, 4);
	put(b, ntypes, 4);
	put(b, 4, 4);
}

static void put_type(struct bytes *b, int32_t offset)
{
	put(b, (uint32_t)offset, 4);
	put(b, 0, 2);
}

/* As zic's slim ones: the block of 32-bit times is empty. */
static void print(struct bytes *b, const struct file *f)
{
	b->n = 0;
	put_header(b, 0, 1);
	put_type(b, 0);
	put(b, 0x5a5a5a00, 4);
	put_header(b, f->ntimes, f->ntypes);
	for (unsigned i = 0; i < f->ntimes; i++)
		put(b, (uint64_t)f->times[i], 8);
	for (unsigned i = 0; i < f->ntimes; i++)
		put(b, f->indices[i], 1);
	for (unsigned i = 0; i < f->ntypes; i++)
		put_type(b, f->offsets[i]);
	put(b, 0x5a5a5a00, 4);
	if (f->footer)
		b->n += (size_t)sprintf((char *)b->p + b->n, "\n%s\n", f->footer);
}

static void save(struct fixture *fx, unsigned n, const unsigned char *p, size_t len)
{
	char path[128];
	FILE *f;

	path_of(fx, n, path, sizeof(path));
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	if (fx->nfiles < n)
		fx->nfiles = n;
}

static void make(struct fixture *fx, unsigned n, const struct file *file)
{
	struct bytes b;

	print(&b, file);
	save(fx, n, b.p, b.n);
}

/* One offset for ever. */
static void make_fixed(struct fixture *fx, unsigned n, int32_t offset)
{
	make(fx, n, &(struct file){ .ntypes = 1, .offsets = { offset }, .footer = "" });
}

static long offset_of(struct zones *zones, const char *zone, int64_t t)
{
	struct tm tm;

	assert_int_equal(zone_local(zones, zone, t, &tm), 0);
	return (long)(timegm(&tm) - t);
}

static long made_offset(struct fixture *fx, unsigned n, int64_t t)
{
	char name[16];

	snprintf(name, sizeof(name), "%u", n);
	return offset_of(&fx->made, name, t);
}

/* ---- against libc ---- */

static void same_as_libc(struct zones *zones, const char *zone, const char *what, int64_t t)
{
	time_t at = (time_t)t;
	struct tm tm;

	assert_non_null(localtime_r(&at, &tm));
	if (tm.tm_gmtoff != offset_of(zones, zone, t))
		fail_msg("%s at %lld: %ld, libc says %ld", what, (long long)t, offset_of(zones, zone, t), tm.tm_gmtoff);
}

/* Returns how often the offset changes. */
static unsigned compare(struct zones *zones, const char *zone, const char *what, const char *tz, int64_t from, int64_t to)
{
	unsigned changes = 0;
	long before;

	setenv("TZ", tz, 1);
	tzset();
	before = offset_of(zones, zone, from);
	for (int64_t t = from; t < to; t += STEP_S) {
		int64_t low = t - STEP_S, high = t;
		long now = offset_of(zones, zone, t);

		same_as_libc(zones, zone, what, t);
		if (now == before)
			continue;
		while (high - low > 1) {
			int64_t mid = low + (high - low) / 2;

			if (offset_of(zones, zone, mid) == before)
				low = mid;
			else
				high = mid;
		}
		same_as_libc(zones, zone, what, low);
		same_as_libc(zones, zone, what, high);
		before = now;
		changes++;
	}
	return changes;
}

static void test_zone_local_is_libcs(void **state)
{
	/* The changes of many kinds until 2037, and by the rules from then on. */
	static const struct { const char *zone; unsigned changes; } rows[] = {
		{ "Europe/Berlin", 160 }, { "America/New_York", 200 }, { "Australia/Sydney", 150 }, { "Australia/Lord_Howe", 120 },
		{ "Europe/Dublin", 200 }, { "Africa/Casablanca", 100 }, { "Asia/Gaza", 150 }, { "America/Nuuk", 120 }, { "America/Santiago", 150 },
		{ "Asia/Tokyo", 8 }, { "Asia/Kolkata", 2 }, { "Asia/Kathmandu", 2 }, { "America/Sao_Paulo", 70 }, { "Pacific/Apia", 20 },
		{ "Antarctica/Troll", 80 }, { "Etc/GMT+5", 0 },
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_true(compare(&fx->system, rows[i].zone, rows[i].zone, rows[i].zone, Y1900, Y2050) >= rows[i].changes);
}

/* Files made slim: nothing but the footer is behind the one change. */
static void test_zone_local_of_the_footer_is_libcs(void **state)
{
	static const struct { const char *footer; unsigned changes; } rows[] = {
		{ "CET-1CEST,M3.5.0,M10.5.0/3", 150 }, { "EST5EDT,M3.2.0,M11.1.0", 150 }, { "AEST-10AEDT,M10.1.0,M4.1.0/3", 150 },
		{ "IST-1GMT0,M10.5.0,M3.5.0/1", 150 }, { "<-02>2<-01>,M3.5.0/-1,M10.5.0/0", 150 }, { "EET-2EEST,M3.4.4/50,M10.4.4/50", 150 },
		{ "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 150 }, { "<-04>4<-03>,M9.1.6/24,M4.1.6/24", 150 }, { "AAA3BBB,J60/0,J300/24", 150 },
		{ "AAA-5:45:30BBB-7,59/1:30:15,300", 150 }, { "AAA0BBB,M2.5.3,M9.4.6", 150 }, { "JST-9", 1 }, { "<+00>0<+02>-2,M3.5.0/1,M10.5.0/3", 150 },
	};
	struct file f = { .ntypes = 2, .ntimes = 1, .offsets = { 1234, 0 }, .times = { Y1971 + 86400 * 30 }, .indices = { 1 } };
	struct fixture *fx = *state;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		char tz[128] = ":", name[16];

		f.footer = rows[i].footer;
		make(fx, i + 1, &f);
		path_of(fx, i + 1, tz + 1, sizeof(tz) - 1);
		snprintf(name, sizeof(name), "%u", i + 1);
		assert_true(compare(&fx->made, name, rows[i].footer, tz, Y1971, Y2050) >= rows[i].changes);
	}
}

/* ---- single times ---- */

/* RFC 8536 files of tzdata; offsets as published for these zones. */
static void test_zone_local_follows_summer_time(void **state)
{
	static const struct { const char *zone; int64_t t; int err, hour, mday; } rows[] = {
		{ "UTC", NOW, 0, 9, 21 },
		{ "", NOW, 0, 9, 21 },
		{ NULL, NOW, 0, 9, 21 },
		{ "Europe/Berlin", NOW, 0, 10, 21 },
		{ "Europe/Berlin", 1774745999, 0, 1, 29 },  /* 2026-03-29 00:59:59 UTC, the last second of winter */
		{ "Europe/Berlin", 1774746000, 0, 3, 29 },
		{ "Asia/Tokyo", NOW, 0, 18, 21 },
		{ "America/New_York", 1783000000, 0, 9, 2 }, /* 2026-07-02 13:46:40 UTC */
		{ "Nowhere", NOW, -ENOENT, 9, 21 },
		{ "../../etc/passwd", NOW, -ENOENT, 9, 21 },
		{ "/etc/passwd", NOW, -ENOENT, 9, 21 },
		{ "zone.tab", NOW, -EBADMSG, 9, 21 },             /* there, but no zone */
		{ "Nowhere", NOW, -ENOENT, 9, 21 },               /* it is known by now that there is none */
		{ "Europe/Berlin", INT64_MAX, -EBADMSG, 0, 0 },
	};
	struct fixture *fx = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct tm tm;

		assert_int_equal(zone_local(&fx->system, rows[i].zone, rows[i].t, &tm), rows[i].err);
		assert_int_equal(tm.tm_hour, rows[i].hour);
		assert_int_equal(tm.tm_mday, rows[i].mday);
	}
}

/* What lies before the first change, between two and behind the last; RFC 8536 §3.3: without any the footer is for all times. */
static void test_zone_local_is_of_changes_then_footer(void **state)
{
	static const struct file some = { .ntypes = 3, .ntimes = 2, .offsets = { 60, 120, 180 }, .times = { 1000, 2000 }, .indices = { 2, 1 } };
	static const struct { const char *footer; int64_t t; long offset; } rows[] = {
		{ NULL, 999, 60 }, { NULL, 1000, 180 }, { NULL, 1999, 180 }, { NULL, 2000, 120 }, { NULL, NOW, 120 },
		{ "", NOW, 120 }, { "no rule", NOW, 120 }, { "JST-9", 1999, 180 }, { "JST-9", 2000, 32400 }, { "JST-9", NOW, 32400 },
	};
	struct fixture *fx = *state;
	struct bytes b;
	struct file f;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		f = some;
		f.footer = rows[i].footer;
		make(fx, i + 1, &f);
		assert_int_equal(made_offset(fx, i + 1, rows[i].t), rows[i].offset);
	}
	make(fx, 20, &(struct file){ .ntypes = 1, .offsets = { 60 }, .footer = "JST-9" });
	assert_int_equal(made_offset(fx, 20, 0), 32400);
	f = some;
	f.footer = "JST-9";
	print(&b, &f);
	save(fx, 21, b.p, b.n - 1); /* a line without its end is none */
	assert_int_equal(made_offset(fx, 21, NOW), 120);
}

static int made_status(struct fixture *fx, unsigned n)
{
	char name[16];
	struct tm tm;
	int err;

	snprintf(name, sizeof(name), "%u", n);
	err = zone_local(&fx->made, name, NOW, &tm);
	assert_int_equal(timegm(&tm), NOW); /* UTC */
	return err;
}

static void test_zone_local_of_a_broken_file_is_utc(void **state)
{
	struct file f = { .ntypes = 2, .ntimes = 2, .offsets = { 60, 120 }, .times = { 1000, 2000 }, .indices = { 1, 0 } };
	struct fixture *fx = *state;
	struct bytes b;
	unsigned n = 1;

	print(&b, &f);
	for (size_t len = 0; len < b.n; len++, n++) {
		save(fx, n, b.p, len);
		assert_int_equal(made_status(fx, n), -EBADMSG);
	}
	f.indices[1] = 2; /* there are two types */
	make(fx, ++n, &f);
	assert_int_equal(made_status(fx, n), -EBADMSG);
	f.indices[1] = 0;
	f.times[1] = 1000; /* not after the first */
	make(fx, ++n, &f);
	assert_int_equal(made_status(fx, n), -EBADMSG);
	print(&b, &f);
	b.p[4] = 0; /* version 1 */
	save(fx, ++n, b.p, b.n);
	assert_int_equal(made_status(fx, n), -EBADMSG);
}

/* ---- what is kept ---- */

static void test_zone_local_looks_again_after_a_minute(void **state)
{
	struct fixture *fx = *state;
	char path[128];

	make_fixed(fx, 1, 60);
	assert_int_equal(made_status(fx, 2), -ENOENT);
	assert_int_equal(made_offset(fx, 1, NOW), 60);
	make_fixed(fx, 1, 120);
	make_fixed(fx, 2, 180);
	fx->now_ms += ZONE_KEEP_MS - 1;
	assert_int_equal(made_offset(fx, 1, NOW), 60);
	assert_int_equal(made_status(fx, 2), -ENOENT);
	fx->now_ms++;
	assert_int_equal(made_offset(fx, 1, NOW), 120);
	assert_int_equal(made_offset(fx, 2, NOW), 180);
	/* What was known stays when there is nothing to read any more, */
	path_of(fx, 1, path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	save(fx, 2, (const unsigned char *)"TZif", 4);
	fx->now_ms += ZONE_KEEP_MS;
	assert_int_equal(made_offset(fx, 1, NOW), 120);
	assert_int_equal(made_offset(fx, 2, NOW), 180);
	/* until there is. */
	make_fixed(fx, 1, 240);
	fx->now_ms += ZONE_KEEP_MS;
	assert_int_equal(made_offset(fx, 1, NOW), 240);
}

static void test_zone_local_keeps_a_few(void **state)
{
	struct fixture *fx = *state;

	for (unsigned i = 1; i <= ZONES_MAX + 1; i++)
		make_fixed(fx, i, (int32_t)i * 60);
	for (unsigned i = 1; i <= ZONES_MAX; i++)
		assert_int_equal(made_offset(fx, i, NOW), i * 60);
	for (unsigned i = 1; i <= ZONES_MAX + 1; i++)
		make_fixed(fx, i, 0);
	assert_int_equal(made_offset(fx, 1, NOW), 60);            /* asked for anew, */
	assert_int_equal(made_offset(fx, ZONES_MAX + 1, NOW), 0); /* so that the second is the one to go */
	assert_int_equal(fx->made.n, ZONES_MAX);
	for (unsigned i = 3; i <= ZONES_MAX; i++)
		assert_int_equal(made_offset(fx, i, NOW), i * 60);
	assert_int_equal(made_offset(fx, 1, NOW), 60);
	assert_int_equal(made_offset(fx, 2, NOW), 0);
	assert_int_equal(fx->made.n, ZONES_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_zone_local_is_libcs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_local_of_the_footer_is_libcs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_local_follows_summer_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_local_is_of_changes_then_footer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_local_of_a_broken_file_is_utc, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_local_looks_again_after_a_minute, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zone_local_keeps_a_few, setup, teardown),
	};

	return cmocka_run_group_tests_name("zone", tests, NULL, NULL);
}

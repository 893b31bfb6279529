/* The searches of scan.h against ones byte by byte, at each length and place, with bytes next to those looked for around. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "base/scan.h"

#define LEN_MAX 40

static const char *slow_control(const char *p, const char *end)
{
	while (p < end && (unsigned char)*p >= 14)
		p++;
	return p;
}

static const char *slow_either(const char *p, const char *end, char a, char b)
{
	while (p < end && *p != a && *p != b)
		p++;
	return p;
}

static const char *slow_unusual(const char *p, const char *end, char a, char b)
{
	while (p < end && (unsigned char)*p >= 32 && (unsigned char)*p < 127 && *p != a && *p != b)
		p++;
	return p;
}

static void check(const char *p, size_t n)
{
	/* A block of just this size, so that a look behind its end is seen by the sanitizer. */
	char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, p, n);
	assert_ptr_equal(scan_control(copy, copy + n), slow_control(copy, copy + n));
	assert_ptr_equal(scan_either(copy, copy + n, ';', '"'), slow_either(copy, copy + n, ';', '"'));
	assert_ptr_equal(scan_either(copy, copy + n, '\x80', '\xff'), slow_either(copy, copy + n, '\x80', '\xff'));
	assert_ptr_equal(scan_unusual(copy, copy + n, '"', ':'), slow_unusual(copy, copy + n, '"', ':'));
	free(copy);
}

static void test_scan_each_byte_at_each_place(void **state)
{
	char text[LEN_MAX];

	(void)state;
	for (size_t n = 0; n <= LEN_MAX; n++)
		for (size_t at = 0; at < n; at++)
			for (int c = 0; c < 256; c++) {
				memset(text, 'x', sizeof(text));
				text[at] = (char)c;
				check(text, n);
			}
}

static void test_scan_finds_the_first_of_many(void **state)
{
	static const char bytes[] = { 0, 1, '\t', '\n', '\r', 14, 31, ' ', '!', '"', '#', ':', ';', '<', 'x', 127, (char)128, (char)254, (char)255 };
	char text[LEN_MAX];
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = rand_r(&seed) % 4 ? 'x' : bytes[(size_t)rand_r(&seed) % sizeof(bytes)];
		check(text, (size_t)rand_r(&seed) % (LEN_MAX + 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scan_each_byte_at_each_place),
		cmocka_unit_test(test_scan_finds_the_first_of_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_hostnames.c - names and their numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "sip/hostnames.h"

static uint32_t id_of(struct hostnames *h, const char *name)
{
	uint32_t id = 0;

	assert_int_equal(hostnames_id(h, str_from(name), &id), 0);
	assert_int_not_equal(id, 0);
	return id;
}

static void test_hostnames_id_is_the_names_own(void **state)
{
	struct hostnames *h;
	uint32_t a, b;

	(void)state;
	assert_int_equal(hostnames_new(&h), 0);
	a = id_of(h, "sip.example.com");
	b = id_of(h, "example.com");
	assert_int_not_equal(a, b);
	assert_int_equal(id_of(h, "SIP.Example.COM."), a);
	assert_string_equal(hostnames_text(h, a), "sip.example.com");
	assert_string_equal(hostnames_text(h, b), "example.com");
	assert_null(hostnames_text(h, 0));
	assert_null(hostnames_text(h, 4711));
	hostnames_free(h);
}

static void test_hostnames_id_refuses_what_is_no_name(void **state)
{
	char longest[HOSTNAME_MAX + 2];
	struct hostnames *h;
	uint32_t id = 5;

	(void)state;
	memset(longest, 'a', sizeof(longest));
	assert_int_equal(hostnames_new(&h), 0);
	assert_int_equal(hostnames_id(h, STR_NULL, &id), -EINVAL);
	assert_int_equal(hostnames_id(h, STR("."), &id), -EINVAL);
	assert_int_equal(hostnames_id(h, STR("a\0b"), &id), -EINVAL);
	assert_int_equal(hostnames_id(h, (struct str){ longest, HOSTNAME_MAX + 1 }, &id), -EINVAL);
	assert_int_equal(id, 5);
	assert_int_equal(hostnames_id(h, (struct str){ longest, HOSTNAME_MAX }, &id), 0);
	hostnames_free(h);
}

static void test_hostnames_the_longest_unused_is_forgotten(void **state)
{
	struct hostnames *h;
	uint32_t kept, forgotten;
	char name[32];

	(void)state;
	assert_int_equal(hostnames_new(&h), 0);
	kept = id_of(h, "kept.example.com");
	forgotten = id_of(h, "forgotten.example.com");
	for (unsigned i = 0; i < HOSTNAMES_MAX; i++) {
		snprintf(name, sizeof(name), "%u.example.com", i);
		id_of(h, name);
		assert_non_null(hostnames_text(h, kept));
	}
	assert_null(hostnames_text(h, forgotten));
	assert_int_not_equal(id_of(h, "forgotten.example.com"), forgotten);
	hostnames_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hostnames_id_is_the_names_own),
		cmocka_unit_test(test_hostnames_id_refuses_what_is_no_name),
		cmocka_unit_test(test_hostnames_the_longest_unused_is_forgotten),
	};

	return cmocka_run_group_tests_name("hostnames", tests, NULL, NULL);
}

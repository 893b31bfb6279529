/* test_networks.c - lists of networks: what they hold, and which are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "sip/networks.h"

static void test_networks_have_what_is_in_them(void **state)
{
	static const struct { const char *text, *addr; bool has; } rows[] = {
		{ "10.0.0.0/8", "10.255.1.2", true }, { "10.0.0.0/8", "11.0.0.0", false },
		{ "192.168.4.0/22", "192.168.7.255", true }, { "192.168.4.0/22", "192.168.8.0", false },
		{ "192.168.4.0/22", "192.168.3.255", false }, { "192.0.2.1", "192.0.2.1", true }, { "192.0.2.1", "192.0.2.0", false },
		{ "0.0.0.0/0", "203.0.113.1", true }, { "0.0.0.0/0", "::1", false }, { "::/0", "2001:db8::1", true },
		{ "fc00::/7", "fdff::1", true }, { "fc00::/7", "fe00::1", false }, { "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::/33", "2001:db8:8000::", false }, { "", "10.0.0.1", false }, { " , ", "10.0.0.1", false },
		{ "10.0.0.0/8, 172.16.0.0/12 fd00::/8", "172.31.0.1", true }, { "10.0.0.0/8,fd00::/8", "fd00::1", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		union sockaddr_any a;
		struct networks n;

		assert_int_equal(networks_parse(&n, str_from(rows[i].text)), 0);
		assert_int_equal(sockaddr_parse(&a, str_from(rows[i].addr), 5060), 0);
		if (networks_have(&n, &a) != rows[i].has)
			fail_msg("%s in %s", rows[i].addr, rows[i].text);
	}
}

static void test_networks_malformed_are_refused(void **state)
{
	static const char *const bad[] = { "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/", "10.0.0.0/-1", "x", "10.0.0.0/8;10.0.0.1" };
	struct networks n;
	char many[NETWORKS_MAX * 8 + 9] = "";

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(networks_parse(&n, str_from(bad[i])), -EINVAL);
	for (unsigned i = 0; i < NETWORKS_MAX; i++)
		strcat(many, "1.2.3.4 ");
	assert_int_equal(networks_parse(&n, str_from(many)), 0);
	assert_int_equal(n.n, NETWORKS_MAX);
	strcat(many, "1.2.3.4 ");
	assert_int_equal(networks_parse(&n, str_from(many)), -ENOSPC);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_networks_have_what_is_in_them),
		cmocka_unit_test(test_networks_malformed_are_refused),
	};

	return cmocka_run_group_tests_name("networks", tests, NULL, NULL);
}

/* test_sockaddr.c - literals in and out, comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>

#include "sip/transport.h"

static void test_sockaddr_parse_prints_the_same(void **state)
{
	static const struct { const char *host; uint16_t port; const char *host_out, *out; } rows[] = {
		{ "192.0.2.1", 5060, "192.0.2.1", "192.0.2.1:5060" },
		{ "0.0.0.0", 0, "0.0.0.0", "0.0.0.0:0" },
		{ "255.255.255.255", 65535, "255.255.255.255", "255.255.255.255:65535" },
		{ "::1", 5061, "::1", "[::1]:5061" },
		{ "[2001:db8::9:1]", 5060, "2001:db8::9:1", "[2001:db8::9:1]:5060" }, /* RFC 5118 §4.1 */
		{ "2001:0DB8:0:0:0:0:0:1", 1, "2001:db8::1", "[2001:db8::1]:1" },
		{ "::ffff:192.0.2.2", 5060, "::ffff:192.0.2.2", "[::ffff:192.0.2.2]:5060" }, /* RFC 5118 §4.10 */
		{ "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", 65535, "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe",
		  "[2001:db8:ffff:ffff:ffff:ffff:ffff:fffe]:65535" },
	};
	char buf[SOCKADDR_TEXT_MAX];
	union sockaddr_any a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(sockaddr_parse(&a, str_from(rows[i].host), rows[i].port), 0);
		assert_int_equal(sockaddr_port(&a), rows[i].port);
		assert_string_equal(sockaddr_print_host(&a, buf), rows[i].host_out);
		assert_int_equal(sockaddr_parse(&b, str_from(buf), rows[i].port), 0);
		assert_true(sockaddr_eq(&a, &b));
		assert_string_equal(sockaddr_print(&a, buf), rows[i].out);
		assert_int_equal(sockaddr_len(&a), a.sa.sa_family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4));
	}
}

static void test_sockaddr_parse_refuses(void **state)
{
	static const char *const rows[] = {
		"", "example.com", "192.0.2", "192.0.2.256", "192.0.2.1.", " 192.0.2.1", "192.0.2.1 ", "192.0.2.1:5060", "[", "[]", "192.0.2.01", "192.0.2.0001", "192..2.1", ".192.0.2.1",
		"[::1", "::1]", "[::1]:5060", "2001:db8:::1", "[[::1]]", "1:2:3:4:5:6:7:8:9", "localhost",
		"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
	};
	union sockaddr_any a;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (sockaddr_parse(&a, str_from(rows[i]), 5060) != -EINVAL)
			fail_msg("'%s' was taken", rows[i]);
	assert_int_equal(sockaddr_parse(&a, (struct str){ "192.0.2.1\0x", 11 }, 5060), -EINVAL);
}

static void test_sockaddr_eq_tells_families_hosts_and_ports_apart(void **state)
{
	static const struct { const char *a; uint16_t ap; const char *b; uint16_t bp; bool eq, host_eq; } rows[] = {
		{ "192.0.2.1", 5060, "192.0.2.1", 5060, true, true },
		{ "192.0.2.1", 5060, "192.0.2.1", 5061, false, true },
		{ "192.0.2.1", 5060, "192.0.2.2", 5060, false, false },
		{ "::1", 5060, "0:0::1", 5060, true, true },
		{ "::1", 5060, "::1", 1, false, true },
		{ "::1", 5060, "::2", 5060, false, false },
		{ "192.0.2.1", 5060, "::ffff:192.0.2.1", 5060, false, false },
		{ "0.0.0.0", 5060, "::", 5060, false, false },
	};
	union sockaddr_any a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		sockaddr_parse(&a, str_from(rows[i].a), rows[i].ap);
		sockaddr_parse(&b, str_from(rows[i].b), rows[i].bp);
		assert_int_equal(sockaddr_eq(&a, &b), rows[i].eq);
		assert_int_equal(sockaddr_eq(&b, &a), rows[i].eq);
		assert_int_equal(sockaddr_host_eq(&a, &b), rows[i].host_eq);
		sockaddr_set_port(&a, 7);
		assert_int_equal(sockaddr_port(&a), 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sockaddr_parse_prints_the_same),
		cmocka_unit_test(test_sockaddr_parse_refuses),
		cmocka_unit_test(test_sockaddr_eq_tells_families_hosts_and_ports_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

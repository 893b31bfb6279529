/* test_guard.c - who may speak: bans that grow and expire, who is spared, limits, and what is forgotten first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "sip/guard.h"

#define MINUTE 60000u
#define DAY (24u * 60 * MINUTE)

static uint64_t now_ms;
static struct guard *guard;
static struct guard_ban told;    /* the last ban pronounced */
static unsigned ntold, nasked;
static const char *allowed, *denied;

static uint64_t clock_now(void *arg)
{
	(void)arg;
	return now_ms;
}

static union sockaddr_any addr(const char *host, uint16_t port)
{
	union sockaddr_any a = { 0 };

	assert_int_equal(sockaddr_parse(&a, str_from(host), port), 0);
	return a;
}

static enum guard_rule rule_of(const union sockaddr_any *source, void *arg)
{
	char text[SOCKADDR_TEXT_MAX];

	(void)arg;
	nasked++;
	sockaddr_print_host(source, text);
	return allowed && !strcmp(text, allowed) ? GUARD_ALLOWED : denied && !strcmp(text, denied) ? GUARD_DENIED : GUARD_ORDINARY;
}

static void on_ban(const struct guard_ban *ban, void *arg)
{
	(void)arg;
	told = *ban;
	ntold++;
}

static int setup(void **state)
{
	static const struct guard_handler handler = { .rule_of = rule_of, .on_ban = on_ban };
	struct guard_params p = { .key = "a key", .now_ms = clock_now };

	(void)state;
	now_ms = 1000000;
	ntold = nasked = 0;
	allowed = denied = NULL;
	assert_int_equal(guard_new(&guard, &p), 0);
	guard_handle(guard, &handler, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guard_free(guard);
	return 0;
}

static struct sip_source from(const char *host, uint16_t port, enum sip_proto proto)
{
	return (struct sip_source){ .proto = proto, .peer = addr(host, port) };
}

static enum guard_verdict enter(const char *host, uint16_t port)
{
	union sockaddr_any a = addr(host, port);

	return guard_enter(guard, &a, false);
}

static void guess(const char *host, uint16_t port, unsigned times)
{
	struct sip_source src = from(host, port, SIP_UDP);

	while (times--)
		guard_failed(guard, &src, STR("1001"), STR("cordboard"));
}

static void prove(const char *host, uint16_t port)
{
	struct sip_source src = from(host, port, SIP_UDP);

	guard_proved(guard, &src);
}

static void test_guard_failures_ban_and_the_ban_grows_and_ends(void **state)
{
	static const unsigned minutes[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1440, 1440 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(minutes); i++) {
		guess("192.0.2.1", 5060, GUARD_FAILURES);
		assert_int_equal(enter("192.0.2.1", 5060), GUARD_PASS);
		assert_int_equal(ntold, i);
		guess("192.0.2.1", 5060, 1);
		assert_int_equal(ntold, i + 1);
		assert_int_equal(told.times, i + 1);
		assert_int_equal(told.until_ms - now_ms, minutes[i] * MINUTE);
		assert_int_equal(told.for_ms, minutes[i] * MINUTE);
		assert_int_equal(told.failures, (i + 1) * (GUARD_FAILURES + 1));
		assert_string_equal(told.account, "1001@cordboard");
		assert_int_equal(enter("192.0.2.1", 5061), GUARD_BANNED);
		assert_int_equal(enter("192.0.2.2", 5060), GUARD_PASS);
		now_ms += minutes[i] * MINUTE - 1;
		assert_int_equal(enter("192.0.2.1", 5060), GUARD_BANNED);
		now_ms++;
		assert_int_equal(enter("192.0.2.1", 5060), GUARD_PASS);
	}
	now_ms += DAY;
	guess("192.0.2.1", 5060, GUARD_FAILURES + 1);
	assert_int_equal(told.times, 1);
	assert_int_equal(guard_bans(guard), 1);
	assert_int_equal(guard_counters(guard)->bans, ARRAY_LEN(minutes) + 1);
}

static void test_guard_a_phone_that_keeps_trying_an_old_password_is_not_banned(void **state)
{
	(void)state;
	/* Six lines, each of which tries twice, every half minute, for a day; and who tries every three seconds. */
	for (unsigned i = 0; i < 2880; i++) {
		guess("192.0.2.1", 5060, i % 2 ? 0 : 12);
		guess("192.0.2.2", 5060, 10);
		now_ms += MINUTE / 2;
	}
	assert_int_equal(ntold, 0);
}

static void test_guard_an_office_is_granted_more(void **state)
{
	(void)state;
	prove("192.0.2.1", 6000);
	guess("192.0.2.1", 5060, 3 * GUARD_FAILURES);
	assert_int_equal(ntold, 0);
	guess("192.0.2.1", 5060, 1);
	assert_int_equal(ntold, 1);
}

static void test_guard_proven_flows_go_on_during_a_ban(void **state)
{
	union sockaddr_any conn = addr("192.0.2.1", 6000);

	(void)state;
	prove("192.0.2.1", 6000);
	guess("192.0.2.1", 5060, 3 * GUARD_FAILURES + 1);
	assert_int_equal(enter("192.0.2.1", 6000), GUARD_PASS);
	assert_int_equal(enter("192.0.2.1", 6001), GUARD_BANNED);
	assert_int_equal(guard_enter(guard, &conn, true), GUARD_BANNED); /* that was a datagram's */
	assert_false(guard_admits(guard, &conn));
	/* It has a wrong line, too: spared until it guesses as much as others may. */
	guess("192.0.2.1", 6000, GUARD_FAILURES);
	assert_int_equal(enter("192.0.2.1", 6000), GUARD_PASS);
	guess("192.0.2.1", 6000, 1);
	assert_int_equal(enter("192.0.2.1", 6000), GUARD_BANNED);
	assert_int_equal(ntold, 1);
}

static void test_guard_a_flow_is_proven_for_an_hour(void **state)
{
	const struct guard_ban ban = { .source = addr("192.0.2.1", 0), .until_ms = UINT64_MAX, .times = 1 };

	(void)state;
	prove("192.0.2.1", 6000);
	assert_int_equal(guard_ban_put(guard, &ban), 0);
	now_ms += 3600 * 1000;
	assert_int_equal(enter("192.0.2.1", 6000), GUARD_PASS);
	now_ms += 200 * 1000;
	assert_int_equal(enter("192.0.2.1", 6000), GUARD_BANNED);
}

static void test_guard_a_host_of_ipv6_has_all_of_its_network(void **state)
{
	(void)state;
	for (unsigned i = 0; i <= GUARD_FAILURES; i++) {
		char host[64];

		snprintf(host, sizeof(host), "2001:db8:1:2::%x", i + 1);
		guess(host, 5060, 1);
	}
	assert_int_equal(ntold, 1);
	assert_int_equal(enter("2001:db8:1:2:ffff::1", 5060), GUARD_BANNED);
	assert_int_equal(enter("2001:db8:1:3::1", 5060), GUARD_PASS);
	assert_int_equal(sockaddr_port(&told.source), 0);
	assert_true(sockaddr_host_eq(&told.source, &(union sockaddr_any){ .v6 = addr("2001:db8:1:2::", 0).v6 }));
}

static void test_guard_bans_from_elsewhere_hold_and_are_lifted(void **state)
{
	struct guard_ban ban = { .source = addr("192.0.2.1", 0), .until_ms = now_ms + 1000, .times = 4, .failures = 7 };

	(void)state;
	assert_int_equal(enter("192.0.2.1", 1), GUARD_PASS);
	assert_int_equal(guard_ban_put(guard, &ban), 0);
	assert_int_equal(enter("192.0.2.1", 1), GUARD_BANNED);
	guard_ban_remove(guard, &ban.source);
	assert_int_equal(enter("192.0.2.1", 1), GUARD_PASS);
	assert_null(guard_ban_find(guard, &ban.source));
	/* Of one that isn't known yet; and his next is longer. */
	ban.source = addr("192.0.2.77", 0);
	assert_int_equal(guard_ban_put(guard, &ban), 0);
	assert_int_equal(enter("192.0.2.77", 1), GUARD_BANNED);
	now_ms += 1000;
	guess("192.0.2.77", 1, GUARD_FAILURES + 1);
	assert_int_equal(told.times, 5);
	assert_int_equal(told.failures, 7 + GUARD_FAILURES + 1);
	ban.source.sa.sa_family = AF_UNIX;
	assert_int_equal(guard_ban_put(guard, &ban), -EINVAL);
}

static void test_guard_a_lifted_ban_forgets_the_failures(void **state)
{
	union sockaddr_any a = addr("192.0.2.1", 0);

	(void)state;
	guess("192.0.2.1", 1, GUARD_FAILURES + 1);
	guard_ban_remove(guard, &a);
	guess("192.0.2.1", 1, GUARD_FAILURES);
	assert_int_equal(ntold, 1);
}

/* Many that end make room among themselves; an administrator's stay. */
static void test_guard_bans_that_end_push_out_none_for_ever(void **state)
{
	struct guard_ban ban = { .source = addr("192.0.2.1", 0), .until_ms = UINT64_MAX, .times = 1 };
	union sockaddr_any first = addr("10.0.0.0", 0), second = addr("10.0.0.1", 0);

	(void)state;
	assert_int_equal(guard_ban_put(guard, &ban), 0);
	ban.until_ms = now_ms + MINUTE;
	for (uint32_t i = 0; i < 65537; i++) {
		ban.source.v4.sin_addr.s_addr = htonl(0x0a000000 + i);
		assert_int_equal(guard_ban_put(guard, &ban), 0);
	}
	assert_int_equal(guard_bans(guard), 65537);
	assert_int_equal(enter("192.0.2.1", 1), GUARD_BANNED);
	assert_null(guard_ban_find(guard, &first));
	assert_non_null(guard_ban_find(guard, &second));
	/* One that was for ever may come to end, and the other way round. */
	ban.source = addr("192.0.2.1", 0);
	assert_int_equal(guard_ban_put(guard, &ban), 0);
	assert_null(guard_ban_find(guard, &second));
	ban.until_ms = UINT64_MAX;
	assert_int_equal(guard_ban_put(guard, &ban), 0);
	assert_int_equal(guard_bans(guard), 65536);
	guard_ban_remove(guard, &ban.source);
	assert_int_equal(guard_bans(guard), 65535);
}

static bool is_mixed(const union sockaddr_any *a, void *arg)
{
	(void)arg;
	return a->v6.sin6_addr.s6_addr[7] == 2;
}

/* A trunk in a network that it shares with others. */
static void test_guard_neighbours_of_a_trunk_are_strangers(void **state)
{
	static const struct guard_handler handler = { .rule_of = rule_of, .is_mixed = is_mixed, .on_ban = on_ban };
	unsigned asked;

	(void)state;
	guard_handle(guard, &handler, NULL);
	allowed = "2001:db8:1:2::1";
	assert_int_equal(enter("2001:db8:1:2::1", 5060), GUARD_PASS);
	guess("2001:db8:1:2::2", 5060, GUARD_FAILURES + 1);
	assert_int_equal(ntold, 1);
	assert_int_equal(enter("2001:db8:1:2::3", 5060), GUARD_BANNED);
	assert_int_equal(enter("2001:db8:1:2::1", 5060), GUARD_PASS);
	guess("2001:db8:1:2::1", 5060, 10 * GUARD_FAILURES);
	assert_int_equal(ntold, 1);
	/* Elsewhere one answer is for all. */
	enter("2001:db8:1:3::1", 5060);
	asked = nasked;
	enter("2001:db8:1:3::2", 5060);
	assert_int_equal(nasked, asked);
}

static void test_guard_rules_decide(void **state)
{
	struct sip_source src = from("192.0.2.1", 1, SIP_UDP);

	(void)state;
	allowed = "192.0.2.1";
	denied = "192.0.2.2";
	guess("192.0.2.1", 1, 10 * GUARD_FAILURES);
	assert_int_equal(ntold, 0);
	assert_true(guard_is_allowed(guard, &src.peer));
	for (unsigned i = 0; i < 20000; i++)
		assert_true(guard_asks(guard, &src));
	guard_press(guard, true);
	for (unsigned i = 0; i < 20000; i++)
		assert_int_equal(enter("192.0.2.1", 1), GUARD_PASS);
	prove("192.0.2.2", 1);
	assert_int_equal(enter("192.0.2.2", 1), GUARD_BANNED);
	assert_int_equal(nasked, 2); /* once of each */
	allowed = denied = NULL;
	guard_rules_changed(guard);
	assert_int_equal(enter("192.0.2.2", 1), GUARD_PASS);
	assert_false(guard_is_allowed(guard, &src.peer));
}

static void test_guard_strangers_get_no_more_answers_than_they_give(void **state)
{
	struct sip_source src = from("192.0.2.1", 1, SIP_UDP), tcp = from("192.0.2.1", 1, SIP_TCP), other = from("192.0.2.2", 1, SIP_UDP);
	unsigned n = 0;

	(void)state;
	while (guard_asks(guard, &src))
		n++;
	assert_int_equal(n, 500);
	assert_true(guard_asks(guard, &other));
	assert_true(guard_asks(guard, &tcp)); /* nobody can forge that one */
	now_ms += 100;
	assert_true(guard_asks(guard, &src));
	assert_true(guard_asks(guard, &src));
	assert_false(guard_asks(guard, &src));
	/* Phones answer theirs, any number of them. */
	for (unsigned i = 0; i < 50000; i++) {
		assert_true(guard_asks(guard, &other));
		guard_proved(guard, &other);
	}
}

static void test_guard_under_pressure_each_has_its_rate(void **state)
{
	unsigned n = 0;

	(void)state;
	for (unsigned i = 0; i < 50000; i++)
		assert_int_equal(enter("192.0.2.1", 1), GUARD_PASS);
	guard_press(guard, true);
	assert_int_equal(enter("192.0.2.1", 1), GUARD_LATER);
	assert_int_equal(guard_enter(guard, &(union sockaddr_any){ .v4 = addr("192.0.2.1", 1).v4 }, true), GUARD_PASS);
	assert_int_equal(enter("192.0.2.2", 1), GUARD_PASS);
	for (unsigned i = 0; i < 100000; i++) {
		now_ms += i % 100 == 0;
		n += enter("192.0.2.1", 1) == GUARD_PASS;
	}
	assert_in_range(n, GUARD_RATE - 10, GUARD_RATE + 10); /* of a second */
	guard_press(guard, false);
	assert_int_equal(enter("192.0.2.1", 1), GUARD_PASS);
}

static void test_guard_forged_sources_push_out_nobody_known(void **state)
{
	(void)state;
	guess("192.0.2.1", 5060, GUARD_FAILURES);
	prove("192.0.2.2", 5060);
	for (uint32_t i = 0; i < 1000000; i++) {
		union sockaddr_any a = { .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000000 + i) } };

		now_ms += i % 1000 == 0;
		assert_int_equal(guard_enter(guard, &a, false), GUARD_PASS);
	}
	guess("192.0.2.1", 5060, 1);
	assert_int_equal(ntold, 1);
	guess("192.0.2.2", 5061, 2 * GUARD_FAILURES);
	assert_int_equal(ntold, 1);
	assert_int_equal(enter("192.0.2.1", 5060), GUARD_BANNED);
}

static void test_guard_limits_are_heeded(void **state)
{
	(void)state;
	guard_limit(guard, &(struct guard_limits){ .rate = 10, .failures = 3, .ban_first_s = 10, .ban_longest_s = 15 });
	guess("192.0.2.1", 1, 4);
	assert_int_equal(told.until_ms - now_ms, 10000);
	now_ms += 10000;
	guess("192.0.2.1", 1, 4);
	assert_int_equal(told.until_ms - now_ms, 15000);
	guard_press(guard, true);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(enter("192.0.2.3", 1), GUARD_PASS);
	assert_int_equal(enter("192.0.2.3", 1), GUARD_LATER);
}

static void test_guard_an_account_is_printable(void **state)
{
	struct sip_source src = from("192.0.2.1", 1, SIP_UDP);
	char user[300];

	(void)state;
	memset(user, 'x', sizeof(user));
	user[0] = '\n';
	user[1] = '\xff';
	for (unsigned i = 0; i <= GUARD_FAILURES; i++)
		guard_failed(guard, &src, (struct str){ user, sizeof(user) }, STR("r\"\t"));
	assert_int_equal(strlen(told.account), 64 + 1 + 3);
	assert_memory_equal(told.account, "??xx", 4);
	assert_string_equal(told.account + 64, "@r\"?");
}

static void test_guard_without_one_all_pass(void **state)
{
	struct sip_source src = from("192.0.2.1", 1, SIP_UDP);

	(void)state;
	assert_int_equal(guard_enter(NULL, &src.peer, false), GUARD_PASS);
	assert_true(guard_admits(NULL, &src.peer));
	assert_true(guard_asks(NULL, &src));
	assert_false(guard_is_allowed(NULL, &src.peer));
	guard_proved(NULL, &src);
	guard_failed(NULL, &src, STR_NULL, STR_NULL);
	guard_free(NULL);
}

/* The reference vectors of SipHash-2-4: key 00..0f, input 00, 00 01, ... */
static void test_hash_keyed_vectors(void **state)
{
	static const struct { size_t n; uint64_t hash; } vectors[] = {
		{ 0, 0x726fdb47dd0e0e31u }, { 1, 0x74f839c593dc67fdu }, { 8, 0x93f5f5799a932462u }, { 15, 0xa129ca6149be45e5u },
	};
	unsigned char key[HASH_KEY], in[16];

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		key[i] = in[i] = (unsigned char)i;
	for (size_t i = 0; i < ARRAY_LEN(vectors); i++)
		assert_true(hash_keyed(key, in, vectors[i].n) == vectors[i].hash);
}

/* What an administrator numbers in a row comes to stand all over a table: no slot of 65536 gets more than chance gives it. */
static void test_hash_plain_spreads_numbers(void **state)
{
	static unsigned char low[65536], high[65536];
	unsigned most = 0;

	(void)state;
	for (unsigned i = 0; i < 65536; i++) {
		char key[32];
		uint64_t h = hash_plain(key, (size_t)snprintf(key, sizeof(key), "office-%u/%u", i % 3, 10000 + i));

		low[h & 0xffff]++;
		high[h >> 48]++;
	}
	for (unsigned i = 0; i < 65536; i++) {
		most = low[i] > most ? low[i] : most;
		most = high[i] > most ? high[i] : most;
	}
	assert_in_range(most, 2, 12);
	assert_true(hash_plain("abcdefgh", 8) != hash_plain("abcdefgh\0", 9));
	assert_true(hash_plain("", 0) != hash_plain("\0", 1));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_guard_failures_ban_and_the_ban_grows_and_ends),
		TEST(test_guard_a_phone_that_keeps_trying_an_old_password_is_not_banned),
		TEST(test_guard_an_office_is_granted_more),
		TEST(test_guard_proven_flows_go_on_during_a_ban),
		TEST(test_guard_a_flow_is_proven_for_an_hour),
		TEST(test_guard_a_host_of_ipv6_has_all_of_its_network),
		TEST(test_guard_bans_from_elsewhere_hold_and_are_lifted),
		TEST(test_guard_a_lifted_ban_forgets_the_failures),
		TEST(test_guard_bans_that_end_push_out_none_for_ever),
		TEST(test_guard_neighbours_of_a_trunk_are_strangers),
		TEST(test_guard_rules_decide),
		TEST(test_guard_strangers_get_no_more_answers_than_they_give),
		TEST(test_guard_under_pressure_each_has_its_rate),
		TEST(test_guard_forged_sources_push_out_nobody_known),
		TEST(test_guard_limits_are_heeded),
		TEST(test_guard_an_account_is_printable),
		TEST(test_guard_without_one_all_pass),
		cmocka_unit_test(test_hash_keyed_vectors),
		cmocka_unit_test(test_hash_plain_spreads_numbers),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}

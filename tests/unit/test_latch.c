/* Whom a stream takes media from: each row of a table is one packet, signalling or the passing of time. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "media/latch.h"

static struct addr at(char host, uint16_t port)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!host)
		return a;
	a.v4.sin_family = AF_INET;
	a.v4.sin_addr.s_addr = htonl(0x0a000000u + (uint32_t)host);
	a.v4.sin_port = htons(port);
	return a;
}

struct step {
	char from;       /* host 10.0.0.x; 0 with is_signal: unknown */
	uint16_t port;
	uint32_t ssrc;
	uint16_t seq;
	uint64_t now_ms;
	int verdict;     /* of latch_packet, or of latch_signal when kind is set */
	enum { PACKET, SIGNAL, RELEARN, SILENT } kind;
};

#define S(host, port, result) { host, port, 0, 0, 0, result, SIGNAL }
#define R(host, port, result) R_AT(host, port, 0, result)
#define Q(host, port, now_ms, result) { host, port, 0, 0, now_ms, result, SILENT }
#define R_AT(host, port, now_ms, result) { host, port, 0, 0, now_ms, result, RELEARN }

static void run(const char *name, const struct step *steps, size_t n, struct latch *l)
{
	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		struct addr a = at(s->from, s->port);
		static const enum latch_news news[] = { [SIGNAL] = LATCH_SAME, [RELEARN] = LATCH_CHANGED, [SILENT] = LATCH_SILENT };
		int got = s->kind == PACKET ? (int)latch_packet(l, &a, s->ssrc, s->seq, s->now_ms)
					    : (int)latch_signal(l, &a, news[s->kind], s->now_ms);

		if (got != s->verdict)
			fail_msg("%s, step %zu: %d instead of %d", name, i, got, s->verdict);
	}
}

static void test_latch_signalled_address_is_trusted_at_once(void **state)
{
	static const struct step steps[] = {
		S('a', 1000, false),
		{ 'x', 9, 1, 1, 0, LATCH_HOLD, 0 },
		{ 'a', 1000, 2, 1, 5, LATCH_LOCK, 0 },
		{ 'a', 1000, 2, 2, 25, LATCH_ACCEPT, 0 },
		{ 'x', 9, 1, 2, 26, LATCH_REJECT, 0 },
		{ 'a', 1001, 2, 3, 27, LATCH_REJECT, 0 },
	};
	struct latch l;
	struct addr a = at('a', 1000);

	(void)state;
	run("signalled", steps, ARRAY_LEN(steps), &l);
	assert_true(addr_eq(latch_target(&l), &a));
	assert_false(latch_is_learnt(&l));
	assert_int_equal(l.rejected, 3); /* the one on hold turned out to be foreign */
}

static void test_latch_consistent_source_wins_behind_nat(void **state)
{
	static const struct step steps[] = {
		S('a', 1000, false),
		{ 'n', 40000, 2, 65534, 0, LATCH_HOLD, 0 },
		{ 'n', 40000, 2, 65535, 20, LATCH_HOLD, 0 },
		{ 'n', 40000, 2, 0, 40, LATCH_LOCK, 0 }, /* across the wrap */
		{ 'n', 40000, 2, 1, 60, LATCH_ACCEPT, 0 },
		{ 'a', 1000, 3, 1, 61, LATCH_REJECT, 0 },
		S('a', 1000, false), /* signalled again: nothing changes */
		S('b', 2000, false), /* changed, but not told to learn anew */
		{ 'n', 40000, 2, 2, 80, LATCH_ACCEPT, 0 },
	};
	struct latch l;

	(void)state;
	run("nat", steps, ARRAY_LEN(steps), &l);
	assert_true(latch_is_learnt(&l));
	assert_int_equal(l.rejected, 1);
}

static void test_latch_inconsistent_sources_never_win(void **state)
{
	static const struct step other_source[] = {
		{ 'n', 1, 2, 1, 0, LATCH_HOLD, 0 },  { 'n', 1, 2, 2, 1, LATCH_HOLD, 0 }, { 'x', 1, 2, 3, 2, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 3, 3, LATCH_HOLD, 0 },  { 'n', 1, 2, 4, 4, LATCH_HOLD, 0 }, { 'x', 1, 2, 5, 5, LATCH_HOLD, 0 },
	};
	static const struct step other_ssrc[] = {
		{ 'n', 1, 2, 1, 0, LATCH_HOLD, 0 },
		{ 'n', 1, 3, 2, 1, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 3, 2, LATCH_HOLD, 0 },
		{ 'n', 1, 3, 4, 3, LATCH_HOLD, 0 },
	};
	static const struct step backwards[] = {
		{ 'n', 1, 2, 9, 0, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 8, 1, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 8, 2, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 7, 3, LATCH_HOLD, 0 },
	};
	static const struct step too_slow[] = {
		{ 'n', 1, 2, 1, 0, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 2, 600, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 3, 1200, LATCH_HOLD, 0 }, /* the first one's window is over: counts as first */
		{ 'n', 1, 2, 4, 1220, LATCH_HOLD, 0 },
		{ 'n', 1, 2, 5, 1240, LATCH_LOCK, 0 },
	};
	struct latch l;

	(void)state;
	run("other source", other_source, ARRAY_LEN(other_source), &l);
	assert_null(latch_target(&l)); /* and nothing is sent to any of them */
	assert_int_equal(l.rejected, 5);
	run("other ssrc", other_ssrc, ARRAY_LEN(other_ssrc), &l);
	assert_null(latch_target(&l));
	run("backwards", backwards, ARRAY_LEN(backwards), &l);
	assert_null(latch_target(&l));
	run("too slow", too_slow, ARRAY_LEN(too_slow), &l);
}

static void test_latch_learns_anew_only_when_told(void **state)
{
	static const struct step steps[] = {
		S('a', 1000, false),
		{ 'a', 1000, 2, 1, 0, LATCH_LOCK, 0 },
		R('b', 2000, true),
		{ 'a', 1000, 2, 2, 20, LATCH_ACCEPT, 0 }, /* still under way */
		{ 'b', 2000, 3, 1, 21, LATCH_LOCK, 0 },
		{ 'a', 1000, 2, 3, 40, LATCH_REJECT, 0 },
	};
	struct latch l;

	(void)state;
	run("relearn", steps, ARRAY_LEN(steps), &l);
	assert_int_equal(l.reason, LATCH_SIGNALLED);
	assert_int_equal(l.locks, 2);
}

/* Nothing has come for a while, and the peer says the same as before: it may be elsewhere now, or go on. */
static void test_latch_learns_anew_after_silence(void **state)
{
	static const struct step same[] = {
		S('a', 1000, false),
		{ 'n', 9, 2, 1, 0, LATCH_HOLD, 0 }, { 'n', 9, 2, 2, 20, LATCH_HOLD, 0 }, { 'n', 9, 2, 3, 40, LATCH_LOCK, 0 },
		Q('a', 1000, 5000, true),
		{ 'n', 9, 2, 4, 5001, LATCH_LOCK, 0 }, /* without a trial */
	};
	static const struct step moved[] = {
		S('a', 1000, false),
		{ 'n', 9, 2, 1, 0, LATCH_HOLD, 0 }, { 'n', 9, 2, 2, 20, LATCH_HOLD, 0 }, { 'n', 9, 2, 3, 40, LATCH_LOCK, 0 },
		Q('a', 1000, 5000, true),
		{ 'm', 7, 2, 4, 5001, LATCH_HOLD, 0 }, { 'm', 7, 2, 5, 5021, LATCH_HOLD, 0 }, { 'm', 7, 2, 6, 5041, LATCH_LOCK, 0 },
		{ 'n', 9, 2, 7, 5050, LATCH_REJECT, 0 },
	};
	struct addr n = at('n', 9), m = at('m', 7);
	struct latch l;

	(void)state;
	run("same", same, 5, &l);
	assert_true(addr_eq(latch_target(&l), &n)); /* who listens behind a NAT goes on hearing us */
	assert_int_equal(latch_packet(&l, &n, 2, 4, 5001), LATCH_LOCK);
	assert_int_equal(l.reason, LATCH_SILENCE);
	run("same", same, ARRAY_LEN(same), &l);
	run("moved", moved, ARRAY_LEN(moved), &l);
	assert_true(addr_eq(latch_target(&l), &m));
	assert_int_equal(l.reason, LATCH_SILENCE);
	assert_string_equal(latch_reason_name(l.reason), "silence");
	latch_move(&l, &n);
	assert_true(addr_eq(latch_target(&l), &n));
	assert_int_equal(l.locks, 3);
}

/* The peer has moved, behind a NAT or not; its last packets from before come after the signalling. */
static void test_latch_packets_under_way_dont_win_the_old_address_back(void **state)
{
	static const struct step moved[] = {
		S('a', 1000, false),
		{ 'a', 1000, 2, 1, 0, LATCH_LOCK, 0 },
		R_AT('b', 2000, 5000, true),
		{ 'a', 1000, 2, 2, 5001, LATCH_ACCEPT, 0 },
		{ 'c', 3000, 2, 5, 5002, LATCH_HOLD, 0 },
		{ 'a', 1000, 2, 3, 5002, LATCH_ACCEPT, 0 },
		{ 'a', 1000, 2, 4, 5003, LATCH_ACCEPT, 0 },
		{ 'c', 3000, 2, 6, 5022, LATCH_HOLD, 0 },
		{ 'c', 3000, 2, 7, 5042, LATCH_LOCK, 0 },
		{ 'a', 1000, 2, 5, 5043, LATCH_REJECT, 0 },
	};
	/* Only what it says of itself has changed: the NAT shows the same address. */
	static const struct step stayed[] = {
		S('a', 1000, false),
		{ 'x', 9, 2, 1, 0, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 2, 20, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 3, 40, LATCH_LOCK, 0 },
		R_AT('b', 2000, 5000, true),
		{ 'x', 9, 2, 4, 5001, LATCH_ACCEPT, 0 }, /* and is heard all the time */
		{ 'x', 9, 2, 5, 5021, LATCH_ACCEPT, 0 },
		{ 'x', 9, 2, 6, 5999, LATCH_ACCEPT, 0 },
		{ 'x', 9, 2, 7, 6000, LATCH_LOCK, 0 },
	};
	/* One late packet is nobody who goes on sending. */
	static const struct step straggler[] = {
		S('a', 1000, false),
		{ 'a', 1000, 2, 1, 0, LATCH_LOCK, 0 },
		R_AT('b', 2000, 5000, true),
		{ 'a', 1000, 2, 2, 7000, LATCH_ACCEPT, 0 },
		{ 'b', 2000, 2, 3, 7001, LATCH_LOCK, 0 },
	};
	struct addr b = at('b', 2000);
	struct latch l;

	(void)state;
	run("moved", moved, ARRAY_LEN(moved), &l);
	run("stayed", stayed, ARRAY_LEN(stayed) - 1, &l);
	assert_true(addr_eq(latch_target(&l), &b)); /* heard, but nothing is sent there */
	run("stayed", stayed, ARRAY_LEN(stayed), &l);
	run("straggler", straggler, ARRAY_LEN(straggler), &l);
}

static void test_latch_media_before_the_answer_is_only_a_guess(void **state)
{
	static const struct step confirmed[] = {
		S(0, 0, false),
		{ 'a', 1000, 2, 1, 0, LATCH_HOLD, 0 },
		{ 'a', 1000, 2, 2, 1, LATCH_HOLD, 0 },
		{ 'a', 1000, 2, 3, 2, LATCH_LOCK, 0 },
		S('a', 1000, false),
		{ 'a', 1000, 2, 4, 3, LATCH_ACCEPT, 0 },
	};
	static const struct step denied[] = {
		S(0, 0, false),
		{ 'x', 9, 2, 1, 0, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 2, 1, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 3, 2, LATCH_LOCK, 0 },
		S('a', 1000, true),
		{ 'x', 9, 2, 4, 3, LATCH_HOLD, 0 },
		{ 'a', 1000, 3, 1, 4, LATCH_LOCK, 0 },
	};
	/* The first answer is news of the address, too. Behind NAT what came before it was right: nobody waits for it. */
	static const struct step hidden[] = {
		S(0, 0, false),
		{ 'x', 9, 2, 1, 0, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 2, 20, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 3, 40, LATCH_LOCK, 0 },
		R_AT('a', 1000, 50, true),
		{ 'x', 9, 2, 4, 60, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 5, 80, LATCH_HOLD, 0 },
		{ 'x', 9, 2, 6, 100, LATCH_LOCK, 0 },
	};
	struct latch l;

	(void)state;
	run("confirmed", confirmed, ARRAY_LEN(confirmed), &l);
	run("denied", denied, ARRAY_LEN(denied), &l);
	run("hidden", hidden, ARRAY_LEN(hidden), &l);
}

static void test_latch_target_is_signalled_until_locked(void **state)
{
	struct latch l = { 0 };
	struct addr a = at('a', 1000), hold = at('a', 1000);

	(void)state;
	assert_null(latch_target(&l));
	latch_signal(&l, &a, LATCH_SAME, 0);
	assert_true(addr_eq(latch_target(&l), &a));
	hold.v4.sin_addr.s_addr = 0; /* c=IN IP4 0.0.0.0, RFC 3264 §8.4 */
	latch_signal(&l, &hold, LATCH_SAME, 0);
	assert_null(latch_target(&l));
}

/* What is signalled by who doesn't know better, or does. */
static void test_latch_target_is_one_peer(void **state)
{
	static const struct { const char *host; bool is_target; } rows[] = {
		{ "10.0.0.1", true }, { "0.0.0.0", false }, { "224.0.0.1", false }, { "239.255.255.255", false },
		{ "255.255.255.255", false }, { "2001:db8::1", true }, { "::", false }, { "ff02::1", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool is_ip6 = strchr(rows[i].host, ':') != NULL;
		struct latch l = { 0 };
		struct addr a = { 0 };

		a.sa.sa_family = is_ip6 ? AF_INET6 : AF_INET;
		assert_int_equal(inet_pton(a.sa.sa_family, rows[i].host, is_ip6 ? (void *)&a.v6.sin6_addr : (void *)&a.v4.sin_addr), 1);
		addr_set_port(&a, 4000);
		latch_signal(&l, &a, LATCH_SAME, 0);
		assert_int_equal(latch_target(&l) != NULL, rows[i].is_target);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_latch_signalled_address_is_trusted_at_once),
		cmocka_unit_test(test_latch_consistent_source_wins_behind_nat),
		cmocka_unit_test(test_latch_inconsistent_sources_never_win),
		cmocka_unit_test(test_latch_learns_anew_only_when_told),
		cmocka_unit_test(test_latch_learns_anew_after_silence),
		cmocka_unit_test(test_latch_packets_under_way_dont_win_the_old_address_back),
		cmocka_unit_test(test_latch_media_before_the_answer_is_only_a_guess),
		cmocka_unit_test(test_latch_target_is_signalled_until_locked),
		cmocka_unit_test(test_latch_target_is_one_peer),
	};

	return cmocka_run_group_tests_name("latch", tests, NULL, NULL);
}

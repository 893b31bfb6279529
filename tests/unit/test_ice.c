/* test_ice.c - ICE as a lite agent: each row of a table is a check that comes, or the passing of time (RFC 8445, 7675). */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/str.h"
#include "base/stun_msg.h"
#include "media/ice.h"

#define ID "0123456789ab"

static const struct ice_credentials ours = { "aaaabbbb", "0123456789abcdefghijklmnop" };
static const struct ice_credentials later = { "ccccdddd", "ponmlkjihgfedcba9876543210" };

static struct addr at(unsigned host)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	if (!host)
		return a;
	a.v4.sin_family = AF_INET;
	a.v4.sin_addr.s_addr = htonl(0x0a000000u + host);
	a.v4.sin_port = htons(4000);
	return a;
}

struct check {
	const struct ice_credentials *to; /* NULL: ours */
	const char *username, *password;  /* NULL: as they should be; "": none */
	uint32_t priority;
	bool names, controlled;
	unsigned unknown;
	unsigned type;                    /* 0: a request */
};

static size_t write_check(uint8_t bytes[256], const struct check *c)
{
	const struct ice_credentials *to = c->to ? c->to : &ours;
	char username[64];
	struct stun_out o;

	snprintf(username, sizeof(username), "%s:peer", to->ufrag);
	stun_begin(&o, bytes, 256, c->type ? c->type : STUN_BINDING_REQUEST, ID);
	if (!c->username || c->username[0])
		stun_add(&o, STUN_USERNAME, c->username ? c->username : username, strlen(c->username ? c->username : username));
	stun_add_u32(&o, STUN_PRIORITY, c->priority);
	stun_add(&o, c->controlled ? STUN_ICE_CONTROLLED : STUN_ICE_CONTROLLING, "12345678", 8);
	if (c->names)
		stun_add(&o, STUN_USE_CANDIDATE, NULL, 0);
	if (c->unknown)
		stun_add_u32(&o, c->unknown, 0);
	if (!c->password || c->password[0])
		stun_add_integrity(&o, str_from(c->password ? c->password : to->pwd));
	stun_add_fingerprint(&o);
	assert_true(o.len > 0);
	return o.len;
}

static enum ice_verdict check(struct ice *ice, unsigned host, const struct check *c, uint64_t now_ms, struct ice_answer *answer)
{
	struct addr from = at(host);
	uint8_t bytes[256];

	return ice_packet(ice, ICE_RTP, bytes, write_check(bytes, c), &from, now_ms, answer);
}

static void assert_target(const struct ice *ice, unsigned host)
{
	struct addr a = at(host);

	if (!host)
		assert_null(ice_target(ice, ICE_RTP));
	else
		assert_true(ice_target(ice, ICE_RTP) && addr_eq(ice_target(ice, ICE_RTP), &a));
}

/* ---- answers ---- */

static void test_ice_check_is_answered_with_where_it_came_from(void **state)
{
	struct ice *ice = ice_new(&ours);
	struct ice_answer answer;
	struct sockaddr_storage mapped;
	struct addr from = at(7), other = at(8), got;
	struct stun_msg m;

	(void)state;
	assert_false(ice_knows(ice, &from));
	assert_int_equal(check(ice, 7, &(struct check){ 0 }, 0, &answer), ICE_CHECKED);
	assert_int_equal(stun_msg_parse(&m, answer.bytes, answer.len), 0);
	assert_int_equal(m.type, STUN_BINDING_SUCCESS);
	assert_memory_equal(m.id, ID, STUN_ID_LEN);
	assert_true(m.has_fingerprint && stun_msg_is_by(&m, str_from(ours.pwd)) && stun_msg_mapped(&m, &mapped));
	addr_from_sockaddr(&got, (struct sockaddr *)&mapped);
	assert_true(addr_eq(&got, &from));
	assert_true(ice_knows(ice, &from) && !ice_knows(ice, &other));
	assert_target(ice, 0); /* it has only looked */
	ice_free(ice);
}

static void test_ice_refuses_with_the_code_of_the_fault(void **state)
{
	static const struct { struct check c; unsigned code; bool is_signed; } rows[] = {
		/* RFC 8489 §9.1.3 */
		{ { .username = "" }, 400, false },
		{ { .password = "" }, 400, false },
		{ { .username = "", .password = "" }, 400, false },
		{ { .username = "aaaabbbc:peer" }, 401, false },
		{ { .username = "aaaabbbb" }, 401, false },
		{ { .username = "aaaabbbbc:peer" }, 401, false },
		{ { .username = "peer:aaaabbbb" }, 401, false },
		{ { .to = &later }, 401, false },
		{ { .password = "0123456789abcdefghijklmnoq", .names = true }, 401, false },
		/* §6.3.1 */
		{ { .unknown = 0x0777, .names = true }, 420, true },
		{ { .unknown = 0x0777, .controlled = true }, 420, true },
		/* RFC 8445 §7.3.1.1 */
		{ { .controlled = true, .names = true }, 487, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ice *ice = ice_new(&ours);
		struct ice_answer answer;
		struct addr from = at(7);
		struct stun_msg m;
		const uint8_t *code;

		assert_int_equal(check(ice, 7, &rows[i].c, 0, &answer), ICE_REFUSED);
		assert_int_equal(stun_msg_parse(&m, answer.bytes, answer.len), 0);
		assert_int_equal(m.type, STUN_BINDING_ERROR);
		code = answer.bytes + STUN_HEADER_LEN;
		if (code[1] != STUN_ERROR_CODE || code[6] * 100u + code[7] != rows[i].code || stun_msg_is_by(&m, str_from(ours.pwd)) != rows[i].is_signed)
			fail_msg("row %zu: %u", i, code[6] * 100u + code[7]);
		if (rows[i].code == 420)
			assert_memory_equal(code + 8, "\x00\x0a\x00\x02\x07\x77", 6);
		assert_false(ice_knows(ice, &from));
		assert_target(ice, 0);
		ice_free(ice);
	}
}

static void test_ice_what_is_no_request_gets_nothing(void **state)
{
	static const unsigned types[] = { STUN_BINDING_INDICATION, STUN_BINDING_SUCCESS, STUN_BINDING_ERROR, 0x0003 /* TURN's Allocate */ };
	struct ice *ice = ice_new(&ours);
	struct addr from = at(7), nowhere = at(0);
	struct ice_answer answer;
	uint8_t bytes[256];
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		assert_int_equal(check(ice, 7, &(struct check){ .type = types[i], .names = true }, 0, &answer), ICE_IGNORED);
		assert_int_equal(answer.len, 0);
	}
	n = write_check(bytes, &(struct check){ .names = true });
	assert_int_equal(ice_packet(ice, ICE_RTP, bytes, n - 4, &from, 0, &answer), ICE_IGNORED);
	assert_int_equal(ice_packet(ice, ICE_RTP, bytes, n, &nowhere, 0, &answer), ICE_IGNORED);
	bytes[30] ^= 1;
	assert_int_equal(ice_packet(ice, ICE_RTP, bytes, n, &from, 0, &answer), ICE_IGNORED);
	assert_target(ice, 0);
	ice_free(ice);
}

/* ---- the choice ---- */

struct step {
	uint64_t now_ms;
	unsigned from;       /* 0: credentials change to `to` */
	struct check c;
	enum ice_verdict verdict;
	unsigned target;     /* behind it */
};

static void run(const char *name, const struct step *steps, size_t n)
{
	struct ice *ice = ice_new(&ours);

	for (size_t i = 0; i < n; i++) {
		const struct step *s = &steps[i];
		struct ice_answer answer;
		struct addr target = at(s->target);
		const struct addr *is;

		if (!s->from) {
			struct ice *fresh = ice_new(s->c.to);

			ice_renew(ice, fresh, s->now_ms);
			ice_free(fresh);
		} else if (check(ice, s->from, &s->c, s->now_ms, &answer) != s->verdict) {
			fail_msg("%s, step %zu: not %d", name, i, (int)s->verdict);
		}
		is = ice_target(ice, ICE_RTP);
		if (s->target ? !is || !addr_eq(is, &target) : is != NULL)
			fail_msg("%s, step %zu: not to %u", name, i, s->target);
	}
	ice_free(ice);
}

#define LOOKS(now, from, prio, verdict, target) { now, from, { .priority = prio }, verdict, target }
#define NAMES(now, from, prio, verdict, target) { now, from, { .priority = prio, .names = true }, verdict, target }

static void test_ice_the_peer_chooses(void **state)
{
	static const struct step regular[] = { /* RFC 8445 §8.1.1: looks first, then names one */
		LOOKS(0, 1, 300, ICE_CHECKED, 0),
		LOOKS(50, 2, 200, ICE_CHECKED, 0),
		NAMES(100, 2, 200, ICE_CHOSEN, 2),
		NAMES(2600, 2, 200, ICE_CHECKED, 2), /* again, to keep it */
		LOOKS(2700, 1, 300, ICE_CHECKED, 2),
	};
	static const struct step aggressive[] = { /* RFC 5245 §8.1.1.2: names all, means the highest */
		NAMES(0, 1, 200, ICE_CHOSEN, 1),
		NAMES(50, 2, 100, ICE_CHECKED, 1),
		NAMES(100, 3, 300, ICE_CHOSEN, 3),
		NAMES(150, 1, 200, ICE_CHECKED, 3),
		NAMES(200, 4, 300, ICE_CHECKED, 3),
	};
	static const struct step moved[] = { /* a browser that has left its network */
		NAMES(0, 1, 300, ICE_CHOSEN, 1),
		NAMES(2500, 1, 300, ICE_CHECKED, 1),
		LOOKS(4000, 2, 100, ICE_CHECKED, 1),
		NAMES(4100, 2, 100, ICE_CHOSEN, 2),
		NAMES(4200, 1, 300, ICE_CHOSEN, 1),
		NAMES(5199, 2, 100, ICE_CHECKED, 1),
		NAMES(5200, 2, 100, ICE_CHOSEN, 2),
	};

	(void)state;
	run("regular", regular, ARRAY_LEN(regular));
	run("aggressive", aggressive, ARRAY_LEN(aggressive));
	run("moved", moved, ARRAY_LEN(moved));
}

static void test_ice_restart_keeps_the_choice_until_another(void **state)
{
	static const struct step steps[] = {
		NAMES(0, 1, 300, ICE_CHOSEN, 1),
		{ 1000, 0, { .to = &ours }, 0, 1 },                       /* the same again: no restart */
		NAMES(1100, 2, 100, ICE_CHOSEN, 2),
		{ 2000, 0, { .to = &later }, 0, 2 },
		{ 2100, 1, { .to = &ours, .priority = 999, .names = true }, ICE_CHECKED, 2 }, /* under way, by the old ones: answered */
		{ 2200, 1, { .to = &later, .priority = 50 }, ICE_CHECKED, 2 },
		{ 2300, 1, { .to = &later, .priority = 50, .names = true }, ICE_CHOSEN, 1 }, /* whatever its priority */
		{ 2000 + ICE_FORMER_MS - 1, 2, { .to = &ours }, ICE_CHECKED, 1 },
		{ 2000 + ICE_FORMER_MS, 2, { .to = &ours }, ICE_REFUSED, 1 },
		{ 40000, 3, { .to = &later, .priority = 70, .names = true }, ICE_CHOSEN, 3 },
	};

	(void)state;
	run("restart", steps, ARRAY_LEN(steps));
}

static void test_ice_restart_that_chooses_the_same_is_told(void **state)
{
	static const struct step steps[] = {
		NAMES(0, 1, 300, ICE_CHOSEN, 1),
		{ 2000, 0, { .to = &later }, 0, 1 },
		{ 2300, 1, { .to = &later, .priority = 50, .names = true }, ICE_CHECKED, 1 },
		{ 2400, 2, { .to = &later, .priority = 40, .names = true }, ICE_CHECKED, 1 }, /* it is of this generation now */
	};

	(void)state;
	run("the same", steps, ARRAY_LEN(steps));
}

static void test_ice_forgets_the_way_that_rested_longest(void **state)
{
	struct ice *ice = ice_new(&ours);
	struct ice_answer answer;
	struct addr first = at(1), second = at(2), last = at(20);

	(void)state;
	assert_int_equal(check(ice, 1, &(struct check){ .names = true, .priority = 9 }, 0, &answer), ICE_CHOSEN);
	for (unsigned i = 2; i <= 20; i++)
		assert_int_equal(check(ice, i, &(struct check){ .priority = 9 }, i, &answer), ICE_CHECKED);
	assert_true(ice_knows(ice, &first)); /* for it is in use */
	assert_false(ice_knows(ice, &second));
	assert_true(ice_knows(ice, &last));
	assert_target(ice, 1);
	ice_free(ice);
}

static void test_ice_rtcp_has_a_choice_of_its_own(void **state)
{
	struct ice *ice = ice_new(&ours);
	struct addr from = at(3);
	struct ice_answer answer;
	uint8_t bytes[256];
	size_t n;

	(void)state;
	n = write_check(bytes, &(struct check){ .names = true });
	assert_int_equal(ice_packet(ice, ICE_RTCP, bytes, n, &from, 0, &answer), ICE_CHOSEN);
	assert_true(answer.len > 0);
	assert_null(ice_target(ice, ICE_RTCP)); /* reports of what isn't sent? */
	assert_int_equal(ice_packet(ice, ICE_RTCP, bytes, n, &from, 10, &answer), ICE_CHECKED);
	assert_int_equal(check(ice, 1, &(struct check){ .names = true }, 20, &answer), ICE_CHOSEN);
	assert_true(addr_eq(ice_target(ice, ICE_RTCP), &from));
	assert_target(ice, 1);
	ice_free(ice);
}

/* ---- consent ---- */

static void test_ice_consent_of_who_checks_ends_with_his_checks(void **state)
{
	struct ice *ice = ice_new(&ours);
	struct ice_answer answer;
	uint32_t left_ms;

	(void)state;
	assert_false(ice_expire(ice, 0, 100000, &left_ms)); /* nothing to end */
	check(ice, 1, &(struct check){ .names = true }, 100000, &answer);
	assert_int_equal(check(ice, 1, &(struct check){ 0 }, 105000, &answer), ICE_CHECKED);
	/* His media go on, yet he doesn't answer for them any more. */
	assert_false(ice_expire(ice, 120000, 120000, &left_ms));
	assert_int_equal(left_ms, 15000);
	assert_false(ice_expire(ice, 134999, 134999, &left_ms));
	assert_int_equal(left_ms, 1);
	assert_true(ice_expire(ice, 135000, 135000, &left_ms));
	assert_target(ice, 0);
	assert_false(ice_expire(ice, 135000, 135001, &left_ms));
	/* A check alone is no new choice, one that names it is. */
	assert_int_equal(check(ice, 1, &(struct check){ 0 }, 136000, &answer), ICE_CHECKED);
	assert_target(ice, 0);
	assert_int_equal(check(ice, 1, &(struct check){ .names = true }, 136500, &answer), ICE_CHOSEN);
	assert_target(ice, 1);
	ice_free(ice);
}

static void test_ice_consent_of_who_only_talks_lasts_while_he_does(void **state)
{
	struct ice *ice = ice_new(&ours);
	struct ice_answer answer;
	uint32_t left_ms;

	(void)state;
	check(ice, 1, &(struct check){ .names = true }, 1000, &answer);
	check(ice, 1, &(struct check){ .names = true }, 1500, &answer); /* of the same exchange */
	assert_false(ice_expire(ice, 60000, 60010, &left_ms));
	assert_int_equal(left_ms, 29990);
	assert_int_equal(check(ice, 2, &(struct check){ .type = STUN_BINDING_INDICATION }, 70000, &answer), ICE_IGNORED); /* another's */
	assert_int_equal(check(ice, 1, &(struct check){ .type = STUN_BINDING_INDICATION }, 65000, &answer), ICE_IGNORED);
	assert_false(ice_expire(ice, 60000, 94999, &left_ms));
	assert_true(ice_expire(ice, 60000, 95000, &left_ms));
	assert_target(ice, 0);
	ice_free(ice);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ice_check_is_answered_with_where_it_came_from),
		cmocka_unit_test(test_ice_refuses_with_the_code_of_the_fault),
		cmocka_unit_test(test_ice_what_is_no_request_gets_nothing),
		cmocka_unit_test(test_ice_the_peer_chooses),
		cmocka_unit_test(test_ice_restart_keeps_the_choice_until_another),
		cmocka_unit_test(test_ice_restart_that_chooses_the_same_is_told),
		cmocka_unit_test(test_ice_forgets_the_way_that_rested_longest),
		cmocka_unit_test(test_ice_rtcp_has_a_choice_of_its_own),
		cmocka_unit_test(test_ice_consent_of_who_checks_ends_with_his_checks),
		cmocka_unit_test(test_ice_consent_of_who_only_talks_lasts_while_he_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

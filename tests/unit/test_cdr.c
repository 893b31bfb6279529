/* test_cdr.c - a call's record, as the database keeps it: what cdr_write() says is given to pbx.outbox_take(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>

#include "call/call_int.h"
#include "pg_fixture.h"

#define T0 1700000000000LL /* 2023-11-14 22:13:20 UTC */

/* ---- the outbox ---- */

static char *given;
static int outbox_err;

int outbox_add(struct outbox *o, const char *kind, const char *doc, const char *file, void (*fn)(int err, void *arg), void *arg)
{
	(void)o;
	(void)arg;
	assert_string_equal(kind, "cdr");
	assert_null(file);
	assert_null(fn);
	if (!outbox_err)
		given = strdup(doc);
	return outbox_err;
}

/* What the database has of it. */
static void store(void)
{
	char *quoted;

	assert_non_null(given);
	pg_sql("SELECT 1");
	quoted = PQescapeLiteral(pg.conn, given, strlen(given));
	assert_string_equal(pg_sql("SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', %s)", quoted), "t");
	assert_string_equal(pg_sql("SELECT coalesce(string_agg(reason, ';'), '') FROM pbx.outbox_refused"), "");
	PQfreemem(quoted);
	free(given);
	given = NULL;
}

/* ---- a call ---- */

static struct calls calls = { .p.outbox = (struct outbox *)&calls };
static struct call call;
static struct leg caller, callee;

static void set_remote(struct leg *leg, const char *address, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&leg->stats.remote;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&leg->stats.remote;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
	} else {
		assert_int_equal(inet_pton(AF_INET6, address, &v6->sin6_addr), 1);
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
	}
}

/* 1001 calls 1002, who answers after 3 s and hangs up after a minute. */
static int make_call(void **state)
{
	(void)state;
	caller = (struct leg){
		.call = &call, .id = 1, .is_caller = true, .peer = "1001", .codec = "PCMA", .cause = 16, .started_ms = T0,
		.answered_ms = T0 + 3000, .ended_ms = T0 + 63000,
		.stats = { .packets_sent = 3000, .packets_received = 2990, .lost = 10, .remote_lost = 2, .jitter_us = 1500,
			   .max_jitter_us = 9000, .rtt_us = 20000 },
	};
	callee = (struct leg){
		.call = &call, .id = 2, .peer = "1002", .codec = "G722", .cause = 16, .by_peer = true, .started_ms = T0 + 100,
		.ringing_ms = T0 + 500, .answered_ms = T0 + 3000, .ended_ms = T0 + 62990,
		.stats = { .packets_sent = 5000000000ULL, .packets_received = 2995 },
	};
	set_remote(&caller, "192.0.2.1", 4000);
	set_remote(&callee, "2001:db8::2", 4002);
	caller.next = &callee;
	call = (struct call){
		.calls = &calls, .id = "11111111-2222-4333-8444-555555555555", .domain = "office", .context = "office",
		.number = "1002", .legs = &caller, .caller_leg = &caller, .route = "_10XX", .route_context = "lobby",
		.started_ms = T0, .answered_ms = T0 + 3000, .ended_ms = T0 + 63000, .result = APP_ANSWERED,
	};
	strcpy(call.caller.domain, "office");
	strcpy(call.caller.number, "1001");
	strcpy(call.caller.display_name, "Olive \"Operator\" \\ \xc3\x84");
	outbox_err = 0;
	pg_sql("DELETE FROM pbx.cdr; DELETE FROM pbx.outbox_refused");
	return 0;
}

static const char call_sql[] =
	"SELECT concat_ws('|', call, domain, caller, caller_name, dialled, context, route, extract(epoch FROM started),"
	" coalesce(extract(epoch FROM answered)::text, '-'), extract(epoch FROM ended), result, cause, hangup_by, duration_ms, talk_ms)"
	" FROM pbx.cdr";
static const char leg_sql[] =
	"SELECT concat_ws('|', leg, role, peer, number, extract(epoch FROM started), coalesce(extract(epoch FROM ringing)::text, '-'),"
	" coalesce(extract(epoch FROM answered)::text, '-'), extract(epoch FROM ended), coalesce(status::text, '-'),"
	" coalesce(cause::text, '-'), coalesce(codec, '-'), packets_sent, packets_received, lost, remote_lost, jitter_us, max_jitter_us,"
	" rtt_us, coalesce(media_address, '-')) FROM pbx.cdr_leg WHERE leg = ";

static void test_cdr_answered_call_has_both_legs(void **state)
{
	(void)state;
	cdr_write(&call);
	store();
	assert_string_equal(pg_sql("%s", call_sql),
			    "11111111-2222-4333-8444-555555555555|office|1001|Olive \"Operator\" \\ \xc3\x84|1002|lobby|_10XX|1700000000.000000|"
			    "1700000003.000000|1700000063.000000|answered|16|callee|63000|60000");
	assert_string_equal(pg_sql("%s 1", leg_sql),
			    "1|caller|1001|1001|1700000000.000000|-|1700000003.000000|1700000063.000000|-|16|PCMA|3000|2990|10|2|1500|9000|20000|"
			    "192.0.2.1:4000");
	assert_string_equal(pg_sql("%s 2", leg_sql),
			    "2|callee|1002|1002|1700000000.100000|1700000000.500000|1700000003.000000|1700000062.990000|-|16|G722|5000000000|2995|0|0|"
			    "0|0|0|[2001:db8::2]:4002");
}

/* Refused before a route was found, without media; by whom: see below. */
static void test_cdr_unanswered_call_has_its_result(void **state)
{
	(void)state;
	call.answered_ms = 0;
	call.ended_ms = T0 + 20000;
	call.result = APP_NO_ANSWER;
	call.route = call.route_context = NULL;
	call.caller.display_name[0] = '\0';
	caller = (struct leg){ .call = &call, .id = 1, .is_caller = true, .started_ms = T0, .ended_ms = T0 + 20000, .status = 480, .cause = 18 };
	cdr_write(&call);
	store();
	assert_string_equal(pg_sql("%s", call_sql),
			    "11111111-2222-4333-8444-555555555555|office|1001||1002|office||1700000000.000000|-|1700000020.000000|no_answer|18|system|"
			    "20000|0");
	assert_string_equal(pg_sql("%s 1", leg_sql),
			    "1|caller||1001|1700000000.000000|-|-|1700000020.000000|480|18|-|0|0|0|0|0|0|0|-");
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.cdr_leg"), 1);
}

/* When it rang, what the caller was told and why, who ended each leg; by which version of the dialplan. */
static void test_cdr_tells_what_was_told(void **state)
{
	static char no_line[] = "Q.850;cause=34", gone[] = "Q.850;cause=38";
	static const char told_sql[] =
		"SELECT concat_ws('|', coalesce(extract(epoch FROM ringing)::text, '-'), status, coalesce(reason, '-'), coalesce(version::text, '-')) FROM pbx.cdr";
	static const char ends_sql[] =
		"SELECT string_agg(concat_ws('|', leg, hangup_by, coalesce(reason, '-'), coalesce(codec, '-'), call_ended = (SELECT ended FROM pbx.cdr)), ' ' ORDER BY leg)"
		" FROM pbx.cdr_leg";

	(void)state;
	call.version = 4711;
	callee.reason = no_line;
	caller.codec[0] = '\0';
	caller.codec_id = CODEC_PCMU;
	call.reject_reason = gone; /* of somebody who was tried before */
	cdr_write(&call);
	store();
	assert_string_equal(pg_sql("%s", told_sql), "1700000000.500000|200|-|4711");
	assert_string_equal(pg_sql("%s", ends_sql), "1|us|-|PCMU|t 2|peer|Q.850;cause=34|G722|t");

	make_call(state);
	call.answered_ms = caller.answered_ms = 0;
	call.route = NULL;
	call.reject_reason = no_line;
	caller.status = 486;
	caller.codec[0] = '\0';
	caller.codec_id = CODEC_PCMU;
	callee.joined_ms = T0 + 600; /* it rang in another call, and left this one again */
	callee.has_left = true;
	cdr_write(&call);
	store();
	assert_string_equal(pg_sql("%s", told_sql), "-|486|Q.850;cause=34|-");
	assert_string_equal(pg_sql("%s", ends_sql), "1|us|-|-|t 2|-|G722|t");
}

static void test_cdr_tells_who_hung_up(void **state)
{
	static const struct { bool caller, callee; const char *by; } rows[] = {
		{ true, false, "caller" }, { false, true, "callee" }, { false, false, "system" }, { true, true, "caller" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		make_call(state);
		caller.by_peer = rows[i].caller;
		callee.by_peer = rows[i].callee;
		cdr_write(&call);
		store();
		assert_string_equal(pg_sql("SELECT hangup_by FROM pbx.cdr"), rows[i].by);
	}
}

/* A clock that was set back while it lasted, bytes that are no text: the record is kept all the same. */
static void test_cdr_odd_call_is_kept(void **state)
{
	(void)state;
	call.ended_ms = T0 - 5000;
	caller.ended_ms = 0;
	/* no character; cut short; a surrogate; longer than need be; beyond the last; and some that are good */
	strcpy(call.caller.display_name, "\xff\xfe\xc3 \x01\t\xed\xa0\x80\xc0\x80\xe0\x80\x80\xf0\x80\x80\x80\xf4\x90\x80\x80"
	       "\xed\x9f\xbf\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf\xe2\x82");
	strcpy(call.number, "\xc3\x84\"\\\n");
	cdr_write(&call);
	store();
	assert_string_equal(pg_sql("SELECT concat_ws('|', duration_ms, talk_ms, dialled) FROM pbx.cdr"), "0|0|\xc3\x84\"\\\n");
	assert_string_equal(pg_sql("SELECT caller_name FROM pbx.cdr"),
			    "??? \x01\t??" "??" "???" "????" "????" "?" "\xed\x9f\xbf\xe2\x82\xac\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf??");
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.cdr_leg"), 2);
}

/* A group of hundreds rings hundreds of phones. */
static void test_cdr_takes_hundreds_of_legs(void **state)
{
	static struct leg legs[500];

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(legs); i++) {
		legs[i] = callee;
		legs[i].id = 2 + i;
		legs[i].next = i + 1 < ARRAY_LEN(legs) ? &legs[i + 1] : NULL;
	}
	caller.next = legs;
	cdr_write(&call);
	store();
	assert_int_equal(pg_int("SELECT count(*) FROM pbx.cdr_leg"), 501);
}

static void test_cdr_without_outbox_is_only_logged(void **state)
{
	(void)state;
	outbox_err = -ENOMEM;
	cdr_write(&call);
	assert_null(given);
	calls.p.outbox = NULL;
	cdr_write(&call);
	calls.p.outbox = (struct outbox *)&calls;
	assert_null(given);
}

#define CDR_TEST(fn) cmocka_unit_test_setup(fn, make_call)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CDR_TEST(test_cdr_answered_call_has_both_legs), CDR_TEST(test_cdr_unanswered_call_has_its_result),
		CDR_TEST(test_cdr_tells_what_was_told), CDR_TEST(test_cdr_tells_who_hung_up), CDR_TEST(test_cdr_odd_call_is_kept), CDR_TEST(test_cdr_takes_hundreds_of_legs),
		CDR_TEST(test_cdr_without_outbox_is_only_logged),
	};

	return cmocka_run_group_tests_name("cdr", tests, pg_group_start, pg_group_stop);
}

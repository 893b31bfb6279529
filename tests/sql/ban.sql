-- Who is kept out.
BEGIN;
SELECT plan(22);

SELECT lives_ok($$ INSERT INTO pbx.ban (source) VALUES ('192.0.2.1') $$, 'an administrator bans an address');
SELECT results_eq($$ SELECT source::text, until, reason, times, node FROM pbx.ban $$, $$ VALUES ('192.0.2.1/32', 'infinity'::timestamptz, 'by hand', 1, '') $$,
	'for ever, by hand');
SELECT lives_ok($$ INSERT INTO pbx.ban (source, until) VALUES ('2001:db8:1:2::/64', now() + interval '1 hour') $$, 'or of IPv6 what a host has');
SELECT throws_like(format('INSERT INTO pbx.ban (source) VALUES (%L)', s), '%source_is_one_address%', s || ' is another thing')
	FROM unnest('{192.0.2.0/24,2001:db8::1/128,2001:db8::/32,0.0.0.0/0}'::text[]) AS s;
SELECT throws_like($$ INSERT INTO pbx.ban (source, until) VALUES ('192.0.2.2', now() - interval '1 hour') $$, '%until_is_behind_since%', 'not into the past');
SELECT throws_like($$ UPDATE pbx.ban SET failures = -1 $$, '%ban_failures_check%', 'failures are counted');
SELECT throws_like($$ TRUNCATE pbx.ban $$, '%is refused%', 'servers learn what is lifted');

SELECT lives_ok($$ INSERT INTO pbx.network (network, rule, note) VALUES ('10.0.0.0/8', 'allow', 'our own'), ('0.0.0.0/0', 'deny', '') $$, 'networks');
SELECT throws_like($$ UPDATE pbx.network SET rule = 'maybe' $$, '%network_rule_check%', 'are allowed or denied');
SELECT throws_like($$ INSERT INTO pbx.network VALUES ('10.0.0.0/8', 'deny') $$, '%network_pkey%', 'not both');

-- changes are told
SET CONSTRAINTS ALL IMMEDIATE;
SELECT results_eq($$ SELECT "table", key FROM pbx.change WHERE "table" IN ('ban', 'network') ORDER BY key $$,
	$$ VALUES ('network', '0.0.0.0/0'), ('network', '10.0.0.0/8'), ('ban', '192.0.2.1/32'), ('ban', '2001:db8:1:2::/64') $$, 'servers are told');
SET CONSTRAINTS ALL DEFERRED;

-- what servers write
DELETE FROM pbx.ban;
INSERT INTO pbx.ban (source, since, until) VALUES ('192.0.2.8', now() - interval '3 days', now() - interval '2 days'),
	('192.0.2.9', now() - interval '3 days', now() - interval '2 hours');
CREATE FUNCTION pg_temp.doc(change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_array(jsonb '{"source": "198.51.100.7/32", "since_ms": 1700000000000, "until_ms": 1700000060000, "failures": 21, "times": 1,
		"account": "1001@cordboard", "reason": "wrong passwords", "node": "a"}' || change)
$$;
SELECT pbx.ban_set(pg_temp.doc('{}'));
SELECT results_eq($$ SELECT since, until - since, failures, times, account, reason, node FROM pbx.ban WHERE source = '198.51.100.7' $$,
	$$ VALUES ('2023-11-14 22:13:20+00'::timestamptz, interval '1 minute', 21::bigint, 1, '1001@cordboard', 'wrong passwords', 'a') $$, 'a ban');
SELECT is_empty($$ SELECT * FROM pbx.ban WHERE source = '192.0.2.8' $$, 'what was over a day ago is forgotten');
SELECT is(count(*), 1::bigint, 'not what is over since two hours') FROM pbx.ban WHERE source = '192.0.2.9';
SELECT pbx.ban_set(pg_temp.doc('{"until_ms": 1700000180000, "times": 2}') || pg_temp.doc('{"source": "2001:db8::/64", "account": null}'));
SELECT is(count(*), 0::bigint, 'one that is long over isn''t kept') FROM pbx.ban WHERE source = '198.51.100.7' AND times = 1;
SELECT is(account, NULL, 'several at once, without an account') FROM pbx.ban WHERE source = '2001:db8::/64';
UPDATE pbx.ban SET until = 'infinity' WHERE source = '198.51.100.7';
SELECT pbx.ban_set(pg_temp.doc('{"until_ms": 4000000000000, "times": 3}'));
SELECT is(until, 'infinity', 'what an administrator made longer stays') FROM pbx.ban WHERE source = '198.51.100.7';
DELETE FROM pbx.ban WHERE source = '198.51.100.7';
SELECT pbx.ban_set(pg_temp.doc('{"until_ms": 4000000000000, "times": 3}') || pg_temp.doc('{"until_ms": 4100000000000, "times": 4}'));
SELECT is(times, 4, 'the same source twice: the later') FROM pbx.ban WHERE source = '198.51.100.7';
SELECT is(count(*), 1::bigint, 'and once') FROM pbx.ban WHERE source = '198.51.100.7';

SELECT * FROM finish();
ROLLBACK;

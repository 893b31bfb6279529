-- How calls sound: in records and while they last; when a silent peer is given up.
BEGIN;
SELECT plan(21);

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT format('00000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid $$;

-- records
SELECT ok(pbx.outbox_take(pg_temp.id(1), 'cdr', format('{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "result": "answered",
	"started_ms": 1700000000000, "answered_ms": 1700000001000, "ended_ms": 1700000061000, "legs": [
	{"leg": 1, "role": "caller", "peer": "1001", "number": null, "started_ms": 1700000000000, "status": 0, "cause": 16, "codec": "PCMU",
	 "packets_sent": 3000, "packets_received": 2970, "bytes_sent": 480000, "bytes_received": 475200, "lost": 30, "remote_lost": 3,
	 "jitter_us": 1500, "max_jitter_us": 9000, "remote_jitter_us": 2000, "rtt_us": 20000, "heard_ms": 60000, "concealed_ms": 660,
	 "recovered_ms": 0, "mos": 4.31, "mos_min": 2.05, "mos_min_at_ms": 1700000030500, "remote_mos": 4.40, "remote_mos_min": 4.38,
	 "signalled_address": "10.0.0.5:4000", "media_address": "198.51.100.7:23456", "media_reason": "first", "media_since_ms": 1700000001100,
	 "media_changes": 1, "dropped_source": 4, "dropped_insecure": 5, "icmp_errors": 6, "media_timeout": "talking", "no_such_column": 1},
	{"leg": 2, "role": "callee", "peer": "1002", "started_ms": 1700000000100, "status": 487, "codec": ""}]}', pg_temp.id(11))::jsonb), 'a record');
SELECT is_empty($$ SELECT reason FROM pbx.outbox_refused $$, 'is taken');
SELECT results_eq($$ SELECT bytes_sent, bytes_received, remote_jitter_us, heard_ms, concealed_ms, recovered_ms, mos, mos_min, mos_min_at, remote_mos, remote_mos_min
	FROM pbx.cdr_leg WHERE leg = 1 $$,
	$$ VALUES (480000::bigint, 475200::bigint, 2000::bigint, 60000::bigint, 660::bigint, 0::bigint, 4.31, 2.05,
	'2023-11-14 22:13:50.5+00'::timestamptz, 4.40, 4.38) $$, 'with how it sounded');
SELECT results_eq($$ SELECT number, status, signalled_address, media_address, media_reason, media_since, media_changes, dropped_source, dropped_insecure,
	icmp_errors, media_timeout FROM pbx.cdr_leg WHERE leg = 1 $$,
	$$ VALUES ('', NULL::integer, '10.0.0.5:4000', '198.51.100.7:23456', 'first', '2023-11-14 22:13:21.1+00'::timestamptz, 1, 4::bigint, 5::bigint, 6::bigint,
	'talking') $$, 'and where its media went');
SELECT results_eq($$ SELECT peer, status, codec, mos, ended FROM pbx.cdr_leg WHERE leg = 2 $$,
	$$ VALUES ('1002', 487, NULL::text, NULL::numeric, '2023-11-14 22:14:21+00'::timestamptz) $$, 'a leg without media has none of it');
SELECT results_eq($$ SELECT caller, leg, mos_min, lost_percent, remote_lost_percent, concealed_percent, jitter_ms, max_jitter_ms, remote_jitter_ms, rtt_ms
	FROM pbx.call_quality $$,
	$$ VALUES ('1001', 1, 2.05, 1.00, 0.10, 1.10, 1.5, 9.0, 2.0, 20.0) $$, 'the view has it in percent and milliseconds');

-- live
CREATE FUNCTION pg_temp.row_of(id integer, call integer, leg integer, mos numeric) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('id', id, 'call', pg_temp.id(call), 'leg', leg, 'domain', 'office', 'role', 'caller', 'number', '1001', 'peer', '1001',
		'answered_ms', 1700000000000, 'codec', 'PCMU', 'packets_sent', 200, 'packets_received', 98, 'bytes_sent', 1, 'bytes_received', 2, 'lost', 2,
		'remote_lost', 1, 'jitter_us', 1250, 'remote_jitter_us', 0, 'rtt_us', 0, 'heard_ms', 0, 'concealed_ms', 0, 'recovered_ms', 0, 'mos', mos,
		'mos_min', mos, 'signalled_address', '10.0.0.5:4000', 'media_address', '10.0.0.5:4000', 'media_reason', 'first', 'media_since_ms', 1700000000500,
		'media_changes', 1, 'dropped_source', 0, 'dropped_insecure', 0, 'icmp_errors', 0)
$$;
SELECT lives_ok($$ SELECT pbx.live_legs('n1', jsonb_build_array(pg_temp.row_of(1, 21, 1, 4.4), pg_temp.row_of(2, 21, 2, 4.3))) $$, 'legs are seen');
SELECT lives_ok($$ SELECT pbx.live_legs('n2', jsonb_build_array(pg_temp.row_of(1, 22, 1, 4.2))) $$, 'of two servers');
SELECT results_eq($$ SELECT node, call, leg, mos, lost_percent, remote_lost_percent, concealed_percent, jitter_ms, rtt_ms FROM pbx.leg ORDER BY node, leg $$,
	$$ VALUES ('n1', pg_temp.id(21), 1, 4.40, 2.00, 0.50, NULL::numeric, 1.3, NULL::numeric), ('n1', pg_temp.id(21), 2, 4.30, 2.00, 0.50, NULL, 1.3, NULL),
	('n2', pg_temp.id(22), 1, 4.20, 2.00, 0.50, NULL, 1.3, NULL) $$, 'as they are');
SELECT lives_ok($$ SELECT pbx.live_legs('n1', jsonb_build_array(pg_temp.row_of(1, 21, 1, 3.9), pg_temp.row_of(1, 23, 3, 2.1), '{"id": 2}'::jsonb)) $$,
	'one is told of twice, one has ended');
SELECT results_eq($$ SELECT node, call, leg, mos FROM pbx.leg ORDER BY node $$,
	$$ VALUES ('n1', pg_temp.id(23), 3, 2.10), ('n2', pg_temp.id(22), 1, 4.20) $$, 'the later holds, also in another call');
SELECT lives_ok($$ SELECT pbx.live_legs('n1', jsonb_build_array(pg_temp.row_of(5, 25, 1, 4), '{"id": 5}'::jsonb, '{"id": 99}'::jsonb)) $$,
	'one came and went');
SELECT is(count(*), 2::bigint, 'and is not there') FROM pbx.leg;
UPDATE pbx.live_leg SET refreshed = now() - interval '21 seconds' WHERE node = 'n2';
SELECT results_eq($$ SELECT node FROM pbx.leg $$, $$ VALUES ('n1') $$, 'what is no longer refreshed is not shown');
UPDATE pbx.live_leg SET refreshed = now() - interval '61 seconds' WHERE node = 'n2';
SELECT lives_ok($$ SELECT pbx.node_seen('n1') $$, 'another server says that it lives');
SELECT results_eq($$ SELECT node FROM pbx.live_leg $$, $$ VALUES ('n1') $$, 'and what a vanished one left is gone');

-- silent peers
SELECT lives_ok($$ UPDATE pbx.domain SET media_timeout_s = 0, media_hold_timeout_s = 86400 WHERE domain = 'office' $$, 'never, or a day');
SELECT throws_like($$ UPDATE pbx.domain SET media_timeout_s = 1 WHERE domain = 'office' $$, '%media_timeout_is_0_or_at_least_2_s%', 'not at once');
SELECT throws_like($$ UPDATE pbx.domain SET media_hold_timeout_s = 86401 WHERE domain = 'office' $$, '%media_hold_timeout_is_0_or_at_least_2_s%', 'not later');
SELECT throws_like($$ INSERT INTO pbx.trunk (domain, name, context, media_timeout_s) VALUES ('office', 'x', 'office', -1) $$,
	'%media_timeout_is_0_or_at_least_2_s%', 'nor at a trunk');
SELECT throws_like($$ INSERT INTO pbx.trunk (domain, name, context, media_hold_timeout_s) VALUES ('office', 'x', 'office', 1) $$,
	'%media_hold_timeout_is_0_or_at_least_2_s%', 'when it is held');

SELECT * FROM finish();
ROLLBACK;

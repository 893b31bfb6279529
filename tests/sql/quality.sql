-- How calls sound: in records and while they last; when a silent peer is given up.
BEGIN;
SELECT plan(28);

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
	SELECT jsonb_build_object('id', id, 'call', pg_temp.id(call), 'leg', leg, 'domain', 'office', 'role', 'caller', 'number', '1001', 'peer', '1001', 'state', 'answered', 'held', 0,
		'answered_ms', 1700000000000, 'codec', 'PCMU', 'packets_sent', 200, 'packets_received', 98, 'bytes_sent', 1, 'bytes_received', 2, 'lost', 2,
		'remote_lost', 1, 'jitter_us', 1250, 'remote_jitter_us', 0, 'rtt_us', 0, 'heard_ms', 0, 'concealed_ms', 0, 'recovered_ms', 0, 'mos', mos,
		'mos_min', mos, 'signalled_address', '10.0.0.5:4000', 'media_address', '10.0.0.5:4000', 'media_reason', 'first', 'media_since_ms', 1700000000500,
		'media_changes', 1, 'dropped_source', 0, 'dropped_insecure', 0, 'icmp_errors', 0)
$$;
CREATE FUNCTION pg_temp.call_of(call integer) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('call', pg_temp.id(call), 'domain', 'office', 'caller', '1001', 'caller_name', 'Ann', 'trunk', NULL, 'dialled', '1002',
		'context', 'office', 'route', '_10XX', 'app', 'dial', 'started_ms', 1700000000000)
$$;
INSERT INTO pbx.node (node) VALUES ('n1'), ('n2') ON CONFLICT (node) DO UPDATE SET seen = now();
SELECT lives_ok($$ SELECT pbx.live_write('n1', false, jsonb_build_array(pg_temp.call_of(21)),
	jsonb_build_array(pg_temp.row_of(1, 21, 1, 4.4), pg_temp.row_of(2, 21, 2, 4.3)), '{}', '{}') $$, 'a call and its legs are seen');
SELECT lives_ok($$ SELECT pbx.live_write('n2', false, jsonb_build_array(pg_temp.call_of(22)), jsonb_build_array(pg_temp.row_of(1, 22, 1, 4.2)), '{}', '{}') $$,
	'of two servers');
SELECT results_eq($$ SELECT node, call, caller, dialled, route, app, trunk, answered FROM pbx.call ORDER BY node $$,
	$$ VALUES ('n1', pg_temp.id(21), '1001', '1002', '_10XX', 'dial', NULL::text, NULL::timestamptz),
	('n2', pg_temp.id(22), '1001', '1002', '_10XX', 'dial', NULL, NULL) $$, 'calls as they are');
SELECT results_eq($$ SELECT node, call, leg, state, mos, lost_percent, remote_lost_percent, concealed_percent, jitter_ms, rtt_ms FROM pbx.leg ORDER BY node, leg $$,
	$$ VALUES ('n1', pg_temp.id(21), 1, 'answered', 4.40, 2.00, 0.50, NULL::numeric, 1.3, NULL::numeric), ('n1', pg_temp.id(21), 2, 'answered', 4.30, 2.00, 0.50, NULL, 1.3, NULL),
	('n2', pg_temp.id(22), 1, 'answered', 4.20, 2.00, 0.50, NULL, 1.3, NULL) $$, 'and legs');
SELECT lives_ok($$ SELECT pbx.live_write('n1', false, jsonb_build_array(pg_temp.call_of(23) || '{"app": "voicemail", "answered_ms": 1700000001000}'),
	jsonb_build_array(pg_temp.row_of(1, 23, 3, 2.1)), '{2}', ARRAY[pg_temp.id(21)]) $$, 'one leg goes on in another call, one has ended, and their call');
SELECT results_eq($$ SELECT node, call, leg, mos FROM pbx.leg ORDER BY node $$,
	$$ VALUES ('n1', pg_temp.id(23), 3, 2.10), ('n2', pg_temp.id(22), 1, 4.20) $$, 'so it is');
SELECT results_eq($$ SELECT call, app, answered FROM pbx.call WHERE node = 'n1' $$,
	$$ VALUES (pg_temp.id(23), 'voicemail', '2023-11-14 22:13:21+00'::timestamptz) $$, 'of the call, too');
SELECT lives_ok($$ SELECT pbx.live_write('n1', false, '[]', '[{"id": 9, "call": "00000000-0000-4000-8000-000000000023", "leg": 4, "domain": "office", "role": "callee",
	"number": null, "peer": null, "state": "ringing", "held": 0, "started_ms": 1700000000000}]', '{}', '{}') $$, 'a leg that has no media yet');
SELECT results_eq($$ SELECT state, held, packets_sent FROM pbx.leg WHERE leg = 4 $$, $$ VALUES ('ringing', false, 0::bigint) $$, 'rings');
SELECT lives_ok($$ SELECT pbx.live_write('n1', true, '[]', jsonb_build_array(pg_temp.row_of(5, 25, 1, 4)), '{}', '{}') $$, 'a server says what it has and that it is all');
SELECT results_eq($$ SELECT node, id FROM pbx.live_leg ORDER BY node $$, $$ VALUES ('n1', 5::bigint), ('n2', 1) $$, 'of itself');
UPDATE pbx.node SET seen = now() - interval '21 seconds' WHERE node = 'n2';
SELECT results_eq($$ SELECT node FROM pbx.leg $$, $$ VALUES ('n1') $$, 'what a server had that has fallen silent is not shown');
SELECT lives_ok($$ SELECT pbx.node_seen('n1') $$, 'another server says that it lives');
SELECT results_eq($$ SELECT node FROM pbx.live_leg $$, $$ VALUES ('n1') $$, 'and it is gone');
SELECT is_empty($$ SELECT FROM pbx.live_call $$, 'calls, too');
SELECT lives_ok($$ SELECT pbx.live_forget('n1') $$, 'one begins anew');
SELECT is_empty($$ SELECT FROM pbx.live_leg $$, 'without calls');

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

-- Records by month: they are found wherever they are, their legs go with them, and months that are over go as a whole.
BEGIN;
SELECT plan(20);
SET CONSTRAINTS ALL IMMEDIATE;

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT format('00000000-0000-0000-0000-%s', lpad($1::text, 12, '0'))::uuid $$;
-- A call of 10 minutes that was answered after one, of two legs; the second rings half a minute, and holds from the fifth to the sixth minute.
CREATE FUNCTION pg_temp.record(n integer, at timestamptz) RETURNS boolean LANGUAGE sql AS $$
    SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', jsonb_build_object('call', pg_temp.id(n), 'domain', 'office', 'caller', '1001', 'dialled', '1002', 'result', 'answered',
        'started_ms', ms, 'answered_ms', ms + 60000, 'ended_ms', ms + 600000, 'ringing_ms', ms + 30000, 'told_status', 200, 'version', 7,
        'legs', jsonb_build_array(jsonb_build_object('leg', 1, 'role', 'caller', 'number', '1001', 'started_ms', ms, 'answered_ms', ms + 60000, 'packets_sent', 1, 'packets_received', 1),
            jsonb_build_object('leg', 2, 'role', 'callee', 'number', '1002', 'started_ms', ms, 'ringing_ms', ms + 30000, 'answered_ms', ms + 60000, 'hangup_by', 'peer', 'reason', 'r'))))
    FROM (SELECT (extract(epoch FROM at) * 1000)::bigint AS ms) AS x
$$;
SELECT ok(pg_temp.record(1, '2026-01-15 14:00+00'), 'a record of a month that has no table');
SELECT ok(pg_temp.record(2, now() - interval '1 hour'), 'one of now');
SELECT results_eq($$ SELECT call, tableoid::regclass::text FROM pbx.cdr UNION ALL SELECT call, tableoid::regclass::text FROM pbx.cdr_leg WHERE leg = 2 ORDER BY 2 $$,
	$$ SELECT pg_temp.id(n), t FROM (VALUES (2, to_char((now() - interval '50 min') AT TIME ZONE 'UTC', '"pbx_part.cdr_"YYYYMM"01"')),
	   (2, to_char((now() - interval '50 min') AT TIME ZONE 'UTC', '"pbx_part.cdr_leg_"YYYYMM"01"')), (1, 'pbx_part.cdr_leg_other'), (1, 'pbx_part.cdr_other')) AS v(n, t) $$,
	'each is in the table of its month');
SELECT results_eq($$ SELECT ringing - started, status, version FROM pbx.cdr WHERE call = pg_temp.id(1) $$, $$ VALUES (interval '30 s', 200, 7::bigint) $$, 'what the caller heard');
SELECT results_eq($$ SELECT hangup_by, reason FROM pbx.cdr_leg WHERE call = pg_temp.id(1) AND leg = 2 $$, $$ VALUES ('peer', 'r') $$, 'and who ended the leg');
SELECT results_eq($$ SELECT call, leg FROM pbx.call_quality ORDER BY call $$, $$ VALUES (pg_temp.id(1), 1), (pg_temp.id(2), 1) $$, 'how they sounded');

-- who was on the line
CREATE FUNCTION pg_temp.at(minutes numeric) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', number, state, CASE WHEN held THEN 'held' END), ', ' ORDER BY leg)
    FROM pbx.call_at('2026-01-15 14:00+00'::timestamptz + $1 * interval '1 minute')
$$;
SELECT pbx.event_write('leg.held', 'office', pg_temp.id(1), '{"leg": 2}', '2026-01-15 14:05+00'),
       pbx.event_write('leg.resumed', 'office', pg_temp.id(1), '{"leg": 2}', '2026-01-15 14:06+00') \g /dev/null
SELECT results_eq($$ SELECT m, pg_temp.at(m) FROM unnest('{-0.1,0.1,0.7,3,5.5,7,10.1}'::numeric[]) WITH ORDINALITY AS u(m, n) ORDER BY n $$,
	$$ VALUES (-0.1, NULL), (0.1, '1001 trying, 1002 trying'), (0.7, '1001 trying, 1002 ringing'), (3, '1001 answered, 1002 answered'),
	   (5.5, '1001 answered, 1002 answered held'), (7, '1001 answered, 1002 answered'), (10.1, NULL) $$, 'who was on the line at a moment');
SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', jsonb_build_object('call', pg_temp.id(3), 'domain', 'office', 'result', 'answered', 'started_ms', 5000, 'ended_ms', 4000)) \g /dev/null
SELECT is((SELECT count(*) FROM pbx.cdr WHERE call = pg_temp.id(3)), 1::bigint, 'a clock that was set back costs no record');
INSERT INTO pbx.node (node) VALUES ('n');
SELECT pbx.live_write('n', false, format('[{"call": "%s", "domain": "office", "caller": "1003", "started_ms": %s}]', pg_temp.id(4), (extract(epoch FROM now()) * 1000)::bigint - 60000)::jsonb,
	format('[{"id": 1, "call": "%s", "leg": 1, "domain": "office", "role": "caller", "number": "1003", "state": "trying", "started_ms": %s}]', pg_temp.id(4),
	(extract(epoch FROM now()) * 1000)::bigint - 60000)::jsonb, '{}', '{}');
SELECT results_eq($$ SELECT number, ended FROM pbx.call_at(now() - interval '30 s') $$, $$ VALUES ('1003', NULL::timestamptz) $$, 'also in calls that still go on');
SELECT is_empty($$ SELECT FROM pbx.call_at(now() + interval '1 day') $$, 'of the future nothing is known');

-- which phones were registered
INSERT INTO pbx.binding (domain, number, contact, call_id, cseq, expires, proto, address, registered)
VALUES ('office', '1001', 'sip:a', 'a', 1, now() + interval '1 h', 'udp', '192.0.2.1:5060', now() - interval '1 year'),
       ('office', '1002', 'sip:b', 'a', 1, now() + interval '1 h', 'udp', '192.0.2.2:5060', now());
UPDATE pbx.event SET at = now() - interval '3 days' WHERE kind = 'registration.gained' AND data ->> 'number' = '1002';
DELETE FROM pbx.event WHERE kind = 'registration.gained' AND data ->> 'number' = '1001';
DELETE FROM pbx.binding WHERE number = '1002';
UPDATE pbx.event SET at = now() - interval '2 days' WHERE kind = 'registration.lost';
SELECT results_eq($$ SELECT d, string_agg(number, ' ' ORDER BY number) FROM unnest('{4,2.5,1}'::numeric[]) AS d, pbx.binding_at(now() - d * interval '1 day') GROUP BY d ORDER BY d DESC $$,
	$$ VALUES (4, '1001'), (2.5, '1001 1002'), (1, '1001') $$, 'phones that were registered at a moment');

-- at a glance
SELECT results_eq($$ SELECT state, reason, calls, legs, bindings FROM pbx.node_status WHERE node = 'n' $$, $$ VALUES ('up', NULL, 1::bigint, 1::bigint, 0::bigint) $$, 'what a server has in hand');
UPDATE pbx.node SET seen = now() - interval '1 minute' WHERE node = 'n';
SELECT results_eq($$ SELECT state, reason FROM pbx.node_status WHERE node = 'n' $$, $$ VALUES ('down', 'vanished') $$, 'and that it does not run');
UPDATE pbx.node SET seen = now() WHERE node = 'n';
INSERT INTO pbx.trunk (domain, name, context, uri, call_limit) VALUES ('office', 'gw', 'office', 'sip:192.0.2.1', 5), ('office', 'mute', 'office', 'sip:192.0.2.2', NULL);
SELECT pbx.trunk_state_reach('[{"domain": "office", "name": "gw", "node": "n", "reachable": true, "since_ms": 1, "rtt_us": 12345}]');
UPDATE pbx.live_leg SET peer = 'gw';
SELECT results_eq($$ SELECT name, node, reachable, rtt_ms, in_use, call_limit FROM pbx.trunk_status WHERE domain = 'office' ORDER BY name $$,
	$$ VALUES ('gw', 'n', true, 12.3, 1::bigint, 5), ('mute', NULL, NULL, NULL, 0, NULL) $$, 'trunks: reachable, how far, in use');

-- what goes
DELETE FROM pbx.cdr WHERE call = pg_temp.id(2);
SELECT is_empty($$ SELECT FROM pbx.cdr_leg WHERE call = pg_temp.id(2) $$, 'the legs of a record go with it');
SELECT pbx.partition_make('pbx.cdr', 'month', '2026-01-01'), pbx.partition_make('pbx.cdr_leg', 'month', '2026-01-01') \g /dev/null
SELECT results_eq($$ SELECT tableoid::regclass::text FROM pbx.cdr WHERE call = pg_temp.id(1) $$, $$ VALUES ('pbx_part.cdr_20260101') $$, 'a month gets its table later');
SELECT ok(pg_temp.record(5, now() - interval '100 days') AND pg_temp.record(6, now() - interval '80 days'), 'two more');
INSERT INTO pbx.retention VALUES ('cdr', '90 days');
SELECT is((SELECT removed FROM pbx.housekeeping() WHERE what = 'cdr'), 3::bigint, 'what is over is removed: a month, one of another, one of a wrong clock');
SELECT results_eq($$ SELECT DISTINCT call FROM pbx.cdr_leg $$, $$ VALUES (pg_temp.id(6)) $$, 'legs too');
SELECT is(to_regclass('pbx_part.cdr_20260101'), NULL, 'and the table of the month');

SELECT * FROM finish();
ROLLBACK;

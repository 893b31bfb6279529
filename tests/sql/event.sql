-- What happened: which events are written, once, in which order, who gets them and for how long they are kept.
BEGIN;
SELECT plan(53);
SET CONSTRAINTS ALL IMMEDIATE;
DELETE FROM pbx.event;

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT format('00000000-0000-0000-0000-%s', lpad($1::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.told(call integer) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(kind, ' ' ORDER BY id) FROM pbx.event WHERE event.call = pg_temp.id($1)
$$;
CREATE FUNCTION pg_temp.write(kind text, VARIADIC args jsonb[] DEFAULT '{}') RETURNS void LANGUAGE sql AS $$
    SELECT pbx.event_write($1, 'office', NULL, jsonb_build_object('n', a)) FROM unnest(coalesce(nullif($2, '{}'), ARRAY['null'::jsonb])) AS a
$$;
INSERT INTO pbx.event_cursor (cursor) VALUES ('all'), ('shared');
INSERT INTO pbx.event_cursor (cursor, kinds) VALUES ('bans', '{ban.set,ban.lifted}');

-- calls, as servers write them
SELECT pbx.live_write('n', false, format('[{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "started_ms": 1700000000000}]', pg_temp.id(1))::jsonb,
	format('[{"id": 1, "call": "%1$s", "leg": 1, "domain": "office", "role": "caller", "number": "1001", "state": "trying", "started_ms": 1700000000000},
	{"id": 2, "call": "%1$s", "leg": 2, "domain": "office", "role": "callee", "number": "1002", "state": "ringing", "started_ms": 1700000000000, "ringing_ms": 1700000001000}]',
	pg_temp.id(1))::jsonb, '{}', '{}');
SELECT is(pg_temp.told(1), 'call.started leg.ringing', 'a call begins and rings');
SELECT results_eq($$ SELECT kind, domain, at, data FROM pbx.event WHERE kind = 'call.started' $$,
	$$ VALUES ('call.started', 'office', '2023-11-14 22:13:20+00'::timestamptz, '{"caller": "1001", "dialled": "1002", "context": ""}'::jsonb) $$, 'at its time, by whom');
SELECT pbx.live_write('n', false, '[]', format('[{"id": 2, "call": "%s", "leg": 2, "domain": "office", "role": "callee", "number": "1002", "state": "ringing",
	"ringing_ms": 1700000001000, "packets_sent": 7}]', pg_temp.id(1))::jsonb, '{}', '{}');
SELECT is(pg_temp.told(1), 'call.started leg.ringing', 'what changes of its media is no event');
CREATE FUNCTION pg_temp.answered(held integer, call integer DEFAULT 1) RETURNS void LANGUAGE sql AS $$
    SELECT pbx.live_write('n', false, format('[{"call": "%s", "domain": "office", "caller": "1001", "started_ms": 1700000000000, "answered_ms": 1700000002000}]', pg_temp.id(1))::jsonb,
	format('[{"id": 2, "call": "%s", "leg": 2, "domain": "office", "role": "callee", "number": "1002", "state": "answered", "ringing_ms": 1700000001000, "answered_ms": 1700000002000,
	"held": %s}]', pg_temp.id($2), $1)::jsonb, '{}', '{}')
$$;
SELECT pg_temp.answered(0);
SELECT is(pg_temp.told(1), 'call.started leg.ringing call.answered leg.answered', 'it is answered');
SELECT pg_temp.answered(1);
SELECT pg_temp.answered(1);
SELECT pg_temp.answered(0);
SELECT is(pg_temp.told(1), 'call.started leg.ringing call.answered leg.answered leg.held leg.resumed', 'held and taken back, once each');
SELECT pg_temp.answered(0, 2);
SELECT results_eq($$ SELECT call, data FROM pbx.event WHERE kind = 'call.transferred' $$,
	$$ SELECT pg_temp.id(1), jsonb_build_object('leg', 2, 'role', 'callee', 'number', '1002', 'to', pg_temp.id(2)) $$, 'a party goes to another call');
SELECT pbx.live_write('n', true, format('[{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "started_ms": 1700000000000, "answered_ms": 1700000002000}]', pg_temp.id(1))::jsonb,
	'[]', '{}', '{}');
SELECT is((SELECT count(*) FROM pbx.event WHERE call = pg_temp.id(1)), 7::bigint, 'all written anew tells nothing anew');

-- and their records
SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', format('{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "started_ms": 1700000000000,
	"answered_ms": 1700000002000, "ended_ms": 1700000005000, "result": "answered", "cause": 16, "hangup_by": "callee"}', pg_temp.id(1))::jsonb) \g /dev/null
SELECT is((SELECT count(*) FROM pbx.event WHERE call = pg_temp.id(1)), 8::bigint, 'a record tells the end alone');
SELECT is(data, '{"caller": "1001", "dialled": "1002", "result": "answered", "cause": 16, "hangup_by": "callee", "duration_ms": 5000, "talk_ms": 3000}'::jsonb,
	'how it ended') FROM pbx.event WHERE call = pg_temp.id(1) AND kind = 'call.ended';
SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', format('{"call": "%s", "domain": "office", "started_ms": 1700000000000, "ended_ms": 1700000000010,
	"result": "no_route"}', pg_temp.id(3))::jsonb) \g /dev/null
SELECT is(pg_temp.told(3), 'call.started call.ended', 'and the beginning of one that was never seen');

-- calls of a server that was killed: one ended, one not
SELECT pbx.live_write('gone', false, format('[{"call": "%s", "domain": "office", "caller": "1001", "started_ms": 1700000000000},
	{"call": "%s", "domain": "office", "caller": "1002", "started_ms": 1700000000000}]', pg_temp.id(4), pg_temp.id(5))::jsonb, '[]', '{}', '{}');
SELECT pbx.live_forget('gone');
SELECT is_empty($$ SELECT FROM pbx.live_call WHERE node = 'gone' $$, 'its calls do not go on');
SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', format('{"call": "%s", "domain": "office", "started_ms": 1700000000000, "ended_ms": 1700000000010, "result": "busy"}', pg_temp.id(5))::jsonb) \g /dev/null
SELECT pbx.outbox_take(gen_random_uuid(), 'missing', jsonb_build_object('node', 'gone', 'until', now() - interval '1 second')) \g /dev/null
SELECT is_empty($$ SELECT FROM pbx.event WHERE kind = 'call.lost' $$, 'what is missed later is not meant');
SELECT ok(pbx.outbox_take(gen_random_uuid(), 'missing', jsonb_build_object('node', 'gone', 'until', now())), 'it says that there are no more records');
SELECT results_eq($$ SELECT call, data ->> 'caller' FROM pbx.event WHERE kind = 'call.lost' $$, $$ SELECT pg_temp.id(4), '1001' $$, 'who has none is lost');
SELECT is_empty('SELECT FROM pbx.call_missing', 'nobody misses them any more');

-- the rest
CREATE FUNCTION pg_temp.last() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', kind, data ->> 'of', data ->> 'reason') FROM pbx.event ORDER BY id DESC LIMIT 1 $$;
INSERT INTO pbx.voicemail (id, domain, number, caller_number, received, duration_ms, sound) VALUES (pg_temp.id(9), 'office', '1001', '1002', now(), 10, '\x00');
SELECT is((SELECT data ->> 'number' FROM pbx.event WHERE kind = 'voicemail.left'), '1001', 'a message is left');
SELECT is((SELECT (data ->> 'seq')::bigint FROM pbx.event WHERE kind = 'change.committed' ORDER BY id DESC LIMIT 1), (SELECT max(seq) FROM pbx.change), 'a change is told');
INSERT INTO pbx.conference_member (call, domain, number, node) VALUES (pg_temp.id(10), 'office', '420', 'n');
SELECT is(pg_temp.last(), 'conference.joined', 'somebody enters a room');
DELETE FROM pbx.conference_member WHERE call = pg_temp.id(10);
SELECT is(pg_temp.last(), 'conference.left', 'and leaves it');
INSERT INTO pbx.recording (recording, domain, node, path, format, channels, started_by, started, result) VALUES (pg_temp.id(11), 'office', 'n', 'x', 'wav', 1, 'x', now(), 'recording');
SELECT is(pg_temp.last(), 'conference.left', 'a recording that begins is no event');
UPDATE pbx.recording SET ended = now(), result = 'complete';
SELECT is(pg_temp.last(), 'recording.ended', 'one that ends is');
INSERT INTO pbx.ban (source, until) VALUES ('192.0.2.7', now() + interval '1 hour');
SELECT is((SELECT data ->> 'source' FROM pbx.event WHERE kind = 'ban.set'), '192.0.2.7/32', 'an address is banned');
DELETE FROM pbx.ban WHERE source = '192.0.2.7';
SELECT is((SELECT count(*) FROM pbx.event WHERE kind = 'ban.lifted'), 1::bigint, 'and heard again');
INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'gw', 'office', 'sip:192.0.2.1');
SELECT pbx.trunk_state_reach('[{"domain": "office", "name": "gw", "node": "n", "reachable": true, "since_ms": 1}]');
SELECT is(pg_temp.last(), 'trunk.up reachable', 'a trunk answers');
SELECT pbx.trunk_state_reach('[{"domain": "office", "name": "gw", "node": "n", "reachable": true, "since_ms": 1, "rtt_us": 5}]');
SELECT pbx.trunk_state_reach('[{"domain": "office", "name": "gw", "node": "n", "reachable": false, "since_ms": 2}]');
SELECT is((SELECT string_agg(kind, ' ' ORDER BY id) FROM pbx.event WHERE data ->> 'name' = 'gw'), 'trunk.up trunk.down', 'and does not any more');
SELECT pbx.trunk_state_registration(format('[{"domain": "office", "name": "gw", "node": "n", "registration": "%s", "status": 403, "reason": "No", "failures": 0}]', r)::jsonb)
	FROM unnest('{trying,failed,trying,failed,registered,registered,trying}'::text[]) AS r \g /dev/null
SELECT is((SELECT string_agg(kind, ' ' ORDER BY id) FROM pbx.event WHERE data ->> 'of' = 'registration'), 'trunk.down trunk.down trunk.up trunk.down', 'registrations at one');
INSERT INTO pbx.binding (domain, number, contact, call_id, cseq, expires, proto, address) VALUES ('office', '1001', 'sip:x@192.0.2.1', 'a', 1, now() + interval '1 minute', 'udp', '192.0.2.1:5060');
UPDATE pbx.binding SET expires = now() - interval '1 minute';
UPDATE pbx.binding SET expires = now() + interval '1 minute';
DELETE FROM pbx.binding;
SELECT is((SELECT string_agg(kind, ' ' ORDER BY id) FROM pbx.event WHERE data ->> 'contact' = 'sip:x@192.0.2.1'),
	'registration.gained registration.gained registration.lost', 'a phone registers, again when its time was over, and goes');

-- servers
INSERT INTO pbx.node (node) VALUES ('n');
UPDATE pbx.node SET seen = now() - interval '30 seconds', started = now() - interval '1 hour' WHERE node = 'n';
INSERT INTO pbx.node (node) VALUES ('other');
DELETE FROM pbx.event WHERE kind LIKE 'node.%';
SELECT pbx.node_seen('other');
SELECT is(pg_temp.last(), 'node.down vanished', 'a server is no longer heard of');
SELECT pbx.node_seen('other');
SELECT is((SELECT count(*) FROM pbx.event WHERE kind = 'node.down'), 1::bigint, 'which is told once');
SELECT pbx.node_seen('n');
SELECT is(pg_temp.last(), 'node.up', 'it is heard of again');
SELECT pbx.node_stops('n');
SELECT is(pg_temp.last(), 'node.down stopped', 'it ends');
SELECT is_empty($$ SELECT FROM pbx.live_nodes() AS n WHERE n = 'n' $$, 'and does not run');

-- who gets what
SELECT results_eq($$ SELECT kind FROM pbx.event_next('bans') $$, $$ VALUES ('ban.set'), ('ban.lifted') $$, 'a reader gets the kinds it wants');
SELECT is_empty($$ SELECT FROM pbx.event_next('bans') $$, 'once');
SELECT is((SELECT id FROM pbx.event_cursor WHERE cursor = 'bans'), pbx.event_last(), 'what it does not want is behind it');
CREATE TEMP TABLE first_half AS SELECT * FROM pbx.event_next('all', 10);
SELECT is((SELECT count(*) FROM first_half), 10::bigint, 'as many as it wants');
CREATE TEMP TABLE second_half AS SELECT * FROM pbx.event_next('all', 1000);
SELECT results_eq('TABLE first_half UNION ALL TABLE second_half', 'SELECT * FROM pbx.event ORDER BY id', 'and all in all each once, in order');
SELECT is_empty($$ SELECT FROM pbx.event_next('new') $$, 'a new reader begins now');
SELECT pg_temp.write('call.lost', '1', '2');
SELECT is((SELECT count(*) FROM pbx.event_next('new')), 2::bigint, 'and gets what comes');
SELECT throws_like($$ SELECT pbx.event_next('new', 0) $$, '%at least one%', 'none can''t be asked for');

-- what is not wanted
UPDATE pbx.event_kind SET record = false WHERE kind = 'call.lost';
SELECT pg_temp.write('call.lost', '3');
SELECT is_empty($$ SELECT FROM pbx.event_next('new') $$, 'kinds that are not recorded are not');
INSERT INTO pbx.event_choice VALUES ('office', 'call.lost', true);
SELECT pg_temp.write('call.lost', '4');
SELECT is((SELECT count(*) FROM pbx.event_next('new')), 1::bigint, 'but where a domain wants them');
SELECT is_empty('SELECT FROM pbx.event_pending', 'nothing waits');
UPDATE pbx.event_kind SET record = false WHERE kind ~ '^(call|leg)\.';
CREATE FUNCTION pg_temp.short_call(n integer) RETURNS void LANGUAGE sql AS $$
    SELECT pbx.live_write('n', false, format('[{"call": "%s", "domain": "office", "caller": "1001", "started_ms": 1700000000000}]', pg_temp.id($1))::jsonb,
        format('[{"id": %s, "call": "%s", "leg": 2, "domain": "office", "role": "callee", "state": "ringing", "ringing_ms": 1700000001000}]', $1, pg_temp.id($1))::jsonb, '{}', '{}');
    SELECT pbx.outbox_take(gen_random_uuid(), 'cdr', format('{"call": "%s", "domain": "office", "started_ms": 1700000000000, "ended_ms": 1700000000010, "result": "busy"}', pg_temp.id($1))::jsonb);
$$;
SELECT pg_temp.short_call(20);
SELECT is(pg_temp.told(20), NULL, 'calls that nobody wants to hear of tell nothing');
INSERT INTO pbx.event_choice VALUES ('office', 'leg.ringing', true), ('office', 'call.ended', true);
SELECT pg_temp.short_call(21);
SELECT is(pg_temp.told(21), 'leg.ringing call.ended', 'but what a domain wants');
UPDATE pbx.event_kind SET record = true;

-- for how long: a day that is over goes as a whole, who had not read it is told; one that has no table yet gets it
INSERT INTO pbx.event_cursor (cursor, id) VALUES ('late', 0);
DELETE FROM pbx.event;
INSERT INTO pbx.event SELECT n, now() - n * interval '1 day', now(), 'call.lost', 'office', NULL, '{}' FROM generate_series(50, 1, -7) AS n;
UPDATE pbx.event SET id = 51 - id;
SELECT is((SELECT count(*) FROM pbx_part.event_other), 8::bigint, 'days without a table are kept');
SELECT pbx.partition_make('pbx.event', 'day', now() - interval '60 days') \g /dev/null
SELECT results_eq($$ SELECT count(*) FROM pbx_part.event_other UNION ALL SELECT count(*) FROM pbx.event $$, $$ VALUES (0::bigint), (8) $$, 'until they have one');
SELECT is((SELECT removed FROM pbx.housekeeping() WHERE what = 'event'), 3::bigint, 'days go after a month');
SELECT results_eq($$ SELECT id, missed FROM pbx.event_cursor WHERE cursor = 'late' $$, $$ SELECT min(id) - 1, 3::bigint FROM pbx.event $$, 'a reader that had not come so far knows');

-- tenants have readers of their own
\ir office.psql
SET CONSTRAINTS ALL DEFERRED;
SELECT pg_temp.office('a'), pg_temp.office('b') \g /dev/null
SET CONSTRAINTS ALL IMMEDIATE;
CREATE ROLE anna IN ROLE cordboard_admin_a;
GRANT anna TO CURRENT_USER;
SELECT is(t.as_role('anna', $$SELECT count(*) > 3, min(domain), max(domain) FROM pbx.event_next('all', 1000)$$), '(t,a,a)', 'a tenant reads what is his domain''s');
SELECT is(t.as_role('anna', $$SELECT count(*) FROM pbx.event_next('all', 1000, 'b')$$), 'new row violates row-level security policy for table "event_cursor"', 'not what is another''s');
SELECT is(t.as_role('anna', $$SELECT pbx.event_write('call.lost', 'a', NULL, NULL)$$), 'permission denied for table event_pending', 'and invents nothing');
SELECT is((SELECT domain FROM pbx.event_cursor WHERE cursor = 'all' AND id > 0 AND domain IS NOT NULL), 'a', 'how far he has come is his own');

SELECT * FROM finish();
ROLLBACK;

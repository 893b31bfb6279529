-- Why a call went as it did: sentences of decisions, calls that were refused at once, and what the record says.
BEGIN;
SELECT plan(26);

CREATE FUNCTION pg_temp.id(n integer) RETURNS uuid LANGUAGE sql AS $$ SELECT format('00000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION pg_temp.says(call integer) RETURNS SETOF text LANGUAGE sql AS $$ SELECT says FROM pbx.why(pg_temp.id(call)) $$;

-- sentences
INSERT INTO pbx.decision_kind (kind, sentence) VALUES ('t_plain', '{2} and {1}.'), ('t_optional', 'a[ b{1}][, c {2}]'), ('t_filters', '{1s} / {2r} / {3u}');
SELECT is(pbx.decision_says('t_plain', '{x,y}'), 'y and x.', 'texts are put in their places');
SELECT is(pbx.decision_says('t_plain', '{"{2}[1]{3}",""}'), ' and {2}[1]{3}.', 'once: what they say is no sentence');
SELECT is(pbx.decision_says('t_plain', '{}'), ' and .', 'those that are missing are empty');
SELECT is(pbx.decision_says('t_optional', '{"",z}'), 'a, c z', 'what has nothing to say is left out');
SELECT is(pbx.decision_says('t_filters', '{486,"SIP;cause=486;text=\"one\", Q.850;cause=17;text=\"two\"",no_answer}'), '486, busy / one, two / no answer',
	'statuses, reasons and words are made readable');
SELECT is(pbx.decision_says('t_filters', '{299,Q.850;cause=16,ok}'), '299 / Q.850;cause=16 / ok', 'as far as they can be');
SELECT is(pbx.decision_says('of_tomorrow', '{a,b}'), 'of_tomorrow: a, b', 'a kind of a newer server is told, too');
SELECT is_empty($$ SELECT kind FROM pbx.decision_kind WHERE is_of_leg AND sentence !~ '\{1\}' $$, 'decisions about legs say which');

-- a call that has ended
SELECT ok(pbx.outbox_take(pg_temp.id(101), 'cdr', format('{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "result": "answered",
	"hangup_by": "callee", "started_ms": 1700000000000, "answered_ms": 1700000004000, "ended_ms": 1700000064000, "duration_ms": 64000, "talk_ms": 60000,
	"decisions": [[0, "caller", "1001", "1002", "udp 192.0.2.1:5060", "password"], [0, "route", "1002", "office", "_1XXX", "4711"],
	[1, "ring", 2, "1002", "192.0.2.2:5060"], [4000, "answers", 2], [4000, "talks", 2, "PCMU"], [64000, "hangs_up", 2]], "legs": [
	{"leg": 1, "role": "caller", "peer": "1001", "started_ms": 1700000000000, "answered_ms": 1700000004000, "ended_ms": 1700000064000,
	 "packets_sent": 3000, "packets_received": 0, "dropped_source": 3000},
	{"leg": 2, "role": "callee", "peer": "1002", "number": "1002", "started_ms": 1700000000001, "answered_ms": 1700000004000, "ended_ms": 1700000064000,
	 "packets_sent": 0, "packets_received": 3000, "mos": 3.1, "mos_min": 1.5, "mos_min_at_ms": 1700000030000, "icmp_errors": 7, "remote_mos_min": 2.5}]}',
	pg_temp.id(1))::jsonb), 'a record with decisions');
SELECT is_empty($$ SELECT reason FROM pbx.outbox_refused $$, 'is taken');
SET LOCAL TimeZone = 'UTC';
SELECT results_eq($$ SELECT * FROM pg_temp.says(1) $$, ARRAY[
	'Call from 1001 at udp 192.0.2.1:5060 to 1002, known by its password.', '1002 takes the route _1XXX of context office (plan as of change 4711).',
	'1002 (leg 2) is called at 192.0.2.2:5060.', '1002 (leg 2) answers.', 'The caller talks with 1002 (leg 2), in PCMU.', '1002 (leg 2) hangs up.',
	'No sound ever came from the caller, or from elsewhere than it may.', 'The network said 7 times that sound can''t be delivered to 1002 (ICMP).',
	'Sound from 1002 was bad for a while: MOS 1.50 at the worst, at 22:13:50.', 'What 1002 heard was bad for a while: MOS 2.50 at the worst.',
	'Over after 64.0 s, of which they talked 60.0 s: answered, hung up by the callee.'], 'all of it, in sentences');
SELECT is((SELECT array_agg(extract(epoch FROM after)::numeric(9,3) ORDER BY n) FROM pbx.why(pg_temp.id(1)) WITH ORDINALITY AS w(after, says, n)),
	'{0,0,0.001,4,4,64,64,64,64,64,64}', 'with when it was');
SELECT results_eq($$ SELECT seq, at, kind, args FROM pbx.call_decision WHERE call = pg_temp.id(1) AND kind IN ('ring', 'answers') ORDER BY seq $$,
	$$ VALUES (3, '2023-11-14 22:13:20.001+00'::timestamptz, 'ring', '{2,1002,192.0.2.2:5060}'::text[]), (4, '2023-11-14 22:13:24+00', 'answers', '{2}') $$, 'and as rows');

-- one without decisions, of an older server
SELECT ok(pbx.outbox_take(pg_temp.id(102), 'cdr', format('{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "result": "busy",
	"started_ms": 1700000000000, "ended_ms": 1700000001500, "legs": []}', pg_temp.id(2))::jsonb), 'a record without any');
SELECT results_eq($$ SELECT * FROM pg_temp.says(2) $$, ARRAY['Over after 1.5 s, never answered: busy.'], 'says how it ended');

-- refused
SELECT ok(pbx.outbox_take(pg_temp.id(103), 'refused', format('{"call": "%s", "domain": "office", "caller": "0900", "dialled": "1002", "source": "192.0.2.9:5060",
	"started_ms": 1700000000000, "status": 603, "decisions": [[0, "caller", "0900", "1002", "udp 192.0.2.9:5060", "address", "telco"], [0, "blocked", "0900", "_09."]]}',
	pg_temp.id(3))::jsonb), 'a refusal');
SELECT results_eq($$ SELECT call, domain, caller, dialled, source, status, why FROM pbx.refused_call $$,
	$$ VALUES (pg_temp.id(3), 'office', '0900', '1002', '192.0.2.9:5060', 603, '0900 is a blocked caller (pattern _09.).') $$, 'is seen with its reason');
SELECT results_eq($$ SELECT * FROM pg_temp.says(3) $$, ARRAY['Call from 0900 over trunk telco at udp 192.0.2.9:5060 to 1002, known by its address.',
	'0900 is a blocked caller (pattern _09.).'], 'and told');

-- in progress
INSERT INTO pbx.node (node) VALUES ('n1') ON CONFLICT (node) DO UPDATE SET seen = now();
SELECT lives_ok($$ SELECT pbx.live_write('n1', false, format('[{"call": "%s", "domain": "office", "caller": "1001", "dialled": "1002", "context": "office",
	"started_ms": 1700000000000, "decisions": [[0, "caller", "1001", "1002", "udp 192.0.2.1:5060", "password"], [5, "cant_ring", 2, "1002", "no way"]]}]', pg_temp.id(4))::jsonb,
	'[]', '{}', '{}') $$, 'a call goes on');
SELECT results_eq($$ SELECT * FROM pg_temp.says(4) $$, ARRAY['Call from 1001 at udp 192.0.2.1:5060 to 1002, known by its password.',
	'1002 (leg 2) can''t be called: no way.', 'The call is still in progress.'], 'and is told so far');
SELECT alike((SELECT string_agg(s, '') FROM pg_temp.says(5) AS s), 'There is no such call%', 'one that isn''t there is not made up');

-- kept
SELECT results_eq($$ SELECT keep FROM pbx.retention WHERE what = 'why' $$, $$ VALUES (interval '90 days') $$, 'decisions are kept for three months');
UPDATE pbx.decision_log SET started = now() - interval '89 days' WHERE call = pg_temp.id(1);
SELECT is((SELECT removed FROM pbx.housekeeping() WHERE what = 'why'), 1::bigint, 'and then removed');
SELECT results_eq($$ SELECT call FROM pbx.decision_log $$, $$ VALUES (pg_temp.id(1)) $$, 'the younger stay');

SELECT pbx.partition_make('pbx.decision_log', 'day', now() - interval '100 days') \g /dev/null
UPDATE pbx.decision_log SET started = now() - interval '95 days';
SELECT is((SELECT removed FROM pbx.housekeeping() WHERE what = 'why'), 1::bigint, 'days go whole');
SELECT is((SELECT count(*) FROM pg_inherits WHERE inhparent = 'pbx.decision_log'::regclass AND inhrelid::regclass::text < 'pbx_part.decision_log_' || to_char(now() - interval '91 days', 'YYYYMMDD')),
	0::bigint, 'with their tables');

SELECT * FROM finish();
ROLLBACK;

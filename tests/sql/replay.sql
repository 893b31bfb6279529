-- Past calls by a draft: those that would go elsewhere, and no others.
BEGIN;
SELECT plan(19);

INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'lobby', 'sip:192.0.2.1'), ('office', 'spare', 'lobby', 'sip:192.0.2.2');
INSERT INTO pbx.inbound_number VALUES ('4311000', 'office', '400');
INSERT INTO pbx.schedule VALUES ('office', 'day');
INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '08:00', '17:00' FROM generate_series(1, 5) AS n;
INSERT INTO pbx.context VALUES ('office', 'wide');
INSERT INTO pbx.context_include VALUES ('office', 'office', 2, 'wide');
-- Patterns that hide each other, by day and by night.
INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'wide', p FROM unnest('{_2.,_2XX,_21X,215,_3[1-5]X,_3!,310,_9.}'::text[]) AS p;
INSERT INTO pbx.step SELECT 'office', 'wide', pattern, 1, 'dial', jsonb_build_object('number', (1001 + row_number() OVER (ORDER BY pattern))::text) FROM pbx.route WHERE context = 'wide' AND pattern <> '_9.';
INSERT INTO pbx.step VALUES ('office', 'wide', '_9.', 1, 'dial', '{"number": "${number:1}", "trunk": "isp"}', 'schedule=day'), ('office', 'wide', '_9.', 2, 'hangup', '{}', 'schedule!=day');
SET CONSTRAINTS ALL IMMEDIATE;
SELECT t.initially();

-- A month of calls: who may dial what, numbers of all kinds, by day and night; and what the dialplan says of each as it is.
INSERT INTO pbx.cdr (call, domain, caller, dialled, context, route, started, ended, result, duration_ms)
SELECT md5('call' || n)::uuid, 'office', (1001 + n % 10)::text, (ARRAY['2', '21', '215', '230', '2301', '3', '310', '312', '360', '1004', '400', '90664', '9112', '999999', '77'])[1 + n * 7 % 15], '', '',
	'2026-10-01 00:30+00'::timestamptz + n * interval '67 minutes', '2026-12-01', 'answered', 0 FROM generate_series(1, 600) AS n;
CREATE FUNCTION pg_temp.used(pattern text) RETURNS SETOF uuid LANGUAGE sql AS $$
	SELECT c.call FROM pbx.cdr AS c, pbx.explain('office', c.caller, c.dialled, c.started) AS e WHERE e.what = 'candidate' AND e.holds AND e.pattern = $1 $$;
CREATE FUNCTION pg_temp.draft(statement text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN DELETE FROM pbx.draft; PERFORM pbx.draft_record('office', 'd', statement); END $$;
CREATE FUNCTION pg_temp.elsewhere() RETURNS SETOF uuid LANGUAGE sql AS $$ SELECT call FROM pbx.replay_calls('office', 'd', '2026-10-01', '2026-12-01') $$;

SELECT pg_temp.draft($$ UPDATE pbx.route SET name = 'other' $$);
SELECT is_empty($$ SELECT * FROM pbx.replay('office', 'd', '2026-10-01', '2026-12-01') $$, 'a draft that leads nowhere else: none');
SELECT pg_temp.draft($$ SELECT 1 $$);
SELECT is_empty($$ SELECT * FROM pbx.replay('office', 'd', '2026-10-01', '2026-12-01') $$, 'an empty one: none');

-- One route after the other is led elsewhere.
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = '{"number": "1001"}', app = 'dial', condition = NULL WHERE context = 'wide' AND position = 1 AND pattern = '_2.' $$);
SELECT cmp_ok((SELECT count(*) FROM pg_temp.used('_2.')), '>', 20::bigint, 'calls that used one route');
SELECT set_eq('SELECT pg_temp.elsewhere()', $$ SELECT pg_temp.used('_2.') $$, 'led elsewhere: just those');
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = '{"number": "1001"}' WHERE context = 'wide' AND pattern = '_2XX' $$);
SELECT set_eq('SELECT pg_temp.elsewhere()', $$ SELECT pg_temp.used('_2XX') $$, 'a more specific one');
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = '{"number": "1001"}' WHERE context = 'wide' AND pattern = '215' $$);
SELECT set_eq('SELECT pg_temp.elsewhere()', $$ SELECT pg_temp.used('215') $$, 'a number');
SELECT pg_temp.draft($$ DELETE FROM pbx.route WHERE pattern = '_3!' $$);
SELECT set_eq('SELECT pg_temp.elsewhere()', $$ SELECT pg_temp.used('_3!') $$, 'one that goes');
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = '{"number": "1001"}' WHERE context = 'wide' AND pattern = '_21X' $$);
SELECT is_empty('SELECT pg_temp.elsewhere()', 'one that nobody used');

-- A schedule
SELECT pg_temp.draft($$ UPDATE pbx.schedule_period SET from_time = '09:00' $$);
SELECT set_eq('SELECT pg_temp.elsewhere()', $$ SELECT call FROM pbx.cdr WHERE dialled LIKE '9_%' AND caller <> '1010' AND extract(isodow FROM started) < 6 AND started::time >= '08:00' AND started::time < '09:00' $$,
	'shorter hours: the calls of the first');
SELECT cmp_ok((SELECT count(*) FROM pg_temp.elsewhere()), '>', 0::bigint, 'which there are');

-- In groups
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = args || '{"trunk": "spare"}' WHERE pattern = '_9.' AND position = 1 $$);
SELECT results_eq($$ SELECT was, becomes, dialled FROM pbx.replay('office', 'd', '2026-10-01', '2026-12-01') $$, $$ VALUES ('trunk isp', 'trunk spare', '{90664,9112,999999}'::text[]) $$, 'grouped by the way, whatever the number');
SELECT is((SELECT sum(calls)::bigint FROM pbx.replay('office', 'd', '2026-10-01', '2026-12-01')), (SELECT count(*) FROM pg_temp.elsewhere()), 'each call in one');
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = args || '{"number": "0${number:1}"}' WHERE pattern = '_9.' AND position = 1 $$);
SELECT ok('{"trunk isp 0664 -> trunk isp 00664"}' <@ array_agg(was || ' -> ' || becomes), 'unless that is what is different') FROM pbx.replay('office', 'd', '2026-10-01', '2026-12-01');
SELECT is_empty($$ SELECT * FROM pbx.replay('office', 'd', '2026-12-01', '2026-12-31') $$, 'of that time alone');

-- Many: ten thousand took half a minute when they were joined minute by minute, and take half a second.
SELECT pg_temp.draft($$ UPDATE pbx.step SET args = '{"number": "1001"}' WHERE pattern = '_10XX' AND position = 1 $$);
INSERT INTO pbx.cdr (call, domain, caller, dialled, started, ended, result, duration_ms)
SELECT md5('many' || n)::uuid, 'office', '1003', '1002', '2026-08-01'::timestamptz + n * interval '1 minute', '2026-12-01', 'answered', 0 FROM generate_series(1, 10000) AS n;
SET LOCAL statement_timeout = '20s';
SELECT results_eq($$ SELECT calls, becomes FROM pbx.replay('office', 'd', '2026-08-01', '2026-09-01') $$, $$ VALUES (10000::bigint, 'extension 1001 > voicemail 1002') $$, 'many calls');
RESET statement_timeout;

-- From outside
DELETE FROM pbx.cdr;
INSERT INTO pbx.cdr (call, domain, caller, dialled, started, ended, result, duration_ms)
SELECT md5('in' || n)::uuid, 'office', '06641' || n, '4311000', '2026-10-05 10:00+00', '2026-12-01', 'answered', 0 FROM generate_series(1, 3) AS n;
INSERT INTO pbx.decision_log (call, domain, started, caller, dialled, decisions)
SELECT call, domain, started, caller, dialled, jsonb_build_array(jsonb_build_array(0, 'caller', caller, dialled, 'udp 192.0.2.1:5060', 'address', 'isp')) FROM pbx.cdr;
SELECT pg_temp.draft($$ UPDATE pbx.inbound_number SET target = '1001'; INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '066412') $$);
SELECT results_eq($$ SELECT calls, was, becomes, callers FROM pbx.replay('office', 'd', '2026-10-01', '2026-12-01') $$,
	$$ VALUES (2::bigint, 'menu 400', 'extension 1001 > voicemail 1001', '{066411,066413}'::text[]), (1, 'menu 400', 'blocked 603', '{066412}') $$, 'by the trunk that brought it');

-- A tenant's own draft
\ir office.psql
SELECT pg_temp.office('a'), pg_temp.office('b');
CREATE ROLE anna IN ROLE cordboard_admin_a;
GRANT anna TO CURRENT_USER;
SELECT is(t.as_role('anna', $$ SELECT string_agg(row_name, ' ') FROM pbx.draft_record('a', 'mine', 'UPDATE pbx.mailbox SET max_messages = 7; UPDATE pbx.trunk SET call_limit = 5; UPDATE pbx.route SET name = ''x''') $$),
	'("mailbox a/101 trunk a/gw route a/office/_1XX")', 'of his rows, also of those with secrets');
SELECT is(t.as_role('anna', $$ SELECT pbx.activate('a', 'mine', override => true) $$), '(2)', 'is activated');
SELECT results_eq($$ SELECT domain, max_messages, pin_hash IS NOT NULL FROM pbx.mailbox WHERE domain IN ('a', 'b') ORDER BY domain $$, $$ VALUES ('a', 7, true), ('b', 100, true) $$, 'with his PIN as it was, and nothing of another''s');

SELECT * FROM finish();
ROLLBACK;

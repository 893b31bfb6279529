-- Tests of the dialplan, drafts that are tried and activated, versions.
BEGIN;
SELECT plan(46);

CREATE FUNCTION pg_temp.goes(caller text, number text, at timestamptz DEFAULT '2026-11-23 10:00+00', from_number text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT pbx.outcome('office', caller, number, at, from_number) $$;
CREATE FUNCTION pg_temp.all_rows() RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(query_to_xml(format('SELECT * FROM pbx.%I AS x ORDER BY x', tab), true, true, '')::text, '' ORDER BY tab))
	FROM unnest('{domain,context,context_include,extension,forward,mailbox,credential,ring_group,ring_group_member,menu,menu_choice,route,step,number,schedule,schedule_period,trunk}'::text[]) AS tab
$$;

-- where calls go
INSERT INTO pbx.trunk (domain, name, context, uri, enabled) VALUES ('office', 'isp', 'lobby', 'sip:192.0.2.1', true), ('office', 'spare', 'lobby', 'sip:192.0.2.2', true), ('office', 'old', 'lobby', NULL, false);
INSERT INTO pbx.trunk_group VALUES ('office', 'out');
INSERT INTO pbx.trunk_group_member VALUES ('office', 'out', 'isp', 1), ('office', 'out', 'spare', 2);
INSERT INTO pbx.schedule VALUES ('office', 'day');
INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '08:00', '17:00' FROM generate_series(1, 5) AS n;
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_8.'), ('office', 'office', '_9.'), ('office', 'office', '650'), ('office', 'office', '651'), ('office', 'office', '652'), ('office', 'office', '653');
INSERT INTO pbx.step VALUES ('office', 'office', '_8.', 1, 'dial', '{"number": "${number:1}", "trunk": "out"}', NULL), ('office', 'office', '_9.', 1, 'dial', '{"number": "${number:1}", "trunk": "old"}', NULL),
	('office', 'office', '650', 1, 'answer', '{}', NULL), ('office', 'office', '650', 2, 'goto', '{"number": "410"}', 'schedule=day'), ('office', 'office', '650', 3, 'hangup', '{}', 'schedule!=day'),
	('office', 'office', '651', 1, 'answer', '{}', NULL), ('office', 'office', '651', 2, 'wait', '{"seconds": 1}', NULL), ('office', 'office', '652', 1, 'dial', '{"number": "1002&1003"}', NULL),
	('office', 'office', '652', 2, 'dial', '{"number": "1004"}', 'result=busy');
INSERT INTO pbx.forward VALUES ('office', '1008', 'always', '400'), ('office', '1009', 'always', '1001');
UPDATE pbx.extension SET enabled = false WHERE number = '1007';
UPDATE pbx.extension SET call_limit = 0 WHERE number = '1006';
INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_0900.');
SELECT is(pg_temp.goes(c, n), w, d) FROM (VALUES
	('1001', '1002', 'extension 1002 > voicemail 1002', 'an extension, then its mailbox'),
	('1001', '410', 'extension 1004 & extension 1005 & extension 1006', 'a group'),
	('1001', '652', 'extension 1002 & extension 1003 > extension 1004', 'two at once, then another'),
	('1001', '1007', 'extension 1007 (off) > voicemail 1007', 'one that isn''t enabled'),
	('1001', '1009', 'extension 1001 > voicemail 1009', 'a forward'),
	('1001', '1008', 'menu 400 > voicemail 1008', 'a forward to a menu'),
	('1001', '600', 'echo', 'an application'), ('1001', '*97', 'voicemail_menu 1001', 'with an argument'), ('1001', '651', 'answer > wait', 'nothing but preparations'), ('1001', '653', 'nothing', 'no steps'),
	('1001', '80664', 'trunk isp 0664 > trunk spare 0664', 'a group of trunks'), ('1001', '90664', 'trunk old 0664 (off)', 'a trunk that takes no calls'),
	('1001', '650', 'extension 1004 & extension 1005 & extension 1006', 'by day'), ('1010', '400', 'nowhere', 'not for him'), ('1006', '600', 'refused > echo', 'who may make no calls')) AS v(c, n, w, d);
SELECT is(pg_temp.goes('1001', '650', '2026-11-22 10:00+00'), 'hangup', 'on Sunday');
SELECT is(pg_temp.goes('isp', '1001', from_number => '09001'), 'blocked 603', 'a blocked caller');
SELECT ok(pbx.outcome_is('trunk isp 0664 > trunk spare 0664', 'trunk isp') AND pbx.outcome_is('a 1 > b', 'a 1 > b') AND NOT pbx.outcome_is('a 1 > b', 'a > c') AND NOT pbx.outcome_is('a', 'a > b')
	AND NOT pbx.outcome_is('extension 10012', 'extension 1001') AND NOT pbx.outcome_is('extension 1001 (off)', 'extension 1001') AND NOT pbx.outcome_is('x > a', 'a'), 'its beginning is enough');

-- tests
INSERT INTO pbx.dialplan_test (domain, name, caller, number, at, expected) VALUES
	('office', 'echo', '1001', '600', NULL, 'echo'), ('office', 'night', NULL, '650', '2026-11-22 10:00+00', 'hangup'), ('office', 'out', '1001', '80664', NULL, 'trunk isp');
SELECT results_eq($$ SELECT * FROM pbx.dialplan_test_run('office') $$, $$ VALUES ('echo', true, 'echo', 'echo'), ('night', true, 'hangup', 'hangup'), ('out', true, 'trunk isp', 'trunk isp 0664 > trunk spare 0664') $$, 'tests pass');
INSERT INTO pbx.dialplan_test (domain, name, caller, number, expected) VALUES ('office', 'who', '1999', '600', 'echo');
SELECT results_eq($$ SELECT passed, got FROM pbx.dialplan_test_run('office', 'who') $$, $$ VALUES (false, 'there is no caller 1999') $$, 'a caller that isn''t there fails one');
DELETE FROM pbx.dialplan_test WHERE name = 'who';

-- a draft
SELECT set_config('t.rows', pg_temp.all_rows(), true);
SELECT results_eq($$ SELECT what, row_name FROM pbx.draft_record('office', 'new', 'INSERT INTO pbx.extension (domain, number) VALUES (''office'', ''1020''); INSERT INTO pbx.mailbox (domain, number) VALUES (''office'', ''1020'');
		UPDATE pbx.step SET args = ''{"number": "1020"}'' WHERE pattern = ''652'' AND position = 1') $$,
	$$ VALUES ('new', 'extension office/1020'), ('new', 'mailbox office/1020'), ('changed', 'step office/office/652/1') $$, 'what statements would change');
SELECT is(pg_temp.all_rows(), current_setting('t.rows'), 'isn''t changed');
SELECT is_empty($$ SELECT FROM pbx.change_pending WHERE keys && '{office/1020}' $$, 'nor told');
SELECT is((SELECT count(*) FROM pbx.draft_record('office', 'new', $$ UPDATE pbx.extension SET number = '1021' WHERE number = '1020'; UPDATE pbx.step SET args = '{"number": "1021"}' WHERE pattern = '652' AND position = 1 $$)), 3::bigint, 'more on top of it');
SELECT is((SELECT string_agg(detail, '; ') FROM pbx.draft_explain('office', 'new', '1001', '652') WHERE what = 'target'), 'extension 1021: no phone is registered; extension 1004: no phone is registered', 'explain in the draft');
SELECT is(pg_temp.goes('1001', '652'), 'extension 1002 & extension 1003 > extension 1004', 'and not in it');
SELECT results_eq($$ SELECT q ->> 'number' FROM pbx.draft_query('office', 'new', 'SELECT number FROM pbx.mailbox WHERE number > ''1010''') AS q $$, $$ VALUES ('1021') $$, 'any query in it');
SELECT results_eq($$ SELECT name, passed FROM pbx.draft_test('office', 'new') $$, $$ VALUES ('echo', true), ('night', true), ('out', true) $$, 'tests in it');

-- refused
SELECT throws_like($$ SELECT pbx.draft_record('office', 'bad', 'DELETE FROM pbx.extension WHERE number = ''1001''') $$, '%: dialling 1001 takes route _10XX of context lobby, and there is no 1001', 'nonsense is told at once, not at COMMIT');
SELECT throws_like($$ SELECT pbx.draft_record('office', 'bad', 'SELECT pbx.set_password(''office'', ''1001'', ''x'')') $$, 'credential office/1001: ha1_md5 is not kept in drafts', 'a password isn''t written down');
SELECT throws_like($$ SELECT pbx.draft_record('office', 'bad', 'DELETE FROM pbx.tone_plan WHERE plan = ''at''') $$, 'tone_plan at: it doesn''t belong to domain office', 'what is no domain''s neither');
SELECT throws_like($$ SELECT pbx.draft_explain('office', 'none', '1001', '652') $$, 'domain office has no draft ''none''', 'no such draft');

-- activated
SELECT is(pbx.activate('office', 'new', note => 'a new colleague'), 1, 'it becomes version 1');
SELECT is(pg_temp.goes('1001', '652'), 'extension 1021 > extension 1004', 'it is so');
SELECT results_eq($$ SELECT version, draft, note, overridden, back_to, changes FROM pbx.dialplan_version $$, $$ VALUES (1, 'new', 'a new colleague', '{}'::text[], NULL::integer, 3) $$, 'which is recorded');
SELECT is_empty($$ SELECT FROM pbx.draft $$, 'and the draft is gone');

-- by tests only
SELECT pbx.draft_record('office', 'cut', $$ DELETE FROM pbx.step WHERE pattern = '_8.' $$);
SELECT throws_like($$ SELECT pbx.activate('office', 'cut') $$, 'tests fail: out: expected trunk isp, got nothing', 'refused when a test fails');
SELECT is(pg_temp.goes('1001', '80664'), 'trunk isp 0664 > trunk spare 0664', 'then nothing is changed');
SELECT is(pbx.activate('office', 'cut', override => true), 2, 'unless overridden');
SELECT results_eq($$ SELECT new ->> 'overridden' FROM pbx.audit WHERE "table" = 'dialplan_version' ORDER BY id DESC LIMIT 1 $$, $$ VALUES ('["out"]') $$, 'which is in the audit');

-- and back
SELECT pbx.draft_record('office', 'third', $$ UPDATE pbx.step SET args = '{"number": "1005"}' WHERE pattern = '652' AND position = 1 $$);
SELECT pbx.activate('office', 'third', override => true);
CREATE FUNCTION pg_temp.now_goes() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN pg_temp.goes('1001', '652') || ', ' || pg_temp.goes('1001', '80664'); END $$;
SELECT is(pbx.rollback('office', 0) || ' ' || (pg_temp.all_rows() = current_setting('t.rows'))::text, '4 true', 'back to what was before all of them, at once');
SELECT is(pbx.rollback('office', 3) || ' ' || pg_temp.now_goes(), '5 extension 1005 > extension 1004, nothing', 'and forth');
SELECT is(pbx.rollback('office') || ' ' || pg_temp.now_goes(), '6 extension 1021 > extension 1004, nothing', 'back by one');
SELECT is(pbx.rollback('office') || ' ' || pg_temp.now_goes(), '7 extension 1021 > extension 1004, trunk isp 0664 > trunk spare 0664', 'and by one more');
SELECT throws_like($$ SELECT pbx.rollback('office', 9) $$, 'domain office has no version 9 to go back to', 'not to what isn''t');
SELECT throws_like($$ UPDATE pbx.step SET args = '{"number": "1003"}' WHERE pattern = '652' AND position = 1; SELECT pbx.rollback('office') $$,
	'rows were changed since: step office/office/652/1: it was changed: args {"number": "1021"} -> {"number": "1003"}', 'not over what was changed otherwise');

SELECT * FROM finish();
ROLLBACK;

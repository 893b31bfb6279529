-- Schedules: office hours, holidays, the night switch; conditions that ask for them.
BEGIN;
SELECT plan(36);

UPDATE pbx.domain SET timezone = 'Europe/Vienna';
SELECT t.accepted($$ INSERT INTO pbx.schedule VALUES ('office', 'day');
	INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '08:30', '12:00' FROM generate_series(1, 5) AS n;
	INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '13:00', '24:00' FROM generate_series(1, 4) AS n;
	INSERT INTO pbx.schedule_holiday VALUES ('office', 'day', '2026-12-24', true, 'Christmas Eve', '09:00', '10:00'), ('office', 'day', '2026-12-08', false, 'Closed', NULL, NULL) $$, 'office hours');
SELECT is(pbx.schedule_is_open('office', 'day', at::timestamptz), is_open, at) FROM (VALUES
	('2026-11-23 08:29:59+01', false), ('2026-11-23 08:30+01', true), ('2026-11-23 11:59:59+01', true), ('2026-11-23 12:00+01', false),
	('2026-11-23 23:59:59+01', true), ('2026-11-27 14:00+01', false), ('2026-11-22 10:00+01', false),
	('2026-07-01 06:30+00', true), ('2026-07-01 06:29+00', false), -- summer time
	('2026-12-08 10:00+01', false), ('2027-12-08 10:00+01', true), ('2026-12-24 09:30+01', true), ('2026-12-24 10:30+01', false), ('2029-12-24 09:30+01', true)) AS v(at, is_open);
SELECT is(pbx.schedule_is_open('office', 'nope'), NULL, 'one that isn''t there');
SELECT t.refused($$ INSERT INTO pbx.schedule_period VALUES ('office', 'day', 1, '11:00', '12:30') $$, 'schedule office/day: its periods from 11:00:00 to 12:30:00 and from 08:30:00 to 12:00:00 on weekday 1 overlap', 'periods don''t overlap');
SELECT t.refused($$ INSERT INTO pbx.schedule_period VALUES ('office', 'day', 6, '12:00', '11:00') $$, '%it_ends_after_it_begins%', 'nor end before they begin');
SELECT t.refused($$ INSERT INTO pbx.schedule_period VALUES ('office', 'day', 6, '12:00:30', '13:00') $$, '%times_are_whole_minutes%', 'to the minute');
SELECT t.refused($$ INSERT INTO pbx.schedule_period VALUES ('office', 'day', 8, '12:00', '13:00') $$, '%weekday_check%', 'a week has seven days');
SELECT t.refused($$ INSERT INTO pbx.schedule VALUES ('office', 'night', '', 'Europe/Nowhere') $$, '%timezone_is_known%', 'a time zone there is');

SELECT is(pbx.schedule_switch('office', 'day', 'closed'), 'closed', 'the night switch');
SELECT is(pbx.schedule_is_open('office', 'day', '2026-11-23 10:00+01'), false, 'closes');
SELECT is(pbx.schedule_switch('office', 'day'), 'auto', 'and back');
SELECT is(pbx.schedule_switch('office', 'day', 'open'), 'open', 'or opens');
UPDATE pbx.schedule SET override_until = '2026-11-22 12:00+01';
SELECT is(pbx.schedule_is_open('office', 'day', '2026-11-22 11:59+01'), true, 'for a time');
SELECT is(pbx.schedule_is_open('office', 'day', '2026-11-22 12:00+01'), false, 'that ends');
SELECT throws_like($$ SELECT pbx.schedule_switch('office', 'nope') $$, 'there is no schedule office/nope', 'one that isn''t there isn''t switched');
SELECT throws_like($$ SELECT pbx.schedule_switch('office', 'day', 'perhaps') $$, 'a schedule is switched to %', 'nor to what isn''t');
UPDATE pbx.schedule SET override = 'auto';

SELECT t.accepted($$ UPDATE pbx.step SET condition = 'schedule=day' WHERE pattern = '700' $$, 'a step asks for it');
SELECT t.refused($$ UPDATE pbx.step SET condition = 'caller=1 and schedule!=day, night' WHERE pattern = '700' $$, 'step office/office/700/1: there is no schedule ''night''', 'not for one that isn''t there');
SELECT t.refused($$ DELETE FROM pbx.schedule $$, 'step office/office/700/1: there is no schedule ''day''', 'one that is asked for stays');
SELECT t.refused($$ UPDATE pbx.schedule SET schedule = 'hours' $$, 'step office/office/700/1: there is no schedule ''day''', 'and keeps its name');

SELECT results_eq($$ SELECT pbx.condition_holds(c, '{"caller": "1001", "x": ""}', 'office', '2026-11-23 10:00+01') FROM unnest(ARRAY[NULL, 'schedule=day', 'schedule!=day',
	'schedule=no,day and caller=_10XX', 'caller!=1001', 'result=busy', 'result=busy and caller=1', 'result=busy and caller=1001', 'x!=1 and y!=1', 'x=_.', 'rubbish']) AS c $$,
	ARRAY[true, true, false, true, false, NULL, false, NULL, true, false, false], 'conditions at a time');
SELECT results_eq($$ SELECT * FROM pbx.condition_terms(' result = busy , no_answer and caller!=1001 and and=and') $$,
	$$ VALUES ('result', false, '{busy,no_answer}'::text[]), ('caller', true, '{1001}'), ('and', false, '{and}') $$, 'terms');
SELECT t.accepted($$ DELETE FROM pbx.domain $$, 'a domain goes with all it has');
SELECT * FROM finish();
ROLLBACK;

-- Tone plans, and how digits travel.
BEGIN;
SELECT plan(19);

SELECT ok((SELECT count(*) FROM pbx.tone_plan WHERE plan ~ '^..$') >= 20, 'there are plans of twenty countries');
SELECT is((SELECT DISTINCT tones FROM pbx.domain), 'itu', 'a domain has that of E.180');
SELECT is(ringback, '425/1000/4000', 'which rings a second in five') FROM pbx.tone_plan WHERE plan = 'itu';
SELECT is(ringback, '400+450/400/200 400+450/400/2000', 'Britain rings twice') FROM pbx.tone_plan WHERE plan = 'gb';
SELECT lives_ok($$ UPDATE pbx.domain SET tones = 'gb' $$, 'another country is chosen');
SELECT t.refused($$ UPDATE pbx.domain SET tones = 'xx' $$, '%foreign key%', 'of those that there are');
SELECT t.refused($$ DELETE FROM pbx.tone_plan WHERE plan = 'gb' $$, '%foreign key%', 'one that is in use stays');
SELECT lives_ok($$ INSERT INTO pbx.tone_plan SELECT 'house', 'Ours', dial, '500', busy, congestion, call_waiting, special_information FROM pbx.tone_plan WHERE plan = 'de' $$, 'one of one''s own');
SELECT t.refused($$ UPDATE pbx.tone_plan SET busy = 'beep' WHERE plan = 'house' $$, '%tone_plan_busy_check%', 'a cadence is one');
SELECT t.refused($$ UPDATE pbx.tone_plan SET plan = 'A plan' WHERE plan = 'house' $$, '%tone_plan_plan_check%', 'a plan has a short name');
-- the rows of tests/unit/test_cadence.c
SELECT is_empty($$ SELECT c FROM unnest('{425,350+440,400*25,425/500/500,400+450/400/200 400*17/400/2000,950/330 1400/330 1800/330/1000,
	425/1 425/1 425/1 425/1 425/1 425/1 425/1 425/65535/65535}'::text[]) AS c WHERE NOT pbx.is_cadence(trim(both E'\n\t' from c)) $$, 'these are cadences');
SELECT is_empty($$ SELECT c FROM unnest(ARRAY['', ' ', 'a', '0', '00', '000/500/500', '425/1 00/1', '425/', '425/0/500', '425/65536/1', '425/1/65536', '425+', '+425', '425/1/1/1', '425 425/1',
	'425/1 425', '425/1  425/1', '425/1 ', '425,425', '-425', '425/1 425/1 425/1 425/1 425/1 425/1 425/1 425/1 425/1']) AS c WHERE pbx.is_cadence(c) $$,
	'these aren''t');
SELECT is(pbx.is_cadence(NULL), false, 'nor is nothing');

SELECT is((SELECT DISTINCT dtmf FROM pbx.extension), 'auto', 'digits find their way');
SELECT lives_ok(format($$ UPDATE pbx.extension SET dtmf = %L WHERE number = '1001' $$, w), 'or go by ' || w) FROM unnest('{rfc4733,info,inband}'::text[]) AS w;
SELECT t.refused($$ UPDATE pbx.extension SET dtmf = 'smoke' WHERE number = '1001' $$, '%extension_dtmf_check%', 'but not by smoke');
SELECT t.refused($$ INSERT INTO pbx.trunk (domain, name, context, dtmf) VALUES ('office', 'isp', 'lobby', 'smoke') $$, '%trunk_dtmf_check%', 'nor outside');

SELECT * FROM finish();
ROLLBACK;

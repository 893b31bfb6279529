-- explain tells the whole decision.
BEGIN;
SELECT plan(11);

CREATE FUNCTION pg_temp.told(caller text, number text, at text DEFAULT '2026-11-23 10:00+00', from_number text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', depth, what, context, pattern, position, app, '[' || condition || ']', CASE holds WHEN true THEN '+' WHEN false THEN '-' ELSE '?' END,
		'(' || detail || ')'), E'\n' ORDER BY n)
	FROM pbx.explain('office', caller, number, at::timestamptz, from_number) WITH ORDINALITY AS e(depth, what, context, pattern, position, app, args, condition, holds, detail, n)
$$;

SELECT is(pg_temp.told('1010', '1002'), $$0 caller lobby + (extension 1010)
1 candidate lobby _10XX 1 + (Extensions)
1 step lobby _10XX 1 dial +
1 target - (extension 1002: no phone is registered)
1 step lobby _10XX 2 voicemail [result=busy,no_answer,unavailable,declined] ?
1 target + (voicemail 1002)$$, 'a plain call');
SELECT is(pg_temp.told('1010', '400'), $$0 caller lobby + (extension 1010)
1 nowhere lobby - (no route of context lobby matches 400)$$, 'one that he may not make');

INSERT INTO pbx.schedule VALUES ('office', 'day');
INSERT INTO pbx.schedule_period SELECT 'office', 'day', n, '08:00', '17:00' FROM generate_series(1, 5) AS n;
INSERT INTO pbx.trunk (domain, name, context, uri, call_limit) VALUES ('office', 'isp', 'lobby', 'sip:192.0.2.1', 30);
INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_8.', 'Wide'), ('office', 'office', '_8XX', 'Narrow');
INSERT INTO pbx.step VALUES ('office', 'office', '_8XX', 1, 'dial', '{"number": "1${number}"}', 'schedule=day'),
	('office', 'office', '_8XX', 2, 'goto', '{"number": "410"}', 'schedule!=day'), ('office', 'office', '_8XX', 3, 'dial', '{"number": "${number}", "trunk": "isp"}', 'result=busy');
SELECT is(pg_temp.told(NULL, '802'), $$0 caller office + (anybody)
1 candidate office _8XX 1 + (Narrow)
1 candidate office _8. 2 - (Wide)
1 step office _8XX 1 dial [schedule=day] +
1 target - (1802 is no extension)
1 step office _8XX 2 goto [schedule!=day] -
1 step office _8XX 3 dial [result=busy] ?
1 limit ? (trunk isp has 30 calls at once)
1 target + (802 by trunk isp: sip:192.0.2.1)$$, 'candidates, a schedule that is open, limits');
SELECT alike(pg_temp.told(NULL, '802', '2026-11-22 10:00+00'), $$%1 step office _8XX 1 dial [schedule=day] -
1 step office _8XX 2 goto [schedule!=day] +
2 candidate office 410 1 +%
2 step office 410 1 dial_group +
2 target - (extension 1004: %2 target - (extension 1006: %1 step office _8XX 3 dial%$$, 'on Sunday it goes on elsewhere');

-- forwards
INSERT INTO pbx.forward VALUES ('office', '1002', 'always', '1003', true), ('office', '1003', 'busy', '1005', true), ('office', '1004', 'always', '400', true), ('office', '1003', 'no_answer', '1004', false);
UPDATE pbx.extension SET call_limit = 2 WHERE number = '1003';
SELECT alike(pg_temp.told('1010', '1002'), $$%1 forward office [always] + (extension 1002 forwards to 1003)
1 limit ? (extension 1003 has 2 calls at once)
1 target - (extension 1003: no phone is registered)
1 forward office [busy] ? (extension 1003 forwards to 1005)
1 step lobby _10XX 2 %$$, 'forwards are followed');
SELECT alike(pg_temp.told('1010', '1004'), $$%1 forward office [always] + (extension 1004 forwards to 400)
2 candidate office 400 1 +%
2 step office 400 1 menu +
2 target + (menu 400)
1 step lobby%$$, 'by the class of service of who forwards');

-- from outside
INSERT INTO pbx.inbound_number VALUES ('_43123XXXX', 'office', '${number:5}');
INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_0900.');
SELECT alike(pg_temp.told('isp', '431231001', from_number => '0664'), $$0 caller lobby + (trunk isp)
0 inbound office _43123XXXX + (431231001 leads to 1001)
0 limit ? (trunk isp has 30 calls at once)
1 candidate lobby _10XX 1 +%$$, 'a public number');
SELECT is(pg_temp.told('isp', '431231001', from_number => '09001'), $$0 caller lobby + (trunk isp)
0 blocked _0900. + (09001 is blocked and told 603)$$, 'a blocked caller');
SELECT alike(pg_temp.told('isp', '9'), $$%1 nowhere lobby - (no route of context lobby matches 9)$$, 'a number that isn''t there');

-- emergencies
INSERT INTO pbx.emergency_number VALUES ('office', '410', 'office');
UPDATE pbx.domain SET call_limit = 0;
SELECT alike(pg_temp.told('1010', '410'), $$0 caller lobby + (extension 1010)
0 emergency office 410 + (no limit holds it back)
1 candidate office 410 1 +%$$, 'an emergency');
SELECT alike(pg_temp.told('1010', '1001'), $$%0 limit - (domain office has 0 calls at once)
1 cand%$$, 'others are held back');
SELECT * FROM finish();
ROLLBACK;

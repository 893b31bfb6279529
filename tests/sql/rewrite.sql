-- Numbers as trunks and routes have them.
BEGIN;
SELECT plan(31);

INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'office', 'sip:192.0.2.1');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_55.');
INSERT INTO pbx.step VALUES ('office', 'office', '_55.', 1, 'dial', '{"number": "${number}", "trunk": "isp"}');

-- what is refused, and why
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_0[', '1') $$, 'trunk rewrite office/isp/out/called/_0[: bad pattern: the class %', 'a bad pattern');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_0.', '+${numbr:1}') $$,
	'trunk rewrite office/isp/out/called/_0.: bad result: ''${numbr:1}'' is neither ${number}%', 'another variable');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'in', 'caller', '_0.', '${number:-2}') $$,
	'trunk rewrite office/isp/in/caller/_0.: bad result: ''${number:-2}'' is neither%', 'a place that isn''t one');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_0.', '+${number:1') $$, '%bad result: ''${number:1'' is neither%', 'one without an end');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_0.', '${number}@b') $$, '%bad result: ''@'' can''t be in a number', 'an address');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_00X!', '${number:3}') $$,
	'trunk rewrite office/isp/out/called/_00X!: bad result: nothing is left of a number of 3 digits, which the pattern matches', 'a number that would be empty');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_00.', '') $$, '%nothing is left of a number of 3 digits%', 'and one that is');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'nobody', 'out', 'called', '_00.', '1') $$, '%trunk_exists%', 'a trunk that isn''t there');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'up', 'called', '_00.', '1') $$, '%direction_check%', 'a direction that isn''t one');
SELECT t.refused($$ INSERT INTO pbx.trunk_rewrite VALUES ('office', 'isp', 'out', 'called', '_0[0-9].', '1'), ('office', 'isp', 'out', 'called', '_0X.', '2') $$,
	'%trunk_rewrite_matches_other_numbers_than_the_rest%', 'the same numbers twice');
SELECT t.refused($$ INSERT INTO pbx.route_rewrite VALUES ('office', 'office', '_55.', 'called', '_0.', '${x}') $$, 'route rewrite office/office/_55./called/_0.: bad result: %', 'the same of routes');
SELECT t.refused($$ INSERT INTO pbx.route_rewrite VALUES ('office', 'office', '_56.', 'called', '_0.', '1') $$, '%route_exists%', 'a route that isn''t there');
SELECT t.refused($$ INSERT INTO pbx.route_rewrite VALUES ('office', 'office', '_55.', 'callee', '_0.', '1') $$, '%party_check%', 'a party that isn''t one');

-- what is taken
SELECT t.accepted($$ INSERT INTO pbx.trunk_rewrite (domain, trunk, direction, party, pattern, result) VALUES
	('office', 'isp', 'out', 'called', '_00.', '+${number:2}'), ('office', 'isp', 'out', 'called', '_0Z.', '+43${number:1}'), ('office', 'isp', 'out', 'called', '112', '+43112'),
	('office', 'isp', 'out', 'caller', '_10XX', '+4312345${number:2:2}'), ('office', 'isp', 'in', 'called', '_0043.', '+43${number:4}'), ('office', 'isp', 'in', 'caller', '_0Z.', '+43${number:1}') $$, 'rewritings');
SELECT t.accepted($$ INSERT INTO pbx.route_rewrite VALUES ('office', 'office', '_55.', 'called', '_55.', '${number:2}'), ('office', 'office', '_55.', 'caller', '1005', '1099') $$, 'of routes, too');
SELECT is((SELECT string_agg(key, ' ' ORDER BY key) FROM pbx.change WHERE "table" = 'route_rewrite'), 'office/office/_55./called/_55. office/office/_55./caller/1005', 'servers are told, by list');
SELECT is((SELECT count(*) FROM pbx.audit WHERE "table" = 'trunk_rewrite')::integer, 6, 'it is recorded');
SELECT results_eq($$ SELECT * FROM pbx.trunk_rewritten('office', 'isp', 'out', 'called', '00491234') $$, $$ VALUES ('_00.', '+491234') $$, 'the most specific one counts');
SELECT is_empty($$ SELECT * FROM pbx.trunk_rewritten('office', 'isp', 'out', 'called', '491234') $$, 'none may');
SELECT is((SELECT string_agg(r.number, ' ' ORDER BY n) FROM unnest('{01234,00491234,112}'::text[]) AS n, pbx.trunk_rewritten('office', 'isp', 'out', 'called', n) AS r), '+491234 +431234 +43112', 'each by its own');

-- what explain says
CREATE FUNCTION pg_temp.told(caller text, number text, from_number text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(concat_ws(' ', what, pattern, detail), E'\n' ORDER BY n)
	FROM pbx.explain('office', caller, number, now(), from_number) WITH ORDINALITY AS e(depth, what, context, pattern, position, app, args, condition, holds, detail, n)
	WHERE what NOT IN ('candidate', 'step', 'limit')
$$;
SELECT is(pg_temp.told('1001', '5500491234'), 'caller extension 1001
rewrite _55. the route makes 00491234 of 5500491234
rewrite _00. trunk isp makes +491234 of 00491234
rewrite _10XX trunk isp makes +431234501 of the caller''s number 1001
target +491234 by trunk isp: sip:192.0.2.1', 'by route and trunk');
SELECT is(pg_temp.told('1005', '55012'), 'caller extension 1005
rewrite _55. the route makes 012 of 55012
rewrite 1005 the route makes 1099 of the caller''s number 1005
rewrite _0Z. trunk isp makes +4312 of 012
rewrite _10XX trunk isp makes +431234599 of the caller''s number 1099
target +4312 by trunk isp: sip:192.0.2.1', 'the caller, too');
UPDATE pbx.extension SET caller_id = '4711' WHERE number = '1001';
SELECT unalike(pg_temp.told('1001', '55012'), '%caller''s number%', 'what is shown outside is what the trunk rewrites');
SELECT is(pbx.outcome('office', '1001', '55012'), 'trunk isp +4312', 'tests of the dialplan say what is sent');
INSERT INTO pbx.inbound_number VALUES ('+4312345', 'office', '1002');
INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_+43900.');
SELECT alike(pg_temp.told('isp', '004312345', '0660123'), 'caller trunk isp
rewrite _0043. trunk isp makes +4312345 of 004312345
rewrite _0Z. trunk isp makes +43660123 of the caller''s number 0660123
inbound +4312345 +4312345 leads to 1002
target extension 1002%', 'inbound');
SELECT alike(pg_temp.told('isp', '004312345', '0900123'), '%blocked _+43900. +43900123 is blocked and told 603', 'callers are blocked as we write them');
INSERT INTO pbx.context VALUES ('office', 'sos');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'sos', '_1XX');
INSERT INTO pbx.step VALUES ('office', 'sos', '_1XX', 1, 'dial', '{"number": "${number}", "trunk": "isp"}');
INSERT INTO pbx.emergency_number VALUES ('office', '112', 'sos'), ('office', '144', 'sos');
INSERT INTO pbx.trunk_rewrite (domain, trunk, direction, result) VALUES ('office', 'isp', 'out', '99${number}');
SELECT alike(pg_temp.told('1001', '144'), '%target 144 by trunk isp%', 'a pattern doesn''t spoil an emergency number');
SELECT alike(pg_temp.told('1001', '112'), '%target +43112 by trunk isp%', 'a row of its own rewrites it');

-- what leads to a number that a route rewrites
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_66XXXX');
INSERT INTO pbx.step VALUES ('office', 'office', '_66XXXX', 1, 'dial', '{"number": "${number}"}');
SELECT t.accepted($$ INSERT INTO pbx.route_rewrite (domain, context, route, result) VALUES ('office', 'office', '_66XXXX', '${number:2}');
	INSERT INTO pbx.forward VALUES ('office', '1003', 'busy', '661004') $$, 'it leads to what it becomes');
SELECT t.refused($$ DELETE FROM pbx.route_rewrite WHERE route = '_66XXXX' $$,
	'forward office/1003/busy: dialling 661004 takes route _66XXXX of context office, and there is no 661004', 'and so it stays');
SELECT t.accepted($$ DELETE FROM pbx.trunk WHERE name = 'isp'; DELETE FROM pbx.step WHERE pattern IN ('_55.', '_1XX'); DELETE FROM pbx.emergency_number; DELETE FROM pbx.inbound_number $$, 'they go with their trunk');
SELECT * FROM finish();
ROLLBACK;

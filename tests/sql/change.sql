-- What servers are told of changes.
BEGIN;
SELECT plan(22);

-- what the office itself wrote was told when it was made
CREATE FUNCTION pg_temp.told() RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	SET CONSTRAINTS ALL IMMEDIATE;
	SET CONSTRAINTS ALL DEFERRED;
	RETURN QUERY SELECT DISTINCT "table" || ' ' || key FROM pbx.change WHERE seq > (SELECT seq FROM mark);
	UPDATE mark SET seq = (SELECT max(c.seq) FROM pbx.change AS c);
END $$;
CREATE TEMP TABLE mark AS SELECT max(seq) AS seq FROM pbx.change;

CREATE FUNCTION pg_temp.tells(change text, VARIADIC expected text[]) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE change;
	RETURN bag_eq('SELECT pg_temp.told()', expected, change);
END $$;

SELECT pg_temp.tells($$ UPDATE pbx.domain SET timezone = 'Europe/Rome' $$, 'domain office');
SELECT pg_temp.tells($$ INSERT INTO pbx.setting VALUES ('office', 'a', 'b') $$, 'setting office/a');
SELECT pg_temp.tells($$ UPDATE pbx.context SET name = 'x' WHERE context = 'lobby' $$, 'context office/lobby');
SELECT pg_temp.tells($$ UPDATE pbx.context_include SET position = 2 $$, 'context office/office');
SELECT pg_temp.tells($$ UPDATE pbx.extension SET ring_s = 5 WHERE number IN ('1001', '1002') $$, 'extension office/1001', 'extension office/1002');
SELECT pg_temp.tells($$ SELECT pbx.set_password('office', '1001', 'x') $$, 'credential office/1001');
SELECT pg_temp.tells($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1002') $$, 'forward office/1001/busy');
SELECT pg_temp.tells($$ SELECT pbx.set_pin('office', '1001', '1234') $$, 'mailbox office/1001');
SELECT pg_temp.tells($$ INSERT INTO pbx.greeting VALUES ('office', '1001', 'busy', '\x00', 1) $$, 'greeting office/1001/busy');
SELECT pg_temp.tells($$ INSERT INTO pbx.prompt (domain, name, path) VALUES ('office', 'x', 'x.wav') $$, 'prompt office/x');
SELECT pg_temp.tells($$ DELETE FROM pbx.music_file WHERE position = 5 $$, 'music_class office/default');
SELECT pg_temp.tells($$ UPDATE pbx.ring_group_member SET delay_s = 1 $$, 'ring_group office/410');
SELECT pg_temp.tells($$ UPDATE pbx.menu_choice SET target = '1004' WHERE digits = '1' $$, 'menu office/400');
SELECT pg_temp.tells($$ INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'isp', 'lobby') $$, 'trunk office/isp');
SELECT pg_temp.tells($$ INSERT INTO pbx.trunk_address VALUES ('office', 'isp', '192.0.2.1') $$, 'trunk office/isp');
SELECT pg_temp.tells($$ INSERT INTO pbx.inbound_number VALUES ('+4315550100', 'office', '400') $$, 'inbound_number office/+4315550100');
SELECT pg_temp.tells($$ DELETE FROM pbx.step WHERE pattern = '_10XX' AND position = 2 $$, 'route office/lobby/_10XX');
SELECT pg_temp.tells($$ INSERT INTO pbx.voicemail (id, domain, number, received, duration_ms, sound) VALUES (gen_random_uuid(), 'office', '1001', now(), 1, '\x00') $$,
	'voicemail office/1001');
SELECT pg_temp.tells($$ UPDATE pbx.extension SET number = '1019' WHERE number = '1009' $$,
	'extension office/1009', 'extension office/1019', 'mailbox office/1009', 'mailbox office/1019', 'credential office/1009');
SELECT pg_temp.tells($$ DELETE FROM pbx.extension WHERE false $$, VARIADIC '{}');
SELECT throws_like('TRUNCATE pbx.forward', 'TRUNCATE of pbx.forward is refused%', 'TRUNCATE can''t be told');
SELECT is_empty('SELECT * FROM pbx.change_pending', 'nothing stays noted');

SELECT * FROM finish();
ROLLBACK;

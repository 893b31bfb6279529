-- Every change is recorded, and one transaction can be taken back.
BEGIN;
SELECT plan(32);

-- The transaction of the test is one: what a "transaction" did is what came since the last mark.
CREATE FUNCTION pg_temp.since(mark bigint) RETURNS pbx.row_change[] LANGUAGE sql AS $$
	SELECT pbx.changes_net(array_agg(ROW("table", coalesce(key_before, key), key, old, new)::pbx.row_change ORDER BY id)) FROM pbx.audit WHERE id > mark
$$;
CREATE FUNCTION pg_temp.mark() RETURNS bigint LANGUAGE sql AS $$ SELECT max(id) FROM pbx.audit $$;
CREATE FUNCTION pg_temp.all_rows() RETURNS text LANGUAGE sql AS $$
	SELECT md5(string_agg(query_to_xml(format('SELECT * FROM pbx.%I AS x ORDER BY x', tab), true, true, '')::text, '' ORDER BY tab))
	FROM unnest('{domain,context,context_include,extension,forward,mailbox,credential,ring_group,ring_group_member,menu,menu_choice,route,step,number,schedule,schedule_period}'::text[]) AS tab
$$;

SELECT bag_eq($$ SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger AS c WHERE tgname = 'change_insert'
	AND NOT EXISTS (SELECT FROM pg_trigger AS a WHERE a.tgrelid = c.tgrelid AND a.tgname = 'audit_insert') $$,
	$$ VALUES ('pbx.voicemail'), ('pbx.message'), ('pbx.phone_request'), ('pbx.presence_note'), ('pbx.ban'), ('pbx.budget_use') $$,
	'of what servers follow all is recorded, but for what comes and goes by itself (a new table: CALL pbx.audit_watch(), or a line here)');

-- what is recorded
UPDATE pbx.extension SET display_name = 'Olivia', ring_s = 30 WHERE number = '1001';
SELECT results_eq($$ SELECT who = session_user, role, transaction, at, domain, "table", operation, key, key_before, old ->> 'display_name' AS a, new ->> 'display_name' AS b, (new ->> 'ring_s')::integer AS c FROM pbx.audit ORDER BY id DESC LIMIT 1 $$,
	$$ SELECT true, NULL, pg_current_xact_id()::text::bigint, now(), 'office', 'extension', 'UPDATE', 'office/1001', NULL, 'Olive Operator', 'Olivia', 30 $$, 'who, when, what, old and new');
SELECT results_eq($$ SELECT who, what, row_name, changes FROM pbx.history('office') LIMIT 1 $$,
	$$ VALUES ('cordboard', 'changed', 'extension office/1001', 'display_name "Olive Operator" -> "Olivia", ring_s 20 -> 30') $$, 'and as people read it');
UPDATE pbx.extension SET ring_s = 30 WHERE number = '1001';
SELECT is((SELECT count(*) FROM pbx.history('office', key => 'office/1001', "table" => 'extension') WHERE changes LIKE '%ring_s%' AND what = 'changed'), 1::bigint, 'a row that stays as it is isn''t told');
INSERT INTO pbx.network VALUES ('192.0.2.0/24', 'deny');
SELECT results_eq($$ SELECT domain, key, new ->> 'rule' FROM pbx.audit ORDER BY id DESC LIMIT 1 $$, $$ VALUES (NULL::text, '192.0.2.0/24', 'deny') $$, 'a row that belongs to no domain');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_8XX');
SELECT results_eq($$ SELECT new FROM pbx.audit ORDER BY id DESC LIMIT 1 $$, $$ VALUES ('{"domain": "office", "context": "office", "pattern": "_8XX", "name": "", "enabled": true}'::jsonb) $$, 'what follows from others is left out');
SELECT throws_like($$ UPDATE pbx.audit SET who = 'nobody' $$, '%by the triggers%', 'the log isn''t rewritten');
SELECT throws_like($$ INSERT INTO pbx.audit (transaction, at, who, "table", operation, key) VALUES (1, now(), 'x', 'x', 'INSERT', 'x') $$, '%by the triggers%', 'nor written');

-- secrets
SELECT pbx.set_password('office', '1001', 'new'), pbx.set_pin('office', '1001', '9876');
INSERT INTO pbx.trunk (domain, name, context, auth_user, auth_password) VALUES ('office', 'isp', 'lobby', 'me', 'verysecret');
INSERT INTO pbx.greeting VALUES ('office', '1001', 'name', '\x0102', 1);
SELECT is_empty($$ SELECT a.id FROM pbx.audit AS a, pbx.credential AS c, pbx.mailbox AS m WHERE concat(a.old, a.new) LIKE ANY (ARRAY['%verysecret%', '%' || c.ha1_md5 || '%', '%' || c.ha1_sha256 || '%', '%' || m.pin_hash || '%', '%0102%']) $$,
	'no secret is recorded');
SELECT results_eq($$ SELECT old ->> 'ha1_md5', new ->> 'ha1_md5' FROM pbx.audit WHERE "table" = 'credential' ORDER BY id DESC LIMIT 1 $$, $$ VALUES ('(secret)', '(another secret)') $$, 'but that it was changed');
SELECT is((SELECT string_agg(new ->> 'sound', ' ') FROM pbx.audit WHERE "table" = 'greeting'), '(2 bytes)', 'sounds neither');
SELECT is_empty($$ SELECT c.relname, a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = 'audit_insert'
	WHERE a.attname ~* '(pass|secret|pin|ha1|hash|key$|token)' AND a.atttypid IN ('text'::regtype, 'bytea'::regtype) AND NOT a.attname = ANY (pbx.audit_hidden(c.oid))
	  AND (c.relname, a.attname) NOT IN (('listener', 'certificate_key')) $$, 'no column that sounds like a secret is told');

-- an import is one set
INSERT INTO pbx.context VALUES ('office', 'big');
INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'big', '5' || n FROM generate_series(1, 300) AS n;
SELECT is((SELECT count(*) FROM pbx.audit WHERE "table" = 'route' AND key LIKE 'office/big/%'), 300::bigint, 'each row of an import is there');
UPDATE pbx.context SET context = 'large' WHERE context = 'big';
SELECT results_eq($$ SELECT count(*), bool_and(old ->> 'pattern' = new ->> 'pattern' AND split_part(key_before, '/', 3) = split_part(key, '/', 3)) FROM pbx.audit WHERE key_before LIKE 'office/big/%' $$,
	$$ VALUES (300::bigint, true) $$, 'each row with a new key is told with its own former one');

-- What changes amount to
SELECT set_config('t.mark', pg_temp.mark()::text, true), set_config('t.rows', pg_temp.all_rows(), true);
INSERT INTO pbx.extension (domain, number) VALUES ('office', '1050');
UPDATE pbx.extension SET number = '1051' WHERE number = '1050';
DELETE FROM pbx.extension WHERE number = '1051';
UPDATE pbx.route SET name = 'a' WHERE pattern = '410';
UPDATE pbx.route SET name = 'b' WHERE pattern = '410';
UPDATE pbx.ring_group SET number = '411' WHERE number = '410';
UPDATE pbx.step SET args = '{"group": "411"}' WHERE pattern = '410';
UPDATE pbx.ring_group SET name = 'Sellers' WHERE number = '411';
SELECT bag_eq($$ SELECT "table", key_before, key, old ->> 'name' AS a, new ->> 'name' AS b FROM unnest(pg_temp.since(current_setting('t.mark')::bigint)) $$,
	$$ VALUES ('route', 'office/office/410', 'office/office/410', 'Sales', 'b'), ('ring_group', 'office/410', 'office/411', 'Sales', 'Sellers'), ('step', 'office/office/410/1', 'office/office/410/1', NULL, NULL),
		('ring_group_member', 'office/410/1004', 'office/411/1004', NULL, NULL), ('ring_group_member', 'office/410/1005', 'office/411/1005', NULL, NULL), ('ring_group_member', 'office/410/1006', 'office/411/1006', NULL, NULL) $$,
	'a row once, wherever it went');
SELECT lives_ok($$ SELECT * FROM pbx.changes_make(pbx.changes_back(pg_temp.since(current_setting('t.mark')::bigint))) $$, 'they are taken back');
SELECT is(pg_temp.all_rows(), current_setting('t.rows'), 'and all is as it was');

-- things that refer to each other, in whatever order
SELECT set_config('t.mark', pg_temp.mark()::text, true);
DELETE FROM pbx.menu WHERE number = '400';
DELETE FROM pbx.route WHERE pattern = '400';
DELETE FROM pbx.ring_group WHERE number = '410';
DELETE FROM pbx.route WHERE pattern = '410';
INSERT INTO pbx.extension (domain, number, context) VALUES ('office', '410', 'lobby');
UPDATE pbx.route SET pattern = '400' WHERE pattern = '420';
UPDATE pbx.extension SET context = 'large' WHERE number = '1004';
SELECT set_config('t.moved', pg_temp.all_rows(), true);
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
SELECT set_config('t.back', pg_temp.mark()::text, true);
SELECT lives_ok($$ SELECT * FROM pbx.changes_make(pbx.changes_back(pg_temp.since(current_setting('t.mark')::bigint))) $$, 'a number that became another thing''s goes back');
SELECT is(pg_temp.all_rows(), current_setting('t.rows'), 'all is as it was');
SELECT lives_ok($$ SELECT * FROM pbx.changes_make(pbx.changes_back(pg_temp.since(current_setting('t.back')::bigint))) $$, 'and forth');
SELECT is(pg_temp.all_rows(), current_setting('t.moved'), 'as it was between');
SELECT lives_ok($$ SELECT * FROM pbx.changes_make(pbx.changes_back(pg_temp.since(current_setting('t.mark')::bigint))) $$, 'and back');

-- a swap of what must be different
INSERT INTO pbx.context_include VALUES ('office', 'office', 2, 'large');
SELECT set_config('t.mark', pg_temp.mark()::text, true);
DELETE FROM pbx.context_include WHERE context = 'office';
INSERT INTO pbx.context_include VALUES ('office', 'office', 1, 'large'), ('office', 'office', 2, 'lobby');
SELECT lives_ok($$ SELECT * FROM pbx.changes_make(pbx.changes_back(pg_temp.since(current_setting('t.mark')::bigint))) $$, 'two that changed places');
SELECT is((SELECT string_agg(included, ' ' ORDER BY position) FROM pbx.context_include WHERE context = 'office'), 'lobby large', 'change them again');

-- refused
SELECT set_config('t.mark', pg_temp.mark()::text, true);
INSERT INTO pbx.menu (domain, number, context, prompt) VALUES ('office', '401', 'office', 'menu-main');
INSERT INTO pbx.menu_choice VALUES ('office', '401', '1', '1001');
UPDATE pbx.route SET name = 'First' WHERE pattern = '700';
CREATE TEMPORARY TABLE was AS SELECT pg_temp.since(current_setting('t.mark')::bigint) AS changes;
SELECT throws_like($$ INSERT INTO pbx.menu_choice VALUES ('office', '401', '2', '1002'); SELECT pbx.changes_make(pbx.changes_back(changes)) FROM was $$,
	'rows were added since, which would be lost: menu_choice office/401/2', 'what was added since isn''t lost');
SELECT throws_like($$ UPDATE pbx.route SET name = 'Second' WHERE pattern = '700'; SELECT pbx.changes_make(pbx.changes_back(changes)) FROM was $$,
	'rows were changed since: route office/office/700: it was changed: name "First" -> "Second"', 'nor what was changed');
SELECT throws_like($$ DELETE FROM pbx.route WHERE pattern = '700'; SELECT pbx.changes_make(pbx.changes_back(changes)) FROM was $$,
	'rows were changed since: route office/office/700: it is gone', 'nor does come back what is gone');
SELECT lives_ok($$ DELETE FROM pbx.route WHERE pattern = '700'; SELECT pbx.changes_make(pbx.changes_back(changes), true) FROM was $$, 'unless it is told to');
SELECT is((SELECT name FROM pbx.route WHERE pattern = '700'), 'Music', 'then it is as it was');
SELECT throws_like($$ SELECT pbx.undo(3) $$, 'transaction 3 has changed nothing%', 'a transaction that did nothing');

-- what isn't recorded
DELETE FROM pbx.extension WHERE number = '1009';
CREATE TEMPORARY TABLE gone AS SELECT pbx.changes_back(pg_temp.since((SELECT min(id) - 1 FROM pbx.audit WHERE operation = 'DELETE' AND key = 'office/1009'))) AS changes;
SELECT lives_ok($$ SELECT pbx.changes_make(changes) FROM gone $$, 'an extension comes back');
SELECT results_eq($$ SELECT e.display_name, c.ha1_md5, m.pin_hash FROM pbx.extension AS e JOIN pbx.credential AS c USING (domain, number) JOIN pbx.mailbox AS m USING (domain, number) WHERE number = '1009' $$,
	$$ VALUES ('Bella Ringer', NULL::text, NULL::text) $$, 'without its password');

SELECT * FROM finish();
ROLLBACK;

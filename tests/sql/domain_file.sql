-- A domain as a file: written, read under another name, compared, and put into a draft.
BEGIN;
SELECT no_plan();
\ir office.psql
CREATE ROLE olga IN ROLE cordboard_operator;
GRANT olga TO CURRENT_USER;

-- The rows of a file, table by table, without its name.
CREATE FUNCTION pg_temp.rows_of(file text) RETURNS TABLE (tab text, n bigint, "row" jsonb) LANGUAGE sql AS $$
	SELECT t.key, r.n, r.r FROM jsonb_each($1::jsonb -> 'tables') AS t, jsonb_array_elements(t.value) WITH ORDINALITY AS r(r, n)
$$;

SELECT lives_ok($$ SELECT pg_temp.office('a'); SET CONSTRAINTS ALL IMMEDIATE; SELECT t.initially() $$, 'an office with rows in all tables');
INSERT INTO pbx.prompt (domain, name, says, sound) VALUES ('a', 'own', 'Said by ourselves', '\x00ff10');
UPDATE pbx.domain SET record_keep = '1 month 2 days', algorithms = '{SHA-256,MD5}' WHERE domain = 'a';
UPDATE pbx.schedule SET override = 'open', override_until = '2030-01-01 12:00:00.123456+02' WHERE domain = 'a';

-- Words that have to be told from JSON, SQL and each other; switches this way and that. The same for the same seed.
CREATE FUNCTION pg_temp.word(seed text) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg((ARRAY['a', 'Z', '"', '''', '\', '/', '{', '}', ',', ' ', 'é', '☎', '${', '%s', '$1', ';', '--', '(secret)'])[1 + get_byte(decode(md5(seed || n), 'hex'), 0) % 18], '' ORDER BY n)
	FROM generate_series(1, 1 + get_byte(decode(md5(seed), 'hex'), 1) % 12) AS n
$$;
CREATE FUNCTION pg_temp.chance(seed text) RETURNS boolean LANGUAGE sql AS $$ SELECT get_byte(decode(md5(seed), 'hex'), 3) % 2 = 0 $$;
INSERT INTO pbx.extension (domain, number, display_name, context, enabled, pickup_group, call_limit)
SELECT 'a', (3000 + n)::text, pg_temp.word('e' || n), CASE WHEN pg_temp.chance('c' || n) THEN 'lobby' ELSE 'office' END, pg_temp.chance('x' || n),
       CASE WHEN pg_temp.chance('p' || n) THEN 'group' END, CASE WHEN pg_temp.chance('l' || n) THEN n END FROM generate_series(1, 60) AS n;
INSERT INTO pbx.setting SELECT 'a', 'v' || n, pg_temp.word('s' || n) FROM generate_series(1, 60) AS n;
INSERT INTO pbx.route (domain, context, pattern, name, enabled) SELECT 'a', 'office', '5' || (100 + n), pg_temp.word('r' || n), pg_temp.chance('r' || n) FROM generate_series(1, 60) AS n;
INSERT INTO pbx.step (domain, context, pattern, position, app, args)
SELECT 'a', 'office', '5' || (100 + n), p, 'set', jsonb_build_object('name', 'x', 'value', pg_temp.word('t' || n || p)) FROM generate_series(1, 60) AS n, generate_series(1, 1 + n % 3) AS p;
SELECT lives_ok($$ SET CONSTRAINTS ALL IMMEDIATE; SELECT t.initially() $$, 'and many that are generated');

-- what is in it
CREATE TEMP TABLE file AS SELECT pbx.export_domain('a', secrets => true, sounds => true) AS everything, pbx.export_domain('a') AS plain;
SELECT is_empty($$ SELECT t.name FROM pbx.domain_file_tables() AS t, file WHERE jsonb_array_length(everything::jsonb -> 'tables' -> t.name) = 0 $$, 'every table that takes part is tried here');
SELECT set_eq($$ SELECT t.tab::text FROM pbx.tenancy AS t WHERE t.scope = 'domain' EXCEPT SELECT x.name FROM pbx.domain_file_tables() AS x $$,
	ARRAY['binding', 'budget_use', 'call_missing', 'cdr', 'cdr_leg', 'command', 'conference_member', 'decision_log', 'event', 'event_cursor', 'live_call', 'live_leg', 'live_use', 'message', 'outbox_refused',
		'phone_request', 'presence_note', 'recording', 'recording_segment', 'rtp_trace', 'script_state', 'sip_trace', 'subscription', 'trunk_state', 'voicemail', -- what happens, and happened
		'audit', 'dialplan_version', 'draft', 'draft_row', -- changes
		'domain_role', 'number'], -- follow from others
	'and those that don''t are known');
SELECT is_empty($$ SELECT tab, k FROM file, pg_temp.rows_of(plain) AS r, jsonb_object_keys(r."row") AS k WHERE k ~ '(^ha1_|password|pin_hash|^sound$)' $$, 'secrets and sounds aren''t, unless asked for');
SELECT is_empty($$ SELECT w FROM file, unnest(ARRAY['trunk secret of a', md5('101:cordboard:secret of a')]) AS w WHERE plain LIKE '%' || w || '%' OR everything NOT LIKE '%' || w || '%' $$, 'nor are they anywhere else in it');
SELECT is(plain::jsonb ->> 'schema', (SELECT max(version)::text FROM pbx.version), 'it says of which schema it is') FROM file;
SELECT ok(everything ~ '\n                "display_name": ', 'a line a column, to be compared') FROM file;
SELECT is(pbx.export_domain('a'), plain, 'twice the same') FROM file;
SELECT lives_ok($$ SET LOCAL timezone = 'Asia/Tokyo'; SET LOCAL datestyle = 'German, DMY'; SET LOCAL intervalstyle = 'iso_8601'; SET LOCAL bytea_output = 'escape' $$, 'somebody else sets his session otherwise');
SELECT is(pbx.export_domain('a', true, true), everything, 'for whom it is the same, too') FROM file;

-- under another name, while the first is there
SELECT results_eq($$ SELECT what, row_name, changes FROM file, pbx.import_domain(everything, 'c') WHERE what <> 'new' ORDER BY row_name $$, $$ VALUES
	('left out', 'certificate phone.a.example', 'identity phone.a.example is domain a''s'),
	('left out', 'inbound_number +4397', 'number +4397 is domain a''s'),
	('left out', 'trunk_address gw/192.0.2.98/32', 'address 192.0.2.98/32 is domain a''s') $$, 'what only one domain can have stays with it, and is told');
SELECT is_empty($$ SELECT tab, "row" FROM file, pg_temp.rows_of(everything) WHERE tab NOT IN ('certificate', 'inbound_number', 'trunk_address')
	EXCEPT SELECT tab, "row" FROM pg_temp.rows_of(pbx.export_domain('c', true, true)) $$, 'the rest is there');
SELECT set_eq($$ SELECT context FROM pbx.context WHERE domain = 'c' $$, ARRAY['office', 'lobby'], 'nothing is left of what a new domain has by itself');
SELECT is((SELECT count(*) FROM pbx.domain_role WHERE domain = 'c'), 1::bigint, 'it has its administrators'' role');
SELECT lives_ok($$ SELECT pbx.drop_domain('c') $$, 'away with it');

-- under another name, when the first is gone
SELECT lives_ok($$ SELECT pbx.drop_domain('a') $$, 'as in another database');
SELECT results_eq($$ SELECT what, row_name, changes FROM file, pbx.import_domain(everything, 'c') $$,
	$$ SELECT 'new', 'domain c', format('%s rows', count(*)) FROM file, pg_temp.rows_of(everything) $$, 'all of it is read');
SELECT is(pbx.export_domain('c', true, true), replace(everything, E'\n    "domain": "a",', E'\n    "domain": "c",'), 'and written again it is the same but for the name') FROM file;
SELECT t.initially();
SELECT lives_ok($$ SELECT pbx.drop_domain('c') $$, 'away with that, too');

-- without secrets and sounds
SELECT results_eq($$ SELECT what, row_name, changes FROM file, pbx.import_domain(plain, 'a2') WHERE what <> 'new' ORDER BY row_name $$, $$ VALUES
	('without secret', 'credential 101', $q$SELECT pbx.set_password('a2', '101', '<password>')$q$),
	('left out', 'greeting 101/busy', 'its sound is not in the file: export_domain(..., sounds => true)'),
	('without secret', 'mailbox 101', $q$SELECT pbx.set_pin('a2', '101', '<PIN>')$q$),
	('left out', 'prompt own', 'its sound is not in the file: export_domain(..., sounds => true)'),
	('without secret', 'trunk gw', $q$UPDATE pbx.trunk SET auth_user = 'u', auth_password = '<password>' WHERE (domain, name) = ('a2', 'gw')$q$) $$,
	'what is then missing is told, with the statement for each secret');
SELECT is_empty($$ SELECT tab, "row" FROM file, pg_temp.rows_of(plain) WHERE tab <> 'greeting' AND "row" ->> 'name' IS DISTINCT FROM 'own'
	EXCEPT SELECT tab, "row" FROM pg_temp.rows_of(pbx.export_domain('a2')) $$, 'the rest is there');

-- the demo office, as another
CREATE TEMP TABLE demo AS SELECT pbx.export_domain('office', true, true) AS file;
SELECT results_eq($$ SELECT what, row_name, changes FROM demo, pbx.import_domain(file, 'other') WHERE what = 'left out' AND row_name = 'domain' $$,
	$$ VALUES ('left out', 'domain', 'is_default true is domain office''s') $$, 'one domain is the default, and stays it');
SELECT results_eq($$ SELECT r.tab, r."row" - 'is_default' FROM pg_temp.rows_of(pbx.export_domain('other', true, true)) AS r ORDER BY r.tab, r.n $$,
	$$ SELECT r.tab, r."row" - 'is_default' FROM demo, pg_temp.rows_of(file) AS r WHERE r.tab NOT IN ('inbound_number', 'trunk_address', 'certificate') ORDER BY r.tab, r.n $$, 'the demo office has a twin');
SELECT results_eq($$ SELECT d.n, pbx.outcome('other', '1001', d.n) FROM unnest(ARRAY['1002', '400', '600', '*97', '0123', '999']) AS d(n) $$,
	$$ SELECT d.n, pbx.outcome('office', '1001', d.n) FROM unnest(ARRAY['1002', '400', '600', '*97', '0123', '999']) AS d(n) $$, 'in which calls go the same ways');

-- older and newer files
CREATE FUNCTION pg_temp.altered(file text, path text, value jsonb) RETURNS text LANGUAGE sql AS $$ SELECT jsonb_set($1::jsonb, path::text[], value)::text $$;
SELECT lives_ok($$ SELECT pbx.import_domain((file::jsonb #- '{tables,extension,0,enabled}' #- '{tables,extension,0,caller_id}' #- '{tables,dialplan_test}' #- '{tables,domain,0,capture}')::text, 'old') FROM demo $$,
	'an older file has fewer columns and tables');
SELECT results_eq($$ SELECT e.enabled, e.display_name = o.display_name, d.capture FROM pbx.extension AS e JOIN pbx.extension AS o USING (number), pbx.domain AS d
	WHERE (e.domain, e.number, o.domain, d.domain) = ('old', '1001', 'office', 'old') $$, $$ VALUES (true, true, 'none') $$, 'those have their defaults');
SELECT throws_ok(format('SELECT pbx.import_domain(%L, ''x'')', pg_temp.altered(file, '{schema}', '9999')), '0A000', format('the file is of schema 9999, this database of %s', (SELECT max(version) FROM pbx.version)),
	'a newer one is refused') FROM demo;

-- what can't be is told with its row
SELECT throws_ok(format('SELECT pbx.import_domain(%L, ''x'')', f), NULL, message, message) FROM demo, LATERAL (VALUES
	('{}', 'this is no file of a domain'),
	(pg_temp.altered(file, '{tables,cdr}', '[]'), 'table cdr: files of a domain have none of that name'),
	(pg_temp.altered(file, '{tables,domain}', '[]'), 'table domain: the file has no row of it, or several'),
	(pg_temp.altered(file, '{tables,forward}', '7'), 'table forward: it isn''t a list of rows'),
	(pg_temp.altered(file, '{tables,setting}', '[{"name": "n", "colour": "red"}]'), 'setting n: there is no column colour'),
	(pg_temp.altered(file, '{tables,setting}', '[{"name": "n", "value": "1"}, {"name": "n", "value": "2"}]'), 'setting n: it is there twice'),
	(pg_temp.altered(file, '{tables,setting}', '[{"name": "n", "value": "1"}, {"name": "m"}]'), 'setting m: null value in column "value" of relation "setting" violates not-null constraint'),
	(pg_temp.altered(file, '{tables,extension,3,ring_s}', '"soon"'), 'extension 1004: invalid input syntax for type integer: "soon"'),
	(pg_temp.altered(file, '{tables,forward}', '[{"number": "1999", "reason": "busy", "target": "1002"}]'), 'forward 1999/busy: there is no extension 1999')) AS v(f, message);
SELECT throws_like(format('SELECT pbx.import_domain(%L, ''x'')', pg_temp.altered(file, '{tables,extension,3,number}', '"not a number"')), 'extension not a number: %', 'a value that is refused') FROM demo;
SELECT is((SELECT count(*) FROM pbx.domain WHERE domain = 'x') + (SELECT count(*) FROM pg_roles WHERE rolname = 'cordboard_admin_x'), 0::bigint, 'nothing is left of what was refused');
SELECT throws_ok('SELECT pbx.import_domain(file) FROM demo', '42710', 'there is a domain office already', 'what there is isn''t overwritten');
SELECT throws_ok('SELECT pbx.import_domain(file, ''nowhere'', ''d'') FROM demo', '42704', 'there is no domain nowhere', 'a draft is of a domain that exists');

-- into a draft
SELECT is_empty($$ SELECT * FROM demo, pbx.import_domain(file, draft => 'same') $$, 'of the same nothing would change');
UPDATE pbx.extension SET display_name = 'Changed since' WHERE (domain, number) = ('office', '1002');
DELETE FROM pbx.route WHERE (domain, context, pattern) = ('office', 'office', (SELECT min(pattern) FROM pbx.route WHERE domain = 'office' AND context = 'office'));
INSERT INTO pbx.setting VALUES ('office', 'since', 'x');
SELECT set_eq($$ SELECT what, split_part(row_name, '/', 1) FROM demo, pbx.import_domain(file, draft => 'back') $$,
	$$ VALUES ('changed', 'extension office'), ('gone', 'setting office'), ('new', 'route office'), ('new', 'step office') $$, 'a draft takes back what was done since');
SELECT is(pbx.export_domain('office', true, true) = file, false, 'nothing is changed yet') FROM demo;
SELECT lives_ok($$ SELECT pbx.activate('office', 'back', override => true) $$, 'it is activated');
SELECT is(pbx.export_domain('office', true, true), file, 'and all is as it was, secrets too') FROM demo;
SELECT t.initially();
SELECT results_eq($$ SELECT what, row_name, changes FROM demo, pbx.import_domain(jsonb_set(file::jsonb, '{tables,trunk}', '[{"name": "fresh", "context": "office", "uri": "sip:f.example", "auth_user": "u", "auth_password": "p"}]')::text,
	draft => 'trunk') WHERE row_name = 'trunk fresh' $$,
	$$ VALUES ('without secret', 'trunk fresh', $q$UPDATE pbx.trunk SET auth_user = 'u', auth_password = '<password>' WHERE (domain, name) = ('office', 'fresh')$q$) $$, 'secrets are not kept in drafts, and told');

-- keys that change places
INSERT INTO pbx.context (domain, context) VALUES ('other', 'one'), ('other', 'two'), ('other', 'three');
INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('other', 'one', 1, 'two'), ('other', 'one', 2, 'three');
SELECT t.initially();
CREATE TEMP TABLE before AS SELECT pbx.export_domain('other') AS file;
DELETE FROM pbx.context_include WHERE (domain, context) = ('other', 'one');
INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('other', 'one', 1, 'three'), ('other', 'one', 2, 'two');
SELECT lives_ok($$ SELECT pbx.domain_file_make(f.fits, 'other') FROM before, pbx.domain_file_fit(file::jsonb, 'other', false) AS f $$, 'two rows change places');
SELECT is(pbx.export_domain('other'), file, 'as the file has them') FROM before;
SELECT t.initially();

-- who may
CREATE ROLE "cordboard_admin_office" IN ROLE cordboard_tenant;
INSERT INTO pbx.domain_role VALUES ('cordboard_admin_office', 'office');
CREATE ROLE tina IN ROLE cordboard_admin_office;
GRANT tina TO CURRENT_USER;
GRANT SELECT ON demo TO tina, olga;
SELECT is(t.as_role('tina', q), gives, q) FROM (VALUES
	('SELECT pbx.export_domain(''office'')::jsonb ->> ''domain''', '(office)'),
	('SELECT pbx.export_domain(''other'')', 'there is no domain other'),
	('SELECT pbx.export_domain(''office'', secrets => true)', 'domain office: tina may not read passwords and PINs'),
	('SELECT pbx.import_domain(file, ''mine'') FROM demo', 'domain mine: only operators make domains'),
	('SELECT pbx.import_domain(file, ''other'', ''d'') FROM demo', 'there is no domain other'),
	('SELECT what, row_name FROM pbx.import_domain(jsonb_set(pbx.export_domain(''office'')::jsonb, ''{tables,setting}'', ''[{"name": "hers", "value": "1"}]'')::text, draft => ''hers'') WHERE row_name LIKE ''%hers''',
	 '(new,"setting office/hers")')) AS v(q, gives);
SELECT is(t.as_role('olga', 'SELECT what, row_name FROM pbx.import_domain(pbx.export_domain(''office''), ''twin'') WHERE what = ''new'''), '(new,"domain twin")', 'an operator reads one in');
SELECT is(t.as_role('olga', 'SELECT pbx.export_domain(''office'', secrets => true)'), 'domain office: olga may not read passwords and PINs', 'and reads no secrets either');

SELECT * FROM finish();
ROLLBACK;

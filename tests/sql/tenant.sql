-- Tenants: what is a domain's is seen and changed by its administrators alone, table by table.
BEGIN;
SELECT no_plan();

-- two offices that are alike, and one for whom nobody works
\ir office.psql
SELECT lives_ok($$ SELECT pg_temp.office('a'), pg_temp.office('b'); SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED $$, 'two offices');
CREATE ROLE anna IN ROLE cordboard_admin_a;
CREATE ROLE bert IN ROLE cordboard_admin_a, cordboard_admin_b;
CREATE ROLE nobody_s IN ROLE cordboard_tenant;
CREATE ROLE otto IN ROLE cordboard_operator;
CREATE ROLE audrey IN ROLE cordboard_auditor;
CREATE ROLE stranger;
GRANT anna, bert, nobody_s, otto, audrey, stranger TO CURRENT_USER;

-- every table has somebody who says whose its rows are
SELECT is_empty($$
	SELECT c.relname AS "CALL pbx.tenant_table() or pbx.global_table() for it"
	FROM pg_class AS c LEFT JOIN pbx.tenancy AS t ON t.tab = c.relname
	WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
	  AND CASE t.scope WHEN 'global' THEN c.relrowsecurity
	      ELSE NOT (c.relrowsecurity AND c.relforcerowsecurity) OR t.tab IS NULL OR NOT EXISTS (SELECT FROM pg_policy AS p WHERE p.polrelid = c.oid AND p.polname = 'tenant') END
$$, 'every table is shown to its domain alone, or is nobody''s for a reason');
SELECT is_empty($$ SELECT tab FROM pbx.tenancy WHERE to_regclass('pbx.' || quote_ident(tab)) IS NULL $$, 'and each that is listed exists');
SELECT is_empty($$ SELECT tab FROM pbx.tenancy, unnest(secret || fixed) AS u(col) WHERE NOT EXISTS (
	SELECT FROM pg_attribute WHERE attrelid = to_regclass('pbx.' || quote_ident(tab)) AND attname = col AND NOT attisdropped) $$, 'with columns that exist');
SELECT is_empty($$
	SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind = 'v' AND NOT 'security_invoker=true' = ANY (coalesce(c.reloptions, '{}'))
$$, 'every view shows what the one who asks may see');
SELECT is_empty($$ SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind = 'm' $$, 'there is no materialized view, which nothing would guard');
SELECT is_empty($$
	SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid, unnest(ARRAY['cordboard_tenant', 'cordboard_operator', 'cordboard_auditor']) AS u(role)
	WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
	  AND a.attname ~ '(^|_)(ha1|pin_hash|auth_password)(_|$)' AND has_column_privilege(u.role, c.oid, a.attnum, 'SELECT')
$$, 'no column that holds a hash or a password is read by anybody');

-- keys: what is taken by one domain can't be felt by another
SELECT is_empty($$
	SELECT c.relname, i.indexrelid::regclass, a.attname
	FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid JOIN pbx.tenancy AS t ON t.tab = c.relname AND t.scope = 'domain'
	JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND a.attidentity <> 'a' AND a.attgenerated = ''
	WHERE c.relnamespace = 'pbx'::regnamespace AND i.indisunique
	  AND NOT EXISTS (SELECT FROM pg_attribute AS d WHERE d.attrelid = c.oid AND d.attname = 'domain' AND d.attnum = ANY (i.indkey))
	  AND (has_column_privilege('cordboard_tenant', c.oid, a.attnum, 'INSERT') OR has_column_privilege('cordboard_tenant', c.oid, a.attnum, 'UPDATE'))
$$, 'no tenant writes a key that is unique among all domains');
SELECT is_empty($$
	SELECT f.conrelid::regclass, f.conname
	FROM pg_constraint AS f JOIN pg_class AS c ON c.oid = f.conrelid JOIN pg_class AS p ON p.oid = f.confrelid
	JOIN pbx.tenancy AS t ON t.tab = c.relname AND t.scope = 'domain' JOIN pbx.tenancy AS u ON u.tab = p.relname AND u.scope = 'domain'
	WHERE f.contype = 'f' AND f.connamespace = 'pbx'::regnamespace AND has_any_column_privilege('cordboard_tenant', c.oid, 'INSERT, UPDATE')
	  AND NOT EXISTS (SELECT FROM unnest(f.conkey, f.confkey) AS k(own, other)
		JOIN pg_attribute AS a ON (a.attrelid, a.attnum, a.attname) = (f.conrelid, k.own, 'domain')
		JOIN pg_attribute AS b ON (b.attrelid, b.attnum, b.attname) = (f.confrelid, k.other, 'domain'))
$$, 'nor a reference that could lead to another domain');

-- functions that run with their owner's rights are few, and known
SELECT bag_eq($$ SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'pbx'::regnamespace AND p.prosecdef $$,
	ARRAY['pbx.audit_note()', 'pbx.change_note()', 'pbx.change_publish()', 'pbx.command_publish()', 'pbx.event_publish()', 'pbx.event_of_row()', 'pbx.event_of_binding()',
	'pbx.recheck_note()', 'pbx.recheck_run()', 'pbx.without_secret()', 'pbx.weak_secret()',
	'pbx.create_domain(text,text,text,text,text,text,integer,text[])', 'pbx.drop_domain(text,boolean)'],
	'functions that run with their owner''s rights are those that check the domain themselves');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = 'pbx'::regnamespace AND p.prosecdef
	AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS u(c) WHERE c LIKE 'search_path=pg_catalog, pg_temp') $$, 'and keep to their own search_path');
SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc AS p WHERE p.pronamespace = 'pbx'::regnamespace AND p.prosecdef
	AND p.prorettype = 'trigger'::regtype AND has_function_privilege('cordboard_tenant', p.oid, 'EXECUTE') $$, 'and no trigger of his own can call them');

-- what is seen of each table
CREATE FUNCTION pg_temp.counts(role name, tab name, own text) RETURNS bigint LANGUAGE sql AS $$
	SELECT t.as_role(role, format('SELECT count(*) FROM pbx.%I AS x WHERE %s', tab, own))::text::bigint
$$;
CREATE FUNCTION pg_temp.total(name) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint; BEGIN EXECUTE format('SELECT count(*) FROM pbx.%I', $1) INTO n; RETURN n; END $$;
CREATE TEMP VIEW guarded AS
SELECT t.tab, CASE WHEN EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('pbx.' || quote_ident(t.tab)) AND attname = 'domain') THEN 'domain' END AS col
FROM pbx.tenancy AS t WHERE t.scope = 'domain' AND 'SELECT' = ANY (t.may);
CREATE TEMP TABLE seen AS
SELECT g.tab, t.as_role('anna', format('SELECT count(*) FROM pbx.%I', g.tab)) AS anna, t.as_role('bert', format('SELECT count(*) FROM pbx.%I', g.tab)) AS two,
       t.as_role('nobody_s', format('SELECT count(*) FROM pbx.%I', g.tab)) AS none, t.as_role('otto', format('SELECT count(*) FROM pbx.%I', g.tab)) AS operator,
       t.as_role('audrey', format('SELECT count(*) FROM pbx.%I', g.tab)) AS auditor, t.as_role('stranger', format('SELECT count(*) FROM pbx.%I', g.tab)) AS stranger,
       pg_temp.total(g.tab) AS all_rows,
       CASE WHEN g.col IS NOT NULL THEN t.as_role('otto', format('SELECT count(*) FROM pbx.%I WHERE domain = ''a''', g.tab)) END AS of_a
FROM guarded AS g;
SELECT ok(anna NOT IN ('(0)') AND anna = coalesce(of_a, anna) AND two = format('(%s)', 2 * substr(anna, 2, length(anna) - 2)::int),
	'table ' || tab || ': an administrator sees his rows, one of two domains those of both') FROM seen ORDER BY tab;
SELECT is_empty($$ SELECT tab, none FROM seen WHERE none <> '(0)' $$, 'a tenant of no domain sees nothing');
SELECT is_empty($$ SELECT tab, operator, auditor, all_rows FROM seen WHERE (operator, auditor) IS DISTINCT FROM (format('(%s)', all_rows), format('(%s)', all_rows)) $$,
	'operators and auditors see all of it, and so does the server');
SELECT results_eq($$ SELECT who::text COLLATE "C", d COLLATE "C", t.as_role(who, format('SELECT length(pbx.pcap(md5(%L)::uuid))', d)) COLLATE "C",
		t.as_role(who, format('SELECT count(*) FROM pbx.ladder(md5(%L)::uuid) AS l(line) WHERE line LIKE ''%%---%%''', d)) COLLATE "C",
		t.as_role(who, format('SELECT pbx.ladder_svg(md5(%L)::uuid) LIKE ''%%marker-end%%''', d)) COLLATE "C"
	FROM unnest('{anna,bert,nobody_s,otto,audrey}'::name[]) WITH ORDINALITY AS u(who, n), unnest('{a,b}'::text[]) AS d ORDER BY n, d $$,
	$$ VALUES ('anna' COLLATE "C", 'a' COLLATE "C", '(70)' COLLATE "C", '(1)' COLLATE "C", '(t)' COLLATE "C"), ('anna', 'b', '(24)', '(0)', '(f)'), ('bert', 'a', '(70)', '(1)', '(t)'), ('bert', 'b', '(70)', '(1)', '(t)'),
	('nobody_s', 'a', '(24)', '(0)', '(f)'), ('nobody_s', 'b', '(24)', '(0)', '(f)'), ('otto', 'a', '(70)', '(1)', '(t)'), ('otto', 'b', '(70)', '(1)', '(t)'),
	('audrey', 'a', '(70)', '(1)', '(t)'), ('audrey', 'b', '(70)', '(1)', '(t)') $$,
	'of another domain''s call neither ladder nor capture is seen; operators and auditors have them');
SELECT alike(t.as_role('stranger', 'SELECT pbx.pcap(md5(''a'')::uuid)'), 'permission denied for %', 'others are refused');
SELECT is_empty($$ SELECT tab, stranger FROM seen WHERE stranger NOT LIKE 'permission denied for %' $$, 'other roles see nothing');

-- and what is changed: nothing of another's, in any table
CREATE TEMP TABLE changed AS
SELECT g.tab, t.as_role('anna', format('DELETE FROM pbx.%I WHERE domain = ''b''', g.tab)) AS deleted,
       t.as_role('anna', format('UPDATE pbx.%1$I SET domain = ''a'' WHERE domain = ''b''', g.tab)) AS taken,
       t.as_role('anna', format('UPDATE pbx.%1$I SET domain = ''b'' WHERE domain = ''a''', g.tab)) AS given
FROM guarded AS g WHERE g.col IS NOT NULL;
SELECT is_empty($$ SELECT tab, deleted FROM changed WHERE deleted <> '0' AND deleted NOT LIKE 'permission denied for %' $$, 'no row of another domain is deleted');
SELECT is_empty($$ SELECT tab, taken FROM changed WHERE taken <> '0' AND taken NOT LIKE 'permission denied for %' $$, 'none is taken');
SELECT is_empty($$ SELECT tab, given FROM changed WHERE given NOT LIKE 'permission denied for %' AND given NOT LIKE 'new row violates row-level security policy for table %'
	AND given !~ '^credential a/101: an authentication name is not changed$|^pbx.number is kept by|^version b/1: versions are made by' $$, 'none is given away');
SELECT is(t.as_role('anna', format('INSERT INTO pbx.%s VALUES (%s)', tab, cells)), format('new row violates row-level security policy for table "%s"', tab), 'no ' || tab || ' is made in another domain')
FROM (VALUES ('setting', $$'b', 'y', 'x'$$), ('context', $$'b', 'new'$$), ('forward', $$'b', '102', 'busy', '101'$$), ('prompt', $$'b', 'p', 's', 'x'$$),
	('menu_choice', $$'b', '120', '2', '101'$$), ('music_class', $$'b', 'm'$$), ('blocked_caller', $$'b', '+431'$$), ('schedule', $$'b', 'night'$$),
	('step', $$'b', 'office', '_1XX', 2, 'hangup'$$), ('context_include', $$'b', 'lobby', 1, 'office'$$), ('emergency_number', $$'b', '112', 'office'$$)) AS v(tab, cells);
SELECT is(t.as_role('anna', $$INSERT INTO pbx.extension (domain, number) VALUES ('b', '103')$$), 'new row violates row-level security policy for table "number"', 'no extension either');
SELECT is(t.as_role('anna', $$INSERT INTO pbx.extension (domain, number) VALUES ('b', '101')$$), 'new row violates row-level security policy for table "number"', 'and nothing tells which there are');
SELECT is(t.as_role('anna', $$SELECT pbx.set_password('b', '101', 'x')$$), 'there is no domain b', 'no password is set');
SELECT is(t.as_role('anna', $$SELECT pbx.set_pin('b', '101', '1234')$$), 'there is no mailbox b/101', 'no PIN');
SELECT is(t.as_role('anna', $$SELECT pbx.check_sync('b', '101')$$), 'new row violates row-level security policy for table "phone_request"', 'no phone restarted');
SELECT is(t.as_role('anna', $$SELECT pbx.hangup(md5('b')::uuid)$$), format('there is no call %s', md5('b')::uuid), 'no call hung up');
SELECT is(t.as_role('anna', $$SELECT pbx.originate('b', '101', '102')$$), 'there is no extension b/101', 'none made');
SELECT is(t.as_role('anna', $$UPDATE pbx.command SET state = 'done'$$), 'permission denied for table command', 'what became of a command isn''t his to say');
SELECT is(t.as_role('anna', $$SELECT * FROM pbx.explain('b', '101', '102')$$), 'domain b has no extension or trunk 101', 'nothing explained that another domain has');

-- secrets
SELECT is(t.as_role(r, q), 'permission denied for table ' || tab, format('%s: %s', r, q))
FROM unnest(ARRAY['anna', 'otto', 'audrey']) AS r, (VALUES ('credential', 'SELECT ha1_md5 FROM pbx.credential'), ('mailbox', 'SELECT count(pin_hash) FROM pbx.mailbox'),
	('trunk', 'SELECT * FROM pbx.trunk'), ('conference', 'SELECT FROM pbx.conference WHERE pin_hash IS NULL'), ('secret', 'SELECT FROM pbx.secret')) AS v(tab, q);
SELECT is(t.as_role('anna', $$SELECT pbx.set_password('a', '101', 'better one')$$), '("")', 'a password is set by who can''t read it');
SELECT is((SELECT ha1_md5 FROM pbx.credential WHERE domain = 'a'), md5('101:cordboard:better one'), 'and it is that one');
SELECT is(t.as_role('anna', $$UPDATE pbx.trunk SET auth_password = 'new' WHERE name = 'gw'$$), '1', 'so is that of a trunk');
SELECT is(t.as_role('anna', $$UPDATE pbx.trunk SET uri = auth_password$$), 'permission denied for table trunk', 'it is not copied to where it can be read');
SELECT is(t.as_role('anna', $$SELECT kind, domain, name FROM pbx.weak_secret()$$), '', 'no weak password of another is told');
SELECT lives_ok($$ SELECT pbx.set_password('b', '101', '1234'), pbx.set_password('a', '102', '1234'), pbx.set_pin('b', '101', NULL) $$, 'weak ones in both');
SELECT is(t.as_role('anna', $$SELECT row_name, problem FROM pbx.check WHERE row_name LIKE 'credential %' OR row_name LIKE 'mailbox %'$$), '("credential a/102","its password is 1234")',
	'the doctor tells a tenant of his own');
SELECT is(t.as_role('audrey', $$SELECT row_name FROM pbx.check WHERE row_name LIKE '% _/10_' ORDER BY 1$$), E'("credential a/102")\n("credential b/101")\n("extension b/102")\n("mailbox b/101")',
	'and an auditor of all');

-- claims on what is known among all domains
SELECT is(t.as_role('anna', q), 'permission denied for table ' || tab, q)
FROM (VALUES ('inbound_number', $$INSERT INTO pbx.inbound_number (number, domain, target) VALUES ('+4399', 'a', '101')$$),
	('inbound_number', $$UPDATE pbx.inbound_number SET number = '+4398'$$), ('trunk_address', $$INSERT INTO pbx.trunk_address VALUES ('a', 'gw', '192.0.2.250')$$),
	('trunk', $$UPDATE pbx.trunk SET tls_identity = 'b.example'$$), ('certificate', $$INSERT INTO pbx.certificate VALUES ('x.example', 'a', '101')$$),
	('domain', $$UPDATE pbx.domain SET is_default = true$$), ('domain', $$UPDATE pbx.domain SET call_limit = 1000$$),
	('domain', $$INSERT INTO pbx.domain (domain, realm) VALUES ('mine', 'x')$$), ('listener', 'SELECT FROM pbx.listener'), ('ban', 'SELECT FROM pbx.ban'),
	('change', 'SELECT FROM pbx.change'), ('change_pending', $$INSERT INTO pbx.change_pending ("table", keys) VALUES ('domain', '{b}')$$),
	('recheck', $$INSERT INTO pbx.recheck (domain, what, gone) VALUES ('b', 'number', '{1}')$$), ('cdr', 'DELETE FROM pbx.cdr'),
	('domain_role', $$INSERT INTO pbx.domain_role VALUES ('anna', 'b')$$), ('tenancy', $$UPDATE pbx.tenancy SET secret = '{}'$$)) AS v(tab, q);
SELECT is(t.as_role('anna', $$UPDATE pbx.inbound_number SET target = '102'$$), '1', 'where his number leads he says himself');

-- the everyday things of a tenant
CREATE FUNCTION pg_temp.day(role name) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT is(t.as_role(role, q), gives, format('%s: %s', role, q)) FROM (VALUES
		($q$INSERT INTO pbx.extension (domain, number, display_name) VALUES ('a', '103', 'Nora New')$q$, '1'),
		($q$SELECT pbx.set_password('a', '103', 'correct-horse-battery-staple')$q$, '("")'),
		($q$INSERT INTO pbx.mailbox (domain, number) VALUES ('a', '103')$q$, '1'),
		($q$SELECT pbx.set_pin('a', '103', '4711')$q$, '("")'),
		($q$INSERT INTO pbx.forward VALUES ('a', '102', 'no_answer', '103')$q$, '1'),
		($q$INSERT INTO pbx.forward VALUES ('a', '103', 'no_answer', '199')$q$, 'forward a/103/no_answer: dialling 199 takes route _1XX of context office, and there is no 199'),
		($q$WITH r AS (INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('a', 'office', '710', 'Hello') RETURNING 1)
		    INSERT INTO pbx.step VALUES ('a', 'office', '710', 1, 'answer'), ('a', 'office', '710', 2, 'hangup')$q$, NULL),
		($q$UPDATE pbx.step SET app = 'dail' WHERE pattern = '_1XX'$q$, 'step a/office/_1XX/1: there is no application ''dail'''),
		($q$DELETE FROM pbx.extension WHERE number = '101'$q$, 'menu choice a/120/1: dialling 101 takes route _1XX of context office, and there is no 101'),
		($q$INSERT INTO pbx.feature_code (domain, code, app) VALUES ('a', '*80', 'echo')$q$, '1'),
		($q$SELECT count(*) > 0 FROM pbx.explain('a', '101', '103')$q$, '(t)'),
		($q$SELECT row_name FROM pbx.problem$q$, ''),
		($q$SELECT count(*) > 5 FROM pbx.app_param$q$, '(t)'),
		($q$SELECT domain, number FROM pbx.binding$q$, '(a,101)'),
		($q$SELECT domain FROM pbx.cdr$q$, '(a)'),
		($q$SELECT domain FROM pbx.call$q$, '(a)'),
		($q$SELECT domain FROM pbx.leg$q$, '(a)'),
		($q$SELECT pbx.check_sync('a', '103')$q$, '()'),
		($q$SELECT pbx.hangup(md5('a')::uuid) > 0$q$, '(t)'),
		($q$SELECT pbx.originate('a', '101', '102') > 0$q$, '(t)'),
		($q$SELECT pbx.schedule_switch('a', 'day', 'closed')$q$, NULL),
		($q$SELECT pbx.set_conference_pin('a', '130', '1357', '86420')$q$, '("")'),
		($q$UPDATE pbx.domain SET tones = 'gb', record = 'all' WHERE domain = 'a'$q$, '1'),
		($q$UPDATE pbx.voicemail SET deleted = now()$q$, '1'),
		($q$DELETE FROM pbx.extension WHERE number = '103'$q$, 'forward a/102/no_answer: dialling 103 takes route _1XX of context office, and there is no 103'),
		($q$DELETE FROM pbx.forward WHERE target = '103'$q$, '1'),
		($q$DELETE FROM pbx.extension WHERE number = '103'$q$, '1')) AS v(q, gives) WHERE gives IS NOT NULL
$$;
DELETE FROM pbx.change;
SELECT pg_temp.day('anna');
SELECT bag_has($$ SELECT DISTINCT "table", key FROM pbx.change $$, $$ VALUES ('extension', 'a/103'), ('credential', 'a/103'), ('forward', 'a/102/no_answer'), ('route', 'a/feature/*80') $$,
	'what a tenant changes is told to the servers');
SELECT is_empty($$ SELECT id, "table", keys FROM pbx.change_pending UNION ALL SELECT id, domain, gone FROM pbx.recheck $$, 'and nothing is left of it where only triggers write');
-- drafts, the way back, commands and what happened
SELECT is(t.as_role('anna', q), gives, q) FROM (VALUES
	($q$INSERT INTO pbx.dialplan_test (domain, name, caller, number, expected) VALUES ('a', 'second', '101', '102', pbx.outcome('a', '101', '102'))$q$, '1'),
	($q$SELECT what, row_name FROM pbx.draft_record('a', 'mine', 'UPDATE pbx.trunk SET call_limit = 3; UPDATE pbx.mailbox SET max_messages = 5; DELETE FROM pbx.setting WHERE name = ''x''')$q$,
	 E'(changed,"mailbox a/101")\n(changed,"trunk a/gw")\n(gone,"setting a/x")'),
	($q$SELECT call_limit FROM pbx.trunk$q$, '()'),
	($q$SELECT pbx.activate('a', 'mine')$q$, '(2)'),
	($q$SELECT call_limit FROM pbx.trunk$q$, '(3)'),
	($q$SELECT pbx.rollback('a')$q$, '(3)'),
	($q$SELECT call_limit FROM pbx.trunk$q$, '()'),
	($q$SELECT value FROM pbx.setting WHERE name = 'x'$q$, '(a)'),
	($q$SELECT DISTINCT who FROM pbx.history('a') WHERE row_name = 'trunk a/gw' AND what = 'changed' AND changes LIKE 'call_limit%'$q$, format('("%s as anna")', session_user)),
	($q$SELECT DISTINCT domain FROM pbx.audit$q$, '(a)'),
	($q$SELECT pbx.draft_record('b', 'd', 'DELETE FROM pbx.setting')$q$, 'there is no domain b'),
	($q$SELECT pbx.hangup(md5('b')::uuid)$q$, format('there is no call %s', md5('b')::uuid)),
	($q$INSERT INTO pbx.command (command, domain, call) VALUES ('hangup', 'a', md5('b')::uuid)$q$, format('there is no call %s in a', md5('b')::uuid)),
	($q$SELECT pbx.hangup(md5('a')::uuid) > 0$q$, '(t)'),
	($q$SELECT DISTINCT domain FROM pbx.command$q$, '(a)'),
	($q$INSERT INTO pbx.event_cursor (cursor, domain, id) VALUES ('wallboard', 'a', 0)$q$, '1'),
	($q$SELECT DISTINCT domain FROM pbx.event_next('wallboard', 1000)$q$, '(a)')) AS v(q, gives);
-- what he writes by hand there takes an operator nowhere else
INSERT INTO pbx.draft (domain, draft) VALUES ('a', 'trap');
SELECT is(t.as_role('anna', format($q$INSERT INTO pbx.draft_row VALUES ('a', 'trap', 1, 'setting', 'b/x', 'b/x', %L, %L)$q$, old, new)),
	'new row for relation "draft_row" violates check constraint "row_is_of_the_same_domain"', 'no row of another domain in a draft')
FROM (VALUES ('{"domain": "b", "name": "x", "value": "b"}'::jsonb, NULL::jsonb), (NULL, '{"domain": "b", "name": "y", "value": "b"}'),
	('{"domain": "a", "name": "x", "value": "a"}', '{"domain": "b", "name": "x", "value": "a"}'), ('{"what": "cdr", "keep": "1 day"}', NULL)) AS v(old, new);
SELECT is(t.as_role('anna', format($q$INSERT INTO pbx.draft_row VALUES ('a', 'trap', 1, %L, 'x', 'x', NULL, %L)$q$, tab, new)),
	format('draft a/trap: there are no rows of a domain in %L', tab), format('nor one of %s that says it were the domain''s', tab))
FROM (VALUES ('ban', '{"domain": "a", "source": "192.0.2.7/32"}'::jsonb), ('tenancy', '{"domain": "a", "tab": "credential", "secret": []}'),
	('retention', '{"domain": "a", "what": "cdr"}'), ('domain_role', '{"domain": "a", "role": "x"}'), ('no_table', '{"domain": "a"}')) AS v(tab, new);
SELECT is(t.as_role('anna', $$INSERT INTO pbx.dialplan_version (domain, version, changes, transaction, first_audit, last_audit) VALUES ('a', 9, 1, 1, 1, 1000)$$),
	'version a/9: versions are made by pbx.activate() and pbx.rollback()', 'no version of other changes');
SELECT is(t.as_role('anna', $$UPDATE pbx.dialplan_version SET transaction = 1$$), 'version a/1: versions are made by pbx.activate() and pbx.rollback()', 'nor one that becomes that');
SELECT is(t.as_role('otto', $$UPDATE pbx.extension SET display_name = 'by the operator' WHERE domain IN ('a', 'b') AND number = '101'$$), '2', 'an operator works in every domain');
SELECT is(t.as_role('audrey', $$UPDATE pbx.extension SET display_name = 'x'$$), 'permission denied for table extension', 'an auditor only reads');

-- what is new later
CREATE TABLE pbx.later (domain text REFERENCES pbx.domain, note integer);
CREATE TABLE pbx.unclear (x integer);
CREATE VIEW pbx.view_of_all AS SELECT domain FROM pbx.extension;
INSERT INTO pbx.later VALUES ('a', 1), ('b', 2);
CALL pbx.tenancy();
SELECT is(t.as_role('anna', 'SELECT * FROM pbx.later'), '(a,1)', 'a table that nobody thought of is guarded, too');
SELECT is(t.as_role('anna', 'SELECT * FROM pbx.unclear'), 'permission denied for table unclear', 'or closed');
SELECT is(t.as_role('anna', 'SELECT DISTINCT domain FROM pbx.view_of_all'), '(a)', 'so is a view');
SELECT throws_like($$ CALL pbx.tenant_table('pbx.unclear') $$, '%whose are its rows?%', 'who doesn''t say whose its rows are is asked');
SELECT lives_ok($$ CALL pbx.global_table('pbx.unclear', 'a test', '{SELECT}') $$, 'they are nobody''s');
SELECT is(t.as_role('anna', 'SELECT count(*) FROM pbx.unclear'), '(0)', 'then all see them');

SELECT * FROM finish();
ROLLBACK;

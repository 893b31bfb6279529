-- The doctor finds what is wrong, and what it says mends it; feature codes.
BEGIN;
SELECT plan(23);

-- The demo's mailboxes have their numbers as PINs here.
SELECT results_eq($$ SELECT DISTINCT severity, problem FROM pbx.check $$, $$ VALUES ('risk', 'its PIN is its number') $$, 'the demo office is well but for its PINs');

CREATE FUNCTION pg_temp.found(fault text, finding text, fix text, description text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	it record;
BEGIN
	EXECUTE fault;
	SELECT * INTO it FROM pbx.check AS c WHERE c.severity || ' ' || c.row_name || ': ' || c.problem LIKE finding;
	RETURN NEXT ok(it.problem IS NOT NULL, description);
	IF fix IS NULL THEN
		RETURN;
	END IF;
	EXECUTE CASE fix WHEN '' THEN it.fix ELSE replace(replace(it.fix, split_part(fix, '=', 1), split_part(fix, '=', 2)), '<none>', '') END;
	RETURN NEXT ok(NOT EXISTS (SELECT FROM pbx.check AS c WHERE c.severity || ' ' || c.row_name || ': ' || c.problem LIKE finding), 'its fix mends it');
END $$;

SELECT pg_temp.found($$ UPDATE pbx.credential SET ha1_md5 = NULL WHERE number = '1005' $$, 'error extension office/1005: it has no password%', '', 'no password');
SELECT pg_temp.found($$ SELECT pbx.set_password('office', '1006', '1006') $$, 'risk credential office/1006: its password is its number', '', 'a weak password');
SELECT pg_temp.found($$ SELECT pbx.set_pin('office', '1006', '1234') $$, 'risk mailbox office/1006: its PIN is 1234', '', 'a weak PIN');
SELECT pg_temp.found($$ INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '801') $$, 'error route office/office/801: it has no steps', '', 'a route without steps');
SELECT pg_temp.found($$ INSERT INTO pbx.ring_group (domain, number) VALUES ('office', '411') $$, 'error ring_group office/411: it has no members', '<extension>=1001', 'a group without members');
SELECT pg_temp.found($$ UPDATE pbx.extension SET srtp_keys_in_clear = true WHERE number = '1007' $$, 'risk extension office/1007: keys of%', '', 'keys in clear');
SELECT pg_temp.found($$ INSERT INTO pbx.schedule VALUES ('office', 'day') $$, 'error schedule office/day: it has no periods%', '', 'a schedule that never opens');
SELECT pg_temp.found($$ UPDATE pbx.schedule SET override = 'closed' $$, 'notice schedule office/day: it is switched to closed%', '', 'a switch that was forgotten');
SELECT pg_temp.found($$ UPDATE pbx.extension SET enabled = false WHERE number = '1008'; INSERT INTO pbx.forward VALUES ('office', '1007', 'busy', '1008') $$, 'error forward office/1007/busy: extension 1008 isn''t%', '', 'a forward to who isn''t there');
SELECT pg_temp.found($$ INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'lobby', 'sip:192.0.2.1') $$, 'risk domain office: calls go out%', NULL, 'no emergency number');

-- feature codes
INSERT INTO pbx.feature_code (domain, code, app, args, name) VALUES ('office', '*55', 'echo', '{"seconds": 5}', 'Echo'), ('office', '_*56X', 'dial', '{"number": "100${number:3}"}', NULL);
SELECT results_eq($$ SELECT context, app, args FROM pbx.explain('office', '1001', '*563') WHERE what = 'step' $$, $$ VALUES ('feature', 'dial', '{"number": "1003"}'::jsonb) $$, 'a code that is dialled');
UPDATE pbx.feature_code SET code = '*57', app = 'answer', args = '{}' WHERE code = '*55';
DELETE FROM pbx.feature_code WHERE code = '_*56X';
SELECT results_eq($$ SELECT code, app, args, name, enabled FROM pbx.feature_code $$, $$ VALUES ('*57', 'answer', '{}'::jsonb, 'Echo', true) $$, 'changed and deleted');
SELECT t.refused($$ INSERT INTO pbx.feature_code (domain, code, app) VALUES ('office', '*58', 'fly') $$, 'step office/feature/*58/1: there is no application ''fly''', 'refused as steps are');
SELECT * FROM finish();
ROLLBACK;

-- Trunks at which we register, and what servers tell of how things stand.
BEGIN;
SELECT plan(38);

INSERT INTO pbx.trunk (domain, name, context, uri, auth_user, auth_password) VALUES ('office', 'p', 'office', 'sip:p.example', 'u', 'x'),
	('office', 'q', 'office', NULL, NULL, NULL);

SELECT lives_ok($$ UPDATE pbx.trunk SET register = true WHERE name = 'p' $$, 'a trunk with address and name can be registered');
SELECT throws_like($$ UPDATE pbx.trunk SET register = true WHERE name = 'q' $$, '%registers_somewhere_as_somebody%', 'one without can''t');
SELECT throws_like($$ UPDATE pbx.trunk SET register = true, register_as = 'u' WHERE name = 'q' $$, '%registers_somewhere_as_somebody%', 'nor without address');
SELECT lives_ok($$ UPDATE pbx.trunk SET register = true, register_as = 'u@h.example', registrar = 'sips:r.example:5061;transport=tcp' WHERE name = 'q' $$,
	'name and registrar are enough');
SELECT throws_like(format('UPDATE pbx.trunk SET %s WHERE name = %L', s, 'p'), format('%%trunk_%s_check%%', c), s)
	FROM (VALUES ('registrar = ''tel:1''', 'registrar'), ('registrar = ''sip:u@h''', 'registrar'), ('register_as = ''sip:u@h''', 'register_as'),
		('register_as = ''u@h@i''', 'register_as'), ('register_expires_s = 59', 'register_expires_s'), ('contact_user = ''a b''', 'contact_user'),
		('proxy = ''p.example''', 'proxy'), ('number_from = ''from''', 'number_from'), ('qualify_s = 4', 'qualify_s'),
		('keepalive_s = 14', 'keepalive_s'), ('keepalive_s = 601', 'keepalive_s')) AS v(s, c);
SELECT throws_like($$ UPDATE pbx.trunk SET outbound = true, more_proxies = '{sip:b.example}' WHERE name = 'p' $$, '%more_proxies_are_for_flows%', 'further proxies come behind a first');
SELECT lives_ok($$ UPDATE pbx.trunk SET outbound = true, proxy = 'sip:a.example', more_proxies = '{sip:b.example,"sips:c.example;lr"}' WHERE name = 'p' $$, 'a flow through each of three');
SELECT throws_like($$ UPDATE pbx.trunk SET outbound = false WHERE name = 'p' $$, '%more_proxies_are_for_flows%', 'which are flows');
SELECT throws_like($$ UPDATE pbx.trunk SET more_proxies = '{b.example}' WHERE name = 'p' $$, '%more_proxies_are_sip_uris%', 'each is a URI');
SELECT throws_like($$ UPDATE pbx.trunk SET more_proxies = '{sip:b.example,NULL}' WHERE name = 'p' $$, '%more_proxies_are_sip_uris%', 'and there');
SELECT throws_like($$ UPDATE pbx.trunk SET more_proxies = '{sip:b.example,""}' WHERE name = 'p' $$, '%more_proxies_are_sip_uris%', 'not empty');
SELECT throws_like($$ UPDATE pbx.trunk SET more_proxies = '{"sip:b.example sip:c.example"}' WHERE name = 'p' $$, '%more_proxies_are_sip_uris%', 'and one');
SELECT throws_like($$ UPDATE pbx.domain SET qualify_s = 0 $$, '%domain_qualify_s_check%', 'NULL is never');
SELECT lives_ok($$ UPDATE pbx.extension SET qualify_s = 0 $$, 'but an extension may be left out');

SELECT pbx.trunk_state_registration('[{"domain": "office", "name": "p", "node": "n", "registration": "registered", "registered_until_ms": 1700000000000, "status": 200,
	"failures": 0}, {"domain": "office", "name": "gone", "node": "n", "registration": "failed", "failures": 1}]');
SELECT pbx.trunk_state_reach('[{"domain": "office", "name": "p", "node": "n", "reachable": true, "since_ms": 1700000000000, "rtt_us": 1500}]');
SELECT results_eq($$ SELECT name, registration, registered_until, status, reachable, rtt_us FROM pbx.trunk_state $$,
	$$ VALUES ('p', 'registered', '2023-11-14 22:13:20+00'::timestamptz, 200, true, 1500::bigint) $$, 'how a trunk stands; one that is gone is left out');
SELECT pbx.trunk_state_registration('[{"domain": "office", "name": "p", "node": "n", "registration": "failed", "failures": 3, "status": 0}]');
SELECT results_eq($$ SELECT registration, registered_until, failures, reachable FROM pbx.trunk_state $$, $$ VALUES ('failed', NULL::timestamptz, 3, true) $$,
	'the last word counts, for what it is about');

INSERT INTO pbx.binding (domain, number, contact, instance, reg_id, call_id, cseq, expires, proto, address, node) VALUES
	('office', '1001', 'sip:a', '<urn:a>', 1, 'c', 1, now(), 'udp', 'x', 'n'), ('office', '1001', 'sip:a', '', 0, 'c', 1, now(), 'udp', 'x', 'n');
SELECT pbx.binding_reach('[{"domain": "office", "number": "1001", "contact": "sip:a", "instance": "<urn:a>", "reg_id": 1, "reachable": false, "since_ms": 0, "rtt_us": null}]');
SELECT results_eq($$ SELECT reg_id, reachable FROM pbx.binding ORDER BY reg_id $$, $$ VALUES (0, NULL::boolean), (1, false) $$, 'which contact doesn''t answer');

SELECT pbx.state_forget('other');
SELECT is(count(*), 1::bigint, 'what another server saw stays') FROM pbx.trunk_state;
SELECT pbx.state_forget('n');
SELECT is(count(*), 0::bigint, 'a server that starts knows nothing') FROM pbx.trunk_state;
SELECT is(count(*), 0::bigint, 'of phones either') FROM pbx.binding WHERE reachable IS NOT NULL;

-- A server that hasn't said for ten minutes that it lives, and one that nobody knows
INSERT INTO pbx.node (node, seen) VALUES ('a', now() - interval '9 minutes'), ('b', now() - interval '11 minutes'), ('c', now() - interval '1 day');
INSERT INTO pbx.trunk_state (domain, name, node) SELECT 'office', 'p', unnest(ARRAY['a', 'b', 'c', 'd']);
SELECT pbx.node_seen('c');
SELECT results_eq($$ SELECT node FROM pbx.trunk_state ORDER BY node $$, ARRAY['a', 'c'], 'what vanished servers saw is forgotten');
SELECT is(seen, now(), 'who says that he lives does') FROM pbx.node WHERE node = 'c';
SELECT is(seen, now() - interval '9 minutes', 'alone') FROM pbx.node WHERE node = 'a';

-- Exchanges (RFC 6140)
SELECT lives_ok($$ UPDATE pbx.extension SET bulk_registers = true WHERE number = '1004' $$, 'an exchange');
SELECT lives_ok($$ UPDATE pbx.extension SET bulk_account = '1004' WHERE number IN ('1005', '1006') $$, 'and its numbers');
SELECT throws_like($$ UPDATE pbx.extension SET bulk_account = '4711' WHERE number = '1007' $$, '%bulk_account_exists%', 'of one that isn''t there');
SELECT throws_like($$ UPDATE pbx.extension SET bulk_account = '1004' WHERE number = '1004' $$, '%bulk_account_is_another%', 'of itself');
SELECT throws_like($$ DELETE FROM pbx.extension WHERE number = '1004' $$, '%bulk_account_exists%', 'one that is named stays');

SELECT * FROM finish();
ROLLBACK;

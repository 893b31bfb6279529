-- Where servers listen.
BEGIN;
SELECT plan(13);

SELECT lives_ok($$ INSERT INTO pbx.listener (transport, address, port, external, external_port)
	VALUES ('udp', '192.0.2.1', 5060, '203.0.113.1', 5070), ('tcp', '192.0.2.1', 5060, NULL, NULL) $$, 'UDP and TCP share a port');
SELECT lives_ok($$ INSERT INTO pbx.listener (node, transport, address, port, certificate, client_certificates)
	VALUES ('a', 'tls', '::', 5061, '/etc/cordboard/a.pem', 'ask') $$, 'TLS with a certificate of its own');
SELECT throws_like(format('INSERT INTO pbx.listener (transport, address, port%s) VALUES (%s)', columns, row), '%' || what || '%', what)
FROM (VALUES ('', $$'tls', '192.0.2.1', 5060$$, 'listener_socket'),
	('', $$'sctp', '192.0.2.1', 5062$$, 'listener_transport_check'),
	('', $$'udp', '192.0.2.0/24', 5062$$, 'address_is_one_address'),
	(', external', $$'udp', '192.0.2.1', 5062, '2001:db8::1'$$, 'external_is_of_the_family'),
	(', external_port', $$'udp', '192.0.2.1', 5062, 5070$$, 'external_port_needs_an_address'),
	(', certificate', $$'udp', '192.0.2.1', 5062, 'x'$$, 'certificate_is_for_tls'),
	(', certificate_key', $$'wss', '192.0.2.1', 5062, 'x'$$, 'key_needs_a_certificate'),
	(', origins', $$'tcp', '192.0.2.1', 5062, '{https://a.example}'$$, 'origins_are_for_websockets'),
	(', origins', $$'ws', '192.0.2.1', 5062, '{"https://a.example https://b.example"}'$$, 'origins_are_words')) AS rows(columns, row, what);
SELECT lives_ok($$ SELECT pbx.listener_state_set('a', '[{"transport": "udp", "address": "192.0.2.1", "port": 5060, "since_ms": 1700000000000,
	"error": null}, {"transport": "tls", "address": "::", "port": 5061, "since_ms": 1700000000000, "error": "no such file or directory"}]') $$,
	'a server says how they stand');
SELECT results_eq($$ SELECT transport, error FROM pbx.listener_state WHERE node = 'a' ORDER BY port $$,
	$$ VALUES ('udp', NULL), ('tls', 'no such file or directory') $$, 'one does, one doesn''t');

SELECT * FROM finish();
ROLLBACK;

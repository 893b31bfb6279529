-- Extensions, passwords, PINs, forwards, mailboxes.
BEGIN;
SELECT plan(55);

SELECT t.refused($$ INSERT INTO pbx.extension (domain, number, context) VALUES ('office', '2001', 'nowhere') $$, '%context_exists%', 'a context exists');
SELECT t.refused($$ INSERT INTO pbx.extension (domain, number) VALUES ('nowhere', '2001') $$, '%foreign key%', 'a domain exists');
SELECT t.refused($$ UPDATE pbx.extension SET ring_s = 0 WHERE number = '1001' $$, '%extension_ring_s_check%', 'it rings for a while');
SELECT t.refused($$ UPDATE pbx.extension SET call_limit = -1 WHERE number = '1001' $$, '%extension_call_limit_check%', 'a limit is no debt');
SELECT t.refused($$ UPDATE pbx.extension SET algorithms = '{SHA1}' WHERE number = '1001' $$, '%algorithms_are_known%', 'algorithms are known ones');
SELECT t.refused($$ UPDATE pbx.extension SET display_name = E'a\r\nVia: x' WHERE number = '1001' $$, '%display_name_is_one_line%', 'a name can''t smuggle headers');
SELECT t.refused($$ UPDATE pbx.extension SET music_class = 'jazz' WHERE number = '1001' $$, '%music_class_exists%', 'a music class exists');
SELECT t.refused($$ UPDATE pbx.extension SET language = 'english' WHERE number = '1001' $$, '%language_is_a_tag%', 'a language is a tag');

-- RFC 7616 section 3.9.1 has the same user and password, with a longer realm
SELECT lives_ok($$ SELECT pbx.set_password('office', '1001', 'Circle of Life') $$, 'a password is set');
SELECT is(ha1_md5, md5('1001:cordboard:Circle of Life'), 'HA1 of MD5') FROM pbx.credential WHERE auth_name = '1001';
SELECT is(ha1_sha256, encode(sha256('1001:cordboard:Circle of Life'), 'hex'), 'HA1 of SHA-256') FROM pbx.credential WHERE auth_name = '1001';
SELECT lives_ok($$ SELECT pbx.set_password('office', '1001', 'Grüß Gott') $$, 'a password need not be ASCII');
SELECT is(ha1_sha256, encode(sha256(convert_to('1001:cordboard:Grüß Gott', 'UTF8')), 'hex'), 'it is hashed as UTF-8') FROM pbx.credential WHERE auth_name = '1001';
SELECT is(ha1_sha512_256, pbx.sha512_256(convert_to('1001:cordboard:Grüß Gott', 'UTF8')), 'and with SHA-512/256') FROM pbx.credential WHERE auth_name = '1001';
-- The examples of FIPS 180-4 that NIST publishes, and lengths around the padding's, by openssl dgst -sha512-256
SELECT is(pbx.sha512_256('abc'), '53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23', 'SHA-512/256 of one block');
SELECT is(pbx.sha512_256('abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu'),
	'3928e184fb8690f840da3988121d31be65cb9d3ef83ee6146feac861e19b563a', 'of two');
SELECT is(pbx.sha512_256(''), 'c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a', 'of nothing');
SELECT is(pbx.sha512_256(convert_to(repeat('a', 111), 'UTF8')), '0239e429f98d0ed61ee8e2a7c30afe98c1c3a80ce5dff62a107e9c538f7632ce', 'that just fits');
SELECT is(pbx.sha512_256(convert_to(repeat('a', 112), 'UTF8')), '9216b5303edb66504570bee90e48ea5beaa5e9fe9f760bbd3e0460559fc005f6', 'that just doesn''t');
SELECT is(pbx.sha512_256(convert_to(repeat('a', 128), 'UTF8')), 'b88f97e274f9c1d49f181c8cbd01a9c74930ad055a46ac4499a1d601f1c80bf2', 'of a whole block');
SELECT t.refused($$ SELECT pbx.set_password('office', '1001', '') $$, 'credential office/1001: the password is empty', 'no empty password');
SELECT t.refused($$ SELECT pbx.set_password('nowhere', '1001', 'x') $$, 'there is no domain nowhere', 'no domain');
SELECT t.refused($$ SELECT pbx.set_password('office', 'desk', 'x') $$, 'credential office/desk: there is neither%', 'no credential');
SELECT t.accepted($$ INSERT INTO pbx.credential VALUES ('office', 'desk', '1001'); SELECT pbx.set_password('office', 'desk', 'x') $$, 'a name that is not the number');
SELECT t.refused($$ UPDATE pbx.credential SET auth_name = 'door' WHERE auth_name = 'desk' $$, 'credential office/desk: an authentication name is not changed', 'an authentication name stays');
SELECT t.refused($$ INSERT INTO pbx.credential VALUES ('office', 'a:b', '1001') $$, '%auth_name_is_a_word%', 'a colon would make HA1 ambiguous');
SELECT t.refused($$ INSERT INTO pbx.credential VALUES ('office', 'x', '9999') $$, '%extension_exists%', 'a credential has an extension');
SELECT t.refused($$ INSERT INTO pbx.credential VALUES ('office', 'x', '1001', 'plain text') $$, '%credential_ha1_md5_check%', 'a hash is hex');
SELECT t.refused($$ INSERT INTO pbx.credential VALUES ('office', 'x', '1001', NULL, repeat('A', 64)) $$, '%credential_ha1_sha256_check%', 'in lower case');

SELECT matches(pbx.pin_hash('1234'), '^sha256\$[0-9a-f]{32}\$[0-9a-f]{64}$', 'form of a PIN hash');
SELECT isnt(pbx.pin_hash('1234'), pbx.pin_hash('1234'), 'PIN hashes are salted');
SELECT ok(pbx.pin_check('1234', pbx.pin_hash('1234')), 'the right PIN');
SELECT ok(NOT pbx.pin_check('1235', pbx.pin_hash('1234')), 'a wrong PIN');
SELECT ok(NOT pbx.pin_check('1234', NULL), 'no PIN set');
-- sha256(00 11 22 33 44 55 66 77 '1234'), by sha256sum
SELECT ok(pbx.pin_check('1234', 'sha256$0011223344556677$' || encode(sha256('\x001122334455667731323334'), 'hex')), 'salt bytes come before the PIN');
SELECT t.refused($$ SELECT pbx.set_pin('office', '1001', '12a4') $$, 'a PIN has 3 to 12 digits', 'a PIN can be typed');
SELECT t.refused($$ SELECT pbx.set_pin('office', '9999', '1234') $$, 'there is no mailbox office/9999', 'a PIN has a mailbox');
SELECT t.refused($$ UPDATE pbx.mailbox SET pin_hash = '1234' $$, '%mailbox_pin_hash_check%', 'no PIN in clear');
SELECT t.accepted($$ SELECT pbx.set_pin('office', '1001', NULL) $$, 'a PIN can be removed');
SELECT t.refused($$ INSERT INTO pbx.mailbox (domain, number) VALUES ('office', '410') $$, '%extension_exists%', 'a mailbox has an extension');
SELECT t.refused($$ UPDATE pbx.mailbox SET timezone = 'Nowhere/Else' WHERE number = '1001' $$, '%timezone_is_known%', 'its time zone exists');
SELECT t.refused($$ INSERT INTO pbx.greeting VALUES ('office', '1001', 'angry', '\x00', 1) $$, '%greeting_kind_check%', 'kinds of greeting');

SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'bored', '1002') $$, '%forward_reason_check%', 'reasons to forward');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1001') $$, '%extension_does_not_forward_to_itself%', 'no forward to itself');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1010', 'busy', '700') $$, 'forward office/1010/busy: no route of context lobby matches 700', 'a forward goes where its extension may dial');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '700'); UPDATE pbx.extension SET context = 'lobby' WHERE number = '1001' $$,
	'forward office/1001/busy: no route of context lobby matches 700', 'also when its context changes');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'always', '1002'), ('office', '1002', 'always', '1003'), ('office', '1003', 'always', '1001') $$,
	'forward office/100%/always: calls would go in a circle%', 'no circle of forwards');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'always', '1002'), ('office', '1002', 'busy', '1001') $$,
	'forward office/1001/always: calls would go in a circle from 1001 over 1002 back to it: 1001 (always) to 1002, 1002 (busy) to 1001', 'nor over one who is busy');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1002'), ('office', '1002', 'no_answer', '1003'), ('office', '1003', 'unavailable', '1001') $$,
	'forward office/1001/busy: calls would go in a circle from 1001 over 1002 back to it: 1001 (busy) to 1002, 1002 (no_answer) to 1003, 1003 (unavailable) to 1001', 'of any reasons');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1002'); INSERT INTO pbx.forward VALUES ('office', '1002', 'busy', '777');
	INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '777'); INSERT INTO pbx.step VALUES ('office', 'office', '777', 1, 'dial', '{"number": "1005&1001"}') $$,
	'forward office/1001/busy: calls would go in a circle from 1001 over 1002 back to it: 1001 (busy) to 1002, 1002 (busy) to 777', 'nor over a route');
SELECT t.refused($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1002', false), ('office', '1002', 'busy', '1001', true); UPDATE pbx.forward SET enabled = true $$,
	'forward office/100_/busy: calls would go in a circle%', 'nor when one comes into force');
SELECT t.accepted($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1002', false), ('office', '1002', 'busy', '1001', true) $$, 'one that isn''t in force closes none');
DELETE FROM pbx.forward;
SELECT t.accepted($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1002'), ('office', '1002', 'always', '1003'), ('office', '1002', 'busy', '1001') $$,
	'nor one that never comes to be, behind one for all calls');
DELETE FROM pbx.forward;
SELECT t.accepted($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'busy', '1003'), ('office', '1002', 'busy', '1003'), ('office', '1003', 'busy', '1004') $$, 'two may lead to a third');
DELETE FROM pbx.forward;
SELECT t.accepted($$ INSERT INTO pbx.forward VALUES ('office', '1001', 'always', '1002'), ('office', '1002', 'busy', '1004'), ('office', '1003', 'always', '**1003') $$, 'forwards');

SELECT * FROM finish();
ROLLBACK;

-- Who sees what, subscriptions that are kept, messages for those who are away, and what phones are asked.
BEGIN;
SELECT plan(27);
SET LOCAL client_min_messages = error;

-- notes
SELECT t.accepted($$ INSERT INTO pbx.presence_note (domain, number, lamp, status, activity, note) VALUES ('office', 'door', 'busy', 'open', 'on-the-phone', 'Täglich & <gern>') $$, 'a note');
SELECT t.refused($$ UPDATE pbx.presence_note SET lamp = 'green' $$, '%presence_note_lamp_check%', 'lamps have three states');
SELECT t.refused($$ UPDATE pbx.presence_note SET status = 'maybe' $$, '%presence_note_status_check%', 'presence has two');
SELECT t.refused($$ UPDATE pbx.presence_note SET activity = 'a<b' $$, '%activity_is_a_word_of_rpid%', 'an activity is a word');
SELECT t.refused($$ UPDATE pbx.presence_note SET note = E'a\nb' $$, '%note_is_one_line%', 'a note is a line');
SELECT t.refused($$ INSERT INTO pbx.presence_note (domain, number) VALUES ('office', 'a/b') $$, '%number_can_be_dialled%', 'its number could be dialled');

-- subscriptions
CREATE FUNCTION pg_temp.doc(change jsonb) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb '{"id": "tagtagtagtagtag1", "domain": "office", "number": "1001", "package": "dialog", "resource": "1002", "entity": "sip:1002@x",
		"event": "dialog", "call_id": "c", "remote_tag": "1", "local": "<sip:1002@x>", "remote": "<sip:1001@x>", "target": "sip:1001@192.0.2.1",
		"routes": "", "contact_user": "1002", "local_seq": 1001, "remote_seq": 4294967295, "version": 1000, "proto": "udp",
		"address": "192.0.2.1:5060", "expires_ms": 1700000000000, "node": "a"}' || change
$$;
SELECT ok(pbx.outbox_take(gen_random_uuid(), 'subscription', pg_temp.doc('{}')), 'a subscription is taken');
SELECT results_eq($$ SELECT number, resource, local_seq, expires, node FROM pbx.subscription $$,
	$$ VALUES ('1001', '1002', 1001::bigint, '2023-11-14 22:13:20+00'::timestamptz, 'a') $$, 'as it was');
SELECT ok(pbx.outbox_take(gen_random_uuid(), 'subscription', pg_temp.doc('{"local_seq": 2001}')), 'then anew');
SELECT results_eq($$ SELECT local_seq FROM pbx.subscription $$, $$ VALUES (2001::bigint) $$, 'in its place');
SELECT ok(pbx.outbox_take(gen_random_uuid(), 'subscription', pg_temp.doc('{"id": "tagtagtagtagtag2", "number": "1777"}')), 'of one who is gone');
SELECT is(count(*), 1::bigint, 'nothing is kept') FROM pbx.subscription;
SELECT is_empty($$ SELECT * FROM pbx.outbox_refused $$, 'and nobody has to look at it');
SELECT ok(pbx.outbox_take(gen_random_uuid(), 'subscription', '{"id": "tagtagtagtagtag1", "remove": true}'), 'its end is taken');
SELECT is_empty($$ SELECT * FROM pbx.subscription $$, 'and it is gone');

-- messages
SELECT ok(pbx.message_store('office', '1001', '1002', 'Paul', 'text/plain', 'one', 3600, 2), 'a message is stored');
SELECT ok(pbx.message_store('office', '1001', '1002', 'Paul', 'text/plain', '\x0001ff', 3600, 2), 'another, whatever its bytes');
SELECT ok(NOT pbx.message_store('office', '1001', '1002', 'Paul', 'text/plain', 'three', 3600, 2), 'then no more');
SELECT ok(pbx.message_store('office', '1002', '1001', '', 'text/plain', 'four', 3600, 2), 'for another there is room');
UPDATE pbx.message SET expires = now() WHERE number = '1002';
SELECT ok(pbx.message_store('office', '1002', '1001', '', 'text/plain', 'five', 3600, 1), 'and where one has expired');
SELECT results_eq($$ SELECT body FROM pbx.message WHERE number = '1002' $$, $$ VALUES ('five'::bytea) $$, 'which goes then');
SELECT results_eq($$ SELECT body FROM pbx.message WHERE number = '1001' ORDER BY id $$, $$ VALUES ('one'::bytea), ('\x0001ff') $$, 'in their order');
SELECT throws_like($$ SELECT pbx.message_store('office', '1777', '1001', '', 'text/plain', 'x', 1, 2) $$, '%extension_exists%', 'for nobody none');

-- what phones are asked
SELECT pbx.check_sync('office', '1001'), pbx.check_sync('office', '1001', false), pbx.phone_talk('office', '1002'), pbx.phone_hold('office', '1002') \g /dev/null
SELECT results_eq($$ SELECT number, event FROM pbx.phone_request ORDER BY id $$,
	$$ VALUES ('1001', 'check-sync;reboot=true'), ('1001', 'check-sync;reboot=false'), ('1002', 'talk'), ('1002', 'hold') $$, 'requests of phones');
SELECT throws_like($$ SELECT pbx.check_sync('office', '1777') $$, '%extension_exists%', 'of phones that are there');

-- housekeeping
UPDATE pbx.message SET expires = now() - interval '2 hours' WHERE number = '1001';
UPDATE pbx.phone_request SET made = now() - interval '2 hours' WHERE number = '1001';
SELECT results_eq($$ SELECT what, removed FROM pbx.housekeeping() WHERE what IN ('message', 'phone_request') ORDER BY what $$,
	$$ VALUES ('message', 2::bigint), ('phone_request', 2::bigint) $$, 'what has expired goes');
SELECT is(count(*), 1::bigint, 'the rest stays') FROM pbx.message;

SELECT * FROM finish();
ROLLBACK;

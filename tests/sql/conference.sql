-- Conference rooms.
BEGIN;
SELECT plan(18);

SELECT t.accepted($$ INSERT INTO pbx.conference (domain, number, name) VALUES ('office', '880', 'Room') $$, 'a room is a number and a name');
SELECT is((SELECT kind FROM pbx.number WHERE number = '880'), 'conference', 'its number is one of the domain''s');
SELECT t.refused($$ INSERT INTO pbx.conference (domain, number) VALUES ('office', '1001') $$, 'conference office/1001: the number is taken by an extension', 'no extension''s');
SELECT t.refused($$ INSERT INTO pbx.extension (domain, number) VALUES ('office', '880') $$, 'extension office/880: the number is taken by a conference room', 'nor is its an extension''s');
SELECT t.refused($$ UPDATE pbx.conference SET max_members = 1 $$, '%max_members_check%', 'two are the least');
SELECT t.refused($$ UPDATE pbx.conference SET speakers = 7 $$, '%speakers_check%', 'no more are heard than can be');
SELECT t.refused($$ UPDATE pbx.conference SET music_class = 'jazz' $$, '%music_class_exists%', 'its music is there');
SELECT t.refused($$ UPDATE pbx.conference SET wait_for_moderator = true $$, '%a_moderator_is_known_by_a_pin%', 'who waits for a moderator needs one');
SELECT t.refused($$ SELECT pbx.set_conference_pin('office', '880', '1234', '1234') $$, '%must be another%', 'PINs differ');
SELECT t.refused($$ SELECT pbx.set_conference_pin('office', '881', '1234') $$, 'there is no conference office/881', 'of a room that is there');
SELECT t.refused($$ SELECT pbx.set_conference_pin('office', '880', 'x') $$, 'a PIN has 3 to 12 digits', 'PINs can be pressed');
SELECT t.accepted($$ SELECT pbx.set_conference_pin('office', '880', '1234', '5678'); UPDATE pbx.conference SET wait_for_moderator = true WHERE number = '880' $$, 'both');
SELECT ok((SELECT pbx.pin_check('1234', pin_hash) AND pbx.pin_check('5678', moderator_pin_hash) FROM pbx.conference WHERE number = '880'), 'they are kept as hashes');

-- steps
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '880');
SELECT t.accepted($$ INSERT INTO pbx.step VALUES ('office', 'office', '880', 1, 'conference', '{"conference": "880"}') $$, 'a step that leads there');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'office', '880', 2, 'conference', '{"conference": "881"}') $$,
	'%argument ''conference'': there is no conference ''881''', 'and none that leads nowhere');
SELECT t.refused($$ DELETE FROM pbx.conference WHERE number = '880' $$, '%there is no conference ''880''', 'a room that a step needs stays');

-- who is in them
SELECT t.accepted($$ INSERT INTO pbx.node (node) VALUES ('a'), ('b');
	INSERT INTO pbx.conference_member (call, domain, number, node) SELECT gen_random_uuid(), 'office', '880', n FROM unnest('{a,b}'::text[]) AS n;
	UPDATE pbx.node SET seen = now() WHERE node = 'a'; UPDATE pbx.node SET started = now() WHERE node = 'b' $$, 'servers write who is there');
SELECT results_eq($$ SELECT node FROM pbx.conference_member $$, ARRAY['a'], 'and forget it when they start');

SELECT * FROM finish();
ROLLBACK;

-- What is still referred to can't go; what refers goes with it or says so at COMMIT.
BEGIN;
SELECT plan(21);

INSERT INTO pbx.phrase VALUES ('en', 'menu-main'), ('en', 'hello');
INSERT INTO pbx.prompt (domain, name, path) VALUES ('office', 'own', 'own.wav'), ('office', 'hello', 'hello.wav');
INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'isp', 'lobby');
INSERT INTO pbx.music_class VALUES ('office', 'jazz');
INSERT INTO pbx.context VALUES ('office', 'night');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '800');
INSERT INTO pbx.step VALUES
	('office', 'office', '800', 1, 'playback', '{"phrases": "own&hello"}'),
	('office', 'office', '800', 2, 'dial', '{"number": "015550100", "trunk": "isp", "music": "jazz"}'),
	('office', 'office', '800', 3, 'voicemail', '{"mailbox": "1007"}'),
	('office', 'office', '800', 4, 'goto', '{"number": "1001", "context": "night"}');
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;

SELECT t.refused($$ DELETE FROM pbx.extension WHERE number = '1002' $$, 'menu choice office/400/1: dialling 1002 takes route _10XX of context lobby, and there is no 1002', 'an extension that a menu leads to');
SELECT t.refused($$ DELETE FROM pbx.extension WHERE number = '1001' $$, 'menu%office/400%there is no %1001%', 'or by a longer number');
SELECT t.refused($$ UPDATE pbx.extension SET number = '1099' WHERE number = '1002' $$, 'menu choice office/400/1: %', 'or is renumbered');
SELECT t.accepted($$ UPDATE pbx.extension SET number = '1098' WHERE number = '1003'; UPDATE pbx.menu_choice SET target = '1098' WHERE digits = '2' $$, 'unless the choice goes with it');
SELECT t.accepted($$ DELETE FROM pbx.extension WHERE number = '1005' $$, 'an extension that nothing leads to');
SELECT is_empty($$ SELECT 1 FROM pbx.number WHERE number = '1005' UNION ALL SELECT 1 FROM pbx.credential WHERE number = '1005'
	UNION ALL SELECT 1 FROM pbx.mailbox WHERE number = '1005' UNION ALL SELECT 1 FROM pbx.ring_group_member WHERE member = '1005' $$,
	'its number, password, mailbox and memberships go with it');
SELECT t.refused($$ DELETE FROM pbx.ring_group $$, '%there is no ring group ''410''', 'a group that a step rings');
SELECT t.refused($$ DELETE FROM pbx.menu $$, 'step office/office/400/1: argument ''menu'': there is no menu ''400''', 'a menu that a step runs');
SELECT t.refused($$ DELETE FROM pbx.mailbox WHERE number = '1007' $$, 'step office/office/800/3: argument ''mailbox'': there is no mailbox ''1007''', 'a mailbox');
SELECT t.refused($$ DELETE FROM pbx.trunk $$, 'step office/office/800/2: argument ''trunk'': there is no trunk ''isp''', 'a trunk');
SELECT t.refused($$ DELETE FROM pbx.music_class WHERE class = 'jazz' $$, 'step office/office/800/2: argument ''music'': there is no music class ''jazz''', 'a music class');
SELECT t.refused($$ DELETE FROM pbx.context WHERE context = 'night' $$, 'step office/office/800/4: argument ''context'': there is no context ''night''', 'a context');
SELECT t.refused($$ DELETE FROM pbx.prompt WHERE name = 'own' $$, 'step office/office/800/1: argument ''phrases'': there is no prompt or phrase ''own''', 'a prompt');
SELECT t.accepted($$ DELETE FROM pbx.prompt WHERE name = 'hello' $$, 'a prompt with a phrase behind it');
SELECT t.refused($$ DELETE FROM pbx.route WHERE pattern = '410' $$, 'menu choice office/400/3: no route of context office matches 410', 'a route that a choice takes');
SELECT t.refused($$ UPDATE pbx.route SET enabled = false WHERE pattern = '410' $$, 'menu choice office/400/3: %', 'nor be disabled');
SELECT t.refused($$ DELETE FROM pbx.context_include $$, 'menu choice office/400/1: no route of context office matches 1002', 'an include that a choice takes');
SELECT is_empty($$ SELECT * FROM pbx.recheck $$, 'nothing stays noted');

SELECT is(pbx.app_register('[{"name": "dial", "params": [{"name": "number", "type": "number", "required": true}]}]'),
	(SELECT count(*) - 1 FROM pbx.step), 'a vocabulary that lacks applications is taken, and tells how many steps don''t fit: all but one');
SELECT ok(EXISTS (SELECT FROM pbx.problem WHERE row_name = 'step office/office/700/1' AND problem = 'there is no application ''music'''), 'pbx.problem names them');
SELECT t.accepted($$ DELETE FROM pbx.domain $$, 'a domain goes with all it has');

SELECT * FROM finish();
ROLLBACK;

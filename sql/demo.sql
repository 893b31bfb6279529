-- The demo office: a small company in one domain. Run by psql in one transaction, after the migrations and
-- the registration of applications; `make run` does so on its first start.
--
--   psql -v secret=s ...   extension N gets the password sN and its mailbox the PIN N. Without: random ones.
--
-- Prints the accounts: extension, name, password, PIN.

\if :{?secret}
\else
	\set secret ''
\endif

INSERT INTO pbx.domain (domain, display_name, realm, default_context, is_default)
VALUES ('office', 'Demo office', 'cordboard', 'office', NOT EXISTS (SELECT FROM pbx.domain WHERE is_default));

INSERT INTO pbx.music_class (domain, class, name) VALUES ('office', 'default', 'Music on hold');
INSERT INTO pbx.music_file (domain, class, position, path) VALUES
	('office', 'default', 1, 'music/macroform-cold_day.wav'),
	('office', 'default', 2, 'music/macroform-robot_dity.wav'),
	('office', 'default', 3, 'music/macroform-the_simplicity.wav'),
	('office', 'default', 4, 'music/manolo_camp-morning_coffee.wav'),
	('office', 'default', 5, 'music/reno_project-system.wav');

-- Who may dial what: the phone in the lobby only reaches people, the rest of the house everything.
INSERT INTO pbx.context (domain, context, name) VALUES
	('office', 'lobby', 'Extensions only'),
	('office', 'office', 'All of the office');
INSERT INTO pbx.context_include (domain, context, position, included) VALUES ('office', 'office', 1, 'lobby');

INSERT INTO pbx.extension (domain, number, display_name, context) VALUES
	('office', '1001', 'Olive Operator', 'office'),
	('office', '1002', 'Paul Plug', 'office'),
	('office', '1003', 'Jane Jack', 'office'),
	('office', '1004', 'Connie Cord', 'office'),
	('office', '1005', 'Ken Key', 'office'),
	('office', '1006', 'Laura Lamp', 'office'),
	('office', '1007', 'Sam Switch', 'office'),
	('office', '1008', 'Tina Trunk', 'office'),
	('office', '1009', 'Bella Ringer', 'office'),
	('office', '1010', 'Lobby', 'lobby');
INSERT INTO pbx.mailbox (domain, number) SELECT domain, number FROM pbx.extension WHERE domain = 'office';

CREATE TEMPORARY TABLE demo_account ON COMMIT DROP AS
SELECT number, display_name,
       CASE WHEN :'secret' = '' THEN pbx.random_text(16, 'abcdefghijkmnpqrstuvwxyz23456789') ELSE :'secret' || number END AS password,
       CASE WHEN :'secret' = '' THEN pbx.random_text(6, '0123456789') ELSE number END AS pin
FROM pbx.extension WHERE domain = 'office';

DO $$ BEGIN
	PERFORM pbx.set_password('office', number, password), pbx.set_pin('office', number, pin) FROM demo_account;
END $$;

INSERT INTO pbx.ring_group (domain, number, name) VALUES ('office', '410', 'Sales');
INSERT INTO pbx.ring_group_member (domain, number, member) VALUES
	('office', '410', '1004'), ('office', '410', '1005'), ('office', '410', '1006');

INSERT INTO pbx.menu (domain, number, name, context, prompt, fallback)
VALUES ('office', '400', 'Main menu', 'office', 'menu-main', '1001');
INSERT INTO pbx.menu_choice (domain, number, digits, target) VALUES
	('office', '400', '1', '1002'),
	('office', '400', '2', '1003'),
	('office', '400', '3', '410'),
	('office', '400', '9', '**1001');

INSERT INTO pbx.conference (domain, number, name, music_class) VALUES ('office', '420', 'Meeting room', 'default');

INSERT INTO pbx.route (domain, context, pattern, name) VALUES
	('office', 'lobby', '_10XX', 'Extensions'),
	('office', 'lobby', '600', 'Echo test'),
	('office', 'lobby', '*97', 'Own mailbox'),
	('office', 'office', '400', 'Main menu'),
	('office', 'office', '410', 'Sales'),
	('office', 'office', '420', 'Meeting room'),
	('office', 'office', '700', 'Music'),
	('office', 'office', '*98', 'Any mailbox'),
	('office', 'office', '_**X.', 'Message for an extension');

INSERT INTO pbx.step (domain, context, pattern, position, app, args, condition) VALUES
	('office', 'lobby', '_10XX', 1, 'dial', '{"number": "${number}"}', NULL),
	('office', 'lobby', '_10XX', 2, 'voicemail', '{"mailbox": "${number}"}', 'result=busy,no_answer,unavailable,declined'),
	('office', 'lobby', '600', 1, 'echo', '{}', NULL),
	('office', 'lobby', '*97', 1, 'voicemail_menu', '{"mailbox": "${caller}"}', NULL),
	('office', 'office', '400', 1, 'menu', '{"menu": "400"}', NULL),
	('office', 'office', '410', 1, 'dial_group', '{"group": "410"}', NULL),
	('office', 'office', '420', 1, 'conference', '{"conference": "420"}', NULL),
	('office', 'office', '700', 1, 'music', '{}', NULL),
	('office', 'office', '*98', 1, 'voicemail_menu', '{}', NULL),
	('office', 'office', '_**X.', 1, 'voicemail', '{"mailbox": "${number:2}"}', NULL);

SELECT number AS extension, display_name AS name, password, pin AS "mailbox PIN" FROM demo_account ORDER BY number;

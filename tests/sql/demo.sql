-- The demo office is what the issue says: with DEMO_SECRET=s.
BEGIN;
SELECT plan(14);

SELECT is_empty('SELECT * FROM pbx.problem', 'nothing is wrong with it');
SELECT results_eq($$ SELECT number FROM pbx.extension ORDER BY number $$, $$ SELECT n::text FROM generate_series(1001, 1010) AS n $$, 'extensions 1001 to 1010');
SELECT is_empty($$ SELECT number FROM pbx.extension EXCEPT SELECT number FROM pbx.mailbox $$, 'each has a mailbox');
SELECT is_empty($$ SELECT auth_name FROM pbx.credential WHERE ha1_md5 <> md5(auth_name || ':cordboard:s' || auth_name) $$, 'extension N has the password sN');
SELECT is_empty($$ SELECT number FROM pbx.mailbox WHERE NOT pbx.pin_check(number, pin_hash) $$, 'and the PIN N');
SELECT results_eq($$ SELECT digits, target FROM pbx.menu_choice WHERE number = '400' ORDER BY digits $$, $$ VALUES ('1', '1002'), ('2', '1003'), ('3', '410'), ('9', '**1001') $$, 'the menu');
SELECT results_eq($$ SELECT retries, fallback FROM pbx.menu $$, $$ VALUES (2, '1001') $$, 'asks twice again, then goes to the operator');
SELECT is((SELECT string_agg(app, ' ' ORDER BY position) FROM pbx.explain('office', '1001', n) WHERE what = 'step' AND depth = 1), apps, n) FROM (VALUES
	('1002', 'dial voicemail'), ('400', 'menu'), ('410', 'dial_group'), ('420', 'conference'), ('600', 'echo'), ('700', 'music')) AS v(n, apps);
SELECT is((SELECT string_agg(app || args::text, ' ' ORDER BY n) FROM unnest('{*97,*98,**1002}'::text[]) AS n, pbx.explain('office', '1001', n) WHERE what = 'step'),
	'voicemail{"mailbox": "1002"} voicemail_menu{"mailbox": "1001"} voicemail_menu{}', 'voicemail codes');

SELECT * FROM finish();
ROLLBACK;

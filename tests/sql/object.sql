-- Sound, groups, menus, trunks.
BEGIN;
SELECT plan(60);

-- sound
SELECT t.refused($$ INSERT INTO pbx.prompt (domain, name) VALUES ('office', 'x') $$, '%prompt_has_a_path_or_a_sound%', 'a prompt sounds');
SELECT t.refused($$ INSERT INTO pbx.prompt (domain, name, path, sound) VALUES ('office', 'x', 'a.wav', '\x00') $$, '%prompt_has_a_path_or_a_sound%', 'in one way');
SELECT t.refused($$ INSERT INTO pbx.prompt (domain, name, path) VALUES ('office', 'x', '../../etc/shadow') $$, '%path_stays_below_the_prompts%', 'its file is below the prompts');
SELECT t.refused($$ INSERT INTO pbx.prompt (domain, name, path) VALUES ('office', 'a&b', 'a.wav') $$, '%prompt_is_a_short_name%', 'the sign between prompts is not in one');
SELECT t.refused($$ INSERT INTO pbx.music_file VALUES ('office', 'default', 9, '/etc/shadow') $$, '%path_stays_below_the_prompts%', 'music too');
SELECT t.refused($$ INSERT INTO pbx.music_file VALUES ('office', 'jazz', 1, 'a.wav') $$, '%foreign key%', 'a file has a class');
SELECT t.refused($$ DELETE FROM pbx.music_class WHERE class = 'default' $$, '%music_class_exists%', 'a class in use stays');
SELECT lives_ok($$ SELECT pbx.phrase_register('en', '{"hello": "Hello.", "bye": "Goodbye."}'), pbx.phrase_register('en', '{"hello": "Hello!", "menu-main": ""}') $$, 'phrases are registered');
SELECT results_eq($$ SELECT phrase, says FROM pbx.phrase WHERE language = 'en' ORDER BY 1 $$, $$ VALUES ('hello', 'Hello!'), ('menu-main', '') $$, 'in place of the former ones');
SELECT is(pbx.prompt_missing('office', 'hello&menu-main'), NULL, 'phrases that exist');
SELECT is(pbx.prompt_missing('office', 'hello&nope&never'), '''nope'', ''never''', 'phrases that don''t');
SELECT is(pbx.prompt_missing('office', 'hello&'), '''''', 'an empty name is none');

-- groups
SELECT t.refused($$ INSERT INTO pbx.ring_group (domain, number, strategy) VALUES ('office', '411', 'random') $$, '%ring_group_strategy_check%', 'strategies');
SELECT t.refused($$ INSERT INTO pbx.ring_group_member VALUES ('office', '410', '400') $$, '%member_is_an_extension%', 'members are extensions');
SELECT t.refused($$ INSERT INTO pbx.ring_group_member VALUES ('office', '499', '1001') $$, '%foreign key%', 'members have a group');
SELECT t.refused($$ INSERT INTO pbx.ring_group_member (domain, number, member, delay_s) VALUES ('office', '410', '1001', -1) $$, '%delay_s_check%', 'no ringing in advance');

-- menus
SELECT t.refused($$ INSERT INTO pbx.menu (domain, number, prompt) VALUES ('office', '402', 'hello') $$, 'menu office/402: it has no choices', 'a menu has choices');
SELECT t.refused($$ DELETE FROM pbx.menu_choice $$, 'menu office/400: it has no choices', 'and keeps one');
SELECT t.refused($$ UPDATE pbx.menu_choice SET target = '555' WHERE digits = '1' $$, 'menu office/400: choice 1: no route of context office matches 555', 'a choice leads somewhere');
SELECT t.refused($$ UPDATE pbx.menu_choice SET target = '1099' WHERE digits = '1' $$, 'menu office/400: choice 1: dialling 1099 takes route _10XX of context lobby, and there is no 1099', 'a route alone is not enough');
SELECT t.refused($$ UPDATE pbx.menu_choice SET target = '**1099' WHERE digits = '9' $$, '%there is no mailbox ''1099''', 'nor for a mailbox');
SELECT t.refused($$ UPDATE pbx.menu SET fallback = '555' $$, 'menu office/400: its fallback: no route%', 'a fallback leads somewhere');
SELECT t.refused($$ UPDATE pbx.menu SET context = 'lobby' $$, 'menu office/400: choice % no route of context lobby matches %', 'in the context it has');
SELECT t.refused($$ UPDATE pbx.menu SET prompt = 'hello&nope' $$, 'menu office/400: there is no prompt or phrase ''nope''', 'a prompt exists');
SELECT t.refused($$ INSERT INTO pbx.menu_choice VALUES ('office', '400', 'A', '1001') $$, '%menu_choice_digits_check%', 'choices can be pressed');
SELECT t.accepted($$ INSERT INTO pbx.menu (domain, number, prompt) VALUES ('office', '402', 'hello'); INSERT INTO pbx.menu_choice VALUES ('office', '402', '1', '400') $$, 'a menu that leads to another');

-- trunks
SELECT t.refused($$ INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'isp', 'nowhere') $$, '%context_exists%', 'a trunk has a context');
SELECT t.refused($$ INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'lobby', 'http://x') $$, '%trunk_uri_check%', 'its URI is SIP');
SELECT t.refused($$ INSERT INTO pbx.trunk (domain, name, context, auth_user) VALUES ('office', 'isp', 'lobby', 'me') $$, '%user_and_password_come_together%', 'no user without password');
SELECT t.accepted($$ INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'isp', 'lobby', 'sip:sip.example.org'), ('office', 'gw', 'lobby', NULL);
	INSERT INTO pbx.trunk_address VALUES ('office', 'isp', '192.0.2.0/24'), ('office', 'gw', '192.0.2.7') $$, 'trunks');
SELECT t.refused($$ INSERT INTO pbx.trunk_address VALUES ('office', 'gw', '192.0.2.0/24') $$, '%address_belongs_to_one_trunk%', 'an address belongs to one trunk');
SELECT t.accepted($$ UPDATE pbx.trunk SET tls_identity = 'sbc.example.org' WHERE name = 'isp' $$, 'a trunk is known by its certificate');
SELECT t.refused($$ UPDATE pbx.trunk SET tls_identity = 'sbc.example.org' WHERE name = 'gw' $$, '%tls_identity_belongs_to_one_trunk%', 'and no other by the same');
SELECT t.refused(format('UPDATE pbx.trunk SET tls_identity = %L WHERE name = ''gw''', i), '%tls_identity_is_a_domain%', i || ' is no domain in lower case')
	FROM unnest(ARRAY['SBC.example.org', 'sip:sbc.example.org', '*.example.org']) AS i;
SELECT t.refused($$ UPDATE pbx.trunk SET urgent_numbers = '{112,NULL}' $$, '%urgent_numbers_are_numbers%', 'who is called for help is known');
SELECT t.refused(format('INSERT INTO pbx.certificate SELECT %L, domain, number FROM pbx.extension LIMIT 1', i), '%identity_is_a_domain_or_a_user_there%', i || ' names nobody')
	FROM unnest(ARRAY['sip:alice@example.org', 'alice@Example.org', '@example.org', 'a@b@example.org', '*.example.org']) AS i;
SELECT t.refused(format('UPDATE pbx.%I SET codecs = %L', r, i), '%codecs_are_known%', format('%s: %s is no list of codecs', r, i))
	FROM unnest(ARRAY['extension', 'trunk']) AS r, unnest(ARRAY['{}', '{MP3}', '{PCMA,PCMA}', '{pcma}', '{PCMA,NULL}', '{{PCMA},{PCMU}}',
		'{opus,G722,PCMA,PCMU,GSM,L16/8000,L16/16000,G726-16,G726-24}']) AS i;
SELECT t.accepted($$ UPDATE pbx.trunk SET codecs = '{PCMA,L16/16000,L16/44100,G726-32,AAL2-G726-32,G729}' WHERE name = 'gw' $$, 'codecs in an order');
SELECT t.refused($$ INSERT INTO pbx.inbound_number VALUES ('tel:1', 'office', '400') $$, '%number_is_digits_perhaps_after_a_plus%', 'a public number is digits');
SELECT t.refused($$ INSERT INTO pbx.inbound_number VALUES ('+4315550100', 'office', '555') $$, 'inbound number +4315550100: no route of context office matches 555', 'it leads somewhere');
SELECT t.refused($$ INSERT INTO pbx.inbound_number VALUES ('+4315550100', 'office', '400'); UPDATE pbx.domain SET default_context = 'lobby' $$,
	'inbound number +4315550100: no route of context lobby matches 400', 'also when the default context changes');

SELECT * FROM finish();
ROLLBACK;

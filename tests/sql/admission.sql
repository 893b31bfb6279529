-- What is looked at before a call's route: inbound, emergency and blocked numbers.
BEGIN;
SELECT plan(24);

INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'isp', 'lobby');

-- inbound numbers
SELECT t.accepted($$ INSERT INTO pbx.inbound_number VALUES ('+4312345', 'office', '1001'), ('4312346', 'office', '400') $$, 'public numbers lead somewhere');
SELECT t.accepted($$ INSERT INTO pbx.inbound_number VALUES ('_4377710XX', 'office', '${number:5}') $$, 'a pattern of them');
SELECT t.refused($$ INSERT INTO pbx.inbound_number VALUES ('4312347', 'office', '9999') $$, 'inbound number 4312347: no route of context office matches 9999', 'not to nowhere');
SELECT t.refused($$ INSERT INTO pbx.inbound_number (number, domain, target, context) VALUES ('4312347', 'office', '400', 'lobby') $$, 'inbound number 4312347: no route of context lobby matches 400', 'in the context that is named');
SELECT t.refused($$ INSERT INTO pbx.inbound_number VALUES ('_43[', 'office', '1001') $$, 'inbound number office/_43[: bad pattern: the class %', 'a bad pattern');
SELECT t.refused($$ INSERT INTO pbx.inbound_number VALUES ('_4377710[0-9]X', 'office', '1001') $$, '%pattern_matches_other_numbers_than_the_rest%', 'the same numbers twice');
SELECT t.refused($$ INSERT INTO pbx.inbound_number (number, domain, target, context) VALUES ('4312347', 'office', '400', 'nowhere') $$, '%context_exists%', 'a context that isn''t there');
SELECT t.refused($$ DELETE FROM pbx.menu WHERE number = '400'; DELETE FROM pbx.step WHERE pattern = '400'; DELETE FROM pbx.route WHERE pattern = '400' $$, 'inbound number 4312346: %', 'what it leads to doesn''t go');
SELECT is((SELECT string_agg(key, ' ' ORDER BY key) FROM pbx.change WHERE "table" = 'inbound_number'), 'office/+4312345 office/4312346 office/_4377710XX', 'servers are told by domain');

-- emergency numbers
INSERT INTO pbx.schedule VALUES ('office', 'day');
INSERT INTO pbx.context VALUES ('office', 'sos');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'sos', '112'), ('office', 'sos', '113'), ('office', 'sos', '114');
INSERT INTO pbx.step VALUES ('office', 'sos', '112', 1, 'dial', '{"number": "${number}", "trunk": "isp"}', NULL),
	('office', 'sos', '113', 1, 'dial', '{"number": "1001"}', 'schedule=day');
SELECT t.accepted($$ INSERT INTO pbx.emergency_number VALUES ('office', '112', 'sos') $$, 'an emergency number');
SELECT t.refused($$ INSERT INTO pbx.emergency_number VALUES ('office', '911', 'sos') $$, 'emergency number office/911: no route of context sos matches 911', 'one without a route');
SELECT t.refused($$ INSERT INTO pbx.emergency_number VALUES ('office', '113', 'sos') $$, 'emergency number office/113: step 1 of route 113 asks for a schedule', 'one that has office hours');
SELECT t.refused($$ INSERT INTO pbx.emergency_number VALUES ('office', '114', 'sos') $$, 'emergency number office/114: route 114 of context sos has no steps', 'one that does nothing');
SELECT t.refused($$ INSERT INTO pbx.emergency_number VALUES ('office', 'x', 'sos') $$, '%number_is_digits%', 'not digits');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'sos', '112', 2, 'hangup', '{}', 'caller=1001 and schedule!=day') $$, 'emergency number office/112: step 2 of route 112 asks for a schedule', 'nor afterwards');
SELECT t.refused($$ DELETE FROM pbx.route WHERE pattern = '112' $$, 'emergency number office/112: no route of context sos matches 112', 'its route stays');
SELECT t.refused($$ UPDATE pbx.route SET enabled = false WHERE pattern = '112' $$, 'emergency number office/112: %', 'and in force');
SELECT t.refused($$ DELETE FROM pbx.context WHERE context = 'sos' $$, '%context_exists%', 'and its context');

-- blocked callers
SELECT t.accepted($$ INSERT INTO pbx.blocked_caller (domain, pattern) VALUES ('office', '_0900.'), ('office', 'anonymous'), ('office', '0123') $$, 'blocked callers');
SELECT t.refused($$ INSERT INTO pbx.blocked_caller VALUES ('office', '_') $$, 'blocked caller office/_: bad pattern: nothing follows the _', 'a bad pattern');
SELECT t.refused($$ INSERT INTO pbx.blocked_caller VALUES ('office', '_012[3]') $$, '%pattern_matches_other_numbers_than_the_rest%', 'the same twice');
SELECT t.refused($$ INSERT INTO pbx.blocked_caller VALUES ('office', '0124', 200) $$, '%status_check%', 'they aren''t answered');
SELECT t.refused($$ UPDATE pbx.domain SET call_limit = -1 $$, '%call_limit_check%', 'a limit isn''t negative');

SELECT t.accepted($$ DELETE FROM pbx.domain $$, 'a domain goes with all it has');
SELECT * FROM finish();
ROLLBACK;

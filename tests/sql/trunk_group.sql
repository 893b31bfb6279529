-- Groups of trunks.
BEGIN;
SELECT plan(10);

INSERT INTO pbx.trunk (domain, name, context, uri) VALUES ('office', 'a', 'lobby', 'sip:192.0.2.1'), ('office', 'b', 'lobby', 'sip:192.0.2.2'), ('office', 'c', 'lobby', 'sip:192.0.2.3');
INSERT INTO pbx.schedule VALUES ('office', 'day');
INSERT INTO pbx.schedule_period VALUES ('office', 'day', 1, '08:00', '17:00');
SELECT t.accepted($$ INSERT INTO pbx.trunk_group VALUES ('office', 'out');
	INSERT INTO pbx.trunk_group_member VALUES ('office', 'out', 'a', 1, 1, NULL), ('office', 'out', 'b', 1, 3, 'day'), ('office', 'out', 'c', 2, 1, NULL) $$, 'a group');
SELECT t.accepted($$ INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '_0.');
	INSERT INTO pbx.step VALUES ('office', 'office', '_0.', 1, 'dial', '{"number": "${number:1}", "trunk": "out"}') $$, 'is dialled through as a trunk is');
SELECT results_eq($$ SELECT detail FROM pbx.explain('office', '1001', '0123', '2026-11-23 10:00Z') WHERE what = 'target' $$,
	$$ VALUES ('123 by trunk b: sip:192.0.2.2'), ('123 by trunk a: sip:192.0.2.1'), ('123 by trunk c: sip:192.0.2.3') $$, 'explain names its trunks');
SELECT results_eq($$ SELECT detail FROM pbx.explain('office', '1001', '0123', '2026-11-22 10:00Z') WHERE what = 'target' $$,
	$$ VALUES ('123 by trunk a: sip:192.0.2.1'), ('123 by trunk c: sip:192.0.2.3') $$, 'those of that time');
SELECT t.refused($$ DELETE FROM pbx.trunk_group $$, 'step office/office/_0./1: argument ''trunk'': there is no trunk ''out''', 'one that is used stays');
SELECT t.refused($$ INSERT INTO pbx.trunk_group VALUES ('office', 'a') $$, 'trunk group office/a: a trunk and a trunk group have the same name', 'names are told apart');
SELECT t.refused($$ INSERT INTO pbx.trunk (domain, name, context) VALUES ('office', 'out', 'lobby') $$, 'trunk office/out: a trunk and a trunk group have the same name', 'both ways');
SELECT t.refused($$ UPDATE pbx.trunk_group SET failover = '{603}' $$, '%failover_is_4xx_and_5xx%', 'who declines isn''t asked again');
SELECT t.refused($$ DELETE FROM pbx.schedule $$, '%schedule_exists%', 'its schedule stays');
SELECT t.accepted($$ DELETE FROM pbx.domain $$, 'a domain goes with all it has');
SELECT * FROM finish();
ROLLBACK;

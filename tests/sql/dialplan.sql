-- Routes, steps, conditions, substitution; match and explain.
BEGIN;
SELECT plan(68);

SELECT t.refused($$ INSERT INTO pbx.route VALUES ('office', 'office', '_1[23') $$, 'route office/office/_1[23: bad pattern: the class ''[23'' has no end', 'a bad pattern, with the reason');
SELECT t.refused($$ UPDATE pbx.route SET pattern = '4 0' WHERE pattern = '400' $$, 'route office/office/4 0: bad pattern:%', 'also when it is changed');
SELECT t.refused($$ INSERT INTO pbx.route VALUES ('office', 'lobby', '_10[0-9]X') $$, 'route office/lobby/_10[0-9]X: the pattern matches the same numbers as _10XX', 'no two routes for the same numbers');
SELECT t.refused($$ INSERT INTO pbx.route VALUES ('office', 'nowhere', '1') $$, '%context_exists%', 'a route has a context');
SELECT t.accepted($$ INSERT INTO pbx.route VALUES ('office', 'office', '_10[0-9]X') $$, 'another context may');
SELECT t.accepted($$ UPDATE pbx.route SET pattern = '_10XX' WHERE context = 'office' AND pattern = '_10[0-9]X' $$, 'the same numbers in other words');

-- steps
SELECT t.refused(format($$ INSERT INTO pbx.step VALUES ('office', 'office', '700', 2, %L, %L) $$, app, args), 'step office/office/700/2: ' || message, why) FROM (VALUES
	('fly', '{}', 'there is no application ''fly''', 'an unknown application'),
	('echo', '{"second": 1}', 'application echo has no argument ''second''', 'an unknown argument'),
	('dial', '{}', 'application dial needs an argument ''number''', 'a missing argument'),
	('dial', '{"number": ""}', 'argument ''number'' is empty', 'an empty argument'),
	('dial', '{"number": null}', 'argument ''number'' must be one value, not null', 'a null'),
	('dial', '{"number": ["1"]}', 'argument ''number'' must be one value, not array', 'an array'),
	('dial', '{"number": "1 2"}', 'argument ''number'': ''1 2'' is no number that can be dialled', 'a bad number'),
	('dial', '{"number": "1001", "ring_s": "soon"}', 'argument ''ring_s'': ''soon'' is no number of seconds', 'bad seconds'),
	('dial', '{"number": "1001", "ring_s": -1}', 'argument ''ring_s'': ''-1'' is no number of seconds', 'negative seconds'),
	('dial', '{"number": "1001", "trunk": "isp"}', 'argument ''trunk'': there is no trunk ''isp''', 'no trunk'),
	('record', '{"action": "strt"}', 'argument ''action'': ''strt'' is none of start, pause, resume, stop', 'none of the words there are'),
	('hangup', '{"status": "busy"}', 'argument ''status'': ''busy'' is no whole number', 'a bad int'),
	('music', '{"class": "jazz"}', 'argument ''class'': there is no music class ''jazz''', 'no music'),
	('menu', '{"menu": "410"}', 'argument ''menu'': there is no menu ''410''', 'no menu'),
	('dial_group', '{"group": "400"}', 'argument ''group'': there is no ring group ''400''', 'no group'),
	('voicemail', '{"mailbox": "9999"}', 'argument ''mailbox'': there is no mailbox ''9999''', 'no mailbox'),
	('goto', '{"number": "1001", "context": "nowhere"}', 'argument ''context'': there is no context ''nowhere''', 'no context'))
	AS v(app, args, message, why);
SELECT t.refused($$ INSERT INTO pbx.phrase VALUES ('en', 'hello'); INSERT INTO pbx.step VALUES ('office', 'office', '700', 2, 'playback', '{"phrases": "hello&nope"}') $$,
	'step office/office/700/2: argument ''phrases'': there is no prompt or phrase ''nope''', 'no prompt');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'office', '700', 2, 'echo', '[]') $$, '%args_are_an_object%', 'arguments are an object');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'office', '555', 1, 'echo') $$, '%route_exists%', 'a step has a route');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'office', '700', 0, 'echo') $$, '%step_position_check%', 'positions begin with 1');
SELECT t.accepted($$ INSERT INTO pbx.step VALUES ('office', 'office', '700', 2, 'dial', '{"number": "${number:1}&1001", "ring_s": 5, "trunk": "${trunk}"}') $$, 'values that are made up at the call');
SELECT t.accepted($$ INSERT INTO pbx.step VALUES ('office', 'office', '700', 3, 'menu', '{"menu": "404"}');
	INSERT INTO pbx.menu (domain, number, prompt) VALUES ('office', '404', 'hello'); INSERT INTO pbx.menu_choice VALUES ('office', '404', '1', '1001') $$,
	'what is referred to may come later in the transaction');

SELECT t.accepted($$ UPDATE pbx.step SET condition = ' result = busy , no_answer and caller!=1001 and number=_10XX' WHERE pattern = '700' $$, 'a condition');
SELECT t.refused(format('UPDATE pbx.step SET condition = %L WHERE pattern = ''700''', c), '%condition_is_valid%', format('%L is no condition', c))
FROM unnest(ARRAY['', 'busy', 'result==busy', 'result=', 'result=a,', 'result=a or result=b', 'result=a and', 'Result=a', 'result=a b']) AS c;

SELECT is(pbx.substitute(template, '{"number": "**1001", "caller": "1002", "empty": ""}'), result, format('substitute %s', template)) FROM (VALUES
	('x', 'x'), ('${number}', '**1001'), ('a${number}b${caller}c', 'a**1001b1002c'), ('${number:2}', '1001'), ('${number:2:3}', '100'), ('${number:99}', ''),
	('${nothing}', ''), ('${nothing:-none}', 'none'), ('${empty:-none}', 'none'), ('${caller:-none}', '1002'), ('$caller', '$caller'), ('${caller', '${caller'), ('${}', '${}'))
	AS v(template, result);
SELECT is(pbx.substitute('${result} ${caller}', '{"caller": "1"}', true), '${result} 1', 'what is not known yet can be kept');

-- match
INSERT INTO pbx.context VALUES ('office', 'a'), ('office', 'b'), ('office', 'c'), ('office', 'd');
INSERT INTO pbx.context_include VALUES ('office', 'a', 1, 'b'), ('office', 'a', 2, 'c'), ('office', 'b', 1, 'd'), ('office', 'c', 1, 'd');
INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'a', '_2!'), ('office', 'b', '_X.'), ('office', 'c', '25'), ('office', 'c', '35'), ('office', 'd', '_3X'), ('office', 'd', '4');
SELECT results_eq($$ SELECT context FROM pbx.context_order('office', 'a') ORDER BY place $$, '{a,b,d,c}'::text[], 'includes are walked depth first, each once');
SELECT is((pbx.match('office', 'a', '25')).pattern, '_2!', 'a context''s own route wins over a more specific one that is included');
SELECT is((pbx.match('office', 'a', '35')).pattern, '_X.', 'the first include wins over later ones');
SELECT is((pbx.match('office', 'a', '4')).context, 'd', 'an include of an include');
SELECT is((pbx.match('office', 'c', '25')).context, 'c', 'in another context it is another');
SELECT is((pbx.match('office', 'd', '25')).pattern, NULL, 'or none');
UPDATE pbx.route SET enabled = false WHERE context = 'a';
SELECT is((pbx.match('office', 'a', '25')).pattern, '_X.', 'a route that is not enabled is not there');
UPDATE pbx.route SET enabled = true WHERE context = 'a';
SELECT results_eq($$ SELECT context, pattern FROM pbx.route_candidates('office', 'a', '35') ORDER BY place, rank $$,
	$$ VALUES ('b', '_X.'), ('d', '_3X'), ('c', '35') $$, 'all that match, by the order of their contexts');
SELECT is_empty($$ SELECT * FROM pbx.route_candidates('office', 'a', '_3X') $$, 'who dials what a pattern is written as doesn''t reach it by that');
-- Thousands of others are not looked at: what the statistics of this transaction say of the rows fetched.
INSERT INTO pbx.route (domain, context, pattern) SELECT 'office', 'd', CASE WHEN n % 2 = 0 THEN '_' || 7000 + n || 'X' ELSE (70000 + n)::text END FROM generate_series(1, 2000) AS n;
CREATE TEMPORARY TABLE fetched AS SELECT pg_stat_get_xact_tuples_fetched('pbx.route'::regclass) + pg_stat_get_xact_tuples_returned('pbx.route'::regclass) AS n;
SELECT pbx.match('office', 'a', n) FROM unnest('{71985,72002,35,9}'::text[]) AS n \g /dev/null
SELECT cmp_ok(pg_stat_get_xact_tuples_fetched('pbx.route'::regclass) + pg_stat_get_xact_tuples_returned('pbx.route'::regclass) - n, '<', 60::bigint,
	'a number is found without going through the routes of a context') FROM fetched;

-- explain
SELECT results_eq($$ SELECT context, pattern, position, app, args, condition FROM pbx.explain('office', '1010', '1002') WHERE what = 'step' $$,
	$$ VALUES ('lobby', '_10XX', 1, 'dial', '{"number": "1002"}'::jsonb, NULL),
	          ('lobby', '_10XX', 2, 'voicemail', '{"mailbox": "1002"}'::jsonb, 'result=busy,no_answer,unavailable,declined') $$, 'explain shows the steps');
SELECT is_empty($$ SELECT * FROM pbx.explain('office', '1010', '400') WHERE what = 'step' $$, 'a caller''s calls are limited by its context');
SELECT results_eq($$ SELECT args FROM pbx.explain('office', '1002', '*97') WHERE what = 'step' $$, $$ VALUES ('{"mailbox": "1002"}'::jsonb) $$, 'it knows who calls');
SELECT results_eq($$ SELECT app FROM pbx.explain('office', NULL, '400') WHERE what = 'step' $$, $$ VALUES ('menu') $$, 'nobody dials in the default context');
SELECT throws_like($$ SELECT pbx.explain('office', '9999', '400') $$, 'domain office has no extension or trunk 9999', 'an unknown caller is told');

SELECT * FROM finish();
ROLLBACK;

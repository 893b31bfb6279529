-- Scripts: what the table refuses, who refers to them, and what servers say of them.
BEGIN;
SELECT plan(21);

SELECT lives_ok($$ INSERT INTO pbx.script VALUES ('office', 'hello', E'answer()\nplayback("hello")', 'says hello') $$, 'a script');
SELECT throws_like(format('INSERT INTO pbx.script (domain, name, source) VALUES (%s)', row), '%' || what || '%', what || ': ' || row)
FROM (VALUES ($$'office', 'hello', 'x()'$$, 'script_pkey'), ($$'office', 'a b', 'x()'$$, 'script_is_a_short_name'), ($$'office', 'a/b', 'x()'$$, 'script_is_a_short_name'),
	($$'office', 'empty', E' \n'$$, 'source_is_not_empty'), ($$'office', 'big', repeat('x', 65537)$$, 'source_has_at_most_64_kb'),
	($$'office', 'code', E'\x1bLua'$$, 'source_is_text'), ($$'nowhere', 'x', 'x()'$$, 'foreign key')) AS rows(row, what);
SELECT throws_like($$ UPDATE pbx.domain SET script_memory_kb = 1000000 $$, '%script_memory_kb%', 'memory has bounds');
SELECT throws_like($$ UPDATE pbx.domain SET script_instructions = 0 $$, '%script_instructions%', 'instructions, too');
SELECT results_eq($$ SELECT script_instructions, script_memory_kb FROM pbx.domain WHERE domain = 'office' $$, $$ VALUES (1000000::bigint, 1024) $$, 'and defaults');

INSERT INTO pbx.route (domain, context, pattern) VALUES ('office', 'office', '800');
SELECT t.accepted($$ INSERT INTO pbx.step VALUES ('office', 'office', '800', 1, 'script', '{"name": "hello"}') $$, 'a step that runs it');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'office', '800', 2, 'script', '{"name": "nothing"}') $$,
	'step office/office/800/2: argument ''name'': there is no script ''nothing''', 'none that runs what isn''t there');
SELECT t.refused($$ INSERT INTO pbx.step VALUES ('office', 'office', '800', 2, 'script') $$, '%needs an argument ''name''', 'nor nothing');
SELECT t.refused($$ DELETE FROM pbx.script $$, 'step office/office/800/1: argument ''name'': there is no script ''hello''', 'it can''t go while a step runs it');
SELECT t.refused($$ UPDATE pbx.script SET name = 'hi' $$, 'step office/office/800/1: %', 'nor be renamed');
SELECT t.accepted($$ UPDATE pbx.script SET source = 'hangup()' $$, 'but changed');

SELECT pbx.script_state_set('office', 'hello', 'something else', 'hello:1: wrong');
SELECT is_empty($$ SELECT 1 FROM pbx.script_state $$, 'what a server says of another source counts for nothing');
SELECT pbx.script_state_set('office', 'hello', source, 'hello:1: wrong') FROM pbx.script;
SELECT results_eq($$ SELECT severity, problem FROM pbx.check WHERE row_name = 'script office/hello' $$,
	$$ VALUES ('error', 'it does not compile: hello:1: wrong') $$, 'of this one it is told by the doctor');
UPDATE pbx.script SET source = 'hangup(486)';
SELECT is_empty($$ SELECT 1 FROM pbx.check WHERE row_name LIKE 'script%' $$, 'until it is changed');
SELECT results_eq($$ SELECT app, args ->> 'name' FROM pbx.explain('office', '1001', '800') WHERE app = 'script' $$,
	$$ VALUES ('script', 'hello') $$, 'explain() shows the step');

SELECT * FROM finish();
ROLLBACK;

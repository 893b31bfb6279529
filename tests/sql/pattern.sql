-- Patterns: what is one, what it matches, which of two wins. The rules of src/plan/pattern.h.
BEGIN;
SELECT plan(73);

SELECT ok(pbx.pattern_valid(p), format('%L is a pattern', p)) FROM unnest(ARRAY[
	'1', '1001', '*97', '#31#', '+4315550100', 'john', 'john.doe', 'a-b_c', '_X', '_XZN', '_10XX', '_[13-57]', '_[0]X.', '_.', '_!', '_+43.', '_**X.', '_#!',
	repeat('1', 64), '_' || repeat('X', 64), '_' || repeat('[0-9]', 64)]) AS p;
SELECT ok(NOT pbx.pattern_valid(p), format('%L is none', p)) FROM unnest(ARRAY[
	'', '_', '12 3', '1/2', '[12]', '12!', '_x', '_1.2', '_!!', '_..', '_[', '_[]', '_[12', '_[a]', '_[5-3]', '_[1-]', '_[-1]', '_[1-3-5]', '_A', '_1-2', '_]', 'ü', '_ü',
	repeat('1', 65), '_' || repeat('X', 65)]) AS p;
SELECT is(pbx.pattern_problem('_12[3'), 'the class ''[3'' has no end', 'a problem is told');
SELECT is(pbx.pattern_valid(NULL), false, 'NULL is no pattern');

SELECT is(pbx.pattern_matches(p, n), m, format('%L %s %L', p, CASE WHEN m THEN 'matches' ELSE 'does not match' END, n)) FROM (VALUES
	('1001', '1001', true), ('1001', '10011', false), ('john', 'John', false), ('1.1', '121', false),
	('_10XX', '1099', true), ('_10XX', '109', false), ('_10XX', '10a9', false), ('_Z', '0', false), ('_N', '1', false), ('_N', '9', true),
	('_[13-57]', '4', true), ('_[13-57]', '6', false), ('_0.', '0', false), ('_0.', '0x', true), ('_0!', '0', true), ('_!', '', true), ('_.', '', false),
	('_**X.', '**12', true), ('_+4X', '+43', true), ('_+4X', '443', false)) AS v(p, n, m);

-- from the most to the least specific
SELECT results_eq(
	$$ SELECT p FROM unnest('{_!,_.,_1!,_XX,_NX,_1.,_ZX,_[1-3]X,_[12]X,_1X,_1[25],_1[24],12,_X!}'::text[]) AS p ORDER BY pbx.pattern_rank(p) $$,
	'{12,_1[24],_1[25],_1X,_1.,_1!,_[12]X,_[1-3]X,_NX,_ZX,_XX,_X!,_.,_!}'::text[], 'fewer members first, position by position');
SELECT is(pbx.pattern_rank('_[0-9]1'), pbx.pattern_rank('_X1'), 'one set written in two ways has one rank');
SELECT is(pbx.pattern_rank('_[531]'), pbx.pattern_rank('_[135]'), 'order in a class means nothing');
SELECT ok(pbx.pattern_rank('_12!') > pbx.pattern_rank('12'), 'a pattern that ends wins over one that goes on');
SELECT ok(pbx.pattern_rank('1.') < pbx.pattern_rank('_1.'), 'a dot in a literal is a dot');

SELECT * FROM finish();
ROLLBACK;

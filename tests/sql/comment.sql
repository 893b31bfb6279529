-- All that an administrator can see explains itself.
BEGIN;
SELECT plan(5);

SELECT is_empty($$
	SELECT relname FROM pg_class WHERE relnamespace = 'pbx'::regnamespace AND relkind IN ('r', 'p', 'v') AND obj_description(oid, 'pg_class') IS NULL
$$, 'every table and view has a comment');
SELECT is_empty($$
	SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
	WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
	  AND col_description(c.oid, a.attnum) IS NULL
$$, 'every column has a comment');
SELECT is_empty($$
	SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = 'pbx'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL
$$, 'every function and procedure has a comment');
SELECT is_empty($$
	SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'pbx'::regnamespace AND c.relkind IN ('i', 'I')
	  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid) AND obj_description(c.oid, 'pg_class') IS NULL
$$, 'every index that is no constraint''s has a comment');
SELECT is_empty($$ SELECT nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
	WHERE extname NOT IN ('plpgsql', 'pgtap') $$, 'nothing beyond plpgsql is needed');

SELECT * FROM finish();
ROLLBACK;

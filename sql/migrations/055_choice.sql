-- Arguments that are one of a few words; cadences that can be heard.

ALTER TABLE pbx.app_param ADD COLUMN choices text[] CHECK (array_position(choices, NULL) IS NULL);
COMMENT ON COLUMN pbx.app_param.choices IS 'The words that a value must be one of; NULL: it need not.';

CREATE OR REPLACE FUNCTION pbx.args_problem(domain text, app text, args jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    problem text;
BEGIN
    IF NOT EXISTS (SELECT FROM pbx.app AS a WHERE a.app = $2) THEN
        RETURN format('there is no application %L', $2);
    END IF;
    SELECT CASE
        WHEN p.param IS NULL THEN format('application %s has no argument %L', $2, a.key)
        WHEN a.key IS NULL THEN format('application %s needs an argument %L', $2, p.param)
        WHEN jsonb_typeof(a.value) NOT IN ('string', 'number', 'boolean')
            THEN format('argument %L must be one value, not %s', a.key, jsonb_typeof(a.value))
        WHEN (a.value #>> '{}') LIKE '%${%' THEN NULL
        WHEN p.required AND (a.value #>> '{}') = '' THEN format('argument %L is empty', a.key)
        WHEN (a.value #>> '{}') <> ALL (p.choices) THEN format('argument %L: %L is none of %s', a.key, a.value #>> '{}', array_to_string(p.choices, ', '))
        ELSE format('argument %L: ', a.key) || pbx.value_problem($1, p.type, a.value #>> '{}')
        END AS what
    INTO problem
    FROM (SELECT * FROM pbx.app_param WHERE app = $2) AS p
    FULL JOIN jsonb_each($3) AS a ON a.key = p.param
    WHERE a.key IS NOT NULL OR p.required
    ORDER BY what NULLS LAST LIMIT 1;
    RETURN problem;
END $$;

CREATE OR REPLACE FUNCTION pbx.app_register(doc jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    -- Several nodes may start at once.
    LOCK TABLE pbx.app IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM pbx.app AS a WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(doc) AS d WHERE d ->> 'name' = a.app);
    INSERT INTO pbx.app (app, help)
    SELECT d ->> 'name', coalesce(d ->> 'help', '') FROM jsonb_array_elements(doc) AS d
    ON CONFLICT (app) DO UPDATE SET help = excluded.help;

    DELETE FROM pbx.app_param AS p WHERE NOT EXISTS (
        SELECT FROM jsonb_array_elements(doc) AS d, jsonb_array_elements(coalesce(d -> 'params', '[]')) AS q
        WHERE d ->> 'name' = p.app AND q ->> 'name' = p.param);
    INSERT INTO pbx.app_param (app, param, type, required, default_value, help, choices)
    SELECT d ->> 'name', q ->> 'name', q ->> 'type', coalesce((q ->> 'required')::boolean, false), q ->> 'default', coalesce(q ->> 'help', ''),
           CASE jsonb_typeof(q -> 'choices') WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(q -> 'choices')) END
    FROM jsonb_array_elements(doc) AS d, jsonb_array_elements(coalesce(d -> 'params', '[]')) AS q
    ON CONFLICT (app, param) DO UPDATE
    SET type = excluded.type, required = excluded.required, default_value = excluded.default_value, help = excluded.help,
        choices = excluded.choices;

    RETURN (SELECT count(*) FROM pbx.step AS s WHERE pbx.args_problem(s.domain, s.app, s.args) IS NOT NULL);
END $$;
COMMENT ON FUNCTION pbx.app_register(jsonb) IS 'Replaces the vocabulary of applications: [{"name", "help", "params": [{"name", "type", "required", "default", "help", "choices"}]}]. Steps that exist are not refused; returns how many no longer fit (see pbx.problem).';

-- A tone of 0 Hz is none, and who was to hear it heard nothing.
CREATE OR REPLACE FUNCTION pbx.is_cadence(cadence text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(cadence !~ '(^| )0+([+*/ ]|$)' AND (cadence ~ '^\d{2,4}([+*]\d{1,4})?$'
        OR cadence ~ '^\d{2,4}([+*]\d{1,4})?/[1-9]\d{0,4}(/\d{1,5})?( \d{2,4}([+*]\d{1,4})?/[1-9]\d{0,4}(/\d{1,5})?){0,7}$'
           AND (SELECT bool_and(n::int <= 65535) FROM regexp_matches(cadence, '/(\d+)', 'g') AS m, unnest(m) AS n)), false);

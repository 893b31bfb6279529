-- Of Asterisk: Goto(name-${DIALSTATUS},1) after Dial, with a number for each of the ways in which it ends.

CREATE FUNCTION pbx.asterisk_status() RETURNS TABLE (status text, results text) LANGUAGE sql IMMUTABLE AS $$
    VALUES ('BUSY', 'busy,declined'), ('NOANSWER', 'no_answer'), ('CHANUNAVAIL', 'unavailable'), ('CONGESTION', 'congestion')
$$;
COMMENT ON FUNCTION pbx.asterisk_status() IS 'Asterisk''s DIALSTATUS, and which results of the application dial each is.';

CREATE OR REPLACE FUNCTION pbx.asterisk_routes(domain text, lines pbx.conf_line[]) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    r record;
    s record;
    t record;
    m text[];
    globals CONSTANT jsonb := (SELECT coalesce(jsonb_object_agg(upper(c.key), c.value), '{}') FROM unnest($2) AS c WHERE c.section = 'globals' AND c.key ~ '^\w+$' AND c.value IS NOT NULL);
    vars jsonb;
    name text;
    arg text;
    steps jsonb;
    dialled boolean;
    ends jsonb;   -- "section": {"name": true}: numbers that Goto(name-${DIALSTATUS},1) leads to
    shared jsonb; -- "section": {"NAME": "..."}: variables that those use and others set
BEGIN
    SELECT coalesce(jsonb_object_agg(e.section, e.names), '{}') INTO ends FROM (
        SELECT c.section, jsonb_object_agg(t.theirs, true) AS names
        FROM unnest($2) AS c, regexp_match(c.value, 'Goto\((?:[^,()]*,)?([A-Za-z][A-Za-z0-9_-]*)\$\{DIALSTATUS\},1\)', 'i') AS g,
             LATERAL (SELECT DISTINCT substring(o.value FROM '^([^,]+?)\s*,') AS theirs FROM unnest($2) AS o WHERE o.section = c.section AND o.key = 'exten') AS t
        WHERE c.key IN ('exten', 'same') AND t.theirs IN (SELECT g[1] || s.status FROM pbx.asterisk_status() AS s) GROUP BY c.section) AS e;
    SELECT coalesce(jsonb_object_agg(v.section, v.names), '{}') INTO shared FROM (
        SELECT c.section, jsonb_object_agg(upper(m[1]), format(E'\x01%s\x02', lower(m[1]))) AS names
        FROM unnest($2) AS c, regexp_match(c.value, 'Set\(_*([A-Za-z][A-Za-z0-9_]*)=', 'i') AS m WHERE c.key IN ('exten', 'same') AND m[1] IS NOT NULL AND ends ? c.section GROUP BY c.section) AS v;
    FOR r IN
        -- "same" goes on with the number of the line before.
        WITH lines AS (
            SELECT c.*, CASE c.key WHEN 'exten' THEN regexp_match(c.value, '^([^,]+?)\s*,\s*([^,]+?)\s*,\s*(.*)$') WHEN 'same' THEN regexp_match(c.value, '^()\s*([^,]+?)\s*,\s*(.*)$') END AS m,
                   count(*) FILTER (WHERE c.key = 'exten') OVER (ORDER BY c.n) AS exten
            FROM unnest($2) WITH ORDINALITY AS c(file, line, section, section_line, templates, key, value, n) WHERE c.key IS NOT NULL AND c.section NOT IN ('general', 'globals')
        ), named AS (
            SELECT l.*, first_value(l.m[1]) OVER (PARTITION BY l.exten ORDER BY l.n) AS theirs FROM lines AS l WHERE l.key IN ('exten', 'same')
        )
        -- A dash in a number is there to be read.
        SELECT n.section, n.theirs, replace(n.theirs, '-', '') AS pattern, min(n.file) AS file, min(n.line) AS line,
               jsonb_agg(jsonb_build_object('line', n.line, 'priority', n.m[2], 'call', n.m[3], 'value', n.value) ORDER BY n.n) AS calls
        FROM named AS n GROUP BY n.section, n.theirs ORDER BY min(n.n)
    LOOP
        steps := '[]';
        vars := globals || CASE WHEN ends -> r.section ? r.theirs THEN coalesce(shared -> r.section, '{}') ELSE '{}' END;
        dialled := false;
        FOR s IN SELECT * FROM jsonb_to_recordset(r.calls) AS x(line integer, priority text, call text, value text) LOOP
            CONTINUE WHEN s.priority = 'hint'; -- lamps need none here
            m := regexp_match(s.call, '^\s*([A-Za-z]+)\s*(?:\((.*)\))?\s*$');
            IF r.theirs ~ '^([a-z]$|[A-Za-z].*-)' AND NOT coalesce(ends -> r.section ? r.theirs, false) OR r.theirs ~ '/' OR m IS NULL THEN
                steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'problem',
                    CASE WHEN r.theirs ~ '^([a-z]$|[A-Za-z].*-)' THEN format('"%s" is nothing that is dialled', r.theirs) WHEN r.theirs ~ '/' THEN 'a route doesn''t ask for the caller: give a step the condition caller=...' ELSE 'not understood' END);
                CONTINUE;
            END IF;
            CONTINUE WHEN lower(m[1]) IN ('noop', 'verbose', 'log', 'progress');
            -- Where a call goes by the way in which Dial ended, to numbers that nobody dials.
            IF lower(m[1]) = 'goto' AND ends ? r.section AND (m[2] ~ '^[A-Za-z][A-Za-z0-9_-]*\$\{DIALSTATUS\},1$' AND dialled OR ends -> r.section ? split_part(m[2], ',', 1)) THEN
                steps := steps || coalesce((SELECT jsonb_agg(jsonb_build_object('line', s.line, 'said', s.value, 'app', 'goto', 'args', jsonb_build_object('number', x.name), 'condition', x.condition) ORDER BY x.name) FROM (
                    SELECT replace(split_part(m[2], ',', 1), '${DIALSTATUS}', t.status) AS name, CASE WHEN m[2] ~ 'DIALSTATUS' THEN 'result=' || t.results WHEN dialled THEN 'result!=answered' END AS condition
                    FROM pbx.asterisk_status() AS t WHERE m[2] ~ 'DIALSTATUS' OR t.status = 'BUSY') AS x WHERE ends -> r.section ? x.name), '[]');
                CONTINUE;
            END IF;
            arg := replace(replace(pbx.asterisk_text(coalesce(m[2], ''), vars), E'\x01', '${'), E'\x02', '}');
            -- A variable stands for its value from here on.
            name := CASE WHEN lower(m[1]) = 'set' THEN substring(m[2] FROM '^_*([A-Za-z]\w*)\s*=') END;
            IF name IS NOT NULL AND arg IS NOT NULL THEN
                vars := vars || jsonb_build_object(upper(name), substring(arg FROM '=(.*)$'));
                IF shared -> r.section ? upper(name) THEN
                    steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'app', 'set', 'args', jsonb_build_object('name', lower(name), 'value', substring(arg FROM '=(.*)$')), 'condition', CASE WHEN dialled THEN 'result!=answered' END);
                END IF;
                CONTINUE;
            ELSIF arg IS NULL THEN
                vars := CASE WHEN name IS NOT NULL THEN vars - upper(name) ELSE vars END;
                steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'problem', 'a variable or expression has no counterpart');
                CONTINUE;
            END IF;
            FOR t IN SELECT * FROM pbx.asterisk_step(m[1], CASE WHEN m[2] IS NULL THEN ARRAY[''] ELSE pbx.asterisk_split(arg) END) LOOP
                CONTINUE WHEN t.app IS NULL AND t.problem IS NULL;
                -- In Asterisk a call that was answered ends after Dial.
                steps := steps || jsonb_build_object('line', s.line, 'said', s.value, 'app', t.app, 'args', t.args, 'problem', t.problem, 'condition', CASE WHEN dialled THEN 'result!=answered' END);
                dialled := dialled OR t.app IS NOT DISTINCT FROM 'dial';
            END LOOP;
        END LOOP;
        RETURN QUERY SELECT * FROM pbx.import_route($1, r.section, CASE WHEN ends -> r.section ? r.theirs THEN r.theirs ELSE r.pattern END, '', r.file, r.line, format('exten => %s', r.theirs), steps);
    END LOOP;
    RETURN QUERY SELECT i.* FROM unnest($2) WITH ORDINALITY AS c(file, line, section, section_line, templates, key, value, n), LATERAL pbx.import_include($1, c.file, c.line, c.section, c.value) AS i
        WHERE c.key = 'include' AND c.value IS NOT NULL ORDER BY c.n;
    RETURN QUERY SELECT c.file, c.line, concat_ws(' => ', c.key, c.value), NULL, 'not understood', NULL, NULL
        FROM unnest($2) AS c WHERE c.key IS NOT NULL AND (c.key NOT IN ('exten', 'same', 'include') AND c.section <> 'globals' OR c.value IS NULL);
END $$;
COMMENT ON FUNCTION pbx.asterisk_routes(text, pbx.conf_line[]) IS 'For imports: the dialplan of extensions.conf, or of the table extensions.';


-- An office that comes from FreeSWITCH or FusionPBX: its XML becomes a draft, with a report, as Asterisk's files do (127).

-- Rooms have names, too.
CREATE OR REPLACE FUNCTION pbx.import_route(domain text, context text, pattern text, name text, file text, line integer, said text, steps jsonb, is_lost boolean DEFAULT false) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    s record;
    made text := '';
    position integer := 0;
BEGIN
    FOR s IN SELECT * FROM jsonb_to_recordset(steps) AS x(line integer, said text, app text, args jsonb, condition text, problem text, fix text) LOOP
        IF s.app IS NOT NULL AND pbx.prompt_missing(domain, s.args ->> 'phrases') IS NOT NULL THEN
            s.problem := format('there is no prompt or phrase %s', pbx.prompt_missing(domain, s.args ->> 'phrases'));
            s.app := NULL;
        END IF;
        IF s.problem IS NOT NULL THEN
            RETURN NEXT ROW(file, s.line, s.said, NULL, s.problem, s.fix, NULL)::pbx.import_told;
        END IF;
        is_lost := is_lost OR s.app IS NULL;
        CONTINUE WHEN s.app IS NULL;
        IF s.app = 'conference' AND s.args ->> 'conference' ~ '^[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,62}$' THEN
            RETURN NEXT ROW(file, s.line, s.said, format('INSERT INTO pbx.conference (domain, number) VALUES (%L, %L) ON CONFLICT DO NOTHING', domain, s.args ->> 'conference'), NULL, NULL, NULL)::pbx.import_told;
        END IF;
        position := position + 1;
        made := made || format('; INSERT INTO pbx.step VALUES (%L, %L, %L, %s, %L, %L, %L)', domain, context, pattern, position, s.app, s.args, s.condition);
    END LOOP;
    IF made <> '' THEN
        RETURN NEXT ROW(file, line, said, pbx.import_insert('route', jsonb_build_object('domain', domain, 'context', context, 'pattern', pattern, 'name', nullif(name, ''), 'enabled', NOT is_lost)) || made,
            CASE WHEN is_lost THEN 'steps of it are missing, so the route is not enabled' END,
            CASE WHEN is_lost THEN format('UPDATE pbx.route SET enabled = true WHERE (domain, context, pattern) = (%L, %L, %L)', domain, context, pattern) END, NULL)::pbx.import_told;
    END IF;
END $$;
COMMENT ON FUNCTION pbx.import_route(text, text, text, text, text, integer, text, jsonb, boolean) IS 'For imports: a route of steps [{"line", "said", "app", "args", "condition", "problem", "fix"}]. A step without app is lost, and a route that has lost something isn''t enabled.';

-- Many at once, since each look at what waits for COMMIT goes through all that the transaction has done; where one can't be, halves of them.
CREATE OR REPLACE FUNCTION pbx.import_make(domain text, objects jsonb) RETURNS TABLE (n integer, problem text) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    parts jsonb[] := ARRAY(SELECT jsonb_agg(x ORDER BY i) FROM jsonb_array_elements(objects) WITH ORDINALITY AS u(x, i) GROUP BY (i - 1) / 256 ORDER BY (i - 1) / 256);
    part jsonb;
    half integer;
    o text;
    detail text;
    their_table text;
BEGIN
    WHILE cardinality(parts) > 0 LOOP
        part := parts[1];
        parts := parts[2:];
        BEGIN
            FOR o IN SELECT x ->> 'sql' FROM jsonb_array_elements(part) WITH ORDINALITY AS u(x, i) ORDER BY i LOOP
                EXECUTE o;
            END LOOP;
            PERFORM pbx.constraints_set('IMMEDIATE');
            PERFORM pbx.constraints_set('INITIAL');
        EXCEPTION WHEN integrity_constraint_violation OR data_exception OR syntax_error_or_access_rule_violation THEN
            IF jsonb_array_length(part) > 1 THEN
                half := jsonb_array_length(part) / 2;
                parts := ARRAY[jsonb_path_query_array(part, '$[0 to $n]', jsonb_build_object('n', half - 1)), jsonb_path_query_array(part, '$[$n to last]', jsonb_build_object('n', half))] || parts;
                CONTINUE;
            END IF;
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, their_table = TABLE_NAME;
            n := (part -> 0 ->> 'n')::integer;
            -- What isn't there, in place of the name of a constraint. Which one the line says, and PostgreSQL doesn't where rows are guarded.
            problem := coalesce(CASE WHEN SQLSTATE = '23503' AND detail LIKE '%is not present in table%' THEN
                format('there is no %s for this %s', replace(substring(detail FROM 'is not present in table "(.*)"'), '_', ' '), replace(their_table, '_', ' ')) END, SQLERRM);
            RETURN NEXT;
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.import_make(text, jsonb) IS 'For imports: makes objects, [{"n", "sql"}], in order; which can''t be, and why.';

-- XML ----------------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.xml_read(doc text, name text) RETURNS xml LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    rest text := doc;
    done text := '';
    at integer;
    until integer;
    detail text;
BEGIN
    -- Without comments, but with their lines.
    LOOP
        at := strpos(rest, '<!--');
        EXIT WHEN coalesce(at, 0) = 0;
        until := strpos(substr(rest, at), '-->');
        EXIT WHEN until = 0;
        done := done || left(rest, at - 1) || regexp_replace(substr(rest, at, until + 2), '[^\n]', '', 'g');
        rest := substr(rest, at + until + 2);
    END LOOP;
    -- Several files, one after the other, are one document.
    done := regexp_replace(coalesce(done || rest, ''), '<\?xml[^>]*\?>|<!DOCTYPE[^>]*>', '', 'g');
    RETURN xmlparse(DOCUMENT '<cordboard>' || done || '</cordboard>');
EXCEPTION WHEN invalid_xml_document OR invalid_xml_content THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RAISE EXCEPTION '% is no well-formed XML', name USING ERRCODE = 'invalid_xml_document', DETAIL = detail;
END $$;
COMMENT ON FUNCTION pbx.xml_read(text, text) IS 'One XML file or several, one after the other, as one document without comments; lines stay.';

CREATE FUNCTION pbx.xml_lines(doc xml, tags text) RETURNS TABLE (n bigint, line integer) LANGUAGE sql IMMUTABLE AS $$
    -- The nth element of these tags begins so many lines after the document.
    SELECT p.n, sum(length(p.part) - length(replace(p.part, E'\n', ''))) OVER (ORDER BY p.n)::integer
    FROM regexp_split_to_table($1::text, '<(?=(' || $2 || ')[[:space:]/>])') WITH ORDINALITY AS p(part, n)
$$;
COMMENT ON FUNCTION pbx.xml_lines(xml, text) IS 'In which line, from 0, each element of some tags (a|b) of a document begins.';

-- Regular expressions ------------------------------------------------------------------------------------
--
-- FreeSWITCH compares numbers with regular expressions. One that a pattern can say is written out as its variants, each a sequence of positions:
-- {"p": ["0", "X", "[13]"], "open": "" or "." or "!" (what follows), "g": {"1": [offset, length or null]}, "head": after ^, "tail": before $, "note"}.

CREATE FUNCTION pbx.regex_refuse(reason text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE EXCEPTION '%', reason USING ERRCODE = 'invalid_regular_expression';
END $$;
COMMENT ON FUNCTION pbx.regex_refuse(text) IS 'For regex_parse(): no pattern can say it.';

CREATE FUNCTION pbx.regex_holds(value text, regex text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN value ~ regex;
EXCEPTION WHEN invalid_regular_expression THEN
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.regex_holds(text, text) IS 'Does a text match a regular expression? NULL: it is none of PostgreSQL''s.';

CREATE FUNCTION pbx.regex_join(a jsonb, b jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    r record;
    made jsonb := '[]';
    n integer;
BEGIN
    FOR r IN SELECT x.v AS x, y.v AS y FROM jsonb_array_elements(a) WITH ORDINALITY AS x(v, n), jsonb_array_elements(b) WITH ORDINALITY AS y(v, n) ORDER BY x.n, y.n LOOP
        n := jsonb_array_length(r.x -> 'p');
        -- ^ amid a number, or something after $, never matches.
        CONTINUE WHEN (r.y ->> 'head')::boolean AND (n > 0 OR r.x ->> 'open' <> '') OR (r.x ->> 'tail')::boolean AND (jsonb_array_length(r.y -> 'p') > 0 OR r.y ->> 'open' <> '');
        IF r.x ->> 'open' <> '' AND (jsonb_array_length(r.y -> 'p') > 0 OR r.y ->> 'open' <> '') THEN
            PERFORM pbx.regex_refuse('something follows what can have any length');
        END IF;
        made := made || jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('head', (r.x ->> 'head')::boolean OR (r.y ->> 'head')::boolean, 'tail', (r.x ->> 'tail')::boolean OR (r.y ->> 'tail')::boolean,
                             'note', coalesce(r.x ->> 'note', r.y ->> 'note')))
            || jsonb_build_object('p', (r.x -> 'p') || (r.y -> 'p'), 'open', concat(r.x ->> 'open', r.y ->> 'open'),
                   'g', (r.x -> 'g') || coalesce((SELECT jsonb_object_agg(g.key, jsonb_build_array((g.value ->> 0)::integer + n, g.value -> 1)) FROM jsonb_each(r.y -> 'g') AS g), '{}')));
    END LOOP;
    IF jsonb_array_length(made) > 64 THEN
        PERFORM pbx.regex_refuse('it has more than 64 variants');
    END IF;
    RETURN made;
END $$;
COMMENT ON FUNCTION pbx.regex_join(jsonb, jsonb) IS 'For regex_parse(): each of some variants followed by each of others.';

CREATE FUNCTION pbx.regex_class(said text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    one CONSTANT jsonb := '{"p": [], "open": "", "g": {}, "head": false, "tail": false}';
    digits text;
    others text[];
BEGIN
    IF said ~ '\\[^d*+#.\\/@-]' THEN
        PERFORM pbx.regex_refuse(format('%s is no class of digits', said));
    END IF;
    digits := (SELECT string_agg(d::text, '' ORDER BY d) FROM generate_series(0, 9) AS d WHERE d::text ~ said);
    others := CASE WHEN said ~ '^\[\^' THEN '{}' ELSE ARRAY(SELECT c FROM regexp_split_to_table('*#+-._@/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', '') AS c WHERE c ~ said) END;
    IF cardinality(others) > 3 THEN
        PERFORM pbx.regex_refuse(format('%s is no class of digits', said));
    END IF;
    RETURN coalesce(CASE WHEN digits IS NOT NULL THEN jsonb_build_array(one || jsonb_build_object('p', jsonb_build_array(
            CASE digits WHEN '0123456789' THEN 'X' WHEN '123456789' THEN 'Z' WHEN '23456789' THEN 'N' ELSE CASE WHEN length(digits) = 1 THEN digits ELSE format('[%s]', digits) END END))) END, '[]')
        || coalesce((SELECT jsonb_agg(one || jsonb_build_object('p', jsonb_build_array(c))) FROM unnest(others) AS c), '[]');
END $$;
COMMENT ON FUNCTION pbx.regex_class(text) IS 'For regex_parse(): a class of characters.';

CREATE FUNCTION pbx.regex_repeat(v jsonb, quantifier text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    -- Nothing, with the groups that are empty then.
    nothing CONSTANT jsonb := jsonb_build_array(jsonb_build_object('p', '[]'::jsonb, 'open', '', 'head', false, 'tail', false,
        'g', coalesce((SELECT jsonb_object_agg(g, '[0, 0]'::jsonb) FROM (SELECT DISTINCT jsonb_object_keys(x -> 'g') AS g FROM jsonb_array_elements(v) AS x) AS k), '{}')));
    is_any CONSTANT boolean := jsonb_array_length(v) = 1 AND v -> 0 -> 'p' = '["X"]';
    m text[];
    least integer;
    most integer;
    made jsonb := '[]';
    so_far jsonb := nothing;
BEGIN
    CASE left(quantifier, 1)
    WHEN '?' THEN m := '{0,1}';
    WHEN '*' THEN m := '{0,NULL}';
    WHEN '+' THEN m := '{1,NULL}';
    ELSE
        m := regexp_match(quantifier, '^\{(\d{1,2})(,?)(\d{0,2})\}');
        IF m IS NULL THEN
            PERFORM pbx.regex_refuse(format('%s is no number of times', quantifier));
        END IF;
        m := ARRAY[m[1], CASE WHEN m[2] = '' THEN m[1] ELSE nullif(m[3], '') END];
    END CASE;
    least := m[1];
    most := m[2];
    FOR i IN 1 .. CASE WHEN is_any AND least = 1 AND most IS NULL THEN 0 ELSE least END LOOP
        so_far := pbx.regex_join(so_far, v);
    END LOOP;
    IF most IS NULL OR most - least > 3 THEN
        RETURN pbx.regex_join(so_far, jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('p', '[]'::jsonb, 'open', CASE WHEN is_any AND least = 1 AND most IS NULL THEN '.' ELSE '!' END, 'g', '{}'::jsonb, 'head', false, 'tail', false,
            'note', CASE WHEN most IS NOT NULL THEN format('longer numbers than %s allows match too', quantifier) WHEN NOT is_any THEN 'whatever follows matches too' END))));
    END IF;
    made := so_far;
    FOR i IN least + 1 .. most LOOP
        so_far := pbx.regex_join(so_far, v);
        made := made || so_far;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION pbx.regex_repeat(jsonb, text) IS 'For regex_parse(): variants so many times: ?, *, +, {2}, {2,} or {2,4}.';

CREATE FUNCTION pbx.regex_parse(regex text, at integer, groups integer, OUT variants jsonb, OUT next integer, OUT groups_then integer) LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    one CONSTANT jsonb := '{"p": [], "open": "", "g": {}, "head": false, "tail": false}';
    so_far jsonb := jsonb_build_array(one);
    atom jsonb;
    inner_parse record;
    c text;
    m text;
    own integer;
BEGIN
    variants := '[]';
    next := at;
    groups_then := groups;
    LOOP
        c := substr(regex, next, 1);
        EXIT WHEN c IN ('', ')');
        next := next + 1;
        IF c = '|' THEN
            variants := variants || so_far;
            so_far := jsonb_build_array(one);
            CONTINUE;
        ELSIF c = '^' THEN
            atom := jsonb_build_array(one || '{"head": true}');
        ELSIF c = '$' THEN
            atom := jsonb_build_array(one || '{"tail": true}');
        ELSIF c = '(' THEN
            own := NULL;
            IF substr(regex, next, 2) = '?:' THEN
                next := next + 2;
            ELSIF substr(regex, next, 1) = '?' THEN
                PERFORM pbx.regex_refuse(format('(%s...) is more than a pattern can say', substr(regex, next, 2)));
            ELSE
                groups_then := groups_then + 1;
                own := groups_then;
            END IF;
            SELECT * INTO inner_parse FROM pbx.regex_parse(regex, next, groups_then);
            IF substr(regex, inner_parse.next, 1) <> ')' THEN
                PERFORM pbx.regex_refuse('a parenthesis has no end');
            END IF;
            next := inner_parse.next + 1;
            groups_then := inner_parse.groups_then;
            atom := inner_parse.variants;
            IF own IS NOT NULL THEN
                atom := (SELECT coalesce(jsonb_agg(v || jsonb_build_object('g', (v -> 'g') || jsonb_build_object(own, jsonb_build_array(0, CASE WHEN v ->> 'open' = '' THEN jsonb_array_length(v -> 'p') END))) ORDER BY n), '[]')
                         FROM jsonb_array_elements(atom) WITH ORDINALITY AS u(v, n));
            END IF;
        ELSIF c = '[' THEN
            m := substring(substr(regex, next - 1) FROM '^\[\^?\]?(?:\\.|[^]\\])*\]');
            IF m IS NULL THEN
                PERFORM pbx.regex_refuse('a class has no end');
            END IF;
            next := next - 1 + length(m);
            atom := pbx.regex_class(m);
        ELSIF c = '.' THEN
            atom := jsonb_build_array(one || '{"p": ["X"]}');
        ELSE
            -- X, Z and N of the number, not of patterns.
            m := CASE WHEN c ~ '[XZN]' THEN '=' || c ELSE c END;
            IF c = '\' THEN
                c := substr(regex, next, 1);
                next := next + 1;
                IF c ~ '[A-Za-ce-z0-9]' THEN
                    PERFORM pbx.regex_refuse(format('\%s is more than a pattern can say', c));
                END IF;
                m := CASE c WHEN 'd' THEN 'X' ELSE c END;
            END IF;
            atom := jsonb_build_array(one || jsonb_build_object('p', jsonb_build_array(m)));
        END IF;
        m := substring(substr(regex, next) FROM '^(?:[?*+]|\{\d[^}]*\})');
        IF m IS NOT NULL THEN
            next := next + length(m);
            IF substr(regex, next, 1) IN ('?', '+') THEN
                next := next + 1; -- lazy or greedy, the same matches
            END IF;
            atom := pbx.regex_repeat(atom, m);
        END IF;
        so_far := pbx.regex_join(so_far, atom);
    END LOOP;
    variants := variants || so_far;
END $$;
COMMENT ON FUNCTION pbx.regex_parse(text, integer, integer) IS 'A regular expression from a place to its end or the parenthesis that closes: its variants, where it ended, how many groups it had. Raises invalid_regular_expression where a pattern can''t say it.';

CREATE FUNCTION pbx.regex_patterns(regex text) RETURNS TABLE (pattern text, groups jsonb, note text) LANGUAGE plpgsql IMMUTABLE AS $$
#variable_conflict use_variable
DECLARE
    all_of_it record;
    v jsonb;
    p text;
    is_wild boolean;
    n integer;
    open text;
    seen text[] := '{}';
    problem text;
BEGIN
    SELECT * INTO all_of_it FROM pbx.regex_parse(regex, 1, 0);
    IF all_of_it.next <= length(regex) THEN
        PERFORM pbx.regex_refuse('a parenthesis has no beginning');
    END IF;
    FOR v IN SELECT x FROM jsonb_array_elements(all_of_it.variants) AS x LOOP
        n := jsonb_array_length(v -> 'p');
        -- What isn't tied to the end goes on.
        open := CASE WHEN v ->> 'open' = '' AND NOT (v ->> 'tail')::boolean AND NOT EXISTS (SELECT FROM jsonb_array_elements_text(v -> 'p') AS t WHERE t !~ '^([0-9*#+XZN]|\[.*\])$') THEN '!' ELSE v ->> 'open' END;
        note := v ->> 'note';
        IF NOT (v ->> 'head')::boolean AND n > 0 THEN
            note := concat_ws('; ', note, 'it isn''t tied to the beginning (^), but taken so');
        END IF;
        is_wild := open <> '' OR EXISTS (SELECT FROM jsonb_array_elements_text(v -> 'p') AS t WHERE t ~ '^([XZN]|\[.*\])$');
        p := (SELECT string_agg(CASE WHEN left(t, 1) = '=' AND length(t) = 2 THEN CASE WHEN is_wild THEN lower(right(t, 1)) ELSE right(t, 1) END ELSE t END, '' ORDER BY o) FROM jsonb_array_elements_text(v -> 'p') WITH ORDINALITY AS u(t, o));
        pattern := CASE WHEN is_wild THEN '_' ELSE '' END || coalesce(p, '') || open;
        -- A group that has no part in it is empty.
        groups := coalesce((SELECT jsonb_object_agg(g, '') FROM generate_series(1, all_of_it.groups_then) AS g), '{}') || coalesce((SELECT jsonb_object_agg(g.key, CASE
                WHEN (g.value ->> 0)::integer = 0 AND (g.value ->> 1 IS NULL OR (g.value ->> 1)::integer = n AND open = '') THEN '${number}'
                WHEN g.value ->> 1 = '0' THEN ''
                WHEN g.value ->> 1 IS NULL OR (g.value ->> 0)::integer + (g.value ->> 1)::integer = n AND open = '' THEN format('${number:%s}', g.value ->> 0)
                ELSE format('${number:%s:%s}', g.value ->> 0, g.value ->> 1) END) FROM jsonb_each(v -> 'g') AS g), '{}');
        CONTINUE WHEN pattern = '' OR pattern = ANY (seen);
        seen := seen || pattern;
        IF pbx.pattern_problem(pattern) IS NOT NULL THEN
            note := format('%s: %s', pattern, pbx.pattern_problem(pattern));
            pattern := NULL;
        END IF;
        RETURN NEXT;
    END LOOP;
EXCEPTION WHEN invalid_regular_expression THEN
    pattern := NULL;
    groups := '{}';
    GET STACKED DIAGNOSTICS problem = MESSAGE_TEXT;
    note := problem;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION pbx.regex_patterns(text) IS 'The patterns that match the same numbers as a regular expression, and for each what $1, $2... are then: ${number:3}. pattern NULL: none does, and note says why; else note says in what they differ.';

CREATE FUNCTION pbx.pattern_samples(pattern text) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    WITH p AS (
        SELECT string_agg(left(u, 1), '' ORDER BY n) AS low, string_agg(right(u, 1), '' ORDER BY n) AS high, string_agg(substr(u, 1 + length(u) / 2, 1), '' ORDER BY n) AS middle
        FROM unnest(pbx.pattern_positions($1)) WITH ORDINALITY AS x(u, n) WHERE NOT (left($1, 1) = '_' AND u IN ('.', '!'))
    ), e AS (SELECT unnest(CASE WHEN left($1, 1) = '_' AND right($1, 1) = '.' THEN '{0,9,12345}' WHEN left($1, 1) = '_' AND right($1, 1) = '!' THEN '{"",9,12345}' ELSE '{""}' END::text[]) AS ending)
    SELECT array_agg(DISTINCT concat(s, e.ending)) FROM p, e, unnest(ARRAY[p.low, p.high, p.middle]) AS s
$$;
COMMENT ON FUNCTION pbx.pattern_samples(text) IS 'Some numbers that a pattern matches, short and long ones, with the lowest and highest digits.';

-- FreeSWITCH's words -------------------------------------------------------------------------------------

CREATE FUNCTION pbx.freeswitch_text(said text, vars jsonb, groups jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    m text[];
    name text;
BEGIN
    FOR m IN SELECT regexp_matches(said, '\$+\{([A-Za-z0-9_-]+)\}', 'g') LOOP
        name := m[1];
        said := regexp_replace(said, '\$+\{' || name || '\}', CASE
            WHEN vars ->> name IS NOT NULL THEN replace(vars ->> name, '\', '\\')
            WHEN name = 'destination_number' THEN '${number}'
            WHEN name IN ('caller_id_number', 'ani', 'sip_from_user', 'username') THEN '${caller}'
            WHEN name = 'caller_id_name' THEN '${caller_name}'
            WHEN name = 'context' THEN '${context}'
            ELSE '\&' END, 'g');
    END LOOP;
    FOR m IN SELECT regexp_matches(said, '\$([0-9])(?![0-9])', 'g') LOOP
        said := replace(said, '$' || m[1], coalesce(groups ->> m[1], '$' || m[1]));
    END LOOP;
    -- What is left of FreeSWITCH's variables and functions means nothing here: NULL.
    RETURN CASE WHEN said !~ '\$[0-9$]|\$\{(?!(number|caller|caller_name|context)[:}])' THEN said END;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_text(text, jsonb, jsonb) IS 'A text with FreeSWITCH''s variables as Cordboard''s, those of vars by their values, and $1, $2... by groups. NULL: there is one that has no counterpart.';

CREATE FUNCTION pbx.freeswitch_context(said text, vars jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    -- A domain's own, and what FusionPBX adds to all of them, is the default context.
    SELECT CASE WHEN x.c = '' OR x.c = 'global' OR x.c = vars ->> 'domain_name' OR x.c = '${context}' OR vars -> 'domains' ? x.c THEN NULL ELSE x.c END FROM (SELECT coalesce(pbx.freeswitch_text($1, $2), '')) AS x(c)
$$;
COMMENT ON FUNCTION pbx.freeswitch_context(text, jsonb) IS 'A context of FreeSWITCH; NULL: the domain''s default context.';

CREATE FUNCTION pbx.freeswitch_bridge(data text, vars jsonb, groups jsonb) RETURNS TABLE (app text, args jsonb, problem text) LANGUAGE plpgsql IMMUTABLE AS $$
#variable_conflict use_variable
DECLARE
    said text := btrim(data);
    options text;
    one text;
    leg text;
    m text[];
    numbers text[];
    trunk text;
    ring text := coalesce(vars ->> 'originate_timeout', vars ->> 'call_timeout');
    own text;
    lost text[] := '{}';
BEGIN
    -- {for all legs}, [for one leg]
    FOR options IN SELECT x[1] FROM regexp_matches(said, '(?<!\$)[{<\[]([^]{}<>]*(?:\$\{[^}]*\}[^]{}<>]*)*)[]}>](?=[A-Za-z{<\[$])', 'g') AS x LOOP
        ring := coalesce(substring(options FROM '(?:leg_timeout|originate_timeout|call_timeout)=([0-9]+)'), ring);
        lost := lost || ARRAY(SELECT btrim(split_part(u, '=', 1)) FROM unnest(string_to_array(options, ',')) AS u
                              WHERE u !~ '^\s*(leg_timeout|originate_timeout|call_timeout|ignore_early_media|continue_on_fail|hangup_after_bridge|sip_invite_domain|presence_id|domain_name|domain_uuid|\^\^.*)\s*(=|$)' AND btrim(u) <> '');
    END LOOP;
    said := regexp_replace(said, '(?<!\$)[{<\[]([^]{}<>]*(?:\$\{[^}]*\}[^]{}<>]*)*)[]}>](?=[A-Za-z{<\[$])', '', 'g');
    ring := CASE WHEN ring ~ '^[0-9]{1,3}$' THEN ring END;
    -- One after the other, with | between them; at once, with , between them.
    FOREACH one IN ARRAY string_to_array(said, '|') LOOP
        numbers := '{}';
        trunk := NULL;
        app := 'dial';
        problem := CASE WHEN cardinality(lost) > 0 THEN format('options %s are left out', array_to_string(lost, ', ')) END;
        lost := '{}';
        FOREACH leg IN ARRAY string_to_array(one, ',') LOOP
            own := coalesce(substring(leg FROM '^(?:\$\{group_call\(|group/)([^@/)]+)'), '');
            IF own <> '' AND vars -> 'groups' ? own THEN
                numbers := numbers || ARRAY(SELECT jsonb_array_elements_text(vars -> 'groups' -> own));
                CONTINUE;
            END IF;
            leg := pbx.freeswitch_text(btrim(leg), vars, groups);
            m := regexp_match(leg, '^user/([^@/]+)(?:@.*)?$');
            IF m IS NULL THEN
                m := regexp_match(leg, '^sofia/[^/]+/(?:sip:)?([^@/%]+)[@%]([^/;]+)');
                m := CASE WHEN m[2] = vars ->> 'domain_name' OR vars -> 'domains' ? m[2] THEN m END;
            END IF;
            IF m IS NOT NULL THEN
                numbers := numbers || m[1];
                CONTINUE;
            END IF;
            m := regexp_match(leg, '^sofia/gateway/(?:[^/:]*::)?([^/]+)/([^@]+)');
            IF m IS NOT NULL AND (trunk IS NULL OR trunk = m[1]) AND (trunk IS NOT NULL OR cardinality(numbers) = 0) THEN
                trunk := m[1];
                numbers := numbers || m[2];
                CONTINUE;
            END IF;
            app := NULL;
            problem := CASE WHEN leg IS NULL THEN 'a variable or function has no counterpart' WHEN m IS NOT NULL THEN 'a gateway and others at once are several steps' ELSE format('%s is no phone or gateway of SIP', leg) END;
            m := regexp_match(leg, '^loopback/app=voicemail:\S+\s+\S+\s+(\S+)$');
            IF one = leg OR strpos(one, ',') = 0 THEN
                IF m IS NOT NULL THEN
                    app := 'voicemail';
                    args := jsonb_build_object('mailbox', m[1]);
                    problem := NULL;
                ELSIF leg ~ '^loopback/[^/=]+(/|$)' THEN
                    app := 'goto';
                    args := jsonb_strip_nulls(jsonb_build_object('number', split_part(leg, '/', 2), 'context', pbx.freeswitch_context(split_part(leg, '/', 3), vars)));
                    problem := NULL;
                ELSIF leg ~ '^error/' THEN
                    app := CASE WHEN leg ~* 'busy' THEN 'busy' ELSE 'congestion' END;
                    args := '{}';
                    problem := NULL;
                END IF;
            END IF;
            EXIT;
        END LOOP;
        IF app = 'dial' THEN
            args := jsonb_strip_nulls(jsonb_build_object('number', array_to_string(numbers, '&'), 'trunk', trunk, 'ring_s', ring));
        ELSIF app IS NULL THEN
            args := NULL;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_bridge(text, jsonb, jsonb) IS 'What FreeSWITCH''s bridge is here: a step for each of what it tries one after the other.';

CREATE FUNCTION pbx.freeswitch_sound(data text, vars jsonb, groups jsonb) RETURNS TABLE (app text, args jsonb, problem text) LANGUAGE plpgsql IMMUTABLE AS $$
#variable_conflict use_variable
DECLARE
    said text := pbx.freeswitch_text(regexp_replace(btrim(data), '^\{[^}]*\}', ''), vars, groups);
    m text[];
BEGIN
    args := '{}';
    CASE
    WHEN said IS NULL THEN
        problem := 'a variable or function has no counterpart';
    WHEN said ~ '^local_stream://' THEN
        app := 'music';
        m := regexp_match(said, '^local_stream://([A-Za-z0-9._-]+)');
        args := CASE WHEN m[1] IS NULL OR m[1] IN ('moh', 'default') THEN '{}' ELSE jsonb_build_object('class', m[1]) END;
    WHEN said ~ '^silence_stream://[0-9]+' THEN
        app := 'wait';
        args := jsonb_build_object('seconds', ceil(substring(said FROM '[0-9]+')::numeric / 1000)::text);
    WHEN said ~ '^(tone_stream|phrase|say|shout|http_cache|[a-z]+)://|^(phrase|say):' THEN
        problem := format('%s is no sound file', said);
    ELSE
        app := 'playback';
        args := jsonb_build_object('phrases', (SELECT string_agg(regexp_replace(regexp_replace(u, '^.*/', ''), '\.[A-Za-z0-9]{2,4}$', ''), '&' ORDER BY n)
                                               FROM unnest(string_to_array(regexp_replace(said, '^file_string://', ''), '!')) WITH ORDINALITY AS x(u, n)));
    END CASE;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_sound(text, jsonb, jsonb) IS 'What a sound of FreeSWITCH is here: a prompt or phrase of the file''s name, music, or a pause.';

CREATE FUNCTION pbx.freeswitch_step(theirs text, data text, vars jsonb, groups jsonb DEFAULT '{}') RETURNS TABLE (app text, args jsonb, problem text, is_note boolean) LANGUAGE plpgsql IMMUTABLE AS $$
#variable_conflict use_variable
DECLARE
    said CONSTANT text := pbx.freeswitch_text(btrim(coalesce(data, '')), vars, groups);
    word CONSTANT text[] := regexp_split_to_array(said, '\s+');
    place text;
BEGIN
    args := '{}';
    is_note := false;
    CASE
    WHEN theirs IN ('log', 'info', 'event', 'eval', 'hash', 'db', 'verbose_events', 'pre_answer', 'acknowledge_call', 'presence', 'unset') THEN
        RETURN;
    WHEN theirs IN ('bind_meta_app', 'bind_digit_action', 'limit', 'start_dtmf', 'stop_dtmf', 'send_display', 'sched_hangup', 'set_audio_level', 'privacy', 'conference_set_auto_outcall', 'digit_action_set_realm', 'rtp_secure_media') THEN
        problem := format('application %s is left out', theirs);
        is_note := true;
    WHEN theirs = 'bridge' THEN
        RETURN QUERY SELECT b.app, b.args, b.problem, false FROM pbx.freeswitch_bridge(data, vars, groups) AS b;
        RETURN;
    WHEN theirs IN ('playback', 'endless_playback') THEN
        RETURN QUERY SELECT s.app, s.args, s.problem, false FROM pbx.freeswitch_sound(data, vars, groups) AS s;
        RETURN;
    WHEN theirs = 'answer' THEN
        app := 'answer';
    WHEN theirs = 'ring_ready' THEN
        app := 'ring';
    WHEN theirs = 'hangup' THEN
        app := 'hangup';
        args := coalesce((SELECT jsonb_build_object('status', status) FROM (VALUES ('USER_BUSY', '486'), ('CALL_REJECTED', '603'), ('UNALLOCATED_NUMBER', '404'), ('NO_ROUTE_DESTINATION', '404'), ('NO_ANSWER', '480'),
            ('NORMAL_TEMPORARY_FAILURE', '503'), ('NORMAL_CIRCUIT_CONGESTION', '503'), ('OUTGOING_CALL_BARRED', '403'), ('INCOMING_CALL_BARRED', '403')) AS c(cause, status) WHERE cause = word[1]), '{}');
    WHEN theirs = 'respond' AND said ~ '^[3-6][0-9][0-9]' THEN
        app := 'hangup';
        args := jsonb_build_object('status', left(said, 3));
    WHEN theirs = 'sleep' AND said ~ '^[0-9]{1,8}$' THEN
        app := 'wait';
        args := jsonb_build_object('seconds', ceil(said::numeric / 1000)::text);
    WHEN theirs = 'echo' THEN
        app := 'echo';
    WHEN theirs IN ('record_session', 'stop_record_session') THEN
        app := 'record';
        args := CASE theirs WHEN 'record_session' THEN '{}' ELSE '{"action": "stop"}' END;
    WHEN said IS NULL THEN
        problem := 'a variable or function has no counterpart';
    WHEN theirs = 'voicemail' AND word[1] IN ('check', 'auth') THEN
        app := 'voicemail_menu';
        args := jsonb_strip_nulls(jsonb_build_object('mailbox', word[4]));
    WHEN theirs = 'voicemail' AND word[3] IS NOT NULL THEN
        app := 'voicemail';
        args := jsonb_build_object('mailbox', word[3]);
    -- FusionPBX's own, which is told by variables what to do.
    WHEN theirs = 'lua' AND said ~ '^app\.lua voicemail' AND vars ->> 'voicemail_action' = 'check' THEN
        app := 'voicemail_menu';
        args := jsonb_strip_nulls(jsonb_build_object('mailbox', vars ->> 'voicemail_id'));
    WHEN theirs = 'lua' AND said ~ '^app\.lua voicemail' AND vars ->> 'voicemail_id' IS NOT NULL THEN
        app := 'voicemail';
        args := jsonb_build_object('mailbox', vars ->> 'voicemail_id');
    WHEN theirs = 'lua' AND said ~ '^app\.lua (failure_handler|hangup)' THEN
        problem := format('script %s is left out', said);
        is_note := true;
    WHEN theirs IN ('lua', 'luarun', 'javascript', 'python', 'perl') THEN
        problem := format('script %s has no counterpart', said);
    WHEN theirs = 'transfer' AND said !~ '^-' AND said <> '' AND upper(coalesce(word[2], 'XML')) = 'XML' THEN
        app := 'goto';
        place := pbx.freeswitch_context(word[3], vars);
        args := jsonb_strip_nulls(jsonb_build_object('number', word[1], 'context', CASE WHEN word[3] IS NULL OR word[3] = '${context}' THEN NULL ELSE coalesce(place, vars ->> 'default_context') END));
    WHEN theirs = 'conference' AND said !~ '^bridge:' AND said <> '' THEN
        app := 'conference';
        args := jsonb_build_object('conference', regexp_replace(split_part(split_part(said, '@', 1), '+', 1), '-' || (vars ->> 'domain_name') || '$', ''));
        problem := CASE WHEN args ->> 'conference' ~ '\$' THEN 'rooms are rows: INSERT INTO pbx.conference (domain, number) those that are dialled'
                        WHEN said ~ '\+' THEN format('options %s are left out', substring(said FROM '\+(.*)$')) END;
    WHEN theirs = 'ivr' AND said <> '' THEN
        problem := format('menu %s: make it of pbx.menu and pbx.menu_choice, and the step of it', said);
    WHEN theirs IN ('valet_park', 'park', 'fifo') THEN
        problem := 'parking is pbx.park() here, and the application retrieve takes who is parked';
    ELSE
        problem := format('application %s has no counterpart', theirs);
    END CASE;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_step(text, text, jsonb, jsonb) IS 'An application of FreeSWITCH as steps of Cordboard''s; app NULL: it is lost, or only told when is_note; problem: why, or what of it was lost. No row: there is nothing to do here.';

-- Its dialplan -------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.freeswitch_conditions(extension xml, line integer) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('line', $2 + l.line, 'field', coalesce(c.field, x.field), 'expression', coalesce(c.expression, x.expression, nullif(c.inner_expression, '')), 'break', lower(coalesce(c.break, 'on-false')),
            'times', nullif(jsonb_strip_nulls(jsonb_build_object('wday', c.wday, 'hour', c.hour, 'minute-of-day', c.minute, 'time-of-day', c.time, 'mon', c.mon, 'mday', c.mday, 'other', c.other)), '{}'),
            'problem', CASE WHEN c.nested > 0 THEN 'conditions within conditions are not understood' WHEN c.regex IS NOT NULL AND x.expression IS NULL THEN format('regex="%s" is not understood', c.regex) END,
            'actions', (SELECT coalesce(jsonb_agg(jsonb_build_object('line', $2 + l.line + al.line, 'anti', a.kind = 'anti-action', 'app', lower(btrim(a.app)), 'data', coalesce(a.data, a.inner_data)) ORDER BY a.n), '[]')
                        FROM xmltable('/condition/*[self::action or self::anti-action]' PASSING c.node COLUMNS n FOR ORDINALITY, kind text PATH 'local-name(.)', app text PATH '@application', data text PATH '@data',
                                      inner_data text PATH '.', enabled text PATH '@enabled') AS a JOIN pbx.xml_lines(c.node, 'action|anti-action') AS al ON al.n = a.n
                        WHERE coalesce(a.enabled, 'true') <> 'false' AND a.app <> '')) ORDER BY c.n), '[]')
    FROM xmltable('/extension/condition' PASSING $1 COLUMNS n FOR ORDINALITY, field text PATH '@field', expression text PATH '@expression', inner_expression text PATH 'string(expression)', break text PATH '@break', regex text PATH '@regex',
                  nested integer PATH 'count(condition)', wday text PATH '@wday', hour text PATH '@hour', minute text PATH '@minute-of-day', time text PATH '@time-of-day', mon text PATH '@mon', mday text PATH '@mday',
                  other text PATH '(@yday|@year|@week|@mweek|@date-time|@minute)[1]', node xml PATH '.') AS c
    JOIN pbx.xml_lines($1, 'condition') AS l ON l.n = c.n
    -- regex="any" of one field is one expression.
    LEFT JOIN LATERAL (SELECT min(r.field) AS field, string_agg(format('(?:%s)', r.expression), '|') AS expression
                       FROM xmltable('/condition/regex' PASSING c.node COLUMNS field text PATH '@field', expression text PATH '@expression') AS r
                       HAVING count(DISTINCT r.field) = 1 AND (c.regex = 'any' OR count(*) = 1 AND c.regex = 'all')) AS x ON true
$$;
COMMENT ON FUNCTION pbx.freeswitch_conditions(xml, integer) IS 'The conditions of an extension of FreeSWITCH, with their actions: [{"line", "field", "expression", "break", "times", "problem", "actions": [{"line", "anti", "app", "data"}]}].';

CREATE FUNCTION pbx.freeswitch_days(said text) RETURNS integer[] LANGUAGE sql IMMUTABLE AS $$
    -- 1 Sunday to 7 Saturday there, 1 Monday to 7 Sunday here.
    SELECT CASE WHEN $1 IS NULL THEN '{1,2,3,4,5,6,7}' WHEN bool_and(d.first IS NOT NULL AND d.last IS NOT NULL) THEN
        (SELECT array_agg(DISTINCT (g + 5) % 7 + 1) FROM unnest(array_agg(d.first), array_agg(d.last)) AS r(first, last), generate_series(r.first, CASE WHEN r.last < r.first THEN r.last + 7 ELSE r.last END) AS g) END
    FROM regexp_split_to_table(lower($1), ',') AS part,
         LATERAL (SELECT strpos('.1234567', left(btrim(split_part(part, '-', 1)), 1)) - 1, strpos('sunmontuewedthufrisat', left(btrim(split_part(part, '-', 1)), 3)),
                         strpos('.1234567', left(btrim(coalesce(nullif(split_part(part, '-', 2), ''), part)), 1)) - 1, strpos('sunmontuewedthufrisat', left(btrim(coalesce(nullif(split_part(part, '-', 2), ''), part)), 3))) AS n(d1, n1, d2, n2),
         LATERAL (SELECT CASE WHEN n.d1 > 0 THEN n.d1 WHEN n.n1 % 3 = 1 THEN n.n1 / 3 + 1 END, CASE WHEN n.d2 > 0 THEN n.d2 WHEN n.n2 % 3 = 1 THEN n.n2 / 3 + 1 END) AS d(first, last)
$$;
COMMENT ON FUNCTION pbx.freeswitch_days(text) IS 'Days of the week as FreeSWITCH says them, 2-6 or mon-fri, as 1 Monday to 7 Sunday; NULL: it isn''t understood.';

CREATE FUNCTION pbx.freeswitch_schedule(domain text, schedule text, times jsonb) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    days CONSTANT integer[] := pbx.freeswitch_days(times ->> 'wday');
    m text[];
    from_m integer := 0;
    to_m integer := 1440;
BEGIN
    IF days IS NULL OR times ?| '{mon,mday,other}' OR (times ? 'hour')::integer + (times ? 'minute-of-day')::integer + (times ? 'time-of-day')::integer > 1 THEN
        RETURN NULL;
    ELSIF times ? 'hour' THEN
        m := regexp_match(times ->> 'hour', '^([0-9]{1,2})(?:-([0-9]{1,2}))?$');
        from_m := m[1]::integer * 60;
        to_m := (coalesce(m[2], m[1])::integer + 1) * 60;
    ELSIF times ? 'minute-of-day' THEN
        m := regexp_match(times ->> 'minute-of-day', '^([0-9]{1,4})-([0-9]{1,4})$');
        from_m := m[1]::integer - 1;
        to_m := m[2]::integer;
    ELSIF times ? 'time-of-day' THEN
        m := regexp_match(times ->> 'time-of-day', '^([0-9]{1,2}):([0-9]{2})(?::[0-9]{2})?-([0-9]{1,2}):([0-9]{2})(:59)?(?::00)?$');
        from_m := m[1]::integer * 60 + m[2]::integer;
        to_m := m[3]::integer * 60 + m[4]::integer + CASE WHEN m[5] IS NOT NULL THEN 1 ELSE 0 END;
    END IF;
    IF from_m IS NULL OR to_m IS NULL OR from_m >= to_m OR to_m > 1440 THEN
        RETURN NULL;
    END IF;
    RETURN format('INSERT INTO pbx.schedule (domain, schedule) VALUES (%L, %L)', domain, schedule)
        || (SELECT string_agg(format('; INSERT INTO pbx.schedule_period VALUES (%L, %L, %s, %L, %L)', domain, schedule, d, to_char(from_m / 60, 'FM00') || to_char(from_m % 60, 'FM":"00'),
                                     to_char(to_m / 60, 'FM00') || to_char(to_m % 60, 'FM":"00')), '' ORDER BY d) FROM unnest(days) AS d);
END $$;
COMMENT ON FUNCTION pbx.freeswitch_schedule(text, text, jsonb) IS 'The statements that make a schedule of wday, hour, minute-of-day or time-of-day of a condition; NULL: they are not understood.';

CREATE FUNCTION pbx.condition_not(condition text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN condition !~ ' and ' THEN CASE WHEN condition ~ '!=' THEN replace(condition, '!=', '=') ELSE replace(condition, '=', '!=') END END
$$;
COMMENT ON FUNCTION pbx.condition_not(text) IS 'The opposite of a condition of one term; NULL: of more it can''t be said.';

CREATE FUNCTION pbx.condition_and(VARIADIC conditions text[]) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT nullif(string_agg(c, ' and ' ORDER BY n), '') FROM (SELECT c, min(n) AS n FROM unnest(conditions) WITH ORDINALITY AS u(c, n) WHERE c <> '' GROUP BY c) AS x
$$;
COMMENT ON FUNCTION pbx.condition_and(text[]) IS 'Conditions as one; NULL: none.';

CREATE FUNCTION pbx.freeswitch_run(pattern text, groups jsonb, conditions jsonb, state jsonb, first_condition text) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
-- state: {"vars", "after"} as what came before left it. Returns it as it is then, with {"steps", "notes", "guard", "is_lost", "is_over"}.
DECLARE
    vars jsonb := state -> 'vars';
    after text := state ->> 'after';
    guard text := first_condition;
    steps jsonb := '[]';
    notes jsonb := '[]';
    is_lost boolean := false;
    is_over boolean := false;
    c record;
    a record;
    s record;
    own jsonb;
    term text;
    holds text; -- yes, no, asked (by the term), unknown
    many boolean[];
    value text;
    m text[];
BEGIN
    FOR c IN SELECT * FROM jsonb_to_recordset(conditions) AS x(line integer, field text, expression text, break text, times jsonb, problem text, actions jsonb, schedule text) LOOP
        EXIT WHEN is_over;
        own := '{}';
        term := NULL;
        holds := 'unknown';
        IF c.problem IS NOT NULL THEN
            NULL;
        ELSIF c.times IS NOT NULL THEN
            term := 'schedule=' || c.schedule;
            holds := CASE WHEN c.schedule IS NOT NULL AND coalesce(c.field, '') = '' THEN 'asked' ELSE 'unknown' END;
        ELSIF coalesce(c.field, '') = '' THEN
            holds := 'yes';
        ELSIF c.field IN ('destination_number', '${destination_number}') THEN
            -- That of which the pattern is, or another one which it may match too.
            SELECT p.groups INTO own FROM pbx.regex_patterns(c.expression) AS p WHERE p.pattern = $1 LIMIT 1;
            IF FOUND THEN
                holds := 'yes';
            ELSE
                many := ARRAY(SELECT DISTINCT pbx.regex_holds(u, c.expression) FROM unnest(pbx.pattern_samples(pattern)) AS u);
                holds := CASE many WHEN '{t}' THEN 'yes' WHEN '{f}' THEN 'no' ELSE 'unknown' END;
                own := coalesce((SELECT jsonb_object_agg(n, v) FROM unnest(CASE WHEN holds = 'yes' AND left(pattern, 1) <> '_' THEN regexp_match(pattern, c.expression) END) WITH ORDINALITY AS g(v, n) WHERE v IS NOT NULL), '{}');
            END IF;
        ELSIF c.field IN ('caller_id_number', '${caller_id_number}', 'ani') THEN
            term := (SELECT CASE WHEN bool_and(p.pattern IS NOT NULL) THEN 'caller=' || string_agg(p.pattern, ',') END FROM pbx.regex_patterns(c.expression) AS p);
            holds := CASE WHEN pbx.condition_valid(term) THEN 'asked' ELSE 'unknown' END;
        ELSIF c.field = '${user_exists}' AND c.expression ~ 'true' THEN
            holds := 'yes';
        ELSE
            value := pbx.freeswitch_text(c.field, vars);
            IF value IS NOT NULL AND value !~ '\$\{' THEN
                holds := CASE pbx.regex_holds(value, c.expression) WHEN true THEN 'yes' WHEN false THEN 'no' ELSE 'unknown' END;
                m := CASE holds WHEN 'yes' THEN regexp_match(value, c.expression) END;
                own := coalesce((SELECT jsonb_object_agg(n, v) FROM unnest(m) WITH ORDINALITY AS g(v, n) WHERE v IS NOT NULL), '{}');
            END IF;
        END IF;
        IF holds = 'unknown' AND (c.actions <> '[]' OR c.break <> 'never') THEN
            is_lost := true;
            steps := steps || jsonb_build_object('line', c.line, 'said', coalesce(nullif(concat_ws(' ~ ', nullif(c.field, ''), c.expression), ''), c.times::text, ''), 'problem',
                format('%s%s', coalesce(c.problem, 'a condition is not understood'), CASE WHEN c.actions <> '[]' THEN format(', and with it %s lost', CASE jsonb_array_length(c.actions) WHEN 1 THEN 'a step is' ELSE format('%s steps are', jsonb_array_length(c.actions)) END) ELSE '' END));
            EXIT WHEN c.problem IS NOT NULL;
            c.actions := '[]';
        END IF;

        FOR a IN SELECT * FROM jsonb_to_recordset(c.actions) AS x(line integer, anti boolean, app text, data text) LOOP
            CONTINUE WHEN holds = 'no' AND NOT a.anti OR holds = 'yes' AND a.anti OR is_over AND holds <> 'asked';
            IF a.app IN ('set', 'export', 'multiset') THEN
                FOR m IN SELECT regexp_match(u, '^\s*(?:nolocal:|_nolocal_)?([A-Za-z0-9_-]+)=(.*)$') FROM unnest(CASE WHEN a.app = 'multiset' THEN regexp_split_to_array(a.data, '\s+(?=\S+=)') ELSE ARRAY[a.data] END) AS u LOOP
                    CONTINUE WHEN m IS NULL;
                    value := CASE WHEN holds = 'yes' THEN pbx.freeswitch_text(m[2], vars, own) END;
                    -- A variable stands for its value from here on; one that only means something to FreeSWITCH is told.
                    vars := CASE WHEN value IS NULL THEN vars - m[1] ELSE vars || jsonb_build_object(m[1], value) END;
                    IF m[1] ~ '^(effective_|origination_|outbound_)?caller_id_|^sip_|^api_|^execute_on|^record_|^fax_|^conference_|^bridge_|^media_|^rtp_|^proxy_|_auto_answer$|^ringback$|^transfer_ringback$|^absolute_codec|^inherit_codec|^toll_allow|^privacy|_media$' THEN
                        notes := notes || jsonb_build_object('line', a.line, 'said', concat_ws(' ', a.app, a.data), 'problem', format('variable %s is left out', m[1]));
                    END IF;
                END LOOP;
                CONTINUE;
            END IF;
            FOR s IN SELECT * FROM pbx.freeswitch_step(a.app, a.data, vars, own) LOOP
                IF s.is_note THEN
                    notes := notes || jsonb_build_object('line', a.line, 'said', concat_ws(' ', a.app, a.data), 'problem', s.problem);
                    CONTINUE;
                END IF;
                steps := steps || jsonb_build_object('line', a.line, 'said', concat_ws(' ', a.app, a.data), 'app', s.app, 'args', s.args, 'problem', s.problem,
                    'condition', pbx.condition_and(guard, CASE WHEN holds = 'asked' THEN CASE WHEN a.anti THEN pbx.condition_not(term) ELSE term END END, after));
                is_lost := is_lost OR s.app IS NULL;
                IF s.app = 'dial' THEN
                    -- What is tried next, or comes then.
                    after := 'result!=answered';
                END IF;
                is_over := is_over OR holds = 'yes' AND s.app IN ('goto', 'hangup', 'busy', 'congestion') AND after IS NULL AND guard IS NULL;
            END LOOP;
            IF a.app = 'bridge' AND after IS NOT NULL THEN
                -- When nobody answers FreeSWITCH goes on if it is told so, when somebody did unless it is told not to.
                IF coalesce(vars ->> 'continue_on_fail', 'false') <> 'false' THEN
                    after := CASE WHEN coalesce(vars ->> 'hangup_after_bridge', 'false') = 'true' THEN 'result!=answered' END;
                ELSE
                    after := 'result=answered';
                    is_over := coalesce(vars ->> 'hangup_after_bridge', 'false') = 'true' AND holds = 'yes' AND guard IS NULL;
                END IF;
            END IF;
        END LOOP;

        EXIT WHEN holds = 'yes' AND c.break IN ('on-true', 'always') OR holds = 'no' AND c.break IN ('on-false', 'always') OR c.break = 'always';
        IF holds = 'asked' AND c.break <> 'never' THEN
            guard := pbx.condition_and(guard, CASE c.break WHEN 'on-true' THEN pbx.condition_not(term) ELSE term END);
        END IF;
    END LOOP;
    RETURN jsonb_build_object('vars', vars, 'after', after, 'steps', steps, 'notes', notes, 'guard', guard, 'is_lost', is_lost, 'is_over', is_over);
END $$;
COMMENT ON FUNCTION pbx.freeswitch_run(text, jsonb, jsonb, jsonb, text) IS 'What an extension of FreeSWITCH does with the numbers of a pattern: its conditions, one after the other, with their actions, as steps with conditions.';

CREATE FUNCTION pbx.freeswitch_routes(domain text, doc text, vars jsonb) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    file CONSTANT text := 'dialplan';
    whole CONSTANT xml := pbx.xml_read(doc, 'the dialplan');
    home CONSTANT text := vars ->> 'default_context';
    contexts CONSTANT text[] := ARRAY(SELECT DISTINCT c.name FROM xmltable('//context' PASSING whole COLUMNS name text PATH '@name') AS c);
    routes jsonb := '{}'; -- "context rank": {"pattern", "line", "name", "steps", "after", "vars", "is_lost", "guard", "goes_on"}
    e record;
    p record;
    r jsonb;
    t record;
    conditions jsonb;
    key text;
    ran jsonb;
    told pbx.import_told[] := '{}';
    known text[] := '{}';
    schedules integer := 0;
    n integer;
    is_whole boolean;
BEGIN
    FOR e IN
        SELECT x.n, 1 + l.line AS line, coalesce(nullif(x.name, ''), '?') AS name, coalesce(x.goes_on, '') = 'true' AS goes_on, coalesce(x.enabled, '') <> 'false' AS enabled, x.node,
               coalesce(pbx.freeswitch_context(coalesce(x.context, x.own_context, CASE WHEN cardinality(contexts) = 1 THEN contexts[1] END), vars), home) AS context
        FROM xmltable('//extension' PASSING whole COLUMNS n FOR ORDINALITY, name text PATH '@name', context text PATH 'ancestor::context[1]/@name', own_context text PATH '@context', goes_on text PATH '@continue', enabled text PATH '@enabled',
                      node xml PATH '.') AS x JOIN pbx.xml_lines(whole, 'extension') AS l ON l.n = x.n ORDER BY x.n
    LOOP
        IF e.context <> ALL (known) THEN
            known := known || e.context;
            told := told || ARRAY(SELECT c FROM pbx.import_context(domain, file, e.line, e.context) AS c);
        END IF;
        IF NOT e.enabled THEN
            told := told || ROW(file, e.line, e.name, NULL, 'it isn''t enabled there, and is left out', NULL, NULL)::pbx.import_told;
            CONTINUE;
        END IF;
        conditions := pbx.freeswitch_conditions(e.node, e.line);
        -- Times become schedules.
        FOR t IN SELECT u.c, u.n FROM jsonb_array_elements(conditions) WITH ORDINALITY AS u(c, n) WHERE u.c -> 'times' <> 'null' LOOP
            key := format('%s-%s', left(regexp_replace(lower(e.name), '[^a-z0-9]+', '-', 'g'), 40), schedules + 1);
            CONTINUE WHEN pbx.freeswitch_schedule(domain, key, t.c -> 'times') IS NULL OR key !~ '^[a-z0-9]';
            schedules := schedules + 1;
            told := told || ROW(file, (t.c ->> 'line')::integer, (t.c -> 'times')::text, pbx.freeswitch_schedule(domain, key, t.c -> 'times'), NULL, NULL, NULL)::pbx.import_told;
            conditions := jsonb_set(conditions, ARRAY[(t.n - 1)::text, 'schedule'], to_jsonb(key));
        END LOOP;

        n := 0;
        FOR p IN
            -- Its numbers: those that it names, those of users, or all.
            WITH expression AS (
                SELECT c ->> 'expression' AS expression, (c ->> 'line')::integer AS line FROM jsonb_array_elements(conditions) AS c WHERE c ->> 'field' IN ('destination_number', '${destination_number}') AND c ->> 'problem' IS NULL
            ), found AS (
                SELECT x.line, x.expression, q.pattern, q.groups, q.note FROM expression AS x, pbx.regex_patterns(x.expression) AS q
                UNION ALL
                SELECT e.line, NULL, u, '{}', NULL FROM jsonb_array_elements_text(vars -> 'user_patterns') AS u
                WHERE NOT EXISTS (SELECT FROM expression) AND EXISTS (SELECT FROM jsonb_array_elements(conditions) AS c WHERE c ->> 'field' = '${user_exists}' AND c ->> 'expression' ~ 'true')
            )
            SELECT DISTINCT ON (f.pattern, CASE WHEN f.pattern IS NULL THEN f.note END) f.* FROM found AS f
            UNION ALL
            SELECT e.line, NULL, '_!', '{}', NULL WHERE NOT EXISTS (SELECT FROM found)
        LOOP
            IF p.note IS NOT NULL THEN
                told := told || ROW(file, p.line, format('%s: %s', e.name, p.expression), NULL, p.note, NULL, NULL)::pbx.import_told;
            END IF;
            CONTINUE WHEN p.pattern IS NULL;
            key := e.context || ' ' || encode(pbx.pattern_rank(p.pattern), 'hex');
            r := routes -> key;
            is_whole := p.expression IS NULL;
            ran := pbx.freeswitch_run(p.pattern, p.groups, conditions, jsonb_build_object('vars', coalesce(r -> 'vars', vars), 'after', r -> 'after'), CASE WHEN r IS NOT NULL AND NOT (r ->> 'goes_on')::boolean THEN pbx.condition_not(r ->> 'guard') END);
            told := told || ARRAY(SELECT ROW(file, x.line, x.said, NULL, x.problem, NULL, NULL)::pbx.import_told FROM jsonb_to_recordset(ran -> 'notes') AS x(line integer, said text, problem text));
            IF is_whole AND (e.goes_on AND p.pattern = '_!' OR (ran ->> 'is_lost')::boolean) THEN
                -- It is there for all calls, whatever they dial, or for all users. Of that only constants can be kept.
                IF e.goes_on AND p.pattern = '_!' AND ran ->> 'guard' IS NULL AND NOT (ran ->> 'is_lost')::boolean THEN
                    vars := vars || (ran -> 'vars');
                END IF;
                told := told || ARRAY(SELECT ROW(file, x.line, format('%s: %s', e.name, x.said), NULL, coalesce(x.problem, 'it would run in each call, whatever is dialled'), NULL, NULL)::pbx.import_told
                                      FROM jsonb_to_recordset(ran -> 'steps') AS x(line integer, said text, problem text));
                CONTINUE;
            END IF;
            -- Another extension has these numbers: this one follows if it goes on, or if its condition doesn't hold.
            IF r IS NOT NULL AND NOT (r ->> 'goes_on')::boolean AND (r ->> 'guard' IS NULL OR pbx.condition_not(r ->> 'guard') IS NULL) THEN
                told := told || ROW(file, e.line, e.name, NULL, format(CASE WHEN (r ->> 'is_lost')::boolean OR r ->> 'guard' IS NOT NULL THEN '%s is a route of %s already, whose conditions can''t be said' ELSE 'FreeSWITCH never gets there for %s: %s comes before it' END,
                    p.pattern, r ->> 'name'), NULL, NULL)::pbx.import_told;
                CONTINUE;
            END IF;
            CONTINUE WHEN ran -> 'steps' = '[]' AND NOT e.goes_on;
            routes := routes || jsonb_build_object(key, jsonb_build_object('context', e.context, 'pattern', coalesce(r ->> 'pattern', p.pattern), 'line', CASE WHEN r -> 'steps' <> '[]' THEN r -> 'line' ELSE to_jsonb(e.line) END,
                'name', CASE WHEN r -> 'steps' <> '[]' THEN r -> 'name' ELSE to_jsonb(e.name) END, 'n', CASE WHEN r -> 'steps' <> '[]' THEN r -> 'n' ELSE to_jsonb(e.n) END, 'steps', coalesce(r -> 'steps', '[]') || (ran -> 'steps'), 'after', ran -> 'after', 'vars', CASE WHEN e.goes_on THEN ran -> 'vars' END, 'guard', ran -> 'guard',
                'is_lost', coalesce((r ->> 'is_lost')::boolean, false) OR (ran ->> 'is_lost')::boolean, 'goes_on', e.goes_on));
        END LOOP;
    END LOOP;

    FOR t IN
        -- The first wins there, the most specific here.
        WITH route AS MATERIALIZED (
            SELECT x.key, x.value AS r, x.value ->> 'context' AS context, (x.value ->> 'n')::integer AS n, x.value ->> 'pattern' AS pattern, x.value ->> 'name' AS name,
                   NOT (x.value ->> 'goes_on')::boolean AND NOT (x.value ->> 'is_lost')::boolean AND x.value ->> 'guard' IS NULL AND left(x.value ->> 'pattern', 1) = '_' AS takes_all,
                   pbx.pattern_regex(x.value ->> 'pattern') AS regex, pbx.pattern_samples(x.value ->> 'pattern') AS samples
            FROM jsonb_each(routes) AS x WHERE x.value -> 'steps' <> '[]'
        ), hidden AS (
            SELECT DISTINCT ON (l.key) l.key, o.name FROM route AS o JOIN route AS l ON l.context = o.context AND l.n > o.n
            WHERE o.takes_all AND (SELECT bool_and(u ~ o.regex) FROM unnest(l.samples) AS u) ORDER BY l.key, o.n
        )
        SELECT x.r, h.name AS earlier FROM route AS x LEFT JOIN hidden AS h USING (key) ORDER BY x.n, x.key
    LOOP
        r := t.r;
        IF t.earlier IS NOT NULL THEN
            told := told || ROW(file, (r ->> 'line')::integer, r ->> 'name', NULL, format('FreeSWITCH never gets there for %s: %s comes before it', r ->> 'pattern', t.earlier), NULL, NULL)::pbx.import_told;
            CONTINUE;
        END IF;
        told := told || ARRAY(SELECT i FROM pbx.import_route(domain, r ->> 'context', r ->> 'pattern', r ->> 'name', file, (r ->> 'line')::integer, format('%s: %s', r ->> 'name', r ->> 'pattern'), r -> 'steps', (r ->> 'is_lost')::boolean) AS i);
    END LOOP;
    -- Of the several patterns of an extension each thing is told once.
    RETURN QUERY SELECT u.file, u.line, u.said, u.sql, u.problem, u.fix, u.otherwise
        FROM (SELECT o.*, row_number() OVER (PARTITION BY o.line, o.said, o.problem, o.sql ORDER BY o.n) AS again FROM unnest(told) WITH ORDINALITY AS o(file, line, said, sql, problem, fix, otherwise, n)) AS u
        WHERE u.again = 1 ORDER BY u.n;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_routes(text, text, jsonb) IS 'For imports: the dialplan of FreeSWITCH. A regular expression becomes the patterns that match the same, an extension a route for each.';

-- Its directory ------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.freeswitch_values(node xml, path text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(v.name, v.value), '{}') FROM xmltable($2 PASSING $1 COLUMNS name text PATH '@name', value text PATH '@value') AS v WHERE v.name <> '' AND v.value IS NOT NULL
$$;
COMMENT ON FUNCTION pbx.freeswitch_values(xml, text) IS 'Parameters or variables of FreeSWITCH by their names.';

CREATE FUNCTION pbx.freeswitch_users(directory xml) RETURNS TABLE (n integer, line integer, id text, number text, has jsonb, groups text[], gateways integer) LANGUAGE sql STABLE AS $$
    -- What a user doesn't say itself it has of its domain.
    SELECT u.n, 1 + l.line, u.id, coalesce(nullif(u.alias, ''), u.id),
           pbx.freeswitch_values(u.of_domain, '/domain/params/param|/domain/variables/variable') || pbx.freeswitch_values(u.node, '/user/params/param|/user/variables/variable'),
           ARRAY(SELECT g.name FROM xmltable('//group' PASSING $1 COLUMNS name text PATH '@name', node xml PATH '.') AS g WHERE xmlexists('//user[@id]' PASSING g.node) AND u.id IN (SELECT m.id FROM xmltable('//user' PASSING g.node COLUMNS id text PATH '@id') AS m)),
           u.gateways
    FROM xmltable('//user' PASSING $1 COLUMNS n FOR ORDINALITY, id text PATH '@id', alias text PATH '@number-alias', kind text PATH '@type', node xml PATH '.', of_domain xml PATH 'ancestor::domain[1]', gateways integer PATH 'count(.//gateway)') AS u
    JOIN pbx.xml_lines($1, 'user') AS l ON l.n = u.n WHERE coalesce(u.kind, '') <> 'pointer' AND u.id <> ''
$$;
COMMENT ON FUNCTION pbx.freeswitch_users(xml) IS 'The users of FreeSWITCH''s directory, with parameters and variables.';

CREATE FUNCTION pbx.freeswitch_directory(domain text, directory xml, vars jsonb) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    file CONSTANT text := 'directory';
    realm CONSTANT text := (SELECT nullif(d.name, '') FROM xmltable('//domain' PASSING directory COLUMNS name text PATH '@name') AS d LIMIT 1);
    u record;
    v record;
    has jsonb;
    context text;
BEGIN
    FOR u IN SELECT * FROM pbx.freeswitch_users(directory) AS x ORDER BY x.n LOOP
        -- Values with their variables; NULL: one that has none.
        has := (SELECT coalesce(jsonb_object_agg(e.key, pbx.freeswitch_text(e.value, vars)), '{}') FROM jsonb_each_text(u.has) AS e);
        IF pbx.freeswitch_text(u.number, vars) IS NULL OR u.gateways > 0 AND NOT has ? 'user_context' THEN
            IF u.gateways = 0 THEN
                RETURN NEXT ROW(file, u.line, u.id, NULL, 'its name has a variable without a value', NULL, NULL)::pbx.import_told;
            END IF;
            CONTINUE;
        END IF;
        context := coalesce(pbx.freeswitch_context(has ->> 'user_context', vars), vars ->> 'default_context');
        RETURN QUERY SELECT * FROM pbx.import_context(domain, file, u.line, context);
        RETURN QUERY SELECT * FROM pbx.import_phone(domain, file, u.line, format('[%s]', u.number), jsonb_build_object('number', u.number, 'display_name', has ->> 'effective_caller_id_name', 'context', context,
            'caller_id', CASE WHEN has ->> 'outbound_caller_id_number' ~ '^[0-9+*#]{1,63}$' THEN has ->> 'outbound_caller_id_number' END,
            'ring_s', CASE WHEN has ->> 'call_timeout' ~ '^[1-9][0-9]{0,2}$' THEN has ->> 'call_timeout' END, 'call_limit', CASE WHEN coalesce(has ->> 'max_calls', has ->> 'limit_max') ~ '^[0-9]{1,6}$' THEN coalesce(has ->> 'max_calls', has ->> 'limit_max') END,
            'language', CASE WHEN has ->> 'default_language' ~ '^[a-z]{2,3}$' THEN has ->> 'default_language' END,
            'codecs', (SELECT to_jsonb(array_agg(k.ours ORDER BY x.n)) FROM unnest(string_to_array(has ->> 'absolute_codec_string', ',')) WITH ORDINALITY AS x(name, n)
                       JOIN (VALUES ('PCMU', 'PCMU'), ('PCMA', 'PCMA'), ('G722', 'G722'), ('OPUS', 'opus'), ('GSM', 'GSM'), ('G726-32', 'G726-32'), ('L16', 'L16/8000')) AS k(theirs, ours) ON k.theirs = upper(split_part(btrim(x.name), '@', 1))),
            'auth_name', u.id, 'password', coalesce(has ->> 'password', CASE WHEN u.has ? 'password' THEN '<password>' END), 'ha1_md5', has ->> 'a1-hash', 'ha1_realm', coalesce(pbx.freeswitch_text(realm, vars), '')));
        IF coalesce(has ->> 'vm-enabled', 'true') <> 'false' AND (has ?| '{vm-password,vm-mailto,vm-email}' OR has ->> 'vm-enabled' = 'true') THEN
            RETURN QUERY SELECT * FROM pbx.import_mailbox(domain, file, u.line, format('mailbox %s', u.number), jsonb_build_object('number', u.number, 'pin', has ->> 'vm-password',
                'email', CASE WHEN coalesce(has ->> 'vm-mailto', has ->> 'vm-email', '') <> '' THEN coalesce(has ->> 'vm-mailto', has ->> 'vm-email') END));
        END IF;
    END LOOP;
    -- What isn't understood, once for all users.
    FOR v IN
        SELECT e.key, min(e.value) AS value, count(*) AS users, min(x.line) AS line FROM pbx.freeswitch_users(directory) AS x, jsonb_each_text(x.has) AS e
        WHERE e.key NOT IN ('password', 'a1-hash', 'vm-password', 'vm-enabled', 'vm-mailto', 'vm-email', 'user_context', 'effective_caller_id_name', 'effective_caller_id_number', 'outbound_caller_id_name', 'outbound_caller_id_number',
            'call_timeout', 'max_calls', 'limit_max', 'absolute_codec_string', 'default_language', 'accountcode', 'domain_name', 'domain_uuid', 'extension_uuid', 'user_uuid', 'dial-string', 'presence_id') AND e.value <> ''
        GROUP BY e.key ORDER BY 4, 1
    LOOP
        RETURN NEXT ROW(file, v.line, format('%s=%s%s', v.key, v.value, CASE WHEN v.users > 1 THEN format(' (%s users)', v.users) ELSE '' END), NULL, 'not understood', NULL, NULL)::pbx.import_told;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_directory(text, xml, jsonb) IS 'For imports: the users of FreeSWITCH''s directory, with their mailboxes.';

CREATE FUNCTION pbx.freeswitch_gateways(domain text, file text, doc xml, vars jsonb) RETURNS SETOF pbx.import_told LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_variable
DECLARE
    g record;
    has jsonb;
    name text;
    proxy text;
    context text;
BEGIN
    FOR g IN SELECT x.name, x.node, 1 + l.line AS line FROM xmltable('//gateway' PASSING doc COLUMNS n FOR ORDINALITY, name text PATH '@name', node xml PATH '.') AS x JOIN pbx.xml_lines(doc, 'gateway') AS l ON l.n = x.n ORDER BY x.n LOOP
        has := (SELECT coalesce(jsonb_object_agg(e.key, pbx.freeswitch_text(e.value, vars)), '{}') FROM jsonb_each_text(pbx.freeswitch_values(g.node, '/gateway/param|/gateway/params/param')) AS e);
        name := pbx.freeswitch_text(g.name, vars);
        IF coalesce(name, '') = '' THEN
            RETURN NEXT ROW(file, g.line, coalesce(g.name, ''), NULL, 'its name has a variable without a value', NULL, NULL)::pbx.import_told;
            CONTINUE;
        END IF;
        proxy := coalesce(nullif(has ->> 'proxy', ''), nullif(has ->> 'realm', ''), name);
        context := coalesce(pbx.freeswitch_context(has ->> 'context', vars), vars ->> 'default_context');
        RETURN QUERY SELECT * FROM pbx.import_context(domain, file, g.line, context);
        RETURN QUERY SELECT * FROM pbx.import_trunk(domain, file, g.line, format('gateway %s', name), jsonb_build_object('name', name, 'context', context,
            'uri', format('sip:%s%s', regexp_replace(proxy, '^sips?:', ''), CASE WHEN has ->> 'register-transport' IN ('tcp', 'tls') AND proxy !~ 'transport=' THEN ';transport=' || (has ->> 'register-transport') ELSE '' END),
            'registrar', CASE WHEN coalesce(has ->> 'register', 'true') = 'true' THEN format('sip:%s', regexp_replace(coalesce(nullif(has ->> 'register-proxy', ''), proxy), '^sips?:', '')) END,
            'register_as', CASE WHEN coalesce(has ->> 'register', 'true') = 'true' AND coalesce(has ->> 'username', '') <> '' THEN format('%s@%s', coalesce(nullif(has ->> 'from-user', ''), has ->> 'username'),
                coalesce(nullif(has ->> 'from-domain', ''), nullif(has ->> 'realm', ''), regexp_replace(split_part(proxy, ';', 1), ':[0-9]+$', ''))) END,
            'register', coalesce(has ->> 'register', 'true') = 'true', 'auth_user', nullif(coalesce(nullif(has ->> 'auth-username', ''), has ->> 'username'), ''), 'auth_password', nullif(has ->> 'password', ''), 'enabled', CASE WHEN has ->> 'enabled' = 'false' THEN 'false' END));
        RETURN QUERY SELECT file, g.line, format('%s: %s=%s', name, e.key, e.value), NULL, 'not understood', NULL, NULL FROM jsonb_each_text(has) AS e
        WHERE e.value <> '' AND e.key NOT IN ('username', 'auth-username', 'password', 'proxy', 'realm', 'register', 'register-proxy', 'register-transport', 'from-user', 'from-domain', 'context', 'enabled', 'expire-seconds', 'retry-seconds', 'ping',
            'profile', 'hostname', 'extension', 'caller-id-in-from') ORDER BY e.key;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.freeswitch_gateways(text, text, xml, jsonb) IS 'For imports: the gateways of FreeSWITCH as trunks.';

CREATE FUNCTION pbx.import_freeswitch(domain text, dialplan text, directory text DEFAULT NULL, gateways text DEFAULT NULL, vars text DEFAULT NULL, draft text DEFAULT 'freeswitch')
    RETURNS TABLE (file text, line integer, said text, problem text, fix text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    users CONSTANT xml := pbx.xml_read($3, 'the directory');
    lines CONSTANT xml := pbx.xml_read($4, 'the gateways');
    known jsonb;
BEGIN
    PERFORM pbx.domain_must_be($1);
    -- The variables of vars.xml, and of any other file.
    SELECT coalesce(jsonb_object_agg(m[1], m[2]), '{}') INTO known
    FROM unnest(ARRAY[pbx.xml_read($5, 'vars'), users, lines, pbx.xml_read($2, 'the dialplan')]) AS doc, xmltable('//*[@cmd="set"]' PASSING doc COLUMNS data text PATH '@data') AS s, regexp_match(s.data, '^\s*([A-Za-z0-9_-]+)=(.*)$') AS m;
    known := (SELECT coalesce(jsonb_object_agg(k.key, v.value), '{}') FROM jsonb_each_text(known) AS k,
              -- One may be made of another.
              LATERAL (SELECT pbx.freeswitch_text(k.value, known) AS value) AS v WHERE v.value IS NOT NULL)
        || jsonb_build_object('hold_music', 'local_stream://moh', 'domain', '<domain>', 'domain_name', '<domain>', 'dialed_domain', '<domain>',
            'default_context', (SELECT d.default_context FROM pbx.domain AS d WHERE d.domain = $1),
            'domains', (SELECT coalesce(jsonb_agg(DISTINCT d.name), '[]') FROM xmltable('//domain' PASSING users COLUMNS name text PATH '@name') AS d WHERE d.name !~ '\$'),
            'groups', (SELECT coalesce(jsonb_object_agg(g.name, g.members), '{}') FROM (
                SELECT u.name, jsonb_agg(x.number ORDER BY x.n) AS members FROM pbx.freeswitch_users(users) AS x, unnest(x.groups) AS u(name) WHERE x.gateways = 0 OR x.has ? 'user_context' GROUP BY u.name) AS g),
            'user_patterns', (SELECT coalesce(jsonb_agg(DISTINCT '_' || repeat('X', length(u.number))), '[]') FROM (
                SELECT x.number FROM pbx.freeswitch_users(users) AS x UNION SELECT e.number FROM pbx.extension AS e WHERE e.domain = $1) AS u WHERE u.number ~ '^[0-9]+$'));
    RETURN QUERY SELECT * FROM pbx.import_draft($1, $6, 'from FreeSWITCH',
        ARRAY(SELECT t FROM pbx.freeswitch_gateways($1, 'gateways', lines, known) AS t) || ARRAY(SELECT t FROM pbx.freeswitch_gateways($1, 'directory', users, known) AS t)
        || ARRAY(SELECT t FROM pbx.freeswitch_directory($1, users, known) AS t) || ARRAY(SELECT t FROM pbx.freeswitch_routes($1, $2, known) AS t)
        || ARRAY(SELECT ROW(x.file, NULL, format('include %s', s.data), NULL, 'what it includes isn''t here: append it', NULL, NULL)::pbx.import_told
                 FROM (VALUES ('dialplan', pbx.xml_read($2, 'the dialplan')), ('directory', users), ('gateways', lines)) AS x(file, doc), xmltable('//*[@cmd="include"]' PASSING x.doc COLUMNS data text PATH '@data') AS s));
END $$;
COMMENT ON FUNCTION pbx.import_freeswitch(text, text, text, text, text, text) IS 'Puts an office from FreeSWITCH or FusionPBX into a draft: the XML of the dialplan, the directory of users, gateways (sip_profiles/external) and vars.xml, each several files one after the other if need be. Returns what was not understood or can''t be, line by line, and for passwords and PINs, which are not kept in drafts, the statement that sets each when the draft is active. Nothing is changed yet: see draft_show(), draft_explain(), activate().';

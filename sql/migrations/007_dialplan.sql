-- The dialplan: applications, routes, their steps; patterns and which of them wins.

-- Patterns -----------------------------------------------------------------------------------------
--
-- The rules are those of src/plan/pattern.h; a property test holds the two equal. A pattern is either a literal, letters,
-- digits and * # + - . _ compared as they are, or "_" followed by positions: digits and * # + as themselves, X, Z, N,
-- a class of digits and rising ranges [13-57], and as the last position "." or "!".

CREATE FUNCTION pbx.pattern_positions(pattern text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT AS $$
    -- One text of its members, in order and each once, per position; '.' and '!' at the end of a "_" pattern as themselves.
    SELECT coalesce(array_agg(CASE
               WHEN left(pattern, 1) <> '_' THEN t
               WHEN t = 'X' THEN '0123456789'
               WHEN t = 'Z' THEN '123456789'
               WHEN t = 'N' THEN '23456789'
               WHEN left(t, 1) = '[' THEN (
                   SELECT string_agg(d::text, '' ORDER BY d) FROM generate_series(0, 9) AS d WHERE d::text ~ t)
               ELSE t END ORDER BY n), '{}')
    FROM (SELECT m[1] AS t, n FROM regexp_matches(CASE WHEN left(pattern, 1) = '_' THEN substr(pattern, 2) ELSE pattern END,
              CASE WHEN left(pattern, 1) = '_' THEN '\[[^]]*\]|.' ELSE '.' END, 'g') WITH ORDINALITY AS r(m, n)) AS tokens
$$;
COMMENT ON FUNCTION pbx.pattern_positions(text) IS 'A valid pattern, position by position: the characters that may stand there.';

CREATE FUNCTION pbx.pattern_problem(pattern text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    rest text := substr(pattern, 2);
    positions integer := 0;
    t text;
    range text[];
BEGIN
    IF pattern IS NULL OR pattern = '' THEN
        RETURN 'it is empty';
    ELSIF left(pattern, 1) <> '_' THEN
        RETURN CASE
            WHEN pattern ~ '[^A-Za-z0-9*#+._-]' THEN
                format('%L can''t be in a number%s', substring(pattern from '[^A-Za-z0-9*#+._-]'),
                       CASE WHEN pattern ~ '[[!]' THEN '; a pattern begins with _' ELSE '' END)
            WHEN length(pattern) > 64 THEN 'it is longer than 64 positions' END;
    ELSIF rest = '' THEN
        RETURN 'nothing follows the _';
    END IF;
    WHILE rest <> '' LOOP
        t := left(rest, 1);
        IF t = '[' THEN
            t := substring(rest from '^\[[^]]*\]');
            IF t IS NULL THEN
                RETURN format('the class %L has no end', rest);
            ELSIF t !~ '^\[([0-9](-[0-9])?)+\]$' THEN
                RETURN format('%L is no class of digits and ranges, like [13-57]', t);
            END IF;
            FOR range IN SELECT regexp_matches(t, '([0-9])-([0-9])', 'g') LOOP
                IF range[1] > range[2] THEN
                    RETURN format('the range %s-%s in %L falls', range[1], range[2], t);
                END IF;
            END LOOP;
        ELSIF t IN ('.', '!') THEN
            IF rest <> t THEN
                RETURN format('%L can only stand at the end', t);
            END IF;
        ELSIF t !~ '[0-9*#+XZN]' THEN
            RETURN format('%L has no meaning after the _', t);
        END IF;
        positions := positions + 1;
        rest := substr(rest, length(t) + 1);
    END LOOP;
    RETURN CASE WHEN positions > 64 THEN 'it is longer than 64 positions' END;
END $$;
COMMENT ON FUNCTION pbx.pattern_problem(text) IS 'What is wrong with a pattern; NULL: nothing.';

CREATE FUNCTION pbx.pattern_valid(pattern text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT pbx.pattern_problem(pattern) IS NULL
$$;
COMMENT ON FUNCTION pbx.pattern_valid(text) IS 'Is it a pattern? A literal number or name, or "_" followed by digits and * # + as themselves, X 0-9, Z 1-9, N 2-9, [13-57], and at the end "." for one or more or "!" for zero or more characters.';

CREATE FUNCTION pbx.pattern_rank(pattern text) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    -- Each position: the size of its set, then its members. Fewer members sort first, then smaller ones; a pattern
    -- that ends sorts before one that goes on. "." and "!" count as sets larger than any.
    SELECT coalesce(string_agg(CASE
               WHEN left(pattern, 1) = '_' AND p = '.' THEN '\xfe'::bytea
               WHEN left(pattern, 1) = '_' AND p = '!' THEN '\xff'::bytea
               ELSE set_byte('\x00'::bytea, 0, length(p)) || convert_to(p, 'UTF8') END, ''::bytea ORDER BY n), ''::bytea)
    FROM unnest(pbx.pattern_positions(pattern)) WITH ORDINALITY AS u(p, n)
$$;
COMMENT ON FUNCTION pbx.pattern_rank(text) IS 'Of two patterns that match a number, the one whose rank sorts first is more specific and wins. Equal ranks match the same numbers.';

CREATE FUNCTION pbx.pattern_regex(pattern text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT '^' || coalesce(string_agg(CASE
               WHEN left(pattern, 1) = '_' AND p = '.' THEN '.+'
               WHEN left(pattern, 1) = '_' AND p = '!' THEN '.*'
               WHEN length(p) = 1 AND p ~ '[A-Za-z0-9_]' THEN p
               ELSE '[' || p || ']' END, '' ORDER BY n), '') || '$'
    FROM unnest(pbx.pattern_positions(pattern)) WITH ORDINALITY AS u(p, n)
$$;
COMMENT ON FUNCTION pbx.pattern_regex(text) IS 'A pattern as a regular expression of PostgreSQL.';

CREATE FUNCTION pbx.pattern_prefix(pattern text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN left(pattern, 1) = '_' THEN substring(pattern from '^_([0-9*#+]*)') ELSE pattern END
$$;
COMMENT ON FUNCTION pbx.pattern_prefix(text) IS 'The characters with which every number that a pattern matches begins.';

CREATE FUNCTION pbx.pattern_matches(pattern text, number text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN left(pattern, 1) = '_' THEN number ~ pbx.pattern_regex(pattern) ELSE number = pattern END
$$;
COMMENT ON FUNCTION pbx.pattern_matches(text, text) IS 'Does a pattern match a number?';

-- Conditions and arguments -------------------------------------------------------------------------

CREATE FUNCTION pbx.condition_valid(condition text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT condition ~ '^ *[a-z_][a-z0-9_]* *!?= *[^ ,=!]+( *, *[^ ,=!]+)*( +and +[a-z_][a-z0-9_]* *!?= *[^ ,=!]+( *, *[^ ,=!]+)*)* *$'
$$;
COMMENT ON FUNCTION pbx.condition_valid(text) IS 'Is it a condition? Terms joined by "and", each: name = value or name != value, several values with commas between them.';

CREATE FUNCTION pbx.substitute(template text, vars jsonb, keep_unknown boolean DEFAULT false) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    done text := '';
    rest text := template;
    at integer;
    m text[];
    value text;
BEGIN
    LOOP
        at := strpos(rest, '${');
        IF coalesce(at, 0) = 0 THEN
            RETURN done || rest;
        END IF;
        done := done || left(rest, at - 1);
        rest := substr(rest, at);
        m := regexp_match(rest, '^\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*)|:(-?[0-9]{1,4})(?::([0-9]{1,4}))?)?\}');
        IF m IS NULL THEN
            done := done || '${';
            rest := substr(rest, 3);
            CONTINUE;
        END IF;
        at := strpos(rest, '}');
        value := vars ->> m[1];
        IF value IS NULL AND keep_unknown AND m[2] IS NULL THEN
            value := left(rest, at);
        ELSIF m[2] IS NOT NULL THEN
            value := CASE WHEN coalesce(value, '') = '' THEN m[2] ELSE value END;
        ELSIF m[3] IS NOT NULL THEN
            value := substr(value, m[3]::integer + 1);
            value := CASE WHEN m[4] IS NOT NULL THEN left(value, m[4]::integer) ELSE value END;
        END IF;
        done := done || coalesce(value, '');
        rest := substr(rest, at + 1);
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.substitute(text, jsonb, boolean) IS 'Replaces ${name}, ${name:offset}, ${name:offset:length} and ${name:-default} by the variables given. An unset variable is empty, or stays as written if keep_unknown.';

-- Vocabulary ---------------------------------------------------------------------------------------

CREATE TABLE pbx.app (
    app  text PRIMARY KEY CHECK (app ~ '^[a-z][a-z0-9_]*$'),
    help text NOT NULL DEFAULT ''
);
COMMENT ON TABLE pbx.app IS 'Applications that steps can run. Registered by the server.';
COMMENT ON COLUMN pbx.app.app IS 'Name of the application.';
COMMENT ON COLUMN pbx.app.help IS 'What it does.';

CREATE TABLE pbx.app_param (
    app           text NOT NULL REFERENCES pbx.app ON DELETE CASCADE,
    param         text NOT NULL CHECK (param ~ '^[a-z][a-z0-9_]*$'),
    type          text NOT NULL CHECK (type IN ('text', 'number', 'int', 'bool', 'seconds', 'prompt',
                                                'mailbox', 'menu', 'group', 'music', 'trunk', 'context')),
    required      boolean NOT NULL,
    default_value text,
    help          text NOT NULL DEFAULT '',
    PRIMARY KEY (app, param)
);
COMMENT ON TABLE pbx.app_param IS 'Parameters of applications; the arguments of steps are checked against them.';
COMMENT ON COLUMN pbx.app_param.app IS 'The application.';
COMMENT ON COLUMN pbx.app_param.param IS 'Name of the parameter.';
COMMENT ON COLUMN pbx.app_param.type IS 'What a value must be: text, number (one that can be dialled), int, bool, seconds, prompt (names with & between them), or the key of a mailbox, menu, group, music class, trunk or context of the domain.';
COMMENT ON COLUMN pbx.app_param.required IS 'Must a step give it?';
COMMENT ON COLUMN pbx.app_param.default_value IS 'Value when it is not given.';
COMMENT ON COLUMN pbx.app_param.help IS 'What it means.';

-- Routes -------------------------------------------------------------------------------------------

CREATE TABLE pbx.route (
    domain  text NOT NULL,
    context text NOT NULL,
    pattern text NOT NULL,
    name    text NOT NULL DEFAULT '',
    enabled boolean NOT NULL DEFAULT true,
    regex   text NOT NULL GENERATED ALWAYS AS (pbx.pattern_regex(pattern)) STORED,
    rank    bytea NOT NULL GENERATED ALWAYS AS (pbx.pattern_rank(pattern)) STORED,
    prefix  text NOT NULL GENERATED ALWAYS AS (pbx.pattern_prefix(pattern)) STORED,
    PRIMARY KEY (domain, context, pattern),
    CONSTRAINT context_exists FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT pattern_is_valid CHECK (pbx.pattern_valid(pattern)),
    CONSTRAINT pattern_matches_other_numbers_than_the_rest UNIQUE (domain, context, rank)
);
COMMENT ON TABLE pbx.route IS 'What dialled numbers do. Of the routes of a context that match, the most specific wins, in whatever order they were made.';
COMMENT ON COLUMN pbx.route.domain IS 'The domain.';
COMMENT ON COLUMN pbx.route.context IS 'The context.';
COMMENT ON COLUMN pbx.route.pattern IS 'Which numbers: see pbx.pattern_valid().';
COMMENT ON COLUMN pbx.route.name IS 'Name for people.';
COMMENT ON COLUMN pbx.route.enabled IS 'false: as if it were not there.';
COMMENT ON COLUMN pbx.route.regex IS 'The pattern as a regular expression.';
COMMENT ON COLUMN pbx.route.rank IS 'Sorts more specific patterns first.';
COMMENT ON COLUMN pbx.route.prefix IS 'The numbers it matches begin so.';

CREATE FUNCTION pbx.route_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    problem text := pbx.pattern_problem(NEW.pattern);
    own_rank bytea;
    other text;
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION 'route %/%/%: bad pattern: %', NEW.domain, NEW.context, NEW.pattern, problem
            USING ERRCODE = 'check_violation', HINT = obj_description('pbx.pattern_valid(text)'::regprocedure);
    END IF;
    own_rank := pbx.pattern_rank(NEW.pattern);
    SELECT pattern INTO other FROM pbx.route
    WHERE domain = NEW.domain AND context = NEW.context AND rank = own_rank AND pattern <> NEW.pattern
      AND NOT (TG_OP = 'UPDATE' AND pattern = OLD.pattern);
    IF FOUND THEN
        RAISE EXCEPTION 'route %/%/%: the pattern matches the same numbers as %', NEW.domain, NEW.context, NEW.pattern, other
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.route_check() IS 'Trigger: refuses bad patterns, and two that match just the same numbers, and says why.';
CREATE TRIGGER route_check BEFORE INSERT OR UPDATE OF domain, context, pattern ON pbx.route
    FOR EACH ROW EXECUTE FUNCTION pbx.route_check();

CREATE TABLE pbx.step (
    domain    text NOT NULL,
    context   text NOT NULL,
    pattern   text NOT NULL,
    position  integer NOT NULL CHECK (position > 0),
    app       text NOT NULL,
    args      jsonb NOT NULL DEFAULT '{}',
    condition text,
    PRIMARY KEY (domain, context, pattern, position),
    CONSTRAINT route_exists FOREIGN KEY (domain, context, pattern) REFERENCES pbx.route ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT args_are_an_object CHECK (jsonb_typeof(args) = 'object'),
    CONSTRAINT condition_is_valid CHECK (pbx.condition_valid(condition))
);
COMMENT ON TABLE pbx.step IS 'Application calls of a route, run in order of position.';
COMMENT ON COLUMN pbx.step.domain IS 'The domain.';
COMMENT ON COLUMN pbx.step.context IS 'The context of the route.';
COMMENT ON COLUMN pbx.step.pattern IS 'The pattern of the route.';
COMMENT ON COLUMN pbx.step.position IS 'Order of the steps.';
COMMENT ON COLUMN pbx.step.app IS 'The application, one of pbx.app.';
COMMENT ON COLUMN pbx.step.args IS 'Its arguments, {"name": value}, as pbx.app_param lists them. Values may contain ${...}, see pbx.substitute(); variables are number, caller, caller_name, domain, context, language, result, call, and those of the application set.';
COMMENT ON COLUMN pbx.step.condition IS 'The step runs only if this holds, for example "result=busy,no_answer"; NULL: always. See pbx.condition_valid().';
CREATE INDEX step_app ON pbx.step (app);
COMMENT ON INDEX pbx.step_app IS 'Steps of an application.';

-- Which route wins ---------------------------------------------------------------------------------

CREATE FUNCTION pbx.context_order(domain text, context text) RETURNS TABLE (place bigint, context text) LANGUAGE sql STABLE AS $$
    -- Depth first: positions along the way sort like the walk; of a context met more than once, the first meeting counts.
    WITH RECURSIVE walk AS (
        SELECT $2 AS context, ARRAY[]::integer[] AS path, ARRAY[$2] AS seen
        UNION ALL
        SELECT i.included, w.path || i.position, w.seen || i.included
        FROM walk AS w JOIN pbx.context_include AS i ON i.domain = $1 AND i.context = w.context
        WHERE i.included <> ALL (w.seen)
    )
    SELECT row_number() OVER (ORDER BY min(path)), w.context FROM walk AS w GROUP BY w.context
$$;
COMMENT ON FUNCTION pbx.context_order(text, text) IS 'The contexts that a caller of a context may use, in the order in which they are searched.';

CREATE FUNCTION pbx.match(domain text, context text, number text) RETURNS pbx.route LANGUAGE sql STABLE AS $$
    SELECT r FROM pbx.context_order($1, $2) AS o
    JOIN pbx.route AS r ON r.domain = $1 AND r.context = o.context
    -- Compiling a regular expression is what costs here: the prefix spares nearly all of them.
    WHERE r.enabled AND CASE WHEN NOT starts_with($3, r.prefix) THEN false WHEN left(r.pattern, 1) = '_' THEN $3 ~ r.regex ELSE $3 = r.pattern END
    ORDER BY o.place, r.rank LIMIT 1
$$;
COMMENT ON FUNCTION pbx.match(text, text, text) IS 'The route that a number dialled in a context takes; NULL: none. A context''s own routes win over included ones.';

CREATE FUNCTION pbx.explain(domain text, caller text, number text)
    RETURNS TABLE (context text, pattern text, "position" integer, app text, args jsonb, condition text) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    vars jsonb;
    won pbx.route;
BEGIN
    SELECT jsonb_build_object('domain', d.domain, 'number', $3, 'caller', coalesce($2, ''), 'caller_name', coalesce(e.display_name, ''),
               'context', coalesce(e.context, t.context, d.default_context), 'language', coalesce(e.language, d.language))
    INTO vars
    FROM pbx.domain AS d
    LEFT JOIN pbx.extension AS e ON e.domain = d.domain AND e.number = $2
    LEFT JOIN pbx.trunk AS t ON t.domain = d.domain AND t.name = $2 AND e.number IS NULL
    WHERE d.domain = $1 AND ($2 IS NULL OR e.number IS NOT NULL OR t.name IS NOT NULL);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'domain % has no extension or trunk %', $1, $2 USING ERRCODE = 'no_data_found',
              HINT = 'A NULL caller dials in the domain''s default context.';
    END IF;
    won := pbx.match($1, vars ->> 'context', $3);
    RETURN QUERY SELECT s.context, s.pattern, s.position, s.app,
        (SELECT coalesce(jsonb_object_agg(key, CASE jsonb_typeof(value)
                    WHEN 'string' THEN to_jsonb(pbx.substitute(value #>> '{}', vars, true)) ELSE value END), '{}')
         FROM jsonb_each(s.args)),
        s.condition
    FROM pbx.step AS s
    WHERE s.domain = won.domain AND s.context = won.context AND s.pattern = won.pattern
    ORDER BY s.position;
END $$;
COMMENT ON FUNCTION pbx.explain(text, text, text) IS 'What happens when a caller (an extension''s number, a trunk''s name, or NULL for the default context) dials a number: the steps of the route that wins, with what is known beforehand put in. No rows: the number does not exist for this caller.';

CALL pbx.change_watch('pbx.route', 'route', 'domain', 'context', 'pattern');
CALL pbx.change_watch('pbx.step', 'route', 'domain', 'context', 'pattern');

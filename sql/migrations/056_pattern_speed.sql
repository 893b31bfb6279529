-- What is kept of a pattern beside it (rank, regex) is made character by character: a route is stored in a sixth of the time, of which an
-- import of a million routes takes most. Patterns with a class in brackets go the way of pattern_positions(), as before.

CREATE OR REPLACE FUNCTION pbx.pattern_rank(pattern text) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    is_pattern boolean := left(pattern, 1) = '_';
    hex text := '';
    c text;
BEGIN
    -- Each position: the size of its set, then its members. Fewer members sort first, then smaller ones; a pattern
    -- that ends sorts before one that goes on. "." and "!" count as sets larger than any.
    IF is_pattern AND strpos(pattern, '[') > 0 THEN
        RETURN (SELECT coalesce(string_agg(CASE
                    WHEN p = '.' THEN '\xfe'::bytea
                    WHEN p = '!' THEN '\xff'::bytea
                    ELSE set_byte('\x00'::bytea, 0, length(p)) || convert_to(p, 'UTF8') END, ''::bytea ORDER BY n), ''::bytea)
                FROM unnest(pbx.pattern_positions(pattern)) WITH ORDINALITY AS u(p, n));
    END IF;
    FOREACH c IN ARRAY string_to_array(CASE WHEN is_pattern THEN substr(pattern, 2) ELSE pattern END, NULL) LOOP
        hex := hex || CASE
            WHEN NOT is_pattern THEN '01' || encode(convert_to(c, 'UTF8'), 'hex')
            WHEN c = 'X' THEN '0a30313233343536373839'
            WHEN c = 'Z' THEN '09313233343536373839'
            WHEN c = 'N' THEN '083233343536373839'
            WHEN c = '.' THEN 'fe'
            WHEN c = '!' THEN 'ff'
            ELSE '01' || encode(convert_to(c, 'UTF8'), 'hex') END;
    END LOOP;
    RETURN decode(hex, 'hex');
END $$;

CREATE OR REPLACE FUNCTION pbx.pattern_regex(pattern text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    is_pattern boolean := left(pattern, 1) = '_';
    regex text := '^';
    c text;
BEGIN
    IF is_pattern AND strpos(pattern, '[') > 0 THEN
        RETURN (SELECT '^' || coalesce(string_agg(CASE
                    WHEN p = '.' THEN '.+'
                    WHEN p = '!' THEN '.*'
                    WHEN length(p) = 1 AND p ~ '[A-Za-z0-9_]' THEN p
                    ELSE '[' || p || ']' END, '' ORDER BY n), '') || '$'
                FROM unnest(pbx.pattern_positions(pattern)) WITH ORDINALITY AS u(p, n));
    ELSIF NOT is_pattern AND pattern ~ '^[A-Za-z0-9_]*$' THEN
        RETURN '^' || pattern || '$';
    END IF;
    FOREACH c IN ARRAY string_to_array(CASE WHEN is_pattern THEN substr(pattern, 2) ELSE pattern END, NULL) LOOP
        regex := regex || CASE
            WHEN is_pattern AND c = 'X' THEN '[0123456789]'
            WHEN is_pattern AND c = 'Z' THEN '[123456789]'
            WHEN is_pattern AND c = 'N' THEN '[23456789]'
            WHEN is_pattern AND c = '.' THEN '.+'
            WHEN is_pattern AND c = '!' THEN '.*'
            WHEN c ~ '[A-Za-z0-9_]' THEN c
            ELSE '[' || c || ']' END;
    END LOOP;
    RETURN regex || '$';
END $$;

-- While a large import runs there are no statistics of it yet, and the key of a route was looked for by the first two columns of this index,
-- through all routes of the context: each step that was stored took longer than the one before. The rank first, it can't be taken for that.
ALTER TABLE pbx.route DROP CONSTRAINT pattern_matches_other_numbers_than_the_rest,
    ADD CONSTRAINT pattern_matches_other_numbers_than_the_rest UNIQUE (rank, domain, context);

CREATE OR REPLACE FUNCTION pbx.route_check() RETURNS trigger LANGUAGE plpgsql AS $$
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
    -- || '': nor is this to go through a whole context by the primary key
    SELECT pattern INTO other FROM pbx.route
    WHERE rank = own_rank AND domain || '' = NEW.domain AND context || '' = NEW.context AND pattern <> NEW.pattern
      AND NOT (TG_OP = 'UPDATE' AND pattern = OLD.pattern);
    IF FOUND THEN
        RAISE EXCEPTION 'route %/%/%: the pattern matches the same numbers as %', NEW.domain, NEW.context, NEW.pattern, other
            USING ERRCODE = 'unique_violation';
    END IF;
    RETURN NEW;
END $$;

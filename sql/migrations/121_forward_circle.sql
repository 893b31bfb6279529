-- Forwards go in no circle, whatever their reasons: who is busy and who doesn't answer would send a call to each other for ever.
--
-- A forward leads to an extension, or to a number whose route rings one: by a dial without a trunk, or by a goto. Only steps without a condition
-- count, since nobody knows what another one leads to. So a circle that is refused is one.

CREATE FUNCTION pbx.dial_extensions(domain text, context text, number text, depth integer DEFAULT 0) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    won pbx.route;
    vars jsonb;
    s pbx.step;
    args jsonb;
    one text;
BEGIN
    won := pbx.match($1, $2, $3);
    IF won.pattern IS NULL OR $4 > 5 THEN
        RETURN;
    END IF;
    vars := jsonb_build_object('domain', $1, 'context', $2, 'number',
        coalesce((SELECT r.number FROM pbx.route_rewritten($1, won.context, won.pattern, 'called', $3) AS r), $3));
    FOR s IN
        SELECT * FROM pbx.step AS x WHERE (x.domain, x.context, x.pattern) = ($1, won.context, won.pattern) AND x.condition IS NULL AND x.app IN ('dial', 'goto')
        ORDER BY x.position
    LOOP
        SELECT jsonb_object_agg(key, pbx.substitute(value, vars, true)) INTO args FROM jsonb_each_text(s.args);
        IF s.app = 'goto' THEN
            RETURN QUERY SELECT pbx.dial_extensions($1, coalesce(args ->> 'context', $2), args ->> 'number', $4 + 1);
        ELSIF NOT args ? 'trunk' THEN
            FOREACH one IN ARRAY string_to_array(args ->> 'number', '&') LOOP
                IF EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = ($1, one)) THEN
                    RETURN NEXT one;
                END IF;
            END LOOP;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.dial_extensions(text, text, text, integer) IS 'The extensions that a number rings which is dialled in a context, whatever happens: by dial and goto without a condition.';

CREATE FUNCTION pbx.forward_circle(domain text, number text, reason text) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    first text := (SELECT f.target FROM pbx.forward AS f WHERE (f.domain, f.number, f.reason) = ($1, $2, $3));
    ways jsonb := '{}';         -- who has been reached: by which forwards
    next text[] := ARRAY[$2];   -- whose forwards are to be looked at
    at text;
    f record;
    reached text;
    way text;
BEGIN
    WHILE cardinality(next) > 0 LOOP
        at := next[1];
        next := next[2:];
        -- Nobody is asked whether he is busy where all his calls are sent on.
        FOR f IN
            SELECT x.reason, x.target, e.context, EXISTS (SELECT FROM pbx.extension AS t WHERE (t.domain, t.number) = ($1, x.target)) AS is_extension
            FROM pbx.forward AS x JOIN pbx.extension AS e USING (domain, number)
            WHERE (x.domain, x.number) = ($1, at) AND x.enabled AND (at <> $2 OR x.reason = $3)
              AND (x.reason = 'always' OR NOT EXISTS (SELECT FROM pbx.forward AS a WHERE (a.domain, a.number, a.reason) = ($1, at, 'always') AND a.enabled))
            ORDER BY x.reason
        LOOP
            FOR reached IN SELECT f.target WHERE f.is_extension UNION SELECT pbx.dial_extensions($1, f.context, f.target) WHERE NOT f.is_extension LOOP
                way := concat_ws(', ', ways ->> at, format('%s (%s) to %s', at, f.reason, f.target));
                IF reached = $2 THEN
                    RETURN format('calls would go in a circle from %s over %s back to it: %s', $2, first, way);
                ELSIF NOT ways ? reached THEN
                    ways := ways || jsonb_build_object(reached, way);
                    next := next || reached;
                END IF;
            END LOOP;
        END LOOP;
    END LOOP;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.forward_circle(text, text, text) IS 'The circle that a forward closes, step by step, the shortest one; NULL: none. Forwards count whatever their reasons, but for those of an extension all of whose calls are sent on.';

CREATE OR REPLACE FUNCTION pbx.forward_check() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.refuse(format('forward %s/%s/%s', f.domain, f.number, f.reason),
                       coalesce(pbx.dial_problem(f.domain, e.context, f.target), pbx.forward_circle(f.domain, f.number, f.reason)))
    FROM pbx.forward AS f JOIN pbx.extension AS e USING (domain, number)
    WHERE (f.domain, f.number, f.reason) = (NEW.domain, NEW.number, NEW.reason);
    RETURN NULL;
END $$;

-- A number is looked up by what it begins with, not by going through all routes of a context: explain() of a context with a thousand routes
-- spent nearly all of its time there, and so did the checks of an import at COMMIT. Most routes are one number and found by their key; the others
-- are few, and each begins with characters that stand for themselves.

CREATE INDEX route_wild ON pbx.route (domain, context, prefix) WHERE left(pattern, 1) = '_';
COMMENT ON INDEX pbx.route_wild IS 'Routes that are patterns, by what the numbers begin with that they match.';

CREATE FUNCTION pbx.route_candidates(domain text, context text, number text) RETURNS TABLE (place bigint, context text, pattern text, rank bytea, name text)
    LANGUAGE sql STABLE AS $$
    SELECT o.place, r.context, r.pattern, r.rank, r.name
    FROM pbx.context_order($1, $2) AS o, LATERAL (
        SELECT l.context, l.pattern, l.rank, l.name FROM pbx.route AS l
        WHERE l.domain = $1 AND l.context = o.context AND l.pattern = $3 AND l.enabled AND left(l.pattern, 1) <> '_'
        UNION ALL
        -- No pattern has more than 64 positions.
        SELECT w.context, w.pattern, w.rank, w.name FROM pbx.route AS w
        WHERE w.domain = $1 AND w.context = o.context AND left(w.pattern, 1) = '_' AND w.enabled
          AND w.prefix = ANY (ARRAY(SELECT left($3, n) FROM generate_series(0, least(length($3), 64)) AS n)) AND $3 ~ w.regex) AS r
$$;
COMMENT ON FUNCTION pbx.route_candidates(text, text, text) IS 'The routes that match a number dialled in a context; the first by place (of their context) and rank wins.';

-- Planning takes ten times as long as looking: in PL/pgSQL, which keeps plans, and with one for all numbers.
CREATE OR REPLACE FUNCTION pbx.match(domain text, context text, number text) RETURNS pbx.route LANGUAGE plpgsql STABLE
    SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    won pbx.route;
BEGIN
    SELECT r.* INTO won FROM pbx.route_candidates($1, $2, $3) AS c JOIN pbx.route AS r ON r.domain = $1 AND r.context = c.context AND r.pattern = c.pattern
    ORDER BY c.place, c.rank LIMIT 1;
    RETURN won;
END $$;

CREATE OR REPLACE FUNCTION pbx.explain_route(domain text, context text, number text, vars jsonb, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    won pbx.route := pbx.match($1, $2, $3);
    known jsonb := $4 || jsonb_build_object('number', $3, 'context', $2);
    s pbx.step;
    held boolean;
    filled jsonb;
    made record;
BEGIN
    IF $6 > 5 OR won.pattern IS NULL THEN
        RETURN NEXT ROW($6, 'nowhere', $2, NULL, NULL, NULL, NULL, NULL, false,
                        CASE WHEN $6 > 5 THEN 'and so on' ELSE format('no route of context %s matches %s', $2, $3) END)::pbx.decision;
        RETURN;
    END IF;
    RETURN QUERY SELECT $6, 'candidate', c.context, c.pattern, (row_number() OVER (ORDER BY c.place, c.rank))::integer, NULL::text, NULL::jsonb, NULL::text,
        (c.context, c.pattern) = (won.context, won.pattern), nullif(c.name, '')
    FROM pbx.route_candidates($1, $2, $3) AS c ORDER BY c.place, c.rank;
    FOR made IN SELECT * FROM pbx.route_rewritten($1, won.context, won.pattern, 'called', $3) LOOP
        RETURN NEXT ROW($6, 'rewrite', won.context, made.pattern, NULL, NULL, NULL, NULL, true, format('the route makes %s of %s', made.number, $3))::pbx.decision;
        known := known || jsonb_build_object('number', made.number);
    END LOOP;
    FOR made IN SELECT * FROM pbx.route_rewritten($1, won.context, won.pattern, 'caller', nullif(known ->> 'caller_number', '')) LOOP
        RETURN NEXT ROW($6, 'rewrite', won.context, made.pattern, NULL, NULL, NULL, NULL, true,
                        format('the route makes %s of the caller''s number %s', made.number, known ->> 'caller_number'))::pbx.decision;
        known := known || jsonb_build_object('caller_number', made.number, '#shown', made.number);
    END LOOP;
    FOR s IN SELECT * FROM pbx.step AS x WHERE (x.domain, x.context, x.pattern) = ($1, won.context, won.pattern) ORDER BY x.position LOOP
        held := pbx.condition_holds(s.condition, known, $1, $5);
        SELECT coalesce(jsonb_object_agg(key, CASE jsonb_typeof(value)
                   WHEN 'string' THEN to_jsonb(pbx.substitute(value #>> '{}', known, true)) ELSE value END), '{}')
        INTO filled FROM jsonb_each(s.args);
        RETURN NEXT ROW($6, 'step', s.context, s.pattern, s.position, s.app, filled, s.condition, held, NULL)::pbx.decision;
        IF held IS NOT FALSE THEN
            RETURN QUERY SELECT * FROM pbx.explain_step($1, s.app, filled, known, $5, $6);
        END IF;
    END LOOP;
END $$;

-- That holds for what it calls, too.
ALTER FUNCTION pbx.explain(text, text, text, timestamptz, text) SET plan_cache_mode = force_generic_plan;

-- explain() tells the whole decision: who calls, what is looked at before a route, all candidates, the steps at a time, where they lead.

DROP FUNCTION pbx.explain(text, text, text);

CREATE TYPE pbx.decision AS (
    depth      integer,
    what       text,
    context    text,
    pattern    text,
    "position" integer,
    app        text,
    args       jsonb,
    condition  text,
    holds      boolean,
    detail     text
);
COMMENT ON TYPE pbx.decision IS 'One decision of those that explain() tells.';
COMMENT ON COLUMN pbx.decision.depth IS 'How many routes were entered one from the other.';
COMMENT ON COLUMN pbx.decision.what IS 'caller, blocked, inbound, emergency, limit, candidate (a route that matches), step, forward, target (who or what is reached), or nowhere.';
COMMENT ON COLUMN pbx.decision.context IS 'The context.';
COMMENT ON COLUMN pbx.decision.pattern IS 'Pattern of the route, or of the entry of a list.';
COMMENT ON COLUMN pbx.decision."position" IS 'Position of the step; of a candidate its place: 1 wins.';
COMMENT ON COLUMN pbx.decision.app IS 'Application of the step.';
COMMENT ON COLUMN pbx.decision.args IS 'Its arguments, with what is known beforehand put in.';
COMMENT ON COLUMN pbx.decision.condition IS 'Its condition, or the reason of a forward.';
COMMENT ON COLUMN pbx.decision.holds IS 'Is it so at that time? NULL: that depends on how the steps before it end, or on how many calls there are.';
COMMENT ON COLUMN pbx.decision.detail IS 'The same for people.';

CREATE FUNCTION pbx.explain_target(domain text, number text, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    ext pbx.extension;
    f pbx.forward;
    phones bigint;
    seen text[] := ARRAY[$2];
    reached text := $2;
BEGIN
    -- A forward of an extension to another one rings that; only what isn't an extension is dialled, in the context of who forwards.
    LOOP
        SELECT * INTO ext FROM pbx.extension AS e WHERE e.domain = $1 AND e.number = reached;
        IF NOT FOUND THEN
            RETURN NEXT ROW($4, 'target', NULL, NULL, NULL, NULL, NULL, NULL, false, format('%s is no extension', reached))::pbx.decision;
            RETURN;
        ELSIF NOT ext.enabled THEN
            RETURN NEXT ROW($4, 'target', NULL, NULL, NULL, NULL, NULL, NULL, false, format('extension %s isn''t enabled', reached))::pbx.decision;
            RETURN;
        END IF;
        IF ext.call_limit IS NOT NULL THEN
            RETURN NEXT ROW($4, 'limit', NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN ext.call_limit = 0 THEN false END,
                            format('extension %s has %s calls at once', reached, ext.call_limit))::pbx.decision;
        END IF;
        SELECT * INTO f FROM pbx.forward AS x WHERE (x.domain, x.number, x.reason) = ($1, reached, 'always') AND x.enabled;
        EXIT WHEN NOT FOUND;
        RETURN NEXT ROW($4, 'forward', ext.context, NULL, NULL, NULL, NULL, 'always', true, format('extension %s forwards to %s', reached, f.target))::pbx.decision;
        IF NOT EXISTS (SELECT FROM pbx.extension AS e WHERE e.domain = $1 AND e.number = f.target) THEN
            RETURN QUERY SELECT * FROM pbx.explain_route($1, ext.context, f.target, jsonb_build_object('domain', $1, 'context', ext.context), $3, $4 + 1);
            RETURN;
        END IF;
        EXIT WHEN f.target = ANY (seen) OR cardinality(seen) > 5;
        reached := f.target;
        seen := seen || reached;
    END LOOP;
    SELECT count(*) INTO phones FROM pbx.binding AS b WHERE (b.domain, b.number) = ($1, reached) AND b.expires > now();
    RETURN NEXT ROW($4, 'target', NULL, NULL, NULL, NULL, NULL, NULL, phones > 0,
                    format('extension %s: %s', reached, CASE phones WHEN 0 THEN 'no phone is registered' WHEN 1 THEN 'its phone rings' ELSE phones || ' phones ring' END))::pbx.decision;
    FOR f IN SELECT * FROM pbx.forward AS x WHERE (x.domain, x.number) = ($1, reached) AND x.reason <> 'always' AND x.enabled ORDER BY x.reason LOOP
        RETURN NEXT ROW($4, 'forward', ext.context, NULL, NULL, NULL, NULL, f.reason, CASE WHEN f.reason = 'unavailable' THEN phones = 0 END,
                        format('extension %s forwards to %s', reached, f.target))::pbx.decision;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.explain_target(text, text, timestamptz, integer) IS 'For explain(): what becomes of a call to an extension: its limit, its forwards, its phones.';

CREATE FUNCTION pbx.explain_step(domain text, app text, args jsonb, vars jsonb, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    trunk pbx.trunk;
    target text;
BEGIN
    IF $3::text LIKE '%${%' THEN
        RETURN;
    ELSIF $2 = 'dial' AND $3 ? 'trunk' THEN
        SELECT * INTO trunk FROM pbx.trunk AS t WHERE (t.domain, t.name) = ($1, $3 ->> 'trunk');
        IF trunk.call_limit IS NOT NULL THEN
            RETURN NEXT ROW($6, 'limit', NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN trunk.call_limit = 0 THEN false END,
                            format('trunk %s has %s calls at once', trunk.name, trunk.call_limit))::pbx.decision;
        END IF;
        RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, trunk.enabled AND trunk.uri IS NOT NULL AND NOT EXISTS (
                            SELECT FROM pbx.trunk_state AS s WHERE (s.domain, s.name) = (trunk.domain, trunk.name) AND NOT s.reachable),
                        format('%s by trunk %s: %s', $3 ->> 'number', $3 ->> 'trunk', coalesce(trunk.uri, 'no calls go there')))::pbx.decision;
    ELSIF $2 = 'dial' THEN
        FOREACH target IN ARRAY string_to_array($3 ->> 'number', '&') LOOP
            IF target ~ '[:@]' THEN
                RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, true, target)::pbx.decision;
            ELSE
                RETURN QUERY SELECT * FROM pbx.explain_target($1, target, $5, $6);
            END IF;
        END LOOP;
    ELSIF $2 = 'dial_group' THEN
        FOR target IN SELECT m.member FROM pbx.ring_group_member AS m WHERE (m.domain, m.number) = ($1, $3 ->> 'group') ORDER BY m.position, m.member LOOP
            RETURN QUERY SELECT * FROM pbx.explain_target($1, target, $5, $6);
        END LOOP;
    ELSIF $2 = 'goto' THEN
        RETURN QUERY SELECT * FROM pbx.explain_route($1, coalesce($3 ->> 'context', $4 ->> 'context'), $3 ->> 'number', $4, $5, $6 + 1);
    ELSIF $3 <> '{}' AND $2 IN ('voicemail', 'menu', 'conference') THEN
        RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, true, format('%s %s', $2, coalesce($3 ->> $2, $3 ->> 'mailbox')))::pbx.decision;
    END IF;
END $$;
COMMENT ON FUNCTION pbx.explain_step(text, text, jsonb, jsonb, timestamptz, integer) IS 'For explain(): where a step leads.';

CREATE FUNCTION pbx.explain_route(domain text, context text, number text, vars jsonb, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    won pbx.route := pbx.match($1, $2, $3);
    known jsonb := $4 || jsonb_build_object('number', $3, 'context', $2);
    s pbx.step;
    held boolean;
    filled jsonb;
BEGIN
    IF $6 > 5 OR won.pattern IS NULL THEN
        RETURN NEXT ROW($6, 'nowhere', $2, NULL, NULL, NULL, NULL, NULL, false,
                        CASE WHEN $6 > 5 THEN 'and so on' ELSE format('no route of context %s matches %s', $2, $3) END)::pbx.decision;
        RETURN;
    END IF;
    RETURN QUERY SELECT $6, 'candidate', r.context, r.pattern, (row_number() OVER (ORDER BY o.place, r.rank))::integer, NULL::text, NULL::jsonb, NULL::text,
        (r.context, r.pattern) = (won.context, won.pattern), nullif(r.name, '')
    FROM pbx.context_order($1, $2) AS o JOIN pbx.route AS r ON r.domain = $1 AND r.context = o.context
    WHERE r.enabled AND CASE WHEN NOT starts_with($3, r.prefix) THEN false WHEN left(r.pattern, 1) = '_' THEN $3 ~ r.regex ELSE $3 = r.pattern END
    ORDER BY o.place, r.rank;
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
COMMENT ON FUNCTION pbx.explain_route(text, text, text, jsonb, timestamptz, integer) IS 'For explain(): the candidates for a number dialled in a context, and the steps of the one that wins.';

CREATE FUNCTION pbx.list_match(domain text, list text, number text) RETURNS TABLE (pattern text, context text, value text) LANGUAGE sql STABLE AS $$
    SELECT l.pattern, l.context, l.value FROM (
        SELECT i.number AS pattern, coalesce(i.context, '') AS context, i.target AS value, i.rank FROM pbx.inbound_number AS i WHERE $2 = 'inbound' AND i.domain = $1
        UNION ALL
        SELECT e.number, e.context, e.name, pbx.pattern_rank(e.number) FROM pbx.emergency_number AS e WHERE $2 = 'emergency' AND e.domain = $1
        UNION ALL
        SELECT b.pattern, '', b.status::text, b.rank FROM pbx.blocked_caller AS b WHERE $2 = 'blocked' AND b.domain = $1) AS l
    WHERE starts_with($3, pbx.pattern_prefix(l.pattern)) AND pbx.pattern_matches(l.pattern, $3) ORDER BY l.rank LIMIT 1
$$;
COMMENT ON FUNCTION pbx.list_match(text, text, text) IS 'The entry of a list (inbound, emergency, blocked) that matches a number best.';

CREATE FUNCTION pbx.explain(domain text, caller text, number text, at timestamptz DEFAULT now(), from_number text DEFAULT NULL)
    RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    vars jsonb;
    start text := $3;
    in_context text;
    is_trunk boolean;
    limits text[];
    entry record;
    is_urgent boolean := false;
BEGIN
    SELECT jsonb_build_object('domain', d.domain, 'caller', coalesce(e.number, ''), 'caller_number', coalesce(e.number, $5, ''),
               'caller_name', coalesce(e.display_name, ''), 'language', coalesce(e.language, d.language), 'timezone', d.timezone, 'trunk', coalesce(t.name, '')),
           coalesce(e.context, t.context, d.default_context), t.name IS NOT NULL,
           ARRAY[format('domain %s has %s calls at once', d.domain, d.call_limit),
                 format('extension %s has %s calls at once', e.number, e.call_limit), format('trunk %s has %s calls at once', t.name, t.call_limit)]
    INTO vars, in_context, is_trunk, limits
    FROM pbx.domain AS d
    LEFT JOIN pbx.extension AS e ON e.domain = d.domain AND e.number = $2
    LEFT JOIN pbx.trunk AS t ON t.domain = d.domain AND t.name = $2 AND e.number IS NULL
    WHERE d.domain = $1 AND ($2 IS NULL OR e.number IS NOT NULL OR t.name IS NOT NULL);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'domain % has no extension or trunk %', $1, $2 USING ERRCODE = 'no_data_found',
              HINT = 'A NULL caller dials in the domain''s default context.';
    END IF;
    RETURN NEXT ROW(0, 'caller', in_context, NULL, NULL, NULL, NULL, NULL, true,
        CASE WHEN $2 IS NULL THEN 'anybody' WHEN is_trunk THEN 'trunk ' || $2 ELSE 'extension ' || $2 END)::pbx.decision;
    IF is_trunk THEN
        FOR entry IN SELECT * FROM pbx.list_match($1, 'blocked', coalesce($5, 'anonymous')) WHERE $5 IS NOT NULL LOOP
            RETURN NEXT ROW(0, 'blocked', NULL, entry.pattern, NULL, NULL, NULL, NULL, true, format('%s is blocked and told %s', $5, entry.value))::pbx.decision;
            RETURN;
        END LOOP;
        FOR entry IN SELECT * FROM pbx.list_match($1, 'inbound', $3) LOOP
            start := pbx.substitute(entry.value, vars || jsonb_build_object('number', $3));
            in_context := coalesce(nullif(entry.context, ''), (SELECT d.default_context FROM pbx.domain AS d WHERE d.domain = $1));
            vars := vars || jsonb_build_object('inbound_number', $3);
            RETURN NEXT ROW(0, 'inbound', in_context, entry.pattern, NULL, NULL, NULL, NULL, true, format('%s leads to %s', $3, start))::pbx.decision;
        END LOOP;
    ELSIF $2 IS NOT NULL THEN
        FOR entry IN SELECT * FROM pbx.list_match($1, 'emergency', $3) LOOP
            in_context := entry.context;
            is_urgent := true;
            RETURN NEXT ROW(0, 'emergency', in_context, entry.pattern, NULL, NULL, NULL, NULL, true, 'no limit holds it back')::pbx.decision;
        END LOOP;
    END IF;
    IF NOT is_urgent THEN
        RETURN QUERY SELECT 0, 'limit', NULL::text, NULL::text, NULL::integer, NULL::text, NULL::jsonb, NULL::text, CASE WHEN l LIKE '% has 0 calls%' THEN false END, l
        FROM unnest(limits) WITH ORDINALITY AS u(l, n) WHERE l !~ ' has  calls| {2}has' ORDER BY n;
    END IF;
    RETURN QUERY SELECT * FROM pbx.explain_route($1, in_context, start, vars, $4, 1);
END $$;
COMMENT ON FUNCTION pbx.explain(text, text, text, timestamptz, text) IS 'What happens when a caller (an extension''s number, a trunk''s name, or NULL for the default context) dials a number at a time, from_number showing who calls by a trunk: who he is, what is looked at before a route, which routes match and which wins, its steps with what is known beforehand put in and whether their conditions hold, whom they reach, by which forwards, and the limits on the way.';

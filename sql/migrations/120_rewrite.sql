-- Numbers are rewritten by trunks, outbound and inbound, and by routes: what was dialled, and who calls.

CREATE FUNCTION pbx.pattern_shortest(pattern text) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT count(*) FILTER (WHERE left($1, 1) <> '_' OR p <> '!')::integer FROM unnest(pbx.pattern_positions($1)) AS p
$$;
COMMENT ON FUNCTION pbx.pattern_shortest(text) IS 'How long the shortest number is that a valid pattern matches.';

CREATE FUNCTION pbx.rewrite_problem(pattern text, result text, at_least integer DEFAULT 0) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    problem text := pbx.pattern_problem($1);
    literal text := regexp_replace($2, '\$\{number(:[0-9]{1,4}){0,2}\}', '', 'g');
    shortest integer;
BEGIN
    IF problem IS NOT NULL THEN
        RETURN 'bad pattern: ' || problem;
    ELSIF strpos(literal, '${') > 0 THEN
        RETURN format('bad result: %L is neither ${number} nor, from a place on, ${number:2}, nor as many as are wanted, ${number:2:4}',
                      substring(literal FROM '\$\{[^}]*\}?'));
    ELSIF literal ~ '[^A-Za-z0-9*#+._-]' THEN
        RETURN format('bad result: %L can''t be in a number', substring(literal FROM '[^A-Za-z0-9*#+._-]'));
    END IF;
    shortest := greatest($3, pbx.pattern_shortest($1));
    IF pbx.substitute($2, jsonb_build_object('number', repeat('0', shortest))) = '' THEN
        RETURN format('bad result: nothing is left of a number of %s digits, which the pattern matches', shortest);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.rewrite_problem(text, text, integer) IS 'What is wrong with a rewriting; NULL: nothing. The result is what a number becomes that the pattern matches: digits, and ${number}, the number as it was, ${number:2}, without its first two, or ${number:2:4}, four from there: "+43${number:1}". at_least: numbers are no shorter than that anyway.';

CREATE FUNCTION pbx.rewrite_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    row_name text := format('%s %s', replace(TG_TABLE_NAME, '_', ' '), (SELECT string_agg(to_jsonb(NEW) ->> k, '/' ORDER BY n) FROM unnest(TG_ARGV) WITH ORDINALITY AS a(k, n)));
    -- What a route rewrites is as long as it takes to get there.
    problem text := pbx.rewrite_problem(NEW.pattern, NEW.result,
        CASE WHEN TG_TABLE_NAME = 'route_rewrite' AND NEW.party = 'called' THEN pbx.pattern_shortest(to_jsonb(NEW) ->> 'route') ELSE 0 END);
BEGIN
    IF problem IS NOT NULL THEN
        RAISE EXCEPTION '%: %', row_name, problem
            USING ERRCODE = 'check_violation', HINT = obj_description('pbx.rewrite_problem(text, text, integer)'::regprocedure);
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.rewrite_check() IS 'Trigger: refuses rewritings that can''t be parsed, or leave nothing of a number, and says why.';

CREATE TABLE pbx.trunk_rewrite (
    domain    text NOT NULL,
    trunk     text NOT NULL,
    direction text NOT NULL CHECK (direction IN ('out', 'in')),
    party     text NOT NULL DEFAULT 'called' CHECK (party IN ('called', 'caller')),
    pattern   text NOT NULL DEFAULT '_.',
    result    text NOT NULL,
    name      text NOT NULL DEFAULT '',
    rank      bytea NOT NULL GENERATED ALWAYS AS (pbx.pattern_rank(pattern)) STORED,
    PRIMARY KEY (domain, trunk, direction, party, pattern),
    CONSTRAINT trunk_exists FOREIGN KEY (domain, trunk) REFERENCES pbx.trunk ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE,
    CONSTRAINT trunk_rewrite_matches_other_numbers_than_the_rest UNIQUE (domain, trunk, direction, party, rank)
);
COMMENT ON TABLE pbx.trunk_rewrite IS 'How numbers are written by a trunk, and by us. Of the rows that match a number the most specific one rewrites it, once; a number that none matches stays as it is.';
COMMENT ON COLUMN pbx.trunk_rewrite.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk_rewrite.trunk IS 'The trunk.';
COMMENT ON COLUMN pbx.trunk_rewrite.direction IS 'out: numbers that we send there; in: those that come from there, before inbound numbers, blocked callers and routes are looked at.';
COMMENT ON COLUMN pbx.trunk_rewrite.party IS 'called: the number that is called. caller: the one that the other side is shown; out, after caller_id has been chosen, of whoever it is told of; in, of whomever the trunk names.';
COMMENT ON COLUMN pbx.trunk_rewrite.pattern IS 'Which numbers: see pbx.pattern_valid(); all, unless said. The number called in an emergency call is rewritten only by a row that has it as it is.';
COMMENT ON COLUMN pbx.trunk_rewrite.result IS 'What they become: see pbx.rewrite_problem(). "${number:1}" takes one digit away, "00${number}" puts two before it, "+43${number:1}" does both.';
COMMENT ON COLUMN pbx.trunk_rewrite.name IS 'Name for people.';
COMMENT ON COLUMN pbx.trunk_rewrite.rank IS 'Sorts more specific patterns first.';
CREATE TRIGGER rewrite_check BEFORE INSERT OR UPDATE ON pbx.trunk_rewrite
    FOR EACH ROW EXECUTE FUNCTION pbx.rewrite_check('domain', 'trunk', 'direction', 'party', 'pattern');
CALL pbx.change_watch('pbx.trunk_rewrite', 'trunk_rewrite', 'domain', 'trunk', 'direction', 'party', 'pattern');
CALL pbx.audit_watch('pbx.trunk_rewrite');
CALL pbx.tenant_table('pbx.trunk_rewrite', '{SELECT,INSERT,UPDATE,DELETE}');

CREATE TABLE pbx.route_rewrite (
    domain  text NOT NULL,
    context text NOT NULL,
    route   text NOT NULL,
    party   text NOT NULL DEFAULT 'called' CHECK (party IN ('called', 'caller')),
    pattern text NOT NULL DEFAULT '_.',
    result  text NOT NULL,
    name    text NOT NULL DEFAULT '',
    rank    bytea NOT NULL GENERATED ALWAYS AS (pbx.pattern_rank(pattern)) STORED,
    PRIMARY KEY (domain, context, route, party, pattern),
    CONSTRAINT route_exists FOREIGN KEY (domain, context, route) REFERENCES pbx.route ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE,
    CONSTRAINT route_rewrite_matches_other_numbers_than_the_rest UNIQUE (domain, context, route, party, rank)
);
COMMENT ON TABLE pbx.route_rewrite IS 'What a route makes of numbers before its first step: ${number} is then the number rewritten, and so is ${caller_number}. Of the rows that match a number the most specific one rewrites it, once.';
COMMENT ON COLUMN pbx.route_rewrite.domain IS 'The domain.';
COMMENT ON COLUMN pbx.route_rewrite.context IS 'Context of the route.';
COMMENT ON COLUMN pbx.route_rewrite.route IS 'Pattern of the route.';
COMMENT ON COLUMN pbx.route_rewrite.party IS 'called: the number dialled. caller: the number of the caller that others are shown, unless he hides it; for an extension its own, and what it becomes is shown outside in place of any caller_id.';
COMMENT ON COLUMN pbx.route_rewrite.pattern IS 'Which numbers: see pbx.pattern_valid(); all, unless said.';
COMMENT ON COLUMN pbx.route_rewrite.result IS 'What they become: see pbx.rewrite_problem().';
COMMENT ON COLUMN pbx.route_rewrite.name IS 'Name for people.';
COMMENT ON COLUMN pbx.route_rewrite.rank IS 'Sorts more specific patterns first.';
CREATE TRIGGER rewrite_check BEFORE INSERT OR UPDATE ON pbx.route_rewrite
    FOR EACH ROW EXECUTE FUNCTION pbx.rewrite_check('domain', 'context', 'route', 'party', 'pattern');
CALL pbx.change_watch('pbx.route_rewrite', 'route_rewrite', 'domain', 'context', 'route', 'party', 'pattern');
CALL pbx.audit_watch('pbx.route_rewrite');
CALL pbx.tenant_table('pbx.route_rewrite', '{SELECT,INSERT,UPDATE,DELETE}');

COMMENT ON COLUMN pbx.blocked_caller.pattern IS 'Their number as trunks send it, or what pbx.trunk_rewrite makes of that, or a pattern (see pbx.pattern_valid()); "anonymous": those that show none.';
COMMENT ON COLUMN pbx.inbound_number.number IS 'The number as trunks send it, or what pbx.trunk_rewrite makes of that, or a pattern (see pbx.pattern_valid()) for many: _4312345XXX.';

INSERT INTO pbx.decision_kind (kind, sentence) VALUES
    ('rewrite', '{1} makes {3} of the number {2} (pattern {4}).'),
    ('rewrite_caller', '{1} makes {3} of the caller''s number {2} (pattern {4}).');

-- The same in SQL ----------------------------------------------------------------------------------

CREATE FUNCTION pbx.trunk_rewritten(domain text, trunk text, direction text, party text, number text) RETURNS TABLE (pattern text, number text) LANGUAGE sql STABLE AS $$
    SELECT r.pattern, pbx.substitute(r.result, jsonb_build_object('number', $5)) FROM pbx.trunk_rewrite AS r
    WHERE (r.domain, r.trunk, r.direction, r.party) = ($1, $2, $3, $4) AND pbx.pattern_matches(r.pattern, $5) ORDER BY r.rank LIMIT 1
$$;
COMMENT ON FUNCTION pbx.trunk_rewritten(text, text, text, text, text) IS 'What a trunk makes of a number, and by which pattern. No row: it stays as it is.';

CREATE FUNCTION pbx.route_rewritten(domain text, context text, route text, party text, number text) RETURNS TABLE (pattern text, number text) LANGUAGE sql STABLE AS $$
    SELECT r.pattern, pbx.substitute(r.result, jsonb_build_object('number', $5)) FROM pbx.route_rewrite AS r
    WHERE (r.domain, r.context, r.route, r.party) = ($1, $2, $3, $4) AND pbx.pattern_matches(r.pattern, $5) ORDER BY r.rank LIMIT 1
$$;
COMMENT ON FUNCTION pbx.route_rewritten(text, text, text, text, text) IS 'What a route makes of a number, and by which pattern. No row: it stays as it is.';

COMMENT ON COLUMN pbx.decision.what IS 'caller, blocked, inbound, emergency, limit, candidate (a route that matches), rewrite (a trunk or a route rewrites a number), step, forward, target (who or what is reached), or nowhere.';

CREATE OR REPLACE FUNCTION pbx.explain_step(domain text, app text, args jsonb, vars jsonb, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    trunk record;
    target text;
    sent text;
    shown text;
    made record;
BEGIN
    IF $3::text LIKE '%${%' THEN
        RETURN;
    ELSIF $2 = 'dial' AND $3 ? 'trunk' THEN
        -- One trunk, or those of a group that may be tried at that time.
        FOR trunk IN
            SELECT t.domain, t.name, t.uri, t.enabled, t.call_limit, t.caller_id FROM pbx.trunk AS t LEFT JOIN pbx.trunk_group_member AS m ON (m.domain, m.trunk, m.name) = (t.domain, t.name, $3 ->> 'trunk')
            WHERE t.domain = $1 AND (t.name = $3 ->> 'trunk' OR m.name IS NOT NULL AND (m.schedule IS NULL OR pbx.schedule_is_open($1, m.schedule, $5)))
            ORDER BY m.position, m.weight DESC, t.name
        LOOP
            IF trunk.call_limit IS NOT NULL THEN
                RETURN NEXT ROW($6, 'limit', NULL, NULL, NULL, NULL, NULL, NULL, CASE WHEN trunk.call_limit = 0 THEN false END,
                                format('trunk %s has %s calls at once', trunk.name, trunk.call_limit))::pbx.decision;
            END IF;
            sent := $3 ->> 'number';
            FOR made IN SELECT * FROM pbx.trunk_rewritten($1, trunk.name, 'out', 'called', sent) AS r WHERE NOT $4 ? '#urgent' OR r.pattern = sent LOOP
                RETURN NEXT ROW($6, 'rewrite', NULL, made.pattern, NULL, NULL, NULL, NULL, true, format('trunk %s makes %s of %s', trunk.name, made.number, sent))::pbx.decision;
                sent := made.number;
            END LOOP;
            SELECT coalesce($4 ->> '#shown', e.caller_id, CASE WHEN e.number IS NOT NULL THEN coalesce(trunk.caller_id, d.caller_id) END, e.number, nullif($4 ->> 'caller_number', ''))
            INTO shown FROM pbx.domain AS d LEFT JOIN pbx.extension AS e ON (e.domain, e.number) = (d.domain, $4 ->> 'caller') WHERE d.domain = $1;
            FOR made IN SELECT * FROM pbx.trunk_rewritten($1, trunk.name, 'out', 'caller', shown) LOOP
                RETURN NEXT ROW($6, 'rewrite', NULL, made.pattern, NULL, NULL, NULL, NULL, true, format('trunk %s makes %s of the caller''s number %s', trunk.name, made.number, shown))::pbx.decision;
            END LOOP;
            RETURN NEXT ROW($6, 'target', NULL, NULL, NULL, NULL, NULL, NULL, trunk.enabled AND trunk.uri IS NOT NULL AND NOT EXISTS (
                                SELECT FROM pbx.trunk_state AS s WHERE (s.domain, s.name) = (trunk.domain, trunk.name) AND NOT s.reachable),
                            format('%s by trunk %s: %s', sent, trunk.name, coalesce(trunk.uri, 'no calls go there')))::pbx.decision;
        END LOOP;
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
    RETURN QUERY SELECT $6, 'candidate', r.context, r.pattern, (row_number() OVER (ORDER BY o.place, r.rank))::integer, NULL::text, NULL::jsonb, NULL::text,
        (r.context, r.pattern) = (won.context, won.pattern), nullif(r.name, '')
    FROM pbx.context_order($1, $2) AS o JOIN pbx.route AS r ON r.domain = $1 AND r.context = o.context
    WHERE r.enabled AND CASE WHEN NOT starts_with($3, r.prefix) THEN false WHEN left(r.pattern, 1) = '_' THEN $3 ~ r.regex ELSE $3 = r.pattern END
    ORDER BY o.place, r.rank;
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

CREATE OR REPLACE FUNCTION pbx.explain(domain text, caller text, number text, at timestamptz DEFAULT now(), from_number text DEFAULT NULL)
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
    came_from text := $5;
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
        FOR entry IN SELECT * FROM pbx.trunk_rewritten($1, $2, 'in', 'called', start) LOOP
            RETURN NEXT ROW(0, 'rewrite', NULL, entry.pattern, NULL, NULL, NULL, NULL, true, format('trunk %s makes %s of %s', $2, entry.number, start))::pbx.decision;
            start := entry.number;
        END LOOP;
        FOR entry IN SELECT * FROM pbx.trunk_rewritten($1, $2, 'in', 'caller', came_from) LOOP
            RETURN NEXT ROW(0, 'rewrite', NULL, entry.pattern, NULL, NULL, NULL, NULL, true, format('trunk %s makes %s of the caller''s number %s', $2, entry.number, came_from))::pbx.decision;
            came_from := entry.number;
            vars := vars || jsonb_build_object('caller_number', came_from);
        END LOOP;
        FOR entry IN SELECT * FROM pbx.list_match($1, 'blocked', came_from) WHERE came_from IS NOT NULL LOOP
            RETURN NEXT ROW(0, 'blocked', NULL, entry.pattern, NULL, NULL, NULL, NULL, true, format('%s is blocked and told %s', came_from, entry.value))::pbx.decision;
            RETURN;
        END LOOP;
        FOR entry IN SELECT * FROM pbx.list_match($1, 'inbound', start) LOOP
            vars := vars || jsonb_build_object('inbound_number', start);
            start := pbx.substitute(entry.value, vars || jsonb_build_object('number', start));
            in_context := coalesce(nullif(entry.context, ''), (SELECT d.default_context FROM pbx.domain AS d WHERE d.domain = $1));
            RETURN NEXT ROW(0, 'inbound', in_context, entry.pattern, NULL, NULL, NULL, NULL, true, format('%s leads to %s', vars ->> 'inbound_number', start))::pbx.decision;
        END LOOP;
    ELSIF $2 IS NOT NULL THEN
        FOR entry IN SELECT * FROM pbx.list_match($1, 'emergency', $3) LOOP
            in_context := entry.context;
            is_urgent := true;
            vars := vars || '{"#urgent": true}'; -- no variable's name
            RETURN NEXT ROW(0, 'emergency', in_context, entry.pattern, NULL, NULL, NULL, NULL, true, 'no limit holds it back')::pbx.decision;
        END LOOP;
    END IF;
    IF NOT is_urgent THEN
        RETURN QUERY SELECT 0, 'limit', NULL::text, NULL::text, NULL::integer, NULL::text, NULL::jsonb, NULL::text, CASE WHEN l LIKE '% has 0 calls%' THEN false END, l
        FROM unnest(limits) WITH ORDINALITY AS u(l, n) WHERE l !~ ' has  calls| {2}has' ORDER BY n;
    END IF;
    RETURN QUERY SELECT * FROM pbx.explain_route($1, in_context, start, vars, $4, 1);
END $$;

-- What leads to a number leads to what its route makes of it.

CREATE OR REPLACE FUNCTION pbx.dial_problem(domain text, context text, number text) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    won pbx.route := pbx.match($1, $2, $3);
    vars jsonb := jsonb_build_object('domain', $1, 'context', $2, 'number', $3);
    first pbx.step;
    arg record;
    problem text;
BEGIN
    IF won.pattern IS NULL THEN
        RETURN format('no route of context %s matches %s', $2, $3);
    END IF;
    vars := vars || coalesce((SELECT jsonb_build_object('number', r.number) FROM pbx.route_rewritten($1, won.context, won.pattern, 'called', $3) AS r), '{}');
    SELECT * INTO first FROM pbx.step AS s
    WHERE (s.domain, s.context, s.pattern) = (won.domain, won.context, won.pattern) ORDER BY s.position LIMIT 1;
    IF first.condition IS NOT NULL THEN
        RETURN NULL;
    END IF;
    FOR arg IN
        SELECT p.type, pbx.substitute(first.args ->> p.param, vars, true) AS value,
               -- What is dialled through a trunk, or in another context, need not be a number of ours.
               EXISTS (SELECT FROM pbx.app_param AS o WHERE o.app = first.app AND o.type = 'context'
                       OR o.app = first.app AND o.type = 'trunk' AND first.args ? o.param) AS elsewhere
        FROM pbx.app_param AS p WHERE p.app = first.app AND first.args ? p.param
    LOOP
        IF arg.value LIKE '%${%' THEN
            CONTINUE;
        ELSIF arg.type <> 'number' THEN
            problem := pbx.value_problem($1, arg.type, arg.value);
        ELSIF NOT arg.elsewhere THEN
            SELECT format('there is no %s', string_agg(n, ', ')) INTO problem
            FROM unnest(string_to_array(arg.value, '&')) AS n
            WHERE n !~ '[:@]' AND NOT EXISTS (SELECT FROM pbx.number AS x WHERE x.domain = $1 AND x.number = n)
            HAVING count(*) > 0;
        END IF;
        IF problem IS NOT NULL THEN
            RETURN format('dialling %s takes route %s of context %s, and %s', $3, won.pattern, won.context, problem);
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE FUNCTION pbx.route_rewrite_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed pbx.route_rewrite;
BEGIN
    IF TG_OP = 'DELETE' THEN
        changed := OLD;
    ELSE
        changed := NEW;
    END IF;
    IF changed.party = 'called' THEN
        PERFORM pbx.refuse(t.held_by, pbx.dial_problem(t.domain, t.context, t.target))
        FROM pbx.target AS t WHERE t.domain = changed.domain AND pbx.pattern_matches(changed.route, t.target);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.route_rewrite_check() IS 'Trigger: at COMMIT, refuses rewritings, or that one goes, by which a forward, a menu or a public number would lead nowhere.';
CREATE CONSTRAINT TRIGGER route_rewrite_check AFTER INSERT OR UPDATE OR DELETE ON pbx.route_rewrite
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.route_rewrite_check();

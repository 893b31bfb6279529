-- Budgets: how many minutes of calls by trunks an extension, a trunk or a whole domain may have in a day, in a month, or in all.

CREATE TABLE pbx.budget (
    domain    text NOT NULL REFERENCES pbx.domain ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE,
    name      text NOT NULL,
    extension text,
    trunk     text,
    direction text NOT NULL DEFAULT 'out' CHECK (direction IN ('out', 'in')),
    period    text NOT NULL DEFAULT 'month' CHECK (period IN ('day', 'month', 'total')),
    amount    interval NOT NULL CHECK (amount >= '0' AND amount < '100 years'),
    warn      interval NOT NULL DEFAULT '1 minute' CHECK (warn >= '0' AND warn < '1 day'),
    prompt    text NOT NULL DEFAULT 'beep' CHECK (prompt <> ''),
    since     timestamptz NOT NULL DEFAULT now(),
    owner     text NOT NULL GENERATED ALWAYS AS (CASE WHEN extension IS NOT NULL THEN 'extension/' || extension WHEN trunk IS NOT NULL THEN 'trunk/' || trunk ELSE 'domain' END) STORED,
    PRIMARY KEY (domain, name),
    CONSTRAINT budget_is_a_short_name CHECK (name ~ '^[A-Za-z0-9._-]{1,63}$'),
    CONSTRAINT budget_is_an_extensions_or_a_trunks CHECK (extension IS NULL OR trunk IS NULL),
    CONSTRAINT extension_pays_for_calls_out CHECK (extension IS NULL OR direction = 'out'),
    CONSTRAINT extension_exists FOREIGN KEY (domain, extension) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE,
    CONSTRAINT trunk_exists FOREIGN KEY (domain, trunk) REFERENCES pbx.trunk ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
);
COMMENT ON TABLE pbx.budget IS 'How long calls by trunks may last in all, answered: "600 minutes" a month. When it is used up no further call begins, and those under way are ended, warned before. Emergency calls neither need one nor use it. Calls at once are limited by call_limit of domain, extension and trunk.';
COMMENT ON COLUMN pbx.budget.domain IS 'The domain.';
COMMENT ON COLUMN pbx.budget.name IS 'Its name.';
COMMENT ON COLUMN pbx.budget.extension IS 'The extension that it is of: whoever dials outside, or forwards a call there. NULL: see trunk.';
COMMENT ON COLUMN pbx.budget.trunk IS 'The trunk that it is of; NULL: an extension, or neither: the whole domain.';
COMMENT ON COLUMN pbx.budget.direction IS 'out: calls that go out by a trunk; in: those that come in by one.';
COMMENT ON COLUMN pbx.budget.period IS 'day, month: as the calendar of the domain''s time zone has them; total: since "since", until it is used up or more is added.';
COMMENT ON COLUMN pbx.budget.amount IS 'How much: ''600 minutes''. A call of several at once uses it as fast as they are many.';
COMMENT ON COLUMN pbx.budget.warn IS 'How long before a call is ended who pays for it is told; 0: he isn''t.';
COMMENT ON COLUMN pbx.budget.prompt IS 'What he then hears: a prompt or phrase, or several with & between them. The other one doesn''t hear it, nor him meanwhile.';
COMMENT ON COLUMN pbx.budget.since IS 'From when on calls count, of a total: UPDATE ... SET since = now() begins anew.';
COMMENT ON COLUMN pbx.budget.owner IS 'Of whom it is: extension/NUMBER, trunk/NAME or domain.';
CREATE INDEX budget_owner ON pbx.budget (domain, owner);
COMMENT ON INDEX pbx.budget_owner IS 'The budgets of one.';

CREATE FUNCTION pbx.budget_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    missing text := pbx.prompt_missing(NEW.domain, NEW.prompt);
BEGIN
    IF missing IS NOT NULL THEN
        PERFORM pbx.refuse(format('budget %s/%s', NEW.domain, NEW.name), 'there is no prompt or phrase ' || missing);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.budget_check() IS 'Trigger: at COMMIT, refuses budgets that would be told by a prompt that doesn''t exist.';
CREATE CONSTRAINT TRIGGER budget_check AFTER INSERT OR UPDATE ON pbx.budget
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.budget_check();

CREATE FUNCTION pbx.budget_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    whose text := CASE WHEN TG_OP <> 'INSERT' AND OLD.owner = 'domain' THEN OLD.name ELSE NEW.name END;
BEGIN
    -- A BEFORE trigger doesn't see what is generated yet.
    IF (TG_OP <> 'INSERT' AND OLD.extension IS NULL AND OLD.trunk IS NULL OR TG_OP <> 'DELETE' AND NEW.extension IS NULL AND NEW.trunk IS NULL)
       AND EXISTS (SELECT FROM pbx.own_domains()) THEN
        RAISE EXCEPTION 'budget %/%: the budget of a domain isn''t its own to set', coalesce(NEW.domain, OLD.domain), coalesce(whose, NEW.name)
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
END $$;
COMMENT ON FUNCTION pbx.budget_keep() IS 'Trigger: a tenant sets the budgets of his extensions and trunks, not that of his domain.';
CREATE TRIGGER budget_keep BEFORE INSERT OR UPDATE OR DELETE ON pbx.budget FOR EACH ROW EXECUTE FUNCTION pbx.budget_keep();
CALL pbx.change_watch('pbx.budget', 'budget', 'domain', 'owner');
CALL pbx.audit_watch('pbx.budget');
CALL pbx.tenant_table('pbx.budget', '{SELECT,INSERT,UPDATE,DELETE}');

CREATE FUNCTION pbx.budget_since(b pbx.budget, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE b.period WHEN 'total' THEN b.since ELSE date_trunc(b.period, $2 AT TIME ZONE d.timezone) AT TIME ZONE d.timezone END
    FROM pbx.domain AS d WHERE d.domain = b.domain
$$;
COMMENT ON FUNCTION pbx.budget_since(pbx.budget, timestamptz) IS 'When the day or month of a budget began that it was at a time.';

CREATE FUNCTION pbx.budget_until(b pbx.budget, since timestamptz) RETURNS timestamptz LANGUAGE sql STABLE AS $$
    SELECT CASE b.period WHEN 'total' THEN 'infinity' ELSE ($2 AT TIME ZONE d.timezone + ('1 ' || b.period)::interval) AT TIME ZONE d.timezone END
    FROM pbx.domain AS d WHERE d.domain = b.domain
$$;
COMMENT ON FUNCTION pbx.budget_until(pbx.budget, timestamptz) IS 'When the day or month of a budget ends that began then.';

CREATE TABLE pbx.budget_use (
    domain text NOT NULL,
    name   text NOT NULL,
    since  timestamptz NOT NULL,
    owner  text NOT NULL,
    used   interval NOT NULL,
    PRIMARY KEY (domain, name, since),
    CONSTRAINT budget_exists FOREIGN KEY (domain, name) REFERENCES pbx.budget ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE
);
COMMENT ON TABLE pbx.budget_use IS 'What calls that have ended have used of budgets, by day or month. Written as their records are; see pbx.budget_status.';
COMMENT ON COLUMN pbx.budget_use.domain IS 'The domain.';
COMMENT ON COLUMN pbx.budget_use.name IS 'The budget.';
COMMENT ON COLUMN pbx.budget_use.since IS 'When that day or month began; of a total, its "since".';
COMMENT ON COLUMN pbx.budget_use.owner IS 'Of whom the budget is, as in pbx.budget.';
COMMENT ON COLUMN pbx.budget_use.used IS 'How much.';
CALL pbx.change_watch('pbx.budget_use', 'budget', 'domain', 'owner');
CALL pbx.tenant_table('pbx.budget_use', '{SELECT}');

CREATE FUNCTION pbx.outbox_budget(doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    began timestamptz := pbx.time_of_ms(($1 ->> 'from_ms')::bigint);
    ended timestamptz := pbx.time_of_ms(($1 ->> 'to_ms')::bigint);
    b pbx.budget;
    since timestamptz;
    until timestamptz;
BEGIN
    FOR b IN SELECT * FROM pbx.budget AS x WHERE x.domain = $1 ->> 'domain' AND $1 -> 'names' ? x.name ORDER BY x.name LOOP
        since := pbx.budget_since(b, began);
        -- A call over midnight is of both days.
        WHILE since < ended LOOP
            until := pbx.budget_until(b, since);
            INSERT INTO pbx.budget_use AS u VALUES (b.domain, b.name, since, b.owner, greatest(least(until, ended) - greatest(since, began), '0'))
            ON CONFLICT ON CONSTRAINT budget_use_pkey DO UPDATE SET owner = excluded.owner, used = u.used + excluded.used;
            since := until;
        END LOOP;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.outbox_budget(jsonb) IS 'Stores what a call has used of budgets: {"domain", "names": [...], "from_ms", "to_ms"}.';

-- Under way ----------------------------------------------------------------------------------------

-- Servers keep this about their calls, so that limits and budgets hold over all of them. Unlogged: after a crash they write it anew.
CREATE UNLOGGED TABLE pbx.live_use (
    node   text NOT NULL,
    domain text NOT NULL,
    what   text NOT NULL,
    n      integer NOT NULL,
    began  numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (node, domain, what)
) WITH (fillfactor = 50);
COMMENT ON TABLE pbx.live_use IS 'Calls in progress that count against a limit of calls at once or use a budget, on each server.';
COMMENT ON COLUMN pbx.live_use.node IS 'The server.';
COMMENT ON COLUMN pbx.live_use.domain IS 'The domain.';
COMMENT ON COLUMN pbx.live_use.what IS 'What they count against: the number of an extension, "trunk:NAME", "" the domain, or "budget:NAME".';
COMMENT ON COLUMN pbx.live_use.n IS 'How many.';
COMMENT ON COLUMN pbx.live_use.began IS 'Of a budget the sum of the times at which they were answered, in seconds since 1970: together they last n times now less than that.';
CALL pbx.tenant_table('pbx.live_use', '{SELECT}');

CREATE VIEW pbx.budget_status AS
SELECT b.domain, b.name, b.owner, b.direction, b.period, s.since, pbx.budget_until(b, s.since) AS until, b.amount,
       justify_hours(u.used + l.lasts) AS used, greatest(b.amount - u.used - l.lasts, '0') AS left, l.n AS calls
FROM pbx.budget AS b, LATERAL (SELECT pbx.budget_since(b, now()) AS since) AS s,
     LATERAL (SELECT coalesce(sum(x.used), '0') AS used FROM pbx.budget_use AS x WHERE (x.domain, x.name, x.since) = (b.domain, b.name, s.since)) AS u,
     -- Those that began before are of this day or month since it began; which they are isn't known, so that all count as one.
     LATERAL (SELECT coalesce(sum(x.n), 0)::integer AS n,
                     make_interval(secs => greatest(coalesce(least(sum(x.n * extract(epoch FROM now()) - x.began), sum(x.n) * extract(epoch FROM now() - s.since)), 0), 0)::double precision) AS lasts
              FROM pbx.live_use AS x WHERE (x.domain, x.what) = (b.domain, 'budget:' || b.name) AND x.node IN (SELECT pbx.live_nodes())) AS l;
COMMENT ON VIEW pbx.budget_status IS 'Budgets: what is used and left of them, calls in progress included.';
COMMENT ON COLUMN pbx.budget_status.domain IS 'The domain.';
COMMENT ON COLUMN pbx.budget_status.name IS 'The budget.';
COMMENT ON COLUMN pbx.budget_status.owner IS 'Of whom it is: extension/NUMBER, trunk/NAME or domain.';
COMMENT ON COLUMN pbx.budget_status.direction IS 'out or in.';
COMMENT ON COLUMN pbx.budget_status.period IS 'day, month or total.';
COMMENT ON COLUMN pbx.budget_status.since IS 'When this day or month began.';
COMMENT ON COLUMN pbx.budget_status.until IS 'When it ends, and all of it is there again.';
COMMENT ON COLUMN pbx.budget_status.amount IS 'How much there is.';
COMMENT ON COLUMN pbx.budget_status.used IS 'How much is used.';
COMMENT ON COLUMN pbx.budget_status.left IS 'How much is left.';
COMMENT ON COLUMN pbx.budget_status.calls IS 'Calls that use it now.';

-- What is told -------------------------------------------------------------------------------------

INSERT INTO pbx.decision_kind (kind, sentence) VALUES
    ('budget', 'The budget {2} of {1} is used up: the call doesn''t begin.');
INSERT INTO pbx.decision_kind (kind, sentence, is_of_leg) VALUES
    ('budget_warns', 'The budget {4} of {3} lasts {5} s more: {1} is warned.', true),
    ('budget_ends', 'The budget {4} of {3} is used up: {1} is hung up on.', true);

DO $$
BEGIN
    EXECUTE format('COMMENT ON COLUMN pbx.retention.what IS %L', rtrim(col_description('pbx.retention'::regclass, 1), '.') || '; budget: what was used of budgets on days and in months.');
END $$;
CREATE FUNCTION pbx.retain_budget(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    DELETE FROM pbx.budget_use AS u USING pbx.budget AS b
    WHERE (b.domain, b.name) = (u.domain, u.name) AND u.since < before AND u.since <> pbx.budget_since(b, now());
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $$;
COMMENT ON FUNCTION pbx.retain_budget(timestamptz) IS 'For housekeeping: removes what was used of budgets in days and months that began before a time and are over.';

INSERT INTO pbx.retention VALUES ('budget', '400 days');

CREATE FUNCTION pbx.explain_budgets(domain text, owners text[], direction text, at timestamptz, depth integer) RETURNS SETOF pbx.decision LANGUAGE sql STABLE AS $$
    SELECT $5, 'limit', NULL::text, NULL::text, NULL::integer, NULL::text, NULL::jsonb, NULL::text, CASE WHEN b.amount = '0' THEN false END,
           format('budget %s of %s: %s of %s%s are left', b.name, replace(replace(b.owner, '/', ' '), 'domain', 'the domain'),
                  date_trunc('second', greatest(b.amount - coalesce(u.used, '0') - CASE WHEN s.now THEN l.used - u.used ELSE '0' END, '0')), b.amount,
                  CASE b.period WHEN 'total' THEN '' ELSE ' a ' || b.period END)
    FROM unnest($2) WITH ORDINALITY AS o(owner, n) JOIN pbx.budget AS b ON (b.domain, b.owner, b.direction) = ($1, o.owner, $3)
    CROSS JOIN LATERAL (SELECT pbx.budget_since(b, $4) AS since, pbx.budget_since(b, $4) = pbx.budget_since(b, now()) AS now) AS s
    CROSS JOIN LATERAL (SELECT coalesce(sum(x.used), '0') AS used FROM pbx.budget_use AS x WHERE (x.domain, x.name, x.since) = (b.domain, b.name, s.since)) AS u
    LEFT JOIN pbx.budget_status AS l ON (l.domain, l.name) = (b.domain, b.name)
    ORDER BY o.n, b.name
$$;
COMMENT ON FUNCTION pbx.explain_budgets(text, text[], text, timestamptz, integer) IS 'For explain(): the budgets of some owners and what is left of them at a time.';

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
            IF NOT $4 ? '#urgent' THEN
                RETURN QUERY SELECT * FROM pbx.explain_budgets($1, ARRAY['domain', 'extension/' || nullif($4 ->> 'caller', ''), 'trunk/' || trunk.name], 'out', $5, $6);
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
        IF is_trunk THEN
            RETURN QUERY SELECT * FROM pbx.explain_budgets($1, ARRAY['domain', 'trunk/' || $2], 'in', $4, 0);
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM pbx.explain_route($1, in_context, start, vars, $4, 1);
END $$;

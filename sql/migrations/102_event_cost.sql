-- Events cost less: days to come aren't searched for what was told before, and what nobody wants isn't worked out.

CREATE OR REPLACE FUNCTION pbx.event_publish() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- The first of a transaction does it for all.
    IF NOT EXISTS (SELECT FROM pbx.event_pending AS p WHERE p.id = NEW.id) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.change', 0));
    WITH mine AS (
        DELETE FROM pbx.event_pending AS p WHERE p.id >= NEW.id RETURNING p.id, p.notes
    ), wanted AS (
        SELECT n.at, n.kind, n.domain, n.call, jsonb_strip_nulls(n.data) AS data
        FROM mine CROSS JOIN unnest(mine.notes) WITH ORDINALITY AS n(at, kind, domain, call, data, place)
        JOIN pbx.event_kind AS k ON k.kind = n.kind
        LEFT JOIN pbx.event_choice AS c ON (c.domain, c.kind) = (n.domain, n.kind)
        WHERE coalesce(c.record, k.record)
          -- A server that has lost sight of the database tells its calls anew, and a call's record tells what was too short to be
          -- seen while it went on: what has been told isn't told again. Neither in days that are no more, nor in those to come.
          AND NOT (n.kind IN ('call.started', 'call.answered', 'leg.ringing', 'leg.answered', 'call.ended') AND EXISTS (
              SELECT FROM pbx.event AS o
              WHERE o.call = n.call AND o.kind = n.kind AND o.data -> 'leg' IS NOT DISTINCT FROM n.data -> 'leg'
                AND o.noted > n.at - interval '1 hour' AND o.noted < now() + interval '1 hour'))
        ORDER BY mine.id, n.place OFFSET 0
    )
    INSERT INTO pbx.event (id, noted, at, kind, domain, call, data)
    SELECT nextval('pbx.event_id'), clock_timestamp(), w.* FROM wanted AS w;
    IF FOUND THEN
        PERFORM pg_notify('pbx_event', currval('pbx.event_id')::text);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION pbx.event_is_wanted(kinds text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pbx.event_kind AS k WHERE k.kind LIKE $1 AND k.record) OR EXISTS (SELECT FROM pbx.event_choice AS c WHERE c.kind LIKE $1 AND c.record)
$$;
COMMENT ON FUNCTION pbx.event_is_wanted(text) IS 'Does anybody want events of these kinds, as LIKE takes them?';

CREATE OR REPLACE FUNCTION pbx.event_of_live_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pbx.event_is_wanted('call.%') THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO pbx.event_pending (notes)
        SELECT array_agg(ROW(e.at, e.kind, n.domain, n.call, e.data)::pbx.event_note ORDER BY e.at)
        FROM new_rows AS n CROSS JOIN LATERAL (
            VALUES (n.started, 'call.started', jsonb_build_object('caller', n.caller, 'caller_name', nullif(n.caller_name, ''), 'trunk', n.trunk,
                                                                 'dialled', n.dialled, 'context', n.context)),
                   (n.answered, 'call.answered', jsonb_build_object('app', n.app))) AS e(at, kind, data)
        WHERE e.at IS NOT NULL HAVING count(*) > 0;
    ELSE
        INSERT INTO pbx.event_pending (notes)
        SELECT array_agg(ROW(n.answered, 'call.answered', n.domain, n.call, jsonb_build_object('app', n.app))::pbx.event_note ORDER BY n.answered)
        FROM new_rows AS n JOIN old_rows AS o USING (call)
        WHERE o.answered IS NULL AND n.answered IS NOT NULL HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION pbx.event_of_live_leg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pbx.event_is_wanted('leg.%') AND NOT pbx.event_is_wanted('call.transferred') THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        INSERT INTO pbx.event_pending (notes)
        SELECT array_agg(ROW(e.at, e.kind, n.domain, n.call, jsonb_build_object('leg', n.leg, 'number', n.number, 'peer', n.peer))::pbx.event_note ORDER BY e.at)
        FROM new_rows AS n CROSS JOIN LATERAL (VALUES (n.ringing, 'leg.ringing'), (n.answered, 'leg.answered')) AS e(at, kind)
        WHERE n.role = 'callee' AND e.at IS NOT NULL HAVING count(*) > 0;
    ELSE
        -- A leg that moves to another call was heard of in the one that it leaves.
        INSERT INTO pbx.event_pending (notes)
        SELECT array_agg(ROW(e.at, e.kind, n.domain, o.call, e.data || jsonb_build_object('leg', o.leg, 'number', n.number))::pbx.event_note ORDER BY e.at)
        FROM new_rows AS n JOIN old_rows AS o USING (node, id) CROSS JOIN LATERAL (
            SELECT n.ringing, 'leg.ringing', jsonb_build_object('peer', n.peer) WHERE n.role = 'callee' AND o.ringing IS NULL AND n.ringing IS NOT NULL
            UNION ALL
            SELECT n.answered, 'leg.answered', jsonb_build_object('peer', n.peer) WHERE n.role = 'callee' AND o.answered IS NULL AND n.answered IS NOT NULL
            UNION ALL
            SELECT now(), CASE WHEN n.held THEN 'leg.held' ELSE 'leg.resumed' END, jsonb_build_object('role', n.role) WHERE o.held <> n.held
            UNION ALL
            SELECT now(), 'call.transferred', jsonb_build_object('role', n.role, 'to', n.call) WHERE o.call <> n.call) AS e(at, kind, data)
        HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION pbx.event_of_cdr() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pbx.event_is_wanted('call.%') THEN
        RETURN NULL;
    END IF;
    INSERT INTO pbx.event_pending (notes)
    SELECT array_agg(ROW(e.at, e.kind, n.domain, n.call, e.data)::pbx.event_note ORDER BY e.place)
    FROM new_rows AS n CROSS JOIN LATERAL (
        VALUES (1, n.started, 'call.started', jsonb_build_object('caller', n.caller, 'caller_name', nullif(n.caller_name, ''), 'dialled', n.dialled,
                                                                 'context', n.context)),
               (2, n.answered, 'call.answered', '{}'),
               (3, n.ended, 'call.ended', jsonb_build_object('caller', n.caller, 'dialled', n.dialled, 'result', n.result, 'cause', n.cause, 'hangup_by',
                                                              n.hangup_by, 'duration_ms', n.duration_ms, 'talk_ms', n.talk_ms))) AS e(place, at, kind, data)
    WHERE e.at IS NOT NULL HAVING count(*) > 0;
    RETURN NULL;
END $$;

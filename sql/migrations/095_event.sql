-- What happens, as rows that nobody misses: events, with cursors that remember how far each reader has come.

-- Tables that are cut by time ------------------------------------------------------------------------
--
-- What grows with every call is kept in one table a day or a month, so that what is over is dropped whole. These tables stand in a
-- schema of their own, which nobody has to look at and to which nobody is given rights.

CREATE SCHEMA pbx_part;
COMMENT ON SCHEMA pbx_part IS 'The days and months of tables of pbx that are cut by time. Ask the tables of pbx.';

CREATE FUNCTION pbx.partition_key(tab regclass) RETURNS name LANGUAGE sql STABLE AS $$
    SELECT a.attname FROM pg_partitioned_table AS p JOIN pg_attribute AS a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
    WHERE p.partrelid = $1
$$;
COMMENT ON FUNCTION pbx.partition_key(regclass) IS 'The column by which a table is cut.';

CREATE FUNCTION pbx.partition_make(tab regclass, unit text, since timestamptz DEFAULT now(), ahead interval DEFAULT '7 days') RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    base   name := (SELECT relname FROM pg_class WHERE oid = tab);
    key    name := pbx.partition_key(tab);
    part   name;
    begins timestamptz := date_trunc(unit, since, 'UTC');
    ends   timestamptz;
    made   integer := 0;
BEGIN
    WHILE begins <= now() + ahead LOOP
        ends := (begins AT TIME ZONE 'UTC' + ('1 ' || unit)::interval) AT TIME ZONE 'UTC';
        part := base || to_char(begins AT TIME ZONE 'UTC', '_YYYYMMDD');
        IF to_regclass(format('pbx_part.%I', part)) IS NULL THEN
            EXECUTE format('CREATE TABLE pbx_part.%I (LIKE %s INCLUDING ALL)', part, tab);
            -- What came when there was no table for it yet.
            EXECUTE format('WITH late AS (DELETE FROM pbx_part.%I WHERE %I >= %L AND %2$I < %4$L RETURNING *) INSERT INTO pbx_part.%5$I SELECT * FROM late',
                           base || '_other', key, begins, ends, part);
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION pbx_part.%I FOR VALUES FROM (%L) TO (%L)', tab, part, begins, ends);
            made := made + 1;
        END IF;
        begins := ends;
    END LOOP;
    RETURN made;
END $$;
COMMENT ON FUNCTION pbx.partition_make(regclass, text, timestamptz, interval) IS 'Makes the tables of each day or month from a time on until some days ahead, those that aren''t there; returns how many it made.';

CREATE FUNCTION pbx.partition_drop(tab regclass, before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    part    regclass;
    n       bigint;
    removed bigint := 0;
BEGIN
    -- Who reads for a long time is not waited for, nor anyone else behind him: next time.
    PERFORM set_config('lock_timeout', '2s', true);
    FOR part IN
        SELECT i.inhrelid FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = tab
          AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz <= before
        ORDER BY c.relname
    LOOP
        BEGIN
            EXECUTE format('SELECT count(*) FROM %s', part) INTO n;
            EXECUTE format('DROP TABLE %s', part);
            removed := removed + n;
        EXCEPTION WHEN lock_not_available THEN
            RAISE WARNING '% is in use, and is removed next time', part;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', '0', true);
    RETURN removed;
END $$;
COMMENT ON FUNCTION pbx.partition_drop(regclass, timestamptz) IS 'Drops the days or months of a table that are wholly before a time; returns how many rows went.';

-- Events ---------------------------------------------------------------------------------------------

CREATE TABLE pbx.event_kind (
    kind    text PRIMARY KEY CHECK (kind ~ '^[a-z]+\.[a-z]+$'),
    meaning text NOT NULL,
    record  boolean NOT NULL DEFAULT true
);
COMMENT ON TABLE pbx.event_kind IS 'Kinds of events. record = false: they aren''t written, unless a domain wants them.';
COMMENT ON COLUMN pbx.event_kind.kind IS 'What it is about, and what happened.';
COMMENT ON COLUMN pbx.event_kind.meaning IS 'When it is written, and what stands in its data.';
COMMENT ON COLUMN pbx.event_kind.record IS 'Whether such events are written, where pbx.event_choice doesn''t say otherwise.';
INSERT INTO pbx.event_kind (kind, meaning) VALUES
    ('call.started', 'A call began: caller, caller_name, trunk, dialled, context.'),
    ('leg.ringing', 'A phone or trunk that is called rings: leg, number, peer.'),
    ('leg.answered', 'A phone or trunk that was called has answered: leg, number, peer.'),
    ('call.answered', 'The caller has been answered, by a phone or by an application: app.'),
    ('leg.held', 'A party put the call on hold: leg, role, number.'),
    ('leg.resumed', 'It took the call back: leg, role, number.'),
    ('call.transferred', 'A party went from this call to another: leg, role, number, to (that call).'),
    ('call.ended', 'A call ended, its record is in pbx.cdr: caller, dialled, result, cause, hangup_by, duration_ms, talk_ms.'),
    ('call.lost', 'Its server ended without saying how the call did; it has no record: caller, dialled, started, answered, node.'),
    ('registration.gained', 'A phone registered: number, contact, address, proto, user_agent, node.'),
    ('registration.lost', 'It is no longer registered, it said so or its time is over: number, contact, address, node.'),
    ('trunk.up', 'A trunk answers again (of: reachable), or we are registered there (of: registration): name, node.'),
    ('trunk.down', 'It doesn''t answer any more, or we aren''t registered there any more: name, of, node, status, reason.'),
    ('voicemail.left', 'A mailbox has a new message: number, id, caller_number, caller_name, duration_ms.'),
    ('recording.ended', 'A recording has ended: recording, path, result, caller, callee, duration_ms.'),
    ('conference.joined', 'Somebody entered a conference room: number, caller, caller_name.'),
    ('conference.left', 'Somebody left it: number, caller, caller_name.'),
    ('ban.set', 'An address is no longer listened to: source, until, reason, account.'),
    ('ban.lifted', 'It is again: source.'),
    ('node.up', 'A server has started, or is heard of again: version.'),
    ('node.down', 'A server has ended, or hasn''t been heard of for 20 seconds: seen, reason (stopped or vanished).'),
    ('change.committed', 'An administrator''s change is in force: seq, up to which pbx.change tells what it was.');

CREATE TABLE pbx.event_choice (
    domain text NOT NULL REFERENCES pbx.domain ON UPDATE CASCADE ON DELETE CASCADE,
    kind   text NOT NULL REFERENCES pbx.event_kind ON DELETE CASCADE,
    record boolean NOT NULL,
    PRIMARY KEY (domain, kind)
);
COMMENT ON TABLE pbx.event_choice IS 'Which kinds of events a domain wants written, where it doesn''t do as pbx.event_kind says.';
COMMENT ON COLUMN pbx.event_choice.domain IS 'The domain.';
COMMENT ON COLUMN pbx.event_choice.kind IS 'The kind.';
COMMENT ON COLUMN pbx.event_choice.record IS 'Whether such events of the domain are written.';

CREATE TABLE pbx.event (
    id     bigint NOT NULL,
    noted  timestamptz NOT NULL,
    at     timestamptz NOT NULL,
    kind   text NOT NULL,
    domain text,
    call   uuid,
    data   jsonb NOT NULL,
    PRIMARY KEY (id, noted)
) PARTITION BY RANGE (noted);
COMMENT ON TABLE pbx.event IS 'What happened. NOTIFY pbx_event tells those present of new ones; pbx.event_next() gives each reader what it hasn''t had.';
COMMENT ON COLUMN pbx.event.id IS 'Grows with every commit: who has seen n misses nothing at or below n.';
COMMENT ON COLUMN pbx.event.noted IS 'When it was written here.';
COMMENT ON COLUMN pbx.event.at IS 'When it happened. Earlier than noted by a fraction of a second, or by as long as the database was away.';
COMMENT ON COLUMN pbx.event.kind IS 'What happened: see pbx.event_kind.';
COMMENT ON COLUMN pbx.event.domain IS 'The domain; NULL: it concerns the server.';
COMMENT ON COLUMN pbx.event.call IS 'The call, if it is about one.';
COMMENT ON COLUMN pbx.event.data IS 'What else there is to say, by kind: see pbx.event_kind.meaning.';
CREATE INDEX event_call ON pbx.event (call) WHERE call IS NOT NULL;
COMMENT ON INDEX pbx.event_call IS 'What happened in a call.';
CREATE INDEX event_at ON pbx.event USING brin (at);
COMMENT ON INDEX pbx.event_at IS 'What happened at a time.';
CREATE TABLE pbx_part.event_other PARTITION OF pbx.event DEFAULT;
COMMENT ON TABLE pbx_part.event_other IS 'What has no day yet.';
SELECT pbx.partition_make('pbx.event', 'day') \g /dev/null

CREATE SEQUENCE pbx.event_id;
COMMENT ON SEQUENCE pbx.event_id IS 'Numbers of pbx.event, drawn at COMMIT under a lock.';

-- Statements note what happened, and the numbers are given at COMMIT, as with pbx.change (001) and under the same lock, so that
-- a commit that does both can't wait for one that waits for it.

CREATE TYPE pbx.event_note AS (at timestamptz, kind text, domain text, call uuid, data jsonb);
COMMENT ON TYPE pbx.event_note IS 'An event that has no number yet.';

CREATE UNLOGGED TABLE pbx.event_pending (
    id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    notes pbx.event_note[] NOT NULL
) WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0);
COMMENT ON TABLE pbx.event_pending IS 'Events of transactions that are not committed yet, one row a statement. Seen from outside it is always empty.';
COMMENT ON COLUMN pbx.event_pending.id IS 'Order of the statements.';
COMMENT ON COLUMN pbx.event_pending.notes IS 'What happened.';

CREATE FUNCTION pbx.event_publish() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
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
          -- seen while it went on: what has been told isn't told again.
          AND NOT (n.kind IN ('call.started', 'call.answered', 'leg.ringing', 'leg.answered', 'call.ended') AND EXISTS (
              SELECT FROM pbx.event AS o
              WHERE o.call = n.call AND o.kind = n.kind AND o.data -> 'leg' IS NOT DISTINCT FROM n.data -> 'leg'
                AND o.noted > n.at - interval '1 hour'))
        ORDER BY mine.id, n.place OFFSET 0
    )
    INSERT INTO pbx.event (id, noted, at, kind, domain, call, data)
    SELECT nextval('pbx.event_id'), clock_timestamp(), w.* FROM wanted AS w;
    IF FOUND THEN
        PERFORM pg_notify('pbx_event', currval('pbx.event_id')::text);
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_publish() IS 'Trigger: at COMMIT, numbers the events that a transaction noted, in the order of commits, and wakes who listens.';
REVOKE EXECUTE ON FUNCTION pbx.event_publish() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER publish AFTER INSERT ON pbx.event_pending
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.event_publish();

CREATE FUNCTION pbx.event_write(kind text, domain text, call uuid, data jsonb, at timestamptz DEFAULT now()) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.event_pending (notes) VALUES (ARRAY[ROW($5, $1, $2, $3, coalesce($4, '{}'))::pbx.event_note])
$$;
COMMENT ON FUNCTION pbx.event_write(text, text, uuid, jsonb, timestamptz) IS 'Writes an event, of a kind that pbx.event_kind has; it has its number, and is seen, when the transaction is committed.';

-- Readers --------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.event_last() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT e.id FROM pbx.event AS e ORDER BY e.id DESC LIMIT 1), 0)
$$;
COMMENT ON FUNCTION pbx.event_last() IS 'Number of the last event; 0: there is none.';

CREATE TABLE pbx.event_cursor (
    cursor text NOT NULL CHECK (cursor <> ''),
    domain text REFERENCES pbx.domain ON UPDATE CASCADE ON DELETE CASCADE,
    id     bigint NOT NULL DEFAULT pbx.event_last(),
    kinds  text[],
    missed bigint NOT NULL DEFAULT 0 CHECK (missed >= 0),
    read   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT one_of_a_name_in_a_domain UNIQUE NULLS NOT DISTINCT (cursor, domain)
);
COMMENT ON TABLE pbx.event_cursor IS 'How far each reader of pbx.event has come. A row that is inserted with id 0 gives its reader all that is kept; without, what happens from then on.';
COMMENT ON COLUMN pbx.event_cursor.cursor IS 'Name that the reader chose.';
COMMENT ON COLUMN pbx.event_cursor.domain IS 'Whose events it gets; NULL: all.';
COMMENT ON COLUMN pbx.event_cursor.id IS 'The last event it has had.';
COMMENT ON COLUMN pbx.event_cursor.kinds IS 'Which kinds it gets; NULL: all.';
COMMENT ON COLUMN pbx.event_cursor.missed IS 'How many events, of whatever kind and domain, went by their age (pbx.retention) before it had come to them.';
COMMENT ON COLUMN pbx.event_cursor.read IS 'When it last asked.';

CREATE FUNCTION pbx.event_next(cursor text, most integer DEFAULT 100, domain text DEFAULT NULL) RETURNS SETOF pbx.event LANGUAGE plpgsql AS $$
DECLARE
    -- A tenant's readers are his domain's.
    whose text := coalesce($3, (SELECT min(d) FROM pbx.own_domains() AS d));
    c     pbx.event_cursor;
    ends  bigint;
    count integer := 0;
    e     pbx.event;
BEGIN
    IF $2 IS NULL OR $2 < 1 THEN
        RAISE EXCEPTION 'event_next(%): at least one event must be asked for', $1 USING ERRCODE = 'invalid_parameter_value';
    END IF;
    INSERT INTO pbx.event_cursor (cursor, domain) VALUES ($1, whose) ON CONFLICT DO NOTHING;
    SELECT * INTO c FROM pbx.event_cursor AS k WHERE k.cursor = $1 AND k.domain IS NOT DISTINCT FROM whose FOR UPDATE;
    -- First where the log ends, then what is in it: what is committed in between is there for the next time.
    ends := pbx.event_last();
    FOR e IN
        SELECT * FROM pbx.event AS x
        WHERE x.id > c.id AND x.id <= ends AND (c.domain IS NULL OR x.domain = c.domain) AND (c.kinds IS NULL OR x.kind = ANY (c.kinds))
        ORDER BY x.id LIMIT $2
    LOOP
        count := count + 1;
        RETURN NEXT e;
    END LOOP;
    UPDATE pbx.event_cursor AS k SET id = greatest(k.id, CASE WHEN count = $2 THEN e.id ELSE ends END), read = now()
    WHERE k.cursor = $1 AND k.domain IS NOT DISTINCT FROM whose;
END $$;
COMMENT ON FUNCTION pbx.event_next(text, integer, text) IS 'The next events for a reader, at most so many, in their order; of a domain: its own readers, and its events alone. They count as had when this transaction is committed: who dies before gets them again. Several readers of one name share them. A new name begins now. LISTEN pbx_event says when it is worth asking.';

-- Where events come from: calls ----------------------------------------------------------------------

CREATE FUNCTION pbx.event_of_live_call() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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
COMMENT ON FUNCTION pbx.event_of_live_call() IS 'Trigger: events of calls that begin and are answered.';
CREATE TRIGGER event_insert AFTER INSERT ON pbx.live_call REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_live_call();
CREATE TRIGGER event_update AFTER UPDATE ON pbx.live_call REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_live_call();

CREATE FUNCTION pbx.event_of_live_leg() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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
COMMENT ON FUNCTION pbx.event_of_live_leg() IS 'Trigger: events of legs that ring, are answered, hold and move.';
CREATE TRIGGER event_insert AFTER INSERT ON pbx.live_leg REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_live_leg();
CREATE TRIGGER event_update AFTER UPDATE ON pbx.live_leg REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_live_leg();

CREATE FUNCTION pbx.event_of_cdr() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
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
COMMENT ON FUNCTION pbx.event_of_cdr() IS 'Trigger: events of calls that have ended; also their beginning, where they were too short to be seen going on.';
CREATE TRIGGER event_insert AFTER INSERT ON pbx.cdr REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_cdr();

-- Calls whose server is killed have no record. What it had on disk of those that had ended comes first when it starts again; then it
-- says that there is no more.

CREATE TABLE pbx.call_missing (
    call    uuid PRIMARY KEY,
    node    text NOT NULL,
    domain  text NOT NULL,
    caller  text NOT NULL,
    dialled text NOT NULL,
    started timestamptz NOT NULL,
    answered timestamptz,
    noted   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.call_missing IS 'Calls of servers that ended, until their records have come or the server says, at its next start, that there are none.';
COMMENT ON COLUMN pbx.call_missing.call IS 'The call.';
COMMENT ON COLUMN pbx.call_missing.node IS 'The server.';
COMMENT ON COLUMN pbx.call_missing.domain IS 'The domain.';
COMMENT ON COLUMN pbx.call_missing.caller IS 'Number of who called.';
COMMENT ON COLUMN pbx.call_missing.dialled IS 'What was dialled.';
COMMENT ON COLUMN pbx.call_missing.started IS 'When it began.';
COMMENT ON COLUMN pbx.call_missing.answered IS 'When it was answered; NULL: it wasn''t, when it was last heard of.';
COMMENT ON COLUMN pbx.call_missing.noted IS 'When it was missed.';

CREATE OR REPLACE FUNCTION pbx.live_forget(node text) RETURNS void LANGUAGE sql AS $$
    WITH left_over AS (DELETE FROM pbx.live_call AS c WHERE c.node = $1 RETURNING *)
    INSERT INTO pbx.call_missing (call, node, domain, caller, dialled, started, answered)
    SELECT l.call, l.node, l.domain, l.caller, l.dialled, l.started, l.answered FROM left_over AS l
    ON CONFLICT DO NOTHING;
    DELETE FROM pbx.live_leg AS l WHERE l.node = $1;
$$;
COMMENT ON FUNCTION pbx.live_forget(text) IS 'For servers: one of this name has no calls, it starts or ends.';

CREATE FUNCTION pbx.outbox_missing(doc jsonb) RETURNS void LANGUAGE sql AS $$
    WITH over AS (DELETE FROM pbx.call_missing AS m WHERE m.node = doc ->> 'node' AND m.noted <= (doc ->> 'until')::timestamptz RETURNING *)
    SELECT pbx.event_write('call.lost', m.domain, m.call, jsonb_build_object('caller', m.caller, 'dialled', m.dialled, 'started', m.started,
                                                                            'answered', m.answered, 'node', m.node))
    FROM over AS m WHERE NOT EXISTS (SELECT FROM pbx.cdr AS c WHERE c.call = m.call) ORDER BY m.started
$$;
COMMENT ON FUNCTION pbx.outbox_missing(jsonb) IS 'A server that has started has handed over what former processes of its name had left until then: their calls that have no record now are lost.';

CREATE OR REPLACE FUNCTION pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO pbx.outbox_done (id) VALUES ($1) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        CASE $2
        WHEN 'cdr' THEN
            PERFORM pbx.outbox_cdr($3);
            PERFORM pbx.outbox_decisions($3);
        WHEN 'refused' THEN PERFORM pbx.outbox_decisions($3);
        WHEN 'binding' THEN PERFORM pbx.outbox_binding($3);
        WHEN 'subscription' THEN PERFORM pbx.outbox_subscription($3);
        WHEN 'voicemail' THEN PERFORM pbx.outbox_voicemail($3, $4);
        WHEN 'greeting' THEN PERFORM pbx.outbox_greeting($3, $4);
        WHEN 'recording' THEN PERFORM pbx.outbox_recording($3);
        ELSE
            -- A kind of its own has a function of its own: pbx.outbox_<kind>(jsonb).
            IF $2 !~ '^[a-z]+$' OR to_regprocedure(format('pbx.outbox_%s(jsonb)', $2)) IS NULL THEN
                RAISE EXCEPTION 'there is no such kind of entry' USING ERRCODE = 'data_exception';
            END IF;
            EXECUTE format('SELECT pbx.%I($1)', 'outbox_' || $2) USING $3;
        END CASE;
    -- Only what would be refused again tomorrow. A full disk, a deadlock or a shutdown goes up, and the entry is sent again.
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        INSERT INTO pbx.outbox_refused (id, kind, doc, sound, reason) VALUES ($1, $2, $3, $4, SQLERRM);
        RAISE WARNING 'outbox entry % (%) refused: %', $1, $2, SQLERRM;
    END;
    RETURN true;
END $$;
COMMENT ON FUNCTION pbx.outbox_take(uuid, text, jsonb, bytea) IS 'Takes an entry of a server''s outbox: cdr, refused, binding, subscription, voicemail, greeting, recording, or what has a function pbx.outbox_<kind>(jsonb). false: it was taken before. One that can''t be stored goes to pbx.outbox_refused and counts as taken.';

-- Where events come from: the rest -------------------------------------------------------------------

CREATE FUNCTION pbx.event_of_row() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'voicemail' THEN
        PERFORM pbx.event_write('voicemail.left', NEW.domain, NEW.call, jsonb_build_object('number', NEW.number, 'id', NEW.id,
                'caller_number', NEW.caller_number, 'caller_name', NEW.caller_name, 'duration_ms', NEW.duration_ms), NEW.received);
    WHEN 'recording' THEN
        PERFORM pbx.event_write('recording.ended', NEW.domain, NULL, jsonb_build_object('recording', NEW.recording, 'path', NEW.path,
                'result', NEW.result, 'caller', NEW.caller, 'callee', NEW.callee, 'duration_ms', NEW.duration_ms), NEW.ended);
    WHEN 'conference_member' THEN
        IF TG_OP = 'INSERT' THEN
            PERFORM pbx.event_write('conference.joined', NEW.domain, NEW.call, jsonb_build_object('number', NEW.number, 'caller', NEW.caller,
                    'caller_name', NEW.caller_name));
        ELSE
            PERFORM pbx.event_write('conference.left', OLD.domain, OLD.call, jsonb_build_object('number', OLD.number, 'caller', OLD.caller,
                    'caller_name', OLD.caller_name));
        END IF;
    WHEN 'ban' THEN
        IF TG_OP = 'DELETE' THEN
            PERFORM pbx.event_write('ban.lifted', NULL, NULL, jsonb_build_object('source', OLD.source));
        ELSE
            PERFORM pbx.event_write('ban.set', NULL, NULL, jsonb_build_object('source', NEW.source, 'until', NEW.until, 'reason', NEW.reason,
                    'account', NEW.account));
        END IF;
    END CASE;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_of_row() IS 'Trigger: the event of a row, by its table.';
REVOKE EXECUTE ON FUNCTION pbx.event_of_row() FROM PUBLIC;
CREATE TRIGGER event_insert AFTER INSERT ON pbx.voicemail FOR EACH ROW EXECUTE FUNCTION pbx.event_of_row();
CREATE TRIGGER event_insert AFTER INSERT ON pbx.recording FOR EACH ROW WHEN (NEW.ended IS NOT NULL) EXECUTE FUNCTION pbx.event_of_row();
CREATE TRIGGER event_update AFTER UPDATE ON pbx.recording FOR EACH ROW WHEN (OLD.ended IS NULL AND NEW.ended IS NOT NULL)
    EXECUTE FUNCTION pbx.event_of_row();
CREATE TRIGGER event_change AFTER INSERT OR DELETE ON pbx.conference_member FOR EACH ROW EXECUTE FUNCTION pbx.event_of_row();
CREATE TRIGGER event_insert AFTER INSERT ON pbx.ban FOR EACH ROW EXECUTE FUNCTION pbx.event_of_row();
CREATE TRIGGER event_update AFTER UPDATE ON pbx.ban FOR EACH ROW WHEN (OLD.until <> NEW.until) EXECUTE FUNCTION pbx.event_of_row();
CREATE TRIGGER event_delete AFTER DELETE ON pbx.ban FOR EACH ROW WHEN (OLD.until > now()) EXECUTE FUNCTION pbx.event_of_row();

CREATE FUNCTION pbx.event_of_binding() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM pbx.event_write('registration.lost', OLD.domain, NULL, jsonb_build_object('number', OLD.number, 'contact', OLD.contact,
                'address', OLD.address, 'node', OLD.node), least(now(), OLD.expires));
    ELSE
        PERFORM pbx.event_write('registration.gained', NEW.domain, NULL, jsonb_build_object('number', NEW.number, 'contact', NEW.contact,
                'address', NEW.address, 'proto', NEW.proto, 'user_agent', NEW.user_agent, 'node', NEW.node));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_of_binding() IS 'Trigger: events of phones that register, and that are no longer registered.';
REVOKE EXECUTE ON FUNCTION pbx.event_of_binding() FROM PUBLIC;
CREATE TRIGGER event_change AFTER INSERT OR DELETE ON pbx.binding FOR EACH ROW EXECUTE FUNCTION pbx.event_of_binding();
CREATE TRIGGER event_update AFTER UPDATE ON pbx.binding FOR EACH ROW WHEN (OLD.expires < now() AND NEW.expires > now())
    EXECUTE FUNCTION pbx.event_of_binding();

CREATE FUNCTION pbx.event_of_trunk() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    was_reachable  boolean := CASE TG_OP WHEN 'UPDATE' THEN OLD.reachable END;
    was_registered text := CASE TG_OP WHEN 'UPDATE' THEN OLD.registration ELSE 'off' END;
BEGIN
    IF NEW.reachable IS NOT NULL AND NEW.reachable IS DISTINCT FROM was_reachable THEN
        PERFORM pbx.event_write(CASE WHEN NEW.reachable THEN 'trunk.up' ELSE 'trunk.down' END, NEW.domain, NULL,
                jsonb_build_object('name', NEW.name, 'of', 'reachable', 'node', NEW.node), coalesce(NEW.reachable_since, now()));
    END IF;
    IF (NEW.registration = 'registered') <> (was_registered = 'registered') OR (NEW.registration = 'failed') > (was_registered = 'failed') THEN
        PERFORM pbx.event_write(CASE NEW.registration WHEN 'registered' THEN 'trunk.up' ELSE 'trunk.down' END, NEW.domain, NULL,
                jsonb_build_object('name', NEW.name, 'of', 'registration', 'node', NEW.node, 'status', NEW.status, 'reason', NEW.reason));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_of_trunk() IS 'Trigger: events of trunks that answer, or don''t any more, and of our registrations there.';
CREATE TRIGGER event_change AFTER INSERT OR UPDATE ON pbx.trunk_state FOR EACH ROW EXECUTE FUNCTION pbx.event_of_trunk();

CREATE FUNCTION pbx.event_of_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Nothing of what it was: an import changes a million rows by one statement.
    IF EXISTS (SELECT FROM pbx.event_kind WHERE kind = 'change.committed' AND record) THEN
        PERFORM pbx.event_write('change.committed', NULL, NULL, jsonb_build_object('seq', currval('pbx.change_seq')));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_of_change() IS 'Trigger: the event of changes that are committed.';
CREATE TRIGGER event_insert AFTER INSERT ON pbx.change FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_change();

-- Servers that come and go ---------------------------------------------------------------------------

ALTER TABLE pbx.node ADD COLUMN stopped timestamptz, ADD COLUMN stop_reason text CHECK (stop_reason IN ('stopped', 'vanished')),
    ADD CHECK ((stopped IS NULL) = (stop_reason IS NULL));
COMMENT ON COLUMN pbx.node.stopped IS 'When it ended, or was found to have vanished; NULL: it runs.';
COMMENT ON COLUMN pbx.node.stop_reason IS 'stopped: it said so; vanished: nothing was heard of it for 20 seconds.';

CREATE FUNCTION pbx.node_starts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- One that had said nothing of its end was killed.
    IF OLD.stopped IS NULL THEN
        PERFORM pbx.event_write('node.down', NULL, NULL, jsonb_build_object('node', OLD.node, 'seen', OLD.seen, 'reason', 'vanished'), OLD.seen);
    END IF;
    NEW.stopped := NULL;
    NEW.stop_reason := NULL;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.node_starts() IS 'Trigger: a server that starts runs, and the former one of its name does not.';
CREATE TRIGGER starts BEFORE UPDATE ON pbx.node FOR EACH ROW WHEN (OLD.started <> NEW.started) EXECUTE FUNCTION pbx.node_starts();

CREATE FUNCTION pbx.event_of_node() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stopped IS NULL THEN
        PERFORM pbx.event_write('node.up', NULL, NULL, jsonb_build_object('node', NEW.node, 'version', NEW.version));
    ELSE
        PERFORM pbx.event_write('node.down', NULL, NULL, jsonb_build_object('node', NEW.node, 'seen', NEW.seen, 'reason', NEW.stop_reason));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_of_node() IS 'Trigger: events of servers that start, end and vanish.';
CREATE TRIGGER event_insert AFTER INSERT ON pbx.node FOR EACH ROW EXECUTE FUNCTION pbx.event_of_node();
CREATE TRIGGER event_update AFTER UPDATE ON pbx.node FOR EACH ROW
    WHEN (OLD.started <> NEW.started OR (OLD.stopped IS NULL) <> (NEW.stopped IS NULL)) EXECUTE FUNCTION pbx.event_of_node();

CREATE FUNCTION pbx.node_stops(node text) RETURNS void LANGUAGE sql AS $$
    UPDATE pbx.node AS n SET stopped = now(), stop_reason = 'stopped' WHERE n.node = $1 AND n.stopped IS NULL
$$;
COMMENT ON FUNCTION pbx.node_stops(text) IS 'For servers: this one ends.';

CREATE OR REPLACE FUNCTION pbx.live_nodes() RETURNS SETOF text LANGUAGE sql STABLE ROWS 5 AS $$
    SELECT node FROM pbx.node WHERE seen > now() - interval '20 seconds' AND stopped IS NULL
$$;

CREATE OR REPLACE FUNCTION pbx.node_seen(node text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pbx.node AS n SET seen = now(), stopped = NULL, stop_reason = NULL WHERE n.node = $1;
    UPDATE pbx.node AS n SET stopped = now(), stop_reason = 'vanished'
    WHERE n.stopped IS NULL AND n.node NOT IN (SELECT pbx.live_nodes());
    -- Of calls whose server has vanished.
    PERFORM pbx.live_forget(c.node)
    FROM (SELECT x.node FROM pbx.live_call AS x UNION SELECT x.node FROM pbx.live_leg AS x) AS c
    WHERE c.node NOT IN (SELECT pbx.live_nodes());
    PERFORM pbx.state_forget(s.node)
    FROM (SELECT DISTINCT t.node FROM pbx.trunk_state AS t
          WHERE NOT EXISTS (SELECT FROM pbx.node AS n WHERE n.node = t.node AND n.seen > now() - interval '10 minutes')
          ORDER BY t.node) AS s;
END $$;

-- Housekeeping ---------------------------------------------------------------------------------------

CREATE FUNCTION pbx.retention_is_known(what text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT $1 IN ('voicemail', 'binding', 'change', 'outbox_done', 'cdr', 'subscription', 'message', 'phone_request', 'decision')
        OR ($1 ~ '^[a-z_]+$' AND to_regprocedure(format('pbx.retain_%s(timestamptz)', $1)) IS NOT NULL)
$$;
COMMENT ON FUNCTION pbx.retention_is_known(text) IS 'Is there something of this name in pbx.retention? What housekeeping() doesn''t remove itself has a function pbx.retain_<what>(before), which returns how many rows it removed.';
ALTER TABLE pbx.retention DROP CONSTRAINT what_is_known;
ALTER TABLE pbx.retention ADD CONSTRAINT what_is_known CHECK (pbx.retention_is_known(what));

CREATE FUNCTION pbx.retain_event(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
    first   bigint;
    was     bigint := (SELECT min(id) FROM pbx.event);
BEGIN
    removed := pbx.partition_drop('pbx.event', before);
    IF removed > 0 THEN
        first := coalesce((SELECT min(id) FROM pbx.event), (SELECT last_value + 1 FROM pbx.event_id));
        -- Numbers have few gaps: what a reader hasn't had is as good as counted.
        UPDATE pbx.event_cursor AS c SET missed = c.missed + least(removed, first - greatest(c.id + 1, was)), id = first - 1 WHERE c.id < first - 1;
    END IF;
    RETURN removed;
END $$;
COMMENT ON FUNCTION pbx.retain_event(timestamptz) IS 'For housekeeping: drops days of events, and tells readers that had not had them (pbx.event_cursor.missed).';

CREATE FUNCTION pbx.retain_call_missing(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM pbx.event_write('call.lost', m.domain, m.call, jsonb_build_object('caller', m.caller, 'dialled', m.dialled, 'started', m.started,
                                                                            'answered', m.answered, 'node', m.node))
    FROM pbx.call_missing AS m WHERE m.noted < before AND NOT EXISTS (SELECT FROM pbx.cdr AS c WHERE c.call = m.call) ORDER BY m.started;
    DELETE FROM pbx.call_missing AS m WHERE m.noted < before;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END $$;
COMMENT ON FUNCTION pbx.retain_call_missing(timestamptz) IS 'For housekeeping: calls of a server that never came back are lost.';
INSERT INTO pbx.retention VALUES ('event', '30 days'), ('call_missing', '7 days');
COMMENT ON COLUMN pbx.retention.what IS 'voicemail: messages since their owner deleted them; binding, subscription, message: since they expired; phone_request: since it was made; change: the log that servers follow; outbox_done: ids of what servers handed over; cdr: records of calls, which by default are kept for ever; decision: what was decided about calls, for why(); event: what happened, by whole days; call_missing: calls of a server that hasn''t come back.';

CREATE OR REPLACE FUNCTION pbx.housekeeping() RETURNS TABLE (what text, removed bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- One server at a time; the others have nothing to do then.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pbx.housekeeping', 0)) THEN
        RETURN;
    END IF;
    PERFORM pbx.partition_make('pbx.event', 'day');
    FOR r IN SELECT t.what, now() - t.keep AS before FROM pbx.retention AS t ORDER BY t.what LOOP
        what := r.what;
        CASE r.what
        WHEN 'voicemail' THEN DELETE FROM pbx.voicemail WHERE deleted < r.before;
        WHEN 'binding' THEN DELETE FROM pbx.binding WHERE expires < r.before;
        WHEN 'subscription' THEN DELETE FROM pbx.subscription WHERE expires < r.before;
        WHEN 'message' THEN DELETE FROM pbx.message WHERE expires < r.before;
        WHEN 'phone_request' THEN DELETE FROM pbx.phone_request WHERE made < r.before;
        -- The last one stays: it says how far the log has come.
        WHEN 'change' THEN DELETE FROM pbx.change WHERE at < r.before AND seq < (SELECT max(seq) FROM pbx.change);
        WHEN 'outbox_done' THEN DELETE FROM pbx.outbox_done WHERE at < r.before;
        WHEN 'cdr' THEN DELETE FROM pbx.cdr WHERE ended < r.before;
        WHEN 'decision' THEN DELETE FROM pbx.decision_log WHERE started < r.before;
        ELSE
            EXECUTE format('SELECT pbx.%I($1)', 'retain_' || r.what) INTO removed USING r.before;
            RETURN NEXT;
            CONTINUE;
        END CASE;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.housekeeping() IS 'Makes the days ahead of tables that are cut by time, and removes what has been kept as long as pbx.retention says; how many rows of each. Servers call it every hour.';

-- Who sees what --------------------------------------------------------------------------------------

CALL pbx.tenant_table('pbx.event');
CALL pbx.tenant_table('pbx.call_missing');
CALL pbx.tenant_table('pbx.event_choice', '{SELECT,INSERT,UPDATE,DELETE}');
CALL pbx.tenant_table('pbx.event_cursor', '{SELECT,INSERT,UPDATE,DELETE}');
CALL pbx.global_table('pbx.event_kind', 'what there can be, the same for all', '{SELECT}');
CALL pbx.global_table('pbx.event_pending', 'of transactions that are not committed', staff => '{}');
CALL pbx.audit_watch('pbx.event_kind');
CALL pbx.audit_watch('pbx.event_choice');

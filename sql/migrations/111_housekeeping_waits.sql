-- Housekeeping holds up nobody: who reads a table for hours, as pg_dump does, isn't waited for, and locks are taken in one order.
--
-- To give a table cut by time another day, or to drop one, PostgreSQL locks it against everybody. Who waits for that behind a long reader has
-- all others wait behind himself, among them every call whose events are to be numbered. And who has it while he waits to have his own events
-- numbered at COMMIT waits for one who is numbering his. So such a lock is waited for half a second, behind the lock under which events are
-- numbered (pbx.change), and what can't be had is left for the next hour: days are made a week ahead.

CREATE FUNCTION pbx.partition_lock() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', '500ms', true);
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.change', 0));
END $$;
COMMENT ON FUNCTION pbx.partition_lock() IS 'For partition_make() and partition_drop(), within a block that catches lock_not_available: from now on locks are waited for half a second, and the first is that of pbx.change.';

CREATE OR REPLACE FUNCTION pbx.partition_make(tab regclass, unit text, since timestamptz DEFAULT now(), ahead interval DEFAULT '7 days') RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
    base   name := (SELECT relname FROM pg_class WHERE oid = tab);
    key    name := pbx.partition_key(tab);
    waits  text := current_setting('lock_timeout');
    part   name;
    begins timestamptz := date_trunc(unit, since, 'UTC');
    ends   timestamptz;
    made   integer := 0;
BEGIN
    WHILE begins <= now() + ahead LOOP
        ends := (begins AT TIME ZONE 'UTC' + ('1 ' || unit)::interval) AT TIME ZONE 'UTC';
        part := base || to_char(begins AT TIME ZONE 'UTC', '_YYYYMMDD');
        IF to_regclass(format('pbx_part.%I', part)) IS NULL THEN
            BEGIN
                PERFORM pbx.partition_lock();
                EXECUTE format('CREATE TABLE pbx_part.%I (LIKE %s INCLUDING ALL)', part, tab);
                -- What came when there was no table for it yet.
                EXECUTE format('WITH late AS (DELETE FROM pbx_part.%I WHERE %I >= %L AND %2$I < %4$L RETURNING *) INSERT INTO pbx_part.%5$I SELECT * FROM late',
                               base || '_other', key, begins, ends, part);
                EXECUTE format('ALTER TABLE %s ATTACH PARTITION pbx_part.%I FOR VALUES FROM (%L) TO (%L)', tab, part, begins, ends);
                made := made + 1;
            EXCEPTION WHEN lock_not_available THEN
                RAISE WARNING '% is in use, and gets its table of % next time', tab, begins;
                EXIT;
            END;
        END IF;
        begins := ends;
    END LOOP;
    PERFORM set_config('lock_timeout', waits, true);
    RETURN made;
END $$;

CREATE OR REPLACE FUNCTION pbx.partition_drop(tab regclass, before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    waits   text := current_setting('lock_timeout');
    over    record;
    removed bigint := 0;
BEGIN
    -- Counted first, while others go on. Of a large one it is known well enough how many it has.
    FOR over IN
        SELECT array_agg(p.part ORDER BY p.name) AS parts, array_agg(p.n ORDER BY p.name) AS counts
        FROM (SELECT i.inhrelid::regclass AS part, c.relname AS name,
                     CASE WHEN c.reltuples > 0 AND pg_relation_size(c.oid) > 100000000 THEN c.reltuples::bigint
                          ELSE (xpath('//n/text()', query_to_xml(format('SELECT count(*) AS n FROM %s', i.inhrelid::regclass), true, true, '')))[1]::text::bigint END AS n
              FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
              WHERE i.inhparent = tab
                AND (regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''([^'']+)''\)'))[1]::timestamptz <= before) AS p
    LOOP
        FOR i IN 1 .. coalesce(cardinality(over.parts), 0) LOOP
            BEGIN
                PERFORM pbx.partition_lock();
                EXECUTE format('DROP TABLE %s', over.parts[i]);
                removed := removed + over.counts[i];
            EXCEPTION WHEN lock_not_available THEN
                RAISE WARNING '% is in use, and is removed next time', over.parts[i];
                EXIT;
            END;
        END LOOP;
    END LOOP;
    PERFORM set_config('lock_timeout', waits, true);
    RETURN removed;
END $$;
COMMENT ON FUNCTION pbx.partition_drop(regclass, timestamptz) IS 'Drops the days or months of a table that are wholly before a time; returns how many rows went, of large ones about so many.';

CREATE OR REPLACE FUNCTION pbx.housekeeping() RETURNS TABLE (what text, removed bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- One server at a time; the others have nothing to do then.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pbx.housekeeping', 0)) THEN
        RETURN;
    END IF;
    -- Tables that are cut by time come last: what is locked for them is locked until this is over.
    FOR r IN SELECT t.what, now() - t.keep AS before FROM pbx.retention AS t ORDER BY t.what IN ('cdr', 'event', 'sip_trace', 'why'), t.what LOOP
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
        ELSE
            EXECUTE format('SELECT pbx.%I($1)', 'retain_' || r.what) INTO removed USING r.before;
            RETURN NEXT;
            CONTINUE;
        END CASE;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
    -- Also of what is kept for ever.
    PERFORM pbx.partition_make('pbx.event', 'day');
    PERFORM pbx.partition_make('pbx.decision_log', 'day');
    PERFORM pbx.partition_make('pbx.sip_trace', 'day');
    PERFORM pbx.partition_make('pbx.cdr', 'month');
    PERFORM pbx.partition_make('pbx.cdr_leg', 'month');
END $$;

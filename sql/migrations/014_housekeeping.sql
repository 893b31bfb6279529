-- What nobody needs any more is removed, so that a server that runs for years has no table that only grows.

CREATE TABLE pbx.retention (
    what text PRIMARY KEY,
    keep interval NOT NULL CHECK (keep > interval '0')
);
COMMENT ON TABLE pbx.retention IS 'For how long what is over is kept. A row that is deleted means: for ever.';
COMMENT ON COLUMN pbx.retention.what IS 'voicemail: messages since their owner deleted them; binding: since they expired; change: the log that servers follow; outbox_done: ids of what servers handed over; cdr: records of calls, which by default are kept for ever.';
COMMENT ON COLUMN pbx.retention.keep IS 'How long.';

ALTER TABLE pbx.retention ADD CONSTRAINT what_is_known CHECK (what IN ('voicemail', 'binding', 'change', 'outbox_done', 'cdr'));
-- A server that was cut off longer than its entries are remembered could hand one over twice; than the log reaches, loads all anew.
INSERT INTO pbx.retention VALUES ('voicemail', '30 days'), ('binding', '1 day'), ('change', '7 days'), ('outbox_done', '90 days');

CREATE INDEX outbox_done_at ON pbx.outbox_done (at);
COMMENT ON INDEX pbx.outbox_done_at IS 'For housekeeping.';
CREATE INDEX voicemail_deleted ON pbx.voicemail (deleted) WHERE deleted IS NOT NULL;
COMMENT ON INDEX pbx.voicemail_deleted IS 'For housekeeping.';

CREATE FUNCTION pbx.housekeeping() RETURNS TABLE (what text, removed bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- One server at a time; the others have nothing to do then.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pbx.housekeeping', 0)) THEN
        RETURN;
    END IF;
    FOR r IN SELECT t.what, now() - t.keep AS before FROM pbx.retention AS t ORDER BY t.what LOOP
        CASE r.what
        WHEN 'voicemail' THEN DELETE FROM pbx.voicemail WHERE deleted < r.before;
        WHEN 'binding' THEN DELETE FROM pbx.binding WHERE expires < r.before;
        -- The last one stays: it says how far the log has come.
        WHEN 'change' THEN DELETE FROM pbx.change WHERE at < r.before AND seq < (SELECT max(seq) FROM pbx.change);
        WHEN 'outbox_done' THEN DELETE FROM pbx.outbox_done WHERE at < r.before;
        WHEN 'cdr' THEN DELETE FROM pbx.cdr WHERE ended < r.before;
        END CASE;
        what := r.what;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.housekeeping() IS 'Removes what has been kept as long as pbx.retention says; how many rows of each. Servers call it every hour.';

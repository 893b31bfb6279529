-- Decisions are kept in a table of each day, so that what is over is dropped whole.

DROP VIEW pbx.refused_call, pbx.call_decision;
ALTER TABLE pbx.decision_log SET SCHEMA pbx_part;
ALTER TABLE pbx_part.decision_log RENAME TO decision_log_before;
DROP INDEX pbx_part.decision_log_call, pbx_part.decision_log_started, pbx_part.decision_log_refused;

CREATE TABLE pbx.decision_log (LIKE pbx_part.decision_log_before INCLUDING COMMENTS) PARTITION BY RANGE (started);
COMMENT ON TABLE pbx.decision_log IS 'The decisions of calls that have ended or were refused at once: see pbx.why(), and the views pbx.call_decision and pbx.refused_call. Kept as long as pbx.retention says (why); a table a day.';
CREATE INDEX decision_log_call ON pbx.decision_log (call);
COMMENT ON INDEX pbx.decision_log_call IS 'The decisions of a call.';
CREATE INDEX decision_log_refused ON pbx.decision_log (domain, started) WHERE status IS NOT NULL;
COMMENT ON INDEX pbx.decision_log_refused IS 'The refused calls of a time.';
CREATE TABLE pbx_part.decision_log_other PARTITION OF pbx.decision_log DEFAULT;
COMMENT ON TABLE pbx_part.decision_log_other IS 'What has no day yet.';
SELECT pbx.partition_make('pbx.decision_log', 'day', greatest(coalesce((SELECT min(started) FROM pbx_part.decision_log_before), now()), now() - interval '100 days')) \g /dev/null
INSERT INTO pbx.decision_log SELECT * FROM pbx_part.decision_log_before;
DROP TABLE pbx_part.decision_log_before;
CREATE TRIGGER event_insert AFTER INSERT ON pbx.decision_log FOR EACH ROW WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION pbx.event_of_refusal();
CALL pbx.tenant_table('pbx.decision_log');

CREATE VIEW pbx.call_decision WITH (security_invoker) AS
SELECT l.call, l.domain, l.started + (d.v ->> 0)::bigint * interval '1 millisecond' AS at, d.seq::integer, (d.v ->> 0)::bigint * interval '1 millisecond' AS after,
       d.v ->> 1 AS kind, a.args, pbx.decision_says(d.v ->> 1, a.args) AS says
FROM (SELECT call, domain, started, decisions FROM pbx.decision_log
      UNION ALL
      SELECT c.call, c.domain, c.started, c.decisions FROM pbx.live_call AS c WHERE c.node IN (SELECT pbx.live_nodes())) AS l,
     jsonb_array_elements(l.decisions) WITH ORDINALITY AS d(v, seq),
     LATERAL (SELECT ARRAY(SELECT e.t FROM jsonb_array_elements_text(d.v) WITH ORDINALITY AS e(t, n) WHERE e.n > 2 ORDER BY e.n) AS args) AS a;
COMMENT ON VIEW pbx.call_decision IS 'What was decided about each call, in order: of those that have ended, those that were refused at once, and those in progress.';
COMMENT ON COLUMN pbx.call_decision.call IS 'The call.';
COMMENT ON COLUMN pbx.call_decision.domain IS 'Its domain.';
COMMENT ON COLUMN pbx.call_decision.at IS 'When it was decided.';
COMMENT ON COLUMN pbx.call_decision.seq IS 'The order.';
COMMENT ON COLUMN pbx.call_decision.after IS 'How long after the call began.';
COMMENT ON COLUMN pbx.call_decision.kind IS 'What kind of decision: see pbx.decision_kind.';
COMMENT ON COLUMN pbx.call_decision.args IS 'With what it was decided: see the sentence of its kind. Of a decision about a leg the first is the leg.';
COMMENT ON COLUMN pbx.call_decision.says IS 'As a sentence.';

CREATE VIEW pbx.refused_call WITH (security_invoker) AS
SELECT l.call, l.domain, l.started AS at, l.caller, l.dialled, l.source, l.status,
       (SELECT string_agg(d.says, ' ' ORDER BY d.seq) FROM pbx.call_decision AS d WHERE d.call = l.call AND d.kind <> 'caller') AS why
FROM pbx.decision_log AS l WHERE l.status IS NOT NULL;
COMMENT ON VIEW pbx.refused_call IS 'Calls that were refused before a plan ran and so have no record: wrong passwords, blocked callers, limits. Of callers who aren''t known one a second is kept.';
COMMENT ON COLUMN pbx.refused_call.call IS 'Its id, for why().';
COMMENT ON COLUMN pbx.refused_call.domain IS 'The domain; empty: one that isn''t ours.';
COMMENT ON COLUMN pbx.refused_call.at IS 'When.';
COMMENT ON COLUMN pbx.refused_call.caller IS 'Who called, or said to be the caller.';
COMMENT ON COLUMN pbx.refused_call.dialled IS 'What was dialled.';
COMMENT ON COLUMN pbx.refused_call.source IS 'From where.';
COMMENT ON COLUMN pbx.refused_call.status IS 'The SIP status it was refused with.';
COMMENT ON COLUMN pbx.refused_call.why IS 'Why.';

CREATE FUNCTION pbx.retain_why(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    late bigint;
BEGIN
    PERFORM pbx.partition_make('pbx.decision_log', 'day');
    -- What came too late for its day, or by a clock that was wrong.
    DELETE FROM pbx_part.decision_log_other AS o WHERE o.started < before;
    GET DIAGNOSTICS late = ROW_COUNT;
    RETURN late + pbx.partition_drop('pbx.decision_log', before);
END $$;
COMMENT ON FUNCTION pbx.retain_why(timestamptz) IS 'For housekeeping: makes the days ahead, and drops those that are over.';
UPDATE pbx.retention SET what = 'why' WHERE what = 'decision';
DO $$
BEGIN
    EXECUTE format('COMMENT ON COLUMN pbx.retention.what IS %L', replace(col_description('pbx.retention'::regclass, 1), 'decision: what was decided about calls, for why()',
                                                                         'why: what was decided about calls, by whole days'));
END $$;

CREATE OR REPLACE FUNCTION pbx.retain_sip_trace(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    late bigint;
BEGIN
    PERFORM pbx.partition_make('pbx.sip_trace', 'day');
    -- What came too late for its day, or by a clock that was wrong.
    DELETE FROM pbx_part.sip_trace_other AS o WHERE o.started < before;
    GET DIAGNOSTICS late = ROW_COUNT;
    RETURN late + pbx.partition_drop('pbx.sip_trace', before);
END $$;

-- Which of last month's calls would go elsewhere? And what tenants may do with drafts.

-- The calls of a time, and where each goes by the dialplan as it is, or as a draft would have it. When a call came matters only for the
-- schedules that were open then, so that calls of one kind are looked at once.
CREATE FUNCTION pbx.replay_run(domain text, since timestamptz, until timestamptz) RETURNS TABLE (call uuid, goes text) LANGUAGE sql STABLE AS $$
    WITH came AS (
        SELECT c.call, coalesce(c.transferred_by, nullif(d.decisions #>> '{0,6}', ''), CASE
                   WHEN EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (c.domain, c.caller)) THEN c.caller
                   -- Records that are older than decisions don't name the trunk: the only one, or the extension that is no more.
                   ELSE coalesce((SELECT min(t.name) FROM pbx.trunk AS t WHERE t.domain = c.domain AND d.call IS NULL HAVING count(*) = 1), c.caller) END) AS caller,
               c.caller AS number, c.dialled, date_trunc('minute', c.started) AS minute
        FROM pbx.cdr AS c LEFT JOIN LATERAL (
            SELECT l.call, l.decisions FROM pbx.decision_log AS l WHERE l.call = c.call AND l.decisions #>> '{0,1}' = 'caller' LIMIT 1) AS d ON true
        WHERE c.domain = $1 AND c.started >= $2 AND c.started < $3
    ), open AS MATERIALIZED (
        SELECT m.minute, (SELECT string_agg(s.schedule, ' ' ORDER BY s.schedule) FROM pbx.schedule AS s WHERE s.domain = $1 AND pbx.schedule_is_open($1, s.schedule, m.minute)) AS schedules
        FROM (SELECT DISTINCT minute FROM came) AS m
    ), kind AS MATERIALIZED (
        SELECT k.caller, k.number, k.dialled, k.schedules, CASE
            WHEN EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = ($1, k.caller)) OR EXISTS (SELECT FROM pbx.trunk AS t WHERE (t.domain, t.name) = ($1, k.caller))
            THEN pbx.outcome($1, k.caller, k.dialled, k.minute, nullif(k.number, ''))
            ELSE format('there is no caller %s', k.caller) END AS goes
        FROM (SELECT c.caller, c.number, c.dialled, o.schedules, min(c.minute) AS minute FROM came AS c JOIN open AS o USING (minute) GROUP BY c.caller, c.number, c.dialled, o.schedules) AS k
    )
    SELECT c.call, k.goes
    FROM came AS c JOIN open AS o USING (minute) JOIN kind AS k ON (k.caller, k.number, k.dialled) = (c.caller, c.number, c.dialled) AND k.schedules IS NOT DISTINCT FROM o.schedules
$$;
COMMENT ON FUNCTION pbx.replay_run(text, timestamptz, timestamptz) IS 'Where calls of a time would go today (pbx.outcome()), by whom they came, what they dialled and which schedules were open.';

CREATE FUNCTION pbx.replay_calls(domain text, draft text, since timestamptz DEFAULT now() - interval '1 month', until timestamptz DEFAULT now())
    RETURNS TABLE (call uuid, started timestamptz, caller text, dialled text, was text, becomes text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    becomes jsonb := pbx.draft_try(pbx.draft_changes($1, $2), NULL, format('SELECT * FROM pbx.replay_run(%L, %L, %L)', $1, $3, $4)) -> 'told';
BEGIN
    RETURN QUERY
    SELECT c.call, c.started, c.caller, c.dialled, w.goes, b.goes
    FROM pbx.replay_run($1, $3, $4) AS w JOIN jsonb_to_recordset(becomes) AS b(call uuid, goes text) USING (call) JOIN pbx.cdr AS c USING (call)
    WHERE w.goes <> b.goes ORDER BY c.started, c.call;
END $$;
COMMENT ON FUNCTION pbx.replay_calls(text, text, timestamptz, timestamptz) IS 'Each call of a time that would go elsewhere if the draft were active: where it would go by the dialplan as it is, and by the draft.';

CREATE FUNCTION pbx.replay(domain text, draft text, since timestamptz DEFAULT now() - interval '1 month', until timestamptz DEFAULT now())
    RETURNS TABLE (calls bigint, was text, becomes text, callers text[], dialled text[], last timestamptz) LANGUAGE sql AS $$
    -- To whatever number by a trunk is one way, unless the number is what is different.
    WITH went AS (
        SELECT c.*, regexp_replace(c.was, '\mtrunk ([^ ]+) [^ ]+', 'trunk \1', 'g') AS was_short, regexp_replace(c.becomes, '\mtrunk ([^ ]+) [^ ]+', 'trunk \1', 'g') AS becomes_short
        FROM pbx.replay_calls($1, $2, $3, $4) AS c
    ), way AS (
        SELECT w.*, CASE WHEN was_short = becomes_short THEN w.was ELSE was_short END AS w, CASE WHEN was_short = becomes_short THEN w.becomes ELSE becomes_short END AS b FROM went AS w
    )
    SELECT count(*), w, b, (array_agg(DISTINCT way.caller))[1:10], (array_agg(DISTINCT way.dialled))[1:10], max(started) FROM way GROUP BY w, b ORDER BY count(*) DESC, w, b
$$;
COMMENT ON FUNCTION pbx.replay(text, text, timestamptz, timestamptz) IS 'Which calls of the last month, or of another time, would go elsewhere if the draft were active: how many from where to where, ten of their callers and of the numbers dialled. No rows: none would. Each of them: replay_calls().';

-- Tenants ----------------------------------------------------------------------------------------------

-- Without columns that nobody reads: tenants make and take back changes of rows whose secrets they don't see.
CREATE OR REPLACE FUNCTION pbx.changes_now(changes pbx.row_change[]) RETURNS TABLE (n bigint, "table" text, key_before text, key text, old jsonb, new jsonb, have jsonb, hidden text[])
    LANGUAGE plpgsql STABLE SET timezone = 'UTC' SET intervalstyle = 'postgres' SET bytea_output = 'hex' AS $$
#variable_conflict use_column
DECLARE
    tab regclass;
    cols text;
BEGIN
    FOR tab IN SELECT DISTINCT format('pbx.%I', c."table")::regclass FROM unnest(changes) AS c ORDER BY 1 LOOP
        SELECT string_agg(format('x.%I', a.attname), ', ') INTO cols FROM pg_attribute AS a
        WHERE a.attrelid = tab AND a.attnum > 0 AND NOT a.attisdropped AND a.attname <> ALL (pbx.audit_hidden(tab) || pbx.audit_derived(tab));
        RETURN QUERY EXECUTE format($q$
            -- Of a row that comes to where another one leaves there is nothing yet.
            SELECT c.n, c."table", c.key_before, c.key, c.old, c.new, CASE WHEN c.old IS NULL AND leaves.key IS NOT NULL THEN NULL ELSE t.have END, $2
            FROM unnest($1) WITH ORDINALITY AS c("table", key_before, key, old, new, n)
            LEFT JOIN (SELECT DISTINCT o.key_before AS key FROM unnest($1) AS o WHERE o."table" = $3 AND o.old IS NOT NULL) AS leaves ON leaves.key = c.key
            CROSS JOIN LATERAL jsonb_populate_record(NULL::%1$s, coalesce(c.old, c.new)) AS k
            LEFT JOIN LATERAL (SELECT (SELECT to_jsonb(y) FROM (SELECT %3$s) AS y) AS have FROM %1$s AS x WHERE %2$s) AS t ON true
            WHERE c."table" = $3$q$, tab, pbx.audit_same(tab, 'x', 'k'), cols)
        USING changes, pbx.audit_hidden(tab), (SELECT relname::text FROM pg_class WHERE oid = tab);
    END LOOP;
END $$;

CALL pbx.tenant_table('pbx.audit', '{SELECT}');
CALL pbx.tenant_table('pbx.dialplan_test', '{SELECT,INSERT,UPDATE,DELETE}');
CALL pbx.tenant_table('pbx.draft', '{SELECT,INSERT,UPDATE,DELETE}');
CALL pbx.tenant_table('pbx.draft_row', '{SELECT,INSERT,UPDATE,DELETE}');
CALL pbx.tenant_table('pbx.dialplan_version', '{SELECT,INSERT,UPDATE}');

-- A setting that came since.
CALL pbx.audit_watch('pbx.decision_kind');

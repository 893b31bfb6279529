-- A month of calls is replayed in one pass: calls of one minute, then those of one kind, are gathered, not joined, so that each costs the same
-- however many there are, and whatever is known of the tables.

CREATE OR REPLACE FUNCTION pbx.replay_run(domain text, since timestamptz, until timestamptz) RETURNS TABLE (call uuid, goes text) LANGUAGE sql STABLE AS $$
    WITH came AS (
        SELECT date_trunc('minute', c.started) AS minute, array_agg(jsonb_build_array(c.call, coalesce(c.transferred_by, nullif(d.decisions #>> '{0,6}', ''), CASE
                   WHEN EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (c.domain, c.caller)) THEN c.caller
                   -- Records that are older than decisions don't name the trunk: the only one, or the extension that is no more.
                   ELSE coalesce((SELECT min(t.name) FROM pbx.trunk AS t WHERE t.domain = c.domain AND d.call IS NULL HAVING count(*) = 1), c.caller) END),
               c.caller, c.dialled)) AS calls
        FROM pbx.cdr AS c LEFT JOIN LATERAL (
            SELECT l.call, l.decisions FROM pbx.decision_log AS l WHERE l.call = c.call AND l.decisions #>> '{0,1}' = 'caller' LIMIT 1) AS d ON true
        WHERE c.domain = $1 AND c.started >= $2 AND c.started < $3 GROUP BY date_trunc('minute', c.started)
    ), open AS MATERIALIZED (
        SELECT m.minute, m.calls, (SELECT string_agg(s.schedule, ' ' ORDER BY s.schedule) FROM pbx.schedule AS s WHERE s.domain = $1 AND pbx.schedule_is_open($1, s.schedule, m.minute)) AS schedules
        FROM came AS m
    ), kind AS MATERIALIZED (
        SELECT u ->> 1 AS caller, u ->> 2 AS number, u ->> 3 AS dialled, min(o.minute) AS minute, array_agg((u ->> 0)::uuid) AS calls
        FROM open AS o, unnest(o.calls) AS u GROUP BY o.schedules, u ->> 1, u ->> 2, u ->> 3
    ), gone AS MATERIALIZED (
        SELECT k.calls, CASE
            WHEN EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = ($1, k.caller)) OR EXISTS (SELECT FROM pbx.trunk AS t WHERE (t.domain, t.name) = ($1, k.caller))
            THEN pbx.outcome($1, k.caller, k.dialled, k.minute, nullif(k.number, ''))
            ELSE format('there is no caller %s', k.caller) END AS goes
        FROM kind AS k
    )
    SELECT unnest(g.calls), g.goes FROM gone AS g
$$;

-- Limits of calls at once, and budgets, hold over all servers: each tells what it has and asks what the others have, in one statement.

CREATE FUNCTION pbx.use_exchange(node text, is_all boolean, uses jsonb) RETURNS TABLE (domain text, what text, n integer, began text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF $2 OR $3 <> '[]' THEN
        DELETE FROM pbx.live_use AS u WHERE u.node = $1 AND ($2 OR (u.domain, u.what) IN (
            SELECT d.domain, d.what FROM jsonb_to_recordset($3) AS d(domain text, what text, n integer) WHERE d.n = 0));
        INSERT INTO pbx.live_use AS u (node, domain, what, n, began)
        SELECT $1, d.domain, d.what, d.n, coalesce(d.began_ms, 0) / 1000.0 FROM jsonb_to_recordset($3) AS d(domain text, what text, n integer, began_ms numeric) WHERE d.n > 0
        ON CONFLICT ON CONSTRAINT live_use_pkey DO UPDATE SET n = excluded.n, began = excluded.began;
    END IF;
    -- A row of nobody says that there are others to be asked about.
    RETURN QUERY
        SELECT '', '', count(*)::integer, '' FROM pbx.live_nodes() AS o(node) WHERE o.node <> $1 HAVING count(*) > 0
        UNION ALL
        SELECT u.domain, u.what, sum(u.n)::integer, round(sum(u.began) * 1000)::text FROM pbx.live_use AS u
        WHERE u.node <> $1 AND u.node IN (SELECT pbx.live_nodes()) GROUP BY u.domain, u.what;
END $$;
COMMENT ON FUNCTION pbx.use_exchange(text, boolean, jsonb) IS 'For servers: what has changed of what its calls use, [{"domain", "what", "n", "began_ms"}, ...], n 0: nothing any more; is_all: there is nothing else. Returns what the calls of the others use, each once, with began in milliseconds, and before them how many others there are.';

COMMENT ON COLUMN pbx.extension.call_limit IS 'How many calls at once, on all servers together; NULL: no limit.';
COMMENT ON COLUMN pbx.trunk.call_limit IS 'How many calls at once, on all servers together; NULL: no limit.';
COMMENT ON COLUMN pbx.domain.call_limit IS 'How many calls at once, on all servers together, those to emergency numbers besides; NULL: no limit. One that is set counts those that begin from then on.';

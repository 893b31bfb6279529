-- A domain's administrators command its calls; what a command is about and who asked is set by its trigger. And commands that are over go.

CALL pbx.tenant_table('pbx.command', '{SELECT,INSERT}', '{}', '{id,asked_by,asked,expires,node,run,state,taken,finished,cause,outcome}');

CREATE FUNCTION pbx.retain_command(before timestamptz) RETURNS bigint LANGUAGE sql AS $$
    WITH gone AS (DELETE FROM pbx.command WHERE finished < $1 RETURNING 1) SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION pbx.retain_command(timestamptz) IS 'For housekeeping: commands that were over before then.';
INSERT INTO pbx.retention VALUES ('command', '7 days');

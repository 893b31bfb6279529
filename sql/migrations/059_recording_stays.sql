-- A recording that can't be removed stands in nobody's way.

ALTER TABLE pbx.recording
    ADD COLUMN removal_failed timestamptz,
    ADD COLUMN removal_error  text;
COMMENT ON COLUMN pbx.recording.removal_failed IS 'When its server tried to remove its file, which has been kept long enough, and couldn''t; tried again after an hour. NULL: not tried yet.';
COMMENT ON COLUMN pbx.recording.removal_error IS 'Why it couldn''t.';

CREATE OR REPLACE FUNCTION pbx.recording_expired(node text) RETURNS TABLE (recording uuid, path text) LANGUAGE sql AS $$
    SELECT r.recording, r.path FROM pbx.recording AS r JOIN pbx.domain AS d ON d.domain = r.domain
    WHERE r.node = $1 AND r.ended < now() - d.record_keep AND (r.removal_failed IS NULL OR r.removal_failed < now() - interval '55 minutes')
    ORDER BY r.ended LIMIT 200
$$;
COMMENT ON FUNCTION pbx.recording_expired(text) IS 'Recordings on a node that have been kept as long as domain.record_keep says, the oldest first, 200 at most, but for those that couldn''t be removed within the last hour.';

CREATE FUNCTION pbx.recording_stays(recording uuid, error text) RETURNS void LANGUAGE sql AS $$
    UPDATE pbx.recording AS r SET removal_failed = now(), removal_error = $2 WHERE r.recording = $1
$$;
COMMENT ON FUNCTION pbx.recording_stays(uuid, text) IS 'Servers call it: the file can''t be removed, and why.';

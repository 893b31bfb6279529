-- Recordings: a beep that tells of them, conference rooms.

ALTER TABLE pbx.domain
    ADD COLUMN record_beep_s integer CHECK (record_beep_s = 0 OR record_beep_s BETWEEN 5 AND 3600);
COMMENT ON COLUMN pbx.domain.record_beep_s IS 'A beep that all who are recorded hear: when it begins, and again after so many seconds; 0: when it begins (and goes on after a pause) alone; NULL: none. A step that records may have its own.';

ALTER TABLE pbx.conference ADD COLUMN record boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.conference.record IS 'true: it is recorded while two or more are in it, all in one channel. Else a moderator may begin it by *5, which then pauses it, too.';

ALTER TABLE pbx.recording ADD COLUMN conference text;
COMMENT ON COLUMN pbx.recording.conference IS 'The conference room; NULL: it is of a call.';
COMMENT ON COLUMN pbx.recording.started_by IS 'policy: the columns record; step: a step of the dialplan; else the extension that pressed record_code, or in a room *5.';
COMMENT ON TABLE pbx.recording_segment IS 'Of what times a recording is: it pauses when somebody says so, and while nobody talks because one of them is being transferred. Of a conference room: each member''s stays in that time. Written when it has ended.';

CREATE OR REPLACE FUNCTION pbx.outbox_recording(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.recording AS old (recording, domain, node, path, format, channels, caller, callee, conference, started_by, started, ended, result, bytes,
                                      duration_ms, lost_ms)
    SELECT r.recording, r.domain, r.node, r.path, r.format, r.channels, coalesce(r.caller, ''), coalesce(r.callee, ''), r.conference, r.started_by,
           pbx.time_of_ms(r.started_ms), CASE WHEN r.ended_ms IS NOT NULL THEN pbx.time_of_ms(greatest(r.ended_ms, r.started_ms)) END, r.result, coalesce(r.bytes, 0),
           coalesce(r.duration_ms, 0), coalesce(r.lost_ms, 0)
    FROM jsonb_to_record(doc) AS r(recording uuid, domain text, node text, path text, format text, channels integer, caller text, callee text, conference text,
             started_by text, started_ms bigint, ended_ms bigint, result text, bytes bigint, duration_ms bigint, lost_ms bigint)
    -- What is told of its end holds, whatever comes after. Who was called is perhaps known only then.
    ON CONFLICT (recording) DO UPDATE
    SET ended = excluded.ended, result = excluded.result, bytes = excluded.bytes, duration_ms = excluded.duration_ms, lost_ms = excluded.lost_ms,
        callee = coalesce(nullif(old.callee, ''), excluded.callee)
    WHERE excluded.ended IS NOT NULL AND (old.ended IS NULL OR old.result = 'interrupted');

    INSERT INTO pbx.recording_segment (domain, recording, position, call, started, ended)
    SELECT doc ->> 'domain', (doc ->> 'recording')::uuid, s.n, (s.v ->> 'call')::uuid, pbx.time_of_ms((s.v ->> 'started_ms')::bigint),
           pbx.time_of_ms(greatest((s.v ->> 'ended_ms')::bigint, (s.v ->> 'started_ms')::bigint))
    FROM jsonb_array_elements(coalesce(doc -> 'segments', '[]')) WITH ORDINALITY AS s(v, n)
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION pbx.outbox_recording(jsonb) IS 'Stores what a server tells of a recording, that it began or how it ended. Times are *_ms, in milliseconds since 1970.';

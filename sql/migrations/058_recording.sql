-- Recordings of calls: whose are made, how, where they are, and for how long.

CREATE FUNCTION pbx.is_record_path(path text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(path ~ '^[^/]' AND path !~ '/$|//|(^|/)\.|[[:cntrl:]]' AND length(path) <= 200
        AND regexp_replace(path, '\$\{(domain|caller|number|call|recording|date|year|month|day|time)\}', '', 'g') !~ '[$}{]', false);
COMMENT ON FUNCTION pbx.is_record_path(text) IS 'True for a pattern of a recording''s path: below the folder of recordings, no part beginning with a dot, with ${domain}, ${caller}, ${number} (dialled), ${call}, ${recording} (its id), ${date}, ${year}, ${month}, ${day} and ${time} (of the domain) in it.';

ALTER TABLE pbx.domain
    ADD COLUMN record text NOT NULL DEFAULT 'none' CHECK (record IN ('none', 'inbound', 'outbound', 'all')),
    ADD COLUMN record_format text NOT NULL DEFAULT 'wav' CHECK (record_format IN ('wav', 'flac', 'opus')),
    ADD COLUMN record_stereo boolean NOT NULL DEFAULT true,
    ADD COLUMN record_path text NOT NULL DEFAULT '${domain}/${year}-${month}/${date}-${time}-${caller}-${number}' CHECK (pbx.is_record_path(record_path)),
    ADD COLUMN record_code text NOT NULL DEFAULT '*1' CHECK (record_code ~ '^[0-9*#]{2,4}$'),
    ADD COLUMN record_keep interval CHECK (record_keep > interval '0');
COMMENT ON COLUMN pbx.domain.record IS 'Which calls of its extensions are recorded, from the moment that both talk: none; inbound: those that an extension answers; outbound: those that it makes; all. An extension may have its own, and steps may decide otherwise. Check what the law says before you record anybody.';
COMMENT ON COLUMN pbx.domain.record_format IS 'wav: 16 bits a sample; flac: the same in about half the room; opus: in an eighth.';
COMMENT ON COLUMN pbx.domain.record_stereo IS 'true: the caller is left, who he talks with is right; false: both are mixed.';
COMMENT ON COLUMN pbx.domain.record_path IS 'Where a recording is put, below the folder of recordings of the server''s configuration, without the ending; see is_record_path(). Letters and characters that don''t belong in a file''s name become _; without ${recording} a part of that follows, so that no file is ever written over.';
COMMENT ON COLUMN pbx.domain.record_code IS 'What an extension with record_on_demand presses in a call, to have it recorded, to pause that, and to go on.';
COMMENT ON COLUMN pbx.domain.record_keep IS 'For how long recordings are kept after their end; then servers remove file and row. NULL: for ever.';

ALTER TABLE pbx.extension
    ADD COLUMN record text CHECK (record IN ('none', 'inbound', 'outbound', 'all')),
    ADD COLUMN record_on_demand boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.extension.record IS 'Which of its calls are recorded, as of domain; NULL: as the domain says.';
COMMENT ON COLUMN pbx.extension.record_on_demand IS 'true: in a call it may press domain.record_code: the first time the recording begins, then it pauses and goes on, in one file; one that began by itself pauses first.';

ALTER TABLE pbx.trunk
    ADD COLUMN record text NOT NULL DEFAULT 'none' CHECK (record IN ('none', 'inbound', 'outbound', 'all'));
COMMENT ON COLUMN pbx.trunk.record IS 'Which calls of it are recorded, whoever takes part: none; inbound: those that come by it; outbound: those that go out by it; all.';

CREATE TABLE pbx.recording (
    recording   uuid PRIMARY KEY,
    domain      text NOT NULL,
    node        text NOT NULL,
    path        text NOT NULL,
    format      text NOT NULL CHECK (format IN ('wav', 'flac', 'opus')),
    channels    integer NOT NULL CHECK (channels IN (1, 2)),
    caller      text NOT NULL DEFAULT '',
    callee      text NOT NULL DEFAULT '',
    started_by  text NOT NULL,
    started     timestamptz NOT NULL,
    ended       timestamptz,
    result      text NOT NULL CHECK (result IN ('recording', 'complete', 'disk_full', 'failed', 'interrupted')),
    bytes       bigint NOT NULL DEFAULT 0 CHECK (bytes >= 0),
    duration_ms bigint NOT NULL DEFAULT 0 CHECK (duration_ms >= 0),
    lost_ms     bigint NOT NULL DEFAULT 0 CHECK (lost_ms >= 0),
    UNIQUE (domain, recording),
    UNIQUE (node, path),
    CHECK ((ended IS NULL) = (result = 'recording'))
);
COMMENT ON TABLE pbx.recording IS 'Recordings of calls, from when they begin. A recording goes with the call through transfers: which calls it is of is in recording_segment.';
COMMENT ON COLUMN pbx.recording.recording IS 'Its id.';
COMMENT ON COLUMN pbx.recording.domain IS 'Domain.';
COMMENT ON COLUMN pbx.recording.node IS 'The server on which the file is.';
COMMENT ON COLUMN pbx.recording.path IS 'Path of the file there.';
COMMENT ON COLUMN pbx.recording.format IS 'As of domain.record_format.';
COMMENT ON COLUMN pbx.recording.channels IS '2: the caller is left, who he talks with is right.';
COMMENT ON COLUMN pbx.recording.caller IS 'Who called, when it began.';
COMMENT ON COLUMN pbx.recording.callee IS 'With whom he talked then.';
COMMENT ON COLUMN pbx.recording.started_by IS 'policy: the columns record; step: a step of the dialplan; else the extension that pressed record_code.';
COMMENT ON COLUMN pbx.recording.started IS 'When it began.';
COMMENT ON COLUMN pbx.recording.ended IS 'When it ended; NULL: it goes on.';
COMMENT ON COLUMN pbx.recording.result IS 'recording: it goes on; complete; disk_full: the file ends where there was no more room; failed: where it couldn''t be written, see the server''s log; interrupted: the server ended meanwhile, the file goes as far as it came.';
COMMENT ON COLUMN pbx.recording.bytes IS 'Size of the file.';
COMMENT ON COLUMN pbx.recording.duration_ms IS 'Of the sound in it.';
COMMENT ON COLUMN pbx.recording.lost_ms IS 'Of what was said, silence in the file because the disk was too slow.';
CREATE INDEX recording_ended ON pbx.recording (domain, ended);
COMMENT ON INDEX pbx.recording_ended IS 'For what is to be removed.';

CREATE TABLE pbx.recording_segment (
    domain    text NOT NULL,
    recording uuid NOT NULL,
    position  integer NOT NULL CHECK (position > 0),
    call      uuid NOT NULL,
    started   timestamptz NOT NULL,
    ended     timestamptz NOT NULL,
    PRIMARY KEY (domain, recording, position),
    FOREIGN KEY (domain, recording) REFERENCES pbx.recording (domain, recording) ON DELETE CASCADE,
    CHECK (ended >= started)
);
COMMENT ON TABLE pbx.recording_segment IS 'Of what times a recording is: it pauses when somebody says so, and while nobody talks because one of them is being transferred. Written when it has ended.';
COMMENT ON COLUMN pbx.recording_segment.domain IS 'Domain.';
COMMENT ON COLUMN pbx.recording_segment.recording IS 'Recording.';
COMMENT ON COLUMN pbx.recording_segment.position IS 'In the order of time, from 1.';
COMMENT ON COLUMN pbx.recording_segment.call IS 'The call, as of cdr.';
COMMENT ON COLUMN pbx.recording_segment.started IS 'When this one began.';
COMMENT ON COLUMN pbx.recording_segment.ended IS 'When it ended.';
CREATE INDEX recording_segment_call ON pbx.recording_segment (call);
COMMENT ON INDEX pbx.recording_segment_call IS 'For the recordings of a call.';

-- What servers tell of them.

CREATE FUNCTION pbx.outbox_recording(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.recording AS old (recording, domain, node, path, format, channels, caller, callee, started_by, started, ended, result, bytes,
                                      duration_ms, lost_ms)
    SELECT r.recording, r.domain, r.node, r.path, r.format, r.channels, coalesce(r.caller, ''), coalesce(r.callee, ''), r.started_by,
           pbx.time_of_ms(r.started_ms), CASE WHEN r.ended_ms IS NOT NULL THEN pbx.time_of_ms(greatest(r.ended_ms, r.started_ms)) END, r.result, coalesce(r.bytes, 0),
           coalesce(r.duration_ms, 0), coalesce(r.lost_ms, 0)
    FROM jsonb_to_record(doc) AS r(recording uuid, domain text, node text, path text, format text, channels integer, caller text, callee text,
             started_by text, started_ms bigint, ended_ms bigint, result text, bytes bigint, duration_ms bigint, lost_ms bigint)
    -- What is told of its end holds, whatever comes after.
    ON CONFLICT (recording) DO UPDATE
    SET ended = excluded.ended, result = excluded.result, bytes = excluded.bytes, duration_ms = excluded.duration_ms, lost_ms = excluded.lost_ms
    WHERE excluded.ended IS NOT NULL AND (old.ended IS NULL OR old.result = 'interrupted');

    INSERT INTO pbx.recording_segment (domain, recording, position, call, started, ended)
    SELECT doc ->> 'domain', (doc ->> 'recording')::uuid, s.n, (s.v ->> 'call')::uuid, pbx.time_of_ms((s.v ->> 'started_ms')::bigint),
           pbx.time_of_ms(greatest((s.v ->> 'ended_ms')::bigint, (s.v ->> 'started_ms')::bigint))
    FROM jsonb_array_elements(coalesce(doc -> 'segments', '[]')) WITH ORDINALITY AS s(v, n)
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION pbx.outbox_recording(jsonb) IS 'Stores what a server tells of a recording, that it began or how it ended. Times are *_ms, in milliseconds since 1970.';

CREATE OR REPLACE FUNCTION pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO pbx.outbox_done (id) VALUES ($1) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        CASE $2
        WHEN 'cdr' THEN PERFORM pbx.outbox_cdr($3);
        WHEN 'binding' THEN PERFORM pbx.outbox_binding($3);
        WHEN 'subscription' THEN PERFORM pbx.outbox_subscription($3);
        WHEN 'voicemail' THEN PERFORM pbx.outbox_voicemail($3, $4);
        WHEN 'greeting' THEN PERFORM pbx.outbox_greeting($3, $4);
        WHEN 'recording' THEN PERFORM pbx.outbox_recording($3);
        ELSE RAISE EXCEPTION 'there is no such kind of entry' USING ERRCODE = 'data_exception';
        END CASE;
    -- Only what would be refused again tomorrow. A full disk, a deadlock or a shutdown goes up, and the entry is sent again.
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        INSERT INTO pbx.outbox_refused (id, kind, doc, sound, reason) VALUES ($1, $2, $3, $4, SQLERRM);
        RAISE WARNING 'outbox entry % (%) refused: %', $1, $2, SQLERRM;
    END;
    RETURN true;
END $$;
COMMENT ON FUNCTION pbx.outbox_take(uuid, text, jsonb, bytea) IS 'Takes an entry of a server''s outbox: cdr, binding, subscription, voicemail, greeting or recording. false: it was taken before. One that can''t be stored goes to pbx.outbox_refused and counts as taken.';

-- Retention: only the server that has a file can remove it.

CREATE FUNCTION pbx.recording_interrupted(node text, before_ms bigint) RETURNS bigint LANGUAGE sql AS $$
    WITH ended AS (
        UPDATE pbx.recording AS r SET ended = greatest(now(), r.started), result = 'interrupted'
        WHERE r.node = $1 AND r.ended IS NULL AND r.started < pbx.time_of_ms($2) RETURNING 1)
    SELECT count(*) FROM ended
$$;
COMMENT ON FUNCTION pbx.recording_interrupted(text, bigint) IS 'Servers call it: what was being recorded on a node before it started, at so many ms since 1970, isn''t any more.';

CREATE FUNCTION pbx.recording_expired(node text) RETURNS TABLE (recording uuid, path text) LANGUAGE sql AS $$
    SELECT r.recording, r.path FROM pbx.recording AS r JOIN pbx.domain AS d ON d.domain = r.domain
    WHERE r.node = $1 AND r.ended < now() - d.record_keep ORDER BY r.ended LIMIT 200
$$;
COMMENT ON FUNCTION pbx.recording_expired(text) IS 'Recordings on a node that have been kept as long as domain.record_keep says, the oldest first, 200 at most.';

CREATE FUNCTION pbx.recording_removed(recording uuid) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pbx.recording AS r WHERE r.recording = $1
$$;
COMMENT ON FUNCTION pbx.recording_removed(uuid) IS 'Servers call it: the file is gone.';

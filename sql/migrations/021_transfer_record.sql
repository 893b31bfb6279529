-- What the records say of transfers.

ALTER TABLE pbx.cdr ADD COLUMN transferred_by text;
COMMENT ON COLUMN pbx.cdr.transferred_by IS 'Number or trunk of who transferred the caller, or one of those who talked, to this call. NULL: nobody.';
COMMENT ON COLUMN pbx.cdr.talk_ms IS 'How long the caller talked, to a person or an application: from the answer to the end, or until one of them was transferred.';

ALTER TABLE pbx.cdr_leg
    ADD COLUMN joined timestamptz,
    ADD COLUMN moved_from uuid,
    ADD COLUMN moved_to uuid;
COMMENT ON COLUMN pbx.cdr_leg.joined IS 'When a transfer brought it into this call; NULL: it began here.';
COMMENT ON COLUMN pbx.cdr_leg.moved_from IS 'The call it came from.';
COMMENT ON COLUMN pbx.cdr_leg.moved_to IS 'The call it went to at its end here. Packets, losses and jitter of the whole leg are in the record of its last call.';

CREATE OR REPLACE FUNCTION pbx.outbox_cdr(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.cdr (call, domain, caller, caller_name, dialled, context, route, started, answered, ended, result, cause,
                         hangup_by, duration_ms, talk_ms, session_id, transferred_by)
    SELECT c.call, c.domain, coalesce(c.caller, ''), coalesce(c.caller_name, ''), coalesce(c.dialled, ''), coalesce(c.context, ''),
           coalesce(c.route, ''), pbx.time_of_ms(c.started_ms), pbx.time_of_ms(c.answered_ms), pbx.time_of_ms(c.ended_ms),
           c.result, c.cause, c.hangup_by,
           -- A clock that was set back must not cost the record.
           greatest(coalesce(c.duration_ms, c.ended_ms - c.started_ms), 0),
           greatest(coalesce(c.talk_ms, c.ended_ms - c.answered_ms), 0), c.session_id, c.transferred_by
    FROM jsonb_to_record(doc) AS c(call uuid, domain text, caller text, caller_name text, dialled text, context text, route text,
             started_ms bigint, answered_ms bigint, ended_ms bigint, result text, cause integer, hangup_by text,
             duration_ms bigint, talk_ms bigint, session_id uuid, transferred_by text);

    INSERT INTO pbx.cdr_leg (call, leg, role, peer, number, started, ringing, answered, ended, joined, moved_from, moved_to, status,
                             cause, codec, packets_sent, packets_received, lost, remote_lost, jitter_us, max_jitter_us, rtt_us,
                             media_address, session_id)
    SELECT (doc ->> 'call')::uuid, l.leg, l.role, coalesce(l.peer, ''), coalesce(l.number, ''), pbx.time_of_ms(l.started_ms),
           pbx.time_of_ms(l.ringing_ms), pbx.time_of_ms(l.answered_ms),
           pbx.time_of_ms(coalesce(l.ended_ms, (doc ->> 'ended_ms')::bigint)), pbx.time_of_ms(l.joined_ms), l.moved_from, l.moved_to,
           nullif(l.status, 0), nullif(l.cause, 0), nullif(l.codec, ''), l.packets_sent, l.packets_received, l.lost, l.remote_lost,
           l.jitter_us, l.max_jitter_us, l.rtt_us, nullif(l.media_address, ''), l.session_id
    FROM jsonb_to_recordset(coalesce(doc -> 'legs', '[]')) AS l(leg integer, role text, peer text, number text, started_ms bigint,
             ringing_ms bigint, answered_ms bigint, ended_ms bigint, joined_ms bigint, moved_from uuid, moved_to uuid, status integer,
             cause integer, codec text, packets_sent bigint, packets_received bigint, lost bigint, remote_lost bigint,
             jitter_us bigint, max_jitter_us bigint, rtt_us bigint, media_address text, session_id uuid)
$$;

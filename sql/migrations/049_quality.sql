-- How calls sound, and where their media go: of those that were, of those that are; and when one is given up whose media have stopped.

ALTER TABLE pbx.cdr_leg
    ADD COLUMN bytes_sent        bigint,
    ADD COLUMN bytes_received    bigint,
    ADD COLUMN remote_jitter_us  bigint,
    ADD COLUMN heard_ms          bigint,
    ADD COLUMN concealed_ms      bigint,
    ADD COLUMN recovered_ms      bigint,
    ADD COLUMN mos               numeric(3,2),
    ADD COLUMN mos_min           numeric(3,2),
    ADD COLUMN mos_min_at        timestamptz,
    ADD COLUMN remote_mos        numeric(3,2),
    ADD COLUMN remote_mos_min    numeric(3,2),
    ADD COLUMN signalled_address text,
    ADD COLUMN media_reason      text,
    ADD COLUMN media_since       timestamptz,
    ADD COLUMN media_changes     integer,
    ADD COLUMN dropped_source    bigint,
    ADD COLUMN dropped_insecure  bigint,
    ADD COLUMN icmp_errors       bigint,
    ADD COLUMN media_timeout     text;
COMMENT ON COLUMN pbx.cdr_leg.bytes_sent IS 'Bytes of sound sent to it, without headers.';
COMMENT ON COLUMN pbx.cdr_leg.bytes_received IS 'Bytes of sound that came from it, without headers.';
COMMENT ON COLUMN pbx.cdr_leg.remote_jitter_us IS 'Jitter of what it received, as it reported last (RTCP), in microseconds.';
COMMENT ON COLUMN pbx.cdr_leg.heard_ms IS 'How long Cordboard itself listened to it, for a call between two codecs, tones or a menu. What is merely passed on isn''t listened to.';
COMMENT ON COLUMN pbx.cdr_leg.concealed_ms IS 'Of that, what was made up because it was lost or came too late.';
COMMENT ON COLUMN pbx.cdr_leg.recovered_ms IS 'Of that, what was lost but said again by the next packet (FEC of Opus).';
COMMENT ON COLUMN pbx.cdr_leg.mos IS 'How what came from it sounded, from 1 to 4.5: mean opinion score estimated by the E-model (ITU-T G.107, see docs/media-quality.md), the mean over the call. NULL: too little came.';
COMMENT ON COLUMN pbx.cdr_leg.mos_min IS 'The same of the worst five seconds.';
COMMENT ON COLUMN pbx.cdr_leg.mos_min_at IS 'When those ended.';
COMMENT ON COLUMN pbx.cdr_leg.remote_mos IS 'How what it was sent sounded there, by its reports (RTCP); NULL: it made none.';
COMMENT ON COLUMN pbx.cdr_leg.remote_mos_min IS 'The same of its worst report.';
COMMENT ON COLUMN pbx.cdr_leg.signalled_address IS 'Where it said its media would be (SDP), the last time.';
COMMENT ON COLUMN pbx.cdr_leg.media_address IS 'Where its media came from and went to, the last time. Another than signalled_address: it sits behind a NAT.';
COMMENT ON COLUMN pbx.cdr_leg.media_reason IS 'Why that address: first (the first that sent a flow of packets), signalled (it had said another one), silence (nothing came from the former, and it showed who it is), ice (its checks named it), NULL: no packet came.';
COMMENT ON COLUMN pbx.cdr_leg.media_since IS 'Since when.';
COMMENT ON COLUMN pbx.cdr_leg.media_changes IS 'How often its address was learnt; more than once: it moved.';
COMMENT ON COLUMN pbx.cdr_leg.dropped_source IS 'Packets that came from elsewhere and were dropped.';
COMMENT ON COLUMN pbx.cdr_leg.dropped_insecure IS 'Packets dropped because they were not encrypted as agreed, forged or repeated.';
COMMENT ON COLUMN pbx.cdr_leg.icmp_errors IS 'How often the network said that its media can''t be delivered to it.';
COMMENT ON COLUMN pbx.cdr_leg.media_timeout IS 'The call was ended because nothing came from it any more: talking, or held when it was on hold. NULL: not so.';

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

    -- Members that are named as a column are that column; what isn't as it is written is put beside them.
    INSERT INTO pbx.cdr_leg
    SELECT r.*
    FROM jsonb_array_elements(coalesce(doc -> 'legs', '[]')) AS l,
         jsonb_populate_record(NULL::pbx.cdr_leg, l || jsonb_build_object(
             'call', doc -> 'call', 'peer', coalesce(l ->> 'peer', ''), 'number', coalesce(l ->> 'number', ''),
             'started', pbx.time_of_ms((l ->> 'started_ms')::bigint), 'ringing', pbx.time_of_ms((l ->> 'ringing_ms')::bigint),
             'answered', pbx.time_of_ms((l ->> 'answered_ms')::bigint), 'joined', pbx.time_of_ms((l ->> 'joined_ms')::bigint),
             'ended', pbx.time_of_ms(coalesce((l ->> 'ended_ms')::bigint, (doc ->> 'ended_ms')::bigint)),
             'status', nullif((l ->> 'status')::integer, 0), 'cause', nullif((l ->> 'cause')::integer, 0),
             'codec', nullif(l ->> 'codec', ''), 'media_address', nullif(l ->> 'media_address', ''),
             'mos_min_at', pbx.time_of_ms((l ->> 'mos_min_at_ms')::bigint),
             'media_since', pbx.time_of_ms((l ->> 'media_since_ms')::bigint))) AS r
$$;

-- What is -------------------------------------------------------------------------------------------

-- Unlogged: it is rewritten every five seconds, and after a crash there are no calls. Half of each page is free for the next version of
-- its rows.
CREATE UNLOGGED TABLE pbx.live_leg (
    node              text NOT NULL,
    id                bigint NOT NULL,
    call              uuid NOT NULL,
    leg               integer NOT NULL,
    domain            text NOT NULL,
    role              text NOT NULL,
    number            text NOT NULL,
    peer              text NOT NULL,
    answered          timestamptz,
    codec             text,
    packets_sent      bigint NOT NULL,
    packets_received  bigint NOT NULL,
    bytes_sent        bigint NOT NULL,
    bytes_received    bigint NOT NULL,
    lost              bigint NOT NULL,
    remote_lost       bigint NOT NULL,
    jitter_us         bigint NOT NULL,
    remote_jitter_us  bigint NOT NULL,
    rtt_us            bigint NOT NULL,
    heard_ms          bigint NOT NULL,
    concealed_ms      bigint NOT NULL,
    recovered_ms      bigint NOT NULL,
    mos               numeric(3,2),
    mos_min           numeric(3,2),
    remote_mos        numeric(3,2),
    remote_mos_min    numeric(3,2),
    signalled_address text,
    media_address     text,
    media_reason      text,
    media_since       timestamptz,
    media_changes     integer NOT NULL,
    dropped_source    bigint NOT NULL,
    dropped_insecure  bigint NOT NULL,
    icmp_errors       bigint NOT NULL,
    refreshed         timestamptz NOT NULL,
    PRIMARY KEY (node, id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5);
COMMENT ON TABLE pbx.live_leg IS 'Written by servers: see the view pbx.leg.';
COMMENT ON COLUMN pbx.live_leg.node IS 'The server that has the call.';
COMMENT ON COLUMN pbx.live_leg.id IS 'Its name for the leg, also when a transfer brings it to another call.';
COMMENT ON COLUMN pbx.live_leg.call IS 'The call, as in the log and later in pbx.cdr.';
COMMENT ON COLUMN pbx.live_leg.leg IS '1 is the caller''s.';
COMMENT ON COLUMN pbx.live_leg.domain IS 'The domain.';
COMMENT ON COLUMN pbx.live_leg.role IS 'caller or callee.';
COMMENT ON COLUMN pbx.live_leg.number IS 'Its number.';
COMMENT ON COLUMN pbx.live_leg.peer IS 'The extension or trunk.';
COMMENT ON COLUMN pbx.live_leg.answered IS 'When it was answered; NULL: not yet, there is early media.';
COMMENT ON COLUMN pbx.live_leg.codec IS 'Codec of what came last.';
COMMENT ON COLUMN pbx.live_leg.packets_sent IS 'RTP packets sent to it.';
COMMENT ON COLUMN pbx.live_leg.packets_received IS 'RTP packets received from it.';
COMMENT ON COLUMN pbx.live_leg.bytes_sent IS 'Bytes of sound sent to it.';
COMMENT ON COLUMN pbx.live_leg.bytes_received IS 'Bytes of sound that came from it.';
COMMENT ON COLUMN pbx.live_leg.lost IS 'Packets from it that were lost.';
COMMENT ON COLUMN pbx.live_leg.remote_lost IS 'Packets to it that it reported lost.';
COMMENT ON COLUMN pbx.live_leg.jitter_us IS 'Interarrival jitter now (RFC 3550), in microseconds.';
COMMENT ON COLUMN pbx.live_leg.remote_jitter_us IS 'The same of what it receives, by its last report.';
COMMENT ON COLUMN pbx.live_leg.rtt_us IS 'Round-trip time by RTCP, in microseconds; 0: unknown.';
COMMENT ON COLUMN pbx.live_leg.heard_ms IS 'How long Cordboard itself listened to it.';
COMMENT ON COLUMN pbx.live_leg.concealed_ms IS 'Of that, what was made up because it was lost or came too late.';
COMMENT ON COLUMN pbx.live_leg.recovered_ms IS 'Of that, what was lost but said again by the next packet.';
COMMENT ON COLUMN pbx.live_leg.mos IS 'How what came from it in the last five seconds sounded, from 1 to 4.5 (see docs/media-quality.md); NULL: too little came.';
COMMENT ON COLUMN pbx.live_leg.mos_min IS 'The same of the worst five seconds so far.';
COMMENT ON COLUMN pbx.live_leg.remote_mos IS 'How what it was sent sounded there, by its last report; NULL: it made none.';
COMMENT ON COLUMN pbx.live_leg.remote_mos_min IS 'The same of its worst report so far.';
COMMENT ON COLUMN pbx.live_leg.signalled_address IS 'Where it said its media would be (SDP).';
COMMENT ON COLUMN pbx.live_leg.media_address IS 'Where they come from and go to.';
COMMENT ON COLUMN pbx.live_leg.media_reason IS 'Why that address, as in pbx.cdr_leg.';
COMMENT ON COLUMN pbx.live_leg.media_since IS 'Since when.';
COMMENT ON COLUMN pbx.live_leg.media_changes IS 'How often its address was learnt.';
COMMENT ON COLUMN pbx.live_leg.dropped_source IS 'Packets that came from elsewhere and were dropped.';
COMMENT ON COLUMN pbx.live_leg.dropped_insecure IS 'Packets dropped because they were not encrypted as agreed, forged or repeated.';
COMMENT ON COLUMN pbx.live_leg.icmp_errors IS 'How often the network said that its media can''t be delivered to it.';
COMMENT ON COLUMN pbx.live_leg.refreshed IS 'When the server last wrote this row.';

CREATE VIEW pbx.leg AS
SELECT l.call, l.leg, l.domain, l.role, l.number, l.peer, l.node, l.answered, l.codec, l.mos, l.mos_min, l.remote_mos, l.remote_mos_min,
       round(100.0 * l.lost / nullif(l.lost + l.packets_received, 0), 2) AS lost_percent,
       round(100.0 * l.remote_lost / nullif(l.packets_sent, 0), 2) AS remote_lost_percent,
       round(100.0 * l.concealed_ms / nullif(l.heard_ms, 0), 2) AS concealed_percent,
       round(l.jitter_us / 1000.0, 1) AS jitter_ms, round(l.remote_jitter_us / 1000.0, 1) AS remote_jitter_ms,
       round(nullif(l.rtt_us, 0) / 1000.0, 1) AS rtt_ms,
       l.signalled_address, l.media_address, l.media_reason, l.media_since, l.media_changes,
       l.packets_sent, l.packets_received, l.bytes_sent, l.bytes_received, l.dropped_source, l.dropped_insecure, l.icmp_errors, l.refreshed
FROM pbx.live_leg AS l
WHERE l.refreshed > now() - interval '20 seconds';
COMMENT ON VIEW pbx.leg IS 'The legs of calls in progress, with how they sound. A leg appears within ten seconds of its first packet, is refreshed every five seconds, and goes when it ends.';
COMMENT ON COLUMN pbx.leg.lost_percent IS 'Of what it sent, what did not come.';
COMMENT ON COLUMN pbx.leg.remote_lost_percent IS 'Of what it was sent, what it reported lost.';
COMMENT ON COLUMN pbx.leg.concealed_percent IS 'Of what Cordboard heard of it, what was made up; NULL: it is only passed on.';
COMMENT ON COLUMN pbx.leg.jitter_ms IS 'Interarrival jitter now, in milliseconds.';
COMMENT ON COLUMN pbx.leg.remote_jitter_ms IS 'The same at its side, by its last report.';
COMMENT ON COLUMN pbx.leg.rtt_ms IS 'Round-trip time by RTCP, in milliseconds; NULL: unknown.';
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT a.attname, col_description('pbx.live_leg'::regclass, t.attnum) AS says
             FROM pg_attribute AS a JOIN pg_attribute AS t ON t.attrelid = 'pbx.live_leg'::regclass AND t.attname = a.attname
             WHERE a.attrelid = 'pbx.leg'::regclass LOOP
        EXECUTE format('COMMENT ON COLUMN pbx.leg.%I IS %L', c.attname, c.says);
    END LOOP;
END $$;

CREATE VIEW pbx.call_quality AS
SELECT c.call, c.domain, c.started, c.caller, c.dialled, l.leg, l.role, l.number, l.peer, l.codec, l.mos, l.mos_min, l.mos_min_at,
       l.remote_mos, l.remote_mos_min,
       round(100.0 * l.lost / nullif(l.lost + l.packets_received, 0), 2) AS lost_percent,
       round(100.0 * l.remote_lost / nullif(l.packets_sent, 0), 2) AS remote_lost_percent,
       round(100.0 * l.concealed_ms / nullif(l.heard_ms, 0), 2) AS concealed_percent,
       round(l.jitter_us / 1000.0, 1) AS jitter_ms, round(l.max_jitter_us / 1000.0, 1) AS max_jitter_ms,
       round(l.remote_jitter_us / 1000.0, 1) AS remote_jitter_ms, round(nullif(l.rtt_us, 0) / 1000.0, 1) AS rtt_ms,
       l.signalled_address, l.media_address, l.media_reason, l.media_since, l.media_changes, l.dropped_source, l.dropped_insecure,
       l.icmp_errors, l.media_timeout
FROM pbx.cdr AS c JOIN pbx.cdr_leg AS l USING (call)
WHERE l.packets_sent + l.packets_received > 0;
COMMENT ON VIEW pbx.call_quality IS 'How calls that have ended sounded: a row for each leg that had media, in percent and milliseconds.';
COMMENT ON COLUMN pbx.call_quality.lost_percent IS 'Of what it sent, what did not come.';
COMMENT ON COLUMN pbx.call_quality.remote_lost_percent IS 'Of what it was sent, what it reported lost.';
COMMENT ON COLUMN pbx.call_quality.concealed_percent IS 'Of what Cordboard heard of it, what was made up; NULL: it was only passed on.';
COMMENT ON COLUMN pbx.call_quality.jitter_ms IS 'Interarrival jitter at the end, in milliseconds.';
COMMENT ON COLUMN pbx.call_quality.max_jitter_ms IS 'Its highest value.';
COMMENT ON COLUMN pbx.call_quality.remote_jitter_ms IS 'The same at its side, by its last report.';
COMMENT ON COLUMN pbx.call_quality.rtt_ms IS 'Round-trip time by RTCP, in milliseconds; NULL: unknown.';
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT a.attname, coalesce(col_description('pbx.cdr_leg'::regclass, l.attnum), col_description('pbx.cdr'::regclass, d.attnum)) AS says
             FROM pg_attribute AS a
             LEFT JOIN pg_attribute AS l ON l.attrelid = 'pbx.cdr_leg'::regclass AND l.attname = a.attname
             LEFT JOIN pg_attribute AS d ON d.attrelid = 'pbx.cdr'::regclass AND d.attname = a.attname
             WHERE a.attrelid = 'pbx.call_quality'::regclass AND col_description(a.attrelid, a.attnum) IS NULL LOOP
        EXECUTE format('COMMENT ON COLUMN pbx.call_quality.%I IS %L', c.attname, c.says);
    END LOOP;
END $$;

CREATE FUNCTION pbx.live_legs(node text, docs jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.live_leg AS l (node, id, call, leg, domain, role, number, peer, answered, codec, packets_sent, packets_received,
                                   bytes_sent, bytes_received, lost, remote_lost, jitter_us, remote_jitter_us, rtt_us, heard_ms, concealed_ms,
                                   recovered_ms, mos, mos_min, remote_mos, remote_mos_min, signalled_address, media_address, media_reason,
                                   media_since, media_changes, dropped_source, dropped_insecure, icmp_errors, refreshed)
    -- Of what a leg says twice the later holds.
    SELECT DISTINCT ON (d.id) $1, d.id, d.call, d.leg, d.domain, d.role, coalesce(d.number, ''), coalesce(d.peer, ''),
           pbx.time_of_ms(d.answered_ms), d.codec, d.packets_sent, d.packets_received, d.bytes_sent, d.bytes_received, d.lost, d.remote_lost,
           d.jitter_us, d.remote_jitter_us, d.rtt_us, d.heard_ms, d.concealed_ms, d.recovered_ms, d.mos, d.mos_min, d.remote_mos,
           d.remote_mos_min, d.signalled_address, d.media_address, d.media_reason, pbx.time_of_ms(d.media_since_ms), d.media_changes,
           d.dropped_source, d.dropped_insecure, d.icmp_errors, now()
    FROM ROWS FROM (jsonb_to_recordset($2) AS (id bigint, call uuid, leg integer, domain text, role text, number text, peer text,
             answered_ms bigint, codec text, packets_sent bigint, packets_received bigint, bytes_sent bigint, bytes_received bigint,
             lost bigint, remote_lost bigint, jitter_us bigint, remote_jitter_us bigint, rtt_us bigint, heard_ms bigint,
             concealed_ms bigint, recovered_ms bigint, mos numeric, mos_min numeric, remote_mos numeric, remote_mos_min numeric,
             signalled_address text, media_address text, media_reason text, media_since_ms bigint, media_changes integer,
             dropped_source bigint, dropped_insecure bigint, icmp_errors bigint)) WITH ORDINALITY AS d
    WHERE d.call IS NOT NULL
    ORDER BY d.id, d.ordinality DESC
    ON CONFLICT (node, id) DO UPDATE
    SET call = excluded.call, leg = excluded.leg, domain = excluded.domain, role = excluded.role, number = excluded.number,
        peer = excluded.peer, answered = excluded.answered, codec = excluded.codec, packets_sent = excluded.packets_sent,
        packets_received = excluded.packets_received, bytes_sent = excluded.bytes_sent, bytes_received = excluded.bytes_received,
        lost = excluded.lost, remote_lost = excluded.remote_lost, jitter_us = excluded.jitter_us,
        remote_jitter_us = excluded.remote_jitter_us, rtt_us = excluded.rtt_us, heard_ms = excluded.heard_ms,
        concealed_ms = excluded.concealed_ms, recovered_ms = excluded.recovered_ms, mos = excluded.mos, mos_min = excluded.mos_min,
        remote_mos = excluded.remote_mos, remote_mos_min = excluded.remote_mos_min, signalled_address = excluded.signalled_address,
        media_address = excluded.media_address, media_reason = excluded.media_reason, media_since = excluded.media_since,
        media_changes = excluded.media_changes, dropped_source = excluded.dropped_source,
        dropped_insecure = excluded.dropped_insecure, icmp_errors = excluded.icmp_errors, refreshed = excluded.refreshed;

    DELETE FROM pbx.live_leg AS l USING jsonb_to_recordset($2) AS d(id bigint, call uuid)
    WHERE l.node = $1 AND l.id = d.id AND d.call IS NULL
$$;
COMMENT ON FUNCTION pbx.live_legs(text, jsonb) IS 'For servers: what its legs are like now, [{"id", "call", ...}, ...]; without a call: it has ended.';

CREATE OR REPLACE FUNCTION pbx.node_seen(node text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pbx.node AS n SET seen = now() WHERE n.node = $1;
    -- Of calls whose server has vanished.
    DELETE FROM pbx.live_leg AS l WHERE l.refreshed < now() - interval '1 minute';
    PERFORM pbx.state_forget(s.node)
    FROM (SELECT DISTINCT t.node FROM pbx.trunk_state AS t
          WHERE NOT EXISTS (SELECT FROM pbx.node AS n WHERE n.node = t.node AND n.seen > now() - interval '10 minutes')
          ORDER BY t.node) AS s;
END $$;

-- Peers that have gone silent -----------------------------------------------------------------------

ALTER TABLE pbx.domain
    ADD COLUMN media_timeout_s integer
        CONSTRAINT media_timeout_is_0_or_at_least_2_s CHECK (media_timeout_s = 0 OR media_timeout_s BETWEEN 2 AND 86400),
    ADD COLUMN media_hold_timeout_s integer
        CONSTRAINT media_hold_timeout_is_0_or_at_least_2_s CHECK (media_hold_timeout_s = 0 OR media_hold_timeout_s BETWEEN 2 AND 86400);
COMMENT ON COLUMN pbx.domain.media_timeout_s IS 'A call is ended when one who talks has sent neither sound nor a report (RTP, RTCP) for so many seconds: his phone has died without a word. 0: never; NULL: as the server''s configuration says (media.timeout_s).';
COMMENT ON COLUMN pbx.domain.media_hold_timeout_s IS 'The same for one who holds the call, or is held and need not send. Many phones send nothing at all then. 0: never; NULL: as the server''s configuration says (media.hold_timeout_s).';

ALTER TABLE pbx.trunk
    ADD COLUMN media_timeout_s integer
        CONSTRAINT media_timeout_is_0_or_at_least_2_s CHECK (media_timeout_s = 0 OR media_timeout_s BETWEEN 2 AND 86400),
    ADD COLUMN media_hold_timeout_s integer
        CONSTRAINT media_hold_timeout_is_0_or_at_least_2_s CHECK (media_hold_timeout_s = 0 OR media_hold_timeout_s BETWEEN 2 AND 86400);
COMMENT ON COLUMN pbx.trunk.media_timeout_s IS 'As of domain, for calls over this trunk; NULL: as the domain says.';
COMMENT ON COLUMN pbx.trunk.media_hold_timeout_s IS 'As of domain, for calls over this trunk; NULL: as the domain says.';

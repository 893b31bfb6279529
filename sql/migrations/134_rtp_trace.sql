-- RTP and RTCP of calls, by choice, in the capture of pcap(); and what of messages isn't kept.

ALTER TABLE pbx.domain DROP CONSTRAINT capture_is_known;
ALTER TABLE pbx.domain ADD CONSTRAINT capture_is_known CHECK (capture IN ('none', 'failed', 'all', 'rtp'));
COMMENT ON COLUMN pbx.domain.capture IS 'Of which calls SIP messages are kept, for ladder() and pcap(): none (by default: they tell who called whom, and take some 10 KB a call), failed (calls that went wrong: no route, no phone or trunk that could be reached, no answer to what was sent, sound that stopped), all, or rtp: all, and what was said in them, see pbx.rtp_trace. What is under way when it is set is not; pbx.capture() has one such call kept. For how long: pbx.retention, sip_trace. Read by the domain''s administrators, operators and auditors. Keys of SRTP (a=crypto, a=key-mgmt, k=) and responses to digest challenges stand in them as xxx; digits that a phone sends by INFO, PINs among them, as they are.';
COMMENT ON COLUMN pbx.sip_message.bytes IS 'The message, byte for byte but for SRTP keys and digest responses, which are xxx; pbx.sip_text() makes text of it.';
COMMENT ON VIEW pbx.sip_message IS 'The SIP messages of calls that were kept (pbx.domain.capture), as they were on the wire, but for secrets.';

CREATE TABLE pbx.rtp_trace (
    call    uuid NOT NULL,
    leg     integer NOT NULL CHECK (leg > 0),
    domain  text NOT NULL,
    started timestamptz NOT NULL,
    dropped integer NOT NULL DEFAULT 0,
    at_us   integer[] NOT NULL,
    lengths integer[] NOT NULL,
    bytes   bytea COMPRESSION lz4 NOT NULL,
    CONSTRAINT each_has_a_length CHECK (cardinality(at_us) = cardinality(lengths))
) PARTITION BY RANGE (started);
COMMENT ON TABLE pbx.rtp_trace IS 'RTP and RTCP of calls, where pbx.domain.capture is rtp or pbx.capture() asked for it: pbx.pcap() has them. A row is a few seconds of a leg, both ways, and comes while the call goes on; of a leg 8 MB at most. They are kept decrypted, as they are inside SRTP, whose keys aren''t kept: so who may read this table may hear what was said, and see the digits that were pressed. Those are the domain''s administrators, operators and auditors, as for voicemail. For how long: pbx.retention, sip_trace.';
COMMENT ON COLUMN pbx.rtp_trace.call IS 'The call.';
COMMENT ON COLUMN pbx.rtp_trace.leg IS 'Its leg; 1 is the caller''s.';
COMMENT ON COLUMN pbx.rtp_trace.domain IS 'The domain.';
COMMENT ON COLUMN pbx.rtp_trace.started IS 'When the first of these packets came or went.';
COMMENT ON COLUMN pbx.rtp_trace.dropped IS 'How many weren''t kept since the row before, because there are too many.';
COMMENT ON COLUMN pbx.rtp_trace.at_us IS 'When each did: microseconds since started.';
COMMENT ON COLUMN pbx.rtp_trace.lengths IS 'Bytes of each, as it stands in bytes.';
COMMENT ON COLUMN pbx.rtp_trace.bytes IS 'The packets, one behind the other, as records of a capture: with time, and heads of IP and UDP; stored compressed.';
CREATE INDEX rtp_trace_call ON pbx.rtp_trace (call);
COMMENT ON INDEX pbx.rtp_trace_call IS 'The packets of a call.';
CREATE TABLE pbx_part.rtp_trace_other PARTITION OF pbx.rtp_trace DEFAULT;
COMMENT ON TABLE pbx_part.rtp_trace_other IS 'What has no day yet.';
SELECT pbx.partition_make('pbx.rtp_trace', 'day') \g /dev/null
CALL pbx.tenant_table('pbx.rtp_trace');

CREATE FUNCTION pbx.outbox_rtp(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.rtp_trace (call, leg, domain, started, dropped, at_us, lengths, bytes)
    SELECT (doc ->> 'call')::uuid, (doc ->> 'leg')::integer, doc ->> 'domain',
           timestamptz 'epoch' + (doc ->> 'started_us')::bigint * interval '1 microsecond', (doc ->> 'dropped')::integer,
           ARRAY(SELECT e.v::integer FROM jsonb_array_elements_text(doc -> 'at_us') WITH ORDINALITY AS e(v, n) ORDER BY e.n),
           ARRAY(SELECT e.v::integer FROM jsonb_array_elements_text(doc -> 'lengths') WITH ORDINALITY AS e(v, n) ORDER BY e.n),
           decode(doc ->> 'bytes', 'base64')
$$;
COMMENT ON FUNCTION pbx.outbox_rtp(jsonb) IS 'Stores packets of a leg.';

CREATE OR REPLACE FUNCTION pbx.retain_sip_trace(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    late  bigint;
    later bigint;
BEGIN
    PERFORM pbx.partition_make('pbx.sip_trace', 'day');
    PERFORM pbx.partition_make('pbx.rtp_trace', 'day');
    -- What came too late for its day, or by a clock that was wrong.
    DELETE FROM pbx_part.sip_trace_other AS o WHERE o.started < before;
    GET DIAGNOSTICS late = ROW_COUNT;
    DELETE FROM pbx_part.rtp_trace_other AS o WHERE o.started < before;
    GET DIAGNOSTICS later = ROW_COUNT;
    RETURN late + later + pbx.partition_drop('pbx.sip_trace', before) + pbx.partition_drop('pbx.rtp_trace', before);
END $$;
DO $$
BEGIN
    EXECUTE format('COMMENT ON COLUMN pbx.retention.what IS %L', replace(col_description('pbx.retention'::regclass, 1), 'sip_trace: SIP messages of calls,',
                                                                         'sip_trace: SIP messages of calls and their RTP,'));
END $$;

CREATE OR REPLACE FUNCTION pbx.housekeeping() RETURNS TABLE (what text, removed bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- One server at a time; the others have nothing to do then.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pbx.housekeeping', 0)) THEN
        RETURN;
    END IF;
    -- Tables that are cut by time come last: what is locked for them is locked until this is over.
    FOR r IN SELECT t.what, now() - t.keep AS before FROM pbx.retention AS t ORDER BY t.what IN ('cdr', 'event', 'sip_trace', 'why'), t.what LOOP
        what := r.what;
        CASE r.what
        WHEN 'voicemail' THEN DELETE FROM pbx.voicemail WHERE deleted < r.before;
        WHEN 'binding' THEN DELETE FROM pbx.binding WHERE expires < r.before;
        WHEN 'subscription' THEN DELETE FROM pbx.subscription WHERE expires < r.before;
        WHEN 'message' THEN DELETE FROM pbx.message WHERE expires < r.before;
        WHEN 'phone_request' THEN DELETE FROM pbx.phone_request WHERE made < r.before;
        -- The last one stays: it says how far the log has come.
        WHEN 'change' THEN DELETE FROM pbx.change WHERE at < r.before AND seq < (SELECT max(seq) FROM pbx.change);
        WHEN 'outbox_done' THEN DELETE FROM pbx.outbox_done WHERE at < r.before;
        ELSE
            EXECUTE format('SELECT pbx.%I($1)', 'retain_' || r.what) INTO removed USING r.before;
            RETURN NEXT;
            CONTINUE;
        END CASE;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
    -- Also of what is kept for ever.
    PERFORM pbx.partition_make('pbx.event', 'day');
    PERFORM pbx.partition_make('pbx.decision_log', 'day');
    PERFORM pbx.partition_make('pbx.sip_trace', 'day');
    PERFORM pbx.partition_make('pbx.rtp_trace', 'day');
    PERFORM pbx.partition_make('pbx.cdr', 'month');
    PERFORM pbx.partition_make('pbx.cdr_leg', 'month');
END $$;

-- The capture ------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.sdp_in_clear(bytes bytea) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN position('\x00'::bytea IN $1) > 0 THEN $1 ELSE (
        SELECT convert_to(coalesce(regexp_replace(m.clear, '(\n(?:Content-Length|l)[ \t]*:[ \t]*)[0-9]+', '\1' || (m.len - length(m.was) + length(m.clear)), 'i'), m.clear), 'LATIN1')
        FROM (SELECT t.was, regexp_replace(t.was, '(\nm=[a-z]+ [0-9]+ )(?:UDP/TLS/)?RTP/S(AVPF?) ', '\1RTP/\2 ', 'g') AS clear,
                     (regexp_match(t.was, '\n(?:Content-Length|l)[ \t]*:[ \t]*([0-9]{1,6})', 'i'))[1]::integer AS len
              FROM (SELECT convert_from($1, 'LATIN1') AS was) AS t) AS m) END
$$;
COMMENT ON FUNCTION pbx.sdp_in_clear(bytea) IS 'A message whose description says that its RTP isn''t encrypted; its length is told anew.';

DROP FUNCTION pbx.pcap(uuid);
CREATE FUNCTION pbx.pcap(call uuid, rtp boolean DEFAULT true) RETURNS bytea LANGUAGE sql STABLE SET jit = off AS $$
    -- Unpacked once, not for each packet.
    WITH chunk AS MATERIALIZED (SELECT t.leg, t.started, t.at_us, t.lengths, t.bytes || ''::bytea AS bytes FROM pbx.rtp_trace AS t WHERE $2 AND t.call = $1),
    m AS (SELECT s.at, s.source, s.destination, s.transport, row_number() OVER (ORDER BY s.seq, s.leg) AS n,
                 CASE WHEN EXISTS (SELECT FROM chunk) THEN pbx.sdp_in_clear(s.bytes) ELSE s.bytes END AS bytes
          FROM pbx.sip_message AS s WHERE s.call = $1),
    -- Streams are cut as a network would, and counted.
    cut AS (SELECT m.n, m.at, m.source, m.destination, m.transport, c.i, CASE WHEN m.transport = 'udp' THEN m.bytes ELSE substr(m.bytes, c.i + 1, 32768) END AS bytes
            FROM m, LATERAL (SELECT 0 AS i WHERE m.transport = 'udp' UNION ALL
                             SELECT g FROM generate_series(0, greatest(length(m.bytes) - 1, 0), 32768) AS g WHERE m.transport <> 'udp') AS c),
    p AS MATERIALIZED (SELECT cut.n, cut.i, cut.at, pbx.ip_packet(cut.source, cut.destination, cut.transport,
              1 + coalesce((SELECT sum(length(b.bytes)) FROM cut AS b WHERE (b.source, b.destination) = (cut.source, cut.destination) AND (b.n, b.i) < (cut.n, cut.i)), 0)::bigint,
              1 + coalesce((SELECT sum(length(b.bytes)) FROM cut AS b WHERE (b.source, b.destination) = (cut.destination, cut.source) AND (b.n, b.i) < (cut.n, cut.i)), 0)::bigint,
              cut.bytes) AS packet FROM cut),
    -- Messages stay in their order, also when the clock was set back between two.
    all_ AS (SELECT max(p.at) OVER (ORDER BY p.n, p.i) AS at, 0 AS leg, p.n, p.i::bigint,
                    pbx.be32(floor(extract(epoch FROM p.at))::bigint) || pbx.be32((extract(microseconds FROM p.at)::bigint % 1000000))
                    || pbx.be32(length(p.packet)) || pbx.be32(length(p.packet)) || p.packet AS record FROM p
             UNION ALL
             SELECT c.started + u.at * interval '1 microsecond', c.leg, 0, u.n, substr(c.bytes, u.skip + 1, u.len)
             FROM chunk AS c, LATERAL (SELECT e.at, e.len, e.n,
                                              coalesce(sum(e.len) OVER (ORDER BY e.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::integer AS skip
                                       FROM unnest(c.at_us, c.lengths) WITH ORDINALITY AS e(at, len, n)) AS u)
    SELECT '\xa1b2c3d4000200040000000000000000'::bytea || pbx.be32(262144) || pbx.be32(101)
        || coalesce((SELECT string_agg(a.record, ''::bytea ORDER BY a.at, a.leg, a.n, a.i) FROM all_ AS a), '')
$$;
COMMENT ON FUNCTION pbx.pcap(uuid, boolean) IS 'The messages of a call, of all its dialogs, and, unless rtp is false, its RTP and RTCP as far as they were kept, as a capture that Wireshark and other programs read (pcap, packets of IP, in the order of their times). What went over TLS, WebSocket or SRTP stands in it in clear, as over TCP or RTP; where there is RTP, descriptions say RTP/AVP in place of RTP/SAVP, so that Wireshark doesn''t try to decrypt it. Of calls whose messages are kept: see pbx.domain.capture, and pbx.capture() for one in progress. In psql, on Linux: SELECT encode(pbx.pcap(''...''), ''base64'') \g (format=unaligned tuples_only=on) |base64 -d >call.pcap';

-- The command ------------------------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pbx.command_needs_call(command text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT $1 IN ('hangup', 'transfer', 'record', 'capture', 'hold', 'unhold', 'digit', 'play', 'park', 'bridge', 'mute', 'unmute', 'kick')
$$;

CREATE OR REPLACE FUNCTION pbx.command_begin() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a     jsonb := jsonb_strip_nulls(NEW.args);
    other record;
BEGIN
    NEW.args := a;
    NEW.asked_by := session_user;
    NEW.asked := clock_timestamp();
    NEW.node := NULL;
    NEW.run := NULL;
    NEW.state := 'queued';
    NEW.taken := NULL;
    NEW.finished := NULL;
    NEW.cause := NULL;
    NEW.outcome := NULL;

    IF pbx.command_needs_call(NEW.command) THEN
        SELECT c.domain, c.node INTO NEW.domain, NEW.node FROM pbx.command_call(NEW.domain, NULL, NEW.call) AS c;
        IF NEW.leg IS NOT NULL AND NOT EXISTS (SELECT FROM pbx.leg AS l WHERE l.call = NEW.call AND l.leg = NEW.leg) THEN
            PERFORM pbx.command_refuse(format('call %s has no leg %s', NEW.call, NEW.leg), 'pbx.leg has the legs of calls in progress.');
        END IF;
    END IF;
    PERFORM pbx.command_seconds(a, s) FROM unnest('{ring_s,timeout_s}'::text[]) AS s;
    IF NEW.leg IS NULL AND NEW.command IN ('transfer', 'hold', 'unhold', 'digit', 'park', 'bridge') THEN
        PERFORM pbx.command_refuse('it needs a leg: who is meant', 'pbx.leg has the legs of calls in progress.');
    END IF;

    CASE NEW.command
    WHEN 'hangup', 'record', 'capture', 'hold', 'unhold', 'mute', 'unmute', 'kick' THEN
        NULL;
    WHEN 'transfer' THEN
        PERFORM pbx.command_route(NEW.domain, a ->> 'context', a ->> 'number');
    WHEN 'originate' THEN
        IF NOT EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (NEW.domain, a ->> 'extension')) THEN
            PERFORM pbx.command_refuse(format('there is no extension %s/%s', coalesce(NEW.domain, ''), coalesce(a ->> 'extension', '')));
        END IF;
        PERFORM pbx.command_route(NEW.domain, a ->> 'context', a ->> 'number');
        NEW.call := gen_random_uuid();
    WHEN 'digit' THEN
        IF coalesce(a ->> 'digits', '') !~ '^[0-9A-D*#]{1,32}$' THEN
            PERFORM pbx.command_refuse(format('%L are no digits', coalesce(a ->> 'digits', '')), 'One to 32 of 0-9, *, #, A-D.');
        END IF;
    WHEN 'play' THEN
        IF coalesce(a ->> 'phrases', '') = '' OR pbx.prompt_missing(NEW.domain, a ->> 'phrases') IS NOT NULL THEN
            PERFORM pbx.command_refuse(format('there is no phrase %s', coalesce(pbx.prompt_missing(NEW.domain, a ->> 'phrases'), 'to play')),
                                       'pbx.phrase has them.');
        END IF;
    WHEN 'park' THEN
        IF a ->> 'slot' !~ '^[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,62}$' THEN
            PERFORM pbx.command_refuse(format('nobody can be parked under %L', a ->> 'slot'));
        END IF;
    WHEN 'bridge' THEN
        SELECT c.domain, c.node INTO other FROM pbx.command_call(NEW.domain, NULL, (a ->> 'with')::uuid) AS c;
        IF NOT EXISTS (SELECT FROM pbx.leg AS l WHERE l.call = (a ->> 'with')::uuid AND l.leg = (a ->> 'with_leg')::integer) THEN
            PERFORM pbx.command_refuse(format('call %s has no leg %s', a ->> 'with', coalesce(a ->> 'with_leg', 'without number')),
                                       'pbx.leg has the legs of calls in progress.');
        ELSIF other.node <> NEW.node THEN
            PERFORM pbx.command_refuse(format('one call is at %s, the other at %s', NEW.node, other.node));
        END IF;
    WHEN 'message' THEN
        IF NOT EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (NEW.domain, a ->> 'number')) THEN
            PERFORM pbx.command_refuse(format('there is no extension %s/%s', coalesce(NEW.domain, ''), coalesce(a ->> 'number', '')));
        ELSIF coalesce(a ->> 'sender', '') !~ '^[A-Za-z0-9*#+][A-Za-z0-9*#+._-]{0,62}$' THEN
            PERFORM pbx.command_refuse(format('%L is no number that one could answer to', coalesce(a ->> 'sender', '')));
        ELSIF coalesce(a ->> 'text', '') = '' OR octet_length(a ->> 'text') > 8192 THEN
            PERFORM pbx.command_refuse('a text has one byte at least and 8192 at most');
        END IF;
    WHEN 'drain' THEN
        NEW.domain := NULL;
        NEW.node := a ->> 'node';
        IF NEW.node IS NULL OR NEW.node NOT IN (SELECT pbx.live_nodes()) THEN
            PERFORM pbx.command_refuse(format('no server %s runs', coalesce(NEW.node, 'without name')), 'pbx.node has the servers.');
        END IF;
    WHEN 'ban', 'unban' THEN
        NEW.domain := NULL;
        NEW.outcome := CASE NEW.command WHEN 'ban' THEN pbx.command_ban(a) ELSE pbx.command_unban(a) END;
        NEW.state := 'done';
        NEW.finished := clock_timestamp();
    ELSE
        PERFORM pbx.command_refuse(format('there is no command %s', NEW.command));
    END CASE;
    RETURN NEW;
END $$;

CREATE FUNCTION pbx.capture(call uuid, is_on boolean DEFAULT true) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, args) VALUES ('capture', $1, jsonb_build_object('on', $2)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.capture(uuid, boolean) IS 'Command: from now on the SIP messages and the RTP of a call are kept, whatever pbx.domain.capture says, for pbx.pcap(); or, false, its RTP no more. Where it is transferred to is another call. Returns the command''s id.';

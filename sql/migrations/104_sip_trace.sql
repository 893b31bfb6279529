-- What SIP said: the messages of calls, as a ladder to look at and as a capture for Wireshark.

ALTER TABLE pbx.domain ADD COLUMN capture text NOT NULL DEFAULT 'none' CONSTRAINT capture_is_known CHECK (capture IN ('none', 'failed', 'all'));
COMMENT ON COLUMN pbx.domain.capture IS 'Of which calls SIP messages are kept, for ladder() and pcap(): none (by default: they tell who called whom, and take some 10 KB a call), failed (calls that went wrong: no route, no phone or trunk that could be reached, no answer to what was sent, sound that stopped), or all. What is under way when it is set is not. For how long: pbx.retention, sip_trace.';

CREATE TABLE pbx.sip_trace (
    call     uuid NOT NULL,
    leg      integer NOT NULL CHECK (leg > 0),
    domain   text NOT NULL,
    started  timestamptz NOT NULL,
    dropped  integer NOT NULL DEFAULT 0,
    messages jsonb NOT NULL,
    bytes    bytea COMPRESSION lz4 NOT NULL
) PARTITION BY RANGE (started);
COMMENT ON TABLE pbx.sip_trace IS 'The SIP messages of calls, a row for each dialog: see the view pbx.sip_message, and pbx.ladder() and pbx.pcap(). Written some seconds after the end of the call.';
COMMENT ON COLUMN pbx.sip_trace.call IS 'The call.';
COMMENT ON COLUMN pbx.sip_trace.leg IS 'Its leg; 1 is the caller''s.';
COMMENT ON COLUMN pbx.sip_trace.domain IS 'The domain.';
COMMENT ON COLUMN pbx.sip_trace.started IS 'When the first of them came or went.';
COMMENT ON COLUMN pbx.sip_trace.dropped IS 'How many were too many to be kept.';
COMMENT ON COLUMN pbx.sip_trace.messages IS 'In order: [[milliseconds since started, sequence over all calls of the server, sent or received, transport, the peer''s address, ours, length, how many decisions the call had then], ...].';
COMMENT ON COLUMN pbx.sip_trace.bytes IS 'The messages themselves, one behind the other; stored compressed.';
CREATE INDEX sip_trace_call ON pbx.sip_trace (call, leg);
COMMENT ON INDEX pbx.sip_trace_call IS 'The messages of a call.';
CREATE TABLE pbx_part.sip_trace_other PARTITION OF pbx.sip_trace DEFAULT;
COMMENT ON TABLE pbx_part.sip_trace_other IS 'What has no day yet.';
SELECT pbx.partition_make('pbx.sip_trace', 'day') \g /dev/null

CREATE FUNCTION pbx.outbox_trace(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.sip_trace (call, leg, domain, started, dropped, messages, bytes)
    SELECT (doc ->> 'call')::uuid, (doc ->> 'leg')::integer, doc ->> 'domain', pbx.time_of_ms((doc ->> 'started_ms')::bigint),
           coalesce((doc ->> 'dropped')::integer, 0), doc -> 'messages', decode(doc ->> 'bytes', 'base64')
$$;
COMMENT ON FUNCTION pbx.outbox_trace(jsonb) IS 'Stores the messages of a dialog.';

CREATE FUNCTION pbx.retain_sip_trace(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.partition_make('pbx.sip_trace', 'day');
    RETURN pbx.partition_drop('pbx.sip_trace', before);
END $$;
COMMENT ON FUNCTION pbx.retain_sip_trace(timestamptz) IS 'For housekeeping: makes the days ahead, and drops those that are over.';
INSERT INTO pbx.retention VALUES ('sip_trace', '7 days');
DO $$
BEGIN
    EXECUTE format('COMMENT ON COLUMN pbx.retention.what IS %L', rtrim(col_description('pbx.retention'::regclass, 1), '.')
                   || '; sip_trace: SIP messages of calls, by whole days, for ladder() and pcap().');
END $$;

CALL pbx.tenant_table('pbx.sip_trace');

-- Messages as rows -----------------------------------------------------------------------------------

CREATE FUNCTION pbx.sip_text(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT encode($1, 'escape')
$$;
COMMENT ON FUNCTION pbx.sip_text(bytea) IS 'A message as text; what isn''t ASCII as \ooo.';

CREATE FUNCTION pbx.sip_header(bytes bytea, name text, compact text DEFAULT '-') RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT (regexp_match(split_part(pbx.sip_text($1), E'\r\n\r\n', 1), format('\r\n(?:%s|%s)[ \t]*:[ \t]*([^\r\n]*)', $2, $3), 'i'))[1]
$$;
COMMENT ON FUNCTION pbx.sip_header(bytea, text, text) IS 'The first header of that name, or compact name, of a message.';

CREATE FUNCTION pbx.sip_label(bytes bytea) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN line ~* '^SIP/2\.0 ' THEN substr(line, 9) || CASE WHEN upper(method) IN ('INVITE', '') THEN '' ELSE ' (' || method || ')' END
                ELSE split_part(line, ' ', 1) END
           || CASE WHEN pbx.sip_header($1, 'Content-Type', 'c') ILIKE 'application/sdp%' THEN ', SDP' ELSE '' END
    FROM (SELECT split_part(pbx.sip_text(substr($1, 1, 200)), E'\r\n', 1) AS line,
                 coalesce(split_part(pbx.sip_header($1, 'CSeq'), ' ', 2), '') AS method) AS m
$$;
COMMENT ON FUNCTION pbx.sip_label(bytea) IS 'What a message is, in a few words: INVITE, SDP or 200 OK (BYE).';

CREATE VIEW pbx.sip_message WITH (security_invoker) AS
SELECT t.call, t.leg, t.domain, (m.v ->> 1)::bigint AS seq, t.started + (m.v ->> 0)::bigint * interval '1 millisecond' AS at, m.v ->> 2 AS direction,
       m.v ->> 3 AS transport, CASE m.v ->> 2 WHEN 'sent' THEN m.v ->> 5 ELSE m.v ->> 4 END AS source,
       CASE m.v ->> 2 WHEN 'sent' THEN m.v ->> 4 ELSE m.v ->> 5 END AS destination, (m.v ->> 7)::integer AS decided, substr(t.bytes, m.skip + 1, m.len) AS bytes
FROM pbx.sip_trace AS t,
     LATERAL (SELECT e.v, (e.v ->> 6)::integer AS len,
                     coalesce(sum((e.v ->> 6)::integer) OVER (ORDER BY e.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::integer AS skip
              FROM jsonb_array_elements(t.messages) WITH ORDINALITY AS e(v, n)) AS m;
COMMENT ON VIEW pbx.sip_message IS 'The SIP messages of calls that were kept (pbx.domain.capture), as they were on the wire.';
COMMENT ON COLUMN pbx.sip_message.call IS 'The call.';
COMMENT ON COLUMN pbx.sip_message.leg IS 'Its leg.';
COMMENT ON COLUMN pbx.sip_message.domain IS 'The domain.';
COMMENT ON COLUMN pbx.sip_message.seq IS 'The order, over all calls of a server.';
COMMENT ON COLUMN pbx.sip_message.at IS 'When it came or went.';
COMMENT ON COLUMN pbx.sip_message.direction IS 'received or sent, by Cordboard.';
COMMENT ON COLUMN pbx.sip_message.transport IS 'udp, tcp, tls, ws or wss.';
COMMENT ON COLUMN pbx.sip_message.source IS 'From where.';
COMMENT ON COLUMN pbx.sip_message.destination IS 'To where.';
COMMENT ON COLUMN pbx.sip_message.decided IS 'How many decisions (pbx.call_decision) had been made of the call by then.';
COMMENT ON COLUMN pbx.sip_message.bytes IS 'The message, byte for byte; pbx.sip_text() makes text of it.';

-- The ladder -----------------------------------------------------------------------------------------

CREATE FUNCTION pbx.ladder_rows(call uuid, decisions boolean DEFAULT true)
RETURNS TABLE (n bigint, after numeric, leg integer, is_sent boolean, label text, times bigint) LANGUAGE sql STABLE SET jit = off AS $$
    WITH m AS (SELECT s.*, date_trunc('milliseconds', s.at) AS ms FROM pbx.sip_message AS s WHERE s.call = $1),
    -- A message that comes or goes again is the same to the last byte.
    once AS (SELECT m.leg, m.direction, min(m.seq) AS seq, min(m.ms) AS ms, m.bytes, count(*) AS times FROM m GROUP BY m.leg, m.direction, m.bytes),
    -- A decision stands before the first message of which it is known that it came later; what the record says stands at the end.
    y AS (SELECT w.says, w.after, w.n, (SELECT count(*) FROM pbx.call_decision AS c WHERE c.call = $1) AS ndecided
          FROM pbx.why($1) WITH ORDINALITY AS w(after, says, n) WHERE $2 AND w.after IS NOT NULL),
    d AS (SELECT y.says, y.n AS place, date_trunc('milliseconds', (SELECT min(c.at - c.after) FROM pbx.call_decision AS c WHERE c.call = $1) + y.after) AS ms,
                 CASE WHEN y.n <= y.ndecided THEN (SELECT min(m.seq) FROM m WHERE m.decided >= y.n) END AS seq
          FROM y),
    u AS (SELECT once.ms, once.seq, 1000000::bigint AS place, once.leg, once.direction = 'sent' AS is_sent, pbx.sip_label(once.bytes) AS label, once.times FROM once
          UNION ALL SELECT d.ms, d.seq, d.place, NULL, NULL, d.says, 1 FROM d)
    SELECT row_number() OVER (ORDER BY u.seq NULLS LAST, u.place), round(extract(epoch FROM u.ms - min(u.ms) OVER ())::numeric, 3), u.leg, u.is_sent, u.label, u.times
    FROM u ORDER BY 1
$$;
COMMENT ON FUNCTION pbx.ladder_rows(uuid, boolean) IS 'What ladder() draws: messages, what was repeated told once with how often, and, leg NULL, decisions; after: seconds since the first.';

CREATE FUNCTION pbx.ladder_lanes(call uuid) RETURNS TABLE (lane integer, leg integer, name text, address text) LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN l.leg IS NULL THEN 1 WHEN l.n = 1 THEN 0 ELSE l.n::integer END, l.leg, l.name, l.address
    FROM (SELECT row_number() OVER (ORDER BY t.leg) AS n, t.leg,
                 coalesce((SELECT nullif(c.number, '') FROM pbx.cdr_leg AS c WHERE c.call = $1 AND c.leg = t.leg),
                          (SELECT nullif(g.caller, '') FROM pbx.decision_log AS g WHERE g.call = $1 AND t.leg = 1), 'leg ' || t.leg) AS name, t.messages -> 0 ->> 4 AS address
          FROM pbx.sip_trace AS t WHERE t.call = $1
          UNION ALL SELECT 1, NULL, 'Cordboard', NULL) AS l ORDER BY 1
$$;
COMMENT ON FUNCTION pbx.ladder_lanes(uuid) IS 'The lines from top to bottom of a ladder: the caller, Cordboard (leg NULL), and each leg that it made.';

CREATE FUNCTION pbx.ladder(call uuid, decisions boolean DEFAULT true) RETURNS SETOF text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    wide CONSTANT integer := 28;      -- of a column
    left_ CONSTANT integer := 20;     -- where the first lane is
    names text := '';
    addrs text := '';
    lanes text := '';
    line  text;
    label text;
    r     record;
    a     integer;
    b     integer;
BEGIN
    FOR r IN SELECT * FROM pbx.ladder_lanes($1) LOOP
        a := left_ + wide * r.lane;
        names := overlay(rpad(names, a + 16) PLACING rpad(left(r.name, 26), length(left(r.name, 26))) FROM a - length(left(r.name, 26)) / 2 + 1);
        addrs := CASE WHEN r.address IS NULL THEN addrs ELSE overlay(rpad(addrs, a + 16) PLACING r.address FROM a - length(r.address) / 2 + 1) END;
        lanes := rpad(lanes, a) || '|';
    END LOOP;
    IF lanes = '' OR NOT EXISTS (SELECT FROM pbx.sip_trace AS t WHERE t.call = $1) THEN
        RETURN NEXT 'No messages of this call were kept: pbx.domain.capture says of which they are, pbx.retention for how long.';
        RETURN;
    END IF;
    RETURN NEXT rtrim(names);
    RETURN NEXT rtrim(addrs);
    FOR r IN SELECT w.*, l.lane FROM pbx.ladder_rows($1, $2) AS w LEFT JOIN pbx.ladder_lanes($1) AS l ON l.leg = w.leg ORDER BY w.n LOOP
        line := overlay(lanes PLACING lpad(to_char(r.after, 'FM9999990.000'), 9) FROM 1);
        IF r.leg IS NULL THEN
            RETURN NEXT substr(line, 1, 9) || '  * ' || r.label;
            CONTINUE;
        END IF;
        label := r.label || CASE WHEN r.times > 1 THEN ' x' || r.times ELSE '' END;
        a := left_ + wide * least(r.lane, 1) + 2;
        b := left_ + wide * greatest(r.lane, 1);
        label := ' ' || left(label, b - a - 3) || ' ';
        label := repeat('-', (b - a + 1 - length(label)) / 2) || label || repeat('-', (b - a + 2 - length(label)) / 2);
        -- The arrow points away from Cordboard when it sends, and its lane is the left one but for the caller's.
        label := CASE WHEN r.is_sent = (r.lane > 0) THEN left(label, -1) || '>' ELSE '<' || substr(label, 2) END;
        RETURN NEXT rtrim(overlay(line PLACING label FROM a));
    END LOOP;
    FOR r IN SELECT t.leg, t.dropped FROM pbx.sip_trace AS t WHERE t.call = $1 AND t.dropped > 0 ORDER BY t.leg LOOP
        RETURN NEXT format('%s more messages of leg %s were too many to be kept.', r.dropped, r.leg);
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.ladder(uuid, boolean) IS 'The messages of a call as a ladder: all its dialogs, Cordboard between them, with times in seconds, what was repeated told once (x3), and, unless decisions is false, what was decided in between. Of calls whose messages are kept: see pbx.domain.capture.';

CREATE FUNCTION pbx.xml_text(t text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT regexp_replace(replace(replace(replace(replace($1, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '[\x01-\x08\x0b\x0c\x0e-\x1f]', '?', 'g')
$$;
COMMENT ON FUNCTION pbx.xml_text(text) IS 'Text as it stands in XML.';

CREATE FUNCTION pbx.ladder_svg(call uuid, decisions boolean DEFAULT true) RETURNS text LANGUAGE sql STABLE AS $$
    WITH l AS (SELECT *, 110 + 240 * lane AS x FROM pbx.ladder_lanes($1)),
    r AS (SELECT w.*, 60 + 24 * w.n AS y, l.x, l.lane FROM pbx.ladder_rows($1, $2) AS w LEFT JOIN l ON l.leg = w.leg),
    size AS (SELECT (SELECT max(x) FROM l) + 130 AS width, coalesce((SELECT max(y) FROM r), 60) + 30 AS height)
    SELECT format('<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" font-family="sans-serif" font-size="12">', size.width, size.height)
        || '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker></defs>'
        || '<rect width="100%" height="100%" fill="white"/>'
        || (SELECT string_agg(format('<line x1="%1$s" y1="45" x2="%1$s" y2="%2$s" stroke="gray"/><text x="%1$s" y="20" text-anchor="middle" font-weight="bold">%3$s</text>'
                                     '<text x="%1$s" y="36" text-anchor="middle" fill="gray">%4$s</text>', l.x, size.height - 15, pbx.xml_text(l.name), coalesce(pbx.xml_text(l.address), '')), '' ORDER BY l.lane) FROM l)
        || coalesce((SELECT string_agg(format('<text x="8" y="%s" fill="gray">%s</text>', r.y, to_char(r.after, 'FM9999990.000')) ||
                CASE WHEN r.leg IS NULL THEN format('<text x="%s" y="%s" fill="navy" font-style="italic">%s</text>', 120, r.y, pbx.xml_text(r.label))
                ELSE format('<line x1="%1$s" y1="%2$s" x2="%3$s" y2="%2$s" stroke="black" marker-end="url(#tip)"/><text x="%4$s" y="%5$s" text-anchor="middle">%6$s</text>',
                            CASE WHEN r.is_sent THEN 350 ELSE r.x END, r.y, CASE WHEN r.is_sent THEN r.x ELSE 350 END, (350 + r.x) / 2, r.y - 4,
                            pbx.xml_text(r.label || CASE WHEN r.times > 1 THEN ' x' || r.times ELSE '' END)) END, '' ORDER BY r.n) FROM r), '')
        || '</svg>'
    FROM size WHERE size.width IS NOT NULL
$$;
COMMENT ON FUNCTION pbx.ladder_svg(uuid, boolean) IS 'The same as a picture (SVG).';

-- For Wireshark --------------------------------------------------------------------------------------

CREATE FUNCTION pbx.be16(v bigint) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT substr(int8send($1), 7, 2) $$;
COMMENT ON FUNCTION pbx.be16(bigint) IS 'The lowest 16 bits, in network order.';
CREATE FUNCTION pbx.be32(v bigint) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT AS $$ SELECT substr(int8send($1), 5, 4) $$;
COMMENT ON FUNCTION pbx.be32(bigint) IS 'The lowest 32 bits, in network order.';

CREATE FUNCTION pbx.internet_checksum(bytes bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    total bigint := (SELECT coalesce(sum(get_byte($1, i) << CASE WHEN i % 2 = 0 THEN 8 ELSE 0 END), 0) FROM generate_series(0, length($1) - 1) AS i);
BEGIN
    WHILE total > 65535 LOOP
        total := (total & 65535) + (total >> 16);
    END LOOP;
    RETURN pbx.be16(65535 - total);
END $$;
COMMENT ON FUNCTION pbx.internet_checksum(bytea) IS 'RFC 1071.';

CREATE FUNCTION pbx.ip_packet(source text, destination text, transport text, seq bigint, ack bigint, bytes bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    from_ CONSTANT inet := trim(regexp_replace(source, ':\d+$', ''), '[]')::inet;
    to_   CONSTANT inet := trim(regexp_replace(destination, ':\d+$', ''), '[]')::inet;
    ips   CONSTANT bytea := substr(inet_send(from_), 5) || substr(inet_send(to_), 5);
    ports CONSTANT bytea := pbx.be16(substring(source FROM '\d+$')::bigint) || pbx.be16(substring(destination FROM '\d+$')::bigint);
    proto CONSTANT bytea := CASE transport WHEN 'udp' THEN '\x11' ELSE '\x06' END;
    head  bytea;
    sum_  bytea;
    len   integer;
BEGIN
    head := CASE transport WHEN 'udp' THEN ports || pbx.be16(8 + length(bytes)) || '\x0000'
            ELSE ports || pbx.be32(seq) || pbx.be32(ack) || '\x5018ffff00000000' END; -- PSH, ACK
    len := length(head) + length(bytes);
    sum_ := pbx.internet_checksum(ips || '\x00' || proto || pbx.be16(len) || head || bytes);
    IF transport = 'udp' THEN
        head := overlay(head PLACING CASE sum_ WHEN '\x0000' THEN '\xffff' ELSE sum_ END FROM 7);
    ELSE
        head := overlay(head PLACING sum_ FROM 17);
    END IF;
    IF family(from_) = 4 THEN
        RETURN overlay('\x4500'::bytea || pbx.be16(20 + len) || '\x0000400040' || proto || '\x0000' || ips PLACING
                       pbx.internet_checksum('\x4500'::bytea || pbx.be16(20 + len) || '\x0000400040' || proto || '\x0000' || ips) FROM 11) || head || bytes;
    END IF;
    RETURN '\x60000000'::bytea || pbx.be16(len) || proto || '\x40' || ips || head || bytes;
END $$;
COMMENT ON FUNCTION pbx.ip_packet(text, text, text, bigint, bigint, bytea) IS 'A packet (IPv4 or IPv6, UDP or else TCP) that carries these bytes between these addresses.';

CREATE FUNCTION pbx.pcap(call uuid) RETURNS bytea LANGUAGE sql STABLE SET jit = off AS $$
    WITH m AS (SELECT s.*, row_number() OVER (ORDER BY s.seq, s.leg) AS n FROM pbx.sip_message AS s WHERE s.call = $1),
    -- Streams are cut as a network would, and counted.
    cut AS (SELECT m.n, m.at, m.source, m.destination, m.transport, c.i, CASE WHEN m.transport = 'udp' THEN m.bytes ELSE substr(m.bytes, c.i + 1, 32768) END AS bytes
            FROM m, LATERAL (SELECT 0 AS i WHERE m.transport = 'udp' UNION ALL
                             SELECT g FROM generate_series(0, greatest(length(m.bytes) - 1, 0), 32768) AS g WHERE m.transport <> 'udp') AS c),
    p AS MATERIALIZED (SELECT cut.n, cut.i, cut.at, pbx.ip_packet(cut.source, cut.destination, cut.transport,
              1 + coalesce((SELECT sum(length(b.bytes)) FROM cut AS b WHERE (b.source, b.destination) = (cut.source, cut.destination) AND (b.n, b.i) < (cut.n, cut.i)), 0)::bigint,
              1 + coalesce((SELECT sum(length(b.bytes)) FROM cut AS b WHERE (b.source, b.destination) = (cut.destination, cut.source) AND (b.n, b.i) < (cut.n, cut.i)), 0)::bigint,
              cut.bytes) AS packet FROM cut)
    SELECT '\xa1b2c3d4000200040000000000000000'::bytea || pbx.be32(262144) || pbx.be32(101)
        || coalesce((SELECT string_agg(pbx.be32(floor(extract(epoch FROM p.at))::bigint) || pbx.be32((extract(microseconds FROM p.at)::bigint % 1000000))
                                       || pbx.be32(length(p.packet)) || pbx.be32(length(p.packet)) || p.packet, ''::bytea ORDER BY p.n, p.i) FROM p), '')
$$;
COMMENT ON FUNCTION pbx.pcap(uuid) IS 'The messages of a call, of all its dialogs, as a capture that Wireshark and other programs read (pcap, packets of IP). What went over TLS or WebSocket stands in it in clear, as over TCP. Of calls whose messages are kept: see pbx.domain.capture. In psql: \copy (SELECT encode(pbx.pcap(...), ''hex'')) TO PROGRAM ''xxd -r -p >call.pcap''.';

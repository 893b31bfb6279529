-- What is: the calls in progress and their legs, from their beginning on, true within a quarter of a second.

-- Unlogged: after a crash of the database the servers write all of it anew.
CREATE UNLOGGED TABLE pbx.live_call (
    node        text NOT NULL,
    call        uuid NOT NULL,
    domain      text NOT NULL,
    caller      text NOT NULL,
    caller_name text NOT NULL,
    trunk       text,
    dialled     text NOT NULL,
    context     text NOT NULL,
    route       text,
    app         text,
    started     timestamptz NOT NULL,
    answered    timestamptz,
    PRIMARY KEY (call)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.5);
COMMENT ON TABLE pbx.live_call IS 'Written by servers: see the view pbx.call.';
COMMENT ON COLUMN pbx.live_call.node IS 'The server that has the call.';
COMMENT ON COLUMN pbx.live_call.call IS 'The call, as in the log and later in pbx.cdr.';
COMMENT ON COLUMN pbx.live_call.domain IS 'The domain.';
COMMENT ON COLUMN pbx.live_call.caller IS 'Number of who calls.';
COMMENT ON COLUMN pbx.live_call.caller_name IS 'His name.';
COMMENT ON COLUMN pbx.live_call.trunk IS 'The trunk by which he came; NULL: an extension calls.';
COMMENT ON COLUMN pbx.live_call.dialled IS 'What was dialled.';
COMMENT ON COLUMN pbx.live_call.context IS 'Context of the route, or in which one was looked for.';
COMMENT ON COLUMN pbx.live_call.route IS 'Pattern of the route that it runs.';
COMMENT ON COLUMN pbx.live_call.app IS 'Application of the step that runs.';
COMMENT ON COLUMN pbx.live_call.started IS 'When it began.';
COMMENT ON COLUMN pbx.live_call.answered IS 'When somebody, or an application, answered; NULL: not yet.';

-- A leg has a row before it has media.
ALTER TABLE pbx.live_leg
    ADD COLUMN state text NOT NULL DEFAULT 'answered',
    ADD COLUMN held boolean NOT NULL DEFAULT false,
    ADD COLUMN partner integer,
    ADD COLUMN started timestamptz,
    ADD COLUMN ringing timestamptz;
COMMENT ON COLUMN pbx.live_leg.state IS 'trying: its phone has said nothing yet; ringing; answered.';
COMMENT ON COLUMN pbx.live_leg.held IS 'Its phone holds the call.';
COMMENT ON COLUMN pbx.live_leg.partner IS 'The leg of the same call that it talks with; NULL: nobody, or an application.';
COMMENT ON COLUMN pbx.live_leg.started IS 'When it was made.';
COMMENT ON COLUMN pbx.live_leg.ringing IS 'When it began to ring.';
CREATE INDEX live_leg_call ON pbx.live_leg (call);
COMMENT ON INDEX pbx.live_leg_call IS 'The legs of a call.';

-- Servers say every five seconds that they live.
CREATE FUNCTION pbx.live_nodes() RETURNS SETOF text LANGUAGE sql STABLE ROWS 5 AS $$
    SELECT node FROM pbx.node WHERE seen > now() - interval '20 seconds'
$$;
COMMENT ON FUNCTION pbx.live_nodes() IS 'The servers that run.';

CREATE VIEW pbx.call AS
SELECT c.call, c.domain, c.caller, c.caller_name, c.trunk, c.dialled, c.context, c.route, c.app, c.node, c.started, c.answered,
       now() - c.started AS lasts
FROM pbx.live_call AS c
WHERE c.node IN (SELECT pbx.live_nodes());
COMMENT ON VIEW pbx.call IS 'The calls in progress, within a quarter of a second. One that is over sooner than that may never be seen here; pbx.cdr has all that have ended.';
COMMENT ON COLUMN pbx.call.lasts IS 'For how long it has been going on.';

DROP VIEW pbx.leg;
CREATE VIEW pbx.leg AS
SELECT l.call, l.leg, l.domain, l.role, l.number, l.peer, l.state, l.held, l.partner, l.node, l.started, l.ringing, l.answered, l.codec,
       l.mos, l.mos_min, l.remote_mos, l.remote_mos_min,
       round(100.0 * l.lost / nullif(l.lost + l.packets_received, 0), 2) AS lost_percent,
       round(100.0 * l.remote_lost / nullif(l.packets_sent, 0), 2) AS remote_lost_percent,
       round(100.0 * l.concealed_ms / nullif(l.heard_ms, 0), 2) AS concealed_percent,
       round(l.jitter_us / 1000.0, 1) AS jitter_ms, round(l.remote_jitter_us / 1000.0, 1) AS remote_jitter_ms,
       round(nullif(l.rtt_us, 0) / 1000.0, 1) AS rtt_ms,
       l.signalled_address, l.media_address, l.media_reason, l.media_since, l.media_changes,
       l.packets_sent, l.packets_received, l.bytes_sent, l.bytes_received, l.dropped_source, l.dropped_insecure, l.icmp_errors, l.refreshed
FROM pbx.live_leg AS l
WHERE l.node IN (SELECT pbx.live_nodes());
COMMENT ON VIEW pbx.leg IS 'The legs of calls in progress, within a quarter of a second; how they sound is refreshed every five seconds while there is sound.';
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
    FOR c IN SELECT v.oid::regclass AS view, a.attname, col_description(w.oid, t.attnum) AS says
             FROM (VALUES ('pbx.leg'::regclass, 'pbx.live_leg'::regclass), ('pbx.call'::regclass, 'pbx.live_call'::regclass)) AS v(oid, source)
             JOIN pg_class AS w ON w.oid = v.source
             JOIN pg_attribute AS a ON a.attrelid = v.oid
             JOIN pg_attribute AS t ON t.attrelid = w.oid AND t.attname = a.attname
             WHERE col_description(v.oid, a.attnum) IS NULL LOOP
        EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', c.view, c.attname, c.says);
    END LOOP;
END $$;

DROP FUNCTION pbx.live_legs(text, jsonb);
CREATE FUNCTION pbx.live_write(node text, is_all boolean, calls jsonb, legs jsonb, gone_legs bigint[], gone_calls uuid[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pbx.live_call AS c WHERE c.node = $1 AND ($2 OR c.call = ANY ($6));
    DELETE FROM pbx.live_leg AS l WHERE l.node = $1 AND ($2 OR l.id = ANY ($5));

    INSERT INTO pbx.live_call AS c (node, call, domain, caller, caller_name, trunk, dialled, context, route, app, started, answered)
    SELECT $1, d.call, d.domain, coalesce(d.caller, ''), coalesce(d.caller_name, ''), d.trunk, coalesce(d.dialled, ''),
           coalesce(d.context, ''), d.route, d.app, pbx.time_of_ms(d.started_ms), pbx.time_of_ms(d.answered_ms)
    FROM jsonb_to_recordset($3) AS d(call uuid, domain text, caller text, caller_name text, trunk text, dialled text, context text,
                                     route text, app text, started_ms bigint, answered_ms bigint)
    ON CONFLICT (call) DO UPDATE
    SET node = excluded.node, caller = excluded.caller, caller_name = excluded.caller_name, dialled = excluded.dialled,
        context = excluded.context, route = excluded.route, app = excluded.app, answered = excluded.answered;

    INSERT INTO pbx.live_leg AS l (node, id, call, leg, domain, role, number, peer, state, held, partner, started, ringing, answered, codec,
                                   packets_sent, packets_received, bytes_sent, bytes_received, lost, remote_lost, jitter_us,
                                   remote_jitter_us, rtt_us, heard_ms, concealed_ms, recovered_ms, mos, mos_min, remote_mos, remote_mos_min,
                                   signalled_address, media_address, media_reason, media_since, media_changes, dropped_source,
                                   dropped_insecure, icmp_errors, refreshed)
    SELECT $1, d.id, d.call, d.leg, d.domain, d.role, coalesce(d.number, ''), coalesce(d.peer, ''), d.state, coalesce(d.held, 0) <> 0, d.partner,
           pbx.time_of_ms(d.started_ms), pbx.time_of_ms(d.ringing_ms), pbx.time_of_ms(d.answered_ms), d.codec,
           coalesce(d.packets_sent, 0), coalesce(d.packets_received, 0), coalesce(d.bytes_sent, 0), coalesce(d.bytes_received, 0),
           coalesce(d.lost, 0), coalesce(d.remote_lost, 0), coalesce(d.jitter_us, 0), coalesce(d.remote_jitter_us, 0), coalesce(d.rtt_us, 0),
           coalesce(d.heard_ms, 0), coalesce(d.concealed_ms, 0), coalesce(d.recovered_ms, 0), d.mos, d.mos_min, d.remote_mos, d.remote_mos_min,
           d.signalled_address, d.media_address, d.media_reason, pbx.time_of_ms(d.media_since_ms), coalesce(d.media_changes, 0),
           coalesce(d.dropped_source, 0), coalesce(d.dropped_insecure, 0), coalesce(d.icmp_errors, 0), now()
    FROM jsonb_to_recordset($4) AS d(id bigint, call uuid, leg integer, domain text, role text, number text, peer text, state text, held integer,
             partner integer, started_ms bigint, ringing_ms bigint, answered_ms bigint, codec text, packets_sent bigint,
             packets_received bigint, bytes_sent bigint, bytes_received bigint, lost bigint, remote_lost bigint, jitter_us bigint,
             remote_jitter_us bigint, rtt_us bigint, heard_ms bigint, concealed_ms bigint, recovered_ms bigint, mos numeric, mos_min numeric,
             remote_mos numeric, remote_mos_min numeric, signalled_address text, media_address text, media_reason text, media_since_ms bigint,
             media_changes integer, dropped_source bigint, dropped_insecure bigint, icmp_errors bigint)
    ON CONFLICT (node, id) DO UPDATE
    SET call = excluded.call, leg = excluded.leg, domain = excluded.domain, role = excluded.role, number = excluded.number,
        peer = excluded.peer, state = excluded.state, held = excluded.held, partner = excluded.partner, started = excluded.started,
        ringing = excluded.ringing, answered = excluded.answered, codec = excluded.codec, packets_sent = excluded.packets_sent,
        packets_received = excluded.packets_received, bytes_sent = excluded.bytes_sent, bytes_received = excluded.bytes_received,
        lost = excluded.lost, remote_lost = excluded.remote_lost, jitter_us = excluded.jitter_us,
        remote_jitter_us = excluded.remote_jitter_us, rtt_us = excluded.rtt_us, heard_ms = excluded.heard_ms,
        concealed_ms = excluded.concealed_ms, recovered_ms = excluded.recovered_ms, mos = excluded.mos, mos_min = excluded.mos_min,
        remote_mos = excluded.remote_mos, remote_mos_min = excluded.remote_mos_min, signalled_address = excluded.signalled_address,
        media_address = excluded.media_address, media_reason = excluded.media_reason, media_since = excluded.media_since,
        media_changes = excluded.media_changes, dropped_source = excluded.dropped_source,
        dropped_insecure = excluded.dropped_insecure, icmp_errors = excluded.icmp_errors, refreshed = excluded.refreshed;
$$;
COMMENT ON FUNCTION pbx.live_write(text, boolean, jsonb, jsonb, bigint[], uuid[]) IS 'For servers: what has changed of its calls, [{"call", ...}, ...], and legs, [{"id", "call", ...}, ...], and which have ended; is_all: there are no others.';

CREATE FUNCTION pbx.live_forget(node text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pbx.live_call AS c WHERE c.node = $1;
    DELETE FROM pbx.live_leg AS l WHERE l.node = $1;
$$;
COMMENT ON FUNCTION pbx.live_forget(text) IS 'For servers: one of this name has no calls.';

CREATE OR REPLACE FUNCTION pbx.node_seen(node text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pbx.node AS n SET seen = now() WHERE n.node = $1;
    -- Of calls whose server has vanished.
    DELETE FROM pbx.live_call AS c WHERE c.node NOT IN (SELECT pbx.live_nodes());
    DELETE FROM pbx.live_leg AS l WHERE l.node NOT IN (SELECT pbx.live_nodes());
    PERFORM pbx.state_forget(s.node)
    FROM (SELECT DISTINCT t.node FROM pbx.trunk_state AS t
          WHERE NOT EXISTS (SELECT FROM pbx.node AS n WHERE n.node = t.node AND n.seen > now() - interval '10 minutes')
          ORDER BY t.node) AS s;
END $$;
COMMENT ON FUNCTION pbx.node_seen(text) IS 'For servers: this one lives, said every five seconds. What those saw that have said nothing for ten minutes is forgotten.';

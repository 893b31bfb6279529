-- Records of calls by month, and what was missing in them: when it rang, what the caller was told, by which version of the dialplan.

-- What there was goes into the new tables; those of before stand beside them meanwhile.
DROP VIEW pbx.call_quality;
ALTER TABLE pbx.cdr_leg SET SCHEMA pbx_part;
ALTER TABLE pbx.cdr SET SCHEMA pbx_part;
ALTER TABLE pbx_part.cdr_leg RENAME TO cdr_leg_before;
ALTER TABLE pbx_part.cdr RENAME TO cdr_before;

CREATE TABLE pbx.cdr (
    LIKE pbx_part.cdr_before INCLUDING COMMENTS INCLUDING CONSTRAINTS INCLUDING DEFAULTS,
    ringing timestamptz,
    status  integer,
    reason  text,
    version bigint,
    PRIMARY KEY (call, ended)
) PARTITION BY RANGE (ended);
COMMENT ON TABLE pbx.cdr IS 'Calls that have ended, one row each. Kept when their domain is deleted. A month of them is a table (pbx_part).';
COMMENT ON COLUMN pbx.cdr.ringing IS 'When the first phone or trunk that was called rang; NULL: none did.';
COMMENT ON COLUMN pbx.cdr.status IS 'Final SIP status that the caller was told: 200, he was answered.';
COMMENT ON COLUMN pbx.cdr.reason IS 'Why, as he was told it (Reason, RFC 3326), unless he was answered; NULL: nothing but the status.';
COMMENT ON COLUMN pbx.cdr.version IS 'Up to which change (pbx.change.seq) the dialplan was known when the route was chosen; NULL: there was no route.';
CREATE INDEX cdr_started ON pbx.cdr (started);
COMMENT ON INDEX pbx.cdr_started IS 'Calls of a time.';
CREATE INDEX cdr_domain ON pbx.cdr (domain, started);
COMMENT ON INDEX pbx.cdr_domain IS 'Calls of a domain and time.';
CREATE INDEX cdr_caller ON pbx.cdr (domain, caller, started);
COMMENT ON INDEX pbx.cdr_caller IS 'Calls that somebody made.';
CREATE INDEX cdr_dialled ON pbx.cdr (domain, dialled, started);
COMMENT ON INDEX pbx.cdr_dialled IS 'Calls of a number.';
CREATE INDEX cdr_session_id ON pbx.cdr (session_id);
COMMENT ON INDEX pbx.cdr_session_id IS 'Records of a session.';
CREATE INDEX cdr_lasted ON pbx.cdr USING gist (tstzrange(least(started, ended), ended, '[]'));
COMMENT ON INDEX pbx.cdr_lasted IS 'Calls that were going on at a moment.';

CREATE TABLE pbx.cdr_leg (
    LIKE pbx_part.cdr_leg_before INCLUDING COMMENTS INCLUDING CONSTRAINTS INCLUDING DEFAULTS,
    hangup_by  text CHECK (hangup_by IN ('peer', 'us')),
    reason     text,
    call_ended timestamptz NOT NULL,
    PRIMARY KEY (call, leg, call_ended)
) PARTITION BY RANGE (call_ended);
COMMENT ON TABLE pbx.cdr_leg IS 'The legs of a call: the caller''s, and one for each phone or trunk that was tried. They go when their call goes. A month of them is a table (pbx_part).';
COMMENT ON COLUMN pbx.cdr_leg.hangup_by IS 'Who ended it: peer, its phone or trunk, which hung up, refused or cancelled; us, Cordboard, because the other side did or for a reason of its own. NULL: it went to another call.';
COMMENT ON COLUMN pbx.cdr_leg.reason IS 'Why, as the peer told it (Reason, RFC 3326); NULL: it didn''t.';
COMMENT ON COLUMN pbx.cdr_leg.call_ended IS 'pbx.cdr.ended of its call.';
CREATE INDEX cdr_leg_number ON pbx.cdr_leg (number, started);
COMMENT ON INDEX pbx.cdr_leg_number IS 'Calls that a number was part of.';

CREATE TABLE pbx_part.cdr_other PARTITION OF pbx.cdr DEFAULT;
COMMENT ON TABLE pbx_part.cdr_other IS 'What has no month yet.';
CREATE TABLE pbx_part.cdr_leg_other PARTITION OF pbx.cdr_leg DEFAULT;
COMMENT ON TABLE pbx_part.cdr_leg_other IS 'What has no month yet.';
-- A wrong clock makes no hundreds of months.
SELECT pbx.partition_make(t.tab, 'month', greatest(coalesce((SELECT min(c.ended) FROM pbx_part.cdr_before AS c), now()), now() - interval '10 years'))
FROM (VALUES ('pbx.cdr'::regclass), ('pbx.cdr_leg')) AS t(tab) \g /dev/null

INSERT INTO pbx.cdr
SELECT c.*, l.ringing, CASE WHEN c.answered IS NOT NULL THEN 200 ELSE l.status END
FROM pbx_part.cdr_before AS c LEFT JOIN LATERAL (
    SELECT min(x.ringing) FILTER (WHERE x.role = 'callee') AS ringing, max(x.status) FILTER (WHERE x.leg = 1) AS status
    FROM pbx_part.cdr_leg_before AS x WHERE x.call = c.call) AS l ON true;
INSERT INTO pbx.cdr_leg
SELECT l.*, NULL, NULL, c.ended FROM pbx_part.cdr_leg_before AS l JOIN pbx_part.cdr_before AS c USING (call);
DROP TABLE pbx_part.cdr_leg_before, pbx_part.cdr_before;

CREATE FUNCTION pbx.cdr_leg_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM pbx.cdr_leg AS l USING old_rows AS o WHERE l.call = o.call AND l.call_ended = o.ended;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.cdr_leg_forget() IS 'Trigger: the legs of a record go with it. A foreign key would have months dropped in vain.';
CREATE TRIGGER legs_go AFTER DELETE ON pbx.cdr REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION pbx.cdr_leg_forget();
CREATE TRIGGER event_insert AFTER INSERT ON pbx.cdr REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pbx.event_of_cdr();

CREATE OR REPLACE FUNCTION pbx.outbox_cdr(doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    -- Members that are named as a column are that column; what isn't as it is written is put beside them.
    INSERT INTO pbx.cdr
    SELECT r.*
    FROM jsonb_populate_record(NULL::pbx.cdr, doc || jsonb_build_object(
             'caller', coalesce(doc ->> 'caller', ''), 'caller_name', coalesce(doc ->> 'caller_name', ''), 'dialled', coalesce(doc ->> 'dialled', ''),
             'context', coalesce(doc ->> 'context', ''), 'route', coalesce(doc ->> 'route', ''), 'status', (doc ->> 'told_status')::integer,
             'started', pbx.time_of_ms((doc ->> 'started_ms')::bigint), 'ringing', pbx.time_of_ms((doc ->> 'ringing_ms')::bigint),
             'answered', pbx.time_of_ms((doc ->> 'answered_ms')::bigint), 'ended', pbx.time_of_ms((doc ->> 'ended_ms')::bigint),
             -- A clock that was set back must not cost the record.
             'duration_ms', greatest(coalesce((doc ->> 'duration_ms')::bigint, (doc ->> 'ended_ms')::bigint - (doc ->> 'started_ms')::bigint), 0),
             'talk_ms', greatest(coalesce((doc ->> 'talk_ms')::bigint, (doc ->> 'ended_ms')::bigint - (doc ->> 'answered_ms')::bigint), 0))) AS r;

    INSERT INTO pbx.cdr_leg
    SELECT r.*
    FROM jsonb_array_elements(coalesce(doc -> 'legs', '[]')) AS l,
         jsonb_populate_record(NULL::pbx.cdr_leg, l || jsonb_build_object(
             'call', doc -> 'call', 'call_ended', pbx.time_of_ms((doc ->> 'ended_ms')::bigint),
             'peer', coalesce(l ->> 'peer', ''), 'number', coalesce(l ->> 'number', ''),
             'started', pbx.time_of_ms((l ->> 'started_ms')::bigint), 'ringing', pbx.time_of_ms((l ->> 'ringing_ms')::bigint),
             'answered', pbx.time_of_ms((l ->> 'answered_ms')::bigint), 'joined', pbx.time_of_ms((l ->> 'joined_ms')::bigint),
             'ended', pbx.time_of_ms(coalesce((l ->> 'ended_ms')::bigint, (doc ->> 'ended_ms')::bigint)),
             'status', nullif((l ->> 'status')::integer, 0), 'cause', nullif((l ->> 'cause')::integer, 0),
             'codec', nullif(l ->> 'codec', ''), 'media_address', nullif(l ->> 'media_address', ''),
             'mos_min_at', pbx.time_of_ms((l ->> 'mos_min_at_ms')::bigint),
             'media_since', pbx.time_of_ms((l ->> 'media_since_ms')::bigint))) AS r;
END $$;

CREATE FUNCTION pbx.retain_cdr(before timestamptz) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
    n       bigint;
BEGIN
    removed := pbx.partition_drop('pbx.cdr', before);
    PERFORM pbx.partition_drop('pbx.cdr_leg', before);
    -- Of the month that isn't over yet.
    DELETE FROM pbx.cdr AS c WHERE c.ended < before;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN removed + n;
END $$;
COMMENT ON FUNCTION pbx.retain_cdr(timestamptz) IS 'For housekeeping: removes records of calls that ended before a time, months that are over as a whole.';

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
FROM pbx.cdr AS c JOIN pbx.cdr_leg AS l ON (l.call, l.call_ended) = (c.call, c.ended)
WHERE l.packets_sent + l.packets_received > 0;
COMMENT ON VIEW pbx.call_quality IS 'How calls that have ended sounded: a row for each leg that had media, in percent and milliseconds.';
COMMENT ON COLUMN pbx.call_quality.lost_percent IS 'Of what it sent, what did not come.';
COMMENT ON COLUMN pbx.call_quality.remote_lost_percent IS 'Of what it was sent, what it reported lost.';
COMMENT ON COLUMN pbx.call_quality.concealed_percent IS 'Of what Cordboard heard of it, what was made up; NULL: it was only passed on.';
COMMENT ON COLUMN pbx.call_quality.jitter_ms IS 'Interarrival jitter at the end, in milliseconds.';
COMMENT ON COLUMN pbx.call_quality.max_jitter_ms IS 'Its highest value.';
COMMENT ON COLUMN pbx.call_quality.remote_jitter_ms IS 'The same at its side, by its last report.';
COMMENT ON COLUMN pbx.call_quality.rtt_ms IS 'Round-trip time by RTCP, in milliseconds; NULL: unknown.';

-- Calls that were refused at once have no record, as nothing happened in them that anybody could be billed for.
INSERT INTO pbx.event_kind (kind, meaning)
VALUES ('call.refused', 'A call was refused at once, for a wrong password or a limit, say: caller, dialled, status, source. Why: pbx.why().');
CREATE FUNCTION pbx.event_of_refusal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pbx.event_write('call.refused', nullif(NEW.domain, ''), NEW.call, jsonb_build_object('caller', NEW.caller, 'dialled', NEW.dialled, 'status', NEW.status,
            'source', NEW.source), NEW.started);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.event_of_refusal() IS 'Trigger: events of calls that were refused at once.';
CREATE TRIGGER event_insert AFTER INSERT ON pbx.decision_log FOR EACH ROW WHEN (NEW.status IS NOT NULL) EXECUTE FUNCTION pbx.event_of_refusal();

-- Who was on the line --------------------------------------------------------------------------------

CREATE FUNCTION pbx.call_at(at timestamptz) RETURNS TABLE (call uuid, domain text, caller text, dialled text, started timestamptz, ended timestamptz, leg integer,
    role text, number text, peer text, state text, held boolean, codec text) LANGUAGE sql STABLE AS $$
    WITH legs AS (
        SELECT c.call, c.domain, c.caller, c.dialled, c.started, c.ended, l.leg, l.role, l.number, l.peer, l.ringing, l.answered, l.codec
        FROM pbx.cdr AS c JOIN pbx.cdr_leg AS l ON (l.call, l.call_ended) = (c.call, c.ended)
        WHERE tstzrange(least(c.started, c.ended), c.ended, '[]') @> $1 AND c.ended >= $1
          AND coalesce(l.joined, l.started) <= $1 AND l.ended > $1
        UNION ALL
        SELECT c.call, c.domain, c.caller, c.dialled, c.started, NULL, l.leg, l.role, l.number, l.peer, l.ringing, l.answered, l.codec
        FROM pbx.call AS c JOIN pbx.leg AS l USING (call)
        WHERE c.started <= $1 AND l.started <= $1 AND $1 <= now() AND NOT EXISTS (SELECT FROM pbx.cdr AS o WHERE o.call = c.call))
    SELECT l.call, l.domain, l.caller, l.dialled, l.started, l.ended, l.leg, l.role, l.number, l.peer,
           CASE WHEN l.answered <= $1 THEN 'answered' WHEN l.ringing <= $1 THEN 'ringing' ELSE 'trying' END,
           coalesce((SELECT e.kind = 'leg.held' FROM pbx.event AS e
                     WHERE e.call = l.call AND e.kind IN ('leg.held', 'leg.resumed') AND e.data -> 'leg' = to_jsonb(l.leg) AND e.at <= $1
                     ORDER BY e.id DESC LIMIT 1), false), l.codec
    FROM legs AS l ORDER BY l.started, l.call, l.leg
$$;
COMMENT ON FUNCTION pbx.call_at(timestamptz) IS 'Who was on the line at a moment: each leg of each call that was going on then, with the state it was in. ended is NULL for calls that still go on. What moved to another call is there. Whether it was held is known as far back as pbx.event.';

CREATE INDEX event_registration ON pbx.event (at) WHERE kind IN ('registration.gained', 'registration.lost');
COMMENT ON INDEX pbx.event_registration IS 'Which phones were registered at a moment.';

CREATE FUNCTION pbx.binding_at(at timestamptz) RETURNS TABLE (domain text, number text, contact text, address text, user_agent text, node text, registered timestamptz)
LANGUAGE sql STABLE AS $$
    WITH told AS (
        SELECT DISTINCT ON (e.domain, e.data ->> 'number', e.data ->> 'contact') e.domain, e.kind, e.data, e.at
        FROM pbx.event AS e WHERE e.kind IN ('registration.gained', 'registration.lost') AND e.at <= $1
        ORDER BY e.domain, e.data ->> 'number', e.data ->> 'contact', e.at DESC, e.id DESC)
    SELECT t.domain, t.data ->> 'number', t.data ->> 'contact', t.data ->> 'address', t.data ->> 'user_agent', t.data ->> 'node', t.at
    FROM told AS t WHERE t.kind = 'registration.gained'
    UNION ALL
    -- Registered before what events tell.
    SELECT b.domain, b.number, b.contact, b.address, b.user_agent, b.node, b.registered
    FROM pbx.binding AS b
    WHERE b.registered <= $1 AND b.expires > $1
      AND NOT EXISTS (SELECT FROM told AS t WHERE (t.domain, t.data ->> 'number', t.data ->> 'contact') = (b.domain, b.number, b.contact))
    ORDER BY 1, 2, 3
$$;
COMMENT ON FUNCTION pbx.binding_at(timestamptz) IS 'Which phones were registered at a moment, as far back as pbx.event; of those that are still registered, further.';

-- What is, at a glance -------------------------------------------------------------------------------

CREATE VIEW pbx.node_status AS
SELECT n.node, CASE WHEN n.node IN (SELECT pbx.live_nodes()) THEN 'up' ELSE 'down' END AS state, coalesce(n.stop_reason, CASE WHEN n.node NOT IN (SELECT pbx.live_nodes()) THEN 'vanished' END) AS reason,
       n.version, n.started, n.seen, n.stopped,
       (SELECT count(*) FROM pbx.live_call AS c WHERE c.node = n.node) AS calls,
       (SELECT count(*) FROM pbx.live_leg AS l WHERE l.node = n.node) AS legs,
       (SELECT count(*) FROM pbx.binding AS b WHERE b.node = n.node AND b.expires > now()) AS bindings,
       (SELECT count(*) FROM pbx.subscription AS s WHERE s.node = n.node AND s.expires > now()) AS subscriptions
FROM pbx.node AS n;
COMMENT ON VIEW pbx.node_status IS 'The servers, whether they run, and what each has in hand.';
COMMENT ON COLUMN pbx.node_status.node IS 'Its name.';
COMMENT ON COLUMN pbx.node_status.state IS 'up or down.';
COMMENT ON COLUMN pbx.node_status.reason IS 'Why it is down: stopped, it said so; vanished, nothing has been heard of it for 20 seconds.';
COMMENT ON COLUMN pbx.node_status.version IS 'Which version of Cordboard it runs.';
COMMENT ON COLUMN pbx.node_status.started IS 'When it started.';
COMMENT ON COLUMN pbx.node_status.seen IS 'When it last said that it lives.';
COMMENT ON COLUMN pbx.node_status.stopped IS 'When it ended.';
COMMENT ON COLUMN pbx.node_status.calls IS 'Its calls in progress.';
COMMENT ON COLUMN pbx.node_status.legs IS 'Their legs.';
COMMENT ON COLUMN pbx.node_status.bindings IS 'Phones registered with it.';
COMMENT ON COLUMN pbx.node_status.subscriptions IS 'Lamps and the like that it keeps up to date.';

CREATE VIEW pbx.trunk_status AS
SELECT t.domain, t.name, s.node, s.registration, s.registered_until, s.status, s.reason, s.reachable, s.reachable_since,
       round(s.rtt_us / 1000.0, 1) AS rtt_ms, round(s.register_rtt_us / 1000.0, 1) AS register_rtt_ms,
       (SELECT count(*) FROM pbx.leg AS l WHERE (l.domain, l.peer) = (t.domain, t.name) AND (s.node IS NULL OR l.node = s.node)) AS in_use, t.call_limit
FROM pbx.trunk AS t LEFT JOIN pbx.trunk_state AS s ON (s.domain, s.name) = (t.domain, t.name) AND s.node IN (SELECT pbx.live_nodes());
COMMENT ON VIEW pbx.trunk_status IS 'Trunks as each server that runs sees them: registered, reachable, how far away, and how many calls go over them.';
COMMENT ON COLUMN pbx.trunk_status.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk_status.name IS 'The trunk.';
COMMENT ON COLUMN pbx.trunk_status.node IS 'The server; NULL: none has anything to say of it, as it neither registers nor asks whether it is there.';
COMMENT ON COLUMN pbx.trunk_status.registration IS 'off, trying, registered or failed.';
COMMENT ON COLUMN pbx.trunk_status.registered_until IS 'Until when the registration holds, if it isn''t renewed.';
COMMENT ON COLUMN pbx.trunk_status.status IS 'SIP status of the last answer to a REGISTER; 0: there was none.';
COMMENT ON COLUMN pbx.trunk_status.reason IS 'Its text.';
COMMENT ON COLUMN pbx.trunk_status.reachable IS 'Does it answer (OPTIONS)? NULL: not known.';
COMMENT ON COLUMN pbx.trunk_status.reachable_since IS 'Since when that is so.';
COMMENT ON COLUMN pbx.trunk_status.rtt_ms IS 'Round trip of its last answer, in milliseconds.';
COMMENT ON COLUMN pbx.trunk_status.register_rtt_ms IS 'How long the last answer to a REGISTER took, in milliseconds.';
COMMENT ON COLUMN pbx.trunk_status.in_use IS 'Calls over it now, in and out, ringing ones too.';
COMMENT ON COLUMN pbx.trunk_status.call_limit IS 'How many there may be; NULL: any number.';

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

-- Housekeeping, and who sees what --------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pbx.housekeeping() RETURNS TABLE (what text, removed bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- One server at a time; the others have nothing to do then.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pbx.housekeeping', 0)) THEN
        RETURN;
    END IF;
    PERFORM pbx.partition_make('pbx.event', 'day');
    PERFORM pbx.partition_make('pbx.cdr', 'month');
    PERFORM pbx.partition_make('pbx.cdr_leg', 'month');
    FOR r IN SELECT t.what, now() - t.keep AS before FROM pbx.retention AS t ORDER BY t.what LOOP
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
        WHEN 'decision' THEN DELETE FROM pbx.decision_log WHERE started < r.before;
        ELSE
            EXECUTE format('SELECT pbx.%I($1)', 'retain_' || r.what) INTO removed USING r.before;
            RETURN NEXT;
            CONTINUE;
        END CASE;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
END $$;

CALL pbx.tenant_table('pbx.cdr');
CALL pbx.tenant_table('pbx.cdr_leg', through => 'EXISTS (SELECT FROM pbx.cdr AS own WHERE (own.call, own.ended) = (cdr_leg.call, cdr_leg.call_ended))');
-- The views.
CALL pbx.tenancy();

-- Why a call went as it did: its decisions, in order, and in plain sentences.

CREATE TABLE pbx.decision_kind (
    kind      text PRIMARY KEY CHECK (kind ~ '^[a-z_]+$'),
    sentence  text NOT NULL,
    is_of_leg boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE pbx.decision_kind IS 'Kinds of decisions that servers write, with the sentence that why() makes of each. The sentences may be changed, translated, for instance.';
COMMENT ON COLUMN pbx.decision_kind.kind IS 'The kind.';
COMMENT ON COLUMN pbx.decision_kind.sentence IS 'What why() says. {1}, {2}, ... stand for what it was decided with; {1s} is a SIP status in words, {1r} the text of a Reason header, {1u} a word without underscores. What is in [] is left out when the first that stands in it is empty.';
COMMENT ON COLUMN pbx.decision_kind.is_of_leg IS '{1} is a leg: why() names who is there.';

INSERT INTO pbx.decision_kind (kind, sentence) VALUES
    ('caller', 'Call from [{1} ][over trunk {5} ]at {3} to {2}[, known by its {4}].'),
    ('refused', 'Refused with {1s}[: {2}].'),
    ('blocked', '{1} is a blocked caller (pattern {2}).'),
    ('limit', 'The limit of calls at once of {1} is reached: {2}.'),
    ('inbound', 'The public number {1} (pattern {2}) leads to {3} in context {4}.'),
    ('emergency', '{1} is an emergency number: context {2}, and no limit holds.'),
    ('sent', '{1} was transferred[ by {2}] to {3}; before that see call {4}.'),
    ('route', '{1} takes the route {3} of context {2} (plan as of change {4}).'),
    ('no_route', 'There is no route for {1} in context {2}: the number does not exist for this caller.'),
    ('unknown', 'The {1} is not known: the database is away and it was never loaded.'),
    ('loop', 'More than {2} routes lead into each other, here to {1}: the call goes in a circle and is given up.'),
    ('step', 'Step {1}: {2}[ ({3})].'),
    ('skipped', 'Step {1}, {2}, is left out: "{3}" does not hold[, for {4} is "{5}"].'),
    ('result', '{1} came to: {2u}.'),
    ('trunk_next', 'The call did not go by trunk {1} ({2s}): the next one is tried.'),
    ('trunk_not_due', 'Trunk {1} is left out: its schedule {2} is closed now.'),
    ('not_rung', '{1} is not rung: {2}.'),
    ('no_answer', '{1} did not answer in time.'),
    ('forward', '{1} is forwarded ({2u}) to {3}.'),
    ('no_forward', '{1} is not forwarded[ to {2}]: {3}.'),
    ('hops', 'It has been passed on so often that it goes no further ({1s}): there is probably a loop.'),
    ('told', 'The caller is told {1s}[: {2r}].'),
    ('more', '{1} decisions here were too many to be kept.');
INSERT INTO pbx.decision_kind (kind, sentence, is_of_leg) VALUES
    ('ring', '{1} is called[ over trunk {4}] at {3}.', true),
    ('cant_ring', '{1} can''t be called: {3}.', true),
    ('rings', '{1} rings ({2s}).', true),
    ('refuses', '{1} refuses with {2}[ {3}][: {4r}].', true),
    ('failed', 'The call to {1} failed ({2s}): {3}.', true),
    ('cancel', '{1} is not called any more[: {2r}].', true),
    ('gives_up', '{1} gives up[: {2r}].', true),
    ('answers', '{1} answers.', true),
    ('answered', 'The caller is answered by the application {1}.', false),
    ('talks', 'The caller talks with {1}, in {2}.', true),
    ('converts', 'The caller talks with {1}; sound is converted between {2} and {3}.', true),
    ('no_codec', 'There is no codec in common with {1}, who may have {2}[, {3}].', true),
    ('encryption', '{1} must encrypt its media (srtp is "require") and {2}.', true),
    ('insecure', 'The media of {1} can''t be encrypted: {2}[; its call is {3}].', true),
    ('latched', 'Sound of {1} comes from {3}, not from {2} as it had said (it was taken as {4u}): it is behind a NAT.', true),
    ('silent', 'Nothing came from {1} any more, neither sound nor reports, though {2}: it is given up.', true),
    ('holds', '{1} holds the call.', true),
    ('resumes', '{1} goes on with the call.', true),
    ('takes_place', '{1} takes the place of leg {3}.', true),
    ('leaves', '{1} goes on in call {3}.', true),
    ('hangs_up', '{1} hangs up[: {2r}].', true);

CREATE TABLE pbx.decision_log (
    call      uuid NOT NULL,
    domain    text NOT NULL,
    started   timestamptz NOT NULL,
    caller    text NOT NULL,
    dialled   text NOT NULL,
    status    integer,
    source    text,
    decisions jsonb NOT NULL
);
COMMENT ON TABLE pbx.decision_log IS 'The decisions of calls that have ended or were refused at once: see pbx.why(), and the views pbx.call_decision and pbx.refused_call. Kept as long as pbx.retention says.';
COMMENT ON COLUMN pbx.decision_log.call IS 'The call, as in the log and, unless it was refused at once, in pbx.cdr.';
COMMENT ON COLUMN pbx.decision_log.domain IS 'The domain; empty: one that isn''t ours.';
COMMENT ON COLUMN pbx.decision_log.started IS 'When the call came in.';
COMMENT ON COLUMN pbx.decision_log.caller IS 'Who called, or said to be the caller.';
COMMENT ON COLUMN pbx.decision_log.dialled IS 'The number dialled.';
COMMENT ON COLUMN pbx.decision_log.status IS 'Refused with this status, before there was a call to speak of; NULL: it has a record in pbx.cdr.';
COMMENT ON COLUMN pbx.decision_log.source IS 'If it was refused: from where it came.';
COMMENT ON COLUMN pbx.decision_log.decisions IS 'The decisions as the server wrote them, [[milliseconds, kind, text, ...], ...].';
CREATE INDEX decision_log_call ON pbx.decision_log (call);
COMMENT ON INDEX pbx.decision_log_call IS 'The decisions of a call.';
CREATE INDEX decision_log_started ON pbx.decision_log (started);
COMMENT ON INDEX pbx.decision_log_started IS 'For housekeeping.';
CREATE INDEX decision_log_refused ON pbx.decision_log (domain, started) WHERE status IS NOT NULL;
COMMENT ON INDEX pbx.decision_log_refused IS 'The refused calls of a time.';

-- From servers ---------------------------------------------------------------------------------------

CREATE FUNCTION pbx.outbox_decisions(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.decision_log (call, domain, started, caller, dialled, status, source, decisions)
    SELECT (doc ->> 'call')::uuid, coalesce(doc ->> 'domain', ''), pbx.time_of_ms((doc ->> 'started_ms')::bigint), coalesce(doc ->> 'caller', ''),
           coalesce(doc ->> 'dialled', ''), (doc ->> 'status')::integer, doc ->> 'source', doc -> 'decisions'
    WHERE doc -> 'decisions' IS NOT NULL
$$;
COMMENT ON FUNCTION pbx.outbox_decisions(jsonb) IS 'Stores the decisions of a call, from its record or from that of a refusal.';

CREATE OR REPLACE FUNCTION pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO pbx.outbox_done (id) VALUES ($1) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        CASE $2
        WHEN 'cdr' THEN
            PERFORM pbx.outbox_cdr($3);
            PERFORM pbx.outbox_decisions($3);
        WHEN 'refused' THEN PERFORM pbx.outbox_decisions($3);
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
COMMENT ON FUNCTION pbx.outbox_take(uuid, text, jsonb, bytea) IS 'Takes an entry of a server''s outbox: cdr, refused, binding, subscription, voicemail, greeting or recording. false: it was taken before. One that can''t be stored goes to pbx.outbox_refused and counts as taken.';

ALTER TABLE pbx.live_call ADD COLUMN decisions jsonb;
COMMENT ON COLUMN pbx.live_call.decisions IS 'What was decided so far: see pbx.why().';

CREATE OR REPLACE FUNCTION pbx.live_write(node text, is_all boolean, calls jsonb, legs jsonb, gone_legs bigint[], gone_calls uuid[]) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pbx.live_call AS c WHERE c.node = $1 AND ($2 OR c.call = ANY ($6));
    DELETE FROM pbx.live_leg AS l WHERE l.node = $1 AND ($2 OR l.id = ANY ($5));

    INSERT INTO pbx.live_call AS c (node, call, domain, caller, caller_name, trunk, dialled, context, route, app, started, answered, decisions)
    SELECT $1, d.call, d.domain, coalesce(d.caller, ''), coalesce(d.caller_name, ''), d.trunk, coalesce(d.dialled, ''),
           coalesce(d.context, ''), d.route, d.app, pbx.time_of_ms(d.started_ms), pbx.time_of_ms(d.answered_ms), d.decisions
    FROM jsonb_to_recordset($3) AS d(call uuid, domain text, caller text, caller_name text, trunk text, dialled text, context text,
                                     route text, app text, started_ms bigint, answered_ms bigint, decisions jsonb)
    ON CONFLICT (call) DO UPDATE
    SET node = excluded.node, caller = excluded.caller, caller_name = excluded.caller_name, dialled = excluded.dialled,
        context = excluded.context, route = excluded.route, app = excluded.app, answered = excluded.answered, decisions = excluded.decisions;

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

ALTER TABLE pbx.retention DROP CONSTRAINT what_is_known;
ALTER TABLE pbx.retention ADD CONSTRAINT what_is_known CHECK (what IN ('voicemail', 'binding', 'change', 'outbox_done', 'cdr',
    'subscription', 'message', 'phone_request', 'decision'));
INSERT INTO pbx.retention VALUES ('decision', '90 days');
COMMENT ON COLUMN pbx.retention.what IS 'voicemail: messages since their owner deleted them; binding, subscription, message: since they expired; phone_request: since it was made; change: the log that servers follow; outbox_done: ids of what servers handed over; cdr: records of calls, which by default are kept for ever; decision: what was decided about calls, for why().';

CREATE OR REPLACE FUNCTION pbx.housekeeping() RETURNS TABLE (what text, removed bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- One server at a time; the others have nothing to do then.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('pbx.housekeeping', 0)) THEN
        RETURN;
    END IF;
    FOR r IN SELECT t.what, now() - t.keep AS before FROM pbx.retention AS t ORDER BY t.what LOOP
        CASE r.what
        WHEN 'voicemail' THEN DELETE FROM pbx.voicemail WHERE deleted < r.before;
        WHEN 'binding' THEN DELETE FROM pbx.binding WHERE expires < r.before;
        WHEN 'subscription' THEN DELETE FROM pbx.subscription WHERE expires < r.before;
        WHEN 'message' THEN DELETE FROM pbx.message WHERE expires < r.before;
        WHEN 'phone_request' THEN DELETE FROM pbx.phone_request WHERE made < r.before;
        -- The last one stays: it says how far the log has come.
        WHEN 'change' THEN DELETE FROM pbx.change WHERE at < r.before AND seq < (SELECT max(seq) FROM pbx.change);
        WHEN 'outbox_done' THEN DELETE FROM pbx.outbox_done WHERE at < r.before;
        WHEN 'cdr' THEN DELETE FROM pbx.cdr WHERE ended < r.before;
        WHEN 'decision' THEN DELETE FROM pbx.decision_log WHERE started < r.before;
        END CASE;
        what := r.what;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
END $$;

-- In words -------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.status_says(status text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((SELECT $1 || ', ' || w.says FROM (VALUES
        ('180', 'ringing'), ('181', 'forwarded'), ('182', 'queued'), ('183', 'sound before the answer'), ('302', 'moved'), ('400', 'bad request'),
        ('401', 'wrong password'), ('403', 'forbidden'), ('404', 'no such number'), ('407', 'wrong password'), ('408', 'no answer'), ('410', 'gone'), ('416', 'no such kind of address'),
        ('422', 'session timer too short'), ('430', 'its connection is broken'), ('440', 'too many branches'), ('480', 'not available'), ('481', 'unknown dialog'),
        ('482', 'loop'), ('483', 'too many hops'), ('484', 'number incomplete'), ('486', 'busy'), ('487', 'cancelled'), ('488', 'no media in common'), ('500', 'error'), ('502', 'bad gateway'),
        ('503', 'service unavailable'), ('504', 'no answer in time'), ('580', 'preconditions not met'), ('600', 'busy everywhere'), ('603', 'declined'), ('604', 'exists nowhere'),
        ('606', 'not acceptable'), ('607', 'unwanted'), ('608', 'rejected')) AS w(status, says) WHERE w.status = $1), $1)
$$;
COMMENT ON FUNCTION pbx.status_says(text) IS 'A SIP status with what it means.';

CREATE FUNCTION pbx.reason_says(reason text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((SELECT string_agg(t[1], ', ') FROM regexp_matches($1, 'text="([^"]*)"', 'g') AS t), $1)
$$;
COMMENT ON FUNCTION pbx.reason_says(text) IS 'The texts of a Reason header (RFC 3326); if it has none, as it is.';

CREATE FUNCTION pbx.decision_says(kind text, args text[]) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    says text := (SELECT k.sentence FROM pbx.decision_kind AS k WHERE k.kind = $1);
    part text;
BEGIN
    IF says IS NULL THEN
        RETURN $1 || coalesce(': ' || nullif(array_to_string($2, ', '), ''), '');
    END IF;
    FOR part IN SELECT m[1] FROM regexp_matches(says, '(\[[^]]*\])', 'g') AS m LOOP
        says := replace(says, part, CASE WHEN coalesce($2[substring(part FROM '\{(\d)')::integer], '') = '' THEN ''
                                         ELSE substr(part, 2, length(part) - 2) END);
    END LOOP;
    -- All at once: what is put in may look like any of it.
    RETURN (SELECT string_agg(CASE WHEN t[2] IS NULL THEN t[1]
                                   ELSE coalesce(CASE t[3] WHEN 's' THEN pbx.status_says($2[t[2]::integer]) WHEN 'r' THEN pbx.reason_says($2[t[2]::integer])
                                        WHEN 'u' THEN replace($2[t[2]::integer], '_', ' ') ELSE $2[t[2]::integer] END, '') END, '' ORDER BY n)
            FROM regexp_matches(says, '(\{(\d)([sru]?)\}|[^{]+|\{)', 'g') WITH ORDINALITY AS m(t, n));
END $$;
COMMENT ON FUNCTION pbx.decision_says(text, text[]) IS 'A decision as a sentence, by pbx.decision_kind.';

CREATE VIEW pbx.call_decision AS
SELECT l.call, l.domain, l.started + (d.v ->> 0)::bigint * interval '1 millisecond' AS at, d.seq::integer, (d.v ->> 0)::bigint * interval '1 millisecond' AS after,
       d.v ->> 1 AS kind, a.args, pbx.decision_says(d.v ->> 1, a.args) AS says
FROM (SELECT call, domain, started, decisions FROM pbx.decision_log
      UNION ALL
      SELECT c.call, c.domain, c.started, c.decisions FROM pbx.live_call AS c WHERE c.node IN (SELECT pbx.live_nodes())) AS l,
     jsonb_array_elements(l.decisions) WITH ORDINALITY AS d(v, seq),
     LATERAL (SELECT ARRAY(SELECT e.t FROM jsonb_array_elements_text(d.v) WITH ORDINALITY AS e(t, n) WHERE e.n > 2 ORDER BY e.n) AS args) AS a;
COMMENT ON VIEW pbx.call_decision IS 'What was decided about each call, in order: of those that have ended, those that were refused at once, and those in progress.';
COMMENT ON COLUMN pbx.call_decision.call IS 'The call.';
COMMENT ON COLUMN pbx.call_decision.domain IS 'Its domain.';
COMMENT ON COLUMN pbx.call_decision.at IS 'When it was decided.';
COMMENT ON COLUMN pbx.call_decision.seq IS 'The order.';
COMMENT ON COLUMN pbx.call_decision.after IS 'How long after the call began.';
COMMENT ON COLUMN pbx.call_decision.kind IS 'What kind of decision: see pbx.decision_kind.';
COMMENT ON COLUMN pbx.call_decision.args IS 'With what it was decided: see the sentence of its kind. Of a decision about a leg the first is the leg.';
COMMENT ON COLUMN pbx.call_decision.says IS 'As a sentence.';

CREATE VIEW pbx.refused_call AS
SELECT l.call, l.domain, l.started AS at, l.caller, l.dialled, l.source, l.status,
       (SELECT string_agg(d.says, ' ' ORDER BY d.seq) FROM pbx.call_decision AS d WHERE d.call = l.call AND d.kind <> 'caller') AS why
FROM pbx.decision_log AS l WHERE l.status IS NOT NULL;
COMMENT ON VIEW pbx.refused_call IS 'Calls that were refused before a plan ran and so have no record: wrong passwords, blocked callers, limits. Of callers who aren''t known one a second is kept.';
COMMENT ON COLUMN pbx.refused_call.call IS 'Its id, for why().';
COMMENT ON COLUMN pbx.refused_call.domain IS 'The domain; empty: one that isn''t ours.';
COMMENT ON COLUMN pbx.refused_call.at IS 'When.';
COMMENT ON COLUMN pbx.refused_call.caller IS 'Who called, or said to be the caller.';
COMMENT ON COLUMN pbx.refused_call.dialled IS 'What was dialled.';
COMMENT ON COLUMN pbx.refused_call.source IS 'From where.';
COMMENT ON COLUMN pbx.refused_call.status IS 'The SIP status it was refused with.';
COMMENT ON COLUMN pbx.refused_call.why IS 'Why.';

-- What the record says besides, of the whole call.
CREATE FUNCTION pbx.record_says(call uuid) RETURNS TABLE (after interval, says text) LANGUAGE sql STABLE AS $$
    WITH r AS (SELECT * FROM pbx.cdr AS c WHERE c.call = $1), l AS (
        SELECT l.*, CASE WHEN l.leg = 1 THEN 'the caller' ELSE coalesce(nullif(l.number, ''), nullif(l.peer, ''), 'leg ' || l.leg) END AS who,
               l.ended - r.started AS after
        FROM r, pbx.cdr_leg AS l WHERE l.call = $1 AND l.answered IS NOT NULL AND l.moved_to IS NULL)
    SELECT m.after, m.says FROM (
        SELECT l.after, 1 AS n, l.leg, format('No sound ever came from %s%s.', l.who, CASE WHEN l.dropped_insecure > 0 THEN ', or none that was encrypted as agreed'
            WHEN l.dropped_source > 0 THEN ', or from elsewhere than it may' ELSE '' END) AS says
        FROM l WHERE coalesce(l.packets_received, 0) = 0 AND l.ended - l.answered > interval '2 seconds'
        UNION ALL
        SELECT l.after, 2, l.leg, format('The network said %s times that sound can''t be delivered to %s (ICMP).', l.icmp_errors, l.who) FROM l WHERE l.icmp_errors > 0
        UNION ALL
        SELECT l.after, 3, l.leg, format('Sound from %s was bad for a while: MOS %s at the worst, at %s.', l.who, l.mos_min, to_char(l.mos_min_at, 'HH24:MI:SS')) FROM l WHERE l.mos_min < 3
        UNION ALL
        SELECT l.after, 4, l.leg, format('What %s heard was bad for a while: MOS %s at the worst.', l.who, l.remote_mos_min) FROM l WHERE l.remote_mos_min < 3
        UNION ALL
        SELECT r.ended - r.started, 5, 0, format('Over after %s s, %s: %s%s.', round(r.duration_ms / 1000.0, 1),
            CASE WHEN r.answered IS NULL THEN 'never answered' ELSE format('of which they talked %s s', round(r.talk_ms / 1000.0, 1)) END, replace(r.result, '_', ' '),
            CASE WHEN r.hangup_by IS NULL THEN '' WHEN r.answered IS NULL THEN format(', ended by the %s', r.hangup_by) ELSE format(', hung up by the %s', r.hangup_by) END)
        FROM r) AS m ORDER BY m.n, m.leg
$$;
COMMENT ON FUNCTION pbx.record_says(uuid) IS 'What a call''s record says, in sentences: sound that didn''t come or was bad, and how it ended.';

CREATE FUNCTION pbx.why(call uuid) RETURNS TABLE (after interval, says text) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    began timestamptz;
BEGIN
    RETURN QUERY
    WITH d AS (SELECT c.seq, c.after, c.kind, c.args, coalesce(k.is_of_leg, false) AS is_of_leg
               FROM pbx.call_decision AS c LEFT JOIN pbx.decision_kind AS k ON k.kind = c.kind WHERE c.call = $1),
    -- Who is at the far end of a leg: what was dialled there, or the record says.
    leg AS (SELECT n.leg, min(n.number) AS number FROM (
                SELECT d.args[1] AS leg, d.args[2] AS number FROM d WHERE d.kind IN ('ring', 'cant_ring', 'takes_place')
                UNION ALL SELECT '1', d.args[1] FROM d WHERE d.kind IN ('caller', 'sent') AND d.args[1] <> '') AS n GROUP BY n.leg)
    SELECT d.after, pbx.decision_says(d.kind, CASE WHEN d.is_of_leg THEN
               ARRAY[CASE WHEN leg.number IS NULL THEN 'leg ' || d.args[1] ELSE format('%s (leg %s)', leg.number, d.args[1]) END] || d.args[2:] ELSE d.args END)
    FROM d LEFT JOIN leg ON d.is_of_leg AND leg.leg = d.args[1]
    ORDER BY d.seq;
    RETURN QUERY SELECT r.after, r.says FROM pbx.record_says($1) AS r;
    IF FOUND THEN
        RETURN;
    END IF;
    began := (SELECT c.started FROM pbx.call AS c WHERE c.call = $1);
    IF began IS NOT NULL THEN
        after := date_trunc('milliseconds', now() - began);
        says := 'It goes on.';
        RETURN NEXT;
    ELSIF NOT EXISTS (SELECT FROM pbx.decision_log AS l WHERE l.call = $1) THEN
        says := 'There is no such call, or it was longer ago than what is kept (pbx.retention).';
        RETURN NEXT;
    END IF;
END $$;
COMMENT ON FUNCTION pbx.why(uuid) IS 'Why a call went as it did, sentence by sentence: who called, which routes and steps were taken, who was called and what came of it, up to its end. Of calls that have ended, are in progress, or were refused (pbx.refused_call).';

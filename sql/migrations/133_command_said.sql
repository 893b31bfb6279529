-- Commands are told by why() with who gave them, and bounded in time; some sentences are clearer.

CREATE FUNCTION pbx.command_seconds(args jsonb, name text) RETURNS void LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF args ->> name !~ '^[0-9]{1,7}$' OR (args ->> name)::integer > 8640000 THEN
        PERFORM pbx.command_refuse(format('%s is no time: %s', name, args ->> name), 'Whole seconds, at most 8640000, which are 100 days; 0 is as if none had been given.');
    END IF;
END $$;
COMMENT ON FUNCTION pbx.command_seconds(jsonb, text) IS 'Refuses a time in seconds, if that argument of a command is there, that is none or too long.';

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
    WHEN 'hangup', 'record', 'hold', 'unhold', 'mute', 'unmute', 'kick' THEN
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

-- With who asked.
DROP FUNCTION pbx.command_take(text, uuid, bigint[]);
CREATE FUNCTION pbx.command_take(node text, run uuid, known bigint[])
    RETURNS TABLE (id bigint, command text, domain text, call uuid, leg integer, args jsonb, asked_by text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    is_draining boolean := coalesce((SELECT n.draining FROM pbx.node AS n WHERE n.node = $1), false);
BEGIN
    UPDATE pbx.command AS c
    SET state = 'failed', cause = 'lost', finished = clock_timestamp(), outcome = 'the server ended while it was carried out'
    WHERE c.node = $1 AND c.state = 'taken' AND c.run <> $2;

    UPDATE pbx.command AS c
    SET state = 'failed', cause = 'expired', finished = clock_timestamp(), outcome = 'no server took it in time'
    WHERE c.id IN (SELECT o.id FROM pbx.command AS o WHERE o.state = 'queued' AND o.expires < clock_timestamp() FOR UPDATE SKIP LOCKED);

    UPDATE pbx.command AS c SET state = 'taken', node = $1, run = $2, taken = clock_timestamp()
    WHERE c.id IN (SELECT o.id FROM pbx.command AS o WHERE o.state = 'queued' AND (o.node IS NULL AND NOT is_draining OR o.node = $1)
                   ORDER BY o.id LIMIT 200 FOR UPDATE SKIP LOCKED);

    RETURN QUERY SELECT c.id, c.command, c.domain, c.call, c.leg, c.args, c.asked_by FROM pbx.command AS c
                 WHERE c.state = 'taken' AND c.node = $1 AND c.run = $2 AND c.id <> ALL ($3) ORDER BY c.id;
END $$;
COMMENT ON FUNCTION pbx.command_take(text, uuid, bigint[]) IS 'For servers: takes the commands that wait for this one or for any, and returns all that this run of it has taken but doesn''t know of. Those of an earlier run are lost.';

COMMENT ON FUNCTION pbx.play(uuid, text, integer) IS 'Command: plays phrases, with & between them, to both who talk, or to one of them, who doesn''t hear the other meanwhile; if the call is in a conference, to all who are in it, or, with leg 1, to this caller alone. Done when it has been played. Returns the command''s id.';

-- Sentences that nobody has changed meanwhile.
INSERT INTO pbx.decision_kind (kind, sentence, is_of_leg) VALUES
    ('originated', 'This call is made by a command of {1}: {2} is called first, then {3}.', false),
    ('hung_up_by', 'A command of {1} hangs up the call.', false),
    ('commanded', 'A command of {1}: {2}[, {3}].', false),
    ('leg_hung_up_by', 'A command of {2} hangs up {1}.', true),
    ('leg_sent_by', 'A command of {2} transfers {1} to {3}.', true),
    ('leg_commanded', 'A command of {2} for {1}: {3}[, {4}].', true);
UPDATE pbx.decision_kind SET sentence = 'Sound of {1} comes from {3}, not from {2} as it had said: it is probably behind a NAT, and is sent what it hears there, too.'
WHERE kind = 'latched' AND sentence = 'Sound of {1} comes from {3}, not from {2} as it had said (it was taken as {4u}): it is behind a NAT.';

CREATE OR REPLACE FUNCTION pbx.why(call uuid) RETURNS TABLE (after interval, says text) LANGUAGE plpgsql STABLE AS $$
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
        says := 'The call is still in progress.';
        RETURN NEXT;
    ELSIF NOT EXISTS (SELECT FROM pbx.decision_log AS l WHERE l.call = $1) THEN
        says := 'There is no such call, or it was longer ago than what is kept (pbx.retention).';
        RETURN NEXT;
    END IF;
END $$;

COMMENT ON FUNCTION pbx.pcap(uuid) IS 'The messages of a call, of all its dialogs, as a capture that Wireshark and other programs read (pcap, packets of IP). What went over TLS or WebSocket stands in it in clear, as over TCP. Of calls whose messages are kept: see pbx.domain.capture. In psql, on Linux: SELECT encode(pbx.pcap(''...''), ''base64'') \g (format=unaligned tuples_only=on) |base64 -d >call.pcap';

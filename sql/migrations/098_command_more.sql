-- Further commands: hold, digits, sound, parking, bridging, conferences, messages, bans, and servers that take no new calls.

ALTER TABLE pbx.node ADD COLUMN draining boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.node.draining IS 'It takes no new calls: pbx.drain(). Until it is started anew.';

CREATE VIEW pbx.parked WITH (security_invoker) AS
SELECT c.domain, c.dialled AS slot, c.call, l.leg, l.number, c.caller_name AS name, c.node, c.started AS since
FROM pbx.call AS c JOIN pbx.leg AS l ON l.call = c.call AND l.role = 'caller'
WHERE c.app = 'park';
COMMENT ON VIEW pbx.parked IS 'Who is parked. The application retrieve takes him, and so does pbx.bridge().';
COMMENT ON COLUMN pbx.parked.domain IS 'The domain.';
COMMENT ON COLUMN pbx.parked.slot IS 'The number that he is parked under.';
COMMENT ON COLUMN pbx.parked.call IS 'The call in which he hears music.';
COMMENT ON COLUMN pbx.parked.leg IS 'His leg of it.';
COMMENT ON COLUMN pbx.parked.number IS 'His number.';
COMMENT ON COLUMN pbx.parked.name IS 'His name.';
COMMENT ON COLUMN pbx.parked.node IS 'The server.';
COMMENT ON COLUMN pbx.parked.since IS 'Since when.';

CREATE FUNCTION pbx.command_source(source inet) RETURNS cidr LANGUAGE sql IMMUTABLE AS $$
    SELECT network(set_masklen($1, CASE family($1) WHEN 4 THEN 32 ELSE 64 END))
$$;
COMMENT ON FUNCTION pbx.command_source(inet) IS 'What is banned with an address: of IPv6 the /64 network, which is one host''s.';

CREATE FUNCTION pbx.command_ban(args jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    what cidr := pbx.command_source((args ->> 'source')::inet);
    ends timestamptz := coalesce(now() + (args ->> 'lasts')::interval, 'infinity');
BEGIN
    IF what IS NULL THEN
        PERFORM pbx.command_refuse('there is no source to ban');
    END IF;
    INSERT INTO pbx.ban (source, until, reason) VALUES (what, ends, coalesce(args ->> 'reason', 'by hand'))
    ON CONFLICT ON CONSTRAINT ban_pkey DO UPDATE SET since = now(), until = excluded.until, reason = excluded.reason, node = '';
    RETURN format('%s is banned%s', what, CASE WHEN ends < 'infinity' THEN format(' until %s', ends) ELSE '' END);
END $$;
COMMENT ON FUNCTION pbx.command_ban(jsonb) IS 'Carries out the command ban; what came of it.';

CREATE FUNCTION pbx.command_unban(args jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    what cidr := pbx.command_source((args ->> 'source')::inet);
BEGIN
    DELETE FROM pbx.ban AS b WHERE b.source = what;
    IF NOT FOUND THEN
        PERFORM pbx.command_refuse(format('%s isn''t banned', what), 'SELECT * FROM pbx.ban');
    END IF;
    RETURN format('%s is heard again', what);
END $$;
COMMENT ON FUNCTION pbx.command_unban(jsonb) IS 'Carries out the command unban; what came of it.';

CREATE FUNCTION pbx.command_needs_call(command text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT $1 IN ('hangup', 'transfer', 'record', 'hold', 'unhold', 'digit', 'play', 'park', 'bridge', 'mute', 'unmute', 'kick')
$$;
COMMENT ON FUNCTION pbx.command_needs_call(text) IS 'Is it about a call in progress?';

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

-- Servers that take no new calls leave alone what any server may do.
CREATE OR REPLACE FUNCTION pbx.command_take(node text, run uuid, known bigint[])
    RETURNS TABLE (id bigint, command text, domain text, call uuid, leg integer, args jsonb) LANGUAGE plpgsql AS $$
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

    RETURN QUERY SELECT c.id, c.command, c.domain, c.call, c.leg, c.args FROM pbx.command AS c
                 WHERE c.state = 'taken' AND c.node = $1 AND c.run = $2 AND c.id <> ALL ($3) ORDER BY c.id;
END $$;

CREATE FUNCTION pbx.hold(call uuid, leg integer) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg) VALUES ('hold', $1, $2) RETURNING id
$$;
COMMENT ON FUNCTION pbx.hold(uuid, integer) IS 'Command: puts a call on hold, as if the phone of this leg did: who it talks with hears music. Returns the command''s id.';
CREATE FUNCTION pbx.unhold(call uuid, leg integer) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg) VALUES ('unhold', $1, $2) RETURNING id
$$;
COMMENT ON FUNCTION pbx.unhold(uuid, integer) IS 'Command: takes a call back that pbx.hold() has put on hold. Returns the command''s id.';

CREATE FUNCTION pbx.digit(call uuid, leg integer, digits text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg, args) VALUES ('digit', $1, $2, jsonb_build_object('digits', $3)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.digit(uuid, integer, text) IS 'Command: sends digits to the far end of a leg, as the other one would by pressing keys. Returns the command''s id.';

CREATE FUNCTION pbx.play(call uuid, phrases text, leg integer DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg, args) VALUES ('play', $1, $3, jsonb_build_object('phrases', $2)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.play(uuid, text, integer) IS 'Command: plays phrases, with & between them, to both who talk, or to one of them, who doesn''t hear the other meanwhile; to all, if the call is in a conference. Done when it has been played. Returns the command''s id.';

CREATE FUNCTION pbx.park(call uuid, leg integer, slot text DEFAULT NULL, timeout_s integer DEFAULT 120) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg, args) VALUES ('park', $1, $2, jsonb_build_object('slot', $3, 'timeout_s', $4)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.park(uuid, integer, text, integer) IS 'Command: parks a leg, which hears music, under a number (by default the first that is free), and hangs up who it talked with; pbx.parked has it then. Who dials a route with the application retrieve talks with it. If nobody does in time (0: no limit), who it talked with is called. Returns the command''s id.';

CREATE FUNCTION pbx.bridge(call uuid, leg integer, with_call uuid, with_leg integer) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg, args) VALUES ('bridge', $1, $2, jsonb_build_object('with', $3, 'with_leg', $4)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.bridge(uuid, integer, uuid, integer) IS 'Command: lets two legs talk with each other that are in a call each, answered: talking, parked, in a menu. Whom they talked with is hung up. Returns the command''s id.';

CREATE FUNCTION pbx.mute(call uuid) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call) VALUES ('mute', $1) RETURNING id
$$;
COMMENT ON FUNCTION pbx.mute(uuid) IS 'Command: mutes a call in its conference (pbx.conference_member). Returns the command''s id.';
CREATE FUNCTION pbx.unmute(call uuid) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call) VALUES ('unmute', $1) RETURNING id
$$;
COMMENT ON FUNCTION pbx.unmute(uuid) IS 'Command: lets a call be heard again in its conference. Returns the command''s id.';
CREATE FUNCTION pbx.kick(call uuid) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call) VALUES ('kick', $1) RETURNING id
$$;
COMMENT ON FUNCTION pbx.kick(uuid) IS 'Command: sends a call out of its conference. Returns the command''s id.';

CREATE FUNCTION pbx.message(domain text, sender text, number text, message text) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (domain, command, args) VALUES ($1, 'message', jsonb_build_object('sender', $2, 'number', $3, 'text', $4)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.message(text, text, text, text) IS 'Command: sends a text message to the phones of an extension, from a number; if it is away it gets it when it comes back, within a week. Returns the command''s id.';

CREATE FUNCTION pbx.ban(source inet, lasts interval DEFAULT NULL, reason text DEFAULT 'by hand') RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, args) VALUES ('ban', jsonb_build_object('source', $1, 'lasts', $2, 'reason', $3)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.ban(inet, interval, text) IS 'Command: no server hears an address any more, for ever or so long (pbx.ban). Returns the command''s id.';
CREATE FUNCTION pbx.unban(source inet) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, args) VALUES ('unban', jsonb_build_object('source', $1)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.unban(inet) IS 'Command: lifts a ban. Returns the command''s id.';

CREATE FUNCTION pbx.drain(node text, is_on boolean DEFAULT true) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, args) VALUES ('drain', jsonb_build_object('node', $1, 'on', $2)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.drain(text, boolean) IS 'Command: a server takes no new calls but emergency calls, and answers them 503, until it is started anew or this is taken back (false). Done when its last call has ended. Returns the command''s id.';

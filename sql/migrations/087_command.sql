-- What shall be: commands to calls in progress, and to servers. A row is a command; it is carried out when it is committed, once.

CREATE TABLE pbx.command (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain   text REFERENCES pbx.domain ON UPDATE CASCADE ON DELETE CASCADE,
    command  text NOT NULL,
    call     uuid,
    leg      integer,
    args     jsonb NOT NULL DEFAULT '{}',
    asked_by text NOT NULL DEFAULT session_user,
    asked    timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires  timestamptz NOT NULL DEFAULT clock_timestamp() + interval '1 minute',
    node     text,
    run      uuid,
    state    text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'taken', 'done', 'failed')),
    taken    timestamptz,
    finished timestamptz,
    cause    text,
    outcome  text,
    CONSTRAINT finished_when_it_is_over CHECK ((finished IS NOT NULL) = (state IN ('done', 'failed'))),
    CONSTRAINT cause_of_a_failure CHECK ((cause IS NOT NULL) = (state = 'failed')),
    CONSTRAINT args_are_an_object CHECK (jsonb_typeof(args) = 'object')
);
COMMENT ON TABLE pbx.command IS 'Commands: made by pbx.hangup(), pbx.originate() and their like, carried out by a server when they are committed, once, and what came of them. LISTEN pbx_command_done is told the id of each that is over, or wait by CALL pbx.command_wait(id).';
COMMENT ON COLUMN pbx.command.id IS 'Its name, and the order in which commands are carried out.';
COMMENT ON COLUMN pbx.command.domain IS 'The domain; NULL: it is for whole servers.';
COMMENT ON COLUMN pbx.command.command IS 'What is to be done: the name of the function.';
COMMENT ON COLUMN pbx.command.call IS 'The call it is about, as in pbx.call; of originate the one that it makes. NULL: none.';
COMMENT ON COLUMN pbx.command.leg IS 'The leg of the call it is about, as in pbx.leg; NULL: none in particular.';
COMMENT ON COLUMN pbx.command.args IS 'The other arguments, by name.';
COMMENT ON COLUMN pbx.command.asked_by IS 'The role that asked, as it logged in.';
COMMENT ON COLUMN pbx.command.asked IS 'When.';
COMMENT ON COLUMN pbx.command.expires IS 'What no server has taken by then, a minute after its COMMIT, isn''t carried out any more.';
COMMENT ON COLUMN pbx.command.node IS 'The server that has the call, or has taken it; NULL: any may.';
COMMENT ON COLUMN pbx.command.run IS 'Which run of that server has taken it.';
COMMENT ON COLUMN pbx.command.state IS 'queued: it waits for a server; taken: it is being carried out; done; failed.';
COMMENT ON COLUMN pbx.command.taken IS 'When a server took it.';
COMMENT ON COLUMN pbx.command.finished IS 'When it was over.';
COMMENT ON COLUMN pbx.command.cause IS 'Why it failed, in a word: as result of pbx.cdr for who was called (busy, no_answer, ...); gone: there is no such call or leg any more; impossible: as it is now; refused; expired; lost: the server ended while it was carried out, it may have done so or not and is never tried again.';
COMMENT ON COLUMN pbx.command.outcome IS 'What came of it, a line for people.';
CREATE INDEX command_open ON pbx.command (id) WHERE state IN ('queued', 'taken');
COMMENT ON INDEX pbx.command_open IS 'What is to be done, or is being done.';
CREATE INDEX command_finished ON pbx.command (finished);
COMMENT ON INDEX pbx.command_finished IS 'For housekeeping.';
CREATE INDEX command_call ON pbx.command (call) WHERE call IS NOT NULL;
COMMENT ON INDEX pbx.command_call IS 'Commands about a call.';

-- Before a row is made ------------------------------------------------------------------------------

CREATE FUNCTION pbx.command_refuse(message text, hint text DEFAULT '') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', message USING ERRCODE = 'invalid_parameter_value', HINT = hint;
END $$;
COMMENT ON FUNCTION pbx.command_refuse(text, text) IS 'Refuses a command.';

-- The call's own domain and server. One that a command of the same session is only making has no row in pbx.call yet.
CREATE FUNCTION pbx.command_call(INOUT domain text, INOUT node text, call uuid) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    found_domain text;
    found_node   text;
BEGIN
    SELECT c.domain, c.node INTO found_domain, found_node FROM pbx.call AS c WHERE c.call = $3;
    IF NOT FOUND THEN
        SELECT c.domain, c.node INTO found_domain, found_node FROM pbx.command AS c
        WHERE c.call = $3 AND c.command = 'originate' AND c.state = 'taken';
    END IF;
    IF found_domain IS NULL OR $1 <> found_domain THEN
        PERFORM pbx.command_refuse(format('there is no call %s%s', coalesce($3::text, 'without id'), ' in ' || $1),
                                   'pbx.call has the calls in progress; pbx.cdr those that have ended.');
    END IF;
    domain := found_domain;
    node := found_node;
END $$;
COMMENT ON FUNCTION pbx.command_call(text, text, uuid) IS 'Domain and server of a call in progress. Refuses one that isn''t, or is another domain''s than the one given.';

CREATE FUNCTION pbx.command_route(domain text, context text, number text) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF number IS NULL OR number = '' THEN
        PERFORM pbx.command_refuse('there is no number to call');
    ELSIF (pbx.match(domain, context, number)).pattern IS NULL THEN
        PERFORM pbx.command_refuse(format('no route leads to %s in %s/%s', number, domain, context),
                                   format('SELECT * FROM pbx.route WHERE domain = %L', domain));
    END IF;
END $$;
COMMENT ON FUNCTION pbx.command_route(text, text, text) IS 'Refuses a number that has no route.';

CREATE FUNCTION pbx.command_begin() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    a jsonb := NEW.args;
BEGIN
    NEW.asked_by := session_user;
    NEW.asked := clock_timestamp();
    NEW.node := NULL;
    NEW.run := NULL;
    NEW.state := 'queued';
    NEW.taken := NULL;
    NEW.finished := NULL;
    NEW.cause := NULL;
    NEW.outcome := NULL;

    IF NEW.command IN ('hangup', 'transfer', 'record') THEN
        SELECT c.domain, c.node INTO NEW.domain, NEW.node FROM pbx.command_call(NEW.domain, NULL, NEW.call) AS c;
        IF NEW.leg IS NOT NULL AND NOT EXISTS (SELECT FROM pbx.leg AS l WHERE l.call = NEW.call AND l.leg = NEW.leg) THEN
            PERFORM pbx.command_refuse(format('call %s has no leg %s', NEW.call, NEW.leg), 'pbx.leg has the legs of calls in progress.');
        END IF;
    END IF;

    CASE NEW.command
    WHEN 'hangup', 'record' THEN
        NULL;
    WHEN 'transfer' THEN
        IF NEW.leg IS NULL THEN
            PERFORM pbx.command_refuse('it needs a leg: who is to be sent on', 'pbx.leg has the legs of calls in progress.');
        END IF;
        PERFORM pbx.command_route(NEW.domain, a ->> 'context', a ->> 'number');
    WHEN 'originate' THEN
        IF NOT EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (NEW.domain, a ->> 'extension')) THEN
            PERFORM pbx.command_refuse(format('there is no extension %s/%s', coalesce(NEW.domain, ''), coalesce(a ->> 'extension', '')));
        END IF;
        PERFORM pbx.command_route(NEW.domain, a ->> 'context', a ->> 'number');
        NEW.call := gen_random_uuid();
    ELSE
        PERFORM pbx.command_refuse(format('there is no command %s', NEW.command));
    END CASE;
    NEW.args := jsonb_strip_nulls(NEW.args);
    RETURN NEW;
END $$;
COMMENT ON FUNCTION pbx.command_begin() IS 'Trigger: a new command is checked, and nobody but servers says what became of it.';
CREATE TRIGGER begin BEFORE INSERT ON pbx.command FOR EACH ROW EXECUTE FUNCTION pbx.command_begin();

-- At COMMIT, so that a transaction may take its time. Who may make a row needn't be one who may change it.
CREATE FUNCTION pbx.command_publish() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE pbx.command SET expires = clock_timestamp() + interval '1 minute' WHERE id = NEW.id AND state = 'queued';
    PERFORM pg_notify('pbx_command', coalesce(NEW.node, ''));
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.command_publish() IS 'Trigger: at COMMIT, its time begins to run and the server that has the call is woken, or all of them.';
REVOKE EXECUTE ON FUNCTION pbx.command_publish() FROM PUBLIC;
CREATE CONSTRAINT TRIGGER publish AFTER INSERT ON pbx.command
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pbx.command_publish();

CREATE FUNCTION pbx.command_tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('pbx_command_done', NEW.id::text);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.command_tell() IS 'Trigger: tells who waits that a command is over.';
CREATE TRIGGER tell AFTER UPDATE OF state ON pbx.command
    FOR EACH ROW WHEN (NEW.state IN ('done', 'failed')) EXECUTE FUNCTION pbx.command_tell();

-- What servers do -----------------------------------------------------------------------------------
--
-- A command is taken, and that committed, before it is carried out, and its row says by which run of the server: so it is carried out by
-- that run or never. A server that didn't hear the answer of command_take() finds it in the next one: it says which it knows of.

CREATE FUNCTION pbx.command_take(node text, run uuid, known bigint[])
    RETURNS TABLE (id bigint, command text, domain text, call uuid, leg integer, args jsonb) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE pbx.command AS c
    SET state = 'failed', cause = 'lost', finished = clock_timestamp(), outcome = 'the server ended while it was carried out'
    WHERE c.node = $1 AND c.state = 'taken' AND c.run <> $2;

    UPDATE pbx.command AS c
    SET state = 'failed', cause = 'expired', finished = clock_timestamp(), outcome = 'no server took it in time'
    WHERE c.id IN (SELECT o.id FROM pbx.command AS o WHERE o.state = 'queued' AND o.expires < clock_timestamp() FOR UPDATE SKIP LOCKED);

    UPDATE pbx.command AS c SET state = 'taken', node = $1, run = $2, taken = clock_timestamp()
    WHERE c.id IN (SELECT o.id FROM pbx.command AS o WHERE o.state = 'queued' AND (o.node IS NULL OR o.node = $1)
                   ORDER BY o.id LIMIT 200 FOR UPDATE SKIP LOCKED);

    RETURN QUERY SELECT c.id, c.command, c.domain, c.call, c.leg, c.args FROM pbx.command AS c
                 WHERE c.state = 'taken' AND c.node = $1 AND c.run = $2 AND c.id <> ALL ($3) ORDER BY c.id;
END $$;
COMMENT ON FUNCTION pbx.command_take(text, uuid, bigint[]) IS 'For servers: takes the commands that wait for this one or for any, and returns all that this run of it has taken but doesn''t know of. Those of an earlier run are lost.';

CREATE FUNCTION pbx.command_end(id bigint, run uuid, cause text, outcome text) RETURNS void LANGUAGE sql AS $$
    UPDATE pbx.command AS c
    SET state = CASE WHEN $3 IS NULL THEN 'done' ELSE 'failed' END, cause = $3, outcome = $4, finished = clock_timestamp()
    -- One that others had to give up meanwhile came to an end all the same.
    WHERE c.id = $1 AND c.run = $2 AND (c.state = 'taken' OR c.cause = 'lost')
$$;
COMMENT ON FUNCTION pbx.command_end(bigint, uuid, text, text) IS 'For servers: what came of a command; without a cause it is done.';

CREATE FUNCTION pbx.command_forsake() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pbx.command AS c
    SET state = 'failed', finished = clock_timestamp(), cause = CASE c.state WHEN 'taken' THEN 'lost' ELSE 'expired' END,
        outcome = CASE c.state WHEN 'taken' THEN 'the server ended while it was carried out' ELSE 'no server took it in time' END
    WHERE c.state = 'taken' AND c.node NOT IN (SELECT pbx.live_nodes()) OR c.state = 'queued' AND c.expires < clock_timestamp();
END $$;
COMMENT ON FUNCTION pbx.command_forsake() IS 'For servers: gives up what a server had taken that isn''t there any more, and what none has taken in time.';

-- Commands ------------------------------------------------------------------------------------------

CREATE FUNCTION pbx.hangup(call uuid, leg integer DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg) VALUES ('hangup', $1, $2) RETURNING id
$$;
COMMENT ON FUNCTION pbx.hangup(uuid, integer) IS 'Command: hangs up a call, or one of its legs. Returns the command''s id.';

CREATE FUNCTION pbx.transfer(call uuid, leg integer, number text, context text DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, leg, args)
    VALUES ('transfer', $1, $2, jsonb_build_object('number', $3, 'context', coalesce($4,
        (SELECT d.default_context FROM pbx.domain AS d JOIN pbx.call AS c USING (domain) WHERE c.call = $1))))
    RETURNING id
$$;
COMMENT ON FUNCTION pbx.transfer(uuid, integer, text, text) IS 'Command: sends a leg on to a number, as dialled in a context, by default the domain''s. Who it talks with hears music until somebody answers there, and is hung up then; if nobody does, they talk again. Returns the command''s id.';

CREATE FUNCTION pbx.originate(domain text, extension text, number text, context text DEFAULT NULL, ring_s integer DEFAULT NULL)
    RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (domain, command, args)
    VALUES ($1, 'originate', jsonb_build_object('extension', $2, 'number', $3, 'ring_s', $5, 'context', coalesce($4,
        (SELECT e.context FROM pbx.extension AS e WHERE (e.domain, e.number) = ($1, $2)))))
    RETURNING id
$$;
COMMENT ON FUNCTION pbx.originate(text, text, text, text, integer) IS 'Command: rings the phones of an extension, for so many seconds or its own time, and when one of them answers dials the number as if it had done so itself; done when that is answered. Returns the command''s id; its row has the id of the call.';

CREATE FUNCTION pbx.record(call uuid, is_on boolean DEFAULT true) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO pbx.command (command, call, args) VALUES ('record', $1, jsonb_build_object('on', $2)) RETURNING id
$$;
COMMENT ON FUNCTION pbx.record(uuid, boolean) IS 'Command: has a call recorded from now on, or not any more, whatever policies say. Returns the command''s id.';

CREATE PROCEDURE pbx.command_wait(id bigint, wait_ms integer DEFAULT 10000, INOUT state text DEFAULT NULL, INOUT cause text DEFAULT NULL,
                                  INOUT outcome text DEFAULT NULL) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    until   timestamptz := clock_timestamp() + wait_ms * interval '1 millisecond';
    pause_s double precision := 0.002;
BEGIN
    LOOP
        COMMIT;
        SELECT c.state, c.cause, c.outcome INTO state, cause, outcome FROM pbx.command AS c WHERE c.id = $1;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no command %', $1 USING ERRCODE = 'no_data_found';
        END IF;
        EXIT WHEN state IN ('done', 'failed') OR clock_timestamp() >= until;
        PERFORM pg_sleep(least(pause_s, extract(epoch FROM until - clock_timestamp())));
        pause_s := least(pause_s * 1.5, 0.1);
    END LOOP;
END $$;
COMMENT ON PROCEDURE pbx.command_wait(bigint, integer, text, text, text) IS 'Waits so many milliseconds for the end of a command, and returns how it stands: CALL pbx.command_wait(pbx.hangup(...)). It commits, so it can''t be called within a transaction block.';

COMMENT ON COLUMN pbx.recording.started_by IS 'policy: the columns record; step: a step of the dialplan; command: pbx.record(); else the extension that pressed record_code.';

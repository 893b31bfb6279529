-- What servers hand over from their outbox: each entry once, however often it is sent.

CREATE TABLE pbx.outbox_done (
    id uuid PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.outbox_done IS 'Outbox entries that were taken.';
COMMENT ON COLUMN pbx.outbox_done.id IS 'Id of the entry.';
COMMENT ON COLUMN pbx.outbox_done.at IS 'When it was taken.';

CREATE TABLE pbx.outbox_refused (
    id     uuid PRIMARY KEY,
    kind   text,
    doc    jsonb,
    sound  bytea,
    reason text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE pbx.outbox_refused IS 'Entries that could not be stored, such as a message for a mailbox deleted meanwhile. Nothing is lost: they wait here for a person.';
COMMENT ON COLUMN pbx.outbox_refused.id IS 'Id of the entry.';
COMMENT ON COLUMN pbx.outbox_refused.kind IS 'Its kind.';
COMMENT ON COLUMN pbx.outbox_refused.doc IS 'What it says.';
COMMENT ON COLUMN pbx.outbox_refused.sound IS 'Its recording, if it has one.';
COMMENT ON COLUMN pbx.outbox_refused.reason IS 'Why it was refused.';
COMMENT ON COLUMN pbx.outbox_refused.at IS 'When.';

CREATE FUNCTION pbx.time_of_ms(unix_ms numeric) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT timestamptz 'epoch' + unix_ms * interval '1 millisecond'
$$;
COMMENT ON FUNCTION pbx.time_of_ms(numeric) IS 'Milliseconds since 1970 as a time.';

CREATE FUNCTION pbx.outbox_cdr(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.cdr (call, domain, caller, caller_name, dialled, context, route, started, answered, ended, result, cause,
                         hangup_by, duration_ms, talk_ms)
    SELECT c.call, c.domain, coalesce(c.caller, ''), coalesce(c.caller_name, ''), coalesce(c.dialled, ''), coalesce(c.context, ''),
           coalesce(c.route, ''), pbx.time_of_ms(c.started_ms), pbx.time_of_ms(c.answered_ms), pbx.time_of_ms(c.ended_ms),
           c.result, c.cause, c.hangup_by,
           -- A clock that was set back must not cost the record.
           greatest(coalesce(c.duration_ms, c.ended_ms - c.started_ms), 0),
           greatest(coalesce(c.talk_ms, c.ended_ms - c.answered_ms), 0)
    FROM jsonb_to_record(doc) AS c(call uuid, domain text, caller text, caller_name text, dialled text, context text, route text,
             started_ms bigint, answered_ms bigint, ended_ms bigint, result text, cause integer, hangup_by text,
             duration_ms bigint, talk_ms bigint);

    INSERT INTO pbx.cdr_leg (call, leg, role, peer, number, started, ringing, answered, ended, status, cause, codec, packets_sent,
                             packets_received, lost, remote_lost, jitter_us, max_jitter_us, rtt_us, media_address)
    SELECT (doc ->> 'call')::uuid, l.leg, l.role, coalesce(l.peer, ''), coalesce(l.number, ''), pbx.time_of_ms(l.started_ms),
           pbx.time_of_ms(l.ringing_ms), pbx.time_of_ms(l.answered_ms),
           pbx.time_of_ms(coalesce(l.ended_ms, (doc ->> 'ended_ms')::bigint)), nullif(l.status, 0), nullif(l.cause, 0),
           nullif(l.codec, ''), l.packets_sent, l.packets_received, l.lost, l.remote_lost, l.jitter_us, l.max_jitter_us, l.rtt_us, nullif(l.media_address, '')
    FROM jsonb_to_recordset(coalesce(doc -> 'legs', '[]')) AS l(leg integer, role text, peer text, number text, started_ms bigint,
             ringing_ms bigint, answered_ms bigint, ended_ms bigint, status integer, cause integer, codec text, packets_sent bigint,
             packets_received bigint, lost bigint, remote_lost bigint, jitter_us bigint, max_jitter_us bigint, rtt_us bigint,
             media_address text)
$$;
COMMENT ON FUNCTION pbx.outbox_cdr(jsonb) IS 'Stores a call detail record with its legs. Times are *_ms, in milliseconds since 1970.';

CREATE FUNCTION pbx.outbox_binding(doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF (doc ->> 'remove')::boolean THEN
        -- "*" removes all of an extension.
        DELETE FROM pbx.binding
        WHERE domain = doc ->> 'domain' AND number = doc ->> 'number' AND doc ->> 'contact' IN (contact, '*');
        RETURN;
    END IF;
    INSERT INTO pbx.binding AS b (domain, number, contact, instance, call_id, cseq, q_milli, expires, proto, address, user_agent, node)
    SELECT d.domain, d.number, d.contact, d.instance, d.call_id, d.cseq, coalesce(d.q_milli, 1000), pbx.time_of_ms(d.expires_ms),
           d.proto, d.address, coalesce(d.user_agent, ''), coalesce(d.node, '')
    FROM jsonb_to_record(doc) AS d(domain text, number text, contact text, instance text, call_id text, cseq bigint, q_milli integer,
             expires_ms bigint, proto text, address text, user_agent text, node text)
    ON CONFLICT (domain, number, contact) DO UPDATE
    SET instance = excluded.instance, call_id = excluded.call_id, cseq = excluded.cseq, q_milli = excluded.q_milli,
        expires = excluded.expires, proto = excluded.proto, address = excluded.address, user_agent = excluded.user_agent,
        node = excluded.node;
END $$;
COMMENT ON FUNCTION pbx.outbox_binding(jsonb) IS 'Stores or removes a registered contact.';

CREATE FUNCTION pbx.outbox_voicemail(doc jsonb, sound bytea) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.voicemail (id, domain, number, received, caller_number, caller_name, duration_ms, sound, call)
    SELECT v.id, v.domain, v.number, pbx.time_of_ms(v.received_ms), coalesce(v.caller_number, ''), coalesce(v.caller_name, ''),
           v.duration_ms, $2, v.call
    FROM jsonb_to_record($1) AS v(id uuid, domain text, number text, received_ms bigint, caller_number text, caller_name text,
             duration_ms integer, call uuid)
$$;
COMMENT ON FUNCTION pbx.outbox_voicemail(jsonb, bytea) IS 'Stores a message with its sound.';

CREATE FUNCTION pbx.outbox_greeting(doc jsonb, sound bytea) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.greeting (domain, number, kind, sound, duration_ms)
    SELECT g.domain, g.number, g.kind, $2, g.duration_ms
    FROM jsonb_to_record($1) AS g(domain text, number text, kind text, duration_ms integer)
    ON CONFLICT (domain, number, kind) DO UPDATE
    SET sound = excluded.sound, duration_ms = excluded.duration_ms, changed = now()
$$;
COMMENT ON FUNCTION pbx.outbox_greeting(jsonb, bytea) IS 'Stores a greeting in place of the former one.';

CREATE FUNCTION pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO pbx.outbox_done (id) VALUES ($1) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        CASE $2
        WHEN 'cdr' THEN PERFORM pbx.outbox_cdr($3);
        WHEN 'binding' THEN PERFORM pbx.outbox_binding($3);
        WHEN 'voicemail' THEN PERFORM pbx.outbox_voicemail($3, $4);
        WHEN 'greeting' THEN PERFORM pbx.outbox_greeting($3, $4);
        ELSE RAISE EXCEPTION 'there is no such kind of entry' USING ERRCODE = 'data_exception';
        END CASE;
    -- Only what would be refused again tomorrow. A full disk, a deadlock or a shutdown goes up, and the entry is sent again.
    EXCEPTION WHEN data_exception OR integrity_constraint_violation THEN
        INSERT INTO pbx.outbox_refused (id, kind, doc, sound, reason) VALUES ($1, $2, $3, $4, SQLERRM);
        RAISE WARNING 'outbox entry % (%) refused: %', $1, $2, SQLERRM;
    END;
    RETURN true;
END $$;
COMMENT ON FUNCTION pbx.outbox_take(uuid, text, jsonb, bytea) IS 'Takes an entry of a server''s outbox: cdr, binding, voicemail or greeting. false: it was taken before. One that can''t be stored goes to pbx.outbox_refused and counts as taken.';

CREATE FUNCTION pbx.outbox_take_many(docs jsonb) RETURNS integer LANGUAGE sql AS $$
    SELECT count(*) FILTER (WHERE taken)::integer FROM (
        SELECT pbx.outbox_take((d ->> 'id')::uuid, d ->> 'kind', d -> 'doc') AS taken
        FROM jsonb_array_elements(docs) WITH ORDINALITY AS u(d, n) ORDER BY n OFFSET 0) AS entries
$$;
COMMENT ON FUNCTION pbx.outbox_take_many(jsonb) IS 'The same for many entries without sound, [{"id", "kind", "doc"}, ...], in one transaction. Returns how many were new.';

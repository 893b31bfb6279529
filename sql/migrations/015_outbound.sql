-- Phones behind proxies, with several connections, and with an address of their own (RFC 3327, 5626, 5627).

ALTER TABLE pbx.binding
    ADD COLUMN reg_id  integer NOT NULL DEFAULT 0 CHECK (reg_id >= 0),
    ADD COLUMN path    text,
    ADD COLUMN gruu_id text CHECK (gruu_id ~ '^[0-9a-f]{16}$');
UPDATE pbx.binding SET instance = '' WHERE instance IS NULL;
-- Two phones behind different NATs may have one and the same contact; two connections of one phone often have.
ALTER TABLE pbx.binding
    ALTER COLUMN instance SET DEFAULT '',
    ALTER COLUMN instance SET NOT NULL,
    DROP CONSTRAINT binding_pkey,
    ADD PRIMARY KEY (domain, number, contact, instance, reg_id);
COMMENT ON COLUMN pbx.binding.instance IS 'The phone''s +sip.instance (RFC 5626); empty: it told none.';
COMMENT ON COLUMN pbx.binding.reg_id IS 'Which of the phone''s connections it is (RFC 5626); 0: it told none.';
COMMENT ON COLUMN pbx.binding.path IS 'The proxies between the phone and us (RFC 3327), as a Route header; NULL: none.';
COMMENT ON COLUMN pbx.binding.gruu_id IS 'What the phone''s temporary GRUUs are found by (RFC 5627); NULL: it has none.';

CREATE OR REPLACE FUNCTION pbx.outbox_binding(doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF (doc ->> 'remove')::boolean THEN
        DELETE FROM pbx.binding
        WHERE domain = doc ->> 'domain' AND number = doc ->> 'number' AND contact = doc ->> 'contact'
          AND instance = coalesce(doc ->> 'instance', '') AND reg_id = coalesce((doc ->> 'reg_id')::integer, 0);
        RETURN;
    END IF;
    INSERT INTO pbx.binding AS b (domain, number, contact, instance, reg_id, path, gruu_id, call_id, cseq, q_milli, expires, proto,
                                  address, user_agent, node)
    SELECT d.domain, d.number, d.contact, coalesce(d.instance, ''), coalesce(d.reg_id, 0), d.path, d.gruu_id, d.call_id, d.cseq,
           coalesce(d.q_milli, 1000), pbx.time_of_ms(d.expires_ms), d.proto, d.address, coalesce(d.user_agent, ''), coalesce(d.node, '')
    FROM jsonb_to_record(doc) AS d(domain text, number text, contact text, instance text, reg_id integer, path text, gruu_id text,
             call_id text, cseq bigint, q_milli integer, expires_ms bigint, proto text, address text, user_agent text, node text)
    ON CONFLICT (domain, number, contact, instance, reg_id) DO UPDATE
    SET path = excluded.path, gruu_id = excluded.gruu_id, call_id = excluded.call_id, cseq = excluded.cseq,
        q_milli = excluded.q_milli, expires = excluded.expires, proto = excluded.proto, address = excluded.address,
        user_agent = excluded.user_agent, node = excluded.node;
END $$;

-- Trunks at which we register -----------------------------------------------------------------------

ALTER TABLE pbx.trunk
    ADD COLUMN register           boolean NOT NULL DEFAULT false,
    ADD COLUMN registrar          text CHECK (registrar ~ '^sips?:[^[:space:]<>"@]+$'),
    ADD COLUMN register_as        text CHECK (register_as ~ '^[^[:space:]<>"@:;?]{1,63}(@[A-Za-z0-9.:\[\]-]{1,253})?$'),
    ADD COLUMN register_expires_s integer NOT NULL DEFAULT 600 CHECK (register_expires_s BETWEEN 60 AND 86400),
    ADD COLUMN contact_user       text CHECK (contact_user ~ '^[A-Za-z0-9*#+._-]{1,63}$'),
    ADD COLUMN proxy              text CHECK (proxy ~ '^sips?:[^[:space:]<>",]+$'),
    ADD COLUMN number_from        text NOT NULL DEFAULT 'request' CHECK (number_from IN ('request', 'to')),
    ADD COLUMN qualify_s          integer CHECK (qualify_s BETWEEN 5 AND 3600),
    ADD CONSTRAINT registers_somewhere_as_somebody
        CHECK (NOT register OR (coalesce(registrar, uri) IS NOT NULL AND coalesce(register_as, auth_user) IS NOT NULL));
COMMENT ON COLUMN pbx.trunk.register IS 'true: Cordboard registers there, so that calls come in. How it stands is in pbx.trunk_state.';
COMMENT ON COLUMN pbx.trunk.registrar IS 'Where it registers: sip:provider.example;transport=tls. NULL: at uri.';
COMMENT ON COLUMN pbx.trunk.register_as IS 'The address it registers, user or user@host. NULL: auth_user at the registrar.';
COMMENT ON COLUMN pbx.trunk.register_expires_s IS 'For how long it asks each time, in seconds. It renews before that.';
COMMENT ON COLUMN pbx.trunk.contact_user IS 'User part of the contact it registers, to which calls then come. NULL: that of register_as.';
COMMENT ON COLUMN pbx.trunk.proxy IS 'Calls and registrations go through this proxy: sip:sbc.provider.example. NULL: straight to uri and registrar.';
COMMENT ON COLUMN pbx.trunk.number_from IS 'Which number a call that comes in is for: the one of the request line, or the one of To, where some providers put it.';
COMMENT ON COLUMN pbx.trunk.qualify_s IS 'How often it is asked (OPTIONS) whether it is there, in seconds; NULL: never. Calls to one that doesn''t answer fail at once.';

CREATE TABLE pbx.trunk_state (
    domain           text NOT NULL,
    name             text NOT NULL,
    node             text NOT NULL,
    registration     text NOT NULL DEFAULT 'off' CHECK (registration IN ('off', 'trying', 'registered', 'failed')),
    registered_until timestamptz,
    contact          text,
    registrar        text,
    status           integer,
    reason           text,
    register_rtt_us  bigint,
    failures         integer NOT NULL DEFAULT 0,
    next_try         timestamptz,
    reachable        boolean,
    reachable_since  timestamptz,
    rtt_us           bigint,
    PRIMARY KEY (domain, name, node),
    CONSTRAINT trunk_exists FOREIGN KEY (domain, name) REFERENCES pbx.trunk ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.trunk_state IS 'How trunks stand now, as each server sees it: registered or not, reachable or not. Written by servers.';
COMMENT ON COLUMN pbx.trunk_state.domain IS 'The domain.';
COMMENT ON COLUMN pbx.trunk_state.name IS 'The trunk.';
COMMENT ON COLUMN pbx.trunk_state.node IS 'The server.';
COMMENT ON COLUMN pbx.trunk_state.registration IS 'off: it isn''t asked to register. trying: no answer yet. registered, failed: what the last answer said.';
COMMENT ON COLUMN pbx.trunk_state.registered_until IS 'Until when the registration holds, if it isn''t renewed.';
COMMENT ON COLUMN pbx.trunk_state.contact IS 'The contact that is registered: calls come to it.';
COMMENT ON COLUMN pbx.trunk_state.registrar IS 'Address that the last REGISTER went to.';
COMMENT ON COLUMN pbx.trunk_state.status IS 'SIP status of the last answer; 0: there was none.';
COMMENT ON COLUMN pbx.trunk_state.reason IS 'Its text.';
COMMENT ON COLUMN pbx.trunk_state.register_rtt_us IS 'How long the last answer took, in microseconds.';
COMMENT ON COLUMN pbx.trunk_state.failures IS 'Failures in a row.';
COMMENT ON COLUMN pbx.trunk_state.next_try IS 'When it is renewed, or tried again.';
COMMENT ON COLUMN pbx.trunk_state.reachable IS 'Does it answer (OPTIONS)? NULL: not known.';
COMMENT ON COLUMN pbx.trunk_state.reachable_since IS 'Since when that is so.';
COMMENT ON COLUMN pbx.trunk_state.rtt_us IS 'Round trip of its last answer, in microseconds.';

CREATE FUNCTION pbx.trunk_state_registration(docs jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.trunk_state AS s (domain, name, node, registration, registered_until, contact, registrar, status, reason,
                                      register_rtt_us, failures, next_try)
    SELECT d.domain, d.name, d.node, d.registration, pbx.time_of_ms(d.registered_until_ms), d.contact, d.registrar, d.status, d.reason,
           d.register_rtt_us, d.failures, pbx.time_of_ms(d.next_try_ms)
    FROM jsonb_to_recordset(docs) AS d(domain text, name text, node text, registration text, registered_until_ms bigint, contact text,
             registrar text, status integer, reason text, register_rtt_us bigint, failures integer, next_try_ms bigint)
    JOIN pbx.trunk AS t ON (t.domain, t.name) = (d.domain, d.name)
    ON CONFLICT (domain, name, node) DO UPDATE
    SET registration = excluded.registration, registered_until = excluded.registered_until, contact = excluded.contact,
        registrar = excluded.registrar, status = excluded.status, reason = excluded.reason, register_rtt_us = excluded.register_rtt_us,
        failures = excluded.failures, next_try = excluded.next_try
$$;
COMMENT ON FUNCTION pbx.trunk_state_registration(jsonb) IS 'For servers: how registrations at trunks stand, [{"domain", "name", "node", ...}, ...].';

CREATE FUNCTION pbx.trunk_state_reach(docs jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.trunk_state AS s (domain, name, node, reachable, reachable_since, rtt_us)
    SELECT d.domain, d.name, d.node, d.reachable, pbx.time_of_ms(d.since_ms), d.rtt_us
    FROM jsonb_to_recordset(docs) AS d(domain text, name text, node text, reachable boolean, since_ms bigint, rtt_us bigint)
    JOIN pbx.trunk AS t ON (t.domain, t.name) = (d.domain, d.name)
    ON CONFLICT (domain, name, node) DO UPDATE
    SET reachable = excluded.reachable, reachable_since = excluded.reachable_since, rtt_us = excluded.rtt_us
$$;
COMMENT ON FUNCTION pbx.trunk_state_reach(jsonb) IS 'For servers: which trunks answer, [{"domain", "name", "node", "reachable", "since_ms", "rtt_us"}, ...].';

-- Which phones answer -------------------------------------------------------------------------------

ALTER TABLE pbx.domain ADD COLUMN qualify_s integer CHECK (qualify_s BETWEEN 5 AND 3600);
ALTER TABLE pbx.extension ADD COLUMN qualify_s integer CHECK (qualify_s = 0 OR qualify_s BETWEEN 5 AND 3600);
COMMENT ON COLUMN pbx.domain.qualify_s IS 'How often registered phones are asked (OPTIONS) whether they are there, in seconds; NULL: never.';
COMMENT ON COLUMN pbx.extension.qualify_s IS 'How often its phones are asked whether they are there, in seconds; 0: never, NULL: as the domain says. Calls ring those that answer, if there are any.';

ALTER TABLE pbx.binding
    ADD COLUMN reachable       boolean,
    ADD COLUMN reachable_since timestamptz,
    ADD COLUMN rtt_us          bigint;
COMMENT ON COLUMN pbx.binding.reachable IS 'Does it answer when asked (OPTIONS)? NULL: not known.';
COMMENT ON COLUMN pbx.binding.reachable_since IS 'Since when that is so.';
COMMENT ON COLUMN pbx.binding.rtt_us IS 'Round trip of its last answer, in microseconds. Small changes are not written.';

CREATE FUNCTION pbx.binding_reach(docs jsonb) RETURNS void LANGUAGE sql AS $$
    UPDATE pbx.binding AS b
    SET reachable = d.reachable, reachable_since = pbx.time_of_ms(d.since_ms), rtt_us = d.rtt_us
    FROM jsonb_to_recordset(docs) AS d(domain text, number text, contact text, instance text, reg_id integer, reachable boolean,
             since_ms bigint, rtt_us bigint)
    WHERE (b.domain, b.number, b.contact, b.instance, b.reg_id) = (d.domain, d.number, d.contact, coalesce(d.instance, ''), d.reg_id)
$$;
COMMENT ON FUNCTION pbx.binding_reach(jsonb) IS 'For servers: which registered contacts answer.';

CREATE FUNCTION pbx.state_forget(node text) RETURNS void LANGUAGE sql AS $$
    DELETE FROM pbx.trunk_state WHERE node = $1;
    UPDATE pbx.binding SET reachable = NULL, reachable_since = NULL, rtt_us = NULL WHERE node = $1 AND reachable IS NOT NULL;
$$;
COMMENT ON FUNCTION pbx.state_forget(text) IS 'For servers: one that starts knows nothing of what it saw before.';

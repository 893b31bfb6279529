-- Events and messages: who watches whom, what is said of a number besides its calls, text messages for those who are away, and what
-- phones are asked to do.

-- Who sees what -------------------------------------------------------------------------------------

ALTER TABLE pbx.extension ADD presence_hidden boolean NOT NULL DEFAULT false, ADD sees_peers boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN pbx.extension.presence_hidden IS 'true: nobody but itself may watch its lamp or presence.';
COMMENT ON COLUMN pbx.extension.sees_peers IS 'Whether lamps of others show it with whom they talk; false: only that they do.';

CREATE FUNCTION pbx.is_xml_text(value text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT value !~ '[[:cntrl:]]' AND octet_length(value) < 256
$$;
COMMENT ON FUNCTION pbx.is_xml_text(text) IS 'One line that fits into a presence document.';

CREATE TABLE pbx.presence_note (
    domain   text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    number   text NOT NULL,
    lamp     text CHECK (lamp IN ('idle', 'ringing', 'busy')),
    status   text CHECK (status IN ('open', 'closed')),
    activity text,
    note     text,
    changed  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, number),
    CONSTRAINT number_can_be_dialled CHECK (number ~ '^[0-9A-Za-z*#+._-]{1,63}$'),
    CONSTRAINT activity_is_a_word_of_rpid CHECK (activity ~ '^[a-z]+(-[a-z]+)*$' AND length(activity) < 32),
    CONSTRAINT note_is_one_line CHECK (pbx.is_xml_text(note))
);
COMMENT ON TABLE pbx.presence_note IS 'What is said of a number besides its calls: a state set by a program, or a lamp of its own for a number that no phone has. UPDATE a row and all who watch it are told.';
COMMENT ON COLUMN pbx.presence_note.domain IS 'The domain.';
COMMENT ON COLUMN pbx.presence_note.number IS 'An extension, or a number that is only watched: the row makes it one.';
COMMENT ON COLUMN pbx.presence_note.lamp IS 'What its lamp shows besides its calls: idle, ringing, busy; NULL: nothing.';
COMMENT ON COLUMN pbx.presence_note.status IS 'Its presence, whatever its phones say: open, closed; NULL: as they say.';
COMMENT ON COLUMN pbx.presence_note.activity IS 'What its user does, a word of RFC 4480: away, busy, meeting, vacation ...; NULL: as its phones and calls say.';
COMMENT ON COLUMN pbx.presence_note.note IS 'A line for people; NULL: none.';
COMMENT ON COLUMN pbx.presence_note.changed IS 'When it was made.';
CALL pbx.change_watch('pbx.presence_note', 'presence_note', 'domain', 'number');
CREATE INDEX presence_note_change_key ON pbx.presence_note ((domain || '/' || number));
COMMENT ON INDEX pbx.presence_note_change_key IS 'Rows by their key in pbx.change.';

-- Subscriptions -------------------------------------------------------------------------------------

CREATE TABLE pbx.subscription (
    id           text PRIMARY KEY,
    domain       text NOT NULL,
    number       text NOT NULL,
    package      text NOT NULL,
    resource     text NOT NULL,
    entity       text NOT NULL,
    event        text NOT NULL,
    call_id      text NOT NULL,
    remote_tag   text NOT NULL,
    local        text NOT NULL,
    remote       text NOT NULL,
    target       text NOT NULL,
    routes       text NOT NULL,
    contact_user text NOT NULL,
    local_seq    bigint NOT NULL CHECK (local_seq BETWEEN 0 AND 4294967295),
    remote_seq   bigint NOT NULL CHECK (remote_seq BETWEEN 0 AND 4294967295),
    version      bigint NOT NULL CHECK (version BETWEEN 0 AND 4294967295),
    proto        text NOT NULL CHECK (proto IN ('udp', 'tcp', 'tls', 'ws', 'wss')),
    address      text NOT NULL,
    expires      timestamptz NOT NULL,
    node         text NOT NULL DEFAULT '',
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.subscription IS 'Who watches what (RFC 6665), as a server needs it to go on after a restart. Written by servers.';
COMMENT ON COLUMN pbx.subscription.id IS 'The server''s tag of the dialog.';
COMMENT ON COLUMN pbx.subscription.domain IS 'The domain.';
COMMENT ON COLUMN pbx.subscription.number IS 'The extension that watches.';
COMMENT ON COLUMN pbx.subscription.package IS 'Event package: dialog (lamps), presence, message-summary.';
COMMENT ON COLUMN pbx.subscription.resource IS 'The number it watches.';
COMMENT ON COLUMN pbx.subscription.entity IS 'URI of that number as the watcher knows it.';
COMMENT ON COLUMN pbx.subscription.event IS 'Event header as subscribed to, with its id.';
COMMENT ON COLUMN pbx.subscription.call_id IS 'Call-ID of the dialog.';
COMMENT ON COLUMN pbx.subscription.remote_tag IS 'The watcher''s tag.';
COMMENT ON COLUMN pbx.subscription.local IS 'From of NOTIFYs.';
COMMENT ON COLUMN pbx.subscription.remote IS 'To of NOTIFYs.';
COMMENT ON COLUMN pbx.subscription.target IS 'Request-URI of NOTIFYs: the watcher''s Contact.';
COMMENT ON COLUMN pbx.subscription.routes IS 'Route set, a line each.';
COMMENT ON COLUMN pbx.subscription.contact_user IS 'User part of the server''s Contact.';
COMMENT ON COLUMN pbx.subscription.local_seq IS 'CSeq from which the next process goes on; the running one is below.';
COMMENT ON COLUMN pbx.subscription.remote_seq IS 'CSeq of the watcher''s last SUBSCRIBE that was written down.';
COMMENT ON COLUMN pbx.subscription.version IS 'Version of the body from which the next process goes on.';
COMMENT ON COLUMN pbx.subscription.proto IS 'Transport of the last SUBSCRIBE.';
COMMENT ON COLUMN pbx.subscription.address IS 'Address and port it came from.';
COMMENT ON COLUMN pbx.subscription.expires IS 'Until when it holds.';
COMMENT ON COLUMN pbx.subscription.node IS 'The server that has it.';
CREATE INDEX subscription_extension ON pbx.subscription (domain, number);
COMMENT ON INDEX pbx.subscription_extension IS 'What an extension watches.';

CREATE FUNCTION pbx.outbox_subscription(doc jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM pbx.subscription WHERE id = doc ->> 'id';
    IF (doc ->> 'remove')::boolean THEN
        RETURN;
    END IF;
    -- An extension that is gone meanwhile watches nothing: nobody has to look at that.
    INSERT INTO pbx.subscription (id, domain, number, package, resource, entity, event, call_id, remote_tag, local, remote, target,
                                  routes, contact_user, local_seq, remote_seq, version, proto, address, expires, node)
    SELECT d.id, d.domain, d.number, d.package, d.resource, d.entity, d.event, d.call_id, d.remote_tag, d.local, d.remote, d.target,
           d.routes, d.contact_user, d.local_seq, d.remote_seq, d.version, d.proto, d.address, pbx.time_of_ms(d.expires_ms),
           coalesce(d.node, '')
    FROM jsonb_to_record(doc) AS d(id text, domain text, number text, package text, resource text, entity text, event text, call_id text,
             remote_tag text, local text, remote text, target text, routes text, contact_user text, local_seq bigint, remote_seq bigint,
             version bigint, proto text, address text, expires_ms bigint, node text)
    WHERE EXISTS (SELECT FROM pbx.extension AS e WHERE (e.domain, e.number) = (d.domain, d.number));
END $$;
COMMENT ON FUNCTION pbx.outbox_subscription(jsonb) IS 'Stores or removes a subscription.';

-- Messages ------------------------------------------------------------------------------------------

CREATE TABLE pbx.message (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain       text NOT NULL,
    number       text NOT NULL,
    sender       text NOT NULL,
    sender_name  text NOT NULL DEFAULT '',
    content_type text NOT NULL,
    body         bytea NOT NULL CHECK (length(body) <= 65536),
    received     timestamptz NOT NULL DEFAULT now(),
    expires      timestamptz NOT NULL,
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.message IS 'Text messages (SIP MESSAGE) for extensions that had no phone registered. Delivered in their order when one registers, and removed then.';
COMMENT ON COLUMN pbx.message.id IS 'Their order.';
COMMENT ON COLUMN pbx.message.domain IS 'The domain.';
COMMENT ON COLUMN pbx.message.number IS 'The extension it is for.';
COMMENT ON COLUMN pbx.message.sender IS 'Number of the sender.';
COMMENT ON COLUMN pbx.message.sender_name IS 'His name.';
COMMENT ON COLUMN pbx.message.content_type IS 'Content-Type as sent.';
COMMENT ON COLUMN pbx.message.body IS 'What it says.';
COMMENT ON COLUMN pbx.message.received IS 'When it came.';
COMMENT ON COLUMN pbx.message.expires IS 'Then it is no longer worth delivering.';
CALL pbx.change_watch('pbx.message', 'message', 'domain', 'number');
CREATE INDEX message_recipient ON pbx.message (domain, number, id);
COMMENT ON INDEX pbx.message_recipient IS 'Messages for an extension, in their order.';
CREATE INDEX message_expires ON pbx.message (expires);
COMMENT ON INDEX pbx.message_expires IS 'For housekeeping.';

CREATE FUNCTION pbx.message_store(domain text, number text, sender text, sender_name text, content_type text, body bytea,
                                  keep_s integer, most integer) RETURNS boolean LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Two that come at once count one after the other.
    PERFORM pg_advisory_xact_lock(hashtextextended('pbx.message/' || $1 || '/' || $2, 0));
    INSERT INTO pbx.message (domain, number, sender, sender_name, content_type, body, expires)
    SELECT $1, $2, $3, $4, $5, $6, now() + $7 * interval '1 second'
    WHERE (SELECT count(*) FROM pbx.message WHERE (domain, number) = ($1, $2) AND expires > now()) < $8;
    RETURN FOUND;
END $$;
COMMENT ON FUNCTION pbx.message_store(text, text, text, text, text, bytea, integer, integer) IS 'Stores a message for an extension that is away, for so many seconds; false: so many are waiting already.';

-- What phones are asked -----------------------------------------------------------------------------

CREATE TABLE pbx.phone_request (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text NOT NULL,
    number text NOT NULL,
    event  text NOT NULL CHECK (event IN ('check-sync;reboot=true', 'check-sync;reboot=false', 'talk', 'hold')),
    made   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.phone_request IS 'What the phones of an extension are to do; a server takes the row away when it asks them.';
COMMENT ON COLUMN pbx.phone_request.id IS 'Their order.';
COMMENT ON COLUMN pbx.phone_request.domain IS 'The domain.';
COMMENT ON COLUMN pbx.phone_request.number IS 'The extension.';
COMMENT ON COLUMN pbx.phone_request.event IS 'check-sync: fetch the configuration anew, with or without a restart of the phone; talk: take the call that rings or is held; hold: hold the call.';
COMMENT ON COLUMN pbx.phone_request.made IS 'When it was asked.';
CALL pbx.change_watch('pbx.phone_request', 'phone_request', 'domain', 'number');

CREATE FUNCTION pbx.check_sync(domain text, number text, reboot boolean DEFAULT true) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.phone_request (domain, number, event) VALUES ($1, $2, 'check-sync;reboot=' || $3)
$$;
COMMENT ON FUNCTION pbx.check_sync(text, text, boolean) IS 'Asks all phones of an extension to fetch their configuration anew.';
CREATE FUNCTION pbx.phone_talk(domain text, number text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.phone_request (domain, number, event) VALUES ($1, $2, 'talk')
$$;
COMMENT ON FUNCTION pbx.phone_talk(text, text) IS 'Asks the phone of an extension that rings, or holds a call, to take it.';
CREATE FUNCTION pbx.phone_hold(domain text, number text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.phone_request (domain, number, event) VALUES ($1, $2, 'hold')
$$;
COMMENT ON FUNCTION pbx.phone_hold(text, text) IS 'Asks the phone of an extension to hold its call.';

-- The outbox and housekeeping -----------------------------------------------------------------------

CREATE OR REPLACE FUNCTION pbx.outbox_take(id uuid, kind text, doc jsonb, sound bytea DEFAULT NULL) RETURNS boolean LANGUAGE plpgsql AS $$
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
        WHEN 'subscription' THEN PERFORM pbx.outbox_subscription($3);
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
COMMENT ON FUNCTION pbx.outbox_take(uuid, text, jsonb, bytea) IS 'Takes an entry of a server''s outbox: cdr, binding, subscription, voicemail or greeting. false: it was taken before. One that can''t be stored goes to pbx.outbox_refused and counts as taken.';

ALTER TABLE pbx.retention DROP CONSTRAINT what_is_known;
ALTER TABLE pbx.retention ADD CONSTRAINT what_is_known CHECK (what IN ('voicemail', 'binding', 'change', 'outbox_done', 'cdr',
    'subscription', 'message', 'phone_request'));
INSERT INTO pbx.retention VALUES ('subscription', '1 hour'), ('message', '1 hour'), ('phone_request', '1 hour');
COMMENT ON COLUMN pbx.retention.what IS 'voicemail: messages since their owner deleted them; binding, subscription, message: since they expired; phone_request: since it was made; change: the log that servers follow; outbox_done: ids of what servers handed over; cdr: records of calls, which by default are kept for ever.';

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
        END CASE;
        what := r.what;
        GET DIAGNOSTICS removed = ROW_COUNT;
        RETURN NEXT;
    END LOOP;
END $$;
COMMENT ON FUNCTION pbx.housekeeping() IS 'Removes what has been kept as long as pbx.retention says; how many rows of each. Servers call it every hour.';

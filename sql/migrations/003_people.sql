-- Extensions, their passwords and forwards, and mailboxes.

CREATE TABLE pbx.extension (
    domain       text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    number       text NOT NULL,
    display_name text NOT NULL DEFAULT '',
    context      text NOT NULL DEFAULT 'office',
    ring_s       integer NOT NULL DEFAULT 20 CHECK (ring_s BETWEEN 1 AND 600),
    call_limit   integer CHECK (call_limit >= 0),
    algorithms   text[],
    language     text,
    music_class  text,
    enabled      boolean NOT NULL DEFAULT true,
    PRIMARY KEY (domain, number),
    CONSTRAINT context_exists FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE,
    CONSTRAINT display_name_is_one_line CHECK (display_name !~ '[[:cntrl:]]' AND octet_length(display_name) < 128),
    CONSTRAINT algorithms_are_md5_or_sha256 CHECK (pbx.algorithms_valid(algorithms)),
    CONSTRAINT language_is_a_tag CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$')
);
COMMENT ON TABLE pbx.extension IS 'A user''s number. Phones register to it with one of its credentials.';
COMMENT ON COLUMN pbx.extension.domain IS 'The domain.';
COMMENT ON COLUMN pbx.extension.number IS 'The number.';
COMMENT ON COLUMN pbx.extension.display_name IS 'Name shown to those it calls.';
COMMENT ON COLUMN pbx.extension.context IS 'What it may dial.';
COMMENT ON COLUMN pbx.extension.ring_s IS 'How long it rings before it counts as not answering, in seconds.';
COMMENT ON COLUMN pbx.extension.call_limit IS 'How many calls at once; NULL: no limit.';
COMMENT ON COLUMN pbx.extension.algorithms IS 'Digest algorithms offered to its phones; NULL: the domain''s.';
COMMENT ON COLUMN pbx.extension.language IS 'Language of prompts it hears; NULL: the domain''s.';
COMMENT ON COLUMN pbx.extension.music_class IS 'Music it gives others on hold; NULL: the domain''s.';
COMMENT ON COLUMN pbx.extension.enabled IS 'false: it can neither register nor call, and calls to it find it unavailable.';
CALL pbx.number_holder('pbx.extension');

-- Passwords ----------------------------------------------------------------------------------------

CREATE TABLE pbx.credential (
    domain     text NOT NULL,
    auth_name  text NOT NULL,
    number     text NOT NULL,
    ha1_md5    text CHECK (ha1_md5 ~ '^[0-9a-f]{32}$'),
    ha1_sha256 text CHECK (ha1_sha256 ~ '^[0-9a-f]{64}$'),
    PRIMARY KEY (domain, auth_name),
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT auth_name_is_a_word CHECK (auth_name ~ '^[A-Za-z0-9*#+._@~-]{1,63}$')
);
COMMENT ON TABLE pbx.credential IS 'A name and password with which phones of an extension authenticate. Set by pbx.set_password().';
COMMENT ON COLUMN pbx.credential.domain IS 'The domain.';
COMMENT ON COLUMN pbx.credential.auth_name IS 'User name of digest authentication, often the number. Part of the hashes, so it never changes.';
COMMENT ON COLUMN pbx.credential.number IS 'The extension it is for.';
COMMENT ON COLUMN pbx.credential.ha1_md5 IS 'MD5 of auth_name:realm:password in hex (RFC 7616 HA1); NULL: none set.';
COMMENT ON COLUMN pbx.credential.ha1_sha256 IS 'The same with SHA-256.';
CREATE INDEX credential_extension ON pbx.credential (domain, number);
COMMENT ON INDEX pbx.credential_extension IS 'Credentials of an extension.';

CREATE FUNCTION pbx.credential_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'credential %/%: an authentication name is not changed', OLD.domain, OLD.auth_name
        USING ERRCODE = 'check_violation',
              DETAIL = 'Its password hash contains the name and would not fit another.', HINT = 'Make a new one and delete this.';
END $$;
COMMENT ON FUNCTION pbx.credential_keep() IS 'Trigger: refuses another authentication name.';
CREATE TRIGGER credential_keep BEFORE UPDATE OF domain, auth_name ON pbx.credential
    FOR EACH ROW WHEN ((OLD.domain, OLD.auth_name) IS DISTINCT FROM (NEW.domain, NEW.auth_name))
    EXECUTE FUNCTION pbx.credential_keep();

CREATE FUNCTION pbx.set_password(domain text, auth_name text, password text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ha1_input text;
    for_domain text := $1;
    name text := $2;
BEGIN
    IF password IS NULL OR password = '' THEN
        RAISE EXCEPTION 'credential %/%: the password is empty', for_domain, name USING ERRCODE = 'check_violation';
    END IF;
    SELECT name || ':' || realm || ':' || password INTO ha1_input FROM pbx.domain WHERE domain = for_domain;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no domain %', for_domain USING ERRCODE = 'foreign_key_violation';
    END IF;
    UPDATE pbx.credential SET ha1_md5 = md5(ha1_input), ha1_sha256 = encode(sha256(convert_to(ha1_input, 'UTF8')), 'hex')
    WHERE domain = for_domain AND auth_name = name;
    IF FOUND THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pbx.extension WHERE domain = for_domain AND number = name) THEN
        RAISE EXCEPTION 'credential %/%: there is neither such a credential nor an extension of that number', for_domain, name
            USING ERRCODE = 'foreign_key_violation',
                  HINT = 'For a name that is not the number, insert (domain, auth_name, number) into pbx.credential first.';
    END IF;
    INSERT INTO pbx.credential (domain, auth_name, number, ha1_md5, ha1_sha256)
    VALUES (for_domain, name, name, md5(ha1_input), encode(sha256(convert_to(ha1_input, 'UTF8')), 'hex'));
END $$;
COMMENT ON FUNCTION pbx.set_password(text, text, text) IS 'Sets the password of a credential; makes the credential if an extension has that number. Only hashes are stored.';

CREATE FUNCTION pbx.random_text(characters integer, alphabet text) RETURNS text LANGUAGE sql VOLATILE AS $$
    -- 32 random bits a character, so that the bias of the remainder is nil.
    SELECT string_agg(substr(alphabet, 1 + (('x' || left(gen_random_uuid()::text, 8))::bit(32)::bigint % length(alphabet))::integer, 1), '')
    FROM generate_series(1, characters)
$$;
COMMENT ON FUNCTION pbx.random_text(integer, text) IS 'So many characters drawn from an alphabet with strong randomness: for passwords and PINs.';

-- Forwards -----------------------------------------------------------------------------------------

CREATE TABLE pbx.forward (
    domain  text NOT NULL,
    number  text NOT NULL,
    reason  text NOT NULL CHECK (reason IN ('always', 'busy', 'no_answer', 'unavailable')),
    target  text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    PRIMARY KEY (domain, number, reason),
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT extension_does_not_forward_to_itself CHECK (target <> number)
);
COMMENT ON TABLE pbx.forward IS 'Where calls to an extension go instead.';
COMMENT ON COLUMN pbx.forward.domain IS 'The domain.';
COMMENT ON COLUMN pbx.forward.number IS 'The extension.';
COMMENT ON COLUMN pbx.forward.reason IS 'When: always, busy, no_answer, or unavailable (no phone registered or reachable).';
COMMENT ON COLUMN pbx.forward.target IS 'A number that the extension could dial itself.';
COMMENT ON COLUMN pbx.forward.enabled IS 'false: kept but not used.';

-- Mailboxes ----------------------------------------------------------------------------------------

CREATE FUNCTION pbx.pin_hash(pin text) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    salt bytea := uuid_send(gen_random_uuid());
BEGIN
    IF pin IS NULL OR pin !~ '^[0-9]{3,12}$' THEN
        RAISE EXCEPTION 'a PIN has 3 to 12 digits' USING ERRCODE = 'check_violation';
    END IF;
    RETURN 'sha256$' || encode(salt, 'hex') || '$' || encode(sha256(salt || convert_to(pin, 'UTF8')), 'hex');
END $$;
COMMENT ON FUNCTION pbx.pin_hash(text) IS 'A PIN as it is stored: sha256$<salt, hex>$<SHA-256 of salt bytes and PIN, hex>.';

CREATE FUNCTION pbx.pin_check(pin text, pin_hash text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce($2 = 'sha256$' || split_part($2, '$', 2) || '$'
           || encode(sha256(decode(split_part($2, '$', 2), 'hex') || convert_to($1, 'UTF8')), 'hex'), false)
$$;
COMMENT ON FUNCTION pbx.pin_check(text, text) IS 'Is it the PIN of this hash?';

CREATE TABLE pbx.mailbox (
    domain        text NOT NULL,
    number        text NOT NULL,
    pin_hash      text CHECK (pin_hash ~ '^sha256\$([0-9a-f]{2}){8,64}\$[0-9a-f]{64}$'),
    language      text,
    timezone      text,
    max_messages  integer NOT NULL DEFAULT 100 CHECK (max_messages BETWEEN 1 AND 100000),
    max_message_s integer NOT NULL DEFAULT 300 CHECK (max_message_s BETWEEN 5 AND 7200),
    email         text CHECK (email ~ '^[^@\s]+@[^@\s]+$'),
    PRIMARY KEY (domain, number),
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT language_is_a_tag CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    CONSTRAINT timezone_is_known CHECK (pbx.timezone_valid(timezone))
);
COMMENT ON TABLE pbx.mailbox IS 'Voicemail of an extension. Deleting it deletes its messages.';
COMMENT ON COLUMN pbx.mailbox.domain IS 'The domain.';
COMMENT ON COLUMN pbx.mailbox.number IS 'The extension it belongs to.';
COMMENT ON COLUMN pbx.mailbox.pin_hash IS 'PIN in the form of pbx.pin_hash(); NULL: none, so it opens only from its own extension. Set by pbx.set_pin().';
COMMENT ON COLUMN pbx.mailbox.language IS 'Language its owner hears; NULL: the extension''s.';
COMMENT ON COLUMN pbx.mailbox.timezone IS 'In which the time of messages is told; NULL: the domain''s.';
COMMENT ON COLUMN pbx.mailbox.max_messages IS 'How many messages it holds; callers are then told that it is full.';
COMMENT ON COLUMN pbx.mailbox.max_message_s IS 'Longest message, in seconds.';
COMMENT ON COLUMN pbx.mailbox.email IS 'Address of its owner.';

CREATE FUNCTION pbx.set_pin(domain text, number text, pin text) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE pbx.mailbox SET pin_hash = CASE WHEN pin IS NOT NULL THEN pbx.pin_hash(pin) END
    WHERE domain = $1 AND number = $2;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no mailbox %/%', $1, $2 USING ERRCODE = 'foreign_key_violation';
    END IF;
END $$;
COMMENT ON FUNCTION pbx.set_pin(text, text, text) IS 'Sets the PIN of a mailbox; NULL removes it.';

CREATE TABLE pbx.greeting (
    domain      text NOT NULL,
    number      text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('unavailable', 'busy', 'name')),
    sound       bytea NOT NULL CHECK (length(sound) > 0),
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    changed     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, number, kind),
    CONSTRAINT mailbox_exists FOREIGN KEY (domain, number) REFERENCES pbx.mailbox ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.greeting IS 'What a mailbox says in its owner''s voice, in place of the standard greeting.';
COMMENT ON COLUMN pbx.greeting.domain IS 'The domain.';
COMMENT ON COLUMN pbx.greeting.number IS 'The mailbox.';
COMMENT ON COLUMN pbx.greeting.kind IS 'unavailable, busy, or name: only the owner''s name.';
COMMENT ON COLUMN pbx.greeting.sound IS 'A WAV file.';
COMMENT ON COLUMN pbx.greeting.duration_ms IS 'Its length.';
COMMENT ON COLUMN pbx.greeting.changed IS 'When it was recorded.';

CALL pbx.change_watch('pbx.extension', 'extension', 'domain', 'number');
CALL pbx.change_watch('pbx.credential', 'credential', 'domain', 'auth_name');
CALL pbx.change_watch('pbx.forward', 'forward', 'domain', 'number', 'reason');
CALL pbx.change_watch('pbx.mailbox', 'mailbox', 'domain', 'number');
CALL pbx.change_watch('pbx.greeting', 'greeting', 'domain', 'number', 'kind');

-- Conference rooms, and who is in them.

ALTER TABLE pbx.number DROP CONSTRAINT number_kind_check,
    ADD CONSTRAINT number_kind_check CHECK (kind IN ('extension', 'ring_group', 'menu', 'conference'));
COMMENT ON TABLE pbx.number IS 'All numbers in use in a domain: extensions, groups, menus and conference rooms share one number space. Kept by triggers of their tables.';

CREATE OR REPLACE FUNCTION pbx.number_claim() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    holder text;
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.domain = OLD.domain AND NEW.number = OLD.number THEN
        RETURN NEW;
    END IF;
    INSERT INTO pbx.number (domain, number, kind) VALUES (NEW.domain, NEW.number, TG_TABLE_NAME) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        SELECT kind INTO holder FROM pbx.number WHERE domain = NEW.domain AND number = NEW.number;
        -- One of the same kind is left to the primary key of its table, so that ON CONFLICT works there.
        IF holder IS DISTINCT FROM TG_TABLE_NAME THEN
            RAISE EXCEPTION '% %/%: the number is taken by %', TG_TABLE_NAME, NEW.domain, NEW.number,
                            CASE holder WHEN 'extension' THEN 'an extension' WHEN 'ring_group' THEN 'a ring group'
                                        WHEN 'menu' THEN 'a menu' WHEN 'conference' THEN 'a conference room'
                                        ELSE 'what another session just made' END
                USING ERRCODE = 'unique_violation';
        END IF;
    END IF;
    RETURN NEW;
END $$;

-- Rooms --------------------------------------------------------------------------------------------

CREATE TABLE pbx.conference (
    domain             text NOT NULL,
    number             text NOT NULL,
    name               text NOT NULL DEFAULT '',
    pin_hash           text CHECK (pin_hash ~ '^sha256\$([0-9a-f]{2}){8,64}\$[0-9a-f]{64}$'),
    moderator_pin_hash text CHECK (moderator_pin_hash ~ '^sha256\$([0-9a-f]{2}){8,64}\$[0-9a-f]{64}$'),
    max_members        integer NOT NULL DEFAULT 50 CHECK (max_members BETWEEN 2 AND 2000),
    speakers           integer NOT NULL DEFAULT 4 CHECK (speakers BETWEEN 1 AND 6),
    tones              boolean NOT NULL DEFAULT true,
    music_class        text,
    muted_on_entry     boolean NOT NULL DEFAULT false,
    wait_for_moderator boolean NOT NULL DEFAULT false,
    PRIMARY KEY (domain, number),
    CONSTRAINT music_class_exists FOREIGN KEY (domain, music_class) REFERENCES pbx.music_class (domain, class)
        ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT a_moderator_is_known_by_a_pin CHECK (NOT wait_for_moderator OR moderator_pin_hash IS NOT NULL)
);
COMMENT ON TABLE pbx.conference IS 'Conference rooms: who dials a route whose step "conference" names one hears all others that are in it.';
COMMENT ON COLUMN pbx.conference.domain IS 'The domain.';
COMMENT ON COLUMN pbx.conference.number IS 'Its number.';
COMMENT ON COLUMN pbx.conference.name IS 'Name for people.';
COMMENT ON COLUMN pbx.conference.pin_hash IS 'PIN of members in the form of pbx.pin_hash(); NULL: none is needed. Set by pbx.set_conference_pin().';
COMMENT ON COLUMN pbx.conference.moderator_pin_hash IS 'PIN of moderators, who may lock the room and send members out of it; NULL: it has none.';
COMMENT ON COLUMN pbx.conference.max_members IS 'How many may be in it, moderators too. What a server can do: see "Conferences" in README.md.';
COMMENT ON COLUMN pbx.conference.speakers IS 'How many are heard at once: the loudest of those who talk.';
COMMENT ON COLUMN pbx.conference.tones IS 'Does a tone tell that somebody comes or goes?';
COMMENT ON COLUMN pbx.conference.music_class IS 'What is heard by who is alone, or waits for a moderator; NULL: nothing.';
COMMENT ON COLUMN pbx.conference.muted_on_entry IS 'Do members begin muted? They, but not moderators, then press *1 to speak.';
COMMENT ON COLUMN pbx.conference.wait_for_moderator IS 'Do members hear each other only while a moderator is there?';
CALL pbx.number_holder('pbx.conference');
CALL pbx.change_watch('pbx.conference', 'conference', 'domain', 'number');

CREATE FUNCTION pbx.set_conference_pin(domain text, number text, pin text, moderator_pin text DEFAULT NULL) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF $3 = $4 THEN
        RAISE EXCEPTION 'the PIN of moderators must be another than that of members' USING ERRCODE = 'check_violation';
    END IF;
    UPDATE pbx.conference AS c
    SET pin_hash = CASE WHEN $3 IS NOT NULL THEN pbx.pin_hash($3) END,
        moderator_pin_hash = CASE WHEN $4 IS NOT NULL THEN pbx.pin_hash($4) END
    WHERE c.domain = $1 AND c.number = $2;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no conference %/%', $1, $2 USING ERRCODE = 'foreign_key_violation';
    END IF;
END $$;
COMMENT ON FUNCTION pbx.set_conference_pin(text, text, text, text) IS 'Sets the PINs of a room, of members and of moderators; NULL removes one.';

-- Who is in them -----------------------------------------------------------------------------------

-- Written by servers as it happens; after a crash of the database there is nothing in it that would still be true.
CREATE UNLOGGED TABLE pbx.conference_member (
    call        uuid PRIMARY KEY,
    domain      text NOT NULL,
    number      text NOT NULL,
    node        text NOT NULL,
    caller      text NOT NULL DEFAULT '',
    caller_name text NOT NULL DEFAULT '',
    since       timestamptz NOT NULL DEFAULT now(),
    moderator   boolean NOT NULL DEFAULT false,
    muted       boolean NOT NULL DEFAULT false,
    talking     boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE pbx.conference_member IS 'Who is in a conference room now. Written by servers.';
COMMENT ON COLUMN pbx.conference_member.call IS 'The call by which he is there, as in pbx.cdr.';
COMMENT ON COLUMN pbx.conference_member.domain IS 'The domain.';
COMMENT ON COLUMN pbx.conference_member.number IS 'The room.';
COMMENT ON COLUMN pbx.conference_member.node IS 'The server on which he is.';
COMMENT ON COLUMN pbx.conference_member.caller IS 'His number.';
COMMENT ON COLUMN pbx.conference_member.caller_name IS 'His name.';
COMMENT ON COLUMN pbx.conference_member.since IS 'When he came.';
COMMENT ON COLUMN pbx.conference_member.moderator IS 'Has he given the PIN of moderators?';
COMMENT ON COLUMN pbx.conference_member.muted IS 'Is he muted?';
COMMENT ON COLUMN pbx.conference_member.talking IS 'Does he talk? At most half a second late.';
CREATE INDEX conference_member_room ON pbx.conference_member (domain, number);
COMMENT ON INDEX pbx.conference_member_room IS 'Members of a room.';

CREATE FUNCTION pbx.conference_forget() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM pbx.conference_member WHERE node = NEW.node;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION pbx.conference_forget() IS 'Trigger: nobody is any more in a room of a server that has just started.';
CREATE TRIGGER conference_forget AFTER INSERT OR UPDATE OF started ON pbx.node
    FOR EACH ROW EXECUTE FUNCTION pbx.conference_forget();

-- Steps --------------------------------------------------------------------------------------------

ALTER TABLE pbx.app_param DROP CONSTRAINT app_param_type_check,
    ADD CONSTRAINT app_param_type_check CHECK (type IN ('text', 'number', 'int', 'bool', 'seconds', 'prompt',
                                                        'mailbox', 'menu', 'group', 'music', 'trunk', 'context', 'conference'));
COMMENT ON COLUMN pbx.app_param.type IS 'What a value must be: text, number (one that can be dialled), int, bool, seconds, prompt (names with & between them), or the key of a mailbox, menu, group, conference, music class, trunk or context of the domain.';

CREATE OR REPLACE FUNCTION pbx.value_problem(domain text, type text, value text) RETURNS text LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    found boolean;
BEGIN
    CASE $2
    WHEN 'text' THEN
        RETURN NULL;
    WHEN 'int' THEN
        RETURN CASE WHEN $3 !~ '^-?[0-9]{1,9}$' THEN format('%L is no whole number', $3) END;
    WHEN 'seconds' THEN
        RETURN CASE WHEN $3 !~ '^[0-9]{1,9}$' THEN format('%L is no number of seconds', $3) END;
    WHEN 'bool' THEN
        RETURN CASE WHEN $3 NOT IN ('true', 'yes', 'on', '1', 'false', 'no', 'off', '0') THEN format('%L is neither true nor false', $3) END;
    WHEN 'number' THEN
        RETURN CASE WHEN $3 !~ '^[^\s&]+(&[^\s&]+)*$' THEN format('%L is no number that can be dialled', $3) END;
    WHEN 'prompt' THEN
        RETURN 'there is no prompt or phrase ' || pbx.prompt_missing($1, $3);
    WHEN 'mailbox' THEN
        found := EXISTS (SELECT FROM pbx.mailbox AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'menu' THEN
        found := EXISTS (SELECT FROM pbx.menu AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'group' THEN
        found := EXISTS (SELECT FROM pbx.ring_group AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'conference' THEN
        found := EXISTS (SELECT FROM pbx.conference AS t WHERE t.domain = $1 AND t.number = $3);
    WHEN 'music' THEN
        found := EXISTS (SELECT FROM pbx.music_class AS t WHERE t.domain = $1 AND t.class = $3);
    WHEN 'trunk' THEN
        found := EXISTS (SELECT FROM pbx.trunk AS t WHERE t.domain = $1 AND t.name = $3);
    WHEN 'context' THEN
        found := EXISTS (SELECT FROM pbx.context AS t WHERE t.domain = $1 AND t.context = $3);
    END CASE;
    RETURN CASE WHEN NOT found THEN format('there is no %s %L', CASE $2 WHEN 'group' THEN 'ring group' WHEN 'music' THEN 'music class' ELSE $2 END, $3) END;
END $$;

CALL pbx.recheck_watch('pbx.conference', 'conference', 'number');

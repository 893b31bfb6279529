-- Messages.

CREATE TABLE pbx.voicemail (
    id            uuid PRIMARY KEY,
    domain        text NOT NULL,
    number        text NOT NULL,
    folder        text NOT NULL DEFAULT 'new' CHECK (folder IN ('new', 'saved')),
    deleted       timestamptz,
    received      timestamptz NOT NULL,
    caller_number text NOT NULL DEFAULT '',
    caller_name   text NOT NULL DEFAULT '',
    duration_ms   integer NOT NULL CHECK (duration_ms >= 0),
    sound         bytea NOT NULL CHECK (length(sound) > 0),
    call          uuid,
    CONSTRAINT mailbox_exists FOREIGN KEY (domain, number) REFERENCES pbx.mailbox ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.voicemail IS 'Messages in mailboxes, with their sound.';
COMMENT ON COLUMN pbx.voicemail.id IS 'Given when the recording began.';
COMMENT ON COLUMN pbx.voicemail.domain IS 'The domain.';
COMMENT ON COLUMN pbx.voicemail.number IS 'The mailbox.';
COMMENT ON COLUMN pbx.voicemail.folder IS 'new: not heard yet; saved.';
COMMENT ON COLUMN pbx.voicemail.deleted IS 'When its owner deleted it; NULL: not deleted.';
COMMENT ON COLUMN pbx.voicemail.received IS 'When it was left.';
COMMENT ON COLUMN pbx.voicemail.caller_number IS 'Who left it.';
COMMENT ON COLUMN pbx.voicemail.caller_name IS 'The caller''s name, as far as known.';
COMMENT ON COLUMN pbx.voicemail.duration_ms IS 'Its length.';
COMMENT ON COLUMN pbx.voicemail.sound IS 'A WAV file.';
COMMENT ON COLUMN pbx.voicemail.call IS 'The call in which it was left, as in pbx.cdr.';
CREATE INDEX voicemail_mailbox ON pbx.voicemail (domain, number, received);
COMMENT ON INDEX pbx.voicemail_mailbox IS 'Messages of a mailbox in order.';

CREATE VIEW pbx.voicemail_count AS
SELECT m.domain, m.number,
       count(v.id) FILTER (WHERE v.folder = 'new') AS new,
       count(v.id) FILTER (WHERE v.folder = 'saved') AS saved
FROM pbx.mailbox AS m
LEFT JOIN pbx.voicemail AS v ON v.domain = m.domain AND v.number = m.number AND v.deleted IS NULL
GROUP BY m.domain, m.number;
COMMENT ON VIEW pbx.voicemail_count IS 'How many messages each mailbox has, deleted ones left out: what message lamps show.';
COMMENT ON COLUMN pbx.voicemail_count.domain IS 'The domain.';
COMMENT ON COLUMN pbx.voicemail_count.number IS 'The mailbox.';
COMMENT ON COLUMN pbx.voicemail_count.new IS 'Messages not heard yet.';
COMMENT ON COLUMN pbx.voicemail_count.saved IS 'Messages that were saved.';

CALL pbx.change_watch('pbx.voicemail', 'voicemail', 'domain', 'number');

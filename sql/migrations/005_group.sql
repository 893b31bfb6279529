-- Ring groups and menus: numbers that lead to others.

CREATE TABLE pbx.ring_group (
    domain   text NOT NULL,
    number   text NOT NULL,
    name     text NOT NULL DEFAULT '',
    strategy text NOT NULL DEFAULT 'all' CHECK (strategy IN ('all', 'sequence')),
    ring_s   integer NOT NULL DEFAULT 20 CHECK (ring_s BETWEEN 1 AND 600),
    PRIMARY KEY (domain, number)
);
COMMENT ON TABLE pbx.ring_group IS 'A number that rings several extensions.';
COMMENT ON COLUMN pbx.ring_group.domain IS 'The domain.';
COMMENT ON COLUMN pbx.ring_group.number IS 'Its number.';
COMMENT ON COLUMN pbx.ring_group.name IS 'Name for people.';
COMMENT ON COLUMN pbx.ring_group.strategy IS 'all: all members at once, each after its delay. sequence: one after the other.';
COMMENT ON COLUMN pbx.ring_group.ring_s IS 'How long the group rings in all; in sequence: how long each member rings. In seconds.';
CALL pbx.number_holder('pbx.ring_group');

CREATE TABLE pbx.ring_group_member (
    domain   text NOT NULL,
    number   text NOT NULL,
    member   text NOT NULL,
    position integer NOT NULL DEFAULT 1 CHECK (position > 0),
    delay_s  integer NOT NULL DEFAULT 0 CHECK (delay_s BETWEEN 0 AND 600),
    ring_s   integer CHECK (ring_s BETWEEN 1 AND 600),
    PRIMARY KEY (domain, number, member),
    FOREIGN KEY (domain, number) REFERENCES pbx.ring_group ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT member_is_an_extension FOREIGN KEY (domain, member) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.ring_group_member IS 'Members of ring groups.';
COMMENT ON COLUMN pbx.ring_group_member.domain IS 'The domain.';
COMMENT ON COLUMN pbx.ring_group_member.number IS 'The group.';
COMMENT ON COLUMN pbx.ring_group_member.member IS 'The extension that rings.';
COMMENT ON COLUMN pbx.ring_group_member.position IS 'Order in a sequence; equal positions go by number.';
COMMENT ON COLUMN pbx.ring_group_member.delay_s IS 'It begins to ring so much later than the group, in seconds.';
COMMENT ON COLUMN pbx.ring_group_member.ring_s IS 'It rings so long; NULL: as long as the group.';
CREATE INDEX ring_group_member_extension ON pbx.ring_group_member (domain, member);
COMMENT ON INDEX pbx.ring_group_member_extension IS 'Groups of an extension.';

CREATE TABLE pbx.menu (
    domain           text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    number           text NOT NULL,
    name             text NOT NULL DEFAULT '',
    context          text NOT NULL DEFAULT 'office',
    prompt           text NOT NULL,
    invalid_prompt   text,
    first_timeout_ms integer NOT NULL DEFAULT 5000 CHECK (first_timeout_ms BETWEEN 100 AND 120000),
    digit_timeout_ms integer NOT NULL DEFAULT 3000 CHECK (digit_timeout_ms BETWEEN 100 AND 60000),
    retries          integer NOT NULL DEFAULT 2 CHECK (retries BETWEEN 0 AND 20),
    dial_extensions  boolean NOT NULL DEFAULT true,
    fallback         text,
    PRIMARY KEY (domain, number),
    CONSTRAINT context_exists FOREIGN KEY (domain, context) REFERENCES pbx.context ON UPDATE CASCADE
);
COMMENT ON TABLE pbx.menu IS 'A number that plays a prompt and leads on by the digits the caller presses.';
COMMENT ON COLUMN pbx.menu.domain IS 'The domain.';
COMMENT ON COLUMN pbx.menu.number IS 'Its number.';
COMMENT ON COLUMN pbx.menu.name IS 'Name for people.';
COMMENT ON COLUMN pbx.menu.context IS 'Context in which targets are dialled, also extensions dialled by the caller.';
COMMENT ON COLUMN pbx.menu.prompt IS 'What is played: names of prompts or phrases, with & between them.';
COMMENT ON COLUMN pbx.menu.invalid_prompt IS 'Played after a wrong choice; NULL: the standard phrase.';
COMMENT ON COLUMN pbx.menu.first_timeout_ms IS 'Wait for the first digit after the prompt.';
COMMENT ON COLUMN pbx.menu.digit_timeout_ms IS 'Wait for each further digit.';
COMMENT ON COLUMN pbx.menu.retries IS 'How often an invalid or silent caller is asked again.';
COMMENT ON COLUMN pbx.menu.dial_extensions IS 'May the caller dial an extension''s number in place of a choice?';
COMMENT ON COLUMN pbx.menu.fallback IS 'Number dialled when all tries were in vain; NULL: hang up.';
CALL pbx.number_holder('pbx.menu');

CREATE TABLE pbx.menu_choice (
    domain text NOT NULL,
    number text NOT NULL,
    digits text NOT NULL CHECK (digits ~ '^[0-9*#]{1,16}$'),
    target text NOT NULL,
    PRIMARY KEY (domain, number, digits),
    FOREIGN KEY (domain, number) REFERENCES pbx.menu ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.menu_choice IS 'What the digits of a menu mean.';
COMMENT ON COLUMN pbx.menu_choice.domain IS 'The domain.';
COMMENT ON COLUMN pbx.menu_choice.number IS 'The menu.';
COMMENT ON COLUMN pbx.menu_choice.digits IS 'What the caller presses.';
COMMENT ON COLUMN pbx.menu_choice.target IS 'Number dialled then, in the menu''s context.';

CALL pbx.change_watch('pbx.ring_group', 'ring_group', 'domain', 'number');
CALL pbx.change_watch('pbx.ring_group_member', 'ring_group', 'domain', 'number');
CALL pbx.change_watch('pbx.menu', 'menu', 'domain', 'number');
CALL pbx.change_watch('pbx.menu_choice', 'menu', 'domain', 'number');

-- Who is calling: numbers shown outside, privacy, what trunks are told and believed, and headers passed from leg to leg.

ALTER TABLE pbx.domain
    ADD COLUMN caller_id text,
    ADD COLUMN anonymous text NOT NULL DEFAULT 'never',
    ADD CONSTRAINT caller_id_is_a_number CHECK (caller_id ~ '^[A-Za-z0-9*#+._-]{1,63}$'),
    ADD CONSTRAINT anonymous_is_known CHECK (anonymous IN ('never', 'outside', 'always'));
COMMENT ON COLUMN pbx.domain.caller_id IS 'Number that calls to trunks show when neither the extension nor the trunk has one; NULL: the extension''s own.';
COMMENT ON COLUMN pbx.domain.anonymous IS 'Whether its extensions hide who they are: never, outside (from trunks), or always (from each other, too). A phone may ask for privacy by itself (RFC 3323), or with Privacy: none for its opposite.';

CREATE FUNCTION pbx.identities_valid(identities text[]) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT cardinality(identities) <= 32
       AND coalesce((SELECT bool_and(i IS NOT NULL AND i ~ '^[A-Za-z0-9*#+._-]{1,63}$') FROM unnest(identities) AS i), true)
$$;
COMMENT ON FUNCTION pbx.identities_valid(text[]) IS 'At most 32 numbers, none of them NULL?';

ALTER TABLE pbx.extension
    ADD COLUMN caller_id text,
    ADD COLUMN identities text[] NOT NULL DEFAULT '{}',
    ADD COLUMN anonymous text,
    ADD CONSTRAINT caller_id_is_a_number CHECK (caller_id ~ '^[A-Za-z0-9*#+._-]{1,63}$'),
    ADD CONSTRAINT identities_are_numbers CHECK (pbx.identities_valid(identities)),
    ADD CONSTRAINT anonymous_is_known CHECK (anonymous IN ('never', 'outside', 'always'));
COMMENT ON COLUMN pbx.extension.caller_id IS 'Number that its calls to trunks show; NULL: the trunk''s, else the domain''s, else its own.';
COMMENT ON COLUMN pbx.extension.identities IS 'Further numbers it may call as. Its phones choose one in P-Preferred-Identity (RFC 3325); any other is ignored.';
COMMENT ON COLUMN pbx.extension.anonymous IS 'Whether it hides who it is: never, outside (from trunks), or always; NULL: as the domain says.';

ALTER TABLE pbx.trunk
    ADD COLUMN trusted boolean NOT NULL DEFAULT false,
    ADD COLUMN identity text NOT NULL DEFAULT 'pai',
    ADD COLUMN caller_id text,
    ADD CONSTRAINT identity_is_known CHECK (identity IN ('pai', 'ppi', 'rpid', 'both', 'none')),
    ADD CONSTRAINT caller_id_is_a_number CHECK (caller_id ~ '^[A-Za-z0-9*#+._-]{1,63}$');
COMMENT ON COLUMN pbx.trunk.trusted IS 'Belongs to the trust domain of RFC 3325: the identity it asserts is believed, and it is told who calls even if he wants privacy, with that wish. Others are told nothing but From.';
COMMENT ON COLUMN pbx.trunk.identity IS 'How a caller is named besides From: pai (P-Asserted-Identity), rpid (Remote-Party-ID, older gateways), both of them, ppi (P-Preferred-Identity, for a provider that treats us as its user, trusted or not), or none.';
COMMENT ON COLUMN pbx.trunk.caller_id IS 'Number that calls to it show, of extensions that have none of their own; NULL: the domain''s.';

-- Headers passed from one leg to the other ---------------------------------------------------------

CREATE TABLE pbx.pass_header (
    domain    text NOT NULL REFERENCES pbx.domain ON DELETE CASCADE,
    trunk     text,
    direction text NOT NULL CHECK (direction IN ('in', 'out')),
    header    text NOT NULL,
    CONSTRAINT trunk_exists FOREIGN KEY (domain, trunk) REFERENCES pbx.trunk (domain, name) ON UPDATE CASCADE ON DELETE CASCADE,
    -- Not the one-letter forms: each stands for a header that is listed here or needs no row.
    CONSTRAINT header_is_a_name CHECK (header ~ '^[A-Za-z0-9.!%*_+`''~-]{2,64}$'),
    CONSTRAINT header_belongs_to_one_leg CHECK (lower(header) NOT IN (
        -- of the message, its transaction and its dialog
        'via', 'from', 'to', 'call-id', 'cseq', 'contact', 'max-forwards', 'max-breadth', 'route', 'record-route', 'path', 'service-route',
        'content-length', 'content-type', 'content-encoding', 'content-disposition', 'content-language', 'content-id', 'mime-version', 'date', 'timestamp',
        'expires', 'min-expires', 'server', 'user-agent', 'allow', 'allow-events', 'accept', 'accept-encoding', 'supported',
        'require', 'proxy-require', 'unsupported', 'rack', 'rseq', 'session-expires', 'min-se', 'replaces', 'join', 'target-dialog',
        'refer-to', 'referred-by', 'refer-sub', 'event', 'subscription-state', 'sip-etag', 'sip-if-match', 'retry-after', 'warning',
        'recv-info', 'info-package', 'flow-timer', 'suppress-if-match', 'security-client', 'security-server', 'security-verify',
        -- of who is authenticated
        'authorization', 'proxy-authorization', 'www-authenticate', 'proxy-authenticate', 'authentication-info',
        'proxy-authentication-info', 'identity', 'identity-info',
        -- written anew for each leg
        'p-asserted-identity', 'p-preferred-identity', 'remote-party-id', 'privacy', 'diversion', 'history-info', 'reason', 'session-id'))
);
CREATE UNIQUE INDEX pass_header_once ON pbx.pass_header (domain, trunk, direction, lower(header)) NULLS NOT DISTINCT;
COMMENT ON INDEX pbx.pass_header_once IS 'Each header once a trunk and direction.';
COMMENT ON TABLE pbx.pass_header IS 'Headers that are passed from one side of a call to the other, besides those that always are (User-to-User, Subject, Priority ...). Headers that describe one dialog, or who is authenticated, are refused.';
COMMENT ON COLUMN pbx.pass_header.domain IS 'The domain.';
COMMENT ON COLUMN pbx.pass_header.trunk IS 'The trunk; NULL: all trunks, and from phone to phone.';
COMMENT ON COLUMN pbx.pass_header.direction IS 'in: taken from what the trunk sends; out: given to it.';
COMMENT ON COLUMN pbx.pass_header.header IS 'Its name: X-Customer. From trunks also Alert-Info, Call-Info and Answer-Mode, which make phones fetch pages or answer by themselves, pass only when they are listed.';
CALL pbx.change_watch('pbx.pass_header', 'pass_header', 'domain', 'trunk');

-- The key that joins both legs, here and in the logs of other systems --------------------------------

ALTER TABLE pbx.cdr ADD COLUMN session_id uuid;
COMMENT ON COLUMN pbx.cdr.session_id IS 'The caller''s half of Session-ID (RFC 7989), the same in all messages of all legs and at every system on the way; NULL in records older than it.';
CREATE INDEX cdr_session_id ON pbx.cdr (session_id);
COMMENT ON INDEX pbx.cdr_session_id IS 'Records of a session.';
ALTER TABLE pbx.cdr_leg ADD COLUMN session_id uuid;
COMMENT ON COLUMN pbx.cdr_leg.session_id IS 'The half of Session-ID that stands for the far end of this leg.';

CREATE OR REPLACE FUNCTION pbx.outbox_cdr(doc jsonb) RETURNS void LANGUAGE sql AS $$
    INSERT INTO pbx.cdr (call, domain, caller, caller_name, dialled, context, route, started, answered, ended, result, cause,
                         hangup_by, duration_ms, talk_ms, session_id)
    SELECT c.call, c.domain, coalesce(c.caller, ''), coalesce(c.caller_name, ''), coalesce(c.dialled, ''), coalesce(c.context, ''),
           coalesce(c.route, ''), pbx.time_of_ms(c.started_ms), pbx.time_of_ms(c.answered_ms), pbx.time_of_ms(c.ended_ms),
           c.result, c.cause, c.hangup_by,
           -- A clock that was set back must not cost the record.
           greatest(coalesce(c.duration_ms, c.ended_ms - c.started_ms), 0),
           greatest(coalesce(c.talk_ms, c.ended_ms - c.answered_ms), 0), c.session_id
    FROM jsonb_to_record(doc) AS c(call uuid, domain text, caller text, caller_name text, dialled text, context text, route text,
             started_ms bigint, answered_ms bigint, ended_ms bigint, result text, cause integer, hangup_by text,
             duration_ms bigint, talk_ms bigint, session_id uuid);

    INSERT INTO pbx.cdr_leg (call, leg, role, peer, number, started, ringing, answered, ended, status, cause, codec, packets_sent,
                             packets_received, lost, remote_lost, jitter_us, max_jitter_us, rtt_us, media_address, session_id)
    SELECT (doc ->> 'call')::uuid, l.leg, l.role, coalesce(l.peer, ''), coalesce(l.number, ''), pbx.time_of_ms(l.started_ms),
           pbx.time_of_ms(l.ringing_ms), pbx.time_of_ms(l.answered_ms),
           pbx.time_of_ms(coalesce(l.ended_ms, (doc ->> 'ended_ms')::bigint)), nullif(l.status, 0), nullif(l.cause, 0),
           nullif(l.codec, ''), l.packets_sent, l.packets_received, l.lost, l.remote_lost, l.jitter_us, l.max_jitter_us, l.rtt_us, nullif(l.media_address, ''),
           l.session_id
    FROM jsonb_to_recordset(coalesce(doc -> 'legs', '[]')) AS l(leg integer, role text, peer text, number text, started_ms bigint,
             ringing_ms bigint, answered_ms bigint, ended_ms bigint, status integer, cause integer, codec text, packets_sent bigint,
             packets_received bigint, lost bigint, remote_lost bigint, jitter_us bigint, max_jitter_us bigint, rtt_us bigint,
             media_address text, session_id uuid)
$$;

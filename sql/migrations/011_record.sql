-- What was: call detail records.

CREATE TABLE pbx.cdr (
    call        uuid PRIMARY KEY,
    domain      text NOT NULL,
    caller      text NOT NULL DEFAULT '',
    caller_name text NOT NULL DEFAULT '',
    dialled     text NOT NULL DEFAULT '',
    context     text NOT NULL DEFAULT '',
    route       text NOT NULL DEFAULT '',
    started     timestamptz NOT NULL,
    answered    timestamptz,
    ended       timestamptz NOT NULL,
    result      text NOT NULL,
    cause       integer,
    hangup_by   text,
    duration_ms bigint NOT NULL CHECK (duration_ms >= 0),
    talk_ms     bigint NOT NULL DEFAULT 0 CHECK (talk_ms >= 0)
);
COMMENT ON TABLE pbx.cdr IS 'Calls that have ended, one row each. Kept when their domain is deleted.';
COMMENT ON COLUMN pbx.cdr.call IS 'Id of the call, also in the log.';
COMMENT ON COLUMN pbx.cdr.domain IS 'The domain.';
COMMENT ON COLUMN pbx.cdr.caller IS 'Who called: an extension''s number, or what a trunk sent.';
COMMENT ON COLUMN pbx.cdr.caller_name IS 'The caller''s name.';
COMMENT ON COLUMN pbx.cdr.dialled IS 'The number dialled.';
COMMENT ON COLUMN pbx.cdr.context IS 'The caller''s context.';
COMMENT ON COLUMN pbx.cdr.route IS 'Pattern of the route that was taken; empty: none.';
COMMENT ON COLUMN pbx.cdr.started IS 'When the call came in.';
COMMENT ON COLUMN pbx.cdr.answered IS 'When it was answered, by a phone or an application; NULL: never.';
COMMENT ON COLUMN pbx.cdr.ended IS 'When it ended.';
COMMENT ON COLUMN pbx.cdr.result IS 'How it ended: answered, busy, no_answer, unavailable, ...';
COMMENT ON COLUMN pbx.cdr.cause IS 'Hang-up cause (Q.850).';
COMMENT ON COLUMN pbx.cdr.hangup_by IS 'Who ended it: caller, callee or system.';
COMMENT ON COLUMN pbx.cdr.duration_ms IS 'From its start to its end.';
COMMENT ON COLUMN pbx.cdr.talk_ms IS 'From the answer to the end.';
CREATE INDEX cdr_started ON pbx.cdr (started);
COMMENT ON INDEX pbx.cdr_started IS 'Calls of a time.';
CREATE INDEX cdr_domain ON pbx.cdr (domain, started);
COMMENT ON INDEX pbx.cdr_domain IS 'Calls of a domain and time.';

CREATE TABLE pbx.cdr_leg (
    call           uuid NOT NULL REFERENCES pbx.cdr ON DELETE CASCADE,
    leg            integer NOT NULL CHECK (leg > 0),
    role           text NOT NULL CHECK (role IN ('caller', 'callee')),
    peer           text NOT NULL DEFAULT '',
    number         text NOT NULL DEFAULT '',
    started        timestamptz NOT NULL,
    ringing        timestamptz,
    answered       timestamptz,
    ended          timestamptz NOT NULL,
    status         integer,
    cause          integer,
    codec          text,
    packets_sent   bigint,
    packets_received bigint,
    lost           bigint,
    remote_lost    bigint,
    jitter_us      bigint,
    max_jitter_us  bigint,
    rtt_us         bigint,
    media_address  text,
    PRIMARY KEY (call, leg)
);
COMMENT ON TABLE pbx.cdr_leg IS 'The legs of a call: the caller''s, and one for each phone or trunk that was tried.';
COMMENT ON COLUMN pbx.cdr_leg.call IS 'The call.';
COMMENT ON COLUMN pbx.cdr_leg.leg IS '1 is the caller''s.';
COMMENT ON COLUMN pbx.cdr_leg.role IS 'caller or callee.';
COMMENT ON COLUMN pbx.cdr_leg.peer IS 'URI of the phone or trunk.';
COMMENT ON COLUMN pbx.cdr_leg.number IS 'Its number.';
COMMENT ON COLUMN pbx.cdr_leg.started IS 'When the leg began.';
COMMENT ON COLUMN pbx.cdr_leg.ringing IS 'When it first rang.';
COMMENT ON COLUMN pbx.cdr_leg.answered IS 'When it was answered.';
COMMENT ON COLUMN pbx.cdr_leg.ended IS 'When it ended.';
COMMENT ON COLUMN pbx.cdr_leg.status IS 'Final SIP status of its INVITE.';
COMMENT ON COLUMN pbx.cdr_leg.cause IS 'Hang-up cause (Q.850).';
COMMENT ON COLUMN pbx.cdr_leg.codec IS 'Codec at the end.';
COMMENT ON COLUMN pbx.cdr_leg.packets_sent IS 'RTP packets sent to it.';
COMMENT ON COLUMN pbx.cdr_leg.packets_received IS 'RTP packets received from it.';
COMMENT ON COLUMN pbx.cdr_leg.lost IS 'Packets from it that were lost; negative when duplicates outnumber losses (RFC 3550).';
COMMENT ON COLUMN pbx.cdr_leg.remote_lost IS 'Packets to it that it reported lost.';
COMMENT ON COLUMN pbx.cdr_leg.jitter_us IS 'Interarrival jitter at the end (RFC 3550), in microseconds.';
COMMENT ON COLUMN pbx.cdr_leg.max_jitter_us IS 'Its highest value.';
COMMENT ON COLUMN pbx.cdr_leg.rtt_us IS 'Round-trip time by RTCP, in microseconds.';
COMMENT ON COLUMN pbx.cdr_leg.media_address IS 'Where its media came from.';

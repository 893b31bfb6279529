-- What is: nodes and registered phones. Written by servers.

CREATE TABLE pbx.node (
    node    text PRIMARY KEY,
    started timestamptz NOT NULL DEFAULT now(),
    seen    timestamptz NOT NULL DEFAULT now(),
    version text NOT NULL DEFAULT ''
);
COMMENT ON TABLE pbx.node IS 'Servers.';
COMMENT ON COLUMN pbx.node.node IS 'Name of the server, "node" of its configuration.';
COMMENT ON COLUMN pbx.node.started IS 'When it started.';
COMMENT ON COLUMN pbx.node.seen IS 'When it last said that it lives.';
COMMENT ON COLUMN pbx.node.version IS 'Which version of Cordboard it runs.';

CREATE TABLE pbx.binding (
    domain     text NOT NULL,
    number     text NOT NULL,
    contact    text NOT NULL,
    instance   text,
    call_id    text NOT NULL,
    cseq       bigint NOT NULL CHECK (cseq BETWEEN 0 AND 4294967295),
    q_milli    integer NOT NULL DEFAULT 1000 CHECK (q_milli BETWEEN 0 AND 1000),
    expires    timestamptz NOT NULL,
    proto      text NOT NULL CHECK (proto IN ('udp', 'tcp', 'tls', 'ws', 'wss')),
    address    text NOT NULL,
    user_agent text NOT NULL DEFAULT '',
    node       text NOT NULL DEFAULT '',
    registered timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (domain, number, contact),
    CONSTRAINT extension_exists FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE
);
COMMENT ON TABLE pbx.binding IS 'Registered contacts: where an extension can be reached (RFC 3261 section 10).';
COMMENT ON COLUMN pbx.binding.domain IS 'The domain.';
COMMENT ON COLUMN pbx.binding.number IS 'The extension.';
COMMENT ON COLUMN pbx.binding.contact IS 'Contact URI as registered.';
COMMENT ON COLUMN pbx.binding.instance IS 'The phone''s +sip.instance (RFC 5626), if it told one.';
COMMENT ON COLUMN pbx.binding.call_id IS 'Call-ID of its registration.';
COMMENT ON COLUMN pbx.binding.cseq IS 'CSeq of the last REGISTER.';
COMMENT ON COLUMN pbx.binding.q_milli IS 'Preference, 1000 the highest.';
COMMENT ON COLUMN pbx.binding.expires IS 'Until when it holds.';
COMMENT ON COLUMN pbx.binding.proto IS 'Transport over which it registered.';
COMMENT ON COLUMN pbx.binding.address IS 'Source address and port from which it registered; requests go there.';
COMMENT ON COLUMN pbx.binding.user_agent IS 'What the phone calls itself.';
COMMENT ON COLUMN pbx.binding.node IS 'The server it registered with.';
COMMENT ON COLUMN pbx.binding.registered IS 'When it first registered.';

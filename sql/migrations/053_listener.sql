-- Addresses and ports to listen on, besides those of the configuration file: added, changed and taken away while servers run.

CREATE TABLE pbx.listener (
    node                text NOT NULL DEFAULT '',
    transport           text NOT NULL CHECK (transport IN ('udp', 'tcp', 'tls', 'ws', 'wss')),
    address             inet NOT NULL,
    port                integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    external            inet,
    external_port       integer CHECK (external_port BETWEEN 1 AND 65535),
    local_networks      cidr[] NOT NULL DEFAULT '{}',
    certificate         text CHECK (certificate <> ''),
    certificate_key     text CHECK (certificate_key <> ''),
    client_certificates text CHECK (client_certificates IN ('no', 'ask', 'need')),
    origins             text[] NOT NULL DEFAULT '{}',
    enabled             boolean NOT NULL DEFAULT true,
    note                text NOT NULL DEFAULT '',
    PRIMARY KEY (node, transport, address, port),
    CONSTRAINT address_is_one_address CHECK (masklen(address) = CASE family(address) WHEN 4 THEN 32 ELSE 128 END),
    CONSTRAINT external_is_one_address CHECK (masklen(external) = CASE family(external) WHEN 4 THEN 32 ELSE 128 END),
    CONSTRAINT external_is_of_the_family CHECK (family(external) = family(address)),
    CONSTRAINT external_port_needs_an_address CHECK (external_port IS NULL OR external IS NOT NULL),
    CONSTRAINT local_networks_are_networks CHECK (array_position(local_networks, NULL) IS NULL),
    CONSTRAINT certificate_is_for_tls CHECK (transport IN ('tls', 'wss') OR
        (certificate IS NULL AND certificate_key IS NULL AND client_certificates IS NULL)),
    CONSTRAINT key_needs_a_certificate CHECK (certificate_key IS NULL OR certificate IS NOT NULL),
    CONSTRAINT origins_are_for_websockets CHECK (transport IN ('ws', 'wss') OR origins = '{}'),
    CONSTRAINT origins_are_words CHECK (array_position(origins, NULL) IS NULL AND array_to_string(origins, '') !~ '\s')
);
CREATE UNIQUE INDEX listener_socket ON pbx.listener (node, address, port, (transport = 'udp')) WHERE enabled;
COMMENT ON INDEX pbx.listener_socket IS 'All but UDP are TCP to the kernel: one of them a port.';
COMMENT ON TABLE pbx.listener IS 'Addresses and ports on which servers listen for SIP, besides those of their configuration files. A new row is listened on as soon as it is committed, a changed one anew; one that is deleted accepts nothing more, while connections that came to it, and calls, go on. Other rows are not touched. How each stands is in pbx.listener_state.';
COMMENT ON COLUMN pbx.listener.node IS 'The server; empty: all of them. Its own row counts before one for all.';
COMMENT ON COLUMN pbx.listener.transport IS 'udp, tcp, tls, ws or wss.';
COMMENT ON COLUMN pbx.listener.address IS 'An address of the machine; 0.0.0.0 or :: for all of the family.';
COMMENT ON COLUMN pbx.listener.port IS 'Its port. Those below 1024 are not for a server that gave up being root.';
COMMENT ON COLUMN pbx.listener.external IS 'Behind a NAT: the address that peers outside of local_networks are told. NULL: no NAT.';
COMMENT ON COLUMN pbx.listener.external_port IS 'The port that they are told; NULL: the same.';
COMMENT ON COLUMN pbx.listener.local_networks IS 'Who is not beyond the NAT; empty: private networks.';
COMMENT ON COLUMN pbx.listener.certificate IS 'tls, wss: the file of its certificate, PEM, on the server; read anew when it changes. NULL: those of the configuration file.';
COMMENT ON COLUMN pbx.listener.certificate_key IS 'The file of its key; NULL: in the same file.';
COMMENT ON COLUMN pbx.listener.client_certificates IS 'tls, wss: are clients asked for a certificate, do they need one? NULL: as in the configuration file.';
COMMENT ON COLUMN pbx.listener.origins IS 'ws, wss: the sites whose scripts may connect; empty: any.';
COMMENT ON COLUMN pbx.listener.enabled IS 'false: as if the row were not there.';
COMMENT ON COLUMN pbx.listener.note IS 'For the reader.';
CALL pbx.change_watch('pbx.listener', 'listener', 'node', 'transport', 'address', 'port');

CREATE TABLE pbx.listener_state (
    node      text NOT NULL,
    transport text NOT NULL,
    address   inet NOT NULL,
    port      integer NOT NULL,
    since     timestamptz NOT NULL,
    error     text,
    PRIMARY KEY (node, transport, address, port)
);
COMMENT ON TABLE pbx.listener_state IS 'How the rows of pbx.listener stand on each server. Written by servers.';
COMMENT ON COLUMN pbx.listener_state.node IS 'The server.';
COMMENT ON COLUMN pbx.listener_state.transport IS 'As in pbx.listener.';
COMMENT ON COLUMN pbx.listener_state.address IS 'As in pbx.listener.';
COMMENT ON COLUMN pbx.listener_state.port IS 'As in pbx.listener.';
COMMENT ON COLUMN pbx.listener_state.since IS 'Since when it is so.';
COMMENT ON COLUMN pbx.listener_state.error IS 'Why it does not listen there, or not as the row now says; tried again every few seconds. NULL: it does.';

CREATE FUNCTION pbx.listener_state_set(node text, docs jsonb) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    DELETE FROM pbx.listener_state AS s WHERE s.node = $1;
    INSERT INTO pbx.listener_state (node, transport, address, port, since, error)
    SELECT $1, d.transport, d.address, d.port, pbx.time_of_ms(d.since_ms), d.error
    FROM jsonb_to_recordset(docs) AS d(transport text, address inet, port integer, since_ms bigint, error text);
END $$;
COMMENT ON FUNCTION pbx.listener_state_set(text, jsonb) IS 'For servers: how all of the listeners stand that they know from SQL.';

-- Trunks that are known by their certificate.

ALTER TABLE pbx.trunk
    ADD COLUMN tls_identity text,
    ADD CONSTRAINT tls_identity_belongs_to_one_trunk UNIQUE (tls_identity),
    ADD CONSTRAINT tls_identity_is_a_domain CHECK (length(tls_identity) <= 253
        AND tls_identity ~ '^[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$');
COMMENT ON COLUMN pbx.trunk.tls_identity IS 'Domain of its certificate, in lower case: what comes over a TLS connection whose peer has shown a certificate for it (subjectAltName: a SIP URI, else a DNS name; RFC 5922), from whatever address, is this trunk''s and needs no password. Clients show one only if tls.client of the configuration asks for it, and it counts if tls.ca vouches for it. Of all domains together, each belongs to one trunk. NULL: it is known by address or password.';

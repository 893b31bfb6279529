-- Phones that are known by their certificate.

CREATE TABLE pbx.certificate (
    identity text PRIMARY KEY,
    domain   text NOT NULL,
    number   text NOT NULL,
    FOREIGN KEY (domain, number) REFERENCES pbx.extension ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT identity_is_a_domain_or_a_user_there CHECK (length(identity) <= 253
        AND identity ~ '^([^@:[:space:][:cntrl:]]+@)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$')
);
COMMENT ON TABLE pbx.certificate IS 'Phones that need no password: what comes over a TLS connection whose peer has shown a certificate for this identity is the extension''s, as far as it says to be from it. Clients show one only if tls.client of the configuration asks for it, and it counts if tls.ca vouches for it and tls.crl doesn''t revoke it. An extension may have several, one for each of its phones, and passwords besides.';
COMMENT ON COLUMN pbx.certificate.identity IS 'Whom the certificate names (subjectAltName): "alice@example.org", of its URI sip:alice@example.org, or "phone7.example.org", of a URI sip:phone7.example.org or, where it has no URI of a domain, of a DNS name. The domain in lower case, the user as in the certificate. A trunk''s tls_identity comes after it.';
COMMENT ON COLUMN pbx.certificate.domain IS 'The domain of the extension.';
COMMENT ON COLUMN pbx.certificate.number IS 'The extension.';
CREATE INDEX certificate_extension ON pbx.certificate (domain, number);
COMMENT ON INDEX pbx.certificate_extension IS 'Certificates of an extension.';
CALL pbx.change_watch('pbx.certificate', 'certificate', 'identity');

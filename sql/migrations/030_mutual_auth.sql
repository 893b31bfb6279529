-- Both sides show that they know the password (RFC 7616 section 3.5).

ALTER TABLE pbx.domain ADD COLUMN mutual_auth boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.domain.mutual_auth IS 'true: who shows a password is shown that Cordboard knows it, too (Authentication-Info), and is given the next nonce before the one in use is too old. Phones that don''t look for it are sent a line more.';

ALTER TABLE pbx.trunk
    ADD COLUMN mutual_auth boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT mutual_auth_needs_a_password CHECK (NOT mutual_auth OR auth_password IS NOT NULL);
COMMENT ON COLUMN pbx.trunk.mutual_auth IS 'true: its registrar must show that it knows the password, too (Authentication-Info): one that accepts a registration without counts as one that doesn''t answer. For registrars that are known to do it.';

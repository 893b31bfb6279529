-- Hashed user names in digest authentication (RFC 7616 section 3.4.4).

ALTER TABLE pbx.domain ADD COLUMN userhash boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.domain.userhash IS 'Phones may say a hash of their authentication name in place of the name (RFC 7616): challenges offer it. No by default: some phones give up on a challenge that does, and From names them anyway.';

-- Digest with keys of a session (RFC 7616 §3.4.2), for clients that want it.

ALTER TABLE pbx.domain ADD COLUMN digest_session boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN pbx.domain.digest_session IS 'true: each digest algorithm is offered with a key per session, too (MD5-sess, SHA-256-sess ...), behind the plain one. As nonces are short-lived and serve one source, it makes nothing safer; challenges become twice as long.';
